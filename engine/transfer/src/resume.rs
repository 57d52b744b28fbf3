//! What survives of a transfer: the note of an upload session, the digests of its parts, and what both mean to
//! the next attempt.
//!
//! What a crash leaves, and what the next attempt does:
//!
//! | crash after | journal | at the sink | next attempt |
//! |---|---|---|---|
//! | the session was opened | nothing | an empty session | a new one; the orphan expires |
//! | the session was noted | session | an empty session | goes on with it, or a new one where it expired |
//! | a part was sent | session | perhaps the part | sends it again: nobody said that it arrived |
//! | a part was acknowledged and jotted | session, part | the part | neither reads nor sends it |
//! | the jot was lost in a power cut | session | the part | what the sink knows better is believed, else it is sent again |
//! | the intent was noted | session, parts, intent | all parts, perhaps the asset | looks; found → adopted unread, else commits what is there |
//! | the commit's answer was lost | the same | perhaps the asset | the same |
//!
//! A session of other bytes is never gone on with: its note names the revision and the size it was opened for, and a
//! restart after a disagreement forgets session and parts. An attempt that learns from its journal that another
//! one has the step by now stops, and leaves the session to that one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use windlass_core::{Asset, Part, Ranges, Revision};

use crate::hash::{ChunkDigest, Hashing};
use crate::layout::ChunkLayout;

/// The note of a session: the sink's words, what it was opened for, and how the content was cut for it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionNote {
    /// The revision whose bytes it takes.
    pub(crate) revision: Revision,
    /// Bytes of the content.
    pub(crate) size: u64,
    /// Bytes of a chunk.
    pub(crate) chunk: u64,
    /// What the sink's `checkpoint` said.
    pub(crate) session: String,
}

impl SessionNote {
    /// Reads a note; `None` when another version wrote it, which only costs bytes.
    pub(crate) fn read(text: &str) -> Option<SessionNote> {
        serde_json::from_str(text).ok()
    }

    /// Whether the session was opened for the bytes that this asset has now.
    pub(crate) fn is_of(&self, asset: &Asset) -> bool {
        self.revision == asset.revision && self.size == asset.size
    }

    /// The note as it is kept.
    pub(crate) fn write(&self) -> String {
        // A number and a text always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What of a content is at the sink already, chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct AlreadyThere {
    /// Chunks with their digests: neither read nor sent.
    pub(crate) known: BTreeMap<u64, ChunkDigest>,
    /// Chunks without a usable digest: read for it, not sent.
    pub(crate) unread: BTreeSet<u64>,
}

impl AlreadyThere {
    /// Chunks of the layout that lie in what the sink acknowledged, with the digests that parts bring.
    /// A chunk that is there only in part counts as not there; so does, where the sink takes chunks `in_order`, one
    /// behind a gap. Without `keeps_digests` every chunk is read, as a source from front to back must be.
    pub(crate) fn new(
        layout: &ChunkLayout,
        hashing: &Hashing,
        acknowledged: &Ranges,
        parts: &[Part],
        keeps_digests: bool,
        in_order: bool,
    ) -> Self {
        let mut there = AlreadyThere::default();
        if acknowledged.bytes() == 0 {
            return there;
        }
        let parts: BTreeMap<u64, &Part> = parts.iter().map(|part| (part.offset, part)).collect();
        for index in 0..layout.count() {
            let range = layout.range(index);
            if !acknowledged.contains(&range) {
                match in_order {
                    true => break,
                    false => continue,
                }
            }
            let part = parts
                .get(&range.start)
                .filter(|part| keeps_digests && part.length == range.end - range.start);
            let digest =
                part.and_then(|part| ChunkDigest::decode(&part.digest, hashing.blocks_of(index)));
            match digest {
                Some(digest) => drop(there.known.insert(index, digest)),
                None => drop(there.unread.insert(index)),
            }
        }
        there
    }

    /// The first chunk that is not there.
    pub(crate) fn first_missing(&self) -> u64 {
        let there = |index: &u64| self.known.contains_key(index) || self.unread.contains(index);
        let chunks = (self.known.len() + self.unread.len()) as u64;
        (0..chunks).find(|index| !there(index)).unwrap_or(chunks)
    }
}
