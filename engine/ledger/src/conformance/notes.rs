//! Notes about steps in flight, and counts of calls.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use super::*;

fn part(index: u64) -> Part {
    Part {
        offset: index * 4096,
        length: 4096,
        digest: vec![index as u8; 33].into(),
    }
}

fn note(step: &LeasedStep, what: Noted) -> Note {
    Note {
        step: step.id,
        attempt: step.attempt,
        what,
    }
}

fn digests(n: u64) -> Digests {
    placement(n).digests
}

async fn unfinished(ledger: &dyn Ledger, step: &LeasedStep) -> Unfinished {
    ledger.unfinished(&[step.id]).await.unwrap().remove(0)
}

async fn one(ledger: &dyn Ledger) -> (RunId, LeasedStep) {
    let run = running(ledger, 1).await;
    let mut taken = take(ledger, run, &WorkerId::fresh(), 1).await;
    (run, taken.remove(0))
}

pub async fn notes_of_a_step_in_flight_are_found_again(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 2).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 2).await;
    let notes = [
        note(&taken[0], Noted::Session("session 1".to_owned())),
        note(&taken[0], Noted::Part(part(2))),
        note(&taken[1], Noted::Intent(digests(7))),
        note(&taken[0], Noted::Part(part(0))),
        note(&taken[0], Noted::Part(part(2))),
    ];
    assert_eq!(ledger.note(&notes).await.unwrap(), [true; 5]);
    ledger.jot(&note(&taken[0], Noted::Part(part(1)))).unwrap();
    let found = ledger
        .unfinished(&[taken[1].id, taken[0].id])
        .await
        .unwrap();
    let intended = Unfinished {
        intent: Some(digests(7)),
        ..Unfinished::default()
    };
    let moving = Unfinished {
        session: Some("session 1".to_owned()),
        parts: vec![part(0), part(1), part(2)],
        intent: None,
    };
    assert_eq!(found, [intended, moving]);
}

pub async fn a_new_session_forgets_the_parts_of_the_old_one(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let (_, step) = one(ledger).await;
    let notes = [
        Noted::Session("old".to_owned()),
        Noted::Part(part(0)),
        Noted::Intent(digests(3)),
        Noted::Session("new".to_owned()),
    ];
    ledger
        .note(&notes.map(|what| note(&step, what)))
        .await
        .unwrap();
    let now = Unfinished {
        session: Some("new".to_owned()),
        parts: Vec::new(),
        // The old session's commit may still have happened.
        intent: Some(digests(3)),
    };
    assert_eq!(unfinished(ledger, &step).await, now);
}

pub async fn a_restart_forgets_everything_noted(ledger: &dyn Ledger, _clock: &ManualClock) {
    let (_, step) = one(ledger).await;
    let notes = [
        Noted::Session("old".to_owned()),
        Noted::Part(part(0)),
        Noted::Intent(digests(3)),
        Noted::Restart,
    ];
    ledger
        .note(&notes.map(|what| note(&step, what)))
        .await
        .unwrap();
    assert_eq!(unfinished(ledger, &step).await, Unfinished::default());
}

pub async fn notes_of_a_stale_attempt_do_not_count(ledger: &dyn Ledger, clock: &ManualClock) {
    let (run, stale) = one(ledger).await;
    clock.advance(TTL * 2);
    ledger.reap(run).await.unwrap();
    let current = take(ledger, run, &WorkerId::fresh(), 1).await.remove(0);
    let late = [
        note(&stale, Noted::Session("stale".to_owned())),
        note(&current, Noted::Session("current".to_owned())),
        note(&stale, Noted::Intent(digests(1))),
    ];
    assert_eq!(ledger.note(&late).await.unwrap(), [false, true, false]);
    ledger.jot(&note(&stale, Noted::Part(part(0)))).unwrap();
    let kept = unfinished(ledger, &current).await;
    assert_eq!(kept.session.as_deref(), Some("current"));
    assert_eq!((kept.parts, kept.intent), (Vec::new(), None));
}

pub async fn a_retry_keeps_what_was_noted_and_an_end_forgets_it(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let (run, step) = one(ledger).await;
    ledger
        .note(&[note(&step, Noted::Session("s".to_owned()))])
        .await
        .unwrap();
    ledger.jot(&note(&step, Noted::Part(part(0)))).unwrap();
    let retry = Outcome::Retry {
        after: Duration::ZERO,
        message: "the line broke".to_owned(),
    };
    ledger.finish(&[report(&step, retry)]).await.unwrap();
    let again = take(ledger, run, &WorkerId::fresh(), 1).await.remove(0);
    let kept = unfinished(ledger, &again).await;
    assert_eq!(kept.session.as_deref(), Some("s"));
    assert_eq!(kept.parts, [part(0)]);
    ledger
        .note(&[note(&again, Noted::Intent(digests(1)))])
        .await
        .unwrap();
    ledger
        .finish(&[report(&again, done(placement(1)))])
        .await
        .unwrap();
    assert_eq!(unfinished(ledger, &again).await, Unfinished::default());
}

pub async fn jots_of_a_process_that_ended_go_to_the_next_attempt(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let (run, lost) = one(ledger).await;
    ledger
        .note(&[note(&lost, Noted::Session("s".to_owned()))])
        .await
        .unwrap();
    for index in 0..40 {
        ledger.jot(&note(&lost, Noted::Part(part(index)))).unwrap();
    }
    clock.advance(TTL * 2);
    ledger.reap(run).await.unwrap();
    let next = take(ledger, run, &WorkerId::fresh(), 1).await.remove(0);
    let kept = unfinished(ledger, &next).await;
    assert_eq!(kept.parts, (0..40).map(part).collect::<Vec<_>>());
}

pub async fn calls_are_counted_by_account_and_month(ledger: &dyn Ledger, _clock: &ManualClock) {
    let count = |account: &str, month: &str, calls| CallCount {
        account: account.to_owned(),
        month: month.to_owned(),
        calls,
    };
    let first = [
        count("studio", "2026-11", 5),
        count("studio", "2026-12", 1),
        count("studio", "2026-11", 2),
        count("other", "2026-11", 9),
    ];
    assert_eq!(ledger.count_calls(&first).await.unwrap(), [5, 1, 7, 9]);
    let asked = [count("studio", "2026-11", 0), count("nobody", "2026-11", 0)];
    assert_eq!(ledger.count_calls(&asked).await.unwrap(), [7, 0]);
}

pub async fn what_a_plan_found_unchanged_is_kept_with_its_run(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 1).await;
    let unchanged = Tally {
        steps: 1_000_000,
        bytes: 7 << 40,
        bytes_moved: 0,
    };
    ledger.set_unchanged(run, unchanged).await.unwrap();
    assert_eq!(ledger.runs(None, 1).await.unwrap()[0].unchanged, unchanged);
    let error = ledger.set_unchanged(RunId::fresh(), unchanged).await;
    assert_eq!(error.unwrap_err().kind(), Kind::NotFound);
    let ids: Vec<AssetId> = (1..=2).map(|n| placement(n).source_asset).collect();
    let taken = take(ledger, run, &WorkerId::fresh(), 1).await;
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    let from = ledger.placed_from("ingest", "agency", &ids).await.unwrap();
    let known = (Revision::new("rev-1"), AssetPath::new("/in/1.tif"));
    assert_eq!(from, [Some(known), None]);
}
