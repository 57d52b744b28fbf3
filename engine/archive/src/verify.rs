//! Proves an archive from its folder alone: no ledger, no network, no configuration.
//!
//! First the manifest, with its seal and signatures, is read to its end; nothing of it is believed before. Then
//! the folder is walked for what the manifest does not name, and each file that it names is read and digested,
//! as many at a time as there are processors. Kept in memory are forty bytes a file, a batch of entries, lists of
//! bounded length, and the names that are spelled otherwise than in the manifest.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use windlass_core::sealed::Seal;
use windlass_core::sign::PublicKey;
use windlass_core::{Error, Kind, Result};

use crate::digest::PIECE_BYTES;
use crate::folder::Folder;
use crate::manifest::{Entry, Manifest, ManifestReader};

mod check;
mod places;
mod trouble;
mod walk;

use check::{Checked, Checker};
use places::Places;
pub use trouble::{LISTED_MAX, Listed, Signed, Trouble, TroubleKind, Verified};
use walk::{Walked, walk};

/// How many entries are checked before the next are read: enough that all threads have work, few enough to hold.
const BATCH_ENTRIES: usize = 4096;

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Files that were looked at.
    pub files: u64,
    /// Of so many.
    pub files_total: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Of so many.
    pub bytes_total: u64,
}

/// Proves the archive in a folder. Where `signers` are given, it must be signed by one of them.
///
/// What is wrong with files is in the answer. Errors mean that nothing can be said of them: `NotFound` where there is no
/// manifest, `Integrity` for one that was changed or cut short or is of another archive, `InvalidInput` for what is
/// no manifest or names a path outside, `Unsupported` for a newer format.
pub fn verify(dir: &Path, signers: &[PublicKey]) -> Result<Verified> {
    verify_watched(dir, signers, &|_| true)
}

/// The same, and tells how far it is, from any thread and at most once a file or a mebibyte; where `watch` answers
/// false it ends with `Cancelled`.
pub fn verify_watched(
    dir: &Path,
    signers: &[PublicKey],
    watch: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Verified> {
    let folder = Folder::open(dir)?;
    let (manifest, places) = prove(&folder)?;
    let walked = walk(&folder, &places)?;
    refuse_other_archive(&folder, &manifest, &walked)?;
    let total = manifest.sums.total();
    let seen = Seen {
        watch,
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        files_total: total.files,
        bytes_total: total.bytes,
        stopped: AtomicBool::new(false),
    };
    let checker = Checker {
        folder: &folder,
        archive: &manifest.header.archive,
        places: &places,
        walked: &walked,
        seen: &seen,
    };
    let pool = pool()?;
    let (mut troubles, intact) = check_all(&checker, &folder, &manifest.seal, &pool)?;
    pool.install(|| walked.settle(&folder, &mut troubles));
    places.without_metadata(&mut troubles);
    Ok(Verified {
        signed: Signed::of(&manifest.seal, signers),
        signer_wanted: !signers.is_empty(),
        header: manifest.header,
        sums: manifest.sums,
        seal: manifest.seal,
        intact,
        bytes_read: seen.bytes.into_inner(),
        troubles: troubles.listed(),
    })
}

/// Reads the manifest to its end. Answers it, and where everything is to be.
fn prove(folder: &Folder) -> Result<(Manifest, Places)> {
    let mut reader = ManifestReader::open(folder.manifest()?)?;
    let mut places = Places::default();
    while let Some(entry) = reader.entry()? {
        if !places.add(&entry) {
            let how = format!("{:?} is in it twice", entry.path);
            return Err(reader.odd(&how));
        }
    }
    Ok((reader.finish()?, places))
}

/// A manifest that belongs elsewhere would call every file wrong; one sentence says it better.
fn refuse_other_archive(folder: &Folder, manifest: &Manifest, walked: &Walked) -> Result<()> {
    let mut others = walked.others(folder);
    let Some(first) = others.next() else {
        return Ok(());
    };
    let archive = &manifest.header.archive;
    if first == *archive || others.any(|other| other != first) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Integrity,
        "the manifest is of another archive than the files beside it",
    )
    .with_context("manifest of", archive)
    .with_context("files of", first)
    .with_hint("look for the manifest that was made with this folder"))
}

fn pool() -> Result<ThreadPool> {
    let named = |at| format!("windlass-verify-{at}");
    ThreadPoolBuilder::new()
        .thread_name(named)
        .build()
        .map_err(|error| {
            Error::new(Kind::Unavailable, "no threads can be started").with_source(error)
        })
}

/// Checks every entry, in batches. Answers what is wrong, in the order of the manifest, and how many files are intact.
fn check_all(
    checker: &Checker<'_>,
    folder: &Folder,
    seal: &Seal,
    pool: &ThreadPool,
) -> Result<(trouble::Troubles, u64)> {
    let mut reader = ManifestReader::open(folder.manifest()?)?;
    let mut troubles = trouble::Troubles::default();
    let mut intact = 0;
    loop {
        let batch = batch(&mut reader)?;
        if batch.is_empty() {
            break;
        }
        let checked: Vec<Checked> = pool.install(|| {
            let look = |buffer: &mut Vec<u8>, entry: &Entry| checker.check(entry, buffer);
            let entries = batch.par_iter().with_max_len(1);
            entries.map_init(|| vec![0; PIECE_BYTES], look).collect()
        });
        if checker.seen.is_stopped() {
            return Err(Error::new(Kind::Cancelled, "the verification was stopped"));
        }
        for (entry, checked) in batch.iter().zip(checked) {
            intact += u64::from(troubles.take(entry, checked));
        }
    }
    // Between the two readings somebody may have put another one in its place.
    if reader.finish()?.seal != *seal {
        return Err(Error::new(
            Kind::SourceChanged,
            "the manifest changed while the archive was verified",
        ));
    }
    Ok((troubles, intact))
}

fn batch<R: std::io::BufRead>(reader: &mut ManifestReader<R>) -> Result<Vec<Entry>> {
    let mut batch = Vec::new();
    while batch.len() < BATCH_ENTRIES {
        match reader.entry()? {
            Some(entry) => batch.push(entry),
            None => break,
        }
    }
    Ok(batch)
}

/// Counts what was read, and tells whoever watches.
struct Seen<'a> {
    watch: &'a (dyn Fn(Progress) -> bool + Sync),
    files: AtomicU64,
    bytes: AtomicU64,
    files_total: u64,
    bytes_total: u64,
    stopped: AtomicBool,
}

impl Seen<'_> {
    fn add(&self, files: u64, bytes: u64) {
        let progress = Progress {
            files: self.files.fetch_add(files, Ordering::Relaxed) + files,
            files_total: self.files_total,
            bytes: self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes,
            bytes_total: self.bytes_total,
        };
        if !(self.watch)(progress) {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
