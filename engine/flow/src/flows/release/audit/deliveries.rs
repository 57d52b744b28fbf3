//! Names deliveries: what is to be there, what was placed and what was taken back, each held beside what the sink has.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use windlass_core::{Action, Asset, AssetId, AssetPath, Placement, Result, Withdrawal};

use super::super::BATCH;
use super::super::standing::{Stands, is_below};
use super::super::steps::BLOCKED;
use super::{Next, Seen, VerifyRelease, count, wrong};
use crate::audit::{AuditedFile, Standing, Telling};
use crate::delivery::asset_of;
use crate::plan::Cause;

/// How many withdrawn files are asked for at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// What the sink has of a case.
#[derive(Debug)]
enum At {
    /// What was placed.
    AsPlaced(Asset),
    /// What was taken back.
    Back(Asset),
    /// Something else.
    Not {
        standing: Standing,
        why: Option<String>,
        path: Option<AssetPath>,
    },
    /// Nothing, and nothing was placed.
    Nothing,
}

/// One delivery with all that is known of it.
#[derive(Debug)]
struct Case<'a> {
    id: &'a AssetId,
    placement: Option<&'a Placement>,
    withdrawal: Option<&'a Withdrawal>,
    at: At,
}

impl VerifyRelease<'_> {
    /// Names what has a step, a placement or a withdrawal.
    pub(super) async fn deliveries<'s>(
        &self,
        seen: &'s Seen,
        claimed: &mut BTreeSet<&'s AssetId>,
        telling: &mut Telling<'_>,
    ) -> Result<()> {
        let sink = self.flow.outlet.name();
        let of_sink = seen.placed.values().filter(|one| one.sink == sink);
        claimed.extend(of_sink.map(|one| &one.placed.asset));
        let ids: BTreeSet<&AssetId> = seen
            .steps
            .keys()
            .chain(seen.placed.keys())
            .chain(seen.withdrawn.keys())
            .collect();
        let ids: Vec<&AssetId> = ids.into_iter().collect();
        for batch in ids.chunks(BATCH) {
            let looked = stream::iter(batch.iter().map(async |id| self.case(seen, id).await));
            let at_once = LOOKUPS_AT_ONCE.max(self.at_once);
            let mut cases: Vec<Case<'_>> = looked.buffered(at_once).try_collect().await?;
            for case in &mut cases {
                self.not_if_claimed(case, claimed);
                if let (At::Back(_), Some(withdrawal)) = (&case.at, case.withdrawal) {
                    claimed.insert(&withdrawal.placement.placed.asset);
                }
            }
            self.read_back(&mut cases, telling).await?;
            let files = cases.into_iter().map(|case| self.name(seen, case));
            telling.tell(files.collect()).await?;
        }
        Ok(())
    }

    /// Where a service names files by their paths, what was taken back may have given its name to what is there now.
    fn not_if_claimed(&self, case: &mut Case<'_>, claimed: &BTreeSet<&AssetId>) {
        if let At::Back(asset) = &case.at
            && claimed.contains(&asset.id)
        {
            case.at = At::Nothing;
        }
    }

    async fn case<'s>(&self, seen: &'s Seen, id: &'s AssetId) -> Result<Case<'s>> {
        let placement = seen.placed.get(id);
        let withdrawal = seen.withdrawn.get(id).filter(|_| placement.is_none());
        // What may be there again is no matter any more, wherever the old copy is.
        let comes_back = seen.steps.get(id).is_some_and(|next| next.action.acts());
        let at = match (placement, withdrawal) {
            (Some(placement), _) => self.placed(seen, placement),
            (None, Some(withdrawal)) if !comes_back => self.back(seen, withdrawal).await?,
            (None, _) => At::Nothing,
        };
        Ok(Case {
            id,
            placement,
            withdrawal,
            at,
        })
    }

    fn placed(&self, seen: &Seen, placement: &Placement) -> At {
        if placement.sink != self.flow.outlet.name() {
            return At::Not {
                standing: Standing::Differs,
                why: Some(format!(
                    "it was placed at {:?}, where the flow does not lead any more",
                    placement.sink
                )),
                path: None,
            };
        }
        let asset = seen.there.asset(&placement.placed.asset);
        match (seen.there.of(placement), asset) {
            (Stands::AsPlaced { .. }, Some(asset)) => At::AsPlaced(asset.clone()),
            (Stands::Edited { path }, _) => At::Not {
                standing: Standing::Edited,
                why: Some("people changed it since it was placed".to_owned()),
                path: Some(path),
            },
            _ => At::Not {
                standing: Standing::Missing,
                why: None,
                path: None,
            },
        }
    }

    /// What was taken back, where it is anywhere but where it is kept.
    async fn back(&self, seen: &Seen, withdrawal: &Withdrawal) -> Result<At> {
        let placed = &withdrawal.placement.placed;
        let there = match seen.there.asset(&placed.asset) {
            Some(there) => Some(there.clone()),
            None => self.flow.reader.stat(&placed.asset).await?,
        };
        let quarantine = self.flow.options.taking_back.quarantine.iter();
        let kept: BTreeSet<AssetPath> = quarantine.cloned().collect();
        let is_kept = |path: &AssetPath| {
            let at = withdrawal.kept.as_ref().map(AssetPath::key);
            at == Some(path.key()) || is_below(path, &kept)
        };
        // Under the same name there may be another file by now.
        let is_it = |there: &Asset| match there.content_hash.zip(placed.content_hash) {
            Some((now, then)) => now == then,
            None => there.size == placed.size,
        };
        Ok(match there {
            Some(there) if is_it(&there) && !is_kept(&there.path) => At::Back(there),
            _ => At::Nothing,
        })
    }

    /// Reads back what looks right, where that is wanted.
    async fn read_back(&self, cases: &mut [Case<'_>], telling: &mut Telling<'_>) -> Result<()> {
        let looked = stream::iter(cases.iter_mut().map(async |case| {
            let (At::AsPlaced(there), Some(placement)) = (&case.at, case.placement) else {
                return Ok(None);
            };
            let read = self.again(there, placement.digests.blake3).await?;
            let path = Some(there.path.clone());
            if let Some((standing, why)) = read.as_ref().and_then(wrong) {
                case.at = At::Not {
                    standing,
                    why: Some(why),
                    path,
                };
            }
            Result::Ok(read)
        }));
        let mut looked = looked.buffered(self.at_once.max(1));
        while let Some(read) = looked.try_next().await? {
            count(read.as_ref(), telling);
        }
        Ok(())
    }

    /// The one name of a delivery.
    fn name(&self, seen: &Seen, case: Case<'_>) -> AuditedFile {
        let step = seen.steps.get(case.id);
        let (standing, why) = match &case.at {
            At::Not { standing, why, .. } => not_as_placed(*standing, why.clone(), step),
            At::AsPlaced(asset) => self.as_placed(seen, &case, asset, step),
            At::Back(_) => (
                Standing::StillThere,
                case.withdrawal
                    .map(|one| format!("it was withdrawn: {}", one.reason)),
            ),
            At::Nothing => not_there(case.withdrawal, step),
        };
        let before = case.placement.or(case.withdrawal.map(|one| &one.placement));
        let asset = seen.assets.get(case.id);
        let (path, size) = match &case.at {
            At::AsPlaced(there) | At::Back(there) => (Some(there.path.clone()), Some(there.size)),
            At::Not { path, .. } => (path.clone(), before.map(|one| one.digests.size)),
            At::Nothing => (None, before.map(|one| one.digests.size)),
        };
        let path = path.or_else(|| seen.places.get(case.id).cloned());
        let path = path.or_else(|| before.map(was_at));
        let path = path.or_else(|| asset.map(|asset| asset.path.clone()));
        AuditedFile {
            standing,
            path: path.unwrap_or_else(|| AssetPath::new("")),
            size: size.or(asset.map(|asset| asset.size)).unwrap_or(0),
            why,
            source_asset: Some(case.id.clone()),
            sink_asset: before.map(|one| one.placed.asset.clone()),
        }
    }

    /// The name of what the sink holds as it was placed.
    fn as_placed(
        &self,
        seen: &Seen,
        case: &Case<'_>,
        there: &Asset,
        step: Option<&Next>,
    ) -> (Standing, Option<String>) {
        let Some(Next {
            action,
            reason,
            cause,
        }) = step
        else {
            return self.as_it_shall_be(seen, case, there);
        };
        let (standing, why) = match action {
            Action::Withdraw => match cause {
                Some(Cause::Denied | Cause::Doubt) => (Standing::Overdue, reason.as_str()),
                Some(Cause::Unwanted | Cause::Expired) | None => {
                    (Standing::ToWithdraw, reason.as_str())
                }
            },
            Action::NewVersion => (Standing::Changed, "a newer version waits for the next run"),
            Action::UpdateMetadata => (
                Standing::Changed,
                "what goes with it changed; the next run follows",
            ),
            action if action.acts() => (Standing::Changed, reason.as_str()),
            _ => (Standing::Held, reason.as_str()),
        };
        (standing, Some(why.to_owned()))
    }

    /// The name of what a run would leave alone.
    fn as_it_shall_be(
        &self,
        seen: &Seen,
        case: &Case<'_>,
        there: &Asset,
    ) -> (Standing, Option<String>) {
        let folder = case.placement.map(|one| one.collection.key());
        let place = seen.places.get(case.id);
        let is_in_folder = folder.is_none_or(|folder| folder == there.path.parent().key());
        let moved = match (is_in_folder, place) {
            (false, _) if !is_below(&there.path, &self.flow.roots()) => {
                "people moved it out of the flow's folders"
            }
            (false, _) => "people moved it to another folder",
            (true, Some(place)) if place.key() != there.path.key() => "people renamed it",
            (true, Some(_)) => return (Standing::Same, None),
            (true, None) if seen.is_sealed => return (Standing::Same, None),
            (true, None) => {
                let asset = asset_of(case.id);
                let why = match seen.held.contains_key(&asset) {
                    true => "its asset is held, and it stays while rights allow it",
                    false => {
                        "the flow does not place it any more, and it stays while rights allow it"
                    }
                };
                return (Standing::Kept, Some(why.to_owned()));
            }
        };
        match self.flow.options.kind.may_be_moved() {
            true => (Standing::Moved, Some(moved.to_owned())),
            false => (
                Standing::Missing,
                Some(format!("{moved}, to {}", there.path)),
            ),
        }
    }
}

/// The name of what is not as it was placed.
fn not_as_placed(
    standing: Standing,
    why: Option<String>,
    step: Option<&Next>,
) -> (Standing, Option<String>) {
    let step = step.map(|next| (next.action, &next.reason));
    let why = match (standing, step) {
        (Standing::Missing, None) => Some("somebody removed it".to_owned()),
        (Standing::Missing, Some((Action::Create | Action::Copy, _))) => {
            Some("somebody removed it; the next run places it again".to_owned())
        }
        (Standing::Missing, Some((Action::Withdraw, reason))) => {
            Some(format!("somebody removed it, and it was to go: {reason}"))
        }
        (Standing::Missing, Some((_, reason))) => Some(reason.clone()),
        // Where it may not be there any more, that is said too.
        (Standing::Edited, Some((Action::Conflict, reason))) => Some(reason.clone()),
        _ => why,
    };
    (standing, why)
}

/// The name of what nothing is there of.
fn not_there(withdrawal: Option<&Withdrawal>, step: Option<&Next>) -> (Standing, Option<String>) {
    let step = step.map(|next| (next.action, &next.reason));
    match (step, withdrawal) {
        (Some((action, reason)), _) if action.acts() => (Standing::Pending, Some(reason.clone())),
        (_, Some(withdrawal)) => (Standing::Withdrawn, Some(withdrawal.reason.clone())),
        (Some((Action::Skip, reason)), None) => {
            let why = reason.strip_prefix(BLOCKED).unwrap_or(reason);
            (Standing::BlockedByRights, Some(why.to_owned()))
        }
        (Some((_, reason)), None) => (Standing::Held, Some(reason.clone())),
        (None, None) => (Standing::Pending, None),
    }
}

/// Where something was placed, as far as the ledger knows.
fn was_at(placement: &Placement) -> AssetPath {
    placement.collection.join(placement.source_path.name())
}
