//! Bytes that are there already do not move again, into either service, and also on a bad day.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_celum::CelumProfile;
use windlass_core::{Action, AssetPath, ByteSize, Ledger, Sink, Source, StepState, Value};
use windlass_flow::{
    Duplicates, Ingest, IngestOptions, Plan, Report, RunOptions, RunOutcome, Runner, Selection,
    Silent,
};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_local::{LocalEndpoint, LocalOptions};
use windlass_sandbox::{Sandbox, SandboxOptions};
use windlass_transfer::{Engine, EngineOptions};

use crate::support::{self, faults, noise, sandbox_options, tenant_profile};

/// A flow that keeps folders and brings everything, and the ledger that it keeps.
pub(crate) struct Flow {
    pub(crate) ingest: Ingest,
    pub(crate) runner: Runner,
    pub(crate) ledger: Arc<SqlLedger>,
    _folder: tempfile::TempDir,
}

impl Flow {
    pub(crate) async fn new(
        source: Arc<dyn Source>,
        sink: Arc<dyn Sink>,
        options: IngestOptions,
    ) -> Flow {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let ledger = SqlLedger::open(&file, LedgerOptions::default())
            .await
            .unwrap();
        let engine = EngineOptions {
            budget: ByteSize::mib(64),
            window: ByteSize::mib(32),
            ..EngineOptions::default()
        };
        let runner = Runner {
            flow: options.flow.clone(),
            source: Arc::clone(&source),
            sink: Arc::clone(&sink),
            sink_reader: None,
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            engine: Engine::new(engine).unwrap(),
            observer: Arc::new(Silent),
            options: RunOptions {
                tries: 10,
                retry_after: Duration::from_millis(50),
                ..RunOptions::default()
            },
            desk: None,
            library: None,
        };
        let ingest = Ingest {
            options,
            source,
            sink,
            hooks: None,
            informant: None,
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            observer: Arc::new(Silent),
            arrivals: windlass_flow::Arrivals::default(),
            partners: None,
        };
        Flow {
            ingest,
            runner,
            ledger,
            _folder: folder,
        }
    }

    /// The same flow with a new ledger: the old one is lost.
    pub(crate) async fn with_lost_ledger(self) -> Flow {
        self.ledger.close().await.unwrap();
        let Ingest {
            options,
            source,
            sink,
            ..
        } = self.ingest;
        Flow::new(source, sink, options).await
    }

    /// The same flow with the same ledger, as another process would connect to its sink.
    pub(crate) async fn with_sink(mut self, sink: Arc<dyn Sink>) -> Flow {
        self.ingest.sink = Arc::clone(&sink);
        self.runner.sink = sink;
        self
    }

    pub(crate) async fn plan(&self) -> Plan {
        for _ in 0..5 {
            match self.ingest.plan().await {
                Err(error) if error.is_temporary() => {}
                planned => return planned.unwrap(),
            }
        }
        self.ingest.plan().await.unwrap()
    }

    /// Runs to the end. Every step must be done.
    pub(crate) async fn run(&self) -> Report {
        let report = self.run_to_the_end().await;
        let steps = self.ledger.steps(report.run, None, 10_000).await.unwrap();
        for step in steps {
            assert_eq!(step.state, StepState::Done, "{step:?}");
        }
        report
    }

    /// Runs to the end.
    pub(crate) async fn run_to_the_end(&self) -> Report {
        let plan = self.plan().await;
        let run = self.runner.record(&plan).await.unwrap();
        let never = CancellationToken::new();
        let worked = tokio::time::timeout(Duration::from_secs(90), self.runner.work(run, &never));
        let outcome = worked.await.expect("it ends").unwrap();
        assert_eq!(outcome, RunOutcome::Finished);
        assert!(self.runner.engine.gauges().at_rest());
        let report = Report::of(self.ledger.as_ref(), Some(run), None).await;
        report.unwrap()
    }
}

pub(crate) fn everything(collection: &str) -> IngestOptions {
    IngestOptions {
        flow: "everything".to_owned(),
        root: AssetPath::new("/"),
        selection: Selection::default(),
        collection: AssetPath::new(collection),
        keep_folders: true,
        asset_type: None,
        set: BTreeMap::new(),
        availability: None,
        choices: windlass_core::Choices::default(),
        ready: windlass_flow::Readiness::default(),
        duplicates: None,
        retry_held: false,
    }
}

pub(crate) fn nas(root: &Path) -> Arc<LocalEndpoint> {
    let options = LocalOptions {
        name: "nas".to_owned(),
        root: root.to_owned(),
        exclusive: false,
    };
    Arc::new(LocalEndpoint::open(options).unwrap())
}

pub(crate) fn write(root: &Path, path: &str, bytes: &[u8]) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
}

/// A tree of small files and a large one, under a name of its own.
fn write_tree(root: &Path, name: &str) {
    for n in 0..120 {
        let bytes = noise(1_000 + n * 37, n as u64);
        write(root, &format!("{name}/{}/{name} {n}.tif", n % 7), &bytes);
    }
    write(root, &format!("{name}/film.mov"), &noise(9 << 20, 500));
}

/// What came up as content: calls and bytes.
pub(crate) fn uploads(sandbox: &Sandbox) -> (u64, u64) {
    let dropbox = sandbox.dropbox();
    let calls = dropbox.call_counts();
    let uploads = calls.iter().filter(|call| call.route.contains("upload"));
    (
        uploads.map(|call| call.calls).sum(),
        dropbox.bytes_received(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_content_for_forty_folders_takes_one_upload_session_and_one_batch_of_copies() {
    let sandbox = support::start(sandbox_options(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let film = noise(20 << 20, 7);
    for region in 0..40 {
        write(
            folder.path(),
            &format!("Region {region:02}/Film.mov"),
            &film,
        );
    }
    let sink = support::dropbox(&sandbox).await;
    let flow = Flow::new(nas(folder.path()), sink, everything("/Out")).await;
    let report = flow.run().await;
    let dropbox = sandbox.dropbox();
    let calls = |route: &str| dropbox.calls(&format!("files/{route}"));
    assert_eq!(calls("upload_session/append_v2"), 3);
    let sessions = calls("upload_session/start") + calls("upload_session/start_batch");
    assert_eq!(sessions, 1);
    assert_eq!(calls("upload_session/finish"), 1);
    assert_eq!(calls("copy_batch_v2"), 1);
    assert_eq!(dropbox.bytes_received(), film.len() as u64);
    assert_eq!(report.bytes_moved, film.len() as u64);
    assert_eq!(report.saved.linked_bytes, 39 * film.len() as u64);
    let there = dropbox.tree();
    assert_eq!(
        there.iter().filter(|entry| entry.file.is_some()).count(),
        40
    );
    assert!(flow.plan().await.is_empty());
    sandbox.shutdown().await;
}

/// A tree goes up, then the same tree under other names.
async fn a_second_tree_to_dropbox(seed: u64, profile: &str) {
    let options = SandboxOptions {
        dropbox_faults: faults(profile),
        ..sandbox_options(seed)
    };
    let sandbox = support::start(options).await;
    let folder = tempfile::tempdir().unwrap();
    write_tree(folder.path(), "first");
    let sink = support::dropbox(&sandbox).await;
    let flow = Flow::new(nas(folder.path()), sink, everything("/Out")).await;
    flow.run().await;
    let before = uploads(&sandbox);
    assert!(before.1 > 9 << 20);
    write_tree(folder.path(), "second");
    let report = flow.run().await;
    assert_eq!(uploads(&sandbox), before, "content was sent again");
    assert_eq!(report.bytes_moved, 0);
    assert_eq!(report.saved.linked_assets, 121);
    let there = sandbox.dropbox().tree();
    let files = there.iter().filter_map(|entry| entry.file.as_ref());
    assert_eq!(files.count(), 242);
    assert!(flow.plan().await.is_empty());
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_of_a_tree_under_other_names_takes_no_content_call_to_dropbox() {
    a_second_tree_to_dropbox(1, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_of_a_tree_takes_no_content_call_on_a_bad_day_either() {
    let lost = "route=files/copy*,every=2,do=reset-after";
    let busy = "route=files/copy*,every=2,do=service:lock";
    tokio::join!(
        a_second_tree_to_dropbox(2, lost),
        a_second_tree_to_dropbox(3, busy),
        a_second_tree_to_dropbox(4, "p=0.02,do=503")
    );
}

/// The same from Dropbox into CELUM, where a file becomes a further place of an asset that is there.
async fn a_second_tree_to_celum(seed: u64, profile: &str) {
    let options = SandboxOptions {
        dropbox_faults: faults(profile),
        celum_faults: faults(profile),
        ..sandbox_options(seed)
    };
    let sandbox = support::start(options).await;
    let put = |name: &str| {
        for n in 0..40 {
            let bytes = noise(2_000 + n * 37, n as u64);
            let path = format!("/In/{name}/{name} {n}.tif");
            let put = sandbox.dropbox().put_file(&path, bytes.into(), None);
            put.unwrap();
        }
    };
    put("first");
    let source = support::dropbox(&sandbox).await;
    let profile = CelumProfile {
        correlation_field: Some("windlassCorrelation".to_owned()),
        ..tenant_profile()
    };
    let sink = support::celum(&sandbox, profile).await;
    let options = IngestOptions {
        root: AssetPath::new("/In"),
        asset_type: Some("campaignAsset".to_owned()),
        set: BTreeMap::from([
            ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
            ("approval".to_owned(), Value::Text("Approved".to_owned())),
        ]),
        duplicates: Some(Duplicates::Reuse),
        ..everything("/Brand Library/Inbox/Harvest")
    };
    let flow = Flow::new(source, sink, options).await;
    flow.run().await;
    let (served, assets) = (
        sandbox.dropbox().bytes_served(),
        sandbox.celum().assets().len(),
    );
    assert_eq!(assets, 40);
    put("second");
    let plan = flow.plan().await;
    assert_eq!(plan.totals()[&Action::Link].0, 40);
    let report = flow.run().await;
    assert_eq!(sandbox.dropbox().bytes_served(), served);
    assert_eq!((report.bytes_moved, report.saved.linked_assets), (0, 40));
    let there = sandbox.celum().assets();
    assert_eq!(there.len(), 40);
    let places = ["first", "second"].map(|name| format!("Brand Library/Inbox/Harvest/{name}"));
    for asset in there {
        assert_eq!(asset.parents, places, "{}", asset.filename);
    }
    assert!(flow.plan().await.is_empty());
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_of_a_tree_is_linked_in_celum_without_a_byte() {
    a_second_tree_to_celum(1, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_made_once_on_a_bad_day_too() {
    a_second_tree_to_celum(2, "p=0.02,do=503;p=0.02,do=reset-after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_brought_to_celum_by_other_ways_is_left_out_by_its_checksum() {
    let sandbox = support::start(sandbox_options(5)).await;
    let folder = tempfile::tempdir().unwrap();
    // More than one search takes, and one that two assets have.
    for n in 0..130 {
        let bytes = noise(2_000 + n * 37, n as u64);
        write(folder.path(), &format!("In/shot {n}.tif"), &bytes);
    }
    write(folder.path(), "In/again/shot 0.tif", &noise(2_000, 0));
    let options = |flow: &str, duplicates| IngestOptions {
        flow: flow.to_owned(),
        root: AssetPath::new("/In"),
        asset_type: Some("campaignAsset".to_owned()),
        set: BTreeMap::from([
            ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
            ("approval".to_owned(), Value::Text("Approved".to_owned())),
        ]),
        duplicates: Some(duplicates),
        ..everything("/Brand Library/Inbox/Harvest")
    };
    // Others, of whom this ledger knows nothing, brought them.
    let sink = support::celum(&sandbox, tenant_profile()).await;
    let by_others = options("theirs", Duplicates::Place);
    let theirs = Flow::new(nas(folder.path()), Arc::clone(&sink) as _, by_others).await;
    theirs.run().await;
    assert_eq!(sandbox.celum().asset_count(), 131);
    write(folder.path(), "In/shot 7.tif", &noise(2_000 + 7 * 37, 999));
    write(folder.path(), "In/new.tif", &noise(5_000, 1_000));
    // A process of its own finds out anew how the tenant computes checksums.
    let sink = support::celum(&sandbox, tenant_profile()).await;
    let ours = Flow::new(nas(folder.path()), sink, options("ours", Duplicates::Skip)).await;
    let plan = ours.plan().await;
    let mut coming: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Create)
        .map(|step| step.asset.path.as_str())
        .collect();
    coming.sort_unstable();
    assert_eq!(coming, ["/In/new.tif", "/In/shot 7.tif"]);
    let reasons = plan.reasons();
    let left_out = (
        Action::Skip,
        "a duplicate of what others brought to dam".to_owned(),
        129,
    );
    assert!(reasons.contains(&left_out), "{reasons:?}");
    let before = sandbox.celum().assets();
    let report = ours.run_to_the_end().await;
    assert_eq!(report.total(StepState::Done).steps, 2);
    let after = sandbox.celum().assets();
    assert_eq!(after.len(), 133);
    // What is theirs stays as it was.
    for asset in before {
        assert!(
            after
                .iter()
                .any(|now| now.id == asset.id && now.parents == asset.parents)
        );
    }
    // Looked at again, nothing comes.
    assert!(ours.plan().await.is_empty());
    sandbox.shutdown().await;
}
