//! The account itself: connecting, the capability sheet, and whether it can be used.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use unicode_normalization::UnicodeNormalization;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{
    Asset, AssetId, AssetPath, Capabilities, CheckItem, Clock, Endpoint, Error, HeldBack, Kind,
    Readable, Result, Reuse, Revision, Together, UploadOrder,
};
use windlass_http::{CountedTransport, Transport};

use crate::client::Api;
use crate::commits::{self, Commits};
use crate::errors::{
    CreateFolderError, DownloadError, Failure, LookupError, PollError, WriteConflict, WriteError,
};
use crate::express::{self, Express};
use crate::governing::Governing;
use crate::lock;
use crate::options::{DropboxOptions, PathRoot};
use crate::pool::{Pool, START_BATCH_MAX};
use crate::session::CHUNK_BYTES_MAX;
use crate::stamps::Stamps;
use crate::wire::{Account, FileMetadata, PathRootHeader, SessionType};

/// The largest file, as documented: 2 TiB less one block.
const ASSET_BYTES_MAX: u64 = (1 << 41) - (1 << 22);

/// The longest name, as documented; an emoji counts as two.
pub(crate) const NAME_UNITS_MAX: usize = 255;

/// Up to this size a file shares requests with others: sixteen of them still fill one, and each takes four
/// times as long to send as to ask for.
pub(crate) const SMALL_BYTES_MAX: u64 = 4 << 20;

/// How many small uploads it pays to have under way: a batch being filled, a batch being committed. Twice as many
/// took a quarter more memory and no less time.
const SMALL_AT_ONCE: usize = 2_000;

/// How long a batch of appends that is not full waits for more that is coming: reading small files takes
/// less, and a call takes several times as long. What waits is in the budget, so it is short.
const PACK_IDLE: Duration = Duration::from_millis(25);
const PACK_QUIET: Duration = Duration::from_millis(2);
const PACK_AGE: Duration = Duration::from_millis(500);

/// How many batches of appends are under way at once. With 64 MiB each they fill a gigabit path at 80 ms.
const PACK_FLIGHTS: usize = 4;

/// How long commits that are ready wait for more that is coming. They hold no bytes here.
const COMMIT_IDLE: Duration = Duration::from_millis(100);
const COMMIT_AGE: Duration = Duration::from_secs(1);

/// The most commits in one call, as documented.
pub(crate) const COMMITS_MAX: usize = 1_000;

/// The most sessions for large files that are started ahead of need.
pub(crate) const LARGE_AHEAD: usize = 64;

/// A revision that nobody has, to see whether reading is allowed without reading anything.
const NO_REVISION: &str = "rev:000000000000000";

/// A job that nobody has, to see whether sharing is allowed without sharing anything.
const NO_JOB: &str = "dbjid:000000000000000000000000";

/// A Dropbox account as source and sink.
#[derive(Debug)]
pub struct DropboxEndpoint {
    name: String,
    pub(crate) api: Api,
    pub(crate) commits: Arc<Commits>,
    pub(crate) express: Option<Express>,
    /// Sessions for large files, ahead of need.
    pub(crate) sessions: Pool,
    pub(crate) session_type: SessionType,
    pub(crate) clock: Arc<dyn Clock>,
    /// Folded paths of folders that are namespaces, the longest first. Bounded by the folders that are configured or shared.
    namespaces: Mutex<Vec<Arc<str>>>,
    pub(crate) quiet_invitations: bool,
    /// The folded address of this account, once somebody asked.
    pub(crate) own_email: OnceCell<String>,
    capabilities: Capabilities,
    root: Option<PathRootHeader>,
    transport: CountedTransport,
    pub(crate) stamps: Stamps,
    pub(crate) governing: Governing,
    /// How small contents are packed.
    pub(crate) packing: express::Rules,
}

impl DropboxEndpoint {
    /// Connects an account. With [`PathRoot::Detect`] this asks Dropbox for the account's root; with the
    /// others it sends nothing.
    ///
    /// Errors: those of the credential, and `Config` for options that cannot be sent.
    pub async fn connect(
        transport: Arc<dyn Transport>,
        options: DropboxOptions,
    ) -> Result<Arc<Self>> {
        let counted = CountedTransport::new(transport);
        let mut api = Api::new(Arc::new(counted.clone()), &options)?;
        let root = match &options.path_root {
            PathRoot::Home => Some(PathRootHeader::Home),
            PathRoot::Namespace(id) => Some(PathRootHeader::NamespaceId {
                namespace_id: id.clone(),
            }),
            PathRoot::Detect => detect(&api.account().await.map_err(|failure| {
                let error: Error = failure.into();
                error.with_context("endpoint", &options.name)
            })?),
        };
        if let Some(root) = &root {
            api.set_root(root)?;
        }
        Ok(Arc::new(DropboxEndpoint::new(api, options, root, counted)))
    }

    fn new(
        api: Api,
        options: DropboxOptions,
        root: Option<PathRootHeader>,
        transport: CountedTransport,
    ) -> Self {
        let session_type = match options.concurrent_sessions {
            true => SessionType::Concurrent,
            false => SessionType::Sequential,
        };
        let pool = |session_type, most| {
            Pool::new(api.clone(), session_type, most, Arc::clone(&options.clock))
        };
        let commits = commits::Rules {
            entries_max: COMMITS_MAX,
            idle: COMMIT_IDLE,
            age: COMMIT_AGE,
            patience: options.commit_patience,
        };
        let packing = express::Rules {
            batch_bytes: options.batch_bytes.clamp(SMALL_BYTES_MAX, CHUNK_BYTES_MAX),
            header_bytes: options.batch_header_bytes,
            idle: PACK_IDLE,
            quiet: PACK_QUIET,
            age: PACK_AGE,
            flights: PACK_FLIGHTS,
        };
        let small = pool(SessionType::Sequential, START_BATCH_MAX);
        DropboxEndpoint {
            transport,
            packing,
            stamps: Stamps::new(api.clone(), options.stamps),
            governing: Governing::new(api.clone()),
            commits: Arc::new(Commits::new(api.clone(), commits)),
            express: options
                .express
                .then(|| Express::new(api.clone(), small, packing)),
            sessions: pool(session_type, LARGE_AHEAD),
            session_type,
            clock: options.clock,
            namespaces: Mutex::new(namespaces(&options.namespaces)),
            quiet_invitations: options.quiet_invitations,
            own_email: OnceCell::new(),
            capabilities: capabilities(options.concurrent_sessions, options.express),
            root,
            name: options.name,
            api,
        }
    }

    /// The namespace whose lock a write to this path takes, by its folded path; empty for the account's
    /// own.
    pub(crate) fn namespace_of(&self, path: &AssetPath) -> Arc<str> {
        let key = path.key();
        let below = |root: &&Arc<str>| {
            key.strip_prefix(&***root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let namespaces = lock(&self.namespaces);
        let found = namespaces.iter().find(below);
        found.map_or_else(|| Arc::from(""), Arc::clone)
    }

    /// A folder is a namespace of its own from now on: commits to it wait for no others.
    pub(crate) fn add_namespace(&self, folder: &AssetPath) {
        let mut namespaces = lock(&self.namespaces);
        let key: Arc<str> = folder.key().into();
        if !namespaces.contains(&key) {
            namespaces.push(key);
            namespaces.sort_by_key(|key| std::cmp::Reverse(key.len()));
        }
    }

    /// Creates a folder with its parents. One that is there is fine.
    pub async fn create_folder(&self, path: &AssetPath) -> Result<()> {
        match self.api.create_folder(&wire_path(path)).await {
            Ok(_)
            | Err(Failure::Route(
                CreateFolderError::Path(WriteError::Conflict(WriteConflict::Folder)),
                _,
            )) => Ok(()),
            Err(other) => Err(Error::from(other).with_context("path", path)),
        }
    }

    /// How many requests are under way, bodies included. Zero at rest.
    pub fn in_flight(&self) -> usize {
        self.api.in_flight() + self.commits.in_flight()
    }

    /// How many small files wait to be packed. Zero at rest.
    pub fn waiting_to_be_packed(&self) -> usize {
        self.express.as_ref().map_or(0, Express::waiting)
    }

    async fn check_account(&self) -> Result<CheckItem> {
        let account = self.api.account().await.map_err(Error::from);
        item("account", account, |account| {
            let root = match &self.root {
                Some(PathRootHeader::Root { root }) => format!("team space {root}"),
                Some(PathRootHeader::NamespaceId { namespace_id }) => {
                    format!("namespace {namespace_id}")
                }
                Some(PathRootHeader::Home) | None => "home folder".to_owned(),
            };
            format!("{}, paths start at the {root}", account.email)
        })
    }

    /// Whether links and shared folders can be made, which only flows that hand out need.
    async fn check_sharing(&self) -> Result<CheckItem> {
        let reading = self.api.list_folders(1).await.map(drop);
        let writing = match self.api.share_job(NO_JOB).await {
            // That there is no such job is the expected answer: it was looked for.
            Ok(_) | Err(Failure::Route(PollError::InvalidAsyncJobId, _)) => Ok(()),
            Err(other) => Err(Error::from(other)),
        };
        let both = reading.map_err(Error::from).and(writing);
        let mut sharing = item("sharing", both, |()| {
            "links and shared folders may be made".to_owned()
        })?;
        if !sharing.ok {
            sharing.ok = true;
            sharing.finding = format!(
                "no links and no shared folders, which only flows that hand out need: {}",
                sharing.finding
            );
        }
        Ok(sharing)
    }

    async fn check_reading(&self) -> Result<CheckItem> {
        let probe = match self.api.download(NO_REVISION, None).await {
            // That there is no such revision is the expected answer: it was looked for.
            Ok(_)
            | Err(Failure::Route(
                DownloadError::Path(LookupError::NotFound | LookupError::MalformedPath(_)),
                _,
            )) => Ok(()),
            Err(other) => Err(Error::from(other)),
        };
        item("reading", probe, |()| {
            "file contents may be read".to_owned()
        })
    }
}

#[async_trait]
impl Endpoint for DropboxEndpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.api.held_back().or_else(|| self.commits.held_back())
    }

    fn calls_made(&self) -> u64 {
        self.transport.sent()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        let credential = self.api.check_user().await.map_err(Error::from);
        let echoed = credential.and_then(|echo| match echo.result.as_str() {
            "windlass" => Ok(()),
            _ => Err(Error::new(
                Kind::Unexpected,
                "the service does not answer as Dropbox does",
            )
            .with_hint("check the endpoint's URLs")),
        });
        let credential = item("credential", echoed, |()| "Dropbox accepts it".to_owned())?;
        if !credential.ok {
            return Ok(vec![credential]);
        }
        let listing = self.api.latest_cursor("").await.map_err(Error::from);
        // An empty session is the smallest thing that needs the permission; it expires by itself.
        let session = self
            .api
            .start(SessionType::Sequential)
            .await
            .map_err(Error::from);
        let mut items = vec![
            credential,
            self.check_account().await?,
            item("listing", listing, |_| "folders may be listed".to_owned())?,
            self.check_reading().await?,
            item("writing", session, |_| "files may be written".to_owned())?,
        ];
        if self.stamps.are_wanted() {
            let templates = self.stamps.templates().await.map(drop);
            let mut stamps = item("stamps", templates, |()| {
                "files say themselves where they came from".to_owned()
            })?;
            if !stamps.ok {
                // Nothing that flows need, as long as the ledger is there.
                stamps.ok = true;
                stamps.finding = format!("files go without: {}", stamps.finding);
            }
            items.push(stamps);
        }
        items.push(self.check_sharing().await?);
        Ok(items)
    }
}

/// A finding. What says that Dropbox cannot be asked at all is an error.
fn item<T>(subject: &str, looked: Result<T>, found: impl FnOnce(T) -> String) -> Result<CheckItem> {
    let (ok, finding, hint) = match looked {
        Ok(value) => (true, found(value), None),
        Err(error)
            if matches!(
                error.kind(),
                Kind::Unavailable | Kind::Limited | Kind::Cancelled
            ) =>
        {
            return Err(error);
        }
        Err(error) => (false, error.to_string(), error.hint().map(str::to_owned)),
    };
    Ok(CheckItem {
        subject: subject.to_owned(),
        finding,
        ok,
        hint,
    })
}

/// Where team folders are visible: the team's root, if it is not the member's home.
fn detect(account: &Account) -> Option<PathRootHeader> {
    let info = &account.root_info;
    (info.root_namespace_id != info.home_namespace_id).then(|| PathRootHeader::Root {
        root: info.root_namespace_id.clone(),
    })
}

/// Folded, the deepest first, so that the first that holds a path is the one.
fn namespaces(paths: &[AssetPath]) -> Vec<Arc<str>> {
    let mut keys: Vec<Arc<str>> = paths.iter().map(|path| path.key().into()).collect();
    keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
    keys
}

fn capabilities(concurrent: bool, express: bool) -> Capabilities {
    Capabilities {
        range_reads: true,
        lists_content_hash: true,
        tags: true,
        metadata: false,
        upload_order: match concurrent {
            true => UploadOrder::Any,
            false => UploadOrder::InOrder,
        },
        chunk_multiple: BLOCK_BYTES as u64,
        chunk_bytes_max: CHUNK_BYTES_MAX,
        asset_bytes_max: Some(ASSET_BYTES_MAX),
        name_units_max: NAME_UNITS_MAX,
        folds_names: true,
        states_content_hash: true,
        wants_chunk_hash: true,
        resumes: true,
        together: express.then_some(Together {
            bytes_max: SMALL_BYTES_MAX,
            at_once: SMALL_AT_ONCE,
        }),
        digests_in_place: false,
        reuse: Some(Reuse::Copy),
        rings: true,
    }
}

/// A path as Dropbox compares it: composed, because a lookup in another normal form may find nothing.
pub(crate) fn wire_path(path: &AssetPath) -> String {
    path.as_str().nfc().collect()
}

/// A file as the rest of Windlass sees it. `None` for one that is mounted nowhere: it has no path.
pub(crate) fn asset(file: FileMetadata) -> Option<Asset> {
    let path = file.path_display.or(file.path_lower)?;
    Some(Asset {
        id: AssetId::new(file.id),
        path: AssetPath::new(&path),
        revision: Revision::new(file.rev),
        size: file.size,
        modified: Some(file.client_modified),
        content_hash: file.content_hash,
        tags: Vec::new(),
        readable: match file.is_downloadable {
            true => Readable::Yes,
            false => Readable::NeedsExport,
        },
    })
}
