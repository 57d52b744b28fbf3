//! The window: one transfer's bytes in flight.
//!
//! A chunk is in flight from the moment its read starts until the sink has acknowledged it and its
//! digest is known. The window has one owner, the transfer's loop, and is plain bookkeeping.

use std::collections::BTreeMap;

/// What of one chunk is still to be done.
#[derive(Debug)]
struct InFlight {
    bytes: u64,
    hashed: bool,
    pushed: bool,
}

/// The chunks in flight, bounded in bytes.
#[derive(Debug)]
pub(crate) struct Window {
    bytes_max: u64,
    bytes: u64,
    chunks: BTreeMap<u64, InFlight>,
}

impl Window {
    /// An empty window of `bytes_max`.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Window {
            bytes_max,
            bytes: 0,
            chunks: BTreeMap::new(),
        }
    }

    /// Whether a chunk of `bytes` may start. An empty window lets any chunk in.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// Number of bytes in flight.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A chunk starts.
    pub(crate) fn open(&mut self, index: u64, bytes: u64) {
        let chunk = InFlight {
            bytes,
            hashed: false,
            pushed: false,
        };
        self.bytes += bytes;
        if let Some(before) = self.chunks.insert(index, chunk) {
            self.bytes -= before.bytes;
        }
    }

    /// The digest of a chunk is known. True when that was the last thing missing.
    pub(crate) fn hashed(&mut self, index: u64) -> bool {
        self.note(index, |chunk| chunk.hashed = true)
    }

    /// The sink has acknowledged a chunk. True when that was the last thing missing.
    pub(crate) fn pushed(&mut self, index: u64) -> bool {
        self.note(index, |chunk| chunk.pushed = true)
    }

    fn note(&mut self, index: u64, set: impl FnOnce(&mut InFlight)) -> bool {
        let Some(chunk) = self.chunks.get_mut(&index) else {
            return false;
        };
        set(chunk);
        let settled = chunk.hashed && chunk.pushed;
        if settled {
            self.bytes -= chunk.bytes;
            self.chunks.remove(&index);
        }
        settled
    }
}
