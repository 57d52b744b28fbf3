//! Runs on a paused clock: what moves at once, what waits, what a stop and a crash leave.

mod beside;
mod evidence;
mod harbour;
mod journal;
mod ledger;
mod resuming;
mod retries;
mod slots;
mod stopping;
mod support;
mod tracker;
mod waiting;
