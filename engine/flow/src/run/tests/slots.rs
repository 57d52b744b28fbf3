//! Small steps beside large ones: neither waits for the other, and the ledger is asked rarely.

use std::time::Duration;

use windlass_core::memory::Operation;
use windlass_core::{Action, StepState, Together};

use super::support::{MIB, World, seconds};
use crate::run::slots::{AHEAD_MAX, PACKET_MAX, Size, Slots};

const TOGETHER: Together = Together {
    bytes_max: 100,
    at_once: 3,
};

#[test]
fn what_shares_requests_is_small_and_everything_else_is_large() {
    let slots: Slots<()> = Slots::new(2, Some(TOGETHER));
    assert_eq!(slots.size_of(Action::Create, 100, true), Size::Small);
    assert_eq!(slots.size_of(Action::NewVersion, 0, true), Size::Small);
    assert_eq!(slots.size_of(Action::Create, 101, true), Size::Large);
    assert_eq!(slots.size_of(Action::Copy, 101, true), Size::Large);
    // What is copied at the sink has no size for us.
    assert_eq!(slots.size_of(Action::Copy, 101, false), Size::Small);
    assert_eq!(slots.size_of(Action::UpdateMetadata, 1, true), Size::Large);
    let slots: Slots<()> = Slots::new(2, None);
    assert_eq!(slots.size_of(Action::Create, 1, true), Size::Large);
}

#[test]
fn a_full_kind_does_not_hold_up_the_other() {
    let mut slots = Slots::new(1, Some(TOGETHER));
    for number in 0..5 {
        slots.wait(Size::Large, number);
        slots.wait(Size::Small, number + 10);
    }
    let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
    assert_eq!(
        taken,
        [
            (Size::Large, 0),
            (Size::Small, 10),
            (Size::Small, 11),
            (Size::Small, 12)
        ]
    );
    slots.give_back(Size::Small);
    assert_eq!(slots.take(), Some((Size::Small, 13)));
    assert_eq!(slots.take(), None);
    slots.give_back(Size::Large);
    assert_eq!(slots.take(), Some((Size::Large, 1)));
}

#[test]
fn packets_are_large_and_what_waits_is_bounded() {
    // Only small ones come: the large kind stays hungry, and that must not mean a call a step.
    let mut slots = Slots::new(8, Some(TOGETHER));
    let mut packets = Vec::new();
    let mut done = 0;
    while done < 20_000 {
        let wanted = slots.wanted(0);
        if wanted > 0 {
            packets.push(wanted);
            (0..wanted).for_each(|_| slots.wait(Size::Small, ()));
        }
        let running = std::iter::from_fn(|| slots.take()).count();
        assert!((1..=3).contains(&running));
        (0..running).for_each(|_| slots.give_back(Size::Small));
        done += running;
    }
    assert!(
        packets
            .iter()
            .all(|packet| (500..=PACKET_MAX).contains(packet))
    );
    assert!(
        packets.len() <= (20_000 + AHEAD_MAX) / 500,
        "{}",
        packets.len()
    );
}

#[test]
fn large_files_behind_many_small_ones_are_found() {
    let mut slots = Slots::new(2, Some(TOGETHER));
    let mut queue = (0..).map(|number| match number {
        1_500..1_510 => Size::Large,
        _ => Size::Small,
    });
    loop {
        let wanted = slots.wanted(0);
        if wanted == 0 {
            break;
        }
        for size in queue.by_ref().take(wanted) {
            slots.wait(size, size);
        }
    }
    let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
    let large = taken.iter().filter(|(size, _)| *size == Size::Large);
    assert_eq!(large.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn small_and_large_files_move_at_the_same_time_each_in_their_number() {
    let mut world = World::together(40);
    world.options.transfers = 3;
    for index in 0..9 {
        world.file(&format!("large-{index}.mov"), 9 * MIB);
    }
    for index in 0..400 {
        world.file(&format!("small-{index:03}.tif"), 2_000);
    }
    world.sink.takes(Operation::Append, seconds(1));
    world.run().await;
    assert_eq!(world.sink.uploads_at_once(), (40, 3));
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn five_thousand_small_files_cost_few_ledger_calls_and_no_call_too_many() {
    let world = World::together(1_000);
    for index in 0..5_000 {
        world.file(&format!("{index:04}.tif"), 100);
    }
    world
        .sink
        .takes(Operation::Append, Duration::from_millis(80));
    world
        .sink
        .takes(Operation::Commit, Duration::from_millis(80));
    let run = world.run().await;
    let report = world.report(run).await;
    assert_eq!(report.total(StepState::Done).steps, 5_000);
    world.assert_all_placed();

    let ledger = &world.ledger;
    // Packets of 500 to 1,000; the last call finds the queue empty.
    assert!(
        ledger.calls("lease") <= 9,
        "{} leases",
        ledger.calls("lease")
    );
    assert!(
        ledger.calls("finish") <= 25,
        "{} finishes",
        ledger.calls("finish")
    );
    assert_eq!(ledger.intents(), 5_000);
    assert!(ledger.calls("note") <= 25, "{} notes", ledger.calls("note"));
    assert_eq!(ledger.calls("unfinished"), 0);
    // The plan is fresh: nobody is asked again.
    assert_eq!(world.source.calls(Operation::Stat), 0);
    assert_eq!(world.source.calls(Operation::Read), 5_000);
    assert_eq!(world.sink.calls(Operation::Find), 0);
    assert_eq!(world.sink.calls(Operation::Begin), 5_000);
    assert_eq!(world.sink.calls(Operation::Commit), 5_000);
    assert_eq!(world.sink.calls(Operation::SetMetadata), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_plan_costs_a_look_for_large_files_only() {
    let world = World::together(10);
    for index in 0..50 {
        world.file(&format!("small-{index}.tif"), 100);
    }
    world.file("empty.txt", 0);
    world.file("large.mov", 5 * MIB);
    world.file("replaced.mov", 5 * MIB);
    let run = world.record().await;
    tokio::time::sleep(seconds(61)).await;
    world.file("replaced.mov", 6 * MIB);
    world.work(run).await.unwrap();
    assert_eq!(world.source.calls(Operation::Stat), 3);
    let steps = world.steps(run).await;
    let held: Vec<_> = steps
        .iter()
        .filter(|step| step.state == StepState::Held)
        .collect();
    assert_eq!(held.len(), 1);
    assert!(
        held[0]
            .message
            .as_ref()
            .unwrap()
            .contains("the source file changed since")
    );
    assert_eq!(world.sink.inner.assets().len(), 52);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_ranges_is_asked_about_every_file_of_an_old_plan() {
    let world = World::with(|sheet| sheet.range_reads = false, |_| {});
    for index in 0..5 {
        world.file(&format!("{index}.tif"), 100);
    }
    let run = world.record().await;
    tokio::time::sleep(seconds(61)).await;
    world.work(run).await.unwrap();
    assert_eq!(world.source.calls(Operation::Stat), 5);
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_small_enough_to_have_thousands_of() {
    let world = World::new();
    world.file("a.tif", 10);
    let plan = world.plan();
    let work = plan.steps.into_iter().next().unwrap().work.unwrap();
    let bytes = size_of_attempt(&world, work);
    assert!(
        bytes < 4 << 10,
        "{bytes} bytes, and the sheet may ask for 2,000 at once"
    );
}

fn size_of_attempt(world: &World, work: crate::Work) -> usize {
    use crate::run::{
        activity::Activity,
        journal::{Notebook, StepJournal},
        step::{Attempt, StepRunner},
    };
    use std::sync::Arc;
    let runner = world.runner();
    let steps = StepRunner::new(&runner, None);
    let step = windlass_core::StepId(1);
    let notebook = Arc::new(Notebook::new(runner.ledger));
    let attempt = Attempt {
        step,
        number: 1,
        began: tokio::time::Instant::now(),
        work,
        intent: None,
        held: None,
        touches: None,
        unlink: None,
        journal: Arc::new(StepJournal::new(
            notebook,
            step,
            1,
            windlass_core::Unfinished::default(),
        )),
        activity: Activity::new(),
    };
    std::mem::size_of_val(&steps.run(&attempt))
}

/// What one small step costs, with ledger and endpoints in memory: to be run alone, and optimised.
#[tokio::test]
#[ignore = "a measurement"]
async fn twenty_thousand_small_steps_take_less_than_two_seconds() {
    let world = World::together(1_000);
    for index in 0..20_000 {
        world.file(&format!("{index:05}.tif"), 100);
    }
    let run = world.record().await;
    let began = std::time::Instant::now();
    world.work(run).await.unwrap();
    let each = began.elapsed() / 20_000;
    assert!(each < Duration::from_micros(100), "{each:?} a step");
}
