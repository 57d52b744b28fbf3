//! What the configuration says about a Dropbox account.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use windlass_core::{AssetPath, Clock, Secret, SystemClock};
use windlass_http::{Governor, Jitter};

/// How we prove who we are.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A short-lived access token (`sl.…`). It cannot be renewed: good for a trial, not for a run of
    /// more than four hours.
    AccessToken(Secret),
    /// The refresh-token grant. Access tokens are fetched as needed.
    Refresh {
        /// The app key.
        app_key: String,
        /// The app secret; absent where the grant was made with PKCE.
        app_secret: Option<Secret>,
        /// The refresh token. It does not rotate.
        refresh_token: Secret,
    },
}

/// Which namespace is the root of all paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PathRoot {
    /// Asked for at connect: the team's root where the account has a team space, else the home.
    #[default]
    Detect,
    /// The member's home folder, which holds no team folders.
    Home,
    /// The namespace of this id: a shared or team folder.
    Namespace(String),
}

/// A Dropbox account as an endpoint. Start from [`DropboxOptions::new`] and change fields.
#[derive(Clone, Debug)]
pub struct DropboxOptions {
    /// The endpoint's name.
    pub name: String,
    /// Carries rpc routes and the token route.
    pub api_url: Url,
    /// Carries uploads and downloads.
    pub content_url: Url,
    /// Carries long polls.
    pub notify_url: Url,
    /// How we prove who we are.
    pub credential: Credential,
    /// Which namespace is the root of all paths.
    pub path_root: PathRoot,
    /// For team tokens: the member on whose behalf we act (`dbmid:…`).
    pub select_user: Option<String>,
    /// How many uploads of chunks, and how many downloads, are under way at once at most. They begin with 16 and with 4,
    /// and double while that moves more: a path that gives each connection 25 MB/s needs 40 of them to fill a line of 1 GB/s.
    pub transfers: usize,
    /// How many metadata calls are under way at once.
    pub lookups: usize,
    /// How many calls that move or delete are under way at once. Dropbox serialises them by a lock on
    /// the namespace, so more than one mostly draws `too_many_write_operations`. Commits of uploads go
    /// one at a time in each namespace whatever this says.
    pub commits: usize,
    /// Whether small files share requests.
    pub express: bool,
    /// How many bytes of small files travel in one request; at most 148 MiB.
    pub batch_bytes: u64,
    /// How long the header may be that carries a batch's argument, in bytes. It is halved where a
    /// request is refused for it; the service's own limit is not documented.
    pub batch_header_bytes: usize,
    /// Whether chunks of large files travel in any order, several at once.
    pub concurrent_sessions: bool,
    /// Whether files say themselves where they came from, in a property that only this app sees, so that a lost ledger can
    /// be made again from them. Takes two calls more for each process that places something.
    pub stamps: bool,
    /// Whether people are invited to shared folders without a mail.
    pub quiet_invitations: bool,
    /// Folders that are namespaces of their own (team and shared folders): commits to one do not wait
    /// for those to another. Everything else counts as one namespace.
    pub namespaces: Vec<AssetPath>,
    /// How long a commit whose answer was lost, or whose folder others are writing to, is tried before
    /// its error is reported. Its bytes are safe with Dropbox for seven days.
    pub commit_patience: Duration,
    /// How often one call is sent at most when sends fail.
    pub tries: u32,
    /// How long one call waits in all because Dropbox asked it to.
    pub patience: Duration,
    /// Where the randomness of backoffs comes from.
    pub jitter: Jitter,
    /// What holds the account's calls to what it bears, and counts those that a month has; to be shared by all endpoints of
    /// the account. Without one the endpoint makes its own.
    pub governor: Option<Governor>,
    /// The time of day, by which the age of upload sessions is told.
    pub clock: Arc<dyn Clock>,
}

impl DropboxOptions {
    /// The real hosts, with limits that suit one account.
    pub fn new(name: impl Into<String>, credential: Credential) -> Self {
        let host = |host: &str| match Url::parse(&format!("https://{host}.dropboxapi.com/")) {
            Ok(url) => url,
            Err(_) => unreachable!("the hosts are literals"),
        };
        DropboxOptions {
            name: name.into(),
            api_url: host("api"),
            content_url: host("content"),
            notify_url: host("notify"),
            credential,
            path_root: PathRoot::default(),
            select_user: None,
            transfers: 64,
            lookups: 4,
            commits: 1,
            express: true,
            batch_bytes: 64 << 20,
            batch_header_bytes: 48 << 10,
            concurrent_sessions: true,
            stamps: false,
            quiet_invitations: false,
            namespaces: Vec::new(),
            commit_patience: Duration::from_secs(60 * 60),
            tries: 6,
            patience: Duration::from_secs(30 * 60),
            jitter: Jitter::random(),
            governor: None,
            clock: Arc::new(SystemClock),
        }
    }
}
