//! What two sides disagree about, until somebody chooses: how it is kept and read.
//!
//! A pass hands over what it found as a set. Whether that is what was noted before, the statement itself decides, so that
//! a choice that is made meanwhile is neither lost nor kept for what it was not about.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_core::{
    AssetId, AssetPath, Conflict, ConflictSide, Error, Kind, NewConflict, Question, Resolution,
    Result, Revision,
};

use crate::error::{Failure, nonsense};
use crate::place::Database;
use crate::read::Reader;
use crate::rows::{Columns, Set, set, signed};
use crate::statement::values;
use crate::write::{Answer, KEY_BYTES_MAX};
use crate::writer::Transaction;

/// How many rows one statement writes: bounds the JSON text that SQLite spreads.
const ROWS_A_STATEMENT: usize = 1_000;

/// The columns that say what was found.
macro_rules! found_columns {
    () => {
        "flow, subject, question, reason, file_endpoint, file_asset, file_path, file_revision, file_size, \
         asset_endpoint, asset_asset, asset_path, asset_revision, asset_size"
    };
}

/// Whether a row that is there is about the same as the one that is noted.
macro_rules! is_same {
    () => {
        "conflict.question = excluded.question AND conflict.file_revision IS NOT DISTINCT FROM excluded.file_revision \
         AND conflict.asset_revision IS NOT DISTINCT FROM excluded.asset_revision"
    };
}

pub(crate) const NOTE_CONFLICTS: &str = concat!(
    "INSERT INTO conflict (",
    found_columns!(),
    ", since, passes) SELECT value->>'flow', value->>'subject', value->>'question', value->>'reason', \
     value->>'file_endpoint', value->>'file_asset', value->>'file_path', value->>'file_revision', \
     CAST(value->>'file_size' AS BIGINT), value->>'asset_endpoint', value->>'asset_asset', value->>'asset_path', \
     value->>'asset_revision', CAST(value->>'asset_size' AS BIGINT), $2, 1 FROM jsonb_each($1) WHERE true \
     ON CONFLICT (flow, subject) DO UPDATE SET since = CASE WHEN ",
    is_same!(),
    " THEN conflict.since ELSE excluded.since END, passes = CASE WHEN ",
    is_same!(),
    " THEN conflict.passes + 1 ELSE excluded.passes END, resolution = CASE WHEN ",
    is_same!(),
    " THEN conflict.resolution END, question = excluded.question, reason = excluded.reason, \
     file_endpoint = excluded.file_endpoint, file_asset = excluded.file_asset, file_path = excluded.file_path, \
     file_revision = excluded.file_revision, file_size = excluded.file_size, \
     asset_endpoint = excluded.asset_endpoint, asset_asset = excluded.asset_asset, asset_path = excluded.asset_path, \
     asset_revision = excluded.asset_revision, asset_size = excluded.asset_size"
);

pub(crate) const RESOLVE_CONFLICT: &str = "UPDATE conflict SET resolution = $6 WHERE flow = $1 AND subject = $2 \
     AND question = $3 AND file_revision IS NOT DISTINCT FROM $4 AND asset_revision IS NOT DISTINCT FROM $5";

pub(crate) const END_CONFLICTS: &str = "DELETE FROM conflict WHERE flow = $1 AND subject IN \
     (SELECT value FROM json_each($2))";

pub(crate) const CONFLICTS: &str = concat!(
    "SELECT ",
    found_columns!(),
    ", since, passes, resolution FROM conflict WHERE (flow, subject) > ($1, $2) ORDER BY flow, subject LIMIT $3"
);

pub(crate) const CONFLICTS_OF_FLOW: &str = concat!(
    "SELECT ",
    found_columns!(),
    ", since, passes, resolution FROM conflict WHERE flow = $1 AND subject > $2 ORDER BY subject LIMIT $3"
);

/// What was found, as [`NOTE_CONFLICTS`] reads it.
#[derive(Serialize)]
struct Row<'a> {
    flow: &'a str,
    subject: &'a AssetId,
    question: &'static str,
    reason: &'a str,
    file_endpoint: &'a str,
    file_asset: &'a AssetId,
    file_path: &'a AssetPath,
    file_revision: Option<&'a Revision>,
    file_size: i64,
    asset_endpoint: &'a str,
    asset_asset: &'a AssetId,
    asset_path: &'a AssetPath,
    asset_revision: Option<&'a Revision>,
    asset_size: i64,
}

impl<'a> Row<'a> {
    fn of(found: &'a NewConflict) -> Result<Self> {
        let (file, asset) = (&found.file, &found.asset);
        Ok(Row {
            flow: &found.flow,
            subject: &found.subject,
            question: found.question.word(),
            reason: &found.reason,
            file_endpoint: &file.endpoint,
            file_asset: &file.asset,
            file_path: &file.path,
            file_revision: file.revision.as_ref(),
            file_size: signed(file.size)?,
            asset_endpoint: &asset.endpoint,
            asset_asset: &asset.asset,
            asset_path: &asset.path,
            asset_revision: asset.revision.as_ref(),
            asset_size: signed(asset.size)?,
        })
    }
}

/// Notes what a pass found; of two about one subject the later counts.
pub(crate) async fn note(
    transaction: &mut Transaction<'_>,
    conflicts: &[NewConflict],
) -> Result<Answer, Failure> {
    let last: BTreeMap<_, _> = conflicts
        .iter()
        .map(|found| ((&found.flow, &found.subject), found))
        .collect();
    if transaction.target.place.database() == Database::Postgres {
        last.values()
            .try_for_each(|found| fits_an_index(found))
            .map_err(Failure::Refused)?;
    }
    // Everything that can be refused comes before the first statement that writes.
    let found: Vec<&NewConflict> = last.into_values().collect();
    let sets: Result<Vec<Set>> = found.chunks(ROWS_A_STATEMENT).map(rows).collect();
    for rows in sets.map_err(Failure::Refused)? {
        transaction
            .run(NOTE_CONFLICTS, values![rows, transaction.now])
            .await?;
    }
    Ok(Answer::Unit)
}

fn rows(found: &[&NewConflict]) -> Result<Set> {
    let rows: Result<Vec<_>> = found.iter().map(|found| Row::of(found)).collect();
    set(&rows?)
}

fn fits_an_index(found: &NewConflict) -> Result<()> {
    if found.flow.len() + found.subject.as_str().len() <= KEY_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(
        Kind::InvalidInput,
        "a path is longer than a ledger on a server can look up (about 2,500 bytes)",
    )
    .with_context("path", &found.file.path)
    .with_hint("shorten it, leave it out of the flow, or keep the ledger in a file"))
}

/// Notes what was chosen, as long as it is about the same. Answers how many conflicts that are: one or none.
pub(crate) async fn resolve(
    transaction: &mut Transaction<'_>,
    conflict: &NewConflict,
    resolution: Option<Resolution>,
) -> Result<Answer, Failure> {
    let revision = |side: &ConflictSide| side.revision.as_ref().map(|one| one.as_str().to_owned());
    let changed = transaction
        .run(
            RESOLVE_CONFLICT,
            values![
                conflict.flow.as_str(),
                conflict.subject.as_str(),
                conflict.question.word(),
                revision(&conflict.file),
                revision(&conflict.asset),
                resolution.map(Resolution::word)
            ],
        )
        .await?;
    Ok(Answer::Count(changed))
}

/// Forgets what a flow found about these subjects.
pub(crate) async fn end(
    transaction: &mut Transaction<'_>,
    flow: &str,
    subjects: &[AssetId],
) -> Result<Answer, Failure> {
    for some in subjects.chunks(ROWS_A_STATEMENT) {
        transaction
            .run(END_CONFLICTS, values![flow, set(some)?])
            .await?;
    }
    Ok(Answer::Unit)
}

impl Reader {
    pub(crate) async fn conflicts(
        &self,
        flow: Option<&str>,
        after: Option<(&str, &AssetId)>,
        limit: u32,
    ) -> Result<Vec<Conflict>> {
        let limit = i64::from(limit);
        let (after_flow, after) =
            after.map_or(("", ""), |(flow, subject)| (flow, subject.as_str()));
        let rows = match flow {
            None => {
                self.rows(CONFLICTS, values![after_flow, after, limit])
                    .await?
            }
            Some(flow) if flow < after_flow => Vec::new(),
            Some(flow) => {
                let after = if flow == after_flow { after } else { "" };
                self.rows(CONFLICTS_OF_FLOW, values![flow, after, limit])
                    .await?
            }
        };
        rows.iter()
            .map(|row| conflict(&self.columns(row)))
            .collect()
    }
}

fn conflict(columns: &Columns<'_>) -> Result<Conflict> {
    let resolution = match columns.maybe_text("resolution")? {
        None => None,
        Some(word) => Some(
            Resolution::from_word(&word)
                .ok_or_else(|| nonsense(columns.ledger, "resolution", &word))?,
        ),
    };
    Ok(Conflict {
        found: NewConflict {
            flow: columns.text("flow")?,
            subject: AssetId::new(columns.text("subject")?),
            question: columns.word("question", Question::from_word)?,
            reason: columns.text("reason")?,
            file: file(columns)?,
            asset: asset(columns)?,
        },
        since: columns.instant("since", columns.number("since")?)?,
        passes: columns.size("passes")?,
        resolution,
    })
}

fn file(columns: &Columns<'_>) -> Result<ConflictSide> {
    Ok(ConflictSide {
        endpoint: columns.text("file_endpoint")?,
        asset: AssetId::new(columns.text("file_asset")?),
        path: AssetPath::new(&columns.text("file_path")?),
        revision: columns.maybe_text("file_revision")?.map(Revision::new),
        size: columns.size("file_size")?,
    })
}

fn asset(columns: &Columns<'_>) -> Result<ConflictSide> {
    Ok(ConflictSide {
        endpoint: columns.text("asset_endpoint")?,
        asset: AssetId::new(columns.text("asset_asset")?),
        path: AssetPath::new(&columns.text("asset_path")?),
        revision: columns.maybe_text("asset_revision")?.map(Revision::new),
        size: columns.size("asset_size")?,
    })
}
