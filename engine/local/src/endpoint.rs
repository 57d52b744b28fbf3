//! The folder itself: its name, its capability sheet, and whether it can be used.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use windlass_core::{
    Capabilities, CheckItem, Endpoint, Error, HeldBack, Kind, Result, Together, UploadOrder,
};

use crate::handles::Handles;
use crate::root::Root;
use crate::session::boot;
use crate::sink::Tidied;
use crate::walk::Walks;

/// What the configuration says about a folder.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The endpoint's name.
    pub name: String,
    /// The folder; it must exist.
    pub root: PathBuf,
    /// Nobody but this process writes to files below the folder as long as it runs. Then large files are mapped into
    /// memory to hash them, which saves a copy. If somebody does truncate one in that moment, the process ends
    /// with a bus error; so only say this of a folder that is truly yours.
    pub exclusive: bool,
}

/// A folder as source and sink. Clones are the same one.
#[derive(Clone, Debug)]
pub struct LocalEndpoint {
    name: String,
    pub(crate) root: Root,
    pub(crate) exclusive: bool,
    capabilities: Capabilities,
    pub(crate) walks: Walks,
    pub(crate) handles: Handles,
    pub(crate) tidied: Tidied,
}

impl LocalEndpoint {
    /// Opens a folder. Errors: `NotFound` when it is not there, `Config` when it is not a folder.
    pub fn open(options: LocalOptions) -> Result<Self> {
        let root = options.root.canonicalize().map_err(|error| {
            Error::new(
                Kind::NotFound,
                "the folder does not exist or cannot be reached",
            )
            .with_context("endpoint", &options.name)
            .with_context("root", options.root.display())
            .with_source(error)
            .with_hint("create it, or correct `root` of the endpoint")
        })?;
        if !root.is_dir() {
            return Err(Error::new(Kind::Config, "the root is not a folder")
                .with_context("endpoint", &options.name)
                .with_context("root", root.display()));
        }
        let root = Root::open(&root).map_err(|error| {
            io_error("open the folder", &root, error.into()).with_context("endpoint", &options.name)
        })?;
        Ok(LocalEndpoint {
            name: options.name,
            root,
            exclusive: options.exclusive,
            capabilities: capabilities(),
            walks: Walks::default(),
            handles: Handles::default(),
            tidied: Tidied::default(),
        })
    }

    /// The name for messages.
    pub(crate) fn label(&self) -> &str {
        &self.name
    }

    /// The folder, as an absolute path without links.
    pub fn root(&self) -> &Path {
        self.root.path()
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        range_reads: true,
        lists_content_hash: false,
        tags: false,
        metadata: false,
        upload_order: UploadOrder::Any,
        chunk_multiple: 1,
        // Positioned writes take any size; this only bounds one blocking call.
        chunk_bytes_max: 256 << 20,
        asset_bytes_max: None,
        // The limit of common file systems is 255 bytes; names are measured again in bytes.
        name_units_max: 255,
        folds_names: false,
        states_content_hash: false,
        wants_chunk_hash: false,
        resumes: boot().is_some(),
        // Nothing is shared between files, but each waits for the disk on its own.
        together: Some(Together {
            bytes_max: 4 << 20,
            at_once: 64,
        }),
        digests_in_place: true,
        reuse: None,
        rings: false,
    }
}

#[async_trait]
impl Endpoint for LocalEndpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        let readable = tokio::fs::read_dir(self.root()).await;
        let writable = tokio::fs::metadata(self.root())
            .await
            .is_ok_and(|metadata| !metadata.permissions().readonly());
        Ok(vec![
            CheckItem {
                subject: "folder".into(),
                ok: readable.is_ok(),
                finding: match &readable {
                    Ok(_) => format!("{} can be listed", self.root().display()),
                    Err(error) => format!("{} cannot be listed: {error}", self.root().display()),
                },
                hint: readable
                    .is_err()
                    .then(|| "give the user that runs windlass read access".into()),
            },
            CheckItem {
                subject: "writing".into(),
                ok: true,
                finding: match writable {
                    true => "files may be written".into(),
                    false => "read-only: usable as a source".into(),
                },
                hint: None,
            },
        ])
    }

    fn held_back(&self) -> Option<HeldBack> {
        None
    }
}

/// Turns an I/O error into the shared one.
pub(crate) fn io_error(action: &'static str, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let kind = match error.kind() {
        Io::NotFound => Kind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => Kind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Kind::Capacity,
        Io::AlreadyExists => Kind::Conflict,
        Io::Interrupted | Io::TimedOut | Io::ResourceBusy => Kind::Unavailable,
        _ => Kind::Unexpected,
    };
    let hint = match kind {
        Kind::Capacity => Some("free space on the disk, then run again: finished files are kept"),
        Kind::Denied => Some("give the user that runs windlass access to the file"),
        _ => None,
    };
    let shared = Error::new(kind, format!("cannot {action}"))
        .with_context("path", path.display())
        .with_source(error);
    match hint {
        Some(hint) => shared.with_hint(hint),
        None => shared,
    }
}

/// Runs blocking file work away from the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(Kind::Unexpected, "file work ended abnormally").with_source(error)
    })?
}
