//! What an agency delivers: a folder tree of real files, made on the spot from a seed.
//!
//! [`plan`] says which files there are, as plain values with exact sizes; [`AgencyFile::write`] makes one
//! file's bytes as a stream of pieces, so that a film of hundreds of MiB is never in memory. Both depend
//! on the seed alone, in whatever order files are made. Images, films and documents decode and carry
//! XMP; beside what is to be delivered there is what every real tree has too: drafts, litter, empty
//! files, duplicates, odd names, folders that fit no scheme.

mod formats;
mod pieces;
mod tree;
mod xmp;

pub use tree::{AgencyFile, AgencySize, FileKind, plan};

#[cfg(test)]
mod tests;
