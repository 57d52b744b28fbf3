//! What the ledger knows of a sync: what both ways placed and took back, what waits for a choice, and what one of them may be
//! about to record.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{Asset, AssetId, Conflict, Placement, Result, RunRecord, RunState, Withdrawal};

use super::pair::Pair;
use super::{Sync, Way};
use crate::delivery::asset_of;
use crate::plan::Work;
use crate::run::is_over;

/// Among how many runs of the other way an open one is looked for.
const RUNS_LOOKED_AT: u32 = 100;

/// How many rows are read in one call.
const ROWS: u32 = 1_000;

/// What one way may be about to record, so that the other way leaves it alone.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Files or assets that are brought over.
    sources: BTreeSet<AssetId>,
    /// Where they are brought to, as folded paths.
    places: BTreeSet<String>,
}

impl Doubt {
    pub(super) fn is_about(&self, pair: &Pair) -> bool {
        let file = pair.file().is_some_and(|file| self.sources.contains(file));
        file || pair
            .asset()
            .is_some_and(|asset| self.sources.contains(&asset))
    }

    pub(super) fn is_new(&self, asset: &Asset) -> bool {
        self.sources.contains(&asset.id) || self.places.contains(&asset.path.key())
    }
}

impl Sync {
    /// What both halves have placed, without what is left of pairs that have ended.
    pub(super) async fn placed(&self) -> Result<(Vec<Placement>, Vec<Placement>)> {
        let seen = self.seen();
        let mut inward = self.placements(seen.way_in, seen.files).await?;
        let mut outward = self.placements(seen.way_out, seen.library).await?;
        let ended = self.ended().await?;
        inward.retain(|one| !ended.contains(&inward_pair(one)));
        outward.retain(|one| !ended.contains(&outward_pair(one)));
        Ok((inward, outward))
    }

    /// The pairs, each as its file and its asset, of which one was deleted for good after it had been put away. What comes
    /// back of them is new; as soon as the way that did it places it again, this is forgotten.
    async fn ended(&self) -> Result<BTreeSet<(AssetId, AssetId)>> {
        let files = self.withdrawn().await?;
        let files = files.iter().filter(|one| is_over(one));
        let mut ended: BTreeSet<_> = files.map(|one| outward_pair(&one.placement)).collect();
        let assets = self.retired().await?;
        ended.extend(assets.iter().map(|one| inward_pair(&one.placement)));
        Ok(ended)
    }

    /// Assets that the way in deleted for good.
    pub(super) async fn retired(&self) -> Result<Vec<Withdrawal>> {
        let seen = self.seen();
        let mut retired = self.withdrawals(seen.way_in, seen.files).await?;
        retired.retain(is_over);
        Ok(retired)
    }

    async fn placements(&self, flow: &str, source: &str) -> Result<Vec<Placement>> {
        let mut placed: Vec<Placement> = Vec::new();
        loop {
            let after = placed.last().map(|last| last.source_asset.clone());
            let page = self
                .ingest
                .ledger
                .placements_after(flow, source, after.as_ref(), ROWS)
                .await?;
            match page.is_empty() {
                true => return Ok(placed),
                false => placed.extend(page),
            }
        }
    }

    /// Assets whose file the way out took back and did not place again.
    pub(super) async fn taken(&self) -> Result<BTreeSet<AssetId>> {
        let withdrawn = self.withdrawn().await?;
        let ids = withdrawn.iter().map(|one| &one.placement.source_asset);
        Ok(ids.map(asset_of).collect())
    }

    /// What the way out took back and did not place again.
    pub(super) async fn withdrawn(&self) -> Result<Vec<Withdrawal>> {
        let seen = self.seen();
        self.withdrawals(seen.way_out, seen.library).await
    }

    async fn withdrawals(&self, flow: &str, source: &str) -> Result<Vec<Withdrawal>> {
        let mut withdrawn: Vec<Withdrawal> = Vec::new();
        loop {
            let last = withdrawn.last();
            let last = last.map(|one| one.placement.source_asset.clone());
            let page = self
                .ingest
                .ledger
                .withdrawals_after(flow, source, last.as_ref(), ROWS)
                .await?;
            match page.is_empty() {
                true => return Ok(withdrawn),
                false => withdrawn.extend(page),
            }
        }
    }

    /// What waits in the queue.
    pub(super) async fn noted(&self) -> Result<BTreeMap<AssetId, Conflict>> {
        let flow = self.options.name.as_str();
        let mut noted: BTreeMap<AssetId, Conflict> = BTreeMap::new();
        loop {
            let after = noted.keys().next_back().cloned();
            let after = after.as_ref().map(|subject| (flow, subject));
            let page = self
                .ingest
                .ledger
                .conflicts(Some(flow), after, ROWS)
                .await?;
            match page.is_empty() {
                true => return Ok(noted),
                false => noted.extend(page.into_iter().map(|one| (one.found.subject.clone(), one))),
            }
        }
    }

    /// What a run of the other way that has not ended may have done without its outcome being recorded.
    pub(super) async fn doubt(&self, way: Way) -> Result<Doubt> {
        let ledger = self.ingest.ledger.as_ref();
        let other = match way {
            Way::In => &self.options.way_out,
            Way::Out => &self.options.way_in,
        };
        let mut doubt = Doubt::default();
        let runs = ledger.runs(Some(other), RUNS_LOOKED_AT).await?;
        let is_open = |run: &RunRecord| matches!(run.state, RunState::Running | RunState::Stopped);
        let Some(run) = runs.into_iter().find(is_open).map(|run| run.id) else {
            return Ok(doubt);
        };
        let mut after = None;
        loop {
            let steps = ledger.unended(run, after, ROWS).await?;
            let Some((last, _)) = steps.last() else {
                return Ok(doubt);
            };
            after = Some(last.id);
            for (step, payload) in &steps {
                doubt.sources.insert(asset_of(&step.asset));
                let work = Work::from_payload(payload)?;
                let path = work.draft().collection.join(&work.draft().file_name);
                doubt.places.insert(path.key());
            }
        }
    }
}

/// The file and the asset of a placement of the way in.
fn inward_pair(placement: &Placement) -> (AssetId, AssetId) {
    let (file, asset) = (&placement.source_asset, &placement.placed.asset);
    (file.clone(), asset.clone())
}

/// The same of one of the way out.
fn outward_pair(placement: &Placement) -> (AssetId, AssetId) {
    let (asset, file) = (&placement.source_asset, &placement.placed.asset);
    (file.clone(), asset_of(asset))
}
