//! Taking in a request body: in bounded pieces, hashed by block on the way, never beyond the limit.

use std::collections::BTreeMap;
use std::io;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http_body::Body as _;
use windlass_core::ContentHash;
use windlass_core::digest::{BLOCK_BYTES, BlockHasher, two_digests};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::wire::tag;

/// The most bytes one upload call may carry: 150 MiB.
pub(super) const BODY_BYTES_MAX: u64 = 150 << 20;
/// Beyond this a proxy answers instead of the service.
const PROXY_BYTES_MAX: u64 = 492_000_000;
/// Small pieces are gathered to this size, so that memory is not held by fragments of read buffers.
const PIECE_BYTES: usize = 256 << 10;

/// The digest of one block, and how many bytes it covers.
type Block = ([u8; 32], u32);

/// What came in.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) len: u64,
    blocks: Vec<Block>,
}

impl Received {
    /// Contents that are here already, two at a time where each is one block.
    pub(super) fn of_each(contents: &[Vec<Bytes>]) -> Vec<Self> {
        let whole = |content: &Vec<Bytes>| {
            let mut hasher = BlockHasher::default();
            content
                .iter()
                .for_each(|piece| hasher.update(piece.clone()));
            hasher.finish()
        };
        let len = |content: &Vec<Bytes>| content.iter().map(|piece| piece.len() as u64).sum();
        let is_block = |content: &Vec<Bytes>| (1..=BLOCK_BYTES as u64).contains(&len(content));
        let digests = contents.chunks(2).flat_map(|pair| match pair {
            [a, b] if is_block(a) && is_block(b) => {
                two_digests([a, b]).map(|digest| vec![digest]).to_vec()
            }
            _ => pair.iter().map(whole).collect(),
        });
        let of_one = |(content, digests)| Received {
            len: len(content),
            blocks: blocks_of(len(content), digests),
        };
        contents.iter().zip(digests).map(of_one).collect()
    }

    /// What is left of a body that broke off in the middle: whole blocks where it has to be aligned.
    pub(super) fn half(&self, aligned: bool) -> Received {
        let half = self.len / 2;
        let block = BLOCK_BYTES as u64;
        let len = match aligned {
            true => half - half % block,
            false => half,
        };
        // The digest of a block that broke off is not known, so the file is read again for its hash.
        let blocks = self.blocks[..(len / block) as usize].to_vec();
        Received { len, blocks }
    }

    /// The content hash of the body by itself.
    pub(super) fn hash(&self) -> ContentHash {
        ContentHash::from_blocks(self.blocks.iter().map(|(digest, _)| *digest))
    }
}

/// Digests of a file's blocks, from bodies that began on block boundaries.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    by_index: BTreeMap<u64, Block>,
    /// A body began inside a block: the file has to be read again for its hash.
    broken: bool,
}

impl Blocks {
    /// Digests that nobody knows, as after a restart.
    pub(super) fn unknown() -> Self {
        Blocks {
            by_index: BTreeMap::new(),
            broken: true,
        }
    }

    /// Adds a body at an offset.
    pub(super) fn add(&mut self, offset: u64, body: &Received) {
        if !offset.is_multiple_of(BLOCK_BYTES as u64) {
            self.broken |= body.len > 0;
            return;
        }
        for (index, block) in (offset / BLOCK_BYTES as u64..).zip(&body.blocks) {
            // Bytes that are here already stay, and so does their digest.
            self.by_index.entry(index).or_insert(*block);
        }
    }

    /// The hash of a file of this size, if its blocks are known.
    pub(super) fn hash(&self, size: u64) -> Option<ContentHash> {
        let block = BLOCK_BYTES as u64;
        let count = size.div_ceil(block);
        let known = (0..count).all(|index| {
            let want = block.min(size - index * block);
            let have = self.by_index.get(&index).map(|(_, len)| u64::from(*len));
            have == Some(want)
        });
        let digests = self.by_index.range(..count).map(|(_, (digest, _))| *digest);
        (known && !self.broken).then(|| ContentHash::from_blocks(digests))
    }
}

/// The digests of a body's blocks with the length of each.
fn blocks_of(len: u64, digests: Vec<[u8; 32]>) -> Vec<Block> {
    let block = BLOCK_BYTES as u64;
    let starts = (0..len).step_by(BLOCK_BYTES);
    // A block is at most 4 MiB, so its length fits.
    let lengths = starts.map(|start| block.min(len - start) as u32);
    digests.into_iter().zip(lengths).collect()
}

/// `payload_too_large`, a tag of its own in the error of every upload route.
pub(super) fn payload_too_large() -> ApiError {
    ApiError::Endpoint(tag("payload_too_large"))
}

impl Dropbox {
    /// Hands a body to `sink` piece by piece, each with its offset in the body. A body beyond the limit is
    /// read to its end, as the service does, and then refused.
    pub(super) async fn receive(
        &self,
        body: Body,
        mut sink: impl FnMut(u64, Bytes) -> io::Result<()>,
    ) -> Result<Received, ApiError> {
        if body.size_hint().lower() > PROXY_BYTES_MAX {
            return Err(ApiError::Html(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let keeps = self.blobs.keeps();
        let mut pieces = body.into_data_stream();
        let mut hasher = BlockHasher::default();
        let mut gathered = BytesMut::new();
        let (mut len, mut written) = (0u64, 0u64);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| {
                let message = format!("the request body broke off: {error}");
                ApiError::Text(StatusCode::BAD_REQUEST, message)
            })?;
            len += piece.len() as u64;
            self.received(piece.len() as u64);
            if len > PROXY_BYTES_MAX {
                return Err(ApiError::Html(StatusCode::PAYLOAD_TOO_LARGE));
            }
            if len > BODY_BYTES_MAX {
                continue;
            }
            hasher.update(piece.clone());
            if !keeps {
                // Nothing is held, so there is nothing to hold tidily.
                let at = len - piece.len() as u64;
                sink(at, piece)?;
                continue;
            }
            gathered.extend_from_slice(&piece);
            while gathered.len() >= PIECE_BYTES {
                let whole = gathered.split_to(PIECE_BYTES).freeze();
                sink(written, whole)?;
                written += PIECE_BYTES as u64;
            }
        }
        if len > BODY_BYTES_MAX {
            return Err(payload_too_large());
        }
        if !gathered.is_empty() {
            // A copy of exactly the right size: the gathering buffer is larger than what it holds.
            sink(written, Bytes::copy_from_slice(&gathered))?;
        }
        Ok(Received {
            len,
            blocks: blocks_of(len, hasher.finish()),
        })
    }
}

/// Compares a body with the hash that its call stated, if it did.
pub(super) fn check_hash(
    call: &Call,
    stated: Option<&str>,
    received: &Received,
) -> Result<(), ApiError> {
    let Some(stated) = stated else {
        return Ok(());
    };
    if stated.len() != 64 {
        return Err(call.bad("content_hash: must be 64 characters long"));
    }
    if stated != received.hash().to_hex() {
        return Err(ApiError::Endpoint(tag("content_hash_mismatch")));
    }
    Ok(())
}
