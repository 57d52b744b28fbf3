//! What was put away so long ago that nobody has to keep it any more: it is named, and people delete it.
//!
//! When something was put away is what its folder is called ([`Sync::moment`]). Only what the ledger knows as put away is
//! counted, and only while it lies where it was put: whatever else people keep there is theirs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use windlass_core::{Asset, AssetId, AssetPath, ByteSize, Finding, Kind, Result};

use super::place::moved_below;
use super::scene::{Item, Scene, is_below};
use super::verdict::{AssetNow, FileNow};
use super::{Removing, Sync};

/// What the folder of a moment is called.
pub(super) const MOMENT: &str = "%Y-%m-%d %H.%M.%S";

const DAY_S: i64 = 24 * 60 * 60;

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

    fn told(&self, what: (&str, &str), folder: &AssetPath, days: u32) -> Option<Finding> {
        let since = self.since?.strftime("%Y-%m-%d");
        let what = match self.count {
            1 => format!("1 {} was", what.0),
            count => format!("{count} {} were", what.1),
        };
        let bytes = ByteSize(self.bytes);
        Some(Finding {
            subject: folder.to_string(),
            message: format!(
                "{what} put away more than {days} days ago ({bytes}, since {since}); nothing there is deleted by itself: \
                 whoever does not need it any more may delete it"
            ),
        })
    }
}

impl Sync {
    /// Files that are kept longer than they have to be. The folder is looked at only where there are some.
    ///
    /// Errors: what prevents looking.
    pub(super) async fn old_files(&self, scene: &Scene) -> Result<Option<Finding>> {
        let Some((removing, days)) = self.quarantine() else {
            return Ok(None);
        };
        let mut due: BTreeMap<AssetId, (AssetPath, Timestamp)> = BTreeMap::new();
        for withdrawal in self.withdrawn().await? {
            let Some(kept) = withdrawal.kept else {
                continue;
            };
            if let Some(at) = self.old(&kept, &removing.files, days) {
                due.insert(withdrawal.placement.placed.asset, (kept, at));
            }
        }
        if due.is_empty() {
            return Ok(None);
        }
        let mut old = Old::default();
        for file in self.kept_files(removing, scene).await? {
            if let Some((kept, at)) = due.get(&file.id)
                && is_below(&file.path, &kept.parent())
            {
                old.add(file.size, *at);
            }
        }
        Ok(old.told(("file", "files"), &removing.files, days))
    }

    /// Everything in the folder of removed files.
    async fn kept_files(&self, removing: &Removing, scene: &Scene) -> Result<Vec<Asset>> {
        if is_below(&removing.files, &self.options.root) {
            let kept = scene.files.values();
            let kept = kept.filter(|file| is_below(&file.path, &removing.files));
            return Ok(kept.cloned().collect());
        }
        match self.list_files(&removing.files).await {
            Ok(files) => Ok(files.into_values().collect()),
            Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Assets that are kept longer than they have to be.
    pub(super) fn old_assets(&self, scene: &Scene) -> Option<Finding> {
        let (removing, days) = self.quarantine()?;
        let mut old = Old::default();
        for item in &scene.items {
            if let Some((bytes, at)) = self.old_asset(scene, item, removing, days) {
                old.add(bytes, at);
            }
        }
        old.told(("asset", "assets"), &removing.assets, days)
    }

    /// The asset of a pair if it was put away long ago: how many bytes it has, and when that was.
    fn old_asset(
        &self,
        scene: &Scene,
        item: &Item,
        removing: &Removing,
        days: u32,
    ) -> Option<(u64, Timestamp)> {
        let file = self.file_now(item, &scene.taken);
        let (FileNow::Gone, AssetNow::Kept(held)) = (file, self.asset_now(item)) else {
            return None;
        };
        let kept = &item.pair.inward.as_ref()?.collection;
        let at = self.old(kept, &removing.assets, days)?;
        let mut collections = held.collections.iter();
        let is_there = collections.any(|one| one.key() == kept.key());
        is_there.then_some((held.asset.size, at))
    }

    fn quarantine(&self) -> Option<(&Removing, u32)> {
        let removing = self.options.removing.as_ref()?;
        Some((removing, removing.days?))
    }

    /// When something below one of the two folders was put away, if that was more than so many days ago.
    fn old(&self, path: &AssetPath, folder: &AssetPath, days: u32) -> Option<Timestamp> {
        let at = moment_of(path, folder)?;
        let age = self.clock.now().as_second() - at.as_second();
        (age > i64::from(days) * DAY_S).then_some(at)
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
