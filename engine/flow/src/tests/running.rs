//! Runs: many small steps beside few large ones, evidence, going on, stopping.

use super::*;

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| (at / 251) as u8 ^ (at as u8) ^ seed)
        .collect()
}

fn together_sheet(at_once: usize) -> windlass_core::Capabilities {
    windlass_core::Capabilities {
        together: Some(windlass_core::Together {
            bytes_max: 4 << 20,
            at_once,
        }),
        ..windlass_core::Endpoint::capabilities(&MemoryEndpoint::new("x")).clone()
    }
}

#[tokio::test]
async fn many_small_steps_and_a_large_one_end_and_leave_nothing_under_way() {
    let mut world = World::new();
    world.sink = MemoryEndpoint::with_capabilities("dam", together_sheet(100));
    world.transfers = 1;
    for index in 0..1_500 {
        world.file(
            &format!("/In/ACME/Approved/{index:04}.tif"),
            &bytes(100, index as u8),
        );
    }
    world.file("/In/ACME/Approved/large.mov", &bytes(9 << 20, 7));
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 1_501);
    assert_eq!(world.sink.open_sessions(), 0);
    // The plan was made a moment ago: no asset was asked for once more.
    assert_eq!(world.source.calls(Operation::Stat), 0);
}

#[tokio::test]
async fn a_large_file_that_breaks_goes_on_where_it_was_within_the_run() {
    let world = World::new();
    world.file("/In/ACME/Approved/large.mov", &bytes(22 << 20, 3));
    for _ in 0..2 {
        world
            .sink
            .inject(Operation::AppendAnswer, Kind::Unavailable);
    }
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 1);
    // Six parts; what was kept although its answer was lost is not sent again.
    assert_eq!(world.sink.calls(Operation::Append), 6);
    assert_eq!(world.sink.open_sessions(), 0);
}

#[tokio::test]
async fn being_turned_away_is_no_failure_of_a_step() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"a");
    let mut runner = world.runner();
    runner.options.tries = 1;
    let run = runner.record(&world.plan().await).await.unwrap();
    world.sink.inject(Operation::Begin, Kind::Limited);
    let never = CancellationToken::new();
    let work = runner.work(run, &never);
    let ended = tokio::time::timeout(Duration::from_millis(200), work).await;
    assert!(ended.is_err(), "it waits its time");
    let step = world.ledger.steps(run, None, 9).await.unwrap().remove(0);
    assert_eq!(step.state, StepState::Open);
    assert!(step.message.is_some(), "and says why");
}

#[tokio::test]
async fn evidence_by_reading_back_is_recorded_and_a_disagreement_is_undone_once() {
    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"read me back");
    let mut runner = world.runner();
    runner.options.evidence = Evidence::E3;
    let plan = world.plan().await;
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    let steps = world.ledger.steps(run, None, 9).await.unwrap();
    let placed = steps[0].placed.clone().unwrap();
    assert_eq!(placed.evidence, Evidence::E3);

    let world = World::new();
    world.file("/In/ACME/Approved/a.tif", b"read me back");
    let mut runner = world.runner();
    runner.options.evidence = Evidence::E3;
    // Reads come back with other bytes than were written, each time.
    let liar = MemoryEndpoint::new("dam");
    runner.sink_reader = Some(Arc::new(liar.clone()));
    let plan = world.plan().await;
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    let report = world.report(run).await;
    assert_eq!(report.total(StepState::Done).steps, 0);
}

#[tokio::test]
async fn a_deadline_stops_in_order_and_the_run_goes_on_later() {
    let world = World::new();
    for index in 0..20 {
        world.file(
            &format!("/In/ACME/Approved/{index}.tif"),
            &bytes(300, index),
        );
    }
    let mut runner = world.runner();
    let run = runner.record(&world.plan().await).await.unwrap();
    runner.options.deadline = Some(tokio::time::Instant::now());
    let never = CancellationToken::new();
    assert_eq!(runner.work(run, &never).await.unwrap(), RunOutcome::Stopped);
    assert!(runner.engine.gauges().at_rest());
    runner.options.deadline = None;
    assert_eq!(
        runner.work(run, &never).await.unwrap(),
        RunOutcome::Finished
    );
    assert_eq!(world.sink.assets().len(), 20);
}

#[tokio::test]
async fn what_a_stop_dropped_in_the_middle_of_a_file_is_not_sent_again() {
    let mut world = World::new();
    world.file("/In/ACME/Approved/large.mov", &bytes(40 << 20, 9));
    world.transfers = 1;
    let mut runner = world.runner();
    runner.options.drain = Duration::ZERO;
    let run = runner.record(&world.plan().await).await.unwrap();
    // The fifth part never gets its answer: whoever waits for it is stopped.
    for _ in 0..4 {
        world
            .sink
            .inject(Operation::AppendAnswer, Kind::Unavailable);
    }
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        stop.cancel();
    });
    runner.work(run, &cancel).await.unwrap();
    let never = CancellationToken::new();
    runner.work(run, &never).await.unwrap();
    assert_eq!(world.sink.assets().len(), 1);
    assert_eq!(world.sink.calls(Operation::Append), 10, "each part once");
}

#[tokio::test]
async fn a_full_sink_ends_the_run_and_leaves_it_resumable() {
    let mut world = World::new();
    world.transfers = 1;
    for index in 0..5 {
        world.file(&format!("/In/ACME/Approved/{index}.tif"), &bytes(30, index));
    }
    let runner = world.runner();
    let run = runner.record(&world.plan().await).await.unwrap();
    world.sink.inject(Operation::Begin, Kind::Capacity);
    let error = runner
        .work(run, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Capacity);
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.sink.assets().len(), 5);
}
