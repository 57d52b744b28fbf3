//! From what stands in a field or a path to codes: cleaned, translated, each once.

use std::collections::{BTreeMap, BTreeSet};

use windlass_sdk::{Host, Value};

use crate::asset::{Facts, Found};
use crate::config::{Normalise, Unknown};
use crate::names::{clean, fold};
use crate::pattern::Pattern;

/// Where one of an asset's languages, markets, channels, or its piece comes from; checked.
#[derive(Debug)]
pub(crate) struct Origins {
    /// The section's key: `language`.
    pub(crate) key: &'static str,
    pub(crate) fields: Vec<String>,
    pub(crate) values: Vec<Pattern>,
    pub(crate) default: Option<String>,
    pub(crate) normalise: Vec<Normalise>,
    pub(crate) table: Option<Table>,
    pub(crate) unknown: Unknown,
    /// Folded codes that no table needs to have: those for no language, those for all markets.
    pub(crate) special: BTreeSet<String>,
}

/// A code table.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Its rows, if it is written in the configuration.
    pub(crate) rows: Option<BTreeMap<String, String>>,
    /// All that these mean, folded.
    pub(crate) meanings: BTreeSet<String>,
}

/// A code, as it is written and as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) text: String,
    pub(crate) folded: String,
}

/// The codes of one asset.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// Each once, in the order in which they stand there.
    pub(crate) codes: Vec<Code>,
    /// Where they are from: `field "language"`, `value 1`, `default`. `None`: nothing is given.
    pub(crate) from: Option<String>,
    /// What the table does not have, if such entries are left out.
    pub(crate) left_out: Vec<String>,
}

impl Code {
    pub(crate) fn new(text: &str) -> Self {
        Code {
            text: text.trim().to_owned(),
            folded: fold(text),
        }
    }
}

impl Origins {
    /// The text or list that counts: of the fields, else of the values, else the default.
    pub(crate) fn found(&self, facts: &Facts<'_>) -> Option<Found> {
        let of_fields = self.fields.iter().find_map(|name| {
            let value = facts.stated(name)?;
            Some(Found {
                entries: entries(value),
                is_list: matches!(value, Value::Keywords(_) | Value::References(_)),
                from: format!("field {name:?}"),
            })
        });
        let of_values = || {
            self.values.iter().enumerate().find_map(|(index, pattern)| {
                let mut text = String::new();
                pattern
                    .fill(&mut text, |r, into| facts.resolve(r, into))
                    .ok()?;
                (!text.trim().is_empty()).then(|| Found::text(text, format!("value {}", index + 1)))
            })
        };
        let of_default = || {
            let text = self.default.as_ref()?;
            Some(Found::text(text.clone(), "default".to_owned()))
        };
        of_fields.or_else(of_values).or_else(of_default)
    }

    /// The codes of an asset. The error is why it is held.
    pub(crate) fn codes(
        &self,
        facts: &Facts<'_>,
        separators: &str,
        host: &dyn Host,
    ) -> Result<Codes, String> {
        let Some(found) = self.found(facts) else {
            return Ok(Codes::default());
        };
        let mut codes = Codes {
            from: Some(found.from),
            ..Codes::default()
        };
        for entry in &found.entries {
            // What a table knows as a whole is not a list, whatever characters it has.
            if found.is_list || self.meaning(entry, host)?.is_some() {
                self.add(entry, separators, host, &mut codes)?;
                continue;
            }
            for part in split(entry, separators) {
                self.add(part, separators, host, &mut codes)?;
            }
        }
        if codes.codes.is_empty() && codes.left_out.is_empty() {
            // Separators alone say nothing.
            codes.from = None;
        }
        Ok(codes)
    }

    fn add(
        &self,
        entry: &str,
        separators: &str,
        host: &dyn Host,
        into: &mut Codes,
    ) -> Result<(), String> {
        let cleaned = clean(entry, &self.normalise);
        let Some(table) = &self.table else {
            into.add(&cleaned);
            return Ok(());
        };
        match (self.meaning(entry, host)?, self.unknown) {
            (Some(meaning), _) => split(&meaning, separators).for_each(|code| into.add(code)),
            (None, Unknown::Hold) => {
                return Err(format!(
                    "the code {cleaned:?} is not in the table {}",
                    table.name
                ));
            }
            (None, Unknown::LeaveOut) => into.left_out.push(cleaned),
        }
        Ok(())
    }

    /// What an entry means by the table; itself if it is a meaning already.
    fn meaning(&self, entry: &str, host: &dyn Host) -> Result<Option<String>, String> {
        let Some(table) = &self.table else {
            return Ok(None);
        };
        let cleaned = clean(entry, &self.normalise);
        if self.special.contains(&fold(&cleaned)) {
            return Ok(Some(cleaned));
        }
        let Some(rows) = &table.rows else {
            let found = host.lookup(&table.name, cleaned.trim(), None);
            return found.map_err(|_| format!("the table {:?} is gone", table.name));
        };
        if let Some(meaning) = rows.get(cleaned.trim()) {
            return Ok(Some(meaning.clone()));
        }
        let is_meaning = table.meanings.contains(&fold(&cleaned));
        Ok(is_meaning.then_some(cleaned))
    }
}

impl Codes {
    fn add(&mut self, text: &str) {
        let code = Code::new(text);
        if !code.folded.is_empty() && !self.codes.iter().any(|c| c.folded == code.folded) {
            self.codes.push(code);
        }
    }

    /// Whether a folded code is among them.
    pub(crate) fn has(&self, folded: &str) -> bool {
        self.codes.iter().any(|code| code.folded == folded)
    }
}

/// What a value says, in entries.
fn entries(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.clone()],
        Value::LocalizedText(texts) => texts.iter().map(|t| t.text.clone()).collect(),
        Value::Keywords(list) | Value::References(list) => list.clone(),
        Value::Number(number) => vec![number.to_string()],
        Value::Decimal(number) => vec![number.to_string()],
        Value::Date(day) => vec![format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)],
        Value::Boolean(yes) => vec![yes.to_string()],
    }
}

pub(crate) fn split<'t>(text: &'t str, separators: &str) -> impl Iterator<Item = &'t str> {
    let parts = text.split(move |c| matches!(c, '\n' | '\r') || separators.contains(c));
    parts.map(str::trim).filter(|part| !part.is_empty())
}
