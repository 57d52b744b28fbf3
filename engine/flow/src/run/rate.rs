//! How fast something grows, as an average that forgets.

use std::time::Duration;

/// In what time two thirds of the past are forgotten. Short enough to show a change of the line, long enough
/// to bridge the pauses between chunks and batches.
const MEMORY: Duration = Duration::from_secs(10);

/// An exponentially weighted average of a growth per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    average: f64,
    /// The share of the average that rests on what was seen: below 1 in the first seconds.
    weight: f64,
}

impl Rate {
    /// Takes in what was added over a time; a time of zero says nothing.
    pub(super) fn add(&mut self, amount: u64, over: Duration) {
        let seconds = over.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let kept = (-seconds / MEMORY.as_secs_f64()).exp();
        // Amounts are far below 2^52, where a float counts exactly.
        let speed = amount as f64 / seconds;
        self.average = self.average * kept + speed * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
    }

    /// The average per second, of what was seen so far.
    pub(super) fn per_second(&self) -> f64 {
        if self.weight <= 0.0 {
            return 0.0;
        }
        self.average / self.weight
    }

    /// How long `amount` more takes at this rate; `None` while next to nothing moves.
    pub(super) fn time_for(&self, amount: u64) -> Option<Duration> {
        if amount == 0 {
            return Some(Duration::ZERO);
        }
        let seconds = amount as f64 / self.per_second();
        // Beyond a year nobody plans by it.
        (seconds.is_finite() && seconds < 366.0 * 86_400.0)
            .then(|| Duration::from_secs_f64(seconds))
    }
}
