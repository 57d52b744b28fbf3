//! How often a route answers. Who asks more often is told to come back: a ring that is lost costs nothing but time.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Requests a second.
const RATE: f64 = 20.0;

/// Requests at once after a silence.
const BURST: f64 = 60.0;

/// How often one route may be asked.
#[derive(Debug)]
pub(crate) struct Pace {
    left: Mutex<(f64, Instant)>,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            left: Mutex::new((BURST, Instant::now())),
        }
    }
}

impl Pace {
    /// Whether one more request may pass now.
    pub(crate) fn passes(&self) -> bool {
        // Nothing in there panics between two changes that belong together.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let earned = now.duration_since(left.1).as_secs_f64() * RATE;
        *left = ((left.0 + earned).min(BURST), now);
        if left.0 < 1.0 {
            return false;
        }
        left.0 -= 1.0;
        true
    }
}
