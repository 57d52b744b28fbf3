//! Folder names become metadata: path templates, code tables, normalisation, typed fields.
//!
//! The folders above a file are matched against the operator's templates, in order; the first that fits
//! gives named captures. Captures are normalised and translated by code tables, then put into field
//! values, a collection, an asset name. Each value names the template and captures it came from.
//! Files in folders that fit no template are held, or passed with a finding, as configured.
//!
//! [`template`] has the grammar, [`config`] the configuration, `example.toml` shows both.

pub mod config;
pub mod pattern;
pub mod stated;
pub mod template;
pub mod values;

mod mapper;

pub use mapper::FolderMetadata;

windlass_sdk::plugin!(FolderMetadata: metadata);
