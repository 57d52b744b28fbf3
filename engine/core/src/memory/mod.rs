//! Memory implementations of ports: for tests, examples and simulations.
//!
//! They keep the promises of the ports exactly, and forget everything when dropped. Nothing here does
//! I/O, sleeps or knows a runtime; time comes from a [`Clock`](crate::Clock), so a simulation owns it.
//! [`MemoryEndpoint`] can be told to misbehave the way real services and folders do.

mod clock;
mod endpoint;
mod ledger;
mod library;
mod outlet;
mod sink;
mod source;
mod store;

pub use clock::ManualClock;
pub use endpoint::{Disturbance, MemoryEndpoint, Operation};
pub use ledger::MemoryLedger;
pub use library::MemoryLibrary;
