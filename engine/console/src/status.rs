//! How a daemon stands, as `/status` answers it in JSON and as `windlass status` reads it.
//!
//! Members are only ever added, and who reads passes over those that it does not know. Sizes are bytes, spans seconds,
//! moments in UTC.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::RunId;
use windlass_flow::daemon::Standing;

/// How a daemon stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of which version it is.
    pub version: String,
    /// Every flow has passed once, and the daemon does not end.
    pub ready: bool,
    /// Why it is not ready, in sentences without a full stop.
    pub reasons: Vec<String>,
    /// Since when it runs.
    pub since: Timestamp,
    /// No pass begins any more.
    pub draining: bool,
    /// Its flows, by name.
    pub flows: Vec<FlowStatus>,
}

/// How one of its flows stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowStatus {
    /// What it does, why, and what comes next.
    #[serde(flatten)]
    pub standing: Standing,
    /// How far the pass is that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What it could not place, as the last full pass knew that came to its end; unknown before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<Backlog>,
    /// How many conflicts wait that it shares with its other way, when its last pass ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<u64>,
}

/// What a pass is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It connects, and sees what an earlier one left.
    #[default]
    Beginning,
    /// It lists what there is.
    Listing,
    /// It asks rules and the other side about what was listed.
    Deciding,
    /// It works on a run.
    Working,
    /// It reads back what is to be sealed.
    Sealing,
}

/// How far a pass is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Files that were listed, hashed or read back so far, whichever it is at.
    pub files: u64,
    /// The run that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Steps of the run that were open when it began.
    pub steps: u64,
    /// Those of them that have ended, however.
    pub steps_ended: u64,
    /// Bytes of the run's files.
    pub bytes: u64,
    /// Those of them that are there.
    pub bytes_there: u64,
    /// How fast bytes move.
    pub bytes_per_second: u64,
    /// How long the rest takes at this pace; `None` while that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
    /// Why nothing moves, once that lasts for some seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a flow could not place yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Files that wait until a person, or the other side, settles something.
    pub held: u64,
    /// Why they are held, the most frequent reasons first.
    pub reasons: Vec<HeldFor>,
    /// Files that are perhaps still being written, and wait by themselves.
    pub arriving: u64,
}

/// A reason for which files are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFor {
    /// In a sentence without a full stop.
    pub reason: String,
    /// How many are held for it.
    pub files: u64,
}
