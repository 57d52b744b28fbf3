//! Looking again while a run is worked off: what is added, what is not, and that a run ends, stops and goes on as others do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use windlass_core::memory::Operation;
use windlass_core::{AssetPath, Choices, Kind, Ledger, Result, RunId, RunState};

use super::harbour::Mishap;
use super::ledger::CountedLedger;
use super::support::{MIB, World, seconds};
use crate::{
    Admission, Arrivals, Bell, Beside, Duplicates, Flow, Ingest, IngestOptions, Plan, PlannedStep,
    Readiness, RunOutcome, Selection, Silent, next_run_to_resume,
};

/// Has the same answer for everything.
#[derive(Debug)]
struct Always(bool);

#[async_trait]
impl Admission for Always {
    async fn admits(&self, steps: &[PlannedStep]) -> Result<bool> {
        assert!(!steps.is_empty(), "nobody is asked about nothing");
        Ok(self.0)
    }
}

/// A film of 18 seconds and a picture of one.
fn world() -> World {
    let mut world = World::together(2);
    world.options.transfers = 1;
    world.engine.window = windlass_core::ByteSize::mib(4);
    world.file("film.mov", 72 * MIB);
    world.file("first.tif", 100);
    world.sink.takes(Operation::Append, seconds(1));
    world
}

fn flow(world: &World) -> Flow {
    Flow::Ingest(Box::new(Ingest {
        options: IngestOptions {
            flow: "move".into(),
            root: AssetPath::new("/In"),
            selection: Selection::default(),
            collection: AssetPath::new("/Out"),
            keep_folders: false,
            asset_type: None,
            set: std::collections::BTreeMap::new(),
            availability: None,
            choices: Choices::default(),
            ready: Readiness::default(),
            duplicates: Some(Duplicates::Place),
            retry_held: false,
        },
        source: Arc::new(world.source.clone()),
        sink: Arc::new(world.sink.clone()),
        hooks: None,
        informant: None,
        ledger: Arc::<CountedLedger>::clone(&world.ledger),
        arrivals: Arrivals::default(),
        observer: Arc::new(Silent),
        partners: None,
    }))
}

/// A run under way, and the bell of those who look beside it.
struct Pass {
    flow: Flow,
    bell: Bell,
    admission: Always,
    cancel: CancellationToken,
    run: RunId,
}

impl Pass {
    async fn of(world: &World) -> Pass {
        let flow = flow(world);
        let mut steps = Vec::new();
        let summary = flow.decide(&mut steps).await.unwrap();
        let plan = Plan { summary, steps };
        let run = world.runner().record(&plan).await.unwrap();
        Pass {
            flow,
            bell: Bell::default(),
            admission: Always(true),
            cancel: CancellationToken::new(),
            run,
        }
    }

    /// Works it off, at most a day.
    async fn work(&self, world: &World) -> RunOutcome {
        let beside = Beside {
            flow: &self.flow,
            bell: &self.bell,
            admission: &self.admission,
        };
        let runner = world.runner();
        let worked = runner.work_and_look(self.run, &self.cancel, &beside);
        let outcome = timeout(seconds(86_400), worked).await;
        assert!(runner.engine.gauges().at_rest());
        outcome.expect("it ends within a day").unwrap()
    }

    /// Works it off while somebody does something.
    async fn beside(&self, world: &World, people: impl Future<Output = ()>) -> RunOutcome {
        tokio::join!(self.work(world), people).0
    }

    /// Somebody saves a file so many seconds from now, and rings.
    async fn save(&self, world: &World, after: u64, name: &str) {
        sleep(seconds(after)).await;
        world.file(name, 100);
        self.bell.ring();
    }

    /// The run's steps: name, action, state.
    async fn steps(&self, world: &World) -> Vec<String> {
        let steps = world.steps(self.run).await.into_iter();
        let mut said: Vec<String> = steps
            .map(|step| {
                let name = step.path.name();
                format!("{name} {} {}", step.action, step.state.word())
            })
            .collect();
        said.sort();
        said
    }

    async fn assert_finished(&self, world: &World) {
        let record = world.ledger.run(self.run).await.unwrap().unwrap();
        assert_eq!(record.state, RunState::Finished);
        assert_eq!(world.ledger.next_due(self.run).await.unwrap(), None);
    }
}

/// When a file was there, in milliseconds from the beginning.
fn there(world: &World, name: &str) -> u64 {
    let lines = world.seen.lines.lock().unwrap();
    let line = format!("ended /In/{name} done ");
    let found = lines.iter().find(|(_, told)| *told == line);
    found.unwrap_or_else(|| panic!("{name} is not there")).0
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_is_saved_while_a_film_moves_does_not_wait_for_its_end() {
    let world = world();
    let pass = Pass::of(&world).await;
    let outcome = pass
        .beside(&world, pass.save(&world, 3, "second.tif"))
        .await;
    assert_eq!(outcome, RunOutcome::Finished);
    assert!(there(&world, "second.tif") < 6_000);
    assert!(there(&world, "film.mov") >= 18_000);
    pass.assert_finished(&world).await;
    world.assert_all_placed();
    let last = world.seen.last_status();
    assert_eq!((last.steps, last.bytes), (3, (72 * MIB + 200) as u64));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_is_not_done_with_is_not_added_again() {
    let world = world();
    for name in ["third.tif", "fourth.tif", "fifth.tif", "sixth.tif"] {
        world.file(name, 100);
    }
    let pass = Pass::of(&world).await;
    let ringing = async {
        for _ in 0..200 {
            sleep(Duration::from_millis(100)).await;
            pass.bell.ring();
        }
    };
    pass.beside(&world, ringing).await;
    assert_eq!(pass.steps(&world).await.len(), 6);
    pass.assert_finished(&world).await;
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn what_a_run_gave_up_is_left_to_the_next_pass() {
    let world = world();
    world.file("broken.tif", 100);
    let pass = Pass::of(&world).await;
    world
        .sink
        .mishaps(Operation::Begin, 3, Mishap::Fails(Kind::InvalidInput));
    let ringing = async {
        for second in 0..30 {
            pass.save(&world, 1, &format!("{second}.tif")).await;
        }
    };
    pass.beside(&world, ringing).await;
    let steps = pass.steps(&world).await;
    let failed = steps.iter().filter(|step| step.ends_with("failed")).count();
    let held = steps.iter().filter(|step| step.ends_with("held")).count();
    assert_eq!(failed + held, 3, "{steps:?}");
    for name in ["broken.tif", "film.mov", "first.tif"] {
        let of_it = steps.iter().filter(|step| step.starts_with(name)).count();
        assert_eq!(of_it, 1, "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_run_has_done_and_somebody_changed_then_becomes_a_version_beside_it() {
    let world = world();
    let pass = Pass::of(&world).await;
    let people = async {
        sleep(seconds(4)).await;
        world.file("first.tif", 333);
        pass.bell.ring();
    };
    pass.beside(&world, people).await;
    let steps = pass.steps(&world).await;
    assert_eq!(
        steps,
        [
            "film.mov create done",
            "first.tif create done",
            "first.tif new-version done"
        ]
    );
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn what_is_found_once_the_last_step_has_ended_is_still_done() {
    let world = world();
    let pass = Pass::of(&world).await;
    // The look goes on when the film has been there for long.
    world.source.takes(Operation::Changes, seconds(30));
    pass.beside(&world, pass.save(&world, 3, "late.tif")).await;
    assert!(there(&world, "late.tif") >= 33_000);
    pass.assert_finished(&world).await;
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_look() {
    let world = world();
    let pass = Pass::of(&world).await;
    world.source.takes(Operation::Changes, seconds(600));
    let began = Instant::now();
    let people = async {
        pass.save(&world, 3, "second.tif").await;
        sleep(seconds(1)).await;
        pass.cancel.cancel();
    };
    assert_eq!(pass.beside(&world, people).await, RunOutcome::Stopped);
    assert!(began.elapsed() < seconds(10), "4 s and the drain");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_outlives_its_run_ends_when_it_is_asked_to_stop() {
    let world = world();
    let pass = Pass::of(&world).await;
    world.source.takes(Operation::Changes, seconds(600));
    let began = Instant::now();
    let people = async {
        pass.save(&world, 3, "second.tif").await;
        sleep(seconds(27)).await;
        pass.cancel.cancel();
    };
    assert_eq!(pass.beside(&world, people).await, RunOutcome::Finished);
    assert!(began.elapsed() < seconds(31));
    pass.assert_finished(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_harms_no_run_and_the_next_one_finds_it() {
    let world = world();
    let pass = Pass::of(&world).await;
    let failing = Mishap::Fails(Kind::Unavailable);
    world.source.mishap(Operation::Changes, 1, failing);
    let people = async {
        pass.save(&world, 3, "second.tif").await;
        sleep(seconds(5)).await;
        assert!(world.sink.inner.asset_at("/Out/second.tif").is_none());
        pass.bell.ring();
    };
    assert_eq!(pass.beside(&world, people).await, RunOutcome::Finished);
    assert!(there(&world, "second.tif") < 12_000);
    world.assert_all_placed();
}

#[tokio::test(start_paused = true)]
async fn who_is_rung_for_all_the_time_looks_a_fifth_of_it() {
    let world = world();
    let pass = Pass::of(&world).await;
    world.source.takes(Operation::Changes, seconds(1));
    let before = world.source.calls(Operation::Changes);
    let ringing = async {
        for _ in 0..180 {
            sleep(Duration::from_millis(100)).await;
            pass.bell.ring();
        }
    };
    pass.beside(&world, ringing).await;
    let looks = world.source.calls(Operation::Changes) - before;
    assert!((3..=5).contains(&looks), "{looks} in 18 s");
}

#[tokio::test(start_paused = true)]
async fn beside_more_steps_than_it_is_worth_nobody_looks() {
    let world = world();
    for number in 0..10_000 {
        world.file(&format!("{number}.tif"), 1);
    }
    let pass = Pass::of(&world).await;
    let before = world.source.calls(Operation::Changes);
    let people = async {
        pass.save(&world, 2, "late.tif").await;
        sleep(seconds(1)).await;
        let looks = world.source.calls(Operation::Changes) - before;
        assert_eq!(looks, 0, "it decides about nothing");
        pass.cancel.cancel();
    };
    // None is done by then.
    world.sink.takes(Operation::Append, seconds(600));
    assert_eq!(pass.beside(&world, people).await, RunOutcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_admitted_is_not_added() {
    let world = world();
    let mut pass = Pass::of(&world).await;
    pass.admission = Always(false);
    pass.beside(&world, pass.save(&world, 3, "second.tif"))
        .await;
    assert_eq!(pass.steps(&world).await.len(), 2);
    pass.assert_finished(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_a_run_that_goes_on_with_what_was_added() {
    let world = world();
    let pass = Pass::of(&world).await;
    let working = pass.beside(&world, async {
        pass.save(&world, 3, "second.tif").await;
        std::future::pending().await
    });
    let crashed = timeout(Duration::from_millis(4_500), working).await;
    assert!(crashed.is_err());
    assert_eq!(pass.steps(&world).await.len(), 3, "it was added by then");
    let ledger: &dyn Ledger = world.ledger.as_ref();
    let run = next_run_to_resume(ledger, "move").await.unwrap();
    assert_eq!(run, Some(pass.run));
    // Leases of a process that is gone end by themselves.
    assert_eq!(pass.work(&world).await, RunOutcome::Finished);
    world.assert_all_placed();
    assert_eq!(world.sink.inner.assets().len(), 3);
}
