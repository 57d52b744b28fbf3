//! The whole ledger as text: every row of every table at one moment, for other tools, other stores, and people who keep
//! records for longer than a database format.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use serde::Serialize;
use windlass_core::Result;

use crate::error::explain;
use crate::ledger::SqlLedger;
use crate::tables::{TABLES, rows_of};

/// A row of a ledger. Digests are hexadecimal digits, times epoch milliseconds, states the words that reports use.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportedRow {
    /// The table.
    pub table: &'static str,
    /// Its columns by name, those that are empty included.
    pub row: serde_json::Value,
}

impl SqlLedger {
    /// Hands every row to `each`, table by table, all as they were at one moment; work goes on meanwhile. Answers how
    /// many rows each table had.
    ///
    /// Errors: those of reading, and whatever `each` raises, which ends it.
    pub async fn export(
        &self,
        each: &mut (dyn FnMut(ExportedRow) -> Result<()> + Send),
    ) -> Result<BTreeMap<&'static str, u64>> {
        self.fold_jots().await?;
        let told = |error| explain(self.place(), "read", error);
        // One snapshot over all tables.
        let snapshot = self.reader.pool.begin_with(self.reader.target.snapshot());
        let mut snapshot = snapshot.await.map_err(told)?;
        let mut counts = BTreeMap::new();
        for table in TABLES {
            let mut rows = rows_of(self.place(), &mut snapshot, table).await?;
            let mut count = 0;
            while let Some(row) = rows.try_next().await? {
                each(ExportedRow { table, row })?;
                count += 1;
            }
            counts.insert(table, count);
        }
        snapshot.commit().await.map_err(told)?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sqlx::Row;
    use windlass_core::{Ledger, RunState, WorkerId};

    use super::*;
    use crate::conformance::{conflict, done, placement, report, step, withdrawal, withdrawn};
    use crate::tests::open;

    #[tokio::test]
    async fn every_row_of_every_table_is_exported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("windlass.db");
        let ledger = open(&file).await.unwrap();
        let run = windlass_core::RunId::fresh();
        ledger.begin_run(run, "ingest").await.unwrap();
        let steps: Vec<_> = (1..=4).map(step).collect();
        ledger.add_steps(run, &steps).await.unwrap();
        ledger.set_run_state(run, RunState::Running).await.unwrap();
        let ttl = std::time::Duration::from_secs(60);
        let taken = ledger.lease(run, &WorkerId::fresh(), 3, ttl).await.unwrap();
        let outcomes = [
            done(placement(1)),
            done(placement(2)),
            withdrawn(withdrawal(3)),
        ];
        let reports: Vec<_> = taken
            .iter()
            .zip(outcomes)
            .map(|(step, outcome)| report(step, outcome))
            .collect();
        ledger.finish(&reports).await.unwrap();
        ledger.note_conflicts(&[conflict(4, "a")]).await.unwrap();
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            Ok(())
        };
        let counts = ledger.export(&mut keep).await.unwrap();
        assert_eq!((counts["run"], counts["step"]), (1, 4));
        assert_eq!((counts["placement"], counts["custody"]), (2, 3));
        assert_eq!((counts["withdrawal"], counts["conflict"]), (1, 1));
        assert_eq!(rows.len() as u64, counts.values().sum::<u64>());
        let placed = rows.iter().find(|row| row.table == "placement").unwrap();
        assert_eq!(placed.row["source_path"], "/in/1.tif");
        let blake3 = placement(1).digests.blake3.to_hex();
        assert_eq!(placed.row["blake3"], blake3);
        assert_eq!(placed.row["sink_content_hash"], serde_json::Value::Null);
        assert_eq!(placed.row["linked"], 0);
        let back = rows.iter().find(|row| row.table == "withdrawal").unwrap();
        assert_eq!(back.row["kept"], "/kept/3.tif");
        assert_eq!(back.row["links"], "[\"https://dam.example/3\"]");
        assert_eq!(back.row["sink_asset"], "3");

        // A table that a later version adds must not be forgotten here.
        let mut connection = ledger.reader.pool.acquire().await.unwrap();
        let there = sqlx::query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
             AND name NOT LIKE '_sqlx_%' AND name <> 'jots'",
        )
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        let there: BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
        assert_eq!(there, TABLES.map(str::to_owned).into());
        drop(connection);
        ledger.close().await.unwrap();
    }
}
