//! Passes over what is placed already: nothing is asked that is known, and nothing is missed that changed.

use std::sync::atomic::{AtomicU64, Ordering};

use windlass_core::{Asset, AssetId, Change, Folder, Revision, Scope};

use super::*;
use crate::discover::{Kept, Listing};

/// Counts the assets that a hook is asked about.
#[derive(Debug)]
struct Counted {
    hooks: Arc<dyn Hooks>,
    asked: AtomicU64,
}

#[async_trait]
impl Hooks for Counted {
    fn identity(&self) -> &HookIdentity {
        self.hooks.identity()
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Metadata]
    }

    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        self.asked.fetch_add(assets.len() as u64, Ordering::Relaxed);
        self.hooks.describe(assets).await
    }
}

/// A world whose hook counts, with files that are placed and rules that are settled.
async fn settled_world(files: usize) -> (World, Arc<Counted>) {
    let mut world = World::new();
    let counted = Arc::new(Counted {
        hooks: hooks(""),
        asked: AtomicU64::new(0),
    });
    world.hooks = Arc::clone(&counted) as Arc<dyn Hooks>;
    for index in 0..files {
        world.file(&format!("/In/ACME/Approved/{index:03}.tif"), b"bytes");
    }
    run_and_settle(&world).await;
    counted.asked.store(0, Ordering::Relaxed);
    (world, counted)
}

pub(in crate::tests) async fn run_and_settle(world: &World) -> Report {
    let ingest = world.ingest();
    let plan = ingest.plan().await.unwrap();
    let runner = world.runner();
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    ingest.settle(&plan.summary, Some(run)).await.unwrap();
    world.report(run).await
}

#[tokio::test]
async fn a_pass_by_the_same_rules_asks_no_hook_about_what_is_unchanged() {
    let (world, counted) = settled_world(120).await;
    let plan = world.plan().await;
    assert!(plan.is_empty());
    assert_eq!(plan.summary.unchanged.assets, 120);
    assert_eq!(counted.asked.load(Ordering::Relaxed), 0);

    world.file("/In/ACME/Approved/007.tif", b"other bytes");
    world.file("/In/ACME/Approved/new.tif", b"new");
    world
        .source
        .rename("/In/ACME/Approved/008.tif", "/In/Other/Approved/008.tif")
        .unwrap();
    let plan = world.plan().await;
    assert_eq!(plan.summary.unchanged.assets, 118);
    assert_eq!(counted.asked.load(Ordering::Relaxed), 3);
    let action = |path: &str| step(&plan, path).0;
    assert_eq!(action("/In/ACME/Approved/007.tif"), Action::NewVersion);
    assert_eq!(action("/In/ACME/Approved/new.tif"), Action::Create);
    assert_eq!(action("/In/Other/Approved/008.tif"), Action::UpdateMetadata);
}

#[tokio::test]
async fn other_rules_are_asked_about_everything_again() {
    let (mut world, _) = settled_world(30).await;
    world.hooks = hooks("client ");
    let plan = world.plan().await;
    assert_eq!(plan.totals()[&Action::UpdateMetadata].0, 30);
    assert_eq!(plan.summary.unchanged.assets, 0);
}

#[tokio::test]
async fn an_update_that_failed_is_planned_again_although_nothing_changed_since() {
    let (mut world, _) = settled_world(3).await;
    world.hooks = hooks("client ");
    for _ in 0..8 {
        world.sink.inject(Operation::SetMetadata, Kind::Denied);
    }
    let report = run_and_settle(&world).await;
    assert_eq!(report.total(StepState::Failed).steps, 3);
    let plan = world.plan().await;
    assert_eq!(plan.totals()[&Action::UpdateMetadata].0, 3);
}

#[tokio::test]
async fn a_new_name_that_is_spelled_like_a_placed_one_is_held() {
    let mut sheet = windlass_core::Endpoint::capabilities(&MemoryEndpoint::new("x")).clone();
    sheet.folds_names = false;
    let mut world = World::new();
    world.source = MemoryEndpoint::with_capabilities("nas", sheet);
    world.file("/In/ACME/Approved/hero.tif", b"hero");
    run_and_settle(&world).await;
    world.file("/In/ACME/Approved/Hero.tif", b"another");
    let plan = world.plan().await;
    let (action, reason) = step(&plan, "/In/ACME/Approved/Hero.tif");
    assert_eq!(action, Action::Hold);
    assert!(reason.contains("an asset that is placed"), "{reason}");
}

#[tokio::test]
async fn files_keep_their_folders_where_the_flow_says_so() {
    let world = World::new();
    world.file("/In/ACME/Approved/2026/May/hero.tif", b"hero");
    world.file("/In/top.tif", b"top");
    let mut ingest = world.ingest();
    ingest.hooks = None;
    ingest.options.selection = Selection::default();
    ingest.options.keep_folders = true;
    let plan = ingest.plan().await.unwrap();
    let collections: Vec<_> = plan
        .steps
        .iter()
        .map(|step| step.work.as_ref().unwrap().draft().collection.to_string())
        .collect();
    assert_eq!(
        collections,
        ["/Library/Inbox/ACME/Approved/2026/May", "/Library/Inbox"]
    );
}

#[tokio::test]
async fn an_asset_that_moves_while_the_ledger_is_asked_about_it_is_not_forgotten() {
    let source = MemoryEndpoint::new("agency");
    for name in ["a", "b", "c"] {
        let path = format!("/In/{name}.tif");
        source.put(&path, b"bytes".to_vec()).unwrap();
    }
    source.set_page_entries(2);
    let scope = Scope {
        root: AssetPath::new("/In"),
    };
    for in_memory_max in [0, 100] {
        source.rename("/In/z.tif", "/In/a.tif").ok();
        let ledger = MemoryLedger::new(Arc::new(SystemClock));
        let mut listing = Listing::new(&source, &scope, &Silent);
        let mut kept = Kept::new(&ledger, true).with_in_memory_max(in_memory_max);
        let first = listing.changes(1).await.unwrap().unwrap();
        source.rename("/In/a.tif", "/In/z.tif").unwrap();
        let rest = listing.changes(usize::MAX).await.unwrap().unwrap();
        assert!(listing.changes(1).await.unwrap().is_none());

        // The ledger knows the first page; by the time it says so, the second one is there.
        kept.apply(first, |_| false).await.unwrap();
        kept.apply(rest, |_| true).await.unwrap();
        let mut sorted = kept.into_sorted().await.unwrap();
        assert_eq!(sorted.len(), 2);
        assert_eq!(
            paths(&sorted.next(100).await.unwrap()),
            ["/In/c.tif", "/In/z.tif"]
        );
        assert!(sorted.next(100).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn names_alike_are_decided_together_however_small_the_page() {
    let ledger = MemoryLedger::new(Arc::new(SystemClock));
    let names = ["/In/b", "/In/A", "/In/a", "/In/C", "/In/c", "/In/\u{e9}"];
    let changes = names.map(|path| Change::Asset(asset(path)));
    let mut kept = Kept::new(&ledger, false);
    kept.apply(changes.into(), |_| true).await.unwrap();
    let mut sorted = kept.into_sorted().await.unwrap();
    let mut pages = Vec::new();
    loop {
        let page = sorted.next(1).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.push(paths(&page));
    }
    assert_eq!(
        pages.concat(),
        ["/In/A", "/In/a", "/In/b", "/In/C", "/In/c", "/In/\u{e9}"]
    );
    let together = |one: &str| pages.iter().position(|page| page.contains(&one.to_owned()));
    assert_eq!(together("/In/A"), together("/In/a"));
    assert_eq!(together("/In/C"), together("/In/c"));
    assert!(pages.len() > 1, "{pages:?}");
}

#[tokio::test]
async fn a_folder_replaces_the_file_at_its_path_and_a_removal_takes_what_is_below() {
    let ledger = MemoryLedger::new(Arc::new(SystemClock));
    let folder = |path: &str| {
        Change::Folder(Folder {
            id: AssetId::new(path),
            path: AssetPath::new(path),
        })
    };
    let mut kept = Kept::new(&ledger, true);
    let changes = vec![
        Change::Asset(asset("/In/x")),
        Change::Asset(asset("/In/y/1")),
        Change::Asset(asset("/In/y/2")),
        Change::Asset(asset("/In/y-not-below")),
        folder("/In/X"),
        Change::Asset(asset("/In/X/child")),
        folder("/In/X"),
        Change::Removed(AssetPath::new("/in/Y")),
    ];
    kept.apply(changes, |_| true).await.unwrap();
    let mut sorted = kept.into_sorted().await.unwrap();
    assert_eq!(
        paths(&sorted.next(9).await.unwrap()),
        ["/In/X/child", "/In/y-not-below"]
    );
}

fn asset(path: &str) -> Asset {
    Asset {
        id: AssetId::new(path),
        path: AssetPath::new(path),
        revision: Revision::new("1"),
        size: 1,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

fn paths(assets: &[Asset]) -> Vec<String> {
    assets.iter().map(|asset| asset.path.to_string()).collect()
}
