//! The loop that owns the daemon: it hears what happened, asks the scheduler what to do, and does it.
//!
//! Passes and listeners are tasks that only report. On the first signal no pass begins any more and those under way end in
//! order; on the second, and when the time for that is over, they end at once. Both leave a ledger that resumes.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use windlass_console::{Console, House};
use windlass_core::{Error, Kind, Ledger, Result};
use windlass_flow::Bell;
use windlass_flow::daemon::{Order, Pass, PassEnded, PassOutcome, Rate, Scheduler};
use windlass_transfer::Throttle;

use super::board::Board;
use super::pass::{Did, Kept, Passed, Setup};
use super::{bells, ears, notes, pass, rules};
use crate::args::{Global, WatchArgs};
use crate::commands::choices;
use crate::commands::run::Idle;
use crate::commands::{Ended, read};
use crate::config::{Heard, Layered};
use crate::interrupt::{Signal, Signals};
use crate::out::Out;
use crate::wiring::{Access, Shared, Wiring};

/// How many events wait for the loop at most.
const EVENTS: usize = 1_024;

/// The longest sleep: a clock that is set, or a machine that slept, is noticed after it.
const LOOK_UP: Duration = Duration::from_secs(30);

/// How soon choices about conflicts are noticed.
const NOTICE: Duration = Duration::from_secs(2);

/// How long passes that end at once may take for it before they are dropped.
const GRACE: Duration = Duration::from_secs(5);

/// What the loop is told.
#[derive(Debug)]
pub(super) enum Event {
    /// Something of a flow may have changed.
    Ring(String),
    /// Something at an endpoint may have changed.
    Rung(String),
    /// Somebody listens for a flow from now on.
    Heard(String),
    /// Nobody does any more.
    Deaf(String),
    /// The plan of a flow's pass is complete.
    Planned(String),
}

struct Daemon<'a> {
    args: &'a WatchArgs,
    global: &'a Global,
    out: Out,
    layered: Arc<Layered>,
    /// How often another configuration came.
    edition: u64,
    flows: Vec<String>,
    shared: Arc<Shared>,
    ledger: Arc<dyn Ledger>,
    scheduler: Scheduler,
    /// Of flows without windows of their own.
    throttle: Arc<Throttle>,
    throttles: BTreeMap<String, Arc<Throttle>>,
    passes: JoinSet<Passed>,
    /// By which each running pass is asked to look again, and to end.
    running: BTreeMap<String, (Arc<Bell>, CancellationToken)>,
    kept: BTreeMap<String, Kept>,
    /// What each flow held and left out when it was looked at last.
    idle: BTreeMap<String, Arc<Idle>>,
    listeners: Vec<AbortOnDropHandle<()>>,
    sender: mpsc::Sender<Event>,
    stop_now: CancellationToken,
    /// When the drain is over.
    drained: Option<Instant>,
    board: Arc<Board>,
}

/// Runs it to its end.
pub(super) async fn run(
    args: &WatchArgs,
    global: &Global,
    layered: Layered,
    flows: Vec<String>,
    out: Out,
) -> Result<Ended> {
    let mut signals = Signals::new()?;
    let opened = Wiring::new(&layered, out).ledger(Access::ReadWrite).await?;
    let ledger: Arc<dyn Ledger> = Arc::clone(&opened) as Arc<dyn Ledger>;
    let (sender, mut events) = mpsc::channel(EVENTS);
    let board = Arc::new(Board::new(Timestamp::now(), sender.clone()));
    let stop_console = CancellationToken::new();
    let console = serve(&layered, &board, &stop_console, out).await?;
    let mut daemon = Daemon {
        args,
        global,
        out,
        scheduler: Scheduler::new(layered.config.watch.at_once),
        layered: Arc::new(layered),
        edition: 0,
        flows: Vec::new(),
        shared: Arc::new(Shared::with_ledger(opened)),
        ledger: Arc::clone(&ledger),
        throttle: Arc::default(),
        throttles: BTreeMap::new(),
        passes: JoinSet::new(),
        running: BTreeMap::new(),
        kept: BTreeMap::new(),
        idle: BTreeMap::new(),
        listeners: Vec::new(),
        sender,
        stop_now: CancellationToken::new(),
        drained: None,
        board,
    };
    daemon.apply(flows).await?;
    let ended = daemon.go_on(&mut signals, &mut events).await;
    daemon.close().await;
    stop_console.cancel();
    if let Some(console) = console {
        drop(console.await);
    }
    ledger.close().await?;
    ended
}

/// Begins to answer, where the configuration says so.
async fn serve(
    layered: &Layered,
    board: &Arc<Board>,
    stop: &CancellationToken,
    out: Out,
) -> Result<Option<AbortOnDropHandle<()>>> {
    let Some(address) = layered.config.watch.listen else {
        return Ok(None);
    };
    let bells = bells::bells(layered)?;
    let console = Console::bind(address).await?;
    out.say(&format!("answering at http://{}/", console.address()));
    let house: Arc<dyn House> = Arc::<Board>::clone(board);
    let serving = tokio::spawn(console.serve(house, bells, stop.clone()));
    Ok(Some(AbortOnDropHandle::new(serving)))
}

impl Daemon<'_> {
    /// Takes the configuration as it is for these flows.
    async fn apply(&mut self, flows: Vec<String>) -> Result<()> {
        let config = &self.layered.config;
        let ears = ears::ears(&flows, config)?;
        let rules = flows.iter().map(|name| rules::rules(name, config));
        let rules = rules.collect::<Result<Vec<_>>>()?;
        self.throttles = rules::throttles(&flows, config, &self.throttle, &self.throttles);
        self.shared.set_throttles(self.throttles.clone());
        self.scheduler.set_at_once(config.watch.at_once);
        let now = Timestamp::now();
        for gone in self.flows.iter().filter(|name| !flows.contains(name)) {
            self.scheduler.remove(gone);
        }
        for rules in rules {
            let name = rules.flow.clone();
            self.scheduler.configure(rules, now);
            // Until somebody listens again.
            self.scheduler.is_rung_for(&name, false);
            let as_of = notes::complete_as_of(self.ledger.as_ref(), &name).await?;
            self.scheduler.recall(&name, as_of);
        }
        self.flows = flows;
        let room = ears::Room {
            layered: Arc::clone(&self.layered),
            shared: Arc::clone(&self.shared),
            ledger: Arc::clone(&self.ledger),
            events: self.sender.clone(),
            out: self.out,
        };
        let listening = ears.into_iter().map(|ear| {
            let listening = tokio::spawn(ear.listen(room.clone()));
            AbortOnDropHandle::new(listening)
        });
        self.listeners = listening.collect();
        Ok(())
    }

    async fn go_on(
        &mut self,
        signals: &mut Signals,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<Ended> {
        loop {
            let now = Timestamp::now();
            self.notice_choices(now);
            for order in self.scheduler.advance(now) {
                self.obey(order);
            }
            self.set_rates(now);
            self.board
                .show(self.scheduler.standings(now), self.scheduler.is_draining());
            if self.scheduler.is_draining() && self.scheduler.is_at_rest() {
                self.out.say("stopped; the next start goes on from here");
                return Ok(Ended::Done);
            }
            let sleep = self.sleep(now);
            let drained = self.drained;
            tokio::select! {
                biased;
                signal = signals.next() => match signal {
                    Signal::Stop if self.scheduler.is_draining() => return self.stop_at_once().await,
                    Signal::Stop => self.drain(),
                    Signal::Reload => self.reload().await,
                },
                () = until(drained) => return self.stop_at_once().await,
                Some(passed) = self.passes.join_next() => self.passed(passed).await?,
                Some(event) = events.recv() => self.hear(event, Timestamp::now()),
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// How long nothing happens by itself.
    fn sleep(&self, now: Timestamp) -> Duration {
        let wakes = self.scheduler.wakes_at(now);
        let left = wakes.and_then(|wakes| Duration::try_from(wakes.duration_since(now)).ok());
        let longest = match self.led_both_ways().next() {
            Some(_) => NOTICE,
            None => LOOK_UP,
        };
        left.map_or(longest, |left| left.min(longest))
    }

    /// The names of flows that lead both ways: each is one of the two.
    fn led_both_ways(&self) -> impl Iterator<Item = &String> {
        let config = &self.layered.config;
        self.flows.iter().filter(|name| config.whole(name) != *name)
    }

    /// Somebody chose what is to become of a conflict and left that to whoever writes the ledger.
    fn notice_choices(&mut self, now: Timestamp) {
        let layered = &self.layered;
        let file = choices::beside(&layered.base.join(&layered.config.ledger.file));
        let is_left = std::fs::metadata(file).is_ok_and(|left| left.len() > 0);
        // A pass takes them when it begins; whoever makes one is told after it.
        let rests = |name: &&String| !self.running.contains_key(*name);
        let names: Vec<String> = match is_left {
            true => self.led_both_ways().filter(rests).cloned().collect(),
            false => return,
        };
        for name in names {
            self.scheduler.ring(&name, now);
        }
    }

    fn hear(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Ring(flow) => self.scheduler.ring(&flow, now),
            Event::Heard(flow) => {
                let config = self.layered.config.flow(&flow).ok();
                let is_all = config.is_some_and(|config| match config.heard(&flow) {
                    Heard::Folder { by_all, .. } => by_all,
                    Heard::Library(_) => true,
                });
                self.scheduler.is_rung_for(&flow, is_all);
            }
            Event::Deaf(flow) => self.scheduler.is_rung_for(&flow, false),
            Event::Planned(flow) => self.scheduler.planned(&flow),
            Event::Rung(endpoint) => {
                let config = &self.layered.config;
                for name in &self.flows {
                    let flow = config.flow(name).ok();
                    if flow.is_some_and(|flow| flow.hears_of(name) == endpoint) {
                        self.scheduler.ring(name, now);
                    }
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Start { flow, pass, .. } => self.start(flow, pass),
            Order::Stop { flow, why } => {
                tracing::info!(flow, why, "a pass is asked to end");
                if let Some((_, cancel)) = self.running.get(&flow) {
                    cancel.cancel();
                }
            }
            Order::Look { flow } => {
                if let Some((bell, _)) = self.running.get(&flow) {
                    bell.ring();
                }
            }
        }
    }

    fn start(&mut self, flow: String, pass: Pass) {
        tracing::info!(flow, ?pass, "a pass begins");
        let (cancel, planned) = (CancellationToken::new(), CancellationToken::new());
        let bell = Arc::<Bell>::default();
        let bulk_is_open = self.scheduler.rate(&flow, Timestamp::now()) != Rate::Off;
        let setup = Setup {
            pass,
            layered: Arc::clone(&self.layered),
            edition: self.edition,
            shared: Arc::clone(&self.shared),
            kept: self.kept.remove(&flow),
            // What a sweep is for does not wait behind bulk, and bulk not for a window that is closed.
            resumes: pass == Pass::Full && bulk_is_open,
            cancel: cancel.clone(),
            planned: planned.clone(),
            bell: Arc::clone(&bell),
            idle: Arc::clone(self.idle.entry(flow.clone()).or_default()),
            stop_now: self.stop_now.clone(),
            out: self.out,
            gauges: Arc::clone(self.board.gauges()),
            flow: flow.clone(),
        };
        let telling = tell_when(planned, Event::Planned(flow.clone()), self.sender.clone());
        let told = flow.clone();
        self.passes.spawn(async move {
            let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
            let making = AbortOnDropHandle::new(tokio::spawn(pass::make(setup)));
            // A pass that breaks is one that failed, and no reason to end all others.
            let broken = |error| Passed::broken(told, pass, error);
            making.await.unwrap_or_else(broken)
        });
        self.board.gauges().begin(&flow);
        self.running.insert(flow, (bell, cancel));
    }

    async fn passed(&mut self, passed: std::result::Result<Passed, JoinError>) -> Result<()> {
        let Passed {
            flow,
            pass,
            outcome,
            due,
            did,
            error,
            kept,
            left,
        } = passed.map_err(|error| {
            Error::new(Kind::Unexpected, "a pass ended abnormally").with_source(error)
        })?;
        self.running.remove(&flow);
        self.board.gauges().end(&flow);
        self.board.keep(&flow, left);
        self.kept.extend(kept.map(|kept| (flow.clone(), kept)));
        self.tell(&flow, pass, &outcome, did, error.as_ref())?;
        let ended = PassEnded {
            outcome,
            due,
            jitter: rand::random(),
        };
        self.scheduler.ended(&flow, Timestamp::now(), ended);
        let standings = self.scheduler.standings(Timestamp::now());
        let standing = standings.iter().find(|standing| standing.flow == flow);
        if let Some(as_of) = standing.and_then(|standing| standing.complete_as_of)
            && let Err(error) = notes::complete(self.ledger.as_ref(), &flow, as_of).await
        {
            // The next pass writes a later one, and will say what is wrong with the ledger.
            tracing::warn!(flow, error = %error.chain(), "it cannot be kept how complete a flow is");
        }
        Ok(())
    }

    /// Says what a pass did, if it did anything.
    fn tell(
        &self,
        flow: &str,
        pass: Pass,
        outcome: &PassOutcome,
        did: Did,
        error: Option<&Error>,
    ) -> Result<()> {
        #[derive(Serialize)]
        struct Told<'a> {
            flow: &'a str,
            pass: Pass,
            ended: &'a str,
            done: u64,
            withdrawn: u64,
            held: u64,
            failed: u64,
            bytes_moved: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<String>,
        }
        let ended = match outcome {
            PassOutcome::Done { .. } => "done",
            PassOutcome::Stopped => "stopped",
            PassOutcome::Failed(_) => "failed",
        };
        if did.is_nothing() && ended == "done" {
            tracing::info!(flow, ?pass, "a pass found nothing to do");
            return Ok(());
        }
        if self.out.json {
            return self.out.record(
                "pass",
                &Told {
                    flow,
                    pass,
                    ended,
                    done: did.done,
                    withdrawn: did.withdrawn,
                    held: did.held,
                    failed: did.failed,
                    bytes_moved: did.moved.bytes(),
                    error: error.map(Error::chain),
                },
            );
        }
        match error {
            Some(error) => {
                let hint = error.hint().map(|hint| format!("; {hint}"));
                let hint = hint.unwrap_or_default();
                self.out
                    .say(&format!("{flow}: the pass failed: {}{hint}", error.chain()));
            }
            None => self.out.say(&format!(
                "{flow}: {} placed or changed, {} withdrawn, {} held, {} failed, {} moved{}",
                did.done,
                did.withdrawn,
                did.held,
                did.failed,
                did.moved,
                match outcome {
                    PassOutcome::Stopped => "; it goes on later",
                    PassOutcome::Done { .. } | PassOutcome::Failed(_) => "",
                },
            )),
        }
        Ok(())
    }

    /// Lets bytes move as fast as windows say.
    fn set_rates(&self, now: Timestamp) {
        for (flow, throttle) in &self.throttles {
            let rate = match self.scheduler.rate(flow, now) {
                Rate::Unlimited => None,
                Rate::AtMost(rate) => Some(rate),
                // No bulk begins, and what still ends goes on at the rate that it has.
                Rate::Off => continue,
            };
            if throttle.rate() != rate {
                throttle.set_rate(rate);
            }
        }
    }

    fn drain(&mut self) {
        let drain = self.layered.config.watch.drain;
        self.out.say(&format!(
            "stopping: what is in flight gets {drain} s to end; once more stops at once"
        ));
        self.scheduler.drain();
        self.listeners.clear();
        self.drained = Some(Instant::now() + Duration::from_secs(drain));
    }

    /// Drops what is in flight. What was acknowledged is kept all the same.
    async fn stop_at_once(&mut self) -> Result<Ended> {
        self.out
            .say("stopping at once; the next start goes on from here");
        self.stop_now.cancel();
        let ending = async { while self.passes.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ending).await.is_err() {
            self.passes.shutdown().await;
        }
        Ok(Ended::WithFailures)
    }

    /// Takes another configuration, if it is in order; else the old one goes on.
    async fn reload(&mut self) {
        match self.reloaded().await {
            Ok(()) => self.out.say("the configuration was read again"),
            Err(error) => {
                self.out
                    .say("the new configuration is not in order, and the old one goes on:");
                self.out.error(&error);
            }
        }
    }

    async fn reloaded(&mut self) -> Result<()> {
        let layered = read(self.global)?;
        let flows = super::flows(&self.args.flows, &layered, self.out)?;
        // Whatever could be refused is refused before anything is taken.
        for name in &flows {
            rules::rules(name, &layered.config)?;
        }
        let (old, new) = (&self.layered.config, &layered.config);
        let place = |config: &crate::config::Config| {
            (
                config.ledger.file.clone(),
                config.ledger.url.clone(),
                config.watch.listen,
            )
        };
        if place(old) != place(new) {
            self.out
                .say("ledger and watch.listen count only after the next start");
        }
        self.layered = Arc::new(layered);
        self.edition += 1;
        self.apply(flows).await
    }

    /// Writes down what calls cost.
    async fn close(&mut self) {
        self.listeners.clear();
        for kept in std::mem::take(&mut self.kept).into_values() {
            kept.forget().await;
        }
    }
}

/// Tells the loop something once a token is cancelled.
async fn tell_when(token: CancellationToken, event: Event, events: mpsc::Sender<Event>) {
    token.cancelled().await;
    // Nobody listens where the daemon ends.
    drop(events.send(event).await);
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}
