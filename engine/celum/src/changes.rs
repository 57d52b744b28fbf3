//! From the values that a draft wants to the change objects that make an asset have them.
//!
//! Creating takes plain values; updating takes `{op…}` objects, whose operations depend on the field's
//! type. What is already so is left out, so that a change of nothing is no call.

use serde_json::{Value as Json, json};

use crate::wire::{FieldEntry, FieldKind, read_instant};

/// The change objects that make an asset's fields what is wanted, without those that are.
pub(crate) fn changes(
    wanted: &[FieldEntry],
    current: impl Fn(i64) -> Option<Json>,
) -> Vec<FieldEntry> {
    wanted
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
    let empty = Json::Null;
    let current = current.unwrap_or(&empty);
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
        FieldKind::Date => match (day(wanted), day(current)) {
            (Some(wanted), Some(now)) => wanted == now,
            _ => false,
        },
        FieldKind::Number | FieldKind::Double => same_number(wanted, current),
        _ => wanted == current,
    }
}

/// `3` and `3.0` are the same number; whole numbers are compared exactly, however large.
fn same_number(one: &Json, other: &Json) -> bool {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64().is_some() && one.as_f64() == other.as_f64(),
    }
}

/// The calendar day of a date as it is written, or of milliseconds in UTC.
pub(crate) fn day(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => text.get(..10).map(str::to_owned),
        other => Some(read_instant(other)?.to_string().get(..10)?.to_owned()),
    }
}

fn ids(list: &Json, id: impl Fn(&Json) -> Option<i64>) -> Vec<i64> {
    list.as_array()
        .map(|list| list.iter().filter_map(id).collect())
        .unwrap_or_default()
}
