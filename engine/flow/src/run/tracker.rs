//! How far a run is, how fast it goes, and since when nothing moves.
//!
//! Plain bookkeeping of the loop. *There* is where the bar stands: contents that are settled, and of those in
//! flight what the sink has, brought by this attempt or an earlier one. *Moved* is what this process really sent;
//! rates are of that.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use windlass_core::RunId;
use windlass_transfer::Gauges;

use super::rate::Rate;
use crate::observe::RunStatus;

/// How long nothing may move before somebody says why, and how often it is said again.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Tracker {
    status: RunStatus,
    settled_bytes: u64,
    bytes: Rate,
    steps: Rate,
    /// When rates were brought up to date last, and what came since.
    rated: Instant,
    rated_moved: u64,
    rated_ended: u64,
    /// Bytes that the observer was told of.
    told_moved: u64,
    /// What the engine had read and pushed when it was looked at last: also sees what is read back.
    engine_bytes: u64,
    /// When anything moved last.
    stirred: Instant,
    /// When it was said last why nothing does.
    said: Instant,
    /// Steps that wait to be tried again, by when.
    again: BTreeMap<Instant, u64>,
}

impl Tracker {
    /// The start of a run that has this much open.
    pub(super) fn new(run: RunId, steps: u64, bytes: u64) -> Self {
        let now = Instant::now();
        Tracker {
            status: RunStatus {
                run,
                steps,
                steps_ended: 0,
                bytes,
                bytes_there: 0,
                bytes_moved: 0,
                in_flight: 0,
                waiting_to_try_again: 0,
                stalls: 0,
                bytes_per_second: 0.0,
                time_left: None,
                why: None,
            },
            settled_bytes: 0,
            bytes: Rate::default(),
            steps: Rate::default(),
            rated: now,
            rated_moved: 0,
            rated_ended: 0,
            told_moved: 0,
            engine_bytes: 0,
            stirred: now,
            said: now,
            again: BTreeMap::new(),
        }
    }

    /// The run has more to do.
    pub(super) fn grow(&mut self, steps: u64, bytes: u64) {
        self.status.steps += steps;
        self.status.bytes += bytes;
    }

    /// Something moved.
    pub(super) fn stir(&mut self) {
        self.stirred = Instant::now();
        self.status.why = None;
    }

    /// The sink took bytes.
    pub(super) fn moved(&mut self, bytes: u64) {
        if bytes > 0 {
            self.status.bytes_moved += bytes;
            self.stir();
        }
    }

    /// A step is over.
    pub(super) fn ended(&mut self, bytes: u64) {
        self.status.steps_ended += 1;
        self.settled_bytes += bytes;
        self.stir();
    }

    /// A step is tried again at some time.
    pub(super) fn again(&mut self, at: Instant) {
        *self.again.entry(at).or_default() += 1;
        self.stir();
    }

    /// An attempt did not move for too long.
    pub(super) fn stalled(&mut self) {
        self.status.stalls += 1;
    }

    /// When the next step that failed here is due, and how many wait.
    pub(super) fn next_again(&mut self) -> Option<(Instant, u64)> {
        let now = Instant::now();
        self.again = self.again.split_off(&(now + Duration::from_nanos(1)));
        let first = *self.again.keys().next()?;
        Some((first, self.again.values().sum()))
    }

    /// Bytes that moved since this was asked last.
    pub(super) fn take_moved(&mut self) -> u64 {
        let more = self.status.bytes_moved - self.told_moved;
        self.told_moved = self.status.bytes_moved;
        more
    }

    /// Brings figures up to date. `there` is what sinks have of contents in flight.
    pub(super) fn tick(&mut self, in_flight: usize, there: u64, gauges: &Gauges) {
        let engine_bytes = gauges.bytes_fetched + gauges.bytes_pushed;
        if engine_bytes != self.engine_bytes {
            self.engine_bytes = engine_bytes;
            self.stir();
        }
        let now = Instant::now();
        let over = now - self.rated;
        let (moved, ended) = (self.status.bytes_moved, self.status.steps_ended);
        self.bytes.add(moved - self.rated_moved, over);
        self.steps.add(ended - self.rated_ended, over);
        (self.rated, self.rated_moved, self.rated_ended) = (now, moved, ended);
        let waiting = self.next_again().map_or(0, |(_, steps)| steps);
        let status = &mut self.status;
        status.waiting_to_try_again = waiting;
        status.in_flight = in_flight as u64;
        status.bytes_there = (self.settled_bytes + there).min(status.bytes);
        status.bytes_per_second = self.bytes.per_second();
        // Large files are bound by bytes, small ones by calls: whichever takes longer.
        let bytes_left = status.bytes - status.bytes_there;
        let steps_left = status.steps.saturating_sub(status.steps_ended);
        let by_bytes = self.bytes.time_for(bytes_left);
        let by_steps = match status.steps_ended {
            // No file has ended yet: they say nothing about time.
            0 => Some(Duration::ZERO),
            _ => self.steps.time_for(steps_left),
        };
        status.time_left = by_bytes.zip(by_steps).map(|(a, b)| a.max(b));
    }

    /// Whether it is time to say why nothing moves.
    pub(super) fn is_silent(&self) -> bool {
        self.stirred.max(self.said).elapsed() >= SILENT_AFTER
    }

    /// It is being said.
    pub(super) fn say(&mut self, why: String) {
        self.said = Instant::now();
        self.status.why = Some(why);
    }

    pub(super) fn status(&self) -> &RunStatus {
        &self.status
    }
}

/// What of one attempt's bytes was counted as moved.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// What an earlier attempt brought there, until it was seen in the progress.
    recalled: u64,
    pushed: u64,
    moved: u64,
}

impl Counted {
    /// Of an attempt that may go on behind `recalled` bytes.
    pub(super) fn new(recalled: u64) -> Self {
        Counted {
            recalled,
            ..Counted::default()
        }
    }

    /// Takes in what the sink has by the attempt's progress. Answers how much of it is newly moved.
    pub(super) fn update(&mut self, pushed: u64) -> u64 {
        // Less than before: the transfer began again.
        let mut more = pushed.saturating_sub(self.pushed);
        if pushed < self.pushed {
            more = pushed;
        }
        self.pushed = pushed;
        if more > 0 {
            // A session that goes on shows all of its parts at once; one that began anew shows less at first.
            let recalled = std::mem::take(&mut self.recalled);
            more = more.checked_sub(recalled).unwrap_or(more);
        }
        self.moved += more;
        more
    }

    /// Takes in how much was moved in all, once that is known.
    pub(super) fn end(&mut self, bytes_moved: u64) -> u64 {
        let more = bytes_moved.saturating_sub(self.moved);
        self.moved += more;
        more
    }

    /// What the sink has.
    pub(super) fn there(&self) -> u64 {
        self.pushed
    }
}
