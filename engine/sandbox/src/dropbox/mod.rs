//! Dropbox API v2, emulated: one account with its namespaces, the three hosts and the token endpoint.
//!
//! The Dropbox contract is enforced to the letter, so that a client's mistake is found here and not at a
//! customer: styles and content types, header-safe arguments, path and name rules, write modes, upload
//! sessions, cursors that follow real changes, scopes, path roots. What the contract leaves open is an
//! option. A route, a member or a fault name that the emulator does not know is refused by name.
//!
//! [`Dropbox::open`] gives the service, [`Dropbox::router_api`] and its siblings serve it, and the methods
//! in `admin` seed and inspect it without going over HTTP.

mod admin;
mod auth;
mod call;
mod error;
mod folders;
mod ids;
mod limits;
mod list;
mod meta;
mod paths;
mod properties;
mod read;
mod receive;
mod revisions;
mod route;
mod session;
mod session_batch;
mod session_finish;
mod sharing;
mod state;
mod tags;
mod tree;
mod users;
mod webhook;
mod wire;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use windlass_core::{Clock, SystemClock};

pub use admin::{AdminError, CallCount, FileEntry, TreeEntry};
pub use limits::{LockModel, RateModel};
pub use sharing::{LinkEntry, MemberEntry};

use crate::blob::{BlobStore, lock};
use crate::fault::{FaultProfile, Faults};
use crate::journal::{Journal, JournalError};
use limits::Limits;
use session::Upload;
use state::{Event, Ns, State};

/// What the journal's first line names; a change of the event format changes it.
const JOURNAL: &str = "windlass-sandbox-dropbox-1";

/// The home namespace of the account.
const HOME: Ns = 1_000_001;
/// The root namespace of an account in a team with team space.
const TEAM_ROOT: Ns = 1_000_002;

/// The fault names that only this service knows, after `service:` in a fault profile.
const SERVICE_FAULTS: [&str; 12] = [
    "cursor-reset",
    "empty-page",
    "reversed-page",
    "lock",
    // The first upload session that the call names has expired.
    "session-gone",
    // Every other entry of an `append_batch` finds its session expired, of a `finish_batch_v2` its folder locked.
    "entries",
    // Half of what the call appends arrives and stays, then the connection breaks.
    "partial",
    // What shall be moved or copied was made so short a time ago that it is not there yet.
    "not-yet-there",
    // A batch of copies or moves takes no file twice.
    "repeated-from",
    // What a batch does as a job cannot be asked after.
    "job-lost",
    // A move, a copy or a mount would take more room than there is.
    "no-quota",
    // An error that says that a link is there does not say which one.
    "bare-error",
];

/// How the emulated account behaves. The defaults are the contract's.
#[derive(Clone, Debug)]
pub struct DropboxOptions {
    /// Where state and bytes are kept; None keeps them in memory.
    pub dir: Option<PathBuf>,
    /// Hashes contents that are uploaded and forgets them; for measuring. Without effect where `dir` is given.
    pub forgetful: bool,
    /// Ids, revisions and tokens follow from it. A folder keeps the seed it was made with.
    pub seed: u64,
    /// Latency and faults.
    pub faults: FaultProfile,
    /// How long an access token lives.
    pub token_lifetime: Duration,
    /// The scopes that the app has; tokens get all of them unless a grant asks for fewer.
    pub app_scopes: Vec<String>,
    /// Throttles calls; None never does.
    pub rate: Option<RateModel>,
    /// Serialises writes to a namespace; None lets every write through.
    pub lock: Option<LockModel>,
    /// The most bytes in all request headers together; beyond it the answer is 431.
    pub header_bytes_max: usize,
    /// Entries on a listing page when the call asks for no limit.
    pub page_entries: usize,
    /// Whether `Dropbox-API-Arg` may carry raw UTF-8.
    pub raw_utf8_headers: bool,
    /// Whether names may have characters beyond U+FFFF.
    pub emoji_names: bool,
    /// Whether a concurrent session takes appends after the closing one.
    pub late_appends: bool,
    /// Whether a change of tags or properties appears in change listings.
    pub annotations_listed: bool,
    /// With a path such as `/Ada`, the account is in a team with team space and its root namespace is not
    /// its home.
    pub team_home: Option<String>,
    /// Bytes the account may store.
    pub quota_bytes: u64,
    /// Upload calls that the team's plan includes a month of UTC; None: as many as one likes.
    pub monthly_calls: Option<u64>,
    /// Whether the service has `upload_session/append_batch`, which is younger than the other routes.
    pub append_batch: bool,
    /// From so many entries on a batch of copies or moves goes on as a job that is asked after.
    pub job_entries_min: usize,
    /// Whether sharing a folder goes on as a job that is asked after.
    pub share_jobs: bool,
    /// Whether a file that moves into or out of a shared folder has another id and revision there.
    pub moves_change_ids: bool,
    /// Whether the plan lacks links that end, have a password or are for a team.
    pub basic_plan: bool,
    /// How long an upload session lives.
    pub session_lifetime: Duration,
    /// The time of day for tokens, sessions and modification times.
    pub clock: Arc<dyn Clock>,
}

impl Default for DropboxOptions {
    fn default() -> Self {
        DropboxOptions {
            dir: None,
            forgetful: false,
            seed: 0,
            faults: FaultProfile::default(),
            token_lifetime: Duration::from_secs(14_400),
            app_scopes: auth::USER_SCOPES.iter().map(|&s| s.to_owned()).collect(),
            rate: None,
            lock: None,
            header_bytes_max: 60 << 10,
            page_entries: 500,
            raw_utf8_headers: true,
            emoji_names: true,
            late_appends: false,
            annotations_listed: true,
            team_home: None,
            quota_bytes: 2 << 40,
            monthly_calls: None,
            append_batch: true,
            job_entries_min: 100,
            share_jobs: false,
            moves_change_ids: false,
            basic_plan: false,
            session_lifetime: Duration::from_hours(7 * 24),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why the emulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("the sandbox folder {path} cannot be used: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The record of what happened cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fault rule asks for something that this service cannot do.
    #[error("Dropbox has no fault named {name:?}; it has {}", SERVICE_FAULTS.join(", "))]
    UnknownFault {
        /// What follows `service:`.
        name: String,
    },
}

/// The emulated service.
pub struct Dropbox {
    options: DropboxOptions,
    faults: Faults,
    blobs: BlobStore,
    journal: Option<Journal<Event>>,
    state: Mutex<State>,
    /// The bytes of open upload sessions, by session id.
    uploads: Mutex<HashMap<String, Arc<Upload>>>,
    /// Batches that go on as jobs; they end with the process, as the contract leaves open.
    jobs: Mutex<HashMap<String, folders::BatchJob>>,
    sharing: sharing::Sharing,
    /// The number of the latest change, for those who wait for one.
    changed: watch::Sender<u64>,
    /// Those who send notices to the addresses that are registered.
    webhooks: Mutex<Vec<AbortOnDropHandle<()>>>,
    limits: Limits,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    bytes_served: AtomicU64,
    bytes_received: AtomicU64,
    bytes_received_again: AtomicU64,
    routes: Mutex<HashMap<&'static str, u64>>,
}

impl fmt::Debug for Dropbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dropbox")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Dropbox {
    /// Starts the service, from its folder if it has one.
    pub fn open(options: DropboxOptions) -> Result<Arc<Self>, OpenError> {
        let faults = Faults::new(options.faults.clone(), options.seed);
        let unknown = faults
            .service_names()
            .find(|name| !SERVICE_FAULTS.contains(name));
        if let Some(name) = unknown {
            return Err(OpenError::UnknownFault {
                name: name.to_owned(),
            });
        }
        let mut state = State::default();
        let (blobs, journal) = match &options.dir {
            None => (BlobStore::in_memory(options.forgetful), None),
            Some(dir) => {
                let (blobs, journal) = open_folder(dir, &mut state)?;
                (blobs, Some(journal))
            }
        };
        let dropbox = Dropbox {
            limits: Limits::new(&options),
            faults,
            blobs,
            journal,
            changed: watch::Sender::new(state.seq),
            webhooks: Mutex::default(),
            state: Mutex::new(state),
            uploads: Mutex::default(),
            jobs: Mutex::default(),
            sharing: sharing::Sharing::default(),
            counters: Arc::default(),
            options,
        };
        dropbox.settle().map_err(|source| OpenError::Folder {
            path: dropbox.options.dir.clone().unwrap_or_default(),
            source,
        })?;
        Ok(Arc::new(dropbox))
    }

    /// Brings a new account into being, or picks up the upload sessions of an old one.
    fn settle(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.grant == 0 {
            let mut events = vec![
                Event::Born {
                    seed: self.options.seed,
                },
                Event::Granted,
            ];
            for (ns, name) in [(HOME, "home"), (TEAM_ROOT, "team")] {
                let name = name.to_owned();
                events.push(Event::Namespace { ns, name });
            }
            self.commit(&mut state, events)?;
        }
        let live = state.live_blobs();
        self.blobs.sweep(|id| live.contains(&id))?;
        let mut gone = Vec::new();
        for (id, session) in &state.sessions {
            match self.blobs.resume(session.blob) {
                Ok(writer) => {
                    let upload = Arc::new(Upload::resumed(writer));
                    lock(&self.uploads).insert(id.clone(), upload);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    gone.push(Event::SessionGone { id: id.clone() });
                }
                Err(error) => return Err(error),
            }
        }
        self.commit(&mut state, gone)
    }

    /// Makes events durable, then true, then known to those who wait for changes.
    fn commit(&self, state: &mut State, events: Vec<Event>) -> io::Result<()> {
        for event in events {
            if let Some(journal) = &self.journal {
                journal.append(&event)?;
            }
            state.apply(event);
        }
        self.changed.send_replace(state.seq);
        Ok(())
    }

    /// The namespace that paths are relative to unless a call says otherwise.
    fn root_namespace(&self) -> Ns {
        match self.options.team_home {
            Some(_) => TEAM_ROOT,
            None => HOME,
        }
    }

    fn received_again(&self, bytes: u64) {
        let counter = &self.counters.bytes_received_again;
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    fn received(&self, bytes: u64) {
        let counter = &self.counters.bytes_received;
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn open_folder(
    dir: &std::path::Path,
    state: &mut State,
) -> Result<(BlobStore, Journal<Event>), OpenError> {
    let folder = |source| OpenError::Folder {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(folder)?;
    let blobs = BlobStore::open(dir.join("blobs")).map_err(folder)?;
    let path = dir.join("journal.jsonl");
    let journal = Journal::open(path, JOURNAL, |event| state.apply(event))?;
    Ok((blobs, journal))
}

#[cfg(test)]
mod tests;
