//! Giving back the room that a ledger does not need any more.

use std::path::Path;

use sqlx::{AnyConnection, Connection};
use windlass_core::{Error, Kind, Ledger, Result};

use crate::error::explain;
use crate::lock::Lock;
use crate::open::{self, Target};
use crate::options::LedgerOptions;
use crate::place::Place;
use crate::tables::TABLES;

/// Bytes that a ledger takes before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before, a file's write-ahead log included.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Rewrites the tables without their free pages. Nothing is forgotten, and nobody may use the ledger meanwhile. It needs
/// the room of the ledger once more while it works (of its largest table on a server); a crash leaves the ledger as it
/// was.
pub(crate) async fn compact(place: Place, options: LedgerOptions) -> Result<Compacted> {
    // What a dead process left is folded, and an older schema brought up to date, as for any use.
    let ledger = open::open_existing(place.clone(), options.clone()).await?;
    // With the log that closing folds into a file.
    let of_file = file_size(&place)?;
    ledger.close().await?;
    let target = Target { place, options };
    let _lock = Lock::of(&target).await?;
    let mut connection = target.connect().await?;
    let place = &target.place;
    let told = |error| explain(place, "compacted", error);
    let before = match of_file {
        Some(size) => size,
        None => server_size(&mut connection).await.map_err(told)?,
    };
    match place {
        Place::File(_) => {
            for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                let done = sqlx::query(sql).execute(&mut connection).await;
                done.map_err(told)?;
            }
        }
        Place::Server(_) => {
            for table in TABLES {
                let sql = sqlx::AssertSqlSafe(format!("VACUUM (FULL, ANALYZE) {table}"));
                let done = sqlx::raw_sql(sql).execute(&mut connection).await;
                done.map_err(told)?;
            }
        }
    }
    let after = match file_size(place)? {
        Some(size) => size,
        None => server_size(&mut connection).await.map_err(told)?,
    };
    connection.close().await.map_err(told)?;
    Ok(Compacted { before, after })
}

async fn server_size(connection: &mut AnyConnection) -> Result<u64, sqlx::Error> {
    let mut size = 0;
    for table in TABLES {
        let row = sqlx::query("SELECT pg_total_relation_size(CAST($1 AS regclass))")
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
        size += sqlx::Row::try_get::<i64, _>(&row, 0)?.unsigned_abs();
    }
    Ok(size)
}

/// `None` for a server.
fn file_size(place: &Place) -> Result<Option<u64>> {
    let Place::File(file) = place else {
        return Ok(None);
    };
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let of = |path: &Path| match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::new(Kind::Config, "the ledger file cannot be read")
            .with_context("ledger", file.display())
            .with_source(error)),
    };
    Ok(Some(of(file)? + of(Path::new(&log))?))
}
