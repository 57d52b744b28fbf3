//! The rate of an account's calls: the control law that the module's documentation explains.
//!
//! A pure machine over seconds since the governor's first call: it is told what was sent and what was
//! refused, and says whether a call may go now, or when. It knows no locks, tasks or lanes.

use super::options::GovernorOptions;
use super::sends::Sends;
use super::state::GovernorState;

/// A call may go when this much of a token is there: sums of fractions do not always reach 1.
const WHOLE: f64 = 1.0 - 1e-9;

/// Two estimates within this factor agree.
const AGREE: f64 = 1.1;

/// Where the search begins if the very first calls were refused, and how low refusals alone bring it, in
/// calls/s: below every ceiling that was ever reported.
const BLIND_RATE: f64 = 1.0;

/// How the rate moves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// No limit was ever met.
    Free,
    /// The ceiling is somewhere above `from`: the rate doubles in each `doubling` seconds.
    Search { from: f64, doubling: f64 },
    /// The ceiling is about known: below it at first, there after `settle` seconds, then beyond.
    Probe { settle: f64 },
}

/// How far an estimate can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// It was not measured: the burst was guessed, or there was nothing to measure.
    Guessed,
    /// It differs from the one before, or would with a slightly different burst.
    Unsure,
    /// Neither.
    Sure,
}

/// Refusals that are one limit: all of them were sent before we heard of the first.
#[derive(Clone, Copy, Debug)]
struct Episode {
    heard_at: f64,
    first_sent_at: f64,
    refused: u32,
}

#[derive(Debug)]
pub(super) struct Pace {
    options: GovernorOptions,
    phase: Phase,
    /// Seconds of this phase during which the rate held calls back. It only grows by these: a rate
    /// that nobody uses proves nothing.
    grown: f64,
    held_back: bool,
    tokens: f64,
    filled_at: f64,
    /// Estimates of the service's bucket, in calls/s and calls.
    ceiling: Option<f64>,
    burst: Option<f64>,
    epoch: Sends,
    /// The epoch before the first limit, until a second one tells ceiling and burst apart.
    first: Option<Sends>,
    episode: Option<Episode>,
    /// How far below full the service's bucket is if the estimates are right.
    deficit: f64,
    deficit_at: f64,
    /// The latest limit's pause, in seconds.
    pause: f64,
}

impl Pace {
    pub(super) fn new(options: GovernorOptions, known: Option<&GovernorState>) -> Self {
        let known = known.and_then(|known| known.bounded(&options));
        let mut pace = Pace {
            phase: Phase::Free,
            grown: 0.0,
            held_back: false,
            tokens: options.first_burst,
            filled_at: 0.0,
            ceiling: None,
            burst: None,
            epoch: Sends::new(0.0),
            first: None,
            episode: None,
            deficit: 0.0,
            deficit_at: 0.0,
            pause: 0.0,
            options,
        };
        if let Some(known) = known {
            pace.ceiling = Some(known.ceiling);
            pace.burst = known.burst;
            pace.pause = known.pause;
            pace.phase = Phase::Probe {
                settle: pace.settle(known.ceiling, 0, false),
            };
            pace.tokens = pace.room();
        }
        pace
    }

    /// The rate now, in calls/s.
    pub(super) fn rate(&self) -> f64 {
        let rate = match self.phase {
            Phase::Free => {
                let doubling = self.options.first_doubling.as_secs_f64();
                self.options.first_rate * (self.grown / doubling).exp2()
            }
            Phase::Search { from, doubling } => from * (self.grown / doubling).exp2(),
            Phase::Probe { settle } => {
                let ceiling = self.ceiling.unwrap_or(self.options.first_rate);
                let x = self.grown / settle - 1.0;
                ceiling * (1.0 + self.options.dip * x * x * x)
            }
        };
        rate.clamp(self.options.rate_min, self.options.rate_max)
    }

    /// The ceiling's estimate, in calls/s; `None` while no limit was met.
    pub(super) fn ceiling(&self) -> Option<f64> {
        self.ceiling
    }

    /// Whether the rate is what holds calls back.
    pub(super) fn holds_back(&self) -> bool {
        self.held_back
    }

    /// What is worth knowing at the next start.
    pub(super) fn state(&self) -> Option<GovernorState> {
        Some(GovernorState {
            ceiling: self.ceiling?,
            burst: self.burst,
            pause: self.pause,
        })
    }

    /// Whether a call may go now. `wanted` says that one waits for nothing else: then the rate is what
    /// holds it back, and time counts towards a higher one.
    pub(super) fn ready(&mut self, now: f64, wanted: bool) -> bool {
        self.refill(now);
        let ready = self.tokens >= WHOLE;
        self.held_back = wanted && !ready;
        ready
    }

    /// In how many seconds a call may go, if none goes before.
    pub(super) fn ready_in(&self) -> f64 {
        ((1.0 - self.tokens) / self.rate()).max(0.0)
    }

    /// A call goes. Call only when ready.
    pub(super) fn take(&mut self, now: f64) {
        self.tokens -= 1.0;
        self.epoch.add(now);
        let Some((ceiling, burst)) = self.ceiling.zip(self.burst) else {
            return;
        };
        let leaked = ceiling * (now - self.deficit_at).max(0.0);
        self.deficit = (self.deficit - leaked).max(0.0) + 1.0;
        self.deficit_at = now;
        // It took more than the estimates allow and did not mind: they are too low. Growing by cubes
        // would take minutes to follow a ceiling that doubled.
        let beyond = 1.5 * burst + ceiling.max(10.0);
        if matches!(self.phase, Phase::Probe { .. }) && self.deficit > beyond {
            self.phase = Phase::Search {
                from: self.rate(),
                doubling: 2.0 * self.options.search_doubling.as_secs_f64(),
            };
            self.grown = 0.0;
        }
    }

    /// A call that was to go at `sent_at` did not leave.
    pub(super) fn put_back(&mut self, sent_at: f64) {
        self.tokens = (self.tokens + 1.0).min(self.room());
        self.epoch.remove(sent_at);
    }

    /// A call was refused for the rate.
    pub(super) fn limited(&mut self, now: f64, sent_at: f64) {
        self.epoch.remove(sent_at);
        match &mut self.episode {
            Some(episode) => {
                episode.refused += 1;
                episode.first_sent_at = episode.first_sent_at.min(sent_at);
            }
            // Sent before the last pause and heard of only now: that limit was learnt from.
            None if sent_at < self.epoch.since() => {}
            None => {
                self.episode = Some(Episode {
                    heard_at: now,
                    first_sent_at: sent_at,
                    refused: 1,
                });
            }
        }
    }

    /// A pause ended at `at`. By now its refusals are all in, so this is when to learn from them.
    pub(super) fn resume(&mut self, at: f64) {
        self.filled_at = self.filled_at.max(at);
        let Some(episode) = self.episode.take() else {
            return;
        };
        let mut epoch = std::mem::replace(&mut self.epoch, Sends::new(episode.first_sent_at));
        epoch.end(episode.first_sent_at);
        self.pause = (at - episode.heard_at).max(0.0);
        let (ceiling, trust) = self.estimate(epoch);
        self.phase = match trust {
            Trust::Guessed => Phase::Search {
                from: ceiling,
                doubling: self.options.search_doubling.as_secs_f64(),
            },
            Trust::Unsure => Phase::Probe {
                settle: self.settle(ceiling, episode.refused, false),
            },
            Trust::Sure => Phase::Probe {
                settle: self.settle(ceiling, episode.refused, true),
            },
        };
        self.ceiling = Some(ceiling);
        self.grown = 0.0;
        self.held_back = false;
        // The first call goes at once: it tells whether waiting was enough.
        self.tokens = 1.0;
        // The one moment at which the far bucket's level is known: it is empty.
        self.deficit = self.burst.unwrap_or(0.0);
        self.deficit_at = episode.first_sent_at;
    }

    /// The ceiling after a limit that ended `epoch`, and how far to trust it.
    fn estimate(&mut self, epoch: Sends) -> (f64, Trust) {
        let lowest = self.options.rate_min;
        let highest = self.rate();
        // Hardly anything was sent since the last limit: the bucket was still empty, somebody else
        // emptied it, or the service is out of order. Nothing can be computed from that; go down, not
        // without bound, and search.
        if epoch.total() < 3 {
            let known = self.ceiling.unwrap_or(BLIND_RATE);
            let lower = (known * 0.7).max(known.min(BLIND_RATE));
            return (lower.clamp(lowest, highest.max(lowest)), Trust::Guessed);
        }
        match (self.burst, self.first.take()) {
            (Some(burst), _) => {
                let found = empties(&epoch, burst, lowest, highest);
                let known = self.ceiling.unwrap_or(found);
                let trust = match agree(known, found) {
                    true => Trust::Sure,
                    false => Trust::Unsure,
                };
                (found.max(known * 0.5), trust)
            }
            (None, Some(first)) => {
                let (found, burst) = where_lines_cross(&first, &epoch, lowest, highest);
                self.burst = Some(burst);
                // Good if the ceiling would be about the same with another burst.
                let other = empties(&epoch, 1.1 * burst + 2.0, lowest, highest);
                let trust = match agree(found, other) {
                    true => Trust::Sure,
                    false => Trust::Unsure,
                };
                (found, trust)
            }
            (None, None) => {
                let guess = self.options.burst_guess.as_secs_f64();
                let found = root(lowest, highest, |rate| {
                    epoch.deficit(rate, 0.0) - guess * rate
                });
                self.first = Some(epoch);
                (found, Trust::Guessed)
            }
        }
    }

    /// After how many seconds the rate is back at the estimate.
    fn settle(&self, ceiling: f64, refused: u32, sure: bool) -> f64 {
        let options = &self.options;
        let bounds = (
            options.settle_min.as_secs_f64(),
            options.settle_max.as_secs_f64(),
        );
        if !sure {
            return (self.pause * options.settle_pauses_unsure).clamp(bounds.0, bounds.1);
        }
        let for_the_pause = self.pause * options.settle_pauses;
        // The next limit comes after about twice this time.
        let for_the_share = f64::from(refused) / (2.0 * options.limited_share * ceiling);
        for_the_pause.max(for_the_share).clamp(bounds.0, bounds.1)
    }

    /// How many tokens may pile up while nobody calls: a small part of what the far side forgives.
    fn room(&self) -> f64 {
        match (self.ceiling, self.burst) {
            (None, _) => self.options.first_burst.max(self.rate() * 0.05),
            (Some(_), Some(burst)) => (burst / 2.0).min(2.0 * self.rate()).max(1.0),
            (Some(_), None) => (0.25 * self.rate()).max(1.0),
        }
    }

    fn refill(&mut self, now: f64) {
        let since = (now - self.filled_at).max(0.0);
        self.filled_at = self.filled_at.max(now);
        if self.held_back {
            self.grown += since;
        }
        // At high rates a timer's millisecond is several calls.
        let room = self.room().max(self.rate() * 0.002);
        if self.tokens < room {
            self.tokens = (self.tokens + self.rate() * since).min(room);
        }
    }
}

fn agree(one: f64, other: f64) -> bool {
    (one / other).max(other / one) < AGREE
}

/// The ceiling at which the sends of an epoch take a bucket of `burst` calls from empty to empty.
fn empties(epoch: &Sends, burst: f64, lowest: f64, highest: f64) -> f64 {
    root(lowest, highest, |rate| epoch.deficit(rate, burst) - burst)
}

/// The one pair of ceiling and burst that explains both limits: the first emptied a full bucket, the
/// second the same from empty.
fn where_lines_cross(first: &Sends, second: &Sends, lowest: f64, highest: f64) -> (f64, f64) {
    let burst_at = |rate: f64| first.deficit(rate, 0.0);
    let ceiling = first_root(lowest, highest, |rate| {
        let burst = burst_at(rate);
        second.deficit(rate, burst) - burst
    });
    (ceiling, burst_at(ceiling).max(1.0))
}

/// Where a falling function crosses zero, on a logarithmic scale; an end if it does not.
fn root(lowest: f64, highest: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (lowest.ln(), highest.max(lowest).ln());
    // 2^-24 of the range is far below a thousandth of a call/s.
    for _ in 0..24 {
        let middle = (low + high) / 2.0;
        match f(middle.exp()) > 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    low.exp()
}

/// The lowest zero of a function that begins positive and need not fall all the way.
fn first_root(lowest: f64, highest: f64, f: impl Fn(f64) -> f64) -> f64 {
    const STEP: f64 = 1.15;
    let mut low = lowest;
    while low < highest {
        let next = low * STEP;
        if f(next) <= 0.0 {
            return root(low, next, f);
        }
        low = next;
    }
    highest
}
