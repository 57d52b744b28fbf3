//! How leases end: with an outcome that the current attempt reports, or with a worker that vanished.
//!
//! What an outcome changes (the step, what is remembered of its asset, the sums, the audit row) is written
//! in one transaction and only for attempts that hold the lease.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use serde::Serialize;
use sqlx::any::AnyRow;
use windlass_core::{
    Action, Blake3, ContentHash, Error, Outcome, Placement, StepId, StepReport, StepState,
};

use crate::error::Failure;
use crate::notes::forget_all;
use crate::remember::Remembered;
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
    let placement = match outcome {
        Outcome::Done {
            placement,
            bytes_moved,
        } => {
            signed(*bytes_moved)?;
            placement.as_deref()
        }
        Outcome::Withdrawn(withdrawal) => Some(&withdrawal.placement),
        Outcome::Held { .. } | Outcome::Failed { .. } | Outcome::Retry { .. } => None,
    };
    if let Some(placement) = placement {
        signed(placement.placed.size)?;
        signed(placement.digests.size)?;
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

/// Writes what follows from accepted outcomes: what is remembered of assets, audit rows and sums.
async fn record(
    transaction: &mut Transaction<'_>,
    settled: &[(Ended, &StepReport)],
) -> Result<(), Failure> {
    let mut custody = Vec::with_capacity(settled.len());
    let mut remembered = Remembered::default();
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
                    remembered.place(placement, step.id);
                }
            }
            Outcome::Withdrawn(withdrawal) => {
                row.placed(&withdrawal.placement);
                // It is not there any more, however well that it was had been proved.
                row.evidence = None;
                row.message = Some(&withdrawal.reason);
                remembered.withdraw(withdrawal, step.id);
            }
            Outcome::Held { reason, hold } => {
                row.event = "held";
                row.message = Some(reason);
                if let Some(hold) = hold.as_deref() {
                    remembered.hold(hold, reason, step.id);
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
    remembered.write(transaction).await?;
    let over = settled.iter().filter(|(step, _)| step.state.is_terminal());
    let over: Vec<StepId> = over.map(|(step, _)| StepId(step.id)).collect();
    forget_all(transaction, &over).await?;
    write_custody(transaction, &custody).await
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
