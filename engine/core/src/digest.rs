//! The two digests of a content: BLAKE3, which we trust, and the block hash that Dropbox states.
//!
//! The block hash ("content hash") is SHA-256 over the concatenated SHA-256 digests of the content's
//! 4 MiB blocks. Blocks are independent, so chunks may be hashed in any order as long as they start on
//! a block boundary; 32 bytes a block are kept until the end.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

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
        ContentHash::from_blocks(bytes.chunks(BLOCK_BYTES).map(block_digest))
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

/// The digest of one block: at most [`BLOCK_BYTES`] long, shorter only at a content's end.
pub fn block_digest(block: &[u8]) -> [u8; 32] {
    debug_assert!(block.len() <= BLOCK_BYTES);
    Sha256::digest(block).into()
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
