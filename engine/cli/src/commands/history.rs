//! `windlass report` and `explain`, and the runs of `windlass status`: what the ledger remembers.

use windlass_core::{Error, Kind, Ledger, Result, RunId, StepState};
use windlass_flow::{AssetLine, Report, each_asset};

use super::{Ended, conflicts};
use crate::args::{ExplainArgs, ReportArgs, ReportFormat, StatusArgs};
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Access, Wiring};
use crate::{page, text};

/// Lists the newest runs of the ledger.
pub(super) async fn runs(args: &StatusArgs, layered: &Layered, out: Out) -> Result<()> {
    let ledger = match Wiring::new(layered, out).ledger(Access::ReadOnly).await {
        Ok(ledger) => ledger,
        // Before the first run there is no ledger, and that is no trouble.
        Err(error) if error.kind() == Kind::NotFound => {
            if !out.json {
                out.data("no run yet")?;
            }
            return Ok(());
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
    Ok(())
}

/// Shows why an asset is where it is.
pub(crate) async fn explain(args: &ExplainArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let run = args.run.as_deref().map(run_id).transpose()?;
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let flow = args.flow.as_deref();
    let explained = windlass_flow::explain(ledger.as_ref(), &args.asset, flow, run).await;
    ledger.close().await?;
    let explained = explained?;
    if out.json {
        for one in &explained {
            out.record("explanation", one)?;
        }
        return Ok(Ended::Done);
    }
    let texts: Vec<String> = explained.iter().map(text::explanation).collect();
    out.data(&texts.join("\n"))?;
    Ok(Ended::Done)
}

/// The id of a run, as it was typed.
pub(super) fn run_id(text: &str) -> Result<RunId> {
    text.parse().map(RunId).map_err(|_| {
        Error::new(
            Kind::InvalidInput,
            format!("{text:?} is not the id of a run"),
        )
        .with_hint("`windlass status` lists the runs")
    })
}

/// Shows what a run did.
pub(crate) async fn report(args: &ReportArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let run = args.run.as_deref().map(run_id).transpose()?;
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let shown = show(ledger.as_ref(), run, args, out).await;
    ledger.close().await?;
    Ok(match shown?.total(StepState::Failed).steps {
        0 => Ended::Done,
        _ => Ended::WithFailures,
    })
}

async fn show(
    ledger: &dyn Ledger,
    run: Option<RunId>,
    args: &ReportArgs,
    out: Out,
) -> Result<Report> {
    let report = Report::of(ledger, run, args.flow.as_deref()).await?;
    match args.format {
        _ if out.json => as_json(ledger, &report, out).await?,
        ReportFormat::Json => as_json(ledger, &report, out).await?,
        ReportFormat::Csv => {
            let mut rows = Rows::new(out, COLUMNS)?;
            each_asset(ledger, report.run, |line| rows.add(&line)).await?;
            rows.finish()?;
        }
        ReportFormat::Html => out.data(&page::page(&report)?)?,
        ReportFormat::Text => {
            let elapsed = report
                .finished
                .and_then(|finished| finished.duration_since(report.started).try_into().ok());
            out.data(&text::report(&report, elapsed))?;
            let conflicts = conflicts::waiting(ledger, &report.flow).await?;
            if conflicts > 0 {
                out.data(&format!("\n{}", text::waiting(&report.flow, conflicts)))?;
            }
        }
    }
    Ok(report)
}

async fn as_json(ledger: &dyn Ledger, report: &Report, out: Out) -> Result<()> {
    each_asset(ledger, report.run, |line| out.line(&line)).await?;
    out.record("run", report)
}

/// Rows of a report for a spreadsheet: UTF-8 with the mark by which spreadsheets know it.
pub(super) struct Rows<const N: usize> {
    text: csv::Writer<Vec<u8>>,
    out: Out,
}

/// So much text is gathered before it is printed.
const PRINTED_AT_ONCE: usize = 64 << 10;

/// What a report says of each file.
const COLUMNS: [&str; 14] = [
    "path",
    "action",
    "state",
    "reason",
    "size",
    "bytes_moved",
    "attempts",
    "took_ms",
    "sink_asset",
    "sink_revision",
    "evidence",
    "error",
    "message",
    "hint",
];

impl Rows<14> {
    fn add(&mut self, asset: &AssetLine) -> Result<()> {
        let placed = asset.placed.as_ref();
        let text = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
        self.row([
            cell(asset.path.as_str()),
            asset.action.to_string(),
            text::word(asset.state),
            cell(&asset.reason),
            asset.size.to_string(),
            asset.bytes_moved.to_string(),
            asset.attempts.to_string(),
            asset.took_ms.map(|ms| ms.to_string()).unwrap_or_default(),
            placed
                .map(|placed| cell(placed.asset.as_str()))
                .unwrap_or_default(),
            placed
                .map(|placed| cell(placed.revision.as_str()))
                .unwrap_or_default(),
            placed
                .map(|placed| text::word(placed.evidence))
                .unwrap_or_default(),
            text(&asset.error),
            text(&asset.message),
            text(&asset.hint),
        ])
    }
}

impl<const N: usize> Rows<N> {
    /// A table with these columns.
    pub(super) fn new(out: Out, columns: [&str; N]) -> Result<Self> {
        let mut rows = Rows {
            text: csv::Writer::from_writer("\u{feff}".into()),
            out,
        };
        rows.row(columns)?;
        Ok(rows)
    }

    pub(super) fn row<T: AsRef<[u8]>>(&mut self, cells: [T; N]) -> Result<()> {
        self.text.write_record(cells).map_err(unwritable)?;
        match self.text.get_ref().len() >= PRINTED_AT_ONCE {
            true => self.print(),
            false => Ok(()),
        }
    }

    fn print(&mut self) -> Result<()> {
        let next = csv::Writer::from_writer(Vec::new());
        let done = std::mem::replace(&mut self.text, next);
        let text = done.into_inner().map_err(unwritable)?;
        match String::from_utf8(text) {
            Ok(text) if text.is_empty() => Ok(()),
            Ok(text) => self.out.data(&text),
            Err(error) => Err(unwritable(error)),
        }
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.print()
    }
}

/// A text that no spreadsheet takes for a formula.
pub(super) fn cell(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Unexpected, "a row cannot be written as CSV").with_source(error)
}
