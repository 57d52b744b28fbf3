//! Both digests of a file's bytes: of a small one at once, of a middling one piece by piece, of a large one on
//! all threads of a pool.
//!
//! Small files are read, never mapped: setting up and tearing down a mapping costs more than copying a few pages.
//! Measured with files in the cache (`benches/micro/scan.rs`), mapping and hashing takes 1.7 times as long as reading
//! and hashing at 16 KiB, 1.2 times at 256 KiB, and the same from 4 MiB on; on two threads at once a large mapped file
//! is 1.2 times as fast. For large ones reading and hashing overlap: while one window is hashed the next one is
//! read. Where the folder is exclusive, windows are mapped instead and nothing is copied.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rayon::ThreadPool;
use rayon::iter::{ParallelExtend, ParallelIterator};
use rayon::slice::ParallelSlice;
use windlass_core::digest::{BLOCK_BYTES, ContentHasher, block_digests};
use windlass_core::{Blake3, ContentHash, Digests};

use crate::map;

/// How much is read at a time by one thread. Large enough that a call is nothing beside it, small enough to stay
/// in the second-level cache between reading and hashing on common servers.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// How much is mapped at a time. What is mapped counts as this process's memory while it is.
const MAPPED_BYTES: u64 = 64 << 20;

/// The largest window that is read ahead; two of them are in memory.
const WINDOW_BLOCKS_MAX: usize = 8;

/// Why there are no digests.
#[derive(Debug)]
pub(crate) enum Unhashed {
    /// The file cannot be read.
    Io(io::Error),
    /// It does not have the bytes that it had when it was looked at.
    OtherSize,
    /// Nobody wants them any more.
    Stopped,
}

impl From<io::Error> for Unhashed {
    fn from(error: io::Error) -> Self {
        Unhashed::Io(error)
    }
}

/// Whether to go on. Asked between pieces.
pub(crate) type GoOn<'a> = &'a (dyn Fn() -> bool + Sync);

/// The digests of a file from its first byte to wherever it ends, by one thread.
pub(crate) fn hash_file(file: &File, content_hash: bool) -> io::Result<Digests> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut hasher = Hasher::new(content_hash);
    loop {
        match read(file, hasher.size, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// The digests of a file that has `size` bytes, by one thread. `buffer` has [`PIECE_BYTES`].
pub(crate) fn hash_sized(
    file: &File,
    size: u64,
    content_hash: bool,
    buffer: &mut [u8],
    go_on: GoOn<'_>,
) -> Result<Digests, Unhashed> {
    if size < buffer.len() as u64 {
        return hash_small(file, size, content_hash, buffer);
    }
    let mut hasher = Hasher::new(content_hash);
    while hasher.size < size {
        if !go_on() {
            return Err(Unhashed::Stopped);
        }
        match read(file, hasher.size, buffer)? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    hasher.finish_at(size)
}

/// One read for all of it, and for one byte more, which must not be there.
fn hash_small(
    file: &File,
    size: u64,
    content_hash: bool,
    buffer: &mut [u8],
) -> Result<Digests, Unhashed> {
    // Less than the buffer has, so it fits.
    let size = size as usize;
    let mut filled = 0;
    while filled < size {
        match read(file, filled as u64, &mut buffer[filled..=size])? {
            0 => break,
            n => filled += n,
        }
    }
    if filled != size {
        return Err(Unhashed::OtherSize);
    }
    let bytes = &buffer[..size];
    Ok(Digests {
        size: size as u64,
        blake3: Blake3::of(bytes),
        content_hash: content_hash.then(|| ContentHash::of(bytes)),
    })
}

/// The digests of a large file that has `size` bytes, by all threads of a pool.
pub(crate) fn hash_parallel(
    file: &File,
    size: u64,
    content_hash: bool,
    pool: &ThreadPool,
    mapped: bool,
    go_on: GoOn<'_>,
) -> Result<Digests, Unhashed> {
    let hasher = ParallelHasher::new(content_hash);
    match mapped {
        true => pool.install(|| hash_mapped(file, size, hasher, go_on)),
        false => {
            let blocks = pool.current_num_threads().clamp(2, WINDOW_BLOCKS_MAX);
            pool.install(|| hash_read(file, size, hasher, blocks * BLOCK_BYTES, go_on))
        }
    }
}

fn hash_mapped(
    file: &File,
    size: u64,
    mut hasher: ParallelHasher,
    go_on: GoOn<'_>,
) -> Result<Digests, Unhashed> {
    while hasher.size < size {
        if !go_on() {
            return Err(Unhashed::Stopped);
        }
        // At most 64 MiB, so it fits.
        let length = (size - hasher.size).min(MAPPED_BYTES) as usize;
        let window = map::window(file, hasher.size, length)?;
        hasher.update(&window);
    }
    Ok(hasher.finish())
}

fn hash_read(
    file: &File,
    size: u64,
    mut hasher: ParallelHasher,
    window_bytes: usize,
    go_on: GoOn<'_>,
) -> Result<Digests, Unhashed> {
    let mut now = vec![0; window_bytes];
    let mut next = vec![0; window_bytes];
    let mut filled = read_full(file, 0, &mut now)?;
    while filled > 0 && hasher.size < size {
        if !go_on() {
            return Err(Unhashed::Stopped);
        }
        let offset = hasher.size + filled as u64;
        let ((), read) = rayon::join(
            || hasher.update(&now[..filled]),
            || read_full(file, offset, &mut next),
        );
        filled = read?;
        std::mem::swap(&mut now, &mut next);
    }
    if filled > 0 || hasher.size != size {
        return Err(Unhashed::OtherSize);
    }
    Ok(hasher.finish())
}

/// Fills the buffer, less only where the file ends.
fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(file, offset + filled as u64, &mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

pub(crate) fn read(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Takes bytes in order, in pieces of any length.
struct Hasher {
    blake3: blake3::Hasher,
    content: Option<ContentHasher>,
    size: u64,
}

impl Hasher {
    fn new(content_hash: bool) -> Self {
        Hasher {
            blake3: blake3::Hasher::new(),
            content: content_hash.then(ContentHasher::new),
            size: 0,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        if let Some(content) = &mut self.content {
            content.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    fn finish(self) -> Digests {
        Digests {
            size: self.size,
            blake3: Blake3(*self.blake3.finalize().as_bytes()),
            content_hash: self.content.map(ContentHasher::finalize),
        }
    }

    fn finish_at(self, size: u64) -> Result<Digests, Unhashed> {
        match self.size == size {
            true => Ok(self.finish()),
            false => Err(Unhashed::OtherSize),
        }
    }
}

/// Takes bytes in order, in windows that are whole blocks but for the last one, on all threads of the pool it runs in.
struct ParallelHasher {
    blake3: blake3::Hasher,
    /// Digests of the blocks so far: 32 bytes for 4 MiB.
    blocks: Option<Vec<[u8; 32]>>,
    size: u64,
}

impl ParallelHasher {
    fn new(content_hash: bool) -> Self {
        ParallelHasher {
            blake3: blake3::Hasher::new(),
            blocks: content_hash.then(Vec::new),
            size: 0,
        }
    }

    fn update(&mut self, window: &[u8]) {
        let (blake3, blocks) = (&mut self.blake3, &mut self.blocks);
        rayon::join(
            || blake3.update_rayon(window),
            || {
                if let Some(blocks) = blocks {
                    // Two blocks make one job, because a thread hashes two in the time of one.
                    blocks.par_extend(
                        window
                            .par_chunks(2 * BLOCK_BYTES)
                            .flat_map_iter(block_digests),
                    );
                }
            },
        );
        self.size += window.len() as u64;
    }

    fn finish(self) -> Digests {
        Digests {
            size: self.size,
            blake3: Blake3(*self.blake3.finalize().as_bytes()),
            content_hash: self.blocks.map(ContentHash::from_blocks),
        }
    }
}
