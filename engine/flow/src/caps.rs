//! Caps on what a run may replace or take back before somebody has looked at its plan.

use serde::{Deserialize, Serialize};
use windlass_core::{Action, ByteSize};

use crate::plan::{PlanSummary, PlannedStep};

/// Up to so many removals a share says nothing: one of two files is half of them.
const FEW: u64 = 20;

/// What a plan replaces or takes back of what was placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removals {
    /// How many assets.
    pub steps: u64,
    /// Bytes of what takes their place, or of what goes.
    pub bytes: u64,
    /// Of how many that are placed.
    pub of: u64,
}

impl Removals {
    /// Those of a plan.
    pub fn of(summary: &PlanSummary) -> Self {
        let mut removals = Removals {
            of: summary.unchanged.assets,
            ..Removals::default()
        };
        for (action, (steps, bytes)) in summary.planned() {
            match action {
                Action::NewVersion | Action::Withdraw => {
                    removals.steps += steps;
                    removals.bytes += bytes;
                    removals.of += steps;
                }
                Action::UpdateMetadata | Action::Relocate => removals.of += steps,
                Action::Create
                | Action::Link
                | Action::Copy
                | Action::Adopt
                | Action::Skip
                | Action::Hold
                | Action::Conflict => {}
            }
        }
        removals
    }
}

/// The most that a run may replace or take back unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RemovalCap {
    /// How many assets.
    pub count: Option<u64>,
    /// Which share of what is placed, from 0 to 1.
    pub share: Option<f64>,
    /// How many bytes.
    pub bytes: Option<ByteSize>,
}

impl RemovalCap {
    /// Holds all steps that take something away, of `placed` that are placed, where they exceed the cap.
    pub(crate) fn hold_beyond(
        &self,
        placed: u64,
        steps: &mut [PlannedStep],
        takes: impl Fn(&PlannedStep) -> bool,
    ) {
        let mut removals = Removals {
            of: placed,
            ..Removals::default()
        };
        for step in steps.iter().filter(|step| takes(step)) {
            removals.steps += 1;
            removals.bytes += step.asset.size;
        }
        let Some(exceeded) = self.exceeded_by(&removals) else {
            return;
        };
        for step in steps.iter_mut().filter(|step| takes(step)) {
            step.action = Action::Hold;
            step.reason = format!(
                "{exceeded}; it stays until somebody has looked: {}",
                step.reason
            );
            step.work = None;
        }
    }

    /// Which cap the removals exceed, in one sentence without a full stop.
    pub fn exceeded_by(&self, removals: &Removals) -> Option<String> {
        let Removals { steps, bytes, of } = *removals;
        let would = format!("it would replace or withdraw {steps} of {of} placed assets");
        if let Some(count) = self.count.filter(|count| steps > *count) {
            return Some(format!("{would}; the cap is {count}"));
        }
        let share = steps as f64 / of.max(1) as f64;
        if let Some(cap) = self.share.filter(|cap| steps > FEW && share > *cap) {
            let (share, cap) = (share * 100.0, cap * 100.0);
            return Some(format!("{would}, {share:.1} %; the cap is {cap} %"));
        }
        let bytes = ByteSize(bytes);
        let cap = self.bytes.filter(|cap| bytes > *cap)?;
        Some(format!("{would}, {bytes}; the cap is {cap}"))
    }
}
