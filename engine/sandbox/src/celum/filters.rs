//! The search filters: reading them strictly, and deciding whether something matches.
//!
//! Assets and collections share most of the vocabulary under different prefixes, so one type covers
//! both. A filter that is unknown, or that this emulator holds no data for, is refused by its name.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::model::{Asset, Availability, Collection, FieldValue, Labels, Trail, Values};
use super::query::TextQuery;
use super::state::State;

mod parse;
pub(super) use parse::Reader;

/// What is being looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Asset,
    Collection,
}

/// A filter that was understood.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Numbers(NumberOf, BTreeSet<u64>),
    Words(WordOf, BTreeSet<String>),
    IdRange(Span<u64>),
    Parents {
        ids: Vec<u64>,
        recursive: bool,
        all: bool,
    },
    When(DateOf, Span<Timestamp>),
    Text(TextOf, TextQuery),
    Available(bool),
    AvailableWithin {
        from: Timestamp,
        to: Timestamp,
        active: bool,
    },
    Field(u64, Test),
    FieldEmpty {
        id: u64,
        empty: bool,
        locale: Option<String>,
    },
    ExtensionEmpty(bool),
    Property(String, Span<f64>),
}

/// A number or id that filters can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum NumberOf {
    Id,
    Type,
    ParentType,
    Creator,
    Modifier,
    Versioner,
}

/// A word that filters can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum WordOf {
    Extension,
    Category,
    Checksum,
}

/// A date that filters can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum DateOf {
    Creation,
    Modification,
    Versioned,
    Expiration,
}

/// A text that filters can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum TextOf {
    Name,
    FileName,
    Everything,
}

/// What the value of an information field must be like. A field without a value never matches.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Text(TextQuery, Option<String>),
    When(Span<Timestamp>),
    Number(Span<i64>),
    Double(Span<f64>),
    Boolean(bool),
    Dropdown(i64),
    Reference {
        id: u64,
        recursive: bool,
    },
    ReferenceNames {
        names: Vec<(String, TextQuery)>,
        recursive: bool,
    },
}

/// From one value to another; an open side has no bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<T> {
    pub(super) from: Option<T>,
    pub(super) to: Option<T>,
    pub(super) inclusive: bool,
}

impl<T: PartialOrd + Copy> Span<T> {
    fn holds(&self, value: T) -> bool {
        let after = self
            .from
            .is_none_or(|from| value > from || (self.inclusive && value == from));
        let before = self
            .to
            .is_none_or(|to| value < to || (self.inclusive && value == to));
        after && before
    }
}

/// Something a filter can be held against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Asset(&'a Asset),
    Collection(&'a Collection),
}

impl<'a> Subject<'a> {
    fn asset(self) -> Option<&'a Asset> {
        match self {
            Subject::Asset(asset) => Some(asset),
            Subject::Collection(_) => None,
        }
    }

    fn id(self) -> u64 {
        match self {
            Subject::Asset(asset) => asset.id,
            Subject::Collection(collection) => collection.id,
        }
    }

    fn type_id(self) -> Option<u64> {
        match self {
            Subject::Asset(asset) => asset.type_id,
            Subject::Collection(collection) => Some(collection.type_id),
        }
    }

    fn creation(self) -> Trail {
        match self {
            Subject::Asset(asset) => asset.creation,
            Subject::Collection(collection) => collection.creation,
        }
    }

    fn modification(self) -> Option<Trail> {
        match self {
            Subject::Asset(asset) => asset.modification,
            Subject::Collection(collection) => collection.modification,
        }
    }

    fn values(self) -> &'a Values {
        match self {
            Subject::Asset(asset) => &asset.values,
            Subject::Collection(collection) => &collection.values,
        }
    }

    fn parents(self) -> Vec<u64> {
        match self {
            Subject::Asset(asset) => asset.parents.clone(),
            Subject::Collection(collection) => collection.parent.into_iter().collect(),
        }
    }

    fn names(self) -> Vec<&'a str> {
        match self {
            Subject::Asset(asset) => vec![&asset.name],
            Subject::Collection(collection) => texts(&collection.names),
        }
    }
}

fn texts(labels: &Labels) -> Vec<&str> {
    labels.values().map(String::as_str).collect()
}

impl Filter {
    /// Whether something matches, as of `now`.
    pub(super) fn matches(&self, subject: Subject<'_>, state: &State, now: Timestamp) -> bool {
        match self {
            Filter::All(filters) => filters.iter().all(|one| one.matches(subject, state, now)),
            Filter::Any(filters) => filters.iter().any(|one| one.matches(subject, state, now)),
            Filter::Not(filter) => !filter.matches(subject, state, now),
            Filter::Numbers(of, wanted) => of
                .get(subject, state)
                .iter()
                .any(|value| wanted.contains(value)),
            Filter::Words(of, wanted) => {
                of.get(subject).is_some_and(|value| wanted.contains(&value))
            }
            Filter::IdRange(span) => span.holds(subject.id()),
            Filter::Parents {
                ids,
                recursive,
                all,
            } => {
                let parents = subject.parents();
                let below = |wanted: &u64| match recursive {
                    true => parents.iter().any(|parent| state.within(*parent, *wanted)),
                    false => parents.contains(wanted),
                };
                if *all {
                    ids.iter().all(below)
                } else {
                    ids.iter().any(below)
                }
            }
            Filter::When(of, span) => of.get(subject).is_some_and(|date| span.holds(date)),
            Filter::Text(of, query) => query.matches(of.get(subject)),
            Filter::Available(active) => active_within(subject, now, now) == *active,
            Filter::AvailableWithin { from, to, active } => {
                active_within(subject, *from, *to) == *active
            }
            Filter::Field(id, test) => {
                let value = subject.values().get(id);
                value.is_some_and(|value| test.holds(value, state))
            }
            Filter::FieldEmpty { id, empty, locale } => {
                field_empty(subject.values().get(id), locale.as_deref()) == *empty
            }
            Filter::ExtensionEmpty(empty) => WordOf::Extension.get(subject).is_none() == *empty,
            Filter::Property(name, span) => {
                property(subject, name).is_some_and(|value| span.holds(value))
            }
        }
    }
}

fn active_within(subject: Subject<'_>, from: Timestamp, to: Timestamp) -> bool {
    let availability = subject
        .asset()
        .and_then(|asset| asset.availability.as_ref());
    Availability::active_within(availability, from, to)
}

fn field_empty(value: Option<&FieldValue>, locale: Option<&str>) -> bool {
    match (value, locale) {
        (Some(FieldValue::Localized(texts)), Some(locale)) => {
            texts.get(locale).is_none_or(String::is_empty)
        }
        (value, _) => value.is_none_or(FieldValue::is_empty),
    }
}

fn property(subject: Subject<'_>, name: &str) -> Option<f64> {
    let (width, height) = subject.asset()?.current().dimensions?;
    match name {
        "width" => Some(f64::from(width)),
        "height" => Some(f64::from(height)),
        _ => None,
    }
}

impl NumberOf {
    fn get(self, subject: Subject<'_>, state: &State) -> Vec<u64> {
        match self {
            NumberOf::Id => vec![subject.id()],
            NumberOf::Type => subject.type_id().into_iter().collect(),
            NumberOf::ParentType => {
                let parents = subject.parents().into_iter();
                let found = parents.filter_map(|id| state.collections.get(&id));
                found.map(|parent| parent.type_id).collect()
            }
            NumberOf::Creator => vec![subject.creation().user],
            NumberOf::Modifier => subject
                .modification()
                .iter()
                .map(|trail| trail.user)
                .collect(),
            NumberOf::Versioner => {
                let asset = subject.asset().into_iter();
                asset.map(|asset| asset.current().creation.user).collect()
            }
        }
    }
}

impl WordOf {
    fn get(self, subject: Subject<'_>) -> Option<String> {
        let version = subject.asset()?.current();
        match self {
            WordOf::Extension => version.extension(),
            WordOf::Category => Some(version.category.wire().to_owned()),
            WordOf::Checksum => version.digest.clone().filter(|_| version.digest_published),
        }
    }
}

impl DateOf {
    fn get(self, subject: Subject<'_>) -> Option<Timestamp> {
        match self {
            DateOf::Creation => Some(subject.creation().date),
            DateOf::Modification => subject.modification().map(|trail| trail.date),
            DateOf::Versioned => Some(subject.asset()?.current().creation.date),
            DateOf::Expiration => match subject.asset()?.availability {
                Some(Availability::Dated { to, .. }) => to,
                _ => None,
            },
        }
    }
}

impl TextOf {
    fn get(self, subject: Subject<'_>) -> Vec<&str> {
        let filename = subject
            .asset()
            .map(|asset| asset.current().filename.as_str());
        match self {
            TextOf::Name => subject.names(),
            TextOf::FileName => filename.into_iter().collect(),
            TextOf::Everything => {
                let mut all = subject.names();
                all.extend(filename);
                for value in subject.values().values() {
                    match value {
                        FieldValue::Text(text) => all.push(text),
                        FieldValue::Localized(labels) => all.extend(texts(labels)),
                        _ => {}
                    }
                }
                all
            }
        }
    }
}

impl Test {
    fn holds(&self, value: &FieldValue, state: &State) -> bool {
        match (self, value) {
            (Test::Text(query, _), FieldValue::Text(text)) => query.matches([text.as_str()]),
            (Test::Text(query, None), FieldValue::Localized(labels)) => {
                labels.values().any(|text| query.matches([text.as_str()]))
            }
            (Test::Text(query, Some(locale)), FieldValue::Localized(labels)) => {
                let text = labels.get(locale);
                text.is_some_and(|text| query.matches([text.as_str()]))
            }
            (Test::When(span), FieldValue::Date(date)) => span.holds(*date),
            (Test::Number(span), FieldValue::Number(number)) => span.holds(*number),
            (Test::Double(span), FieldValue::Double(number)) => span.holds(*number),
            (Test::Boolean(wanted), FieldValue::Boolean(flag)) => wanted == flag,
            (Test::Dropdown(wanted), FieldValue::Dropdown(index)) => wanted == index,
            (Test::Reference { id, recursive }, FieldValue::References(ids)) => {
                ids.contains(id) || (*recursive && ids.iter().any(|one| state.within(*one, *id)))
            }
            (Test::ReferenceNames { names, recursive }, FieldValue::References(ids)) => {
                let hit = |collection: &Collection| {
                    names.iter().any(|(locale, query)| {
                        let name = collection.names.get(locale);
                        name.is_some_and(|name| query.matches([name.as_str()]))
                    })
                };
                let depth = if *recursive { usize::MAX } else { 1 };
                ids.iter()
                    .any(|id| state.lineage(*id).take(depth).any(|found| hit(found)))
            }
            _ => false,
        }
    }
}

/// A part of a request that is to be a filter.
pub(super) type Raw = Value;
