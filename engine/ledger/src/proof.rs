//! What the ledger answers about the past: facts of a run, custody, what was placed where, what was taken back.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use windlass_core::{
    AssetId, AssetPath, CustodyEvent, CustodyRecord, Error, FactsWanted, Kind, Placement,
    ReasonCount, Result, Revision, RunFacts, RunId, RunRecord, Slice, StepId, StepRecord,
    Withdrawal,
};

use crate::error::nonsense;
use crate::read::{KEYS_A_STATEMENT, Reader, run_columns};
use crate::remember::placement_part;
use crate::rows::{Columns, evidence_of_word, set};
use crate::statement::values;

const RUN: &str = concat!("SELECT key, ", run_columns!(), " FROM run WHERE id = $1");

const ID: &str = "SELECT id FROM identity";

pub(crate) const STEPS_AT: &str = "SELECT id, action, reason, state, attempt, endpoint, asset, revision, \
     path, size, bytes_moved, message, hint, error, placed, ended, took, payload FROM step \
     WHERE run = (SELECT key FROM run WHERE id = $1) AND path = $2 ORDER BY id";

pub(crate) const UNENDED: &str = "SELECT id, action, reason, state, attempt, endpoint, asset, revision, \
     path, size, bytes_moved, message, hint, error, placed, ended, took, payload FROM step \
     WHERE run = (SELECT key FROM run WHERE id = $1) AND id > $2 AND state IN ('open', 'leased') \
     ORDER BY id LIMIT $3";

pub(crate) const PROVED: &str = "SELECT evidence, COUNT(*) AS steps FROM custody \
     WHERE run = $1 AND event = 'done' AND evidence IS NOT NULL GROUP BY evidence";

pub(crate) const LAST_DONE: &str =
    "SELECT MAX(at) AS at FROM custody WHERE run = $1 AND event = 'done'";

// What came before the run began by a clock that was set back counts as its first moment.
pub(crate) const SLICES: &str = "SELECT CASE WHEN at > $2 THEN (at - $2) / $3 ELSE 0 END AS slice, \
     COUNT(*) AS steps, CAST(SUM(bytes_moved) AS BIGINT) AS bytes_moved FROM custody \
     WHERE run = $1 AND event = 'done' GROUP BY 1 ORDER BY 1";

pub(crate) const SLOWEST: &str = "SELECT id, action, reason, state, attempt, endpoint, asset, revision, path, \
     size, bytes_moved, message, hint, error, placed, ended, took FROM step \
     WHERE run = $1 AND state = 'done' AND took IS NOT NULL ORDER BY took DESC, id LIMIT $2";

pub(crate) const REASONS: &str = "SELECT state, COALESCE(message, reason) AS reason, error, MIN(hint) AS hint, \
     COUNT(*) AS steps, CAST(SUM(size) AS BIGINT) AS bytes, MIN(path) AS path FROM step \
     WHERE run = $1 AND state IN ('skipped', 'held', 'failed') \
     GROUP BY state, COALESCE(message, reason), error \
     ORDER BY steps DESC, state, COALESCE(message, reason)";

/// A statement over attempts with what their steps and runs say, narrowed by its end.
macro_rules! custody {
    ($narrowed:literal) => {
        concat!(
            "SELECT custody.id, custody.at, run.id AS run, custody.step, custody.attempt, custody.worker, \
             custody.event, step.action, step.reason, step.endpoint, step.asset, step.revision, step.path, \
             step.size, custody.bytes_moved, custody.took, custody.blake3, custody.content_hash, \
             custody.evidence, custody.sink, custody.sink_asset, custody.sink_revision, \
             custody.draft_digest, custody.message FROM custody \
             JOIN step ON step.id = custody.step JOIN run ON run.key = custody.run ",
            $narrowed
        )
    };
}

pub(crate) const CUSTODY_OF_RUN: &str = custody!(
    "WHERE custody.id > $1 AND custody.run = (SELECT key FROM run WHERE id = $2) \
     ORDER BY custody.id LIMIT $3"
);

pub(crate) const CUSTODY: &str = custody!("WHERE custody.id > $1 ORDER BY custody.id LIMIT $2");

pub(crate) const ATTEMPTS: &str = custody!("WHERE custody.step = $1 ORDER BY custody.id");

pub(crate) const PLACEMENTS_AFTER: &str = "SELECT flow, source, source_asset, source_revision, source_path, \
     sink, sink_asset, sink_revision, sink_size, sink_content_hash, evidence, size, blake3, \
     content_hash, draft_digest, collection, linked FROM placement \
     WHERE flow = $1 AND source = $2 AND source_asset > $3 ORDER BY source_asset LIMIT $4";

pub(crate) const PLACED_AS: &str = "SELECT wanted.key AS position, flow, source, source_asset, \
     source_revision, source_path, sink, sink_asset, sink_revision, sink_size, sink_content_hash, \
     evidence, size, blake3, content_hash, draft_digest, collection, linked \
     FROM json_each($2) AS wanted CROSS JOIN placement \
     WHERE sink = $1 AND sink_asset = wanted.value ORDER BY wanted.key, flow, source, source_asset";

pub(crate) const WITHDRAWALS: &str = concat!(
    "SELECT wanted.key AS position, ",
    placement_part!(columns),
    ", reason, kept, links, recipients, note, at FROM json_each($3) AS wanted CROSS JOIN withdrawal \
     WHERE flow = $1 AND source = $2 AND source_asset = wanted.value"
);

pub(crate) const WITHDRAWALS_AFTER: &str = concat!(
    "SELECT ",
    placement_part!(columns),
    ", reason, kept, links, recipients, note, at FROM withdrawal \
     WHERE flow = $1 AND source = $2 AND source_asset > $3 ORDER BY source_asset LIMIT $4"
);

impl Reader {
    pub(crate) async fn id(&self) -> Result<String> {
        let row = self.one(ID, values![]).await?;
        self.columns(&row).text("id")
    }

    pub(crate) async fn run(&self, run: RunId) -> Result<Option<RunRecord>> {
        Ok(self.find_run(run).await?.map(|(_, record)| record))
    }

    /// A run with the number that other tables know it by.
    async fn find_run(&self, run: RunId) -> Result<Option<(i64, RunRecord)>> {
        let row = self.row(RUN, values![run.to_string()]).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let columns = self.columns(&row);
        Ok(Some((columns.number("key")?, columns.run_record()?)))
    }

    pub(crate) async fn steps_at(
        &self,
        run: RunId,
        path: &AssetPath,
    ) -> Result<Vec<(StepRecord, String)>> {
        let rows = self
            .rows(STEPS_AT, values![run.to_string(), path.as_str()])
            .await?;
        rows.iter().map(|row| self.with_payload(row)).collect()
    }

    pub(crate) async fn unended(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<(StepRecord, String)>> {
        let after = after.map_or(i64::MIN, |step| step.0);
        let rows = self
            .rows(UNENDED, values![run.to_string(), after, i64::from(limit)])
            .await?;
        rows.iter().map(|row| self.with_payload(row)).collect()
    }

    fn with_payload(&self, row: &AnyRow) -> Result<(StepRecord, String)> {
        let columns = self.columns(row);
        Ok((columns.step_record()?, columns.text("payload")?))
    }

    pub(crate) async fn facts(&self, run: RunId, wanted: FactsWanted) -> Result<RunFacts> {
        let Some((key, record)) = self.find_run(run).await? else {
            return Err(Error::new(
                Kind::NotFound,
                format!("the ledger has no run {run}"),
            ));
        };
        let mut facts = RunFacts::default();
        let rows = self.rows(PROVED, values![key]).await?;
        for row in &rows {
            let columns = self.columns(row);
            let evidence = columns.word("evidence", evidence_of_word)?;
            facts.proved.insert(evidence, columns.size("steps")?);
        }
        self.add_slices(&mut facts, key, &record, wanted).await?;
        let rows = self
            .rows(SLOWEST, values![key, i64::from(wanted.slowest)])
            .await?;
        for row in &rows {
            facts.slowest.push(self.columns(row).step_record()?);
        }
        let rows = self.rows(REASONS, values![key]).await?;
        let most = wanted.reasons as usize;
        facts.more_reasons = rows.len().saturating_sub(most) as u64;
        for row in rows.iter().take(most) {
            facts.reasons.push(reason_count(&self.columns(row))?);
        }
        Ok(facts)
    }

    async fn add_slices(
        &self,
        facts: &mut RunFacts,
        key: i64,
        record: &RunRecord,
        wanted: FactsWanted,
    ) -> Result<()> {
        let row = self.one(LAST_DONE, values![key]).await?;
        let last = self.columns(&row).maybe_number("at")?;
        let started = record.started.as_millisecond();
        let lasted = last.map_or(0, |last| last.saturating_sub(started).max(0));
        let lasted = u64::try_from(lasted).unwrap_or(0);
        facts.slice_ms = (lasted + 1)
            .div_ceil(u64::from(wanted.slices.max(1)))
            .max(1);
        let rows = self
            .rows(
                SLICES,
                values![
                    key,
                    started,
                    i64::try_from(facts.slice_ms).unwrap_or(i64::MAX)
                ],
            )
            .await?;
        for row in &rows {
            let columns = self.columns(row);
            facts.slices.push(Slice {
                from_ms: columns.size("slice")? * facts.slice_ms,
                steps: columns.size("steps")?,
                bytes_moved: columns.size("bytes_moved")?,
            });
        }
        Ok(())
    }

    pub(crate) async fn custody(
        &self,
        run: Option<RunId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CustodyRecord>> {
        let after = after.unwrap_or(i64::MIN);
        let limit = i64::from(limit);
        let rows = match run {
            Some(run) => self.rows(CUSTODY_OF_RUN, values![after, run.to_string(), limit]),
            None => self.rows(CUSTODY, values![after, limit]),
        };
        let rows = rows.await?;
        rows.iter()
            .map(|row| custody_record(&self.columns(row)))
            .collect()
    }

    pub(crate) async fn attempts(&self, step: StepId) -> Result<Vec<CustodyRecord>> {
        let rows = self.rows(ATTEMPTS, values![step.0]).await?;
        rows.iter()
            .map(|row| custody_record(&self.columns(row)))
            .collect()
    }

    pub(crate) async fn placements_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Placement>> {
        let rows = self.after(PLACEMENTS_AFTER, (flow, source), after, limit);
        let rows = rows.await?;
        rows.iter()
            .map(|row| self.columns(row).placement())
            .collect()
    }

    pub(crate) async fn withdrawals(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Withdrawal>>> {
        self.of_assets(WITHDRAWALS, (flow, source), assets, |row| row.withdrawal())
            .await
    }

    pub(crate) async fn withdrawals_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Withdrawal>> {
        let rows = self.after(WITHDRAWALS_AFTER, (flow, source), after, limit);
        let rows = rows.await?;
        rows.iter()
            .map(|row| self.columns(row).withdrawal())
            .collect()
    }

    /// A page of a table that is keyed by flow, source and asset.
    async fn after(
        &self,
        statement: &'static str,
        (flow, source): (&str, &str),
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<AnyRow>> {
        // No id is empty.
        let after = after.map_or("", AssetId::as_str);
        self.rows(statement, values![flow, source, after, i64::from(limit)])
            .await
    }

    pub(crate) async fn placed_as(
        &self,
        sink: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Vec<Placement>>> {
        let mut found = vec![Vec::new(); assets.len()];
        for (part, found) in assets
            .chunks(KEYS_A_STATEMENT)
            .zip(found.chunks_mut(KEYS_A_STATEMENT))
        {
            let rows = self.rows(PLACED_AS, values![sink, set(part)?]).await?;
            let mut by_position: BTreeMap<usize, Vec<Placement>> = BTreeMap::new();
            for row in &rows {
                let columns = self.columns(row);
                let position = usize::try_from(columns.number("position")?).unwrap_or(usize::MAX);
                by_position
                    .entry(position)
                    .or_default()
                    .push(columns.placement()?);
            }
            for (position, placements) in by_position {
                if let Some(slot) = found.get_mut(position) {
                    *slot = placements;
                }
            }
        }
        Ok(found)
    }
}

fn reason_count(columns: &Columns<'_>) -> Result<ReasonCount> {
    Ok(ReasonCount {
        state: columns.step_state()?,
        reason: columns.text("reason")?,
        hint: columns.maybe_text("hint")?,
        error: columns.maybe_text("error")?,
        steps: columns.size("steps")?,
        bytes: columns.size("bytes")?,
        example: AssetPath::new(&columns.text("path")?),
    })
}

fn custody_record(columns: &Columns<'_>) -> Result<CustodyRecord> {
    let evidence = match columns.maybe_text("evidence")? {
        None => None,
        Some(word) => Some(
            evidence_of_word(&word).ok_or_else(|| nonsense(columns.ledger, "evidence", &word))?,
        ),
    };
    Ok(CustodyRecord {
        id: columns.number("id")?,
        at: columns.instant("at", columns.number("at")?)?,
        run: columns.word("run", |word| word.parse().ok().map(RunId))?,
        step: StepId(columns.number("step")?),
        attempt: columns.attempt()?,
        worker: columns.maybe_text("worker")?,
        event: columns.word("event", CustodyEvent::from_word)?,
        action: columns.action()?,
        reason: columns.text("reason")?,
        endpoint: columns.text("endpoint")?,
        asset: AssetId::new(columns.text("asset")?),
        revision: Revision::new(columns.text("revision")?),
        path: AssetPath::new(&columns.text("path")?),
        size: columns.size("size")?,
        bytes_moved: columns.size("bytes_moved")?,
        took_ms: columns.maybe_size("took")?,
        blake3: columns.maybe_blake3("blake3")?,
        content_hash: columns.content_hash("content_hash")?,
        evidence,
        sink: columns.maybe_text("sink")?,
        sink_asset: columns.maybe_text("sink_asset")?.map(AssetId::new),
        sink_revision: columns.maybe_text("sink_revision")?.map(Revision::new),
        draft_digest: columns.maybe_blake3("draft_digest")?,
        message: columns.maybe_text("message")?,
    })
}
