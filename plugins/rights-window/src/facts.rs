//! What is known about an asset: the value that counts, its words, and how to show it.

use unicode_normalization::UnicodeNormalization;
use windlass_sdk::{AssetView, Origin, Value};

use crate::config::Names;

/// Characters of a value that a reason shows.
const SHOWN_CHARS_MAX: usize = 80;

/// An asset, and whose statements about it count.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) asset: &'a AssetView,
    pub(crate) trust: &'a [Origin],
}

impl<'a> Facts<'a> {
    /// The value that counts: of the most trusted origin that has one, of the first name that has one there.
    pub(crate) fn value<'n>(&self, names: &'n Names) -> Option<(&'n str, &'a Value)> {
        self.trust.iter().find_map(|origin| {
            names.all().iter().find_map(|name| {
                let value = self.asset.stated(*origin, name)?;
                (!is_blank(value)).then_some((name.as_str(), value))
            })
        })
    }
}

impl Names {
    pub(crate) fn all(&self) -> &[String] {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
    }

    /// How a reason names them: `field "a"`, `fields "a", "b"`.
    pub(crate) fn told(&self) -> String {
        let names: Vec<String> = self.all().iter().map(|name| format!("{name:?}")).collect();
        let word = if names.len() == 1 { "field" } else { "fields" };
        format!("{word} {}", names.join(", "))
    }
}

/// Whether nothing is said.
fn is_blank(value: &Value) -> bool {
    let blank = |text: &String| text.trim().is_empty();
    match value {
        Value::Text(text) => blank(text),
        Value::LocalizedText(texts) => texts.iter().all(|localized| blank(&localized.text)),
        Value::Keywords(list) | Value::References(list) => list.iter().all(blank),
        Value::Number(_) | Value::Decimal(_) | Value::Date(_) | Value::Boolean(_) => false,
    }
}

/// A value as a reason shows it.
pub(crate) fn shown(value: &Value) -> String {
    let whole = readings(value)
        .iter()
        .map(|words| words.join(", "))
        .collect::<Vec<_>>()
        .join(" / ");
    let cut: String = whole.chars().take(SHOWN_CHARS_MAX).collect();
    match cut.len() < whole.len() {
        true => format!("{:?}", cut + "…"),
        false => format!("{cut:?}"),
    }
}

/// The words of a value as they stand there: one reading, or one for each language that says something.
pub(crate) fn readings(value: &Value) -> Vec<Vec<String>> {
    match value {
        Value::Text(text) => vec![vec![text.trim().to_owned()]],
        Value::LocalizedText(texts) => {
            let texts = texts.iter().map(|localized| localized.text.trim());
            let said = texts.filter(|text| !text.is_empty());
            said.map(|text| vec![text.to_owned()]).collect()
        }
        Value::Keywords(list) | Value::References(list) => {
            let words = list.iter().map(|word| word.trim().to_owned());
            vec![words.filter(|word| !word.is_empty()).collect()]
        }
        Value::Number(number) => vec![vec![number.to_string()]],
        Value::Decimal(number) => vec![vec![number.to_string()]],
        Value::Date(day) => vec![vec![format!(
            "{:04}-{:02}-{:02}",
            day.year, day.month, day.day
        )]],
        Value::Boolean(yes) => vec![vec![yes.to_string()]],
    }
}

/// A word as it is compared: without regard to case, kinds of blanks and how its accents are composed.
pub(crate) fn fold(word: &str) -> String {
    // Most words are short ASCII, for which normalising would be slow and for nothing.
    if word.is_ascii() && !word.contains(|c: char| c.is_ascii_whitespace()) {
        return word.to_ascii_lowercase();
    }
    let blanked = word.split_whitespace().collect::<Vec<_>>().join(" ");
    if blanked.is_ascii() {
        return blanked.to_ascii_lowercase();
    }
    // Lower-casing can leave the normal form again, as with a capital I with a dot.
    blanked
        .nfc()
        .collect::<String>()
        .to_lowercase()
        .nfc()
        .collect()
}

/// Splits a text that is a list. `separators` are characters; line ends separate always.
pub(crate) fn split<'t>(text: &'t str, separators: &str) -> impl Iterator<Item = &'t str> {
    let parts = text.split(move |c| matches!(c, '\n' | '\r') || separators.contains(c));
    parts.map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_blanks_and_composition() {
        assert_eq!(fold(" DE "), fold("de"));
        assert_eq!(fold("All\u{a0} Media"), fold("all media"));
        assert_eq!(fold("O\u{308}STERREICH"), fold("österreich"));
        assert_ne!(fold("Jalapeno"), fold("Jalapeño"));
    }

    #[test]
    fn a_long_value_is_shown_cut() {
        let long = Value::Text("x".repeat(200));
        assert_eq!(shown(&long), format!("\"{}…\"", "x".repeat(80)));
    }

    #[test]
    fn lists_split_at_separators_and_line_ends() {
        let parts: Vec<_> = split("DE, AT;\n CH,,", ",;").collect();
        assert_eq!(parts, ["DE", "AT", "CH"]);
    }
}
