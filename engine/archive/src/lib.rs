//! The format of a sealed archive: a folder that says what a closed campaign was, and proves it without anything else.
//!
//! ```text
//! originals/<file>                      the current original of each asset
//! versions/<asset>/<version>-<file>     older versions
//! renditions/<rendition>/<file>         what was made of the originals
//! documents/<file>                      what the assets are related to
//! metadata/<asset>.json                 everything that is known of an asset
//! metadata/<asset>.xmp                  the same in the words of XMP, as far as it has any
//! ascmhl/…                              one generation of ASC MHL, for the tools of film post production
//! README.txt                            what this is, for people
//! manifest.jsonl                        every other file with its digests, sealed and perhaps signed
//! ```
//!
//! Nothing here knows a flow or an endpoint. Small documents are made as bytes ([`metadata_json`], [`xmp`], [`readme`]),
//! long ones are written as they grow ([`ManifestWriter`], [`MhlWriter`]); [`verify`] proves a folder and [`read`]
//! gives back what is in it, asset by asset. An archive is written in this order: files, metadata, [`readme`], MHL,
//! manifest; the last names all others, and makes a folder an archive.

#![deny(unsafe_code)]

mod digest;
mod folder;
mod layout;
mod manifest;
mod metadata;
mod mhl;
mod model;
mod names;
mod read;
mod readme;
mod verify;
mod xml;
mod xmp;

pub use digest::{Digesting, FileDigests, PIECE_BYTES, Sha256, Xxh64};
pub use layout::{
    CHAIN_PATH, MANIFEST_PATH, PATH_BYTES_MAX, README_PATH, check_path, document_path, key_of,
    metadata_path, mhl_path, original_path, rendition_path, sidecar_path, version_path,
};
pub use manifest::{
    ARCHIVE_DOCUMENT, Entry, FORMAT, Manifest, ManifestHeader, ManifestReader, ManifestWriter,
    Role, Sum, Sums, archive_id,
};
pub use metadata::{METADATA_BYTES_MAX, metadata_json, parse_metadata};
pub use mhl::{MhlInfo, MhlWriter, mhl_chain};
pub use model::{
    Approval, Archived, ArchivedAsset, ArchivedFile, ArchivedRelation, ArchivedRendition,
    ArchivedRuling, ArchivedVersion, Receipt,
};
pub use names::{NAME_BYTES_MAX, repaired, unique_names};
pub use read::{Archive, Assets, read};
pub use readme::readme;
pub use verify::{
    LISTED_MAX, Listed, Progress, Signed, Trouble, TroubleKind, Verified, verify, verify_watched,
};
pub use xmp::{NAMESPACE, XmpMap, xmp};

#[cfg(test)]
mod tests;
