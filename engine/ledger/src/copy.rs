//! A ledger in another place: from a file to a server, back, or to another of the same kind.
//!
//! The copy gets its name last. Without it nobody opens it, so that a copy that was interrupted is never mistaken for a
//! ledger that forgot something.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use sqlx::{AnyConnection, Connection, Executor};
use windlass_core::{Error, Kind, Result};

use crate::error::explain;
use crate::ledger::SqlLedger;
use crate::lock::Lock;
use crate::open::{Target, number};
use crate::options::LedgerOptions;
use crate::place::{Database, Place};
use crate::tables::{Inserter, TABLES, count, rows_of};
use crate::writer::{NEW_EPOCH, new_epoch};

/// How many rows one statement writes: bounds the JSON text that it spreads.
const ROWS_A_STATEMENT: usize = 1_000;

/// How many statements share a transaction: few enough for what a database keeps of it, many enough for its commit.
const STATEMENTS_A_COMMIT: usize = 20;

/// How many rows of each table were copied.
pub type Counts = BTreeMap<&'static str, u64>;

/// The table whose one row makes a ledger complete.
const NAME: &str = "identity";

impl SqlLedger {
    /// Copies everything to another place, as it is now. Nothing may be there but an empty database, or what an
    /// interrupted copy left.
    ///
    /// Errors: those of opening the other place, `Conflict` when a ledger is there, and `Integrity` when less arrived
    /// than was sent.
    pub(crate) async fn copy_to(&self, place: Place, options: LedgerOptions) -> Result<Counts> {
        self.fold_jots().await?;
        let target = Target { place, options };
        let _lock = Lock::of(&target).await?;
        let mut to = target.connect().await?;
        target.migrate(&mut to).await?;
        make_room(&target.place, &mut to).await?;
        let from = self.reader.pool.begin_with(self.reader.target.snapshot());
        let mut from = from
            .await
            .map_err(|error| explain(self.place(), "read", error))?;
        let counts = copy_rows(self.place(), &mut from, &target.place, &mut to).await?;
        from.rollback()
            .await
            .map_err(|error| explain(self.place(), "read", error))?;
        if target.place.database() == Database::Sqlite {
            // Into the file itself: what closing does by itself it does without a word if it fails.
            let left = number(&mut to, "PRAGMA wal_checkpoint(TRUNCATE)").await;
            let left = left.map_err(|error| explain(&target.place, "written", error))?;
            if left != 0 {
                return Err(Error::new(
                    Kind::Conflict,
                    "another program reads the copy, so it is not complete yet",
                )
                .with_context("copy", &target.place));
            }
        }
        to.close()
            .await
            .map_err(|error| explain(&target.place, "closed", error))?;
        Ok(counts)
    }
}

/// Empties what an interrupted copy left, and takes the name of a ledger that holds nothing.
async fn make_room(place: &Place, to: &mut AnyConnection) -> Result<()> {
    let named = count(place, to, NAME).await? > 0;
    let mut taken = false;
    for table in TABLES.iter().filter(|table| **table != NAME) {
        taken |= count(place, to, table).await? > 0;
    }
    if named && taken {
        return Err(Error::new(
            Kind::Conflict,
            "a ledger is already where the copy is to be",
        )
        .with_context("copy", place)
        .with_hint("name a new file or an empty database"));
    }
    let told = |error| explain(place, "written", error);
    to.execute("BEGIN").await.map_err(told)?;
    for table in TABLES.iter().rev() {
        let sql = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
        to.execute(sqlx::query(sql)).await.map_err(told)?;
    }
    to.execute("COMMIT").await.map(drop).map_err(told)
}

async fn copy_rows(
    from_place: &Place,
    from: &mut AnyConnection,
    place: &Place,
    to: &mut AnyConnection,
) -> Result<Counts> {
    let told = |error| explain(place, "written", error);
    let mut counts = Counts::new();
    let named_last = TABLES.iter().filter(|table| **table != NAME).chain([&NAME]);
    for table in named_last {
        let inserter = Inserter::new(place, to, table).await?;
        let rows = rows_of(from_place, from, table).await?;
        let mut packets = rows.chunks(ROWS_A_STATEMENT);
        let (mut copied, mut statements) = (0, 0);
        to.execute("BEGIN").await.map_err(told)?;
        if *table == NAME {
            finish(place, to).await?;
        }
        while let Some(packet) = packets.next().await {
            let packet: Vec<_> = packet.into_iter().collect::<Result<_>>()?;
            inserter.insert(to, &packet).await?;
            copied += packet.len() as u64;
            statements += 1;
            if statements % STATEMENTS_A_COMMIT == 0 {
                to.execute("COMMIT").await.map_err(told)?;
                to.execute("BEGIN").await.map_err(told)?;
            }
        }
        let arrived = count(place, to, table).await?;
        if arrived != copied {
            return Err(Error::new(
                Kind::Integrity,
                format!("{copied} rows were copied and {arrived} are there"),
            )
            .with_context("table", table)
            .with_context("copy", place));
        }
        to.execute("COMMIT").await.map_err(told)?;
        counts.insert(*table, copied);
    }
    Ok(counts)
}

// Rows were written with the numbers that they had.
const NEXT_NUMBERS: [&str; 3] = [
    "SELECT setval(pg_get_serial_sequence('run', 'key'), (SELECT COALESCE(MAX(key), 0) + 1 FROM run), false)",
    "SELECT setval(pg_get_serial_sequence('step', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM step), false)",
    "SELECT setval(pg_get_serial_sequence('custody', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM custody), false)",
];

/// What a copy needs beside its rows: numbers that go on, jots of its own, statistics.
async fn finish(place: &Place, to: &mut AnyConnection) -> Result<()> {
    let told = |error| explain(place, "written", error);
    if place.database() == Database::Postgres {
        for sql in NEXT_NUMBERS {
            number(to, sql).await.map_err(told)?;
        }
        // Otherwise the first hours are planned as if it were empty.
        to.execute("ANALYZE").await.map_err(told)?;
    }
    // Jots that lie beside the original are not the copy's.
    sqlx::query(NEW_EPOCH)
        .bind(new_epoch())
        .execute(to)
        .await
        .map(drop)
        .map_err(told)
}
