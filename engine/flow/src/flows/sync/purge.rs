//! What was put away so long ago that nobody has to keep it any more: it is named, and people delete it. Where the
//! configuration says so, the flow deletes it itself ([`Removing::purge`]).
//!
//! When something was put away is what its folder is called ([`Sync::moment`]). Only what the ledger knows as put away is
//! counted, and only while it lies where it was put: whatever else people keep there is theirs. What is deleted is besides
//! what it was when it was put away, and its other one is gone still. The run asks for all of that once more
//! (`run/ending.rs`), and with the end of one the pair has ended: what comes back of it is new.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, ByteSize, Draft, DraftPart, Finding, Holding, Kind, Result,
    Revision, Withdrawal,
};

use super::place::moved_below;
use super::scene::{Item, Scene, is_below};
use super::verdict::{AssetNow, FileNow, Verdict};
use super::{Removing, Sync};
use crate::delivery::asset_of;
use crate::plan::{Cause, PlannedStep, Work};
use crate::run::{touched_asset, touched_file};

/// What the folder of a moment is called.
pub(super) const MOMENT: &str = "%Y-%m-%d %H.%M.%S";

const DAY_S: i64 = 24 * 60 * 60;

/// How many assets a library is asked about at once.
const BATCH: usize = 256;

/// What is kept longer than it has to be: steps that delete it, and what is said of the rest.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub(super) steps: Vec<PlannedStep>,
    pub(super) told: Option<Finding>,
}

/// What is kept longer than it has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Old {
    count: u64,
    bytes: u64,
    /// When the first of it was put away.
    since: Option<Timestamp>,
}

impl Old {
    fn add(&mut self, bytes: u64, at: Timestamp) {
        self.count += 1;
        self.bytes += bytes;
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    fn told(
        &self,
        what: (&str, &str),
        folder: &AssetPath,
        quarantine: &Quarantine<'_>,
    ) -> Option<Finding> {
        let since = self.since?.strftime("%Y-%m-%d");
        let what = match self.count {
            1 => format!("1 {} was", what.0),
            count => format!("{count} {} were", what.1),
        };
        let (bytes, days) = (ByteSize(self.bytes), quarantine.days);
        let why = match quarantine.removing.purge {
            false => "nothing there is deleted by itself",
            true => "somebody touched it since, so it is not deleted by itself",
        };
        Some(Finding {
            subject: folder.to_string(),
            message: format!(
                "{what} put away more than {days} days ago ({bytes}, since {since}); {why}: whoever does not need it any \
                 more may delete it"
            ),
        })
    }
}

/// For how long what was put away is kept, and what is to become of it then.
#[derive(Clone, Copy, Debug)]
struct Quarantine<'a> {
    removing: &'a Removing,
    days: u32,
}

impl Quarantine<'_> {
    /// Why something may go that was put away then.
    fn why(&self, at: Timestamp) -> String {
        let (day, days) = (at.strftime("%Y-%m-%d"), self.days);
        format!("it was put away on {day} and kept for more than {days} days")
    }
}

/// Everything in the folder of removed files.
#[derive(Debug, Default)]
struct Kept {
    by_id: BTreeMap<AssetId, Asset>,
    by_path: BTreeMap<String, AssetId>,
}

impl FromIterator<Asset> for Kept {
    fn from_iter<T: IntoIterator<Item = Asset>>(files: T) -> Self {
        let mut kept = Kept::default();
        for file in files {
            kept.by_path.insert(file.path.key(), file.id.clone());
            kept.by_id.insert(file.id.clone(), file);
        }
        kept
    }
}

/// A file that was put away long ago.
#[derive(Debug)]
struct Due {
    withdrawal: Withdrawal,
    kept: AssetPath,
    at: Timestamp,
}

impl Due {
    /// It, where it lies below the folder in which it was kept. Of some services a path is the id, and others give a new id
    /// where folders are shared.
    fn find<'a>(&self, kept: &'a Kept) -> Option<&'a Asset> {
        let id = &self.withdrawal.placement.placed.asset;
        let known = [id, &AssetId::new(self.kept.as_str())];
        let by_id = known.into_iter().find_map(|id| kept.by_id.get(id));
        let at_place = || {
            let there = kept.by_path.get(&self.kept.key())?;
            let file = kept.by_id.get(there)?;
            self.touched(file).is_none().then_some(file)
        };
        let file = by_id.or_else(at_place)?;
        is_below(&file.path, &self.kept.parent()).then_some(file)
    }

    fn touched(&self, file: &Asset) -> Option<String> {
        touched_file(file, &self.withdrawal.placement.placed, &self.kept)
    }

    fn asset(&self) -> AssetId {
        asset_of(&self.withdrawal.placement.source_asset)
    }

    fn step(self, why: String) -> PlannedStep {
        let placement = self.withdrawal.placement;
        let asset = Asset {
            id: placement.source_asset.clone(),
            path: placement.source_path.clone(),
            revision: placement.source_revision.clone(),
            size: placement.digests.size,
            modified: None,
            content_hash: None,
            tags: Vec::new(),
            readable: windlass_core::Readable::Yes,
        };
        PlannedStep {
            action: Action::Withdraw,
            reason: format!("{why}; its file {} is deleted", self.kept),
            asset: asset.clone(),
            work: Some(Work::TakeBack {
                placement: Box::new(placement),
                asset,
                draft: at(&self.kept),
                why,
                cause: Cause::Expired,
                keep: None,
                note: None,
            }),
        }
    }
}

impl Sync {
    /// Files that are kept longer than they have to be. The folder is looked at only where there are some.
    ///
    /// Errors: what prevents looking.
    pub(super) async fn old_files(&self, scene: &Scene) -> Result<Expired> {
        let Some(quarantine) = self.quarantine().await? else {
            return Ok(Expired::default());
        };
        let due = self.due_files(&quarantine).await?;
        if due.is_empty() {
            return Ok(Expired::default());
        }
        let there = match quarantine.removing.purge {
            true => self.whose_asset_is_there(scene, &due).await?,
            false => BTreeSet::new(),
        };
        let kept = self.kept_files(quarantine.removing, scene).await?;
        let (mut old, mut steps) = (Old::default(), Vec::new());
        for due in due {
            let Some(file) = due.find(&kept) else {
                continue;
            };
            match (quarantine.removing.purge, due.touched(file)) {
                (true, None) if there.contains(&due.asset()) => {}
                (true, None) => {
                    let why = quarantine.why(due.at);
                    steps.push(due.step(why));
                }
                (false, _) | (true, Some(_)) => old.add(file.size, due.at),
            }
        }
        self.hold_beyond_cap(scene, &mut steps);
        let folder = &quarantine.removing.files;
        let told = old.told(("file", "files"), folder, &quarantine);
        Ok(Expired { steps, told })
    }

    /// What the way out put away long ago and the ledger says is kept.
    async fn due_files(&self, quarantine: &Quarantine<'_>) -> Result<Vec<Due>> {
        let mut due = Vec::new();
        for withdrawal in self.withdrawn().await? {
            let Some(kept) = withdrawal.kept.clone() else {
                continue;
            };
            if let Some(at) = self.old(&kept, &quarantine.removing.files, quarantine.days) {
                due.push(Due {
                    withdrawal,
                    kept,
                    at,
                });
            }
        }
        Ok(due)
    }

    /// Those assets that are there again, or that something else is due about: their files come back or wait.
    async fn whose_asset_is_there(&self, scene: &Scene, due: &[Due]) -> Result<BTreeSet<AssetId>> {
        let busy = scene
            .items
            .iter()
            .filter(|item| item.verdict != Verdict::Agree);
        let mut there: BTreeSet<AssetId> = busy.filter_map(|item| item.pair.asset()).collect();
        let ids: Vec<AssetId> = due.iter().map(Due::asset).collect();
        for batch in ids.chunks(BATCH) {
            let held = self.library.consult(batch).await?;
            let held = batch.iter().zip(held).filter(|(_, held)| held.is_some());
            there.extend(held.map(|(id, _)| id.clone()));
        }
        Ok(there)
    }

    async fn kept_files(&self, removing: &Removing, scene: &Scene) -> Result<Kept> {
        if is_below(&removing.files, &self.options.root) {
            let kept = scene.files.values();
            let kept = kept.filter(|file| is_below(&file.path, &removing.files));
            return Ok(kept.cloned().collect());
        }
        match self.list_files(&removing.files).await {
            Ok(files) => Ok(files.into_values().collect()),
            Err(error) if error.kind() == Kind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error),
        }
    }

    /// Assets that are kept longer than they have to be.
    ///
    /// Errors: what prevents looking.
    pub(super) async fn old_assets(&self, scene: &Scene) -> Result<Expired> {
        let Some(quarantine) = self.quarantine().await? else {
            return Ok(Expired::default());
        };
        let (mut old, mut steps) = (Old::default(), Vec::new());
        for item in &scene.items {
            let Some((held, at)) = self.old_asset(scene, item, &quarantine) else {
                continue;
            };
            let step = match quarantine.removing.purge {
                true => retirement(item, held, quarantine.why(at))?,
                false => None,
            };
            match step {
                Some(step) => steps.push(step),
                None => old.add(held.asset.size, at),
            }
        }
        self.hold_beyond_cap(scene, &mut steps);
        let folder = &quarantine.removing.assets;
        let told = old.told(("asset", "assets"), folder, &quarantine);
        Ok(Expired { steps, told })
    }

    /// The asset of a pair if it was put away long ago, and when that was.
    fn old_asset<'a>(
        &self,
        scene: &Scene,
        item: &'a Item,
        quarantine: &Quarantine<'_>,
    ) -> Option<(&'a Holding, Timestamp)> {
        let file = self.file_now(item, &scene.taken);
        let (FileNow::Gone, AssetNow::Kept(held)) = (file, self.asset_now(item)) else {
            return None;
        };
        // A run of the other way may be about it.
        if quarantine.removing.purge && item.verdict != Verdict::Agree {
            return None;
        }
        let kept = &item.pair.inward.as_ref()?.collection;
        let at = self.old(kept, &quarantine.removing.assets, quarantine.days)?;
        let mut collections = held.collections.iter();
        let is_there = collections.any(|one| one.key() == kept.key());
        is_there.then_some((held, at))
    }

    /// What the configuration says about what was put away. What deletes something says nothing before a pass has seen all
    /// of both sides, nor where only rights are looked at.
    async fn quarantine(&self) -> Result<Option<Quarantine<'_>>> {
        let Some(removing) = &self.options.removing else {
            return Ok(None);
        };
        let Some(days) = removing.days else {
            return Ok(None);
        };
        if removing.purge && (self.release.options.sweep || !self.has_seen_all().await?) {
            return Ok(None);
        }
        Ok(Some(Quarantine { removing, days }))
    }

    /// Holds what would be deleted beyond the cap. What is put away in the same pass is counted by itself.
    fn hold_beyond_cap(&self, scene: &Scene, steps: &mut [PlannedStep]) {
        if let Some(cap) = &self.options.cap {
            let pairs = scene.items.len().max(steps.len());
            cap.hold_beyond(pairs as u64, steps, |_| true);
        }
    }

    /// When something below one of the two folders was put away, if that was more than so many days ago.
    fn old(&self, path: &AssetPath, folder: &AssetPath, days: u32) -> Option<Timestamp> {
        let at = moment_of(path, folder)?;
        let age = self.clock.now().as_second() - at.as_second();
        (age > i64::from(days) * DAY_S).then_some(at)
    }
}

/// The step that deletes an asset; `None` where it is not only where it was put, or not what it was then.
fn retirement(item: &Item, held: &Holding, why: String) -> Result<Option<PlannedStep>> {
    let (Some(placement), Some(asset)) = (&item.pair.inward, item.last_file()) else {
        return Ok(None);
    };
    let version = &held.asset.revision;
    let draft = put_away_as(placement.source_path.name(), &placement.collection, version);
    let is_as_put_away = draft.digest()? == placement.draft_digest;
    if !is_as_put_away || touched_asset(held, version, &placement.collection).is_some() {
        return Ok(None);
    }
    let mut placement = placement.clone();
    placement.placed.revision = version.clone();
    let id = &held.asset.id;
    Ok(Some(PlannedStep {
        action: Action::Withdraw,
        reason: format!("{why}; its asset {id} is deleted"),
        asset: asset.clone(),
        work: Some(Work::Retire {
            placement: Box::new(placement),
            asset,
            draft,
            why,
        }),
    }))
}

/// What an asset is that was put away. Nothing but its collection is asked for, so the version that it was is told as
/// something that yields: the digest in its placement says whether it is that version still.
pub(super) fn put_away_as(name: &str, kept: &AssetPath, version: &Revision) -> Draft {
    Draft {
        yields: BTreeSet::from([
            DraftPart::Name,
            DraftPart::AssetType,
            DraftPart::Availability,
            DraftPart::Field(format!("put away as version {version}")),
        ]),
        ..at(&kept.join(name))
    }
}

/// What is only somewhere.
fn at(path: &AssetPath) -> Draft {
    Draft {
        name: path.name().to_owned(),
        file_name: path.name().to_owned(),
        collection: path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

/// The moment that the folder of what was put away is called after; no moment for what people put there.
fn moment_of(path: &AssetPath, folder: &AssetPath) -> Option<Timestamp> {
    let below = moved_below(path, folder, &AssetPath::new(""))?;
    let name = below.segments().next()?;
    let at = DateTime::strptime(MOMENT, name).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_are_called_after_a_moment_have_one() {
        let folder = AssetPath::new("/Removed");
        let at = |path: &str| moment_of(&AssetPath::new(path), &folder);
        let moment: Timestamp = "2026-03-01T10:20:30Z".parse().unwrap();
        assert_eq!(at("/removed/2026-03-01 10.20.30/Final/a.jpg"), Some(moment));
        assert_eq!(at("/Removed/2026-03-01/a.jpg"), None);
        assert_eq!(at("/Removed/Keep this/a.jpg"), None);
        assert_eq!(at("/Removed"), None);
        assert_eq!(at("/Other/2026-03-01 10.20.30/a.jpg"), None);
    }
}
