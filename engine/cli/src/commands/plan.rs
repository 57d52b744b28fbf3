//! `windlass plan`: what a flow would do, shown, saved, or held beside what it would have done before.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use windlass_core::sealed::Seal;
use windlass_core::sign::SigningKey;
use windlass_core::{Blake3, Error, Kind, Result, Sink};
use windlass_flow::{
    CallForecast, Comparison, Difference, Forecast, Observer, PLAN_DOCUMENT, Pace, PlanCalls,
    PlanFileWriter, PlanHeader, PlanSummary, PlanWriter, PlannedStep, ReadPlan, Removals,
    next_run_to_resume,
};

use super::{Ended, reviewed, run, seal};
use crate::args::PlanArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{progress, text};

/// Shows what a flow would do: one that leads both ways first the one, then the other.
pub(crate) async fn plan(args: &PlanArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let names = args
        .flow
        .as_deref()
        .map(|flow| layered.config.runs_as(flow));
    let names = names.filter(|names| names.len() > 1).unwrap_or_default();
    if let Some(first) = names
        .first()
        .filter(|_| args.save.is_some() || args.against.is_some())
    {
        let message = "a plan file is of one way";
        return Err(Error::new(Kind::InvalidInput, message).with_hint(format!(
            "name one of {}, such as {first}",
            names.join(" and ")
        )));
    }
    let mut ended = Ended::Done;
    for flow in &names {
        if !out.json {
            out.data(&format!("{flow}\n"))?;
        }
        let args = PlanArgs {
            flow: Some(flow.clone()),
            ..args.clone()
        };
        if let Ended::WithFailures = one_way(&args, layered, out).await? {
            ended = Ended::WithFailures;
        }
    }
    match names.is_empty() {
        true => one_way(args, layered, out).await,
        false => Ok(ended),
    }
}

async fn one_way(args: &PlanArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let Some(flow) = &args.flow else {
        return Err(Error::new(Kind::InvalidInput, "no flow is named"));
    };
    // Before anybody is asked for anything.
    let keys: Vec<SigningKey> = args
        .sign
        .iter()
        .map(|file| seal::read_key(file))
        .collect::<Result<_>>()?;
    let before = args.against.as_deref().map(reviewed::read).transpose()?;
    let retry_held = args.retry_held
        || before
            .as_ref()
            .is_some_and(|before| before.header.retry_held);
    let observer = progress::observer(out);
    let wired = Wiring::new(layered, out)
        .flow(flow, retry_held, Arc::clone(&observer))
        .await?;
    if let Some(before) = &before {
        reviewed::check_flow(before, flow)?;
        reviewed::check_origin(before, layered, &wired.ledger.id().await?)?;
    }
    let asked = Asked {
        args,
        flow,
        endpoints: reviewed::endpoints(layered, flow)?,
        keys,
        before: before.as_ref(),
    };
    finish(
        &asked,
        wired,
        observer,
        &format!("windlass run {flow}"),
        out,
    )
    .await
}

/// Shows what is wired without saving it, and closes it. `again` is the command that does it.
pub(super) async fn only_show(
    args: &PlanArgs,
    layered: &Layered,
    wired: Wired,
    observer: Arc<dyn Observer>,
    again: &str,
    out: Out,
) -> Result<Ended> {
    let flow = args.flow.as_deref().unwrap_or_default();
    let asked = Asked {
        args,
        flow,
        endpoints: reviewed::endpoints(layered, flow)?,
        keys: Vec::new(),
        before: None,
    };
    finish(&asked, wired, observer, again, out).await
}

async fn finish(
    asked: &Asked<'_>,
    wired: Wired,
    observer: Arc<dyn Observer>,
    again: &str,
    out: Out,
) -> Result<Ended> {
    let args = asked.args;
    let interrupted = match next_run_to_resume(wired.ledger.as_ref(), asked.flow).await? {
        None => None,
        Some(run) => {
            let record = wired.ledger.run(run).await?;
            let of_plan = record.and_then(|record| record.origin?.plan);
            Some((run, of_plan.is_some()))
        }
    };
    let shown = Shown {
        counted: Some((
            CallForecast::new(wired.runner.engine.clone()),
            wired.flow.sink(),
        )),
        // What is saved is read from the file: a reader that goes away must not end the program before it is whole.
        steps: args.save.is_none() && (out.json || args.steps),
        out,
        file: None,
    };
    let decided = Box::pin(asked.decide(&wired, shown)).await;
    let month = decided.as_ref().ok().and_then(|decided| {
        let sink = &decided.summary.origin.sink;
        wired.calls.forecast(sink, decided.metered)
    });
    run::close(wired, observer).await?;
    let Decided {
        summary,
        forecast,
        sealed,
        difference,
        ..
    } = decided?;
    if let Some((run, of_plan)) = interrupted {
        out.say(&match of_plan {
            true => format!(
                "run {run} was interrupted: `windlass run --plan` with its plan finishes it"
            ),
            false => {
                format!("run {run} was interrupted: `{again}` finishes it before it plans anew")
            }
        });
    }
    let month = month.map(|(text, _)| text);
    print(&summary, &forecast, args.steps, month.as_deref(), out)?;
    if let Some((sealed, file)) = sealed.as_ref().zip(args.save.as_deref()) {
        print_seal(sealed, Some(file), out)?;
    }
    match difference {
        None => Ok(Ended::Done),
        Some(difference) => {
            match out.json {
                true => out.record("difference", &difference)?,
                false => out.data(&format!("\n{}", text::difference(&difference)))?,
            }
            Ok(match difference.count() {
                0 => Ended::Done,
                _ => Ended::WithFailures,
            })
        }
    }
}

/// Shows a saved plan. Asks nobody: it can be reviewed where there are no credentials.
pub(crate) fn show(file: &Path, steps: bool, out: Out) -> Result<Ended> {
    let plan = reviewed::read(file)?;
    if steps || out.json {
        let shown = Shown {
            counted: None,
            steps: true,
            out,
            file: None,
        };
        let mut reader = reviewed::steps_of(file)?;
        while let Some(step) = reader.step()? {
            shown.print(&[step])?;
        }
        reviewed::check_same(&plan, &reader.finish()?)?;
    }
    let header = &plan.header;
    if !out.json {
        out.data(&format!(
            "made {} with ledger {}\n",
            header.made.strftime("%Y-%m-%d %H:%M:%SZ"),
            header.ledger
        ))?;
    }
    print(&plan.summary, &plan.forecast, steps, None, out)?;
    print_seal(&plan.seal, None, out)?;
    Ok(Ended::Done)
}

/// A plan that was decided, and what became of it.
struct Decided {
    summary: PlanSummary,
    forecast: Forecast,
    /// Calls to the sink that an account's month counts.
    metered: u64,
    sealed: Option<Seal>,
    difference: Option<Difference>,
}

/// A plan that was asked for.
struct Asked<'a> {
    args: &'a PlanArgs,
    flow: &'a str,
    endpoints: Blake3,
    keys: Vec<SigningKey>,
    before: Option<&'a ReadPlan>,
}

impl Asked<'_> {
    /// Decides, and does with the steps what was asked for.
    async fn decide(&self, wired: &Wired, mut shown: Shown) -> Result<Decided> {
        if let Some(file) = &self.args.save {
            return self.save(file, wired, shown).await;
        }
        let (summary, difference) = match self.args.against.as_deref().zip(self.before) {
            None => (wired.flow.decide(&mut shown).await?, None),
            Some((file, before)) => {
                let steps = reviewed::steps_of(file)?;
                let mut comparison = Comparison::begin(steps, wired.ledger.as_ref(), &mut shown)?;
                let summary = wired.flow.decide(&mut comparison).await?;
                let (difference, read) = comparison.finish().await?;
                reviewed::check_same(before, &read)?;
                (summary, Some(difference))
            }
        };
        let (forecast, metered) = shown.forecast(wired, &summary).await?;
        Ok(Decided {
            summary,
            forecast,
            metered,
            sealed: None,
            difference,
        })
    }

    /// Decides, and writes the plan to a file on the way.
    async fn save(&self, file: &Path, wired: &Wired, mut shown: Shown) -> Result<Decided> {
        let header = PlanHeader {
            ledger: wired.ledger.id().await?,
            flow: self.flow.to_owned(),
            made: Timestamp::now(),
            origin: wired.flow.origin()?,
            endpoints: self.endpoints,
            retry_held: wired.flow.retries_held(),
        };
        seal::create(file, async |to| {
            shown.file = Some(PlanFileWriter::begin(to, &header)?);
            let summary = wired.flow.decide(&mut shown).await?;
            let (forecast, metered) = shown.forecast(wired, &summary).await?;
            let writer = shown
                .file
                .take()
                .ok_or_else(|| Error::new(Kind::Unexpected, "the plan file was lost"))?;
            let (to, sealed) = writer.end(&summary, &forecast, &self.keys)?;
            let decided = Decided {
                summary,
                forecast,
                metered,
                sealed: Some(sealed),
                difference: None,
            };
            Ok((to, decided))
        })
        .await
    }
}

fn print(
    summary: &PlanSummary,
    forecast: &Forecast,
    steps_shown: bool,
    month: Option<&str>,
    out: Out,
) -> Result<()> {
    if out.json {
        let totals: Vec<_> = summary
            .totals()
            .into_iter()
            .map(|(action, (steps, bytes))| {
                serde_json::json!({ "action": action, "steps": steps, "bytes": bytes })
            })
            .collect();
        return out.line(&serde_json::json!({
            "record": "plan",
            "flow": summary.flow,
            "origin": summary.origin,
            "empty": summary.is_empty(),
            "unchanged": summary.unchanged,
            "totals": totals,
            "removals": Removals::of(summary),
            "findings": summary.findings,
            "coverage": summary.coverage,
            "due": summary.due,
            "waiting": summary.waiting,
            "ready_at": summary.ready_at,
            "forecast": forecast,
            "calls": month,
        }));
    }
    out.data(&text::plan(summary, steps_shown))?;
    let forecast = text::forecast(forecast);
    if !summary.is_empty() && !forecast.is_empty() {
        out.data(&format!("\n{forecast}"))?;
    }
    match month {
        None => Ok(()),
        Some(month) => out.data(month),
    }
}

fn print_seal(sealed: &Seal, saved_to: Option<&Path>, out: Out) -> Result<()> {
    if out.json {
        return out.line(&serde_json::json!({
            "record": "seal",
            "document": PLAN_DOCUMENT,
            "digest": sealed.digest,
            "signed_by": sealed.signed_by,
            "file": saved_to,
        }));
    }
    let saved = saved_to.map(|file| format!("saved to {}\n", file.display()));
    out.data(&format!(
        "\n{}{}",
        saved.unwrap_or_default(),
        seal::seal_text(PLAN_DOCUMENT, sealed)
    ))
}

/// Prints steps as they are decided, if at all, writes them to a file, if at all, and adds up what they cost.
struct Shown {
    /// What adds up calls, and the sink that they are for.
    counted: Option<(CallForecast, Arc<dyn Sink>)>,
    steps: bool,
    out: Out,
    file: Option<PlanFileWriter<BufWriter<File>>>,
}

impl Shown {
    /// What a run would take, and how many calls of it the sink's account counts by the month.
    async fn forecast(&self, wired: &Wired, summary: &PlanSummary) -> Result<(Forecast, u64)> {
        let (source, sink) = (wired.flow.source(), wired.flow.sink());
        let (source, sink) = (source.as_ref(), sink.as_ref());
        let calls = match &self.counted {
            None => PlanCalls::default(),
            Some((counted, _)) => counted.finish(source, sink).await?,
        };
        let pace = Pace::of_last_run(wired.ledger.as_ref(), &summary.flow).await?;
        let forecast = Forecast {
            calls: calls.by_endpoint(source, sink),
            seconds: pace.map(|pace| pace.seconds_for(summary)),
        };
        Ok((forecast, calls.sink.metered))
    }

    fn print(&self, steps: &[PlannedStep]) -> Result<()> {
        match (self.steps, self.out.json) {
            (false, _) => Ok(()),
            (true, false) if steps.is_empty() => Ok(()),
            (true, false) => self.out.data(text::plan_steps(steps).trim_end()),
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

#[async_trait]
impl PlanWriter for Shown {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        if let Some((counted, sink)) = &mut self.counted {
            steps
                .iter()
                .for_each(|step| counted.add(step, sink.as_ref()));
        }
        self.print(&steps)?;
        match &mut self.file {
            None => Ok(()),
            Some(file) => file.steps(steps).await,
        }
    }
}
