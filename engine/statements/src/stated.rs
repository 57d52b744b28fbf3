//! What comes out: statements and findings, within bounds.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use windlass_core::{Finding, Origin, Stated, Statement, Value};

use crate::twice;

/// The most statements about one asset. The properties that people fill in are some sixty; the rest is room.
pub const STATEMENTS_MAX: usize = 512;

/// The longest text, in bytes. IPTC allows 2,000 characters to a caption, of up to four bytes each.
pub const TEXT_BYTES_MAX: usize = 8 << 10;

/// The most entries of one list or languages of one text.
pub const ITEMS_MAX: usize = 1 << 10;

/// The most findings about one asset. A file that is wrong in more ways is wrong altogether.
pub const FINDINGS_MAX: usize = 64;

/// Takes statements and findings, and keeps them within bounds.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    subject: &'a str,
    origin: Origin,
    stated: Stated,
    names: HashSet<String>,
    surplus_statements: usize,
    surplus_findings: usize,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(subject: &'a str, origin: Origin) -> Self {
        Collector {
            subject,
            origin,
            stated: Stated::default(),
            names: HashSet::new(),
            surplus_statements: 0,
            surplus_findings: 0,
        }
    }

    /// Whether the property was stated already.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds a finding about the file. `message` is a sentence without a full stop.
    pub(crate) fn remark(&mut self, message: impl Into<String>) {
        let finding = Finding {
            subject: self.subject.to_owned(),
            message: message.into(),
        };
        if self.stated.findings.contains(&finding) {
            return;
        }
        if self.stated.findings.len() == FINDINGS_MAX {
            self.surplus_findings += 1;
            return;
        }
        self.stated.findings.push(finding);
    }

    /// Says why a property is not among the statements.
    pub(crate) fn left_out(&mut self, name: &str, why: impl Display) {
        self.remark(format!("{name} is left out: {why}"));
    }

    /// Adds a statement. Of two about one property the first stands, and values that are blank state nothing.
    pub(crate) fn state(&mut self, name: &str, value: Value) {
        let Some(value) = self.checked(name, value) else {
            return;
        };
        if self.has(name) {
            let first = self.stated.statements.iter().find(|one| one.name == name);
            if first.is_none_or(|first| first.value != value) {
                self.remark(format!("{name} is stated twice; the first is taken"));
            }
            return;
        }
        if self.stated.statements.len() == STATEMENTS_MAX {
            self.surplus_statements += 1;
            return;
        }
        self.names.insert(name.to_owned());
        self.stated.statements.push(Statement {
            origin: self.origin,
            name: name.to_owned(),
            value,
        });
    }

    pub(crate) fn finish(mut self) -> Stated {
        if self.surplus_statements > 0 {
            let more = self.surplus_statements;
            self.remark(format!(
                "{more} properties are left out: only the first {STATEMENTS_MAX} are taken"
            ));
        }
        if self.surplus_findings > 0 {
            self.stated.findings.push(Finding {
                subject: self.subject.to_owned(),
                message: format!("there are {} more findings", self.surplus_findings),
            });
        }
        self.stated
    }

    fn checked(&mut self, name: &str, value: Value) -> Option<Value> {
        match value {
            Value::Text(text) => self.text(name, text).map(Value::Text),
            Value::Keywords(mut items) => {
                items.retain(|item| !item.trim().is_empty());
                self.bound(name, items.len());
                let items: Vec<String> = (items.into_iter().take(ITEMS_MAX))
                    .filter_map(|item| self.text(name, item))
                    .collect();
                (!items.is_empty()).then_some(Value::Keywords(items))
            }
            Value::LocalizedText(texts) => {
                self.bound(name, texts.len());
                let texts: BTreeMap<String, String> = (texts.into_iter().take(ITEMS_MAX))
                    .filter_map(|(language, text)| Some((language, self.text(name, text)?)))
                    .collect();
                (!texts.is_empty()).then_some(Value::LocalizedText(texts))
            }
            other => Some(other),
        }
    }

    fn bound(&mut self, name: &str, items: usize) {
        if items > ITEMS_MAX {
            self.remark(format!(
                "{name} has {items} entries; the first {ITEMS_MAX} are taken"
            ));
        }
    }

    /// A text that is not blank, its double encoding undone and its length within bounds.
    fn text(&mut self, name: &str, text: String) -> Option<String> {
        if text.trim().is_empty() {
            return None;
        }
        let text = match twice::undone(&text) {
            Some(meant) => {
                let (stored, meant_start) = (start_of(&text), start_of(&meant));
                self.remark(format!(
                    "{name} is encoded twice: read {stored:?} as {meant_start:?}"
                ));
                meant
            }
            None => text,
        };
        if text.len() <= TEXT_BYTES_MAX {
            return Some(text);
        }
        let kept = text.floor_char_boundary(TEXT_BYTES_MAX);
        self.remark(format!(
            "{name} has {} bytes; the first {kept} are taken",
            text.len()
        ));
        Some(text[..kept].to_owned())
    }
}

/// As much of a text as a finding can show.
pub(crate) fn start_of(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
