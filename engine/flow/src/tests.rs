//! Flows against memory endpoints: what is decided, what is done, what a crash leaves.

mod custody;
mod dice;
mod duplicates;
mod passes;
mod planfiles;
mod ready;
mod release;
mod running;
mod sync;
mod verifying;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::{Disturbance, MemoryEndpoint, MemoryLedger, Operation};
use windlass_core::{
    Action, AssetPath, AssetView, Assigned, Blake3, ByteSize, ContentHash, Digests, Evidence,
    Finding, HookIdentity, HookKind, Hooks, Informant, Kind, Ledger, Mapping, Note, Noted,
    Readable, Result, RunId, RunState, StepState, SystemClock, Value, Verdict, WorkerId,
};
use windlass_transfer::{Engine, EngineOptions};

use crate::{
    Approval, Arrivals, Duplicates, Ingest, IngestOptions, Plan, Readiness, Report, RunOptions,
    RunOutcome, Runner, Selection, Silent, next_run_to_resume,
};

/// Maps the third folder of a path to a field, and holds what is in none.
#[derive(Debug)]
struct ByFolder {
    identity: HookIdentity,
    prefix: &'static str,
}

#[async_trait]
impl Hooks for ByFolder {
    fn identity(&self) -> &HookIdentity {
        &self.identity
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Metadata]
    }

    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        Ok(assets.iter().map(|asset| self.one(asset)).collect())
    }
}

impl ByFolder {
    fn one(&self, asset: &AssetView) -> Verdict<Mapping> {
        match asset.path.segments().nth(1) {
            Some(client) if client != "Nobody" => Verdict::Ready(Mapping {
                fields: vec![Assigned {
                    field: "client".into(),
                    value: Value::Text(format!("{}{client}", self.prefix)),
                    rule: "second folder".into(),
                }],
                collection: Some(AssetPath::new(&format!("/Library/{client}"))),
                findings: vec![Finding {
                    subject: client.into(),
                    message: "seen".into(),
                }],
                ..Mapping::default()
            }),
            _ => Verdict::Held {
                reason: "nobody's folder".into(),
                rule: "second folder".into(),
            },
        }
    }
}

fn hooks(prefix: &'static str) -> Arc<dyn Hooks> {
    Arc::new(ByFolder {
        identity: HookIdentity {
            name: "by-folder".into(),
            version: "1.0.0".into(),
            digest: Blake3::of(b"by-folder"),
            config_digest: Blake3::of(prefix.as_bytes()),
        },
        prefix,
    })
}

struct World {
    source: MemoryEndpoint,
    sink: MemoryEndpoint,
    ledger: Arc<MemoryLedger>,
    hooks: Arc<dyn Hooks>,
    informant: Option<Arc<dyn Informant>>,
    set: BTreeMap<String, Value>,
    transfers: usize,
    retry_held: bool,
    duplicates: Option<Duplicates>,
    ready: Readiness,
    arrivals: Arrivals,
}

impl World {
    fn new() -> Self {
        World {
            source: MemoryEndpoint::new("agency"),
            sink: MemoryEndpoint::new("dam"),
            ledger: Arc::new(MemoryLedger::new(Arc::new(SystemClock))),
            hooks: hooks(""),
            informant: None,
            set: BTreeMap::from([("approval".into(), Value::Text("Approved".into()))]),
            transfers: 4,
            duplicates: None,
            retry_held: false,
            ready: Readiness::default(),
            arrivals: Arrivals::default(),
        }
    }

    fn file(&self, path: &str, bytes: &[u8]) {
        self.source.put(path, bytes.to_vec()).unwrap();
    }

    fn ingest(&self) -> Ingest {
        Ingest {
            options: IngestOptions {
                flow: "approved".into(),
                root: AssetPath::new("/In"),
                selection: Selection {
                    approval: Some(Approval {
                        folder: Some("Approved".into()),
                        tag: Some("approved".into()),
                    }),
                    ..Selection::default()
                },
                collection: AssetPath::new("/Library/Inbox"),
                keep_folders: false,
                asset_type: None,
                set: self.set.clone(),
                availability: None,
                choices: windlass_core::Choices::default(),
                ready: self.ready.clone(),
                duplicates: self.duplicates,
                retry_held: self.retry_held,
            },
            source: Arc::new(self.source.clone()),
            sink: Arc::new(self.sink.clone()),
            hooks: Some(Arc::clone(&self.hooks)),
            informant: self.informant.clone(),
            ledger: Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            arrivals: self.arrivals.clone(),
            observer: Arc::new(Silent),
            partners: None,
        }
    }

    fn runner(&self) -> Runner {
        let engine = EngineOptions {
            budget: ByteSize::mib(64),
            window: ByteSize::mib(16),
            chunk: ByteSize::mib(4),
            chunk_max: ByteSize::mib(4),
            hash_threads: 1,
            ..EngineOptions::default()
        };
        Runner {
            flow: "approved".into(),
            source: Arc::new(self.source.clone()),
            sink: Arc::new(self.sink.clone()),
            sink_reader: Some(Arc::new(self.sink.clone())),
            ledger: Arc::clone(&self.ledger) as Arc<dyn Ledger>,
            engine: Engine::new(engine).unwrap(),
            observer: Arc::new(Silent),
            options: RunOptions {
                transfers: self.transfers,
                retry_after: Duration::from_millis(5),
                ..RunOptions::default()
            },
            desk: None,
            library: None,
        }
    }

    async fn plan(&self) -> Plan {
        self.ingest().plan().await.unwrap()
    }

    /// Plans and runs to the end; the engine must be at rest afterwards.
    async fn run(&self) -> Report {
        let plan = self.plan().await;
        let runner = self.runner();
        let run = runner.record(&plan).await.unwrap();
        let outcome = runner.work(run, &CancellationToken::new()).await.unwrap();
        assert_eq!(outcome, RunOutcome::Finished);
        assert!(
            runner.engine.gauges().at_rest(),
            "{:?}",
            runner.engine.gauges()
        );
        self.report(run).await
    }

    async fn report(&self, run: RunId) -> Report {
        Report::of(self.ledger.as_ref(), Some(run), None)
            .await
            .unwrap()
    }
}

fn step<'a>(plan: &'a Plan, path: &str) -> (Action, &'a str) {
    let step = plan
        .steps
        .iter()
        .find(|step| step.asset.path.as_str() == path);
    let step = step.unwrap_or_else(|| panic!("no step for {path}"));
    (step.action, &step.reason)
}

#[tokio::test]
async fn every_asset_gets_one_step_with_a_reason() {
    let world = World::new();
    world.file("/In/ACME/Approved/hero.tif", b"hero");
    world.file("/In/ACME/Finals/tagged.tif", b"tagged");
    world
        .source
        .set_tags("/In/ACME/Finals/tagged.tif", &["Approved"])
        .unwrap();
    world.file("/In/ACME/Drafts/draft.tif", b"draft");
    world.file("/In/ACME/Approved/.DS_Store", b"x");
    world.file("/In/ACME/Approved/~$deck.pptx", b"x");
    world.file("/In/ACME/Approved/empty.otf", b"");
    world.file("/In/Nobody/Approved/a.tif", b"a");
    world.file("/In/ACME/Approved/blocked.tif", b"b");
    world
        .source
        .set_readable("/In/ACME/Approved/blocked.tif", Readable::Restricted)
        .unwrap();
    world.file(
        &format!("/In/ACME/Approved/{}.tif", "n".repeat(260)),
        b"long",
    );

    let plan = world.plan().await;
    assert_eq!(plan.steps.len(), 9);
    let held = |path: &str, part: &str| {
        let (action, reason) = step(&plan, path);
        assert_eq!(action, Action::Hold, "{path}: {reason}");
        assert!(reason.contains(part), "{path}: {reason}");
    };
    assert_eq!(step(&plan, "/In/ACME/Approved/hero.tif").0, Action::Create);
    assert_eq!(
        step(&plan, "/In/ACME/Finals/tagged.tif"),
        (
            Action::Create,
            "approved by tag \"approved\", not placed before"
        )
    );
    assert_eq!(
        step(&plan, "/In/ACME/Drafts/draft.tif"),
        (
            Action::Skip,
            "not approved: neither below a folder \"Approved\" nor tagged \"approved\""
        )
    );
    assert_eq!(step(&plan, "/In/ACME/Approved/.DS_Store").0, Action::Skip);
    assert!(
        step(&plan, "/In/ACME/Approved/~$deck.pptx")
            .1
            .contains("office lock file")
    );
    held(
        "/In/ACME/Approved/empty.otf",
        "suspected lost resource fork",
    );
    held(
        "/In/Nobody/Approved/a.tif",
        "the plugin holds it (second folder): nobody's folder",
    );
    held("/In/ACME/Approved/blocked.tif", "restricted content");
    held(
        &format!("/In/ACME/Approved/{}.tif", "n".repeat(260)),
        "264 characters; 255 are allowed",
    );
    assert_eq!(
        plan.summary.findings,
        [Finding {
            subject: "ACME".into(),
            message: "seen".into()
        }]
        .into()
    );
}

#[tokio::test]
async fn a_plan_made_right_after_a_run_is_empty() {
    let world = World::new();
    for index in 0..40 {
        world.file(
            &format!("/In/ACME/Approved/{index}.tif"),
            format!("file {index}").as_bytes(),
        );
    }
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 40);
    assert_eq!(world.sink.assets().len(), 40);
    let again = world.plan().await;
    assert!(again.is_empty());
    assert_eq!(again.summary.unchanged.assets, 40);
    assert_eq!(
        again.reasons(),
        [(Action::Skip, "already placed and unchanged".into(), 40)]
    );
}

#[tokio::test]
async fn fields_of_the_flow_and_of_the_hook_reach_the_sink_with_their_rules() {
    let world = World::new();
    world.file("/In/ACME/Approved/hero.tif", b"hero");
    world.run().await;
    let asset = world
        .sink
        .asset_at("/Library/ACME/hero.tif")
        .expect("where the hook said");
    let draft = world.sink.draft(&asset.id).unwrap();
    let rules: Vec<_> = draft
        .fields
        .iter()
        .map(|field| (field.field.as_str(), field.rule.as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            ("approval", "flow approved, set"),
            ("client", "second folder")
        ]
    );
}

#[tokio::test]
async fn new_bytes_become_a_new_version_and_new_rules_only_new_metadata() {
    let mut world = World::new();
    world.file("/In/ACME/Approved/hero.tif", b"hero");
    world.file("/In/ACME/Approved/still.tif", b"still");
    world.run().await;
    let placed = world.sink.asset_at("/Library/ACME/hero.tif").unwrap();

    world.file("/In/ACME/Approved/hero.tif", b"hero, retouched");
    let plan = world.plan().await;
    assert_eq!(
        step(&plan, "/In/ACME/Approved/hero.tif").0,
        Action::NewVersion
    );
    assert_eq!(plan.summary.unchanged.assets, 1);
    world.run().await;
    let now = world.sink.asset_at("/Library/ACME/hero.tif").unwrap();
    assert_eq!(now.id, placed.id);
    assert_eq!(&world.sink.bytes(&now.id).unwrap()[..], b"hero, retouched");

    world.hooks = hooks("client ");
    let reads = world.source.calls(Operation::Read);
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 2);
    assert_eq!(report.bytes_moved, 0);
    assert_eq!(
        world.source.calls(Operation::Read),
        reads,
        "no byte was read for it"
    );
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn what_the_sink_would_refuse_is_held_with_the_field_named_and_the_rest_goes_on() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world
        .sink
        .refuse_field("approval", "there is no such option");
    let plan = world.plan().await;
    let (action, reason) = step(&plan, "/In/ACME/Approved/a.tif");
    assert_eq!(action, Action::Hold);
    assert_eq!(
        reason,
        "dam would refuse it: field \"approval\": there is no such option"
    );

    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world.sink.refuse_field_late("client", "not at this tenant");
    let report = world.run().await;
    assert_eq!(report.total(StepState::Held).steps, 1);
    assert!(
        report.held[0].reason.contains("client"),
        "{:?}",
        report.held
    );
}

#[tokio::test]
async fn what_a_run_held_is_not_tried_again_until_it_changes_or_somebody_asks() {
    let mut world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world.source.inject(Operation::Read, Kind::Restricted);
    let report = world.run().await;
    assert_eq!(report.total(StepState::Held).steps, 1);
    let reads = world.source.calls(Operation::Read);

    let plan = world.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    assert_eq!(
        step(&plan, "/In/ACME/Approved/a.tif").1,
        report.held[0].reason
    );
    world.run().await;
    assert_eq!(
        world.source.calls(Operation::Read),
        reads,
        "nothing was read again"
    );

    world.retry_held = true;
    assert_eq!(
        step(&world.plan().await, "/In/ACME/Approved/a.tif").0,
        Action::Create
    );
    world.retry_held = false;
    world.hooks = hooks("other ");
    assert_eq!(
        step(&world.plan().await, "/In/ACME/Approved/a.tif").0,
        Action::Create
    );
    world.hooks = hooks("");
    world.file("/In/ACME/Approved/a.tif", b"a, delivered again");
    world.run().await;
    assert_eq!(world.sink.assets().len(), 1);
    assert_eq!(world.plan().await.summary.unchanged.assets, 1);
}

#[tokio::test]
async fn a_value_refused_at_the_commit_is_sent_again_only_on_request() {
    let mut world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world.sink.refuse_field_late("client", "not at this tenant");
    // A run without and with the request, and how many uploads began by its end.
    for (retry_held, begun) in [(false, 1), (false, 1), (true, 2), (false, 2)] {
        world.retry_held = retry_held;
        let report = world.run().await;
        assert_eq!(report.total(StepState::Held).steps, 1);
        assert_eq!(world.sink.calls(Operation::Begin), begun);
    }
    assert_eq!(world.sink.assets(), []);
}

#[tokio::test]
async fn a_hold_that_is_tried_again_on_request_ends_when_it_is_placed() {
    let mut world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world.source.inject(Operation::Read, Kind::Restricted);
    world.run().await;
    world.retry_held = true;
    world.run().await;
    assert_eq!(world.sink.assets().len(), 1);
    world.retry_held = false;
    assert_eq!(world.plan().await.summary.unchanged.assets, 1);
}

#[tokio::test]
async fn names_that_differ_only_in_case_or_normal_form_are_held() {
    let mut sheet = windlass_core::Endpoint::capabilities(&MemoryEndpoint::new("x")).clone();
    sheet.folds_names = false;
    let mut world = World::new();
    world.source = MemoryEndpoint::with_capabilities("nas", sheet);
    for name in [
        "Hero.tif",
        "hero.tif",
        "\u{e9}te.tif",
        "e\u{301}te.tif",
        "alone.tif",
    ] {
        world.file(&format!("/In/ACME/Approved/{name}"), name.as_bytes());
    }
    let plan = world.plan().await;
    let held: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Hold)
        .collect();
    assert_eq!(held.len(), 4, "{:?}", plan.steps);
    assert!(
        held.iter()
            .all(|step| step.reason.contains("differs only in case"))
    );
    assert_eq!(step(&plan, "/In/ACME/Approved/alone.tif").0, Action::Create);
}

#[tokio::test]
async fn a_file_that_changes_shrinks_or_vanishes_while_it_is_read_is_held_and_never_placed() {
    for what in [
        Disturbance::Change,
        Disturbance::Shrink,
        Disturbance::Grow,
        Disturbance::Vanish,
    ] {
        let world = World::new();
        world.file("/In/ACME/Approved/steady.tif", b"steady");
        world.file("/In/ACME/Approved/moving.tif", &vec![1; 9 << 20]);
        let moving = world
            .source
            .asset_at("/In/ACME/Approved/moving.tif")
            .unwrap();
        world.source.disturb(&moving.id, 1, what);
        let report = world.run().await;
        assert_eq!(report.total(StepState::Done).steps, 1, "{what:?}");
        assert_eq!(
            report.total(StepState::Held).steps,
            1,
            "{what:?}: {:?}",
            report.failed
        );
        assert!(
            world.sink.asset_at("/Library/ACME/moving.tif").is_none(),
            "{what:?}"
        );
    }
}

#[tokio::test]
async fn a_temporary_failure_is_tried_again_and_a_lasting_one_fails_alone() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.file(&format!("/In/ACME/Approved/{name}.tif"), name.as_bytes());
    }
    world.sink.inject(Operation::Begin, Kind::Unavailable);
    world.sink.inject(Operation::Begin, Kind::Denied);
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 2);
    assert_eq!(report.total(StepState::Failed).steps, 1);
}

#[tokio::test]
async fn a_lost_commit_answer_is_adopted_not_repeated() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    world.sink.inject(Operation::CommitAnswer, Kind::Ambiguous);
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 1);
    assert_eq!(world.sink.assets().len(), 1);
    assert_eq!(world.sink.calls(Operation::Commit), 1);
}

#[tokio::test]
async fn a_step_whose_worker_died_after_its_commit_is_adopted_without_sending_a_byte() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    let runner = world.runner();
    let run = runner.record(&world.plan().await).await.unwrap();
    // A worker that takes the step, places the asset, and dies before it can say so.
    let dead = WorkerId::fresh();
    let leased = world
        .ledger
        .lease(run, &dead, 1, Duration::ZERO)
        .await
        .unwrap();
    let Ok(crate::Work::Place {
        asset,
        destination,
        correlation,
        ..
    }) = crate::Work::from_payload(&leased[0].payload)
    else {
        panic!("a step that places");
    };
    let request = windlass_transfer::TransferRequest {
        asset,
        destination,
        correlation,
        want_content_hash: true,
        progress: Arc::default(),
        journal: None,
        gate: None,
    };
    let intent = Note {
        step: leased[0].id,
        attempt: leased[0].attempt,
        what: Noted::Intent(Digests {
            size: 1,
            blake3: Blake3::of(b"a"),
            content_hash: Some(ContentHash::of(b"a")),
        }),
    };
    assert_eq!(world.ledger.note(&[intent]).await.unwrap(), [true]);
    let reads = world.source.calls(Operation::Read);
    let cancel = CancellationToken::new();
    runner
        .engine
        .transfer(&world.source, &world.sink, &request, &cancel)
        .await
        .unwrap();

    let appends = world.sink.calls(Operation::Append);
    assert_eq!(world.source.calls(Operation::Read), reads + 1);
    assert_eq!(
        next_run_to_resume(world.ledger.as_ref(), "approved")
            .await
            .unwrap(),
        Some(run)
    );
    tokio::time::sleep(Duration::from_millis(5)).await;
    runner.work(run, &cancel).await.unwrap();
    let report = world.report(run).await;
    assert_eq!(report.total(StepState::Done).steps, 1);
    assert_eq!(world.sink.assets().len(), 1, "no asset twice");
    assert_eq!(
        world.sink.calls(Operation::Append),
        appends,
        "no byte twice"
    );
    assert_eq!(world.source.calls(Operation::Read), reads + 1, "nor read");
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn a_credential_that_no_longer_works_ends_the_run_and_leaves_it_resumable() {
    let mut world = World::new();
    world.transfers = 1;
    for index in 0..5 {
        world.file(
            &format!("/In/ACME/Approved/{index}.tif"),
            format!("{index}").as_bytes(),
        );
    }
    let runner = world.runner();
    let run = runner.record(&world.plan().await).await.unwrap();
    world.sink.inject(Operation::Begin, Kind::Unauthenticated);
    let error = runner
        .work(run, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert_eq!(
        next_run_to_resume(world.ledger.as_ref(), "approved")
            .await
            .unwrap(),
        Some(run)
    );
    let outcome = runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(outcome, RunOutcome::Finished);
    assert_eq!(world.sink.assets().len(), 5);
}

#[tokio::test]
async fn a_stopped_run_keeps_its_open_steps_and_goes_on() {
    let mut world = World::new();
    world.transfers = 1;
    for index in 0..5 {
        world.file(
            &format!("/In/ACME/Approved/{index}.tif"),
            format!("{index}").as_bytes(),
        );
    }
    let runner = world.runner();
    let run = runner.record(&world.plan().await).await.unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(
        runner.work(run, &cancel).await.unwrap(),
        RunOutcome::Stopped
    );
    let open = world.report(run).await.total(StepState::Open).steps;
    assert!(open >= 4, "{open} steps are still open");
    assert_eq!(world.report(run).await.total(StepState::Leased).steps, 0);
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.sink.assets().len(), 5);
}

#[tokio::test]
async fn a_half_written_plan_is_abandoned() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    let plan = world.plan().await;
    let run = RunId::fresh();
    world.ledger.begin_run(run, "approved").await.unwrap();
    world
        .ledger
        .add_steps(run, &[plan.steps[0].to_new_step("agency").unwrap()])
        .await
        .unwrap();
    assert_eq!(
        next_run_to_resume(world.ledger.as_ref(), "approved")
            .await
            .unwrap(),
        None
    );
    let runs = world.ledger.runs(None, 1).await.unwrap();
    assert_eq!(runs[0].state, RunState::Abandoned);
}

#[tokio::test]
async fn a_listing_in_small_pages_is_the_same_listing() {
    let world = World::new();
    for index in 0..23 {
        world.file(
            &format!("/In/ACME/Approved/{index}.tif"),
            format!("{index}").as_bytes(),
        );
    }
    let whole = world.plan().await;
    world.source.set_page_entries(3);
    assert_eq!(world.plan().await, whole);
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_an_error_that_names_it() {
    let world = World::new();
    let error = world.ingest().plan().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.chain().contains("/In"), "{error}");
}
