//! The record of an emulator on disk: one JSON event a line, only ever appended.
//!
//! An emulator appends an event after the bytes it speaks of are in place and before it answers, and
//! rebuilds its state by replaying the events. A crash can tear the last line: it is cut off, because
//! the call it belongs to was never answered. Anything unreadable before that is damage and refused.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blob::lock;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("the sandbox journal {path} cannot be used: {source}")]
    Io {
        /// The journal file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A complete line is not an event.
    #[error("the sandbox journal {path} is damaged at line {line}: {source}")]
    Damaged {
        /// The journal file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The file is a journal of something else, or of another version.
    #[error("{path} is a journal of {found:?}, not of {wanted:?}")]
    Foreign {
        /// The journal file.
        path: PathBuf,
        /// What its first line names.
        found: String,
        /// What was to be opened.
        wanted: String,
    },
}

/// An open journal of events of type `E`.
#[derive(Debug)]
pub struct Journal<E> {
    file: Mutex<File>,
    events: PhantomData<fn(&E)>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    journal: String,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    /// Opens or creates the journal of `what` (a name with a version, such as `dropbox-1`) and hands
    /// every event to `replay`, oldest first. A torn last line is cut off.
    pub fn open(
        path: impl AsRef<Path>,
        what: &str,
        mut replay: impl FnMut(E),
    ) -> Result<Self, JournalError> {
        let path = path.as_ref();
        let failed = |source| JournalError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let good = read_lines(&file, path, what, &mut replay)?;
        file.set_len(good).map_err(failed)?;
        file.seek(SeekFrom::Start(good)).map_err(failed)?;
        if good == 0 {
            let heading = Heading {
                journal: what.to_owned(),
            };
            write_line(&mut file, &heading).map_err(failed)?;
        }
        Ok(Journal {
            file: Mutex::new(file),
            events: PhantomData,
        })
    }

    /// Appends one event in one write. When this returns, the event survives the end of this process.
    pub fn append(&self, event: &E) -> io::Result<()> {
        write_line(&mut lock(&self.file), event)
    }
}

fn write_line(file: &mut File, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Replays all complete lines; the result is the length of the file up to the last of them.
fn read_lines<E: DeserializeOwned>(
    file: &File,
    path: &Path,
    what: &str,
    replay: &mut impl FnMut(E),
) -> Result<u64, JournalError> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut good, mut number) = (0, 0);
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        let read = read.map_err(|source| JournalError::Io {
            path: path.to_owned(),
            source,
        })?;
        if line.pop() != Some(b'\n') {
            return Ok(good);
        }
        number += 1;
        let damaged = |source| JournalError::Damaged {
            path: path.to_owned(),
            line: number,
            source,
        };
        if number == 1 {
            let heading: Heading = serde_json::from_slice(&line).map_err(damaged)?;
            if heading.journal != what {
                return Err(JournalError::Foreign {
                    path: path.to_owned(),
                    found: heading.journal,
                    wanted: what.to_owned(),
                });
            }
        } else {
            replay(serde_json::from_slice(&line).map_err(damaged)?);
        }
        good += read as u64;
    }
}

#[cfg(test)]
mod tests;
