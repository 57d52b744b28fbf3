//! Reading: what is there, and positioned reads that notice a file changing under them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use async_trait::async_trait;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, ChangePage, Cursor, Endpoint, Error, Kind, Result,
    Scope, Source, Status,
};

use crate::endpoint::{LocalEndpoint, blocking, io_error};
use crate::paths::{asset, resolve, revision};

#[async_trait]
impl Source for LocalEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let (start, top) = (resolve(&self.root, &scope.root)?, scope.root.clone());
        let (walks, cursor) = (self.walks.clone(), cursor.cloned());
        blocking(move || walks.page(&start, &top, cursor.as_ref())).await
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

    async fn open(&self, _asset: &Asset) -> Result<Box<dyn AssetStream>> {
        Err(Error::new(Kind::Unsupported, "files are read by ranges"))
    }
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
    let length = range.end - range.start;
    let room = usize::try_from(length)
        .map_err(|_| Error::new(Kind::InvalidInput, "the range does not fit into memory"))?;
    let before = buffer.len();
    buffer.reserve_exact(room);
    // Reads into the buffer's spare room: filling it with zeros first would touch every page twice.
    let read = (&handle)
        .seek(SeekFrom::Start(range.start))
        .and_then(|_| (&handle).take(length).read_to_end(buffer));
    match read {
        Ok(_) if buffer.len() - before == room => verify(&handle, file, asset),
        Ok(_) => Err(changed(asset, "shrank")),
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
