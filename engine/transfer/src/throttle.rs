//! A rate for bytes that several transfers share, and that may change while they run.
//!
//! Chunks are let in one after the other, in the order in which they ask. One may begin as soon as nothing is owed, and
//! what it is larger than the moment's allowance is owed then: on average the rate is kept exactly, and in the short run
//! a chunk moves as fast as it can. Another rate holds for what is owed as well, so a change takes effect at once;
//! what was let in before is not called back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};

/// Means that there is no limit.
const UNLIMITED: u64 = u64::MAX;

/// How much of a rate is saved up while nobody asks: a quarter of a second, so that small files do not each wait.
const SAVED: Duration = Duration::from_millis(250);

/// The longest sleep: long enough, and every clock can add it.
const LOOK_AGAIN: Duration = Duration::from_secs(86_400);

/// See the module.
#[derive(Debug)]
pub struct Throttle {
    /// Bytes a second, or [`UNLIMITED`].
    rate: AtomicU64,
    /// Who has it is the next to be let in. Waiters have it in the order in which they asked.
    turn: Mutex<()>,
    account: StdMutex<Account>,
    changed: Notify,
}

/// What was let in and what may be.
#[derive(Debug)]
struct Account {
    /// Bytes that may pass at once; negative while some are owed.
    allowed: f64,
    at: Instant,
}

impl Default for Throttle {
    /// Lets everything pass.
    fn default() -> Self {
        Throttle::new(None)
    }
}

impl Throttle {
    /// A throttle of so many bytes a second; 0 lets nothing pass, `None` everything.
    pub fn new(rate: Option<u64>) -> Self {
        Throttle {
            rate: AtomicU64::new(rate.unwrap_or(UNLIMITED)),
            turn: Mutex::new(()),
            account: StdMutex::new(Account {
                allowed: 0.0,
                at: Instant::now(),
            }),
            changed: Notify::new(),
        }
    }

    /// The rate in bytes a second; `None` where there is no limit.
    pub fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate != UNLIMITED)
    }

    /// Changes the rate. Whoever waits waits by the new one from now on.
    pub fn set_rate(&self, rate: Option<u64>) {
        // What was earned until now was earned at the old rate.
        self.settle();
        self.rate
            .store(rate.unwrap_or(UNLIMITED), Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Waits until so many bytes may move. Cancel by dropping the future: what it has not waited for is not counted.
    pub async fn pass(&self, bytes: u64) {
        if self.rate().is_none() {
            return;
        }
        let _turn = self.turn.lock().await;
        loop {
            let Some(wait) = self.take(bytes) else {
                return;
            };
            tokio::select! {
                biased;
                // A change that came between is kept for whoever waits next.
                () = self.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Takes so many bytes, or says how long that is not possible yet.
    fn take(&self, bytes: u64) -> Option<Duration> {
        let rate = self.rate()?;
        self.settle();
        let mut account = self.account();
        if rate > 0 && account.allowed >= 0.0 {
            account.allowed -= bytes as f64;
            return None;
        }
        if rate == 0 {
            return Some(LOOK_AGAIN);
        }
        let owed = Duration::try_from_secs_f64(-account.allowed / rate as f64);
        // Rounded up, so that nothing is owed any more when it is over.
        let wait = owed.unwrap_or(LOOK_AGAIN) + Duration::from_millis(1);
        Some(wait.min(LOOK_AGAIN))
    }

    /// Adds what was earned since the last time.
    fn settle(&self) {
        let now = Instant::now();
        let mut account = self.account();
        let seconds = now.duration_since(account.at).as_secs_f64();
        account.at = now;
        match self.rate() {
            // Nothing is owed to a throttle that is open.
            None => account.allowed = 0.0,
            Some(rate) => {
                let saved = rate as f64 * SAVED.as_secs_f64();
                account.allowed = (account.allowed + rate as f64 * seconds).min(saved);
            }
        }
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        // Nothing in there panics between two changes that belong together.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
