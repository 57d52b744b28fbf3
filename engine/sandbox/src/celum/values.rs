//! Information field values: what each type takes on create, what it takes on change, and what the
//! asset type demands as a whole.
//!
//! Creating takes plain values, changing takes `{op…}` objects. All faults of a request are collected,
//! because that is how the API reports them.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::error::Fault;
use super::model::{Field, FieldKind, FieldSet, FieldValue, Labels, Values};
use super::request::{Id, instant};
use super::state::State;

/// One entry of `informationFieldValues` in a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    id: Id,
    r#type: String,
    value: Value,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Plain; wrapped ones are tolerated if the profile says so.
    Create { lenient: bool },
    /// As change objects.
    Change,
}

/// Applies the values of a request to a copy of what is there, and checks the outcome. The result is
/// every fault; the copy is only good if there is none.
pub(super) fn apply(
    rules: &Rules<'_>,
    values: &mut Values,
    given: &[Given],
    style: Style,
    strict: bool,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for one in given {
        if !seen.insert(one.id.0) {
            faults.push(Fault::field(
                one.id.0,
                "REPEATED",
                "the field is given twice",
            ));
            continue;
        }
        match rules.set(values, one, style) {
            Ok(()) => {}
            Err((code, message)) => faults.push(Fault::field(one.id.0, code, message)),
        }
    }
    let touched = given.iter().map(|one| one.id.0);
    faults.extend(rules.dependencies(values, touched));
    if strict && faults.is_empty() {
        faults.extend(rules.missing(values));
    }
    faults
}

/// What applies to one asset or collection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) state: &'a State,
    pub(super) sets: &'a [FieldSet],
    pub(super) locales: &'a [String],
}

/// Why one value is refused: a code and a sentence.
type Refusal = (&'static str, String);

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err((code, message.into()))
}

impl<'a> Rules<'a> {
    /// The sets that count, given the values of the fields that others depend on.
    pub(super) fn active(self, values: &Values) -> impl Iterator<Item = &'a FieldSet> {
        let on = move |set: &&FieldSet| match set.depends_on {
            None => true,
            Some(field) => values.get(&field) == Some(&FieldValue::Boolean(true)),
        };
        self.sets.iter().filter(on)
    }

    /// Required fields that have no value.
    pub(super) fn missing(self, values: &Values) -> Vec<Fault> {
        let ids = self.active(values).flat_map(|set| &set.fields);
        let required = ids
            .filter_map(|id| self.state.field(*id))
            .filter(|field| field.required);
        let empty = required.filter(|field| values.get(&field.id).is_none_or(FieldValue::is_empty));
        empty
            .map(|field| Fault::field(field.id, "REQUIRED", format!("{} has no value", field.name)))
            .collect()
    }

    fn dependencies(self, values: &Values, touched: impl Iterator<Item = u64>) -> Vec<Fault> {
        let active: BTreeSet<u64> = self
            .active(values)
            .flat_map(|set| set.fields.clone())
            .collect();
        let idle = touched.filter(|id| {
            let known = self.sets.iter().any(|set| set.fields.contains(id));
            known && values.contains_key(id) && !active.contains(id)
        });
        idle.map(|id| {
            let message = "the field depends on another one that is not true";
            Fault::field(id, "DEPENDENCY", message)
        })
        .collect()
    }

    fn set(self, values: &mut Values, given: &Given, style: Style) -> Result<(), Refusal> {
        let id = given.id.0;
        let Some(field) = self.state.field(id) else {
            return refuse("UNKNOWN", "there is no such field");
        };
        if !self.sets.iter().any(|set| set.fields.contains(&id)) {
            return refuse(
                "NOT_IN_TYPE",
                format!("{} does not belong to the type", field.name),
            );
        }
        if given.r#type != field.kind.wire() {
            let message = format!("{} is of type {}", field.name, field.kind.wire());
            return refuse("TYPE", message);
        }
        let outcome = match style {
            Style::Create { lenient } => Some(self.created(field, &given.value, lenient)?),
            Style::Change => self.changed(field, values.get(&id), &given.value)?,
        };
        match outcome {
            Some(value) => values.insert(id, value),
            None => values.remove(&id),
        };
        Ok(())
    }

    fn created(self, field: &Field, raw: &Value, lenient: bool) -> Result<FieldValue, Refusal> {
        let op = raw.get("op");
        if op.is_none() {
            return self.plain(field, raw);
        }
        match (lenient, op.and_then(Value::as_str), raw.get("value")) {
            (true, Some("SET"), Some(inner)) => self.plain(field, inner),
            _ => refuse(
                "OP_ON_CREATE",
                "creating takes plain values; {op} objects are for changes",
            ),
        }
    }

    fn changed(
        self,
        field: &Field,
        old: Option<&FieldValue>,
        raw: &Value,
    ) -> Result<Option<FieldValue>, Refusal> {
        if raw.get("op").is_none() {
            return refuse(
                "OP_MISSING",
                "changing takes {op} objects; plain values are for creating",
            );
        }
        let change: Change = serde_json::from_value(raw.clone())
            .map_err(|error| ("OP", format!("the change is not understood: {error}")))?;
        match (change, &field.kind) {
            (Change::Clear {}, _) => Ok(None),
            (Change::Set { .. }, FieldKind::Localized { .. }) => refuse(
                "OP_NOT_SUPPORTED",
                "localised texts know MODIFY and CLEAR, not SET",
            ),
            (Change::Set { value }, _) => self.plain(field, &value).map(Some),
            (Change::Modify(edit), FieldKind::Localized { .. }) => {
                self.modify_texts(old, edit).map(Some)
            }
            (Change::Modify(edit), FieldKind::Collections { .. } | FieldKind::Tags { .. }) => {
                self.modify_references(field, old, edit).map(Some)
            }
            (Change::Modify(_), kind) => refuse(
                "OP_NOT_SUPPORTED",
                format!("{} knows SET and CLEAR, not MODIFY", kind.wire()),
            ),
        }
    }

    fn modify_texts(self, old: Option<&FieldValue>, edit: Edit) -> Result<FieldValue, Refusal> {
        if edit.add.is_some() || edit.remove.is_some() {
            return refuse("OP", "localised texts are modified by set and clear");
        }
        let mut texts = match old {
            Some(FieldValue::Localized(texts)) => texts.clone(),
            _ => Labels::new(),
        };
        for locale in edit.clear.unwrap_or_default() {
            self.locale(&locale)?;
            texts.remove(&locale);
        }
        for (locale, text) in edit.set.unwrap_or_default() {
            self.locale(&locale)?;
            texts.insert(locale, text);
        }
        Ok(FieldValue::Localized(texts))
    }

    fn modify_references(
        self,
        field: &Field,
        old: Option<&FieldValue>,
        edit: Edit,
    ) -> Result<FieldValue, Refusal> {
        if edit.set.is_some() || edit.clear.is_some() {
            return refuse("OP", "references are modified by add and remove");
        }
        let mut ids = match old {
            Some(FieldValue::References(ids)) => ids.clone(),
            _ => Vec::new(),
        };
        let remove: BTreeSet<u64> = edit.remove.iter().flatten().map(|id| id.0).collect();
        ids.retain(|id| !remove.contains(id));
        for Id(id) in edit.add.unwrap_or_default() {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        self.references(field, ids)
    }

    /// Reads and checks a value without any wrapping.
    fn plain(self, field: &Field, raw: &Value) -> Result<FieldValue, Refusal> {
        let expected = |what: &str| ("TYPE", format!("{} wants {what}, not {raw}", field.name));
        match &field.kind {
            FieldKind::Text {
                min, max, pattern, ..
            } => {
                let text = raw.as_str().ok_or_else(|| expected("a string"))?;
                check_text(text, *min, *max, pattern.as_deref())?;
                Ok(FieldValue::Text(text.to_owned()))
            }
            FieldKind::Localized { .. } => {
                let texts: BTreeMap<String, String> = serde_json::from_value(raw.clone())
                    .map_err(|_| expected("an object of texts by locale"))?;
                texts.keys().try_for_each(|locale| self.locale(locale))?;
                Ok(FieldValue::Localized(texts))
            }
            FieldKind::Number => {
                let number = raw.as_i64().ok_or_else(|| expected("a whole number"))?;
                Ok(FieldValue::Number(number))
            }
            FieldKind::Double => {
                let number = raw.as_f64().ok_or_else(|| expected("a number"))?;
                Ok(FieldValue::Double(number))
            }
            FieldKind::Boolean => {
                let flag = raw.as_bool().ok_or_else(|| expected("true or false"))?;
                Ok(FieldValue::Boolean(flag))
            }
            FieldKind::Date => {
                let date = instant(raw).map_err(|message| ("TYPE", message))?;
                Ok(FieldValue::Date(date))
            }
            FieldKind::Dropdown { options } => {
                let index = raw
                    .as_i64()
                    .ok_or_else(|| expected("the index of an option"))?;
                match options.iter().any(|(known, _)| *known == index) {
                    true => Ok(FieldValue::Dropdown(index)),
                    false => refuse("OPTION", format!("{} has no option {index}", field.name)),
                }
            }
            FieldKind::Collections { .. } | FieldKind::Tags { .. } => {
                let ids: Vec<Id> = serde_json::from_value(raw.clone())
                    .map_err(|_| expected("a list of ids from 1"))?;
                self.references(field, ids.into_iter().map(|id| id.0).collect())
            }
        }
    }

    fn references(self, field: &Field, ids: Vec<u64>) -> Result<FieldValue, Refusal> {
        let (root, max, root_selectable) = match &field.kind {
            FieldKind::Collections {
                root,
                max,
                root_selectable,
            } => (*root, *max, *root_selectable),
            FieldKind::Tags { root, max, .. } => (*root, *max, false),
            other => return refuse("TYPE", format!("{} holds no references", other.wire())),
        };
        if let Some(max) = max.filter(|max| ids.len() > *max) {
            let message = format!("{} takes at most {max}, not {}", field.name, ids.len());
            return refuse("MAX_SELECTIONS", message);
        }
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        if distinct.len() != ids.len() {
            return refuse("REPEATED", format!("{} has the same id twice", field.name));
        }
        for id in distinct {
            if !self.state.within(id, root) || (id == root && !root_selectable) {
                let message = format!(
                    "{} takes collections below {root}; {id} is none",
                    field.name
                );
                return refuse("REFERENCE", message);
            }
        }
        Ok(FieldValue::References(ids))
    }

    fn locale(self, locale: &str) -> Result<(), Refusal> {
        if self.locales.iter().any(|known| known == locale) {
            return Ok(());
        }
        refuse(
            "LOCALE",
            format!("{locale:?} is not one of {:?}", self.locales),
        )
    }
}

/// A change object.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum Change {
    Set { value: Value },
    Clear {},
    Modify(Edit),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    set: Option<Labels>,
    clear: Option<Vec<String>>,
    add: Option<Vec<Id>>,
    remove: Option<Vec<Id>>,
}

fn check_text(
    text: &str,
    min: Option<usize>,
    max: Option<usize>,
    pattern: Option<&str>,
) -> Result<(), Refusal> {
    let length = text.chars().count();
    if let Some(min) = min.filter(|min| length < *min) {
        return refuse(
            "MIN_LENGTH",
            format!("{length} characters are fewer than {min}"),
        );
    }
    if let Some(max) = max.filter(|max| length > *max) {
        return refuse(
            "MAX_LENGTH",
            format!("{length} characters are more than {max}"),
        );
    }
    let Some(pattern) = pattern else {
        return Ok(());
    };
    // Patterns are matched as a whole, as form validation does.
    match Regex::new(&format!("^(?:{pattern})$")) {
        Ok(regex) if regex.is_match(text) => Ok(()),
        Ok(_) => refuse("PATTERN", format!("{text:?} does not match {pattern}")),
        Err(error) => refuse("PATTERN", format!("the field's pattern is broken: {error}")),
    }
}
