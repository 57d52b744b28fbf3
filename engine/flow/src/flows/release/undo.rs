//! What release flows took away and keep goes back to where it was, while nobody changed it and rights allow it.

use std::sync::Arc;

use async_trait::async_trait;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Holding, Placed, Placement, Result, Withdrawal,
};

use super::ReleaseFlow;
use super::steps::last_known;
use crate::delivery::{Clearance, asset_of, delivered_revision};
use crate::plan::{Cause, PlannedStep, Work};
use crate::rights::{Asked, Passage, RightsGate};
use crate::run::Desk;
use crate::undo::{GivesBack, TakenAway, Verdict, brought_back, left_in_any_case};

/// What lies where something is kept.
enum Kept {
    /// It, unchanged.
    There(Placed),
    /// It, changed or elsewhere.
    Touched(AssetPath),
    /// Nothing.
    Gone,
}

#[async_trait]
impl GivesBack for ReleaseFlow {
    async fn give_back(&self, taken: &TakenAway) -> Result<Verdict> {
        if let Some(left) = left_in_any_case(taken) {
            return Ok(left);
        }
        let Some(withdrawal) = &taken.withdrawal else {
            return Ok(Verdict::left("the ledger does not know it any more"));
        };
        let draft = taken.work.draft();
        let at = draft.collection.join(&draft.file_name);
        let holding = match self.may_come_back(taken, withdrawal).await? {
            Ok(holding) => holding,
            Err(left) => return Ok(left),
        };
        let Some(kept) = &withdrawal.kept else {
            return Ok(self.deleted(withdrawal, &at));
        };
        let placed = match self.movable(withdrawal, kept, &at).await? {
            Ok(placed) => placed,
            Err(left) => return Ok(left),
        };
        let step = self.bring_back(withdrawal, placed, &at, &holding);
        Ok(Verdict::Back(Box::new(step)))
    }
}

impl ReleaseFlow {
    /// What a runner needs to bring something back: rights are asked, what the flow selects is not. Whoever undoes wants
    /// what the flow would not place.
    pub fn undo_desk(&self) -> Desk {
        Desk {
            flow: self.options.flow.clone(),
            gate: Arc::new(RightsGate {
                query: None,
                ..self.gate.as_ref().clone()
            }),
            outlet: Arc::clone(&self.outlet),
            observer: Arc::clone(&self.observer),
        }
    }

    /// What the library holds of it, where rights allow that it comes back; else why they do not.
    async fn may_come_back(
        &self,
        taken: &TakenAway,
        withdrawal: &Withdrawal,
    ) -> Result<std::result::Result<Holding, Verdict>> {
        let placement = &withdrawal.placement;
        let library = &self.gate.library;
        let asset = [asset_of(&placement.source_asset)];
        let held = library.consult(&asset).await?;
        let Some(holding) = held.into_iter().next().flatten() else {
            let why = format!("rights forbid it: {}", self.gate.gone());
            return Ok(Err(Verdict::left(why)));
        };
        let uses = self.options.kind.uses_of(placement);
        let asked = Asked {
            holding: &holding,
            uses: &uses,
        };
        if let Passage::Shut { reason, .. } = self.gate.judge(&[asked]).await.0.remove(0) {
            return Ok(Err(Verdict::left(format!("rights forbid it: {reason}"))));
        }
        if taken
            .work
            .cause()
            .is_some_and(|cause| cause != Cause::Unwanted)
        {
            let left = Verdict::left(format!("rights forbade it: {}", withdrawal.reason));
            return Ok(Err(left.with_hint(format!(
                "they allow it by now: `windlass run {}` places it again if the flow is about it",
                self.options.flow
            ))));
        }
        if !is_current(placement, &holding.asset) {
            let left = Verdict::left(format!("{} has another version by now", library.name()));
            return Ok(Err(left.with_hint("let the flow place that one")));
        }
        Ok(Ok(holding))
    }

    /// What is kept, where it can go back to `at`; else why it cannot.
    pub(crate) async fn movable(
        &self,
        withdrawal: &Withdrawal,
        kept: &AssetPath,
        at: &AssetPath,
    ) -> Result<std::result::Result<Placed, Verdict>> {
        let placed = match self.kept(&withdrawal.placement.placed, kept, at).await? {
            Kept::There(placed) => placed,
            Kept::Touched(path) => {
                let why = format!("somebody changed or moved what was kept; it is at {path}");
                let left = Verdict::left(why).with_hint("move it where it is to be by hand");
                return Ok(Err(left));
            }
            Kept::Gone => {
                let left = Verdict::left(format!("somebody removed it from {kept}"));
                return Ok(Err(left.with_hint(self.history(withdrawal, kept))));
            }
        };
        // Some services give what lies at a path to whoever asks by path: so a plan knows it already.
        let there = self.reader.stat(&AssetId::new(at.as_str())).await?;
        if there.is_some_and(|there| there.id != placed.asset) {
            let left = Verdict::left(format!("something else is at {at} by now"));
            return Ok(Err(left.with_hint("remove or rename it, and undo again")));
        }
        Ok(Ok(placed))
    }

    /// Looks at what is kept; what came back already by a call whose end nobody saw counts as well. Its id may be another
    /// one by now: of some services a path is the id, and others give a new one where folders are shared.
    async fn kept(&self, placed: &Placed, kept: &AssetPath, at: &AssetPath) -> Result<Kept> {
        let mut touched = None;
        for id in [
            placed.asset.clone(),
            AssetId::new(kept.as_str()),
            AssetId::new(at.as_str()),
        ] {
            let Some(asset) = self.reader.stat(&id).await? else {
                continue;
            };
            let is_placed = [kept, at].iter().any(|path| path.key() == asset.path.key());
            if is_placed && is_as_placed(&asset, placed) {
                return Ok(Kept::There(Placed {
                    asset: asset.id,
                    revision: asset.revision,
                    ..placed.clone()
                }));
            }
            // What has the old place may be somebody else's.
            if asset.path.key() != at.key() {
                touched.get_or_insert(asset.path);
            }
        }
        Ok(touched.map_or(Kept::Gone, Kept::Touched))
    }

    pub(crate) fn deleted(&self, withdrawal: &Withdrawal, at: &AssetPath) -> Verdict {
        Verdict::left("it was deleted, not quarantined, or was gone already")
            .with_hint(self.history(withdrawal, at))
    }

    /// Where what is deleted may still be found.
    pub(crate) fn history(&self, withdrawal: &Withdrawal, at: &AssetPath) -> String {
        let placed = &withdrawal.placement.placed;
        format!(
            "{} may keep deleted files for some weeks: restore {at} there, revision {}",
            self.outlet.name(),
            placed.revision
        )
    }

    fn bring_back(
        &self,
        withdrawal: &Withdrawal,
        placed: Placed,
        at: &AssetPath,
        holding: &Holding,
    ) -> PlannedStep {
        let receipt = self.options.handing.as_ref();
        let receipt = receipt.is_some_and(|handing| handing.receipt);
        let asset = last_known(&withdrawal.placement);
        let work = Work::Move {
            placement: Box::new(Placement {
                placed,
                ..withdrawal.placement.clone()
            }),
            asset: asset.clone(),
            draft: brought_back(at, &withdrawal.reason, receipt),
            release: Box::new(Clearance {
                revision: holding.asset.revision.clone(),
                rendition: None,
                uses: self.options.kind.uses_of(&withdrawal.placement),
                until: None,
                moves: false,
                note: withdrawal.note.clone(),
                gone: false,
            }),
        };
        PlannedStep {
            action: Action::Relocate,
            reason: format!("it was taken away because {}", withdrawal.reason),
            asset,
            work: Some(work),
        }
    }
}

/// Whether what was placed is of the version that the library has, whichever rendition of it.
fn is_current(placement: &Placement, now: &Asset) -> bool {
    let placed = placement.source_revision.as_str();
    let rendered = delivered_revision(&now.revision, Some(""));
    placed == now.revision.as_str() || placed.starts_with(rendered.as_str())
}

/// Whether nobody changed it since it was placed.
pub(crate) fn is_as_placed(asset: &Asset, placed: &Placed) -> bool {
    let same_hash = asset.content_hash.is_some() && asset.content_hash == placed.content_hash;
    asset.revision == placed.revision || (asset.size == placed.size && same_hash)
}
