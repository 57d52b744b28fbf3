//! What a flow tells whoever watches: a progress bar, a log, nobody.

use windlass_core::{AssetPath, RunId, StepState};

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
    /// A step ended, or goes back to the queue (`Open`).
    StepEnded {
        /// Its asset.
        path: &'a AssetPath,
        /// Number of bytes.
        size: u64,
        /// How it stands now.
        state: StepState,
        /// Why it did not succeed.
        message: Option<&'a str>,
    },
    /// Bytes of contents that reached the sink since the last such event.
    Moved {
        /// How many.
        bytes: u64,
    },
    /// Why nothing moves right now, in one sentence.
    Waiting {
        /// The sentence.
        why: &'a str,
    },
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
