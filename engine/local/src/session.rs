//! One upload: chunks in any order into the hidden file, several at once, and one rename at the end.
//!
//! What is on the disk when: an acknowledged chunk is in the system's memory or on its way to the disk, so it survives the end of this
//! process but not a power cut. A commit returns after file, name and folder are on the disk. A session is therefore
//! resumed only while the machine has not been restarted, and a resumed file is read back before it is placed,
//! because nobody here has seen what another process wrote.
//!
//! Per file of one chunk that is 12 calls: `openat2` and `fstat` of the folder, `openat`, `flock`, `pwrite`, then
//! `fstat`, `fsetxattr`, `fsync`, `renameat2`, `fsync` of the folder, and two `close`. The time goes to the two
//! `fsync`; journaling file systems make one commit of those that come together, so nothing is gathered here.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::io::Errno;
use windlass_core::{
    AssetId, AssetPath, Blake3, Chunk, ContentHash, Correlation, Digests, Error, Evidence, Kind,
    Placed, Ranges, Result, Revision, UploadSession,
};

use crate::content::hash_file;
use crate::endpoint::{blocking, io_error};
use crate::part::Part;

/// From this size on an upload is worth going on with. A note of it must be on a disk before the first byte is sent,
/// which costs more than writing a small file again.
const RESUMED_BYTES_MIN: u64 = 4 << 20;

/// An upload that writes.
#[derive(Debug)]
pub(crate) struct LocalSession {
    /// It stays when the session is dropped, for a later one to go on with.
    pub(crate) part: Arc<Part>,
    pub(crate) place: Place,
    pub(crate) size: u64,
    pub(crate) correlation: Correlation,
    pub(crate) written: Mutex<Ranges>,
    /// Whether another session wrote some of it.
    pub(crate) resumed: bool,
}

/// Where a file appears.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// As an asset.
    pub(crate) path: AssetPath,
    /// For messages.
    pub(crate) shown: PathBuf,
    /// Which file that is there is replaced.
    pub(crate) replaced: Replaced,
}

/// Which file an upload takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// None: the name must be free.
    Nothing,
    /// Whichever is there.
    Whatever,
    /// This revision, and no other.
    Exactly(Revision),
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
        let (part, shown, size) = (Arc::clone(&self.part), self.place.shown.clone(), self.size);
        blocking(move || {
            part.write(&chunk.bytes, chunk.offset, size)
                .map_err(|error| io_error("write the file", &shown, error))
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
        match self.size < RESUMED_BYTES_MIN {
            true => None,
            false => checkpoint(&self.part.file),
        }
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        let digests = *digests;
        blocking(move || {
            let committed = self.commit_now(&digests);
            // What cannot become right by trying again must not lie about.
            if let Err(error) = &committed
                && matches!(error.kind(), Kind::Integrity | Kind::Conflict)
                && let Err(error) = self.part.remove()
            {
                tracing::warn!(%error, file = %self.place.shown.display(), "its upload stays");
            }
            committed
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        blocking(move || {
            self.part
                .remove()
                .map_err(|error| self.error("remove an unfinished file", error.into()))
        })
        .await
    }
}

impl LocalSession {
    fn commit_now(&self, digests: &Digests) -> Result<Placed> {
        let received = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.prefix_end()
        };
        if received != self.size || digests.size != self.size {
            return Err(Error::new(Kind::Integrity, "the file is not complete")
                .with_context("received", received)
                .with_context("expected", self.size));
        }
        let write = |error| self.error("write the file", error);
        let (evidence, content_hash) = match self.resumed {
            true => self.read_back(digests)?,
            false => (Evidence::E0, None),
        };
        let stamp = self.part.mark(&self.correlation).map_err(write)?;
        if stamp.size != self.size {
            return Err(
                Error::new(Kind::Integrity, "somebody else wrote to the file")
                    .with_context("size", stamp.size)
                    .with_context("expected", self.size),
            );
        }
        self.part.file.sync_all().map_err(write)?;
        self.take_place()?;
        // The name itself must survive a power cut before anybody is told of it.
        rustix::fs::fsync(&*self.part.folder).map_err(|error| {
            Error::new(
                Kind::Ambiguous,
                "the file is in its place, but perhaps not yet on the disk",
            )
            .with_context("path", self.place.shown.display())
            .with_source(error)
        })?;
        Ok(Placed {
            asset: AssetId::new(self.place.path.as_str()),
            revision: stamp.revision(),
            size: stamp.size,
            content_hash,
            evidence,
        })
    }

    fn take_place(&self) -> Result<()> {
        let name = self.place.path.name();
        let placed = match &self.place.replaced {
            Replaced::Nothing => self.part.place(name, false),
            Replaced::Whatever => self.part.place(name, true),
            Replaced::Exactly(revision) => match self.part.replace(name, revision) {
                Ok(true) => Ok(()),
                Ok(false) | Err(Errno::NOENT) => return Err(self.changed()),
                Err(error) => Err(error),
            },
        };
        placed.map_err(|error| self.not_placed(error))
    }

    fn changed(&self) -> Error {
        Error::new(
            Kind::Conflict,
            "somebody changed the file since it was placed",
        )
        .with_context("path", self.place.shown.display())
        .with_hint("keep or move that file; the next run sees it")
    }

    /// Compares what is in the file with what was sent.
    fn read_back(&self, digests: &Digests) -> Result<(Evidence, Option<ContentHash>)> {
        let found = hash_file(&self.part.file, digests.content_hash.is_some())
            .map_err(|error| self.error("read the file back", error))?;
        if found == *digests {
            return Ok((Evidence::E3, found.content_hash));
        }
        let told = |digest: Blake3| digest.to_hex();
        Err(Error::new(
            Kind::Integrity,
            "the file does not hold what was sent: somebody else wrote to it, or the disk did not keep it",
        )
        .with_context("path", self.place.shown.display())
        .with_context("sent", told(digests.blake3))
        .with_context("found", told(found.blake3)))
    }

    fn not_placed(&self, error: Errno) -> Error {
        if error == Errno::EXIST {
            return self
                .error("place the file: one of that name is there", error.into())
                .with_hint("rename or move it; Windlass does not overwrite what it did not place");
        }
        self.error("place the file", error.into())
    }

    fn error(&self, action: &'static str, error: std::io::Error) -> Error {
        io_error(action, &self.place.shown, error)
    }
}

/// What a later process needs to trust what this one wrote: the same start of the machine, since what is written but not
/// on the disk is lost with it, and the same file. `None` where the system does not tell.
pub(crate) fn checkpoint(file: &File) -> Option<String> {
    let stamp = crate::stamp::Stamp::of(file).ok()?;
    Some(format!("{} {}", boot()?, stamp.inode))
}

/// Names the time since the machine was started, where the system tells.
pub(crate) fn boot() -> Option<&'static str> {
    static BOOT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BOOT.get_or_init(|| {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned())
    })
    .as_deref()
}
