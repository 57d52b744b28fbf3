//! The ways the service says "not now": the call rate of an account, the lock that writers of one namespace share,
//! and the upload calls of a month that the plan includes. All are off unless an option turns them on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep, timeout};

use super::call::Call;
use super::error::ApiError;
use super::paths::PathArg;
use super::route::{Auth, Route};
use super::state::Ns;
use super::{Dropbox, DropboxOptions};
use crate::blob::lock;
use crate::fault::Limit;

/// A bucket of calls for one account.
#[derive(Clone, Debug)]
pub struct RateModel {
    /// Calls a second that the bucket refills by.
    pub calls_per_second: f64,
    /// Calls it holds.
    pub burst: f64,
    /// The longest `Retry-After` of an ordinary refusal, in seconds, at least 1.
    pub retry_after_max: u64,
    /// `Retry-After` once refusals in a row pass ten, in seconds.
    pub penalty: u64,
}

impl Default for RateModel {
    fn default() -> Self {
        RateModel {
            calls_per_second: 12.0,
            burst: 60.0,
            retry_after_max: 15,
            penalty: 300,
        }
    }
}

/// The lock that writes to one namespace take.
#[derive(Clone, Debug)]
pub struct LockModel {
    /// How long a single write holds it, in milliseconds, from and to.
    pub single_ms: (u64, u64),
    /// How long a batch holds it, in milliseconds, before its entries.
    pub batch_ms: u64,
    /// How much longer for each entry, in milliseconds, from and to.
    pub entry_ms: (u64, u64),
    /// How long a write waits for it before it gives up, in milliseconds.
    pub wait_ms: u64,
    /// The share of batches that fail as a whole call rather than entry by entry, 0 to 1.
    pub whole_share: f64,
}

impl Default for LockModel {
    fn default() -> Self {
        LockModel {
            single_ms: (60, 250),
            batch_ms: 150,
            entry_ms: (1, 3),
            wait_ms: 300,
            whole_share: 0.5,
        }
    }
}

/// A write's hold on its namespaces; dropping it lets the next one in.
#[derive(Debug, Default)]
pub(super) struct Held {
    _guards: Vec<OwnedMutexGuard<()>>,
}

/// Somebody else is writing.
#[derive(Debug)]
pub(super) enum Busy {
    /// The whole call answers this.
    Call(ApiError),
    /// The route's own error says `too_many_write_operations`.
    Endpoint,
}

/// An identical call is running; dropping this ends that.
#[derive(Debug)]
pub(super) struct Alone {
    running: Arc<Mutex<HashSet<Bytes>>>,
    arg: Bytes,
}

impl Drop for Alone {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.arg);
    }
}

#[derive(Debug)]
pub(super) struct Limits {
    rate: Option<RateModel>,
    lock: Option<LockModel>,
    bucket: Mutex<Bucket>,
    rng: Mutex<ChaCha8Rng>,
    running: Arc<Mutex<HashSet<Bytes>>>,
    /// Bounded by the number of namespaces.
    locks: Mutex<HashMap<Ns, Arc<tokio::sync::Mutex<()>>>>,
    monthly_calls: Option<u64>,
    month: Mutex<Month>,
}

/// The upload calls of a calendar month of UTC.
#[derive(Debug, Default)]
struct Month {
    first: Option<Date>,
    calls: u64,
}

#[derive(Debug)]
struct Bucket {
    calls: f64,
    filled: Option<Instant>,
    refusals: u32,
}

impl Limits {
    pub(super) fn new(options: &DropboxOptions) -> Self {
        Limits {
            bucket: Mutex::new(Bucket {
                calls: options.rate.as_ref().map_or(0.0, |rate| rate.burst),
                filled: None,
                refusals: 0,
            }),
            rate: options.rate.clone(),
            lock: options.lock.clone(),
            rng: Mutex::new(ChaCha8Rng::seed_from_u64(options.seed)),
            running: Arc::default(),
            locks: Mutex::default(),
            monthly_calls: options.monthly_calls,
            month: Mutex::default(),
        }
    }

    /// Counts an upload call, if the plan includes only so many.
    pub(super) fn count(&self, route: &Route, now: Timestamp) -> Result<(), ApiError> {
        let is_upload =
            route.name == "files/upload" || route.name.starts_with("files/upload_session/");
        let Some(quota) = self.monthly_calls.filter(|_| is_upload) else {
            return Ok(());
        };
        let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
        let mut month = lock(&self.month);
        if month.first.replace(first) != Some(first) {
            month.calls = 0;
        }
        if month.calls >= quota {
            return Err(ApiError::Plan);
        }
        month.calls += 1;
        Ok(())
    }

    /// Takes a call out of the bucket.
    pub(super) fn admit(&self, route: &Route) -> Result<(), ApiError> {
        let Some(rate) = self.rate.as_ref().filter(|_| route.auth != Auth::None) else {
            return Ok(());
        };
        let now = Instant::now();
        let mut bucket = lock(&self.bucket);
        let since = bucket.filled.replace(now).unwrap_or(now);
        let refill = now.duration_since(since).as_secs_f64() * rate.calls_per_second;
        bucket.calls = (bucket.calls + refill).min(rate.burst);
        if bucket.calls >= 1.0 {
            bucket.calls -= 1.0;
            bucket.refusals = 0;
            return Ok(());
        }
        bucket.refusals += 1;
        let mut rng = lock(&self.rng);
        let seconds = match bucket.refusals {
            11.. => rate.penalty,
            _ => rng.random_range(1..=rate.retry_after_max.max(1)),
        };
        let json = !rng.random_bool(0.1);
        Err(ApiError::Rate(Limit { seconds, json }))
    }

    /// Refuses a listing that repeats one which is still running, if calls are throttled at all.
    pub(super) fn alone(&self, route: &Route, arg: &Bytes) -> Result<Option<Alone>, ApiError> {
        let listing = matches!(
            route.name,
            "files/list_folder" | "files/list_folder/continue"
        );
        if self.rate.is_none() || !listing {
            return Ok(None);
        }
        if !lock(&self.running).insert(arg.clone()) {
            let limit = Limit {
                seconds: 1,
                json: true,
            };
            return Err(ApiError::Rate(limit));
        }
        Ok(Some(Alone {
            running: Arc::clone(&self.running),
            arg: arg.clone(),
        }))
    }

    /// Takes the lock of every namespace a write touches, and the time that the write takes.
    async fn hold(&self, spaces: &[Ns], entries: Option<usize>) -> Result<Held, Busy> {
        let Some(model) = &self.lock else {
            return Ok(Held::default());
        };
        let mut spaces = spaces.to_vec();
        spaces.sort_unstable();
        spaces.dedup();
        let deadline = Instant::now() + Duration::from_millis(model.wait_ms);
        let mut guards = Vec::new();
        for ns in spaces {
            let mutex = Arc::clone(lock(&self.locks).entry(ns).or_default());
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, mutex.lock_owned()).await {
                Ok(guard) => guards.push(guard),
                Err(_) => return Err(self.busy(model, entries.is_some())),
            }
        }
        let time = self.hold_time(model, entries);
        sleep(time).await;
        Ok(Held { _guards: guards })
    }

    fn hold_time(&self, model: &LockModel, entries: Option<usize>) -> Duration {
        let mut rng = lock(&self.rng);
        let ms = match entries {
            None => rng.random_range(model.single_ms.0..=model.single_ms.1.max(model.single_ms.0)),
            Some(entries) => {
                let (from, to) = model.entry_ms;
                let each = rng.random_range(from..=to.max(from));
                model.batch_ms + each * entries as u64
            }
        };
        Duration::from_millis(ms)
    }

    /// Seven in ten single writes get 429, half of these without the wait in the body.
    fn busy(&self, model: &LockModel, batch: bool) -> Busy {
        let mut rng = lock(&self.rng);
        let whole = if batch { model.whole_share } else { 0.7 };
        if !rng.random_bool(whole.clamp(0.0, 1.0)) {
            return Busy::Endpoint;
        }
        Busy::Call(ApiError::Locked {
            seconds: if rng.random_bool(0.1) { 15 } else { 1 },
            in_body: rng.random_bool(0.5),
        })
    }
}

impl Dropbox {
    /// Takes the lock for a write of `entries` entries; None for a single write.
    pub(super) async fn hold(
        &self,
        call: &Call,
        spaces: &[Ns],
        entries: Option<usize>,
    ) -> Result<Held, Busy> {
        if call.wants("lock") {
            return Err(Busy::Endpoint);
        }
        let held = self.limits.hold(spaces, entries).await;
        held.inspect_err(|_| self.faults.note_act("lock".to_owned()))
    }

    /// Takes the lock for a single write to the namespace of a path; `busy` is the route's error.
    pub(super) async fn hold_for(
        &self,
        call: &Call,
        path: &PathArg,
        busy: &Value,
    ) -> Result<Held, ApiError> {
        let ns = self.namespace_of(call.root, path);
        match self.hold(call, &[ns], None).await {
            Ok(held) => Ok(held),
            Err(Busy::Call(error)) => Err(error),
            Err(Busy::Endpoint) => Err(ApiError::Endpoint(busy.clone())),
        }
    }

    /// The namespace that a path would be written to; the root's if the path leads nowhere.
    pub(super) fn namespace_of(&self, root: Ns, path: &PathArg) -> Ns {
        let state = lock(&self.state);
        self.locate(&state, root, path)
            .map_or(root, |spot| state.space_of(spot.ns, &spot.key()))
    }
}
