//! Reading: a sorted walk in pages, and positioned reads that notice a file changing under them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use async_trait::async_trait;
use windlass_core::{
    Asset, AssetId, AssetPath, Change, ChangePage, Cursor, Endpoint, Error, Folder, Kind, Result,
    Scope, Source, Status,
};

use crate::endpoint::{LocalEndpoint, blocking, io_error};
use crate::paths::{asset, is_part, resolve, revision};

/// How many entries one page of a walk has at least before it ends.
const PAGE_ENTRIES: usize = 1_000;

/// The cursor of a walk that is over.
const WALKED: &str = "walked";

#[async_trait]
impl Source for LocalEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let after = match cursor.map(Cursor::as_str) {
            None => None,
            Some(WALKED) => {
                return Err(Error::new(
                    Kind::CursorReset,
                    "a folder cannot say what changed since a walk; it is walked again",
                ));
            }
            Some(text) => Some(after_of(text)?),
        };
        let root = self.root.clone();
        let start = resolve(&root, &scope.root)?;
        let top = scope.root.clone();
        blocking(move || {
            let listing = Walk {
                after,
                changes: Vec::new(),
                full: false,
            }
            .run(&start, &top)?;
            Ok(listing)
        })
        .await
    }

    async fn stat(&self, id: &AssetId) -> Result<Option<Asset>> {
        let path = AssetPath::new(id.as_str());
        let file = resolve(&self.root, &path)?;
        blocking(move || match fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.is_file() => Ok(Some(asset(path, &metadata))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("look at a file", &file, error)),
        })
        .await
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        Ok(vec![Vec::new(); assets.len()])
    }

    async fn read(
        &self,
        asset: &Asset,
        range: std::ops::Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<()> {
        let file = resolve(&self.root, &asset.path)?;
        let planned = asset.clone();
        // The buffer travels to the blocking thread and back, so that its memory is reused. When the
        // caller drops this future the buffer is lost with it, and its permit is the caller's to free.
        let mut buffer = std::mem::take(into);
        let (result, buffer) = blocking(move || {
            let result = read_range(&file, &planned, range, &mut buffer);
            Ok((result, buffer))
        })
        .await?;
        *into = buffer;
        result
    }
}

fn after_of(cursor: &str) -> Result<Vec<String>> {
    match cursor.strip_prefix("after:") {
        Some(path) => Ok(path.split('/').map(str::to_owned).collect()),
        None => Err(Error::new(
            Kind::CursorReset,
            "the cursor is not one of a folder walk",
        )),
    }
}

/// One page of a depth-first walk in the order of names. Stateless between pages: it skips everything
/// up to the path where the last page ended.
struct Walk {
    after: Option<Vec<String>>,
    changes: Vec<Change>,
    full: bool,
}

impl Walk {
    fn run(mut self, start: &Path, top: &AssetPath) -> Result<ChangePage> {
        let metadata = fs::symlink_metadata(start).map_err(|error| {
            io_error("list the folder", start, error).with_hint("correct the path of the scope")
        })?;
        if !metadata.is_dir() {
            return Err(
                Error::new(Kind::NotFound, "the scope is not a folder").with_context("path", top)
            );
        }
        self.walk(start, top, 0)?;
        let cursor = match (self.full, self.changes.last()) {
            (true, Some(Change::Asset(last))) => format!("after:{}", relative(top, &last.path)),
            (true, Some(Change::Folder(last))) => format!("after:{}", relative(top, &last.path)),
            _ => WALKED.to_owned(),
        };
        Ok(ChangePage {
            changes: self.changes,
            cursor: Cursor::new(cursor),
            more: self.full,
        })
    }

    fn walk(&mut self, folder: &Path, shown: &AssetPath, depth: usize) -> Result<()> {
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|error| io_error("list the folder", folder, error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                tracing::warn!(path = %entry.path().display(), "left out: its name is not UTF-8");
                continue;
            };
            // Where the last page ended, at this depth: earlier names are done; the name itself is
            // done too, but a folder of that name may have more below.
            let resume = self
                .after
                .as_ref()
                .and_then(|after| after.get(depth))
                .cloned();
            let done = match resume.as_deref() {
                Some(at) if name < at => continue,
                Some(at) if name == at => true,
                _ => {
                    self.after = None;
                    false
                }
            };
            if self.full {
                return Ok(());
            }
            self.entry(&entry, shown.join(name), done, depth)?;
            if done {
                self.after = None;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &fs::DirEntry,
        path: AssetPath,
        done: bool,
        depth: usize,
    ) -> Result<()> {
        let metadata = match entry.path().symlink_metadata() {
            Ok(metadata) => metadata,
            // It went away between listing and looking.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error("look at a file", &entry.path(), error)),
        };
        if metadata.is_dir() {
            if !done {
                let id = AssetId::new(path.as_str());
                self.add(Change::Folder(Folder {
                    id,
                    path: path.clone(),
                }));
            }
            if self.full {
                return Ok(());
            }
            return self.walk(&entry.path(), &path, depth + 1);
        }
        if done || is_part(path.name()) {
            return Ok(());
        }
        if !metadata.is_file() {
            tracing::warn!(%path, "left out: neither a file nor a folder");
            return Ok(());
        }
        self.add(Change::Asset(asset(path, &metadata)));
        Ok(())
    }

    fn add(&mut self, change: Change) {
        self.changes.push(change);
        self.full = self.changes.len() >= PAGE_ENTRIES;
    }
}

fn relative(top: &AssetPath, path: &AssetPath) -> String {
    path.as_str()[top.as_str().len()..]
        .trim_start_matches('/')
        .to_owned()
}

fn read_range(
    file: &Path,
    asset: &Asset,
    range: std::ops::Range<u64>,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    let handle = File::open(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => changed(asset, "vanished"),
        _ => io_error("read a file", file, error),
    })?;
    verify(&handle, file, asset)?;
    let start = buffer.len();
    let length = usize::try_from(range.end - range.start)
        .map_err(|_| Error::new(Kind::InvalidInput, "the range does not fit into memory"))?;
    buffer.resize(start + length, 0);
    match handle.read_exact_at(&mut buffer[start..], range.start) {
        Ok(()) => verify(&handle, file, asset),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(changed(asset, "shrank"))
        }
        Err(error) => Err(io_error("read a file", file, error)),
    }
}

/// Compares the open file with the revision that was asked for.
fn verify(handle: &File, file: &Path, asset: &Asset) -> Result<()> {
    let metadata = handle
        .metadata()
        .map_err(|error| io_error("look at a file", file, error))?;
    if revision(&metadata) == asset.revision {
        return Ok(());
    }
    Err(changed(
        asset,
        match metadata.len().cmp(&asset.size) {
            std::cmp::Ordering::Less => "shrank",
            std::cmp::Ordering::Greater => "grew",
            std::cmp::Ordering::Equal => "changed",
        },
    ))
}

fn changed(asset: &Asset, how: &str) -> Error {
    Error::new(
        Kind::SourceChanged,
        format!("the file {how} while it was read"),
    )
    .with_context("path", &asset.path)
    .with_status(Status::Permanent)
    .with_hint("wait until it is completely written; the next run plans it again")
}

impl LocalEndpoint {
    /// The name for messages.
    pub(crate) fn label(&self) -> &str {
        Endpoint::name(self)
    }
}
