//! Locks beside documents: what a program leaves there while it has one open, and which document that is.
//!
//! Office writes `~$` before a name, at times instead of its first two characters; LibreOffice `.~lock.name#`; InDesign
//! `~name~code.idlk`, the name without its extension and perhaps cut short; editors `.#name`. In doubt a document is
//! locked.

use windlass_core::fold_key;

/// How many characters of a name Office's own mark takes the place of.
const OFFICE_MARK: usize = 2;

/// Which documents of its folder a lock is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// The one of this name.
    Named(String),
    /// The one whose name ends so, after at most two characters.
    Ending(String),
    /// Documents of InDesign whose name begins so.
    Layout(String),
}

impl Lock {
    /// What a file's name says, if it is that of a lock.
    pub(super) fn of(name: &str) -> Option<Lock> {
        let name = fold_key(name);
        if let Some(rest) = name.strip_prefix("~$") {
            return Some(Lock::Ending(rest.to_owned()));
        }
        if let Some(rest) = name.strip_prefix(".~lock.") {
            return Some(Lock::Named(rest.trim_end_matches('#').to_owned()));
        }
        if let Some(rest) = name.strip_prefix(".#") {
            return Some(Lock::Named(rest.to_owned()));
        }
        let stem = name.strip_suffix(".idlk")?;
        let stem = stem.trim_start_matches('~');
        let begins = stem.rsplit_once('~').map_or(stem, |(begins, _)| begins);
        Some(Lock::Layout(begins.to_owned()))
    }

    /// Whether it is of the document of this name in its folder.
    pub(super) fn is_of(&self, name: &str) -> bool {
        let name = fold_key(name);
        match self {
            Lock::Named(locked) => name == *locked,
            Lock::Ending(rest) => name
                .strip_suffix(rest.as_str())
                .is_some_and(|before| before.chars().count() <= OFFICE_MARK),
            Lock::Layout(begins) => {
                (name.ends_with(".indd") || name.ends_with(".indt")) && name.starts_with(begins)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lock_names_its_document_and_no_other() {
        for (lock, locked, free) in [
            ("~$deck.pptx", "Deck.pptx", "other deck.pptx"),
            ("~$iefing.docx", "Briefing.docx", "debriefing.docx"),
            (".~lock.Brief.odt#", "brief.odt", "brief2.odt"),
            ("~Brochure~3crrb.idlk", "Brochure.indd", "Brochure.pdf"),
            ("~brochure~3crrb.idlk", "Brochure 2026.indd", "Poster.indd"),
            (".#notes.md", "notes.md", "notes.md.bak"),
        ] {
            let lock = Lock::of(lock).unwrap_or_else(|| panic!("{lock} is a lock"));
            assert!(lock.is_of(locked), "{lock:?} {locked}");
            assert!(!lock.is_of(free), "{lock:?} {free}");
        }
    }

    #[test]
    fn other_names_are_no_locks() {
        for name in ["hero.tif", "$deck.pptx", "~hero.psd", "idlk", "x.idlk.tif"] {
            assert_eq!(Lock::of(name), None, "{name}");
        }
    }
}
