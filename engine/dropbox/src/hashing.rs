//! Block hashes of what one call carries.

use bytes::Bytes;
use windlass_core::digest::BlockHasher;
use windlass_core::{ContentHash, Error, Kind, Result};
use windlass_http::Pieces;

/// From this size on bytes are hashed away from the runtime's threads: 1 MiB takes about half a
/// millisecond.
const HASH_ASIDE_BYTES: u64 = 1 << 20;

/// The block hash of bytes in one piece.
pub(crate) async fn hash(bytes: &Bytes) -> Result<ContentHash> {
    if (bytes.len() as u64) < HASH_ASIDE_BYTES {
        return Ok(ContentHash::of(bytes));
    }
    let bytes = bytes.clone();
    aside(move || ContentHash::of(&bytes)).await
}

/// The block hash of a body in pieces.
pub(crate) async fn hash_pieces(pieces: &Pieces) -> Result<ContentHash> {
    let size = pieces.length();
    let pieces = pieces.clone();
    let all = move || {
        let mut hasher = BlockHasher::default();
        pieces.iter().for_each(|piece| hasher.update(piece.clone()));
        ContentHash::from_blocks(hasher.finish())
    };
    match size < HASH_ASIDE_BYTES {
        true => Ok(all()),
        false => aside(all).await,
    }
}

async fn aside(work: impl FnOnce() -> ContentHash + Send + 'static) -> Result<ContentHash> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(Kind::Unexpected, "hashing ended abnormally").with_source(error)
    })
}
