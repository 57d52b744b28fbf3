//! Notes of many attempts are few calls, durable when they return, and refused once another attempt has the step.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use windlass_core::memory::MemoryLedger;
use windlass_core::{
    Blake3, Digests, Journal, Kind, Ledger, Part, StepId, StepState, Unfinished, WorkerId,
};

use super::ledger::CountedLedger;
use super::support::{PausedClock, World};
use crate::run::journal::{Notebook, StepJournal};

fn digests(of: u32) -> Digests {
    Digests {
        size: u64::from(of),
        blake3: Blake3::of(&of.to_le_bytes()),
        content_hash: None,
    }
}

fn journal(notebook: &Arc<Notebook>, step: StepId, attempt: u32) -> StepJournal {
    StepJournal::new(Arc::clone(notebook), step, attempt, Unfinished::default())
}

/// A ledger in which `steps` steps are leased, each by its first attempt.
async fn leased(steps: usize, takes: Duration) -> (Arc<CountedLedger>, Vec<StepId>) {
    let world = World::new();
    for index in 0..steps {
        world.file(&format!("{index:05}.tif"), 1);
    }
    let run = world.record().await;
    let worker = WorkerId::fresh();
    let limit = u32::try_from(steps).unwrap();
    let ttl = Duration::from_secs(3600);
    let leased = world.ledger.inner.lease(run, &worker, limit, ttl).await;
    let ids: Vec<StepId> = leased.unwrap().iter().map(|step| step.id).collect();
    assert_eq!(ids.len(), steps);
    let mut ledger = CountedLedger::new(world.ledger.inner.clone());
    ledger.takes = takes;
    (Arc::new(ledger), ids)
}

async fn intend_all(ledger: &Arc<CountedLedger>, ids: &[StepId]) {
    let notebook = Arc::new(Notebook::new(Arc::<CountedLedger>::clone(ledger)));
    let mut tasks = JoinSet::new();
    for id in ids {
        let journal = journal(&notebook, *id, 1);
        let (ledger, id) = (Arc::clone(ledger), *id);
        tasks.spawn(async move {
            let digests = digests(u32::try_from(id.0).unwrap());
            journal.intend(&digests).await.unwrap();
            let noted = ledger.inner.unfinished(&[id]).await.unwrap();
            assert_eq!(noted[0].intent, Some(digests), "durable when it returns");
        });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.len(), ids.len());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_intents_at_once_are_a_few_calls() {
    for takes in [0, 4] {
        let (ledger, ids) = leased(1_000, Duration::from_millis(takes)).await;
        intend_all(&ledger, &ids).await;
        assert_eq!(ledger.notes().len(), 1_000);
        assert!(ledger.calls("note") <= 3, "{} calls", ledger.calls("note"));
    }
}

#[tokio::test(start_paused = true)]
async fn more_notes_than_a_call_takes_are_all_written() {
    let (ledger, ids) = leased(2_500, Duration::from_millis(1)).await;
    intend_all(&ledger, &ids).await;
    assert_eq!(ledger.notes().len(), 2_500);
    assert!(ledger.calls("note") <= 5, "{} calls", ledger.calls("note"));
}

#[tokio::test(start_paused = true)]
async fn the_same_notes_make_the_same_calls() {
    let mut calls = Vec::new();
    for _ in 0..3 {
        let (ledger, ids) = leased(700, Duration::from_millis(2)).await;
        intend_all(&ledger, &ids).await;
        let steps: Vec<StepId> = ledger.notes().iter().map(|note| note.step).collect();
        calls.push((ledger.calls("note"), steps));
    }
    assert_eq!(calls[0], calls[1]);
    assert_eq!(calls[0], calls[2]);
}

#[tokio::test(start_paused = true)]
async fn who_is_dropped_while_it_writes_leaves_the_pile_to_the_next() {
    let (ledger, ids) = leased(3, Duration::from_secs(1)).await;
    let notebook = Arc::new(Notebook::new(Arc::<CountedLedger>::clone(&ledger)));
    let spawn = |id: StepId| {
        let journal = journal(&notebook, id, 1);
        tokio::spawn(async move { journal.intend(&digests(7)).await })
    };
    let tasks: Vec<_> = ids.iter().map(|id| spawn(*id)).collect();
    // The first one has the pen by now and waits for the ledger.
    tokio::time::sleep(Duration::from_millis(500)).await;
    tasks[0].abort();
    for task in tasks.into_iter().skip(1) {
        task.await.unwrap().unwrap();
    }
    let noted = ledger.inner.unfinished(&ids).await.unwrap();
    assert_eq!(noted[1].intent, Some(digests(7)));
    assert_eq!(noted[2].intent, Some(digests(7)));
}

#[tokio::test(start_paused = true)]
async fn a_failing_ledger_is_everybodys_answer() {
    let (ledger, ids) = leased(5, Duration::ZERO).await;
    ledger.inner.close().await.unwrap();
    let notebook = Arc::new(Notebook::new(Arc::<CountedLedger>::clone(&ledger)));
    let mut tasks = JoinSet::new();
    for id in ids {
        let journal = journal(&notebook, id, 1);
        tasks.spawn(async move { journal.opened("session").await });
    }
    for outcome in tasks.join_all().await {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::Unexpected);
        assert!(error.chain().contains("the ledger is closed"), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_note_of_an_attempt_that_lost_its_step_is_a_conflict() {
    let (ledger, ids) = leased(2, Duration::ZERO).await;
    let notebook = Arc::new(Notebook::new(Arc::<CountedLedger>::clone(&ledger)));
    let old = journal(&notebook, ids[0], 0);
    let current = journal(&notebook, ids[1], 1);
    assert_eq!(
        old.opened("session").await.unwrap_err().kind(),
        Kind::Conflict
    );
    assert!(old.is_stale());
    current.opened("session").await.unwrap();
    assert!(!current.is_stale());
    let noted = ledger.inner.unfinished(&ids).await.unwrap();
    assert_eq!(noted[0].session, None);
    assert_eq!(noted[1].session.as_deref(), Some("session"));
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_notes_is_what_the_next_one_finds_once() {
    let (ledger, ids) = leased(1, Duration::ZERO).await;
    let notebook = Arc::new(Notebook::new(Arc::<CountedLedger>::clone(&ledger)));
    let first = journal(&notebook, ids[0], 1);
    let part = Part {
        offset: 0,
        length: 4,
        digest: Vec::from([1, 2]).into(),
    };
    first.opened("session").await.unwrap();
    assert!(!first.moved_on());
    first.acknowledged(part.clone()).unwrap();
    first.intend(&digests(4)).await.unwrap();
    assert!(first.moved_on());
    assert_eq!((ledger.calls("jot"), ledger.calls("note")), (1, 2));

    let left = ledger.unfinished(&ids).await.unwrap().remove(0);
    let next = StepJournal::new(notebook, ids[0], 1, left);
    let found = next.take_unfinished();
    assert_eq!(found.session.as_deref(), Some("session"));
    assert_eq!(found.parts, [part]);
    assert_eq!(found.intent, Some(digests(4)));
    assert_eq!(next.take_unfinished(), Unfinished::default());
    next.restarted().await.unwrap();
    let left = ledger.unfinished(&ids).await.unwrap().remove(0);
    assert_eq!(left, Unfinished::default());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_lost_its_step_ends_without_touching_its_outcome() {
    let world = World::new();
    world.file("a.tif", 10);
    let run = world.record().await;
    // While the attempt moves bytes its lease ends, and another worker takes and holds the step.
    world.sink.takes(
        windlass_core::memory::Operation::Append,
        Duration::from_secs(100),
    );
    let thief = async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        let ledger: &MemoryLedger = &world.ledger.inner;
        let stolen = steal(ledger, run).await;
        assert_eq!(stolen, 1);
    };
    let cancel = tokio_util::sync::CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(120)).await;
        cancel.cancel();
    };
    let (ended, (), ()) = tokio::join!(world.work_alone(run, &cancel), thief, stop);
    ended.unwrap();
    let step = world.steps(run).await.remove(0);
    assert_eq!(step.state, StepState::Leased, "{:?}", step.message);
    assert_eq!(step.attempt, 2);
    assert_eq!(world.seen.told("ended"), Vec::<String>::new());
    assert_eq!(world.seen.told("again"), Vec::<String>::new());
    assert_eq!(world.sink.inner.assets(), []);
}

/// Takes everything of a run for another worker, as after a lease that ended.
async fn steal(ledger: &MemoryLedger, run: windlass_core::RunId) -> usize {
    // A paused laptop: nobody renewed, and the lease ended.
    let steps = ledger.steps(run, None, 9).await.unwrap();
    for step in steps {
        let report = windlass_core::StepReport {
            took: Duration::ZERO,
            id: step.id,
            attempt: step.attempt,
            outcome: windlass_core::Outcome::Retry {
                after: Duration::ZERO,
                message: "the lease ended".into(),
            },
        };
        ledger.finish(&[report]).await.unwrap();
    }
    let ttl = Duration::from_secs(3600);
    let leased = ledger.lease(run, &WorkerId::fresh(), 9, ttl).await.unwrap();
    leased.len()
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_a_test_world_is_the_paused_one() {
    use windlass_core::Clock;
    let clock = PausedClock::new();
    let before = clock.now();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(clock.now().duration_since(before).as_secs(), 60);
}
