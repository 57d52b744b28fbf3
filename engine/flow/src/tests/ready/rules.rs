//! Each rule with a flow around it: what waits, what is said, and that the next pass takes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use windlass_core::memory::ManualClock;
use windlass_core::{Asset, Named, PackageReader, Source};

use super::super::passes::run_and_settle;
use super::super::*;

/// Reads documents that are lists of links, one a line; a document that does not end so is not whole.
#[derive(Debug)]
pub(super) struct Lines;

#[async_trait]
impl PackageReader for Lines {
    async fn named(&self, source: &dyn Source, document: &Asset) -> Result<Verdict<Named>> {
        let mut bytes = Vec::new();
        let read = source.read(document, 0..document.size, &mut bytes).await;
        let text = String::from_utf8_lossy(&bytes);
        Ok(
            match read.is_ok().then(|| text.strip_suffix("end")).flatten() {
                None => Verdict::Held {
                    reason: "it ends too early".into(),
                    rule: String::new(),
                },
                Some(lines) => Verdict::Ready(Named {
                    links: lines.lines().map(str::to_owned).collect(),
                    fonts: Vec::new(),
                }),
            },
        )
    }
}

fn world(ready: Readiness) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let mut world = World::new();
    world.ready = ready;
    world.arrivals = Arrivals {
        clock: Arc::clone(&clock) as Arc<dyn windlass_core::Clock>,
        packages: Some(Arc::new(Lines)),
    };
    (world, clock)
}

fn quiet() -> Readiness {
    Readiness {
        quiet: Duration::from_secs(30),
        ..Readiness::default()
    }
}

fn waits(plan: &Plan, path: &str, part: &str) {
    let (action, reason) = step(plan, path);
    assert_eq!(action, Action::Skip, "{path}: {reason}");
    assert!(reason.starts_with("still arriving: "), "{path}: {reason}");
    assert!(reason.contains(part), "{path}: {reason}");
}

const HERO: &str = "/In/ACME/Approved/hero.tif";

#[tokio::test]
async fn a_new_file_waits_is_counted_and_goes_once_it_was_left_alone() {
    let (world, clock) = world(quiet());
    world.file(HERO, b"hero");
    let plan = world.plan().await;
    waits(&plan, HERO, "left alone for 30s");
    assert_eq!(
        (plan.summary.waiting.assets, plan.summary.waiting.bytes),
        (1, 4)
    );
    let ready_at: Timestamp = plan.summary.ready_at.unwrap();
    assert_eq!(
        ready_at,
        windlass_core::Clock::now(&*clock) + Duration::from_secs(30)
    );
    run_and_settle(&world).await;
    clock.advance(Duration::from_secs(29));
    waits(&world.plan().await, HERO, "still arriving");
    clock.advance(Duration::from_secs(1));
    let plan = world.plan().await;
    assert_eq!(step(&plan, HERO).0, Action::Create);
    assert_eq!(plan.summary.ready_at, None);
    // A plan takes nothing, so it is ready still.
    assert_eq!(step(&world.plan().await, HERO).0, Action::Create);
    run_and_settle(&world).await;
    assert_eq!(world.sink.assets().len(), 1);
    assert!(world.plan().await.is_empty());
    let kept = world.ledger.cursor("sightings of approved").await.unwrap();
    assert_eq!(kept, None, "what is placed is not remembered");
}

#[tokio::test]
async fn a_run_in_which_a_file_waited_does_not_keep_later_passes_from_it() {
    let (world, clock) = world(quiet());
    world.file(HERO, b"hero");
    run_and_settle(&world).await;
    clock.advance(Duration::from_secs(30));
    run_and_settle(&world).await;
    // Placed and settled; its next version waits, and goes.
    world.file(HERO, b"hero 2");
    let report = run_and_settle(&world).await;
    assert_eq!(report.total(StepState::Skipped).steps, 1);
    assert_eq!(report.total(StepState::Held).steps, 0);
    clock.advance(Duration::from_secs(30));
    assert_eq!(step(&world.plan().await, HERO).0, Action::NewVersion);
}

#[tokio::test]
async fn what_is_placed_as_it_is_does_not_wait_for_its_metadata() {
    let (mut world, clock) = world(quiet());
    world.file(HERO, b"hero");
    world.plan().await;
    clock.advance(Duration::from_secs(30));
    run_and_settle(&world).await;
    world.hooks = hooks("client ");
    assert_eq!(step(&world.plan().await, HERO).0, Action::UpdateMetadata);
}

#[tokio::test]
async fn an_empty_file_waits_before_anybody_says_that_it_has_no_bytes() {
    let (world, clock) = world(quiet());
    world.file(HERO, b"");
    waits(&world.plan().await, HERO, "left alone");
    clock.advance(Duration::from_secs(30));
    assert_eq!(step(&world.plan().await, HERO).0, Action::Hold);
}

#[tokio::test]
async fn a_document_waits_while_a_program_has_it_open() {
    let (world, _) = world(Readiness::default());
    world.file("/In/ACME/Approved/Deck.pptx", b"deck");
    world.file("/In/ACME/Approved/~$Deck.pptx", b"who");
    waits(
        &world.plan().await,
        "/In/ACME/Approved/Deck.pptx",
        "(~$Deck.pptx)",
    );
    world.source.delete("/In/ACME/Approved/~$Deck.pptx");
    let plan = world.plan().await;
    assert_eq!(step(&plan, "/In/ACME/Approved/Deck.pptx").0, Action::Create);
}

#[tokio::test]
async fn a_package_goes_when_every_link_that_it_names_is_there() {
    let (world, _) = world(Readiness::default());
    let package = "/In/ACME/Approved/Pack";
    world.file(&format!("{package}/a.indd"), b"x.tif\ny.tif\nend");
    world.file(&format!("{package}/Links/x.tif"), b"x");
    world.file("/In/ACME/Approved/other.tif", b"o");
    let plan = world.plan().await;
    for name in ["a.indd", "Links/x.tif"] {
        waits(
            &plan,
            &format!("{package}/{name}"),
            "a.indd names y.tif, missing since 2026-01-01",
        );
    }
    assert_eq!(step(&plan, "/In/ACME/Approved/other.tif").0, Action::Create);
    world.file(&format!("{package}/Links/Y.TIF"), b"y");
    let report = run_and_settle(&world).await;
    assert_eq!(report.total(StepState::Done).steps, 4);

    // A new version names what is placed already and what is new.
    world.file(&format!("{package}/a.indd"), b"x.tif\nz.tif\nend");
    waits(
        &world.plan().await,
        &format!("{package}/a.indd"),
        "names z.tif",
    );
    world.file(&format!("{package}/Links/z.tif"), b"z");
    let report = run_and_settle(&world).await;
    assert_eq!(report.total(StepState::Done).steps, 2);
}

#[tokio::test]
async fn links_wait_for_their_document_and_a_document_that_is_not_whole_stops_all() {
    let (world, _) = world(Readiness::default());
    let package = "/In/ACME/Approved/Pack";
    world.file(&format!("{package}/Links/x.tif"), b"x");
    let link = format!("{package}/Links/x.tif");
    waits(&world.plan().await, &link, "no InDesign document");
    world.file(&format!("{package}/a.indd"), b"x.t");
    waits(
        &world.plan().await,
        &link,
        "a.indd cannot be read: it ends too early",
    );
    world.file(&format!("{package}/a.indd"), b"x.tif\nend");
    assert_eq!(step(&world.plan().await, &link).0, Action::Create);
}

#[tokio::test]
async fn one_file_of_a_package_that_changes_makes_all_that_is_not_placed_wait() {
    let (world, clock) = world(quiet());
    let package = "/In/ACME/Approved/Pack";
    world.file(&format!("{package}/a.indd"), b"x.tif\nend");
    world.file(&format!("{package}/Links/x.tif"), b"x");
    world.plan().await;
    clock.advance(Duration::from_secs(30));
    world.file(&format!("{package}/Links/x.tif"), b"x again");
    let plan = world.plan().await;
    waits(&plan, &format!("{package}/a.indd"), "where x.tif waits");
    clock.advance(Duration::from_secs(30));
    world.file(&format!("{package}/Links/.x.tif.part"), b"");
    let plan = world.plan().await;
    waits(
        &plan,
        &format!("{package}/a.indd"),
        "where .x.tif.part waits",
    );
    world.source.delete(&format!("{package}/Links/.x.tif.part"));
    assert_eq!(world.plan().await.totals()[&Action::Create].0, 2);
}

#[tokio::test]
async fn a_drop_folder_goes_when_all_that_its_manifest_names_has_arrived() {
    let (world, _) = world(Readiness {
        manifest: Some("manifest.csv".into()),
        ..Readiness::default()
    });
    let drop = "/In/ACME/Approved/Drop";
    let (a, b) = (format!("{drop}/a.tif"), format!("{drop}/sub/b.tif"));
    world.file(&a, b"aaaa");
    waits(&world.plan().await, &a, "no manifest.csv beside it");
    world.file(
        &format!("{drop}/manifest.csv"),
        b"path,size\na.tif,4\nsub/b.tif,2\n",
    );
    waits(
        &world.plan().await,
        &a,
        "manifest.csv names sub/b.tif, missing since",
    );
    world.file(&b, b"b");
    waits(&world.plan().await, &b, "sub/b.tif with another size");
    world.file(&b, b"bb");
    let report = run_and_settle(&world).await;
    assert_eq!(report.total(StepState::Done).steps, 3);
    assert!(world.plan().await.is_empty());
    // A manifest that is cut is not taken at its word.
    world.file(&format!("{drop}/manifest.csv"), b"path,si");
    let plan = world.plan().await;
    waits(
        &plan,
        &format!("{drop}/manifest.csv"),
        "cannot be used: it names no file",
    );
}

#[tokio::test]
async fn verifying_waits_for_nothing() {
    let (world, _) = world(quiet());
    world.file(HERO, b"hero");
    let mut steps = Vec::new();
    let plan = world.ingest().decide_arrived(&mut steps).await.unwrap();
    assert_eq!(steps[0].action, Action::Create);
    assert_eq!(plan.waiting.assets, 0);
}

#[tokio::test]
async fn reasons_are_counted_together_for_files_that_came_together() {
    let (world, _) = world(quiet());
    for index in 0..20 {
        world.file(&format!("/In/ACME/Approved/{index}.tif"), b"x");
    }
    let plan = world.plan().await;
    let reasons: BTreeMap<String, u64> = plan
        .reasons()
        .into_iter()
        .map(|(_, reason, count)| (reason, count))
        .collect();
    assert_eq!(reasons.into_values().collect::<Vec<_>>(), [20]);
}

#[tokio::test]
async fn a_file_that_changes_before_it_is_read_waits_again_and_no_hold_is_kept() {
    let (world, clock) = world(quiet());
    world.file(HERO, b"hero");
    world.plan().await;
    clock.advance(Duration::from_secs(30));
    let plan = world.plan().await;
    assert_eq!(step(&plan, HERO).0, Action::Create);
    world.file(HERO, b"half of the next");
    let runner = world.runner();
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert!(world.sink.assets().is_empty());
    let id = world.source.asset_at(HERO).unwrap().id;
    let holds = world
        .ledger
        .holds("approved", "agency", &[id])
        .await
        .unwrap();
    assert_eq!(holds, [None]);
    waits(&world.plan().await, HERO, "left alone");
    clock.advance(Duration::from_secs(30));
    assert_eq!(step(&world.plan().await, HERO).0, Action::Create);
}
