//! Passes over what is placed already: nothing is asked that is known, and nothing is missed that changed.

use std::sync::atomic::{AtomicU64, Ordering};

use windlass_core::Scope;

use super::*;
use crate::discover::Listing;

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

async fn run_and_settle(world: &World) -> Report {
    let ingest = world.ingest();
    let plan = ingest.plan().await.unwrap();
    let runner = world.runner();
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    ingest.settle(&plan, Some(run)).await.unwrap();
    world.report(run).await
}

#[tokio::test]
async fn a_pass_by_the_same_rules_asks_no_hook_about_what_is_unchanged() {
    let (world, counted) = settled_world(120).await;
    let plan = world.plan().await;
    assert!(plan.is_empty());
    assert_eq!(plan.unchanged.assets, 120);
    assert_eq!(counted.asked.load(Ordering::Relaxed), 0);

    world.file("/In/ACME/Approved/007.tif", b"other bytes");
    world.file("/In/ACME/Approved/new.tif", b"new");
    world
        .source
        .rename("/In/ACME/Approved/008.tif", "/In/Other/Approved/008.tif")
        .unwrap();
    let plan = world.plan().await;
    assert_eq!(plan.unchanged.assets, 118);
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
    assert_eq!(plan.unchanged.assets, 0);
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
    let mut listing = Listing::new(&source, &scope, &Silent);
    let first = listing.fresh(1).await.unwrap();
    source.rename("/In/a.tif", "/In/z.tif").unwrap();
    listing.fresh(usize::MAX).await.unwrap();

    let forgotten: Vec<bool> = first.iter().map(|asset| listing.forget(asset)).collect();
    assert_eq!(forgotten, [false, true]);
    let left: Vec<String> = listing
        .into_assets()
        .iter()
        .map(|asset| asset.path.to_string())
        .collect();
    assert_eq!(left, ["/In/c.tif", "/In/z.tif"]);
}
