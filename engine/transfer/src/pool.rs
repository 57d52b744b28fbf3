//! Chunk buffers: reused, and paid for by the grant that they carry.
//!
//! A buffer is filled by a source, frozen to [`Bytes`] without a copy, and comes back here when the
//! last clone is dropped, wherever that is. Buffers of the full chunk size are kept for the next
//! chunk, because fresh pages cost more than the copy into them. Smaller ones are exactly as large as
//! their file or tail and are left to the allocator.
//!
//! Kept buffers are inside the budget: at any time the bytes of live buffers and kept buffers together
//! are at most the budget's total. A live buffer has a grant at least as large. A new buffer is
//! allocated only after kept ones were freed until what is kept and what is granted (its own grant
//! included) fit together; reuse and return move bytes between the two and change no sum.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::budget::{Budget, Grant};

/// The buffers that are kept, and the count of those that are out.
#[derive(Debug)]
pub(crate) struct Pool {
    budget: Arc<Budget>,
    chunk_bytes: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    // Each has a capacity of exactly `chunk_bytes`.
    kept: Vec<Vec<u8>>,
    live_bytes: u64,
}

impl Pool {
    /// A pool that keeps buffers of `chunk_bytes`.
    pub(crate) fn new(budget: Arc<Budget>, chunk_bytes: usize) -> Arc<Self> {
        Arc::new(Pool {
            budget,
            chunk_bytes,
            shelf: Mutex::default(),
        })
    }

    /// An empty buffer for `bytes`, which `grant` pays for.
    pub(crate) fn buffer(self: &Arc<Self>, grant: Grant, bytes: usize) -> ChunkBuffer {
        ChunkBuffer {
            bytes: self.take(bytes),
            paid_bytes: bytes,
            home: Arc::clone(self),
            _grant: grant,
        }
    }

    /// Bytes of the buffers that are kept for reuse.
    pub(crate) fn idle_bytes(&self) -> u64 {
        (self.shelf().kept.len() * self.chunk_bytes) as u64
    }

    /// Bytes of the buffers that are out.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.shelf().live_bytes
    }

    /// Frees the buffers that are kept.
    pub(crate) fn trim(&self) {
        let kept = std::mem::take(&mut self.shelf().kept);
        drop(kept);
    }

    fn take(&self, bytes: usize) -> Vec<u8> {
        let mut shelf = self.shelf();
        shelf.live_bytes += bytes as u64;
        if bytes == self.chunk_bytes
            && let Some(buffer) = shelf.kept.pop()
        {
            return buffer;
        }
        let room = self.budget.total_bytes() - self.budget.used_bytes();
        let keep = (room / self.chunk_bytes as u64) as usize;
        shelf.kept.truncate(keep);
        // Allocated under the lock: pages are touched only later, when the source writes them.
        Vec::with_capacity(bytes)
    }

    fn give_back(&self, mut buffer: Vec<u8>, paid_bytes: usize) {
        let mut shelf = self.shelf();
        shelf.live_bytes -= paid_bytes as u64;
        // A source that wrote too much has made it grow: then it is not one of ours any more.
        if paid_bytes == self.chunk_bytes && buffer.capacity() == self.chunk_bytes {
            buffer.clear();
            shelf.kept.push(buffer);
        }
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

    /// Number of bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, to be shared. Buffer and grant go back when the last clone is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for ChunkBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.bytes);
        self.home.give_back(buffer, self.paid_bytes);
    }
}
