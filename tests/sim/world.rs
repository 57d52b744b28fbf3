//! The world of one simulation: what stays over crashes, and one life of windlass in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::{MemoryEndpoint, MemoryLedger};
use windlass_core::{
    Action, AssetPath, ByteSize, Clock, Ledger, Result, Sink, Source, StepState, Value,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{
    Duplicates, Ingest, IngestOptions, Observer, Rebuild, Rebuilt, Recorder, Report, RunOptions,
    RunOutcome, Runner, Selection, Silent, next_run_to_resume,
};
use windlass_sandbox::celum::Celum;
use windlass_sandbox::dropbox::Dropbox;
use windlass_transfer::{Engine, EngineOptions};

use crate::both::{Tally, of_faults};
use crate::check;
use crate::services;
use crate::story::{Crash, Story, Way};
use crate::wire::{ToldWhenItFails, Trace, settle};

/// How many lives a story may need beyond its crashes: a life ends when a plan or a credential fails.
pub(crate) const LIVES_MAX: u32 = 60;

/// The longest life without a crash, in simulated time. What is not done by then hangs.
const LIFE_MAX: Duration = Duration::from_secs(6 * 3600);

/// What a simulation came to.
pub(crate) struct Lived {
    pub(crate) trace: Vec<String>,
    pub(crate) lives: u32,
    /// What it met; of one-way stories the faults only.
    pub(crate) met: Tally,
}

/// The time of day that everybody in the world agrees on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorldClock {
    pub(crate) since: Instant,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        // Some day at noon, the same in every simulation.
        Timestamp::from_millisecond(1_790_000_000_000 + passed).expect("a time")
    }
}

/// What survives a crash.
pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) nas: MemoryEndpoint,
    pub(crate) account: Arc<Dropbox>,
    pub(crate) tenant: Arc<Celum>,
    pub(crate) ledger: MemoryLedger,
    pub(crate) clock: WorldClock,
    /// The seed of each file's bytes as they are now.
    pub(crate) contents: BTreeMap<String, (usize, u64)>,
    trace: Trace,
    since: Instant,
    lives: u32,
}

/// Bytes without a period that cutting could hide.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Lives a story to its end and checks the world at rest. Then its ledger is lost, is made again from the files, and the
/// world must be as it was.
pub(crate) async fn live(story: &Story) -> Lived {
    let mut world = World::make(story);
    let _told = ToldWhenItFails(Arc::clone(&world.trace));
    come_to_rest(&mut world, story.crashes.iter()).await;
    check::at_rest(&world).await;
    world.lose_ledger();
    world.rebuild().await;
    come_to_rest(&mut world, [].iter()).await;
    check::at_rest(&world).await;
    let trace = world.trace.lock().unwrap().clone();
    Lived {
        trace,
        lives: world.lives,
        met: of_faults(&world.account, &world.tenant),
    }
}

/// Lives until there is nothing left to do.
async fn come_to_rest(world: &mut World, mut crashes: std::slice::Iter<'_, Crash>) {
    let mut quiet = false;
    while !quiet {
        world.lives += 1;
        assert!(world.lives < LIVES_MAX, "it never comes to rest");
        let crash = crashes.next();
        let after = crash.map_or(LIFE_MAX, |crash| crash.after);
        // The run's future holds everything that windlass is; dropping it is the crash.
        let ended = tokio::time::timeout(after, Box::pin(world.one_life())).await;
        quiet = match (ended, crash) {
            (Ok(Ok(quiet)), _) => quiet,
            (Ok(Err(error)), _) => {
                world.note(format!("a life ends: {}", error.chain()));
                tokio::time::sleep(Duration::from_secs(30)).await;
                false
            }
            (Err(_), Some(crash)) => {
                world.note("crash".into());
                world.between(crash).await;
                false
            }
            (Err(_), None) => {
                let trace = world.trace.lock().unwrap().clone();
                let last = trace[trace.len().saturating_sub(40)..].join("\n");
                panic!("nothing ends after {LIFE_MAX:?}; at last\n{last}")
            }
        };
    }
}

impl World {
    fn make(story: &Story) -> World {
        let since = Instant::now();
        let clock = WorldClock { since };
        let (account, tenant) = services::open(story, clock);
        let mut world = World {
            story: story.clone(),
            nas: MemoryEndpoint::new("nas"),
            account,
            tenant,
            ledger: MemoryLedger::new(Arc::new(clock)),
            clock,
            contents: BTreeMap::new(),
            trace: Trace::default(),
            since,
            lives: 0,
        };
        for file in &story.files {
            world.put(&file.name, file.size, file.seed);
        }
        world
    }

    fn put(&mut self, name: &str, size: usize, seed: u64) {
        let path = format!("/In/Campaign/{name}");
        let bytes = noise(size, seed);
        match self.story.way {
            Way::NasToDropbox | Way::NasToCelum => {
                drop(self.nas.put(&path, bytes).expect("a file"))
            }
            Way::DropboxToCelum | Way::Both => drop(
                self.account
                    .put_file(&path, bytes.into(), None)
                    .expect("a file"),
            ),
        }
        self.contents.insert(name.to_owned(), (size, seed));
    }

    fn note(&self, line: String) {
        let at = self.since.elapsed().as_micros();
        self.trace.lock().unwrap().push(format!("{at:>12} {line}"));
    }

    /// What happens while windlass is away.
    async fn between(&mut self, crash: &Crash) {
        // What the services were asked before the crash, they finish.
        settle().await;
        if let Some((file, seed)) = crash.edit {
            let file = self.story.files[file].clone();
            self.put(&file.name, file.size / 2 + 1, seed);
            self.note(format!("{} is edited", file.name));
        }
        tokio::time::sleep(crash.away).await;
    }

    /// The ledger is lost, and what it knew with it.
    fn lose_ledger(&mut self) {
        self.note("the ledger is lost".into());
        self.ledger = MemoryLedger::new(Arc::new(self.clock));
    }

    /// Makes the ledger again, as `windlass ledger rebuild` does it, however often a bad day takes.
    async fn rebuild(&mut self) {
        loop {
            self.lives += 1;
            assert!(self.lives < LIVES_MAX, "the ledger is never made again");
            match Box::pin(self.rebuild_once()).await {
                Ok(rebuilt) => return check::nothing_would_come_twice(self, &rebuilt),
                Err(error) => {
                    self.note(format!("a rebuild ends: {}", error.chain()));
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
            }
        }
    }

    async fn rebuild_once(&self) -> Result<Rebuilt> {
        let flow = Flow::wire(self).await?;
        let never = CancellationToken::new();
        let ledger: &dyn Ledger = &self.ledger;
        if let Some(run) = next_run_to_resume(ledger, "move").await? {
            flow.runner.work(run, &never).await?;
        }
        let source = flow.ingest.source.name();
        let mut recorder = Recorder::begin(ledger, "move", source).await?;
        let rebuild = Rebuild {
            ingest: &flow.ingest,
            sink_reader: Arc::clone(&flow.sink_reader),
            within: Rebuild::within(&flow.ingest),
            engine: &flow.runner.engine,
        };
        let (summary, rebuilt) = rebuild.decide(&mut recorder).await?;
        let run = recorder.complete(&summary).await?;
        let outcome = flow.runner.work(run, &never).await?;
        assert_eq!(outcome, RunOutcome::Finished);
        Ok(rebuilt)
    }

    /// One life, as `windlass run` does it. True when there was nothing left to do.
    async fn one_life(&self) -> Result<bool> {
        let flow = Flow::wire(self).await?;
        let never = CancellationToken::new();
        let ledger: &dyn Ledger = &self.ledger;
        if let Some(run) = next_run_to_resume(ledger, "move").await? {
            let outcome = flow.runner.work(run, &never).await?;
            assert_eq!(outcome, RunOutcome::Finished);
        }
        let plan = flow.ingest.plan().await?;
        let quiet = plan.is_empty();
        let held = plan.reasons();
        assert!(
            !quiet || held.iter().all(|(action, _, _)| *action == Action::Skip),
            "{held:?}"
        );
        if !quiet {
            let run = flow.runner.record(&plan).await?;
            let outcome = flow.runner.work(run, &never).await?;
            assert_eq!(outcome, RunOutcome::Finished);
            let report = Report::of(ledger, Some(run), None).await?;
            for reason in report.failed.iter().chain(&report.held) {
                self.note(format!("{} × {}", reason.assets, reason.reason));
            }
            assert_eq!(report.total(StepState::Open).steps, 0);
            assert_eq!(report.total(StepState::Leased).steps, 0);
            flow.ingest.settle(&plan.summary, Some(run)).await?;
        }
        assert!(
            flow.runner.engine.gauges().at_rest(),
            "{:?}",
            flow.runner.engine.gauges()
        );
        if let Some(dropbox) = &flow.dropbox {
            assert_eq!(dropbox.in_flight(), 0);
        }
        Ok(quiet)
    }
}

/// What one life consists of.
struct Flow {
    ingest: Ingest,
    runner: Runner,
    /// The sink, to look at.
    sink_reader: Arc<dyn Source>,
    dropbox: Option<Arc<DropboxEndpoint>>,
}

impl Flow {
    async fn wire(world: &World) -> Result<Flow> {
        let story = &world.story;
        let seed = story.seed ^ u64::from(world.lives) << 32;
        let both = (&world.account, &world.tenant);
        let wire = services::wire(both, &world.trace, world.since);
        let mut dropbox = None;
        let mut account = async || -> Result<Arc<DropboxEndpoint>> {
            let endpoint = services::connect_dropbox(&world.account, &wire, seed).await?;
            dropbox = Some(Arc::clone(&endpoint));
            Ok(endpoint)
        };
        let source: Arc<dyn Source> = match story.way {
            Way::NasToDropbox | Way::NasToCelum => Arc::new(world.nas.clone()),
            Way::DropboxToCelum | Way::Both => account().await?,
        };
        let (sink, sink_reader): (Arc<dyn Sink>, Arc<dyn Source>) = match story.way {
            Way::NasToDropbox => {
                let account = account().await?;
                (Arc::clone(&account) as _, account)
            }
            Way::NasToCelum | Way::DropboxToCelum | Way::Both => {
                let tenant =
                    services::connect_celum(&world.tenant, story.index_lag, &wire, seed).await?;
                (Arc::clone(&tenant) as _, tenant)
            }
        };
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let ledger: Arc<dyn Ledger> = Arc::new(world.ledger.clone());
        let to_celum = story.way != Way::NasToDropbox;
        let ingest = Ingest {
            options: IngestOptions {
                flow: "move".into(),
                root: AssetPath::new("/In"),
                selection: Selection::default(),
                collection: AssetPath::new(match to_celum {
                    true => "/Brand Library/Inbox/Harvest",
                    false => "/Out",
                }),
                keep_folders: !to_celum,
                asset_type: to_celum.then(|| "campaignAsset".to_owned()),
                set: match to_celum {
                    true => BTreeMap::from([
                        ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
                        ("approval".to_owned(), Value::Text("Approved".to_owned())),
                    ]),
                    false => BTreeMap::new(),
                },
                availability: None,
                choices: windlass_core::Choices::default(),
                ready: windlass_flow::Readiness::default(),
                duplicates: (to_celum && story.links).then_some(Duplicates::Reuse),
                // What a fault made a hold of is for a person to settle; here the person says go on.
                retry_held: true,
            },
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
            budget: ByteSize::mib(48),
            chunk: ByteSize::mib(story.chunk_mib as u64),
            window: ByteSize::mib(16),
            hash_threads: 0,
            ..EngineOptions::default()
        })?;
        let runner = Runner {
            flow: "move".into(),
            source,
            sink,
            sink_reader: None,
            ledger,
            engine,
            observer,
            options: RunOptions {
                transfers: 3,
                tries: 6,
                clock: Arc::new(world.clock),
                ..RunOptions::default()
            },
            desk: None,
            library: None,
        };
        Ok(Flow {
            ingest,
            runner,
            sink_reader,
            dropbox,
        })
    }
}
