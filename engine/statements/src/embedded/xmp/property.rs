//! One property of XMP: a text, a list, a text in several languages, or a structure of such.

use std::collections::BTreeMap;

use windlass_core::Value;

use super::{Node, is_syntax};
use crate::stated::Collector;

/// How deep a structure's fields are stated. Contact data need two.
const LEVELS_MAX: usize = 4;

const DEFAULT_LANGUAGE: &str = "x-default";

/// Properties that count something, in every file that has them.
const NUMBERS: &[&str] = &[
    "xmp:Rating",
    "tiff:Orientation",
    "exif:PixelXDimension",
    "exif:PixelYDimension",
];

pub(super) fn state(property: Node, into: &mut Collector<'_>) {
    let name = property.name.clone();
    state_at(&name, property, 1, into);
}

fn state_at(path: &str, mut node: Node, level: usize, into: &mut Collector<'_>) {
    if let Some(text) = text(&node) {
        into.state(path, typed(path, text));
        return;
    }
    let list = node
        .children
        .iter()
        .position(|child| matches!(&*child.name, "rdf:Bag" | "rdf:Seq" | "rdf:Alt"));
    if let Some(at) = list {
        state_list(path, node.children.swap_remove(at), into);
        return;
    }
    if level == LEVELS_MAX {
        return;
    }
    for field in fields(node) {
        let below = format!("{path}/{}", field.name);
        state_at(&below, field, level + 1, into);
    }
}

/// The text of a node that is nothing else. One with qualifiers has it in `rdf:value`, a reference in
/// `rdf:resource`.
fn text(node: &Node) -> Option<&str> {
    if let Some(text) = node
        .attribute("rdf:resource")
        .or_else(|| node.attribute("rdf:value"))
    {
        return Some(text);
    }
    let holder = node.child("rdf:Description").unwrap_or(node);
    if let Some(text) = holder.attribute("rdf:value") {
        return Some(text);
    }
    if let Some(value) = holder.child("rdf:value") {
        return Some(&value.text);
    }
    (node.children.is_empty() && !node.text.trim().is_empty()).then_some(&node.text)
}

/// The fields of a structure in any of its three forms: attributes, elements, or a description within.
fn fields(node: Node) -> impl Iterator<Item = Node> {
    let mut all = node.attributes;
    for child in node.children {
        if child.name == "rdf:Description" {
            all.extend(child.attributes);
            all.extend(child.children);
        } else {
            all.push(child);
        }
    }
    all.into_iter().filter(|field| !is_syntax(&field.name))
}

fn state_list(path: &str, list: Node, into: &mut Collector<'_>) {
    let localized = list.name == "rdf:Alt"
        && (list.children.iter()).any(|item| item.attribute("xml:lang").is_some());
    if localized {
        if let Some(value) = in_languages(&list) {
            into.state(path, value);
        }
        return;
    }
    let mut texts = Vec::new();
    // What the list's structures say, field by field.
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in list.children {
        if let Some(text) = text(&item) {
            texts.push(text.to_owned());
            continue;
        }
        for field in fields(item) {
            if let Some(text) = text(&field) {
                columns
                    .entry(field.name.clone())
                    .or_default()
                    .push(text.to_owned());
            }
        }
    }
    into.state(path, Value::Keywords(texts));
    for (field, texts) in columns {
        into.state(&format!("{path}/{field}"), Value::Keywords(texts));
    }
}

/// A text in several languages, or the one that is meant for all.
fn in_languages(list: &Node) -> Option<Value> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for item in &list.children {
        let Some(text) = text(item) else {
            continue;
        };
        let language = match item.attribute("xml:lang") {
            Some(language) if !language.eq_ignore_ascii_case(DEFAULT_LANGUAGE) => language,
            _ => DEFAULT_LANGUAGE,
        };
        texts
            .entry(language.to_owned())
            .or_insert_with(|| text.to_owned());
    }
    let default = texts.remove(DEFAULT_LANGUAGE);
    match default {
        Some(only) if texts.is_empty() => return Some(Value::Text(only)),
        // By the standard the default repeats one of the languages.
        Some(default) if !texts.values().any(|text| *text == default) => {
            texts.insert(DEFAULT_LANGUAGE.to_owned(), default);
        }
        _ => {}
    }
    (!texts.is_empty()).then_some(Value::LocalizedText(texts))
}

/// A text as a number, a yes or no, or a coordinate, where the property is one and the text says so.
fn typed(name: &str, text: &str) -> Value {
    let value = match name {
        "xmpRights:Marked" => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ => None,
        },
        "exif:GPSLatitude" | "exif:GPSLongitude" => degrees(text.trim()).map(Value::Decimal),
        _ if NUMBERS.contains(&name) => number(text.trim()),
        _ => None,
    };
    value.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse() {
        return Some(Value::Number(whole));
    }
    let decimal: f64 = text.parse().ok()?;
    // Some programs write `3.0`.
    let whole = decimal.fract() == 0.0 && decimal.abs() < f64::from(u32::MAX);
    if whole {
        return Some(Value::Number(decimal as i64));
    }
    decimal.is_finite().then_some(Value::Decimal(decimal))
}

/// `48,8.25N` or `48,8,15N`: degrees, minutes and perhaps seconds.
fn degrees(text: &str) -> Option<f64> {
    let (parts, sign) = match text.split_at_checked(text.len().checked_sub(1)?)? {
        (parts, "N" | "E") => (parts, 1.0),
        (parts, "S" | "W") => (parts, -1.0),
        _ => return None,
    };
    let mut degrees = 0.0;
    for (index, part) in parts.split(',').enumerate() {
        let unit = [1.0, 60.0, 3600.0].get(index)?;
        degrees += part.parse::<f64>().ok().filter(|part| *part >= 0.0)? / unit;
    }
    (degrees <= 180.0).then_some(sign * degrees)
}
