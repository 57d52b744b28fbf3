//! Notes about steps in flight, and counts of calls.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use windlass_core::{Asset, Readable};

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

pub async fn jots_before_a_new_session_or_a_restart_are_forgotten_with_it(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let (_, step) = one(ledger).await;
    let session = |name: &str| note(&step, Noted::Session(name.to_owned()));
    ledger.note(&[session("old")]).await.unwrap();
    ledger.jot(&note(&step, Noted::Part(part(0)))).unwrap();
    ledger.note(&[session("new")]).await.unwrap();
    ledger.jot(&note(&step, Noted::Part(part(1)))).unwrap();
    // The new session has the second part only: telling of the first would leave a hole in the content.
    assert_eq!(unfinished(ledger, &step).await.parts, [part(1)]);
    ledger.jot(&note(&step, Noted::Part(part(2)))).unwrap();
    ledger.note(&[note(&step, Noted::Restart)]).await.unwrap();
    assert_eq!(unfinished(ledger, &step).await, Unfinished::default());
    for what in [
        Noted::Part(part(0)),
        Noted::Session("jotted".to_owned()),
        Noted::Part(part(4)),
    ] {
        ledger.jot(&note(&step, what)).unwrap();
    }
    let kept = unfinished(ledger, &step).await;
    assert_eq!(kept.session.as_deref(), Some("jotted"));
    assert_eq!(kept.parts, [part(4)]);
}

pub async fn parts_ascend_and_do_not_overlap(ledger: &dyn Ledger, _clock: &ManualClock) {
    let (_, step) = one(ledger).await;
    let of = |offset, length| Part {
        offset,
        length,
        digest: vec![1].into(),
    };
    for (offset, length) in [
        (90, 10),
        (0, 10),
        (40, 20),
        (5, 20),
        (59, 2),
        (60, 5),
        (0, 30),
    ] {
        ledger
            .jot(&note(&step, Noted::Part(of(offset, length))))
            .unwrap();
    }
    let noted = note(&step, Noted::Part(of(30, 5)));
    assert_eq!(ledger.note(&[noted]).await.unwrap(), [true]);
    // What starts where another did replaces it; what lies across an earlier one is left out.
    assert_eq!(
        unfinished(ledger, &step).await.parts,
        [of(0, 30), of(30, 5), of(40, 20), of(60, 5), of(90, 10)]
    );
}

pub async fn bytes_that_no_content_has_are_not_noted(ledger: &dyn Ledger, _clock: &ManualClock) {
    let (_, step) = one(ledger).await;
    let of = |offset, length| {
        Noted::Part(Part {
            offset,
            length,
            digest: vec![1].into(),
        })
    };
    let vast = Digests {
        size: u64::MAX,
        ..digests(1)
    };
    let end = i64::MAX.unsigned_abs();
    for what in [
        of(0, 0),
        of(u64::MAX, 1),
        of(1, u64::MAX),
        of(1, end),
        Noted::Intent(vast),
    ] {
        let odd = note(&step, what);
        let sound = note(&step, Noted::Part(part(1)));
        let error = ledger.note(&[sound, odd.clone()]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
        assert_eq!(
            ledger.jot(&odd).unwrap_err().kind(),
            Kind::InvalidInput,
            "{odd:?}"
        );
    }
    assert_eq!(unfinished(ledger, &step).await, Unfinished::default());
    ledger.jot(&note(&step, of(1, end - 1))).unwrap();
    assert_eq!(unfinished(ledger, &step).await.parts.len(), 1);
}

pub async fn every_end_of_a_step_forgets_what_was_noted(ledger: &dyn Ledger, clock: &ManualClock) {
    let failed = Outcome::Failed {
        kind: Kind::Denied,
        message: "no".to_owned(),
        hint: None,
    };
    let run = running(ledger, 4).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 4).await;
    let begin = |step: &LeasedStep| {
        [
            note(step, Noted::Session("s".to_owned())),
            note(step, Noted::Intent(digests(1))),
        ]
    };
    for step in &taken {
        ledger.note(&begin(step)).await.unwrap();
        ledger.jot(&note(step, Noted::Part(part(0)))).unwrap();
    }
    let reports = [
        report(&taken[0], done(placement(1))),
        report(&taken[1], held()),
        report(&taken[2], failed),
    ];
    assert_eq!(ledger.finish(&reports).await.unwrap(), [true; 3]);
    for step in &taken[..3] {
        ledger.jot(&note(step, Noted::Part(part(1)))).unwrap();
        assert_eq!(ledger.note(&begin(step)).await.unwrap(), [false; 2]);
        assert_eq!(unfinished(ledger, step).await, Unfinished::default());
    }
    assert_eq!(unfinished(ledger, &taken[3]).await.parts, [part(0)]);
    // Its workers vanish until it counts as lost.
    for _ in 0..windlass_core::LOST_LEASES_MAX {
        assert_eq!(unfinished(ledger, &taken[3]).await.parts, [part(0)]);
        clock.advance(TTL * 2);
        assert_eq!(ledger.reap(run).await.unwrap(), 1);
        take(ledger, run, &WorkerId::fresh(), 1).await;
    }
    assert_eq!(unfinished(ledger, &taken[3]).await, Unfinished::default());
}

pub async fn a_released_step_keeps_what_was_noted(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 1).await;
    let worker = WorkerId::fresh();
    let step = take(ledger, run, &worker, 1).await.remove(0);
    let session = note(&step, Noted::Session("s".to_owned()));
    ledger.note(&[session]).await.unwrap();
    ledger.jot(&note(&step, Noted::Part(part(0)))).unwrap();
    ledger.release(&worker).await.unwrap();
    let again = take(ledger, run, &WorkerId::fresh(), 1).await.remove(0);
    let kept = unfinished(ledger, &again).await;
    assert_eq!(kept.session.as_deref(), Some("s"));
    assert_eq!(kept.parts, [part(0)]);
}

pub async fn jots_of_the_last_holder_count_until_the_step_is_taken_again(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let (run, step) = one(ledger).await;
    clock.advance(TTL * 2);
    ledger.reap(run).await.unwrap();
    // The sink did acknowledge it, whoever holds the step now.
    ledger.jot(&note(&step, Noted::Part(part(0)))).unwrap();
    let session = note(&step, Noted::Session("late".to_owned()));
    assert_eq!(ledger.note(&[session]).await.unwrap(), [false]);
    take(ledger, run, &WorkerId::fresh(), 1).await;
    ledger.jot(&note(&step, Noted::Part(part(1)))).unwrap();
    let kept = unfinished(ledger, &step).await;
    assert_eq!((kept.session, kept.parts), (None, vec![part(0)]));
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
    let asked = [
        count("studio", "2026-11", 0),
        count("studio", "2026-12", 0),
        count("nobody", "2026-11", 0),
    ];
    assert_eq!(ledger.count_calls(&asked).await.unwrap(), [7, 1, 0]);
    assert_eq!(ledger.count_calls(&asked).await.unwrap(), [7, 1, 0]);
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
    let origin = origin();
    ledger.set_planned(run, unchanged, &origin).await.unwrap();
    let record = ledger.run(run).await.unwrap().unwrap();
    assert_eq!(record, ledger.runs(None, 1).await.unwrap()[0]);
    assert_eq!(
        (record.unchanged, record.origin),
        (unchanged, Some(origin.clone()))
    );
    assert_eq!(ledger.run(RunId::fresh()).await.unwrap(), None);
    let error = ledger.set_planned(RunId::fresh(), unchanged, &origin).await;
    assert_eq!(error.unwrap_err().kind(), Kind::NotFound);
    let taken = take(ledger, run, &WorkerId::fresh(), 1).await;
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    let asset = |n: u64, revision: &str, path: &str| Asset {
        id: placement(n).source_asset,
        path: AssetPath::new(path),
        revision: Revision::new(revision),
        size: 1,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    };
    let assets = [
        asset(2, "rev-2", "/in/2.tif"),
        asset(1, "rev-1", "/in/1.tif"),
        asset(1, "rev-2", "/in/1.tif"),
        asset(1, "rev-1", "/in/one.tif"),
    ];
    let unchanged = ledger.unchanged("ingest", "agency", &assets).await;
    assert_eq!(unchanged.unwrap(), [false, true, false, false]);
    for (flow, source) in [("other", "agency"), ("ingest", "other")] {
        let unchanged = ledger.unchanged(flow, source, &assets).await;
        assert_eq!(unchanged.unwrap(), [false; 4]);
    }
    // More than one statement takes, so that positions count from each one's start.
    let many: Vec<Asset> = (0..2_500)
        .map(|index| match index {
            2_100 => asset(1, "rev-1", "/in/1.tif"),
            _ => asset(2, "rev-2", "/in/2.tif"),
        })
        .collect();
    let unchanged = ledger.unchanged("ingest", "agency", &many).await.unwrap();
    let same: Vec<usize> = (0..many.len()).filter(|index| unchanged[*index]).collect();
    assert_eq!(same, [2_100]);
}
