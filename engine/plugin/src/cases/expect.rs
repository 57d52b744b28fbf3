//! What a case expects, what came in the same terms, and the difference.
//!
//! What is left out must be absent, except that `findings` and `rules` are compared only if given. A field
//! is written as the plain TOML value (a date as `"2026-03-04"`), or as `{ localized = { de = "…" } }`,
//! `{ keywords = […] }`, `{ references = […] }`. `hold = "…"` expects a hold whose reason contains it. That the
//! plugin fails, by a trap or at a limit, can not be expected: it differs from everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use toml_edit::{Item, TableLike};
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
    if wanted == Some(&given) && !is_failure(verdict) {
        return None;
    }
    let before = wanted.map_or_else(String::new, Expect::text);
    let after = given.text();
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
    match verdict {
        Verdict::Held { rule, .. } if is_failure(verdict) => lines.push_str(&format!(
            "  # the plugin failed ({rule}), which no case can expect\n"
        )),
        Verdict::Held { rule, .. } => lines.push_str(&format!("  # held by: {rule}\n")),
        Verdict::Ready(_) if after.is_empty() => {
            lines.push_str("  # a mapping that assigns nothing came\n");
        }
        Verdict::Ready(_) => {}
    }
    Some(lines)
}

/// Whether a verdict is a plugin's failure, and not its opinion.
pub(super) fn is_failure(verdict: &Verdict<Mapping>) -> bool {
    match verdict {
        Verdict::Ready(_) => false,
        Verdict::Held { rule, .. } => crate::guest::is_failure(rule),
    }
}

impl Expect {
    /// Refuses what no verdict can be, and what every hold would be.
    pub(super) fn check(&self) -> Result<(), String> {
        if self
            .hold
            .as_deref()
            .is_some_and(|part| part.trim().is_empty())
        {
            return Err("hold = \"\" is part of every reason: give some of its words".to_owned());
        }
        let alone = Expect {
            hold: self.hold.clone(),
            ..Expect::default()
        };
        match self.hold {
            Some(_) if *self != alone => Err("a hold has no mapping to expect as well".to_owned()),
            _ => Ok(()),
        }
    }

    /// Reads days that are written as TOML's own dates as what they are compared with.
    pub(super) fn with_days_as_text(mut self) -> Self {
        for (_, value) in &mut self.fields {
            if let toml::Value::Datetime(day) = value {
                *value = toml::Value::String(day.to_string());
            }
        }
        self
    }

    /// A verdict as a case would expect it, with as much as `wanted` looks at.
    pub(super) fn of(verdict: &Verdict<Mapping>, wanted: Option<&Expect>) -> Expect {
        match verdict {
            Verdict::Held { reason, .. } => {
                let part = wanted.and_then(|wanted| wanted.hold.as_ref());
                let fits = part.filter(|part| reason.contains(*part) && !is_failure(verdict));
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
            Some(wanted) if wanted.hold.is_none() => {
                (wanted.rules.is_some(), wanted.findings.is_some())
            }
            _ => (false, !findings.is_empty()),
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

    /// Makes a case expect this. What it expects already stays as it is written, with its comments.
    pub(super) fn write_to(&self, case: &mut toml_edit::Table) {
        let entries = self.entries();
        let expect = case.entry("expect").or_insert_with(dotted);
        let inline = expect.is_inline_table();
        let Some(table) = expect.as_table_like_mut() else {
            // Reading the file has refused anything else.
            return;
        };
        let below = |above: &str| -> Vec<&str> {
            let paths = entries.iter().map(|(path, _)| path);
            let named = paths.filter(|path| path[0] == above);
            named.filter_map(|path| path.get(1).copied()).collect()
        };
        keep_only(
            table,
            &entries.iter().map(|(path, _)| path[0]).collect::<Vec<_>>(),
        );
        for above in ["fields", "rules"] {
            let inner = table.get_mut(above);
            if let Some(inner) = inner.and_then(Item::as_table_like_mut) {
                keep_only(inner, &below(above));
            }
        }
        for (path, value) in &entries {
            let Some(key) = path.get(1) else {
                set(table, path[0], value);
                continue;
            };
            let inner = table.entry(path[0]).or_insert_with(|| match inline {
                true => toml_edit::value(toml_edit::InlineTable::new()),
                false => dotted(),
            });
            if let Some(inner) = inner.as_table_like_mut() {
                set(inner, key, value);
            }
        }
        // Dotted keys without any would say that nothing is expected yet.
        if table.is_empty() && !inline && table.is_dotted() {
            *expect = toml_edit::value(toml_edit::InlineTable::new());
        }
    }
}

/// A table that is written as dotted keys.
fn dotted() -> Item {
    let mut table = toml_edit::Table::new();
    table.set_dotted(true);
    Item::Table(table)
}

fn keep_only(table: &mut dyn TableLike, keys: &[&str]) {
    let gone = table.iter().map(|(key, _)| key.to_owned());
    let gone: Vec<String> = gone.filter(|key| !keys.contains(&key.as_str())).collect();
    for key in gone {
        table.remove(&key);
    }
}

/// Sets a value unless it is there already, in whatever way it is written.
fn set(table: &mut dyn TableLike, key: &str, value: &toml_edit::Value) {
    match table.get_mut(key) {
        Some(Item::Value(before)) => {
            if read(before) != read(value) {
                let decor = before.decor().clone();
                *before = value.clone();
                *before.decor_mut() = decor;
            }
        }
        Some(item) => {
            let before = item.clone().into_value().ok();
            if before.is_none_or(|before| read(&before) != read(value)) {
                *item = Item::Value(value.clone());
            }
        }
        None => {
            table.insert(key, Item::Value(value.clone()));
        }
    }
}

/// What a value says, however it is written.
fn read(value: &toml_edit::Value) -> Option<toml::Value> {
    let table: toml::Table = toml::from_str(&format!("value ={value}\n")).ok()?;
    table.get("value").cloned()
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
