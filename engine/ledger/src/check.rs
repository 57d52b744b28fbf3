//! Looking whether a ledger is whole: its pages, its references, and that what it says twice is the same both times.

use sqlx::{AnyConnection, Connection, Row};
use windlass_core::{CheckItem, Result};

use crate::error::explain;
use crate::open::{Target, number};
use crate::place::Database;

/// How many problems of the file are told.
const PROBLEMS_MAX: usize = 20;

const PAGES: &str = "PRAGMA integrity_check(20)";

const REFERENCES: &str = "SELECT COUNT(*) FROM pragma_foreign_key_check";

const COUNTS: &str = "SELECT 'runs', COUNT(*) FROM run UNION ALL SELECT 'steps', COUNT(*) FROM step \
     UNION ALL SELECT 'placements', COUNT(*) FROM placement UNION ALL SELECT 'withdrawals', COUNT(*) FROM withdrawal \
     UNION ALL SELECT 'contents', COUNT(*) FROM content UNION ALL SELECT 'holds', COUNT(*) FROM hold \
     UNION ALL SELECT 'conflicts', COUNT(*) FROM conflict \
     UNION ALL SELECT 'custody records', COUNT(*) FROM custody";

/// What must be zero: what is looked at, how it is said when it holds, what of it is wrong when not.
const MUST_BE_NONE: &[(&str, &str, &str, &str)] = &[
    (
        "sums",
        "the sums of every run are those of its steps",
        "sums of runs that are not those of their steps",
        "SELECT COUNT(*) FROM ( \
             SELECT * FROM (SELECT run, state, action, COUNT(*), SUM(size), SUM(bytes_moved) \
                 FROM step GROUP BY run, state, action \
                 EXCEPT SELECT run, state, action, steps, bytes, bytes_moved FROM tally) AS unsummed \
             UNION ALL \
             SELECT * FROM (SELECT run, state, action, steps, bytes, bytes_moved FROM tally WHERE steps > 0 \
                 EXCEPT SELECT run, state, action, COUNT(*), SUM(size), SUM(bytes_moved) \
                 FROM step GROUP BY run, state, action) AS unfounded) AS wrong",
    ),
    (
        "ended runs",
        "finished runs have no open steps",
        "open steps of runs that are finished",
        "SELECT COUNT(*) FROM step JOIN run ON run.key = step.run \
         WHERE run.state = 'finished' AND step.state IN ('open', 'leased')",
    ),
    (
        "custody",
        "every step that is done has its record",
        "steps that are done and have no record of it",
        "SELECT COUNT(*) FROM step WHERE state = 'done' AND NOT EXISTS \
         (SELECT 1 FROM custody WHERE custody.step = step.id AND custody.event = 'done')",
    ),
    (
        "placements",
        "every placement is one that a step brought about",
        "placements that no step brought about",
        "SELECT COUNT(*) FROM placement WHERE NOT EXISTS \
         (SELECT 1 FROM custody WHERE custody.step = placement.step AND custody.event = 'done')",
    ),
    (
        "withdrawals",
        "every withdrawal is one that a step brought about, of an asset that is not placed",
        "withdrawals that no step brought about, or of what is placed",
        "SELECT COUNT(*) FROM withdrawal WHERE NOT EXISTS \
         (SELECT 1 FROM custody WHERE custody.step = withdrawal.step AND custody.event = 'done') \
         OR EXISTS (SELECT 1 FROM placement WHERE placement.flow = withdrawal.flow \
         AND placement.source = withdrawal.source AND placement.source_asset = withdrawal.source_asset)",
    ),
    (
        "contents",
        "every content has one digest of each kind",
        "placements whose two digests are not those of one content",
        "SELECT COUNT(*) FROM placement JOIN content ON content.content_hash = placement.content_hash \
         WHERE content.blake3 <> placement.blake3 OR content.size <> placement.size",
    ),
];

/// Looks at all of it, however much is wrong. It may be in use.
pub(crate) async fn check(target: &Target) -> Result<Vec<CheckItem>> {
    let told = |error| explain(&target.place, "read", error);
    let mut connection = target.connect_to_copy().await.map_err(told)?;
    let mut items = Vec::new();
    // A server sees to both by itself.
    if target.place.database() == Database::Sqlite {
        items.push(pages(&mut connection).await);
        let found = number(&mut connection, REFERENCES).await;
        items.push(found.map_or_else(unreadable("references"), |found| {
            item(
                "references",
                found,
                "every reference leads somewhere",
                "references that lead nowhere",
            )
        }));
    }
    for (subject, holds, wrong, statement) in MUST_BE_NONE {
        let found = number(&mut connection, statement).await;
        items.push(found.map_or_else(unreadable(subject), |found| {
            item(subject, found, holds, wrong)
        }));
    }
    items.push(
        counts(&mut connection)
            .await
            .unwrap_or_else(unreadable("contains")),
    );
    connection.close().await.map_err(told)?;
    Ok(items)
}

async fn pages(connection: &mut AnyConnection) -> CheckItem {
    let rows = match sqlx::query(PAGES).fetch_all(connection).await {
        Ok(rows) => rows,
        Err(error) => return unreadable("file")(error),
    };
    let told: Vec<String> = rows
        .iter()
        .filter_map(|row| row.try_get(0).ok())
        .take(PROBLEMS_MAX)
        .collect();
    match told.as_slice() {
        [only] if only == "ok" => CheckItem {
            subject: "file".to_owned(),
            finding: "every page is whole".to_owned(),
            ok: true,
            hint: None,
        },
        problems => damaged("file", problems.join("; ")),
    }
}

async fn counts(connection: &mut AnyConnection) -> Result<CheckItem, sqlx::Error> {
    let rows = sqlx::query(COUNTS).fetch_all(connection).await?;
    let mut parts = Vec::with_capacity(rows.len());
    for row in &rows {
        let (what, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        parts.push(format!("{count} {what}"));
    }
    Ok(CheckItem {
        subject: "contains".to_owned(),
        finding: parts.join(", "),
        ok: true,
        hint: None,
    })
}

fn item(subject: &str, found: i64, holds: &str, wrong: &str) -> CheckItem {
    match found {
        0 => CheckItem {
            subject: subject.to_owned(),
            finding: holds.to_owned(),
            ok: true,
            hint: None,
        },
        found => damaged(subject, format!("{found} {wrong}")),
    }
}

fn unreadable(subject: &str) -> impl FnOnce(sqlx::Error) -> CheckItem {
    let subject = subject.to_owned();
    move |error| damaged(&subject, format!("it cannot be read: {error}"))
}

fn damaged(subject: &str, finding: String) -> CheckItem {
    CheckItem {
        subject: subject.to_owned(),
        finding,
        ok: false,
        hint: Some(
            "go back to the newest backup; `windlass verify` tells what happened since".to_owned(),
        ),
    }
}
