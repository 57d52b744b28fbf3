//! The two digests of a content: BLAKE3, which we trust, and the block hash that Dropbox states.
//!
//! The block hash ("content hash") is SHA-256 over the concatenated SHA-256 digests of the content's
//! 4 MiB blocks. Blocks are independent, so chunks may be hashed in any order as long as they start on
//! a block boundary; 32 bytes a block are kept until the end.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

mod checksum;
mod pair;

pub use checksum::{ChecksumAlgorithm, ChecksumHasher};
use pair::{Lane, update_both};

/// The unit of the content hash: 4 MiB. Fixed by Dropbox; appends to concurrent sessions align to it.
pub const BLOCK_BYTES: usize = 4 << 20;

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// 64 lower-case hex digits.
            pub fn to_hex(self) -> String {
                hex::encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| ParseDigestError { text: text.to_owned() })?;
                Ok($name(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_hex())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

digest! {
    /// The BLAKE3 digest of a whole content.
    Blake3
}
digest! {
    /// The block hash of a whole content, as Dropbox states it in listings.
    ContentHash
}

/// A text that is not 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest of 64 hex digits")]
pub struct ParseDigestError {
    text: String,
}

impl Blake3 {
    /// The digest of bytes that are all here.
    pub fn of(bytes: &[u8]) -> Self {
        Blake3(*blake3::hash(bytes).as_bytes())
    }
}

impl ContentHash {
    /// The hash of bytes that are all here.
    pub fn of(bytes: &[u8]) -> Self {
        ContentHash::from_blocks(block_digests(bytes))
    }

    /// The hash of a content from its block digests, in order. An empty content has no block.
    pub fn from_blocks(blocks: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let mut outer = Sha256::new();
        for block in blocks {
            outer.update(block);
        }
        ContentHash(outer.finalize().into())
    }
}

/// The digests of the blocks of bytes that are all here and begin on a block boundary. Two blocks take hardly more
/// time than one.
pub fn block_digests(bytes: &[u8]) -> Vec<[u8; 32]> {
    let (pairs, rest) = bytes.as_chunks::<{ 2 * BLOCK_BYTES }>();
    let of_pair = |pair: &[u8; 2 * BLOCK_BYTES]| {
        let (first, second) = pair.split_at(BLOCK_BYTES);
        let mut lanes = [Lane::new(), Lane::new()];
        update_both(&mut lanes, [first, second]);
        lanes.map(Lane::finalize)
    };
    let alone = rest.chunks(BLOCK_BYTES);
    let alone = alone.map(|block| Sha256::digest(block).into());
    pairs.iter().flat_map(of_pair).chain(alone).collect()
}

/// The SHA-256 digests of two contents that are here in pieces: for contents of at most a block, their block digests.
/// Takes hardly more time than the longer one alone.
pub fn two_digests(contents: [&[Bytes]; 2]) -> [[u8; 32]; 2] {
    let mut lanes = [Lane::new(), Lane::new()];
    let [mut first, mut second] = contents.map(|pieces| pieces.iter().map(Bytes::as_ref));
    let (mut a, mut b): (&[u8], &[u8]) = (&[], &[]);
    loop {
        if a.is_empty() {
            a = first.next().unwrap_or_default();
        }
        if b.is_empty() {
            b = second.next().unwrap_or_default();
        }
        let len = a.len().min(b.len());
        if len == 0 {
            break;
        }
        let ((now_a, later_a), (now_b, later_b)) = (a.split_at(len), b.split_at(len));
        update_both(&mut lanes, [now_a, now_b]);
        (a, b) = (later_a, later_b);
    }
    let [mut lane_a, mut lane_b] = lanes;
    std::iter::once(a)
        .chain(first)
        .for_each(|piece| lane_a.update(piece));
    std::iter::once(b)
        .chain(second)
        .for_each(|piece| lane_b.update(piece));
    [lane_a.finalize(), lane_b.finalize()]
}

/// Computes block digests from pieces that arrive in order. Holds up to a block of them back, so that two
/// blocks are hashed at a time.
#[derive(Clone, Debug)]
pub struct BlockHasher {
    /// The first block of a pair as far as it was not hashed, in pieces.
    held: VecDeque<Bytes>,
    held_len: usize,
    /// Both blocks of a pair, as far as they were hashed.
    lanes: [Lane; 2],
    digests: Vec<[u8; 32]>,
}

impl Default for BlockHasher {
    fn default() -> Self {
        BlockHasher {
            held: VecDeque::new(),
            held_len: 0,
            lanes: [Lane::new(), Lane::new()],
            digests: Vec::new(),
        }
    }
}

impl BlockHasher {
    /// Takes the next piece.
    pub fn update(&mut self, mut piece: Bytes) {
        while !piece.is_empty() {
            // What was hashed of the second block was taken off the first.
            let second = self.lanes[1].len() as usize;
            let missing = BLOCK_BYTES - second - self.held_len;
            if missing > 0 {
                let now = piece.split_to(piece.len().min(missing));
                self.held_len += now.len();
                self.held.push_back(now);
            } else {
                let now = piece.split_to(piece.len().min(BLOCK_BYTES - second));
                self.take_beside(&now);
            }
        }
    }

    /// Hashes bytes of the second block and as many of the first.
    fn take_beside(&mut self, mut second: &[u8]) {
        while let Some(first) = self.held.front_mut() {
            let len = first.len().min(second.len());
            let now = first.split_to(len);
            if first.is_empty() {
                self.held.pop_front();
            }
            self.held_len -= len;
            let (beside, later) = second.split_at(len);
            update_both(&mut self.lanes, [&now, beside]);
            second = later;
            if second.is_empty() {
                break;
            }
        }
        if self.held.is_empty() {
            let lanes = std::mem::replace(&mut self.lanes, [Lane::new(), Lane::new()]);
            self.digests.extend(lanes.map(Lane::finalize));
        }
    }

    /// The digest of every block, the last one perhaps short.
    pub fn finish(mut self) -> Vec<[u8; 32]> {
        let [mut first, second] = self.lanes;
        self.held.iter().for_each(|piece| first.update(piece));
        for lane in [first, second] {
            if lane.len() > 0 {
                self.digests.push(lane.finalize());
            }
        }
        self.digests
    }
}

/// Computes a [`ContentHash`] from bytes that arrive in order, in pieces of any length.
#[derive(Clone, Debug, Default)]
pub struct ContentHasher {
    outer: Sha256,
    block: Sha256,
    block_len: usize,
}

impl ContentHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = bytes.len().min(BLOCK_BYTES - self.block_len);
            let (now, later) = bytes.split_at(take);
            self.block.update(now);
            self.block_len += take;
            bytes = later;
            if self.block_len == BLOCK_BYTES {
                self.close_block();
            }
        }
    }

    /// The hash of everything that was given.
    pub fn finalize(mut self) -> ContentHash {
        if self.block_len > 0 {
            self.close_block();
        }
        ContentHash(self.outer.finalize().into())
    }

    fn close_block(&mut self) {
        self.outer
            .update(std::mem::take(&mut self.block).finalize());
        self.block_len = 0;
    }
}

/// Everything that is known about a content's bytes after they passed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Number of bytes.
    pub size: u64,
    /// BLAKE3 of all of them.
    pub blake3: Blake3,
    /// Their block hash, where a side of the transfer speaks it.
    pub content_hash: Option<ContentHash>,
}
