//! Ctrl-C: the first one drains, the second one stops at once. Both leave a ledger that resumes.

use tokio_util::sync::CancellationToken;

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
