//! What the ledger answers without writing. Every statement is one snapshot.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool};
use windlass_core::{
    Action, Asset, AssetId, AssetPath, ContentHash, ContentRecord, Cursor, Hold, Placement, Result,
    RunId, RunRecord, Sharing, StepId, StepRecord, StepState, Tally, Unfinished,
};

use crate::error::{Failure, explain};
use crate::open::{Patience, Target};
use crate::place::Database;
use crate::rows::{Columns, Set, set};
use crate::statement::{Bound, query, values};

/// How many keys one statement looks up: bounds the JSON text that SQLite spreads.
pub(crate) const KEYS_A_STATEMENT: usize = 1_000;

/// What a run's record is read from.
macro_rules! run_columns {
    () => {
        "id, flow, state, started, finished, unchanged_assets, unchanged_bytes, origin"
    };
}
pub(crate) use run_columns;

const RUNS: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM run WHERE ($1 IS NULL OR flow = $1) ORDER BY key DESC LIMIT $2"
);

pub(crate) const NEXT_DUE: &str = "SELECT MIN(due) AS due FROM step WHERE state = 'open' AND run = \
     (SELECT key FROM run WHERE id = $1 AND state NOT IN ('planning', 'abandoned'))";

pub(crate) const STEPS: &str = "SELECT id, action, reason, state, attempt, endpoint, asset, revision, \
     path, size, bytes_moved, message, hint, error, placed, ended, took FROM step \
     WHERE run = (SELECT key FROM run WHERE id = $1) AND id > $2 ORDER BY id LIMIT $3";

const TALLY: &str = "SELECT state, action, steps, bytes, bytes_moved FROM tally \
     WHERE run = (SELECT key FROM run WHERE id = $1) AND steps <> 0";

// CROSS JOIN keeps the order of the tables: driven from the set, one look-up a key. The other way
// round the set would be parsed again for every row of the table.
pub(crate) const CONTENTS: &str = "SELECT wanted.key AS position, content_hash, blake3, size \
     FROM json_each($1) AS wanted CROSS JOIN content \
     WHERE content.content_hash = unhex(wanted.value)";

pub(crate) const PLACEMENTS: &str = "SELECT wanted.key AS position, flow, source, source_asset, \
     source_revision, source_path, sink, sink_asset, sink_revision, sink_size, sink_content_hash, \
     evidence, size, blake3, content_hash, draft_digest, collection, linked \
     FROM json_each($3) AS wanted CROSS JOIN placement \
     WHERE flow = $1 AND source = $2 AND source_asset = wanted.value";

// Rows are what costs, so it answers with those that are new or changed: in most passes few of many.
pub(crate) const CHANGED: &str = "SELECT wanted.key AS position FROM jsonb_each($3) AS wanted \
     WHERE NOT EXISTS (SELECT 1 FROM placement WHERE flow = $1 AND source = $2 \
     AND source_asset = wanted.value->>0 AND source_revision = wanted.value->>1 \
     AND source_path = wanted.value->>2 AND (linked = 0 OR EXISTS (SELECT 1 FROM placement AS owner \
     WHERE owner.sink = placement.sink AND owner.sink_asset = placement.sink_asset AND owner.linked = 0)))";

pub(crate) const SHARING: &str = "SELECT wanted.key AS position, collection, COUNT(*) AS files, \
     MAX(1 - linked) AS owned, MIN(flow || '\u{1}' || source || '\u{1}' || source_asset) AS first \
     FROM json_each($2) AS wanted CROSS JOIN placement \
     WHERE sink = $1 AND sink_asset = wanted.value GROUP BY wanted.key, collection";

// The one that was placed last of those that have the content.
pub(crate) const HOLDING: &str = "SELECT wanted.key AS position, flow, source, source_asset, \
     source_revision, source_path, sink, sink_asset, sink_revision, sink_size, sink_content_hash, \
     evidence, size, blake3, content_hash, draft_digest, collection, linked \
     FROM jsonb_each($2) AS wanted CROSS JOIN placement \
     WHERE placement.rowid = (SELECT rowid FROM placement AS held WHERE held.sink = $1 \
     AND held.size = CAST(wanted.value->>0 AS BIGINT) AND held.content_hash = unhex(wanted.value->>1) \
     ORDER BY held.step DESC LIMIT 1)";

pub(crate) const HOLDS_SIZE: &str = "SELECT wanted.key AS position FROM json_each($2) AS wanted \
     WHERE EXISTS (SELECT 1 FROM placement WHERE sink = $1 AND size = CAST(wanted.value AS BIGINT))";

pub(crate) const SESSIONS: &str = "SELECT wanted.key AS position, session \
     FROM json_each($1) AS wanted CROSS JOIN upload_session WHERE step = CAST(wanted.value AS BIGINT)";

pub(crate) const PARTS: &str = "SELECT wanted.key AS position, start, length, digest \
     FROM json_each($1) AS wanted CROSS JOIN part WHERE step = CAST(wanted.value AS BIGINT)";

pub(crate) const INTENTS: &str = "SELECT wanted.key AS position, size, blake3, content_hash \
     FROM json_each($1) AS wanted CROSS JOIN intent WHERE step = CAST(wanted.value AS BIGINT)";

pub(crate) const HOLDS: &str = "SELECT wanted.key AS position, flow, source, source_asset, \
     source_revision, draft_digest, reason, at FROM json_each($3) AS wanted CROSS JOIN hold \
     WHERE flow = $1 AND source = $2 AND source_asset = wanted.value";

const CURSOR: &str = "SELECT value FROM cursor WHERE name = $1";

/// The reads of one ledger.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) target: Target,
    pub(crate) pool: AnyPool,
}

impl Reader {
    pub(crate) async fn runs(&self, flow: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let rows = self.rows(RUNS, values![flow, i64::from(limit)]).await?;
        rows.iter()
            .map(|row| self.columns(row).run_record())
            .collect()
    }

    pub(crate) async fn next_due(&self, run: RunId) -> Result<Option<Duration>> {
        let row = self.one(NEXT_DUE, values![run.to_string()]).await?;
        let due = self.columns(&row).maybe_number("due")?;
        let now = self.target.now_ms();
        // A due time that has passed is a negative wait: due now.
        let wait = |due: i64| u64::try_from(due.saturating_sub(now)).unwrap_or(0);
        Ok(due.map(|due| Duration::from_millis(wait(due))))
    }

    pub(crate) async fn steps(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<StepRecord>> {
        let rows = self
            .rows(
                STEPS,
                values![
                    run.to_string(),
                    after.map_or(i64::MIN, |step| step.0),
                    i64::from(limit)
                ],
            )
            .await?;
        rows.iter()
            .map(|row| self.columns(row).step_record())
            .collect()
    }

    pub(crate) async fn tally(&self, run: RunId) -> Result<Vec<(StepState, Action, Tally)>> {
        let rows = self.rows(TALLY, values![run.to_string()]).await?;
        let mut tallies = Vec::new();
        for row in rows {
            let columns = self.columns(&row);
            let tally = Tally {
                steps: columns.size("steps")?,
                bytes: columns.size("bytes")?,
                bytes_moved: columns.size("bytes_moved")?,
            };
            tallies.push((columns.step_state()?, columns.action()?, tally));
        }
        tallies.sort_by_key(|(state, action, _)| (*state, *action));
        Ok(tallies)
    }

    pub(crate) async fn contents(
        &self,
        hashes: &[ContentHash],
    ) -> Result<Vec<Option<ContentRecord>>> {
        let mut found = Vec::with_capacity(hashes.len());
        for part in hashes.chunks(KEYS_A_STATEMENT) {
            let records = self.rows(CONTENTS, values![set(part)?]).await?;
            self.in_order(&mut found, part.len(), &records, |row| row.content_record())?;
        }
        Ok(found)
    }

    pub(crate) async fn placements(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Placement>>> {
        self.of_assets(PLACEMENTS, (flow, source), assets, |row| row.placement())
            .await
    }

    pub(crate) async fn sharing(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Sharing>> {
        let mut all = Vec::with_capacity(assets.len());
        for part in assets.chunks(KEYS_A_STATEMENT) {
            let rows = self.rows(SHARING, values![sink, set(part)?]).await?;
            let mut found = vec![Sharing::default(); part.len()];
            for row in &rows {
                let columns = self.columns(row);
                let position = usize::try_from(columns.number("position")?).unwrap_or(usize::MAX);
                let Some(sharing) = found.get_mut(position) else {
                    continue;
                };
                let first = columns.text("first")?;
                if sharing.files == 0 || first < sharing.first {
                    sharing.first = first;
                }
                let files = columns.size("files")?;
                sharing.files += files;
                sharing.is_owned |= columns.number("owned")? != 0;
                let collection = AssetPath::new(&columns.text("collection")?);
                *sharing.collections.entry(collection.key()).or_default() += files;
            }
            all.append(&mut found);
        }
        Ok(all)
    }

    pub(crate) async fn holding(
        &self,
        sink: &str,
        contents: &[(u64, ContentHash)],
    ) -> Result<Vec<Option<Placement>>> {
        let mut found = Vec::with_capacity(contents.len());
        for part in contents.chunks(KEYS_A_STATEMENT) {
            let rows = self.rows(HOLDING, values![sink, set(part)?]).await?;
            self.in_order(&mut found, part.len(), &rows, |row| row.placement())?;
        }
        Ok(found)
    }

    pub(crate) async fn holds_size(&self, sink: &str, sizes: &[u64]) -> Result<Vec<bool>> {
        let mut found = Vec::with_capacity(sizes.len());
        for part in sizes.chunks(KEYS_A_STATEMENT) {
            let rows = self.rows(HOLDS_SIZE, values![sink, set(part)?]).await?;
            let mut held = Vec::with_capacity(part.len());
            self.in_order(&mut held, part.len(), &rows, |_| Ok(()))?;
            found.extend(held.iter().map(Option::is_some));
        }
        Ok(found)
    }

    pub(crate) async fn unchanged(
        &self,
        flow: &str,
        source: &str,
        assets: &[Asset],
    ) -> Result<Vec<bool>> {
        let mut same = Vec::with_capacity(assets.len());
        // Two parts are looked up side by side, each on a connection of its own: a pass over everything waits for
        // little else.
        for pair in assets.chunks(2 * KEYS_A_STATEMENT) {
            let (one, other) = pair.split_at(pair.len().min(KEYS_A_STATEMENT));
            let (one, other) = tokio::try_join!(
                self.unchanged_part(flow, source, one),
                self.unchanged_part(flow, source, other)
            )?;
            same.extend(one);
            same.extend(other);
        }
        Ok(same)
    }

    async fn unchanged_part(&self, flow: &str, source: &str, part: &[Asset]) -> Result<Vec<bool>> {
        if part.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: Vec<_> = part
            .iter()
            .map(|asset| (&asset.id, &asset.revision, &asset.path))
            .collect();
        let rows = self
            .rows(CHANGED, values![flow, source, set(&wanted)?])
            .await?;
        let mut same = vec![true; part.len()];
        for row in &rows {
            let position = self.columns(row).number("position")?;
            let position = usize::try_from(position).unwrap_or(usize::MAX);
            if let Some(changed) = same.get_mut(position) {
                *changed = false;
            }
        }
        Ok(same)
    }

    pub(crate) async fn unfinished(&self, steps: &[StepId]) -> Result<Vec<Unfinished>> {
        let mut patience = Patience::new(&self.target);
        loop {
            match self.unfinished_now(steps).await {
                Err(Failure::Database(error)) if patience.waits_after(&error).await => {}
                Err(Failure::Database(error)) => return self.told(Err(error)),
                Err(
                    Failure::Refused(error)
                    | Failure::Broken(error)
                    | Failure::Unreachable(error)
                    | Failure::Undecided(error),
                ) => return Err(error),
                Ok(found) => return Ok(found),
            }
        }
    }

    async fn unfinished_now(&self, steps: &[StepId]) -> Result<Vec<Unfinished>, Failure> {
        let mut found = vec![Unfinished::default(); steps.len()];
        // One snapshot: parts of one session must not meet the name of another.
        let mut snapshot = self.pool.begin_with(self.target.snapshot()).await?;
        for (part, found) in steps
            .chunks(KEYS_A_STATEMENT)
            .zip(found.chunks_mut(KEYS_A_STATEMENT))
        {
            let wanted = set(part)?;
            self.each(
                &mut snapshot,
                SESSIONS,
                &wanted,
                found,
                |row, unfinished| {
                    unfinished.session = Some(row.text("session")?);
                    Ok(())
                },
            )
            .await?;
            self.each(&mut snapshot, PARTS, &wanted, found, |row, unfinished| {
                unfinished.parts.push(row.part()?);
                Ok(())
            })
            .await?;
            self.each(&mut snapshot, INTENTS, &wanted, found, |row, unfinished| {
                unfinished.intent = Some(row.intent()?);
                Ok(())
            })
            .await?;
        }
        snapshot.commit().await?;
        for unfinished in &mut found {
            // As the table is ordered; sorting what is sorted costs one look.
            unfinished.parts.sort_by_key(|part| part.offset);
            unfinished.drop_overlaps();
        }
        Ok(found)
    }

    /// Hands each row of a statement over a set to what its key belongs to, one by one: a large file has
    /// hundreds of thousands, and rows are larger than what they say.
    async fn each<T>(
        &self,
        connection: &mut AnyConnection,
        statement: &'static str,
        wanted: &Set,
        found: &mut [T],
        take: impl Fn(&Columns<'_>, &mut T) -> Result<()>,
    ) -> Result<(), Failure> {
        let query = query(
            self.target.place.database(),
            statement,
            values![wanted.clone()],
        );
        let mut rows = query.fetch(connection);
        while let Some(row) = rows.try_next().await? {
            let columns = self.columns(&row);
            let position = usize::try_from(columns.number("position")?).unwrap_or(usize::MAX);
            if let Some(slot) = found.get_mut(position) {
                take(&columns, slot)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>> {
        self.of_assets(HOLDS, (flow, source), assets, |row| row.hold())
            .await
    }

    /// What a table that is keyed by flow, source and asset knows of each asset.
    pub(crate) async fn of_assets<T: Clone>(
        &self,
        statement: &'static str,
        (flow, source): (&str, &str),
        assets: &[AssetId],
        decode: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<Vec<Option<T>>> {
        let mut found = Vec::with_capacity(assets.len());
        for part in assets.chunks(KEYS_A_STATEMENT) {
            let rows = self
                .rows(statement, values![flow, source, set(part)?])
                .await?;
            self.in_order(&mut found, part.len(), &rows, &decode)?;
        }
        Ok(found)
    }

    pub(crate) async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        let row = self.row(CURSOR, values![name]).await?;
        match row {
            None => Ok(None),
            Some(row) => Ok(Some(Cursor::new(self.columns(&row).text("value")?))),
        }
    }

    /// Appends one answer for each of `count` keys; rows say which key they belong to.
    fn in_order<T: Clone>(
        &self,
        found: &mut Vec<Option<T>>,
        count: usize,
        rows: &[AnyRow],
        decode: impl Fn(&Columns<'_>) -> Result<T>,
    ) -> Result<()> {
        let start = found.len();
        found.resize(start + count, None);
        for row in rows {
            let columns = self.columns(row);
            let position = usize::try_from(columns.number("position")?).unwrap_or(usize::MAX);
            if let Some(slot) = found[start..].get_mut(position) {
                *slot = Some(decode(&columns)?);
            }
        }
        Ok(())
    }

    /// The rows that a statement answers; a server that goes away is waited for.
    pub(crate) async fn rows(&self, sql: &'static str, values: Vec<Bound>) -> Result<Vec<AnyRow>> {
        let database = self.target.place.database();
        if database == Database::Sqlite {
            return self.told(query(database, sql, values).fetch_all(&self.pool).await);
        }
        let mut patience = Patience::new(&self.target);
        loop {
            let query = query(database, sql, values.clone());
            match self.target.in_long_time(query.fetch_all(&self.pool)).await {
                Err(error) if patience.waits_after(&error).await => {}
                rows => return self.told(rows),
            }
        }
    }

    /// The one row that a statement answers, if any.
    pub(crate) async fn row(
        &self,
        sql: &'static str,
        values: Vec<Bound>,
    ) -> Result<Option<AnyRow>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The one row that a statement always answers.
    pub(crate) async fn one(&self, sql: &'static str, values: Vec<Bound>) -> Result<AnyRow> {
        let row = self.row(sql, values).await?;
        self.told(row.ok_or(sqlx::Error::RowNotFound))
    }

    pub(crate) fn columns<'a>(&'a self, row: &'a AnyRow) -> Columns<'a> {
        Columns {
            ledger: &self.target.place,
            row,
        }
    }

    fn told<T>(&self, result: Result<T, sqlx::Error>) -> Result<T> {
        result.map_err(|error| explain(&self.target.place, "read", error))
    }
}
