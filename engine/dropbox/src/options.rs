//! What the configuration says about a Dropbox account.

use std::time::Duration;

use url::Url;
use windlass_core::Secret;
use windlass_http::Jitter;

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
    /// How many uploads of chunks and downloads are under way at once.
    pub transfers: usize,
    /// How many metadata calls are under way at once.
    pub lookups: usize,
    /// How many calls that change a folder are under way at once. Dropbox serialises them by a lock on
    /// the namespace, so more than one mostly draws `too_many_write_operations`.
    pub commits: usize,
    /// How often one call is sent at most when sends fail.
    pub tries: u32,
    /// How long one call waits in all because Dropbox asked it to.
    pub patience: Duration,
    /// Where the randomness of backoffs comes from.
    pub jitter: Jitter,
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
            transfers: 8,
            lookups: 4,
            commits: 1,
            tries: 6,
            patience: Duration::from_secs(30 * 60),
            jitter: Jitter::random(),
        }
    }
}
