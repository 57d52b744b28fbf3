//! The kind of release that the way out of a sync is: each asset goes where its file is, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use windlass_core::{Action, AssetId, AssetPath, Assigned, Blake3, Holding, Placement, Result};

use super::pair::SLOT;
use super::place::moved_below;
use super::scene::{Item, Scene as Pairs};
use super::verdict::Verdict;
use super::{Sync, SyncOptions};
use crate::delivery::{Delivery, asset_of, delivery_id};
use crate::flows::release::{ReleaseFlow, ReleaseKind, Routed, Scene, Sight, rules_of};
use crate::plan::{Cause, PlannedStep, Work};
use crate::rights::Use;

/// See the module.
#[derive(Debug)]
pub(super) struct Paired {
    options: SyncOptions,
    /// What the folder is called in which removed files are kept.
    moment: String,
    /// All of both sides was looked at.
    is_whole: bool,
    /// Something goes with files: fields, links, receipts.
    tells: bool,
    known: BTreeMap<AssetId, Known>,
    /// Both sides, once somebody looked at them.
    sight: Option<Sight>,
    /// What of files that were put away is deleted for good, or held beyond the cap.
    ends: Vec<PlannedStep>,
}

/// What the pairs say of one asset.
#[derive(Debug)]
struct Known {
    /// Where its file is to be; `None` where the way out leaves the file alone.
    place: Option<(AssetPath, String)>,
    /// Where the file is.
    file: Option<AssetPath>,
    /// The file that stands for it, as something that was placed.
    placement: Option<Placement>,
    /// The file is to follow the asset, whatever differs.
    follows: bool,
    /// The file's bytes were put there by the way out.
    is_ours: bool,
    /// Nobody sees the file any more.
    is_kept: bool,
    /// The way out has placed it before.
    is_placed: bool,
    /// The asset is there, wherever it is filed.
    has_asset: bool,
    /// Why the file is put away.
    leaves: Option<String>,
}

impl Paired {
    /// Of a flow nobody has looked at yet.
    pub(super) fn unknown(options: SyncOptions) -> Self {
        Paired {
            options,
            moment: String::new(),
            is_whole: false,
            tells: false,
            known: BTreeMap::new(),
            sight: None,
            ends: Vec::new(),
        }
    }

    pub(super) fn of(sync: &Sync, pairs: &Pairs) -> Self {
        let mut known: BTreeMap<AssetId, Known> = BTreeMap::new();
        let mut selected: BTreeMap<AssetId, Holding> = BTreeMap::new();
        for item in &pairs.items {
            let Some(asset) = item.pair.asset() else {
                continue;
            };
            if !pairs.concerns(&asset, &item.verdict) {
                continue;
            }
            if let (Some(held), None) = (&item.held, &item.objection) {
                selected.insert(asset.clone(), Holding::clone(held));
            }
            known.insert(asset, known_of(sync, item));
        }
        for (id, held) in &pairs.new_assets {
            if !sync.options.publishes {
                continue;
            }
            selected.insert(id.clone(), Holding::clone(held));
            known.insert(
                id.clone(),
                Known {
                    place: Some(sync.target(None, held)),
                    file: None,
                    placement: None,
                    follows: true,
                    is_ours: false,
                    is_kept: false,
                    is_placed: false,
                    has_asset: true,
                    leaves: None,
                },
            );
        }
        Paired {
            options: sync.options.clone(),
            moment: sync.moment(),
            is_whole: pairs.touched.is_none(),
            tells: sync.release.options.handing.is_some() || !sync.options.governed.is_empty(),
            known,
            sight: Some(Sight {
                selected,
                is_whole: pairs.touched.is_none(),
                standing: pairs.standing.clone(),
            }),
            ends: Vec::new(),
        }
    }

    /// The same with steps that end what was put away.
    pub(super) fn and_ends(self, ends: Vec<PlannedStep>) -> Self {
        Paired { ends, ..self }
    }

    fn delivery(&self, asset: &AssetId, held: &Holding) -> Option<Delivery> {
        let (folder, file_name) = self.known.get(asset)?.place.clone()?;
        let governed = self.options.governed.iter().filter_map(|field| {
            Some(Assigned {
                field: field.clone(),
                value: held.value(field)?.clone(),
                rule: "governed by the library".to_owned(),
            })
        });
        Some(Delivery {
            asset: asset.clone(),
            slot: SLOT.to_owned(),
            version: None,
            rendition: None,
            folder,
            file_name,
            uses: vec![Use::default()],
            why: "its file follows it".to_owned(),
            fields: governed.collect(),
            stays: true,
        })
    }

    /// What was put away is not selected, and may be what its file is to become again.
    fn select_kept(&self, scene: &mut Scene) {
        let follows = |id: &AssetId| self.known.get(id).is_some_and(|known| known.follows);
        let kept = scene.placed_of.iter().filter(|(id, _)| follows(id));
        for (id, held) in kept {
            let selected = scene.selected.entry(id.clone());
            selected.or_insert_with(|| held.clone());
        }
    }

    /// Whether a step of the release is one that is due.
    fn keeps(&self, step: &PlannedStep) -> bool {
        let Some(known) = self.known.get(&asset_of(&step.asset.id)) else {
            return false;
        };
        match (step.action, &step.work) {
            (Action::Withdraw, Some(Work::TakeBack { cause, .. })) => {
                // Of an asset that is gone nobody can say no: that is a removal, which other rules are about.
                let by_rights = *cause != Cause::Unwanted && known.has_asset;
                known.leaves.is_some() || (by_rights && known.is_ours && !known.is_kept)
            }
            (Action::UpdateMetadata, _) => known.follows || known.is_placed || self.tells,
            _ => known.follows,
        }
    }

    /// Puts a file away that its asset left behind.
    fn put_away(&self, step: &mut PlannedStep) {
        let Some(known) = self.known.get(&asset_of(&step.asset.id)) else {
            return;
        };
        let (Some(reason), Some(removing)) = (&known.leaves, &self.options.removing) else {
            return;
        };
        let Some(Work::TakeBack {
            draft,
            why,
            keep,
            cause,
            ..
        }) = &mut step.work
        else {
            return;
        };
        let folder = removing.files.join(&self.moment);
        let at = draft.collection.join(&draft.file_name);
        let at = known.file.as_ref().unwrap_or(&at);
        let kept = moved_below(at, &self.options.root, &folder);
        let kept = kept.unwrap_or_else(|| folder.join(at.name()));
        (draft.collection, draft.file_name) = (at.parent(), at.name().to_owned());
        step.reason = format!("{reason}; its file is kept as {kept}");
        why.clone_from(reason);
        *keep = Some(kept);
        *cause = Cause::Unwanted;
    }
}

fn known_of(sync: &Sync, item: &Item) -> Known {
    let file = item.file.as_ref();
    let held = item.held.as_deref();
    let seen = sync.seen();
    let here = file.map(|file| (file.path.parent(), file.path.name().to_owned()));
    let (place, follows) = match (&item.verdict, held) {
        (Verdict::Outward { moves }, Some(held)) => {
            let stays = here.filter(|_| !moves && !item.is_kept);
            let target = stays.unwrap_or_else(|| sync.target(file, held));
            (Some(target), true)
        }
        (Verdict::Agree, Some(_)) => (here, false),
        _ => (None, false),
    };
    let mut placement = file.and_then(|file| item.pair.as_outward(&seen, file, held));
    let is_told_anew = item.undone.asset || item.verdict == Verdict::Outward { moves: true };
    if let (Some(placement), true) = (&mut placement, is_told_anew) {
        // Drafts of a pair say nothing about places, so that nobody who moves a file is undone by a change of something else.
        placement.draft_digest = Blake3::of(b"elsewhere");
    }
    Known {
        place,
        file: file.map(|file| file.path.clone()),
        placement,
        follows,
        is_ours: file.is_some_and(|file| item.pair.is_ours(file)),
        is_kept: item.is_kept,
        is_placed: item.pair.is_told(),
        has_asset: held.is_some(),
        leaves: match &item.verdict {
            Verdict::KeepFile(reason) => Some(reason.clone()),
            _ => None,
        },
    }
}

#[async_trait]
impl ReleaseKind for Paired {
    fn name(&self) -> &'static str {
        "sync"
    }

    fn rules(&self) -> Result<serde_json::Value> {
        rules_of(&self.options)
    }

    async fn deliveries(&self, _flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed> {
        let mut routed = Routed::default();
        self.select_kept(scene);
        let selected = scene.selected.iter();
        routed.deliveries = selected
            .filter_map(|(id, held)| self.delivery(id, held))
            .collect();
        Ok(routed)
    }

    fn is_bound_by_query(&self) -> bool {
        // What leaves the collection is a removal, and no word about rights.
        false
    }

    fn folders(&self, root: &AssetPath) -> BTreeSet<AssetPath> {
        BTreeSet::from([root.clone()])
    }

    fn sight(&self) -> Option<&Sight> {
        self.sight.as_ref()
    }

    fn placed(&self, _noted: BTreeMap<AssetId, Placement>) -> BTreeMap<AssetId, Placement> {
        let known = self.known.iter();
        known
            .filter_map(|(id, known)| Some((delivery_id(id, SLOT), known.placement.clone()?)))
            .collect()
    }

    fn retries_held(&self) -> bool {
        // A place that was taken may be free by now, and nothing about the asset tells.
        self.is_whole
    }

    fn amend(&self, steps: &mut Vec<PlannedStep>) {
        steps.retain(|step| self.keeps(step));
        steps.iter_mut().for_each(|step| self.put_away(step));
        steps.extend(self.ends.iter().cloned());
    }
}
