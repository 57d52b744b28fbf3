//! Which steps are taken when, by whom, and how leases end.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use super::*;

pub async fn nothing_is_taken_from_a_plan_that_is_not_complete(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = RunId::fresh();
    let worker = WorkerId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    ledger.add_steps(run, &[step(1)]).await.unwrap();
    for state in [RunState::Planning, RunState::Abandoned] {
        ledger.set_run_state(run, state).await.unwrap();
        assert!(take(ledger, run, &worker, 9).await.is_empty(), "{state:?}");
        assert_eq!(ledger.next_due(run).await.unwrap(), None, "{state:?}");
    }
    for state in [RunState::Running, RunState::Stopped] {
        ledger.set_run_state(run, state).await.unwrap();
        assert_eq!(
            ledger.next_due(run).await.unwrap(),
            Some(Duration::ZERO),
            "{state:?}"
        );
        assert_eq!(take(ledger, run, &worker, 9).await.len(), 1, "{state:?}");
        ledger.release(&worker).await.unwrap();
    }
}

pub async fn steps_are_taken_once_in_order_and_no_more_than_asked(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let mut skipped = step(9);
    (skipped.state, skipped.action) = (StepState::Skipped, Action::Skip);
    let first = [step(1), step(2), skipped, step(3)];
    ledger.add_steps(run, &first).await.unwrap();
    ledger.add_steps(run, &[step(4), step(5)]).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let (one, two) = (WorkerId::fresh(), WorkerId::fresh());
    assert!(take(ledger, run, &one, 0).await.is_empty());
    let mut taken = take(ledger, run, &one, 2).await;
    assert_eq!(taken.len(), 2);
    taken.extend(take(ledger, run, &two, 9).await);
    assert!(take(ledger, run, &one, 9).await.is_empty());
    assert_eq!(
        taken.iter().map(|step| step.size).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert!(taken.is_sorted_by_key(|step| step.id));
    assert!(taken.iter().all(|step| step.attempt == 1));
    assert_eq!(taken[2].payload, "{\"n\":3}");
    assert_eq!(taken[2].action, Action::Create);
    assert_eq!(ledger.next_due(run).await.unwrap(), None);
}

pub async fn steps_of_other_runs_are_left_alone(ledger: &dyn Ledger, clock: &ManualClock) {
    let (one, two) = (running(ledger, 2).await, running(ledger, 3).await);
    let worker = WorkerId::fresh();
    assert_eq!(take(ledger, one, &worker, 9).await.len(), 2);
    assert_eq!(take(ledger, two, &worker, 9).await.len(), 3);
    clock.advance(TTL);
    assert_eq!(ledger.reap(one).await.unwrap(), 2);
    assert_eq!(states(ledger, two).await, [StepState::Leased; 3]);
    // A worker lets go of everything it holds, whatever the run.
    take(ledger, one, &worker, 1).await;
    assert_eq!(ledger.release(&worker).await.unwrap(), 4);
}

pub async fn a_retry_comes_due_after_its_delay(ledger: &dyn Ledger, clock: &ManualClock) {
    let run = running(ledger, 1).await;
    let worker = WorkerId::fresh();
    let taken = take(ledger, run, &worker, 1).await;
    let retry = Outcome::Retry {
        after: Duration::from_secs(30),
        message: "throttled".to_owned(),
    };
    assert_eq!(
        ledger.finish(&[report(&taken[0], retry)]).await.unwrap(),
        [true]
    );
    assert!(take(ledger, run, &worker, 1).await.is_empty());
    assert_eq!(
        ledger.next_due(run).await.unwrap(),
        Some(Duration::from_secs(30))
    );
    let waiting = ledger.steps(run, None, 1).await.unwrap().remove(0);
    assert_eq!((waiting.state, waiting.ended), (StepState::Open, None));
    assert_eq!(waiting.message.as_deref(), Some("throttled"));
    clock.advance(Duration::from_secs(29));
    assert!(take(ledger, run, &worker, 1).await.is_empty());
    clock.advance(Duration::from_secs(1));
    assert_eq!(ledger.next_due(run).await.unwrap(), Some(Duration::ZERO));
    assert_eq!(take(ledger, run, &worker, 1).await[0].attempt, 2);
}

pub async fn an_expired_lease_goes_back_and_its_late_outcome_is_refused(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 2).await;
    let (dead, heir) = (WorkerId::fresh(), WorkerId::fresh());
    let old = take(ledger, run, &dead, 1).await.remove(0);
    clock.advance(TTL - Duration::from_millis(1));
    assert_eq!(ledger.reap(run).await.unwrap(), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ledger.reap(run).await.unwrap(), 1);
    assert_eq!(ledger.reap(run).await.unwrap(), 0);
    // It went behind the step that waited longer.
    let taken = take(ledger, run, &heir, 9).await;
    assert_eq!(
        taken.iter().map(|step| step.size).collect::<Vec<_>>(),
        [2, 1]
    );
    let new = &taken[1];
    assert_eq!((new.id, new.attempt), (old.id, 2));
    let late = ledger.finish(&[report(&old, held())]).await.unwrap();
    assert_eq!(late, [false]);
    let both = [report(&old, held()), report(new, done(placement(1)))];
    assert_eq!(ledger.finish(&both).await.unwrap(), [false, true]);
    assert_eq!(
        states(ledger, run).await,
        [StepState::Done, StepState::Leased]
    );
}

pub async fn a_renewed_lease_does_not_expire(ledger: &dyn Ledger, clock: &ManualClock) {
    let run = running(ledger, 2).await;
    let (alive, dead) = (WorkerId::fresh(), WorkerId::fresh());
    let kept = take(ledger, run, &alive, 1).await.remove(0);
    take(ledger, run, &dead, 1).await;
    clock.advance(TTL / 2);
    ledger.renew(&alive, TTL).await.unwrap();
    clock.advance(TTL / 2);
    assert_eq!(ledger.reap(run).await.unwrap(), 1);
    assert_eq!(
        states(ledger, run).await,
        [StepState::Leased, StepState::Open]
    );
    clock.advance(TTL / 2);
    // Late, but nobody has taken it: whoever holds the attempt may still keep it.
    ledger.renew(&alive, TTL).await.unwrap();
    assert_eq!(ledger.reap(run).await.unwrap(), 0);
    assert_eq!(
        ledger.finish(&[report(&kept, held())]).await.unwrap(),
        [true]
    );
}

pub async fn a_released_step_is_open_at_once_and_does_not_count_as_lost(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 2).await;
    let worker = WorkerId::fresh();
    for attempt in 1..=20 {
        let taken = take(ledger, run, &worker, 9).await;
        assert_eq!(
            taken.iter().map(|step| step.size).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(taken.iter().all(|step| step.attempt == attempt));
        assert_eq!(ledger.release(&WorkerId::fresh()).await.unwrap(), 0);
        assert_eq!(ledger.release(&worker).await.unwrap(), 2);
        assert_eq!(ledger.release(&worker).await.unwrap(), 0);
        let stale = ledger.finish(&[report(&taken[0], held())]).await.unwrap();
        assert_eq!(stale, [false]);
    }
    assert_eq!(states(ledger, run).await, [StepState::Open; 2]);
}

pub async fn a_step_that_keeps_being_lost_fails_in_the_end(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 1).await;
    for round in 1..=windlass_core::LOST_LEASES_MAX {
        let taken = take(ledger, run, &WorkerId::fresh(), 1).await;
        assert_eq!(taken.len(), 1, "round {round}");
        clock.advance(TTL);
        assert_eq!(ledger.reap(run).await.unwrap(), 1);
    }
    assert!(take(ledger, run, &WorkerId::fresh(), 1).await.is_empty());
    assert_eq!(ledger.next_due(run).await.unwrap(), None);
    let failed = ledger.steps(run, None, 1).await.unwrap().remove(0);
    assert_eq!(failed.state, StepState::Failed);
    assert!(failed.ended.is_some());
    assert_eq!(
        failed.message.as_deref(),
        Some(
            format!(
                "given up: {} times a worker took it and vanished before it ended",
                windlass_core::LOST_LEASES_MAX
            )
            .as_str()
        )
    );
    assert!(failed.hint.is_some());
    assert_eq!(failed.error.as_deref(), Some("unexpected"));
}
