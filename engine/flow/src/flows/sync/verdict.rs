//! What is due about one pair: a pure function of how both sides stand, who may decide, and what somebody chose.

use windlass_core::{Asset, Holding, Question, Resolution, Revision};

use super::pair::{Changed, Pair};
use super::place::{Mover, Places};
use super::undo::{ASSET_REMOVED, FILE_REMOVED, Undone};
use super::{Authority, BytesAuthority, PlaceAuthority};

/// How the file of a pair stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum FileNow<'a> {
    /// In the flow's folder.
    There(&'a Asset),
    /// Where the flow put it away because its asset was gone.
    Kept,
    /// Somewhere else.
    Elsewhere(&'a Asset),
    /// Not at all, because the flow took it back.
    Taken,
    /// Not at all.
    Gone,
}

/// How the asset of a pair stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum AssetNow<'a> {
    /// It is asked for.
    There(&'a Holding),
    /// It is not asked for any more, and why.
    Elsewhere(&'a str),
    /// The flow put it away because its file was gone.
    Kept(&'a Holding),
    /// Gone, or hidden: nobody can say which.
    Gone,
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Agree,
    /// Nothing yet: the other way is about to record something about it.
    Wait,
    /// The asset is to follow the file. `proposes` leaves the bytes to somebody's choice.
    Inward {
        proposes: bool,
        /// The file's place counts, too.
        moves: bool,
    },
    /// The file is to follow the asset; `moves` is about its place.
    Outward { moves: bool },
    /// Somebody has to choose.
    Ask(Question, String),
    /// One side is not there any more and the other one stays.
    Apart(String),
    /// The asset goes where what was removed is kept, because its file was removed.
    KeepAsset(String),
    /// The file goes where what was removed is kept, because its asset was removed.
    KeepFile(String),
    /// The pair ends, and the file is as new: it becomes an asset again.
    BeginAnew,
}

/// What decides beside the two sides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) authority: &'a Authority,
    /// Removals at one side are carried out at the other.
    pub(super) removes: bool,
    /// What somebody chose about just these revisions.
    pub(super) chosen: Option<Resolution>,
    /// What was put away and came back by an undo.
    pub(super) undone: Undone,
}

impl Rules<'_> {
    /// What is due about a pair.
    pub(super) fn judge(
        &self,
        pair: &Pair,
        file: FileNow<'_>,
        asset: AssetNow<'_>,
        places: Option<&Places>,
    ) -> Verdict {
        match (file, asset) {
            (FileNow::There(file), AssetNow::There(held)) => {
                let changed = pair.changed(file, &held.asset.revision);
                self.both_there(changed, places, file, pair)
            }
            (FileNow::There(file), AssetNow::Gone) => self.asset_gone(pair.is_edited(file)),
            (FileNow::Gone, AssetNow::There(held)) => {
                let version = &held.asset.revision;
                self.file_gone(pair.is_new_version(version), version)
            }
            // Somebody brought back what was removed, so the other one comes back, too.
            (FileNow::There(file), AssetNow::Kept(held)) => {
                self.file_came_back(pair.changed(file, &held.asset.revision))
            }
            (FileNow::Kept | FileNow::Taken, AssetNow::There(_)) => {
                Verdict::Outward { moves: true }
            }
            (FileNow::There(_), AssetNow::Elsewhere(why)) => Verdict::Apart(why.to_owned()),
            (FileNow::Elsewhere(file), AssetNow::There(_) | AssetNow::Elsewhere(..)) => {
                let to = &file.path;
                Verdict::Apart(format!(
                    "its file was moved out of the flow's folder, to {to}"
                ))
            }
            // Nothing is left that either could follow.
            (FileNow::Elsewhere(_), AssetNow::Gone | AssetNow::Kept(_))
            | (FileNow::Kept, AssetNow::Gone | AssetNow::Elsewhere(..) | AssetNow::Kept(_))
            | (
                FileNow::Gone | FileNow::Taken,
                AssetNow::Elsewhere(..) | AssetNow::Kept(_) | AssetNow::Gone,
            ) => Verdict::Agree,
        }
    }

    /// Whether changed bytes wait for somebody's choice.
    fn proposes(&self, is_changed: bool) -> bool {
        is_changed && self.chosen.is_none() && self.authority.bytes == BytesAuthority::Propose
    }

    fn both_there(
        &self,
        changed: Changed,
        places: Option<&Places>,
        file: &Asset,
        pair: &Pair,
    ) -> Verdict {
        let mover = places.and_then(|places| places.mover(pair, file));
        let file_decides = match (mover, self.authority.place) {
            (None, _) => false,
            (_, PlaceAuthority::File) => true,
            (_, PlaceAuthority::Asset) => false,
            (Some(mover), PlaceAuthority::Whoever) => mover == Mover::File,
        };
        let asset_decides = mover.is_some() && !file_decides;
        match (changed.file, changed.asset) {
            (false, false) if file_decides => Verdict::Inward {
                proposes: false,
                moves: true,
            },
            (false, false) if asset_decides => Verdict::Outward { moves: true },
            // The file came back, too, and both begin anew from here: later removals count.
            (false, false) if self.undone.asset && !pair.is_ours(file) => {
                Verdict::Outward { moves: false }
            }
            (false, false) => Verdict::Agree,
            (false, true) => Verdict::Outward {
                moves: asset_decides,
            },
            (true, false) => match self.chosen {
                Some(Resolution::TakeAsset) => Verdict::Outward {
                    moves: asset_decides,
                },
                Some(Resolution::KeepBoth) => Verdict::Agree,
                // One thing after the other: places are looked at once the bytes agree.
                Some(Resolution::TakeFile) | None => Verdict::Inward {
                    proposes: self.proposes(true),
                    moves: false,
                },
            },
            (true, true) => match self.chosen {
                Some(Resolution::TakeFile) => Verdict::Inward {
                    proposes: false,
                    moves: false,
                },
                Some(Resolution::TakeAsset) => Verdict::Outward {
                    moves: asset_decides,
                },
                Some(Resolution::KeepBoth) => Verdict::Agree,
                None => Verdict::Ask(
                    Question::BothChanged,
                    "the file and its asset both changed since they agreed".to_owned(),
                ),
            },
        }
    }

    /// The file of an asset that was put away is there again.
    fn file_came_back(&self, changed: Changed) -> Verdict {
        match (changed.file, self.chosen) {
            (true, None) if changed.asset => Verdict::Ask(
                Question::BothChanged,
                "the file came back with other bytes, and its asset changed where it is kept"
                    .to_owned(),
            ),
            // Its bytes are not wanted. It becomes what the asset is, and then the asset comes back.
            (true, Some(Resolution::TakeAsset)) => Verdict::Outward { moves: false },
            (true, Some(Resolution::KeepBoth)) => Verdict::Agree,
            (_, Some(Resolution::TakeFile) | None) | (false, _) => Verdict::Inward {
                proposes: self.proposes(changed.file),
                moves: true,
            },
        }
    }

    fn file_gone(&self, is_new_version: bool, version: &Revision) -> Verdict {
        let removed = FILE_REMOVED.to_owned();
        // Whoever undoes that it was put away wants both: the file appears again.
        if self.undone.asset {
            return Verdict::Outward { moves: false };
        }
        match (is_new_version, self.chosen) {
            (_, Some(Resolution::TakeAsset)) => Verdict::Outward { moves: false },
            (true, None) => Verdict::Ask(
                Question::RemovedAndChanged,
                format!("the file was removed, and its asset became version {version}"),
            ),
            (_, Some(Resolution::KeepBoth)) => Verdict::Apart(removed),
            (_, Some(Resolution::TakeFile) | None) => match self.removes {
                true => Verdict::KeepAsset(removed),
                false => Verdict::Apart(removed),
            },
        }
    }

    fn asset_gone(&self, is_edited: bool) -> Verdict {
        let removed = ASSET_REMOVED.to_owned();
        if self.undone.file && !is_edited {
            return Verdict::Apart(removed);
        }
        match (is_edited, self.chosen) {
            (_, Some(Resolution::TakeFile)) => Verdict::BeginAnew,
            (true, None) => Verdict::Ask(
                Question::RemovedAndChanged,
                "the asset was deleted or hidden, and its file changed".to_owned(),
            ),
            (_, Some(Resolution::KeepBoth)) => Verdict::Apart(removed),
            (_, Some(Resolution::TakeAsset) | None) => match self.removes {
                true => Verdict::KeepFile(removed),
                false => Verdict::Apart(removed),
            },
        }
    }
}
