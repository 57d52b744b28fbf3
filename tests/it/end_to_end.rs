//! The main job on a bad day: approved files go from the emulated Dropbox into the emulated CELUM while
//! both services fail, lose answers and throttle. Afterwards both sides, the ledger and the engine's
//! gauges must agree; the same seed gives the same faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_celum::CelumProfile;
use windlass_core::{
    Action, AssetPath, Blake3, ByteSize, Ledger, Sink, Source, StepRecord, StepState, Value,
};
use windlass_flow::{
    Approval, Ingest, IngestOptions, Observer, Plan, RunOptions, RunOutcome, Runner, Selection,
    Silent,
};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_sandbox::{Sandbox, SandboxOptions};
use windlass_transfer::{Engine, EngineOptions};

use crate::support::{self, faults, noise, sandbox_options, tenant_profile};

/// One call in twenty goes wrong, in one of five ways.
const BAD_DAY: &str = "p=0.018,do=503;p=0.018,do=reset-after;p=0.01,do=truncate;\
                       p=0.003,do=429:0;p=0.001,do=429:1";

const FILES: usize = 60;
const LARGE_BYTES: usize = 20 << 20;

/// What the emulated Dropbox holds, by file name: the bytes' digest, for those that are approved.
type Approved = BTreeMap<String, (u64, Blake3)>;

/// Fills the account; file names are unique, contents not always.
fn fill(sandbox: &Sandbox, seed: u64) -> Approved {
    let mut approved = Approved::new();
    for index in 0..FILES {
        let name = format!("piece-{index:02}.tif");
        let approval = if index % 5 == 4 { "Drafts" } else { "Approved" };
        let client = ["Alpine Dairy", "Harbour Optics", "Øst & Søn 春"][index % 3];
        let bytes = match index {
            0 => noise(LARGE_BYTES, seed),
            // The same content under two names is two assets.
            1 | 2 => noise(150_000, seed ^ 1),
            // One above and one below a block, which travel by session and by single call.
            3 => noise((4 << 20) + 1, seed ^ 3),
            5 => noise((4 << 20) - 1, seed ^ 5),
            _ => noise(1 + index * 3_001, seed ^ index as u64),
        };
        if approval == "Approved" {
            approved.insert(name.clone(), (bytes.len() as u64, Blake3::of(&bytes)));
        }
        let path = format!("/Agencies/{client}/CMP-2041/{approval}/{name}");
        sandbox
            .dropbox()
            .put_file(&path, bytes.into(), None)
            .unwrap();
    }
    approved
}

/// A flow with everything it needs.
struct Flow {
    ingest: Ingest,
    runner: Runner,
    ledger: Arc<dyn Ledger>,
}

impl Flow {
    async fn wire(sandbox: &Sandbox, ledger: Arc<dyn Ledger>, index_lag: u64) -> Flow {
        let source: Arc<dyn Source> = support::dropbox(sandbox).await;
        let profile = CelumProfile {
            index_lag,
            correlation_field: Some("windlassCorrelation".to_owned()),
            ..tenant_profile()
        };
        let sink: Arc<dyn Sink> = support::celum(sandbox, profile).await;
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let ingest = Ingest {
            options: ingest_options(),
            source: Arc::clone(&source),
            sink: Arc::clone(&sink),
            hooks: None,
            informant: None,
            ledger: Arc::clone(&ledger),
            arrivals: windlass_flow::Arrivals::default(),
            observer: Arc::clone(&observer),
            partners: None,
        };
        let engine = Engine::new(EngineOptions {
            budget: ByteSize::mib(32),
            chunk: ByteSize::mib(4),
            window: ByteSize::mib(8),
            ..EngineOptions::default()
        })
        .unwrap();
        let runner = Runner {
            flow: "approved".to_owned(),
            source,
            sink,
            sink_reader: None,
            ledger: Arc::clone(&ledger),
            engine,
            observer,
            options: RunOptions {
                transfers: 6,
                tries: 10,
                retry_after: Duration::from_millis(50),
                ..RunOptions::default()
            },
            desk: None,
            library: None,
        };
        Flow {
            ingest,
            runner,
            ledger,
        }
    }

    /// Plans; a plan that a bad network spoils is made again, as a person would.
    async fn plan(&self) -> Plan {
        for _ in 0..5 {
            match self.ingest.plan().await {
                Ok(plan) => return plan,
                Err(error) if error.is_temporary() => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        self.ingest.plan().await.unwrap()
    }

    async fn run(&self, plan: &Plan) -> Vec<StepRecord> {
        let run = self.runner.record(plan).await.unwrap();
        let never = CancellationToken::new();
        let worked = tokio::time::timeout(Duration::from_secs(90), self.runner.work(run, &never));
        assert_eq!(
            worked.await.expect("it ends").unwrap(),
            RunOutcome::Finished
        );
        self.ledger.steps(run, None, 1_000).await.unwrap()
    }
}

fn ingest_options() -> IngestOptions {
    IngestOptions {
        flow: "approved".to_owned(),
        root: AssetPath::new("/Agencies"),
        selection: Selection {
            folders: vec!["/Agencies/*/CMP-*".to_owned()],
            approval: Some(Approval {
                folder: Some("Approved".to_owned()),
                tag: None,
            }),
            ..Selection::default()
        },
        collection: AssetPath::new("/Brand Library/Inbox/Harvest"),
        keep_folders: false,
        asset_type: Some("campaignAsset".to_owned()),
        set: BTreeMap::from([
            ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
            ("approval".to_owned(), Value::Text("Approved".to_owned())),
        ]),
        availability: None,
        choices: windlass_core::Choices::default(),
        ready: windlass_flow::Readiness::default(),
        duplicates: None,
        retry_held: false,
    }
}

/// What is in CELUM is what was approved, once each, byte for byte and described.
fn check_arrivals(sandbox: &Sandbox, approved: &Approved) {
    let celum = sandbox.celum();
    let mut arrived = Approved::new();
    for asset in celum.assets() {
        let bytes = celum.read_content(asset.id, 0..asset.size).unwrap();
        let known = (bytes.len() as u64, Blake3::of(&bytes));
        assert_eq!(asset.parents, ["Brand Library/Inbox/Harvest"]);
        assert_eq!(asset.asset_type.as_deref(), Some("campaignAsset"));
        assert_eq!(asset.fields["campaignId"], "CMP-2041");
        assert_eq!(asset.fields["approval"], "Approved");
        assert_eq!(asset.versions, 1);
        let twin = arrived.insert(asset.filename.clone(), known);
        assert_eq!(twin, None, "{} came twice", asset.filename);
    }
    let names = |of: &Approved| of.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&arrived), names(approved));
    assert_eq!(&arrived, approved);
    assert_eq!(celum.leaked_credentials(), 0);
}

fn check_ledger(steps: &[StepRecord], approved: &Approved) {
    assert_eq!(steps.len(), FILES);
    for step in steps {
        let wanted = match approved.contains_key(step.path.name()) {
            true => (Action::Create, StepState::Done),
            false => (Action::Skip, StepState::Skipped),
        };
        assert_eq!((step.action, step.state), wanted, "{step:?}");
        assert!(step.state.is_terminal());
        assert_eq!(step.placed.is_some(), wanted.1 == StepState::Done);
    }
}

/// A day: how the services fail, and for how many seconds CELUM's lists and searches know nothing of a change.
async fn a_day(seed: u64, profile: &str, index_lag: u64) {
    let mut options = SandboxOptions {
        dropbox_faults: faults(profile),
        celum_faults: faults(profile),
        ..sandbox_options(seed)
    };
    options.celum_profile.index_lag = index_lag;
    let sandbox = support::start(options).await;
    let approved = fill(&sandbox, seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    let ledger = SqlLedger::open(&file, LedgerOptions::default())
        .await
        .unwrap();
    let flow = Flow::wire(&sandbox, ledger, index_lag).await;

    let plan = flow.plan().await;
    assert_eq!(plan.totals()[&Action::Create].0, approved.len() as u64);
    let steps = flow.run(&plan).await;

    check_ledger(&steps, &approved);
    check_arrivals(&sandbox, &approved);
    let gauges = flow.runner.engine.gauges();
    assert!(gauges.at_rest(), "{gauges:?}");
    let again = flow.plan().await;
    assert!(again.is_empty(), "{:?}", again.reasons());
    flow.ledger.close().await.unwrap();
    if !profile.is_empty() {
        let dropbox: u64 = sandbox.dropbox().faults_fired().iter().sum();
        let celum: u64 = sandbox.celum().faults().fired().iter().sum();
        let fired = dropbox + celum;
        assert!(fired > 5, "too good a day: {fired} faults");
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_good_day_every_approved_file_arrives_once() {
    a_day(1, "", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bad_day_every_approved_file_arrives_once() {
    for seed in [21, 22, 23] {
        a_day(seed, BAD_DAY, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_day_of_lost_answers_every_approved_file_arrives_once() {
    a_day(31, "p=0.08,do=reset-after", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_lists_lag_a_lost_answer_is_not_taken_for_a_failure() {
    a_day(41, "route=POST /assets,p=0.2,do=reset-after", 2).await;
}
