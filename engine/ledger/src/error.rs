//! What the database says, told as one sentence with what to do about it.

use std::path::Path;

use sqlx::migrate::MigrateError;
use windlass_core::{Error, Kind, Status};

/// Primary result codes of SQLite that mean something to a person.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

/// Why a request of the writer did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request itself is wrong; it wrote nothing, and the transaction goes on without it.
    Refused(Error),
    /// The database failed; the transaction is void.
    Database(sqlx::Error),
    /// Something else failed when part of it was written; the transaction is void.
    Broken(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Broken(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Failure::Database(error)
    }
}

/// Turns a database error into the shared one. `doing` completes "the ledger cannot be …".
pub(crate) fn explain(file: &Path, doing: &str, error: sqlx::Error) -> Error {
    let code = match &error {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<i32>().ok()),
        _ => None,
    };
    // The low byte is the primary code, the rest says which case of it.
    let explained = match code.map(|code| code & 0xff) {
        Some(code::CORRUPT) => damaged(file, "the ledger file is damaged"),
        Some(code::NOTADB) => damaged(file, "the file is not a ledger"),
        Some(code::FULL) => full(file, "the ledger has no room left on its disk"),
        Some(code::IOERR) => full(file, "the disk under the ledger fails or is full"),
        Some(code::READONLY | code::PERM) => Error::new(
            Kind::Config,
            "the ledger cannot be written: its file or folder is read-only",
        )
        .with_hint(format!(
            "give the user that runs windlass write access to {} and to its folder",
            file.display()
        )),
        Some(code::CANTOPEN) => Error::new(
            Kind::Config,
            "the ledger cannot be opened: its file or folder cannot be reached or written",
        )
        .with_hint(format!(
            "check that the folder of {} exists and may be written",
            file.display()
        )),
        Some(code::BUSY | code::LOCKED) => {
            Error::new(Kind::Conflict, "another program keeps the ledger locked")
                .with_status(Status::Temporary)
                .with_hint(format!("close what else has {} open", file.display()))
        }
        _ => match &error {
            sqlx::Error::PoolClosed => return closed(),
            sqlx::Error::PoolTimedOut => Error::new(
                Kind::Unavailable,
                format!("the ledger cannot be {doing}: every reader is busy"),
            ),
            _ => Error::new(Kind::Unexpected, format!("the ledger cannot be {doing}")),
        },
    };
    explained
        .with_context("ledger", file.display())
        .with_source(error)
}

/// Turns an error of bringing the schema up to date into the shared one.
pub(crate) fn explain_migration(file: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            explain(file, "brought up to date", error)
        }
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => damaged(
            file,
            "the ledger's schema is not the one this version wrote",
        )
        .with_context("ledger", file.display())
        .with_source(error),
        other => Error::new(Kind::Unexpected, "the ledger cannot be brought up to date")
            .with_context("ledger", file.display())
            .with_source(other),
    }
}

/// A file that is no ledger, or no longer a whole one.
pub(crate) fn damaged(file: &Path, message: &str) -> Error {
    Error::new(Kind::Corrupt, message).with_hint(format!(
        "move {} aside together with its -wal and -shm files, then put a copy in its place that the \
         ledger's backup command made, or start with a new ledger",
        file.display()
    ))
}

/// An answer that was given too late to be of use.
pub(crate) fn closed() -> Error {
    Error::new(Kind::Unexpected, "the ledger is closed")
}

/// A value that is recorded but cannot be understood.
pub(crate) fn nonsense(file: &Path, column: &str, value: &str) -> Error {
    damaged(file, "the ledger holds a value that no version wrote")
        .with_context("ledger", file.display())
        .with_context("column", column)
        .with_context("value", format!("{value:?}"))
}

fn full(file: &Path, message: &str) -> Error {
    Error::new(Kind::Capacity, message).with_hint(format!(
        "free space on the disk of {}, then run again: everything that was recorded is kept",
        file.display()
    ))
}
