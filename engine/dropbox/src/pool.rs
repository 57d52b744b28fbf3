//! Upload sessions that were started and hold nothing yet.
//!
//! One `start_batch` starts up to a thousand sessions for the price of a call, and one that is never used
//! expires without trace. So sessions are asked for ahead of need: the first alone, as most flows with a
//! single file want no more, then twice as many each time, and whoever wants many gets all that one call gives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use windlass_core::{Clock, Error, Kind, Result};

use crate::client::Api;
use crate::lock;
use crate::wire::SessionType;

/// The most sessions that one call starts, as documented.
pub(crate) const START_BATCH_MAX: usize = 1_000;

/// Whoever wants so many at once has many files, and will want more before they are here.
pub(crate) const MANY: usize = 100;

/// How long a session waits here at most. It lives seven days, and an upload may take most of them.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A session that holds nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) id: String,
    /// No later than the service started it: its seven days are counted from here.
    pub(crate) born: Timestamp,
    got: Instant,
}

/// Sessions of one type, ahead of need.
#[derive(Debug)]
pub(crate) struct Pool {
    api: Api,
    session_type: SessionType,
    /// The most that are asked for at once.
    most: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held by whoever asks the service for more.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    fresh: VecDeque<Fresh>,
    /// How many were asked for last.
    asked: usize,
    /// The service starts them one by one only.
    singly: bool,
}

impl Pool {
    pub(crate) fn new(
        api: Api,
        session_type: SessionType,
        most: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Pool {
            api,
            session_type,
            most: most.clamp(1, START_BATCH_MAX),
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// `count` sessions; `soon` is how many will be wanted in all before long.
    ///
    /// Cancel by dropping the future: sessions that were being started expire.
    pub(crate) async fn take(&self, count: usize, soon: usize) -> Result<Vec<Fresh>> {
        loop {
            if let Some(taken) = self.take_ready(count) {
                return Ok(taken);
            }
            let _turn = self.asking.lock().await;
            if let Some(taken) = self.take_ready(count) {
                return Ok(taken);
            }
            self.ask(soon.max(count)).await?;
        }
    }

    /// Asks for `soon` sessions unless so many are there or somebody is asking. Errors are left to whoever
    /// takes sessions.
    pub(crate) async fn prepare(&self, soon: usize) {
        let soon = soon.min(self.most);
        let Ok(_turn) = self.asking.try_lock() else {
            return;
        };
        if lock(&self.state).fresh.len() >= soon {
            return;
        }
        if let Err(error) = self.ask(soon).await {
            tracing::debug!(%error, "sessions cannot be started ahead of need");
        }
    }

    fn take_ready(&self, count: usize) -> Option<Vec<Fresh>> {
        let mut state = lock(&self.state);
        state.fresh.retain(|fresh| fresh.got.elapsed() < KEPT);
        let enough = state.fresh.len() >= count;
        enough.then(|| state.fresh.drain(..count).collect())
    }

    /// Starts sessions so that `wanted` are here, as far as one call goes.
    async fn ask(&self, wanted: usize) -> Result<()> {
        let count = {
            let state = lock(&self.state);
            let missing = wanted.saturating_sub(state.fresh.len());
            match state.singly {
                true => 1,
                false if missing >= MANY => self.most,
                false => missing.max(2 * state.asked).clamp(1, self.most),
            }
        };
        let born = self.clock.now();
        let started = match count {
            1 => {
                let started = self.api.start(self.session_type).await;
                started.map(|started| vec![started.session_id])?
            }
            _ => match self.api.start_batch(self.session_type, count).await {
                Ok(started) => started.session_ids,
                Err(failure) => {
                    let error = Error::from(failure);
                    // Unknown routes are unsupported.
                    if error.kind() != Kind::Unsupported {
                        return Err(error);
                    }
                    lock(&self.state).singly = true;
                    return Ok(());
                }
            },
        };
        if started.is_empty() {
            return Err(Error::new(
                Kind::Unexpected,
                "Dropbox started none of the upload sessions asked for",
            ));
        }
        let got = Instant::now();
        let mut state = lock(&self.state);
        state.asked = count;
        let fresh = started.into_iter().map(|id| Fresh { id, born, got });
        state.fresh.extend(fresh);
        Ok(())
    }
}
