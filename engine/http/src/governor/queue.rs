//! Who goes next: one state behind one lock, changed in ordinary code by [`State::pump`].
//!
//! A call goes when nothing pauses it, the rate has a token and its lane has a place. Among those that
//! wait for nothing but the rate, the highest priority goes first and the oldest within it; one grant in
//! [`trickle`](super::GovernorOptions::trickle) goes to a priority that was passed over all the while. All maps are
//! ordered and there is no clock but the one handed in, so the same calls at the same times are granted in
//! the same order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::options::{GovernorOptions, LaneOptions, Priority};
use super::pace::Pace;
use super::state::{GovernorSnapshot, GovernorState, Waiting};
use super::width::Width;

/// Delivered calls are counted by the second, over as many seconds.
const DELIVERED_SECONDS: u64 = 10;

/// A pause beyond what a clock can hold is a century; the caller's patience ends it long before.
const PAUSE_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) type LaneId = u64;
pub(super) type WaiterId = u64;

/// What wakes up after the lock is released.
pub(super) type Wakers = Vec<Waker>;

#[derive(Debug)]
struct Lane {
    width: Width,
    in_use: usize,
    paused_until: Option<Instant>,
    queues: [BTreeSet<WaiterId>; 3],
}

impl Lane {
    fn is_full(&self) -> bool {
        self.in_use >= self.width.now()
    }

    fn is_waited_for(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_empty())
    }
}

#[derive(Debug)]
struct Waiter {
    lane: LaneId,
    priority: Priority,
    granted: Option<Instant>,
    waker: Option<Waker>,
}

/// What a waiter learns when it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has a place and may send.
    Go(Instant),
    /// It waits, and nothing goes before this instant.
    Paused(Instant),
    /// It waits.
    Wait,
}

#[derive(Debug)]
pub(super) struct State {
    trickle: u32,
    pace: Pace,
    origin: Option<Instant>,
    paused_until: Option<Instant>,
    lanes: BTreeMap<LaneId, Lane>,
    waiters: BTreeMap<WaiterId, Waiter>,
    /// How many of them were not granted yet.
    ungranted: BTreeSet<WaiterId>,
    next_id: u64,
    /// Grants to others since each priority had one, counted while it could have gone.
    passed_over: [u32; 3],
    /// The one waiter that keeps the timer, and the instant it keeps it for.
    timekeeper: Option<WaiterId>,
    armed_for: Option<Instant>,
    calls: u64,
    limited: u64,
    delivered: VecDeque<(u64, u32)>,
}

impl State {
    pub(super) fn new(options: GovernorOptions, known: Option<&GovernorState>) -> Self {
        State {
            trickle: options.trickle,
            pace: Pace::new(options, known),
            origin: None,
            paused_until: None,
            lanes: BTreeMap::new(),
            waiters: BTreeMap::new(),
            ungranted: BTreeSet::new(),
            next_id: 0,
            passed_over: [0; 3],
            timekeeper: None,
            armed_for: None,
            calls: 0,
            limited: 0,
            delivered: VecDeque::new(),
        }
    }

    // Lanes.

    pub(super) fn open_lane(&mut self, options: &LaneOptions) -> LaneId {
        let id = self.fresh_id();
        let lane = Lane {
            width: Width::new(options.start, options.max),
            in_use: 0,
            paused_until: None,
            queues: Default::default(),
        };
        self.lanes.insert(id, lane);
        id
    }

    /// Forgets a lane that nobody can use any more.
    pub(super) fn close_lane(&mut self, lane: LaneId) {
        self.lanes.remove(&lane);
    }

    pub(super) fn in_use(&self, lane: LaneId) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.in_use)
    }

    pub(super) fn width(&self, lane: LaneId) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.width.now())
    }

    /// Nothing of the account, or of the lane, goes for so long. An earlier, longer pause stays. Every waiter is
    /// told, for each has its own patience.
    pub(super) fn pause(&mut self, lane: Option<LaneId>, now: Instant, wait: Duration) -> Wakers {
        let until = now + wait.min(PAUSE_MAX);
        let pause = match lane {
            None => Some(&mut self.paused_until),
            Some(lane) => self.lanes.get_mut(&lane).map(|lane| &mut lane.paused_until),
        };
        if let Some(pause) = pause {
            *pause = (*pause).max(Some(until));
        }
        self.armed_for = None;
        self.ungranted
            .iter()
            .filter_map(|id| self.waiters.get(id)?.waker.clone())
            .collect()
    }

    /// How long the account still pauses.
    pub(super) fn paused_for(&self, now: Instant) -> Duration {
        left(self.paused_until, now)
    }

    /// How long the lane alone still pauses.
    pub(super) fn lane_paused_for(&self, lane: LaneId, now: Instant) -> Duration {
        left(
            self.lanes.get(&lane).and_then(|lane| lane.paused_until),
            now,
        )
    }

    // Waiters.

    /// Joins the queue.
    pub(super) fn join(&mut self, lane: LaneId, priority: Priority) -> WaiterId {
        let id = self.fresh_id();
        let waiter = Waiter {
            lane,
            priority,
            granted: None,
            waker: None,
        };
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.queues[priority.index()].insert(id);
        }
        self.waiters.insert(id, waiter);
        self.ungranted.insert(id);
        id
    }

    /// Whether it is this waiter's turn; if not, `waker` is kept. Grants what can be granted.
    pub(super) fn turn(&mut self, id: WaiterId, now: Instant, waker: &Waker) -> (Turn, Wakers) {
        let mut wakers = self.pump(now);
        let paused = self.paused_until;
        let Some(waiter) = self.waiters.get_mut(&id) else {
            return (Turn::Wait, wakers);
        };
        if let Some(at) = waiter.granted {
            self.waiters.remove(&id);
            wakers.extend(self.retire(id));
            return (Turn::Go(at), wakers);
        }
        match &mut waiter.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        let lane = self.lanes.get(&waiter.lane);
        let until = paused.max(lane.and_then(|lane| lane.paused_until));
        match until.filter(|until| *until > now) {
            Some(until) => (Turn::Paused(until), wakers),
            None => (Turn::Wait, wakers),
        }
    }

    /// When this waiter is to look again, if it is the one that keeps the timer. Call after `turn`.
    pub(super) fn timer(&mut self, id: WaiterId, now: Instant) -> Option<Instant> {
        if *self.timekeeper.get_or_insert(id) != id {
            return None;
        }
        self.armed_for = self.next_change(now);
        self.armed_for
    }

    /// Leaves the queue, with what was granted but not used.
    pub(super) fn leave(&mut self, id: WaiterId, now: Instant) -> Wakers {
        let Some(waiter) = self.waiters.remove(&id) else {
            return Wakers::new();
        };
        self.ungranted.remove(&id);
        if let Some(lane) = self.lanes.get_mut(&waiter.lane) {
            lane.queues[waiter.priority.index()].remove(&id);
        }
        let mut wakers = Wakers::new();
        if let Some(at) = waiter.granted {
            wakers = self.unsent(waiter.lane, at, now);
        }
        wakers.extend(self.retire(id));
        wakers
    }

    // Places.

    /// A call that had a place was not sent.
    pub(super) fn unsent(&mut self, lane: LaneId, granted: Instant, now: Instant) -> Wakers {
        let granted = self.seconds(granted);
        self.pace.put_back(granted);
        self.give_place_back(lane);
        self.calls -= 1;
        self.pump(now)
    }

    /// A call ended that moved `bytes` of content; `None` if it came to nothing.
    pub(super) fn ended(&mut self, lane: LaneId, now: Instant, bytes: Option<u64>) -> Wakers {
        let at = self.seconds(now);
        if let (Some(lane), Some(bytes)) = (self.lanes.get_mut(&lane), bytes) {
            lane.width.completed(at, bytes);
        }
        self.give_place_back(lane);
        self.pump(now)
    }

    /// A call was answered, and not refused for its rate.
    pub(super) fn answered(&mut self, now: Instant) {
        let second = self.seconds(now) as u64;
        match self.delivered.back_mut() {
            Some((at, count)) if *at == second => *count += 1,
            _ => self.delivered.push_back((second, 1)),
        }
        self.forget_delivered(second);
    }

    /// A call was refused for the account's rate.
    pub(super) fn limited(&mut self, now: Instant, sent_at: Instant) {
        let (now, sent_at) = (self.seconds(now), self.seconds(sent_at));
        self.limited += 1;
        self.pace.limited(now, sent_at);
    }

    /// A call of the lane was told that it is too much.
    pub(super) fn overloaded(&mut self, lane: LaneId, now: Instant, sent_at: Instant) {
        let (now, sent_at) = (self.seconds(now), self.seconds(sent_at));
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.width.refused(now, sent_at);
        }
    }

    // What is seen from outside.

    pub(super) fn state(&self) -> Option<GovernorState> {
        self.pace.state()
    }

    /// The rate that holds calls back, if one waits for nothing else.
    pub(super) fn holding_rate(&self) -> Option<f64> {
        self.pace.holds_back().then(|| self.pace.rate())
    }

    pub(super) fn snapshot(&mut self, now: Instant) -> GovernorSnapshot {
        let second = self.seconds(now);
        self.forget_delivered(second as u64);
        let answered: u64 = self.delivered.iter().map(|(_, n)| u64::from(*n)).sum();
        let mut waiting = Waiting::default();
        for id in &self.ungranted {
            match self.waiters.get(id).map(|waiter| waiter.priority) {
                Some(Priority::Interactive) => waiting.interactive += 1,
                Some(Priority::Delta) => waiting.delta += 1,
                Some(Priority::Bulk) => waiting.bulk += 1,
                None => {}
            }
        }
        GovernorSnapshot {
            rate: self.pace.ceiling().map(|_| self.pace.rate()),
            ceiling: self.pace.ceiling(),
            delivered: answered as f64 / second.clamp(1.0, DELIVERED_SECONDS as f64),
            calls: self.calls,
            limited: self.limited,
            paused_for: self.paused_for(now),
            in_flight: self.lanes.values().map(|lane| lane.in_use).sum(),
            waiting,
            budget: None,
        }
    }

    // Helpers.

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Seconds since the first call. Taken lazily: a governor may be made before the runtime's clock is.
    fn seconds(&mut self, at: Instant) -> f64 {
        let origin = *self.origin.get_or_insert(at);
        at.saturating_duration_since(origin).as_secs_f64()
    }

    fn forget_delivered(&mut self, second: u64) {
        while (self.delivered.front()).is_some_and(|(at, _)| at + DELIVERED_SECONDS <= second) {
            self.delivered.pop_front();
        }
    }

    fn give_place_back(&mut self, lane: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.in_use -= 1;
            if lane.in_use == 0 && !lane.is_waited_for() {
                lane.width.at_rest();
            }
        }
    }

    /// Grants whatever can go now, and sees to it that somebody keeps the timer for the rest.
    fn pump(&mut self, now: Instant) -> Wakers {
        let mut wakers = Wakers::new();
        let at = self.seconds(now);
        match self.paused_until {
            Some(until) if until > now => return wakers,
            Some(until) => {
                let until = self.seconds(until);
                self.pace.resume(until);
                self.paused_until = None;
            }
            None => {}
        }
        loop {
            let first = self.first_in_line(now);
            let next = self.choose(&first);
            if !self.pace.ready(at, next.is_some()) {
                break;
            }
            let Some((chosen, id)) = next else { break };
            self.pace.take(at);
            self.count_passed_over(&first, chosen);
            wakers.extend(self.grant(id, now, at));
        }
        wakers.extend(self.wake_timekeeper(now));
        wakers
    }

    fn grant(&mut self, id: WaiterId, now: Instant, at: f64) -> Option<Waker> {
        self.calls += 1;
        self.ungranted.remove(&id);
        let waiter = self.waiters.get_mut(&id)?;
        waiter.granted = Some(now);
        let waker = waiter.waker.take();
        let lane = self.lanes.get_mut(&waiter.lane)?;
        lane.queues[waiter.priority.index()].remove(&id);
        lane.in_use += 1;
        lane.width.began(at);
        waker
    }

    /// Of each priority, the oldest waiter that waits for nothing but the rate.
    fn first_in_line(&mut self, now: Instant) -> [Option<WaiterId>; 3] {
        let mut first: [Option<WaiterId>; 3] = [None; 3];
        for lane in self.lanes.values_mut() {
            if !lane.is_waited_for() {
                continue;
            }
            if lane.is_full() {
                lane.width.was_full();
                continue;
            }
            if lane.paused_until.is_some_and(|until| until > now) {
                continue;
            }
            for (first, queue) in first.iter_mut().zip(&lane.queues) {
                if let Some(id) = queue.first() {
                    *first = Some(first.map_or(*id, |known: WaiterId| known.min(*id)));
                }
            }
        }
        first
    }

    /// Who goes next, if the rate lets one go.
    fn choose(&self, first: &[Option<WaiterId>; 3]) -> Option<(usize, WaiterId)> {
        let starved = (0..3)
            .rev()
            .find(|p| first[*p].is_some() && self.passed_over[*p] + 1 >= self.trickle);
        let chosen = starved.or_else(|| (0..3).find(|p| first[*p].is_some()))?;
        Some((chosen, first[chosen]?))
    }

    fn count_passed_over(&mut self, first: &[Option<WaiterId>; 3], chosen: usize) {
        for (p, passed_over) in self.passed_over.iter_mut().enumerate() {
            if p == chosen {
                *passed_over = 0;
            } else if p > chosen && first[p].is_some() {
                *passed_over = passed_over.saturating_add(1);
            }
        }
    }

    /// Wakes a waiter that sets the timer, if the timer has to change.
    fn wake_timekeeper(&mut self, now: Instant) -> Option<Waker> {
        let next = self.next_change(now)?;
        if self.armed_for.is_some_and(|armed| armed <= next) && self.timekeeper.is_some() {
            return None;
        }
        let id = match self.timekeeper {
            Some(id) => id,
            None => *self.ungranted.first()?,
        };
        self.waiters.get(&id)?.waker.clone()
    }

    /// A waiter is gone. If it kept the timer, another one has to.
    fn retire(&mut self, id: WaiterId) -> Option<Waker> {
        if self.timekeeper != Some(id) {
            return None;
        }
        self.timekeeper = None;
        self.armed_for = None;
        let next = self.ungranted.first()?;
        self.waiters.get(next)?.waker.clone()
    }

    /// When waiting alone changes something: a pause ends, or the rate has a token.
    fn next_change(&mut self, now: Instant) -> Option<Instant> {
        if self.ungranted.is_empty() {
            return None;
        }
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(until);
        }
        let mut next: Option<Instant> = None;
        for lane in self.lanes.values() {
            if !lane.is_waited_for() || lane.is_full() {
                continue;
            }
            let at = match lane.paused_until.filter(|until| *until > now) {
                Some(until) => until,
                None => now + Duration::from_secs_f64(self.pace.ready_in()),
            };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next
    }
}

fn left(until: Option<Instant>, now: Instant) -> Duration {
    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
}
