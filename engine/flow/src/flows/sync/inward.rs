//! The way in: what is new or changed among the files goes to the library, and assets whose file was removed are put away.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_core::digest::ChecksumAlgorithm;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, AssetStream, Calls, Capabilities, Change, ChangePage,
    CheckItem, Cursor, Digests, Endpoint, HeldBack, Load, Question, Result, Scope, Source,
    SpoolOrder,
};

use super::book::Book;
use super::place::moved_below;
use super::purge::put_away_as;
use super::scene::{Item, Scene, is_below};
use super::verdict::Verdict;
use super::{Queue, Removing, Sync, SyncOptions, Way};
use crate::flows::ingest::{Ingest, Partners, no_work};
use crate::plan::{PlanSummary, PlanWriter, PlannedStep, Work};

impl Sync {
    pub(super) async fn plan_inward(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        let scene = Arc::new(self.look(Way::In).await?);
        self.plan_scene(scene, writer).await
    }

    /// Decides what the way in would do about a scene.
    pub(super) async fn plan_scene(
        &self,
        scene: Arc<Scene>,
        writer: &mut dyn PlanWriter,
    ) -> Result<PlanSummary> {
        let book = Arc::new(Book::of(self, &scene));
        let ingest = Ingest {
            options: self.ingest.options.clone(),
            source: Arc::new(Listed {
                source: Arc::clone(self.files()),
                scene: Arc::clone(&scene),
            }),
            sink: Arc::clone(&self.ingest.sink),
            hooks: self.ingest.hooks.clone(),
            informant: self.ingest.informant.clone(),
            ledger: Arc::clone(&self.ingest.ledger),
            observer: Arc::clone(&self.ingest.observer),
            arrivals: self.ingest.arrivals.clone(),
            partners: Some(book as Arc<dyn Partners>),
        };
        let mut steps: Vec<PlannedStep> = Vec::new();
        let mut summary = ingest.decide(&mut steps).await?;
        summary.origin = self.origin_in()?;
        let mut queue = Queue::default();
        self.queue_proposals(&scene, &steps, &mut queue);
        let of_ingest = steps.len();
        let found = self.adopting(&scene, &steps);
        steps.extend(found);
        self.plan_rest(&scene, &mut queue, &mut steps);
        self.apply_cap(&scene, &mut steps);
        let expired = self.old_assets(&scene).await?;
        steps.extend(expired.steps);
        steps
            .iter()
            .skip(of_ingest)
            .for_each(|step| summary.count(step));
        let agree = scene
            .items
            .iter()
            .filter(|item| item.verdict == Verdict::Agree);
        agree
            .filter_map(|item| item.file.as_ref())
            .for_each(|file| summary.unchanged.count(file));
        summary.find(expired.told.as_slice());
        self.wait_for_list(&mut summary);
        queue.ended = scene.ended(&queue.found);
        summary.queue = queue;
        steps.sort_by_cached_key(|step| SpoolOrder::of(&step.asset));
        writer.steps(steps).await?;
        Ok(summary)
    }

    /// Puts what the ingest found proposed into the queue.
    fn queue_proposals(&self, scene: &Scene, steps: &[PlannedStep], queue: &mut Queue) {
        let proposed: BTreeSet<AssetId> = steps
            .iter()
            .filter(|step| step.action == Action::Conflict)
            .map(|step| step.asset.id.clone())
            .collect();
        for item in &scene.items {
            let file = item.file.as_ref().map(|file| &file.id);
            if !file.is_some_and(|file| proposed.contains(file)) {
                continue;
            }
            let reason = "the file changed, and its asset is the library's to change".to_owned();
            queue
                .found
                .extend(self.conflict(item, Question::Proposed, reason));
        }
    }

    /// Steps about pairs that no ingest decides about.
    fn plan_rest(&self, scene: &Scene, queue: &mut Queue, steps: &mut Vec<PlannedStep>) {
        for (file, asset) in &scene.superseded {
            if let Some(file) = scene.files.get(file) {
                let reason = format!("its asset {asset} has another file by now");
                steps.push(no_work(Action::Skip, reason, file.clone()));
            }
        }
        for item in &scene.items {
            let Some(last) = item.last_file() else {
                continue;
            };
            match &item.verdict {
                Verdict::Ask(question, reason) => {
                    let reason = format!("{reason}; both are kept until somebody chooses");
                    queue
                        .found
                        .extend(self.conflict(item, *question, reason.clone()));
                    steps.push(no_work(Action::Conflict, reason, last));
                }
                Verdict::Apart(reason) => {
                    let reason = format!("{reason}; the other one stays as it is");
                    steps.push(no_work(Action::Skip, reason, last));
                }
                Verdict::KeepAsset(reason) => {
                    steps.extend(self.put_away(item, &last, reason));
                }
                Verdict::Agree
                | Verdict::Wait
                | Verdict::Inward { .. }
                | Verdict::Outward { .. }
                | Verdict::KeepFile(_)
                | Verdict::BeginAnew => {}
            }
        }
    }

    /// Moves an asset to where what was removed is kept. Nothing about it changes but its collection.
    fn put_away(&self, item: &Item, last: &Asset, reason: &str) -> Option<PlannedStep> {
        let Removing { assets, .. } = self.options.removing.as_ref()?;
        let folder = assets.join(&self.moment());
        let kept = moved_below(&last.path.parent(), &self.options.root, &folder);
        let kept = kept.unwrap_or(folder);
        let mut placement = item.pair.as_inward(&self.seen(), last, item.version()?)?;
        placement.collection = self.filed(item).first()?.clone();
        let id = placement.placed.asset.clone();
        let draft = put_away_as(last.path.name(), &kept, item.version()?);
        Some(PlannedStep {
            action: Action::Relocate,
            reason: format!("{reason}; its asset {id} is kept in {kept}"),
            asset: last.clone(),
            work: Some(Work::Update {
                placement: Box::new(placement),
                asset: last.clone(),
                draft,
                leaves: self.filed(item),
            }),
        })
    }

    /// The collections of the flow that an asset is in.
    fn filed(&self, item: &Item) -> Vec<AssetPath> {
        let held = item.held.iter();
        let collections = held.flat_map(|held| &held.collections);
        collections
            .filter(|one| is_below(one, &self.options.query.collection))
            .cloned()
            .collect()
    }

    /// Those of them that it is in because its file was there, and where it was put away.
    pub(super) fn left_behind(&self, item: &Item) -> Vec<AssetPath> {
        let places = item.pair.file_places(|_, _| true);
        let SyncOptions { query, root, .. } = &self.options;
        let was_there = |one: &AssetPath| {
            let folder = moved_below(one, &query.collection, root);
            let mut before = places.iter().map(AssetPath::parent);
            folder.is_some_and(|folder| before.any(|before| before.key() == folder.key()))
        };
        let removing = self.options.removing.as_ref();
        let is_kept = |one: &AssetPath| removing.is_some_and(|kept| is_below(one, &kept.assets));
        let held = item.held.iter();
        let collections = held.flat_map(|held| &held.collections);
        collections
            .filter(|one| was_there(one) || is_kept(one))
            .cloned()
            .collect()
    }

    /// Holds what would be put away beyond the cap.
    fn apply_cap(&self, scene: &Scene, steps: &mut [PlannedStep]) {
        if let Some(cap) = &self.options.cap {
            let pairs = scene.items.len() as u64;
            cap.hold_beyond(pairs, steps, |step| step.action == Action::Relocate);
        }
    }
}

/// The files of a scene as a listing: what a plan is decided by is one moment.
#[derive(Debug)]
struct Listed {
    source: Arc<dyn Source>,
    scene: Arc<Scene>,
}

/// How many files a page has.
const PAGE: usize = 2_000;

#[async_trait]
impl Endpoint for Listed {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.source.capabilities()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.source.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.source.held_back()
    }

    fn calls_made(&self) -> u64 {
        self.source.calls_made()
    }
}

#[async_trait]
impl Source for Listed {
    async fn changes(&self, _scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        // A page ends with the id that the next one begins behind.
        let after = cursor.map_or(Unbounded, |cursor| Excluded(AssetId::new(cursor.as_str())));
        let mut files = self.scene.files.range((after, Unbounded));
        let page: Vec<&Asset> = files.by_ref().take(PAGE).map(|(_, file)| file).collect();
        let last = page.last().map_or("", |last| last.id.as_str());
        Ok(ChangePage {
            more: files.next().is_some(),
            cursor: Cursor::new(last),
            changes: page.into_iter().cloned().map(Change::Asset).collect(),
        })
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        self.source.stat(asset).await
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        self.source.tags(assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        self.source.read(asset, range, into).await
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.source.open(asset).await
    }

    async fn digests(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        self.source.digests(assets).await
    }

    async fn fingerprints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        self.source.fingerprints(assets).await
    }

    async fn checksums(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        self.source.checksums(assets, algorithm).await
    }

    fn calls_to_read(&self, load: &Load) -> Calls {
        self.source.calls_to_read(load)
    }
}
