//! Jots: notes that must survive the end of the process now and a power cut soon.
//!
//! They are appended to a file beside the ledger, `<file>-jots`, one `write` each and never an `fsync`: what was
//! written stays in the system's cache when a process is killed. They become durable when they are folded into the
//! ledger, before [`JOT_AGE_MAX`] or at a megabyte, and before the next process takes any step. Losing all of them
//! costs bytes that are sent again, never correctness.
//!
//! Records are numbered, and the ledger keeps the number up to which it has folded them in the transaction that
//! folds. So a record counts once, also when the file could not be shortened afterwards or an older state of it
//! came back: what a later note has made untrue does not return. Every opening gives the ledger a new *epoch*, which
//! the file's first line names; a file of another ledger, of a copy or of an earlier opening is not read.
//!
//! The file is that line, then records: length (4 bytes), check (8), number (8), all little-endian, and the
//! note as JSON. The check is the start of the BLAKE3 digest of number and note. Reading ends at the first record
//! that is torn; a write that fails is cut off again, so that no later one hides behind it.
//!
//! [`JOT_AGE_MAX`]: windlass_core::JOT_AGE_MAX

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use windlass_core::{Blake3, Digests, Error, Kind, Note, Noted, Part, Result, StepId};

use crate::error::closed;

/// From this size on the file is folded without waiting for its time.
const FOLD_BYTES: u64 = 1 << 20;

/// No file is larger, whatever the options say.
const BYTES_MAX: u64 = 64 << 20;

/// No record is longer: a part of 1 GiB has a digest of some 8 KiB.
const NOTE_BYTES_MAX: usize = 1 << 20;

/// Length, check and number.
const FRAME_BYTES: usize = 4 + 8 + 8;

/// The file, and what in it is not folded yet.
#[derive(Debug)]
pub(crate) struct Jots {
    path: PathBuf,
    head: Vec<u8>,
    /// At this size nothing more is jotted until some are folded.
    bytes_max: u64,
    state: Mutex<State>,
    /// Held while some are being folded, so that nobody folds the same ones.
    pub(crate) folding: tokio::sync::Mutex<()>,
    /// Something is to be folded before long.
    pub(crate) some: Notify,
    /// So much is to be folded that it should be now.
    pub(crate) many: Notify,
}

#[derive(Debug)]
struct State {
    /// Ends where a record ends. `None` before the first one, and when the file may not be so.
    file: Option<File>,
    /// How long the file is.
    bytes: u64,
    /// In the order of their numbers, without gaps.
    pending: VecDeque<Note>,
    /// The number of the first of them, or of the next one.
    first: u64,
    closed: bool,
}

/// Jots that become durable together.
#[derive(Debug)]
pub(crate) struct Folding {
    pub(crate) notes: Vec<Note>,
    /// The number of the last of them.
    pub(crate) through: u64,
}

/// Where the jots of a ledger are.
pub(crate) fn path_of(ledger: &Path) -> PathBuf {
    beside(ledger, "-jots")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// What an ended process jotted in an epoch after the record `folded`. Nothing where the file is missing, of another
/// epoch or not to be read.
pub(crate) fn left_over(ledger: &Path, epoch: &str, folded: u64) -> Vec<Note> {
    let path = path_of(ledger);
    let mut bytes = Vec::new();
    // Nobody writes more; whoever did is not believed beyond it.
    let read = File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "jots cannot be read; some bytes are sent again");
            return Vec::new();
        }
    }
    match bytes.strip_prefix(head(epoch).as_slice()) {
        Some(records) => read_after(records, folded),
        None => {
            tracing::info!(path = %path.display(), "jots of another time or ledger are left aside");
            Vec::new()
        }
    }
}

fn head(epoch: &str) -> Vec<u8> {
    format!("windlass jots of {epoch}\n").into_bytes()
}

fn read_after(mut bytes: &[u8], folded: u64) -> Vec<Note> {
    let mut notes = Vec::new();
    while let Some((number, note, rest)) = first(bytes) {
        // What no version would have jotted is not to keep the ledger from opening.
        if number > folded && note.check().is_ok() {
            notes.push(note);
        }
        bytes = rest;
    }
    notes
}

/// The first record of some bytes, and the rest. `None` where it is torn.
fn first(bytes: &[u8]) -> Option<(u64, Note, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (checked, rest) = rest.split_at_checked(length.checked_add(8)?)?;
    if check_of(checked) != *check {
        return None;
    }
    let (number, note) = checked.split_first_chunk::<8>()?;
    let note: Record = serde_json::from_slice(note).ok()?;
    Some((u64::from_le_bytes(*number), note.read()?, rest))
}

fn check_of(checked: &[u8]) -> [u8; 8] {
    let digest = Blake3::of(checked);
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// A note as a record holds it. Errors: `InvalidInput` when it is too long.
fn text_of(note: &Note) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(&Record::of(note)).map_err(|error| {
        Error::new(Kind::Unexpected, "a note cannot be written as JSON").with_source(error)
    })?;
    if text.len() > NOTE_BYTES_MAX {
        return Err(Error::new(
            Kind::InvalidInput,
            format!("a note of {} bytes is too long to be jotted", text.len()),
        ));
    }
    Ok(text)
}

fn frame(number: u64, text: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(FRAME_BYTES + text.len());
    // Texts are shorter than a megabyte.
    framed.extend_from_slice(&(text.len() as u32).to_le_bytes());
    framed.extend_from_slice(&[0; 8]);
    framed.extend_from_slice(&number.to_le_bytes());
    framed.extend_from_slice(text);
    let check = check_of(&framed[12..]);
    framed[4..12].copy_from_slice(&check);
    framed
}

impl Jots {
    /// The jots of a ledger in a new epoch. Those of earlier ones must be folded by now.
    pub(crate) fn new(ledger: &Path, epoch: &str, bytes_max: u64) -> Self {
        Jots {
            path: path_of(ledger),
            head: head(epoch),
            bytes_max: bytes_max.min(BYTES_MAX),
            state: Mutex::new(State {
                file: None,
                bytes: 0,
                pending: VecDeque::new(),
                first: 1,
                closed: false,
            }),
            folding: tokio::sync::Mutex::default(),
            some: Notify::new(),
            many: Notify::new(),
        }
    }

    /// Writes one note.
    ///
    /// Errors: `InvalidInput` for what cannot be kept, `Capacity` where the disk is full or too much waits,
    /// `Config` where the file cannot be written. After an error nothing of the note is there.
    pub(crate) fn write(&self, note: &Note) -> Result<()> {
        note.check()?;
        let text = text_of(note)?;
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        let length = (FRAME_BYTES + text.len()) as u64;
        if state.bytes + length > self.bytes_max {
            self.many.notify_one();
            return Err(Error::new(
                Kind::Capacity,
                "notes of transfers in flight pile up faster than the ledger is written",
            )
            .with_context("jots", self.path.display())
            .with_hint("look whether the disk under the ledger is full or fails"));
        }
        let framed = frame(state.next(), &text);
        let appended = self.append(&mut state, &framed);
        appended.map_err(|error| self.told(error))?;
        if state.pending.is_empty() {
            self.some.notify_one();
        }
        state.pending.push_back(note.clone());
        if state.bytes >= FOLD_BYTES {
            self.many.notify_one();
        }
        Ok(())
    }

    /// Whether jots must be folded before these notes are written, because both tell of one thing.
    pub(crate) fn come_before(&self, notes: &[Note]) -> bool {
        let apart = |jot: &Noted, note: &Noted| {
            // The usual case by far: parts were jotted, and a commit is about to be sent.
            matches!((jot, note), (Noted::Part(_), Noted::Intent(_)))
        };
        let state = self.lock();
        let meets = |jot: &Note| {
            let same = |note: &&Note| note.step == jot.step && !apart(&jot.what, &note.what);
            notes.iter().find(same).is_some()
        };
        // Folding once too often costs a commit; comparing many with many would cost more.
        state.pending.len().saturating_mul(notes.len()) > 100_000 || state.pending.iter().any(meets)
    }

    /// The first of what is not folded yet, at most `most`. They stay pending until [`Jots::folded`].
    pub(crate) fn pending(&self, most: usize) -> Option<Folding> {
        let state = self.lock();
        let notes: Vec<Note> = state.pending.iter().take(most).cloned().collect();
        if notes.is_empty() {
            return None;
        }
        let through = state.first + notes.len() as u64 - 1;
        Some(Folding { notes, through })
    }

    /// The number of the last note that was jotted, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next() - 1
    }

    /// What was jotted up to a number is in the ledger now.
    pub(crate) fn folded(&self, through: u64) {
        let mut state = self.lock();
        while state.first <= through && state.pending.pop_front().is_some() {
            state.first += 1;
        }
    }

    /// Leaves in the file only what is still pending.
    pub(crate) fn shorten(&self) {
        let mut state = self.lock();
        if let Err(error) = self.try_shorten(&mut state) {
            // Their numbers say that they are folded, so that they may stay.
            tracing::warn!(path = %self.path.display(), %error, "jots that are folded stay for now");
        }
    }

    fn try_shorten(&self, state: &mut State) -> io::Result<()> {
        match &state.file {
            None => Ok(()),
            Some(file) if state.pending.is_empty() => {
                file.set_len(self.head.len() as u64)?;
                state.bytes = self.head.len() as u64;
                Ok(())
            }
            Some(_) => self.rewrite(state),
        }
    }

    /// Refuses what comes from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Removes the file, where nothing is pending.
    pub(crate) fn remove(&self) {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            return;
        }
        state.file = None;
        state.bytes = 0;
        for path in [self.fresh(), self.path.clone()] {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::debug!(path = %path.display(), %error, "jots that nobody needs stay");
            }
        }
    }

    fn fresh(&self) -> PathBuf {
        beside(&self.path, ".new")
    }

    /// Replaces the file by one that holds only what is pending: at any moment one of the two is there whole.
    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let fresh = self.fresh();
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&fresh)?;
        let mut out = BufWriter::new(&file);
        out.write_all(&self.head)?;
        let mut bytes = self.head.len() as u64;
        for (number, note) in (state.first..).zip(&state.pending) {
            let text = text_of(note).map_err(io::Error::other)?;
            let framed = frame(number, &text);
            out.write_all(&framed)?;
            bytes += framed.len() as u64;
        }
        out.flush()?;
        drop(out);
        std::fs::rename(&fresh, &self.path)?;
        state.file = Some(file);
        state.bytes = bytes;
        Ok(())
    }

    fn append(&self, state: &mut State, framed: &[u8]) -> io::Result<()> {
        if state.file.is_none() {
            self.rewrite(state)?;
        }
        let Some(file) = &mut state.file else {
            return Err(io::Error::other("there is no file"));
        };
        // One call, so that a kill leaves all of it or none; a torn one is recognised all the same.
        if let Err(error) = file.write_all(framed) {
            // A torn record would hide those that come after it.
            if file.set_len(state.bytes).is_err() {
                state.file = None;
            }
            return Err(error);
        }
        state.bytes += framed.len() as u64;
        Ok(())
    }

    fn told(&self, error: io::Error) -> Error {
        let (kind, hint) = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                (Kind::Capacity, "free space on the disk of the ledger")
            }
            _ => (
                Kind::Config,
                "give the user that runs windlass write access to the ledger's folder",
            ),
        };
        Error::new(kind, "what was acknowledged cannot be noted")
            .with_context("jots", self.path.display())
            .with_source(error)
            .with_hint(hint)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of the next record.
    fn next(&self) -> u64 {
        self.first + self.pending.len() as u64
    }
}

/// Step, attempt, what.
#[derive(Serialize, Deserialize)]
struct Record(i64, u32, What);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Session(String),
    /// Start, length, digest in hex.
    Part(u64, u64, String),
    Intent(Digests),
    Restart,
}

impl Record {
    fn of(note: &Note) -> Self {
        let what = match &note.what {
            Noted::Session(session) => What::Session(session.clone()),
            Noted::Part(part) => What::Part(part.offset, part.length, hex::encode(&part.digest)),
            Noted::Intent(digests) => What::Intent(*digests),
            Noted::Restart => What::Restart,
        };
        Record(note.step.0, note.attempt, what)
    }

    /// `None` when it holds what no version wrote.
    fn read(self) -> Option<Note> {
        let Record(step, attempt, what) = self;
        let what = match what {
            What::Session(session) => Noted::Session(session),
            What::Part(offset, length, digest) => Noted::Part(Part {
                offset,
                length,
                digest: hex::decode(&digest).ok()?.into(),
            }),
            What::Intent(digests) => Noted::Intent(digests),
            What::Restart => Noted::Restart,
        };
        Some(Note {
            step: StepId(step),
            attempt,
            what,
        })
    }
}
