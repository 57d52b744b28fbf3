//! The least that the same work costs on the same file: a yardstick for benchmarks, which this crate offers because
//! nobody else may name a database.
//!
//! One connection of SQLite's own driver with the ledger's settings, one caller, set-based statements that touch what
//! the ledger must touch; no channel, no task, no fencing of notes, no sums, and nothing becomes a value. It does not
//! keep a ledger's promises: use it on a file that is thrown away, and not while the ledger is writing.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Row};
use windlass_core::{Digests, Result, StepId};

use crate::error::explain;
use crate::place::Place;
use crate::rows::set;

/// How the ledger's file is worked on here.
#[derive(Debug)]
pub struct Bare {
    place: Place,
    connection: SqliteConnection,
}

const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
     INSERT INTO placement (flow, source, source_asset, source_revision, source_path, sink, sink_asset, sink_revision, \
     sink_size, sink_content_hash, evidence, size, blake3, content_hash, draft_digest, step, at) SELECT $2, $3, printf('id:%08x%014x', (i * 2654435761) % 4294967296, i), \
     printf('0165%020d', i), printf('/Archive/client-%03d/CMP-%06d/shot-%08d.tif', (i / 500) % 250, i / 500, i), \
     'dam', 'sink-' || i, '1', 100000, NULL, 'E2', 100000, randomblob(32), \
     unhex(printf('%08x%056x', (i * 2654435761) % 4294967296, i)), randomblob(32), i, 0 \
     FROM n";

const FILL_CONTENTS: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
     INSERT INTO content (content_hash, blake3, size) \
     SELECT unhex(printf('%08x%056x', (i * 2654435761) % 4294967296, i)) AS hash, randomblob(32), 100000 \
     FROM n ORDER BY hash";

const FIND_CONTENTS: &str = "SELECT wanted.key, content_hash, blake3, size \
     FROM json_each($1) AS wanted CROSS JOIN content \
     WHERE content.content_hash = unhex(wanted.value)";

const FIND: &str = "SELECT wanted.key, source_revision, source_path, sink, sink_asset, sink_revision, \
     sink_size, sink_content_hash, evidence, size, blake3, content_hash, draft_digest \
     FROM json_each($3) AS wanted CROSS JOIN placement \
     WHERE flow = $1 AND source = $2 AND source_asset = wanted.value";

const FIND_CHANGED: &str = "SELECT wanted.key FROM jsonb_each($3) AS wanted \
     WHERE NOT EXISTS (SELECT 1 FROM placement WHERE flow = $1 AND source = $2 \
     AND source_asset = wanted.value->>0 AND source_revision = wanted.value->>1 \
     AND source_path = wanted.value->>2)";

const SETTLE: &str = "UPDATE step SET state = 'open', lease_until = NULL, message = report.message \
     FROM (SELECT CAST(value->>0 AS BIGINT) AS id, CAST(value->>1 AS BIGINT) AS attempt, \
     value->>2 AS message FROM json_each($1)) AS report \
     WHERE step.id = report.id AND step.attempt = report.attempt AND step.state = 'leased'";

const CUSTODY: &str = "INSERT INTO custody (at, run, step, attempt, event, bytes_moved, message) \
     SELECT 0, 1, CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), 'retry', 0, value->>2 \
     FROM json_each($1)";

const INTEND: &str = "INSERT INTO intent (step, size, blake3, content_hash, at) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), unhex(value->>2), unhex(value->>3), 0 \
     FROM json_each($1) WHERE true ON CONFLICT (step) DO UPDATE SET size = excluded.size, \
     blake3 = excluded.blake3, content_hash = excluded.content_hash, at = excluded.at";

impl Bare {
    /// Opens a file that is a ledger already. Errors: as for [`SqlLedger::open`].
    ///
    /// [`SqlLedger::open`]: crate::SqlLedger::open
    pub async fn open(file: &Path) -> Result<Bare> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-32768")
            .pragma("wal_autocheckpoint", "10000")
            .disable_statement_logging();
        let connection = options.connect().await;
        let place = Place::File(file.to_owned());
        Ok(Bare {
            connection: connection.map_err(|error| explain(&place, "opened", error))?,
            place,
        })
    }

    /// Adds `count` placements, whose assets [`Bare::asset`] names; their order is not that of their names, as at
    /// services that give names at random.
    pub async fn fill(&mut self, flow: &str, source: &str, count: u32) -> Result<()> {
        let query = sqlx::query(FILL).bind(count).bind(flow).bind(source);
        let done = query.execute(&mut self.connection).await;
        self.shorten(done).await
    }

    /// Adds `count` contents, whose hashes [`Bare::content`] gives: no two neighbours are near each other.
    pub async fn fill_contents(&mut self, count: u32) -> Result<()> {
        let query = sqlx::query(FILL_CONTENTS).bind(count);
        let done = query.execute(&mut self.connection).await;
        self.shorten(done).await
    }

    /// Brings what was written into the file itself, so that reading finds it there.
    async fn shorten(
        &mut self,
        written: std::result::Result<sqlx::sqlite::SqliteQueryResult, sqlx::Error>,
    ) -> Result<()> {
        written.map_err(|error| explain(&self.place, "written", error))?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let shortened = self.connection.execute(checkpoint).await;
        shortened.map_err(|error| explain(&self.place, "written", error))?;
        Ok(())
    }

    /// The hash of content number `index`, which placement number `index` has too, in hexadecimal digits.
    pub fn content(index: u32) -> String {
        let index = u64::from(index);
        format!("{:08x}{index:056x}", index * 2_654_435_761 % (1 << 32))
    }

    /// Reads contents with every column. Answers how many bytes they have.
    pub async fn contents(&mut self, hashes: &[String]) -> Result<usize> {
        let rows = sqlx::query(FIND_CONTENTS)
            .bind(set(hashes)?.into_json())
            .fetch_all(&mut self.connection)
            .await;
        self.lengths(rows)
    }

    /// The name of the asset that was placed as number `index`.
    pub fn asset(index: u32) -> String {
        let index = u64::from(index);
        // Knuth's multiplicative hash: neighbours are far apart.
        format!("id:{:08x}{index:014x}", index * 2_654_435_761 % (1 << 32))
    }

    /// The revision and the path that it was placed from.
    pub fn placed_from(index: u32) -> (String, String) {
        let campaign = index / 500;
        let folder = format!("/Archive/client-{:03}/CMP-{campaign:06}", campaign % 250);
        (
            format!("0165{index:020}"),
            format!("{folder}/shot-{index:08}.tif"),
        )
    }

    /// Reads placements with every column. Answers how many bytes their texts and digests have, so that nothing is
    /// left out.
    pub async fn placements(&mut self, flow: &str, source: &str, assets: &[&str]) -> Result<usize> {
        self.find(FIND, flow, source, set(assets)?.into_json())
            .await
    }

    /// Finds assets, each with its revision and path, that are new or changed. Answers with how many digits their
    /// positions have.
    pub async fn changed(
        &mut self,
        flow: &str,
        source: &str,
        assets: &[(&str, &str, &str)],
    ) -> Result<usize> {
        self.find(FIND_CHANGED, flow, source, set(assets)?.into_json())
            .await
    }

    async fn find(
        &mut self,
        statement: &'static str,
        flow: &str,
        source: &str,
        wanted: String,
    ) -> Result<usize> {
        let rows = sqlx::query(statement)
            .bind(flow)
            .bind(source)
            .bind(wanted)
            .fetch_all(&mut self.connection)
            .await;
        self.lengths(rows)
    }

    fn lengths(
        &self,
        rows: std::result::Result<Vec<sqlx::sqlite::SqliteRow>, sqlx::Error>,
    ) -> Result<usize> {
        let rows = rows.map_err(|error| explain(&self.place, "read", error))?;
        // Numbers are read as texts too: what counts is that every column is looked at.
        let length = |row: &sqlx::sqlite::SqliteRow, column| {
            let bytes: Option<&[u8]> = row.try_get_unchecked(column)?;
            Ok(bytes.map_or(0, <[u8]>::len))
        };
        let lengths = rows
            .iter()
            .flat_map(|row| (0..row.len()).map(move |column| length(row, column)));
        let sum: Result<usize, sqlx::Error> = lengths.sum();
        sum.map_err(|error| explain(&self.place, "read", error))
    }

    /// Ends leases, each with its attempt and why, and adds audit rows, in one commit.
    pub async fn settle(&mut self, ended: &[(StepId, u32, &str)]) -> Result<()> {
        self.commit(&[SETTLE, CUSTODY], set(ended)?.into_json())
            .await
    }

    /// Writes intents to commit, in one commit.
    pub async fn intend(&mut self, intents: &[(StepId, Digests)]) -> Result<()> {
        let row = |(step, digests): &(StepId, Digests)| {
            (*step, digests.size, digests.blake3, digests.content_hash)
        };
        let rows: Vec<_> = intents.iter().map(row).collect();
        self.commit(&[INTEND], set(&rows)?.into_json()).await
    }

    async fn commit(&mut self, statements: &[&'static str], rows: String) -> Result<()> {
        let work = async {
            let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
            for statement in statements {
                sqlx::query(*statement)
                    .bind(&rows)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        work.await
            .map_err(|error| explain(&self.place, "written", error))
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::{AssetId, ContentHash, Ledger};

    use super::*;
    use crate::tests::open;

    #[tokio::test]
    async fn what_is_filled_in_is_what_the_ledger_finds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("windlass.db");
        let ledger = open(&file).await.unwrap();
        let mut bare = Bare::open(&file).await.unwrap();
        bare.fill("archive", "agency", 50).await.unwrap();
        bare.fill_contents(50).await.unwrap();
        let ids = [0, 7, 49, 50].map(|n| AssetId::new(Bare::asset(n)));
        let found = ledger.placements("archive", "agency", &ids).await.unwrap();
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, true, true, false]);
        let hashes = [0, 7, 49, 50].map(|n| Bare::content(n).parse::<ContentHash>().unwrap());
        let found = ledger.contents(&hashes).await.unwrap();
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, true, true, false]);
        let held = hashes.map(|hash| (100_000, hash));
        let found = ledger.holding("dam", &held).await.unwrap();
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(found, [true, true, true, false]);
        let texts = [0, 7].map(Bare::content);
        assert!(bare.contents(&texts).await.unwrap() >= 2 * (32 + 32));
        ledger.close().await.unwrap();
    }
}
