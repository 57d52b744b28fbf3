//! How a content is cut into chunks: equal ones of a power-of-two size, the last one shorter.
//!
//! The power of two is what makes a chunk a whole subtree of BLAKE3, so that chunks are hashed apart
//! and merged. A content that fits in one chunk may have any length.

use std::ops::Range;

use windlass_core::digest::BLOCK_BYTES;

/// The unit below which BLAKE3 cannot be cut. Fixed by BLAKE3.
pub(crate) const LEAF_BYTES: u64 = 1024;

/// The cut of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLayout {
    size: u64,
    chunk_bytes: u64,
}

/// Why a content cannot be cut so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The digests of such chunks could not be merged.
    #[error("chunks of {chunk_bytes} bytes are not a power of two of at least {LEAF_BYTES}")]
    NotASubtree {
        /// The size that was asked for.
        chunk_bytes: u64,
    },
}

impl ChunkLayout {
    /// Cuts `size` bytes into chunks of `chunk_bytes`, or into one chunk if they fit.
    pub fn new(size: u64, chunk_bytes: u64) -> Result<Self, LayoutError> {
        if size > chunk_bytes && !(chunk_bytes.is_power_of_two() && chunk_bytes >= LEAF_BYTES) {
            return Err(LayoutError::NotASubtree { chunk_bytes });
        }
        Ok(ChunkLayout { size, chunk_bytes })
    }

    /// Number of bytes in all.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a chunk that is not the last.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    /// Whether chunks have this many bytes.
    pub(crate) fn cuts_by(&self, chunk_bytes: u64) -> bool {
        self.chunk_bytes == chunk_bytes
    }

    /// Number of chunks; an empty content has none.
    pub fn count(&self) -> u64 {
        if self.size == 0 {
            0
        } else {
            self.size.div_ceil(self.chunk_bytes)
        }
    }

    /// The bytes of the largest chunk, which is the first.
    pub fn largest_bytes(&self) -> u64 {
        self.size.min(self.chunk_bytes)
    }

    /// The bytes of the content that chunk `index` holds; empty beyond the last.
    pub fn range(&self, index: u64) -> Range<u64> {
        let start = index.saturating_mul(self.chunk_bytes).min(self.size);
        start..start.saturating_add(self.chunk_bytes).min(self.size)
    }

    /// Whether every chunk starts on a boundary of the content hash's 4 MiB blocks.
    pub fn holds_whole_blocks(&self) -> bool {
        self.count() <= 1 || self.chunk_bytes.is_multiple_of(BLOCK_BYTES as u64)
    }
}
