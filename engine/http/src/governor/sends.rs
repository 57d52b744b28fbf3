//! When calls were sent, and what a token bucket would have made of them.
//!
//! An *epoch* runs from one limit to the next. Its sends are kept as counts in short bins; when there are
//! too many, neighbours in the older half are joined, so an epoch of any length has bounded size and what
//! is recent keeps its shape. The one question asked of it: if the far side refilled at `rate`, how far below
//! full was its bucket at the end?

/// Calls within 50 ms are one bin: fine enough for the shape of a first burst.
const BIN_SECONDS: f64 = 0.05;

/// 32 kB. At least 100 s are kept as they were.
const BINS_MAX: usize = 2_048;

#[derive(Clone, Copy, Debug)]
struct Bin {
    /// When its first call went.
    at: f64,
    calls: u32,
}

/// The sends of one epoch.
#[derive(Clone, Debug)]
pub(super) struct Sends {
    since: f64,
    until: f64,
    bins: Vec<Bin>,
    total: u64,
}

impl Sends {
    /// None yet, of an epoch that begins at `since` (seconds).
    pub(super) fn new(since: f64) -> Self {
        Sends {
            since,
            until: since,
            bins: Vec::new(),
            total: 0,
        }
    }

    /// When the epoch began.
    pub(super) fn since(&self) -> f64 {
        self.since
    }

    /// How many calls were sent.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Notes a call, no earlier than the ones before.
    pub(super) fn add(&mut self, at: f64) {
        self.total += 1;
        self.until = self.until.max(at);
        match self.bins.last_mut() {
            Some(bin) if at < bin.at + BIN_SECONDS => bin.calls += 1,
            _ => {
                if self.bins.len() >= BINS_MAX {
                    self.join_older_half();
                }
                self.bins.push(Bin { at, calls: 1 });
            }
        }
    }

    /// Takes a call back that was refused or never left. One of an earlier epoch is not here.
    pub(super) fn remove(&mut self, at: f64) {
        let after = self.bins.partition_point(|bin| bin.at <= at);
        let Some(bin) = after.checked_sub(1).map(|index| &mut self.bins[index]) else {
            return;
        };
        if bin.calls > 0 {
            bin.calls -= 1;
            self.total -= 1;
        }
    }

    /// Ends the epoch: what was sent later is forgotten.
    pub(super) fn end(&mut self, at: f64) {
        self.until = at;
        self.bins.retain(|bin| bin.at <= at);
        self.total = self.bins.iter().map(|bin| u64::from(bin.calls)).sum();
    }

    /// How many calls below full a bucket is at the end that refills by `rate` calls/s and was
    /// `start` below full at the beginning. Falls as `rate` rises.
    pub(super) fn deficit(&self, rate: f64, start: f64) -> f64 {
        let mut deficit = start;
        let mut seen = self.since;
        for bin in &self.bins {
            deficit = (deficit - rate * (bin.at - seen)).max(0.0) + f64::from(bin.calls);
            seen = bin.at;
        }
        (deficit - rate * (self.until - seen).max(0.0)).max(0.0)
    }

    fn join_older_half(&mut self) {
        let newer = self.bins.split_off(BINS_MAX / 2);
        let joined = self.bins.chunks(2).map(|pair| Bin {
            at: pair[0].at,
            calls: pair.iter().map(|bin| bin.calls).sum(),
        });
        self.bins = joined.chain(newer).collect();
    }
}
