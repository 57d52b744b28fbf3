//! `windlass plan` and `windlass run`.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use windlass_core::{Error, Kind, Ledger, Result, RunId, StepState};
use windlass_flow::{
    Observer, PlanWriter, PlannedStep, Recorder, Report, RunOutcome, each_asset, next_run_to_resume,
};

use super::Ended;
use crate::args::{PlanArgs, RunArgs};
use crate::calls::UploadCalls;
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
    let mut shown = Shown {
        calls: UploadCalls::new(wired.chunk_bytes),
        steps: out.json || args.steps,
        out,
    };
    let plan = wired.ingest.decide(&mut shown).await?;
    let forecast = wired.calls.forecast(&plan.origin.sink, shown.calls.total());
    close(wired, observer).await?;
    if let Some(run) = interrupted {
        out.say(&format!(
            "run {run} was interrupted: `windlass run {}` finishes it before it plans anew",
            args.flow
        ));
    }
    if out.json {
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
            "origin": plan.origin,
            "empty": plan.is_empty(),
            "unchanged": plan.unchanged,
            "totals": totals,
            "findings": plan.findings,
            "calls": forecast.as_ref().map(|(text, _)| text),
        }))?;
    } else {
        out.data(&text::plan(&plan, args.steps))?;
        if let Some((text, _)) = forecast {
            out.data(&format!("{text}\n"))?;
        }
    }
    Ok(Ended::Done)
}

/// Prints steps as they are decided, if at all, and adds up what they cost.
struct Shown {
    calls: UploadCalls,
    steps: bool,
    out: Out,
}

#[async_trait]
impl PlanWriter for Shown {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        steps.iter().for_each(|step| self.calls.add(step));
        match (self.steps, self.out.json) {
            (false, _) => Ok(()),
            (true, false) if steps.is_empty() => Ok(()),
            (true, false) => self.out.data(text::plan_steps(&steps).trim_end()),
            (true, true) => steps.iter().try_for_each(|step| {
                self.out.line(&serde_json::json!({
                    "record": "step",
                    "action": step.action,
                    "reason": step.reason,
                    "asset": step.asset,
                    "work": step.work,
                }))
            }),
        }
    }
}

/// Records steps as they are decided, and adds up what they cost.
struct Recorded<'a> {
    calls: UploadCalls,
    recorder: Recorder<'a>,
}

#[async_trait]
impl PlanWriter for Recorded<'_> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        steps.iter().for_each(|step| self.calls.add(step));
        self.recorder.steps(steps).await
    }
}

/// Plans a flow and does it.
pub(crate) async fn run(args: &RunArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let observer = progress::observer(out);
    let mut wired = Wiring::new(layered, out)
        .flow(&args.flow, args.retry_held, Arc::clone(&observer))
        .await?;
    wired.runner.options.deadline = args
        .stop_after
        .map(|after| tokio::time::Instant::now() + after);
    let done = resume_plan_and_work(&wired, args, out).await;
    // What was spent is counted however it ended.
    let closed = close(wired, observer).await;
    let done = done?;
    closed?;
    if done.stopped {
        out.say(&format!(
            "stopped; `windlass run {}` goes on from here",
            args.flow
        ));
    }
    Ok(match done.stopped || done.failures {
        true => Ended::WithFailures,
        false => Ended::Done,
    })
}

/// What became of a run.
#[derive(Default)]
struct Done {
    /// Whether steps failed.
    failures: bool,
    /// Whether it was stopped before its end.
    stopped: bool,
}

async fn resume_plan_and_work(wired: &Wired, args: &RunArgs, out: Out) -> Result<Done> {
    let cancel = interrupt::watch(out);
    let mut done = Done::default();
    if let Some(run) = next_run_to_resume(wired.ledger.as_ref(), &args.flow).await? {
        work(wired, run, &cancel, &mut done, out).await?;
    }
    if done.stopped {
        return Ok(done);
    }
    let ledger = wired.ledger.as_ref();
    let source = wired.ingest.source.name();
    let mut recorded = Recorded {
        calls: UploadCalls::new(wired.chunk_bytes),
        recorder: Recorder::begin(ledger, &args.flow, source).await?,
    };
    let decided = tokio::select! {
        plan = wired.ingest.decide(&mut recorded) => plan,
        () = cancel.cancelled() => {
            recorded.recorder.abandon().await?;
            return Ok(Done { stopped: true, ..done });
        }
    };
    let plan = match decided {
        Ok(plan) => plan,
        Err(error) => {
            recorded.recorder.abandon().await?;
            return Err(error);
        }
    };
    let forecast = wired
        .calls
        .forecast(&plan.origin.sink, recorded.calls.total());
    if let Some((text, fits)) = forecast {
        if !fits && !args.over_budget {
            recorded.recorder.abandon().await?;
            return Err(Error::new(
                Kind::Capacity,
                format!("the month's calls do not suffice: {text}"),
            )
            .with_hint(
                "`--over-budget` moves as much as fits; the rest follows when the month is over",
            ));
        }
        out.say(&text);
    }
    let run = recorded.recorder.complete(&plan).await?;
    work(wired, run, &cancel, &mut done, out).await?;
    if !done.stopped {
        wired.ingest.settle(&plan, Some(run)).await?;
    }
    Ok(done)
}

/// Works on a run and prints its report.
async fn work(
    wired: &Wired,
    run: RunId,
    cancel: &CancellationToken,
    done: &mut Done,
    out: Out,
) -> Result<()> {
    let began = Instant::now();
    let outcome = wired.runner.work(run, cancel).await;
    done.failures |= show(wired.ledger.as_ref(), run, began, out).await?;
    done.stopped = outcome? == RunOutcome::Stopped;
    Ok(())
}

async fn close(wired: Wired, observer: Arc<dyn Observer>) -> Result<()> {
    let Wired { ledger, calls, .. } = wired;
    let counted = calls.finish().await;
    // The last bar goes before the first line of data comes.
    drop(observer);
    ledger.close().await?;
    counted
}

/// A report with how long this process worked on its run.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
}

/// Prints a run's report; true when steps failed.
async fn show(ledger: &dyn Ledger, run: RunId, began: Instant, out: Out) -> Result<bool> {
    let report = Report::of(ledger, Some(run), None).await?;
    if out.json {
        each_asset(ledger, run, |line| out.line(&line)).await?;
    }
    let elapsed = began.elapsed();
    if out.json {
        let timed = Timed {
            report: &report,
            seconds: elapsed.as_secs_f64(),
        };
        out.record("run", &timed)?;
    } else {
        out.data(&text::report(&report, Some(elapsed)))?;
    }
    Ok(report.total(StepState::Failed).steps > 0)
}
