//! How many calls of one lane are under way at once: grown while that moves more, halved when the
//! far side says it is too much.
//!
//! Work is measured in *rounds*: as many completions as the lane was wide when the round began. While the
//! lane is full, a round that moved clearly more per second than the one before doubles the width; two
//! that did not take the last doubling back and end that, for the path is full and more would only queue: each
//! call would take twice as long. From then on, and after a halving, the width grows by an eighth a round, and is
//! taken back when that gains nothing.

/// What a call without content counts as, in bytes, so that calls/s and bytes/s are one measure: about
/// what moves during a round trip's fixed costs.
const CALL_BYTES: u64 = 64 << 10;

/// Doubling that gains less than this is not worth its memory. Generous, for a round is a noisy measure.
const GAIN_DOUBLED: f64 = 1.15;

/// As above for an eighth more.
const GAIN_ADDED: f64 = 1.02;

/// How many rounds the width rests at first after growth gained nothing; doubles up to the second.
const REST_ROUNDS: (u32, u32) = (8, 64);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Growth {
    /// Doubling; how many rounds in a row gained nothing.
    Doubling { flat: u32 },
    /// By an eighth; what to return to if it gains nothing.
    Adding { back_to: Option<usize> },
    /// Not for so many rounds.
    Resting { rounds: u32 },
}

#[derive(Debug)]
pub(super) struct Width {
    max: usize,
    now: usize,
    growth: Growth,
    rest: u32,
    halved_at: Option<f64>,
    /// Bytes/s of the last round that counted.
    before: Option<f64>,
    round_began: Option<f64>,
    round_target: usize,
    round_done: usize,
    round_bytes: u64,
    /// Whether a call waited for a place during this round.
    full: bool,
}

impl Width {
    pub(super) fn new(start: usize, max: usize) -> Self {
        let max = max.max(1);
        let now = start.clamp(1, max);
        Width {
            max,
            now,
            growth: Growth::Doubling { flat: 0 },
            rest: REST_ROUNDS.0,
            halved_at: None,
            before: None,
            round_began: None,
            round_target: now,
            round_done: 0,
            round_bytes: 0,
            full: false,
        }
    }

    /// The most calls at once.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// A call takes a place.
    pub(super) fn began(&mut self, now: f64) {
        if self.round_began.is_none() {
            self.begin_round(now);
        }
    }

    /// A call waits for a place.
    pub(super) fn was_full(&mut self) {
        self.full = true;
    }

    /// A call ended and moved so many bytes of content.
    pub(super) fn completed(&mut self, now: f64, bytes: u64) {
        self.round_done += 1;
        self.round_bytes = self.round_bytes.saturating_add(bytes.max(CALL_BYTES));
        let lasted = now - self.round_began.unwrap_or(now);
        // Less than a timer's tick is no measure.
        if self.round_done < self.round_target || lasted < 1e-3 {
            return;
        }
        if self.full {
            let rate = self.round_bytes as f64 / lasted;
            self.judge(rate);
            self.before = Some(rate);
        }
        self.begin_round(now);
    }

    /// Nobody is under way: what follows begins a round of its own.
    pub(super) fn at_rest(&mut self) {
        self.round_began = None;
        self.before = None;
    }

    /// The far side said that it is too much, to a call sent at `sent_at`. One cut for all calls that
    /// were under way.
    pub(super) fn refused(&mut self, now: f64, sent_at: f64) {
        if self.halved_at.is_some_and(|at| sent_at < at) {
            return;
        }
        self.halved_at = Some(now);
        self.now = (self.now / 2).max(1);
        self.growth = Growth::Adding { back_to: None };
        self.rest = REST_ROUNDS.0;
        self.before = None;
        self.begin_round(now);
    }

    fn begin_round(&mut self, now: f64) {
        self.round_began = Some(now);
        self.round_target = self.now;
        self.round_done = 0;
        self.round_bytes = 0;
        self.full = false;
    }

    fn judge(&mut self, rate: f64) {
        let gained = |factor: f64| self.before.is_none_or(|before| rate >= before * factor);
        self.growth = match self.growth {
            _ if self.now >= self.max && !matches!(self.growth, Growth::Adding { .. }) => {
                self.growth
            }
            Growth::Doubling { .. } if gained(GAIN_DOUBLED) => {
                self.now = self.now.saturating_mul(2).min(self.max);
                Growth::Doubling { flat: 0 }
            }
            Growth::Doubling { flat: 0 } => Growth::Doubling { flat: 1 },
            Growth::Doubling { .. } => {
                self.now = (self.now / 2).max(1);
                self.rest()
            }
            Growth::Adding {
                back_to: Some(width),
            } if !gained(GAIN_ADDED) => {
                self.now = width;
                self.rest()
            }
            Growth::Adding { .. } => {
                let width = self.now;
                self.now = (width + (width / 8).max(1)).min(self.max);
                Growth::Adding {
                    back_to: Some(width).filter(|width| *width < self.now),
                }
            }
            Growth::Resting { rounds: 0 } => Growth::Adding { back_to: None },
            Growth::Resting { rounds } => Growth::Resting { rounds: rounds - 1 },
        };
    }

    fn rest(&mut self) -> Growth {
        let rounds = self.rest;
        self.rest = (rounds * 2).min(REST_ROUNDS.1);
        Growth::Resting { rounds }
    }
}
