//! `windlass plan` and `windlass run`.

use std::sync::Arc;
use std::time::Instant;

use windlass_core::{Ledger, Result, RunId, StepState};
use windlass_flow::{Observer, Report, RunOutcome, next_run_to_resume};

use super::Ended;
use crate::args::{PlanArgs, RunArgs};
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{interrupt, progress, text};

/// Shows what a flow would do.
pub(crate) async fn plan(args: &PlanArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let observer = progress::observer(out);
    let wired = Wiring::new(layered, out)
        .flow(&args.flow, args.retry_held, Arc::clone(&observer))
        .await?;
    let interrupted = next_run_to_resume(wired.ledger.as_ref(), &args.flow).await?;
    let plan = wired.ingest.plan().await?;
    close(wired, observer).await?;
    if let Some(run) = interrupted {
        out.say(&format!(
            "run {run} was interrupted: `windlass run {}` finishes it before it plans anew",
            args.flow
        ));
    }
    if out.json {
        for step in &plan.steps {
            out.line(&serde_json::json!({
                "record": "step",
                "action": step.action,
                "reason": step.reason,
                "asset": step.asset,
                "work": step.work,
            }))?;
        }
        let totals: Vec<_> = plan
            .totals()
            .into_iter()
            .map(|(action, (steps, bytes))| {
                serde_json::json!({ "action": action, "steps": steps, "bytes": bytes })
            })
            .collect();
        out.line(&serde_json::json!({
            "record": "plan",
            "flow": plan.flow,
            "empty": plan.is_empty(),
            "unchanged": plan.unchanged,
            "totals": totals,
            "findings": plan.findings,
        }))?;
    } else {
        out.data(&text::plan(&plan, args.steps))?;
    }
    Ok(Ended::Done)
}

/// Plans a flow and does it.
pub(crate) async fn run(args: &RunArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let flow = args.flow.as_str();
    let observer = progress::observer(out);
    let wired = Wiring::new(layered, out)
        .flow(flow, args.retry_held, Arc::clone(&observer))
        .await?;
    let cancel = interrupt::watch(out);
    let mut wired = wired;
    wired.runner.options.deadline = args
        .stop_after
        .map(|after| tokio::time::Instant::now() + after);
    let mut failures = false;
    if let Some(run) = next_run_to_resume(wired.ledger.as_ref(), flow).await? {
        let began = Instant::now();
        let outcome = wired.runner.work(run, &cancel).await;
        failures |= show(wired.ledger.as_ref(), run, began, out).await?;
        if outcome? == RunOutcome::Stopped {
            return stopped(wired, observer, flow, out).await;
        }
    }
    let plan = tokio::select! {
        plan = wired.ingest.plan() => plan?,
        () = cancel.cancelled() => return stopped(wired, observer, flow, out).await,
    };
    let began = Instant::now();
    let run = wired.runner.record(&plan).await?;
    let outcome = wired.runner.work(run, &cancel).await;
    failures |= show(wired.ledger.as_ref(), run, began, out).await?;
    if outcome? == RunOutcome::Stopped {
        return stopped(wired, observer, flow, out).await;
    }
    wired.ingest.settle(&plan, Some(run)).await?;
    close(wired, observer).await?;
    Ok(if failures {
        Ended::WithFailures
    } else {
        Ended::Done
    })
}

async fn stopped(wired: Wired, observer: Arc<dyn Observer>, flow: &str, out: Out) -> Result<Ended> {
    close(wired, observer).await?;
    out.say(&format!("stopped; `windlass run {flow}` goes on from here"));
    Ok(Ended::WithFailures)
}

async fn close(wired: Wired, observer: Arc<dyn Observer>) -> Result<()> {
    let ledger = Arc::clone(&wired.ledger);
    drop(wired);
    // The last bar goes before the first line of data comes.
    drop(observer);
    ledger.close().await
}

/// Prints a run's report; true when steps failed.
async fn show(ledger: &dyn Ledger, run: RunId, began: Instant, out: Out) -> Result<bool> {
    let mut written = Ok(());
    let report = Report::of(ledger, Some(run), None, |line| {
        if out.json && written.is_ok() {
            written = out.line(&line);
        }
    })
    .await?;
    written?;
    let elapsed = began.elapsed();
    if out.json {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        value["record"] = "run".into();
        value["seconds"] = elapsed.as_secs_f64().into();
        out.line(&value)?;
    } else {
        out.data(&text::report(&report, Some(elapsed)))?;
    }
    Ok(report.total(StepState::Failed).steps > 0)
}
