//! What outcomes leave to be remembered of assets: contents, placements, withdrawals and holds.
//!
//! Outcomes of one batch are put together by asset first, so that each table takes one statement however many there are
//! and the later report about an asset counts. Statements run in this order: what is placed, what is taken back of it,
//! what is held after all.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use windlass_core::{
    AssetId, AssetPath, Blake3, ContentHash, Error, NewHold, Placement, Revision, Withdrawal,
};

use crate::error::Failure;
use crate::rows::{Set, evidence_word, json, set, signed};
use crate::statement::values;
use crate::writer::Transaction;

pub(crate) const ADD_CONTENTS: &str = "INSERT INTO content (content_hash, blake3, size) \
     SELECT unhex(value->>0), unhex(value->>1), CAST(value->>2 AS BIGINT) \
     FROM jsonb_each($1) WHERE true ON CONFLICT (content_hash) DO NOTHING";

/// What of a row is a placement: the columns, how they are read, and how a newer row replaces them.
macro_rules! placement_part {
    (columns) => {
        "flow, source, source_asset, source_revision, source_path, sink, sink_asset, sink_revision, sink_size, \
         sink_content_hash, evidence, size, blake3, content_hash, draft_digest, collection, linked"
    };
    (values) => {
        "value->>'flow', value->>'source', value->>'source_asset', value->>'source_revision', \
         value->>'source_path', value->>'sink', value->>'sink_asset', value->>'sink_revision', \
         CAST(value->>'sink_size' AS BIGINT), unhex(value->>'sink_content_hash'), value->>'evidence', \
         CAST(value->>'size' AS BIGINT), unhex(value->>'blake3'), unhex(value->>'content_hash'), \
         unhex(value->>'draft_digest'), value->>'collection', CAST(value->>'linked' AS BIGINT)"
    };
    (replaced) => {
        "ON CONFLICT (flow, source, source_asset) DO UPDATE SET \
         source_revision = excluded.source_revision, source_path = excluded.source_path, \
         sink = excluded.sink, sink_asset = excluded.sink_asset, \
         sink_revision = excluded.sink_revision, sink_size = excluded.sink_size, \
         sink_content_hash = excluded.sink_content_hash, evidence = excluded.evidence, \
         size = excluded.size, blake3 = excluded.blake3, content_hash = excluded.content_hash, \
         draft_digest = excluded.draft_digest, collection = excluded.collection, \
         linked = excluded.linked, step = excluded.step, at = excluded.at"
    };
}

pub(crate) use placement_part;

pub(crate) const PLACE: &str = concat!(
    "INSERT INTO placement (",
    placement_part!(columns),
    ", step, at) SELECT ",
    placement_part!(values),
    ", CAST(value->>'step' AS BIGINT), $2 FROM jsonb_each($1) WHERE true ",
    placement_part!(replaced)
);

/// Ends the placements that are taken back, where they are still those. They are found by their key: thousands may be
/// linked to one asset of the sink, so its index must not be chosen, which the empty text sees to.
pub(crate) const UNPLACE: &str = "DELETE FROM placement WHERE rowid IN (SELECT named.rowid \
     FROM jsonb_each($1) AS wanted CROSS JOIN placement AS named \
     WHERE named.flow = wanted.value->>'flow' AND named.source = wanted.value->>'source' \
     AND named.source_asset = wanted.value->>'source_asset' AND named.sink = wanted.value->>'sink' \
     AND named.sink_asset || '' = wanted.value->>'sink_asset')";

/// Runs after [`UNPLACE`]: what is placed still is placed as something else, and was not taken back.
pub(crate) const WITHDRAW: &str = concat!(
    "INSERT INTO withdrawal (",
    placement_part!(columns),
    ", reason, kept, links, recipients, note, step, at) SELECT ",
    placement_part!(values),
    ", value->>'reason', value->>'kept', value->>'links', value->>'recipients', value->>'note', \
     CAST(value->>'step' AS BIGINT), $2 FROM jsonb_each($1) WHERE NOT EXISTS (SELECT 1 FROM placement \
     WHERE placement.flow = value->>'flow' AND placement.source = value->>'source' \
     AND placement.source_asset = value->>'source_asset') ",
    placement_part!(replaced),
    ", reason = excluded.reason, kept = excluded.kept, links = excluded.links, \
     recipients = excluded.recipients, note = excluded.note"
);

/// Forgets the withdrawals of assets that are placed again.
pub(crate) const UNWITHDRAW: &str = "DELETE FROM withdrawal WHERE (flow, source, source_asset) IN \
     (SELECT value->>'flow', value->>'source', value->>'source_asset' FROM jsonb_each($1))";

pub(crate) const HOLD: &str = "INSERT INTO hold (flow, source, source_asset, source_revision, \
     draft_digest, reason, step, at) SELECT value->>'flow', value->>'source', \
     value->>'source_asset', value->>'source_revision', unhex(value->>'draft_digest'), \
     value->>'reason', CAST(value->>'step' AS BIGINT), $2 \
     FROM jsonb_each($1) WHERE true ON CONFLICT (flow, source, source_asset) DO UPDATE SET \
     source_revision = excluded.source_revision, draft_digest = excluded.draft_digest, \
     reason = excluded.reason, step = excluded.step, at = excluded.at";

/// Ends the holds of assets that are placed or taken back now.
pub(crate) const UNHOLD: &str = "DELETE FROM hold WHERE (flow, source, source_asset) IN \
     (SELECT value->>'flow', value->>'source', value->>'source_asset' FROM jsonb_each($1))";

/// Whether a placement may have to end anything: most ledgers hold and take back nothing or little, and reading a whole
/// set again for each table would cost as much as placing it. One look for both.
pub(crate) const ANY_TO_END: &str = "SELECT \
     (SELECT COUNT(*) FROM (SELECT 1 FROM hold LIMIT 1) AS one) AS held, \
     (SELECT COUNT(*) FROM (SELECT 1 FROM withdrawal LIMIT 1) AS one) AS withdrawn";

/// What an asset is known by in each of the tables.
type Key<'a> = (&'a str, &'a str, &'a AssetId);

/// What the outcomes of a batch leave, put together by asset.
#[derive(Debug, Default)]
pub(crate) struct Remembered<'a> {
    placements: BTreeMap<Key<'a>, (&'a Placement, i64)>,
    /// In order. The last one is kept; each may be of the placement that is there.
    withdrawals: BTreeMap<Key<'a>, Vec<(&'a Withdrawal, i64)>>,
    holds: BTreeMap<Key<'a>, (&'a NewHold, &'a str, i64)>,
}

impl<'a> Remembered<'a> {
    /// A step placed something.
    pub(crate) fn place(&mut self, placement: &'a Placement, step: i64) {
        let key = placement.of();
        self.holds.remove(&key);
        self.withdrawals.remove(&key);
        self.placements.insert(key, (placement, step));
    }

    /// A step took something back. What was placed before it stays to be written: it replaces what was there, and its
    /// content is known.
    pub(crate) fn withdraw(&mut self, withdrawal: &'a Withdrawal, step: i64) {
        let key = withdrawal.placement.of();
        self.holds.remove(&key);
        let of_asset = self.withdrawals.entry(key).or_default();
        of_asset.push((withdrawal, step));
    }

    /// A step could not place something.
    pub(crate) fn hold(&mut self, hold: &'a NewHold, reason: &'a str, step: i64) {
        let key = (hold.flow.as_str(), hold.source.as_str(), &hold.source_asset);
        self.holds.insert(key, (hold, reason, step));
    }

    /// Writes all of it.
    pub(crate) async fn write(self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        let placements: Vec<_> = self.placements.into_values().collect();
        add_contents(transaction, &placements).await?;
        place(transaction, &placements).await?;
        let withdrawals: Vec<_> = self.withdrawals.into_values().collect();
        withdraw(transaction, &withdrawals).await?;
        let holds: Vec<_> = self.holds.into_values().collect();
        keep_holds(transaction, &holds).await
    }
}

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

impl<'a> PlacementRow<'a> {
    fn of(placement: &'a Placement, step: i64) -> Result<Self, Error> {
        let (placed, digests) = (&placement.placed, &placement.digests);
        Ok(PlacementRow {
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
            step,
        })
    }
}

/// A withdrawal, as [`WITHDRAW`] reads it.
#[derive(Serialize)]
struct WithdrawalRow<'a> {
    #[serde(flatten)]
    placement: PlacementRow<'a>,
    reason: &'a str,
    kept: Option<&'a AssetPath>,
    /// JSON within JSON, as the note too: the columns hold it as text.
    links: String,
    recipients: String,
    note: Option<String>,
}

impl<'a> WithdrawalRow<'a> {
    fn of(withdrawal: &'a Withdrawal, step: i64) -> Result<Self, Error> {
        Ok(WithdrawalRow {
            placement: PlacementRow::of(&withdrawal.placement, step)?,
            reason: &withdrawal.reason,
            kept: withdrawal.kept.as_ref(),
            links: json(&withdrawal.links)?,
            recipients: json(&withdrawal.recipients)?,
            note: withdrawal.note.as_ref().map(json).transpose()?,
        })
    }
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
    let rows: Result<Vec<_>, Error> = placements
        .iter()
        .map(|(placement, step)| PlacementRow::of(placement, *step))
        .collect();
    let rows = set(&rows?)?;
    transaction
        .run(PLACE, values![rows.clone(), transaction.now])
        .await?;
    let (held, withdrawn) = any_to_end(transaction).await?;
    if held {
        transaction.run(UNHOLD, values![rows.clone()]).await?;
    }
    if withdrawn {
        transaction.run(UNWITHDRAW, values![rows]).await?;
    }
    Ok(())
}

/// Whether anything is held, and whether anything is taken back.
async fn any_to_end(transaction: &mut Transaction<'_>) -> Result<(bool, bool), Failure> {
    let row = transaction.one(ANY_TO_END, values![]).await?;
    let columns = transaction.columns(&row);
    Ok((
        columns.number("held")? > 0,
        columns.number("withdrawn")? > 0,
    ))
}

/// Runs after [`place`]: what was placed before in the same batch is among what may be taken back.
async fn withdraw(
    transaction: &mut Transaction<'_>,
    withdrawals: &[Vec<(&Withdrawal, i64)>],
) -> Result<(), Failure> {
    if withdrawals.is_empty() {
        return Ok(());
    }
    let all = withdrawals.iter().flatten();
    let named: Vec<_> = all.map(|(withdrawal, _)| named(withdrawal)).collect();
    transaction.run(UNPLACE, values![set(&named)?]).await?;
    let rows = withdrawal_rows(withdrawals)?;
    transaction
        .run(WITHDRAW, values![rows.clone(), transaction.now])
        .await?;
    transaction.run(UNHOLD, values![rows]).await?;
    Ok(())
}

/// The placement that a withdrawal is of, as [`UNPLACE`] reads it.
fn named(withdrawal: &Withdrawal) -> impl Serialize {
    let placement = &withdrawal.placement;
    serde_json::json!({
        "flow": placement.flow,
        "source": placement.source,
        "source_asset": placement.source_asset,
        "sink": placement.sink,
        "sink_asset": placement.placed.asset,
    })
}

/// The last withdrawal of each asset.
fn withdrawal_rows(withdrawals: &[Vec<(&Withdrawal, i64)>]) -> Result<Set, Error> {
    let last = withdrawals.iter().filter_map(|of_asset| of_asset.last());
    let rows: Result<Vec<_>, Error> = last
        .map(|(withdrawal, step)| WithdrawalRow::of(withdrawal, *step))
        .collect();
    set(&rows?)
}

/// Runs after [`place`] and [`withdraw`]: a hold that came after either in the same batch counts.
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
