//! From a draft, in technical names, to what the API wants: ids, types, values; and what it would refuse.
//!
//! Everything that can be known before bytes move is checked here, so that a refusal names the field
//! while the file is still only planned.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value as Json, json};
use windlass_core::{Assigned, Draft, Fault, Result, Value, preflight_name};

use crate::catalogue::{Catalogue, SheetField, TypeSheet};
use crate::client::Api;
use crate::vocabulary::{Entry, Vocabularies, nearest};
use crate::wire::{Field, FieldEntry, FieldKind};

/// The longest name and file name that a careful caller uses, in UTF-16 units.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// A draft in the tenant's own terms.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) type_id: Option<i64>,
    /// Plain values, as creating wants them.
    pub(crate) values: Vec<FieldEntry>,
    /// What the tenant would refuse.
    pub(crate) faults: Vec<Fault>,
}

/// Resolves a draft. `strict`: whether its collection asks for a type and for required fields.
pub(crate) async fn resolve(
    api: &Api,
    catalogue: &Catalogue,
    vocabularies: &Vocabularies,
    draft: &Draft,
    strict: bool,
) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for (what, name) in [("name", &draft.name), ("file name", &draft.file_name)] {
        if let Err(problem) = preflight_name(name, NAME_UNITS_MAX) {
            resolved.whole(format!("its {what} cannot be used: {problem}"), None);
        }
    }
    let sheet = match &draft.asset_type {
        None => {
            if strict {
                resolved.whole(
                    "it has no asset type, and its collection asks for one".to_owned(),
                    Some("set asset_type in the flow, or let the plugin name one".to_owned()),
                );
            } else if !draft.fields.is_empty() {
                resolved.whole("it has fields but no asset type".to_owned(), None);
            }
            return Ok(resolved);
        }
        Some(name) => match catalogue.asset_type(name) {
            Some(sheet) => sheet,
            None => {
                resolved.whole(
                    format!("there is no asset type {name:?}"),
                    suggestion(name, catalogue.type_names()),
                );
                return Ok(resolved);
            }
        },
    };
    resolved.type_id = Some(sheet.id);
    for assigned in &draft.fields {
        match value_of(api, catalogue, vocabularies, sheet, assigned).await? {
            Ok(entry) => resolved.values.push(entry),
            Err(fault) => resolved.faults.push(fault),
        }
    }
    check_switches(sheet, draft, &mut resolved);
    if strict {
        check_required(sheet, draft, &mut resolved);
    }
    Ok(resolved)
}

impl Resolved {
    fn whole(&mut self, message: String, hint: Option<String>) {
        self.faults.push(Fault {
            field: None,
            message,
            hint,
        });
    }
}

/// The change objects that make an asset's fields what the draft says, without those that are.
pub(crate) fn changes(
    sheet_values: &[FieldEntry],
    current: impl Fn(i64) -> Option<Json>,
) -> Vec<FieldEntry> {
    sheet_values
        .iter()
        .filter(|entry| !same(entry.kind, &entry.value, current(entry.id).as_ref()))
        .map(|entry| FieldEntry {
            value: change(entry.kind, &entry.value),
            ..entry.clone()
        })
        .collect()
}

/// The change object of a type: localised fields know no `SET`.
fn change(kind: FieldKind, value: &Json) -> Json {
    match kind {
        FieldKind::LocalizedText | FieldKind::LocalizedTextArea => {
            json!({ "op": "MODIFY", "set": value })
        }
        _ => json!({ "op": "SET", "value": value }),
    }
}

/// Whether a value read back means the same as one that would be written.
fn same(kind: FieldKind, wanted: &Json, current: Option<&Json>) -> bool {
    let Some(current) = current else { return false };
    match kind {
        FieldKind::LocalizedText | FieldKind::LocalizedTextArea => {
            wanted.as_object().is_some_and(|texts| {
                texts
                    .iter()
                    .all(|(locale, text)| current.get(locale) == Some(text))
            })
        }
        FieldKind::CollectionReference | FieldKind::TagReference => {
            let mut wanted: Vec<i64> = ids(wanted, |id| id.as_i64());
            let mut now: Vec<i64> = ids(current, |entry| entry["id"].as_i64());
            wanted.sort_unstable();
            now.sort_unstable();
            wanted == now
        }
        // The time part of a date is not part of its meaning.
        FieldKind::Date => match (wanted.as_str(), current.as_str()) {
            (Some(wanted), Some(now)) => wanted.get(..10) == now.get(..10),
            _ => false,
        },
        FieldKind::Number | FieldKind::Double => wanted.as_f64() == current.as_f64(),
        _ => wanted == current,
    }
}

fn ids(list: &Json, id: impl Fn(&Json) -> Option<i64>) -> Vec<i64> {
    list.as_array()
        .map(|list| list.iter().filter_map(id).collect())
        .unwrap_or_default()
}

async fn value_of(
    api: &Api,
    catalogue: &Catalogue,
    vocabularies: &Vocabularies,
    sheet: &TypeSheet,
    assigned: &Assigned,
) -> Result<Result<FieldEntry, Fault>> {
    let fault = |message: String, hint: Option<String>| {
        Ok(Err(Fault {
            field: Some(assigned.field.clone()),
            message,
            hint,
        }))
    };
    let Some(SheetField { field, .. }) = sheet.fields.get(&assigned.field) else {
        return match catalogue.type_with(&assigned.field) {
            Some(other) => fault(
                format!("the asset type {:?} has no such field", sheet.name),
                Some(format!("{:?} has it", other.name)),
            ),
            None => fault(
                "there is no such field".to_owned(),
                suggestion(&assigned.field, sheet.fields.keys().map(String::as_str)),
            ),
        };
    };
    let value = match (field.kind, &assigned.value) {
        (FieldKind::CollectionReference | FieldKind::TagReference, value) => {
            match references(api, vocabularies, field, value).await? {
                Ok(value) => value,
                Err((message, hint)) => return fault(message, hint),
            }
        }
        (_, value) => match plain(field, value) {
            Ok(value) => value,
            Err((message, hint)) => return fault(message, hint),
        },
    };
    Ok(Ok(FieldEntry {
        id: field.id,
        kind: field.kind,
        value,
    }))
}

type Refused = (String, Option<String>);

fn plain(field: &Field, value: &Value) -> Result<Json, Refused> {
    Ok(match (field.kind, value) {
        (FieldKind::Text | FieldKind::TextArea, Value::Text(text)) => {
            check_text(field, text)?;
            json!(text)
        }
        (FieldKind::LocalizedText | FieldKind::LocalizedTextArea, Value::LocalizedText(texts)) => {
            json!(texts)
        }
        (FieldKind::Number, Value::Number(number)) => json!(number),
        (FieldKind::Double, Value::Decimal(number)) => json!(number),
        (FieldKind::Double, Value::Number(number)) => json!(number),
        (FieldKind::Boolean, Value::Boolean(yes)) => json!(yes),
        (FieldKind::Date, Value::Date(date)) => json!(format!("{date}T00:00:00Z")),
        (FieldKind::Dropdown, Value::Text(label)) => json!(option(field, label)?),
        (FieldKind::Dropdown, Value::References(labels)) if labels.len() == 1 => {
            json!(option(field, &labels[0])?)
        }
        (FieldKind::Other, _) => {
            return Err((
                "its type is not known to this version of windlass".to_owned(),
                None,
            ));
        }
        (kind, value) => {
            return Err((
                format!("it takes {}, not {}", wanted(kind), value.kind()),
                None,
            ));
        }
    })
}

fn wanted(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text | FieldKind::TextArea => "a text",
        FieldKind::LocalizedText | FieldKind::LocalizedTextArea => "a text per language",
        FieldKind::Number => "a whole number",
        FieldKind::Double => "a number",
        FieldKind::Boolean => "yes or no",
        FieldKind::Date => "a date",
        FieldKind::Dropdown => "the label of one option",
        FieldKind::CollectionReference => "references to collections",
        FieldKind::TagReference => "keywords",
        FieldKind::Other => "a value of an unknown type",
    }
}

fn check_text(field: &Field, text: &str) -> Result<(), Refused> {
    let length = text.encode_utf16().count();
    if let Some(min) = field.min_length.filter(|min| length < *min) {
        return Err((
            format!("{text:?} has {length} characters; at least {min} are asked for"),
            None,
        ));
    }
    if let Some(max) = field.max_length.filter(|max| length > *max) {
        return Err((
            format!("the text has {length} characters; at most {max} are allowed"),
            None,
        ));
    }
    let Some(pattern) = &field.validation_pattern else {
        return Ok(());
    };
    // The tenant's dialect may know more than ours; what we cannot read, the tenant judges.
    let Ok(regex) = Regex::new(&format!("^(?:{pattern})$")) else {
        return Ok(());
    };
    match regex.is_match(text) {
        true => Ok(()),
        false => Err((
            format!("{text:?} does not match the pattern {pattern}"),
            None,
        )),
    }
}

fn option(field: &Field, label: &str) -> Result<i64, Refused> {
    let all = || field.options.values().flatten();
    if let Some(option) = all().find(|option| option.label == label) {
        return Ok(option.index);
    }
    let mut labels: Vec<&str> = all().map(|option| option.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let hint = nearest(label, labels.iter().copied())
        .map(|near| format!("did you mean {near:?}?"))
        .unwrap_or_else(|| format!("its options are {}", labels.join(", ")));
    Err((format!("there is no option {label:?}"), Some(hint)))
}

async fn references(
    api: &Api,
    vocabularies: &Vocabularies,
    field: &Field,
    value: &Value,
) -> Result<Result<Json, Refused>> {
    let names: &[String] = match value {
        Value::Keywords(names) | Value::References(names) => names,
        Value::Text(name) => std::slice::from_ref(name),
        other => {
            return Ok(Err((
                format!("it takes {}, not {}", wanted(field.kind), other.kind()),
                None,
            )));
        }
    };
    if let Some(max) = field.max_selections.filter(|max| names.len() > *max) {
        let given = names.len();
        return Ok(Err((
            format!("it takes at most {max} entries, not {given}"),
            None,
        )));
    }
    let Some(root) = field.root_id else {
        return Ok(Err((
            "the tenant states no root for its entries".to_owned(),
            None,
        )));
    };
    let vocabulary = vocabularies.below(api, root).await?;
    let mut ids: Vec<i64> = Vec::new();
    for name in names {
        match vocabulary.find(name) {
            Entry::One(id) if ids.contains(&id) => {}
            Entry::One(id) => ids.push(id),
            Entry::Several => {
                let hint = "write its path, such as Parent/Name".to_owned();
                return Ok(Err((
                    format!("several entries are named {name:?}"),
                    Some(hint),
                )));
            }
            Entry::Unknown(near) => {
                let hint = near
                    .map(|near| format!("did you mean {near:?}?"))
                    .unwrap_or_else(|| {
                        "add it to the vocabulary, or map it to an entry".to_owned()
                    });
                return Ok(Err((format!("there is no entry {name:?}"), Some(hint))));
            }
        }
    }
    Ok(Ok(json!(ids)))
}

/// Fields of a set that a yes-or-no field switches on are refused while that field is not true.
fn check_switches(sheet: &TypeSheet, draft: &Draft, resolved: &mut Resolved) {
    let by_id: BTreeMap<i64, &str> = sheet
        .fields
        .iter()
        .map(|(name, entry)| (entry.field.id, name.as_str()))
        .collect();
    for assigned in &draft.fields {
        let switch = sheet
            .fields
            .get(&assigned.field)
            .and_then(|entry| entry.depends_on);
        let Some(switch) = switch.and_then(|id| by_id.get(&id)) else {
            continue;
        };
        let on = draft
            .fields
            .iter()
            .any(|other| other.field == *switch && other.value == Value::Boolean(true));
        if !on {
            resolved.faults.push(Fault {
                field: Some(assigned.field.clone()),
                message: format!("it may only be set while {switch:?} is true"),
                hint: Some(format!("set {switch:?} as well, or leave it out")),
            });
        }
    }
}

fn check_required(sheet: &TypeSheet, draft: &Draft, resolved: &mut Resolved) {
    for (name, entry) in &sheet.fields {
        let given = draft.fields.iter().any(|assigned| assigned.field == *name);
        let missing = entry.field.required
            && entry.depends_on.is_none()
            && entry.field.default_value.as_ref().is_none_or(Json::is_null)
            && !given;
        if missing {
            resolved.faults.push(Fault {
                field: Some(name.clone()),
                message: "it is required and has no value".to_owned(),
                hint: Some("let the plugin assign it, or set it in the flow".to_owned()),
            });
        }
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = known.collect();
    if let Some(near) = nearest(name, all.iter().copied()) {
        return Some(format!("did you mean {near:?}?"));
    }
    (!all.is_empty()).then(|| format!("there is {}", all.join(", ")))
}
