//! The durable record: runs, steps, contents, placements, withdrawals, conflicts and cursors, in one SQLite file or in a PostgreSQL
//! database.
//!
//! One task writes. It takes as many waiting calls as there are, runs them in one transaction and
//! answers them after its commit, so that a single `fsync` serves many and an answer always means that
//! what was written survives a power cut. Reads have connections of their own and never wait for it.
//! Statements are set-based: a call with a thousand steps is a handful of statements.
//!
//! A ledger belongs to one process at a time; a lock file beside it says so, and on a server the lock of a session.
//! Steps that were leased when that process died go back to the queue when the ledger is opened again.
//!
//! One text of each statement does for both databases: the server has functions by the names that SQLite uses.

mod backup;
#[cfg(any(test, feature = "bare"))]
pub mod bare;
mod check;
mod compact;
mod conflicts;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod copy;
mod error;
mod export;
mod jots;
mod ledger;
mod lock;
mod notes;
mod open;
mod options;
mod place;
mod postgres;
mod proof;
mod read;
mod remember;
mod rows;
mod settle;
mod spool;
mod sqlite;
mod statement;
mod tables;
mod write;
mod writer;

pub use compact::Compacted;
pub use copy::Counts;
pub use export::ExportedRow;
pub use ledger::SqlLedger;
pub use options::LedgerOptions;
pub use place::{Place, Server, is_server};

#[cfg(test)]
mod tests;
