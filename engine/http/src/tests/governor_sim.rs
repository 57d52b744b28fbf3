//! The governor against a service that hides its ceiling, on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use super::{Usual, get, options};
use crate::{
    Anonymous, Client, ClientOptions, Governor, GovernorOptions, Jitter, Repeat, Request, Response,
    SendError, Transport,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a limited call does to the bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Toll {
    /// Nothing.
    Free,
    /// It takes what is there.
    Drains,
    /// It counts like any other: the bucket owes, by at most its burst.
    Owes,
}

/// A service with a token bucket.
#[derive(Clone, Copy, Debug)]
struct Terms {
    ceiling: f64,
    burst: f64,
    toll: Toll,
    /// `Retry-After` in seconds, from and to.
    retry_after: (u64, u64),
    /// A call's time, in milliseconds, from and to.
    latency_ms: (u64, u64),
}

impl Terms {
    fn new(ceiling: f64, burst: f64) -> Self {
        Terms {
            ceiling,
            burst,
            toll: Toll::Drains,
            retry_after: (1, 15),
            latency_ms: (20, 150),
        }
    }
}

#[derive(Debug)]
struct Hidden {
    state: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    terms: Terms,
    tokens: f64,
    filled: Instant,
    rng: StdRng,
    early: u64,
    /// When each call arrived, and whether it was let in.
    log: Vec<(Duration, bool)>,
    began: Instant,
    row: u32,
    longest_row: u32,
}

impl Hidden {
    fn new(terms: Terms, seed: u64) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Hidden {
            state: Mutex::new(Inside {
                terms,
                tokens: terms.burst,
                filled: now,
                rng: StdRng::seed_from_u64(seed),
                early: 0,
                log: Vec::new(),
                began: now,
                row: 0,
                longest_row: 0,
            }),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Terms)) {
        let mut inside = self.state.lock().unwrap();
        inside.admit_nobody();
        change(&mut inside.terms);
    }

    fn latency(&self) -> Duration {
        let mut inside = self.state.lock().unwrap();
        let (from, to) = inside.terms.latency_ms;
        Duration::from_millis(inside.rng.random_range(from..=to))
    }

    /// Calls that a client sent though it had been told to wait.
    fn early(&self) -> u64 {
        self.state.lock().unwrap().early
    }

    /// Calls let in per second, and the share of calls limited, between two moments.
    fn between(&self, from: u64, to: u64) -> Seen {
        let inside = self.state.lock().unwrap();
        let span = (SECOND * from as u32)..(SECOND * to as u32);
        let calls: Vec<bool> = inside
            .log
            .iter()
            .filter(|(at, _)| span.contains(at))
            .map(|(_, let_in)| *let_in)
            .collect();
        let limited = calls.iter().filter(|let_in| !**let_in).count();
        Seen {
            rate: (calls.len() - limited) as f64 / (to - from) as f64,
            limited: limited as u64,
            share: limited as f64 / calls.len().max(1) as f64,
        }
    }
}

impl Inside {
    fn admit_nobody(&mut self) {
        let now = Instant::now();
        let since = (now - self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + since * self.terms.ceiling).min(self.terms.burst);
    }

    fn admit(&mut self) -> Result<(), u64> {
        self.admit_nobody();
        let let_in = self.tokens >= 1.0;
        self.log.push((self.began.elapsed(), let_in));
        if let_in {
            self.tokens -= 1.0;
            self.row = 0;
            return Ok(());
        }
        self.row += 1;
        self.longest_row = self.longest_row.max(self.row);
        match self.terms.toll {
            Toll::Free => {}
            Toll::Drains => self.tokens = self.tokens.min(0.0),
            Toll::Owes => self.tokens = (self.tokens - 1.0).max(-self.terms.burst),
        }
        let (from, to) = self.terms.retry_after;
        Err(self.rng.random_range(from..=to))
    }
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    rate: f64,
    limited: u64,
    share: f64,
}

/// One client's way to the service.
#[derive(Debug)]
struct Path {
    to: Arc<Hidden>,
    closed_until: Mutex<Instant>,
}

#[async_trait]
impl Transport for Path {
    async fn send(&self, _request: Request) -> Result<Response, SendError> {
        if Instant::now() < *self.closed_until.lock().unwrap() {
            self.to.state.lock().unwrap().early += 1;
        }
        let latency = self.to.latency();
        sleep(latency / 2).await;
        let admitted = self.to.state.lock().unwrap().admit();
        sleep(latency / 2).await;
        let mut headers = HeaderMap::new();
        let status = match admitted {
            Ok(()) => StatusCode::OK,
            Err(seconds) => {
                let until = Instant::now() + SECOND * seconds as u32;
                let mut closed = self.closed_until.lock().unwrap();
                *closed = (*closed).max(until);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                StatusCode::TOO_MANY_REQUESTS
            }
        };
        Ok(Response {
            status,
            headers,
            body: stream::iter([Ok(Bytes::from_static(b"{}"))]).boxed(),
        })
    }
}

fn client_of(hidden: &Arc<Hidden>, governor: Governor, width: usize) -> Client {
    let path = Path {
        to: Arc::clone(hidden),
        closed_until: Mutex::new(Instant::now()),
    };
    Client::new(
        Arc::new(path),
        Arc::new(Usual),
        Arc::new(Anonymous),
        ClientOptions {
            concurrency: width,
            patience: SECOND * 100_000,
            jitter: Jitter::seeded(3),
            governor: Some(governor),
            ..options()
        },
    )
}

/// Ends all callers in the middle of what they do.
async fn rest(mut busy: tokio::task::JoinSet<()>) {
    busy.shutdown().await;
}

/// Keeps so many callers busy.
fn keep_busy(client: &Client, callers: usize) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let client = client.clone();
        tasks.spawn(async move {
            loop {
                client
                    .call_whole(get(Repeat::Idempotent), 1 << 10)
                    .await
                    .unwrap();
            }
        });
    }
    tasks
}

/// Runs a service for so many seconds with callers that never rest.
async fn run(terms: Terms, callers: usize, seconds: u32) -> Arc<Hidden> {
    let hidden = Hidden::new(terms, 1);
    let client = client_of(&hidden, Governor::default(), callers);
    let busy = keep_busy(&client, callers);
    sleep(SECOND * seconds).await;
    rest(busy).await;
    let snapshot = client.governor().snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiting.total()), (0, 0));
    assert_eq!(hidden.early(), 0, "calls during Retry-After");
    hidden
}

/// After a minute: at least 85 % of the ceiling, less than 1 % limited; in the first minute at most
/// so many limited.
async fn converges(terms: Terms, minutes: u32, first_minute_max: u64) {
    let hidden = run(terms, 64, minutes * 60).await;
    let first = hidden.between(0, 60);
    let rest = hidden.between(60, u64::from(minutes) * 60);
    let told = format!("{terms:?}: first minute {first:?}, then {rest:?}");
    assert!(rest.rate >= 0.85 * terms.ceiling, "{told}");
    assert!(rest.share < 0.01, "{told}");
    assert!(first.limited <= first_minute_max, "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_of_5_is_found() {
    for toll in [Toll::Free, Toll::Drains, Toll::Owes] {
        for burst in [5.0, 25.0, 60.0] {
            let terms = Terms::new(5.0, burst);
            converges(Terms { toll, ..terms }, 5, 15).await;
        }
    }
}

/// #5156 of rclone: the ceiling that a user found by hand, 12 calls/s.
#[tokio::test(start_paused = true)]
async fn a_ceiling_of_12_is_found_without_being_told() {
    for retry_after in [(1, 1), (15, 15)] {
        for burst in [12.0, 60.0] {
            let terms = Terms::new(12.0, burst);
            converges(
                Terms {
                    retry_after,
                    ..terms
                },
                5,
                15,
            )
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_of_40_is_found() {
    for burst in [20.0, 60.0] {
        converges(Terms::new(40.0, burst), 3, 25).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_of_100_is_found() {
    converges(Terms::new(100.0, 60.0), 2, 40).await;
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_of_200_is_found() {
    converges(Terms::new(200.0, 100.0), 2, 60).await;
}

#[tokio::test(start_paused = true)]
async fn rows_of_refusals_stay_shorter_than_what_draws_a_penalty() {
    // Eleven in a row have drawn 300 s; at a usual round trip there are fewer.
    for burst in [20.0, 60.0] {
        let terms = Terms {
            latency_ms: (70, 90),
            toll: Toll::Owes,
            ..Terms::new(5.0, burst)
        };
        let hidden = run(terms, 64, 60).await;
        let row = hidden.state.lock().unwrap().longest_row;
        assert!(row <= 10, "burst {burst}: {row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_that_halves_is_followed() {
    let hidden = Hidden::new(Terms::new(40.0, 60.0), 1);
    let client = client_of(&hidden, Governor::default(), 64);
    let busy = keep_busy(&client, 64);
    sleep(SECOND * 120).await;
    hidden.change(|terms| terms.ceiling = 20.0);
    sleep(SECOND * 240).await;
    rest(busy).await;
    let after = hidden.between(180, 360);
    assert!(after.rate >= 0.85 * 20.0, "{after:?}");
    assert!(after.share < 0.01, "{after:?}");
    assert_eq!(hidden.early(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_that_doubles_is_followed() {
    let hidden = Hidden::new(Terms::new(12.0, 60.0), 1);
    let client = client_of(&hidden, Governor::default(), 64);
    let busy = keep_busy(&client, 64);
    sleep(SECOND * 120).await;
    hidden.change(|terms| terms.ceiling = 24.0);
    sleep(SECOND * 480).await;
    rest(busy).await;
    let after = hidden.between(360, 600);
    assert!(after.rate >= 0.85 * 24.0, "{after:?}");
    assert!(after.share < 0.01, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_forgotten_within_a_minute() {
    let terms = Terms {
        retry_after: (1, 5),
        ..Terms::new(20.0, 60.0)
    };
    let hidden = Hidden::new(terms, 1);
    let client = client_of(&hidden, Governor::default(), 32);
    let busy = keep_busy(&client, 32);
    sleep(SECOND * 90).await;
    hidden.change(|terms| (terms.ceiling, terms.burst) = (0.0, 0.0));
    sleep(SECOND * 180).await;
    let during = hidden.between(100, 270);
    assert!(during.limited <= 170, "knocking, not hammering: {during:?}");
    hidden.change(|now| *now = terms);
    sleep(SECOND * 150).await;
    rest(busy).await;
    let after = hidden.between(330, 420);
    assert!(after.rate >= 0.85 * terms.ceiling, "{after:?}");
    assert!(after.share < 0.01, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn two_processes_at_one_ceiling_share_it_and_do_not_livelock() {
    let terms = Terms::new(40.0, 60.0);
    let hidden = Hidden::new(terms, 1);
    let one = client_of(&hidden, Governor::default(), 32);
    let other = client_of(&hidden, Governor::default(), 32);
    let busy = [keep_busy(&one, 32), keep_busy(&other, 32)];
    sleep(SECOND * 60).await;
    let early = [&one, &other].map(|client| client.governor().snapshot().calls);
    sleep(SECOND * 240).await;
    for busy in busy {
        rest(busy).await;
    }
    let late = [&one, &other].map(|client| client.governor().snapshot().calls);
    let seen = hidden.between(60, 300);
    assert!(seen.rate >= 0.7 * terms.ceiling, "{seen:?}");
    assert!(seen.share < 0.03, "{seen:?}");
    for (early, late) in early.into_iter().zip(late) {
        let share = (late - early) as f64 / 240.0 / terms.ceiling;
        assert!(share > 0.15, "one of them got {share} of the ceiling");
    }
    assert_eq!(hidden.early(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_run_starts_near_the_ceiling() {
    let terms = Terms::new(12.0, 60.0);
    let hidden = Hidden::new(terms, 1);
    let client = client_of(&hidden, Governor::default(), 16);
    let busy = keep_busy(&client, 16);
    sleep(SECOND * 120).await;
    rest(busy).await;
    let learnt = client.governor().state().unwrap();
    assert!((11.0..13.0).contains(&learnt.ceiling), "{learnt:?}");

    let hidden = Hidden::new(terms, 2);
    let next = Governor::with_state(GovernorOptions::default(), &learnt);
    let client = client_of(&hidden, next, 16);
    let busy = keep_busy(&client, 16);
    sleep(SECOND * 60).await;
    rest(busy).await;
    let first = hidden.between(0, 60);
    assert!(first.rate >= 0.85 * terms.ceiling, "{first:?}");
    assert!(first.limited <= 4, "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_times() {
    let times = async || {
        let hidden = run(Terms::new(40.0, 60.0), 16, 60).await;
        let inside = hidden.state.lock().unwrap();
        inside.log.clone()
    };
    assert_eq!(times().await, times().await);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_ask_for_more_learns_nothing_wrong() {
    // Half of the ceiling for an hour, then everything at once.
    let terms = Terms::new(40.0, 60.0);
    let hidden = Hidden::new(terms, 1);
    let client = client_of(&hidden, Governor::default(), 32);
    for _ in 0..600 {
        client
            .call_whole(get(Repeat::Idempotent), 1 << 10)
            .await
            .unwrap();
        sleep(SECOND * 6).await;
    }
    assert_eq!(client.governor().snapshot().rate, None);
    let busy = keep_busy(&client, 32);
    sleep(SECOND * 180).await;
    rest(busy).await;
    let began = hidden.state.lock().unwrap().began.elapsed().as_secs() - 180;
    let after = hidden.between(began + 60, began + 180);
    assert!(after.rate >= 0.85 * terms.ceiling, "{after:?}");
    assert!(after.share < 0.01, "{after:?}");
}
