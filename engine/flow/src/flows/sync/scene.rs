//! Both sides and the ledger at one moment: every pair with how its file and its asset stand, and what has no pair.
//!
//! Lists may lag and may leave out what is there, so nothing is believed to be gone that was not asked for by its id, and
//! nothing is acted upon that the library did not confirm.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Change, Conflict, ConflictSide, Digests, Evidence, Holding,
    NewConflict, Placed, Placement, Question, Resolution, Result, Revision, Scope,
};

use super::pair::{Pair, pairs_of};
use super::place::{Places, moved_below};
use super::verdict::{AssetNow, FileNow, Rules, Verdict};
use super::{Sync, Way};
use crate::delivery::asset_of;
use crate::observe::Event;
use crate::plan::Work;
use crate::run::next_run_to_resume;

/// How many assets a library or a ledger is asked about at once.
const BATCH: usize = 256;

/// What waits for a choice, whose file was taken back, and what is under way.
type Noted<'a> = (
    &'a BTreeMap<AssetId, Conflict>,
    &'a BTreeSet<AssetId>,
    &'a Doubt,
);

/// One pair, and what is due about it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) pair: Pair,
    /// The file, wherever it is.
    pub(super) file: Option<Asset>,
    /// The asset, wherever it is filed.
    pub(super) held: Option<Holding>,
    /// Why the asset is not asked for, where it is not.
    objection: Option<String>,
    pub(super) verdict: Verdict,
    /// The file is where nobody sees it, because the flow put it there.
    pub(super) is_kept: bool,
    /// What somebody chose decides about it.
    is_chosen: bool,
    /// Nobody has agreed on anything yet: both sides have something in one place.
    is_strange: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub(super) items: Vec<Item>,
    /// Everything in the flow's folder.
    pub(super) files: BTreeMap<AssetId, Asset>,
    /// Files that are of no pair.
    pub(super) new_files: BTreeSet<AssetId>,
    /// Assets that are of no pair.
    pub(super) new_assets: BTreeMap<AssetId, Holding>,
    /// Files whose asset has another file by now.
    pub(super) superseded: BTreeMap<AssetId, AssetId>,
    /// Assets whose file the way out took back and did not place again.
    taken: BTreeSet<AssetId>,
    /// What the other way may be about to record.
    doubt: Doubt,
    /// What waits for a choice, and what somebody chose.
    conflicts: BTreeMap<AssetId, Conflict>,
}

impl Item {
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
        let mut scene = Scene {
            files: self.list_files().await?,
            conflicts: self.noted().await?,
            taken: self.taken().await?,
            doubt: self.doubt(way).await?,
            ..Scene::default()
        };
        let mut held = self.list_assets().await?;
        let (inward, outward) = self.placed().await?;
        let known: Vec<(AssetId, AssetId)> = inward
            .iter()
            .map(|one| (one.source_asset.clone(), one.placed.asset.clone()))
            .collect();
        let pairs = pairs_of(inward, outward);
        let paired: BTreeSet<AssetId> =
            pairs.iter().filter_map(|one| one.file().cloned()).collect();
        scene.superseded = known
            .into_iter()
            .filter(|(file, _)| !paired.contains(file))
            .collect();
        self.confirm(&pairs, &mut held).await?;
        for pair in pairs {
            let item = self.stand(&scene, &mut held, pair).await?;
            scene.items.push(item);
        }
        scene.new_assets = held
            .into_iter()
            .filter_map(|(id, held)| Some((id, held.ok()?)))
            .collect();
        let known = |id: &AssetId| paired.contains(id) || scene.superseded.contains_key(id);
        scene.new_files = scene
            .files
            .keys()
            .filter(|id| !known(id))
            .cloned()
            .collect();
        scene.leave_doubtful();
        self.meet_strangers(&mut scene);
        let removes = self.options.removing.is_some() && self.has_seen_all().await?;
        self.judge(&mut scene, removes);
        self.confirm_what_is_due(&mut scene, removes).await?;
        Ok(scene)
    }

    /// Everything in the flow's folder. A folder that is not there is no empty one: all its files would look removed.
    async fn list_files(&self) -> Result<BTreeMap<AssetId, Asset>> {
        let scope = Scope {
            root: self.options.root.clone(),
        };
        let mut files: BTreeMap<AssetId, Asset> = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = self.files().changes(&scope, cursor.as_ref()).await?;
            for change in page.changes {
                match change {
                    Change::Asset(asset) => {
                        files.retain(|id, there| {
                            *id == asset.id || there.path.key() != asset.path.key()
                        });
                        drop(files.insert(asset.id.clone(), asset));
                    }
                    Change::Folder(_) => {}
                    Change::Removed(path) => {
                        let below = format!("{}/", path.key());
                        files.retain(|_, there| {
                            let key = there.path.key();
                            key != path.key() && !key.starts_with(&below)
                        });
                    }
                }
            }
            self.ingest.observer.observe(Event::Listed {
                assets: files.len() as u64,
            });
            match page.more {
                true => cursor = Some(page.cursor),
                false => return Ok(files),
            }
        }
    }

    /// What is asked for, as lists have it.
    async fn list_assets(&self) -> Result<BTreeMap<AssetId, Result<Holding, (Holding, String)>>> {
        let mut held = BTreeMap::new();
        let mut cursor = None;
        loop {
            let page = self
                .library
                .holdings(&self.options.query, cursor.as_ref())
                .await?;
            for one in page.holdings {
                if self.options.query.objection(&one).is_none() {
                    held.insert(one.asset.id.clone(), Ok(one));
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(held),
            }
        }
    }

    /// What both halves have placed.
    async fn placed(&self) -> Result<(Vec<Placement>, Vec<Placement>)> {
        let seen = self.seen();
        let inward = self.placements(seen.way_in, seen.files).await?;
        let outward = self.placements(seen.way_out, seen.library).await?;
        Ok((inward, outward))
    }

    async fn placements(&self, flow: &str, source: &str) -> Result<Vec<Placement>> {
        let mut placed: Vec<Placement> = Vec::new();
        loop {
            let after = placed.last().map(|last| last.source_asset.clone());
            let page = self
                .ingest
                .ledger
                .placements_after(flow, source, after.as_ref(), BATCH as u32)
                .await?;
            match page.is_empty() {
                true => return Ok(placed),
                false => placed.extend(page),
            }
        }
    }

    /// Assets whose file the way out took back and did not place again.
    async fn taken(&self) -> Result<BTreeSet<AssetId>> {
        let seen = self.seen();
        let mut last: Option<AssetId> = None;
        let mut taken = BTreeSet::new();
        loop {
            let page = self
                .ingest
                .ledger
                .withdrawals_after(seen.way_out, seen.library, last.as_ref(), BATCH as u32)
                .await?;
            let ids = page.into_iter().map(|one| one.placement.source_asset);
            let ids: Vec<AssetId> = ids.collect();
            match ids.last() {
                None => return Ok(taken),
                Some(id) => last = Some(id.clone()),
            }
            taken.extend(ids.iter().map(asset_of));
        }
    }

    /// What waits in the queue.
    async fn noted(&self) -> Result<BTreeMap<AssetId, Conflict>> {
        let flow = self.options.name.as_str();
        let mut noted: BTreeMap<AssetId, Conflict> = BTreeMap::new();
        loop {
            let after = noted.keys().next_back().cloned();
            let after = after.as_ref().map(|subject| (flow, subject));
            let page = self
                .ingest
                .ledger
                .conflicts(Some(flow), after, BATCH as u32)
                .await?;
            match page.is_empty() {
                true => return Ok(noted),
                false => noted.extend(page.into_iter().map(|one| (one.found.subject.clone(), one))),
            }
        }
    }

    /// What an interrupted run of the other way may have done without its outcome being recorded. Whoever runs a flow goes
    /// on with such a run first, so there is only something where that one was interrupted again.
    async fn doubt(&self, way: Way) -> Result<Doubt> {
        let ledger = self.ingest.ledger.as_ref();
        let other = match way {
            Way::In => &self.options.way_out,
            Way::Out => &self.options.way_in,
        };
        let mut doubt = Doubt::default();
        let Some(run) = next_run_to_resume(ledger, other).await? else {
            return Ok(doubt);
        };
        let mut after = None;
        loop {
            let steps = ledger.steps(run, after, BATCH as u32).await?;
            let Some(last) = steps.last() else {
                return Ok(doubt);
            };
            after = Some(last.id);
            for step in steps.iter().filter(|step| !step.state.is_terminal()) {
                doubt.sources.insert(asset_of(&step.asset));
                for (_, payload) in ledger.steps_at(run, &step.path).await? {
                    let draft = Work::from_payload(&payload)?.draft().clone();
                    let path = draft.collection.join(&draft.file_name);
                    doubt.places.insert(path.key());
                }
            }
        }
    }

    /// Asks the library about the assets of pairs that its list does not have.
    async fn confirm(
        &self,
        pairs: &[Pair],
        held: &mut BTreeMap<AssetId, Result<Holding, (Holding, String)>>,
    ) -> Result<()> {
        let missing: Vec<AssetId> = pairs
            .iter()
            .filter_map(Pair::asset)
            .filter(|asset| !held.contains_key(asset))
            .collect();
        for batch in missing.chunks(BATCH) {
            let found = self.library.consult(batch).await?;
            for (id, found) in batch.iter().zip(found) {
                let Some(found) = found else { continue };
                let stands = match self.options.query.objection(&found) {
                    None => Ok(found),
                    Some(objection) => Err((found, objection)),
                };
                held.insert(id.clone(), stands);
            }
        }
        Ok(())
    }

    /// How the two of a pair stand. The asset is taken out of `held`.
    async fn stand(
        &self,
        scene: &Scene,
        held: &mut BTreeMap<AssetId, Result<Holding, (Holding, String)>>,
        pair: Pair,
    ) -> Result<Item> {
        let file = match pair.file() {
            None => None,
            Some(id) => match scene.files.get(id) {
                Some(file) => Some(file.clone()),
                None => self.files().stat(id).await?,
            },
        };
        let asset = pair.asset().and_then(|asset| held.remove(&asset));
        let (held, objection) = match asset {
            None => (None, None),
            Some(Ok(held)) => (Some(held), None),
            Some(Err((held, objection))) => (Some(held), Some(objection)),
        };
        Ok(Item {
            pair,
            file,
            held,
            objection,
            verdict: Verdict::Agree,
            is_kept: false,
            is_chosen: false,
            is_strange: false,
        })
    }

    /// A file and an asset that nobody brought together and that would have one place: somebody has to say what they are to
    /// each other, or each would become a second one of the other.
    fn meet_strangers(&self, scene: &mut Scene) {
        if !self.options.mirrors {
            return;
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
            scene.items.push(Item {
                pair: self.strangers(file, &held),
                file: Some(file.clone()),
                held: Some(held),
                objection: None,
                verdict: Verdict::Agree,
                is_kept: false,
                is_chosen: false,
                is_strange: true,
            });
        }
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
                draft_digest: Blake3::of(b""),
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
                (&scene.conflicts, &scene.taken, &scene.doubt),
                item,
                removes,
            );
        }
    }

    fn judge_one(&self, (conflicts, taken, doubt): Noted<'_>, item: &mut Item, removes: bool) {
        if doubt.is_about(&item.pair) {
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

    fn file_now<'a>(&self, item: &'a Item, taken: &BTreeSet<AssetId>) -> FileNow<'a> {
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

    fn asset_now<'a>(&self, item: &'a Item) -> AssetNow<'a> {
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
                item.held = found;
                item.objection = objection;
                self.judge_one(
                    (&scene.conflicts, &scene.taken, &scene.doubt),
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

/// What one way may be about to record, so that the other way leaves it alone.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Files or assets that are brought over.
    sources: BTreeSet<AssetId>,
    /// Where they are brought to, as folded paths.
    places: BTreeSet<String>,
}

impl Doubt {
    fn is_about(&self, pair: &Pair) -> bool {
        let file = pair.file().is_some_and(|file| self.sources.contains(file));
        file || pair
            .asset()
            .is_some_and(|asset| self.sources.contains(&asset))
    }

    fn is_new(&self, asset: &Asset) -> bool {
        self.sources.contains(&asset.id) || self.places.contains(&asset.path.key())
    }
}

impl Scene {
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
