//! Statements and the values that they take: one text for both databases.

use std::borrow::Cow;

use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

use crate::place::Database;
use crate::rows::Set;

/// A value that a statement takes.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    Text(Option<String>),
    /// Rows as JSON, which the statement spreads.
    Set(Set),
    Number(i64),
}

impl From<String> for Bound {
    fn from(text: String) -> Self {
        Bound::Text(Some(text))
    }
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Bound::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Bound {
    fn from(text: Option<String>) -> Self {
        Bound::Text(text)
    }
}

impl From<Option<&str>> for Bound {
    fn from(text: Option<&str>) -> Self {
        Bound::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Bound {
    fn from(number: i64) -> Self {
        Bound::Number(number)
    }
}

impl From<Set> for Bound {
    fn from(set: Set) -> Self {
        Bound::Set(set)
    }
}

/// The values of a statement, in the order of its numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::statement::Bound::from($value)),*] };
}
pub(crate) use values;

/// A statement with its values.
pub(crate) fn query(
    database: Database,
    sql: &'static str,
    values: Vec<Bound>,
) -> Query<'static, Any, AnyArguments> {
    let mut query = sqlx::query(sql);
    for value in values {
        query = match (value, database) {
            (Bound::Number(number), _) => query.bind(number),
            (Bound::Text(text), Database::Sqlite) => query.bind(text),
            (Bound::Set(set), Database::Sqlite) => query.bind(set.into_json()),
            (Bound::Text(text), Database::Postgres) => query.bind(text.map(without_nul)),
            (Bound::Set(set), Database::Postgres) => query.bind(json_without_nul(set.into_json())),
        };
    }
    query
}

/// PostgreSQL's texts cannot hold U+0000. This character, which is assigned to nobody, begins what stands for it there:
/// followed by `0` the one, followed by itself it stands for itself.
const ESCAPE: char = '\u{10FFFE}';

/// A text as PostgreSQL holds it.
fn without_nul(text: String) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    text.replace(ESCAPE, "\u{10FFFE}\u{10FFFE}")
        .replace('\0', "\u{10FFFE}0")
}

/// The same for the strings inside JSON, where U+0000 is written as an escape of its own.
pub(crate) fn json_without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) && !json.contains(ESCAPE) {
        return json;
    }
    let json = json.replace(ESCAPE, "\u{10FFFE}\u{10FFFE}");
    let mut kept = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        kept.push_str(before);
        // An escape is looked at as a whole, so that a backslash that is escaped itself begins none.
        rest = match escape.strip_prefix(NUL) {
            Some(after) => {
                kept.push_str("\u{10FFFE}0");
                after
            }
            None => {
                let length = 2.min(escape.len());
                kept.push_str(&escape[..length]);
                &escape[length..]
            }
        };
    }
    kept.push_str(rest);
    kept
}

/// A text as it was before [`query`] took it.
pub(crate) fn with_nul(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => match characters.next() {
                Some('0') => kept.push('\0'),
                Some(other) => kept.push(other),
                None => kept.push(ESCAPE),
            },
            other => kept.push(other),
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\0".to_owned()),
            Just("\\u0000".to_owned()),
            Just("\\".to_owned()),
            Just("0".to_owned()),
            Just("\"".to_owned()),
            Just(ESCAPE.to_string()),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_is_held_without_nul_and_comes_back(text in any_text()) {
            let held = without_nul(text.clone());
            prop_assert!(!held.contains('\0'));
            prop_assert_eq!(with_nul(&held), text);
        }

        #[test]
        fn the_strings_of_any_json_are_held_without_nul_and_come_back(
            texts in prop::collection::vec(any_text(), 0..4)
        ) {
            let held = json_without_nul(serde_json::to_string(&texts).unwrap());
            let held: Vec<String> = serde_json::from_str(&held).unwrap();
            prop_assert!(held.iter().all(|text| !text.contains('\0')));
            let back: Vec<String> = held.iter().map(|text| with_nul(text).into_owned()).collect();
            prop_assert_eq!(back, texts);
        }
    }
}
