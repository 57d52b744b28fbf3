//! How leases end: with an outcome that the current attempt reports, or with a worker that vanished.
//!
//! What an outcome changes (the step, the content, the placement, the sums, the audit row) is written
//! in one transaction and only for attempts that hold the lease.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use sqlx::any::AnyRow;
use windlass_core::{
    Action, AssetId, AssetPath, Blake3, ContentHash, Error, NewHold, Outcome, Placement, Revision,
    StepId, StepReport, StepState,
};

use crate::error::Failure;
use crate::notes::forget_all;
use crate::rows::{evidence_word, json, set, signed};
use crate::statement::{Bound, values};
use crate::write::later;
use crate::writer::Transaction;

// The step is found by its id; `state` only confirms. Naming `owner` here would let SQLite drive from
// an index of leased steps and parse the set again for each of them.
pub(crate) const SETTLE: &str = "WITH report AS (SELECT CAST(value->>'id' AS BIGINT) AS id, \
     CAST(value->>'attempt' AS BIGINT) AS attempt, value->>'state' AS state, \
     CAST(value->>'due' AS BIGINT) AS due, CAST(value->>'bytes_moved' AS BIGINT) AS bytes_moved, \
     value->>'message' AS message, value->>'hint' AS hint, value->>'error' AS error, \
     value->>'placed' AS placed, CAST(value->>'took' AS BIGINT) AS took FROM jsonb_each($1)) \
     UPDATE step SET state = report.state, due = COALESCE(report.due, step.due), lease_until = NULL, \
     bytes_moved = report.bytes_moved, message = report.message, hint = report.hint, \
     error = report.error, placed = report.placed, took = report.took, \
     ended = CASE WHEN report.state = 'open' THEN NULL ELSE $2 END \
     FROM report WHERE step.id = report.id AND step.attempt = report.attempt \
     AND step.state = 'leased' \
     RETURNING step.id, step.run, step.attempt, step.action, step.size, step.owner, step.state";

/// Ends the leases of one run ($1) that expired; see [`lose`] for the rest of its parameters.
pub(crate) const REAP: &str = "UPDATE step SET lost = lost + 1, due = $2, lease_until = NULL, \
     state = CASE WHEN lost + 1 >= $3 THEN 'failed' ELSE 'open' END, \
     ended = CASE WHEN lost + 1 >= $3 THEN $2 END, \
     message = CASE WHEN lost + 1 >= $3 THEN $4 ELSE message END, \
     hint = CASE WHEN lost + 1 >= $3 THEN $5 ELSE hint END, \
     error = CASE WHEN lost + 1 >= $3 THEN $6 ELSE error END \
     WHERE state = 'leased' AND run = $1 AND lease_until <= $2 \
     RETURNING id, run, attempt, action, size, owner, state";

/// The same for every lease there is.
pub(crate) const RECLAIM: &str = "UPDATE step SET lost = lost + 1, due = $1, lease_until = NULL, \
     state = CASE WHEN lost + 1 >= $2 THEN 'failed' ELSE 'open' END, \
     ended = CASE WHEN lost + 1 >= $2 THEN $1 END, \
     message = CASE WHEN lost + 1 >= $2 THEN $3 ELSE message END, \
     hint = CASE WHEN lost + 1 >= $2 THEN $4 ELSE hint END, \
     error = CASE WHEN lost + 1 >= $2 THEN $5 ELSE error END \
     WHERE state = 'leased' RETURNING id, run, attempt, action, size, owner, state";

const CUSTODY: &str = "INSERT INTO custody (at, run, step, attempt, worker, event, bytes_moved, took, \
     blake3, content_hash, evidence, sink, sink_asset, sink_revision, draft_digest, message) \
     SELECT $2, CAST(value->>'run' AS BIGINT), CAST(value->>'step' AS BIGINT), \
     CAST(value->>'attempt' AS BIGINT), value->>'worker', value->>'event', \
     CAST(value->>'bytes_moved' AS BIGINT), CAST(value->>'took' AS BIGINT), unhex(value->>'blake3'), \
     unhex(value->>'content_hash'), value->>'evidence', value->>'sink', value->>'sink_asset', \
     value->>'sink_revision', unhex(value->>'draft_digest'), value->>'message' \
     FROM jsonb_each($1) ORDER BY key";

pub(crate) const ADD_CONTENTS: &str = "INSERT INTO content (content_hash, blake3, size) \
     SELECT unhex(value->>0), unhex(value->>1), CAST(value->>2 AS BIGINT) \
     FROM jsonb_each($1) WHERE true ON CONFLICT (content_hash) DO NOTHING";

pub(crate) const PLACE: &str = "INSERT INTO placement (flow, source, source_asset, source_revision, \
     source_path, sink, sink_asset, sink_revision, sink_size, sink_content_hash, evidence, size, \
     blake3, content_hash, draft_digest, collection, linked, step, at) \
     SELECT value->>'flow', value->>'source', value->>'source_asset', value->>'source_revision', \
     value->>'source_path', value->>'sink', value->>'sink_asset', value->>'sink_revision', \
     CAST(value->>'sink_size' AS BIGINT), unhex(value->>'sink_content_hash'), value->>'evidence', \
     CAST(value->>'size' AS BIGINT), unhex(value->>'blake3'), unhex(value->>'content_hash'), \
     unhex(value->>'draft_digest'), value->>'collection', CAST(value->>'linked' AS BIGINT), \
     CAST(value->>'step' AS BIGINT), $2 \
     FROM jsonb_each($1) WHERE true ON CONFLICT (flow, source, source_asset) DO UPDATE SET \
     source_revision = excluded.source_revision, source_path = excluded.source_path, \
     sink = excluded.sink, sink_asset = excluded.sink_asset, \
     sink_revision = excluded.sink_revision, sink_size = excluded.sink_size, \
     sink_content_hash = excluded.sink_content_hash, evidence = excluded.evidence, \
     size = excluded.size, blake3 = excluded.blake3, content_hash = excluded.content_hash, \
     draft_digest = excluded.draft_digest, collection = excluded.collection, \
     linked = excluded.linked, step = excluded.step, at = excluded.at";

pub(crate) const HOLD: &str = "INSERT INTO hold (flow, source, source_asset, source_revision, \
     draft_digest, reason, step, at) SELECT value->>'flow', value->>'source', \
     value->>'source_asset', value->>'source_revision', unhex(value->>'draft_digest'), \
     value->>'reason', CAST(value->>'step' AS BIGINT), $2 \
     FROM jsonb_each($1) WHERE true ON CONFLICT (flow, source, source_asset) DO UPDATE SET \
     source_revision = excluded.source_revision, draft_digest = excluded.draft_digest, \
     reason = excluded.reason, step = excluded.step, at = excluded.at";

/// Ends the holds of assets that are placed now.
pub(crate) const UNHOLD: &str = "DELETE FROM hold WHERE (flow, source, source_asset) IN \
     (SELECT value->>'flow', value->>'source', value->>'source_asset' FROM jsonb_each($1))";

const ANY_HELD: &str = "SELECT step FROM hold LIMIT 1";

/// A placement, as [`PLACE`] reads it.
#[derive(Serialize)]
struct PlacementRow<'a> {
    flow: &'a str,
    source: &'a str,
    source_asset: &'a AssetId,
    source_revision: &'a Revision,
    source_path: &'a AssetPath,
    sink: &'a str,
    sink_asset: &'a AssetId,
    sink_revision: &'a Revision,
    sink_size: i64,
    sink_content_hash: Option<ContentHash>,
    evidence: &'static str,
    size: i64,
    blake3: Blake3,
    content_hash: Option<ContentHash>,
    draft_digest: Blake3,
    collection: &'a AssetPath,
    linked: i64,
    step: i64,
}

/// A row of the audit trail, as [`CUSTODY`] reads it.
#[derive(Serialize)]
struct Custody<'a> {
    run: i64,
    step: i64,
    attempt: i64,
    worker: Option<&'a str>,
    event: &'static str,
    bytes_moved: i64,
    took: Option<i64>,
    blake3: Option<Blake3>,
    content_hash: Option<ContentHash>,
    evidence: Option<&'static str>,
    sink: Option<&'a str>,
    sink_asset: Option<&'a str>,
    sink_revision: Option<&'a str>,
    draft_digest: Option<Blake3>,
    message: Option<&'a str>,
}

impl<'a> Custody<'a> {
    /// What every row says of a step whose lease ended.
    fn of(step: &'a Ended, event: &'static str) -> Self {
        Custody {
            run: step.run,
            step: step.id,
            attempt: step.attempt,
            worker: step.owner.as_deref(),
            event,
            bytes_moved: 0,
            took: None,
            blake3: None,
            content_hash: None,
            evidence: None,
            sink: None,
            sink_asset: None,
            sink_revision: None,
            draft_digest: None,
            message: None,
        }
    }

    /// What was placed.
    fn placed(&mut self, placement: &'a Placement) {
        self.blake3 = Some(placement.digests.blake3);
        self.content_hash = placement.digests.content_hash;
        self.evidence = Some(evidence_word(placement.placed.evidence));
        self.sink = Some(&placement.sink);
        self.sink_asset = Some(placement.placed.asset.as_str());
        self.sink_revision = Some(placement.placed.revision.as_str());
        self.draft_digest = Some(placement.draft_digest);
    }
}

/// A step whose lease just ended.
struct Ended {
    id: i64,
    run: i64,
    attempt: i64,
    action: Action,
    size: i64,
    owner: Option<String>,
    state: StepState,
}

/// A duration as columns hold it.
fn milliseconds(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

/// How many reports one statement settles: bounds the JSON text that SQLite spreads.
const REPORTS_A_STATEMENT: usize = 1_000;

/// Records outcomes, several callers' at once. Answers for each report, in order, whether it counted.
pub(crate) async fn settle(
    transaction: &mut Transaction<'_>,
    calls: &[&[StepReport]],
) -> Result<Vec<bool>, Failure> {
    let reports: Vec<&StepReport> = calls.iter().copied().flatten().collect();
    // Everything that can be refused comes before the first statement that writes.
    for report in &reports {
        representable(&report.outcome).map_err(Failure::Refused)?;
    }
    let mut accepted = Vec::with_capacity(reports.len());
    for part in reports.chunks(REPORTS_A_STATEMENT) {
        accepted.extend(settle_part(transaction, part).await?);
    }
    Ok(accepted)
}

async fn settle_part(
    transaction: &mut Transaction<'_>,
    reports: &[&StepReport],
) -> Result<Vec<bool>, Failure> {
    let mut first = BTreeMap::new();
    let mut rows = Vec::with_capacity(reports.len());
    for (index, report) in reports.iter().enumerate() {
        let attempt = (report.id.0, i64::from(report.attempt));
        // A report that is repeated counts once: the first one.
        if let Entry::Vacant(slot) = first.entry(attempt) {
            slot.insert(index);
            rows.push(report_row(report, transaction.now)?);
        }
    }
    let returned = transaction
        .rows(SETTLE, values![set(&rows)?, transaction.now])
        .await?;
    let mut settled = BTreeMap::new();
    for step in ended(transaction, &returned)? {
        if let Some(index) = first.get(&(step.id, step.attempt)) {
            settled.insert(*index, step);
        }
    }
    let mut accepted = vec![false; reports.len()];
    for index in settled.keys() {
        accepted[*index] = true;
    }
    let in_order: Vec<(Ended, &StepReport)> = settled
        .into_iter()
        .map(|(index, step)| (step, reports[index]))
        .collect();
    record(transaction, &in_order).await?;
    Ok(accepted)
}

/// Refuses sizes that the database cannot count.
fn representable(outcome: &Outcome) -> Result<(), Error> {
    if let Outcome::Done {
        placement,
        bytes_moved,
    } = outcome
    {
        signed(*bytes_moved)?;
        if let Some(placement) = placement {
            signed(placement.placed.size)?;
            signed(placement.digests.size)?;
        }
    }
    Ok(())
}

/// What a report makes of its step, as [`SETTLE`] reads it.
#[derive(Serialize)]
struct ReportRow<'a> {
    id: i64,
    attempt: u32,
    state: &'static str,
    /// `None` leaves the due time as it is.
    due: Option<i64>,
    bytes_moved: i64,
    message: Option<&'a str>,
    hint: Option<&'a str>,
    error: Option<&'static str>,
    /// JSON within JSON: the column holds it as text.
    placed: Option<String>,
    took: i64,
}

fn report_row(report: &StepReport, now: i64) -> Result<ReportRow<'_>, Error> {
    let mut row = ReportRow {
        id: report.id.0,
        attempt: report.attempt,
        state: StepState::Done.word(),
        due: None,
        bytes_moved: 0,
        message: None,
        hint: None,
        error: None,
        placed: None,
        took: milliseconds(report.took),
    };
    match &report.outcome {
        Outcome::Done {
            placement,
            bytes_moved,
        } => {
            row.bytes_moved = signed(*bytes_moved)?;
            if let Some(placement) = placement {
                row.placed = Some(json(&placement.placed)?);
            }
        }
        Outcome::Withdrawn(_) => {}
        Outcome::Held { reason, .. } => {
            row.state = StepState::Held.word();
            row.message = Some(reason);
        }
        Outcome::Failed {
            kind,
            message,
            hint,
        } => {
            row.state = StepState::Failed.word();
            row.message = Some(message);
            row.hint = hint.as_deref();
            row.error = Some(kind.code());
        }
        Outcome::Retry { after, message } => {
            row.state = StepState::Open.word();
            row.due = Some(later(now, *after));
            row.message = Some(message);
        }
    }
    Ok(row)
}

/// Writes what follows from accepted outcomes: contents, placements, audit rows and sums.
async fn record(
    transaction: &mut Transaction<'_>,
    settled: &[(Ended, &StepReport)],
) -> Result<(), Failure> {
    let mut custody = Vec::with_capacity(settled.len());
    let mut placements = BTreeMap::new();
    let mut holds = BTreeMap::new();
    for (step, report) in settled {
        let mut row = Custody::of(step, "done");
        row.took = Some(milliseconds(report.took));
        match &report.outcome {
            Outcome::Done {
                placement,
                bytes_moved,
            } => {
                row.bytes_moved = signed(*bytes_moved)?;
                if let Some(placement) = placement.as_deref() {
                    row.placed(placement);
                    let key = (&placement.flow, &placement.source, &placement.source_asset);
                    holds.remove(&key);
                    placements.insert(key, (placement, step.id));
                }
            }
            Outcome::Withdrawn(withdrawal) => {
                row.placed(&withdrawal.placement);
                row.message = Some(&withdrawal.reason);
            }
            Outcome::Held { reason, hold } => {
                row.event = "held";
                row.message = Some(reason);
                if let Some(hold) = hold.as_deref() {
                    let key = (&hold.flow, &hold.source, &hold.source_asset);
                    holds.insert(key, (hold, reason.as_str(), step.id));
                }
            }
            Outcome::Failed { message, .. } => {
                row.event = "failed";
                row.message = Some(message);
            }
            Outcome::Retry { message, .. } => {
                row.event = "retry";
                row.message = Some(message);
            }
        }
        let way = (Some(StepState::Leased), step.state);
        transaction.moved(step.run, step.action, way, step.size, row.bytes_moved);
        custody.push(row);
    }
    let placements: Vec<_> = placements.into_values().collect();
    add_contents(transaction, &placements).await?;
    place(transaction, &placements).await?;
    let holds: Vec<_> = holds.into_values().collect();
    keep_holds(transaction, &holds).await?;
    let over = settled.iter().filter(|(step, _)| step.state.is_terminal());
    let over: Vec<StepId> = over.map(|(step, _)| StepId(step.id)).collect();
    forget_all(transaction, &over).await?;
    write_custody(transaction, &custody).await
}

async fn add_contents(
    transaction: &mut Transaction<'_>,
    placements: &[(&Placement, i64)],
) -> Result<(), Failure> {
    let mut rows = BTreeSet::new();
    for (placement, _) in placements {
        let digests = &placement.digests;
        if let Some(content_hash) = digests.content_hash {
            let size = signed(digests.size)?;
            rows.insert((content_hash, digests.blake3, size));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.into_iter().collect();
    transaction.run(ADD_CONTENTS, values![set(&rows)?]).await?;
    Ok(())
}

async fn place(
    transaction: &mut Transaction<'_>,
    placements: &[(&Placement, i64)],
) -> Result<(), Failure> {
    if placements.is_empty() {
        return Ok(());
    }
    let mut rows = Vec::with_capacity(placements.len());
    for (placement, step) in placements {
        let (placed, digests) = (&placement.placed, &placement.digests);
        rows.push(PlacementRow {
            flow: &placement.flow,
            source: &placement.source,
            source_asset: &placement.source_asset,
            source_revision: &placement.source_revision,
            source_path: &placement.source_path,
            sink: &placement.sink,
            sink_asset: &placed.asset,
            sink_revision: &placed.revision,
            sink_size: signed(placed.size)?,
            sink_content_hash: placed.content_hash,
            evidence: evidence_word(placed.evidence),
            size: signed(digests.size)?,
            blake3: digests.blake3,
            content_hash: digests.content_hash,
            draft_digest: placement.draft_digest,
            collection: &placement.collection,
            linked: i64::from(placement.linked),
            step: *step,
        });
    }
    let rows = set(&rows)?;
    transaction
        .run(PLACE, values![rows.clone(), transaction.now])
        .await?;
    let is_any_held = transaction.row(ANY_HELD, values![]).await?;
    // Most ledgers hold nothing or little, and reading the whole set again would cost as much as placing it.
    if is_any_held.is_some() {
        transaction.run(UNHOLD, values![rows]).await?;
    }
    Ok(())
}

/// Runs after [`place`]: a hold that came after a placement of the same drain counts.
async fn keep_holds(
    transaction: &mut Transaction<'_>,
    holds: &[(&NewHold, &str, i64)],
) -> Result<(), Failure> {
    if holds.is_empty() {
        return Ok(());
    }
    let row = |(hold, reason, step): &(&NewHold, &str, i64)| {
        serde_json::json!({
            "flow": hold.flow,
            "source": hold.source,
            "source_asset": hold.source_asset,
            "source_revision": hold.source_revision,
            "draft_digest": hold.draft_digest,
            "reason": reason,
            "step": step,
        })
    };
    let rows: Vec<_> = holds.iter().map(row).collect();
    transaction
        .run(HOLD, values![set(&rows)?, transaction.now])
        .await?;
    Ok(())
}

async fn write_custody(
    transaction: &mut Transaction<'_>,
    rows: &[Custody<'_>],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    transaction
        .run(CUSTODY, values![set(rows)?, transaction.now])
        .await?;
    Ok(())
}

/// Ends leases whose worker vanished; the statement is [`REAP`] with its run as its first value, or [`RECLAIM`] with
/// none. Answers how many.
pub(crate) async fn lose(
    transaction: &mut Transaction<'_>,
    statement: &'static str,
    mut first: Vec<Bound>,
    lost_leases_max: u32,
) -> Result<u64, Failure> {
    let limit = lost_leases_max.max(1);
    // The outcome that a step gets when it was lost once too often.
    let Outcome::Failed {
        kind,
        message,
        hint,
    } = Outcome::lost(limit)
    else {
        return Ok(0);
    };
    let now = transaction.now;
    first.extend(values![now, i64::from(limit), message, hint, kind.code()]);
    let returned = transaction.rows(statement, first).await?;
    let ended = ended(transaction, &returned)?;
    let mut custody = Vec::with_capacity(ended.len());
    for step in &ended {
        let way = (Some(StepState::Leased), step.state);
        transaction.moved(step.run, step.action, way, step.size, 0);
        custody.push(Custody::of(step, "lost"));
    }
    let over = ended.iter().filter(|step| step.state.is_terminal());
    let over: Vec<StepId> = over.map(|step| StepId(step.id)).collect();
    forget_all(transaction, &over).await?;
    write_custody(transaction, &custody).await?;
    Ok(ended.len() as u64)
}

fn ended(transaction: &Transaction<'_>, rows: &[AnyRow]) -> Result<Vec<Ended>, Failure> {
    let read = |row: &AnyRow| {
        let columns = transaction.columns(row);
        Ok(Ended {
            id: columns.number("id")?,
            run: columns.number("run")?,
            attempt: columns.number("attempt")?,
            action: columns.action()?,
            size: columns.number("size")?,
            owner: columns.maybe_text("owner")?,
            state: columns.step_state()?,
        })
    };
    let steps: windlass_core::Result<Vec<Ended>> = rows.iter().map(read).collect();
    Ok(steps?)
}
