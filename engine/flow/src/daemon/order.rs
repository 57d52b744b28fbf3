//! What the scheduler wants done, and what it is told of passes.

use jiff::Timestamp;

use super::rules::{Pass, Trigger};

/// What is to be done at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A pass begins. It runs until [`Scheduler::ended`](super::Scheduler::ended) is told.
    Start {
        /// Of which flow.
        flow: String,
        /// How much of its work.
        pass: Pass,
        /// Why.
        why: Trigger,
    },
    /// Something may have changed while a pass works: it looks beside its run, as far as it can. The next pass looks in any
    /// case.
    Look {
        /// Of which flow.
        flow: String,
    },
    /// A running pass is to end in an orderly way; it goes on later.
    Stop {
        /// Of which flow.
        flow: String,
        /// Why, in one sentence without a full stop.
        why: String,
    },
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// It came to its end; some of its steps may have failed.
    Done {
        /// How many steps failed.
        failed: u64,
    },
    /// It was stopped before.
    Stopped,
    /// It failed as a whole: the reason, in one sentence without a full stop.
    Failed(String),
}

/// What is told of a pass that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PassEnded {
    /// How.
    pub outcome: PassOutcome,
    /// When the flow has to be looked at again at the latest: a right ends then, or something becomes ready. Of a pass that
    /// did not come to its end it is not asked, and what was said before holds.
    pub due: Option<Timestamp>,
    /// A random number from 0 to 1, by which waits after failures differ.
    pub jitter: f64,
}
