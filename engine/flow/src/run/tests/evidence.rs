//! What is proved of what was placed, and what happens when it is not so.

use windlass_core::memory::Operation;
use windlass_core::{Evidence, Kind, StepState};

use super::harbour::Mishap;
use super::support::{MIB, World, seconds};

fn wanting(evidence: Evidence) -> World {
    let mut world = World::new();
    world.options.evidence = evidence;
    world
}

async fn evidences(world: &World, run: windlass_core::RunId) -> Vec<Evidence> {
    let steps = world.steps(run).await;
    let placed = steps.into_iter().filter_map(|step| step.placed);
    placed.map(|placed| placed.evidence).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_proves_by_itself_is_recorded_without_a_call() {
    let world = wanting(Evidence::E2);
    world.file("a.tif", 10);
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E2]);
    assert_eq!(world.sink.calls(Operation::Read), 0);
    assert_eq!(world.seen.told("found"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn reading_back_and_hashing_again_is_recorded_as_such() {
    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world.file("film.mov", 9 * MIB);
    world.file("empty.txt", 0);
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E3; 3]);
    assert_eq!(world.sink.calls(Operation::Read), 1 + 3);
    let report = world.report(run).await;
    assert_eq!(report.proved.get(&Evidence::E3), Some(&3));
    // What is read back is not counted as moved.
    assert_eq!(*world.seen.moved.lock().unwrap(), 10 + 9 * MIB as u64);
}

#[tokio::test(start_paused = true)]
async fn less_than_wanted_is_recorded_as_reached_and_found_once_a_run() {
    let mut world = World::with(|_| {}, |sheet| sheet.states_content_hash = false);
    world.options.evidence = Evidence::E2;
    world.file("a.tif", 10);
    world.file("b.tif", 10);
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E0; 2]);
    let found = world.seen.told("found");
    assert_eq!(
        found,
        ["dam: evidence E2 is wanted; E0 is all that it proves of itself, and is recorded so"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_be_read_is_a_finding_and_no_failure() {
    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world.file("b.tif", 10);
    let plan = world.plan();
    let mut runner = world.runner();
    runner.sink_reader = None;
    let run = runner.record(&plan).await.unwrap();
    let never = tokio_util::sync::CancellationToken::new();
    runner.work(run, &never).await.unwrap();
    assert_eq!(evidences(&world, run).await, [Evidence::E2; 2]);
    assert_eq!(world.seen.told("found").len(), 1);

    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world
        .sink
        .mishaps(Operation::Read, 9, Mishap::Fails(Kind::Denied));
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E2]);
    assert_eq!(world.seen.told("found").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn other_bytes_than_were_given_are_undone_and_placed_again_once() {
    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world.sink.mishap(Operation::Read, 1, Mishap::Spoils);
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E3]);
    assert_eq!(world.sink.calls(Operation::Remove), 1);
    assert_eq!(world.sink.calls(Operation::Commit), 2);
    world.assert_all_placed();
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.bytes_moved, 20);
    assert_eq!(step.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn other_bytes_twice_fail_with_both_digests_and_leave_nothing() {
    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world.sink.mishaps(Operation::Read, 2, Mishap::Spoils);
    let run = world.run().await;
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.state, StepState::Failed);
    assert_eq!(step.error.as_deref(), Some("integrity"));
    let message = step.message.unwrap();
    let right = windlass_core::Blake3::of(&super::support::content("a.tif", 10)).to_hex();
    let mut bytes = super::support::content("a.tif", 10);
    bytes[0] ^= 1;
    let wrong = windlass_core::Blake3::of(&bytes).to_hex();
    assert!(
        message.contains(&right) && message.contains(&wrong),
        "{message}"
    );
    assert!(message.contains("removed again"), "{message}");
    assert_eq!(world.sink.calls(Operation::Remove), 2);
    assert_eq!(world.sink.inner.assets(), []);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_back_right_now_is_adopted_and_read_back_later() {
    let world = wanting(Evidence::E3);
    world.file("film.mov", 9 * MIB);
    // Three reads are under way at once; each attempt ends with the first that fails.
    world
        .sink
        .mishap(Operation::Read, 1, Mishap::Fails(Kind::Unavailable));
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E3]);
    assert_eq!(world.sink.calls(Operation::Commit), 1);
    assert_eq!(world.sink.appended_twice(), 0);
    assert_eq!(world.source.calls(Operation::Read), 3);
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_undone_right_now_is_undone_by_the_next_attempt() {
    let world = wanting(Evidence::E3);
    world.file("a.tif", 10);
    world.sink.mishaps(Operation::Read, 2, Mishap::Spoils);
    world
        .sink
        .mishap(Operation::Remove, 1, Mishap::Fails(Kind::Unavailable));
    let run = world.run().await;
    assert_eq!(evidences(&world, run).await, [Evidence::E3]);
    assert_eq!(world.sink.inner.assets().len(), 1, "nothing twice");
    world.assert_all_placed();
    assert_eq!(world.sink.calls(Operation::Remove), 2);
}

#[tokio::test(start_paused = true)]
async fn reading_back_is_not_taken_for_a_stall_while_it_reads() {
    let mut world = wanting(Evidence::E3);
    world.options.stall_after = seconds(10);
    world.engine.window = windlass_core::ByteSize::mib(4);
    world.file("film.mov", 80 * MIB);
    world.sink.takes(Operation::Read, seconds(4));
    world.run().await;
    assert_eq!(world.seen.told("stalled"), Vec::<String>::new());
}
