//! Audits of two-way flows: every pair, and what is no pair yet, each with exactly one name.
//!
//! How a pair stands is what a plan would say of it; why, what its step says. Where both agree, their bytes are held beside
//! what the ledger knows of the point at which they did: what the lists state, and with `deep` what reading back says.
//! Files and pairs are counted apart from their names, so what has none shows as unexplained.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use windlass_core::{
    Action, Asset, AssetId, AssetPath, ContentHash, Holding, Result, Source, Withdrawal,
};
use windlass_transfer::Engine;

use super::pair::{Changed, Point};
use super::paired::Paired;
use super::scene::{Item, Scene};
use super::verdict::{AssetNow, FileNow, Verdict};
use super::{Sync, Way};
use crate::audit::{Audit, AuditWriter, AuditedFile, ReadBack, Standing, Telling, read_back};
use crate::delivery::asset_of;
use crate::flows::release::BLOCKED;
use crate::plan::PlannedStep;
use crate::run::is_over;

/// How many pairs are named at once.
const BATCH: usize = 256;

/// An audit of one two-way flow, both ways.
#[derive(Debug)]
pub struct VerifySync<'a> {
    /// The flow.
    pub flow: &'a Sync,
    /// Reads the file and the asset of every pair that agrees, and hashes them.
    pub deep: Option<&'a Engine>,
    /// How many pairs are read at the same time.
    pub at_once: usize,
}

/// How something stands, and why.
type Named = (Standing, Option<String>);

/// What a run of either way would do.
#[derive(Debug, Default)]
struct Next {
    /// By file.
    inward: BTreeMap<AssetId, (Action, String)>,
    /// By asset.
    outward: BTreeMap<AssetId, (Action, String)>,
}

/// One pair with its name, and what of it is to be read.
#[derive(Debug)]
struct Told {
    named: AuditedFile,
    /// What has to have which bytes.
    agreed: Option<(Asset, Asset, Point)>,
}

impl VerifySync<'_> {
    /// Audits. Writes nothing anywhere but to `writer`.
    ///
    /// Errors: what prevents looking; never what is found.
    pub async fn run(&self, writer: &mut dyn AuditWriter) -> Result<Audit> {
        let scene = Arc::new(self.flow.look(Way::In).await?);
        let next = self.next(&scene).await?;
        let observer = self.flow.ingest.observer.as_ref();
        let mut telling = Telling::new(writer, observer);
        for batch in scene.items.chunks(BATCH) {
            self.pairs(&scene, &next, batch, &mut telling).await?;
        }
        let rest = self.files(&scene, &next).chain(self.assets(&scene, &next));
        let mut rest: Vec<AuditedFile> = rest.collect();
        let away = self.put_away(&scene).await?;
        let retired = self.retired(&scene, &away).await?;
        let counted = counted(&scene) + (away.len() + retired.len()) as u64;
        for withdrawal in &away {
            rest.push(self.kept(withdrawal, &next).await?);
        }
        rest.extend(retired);
        for batch in rest.chunks(BATCH) {
            telling.tell(batch.to_vec()).await?;
        }
        let asked = |item: &&Item| item.held.is_some() && item.objection.is_none();
        let at_sink = scene.items.iter().filter(asked).count() + scene.new_assets.len();
        let at_source = scene.files.len() as u64;
        Ok(telling.finish(counted, at_source, at_sink as u64))
    }

    /// What was put away and has nothing left that would be a pair.
    async fn put_away(&self, scene: &Scene) -> Result<Vec<Withdrawal>> {
        let items = scene.items.iter();
        let paired: BTreeSet<AssetId> = items.filter_map(|item| item.pair.asset()).collect();
        let mut away = self.flow.withdrawn().await?;
        away.retain(|one| {
            let asset = asset_of(&one.placement.source_asset);
            let is_back = scene.files.contains_key(&one.placement.placed.asset);
            !paired.contains(&asset) && !scene.new_assets.contains_key(&asset) && !is_back
        });
        Ok(away)
    }

    /// Assets that the flow deleted for good, of which nothing is there again.
    async fn retired(&self, scene: &Scene, away: &[Withdrawal]) -> Result<Vec<AuditedFile>> {
        let away: BTreeSet<AssetId> = away
            .iter()
            .map(|one| asset_of(&one.placement.source_asset))
            .collect();
        let items = scene.items.iter();
        let paired: BTreeSet<AssetId> = items.filter_map(|item| item.pair.asset()).collect();
        let mut retired = self.flow.retired().await?;
        retired.retain(|one| {
            let (file, asset) = (&one.placement.source_asset, &one.placement.placed.asset);
            let is_back = scene.files.contains_key(file) || scene.new_assets.contains_key(asset);
            !is_back && !away.contains(asset) && !paired.contains(asset)
        });
        let retired = retired.into_iter().map(|one| AuditedFile {
            standing: Standing::Withdrawn,
            path: one.placement.source_path,
            size: one.placement.digests.size,
            why: Some(format!("its asset was deleted for good: {}", one.reason)),
            source_asset: Some(one.placement.source_asset),
            sink_asset: Some(one.placement.placed.asset),
        });
        Ok(retired.collect())
    }

    async fn kept(&self, withdrawal: &Withdrawal, next: &Next) -> Result<AuditedFile> {
        let placement = &withdrawal.placement;
        let there = self.flow.files().stat(&placement.placed.asset).await?;
        let name = placement.collection.join(placement.source_path.name());
        let ends = ends(next.outward.get(&asset_of(&placement.source_asset)));
        let deleted = format!("its file was deleted for good: {}", withdrawal.reason);
        let why = match (&there, &withdrawal.kept) {
            (Some(there), None) if is_over(withdrawal) => {
                format!("{deleted}; somebody restored it as {}", there.path)
            }
            (None, None) if is_over(withdrawal) => deleted,
            (Some(there), _) => format!("its file is kept as {}{ends}", there.path),
            (None, Some(kept)) => format!("its file was kept as {kept}, and is gone from there"),
            (None, None) => "its file was gone already".to_owned(),
        };
        Ok(AuditedFile {
            standing: Standing::Withdrawn,
            path: withdrawal.kept.clone().unwrap_or(name),
            size: placement.digests.size,
            why: Some(why),
            source_asset: Some(placement.placed.asset.clone()),
            sink_asset: Some(asset_of(&placement.source_asset)),
        })
    }

    async fn next(&self, scene: &Arc<Scene>) -> Result<Next> {
        let flow = self.flow;
        let (mut inward, mut outward) = (Vec::new(), Vec::new());
        flow.plan_scene(Arc::clone(scene), &mut inward).await?;
        let ends = flow.old_files(scene).await?.steps;
        let way_out = flow.way_out(Paired::of(flow, scene).and_ends(ends));
        way_out.decide(&mut outward).await?;
        let said = |step: PlannedStep| (step.asset.id, (step.action, step.reason));
        Ok(Next {
            inward: inward.into_iter().map(said).collect(),
            outward: outward
                .into_iter()
                .map(|step| (asset_of(&step.asset.id), (step.action, step.reason)))
                .collect(),
        })
    }

    async fn pairs(
        &self,
        scene: &Scene,
        next: &Next,
        items: &[Item],
        telling: &mut Telling<'_>,
    ) -> Result<()> {
        let told = items.iter().map(|item| self.tell(scene, next, item));
        let read = stream::iter(told.map(async |told| self.read(told).await));
        let read = read.buffered(self.at_once.max(1));
        let told: Vec<(AuditedFile, u64, u64)> = read.try_collect().await?;
        let mut files = Vec::with_capacity(told.len());
        for (file, of_file, of_asset) in told {
            for bytes in [of_file, of_asset].into_iter().filter(|bytes| *bytes > 0) {
                telling.read_back(bytes);
            }
            files.push(file);
        }
        telling.tell(files).await
    }

    fn tell(&self, scene: &Scene, next: &Next, item: &Item) -> Told {
        let (standing, why) = self.name(scene, next, item);
        let last = item.last_file();
        let held = item.held.as_ref().map(|held| &held.asset);
        let shown = last.as_ref().or(held);
        let named = AuditedFile {
            standing,
            path: shown.map_or_else(|| AssetPath::new(""), |shown| shown.path.clone()),
            size: shown.map_or(0, |shown| shown.size),
            why,
            source_asset: item.pair.file().cloned(),
            sink_asset: item.pair.asset(),
        };
        let agreed = match (standing, &item.file, held) {
            (Standing::Same, Some(file), Some(held)) => item
                .pair
                .agreed(file, &held.revision)
                .map(|point| (file.clone(), held.clone(), point)),
            _ => None,
        };
        Told { named, agreed }
    }

    /// Reads what agrees, where that is wanted. Answers how many bytes of the file and of the asset were read.
    async fn read(&self, told: Told) -> Result<(AuditedFile, u64, u64)> {
        let Told { mut named, agreed } = told;
        let (Some(engine), Some((file, asset, point))) = (self.deep, agreed) else {
            return Ok((named, 0, 0));
        };
        let files: &dyn Source = self.flow.files().as_ref();
        let of_file = read_back(engine, files, &file, point.digests.blake3).await?;
        let library: &dyn Source = self.flow.library.as_ref();
        let of_asset = read_back(engine, library, &asset, point.digests.blake3).await?;
        for (which, read) in [("asset", &of_asset), ("file", &of_file)] {
            if let Some((standing, why)) = wrong(read) {
                (named.standing, named.why) = (standing, Some(format!("the {which}: {why}")));
            }
        }
        Ok((named, bytes_of(&of_file), bytes_of(&of_asset)))
    }

    /// How a pair stands.
    fn name(&self, scene: &Scene, next: &Next, item: &Item) -> Named {
        let why = |standing, why: &str| (standing, Some(why.to_owned()));
        match &item.verdict {
            Verdict::Agree => self.at_rest(scene, next, item),
            Verdict::Wait => why(Standing::Pending, "a run of the other way is about it"),
            Verdict::Inward { .. } => self.inward(next, item),
            Verdict::Outward { .. } => self.outward(next, item),
            Verdict::Ask(_, reason) => why(Standing::Conflict, reason),
            Verdict::Apart(reason) => why(Standing::Apart, reason),
            Verdict::KeepAsset(reason) => (
                Standing::ToWithdraw,
                Some(format!("{reason}; its asset is to be put away")),
            ),
            Verdict::KeepFile(reason) => (
                Standing::ToWithdraw,
                Some(format!("{reason}; its file is to be put away")),
            ),
            Verdict::BeginAnew => why(
                Standing::Pending,
                "its asset is gone, and the file is to become an asset again",
            ),
        }
    }

    /// How a pair stands about which nothing is due.
    fn at_rest(&self, scene: &Scene, next: &Next, item: &Item) -> Named {
        let file = self.flow.file_now(item, &scene.taken);
        let gone = "both the file and its asset are gone";
        match (file, self.flow.asset_now(item)) {
            (FileNow::There(file), AssetNow::There(held)) => agreement(item, file, held),
            (FileNow::Kept, _) => {
                let at = item.file.as_ref().map(|file| &file.path);
                let ends = ends(item.pair.asset().and_then(|id| next.outward.get(&id)));
                (
                    Standing::Withdrawn,
                    at.map(|at| format!("its file is kept as {at}{ends}")),
                )
            }
            (FileNow::Taken, _) => (Standing::Withdrawn, None),
            (_, AssetNow::Kept(held)) => {
                let at = held.asset.path.parent();
                let ends = ends(item.pair.file().and_then(|id| next.inward.get(id)));
                (
                    Standing::Withdrawn,
                    Some(format!("its asset is kept in {at}{ends}")),
                )
            }
            (FileNow::Gone, AssetNow::Gone) => (Standing::SourceGone, Some(gone.to_owned())),
            (FileNow::Gone, AssetNow::Elsewhere(why)) => {
                let why = format!("its file is gone, and of its asset: {why}");
                (Standing::Apart, Some(why))
            }
            (FileNow::Elsewhere(_) | FileNow::There(_), _) | (FileNow::Gone, _) => {
                let why = "its file left the flow's folder, and its asset is gone";
                (Standing::Apart, Some(why.to_owned()))
            }
        }
    }

    /// How a pair stands whose asset is to follow its file.
    fn inward(&self, next: &Next, item: &Item) -> Named {
        let id = item.file.as_ref().map(|file| &file.id);
        let said = id.and_then(|id| next.inward.get(id));
        if let Some(named) = said.and_then(waiting) {
            return named;
        }
        let what = match (item.objection.is_some(), changed(item).file) {
            (true, _) => return (Standing::Pending, Some(FILE_AGAIN.to_owned())),
            (false, true) => "its file is newer",
            (false, false) => {
                let why = "its file was moved or renamed, and its asset follows";
                return (Standing::Moved, Some(why.to_owned()));
            }
        };
        let why = said.map_or_else(|| what.to_owned(), |(_, why)| format!("{what}: {why}"));
        (Standing::Changed, Some(why))
    }

    /// How a pair stands whose file is to follow its asset.
    fn outward(&self, next: &Next, item: &Item) -> Named {
        let id = item.pair.asset();
        let said = id.and_then(|id| next.outward.get(&id));
        if let Some(named) = said.and_then(barred) {
            return named;
        }
        let (standing, why) = match (&item.file, item.is_kept) {
            (None, _) | (_, true) => (Standing::Pending, "its file appears again"),
            (Some(_), false) if changed(item).asset => (Standing::Changed, "its asset is newer"),
            (Some(_), false) if changed(item).file => {
                (Standing::Changed, "its asset takes the place of the file")
            }
            (Some(_), false) if item.undone.asset => (Standing::Changed, "both came back"),
            (Some(_), false) => (
                Standing::Moved,
                "its asset was moved or renamed, and its file follows",
            ),
        };
        (standing, Some(why.to_owned()))
    }

    /// Files that are of no pair.
    fn files<'s>(
        &self,
        scene: &'s Scene,
        next: &'s Next,
    ) -> impl Iterator<Item = AuditedFile> + use<'s> {
        let paired = files_of(scene);
        let files = scene.files.values();
        files
            .filter(move |file| !paired.contains(&file.id))
            .map(|file| {
                let (standing, why) = match (
                    scene.superseded.get(&file.id),
                    scene.new_files.contains(&file.id),
                ) {
                    (Some(asset), _) => {
                        let why = format!("its asset {asset} has another file by now");
                        (Standing::Apart, why)
                    }
                    (None, true) => new(next.inward.get(&file.id), "a file that is no asset yet"),
                    (None, false) => {
                        let why = "a run of the other way may have written it";
                        (Standing::Pending, why.to_owned())
                    }
                };
                AuditedFile {
                    standing,
                    path: file.path.clone(),
                    size: file.size,
                    why: Some(why),
                    source_asset: Some(file.id.clone()),
                    sink_asset: None,
                }
            })
    }

    /// Assets that are of no pair.
    fn assets<'s>(
        &self,
        scene: &'s Scene,
        next: &'s Next,
    ) -> impl Iterator<Item = AuditedFile> + use<'s> {
        scene.new_assets.iter().map(|(id, held)| {
            let (standing, why) = new(next.outward.get(id), "an asset that has no file yet");
            AuditedFile {
                standing,
                path: held.asset.path.clone(),
                size: held.asset.size,
                why: Some(why),
                source_asset: None,
                sink_asset: Some(id.clone()),
            }
        })
    }
}

/// What is said of a pair whose asset was put away and whose file people brought back.
const FILE_AGAIN: &str = "its file is there again, and its asset comes back";

/// The files of pairs.
fn files_of(scene: &Scene) -> BTreeSet<AssetId> {
    let items = scene.items.iter();
    items.filter_map(|item| item.pair.file().cloned()).collect()
}

/// How much there is to name: pairs, and files and assets of none.
fn counted(scene: &Scene) -> u64 {
    let paired = files_of(scene);
    let alone = scene.files.keys().filter(|id| !paired.contains(*id));
    (scene.items.len() + alone.count() + scene.new_assets.len()) as u64
}

fn changed(item: &Item) -> Changed {
    match (&item.file, item.version()) {
        (Some(file), Some(version)) => item.pair.changed(file, version),
        _ => Changed::default(),
    }
}

/// What is said of something that was put away and that a run would delete.
fn ends(said: Option<&(Action, String)>) -> String {
    match said {
        Some((Action::Withdraw, _)) => "; the next run deletes it".to_owned(),
        Some((Action::Hold, why)) => format!("; {why}"),
        _ => String::new(),
    }
}

/// How a pair stands of which both are where they are to be.
fn agreement(item: &Item, file: &Asset, held: &Holding) -> Named {
    let Some(point) = item.pair.agreed(file, &held.asset.revision) else {
        let why = "both stay as they are, because somebody chose so";
        return (Standing::Conflict, Some(why.to_owned()));
    };
    let sides = [("file", file), ("asset", &held.asset)];
    let differs = sides
        .iter()
        .find_map(|(which, now)| difference(which, now, &point));
    match differs {
        Some(why) => (Standing::Differs, Some(why)),
        None => (Standing::Same, None),
    }
}

/// What a list says of one of a pair that cannot be so if it has the bytes on which both agreed.
fn difference(which: &str, now: &Asset, point: &Point) -> Option<String> {
    let known = "at this revision";
    if now.size != point.digests.size {
        let (is, was) = (now.size, point.digests.size);
        return Some(format!("the {which} has {is} bytes {known}, and had {was}"));
    }
    let (is, was): (ContentHash, ContentHash) = now.content_hash.zip(point.digests.content_hash)?;
    (is != was).then(|| format!("the {which} has content hash {is} {known}, and had {was}"))
}

/// What somebody has to settle before the way in goes on with a file.
fn waiting((action, why): &(Action, String)) -> Option<Named> {
    match action {
        Action::Hold => Some((Standing::Held, Some(why.clone()))),
        Action::Conflict => Some((Standing::Conflict, Some(why.clone()))),
        _ => None,
    }
}

/// The same for the way out, which rights can bar.
fn barred((action, why): &(Action, String)) -> Option<Named> {
    match (action, why.strip_prefix(BLOCKED)) {
        (Action::Hold | Action::Skip, Some(why)) => {
            Some((Standing::BlockedByRights, Some(why.to_owned())))
        }
        (Action::Skip, None) => Some((Standing::NotSelected, Some(why.clone()))),
        _ => waiting(&(*action, why.clone())),
    }
}

/// How something stands that has no pair.
fn new(said: Option<&(Action, String)>, what: &str) -> (Standing, String) {
    let Some(said) = said else {
        let why = format!("{what}, and the flow makes none of it");
        return (Standing::NotSelected, why);
    };
    match barred(said) {
        Some((standing, why)) => (standing, why.unwrap_or_else(|| what.to_owned())),
        None => (Standing::Pending, what.to_owned()),
    }
}

fn wrong(read: &ReadBack) -> Option<(Standing, &str)> {
    match read {
        ReadBack::Same(_) => None,
        ReadBack::Differs(_, why) => Some((Standing::Differs, why)),
        ReadBack::Unreadable(why) => Some((Standing::Unreadable, why)),
    }
}

fn bytes_of(read: &ReadBack) -> u64 {
    match read {
        ReadBack::Same(bytes) | ReadBack::Differs(bytes, _) => *bytes,
        ReadBack::Unreadable(_) => 0,
    }
}
