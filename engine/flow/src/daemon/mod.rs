//! When which flow makes a pass: the part of the daemon that only thinks.
//!
//! [`Scheduler`] is told what happened (somebody rang, a pass ended, time went by) and answers what is to be started and
//! stopped, when it wants to be asked again and, for people, why each flow waits. It opens no socket, starts no task and
//! reads no clock: every call says what time it is, so that a day of it is tested in a millisecond. [`Schedule`] and
//! [`Windows`] are what a configuration says about times, with the zone in which it is meant.

mod order;
mod rules;
mod schedule;
mod scheduler;
mod standing;
#[cfg(test)]
mod tests;
mod windows;

pub use order::{Order, PassEnded, PassOutcome};
pub use rules::{FlowRules, Pass, Priority, Trigger};
pub use schedule::Schedule;
pub use scheduler::Scheduler;
pub use standing::{Doing, LastPass, Standing, Upcoming};
pub use windows::{Allowance, Rate, Windows};
