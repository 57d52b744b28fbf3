//! All digests of a file in one pass over its bytes.
//!
//! BLAKE3 is what is trusted. SHA-256 is what any computer can compute in ten years without us, the block hash is what
//! the cloud storage states in its listings, and XXH64 is what ASC MHL tools compare; it finds accidents, not intent.

use std::fmt;
use std::hash::Hasher as _;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use twox_hash::XxHash64;
use windlass_core::digest::{ChecksumAlgorithm, ChecksumHasher, ContentHasher};
use windlass_core::{Blake3, ContentHash};

/// How many bytes are read and hashed at a time: large enough that sharing them among threads pays, and small enough
/// that each thread can have such a buffer.
pub const PIECE_BYTES: usize = 1 << 20;

/// From how many bytes on the digests of a piece are computed side by side: below, handing the work over costs more.
const SHARED_BYTES_MIN: usize = 128 << 10;

macro_rules! hex_digest {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = hex::FromHexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok($name(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
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

hex_digest! {
    /// A SHA-256 digest, in text 64 hexadecimal digits.
    Sha256, 32
}
hex_digest! {
    /// An XXH64 checksum with seed 0, in text 16 hexadecimal digits, the most significant first.
    Xxh64, 8
}

/// The size of a file and all its digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigests {
    /// Number of bytes.
    pub size: u64,
    /// BLAKE3.
    pub blake3: Blake3,
    /// SHA-256.
    pub sha256: Sha256,
    /// SHA-256 of the SHA-256 digests of all blocks of 4 MiB.
    pub content_hash: ContentHash,
    /// XXH64.
    pub xxh64: Xxh64,
}

impl FileDigests {
    /// Those of bytes that are all here.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digesting = Digesting::default();
        digesting.update(bytes);
        digesting.finish()
    }
}

/// Computes [`FileDigests`] from bytes that arrive in order, in pieces of any length.
#[derive(Clone)]
pub struct Digesting {
    size: u64,
    blake3: blake3::Hasher,
    sha256: ChecksumHasher,
    blocks: ContentHasher,
    xxh64: XxHash64,
}

impl fmt::Debug for Digesting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digesting({} bytes)", self.size)
    }
}

impl Default for Digesting {
    fn default() -> Self {
        Digesting {
            size: 0,
            blake3: blake3::Hasher::new(),
            sha256: ChecksumHasher::new(ChecksumAlgorithm::Sha256),
            blocks: ContentHasher::new(),
            xxh64: XxHash64::with_seed(0),
        }
    }
}

impl Digesting {
    /// Takes the next bytes. Of a long piece the digests are computed on several threads of the pool that this runs in;
    /// it blocks until all are done.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if bytes.len() < SHARED_BYTES_MIN {
            self.blake3.update(bytes);
            self.sha256.update(bytes);
            self.blocks.update(bytes);
            self.xxh64.write(bytes);
            return;
        }
        let Digesting {
            blake3,
            sha256,
            blocks,
            xxh64,
            ..
        } = self;
        let quick = || {
            blake3.update(bytes);
            xxh64.write(bytes);
        };
        let chains = || rayon::join(|| sha256.update(bytes), || blocks.update(bytes));
        rayon::join(quick, chains);
    }

    /// Takes everything that is left to read. Answers how much that was.
    pub fn read_all(&mut self, from: &mut impl Read, buffer: &mut [u8]) -> io::Result<u64> {
        let before = self.size;
        loop {
            match from.read(buffer) {
                Ok(0) => return Ok(self.size - before),
                Ok(read) => self.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digests of everything that was given.
    pub fn finish(self) -> FileDigests {
        // A checksum of another length cannot be; zeros would agree with nothing.
        let sha256 = self.sha256.finalize().try_into().unwrap_or_default();
        FileDigests {
            size: self.size,
            blake3: Blake3(*self.blake3.finalize().as_bytes()),
            sha256: Sha256(sha256),
            content_hash: self.blocks.finalize(),
            xxh64: Xxh64(self.xxh64.finish().to_be_bytes()),
        }
    }
}

impl io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
