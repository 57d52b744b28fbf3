//! `windlass run`: plans a flow and does it, or does what a reviewed plan says.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use windlass_console::Backlog;
use windlass_core::{
    Blake3, Error, Finding, Kind, Ledger, Result, RunId, RunState, Sink, Source, StepState,
};
use windlass_flow::{
    Admission, Bell, Beside, CallForecast, Closed, Comparison, CoverageMap, Flow, Observer,
    PlanSummary, PlanWriter, PlannedStep, ReadPlan, Recorder, RemovalCap, Removals, Report,
    RunOutcome, each_asset, next_run_to_resume,
};

use super::watch::backlog_of;
use super::{Ended, choices, conflicts, reviewed};
use crate::args::RunArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{interrupt, progress, text};

/// A run that was asked for.
pub(super) struct Asked<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) flow: &'a str,
    pub(super) layered: &'a Layered,
    /// The plan that it is to carry out, where one was given.
    pub(super) reviewed: Option<(&'a Path, &'a ReadPlan)>,
    pub(super) out: Out,
    pub(super) manner: Manner,
}

/// For whom a run is made.
#[derive(Clone, Debug, Default)]
pub(super) enum Manner {
    /// For somebody who asked for it and reads its report.
    #[default]
    Asked,
    /// For the daemon, which makes one after the other: a pass that finds nothing to do and holds what the one before held
    /// leaves no run behind, and what came of others is told in a line by the daemon.
    Daemon {
        /// Whether an interrupted run goes on first.
        resumes: bool,
        /// Cancelled once a complete plan is worked on.
        planned: CancellationToken,
        /// Rung when something may have changed while a run is worked on.
        bell: Arc<Bell>,
        /// What passes before held and left out.
        idle: Arc<Idle>,
    },
}

/// Plans a flow and does it: one that leads both ways first the one, then the other.
pub(crate) async fn run(args: &RunArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let cancel = interrupt::watch(out);
    let Some(flow) = args.flow.as_deref().filter(|_| args.plan.is_none()) else {
        return one_way(args, layered, out, &cancel).await;
    };
    let mut ended = Ended::Done;
    for flow in layered.config.runs_as(flow) {
        let args = RunArgs {
            flow: Some(flow),
            ..args.clone()
        };
        if let Ended::WithFailures = one_way(&args, layered, out, &cancel).await? {
            ended = Ended::WithFailures;
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    Ok(ended)
}

async fn one_way(
    args: &RunArgs,
    layered: &Layered,
    out: Out,
    cancel: &CancellationToken,
) -> Result<Ended> {
    let plan = args.plan.as_deref().map(reviewed::read).transpose()?;
    let planned = plan.as_ref().map(|plan| plan.header.flow.as_str());
    if let Some((plan, flow)) = plan.as_ref().zip(args.flow.as_deref()) {
        reviewed::check_flow(plan, flow)?;
    }
    let flow = match (args.flow.as_deref(), planned) {
        (Some(flow), _) | (None, Some(flow)) => flow,
        (None, None) => return Err(Error::new(Kind::InvalidInput, "no flow is named")),
    };
    let signatures = layered.config.flow(flow)?.signatures();
    if plan.is_none() && signatures > 0 {
        return Err(Error::new(
            Kind::Denied,
            format!("flow {flow:?} runs only by plans with {signatures} signatures"),
        )
        .with_hint(format!(
            "`windlass plan {flow} --save FILE`, `windlass sign FILE --key KEY`, then `windlass run --plan FILE`"
        )));
    }
    let asked = Asked {
        args,
        flow,
        layered,
        reviewed: args.plan.as_deref().zip(plan.as_ref()),
        out,
        manner: Manner::Asked,
    };
    let retry_held = args.retry_held || plan.as_ref().is_some_and(|plan| plan.header.retry_held);
    let observer = progress::observer(out);
    let mut wired = Wiring::new(layered, out)
        .flow(flow, retry_held, Arc::clone(&observer))
        .await?;
    wired.runner.options.deadline = args
        .stop_after
        .map(|after| tokio::time::Instant::now() + after);
    asked.cap(&mut wired);
    let again = match &args.plan {
        Some(file) => format!("windlass run --plan {}", file.display()),
        None => format!("windlass run {flow}"),
    };
    finish(&asked, wired, observer, cancel, &again).await
}

/// Runs what is wired, and closes it. `again` is the command that goes on where it was stopped.
pub(super) async fn finish(
    asked: &Asked<'_>,
    wired: Wired,
    observer: Arc<dyn Observer>,
    cancel: &CancellationToken,
    again: &str,
) -> Result<Ended> {
    let done = asked.resume_plan_and_work(&wired, cancel).await;
    // What was spent is counted however it ended.
    let closed = close(wired, observer).await;
    let done = done?;
    closed?;
    if done.stopped {
        asked
            .out
            .say(&format!("stopped; `{again}` goes on from here"));
    }
    Ok(match done.stopped || done.failures {
        true => Ended::WithFailures,
        false => Ended::Done,
    })
}

/// Whether an interrupted run goes on.
enum Resume {
    /// It does not.
    No,
    /// It does, before anything new is planned.
    First,
    /// It does, and that is all: it is the very plan that was asked for.
    Only,
}

/// What became of a run.
#[derive(Default)]
pub(super) struct Done {
    /// Whether steps failed.
    pub(super) failures: bool,
    /// Whether it was stopped before its end.
    pub(super) stopped: bool,
    /// When something must be looked at again at the latest, as the plan knows.
    pub(super) due: Option<jiff::Timestamp>,
    /// The runs that were worked on.
    pub(super) runs: Vec<RunId>,
    /// What the plan could not place, if one was made.
    pub(super) backlog: Option<Backlog>,
}

/// What is told behind a release run.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<&'a CoverageMap>,
    remarks: &'a std::collections::BTreeSet<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<jiff::Timestamp>,
    #[serde(flatten)]
    closed: &'a Closed,
}

/// How many steps that nobody acts on wait for one that somebody does.
const IDLE_MAX: usize = 10_000;

/// What the passes of a flow held and left out last, as a digest; `None` before the first.
pub(super) type Idle = Mutex<Option<Blake3>>;

/// Records steps as they are decided, and adds up what they cost.
struct Recorded<'a> {
    calls: CallForecast,
    sink: Arc<dyn Sink>,
    ledger: &'a dyn Ledger,
    flow: &'a str,
    source: Arc<dyn Source>,
    /// `None` until there is a step, where a run without any is not wanted.
    recorder: Option<Recorder<'a>>,
    /// What passes before held and left out; `None` where a run is wanted in any case.
    before: Option<&'a Idle>,
    /// The same of this one so far.
    digest: Blake3,
    /// The steps themselves, until somebody acts on one: a run that says only what the one before said is not wanted.
    idle: Vec<PlannedStep>,
}

impl<'a> Recorded<'a> {
    async fn begin(&mut self) -> Result<&mut Recorder<'a>> {
        if self.recorder.is_none() {
            let begun = Recorder::begin(self.ledger, self.flow, self.source.name()).await?;
            self.recorder = Some(begun);
        }
        let missing = || Error::new(Kind::Unexpected, "a run that was begun is not there");
        self.recorder.as_mut().ok_or_else(missing)
    }

    /// Records steps, and those before them that waited.
    async fn record(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        let idle = std::mem::take(&mut self.idle);
        let recorder = self.begin().await?;
        if !idle.is_empty() {
            recorder.steps(idle).await?;
        }
        recorder.steps(steps).await
    }

    async fn complete(mut self, plan: &PlanSummary) -> Result<Option<RunId>> {
        if let Some(before) = self.before {
            let digest = Some(self.digest);
            let is_new = {
                let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *before, digest) != digest
            };
            if is_new && !self.idle.is_empty() {
                self.record(Vec::new()).await?;
            }
        }
        match self.recorder {
            Some(recorder) => recorder.complete(plan).await.map(Some),
            None => Ok(None),
        }
    }

    async fn abandon(self) -> Result<()> {
        match self.recorder {
            Some(recorder) => recorder.abandon().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl PlanWriter for Recorded<'_> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let sink = self.sink.as_ref();
        steps.iter().for_each(|step| self.calls.add(step, sink));
        if self.before.is_none() {
            return self.record(steps).await;
        }
        let idle = steps.iter().filter(|step| !step.action.acts());
        for step in idle.clone() {
            let asset = (&step.asset.id, &step.asset.revision);
            self.digest = digest_of(&(&self.digest, step.action, asset, &step.reason))?;
        }
        let waits = self.recorder.is_none()
            && idle.count() == steps.len()
            && self.idle.len() + steps.len() <= IDLE_MAX;
        if waits {
            self.idle.extend(steps);
            return Ok(());
        }
        self.record(steps).await
    }
}

fn digest_of(value: &impl Serialize) -> Result<Blake3> {
    let text = serde_json::to_vec(value).map_err(|error| {
        Error::new(Kind::Unexpected, "a step cannot be written").with_source(error)
    })?;
    Ok(Blake3::of(&text))
}

impl Asked<'_> {
    /// Caps what a flow takes back or puts away unseen. An ingest flow is stopped as a whole; others go on with the rest.
    pub(super) fn cap(&self, wired: &mut Wired) {
        let unseen = self.reviewed.is_none() && !self.args.over_cap;
        let config = self.layered.config.flow(self.flow).ok();
        let cap = config.filter(|_| unseen);
        let cap = cap.map(|config| RemovalCap::from(config.max_removals()));
        match &mut wired.flow {
            Flow::Release(release) => release.options.cap = cap,
            Flow::Sync(half) => half.set_cap(cap),
            Flow::Ingest(_) => {}
        }
    }

    pub(super) async fn resume_plan_and_work(
        &self,
        wired: &Wired,
        cancel: &CancellationToken,
    ) -> Result<Done> {
        if let Some((_, plan)) = self.reviewed {
            reviewed::check(plan, self.layered, &wired.ledger.id().await?)?;
        }
        if let Flow::Sync(_) = &wired.flow {
            let ledger = self.layered.base.join(&self.layered.config.ledger.file);
            choices::take(&choices::beside(&ledger), wired.ledger.as_ref()).await?;
        }
        let mut done = Done::default();
        if let Some(run) = self.interrupted(wired).await? {
            match self.may_resume(wired, run).await? {
                Resume::No => {}
                Resume::First => self.work(wired, run, cancel, &mut done).await?,
                Resume::Only => {
                    self.work(wired, run, cancel, &mut done).await?;
                    return Ok(done);
                }
            }
        }
        if done.stopped {
            return Ok(done);
        }
        let ledger = wired.ledger.as_ref();
        let (source, sink) = (wired.flow.source(), wired.flow.sink());
        let mut recorded = Recorded {
            calls: CallForecast::new(wired.runner.engine.clone()),
            sink,
            ledger,
            flow: self.flow,
            source,
            recorder: None,
            before: match (&self.manner, &wired.flow) {
                (Manner::Daemon { idle, .. }, Flow::Ingest(_) | Flow::Sync(_)) => Some(idle),
                // What a release closes is told by its runs.
                (Manner::Daemon { .. }, Flow::Release(_)) | (Manner::Asked, _) => None,
            },
            digest: Blake3::of(b""),
            idle: Vec::new(),
        };
        if matches!(self.manner, Manner::Asked) {
            recorded.begin().await?;
        }
        let decided = tokio::select! {
            decided = Box::pin(self.decide(wired, &mut recorded)) => decided,
            () = cancel.cancelled() => {
                recorded.abandon().await?;
                return Ok(Done { stopped: true, ..done });
            }
        };
        let decided = match decided {
            Ok((plan, is_whole)) => self
                .check_cost(wired, &recorded.calls)
                .await
                .map(|()| (plan, is_whole)),
            Err(error) => Err(error),
        };
        let (plan, is_whole) = match decided {
            Ok(decided) => decided,
            Err(error) => {
                recorded.abandon().await?;
                return Err(error);
            }
        };
        let run = recorded.complete(&plan).await?;
        done.due = plan.due;
        done.backlog = Some(backlog_of(&plan));
        self.open_folders(wired).await?;
        if let Some(run) = run {
            self.work(wired, run, cancel, &mut done).await?;
        }
        if !done.stopped && is_whole {
            wired.flow.settle(&plan, run).await?;
        }
        if !done.stopped {
            let closed = wired.flow.close(&plan, run).await?;
            done.failures |= !closed.still_there.is_empty();
            if let (Flow::Release(_), Manner::Asked) = (&wired.flow, &self.manner) {
                self.show_closed(&plan, &closed)?;
            }
        }
        Ok(done)
    }

    /// The interrupted run that may go on, where one may.
    async fn interrupted(&self, wired: &Wired) -> Result<Option<RunId>> {
        if let Manner::Daemon { resumes: false, .. } = &self.manner {
            return Ok(None);
        }
        next_run_to_resume(wired.ledger.as_ref(), self.flow).await
    }

    /// Whether an interrupted run goes on. Beside a reviewed plan only its own run does: what nobody reviewed, or
    /// others decided, is not done on the way.
    async fn may_resume(&self, wired: &Wired, run: RunId) -> Result<Resume> {
        let Some((_, plan)) = self.reviewed else {
            return Ok(Resume::First);
        };
        let record = wired.ledger.run(run).await?;
        let of_plan = record.and_then(|record| record.origin?.plan);
        if of_plan == Some(plan.seal.digest) {
            return Ok(Resume::Only);
        }
        if !self.args.abandon {
            return Err(Error::new(
                Kind::Conflict,
                format!("run {run} was interrupted, and it is not one of this plan"),
            )
            .with_hint(format!(
                "`windlass run {}` finishes it; --abandon gives up what is left of it",
                self.flow
            )));
        }
        let ledger = wired.ledger.as_ref();
        ledger.set_run_state(run, RunState::Abandoned).await?;
        self.out.say(&format!("run {run} is given up"));
        Ok(Resume::No)
    }

    /// Works on a run and prints its report.
    async fn work(
        &self,
        wired: &Wired,
        run: RunId,
        cancel: &CancellationToken,
        done: &mut Done,
    ) -> Result<()> {
        if let Manner::Daemon { planned, .. } = &self.manner {
            planned.cancel();
        }
        let record = wired.ledger.run(run).await?;
        if let (Some(origin), Flow::Ingest(ingest)) =
            (record.and_then(|record| record.origin), &wired.flow)
        {
            ingest.unsettle(&origin.rules).await?;
        }
        let began = Instant::now();
        done.runs.push(run);
        if let Manner::Daemon { bell, .. } = &self.manner {
            let admission = &Affordable { asked: self, wired };
            let beside = Beside {
                flow: &wired.flow,
                bell,
                admission,
            };
            let worked = wired.runner.work_and_look(run, cancel, &beside).await;
            done.stopped = worked? == RunOutcome::Stopped;
            return Ok(());
        }
        let outcome = wired.runner.work(run, cancel).await;
        done.failures |= show(wired.ledger.as_ref(), run, began, self.out).await?;
        done.stopped = outcome? == RunOutcome::Stopped;
        Ok(())
    }

    /// Decides what is to be done, and whether that is all that there is to do.
    async fn decide(
        &self,
        wired: &Wired,
        recorded: &mut Recorded<'_>,
    ) -> Result<(PlanSummary, bool)> {
        let Some((file, before)) = self.reviewed else {
            let plan = wired.flow.decide(recorded).await?;
            if matches!(wired.flow, Flow::Ingest(_)) {
                self.check_removals(&plan)?;
            }
            return Ok((plan, true));
        };
        let steps = reviewed::steps_of(file)?;
        let mut comparison = Comparison::begin(steps, wired.ledger.as_ref(), recorded)?;
        let mut plan = wired.flow.decide(&mut comparison).await?;
        let (difference, read) = comparison.finish().await?;
        reviewed::check_same(before, &read)?;
        let tolerance = self.args.tolerance;
        if difference.count() > 0 {
            match self.out.json {
                true => self.out.record("difference", &difference)?,
                false => self.out.data(&text::difference(&difference))?,
            }
        }
        if !tolerance.bears(&difference) {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "the world has moved on: {} differ from the plan's {}, and {tolerance} may",
                    text::steps(difference.count()),
                    difference.reviewed,
                ),
            )
            .with_hint(
                "nothing was done; plan anew, or say with --tolerance how much may differ",
            ));
        }
        plan.origin.plan = Some(read.seal.digest);
        Ok((plan, difference.count() == 0))
    }

    /// Shares the folders that a release flow names. What cannot be shared is told, and the files appear all the same.
    async fn open_folders(&self, wired: &Wired) -> Result<()> {
        let Flow::Release(release) = &wired.flow else {
            return Ok(());
        };
        if release.options.sweep {
            return Ok(());
        }
        for finding in release.open_folders().await? {
            self.out
                .say(&format!("{}: {}", finding.subject, finding.message));
        }
        Ok(())
    }

    /// Says who gets what, what a person should know, and what closing the run found and did.
    fn show_closed(&self, plan: &PlanSummary, closed: &Closed) -> Result<()> {
        let told = text::closed(plan, closed);
        if told.is_empty() {
            return Ok(());
        }
        if self.out.json {
            let told = Told {
                coverage: plan.coverage.as_ref(),
                remarks: &plan.findings,
                due: plan.due,
                closed,
            };
            return self.out.record("closed", &told);
        }
        self.out.data(&format!("\n{told}"))
    }

    /// Stops before more is replaced or taken back than anybody would without looking.
    fn check_removals(&self, plan: &PlanSummary) -> Result<()> {
        let cap = RemovalCap::from(self.layered.config.flow(self.flow)?.max_removals());
        let exceeded = cap.exceeded_by(&Removals::of(plan));
        match exceeded.filter(|_| !self.args.over_cap) {
            None => Ok(()),
            Some(exceeded) => Err(Error::new(Kind::Conflict, exceeded).with_hint(format!(
                "nothing was done; `windlass plan {flow} --save FILE` shows what it is about and `windlass run \
                 --plan FILE` does it; flow.{flow}.max_removals holds the cap",
                flow = self.flow
            ))),
        }
    }

    /// Stops before the month's calls are spent on half of it.
    async fn check_cost(&self, wired: &Wired, counted: &CallForecast) -> Result<()> {
        let Some((text, fits)) = forecast(wired, counted).await? else {
            return Ok(());
        };
        let is_asked = matches!(self.manner, Manner::Asked);
        if !fits && !self.args.over_budget {
            return Err(Error::new(
                Kind::Capacity,
                format!("the month's calls do not suffice: {text}"),
            )
            .with_hint(
                "`--over-budget` moves as much as fits; the rest follows when the month is over",
            ));
        }
        if is_asked {
            self.out.say(&text);
        }
        Ok(())
    }
}

/// What the steps that were counted do to the month's calls, in words, and whether that is within the budget; `None` where
/// there is none.
async fn forecast(wired: &Wired, counted: &CallForecast) -> Result<Option<(String, bool)>> {
    let (source, sink) = (wired.flow.source(), wired.flow.sink());
    let calls = counted.finish(source.as_ref(), sink.as_ref()).await?;
    Ok(wired.calls.forecast(sink.name(), calls.sink.metered))
}

/// Lets be added to a run what the month's calls suffice for.
#[derive(Clone, Copy)]
struct Affordable<'a> {
    asked: &'a Asked<'a>,
    wired: &'a Wired,
}

impl fmt::Debug for Affordable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affordable").finish_non_exhaustive()
    }
}

#[async_trait]
impl Admission for Affordable<'_> {
    async fn admits(&self, steps: &[PlannedStep]) -> Result<bool> {
        let sink = self.wired.flow.sink();
        let mut counted = CallForecast::new(self.wired.runner.engine.clone());
        steps
            .iter()
            .for_each(|step| counted.add(step, sink.as_ref()));
        let forecast = forecast(self.wired, &counted).await?;
        Ok(self.asked.args.over_budget || forecast.is_none_or(|(_, fits)| fits))
    }
}

pub(super) async fn close(wired: Wired, observer: Arc<dyn Observer>) -> Result<()> {
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
    /// How many conflicts of the flow wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts: Option<u64>,
}

/// Prints a run's report; true when steps failed.
async fn show(ledger: &dyn Ledger, run: RunId, began: Instant, out: Out) -> Result<bool> {
    let report = Report::of(ledger, Some(run), None).await?;
    if out.json {
        each_asset(ledger, run, |line| out.line(&line)).await?;
    }
    let elapsed = began.elapsed();
    let conflicts = conflicts::waiting(ledger, &report.flow).await?;
    if out.json {
        let timed = Timed {
            report: &report,
            seconds: elapsed.as_secs_f64(),
            conflicts: Some(conflicts).filter(|count| *count > 0),
        };
        out.record("run", &timed)?;
    } else {
        out.data(&text::report(&report, Some(elapsed)))?;
        if conflicts > 0 {
            out.data(&format!("\n{}", text::waiting(&report.flow, conflicts)))?;
        }
    }
    Ok(report.total(StepState::Failed).steps > 0)
}
