//! Dropbox as source and sink: a typed client of its API v2, and the endpoint made of it.
//!
//! Files are addressed by id and read by revision, so renames and edits never mix bytes. Names, sizes and
//! hashes are compared with what was asked wherever Dropbox states them. The types here are this crate's own;
//! the sandbox has others, so that a wrong field name cannot agree with itself.
//!
//! How a file goes up follows from counting calls:
//!
//! | content | travels | calls |
//! |---|---|---|
//! | up to 4 MiB, alone | `upload`, with its commit | 1 |
//! | up to 4 MiB, with others | `append_batch` into sessions of `start_batch`, then `finish_batch_v2` | about 0.006 each |
//! | larger, one chunk | a concurrent session whose only append closes it | 1, and shares of start and finish |
//! | larger | a concurrent session, chunks in any order, the closing one last | 1 a chunk, and the same shares |
//!
//! Starts are shared because sessions are started ahead of need, finishes because all commits of a namespace
//! go through one queue. A file of one chunk does not travel with its commit: commits of a namespace go one
//! after the other, and its bytes would hold up all others.

mod checkpoint;
mod client;
mod commits;
mod endpoint;
mod errors;
mod express;
mod forecast;
mod governing;
mod hashing;
mod judge;
mod options;
mod outlet;
mod pool;
mod session;
mod shared_error;
mod sink;
mod small;
mod source;
mod stamps;
mod target;
mod templates;
mod union;
pub mod webhook;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use endpoint::DropboxEndpoint;
pub use options::{Credential, DropboxOptions, PathRoot};

/// A panic while it was held leaves values that are still in order: they are changed in single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
