//! The port of the durable record: runs, their steps, contents by digest, placements and cursors.
//!
//! Every call takes a slice, so that one transaction serves many. Steps are leased with an expiry and
//! an attempt number; an outcome is accepted only from the attempt that holds the lease, so a worker
//! that was presumed dead cannot overwrite its successor. A step whose leases keep getting lost is not
//! handed out for ever: after a number of them it has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::asset::{Asset, AssetId, AssetPath, Cursor, Revision};
use crate::conflict::{Conflict, NewConflict, Resolution};
use crate::digest::{Blake3, ContentHash, Digests};
use crate::error::{Kind, Result};
use crate::journal::{CallCount, Note, Unfinished};
use crate::plan::Action;
use crate::ports::Placed;
use crate::proof::{CustodyRecord, FactsWanted, RunFacts, RunOrigin};
use crate::spool::Spool;

/// Names one run. Sorts by time of start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A fresh id.
    pub fn fresh() -> Self {
        RunId(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names one step; unique in its ledger, ascending in the order of insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub i64);

/// Names one process that takes steps. Fresh at every start, so a restarted worker never inherits a
/// lease by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkerId(pub Arc<str>);

impl WorkerId {
    /// A fresh id.
    pub fn fresh() -> Self {
        WorkerId(Uuid::now_v7().to_string().into())
    }
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its steps are being written; without this mark a half-written plan would look complete.
    Planning,
    /// Steps are open or being worked on.
    Running,
    /// Every step has ended.
    Finished,
    /// It was stopped and can be resumed.
    Stopped,
    /// Its plan was never completely written; nothing of it ran and nothing will.
    Abandoned,
}

impl RunState {
    const ALL: [RunState; 5] = [
        RunState::Planning,
        RunState::Running,
        RunState::Finished,
        RunState::Stopped,
        RunState::Abandoned,
    ];

    /// The word used in JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Planning => "planning",
            RunState::Running => "running",
            RunState::Finished => "finished",
            RunState::Stopped => "stopped",
            RunState::Abandoned => "abandoned",
        }
    }

    /// The state of a word written by [`RunState::word`].
    pub fn from_word(word: &str) -> Option<RunState> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// True while steps of the run may be taken: not before its plan is complete, and never when it
    /// was given up before.
    pub fn gives_steps(self) -> bool {
        !matches!(self, RunState::Planning | RunState::Abandoned)
    }

    /// True while steps may be added to the run.
    pub fn takes_steps(self) -> bool {
        !matches!(self, RunState::Finished | RunState::Abandoned)
    }
}

/// One run of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunRecord {
    /// Its name.
    pub id: RunId,
    /// The flow's name in the configuration.
    pub flow: String,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started: Timestamp,
    /// When its last step ended.
    pub finished: Option<Timestamp>,
    /// Assets that its plan found placed and unchanged: they have no steps, because there may be millions.
    pub unchanged: Tally,
    /// By what it was decided; `None` until its plan is complete, and for runs of versions that did not record it.
    pub origin: Option<RunOrigin>,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Waits to be taken.
    Open,
    /// A worker has it.
    Leased,
    /// Did what it was to do.
    Done,
    /// Nothing was to be done.
    Skipped,
    /// A person must settle something first.
    Held,
    /// Gave up; the message says why.
    Failed,
}

impl StepState {
    const ALL: [StepState; 6] = [
        StepState::Open,
        StepState::Leased,
        StepState::Done,
        StepState::Skipped,
        StepState::Held,
        StepState::Failed,
    ];

    /// The word used in JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            StepState::Open => "open",
            StepState::Leased => "leased",
            StepState::Done => "done",
            StepState::Skipped => "skipped",
            StepState::Held => "held",
            StepState::Failed => "failed",
        }
    }

    /// The state of a word written by [`StepState::word`].
    pub fn from_word(word: &str) -> Option<StepState> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// True when no worker will touch the step again in this run.
    pub fn is_terminal(self) -> bool {
        !matches!(self, StepState::Open | StepState::Leased)
    }
}

/// A step to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
    /// What it does.
    pub action: Action,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// [`StepState::Open`] for steps that act, a terminal state for skips and holds.
    pub state: StepState,
    /// The endpoint the asset is at, by its name in the configuration.
    pub endpoint: String,
    /// The asset there.
    pub asset: AssetId,
    /// At which revision.
    pub revision: Revision,
    /// Where it is shown.
    pub path: AssetPath,
    /// Number of bytes.
    pub size: u64,
    /// Everything the flow needs to run the step, as JSON.
    pub payload: String,
}

/// A step that this worker holds until the lease expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedStep {
    /// Which step.
    pub id: StepId,
    /// The fencing number: outcomes of older attempts are refused.
    pub attempt: u32,
    /// What it does.
    pub action: Action,
    /// Number of bytes.
    pub size: u64,
    /// What [`NewStep::payload`] said.
    pub payload: String,
}

/// What is known about one content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRecord {
    /// The block hash that sources state in listings.
    pub content_hash: ContentHash,
    /// The digest we trust.
    pub blake3: Blake3,
    /// Number of bytes.
    pub size: u64,
}

/// Where Windlass put an asset: the memory that makes a second run empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The flow that did it.
    pub flow: String,
    /// The endpoint it came from, by its name in the configuration.
    pub source: String,
    /// The asset there.
    pub source_asset: AssetId,
    /// The revision that was taken.
    pub source_revision: Revision,
    /// Where the source showed it then.
    pub source_path: AssetPath,
    /// The endpoint it went to.
    pub sink: String,
    /// What the sink holds.
    pub placed: Placed,
    /// Digests of the bytes.
    pub digests: Digests,
    /// Digest of the draft that was applied, to see when metadata must be updated.
    pub draft_digest: Blake3,
    /// The folder or collection at the sink; empty for what versions placed that did not record it.
    #[serde(default)]
    pub collection: AssetPath,
    /// The asset was there for another source asset and only linked: its metadata and versions are not this one's.
    #[serde(default)]
    pub linked: bool,
}

impl Placement {
    /// What a placement is of: a ledger has one for each flow, endpoint and asset there.
    pub fn of(&self) -> (&str, &str, &AssetId) {
        (&self.flow, &self.source, &self.source_asset)
    }

    /// The same as one text, by which [`Sharing::first`] is the first.
    pub fn sort_key(&self) -> String {
        format!(
            "{}\u{1}{}\u{1}{}",
            self.flow, self.source, self.source_asset
        )
    }
}

/// Who stands for one asset of a sink, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// How many placements there are of it.
    pub files: u64,
    /// Whether one of them brought it; the others are linked to it.
    pub is_owned: bool,
    /// The [`Placement::sort_key`] of the first of them; empty without any.
    pub first: String,
    /// How many of them are in each collection, by its folded path; the empty path where that is not known.
    pub collections: BTreeMap<String, u64>,
}

/// What could not be placed, as the outcome says it; with the outcome's reason and the ledger's time it
/// becomes a [`Hold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// The flow that holds it.
    pub flow: String,
    /// The endpoint it is at, by its name in the configuration.
    pub source: String,
    /// The asset there.
    pub source_asset: AssetId,
    /// The revision that could not be placed.
    pub source_revision: Revision,
    /// Digest of the draft that it was to become.
    pub draft_digest: Blake3,
}

/// An asset that a run could not place and that is not tried again by itself.
///
/// It counts while the asset has the same revision and would become the same; a change of either, or a
/// person who asks for it, tries again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The flow that held it.
    pub flow: String,
    /// The endpoint it is at, by its name in the configuration.
    pub source: String,
    /// The asset there.
    pub source_asset: AssetId,
    /// The revision that could not be placed.
    pub source_revision: Revision,
    /// Digest of the draft that it was to become.
    pub draft_digest: Blake3,
    /// What must be settled.
    pub reason: String,
    /// When the ledger recorded it; a newer hold of the same asset starts anew.
    pub since: Timestamp,
}

impl NewHold {
    /// What the ledger keeps of an outcome that it recorded at `since`.
    pub fn into_hold(self, reason: String, since: Timestamp) -> Hold {
        Hold {
            flow: self.flow,
            source: self.source,
            source_asset: self.source_asset,
            source_revision: self.source_revision,
            draft_digest: self.draft_digest,
            reason,
            since,
        }
    }
}

/// What was placed and taken back: the memory that makes a withdrawal provable, and is gone once the asset is placed
/// again.
///
/// It is of the placement that it names. Where the asset was placed as another one by the time the outcome is recorded,
/// that one stays and nothing is kept but the record of the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// What stood there.
    pub placement: Placement,
    /// Why it was taken back, in one sentence without a full stop.
    pub reason: String,
    /// Where it is kept; `None` where it was deleted, or was gone already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<AssetPath>,
    /// The links to it that were revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Who is known to have had access to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The note that stands in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Placed>,
    /// When the ledger recorded it, by its own clock to the millisecond; what an outcome says here is not looked at.
    pub at: Timestamp,
}

impl Withdrawal {
    /// Whether this is the placement that was taken back, whatever else is known of it now.
    pub fn is_of(&self, placement: &Placement) -> bool {
        let named = &self.placement;
        named.of() == placement.of()
            && named.sink == placement.sink
            && named.placed.asset == placement.placed.asset
    }
}

/// How a leased step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done; the placement, and with it the content, is recorded in the same transaction.
    Done {
        /// What is now where; `None` for steps that place nothing.
        placement: Option<Box<Placement>>,
        /// Bytes that really moved.
        bytes_moved: u64,
    },
    /// What was placed is taken back: recorded in the same transaction, in which its placement and any hold of the asset
    /// end. The ledger's time counts, not [`Withdrawal::at`].
    Withdrawn(Box<Withdrawal>),
    /// It cannot go on without a person.
    Held {
        /// What must be settled.
        reason: String,
        /// What later plans find as a [`Hold`], until it is placed after all; recorded in the same
        /// transaction. `None` where the next plan is to decide afresh.
        hold: Option<Box<NewHold>>,
    },
    /// It is over for this run.
    Failed {
        /// What went wrong.
        kind: Kind,
        /// Why, with context.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// It goes back to the queue, not before the delay is over.
    Retry {
        /// How long to leave it alone.
        after: Duration,
        /// Why this attempt did not end it.
        message: String,
    },
}

/// How long a jot may stay without the durability that survives a power cut.
pub const JOT_AGE_MAX: Duration = Duration::from_secs(2);

/// How many lost leases a step survives before it counts as what kills its workers. Fifty, because workers
/// take hundreds of steps ahead: most of those whose lease a crash costs had not begun, and a machine that
/// restarts now and then must not fail them.
pub const LOST_LEASES_MAX: u32 = 50;

impl Outcome {
    /// What becomes of a step whose lease was lost for the `times`th time, the limit: its worker
    /// vanished each time, so the step itself is the likeliest cause.
    pub fn lost(times: u32) -> Outcome {
        Outcome::Failed {
            kind: Kind::Unexpected,
            message: format!(
                "given up: {times} times a worker took it and vanished before it ended"
            ),
            hint: Some(
                "look at this asset and at the log of those runs, then run the flow again"
                    .to_owned(),
            ),
        }
    }
}

/// One leased step and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Which step.
    pub id: StepId,
    /// The attempt that ended it.
    pub attempt: u32,
    /// How long the attempt took.
    pub took: Duration,
    /// How.
    pub outcome: Outcome,
}

/// A step as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Which step.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// How it stands.
    pub state: StepState,
    /// How often it was taken.
    pub attempt: u32,
    /// The endpoint the asset is at.
    pub endpoint: String,
    /// The asset there.
    pub asset: AssetId,
    /// At which revision.
    pub revision: Revision,
    /// Where it is shown.
    pub path: AssetPath,
    /// Number of bytes.
    pub size: u64,
    /// Bytes that really moved.
    pub bytes_moved: u64,
    /// Why it failed, was held or is being retried.
    pub message: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The stable code of a failure's kind.
    pub error: Option<String>,
    /// What is now at the sink.
    pub placed: Option<Placed>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How long its last attempt took, in milliseconds, where that was recorded.
    pub took_ms: Option<u64>,
}

/// The durable record.
///
/// Calls return when what they wrote survives a power cut. All but [`Ledger::add_steps`] are safe to
/// repeat; a run whose steps could not be added is planned anew.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// The name that the ledger was given when it was made; copies keep it.
    async fn id(&self) -> Result<String>;

    /// Scratch space of this process, for listings that memory should not hold.
    async fn spool(&self) -> Result<Box<dyn Spool>>;

    /// Records a run in state [`RunState::Planning`]. A run that is there already stays as it is;
    /// `Conflict` when it belongs to another flow.
    async fn begin_run(&self, run: RunId, flow: &str) -> Result<()>;

    /// Records steps of a run, in order; all of them or none.
    ///
    /// Errors: `NotFound` without the run, `Conflict` when it is finished or abandoned,
    /// `InvalidInput` for a step that says it is leased.
    async fn add_steps(&self, run: RunId, steps: &[NewStep]) -> Result<()>;

    /// Moves a run to another state; `Finished` also records the time, once. `NotFound` without the
    /// run.
    async fn set_run_state(&self, run: RunId, state: RunState) -> Result<()>;

    /// Records what the plan of a run found unchanged, and by what it was decided. `NotFound` without the run.
    async fn set_planned(&self, run: RunId, unchanged: Tally, origin: &RunOrigin) -> Result<()>;

    /// The run of this name.
    async fn run(&self, run: RunId) -> Result<Option<RunRecord>>;

    /// The newest runs first, at most `limit`; of one flow or of all.
    async fn runs(&self, flow: Option<&str>, limit: u32) -> Result<Vec<RunRecord>>;

    /// Takes up to `limit` open steps that are due, those due longest first, for `ttl`. Nothing of a
    /// run that does not give steps ([`RunState::gives_steps`]) or is not there.
    async fn lease(
        &self,
        run: RunId,
        worker: &WorkerId,
        limit: u32,
        ttl: Duration,
    ) -> Result<Vec<LeasedStep>>;

    /// Extends all leases of this worker by `ttl` from now.
    async fn renew(&self, worker: &WorkerId, ttl: Duration) -> Result<()>;

    /// Ends leases that expired; answers how many. Their steps go to the end of the queue, or have
    /// failed ([`Outcome::lost`]) when they were lost too often.
    async fn reap(&self, run: RunId) -> Result<u64>;

    /// Puts every leased step of this worker back at once: an orderly stop, which does not count as
    /// a lost lease. Answers how many.
    async fn release(&self, worker: &WorkerId) -> Result<u64>;

    /// Records outcomes. Answers for each whether it was accepted; a stale attempt or a step that is
    /// not leased is not, and nothing of it is recorded. The first record of a content stays.
    async fn finish(&self, reports: &[StepReport]) -> Result<Vec<bool>>;

    /// Writes notes about steps in flight; durable when it returns. Answers for each whether it was
    /// accepted: a stale attempt's is not. The notes of a step end with it; a retry keeps them. What was
    /// jotted before comes before: a new session or a restart forgets jotted parts too.
    ///
    /// Errors: `InvalidInput` for notes that no ledger can keep ([`Note::check`]); none of the call counts.
    async fn note(&self, notes: &[Note]) -> Result<Vec<bool>>;

    /// Writes one note so that it survives the end of this process, and durably before long
    /// ([`JOT_AGE_MAX`]). Cheap enough to be called for every part; never waits for a disk. The attempt is
    /// checked when it becomes durable, at the latest when the step is taken again: what was jotted by the
    /// attempt that held the step last counts until then.
    ///
    /// Errors: `InvalidInput` as for [`Ledger::note`]; `Capacity` where the disk is full, or where too much
    /// waits to become durable; `Config` where it cannot be written. An error costs bytes, never correctness.
    fn jot(&self, note: &Note) -> Result<()>;

    /// What was noted of each step, jots included, in the same order.
    async fn unfinished(&self, steps: &[StepId]) -> Result<Vec<Unfinished>>;

    /// Adds calls to the counts of their accounts' months. Answers the new counts, in the same order;
    /// adding none asks.
    async fn count_calls(&self, counts: &[CallCount]) -> Result<Vec<u64>>;

    /// How long until the next open step of the run is due: zero when one is due now, `None` when
    /// none may be taken.
    async fn next_due(&self, run: RunId) -> Result<Option<Duration>>;

    /// The steps of a run after `after`, ascending, at most `limit`.
    async fn steps(&self, run: RunId, after: Option<StepId>, limit: u32)
    -> Result<Vec<StepRecord>>;

    /// How many steps of a run stand in each state, with their bytes and the bytes that moved.
    async fn tally(&self, run: RunId) -> Result<Vec<(StepState, Action, Tally)>>;

    /// The steps of a run about the asset at a path, each with what [`NewStep::payload`] said.
    async fn steps_at(&self, run: RunId, path: &AssetPath) -> Result<Vec<(StepRecord, String)>>;

    /// The steps of a run after `after` that have not ended, ascending, at most `limit`, each with what
    /// [`NewStep::payload`] said.
    async fn unended(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<(StepRecord, String)>>;

    /// What a report of a run is made of. `NotFound` without the run.
    async fn facts(&self, run: RunId, wanted: FactsWanted) -> Result<RunFacts>;

    /// How attempts ended, of one run or of all: those after number `after`, ascending, at most `limit`.
    async fn custody(
        &self,
        run: Option<RunId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CustodyRecord>>;

    /// How attempts at one step ended, in the order in which they did.
    async fn attempts(&self, step: StepId) -> Result<Vec<CustodyRecord>>;

    /// What is known of each content, in the same order.
    async fn contents(&self, hashes: &[ContentHash]) -> Result<Vec<Option<ContentRecord>>>;

    /// What the flow placed of each source asset, in the same order.
    async fn placements(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Placement>>>;

    /// What the flow placed from one source, in the order of source assets, those after `after`, at most `limit`.
    async fn placements_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Placement>>;

    /// What any flow placed as each of these assets of a sink, in the same order.
    async fn placed_as(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Vec<Placement>>>;

    /// Who stands for each of these assets of a sink, in the same order.
    async fn sharing(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Sharing>>;

    /// What any flow placed last at the sink with each of these contents, given by size and hash, in the same order.
    async fn holding(
        &self,
        sink: &str,
        contents: &[(u64, ContentHash)],
    ) -> Result<Vec<Option<Placement>>>;

    /// Whether anything of each size was placed at the sink, in the same order: what has a size of its own is no
    /// duplicate.
    async fn holds_size(&self, sink: &str, sizes: &[u64]) -> Result<Vec<bool>>;

    /// Whether the flow placed each source asset last at just this revision and from just this path, in the same
    /// order: all that a pass over everything needs to know, at a fraction of what placements cost. Not what is linked
    /// to an asset that stands for no other any more: that one needs a decision.
    async fn unchanged(&self, flow: &str, source: &str, assets: &[Asset]) -> Result<Vec<bool>>;

    /// What the flow holds of each source asset, in the same order. An asset that is placed is not
    /// held any more.
    async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>>;

    /// What the flow took back of each source asset and did not place again, in the same order.
    async fn withdrawals(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Withdrawal>>>;

    /// The same of all source assets, in the order of them, those after `after`, at most `limit`.
    async fn withdrawals_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Withdrawal>>;

    /// Notes what a pass of a flow found. What is noted already with the same question and revisions keeps its time and
    /// what was chosen, and has met one more pass; what is different by now begins anew and undecided.
    /// Of two about one subject in a call the later counts.
    ///
    /// Errors: `InvalidInput` for more bytes than any asset has, and for a subject that no ledger can look up.
    async fn note_conflicts(&self, conflicts: &[NewConflict]) -> Result<()>;

    /// What waits, in the order of flows and subjects, after `after`, at most `limit`; of one flow or of all.
    async fn conflicts(
        &self,
        flow: Option<&str>,
        after: Option<(&str, &AssetId)>,
        limit: u32,
    ) -> Result<Vec<Conflict>>;

    /// Notes what was chosen, as long as the conflict is about these revisions; `None` takes it back. Answers whether it
    /// was noted.
    async fn resolve_conflict(
        &self,
        conflict: &NewConflict,
        resolution: Option<Resolution>,
    ) -> Result<bool>;

    /// Forgets what a flow found about these subjects: they agree again, or are no pair any more.
    async fn end_conflicts(&self, flow: &str, subjects: &[AssetId]) -> Result<()>;

    /// The cursor kept under a name.
    async fn cursor(&self, name: &str) -> Result<Option<Cursor>>;

    /// Keeps a cursor under a name; `None` forgets it.
    async fn set_cursor(&self, name: &str, cursor: Option<&Cursor>) -> Result<()>;

    /// Writes what is pending and closes. Later calls fail, except to close again.
    async fn close(&self) -> Result<()>;
}

/// Sums over steps of one state and action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Number of steps.
    pub steps: u64,
    /// Bytes of their assets.
    pub bytes: u64,
    /// Bytes that really moved.
    pub bytes_moved: u64,
}
