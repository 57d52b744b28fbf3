//! The metadata document of an asset: canonical JSON (RFC 8785) in one line, so that equal knowledge has equal bytes.

use serde::Deserialize;
use windlass_core::sealed::canonical;
use windlass_core::{Error, Kind, Result};

use crate::manifest::{FORMAT, newer};
use crate::model::ArchivedAsset;

/// The longest document that is read: far above any asset, far below what memory holds.
pub const METADATA_BYTES_MAX: u64 = 64 << 20;

/// An asset as bytes of its document.
///
/// Errors: `InvalidInput` for a document that would not be read again, because a number has too many digits or it is
/// too long.
pub fn metadata_json(asset: &ArchivedAsset) -> Result<Vec<u8>> {
    let bytes = canonical(asset)?;
    if bytes.len() as u64 > METADATA_BYTES_MAX {
        return Err(Error::new(
            Kind::InvalidInput,
            "the metadata of an asset are too long for an archive",
        )
        .with_context("asset", &asset.id)
        .with_context("bytes", bytes.len()));
    }
    Ok(bytes)
}

/// What every format of the document has.
#[derive(Debug, Deserialize)]
struct Start {
    format: u32,
    archive: String,
}

/// An asset from the bytes of its document.
///
/// Errors: `Unsupported` for one of a newer format, `InvalidInput` for what is none.
pub fn parse_metadata(bytes: &[u8]) -> Result<ArchivedAsset> {
    let odd = |error: serde_json::Error| {
        Error::new(
            Kind::InvalidInput,
            "the file does not hold the metadata of an asset",
        )
        .with_source(error)
    };
    let start: Start = serde_json::from_slice(bytes).map_err(odd)?;
    if start.format > FORMAT {
        return Err(newer(start.format));
    }
    serde_json::from_slice(bytes).map_err(odd)
}

/// The archive that a document says it is of, if it says so.
pub(crate) fn archive_of(bytes: &[u8]) -> Option<String> {
    let start: Start = serde_json::from_slice(bytes).ok()?;
    Some(start.archive)
}
