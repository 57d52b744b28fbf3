//! States and classes: approval status, releases that somebody must have signed, audiences.

use std::collections::{BTreeMap, BTreeSet};

use windlass_sdk::{Finding, Value};

use crate::calendar::Calendar;
use crate::clause::{Clause, Say};
use crate::config::Names;
use crate::facts::{Facts, fold, readings, shown, split};

/// A field whose values allow or deny. Words are folded.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The key of its field: `status.field`.
    pub(crate) key: String,
    /// What it is called: `status`.
    pub(crate) noun: String,
    pub(crate) field: Names,
    pub(crate) allowed: BTreeSet<String>,
    pub(crate) denied: BTreeSet<String>,
}

/// A release that somebody must have signed.
#[derive(Debug)]
pub(crate) struct Consent {
    /// Its key: `consent.model release`.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) required_when: Option<Names>,
    pub(crate) yes: BTreeSet<String>,
    pub(crate) no: BTreeSet<String>,
    pub(crate) state: Standing,
    pub(crate) expires: Option<Names>,
}

/// Who may get what.
#[derive(Debug)]
pub(crate) struct Audiences {
    pub(crate) field: Names,
    /// Classes by audience; none: the field lists audiences.
    pub(crate) allowed: BTreeMap<String, BTreeSet<String>>,
    pub(crate) separators: String,
}

impl Standing {
    pub(crate) fn clause(&self, facts: Facts<'_>) -> Clause {
        Clause::always(&self.key, self.say(facts))
    }

    fn say(&self, facts: Facts<'_>) -> Say {
        let noun = &self.noun;
        let Some((name, value)) = facts.value(&self.field) else {
            return Say::hold(format!("{noun}: {} has no value", self.field.told()));
        };
        let words: Vec<String> = words(value).collect();
        let shown = shown(value);
        if words.iter().any(|word| self.denied.contains(word)) {
            return Say::deny(format!("{noun} is {shown}"));
        }
        match words.iter().all(|word| self.allowed.contains(word)) {
            true => Say::allow(format!("{noun} is {shown}")),
            false => Say::hold(format!(
                "{noun}: field {name:?} says {shown}, which neither allows nor denies"
            )),
        }
    }
}

impl Consent {
    pub(crate) fn clauses(
        &self,
        facts: Facts<'_>,
        calendar: Option<&Calendar>,
        into: &mut Vec<Clause>,
    ) {
        let (key, noun) = (&self.key, &self.name);
        if let Some(names) = &self.required_when {
            let key = format!("{key}.required_when");
            let say = match facts.value(names) {
                None => Say::hold(format!("{noun}: {} has no value", names.told())),
                Some((name, value)) => match self.is_required(value) {
                    Some(true) => return self.required(facts, calendar, into),
                    Some(false) => Say::allow(format!("no {noun} is needed")),
                    None => Say::hold(format!(
                        "{noun}: field {name:?} says {}, which is neither yes nor no",
                        shown(value)
                    )),
                },
            };
            into.push(Clause::always(key, say));
            return;
        }
        self.required(facts, calendar, into);
    }

    fn required(&self, facts: Facts<'_>, calendar: Option<&Calendar>, into: &mut Vec<Clause>) {
        into.push(self.state.clause(facts));
        let stated = self.expires.as_ref().and_then(|names| facts.value(names));
        if let (Some((name, value)), Some(calendar)) = (stated, calendar) {
            let key = format!("{}.expires", self.key);
            into.push(ending(key, &self.name, name, value, calendar));
        }
    }

    /// One yes of several words is a yes; all must be a no to be one.
    fn is_required(&self, value: &Value) -> Option<bool> {
        let words: Vec<String> = words(value).collect();
        if words.iter().any(|word| self.yes.contains(word)) {
            return Some(true);
        }
        let all_no = words.iter().all(|word| self.no.contains(word));
        all_no.then_some(false)
    }
}

impl Audiences {
    pub(crate) fn clause(&self, facts: Facts<'_>, audience: &str) -> Clause {
        let (key, say) = self.say(facts, audience);
        Clause::always(key, say)
    }

    fn say(&self, facts: Facts<'_>, audience: &str) -> (&'static str, Say) {
        let asked = fold(audience);
        let allowed = self.allowed.get(&asked);
        if allowed.is_none() && !self.allowed.is_empty() {
            let reason = format!("\"audiences.allowed\" has nothing for the audience {audience:?}");
            return ("audiences.allowed", Say::hold(reason));
        }
        let Some((name, value)) = facts.value(&self.field) else {
            let reason = format!("{} has no value", self.field.told());
            return ("audiences.field", Say::hold(reason));
        };
        // Every language must say so by itself.
        let mut readings = readings(value).into_iter();
        let fits = readings.all(|reading| {
            let mut entries = reading.iter();
            match allowed {
                Some(classes) => entries.all(|entry| self.all_among(entry, classes)),
                None => entries.any(|entry| self.lists(entry, &asked)),
            }
        });
        let shown = shown(value);
        let say = match fits {
            true => Say::allow(format!("{shown} is for the audience {audience:?}")),
            false => Say::deny(format!(
                "field {name:?} says {shown}, which is not for the audience {audience:?}"
            )),
        };
        ("audiences.field", say)
    }

    fn all_among(&self, entry: &str, classes: &BTreeSet<String>) -> bool {
        let mut parts = split(entry, &self.separators).peekable();
        classes.contains(&fold(entry))
            || (parts.peek().is_some() && parts.all(|part| classes.contains(&fold(part))))
    }

    fn lists(&self, entry: &str, asked: &str) -> bool {
        let mut parts = split(entry, &self.separators);
        fold(entry) == asked || parts.any(|part| fold(part) == asked)
    }
}

/// The clause of something that lasts until a day that a field holds.
pub(crate) fn ending(
    key: impl Into<String>,
    noun: &str,
    name: &str,
    value: &Value,
    calendar: &Calendar,
) -> Clause {
    let Some(day) = calendar.read(value) else {
        return Clause::always(key, unreadable(name, value));
    };
    let lasts = Say::allow(format!("{noun} lasts until {day}"));
    let ended = Say::deny(format!("{noun} ended on {day}"));
    Clause {
        warning: Some(Finding {
            subject: name.to_owned(),
            message: format!("{noun} ends on {day}"),
        }),
        ..Clause::changing(key, lasts, calendar.end(day), ended)
    }
}

/// The clause of something that begins on a day that a field holds.
pub(crate) fn beginning(
    key: impl Into<String>,
    noun: &str,
    name: &str,
    value: &Value,
    calendar: &Calendar,
) -> Clause {
    let Some(day) = calendar.read(value) else {
        return Clause::always(key, unreadable(name, value));
    };
    let waits = Say::deny(format!("{noun} is {day}, not before"));
    let begun = Say::allow(format!("{noun} was {day}"));
    Clause::changing(key, waits, calendar.begin(day), begun)
}

fn unreadable(name: &str, value: &Value) -> Say {
    let reason = format!(
        "field {name:?} says {}, which is neither a day nor a moment with its offset",
        shown(value)
    );
    Say::hold(reason)
}

/// All words of a value, of every language, folded.
fn words(value: &Value) -> impl Iterator<Item = String> {
    readings(value)
        .into_iter()
        .flatten()
        .map(|word| fold(&word))
}
