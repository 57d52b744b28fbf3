//! One file of the manifest: is it there, is it readable, is it the same, and do its metadata agree.

use std::fs::File;
use std::io::Read;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::Seen;
use super::places::Places;
use super::trouble::Trouble;
use super::walk::Walked;
use crate::digest::{Digesting, FileDigests};
use crate::folder::Folder;
use crate::layout::{key_of, metadata_path};
use crate::manifest::{Entry, Role};
use crate::metadata::{METADATA_BYTES_MAX, parse_metadata};
use crate::model::ArchivedAsset;

/// What became of an entry.
#[derive(Debug)]
pub(super) enum Checked {
    /// It is as it was archived.
    Intact,
    /// So it is, under another spelling of its name.
    Respelled(String),
    /// It is not there.
    Missing,
    /// It is not as it was archived.
    Wrong(Trouble),
}

/// Checks entries.
pub(super) struct Checker<'a> {
    pub(super) folder: &'a Folder,
    pub(super) archive: &'a str,
    pub(super) places: &'a Places,
    pub(super) walked: &'a Walked,
    pub(super) seen: &'a Seen<'a>,
}

impl Checker<'_> {
    pub(super) fn check(&self, entry: &Entry, buffer: &mut [u8]) -> Checked {
        if self.seen.is_stopped() {
            return Checked::Intact;
        }
        let checked = self.found(entry, buffer);
        self.seen.add(1, 0);
        checked
    }

    fn found(&self, entry: &Entry, buffer: &mut [u8]) -> Checked {
        let (opened, spelling) = match self.folder.file(&entry.path) {
            // Where a file system folds names, a path opens what is spelled otherwise.
            Ok(opened) => {
                let spelling = self.spelling_of(&entry.path, &opened.1);
                (Ok(opened), spelling)
            }
            Err(Errno::NOENT | Errno::NOTDIR) => match self.walked.respelled(&entry.path) {
                [] => (Err(Errno::NOENT), None),
                [one, ..] => (self.folder.file(one), Some(one.clone())),
            },
            Err(error) => (Err(error), None),
        };
        let wrong = match opened {
            Ok((file, stat)) => self.look(entry, file, &stat, buffer),
            Err(Errno::NOENT) => return self.is_link_above(entry),
            Err(error) => Some(unopened(entry, error, self.folder)),
        };
        match (wrong, spelling) {
            (Some(trouble), _) => Checked::Wrong(trouble),
            (None, Some(spelling)) => Checked::Respelled(spelling),
            (None, None) => Checked::Intact,
        }
    }

    /// A file that is missing, unless it would be below a link.
    fn is_link_above(&self, entry: &Entry) -> Checked {
        let mut above = entry.path.as_str();
        while let Some((parent, _)) = above.rsplit_once('/') {
            let stat = self.folder.stat(parent);
            let kind = stat.map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
            if kind == Ok(rustix::fs::FileType::Symlink) {
                return Checked::Wrong(Trouble::Unreadable {
                    path: entry.path.clone(),
                    why: format!("{parent} is a link, which is not followed"),
                });
            }
            above = parent;
        }
        Checked::Missing
    }

    /// The other spelling under which the walk saw the same file, if it did.
    fn spelling_of(&self, path: &str, stat: &Stat) -> Option<String> {
        let mut spellings = self.walked.respelled(path).iter();
        let is_same = |other: &&String| {
            let other = self.folder.stat(other);
            other.is_ok_and(|other| (other.st_dev, other.st_ino) == (stat.st_dev, stat.st_ino))
        };
        // Hard links are two files that are one; with one name it is the spelling that differs.
        (stat.st_nlink == 1)
            .then(|| spellings.find(is_same))?
            .cloned()
    }

    /// Reads a file and says what is wrong with it.
    fn look(
        &self,
        entry: &Entry,
        mut file: File,
        stat: &Stat,
        buffer: &mut [u8],
    ) -> Option<Trouble> {
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        if size != entry.digests.size {
            return Some(resized(entry, size));
        }
        let mut digesting = Digesting::default();
        let mut document = Vec::new();
        let is_document = entry.role == Role::Metadata && size <= METADATA_BYTES_MAX;
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(read) => {
                    digesting.update(&buffer[..read]);
                    if is_document {
                        document.extend_from_slice(&buffer[..read]);
                    }
                    self.seen.add(0, read as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Some(Trouble::Unreadable {
                        path: entry.path.clone(),
                        why: error.to_string(),
                    });
                }
            }
            if self.seen.is_stopped() {
                return None;
            }
        }
        let is = digesting.finish();
        if let Some(trouble) = differs(entry, &is) {
            return Some(trouble);
        }
        if entry.role != Role::Metadata {
            return None;
        }
        let how = self.disagrees(entry, &document)?;
        let path = entry.path.clone();
        Some(Trouble::Disagrees { path, how })
    }

    /// How a metadata document disagrees with the manifest, in one clause.
    fn disagrees(&self, entry: &Entry, document: &[u8]) -> Option<String> {
        let asset: ArchivedAsset = match parse_metadata(document) {
            Ok(asset) => asset,
            Err(error) => return Some(error.message().to_owned()),
        };
        if asset.archive != self.archive {
            return Some("it is of another archive".to_owned());
        }
        if entry.asset.as_ref() != Some(&asset.id) || entry.path != metadata_path(&asset.id) {
            return Some(format!("it is of the asset {}", key_of(asset.id.as_str())));
        }
        asset.files().find_map(|(of, file)| {
            let agrees = self.places.agrees(&file.path, of, file.size, &file.blake3);
            match agrees {
                Some(true) => None,
                Some(false) => Some(format!("it says something else of {}", file.path)),
                None => Some(format!(
                    "it names {}, which the manifest does not",
                    file.path
                )),
            }
        })
    }
}

fn resized(entry: &Entry, is: u64) -> Trouble {
    Trouble::Resized {
        path: entry.path.clone(),
        was: entry.digests.size,
        is,
    }
}

/// What the digests of a file say is wrong with it.
fn differs(entry: &Entry, is: &FileDigests) -> Option<Trouble> {
    let was = &entry.digests;
    let path = || entry.path.clone();
    if is == was {
        return None;
    }
    if is.size != was.size {
        // It grew or shrank while it was read.
        return Some(resized(entry, is.size));
    }
    if is.blake3 != was.blake3 {
        return Some(Trouble::Changed { path: path() });
    }
    let others = [
        ("SHA-256", is.sha256 == was.sha256),
        ("content hash", is.content_hash == was.content_hash),
        ("XXH64", is.xxh64 == was.xxh64),
    ];
    let digests = others.iter().filter(|(_, is_same)| !is_same);
    let digests: Vec<&str> = digests.map(|(name, _)| *name).collect();
    let digests = digests.join(" and ");
    Some(Trouble::Misstated {
        path: path(),
        digests,
    })
}

/// Why a file that is there could not be opened.
fn unopened(entry: &Entry, error: Errno, folder: &Folder) -> Trouble {
    let path = entry.path.clone();
    let stat = folder.stat(&path);
    let kind = stat.map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
    match kind {
        Ok(rustix::fs::FileType::Symlink) => Trouble::Replaced { path },
        Ok(rustix::fs::FileType::RegularFile) | Err(_) => Trouble::Unreadable {
            path,
            why: std::io::Error::from(error).to_string(),
        },
        Ok(_) => Trouble::NoFile { path },
    }
}
