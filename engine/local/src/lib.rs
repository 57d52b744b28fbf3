//! A folder as an endpoint: the smallest one, and the one to copy when a new endpoint is started.
//!
//! Ids are paths below the root; a revision is size, modification time and inode, so a file that is
//! replaced or rewritten is another revision. Reads are positioned reads that look at the revision
//! before and after. Uploads go to a hidden file beside their target and appear there by one rename.
//! Symbolic links are never followed: what they point to may lie outside the root.
//! [`LocalEndpoint::digest_tree`] hashes whole folders before anything is sent, so that duplicates are known.
//!
//! Names are bytes to a folder: the composed and the decomposed form of an accent are two files here, and both
//! are listed, read and written as they are spelled.

#![deny(unsafe_code)]

mod content;
mod digests;
mod endpoint;
mod handles;
mod map;
mod outlet;
mod part;
mod paths;
mod root;
mod scan;
mod session;
mod sink;
mod source;
mod stamp;
mod tree;
mod unfinished;
mod walk;

pub use endpoint::{LocalEndpoint, LocalOptions};
pub use scan::{ScanOptions, ScanTotals, Scanned};
pub use unfinished::Cleared;

#[cfg(test)]
mod tests;
