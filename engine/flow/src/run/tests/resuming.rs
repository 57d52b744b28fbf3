//! What was acknowledged is never sent again: after a failure, and after a crash at any moment.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_core::memory::Operation;
use windlass_core::{ByteSize, Kind, StepState};

use super::harbour::Mishap;
use super::support::{MIB, World, seconds};
use crate::RunOutcome;

#[tokio::test(start_paused = true)]
async fn a_large_file_that_fails_goes_on_behind_its_acknowledged_parts() {
    let world = World::new();
    world.file("film.mov", 41 * MIB + 17);
    world.sink.takes(Operation::Append, seconds(1));
    for (operation, call) in [
        (Operation::Append, 3),
        (Operation::Append, 8),
        (Operation::Commit, 1),
    ] {
        world
            .sink
            .mishap(operation, call, Mishap::Fails(Kind::Unavailable));
    }
    world
        .source
        .mishap(Operation::Read, 10, Mishap::Fails(Kind::Unavailable));
    let run = world.run().await;
    world.assert_all_placed();
    assert_eq!(world.sink.appended_twice(), 0);
    assert_eq!(world.sink.calls(Operation::Begin), 1);
    let step = world.steps(run).await.remove(0);
    assert!(step.attempt >= 4, "{} attempts", step.attempt);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_is_adopted_by_the_next_attempt_unread() {
    let world = World::new();
    world.file("film.mov", 9 * MIB);
    world.sink.mishap(Operation::CommitAnswer, 1, Mishap::Hangs);
    let mut world = world;
    world.options.stall_after = seconds(30);
    let run = world.run().await;
    world.assert_all_placed();
    assert_eq!(world.source.calls(Operation::Read), 3);
    assert_eq!(world.sink.calls(Operation::Commit), 1);
    assert_eq!(world.sink.calls(Operation::Find), 1);
    let step = world.steps(run).await.remove(0);
    assert_eq!((step.state, step.attempt), (StepState::Done, 2));
    let digests = windlass_core::Blake3::of(&super::support::content("film.mov", 9 * MIB));
    let asset = world.source.inner.assets().remove(0).id;
    let ledger: &dyn windlass_core::Ledger = world.ledger.as_ref();
    let placement = ledger
        .placements("move", "nas", &[asset])
        .await
        .unwrap()
        .remove(0);
    assert_eq!(placement.unwrap().digests.blake3, digests);
}

/// Works until a crash, which drops everything but the ledger and the services; then reaps and ends it.
async fn crash_after(after: Duration) -> World {
    let mut world = World::together(3);
    world.options.transfers = 2;
    world.options.lease = seconds(20);
    world.engine.window = ByteSize::mib(8);
    world.file("film.mov", 18 * MIB);
    world.file("other.mov", 9 * MIB);
    for index in 0..12 {
        world.file(&format!("small-{index:02}.tif"), 5_000);
    }
    world
        .sink
        .takes(Operation::Append, Duration::from_millis(400));
    world
        .sink
        .takes(Operation::Commit, Duration::from_millis(150));
    world
        .sink
        .takes(Operation::CommitAnswer, Duration::from_millis(150));
    let run = world.record().await;
    let never = CancellationToken::new();
    {
        let runner = world.runner();
        let work = Box::pin(runner.work(run, &never));
        if tokio::time::timeout(after, work).await.is_ok() {
            return world;
        }
    }
    // Longer than a lease.
    tokio::time::sleep(seconds(25)).await;
    assert_eq!(world.work(run).await.unwrap(), RunOutcome::Finished);
    let report = world.report(run).await;
    assert_eq!(
        report.total(StepState::Done).steps,
        14,
        "{:?}",
        report.failed
    );
    world
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_moment_sends_no_acknowledged_byte_again_and_places_nothing_twice() {
    for moment in 0..32 {
        let millis = moment * 97;
        let world = crash_after(Duration::from_millis(millis)).await;
        let twice = world.sink.appended_twice();
        // Small contents have no parts: one that was handed over and not committed is handed over again.
        assert_eq!(
            twice % 5_000,
            0,
            "crash after {millis} ms: {twice} bytes twice"
        );
        assert!(
            twice <= 3 * 5_000,
            "crash after {millis} ms: {twice} bytes twice"
        );
        world.assert_all_placed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_over_at_the_service_begins_anew() {
    let mut world = World::new();
    world.file("film.mov", 30 * MIB);
    world.sink.takes(Operation::Append, seconds(1));
    world.engine.window = ByteSize::mib(4);
    let run = world.record().await;
    world.options.deadline = Some(tokio::time::Instant::now() + seconds(3));
    world.options.drain = Duration::ZERO;
    assert_eq!(world.work(run).await.unwrap(), RunOutcome::Stopped);
    world.sink.inner.expire_sessions();
    world.options.deadline = None;
    world.work(run).await.unwrap();
    world.assert_all_placed();
    assert_eq!(world.sink.calls(Operation::Begin), 2);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_there_but_was_not_moved_by_this_run() {
    let mut world = World::new();
    world.file("film.mov", 40 * MIB);
    world.sink.takes(Operation::Append, seconds(1));
    world.engine.window = ByteSize::mib(4);
    let run = world.record().await;
    world.options.deadline = Some(tokio::time::Instant::now() + seconds(5));
    world.options.drain = Duration::ZERO;
    world.work(run).await.unwrap();
    let first = *world.seen.moved.lock().unwrap();
    assert!((12..=20).contains(&(first / MIB as u64)), "{first}");
    world.seen.statuses.lock().unwrap().clear();
    world.options.deadline = None;
    world.work(run).await.unwrap();
    assert_eq!(*world.seen.moved.lock().unwrap(), 40 * MIB as u64);
    let statuses = world.seen.statuses.lock().unwrap();
    let (_, early) = &statuses[1];
    assert!(early.bytes_there >= first, "{early:?}");
    let fastest = statuses.iter().map(|(_, status)| status.bytes_per_second);
    let fastest = fastest.fold(0.0, f64::max);
    // A part lands in one tick of a fifth of a second.
    assert!(fastest <= 20.5 * MIB as f64, "{fastest}");
}
