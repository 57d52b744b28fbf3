//! The control plane: what shall be where, decided first, then done.
//!
//! A flow lists its source, lets the customer's hooks speak, asks the ledger what is already placed
//! and the sink what it would refuse, and decides a [`Plan`]: a plain value in which every asset has
//! one step with a reason, skips included. [`Runner`] writes the plan's steps to the ledger and works
//! them off; a run that was killed goes on from there. No service is known here by name.

mod audit;
mod caps;
mod compare;
mod coverage;
mod custody;
pub mod daemon;
mod delivery;
mod discover;
mod documents;
mod duplicates;
mod explain;
mod flows;
mod forecast;
mod groups;
mod observe;
mod pace;
mod plan;
mod planfile;
mod ready;
mod rebuild;
mod report;
mod rights;
mod run;
mod select;
mod since;
mod undo;
mod verify;

pub use audit::{Audit, AuditWriter, AuditedFile, Standing, Sum};
pub use caps::{RemovalCap, Removals};
pub use compare::{Comparison, Difference, DifferentStep, Differs, Tolerance};
pub use coverage::{CoverageMap, CoverageRow, Coverages, Filled};
pub use custody::{
    After, CUSTODY_DOCUMENT, Custody, CustodyHeader, CustodySums, export_custody, verify_custody,
};
pub use delivery::Clearance;
pub use duplicates::Duplicates;
pub use explain::{Explanation, explain};
pub use flows::Flow;
pub use flows::ingest::{Ingest, IngestOptions, Partners};
pub use flows::release::{
    ArchiveOptions, Closed, Keys, LocalizeOptions, Needs, PublishOptions, Relations, ReleaseFlow,
    ReleaseKind, ReleaseOptions, RenditionRule, Shared, Sight, Stale, TakingBack, VerifyRelease,
    template::Template,
};
pub use flows::restore::{Restore, RestoreOptions, restore_flow};
pub use flows::shadow::{Changed, Example, Shadow};
pub use flows::sync::{
    Authority, BytesAuthority, PlaceAuthority, Queue, Remembered, Removing, Sync, SyncHalf,
    SyncOptions, VerifySync, Way,
};
pub use forecast::{CallForecast, PlanCalls};
pub use groups::{DuplicateGroup, DuplicateSums, GroupWriter};
pub use observe::{Event, Observer, RunStatus, Silent};
pub use pace::Pace;
pub use plan::{
    Cause, MissingValue, Plan, PlanSummary, PlanWriter, PlannedStep, Sample, Unchanged, Work,
};
pub use planfile::{Forecast, PLAN_DOCUMENT, PlanFileReader, PlanFileWriter, PlanHeader, ReadPlan};
pub use ready::{Arrivals, Readiness, Waiting};
pub use rebuild::{Rebuild, Rebuilt};
pub use report::{
    AssetLine, ReasonLine, Report, Saved, TallyLine, Withdrawn, WithdrawnLine, each_asset,
};
pub use rights::{Passage, RightsGate, RightsOptions, Use};
pub use run::{
    Admission, Bell, Beside, Desk, Recorder, RunOptions, RunOutcome, Runner, Stop,
    next_run_to_resume,
};
pub use select::{Approval, Pick, Selection, Selector};
pub use since::Since;
pub use undo::{
    GivesBack, GivesNothing, TakenAway, Undo, UndoItem, UndoState, Verdict, give_up_undoing,
};
pub use verify::Verify;

#[cfg(test)]
mod tests;
