//! Trying again is a state: with a reason, a time, and a run that is not over before.

use std::time::Duration;

use windlass_core::memory::Operation;
use windlass_core::{Kind, RunState, Status, StepState};

use super::harbour::Mishap;
use super::support::{MIB, World, seconds};

#[tokio::test(start_paused = true)]
async fn being_put_off_costs_no_try_however_often_it_happens() {
    let mut world = World::new();
    world.options.tries = 1;
    world.file("a.tif", 10);
    world
        .sink
        .mishaps(Operation::Begin, 20, Mishap::Fails(Kind::Limited));
    world.run().await;
    world.assert_all_placed();
    assert_eq!(world.sink.calls(Operation::Begin), 21);
    let again = world.seen.told("again");
    assert_eq!(again.len(), 20);
    assert!(
        again
            .iter()
            .all(|line| line.contains("in 30000 ms: Begin fails")),
        "{again:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_over_while_a_step_waits_to_be_tried_again() {
    let world = World::new();
    world.file("a.tif", 10);
    world.file("b.tif", 10);
    world
        .sink
        .mishap(Operation::Begin, 1, Mishap::Fails(Kind::Limited));
    let run = world.record().await;
    let look = async {
        tokio::time::sleep(seconds(20)).await;
        let steps = world.steps(run).await;
        let waiting = steps
            .iter()
            .find(|step| step.state == StepState::Open)
            .unwrap();
        assert!(waiting.message.as_ref().unwrap().contains("Begin fails"));
        let runs = world.ledger.inner.clone();
        let state = windlass_core::Ledger::runs(&runs, None, 1).await.unwrap()[0].state;
        assert_eq!(state, RunState::Running);
        let status = world.seen.last_status();
        assert_eq!((status.waiting_to_try_again, status.in_flight), (1, 0));
        assert_eq!(status.steps_ended, 1);
    };
    let (ended, ()) = tokio::join!(world.work(run), look);
    ended.unwrap();
    world.assert_all_placed();
    let waits = world.seen.told("waiting");
    assert_eq!(waits[0], "waiting 25 s to try 1 file again", "{waits:?}");
    assert_eq!(waits.len(), 5, "every 5 s: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_each_time_and_the_last_one_names_the_first() {
    let world = World::new();
    world.file("a.tif", 10);
    world
        .sink
        .mishap(Operation::Begin, 1, Mishap::Fails(Kind::Unavailable));
    world
        .sink
        .mishaps(Operation::Commit, 3, Mishap::Fails(Kind::Unavailable));
    let run = world.run().await;
    let again = world.seen.told("again");
    let waits: Vec<_> = again
        .iter()
        .map(|line| line.split(' ').nth(2).unwrap())
        .collect();
    assert_eq!(waits, ["2000", "4000", "8000"]);
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.state, StepState::Failed);
    let message = step.message.unwrap();
    assert!(message.starts_with("Commit fails"), "{message}");
    assert!(
        message.contains("tries: 4, the first failed with: Begin fails"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_tries_ran_out_is_one_failure_of_its_step() {
    let world = World::new();
    world.file("a.tif", 10);
    let in_vain = Mishap::FailsAs(Kind::Unavailable, Status::Persistent);
    world.sink.mishaps(Operation::Begin, 3, in_vain);
    world.run().await;
    world.assert_all_placed();
    assert_eq!(world.seen.told("again").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_brought_its_file_forward_begins_the_count_anew() {
    let mut world = World::new();
    world.options.tries = 2;
    world.options.transfers = 1;
    // One part at a time, and every second append fails: never two failures without a part between.
    world.engine.window = windlass_core::ByteSize::mib(4);
    world.file("film.mov", 40 * MIB);
    for call in 1..=9 {
        world.sink.mishap(
            Operation::Append,
            2 * call,
            Mishap::Fails(Kind::Unavailable),
        );
    }
    world.run().await;
    world.assert_all_placed();
    assert_eq!(world.sink.appended_twice(), 0);
    assert_eq!(world.seen.told("again").len(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_person_is_held_with_its_reason_and_not_tried_again() {
    for (kind, operation) in [
        (Kind::Restricted, Operation::Read),
        (Kind::InvalidInput, Operation::Commit),
    ] {
        let world = World::new();
        world.file("a.tif", 10);
        world.file("b.tif", 10);
        world.source.mishap(operation, 1, Mishap::Fails(kind));
        world.sink.mishap(operation, 1, Mishap::Fails(kind));
        let run = world.run().await;
        let report = world.report(run).await;
        assert_eq!(report.total(StepState::Held).steps, 1, "{kind:?}");
        assert_eq!(report.total(StepState::Done).steps, 1, "{kind:?}");
        assert_eq!(world.seen.told("again"), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_was_renewed_meanwhile_is_only_tried_again() {
    let world = World::new();
    world.file("a.tif", 10);
    let renewed = Mishap::FailsAs(Kind::Unauthenticated, Status::Temporary);
    world.sink.mishap(Operation::Append, 1, renewed);
    world.run().await;
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn everybodys_trouble_ends_the_run_and_leaves_it_resumable() {
    for kind in [Kind::Unauthenticated, Kind::Capacity] {
        let world = World::new();
        for index in 0..6 {
            world.file(&format!("{index}.mov"), 5 * MIB);
        }
        let run = world.record().await;
        world.sink.takes(Operation::Append, seconds(1));
        world.sink.mishap(Operation::Append, 4, Mishap::Fails(kind));
        let error = world.work(run).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(world.report(run).await.total(StepState::Failed).steps, 0);
        world.work(run).await.unwrap();
        world.assert_all_placed();
        // The transfer that met the trouble gave its session up; the others go on where they were.
        let twice = world.sink.appended_twice();
        assert!(twice <= 5 * MIB as u64, "{twice}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_steps_of_another_worker_are_waited_for_and_taken_over() {
    let world = World::new();
    world.file("a.tif", 10);
    let run = world.record().await;
    let other = windlass_core::WorkerId::fresh();
    let ledger: &dyn windlass_core::Ledger = world.ledger.as_ref();
    let leased = ledger.lease(run, &other, 1, seconds(40)).await.unwrap();
    assert_eq!(leased.len(), 1);
    world.work(run).await.unwrap();
    world.assert_all_placed();
    let waits = world.seen.told("waiting");
    assert!(
        waits[0].starts_with("another worker holds the last steps"),
        "{waits:?}"
    );
    assert!(waits.len() >= 7, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn steps_due_at_once_are_taken_at_once() {
    let world = World::new();
    world.file("a.tif", 10);
    world
        .sink
        .mishap(Operation::Begin, 1, Mishap::Fails(Kind::Unavailable));
    let began = tokio::time::Instant::now();
    world.run().await;
    let took = began.elapsed();
    assert!(
        took >= seconds(2) && took < seconds(2) + Duration::from_millis(200),
        "{took:?}"
    );
}
