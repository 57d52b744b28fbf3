//! What a case expects, what came in the same terms, and the difference.
//!
//! What is left out must be absent, except that `findings` and `rules` are compared only if given. A field
//! is written as the plain TOML value (a date as `"2026-03-04"`), or as `{ localized = { de = "…" } }`,
//! `{ keywords = […] }`, `{ references = […] }`. `hold = "…"` expects a hold whose reason contains it.

use std::collections::BTreeMap;

use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use windlass_core::{Mapping, Value, Verdict};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    hold: Option<String>,
    asset_type: Option<String>,
    collection: Option<String>,
    name: Option<String>,
    #[serde(default)]
    fields: toml::Table,
    rules: Option<BTreeMap<String, String>>,
    findings: Option<Vec<String>>,
}

/// How what came differs from what was expected, if it does. Nothing expected differs from everything.
pub(super) fn difference(wanted: Option<&Expect>, verdict: &Verdict<Mapping>) -> Option<String> {
    let given = Expect::of(verdict, wanted);
    if wanted == Some(&given) {
        return None;
    }
    let (before, after) = (wanted.map_or_else(String::new, Expect::text), given.text());
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = String::new();
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        lines.push_str(&format!("{sign} {change}"));
    }
    if let Verdict::Held { rule, .. } = verdict {
        lines.push_str(&format!("  # held by: {rule}\n"));
    }
    if given.text().is_empty() {
        lines.push_str("  # a mapping that assigns nothing came\n");
    }
    Some(lines)
}

impl Expect {
    /// Refuses what no verdict can be.
    pub(super) fn check(&self) -> Result<(), String> {
        let alone = Expect {
            hold: self.hold.clone(),
            ..Expect::default()
        };
        match self.hold {
            Some(_) if *self != alone => Err("a hold has no mapping to expect as well".to_owned()),
            _ => Ok(()),
        }
    }

    /// A verdict as a case would expect it, with as much as `wanted` looks at.
    pub(super) fn of(verdict: &Verdict<Mapping>, wanted: Option<&Expect>) -> Expect {
        match verdict {
            Verdict::Held { reason, .. } => {
                let part = wanted.and_then(|wanted| wanted.hold.as_ref());
                let fits = part.filter(|part| reason.contains(*part));
                Expect {
                    hold: Some(fits.unwrap_or(reason).clone()),
                    ..Expect::default()
                }
            }
            Verdict::Ready(mapping) => Expect::of_mapping(mapping, wanted),
        }
    }

    fn of_mapping(mapping: &Mapping, wanted: Option<&Expect>) -> Expect {
        let fields = mapping.fields.iter();
        let rules = fields.clone().map(|f| (f.field.clone(), f.rule.clone()));
        let findings = mapping.findings.iter();
        let findings: Vec<_> = findings
            .map(|finding| format!("{}: {}", finding.subject, finding.message))
            .collect();
        let (looks_at_rules, looks_at_findings) = match wanted {
            Some(wanted) => (wanted.rules.is_some(), wanted.findings.is_some()),
            None => (false, !findings.is_empty()),
        };
        Expect {
            hold: None,
            asset_type: mapping.asset_type.clone(),
            collection: mapping.collection.as_ref().map(ToString::to_string),
            name: mapping.name.clone(),
            rules: looks_at_rules.then(|| rules.collect()),
            findings: looks_at_findings.then_some(findings),
            fields: fields.map(|f| (f.field.clone(), plain(&f.value))).collect(),
        }
    }

    /// Its keys and values in the order in which they are written, fields and rules by name.
    fn entries(&self) -> Vec<(Vec<&str>, toml_edit::Value)> {
        let mut entries = Vec::new();
        for (key, text) in [
            ("hold", &self.hold),
            ("asset_type", &self.asset_type),
            ("collection", &self.collection),
            ("name", &self.name),
        ] {
            if let Some(text) = text {
                entries.push((vec![key], text.as_str().into()));
            }
        }
        for (field, value) in &self.fields {
            entries.push((vec!["fields", field], edited(value)));
        }
        for (field, rule) in self.rules.iter().flatten() {
            entries.push((vec!["rules", field], rule.as_str().into()));
        }
        if let Some(findings) = &self.findings {
            let list = findings.iter().collect::<toml_edit::Array>();
            entries.push((vec!["findings"], list.into()));
        }
        entries
    }

    /// A line of TOML for each entry.
    fn text(&self) -> String {
        let line = |(path, value): (Vec<&str>, toml_edit::Value)| {
            let path: Vec<_> = path.iter().map(|key| quoted(key)).collect();
            format!("{} = {value}\n", path.join("."))
        };
        self.entries().into_iter().map(line).collect()
    }

    /// Replaces what a case expects. Tables of their own stay tables; the rest becomes dotted keys.
    pub(super) fn write_to(&self, case: &mut toml_edit::Table) {
        let before = case.get("expect").and_then(toml_edit::Item::as_table);
        let mut expect = emptied(before);
        for (path, value) in self.entries() {
            let (key, above) = path.split_last().expect("an entry has a key");
            let mut table = &mut expect;
            for name in above {
                let inner = before.and_then(|table| table.get(name));
                let inner = emptied(inner.and_then(toml_edit::Item::as_table));
                let inner = table.entry(name).or_insert(toml_edit::Item::Table(inner));
                table = inner.as_table_mut().expect("it was made as a table");
            }
            table.insert(key, toml_edit::Item::Value(value));
        }
        let expect = match expect.is_empty() {
            true => toml_edit::value(toml_edit::InlineTable::new()),
            false => toml_edit::Item::Table(expect),
        };
        case.insert("expect", expect);
    }
}

/// A table of its own without its content; where there is none, one that is written as dotted keys.
fn emptied(before: Option<&toml_edit::Table>) -> toml_edit::Table {
    match before.filter(|table| !table.is_dotted()) {
        Some(before) => {
            let mut table = before.clone();
            table.clear();
            table
        }
        None => {
            let mut table = toml_edit::Table::new();
            table.set_dotted(true);
            table
        }
    }
}

fn quoted(key: &str) -> String {
    toml_edit::Key::new(key).display_repr().into_owned()
}

/// A value of our reader as one of our writer's.
fn edited(value: &toml::Value) -> toml_edit::Value {
    let text = value.to_string();
    text.parse().expect("what toml writes, toml reads")
}

/// A field's value as a case writes it.
fn plain(value: &Value) -> toml::Value {
    let named = |name: &str, value: toml::Value| {
        toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]))
    };
    let texts = |list: &[String]| list.iter().cloned().map(toml::Value::String).collect();
    match value {
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::LocalizedText(all) => {
            let texts = all.iter();
            let texts = texts.map(|(locale, text)| (locale.clone(), text.clone().into()));
            named("localized", toml::Value::Table(texts.collect()))
        }
        Value::Number(number) => toml::Value::Integer(*number),
        Value::Decimal(number) => toml::Value::Float(*number),
        Value::Date(date) => toml::Value::String(date.to_string()),
        Value::Boolean(yes) => toml::Value::Boolean(*yes),
        Value::Keywords(list) => named("keywords", toml::Value::Array(texts(list))),
        Value::References(list) => named("references", toml::Value::Array(texts(list))),
    }
}
