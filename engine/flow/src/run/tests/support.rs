//! A small world on a paused clock: two harbours, a ledger, a watcher.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::MemoryLedger;
use windlass_core::{
    Action, AssetPath, Blake3, ByteSize, Capabilities, Clock, Correlation, Destination, Draft,
    Ledger, Result, RunId, RunOrigin, StepRecord, StepState, Together,
};
use windlass_transfer::{Engine, EngineOptions};

use super::harbour::Harbour;
use super::ledger::CountedLedger;
use crate::{
    Event, Observer, Plan, PlanSummary, PlannedStep, Report, RunOptions, RunOutcome, RunStatus,
    Runner, Work,
};

pub(super) const MIB: usize = 1 << 20;

/// The time of day, moved by the paused clock.
#[derive(Debug)]
pub(super) struct PausedClock(Instant);

impl PausedClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(PausedClock(Instant::now()))
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millisecond(1_790_000_000_000 + passed).unwrap()
    }
}

/// What an observer was told, with the time in milliseconds.
#[derive(Debug)]
pub(super) struct Seen {
    since: Instant,
    pub(super) lines: Mutex<Vec<(u64, String)>>,
    pub(super) statuses: Mutex<Vec<(u64, RunStatus)>>,
    pub(super) moved: Mutex<u64>,
}

impl Seen {
    fn new() -> Arc<Self> {
        Arc::new(Seen {
            since: Instant::now(),
            lines: Mutex::default(),
            statuses: Mutex::default(),
            moved: Mutex::default(),
        })
    }

    /// What was told, of lines that begin so.
    pub(super) fn told(&self, begin: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let lines = lines.iter().map(|(_, line)| line);
        let told = lines.filter_map(|line| line.strip_prefix(begin));
        told.map(|rest| rest.trim().to_owned()).collect()
    }

    pub(super) fn last_status(&self) -> RunStatus {
        self.statuses.lock().unwrap().last().unwrap().1.clone()
    }
}

impl Observer for Seen {
    fn observe(&self, event: Event<'_>) {
        let at = u64::try_from(self.since.elapsed().as_millis()).unwrap();
        let line = match event {
            Event::Status(status) => {
                let mut statuses = self.statuses.lock().unwrap();
                return statuses.push((at, status.clone()));
            }
            Event::Moved { bytes } => return *self.moved.lock().unwrap() += bytes,
            Event::Waiting { why } => format!("waiting {why}"),
            Event::Stalled { path, silent, why } => {
                format!("stalled {path} {} s: {why}", silent.as_secs())
            }
            Event::Found { finding } => format!("found {}: {}", finding.subject, finding.message),
            Event::Stopping { why, left } => format!("stopping {why:?} {} s", left.as_secs()),
            Event::StepStarted { path, .. } => format!("started {path}"),
            Event::StepEnded {
                path,
                state,
                message,
                again_after,
                ..
            } => match again_after {
                Some(after) => format!(
                    "again {path} in {} ms: {}",
                    after.as_millis(),
                    message.unwrap()
                ),
                None => format!(
                    "ended {path} {} {}",
                    state.word(),
                    message.unwrap_or_default()
                ),
            },
            Event::RunStarted { resumed, .. } => format!("run resumed={resumed}"),
            Event::Listed { .. }
            | Event::Deciding { .. }
            | Event::Hashed { .. }
            | Event::Sealing { .. }
            | Event::Audited { .. } => return,
        };
        self.lines.lock().unwrap().push((at, line));
    }
}

pub(super) struct World {
    pub(super) source: Harbour,
    pub(super) sink: Harbour,
    pub(super) ledger: Arc<CountedLedger>,
    pub(super) seen: Arc<Seen>,
    pub(super) options: RunOptions,
    pub(super) engine: EngineOptions,
}

impl World {
    pub(super) fn new() -> Self {
        World::with(|_| {}, |_| {})
    }

    /// A world whose sink takes so many contents up to 4 MiB together.
    pub(super) fn together(at_once: usize) -> Self {
        let bytes_max = 4 << 20;
        World::with(
            |_| {},
            |sheet| sheet.together = Some(Together { bytes_max, at_once }),
        )
    }

    pub(super) fn with(
        source: impl FnOnce(&mut Capabilities),
        sink: impl FnOnce(&mut Capabilities),
    ) -> Self {
        let clock = PausedClock::new();
        let options = RunOptions {
            clock: Arc::<PausedClock>::clone(&clock),
            ..RunOptions::default()
        };
        World {
            source: Harbour::new("nas", source),
            sink: Harbour::new("dam", sink),
            ledger: Arc::new(CountedLedger::new(MemoryLedger::new(clock))),
            seen: Seen::new(),
            options,
            engine: EngineOptions {
                budget: ByteSize::mib(64),
                window: ByteSize::mib(16),
                chunk: ByteSize::mib(4),
                chunk_max: ByteSize::mib(4),
                // Everything in one thread: the clock is paused.
                hash_threads: 0,
                ..EngineOptions::default()
            },
        }
    }

    /// Puts a file at the source whose bytes follow from its name.
    pub(super) fn file(&self, name: &str, size: usize) {
        self.source
            .inner
            .put(&format!("/In/{name}"), content(name, size))
            .unwrap();
    }

    /// Everything at the source becomes a new asset at the sink.
    pub(super) fn plan(&self) -> Plan {
        let steps = self.source.inner.assets().into_iter().map(|asset| {
            let file_name = asset.path.name().to_owned();
            let draft = Draft {
                name: file_name.clone(),
                file_name,
                collection: AssetPath::new("/Out"),
                asset_type: None,
                fields: Vec::new(),
                availability: None,
                handing: None,
                yields: BTreeSet::new(),
            };
            let correlation =
                Correlation::derive("move", "nas", asset.id.as_str(), asset.revision.as_str());
            PlannedStep {
                action: Action::Create,
                reason: "not placed before".into(),
                work: Some(Work::Place {
                    asset: asset.clone(),
                    destination: Destination::New { draft },
                    correlation,
                    reuse: false,
                    relink: None,
                    release: None,
                    agreed: None,
                    alone: false,
                }),
                asset,
            }
        });
        let origin = RunOrigin {
            windlass: "0.0.0".into(),
            source: "nas".into(),
            sink: "dam".into(),
            hook: None,
            rules: Blake3::of(b"rules"),
            plan: None,
        };
        let mut summary = PlanSummary::new("move".into(), origin);
        let steps: Vec<PlannedStep> = steps.collect();
        steps.iter().for_each(|step| summary.count(step));
        Plan { summary, steps }
    }

    pub(super) fn runner(&self) -> Runner {
        Runner {
            flow: "move".into(),
            source: Arc::new(self.source.clone()),
            sink: Arc::new(self.sink.clone()),
            sink_reader: Some(Arc::new(self.sink.clone())),
            ledger: Arc::<CountedLedger>::clone(&self.ledger),
            engine: Engine::new(self.engine.clone()).unwrap(),
            observer: Arc::<Seen>::clone(&self.seen),
            options: self.options.clone(),
            desk: None,
            library: None,
        }
    }

    /// Records the plan of everything at the source.
    pub(super) async fn record(&self) -> RunId {
        self.runner().record(&self.plan()).await.unwrap()
    }

    /// Works a run to its end, at most a day of paused time; nothing is under way afterwards.
    pub(super) async fn work(&self, run: RunId) -> Result<RunOutcome> {
        self.work_until(run, &CancellationToken::new()).await
    }

    pub(super) async fn work_until(
        &self,
        run: RunId,
        cancel: &CancellationToken,
    ) -> Result<RunOutcome> {
        let ended = self.work_alone(run, cancel).await;
        let report = self.report(run).await;
        assert_eq!(report.total(StepState::Leased).steps, 0);
        ended
    }

    /// The same where others may have steps afterwards.
    pub(super) async fn work_alone(
        &self,
        run: RunId,
        cancel: &CancellationToken,
    ) -> Result<RunOutcome> {
        let runner = self.runner();
        let day = Duration::from_secs(86_400);
        let ended = tokio::time::timeout(day, runner.work(run, cancel)).await;
        let gauges = runner.engine.gauges();
        assert!(gauges.at_rest(), "{gauges:?}");
        ended.expect("it ends within a day")
    }

    /// Plans and works everything off.
    pub(super) async fn run(&self) -> RunId {
        let run = self.record().await;
        assert_eq!(self.work(run).await.unwrap(), RunOutcome::Finished);
        run
    }

    pub(super) async fn report(&self, run: RunId) -> Report {
        let ledger: &dyn Ledger = self.ledger.as_ref();
        Report::of(ledger, Some(run), None).await.unwrap()
    }

    pub(super) async fn steps(&self, run: RunId) -> Vec<StepRecord> {
        self.ledger.steps(run, None, u32::MAX).await.unwrap()
    }

    /// Every file of the source is at the sink, once and whole.
    pub(super) fn assert_all_placed(&self) {
        let held = |harbour: &Harbour| -> Vec<(String, Blake3)> {
            let assets = harbour.inner.assets();
            let digest = |id| Blake3::of(&harbour.inner.bytes(id).unwrap());
            let assets = assets.iter();
            let named = assets.map(|asset| (asset.path.name().to_owned(), digest(&asset.id)));
            named.collect()
        };
        let (source, sink) = (held(&self.source), held(&self.sink));
        let same = source == sink;
        assert!(
            same,
            "{} files at the source, {} at the sink",
            source.len(),
            sink.len()
        );
    }
}

/// Bytes in which every 64 KiB differ from all others, so that a swap of two parts shows.
pub(super) fn content(name: &str, size: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(0x9E37_79B9_7F4A_7C15_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    }) | 1;
    let period = size.clamp(8, 64 << 10);
    let mut noise = Vec::with_capacity(period + 8);
    while noise.len() < period {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend_from_slice(&state.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(size + noise.len());
    while bytes.len() < size {
        let number = bytes.len() as u64 ^ state;
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&noise[8..]);
    }
    bytes.truncate(size);
    bytes
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
