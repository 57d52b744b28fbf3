//! Both sides and the ledger at one moment: every pair with how its file and its asset stand, and what has no pair.
//!
//! Lists may lag and may leave out what is there, so nothing is believed to be gone that was not asked for by its id, and
//! nothing is acted upon that the library did not confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Conflict, ConflictSide, Digests, Error, Evidence, Holding,
    NewConflict, Placed, Placement, Question, Resolution, Result, Revision,
};

use super::known::Doubt;
use super::pair::{Pair, nothing_told, pairs_of};
use super::place::{Places, moved_below};
use super::seen::Seen;
use super::undo::Undone;
use super::verdict::{AssetNow, FileNow, Rules, Verdict};
use super::{Sync, Way};
use crate::flows::release::standing::Standing;

/// How many assets a library or a ledger is asked about at once.
const BATCH: usize = 256;

/// Of how many files it is asked at once where they are.
const ASKED_AT_ONCE: usize = 8;

/// What waits for a choice, whose file was taken back, what is under way, and whether pairs that were found are recorded.
type Noted<'a> = (
    &'a BTreeMap<AssetId, Conflict>,
    &'a BTreeSet<AssetId>,
    &'a Doubt,
    bool,
);

/// One pair, and what is due about it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) pair: Pair,
    /// The file, wherever it is.
    pub(super) file: Option<Asset>,
    /// The asset, wherever it is filed.
    pub(super) held: Option<Arc<Holding>>,
    /// Why the asset is not asked for, where it is not.
    pub(super) objection: Option<String>,
    pub(super) verdict: Verdict,
    /// The file is where nobody sees it, because the flow put it there.
    pub(super) is_kept: bool,
    /// What somebody chose decides about it.
    is_chosen: bool,
    /// Nobody has agreed on anything yet: both sides have something in one place.
    is_strange: bool,
    /// By what the pair was found, where the ledger does not have it.
    pub(super) found: Option<String>,
    /// What was put away and came back by an undo.
    pub(super) undone: Undone,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) items: Vec<Item>,
    /// Everything in the flow's folder.
    pub(super) files: Arc<BTreeMap<AssetId, Asset>>,
    /// The same as a release sees it.
    pub(super) standing: Standing,
    /// Files that are of no pair.
    pub(super) new_files: BTreeSet<AssetId>,
    /// Assets that are of no pair.
    pub(super) new_assets: BTreeMap<AssetId, Arc<Holding>>,
    /// Files whose asset has another file by now.
    pub(super) superseded: BTreeMap<AssetId, AssetId>,
    /// Assets whose file the way out took back and did not place again.
    pub(super) taken: BTreeSet<AssetId>,
    /// What the other way may be about to record.
    doubt: Doubt,
    /// Assets that are new or another since the way out was done last; `None` where all of both sides counts.
    pub(super) touched: Option<BTreeSet<AssetId>>,
    /// Which look of the flow it was.
    pub(super) look: u64,
    /// What waits for a choice, and what somebody chose.
    conflicts: BTreeMap<AssetId, Conflict>,
    /// Whoever looks records pairs that the ledger does not have; others leave those alone until then.
    records: bool,
}

impl Item {
    /// A pair of which both sides are known.
    pub(super) fn of(pair: Pair, file: Option<Asset>, held: Option<Arc<Holding>>) -> Result<Self> {
        Ok(Item {
            undone: Undone::of(&pair)?,
            pair,
            file,
            held,
            objection: None,
            verdict: Verdict::Agree,
            is_kept: false,
            is_chosen: false,
            is_strange: false,
            found: None,
        })
    }

    /// What a conflict about it is kept under.
    pub(super) fn subject(&self) -> Option<AssetId> {
        let file = self.file.as_ref().map(|file| file.id.clone());
        file.or_else(|| self.pair.file().cloned())
            .or_else(|| self.pair.asset())
    }

    /// The version of the asset, where it is there.
    pub(super) fn version(&self) -> Option<&Revision> {
        self.held.as_ref().map(|held| &held.asset.revision)
    }

    /// The file as it was last, for steps about one that is gone.
    pub(super) fn last_file(&self) -> Option<Asset> {
        self.file.clone().or_else(|| {
            let known = self.pair.inward.as_ref();
            let known = known.map(|one| (&one.source_path, &one.source_revision, one.digests.size));
            let out = self.pair.outward.as_ref();
            let out_path = out.map(|one| one.collection.join(one.source_path.name()));
            let (path, revision, size) = known.or_else(|| {
                let out = out?;
                Some((out_path.as_ref()?, &out.placed.revision, out.placed.size))
            })?;
            Some(Asset {
                id: self.pair.file()?.clone(),
                path: path.clone(),
                revision: revision.clone(),
                size,
                modified: None,
                content_hash: None,
                tags: Vec::new(),
                readable: windlass_core::Readable::Yes,
            })
        })
    }
}

impl Sync {
    /// Looks at both sides and judges every pair.
    pub(super) async fn look(&self, way: Way) -> Result<Scene> {
        let mut seen = self.see(way).await?;
        let mut scene = Scene {
            files: Arc::clone(&seen.files.by_id),
            standing: seen.files.standing(),
            conflicts: self.noted().await?,
            taken: self.taken().await?,
            doubt: self.doubt(way).await?,
            touched: seen.touched.clone(),
            records: way == Way::In,
            ..Scene::default()
        };
        let (inward, outward) = self.placed().await?;
        let known: Vec<(AssetId, AssetId)> = inward
            .iter()
            .map(|one| (one.source_asset.clone(), one.placed.asset.clone()))
            .collect();
        let is_listed = |file: &AssetId| scene.files.contains_key(file);
        let pairs = pairs_of(inward, outward, is_listed);
        let paired: BTreeSet<AssetId> =
            pairs.iter().filter_map(|one| one.file().cloned()).collect();
        scene.superseded = known
            .into_iter()
            .filter(|(file, _)| !paired.contains(file))
            .collect();
        self.ask(&pairs, &mut seen).await?;
        let mut held = seen.held.clone();
        scene.items = pairs
            .into_iter()
            .map(|pair| self.stand(&scene, &seen, &mut held, pair))
            .collect::<Result<_>>()?;
        scene.new_assets = held;
        let known = |id: &AssetId| paired.contains(id) || scene.superseded.contains_key(id);
        scene.new_files = scene
            .files
            .keys()
            .filter(|id| !known(id))
            .cloned()
            .collect();
        scene.leave_doubtful();
        let has_seen_all = self.has_seen_all().await?;
        if !has_seen_all {
            self.meet_again(&mut scene).await?;
        }
        self.succeed(&mut scene)?;
        self.meet_strangers(&mut scene)?;
        let removes = self.options.removing.is_some() && has_seen_all;
        self.judge(&mut scene, removes);
        self.confirm_what_is_due(&mut scene, removes).await?;
        scene.look = self.remembered.keep(seen);
        Ok(scene)
    }

    /// Asks by id about what of pairs no list has. What was asked since everything was listed, and did not change as far as
    /// lists tell, is not asked again.
    async fn ask(&self, pairs: &[Pair], seen: &mut Seen) -> Result<()> {
        let missing: Vec<AssetId> = pairs
            .iter()
            .filter_map(Pair::asset)
            .filter(|id| !seen.held.contains_key(id) && !seen.asked.assets.contains_key(id))
            .collect();
        for batch in missing.chunks(BATCH) {
            let found = self.library.consult(batch).await?;
            let found = found.into_iter().map(|held| held.map(Arc::new));
            seen.asked.assets.extend(batch.iter().cloned().zip(found));
        }
        let mut missing = Vec::new();
        for id in pairs.iter().filter_map(Pair::file) {
            if seen.files.by_id.contains_key(id) {
                // Once it is missing again, it is asked about again.
                seen.asked.files.remove(id);
            } else if !seen.asked.files.contains_key(id) {
                missing.push(id.clone());
            }
        }
        let asking = missing.into_iter().map(|id| async move {
            let found = self.files().stat(&id).await?;
            Ok::<_, Error>((id, found))
        });
        let mut asking = stream::iter(asking).buffered(ASKED_AT_ONCE);
        while let Some((id, found)) = asking.try_next().await? {
            seen.asked.files.insert(id, found);
        }
        Ok(())
    }

    /// How the two of a pair stand. The asset is taken out of `held`.
    fn stand(
        &self,
        scene: &Scene,
        seen: &Seen,
        held: &mut BTreeMap<AssetId, Arc<Holding>>,
        pair: Pair,
    ) -> Result<Item> {
        let file = pair.file().and_then(|id| {
            let listed = scene.files.get(id).cloned();
            listed.or_else(|| seen.asked.files.get(id).cloned().flatten())
        });
        let asset = pair.asset();
        let asked = |id: &AssetId| seen.asked.assets.get(id).cloned().flatten();
        let held = asset.and_then(|id| held.remove(&id).or_else(|| asked(&id)));
        let objection = held
            .as_ref()
            .and_then(|held| self.options.query.objection(held));
        Ok(Item {
            objection,
            ..Item::of(pair, file, held)?
        })
    }

    /// A file and an asset that nobody brought together and that would have one place: somebody has to say what they are to
    /// each other, or each would become a second one of the other.
    fn meet_strangers(&self, scene: &mut Scene) -> Result<()> {
        if !self.options.mirrors {
            return Ok(());
        }
        let files = scene.new_files.iter().filter_map(|id| scene.files.get(id));
        let by_place: BTreeMap<String, AssetId> = files
            .map(|file| (file.path.key(), file.id.clone()))
            .collect();
        let mut met = Vec::new();
        for (id, held) in &scene.new_assets {
            let (folder, name) = self.places(held).target(None, &held.asset);
            if let Some(file) = by_place.get(&folder.join(&name).key()) {
                met.push((id.clone(), file.clone()));
            }
        }
        for (asset, file) in met {
            let (Some(held), Some(file)) =
                (scene.new_assets.remove(&asset), scene.files.get(&file))
            else {
                continue;
            };
            if !scene.new_files.remove(&file.id) {
                scene.new_assets.insert(asset, held);
                continue;
            }
            let pair = self.strangers(file, &held);
            scene.items.push(Item {
                is_strange: true,
                ..Item::of(pair, Some(file.clone()), Some(held))?
            });
        }
        Ok(())
    }

    /// A pair that has not agreed on anything.
    fn strangers(&self, file: &Asset, held: &Holding) -> Pair {
        let seen = self.seen();
        Pair {
            inward: Some(Placement {
                flow: seen.way_in.to_owned(),
                source: seen.files.to_owned(),
                source_asset: file.id.clone(),
                source_revision: Revision::new(""),
                source_path: file.path.clone(),
                sink: seen.library.to_owned(),
                placed: Placed {
                    asset: held.asset.id.clone(),
                    revision: Revision::new(""),
                    size: held.asset.size,
                    content_hash: None,
                    evidence: Evidence::E0,
                },
                digests: Digests {
                    blake3: Blake3::of(b""),
                    content_hash: None,
                    size: held.asset.size,
                },
                draft_digest: nothing_told(),
                collection: held.asset.path.parent(),
                linked: false,
            }),
            outward: None,
        }
    }

    pub(super) fn places(&self, held: &Holding) -> Places {
        Places::of(&self.options.root, &self.options.query.collection, held)
    }

    fn judge(&self, scene: &mut Scene, removes: bool) {
        for item in &mut scene.items {
            self.judge_one(
                (&scene.conflicts, &scene.taken, &scene.doubt, scene.records),
                item,
                removes,
            );
        }
    }

    fn judge_one(
        &self,
        (conflicts, taken, doubt, records): Noted<'_>,
        item: &mut Item,
        removes: bool,
    ) {
        if doubt.is_about(&item.pair) || (item.found.is_some() && !records) {
            item.verdict = Verdict::Wait;
            return;
        }
        let chosen = item.subject().and_then(|subject| conflicts.get(&subject));
        let chosen = chosen.filter(|conflict| {
            let file = item.file.as_ref().map(|file| &file.revision);
            conflict.found.file.revision.as_ref() == file
                && conflict.found.asset.revision.as_ref() == item.version()
        });
        let chosen: Option<Resolution> = chosen.and_then(|conflict| conflict.resolution);
        let places = item.held.as_ref().filter(|_| self.options.mirrors);
        let places = places.map(|held| self.places(held));
        let rules = Rules {
            authority: &self.options.authority,
            removes,
            chosen,
            undone: item.undone,
        };
        let file = self.file_now(item, taken);
        let is_kept = matches!(file, FileNow::Kept);
        let verdict = rules.judge(&item.pair, file, self.asset_now(item), places.as_ref());
        item.is_kept = is_kept;
        item.is_chosen = chosen.is_some();
        item.verdict = match verdict {
            Verdict::Ask(Question::BothChanged, _) if item.is_strange => Verdict::Ask(
                Question::PlaceTaken,
                "the file and an asset have one place, and nobody brought them together".to_owned(),
            ),
            verdict => verdict,
        };
    }

    pub(super) fn file_now<'a>(&self, item: &'a Item, taken: &BTreeSet<AssetId>) -> FileNow<'a> {
        let Some(file) = &item.file else {
            let was_taken = item
                .pair
                .asset()
                .is_some_and(|asset| taken.contains(&asset));
            return match was_taken {
                true => FileNow::Taken,
                false => FileNow::Gone,
            };
        };
        let removed = self.options.removing.as_ref().map(|one| &one.files);
        let by_rights = self.release.options.taking_back.quarantine.as_ref();
        let mut kept = removed.into_iter().chain(by_rights);
        if kept.any(|folder| is_below(&file.path, folder)) {
            return FileNow::Kept;
        }
        match is_below(&file.path, &self.options.root) {
            true => FileNow::There(file),
            false => FileNow::Elsewhere(file),
        }
    }

    pub(super) fn asset_now<'a>(&self, item: &'a Item) -> AssetNow<'a> {
        match (&item.held, &item.objection) {
            (None, _) => AssetNow::Gone,
            (Some(held), None) => AssetNow::There(held),
            (Some(held), Some(why)) => {
                let removed = self.options.removing.as_ref().map(|one| &one.assets);
                let mut collections = held.collections.iter();
                match removed.is_some_and(|kept| collections.any(|one| is_below(one, kept))) {
                    true => AssetNow::Kept(held),
                    false => AssetNow::Elsewhere(why),
                }
            }
        }
    }

    /// Asks the library once more about what something is due about: its list may have lagged.
    async fn confirm_what_is_due(&self, scene: &mut Scene, removes: bool) -> Result<()> {
        let is_due = |item: &Item| {
            let is_listed = item.held.is_some() && item.objection.is_none();
            is_listed
                && !matches!(
                    item.verdict,
                    Verdict::Agree | Verdict::Apart(_) | Verdict::Wait
                )
        };
        let items = scene
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| is_due(item));
        let due: Vec<(usize, AssetId)> = items
            .filter_map(|(index, item)| Some((index, item.pair.asset()?)))
            .collect();
        for batch in due.chunks(BATCH) {
            let ids: Vec<AssetId> = batch.iter().map(|(_, id)| id.clone()).collect();
            let found = self.library.consult(&ids).await?;
            for ((index, _), found) in batch.iter().zip(found) {
                let objection = found
                    .as_ref()
                    .and_then(|held| self.options.query.objection(held));
                let Some(item) = scene.items.get_mut(*index) else {
                    continue;
                };
                item.held = found.map(Arc::new);
                item.objection = objection;
                self.judge_one(
                    (&scene.conflicts, &scene.taken, &scene.doubt, scene.records),
                    item,
                    removes,
                );
            }
        }
        Ok(())
    }

    /// A conflict about a pair.
    pub(super) fn conflict(
        &self,
        item: &Item,
        question: Question,
        reason: String,
    ) -> Option<NewConflict> {
        let seen = self.seen();
        let last = item.last_file()?;
        let held = item.held.as_ref();
        let asset_path = held.map(|held| held.asset.path.clone());
        Some(NewConflict {
            flow: self.options.name.clone(),
            subject: item.subject()?,
            question,
            reason,
            file: ConflictSide {
                endpoint: seen.files.to_owned(),
                asset: last.id.clone(),
                path: last.path.clone(),
                revision: item.file.as_ref().map(|file| file.revision.clone()),
                size: last.size,
            },
            asset: ConflictSide {
                endpoint: seen.library.to_owned(),
                asset: item.pair.asset()?,
                path: asset_path.unwrap_or_else(|| last.path.clone()),
                revision: item.version().cloned(),
                size: held.map_or(0, |held| held.asset.size),
            },
        })
    }
}

impl Scene {
    /// Whether the way out looks at an asset: at all of them where all of both sides was looked at, else at those that are
    /// new, that are another by now, or that something is due about.
    pub(super) fn concerns(&self, asset: &AssetId, verdict: &Verdict) -> bool {
        let touched = self.touched.as_ref();
        *verdict != Verdict::Agree || touched.is_none_or(|touched| touched.contains(asset))
    }

    /// Leaves out what has no pair and may be about to have one.
    fn leave_doubtful(&mut self) {
        let (files, doubt) = (&self.files, &self.doubt);
        let is_doubtful = |id: &AssetId| files.get(id).is_some_and(|file| doubt.is_new(file));
        self.new_files.retain(|id| !is_doubtful(id));
        self.new_assets.retain(|_, held| !doubt.is_new(&held.asset));
    }

    /// What is noted and does not wait any more: nobody asked for it again, and no choice about it stands.
    pub(super) fn ended(&self, found: &[NewConflict]) -> Vec<AssetId> {
        let asked: BTreeSet<&AssetId> = found.iter().map(|one| &one.subject).collect();
        let chosen: BTreeSet<AssetId> = self
            .items
            .iter()
            .filter(|item| item.is_chosen)
            .filter_map(Item::subject)
            .collect();
        let noted = self.conflicts.keys();
        noted
            .filter(|subject| !asked.contains(subject) && !chosen.contains(*subject))
            .cloned()
            .collect()
    }
}

pub(super) fn is_below(path: &AssetPath, folder: &AssetPath) -> bool {
    moved_below(path, folder, &AssetPath::new("")).is_some()
}
