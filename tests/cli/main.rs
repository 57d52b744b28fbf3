//! The real binary, as a person or a script meets it. Registered as a test of the `cli` crate, so that
//! cargo builds the binary first.

mod archives;
mod bad_input;
mod budget;
mod conflicts;
mod demo;
mod duplicates;
mod help;
mod kills;
mod ledgers;
mod plans;
mod plugins;
mod program;
mod proof;
mod readme;
mod release;
mod servers;
mod verifying;
mod watching;
