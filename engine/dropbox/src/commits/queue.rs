//! Which commits go next, and when: decided on plain values.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use windlass_core::Error;

use super::{Order, Settled, Work};

/// When commits are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The most that travel together.
    pub(crate) entries_max: usize,
    /// How long those that are ready wait, from the last arrival on, for more that were announced.
    pub(crate) idle: Duration,
    /// How long the first of them waits at most.
    pub(crate) age: Duration,
    /// How long a commit is tried in all: while others write, or while its answers are lost.
    pub(crate) patience: Duration,
}

/// A commit in the queue.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) order: Order,
    /// The folded path: two commits of one path never travel together.
    pub(super) key: String,
    /// The key of the first one that it travelled with last: what was put off together comes back together.
    pub(super) with: Arc<str>,
    pub(super) since: Instant,
    pub(super) not_before: Instant,
    /// How often it was put off because its answer was lost.
    pub(super) rounds: u32,
    /// The first answer that was lost.
    pub(super) lost: Option<Error>,
    /// Its target is looked at before it is sent.
    pub(super) look: bool,
    /// Its session was closed after the fact.
    pub(super) closed: bool,
    /// It travels in a call of its own.
    pub(super) alone: bool,
    id: u64,
    reply: Option<oneshot::Sender<Settled>>,
}

impl Job {
    pub(super) fn new(order: Order, key: String, reply: oneshot::Sender<Settled>) -> Self {
        let now = Instant::now();
        Job {
            order,
            with: key.as_str().into(),
            key,
            since: now,
            not_before: now,
            rounds: 0,
            lost: None,
            look: false,
            closed: false,
            alone: false,
            id: 0,
            reply: Some(reply),
        }
    }

    /// Tells whoever waits, if he still does.
    pub(super) fn answer(&mut self, settled: Settled) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        if reply.send(settled).is_err() {
            let path = &self.order.commit.path;
            tracing::debug!(path, "nobody waits for this commit any more");
        }
    }

    /// Which jobs may travel with it; `None` for one that travels alone.
    fn kind(&self) -> Option<Kind> {
        match self.order.work {
            _ if self.alone => None,
            Work::Finish { .. } => Some(Kind::Finish),
            Work::Copy { .. } => Some(Kind::Copy),
            Work::Upload { .. } => None,
        }
    }

    fn waited_for(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }
}

/// What travels with its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Finish,
    Copy,
}

/// The commits of one namespace that are not under way.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which they came; those tried again are at the end.
    jobs: VecDeque<Job>,
    /// Commits that will come soon.
    pub(super) announced: usize,
    arrived: Option<Instant>,
    paused_until: Option<Instant>,
    locked_times: u32,
    next_id: u64,
    working: bool,
}

/// What becomes of the worker when a job arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// There is none: start one.
    Start,
    /// It may have something to do.
    Ring,
    /// It has nothing more to do than before.
    Quiet,
}

/// What the worker does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing is left; the worker ends.
    Rest,
    /// Nothing before this instant, unless something arrives.
    Wait(Instant),
    /// These, in one call.
    Send(Vec<Job>),
}

impl Queue {
    /// Puts a job at the end; its id, and what the worker has to know.
    pub(super) fn put(&mut self, mut job: Job, rules: &Rules) -> (u64, Put) {
        self.next_id += 1;
        job.id = self.next_id;
        self.arrived = Some(job.since);
        // Copies are not announced, so no announcement that ends wakes anybody for them.
        let alone = job.kind() != Some(Kind::Finish);
        self.jobs.push_back(job);
        let put = match std::mem::replace(&mut self.working, true) {
            false => Put::Start,
            true if alone || self.announced == 0 || self.jobs.len() >= rules.entries_max => {
                Put::Ring
            }
            // It wakes when it wanted to, and sees that more arrived.
            true => Put::Quiet,
        };
        (self.next_id, put)
    }

    /// Puts a job that was tried back at the end.
    pub(super) fn again(&mut self, job: Job) {
        if job.waited_for() {
            self.jobs.push_back(job);
        }
    }

    /// Takes a job out whose owner left; whether it was here.
    pub(super) fn withdraw(&mut self, id: u64) -> bool {
        let before = self.jobs.len();
        self.jobs.retain(|job| job.id != id);
        self.jobs.len() < before
    }

    /// Lets everybody go whom a worker that ended abnormally left behind.
    pub(super) fn worker_ended(&mut self) {
        if std::mem::take(&mut self.working) {
            self.jobs.clear();
        }
    }

    /// Nothing is sent before `until`.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |at| at.max(until)));
    }

    /// How long nothing is sent yet, while something waits for it.
    pub(super) fn paused_for(&self, now: Instant) -> Duration {
        match self.paused_until.filter(|_| !self.jobs.is_empty()) {
            Some(until) => until.saturating_duration_since(now),
            None => Duration::ZERO,
        }
    }

    /// How many commits wait because their answers were lost, and until when the first of them does.
    pub(super) fn unsure(&self) -> (usize, Option<Instant>) {
        let lost = self.jobs.iter().filter(|job| job.lost.is_some());
        (lost.clone().count(), lost.map(|job| job.not_before).min())
    }

    /// Counts a lock; how many there were in a row.
    pub(super) fn locked_again(&mut self) -> u32 {
        self.locked_times += 1;
        self.locked_times
    }

    pub(super) fn unlocked(&mut self) {
        self.locked_times = 0;
    }

    /// Decides what goes next, and takes it out.
    pub(super) fn next(&mut self, now: Instant, rules: &Rules) -> Next {
        self.jobs.retain(Job::waited_for);
        let Some(earliest) = self.jobs.iter().map(|job| job.not_before).min() else {
            self.working = false;
            return Next::Rest;
        };
        let start = self
            .paused_until
            .map_or(earliest, |until| until.max(earliest));
        if start > now {
            return Next::Wait(start);
        }
        let mut first_ripe: Option<Instant> = None;
        for kind in [Kind::Finish, Kind::Copy] {
            let together = self.due(now, kind, rules.entries_max);
            let Some(oldest) = together.iter().map(|&at| self.jobs[at].since).min() else {
                continue;
            };
            let arrived = self.arrived.unwrap_or(oldest);
            let ripe = (arrived + rules.idle).min(oldest + rules.age);
            // Finishes that may follow were announced; of copies nobody knows how many come.
            let is_last = kind == Kind::Finish && self.announced == 0;
            if is_last || together.len() == rules.entries_max || now >= ripe {
                return Next::Send(self.take(&together));
            }
            first_ripe = Some(first_ripe.map_or(ripe, |first| first.min(ripe)));
        }
        let alone = |job: &Job| job.not_before <= now && job.kind().is_none();
        match (self.jobs.iter().position(alone), first_ripe) {
            (Some(at), _) => Next::Send(self.take(&[at])),
            (None, Some(ripe)) => Next::Wait(ripe),
            // The earliest is due, and it is neither.
            (None, None) => unreachable!("every job travels alone or with its like"),
        }
    }

    /// Where the jobs of a kind are that could go now: each path once.
    fn due(&self, now: Instant, kind: Kind, most: usize) -> Vec<usize> {
        let mut paths = HashSet::new();
        let due = self.jobs.iter().enumerate().filter(|(_, job)| {
            job.not_before <= now && job.kind() == Some(kind) && paths.insert(job.key.as_str())
        });
        due.map(|(at, _)| at).take(most).collect()
    }

    /// Takes jobs out by their places, which ascend.
    fn take(&mut self, places: &[usize]) -> Vec<Job> {
        let mut places = places.iter().peekable();
        let mut taken = Vec::with_capacity(places.len());
        let mut left = VecDeque::with_capacity(self.jobs.len());
        for (at, job) in self.jobs.drain(..).enumerate() {
            match places.next_if(|&&place| place == at) {
                Some(_) => taken.push(job),
                None => left.push_back(job),
            }
        }
        self.jobs = left;
        taken
    }
}
