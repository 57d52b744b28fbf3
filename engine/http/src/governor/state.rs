//! What a governor learnt and what it shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::BudgetStanding;
use super::options::GovernorOptions;

/// What a governor learnt about an account, to be given to the next one of the same account: it
/// then starts near the ceiling. Numbers that make no sense are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GovernorState {
    /// The ceiling's estimate, in calls/s.
    #[serde(rename = "ceiling_calls_per_second")]
    pub ceiling: f64,
    /// How many calls the service forgives above it; `None` while only one limit was met.
    #[serde(rename = "burst_calls")]
    pub burst: Option<f64>,
    /// How long the last limit's pause was, in seconds.
    #[serde(rename = "pause_seconds")]
    pub pause: f64,
}

impl GovernorState {
    /// The same with its numbers inside their bounds, if they are numbers.
    pub(super) fn bounded(&self, options: &GovernorOptions) -> Option<Self> {
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        if !sound(self.ceiling) || self.ceiling == 0.0 || !sound(self.pause) {
            return None;
        }
        Some(GovernorState {
            ceiling: self.ceiling.clamp(options.rate_min, options.rate_max),
            burst: self
                .burst
                .filter(|burst| sound(*burst))
                .map(|burst| burst.clamp(1.0, 1e6)),
            pause: self.pause.min(options.settle_max.as_secs_f64()),
        })
    }
}

/// How many calls wait, by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Calls somebody waits for.
    pub interactive: usize,
    /// Calls that find out what changed.
    pub delta: usize,
    /// Calls that move an archive.
    pub bulk: usize,
}

impl Waiting {
    /// All of them.
    pub fn total(&self) -> usize {
        self.interactive + self.delta + self.bulk
    }
}

/// A governor at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GovernorSnapshot {
    /// The allowed rate in calls/s; `None` while no limit was ever met.
    pub rate: Option<f64>,
    /// The ceiling's estimate in calls/s; `None` while no limit was ever met.
    pub ceiling: Option<f64>,
    /// Calls/s that were answered and not limited, over the last ten seconds.
    pub delivered: f64,
    /// Calls that were sent.
    pub calls: u64,
    /// Calls that the service refused for its rate.
    pub limited: u64,
    /// How long nothing is sent yet because the service asked for it.
    pub paused_for: Duration,
    /// Calls that have a place now, their bodies included. Zero at rest.
    pub in_flight: usize,
    /// Calls that wait for the rate, a place or the end of a pause. Zero at rest.
    pub waiting: Waiting,
    /// The month's budget, where there is one.
    pub budget: Option<BudgetStanding>,
}
