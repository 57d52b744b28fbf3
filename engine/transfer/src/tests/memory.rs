//! Everyone's memory: nobody starves, nothing is above the budget, and who waits knows for whom.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::UploadOrder;

use super::support::{FakeSink, FakeSource, MIB, Pace, content, engine, request, rest, sheet};
use crate::budget::{Ahead, Budget};
use crate::{Engine, Progress};

const SMALL: usize = 32 << 10;

/// One file whose every append takes 100 ms. Answers when it was done.
fn start(engine: &Engine, bytes: &[u8], into: &mut JoinSet<(usize, Duration)>) {
    let mut source = FakeSource::new(bytes.to_vec());
    source.asset.content_hash = None;
    let mut sheet = sheet();
    sheet.upload_order = UploadOrder::Any;
    sheet.states_content_hash = false;
    let pace = Pace {
        millis: vec![100],
        ..Pace::default()
    };
    let sink = FakeSink::new(sheet, pace, None);
    let engine = engine.clone();
    into.spawn(async move {
        let began = Instant::now();
        let (request, cancel) = (request(&source), CancellationToken::new());
        let moved = engine.transfer(&source, &sink, &request, &cancel).await;
        assert_eq!(moved.unwrap().bytes_moved, source.content.len() as u64);
        (source.content.len(), began.elapsed())
    });
}

/// When the last large and the last small file were done.
async fn race(large: &[u8], larges: usize, small: &[u8], smalls: usize) -> (Duration, Duration) {
    // Four chunks for all: little enough that everybody waits.
    let engine = engine(4, 3, 0);
    let mut files = JoinSet::new();
    for _ in 0..smalls / 2 {
        start(&engine, small, &mut files);
    }
    for _ in 0..larges {
        start(&engine, large, &mut files);
    }
    for _ in smalls / 2..smalls {
        start(&engine, small, &mut files);
    }
    let mut ends = (Duration::ZERO, Duration::ZERO);
    while let Some(done) = files.join_next().await {
        let (bytes, at) = done.unwrap();
        let end = match bytes > SMALL {
            true => &mut ends.0,
            false => &mut ends.1,
        };
        *end = at.max(*end);
        let gauges = engine.gauges();
        assert!(gauges.buffer_bytes <= gauges.budget_used_bytes);
        assert!(gauges.buffer_bytes + gauges.idle_bytes <= 16 * MIB as u64);
    }
    rest(&engine).await;
    ends
}

#[tokio::test(start_paused = true)]
async fn thousands_of_small_files_and_a_large_one_do_not_starve_each_other() {
    let (large, small) = (content(160 * MIB), content(SMALL));
    let (alone, _) = race(&large, 1, &small, 0).await;
    let (_, unhindered) = race(&large, 0, &small, 3000).await;
    let (beside, hindered) = race(&large, 1, &small, 3000).await;
    assert!(beside <= alone * 3, "{beside:?} instead of {alone:?}");
    assert!(
        hindered <= unhindered * 3,
        "{hindered:?} instead of {unhindered:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_large_files_let_the_small_ones_through() {
    let (large, small) = (content(24 * MIB), content(SMALL));
    let (_, unhindered) = race(&large, 0, &small, 100).await;
    let (last_large, hindered) = race(&large, 8, &small, 100).await;
    assert!(hindered > unhindered, "they share");
    assert!(
        hindered < last_large / 2,
        "{hindered:?} of {last_large:?}: small ones do not wait for all large ones"
    );
}

#[tokio::test]
async fn who_waits_for_memory_knows_who_is_ahead() {
    let budget = Budget::new(100, 1, 100);
    let holder = budget.admit(budget.customer(100), 100).await;
    let mut waiting = Vec::new();
    for bytes in [90, 20, 80] {
        let customer = budget.customer(bytes);
        let mut admission = {
            let budget = Arc::clone(&budget);
            Box::pin(async move { budget.admit(customer, bytes).await })
        };
        assert!(admission.as_mut().now_or_never().is_none());
        waiting.push((customer, admission));
    }
    let ahead = |files, larger| Some(Ahead { files, larger });
    let seen: Vec<_> = waiting
        .iter()
        .map(|(customer, _)| budget.ahead_of(*customer))
        .collect();
    assert_eq!(seen, [ahead(0, 0), ahead(1, 1), ahead(2, 1)]);
    drop(waiting.remove(0));
    assert_eq!(budget.ahead_of(waiting[1].0), ahead(1, 0));
    drop(holder);
    assert!((&mut waiting[0].1).now_or_never().is_some());
    assert_eq!(budget.ahead_of(waiting[0].0), None);
}

#[tokio::test]
async fn progress_names_the_queue_for_memory() {
    let budget = Budget::new(100, 1, 100);
    let (source, sink) = (FakeSource::new(Vec::new()), FakeSink::plain());
    let holder = budget.admit(budget.customer(100), 100).await;
    let mut waiting = Vec::new();
    for (bytes, expected) in [
        (50, "memory budget: next in line"),
        (40, "memory budget: 1 larger file ahead"),
        (30, "memory budget: 2 larger files ahead"),
        (60, "memory budget: 3 files ahead"),
        (45, "memory budget: 4 files ahead, 2 of them larger"),
    ] {
        let progress = Progress::new();
        let customer = progress.begin(bytes, &budget);
        let budget = Arc::clone(&budget);
        let mut admission = Box::pin(async move { budget.admit(customer, bytes).await });
        assert!(admission.as_mut().now_or_never().is_none());
        assert_eq!(progress.why(&source, &sink), expected);
        waiting.push(admission);
    }
    drop((waiting, holder));
    assert_eq!((budget.waiting(), budget.used_bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_memory_is_no_stall() {
    let engine = engine(1, 1, 0);
    let mut files = JoinSet::new();
    let slow = content(4 * MIB);
    for _ in 0..5 {
        let mut source = FakeSource::new(slow.clone());
        source.pace.millis = vec![50_000];
        let (engine, sink) = (engine.clone(), FakeSink::plain());
        files.spawn(async move {
            let (request, cancel) = (request(&source), CancellationToken::new());
            engine
                .transfer(&source, &sink, &request, &cancel)
                .await
                .unwrap();
        });
    }
    // The last one waits for 200 s.
    files.join_all().await;
    rest(&engine).await;
}

/// rclone#9685: a buffer of 48 MiB for every tiny file.
#[tokio::test(start_paused = true)]
async fn a_buffer_is_as_large_as_its_file() {
    let engine = engine(2, 2, 0);
    let mut files = JoinSet::new();
    for number in 0..200 {
        start(&engine, &content(1000 + number), &mut files);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let all: u64 = (0..200).map(|number| 1000 + number).sum();
    let gauges = engine.gauges();
    assert_eq!((gauges.transfers, gauges.budget_waiting), (200, 0));
    assert_eq!((gauges.buffer_bytes, gauges.budget_used_bytes), (all, all));
    files.join_all().await;
    rest(&engine).await;
}
