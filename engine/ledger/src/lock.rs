//! The lock file that gives a ledger to one process at a time.
//!
//! The operating system drops the lock with the process, however it ends; the file itself stays and
//! means nothing. What it contains is only for the message to others.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use windlass_core::{Error, Kind, Result};

use crate::open::Target;

/// How often a lock that another process holds is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// Held as long as the ledger may be written.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Closing the file releases the lock.
    _file: File,
}

impl Lock {
    /// Takes the lock of a ledger as its options say. A server's has one too: its scratch files are on this machine.
    pub(crate) async fn of(target: &Target) -> Result<Lock> {
        let (ledger, wait) = (target.place.beside().to_owned(), target.options.lock_wait);
        let taking = tokio::task::spawn_blocking(move || Lock::take(&ledger, wait));
        taking.await.map_err(|error| {
            Error::new(
                Kind::Unexpected,
                "taking the ledger's lock ended abnormally",
            )
            .with_source(error)
        })?
    }

    /// Takes the lock of a ledger, waiting up to `wait`. Blocks the thread.
    ///
    /// Errors: `Conflict` when another process keeps it, `Config` when the folder cannot be written.
    pub(crate) fn take(ledger: &Path, wait: Duration) -> Result<Lock> {
        let path = lock_path(ledger);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| unwritable(ledger, &path, error))?;
        let give_up = Instant::now() + wait;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    std::thread::sleep(TRY_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(in_use(ledger, &mut file)),
                Err(TryLockError::Error(error)) => return Err(unwritable(ledger, &path, error)),
            }
        }
        let named = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = named {
            // The lock is held all the same; others only cannot be told by whom.
            tracing::debug!(%error, "the lock file cannot be written");
        }
        Ok(Lock { _file: file })
    }
}

fn lock_path(ledger: &Path) -> PathBuf {
    let mut path = OsString::from(ledger);
    path.push("-lock");
    PathBuf::from(path)
}

fn in_use(ledger: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    let who = match file.take(32).read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!(" (process {})", pid.trim()),
        _ => String::new(),
    };
    Error::new(
        Kind::Conflict,
        format!("another windlass process{who} is using the ledger"),
    )
    .with_context("ledger", ledger.display())
    .with_hint("wait until it has ended, stop it, or name another ledger file")
}

fn unwritable(ledger: &Path, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let folder = path.parent().unwrap_or(path);
    let (kind, message, hint) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (
            Kind::Capacity,
            "the ledger has no room left on its disk",
            format!("free space on the disk of {}", ledger.display()),
        ),
        Io::NotFound => (
            Kind::Config,
            "the folder of the ledger does not exist",
            format!("create {}, or name another ledger file", folder.display()),
        ),
        _ => (
            Kind::Config,
            "the folder of the ledger cannot be written",
            format!(
                "give the user that runs windlass write access to {}, or name another ledger file",
                folder.display()
            ),
        ),
    };
    Error::new(kind, message)
        .with_context("ledger", ledger.display())
        .with_source(error)
        .with_hint(hint)
}
