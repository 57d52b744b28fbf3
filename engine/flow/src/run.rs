//! Working off a plan: steps are leased from the ledger, run in bounded number, and their outcomes
//! recorded in batches.
//!
//! One loop owns the run (`shift.rs`), attempts at steps run in tasks that only report (`step.rs`). What a crash
//! leaves: leased steps, whose leases expire or are dropped when the ledger is opened again, and notes of what
//! each had achieved; the next run of the flow takes them first and goes on there. A run is over when every step
//! has ended: while one waits to be tried again, or another worker has it, the run waits too, and says for what.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Action, Clock, Evidence, Ledger, Library, Result, RunId, RunState, Sink, Source, StepState,
    SystemClock, Tally, WorkerId,
};
use windlass_transfer::Engine;

use crate::observe::{Event, Observer};
use crate::plan::{Plan, PlanSummary, PlanWriter, PlannedStep};

mod activity;
mod beside;
pub(crate) mod desk;
mod ending;
mod evidence;
mod journal;
mod outcome;
mod rate;
mod shift;
mod slots;
mod step;
#[cfg(test)]
mod tests;
mod tracker;
mod twins;

use beside::Growth;
pub use beside::{Admission, Bell, Beside};
pub use desk::Desk;
pub(crate) use ending::{is_over, touched_asset, touched_file};
use shift::Shift;
use step::StepRunner;
use tracker::Tracker;

/// How many steps are written to the ledger in one call.
const STEPS_A_CALL: usize = 1_000;

/// How long a plan is taken at its word, without asking the source again: about as long as making it takes.
const FRESH: Duration = Duration::from_secs(60);

/// Among how many runs of a flow one is looked for.
const RUNS_LOOKED_AT: u32 = 100;

/// How a run is worked off.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Steps of large assets that run at the same time, at least 1. Small ones that the sink takes together run
    /// beside them, as many as its sheet says.
    pub transfers: usize,
    /// How long a lease lasts without renewal. It is renewed every third of this.
    pub lease: Duration,
    /// How often a step may fail before it is given up; being put off by a service is no failure, and an attempt
    /// that brought its file forward begins the count anew.
    pub tries: u32,
    /// The shortest wait before a step is tried again; doubled for each further try.
    pub retry_after: Duration,
    /// How long an orderly stop lets attempts end. What has not ended then is dropped, and goes on in a later
    /// run behind what was acknowledged.
    pub drain: Duration,
    /// How long an attempt may not move, without an endpoint or the memory budget being the reason, before
    /// it is dropped and tried again. Longer than the engine's own `stall_after`, which knows more about a
    /// transfer and speaks first.
    pub stall_after: Duration,
    /// When to stop in an orderly way, although nobody asks for it.
    pub deadline: Option<Instant>,
    /// Stops at once: nothing in flight gets time to end. What was acknowledged is kept all the same.
    pub stop_now: CancellationToken,
    /// How much is to be proved of what was placed. Up to E2 is what sinks can prove at a commit, and is
    /// always taken; E3 reads everything back, which needs [`Runner::sink_reader`]. Where less is reached, that is
    /// recorded, and told once a run.
    pub evidence: Evidence,
    /// What the ledger's times are compared with.
    pub clock: Arc<dyn Clock>,
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
            // Half a minute more than the engine's default.
            stall_after: Duration::from_secs(150),
            deadline: None,
            stop_now: CancellationToken::new(),
            evidence: Evidence::E2,
            clock: Arc::new(SystemClock),
        }
    }
}

/// How working a run off ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Every step has ended.
    Finished,
    /// It was stopped before, on request or by its deadline ([`Event::Stopping`] says which); the rest waits
    /// in the ledger.
    Stopped,
}

/// Why a run stops before every step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked for it.
    Asked,
    /// Somebody asked for it to be at once.
    Now,
    /// The deadline has come.
    Deadline,
}

impl Stop {
    /// The reason, in one sentence without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Stop::Asked => "it was asked to stop",
            Stop::Now => "it was asked to stop at once",
            Stop::Deadline => "the time it was given is over",
        }
    }
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
    /// What flows do that hand out; `None` for others.
    pub desk: Option<Arc<Desk>>,
    /// Who governs the assets that its steps may delete for good; `None` where none does.
    pub library: Option<Arc<dyn Library>>,
    /// How.
    pub options: RunOptions,
}

/// The newest run of a flow that was not finished, if its plan was written completely. Half-written
/// plans are marked as abandoned on the way: none of their steps ran.
pub async fn next_run_to_resume(ledger: &dyn Ledger, flow: &str) -> Result<Option<RunId>> {
    for run in ledger.runs(Some(flow), RUNS_LOOKED_AT).await? {
        match run.state {
            RunState::Planning => ledger.set_run_state(run.id, RunState::Abandoned).await?,
            RunState::Running | RunState::Stopped => return Ok(Some(run.id)),
            RunState::Finished | RunState::Abandoned => {}
        }
    }
    Ok(None)
}

/// Writes a plan to the ledger as it is decided: a run that gives no steps before it is complete.
#[derive(Debug)]
pub struct Recorder<'a> {
    ledger: &'a dyn Ledger,
    run: RunId,
    source: String,
}

impl<'a> Recorder<'a> {
    /// Begins a run of a flow whose assets come from `source`.
    pub async fn begin(ledger: &'a dyn Ledger, flow: &str, source: &str) -> Result<Self> {
        let run = RunId::fresh();
        ledger.begin_run(run, flow).await?;
        Ok(Recorder {
            ledger,
            run,
            source: source.to_owned(),
        })
    }

    /// Completes the plan: from now on its steps may be taken.
    pub async fn complete(self, summary: &PlanSummary) -> Result<RunId> {
        let unchanged = Tally {
            steps: summary.unchanged.assets,
            bytes: summary.unchanged.bytes,
            bytes_moved: 0,
        };
        self.ledger
            .set_planned(self.run, unchanged, &summary.origin)
            .await?;
        // Only now may anybody take steps: a crash before this line leaves an abandoned plan.
        self.ledger
            .set_run_state(self.run, RunState::Running)
            .await?;
        Ok(self.run)
    }

    /// Gives the plan up: none of its steps will ever run.
    pub async fn abandon(self) -> Result<()> {
        self.ledger
            .set_run_state(self.run, RunState::Abandoned)
            .await
    }
}

#[async_trait]
impl PlanWriter for Recorder<'_> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        write_steps(self.ledger, self.run, &self.source, steps).await
    }
}

/// Adds steps to a run whose assets come from `source`.
async fn write_steps(
    ledger: &dyn Ledger,
    run: RunId,
    source: &str,
    mut steps: Vec<PlannedStep>,
) -> Result<()> {
    // What may not be seen any more does not wait for uploads: steps are taken in the order in which they are added.
    steps.sort_by_key(|step| step.action != Action::Withdraw);
    for steps in steps.chunks(STEPS_A_CALL) {
        let steps = steps
            .iter()
            .map(|step| step.to_new_step(source))
            .collect::<Result<Vec<_>>>()?;
        ledger.add_steps(run, &steps).await?;
    }
    Ok(())
}

impl Runner {
    /// Writes a plan's steps to the ledger as a new run, ready to be worked off.
    pub async fn record(&self, plan: &Plan) -> Result<RunId> {
        let mut recorder = Recorder::begin(
            self.ledger.as_ref(),
            &plan.summary.flow,
            &plan.summary.origin.source,
        )
        .await?;
        recorder.steps(plan.steps.clone()).await?;
        recorder.complete(&plan.summary).await
    }

    /// Works the run off until every step has ended, `cancel` or the deadline asks to stop in order, or
    /// [`RunOptions::stop_now`] to stop at once. Nothing is under way any more when it returns.
    ///
    /// Errors end the run early and leave it resumable: a credential that no longer works, a sink that is full, a
    /// ledger that cannot be written.
    pub async fn work(&self, run: RunId, cancel: &CancellationToken) -> Result<RunOutcome> {
        let outcome = self.shift(run, cancel, &Growth::default()).await?;
        self.end(run, outcome).await
    }

    /// Works until every step has ended, or it is to stop; says nothing of it in the ledger.
    async fn shift(
        &self,
        run: RunId,
        cancel: &CancellationToken,
        growth: &Growth,
    ) -> Result<RunOutcome> {
        let worker = WorkerId::fresh();
        self.ledger.reap(run).await?;
        let open = self.announce(run).await?;
        let steps = StepRunner::new(self, self.fresh_until(run).await?);
        let tracker = Tracker::new(run, open.steps, open.bytes);
        let mut shift = Shift::new(self, run, worker.clone(), steps, (tracker, growth));
        let ended = tokio::select! {
            biased;
            () = self.options.stop_now.cancelled() => {
                self.observer.observe(Event::Stopping { why: Stop::Now, left: Duration::ZERO });
                Ok(RunOutcome::Stopped)
            }
            ended = Box::pin(shift.work(cancel)) => ended,
        };
        shift.drop_attempts().await;
        // Whatever ended the shift, nothing stays leased to a worker that is gone.
        let released = self.ledger.release(&worker).await;
        let outcome = ended?;
        released?;
        Ok(outcome)
    }

    async fn end(&self, run: RunId, outcome: RunOutcome) -> Result<RunOutcome> {
        let state = match outcome {
            RunOutcome::Finished => RunState::Finished,
            RunOutcome::Stopped => RunState::Stopped,
        };
        self.ledger.set_run_state(run, state).await?;
        Ok(outcome)
    }

    async fn announce(&self, run: RunId) -> Result<Tally> {
        let mut open = Tally::default();
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
        Ok(open)
    }

    /// Until when the run's plan is fresh, if it still is. A run that begins in the future by our clock is of
    /// unknown age.
    async fn fresh_until(&self, run: RunId) -> Result<Option<Instant>> {
        let Some(record) = self.ledger.run(run).await? else {
            return Ok(None);
        };
        let age = self.options.clock.now().duration_since(record.started);
        let left = Duration::try_from(age)
            .ok()
            .and_then(|age| FRESH.checked_sub(age));
        Ok(left.map(|left| Instant::now() + left))
    }
}
