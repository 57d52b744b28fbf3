//! What every ledger must do, whatever it is made of. One function a fact; [`conformance_suite`] makes
//! a test of each.
//!
//! [`conformance_suite`]: crate::conformance_suite

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use windlass_core::memory::ManualClock;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Blake3, CallCount, Clock, ContentHash, Cursor, CustodyEvent,
    Digests, Evidence, FactsWanted, HookIdentity, Kind, LeasedStep, Ledger, NewHold, NewStep, Note,
    Noted, Outcome, Part, Placed, Placement, Readable, Revision, RunId, RunOrigin, RunState, Spool,
    SpoolEntry, SpoolOrder, StepId, StepReport, StepState, Tally, Unfinished, WorkerId,
};

/// A ledger under test. Its lost-lease limit is the default one.
pub struct Fixture {
    /// The ledger, empty.
    pub ledger: Arc<dyn Ledger>,
    /// The clock that it reads.
    pub clock: Arc<ManualClock>,
    /// Whatever must live as long as the test: a folder, a server.
    pub keep: Box<dyn Any + Send>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

/// Makes a test of every fact, for ledgers that `$make` makes: an `async fn() -> Fixture`.
#[macro_export]
macro_rules! conformance_suite {
    ($make:path) => {
        $crate::conformance_suite! { $make =>
            a_run_is_recorded_once_and_listed_newest_first
            a_run_keeps_the_time_it_first_finished
            what_cannot_be_recorded_is_refused_by_kind
            nothing_is_taken_from_a_plan_that_is_not_complete
            steps_are_taken_once_in_order_and_no_more_than_asked
            steps_of_other_runs_are_left_alone
            a_retry_comes_due_after_its_delay
            an_expired_lease_goes_back_and_its_late_outcome_is_refused
            a_renewed_lease_does_not_expire
            a_released_step_is_open_at_once_and_does_not_count_as_lost
            a_step_that_keeps_being_lost_fails_in_the_end
            what_was_placed_is_found_again
            a_newer_placement_replaces_the_older_one
            what_a_run_holds_is_found_again_until_it_is_placed
            the_first_record_of_a_content_stays
            a_stale_outcome_records_nothing
            a_report_that_is_repeated_counts_once
            a_call_with_thousands_of_reports_counts_each
            outcomes_are_told_in_full_by_the_report
            steps_are_read_in_pages
            sums_follow_every_step_through_its_states
            look_ups_keep_the_order_of_their_keys
            notes_of_a_step_in_flight_are_found_again
            a_new_session_forgets_the_parts_of_the_old_one
            a_restart_forgets_everything_noted
            jots_before_a_new_session_or_a_restart_are_forgotten_with_it
            parts_ascend_and_do_not_overlap
            bytes_that_no_content_has_are_not_noted
            notes_of_a_stale_attempt_do_not_count
            a_retry_keeps_what_was_noted_and_an_end_forgets_it
            every_end_of_a_step_forgets_what_was_noted
            a_released_step_keeps_what_was_noted
            jots_of_the_last_holder_count_until_the_step_is_taken_again
            jots_of_a_process_that_ended_go_to_the_next_attempt
            calls_are_counted_by_account_and_month
            what_a_plan_found_unchanged_is_kept_with_its_run
            a_ledger_keeps_its_name
            custody_tells_every_attempt_in_order
            facts_of_a_run_are_counted_where_its_steps_are
            steps_about_a_path_are_found_with_what_they_were_to_do
            steps_that_have_not_ended_are_read_in_order_with_what_they_are_to_do
            placements_are_read_in_order_and_found_by_what_they_became
            contents_are_found_where_they_were_placed_last
            a_link_is_unchanged_while_its_asset_stands_for_another
            what_is_taken_back_is_remembered_until_it_is_placed_again
            a_step_that_took_something_back_is_done_and_placed_nothing
            what_is_taken_back_twice_is_remembered_as_it_was_last
            a_stale_withdrawal_takes_nothing_back
            what_is_placed_as_another_by_now_is_not_taken_back
            of_a_placement_and_a_withdrawal_in_one_call_the_later_counts
            what_is_taken_back_is_not_held_any_more
            what_is_taken_back_counts_for_nothing
            withdrawals_are_read_in_pages_in_the_order_of_assets
            any_text_of_a_withdrawal_survives
            what_the_ledger_does_not_know_as_placed_is_taken_back_all_the_same
            what_passes_find_is_kept_with_its_time_and_counted
            what_is_different_by_now_begins_anew_and_undecided
            a_choice_counts_for_just_the_revisions_it_was_about
            what_is_over_is_forgotten_and_begins_anew
            of_two_conflicts_about_one_subject_in_a_call_the_later_counts
            conflicts_are_read_in_pages_in_the_order_of_flows_and_subjects
            any_text_of_a_conflict_survives
            scratch_space_remembers_contents
            scratch_space_applies_entries_in_order
            scratch_space_keeps_assets_of_one_path_under_keys_of_their_own
            scratch_spaces_are_apart_and_hold_thousands
            a_cursor_is_kept_until_it_is_forgotten
            any_text_survives
            a_closed_ledger_refuses_to_go_on
        }
    };
    ($make:path => $($fact:ident)*) => {
        $(
            #[tokio::test]
            async fn $fact() {
                let fixture = $make().await;
                $crate::conformance::$fact(&*fixture.ledger, &fixture.clock).await;
            }
        )*
    };
}

mod conflicts;
mod notes;
mod outcomes;
mod proof;
mod queue;
mod runs;
mod server;
mod withdrawals;

pub use conflicts::*;
pub use notes::*;
pub use outcomes::*;
pub use proof::*;
pub use queue::*;
pub use runs::*;
pub use server::TestServer;
pub use withdrawals::*;

/// How long leases last here.
const TTL: Duration = Duration::from_secs(60);

/// A step that creates asset number `n`, of `n` bytes.
pub fn step(n: u64) -> NewStep {
    NewStep {
        action: Action::Create,
        reason: "new, never placed before".to_owned(),
        state: StepState::Open,
        endpoint: "agency".to_owned(),
        asset: AssetId::new(format!("id:{n}")),
        revision: Revision::new(format!("rev-{n}")),
        path: AssetPath::new(&format!("/in/{n}.tif")),
        size: n,
        payload: format!("{{\"n\":{n}}}"),
    }
}

/// A placement of asset number `n` with bytes of its own.
pub fn placement(n: u64) -> Placement {
    let bytes = n.to_le_bytes();
    Placement {
        flow: "ingest".to_owned(),
        source: "agency".to_owned(),
        source_asset: AssetId::new(format!("id:{n}")),
        source_revision: Revision::new(format!("rev-{n}")),
        source_path: AssetPath::new(&format!("/in/{n}.tif")),
        sink: "dam".to_owned(),
        placed: Placed {
            asset: AssetId::new(format!("{n}")),
            revision: Revision::new("1"),
            size: 8,
            content_hash: None,
            evidence: Evidence::E1,
        },
        digests: Digests {
            size: 8,
            blake3: Blake3::of(&bytes),
            content_hash: Some(ContentHash::of(&bytes)),
        },
        draft_digest: Blake3::of(b"draft"),
        collection: AssetPath::new("/library"),
        linked: false,
    }
}

/// The asset that was placed, as its source lists it still.
fn asset_of(placement: &Placement) -> Asset {
    Asset {
        id: placement.source_asset.clone(),
        path: placement.source_path.clone(),
        revision: placement.source_revision.clone(),
        size: 8,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

/// The outcome of a step that placed something.
pub fn done(placement: Placement) -> Outcome {
    Outcome::Done {
        bytes_moved: placement.digests.size,
        placement: Some(Box::new(placement)),
    }
}

/// A report of a leased step.
pub fn report(step: &LeasedStep, outcome: Outcome) -> StepReport {
    StepReport {
        id: step.id,
        attempt: step.attempt,
        took: Duration::from_millis(20),
        outcome,
    }
}

/// What could not be placed of asset number `n`, to become what `draft` stands for.
pub fn new_hold(n: u64, draft: &str) -> NewHold {
    let Placement {
        flow,
        source,
        source_asset,
        source_revision,
        ..
    } = placement(n);
    NewHold {
        flow,
        source,
        source_asset,
        source_revision,
        draft_digest: Blake3::of(draft.as_bytes()),
    }
}

fn held() -> Outcome {
    Outcome::Held {
        reason: "somebody must look".to_owned(),
        hold: None,
    }
}

/// A running run with `count` open steps.
async fn running(ledger: &dyn Ledger, count: u64) -> RunId {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let steps: Vec<NewStep> = (1..=count).map(step).collect();
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    run
}

async fn take(ledger: &dyn Ledger, run: RunId, worker: &WorkerId, limit: u32) -> Vec<LeasedStep> {
    ledger.lease(run, worker, limit, TTL).await.unwrap()
}

async fn states(ledger: &dyn Ledger, run: RunId) -> Vec<StepState> {
    let steps = ledger.steps(run, None, 100).await.unwrap();
    steps.iter().map(|step| step.state).collect()
}
