//! Reading: what is there, and positioned reads that notice a file changing under them.
//!
//! A read looks at the file before its first byte and after its last one, on the file it has open, so what is given
//! out is of the revision that was asked for or not given out at all. A file that somebody replaces by renaming
//! another over it is noticed the same way: the open one has no name left.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use windlass_core::digest::ChecksumAlgorithm;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, ChangePage, Cursor, Digests, Error, Kind, Result,
    Scope, Source, Status,
};

use crate::endpoint::{LocalEndpoint, blocking};
use crate::handles::Handles;
use crate::paths::check;
use crate::root::Root;
use crate::stamp::{Differs, Stamp};

/// How much more room than it asks for a read may use. A buffer with more room than that is filled with zeros
/// first, up to the end of the range, because the file would otherwise be read far beyond it.
const OVERSHOOT_BYTES: usize = 64 << 10;

#[async_trait]
impl Source for LocalEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let (root, top) = (self.root.clone(), scope.root.clone());
        let (walks, cursor) = (self.walks.clone(), cursor.cloned());
        blocking(move || walks.page(&root, &top, cursor.as_ref())).await
    }

    async fn stat(&self, id: &AssetId) -> Result<Option<Asset>> {
        let (root, path) = (self.root.clone(), AssetPath::new(id.as_str()));
        blocking(move || {
            check(&path)?;
            let stamp = root.stat(&path)?.filter(Stamp::is_file);
            Ok(stamp.map(|stamp| stamp.asset(path)))
        })
        .await
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        Ok(vec![Vec::new(); assets.len()])
    }

    async fn digests(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        self.digests_of(assets).await
    }

    async fn fingerprints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        self.fingerprints_of(assets).await
    }

    async fn checksums(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        self.checksums_of(assets, algorithm).await
    }

    /// Always on a blocking thread, however small the range: a share may take a second to answer, and the runtime's
    /// threads serve all connections meanwhile. The trip there and back costs about 17 µs, with the file in the cache
    /// 40 % of reading 100 KiB (`benches/micro/scan.rs`), and nothing beside what sending it costs.
    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let reader = Reader {
            root: self.root.clone(),
            handles: self.handles.clone(),
            asset: asset.clone(),
        };
        // The buffer travels to the blocking thread and back, so that its memory is reused. When the
        // caller drops this future the buffer is lost with it, and its permit is the caller's to free.
        let mut buffer = std::mem::take(into);
        let (result, buffer) = blocking(move || {
            let result = reader.read(range, &mut buffer);
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

/// Reads ranges of one revision.
struct Reader {
    root: Root,
    handles: Handles,
    asset: Asset,
}

impl Reader {
    fn read(&self, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let (path, revision) = (&self.asset.path, &self.asset.revision);
        check(path)?;
        let room = range.end.checked_sub(range.start);
        let room = room.and_then(|bytes| usize::try_from(bytes).ok());
        let room = room
            .ok_or_else(|| Error::new(Kind::InvalidInput, "the range does not fit into memory"))?;
        let kept = self.handles.get(path, revision);
        let (file, fresh) = match kept {
            Some(file) => (file, false),
            None => (Arc::new(self.open()?), true),
        };
        self.verify(&file)?;
        match fill(&file, range.start, room, into) {
            Ok(read) if read == room => self.verify(&file)?,
            Ok(_) => return Err(self.differs(Differs::Shrank)),
            Err(error) => return Err(self.root.error("read a file", path, error)),
        }
        match (range.end >= self.asset.size, fresh) {
            // The last range is usually read last; a straggler opens the file once more.
            (true, false) => self.handles.forget(path),
            (false, true) => self.handles.keep(path, revision, file),
            _ => {}
        }
        Ok(())
    }

    fn open(&self) -> Result<File> {
        self.root
            .open_file(&self.asset.path)
            .map_err(|error| match error.kind() {
                Kind::NotFound => self.differs(Differs::Vanished),
                _ => error,
            })
    }

    /// Compares the open file with the revision that was asked for.
    fn verify(&self, file: &File) -> Result<()> {
        let path = &self.asset.path;
        let stamp = Stamp::of(file).map_err(|error| self.root.error("read a file", path, error))?;
        if stamp.is_file() && stamp.names > 0 && stamp.revision() == self.asset.revision {
            return Ok(());
        }
        self.handles.forget(path);
        // An open file without a name was removed or replaced: its place tells which.
        let now = match stamp.names {
            0 => self.root.stat(path)?,
            _ => Some(stamp),
        };
        Err(self.differs(match now {
            Some(now) => Differs::by_size(self.asset.size, now.size),
            None => Differs::Vanished,
        }))
    }

    fn differs(&self, how: Differs) -> Error {
        changed(&self.asset.path, how)
    }
}

/// Appends up to `room` bytes of a file from `offset` on; fewer only where the file ends.
fn fill(file: &File, offset: u64, room: usize, into: &mut Vec<u8>) -> Result<usize, Errno> {
    let before = into.len();
    let end = before + room;
    into.reserve_exact(room);
    while into.len() < end {
        let start = into.len();
        let at = offset + (start - before) as u64;
        let read = if into.capacity() - end <= OVERSHOOT_BYTES {
            rustix::io::pread(file, spare_capacity(into), at)
        } else {
            into.resize(end, 0);
            let read = rustix::io::pread(file, &mut into[start..], at);
            into.truncate(start + *read.as_ref().unwrap_or(&0));
            read
        };
        match read {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(end);
    Ok(into.len() - before)
}

/// The file did not stay as it was.
pub(crate) fn changed(path: &AssetPath, how: Differs) -> Error {
    let how = how.verb();
    Error::new(
        Kind::SourceChanged,
        format!("the file {how} while it was read"),
    )
    .with_context("path", path)
    .with_status(Status::Permanent)
    .with_hint("wait until it is completely written; the next run plans it again")
}
