//! Notes about steps in flight, and the calls that accounts made.
//!
//! A note counts only for the attempt that holds the step. What is folded from jots may also be of the attempt that
//! held it last: its process ended, and nobody has taken the step since.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_core::{CallCount, Digests, Note, Noted, Part, RunId, RunOrigin, StepId, Tally};

use crate::error::Failure;
use crate::rows::{Set, json, set, signed};
use crate::statement::values;
use crate::write::{Answer, no_run};
use crate::writer::Transaction;

/// How many rows one statement writes: bounds the JSON text that SQLite spreads.
const ROWS_A_STATEMENT: usize = 1_000;

pub(crate) const HELD: &str = "SELECT id, attempt, state FROM step WHERE state IN ('leased', 'open') \
     AND attempt > 0 AND id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(crate) const KEEP_SESSIONS: &str = "INSERT INTO upload_session (step, session, at) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, CAST(value->>2 AS BIGINT) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (step) DO UPDATE SET session = excluded.session, at = excluded.at";

pub(crate) const KEEP_PARTS: &str = "INSERT INTO part (step, start, length, digest) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
     unhex(value->>3) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (step, start) DO UPDATE SET length = excluded.length, digest = excluded.digest";

pub(crate) const KEEP_INTENTS: &str = "INSERT INTO intent (step, size, blake3, content_hash, at) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), unhex(value->>2), \
     unhex(value->>3), CAST(value->>4 AS BIGINT) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (step) DO UPDATE SET size = excluded.size, blake3 = excluded.blake3, \
     content_hash = excluded.content_hash, at = excluded.at";

pub(crate) const FORGET_SESSIONS: &str = "DELETE FROM upload_session WHERE step IN \
     (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(crate) const FORGET_PARTS: &str =
    "DELETE FROM part WHERE step IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

pub(crate) const FORGET_INTENTS: &str =
    "DELETE FROM intent WHERE step IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const FOLDED: &str = "UPDATE jots SET folded = CASE WHEN folded < $1 THEN $1 ELSE folded END";

// Counts end where numbers do.
const COUNT_CALLS: &str = "INSERT INTO call_count (account, month, calls) \
     SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (account, month) DO UPDATE SET calls = \
     CASE WHEN call_count.calls > 9223372036854775807 - excluded.calls THEN 9223372036854775807 \
     ELSE call_count.calls + excluded.calls END \
     RETURNING account, month, calls";

const PLANNED: &str = "UPDATE run SET unchanged_assets = $2, unchanged_bytes = $3, origin = $4 \
     WHERE id = $1 RETURNING key";

/// Which attempts may note something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// The one that holds the step.
    Holds,
    /// That one, or the one that held it last while nobody has taken it since.
    HeldLast,
}

/// Writes notes in order. Answers for each whether it counted.
pub(crate) async fn note(
    transaction: &mut Transaction<'_>,
    notes: &[&Note],
    fence: Fence,
) -> Result<Vec<bool>, Failure> {
    let current = current(transaction, notes, fence).await?;
    let counts = |note: &Note| current.get(&note.step) == Some(&i64::from(note.attempt));
    let mut accepted = Vec::with_capacity(notes.len());
    let mut changes: BTreeMap<StepId, Change<'_>> = BTreeMap::new();
    for note in notes {
        let counts = counts(note);
        accepted.push(counts);
        if counts {
            changes.entry(note.step).or_default().apply(&note.what);
        }
    }
    make(transaction, &changes).await?;
    Ok(accepted)
}

/// Keeps jots and says up to which one, together.
pub(crate) async fn fold(
    transaction: &mut Transaction<'_>,
    notes: &[Note],
    through: u64,
) -> Result<(), Failure> {
    let notes: Vec<&Note> = notes.iter().collect();
    note(transaction, &notes, Fence::HeldLast).await?;
    transaction.run(FOLDED, values![signed(through)?]).await?;
    Ok(())
}

/// The attempts whose notes count, by step.
async fn current(
    transaction: &mut Transaction<'_>,
    notes: &[&Note],
    fence: Fence,
) -> Result<BTreeMap<StepId, i64>, Failure> {
    let mut steps: Vec<StepId> = notes.iter().map(|note| note.step).collect();
    steps.sort_unstable();
    steps.dedup();
    let mut current = BTreeMap::new();
    for part in steps.chunks(ROWS_A_STATEMENT) {
        let rows = transaction.rows(HELD, values![set(part)?]).await?;
        for row in &rows {
            let columns = transaction.columns(row);
            let held = fence == Fence::HeldLast || columns.text("state")? == "leased";
            if held {
                current.insert(StepId(columns.number("id")?), columns.number("attempt")?);
            }
        }
    }
    Ok(current)
}

/// What several notes come to for one step. Steps do not touch each other, so that the notes of many become a
/// few statements, however they are mixed.
#[derive(Debug, Default)]
struct Change<'a> {
    forgets_session: bool,
    forgets_parts: bool,
    forgets_intent: bool,
    session: Option<&'a str>,
    /// By where they start.
    parts: BTreeMap<u64, &'a Part>,
    intent: Option<&'a Digests>,
}

impl<'a> Change<'a> {
    fn apply(&mut self, what: &'a Noted) {
        match what {
            Noted::Session(session) => {
                self.session = Some(session);
                self.parts.clear();
                self.forgets_parts = true;
            }
            Noted::Part(part) => {
                self.parts.insert(part.offset, part);
            }
            Noted::Intent(digests) => self.intent = Some(digests),
            Noted::Restart => {
                *self = Change {
                    forgets_session: true,
                    forgets_parts: true,
                    forgets_intent: true,
                    ..Change::default()
                };
            }
        }
    }
}

async fn make(transaction: &mut Transaction<'_>, changes: &Changes<'_>) -> Result<(), Failure> {
    let (mut sessions, mut parts, mut intents) = (Vec::new(), Vec::new(), Vec::new());
    for (step, change) in changes {
        sessions.extend(change.forgets_session.then_some(*step));
        parts.extend(change.forgets_parts.then_some(*step));
        intents.extend(change.forgets_intent.then_some(*step));
    }
    forget(transaction, FORGET_SESSIONS, &sessions).await?;
    forget(transaction, FORGET_PARTS, &parts).await?;
    forget(transaction, FORGET_INTENTS, &intents).await?;
    for (statement, rows) in [
        (KEEP_SESSIONS, session_rows(changes, transaction.now)?),
        (KEEP_PARTS, part_rows(changes)?),
        (KEEP_INTENTS, intent_rows(changes, transaction.now)?),
    ] {
        for rows in rows {
            transaction.run(statement, values![rows]).await?;
        }
    }
    Ok(())
}

type Changes<'a> = BTreeMap<StepId, Change<'a>>;

fn session_rows(changes: &Changes<'_>, now: i64) -> windlass_core::Result<Vec<Set>> {
    sets(changes.iter().filter_map(|(step, change)| {
        let session = change.session?;
        Some((step, session, now))
    }))
}

fn part_rows(changes: &Changes<'_>) -> windlass_core::Result<Vec<Set>> {
    sets(changes.iter().flat_map(|(step, change)| {
        let parts = change.parts.values();
        parts.map(move |part| (step, part.offset, part.length, hex::encode(&part.digest)))
    }))
}

fn intent_rows(changes: &Changes<'_>, now: i64) -> windlass_core::Result<Vec<Set>> {
    sets(changes.iter().filter_map(|(step, change)| {
        let digests = change.intent?;
        Some((
            step,
            digests.size,
            digests.blake3,
            digests.content_hash,
            now,
        ))
    }))
}

/// Rows as statements take them, a thousand each.
fn sets<T: Serialize>(rows: impl Iterator<Item = T>) -> windlass_core::Result<Vec<Set>> {
    let mut sets = Vec::new();
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let some: Vec<T> = rows.by_ref().take(ROWS_A_STATEMENT).collect();
        sets.push(set(&some)?);
    }
    Ok(sets)
}

/// Forgets everything noted of steps that have ended.
pub(crate) async fn forget_all(
    transaction: &mut Transaction<'_>,
    steps: &[StepId],
) -> Result<(), Failure> {
    for statement in [FORGET_SESSIONS, FORGET_PARTS, FORGET_INTENTS] {
        forget(transaction, statement, steps).await?;
    }
    Ok(())
}

async fn forget(
    transaction: &mut Transaction<'_>,
    statement: &'static str,
    steps: &[StepId],
) -> Result<(), Failure> {
    if steps.is_empty() {
        return Ok(());
    }
    transaction.run(statement, values![set(steps)?]).await?;
    Ok(())
}

/// Adds calls to their counts and answers the new ones, in order.
pub(crate) async fn count_calls(
    transaction: &mut Transaction<'_>,
    counts: &[CallCount],
) -> Result<Answer, Failure> {
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut after = Vec::with_capacity(counts.len());
    for count in counts {
        let sum = sums.entry((&count.account, &count.month)).or_default();
        *sum = sum.saturating_add(i64::try_from(count.calls).unwrap_or(i64::MAX));
        after.push(*sum);
    }
    let rows: Vec<_> = sums.iter().map(|((a, m), calls)| (a, m, calls)).collect();
    let returned = transaction.rows(COUNT_CALLS, values![set(&rows)?]).await?;
    let mut totals = BTreeMap::new();
    for row in &returned {
        let columns = transaction.columns(row);
        let key = (columns.text("account")?, columns.text("month")?);
        totals.insert(key, columns.number("calls")?);
    }
    let total = |(count, after): (&CallCount, i64)| {
        let (account, month) = (count.account.as_str(), count.month.as_str());
        let key = (account.to_owned(), month.to_owned());
        let all = totals.get(&key).copied().unwrap_or_default();
        // What later counts of the same call added is not part of this answer.
        let later = sums.get(&(account, month)).copied().unwrap_or_default() - after;
        u64::try_from(all - later).unwrap_or(0)
    };
    Ok(Answer::Counts(
        counts.iter().zip(after).map(total).collect(),
    ))
}

/// Records what the plan of a run found unchanged, and by what it was decided.
pub(crate) async fn set_planned(
    transaction: &mut Transaction<'_>,
    run: RunId,
    unchanged: &Tally,
    origin: &RunOrigin,
) -> Result<Answer, Failure> {
    let row = transaction
        .row(
            PLANNED,
            values![
                run.to_string(),
                signed(unchanged.steps)?,
                signed(unchanged.bytes)?,
                json(origin)?
            ],
        )
        .await?;
    match row {
        Some(_) => Ok(Answer::Unit),
        None => Err(no_run(run)),
    }
}
