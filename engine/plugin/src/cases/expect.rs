//! What a case expects, what came in the same terms, and the difference.
//!
//! What is left out must be absent, except that `findings`, `rules`, `rule` and `piece` are compared only if given. A
//! field is written as the plain TOML value (a date as `"2026-03-04"`), or as `{ localized = { de = "…" } }`,
//! `{ keywords = […] }`, `{ references = […] }`; an availability as `true`, `false` or `{ from = "…", until = "…" }`.
//! `hold = "…"` expects a hold whose reason contains it, `allow = "…"` and `deny = "…"` a ruling alike, `appears` a list of
//! places such as `"DE de web /DE/web/key-visual.jpg"`. That the plugin fails, by a trap or at a limit, can not
//! be expected: it differs from everything.

use std::collections::BTreeMap;

use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use toml_edit::{Item, TableLike};
use windlass_core::{Appearance, Decision, Finding, Mapping, Routing, Ruling, Verdict};

use super::answer::{Answer, plain, plain_availability};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    hold: Option<String>,
    allow: Option<String>,
    deny: Option<String>,
    until: Option<String>,
    rule: Option<String>,
    piece: Option<String>,
    #[serde(default)]
    appears: Vec<String>,
    availability: Option<toml::Value>,
    asset_type: Option<String>,
    collection: Option<String>,
    name: Option<String>,
    #[serde(default)]
    fields: toml::Table,
    rules: Option<BTreeMap<String, String>>,
    findings: Option<Vec<String>>,
}

/// How what came differs from what was expected, if it does. Nothing expected differs from everything.
pub(super) fn difference(wanted: Option<&Expect>, answer: &Answer) -> Option<String> {
    let given = Expect::of(answer, wanted);
    if wanted == Some(&given) && !answer.is_failure() {
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
    let held_by = match answer {
        Answer::Mapping(Verdict::Held { rule, .. })
        | Answer::Routing(Verdict::Held { rule, .. }) => Some(rule),
        Answer::Ruling(ruling) => Some(&ruling.rule),
        Answer::Mapping(_) | Answer::Routing(_) => None,
    };
    match held_by {
        Some(rule) if answer.is_failure() => lines.push_str(&format!(
            "  # the plugin failed ({rule}), which no case can expect\n"
        )),
        Some(rule) => lines.push_str(&format!("  # by: {rule}\n")),
        None if after.is_empty() => lines.push_str(match answer {
            Answer::Routing(_) => "  # it came that the asset appears nowhere\n",
            _ => "  # a mapping that assigns nothing came\n",
        }),
        None => {}
    }
    Some(lines)
}

impl Expect {
    /// Refuses what no verdict can be, and what every hold would be.
    pub(super) fn check(&self) -> Result<(), String> {
        let parts = [
            ("hold", &self.hold),
            ("allow", &self.allow),
            ("deny", &self.deny),
        ];
        let given: Vec<_> = parts.iter().filter(|(_, part)| part.is_some()).collect();
        let blank = |part: &Option<String>| part.as_deref().is_some_and(|p| p.trim().is_empty());
        if let Some((name, _)) = given.iter().find(|(_, part)| blank(part)) {
            return Err(format!(
                "{name} = \"\" is part of every reason: give some of its words"
            ));
        }
        if given.len() > 1 {
            return Err("it is one of hold, allow and deny".to_owned());
        }
        let alone = Expect {
            fields: toml::Table::new(),
            asset_type: None,
            collection: None,
            name: None,
            availability: None,
            appears: Vec::new(),
            piece: None,
            rules: None,
            ..self.clone()
        };
        if !given.is_empty() && *self != alone {
            let (name, _) = given[0];
            let article = if *name == "allow" { "an" } else { "a" };
            return Err(format!("{article} {name} has no mapping to expect as well"));
        }
        Ok(())
    }

    /// Reads days that are written as TOML's own dates as what they are compared with.
    pub(super) fn with_days_as_text(mut self) -> Self {
        let spans = self.availability.iter_mut();
        let spans = spans.filter_map(|span| span.as_table_mut()).flatten();
        for (_, value) in self.fields.iter_mut().chain(spans) {
            if let toml::Value::Datetime(day) = value {
                *value = toml::Value::String(day.to_string());
            }
        }
        self
    }

    /// An answer as a case would expect it, with as much as `wanted` looks at.
    pub(super) fn of(answer: &Answer, wanted: Option<&Expect>) -> Expect {
        // A case that expected something else says nothing of what it looks at.
        let looks = wanted.filter(|wanted| match answer {
            Answer::Ruling(_) => true,
            Answer::Mapping(_) | Answer::Routing(_) => wanted.hold.is_none(),
        });
        match answer {
            Answer::Mapping(Verdict::Held { reason, .. })
            | Answer::Routing(Verdict::Held { reason, .. }) => {
                let part = wanted.and_then(|wanted| wanted.hold.as_ref());
                Expect {
                    hold: Some(part_of(reason, part, answer)),
                    ..Expect::default()
                }
            }
            Answer::Mapping(Verdict::Ready(mapping)) => Expect::of_mapping(mapping, looks),
            Answer::Routing(Verdict::Ready(routing)) => Expect::of_routing(routing, looks),
            Answer::Ruling(ruling) => Expect::of_ruling(ruling, answer, looks),
        }
    }

    fn of_mapping(mapping: &Mapping, looks: Option<&Expect>) -> Expect {
        let fields = mapping.fields.iter();
        let rules = fields.clone().map(|f| (f.field.clone(), f.rule.clone()));
        Expect {
            asset_type: mapping.asset_type.clone(),
            collection: mapping.collection.as_ref().map(ToString::to_string),
            name: mapping.name.clone(),
            availability: mapping.availability.as_ref().map(plain_availability),
            rules: looks
                .and_then(|wanted| wanted.rules.as_ref())
                .map(|_| rules.collect()),
            findings: findings(&mapping.findings, looks),
            fields: fields.map(|f| (f.field.clone(), plain(&f.value))).collect(),
            ..Expect::default()
        }
    }

    fn of_routing(routing: &Routing, looks: Option<&Expect>) -> Expect {
        let pieces = routing.appearances.iter().map(|place| place.piece.as_str());
        let pieces = pieces.collect::<std::collections::BTreeSet<_>>();
        let pieces = pieces.into_iter().collect::<Vec<_>>().join(", ");
        Expect {
            appears: routing.appearances.iter().map(place).collect(),
            piece: looks
                .and_then(|wanted| wanted.piece.as_ref())
                .map(|_| pieces),
            findings: findings(&routing.findings, looks),
            ..Expect::default()
        }
    }

    fn of_ruling(ruling: &Ruling, answer: &Answer, looks: Option<&Expect>) -> Expect {
        let mut given = Expect {
            until: ruling.until.map(|until| until.to_string()),
            rule: looks
                .and_then(|wanted| wanted.rule.as_ref())
                .map(|_| ruling.rule.clone()),
            findings: findings(&ruling.findings, looks),
            ..Expect::default()
        };
        let reason = |part| Some(part_of(&ruling.reason, part, answer));
        match ruling.decision {
            Decision::Allow => given.allow = reason(looks.and_then(|w| w.allow.as_ref())),
            Decision::Hold => given.hold = reason(looks.and_then(|w| w.hold.as_ref())),
            Decision::Deny => given.deny = reason(looks.and_then(|w| w.deny.as_ref())),
        }
        given
    }

    /// Its keys and values in the order in which they are written, fields and rules by name.
    fn entries(&self) -> Vec<(Vec<&str>, toml_edit::Value)> {
        let mut entries = Vec::new();
        for (key, text) in [
            ("hold", &self.hold),
            ("allow", &self.allow),
            ("deny", &self.deny),
            ("until", &self.until),
            ("rule", &self.rule),
            ("piece", &self.piece),
            ("asset_type", &self.asset_type),
            ("collection", &self.collection),
            ("name", &self.name),
        ] {
            if let Some(text) = text {
                entries.push((vec![key], text.as_str().into()));
            }
        }
        if let Some(availability) = &self.availability {
            entries.push((vec!["availability"], edited(availability)));
        }
        if !self.appears.is_empty() {
            let list = self.appears.iter().collect::<toml_edit::Array>();
            entries.push((vec!["appears"], list.into()));
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

/// What a case gives of a reason, if that is part of it, else the whole.
fn part_of(reason: &str, part: Option<&String>, answer: &Answer) -> String {
    let fits = part.filter(|part| reason.contains(*part) && !answer.is_failure());
    fits.map_or_else(|| reason.to_owned(), Clone::clone)
}

/// Findings where they are looked at, or where nothing says that they are not.
fn findings(given: &[Finding], looks: Option<&Expect>) -> Option<Vec<String>> {
    let looks_at_them = match looks {
        Some(wanted) => wanted.findings.is_some(),
        None => !given.is_empty(),
    };
    looks_at_them.then(|| {
        let written = |finding: &Finding| format!("{}: {}", finding.subject, finding.message);
        given.iter().map(written).collect()
    })
}

/// A place in one line.
fn place(place: &Appearance) -> String {
    let Appearance {
        market,
        language,
        channel,
        folder,
        file_name,
        rendition,
        fallback,
        piece: _,
        rule: _,
    } = place;
    let mut line = format!("{market} {language} {channel} {folder}/{file_name}");
    if let Some(rendition) = rendition {
        line.push_str(&format!(" as {rendition}"));
    }
    if *fallback > 0 {
        line.push_str(&format!(", fallback {fallback}"));
    }
    line
}
