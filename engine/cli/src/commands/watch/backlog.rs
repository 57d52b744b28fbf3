//! What a pass could not place, with the reasons, as people and programs are told.

use std::cmp::Reverse;

use windlass_console::{Backlog, HeldFor};
use windlass_core::Action;
use windlass_flow::PlanSummary;

/// So many reasons are named; a plan names all.
const REASONS: usize = 5;

/// What a plan holds, with the most frequent reasons, and how much of what it saw still arrives.
pub(crate) fn backlog_of(plan: &PlanSummary) -> Backlog {
    let totals = plan.totals().into_iter();
    let held = totals.filter(|(action, _)| is_held(*action));
    let reasons = plan.reasons().into_iter();
    let mut reasons: Vec<HeldFor> = reasons
        .filter(|(action, _, _)| is_held(*action))
        .map(|(_, reason, files)| HeldFor { reason, files })
        .collect();
    reasons.sort_by_key(|reason| Reverse(reason.files));
    reasons.truncate(REASONS);
    Backlog {
        held: held.map(|(_, (files, _))| files).sum(),
        reasons,
        arriving: plan.waiting.assets,
    }
}

/// Adds files that were found out to be held only when they were worked on.
pub(super) fn find_out(backlog: &mut Backlog, files: u64) {
    if files > 0 {
        backlog.held += files;
        backlog.reasons.push(HeldFor {
            reason: "held when it was worked on".to_owned(),
            files,
        });
    }
}

/// Whether a step only says that something waits for somebody.
pub(super) fn is_held(action: Action) -> bool {
    matches!(action, Action::Hold | Action::Conflict)
}
