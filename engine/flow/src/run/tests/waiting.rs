//! A run never sits silently: it says how far it is, what it waits for, and heals what does not move.

use std::time::Duration;

use windlass_core::memory::Operation;
use windlass_core::{ByteSize, StepState};

use super::harbour::Mishap;
use super::support::{MIB, World, seconds};

#[tokio::test(start_paused = true)]
async fn a_run_tells_how_far_how_fast_and_how_long() {
    let mut world = World::new();
    world.options.transfers = 1;
    world.engine.window = ByteSize::mib(4);
    world.file("film.mov", 160 * MIB);
    // 4 MiB a second.
    world.sink.takes(Operation::Append, seconds(1));
    world.run().await;
    let statuses = world.seen.statuses.lock().unwrap().clone();
    let at = |second: u64| {
        let after = statuses.iter().find(|(at, _)| *at >= second * 1_000 + 100);
        after.unwrap().1.clone()
    };
    let half = at(20);
    assert_eq!((half.steps, half.steps_ended, half.in_flight), (1, 0, 1));
    assert_eq!(half.bytes, 160 * MIB as u64);
    assert_eq!(half.bytes_there, 80 * MIB as u64);
    assert_eq!(half.bytes_moved, half.bytes_there);
    let pace = half.bytes_per_second / MIB as f64;
    assert!((3.5..4.5).contains(&pace), "{pace} MiB/s");
    let left = half.time_left.unwrap();
    assert!(left > seconds(17) && left < seconds(24), "{left:?}");
    let last = world.seen.last_status();
    assert!(last.bytes_there >= 156 * MIB as u64, "{last:?}");
    assert_eq!(*world.seen.moved.lock().unwrap(), 160 * MIB as u64);
    // Something moved all the time.
    assert_eq!(world.seen.told("waiting"), Vec::<String>::new());
    assert!(statuses.iter().all(|(_, status)| status.why.is_none()));
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_holds_back_is_said_every_5_s_and_is_no_stall() {
    let mut world = World::new();
    world.options.stall_after = seconds(10);
    world.file("a.tif", 10);
    world.sink.takes(Operation::Append, seconds(42));
    world.sink.hold_back(Some("the sink asked for 42 s more"));
    let run = world.run().await;
    let waits = world.seen.told("waiting");
    assert_eq!(waits.len(), 8, "{waits:?}");
    assert!(
        waits
            .iter()
            .all(|why| why == "the sink asked for 42 s more")
    );
    assert_eq!(world.seen.told("stalled"), Vec::<String>::new());
    assert_eq!(world.steps(run).await[0].attempt, 1);
    let told = world.seen.statuses.lock().unwrap();
    let why = told.iter().filter(|(_, status)| status.why.is_some());
    assert!(why.count() > 100, "a poller sees it too");
}

#[tokio::test(start_paused = true)]
async fn the_file_that_is_waited_for_is_named() {
    let world = World::new();
    world.file("a.tif", 10);
    world.file("b.tif", 10);
    world.sink.takes(Operation::Commit, seconds(12));
    world.run().await;
    assert_eq!(
        world.seen.told("waiting"),
        ["/In/a.tif and 1 more: waits for the sink to make the content visible"; 2]
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_is_not_the_one_to_be_named() {
    let mut world = World::new();
    world.options.transfers = 10;
    world.options.stall_after = seconds(10);
    world.engine.budget = ByteSize::mib(16);
    for index in 0..10 {
        world.file(&format!("{index}.mov"), 12 * MIB);
    }
    world.sink.takes(Operation::Append, seconds(7));
    world.run().await;
    world.assert_all_placed();
    assert_eq!(world.seen.told("stalled"), Vec::<String>::new());
    let waits = world.seen.told("waiting");
    assert!(!waits.is_empty());
    for why in waits {
        assert!(why.ends_with("waits for the sink to take bytes"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_move_is_named_dropped_and_goes_on_where_it_was() {
    let mut world = World::new();
    world.options.stall_after = seconds(30);
    world.engine.window = ByteSize::mib(4);
    world.file("film.mov", 20 * MIB);
    world.file("a.tif", 10);
    // The fourth append never answers.
    world.sink.takes(Operation::Append, seconds(1));
    world.sink.mishap(Operation::Append, 4, Mishap::Hangs);
    let run = world.run().await;
    world.assert_all_placed();
    assert_eq!(world.sink.appended_twice(), 0);
    let stalled = world.seen.told("stalled");
    assert_eq!(
        stalled,
        ["/In/film.mov 30 s: waits for the sink to take bytes"]
    );
    assert_eq!(world.seen.last_status().stalls, 1);
    let again = world.seen.told("again");
    assert!(again[0].contains("nothing moved for 30 s"), "{again:?}");
    let film = &world.steps(run).await[1];
    assert_eq!((film.attempt, film.state), (2, StepState::Done));
}

#[tokio::test(start_paused = true)]
async fn what_hangs_outside_of_a_transfer_is_healed_too() {
    let mut world = World::with(|sheet| sheet.range_reads = false, |_| {});
    world.options.stall_after = seconds(20);
    world.file("a.tif", 10);
    let run = world.record().await;
    tokio::time::sleep(seconds(100)).await;
    world.source.mishap(Operation::Stat, 1, Mishap::Hangs);
    world.work(run).await.unwrap();
    world.assert_all_placed();
    assert_eq!(
        world.seen.told("stalled"),
        ["/In/a.tif 20 s: waits for the source to say how the file is now"]
    );
    assert!(world.seen.told("waiting").len() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_a_failure_and_its_tries_are_counted() {
    let mut world = World::new();
    world.options.stall_after = seconds(10);
    world.options.tries = 3;
    world.file("a.tif", 10);
    world.sink.mishaps(Operation::Begin, 3, Mishap::Hangs);
    let run = world.run().await;
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.state, StepState::Failed);
    assert_eq!(step.error.as_deref(), Some("unavailable"));
    assert!(step.message.unwrap().contains("tries: 3"));
    assert_eq!(world.seen.last_status().stalls, 3);
}

#[tokio::test(start_paused = true)]
async fn a_thin_line_is_slow_and_not_stalled() {
    let mut world = World::new();
    world.options.stall_after = seconds(10);
    world.engine.window = ByteSize::mib(16);
    world.file("film.mov", 32 * MIB);
    // Four parts at once, each at a quarter of 1 MiB/s.
    world.sink.takes(Operation::Append, seconds(15));
    world.run().await;
    world.assert_all_placed();
    assert_eq!(world.seen.told("stalled"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_ledger_does_not_keep_a_run_from_stopping_at_once() {
    let mut world = World::new();
    world.file("a.tif", 10);
    let run = world.record().await;
    std::sync::Arc::get_mut(&mut world.ledger).unwrap().takes = Duration::from_secs(600);
    let stop = world.options.stop_now.clone();
    let began = tokio::time::Instant::now();
    let (ended, ()) = tokio::join!(world.work(run), async {
        // Reaping takes its 600 s, the lease is under way.
        tokio::time::sleep(seconds(700)).await;
        stop.cancel();
    });
    assert_eq!(ended.unwrap(), crate::RunOutcome::Stopped);
    // The last 600 s are those of giving the lease back.
    assert!(began.elapsed() < seconds(1_301), "{:?}", began.elapsed());
}
