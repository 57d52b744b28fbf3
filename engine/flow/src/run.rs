//! Working off a plan: steps are leased from the ledger, run in bounded number, and their outcomes
//! recorded in batches.
//!
//! One loop owns the run. Steps run in tasks that only report; the loop takes their reports, as many
//! as are ready at once, and writes them in one call. What a crash leaves: leased steps, whose leases
//! expire or are dropped when the ledger is opened again; the next run of the flow takes them first.
//! A step that was taken before asks the sink whether its last attempt did succeed after all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Error, Evidence, Kind, LeasedStep, Ledger, Outcome, Result, RunId, RunState, Sink, Source,
    StepId, StepReport, StepState, Tally, Together, Unfinished, WorkerId,
};
use windlass_transfer::{Engine, Phase, Progress};

use crate::observe::{Event, Observer};
use crate::plan::{Plan, Work};

mod journal;
mod step;

use step::{StepRunner, Taken};

/// How many steps are written to the ledger in one call.
const STEPS_A_CALL: usize = 1_000;

/// How often the observer is told of bytes.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// How long nothing may move before the observer is told why, and how often it is told again.
const SILENT_AFTER: Duration = Duration::from_secs(5);

/// How long a plan is taken at its word. Older ones are checked asset by asset, which costs a call each.
const FRESH: Duration = Duration::from_secs(60);

/// How a run is worked off.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Steps of large assets that run at the same time. Small ones that the sink takes together run beside
    /// them, as many as its sheet says.
    pub transfers: usize,
    /// How long a lease lasts without renewal. It is renewed every third of this.
    pub lease: Duration,
    /// How often a step is tried before it fails.
    pub tries: u32,
    /// The shortest wait before a step is tried again; doubled for each further try.
    pub retry_after: Duration,
    /// How long an orderly stop waits for steps to end.
    pub drain: Duration,
    /// How much is to be proved of what was placed. Up to E2 is what sinks can prove at a commit, and is
    /// always taken; E3 reads everything back.
    pub evidence: Evidence,
    /// When to stop in an orderly way, although nobody asks for it.
    pub deadline: Option<tokio::time::Instant>,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            transfers: 8,
            // Long against a stalled disk or a paused laptop, short against a person's patience.
            lease: Duration::from_secs(60),
            tries: 4,
            retry_after: Duration::from_secs(2),
            drain: Duration::from_secs(5),
            evidence: Evidence::E2,
            deadline: None,
        }
    }
}

/// How working a run off ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Every step has ended.
    Finished,
    /// It was stopped on request; the rest waits in the ledger.
    Stopped,
}

/// Runs the steps of one flow.
#[derive(Debug)]
pub struct Runner {
    /// The flow's name in the configuration.
    pub flow: String,
    /// Where assets come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// The same place to read from, where it can be read: for evidence E3.
    pub sink_reader: Option<Arc<dyn Source>>,
    /// The durable record.
    pub ledger: Arc<dyn Ledger>,
    /// What moves bytes.
    pub engine: Engine,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How.
    pub options: RunOptions,
}

/// The newest run of a flow that was not finished, if its plan was written completely. Half-written
/// plans are marked as abandoned on the way: none of their steps ran.
pub async fn next_run_to_resume(ledger: &dyn Ledger, flow: &str) -> Result<Option<RunId>> {
    for run in ledger.runs(Some(flow), 100).await? {
        match run.state {
            RunState::Planning => ledger.set_run_state(run.id, RunState::Abandoned).await?,
            RunState::Running | RunState::Stopped => return Ok(Some(run.id)),
            RunState::Finished | RunState::Abandoned => {}
        }
    }
    Ok(None)
}

impl Runner {
    /// Writes a plan's steps to the ledger as a new run, ready to be worked off.
    pub async fn record(&self, plan: &Plan) -> Result<RunId> {
        let run = RunId::fresh();
        self.ledger.begin_run(run, &plan.flow).await?;
        for steps in plan.steps.chunks(STEPS_A_CALL) {
            let steps = steps
                .iter()
                .map(|step| step.to_new_step(&plan.source))
                .collect::<Result<Vec<_>>>()?;
            self.ledger.add_steps(run, &steps).await?;
        }
        let unchanged = Tally {
            steps: plan.unchanged.assets,
            bytes: plan.unchanged.bytes,
            bytes_moved: 0,
        };
        self.ledger.set_unchanged(run, unchanged).await?;
        // Only now may anybody take steps: a crash before this line leaves an abandoned plan.
        self.ledger.set_run_state(run, RunState::Running).await?;
        Ok(run)
    }

    /// Works the run off until every step has ended or `cancel` asks to stop.
    ///
    /// Errors end the run early and leave it resumable: a credential that no longer works, a ledger
    /// that cannot be written.
    pub async fn work(&self, run: RunId, cancel: &CancellationToken) -> Result<RunOutcome> {
        let worker = WorkerId::fresh();
        self.ledger.reap(run).await?;
        self.announce(run).await?;
        let ended = Shift::new(self, run, worker.clone(), cancel).work().await;
        // Whatever ended the shift, nothing stays leased to a worker that is gone.
        let released = self.ledger.release(&worker).await;
        let outcome = ended?;
        released?;
        self.ledger
            .set_run_state(
                run,
                match outcome {
                    RunOutcome::Finished => RunState::Finished,
                    RunOutcome::Stopped => RunState::Stopped,
                },
            )
            .await?;
        Ok(outcome)
    }

    async fn announce(&self, run: RunId) -> Result<()> {
        let mut open = windlass_core::Tally::default();
        let mut ended = 0;
        for (state, action, tally) in self.ledger.tally(run).await? {
            match state {
                StepState::Open | StepState::Leased => {
                    open.steps += tally.steps;
                    open.bytes += tally.bytes;
                }
                _ if action.acts() => ended += tally.steps,
                _ => {}
            }
        }
        self.observer.observe(Event::RunStarted {
            run,
            steps: open.steps,
            bytes: open.bytes,
            resumed: ended > 0,
        });
        Ok(())
    }
}

/// The two kinds of steps, which do not take each other's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Moves by itself.
    Large,
    /// Shares requests with others.
    Small,
}

/// Steps of one kind: those that wait for a slot, and how many slots are taken.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Taken>,
    running: usize,
    slots: usize,
}

/// A task under way.
struct Running {
    task: tokio::task::Id,
    class: Class,
    taken: Taken,
}

/// One worker's time on one run: the loop that owns everything in flight.
struct Shift<'a> {
    runner: &'a Runner,
    run: RunId,
    worker: WorkerId,
    cancel: &'a CancellationToken,
    /// Stops the steps themselves; cancelled when the drain time is over or the run fails.
    halt: CancellationToken,
    steps: Arc<StepRunner>,
    large: Lane,
    small: Lane,
    /// The largest asset that counts as small.
    small_bytes_max: Option<u64>,
    tasks: JoinSet<StepReport>,
    /// Which step a task runs, to account for one that panicked and to say what moves.
    running: Vec<Running>,
    fatal: Option<Error>,
    /// Bytes that the observer was told of.
    told_bytes: u64,
    /// When something moved last, or the observer was told why nothing does.
    stirred: tokio::time::Instant,
    is_fresh: bool,
}

/// What the loop waits for.
enum Wake {
    Reports(Vec<StepReport>),
    Renew,
    Tell,
    LookAgain,
    Stop,
    Halt,
}

impl<'a> Shift<'a> {
    fn new(
        runner: &'a Runner,
        run: RunId,
        worker: WorkerId,
        cancel: &'a CancellationToken,
    ) -> Self {
        let halt = CancellationToken::new();
        let together: Option<Together> = runner.sink.capabilities().together;
        let lane = |slots| Lane {
            slots,
            ..Lane::default()
        };
        Shift {
            runner,
            run,
            worker,
            cancel,
            steps: Arc::new(StepRunner::new(runner, halt.clone())),
            halt,
            large: lane(runner.options.transfers.max(1)),
            small: lane(together.map_or(0, |together| together.at_once.max(1))),
            small_bytes_max: together.map(|together| together.bytes_max),
            tasks: JoinSet::new(),
            running: Vec::new(),
            fatal: None,
            told_bytes: runner.engine.gauges().bytes_pushed,
            stirred: tokio::time::Instant::now(),
            is_fresh: is_fresh(run),
        }
    }

    fn lane(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Large => &mut self.large,
            Class::Small => &mut self.small,
        }
    }

    fn class(&self, step: &LeasedStep) -> Class {
        match self.small_bytes_max {
            Some(max) if step.size <= max => Class::Small,
            _ => Class::Large,
        }
    }

    async fn work(mut self) -> Result<RunOutcome> {
        let mut renew = tokio::time::interval(self.runner.options.lease / 3);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tell = tokio::time::interval(TELL_EVERY);
        tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop_by: Option<tokio::time::Instant> = None;
        loop {
            let stopping = stop_by.is_some();
            let look_again = match stopping {
                true => None,
                false => self.take_steps().await?,
            };
            if self.tasks.is_empty() && (stopping || look_again.is_none()) {
                break;
            }
            match self.wake(&mut renew, &mut tell, look_again, stop_by).await {
                Wake::Reports(reports) => self.record(reports).await?,
                Wake::Renew => {
                    self.runner
                        .ledger
                        .renew(&self.worker, self.runner.options.lease)
                        .await?;
                }
                Wake::Tell => self.tell_bytes(),
                Wake::LookAgain => {
                    self.runner.ledger.reap(self.run).await?;
                }
                Wake::Stop => {
                    stop_by = Some(tokio::time::Instant::now() + self.runner.options.drain);
                    self.large.waiting.clear();
                    self.small.waiting.clear();
                }
                Wake::Halt => {
                    self.halt.cancel();
                    self.tasks.shutdown().await;
                }
            }
            if self.fatal.is_some() {
                self.halt.cancel();
                self.tasks.shutdown().await;
                break;
            }
        }
        match (self.fatal, stop_by) {
            (Some(error), _) => Err(error),
            (None, Some(_)) => Ok(RunOutcome::Stopped),
            (None, None) => Ok(RunOutcome::Finished),
        }
    }

    /// Fills the free slots. Answers when to look again although no task ended, or `None` when no
    /// step is left that anybody could take.
    async fn take_steps(&mut self) -> Result<Option<Duration>> {
        self.lease().await?;
        for class in [Class::Large, Class::Small] {
            self.start(class);
        }
        if !self.tasks.is_empty() {
            // A retry may come due, or another worker's lease may expire, while these run.
            return Ok(Some(Duration::from_secs(1)));
        }
        if let Some(due) = self.runner.ledger.next_due(self.run).await? {
            return Ok(Some(due.max(Duration::from_millis(20))));
        }
        let leased_elsewhere = self
            .runner
            .ledger
            .tally(self.run)
            .await?
            .iter()
            .any(|(state, _, tally)| *state == StepState::Leased && tally.steps > 0);
        if leased_elsewhere {
            self.runner.observer.observe(Event::Waiting {
                why: "another worker holds the last steps; taking them over when its lease ends",
            });
        }
        Ok(leased_elsewhere.then_some(Duration::from_secs(1)))
    }

    /// Takes steps from the ledger when few wait for a slot: as many again as there are slots, so that a
    /// slot that frees up does not wait for the ledger, and the ledger is asked once for many.
    async fn lease(&mut self) -> Result<()> {
        let slots = self.large.slots + self.small.slots;
        let waiting = self.large.waiting.len() + self.small.waiting.len();
        let idle = |lane: &Lane| lane.waiting.is_empty() && lane.running < lane.slots;
        let is_hungry = waiting * 2 < slots || idle(&self.large) || idle(&self.small);
        if waiting >= slots || !is_hungry {
            return Ok(());
        }
        let free = slots.saturating_sub(self.tasks.len());
        let want = u32::try_from(free + slots - waiting).unwrap_or(u32::MAX);
        let ledger = &self.runner.ledger;
        let ttl = self.runner.options.lease;
        let leased = ledger.lease(self.run, &self.worker, want, ttl).await?;
        // Only a step that was taken before can have left something.
        let again: Vec<StepId> = leased
            .iter()
            .filter(|step| step.attempt > 1)
            .map(|step| step.id)
            .collect();
        let unfinished = match again.is_empty() {
            true => Vec::new(),
            false => ledger.unfinished(&again).await?,
        };
        let mut unfinished = unfinished.into_iter();
        for step in leased {
            let left = match step.attempt {
                0 | 1 => Unfinished::default(),
                _ => unfinished.next().unwrap_or_default(),
            };
            let class = self.class(&step);
            let taken = Taken {
                is_fresh: self.is_fresh && step.attempt <= 1,
                step,
                unfinished: left,
                progress: Arc::new(Progress::new()),
            };
            self.lane(class).waiting.push_back(taken);
        }
        Ok(())
    }

    fn start(&mut self, class: Class) {
        loop {
            let lane = self.lane(class);
            if lane.running >= lane.slots {
                return;
            }
            let Some(taken) = lane.waiting.pop_front() else {
                return;
            };
            lane.running += 1;
            let steps = Arc::clone(&self.steps);
            let task = self.tasks.spawn({
                let taken = taken.clone();
                async move { steps.run(taken).await }
            });
            self.running.push(Running {
                task: task.id(),
                class,
                taken,
            });
        }
    }

    /// Waits for the next thing to do. Cancel safe: nothing is taken before it is returned.
    async fn wake(
        &mut self,
        renew: &mut tokio::time::Interval,
        tell: &mut tokio::time::Interval,
        look_again: Option<Duration>,
        stop_by: Option<tokio::time::Instant>,
    ) -> Wake {
        let again = look_again.unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            biased;
            () = self.cancel.cancelled(), if stop_by.is_none() => Wake::Stop,
            Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                let mut reports = vec![self.account(ended)];
                while let Some(ended) = self.tasks.try_join_next_with_id() {
                    reports.push(self.account(ended));
                }
                Wake::Reports(reports)
            }
            () = at_or_never(stop_by) => Wake::Halt,
            () = at_or_never(self.runner.options.deadline), if stop_by.is_none() => Wake::Stop,
            _ = renew.tick() => Wake::Renew,
            _ = tell.tick() => Wake::Tell,
            () = tokio::time::sleep(again) => Wake::LookAgain,
        }
    }

    fn tell_bytes(&mut self) {
        let pushed = self.runner.engine.gauges().bytes_pushed;
        let bytes = pushed.saturating_sub(self.told_bytes);
        if bytes > 0 {
            self.told_bytes = pushed;
            self.stirred = tokio::time::Instant::now();
            self.runner.observer.observe(Event::Moved { bytes });
        } else if self.stirred.elapsed() >= SILENT_AFTER {
            self.stirred = tokio::time::Instant::now();
            let why = self.why();
            self.runner.observer.observe(Event::Waiting { why: &why });
        }
    }

    /// Why nothing moves, in one sentence.
    fn why(&self) -> String {
        let endpoints = [self.runner.sink.held_back(), self.runner.source.held_back()];
        if let Some(held) = endpoints.into_iter().flatten().next() {
            return held.why;
        }
        let phase = |running: &Running| running.taken.progress.snapshot().phase;
        // The one that was started first has waited longest.
        let moving = self
            .running
            .iter()
            .find(|running| !matches!(phase(running), Phase::Queued | Phase::Ended));
        match moving {
            Some(running) => {
                let name = work_of(&running.taken.step).map_or_else(
                    |_| "a step".to_owned(),
                    |work| work.asset().path.to_string(),
                );
                format!("{name} {}", phase(running).reason())
            }
            None if self.running.is_empty() => {
                "steps that failed wait for their time to be tried again".to_owned()
            }
            None => format!(
                "memory budget: {} files wait to be let in",
                self.runner.engine.gauges().budget_waiting
            ),
        }
    }

    /// A task's report; a task that panicked is reported as a failed step instead of being lost.
    fn account(
        &mut self,
        ended: Result<(tokio::task::Id, StepReport), tokio::task::JoinError>,
    ) -> StepReport {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let at = self.running.iter().position(|running| running.task == id);
        let ran = at.map(|at| self.running.remove(at));
        if let Some(ran) = &ran {
            self.lane(ran.class).running -= 1;
        }
        match (ended, ran) {
            (Ok((_, report)), _) => report,
            (Err(error), ran) => StepReport {
                id: ran.as_ref().map_or(StepId(0), |ran| ran.taken.step.id),
                attempt: ran.as_ref().map_or(0, |ran| ran.taken.step.attempt),
                outcome: Outcome::Failed {
                    kind: Kind::Unexpected,
                    message: format!("a bug: the step's task ended abnormally: {error}"),
                    hint: Some("please report it with the log of this run".to_owned()),
                },
            },
        }
    }

    /// Writes outcomes, tells the observer, and notices what ends the whole run.
    async fn record(&mut self, reports: Vec<StepReport>) -> Result<()> {
        self.tell_bytes();
        self.runner.ledger.finish(&reports).await?;
        if self.fatal.is_none() {
            self.fatal = self.steps.take_fatal();
        }
        Ok(())
    }
}

async fn at_or_never(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether a run's plan was made a moment ago: its id says when.
fn is_fresh(run: RunId) -> bool {
    let Some(made) = run.0.get_timestamp() else {
        return false;
    };
    let (seconds, nanos) = made.to_unix();
    let made = UNIX_EPOCH + Duration::new(seconds, nanos);
    SystemTime::now()
        .duration_since(made)
        .is_ok_and(|age| age < FRESH)
}

/// Reads what a leased step is to do.
fn work_of(step: &LeasedStep) -> Result<Work> {
    Work::from_payload(&step.payload)
}
