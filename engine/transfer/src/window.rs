//! The window: one transfer's bytes in flight.
//!
//! A chunk is in flight from the moment its read starts until the sink has acknowledged it and its
//! digest is known. The window has one owner, the transfer's loop, and is plain bookkeeping.
//!
//! It may begin narrower than it becomes. A sink that takes chunks in order may still wait for its service to let it
//! send at all; what is read meanwhile only lies there, and took its share of the path from those that are sent.

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
    // What it is until the first acknowledgement.
    bytes_first: Option<u64>,
    bytes: u64,
    chunks: BTreeMap<u64, InFlight>,
}

impl Window {
    /// An empty window of `bytes_max`.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Window {
            bytes_max,
            bytes_first: None,
            bytes: 0,
            chunks: BTreeMap::new(),
        }
    }

    /// The same, no wider than `bytes_first` until the sink has acknowledged a chunk.
    pub(crate) fn beginning_with(self, bytes_first: u64) -> Self {
        Window {
            bytes_first: Some(bytes_first),
            ..self
        }
    }

    /// Whether a chunk of `bytes` may start. An empty window lets any chunk in.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let most = self.bytes_max.min(self.bytes_first.unwrap_or(u64::MAX));
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= most
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
        self.bytes_first = None;
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
