//! Text becomes values: cleaning steps, and one parser a type.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;
use windlass_sdk::{Date, Localized, Value};

use crate::config::{FieldConfig, Kind, Normalise};

const DEFAULT_DATE_FORMAT: &str = "YYYY-MM-DD";

/// Applies the replacements, longest first, then the steps in order.
pub fn clean(text: &str, replace: &BTreeMap<String, String>, steps: &[Normalise]) -> String {
    let mut pairs: Vec<_> = replace
        .iter()
        .filter(|(from, _)| !from.is_empty())
        .collect();
    pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    let mut text = pairs
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    for step in steps {
        text = match step {
            Normalise::Trim => text.trim().to_owned(),
            Normalise::Lower => text.to_lowercase(),
            Normalise::Upper => text.to_uppercase(),
            Normalise::Title => title(&text),
            Normalise::Spaces => {
                let blanked = text.replace('_', " ");
                blanked.split_whitespace().collect::<Vec<_>>().join(" ")
            }
            Normalise::Nfc => text.nfc().collect(),
        };
    }
    text
}

/// The value of a field from its filled-in patterns; `None` if nothing is left of them. The error is
/// half a sentence: "… is no whole number".
pub fn value(field: &FieldConfig, texts: &[String]) -> Result<Option<Value>, String> {
    if matches!(field.kind, Kind::Keywords | Kind::References) {
        let entries = entries(texts, field.separator.as_deref());
        return Ok(match field.kind {
            _ if entries.is_empty() => None,
            Kind::Keywords => Some(Value::Keywords(entries)),
            _ => Some(Value::References(entries)),
        });
    }
    let Some(text) = texts
        .first()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let value = match field.kind {
        Kind::Number => text
            .parse()
            .map(Value::Number)
            .map_err(|_| "a whole number")?,
        Kind::Decimal => decimal(text).map(Value::Decimal).ok_or("a number")?,
        Kind::Date => {
            let format = field.format.as_deref().unwrap_or(DEFAULT_DATE_FORMAT);
            Value::Date(date(text, format).ok_or(format!("a date written {format}"))?)
        }
        Kind::Boolean => boolean(text).map(Value::Boolean).ok_or("yes or no")?,
        Kind::LocalizedText => {
            let locale = field.locale.clone().unwrap_or_default();
            Value::LocalizedText(vec![Localized {
                locale,
                text: text.to_owned(),
            }])
        }
        Kind::Text | Kind::Keywords | Kind::References => Value::Text(text.to_owned()),
    };
    Ok(Some(value))
}

fn title(text: &str) -> String {
    let mut within = false;
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        match within {
            true => titled.extend(c.to_lowercase()),
            false => titled.extend(c.to_uppercase()),
        }
        // An apostrophe does not start a word: L'Oréal keeps one capital more by a table.
        within = c.is_alphanumeric() || c == '\'' || c == '’';
    }
    titled
}

fn entries(texts: &[String], separator: Option<&str>) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for text in texts {
        let parts: Vec<&str> = match separator {
            Some(separator) => text.split(separator).collect(),
            None => vec![text],
        };
        for part in parts
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if !entries.iter().any(|entry| entry == part) {
                entries.push(part.to_owned());
            }
        }
    }
    entries
}

fn decimal(text: &str) -> Option<f64> {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    text.parse().ok().filter(|_| plain)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Reads `text` along `format`; a format without month or day means the first.
fn date(text: &str, format: &str) -> Option<Date> {
    let (mut year, mut month, mut day) = (0i32, 1u8, 1u8);
    let (mut text, mut format) = (text, format);
    while !format.is_empty() {
        let (token, digits) = if format.starts_with("YYYY") {
            ("YYYY", 4)
        } else if format.starts_with("MM") {
            ("MM", 2)
        } else if format.starts_with("DD") {
            ("DD", 2)
        } else {
            let literal = format.chars().next()?;
            text = text.strip_prefix(literal)?;
            format = &format[literal.len_utf8()..];
            continue;
        };
        let number = text
            .get(..digits)
            .filter(|n| n.bytes().all(|b| b.is_ascii_digit()))?;
        match token {
            "YYYY" => year = number.parse().ok()?,
            "MM" => month = number.parse().ok()?,
            _ => day = number.parse().ok()?,
        }
        (text, format) = (&text[digits..], &format[token.len()..]);
    }
    let is_day = year >= 1 && (1..=days(year, month)?).contains(&day);
    (text.is_empty() && is_day).then_some(Date { year, month, day })
}

fn days(year: i32, month: u8) -> Option<u8> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_apply_in_order_after_replacements() {
        let replace = [
            ("-".to_owned(), " ".to_owned()),
            ("--".to_owned(), "+".to_owned()),
        ]
        .into();
        let steps = [Normalise::Spaces, Normalise::Title];
        assert_eq!(
            clean(" summer_sun--SALE-now ", &replace, &steps),
            "Summer Sun+Sale Now"
        );
        assert_eq!(
            clean("ÄPFEL", &BTreeMap::new(), &[Normalise::Lower]),
            "äpfel"
        );
        assert_eq!(clean("u\u{308}", &BTreeMap::new(), &[Normalise::Nfc]), "ü");
    }

    #[test]
    fn dates_are_read_along_their_format_and_must_exist() {
        let day = |year, month, day| Some(Date { year, month, day });
        assert_eq!(date("2024-02-29", "YYYY-MM-DD"), day(2024, 2, 29));
        assert_eq!(date("2025-02-29", "YYYY-MM-DD"), None);
        assert_eq!(date("31.12.2025", "DD.MM.YYYY"), day(2025, 12, 31));
        assert_eq!(date("2025", "YYYY"), day(2025, 1, 1));
        assert_eq!(date("202513", "YYYYMM"), None);
        assert_eq!(date("2025-1-1", "YYYY-MM-DD"), None);
        assert_eq!(date("2025-01-01x", "YYYY-MM-DD"), None);
        assert_eq!(date("20é5", "YYYY"), None);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        assert_eq!(decimal("1.5"), Some(1.5));
        assert_eq!(decimal("inf"), None);
        assert_eq!(decimal("1e9"), None);
        assert_eq!(boolean("Yes"), Some(true));
        assert_eq!(boolean("perhaps"), None);
    }

    #[test]
    fn entries_are_split_trimmed_and_told_once() {
        let texts = ["a, b,,a".to_owned(), "c".to_owned()];
        assert_eq!(entries(&texts, Some(",")), ["a", "b", "c"]);
        assert_eq!(entries(&texts, None), ["a, b,,a", "c"]);
    }
}
