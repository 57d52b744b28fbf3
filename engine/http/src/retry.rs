//! What may be repeated: decided here and nowhere else.
//!
//! | what happened to a try | idempotent call | any other call |
//! |---|---|---|
//! | it never left | repeat after backoff | repeat after backoff |
//! | it may have arrived | repeat after backoff | [`Next::Look`]: the caller asks "was that mine?" |
//! | we were told to wait | wait what was asked, repeat | wait what was asked, repeat |
//! | it was refused | hand it over | hand it over |
//!
//! The last two rows do not depend on the call, and the answer itself says so
//! ([`Judged`](crate::Judged)); [`next`] decides the first two. A repeat spends one of the call's tries;
//! a wait that the service asked for spends none, because limits last longer than any sensible number
//! of tries. `Retry-After` beats our own backoff, and the wait holds for every call of the account: the
//! governor sends none before its end.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Whether a call that may have had its effect can simply be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Sending it twice has the effect of sending it once.
    Idempotent,
    /// It is repeated only when it certainly had no effect; otherwise it ends as `Kind::Ambiguous`.
    OnlyIfUnsent,
}

/// What happened to one try that brought no answer of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Not a byte of it left.
    NeverLeft,
    /// Some of it left, or the far side failed while it worked on it.
    MayHaveArrived,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send it again after a backoff; spends a try.
    Repeat,
    /// Stop: the caller has to look whether it took effect.
    Look,
}

/// The first two rows of the table above.
pub(crate) fn next(happened: Happened, repeat: Repeat) -> Next {
    match (happened, repeat) {
        (Happened::NeverLeft, _) | (Happened::MayHaveArrived, Repeat::Idempotent) => Next::Repeat,
        (Happened::MayHaveArrived, Repeat::OnlyIfUnsent) => Next::Look,
    }
}

/// Where the randomness of backoffs comes from. Clones share one sequence, so a simulation that
/// seeds it gets the same waits every time.
#[derive(Clone)]
pub struct Jitter(Arc<Mutex<StdRng>>);

impl Jitter {
    /// A sequence that is the same for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Jitter(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A sequence nobody can foresee.
    pub fn random() -> Self {
        Jitter::seeded(rand::random())
    }

    /// An evenly distributed duration from zero to `most`, both included.
    pub(crate) fn up_to(&self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(rng.random_range(0..=nanos))
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jitter")
    }
}

/// Exponential growth with full jitter: spread over the whole span, many callers do not return
/// together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) max: Duration,
    pub(crate) jitter: Jitter,
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row, counted from 1.
    pub(crate) fn after(&self, failures: u32) -> Duration {
        self.jitter.up_to(self.ceiling(failures))
    }

    /// As [`Backoff::after`], but never shorter than the base: for a far side that said it is busy
    /// without saying for how long.
    pub(crate) fn after_busy(&self, times: u32) -> Duration {
        let ceiling = self.ceiling(times);
        let floor = self.base.min(ceiling);
        floor + self.jitter.up_to(ceiling - floor)
    }

    fn ceiling(&self, failures: u32) -> Duration {
        // 2^20 times any base is beyond every maximum in use.
        let doubled = 1u32 << failures.saturating_sub(1).min(20);
        self.base.saturating_mul(doubled).min(self.max)
    }
}

/// What `Retry-After` asks for: a number of seconds or an HTTP date, which is compared with `now`. A date in the
/// past asks for no wait. `None` without the header or when it is neither.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}
