//! Notes about steps in flight, and the calls that accounts made.
//!
//! A note counts only for the attempt that holds the step. What is folded from jots may also be of the attempt that
//! held it last: its process ended, and nobody has taken the step since.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_core::{CallCount, Note, Noted, RunId, StepId, Tally};

use crate::error::Failure;
use crate::rows::{Columns, set, signed};
use crate::write::{Answer, no_run};
use crate::writer::Transaction;

/// How many notes one statement writes: bounds the JSON text that SQLite spreads.
const NOTES_A_STATEMENT: usize = 1_000;

const HELD: &str = "SELECT id, attempt, state FROM step WHERE state IN ('leased', 'open') AND id IN \
     (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const KEEP_SESSIONS: &str = "INSERT INTO upload_session (step, session, at) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, $2 FROM json_each($1) WHERE true \
     ON CONFLICT (step) DO UPDATE SET session = excluded.session, at = excluded.at";

const KEEP_PARTS: &str = "INSERT INTO part (step, start, length, digest) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT), \
     unhex(value->>3) FROM json_each($1) WHERE true \
     ON CONFLICT (step, start) DO UPDATE SET length = excluded.length, digest = excluded.digest";

const KEEP_INTENTS: &str = "INSERT INTO intent (step, size, blake3, content_hash, at) \
     SELECT CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), unhex(value->>2), \
     unhex(value->>3), $2 FROM json_each($1) WHERE true \
     ON CONFLICT (step) DO UPDATE SET size = excluded.size, blake3 = excluded.blake3, \
     content_hash = excluded.content_hash, at = excluded.at";

const FORGET_SESSIONS: &str = "DELETE FROM upload_session WHERE step IN \
     (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const FORGET_PARTS: &str =
    "DELETE FROM part WHERE step IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const FORGET_INTENTS: &str =
    "DELETE FROM intent WHERE step IN (SELECT CAST(value AS BIGINT) FROM json_each($1))";

const COUNT_CALLS: &str = "INSERT INTO call_count (account, month, calls) \
     SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT) FROM json_each($1) WHERE true \
     ON CONFLICT (account, month) DO UPDATE SET calls = call_count.calls + excluded.calls \
     RETURNING account, month, calls";

const UNCHANGED: &str =
    "UPDATE run SET unchanged_assets = $2, unchanged_bytes = $3 WHERE id = $1 RETURNING key";

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
    notes: &[Note],
    fence: Fence,
) -> Result<Vec<bool>, Failure> {
    for note in notes {
        // Everything that can be refused comes before the first statement that writes.
        if let Noted::Part(part) = &note.what {
            signed(part.offset).and(signed(part.length))?;
        }
    }
    let current = current(transaction, notes, fence).await?;
    let counts = |note: &Note| current.get(&note.step) == Some(&i64::from(note.attempt));
    let accepted: Vec<bool> = notes.iter().map(counts).collect();
    let kept: Vec<&Note> = notes.iter().filter(|note| counts(note)).collect();
    // Neighbours of one kind are one set; between kinds the order counts.
    for group in
        kept.chunk_by(|a, b| std::mem::discriminant(&a.what) == std::mem::discriminant(&b.what))
    {
        for part in group.chunks(NOTES_A_STATEMENT) {
            keep(transaction, part).await?;
        }
    }
    Ok(accepted)
}

/// The attempts whose notes count, by step.
async fn current(
    transaction: &mut Transaction<'_>,
    notes: &[Note],
    fence: Fence,
) -> Result<BTreeMap<StepId, i64>, Failure> {
    let mut steps: Vec<StepId> = notes.iter().map(|note| note.step).collect();
    steps.sort_unstable();
    steps.dedup();
    let mut current = BTreeMap::new();
    for part in steps.chunks(NOTES_A_STATEMENT) {
        let rows = sqlx::query(HELD)
            .bind(set(part)?)
            .fetch_all(&mut *transaction.connection)
            .await?;
        for row in &rows {
            let columns = Columns {
                file: &transaction.target.file,
                row,
            };
            let held = fence == Fence::HeldLast || columns.text("state")? == "leased";
            if held {
                current.insert(StepId(columns.number("id")?), columns.number("attempt")?);
            }
        }
    }
    Ok(current)
}

/// Keeps notes of one kind.
async fn keep(transaction: &mut Transaction<'_>, notes: &[&Note]) -> Result<(), Failure> {
    let Some(first) = notes.first() else {
        return Ok(());
    };
    let steps: Vec<StepId> = notes.iter().map(|note| note.step).collect();
    match &first.what {
        Noted::Session(_) => {
            let rows = notes.iter().filter_map(|note| match &note.what {
                Noted::Session(session) => Some((note.step, session)),
                _ => None,
            });
            write(transaction, KEEP_SESSIONS, &rows.collect::<Vec<_>>()).await?;
            forget(transaction, FORGET_PARTS, &steps).await
        }
        Noted::Part(_) => {
            let rows = notes.iter().filter_map(|note| match &note.what {
                Noted::Part(part) => {
                    let digest = hex(&part.digest);
                    Some((note.step, part.offset, part.length, digest))
                }
                _ => None,
            });
            let rows = set(&rows.collect::<Vec<_>>())?;
            sqlx::query(KEEP_PARTS)
                .bind(rows)
                .execute(&mut *transaction.connection)
                .await?;
            Ok(())
        }
        Noted::Intent(_) => {
            let rows = notes.iter().filter_map(|note| match &note.what {
                Noted::Intent(digests) => Some((
                    note.step,
                    digests.size,
                    digests.blake3,
                    digests.content_hash,
                )),
                _ => None,
            });
            write(transaction, KEEP_INTENTS, &rows.collect::<Vec<_>>()).await
        }
        Noted::Restart => forget_all(transaction, &steps).await,
    }
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
    sqlx::query(statement)
        .bind(set(steps)?)
        .execute(&mut *transaction.connection)
        .await?;
    Ok(())
}

async fn write<T: Serialize>(
    transaction: &mut Transaction<'_>,
    statement: &'static str,
    rows: &[T],
) -> Result<(), Failure> {
    sqlx::query(statement)
        .bind(set(rows)?)
        .bind(transaction.now)
        .execute(&mut *transaction.connection)
        .await?;
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
        *sum = sum.saturating_add(signed(count.calls)?);
        after.push(*sum);
    }
    let rows: Vec<_> = sums.iter().map(|((a, m), calls)| (a, m, calls)).collect();
    let returned = sqlx::query(COUNT_CALLS)
        .bind(set(&rows)?)
        .fetch_all(&mut *transaction.connection)
        .await?;
    let mut totals = BTreeMap::new();
    for row in &returned {
        let columns = Columns {
            file: &transaction.target.file,
            row,
        };
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

/// Records what the plan of a run found unchanged.
pub(crate) async fn set_unchanged(
    transaction: &mut Transaction<'_>,
    run: RunId,
    unchanged: &Tally,
) -> Result<Answer, Failure> {
    let row = sqlx::query(UNCHANGED)
        .bind(run.to_string())
        .bind(signed(unchanged.steps)?)
        .bind(signed(unchanged.bytes)?)
        .fetch_optional(&mut *transaction.connection)
        .await?;
    match row {
        Some(_) => Ok(Answer::Unit),
        None => Err(no_run(run)),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}
