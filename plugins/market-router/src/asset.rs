//! What is known about one asset before it is placed: statements, groups of the path, its file.

use std::collections::BTreeMap;

use regex_lite::Regex;
use windlass_sdk::{AssetView, Origin, Value};

use crate::config::On;
use crate::pattern::Reference;

/// An expression, compiled.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) on: On,
    pub(crate) regex: Regex,
}

/// An asset, and what its path says.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    asset: &'a AssetView,
    trust: &'a [Origin],
    /// In Unicode normal form C.
    file: &'a str,
    groups: BTreeMap<&'a str, &'a str>,
}

/// What was found, and where.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entries: Vec<String>,
    /// Whether the entries are separate already.
    pub(crate) is_list: bool,
    pub(crate) from: String,
}

impl Found {
    pub(crate) fn text(text: String, from: String) -> Self {
        Found {
            entries: vec![text],
            is_list: false,
            from,
        }
    }
}

impl<'a> Facts<'a> {
    /// `path` is the asset's in Unicode normal form C.
    pub(crate) fn new(
        asset: &'a AssetView,
        path: &'a str,
        trust: &'a [Origin],
        expressions: &'a [Expression],
    ) -> Self {
        let file = path.rsplit('/').next().unwrap_or_default();
        let mut groups = BTreeMap::new();
        for Expression { on, regex } in expressions {
            let text = match on {
                On::Path => path,
                On::FileName => file,
            };
            let Some(captures) = regex.captures(text) else {
                continue;
            };
            for name in regex.capture_names().flatten() {
                if let Some(found) = captures.name(name) {
                    groups.entry(name).or_insert(found.as_str());
                }
            }
        }
        Facts {
            asset,
            trust,
            file,
            groups,
        }
    }

    /// What the most trusted origin that has a value says of a field.
    pub(crate) fn stated(&self, name: &str) -> Option<&'a Value> {
        let values = self
            .trust
            .iter()
            .map(|origin| self.asset.stated(*origin, name));
        values.flatten().find(|value| !is_blank(value))
    }

    /// Writes what a reference to the file or to a group stands for; `false`: nothing.
    pub(crate) fn resolve(&self, reference: &Reference, into: &mut String) -> bool {
        let (stem, extension) = self.stem_and_extension();
        match reference {
            Reference::FileName => into.push_str(self.file),
            Reference::FileStem => into.push_str(stem),
            Reference::FileExtension => into.push_str(&extension.to_lowercase()),
            Reference::Group(name) => match self.groups.get(name.as_str()) {
                Some(text) => into.push_str(text),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    /// The path without the file's extension.
    pub(crate) fn path_stem<'p>(&self, path: &'p str) -> &'p str {
        let (_, extension) = self.stem_and_extension();
        match extension.is_empty() {
            true => path,
            false => &path[..path.len() - extension.len() - 1],
        }
    }

    fn stem_and_extension(&self) -> (&'a str, &'a str) {
        match self.file.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, extension),
            _ => (self.file, ""),
        }
    }
}

fn is_blank(value: &Value) -> bool {
    let blank = |text: &String| text.trim().is_empty();
    match value {
        Value::Text(text) => blank(text),
        Value::LocalizedText(texts) => texts.iter().all(|localized| blank(&localized.text)),
        Value::Keywords(list) | Value::References(list) => list.iter().all(blank),
        Value::Number(_) | Value::Decimal(_) | Value::Date(_) | Value::Boolean(_) => false,
    }
}
