//! Digests of chunks that come in any order, merged into the digests of the whole content.
//!
//! A chunk of power-of-two size is a complete subtree of BLAKE3, so its chaining value is computed
//! without its neighbours; the values are merged in order on a stack as deep as the tree, so a
//! content of any size needs a few hundred bytes. The content hash is SHA-256 over the digests of
//! 4 MiB blocks: chunks that hold whole blocks bring those digests along. Chunks smaller than a block
//! cannot, and their bytes are shown to [`ContentDigester::take_bytes`] in order instead.

use std::io::{self, Read};

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use bytes::Bytes;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use windlass_core::digest::{BLOCK_BYTES, ContentHasher, block_digests};
use windlass_core::{Blake3, ContentHash, Digests};

use crate::layout::ChunkLayout;

/// How many bytes [`digest_reader`] asks for at once. BLAKE3 reaches full speed at 16 KiB and more
/// than the second-level cache holds only costs; picked from that range, not tuned.
const READ_BYTES: usize = 256 << 10;

/// What one chunk adds to the digests of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDigest {
    tree: Tree,
    // The block digests, where chunks hold whole blocks and the content hash is wanted.
    blocks: Vec<[u8; 32]>,
}

/// What the first byte of an encoded digest says; another encoding gets another number.
const ENCODING: u8 = 1;

impl ChunkDigest {
    /// The content hash of the chunk's bytes alone, where its blocks were hashed. Costs one hash over 32
    /// bytes a block, none over the bytes.
    pub fn content_hash(&self) -> Option<ContentHash> {
        let known = !self.blocks.is_empty();
        known.then(|| ContentHash::from_blocks(self.blocks.iter().copied()))
    }

    /// The digest as bytes that outlive the process: 33 and 32 more a block. Only for chunks that are a part
    /// of their content; a content of one chunk is sent again rather than resumed.
    pub(crate) fn encode(&self) -> Option<Bytes> {
        let Tree::Subtree(value) = &self.tree else {
            return None;
        };
        let mut encoded = Vec::with_capacity(33 + 32 * self.blocks.len());
        encoded.push(ENCODING);
        encoded.extend_from_slice(value);
        encoded.extend(self.blocks.iter().flatten());
        Some(encoded.into())
    }

    /// Reads an encoded digest of a chunk that has `blocks` block digests; `None` when it is not one.
    pub(crate) fn decode(encoded: &[u8], blocks: usize) -> Option<ChunkDigest> {
        let (version, rest) = encoded.split_first()?;
        let (value, rest) = rest.split_first_chunk::<32>()?;
        let (found, odd) = rest.as_chunks::<32>();
        let whole = *version == ENCODING && odd.is_empty() && found.len() == blocks;
        whole.then(|| ChunkDigest {
            tree: Tree::Subtree(*value),
            blocks: found.to_vec(),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tree {
    /// The chunk is the whole content.
    Root(Blake3),
    /// The chunk is a subtree among others.
    Subtree(ChainingValue),
}

/// Which digests a content gets, and how its chunks are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    layout: ChunkLayout,
    content_hash: bool,
}

impl Hashing {
    /// BLAKE3 always, and the content hash where `content_hash` says so.
    pub fn new(layout: ChunkLayout, content_hash: bool) -> Self {
        Hashing {
            layout,
            content_hash,
        }
    }

    /// Whether chunks are smaller than blocks, so that [`ContentDigester::take_bytes`] must see them.
    pub fn needs_order(&self) -> bool {
        self.content_hash && !self.layout.holds_whole_blocks()
    }

    /// How many block digests the digest of chunk `index` holds.
    pub(crate) fn blocks_of(&self, index: u64) -> usize {
        let range = self.layout.range(index);
        match self.hashes_blocks() {
            // At most a chunk's worth, which fits.
            true => (range.end - range.start).div_ceil(BLOCK_BYTES as u64) as usize,
            false => 0,
        }
    }

    fn hashes_blocks(&self) -> bool {
        self.content_hash && self.layout.holds_whole_blocks()
    }

    /// Hashes chunk `index` on this thread. `bytes` are all of that chunk.
    pub fn chunk(&self, index: u64, bytes: &[u8]) -> ChunkDigest {
        let blocks = if self.hashes_blocks() {
            block_digests(bytes)
        } else {
            Vec::new()
        };
        let tree = self.tree(index, bytes);
        ChunkDigest { tree, blocks }
    }

    /// The same as [`Hashing::chunk`], with BLAKE3 and every two blocks on a thread of the current rayon
    /// pool where one is idle.
    pub fn chunk_in_pool(&self, index: u64, bytes: &[u8]) -> ChunkDigest {
        if !self.hashes_blocks() {
            return self.chunk(index, bytes);
        }
        let (blocks, tree) =
            rayon::join(|| block_digests_in_pool(bytes), || self.tree(index, bytes));
        ChunkDigest { tree, blocks }
    }

    fn tree(&self, index: u64, bytes: &[u8]) -> Tree {
        if self.layout.count() <= 1 {
            return Tree::Root(Blake3::of(bytes));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.layout.range(index).start);
        hasher.update(bytes);
        Tree::Subtree(hasher.finalize_non_root())
    }
}

/// Merges chunk digests, given in order, into the digests of the content.
#[derive(Clone, Debug)]
pub struct ContentDigester {
    layout: ChunkLayout,
    taken: u64,
    // Subtrees that wait for a right neighbour, the largest first: at most one per size, so 64.
    stack: Vec<ChainingValue>,
    whole: Option<Blake3>,
    blocks: Blocks,
}

#[derive(Clone, Debug)]
enum Blocks {
    Off,
    /// The outer hash over block digests that chunks bring along.
    Digests(Sha256),
    /// Chunks are smaller than blocks: their bytes are hashed in order.
    Bytes(ContentHasher),
}

impl ContentDigester {
    /// A digester that has taken no chunk.
    pub fn new(hashing: Hashing) -> Self {
        ContentDigester {
            layout: hashing.layout,
            taken: 0,
            stack: Vec::new(),
            whole: None,
            blocks: if hashing.needs_order() {
                Blocks::Bytes(ContentHasher::new())
            } else if hashing.content_hash {
                Blocks::Digests(Sha256::new())
            } else {
                Blocks::Off
            },
        }
    }

    /// Number of chunks taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the digest of the next chunk.
    pub fn take(&mut self, chunk: ChunkDigest) {
        match chunk.tree {
            Tree::Root(whole) => self.whole = Some(whole),
            Tree::Subtree(value) => {
                // Merging waits until a further chunk is here, because the last merge of all is the
                // root's and is done differently.
                self.merge_down_to(self.taken.count_ones() as usize);
                self.stack.push(value);
            }
        }
        if let Blocks::Digests(outer) = &mut self.blocks {
            for block in &chunk.blocks {
                outer.update(block);
            }
        }
        self.taken += 1;
    }

    /// Takes the bytes of the next chunk, where [`Hashing::needs_order`]; otherwise does nothing.
    pub fn take_bytes(&mut self, bytes: &[u8]) {
        if let Blocks::Bytes(hasher) = &mut self.blocks {
            hasher.update(bytes);
        }
    }

    /// The digests, once every chunk was taken; `None` before.
    pub fn finish(mut self) -> Option<Digests> {
        if self.taken != self.layout.count() {
            return None;
        }
        self.merge_down_to(2);
        let blake3 = match (self.whole, self.stack.as_slice()) {
            (Some(whole), _) => whole,
            (None, [left, right]) => {
                Blake3(*merge_subtrees_root(left, right, Mode::Hash).as_bytes())
            }
            _ => Blake3::of(&[]),
        };
        Some(Digests {
            size: self.layout.size(),
            blake3,
            content_hash: match self.blocks {
                Blocks::Off => None,
                Blocks::Digests(outer) => Some(ContentHash(outer.finalize().into())),
                Blocks::Bytes(hasher) => Some(hasher.finalize()),
            },
        })
    }

    fn merge_down_to(&mut self, len: usize) {
        while let [.., left, right] = self.stack.as_slice()
            && self.stack.len() > len
        {
            let parent = merge_subtrees_non_root(left, right, Mode::Hash);
            self.stack.truncate(self.stack.len() - 2);
            self.stack.push(parent);
        }
    }
}

/// The digests of bytes that are all here, such as a mapped file, on the current rayon pool.
pub fn digest_bytes(bytes: &[u8], content_hash: bool) -> Digests {
    let (content_hash, blake3) = rayon::join(
        || content_hash.then(|| content_hash_bytes(bytes)),
        || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_rayon(bytes);
            Blake3(*hasher.finalize().as_bytes())
        },
    );
    Digests {
        size: bytes.len() as u64,
        blake3,
        content_hash,
    }
}

/// The content hash of bytes that are all here, its blocks on the current rayon pool.
pub fn content_hash_bytes(bytes: &[u8]) -> ContentHash {
    ContentHash::from_blocks(block_digests_in_pool(bytes))
}

/// Two blocks make one job, because a thread hashes two in the time of one.
fn block_digests_in_pool(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes
        .par_chunks(2 * BLOCK_BYTES)
        .flat_map_iter(block_digests)
        .collect()
}

/// The digests of everything that a reader still gives, on this thread.
pub fn digest_reader(mut reader: impl Read, content_hash: bool) -> io::Result<Digests> {
    let mut buffer = vec![0; READ_BYTES];
    let mut blake3 = blake3::Hasher::new();
    let mut blocks = content_hash.then(ContentHasher::new);
    loop {
        let bytes = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        blake3.update(bytes);
        if let Some(blocks) = &mut blocks {
            blocks.update(bytes);
        }
    }
    Ok(Digests {
        size: blake3.count(),
        blake3: Blake3(*blake3.finalize().as_bytes()),
        content_hash: blocks.map(ContentHasher::finalize),
    })
}
