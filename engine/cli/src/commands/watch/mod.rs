//! `windlass watch`: keeps flows going until it is told to stop.
//!
//! The scheduler of the flow crate says which flow makes a pass; here passes are run (`pass.rs`), changes are waited for
//! (`ears.rs`), web hooks are understood (`bells.rs`), signals are obeyed and the status is told. One loop owns all of it
//! (`daemon.rs`). What a crash leaves is what a killed `run` leaves, and the next start begins with a pass of each flow.

mod backlog;
mod bells;
mod board;
mod daemon;
mod ears;
mod gauge;
mod notes;
mod pass;
mod rules;

pub(super) use backlog::backlog_of;
use windlass_core::{Error, Kind, Result};

use super::{Ended, read};
use crate::args::{Global, WatchArgs};
use crate::config::Layered;
use crate::out::Out;

/// Keeps flows going.
pub(crate) async fn run(args: &WatchArgs, global: &Global, out: Out) -> Result<Ended> {
    let layered = read(global)?;
    let flows = flows(&args.flows, &layered, out)?;
    daemon::run(args, global, layered, flows, out).await
}

/// The flows that are kept going: those that are named, or all that may run without signatures.
fn flows(named: &[String], layered: &Layered, out: Out) -> Result<Vec<String>> {
    let config = &layered.config;
    for name in named {
        if config.flow(name)?.signatures() > 0 {
            let message = format!("flow {name:?} runs only by plans with signatures");
            return Err(Error::new(Kind::Denied, message)
                .with_hint("leave it out here, and run its reviewed plans by hand"));
        }
    }
    let each = |name: &String| config.runs_as(name);
    if !named.is_empty() {
        return Ok(named.iter().flat_map(each).collect());
    }
    let (free, signed): (Vec<_>, Vec<_>) = config
        .flow
        .iter()
        .partition(|(_, flow)| flow.signatures() == 0);
    for (name, _) in signed {
        out.say(&format!(
            "{name} is left alone: it runs only by plans with signatures"
        ));
    }
    if free.is_empty() {
        let error = Error::new(Kind::Config, "there is no flow to keep going");
        return Err(error.with_hint("add a table [flow.NAME]"));
    }
    Ok(free.into_iter().flat_map(|(name, _)| each(name)).collect())
}
