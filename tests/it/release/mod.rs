//! Release flows between both emulated services: what leaves the tenant, what of it is taken back, what people do meanwhile
//! on either side, and what a bad day makes of it.

mod archiving;
mod lost;
mod publishing;
mod rough;
mod withdrawing;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use windlass_celum::{CelumEndpoint, CelumProfile};
use windlass_core::{
    AssetId, AssetPath, Assigned, Blake3, Chunk, ContentHash, Correlation, Destination, Digests,
    Draft, Error, Handing, Hooks, Ledger, LinkTerms, Member, Query, Revision, Sink, StepRecord,
    SystemClock, Value,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{
    Closed, Desk, Event, Observer, Plan, PublishOptions, ReleaseFlow, ReleaseOptions, RightsGate,
    RightsOptions, RunOptions, RunOutcome, Runner, Shared, TakingBack, next_run_to_resume,
};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_sandbox::celum::{Availability, Celum};
use windlass_sandbox::dropbox::{Dropbox, TreeEntry};
use windlass_sandbox::{Sandbox, SandboxOptions};
use windlass_transfer::{Engine, EngineOptions};

use crate::support::{self, sandbox_options, tenant_profile};

const FLOW: &str = "press";

/// What is done at a moment of a run.
type Act = Box<dyn FnMut(&Event<'_>) + Send>;

/// Keeps what was found, and lets a test do something at a moment of a run.
#[derive(Default)]
struct Watch {
    found: Mutex<Vec<String>>,
    act: Mutex<Option<Act>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Observer for Watch {
    fn observe(&self, event: Event<'_>) {
        if let Event::Found { finding } = &event {
            let told = format!("{}: {}", finding.subject, finding.message);
            self.found.lock().unwrap().push(told);
        }
        if let Some(act) = self.act.lock().unwrap().as_mut() {
            act(&event);
        }
    }
}

/// Both services, the clients of them, and a flow from one to the other.
struct World {
    sandbox: Sandbox,
    dam: Arc<CelumEndpoint>,
    outlet: Arc<DropboxEndpoint>,
    ledger: Arc<SqlLedger>,
    /// Answers the rights hook, where a test has rules.
    rules: Option<Arc<dyn Hooks>>,
    options: ReleaseOptions,
    watch: Arc<Watch>,
    folder: tempfile::TempDir,
}

/// What a whole pass made.
struct Passed {
    plan: Plan,
    steps: Vec<StepRecord>,
    closed: Closed,
}

impl Passed {
    /// Actions with their reasons, as planned.
    fn told(&self) -> Vec<String> {
        told(&self.plan)
    }
}

/// Actions with their files' names and reasons.
fn told(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter();
    steps
        .map(|step| {
            format!(
                "{} {}: {}",
                step.action,
                step.asset.path.name(),
                step.reason
            )
        })
        .collect()
}

impl World {
    async fn new() -> Self {
        World::with(sandbox_options(7)).await
    }

    /// With another sandbox. The client knows how long its lists lag.
    async fn with(mut options: SandboxOptions) -> Self {
        options.celum_profile.preview_failure_percent = 0;
        let index_lag = options.celum_profile.index_lag;
        let sandbox = support::start(options).await;
        let profile = CelumProfile {
            index_lag,
            correlation_field: Some("windlassCorrelation".to_owned()),
            ..tenant_profile()
        };
        let folder = tempfile::tempdir().unwrap();
        World {
            dam: support::celum(&sandbox, profile).await,
            outlet: support::dropbox(&sandbox).await,
            ledger: ledger(&folder).await,
            rules: None,
            options: published(),
            watch: Arc::new(Watch::default()),
            sandbox,
            folder,
        }
    }

    fn celum(&self) -> &Arc<Celum> {
        self.sandbox.celum()
    }

    fn dropbox(&self) -> &Arc<Dropbox> {
        self.sandbox.dropbox()
    }

    /// An asset in the tenant that is approved and may be used.
    async fn asset(&self, file_name: &str, bytes: &[u8]) -> u64 {
        let id = self.put(draft(file_name), bytes).await;
        self.approve(id);
        id
    }

    fn approve(&self, id: u64) {
        self.celum().set_field(id, "approval", &json!(1)).unwrap();
        self.switch(id, true);
    }

    async fn put(&self, draft: Draft, bytes: &[u8]) -> u64 {
        let mark = Correlation::derive("test", "test", &draft.file_name, "1");
        let destination = Destination::New { draft };
        self.upload(destination, &mark, bytes).await
    }

    /// A newer version of an asset.
    async fn version(&self, id: u64, file_name: &str, bytes: &[u8]) {
        let mark = Correlation::derive("test", "test", file_name, "2");
        let destination = Destination::Version {
            asset: AssetId::new(id.to_string()),
            draft: Draft {
                fields: Vec::new(),
                asset_type: None,
                ..draft(file_name)
            },
            replaces: None::<Revision>,
        };
        self.upload(destination, &mark, bytes).await;
    }

    async fn upload(&self, destination: Destination, mark: &Correlation, bytes: &[u8]) -> u64 {
        let size = bytes.len() as u64;
        let session = self.dam.begin(&destination, size, mark).await.unwrap();
        let chunk = Chunk::new(0, Bytes::copy_from_slice(bytes));
        session.append(chunk).await.unwrap();
        let digests = Digests {
            size,
            blake3: Blake3::of(bytes),
            content_hash: Some(ContentHash::of(bytes)),
        };
        let placed = session.commit(&digests).await.unwrap();
        placed.asset.as_str().parse().unwrap()
    }

    fn switch(&self, id: u64, on: bool) {
        let availability = Availability::Direct(on);
        self.celum().set_availability(id, &availability).unwrap();
    }

    /// Lets a test do something at a moment of the runs that follow.
    fn at(&self, act: impl FnMut(&Event<'_>) + Send + 'static) {
        *self.watch.act.lock().unwrap() = Some(Box::new(act));
    }

    fn flow(&self) -> ReleaseFlow {
        let is_bound = self.options.kind.is_bound_by_query();
        let query = is_bound.then(|| self.options.query.clone());
        let gate = RightsGate {
            library: Arc::<CelumEndpoint>::clone(&self.dam),
            hooks: self.rules.clone(),
            query,
            options: self.options.rights.clone(),
            clock: Arc::new(SystemClock),
        };
        ReleaseFlow {
            options: self.options.clone(),
            gate: Arc::new(gate),
            localization: None,
            outlet: Arc::<DropboxEndpoint>::clone(&self.outlet),
            reader: Arc::<DropboxEndpoint>::clone(&self.outlet),
            ledger: Arc::<SqlLedger>::clone(&self.ledger),
            observer: Arc::<Watch>::clone(&self.watch),
        }
    }

    fn runner(&self, flow: &ReleaseFlow) -> Runner {
        let engine = Engine::new(EngineOptions::default()).unwrap();
        Runner {
            flow: FLOW.to_owned(),
            source: flow.source(),
            sink: flow.sink(),
            sink_reader: None,
            ledger: Arc::clone(&flow.ledger),
            engine,
            observer: Arc::clone(&flow.observer),
            desk: Some(Arc::new(Desk {
                flow: FLOW.to_owned(),
                gate: Arc::clone(&flow.gate),
                outlet: Arc::clone(&flow.outlet),
                observer: Arc::clone(&flow.observer),
            })),
            library: None,
            options: RunOptions {
                retry_after: Duration::from_millis(20),
                ..RunOptions::default()
            },
        }
    }

    /// One whole pass, as `windlass run` does it.
    async fn pass(&self) -> Passed {
        self.try_pass().await.unwrap()
    }

    async fn try_pass(&self) -> Result<Passed, Error> {
        let flow = self.flow();
        let runner = self.runner(&flow);
        let never = CancellationToken::new();
        if let Some(run) = next_run_to_resume(self.ledger.as_ref(), FLOW).await? {
            runner.work(run, &never).await?;
        }
        let plan = flow.plan().await?;
        let run = runner.record(&plan).await?;
        if !flow.options.sweep {
            let findings = flow.open_folders().await?;
            let told = findings.into_iter();
            let told = told.map(|finding| format!("{}: {}", finding.subject, finding.message));
            self.watch.found.lock().unwrap().extend(told);
        }
        let worked = tokio::time::timeout(Duration::from_secs(60), runner.work(run, &never));
        assert_eq!(worked.await.expect("it ends")?, RunOutcome::Finished);
        let closed = flow.close(&plan.summary, Some(run)).await?;
        flow.settle(&plan.summary, Some(run)).await?;
        let steps = self.ledger.steps(run, None, 10_000).await?;
        Ok(Passed {
            plan,
            steps,
            closed,
        })
    }

    /// One pass that only looks whether what is there may be there.
    async fn sweep(&mut self) -> Passed {
        self.options.sweep = true;
        let passed = self.pass().await;
        self.options.sweep = false;
        passed
    }

    /// What was told since the last call.
    fn found(&self) -> Vec<String> {
        std::mem::take(&mut *self.watch.found.lock().unwrap())
    }

    fn files(&self) -> Vec<TreeEntry> {
        let mut files = self.dropbox().tree();
        files.retain(|entry| entry.file.is_some());
        files
    }

    /// The paths of all files below a folder.
    fn below(&self, folder: &str) -> Vec<String> {
        let files = self.files().into_iter();
        let paths = files.map(|entry| entry.path_display);
        paths
            .filter(|path| path.starts_with(&format!("{folder}/")))
            .collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let files = self.files();
        let found = files.iter().find(|entry| entry.path_display == path);
        let file = found.expect(path).file.as_ref().unwrap();
        let blobs = self.dropbox().blobs();
        blobs.read(file.blob, 0..file.size).unwrap().to_vec()
    }

    /// The URLs of all links that lead somewhere below a folder.
    fn links_below(&self, folder: &str) -> Vec<String> {
        let links = self.dropbox().links().into_iter();
        links
            .filter(|link| link.path.starts_with(&format!("{folder}/")))
            .map(|link| link.url)
            .collect()
    }

    async fn end(self) {
        self.ledger.close().await.unwrap();
        self.sandbox.shutdown().await;
    }
}

async fn ledger(folder: &tempfile::TempDir) -> Arc<SqlLedger> {
    let file = folder.path().join("ledger.db");
    SqlLedger::open(&file, LedgerOptions::default())
        .await
        .unwrap()
}

/// A piece of a campaign.
fn draft(file_name: &str) -> Draft {
    let campaign = Assigned {
        field: "campaignId".to_owned(),
        value: Value::Text("CMP-2041".to_owned()),
        rule: "test".to_owned(),
    };
    let (name, _) = file_name.rsplit_once('.').unwrap();
    Draft {
        name: name.to_owned(),
        file_name: file_name.to_owned(),
        collection: AssetPath::new("/Brand Library/Campaigns/Spring"),
        asset_type: Some("campaignAsset".to_owned()),
        fields: vec![campaign],
        availability: None,
        handing: None,
        yields: std::collections::BTreeSet::new(),
    }
}

/// Approved assets of the library, by campaign, with a link and a receipt each, for two people.
fn published() -> ReleaseOptions {
    let member = |email: &str, may_edit| Member {
        email: email.to_owned(),
        may_edit,
    };
    ReleaseOptions {
        flow: FLOW.to_owned(),
        query: Query {
            collection: AssetPath::new("/Brand Library"),
            asset_types: Vec::new(),
            fields: vec![("approval".to_owned(), Value::Text("Approved".to_owned()))],
        },
        root: AssetPath::new("/Press"),
        kind: Arc::new(PublishOptions {
            folder: "{field:campaignId}".parse().unwrap(),
            name: "{title}.{ext}".parse().unwrap(),
            renditions: Vec::new(),
        }),
        rights: RightsOptions {
            audience: "press".to_owned(),
            market: None,
            channel: None,
            unstated_is_open: false,
            ignores_availability: false,
        },
        taking_back: TakingBack {
            quarantine: Some(AssetPath::new("/Quarantine")),
            ..TakingBack::default()
        },
        handing: Some(Handing {
            link: Some(LinkTerms {
                days: Some(30),
                until: None,
                team_only: false,
            }),
            receipt: true,
        }),
        shared: vec![Shared {
            folder: AssetPath::new("/Press"),
            members: vec![
                member("ada@press.example", false),
                member("ben@agency.example", true),
            ],
        }],
        cap: None,
        retry_held: false,
        sweep: false,
    }
}
