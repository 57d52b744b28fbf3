//! What a transfer is doing, cheap to write in its loop and to read from anywhere.
//!
//! The transfer writes relaxed atomics, at most a few times a chunk; a console or a progress bar takes
//! a [`Snapshot`] whenever it likes. The figures of one snapshot may be a chunk apart.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a transfer is doing, named after what it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not let in yet: no chunk of the budget is free.
    #[default]
    Queued,
    /// The sink is opening an upload session; reads may be under way.
    Opening,
    /// Reads are under way.
    Reading,
    /// Chunks are ready, and the sink is taking earlier ones.
    Pushing,
    /// Everything read so far was taken; digests are missing.
    Hashing,
    /// The next chunk waits for memory.
    Starved,
    /// The sink is making the content visible.
    Committing,
    /// The commit's answer was lost; the sink is asked what became of it.
    Looking,
    /// Something did not agree; what was placed is being taken away.
    Undoing,
    /// Over, well or not.
    Ended,
}

/// The phases by their number: `PHASES[p as usize] == p`.
const PHASES: [Phase; 10] = [
    Phase::Queued,
    Phase::Opening,
    Phase::Reading,
    Phase::Pushing,
    Phase::Hashing,
    Phase::Starved,
    Phase::Committing,
    Phase::Looking,
    Phase::Undoing,
    Phase::Ended,
];

impl Phase {
    /// Why the transfer waits, in one sentence without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Phase::Queued => "waits to be let in: other transfers use the memory budget",
            Phase::Opening => "waits for the sink to open an upload session",
            Phase::Reading => "waits for the source to send bytes",
            Phase::Pushing => "waits for the sink to take bytes",
            Phase::Hashing => "waits for the digests of the last chunks",
            Phase::Starved => "waits for memory: other transfers use the budget",
            Phase::Committing => "waits for the sink to make the content visible",
            Phase::Looking => "looks whether a commit whose answer was lost took effect",
            Phase::Undoing => "takes away what was placed, because it did not agree",
            Phase::Ended => "waits for nothing",
        }
    }
}

/// The progress of one transfer. Share it with `Arc` and put it into the request.
#[derive(Debug, Default)]
pub struct Progress {
    bytes_total: AtomicU64,
    bytes_fetched: AtomicU64,
    bytes_pushed: AtomicU64,
    restarts: AtomicU64,
    phase: AtomicU8,
}

/// What a [`Progress`] said at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The content's size; 0 before the transfer began.
    pub bytes_total: u64,
    /// Bytes read in this try.
    pub bytes_fetched: u64,
    /// Bytes that the sink took in this try.
    pub bytes_pushed: u64,
    /// How often the transfer began again.
    pub restarts: u64,
    /// What it is doing.
    pub phase: Phase,
}

impl Progress {
    /// The progress of a transfer that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bytes_total: self.bytes_total.load(Ordering::Relaxed),
            bytes_fetched: self.bytes_fetched.load(Ordering::Relaxed),
            bytes_pushed: self.bytes_pushed.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            phase: PHASES[usize::from(self.phase.load(Ordering::Relaxed)) % PHASES.len()],
        }
    }

    pub(crate) fn begin(&self, bytes_total: u64) {
        self.bytes_total.store(bytes_total, Ordering::Relaxed);
        self.enter(Phase::Queued);
    }

    pub(crate) fn restart(&self) {
        self.bytes_fetched.store(0, Ordering::Relaxed);
        self.bytes_pushed.store(0, Ordering::Relaxed);
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// True when that is another phase than before.
    pub(crate) fn enter(&self, phase: Phase) -> bool {
        self.phase.swap(phase as u8, Ordering::Relaxed) != phase as u8
    }

    /// Bytes that an earlier attempt brought to the sink, and that need not be read.
    pub(crate) fn recalled(&self, bytes: u64) {
        self.fetched(bytes);
        self.pushed(bytes);
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.bytes_fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn pushed(&self, bytes: u64) {
        self.bytes_pushed.fetch_add(bytes, Ordering::Relaxed);
    }
}
