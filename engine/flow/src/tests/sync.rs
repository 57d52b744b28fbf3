//! Two-way sync against a folder of files and a library in memory: what goes in, what comes back, and who decides.

mod auditing;
mod deciding;
mod ending;
mod finding;
mod governing;
mod keeping;
mod listing;
mod moving;
mod purging;
mod remembering;
mod removing;
mod schedules;
mod undoing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_core::memory::{ManualClock, MemoryEndpoint, MemoryLedger, MemoryLibrary};
use windlass_core::{
    Action, AssetId, AssetPath, Capabilities, Conflict, Endpoint, Ledger, Library, Query,
    Resolution, Reuse, Source, Value,
};
use windlass_transfer::{Engine, EngineOptions};

use super::release::MovedClock;

use crate::{
    Approval, Arrivals, Authority, BytesAuthority, Desk, Duplicates, Flow, Ingest, IngestOptions,
    Plan, Readiness, ReleaseFlow, ReleaseOptions, Remembered, Removing, RightsGate, RightsOptions,
    RunOptions, RunOutcome, Runner, Selection, Silent, Sync, SyncHalf, SyncOptions, TakingBack,
    Way, next_run_to_resume,
};

struct World {
    files: MemoryEndpoint,
    dam: MemoryEndpoint,
    library: MemoryLibrary,
    ledger: Arc<MemoryLedger>,
    clock: Arc<ManualClock>,
    /// By which leases end.
    running: Arc<MovedClock>,
    options: SyncOptions,
    selection: Selection,
    /// Fields that every asset gets.
    set: BTreeMap<String, Value>,
    /// Whether each way remembers what it saw, as in a daemon; else every look is at everything.
    remembers: bool,
    /// Both ways remember together what either saw.
    shares: bool,
    kept: Mutex<BTreeMap<&'static str, Arc<Sync>>>,
}

/// What both halves planned.
struct Passed {
    inward: Plan,
    outward: Plan,
}

impl World {
    fn new() -> Self {
        let running = Arc::new(MovedClock::default());
        let sheet = MemoryEndpoint::new("work").capabilities().clone();
        let files = Capabilities {
            reuse: Some(Reuse::Copy),
            metadata: false,
            ..sheet.clone()
        };
        let dam = Capabilities {
            lists_content_hash: false,
            reuse: None,
            ..sheet
        };
        let dam = MemoryEndpoint::with_capabilities("dam", dam);
        let files = MemoryEndpoint::with_capabilities("work", files);
        files.create_folder("/Work").unwrap();
        World {
            files,
            library: MemoryLibrary::new(dam.clone()),
            dam,
            ledger: Arc::new(MemoryLedger::new(Arc::<MovedClock>::clone(&running))),
            running,
            clock: Arc::new(ManualClock::default()),
            options: options(),
            selection: Selection {
                approval: Some(Approval {
                    folder: Some("Final".to_owned()),
                    tag: Some("final".to_owned()),
                }),
                ..Selection::default()
            },
            set: BTreeMap::new(),
            remembers: false,
            shares: false,
            kept: Mutex::default(),
        }
    }

    /// The same world, in which changed files that are approved become versions by themselves.
    fn trusting() -> Self {
        let mut world = World::new();
        world.options.authority.bytes = BytesAuthority::File;
        world
    }

    fn sync(&self) -> Arc<Sync> {
        let gate = RightsGate {
            library: Arc::new(self.library.clone()),
            hooks: None,
            query: None,
            options: rights(),
            clock: Arc::<ManualClock>::clone(&self.clock),
        };
        let release = ReleaseFlow {
            options: ReleaseOptions {
                flow: self.options.way_out.clone(),
                query: self.options.query.clone(),
                root: self.options.root.clone(),
                kind: Sync::kind(&self.options),
                rights: rights(),
                taking_back: TakingBack {
                    quarantine: Some(AssetPath::new("/Withdrawn")),
                    ..TakingBack::default()
                },
                handing: None,
                shared: Vec::new(),
                cap: None,
                retry_held: false,
                sweep: false,
            },
            gate: Arc::new(gate),
            localization: None,
            outlet: Arc::new(self.files.clone()),
            reader: Arc::new(self.files.clone()),
            ledger: Arc::<MemoryLedger>::clone(&self.ledger),
            observer: Arc::new(Silent),
        };
        Arc::new(Sync {
            options: self.options.clone(),
            ingest: self.ingest(),
            release,
            library: Arc::new(self.library.clone()),
            assets: Arc::new(self.dam.clone()),
            clock: Arc::<ManualClock>::clone(&self.clock),
            remembered: Remembered::default(),
        })
    }

    fn ingest(&self) -> Ingest {
        Ingest {
            options: IngestOptions {
                flow: self.options.way_in.clone(),
                root: self.options.root.clone(),
                selection: self.selection.clone(),
                collection: self.options.query.collection.clone(),
                keep_folders: self.options.mirrors,
                asset_type: None,
                set: self.set.clone(),
                availability: None,
                choices: windlass_core::Choices::default(),
                duplicates: Some(Duplicates::Place),
                retry_held: false,
                ready: Readiness::default(),
            },
            source: Arc::new(self.files.clone()),
            sink: Arc::new(self.dam.clone()),
            hooks: None,
            informant: None,
            ledger: Arc::<MemoryLedger>::clone(&self.ledger),
            observer: Arc::new(Silent),
            arrivals: Arrivals::default(),
            partners: None,
        }
    }

    fn half(&self, way: Way) -> Flow {
        let name = match way {
            _ if self.shares => "both",
            Way::In => "in",
            Way::Out => "out",
        };
        let sync = match self.remembers {
            false => self.sync(),
            true => {
                let mut kept = self.kept.lock().unwrap();
                Arc::clone(kept.entry(name).or_insert_with(|| self.sync()))
            }
        };
        Flow::Sync(Box::new(SyncHalf { sync, way }))
    }

    fn runner(&self, flow: &Flow) -> Runner {
        let desk = match flow {
            Flow::Sync(half) if half.way == Way::Out => Some(Arc::new(Desk {
                flow: self.options.way_out.clone(),
                gate: Arc::clone(&half.sync.release.gate),
                outlet: Arc::new(self.files.clone()),
                observer: Arc::new(Silent),
            })),
            _ => None,
        };
        let way_in = |half: &SyncHalf| half.way == Way::In;
        let library: Option<Arc<dyn Library>> = match flow {
            Flow::Sync(half) if way_in(half) => Some(Arc::clone(&half.sync.library)),
            _ => None,
        };
        let files = desk.is_some().then(|| Arc::new(self.files.clone()));
        Runner {
            flow: flow.name().to_owned(),
            source: flow.source(),
            sink: flow.sink(),
            sink_reader: files.map(|files| files as Arc<dyn Source>),
            ledger: Arc::<MemoryLedger>::clone(&self.ledger),
            engine: Engine::new(EngineOptions::default()).unwrap(),
            observer: Arc::new(Silent),
            desk,
            library,
            options: RunOptions {
                retry_after: Duration::from_millis(1),
                clock: Arc::<MovedClock>::clone(&self.running),
                ..RunOptions::default()
            },
        }
    }

    async fn plan_of(&self, way: Way) -> Plan {
        let mut steps = Vec::new();
        let summary = self.half(way).decide(&mut steps).await.unwrap();
        Plan { summary, steps }
    }

    /// Runs one half to its end.
    async fn run_half(&self, way: Way) -> Plan {
        let flow = self.half(way);
        let runner = self.runner(&flow);
        let never = CancellationToken::new();
        let ledger = self.ledger.as_ref();
        if let Some(run) = next_run_to_resume(ledger, flow.name()).await.unwrap() {
            runner.work(run, &never).await.unwrap();
        }
        let mut steps = Vec::new();
        let summary = flow.decide(&mut steps).await.unwrap();
        let plan = Plan { summary, steps };
        let run = runner.record(&plan).await.unwrap();
        let outcome = runner.work(run, &never).await.unwrap();
        assert_eq!(outcome, RunOutcome::Finished);
        flow.settle(&plan.summary, Some(run)).await.unwrap();
        plan
    }

    /// Goes on with what was interrupted, one way or the other, before anybody looks.
    async fn resume(&self) {
        for way in [Way::In, Way::Out] {
            let flow = self.half(way);
            let run = next_run_to_resume(self.ledger.as_ref(), flow.name()).await;
            if let Some(run) = run.unwrap() {
                let runner = self.runner(&flow);
                runner.work(run, &CancellationToken::new()).await.unwrap();
            }
        }
    }

    /// One whole pass: the way in, then the way out.
    async fn pass(&self) -> Passed {
        self.clock.advance(Duration::from_secs(60));
        self.resume().await;
        Passed {
            inward: self.run_half(Way::In).await,
            outward: self.run_half(Way::Out).await,
        }
    }

    /// Asserts that nothing is to be done any more.
    async fn assert_at_rest(&self) {
        for way in [Way::In, Way::Out] {
            let acting: Vec<String> = acting(&self.plan_of(way).await);
            assert!(acting.is_empty(), "{way:?}: {acting:?}");
        }
    }

    /// As if no pass had ever seen all of both sides.
    async fn forget_first_pass(&self) {
        let key = self.sync().seen_key();
        self.ledger.set_cursor(&key, None).await.unwrap();
    }

    /// The same two sides with a ledger that knows nothing, and nobody who remembers.
    fn lose_ledger(&mut self) {
        let clock = Arc::<MovedClock>::clone(&self.running);
        self.ledger = Arc::new(MemoryLedger::new(clock));
        self.kept.lock().unwrap().clear();
    }

    async fn conflicts(&self) -> Vec<Conflict> {
        self.ledger.conflicts(None, None, 100).await.unwrap()
    }

    async fn choose(&self, resolution: Resolution) {
        let conflicts = self.conflicts().await;
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        let chosen = self
            .ledger
            .resolve_conflict(&conflicts[0].found, Some(resolution));
        assert!(chosen.await.unwrap());
    }

    fn file(&self, path: &str) -> Vec<u8> {
        let asset = self.files.asset_at(path).expect(path);
        self.files.bytes(&asset.id).unwrap().to_vec()
    }

    fn asset(&self, path: &str) -> Vec<u8> {
        let asset = self.dam.asset_at(path).expect(path);
        self.dam.bytes(&asset.id).unwrap().to_vec()
    }

    fn paths(endpoint: &MemoryEndpoint) -> Vec<String> {
        let assets = endpoint.assets().into_iter();
        let mut paths: Vec<String> = assets.map(|asset| asset.path.to_string()).collect();
        paths.sort();
        paths
    }

    fn file_paths(&self) -> Vec<String> {
        Self::paths(&self.files)
    }

    fn asset_paths(&self) -> Vec<String> {
        Self::paths(&self.dam)
    }

    fn asset_id(&self, path: &str) -> AssetId {
        self.dam.asset_at(path).expect(path).id
    }

    fn file_id(&self, path: &str) -> AssetId {
        self.files.asset_at(path).expect(path).id
    }
}

fn rights() -> RightsOptions {
    RightsOptions {
        audience: "agency".into(),
        market: None,
        channel: None,
        unstated_is_open: false,
        ignores_availability: false,
    }
}

fn options() -> SyncOptions {
    SyncOptions {
        name: "brand".into(),
        way_in: "brand.in".into(),
        way_out: "brand.out".into(),
        root: AssetPath::new("/Work"),
        query: Query {
            collection: AssetPath::new("/Brand"),
            ..Query::default()
        },
        authority: Authority {
            fields: BTreeSet::new(),
            ..Authority::default()
        },
        mirrors: true,
        governed: Vec::new(),
        publishes: true,
        removing: None,
        cap: None,
    }
}

fn removing() -> Option<Removing> {
    Some(Removing {
        files: AssetPath::new("/Removed"),
        assets: AssetPath::new("/Removed"),
        days: None,
        purge: false,
    })
}

/// The steps of a plan that do something.
fn acting(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.action.acts());
    steps
        .map(|step| format!("{} {}: {}", step.action, step.asset.path, step.reason))
        .collect()
}

/// The steps of a plan of one action.
fn of(plan: &Plan, action: Action) -> Vec<String> {
    let steps = plan.steps.iter().filter(|step| step.action == action);
    steps.map(|step| step.asset.path.to_string()).collect()
}
