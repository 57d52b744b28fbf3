//! JSON as the Dropbox contract writes it: compact, members in byte order (so `.tag` comes first), whole
//! seconds, header-safe where it travels in a header; and how arguments are read strictly.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::de::{self, DeserializeOwned, Deserializer};
use serde_json::{Map, Value, json};

/// Compact JSON with the members of every object in byte order, whatever the map behind it keeps.
pub(super) fn compact(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| name.as_bytes());
            write_list(out, '{', '}', sorted, |out, (name, member)| {
                write_scalar(out, &Value::String(name.clone()));
                out.push(':');
                write_value(out, member);
            });
        }
        Value::Array(items) => write_list(out, '[', ']', items, write_value),
        scalar => write_scalar(out, scalar),
    }
}

fn write_list<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn write_scalar(out: &mut String, scalar: &Value) {
    // Writing to a String cannot fail.
    let _infallible = write!(out, "{scalar}");
}

/// JSON text with everything from U+007F on escaped by UTF-16 unit, so that it can stand in a header.
pub(super) fn header_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if (c as u32) < 0x7f {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _infallible = write!(safe, "\\u{unit:04x}");
        }
    }
    safe
}

/// A point in time as results state it: UTC, whole seconds.
pub(super) fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The same instant without its fraction of a second, as the service stores it.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A union member without a value.
pub(super) fn tag(name: &str) -> Value {
    json!({ ".tag": name })
}

/// A union member that holds a scalar, a list or another union.
pub(super) fn tagged(name: &str, value: Value) -> Value {
    json!({ ".tag": name, name: value })
}

/// A struct with its subtype's name beside its fields.
pub(super) fn with_tag(name: &str, mut members: Map<String, Value>) -> Value {
    members.insert(".tag".into(), name.into());
    Value::Object(members)
}

/// Reads an argument; the error is the detail of a 400, without saying where the argument came from.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let value: Value =
        serde_json::from_slice(json).map_err(|_| "could not decode input as JSON".to_owned())?;
    serde_json::from_value(value).map_err(|error| reword(&error.to_string()))
}

/// The service's own words for what serde says.
fn reword(message: &str) -> String {
    let message = message.split(", expected").next().unwrap_or(message);
    message
        .replace("missing field", "missing required field")
        .replace('`', "'")
}

/// A union in an argument: its tag, and its value if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Union {
    pub(super) tag: String,
    pub(super) value: Option<Value>,
}

impl<'de> de::Deserialize<'de> for Union {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refuse = de::Error::custom;
        let mut members = match Value::deserialize(deserializer)? {
            Value::String(tag) => return Ok(Union { tag, value: None }),
            Value::Object(members) => members,
            other => return Err(refuse(format!("expected a union, got {other}"))),
        };
        let tag = match members.remove(".tag") {
            Some(Value::String(tag)) => tag,
            _ => return Err(refuse("missing required field '.tag'".to_owned())),
        };
        let value = members.remove(&tag);
        match members.keys().next() {
            Some(name) => Err(refuse(format!("unknown field '{name}'"))),
            None => Ok(Union { tag, value }),
        }
    }
}
