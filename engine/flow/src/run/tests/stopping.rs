//! Stopping in order, at once and by a deadline: always in time, always resumable, never at a loss.

use tokio_util::sync::CancellationToken;
use windlass_core::memory::Operation;
use windlass_core::{ByteSize, Ledger, RunState, StepState};

use super::support::{MIB, World, seconds};
use crate::{RunOutcome, next_run_to_resume};

/// A large file of 4 MiB a second and small ones of a second each.
fn world() -> World {
    let mut world = World::together(2);
    world.options.transfers = 1;
    world.engine.window = ByteSize::mib(4);
    world.file("film.mov", 72 * MIB);
    for index in 0..20 {
        world.file(&format!("small-{index:02}.tif"), 100);
    }
    world.sink.takes(Operation::Append, seconds(1));
    world
}

/// Goes on with what was stopped, and checks that nothing was lost and nothing sent twice.
async fn assert_goes_on(world: &World, run: windlass_core::RunId) {
    let ledger: &dyn Ledger = world.ledger.as_ref();
    assert_eq!(
        ledger.runs(None, 1).await.unwrap()[0].state,
        RunState::Stopped
    );
    assert_eq!(next_run_to_resume(ledger, "move").await.unwrap(), Some(run));
    assert_eq!(world.work(run).await.unwrap(), RunOutcome::Finished);
    world.assert_all_placed();
    assert_eq!(world.sink.appended_twice(), 0);
    assert_eq!(world.sink.inner.assets().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_new_steps_and_does_not_wait_for_large_files() {
    let world = world();
    let run = world.record().await;
    let cancel = CancellationToken::new();
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(world.work_until(run, &cancel), async {
        tokio::time::sleep(seconds(3)).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap(), RunOutcome::Stopped);
    let took = began.elapsed();
    assert!(
        took >= seconds(8) && took < seconds(9),
        "3 s and the drain: {took:?}"
    );
    assert_eq!(world.seen.told("stopping"), ["Asked 5 s"]);
    // Two a second until the stop, and those that were under way then.
    let report = world.report(run).await;
    let small = report.total(StepState::Done).steps;
    assert!((6..=8).contains(&small), "{small} small files");
    // What the film had at the end of the drain is kept.
    assert!(
        world.sink.appended() >= 7 * 4 * MIB as u64,
        "{}",
        world.sink.appended()
    );
    let steps = world.steps(run).await;
    assert_eq!(steps[0].state, StepState::Open);
    assert_goes_on(&world, run).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_as_soon_as_nothing_is_in_flight() {
    let mut world = world();
    world.options.transfers = 1;
    world.source.inner.delete("/In/film.mov");
    world.file("z.mov", 5 * MIB);
    let run = world.record().await;
    let cancel = CancellationToken::new();
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(world.work_until(run, &cancel), async {
        tokio::time::sleep(seconds(1) / 2).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap(), RunOutcome::Stopped);
    assert!(began.elapsed() < seconds(3), "{:?}", began.elapsed());
    assert_goes_on(&world, run).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_request_stops_at_once_and_loses_nothing() {
    let world = world();
    let run = world.record().await;
    let cancel = CancellationToken::new();
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(world.work_until(run, &cancel), async {
        tokio::time::sleep(seconds(3)).await;
        cancel.cancel();
        tokio::time::sleep(seconds(1) / 2).await;
        world.options.stop_now.cancel();
    });
    assert_eq!(ended.unwrap(), RunOutcome::Stopped);
    assert_eq!(began.elapsed().as_millis(), 3_500);
    assert_eq!(world.seen.told("stopping"), ["Asked 5 s", "Now 0 s"]);
    let world = World {
        options: crate::RunOptions {
            stop_now: CancellationToken::new(),
            ..world.options.clone()
        },
        ..world
    };
    assert_goes_on(&world, run).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_stops_in_order_with_its_reason() {
    let mut world = world();
    let run = world.record().await;
    world.options.deadline = Some(tokio::time::Instant::now() + seconds(10));
    let began = tokio::time::Instant::now();
    assert_eq!(world.work(run).await.unwrap(), RunOutcome::Stopped);
    let took = began.elapsed();
    assert!(took >= seconds(15) && took < seconds(16), "{took:?}");
    assert_eq!(world.seen.told("stopping"), ["Deadline 5 s"]);
    world.options.deadline = None;
    assert_goes_on(&world, run).await;
}

#[tokio::test(start_paused = true)]
async fn stopping_over_and_over_is_no_lost_lease_and_gets_there_in_the_end() {
    let mut world = world();
    let run = world.record().await;
    let mut stops = 0;
    loop {
        world.options.deadline = Some(tokio::time::Instant::now() + seconds(2));
        world.options.drain = seconds(1);
        match world.work(run).await.unwrap() {
            RunOutcome::Stopped => stops += 1,
            RunOutcome::Finished => break,
        }
    }
    assert!(stops > 6, "{stops}");
    assert_eq!(world.report(run).await.total(StepState::Failed).steps, 0);
    assert_eq!(world.sink.appended_twice(), 0);
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_a_step_waits_to_be_tried_again_does_not_wait_for_it() {
    let world = World::new();
    world.file("a.tif", 10);
    let what = super::harbour::Mishap::Fails(windlass_core::Kind::Limited);
    world.sink.mishap(Operation::Begin, 1, what);
    let run = world.record().await;
    let cancel = CancellationToken::new();
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(world.work_until(run, &cancel), async {
        tokio::time::sleep(seconds(4)).await;
        cancel.cancel();
    });
    assert_eq!(ended.unwrap(), RunOutcome::Stopped);
    assert_eq!(began.elapsed(), seconds(4));
    world.work(run).await.unwrap();
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_anything_began_leaves_everything_for_later() {
    let world = world();
    let run = world.record().await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let ended = world.work_until(run, &cancel).await.unwrap();
    assert_eq!(ended, RunOutcome::Stopped);
    assert_goes_on(&world, run).await;
}
