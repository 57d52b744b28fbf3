//! What a running daemon tells over HTTP: whether it lives, whether it is ready, how its flows stand. And where others
//! ring: web hooks are [`Bell`]s that somebody else understands, because no service is known here by name.
//!
//! A ring is believed in nothing: it makes a flow look sooner than it would have. Nothing that is answered here changes
//! a flow or holds a secret. Standings name flows, and files where a failure is about one, so it is meant for the machine
//! itself and for what stands before it: whoever lets strangers in puts a server between that speaks TLS.

mod bell;
mod pace;
mod serve;
mod status;
#[cfg(test)]
mod tests;

pub use bell::{Answer, Bell, Knock, same};
pub use serve::{Console, House};
pub use status::{Backlog, FlowStatus, HeldFor, Progress, Stage, Status};
