//! What the database says, told as one sentence with what to do about it.

use std::path::Path;

use sqlx::migrate::MigrateError;
use windlass_core::{Error, Kind, Status};

use crate::place::{Database, Place};

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
    /// The server cannot be reached for as long as it is waited for; nothing was written.
    Unreachable(Error),
    /// The server went away during the commit and cannot be asked what became of it.
    Undecided(Error),
}

impl Failure {
    /// Whether each request of a batch would fail alike, or must not be tried again.
    pub(crate) fn concerns_all(&self) -> bool {
        match self {
            Failure::Database(error) => is_lost(error),
            Failure::Unreachable(_) | Failure::Undecided(_) => true,
            Failure::Refused(_) | Failure::Broken(_) => false,
        }
    }
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

/// Whether a database error means that the server cannot be reached at the moment, so that a new connection may do. A
/// file is always reached.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        // Connecting says by this that the server refuses connections.
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // The other side went away in the middle of a message.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, a server that shuts down, crashes or starts, and one that ends idle sessions.
            code.starts_with("08") || ["57P01", "57P02", "57P03", "57P05"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Turns a database error into the shared one. `doing` completes "the ledger cannot be …".
pub(crate) fn explain(ledger: &Place, doing: &str, error: sqlx::Error) -> Error {
    if matches!(error, sqlx::Error::PoolClosed) {
        return closed();
    }
    let code = match &error {
        sqlx::Error::Database(error) => error.code().map(|code| code.into_owned()),
        _ => None,
    };
    let explained = match (ledger, code.as_deref()) {
        (Place::File(file), Some(code)) => code.parse().ok().and_then(|code| of_sqlite(file, code)),
        (Place::Server(_), Some(code)) => of_postgres(code),
        _ => None,
    };
    let explained = explained.unwrap_or_else(|| match &error {
        sqlx::Error::PoolTimedOut if ledger.database() == Database::Sqlite => Error::new(
            Kind::Unavailable,
            format!("the ledger cannot be {doing}: every reader is busy"),
        ),
        error if ledger.database() == Database::Postgres && is_lost(error) => Error::new(
            Kind::Unavailable,
            format!("the ledger cannot be {doing}: its database server cannot be reached"),
        )
        .with_status(Status::Temporary)
        .with_hint(
            "look whether the server runs, and whether [ledger] url names its host and port",
        ),
        sqlx::Error::Tls(_) => Error::new(
            Kind::Unavailable,
            "the ledger's database server cannot be reached over TLS",
        )
        .with_hint(
            "look at sslmode and sslrootcert in [ledger] url, and at the server's certificate",
        ),
        sqlx::Error::Configuration(_) => Error::new(
            Kind::Config,
            "the ledger's URL has a setting that cannot be understood",
        )
        .with_hint("it is written postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"),
        _ => Error::new(Kind::Unexpected, format!("the ledger cannot be {doing}")),
    });
    explained.with_context("ledger", ledger).with_source(error)
}

fn of_sqlite(file: &Path, code: i32) -> Option<Error> {
    // The low byte is the primary code, the rest says which case of it.
    Some(match code & 0xff {
        code::CORRUPT => damaged_file(file, "the ledger file is damaged"),
        code::NOTADB => damaged_file(file, "the file is not a ledger"),
        code::FULL => full(file, "the ledger has no room left on its disk"),
        code::IOERR => full(file, "the disk under the ledger fails or is full"),
        code::READONLY | code::PERM => Error::new(
            Kind::Config,
            "the ledger cannot be written: its file or folder is read-only",
        )
        .with_hint(format!(
            "give the user that runs windlass write access to {} and to its folder",
            file.display()
        )),
        code::CANTOPEN => Error::new(
            Kind::Config,
            "the ledger cannot be opened: its file or folder cannot be reached or written",
        )
        .with_hint(format!(
            "check that the folder of {} exists and may be written",
            file.display()
        )),
        code::BUSY | code::LOCKED => {
            Error::new(Kind::Conflict, "another program keeps the ledger locked")
                .with_status(Status::Temporary)
                .with_hint(format!("close what else has {} open", file.display()))
        }
        _ => return None,
    })
}

/// What SQLSTATE codes mean to a person.
fn of_postgres(code: &str) -> Option<Error> {
    Some(match code {
        "28000" | "28P01" => Error::new(
            Kind::Unauthenticated,
            "the ledger's database server does not accept this user and password",
        )
        .with_hint("look at [ledger] url, and at pg_hba.conf of the server"),
        "3D000" => Error::new(
            Kind::Config,
            "the ledger's database does not exist on its server",
        )
        .with_hint("create it (`createdb`), or name another one in [ledger] url"),
        "3F000" => no_schema(),
        "42501" => Error::new(
            Kind::Denied,
            "the database user may not do in the ledger's database what a ledger needs",
        )
        .with_hint("make it the owner of the database, or of a schema of its own"),
        "53100" => Error::new(
            Kind::Capacity,
            "the ledger's database server has no room left on its disk",
        )
        .with_hint("free space there, then run again: everything that was recorded is kept"),
        "54000" => Error::new(
            Kind::InvalidInput,
            "a path is longer than a ledger on a server can look up (about 2,500 bytes)",
        )
        .with_hint("shorten it, or keep the ledger in a file"),
        "53300" => Error::new(
            Kind::Unavailable,
            "the ledger's database server takes no more connections",
        )
        .with_status(Status::Temporary)
        .with_hint("raise its max_connections, or close what else uses it"),
        "25006" => Error::new(
            Kind::Config,
            "the ledger's database server is a standby, or read-only",
        )
        .with_hint("name the primary in [ledger] url"),
        "XX001" | "XX002" => damaged_database("the ledger's database is damaged"),
        _ => return None,
    })
}

/// A search path that leads nowhere.
pub(crate) fn no_schema() -> Error {
    Error::new(
        Kind::Config,
        "the schema that the ledger's URL names does not exist",
    )
    .with_hint("create it (`CREATE SCHEMA`), or name another search_path in [ledger] url")
}

/// Turns an error of bringing the schema up to date into the shared one.
pub(crate) fn explain_migration(ledger: &Place, error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            explain(ledger, "brought up to date", error)
        }
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => damaged(
            ledger,
            "the ledger's schema is not the one this version wrote",
        )
        .with_context("ledger", ledger)
        .with_source(error),
        other => Error::new(Kind::Unexpected, "the ledger cannot be brought up to date")
            .with_context("ledger", ledger)
            .with_source(other),
    }
}

/// What is no ledger, or no longer a whole one.
pub(crate) fn damaged(ledger: &Place, message: &str) -> Error {
    match ledger {
        Place::File(file) => damaged_file(file, message),
        Place::Server(_) => damaged_database(message),
    }
}

fn damaged_file(file: &Path, message: &str) -> Error {
    Error::new(Kind::Corrupt, message).with_hint(format!(
        "move {} aside together with its -wal and -shm files, then put a copy in its place that the \
         ledger's backup command made, or start with a new ledger",
        file.display()
    ))
}

fn damaged_database(message: &str) -> Error {
    Error::new(Kind::Corrupt, message)
        .with_hint("restore the database from its backup, or name an empty one in [ledger] url")
}

/// An answer that was given too late to be of use.
pub(crate) fn closed() -> Error {
    Error::new(Kind::Unexpected, "the ledger is closed")
}

/// A value that is recorded but cannot be understood.
pub(crate) fn nonsense(ledger: &Place, column: &str, value: &str) -> Error {
    damaged(ledger, "the ledger holds a value that no version wrote")
        .with_context("ledger", ledger)
        .with_context("column", column)
        .with_context("value", format!("{value:?}"))
}

fn full(file: &Path, message: &str) -> Error {
    Error::new(Kind::Capacity, message).with_hint(format!(
        "free space on the disk of {}, then run again: everything that was recorded is kept",
        file.display()
    ))
}
