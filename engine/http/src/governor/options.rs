//! What a governor and its lanes are told when they are made: every number with its unit, its bound
//! and its reason. The defaults were chosen against simulated token buckets of 5 to 200 calls/s with
//! bursts of 10 to 400 calls; `src/tests/governor_sim.rs` is that simulation.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::CallBudget;

/// Who goes first where calls are scarce.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Somebody waits at a screen.
    Interactive,
    /// Finding out what changed. Also what a lane has that does not say.
    #[default]
    Delta,
    /// Moving an archive.
    Bulk,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Priority; 3] = [Priority::Interactive, Priority::Delta, Priority::Bulk];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// How a lane behaves. Start from [`LaneOptions::new`] and change fields.
#[derive(Clone, Debug)]
pub struct LaneOptions {
    /// The most calls under way at once, counted until their bodies end; at least 1.
    pub max: usize,
    /// How many may be under way before anything is known of the path; clamped to 1..=`max`. Eight
    /// calls that meet a service in a bad mood are few (eleven refusals in a row have drawn a penalty of
    /// 300 s); doubling each round trip, 64 are three away.
    pub start: usize,
    /// Whose calls these are.
    pub priority: Priority,
    /// Whether each call counts against the account's [`CallBudget`].
    pub counted: bool,
}

impl LaneOptions {
    /// A lane of ordinary priority whose calls are not counted.
    pub fn new(max: usize) -> Self {
        LaneOptions {
            max,
            start: 8,
            priority: Priority::default(),
            counted: false,
        }
    }
}

/// How a [`Governor`](super::Governor) behaves. Start from the default and change fields; numbers
/// outside their bounds are brought inside.
#[derive(Clone, Debug)]
pub struct GovernorOptions {
    /// Calls/s allowed at first, while no limit was ever met; above 0. With a round trip of 80 ms a
    /// bucket of 60 is then found empty with 9 calls under way: sandboxes and the service itself answer
    /// longer rows of refusals with minutes of penalty.
    pub first_rate: f64,
    /// Calls that may go at once at first; at least 1. The lanes' first widths bound it as well.
    pub first_burst: f64,
    /// How long the first rate takes to double while it holds calls back; above 0. 500 calls are
    /// through after 2 s, so a large upload does not notice.
    pub first_doubling: Duration,
    /// The lowest rate in calls/s, above 0: below it a run would look dead and could not notice that
    /// things got better.
    pub rate_min: f64,
    /// The highest rate in calls/s: beyond what any path of this engine does.
    pub rate_max: f64,
    /// How many seconds of its ceiling a service's burst is taken for while only one limit was met:
    /// buckets of 1 to 10 s are usual. Only the start of the search depends on it.
    pub burst_guess: Duration,
    /// How long the rate takes to double while the ceiling is searched for between the first and the
    /// second limit; above 0. Slow enough that the two limits are met by different shapes of traffic,
    /// which is what tells burst and ceiling apart.
    pub search_doubling: Duration,
    /// How far below the ceiling's estimate calls resume after a limit, as a share; 0 to 0.5. Jitter of
    /// arrival needs some room where the service has little burst.
    pub dip: f64,
    /// After how many pauses' length the rate is back at the estimate, while estimates agree. A limit
    /// costs one pause; meeting the next after 2 to 3 times this many keeps the loss near 5 %.
    pub settle_pauses: f64,
    /// The same while estimates do not agree yet, or when the last one is from an earlier run.
    pub settle_pauses_unsure: f64,
    /// Bounds of that time. The upper one bounds how long a raised ceiling goes unnoticed.
    pub settle_min: Duration,
    /// See `settle_min`.
    pub settle_max: Duration,
    /// The share of limited calls that probing aims to stay below, above 0. Half of what is
    /// acceptable (1 %), because limits come in clusters.
    pub limited_share: f64,
    /// One grant in so many goes to the lowest priority that waits; at least 2.
    pub trickle: u32,
    /// What the account may spend in a month, where that is bounded.
    pub budget: Option<Arc<dyn CallBudget>>,
}

impl Default for GovernorOptions {
    fn default() -> Self {
        GovernorOptions {
            first_rate: 64.0,
            first_burst: 12.0,
            first_doubling: Duration::from_millis(600),
            rate_min: 0.1,
            rate_max: 10_000.0,
            burst_guess: Duration::from_secs(5),
            search_doubling: Duration::from_secs(3),
            dip: 0.08,
            settle_pauses: 9.0,
            settle_pauses_unsure: 2.0,
            settle_min: Duration::from_secs(10),
            settle_max: Duration::from_secs(90),
            limited_share: 0.005,
            trickle: 16,
            budget: None,
        }
    }
}

impl GovernorOptions {
    /// The same with every number inside its bounds.
    pub(super) fn bounded(mut self) -> Self {
        let or = |value: f64, default: f64| if value.is_finite() { value } else { default };
        let default = GovernorOptions::default();
        self.rate_min = or(self.rate_min, default.rate_min).clamp(1e-3, 1e3);
        self.rate_max = or(self.rate_max, default.rate_max).clamp(self.rate_min, 1e6);
        self.first_rate =
            or(self.first_rate, default.first_rate).clamp(self.rate_min, self.rate_max);
        self.first_burst = or(self.first_burst, default.first_burst).clamp(1.0, 1e6);
        self.dip = or(self.dip, default.dip).clamp(0.0, 0.5);
        self.settle_pauses = or(self.settle_pauses, default.settle_pauses).clamp(1.0, 100.0);
        self.settle_pauses_unsure =
            or(self.settle_pauses_unsure, default.settle_pauses_unsure).clamp(1.0, 100.0);
        self.limited_share = or(self.limited_share, default.limited_share).clamp(1e-4, 0.5);
        let tick = Duration::from_millis(1);
        self.first_doubling = self.first_doubling.max(tick);
        self.search_doubling = self.search_doubling.max(tick);
        self.settle_min = self.settle_min.max(tick);
        self.settle_max = self.settle_max.max(self.settle_min);
        self.trickle = self.trickle.max(2);
        self
    }
}
