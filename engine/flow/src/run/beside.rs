//! Looking again while a run is worked off.
//!
//! A pass looks, decides and works. While it works on something large nobody would look, and what somebody changed meanwhile
//! would wait for hours. So whoever hears of changes rings, and the pass looks again beside its run; what it decides then
//! is added to the run, where the same loop takes it that knows which contents are under way.
//!
//! Only what brings something is added, and what takes back what rights forbid, which no cap keeps. What else takes something
//! away, what somebody has to settle, and whatever is about an asset that the run is not done with is left to a pass after
//! this one. So looking beside makes things earlier and nothing depends on it; a crash leaves a run with some of what was
//! added, as good as any.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use windlass_core::{Action, AssetId, Ledger, Result, RunId, StepState};

use super::{RunOutcome, Runner, STEPS_A_CALL, write_steps};
use crate::delivery::asset_of;
use crate::flows::Flow;
use crate::plan::{Cause, PlanWriter, PlannedStep, Work};

/// Beside how many steps that are left somebody looks. Beside more, looking costs more than it is worth: everything that is
/// left is decided about once more each time.
const LEFT_MAX: u64 = 10_000;

/// How many steps one look adds at most. The next one, or the next pass, finds the rest.
const ADDED_MAX: usize = 10_000;

/// The shortest pause between two looks, and how many times as long as the last look it is at least: a run that is rung for
/// all the time, by its own writes for one, spends a fifth of it on looking.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_SHARE: u32 = 4;

/// Rung when something of a flow may have changed while a run of it is worked off.
#[derive(Debug, Default)]
pub struct Bell(Notify);

impl Bell {
    /// Something may have changed. However often it is rung before somebody looks, one look answers it.
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Decides whether what was found is added to a run.
#[async_trait]
pub trait Admission: fmt::Debug + Send + Sync {
    /// Whether all of these steps are added; there is at least one. Those that are not are found again by the next pass.
    async fn admits(&self, steps: &[PlannedStep]) -> Result<bool>;
}

/// Who looks beside a run, and when.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// What decides. Flows that hand out packages as a whole do not look beside a run.
    pub flow: &'a Flow,
    /// When.
    pub bell: &'a Bell,
    /// Who has the last word.
    pub admission: &'a dyn Admission,
}

/// What a shift and those who look beside it tell each other.
#[derive(Debug, Default)]
pub(super) struct Growth(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    steps: u64,
    bytes: u64,
    given_up: BTreeSet<AssetId>,
}

impl Growth {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, steps: u64, bytes: u64) {
        let mut told = self.told();
        told.steps += steps;
        told.bytes += bytes;
    }

    /// How many steps were added since this was asked last, and the bytes of their assets.
    pub(super) fn take(&self) -> (u64, u64) {
        let mut told = self.told();
        (
            std::mem::take(&mut told.steps),
            std::mem::take(&mut told.bytes),
        )
    }

    /// A step about an asset ends without success, and is not tried again in this run. To be said before the ledger knows:
    /// at any moment it is left there, or given up here.
    pub(super) fn give_up(&self, asset: &AssetId) {
        self.told().given_up.insert(asset_of(asset));
    }
}

impl Runner {
    /// The same as [`Runner::work`], and looks for more whenever the bell is rung. A look that fails is none; the next pass
    /// will say what is wrong.
    pub async fn work_and_look(
        &self,
        run: RunId,
        cancel: &CancellationToken,
        beside: &Beside<'_>,
    ) -> Result<RunOutcome> {
        let growth = Growth::default();
        loop {
            let outcome = self.shift_and_look(run, cancel, beside, &growth).await?;
            let is_finished = outcome == RunOutcome::Finished;
            // Nothing is added any more. What was added behind the shift's last look is still to be done.
            if is_finished && self.ledger.next_due(run).await?.is_some() {
                continue;
            }
            return self.end(run, outcome).await;
        }
    }

    async fn shift_and_look(
        &self,
        run: RunId,
        cancel: &CancellationToken,
        beside: &Beside<'_>,
        growth: &Growth,
    ) -> Result<RunOutcome> {
        let mut working = pin!(self.shift(run, cancel, growth));
        let mut paused_until = None;
        loop {
            let rung = async {
                if let Some(over) = paused_until {
                    sleep_until(over).await;
                }
                beside.bell.0.notified().await;
            };
            tokio::select! {
                biased;
                ended = &mut working => return ended,
                () = rung => {}
            }
            let began = Instant::now();
            let mut looking = pin!(beside.look(self.ledger.as_ref(), run, growth));
            let (ended, found) = tokio::select! {
                biased;
                ended = &mut working => match &ended {
                    // Not dropped: what it sees is remembered, and a look that has to see everything anew takes long.
                    Ok(RunOutcome::Finished) => tokio::select! {
                        biased;
                        () = cancel.cancelled() => return ended,
                        () = self.options.stop_now.cancelled() => return ended,
                        found = looking => (Some(ended), found),
                    },
                    Ok(RunOutcome::Stopped) | Err(_) => return ended,
                },
                found = &mut looking => (None, found),
            };
            let added = match found {
                Ok(steps) => self.add(run, steps, growth).await,
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                let flow = &self.flow;
                tracing::warn!(flow, error = %error.chain(), "nothing was found beside a run");
            }
            if let Some(ended) = ended {
                return ended;
            }
            paused_until = Some(Instant::now() + PAUSE_MIN.max(PAUSE_SHARE * began.elapsed()));
        }
    }

    async fn add(&self, run: RunId, steps: Vec<PlannedStep>, growth: &Growth) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let (flow, count) = (&self.flow, steps.len() as u64);
        let bytes = steps.iter().map(|step| step.asset.size).sum();
        write_steps(self.ledger.as_ref(), run, self.source.name(), steps).await?;
        growth.add(count, bytes);
        tracing::info!(flow, %run, steps = count, "steps were added to a run");
        Ok(())
    }
}

impl Beside<'_> {
    /// What may be added to a run now.
    async fn look(
        &self,
        ledger: &dyn Ledger,
        run: RunId,
        growth: &Growth,
    ) -> Result<Vec<PlannedStep>> {
        if let Flow::Release(_) = self.flow {
            return Ok(Vec::new());
        }
        // Before anything is decided: what was done by then is in the ledger, which decides, and what is done later is left
        // alone.
        let Some(left) = left_of(ledger, run).await? else {
            return Ok(Vec::new());
        };
        let mut found = Found {
            busy: left.union(&growth.told().given_up).cloned().collect(),
            steps: Vec::new(),
        };
        self.flow.decide(&mut found).await?;
        let steps = found.steps;
        match !steps.is_empty() && self.admission.admits(&steps).await? {
            true => Ok(steps),
            false => Ok(Vec::new()),
        }
    }
}

/// The assets that steps of a run are about which have not ended; `None` where they are too many.
async fn left_of(ledger: &dyn Ledger, run: RunId) -> Result<Option<BTreeSet<AssetId>>> {
    let tally = ledger.tally(run).await?;
    let is_left = |state| matches!(state, StepState::Open | StepState::Leased);
    let left = tally.iter().filter(|(state, ..)| is_left(*state));
    if left.map(|(_, _, tally)| tally.steps).sum::<u64>() > LEFT_MAX {
        return Ok(None);
    }
    let (mut assets, mut after) = (BTreeSet::new(), None);
    loop {
        let steps = ledger.unended(run, after, STEPS_A_CALL as u32).await?;
        let Some((last, _)) = steps.last() else {
            return Ok(Some(assets));
        };
        after = Some(last.id);
        assets.extend(steps.iter().map(|(step, _)| asset_of(&step.asset)));
    }
}

/// Keeps what may be added.
#[derive(Debug)]
struct Found {
    /// Assets that the run is not done with.
    busy: BTreeSet<AssetId>,
    steps: Vec<PlannedStep>,
}

#[async_trait]
impl PlanWriter for Found {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        let room = ADDED_MAX - self.steps.len();
        let is_free = |step: &PlannedStep| !self.busy.contains(&asset_of(&step.asset.id));
        let added = steps
            .into_iter()
            .filter(|step| is_added(step) && is_free(step))
            .take(room);
        self.steps.extend(added);
        Ok(())
    }
}

/// Whether a step waits for no other pass: something comes by it and nothing goes, or what goes must.
pub(super) fn is_added(step: &PlannedStep) -> bool {
    match step.action {
        Action::Create
        | Action::NewVersion
        | Action::Link
        | Action::Copy
        | Action::UpdateMetadata => true,
        Action::Withdraw => step.work.as_ref().and_then(Work::cause) == Some(Cause::Denied),
        Action::Relocate | Action::Adopt | Action::Skip | Action::Hold | Action::Conflict => false,
    }
}
