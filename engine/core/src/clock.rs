//! Wall-clock time as a port, so that a simulation owns it.

use jiff::Timestamp;

/// Tells the time of day. Durations and sleeps come from the runtime, never from here.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
