//! Where things are in an archive, and which paths may be in one at all.
//!
//! Paths are relative, `/`-separated and in NFC. File names come from [`unique_names`](crate::unique_names); everything
//! else of a path is made here.

use jiff::Timestamp;
use windlass_core::{AssetId, Blake3, Revision};

use crate::names::{is_reserved, repaired};

/// The document that names all others.
pub const MANIFEST_PATH: &str = "manifest.jsonl";

/// The document for people.
pub const README_PATH: &str = "README.txt";

/// The chain of MHL generations.
pub const CHAIN_PATH: &str = "ascmhl/ascmhl_chain.xml";

/// The longest path, in bytes. Ours have four names at most.
pub const PATH_BYTES_MAX: usize = 1024;

/// The longest name in a path that common file systems take, in bytes.
const SEGMENT_BYTES_MAX: usize = 255;

/// The longest id that names a file as it is. Longer ones are digested.
const KEY_CHARS_MAX: usize = 40;

/// The current original of an asset under its unique name.
pub fn original_path(file: &str) -> String {
    format!("originals/{file}")
}

/// An older version of an asset, whose file may be called anything.
pub fn version_path(asset: &AssetId, version: &Revision, file: &str) -> String {
    let (asset, version) = (key_of(asset.as_str()), key_of(version.as_str()));
    format!("versions/{asset}/{version}-{}", repaired(file))
}

/// A rendition under a name that is unique among those of its kind.
pub fn rendition_path(rendition: &str, file: &str) -> String {
    format!("renditions/{}/{file}", key_of(rendition))
}

/// A related document under its unique name.
pub fn document_path(file: &str) -> String {
    format!("documents/{file}")
}

/// What is known of an asset.
pub fn metadata_path(asset: &AssetId) -> String {
    format!("metadata/{}.json", key_of(asset.as_str()))
}

/// What is known of an asset, as XMP.
pub fn sidecar_path(asset: &AssetId) -> String {
    format!("metadata/{}.xmp", key_of(asset.as_str()))
}

/// The first generation of MHL: of which folder, and when it was made.
pub fn mhl_path(folder: &str, made: Timestamp) -> String {
    let made = made.strftime("%Y-%m-%d_%H%M%SZ");
    format!("ascmhl/0001_{}_{made}.mhl", repaired(folder))
}

/// An id or a technical name as the name of a file or folder: itself where every file system keeps it apart from all
/// others, else a digest of it.
pub fn key_of(id: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let is_plain = !id.is_empty() && id.len() <= KEY_CHARS_MAX && id.chars().all(plain);
    // What begins as a digest does is digested too, so that no two ids have one name.
    if is_plain && !id.starts_with("id-") && !is_reserved(id) {
        return id.to_owned();
    }
    format!("id-{}", &Blake3::of(id.as_bytes()).to_hex()[..32])
}

/// Why a path cannot be one of an archive, in one clause; anything that could lead out of the folder is refused, on
/// whichever system it is read.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        return Err("it is too long");
    }
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.contains(['\\', ':']) || path.chars().any(char::is_control) {
        return Err("it has a character that no archive uses");
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err("a name in it is empty"),
            "." | ".." => return Err("it leads out of its folder"),
            _ if segment.len() > SEGMENT_BYTES_MAX => return Err("a name in it is too long"),
            _ => {}
        }
    }
    if windlass_core::fold_key(path) == MANIFEST_PATH {
        return Err("it is the manifest itself");
    }
    Ok(())
}
