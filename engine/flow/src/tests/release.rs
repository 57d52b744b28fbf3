//! Release flows against a library and an outlet in memory: what leaves, what is taken back, and what people did meanwhile.

mod archiving;
mod auditing;
mod kinds;
mod localizing;
mod publishing;
mod schedules;
mod undoing;
mod withdrawing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::{ManualClock, MemoryEndpoint, MemoryLedger, MemoryLibrary};
use windlass_core::{
    Action, AssetId, AssetPath, Availability, Blake3, Capabilities, Clock, Decision, Endpoint,
    Error, HookIdentity, HookKind, Hooks, Kind, Ledger, Query, Release, Result, Reuse, Ruling,
    RunId, StepRecord, Usable, Value,
};
use windlass_transfer::{Engine, EngineOptions};

use crate::{
    Closed, Desk, Plan, PublishOptions, ReleaseFlow, ReleaseOptions, RightsGate, RightsOptions,
    RunOptions, RunOutcome, Runner, Silent, TakingBack, next_run_to_resume,
};

/// Rules that a test sets: what is denied, what is open until when, and whether they can be asked at all.
#[derive(Debug)]
struct Rules {
    identity: HookIdentity,
    denied: Mutex<Vec<(AssetId, Option<String>)>>,
    until: Mutex<Option<Timestamp>>,
    broken: Mutex<bool>,
}

impl Rules {
    fn new() -> Arc<Self> {
        Arc::new(Rules {
            identity: HookIdentity {
                name: "rules".into(),
                version: "1.0.0".into(),
                digest: Blake3::of(b"rules"),
                config_digest: Blake3::of(b""),
            },
            denied: Mutex::default(),
            until: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    fn deny(&self, asset: &AssetId, market: Option<&str>) {
        let denied = (asset.clone(), market.map(str::to_owned));
        self.denied.lock().unwrap().push(denied);
    }

    fn rule(&self, release: &Release) -> Ruling {
        let denied = self.denied.lock().unwrap();
        let mut denied = denied.iter();
        let is_denied = denied.any(|(asset, market)| {
            *asset == release.asset.id && (market.is_none() || *market == release.market)
        });
        Ruling {
            decision: match is_denied {
                true => Decision::Deny,
                false => Decision::Allow,
            },
            until: *self.until.lock().unwrap(),
            reason: match is_denied {
                true => "the licence excludes it".into(),
                false => "the licence covers it".into(),
            },
            rule: "licence".into(),
            findings: Vec::new(),
        }
    }
}

#[async_trait]
impl Hooks for Rules {
    fn identity(&self) -> &HookIdentity {
        &self.identity
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Rights]
    }

    async fn decide(&self, releases: &[Release]) -> Result<Vec<Ruling>> {
        if *self.broken.lock().unwrap() {
            return Err(Error::new(Kind::Plugin, "the plugin trapped"));
        }
        Ok(releases.iter().map(|release| self.rule(release)).collect())
    }
}

/// The time of day, moved on by a test where leases are to end.
#[derive(Debug, Default)]
pub(super) struct MovedClock(std::sync::atomic::AtomicI64);

impl MovedClock {
    pub(super) fn advance(&self, seconds: i64) {
        self.0
            .fetch_add(seconds, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        let moved = self.0.load(std::sync::atomic::Ordering::Relaxed);
        Timestamp::now() + jiff::SignedDuration::from_secs(moved)
    }
}

struct World {
    library: MemoryLibrary,
    outlet: MemoryEndpoint,
    ledger: Arc<MemoryLedger>,
    /// By which rights end.
    clock: Arc<ManualClock>,
    /// By which leases end.
    running: Arc<MovedClock>,
    rules: Arc<Rules>,
    localization: Option<Arc<dyn Hooks>>,
    options: ReleaseOptions,
}

impl World {
    fn new() -> Self {
        let running = Arc::new(MovedClock::default());
        let sheet = MemoryEndpoint::new("share").capabilities().clone();
        let outlet = MemoryEndpoint::with_capabilities(
            "share",
            Capabilities {
                reuse: Some(Reuse::Copy),
                metadata: false,
                ..sheet
            },
        );
        let sheet = outlet.capabilities().clone();
        let dam = MemoryEndpoint::with_capabilities(
            "dam",
            Capabilities {
                lists_content_hash: false,
                reuse: None,
                ..sheet
            },
        );
        World {
            library: MemoryLibrary::new(dam),
            ledger: Arc::new(MemoryLedger::new(Arc::<MovedClock>::clone(&running))),
            outlet,
            clock: Arc::new(ManualClock::default()),
            running,
            rules: Rules::new(),
            localization: None,
            options: options(),
        }
    }

    /// Puts an approved asset into the library.
    fn asset(&self, path: &str, bytes: &[u8]) -> AssetId {
        let id = self.library.put(path, bytes.to_vec()).unwrap();
        self.library.set_field(&id, "approval", approved());
        id
    }

    fn flow(&self) -> ReleaseFlow {
        let gate = RightsGate {
            library: Arc::new(self.library.clone()),
            hooks: Some(Arc::<Rules>::clone(&self.rules)),
            query: (self.options.kind.is_bound_by_query()).then(|| self.options.query.clone()),
            options: self.options.rights.clone(),
            clock: Arc::<ManualClock>::clone(&self.clock),
        };
        ReleaseFlow {
            options: self.options.clone(),
            gate: Arc::new(gate),
            localization: self.localization.clone(),
            outlet: Arc::new(self.outlet.clone()),
            reader: Arc::new(self.outlet.clone()),
            ledger: Arc::<MemoryLedger>::clone(&self.ledger),
            observer: Arc::new(Silent),
        }
    }

    fn runner(&self, flow: &ReleaseFlow) -> Runner {
        Runner {
            flow: flow.options.flow.clone(),
            source: flow.source(),
            sink: flow.sink(),
            sink_reader: None,
            ledger: Arc::<MemoryLedger>::clone(&self.ledger),
            engine: Engine::new(EngineOptions::default()).unwrap(),
            observer: Arc::new(Silent),
            desk: Some(Arc::new(Desk {
                flow: flow.options.flow.clone(),
                gate: Arc::clone(&flow.gate),
                outlet: Arc::new(self.outlet.clone()),
                observer: Arc::new(Silent),
            })),
            library: None,
            options: RunOptions {
                retry_after: Duration::from_millis(1),
                clock: Arc::<MovedClock>::clone(&self.running),
                ..RunOptions::default()
            },
        }
    }

    /// Publishes otherwise than by default.
    fn publish(&mut self, change: impl FnOnce(&mut PublishOptions)) {
        let mut options = publish();
        change(&mut options);
        self.options.kind = Arc::new(options);
    }

    async fn plan(&self) -> Plan {
        self.flow().plan().await.unwrap()
    }

    /// One whole pass: what was interrupted, a plan, its run, and what follows it.
    async fn pass(&self) -> (Plan, Closed) {
        let flow = self.flow();
        let runner = self.runner(&flow);
        let never = CancellationToken::new();
        if let Some(run) = next_run_to_resume(self.ledger.as_ref(), "out")
            .await
            .unwrap()
        {
            runner.work(run, &never).await.unwrap();
        }
        let plan = flow.plan().await.unwrap();
        let run = runner.record(&plan).await.unwrap();
        assert_eq!(
            runner.work(run, &never).await.unwrap(),
            RunOutcome::Finished
        );
        let closed = flow.close(&plan.summary, Some(run)).await.unwrap();
        flow.settle(&plan.summary, Some(run)).await.unwrap();
        (plan, closed)
    }

    /// The steps of the newest run.
    async fn steps(&self) -> Vec<StepRecord> {
        let runs = self.ledger.runs(None, 1).await.unwrap();
        let run: RunId = runs[0].id;
        self.ledger.steps(run, None, 1_000).await.unwrap()
    }

    /// What people see.
    fn visible(&self) -> Vec<String> {
        let assets = self.outlet.assets();
        let paths = assets.iter().map(|asset| asset.path.to_string());
        paths
            .filter(|path| !path.starts_with("/Quarantine"))
            .collect()
    }

    /// What is kept away from people.
    fn kept(&self) -> Vec<String> {
        let assets = self.outlet.assets();
        let paths = assets.iter().map(|asset| asset.path.to_string());
        paths
            .filter(|path| path.starts_with("/Quarantine"))
            .collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let asset = self.outlet.asset_at(path).expect(path);
        self.outlet.bytes(&asset.id).unwrap().to_vec()
    }

    fn switch_off(&self, asset: &AssetId) {
        let off = Usable::Stated(Availability::Direct { available: false });
        self.library.set_usable(asset, off);
    }

    fn switch_on(&self, asset: &AssetId) {
        let on = Usable::Stated(Availability::Direct { available: true });
        self.library.set_usable(asset, on);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn approved() -> Value {
    Value::References(vec!["Approved".to_owned()])
}

fn publish() -> PublishOptions {
    PublishOptions {
        folder: "{collection}".parse().unwrap(),
        name: "{title}.{ext}".parse().unwrap(),
        renditions: Vec::new(),
    }
}

fn options() -> ReleaseOptions {
    ReleaseOptions {
        flow: "out".into(),
        query: Query {
            collection: AssetPath::new("/Brand"),
            asset_types: Vec::new(),
            fields: vec![("approval".into(), Value::Text("approved".into()))],
        },
        root: AssetPath::new("/Press"),
        kind: Arc::new(publish()),
        rights: RightsOptions {
            audience: "press".into(),
            market: None,
            channel: None,
            unstated_is_open: false,
            ignores_availability: false,
        },
        taking_back: TakingBack {
            quarantine: Some(AssetPath::new("/Quarantine")),
            ..TakingBack::default()
        },
        handing: None,
        shared: Vec::new(),
        cap: None,
        retry_held: false,
        sweep: false,
    }
}

/// Actions with their paths and reasons.
fn told(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter();
    steps
        .map(|step| format!("{} {}: {}", step.action, step.asset.path, step.reason))
        .collect()
}

fn actions(plan: &Plan) -> Vec<Action> {
    plan.steps.iter().map(|step| step.action).collect()
}
