//! Territories and channels: is the market, or the channel, in the asset's list?
//!
//! A group stands for its members, in the asset's lists and in what is asked for: a release for `DACH` needs all
//! three countries, and one of them excluded excludes it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_sdk::{Decision, Value};

use crate::clause::{Clause, Say};
use crate::config::Names;
use crate::facts::{Facts, fold, readings, shown, split};

/// A checked section. All words in it are folded.
#[derive(Debug)]
pub(crate) struct Area {
    /// The section's key: `territories`.
    pub(crate) key: &'static str,
    /// What one entry is called: `market`.
    pub(crate) noun: &'static str,
    pub(crate) field: Names,
    pub(crate) except: Option<Names>,
    /// Words for everything.
    pub(crate) all: BTreeSet<String>,
    /// What becomes of a release for none in particular.
    pub(crate) otherwise: Decision,
    /// Codes that may stand in the fields; empty: any may.
    pub(crate) known: BTreeSet<String>,
    pub(crate) groups: BTreeMap<String, BTreeSet<String>>,
    pub(crate) separators: String,
}

/// What a field's list means, groups resolved.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    /// Whether one of its words means everything.
    all: bool,
    /// Its words, with the members of groups in their place.
    words: BTreeSet<String>,
    /// The first word that the configuration does not name, as it stands there.
    unknown: Option<String>,
}

impl Area {
    /// What it says of a release for `asked`, a market or a channel.
    pub(crate) fn clauses(&self, facts: Facts<'_>, asked: Option<&str>, into: &mut Vec<Clause>) {
        let folded = asked.map(fold).filter(|word| !self.all.contains(word));
        let wanted = folded.as_deref().zip(asked);
        if let Some((_, shown)) = wanted.filter(|(word, _)| self.is_strict() && !self.has(word)) {
            let (key, noun) = (self.key, self.noun);
            let reason = format!("the {noun} {shown:?} is not in \"{key}.known\" and no group");
            into.push(Clause::always(format!("{key}.known"), Say::hold(reason)));
        }
        if let Some(names) = &self.except {
            let key = format!("{}.except", self.key);
            let say = self.excluded(facts, names, wanted);
            into.extend(say.map(|say| Clause::always(key, say)));
        }
        let say = self.included(facts, wanted);
        into.push(Clause::always(format!("{}.field", self.key), say));
    }

    /// What the exclusions say; nothing if they do not concern the release.
    fn excluded(
        &self,
        facts: Facts<'_>,
        names: &Names,
        wanted: Option<(&str, &str)>,
    ) -> Option<Say> {
        let (name, value) = facts.value(names)?;
        let noun = self.noun;
        let Some(meaning) = self.meaning(value, None) else {
            return Some(disagree(name, value));
        };
        let is_hit = |word: &str| meaning.words.contains(word);
        if meaning.all {
            return Some(Say::deny(format!("every {noun} is excluded")));
        }
        if let Some((word, shown)) = wanted {
            let members = self.groups.get(word).into_iter().flatten();
            let hit = std::iter::once(word).chain(members.map(String::as_str));
            if hit.into_iter().any(is_hit) {
                return Some(Say::deny(format!("the {noun} {shown:?} is excluded")));
            }
        }
        if let Some(unknown) = meaning.unknown {
            let reason = format!(
                "field {name:?} excludes {unknown:?}, which is not in \"{}.known\" and no group",
                self.key
            );
            return Some(Say::hold(reason));
        }
        let reason = || {
            format!(
                "it is for no certain {noun}, and {} is excluded",
                shown(value)
            )
        };
        let concerns_all = wanted.is_none() && !meaning.words.is_empty();
        concerns_all.then(|| Say::new(self.otherwise, reason()))
    }

    fn included(&self, facts: Facts<'_>, wanted: Option<(&str, &str)>) -> Say {
        let noun = self.noun;
        let Some((name, value)) = facts.value(&self.field) else {
            return Say::hold(format!("{} has no value", self.field.told()));
        };
        let Some(meaning) = self.meaning(value, wanted.map(|(word, _)| word)) else {
            return disagree(name, value);
        };
        let is_listed = wanted.is_some_and(|(word, _)| {
            let members = self.groups.get(word);
            let has_members = members.is_some_and(|members| members.is_subset(&meaning.words));
            meaning.words.contains(word) || has_members
        });
        if let (true, Some((_, asked))) = (is_listed, wanted) {
            return Say::allow(format!("for the {noun} {asked:?}"));
        }
        if let (true, Some(unknown)) = (meaning.all, &meaning.unknown) {
            // It may well be what limits the rest, as in "worldwide, not CN".
            let reason = format!("field {name:?} says {unknown:?} beside every {noun}");
            return Say::hold(reason);
        }
        if meaning.all {
            return Say::allow(format!("for every {noun}"));
        }
        let Some((_, asked)) = wanted else {
            let reason = format!(
                "it is for no certain {noun}, and field {name:?} says {} only",
                shown(value)
            );
            return Say::new(self.otherwise, reason);
        };
        match meaning.unknown.filter(|_| self.is_strict()) {
            Some(unknown) => Say::hold(format!(
                "field {name:?} says {unknown:?}, which is not in \"{}.known\" and no group",
                self.key
            )),
            None => Say::deny(format!("the {noun} {asked:?} is not in {}", shown(value))),
        }
    }

    /// What a list means, if its languages mean the same.
    fn meaning(&self, value: &Value, asked: Option<&str>) -> Option<Meaning> {
        let mut meanings = readings(value)
            .into_iter()
            .map(|reading| self.meaning_of(reading, value, asked));
        let first = meanings.next()?;
        meanings.all(|meaning| meaning == first).then_some(first)
    }

    fn meaning_of(&self, reading: Vec<String>, value: &Value, asked: Option<&str>) -> Meaning {
        let is_text = matches!(value, Value::Text(_) | Value::LocalizedText(_));
        let mut meaning = Meaning::default();
        for entry in &reading {
            let whole = fold(entry);
            // A name may hold a separator itself, such as "Bonaire, Sint Eustatius and Saba".
            let is_one = self.has(&whole) || asked == Some(whole.as_str());
            match is_text && !is_one {
                true => {
                    let parts = split(entry, &self.separators);
                    parts.for_each(|part| self.add(part, fold(part), &mut meaning));
                }
                false => self.add(entry, whole, &mut meaning),
            }
        }
        meaning
    }

    fn add(&self, entry: &str, word: String, meaning: &mut Meaning) {
        if self.all.contains(&word) {
            meaning.all = true;
            return;
        }
        if !self.has(&word) && meaning.unknown.is_none() {
            meaning.unknown = Some(entry.to_owned());
        }
        match self.groups.get(&word) {
            Some(members) => meaning.words.extend(members.iter().cloned()),
            None => {
                meaning.words.insert(word);
            }
        }
    }

    /// Whether only words that the configuration names may stand in the fields.
    fn is_strict(&self) -> bool {
        !self.known.is_empty() || self.except.is_some()
    }

    /// Whether the configuration names a word.
    fn has(&self, word: &str) -> bool {
        let mut members = self.groups.values();
        self.all.contains(word)
            || self.known.contains(word)
            || self.groups.contains_key(word)
            || members.any(|members| members.contains(word))
    }
}

fn disagree(name: &str, value: &Value) -> Say {
    Say::hold(format!(
        "field {name:?} says different things in its languages: {}",
        shown(value)
    ))
}
