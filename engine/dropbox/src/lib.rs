//! Dropbox as source and sink: a typed client of its API v2, and the endpoint made of it.
//!
//! Files are addressed by id and read by revision, so renames and edits never mix bytes. Names, sizes and
//! hashes are compared with what was asked wherever Dropbox states them. The types here are this crate's own;
//! the sandbox has others, so that a wrong field name cannot agree with itself.

mod client;
mod endpoint;
mod errors;
mod judge;
mod options;
mod sink;
mod source;
mod union;
mod wire;

pub use endpoint::{DropboxEndpoint, Waited};
pub use options::{Credential, DropboxOptions, PathRoot};

#[cfg(test)]
mod tests;
