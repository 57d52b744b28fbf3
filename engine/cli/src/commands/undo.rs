//! `windlass undo`: what a run took away goes back to where it was.

use std::sync::Arc;

use serde::Serialize;
use windlass_core::{Error, Kind, Ledger, Result, RunId};
use windlass_flow::{
    Flow, GivesBack, GivesNothing, PlanSummary, PlanWriter, Recorder, RunOutcome, Undo, UndoItem,
    UndoState, Way, give_up_undoing,
};

use super::{Ended, history, run as flow};
use crate::args::UndoArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Access, Wired, Wiring};
use crate::{interrupt, progress, text};

/// What became of it, counted.
#[derive(Serialize)]
struct Sums<'a> {
    run: RunId,
    flow: &'a str,
    /// The run that brought things back.
    by: Option<RunId>,
    undoable: usize,
    undone: usize,
    left: usize,
}

/// Undoes a run.
pub(crate) async fn run(args: &UndoArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let run = history::run_id(&args.run)?;
    let name = flow_of(run, layered, out).await?;
    let observer = progress::observer(out);
    let mut wired = Wiring::new(layered, out)
        .flow(&name, false, Arc::clone(&observer))
        .await?;
    let release = match &wired.flow {
        Flow::Release(release) => Some(release.as_ref()),
        Flow::Sync(half) if half.way == Way::Out => Some(&half.sync.release),
        Flow::Sync(_) | Flow::Ingest(_) => None,
    };
    if let Some(release) = release {
        wired.runner.desk = Some(Arc::new(release.undo_desk()));
    }
    let undone = undo(args, run, &wired, out).await;
    flow::close(wired, observer).await?;
    let (undo, by, is_whole) = undone?;
    show(&undo, by, out)?;
    Ok(match is_whole {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

/// The flow of a run, which must be one of the configuration still.
async fn flow_of(run: RunId, layered: &Layered, out: Out) -> Result<String> {
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let record = ledger.run(run).await;
    ledger.close().await?;
    match record? {
        Some(record) => Ok(record.flow),
        None => Err(
            Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
                .with_hint("`windlass status` lists the runs it has"),
        ),
    }
}

/// Looks, and brings back what can be. Answers what became of all, by which run, and whether everything that could be
/// undone is.
async fn undo(
    args: &UndoArgs,
    run: RunId,
    wired: &Wired,
    out: Out,
) -> Result<(Undo, Option<RunId>, bool)> {
    let ledger = wired.ledger.as_ref();
    let giver: &dyn GivesBack = match &wired.flow {
        Flow::Release(release) => release.as_ref(),
        Flow::Sync(half) => half.as_ref(),
        Flow::Ingest(_) => &GivesNothing,
    };
    if !args.dry_run {
        give_up_undoing(ledger, &wired.runner.flow).await?;
    }
    let mut undo = Undo::plan(ledger, run, giver).await?;
    if args.dry_run || undo.steps.is_empty() {
        return Ok((undo, None, true));
    }
    let by = record(&undo, wired, ledger).await?;
    let undoable = undo.count(UndoState::Undoable);
    let cancel = interrupt::watch(out);
    let outcome = wired.runner.work(by, &cancel).await?;
    undo.settle(ledger, by).await?;
    if outcome == RunOutcome::Stopped {
        out.say("stopped before all of it was undone; the same command goes on");
    }
    let is_whole = undo.count(UndoState::Undone) == undoable;
    Ok((undo, Some(by), is_whole))
}

/// Records what is to be done as a run of the flow.
async fn record(undo: &Undo, wired: &Wired, ledger: &dyn Ledger) -> Result<RunId> {
    let flow = &wired.runner.flow;
    let mut summary = PlanSummary::new(flow.clone(), wired.flow.origin()?);
    undo.steps.iter().for_each(|step| summary.count(step));
    let mut recorder = Recorder::begin(ledger, flow, wired.runner.source.name()).await?;
    recorder.steps(undo.steps.clone()).await?;
    recorder.complete(&summary).await
}

fn show(undo: &Undo, by: Option<RunId>, out: Out) -> Result<()> {
    if !out.json {
        let told = text::undo(undo);
        out.data(&told)?;
        if let Some(by) = by {
            out.say(&format!("`windlass report {by}` shows what was done"));
        }
        return Ok(());
    }
    undo.items
        .iter()
        .try_for_each(|item: &UndoItem| out.record("undo", item))?;
    let sums = Sums {
        run: undo.run.id,
        flow: &undo.run.flow,
        by,
        undoable: undo.count(UndoState::Undoable),
        undone: undo.count(UndoState::Undone),
        left: undo.count(UndoState::Left),
    };
    out.record("undone", &sums)
}
