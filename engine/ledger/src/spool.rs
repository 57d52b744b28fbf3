//! Scratch space beside the ledger: a file that has no name any more once it is open, so that nothing is left
//! of it, however the process ends.

use std::path::Path;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};
use windlass_core::{
    Asset, AssetId, ContentHash, Error, Kind, Result, Spool, SpoolEntry, SpoolOrder,
};

use crate::error::explain;
use crate::place::Place;
use crate::rows::set;

const MAKE: &str = "CREATE TABLE asset (place TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, \
     id TEXT NOT NULL UNIQUE, asset TEXT NOT NULL) STRICT, WITHOUT ROWID";

const MAKE_SEEN: &str = "CREATE TABLE seen (content BLOB PRIMARY KEY) STRICT, WITHOUT ROWID";

// What is inserted was not there: in the order of the set, so that the first of several alike is the new one.
const SEE: &str = "INSERT INTO seen (content) SELECT unhex(value) FROM json_each($1) WHERE true \
     ON CONFLICT (content) DO NOTHING RETURNING hex(content)";

// REPLACE takes away whatever has the same key, id or place, which is what a listing means.
const PUT: &str = "INSERT OR REPLACE INTO asset (place, key, id, asset) \
     SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each($1) ORDER BY key";

const DROP: &str = "DELETE FROM asset WHERE key IN (SELECT value->>0 FROM jsonb_each($1)) \
     OR id IN (SELECT value->>1 FROM jsonb_each($1))";

const CLEAR: &str = "DELETE FROM asset WHERE key = $1";

// The character after the slash ends what is below a folder.
const CLEAR_TREE: &str =
    "DELETE FROM asset WHERE key = $1 OR (key >= $1 || '/' AND key < $1 || '0')";

const LEN: &str = "SELECT COUNT(*) FROM asset";

const GET: &str = "SELECT wanted.key AS position, asset FROM json_each($1) AS wanted \
     CROSS JOIN asset WHERE asset.key = wanted.value";

const PAGE: &str = "SELECT asset FROM asset WHERE place > $1 ORDER BY place LIMIT $2";

/// How many entries one statement takes.
const ENTRIES_A_STATEMENT: usize = 1_000;

/// A [`Spool`] in a nameless SQLite file.
#[derive(Debug)]
pub(crate) struct FileSpool {
    connection: SqliteConnection,
    place: Place,
}

impl FileSpool {
    /// Makes one in the folder of `ledger`.
    pub(crate) async fn beside(ledger: &Path) -> Result<FileSpool> {
        let mut name = ledger.as_os_str().to_owned();
        name.push(format!(".spool-{}", uuid::Uuid::now_v7().simple()));
        let file = std::path::PathBuf::from(name);
        let connected = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            // Nothing here outlives the process, so nothing is done for durability.
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .locking_mode(SqliteLockingMode::Exclusive)
            .pragma("cache_size", "-16384")
            .disable_statement_logging()
            .connect()
            .await;
        let place = Place::File(file.clone());
        let mut connection = connected.map_err(|error| explain(&place, "made", error))?;
        for make in [MAKE, MAKE_SEEN] {
            let made = sqlx::query(make).execute(&mut connection).await;
            made.map_err(|error| explain(&place, "written", error))?;
        }
        std::fs::remove_file(&file).map_err(|error| {
            Error::new(Kind::Config, "a scratch file cannot be unlinked")
                .with_context("file", file.display())
                .with_source(error)
        })?;
        Ok(FileSpool { connection, place })
    }

    fn told<T>(&self, result: std::result::Result<T, sqlx::Error>) -> Result<T> {
        result.map_err(|error| explain(&self.place, "written", error))
    }

    async fn with_set<T: Serialize>(&mut self, statement: &'static str, rows: &[T]) -> Result<()> {
        for rows in rows.chunks(ENTRIES_A_STATEMENT) {
            let done = sqlx::query(statement)
                .bind(set(rows)?.into_json())
                .execute(&mut self.connection)
                .await;
            self.told(done)?;
        }
        Ok(())
    }

    async fn run(&mut self, run: Run) -> Result<()> {
        match run {
            Run::Put(rows) => self.with_set(PUT, &rows).await,
            Run::Drop(rows) => self.with_set(DROP, &rows).await,
            Run::Clear(statement, key) => {
                let done = sqlx::query(statement)
                    .bind(key)
                    .execute(&mut self.connection)
                    .await;
                self.told(done).map(drop)
            }
        }
    }
}

/// Entries that one statement applies.
enum Run {
    Put(Vec<(String, String, AssetId, String)>),
    Drop(Vec<(String, AssetId)>),
    Clear(&'static str, String),
}

/// Entries as few runs, in an order that gives what the given one gives.
fn runs(entries: Vec<SpoolEntry>) -> Result<Vec<Run>> {
    // Where no two speak of the same thing, all of a kind go together.
    let mut keys = std::collections::HashSet::new();
    let mut ids = std::collections::HashSet::new();
    let apart = entries.iter().all(|entry| match entry {
        SpoolEntry::Put { key, asset } => keys.insert(key) & ids.insert(&asset.id),
        SpoolEntry::Drop { key, id } => keys.insert(key) & ids.insert(id),
        SpoolEntry::Clear(_) | SpoolEntry::ClearTree(_) => false,
    });
    drop((keys, ids));
    let mut runs: Vec<Run> = Vec::new();
    if apart {
        runs.push(Run::Drop(Vec::new()));
        runs.push(Run::Put(Vec::new()));
    }
    for entry in entries {
        match entry {
            SpoolEntry::Put { key, asset } => {
                let text = serde_json::to_string(&asset).map_err(|error| {
                    Error::new(Kind::Unexpected, "an asset cannot be written as JSON")
                        .with_source(error)
                })?;
                let place = SpoolOrder::of(&asset).as_str().to_owned();
                let row = (place, key, asset.id, text);
                match runs.last_mut() {
                    Some(Run::Put(rows)) => rows.push(row),
                    _ => runs.push(Run::Put(vec![row])),
                }
            }
            SpoolEntry::Drop { key, id } => {
                let at = if apart {
                    runs.first_mut()
                } else {
                    runs.last_mut()
                };
                match at {
                    Some(Run::Drop(rows)) => rows.push((key, id)),
                    _ => runs.push(Run::Drop(vec![(key, id)])),
                }
            }
            SpoolEntry::Clear(key) => runs.push(Run::Clear(CLEAR, key)),
            SpoolEntry::ClearTree(key) => runs.push(Run::Clear(CLEAR_TREE, key)),
        }
    }
    Ok(runs)
}

#[async_trait]
impl Spool for FileSpool {
    async fn apply(&mut self, entries: Vec<SpoolEntry>) -> Result<()> {
        for run in runs(entries)? {
            self.run(run).await?;
        }
        Ok(())
    }

    async fn kept(&mut self) -> Result<u64> {
        let row = sqlx::query(LEN).fetch_one(&mut self.connection).await;
        let count = self.told(row.and_then(|row| row.try_get::<i64, _>(0)))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Asset>>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(ENTRIES_A_STATEMENT) {
            let rows = sqlx::query(GET)
                .bind(set(keys)?.into_json())
                .fetch_all(&mut self.connection)
                .await;
            let mut assets = vec![None; keys.len()];
            for row in &self.told(rows)? {
                let position: i64 = self.told(row.try_get(0))?;
                let slot = usize::try_from(position).ok();
                if let Some(slot) = slot.and_then(|position| assets.get_mut(position)) {
                    *slot = Some(asset(self.told(row.try_get(1))?)?);
                }
            }
            found.append(&mut assets);
        }
        Ok(found)
    }

    async fn page(&mut self, after: Option<&SpoolOrder>, limit: usize) -> Result<Vec<Asset>> {
        let rows = sqlx::query(PAGE)
            .bind(after.map_or("", SpoolOrder::as_str).to_owned())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut self.connection)
            .await;
        self.told(rows)?
            .iter()
            .map(|row| asset(self.told(row.try_get(0))?))
            .collect()
    }

    async fn seen(&mut self, contents: &[ContentHash]) -> Result<Vec<bool>> {
        let mut seen = Vec::with_capacity(contents.len());
        for contents in contents.chunks(ENTRIES_A_STATEMENT) {
            let texts: Vec<String> = contents.iter().map(|content| content.to_hex()).collect();
            let rows = sqlx::query(SEE)
                .bind(set(&texts)?.into_json())
                .fetch_all(&mut self.connection)
                .await;
            let mut fresh = std::collections::HashSet::new();
            for row in &self.told(rows)? {
                let content: String = self.told(row.try_get(0))?;
                fresh.insert(content.to_lowercase());
            }
            // The first that names a fresh content takes it out.
            seen.extend(texts.iter().map(|text| !fresh.remove(text)));
        }
        Ok(seen)
    }
}

fn asset(text: &str) -> Result<Asset> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(Kind::Corrupt, "scratch space gave back something else").with_source(error)
    })
}
