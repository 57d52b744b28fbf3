//! Where the emulators keep content: in memory, as one file a blob in a folder, or not at all.
//!
//! A store that forgets is for measuring: what is written to it is counted and dropped, so that neither memory nor a
//! disk bounds how much can be sent, and what is to be read from it is noise made on demand.
//!
//! A blob is written once, in pieces at any offset, and then read in ranges. No operation needs a
//! whole blob in one buffer: in memory it stays the list of pieces it arrived in, on disk each piece
//! goes straight to its place in a part file that is renamed when it is complete. Calls are plain
//! blocking ones; pieces are at most a few hundred KiB, so they never hold a worker for long.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use windlass_core::ContentHash;
use windlass_core::digest::ContentHasher;

/// The largest range that streaming and hashing read at once: small enough for any number of
/// connections, large enough that a file is opened rarely.
pub const READ_PIECE_BYTES: u64 = 256 << 10;

/// Locks a mutex of an emulator. A panic in one handler leaves data that is consistent enough for a
/// test bed, so poison is ignored rather than spread.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names one blob of one store; never reused within a store's life on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlobId(u64);

/// A store of blobs. Clones are handles to the same store.
#[derive(Clone, Debug)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: AtomicU64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory {
        blobs: Mutex<BTreeMap<BlobId, Arc<Content>>>,
        forgets: bool,
    },
    Disk(PathBuf),
}

/// A blob in memory.
#[derive(Debug)]
enum Content {
    Pieces(Pieces),
    /// The noise of a seed.
    Noise {
        seed: u64,
        len: u64,
    },
    /// So many bytes that nobody has.
    Forgotten {
        len: u64,
    },
}

/// The bytes of a blob by offset, without holes.
#[derive(Debug, Default)]
struct Pieces {
    by_offset: BTreeMap<u64, Bytes>,
    len: u64,
}

impl BlobStore {
    /// A store that forgets everything when the last handle is dropped.
    pub fn memory() -> Self {
        BlobStore::in_memory(false)
    }

    /// A store that forgets at once what is written to it, and keeps how long it was. Only what [`BlobStore::put`]
    /// and [`BlobStore::put_noise`] place can be read.
    pub fn forgetful() -> Self {
        BlobStore::in_memory(true)
    }

    pub(crate) fn in_memory(forgets: bool) -> Self {
        let blobs = Mutex::default();
        BlobStore::over(Place::Memory { blobs, forgets }, 1)
    }

    /// Whether what is written can be read again.
    pub fn keeps(&self) -> bool {
        !matches!(self.inner.place, Place::Memory { forgets: true, .. })
    }

    /// A store in a folder, which is created if it is missing. Blobs and kept parts found there are
    /// available under their old ids; see [`BlobStore::sweep`] for what nobody refers to.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        let last = list(&folder)?.into_iter().map(|(id, _)| id.0).max();
        Ok(BlobStore::over(
            Place::Disk(folder),
            last.unwrap_or_default() + 1,
        ))
    }

    fn over(place: Place, next: u64) -> Self {
        BlobStore {
            inner: Arc::new(Inner {
                next: AtomicU64::new(next),
                place,
            }),
        }
    }

    /// Stores bytes that are all here.
    pub fn put(&self, bytes: Bytes) -> io::Result<BlobId> {
        let mut writer = self.writer()?;
        if let Some(draft @ Draft::Forgotten) = &mut writer.draft {
            *draft = Draft::Memory(Pieces::default());
        }
        writer.write_at(0, bytes)?;
        writer.finish()
    }

    /// Places a blob of noise that takes no memory: the same bytes for the same seed, others for another. Its blocks
    /// differ from each other. `Unsupported` on disk.
    pub fn put_noise(&self, seed: u64, len: u64) -> io::Result<BlobId> {
        let Place::Memory { blobs, .. } = &self.inner.place else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let id = self.next_id();
        lock(blobs).insert(id, Arc::new(Content::Noise { seed, len }));
        Ok(id)
    }

    fn next_id(&self) -> BlobId {
        BlobId(self.inner.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts a blob that is gone again if the writer is dropped unfinished.
    pub fn writer(&self) -> io::Result<BlobWriter> {
        self.writer_of(self.next_id(), false)
    }

    /// Starts a blob whose part survives a dropped writer on disk, to be continued by
    /// [`BlobStore::resume`].
    pub fn lasting_writer(&self) -> io::Result<BlobWriter> {
        self.writer_of(self.next_id(), true)
    }

    /// Continues the part of a lasting writer after a restart. `NotFound` if there is none.
    pub fn resume(&self, id: BlobId) -> io::Result<BlobWriter> {
        let Place::Disk(folder) = &self.inner.place else {
            return Err(missing(id));
        };
        let path = part_path(folder, id);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        Ok(self.writer_over(id, true, Draft::Disk(file), len))
    }

    fn writer_of(&self, id: BlobId, lasting: bool) -> io::Result<BlobWriter> {
        let draft = match &self.inner.place {
            Place::Memory { forgets: true, .. } => Draft::Forgotten,
            Place::Memory { .. } => Draft::Memory(Pieces::default()),
            Place::Disk(folder) => {
                let path = part_path(folder, id);
                fs::create_dir_all(shelf(folder, id))?;
                let mut options = File::options();
                Draft::Disk(options.read(true).write(true).create_new(true).open(path)?)
            }
        };
        Ok(self.writer_over(id, lasting, draft, 0))
    }

    fn writer_over(&self, id: BlobId, lasting: bool, draft: Draft, len: u64) -> BlobWriter {
        BlobWriter {
            store: self.clone(),
            id,
            draft: Some(draft),
            len,
            lasting,
        }
    }

    /// Reads a range. `UnexpectedEof` if it ends beyond the blob, `NotFound` if there is no such blob.
    pub fn read(&self, id: BlobId, range: Range<u64>) -> io::Result<Bytes> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        match &self.inner.place {
            Place::Memory { blobs, .. } => {
                let content = lock(blobs).get(&id).cloned().ok_or_else(|| missing(id))?;
                content.read(range)
            }
            Place::Disk(folder) => read_file(&File::open(blob_path(folder, id))?, range),
        }
    }

    /// Number of bytes in a blob.
    pub fn len(&self, id: BlobId) -> io::Result<u64> {
        match &self.inner.place {
            Place::Memory { blobs, .. } => {
                let blobs = lock(blobs);
                Ok(blobs.get(&id).ok_or_else(|| missing(id))?.len())
            }
            Place::Disk(folder) => Ok(fs::metadata(blob_path(folder, id))?.len()),
        }
    }

    /// Forgets a blob. Readers that are in the middle of it fail.
    pub fn remove(&self, id: BlobId) -> io::Result<()> {
        match &self.inner.place {
            Place::Memory { blobs, .. } => match lock(blobs).remove(&id) {
                Some(_) => Ok(()),
                None => Err(missing(id)),
            },
            Place::Disk(folder) => fs::remove_file(blob_path(folder, id)),
        }
    }

    /// Removes every blob and part that `live` does not claim: what a crash left behind. To be called
    /// before anything is written, because a part in progress is claimed by nobody.
    pub fn sweep(&self, live: impl Fn(BlobId) -> bool) -> io::Result<usize> {
        match &self.inner.place {
            Place::Memory { blobs, .. } => {
                let mut blobs = lock(blobs);
                let before = blobs.len();
                blobs.retain(|id, _| live(*id));
                Ok(before - blobs.len())
            }
            Place::Disk(folder) => {
                let dead = list(folder)?.into_iter().filter(|(id, _)| !live(*id));
                let mut removed = 0;
                for (_, path) in dead {
                    fs::remove_file(path)?;
                    removed += 1;
                }
                Ok(removed)
            }
        }
    }

    /// Dropbox's block hash of a blob, read piece by piece.
    pub fn content_hash(&self, id: BlobId) -> io::Result<ContentHash> {
        hash_pieces(self.len(id)?, |range| self.read(id, range))
    }

    /// A range as a stream of pieces of at most [`READ_PIECE_BYTES`], for a response body.
    pub fn stream(
        &self,
        id: BlobId,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let store = self.clone();
        futures_util::stream::unfold(Some(range), move |left| {
            let store = store.clone();
            async move {
                let left = left.filter(|left| left.start < left.end)?;
                let end = left.end.min(left.start + READ_PIECE_BYTES);
                match store.read(id, left.start..end) {
                    Ok(bytes) => Some((Ok(bytes), Some(end..left.end))),
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
    }
}

/// A blob being written. Pieces may come in any order; what is never written reads as an error in
/// memory and as zeros on disk, so the owner checks for holes before it finishes.
#[derive(Debug)]
pub struct BlobWriter {
    store: BlobStore,
    id: BlobId,
    draft: Option<Draft>,
    len: u64,
    lasting: bool,
}

#[derive(Debug)]
enum Draft {
    Memory(Pieces),
    Disk(File),
    Forgotten,
}

impl BlobWriter {
    /// The id that the blob will have.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// End of the furthest piece written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes a piece at its offset. Writing the same place again replaces it.
    pub fn write_at(&mut self, offset: u64, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let end = offset + piece.len() as u64;
        match &mut self.draft {
            Some(Draft::Memory(pieces)) => overlay(&mut pieces.by_offset, offset, piece),
            Some(Draft::Disk(file)) => file.write_all_at(&piece, offset)?,
            Some(Draft::Forgotten) => {}
            None => return Err(io::Error::other("this blob is finished")),
        }
        self.len = self.len.max(end);
        Ok(())
    }

    /// Forgets everything from `len` on, such as the rest of a body that broke off.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        if len >= self.len {
            return Ok(());
        }
        match &mut self.draft {
            Some(Draft::Memory(pieces)) => clear(&mut pieces.by_offset, len..self.len),
            Some(Draft::Disk(file)) => file.set_len(len)?,
            Some(Draft::Forgotten) => {}
            None => return Err(io::Error::other("this blob is finished")),
        }
        self.len = len;
        Ok(())
    }

    /// Lets the part survive a dropped writer on disk, as that of a lasting writer does.
    pub fn keep(&mut self) {
        self.lasting = true;
    }

    /// Dropbox's block hash of what was written, read back piece by piece.
    pub fn content_hash(&self) -> io::Result<ContentHash> {
        hash_pieces(self.len, |range| match &self.draft {
            Some(Draft::Memory(pieces)) => pieces.read(range),
            Some(Draft::Disk(file)) => read_file(file, range),
            Some(Draft::Forgotten) => Err(forgotten()),
            None => Err(io::Error::other("this blob is finished")),
        })
    }

    /// Makes the blob readable under its id.
    pub fn finish(mut self) -> io::Result<BlobId> {
        match (self.draft.take(), &self.store.inner.place) {
            (Some(Draft::Memory(mut pieces)), Place::Memory { blobs, .. }) => {
                pieces.len = self.len;
                lock(blobs).insert(self.id, Arc::new(Content::Pieces(pieces)));
            }
            (Some(Draft::Forgotten), Place::Memory { blobs, .. }) => {
                let len = self.len;
                lock(blobs).insert(self.id, Arc::new(Content::Forgotten { len }));
            }
            (Some(Draft::Disk(_)), Place::Disk(folder)) => {
                fs::rename(part_path(folder, self.id), blob_path(folder, self.id))?;
            }
            _ => return Err(io::Error::other("a writer belongs to its store")),
        }
        Ok(self.id)
    }

    /// Removes what was written, also of a lasting writer.
    pub fn discard(mut self) {
        self.lasting = false;
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        let Some(Draft::Disk(_)) = self.draft.take() else {
            return;
        };
        if let (false, Place::Disk(folder)) = (self.lasting, &self.store.inner.place) {
            let path = part_path(folder, self.id);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an unfinished blob stays behind");
            }
        }
    }
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Pieces(pieces) => pieces.len,
            Content::Noise { len, .. } | Content::Forgotten { len } => *len,
        }
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            Content::Pieces(pieces) => pieces.read(range),
            Content::Noise { len, .. } if range.end > *len => Err(beyond()),
            Content::Noise { seed, .. } => Ok(noise(*seed, range)),
            Content::Forgotten { .. } => Err(forgotten()),
        }
    }
}

/// The length after which noise repeats. Odd, so that no two blocks of a file are alike before it repeats that often.
const NOISE_PERIOD: usize = (8 << 20) - 3;

/// One period and a piece, so that any piece is a slice of it.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut all = Vec::with_capacity(NOISE_PERIOD + READ_PIECE_BYTES as usize);
    while all.len() < NOISE_PERIOD {
        // xorshift64: even enough that nothing compresses it.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(NOISE_PERIOD);
    all.extend_from_within(..READ_PIECE_BYTES as usize);
    all.into()
});

fn noise(seed: u64, range: Range<u64>) -> Bytes {
    let period = NOISE_PERIOD as u64;
    let at = |offset: u64| ((seed % period) * 4099 + offset % period) % period;
    let slice = |range: Range<u64>| {
        let start = at(range.start) as usize;
        NOISE.slice(start..start + (range.end - range.start) as usize)
    };
    if range.end - range.start <= READ_PIECE_BYTES {
        return slice(range);
    }
    let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
    let mut from = range.start;
    while from < range.end {
        let until = range.end.min(from + READ_PIECE_BYTES);
        all.extend_from_slice(&slice(from..until));
        from = until;
    }
    all.freeze()
}

impl Pieces {
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (start, first) = self
            .by_offset
            .range(..=range.start)
            .next_back()
            .ok_or_else(beyond)?;
        if range.end <= start + first.len() as u64 {
            let from = (range.start - start) as usize;
            return Ok(first.slice(from..from + (range.end - range.start) as usize));
        }
        let mut buffer = BytesMut::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        for (offset, piece) in self.by_offset.range(start..) {
            let end = offset + piece.len() as u64;
            if at >= range.end || end <= at {
                continue;
            }
            if *offset > at {
                return Err(beyond());
            }
            let until = end.min(range.end);
            buffer.extend_from_slice(&piece[(at - offset) as usize..(until - offset) as usize]);
            at = until;
        }
        if at < range.end {
            return Err(beyond());
        }
        Ok(buffer.freeze())
    }
}

fn read_file(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut buffer = vec![0; length];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}

fn hash_pieces(
    len: u64,
    read: impl Fn(Range<u64>) -> io::Result<Bytes>,
) -> io::Result<ContentHash> {
    let mut hasher = ContentHasher::new();
    let mut offset = 0;
    while offset < len {
        let end = len.min(offset + READ_PIECE_BYTES);
        hasher.update(&read(offset..end)?);
        offset = end;
    }
    Ok(hasher.finalize())
}

/// Puts a piece over whatever was there.
fn overlay(pieces: &mut BTreeMap<u64, Bytes>, offset: u64, piece: Bytes) {
    clear(pieces, offset..offset + piece.len() as u64);
    pieces.insert(offset, piece);
}

/// Cuts a range out of the pieces, keeping what sticks out on both sides.
fn clear(pieces: &mut BTreeMap<u64, Bytes>, range: Range<u64>) {
    let first = pieces
        .range(..range.start)
        .next_back()
        .map_or(range.start, |(offset, _)| *offset);
    let touched: Vec<u64> = pieces.range(first..range.end).map(|(at, _)| *at).collect();
    for at in touched {
        let Some(old) = pieces.remove(&at) else {
            continue;
        };
        let old_end = at + old.len() as u64;
        if at < range.start {
            let keep = old.len().min((range.start - at) as usize);
            pieces.insert(at, old.slice(..keep));
        }
        if old_end > range.end {
            pieces.insert(range.end, old.slice((range.end - at) as usize..));
        }
    }
}

fn beyond() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the range ends beyond the blob",
    )
}

fn forgotten() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this store forgets what is written to it",
    )
}

fn missing(id: BlobId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no blob {}", id.0))
}

/// Blobs are spread over 256 shelves, so that no folder grows beyond what tools list gladly.
fn shelf(folder: &Path, id: BlobId) -> PathBuf {
    folder.join(format!("{:02x}", id.0 & 0xff))
}

fn blob_path(folder: &Path, id: BlobId) -> PathBuf {
    shelf(folder, id).join(format!("{:016x}.blob", id.0))
}

fn part_path(folder: &Path, id: BlobId) -> PathBuf {
    shelf(folder, id).join(format!("{:016x}.part", id.0))
}

/// Every blob and part file; anything else in the folder is left alone.
fn list(folder: &Path) -> io::Result<Vec<(BlobId, PathBuf)>> {
    let mut found = Vec::new();
    for shelf in fs::read_dir(folder)? {
        let shelf = shelf?;
        if !shelf.file_type()?.is_dir() {
            continue;
        }
        for entry in fs::read_dir(shelf.path())? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let ours = matches!(
                path.extension().and_then(|kind| kind.to_str()),
                Some("blob" | "part")
            );
            if let (true, Some(stem)) = (ours, stem)
                && let Ok(id) = u64::from_str_radix(stem, 16)
            {
                found.push((BlobId(id), path));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
