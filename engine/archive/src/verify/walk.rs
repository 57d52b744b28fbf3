//! What is in the folder and not in the manifest.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use rustix::fs::FileType;
use rustix::io::Errno;
use windlass_core::{Blake3, Error, Kind, Noise, Result, classify_noise};

use super::places::{Known, Places, folded};
use super::trouble::{Trouble, Troubles};
use crate::digest::{Digesting, PIECE_BYTES};
use crate::folder::{Folder, Found};
use crate::layout::MANIFEST_PATH;
use crate::metadata::{METADATA_BYTES_MAX, archive_of};

/// How many files that are not in the manifest are kept by name, to look for those that were renamed.
const EXTRAS_KEPT: usize = 10_000;

/// How many metadata documents are asked which archive they are of.
const SAMPLES: usize = 8;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Files in another case or normal form than the manifest has them, by folded path.
    respelled: HashMap<u128, Vec<String>>,
    /// Files that the manifest does not name, and how many more there are.
    extras: Vec<(String, u64)>,
    extras_more: u64,
    /// What is wrong apart from those.
    troubles: Troubles,
    /// Some metadata documents.
    samples: Vec<String>,
}

/// Walks the folder. Errors: `Unavailable` where the folder itself cannot be listed.
pub(super) fn walk(folder: &Folder, places: &Places) -> Result<Walked> {
    let mut walked = Walked::default();
    let mut folders = vec![String::new()];
    while let Some(path) = folders.pop() {
        match folder.list(&path) {
            Ok(found) => {
                let inner = found.into_iter();
                let inner = inner.filter_map(|one| walked.take(&path, one, places));
                let inner: Vec<String> = inner.collect();
                folders.extend(inner.into_iter().rev());
            }
            Err(error) if path.is_empty() => {
                return Err(Error::new(
                    Kind::Unavailable,
                    "the folder of the archive cannot be listed",
                )
                .with_source(std::io::Error::from(error)));
            }
            // It went while the folder was walked; files that it had will be missing.
            Err(Errno::NOENT) => {}
            Err(error) => walked.troubles.add(Trouble::Unreadable {
                path,
                why: std::io::Error::from(error).to_string(),
            }),
        }
    }
    Ok(walked)
}

impl Walked {
    /// Takes notice of something; answers a folder to walk.
    fn take(&mut self, parent: &str, found: Found, places: &Places) -> Option<String> {
        let path = match parent {
            "" => found.name.clone(),
            parent => format!("{parent}/{}", found.name),
        };
        if found.kind == FileType::Directory {
            return Some(path);
        }
        let known = places.knows(&path);
        match found.kind {
            // What the manifest names is looked at when its turn comes.
            _ if known == Known::Yes || path == MANIFEST_PATH => {}
            FileType::Symlink => {
                let target = found.target.unwrap_or_default();
                self.troubles.add(Trouble::Link {
                    leads_out: leads_out(&path, &target),
                    path: path.clone(),
                    target: target.display().to_string(),
                });
            }
            _ if known == Known::Respelled => {
                self.respelled
                    .entry(folded(&path))
                    .or_default()
                    .push(path.clone());
            }
            FileType::RegularFile => self.extra(path.clone(), &found),
            _ => self.troubles.add(Trouble::NoFile { path: path.clone() }),
        }
        if self.samples.len() < SAMPLES && path.starts_with("metadata/") && path.ends_with(".json")
        {
            self.samples.push(path);
        }
        None
    }

    fn extra(&mut self, path: String, found: &Found) {
        let is_litter = matches!(
            classify_noise(&found.name),
            Some(Noise::SystemFile | Noise::ResourceFork)
        );
        if is_litter {
            self.troubles.add(Trouble::Litter { path });
        } else if self.extras.len() < EXTRAS_KEPT {
            self.extras.push((path, found.size));
        } else {
            self.extras_more += 1;
        }
    }

    /// Where a file may be that is not at its path.
    pub(super) fn respelled(&self, path: &str) -> &[String] {
        self.respelled.get(&folded(path)).map_or(&[], Vec::as_slice)
    }

    /// The archives that some of the metadata say they are of.
    pub(super) fn others(&self, folder: &Folder) -> impl Iterator<Item = String> {
        self.samples.iter().filter_map(|path| {
            let bytes = folder.bytes(path, METADATA_BYTES_MAX).ok()??;
            archive_of(&bytes)
        })
    }

    /// Says what is missing, what is there instead, and what else was found.
    pub(super) fn settle(self, folder: &Folder, troubles: &mut Troubles) {
        // Spellings that no entry asked for are files of their own.
        let mut extras = self.extras;
        let asked = troubles.respelled();
        let mut unasked: Vec<String> = self.respelled.into_values().flatten().collect();
        unasked.retain(|path| !asked.contains(path));
        unasked.sort();
        extras.extend(unasked.into_iter().map(|path| (path, 0)));
        let mut missing = troubles.missing_by_content();
        let mut buffer = vec![0; PIECE_BYTES];
        for (path, size) in extras {
            match moved_here(folder, &path, size, &mut missing, &mut buffer) {
                Some(from) => troubles.renamed(from, path),
                None => troubles.add(Trouble::Extra { path }),
            }
        }
        troubles.extras_more(self.extras_more);
        troubles.merge(self.troubles);
    }
}

/// The missing file that a file is, if its bytes are those of one. Only what has the size of one is read.
fn moved_here(
    folder: &Folder,
    path: &str,
    size: u64,
    missing: &mut BTreeMap<(u64, Blake3), Vec<String>>,
    buffer: &mut [u8],
) -> Option<String> {
    // Empty files are all alike.
    let mut sizes = missing.range((size, Blake3([0; 32]))..=(size, Blake3([255; 32])));
    if size == 0 || sizes.next().is_none() {
        return None;
    }
    let (mut file, _) = folder.file(path).ok()?;
    let mut digesting = Digesting::default();
    digesting.read_all(&mut file, buffer).ok()?;
    let digests = digesting.finish();
    missing.get_mut(&(digests.size, digests.blake3))?.pop()
}

/// Whether a link at a path leads out of the archive, by its text alone.
fn leads_out(path: &str, target: &Path) -> bool {
    let mut depth = path.matches('/').count();
    for part in target.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => return true,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
        }
    }
    false
}
