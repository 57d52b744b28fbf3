//! Text that was encoded twice: UTF-8 that somebody took for Latin-1 or Windows-1252 and encoded again.
//!
//! `ö` becomes `Ã¶`, and `ÃƒÂ¶` if it happens once more. A text is repaired only if all of it can be read back,
//! which alone is not enough: `NESCAFÉ®` can be read back too, as `NESCAFɮ`. So at least one of the sequences
//! must be such that nobody would write it.

/// How often a text is read back. Nobody has shown a text with three layers yet.
const LAYERS_MAX: usize = 2;

/// What stands directly after a word in ordinary text, and is therefore no evidence by itself.
const FOLLOWERS: &[char] = &[
    '®', '™', '©', '…', '–', '—', '’', '”', '»', '›', '\u{a0}', '\u{ad}', 'º', 'ª', '°', '¹', '²',
    '³', '•', '·', '†', '‡',
];

/// The text that was meant, if this one is encoded twice beyond doubt.
pub(crate) fn undone(text: &str) -> Option<String> {
    let mut meant: Option<String> = None;
    for _ in 0..LAYERS_MAX {
        match undone_once(meant.as_deref().unwrap_or(text)) {
            Some(inner) => meant = Some(inner),
            None => break,
        }
    }
    meant
}

fn undone_once(text: &str) -> Option<String> {
    // A sequence of two needs a first character from Â to ô.
    if !text.chars().any(|c| ('\u{c2}'..='\u{f4}').contains(&c)) {
        return None;
    }
    let bytes = text.chars().map(byte_of).collect::<Option<Vec<u8>>>()?;
    let meant = String::from_utf8(bytes).ok()?;
    has_evidence(text, &meant).then_some(meant)
}

/// The byte that Windows-1252 shows as this character; the five that it leaves open are read as Latin-1.
fn byte_of(c: char) -> Option<u8> {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    if let Ok(byte) = u8::try_from(c) {
        return Some(byte);
    }
    let at = FROM_80.iter().position(|&shown| shown == c)?;
    Some(0x80 + at as u8)
}

/// Walks the sequences that became one character each.
fn has_evidence(text: &str, meant: &str) -> bool {
    let stored: Vec<char> = text.chars().collect();
    let mut at = 0_usize;
    for c in meant.chars() {
        let len = c.len_utf8();
        let before = at.checked_sub(1).and_then(|before| stored.get(before));
        if len > 1
            && let Some(sequence) = stored.get(at..at + len)
            && is_evident(before, sequence, stored.get(at + len))
        {
            return true;
        }
        at += len;
    }
    false
}

/// Whether nobody would write this sequence between these two characters.
fn is_evident(before: Option<&char>, sequence: &[char], after: Option<&char>) -> bool {
    let [first, rest @ ..] = sequence else {
        return false;
    };
    if rest.iter().any(|c| !FOLLOWERS.contains(c)) {
        return true;
    }
    // A capital within a word of small letters: `voilÃ` and a blank that does not break.
    if first.is_uppercase() && before.is_some_and(|c| c.is_lowercase()) {
        return true;
    }
    // A word that goes on after its dash or dots: `Ã–sterreich`, `KÃ–LN`.
    let joins = rest.iter().any(|c| matches!(c, '\u{a0}' | '’'));
    let may_be_a_name = !matches!(first, 'Â' | 'Ã');
    let goes_on = |c: &char| c.is_lowercase() || (c.is_alphabetic() && !may_be_a_name);
    !joins && after.is_some_and(goes_on)
}
