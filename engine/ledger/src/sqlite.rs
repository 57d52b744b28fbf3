//! A ledger in a SQLite file: how it is connected to, recognised and brought up to date.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::AnyConnectOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, ConnectOptions, Row, SqlSafeStr};
use windlass_core::{Error, Kind, Result};

use crate::error::{damaged, explain};
use crate::open::{Role, SCHEMA_VERSION, number};
use crate::options::LedgerOptions;
use crate::place::Place;

/// Marks a SQLite file as a ledger: "WNDL". Also written by the first migration.
pub(crate) const APPLICATION_ID: i64 = 0x574e_444c;

/// What every SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Everything but these is escaped in the file part of a connection URL.
const KEPT_IN_URL: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// How to connect. `mode` is that of SQLite: `ro`, `rw`, `rwc`.
pub(crate) fn url(file: &Path, mode: &str) -> Result<AnyConnectOptions, sqlx::Error> {
    // Does nothing but the first time.
    sqlx::any::install_default_drivers();
    let file = file.to_string_lossy();
    let file = utf8_percent_encode(&file, &KEPT_IN_URL);
    let options: AnyConnectOptions = format!("sqlite://{file}?mode={mode}").parse()?;
    Ok(options.disable_statement_logging())
}

/// Looks at the file's first bytes, so that a mistaken path is told before SQLite touches it.
pub(crate) fn inspect(file: &Path, must_exist: bool) -> Result<()> {
    use std::io::{ErrorKind, Read};
    let mut start = Vec::new();
    let read = std::fs::File::open(file)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    let told = |error: Error| error.with_context("ledger", file.display());
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(told(
            Error::new(Kind::NotFound, "there is no ledger yet")
                .with_hint("run a flow first, or name the right file"),
        )),
        Err(error) => Err(told(
            Error::new(Kind::Config, "the ledger file cannot be read").with_source(error),
        )
        .with_hint("give the user that runs windlass read and write access to it")),
        // A process that ended right after creating it leaves an empty file.
        Ok(0) if !must_exist => Ok(()),
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => {
            let place = Place::File(file.to_owned());
            Err(told(damaged(&place, "the file is not a ledger")))
        }
    }
}

/// FULL is the only setting that keeps an acknowledged commit through a power cut, and group
/// commit makes it cheap. The write-ahead log is checkpointed every 40 MB.
pub(crate) async fn set_up(
    connection: &mut AnyConnection,
    role: Role,
    options: &LedgerOptions,
) -> Result<(), sqlx::Error> {
    let cache_kib = match role {
        Role::Write => options.cache.bytes() >> 10,
        Role::Read => 4 << 10,
    };
    let mut pragmas = format!(
        "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA cache_size = -{cache_kib};"
    );
    match role {
        Role::Read => pragmas.push_str("PRAGMA query_only = ON;"),
        Role::Write => pragmas.push_str(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA wal_autocheckpoint = 10000;",
        ),
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas))
        .execute(&mut *connection)
        .await?;
    if let (Role::Write, Some(max)) = (role, options.file_bytes_max) {
        let page: i64 = number(connection, "PRAGMA page_size").await?;
        let pages = max.bytes() / page.max(1).unsigned_abs();
        let limit = format!("PRAGMA max_page_count = {}", pages.max(1));
        sqlx::raw_sql(sqlx::AssertSqlSafe(limit))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The schema's version, 0 for a file that is to become a ledger. Errors: `Corrupt` for files of
/// other programs.
pub(crate) async fn identity(place: &Place, connection: &mut AnyConnection) -> Result<i64> {
    let told = |error| explain(place, "read", error);
    let application = number(connection, "PRAGMA application_id")
        .await
        .map_err(told)?;
    let version = number(connection, "PRAGMA user_version")
        .await
        .map_err(told)?;
    // A process that died between creating the file and its schema leaves only this table.
    let tables = "SELECT COUNT(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations'";
    let tables = number(connection, tables).await.map_err(told)?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (APPLICATION_ID, version) => Ok(version),
        _ => Err(damaged(place, "the file is a database of another program")
            .with_context("ledger", place)),
    }
}

/// Looks at a small file from end to end.
pub(crate) async fn quick_check(
    place: &Place,
    connection: &mut AnyConnection,
    options: &LedgerOptions,
) -> Result<()> {
    let told = |error| explain(place, "read", error);
    let size = std::fs::metadata(place.beside()).map_or(0, |metadata| metadata.len());
    if size > options.check_bytes_max.bytes() {
        return Ok(());
    }
    let row = sqlx::query("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(told)?;
    let found: String = row.try_get(0).map_err(told)?;
    if found == "ok" {
        return Ok(());
    }
    Err(damaged(place, "the ledger file is damaged")
        .with_context("ledger", place)
        .with_context("found", found.replace('\n', " ").trim()))
}

/// What brings any file up to date.
pub(crate) fn migrator() -> Migrator {
    const MIGRATIONS: [(i64, &str, &str); SCHEMA_VERSION as usize] = [
        (
            1,
            "init",
            include_str!("../migrations/sqlite/0001_init.sql"),
        ),
        (
            2,
            "notes",
            include_str!("../migrations/sqlite/0002_notes.sql"),
        ),
        (
            3,
            "proof",
            include_str!("../migrations/sqlite/0003_proof.sql"),
        ),
        (
            4,
            "reuse",
            include_str!("../migrations/sqlite/0004_reuse.sql"),
        ),
        (
            5,
            "withdrawals",
            include_str!("../migrations/sqlite/0005_withdrawals.sql"),
        ),
        (
            6,
            "conflicts",
            include_str!("../migrations/sqlite/0006_conflicts.sql"),
        ),
    ];
    Migrator::with_migrations(MIGRATIONS.map(migration).into())
}

pub(crate) fn migration((version, name, sql): (i64, &'static str, &'static str)) -> Migration {
    Migration::new(
        version,
        name.into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}
