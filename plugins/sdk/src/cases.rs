//! Table-driven cases: TOML files beside a plugin that say which asset gets which verdict.
//!
//! ```toml
//! today = 2026-03-04            # what `today` answers; 2026-01-01 when left out
//! [config]                      # what the operator would write for this plugin
//! [tables.clients]              # what `lookup` finds
//! ACME = "Acme Corporation"
//!
//! [[case]]
//! name = "a campaign folder names its client"
//! path = "/ACME/CMP-1/key-visual.tif"
//! expect.fields = { client = "Acme Corporation", keywords = { keywords = ["a", "b"] } }
//! ```
//!
//! In `expect`, what is left out must be absent, except that `findings` and `rules` are compared only if
//! given. A field is written as the plain TOML value, or as `{ localized = { de = "…" } }`,
//! `{ keywords = […] }`, `{ references = […] }`. `hold = "…"` expects a hold whose reason contains it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::{AssetView, Date, Mapping, MetadataHook, TestHost, Value, Verdict};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    today: Option<toml::value::Datetime>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    tables: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    tags: Vec<String>,
    modified: Option<String>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    hold: Option<String>,
    #[serde(default)]
    fields: toml::Table,
    rules: Option<BTreeMap<String, String>>,
    asset_type: Option<String>,
    collection: Option<String>,
    name: Option<String>,
    findings: Option<Vec<String>>,
}

/// Runs every `*.toml` in `folder` and says how many cases held.
///
/// The error names each case that did not, with what was expected and what came.
pub fn check<H: MetadataHook>(folder: impl AsRef<Path>) -> Result<usize, String> {
    let folder = folder.as_ref();
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let (mut held, mut failures) = (0, Vec::new());
    for path in files {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let outcomes = check_text::<H>(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        for (name, outcome) in outcomes {
            match outcome {
                Ok(()) => held += 1,
                Err(difference) => {
                    failures.push(format!("{}: {name}: {difference}", path.display()))
                }
            }
        }
    }
    if failures.is_empty() {
        Ok(held)
    } else {
        Err(failures.join("\n"))
    }
}

/// Each case's name, and what differed.
type Outcomes = Vec<(String, Result<(), String>)>;

fn check_text<H: MetadataHook>(text: &str) -> Result<Outcomes, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    let config = serde_json::to_string(&file.config).map_err(|e| e.to_string())?;
    let mut host = TestHost {
        tables: file.tables,
        ..TestHost::default()
    };
    if let Some(today) = file.today {
        host.today = day(today).ok_or_else(|| format!("today = {today} is no day"))?;
    }
    let hook = H::configure(&config, &host)?;
    let judge = |case: Case| {
        let asset = AssetView {
            id: "id:case".to_owned(),
            path: case.path,
            revision: "1".to_owned(),
            size: case.size,
            modified: case.modified,
            tags: case.tags,
            content_hash: None,
        };
        let outcome = compare(&case.expect, &hook.describe(&asset, &host));
        (case.name, outcome)
    };
    Ok(file.cases.into_iter().map(judge).collect())
}

fn day(today: toml::value::Datetime) -> Option<Date> {
    let date = today.date.filter(|_| today.time.is_none())?;
    Some(Date {
        year: date.year.into(),
        month: date.month,
        day: date.day,
    })
}

fn compare(expect: &Expect, verdict: &Verdict) -> Result<(), String> {
    match (&expect.hold, verdict) {
        (Some(part), Verdict::Hold(hold)) if hold.reason.contains(part) => Ok(()),
        (Some(part), other) => Err(format!("expected a hold with {part:?}, got {other:?}")),
        (None, Verdict::Hold(hold)) => Err(format!("held by {}: {}", hold.rule, hold.reason)),
        (None, Verdict::Ready(mapping)) => compare_mapping(expect, mapping),
    }
}

fn compare_mapping(expect: &Expect, mapping: &Mapping) -> Result<(), String> {
    let fields: toml::Table = mapping
        .fields
        .iter()
        .map(|f| (f.field.clone(), as_toml(&f.value)))
        .collect();
    same("fields", &expect.fields, &fields)?;
    same("asset_type", &expect.asset_type, &mapping.asset_type)?;
    same("collection", &expect.collection, &mapping.collection)?;
    same("name", &expect.name, &mapping.name)?;
    if let Some(rules) = &expect.rules {
        let given = mapping
            .fields
            .iter()
            .map(|f| (f.field.clone(), f.rule.clone()))
            .collect();
        same("rules", rules, &given)?;
    }
    if let Some(findings) = &expect.findings {
        let line = |f: &crate::Finding| format!("{}: {}", f.subject, f.message);
        same(
            "findings",
            findings,
            &mapping.findings.iter().map(line).collect(),
        )?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, given: &T) -> Result<(), String> {
    if expected == given {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {given:?}"))
}

fn as_toml(value: &Value) -> toml::Value {
    let named = |name: &str, value: toml::Value| {
        toml::Value::Table(toml::Table::from_iter([(name.to_owned(), value)]))
    };
    let texts = |list: &[String]| list.iter().cloned().map(toml::Value::String).collect();
    match value {
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::LocalizedText(all) => {
            let all = all
                .iter()
                .map(|l| (l.locale.clone(), toml::Value::String(l.text.clone())));
            named("localized", toml::Value::Table(all.collect()))
        }
        Value::Number(number) => toml::Value::Integer(*number),
        Value::Decimal(number) => toml::Value::Float(*number),
        Value::Date(date) => toml::Value::String(format!(
            "{:04}-{:02}-{:02}",
            date.year, date.month, date.day
        )),
        Value::Boolean(yes) => toml::Value::Boolean(*yes),
        Value::Keywords(list) => named("keywords", toml::Value::Array(texts(list))),
        Value::References(list) => named("references", toml::Value::Array(texts(list))),
    }
}
