//! Undoing what a sync put away: an asset goes back to its collection, a file to its folder.
//!
//! What comes back by an undo is still without its partner, and must not be put away again for the reason that was just
//! overruled. So the placement tells it: what was asked of it, and with that the digest, is a pure function of the
//! placement and the reason. An asset that came back gets its file again; a file that came back is apart from its asset.
//! As soon as both are there, the next thing that is brought over replaces that placement, and later removals count.
//!
//! What was deleted for good after it had been put away does not come back by this: it is said where it may be found.

use std::collections::BTreeSet;

use async_trait::async_trait;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Draft, DraftPart, Holding, Placed, Placement, Result,
    Withdrawal,
};

use super::pair::{Pair, SLOT};
use super::{SyncHalf, Way};
use crate::delivery::{Clearance, asset_of, delivery_id};
use crate::plan::{Cause, PlannedStep, Work};
use crate::run::is_over;
use crate::undo::{GivesBack, TakenAway, Verdict, brought_back, left_in_any_case};

/// Why an asset is put away.
pub(super) const FILE_REMOVED: &str = "its file was removed";

/// Why a file is put away.
pub(super) const ASSET_REMOVED: &str = "its asset was deleted or hidden";

/// What of a pair came back by an undo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undone {
    /// The asset, although its file was removed.
    pub(super) asset: bool,
    /// The file, although its asset was removed.
    pub(super) file: bool,
}

impl Undone {
    /// Errors: `Unexpected` where a draft cannot be written.
    pub(super) fn of(pair: &Pair) -> Result<Undone> {
        let asset = match &pair.inward {
            Some(inward) => {
                let again = asset_again(&inward.collection, &inward.source_path, &pair.outward);
                again.digest()? == inward.draft_digest
            }
            None => false,
        };
        let file = match &pair.outward {
            Some(outward) => {
                let at = outward.collection.join(outward.source_path.name());
                brought_back(&at, ASSET_REMOVED, false).digest()? == outward.draft_digest
            }
            None => false,
        };
        Ok(Undone { asset, file })
    }
}

/// What an asset is that came back to its collection although its file was removed. The file that the way out had placed is
/// part of it: once there is another one, its removal is another removal. Nothing but its collection is asked for, so the
/// reason is told as something that yields.
fn asset_again(collection: &AssetPath, file: &AssetPath, outward: &Option<Placement>) -> Draft {
    let last = outward.as_ref().map_or_else(String::new, |outward| {
        let placed = &outward.placed;
        format!(" as {} {}", placed.asset, placed.revision)
    });
    Draft {
        name: file.name().to_owned(),
        yields: BTreeSet::from([
            DraftPart::Name,
            DraftPart::AssetType,
            DraftPart::Availability,
            DraftPart::Field(format!("although {FILE_REMOVED}{last}")),
        ]),
        ..brought_back(&collection.join(file.name()), FILE_REMOVED, false)
    }
}

#[async_trait]
impl GivesBack for SyncHalf {
    async fn give_back(&self, taken: &TakenAway) -> Result<Verdict> {
        if let Some(over) = self.over(taken).await? {
            return Ok(over);
        }
        match (&taken.work, self.way) {
            (
                Work::Update {
                    placement,
                    asset,
                    draft,
                    ..
                },
                Way::In,
            ) => self.asset_back(placement, asset, draft).await,
            (_, Way::In) => Ok(left_in_any_case(taken)
                .unwrap_or_else(|| Verdict::left("the way in takes nothing else away"))),
            (_, Way::Out) => self.file_back(taken).await,
        }
    }

    fn takes(&self, action: Action) -> bool {
        match action {
            Action::Withdraw | Action::NewVersion => true,
            // The way in moves nothing but what it puts away.
            Action::Relocate => self.way == Way::In,
            _ => false,
        }
    }
}

impl SyncHalf {
    /// That nothing is left to give back, and where it may still be found, if it was deleted for good: by this run, or by a
    /// later one after this run had put it away.
    async fn over(&self, taken: &TakenAway) -> Result<Option<Verdict>> {
        if matches!(taken.work, Work::Place { .. }) {
            return Ok(None);
        }
        let (step, ledger) = (&taken.step, &self.sync.ingest.ledger);
        let asset = std::slice::from_ref(&step.asset);
        let known = ledger
            .withdrawals(self.name(), &step.endpoint, asset)
            .await?;
        let Some(over) = known.into_iter().flatten().find(is_over) else {
            return Ok(None);
        };
        let left = Verdict::left(format!("it was deleted for good: {}", over.reason));
        Ok(Some(left.with_hint(match self.way {
            Way::In => self.trash(&over),
            Way::Out => self.sync.release.history(&over, &kept_as(&taken.work)),
        })))
    }

    fn trash(&self, over: &Withdrawal) -> String {
        let Placement {
            placed, collection, ..
        } = &over.placement;
        format!(
            "{} may keep deleted assets in a trash for some time: whoever administers it may restore asset {}, version {}, \
             which was in {collection}",
            self.sync.library.name(),
            placed.asset,
            placed.revision
        )
    }

    /// Moves an asset that was put away back to its collection.
    async fn asset_back(&self, before: &Placement, file: &Asset, kept: &Draft) -> Result<Verdict> {
        let sync = &self.sync;
        let seen = sync.seen();
        let ledger = &sync.ingest.ledger;
        let known = ledger
            .placements(seen.way_in, seen.files, std::slice::from_ref(&file.id))
            .await?;
        let digest = kept.digest()?;
        let as_put_away =
            |one: &Placement| one.draft_digest == digest && one.placed.asset == before.placed.asset;
        let Some(known) = known.into_iter().flatten().find(as_put_away) else {
            return Ok(Verdict::left(
                "it was brought back, or put away anew, since",
            ));
        };
        let id = &known.placed.asset;
        let held = self.consult(id).await?;
        let places = [&kept.collection, &before.collection];
        if let Some(left) = misplaced(held.as_ref(), &places, sync.library.name()) {
            return Ok(left);
        }
        let delivery = [delivery_id(id, SLOT)];
        let outward = ledger
            .placements(seen.way_out, seen.library, &delivery)
            .await?;
        let outward = outward.into_iter().flatten().next();
        let outward = outward.filter(|outward| outward.placed.asset == file.id);
        Ok(Verdict::Back(Box::new(PlannedStep {
            action: Action::Relocate,
            reason: format!("it was put away because {FILE_REMOVED}"),
            asset: file.clone(),
            work: Some(Work::Update {
                draft: asset_again(&before.collection, &file.path, &outward),
                placement: Box::new(known),
                asset: file.clone(),
                leaves: vec![kept.collection.clone()],
            }),
        })))
    }

    /// Moves a file that was put away back to its folder. Rights are asked where there is an asset that they are about.
    async fn file_back(&self, taken: &TakenAway) -> Result<Verdict> {
        let release = &self.sync.release;
        if let Some(left) = left_in_any_case(taken) {
            return Ok(left);
        }
        let Some(withdrawal) = &taken.withdrawal else {
            return Ok(Verdict::left("the ledger does not know it any more"));
        };
        let asset = asset_of(&withdrawal.placement.source_asset);
        let is_removal = taken.work.cause() == Some(Cause::Unwanted);
        if !is_removal || self.consult(&asset).await?.is_some() {
            return release.give_back(taken).await;
        }
        let draft = taken.work.draft();
        let at = draft.collection.join(&draft.file_name);
        let Some(kept) = &withdrawal.kept else {
            return Ok(release.deleted(withdrawal, &at));
        };
        Ok(match release.movable(withdrawal, kept, &at).await? {
            Ok(placed) => Verdict::Back(Box::new(file_again(withdrawal, placed, &at))),
            Err(left) => left,
        })
    }

    async fn consult(&self, asset: &AssetId) -> Result<Option<Holding>> {
        let held = self
            .sync
            .library
            .consult(std::slice::from_ref(asset))
            .await?;
        Ok(held.into_iter().next().flatten())
    }
}

/// Where a file is kept, or was when it was deleted.
fn kept_as(work: &Work) -> AssetPath {
    let draft = work.draft();
    match work {
        Work::TakeBack {
            keep: Some(kept), ..
        } => kept.clone(),
        _ => draft.collection.join(&draft.file_name),
    }
}

/// Why an asset cannot go back, where somebody took it from where it is kept. What is back already, by a call whose end
/// nobody saw, counts as kept.
fn misplaced(held: Option<&Holding>, places: &[&AssetPath], library: &str) -> Option<Verdict> {
    let Some(held) = held else {
        let why = format!("it is gone from {library}, or hidden");
        return Some(Verdict::left(why));
    };
    let is_there = |one: &AssetPath| places.iter().any(|place| place.key() == one.key());
    if held.collections.iter().any(is_there) {
        return None;
    }
    let at = held.asset.path.parent();
    let left = Verdict::left(format!("somebody moved what was kept; it is in {at}"));
    Some(left.with_hint("move it where it is to be by hand"))
}

/// The step that moves a file back whose asset is gone.
fn file_again(withdrawal: &Withdrawal, placed: Placed, at: &AssetPath) -> PlannedStep {
    let placement = &withdrawal.placement;
    // The name of the file is part of its placement, wherever people move it.
    let asset = Asset {
        id: placement.source_asset.clone(),
        path: at.clone(),
        revision: placement.source_revision.clone(),
        size: placement.digests.size,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: windlass_core::Readable::Yes,
    };
    let work = Work::Move {
        placement: Box::new(Placement {
            placed,
            ..placement.clone()
        }),
        asset: asset.clone(),
        draft: brought_back(at, ASSET_REMOVED, false),
        release: Box::new(Clearance {
            revision: placement.source_revision.clone(),
            rendition: None,
            uses: Vec::new(),
            until: None,
            moves: false,
            note: withdrawal.note.clone(),
            gone: true,
        }),
    };
    PlannedStep {
        action: Action::Relocate,
        reason: format!("it was put away because {}", withdrawal.reason),
        asset,
        work: Some(work),
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::{Blake3, Revision, Usable};

    use super::super::Authority;
    use super::super::pair::tests::{file, placement};
    use super::super::verdict::{AssetNow, FileNow, Rules, Verdict as Due};
    use super::*;

    fn held() -> Holding {
        Holding {
            asset: Asset {
                id: AssetId::new("7"),
                revision: Revision::new("1"),
                ..file("r1")
            },
            title: "hero".to_owned(),
            asset_type: None,
            usable: Usable::Unstated,
            collections: vec![AssetPath::new("/Brand")],
            statements: Vec::new(),
            findings: Vec::new(),
            locked: None,
            is_released: true,
            has_file: true,
            changed: None,
        }
    }

    /// A pair whose asset came back by an undo while the way out had placed this.
    fn undone(outward: Option<Placement>) -> Pair {
        let mut inward = placement(("id:1", "r1"), ("7", "1"));
        let again = asset_again(&inward.collection, &inward.source_path, &outward);
        inward.draft_digest = again.digest().unwrap();
        Pair {
            inward: Some(inward),
            outward,
        }
    }

    fn due(pair: &Pair, file: FileNow<'_>) -> Due {
        let rules = Rules {
            authority: &Authority::default(),
            removes: true,
            chosen: None,
            undone: Undone::of(pair).unwrap(),
        };
        rules.judge(pair, file, AssetNow::There(&held()), None)
    }

    #[test]
    fn a_file_that_is_back_beside_its_asset_counts_when_it_is_removed_again() {
        let pair = undone(None);
        let again = Due::Outward { moves: false };
        assert_eq!(due(&pair, FileNow::Gone), again);
        // Somebody restored the very file: the way out notes it, and with that the undo is over.
        assert_eq!(due(&pair, FileNow::There(&file("r1"))), again);
        let noted = Pair {
            outward: Some(placement(("7#pair", "1"), ("id:1", "r1"))),
            ..pair
        };
        assert_eq!(due(&noted, FileNow::There(&file("r1"))), Due::Agree);
        assert_eq!(
            due(&noted, FileNow::Gone),
            Due::KeepAsset(FILE_REMOVED.to_owned())
        );
    }

    #[test]
    fn what_the_way_out_had_placed_is_part_of_what_is_undone() {
        let before = placement(("7#pair", "1"), ("id:1", "r1"));
        let pair = undone(Some(before.clone()));
        assert!(Undone::of(&pair).unwrap().asset);
        let mut later = before;
        later.placed.revision = Revision::new("r2");
        let pair = Pair {
            outward: Some(later),
            ..pair
        };
        assert_eq!(Undone::of(&pair).unwrap(), Undone::default());
    }

    #[test]
    fn nothing_is_undone_of_what_was_placed_as_ever() {
        let mut outward = placement(("7#pair", "1"), ("id:1", "r1"));
        outward.draft_digest = Blake3::of(b"as ever");
        let pair = Pair {
            inward: Some(placement(("id:1", "r1"), ("7", "1"))),
            outward: Some(outward),
        };
        assert_eq!(Undone::of(&pair).unwrap(), Undone::default());
    }
}
