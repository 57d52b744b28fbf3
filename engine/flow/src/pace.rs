//! How long a plan may take, by what an earlier run of its flow took.

use std::time::Duration;

use windlass_core::{Ledger, Result, RunState, StepState, Tally};

use crate::plan::PlanSummary;

/// Among how many runs one is looked for that moved anything.
const RUNS_LOOKED_AT: u32 = 50;

/// How fast a run went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    done: Tally,
    took: Duration,
}

impl Pace {
    /// That of the newest run of the flow that ended and moved bytes; `None` before there is one.
    pub async fn of_last_run(ledger: &dyn Ledger, flow: &str) -> Result<Option<Self>> {
        for run in ledger.runs(Some(flow), RUNS_LOOKED_AT).await? {
            let Some(finished) = run.finished.filter(|_| run.state == RunState::Finished) else {
                continue;
            };
            let mut done = Tally::default();
            for (state, _, tally) in ledger.tally(run.id).await? {
                if state == StepState::Done {
                    done.steps += tally.steps;
                    done.bytes_moved += tally.bytes_moved;
                }
            }
            let took = Duration::try_from(finished.duration_since(run.started)).unwrap_or_default();
            if done.bytes_moved > 0 && !took.is_zero() {
                return Ok(Some(Pace { done, took }));
            }
        }
        Ok(None)
    }

    /// Bytes that moved in a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.done.bytes_moved as f64 / self.took.as_secs_f64()
    }

    /// Seconds that a plan's steps take at this pace, whichever is more: by their number or by their bytes.
    pub fn seconds_for(&self, summary: &PlanSummary) -> u64 {
        let (mut steps, mut bytes) = (0, 0);
        for (action, (of_action, bytes_of_action)) in
            summary.planned().filter(|(action, _)| action.acts())
        {
            steps += of_action;
            bytes += match action.reuses() {
                true => 0,
                false => bytes_of_action,
            };
        }
        let took = self.took.as_secs_f64();
        let by_steps = took * steps as f64 / self.done.steps.max(1) as f64;
        let by_bytes = took * bytes as f64 / self.done.bytes_moved.max(1) as f64;
        by_steps.max(by_bytes).ceil() as u64
    }
}
