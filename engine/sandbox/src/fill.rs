//! Filling the emulated Dropbox with an agency's tree, and CELUM with the clients it works for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::agency::{self, AgencyFile, AgencySize};
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
    /// Blocks on disk and CPU: call it where that is allowed. `progress` gets files and bytes so far,
    /// from several threads.
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
        let there: BTreeSet<String> = self
            .dropbox()
            .tree()
            .into_iter()
            .filter(|entry| entry.file.is_some())
            .map(|entry| entry.path_display)
            .collect();
        let tree = agency::plan(size, seed);
        let total = Filled {
            files: tree.len() as u64,
            bytes: tree.iter().map(|file| file.bytes).sum(),
            made: 0,
        };
        let missing: Vec<&AgencyFile> = tree
            .iter()
            .filter(|file| !there.contains(&file.path))
            .collect();
        let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        missing.par_iter().try_for_each(|file| {
            put(self.dropbox(), file)?;
            let files = files.fetch_add(1, Ordering::Relaxed) + 1;
            progress(
                files,
                bytes.fetch_add(file.bytes, Ordering::Relaxed) + file.bytes,
            );
            Ok::<(), SandboxError>(())
        })?;
        Ok(Filled {
            made: missing.len() as u64,
            ..total
        })
    }
}

fn put(dropbox: &Dropbox, file: &AgencyFile) -> Result<(), SandboxError> {
    let fail = |why: String| SandboxError::Fill {
        path: file.path.clone(),
        why,
    };
    let mut writer = dropbox
        .blobs()
        .writer()
        .map_err(|error| fail(error.to_string()))?;
    let mut offset = 0;
    let written = file.write(&mut |piece| {
        let length = piece.len() as u64;
        writer.write_at(offset, piece)?;
        offset += length;
        Ok(())
    });
    written.map_err(|error| fail(error.to_string()))?;
    if offset != file.bytes {
        return Err(fail(format!("{offset} bytes were made of {}", file.bytes)));
    }
    let blob = writer.finish().map_err(|error| fail(error.to_string()))?;
    dropbox
        .put_blob(&file.path, blob, None)
        .map_err(|error| fail(error.to_string()))?;
    for tag in &file.tags {
        dropbox
            .add_tag(&file.path, tag)
            .map_err(|error| fail(error.to_string()))?;
    }
    if file.restricted {
        dropbox
            .set_restricted(&file.path, true)
            .map_err(|error| fail(error.to_string()))?;
    }
    Ok(())
}

fn fail(path: &str, error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Fill {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
