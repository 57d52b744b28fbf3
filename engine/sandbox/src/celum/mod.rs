//! An emulated CELUM tenant: the Content API v1 on one origin, uploads and downloads on another.
//!
//! Strict where CELUM's documentation is explicit, and ruled by a [`Profile`] where it is silent. Times,
//! names of uploads and failing previews derive from a clock and a seed, so a run can be repeated. With a
//! folder, every change is in a journal before it is answered, and opening the folder again brings the
//! tenant back, unused uploads included. [`Celum::seed_default_tenant`] sets up types, fields and
//! collections as an administrator would, which the API itself cannot do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use jiff::{SignedDuration, Timestamp};
use url::Url;
use windlass_core::{Clock, Error, Kind};

use crate::blob::{BlobId, BlobStore, lock};
use crate::fault::Faults;
use crate::journal::{Journal, JournalError};

mod admin;
mod api;
mod assets;
mod auth;
mod collections;
mod create;
mod error;
mod events;
mod filters;
mod links;
mod model;
mod patch;
mod people;
mod picture;
mod profile;
mod query;
mod relations;
mod render;
mod request;
mod search;
mod seed;
mod state;
mod transfer;
mod types;
mod values;

pub use admin::{AssetSnapshot, RouteCount};
pub use model::Availability;
pub use people::ReferenceSnapshot;
pub use profile::{
    Algorithm, Checksum, DatePrecision, Encoding, LockRules, ModBumps, Profile, SearchCaps,
    SizeMismatch, UploadAuth, UploadMode,
};
pub use seed::{API_KEY, ASSET_TYPE, INBOX, PASSWORD, READER_API_KEY, USERNAME};

use error::ApiError;
use state::{Event, State};

/// Names the journal's format; a change of events that old journals do not have needs another one.
const JOURNAL: &str = "celum-1";

/// How an emulated tenant is to run.
#[derive(Clone, Debug)]
pub struct CelumOptions {
    /// Where it is kept. None: in memory.
    pub dir: Option<PathBuf>,
    /// Takes contents in and forgets them. Without effect where `dir` is given.
    pub forgetful: bool,
    /// Decides names of uploads, links and which previews fail.
    pub seed: u64,
    /// Latency and faults of both origins; the routes are named as in [`Celum::counters`].
    pub faults: Faults,
    /// What the tenant does where CELUM's documentation is silent.
    pub profile: Profile,
    /// The time of day, also for lags and expiries.
    pub clock: Arc<dyn Clock>,
}

impl Default for CelumOptions {
    fn default() -> Self {
        CelumOptions {
            dir: None,
            forgetful: false,
            seed: 0,
            faults: Faults::none(),
            profile: Profile::default(),
            clock: Arc::new(RuntimeClock::new()),
        }
    }
}

/// The machine's time at the start, moved on by the runtime's clock: a test that pauses the runtime
/// moves this with it.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl RuntimeClock {
    /// A clock that starts at the machine's time.
    pub fn new() -> Self {
        RuntimeClock::starting(Timestamp::now())
    }

    /// A clock that shows `start` now.
    pub fn starting(start: Timestamp) -> Self {
        RuntimeClock {
            start,
            since: tokio::time::Instant::now(),
        }
    }
}

impl Default for RuntimeClock {
    fn default() -> Self {
        RuntimeClock::new()
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        later(self.start, self.since.elapsed())
    }
}

/// One emulated tenant.
#[derive(Debug)]
pub struct Celum {
    profile: Profile,
    faults: Faults,
    clock: Arc<dyn Clock>,
    seed: u64,
    state: Mutex<State>,
    blobs: BlobStore,
    journal: Option<Journal<Event>>,
    transfer_base: Mutex<Option<Url>>,
    /// Upload handles whose bytes are arriving; a second request to such a URL is refused.
    receiving: Mutex<BTreeSet<String>>,
    counters: Mutex<BTreeMap<&'static str, RouteCount>>,
    /// Requests to the transfer origin that carried API credentials nobody asked for.
    leaked_credentials: AtomicU64,
    /// Those who are told of changes.
    listeners: Mutex<Vec<events::Listener>>,
    /// The comments of all locks that were set, by asset.
    locks: Mutex<BTreeMap<u64, Vec<String>>>,
}

impl Celum {
    /// Opens a tenant: a new one without users or collections, or what the folder holds.
    pub fn open(options: CelumOptions) -> windlass_core::Result<Arc<Celum>> {
        options.profile.check()?;
        if let Some(name) = options.faults.service_names().next() {
            let message = format!("the CELUM sandbox knows no fault named service:{name}");
            return Err(Error::new(Kind::Config, message));
        }
        let mut state = State::default();
        let (blobs, journal) = match &options.dir {
            None => (BlobStore::in_memory(options.forgetful), None),
            Some(dir) => {
                let store_failed = |error: std::io::Error| {
                    Error::new(Kind::Capacity, "the CELUM sandbox's folder cannot be used")
                        .with_context("folder", dir.display())
                        .with_source(error)
                };
                let blobs = BlobStore::open(dir.join("blobs")).map_err(store_failed)?;
                let replay = |event| state.apply(event, None);
                let journal = Journal::open(dir.join("journal.jsonl"), JOURNAL, replay);
                let journal = journal.map_err(unusable)?;
                let live = state.blobs();
                let swept = blobs.sweep(|id| live.contains(&id)).map_err(store_failed)?;
                tracing::debug!(swept, "blobs without an owner are gone");
                (blobs, Some(journal))
            }
        };
        Ok(Arc::new(Celum {
            profile: options.profile,
            faults: options.faults,
            clock: options.clock,
            seed: options.seed,
            state: Mutex::new(state),
            blobs,
            journal,
            transfer_base: Mutex::new(None),
            receiving: Mutex::default(),
            counters: Mutex::default(),
            leaked_credentials: AtomicU64::new(0),
            listeners: Mutex::default(),
            locks: Mutex::default(),
        }))
    }

    /// The API, under `/content-api/v1`.
    pub fn router_api(self: &Arc<Self>) -> Router {
        api::router(Arc::clone(self))
    }

    /// Uploads, downloads and previews. To be served on another origin than the API; its address must
    /// be given to [`Celum::set_transfer_base`] before the first upload.
    pub fn router_transfer(self: &Arc<Self>) -> Router {
        transfer::router(Arc::clone(self))
    }

    /// Where the transfer router is served, such as `http://127.0.0.1:4712/`.
    pub fn set_transfer_base(&self, base: Url) {
        *lock(&self.transfer_base) = Some(base);
    }

    /// What this tenant does where CELUM's documentation is silent.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The faults being played on both origins.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The time of day, as precise as this tenant keeps it.
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        let rounded = match self.profile.date_precision {
            DatePrecision::Milliseconds => Timestamp::from_millisecond(now.as_millisecond()),
            DatePrecision::Seconds => Timestamp::from_second(now.as_second()),
        };
        rounded.unwrap_or(now)
    }

    /// Writes a change down and makes it.
    fn commit(&self, state: &mut State, event: Event) -> Result<(), ApiError> {
        if let Some(journal) = &self.journal {
            journal.append(&event)?;
        }
        self.tell(state, &event);
        self.note_lock(state, &event);
        let lag = Duration::from_secs(self.profile.index_lag);
        let due = (!lag.is_zero()).then(|| later(self.now(), lag));
        state.apply(event, due);
        Ok(())
    }

    /// Frees content that nothing refers to any more. Failing to is only a waste of space.
    fn discard(&self, blobs: impl IntoIterator<Item = BlobId>) {
        for blob in blobs {
            if let Err(error) = self.blobs.remove(blob) {
                tracing::warn!(?blob, %error, "a blob without an owner stays behind");
            }
        }
    }

    fn count(&self, route: &'static str, refused: bool) {
        let mut counters = lock(&self.counters);
        let count = counters.entry(route).or_default();
        count.calls += 1;
        count.refused += u64::from(refused);
    }

    fn note_lock(&self, state: &State, event: &Event) {
        let Event::Asset { asset, .. } = event else {
            return;
        };
        let before = state.assets.get(&asset.id);
        let before = before.and_then(|before| before.lock.as_ref());
        if let Some(set) = &asset.lock
            && before.is_none_or(|before| before.comment != set.comment)
        {
            let mut locks = lock(&self.locks);
            locks.entry(asset.id).or_default().push(set.comment.clone());
        }
    }

    fn note_leak(&self) {
        self.leaked_credentials.fetch_add(1, Ordering::Relaxed);
    }
}

fn unusable(error: JournalError) -> Error {
    let kind = match &error {
        JournalError::Io { .. } => Kind::Capacity,
        JournalError::Damaged { .. } | JournalError::Foreign { .. } => Kind::Corrupt,
    };
    Error::new(kind, error.to_string())
        .with_hint("delete the sandbox's folder to start with an empty tenant")
}

/// An instant moved on; the end of time if it would be beyond.
fn later(from: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
