//! A ledger without a file: the reference that the durable one is compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use uuid::Uuid;

use crate::asset::{Asset, AssetId, AssetPath, Cursor};
use crate::clock::{Clock, SystemClock};
use crate::conflict::{Conflict, NewConflict, Resolution};
use crate::digest::ContentHash;
use crate::error::{Error, Kind, Result};
use crate::journal::{CallCount, Note, Noted, Unfinished};
use crate::ledger::{
    ContentRecord, Hold, LOST_LEASES_MAX, LeasedStep, Ledger, NewStep, Outcome, Placement, RunId,
    RunRecord, RunState, Sharing, StepId, StepRecord, StepReport, StepState, Tally, Withdrawal,
    WorkerId,
};
use crate::plan::Action;
use crate::proof::{
    CustodyEvent, CustodyRecord, FactsWanted, ReasonCount, RunFacts, RunOrigin, Slice,
};
use crate::spool::{MemorySpool, Spool};

/// A [`Ledger`] that lives as long as the value. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    id: Uuid,
    clock: Arc<dyn Clock>,
    lost_leases_max: u32,
    book: Arc<Mutex<Book>>,
}

impl Default for MemoryLedger {
    fn default() -> Self {
        MemoryLedger::new(Arc::new(SystemClock))
    }
}

impl MemoryLedger {
    /// An empty ledger that reads the time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MemoryLedger {
            id: Uuid::now_v7(),
            clock,
            lost_leases_max: LOST_LEASES_MAX,
            book: Arc::default(),
        }
    }

    /// Sets how many lost leases a step survives; at least 1.
    #[must_use]
    pub fn with_lost_leases_max(mut self, max: u32) -> Self {
        self.lost_leases_max = max.max(1);
        self
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn open(&self) -> Result<MutexGuard<'_, Book>> {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.closed {
            return Err(Error::new(Kind::Unexpected, "the ledger is closed"));
        }
        Ok(book)
    }
}

/// Everything that is recorded. Times are epoch milliseconds.
#[derive(Debug, Default)]
struct Book {
    closed: bool,
    /// In the order of their start.
    runs: Vec<RunRecord>,
    steps: BTreeMap<StepId, Entry>,
    /// Steps that wait, by run, due time and id: the order in which they are taken.
    queue: BTreeSet<(RunId, i64, StepId)>,
    leased: BTreeSet<StepId>,
    contents: BTreeMap<ContentHash, ContentRecord>,
    placements: BTreeMap<(String, String, AssetId), Placement>,
    /// The step that placed each last.
    placed_by: BTreeMap<(String, String, AssetId), StepId>,
    withdrawals: BTreeMap<(String, String, AssetId), Withdrawal>,
    holds: BTreeMap<(String, String, AssetId), Hold>,
    /// By flow and subject.
    conflicts: BTreeMap<(String, AssetId), Conflict>,
    cursors: BTreeMap<String, Cursor>,
    notes: BTreeMap<StepId, Unfinished>,
    calls: BTreeMap<(String, String), u64>,
    custody: Vec<CustodyRecord>,
}

#[derive(Debug)]
struct Entry {
    run: RunId,
    record: StepRecord,
    payload: String,
    due: i64,
    worker: Option<WorkerId>,
    lease_until: i64,
    lost: u32,
}

impl Book {
    fn run(&mut self, run: RunId) -> Result<&mut RunRecord> {
        self.runs
            .iter_mut()
            .find(|record| record.id == run)
            .ok_or_else(|| Error::new(Kind::NotFound, format!("the ledger has no run {run}")))
    }

    fn gives_steps(&self, run: RunId) -> bool {
        self.runs
            .iter()
            .any(|record| record.id == run && record.state.gives_steps())
    }

    fn add(&mut self, run: RunId, step: &NewStep, now: i64) {
        let id = StepId(
            self.steps
                .last_key_value()
                .map_or(1, |(last, _)| last.0 + 1),
        );
        let record = StepRecord {
            id,
            action: step.action,
            reason: step.reason.clone(),
            state: step.state,
            attempt: 0,
            endpoint: step.endpoint.clone(),
            asset: step.asset.clone(),
            revision: step.revision.clone(),
            path: step.path.clone(),
            size: step.size,
            bytes_moved: 0,
            message: None,
            hint: None,
            error: None,
            placed: None,
            ended: step.state.is_terminal().then(|| instant(now)),
            took_ms: None,
        };
        if step.state == StepState::Open {
            self.queue.insert((run, now, id));
        }
        let entry = Entry {
            run,
            record,
            payload: step.payload.clone(),
            due: now,
            worker: None,
            lease_until: 0,
            lost: 0,
        };
        self.steps.insert(id, entry);
    }

    /// Takes the lease away from a step; what comes next is the caller's to say.
    fn unlease(&mut self, id: StepId) -> Option<&mut Entry> {
        self.leased.remove(&id);
        let entry = self.steps.get_mut(&id)?;
        entry.lease_until = 0;
        Some(entry)
    }

    fn requeue(&mut self, id: StepId, due: i64) {
        if let Some(entry) = self.unlease(id) {
            entry.record.state = StepState::Open;
            entry.due = due;
            let key = (entry.run, due, id);
            self.queue.insert(key);
        }
    }

    /// Whether this attempt holds the step.
    fn holds_step(&self, step: StepId, attempt: u32) -> bool {
        let entry = self.steps.get(&step);
        self.leased.contains(&step) && entry.is_some_and(|entry| entry.record.attempt == attempt)
    }

    /// Whether this attempt holds the step, or held it last and nobody has taken it since.
    fn held_step_last(&self, step: StepId, attempt: u32) -> bool {
        let held = |entry: &Entry| {
            entry.record.attempt == attempt && attempt > 0 && !entry.record.state.is_terminal()
        };
        self.steps.get(&step).is_some_and(held)
    }

    /// Keeps a note of a step of which the right attempt tells.
    fn keep(&mut self, step: StepId, what: &Noted) {
        let unfinished = self.notes.entry(step).or_default();
        match what {
            Noted::Session(session) => {
                unfinished.session = Some(session.clone());
                unfinished.parts.clear();
            }
            Noted::Part(part) => {
                let parts = &mut unfinished.parts;
                match parts.binary_search_by_key(&part.offset, |known| known.offset) {
                    Ok(at) => parts[at] = part.clone(),
                    Err(at) => parts.insert(at, part.clone()),
                }
            }
            Noted::Intent(digests) => unfinished.intent = Some(*digests),
            Noted::Restart => *unfinished = Unfinished::default(),
        }
    }

    /// Records an outcome of a step that is known to be leased by the right attempt. An attempt whose worker
    /// vanished took nobody knows how long.
    fn settle(&mut self, id: StepId, outcome: &Outcome, took: Option<Duration>, now: i64) {
        if !matches!(outcome, Outcome::Retry { .. }) {
            self.notes.remove(&id);
        }
        let event = match (outcome, took) {
            (_, None) => CustodyEvent::Lost,
            (Outcome::Done { .. } | Outcome::Withdrawn(_), _) => CustodyEvent::Done,
            (Outcome::Held { .. }, _) => CustodyEvent::Held,
            (Outcome::Failed { .. }, _) => CustodyEvent::Failed,
            (Outcome::Retry { .. }, _) => CustodyEvent::Retry,
        };
        self.note_custody(id, event, Some(outcome), took, now);
        let Some(entry) = self.unlease(id) else {
            return;
        };
        let record = &mut entry.record;
        record.took_ms = took.map(milliseconds);
        (record.message, record.hint, record.error) = (None, None, None);
        record.ended = Some(instant(now));
        match outcome {
            Outcome::Done {
                placement,
                bytes_moved,
            } => {
                record.state = StepState::Done;
                record.bytes_moved = *bytes_moved;
                record.placed = placement.as_ref().map(|placement| placement.placed.clone());
                if let Some(placement) = placement {
                    self.place(placement, id);
                }
            }
            Outcome::Withdrawn(withdrawal) => {
                record.state = StepState::Done;
                self.take_back(withdrawal, instant(now));
            }
            Outcome::Held { reason, hold } => {
                record.state = StepState::Held;
                record.message = Some(reason.clone());
                if let Some(hold) = hold {
                    let key = (
                        hold.flow.clone(),
                        hold.source.clone(),
                        hold.source_asset.clone(),
                    );
                    let hold = hold.as_ref().clone();
                    self.holds
                        .insert(key, hold.into_hold(reason.clone(), instant(now)));
                }
            }
            Outcome::Failed {
                kind,
                message,
                hint,
            } => {
                record.state = StepState::Failed;
                record.message = Some(message.clone());
                record.hint.clone_from(hint);
                record.error = Some(kind.code().to_owned());
            }
            Outcome::Retry { after, message } => {
                record.ended = None;
                record.message = Some(message.clone());
                self.requeue(id, later(now, *after));
            }
        }
    }

    fn note_custody(
        &mut self,
        id: StepId,
        event: CustodyEvent,
        outcome: Option<&Outcome>,
        took: Option<Duration>,
        now: i64,
    ) {
        let Some(entry) = self.steps.get(&id) else {
            return;
        };
        let record = &entry.record;
        let (placement, bytes_moved) = match outcome {
            Some(Outcome::Done {
                placement,
                bytes_moved,
            }) => (placement.as_deref(), *bytes_moved),
            Some(Outcome::Withdrawn(withdrawal)) => (Some(&withdrawal.placement), 0),
            _ => (None, 0),
        };
        // What was taken back is not there any more, however well that it was had been proved.
        let evidence = match outcome {
            Some(Outcome::Withdrawn(_)) => None,
            _ => placement.map(|placement| placement.placed.evidence),
        };
        let message = match outcome {
            Some(Outcome::Held { reason, .. }) => Some(reason.clone()),
            Some(Outcome::Failed { message, .. } | Outcome::Retry { message, .. }) => {
                Some(message.clone())
            }
            Some(Outcome::Withdrawn(withdrawal)) => Some(withdrawal.reason.clone()),
            Some(Outcome::Done { .. }) | None => None,
        };
        let record = CustodyRecord {
            id: self.custody.len() as i64 + 1,
            at: instant(now),
            run: entry.run,
            step: id,
            attempt: record.attempt,
            worker: entry.worker.as_ref().map(|worker| worker.0.to_string()),
            event,
            action: record.action,
            reason: record.reason.clone(),
            endpoint: record.endpoint.clone(),
            asset: record.asset.clone(),
            revision: record.revision.clone(),
            path: record.path.clone(),
            size: record.size,
            bytes_moved,
            took_ms: took.map(milliseconds),
            blake3: placement.map(|placement| placement.digests.blake3),
            content_hash: placement.and_then(|placement| placement.digests.content_hash),
            evidence,
            sink: placement.map(|placement| placement.sink.clone()),
            sink_asset: placement.map(|placement| placement.placed.asset.clone()),
            sink_revision: placement.map(|placement| placement.placed.revision.clone()),
            draft_digest: placement.map(|placement| placement.draft_digest),
            message,
        };
        self.custody.push(record);
    }

    fn place(&mut self, placement: &Placement, by: StepId) {
        let digests = &placement.digests;
        if let Some(content_hash) = digests.content_hash {
            self.contents.entry(content_hash).or_insert(ContentRecord {
                content_hash,
                blake3: digests.blake3,
                size: digests.size,
            });
        }
        let key = (
            placement.flow.clone(),
            placement.source.clone(),
            placement.source_asset.clone(),
        );
        self.holds.remove(&key);
        self.withdrawals.remove(&key);
        self.placed_by.insert(key.clone(), by);
        self.placements.insert(key, placement.clone());
    }

    /// What stands there by now as another asset of the sink is not what was taken back.
    fn take_back(&mut self, withdrawal: &Withdrawal, at: Timestamp) {
        let (flow, source, asset) = withdrawal.placement.of();
        let key = (flow.to_owned(), source.to_owned(), asset.clone());
        self.holds.remove(&key);
        let there = self.placements.get(&key);
        if there.is_some_and(|there| !withdrawal.is_of(there)) {
            return;
        }
        self.placements.remove(&key);
        self.placed_by.remove(&key);
        let withdrawal = Withdrawal {
            at,
            ..withdrawal.clone()
        };
        self.withdrawals.insert(key, withdrawal);
    }
}

impl Book {
    fn facts(&self, run: RunId, started: Timestamp, wanted: FactsWanted) -> RunFacts {
        let done: Vec<&CustodyRecord> = self
            .custody
            .iter()
            .filter(|record| record.run == run && record.event == CustodyEvent::Done)
            .collect();
        let mut facts = RunFacts::default();
        for record in &done {
            if let Some(evidence) = record.evidence {
                *facts.proved.entry(evidence).or_default() += 1;
            }
        }
        let after = |at: Timestamp| {
            let ms = at.as_millisecond().saturating_sub(started.as_millisecond());
            u64::try_from(ms).unwrap_or(0)
        };
        let last = done.iter().map(|record| after(record.at)).max();
        facts.slice_ms = (last.unwrap_or(0) + 1)
            .div_ceil(u64::from(wanted.slices.max(1)))
            .max(1);
        let mut slices: BTreeMap<u64, Slice> = BTreeMap::new();
        for record in &done {
            let from_ms = after(record.at) / facts.slice_ms * facts.slice_ms;
            let slice = slices.entry(from_ms).or_insert(Slice {
                from_ms,
                steps: 0,
                bytes_moved: 0,
            });
            slice.steps += 1;
            slice.bytes_moved += record.bytes_moved;
        }
        facts.slices = slices.into_values().collect();
        let records = self.steps.values().filter(|entry| entry.run == run);
        let records: Vec<&StepRecord> = records.map(|entry| &entry.record).collect();
        let mut slowest: Vec<&StepRecord> = records
            .iter()
            .copied()
            .filter(|record| record.state == StepState::Done && record.took_ms.is_some())
            .collect();
        slowest.sort_by_key(|record| (std::cmp::Reverse(record.took_ms), record.id));
        let slowest = slowest.into_iter().take(wanted.slowest as usize);
        facts.slowest = slowest.cloned().collect();
        let mut reasons: BTreeMap<(StepState, &str, Option<&str>), ReasonCount> = BTreeMap::new();
        for record in records {
            if !matches!(
                record.state,
                StepState::Skipped | StepState::Held | StepState::Failed
            ) {
                continue;
            }
            let reason = record.message.as_deref().unwrap_or(&record.reason);
            let key = (record.state, reason, record.error.as_deref());
            let count = reasons.entry(key).or_insert_with(|| ReasonCount {
                state: record.state,
                reason: reason.to_owned(),
                hint: None,
                error: record.error.clone(),
                steps: 0,
                bytes: 0,
                example: record.path.clone(),
            });
            count.steps += 1;
            count.bytes += record.size;
            count.example = count.example.clone().min(record.path.clone());
            count.hint = match (count.hint.take(), record.hint.clone()) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let mut reasons: Vec<ReasonCount> = reasons.into_values().collect();
        reasons.sort_by(|a, b| {
            let key = |count: &ReasonCount| (count.state.word(), count.reason.clone());
            b.steps.cmp(&a.steps).then_with(|| key(a).cmp(&key(b)))
        });
        let most = wanted.reasons as usize;
        facts.more_reasons = reasons.len().saturating_sub(most) as u64;
        reasons.truncate(most);
        facts.reasons = reasons;
        facts
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn id(&self) -> Result<String> {
        drop(self.open()?);
        Ok(self.id.simple().to_string())
    }

    async fn spool(&self) -> Result<Box<dyn Spool>> {
        Ok(Box::new(MemorySpool::default()))
    }

    async fn begin_run(&self, run: RunId, flow: &str) -> Result<()> {
        let started = instant(self.now_ms());
        let mut book = self.open()?;
        match book.run(run) {
            Ok(there) if there.flow == flow => Ok(()),
            Ok(there) => Err(Error::new(
                Kind::Conflict,
                format!("run {run} belongs to flow {}", there.flow),
            )),
            Err(_) => {
                book.runs.push(RunRecord {
                    id: run,
                    flow: flow.to_owned(),
                    state: RunState::Planning,
                    started,
                    finished: None,
                    unchanged: Tally::default(),
                    origin: None,
                });
                Ok(())
            }
        }
    }

    async fn add_steps(&self, run: RunId, steps: &[NewStep]) -> Result<()> {
        let now = self.now_ms();
        let mut book = self.open()?;
        let state = book.run(run)?.state;
        if !state.takes_steps() {
            return Err(Error::new(
                Kind::Conflict,
                format!("run {run} is {} and takes no steps", state.word()),
            ));
        }
        if steps.iter().any(|step| step.state == StepState::Leased) {
            return Err(Error::new(
                Kind::InvalidInput,
                "a new step cannot be leased already",
            ));
        }
        for step in steps {
            book.add(run, step, now);
        }
        Ok(())
    }

    async fn set_run_state(&self, run: RunId, state: RunState) -> Result<()> {
        let now = instant(self.now_ms());
        let mut book = self.open()?;
        let record = book.run(run)?;
        record.state = state;
        record.finished = match state {
            RunState::Finished => record.finished.or(Some(now)),
            _ => None,
        };
        Ok(())
    }

    async fn set_planned(&self, run: RunId, unchanged: Tally, origin: &RunOrigin) -> Result<()> {
        let mut book = self.open()?;
        let record = book.run(run)?;
        record.unchanged = unchanged;
        record.origin = Some(origin.clone());
        Ok(())
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>> {
        let book = self.open()?;
        Ok(book.runs.iter().find(|record| record.id == run).cloned())
    }

    async fn runs(&self, flow: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        let book = self.open()?;
        let of_flow = |record: &&RunRecord| flow.is_none_or(|flow| record.flow == flow);
        let newest = book.runs.iter().rev().filter(of_flow);
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn lease(
        &self,
        run: RunId,
        worker: &WorkerId,
        limit: u32,
        ttl: Duration,
    ) -> Result<Vec<LeasedStep>> {
        let now = self.now_ms();
        let mut book = self.open()?;
        if !book.gives_steps(run) {
            return Ok(Vec::new());
        }
        let first = (run, i64::MIN, StepId(i64::MIN));
        let last = (run, now, StepId(i64::MAX));
        let due = book.queue.range(first..=last).take(limit as usize);
        let due: Vec<_> = due.copied().collect();
        let mut leased = Vec::with_capacity(due.len());
        for key in due {
            book.queue.remove(&key);
            book.leased.insert(key.2);
            if let Some(entry) = book.steps.get_mut(&key.2) {
                entry.worker = Some(worker.clone());
                entry.lease_until = later(now, ttl);
                entry.record.state = StepState::Leased;
                entry.record.attempt += 1;
                leased.push(LeasedStep {
                    id: key.2,
                    attempt: entry.record.attempt,
                    action: entry.record.action,
                    size: entry.record.size,
                    payload: entry.payload.clone(),
                });
            }
        }
        Ok(leased)
    }

    async fn renew(&self, worker: &WorkerId, ttl: Duration) -> Result<()> {
        let until = later(self.now_ms(), ttl);
        let book = &mut *self.open()?;
        for id in &book.leased {
            if let Some(entry) = book.steps.get_mut(id)
                && entry.worker.as_ref() == Some(worker)
            {
                entry.lease_until = until;
            }
        }
        Ok(())
    }

    async fn reap(&self, run: RunId) -> Result<u64> {
        let now = self.now_ms();
        let mut book = self.open()?;
        let expired = |id: &&StepId| {
            let entry = book.steps.get(id);
            entry.is_some_and(|entry| entry.run == run && entry.lease_until <= now)
        };
        let expired: Vec<StepId> = book.leased.iter().filter(expired).copied().collect();
        for id in &expired {
            let lost = book.steps.get_mut(id).map_or(0, |entry| {
                entry.lost += 1;
                entry.lost
            });
            if lost >= self.lost_leases_max {
                book.settle(*id, &Outcome::lost(lost), None, now);
            } else {
                book.note_custody(*id, CustodyEvent::Lost, None, None, now);
                book.requeue(*id, now);
            }
        }
        Ok(expired.len() as u64)
    }

    async fn release(&self, worker: &WorkerId) -> Result<u64> {
        let mut book = self.open()?;
        let held = |id: &&StepId| {
            let entry = book.steps.get(id);
            entry.is_some_and(|entry| entry.worker.as_ref() == Some(worker))
        };
        let held: Vec<StepId> = book.leased.iter().filter(held).copied().collect();
        for id in &held {
            let due = book.steps.get(id).map_or(0, |entry| entry.due);
            book.requeue(*id, due);
        }
        Ok(held.len() as u64)
    }

    async fn finish(&self, reports: &[StepReport]) -> Result<Vec<bool>> {
        let now = self.now_ms();
        let mut book = self.open()?;
        let mut accepted = Vec::with_capacity(reports.len());
        for report in reports {
            let current = book.holds_step(report.id, report.attempt);
            if current {
                book.settle(report.id, &report.outcome, Some(report.took), now);
            }
            accepted.push(current);
        }
        Ok(accepted)
    }

    async fn note(&self, notes: &[Note]) -> Result<Vec<bool>> {
        notes.iter().try_for_each(Note::check)?;
        let mut book = self.open()?;
        let mut accepted = Vec::with_capacity(notes.len());
        for note in notes {
            let current = book.holds_step(note.step, note.attempt);
            if current {
                book.keep(note.step, &note.what);
            }
            accepted.push(current);
        }
        Ok(accepted)
    }

    fn jot(&self, note: &Note) -> Result<()> {
        note.check()?;
        let mut book = self.open()?;
        if book.held_step_last(note.step, note.attempt) {
            book.keep(note.step, &note.what);
        }
        Ok(())
    }

    async fn unfinished(&self, steps: &[StepId]) -> Result<Vec<Unfinished>> {
        let book = self.open()?;
        let noted = |step| {
            let mut unfinished = book.notes.get(step).cloned().unwrap_or_default();
            unfinished.drop_overlaps();
            unfinished
        };
        Ok(steps.iter().map(noted).collect())
    }

    async fn count_calls(&self, counts: &[CallCount]) -> Result<Vec<u64>> {
        let mut book = self.open()?;
        let mut count = |count: &CallCount| {
            let key = (count.account.clone(), count.month.clone());
            let calls = book.calls.entry(key).or_default();
            *calls = calls.saturating_add(count.calls);
            *calls
        };
        Ok(counts.iter().map(&mut count).collect())
    }

    async fn next_due(&self, run: RunId) -> Result<Option<Duration>> {
        let now = self.now_ms();
        let book = self.open()?;
        if !book.gives_steps(run) {
            return Ok(None);
        }
        let first = (run, i64::MIN, StepId(i64::MIN));
        let last = (run, i64::MAX, StepId(i64::MAX));
        let next = book.queue.range(first..=last).next();
        Ok(next.map(|(_, due, _)| {
            Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0))
        }))
    }

    async fn steps(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<StepRecord>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let book = self.open()?;
        let rest = book
            .steps
            .range((after.map_or(Unbounded, Excluded), Unbounded));
        let of_run = rest.filter(|(_, entry)| entry.run == run);
        let records = of_run.map(|(_, entry)| entry.record.clone());
        Ok(records.take(limit as usize).collect())
    }

    async fn tally(&self, run: RunId) -> Result<Vec<(StepState, Action, Tally)>> {
        let book = self.open()?;
        let mut sums: BTreeMap<(StepState, Action), Tally> = BTreeMap::new();
        for entry in book.steps.values().filter(|entry| entry.run == run) {
            let sum = sums
                .entry((entry.record.state, entry.record.action))
                .or_default();
            sum.steps += 1;
            sum.bytes += entry.record.size;
            sum.bytes_moved += entry.record.bytes_moved;
        }
        Ok(sums
            .into_iter()
            .map(|((state, action), tally)| (state, action, tally))
            .collect())
    }

    async fn steps_at(&self, run: RunId, path: &AssetPath) -> Result<Vec<(StepRecord, String)>> {
        let book = self.open()?;
        let entries = book.steps.values();
        let there = entries.filter(|entry| entry.run == run && entry.record.path == *path);
        Ok(there
            .map(|entry| (entry.record.clone(), entry.payload.clone()))
            .collect())
    }

    async fn unended(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<(StepRecord, String)>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let book = self.open()?;
        let rest = book
            .steps
            .range((after.map_or(Unbounded, Excluded), Unbounded));
        let of_run =
            rest.filter(|(_, entry)| entry.run == run && !entry.record.state.is_terminal());
        let both = of_run.map(|(_, entry)| (entry.record.clone(), entry.payload.clone()));
        Ok(both.take(limit as usize).collect())
    }

    async fn facts(&self, run: RunId, wanted: FactsWanted) -> Result<RunFacts> {
        let mut book = self.open()?;
        let started = book.run(run)?.started;
        Ok(book.facts(run, started, wanted))
    }

    async fn custody(
        &self,
        run: Option<RunId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CustodyRecord>> {
        let book = self.open()?;
        let records = book.custody.iter().filter(|record| {
            run.is_none_or(|run| record.run == run) && after.is_none_or(|after| record.id > after)
        });
        Ok(records.take(limit as usize).cloned().collect())
    }

    async fn attempts(&self, step: StepId) -> Result<Vec<CustodyRecord>> {
        let book = self.open()?;
        let records = book.custody.iter().filter(|record| record.step == step);
        Ok(records.cloned().collect())
    }

    async fn contents(&self, hashes: &[ContentHash]) -> Result<Vec<Option<ContentRecord>>> {
        let book = self.open()?;
        let known = |hash| book.contents.get(hash).cloned();
        Ok(hashes.iter().map(known).collect())
    }

    async fn placements(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Placement>>> {
        let book = self.open()?;
        let known = |asset: &AssetId| {
            let key = (flow.to_owned(), source.to_owned(), asset.clone());
            book.placements.get(&key).cloned()
        };
        Ok(assets.iter().map(known).collect())
    }

    async fn placements_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Placement>> {
        let book = self.open()?;
        let of_flow = book.placements.values().filter(|placement| {
            placement.flow == flow
                && placement.source == source
                && after.is_none_or(|after| placement.source_asset > *after)
        });
        Ok(of_flow.take(limit as usize).cloned().collect())
    }

    async fn withdrawals(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Withdrawal>>> {
        let book = self.open()?;
        let known = |asset: &AssetId| {
            let key = (flow.to_owned(), source.to_owned(), asset.clone());
            book.withdrawals.get(&key).cloned()
        };
        Ok(assets.iter().map(known).collect())
    }

    async fn withdrawals_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Withdrawal>> {
        let book = self.open()?;
        let of_flow = book.withdrawals.values().filter(|withdrawal| {
            let (of_flow, of_source, asset) = withdrawal.placement.of();
            of_flow == flow && of_source == source && after.is_none_or(|after| asset > after)
        });
        Ok(of_flow.take(limit as usize).cloned().collect())
    }

    async fn placed_as(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Vec<Placement>>> {
        let book = self.open()?;
        let of = |asset: &AssetId| {
            let all = book.placements.values();
            let there = all.filter(|p| p.sink == sink && p.placed.asset == *asset);
            there.cloned().collect()
        };
        Ok(assets.iter().map(of).collect())
    }

    async fn sharing(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Sharing>> {
        let book = self.open()?;
        let of = |asset: &AssetId| {
            let mut sharing = Sharing::default();
            let all = book.placements.values();
            for placement in all.filter(|p| p.sink == sink && p.placed.asset == *asset) {
                let key = placement.sort_key();
                if sharing.files == 0 || key < sharing.first {
                    sharing.first = key;
                }
                sharing.files += 1;
                sharing.is_owned |= !placement.linked;
                *sharing
                    .collections
                    .entry(placement.collection.key())
                    .or_default() += 1;
            }
            sharing
        };
        Ok(assets.iter().map(of).collect())
    }

    async fn holding(
        &self,
        sink: &str,
        contents: &[(u64, ContentHash)],
    ) -> Result<Vec<Option<Placement>>> {
        let book = self.open()?;
        let held = |(size, hash): &(u64, ContentHash)| {
            let all = book.placements.iter();
            let there = all.filter(|(_, p)| {
                let digests = &p.digests;
                p.sink == sink && digests.size == *size && digests.content_hash == Some(*hash)
            });
            let last = there.max_by_key(|(key, _)| book.placed_by.get(*key));
            last.map(|(_, placement)| placement.clone())
        };
        Ok(contents.iter().map(held).collect())
    }

    async fn holds_size(&self, sink: &str, sizes: &[u64]) -> Result<Vec<bool>> {
        let book = self.open()?;
        let held = |size: &u64| {
            let mut all = book.placements.values();
            all.any(|p| p.sink == sink && p.digests.size == *size)
        };
        Ok(sizes.iter().map(held).collect())
    }

    async fn unchanged(&self, flow: &str, source: &str, assets: &[Asset]) -> Result<Vec<bool>> {
        let ids: Vec<_> = assets.iter().map(|asset| asset.id.clone()).collect();
        let placements = self.placements(flow, source, &ids).await?;
        let book = self.open()?;
        let is_anothers = |linked: &Placement| {
            let mut all = book.placements.values();
            all.any(|p| !p.linked && p.sink == linked.sink && p.placed.asset == linked.placed.asset)
        };
        let same = |(asset, placement): (&Asset, &Option<Placement>)| {
            placement.as_ref().is_some_and(|p| {
                (&p.source_revision, &p.source_path) == (&asset.revision, &asset.path)
                    && (!p.linked || is_anothers(p))
            })
        };
        Ok(assets.iter().zip(&placements).map(same).collect())
    }

    async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>> {
        let book = self.open()?;
        let known = |asset: &AssetId| {
            let key = (flow.to_owned(), source.to_owned(), asset.clone());
            book.holds.get(&key).cloned()
        };
        Ok(assets.iter().map(known).collect())
    }

    async fn note_conflicts(&self, conflicts: &[NewConflict]) -> Result<()> {
        let now = instant(self.now_ms());
        let mut book = self.open()?;
        let mut last = BTreeMap::new();
        for found in conflicts {
            for side in [&found.file, &found.asset] {
                i64::try_from(side.size).map_err(|_| {
                    let message = format!("{} bytes are more than any asset has", side.size);
                    Error::new(Kind::InvalidInput, message)
                })?;
            }
            last.insert((found.flow.clone(), found.subject.clone()), found);
        }
        for (key, found) in last {
            let met = Conflict::met(found.clone(), book.conflicts.get(&key), now);
            book.conflicts.insert(key, met);
        }
        Ok(())
    }

    async fn conflicts(
        &self,
        flow: Option<&str>,
        after: Option<(&str, &AssetId)>,
        limit: u32,
    ) -> Result<Vec<Conflict>> {
        let book = self.open()?;
        let wanted = book.conflicts.iter().filter(|((of_flow, subject), _)| {
            flow.is_none_or(|flow| flow == of_flow)
                && after.is_none_or(|after| (of_flow.as_str(), subject) > after)
        });
        let wanted = wanted.map(|(_, conflict)| conflict.clone());
        Ok(wanted.take(limit as usize).collect())
    }

    async fn resolve_conflict(
        &self,
        conflict: &NewConflict,
        resolution: Option<Resolution>,
    ) -> Result<bool> {
        let mut book = self.open()?;
        let key = (conflict.flow.clone(), conflict.subject.clone());
        let there = book.conflicts.get_mut(&key);
        let Some(there) = there.filter(|there| there.found.is_same(conflict)) else {
            return Ok(false);
        };
        there.resolution = resolution;
        Ok(true)
    }

    async fn end_conflicts(&self, flow: &str, subjects: &[AssetId]) -> Result<()> {
        let mut book = self.open()?;
        for subject in subjects {
            book.conflicts.remove(&(flow.to_owned(), subject.clone()));
        }
        Ok(())
    }

    async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        Ok(self.open()?.cursors.get(name).cloned())
    }

    async fn set_cursor(&self, name: &str, cursor: Option<&Cursor>) -> Result<()> {
        let mut book = self.open()?;
        match cursor {
            Some(cursor) => book.cursors.insert(name.to_owned(), cursor.clone()),
            None => book.cursors.remove(name),
        };
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.closed = true;
        Ok(())
    }
}

fn later(now_ms: i64, by: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn instant(epoch_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(epoch_ms).unwrap_or(Timestamp::MAX)
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
