//! Names of files in an archive: such that every file system and every cloud storage takes them, and each once in its
//! folder.
//!
//! What was changed is not lost: the metadata keep the name that an asset's file has at its source.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;
use windlass_core::{AssetId, classify_noise, fold_key};

/// The longest file name, in bytes. Common file systems take 255; the rest is room for a version and a number.
pub const NAME_BYTES_MAX: usize = 180;

/// The longest extension that is kept when a name is cut, in bytes with its dot.
const EXTENSION_BYTES_MAX: usize = 24;

/// What Windows takes for devices, whatever follows their dot.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// A name that everything takes: NFC, no separators, no characters that Windows refuses, no dots or blanks at either
/// end, not that of a device or of litter, and not too long. A good name stays as it is.
pub fn repaired(name: &str) -> String {
    let replace = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let name: String = name.nfc().map(replace).collect();
    let bare = |c: char| c == '.' || c.is_whitespace();
    let name = name.trim_end_matches(bare).trim_start();
    let name = match name.is_empty() {
        true => "unnamed",
        false => name,
    };
    let name = shortened(name);
    // Storages refuse what file managers litter folders with, and verifying passes over it.
    match is_reserved(&name) || classify_noise(&name).is_some() {
        true => shortened(&plain(&name)),
        false => name,
    }
}

/// A name of litter made one of a file: `_` before it, and after an extension that stands for something unfinished.
fn plain(name: &str) -> String {
    let name = format!("_{name}");
    match classify_noise(&name) {
        Some(_) => format!("{name}_"),
        None => name,
    }
}

/// True for the name of a device.
pub(crate) fn is_reserved(name: &str) -> bool {
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default().trim_end();
    let numbered = ["com", "lpt"].iter().any(|device| {
        let number = stem.strip_prefix(device);
        number.is_some_and(|number| {
            number.chars().count() == 1 && number.chars().all(|c| c.is_numeric())
        })
    });
    numbered || DEVICES.contains(&stem)
}

/// The stem and the extension with its dot; no extension for dot files and for what is too long to be one.
fn parts(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_BYTES_MAX => name.split_at(at),
        _ => (name, ""),
    }
}

/// A name within bounds: the end of its stem is cut.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let (stem, extension) = parts(name);
    let kept = stem.floor_char_boundary(NAME_BYTES_MAX - extension.len());
    format!("{}{extension}", stem[..kept].trim_end())
}

/// One name an asset for files that go into one folder, in the same order: repaired, and no two equal when case and
/// normal form count nothing.
///
/// Of several files with one name, the one with the smallest id keeps it and the others become `name (2).ext` and so on
/// in the order of their ids (shorter first, as numbers count): the order of the list counts nothing, and equal sets
/// have equal names. Takes memory for all of them.
pub fn unique_names(files: &[(AssetId, String)]) -> Vec<String> {
    let names: Vec<String> = files.iter().map(|(_, name)| repaired(name)).collect();
    let keys: Vec<String> = names.iter().map(|name| fold_key(name)).collect();
    let mut order: Vec<usize> = (0..files.len()).collect();
    let place = |at: usize| {
        let (id, name) = &files[at];
        (&keys[at], id.as_str().len(), id.as_str(), name)
    };
    order.sort_by(|&a, &b| place(a).cmp(&place(b)));
    let mut taken: HashSet<String> = HashSet::new();
    // The first of each name keeps it.
    let mut later = order;
    later.retain(|&at| !taken.insert(keys[at].clone()));
    let mut unique = names;
    let mut last: Option<(&str, u64)> = None;
    for at in later {
        let mut number = match last {
            Some((key, number)) if key == keys[at] => number + 1,
            _ => 2,
        };
        loop {
            let name = numbered(&unique[at], number);
            if taken.insert(fold_key(&name)) {
                unique[at] = name;
                break;
            }
            number += 1;
        }
        last = Some((&keys[at], number));
    }
    unique
}

/// `name (2).ext`, within bounds.
fn numbered(name: &str, number: u64) -> String {
    let (stem, extension) = parts(name);
    let number = format!(" ({number})");
    let room = NAME_BYTES_MAX.saturating_sub(number.len() + extension.len());
    let stem = stem[..stem.floor_char_boundary(room.min(stem.len()))].trim_end();
    format!("{stem}{number}{extension}")
}
