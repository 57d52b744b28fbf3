//! How the services ring at whoever registered an address: signed notices of Dropbox, events of CELUM.
//!
//! The sandbox has no HTTP client. Whoever registers says how a request gets to the address ([`Deliver`]): over a
//! socket, or by a call of the receiver in the same process. Which notices are lost, doubled or late is drawn from the
//! fault profile, under the routes `webhook` and `event`: `route=webhook,p=0.3,do=lost`, `do=twice`, `do=late:MS`.
//! A late notice is overtaken by those after it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::fault::{FaultKind, Faults};

/// Brings a request to its address, and answers what came back. An error: it did not get there.
pub type Deliver =
    Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, io::Result<Response<Bytes>>> + Send + Sync>;

/// Changes that follow each other so closely are one notice.
pub(crate) const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long a receiver may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// After which waits a notice is sent again that was not answered with a success.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_mins(1),
];

/// Rings at one address. Dropping it drops what is under way.
pub(crate) struct Bell {
    deliver: Deliver,
    faults: Faults,
    /// What fault rules call it.
    route: &'static str,
    /// Late notices, and those that are sent again.
    waiting: JoinSet<()>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").field("route", &self.route).finish()
    }
}

impl Bell {
    pub(crate) fn new(deliver: Deliver, faults: Faults, route: &'static str) -> Self {
        Bell {
            deliver,
            faults,
            route,
            waiting: JoinSet::new(),
        }
    }

    /// Makes one request outside of all faults.
    pub(crate) async fn ask(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        answer(&self.deliver, request).await
    }

    /// Sends a notice as the fault profile has it.
    pub(crate) async fn ring(&mut self, notice: Request<Bytes>) {
        while self.waiting.try_join_next().is_some() {}
        match self.faults.decide(self.route) {
            Some(FaultKind::Lost) => {}
            Some(FaultKind::Late(by)) => {
                let deliver = Arc::clone(&self.deliver);
                self.waiting.spawn(async move {
                    sleep(by).await;
                    if !arrives(&deliver, &notice).await {
                        again(deliver, notice).await;
                    }
                });
            }
            Some(FaultKind::Twice) => {
                self.send(notice.clone()).await;
                self.send(notice).await;
            }
            _ => self.send(notice).await,
        }
    }

    async fn send(&mut self, notice: Request<Bytes>) {
        if !arrives(&self.deliver, &notice).await {
            self.waiting.spawn(again(Arc::clone(&self.deliver), notice));
        }
    }
}

async fn again(deliver: Deliver, notice: Request<Bytes>) {
    for wait in AGAIN {
        sleep(wait).await;
        if arrives(&deliver, &notice).await {
            return;
        }
    }
}

/// Whether a notice was answered with a success.
async fn arrives(deliver: &Deliver, notice: &Request<Bytes>) -> bool {
    match answer(deliver, notice.clone()).await {
        Ok(response) => response.status().is_success(),
        Err(error) => {
            tracing::debug!(uri = %notice.uri(), %error, "a notice did not arrive");
            false
        }
    }
}

async fn answer(deliver: &Deliver, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
    let answered = timeout(ANSWER_MAX, deliver(request)).await;
    answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
