//! One governor for each account: how fast calls go, who goes first, and what a month has left.
//!
//! # The control law
//!
//! A service refuses calls when a bucket is empty that holds `burst` calls and refills by `ceiling` calls
//! a second; it tells neither number, and each refusal costs a pause in which nothing may be sent. So limits
//! are dear, and rare enough to be worth learning from. The law keeps the idea of AIMD (rise while nothing
//! happens, fall by what was measured) and replaces its guess of how far to fall.
//!
//! 1. *Free.* While no limit was ever met, the rate starts generously and doubles in fractions of a
//!    second, but only while it is what holds calls back. Most runs never leave this phase, so it must not cost
//!    them anything; it must not jump either, because what is under way when the bucket runs dry is refused as a
//!    whole.
//! 2. *What a limit tells.* At a refusal the bucket is empty. Replaying our own sends through a bucket of
//!    supposed ceiling and burst shows whether the supposition would have emptied it just then. The first limit
//!    leaves a line of pairs that would; we guess a burst of some seconds and *search*: doubling more
//!    slowly from the guess. The second limit leaves another line, and the two cross in one point. From then on
//!    every limit gives the ceiling alone: how much went between two moments at which the bucket was empty. This
//!    is the delivered rate, pauses and forgiven bursts accounted for; our own setting, which may have been
//!    wild, does not enter.
//! 3. *Probe.* Calls resume a little below the ceiling, are back at it after `settle` seconds and then
//!    rise by the cube of time, as TCP CUBIC does: long and flat near what is known, fast where it was wrong.
//!    `settle` is a multiple of the pause that the last limit cost, so limits cost a fixed small share of the time,
//!    and of the calls refused for what was sent, so they are a fixed small share of those. Estimates that do not
//!    agree shorten it: then knowing is worth more than what a limit costs.
//! 4. *The ceiling moved.* Down: the next limits come early, and each measures only since the one
//!    before. Up: once more went through than the estimates allow, they are wrong, and the search begins again.
//!
//! Nothing in it is random: the same calls answered in the same way go at the same times. A share that others
//! take of the ceiling, other processes included, looks like a lower ceiling, and is measured alike.
//!
//! # The rest
//!
//! How many calls of a lane are under way at once is `width.rs`; who goes first is `queue.rs`; the month's
//! calls are `budget.rs`. One lock guards all of an account's state, is held for a few map operations a call, and
//! never while anything is awaited or woken.

mod budget;
mod lane;
mod options;
mod pace;
mod queue;
mod sends;
mod state;
mod width;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use budget::{BudgetForecast, BudgetStanding, CallBudget, MonthlyBudget};
pub(crate) use lane::{Admitted, Lane, Place};
pub use options::{GovernorOptions, LaneOptions, Priority};
use queue::{State, Wakers};
pub use state::{GovernorSnapshot, GovernorState, Waiting};

/// The governor of one account. Clones are the same one: give it to every client that uses the
/// account's credentials.
#[derive(Clone)]
pub struct Governor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    budget: Option<Arc<dyn CallBudget>>,
}

impl fmt::Debug for Governor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Governor")
    }
}

impl Default for Governor {
    fn default() -> Self {
        Governor::new(GovernorOptions::default())
    }
}

impl Governor {
    /// A governor that knows nothing of the account.
    pub fn new(options: GovernorOptions) -> Self {
        Governor::make(options, None)
    }

    /// A governor that starts near the ceiling which an earlier one found.
    pub fn with_state(options: GovernorOptions, known: &GovernorState) -> Self {
        Governor::make(options, Some(known))
    }

    fn make(options: GovernorOptions, known: Option<&GovernorState>) -> Self {
        let options = options.bounded();
        Governor(Arc::new(Shared {
            budget: options.budget.clone(),
            state: Mutex::new(State::new(options, known)),
        }))
    }

    /// What was learnt, for the next start; `None` while no limit was ever met.
    pub fn state(&self) -> Option<GovernorState> {
        self.lock().state()
    }

    /// How it stands.
    pub fn snapshot(&self) -> GovernorSnapshot {
        let snapshot = self.lock().snapshot(Instant::now());
        GovernorSnapshot {
            budget: self.budget().map(|budget| budget.standing()),
            ..snapshot
        }
    }

    /// How long nothing of the account is sent yet because the service asked for it.
    pub fn paused_for(&self) -> Duration {
        self.lock().paused_for(Instant::now())
    }

    /// One sentence without a full stop for why calls wait, such as `the archive asked for 42 s more`; `None` when
    /// neither a pause nor the rate holds one back. `name` is the account's, as people know it.
    pub fn why_waiting(&self, name: &str) -> Option<String> {
        let paused = self.paused_for();
        if !paused.is_zero() {
            return Some(format!("{name} asked for {} s more", whole_seconds(paused)));
        }
        let rate = self.lock().holding_rate()?;
        Some(format!("{name} is held to {rate:.1} calls/s"))
    }

    /// The month's budget, where there is one.
    pub fn budget(&self) -> Option<&Arc<dyn CallBudget>> {
        self.0.budget.as_ref()
    }

    /// Nothing of the account is sent for so long.
    pub(crate) fn pause(&self, wait: Duration) {
        let wakers = self.lock().pause(None, Instant::now(), wait);
        wake(wakers);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds that a person waits: never 0 while something is left.
pub(crate) fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

/// Wakes tasks. Only without the lock: a waker may run anything.
fn wake(wakers: Wakers) {
    for waker in wakers {
        waker.wake();
    }
}
