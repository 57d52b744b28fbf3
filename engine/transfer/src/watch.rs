//! The watch over one transfer: who is being waited for, since when, and what becomes of what hangs.
//!
//! *Moved* means that a chunk was read, that one was acknowledged, or that another phase was entered. A transfer in
//! which nothing moved for its patience has stalled and is given up, unless an endpoint says that it holds
//! requests back, or the transfer waits for memory. Patience is `stall_after`, and longer where more bytes are
//! under way than [`SLOWEST_BYTES_PER_SECOND`] would move in that time: a thin line is slow, not stalled.
//!
//! After half of its patience a transfer drops the calls that were under way all that time and makes them again, each
//! once: a connection that died unnoticed then costs a minute instead of the attempt. A read of a pinned revision
//! may always be repeated. An append may be where the sheet says that sessions survive (`resumes`), because such a
//! sink knows by offset what it has: what arrived the first time is recognised, not added. The one chunk of a small
//! content is not sent again so: it may already travel with others, and repeating the attempt costs as little.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep};
use windlass_core::{Endpoint, Error, Kind, Result};

use crate::progress::{Phase, Progress};

/// The slowest line on which a transfer does not count as stalled: 1 MiB/s for all of its bytes under way. Below,
/// the default window of 128 MiB would take longer than the default of two minutes.
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// Whom a call is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

/// See the module.
pub(crate) struct Watch<'a> {
    stall_after: Duration,
    source: &'a dyn Endpoint,
    sink: &'a dyn Endpoint,
    progress: Arc<Progress>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    under_way: BTreeMap<u64, Under>,
    bytes_under_way: u64,
    /// Until when a silence was explained.
    explained: Option<Instant>,
}

#[derive(Debug)]
struct Under {
    side: Side,
    range: Range<u64>,
}

/// A call that is under way, until it is dropped.
pub(crate) struct OnCall<'a> {
    watch: &'a Watch<'a>,
    number: u64,
    side: Side,
    since: Instant,
}

impl Drop for OnCall<'_> {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        if let Some(call) = state.under_way.remove(&self.number) {
            state.bytes_under_way -= call.range.end - call.range.start;
        }
    }
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        stall_after: Duration,
        source: &'a dyn Endpoint,
        sink: &'a dyn Endpoint,
        progress: Arc<Progress>,
    ) -> Self {
        Watch {
            stall_after,
            source,
            sink,
            progress,
            began: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// A call for the bytes of `range` begins.
    pub(crate) fn call(&'a self, side: Side, range: Range<u64>) -> OnCall<'a> {
        let mut state = self.state();
        state.calls += 1;
        let number = state.calls;
        state.bytes_under_way += range.end - range.start;
        state.under_way.insert(number, Under { side, range });
        drop(state);
        OnCall {
            watch: self,
            number,
            side,
            since: Instant::now(),
        }
    }

    /// The outcome of a piece of work, unless the transfer stalls in it.
    ///
    /// Errors: `Unavailable`, temporary, with the phase, the time and the bytes that were waited for.
    pub(crate) async fn over<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        // Biased: what is done in the moment its patience ends is done.
        select! {
            biased;
            outcome = work => outcome,
            stalled = self.stalled() => Err(stalled),
        }
    }

    /// The outcome of a call, or `None` once it hangs.
    pub(crate) async fn unless_hung<T>(
        &self,
        call: &OnCall<'_>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        select! {
            biased;
            outcome = work => Some(outcome),
            () = self.hung(call) => None,
        }
    }

    async fn stalled(&self) -> Error {
        loop {
            let patience = self.patience();
            let silent = self.quiet_since().elapsed();
            if silent < patience {
                sleep(patience - silent).await;
                continue;
            }
            let phase = self.progress.snapshot().phase;
            let waits_for_memory = matches!(phase, Phase::Queued | Phase::Starved);
            let held_back = self.source.held_back().is_some() || self.sink.held_back().is_some();
            if !waits_for_memory && !held_back {
                return self.report(phase, silent);
            }
            self.explain();
        }
    }

    async fn hung(&self, call: &OnCall<'_>) {
        loop {
            let patience = self.patience() / 2;
            let silent = self.quiet_since().max(call.since).elapsed();
            if silent < patience {
                sleep(patience - silent).await;
                continue;
            }
            let endpoint = match call.side {
                Side::Source => self.source,
                Side::Sink => self.sink,
            };
            if endpoint.held_back().is_none() {
                return;
            }
            self.explain();
        }
    }

    fn patience(&self) -> Duration {
        let bytes = self.state().bytes_under_way;
        let slowest = Duration::from_secs(bytes.div_ceil(SLOWEST_BYTES_PER_SECOND));
        self.stall_after.max(slowest)
    }

    /// Since when nothing moved that nobody explained.
    fn quiet_since(&self) -> Instant {
        let moved = self.progress.snapshot().last_moved.unwrap_or(self.began);
        let explained = self.state().explained.unwrap_or(self.began);
        moved.max(explained).max(self.began)
    }

    fn explain(&self) {
        self.state().explained = Some(Instant::now());
    }

    fn report(&self, phase: Phase, silent: Duration) -> Error {
        let side = match phase {
            Phase::Reading => Some(Side::Source),
            Phase::Pushing => Some(Side::Sink),
            _ => None,
        };
        let state = self.state();
        // The first that is there was called first.
        let mut calls = state.under_way.values();
        let call = calls.find(|call| Some(call.side) == side);
        let bytes = call.map_or_else(String::new, |call| {
            format!(" {}..{}", call.range.start, call.range.end)
        });
        let message = format!(
            "nothing moved for {} s while {}{bytes}",
            silent.as_secs(),
            phase.meanwhile()
        );
        let seen = self.progress.snapshot();
        Error::new(Kind::Unavailable, message)
            .with_context("read", seen.bytes_fetched)
            .with_context("taken by the sink", seen.bytes_pushed)
            .with_context("of", seen.bytes_total)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
