//! Names: how two spellings collide, what is litter, and what a sink will refuse.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// The form under which spellings that differ only in case or Unicode normal form are one name.
///
/// NFC, then lower case character by character. Good for finding collisions before bytes move; for
/// identity, compare the keys or ids that the endpoint itself gave.
pub fn fold_key(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// Why a file is litter that nobody wants governed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noise {
    /// `.DS_Store`, `Icon\r`, `desktop.ini`, `Thumbs.db`: left by a file manager.
    SystemFile,
    /// `._name`: the resource fork of another file.
    ResourceFork,
    /// `~$name`, `.~lock.name#`, `.#name`, `.idlk`: a program holds the real file open.
    LockFile,
    /// `.tmp`, `.part`, `.crdownload` and the like: a file that is still being written.
    Temporary,
}

impl Noise {
    /// One clause for a plan or a report.
    pub fn reason(self) -> &'static str {
        match self {
            Noise::SystemFile => "left behind by a file manager, not content",
            Noise::ResourceFork => "a macOS resource fork, not content",
            Noise::LockFile => "an office lock file, not content",
            Noise::Temporary => "a temporary file that is still being written",
        }
    }
}

/// Says whether a file name is litter. Case-insensitive.
pub fn classify_noise(name: &str) -> Option<Noise> {
    let lower = name.to_lowercase();
    let temporary = [
        ".tmp",
        ".temp",
        ".part",
        ".partial",
        ".crdownload",
        ".download",
        ".filepart",
        ".swp",
    ];
    match lower.as_str() {
        ".ds_store" | "icon\r" | "desktop.ini" | "thumbs.db" | "ehthumbs.db" | ".localized"
        | ".dropbox" | ".dropbox.attr" | ".dropbox.cache" => Some(Noise::SystemFile),
        _ if lower.starts_with("._") => Some(Noise::ResourceFork),
        _ if lower.starts_with("~$") || lower.starts_with(".~lock.") => Some(Noise::LockFile),
        _ if lower.starts_with(".#") || lower.ends_with(".idlk") => Some(Noise::LockFile),
        _ if lower.starts_with(".~") => Some(Noise::Temporary),
        _ if temporary.iter().any(|suffix| lower.ends_with(suffix)) => Some(Noise::Temporary),
        _ => None,
    }
}

/// Why a sink would refuse a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// Longer than the sink accepts.
    #[error("the name has {length} characters; {limit} are allowed")]
    TooLong {
        /// Its length in UTF-16 units, as services count.
        length: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// A character that the sink does not store.
    #[error("the name contains {0:?}, which is not allowed")]
    Character(char),
    /// Nothing, or only dots and blanks.
    #[error("the name is empty or only dots and blanks")]
    Empty,
}

/// Checks a file name before its bytes move. `limit` counts UTF-16 units, as both services do.
pub fn preflight_name(name: &str, limit: usize) -> Result<(), NameProblem> {
    let length = name.encode_utf16().count();
    if length > limit {
        return Err(NameProblem::TooLong { length, limit });
    }
    if let Some(bad) = name
        .chars()
        .find(|c| c.is_control() || matches!(c, '/' | '\\'))
    {
        return Err(NameProblem::Character(bad));
    }
    if name.chars().all(|c| c == '.' || c.is_whitespace()) {
        return Err(NameProblem::Empty);
    }
    Ok(())
}
