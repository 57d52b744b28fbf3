//! Filling the emulated Dropbox with an agency's tree, and CELUM with the clients it works for.
//!
//! A fill that was killed is finished by the next one. A file is put in one step and marked (tagged, blocked)
//! in others, so files with marks come first: once any other file is there, all marks were made, and one
//! that is missing was taken off by somebody, whose decision stands.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;
use windlass_core::fold_key;

use crate::agency::{self, AgencyFile, AgencySize};
use crate::blob::lock;
use crate::dropbox::Dropbox;
use crate::serve::{Sandbox, SandboxError};

/// The clients that an agency's folders are coded for, as entries of the tenant's taxonomy.
const CLIENTS: &[&str] = &[
    "Northern Outdoor",
    "Alpine Dairy",
    "Kite Sports",
    "Harbour Optics",
];

/// What a filled account holds of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filled {
    /// Files of the tree, those that were there before included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were made now.
    pub made: u64,
}

impl Sandbox {
    /// Puts an agency's tree into the emulated Dropbox; what is there already stays as it is.
    ///
    /// Blocks on disk and CPU: call it where that is allowed. At most one file per thread of rayon's pool
    /// is in the making, each with a few MiB of memory. `progress` gets the files and bytes made so far,
    /// growing with every call, from several threads but never from two at once.
    ///
    /// Errors: the first file that cannot be made; what was put before stays, and the next call goes on.
    pub fn fill_agency(
        &self,
        size: AgencySize,
        seed: u64,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Filled, SandboxError> {
        for client in CLIENTS {
            self.celum()
                .ensure_collection(&format!("Clients/{client}"))
                .map_err(|error| fail(client, error))?;
        }
        let tree = agency::plan(size, seed);
        let there = files_of(self.dropbox());
        let is_there = |file: &AgencyFile| there.contains(&fold_key(&file.path));
        let (marked, plain): (Vec<_>, Vec<_>) = tree.iter().partition(|file| has_marks(file));
        let marks_were_made = plain.iter().any(|file| is_there(file));

        let made = Mutex::new((0, 0));
        let make = |file: &AgencyFile| {
            put(self.dropbox(), file)?;
            let mut made = lock(&made);
            made.0 += 1;
            made.1 += file.bytes;
            progress(made.0, made.1);
            Ok::<(), SandboxError>(())
        };
        marked.par_iter().try_for_each(|file| {
            let missing = !is_there(file);
            if missing {
                make(file)?;
            }
            if missing || !marks_were_made {
                mark(self.dropbox(), file)?;
            }
            Ok::<(), SandboxError>(())
        })?;
        plain
            .par_iter()
            .filter(|file| !is_there(file))
            .try_for_each(|file| make(file))?;
        let (made, _) = *lock(&made);
        Ok(Filled {
            files: tree.len() as u64,
            bytes: tree.iter().map(|file| file.bytes).sum(),
            made,
        })
    }
}

/// What is there of files, by paths as the service compares them.
fn files_of(dropbox: &Dropbox) -> BTreeSet<String> {
    let entries = dropbox.tree().into_iter();
    entries
        .filter(|entry| entry.file.is_some())
        .map(|entry| fold_key(&entry.path_display))
        .collect()
}

/// Whether something is to be said about a file beside its bytes.
fn has_marks(file: &AgencyFile) -> bool {
    file.restricted || !file.tags.is_empty()
}

/// Puts a file's bytes in place.
fn put(dropbox: &Dropbox, file: &AgencyFile) -> Result<(), SandboxError> {
    let cannot = |error: io::Error| fail(&file.path, error);
    let mut writer = dropbox.blobs().writer().map_err(cannot)?;
    let mut offset = 0;
    let written = file.write(&mut |piece| {
        let length = piece.len() as u64;
        writer.write_at(offset, piece)?;
        offset += length;
        Ok(())
    });
    written.map_err(cannot)?;
    if offset != file.bytes {
        let why = format!("{offset} bytes were made of {}", file.bytes);
        return Err(fail(&file.path, why));
    }
    let blob = writer.finish().map_err(cannot)?;
    let put = dropbox.put_blob(&file.path, blob, None);
    put.map(drop).map_err(|error| fail(&file.path, error))
}

/// Tags and blocks a file as planned; what it has already it keeps.
fn mark(dropbox: &Dropbox, file: &AgencyFile) -> Result<(), SandboxError> {
    let cannot = |error| fail(&file.path, error);
    for tag in &file.tags {
        dropbox.add_tag(&file.path, tag).map_err(cannot)?;
    }
    if file.restricted {
        let blocked = dropbox.set_restricted(&file.path, true);
        blocked.map_err(cannot)?;
    }
    Ok(())
}

fn fail(path: &str, error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Fill {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
