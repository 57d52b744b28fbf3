//! The data plane: one file, one direction, within everyone's memory budget.
//!
//! [`Engine::transfer`] reads a pinned revision from a source in ranges, several at once, hashes the
//! chunks beside the loop, hands them to a sink's upload session in the order that the sink wants,
//! and commits only when the digests agree. This crate knows no service: what a source or a sink can
//! do is on its capability sheet. It keeps nothing on disk; what survives a crash is what the request's
//! journal was told, and what the sink still has.

mod budget;
mod cut;
mod discard;
mod engine;
mod faults;
mod gauge;
pub mod hash;
mod intake;
pub mod lane;
mod layout;
mod pool;
mod progress;
mod resume;
pub mod ring;
mod throttle;
mod transfer;
mod watch;
mod window;

pub use cut::PARTS;
pub use engine::{Engine, EngineOptions, Gauges};
pub use layout::{ChunkLayout, LayoutError};
pub use progress::{Phase, Progress, Snapshot};
pub use throttle::Throttle;
pub use transfer::{Gate, TransferRequest, Transferred};

#[cfg(test)]
mod tests;
