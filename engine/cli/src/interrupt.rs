//! Ctrl-C: the first one drains, the second one stops at once. Both leave a ledger that resumes.

use tokio_util::sync::CancellationToken;
use windlass_core::{Error, Kind, Result};

use crate::out::Out;

/// A token that the first Ctrl-C (or SIGTERM) cancels; the second ends the process.
pub(crate) fn watch(out: Out) -> CancellationToken {
    let token = CancellationToken::new();
    let watched = token.clone();
    tokio::spawn(async move {
        signal().await;
        out.say("stopping: what is in flight gets 5 s to end; once more stops at once");
        watched.cancel();
        signal().await;
        // 128 + SIGINT, as shells report it. The ledger is as durable as after a crash.
        std::process::exit(130);
    });
    token
}

/// What a daemon is told by signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To stop: Ctrl-C or SIGTERM.
    Stop,
    /// To read its configuration again: SIGHUP.
    Reload,
}

/// The signals of a daemon, from when it is made; none is missed between two questions.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over. Errors: `Unexpected` where the system does not let it.
    pub(crate) fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let take = |kind| {
            signal(kind).map_err(|error| {
                Error::new(Kind::Unexpected, "signals cannot be received").with_source(error)
            })
        };
        Ok(Signals {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hangup: take(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        // Without handlers the default action ends the process, which is what was asked for.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
