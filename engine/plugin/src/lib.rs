//! The plugin host: a customer's rules run as WebAssembly components behind the `Hooks` port.
//!
//! A guest is a component of `windlass:hooks@1` (`wit/v1`) with no other import: it sees descriptions of
//! assets, never bytes, sockets, files, credentials, a clock or the ledger. It is compiled once, its
//! machine code is kept by digest, and every batch gets a fresh instance with little memory, little
//! work and a bounded answer. A batch that fails is halved until the asset at fault is found; that one
//! is held with the plugin's message and the others go on.
//!
//! [`PluginHost`] loads, inspects, tests and measures components, [`Plugin`] is a loaded one, [`build`] makes one
//! from a crate. This is the only crate that names wasmtime.

mod artefacts;
mod bench;
pub mod build;
mod cases;
mod failures;
mod guest;
mod host;
mod inspect;
mod kept;
mod options;
mod plugin;
mod question;
mod shape;
mod starters;
mod tables;
mod v1;

pub use bench::{Benched, BenchedBatches};
pub use cases::{CaseOutcome, TestedCase, TestedFile, case_files};
pub use failures::{Call, FailedCall, Replayed, Stopped};
pub use host::PluginHost;
pub use inspect::Inspection;
pub use options::{HostOptions, LoadOptions, config_json};
pub use plugin::Plugin;
pub use shape::{API_VERSION, Shape};
pub use starters::{StarterLanguage, new_plugin};
pub use tables::{Table, Tables};

#[cfg(test)]
mod tests;
