//! The rate that transfers share, on a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use windlass_core::ByteSize;

use super::support::{FakeSink, FakeSource, MIB, content, rest, run};
use crate::{Engine, EngineOptions, Throttle};

const RATE: u64 = 25_000_000;

/// Passes pieces until it is stopped, and counts their bytes.
async fn greedy(throttle: Arc<Throttle>, piece: u64, passed: Arc<AtomicU64>) {
    loop {
        throttle.pass(piece).await;
        passed.fetch_add(piece, Ordering::Relaxed);
    }
}

/// What four greedy transfers pass in so many seconds.
async fn passed_in(throttle: &Arc<Throttle>, piece: u64, seconds: u64) -> f64 {
    let passed = Arc::new(AtomicU64::new(0));
    let all = futures_util::future::join_all(
        (0..4).map(|_| greedy(Arc::clone(throttle), piece, Arc::clone(&passed))),
    );
    assert!(timeout(Duration::from_secs(seconds), all).await.is_err());
    passed.load(Ordering::Relaxed) as f64
}

#[tokio::test(start_paused = true)]
async fn over_a_minute_the_rate_is_kept_whatever_the_pieces() {
    for piece in [1_000, 300_000, 8 << 20, 64 << 20] {
        let throttle = Arc::new(Throttle::new(Some(RATE)));
        let share = passed_in(&throttle, piece, 60).await / (RATE * 60) as f64;
        // What is owed at the end is of the next minute: at most one piece.
        let owed = piece as f64 / (RATE * 60) as f64;
        assert!((0.98..1.01 + owed).contains(&share), "{piece}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_rate_holds_at_once_also_for_who_waits() {
    let throttle = Arc::new(Throttle::new(Some(1_000)));
    throttle.pass(1_000_000).await;
    // At the old rate it would wait for a thousand seconds.
    let waiting = tokio::spawn({
        let throttle = Arc::clone(&throttle);
        async move {
            throttle.pass(1).await;
            Instant::now()
        }
    });
    sleep(Duration::from_secs(10)).await;
    assert!(!waiting.is_finished());
    let changed = Instant::now();
    throttle.set_rate(Some(990_000));
    let waited = waiting.await.unwrap() - changed;
    assert!((0.9..1.1).contains(&waited.as_secs_f64()), "{waited:?}");

    throttle.pass(99_000_000).await;
    let changed = Instant::now();
    throttle.set_rate(None);
    throttle.pass(u64::MAX).await;
    assert_eq!(Instant::now(), changed, "what is open keeps nobody");
    assert_eq!(throttle.rate(), None);
    throttle.set_rate(Some(RATE));
    throttle.pass(1).await;
    assert_eq!(Instant::now(), changed, "and forgives what was owed");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_nothing_keeps_everybody_until_it_changes() {
    let throttle = Arc::new(Throttle::new(Some(0)));
    let week = Duration::from_secs(7 * 86_400);
    assert!(timeout(week, throttle.pass(1)).await.is_err());
    let waiting = tokio::spawn({
        let throttle = Arc::clone(&throttle);
        async move { throttle.pass(1).await }
    });
    sleep(Duration::from_secs(1)).await;
    throttle.set_rate(Some(RATE));
    let soon = Duration::from_secs(1);
    timeout(soon, waiting).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_before_its_turn_is_not_counted() {
    let throttle = Throttle::new(Some(1_000));
    throttle.pass(10_000).await;
    for _ in 0..5 {
        let given_up = timeout(Duration::from_secs(1), throttle.pass(1 << 40)).await;
        assert!(given_up.is_err());
    }
    let began = Instant::now();
    throttle.pass(1).await;
    let waited = (Instant::now() - began).as_secs_f64();
    assert!((4.9..5.1).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_takes_as_long_as_its_rate_says_and_does_not_count_as_stalled() {
    let throttle = Arc::new(Throttle::new(Some(16_000)));
    let engine = Engine::new(EngineOptions {
        budget: ByteSize::mib(64),
        chunk: ByteSize::mib(4),
        chunk_max: ByteSize::mib(4),
        window: ByteSize::mib(16),
        // A chunk takes four minutes.
        stall_after: Duration::from_secs(30),
        hash_threads: 0,
        throttle: Some(Arc::clone(&throttle)),
        ..EngineOptions::default()
    })
    .unwrap();
    let source = FakeSource::new(content(16 * MIB));
    let sink = FakeSink::plain();
    let began = Instant::now();
    run(&engine, &source, &sink).await.unwrap();
    // The first of four chunks owes nobody.
    let expected = (12 * MIB) as f64 / 16_000.0;
    let took = (Instant::now() - began).as_secs_f64();
    assert!((took / expected - 1.0).abs() < 0.02, "{took} of {expected}");
    assert_eq!(sink.only_content(), source.content);
    rest(&engine).await;
}
