//! Paths: the patterns that arguments must match, how a path is taken apart, and when a name is refused.
//!
//! A path has a *key* and a *display* form. The key is NFC with every character lower-cased by itself,
//! as the service compares names; the display form keeps the letters as they were written.

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::wire::{tag, tagged};

/// The most UTF-16 units in one component.
const COMPONENT_UNITS_MAX: usize = 255;

/// Names that the service never stores, in any case.
const DISALLOWED: [&str; 7] = [
    "desktop.ini",
    "thumbs.db",
    ".ds_store",
    "icon\r",
    ".dropbox",
    ".dropbox.attr",
    ".dropbox.cache",
];

/// Which forms of a path a route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// `/…`, `ns:<n>[/…]`.
    Write,
    /// The same and `id:…`.
    WriteOrId,
    /// The same and the empty root.
    RootOrId,
    /// `/…`, `id:…`, `rev:…`, `ns:…`.
    Read,
    /// `/…` alone.
    Plain,
}

impl Alias {
    fn pattern(self) -> &'static str {
        match self {
            Alias::Write => "(/(.|[\\r\\n])*)|(ns:[0-9]+(/.*)?)",
            Alias::WriteOrId => "(/(.|[\\r\\n])*)|(ns:[0-9]+(/.*)?)|(id:.*)",
            Alias::RootOrId => "(/(.|[\\r\\n])*)?|id:.*|(ns:[0-9]+(/.*)?)",
            Alias::Read => "(/(.|[\\r\\n])*|id:.*)|(rev:[0-9a-f]{9,})|(ns:[0-9]+(/.*)?)",
            Alias::Plain => "/(.|[\\r\\n])*",
        }
    }
}

/// A path argument that matches its pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathArg {
    /// Relative to the root in force; empty for the root itself.
    Relative(String),
    /// Relative to a namespace.
    Namespace(u64, String),
    /// An item's id, and a path below it.
    Id(String, String),
    /// One revision of a file.
    Revision(String),
}

impl PathArg {
    /// Matches a text against a route's pattern. The error is the detail of a 400.
    pub(super) fn parse(text: &str, alias: Alias) -> Result<Self, String> {
        let mismatch = || {
            let pattern = alias.pattern();
            format!("path: Value must be a string conforming to regex ({pattern})")
        };
        if text == "/" {
            let advice = "Specify the root folder as an empty string rather than as \"/\".";
            return Err(format!("path: {advice}"));
        }
        if text.is_empty() {
            return match alias {
                Alias::RootOrId => Ok(PathArg::Relative(String::new())),
                Alias::Read => Err("path: The root folder is unsupported.".to_owned()),
                _ => Err(mismatch()),
            };
        }
        if text.starts_with('/') {
            return Ok(PathArg::Relative(text.to_owned()));
        }
        let special = match text.split_once(':') {
            _ if alias == Alias::Plain => None,
            Some(("id", rest)) if alias != Alias::Write => {
                let cut = rest.find('/').unwrap_or(rest.len());
                let (id, below) = rest.split_at(cut);
                Some(PathArg::Id(id.to_owned(), below.to_owned()))
            }
            Some(("ns", rest)) => namespace(rest),
            Some(("rev", rest)) if alias == Alias::Read => {
                let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                (rest.len() >= 9 && rest.chars().all(hex))
                    .then(|| PathArg::Revision(rest.to_owned()))
            }
            _ => None,
        };
        special.ok_or_else(mismatch)
    }
}

fn namespace(rest: &str) -> Option<PathArg> {
    let cut = rest.find('/').unwrap_or(rest.len());
    let (number, path) = rest.split_at(cut);
    let path = if path == "/" { "" } else { path };
    if !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some(PathArg::Namespace(number.parse().ok()?, path.to_owned()))
}

/// Why a well-formed argument is still not a name the service stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameError {
    /// `malformed_path`.
    Malformed,
    /// `disallowed_name`.
    Disallowed,
}

impl NameError {
    /// As a member of `WriteError`.
    pub(super) fn write_error(self) -> Value {
        match self {
            NameError::Malformed => tagged("malformed_path", Value::Null),
            NameError::Disallowed => tag("disallowed_name"),
        }
    }
}

/// The components of a normalised path. Empty for a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts(Vec<String>);

impl Parts {
    /// Normalises and checks a path that is empty or begins with a slash.
    pub(super) fn of(path: &str, emoji: bool) -> Result<Self, NameError> {
        let Some(rest) = path.strip_prefix('/') else {
            return Ok(Parts::default());
        };
        let normal: String = rest.nfc().collect();
        let parts: Vec<String> = normal.split('/').map(str::to_owned).collect();
        if parts.iter().all(|part| well_formed(part, emoji)) {
            Ok(Parts(parts))
        } else {
            Err(NameError::Malformed)
        }
    }

    /// Refuses names that may be looked up but not stored.
    pub(super) fn storable(self) -> Result<Self, NameError> {
        let bad = self.0.iter().any(|part| DISALLOWED.contains(&&*fold(part)));
        if bad {
            Err(NameError::Disallowed)
        } else {
            Ok(self)
        }
    }

    /// True for the root.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components, outermost first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The last component; empty for the root.
    pub(super) fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The key of the whole path: empty, or `/a/b`.
    pub(super) fn key(&self) -> String {
        fold(&self.display())
    }

    /// The path as it was written.
    pub(super) fn display(&self) -> String {
        self.0.iter().fold(String::new(), |mut path, part| {
            path.push('/');
            path.push_str(part);
            path
        })
    }

    /// The same folder with another last component.
    pub(super) fn renamed(&self, name: String) -> Parts {
        let mut parts = self.0.clone();
        parts.pop();
        parts.push(name);
        Parts(parts)
    }
}

fn well_formed(part: &str, emoji: bool) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && !part.ends_with(' ')
        && part.encode_utf16().count() <= COMPONENT_UNITS_MAX
        && part.chars().all(|c| {
            let icon = c == '\r' && fold(part) == "icon\r";
            c != '\\' && (icon || !c.is_control()) && (emoji || (c as u32) <= 0xffff)
        })
}

/// Lower case character by character, without the mappings that change a text's length.
pub(super) fn fold(text: &str) -> String {
    text.chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => one,
                // The one letter whose full mapping is longer: its simple mapping is its first half.
                (Some(one), Some(_)) => one,
                _ => c,
            }
        })
        .collect()
}

/// The key of the folder that contains a key; None for the root.
pub(super) fn parent(key: &str) -> Option<&str> {
    key.rfind('/').map(|cut| &key[..cut])
}

/// The last component of a display path or key.
pub(super) fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |cut| &path[cut + 1..])
}

/// True if `key` is `folder` itself or below it.
pub(super) fn within(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `name (1).ext`, `name (2).ext`, …: what autorename tries.
pub(super) fn numbered(name: &str, n: u32) -> String {
    let (stem, ext) = split_ext(name);
    format!("{stem} ({n}){ext}")
}

/// `name (conflicted copy).ext`, then `name (conflicted copy 1).ext`, …: what a lost update becomes.
pub(super) fn conflicted(name: &str, n: u32) -> String {
    let (stem, ext) = split_ext(name);
    match n {
        1 => format!("{stem} (conflicted copy){ext}"),
        n => format!("{stem} (conflicted copy {}){ext}", n - 1),
    }
}

fn split_ext(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    }
}
