//! What a name may be: on Dropbox, and on the Windows machines that Dropbox brings it to.

use unicode_normalization::UnicodeNormalization;

use crate::config::Normalise;

/// UTF-16 units of a name that both take.
const NAME_UNITS_MAX: usize = 255;

/// Devices of Windows, which open no file whatever extension follows.
const RESERVED: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Whether a character can be in no name.
pub fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\\' | '/' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
}

/// A text as the name of a file or folder: in Unicode normal form C, `-` for what cannot be in it, no dot or blank at
/// its end, `_` before a name that Windows keeps for itself. The error is half a sentence: "is empty".
pub fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| if is_forbidden(c) { '-' } else { c };
    let replaced: String = match text.is_ascii() {
        true => text.chars().map(plain).collect(),
        false => text.nfc().map(plain).collect(),
    };
    let ends = |c: char| c == '.' || c.is_whitespace();
    let trimmed = replaced.trim_start().trim_end_matches(ends);
    if trimmed.is_empty() {
        return Err("is empty".to_owned());
    }
    let name = match is_reserved(trimmed) {
        true => format!("_{trimmed}"),
        false => trimmed.to_owned(),
    };
    // UTF-16 never has more units than UTF-8 has bytes.
    match name.len() > NAME_UNITS_MAX && name.encode_utf16().count() > NAME_UNITS_MAX {
        true => Err(format!("is longer than {NAME_UNITS_MAX} characters")),
        false => Ok(name),
    }
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    // `COM1` to `COM9`, and the superscript digits that Windows takes for them.
    let is_port = |rest: &str| {
        let mut digits = rest.chars();
        matches!(
            (digits.next(), digits.next()),
            (Some('0'..='9' | '¹' | '²' | '³'), None)
        )
    };
    let starts = |port: &str| stem.get(..3).is_some_and(|s| s.eq_ignore_ascii_case(port));
    RESERVED.iter().any(|word| stem.eq_ignore_ascii_case(word))
        || ["com", "lpt"]
            .iter()
            .any(|port| starts(port) && is_port(&stem[3..]))
}

/// Applies the steps in order.
pub fn clean(text: &str, steps: &[Normalise]) -> String {
    let mut text = text.to_owned();
    for step in steps {
        text = match step {
            Normalise::Trim => text.trim().to_owned(),
            Normalise::Lower => text.to_lowercase(),
            Normalise::Upper => text.to_uppercase(),
            Normalise::Spaces => joined(&text, " "),
            Normalise::Dashes => joined(&text, "-"),
            Normalise::Underscores => joined(&text, "_"),
        };
    }
    text
}

fn joined(text: &str, with: &str) -> String {
    let words = text.split(|c: char| matches!(c, '_' | '-') || c.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(with)
}

/// A code as it is compared: without regard to case, blanks around it, and `_` instead of `-`.
pub fn fold(code: &str) -> String {
    let code = code.trim();
    match code.is_ascii() {
        true => code.to_ascii_lowercase().replace('_', "-"),
        false => code
            .nfc()
            .collect::<String>()
            .to_lowercase()
            .replace('_', "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_in_a_name_becomes_a_dash() {
        assert_eq!(
            name(r#"a\b/c:d*e?f"g<h>i|j"#).unwrap(),
            "a-b-c-d-e-f-g-h-i-j"
        );
        assert_eq!(name("a\u{7}b\nc").unwrap(), "a-b-c");
    }

    #[test]
    fn a_name_has_no_dot_or_blank_at_its_end_and_no_blank_before() {
        assert_eq!(name("  .name. . ").unwrap(), ".name");
        assert_eq!(name("a.jpg.").unwrap(), "a.jpg");
        for empty in ["", " . ", "..", "\u{a0}"] {
            assert_eq!(name(empty).unwrap_err(), "is empty");
        }
    }

    #[test]
    fn what_windows_keeps_for_itself_gets_an_underscore() {
        for reserved in [
            "CON",
            "nul.txt",
            "Aux.tar.gz",
            "com1",
            "LPT9.jpg",
            "COM¹",
            "prn .x",
        ] {
            assert_eq!(name(reserved).unwrap(), format!("_{reserved}"));
        }
        for free in ["console", "com", "com10", "comé", "lpta", "nul-x", "öl"] {
            assert_eq!(name(free).unwrap(), free);
        }
    }

    #[test]
    fn a_name_is_in_normal_form_c_and_at_most_255_units() {
        assert_eq!(name("u\u{308}.jpg").unwrap(), "ü.jpg");
        assert!(name(&"ü".repeat(255)).is_ok());
        assert_eq!(
            name(&"😀".repeat(128)).unwrap_err(),
            "is longer than 255 characters"
        );
    }

    #[test]
    fn steps_apply_in_order() {
        let steps = [Normalise::Dashes, Normalise::Lower];
        assert_eq!(clean(" Key_Visual -  2 ", &steps), "key-visual-2");
        assert_eq!(clean("a_b", &[Normalise::Spaces, Normalise::Upper]), "A B");
        assert_eq!(
            clean(" a ", &[Normalise::Trim, Normalise::Underscores]),
            "a"
        );
    }

    #[test]
    fn codes_are_compared_without_case_and_with_either_dash() {
        assert_eq!(fold(" de_AT "), fold("de-at"));
        assert_eq!(fold("O\u{308}STERREICH"), fold("österreich"));
    }
}
