//! A typed client of CELUM's Content API v1, and the tenant as `Library`, `Source` and `Sink`.
//!
//! Names of types, fields and collections are resolved to the tenant's ids here and nowhere else.
//! Every point on which CELUM's public material is silent is a key of [`CelumProfile`]. There is no
//! chunked or resumable upload: one streamed POST carries a file, and the unit of retry is the file.
//!
//! Making an asset is not idempotent either. Before the call that makes one, its intent is in the caller's journal;
//! the call carries a mark where the tenant has a field for it; and an answer that is lost, or that a proxy may
//! have given in the tenant's place, is looked for before anything is sent again (`find.rs`).

mod attempts;
mod body;
mod calibration;
mod catalogue;
mod changes;
mod client;
mod edit;
mod endpoint;
mod errors;
pub mod events;
mod filter;
mod find;
mod forecast;
mod holding;
mod library;
mod lock;
mod options;
mod profile;
mod query;
mod references;
mod relations;
mod renditions;
mod resolve;
mod session;
mod sink;
mod source;
mod tree;
mod usage;
mod vocabulary;
mod wire;

pub use endpoint::CelumEndpoint;
pub use options::{CelumOptions, Credential};
pub use profile::{CelumProfile, Checksum, ChecksumRule, Encoding, UploadAuth, UploadMode};
pub use windlass_core::digest::ChecksumAlgorithm as Algorithm;

#[cfg(test)]
mod tests;
