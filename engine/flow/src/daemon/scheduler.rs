//! The scheduler: which pass of which flow begins or ends now, and when to ask again.
//!
//! Each flow makes one pass at a time. Whoever wants one while it runs makes one more afterwards, however many they are.
//! Where several flows want to go, each has a moment until which it is patient, by its priority and by what it wants;
//! who has the earliest goes first, so nobody waits for ever. Sweeps have a place of their own beside the full passes,
//! because what may not be seen any more does not wait for bulk. A full pass is stopped, and goes on later, when its
//! window closes and when a sweep of the same flow has become due by time; while it still plans it is let be, or
//! a flow whose planning takes longer than that would never come to an end. Who works and is rung for is asked to look beside
//! that, so that a change does not wait for the end of something large.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::order::{Order, PassEnded, PassOutcome};
use super::rules::{FlowRules, Pass, Priority, Trigger};
use super::standing::{Doing, LastPass, Standing, Upcoming};
use super::windows::Rate;

/// How long a flow waits after a pass that failed as a whole; doubled for each further one.
const WAIT_MIN: Duration = Duration::from_secs(5);

/// The longest such wait: an account that is locked all night is found open a quarter of an hour later.
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// The soonest that a flow is looked at again because of a right that ends: one that has ended, and whose file cannot be
/// taken back yet, is no reason to do nothing else.
const DUE_MIN: Duration = Duration::from_secs(10);

/// Decides when flows make passes. See the module.
#[derive(Debug)]
pub struct Scheduler {
    at_once: usize,
    flows: BTreeMap<String, Flow>,
    draining: bool,
}

/// A pass that somebody wants.
#[derive(Clone, Copy, Debug)]
struct Want {
    since: Timestamp,
    why: Trigger,
}

/// A pass that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    pass: Pass,
    why: Trigger,
    began: Timestamp,
    /// Its plan is complete.
    planned: bool,
    /// Something may have changed since it was asked to look.
    rung: bool,
    stopping: bool,
}

impl Running {
    /// Whether it works, and looks beside that when it is asked to.
    fn looks_beside(&self) -> bool {
        self.pass == Pass::Full && self.planned && !self.stopping
    }
}

#[derive(Debug)]
struct Flow {
    rules: FlowRules,
    /// What holds from its next pass on; `Some(None)` where it is no flow any more then.
    pending: Option<Option<FlowRules>>,
    full: Option<Want>,
    sweep: Option<Want>,
    running: Option<Running>,
    failures: u32,
    not_before: Option<Timestamp>,
    last: Option<LastPass>,
    /// Whether a pass came to its end since the daemon began.
    has_passed: bool,
    /// Whether somebody rings for it, so that nobody has to look.
    is_rung_for: bool,
    complete_as_of: Option<Timestamp>,
    /// From when on intervals count: the end of the last full pass, so that long ones do not follow each other.
    full_from: Timestamp,
    /// The beginning of the last pass: what it looked at is that old.
    sweep_from: Timestamp,
    /// The end of the last pass.
    poll_from: Timestamp,
    scheduled: Option<Timestamp>,
    due: Option<Timestamp>,
}

impl Scheduler {
    /// A scheduler without flows that lets so many full passes run at once, at least 1, and one sweep beside them.
    pub fn new(at_once: usize) -> Self {
        Scheduler {
            at_once: at_once.max(1),
            flows: BTreeMap::new(),
            draining: false,
        }
    }

    /// Changes how many full passes may run at once. Those that run go on.
    pub fn set_at_once(&mut self, at_once: usize) {
        self.at_once = at_once.max(1);
    }

    /// Adds a flow, or gives it other rules; while it makes a pass they wait for the pass to end.
    pub fn configure(&mut self, rules: FlowRules, now: Timestamp) {
        match self.flows.get_mut(&rules.flow) {
            Some(flow) if flow.running.is_some() => flow.pending = Some(Some(rules)),
            Some(flow) => flow.set_rules(rules, now),
            None => {
                let name = rules.flow.clone();
                self.flows.insert(name, Flow::new(rules, now));
            }
        }
    }

    /// Forgets a flow; a pass that it makes is let come to its end.
    pub fn remove(&mut self, flow: &str) {
        match self.flows.get_mut(flow) {
            Some(known) if known.running.is_some() => known.pending = Some(None),
            Some(_) => drop(self.flows.remove(flow)),
            None => {}
        }
    }

    /// Says until when a flow was complete, as it is known from before; what is known now stays.
    pub fn recall(&mut self, flow: &str, complete_as_of: Option<Timestamp>) {
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.complete_as_of = flow.complete_as_of.or(complete_as_of);
        }
    }

    /// Something of this flow may have changed.
    pub fn ring(&mut self, flow: &str, now: Timestamp) {
        if let Some(flow) = self.flows.get_mut(flow)
            && let Some(pass) = flow.rules.on_ring
        {
            flow.want(pass, now, Trigger::Ring);
            flow.look_beside();
        }
    }

    /// Whether somebody rings for this flow from now on. While nobody does, somebody looks every so often.
    pub fn is_rung_for(&mut self, flow: &str, is_rung_for: bool) {
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.is_rung_for = is_rung_for;
        }
    }

    /// The plan of a pass that runs is complete.
    pub fn planned(&mut self, flow: &str) {
        if let Some(running) = self.running_mut(flow) {
            running.planned = true;
        }
    }

    /// A pass ended.
    pub fn ended(&mut self, name: &str, now: Timestamp, ended: PassEnded) {
        let Some(flow) = self.flows.get_mut(name) else {
            return;
        };
        flow.ended(now, ended);
        match flow.pending.take() {
            None => {}
            Some(Some(rules)) => flow.set_rules(rules, now),
            Some(None) => drop(self.flows.remove(name)),
        }
    }

    /// No pass begins any more.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no pass begins any more.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether no pass runs.
    pub fn is_at_rest(&self) -> bool {
        self.flows.values().all(|flow| flow.running.is_none())
    }

    /// What is to be done at this moment.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Order> {
        let mut orders = Vec::new();
        for (name, flow) in &mut self.flows {
            flow.come_due(now);
            if let Some(why) = flow.stop_for(now, self.draining) {
                orders.push(Order::Stop {
                    flow: name.clone(),
                    why,
                });
            }
            if flow.is_to_look() {
                orders.push(Order::Look { flow: name.clone() });
            }
        }
        if self.draining {
            return orders;
        }
        for (name, pass) in self.in_turn(now) {
            if !self.has_room(pass) {
                match self.running(Pass::Full) < self.at_once {
                    // Sweeps are in the way: the next place is this one's, not that of sweeps behind it.
                    true => break,
                    false => continue,
                }
            }
            if let Some(flow) = self.flows.get_mut(&name) {
                let why = flow.start(pass, now);
                orders.push(Order::Start {
                    flow: name,
                    pass,
                    why,
                });
            }
        }
        orders
    }

    /// When to ask again at the latest, if nothing happens before; after `now`.
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let moments = self.flows.values().flat_map(|flow| flow.moments(now));
        let moments = moments.map(|(moment, _)| moment);
        moments.filter(|moment| *moment > now).min()
    }

    /// At which rate a flow may move bytes now.
    pub fn rate(&self, flow: &str, now: Timestamp) -> Rate {
        let flow = self.flows.get(flow);
        flow.map_or(Rate::Unlimited, |flow| flow.rules.windows.at(now).rate)
    }

    /// How each flow stands, in the order of names.
    pub fn standings(&self, now: Timestamp) -> Vec<Standing> {
        let flows = self.flows.iter();
        flows
            .map(|(name, flow)| flow.standing(name, now, self))
            .collect()
    }

    /// The passes that could begin, those that should first at the front.
    fn in_turn(&self, now: Timestamp) -> Vec<(String, Pass)> {
        let mut ready: Vec<(Timestamp, &String, Pass)> = self
            .flows
            .iter()
            .filter_map(|(name, flow)| {
                let (pass, want) = flow.ready(now)?;
                let patience = patience(pass, flow.rules.priority, want.why);
                Some((later(want.since, patience), name, pass))
            })
            .collect();
        ready.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let in_turn = ready
            .into_iter()
            .map(|(_, name, pass)| (name.clone(), pass));
        in_turn.collect()
    }

    /// Whether a pass may begin beside those that run.
    fn has_room(&self, pass: Pass) -> bool {
        let (full, sweeps) = (self.running(Pass::Full), self.running(Pass::Sweep));
        let has_place = full + sweeps < self.at_once + 1;
        match pass {
            Pass::Full => has_place && full < self.at_once,
            Pass::Sweep => has_place,
        }
    }

    fn running(&self, pass: Pass) -> usize {
        let running = self.flows.values().filter_map(|flow| flow.running);
        running.filter(|running| running.pass == pass).count()
    }

    fn running_mut(&mut self, flow: &str) -> Option<&mut Running> {
        self.flows.get_mut(flow)?.running.as_mut()
    }
}

impl Flow {
    fn new(rules: FlowRules, now: Timestamp) -> Self {
        let mut flow = Flow {
            pending: None,
            full: None,
            sweep: None,
            running: None,
            failures: 0,
            not_before: None,
            last: None,
            has_passed: false,
            is_rung_for: false,
            complete_as_of: None,
            full_from: now,
            sweep_from: now,
            poll_from: now,
            scheduled: None,
            due: None,
            rules,
        };
        flow.look_up_schedule(now);
        flow.want_at_start(now);
        flow
    }

    fn set_rules(&mut self, rules: FlowRules, now: Timestamp) {
        self.rules = rules;
        self.look_up_schedule(now);
        // Whatever made passes fail may be mended.
        self.not_before = None;
        self.want_at_start(now);
    }

    fn want_at_start(&mut self, now: Timestamp) {
        let Some(pass) = self.rules.at_start else {
            return;
        };
        self.want(pass, now, Trigger::Start);
        if self.rules.sweep_every.is_some() && !self.bulk_is_open(now) {
            self.want(Pass::Sweep, now, Trigger::Start);
        }
    }

    fn look_up_schedule(&mut self, now: Timestamp) {
        let times = self.rules.schedule.iter();
        self.scheduled = times.filter_map(|schedule| schedule.after(now)).min();
    }

    fn want(&mut self, pass: Pass, now: Timestamp, why: Trigger) {
        let slot = match pass {
            Pass::Full => &mut self.full,
            Pass::Sweep => &mut self.sweep,
        };
        match slot {
            // Since when it is wanted stays; what is urgent makes it urgent.
            Some(want) if why.is_change() && !want.why.is_change() => want.why = why,
            Some(_) => {}
            None => *slot = Some(Want { since: now, why }),
        }
    }

    /// Turns what has become due by time into wants.
    fn come_due(&mut self, now: Timestamp) {
        if self.scheduled.is_some_and(|at| at <= now) {
            self.look_up_schedule(now);
            self.want(Pass::Full, now, Trigger::Schedule);
        }
        if self.due.is_some_and(|at| at <= now) {
            self.due = None;
            self.want(self.rules.on_due, now, Trigger::Due);
        }
        if !self.runs_in_full() && is_over(self.full_from, self.rules.full_every, now) {
            self.full_from = now;
            self.want(Pass::Full, now, Trigger::Interval);
        }
        if is_over(self.sweep_from, self.rules.sweep_every, now) {
            self.sweep_from = now;
            self.want(Pass::Sweep, now, Trigger::Interval);
        }
        if self.may_poll()
            && let Some(pass) = self.rules.on_ring
            && is_over(self.poll_from, self.polls_every(), now)
        {
            self.poll_from = now;
            match self.running {
                None => self.want(pass, now, Trigger::Poll),
                Some(_) => self.look_beside(),
            }
        }
    }

    /// Why a pass that runs is to end now; says so once.
    fn stop_for(&mut self, now: Timestamp, draining: bool) -> Option<String> {
        let is_open = self.bulk_is_open(now);
        let is_overtaken = self
            .sweep
            .is_some_and(|want| matches!(want.why, Trigger::Interval | Trigger::Due));
        let running = self.running.as_mut().filter(|running| !running.stopping)?;
        let is_full = running.pass == Pass::Full;
        let why = match () {
            () if draining => "the daemon ends",
            () if is_full && !is_open => "its window has closed",
            () if is_full && is_overtaken && running.planned => "a sweep of the same flow is due",
            () => return None,
        };
        running.stopping = true;
        Some(why.to_owned())
    }

    /// Whoever runs is to look at what may have changed, if a ring asks for all that a flow does.
    fn look_beside(&mut self) {
        let asks_for_all = self.rules.on_ring == Some(Pass::Full);
        if let Some(running) = self.running.as_mut().filter(|_| asks_for_all) {
            running.rung = true;
        }
    }

    /// Whether a pass that works is to look at what may have changed; says so once.
    fn is_to_look(&mut self) -> bool {
        let working = self.running.as_mut().filter(|one| one.looks_beside());
        working.is_some_and(|running| std::mem::take(&mut running.rung))
    }

    /// Whether somebody looks every so often now, where nobody rings: at rest, and beside what works.
    fn may_poll(&self) -> bool {
        let running = self.running.as_ref();
        running.is_none_or(Running::looks_beside)
    }

    fn polls_every(&self) -> Option<Duration> {
        self.rules.poll.filter(|_| !self.is_rung_for)
    }

    /// Whether it has done what it does at the beginning, or waits for nothing but its time.
    fn is_settled(&self, now: Timestamp) -> bool {
        let waits_for_window =
            self.running.is_none() && self.sweep.is_none() && !self.bulk_is_open(now);
        self.has_passed || self.rules.at_start.is_none() || waits_for_window
    }

    fn runs_in_full(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.pass == Pass::Full)
    }

    fn bulk_is_open(&self, now: Timestamp) -> bool {
        self.rules.windows.at(now).rate != Rate::Off
    }

    /// The pass that it would begin.
    fn ready(&self, now: Timestamp) -> Option<(Pass, Want)> {
        let is_held = self.not_before.is_some_and(|until| until > now);
        if self.running.is_some() || is_held {
            return None;
        }
        if let Some(want) = self.sweep {
            return Some((Pass::Sweep, want));
        }
        let want = self.full.filter(|_| self.bulk_is_open(now))?;
        Some((Pass::Full, want))
    }

    /// Begins a pass, which does all that is wanted and that it covers; why it was wanted.
    fn start(&mut self, pass: Pass, now: Timestamp) -> Trigger {
        let sweep = self.sweep.take();
        let full = match pass {
            Pass::Full => self.full.take(),
            Pass::Sweep => None,
        };
        self.sweep_from = now;
        let want = full.or(sweep);
        let why = want.map_or(Trigger::Interval, |want| want.why);
        self.running = Some(Running {
            pass,
            why,
            began: now,
            planned: false,
            rung: false,
            stopping: false,
        });
        why
    }

    fn ended(&mut self, now: Timestamp, ended: PassEnded) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.poll_from = now;
        if running.pass == Pass::Full {
            self.full_from = now;
        }
        self.last = Some(LastPass::new(
            running.pass,
            running.began,
            now,
            &ended.outcome,
        ));
        match ended.outcome {
            PassOutcome::Done { .. } => {
                self.failures = 0;
                self.not_before = None;
                self.has_passed = true;
                self.due = ended.due.map(|due| due.max(later(now, DUE_MIN)));
                if running.pass == Pass::Full {
                    self.complete_as_of = Some(running.began);
                }
            }
            PassOutcome::Stopped => self.want(running.pass, running.began, Trigger::Again),
            PassOutcome::Failed(_) => {
                self.not_before = Some(later(now, backoff(self.failures, ended.jitter)));
                self.failures = self.failures.saturating_add(1);
                self.want(running.pass, running.began, Trigger::Again);
            }
        }
    }

    /// When something changes for it by time alone, and what; those that are past count nothing.
    fn moments(&self, now: Timestamp) -> Vec<(Timestamp, Upcoming)> {
        let rules = &self.rules;
        let every = |from, every: Option<Duration>| every.map(|every| later(from, every));
        let runs_in_full = self.runs_in_full();
        let window = (self.full.is_some() || runs_in_full).then(|| rules.windows.at(now).until);
        let full_every = rules.full_every.filter(|_| !runs_in_full);
        let poll = self.polls_every().filter(|_| self.may_poll());
        let poll = poll.filter(|_| rules.on_ring.is_some());
        let moments = [
            (self.scheduled, Upcoming::Schedule),
            (self.due, Upcoming::Due),
            (every(self.full_from, full_every), Upcoming::Full),
            (every(self.sweep_from, rules.sweep_every), Upcoming::Sweep),
            (every(self.poll_from, poll), Upcoming::Look),
            (self.not_before, Upcoming::Again),
            (window.flatten(), Upcoming::Window),
        ];
        let known = |(at, what): (Option<Timestamp>, Upcoming)| Some((at?, what));
        moments.into_iter().filter_map(known).collect()
    }

    fn standing(&self, name: &str, now: Timestamp, of: &Scheduler) -> Standing {
        let (doing, why, mut next) = self.described(now, of);
        if next.is_none() {
            let moments = self.moments(now).into_iter();
            next = moments
                .filter(|(moment, _)| *moment > now)
                .min_by_key(|(moment, _)| *moment);
        }
        let wanted = self.sweep.or(self.full);
        let allowed = self.rules.windows.at(now);
        Standing {
            flow: name.to_owned(),
            doing,
            why,
            pass: self.running.map(|running| running.pass),
            trigger: match self.running {
                Some(running) => Some(running.why),
                None => wanted.map(|want| want.why),
            },
            next: next.map(|(moment, _)| moment),
            next_is: next.map(|(_, what)| what),
            rate: allowed.rate,
            rate_until: allowed.until,
            rung_for: self.is_rung_for,
            failures: self.failures,
            settled: self.is_settled(now),
            last: self.last.clone(),
            complete_as_of: self.complete_as_of,
        }
    }

    /// What it does, why, and when that changes where it is known.
    fn described(
        &self,
        now: Timestamp,
        of: &Scheduler,
    ) -> (Doing, String, Option<(Timestamp, Upcoming)>) {
        if let Some(running) = self.running {
            let what = match running.pass {
                Pass::Full => "a full pass",
                Pass::Sweep => "a sweep",
            };
            let (doing, how) = match running.stopping {
                true => (Doing::Stopping, "is asked to end"),
                false => (Doing::Running, "runs"),
            };
            let why = format!("{what} {how} that began at {}", said(running.began));
            return (doing, why, None);
        }
        if of.draining {
            return (Doing::Idle, "the daemon ends".to_owned(), None);
        }
        if self.full.is_none() && self.sweep.is_none() {
            return (Doing::Idle, self.idle(), None);
        }
        if let Some(until) = self.not_before.filter(|until| *until > now) {
            let why = format!(
                "waits until {} after {} that failed: {}",
                said(until),
                match self.failures {
                    1 => "a pass".to_owned(),
                    many => format!("{many} passes"),
                },
                self.last
                    .as_ref()
                    .and_then(|last| last.error.as_deref())
                    .unwrap_or("it is not known why"),
            );
            return (Doing::Waiting, why, Some((until, Upcoming::Again)));
        }
        if self.ready(now).is_none() {
            let until = self.rules.windows.at(now).until;
            let why = match until {
                Some(until) => format!("its window is closed until {}", said(until)),
                None => "its windows are closed for ever".to_owned(),
            };
            let opens = until.map(|until| (until, Upcoming::Window));
            return (Doing::Waiting, why, opens);
        }
        let running = of.running(Pass::Full) + of.running(Pass::Sweep);
        let why = format!("waits for its turn: {running} passes are under way");
        (Doing::Waiting, why, None)
    }

    fn idle(&self) -> String {
        match (self.rules.on_ring, self.polls_every()) {
            (Some(_), None) => "waits for changes".to_owned(),
            (Some(_), Some(_)) => "looks for changes now and then".to_owned(),
            (None, _) => "waits for its time".to_owned(),
        }
    }
}

/// How long somebody can wait for a place while others go. All ends, so nobody waits for ever.
fn patience(pass: Pass, priority: Priority, why: Trigger) -> Duration {
    let seconds = match (pass, why.is_change(), priority) {
        (Pass::Sweep, _, Priority::High) => 0,
        (Pass::Sweep, _, Priority::Normal) => 30,
        (Pass::Sweep, _, Priority::Low) => 120,
        (Pass::Full, true, Priority::High) => 10,
        (Pass::Full, true, Priority::Normal) => 60,
        (Pass::Full, true, Priority::Low) => 600,
        (Pass::Full, false, Priority::High) => 120,
        (Pass::Full, false, Priority::Normal) => 900,
        (Pass::Full, false, Priority::Low) => 3_600,
    };
    Duration::from_secs(seconds)
}

/// How long to wait after a further failure: doubled up to a bound, and between half of that and all of it.
fn backoff(failures: u32, jitter: f64) -> Duration {
    let doubled = WAIT_MIN.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
    doubled
        .min(WAIT_MAX)
        .mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

fn is_over(from: Timestamp, every: Option<Duration>, now: Timestamp) -> bool {
    every.is_some_and(|every| later(from, every) <= now)
}

/// A moment so much later; the last there is where that is beyond it.
fn later(from: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A moment as people read it.
fn said(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
