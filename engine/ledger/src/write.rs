//! What the ledger records, except for the outcomes of steps: runs, steps, leases, cursors.

use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use windlass_core::{
    AssetId, CallCount, Cursor, Error, Kind, LeasedStep, NewConflict, NewStep, Note, Resolution,
    RunId, RunOrigin, RunState, StepId, StepReport, StepState, Tally, WorkerId,
};

use crate::conflicts;
use crate::error::Failure;
use crate::jots::Folding;
use crate::notes::{Fence, count_calls, fold, note, set_planned};
use crate::place::Database;
use crate::rows::{Columns, Set, set, signed};
use crate::settle::{REAP, lose, settle};
use crate::statement::values;
use crate::writer::Transaction;

/// How many steps one statement inserts: bounds the JSON text that SQLite spreads.
const STEPS_A_STATEMENT: usize = 1_000;

/// Something to record.
#[derive(Debug)]
pub(crate) enum Work {
    BeginRun {
        run: RunId,
        flow: String,
    },
    AddSteps {
        run: RunId,
        steps: Vec<NewStep>,
    },
    SetRunState {
        run: RunId,
        state: RunState,
    },
    Lease {
        run: RunId,
        worker: WorkerId,
        limit: u32,
        ttl: Duration,
    },
    Renew {
        worker: WorkerId,
        ttl: Duration,
    },
    Reap {
        run: RunId,
    },
    Release {
        worker: WorkerId,
    },
    Finish {
        reports: Vec<StepReport>,
    },
    SetCursor {
        name: String,
        cursor: Option<Cursor>,
    },
    Note {
        notes: Vec<Note>,
    },
    Fold {
        jots: Folding,
    },
    CountCalls {
        counts: Vec<CallCount>,
    },
    SetPlanned {
        run: RunId,
        unchanged: Tally,
        origin: Box<RunOrigin>,
    },
    NoteConflicts {
        conflicts: Vec<NewConflict>,
    },
    ResolveConflict {
        conflict: Box<NewConflict>,
        resolution: Option<Resolution>,
    },
    EndConflicts {
        flow: String,
        subjects: Vec<AssetId>,
    },
}

impl Work {
    /// The reports of a work that only settles steps.
    pub(crate) fn reports(&self) -> Option<&[StepReport]> {
        match self {
            Work::Finish { reports } => Some(reports),
            _ => None,
        }
    }

    /// The notes of a work that only notes.
    pub(crate) fn notes(&self) -> Option<&[Note]> {
        match self {
            Work::Note { notes } => Some(notes),
            _ => None,
        }
    }
}

/// What came of a work.
#[derive(Debug)]
pub(crate) enum Answer {
    Unit,
    Count(u64),
    Leased(Vec<LeasedStep>),
    Accepted(Vec<bool>),
    Counts(Vec<u64>),
}

/// Does one work inside a transaction. A refused one has written nothing.
pub(crate) async fn perform(
    transaction: &mut Transaction<'_>,
    work: &Work,
) -> Result<Answer, Failure> {
    match work {
        Work::BeginRun { run, flow } => begin_run(transaction, *run, flow).await,
        Work::AddSteps { run, steps } => add_steps(transaction, *run, steps).await,
        Work::SetRunState { run, state } => set_run_state(transaction, *run, *state).await,
        Work::Lease {
            run,
            worker,
            limit,
            ttl,
        } => lease(transaction, *run, worker, *limit, *ttl).await,
        Work::Renew { worker, ttl } => renew(transaction, worker, *ttl).await,
        Work::Reap { run } => reap(transaction, *run).await,
        Work::Release { worker } => release(transaction, worker).await,
        Work::Finish { reports } => {
            let accepted = settle(transaction, &[reports]).await?;
            Ok(Answer::Accepted(accepted))
        }
        Work::SetCursor { name, cursor } => set_cursor(transaction, name, cursor.as_ref()).await,
        Work::Note { notes } => {
            let notes: Vec<&Note> = notes.iter().collect();
            let accepted = note(transaction, &notes, Fence::Holds).await?;
            Ok(Answer::Accepted(accepted))
        }
        Work::Fold { jots } => {
            fold(transaction, &jots.notes, jots.through).await?;
            Ok(Answer::Unit)
        }
        Work::CountCalls { counts } => count_calls(transaction, counts).await,
        Work::SetPlanned {
            run,
            unchanged,
            origin,
        } => set_planned(transaction, *run, unchanged, origin).await,
        Work::NoteConflicts { conflicts } => conflicts::note(transaction, conflicts).await,
        Work::ResolveConflict {
            conflict,
            resolution,
        } => conflicts::resolve(transaction, conflict, *resolution).await,
        Work::EndConflicts { flow, subjects } => conflicts::end(transaction, flow, subjects).await,
    }
}

/// Settles the reports of several works at once and hands each its own answers.
pub(crate) async fn settle_reports(
    transaction: &mut Transaction<'_>,
    works: &[Work],
) -> Result<Vec<windlass_core::Result<Answer>>, Failure> {
    let reports: Vec<&[StepReport]> = works.iter().filter_map(Work::reports).collect();
    let mut accepted = settle(transaction, &reports).await?.into_iter();
    let own = |reports: &[StepReport]| accepted.by_ref().take(reports.len()).collect();
    let answers: Vec<Vec<bool>> = reports.iter().copied().map(own).collect();
    Ok(answers.into_iter().map(Answer::Accepted).map(Ok).collect())
}

/// Keeps the notes of several works at once and hands each its own answers.
pub(crate) async fn keep_notes(
    transaction: &mut Transaction<'_>,
    works: &[Work],
) -> Result<Vec<windlass_core::Result<Answer>>, Failure> {
    let calls: Vec<&[Note]> = works.iter().filter_map(Work::notes).collect();
    let notes: Vec<&Note> = calls.iter().copied().flatten().collect();
    let accepted = note(transaction, &notes, Fence::Holds).await?;
    let mut accepted = accepted.into_iter();
    let own = |notes: &[Note]| accepted.by_ref().take(notes.len()).collect();
    let answers: Vec<Vec<bool>> = calls.iter().copied().map(own).collect();
    Ok(answers.into_iter().map(Answer::Accepted).map(Ok).collect())
}

const BEGIN_RUN: &str = "INSERT INTO run (id, flow, state, started) VALUES ($1, $2, 'planning', $3) \
     ON CONFLICT (id) DO NOTHING";

async fn begin_run(
    transaction: &mut Transaction<'_>,
    run: RunId,
    flow: &str,
) -> Result<Answer, Failure> {
    if let Some(there) = find_run(transaction, run).await? {
        if there.flow == flow {
            return Ok(Answer::Unit);
        }
        let message = format!("run {run} belongs to flow {}", there.flow);
        return Err(Failure::Refused(Error::new(Kind::Conflict, message)));
    }
    transaction
        .run(BEGIN_RUN, values![run.to_string(), flow, transaction.now])
        .await?;
    Ok(Answer::Unit)
}

/// A run as the writer needs it.
struct FoundRun {
    key: i64,
    flow: String,
    state: RunState,
}

const FIND_RUN: &str = "SELECT key, flow, state FROM run WHERE id = $1";

async fn find_run(
    transaction: &mut Transaction<'_>,
    run: RunId,
) -> Result<Option<FoundRun>, Failure> {
    let row = transaction.row(FIND_RUN, values![run.to_string()]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let columns = transaction.columns(&row);
    Ok(Some(FoundRun {
        key: columns.number("key")?,
        flow: columns.text("flow")?,
        state: columns.run_state()?,
    }))
}

pub(crate) fn no_run(run: RunId) -> Failure {
    Failure::Refused(Error::new(
        Kind::NotFound,
        format!("the ledger has no run {run}"),
    ))
}

// ORDER BY makes the ids ascend in the order of the slice.
pub(crate) const ADD_STEPS: &str = "INSERT INTO step (run, action, reason, state, endpoint, asset, \
     revision, path, size, payload, due, ended) \
     SELECT $2, value->>'action', value->>'reason', value->>'state', value->>'endpoint', \
     value->>'asset', value->>'revision', value->>'path', CAST(value->>'size' AS BIGINT), \
     value->>'payload', $3, CASE WHEN value->>'state' = 'open' THEN NULL ELSE $3 END \
     FROM jsonb_each($1) ORDER BY key";

async fn add_steps(
    transaction: &mut Transaction<'_>,
    run: RunId,
    steps: &[NewStep],
) -> Result<Answer, Failure> {
    let found = find_run(transaction, run).await?;
    let found = found.ok_or_else(|| no_run(run))?;
    if !found.state.takes_steps() {
        let message = format!("run {run} is {} and takes no steps", found.state.word());
        return Err(Failure::Refused(Error::new(Kind::Conflict, message)));
    }
    // Everything that can be refused comes before the first statement that writes.
    if transaction.target.place.database() == Database::Postgres {
        fit_an_index(&found.flow, steps).map_err(Failure::Refused)?;
    }
    let mut sets = Vec::new();
    for part in steps.chunks(STEPS_A_STATEMENT) {
        sets.push(step_rows(part).map_err(Failure::Refused)?);
    }
    for rows in sets {
        transaction
            .run(ADD_STEPS, values![rows, found.key, transaction.now])
            .await?;
    }
    for step in steps {
        let size = signed(step.size)?;
        transaction.moved(found.key, step.action, (None, step.state), size, 0);
    }
    Ok(Answer::Unit)
}

/// How long flow, source and asset may be together, in bytes: an entry of an ordered index has little more.
pub(crate) const KEY_BYTES_MAX: usize = 2_500;

/// Refuses what could be delivered and not be recorded then.
fn fit_an_index(flow: &str, steps: &[NewStep]) -> windlass_core::Result<()> {
    let length = |step: &NewStep| flow.len() + step.endpoint.len() + step.asset.as_str().len();
    match steps.iter().find(|step| length(step) > KEY_BYTES_MAX) {
        None => Ok(()),
        Some(step) => Err(Error::new(
            Kind::InvalidInput,
            "a path is longer than a ledger on a server can look up (about 2,500 bytes)",
        )
        .with_context("path", &step.path)
        .with_hint("shorten it, leave it out of the flow, or keep the ledger in a file")),
    }
}

/// A new step, as [`ADD_STEPS`] reads it.
#[derive(Serialize)]
struct StepRow<'a> {
    action: &'static str,
    reason: &'a str,
    state: &'static str,
    endpoint: &'a str,
    asset: &'a str,
    revision: &'a str,
    path: &'a str,
    size: i64,
    payload: &'a str,
}

fn step_rows(steps: &[NewStep]) -> windlass_core::Result<Set> {
    let mut rows = Vec::with_capacity(steps.len());
    for step in steps {
        if step.state == StepState::Leased {
            return Err(Error::new(
                Kind::InvalidInput,
                "a new step cannot be leased already",
            ));
        }
        rows.push(StepRow {
            action: step.action.word(),
            reason: &step.reason,
            state: step.state.word(),
            endpoint: &step.endpoint,
            asset: step.asset.as_str(),
            revision: step.revision.as_str(),
            path: step.path.as_str(),
            size: signed(step.size)?,
            payload: &step.payload,
        });
    }
    set(&rows)
}

const SET_RUN_STATE: &str = "UPDATE run SET state = $2, \
     finished = CASE WHEN $2 = 'finished' THEN COALESCE(finished, $3) ELSE NULL END WHERE id = $1";

async fn set_run_state(
    transaction: &mut Transaction<'_>,
    run: RunId,
    state: RunState,
) -> Result<Answer, Failure> {
    let changed = transaction
        .run(
            SET_RUN_STATE,
            values![run.to_string(), state.word(), transaction.now],
        )
        .await?;
    match changed {
        0 => Err(no_run(run)),
        _ => Ok(Answer::Unit),
    }
}

pub(crate) const LEASE: &str = "UPDATE step SET state = 'leased', owner = $1, attempt = attempt + 1, \
     lease_until = $2 WHERE id IN (SELECT id FROM step WHERE run = $3 AND state = 'open' \
     AND due <= $4 ORDER BY due, id LIMIT $5) RETURNING id, due, attempt, action, size, payload";

async fn lease(
    transaction: &mut Transaction<'_>,
    run: RunId,
    worker: &WorkerId,
    limit: u32,
    ttl: Duration,
) -> Result<Answer, Failure> {
    let found = find_run(transaction, run).await?;
    let Some(found) = found.filter(|found| found.state.gives_steps()) else {
        return Ok(Answer::Leased(Vec::new()));
    };
    let rows = transaction
        .rows(
            LEASE,
            values![
                worker.0.to_string(),
                later(transaction.now, ttl),
                found.key,
                transaction.now,
                i64::from(limit)
            ],
        )
        .await?;
    let mut leased = Vec::with_capacity(rows.len());
    for row in &rows {
        let due: i64 = row.try_get("due")?;
        let step = leased_step(&transaction.columns(row))?;
        let size = signed(step.size)?;
        let way = (Some(StepState::Open), StepState::Leased);
        transaction.moved(found.key, step.action, way, size, 0);
        leased.push((due, step));
    }
    // RETURNING promises no order.
    leased.sort_by_key(|(due, step)| (*due, step.id));
    Ok(Answer::Leased(
        leased.into_iter().map(|(_, step)| step).collect(),
    ))
}

fn leased_step(columns: &Columns<'_>) -> windlass_core::Result<LeasedStep> {
    Ok(LeasedStep {
        id: StepId(columns.number("id")?),
        attempt: columns.attempt()?,
        action: columns.action()?,
        size: columns.size("size")?,
        payload: columns.text("payload")?,
    })
}

pub(crate) const RENEW: &str =
    "UPDATE step SET lease_until = $2 WHERE owner = $1 AND state = 'leased'";

async fn renew(
    transaction: &mut Transaction<'_>,
    worker: &WorkerId,
    ttl: Duration,
) -> Result<Answer, Failure> {
    transaction
        .run(
            RENEW,
            values![worker.0.to_string(), later(transaction.now, ttl)],
        )
        .await?;
    Ok(Answer::Unit)
}

async fn reap(transaction: &mut Transaction<'_>, run: RunId) -> Result<Answer, Failure> {
    let Some(found) = find_run(transaction, run).await? else {
        return Ok(Answer::Count(0));
    };
    let limit = transaction.target.options.lost_leases_max;
    let count = lose(transaction, REAP, values![found.key], limit).await?;
    Ok(Answer::Count(count))
}

pub(crate) const RELEASE: &str = "UPDATE step SET state = 'open', lease_until = NULL \
     WHERE owner = $1 AND state = 'leased' RETURNING run, action, size";

async fn release(transaction: &mut Transaction<'_>, worker: &WorkerId) -> Result<Answer, Failure> {
    let rows = transaction
        .rows(RELEASE, values![worker.0.to_string()])
        .await?;
    for row in &rows {
        let columns = transaction.columns(row);
        let run = columns.number("run")?;
        let action = columns.action()?;
        let size = columns.number("size")?;
        let way = (Some(StepState::Leased), StepState::Open);
        transaction.moved(run, action, way, size, 0);
    }
    Ok(Answer::Count(rows.len() as u64))
}

const SET_CURSOR: &str = "INSERT INTO cursor (name, value, at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";

const FORGET_CURSOR: &str = "DELETE FROM cursor WHERE name = $1";

async fn set_cursor(
    transaction: &mut Transaction<'_>,
    name: &str,
    cursor: Option<&Cursor>,
) -> Result<Answer, Failure> {
    let now = transaction.now;
    match cursor {
        Some(cursor) => transaction.run(SET_CURSOR, values![name, cursor.as_str(), now]),
        None => transaction.run(FORGET_CURSOR, values![name]),
    }
    .await?;
    Ok(Answer::Unit)
}

/// An instant after `now`, in epoch milliseconds.
pub(crate) fn later(now: i64, by: Duration) -> i64 {
    now.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
