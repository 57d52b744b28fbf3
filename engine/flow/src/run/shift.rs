//! One worker's time on one run: the loop that owns everything in flight.
//!
//! Attempts run in tasks that only report. The loop takes their reports, as many as are ready, refills the slots
//! at once and records the outcomes a moment later, many in one call. Nothing here waits for an attempt by name:
//! one that does not move is dropped and tried again, one that is left when time is up is dropped and goes on in a
//! later run. Dropping is always safe, because what an attempt achieved is noted by then (see `step.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use windlass_core::{
    AssetId, AssetPath, Error, HeldBack, Kind, LeasedStep, Outcome, Placement, Result, Reuse,
    RunId, StepId, StepReport, StepState, Unfinished, WorkerId,
};

use super::activity::Activity;
use super::beside::Growth;
use super::journal::{Notebook, StepJournal};
use super::outcome::Judge;
use super::slots::{Size, Slots};
use super::step::{Attempt, StepRunner};
use super::tracker::{Counted, Tracker};
use super::twins::{Turn, Twins};
use super::{RunOutcome, Runner, Stop};
use crate::delivery::asset_of;
use crate::observe::Event;
use crate::plan::{Content, Work};

/// How often the observer is told how far the run is, and attempts are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How long an outcome waits for others to be recorded with: a commit then carries what a busy run ends in that
/// time. A crash in between costs a look at the sink each.
const GATHER: Duration = Duration::from_millis(20);

/// So many outcomes wait for no others.
const GATHERED_MAX: usize = 500;

/// How often the ledger is asked for steps while it has none that are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The shortest wait for a step that is due: the clocks of ledger and process may differ by as much.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How many deliveries of an asset are looked at in one call.
const DELIVERIES_A_CALL: u32 = 64;

/// A leased step that waits for a slot.
#[derive(Debug)]
struct Taken {
    step: LeasedStep,
    unfinished: Unfinished,
    work: Work,
    /// What has its bytes at the sink, where they need not move.
    held: Option<Box<Placement>>,
    /// The asset at the sink that it links to or changes, once it is its turn.
    touches: Option<AssetId>,
    /// The asset and the collection that it is taken out of, once something else stands there for the file.
    unlink: Option<(AssetId, AssetPath)>,
}

/// An attempt under way.
#[derive(Debug)]
struct InFlight {
    task: AbortHandle,
    size: Size,
    /// The content that it brings to the sink, for others that wait for it.
    moves: Option<Content>,
    /// The asset at the sink that it links to or changes.
    touches: Option<AssetId>,
    attempt: Arc<Attempt>,
    counted: Counted,
    /// It did not move and was dropped.
    stalled: Option<Error>,
}

/// An outcome that is not recorded yet, and what the observer is told once it is.
#[derive(Debug)]
struct Ended {
    report: StepReport,
    asset: Option<(AssetPath, u64)>,
}

/// Why there is nothing to do although steps are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// There is.
    Not,
    /// The next one is due then.
    Until(Instant),
    /// Others have them.
    Elsewhere,
}

/// What the loop waits for.
enum Wake {
    Ended(Joined),
    Record,
    Renew,
    Tick,
    Look,
    Stop(Stop),
    Drained,
}

type Joined = Result<(Id, Result<Outcome>), JoinError>;

/// See the module.
#[derive(Debug)]
pub(super) struct Shift<'a> {
    runner: &'a Runner,
    run: RunId,
    worker: WorkerId,
    steps: Arc<StepRunner>,
    notebook: Arc<Notebook>,
    slots: Slots<Taken>,
    /// By the content that they bring to the sink.
    twins: Twins<Content, Taken>,
    /// By the asset at the sink that they link to or change.
    touching: Twins<AssetId, Taken>,
    tasks: JoinSet<Result<Outcome>>,
    /// Which step a task tries. Looked up only, never walked, so its order does not matter.
    by_task: HashMap<Id, StepId>,
    in_flight: BTreeMap<StepId, InFlight>,
    judge: Judge,
    /// Contents whose steps ended, and whether well; those that wait for them are looked at once that is recorded.
    arrived: Vec<(Content, StepId, bool)>,
    /// Assets that nobody of these is about any more.
    left: Vec<(AssetId, StepId)>,
    ended: Vec<Ended>,
    record_at: Option<Instant>,
    /// Before that the ledger has nothing new.
    look_at: Instant,
    idle: Idle,
    tracker: Tracker,
    growth: &'a Growth,
}

impl<'a> Shift<'a> {
    pub(super) fn new(
        runner: &'a Runner,
        run: RunId,
        worker: WorkerId,
        steps: StepRunner,
        (tracker, growth): (Tracker, &'a Growth),
    ) -> Self {
        let together = runner.sink.capabilities().together;
        Shift {
            runner,
            run,
            worker,
            steps: Arc::new(steps),
            notebook: Arc::new(Notebook::new(Arc::clone(&runner.ledger))),
            slots: Slots::new(runner.options.transfers, together),
            twins: Twins::default(),
            touching: Twins::default(),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            in_flight: BTreeMap::new(),
            judge: Judge::new(runner),
            arrived: Vec::new(),
            left: Vec::new(),
            ended: Vec::new(),
            record_at: None,
            look_at: Instant::now(),
            idle: Idle::Not,
            tracker,
            growth,
        }
    }

    /// Works until every step has ended, or until `cancel` or the deadline asks to stop and what is in flight had
    /// its time. What is left in flight then is for [`Shift::drop_attempts`].
    pub(super) async fn work(&mut self, cancel: &CancellationToken) -> Result<RunOutcome> {
        let mut renew = every(self.runner.options.lease / 3);
        let mut tick = every(TICK);
        // When attempts had their time to end.
        let mut stop: Option<Instant> = None;
        loop {
            if stop.is_none() {
                self.take_steps().await?;
            }
            if self.tasks.is_empty() {
                self.record().await?;
                match stop {
                    Some(_) => return Ok(RunOutcome::Stopped),
                    // Recording let go of some that waited for what was recorded.
                    None if self.slots.is_anyone_waiting() => continue,
                    None if !self.is_more_to_come().await? => return Ok(RunOutcome::Finished),
                    None => {}
                }
            }
            match self.wake(cancel, &mut renew, &mut tick, stop).await {
                Wake::Ended(first) => self.gather(first),
                Wake::Record => self.record().await?,
                Wake::Renew => self.renew().await?,
                Wake::Tick => self.tick(),
                Wake::Look => {}
                Wake::Stop(why) => {
                    let left = self.runner.options.drain;
                    self.runner.observer.observe(Event::Stopping { why, left });
                    stop = Some(Instant::now() + left);
                    // They are still leased, and given back when the shift ends.
                    self.slots.clear();
                    drop((self.twins.let_go(), self.touching.let_go()));
                }
                Wake::Drained => {
                    self.record().await?;
                    return Ok(RunOutcome::Stopped);
                }
            }
            if let Some(error) = self.judge.take_fatal() {
                self.record().await?;
                return Err(error);
            }
        }
    }

    /// Drops what is in flight. Returns when nothing of it is left.
    pub(super) async fn drop_attempts(&mut self) {
        self.tasks.shutdown().await;
        self.in_flight.clear();
        self.by_task.clear();
    }

    /// Fills the free slots, from the ledger where too few wait.
    async fn take_steps(&mut self) -> Result<()> {
        self.start_waiting();
        while Instant::now() >= self.look_at {
            let wanted = self.wanted();
            if wanted == 0 {
                break;
            }
            let (ledger, lease) = (&self.runner.ledger, self.runner.options.lease);
            let limit = u32::try_from(wanted).unwrap_or(u32::MAX);
            let leased = ledger.lease(self.run, &self.worker, limit, lease).await?;
            if leased.len() < wanted {
                let again = self.tracker.next_again().map(|(at, _)| at);
                let later = Instant::now() + LOOK_EVERY;
                self.look_at = again.map_or(later, |again| again.min(later));
            }
            self.receive(leased).await?;
            self.start_waiting();
        }
        Ok(())
    }

    /// Lines up a packet, each step with what earlier attempts left of it.
    async fn receive(&mut self, leased: Vec<LeasedStep>) -> Result<()> {
        // Nothing can have been noted of a step that nobody had before.
        let again = leased.iter().filter(|step| step.attempt > 1);
        let again: Vec<StepId> = again.map(|step| step.id).collect();
        let mut left = match again.is_empty() {
            true => Vec::new(),
            false => self.runner.ledger.unfinished(&again).await?,
        }
        .into_iter();
        let mut taken = Vec::with_capacity(leased.len());
        for step in leased {
            let unfinished = match step.attempt > 1 {
                true => left.next().unwrap_or_default(),
                false => Unfinished::default(),
            };
            match Work::from_payload(&step.payload) {
                Ok(work) => taken.push(Taken {
                    step,
                    unfinished,
                    work,
                    held: None,
                    touches: None,
                    unlink: None,
                }),
                Err(error) => self.unreadable(&step, &error),
            }
        }
        // What may be at the sink already comes first: others of its content wait until that is known.
        taken.sort_by_key(|taken| taken.unfinished.intent.is_none());
        self.line_up(taken).await
    }

    /// How many steps to take from the ledger.
    fn wanted(&self) -> usize {
        let elsewhere = self.twins.waiting() + self.touching.waiting();
        self.slots.wanted(elsewhere)
    }

    /// Lines up steps for slots. One whose bytes another step is bringing to the sink waits for that one, without a
    /// slot; so does one that links to an asset which another step changes, or changes one that another step is about.
    async fn line_up(&mut self, mut taken: Vec<Taken>) -> Result<()> {
        self.look_for_contents(&mut taken).await?;
        if self.runner.sink.capabilities().reuse == Some(Reuse::Link) {
            taken = self.take_turns(taken);
            self.look_who_shares(&mut taken).await?;
        }
        for taken in taken {
            let turn = match taken.work.reuses() {
                Some(_) => Turn::Alone,
                None => Turn::Never,
            };
            match (taken.work.content(), &taken.held) {
                (Some(content), None) => {
                    let id = taken.step.id;
                    if let Some(taken) = self.twins.begin(content, id, taken, turn) {
                        self.queue(taken);
                    }
                }
                _ => self.queue(taken),
            }
        }
        Ok(())
    }

    /// Finds what the sink has of contents that need not move.
    async fn look_for_contents(&self, taken: &mut [Taken]) -> Result<()> {
        let mut hashed = Vec::new();
        for taken in taken {
            let reuses = taken.work.reuses().filter(|_| taken.touches.is_none());
            match reuses {
                None => {}
                Some((size, Content::Known(hash))) => hashed.push((taken, (size, hash))),
                Some((_, Content::Of(asset, _))) => {
                    let held = self.delivered(&asset, &taken.work).await?;
                    taken.held = held.map(Box::new);
                }
            }
        }
        if hashed.is_empty() {
            return Ok(());
        }
        let sink = self.runner.sink.name();
        let wanted: Vec<_> = hashed.iter().map(|(_, content)| *content).collect();
        let held = self.runner.ledger.holding(sink, &wanted).await?;
        for ((taken, _), held) in hashed.into_iter().zip(held) {
            taken.held = held.filter(|held| self.steps.may_hold(held)).map(Box::new);
        }
        Ok(())
    }

    /// What this flow has delivered of the same revision of an asset, in another place.
    async fn delivered(&self, asset: &AssetId, work: &Work) -> Result<Option<Placement>> {
        let (ledger, sink) = (&self.runner.ledger, self.runner.sink.name());
        let (flow, source) = (&self.runner.flow, self.runner.source.name());
        // All deliveries of an asset begin so, and are neighbours in the ledger's order.
        let mut after = AssetId::new(format!("{asset}#"));
        loop {
            let page = ledger
                .placements_after(flow, source, Some(&after), DELIVERIES_A_CALL)
                .await?;
            let is_last = (page.len() as u64) < u64::from(DELIVERIES_A_CALL);
            let Some(last) = page.last() else {
                return Ok(None);
            };
            after = last.source_asset.clone();
            let is_over = is_last || asset_of(&after) != *asset;
            let wanted = work.asset();
            let found = page.into_iter().find(|placement| {
                asset_of(&placement.source_asset) == *asset
                    && placement.source_asset != wanted.id
                    && placement.source_revision == wanted.revision
                    && placement.sink == sink
                    && self.steps.may_hold(placement)
            });
            if found.is_some() || is_over {
                return Ok(found);
            }
        }
    }

    /// Lets go those whose turn it is at the asset that they touch.
    fn take_turns(&mut self, taken: Vec<Taken>) -> Vec<Taken> {
        let mut going = Vec::with_capacity(taken.len());
        for taken in taken {
            let (asset, turn) = match (taken.work.changes(), &taken.held) {
                (Some(asset), _) => (asset.clone(), Turn::Alone),
                (None, Some(held)) => (held.placed.asset.clone(), Turn::Shared),
                (None, None) => {
                    going.push(taken);
                    continue;
                }
            };
            let id = taken.step.id;
            let begun = self.touching.begin(asset.clone(), id, taken, turn);
            going.extend(begun.map(|begun| Taken {
                touches: Some(asset),
                ..begun
            }));
        }
        going
    }

    /// Decides what becomes of steps that change an asset which stands for other files too: a version would change
    /// those, so it becomes a new asset, and what is linked elsewhere leaves where it was.
    async fn look_who_shares(&self, taken: &mut [Taken]) -> Result<()> {
        let mut changing: Vec<&mut Taken> = taken
            .iter_mut()
            .filter(|taken| taken.touches.is_some() && taken.work.changes().is_some())
            .collect();
        if changing.is_empty() {
            return Ok(());
        }
        let assets: Vec<AssetId> = changing
            .iter()
            .filter_map(|taken| taken.work.changes().cloned())
            .collect();
        let (sink, source) = (self.runner.sink.name(), self.runner.source.name());
        let files: Vec<AssetId> = changing
            .iter()
            .map(|taken| taken.work.asset().id.clone())
            .collect();
        let ledger = &self.runner.ledger;
        let sharing = ledger.sharing(sink, &assets).await?;
        let own = ledger.placements(&self.runner.flow, source, &files).await?;
        for (((taken, asset), sharing), own) in
            changing.iter_mut().zip(assets).zip(sharing).zip(own)
        {
            let own = own.filter(|own| own.sink == sink && own.placed.asset == asset);
            let others = sharing.files - u64::from(own.is_some());
            let is_version = taken.work.placed_asset().is_some();
            if !is_version {
                // Linked, and to appear elsewhere: what it is linked to is known, unless this run has seen it gone.
                let held = own.clone().filter(|own| self.steps.may_hold(own));
                taken.held = held.map(Box::new);
            } else if others == 0 || taken.work.is_alone() {
                continue;
            } else {
                taken.work.become_new();
            }
            let wanted = taken.work.draft().collection.key();
            let stays = own.filter(|own| {
                let collection = own.collection.key();
                // Where others are in it, or may be, it stays for them.
                let alone = sharing.collections.get(&collection) == Some(&1);
                let unknown = collection.is_empty() || sharing.collections.contains_key("");
                alone && !unknown && (is_version || collection != wanted)
            });
            taken.unlink = stays.map(|own| (asset, own.collection));
        }
        Ok(())
    }

    fn queue(&mut self, taken: Taken) {
        let (step, moves) = (&taken.step, taken.held.is_none());
        let size = self.slots.size_of(step.action, step.size, moves);
        self.slots.wait(size, taken);
    }

    fn start_waiting(&mut self) {
        while let Some((size, taken)) = self.slots.take() {
            self.idle = Idle::Not;
            self.start(size, taken);
        }
    }

    fn start(&mut self, size: Size, taken: Taken) {
        let Taken {
            step,
            unfinished,
            work,
            held,
            touches,
            unlink,
        } = taken;
        // A lease that ran out unnoticed and was taken again here: the old attempt can record nothing.
        if let Some(old) = self.in_flight.remove(&step.id) {
            self.by_task.remove(&old.task.id());
            old.task.abort();
            self.slots.give_back(old.size);
        }
        let moves = match held {
            None => work.content(),
            Some(_) => None,
        };
        let asset = work.asset();
        self.runner.observer.observe(Event::StepStarted {
            path: &asset.path,
            size: asset.size,
        });
        let recalled = unfinished.parts.iter().map(|part| part.length).sum();
        let notebook = Arc::clone(&self.notebook);
        let attempt = Arc::new(Attempt {
            step: step.id,
            number: step.attempt,
            began: Instant::now(),
            work,
            intent: unfinished.intent,
            held,
            touches: touches.clone(),
            unlink,
            journal: Arc::new(StepJournal::new(
                notebook,
                step.id,
                step.attempt,
                unfinished,
            )),
            activity: Activity::new(),
        });
        let task = self.tasks.spawn({
            let (steps, attempt) = (Arc::clone(&self.steps), Arc::clone(&attempt));
            async move { steps.run(&attempt).await }
        });
        self.by_task.insert(task.id(), step.id);
        let in_flight = InFlight {
            task,
            size,
            moves,
            touches,
            attempt,
            counted: Counted::new(recalled),
            stalled: None,
        };
        self.in_flight.insert(step.id, in_flight);
        self.tracker.stir();
    }

    /// Whether steps are left that somebody may still take; asks the ledger once, and sets when to look
    /// again.
    async fn is_more_to_come(&mut self) -> Result<bool> {
        if self.idle != Idle::Not && Instant::now() < self.look_at {
            return Ok(true);
        }
        let ledger = &self.runner.ledger;
        if let Some(due) = ledger.next_due(self.run).await? {
            let until = Instant::now() + due.max(LOOK_AGAIN);
            self.idle = Idle::Until(until);
            // Others may give some back before.
            self.look_at = until.min(Instant::now() + self.runner.options.lease);
            return Ok(true);
        }
        // Nothing is under way here, and those that others wait for are not due: another worker may have them.
        let mut waited = self.twins.let_go();
        waited.append(&mut self.touching.let_go());
        if !waited.is_empty() {
            self.line_up(waited).await?;
            self.look_at = Instant::now();
            self.idle = Idle::Until(self.look_at);
            return Ok(true);
        }
        let ledger = &self.runner.ledger;
        let tally = ledger.tally(self.run).await?;
        let mut states = tally.iter();
        let elsewhere =
            states.any(|(state, _, tally)| *state == StepState::Leased && tally.steps > 0);
        if elsewhere {
            ledger.reap(self.run).await?;
            self.idle = Idle::Elsewhere;
            self.look_at = Instant::now() + LOOK_EVERY;
        }
        Ok(elsewhere)
    }

    /// Waits for the next thing to do. Cancel safe: nothing is taken before it is returned.
    ///
    /// Biased: what comes rarely goes first, so that a busy run does not keep it from its turn.
    async fn wake(
        &mut self,
        cancel: &CancellationToken,
        renew: &mut Interval,
        tick: &mut Interval,
        stop: Option<Instant>,
    ) -> Wake {
        let goes_on = stop.is_none();
        let wanted = self.wanted();
        let looks = goes_on && (self.idle != Idle::Not || wanted > 0);
        tokio::select! {
            biased;
            () = cancel.cancelled(), if goes_on => Wake::Stop(Stop::Asked),
            () = at_or_never(self.runner.options.deadline), if goes_on => Wake::Stop(Stop::Deadline),
            () = at_or_never(stop) => Wake::Drained,
            () = at_or_never(self.record_at) => Wake::Record,
            _ = renew.tick() => Wake::Renew,
            _ = tick.tick() => Wake::Tick,
            Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => Wake::Ended(ended),
            () = sleep_until(self.look_at), if looks => Wake::Look,
        }
    }

    async fn renew(&self) -> Result<()> {
        let ledger = &self.runner.ledger;
        ledger
            .renew(&self.worker, self.runner.options.lease)
            .await?;
        ledger.reap(self.run).await.map(drop)
    }

    /// Takes in an attempt that ended, and all others that did.
    fn gather(&mut self, first: Joined) {
        let mut next = Some(first);
        while let Some(joined) = next {
            self.account(joined);
            next = self.tasks.try_join_next_with_id();
        }
        if self.record_at.is_none() && !self.ended.is_empty() {
            self.record_at = Some(Instant::now() + GATHER);
        }
        if self.ended.len() >= GATHERED_MAX {
            self.record_at = Some(Instant::now());
        }
    }

    fn account(&mut self, joined: Joined) {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        // Unknown: an attempt whose step was taken anew.
        let Some(mut ran) = self
            .by_task
            .remove(&id)
            .and_then(|step| self.in_flight.remove(&step))
        else {
            return;
        };
        self.slots.give_back(ran.size);
        let pushed = ran.attempt.activity.progress.snapshot().bytes_pushed;
        let mut moved = ran.counted.update(pushed);
        let outcome = match (joined, ran.stalled.take()) {
            (Ok((_, Ok(outcome))), _) => outcome,
            (Ok((_, Err(_))), _) if ran.attempt.journal.is_stale() => {
                tracing::info!(step = ran.attempt.step.0, "another attempt has the step");
                return;
            }
            (Ok((_, Err(error))), _) => self.judge.outcome_of(error, &ran.attempt),
            (Err(error), Some(stalled)) if error.is_cancelled() => {
                self.judge.outcome_of(stalled, &ran.attempt)
            }
            (Err(error), _) => abnormal(&error),
        };
        if let Outcome::Done { bytes_moved, .. } = &outcome {
            moved += ran.counted.end(*bytes_moved);
        }
        self.tracker.moved(moved);
        if matches!(outcome, Outcome::Failed { .. } | Outcome::Held { .. }) {
            self.growth.give_up(&ran.attempt.work.asset().id);
        }
        // One that is tried again is still about it: its commit may have happened.
        if !matches!(outcome, Outcome::Retry { .. }) {
            let step = ran.attempt.step;
            let well = matches!(outcome, Outcome::Done { .. } | Outcome::Withdrawn(_));
            self.judge.forget(step);
            self.arrived
                .extend(ran.moves.map(|content| (content, step, well)));
        }
        let step = ran.attempt.step;
        self.left.extend(ran.touches.map(|asset| (asset, step)));
        let asset = ran.attempt.work.asset();
        self.ended.push(Ended {
            report: StepReport {
                id: ran.attempt.step,
                attempt: ran.attempt.number,
                took: ran.attempt.began.elapsed(),
                outcome,
            },
            asset: Some((asset.path.clone(), asset.size)),
        });
    }

    /// Records the outcomes that wait for it, tells the observer, and lines up those that waited for the contents.
    async fn record(&mut self) -> Result<()> {
        self.record_at = None;
        self.record_ended().await?;
        let mut waited = Vec::new();
        for (content, step, well) in std::mem::take(&mut self.arrived) {
            waited.append(&mut self.twins.end(&content, step, well));
        }
        for (asset, step) in std::mem::take(&mut self.left) {
            waited.append(&mut self.touching.end(&asset, step, true));
        }
        match waited.is_empty() {
            true => Ok(()),
            false => self.line_up(waited).await,
        }
    }

    async fn record_ended(&mut self) -> Result<()> {
        if self.ended.is_empty() {
            return Ok(());
        }
        let (reports, assets): (Vec<StepReport>, Vec<_>) = std::mem::take(&mut self.ended)
            .into_iter()
            .map(|ended| (ended.report, ended.asset))
            .unzip();
        let accepted = self.runner.ledger.finish(&reports).await?;
        self.tell_moved();
        for ((report, asset), accepted) in reports.iter().zip(&assets).zip(accepted) {
            match accepted {
                true => self.tell_ended(&report.outcome, asset.as_ref()),
                // Somebody else has it, and will say how it ended.
                false => tracing::info!(step = report.id.0, "an outcome came too late"),
            }
        }
        Ok(())
    }

    fn tell_ended(&mut self, outcome: &Outcome, asset: Option<&(AssetPath, u64)>) {
        let (state, message, again_after) = match outcome {
            Outcome::Done { .. } | Outcome::Withdrawn(_) => (StepState::Done, None, None),
            Outcome::Held { reason, .. } => (StepState::Held, Some(reason.as_str()), None),
            Outcome::Failed { message, .. } => (StepState::Failed, Some(message.as_str()), None),
            Outcome::Retry { message, after } => {
                (StepState::Open, Some(message.as_str()), Some(*after))
            }
        };
        match again_after {
            None => self.tracker.ended(asset.map_or(0, |(_, size)| *size)),
            Some(after) => {
                let at = Instant::now() + after;
                self.tracker.again(at);
                self.look_at = self.look_at.min(at);
            }
        }
        if let Some((path, size)) = asset {
            self.runner.observer.observe(Event::StepEnded {
                path,
                size: *size,
                state,
                message,
                again_after,
            });
        }
    }

    fn unreadable(&mut self, step: &LeasedStep, error: &Error) {
        self.ended.push(Ended {
            report: StepReport {
                id: step.id,
                attempt: step.attempt,
                took: Duration::ZERO,
                outcome: Outcome::Failed {
                    kind: error.kind(),
                    message: error.chain(),
                    hint: error.hint().map(str::to_owned),
                },
            },
            asset: None,
        });
        self.record_at = Some(Instant::now());
    }

    /// Looks at what was added and at everything in flight: counts, heals, tells.
    fn tick(&mut self) {
        let (steps, bytes) = self.growth.take();
        if steps > 0 {
            self.tracker.grow(steps, bytes);
            self.look_at = Instant::now();
        }
        let mut there = 0;
        let mut moved = 0;
        for flying in self.in_flight.values_mut() {
            let pushed = flying.attempt.activity.progress.snapshot().bytes_pushed;
            moved += flying.counted.update(pushed);
            there += flying.counted.there();
        }
        self.tracker.moved(moved);
        let gauges = self.runner.engine.gauges();
        self.tracker.tick(self.in_flight.len(), there, &gauges);
        self.heal();
        self.tell_moved();
        if self.tracker.is_silent() {
            let why = self.why();
            self.runner.observer.observe(Event::Waiting { why: &why });
            self.tracker.say(why);
        }
        let status = self.tracker.status();
        self.runner.observer.observe(Event::Status(status));
    }

    /// Drops attempts that did not move for too long without anybody saying why; they are tried again, and go
    /// on where they were.
    fn heal(&mut self) {
        let runner = self.runner;
        let held_back = self.held_back();
        for flying in self.in_flight.values_mut() {
            let (attempt, activity) = (&flying.attempt, &flying.attempt.activity);
            let asset = attempt.work.asset();
            let patience = activity.patience(runner.options.stall_after, asset.size);
            let silent = activity.quiet_since().elapsed();
            let is_silent = patience.is_some_and(|patience| silent >= patience);
            if !is_silent || flying.stalled.is_some() {
                continue;
            }
            if held_back.is_some() || activity.waits_for_memory() {
                activity.excuse();
                continue;
            }
            let why = activity.why(&*runner.source, &*runner.sink);
            runner.observer.observe(Event::Stalled {
                path: &asset.path,
                silent,
                why: &why,
            });
            let message = format!("nothing moved for {} s; it {why}", silent.as_secs());
            let error = Error::new(Kind::Unavailable, message).with_context("path", &asset.path);
            flying.stalled = Some(error);
            flying.task.abort();
            self.tracker.stalled();
        }
    }

    fn held_back(&self) -> Option<HeldBack> {
        let sink = self.runner.sink.held_back();
        sink.or_else(|| self.runner.source.held_back())
    }

    /// Why nothing moves, in one sentence without a full stop.
    fn why(&mut self) -> String {
        if self.in_flight.is_empty() {
            return self.why_idle();
        }
        if let Some(held_back) = self.held_back() {
            return held_back.why;
        }
        // Who waits for memory waits for one of the others.
        let key = |flying: &&InFlight| {
            let activity = &flying.attempt.activity;
            (activity.waits_for_memory(), activity.quiet_since())
        };
        let Some(longest) = self.in_flight.values().min_by_key(key) else {
            return self.why_idle();
        };
        let attempt = &longest.attempt;
        let why = attempt
            .activity
            .why(&*self.runner.source, &*self.runner.sink);
        let path = &attempt.work.asset().path;
        match self.in_flight.len() - 1 {
            0 => format!("{path}: {why}"),
            others => format!("{path} and {others} more: {why}"),
        }
    }

    fn why_idle(&mut self) -> String {
        let now = Instant::now();
        let seconds = |at: Instant| at.saturating_duration_since(now).as_secs_f64().ceil();
        match (self.idle, self.tracker.next_again()) {
            (Idle::Elsewhere, _) => {
                "another worker holds the last steps; taking them over when its lease ends"
                    .to_owned()
            }
            (Idle::Until(at), Some((_, steps))) => {
                let files = if steps == 1 { "file" } else { "files" };
                format!("waiting {} s to try {steps} {files} again", seconds(at))
            }
            (Idle::Until(at), None) => {
                format!("waiting {} s until the next step is due", seconds(at))
            }
            (Idle::Not, _) => "taking steps from the ledger".to_owned(),
        }
    }

    fn tell_moved(&mut self) {
        let bytes = self.tracker.take_moved();
        if bytes > 0 {
            self.runner.observer.observe(Event::Moved { bytes });
        }
    }
}

fn abnormal(error: &JoinError) -> Outcome {
    Outcome::Failed {
        kind: Kind::Unexpected,
        message: format!("a bug: the step's task ended abnormally: {error}"),
        hint: Some("please report it with the log of this run".to_owned()),
    }
}

fn every(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn at_or_never(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
