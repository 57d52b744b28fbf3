//! Faithful emulators of Dropbox and CELUM, served on loopback: demo, test bed and rehearsal stage in one.
//!
//! Both enforce what the vendors document and refuse loudly what they do not know, keep their state in
//! memory or in a folder, and take latency and fault profiles. They share no wire types with the
//! clients, so that a wrong field name cannot agree with itself. [`agency`] makes the files that a demo
//! or a test moves.

pub mod agency;
pub mod bell;
pub mod blob;
pub mod celum;
pub mod dropbox;
pub mod fault;
mod fill;
pub mod journal;
mod serve;

pub use fill::Filled;
pub use serve::{Lost, Sandbox, SandboxEndpoints, SandboxError, SandboxOptions, Service, Tls};
