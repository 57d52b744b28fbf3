//! Writing: a hidden file beside the target, positioned writes in any order, one rename at the end.
//!
//! The hidden file's name follows from the correlation, so a later process finds what an earlier one wrote and
//! goes on with it, unless the machine was restarted in between: what was written but not yet on the disk is then
//! anybody's guess. Nothing is told to be placed before file and name are on the disk.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use windlass_core::digest::ContentHasher;
use windlass_core::{
    AssetId, AssetPath, Chunk, ContentHash, Correlation, Destination, Digests, Draft, Error,
    Evidence, Expected, Fault, Kind, Placed, Ranges, Result, Sink, UploadSession, preflight_name,
};

use crate::endpoint::{LocalEndpoint, blocking, io_error};
use crate::paths::{PART_PREFIX, PART_SUFFIX, resolve, revision};

#[async_trait]
impl Sink for LocalEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        Ok(drafts.iter().map(|draft| self.faults(draft)).collect())
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        let (path, replace) = match destination {
            Destination::New { draft } => (target(draft), false),
            Destination::Version { asset, .. } => (AssetPath::new(asset.as_str()), true),
        };
        let file = resolve(&self.root, &path)?;
        let part = file.with_file_name(format!("{PART_PREFIX}{correlation}{PART_SUFFIX}"));
        blocking(move || {
            if let Some(folder) = part.parent() {
                fs::create_dir_all(folder)
                    .map_err(|error| io_error("create the folder", folder, error))?;
            }
            let handle = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .open(&part)
                .map_err(|error| io_error("create the file", &part, error))?;
            let session = LocalSession {
                part,
                handle: Arc::new(handle),
                file,
                path,
                size,
                replace,
                written: Mutex::default(),
            };
            Ok(Box::new(session) as Box<dyn UploadSession>)
        })
        .await
    }

    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        let (path, replace) = match destination {
            Destination::New { draft } => (target(draft), false),
            Destination::Version { asset, .. } => (AssetPath::new(asset.as_str()), true),
        };
        let file = resolve(&self.root, &path)?;
        let part = file.with_file_name(format!("{PART_PREFIX}{correlation}{PART_SUFFIX}"));
        let written: Ranges = acknowledged.iter().cloned().collect();
        if boot() != Some(session.to_owned()) {
            return Ok(None);
        }
        blocking(move || {
            let handle = match OpenOptions::new().write(true).open(&part) {
                Ok(handle) => handle,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(io_error("open the file", &part, error)),
            };
            let length = handle.metadata().map(|metadata| metadata.len());
            let length = length.map_err(|error| io_error("look at a file", &part, error))?;
            // Shorter than what was acknowledged: somebody else touched it.
            let holds_all = written.iter().all(|range| range.end <= length) && length <= size;
            Ok(holds_all.then(|| {
                let session = LocalSession {
                    part,
                    handle: Arc::new(handle),
                    file,
                    path,
                    size,
                    replace,
                    written: Mutex::new(written),
                };
                Box::new(session) as Box<dyn UploadSession>
            }))
        })
        .await
    }

    async fn find(
        &self,
        destination: &Destination,
        _correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let path = match destination {
            Destination::New { draft } => target(draft),
            Destination::Version { asset, .. } => AssetPath::new(asset.as_str()),
        };
        let file = resolve(&self.root, &path)?;
        let expected = *expected;
        blocking(move || {
            let metadata = match fs::symlink_metadata(&file) {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(io_error("look at a file", &file, error)),
            };
            // Without a digest to compare with, a file of the same size proves nothing.
            let Some(wanted) = expected
                .content_hash
                .filter(|_| metadata.len() == expected.size)
            else {
                return Ok(None);
            };
            let found = hash(&file)?;
            Ok((found == wanted).then(|| Placed {
                asset: AssetId::new(path.as_str()),
                revision: revision(&metadata),
                size: metadata.len(),
                content_hash: Some(found),
                evidence: Evidence::E3,
            }))
        })
        .await
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        let from = resolve(&self.root, &AssetPath::new(asset.as_str()))?;
        let to = resolve(&self.root, &target(draft))?;
        if from == to {
            return Ok(());
        }
        blocking(move || {
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)
                    .map_err(|error| io_error("create the folder", folder, error))?;
            }
            settle(&from, &to, false)
        })
        .await
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let file = resolve(&self.root, &AssetPath::new(placed.asset.as_str()))?;
        let mine = placed.revision.clone();
        blocking(move || match fs::symlink_metadata(&file) {
            Ok(metadata) if revision(&metadata) == mine => {
                fs::remove_file(&file).map_err(|error| io_error("remove the file", &file, error))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("look at a file", &file, error)),
        })
        .await
    }
}

impl LocalEndpoint {
    fn faults(&self, draft: &Draft) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut whole = |message: String| {
            faults.push(Fault {
                field: None,
                message,
                hint: None,
            })
        };
        if let Err(problem) = preflight_name(&draft.file_name, 255) {
            whole(problem.to_string());
        }
        if draft.file_name.len() > 255 {
            whole("the name is longer than 255 bytes".to_owned());
        }
        if let Err(error) = resolve(&self.root, &target(draft)) {
            whole(error.to_string());
        }
        if draft.asset_type.is_some() || draft.availability.is_some() {
            whole(format!(
                "{} is a folder: it keeps no asset type or availability",
                self.label()
            ));
        }
        faults.extend(draft.fields.iter().map(|assigned| Fault {
            field: Some(assigned.field.clone()),
            message: format!("{} is a folder: it keeps no fields", self.label()),
            hint: Some("remove the field from the flow, or choose another sink".to_owned()),
        }));
        faults
    }
}

fn target(draft: &Draft) -> AssetPath {
    draft.collection.join(&draft.file_name)
}

fn hash(file: &Path) -> Result<ContentHash> {
    use std::io::Read;
    let mut handle = File::open(file).map_err(|error| io_error("read a file", file, error))?;
    let mut hasher = ContentHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match handle.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) => return Err(io_error("read a file", file, error)),
        }
    }
}

/// Moves a complete file into place. Without `replace`, a file that is there is a conflict.
fn settle(from: &Path, to: &Path, replace: bool) -> Result<()> {
    if !replace {
        // A hard link fails when the name is taken; a rename would replace silently.
        match fs::hard_link(from, to) {
            Ok(()) => {
                return fs::remove_file(from)
                    .map_err(|error| io_error("remove the temporary name", from, error));
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(
                    io_error("place the file: one of that name is there", to, error).with_hint(
                        "rename or move it; Windlass does not overwrite what it did not place",
                    ),
                );
            }
            // Shares without hard links: look, then rename.
            Err(_) if !to.exists() => {}
            Err(error) => return Err(io_error("place the file", to, error)),
        }
    }
    fs::rename(from, to).map_err(|error| io_error("place the file", to, error))
}

/// Names the time since the machine was started, where the system tells: what was written in it is still
/// there, whichever process wrote it.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[derive(Debug)]
struct LocalSession {
    /// The hidden file. It stays when the session is dropped, for a later one to go on with.
    part: PathBuf,
    handle: Arc<File>,
    file: PathBuf,
    path: AssetPath,
    size: u64,
    replace: bool,
    written: Mutex<Ranges>,
}

#[async_trait]
impl UploadSession for LocalSession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        let range = chunk.range();
        if range.end > self.size {
            return Err(Error::new(
                Kind::InvalidInput,
                "a chunk reaches beyond the announced size",
            ));
        }
        let handle = Arc::clone(&self.handle);
        let file = self.file.clone();
        blocking(move || {
            handle
                .write_all_at(&chunk.bytes, chunk.offset)
                .map_err(|error| io_error("write the file", &file, error))
        })
        .await?;
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(range);
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.to_vec()
    }

    fn checkpoint(&self) -> Option<String> {
        boot()
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        let received = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.prefix_end()
        };
        if received != self.size || digests.size != self.size {
            return Err(Error::new(Kind::Integrity, "the file is not complete")
                .with_context("received", received)
                .with_context("expected", self.size));
        }
        blocking(move || {
            let sync = |error| io_error("write the file", &self.file, error);
            self.handle.sync_all().map_err(sync)?;
            settle(&self.part, &self.file, self.replace)?;
            // The rename itself must survive a power cut before anybody is told of it.
            if let Some(folder) = self.file.parent() {
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .map_err(sync)?;
            }
            let metadata = self.handle.metadata().map_err(sync)?;
            Ok(Placed {
                asset: AssetId::new(self.path.as_str()),
                revision: revision(&metadata),
                size: metadata.len(),
                content_hash: None,
                evidence: Evidence::E0,
            })
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move || match fs::remove_file(&self.part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove an unfinished file", &self.part, error))
            }
            _ => Ok(()),
        })
        .await
    }
}
