//! What people chose for values that a sink's vocabulary does not have: once for each value, for all assets.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::metadata::{Assigned, Value};
use crate::names::fold_key;

/// What becomes of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// It stands for an entry that the vocabulary has, by name or path.
    Entry(String),
    /// It becomes a new entry, where the field allows that.
    New,
    /// It is left out.
    LeaveOut,
}

/// Choices by field and value. Values that differ only in case or Unicode normal form are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    by_field: BTreeMap<String, BTreeMap<String, Choice>>,
}

impl Choices {
    /// Adds one. Answers false if there was one about that value.
    pub fn insert(&mut self, field: &str, value: &str, decision: Choice) -> bool {
        let of_field = self.by_field.entry(field.to_owned()).or_default();
        of_field.insert(fold_key(value.trim()), decision).is_none()
    }

    /// What was decided about a value.
    pub fn get(&self, field: &str, value: &str) -> Option<&Choice> {
        self.by_field.get(field)?.get(&fold_key(value.trim()))
    }

    /// Values that are to become new entries: field and folded value.
    pub fn accepted(&self) -> BTreeSet<(String, String)> {
        let fields = self.by_field.iter();
        let all = fields.flat_map(|(field, values)| values.iter().map(move |v| (field, v)));
        all.filter(|(_, (_, decision))| **decision == Choice::New)
            .map(|(field, (value, _))| (field.clone(), value.clone()))
            .collect()
    }

    /// Whether any of these fields has a value that is to become a new entry.
    pub fn has_new(&self, fields: &[Assigned]) -> bool {
        let is_new = |field: &str, value: &String| self.get(field, value) == Some(&Choice::New);
        fields.iter().any(|assigned| match &assigned.value {
            Value::Text(text) => is_new(&assigned.field, text),
            Value::Keywords(values) | Value::References(values) => {
                values.iter().any(|value| is_new(&assigned.field, value))
            }
            _ => false,
        })
    }

    /// The value that somebody decided to stand for an entry of this name.
    pub fn decided_as(&self, field: &str, entry: &str) -> Option<&str> {
        let entry = fold_key(entry.trim());
        let mut values = self.by_field.get(field)?.iter();
        let found = values.find(
            |(_, choice)| matches!(choice, Choice::Entry(name) if fold_key(name.trim()) == entry),
        );
        found.map(|(value, _)| value.as_str())
    }

    /// A field as it was decided; `None` for a text that is left out, while a list of which nothing is left is assigned
    /// as an empty one, so that the asset loses what it had. The rule names what was replaced.
    pub fn apply(&self, mut assigned: Assigned) -> Option<Assigned> {
        if !self.by_field.contains_key(&assigned.field) {
            return Some(assigned);
        }
        let mut replaced = Vec::new();
        let field = assigned.field.clone();
        let mut decide = |value: String| match self.get(&field, &value) {
            None | Some(Choice::New) => Some(value),
            Some(Choice::LeaveOut) => {
                replaced.push(value);
                None
            }
            Some(Choice::Entry(entry)) => {
                replaced.push(value);
                Some(entry.clone())
            }
        };
        let mut decide_all = |values: Vec<String>| {
            let mut kept: Vec<String> = Vec::with_capacity(values.len());
            for value in values.into_iter().filter_map(&mut decide) {
                // Two spellings of one entry are one.
                if !kept.contains(&value) {
                    kept.push(value);
                }
            }
            kept
        };
        assigned.value = match assigned.value {
            Value::Text(text) => Value::Text(decide(text)?),
            Value::Keywords(values) => Value::Keywords(decide_all(values)),
            Value::References(values) => Value::References(decide_all(values)),
            other => other,
        };
        if !replaced.is_empty() {
            assigned.rule = format!("{}; decided about {}", assigned.rule, quoted(&replaced));
        }
        Some(assigned)
    }
}

fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(value: Value) -> Assigned {
        Assigned {
            field: "keywords".to_owned(),
            value,
            rule: "folder".to_owned(),
        }
    }

    fn keywords(values: &[&str]) -> Value {
        Value::Keywords(values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn choices() -> Choices {
        let mut choices = Choices::default();
        let chili = Choice::Entry("Jalapeño".to_owned());
        assert!(choices.insert("keywords", "Jalapeno", chili));
        assert!(choices.insert("keywords", "intern", Choice::LeaveOut));
        assert!(choices.insert("keywords", "Nightlife", Choice::New));
        choices
    }

    #[test]
    fn one_decision_counts_for_every_spelling_and_is_named_by_the_rule() {
        let given = keywords(&["JALAPENO", "Jalapeño", "Intern", "Nightlife", "Käse"]);
        let decided = choices().apply(assigned(given)).unwrap();
        assert_eq!(decided.value, keywords(&["Jalapeño", "Nightlife", "Käse"]));
        assert_eq!(
            decided.rule,
            "folder; decided about \"JALAPENO\", \"Intern\""
        );
        let accepted = [("keywords".to_owned(), "nightlife".to_owned())];
        assert_eq!(choices().accepted(), accepted.into());
    }

    #[test]
    fn a_list_is_emptied_and_a_text_that_is_left_out_is_not_assigned() {
        let emptied = choices().apply(assigned(keywords(&["intern"]))).unwrap();
        assert_eq!(emptied.value, keywords(&[]));
        assert_eq!(
            choices().apply(assigned(Value::Text("intern".to_owned()))),
            None
        );
        let number = assigned(Value::Number(1));
        assert_eq!(choices().apply(number.clone()), Some(number));
    }

    #[test]
    fn other_fields_are_left_alone() {
        let mut other = assigned(keywords(&["Jalapeno"]));
        other.field = "themes".to_owned();
        assert_eq!(choices().apply(other.clone()), Some(other));
    }
}
