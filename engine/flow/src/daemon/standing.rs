//! How flows stand, in words for people and for programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::order::PassOutcome;
use super::rules::{Pass, Trigger};
use super::windows::Rate;

/// The last pass of a flow that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPass {
    /// How much of the flow's work it was to do.
    pub pass: Pass,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Whether it came to its end.
    pub done: bool,
    /// How many of its steps failed.
    pub failed: u64,
    /// Why it failed as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl LastPass {
    pub(super) fn new(pass: Pass, began: Timestamp, ended: Timestamp, how: &PassOutcome) -> Self {
        let (done, failed, error) = match how {
            PassOutcome::Done { failed } => (true, *failed, None),
            PassOutcome::Stopped => (false, 0, None),
            PassOutcome::Failed(why) => (false, 0, Some(why.clone())),
        };
        LastPass {
            pass,
            began,
            ended,
            done,
            failed,
            error,
        }
    }
}

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// A pass runs.
    Running,
    /// A pass runs, and is asked to end.
    Stopping,
    /// A pass is wanted and something keeps it.
    Waiting,
    /// Nothing is to be done.
    Idle,
}

/// What happens to a flow next by time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upcoming {
    /// Its schedule says that everything is done.
    Schedule,
    /// A right ends, or something becomes ready.
    Due,
    /// Everything is looked at again, because enough time went by.
    Full,
    /// What may not be seen any more is taken back.
    Sweep,
    /// Somebody looks for changes, because nobody rings for it.
    Look,
    /// What failed is tried again.
    Again,
    /// Another window holds.
    Window,
}

/// How a flow stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The flow's name in the configuration.
    pub flow: String,
    /// What it does.
    pub doing: Doing,
    /// The same with the reason, in one sentence without a full stop.
    pub why: String,
    /// The pass that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// What made the pass that runs, or that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// When something happens next by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
    /// What happens then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_is: Option<Upcoming>,
    /// How fast its bytes may move now.
    pub rate: Rate,
    /// When another window holds; `None` where that never happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_until: Option<Timestamp>,
    /// Somebody rings when something changes, so that nobody has to look for it.
    pub rung_for: bool,
    /// How many passes in a row failed as a whole.
    pub failures: u32,
    /// Since the daemon began it has come to the end of a pass, or it waits for nothing but its time.
    pub settled: bool,
    /// The last pass that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastPass>,
    /// Everything that was there at this moment has been looked at: when the last full pass that came to its end began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_as_of: Option<Timestamp>,
}
