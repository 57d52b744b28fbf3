//! Jots: notes that must survive the end of the process now and a power cut soon.
//!
//! They are appended to a file beside the ledger, `<file>-jots`, one `write` each and never an `fsync`: what was
//! written stays in the system's cache when a process is killed. They become durable when they are folded into the ledger, every
//! [`JOT_AGE_MAX`] or megabyte, and before the next process takes any step. A torn end is cut off; a file that
//! belongs to another ledger, or cannot be read as one, is set aside by being written anew. Losing all of it costs
//! bytes that are sent again, never correctness.
//!
//! A file is a line with the ledger's identity, then records: length and the first four bytes of a BLAKE3 digest,
//! each little-endian, then a note as JSON.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use windlass_core::{Blake3, Digests, Error, Kind, Note, Noted, Part, Result, StepId};

/// From this size on the file is folded without waiting for its time.
pub(crate) const FOLD_BYTES: u64 = 1 << 20;

/// Beyond this size nothing more is jotted: folding must have failed for long, and a disk is not to be filled.
const BYTES_MAX: u64 = 64 << 20;

/// No record is longer: a part of 1 GiB has a digest of some 8 KiB.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// The file, and what in it is not folded yet.
#[derive(Debug)]
pub(crate) struct Jots {
    path: PathBuf,
    head: Vec<u8>,
    state: Mutex<State>,
    /// Held while some are being folded, so that nobody folds the same ones.
    pub(crate) folding: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    bytes: u64,
    pending: Vec<Note>,
}

/// A note as a record holds it.
#[derive(Serialize, Deserialize)]
struct Record {
    step: i64,
    attempt: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Session(String),
    Part {
        start: u64,
        length: u64,
        digest: Vec<u8>,
    },
    Intent(Digests),
    Restart,
}

/// Where the jots of a ledger are.
pub(crate) fn path_of(ledger: &Path) -> PathBuf {
    let mut path = ledger.as_os_str().to_owned();
    path.push("-jots");
    path.into()
}

/// What an ended process jotted and nobody folded. Nothing where the file is missing or of another ledger.
pub(crate) fn left_over(ledger: &Path, identity: &str) -> Vec<Note> {
    let path = path_of(ledger);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "jots cannot be read; some bytes are sent again");
            return Vec::new();
        }
    };
    let head = head(identity);
    match bytes.strip_prefix(head.as_slice()) {
        Some(records) => read(records),
        None => {
            tracing::warn!(path = %path.display(), "jots of another ledger are left aside");
            Vec::new()
        }
    }
}

fn head(identity: &str) -> Vec<u8> {
    format!("windlass jots of ledger {identity}\n").into_bytes()
}

/// The records up to the first one that is torn.
fn read(mut bytes: &[u8]) -> Vec<Note> {
    let mut notes = Vec::new();
    while let Some((note, rest)) = first(bytes) {
        notes.push(note);
        bytes = rest;
    }
    notes
}

fn first(bytes: &[u8]) -> Option<(Note, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (payload, rest) = rest.split_at_checked(length.min(RECORD_BYTES_MAX))?;
    if checksum(payload) != *check {
        return None;
    }
    let record: Record = serde_json::from_slice(payload).ok()?;
    Some((record.into(), rest))
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let digest = Blake3::of(payload);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

fn frame(note: &Note) -> Result<Vec<u8>> {
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Kind::Unexpected, "a note cannot be written as JSON").with_source(source)
    };
    let payload = serde_json::to_vec(&Record::from(note)).map_err(|error| fail(Box::new(error)))?;
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= RECORD_BYTES_MAX)
        .ok_or_else(|| fail("it is too long".into()))?;
    let mut framed = Vec::with_capacity(payload.len() + 8);
    framed.extend_from_slice(&length.to_le_bytes());
    framed.extend_from_slice(&checksum(&payload));
    framed.extend_from_slice(&payload);
    Ok(framed)
}

impl Jots {
    /// The jots of a ledger, to be written from now on; earlier ones are folded by now.
    pub(crate) fn new(ledger: &Path, identity: &str) -> Self {
        Jots {
            path: path_of(ledger),
            head: head(identity),
            state: Mutex::default(),
            folding: tokio::sync::Mutex::default(),
        }
    }

    /// Writes one note. True when it is time to fold.
    ///
    /// Errors: `Capacity` where the disk or the file is full, `Config` where it cannot be written.
    pub(crate) fn write(&self, note: &Note) -> Result<bool> {
        let framed = frame(note)?;
        let mut state = self.lock();
        if state.bytes + framed.len() as u64 > BYTES_MAX {
            return Err(Error::new(
                Kind::Capacity,
                "the notes of transfers in flight pile up because the ledger cannot be written",
            )
            .with_context("jots", self.path.display()));
        }
        let written = self.append(&mut state, &framed);
        written.map_err(|error| self.told(error))?;
        state.bytes += framed.len() as u64;
        state.pending.push(note.clone());
        Ok(state.bytes >= FOLD_BYTES)
    }

    /// What is not folded yet; it stays until [`Jots::folded`].
    pub(crate) fn pending(&self) -> Vec<Note> {
        self.lock().pending.clone()
    }

    /// The first `count` of what was pending are in the ledger now.
    pub(crate) fn folded(&self, count: usize) {
        let mut state = self.lock();
        let count = count.min(state.pending.len());
        state.pending.drain(..count);
        if let Err(error) = self.rewrite(&mut state) {
            // What stays in the file is folded once more later, which changes nothing.
            tracing::warn!(path = %self.path.display(), %error, "jots that are folded stay for now");
        }
    }

    /// Removes the file, where nothing is pending.
    pub(crate) fn remove(&self) {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            return;
        }
        state.file = None;
        state.bytes = 0;
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(path = %self.path.display(), %error, "empty jots stay");
        }
    }

    /// Replaces the file by one that holds only what is pending: at any moment one of the two is there whole.
    fn rewrite(&self, state: &mut State) -> Result<(), Box<dyn std::error::Error>> {
        let mut bytes = self.head.clone();
        for note in &state.pending {
            bytes.extend(frame(note)?);
        }
        let mut fresh = self.path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        std::fs::rename(&fresh, &self.path)?;
        state.file = Some(file);
        state.bytes = bytes.len() as u64;
        Ok(())
    }

    fn append(&self, state: &mut State, framed: &[u8]) -> io::Result<()> {
        let file = match &mut state.file {
            Some(file) => file,
            none => {
                let mut file = OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(true)
                    .open(&self.path)?;
                file.write_all(&self.head)?;
                none.insert(file)
            }
        };
        // One call, so that a kill leaves all of it or none; a torn one is recognised all the same.
        file.write_all(framed)
    }

    fn told(&self, error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Capacity,
            _ => Kind::Config,
        };
        Error::new(kind, "what was acknowledged cannot be noted")
            .with_context("jots", self.path.display())
            .with_source(error)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Note> for Record {
    fn from(note: &Note) -> Self {
        Record {
            step: note.step.0,
            attempt: note.attempt,
            what: match &note.what {
                Noted::Session(session) => What::Session(session.clone()),
                Noted::Part(part) => What::Part {
                    start: part.offset,
                    length: part.length,
                    digest: part.digest.to_vec(),
                },
                Noted::Intent(digests) => What::Intent(*digests),
                Noted::Restart => What::Restart,
            },
        }
    }
}

impl From<Record> for Note {
    fn from(record: Record) -> Self {
        Note {
            step: StepId(record.step),
            attempt: record.attempt,
            what: match record.what {
                What::Session(session) => Noted::Session(session),
                What::Part {
                    start,
                    length,
                    digest,
                } => Noted::Part(Part {
                    offset: start,
                    length,
                    digest: digest.into(),
                }),
                What::Intent(digests) => Noted::Intent(digests),
                What::Restart => Noted::Restart,
            },
        }
    }
}
