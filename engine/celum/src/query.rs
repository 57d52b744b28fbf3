//! From a query, in technical names, to the filter of a search that finds at least what is asked for.
//!
//! A filter may find more, never less: whoever asks looks at each asset himself. So what a search might compare
//! otherwise than people mean it, such as texts in several languages, is left to him as a whole.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use windlass_core::{AssetPath, Error, Kind, Query, Result, Value, fold_key};

use crate::catalogue::{Catalogue, TypeSheet};
use crate::endpoint::Shared;
use crate::filter::{Filter, Matcher, Operator, SearchType, combined};
use crate::resolve::suggestion;
use crate::sink::FAULTS_AGE_MAX;
use crate::tree::{Reached, missing};
use crate::vocabulary::Entry;
use crate::wire::{Field, FieldKind};

impl Shared {
    /// The filter of a query, from an id on; with `since` only for what was made, got another version or was edited then or
    /// later.
    ///
    /// Errors: `NotFound` where the collection is not there, `InvalidInput` where a type, a field or an option is not.
    pub(crate) async fn filter_of(
        &self,
        query: &Query,
        from: i64,
        since: Option<Timestamp>,
    ) -> Result<Filter> {
        let refused = match self.filter_known(query, from, since).await {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::InvalidInput) => error,
            other => return other,
        };
        // Somebody may have added since what was not there a while ago.
        if !self.is_older_than(FAULTS_AGE_MAX).await {
            return Err(refused);
        }
        self.refresh().await;
        self.filter_known(query, from, since).await
    }

    async fn filter_known(
        &self,
        query: &Query,
        from: i64,
        since: Option<Timestamp>,
    ) -> Result<Filter> {
        let catalogue = self.catalogue().await?;
        let sheets = sheets(&catalogue, &query.asset_types)?;
        let mut filters = Vec::new();
        filters.extend(self.below(&query.collection).await?);
        filters.push(Filter::IdRange { from });
        filters.extend(since.map(changed_since));
        if !query.asset_types.is_empty() {
            filters.push(Filter::Type {
                values: sheets.iter().map(|sheet| sheet.id).collect(),
            });
        }
        for (name, wanted) in &query.fields {
            let fields = fields(&catalogue, &sheets, name)?;
            filters.extend(self.any_of(&fields, wanted).await?);
        }
        Ok(combined(Operator::And, filters))
    }

    /// The filter for all that is in a collection or below it; none for the root.
    pub(crate) async fn below(&self, collection: &AssetPath) -> Result<Option<Filter>> {
        if collection.as_str().is_empty() {
            return Ok(None);
        }
        match self.tree.find(&self.api, collection).await? {
            Reached::Whole(known) => Ok(Some(Filter::Parent {
                values: vec![known.id],
                recursive: true,
                matcher: Matcher::Any,
            })),
            other => Err(missing(collection, &other)),
        }
    }

    /// The filter for assets of which one of these fields is as wanted; none where one of them has no usable filter.
    async fn any_of(&self, fields: &[&Field], wanted: &Value) -> Result<Option<Filter>> {
        let mut any = Vec::new();
        let mut refused = None;
        for field in fields {
            match self.test(field, wanted).await {
                Ok(Some(test)) => any.push(test),
                Ok(None) => return Ok(None),
                // Another type's field of that name may have the option.
                Err(error) if error.kind() == Kind::InvalidInput => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if any.is_empty() => Err(error),
            _ => Ok(Some(combined(Operator::Or, any))),
        }
    }

    /// The filter for assets of which this field is as wanted, if there is a usable one.
    async fn test(&self, field: &Field, wanted: &Value) -> Result<Option<Filter>> {
        let information_field_id = field.id;
        Ok(match (field.kind, wanted) {
            (FieldKind::Text | FieldKind::TextArea, _) => all(entries(wanted)
                .into_iter()
                .map(|text| phrase(field, text))
                .collect()),
            (FieldKind::Number, _) => number(wanted).map(|value| Filter::Number {
                information_field_id,
                value,
            }),
            (FieldKind::Double, Value::Decimal(value)) => Some(Filter::Double {
                information_field_id,
                value: *value,
            }),
            (FieldKind::Double, Value::Number(value)) => Some(Filter::Double {
                information_field_id,
                value: *value as f64,
            }),
            (FieldKind::Boolean, Value::Boolean(value)) => Some(Filter::Boolean {
                information_field_id,
                value: *value,
            }),
            (FieldKind::Date, Value::Date(date)) => around(*date).map(|(from, to)| Filter::Dates {
                information_field_id,
                from,
                to,
            }),
            (FieldKind::Dropdown, _) => {
                let options = entries(wanted)
                    .into_iter()
                    .map(|label| option(field, &label));
                all(options.collect::<Result<_>>()?)
            }
            (FieldKind::CollectionReference | FieldKind::TagReference, _) => {
                let mut tests = Vec::new();
                for name in entries(wanted) {
                    tests.push(self.entry_test(field, &name).await?);
                }
                all(tests)
            }
            _ => None,
        })
    }

    /// The filter for assets whose field has an entry; none where no single entry has that name.
    async fn entry_test(&self, field: &Field, name: &str) -> Result<Option<Filter>> {
        let Some(root) = field.root_id else {
            return Ok(None);
        };
        let vocabulary = self.vocabularies.below(&self.api, root).await?;
        let Entry::One(value) = vocabulary.find(name) else {
            return Ok(None);
        };
        let information_field_id = field.id;
        Ok(Some(match field.kind {
            FieldKind::TagReference => Filter::Tag {
                information_field_id,
                value,
            },
            _ => Filter::Reference {
                information_field_id,
                value,
            },
        }))
    }
}

impl Shared {
    /// Refuses fields that the types do not have.
    pub(crate) async fn check_fields(&self, types: &[String], names: &[String]) -> Result<()> {
        let catalogue = self.catalogue().await?;
        let sheets = sheets(&catalogue, types)?;
        let mut names = names.iter();
        names.try_for_each(|name| fields(&catalogue, &sheets, name).map(drop))
    }
}

/// The asset types that are asked for; all of them where none is named.
fn sheets<'a>(catalogue: &'a Catalogue, names: &[String]) -> Result<Vec<&'a TypeSheet>> {
    if names.is_empty() {
        return Ok(catalogue.types().collect());
    }
    let found = names.iter().map(|name| {
        let mut types = catalogue.types();
        types.find(|sheet| sheet.name == *name).ok_or_else(|| {
            let message = format!("there is no asset type {name:?}");
            unknown(message, suggestion(name, catalogue.type_names()))
        })
    });
    found.collect()
}

/// The fields of a name that these types have, each once.
fn fields<'a>(
    catalogue: &'a Catalogue,
    sheets: &[&'a TypeSheet],
    name: &str,
) -> Result<Vec<&'a Field>> {
    let mut seen = BTreeSet::new();
    let found = sheets.iter().filter_map(|sheet| sheet.fields.get(name));
    let found = found.map(|entry| &entry.field);
    let found: Vec<&Field> = found.filter(|field| seen.insert(field.id)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match catalogue.type_with(name) {
        Some(other) => unknown(
            format!("the asset types that are asked for have no field {name:?}"),
            Some(format!("{:?} has it", other.name)),
        ),
        None => {
            let known = sheets.iter().flat_map(|sheet| sheet.fields.keys());
            let message = format!("there is no field {name:?}");
            unknown(message, suggestion(name, known.map(String::as_str)))
        }
    })
}

fn unknown(message: String, hint: Option<String>) -> Error {
    let error = Error::new(Kind::InvalidInput, message);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The filter for whatever may have changed: tenants do not say which kind of change moves which date.
fn changed_since(from: Timestamp) -> Filter {
    let dates = vec![
        Filter::Modified { from },
        Filter::Versioned { from },
        Filter::Created { from },
    ];
    combined(Operator::Or, dates)
}

/// All of them as one, as far as each can be tested; none where none can.
fn all(tests: Vec<Option<Filter>>) -> Option<Filter> {
    let tests: Vec<Filter> = tests.into_iter().flatten().collect();
    (!tests.is_empty()).then(|| combined(Operator::And, tests))
}

/// What a field must have of a value, each as a text.
fn entries(wanted: &Value) -> Vec<String> {
    match wanted {
        Value::Text(text) => vec![text.clone()],
        Value::LocalizedText(texts) => texts.values().cloned().collect(),
        Value::Keywords(entries) | Value::References(entries) => entries.clone(),
        other => vec![windlass_core::said(other)],
    }
}

/// A phrase that a text has, in whichever case; a text without a letter or digit is no phrase.
fn phrase(field: &Field, text: String) -> Option<Filter> {
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    let (information_field_id, search_type) = (field.id, SearchType::Phrase);
    Some(match field.kind {
        FieldKind::TextArea => Filter::TextArea {
            information_field_id,
            text,
            search_type,
        },
        _ => Filter::TextField {
            information_field_id,
            text,
            search_type,
        },
    })
}

/// The option of a label, in whichever language.
fn option(field: &Field, label: &str) -> Result<Option<Filter>> {
    let wanted = fold_key(label.trim());
    let all = || field.options.values().flatten();
    let found = all().find(|option| fold_key(option.label.trim()) == wanted);
    match found {
        Some(option) => Ok(Some(Filter::Dropdown {
            information_field_id: field.id,
            value: option.index,
        })),
        None => {
            let labels: BTreeSet<&str> = all().map(|option| option.label.as_str()).collect();
            let message = format!("the field {:?} has no option {label:?}", field.name);
            Err(unknown(message, suggestion(label, labels.into_iter())))
        }
    }
}

fn number(wanted: &Value) -> Option<i64> {
    match wanted {
        Value::Number(number) => Some(*number),
        Value::Decimal(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => {
            Some(*number as i64)
        }
        _ => None,
    }
}

/// A span that has all of a day, whichever zone it was written in and whether or not bounds belong to a span: the
/// time part of a date is nobody's promise.
fn around(date: Date) -> Option<(Timestamp, Timestamp)> {
    let start = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let from = start(date.checked_sub(1.day()).ok()?)?;
    let to = start(date.checked_add(2.days()).ok()?)?;
    Some((from, to))
}
