//! Reads filters from JSON, refusing what is unknown, out of bounds or aimed at a field of another type.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DateOf, Filter, NumberOf, Raw, Sort, Span, Test, TextOf, WordOf};
use crate::celum::error::{ApiError, Result};
use crate::celum::model::{Category, Labels};
use crate::celum::profile::Profile;
use crate::celum::query::{SearchOperator, SearchType, TextQuery};
use crate::celum::request::{Id, Instant, part};
use crate::celum::state::State;

/// Reads filters of one sort for one tenant.
#[derive(Clone, Copy, Debug)]
pub(in crate::celum) struct Reader<'a> {
    pub(in crate::celum) sort: Sort,
    pub(in crate::celum) state: &'a State,
    pub(in crate::celum) profile: &'a Profile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Logical {
    #[serde(default)]
    operator: Operator,
    filters: Vec<Raw>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Operator {
    #[default]
    And,
    Or,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Negation {
    filter: Raw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many<T> {
    values: Vec<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parents {
    values: Vec<Id>,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    matcher: Matcher,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Matcher {
    #[default]
    All,
    Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parent {
    value: Id,
    #[serde(default)]
    recursive: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range<T> {
    from: Option<T>,
    to: Option<T>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Equal<T> {
    value: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Active {
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActiveWithin {
    from: Option<Instant>,
    to: Option<Instant>,
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Text {
    text: String,
    #[serde(default)]
    search_type: SearchType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FullText {
    text: String,
    #[serde(default)]
    search_type: SearchType,
    #[serde(default)]
    search_operator: SearchOperator,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldText {
    information_field_id: Id,
    text: String,
    #[serde(default)]
    search_type: SearchType,
    locale: Option<String>,
    #[serde(default, rename = "inheritedValueExcluded")]
    _inherited_value_excluded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldEqual<T> {
    information_field_id: Id,
    value: T,
    #[serde(default, rename = "inheritedValueExcluded")]
    _inherited_value_excluded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldRange<T> {
    information_field_id: Id,
    from: Option<T>,
    to: Option<T>,
    #[serde(default, rename = "inheritedValueExcluded")]
    _inherited_value_excluded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldReference {
    information_field_id: Id,
    value: Id,
    #[serde(default)]
    recursive: bool,
    #[serde(default, rename = "inheritedValueExcluded")]
    _inherited_value_excluded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldNames {
    information_field_id: Id,
    values: Labels,
    #[serde(default)]
    search_type: SearchType,
    #[serde(default)]
    recursive: bool,
    #[serde(default, rename = "inheritedValueExcluded")]
    _inherited_value_excluded: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FieldEmpty {
    information_field_id: Id,
    #[serde(default = "yes")]
    empty: bool,
    locale: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtensionEmpty {
    #[serde(default = "yes")]
    empty: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PropertyEqual {
    file_property_name: String,
    value: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PropertyRange {
    file_property_name: String,
    from: Option<f64>,
    to: Option<f64>,
}

impl Reader<'_> {
    /// Reads a filter and everything within it.
    pub(in crate::celum) fn read(self, raw: Raw) -> Result<Filter> {
        self.nested(raw, 1)
    }

    fn nested(self, raw: Raw, depth: usize) -> Result<Filter> {
        if depth > self.profile.search_caps.depth {
            let message = format!(
                "filters nest deeper than {}",
                self.profile.search_caps.depth
            );
            return Err(ApiError::argument("filter", "DEPTH", message));
        }
        let Value::Object(mut members) = raw else {
            return Err(ApiError::argument(
                "filter",
                "TYPE",
                format!("{raw} is not a filter"),
            ));
        };
        let kind = match members.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => {
                return Err(ApiError::argument(
                    "filter.type",
                    "MISSING",
                    "a filter has no type",
                ));
            }
        };
        let one = One {
            reader: self,
            name: &kind,
            members: Value::Object(members),
        };
        let prefix = match self.sort {
            Sort::Asset => "ASSET_",
            Sort::Collection => "COLLECTION_",
        };
        match kind.strip_prefix(prefix) {
            Some("LOGICAL") => {
                let logical: Logical = one.members()?;
                let inner = logical.filters.into_iter();
                let inner = inner.map(|raw| self.nested(raw, depth + 1));
                let inner = inner.collect::<Result<Vec<Filter>>>()?;
                Ok(match logical.operator {
                    Operator::And => Filter::All(inner),
                    Operator::Or => Filter::Any(inner),
                })
            }
            Some("NEGATION") => {
                let negation: Negation = one.members()?;
                let inner = self.nested(negation.filter, depth + 1)?;
                Ok(Filter::Not(Box::new(inner)))
            }
            Some(name) => one.simple(name),
            None => Err(one.unknown()),
        }
    }
}

/// A filter being read.
struct One<'a> {
    reader: Reader<'a>,
    /// The whole type, for messages.
    name: &'a str,
    members: Value,
}

impl One<'_> {
    fn members<T: DeserializeOwned>(self) -> Result<T> {
        part(self.members, self.name)
    }

    fn unknown(&self) -> ApiError {
        let message = format!("there is no filter {:?} here", self.name);
        ApiError::argument("filter.type", "UNKNOWN", message)
    }

    fn bad(name: &str, message: &str) -> ApiError {
        ApiError::argument(name, "VALUE", format!("{name}: {message}"))
    }

    fn simple(self, name: &str) -> Result<Filter> {
        let asset = self.reader.sort == Sort::Asset;
        match name {
            "ID" => self.numbers(NumberOf::Id),
            "TYPE_ID" => self.numbers(NumberOf::Type),
            "CREATION_USER_ID" => self.numbers(NumberOf::Creator),
            "MODIFICATION_USER_ID" => self.numbers(NumberOf::Modifier),
            "ID_RANGE" => self.id_range(),
            "CREATION_DATE_RANGE" => self.date_range(DateOf::Creation),
            "CREATION_DATE_EQUALITY" => self.date(DateOf::Creation),
            "MODIFICATION_DATE_RANGE" => self.date_range(DateOf::Modification),
            "MODIFICATION_DATE_EQUALITY" => self.date(DateOf::Modification),
            "NAME" => self.text(TextOf::Name),
            "FULLTEXT" => self.full_text(),
            "INFORMATION_FIELD_EMPTY" => self.field_empty(),
            "PARENT_ID" if !asset => {
                let parent: Parent = self.members()?;
                Ok(Filter::Parents {
                    ids: vec![parent.value.0],
                    recursive: parent.recursive,
                    all: true,
                })
            }
            _ if name.contains("_INFORMATION_FIELD") => self.field(name),
            _ if asset => self.of_assets(name),
            _ => Err(self.unknown()),
        }
    }

    fn of_assets(self, name: &str) -> Result<Filter> {
        match name {
            "COLLECTION_TYPE_ID" => self.numbers(NumberOf::ParentType),
            "VERSIONED_USER_ID" => self.numbers(NumberOf::Versioner),
            "FILE_EXTENSION" => self.words(WordOf::Extension),
            "FILE_CATEGORY" => self.words(WordOf::Category),
            "CHECKSUM" => self.words(WordOf::Checksum),
            "PARENT_ID" => self.parents(),
            "VERSIONED_DATE_RANGE" => self.date_range(DateOf::Versioned),
            "VERSIONED_DATE_EQUALITY" => self.date(DateOf::Versioned),
            "EXPIRATION_DATE_RANGE" => self.expiration(),
            "AVAILABILITY" => {
                let active: Active = self.members()?;
                Ok(Filter::Available(active.active))
            }
            "AVAILABILITY_DATE_RANGE" => self.available_within(),
            "FILE_NAME" => self.text(TextOf::FileName),
            "FILE_EXTENSION_EMPTY" => {
                let empty: ExtensionEmpty = self.members()?;
                Ok(Filter::ExtensionEmpty(empty.empty))
            }
            "NUMBER_FILE_PROPERTY_EQUALITY" => {
                let equal: PropertyEqual = self.members()?;
                let span = span(Some(equal.value), Some(equal.value), true);
                Ok(Filter::Property(equal.file_property_name, span))
            }
            "NUMBER_FILE_PROPERTY_RANGE" => {
                let name = self.name;
                let range: PropertyRange = self.members()?;
                bounded(name, &range.from, &range.to)?;
                let span = span(range.from, range.to, true);
                Ok(Filter::Property(range.file_property_name, span))
            }
            _ => Err(self.unknown()),
        }
    }

    fn capped(&self, count: usize) -> Result<()> {
        let most = self.reader.profile.search_caps.values;
        if count == 0 || count > most {
            let message = format!("values are 1 to {most}, not {count}");
            return Err(Self::bad(self.name, &message));
        }
        Ok(())
    }

    fn numbers(self, of: NumberOf) -> Result<Filter> {
        let many: Many<Id> = part(self.members.clone(), self.name)?;
        self.capped(many.values.len())?;
        Ok(Filter::Numbers(
            of,
            many.values.iter().map(|id| id.0).collect(),
        ))
    }

    fn words(self, of: WordOf) -> Result<Filter> {
        let many: Many<String> = part(self.members.clone(), self.name)?;
        self.capped(many.values.len())?;
        let known = |word: &String| Category::ALL.iter().any(|category| category.wire() == word);
        if matches!(of, WordOf::Category) && !many.values.iter().all(known) {
            return Err(Self::bad(self.name, "values must be file categories"));
        }
        let values = many.values.into_iter();
        let values: BTreeSet<String> = match of {
            WordOf::Extension => values.map(|word| word.to_lowercase()).collect(),
            WordOf::Category | WordOf::Checksum => values.collect(),
        };
        Ok(Filter::Words(of, values))
    }

    fn parents(self) -> Result<Filter> {
        let parents: Parents = part(self.members.clone(), self.name)?;
        self.capped(parents.values.len())?;
        Ok(Filter::Parents {
            ids: parents.values.iter().map(|id| id.0).collect(),
            recursive: parents.recursive,
            all: matches!(parents.matcher, Matcher::All),
        })
    }

    fn id_range(self) -> Result<Filter> {
        let name = self.name;
        let range: Range<u64> = self.members()?;
        bounded(name, &range.from, &range.to)?;
        Ok(Filter::IdRange(span(range.from, range.to, true)))
    }

    fn date_range(self, of: DateOf) -> Result<Filter> {
        let (name, inclusive) = (self.name, self.reader.profile.range_inclusive);
        let range: Range<Instant> = self.members()?;
        bounded(name, &range.from, &range.to)?;
        Ok(Filter::When(of, dates(range.from, range.to, inclusive)))
    }

    fn expiration(self) -> Result<Filter> {
        if self.members.get("to").is_none() {
            return Err(Self::bad(self.name, "to is required"));
        }
        self.date_range(DateOf::Expiration)
    }

    fn date(self, of: DateOf) -> Result<Filter> {
        let equal: Equal<Instant> = self.members()?;
        Ok(Filter::When(
            of,
            dates(Some(equal.value), Some(equal.value), true),
        ))
    }

    fn available_within(self) -> Result<Filter> {
        let name = self.name;
        let within: ActiveWithin = self.members()?;
        bounded(name, &within.from, &within.to)?;
        Ok(Filter::AvailableWithin {
            from: within.from.map_or(Timestamp::MIN, |from| from.0),
            to: within.to.map_or(Timestamp::MAX, |to| to.0),
            active: within.active,
        })
    }

    fn text(self, of: TextOf) -> Result<Filter> {
        let text: Text = self.members()?;
        let query = TextQuery::new(&text.text, text.search_type, SearchOperator::And)?;
        Ok(Filter::Text(of, query))
    }

    fn full_text(self) -> Result<Filter> {
        let text: FullText = self.members()?;
        let query = TextQuery::new(&text.text, text.search_type, text.search_operator)?;
        Ok(Filter::Text(TextOf::Everything, query))
    }

    fn field_empty(self) -> Result<Filter> {
        let reader = self.reader;
        let empty: FieldEmpty = self.members()?;
        reader.check_field(empty.information_field_id, None)?;
        Ok(Filter::FieldEmpty {
            id: empty.information_field_id.0,
            empty: empty.empty,
            locale: empty.locale,
        })
    }

    /// Filters on one information field: the name holds the field's type and the kind of test.
    fn field(self, name: &str) -> Result<Filter> {
        let Some((kind, test)) = name.split_once("_INFORMATION_FIELD") else {
            return Err(self.unknown());
        };
        let inclusive = self.reader.profile.range_inclusive;
        match (kind, test) {
            ("TEXT" | "TEXT_AREA" | "LOCALIZED_TEXT" | "LOCALIZED_TEXT_AREA", "") => {
                self.field_text(kind)
            }
            ("DATE", "_EQUALITY") => self.equal(kind, |date: Instant| {
                Test::When(dates(Some(date), Some(date), true))
            }),
            ("DATE", "_RANGE") => {
                self.range(kind, |from, to| Test::When(dates(from, to, inclusive)))
            }
            ("NUMBER", "_EQUALITY") => self.equal(kind, |number| {
                Test::Number(span(Some(number), Some(number), true))
            }),
            ("NUMBER", "_RANGE") => self.range(kind, |from, to| Test::Number(span(from, to, true))),
            ("DOUBLE", "_EQUALITY") => self.equal(kind, |number| {
                Test::Double(span(Some(number), Some(number), true))
            }),
            ("DOUBLE", "_RANGE") => self.range(kind, |from, to| Test::Double(span(from, to, true))),
            ("BOOLEAN", "") => self.equal(kind, Test::Boolean),
            ("DROPDOWN", "_EQUALITY") => self.equal(kind, Test::Dropdown),
            ("COLLECTION_REFERENCE" | "TAG_REFERENCE", "_EQUALITY") => self.reference(kind),
            ("COLLECTION_REFERENCE" | "TAG_REFERENCE", "_NAMES") => self.reference_names(kind),
            _ => Err(self.unknown()),
        }
    }

    fn field_text(self, kind: &str) -> Result<Filter> {
        let (reader, name) = (self.reader, self.name);
        let text: FieldText = self.members()?;
        reader.check_field(text.information_field_id, Some(kind))?;
        if text.locale.is_some() && !kind.starts_with("LOCALIZED") {
            return Err(Self::bad(name, "locale belongs to localised texts"));
        }
        let query = TextQuery::new(&text.text, text.search_type, SearchOperator::And)?;
        Ok(Filter::Field(
            text.information_field_id.0,
            Test::Text(query, text.locale),
        ))
    }

    fn equal<T: DeserializeOwned>(self, kind: &str, test: impl Fn(T) -> Test) -> Result<Filter> {
        let reader = self.reader;
        let equal: FieldEqual<T> = self.members()?;
        reader.check_field(equal.information_field_id, Some(kind))?;
        Ok(Filter::Field(
            equal.information_field_id.0,
            test(equal.value),
        ))
    }

    fn range<T: DeserializeOwned>(
        self,
        kind: &str,
        test: impl Fn(Option<T>, Option<T>) -> Test,
    ) -> Result<Filter> {
        let (reader, name) = (self.reader, self.name);
        let range: FieldRange<T> = self.members()?;
        bounded(name, &range.from, &range.to)?;
        reader.check_field(range.information_field_id, Some(kind))?;
        Ok(Filter::Field(
            range.information_field_id.0,
            test(range.from, range.to),
        ))
    }

    fn reference(self, kind: &str) -> Result<Filter> {
        let reader = self.reader;
        let reference: FieldReference = self.members()?;
        reader.check_field(reference.information_field_id, Some(kind))?;
        let test = Test::Reference {
            id: reference.value.0,
            recursive: reference.recursive,
        };
        Ok(Filter::Field(reference.information_field_id.0, test))
    }

    fn reference_names(self, kind: &str) -> Result<Filter> {
        let reader = self.reader;
        let wanted: FieldNames = self.members()?;
        reader.check_field(wanted.information_field_id, Some(kind))?;
        let names = wanted.values.into_iter().map(|(locale, text)| {
            let query = TextQuery::new(&text, wanted.search_type, SearchOperator::And)?;
            Ok((locale, query))
        });
        let test = Test::ReferenceNames {
            names: names.collect::<Result<_>>()?,
            recursive: wanted.recursive,
        };
        Ok(Filter::Field(wanted.information_field_id.0, test))
    }
}

impl Reader<'_> {
    fn check_field(self, id: Id, kind: Option<&str>) -> Result<()> {
        let Some(field) = self.state.field(id.0) else {
            let message = format!("there is no information field {}", id.0);
            return Err(ApiError::argument("informationFieldId", "UNKNOWN", message));
        };
        match kind {
            Some(kind) if field.kind.wire() != kind => {
                let found = field.kind.wire();
                let message = format!("field {} is of type {found}, not {kind}", id.0);
                Err(ApiError::argument("informationFieldId", "TYPE", message))
            }
            _ => Ok(()),
        }
    }
}

fn bounded<T>(name: &str, from: &Option<T>, to: &Option<T>) -> Result<()> {
    if from.is_none() && to.is_none() {
        return Err(One::bad(name, "from or to is required"));
    }
    Ok(())
}

fn span<T>(from: Option<T>, to: Option<T>, inclusive: bool) -> Span<T> {
    Span {
        from,
        to,
        inclusive,
    }
}

fn dates(from: Option<Instant>, to: Option<Instant>, inclusive: bool) -> Span<Timestamp> {
    span(from.map(|from| from.0), to.map(|to| to.0), inclusive)
}
