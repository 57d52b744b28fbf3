//! `windlass status` and `windlass report`: what the ledger remembers.

use std::path::Path;

use windlass_core::{Error, Kind, Ledger, Result, RunId, StepState};
use windlass_flow::{Report, each_asset};

use super::Ended;
use crate::args::{ReportArgs, StatusArgs};
use crate::config::Layered;
use crate::out::Out;
use crate::text;
use crate::wiring::{Access, Wiring};

/// Copies the ledger; it may be in use.
pub(crate) async fn backup(copy: &Path, layered: &Layered, out: Out) -> Result<Ended> {
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    ledger.backup(copy).await?;
    ledger.close().await?;
    out.data(&format!("the ledger is copied to {}", copy.display()))?;
    Ok(Ended::Done)
}

/// Lists the newest runs.
pub(crate) async fn status(args: &StatusArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let ledger = match Wiring::new(layered, out).ledger(Access::ReadOnly).await {
        Ok(ledger) => ledger,
        // Before the first run there is no ledger, and that is no trouble.
        Err(error) if error.kind() == Kind::NotFound => {
            if !out.json {
                out.data("no run yet")?;
            }
            return Ok(Ended::Done);
        }
        Err(error) => return Err(error),
    };
    let runs = ledger.runs(args.flow.as_deref(), args.limit).await?;
    let mut table = text::table(
        &[
            "run", "flow", "state", "started", "done", "open", "held", "failed",
        ],
        &[4, 5, 6, 7],
    );
    for run in &runs {
        let mut counts = [0_u64; 4];
        for (state, _, tally) in ledger.tally(run.id).await? {
            let slot = match state {
                StepState::Done => 0,
                StepState::Open | StepState::Leased => 1,
                StepState::Held => 2,
                StepState::Failed => 3,
                StepState::Skipped => continue,
            };
            counts[slot] += tally.steps;
        }
        if out.json {
            out.line(&serde_json::json!({
                "record": "run", "run": run.id, "flow": run.flow, "state": run.state,
                "started": run.started, "finished": run.finished,
                "done": counts[0], "open": counts[1], "held": counts[2], "failed": counts[3],
            }))?;
            continue;
        }
        let mut row = vec![
            run.id.to_string(),
            run.flow.clone(),
            text::word(run.state),
            run.started.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        ];
        row.extend(counts.map(|count| count.to_string()));
        table.add_row(row);
    }
    ledger.close().await?;
    if !out.json {
        match runs.is_empty() {
            true => out.data("no run yet")?,
            false => out.data(&text::lines(&table))?,
        }
    }
    Ok(Ended::Done)
}

/// Shows what a run did.
pub(crate) async fn report(args: &ReportArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let run = match &args.run {
        None => None,
        Some(text) => Some(text.parse().map(RunId).map_err(|_| {
            Error::new(
                Kind::InvalidInput,
                format!("{text:?} is not the id of a run"),
            )
            .with_hint("`windlass status` lists the runs")
        })?),
    };
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let report = Report::of(ledger.as_ref(), run, args.flow.as_deref()).await;
    let report = match report {
        Ok(report) if out.json => each_asset(ledger.as_ref(), report.run, |line| out.line(&line))
            .await
            .map(|()| report),
        other => other,
    };
    ledger.close().await?;
    let report = report?;
    if out.json {
        let mut value = serde_json::to_value(&report).unwrap_or_default();
        value["record"] = "run".into();
        out.line(&value)?;
    } else {
        let elapsed = report
            .finished
            .and_then(|finished| finished.duration_since(report.started).try_into().ok());
        out.data(&text::report(&report, elapsed))?;
    }
    Ok(match report.total(StepState::Failed).steps {
        0 => Ended::Done,
        _ => Ended::WithFailures,
    })
}
