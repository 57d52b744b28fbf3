//! What a flow tells whoever watches: a progress bar, a log, nobody.

use std::time::Duration;

use windlass_core::{AssetPath, Finding, RunId, StepState};

use crate::run::Stop;

/// Something that happened. Borrowed, because most watchers drop it.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// This many assets were listed so far.
    Listed {
        /// Assets so far.
        assets: u64,
    },
    /// Hooks and sink are being asked about this many assets.
    Deciding {
        /// Assets in all.
        assets: u64,
    },
    /// Files were hashed where they are, to find those whose bytes need not move.
    Hashed {
        /// How many so far.
        assets: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Files of an archive were read back, to be sealed.
    Sealing {
        /// How many so far.
        files: u64,
        /// How many there are.
        of: u64,
    },
    /// This many files were held beside the ledger so far.
    Audited {
        /// Files so far, at either side.
        files: u64,
    },
    /// A run begins, or goes on.
    RunStarted {
        /// Which.
        run: RunId,
        /// Steps that are open.
        steps: u64,
        /// Bytes of their assets.
        bytes: u64,
        /// True when it goes on after an interruption.
        resumed: bool,
    },
    /// A step was taken.
    StepStarted {
        /// Its asset.
        path: &'a AssetPath,
        /// Number of bytes.
        size: u64,
    },
    /// A step ended, or goes back to the queue (`Open`), and the ledger has it so.
    StepEnded {
        /// Its asset.
        path: &'a AssetPath,
        /// Number of bytes.
        size: u64,
        /// How it stands now.
        state: StepState,
        /// Why it did not succeed.
        message: Option<&'a str>,
        /// In what time it is tried again, where it goes back to the queue.
        again_after: Option<Duration>,
    },
    /// Bytes of contents that reached the sink since the last such event.
    Moved {
        /// How many.
        bytes: u64,
    },
    /// How far the run is; several times a second.
    Status(&'a RunStatus),
    /// Why nothing moves right now, in one sentence; every 5 s while nothing does.
    Waiting {
        /// The sentence.
        why: &'a str,
    },
    /// An attempt did not move for too long. It is dropped and tried again, and goes on where it was.
    Stalled {
        /// Its asset.
        path: &'a AssetPath,
        /// How long nothing moved.
        silent: Duration,
        /// What it waited for, to go after the asset's name.
        why: &'a str,
    },
    /// Something worth knowing that stops nothing; once a run.
    Found {
        /// What.
        finding: &'a Finding,
    },
    /// The run stops before every step has ended.
    Stopping {
        /// Why.
        why: Stop,
        /// How long attempts in flight may take to end.
        left: Duration,
    },
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStatus {
    /// Which.
    pub run: RunId,
    /// Steps that were open when this worker began, or were added since.
    pub steps: u64,
    /// Those of them that this worker brought to an end, whichever.
    pub steps_ended: u64,
    /// Bytes of the assets of `steps`.
    pub bytes: u64,
    /// Bytes of assets that are settled, and of those in flight what the sink has: where a bar stands. Never more
    /// than `bytes`; less than before when something begins again.
    pub bytes_there: u64,
    /// Bytes that this worker really moved.
    pub bytes_moved: u64,
    /// Attempts under way.
    pub in_flight: u64,
    /// Steps that failed in this run and wait for their time to be tried again.
    pub waiting_to_try_again: u64,
    /// Attempts that were dropped because they did not move.
    pub stalls: u64,
    /// How fast bytes move, averaged over about ten seconds.
    pub bytes_per_second: f64,
    /// How long the rest takes at this pace, by bytes or by files, whichever is longer. `None` while that cannot
    /// be said.
    pub time_left: Option<Duration>,
    /// Why nothing moves, once that lasts for some seconds.
    pub why: Option<String>,
}

/// Whoever watches. Called from many tasks; must not block.
pub trait Observer: Send + Sync + std::fmt::Debug {
    /// Takes note.
    fn observe(&self, event: Event<'_>);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&self, _event: Event<'_>) {}
}
