//! A level that goes up and down with guards, so that no way out of a function forgets the "down".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of things under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU64>);

/// One of the things a [`Gauge`] counts, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Gauge {
    /// Counts one more until the guard is dropped.
    pub(crate) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// How many there are.
    pub(crate) fn level(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
