//! One pass of one flow. What was wired for it is kept for the next one, for a while: connections and compiled plugins are
//! dear, and tables, sheets, vocabularies and the date that plugins see must not grow old.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use windlass_core::{Action, ByteSize, Error, Kind, Result, StepState};
use windlass_flow::daemon::{Pass, PassOutcome};
use windlass_flow::{Bell, Flow, Tolerance};

use super::backlog;
use super::board::Left;
use super::gauge::{Gauge, Gauges};
use crate::args::RunArgs;
use crate::commands::conflicts;
use crate::commands::run::{Asked, Done, Idle, Manner};
use crate::config::Layered;
use crate::out::Out;
use crate::progress;
use crate::wiring::{Shared, Wired, Wiring};

/// How long what was wired is used.
const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// What was wired for an earlier pass.
pub(super) struct Kept {
    wired: Wired,
    since: Instant,
    day: Date,
    /// Of which configuration: they are counted.
    edition: u64,
}

/// A pass to be made.
pub(super) struct Setup {
    pub(super) flow: String,
    pub(super) pass: Pass,
    pub(super) layered: Arc<Layered>,
    pub(super) edition: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Option<Kept>,
    /// Whether bulk that was interrupted may go on in it.
    pub(super) resumes: bool,
    /// Asks it to end in order.
    pub(super) cancel: CancellationToken,
    /// It says by this that its plan is complete.
    pub(super) planned: CancellationToken,
    /// Rung when something may have changed while it works.
    pub(super) bell: Arc<Bell>,
    /// What passes before held and left out.
    pub(super) idle: Arc<Idle>,
    /// Ends it at once.
    pub(super) stop_now: CancellationToken,
    pub(super) out: Out,
    /// Where it tells how far it is.
    pub(super) gauges: Arc<Gauges>,
}

/// What became of a pass.
pub(super) struct Passed {
    pub(super) flow: String,
    pub(super) pass: Pass,
    pub(super) outcome: PassOutcome,
    /// When the flow must be looked at again at the latest.
    pub(super) due: Option<Timestamp>,
    pub(super) did: Did,
    pub(super) error: Option<Error>,
    pub(super) kept: Option<Kept>,
    pub(super) left: Left,
}

impl Passed {
    /// What is told of a pass whose task broke.
    pub(super) fn broken(flow: String, pass: Pass, error: JoinError) -> Self {
        let error = Error::new(Kind::Unexpected, "the pass ended abnormally").with_source(error);
        Passed {
            flow,
            pass,
            outcome: PassOutcome::Failed(error.chain()),
            due: None,
            did: Did::default(),
            error: Some(error),
            kept: None,
            left: Left::default(),
        }
    }
}

/// What a pass did, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Did {
    pub(super) done: u64,
    pub(super) withdrawn: u64,
    pub(super) held: u64,
    pub(super) failed: u64,
    pub(super) moved: ByteSize,
}

impl Did {
    /// Whether there is anything to tell.
    pub(super) fn is_nothing(self) -> bool {
        self.done + self.withdrawn + self.held + self.failed == 0
    }
}

/// Makes a pass.
pub(super) async fn make(mut setup: Setup) -> Passed {
    let made = setup.make().await;
    let (outcome, due, did, error, left) = match made {
        Ok((done, did, left)) => {
            let outcome = match done.stopped {
                true => PassOutcome::Stopped,
                false => PassOutcome::Done { failed: did.failed },
            };
            (outcome, done.due, did, None, left)
        }
        Err(error) => {
            let outcome = PassOutcome::Failed(error.chain());
            // What is wired may be why.
            setup.forget().await;
            let left = Left::default();
            (outcome, None, Did::default(), Some(error), left)
        }
    };
    Passed {
        flow: setup.flow,
        pass: setup.pass,
        outcome,
        due,
        did,
        error,
        kept: setup.kept,
        left,
    }
}

impl Setup {
    async fn make(&mut self) -> Result<(Done, Did, Left)> {
        let mut kept = self.wire().await?;
        let made = self.run(&mut kept.wired).await;
        kept.wired.runner.engine.trim();
        self.kept = Some(kept);
        made
    }

    /// What is needed for it: what is kept where that is good enough.
    async fn wire(&mut self) -> Result<Kept> {
        let today = jiff::Zoned::now().date();
        let is_good = |kept: &Kept| {
            kept.edition == self.edition && kept.day == today && kept.since.elapsed() < KEPT_FOR
        };
        if self.kept.as_ref().is_some_and(is_good)
            && let Some(kept) = self.kept.take()
        {
            return Ok(kept);
        }
        let wiring = Wiring::beside(&self.layered, self.out, Arc::clone(&self.shared));
        let observer = Arc::new(Gauge {
            flow: self.flow.clone(),
            gauges: Arc::clone(&self.gauges),
            beside: progress::teller(&self.flow, self.out),
        });
        let wired = wiring.flow(&self.flow, false, observer).await?;
        let same = self
            .kept
            .as_ref()
            .filter(|kept| kept.edition == self.edition);
        if let (Flow::Sync(now), Some(Flow::Sync(before))) =
            (&wired.flow, same.map(|kept| &kept.wired.flow))
        {
            // What was seen is as old as it says itself, however it is looked at.
            now.sync.remembered.take_over(&before.sync.remembered);
        }
        self.forget().await;
        Ok(Kept {
            wired,
            since: Instant::now(),
            day: today,
            edition: self.edition,
        })
    }

    async fn forget(&mut self) {
        if let Some(kept) = self.kept.take() {
            kept.forget().await;
        }
    }

    async fn run(&self, wired: &mut Wired) -> Result<(Done, Did, Left)> {
        let args = RunArgs {
            stop_after: None,
            over_budget: self.pass == Pass::Sweep,
            flow: Some(self.flow.clone()),
            plan: None,
            tolerance: Tolerance::default(),
            abandon: false,
            over_cap: false,
            retry_held: false,
        };
        let asked = Asked {
            args: &args,
            flow: &self.flow,
            layered: &self.layered,
            reviewed: None,
            out: self.out,
            manner: Manner::Daemon {
                resumes: self.resumes,
                planned: self.planned.clone(),
                bell: Arc::clone(&self.bell),
                idle: Arc::clone(&self.idle),
            },
        };
        asked.cap(wired);
        if let Flow::Release(release) = &mut wired.flow {
            release.options.sweep = self.pass == Pass::Sweep;
        }
        let drain = self.layered.config.watch.drain;
        // The rest of the time is for what follows the last transfer.
        wired.runner.options.drain = Duration::from_secs(drain.saturating_sub(5).max(1));
        wired.runner.options.stop_now = self.stop_now.clone();
        let mut done = asked.resume_plan_and_work(wired, &self.cancel).await?;
        let (did, held) = did(wired, &done).await?;
        let left = self.left(wired, &mut done, held).await?;
        Ok((done, did, left))
    }

    /// What is left for others. `held`: how many files its runs held that its plan would have placed.
    async fn left(&self, wired: &Wired, done: &mut Done, held: u64) -> Result<Left> {
        let conflicts = match &wired.flow {
            Flow::Sync(_) => Some(conflicts::waiting(wired.ledger.as_ref(), &self.flow).await?),
            Flow::Ingest(_) | Flow::Release(_) => None,
        };
        // A sweep looks at what is placed, and a pass that was stopped perhaps at nothing.
        let is_whole = self.pass == Pass::Full && !done.stopped;
        let mut backlog = done.backlog.take().filter(|_| is_whole);
        if let Some(backlog) = &mut backlog {
            backlog::find_out(backlog, held);
        }
        Ok(Left { backlog, conflicts })
    }
}

impl Kept {
    /// Writes down what its calls cost.
    pub(super) async fn forget(self) {
        if let Err(error) = self.wired.calls.finish().await {
            // The recorder of another flow writes what this one could not.
            tracing::warn!(error = %error.chain(), "calls cannot be counted in the ledger");
        }
    }
}

/// What was done, and how many files of it were held that the plan would have placed.
async fn did(wired: &Wired, done: &Done) -> Result<(Did, u64)> {
    let (mut did, mut found_out) = (Did::default(), 0);
    for run in &done.runs {
        // What an interrupted run held, the plan behind it holds as well.
        found_out = 0;
        for (state, action, tally) in wired.ledger.tally(*run).await? {
            match (state, action) {
                (StepState::Done, Action::Withdraw) => did.withdrawn += tally.steps,
                (StepState::Done, _) => did.done += tally.steps,
                (StepState::Held, _) => did.held += tally.steps,
                (StepState::Failed, _) => did.failed += tally.steps,
                (StepState::Open | StepState::Leased | StepState::Skipped, _) => {}
            }
            if state == StepState::Held && !backlog::is_held(action) {
                found_out += tally.steps;
            }
            did.moved.0 += tally.bytes_moved;
        }
    }
    Ok((did, found_out))
}
