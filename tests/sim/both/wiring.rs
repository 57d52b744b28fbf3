//! What one life of a two-way flow consists of, and one pass of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_celum::CelumEndpoint;
use windlass_core::{
    AssetPath, ByteSize, Choices, Clock, Ledger, Query, Result, RunId, StepState, Value,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{
    Admission, Approval, Arrivals, Authority, Bell, Beside, Desk, Duplicates, Flow, Ingest,
    IngestOptions, Plan, PlannedStep, Readiness, ReleaseFlow, ReleaseOptions, Remembered,
    RemovalCap, Removing, Report, RightsGate, RightsOptions, RunOptions, RunOutcome, Runner,
    Selection, Silent, Sync, SyncHalf, SyncOptions, TakingBack, Way, next_run_to_resume,
};
use windlass_transfer::{Engine, EngineOptions};

use super::plot::Plot;
use super::{
    About, COLLECTION, FLOW, Passed, REMOVED, REMOVED_ASSETS, ROOT, WAY_IN, WAY_OUT, WITHDRAWN,
    World,
};
use crate::services;
use crate::wire::Trace;

/// How often the daemon hears what rings while it works.
const HEARS_EVERY: Duration = Duration::from_millis(500);

/// Both halves, each with what runs it.
pub(super) struct Halves {
    each: Vec<(Flow, Runner)>,
    dropbox: Arc<DropboxEndpoint>,
}

impl Halves {
    pub(super) async fn wire(world: &World) -> Result<Halves> {
        let seed = world.story.seed ^ u64::from(world.lives.get()) << 32;
        let both = (&world.account, &world.tenant);
        let wire = services::wire(both, &world.trace, world.since);
        let dropbox = services::connect_dropbox(&world.account, &wire, seed).await?;
        let lag = world.story.index_lag;
        let celum = services::connect_celum(&world.tenant, lag, &wire, seed).await?;
        let mut each = Vec::new();
        for way in [Way::In, Way::Out] {
            // As in the daemon, each way looks by itself and remembers what it saw.
            let sync = Arc::new(sync(world, &dropbox, &celum));
            let flow = Flow::Sync(Box::new(SyncHalf {
                sync: Arc::clone(&sync),
                way,
            }));
            let runner = runner(world, &flow, &sync)?;
            each.push((flow, runner));
        }
        Ok(Halves { each, dropbox })
    }

    /// One whole pass: what was interrupted goes on, then the way in, then the way out.
    pub(super) async fn pass(&self, world: &World) -> Result<Passed> {
        let never = CancellationToken::new();
        let ledger: &dyn Ledger = &world.ledger;
        let mut passed = Passed {
            is_quiet: true,
            failed: 0,
            due: None,
        };
        for (flow, runner) in &self.each {
            if let Some(run) = next_run_to_resume(ledger, flow.name()).await? {
                passed.is_quiet = false;
                world.note("an interrupted run goes on");
                assert_eq!(runner.work(run, &never).await?, RunOutcome::Finished);
            }
        }
        for (flow, runner) in &self.each {
            self.half(world, flow, runner, &mut passed).await?;
        }
        Ok(passed)
    }

    async fn half(
        &self,
        world: &World,
        flow: &Flow,
        runner: &Runner,
        passed: &mut Passed,
    ) -> Result<()> {
        let mut steps = Vec::new();
        let summary = flow.decide(&mut steps).await?;
        let plan = Plan { summary, steps };
        for step in &plan.steps {
            world.note(format!(
                "{} plans: {} {}: {}",
                flow.name(),
                step.action,
                step.asset.path,
                step.reason
            ));
            if let (true, Some(about)) = (step.action.acts(), About::of(&step.reason)) {
                world.is_about_to(about);
            }
        }
        let due = plan.summary.due;
        passed.due = [passed.due, due].into_iter().flatten().min();
        if plan.summary.waiting.assets > 0 {
            world.note("something still arrives");
        }
        // What is still arriving is looked at again.
        passed.is_quiet &= plan.summary.waiting.assets == 0;
        let mut run = None;
        if !plan.is_empty() {
            let recorded = runner.record(&plan).await?;
            let worked = self.work(world, flow, runner, recorded).await?;
            assert_eq!(worked, RunOutcome::Finished);
            let report = Report::of(&world.ledger, Some(recorded), None).await?;
            for reason in report.failed.iter().chain(&report.held) {
                world.note(format!("{} × {}", reason.assets, reason.reason));
            }
            assert_eq!(report.total(StepState::Open).steps, 0);
            assert_eq!(report.total(StepState::Leased).steps, 0);
            passed.failed += report.failed.iter().map(|line| line.assets).sum::<u64>();
            passed.is_quiet &= only_held(world, recorded).await?;
            run = Some(recorded);
        }
        flow.close(&plan.summary, run).await?;
        flow.settle(&plan.summary, run).await?;
        let gauges = runner.engine.gauges();
        assert!(gauges.at_rest(), "{gauges:?}");
        // A list may be under way beside each of the two.
        assert!(self.dropbox.in_flight() <= self.each.len());
        Ok(())
    }

    /// Works a run off, and looks again whenever somebody rings meanwhile.
    async fn work(
        &self,
        world: &World,
        flow: &Flow,
        runner: &Runner,
        run: RunId,
    ) -> Result<RunOutcome> {
        let bell = Bell::default();
        let admission = &Noted {
            flow: flow.name().to_owned(),
            trace: Arc::clone(&world.trace),
            since: world.since,
        };
        let beside = Beside {
            flow,
            bell: &bell,
            admission,
        };
        let never = CancellationToken::new();
        tokio::select! {
            biased;
            worked = runner.work_and_look(run, &never, &beside) => worked,
            never = hand_on(world, &bell) => match never {},
        }
    }
}

/// Rings when somebody rang at the daemon.
async fn hand_on(world: &World, bell: &Bell) -> Infallible {
    let mut heard = Instant::now();
    loop {
        tokio::time::sleep(HEARS_EVERY).await;
        let now = Instant::now();
        if world.bell.rang_since(heard) {
            bell.ring();
        }
        heard = now;
    }
}

/// Takes everything that is found beside a run, and note of it.
struct Noted {
    flow: String,
    trace: Trace,
    since: Instant,
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Noted").field(&self.flow).finish()
    }
}

#[async_trait]
impl Admission for Noted {
    async fn admits(&self, steps: &[PlannedStep]) -> Result<bool> {
        let (at, flow) = (self.since.elapsed().as_micros(), &self.flow);
        let lines = steps.iter().map(|step| {
            let (action, path, reason) = (step.action, &step.asset.path, &step.reason);
            format!("{at:>12} {flow} finds beside a run: {action} {path}: {reason}")
        });
        self.trace.lock().unwrap().extend(lines);
        Ok(true)
    }
}

/// Whether nothing came of a run: what is held waits for somebody, and is tried again in every pass because that is how this
/// flow is set up.
async fn only_held(world: &World, run: RunId) -> Result<bool> {
    let tally = world.ledger.tally(run).await?;
    let mut acting = tally.iter().filter(|(_, action, _)| action.acts());
    Ok(acting.all(|(state, _, tally)| *state == StepState::Held || tally.steps == 0))
}

fn sync(world: &World, dropbox: &Arc<DropboxEndpoint>, celum: &Arc<CelumEndpoint>) -> Sync {
    let options = options(&world.plot);
    let ledger: Arc<dyn Ledger> = Arc::new(world.ledger.clone());
    Sync {
        release: release(world, &options, dropbox, celum, &ledger),
        ingest: ingest(world, &options, dropbox, celum, &ledger),
        options,
        library: Arc::<CelumEndpoint>::clone(celum),
        assets: Arc::<CelumEndpoint>::clone(celum),
        clock: Arc::new(world.clock),
        remembered: Remembered::default(),
    }
}

fn options(plot: &Plot) -> SyncOptions {
    SyncOptions {
        name: FLOW.to_owned(),
        way_in: WAY_IN.to_owned(),
        way_out: WAY_OUT.to_owned(),
        root: AssetPath::new(ROOT),
        query: Query {
            collection: AssetPath::new(&format!("/{COLLECTION}")),
            ..Query::default()
        },
        authority: Authority {
            bytes: plot.bytes,
            ..Authority::default()
        },
        mirrors: true,
        // Dropbox keeps no fields.
        governed: Vec::new(),
        publishes: true,
        removing: plot.removing.then(|| Removing {
            files: AssetPath::new(REMOVED),
            assets: AssetPath::new(REMOVED_ASSETS),
            days: None,
            purge: false,
        }),
        cap: plot.cap.map(|count| RemovalCap {
            count: Some(count),
            ..RemovalCap::default()
        }),
    }
}

fn ingest(
    world: &World,
    options: &SyncOptions,
    dropbox: &Arc<DropboxEndpoint>,
    celum: &Arc<CelumEndpoint>,
    ledger: &Arc<dyn Ledger>,
) -> Ingest {
    let text = |text: &str| Value::Text(text.to_owned());
    let clock: Arc<dyn Clock> = Arc::new(world.clock);
    Ingest {
        options: IngestOptions {
            flow: WAY_IN.to_owned(),
            root: options.root.clone(),
            selection: Selection {
                approval: Some(Approval {
                    folder: Some("Final".to_owned()),
                    tag: Some("final".to_owned()),
                }),
                ..Selection::default()
            },
            collection: options.query.collection.clone(),
            keep_folders: true,
            asset_type: Some("campaignAsset".to_owned()),
            set: BTreeMap::from([
                ("campaignId".to_owned(), text("CMP-2041")),
                ("approval".to_owned(), text("Approved")),
            ]),
            availability: None,
            choices: Choices::default(),
            ready: Readiness {
                quiet: world.plot.quiet,
                ..Readiness::default()
            },
            duplicates: Some(Duplicates::Place),
            // What a fault made a hold of is for a person to settle; here the person says go on.
            retry_held: true,
        },
        source: Arc::<DropboxEndpoint>::clone(dropbox),
        sink: Arc::<CelumEndpoint>::clone(celum),
        hooks: None,
        informant: None,
        ledger: Arc::clone(ledger),
        observer: Arc::new(Silent),
        arrivals: Arrivals {
            clock,
            ..Arrivals::default()
        },
        partners: None,
    }
}

fn release(
    world: &World,
    options: &SyncOptions,
    dropbox: &Arc<DropboxEndpoint>,
    celum: &Arc<CelumEndpoint>,
    ledger: &Arc<dyn Ledger>,
) -> ReleaseFlow {
    let rights = RightsOptions {
        audience: "agency".to_owned(),
        market: None,
        channel: None,
        // New assets of the tenant say nothing of it.
        unstated_is_open: true,
        ignores_availability: false,
    };
    let gate = RightsGate {
        library: Arc::<CelumEndpoint>::clone(celum),
        hooks: None,
        query: None,
        options: rights.clone(),
        clock: Arc::new(world.clock),
    };
    ReleaseFlow {
        options: ReleaseOptions {
            flow: WAY_OUT.to_owned(),
            query: options.query.clone(),
            root: options.root.clone(),
            kind: Sync::kind(options),
            rights,
            taking_back: TakingBack {
                quarantine: Some(AssetPath::new(WITHDRAWN)),
                ..TakingBack::default()
            },
            handing: None,
            shared: Vec::new(),
            cap: None,
            retry_held: true,
            sweep: false,
        },
        gate: Arc::new(gate),
        localization: None,
        outlet: Arc::<DropboxEndpoint>::clone(dropbox),
        reader: Arc::<DropboxEndpoint>::clone(dropbox),
        ledger: Arc::clone(ledger),
        observer: Arc::new(Silent),
    }
}

fn runner(world: &World, flow: &Flow, sync: &Arc<Sync>) -> Result<Runner> {
    let desk = (flow.name() == WAY_OUT).then(|| {
        Arc::new(Desk {
            flow: WAY_OUT.to_owned(),
            gate: Arc::clone(&sync.release.gate),
            outlet: Arc::clone(&sync.release.outlet),
            observer: Arc::new(Silent),
        })
    });
    Ok(Runner {
        flow: flow.name().to_owned(),
        source: flow.source(),
        sink: flow.sink(),
        sink_reader: None,
        ledger: Arc::new(world.ledger.clone()),
        engine: Engine::new(EngineOptions {
            budget: ByteSize::mib(48),
            chunk: ByteSize::mib(world.story.chunk_mib as u64),
            window: ByteSize::mib(16),
            hash_threads: 0,
            ..EngineOptions::default()
        })?,
        observer: Arc::new(Silent),
        desk,
        library: (flow.name() == WAY_IN).then(|| Arc::clone(&sync.library)),
        options: RunOptions {
            transfers: 3,
            tries: 6,
            clock: Arc::new(world.clock),
            ..RunOptions::default()
        },
    })
}
