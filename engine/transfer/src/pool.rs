//! Chunk buffers: reused, and paid for by the grant that they carry.
//!
//! A buffer is filled by a source, frozen to [`Bytes`] without a copy, and comes back here when the
//! last clone is dropped, wherever that is. Buffers of a full chunk, a power of two from the smallest chunk
//! size on, are kept for the next chunk, because fresh pages cost more than the copy into them. All others are
//! exactly as large as their file or tail and are left to the allocator.
//!
//! In a kept buffer the bytes begin at a page, because a disk can only be written past the system's cache from there.
//! That costs up to a page a buffer beyond what is paid for.
//!
//! Kept buffers are inside the budget: at any time the bytes of live buffers and kept buffers together
//! are at most the budget's total. A live buffer has a grant at least as large. A new buffer is
//! allocated only after kept ones were freed until what is kept and what is granted (its own grant
//! included) fit together; reuse and return move bytes between the two and change no sum.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::budget::{Budget, Grant};

/// What a page is at least, and what disks that are written directly ask for at most.
const PAGE_BYTES: usize = 4 << 10;

/// Smaller buffers are not worth a page more.
const PAGED_BYTES_MIN: usize = 1 << 20;

/// The buffers that are kept, and the count of those that are out.
#[derive(Debug)]
pub(crate) struct Pool {
    budget: Arc<Budget>,
    chunk_bytes: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    // By the bytes that they hold.
    kept: BTreeMap<usize, Vec<Vec<u8>>>,
    kept_bytes: u64,
    live_bytes: u64,
}

impl Shelf {
    /// Frees kept buffers, the largest first, until at most `bytes` are kept.
    fn keep_at_most(&mut self, bytes: u64) {
        while self.kept_bytes > bytes {
            let Some(mut sized) = self.kept.last_entry() else {
                return;
            };
            let bytes = *sized.key() as u64;
            match sized.get_mut().pop() {
                Some(_) => self.kept_bytes -= bytes,
                None => drop(sized.remove()),
            }
        }
    }
}

impl Pool {
    /// A pool that keeps buffers of powers of two from `chunk_bytes` on.
    pub(crate) fn new(budget: Arc<Budget>, chunk_bytes: usize) -> Arc<Self> {
        Arc::new(Pool {
            budget,
            chunk_bytes,
            shelf: Mutex::default(),
        })
    }

    /// An empty buffer for `bytes`, which `grant` pays for.
    pub(crate) fn buffer(self: &Arc<Self>, grant: Grant, bytes: usize) -> ChunkBuffer {
        let mut buffer = self.take(bytes);
        let start = match buffer.capacity() > bytes {
            true => buffer.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES),
            false => 0,
        };
        buffer.resize(start, 0);
        ChunkBuffer {
            bytes: buffer,
            start,
            paid_bytes: bytes,
            home: Arc::clone(self),
            _grant: grant,
        }
    }

    /// Bytes of the buffers that are kept for reuse.
    pub(crate) fn idle_bytes(&self) -> u64 {
        self.shelf().kept_bytes
    }

    /// Bytes of the buffers that are out.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.shelf().live_bytes
    }

    /// Frees the buffers that are kept.
    pub(crate) fn trim(&self) {
        self.shelf().keep_at_most(0);
    }

    fn take(&self, bytes: usize) -> Vec<u8> {
        let mut shelf = self.shelf();
        shelf.live_bytes += bytes as u64;
        if self.keeps(bytes)
            && let Some(buffer) = shelf.kept.get_mut(&bytes).and_then(Vec::pop)
        {
            shelf.kept_bytes -= bytes as u64;
            return buffer;
        }
        let room = self.budget.total_bytes() - self.budget.used_bytes();
        shelf.keep_at_most(room);
        // Allocated under the lock: pages are touched only later, when the source writes them.
        Vec::with_capacity(self.capacity(bytes))
    }

    /// What a buffer for so many bytes is allocated with.
    fn capacity(&self, bytes: usize) -> usize {
        match self.keeps(bytes) && bytes >= PAGED_BYTES_MIN {
            true => bytes + PAGE_BYTES,
            false => bytes,
        }
    }

    fn give_back(&self, mut buffer: Vec<u8>, paid_bytes: usize) {
        let mut shelf = self.shelf();
        shelf.live_bytes -= paid_bytes as u64;
        // A source that wrote too much has made it grow: then it is not one of ours any more.
        if self.keeps(paid_bytes) && buffer.capacity() == self.capacity(paid_bytes) {
            buffer.clear();
            shelf.kept.entry(paid_bytes).or_default().push(buffer);
            shelf.kept_bytes += paid_bytes as u64;
        }
    }

    fn keeps(&self, bytes: usize) -> bool {
        bytes >= self.chunk_bytes && bytes.is_power_of_two()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing here panics between two changes that belong together, so a poisoned shelf is whole.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One chunk's bytes and their grant.
#[derive(Debug)]
pub(crate) struct ChunkBuffer {
    bytes: Vec<u8>,
    // Where they begin in it.
    start: usize,
    paid_bytes: usize,
    home: Arc<Pool>,
    // Dropped after `drop` has given the buffer back: what is live is always paid for.
    _grant: Grant,
}

impl ChunkBuffer {
    /// Where a source appends the bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Forgets what a source appended, for another try.
    pub(crate) fn restart(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// Number of bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The bytes, to be shared. Buffer and grant go back when the last clone is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.bytes);
        self.home.give_back(buffer, self.paid_bytes);
    }
}
