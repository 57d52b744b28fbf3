//! What one attempt is doing right now: for the sentence why it waits, and for the watch over stalls.
//!
//! While bytes move the transfer's own [`Progress`] knows best; around it the attempt says what it waits for. A
//! transfer has a watch of its own that knows each call under way. This one sees only that nothing moves, so it
//! has at least as much patience, and it also sees what is outside of a transfer: metadata, a look at the
//! source, the ledger.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::Endpoint;
use windlass_transfer::{Phase, Progress};

/// The slowest line on which bytes under way do not count as stalled, as in the transfer's own watch.
const SLOWEST_BYTES_PER_SECOND: u64 = 1 << 20;

/// How many bytes of one file may be under way without being counted yet: a usual window.
const UNDER_WAY_BYTES_MAX: u64 = 128 << 20;

/// What an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// The source is asked whether the asset still is as planned.
    Looking,
    /// The sink copies or links what it has.
    Reusing,
    /// Bytes move; the transfer's progress says more.
    Moving,
    /// The sink makes metadata what it shall be.
    Describing,
    /// What was placed is read back. A transfer as well, with a watch of its own.
    ReadingBack,
    /// What was placed and is not right is taken away.
    Undoing,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Activity {
    /// Of the transfer, over all of its tries.
    pub(super) progress: Arc<Progress>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    doing: Doing,
    /// Since when, or until when a silence was explained.
    since: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        Activity {
            progress: Arc::default(),
            state: Mutex::new(State {
                doing: Doing::Looking,
                since: Instant::now(),
            }),
        }
    }

    /// Something else is being done from now on.
    pub(super) fn begin(&self, doing: Doing) {
        let mut state = self.lock();
        state.doing = doing;
        state.since = Instant::now();
    }

    /// The silence so far was explained; what counts is what follows.
    pub(super) fn excuse(&self) {
        self.lock().since = Instant::now();
    }

    /// Since when nothing moved that nobody explained.
    pub(super) fn quiet_since(&self) -> Instant {
        let (doing, since) = self.now();
        let moved = self.progress.snapshot().last_moved;
        match moved.filter(|_| doing == Doing::Moving) {
            Some(moved) => moved.max(since),
            None => since,
        }
    }

    /// Whether it waits for what other files hold.
    pub(super) fn waits_for_memory(&self) -> bool {
        let phase = self.progress.snapshot().phase;
        self.now().0 == Doing::Moving && matches!(phase, Phase::Queued | Phase::Starved)
    }

    /// How long it may be silent, or `None` where somebody else watches.
    pub(super) fn patience(&self, stall_after: Duration, bytes: u64) -> Option<Duration> {
        match self.now().0 {
            Doing::ReadingBack => None,
            Doing::Moving => {
                let taken = self.progress.snapshot().bytes_pushed;
                let under_way = bytes.saturating_sub(taken).min(UNDER_WAY_BYTES_MAX);
                let slowest = Duration::from_secs(under_way.div_ceil(SLOWEST_BYTES_PER_SECOND));
                Some(stall_after.max(slowest))
            }
            Doing::Looking | Doing::Reusing | Doing::Describing | Doing::Undoing => {
                Some(stall_after)
            }
        }
    }

    /// What it waits for, in one sentence without a subject and a full stop.
    pub(super) fn why(&self, source: &dyn Endpoint, sink: &dyn Endpoint) -> String {
        let (asked, sentence) = match self.now().0 {
            Doing::Moving => return self.progress.why(source, sink),
            Doing::Looking => (source, "waits for the source to say how the file is now"),
            Doing::Reusing => (sink, "waits for the sink to copy what it has"),
            Doing::Describing => (sink, "waits for the sink to set metadata"),
            Doing::ReadingBack => (sink, "is read back from the sink"),
            Doing::Undoing => (sink, "waits for the sink to take away what is not right"),
        };
        let held_back = asked.held_back();
        held_back.map_or_else(|| sentence.to_owned(), |held_back| held_back.why)
    }

    fn now(&self) -> (Doing, Instant) {
        let state = self.lock();
        (state.doing, state.since)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Two plain values: always whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
