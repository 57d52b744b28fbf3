//! A clock that stands still until it is told to move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;

/// A clock for tests: starts at 2026-01-01 and moves only by [`ManualClock::advance`].
#[derive(Debug)]
pub struct ManualClock {
    epoch_ms: AtomicI64,
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock {
            epoch_ms: AtomicI64::new(1_767_225_600_000),
        }
    }
}

impl ManualClock {
    /// A clock that shows the given instant, to the millisecond.
    pub fn at(start: Timestamp) -> Self {
        ManualClock {
            epoch_ms: AtomicI64::new(start.as_millisecond()),
        }
    }

    /// Moves the hands forward; less than a millisecond is lost.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.epoch_ms
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_add(by))
            })
            .ok();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let now = self.epoch_ms.load(Ordering::Relaxed);
        Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
    }
}
