//! Between asset paths and files, never leaving the root.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use windlass_core::{Asset, AssetId, AssetPath, Error, Kind, Readable, Result, Revision};

/// Prefix and suffix of files that hold an upload which is not committed.
pub(crate) const PART_PREFIX: &str = ".windlass-";
pub(crate) const PART_SUFFIX: &str = ".part";

/// True for the hidden file of an upload that is not committed.
pub(crate) fn is_part(name: &str) -> bool {
    name.starts_with(PART_PREFIX) && name.ends_with(PART_SUFFIX)
}

/// The file of an asset path. Refuses what would leave the root or cannot be a file name.
pub(crate) fn resolve(root: &Path, path: &AssetPath) -> Result<PathBuf> {
    let mut file = root.to_owned();
    for segment in path.segments() {
        let bad = match segment {
            "." | ".." => Some("it would leave the folder"),
            s if s.contains('\0') || s.contains('\\') => Some("it contains a forbidden character"),
            s if s.len() > 255 => Some("a name in it is longer than 255 bytes"),
            _ => None,
        };
        if let Some(why) = bad {
            return Err(
                Error::new(Kind::InvalidInput, format!("the path is refused: {why}"))
                    .with_context("path", path),
            );
        }
        file.push(segment);
        // A link inside the root could point anywhere.
        if file
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_symlink())
        {
            return Err(Error::new(
                Kind::InvalidInput,
                "the path is refused: it runs through a link",
            )
            .with_context("path", path));
        }
    }
    Ok(file)
}

/// Which bytes a file has, as far as the file system can tell.
pub(crate) fn revision(metadata: &Metadata) -> Revision {
    Revision::new(format!(
        "{}-{}.{:09}-{}",
        metadata.size(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ino()
    ))
}

/// A file as an asset.
pub(crate) fn asset(path: AssetPath, metadata: &Metadata) -> Asset {
    let nanos = i32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    Asset {
        id: AssetId::new(path.as_str()),
        revision: revision(metadata),
        size: metadata.size(),
        modified: Timestamp::new(metadata.mtime(), nanos).ok(),
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
        path,
    }
}
