//! A folder as an endpoint: the smallest one, and the one to copy when a new endpoint is started.
//!
//! Ids are paths below the root; a revision is size, modification time and inode, so a file that is
//! replaced or rewritten is another revision. Reads are positioned reads that look at the revision
//! before and after. Uploads go to a hidden file beside their target and appear there by one rename.
//! Symbolic links are never followed: what they point to may lie outside the root.

mod endpoint;
mod paths;
mod sink;
mod source;
mod walk;

pub use endpoint::{LocalEndpoint, LocalOptions};

#[cfg(test)]
mod tests;
