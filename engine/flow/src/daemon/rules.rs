//! What the configuration says of when a flow runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use super::windows::Windows;

/// How much of a flow's work a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pass {
    /// It only takes back what may not be seen any more: quick, and never bulk.
    Sweep,
    /// It does everything that is to be done; what a sweep does comes first in it.
    Full,
}

/// Which of several flows goes first, where not all can go at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Before others.
    High,
    /// As most.
    #[default]
    Normal,
    /// After others, but not for ever.
    Low,
}

/// What made somebody want a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The daemon began, or the flow is new.
    Start,
    /// Something may have changed.
    Ring,
    /// Nobody rings for this flow, and it is time to look.
    Poll,
    /// The schedule says so.
    Schedule,
    /// Enough time went by since the last one.
    Interval,
    /// A right ends, or something becomes ready, at this moment.
    Due,
    /// The last pass was stopped before its end, or failed as a whole.
    Again,
}

impl Trigger {
    /// Whether people or time ask for a change, and not for bulk.
    pub(super) fn is_change(self) -> bool {
        matches!(self, Trigger::Ring | Trigger::Poll | Trigger::Due)
    }
}

/// When one flow runs.
#[derive(Clone, Debug)]
pub struct FlowRules {
    /// The flow's name in the configuration.
    pub flow: String,
    /// Before which others.
    pub priority: Priority,
    /// At which times everything is done.
    pub schedule: Vec<Schedule>,
    /// After how long without one a full pass is made.
    pub full_every: Option<Duration>,
    /// After how long without a pass a sweep is made, also amid a full pass that takes longer.
    pub sweep_every: Option<Duration>,
    /// After how long without a pass somebody looks, where nobody rings; the pass is that of a ring.
    pub poll: Option<Duration>,
    /// What a ring makes; `None` where nothing is to be done at once.
    pub on_ring: Option<Pass>,
    /// What is made when the daemon begins.
    pub at_start: Option<Pass>,
    /// What is made when a right ends or something becomes ready.
    pub on_due: Pass,
    /// When full passes may run, and how fast.
    pub windows: Windows,
}
