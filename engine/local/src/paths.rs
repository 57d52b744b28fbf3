//! Names: which paths may be a file of the folder, and what the hidden files of uploads are called.

use windlass_core::{AssetPath, Blake3, Correlation, Error, Kind, Result};

/// Prefix and suffix of files that hold an upload which is not committed.
const PART_PREFIX: &str = ".windlass-";
const PART_SUFFIX: &str = ".part";

/// The longest name that common file systems take, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The hidden file of the upload that carries this correlation and becomes `name`. The name is in it as well
/// because one asset may be placed twice in one folder.
pub(crate) fn part_name(correlation: &Correlation, name: &str) -> String {
    let place = &Blake3::of(name.as_bytes()).to_hex()[..8];
    format!("{PART_PREFIX}{correlation}-{place}{PART_SUFFIX}")
}

/// True for the hidden file of an upload that is not committed.
pub(crate) fn is_part(name: &[u8]) -> bool {
    name.starts_with(PART_PREFIX.as_bytes()) && name.ends_with(PART_SUFFIX.as_bytes())
}

/// Refuses a path that would leave the folder or cannot be one of a file.
pub(crate) fn check(path: &AssetPath) -> Result<()> {
    for segment in path.segments() {
        let bad = match segment {
            "." | ".." => "it would leave the folder",
            s if s.contains('\0') || s.contains('\\') => "it contains a forbidden character",
            s if s.len() > NAME_BYTES_MAX => "a name in it is longer than 255 bytes",
            _ => continue,
        };
        return Err(
            Error::new(Kind::InvalidInput, format!("the path is refused: {bad}"))
                .with_context("path", path),
        );
    }
    Ok(())
}
