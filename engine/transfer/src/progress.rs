//! What a transfer is doing, cheap to write in its loop and to read from anywhere.
//!
//! The transfer writes relaxed atomics, at most a few times a chunk; a console or a progress bar takes
//! a [`Snapshot`] whenever it likes, and asks [`Progress::why`] what it waits for. The figures of one snapshot may
//! be a chunk apart.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use windlass_core::Endpoint;

use crate::budget::{Ahead, Budget, Customer};

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

    /// What was being done, to go after "nothing moved while".
    pub(crate) fn meanwhile(self) -> &'static str {
        match self {
            Phase::Queued => "it waited to be let in",
            Phase::Opening => "the sink opened an upload session",
            Phase::Reading => "the source sent bytes",
            Phase::Pushing => "the sink took bytes",
            Phase::Hashing => "digests were computed",
            Phase::Starved => "it waited for memory",
            Phase::Committing => "the sink made the content visible",
            Phase::Looking => "the sink looked for what a commit had done",
            Phase::Undoing => "the sink took away what did not agree",
            Phase::Ended => "it was over",
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
    moved: Mutex<Option<Instant>>,
    customer: Mutex<Option<(Arc<Budget>, Customer)>>,
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
    /// When something last moved: a chunk was read or acknowledged, or another phase was entered. `None`
    /// before the transfer began.
    pub last_moved: Option<Instant>,
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
            last_moved: *lock(&self.moved),
        }
    }

    /// Why the transfer waits, in one sentence without a full stop: what its endpoints say of requests that
    /// are held back (`Dropbox asked for 42 s more`), who is before it in the queue for memory, else what it is
    /// doing. `source` and `sink` are the transfer's.
    pub fn why(&self, source: &dyn Endpoint, sink: &dyn Endpoint) -> String {
        let phase = self.snapshot().phase;
        let held_back = match phase {
            Phase::Queued | Phase::Starved => return self.queue().unwrap_or(phase.reason().into()),
            Phase::Hashing | Phase::Ended => None,
            Phase::Reading => source.held_back(),
            Phase::Opening
            | Phase::Pushing
            | Phase::Committing
            | Phase::Looking
            | Phase::Undoing => sink.held_back(),
        };
        held_back.map_or_else(|| phase.reason().to_owned(), |held_back| held_back.why)
    }

    /// The place in the queue for memory, in words.
    fn queue(&self) -> Option<String> {
        let customer = lock(&self.customer);
        let (budget, customer) = customer.as_ref()?;
        let Ahead { files, larger } = budget.ahead_of(*customer)?;
        let plural = |number: usize| if number == 1 { "file" } else { "files" };
        Some(match (files, larger) {
            (0, _) => "memory budget: next in line".to_owned(),
            (_, 0) => format!("memory budget: {files} {} ahead", plural(files)),
            _ if files == larger => {
                format!("memory budget: {larger} larger {} ahead", plural(larger))
            }
            _ => format!("memory budget: {files} files ahead, {larger} of them larger"),
        })
    }

    /// A transfer begins that asks `budget` for memory.
    pub(crate) fn begin(&self, bytes_total: u64, budget: &Arc<Budget>) -> Customer {
        let customer = budget.customer(bytes_total);
        *lock(&self.customer) = Some((Arc::clone(budget), customer));
        for figure in [&self.bytes_fetched, &self.bytes_pushed, &self.restarts] {
            figure.store(0, Ordering::Relaxed);
        }
        self.bytes_total.store(bytes_total, Ordering::Relaxed);
        self.enter(Phase::Queued);
        self.stir();
        customer
    }

    /// It is over, whichever way it ended.
    pub(crate) fn end(&self) {
        self.enter(Phase::Ended);
        *lock(&self.customer) = None;
    }

    /// Something moved.
    pub(crate) fn stir(&self) {
        *lock(&self.moved) = Some(Instant::now());
    }

    pub(crate) fn restart(&self) {
        self.bytes_fetched.store(0, Ordering::Relaxed);
        self.bytes_pushed.store(0, Ordering::Relaxed);
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        if self.phase.swap(phase as u8, Ordering::Relaxed) != phase as u8 {
            self.stir();
        }
    }

    /// Bytes that an earlier attempt brought to the sink, and that need not be read.
    pub(crate) fn recalled(&self, bytes: u64) {
        self.fetched(bytes);
        self.pushed(bytes);
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.bytes_fetched.fetch_add(bytes, Ordering::Relaxed);
        self.stir();
    }

    pub(crate) fn pushed(&self, bytes: u64) {
        self.bytes_pushed.fetch_add(bytes, Ordering::Relaxed);
        self.stir();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are put in there, so a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
