//! `windlass ledger rebuild`: a lost ledger is made again from the files.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use windlass_core::{Action, AssetPath, Error, Kind, Result};
use windlass_flow::{Rebuild, Rebuilt, Recorder, RunOutcome, next_run_to_resume};

use super::{Ended, run as flow};
use crate::args::LedgerRebuildArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{interrupt, progress, text};

/// What a rebuild found, for JSON.
#[derive(Serialize)]
struct Found<'a> {
    flow: &'a str,
    #[serde(flatten)]
    rebuilt: &'a Rebuilt,
}

/// Rebuilds what one flow or all of them placed.
pub(crate) async fn run(args: &LedgerRebuildArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let flows: Vec<&str> = match &args.flow {
        Some(flow) => vec![flow],
        None => layered.config.flow.keys().map(String::as_str).collect(),
    };
    if flows.is_empty() {
        return Err(Error::new(Kind::Config, "the configuration has no flow"));
    }
    let cancel = interrupt::watch(out);
    let mut ended = Ended::Done;
    for name in flows {
        let observer = progress::observer(out);
        let wired = Wiring::new(layered, out)
            .flow(name, false, Arc::clone(&observer))
            .await?;
        let within = match &args.within {
            Some(within) => AssetPath::new(within),
            None => Rebuild::within(wired.ingest()?),
        };
        let rebuilt = rebuild(&wired, name, within, &cancel, out).await;
        flow::close(wired, observer).await?;
        let Some((rebuilt, outcome)) = rebuilt? else {
            out.say("stopped; the same command goes on from here");
            return Ok(Ended::WithFailures);
        };
        match out.json {
            true => out.record(
                "rebuilt",
                &Found {
                    flow: name,
                    rebuilt: &rebuilt,
                },
            )?,
            false => out.data(&text::rebuilt(name, &rebuilt))?,
        }
        if outcome == RunOutcome::Stopped {
            out.say("stopped; the same command goes on from here");
            ended = Ended::WithFailures;
            break;
        }
    }
    Ok(ended)
}

/// `None` when it was stopped before anything was decided.
async fn rebuild(
    wired: &Wired,
    name: &str,
    within: AssetPath,
    cancel: &CancellationToken,
    out: Out,
) -> Result<Option<(Rebuilt, RunOutcome)>> {
    let ledger = wired.ledger.as_ref();
    if let Some(run) = next_run_to_resume(ledger, name).await? {
        let steps = ledger.tally(run).await?;
        if steps.iter().any(|(_, action, _)| *action != Action::Adopt) {
            return Err(Error::new(
                Kind::Conflict,
                format!("run {run} of flow {name:?} was interrupted, so this ledger knows what to do next"),
            )
            .with_hint(format!("`windlass run {name}` finishes it; then rebuild")));
        }
        // A rebuild that did not get to its end.
        if wired.runner.work(run, cancel).await? == RunOutcome::Stopped {
            return Ok(None);
        }
    }
    let Some(sink_reader) = wired.runner.sink_reader.clone() else {
        return Err(Error::new(Kind::Unsupported, "the sink cannot be read"));
    };
    let rebuild = Rebuild {
        ingest: wired.ingest()?,
        sink_reader,
        within,
        engine: &wired.runner.engine,
    };
    // What is adopted may not be what the rules make of it: the next plan looks at all of it.
    wired.ingest()?.forget_settled().await?;
    let (source, sink) = (wired.runner.source.name(), wired.runner.sink.name());
    out.say(&format!("looking at what {sink} has of {source}"));
    let mut recorder = Recorder::begin(ledger, name, source).await?;
    let decided = tokio::select! {
        decided = Box::pin(rebuild.decide(&mut recorder)) => decided,
        () = cancel.cancelled() => {
            recorder.abandon().await?;
            return Ok(None);
        }
    };
    let (summary, rebuilt) = match decided {
        Ok(decided) => decided,
        Err(error) => {
            recorder.abandon().await?;
            return Err(error);
        }
    };
    if rebuilt.adopted().files == 0 {
        recorder.abandon().await?;
        return Ok(Some((rebuilt, RunOutcome::Finished)));
    }
    let run = recorder.complete(&summary).await?;
    let outcome = wired.runner.work(run, cancel).await?;
    Ok(Some((rebuilt, outcome)))
}
