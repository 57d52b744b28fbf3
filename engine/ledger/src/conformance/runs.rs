//! Runs, their steps as reports read them, cursors, and what is refused.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use super::*;

pub async fn a_run_is_recorded_once_and_listed_newest_first(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let mut ids = Vec::new();
    for flow in ["ingest", "publish", "ingest"] {
        let run = RunId::fresh();
        ledger.begin_run(run, flow).await.unwrap();
        ledger.begin_run(run, flow).await.unwrap();
        clock.advance(Duration::from_secs(1));
        ids.push(run);
    }
    let all = ledger.runs(None, 10).await.unwrap();
    let newest_first: Vec<RunId> = ids.iter().rev().copied().collect();
    assert_eq!(
        all.iter().map(|run| run.id).collect::<Vec<_>>(),
        newest_first
    );
    assert!(
        all.iter()
            .all(|run| run.state == RunState::Planning && run.finished.is_none())
    );
    assert_eq!(
        (all[1].started - all[2].started)
            .total(jiff::Unit::Second)
            .unwrap(),
        1.0
    );
    let ingest = ledger.runs(Some("ingest"), 1).await.unwrap();
    assert_eq!(ingest.len(), 1);
    assert_eq!((ingest[0].id, ingest[0].flow.as_str()), (ids[2], "ingest"));
    assert!(ledger.runs(Some("archive"), 10).await.unwrap().is_empty());
    let error = ledger.begin_run(ids[0], "publish").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

pub async fn a_run_keeps_the_time_it_first_finished(ledger: &dyn Ledger, clock: &ManualClock) {
    let run = running(ledger, 0).await;
    ledger.set_run_state(run, RunState::Finished).await.unwrap();
    let finished = ledger.runs(None, 1).await.unwrap()[0].finished;
    assert!(finished.is_some());
    clock.advance(TTL);
    ledger.set_run_state(run, RunState::Finished).await.unwrap();
    assert_eq!(ledger.runs(None, 1).await.unwrap()[0].finished, finished);
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    assert_eq!(ledger.runs(None, 1).await.unwrap()[0].finished, None);
}

pub async fn what_cannot_be_recorded_is_refused_by_kind(ledger: &dyn Ledger, _clock: &ManualClock) {
    let nobody = RunId::fresh();
    let error = ledger.add_steps(nobody, &[step(1)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.message(), format!("the ledger has no run {nobody}"));
    let error = ledger
        .set_run_state(nobody, RunState::Running)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let run = running(ledger, 1).await;
    let mut leased = step(2);
    leased.state = StepState::Leased;
    let error = ledger.add_steps(run, &[step(3), leased]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    ledger.set_run_state(run, RunState::Finished).await.unwrap();
    let error = ledger.add_steps(run, &[step(4)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    // All or none: nothing of the refused slices is there.
    assert_eq!(states(ledger, run).await, [StepState::Open]);
    assert!(take(ledger, nobody, &WorkerId::fresh(), 9).await.is_empty());
    assert_eq!(ledger.reap(nobody).await.unwrap(), 0);
    assert_eq!(ledger.next_due(nobody).await.unwrap(), None);
    assert!(ledger.steps(nobody, None, 9).await.unwrap().is_empty());
    assert!(ledger.tally(nobody).await.unwrap().is_empty());
}

pub async fn steps_are_read_in_pages(ledger: &dyn Ledger, _clock: &ManualClock) {
    let (run, other) = (running(ledger, 5).await, running(ledger, 5).await);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ledger.steps(run, after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        seen.extend(page.iter().map(|step| step.size));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(ledger.steps(other, after, 9).await.unwrap().len(), 5);
}

pub async fn sums_follow_every_step_through_its_states(ledger: &dyn Ledger, clock: &ManualClock) {
    let run = running(ledger, 3).await;
    let mut skip = step(10);
    (skip.state, skip.action) = (StepState::Skipped, Action::Skip);
    ledger.add_steps(run, &[skip]).await.unwrap();
    let sum = |steps, bytes, bytes_moved| Tally {
        steps,
        bytes,
        bytes_moved,
    };
    let skipped = (StepState::Skipped, Action::Skip, sum(1, 10, 0));
    let create = Action::Create;
    let tally = ledger.tally(run).await.unwrap();
    assert_eq!(tally, [(StepState::Open, create, sum(3, 6, 0)), skipped]);
    let worker = WorkerId::fresh();
    let taken = take(ledger, run, &worker, 2).await;
    ledger
        .finish(&[report(&taken[1], done(placement(2)))])
        .await
        .unwrap();
    let tally = ledger.tally(run).await.unwrap();
    let expected = [
        (StepState::Open, create, sum(1, 3, 0)),
        (StepState::Leased, create, sum(1, 1, 0)),
        (StepState::Done, create, sum(1, 2, 8)),
        skipped,
    ];
    assert_eq!(tally, expected);
    clock.advance(TTL);
    ledger.reap(run).await.unwrap();
    let tally = ledger.tally(run).await.unwrap();
    assert_eq!(tally[0], (StepState::Open, create, sum(2, 4, 0)));
    assert_eq!(tally.len(), 3);
}

pub async fn a_cursor_is_kept_until_it_is_forgotten(ledger: &dyn Ledger, _clock: &ManualClock) {
    assert_eq!(ledger.cursor("agency /in").await.unwrap(), None);
    for text in ["AAH".to_owned(), "x".repeat(100_000)] {
        let cursor = Cursor::new(text);
        ledger
            .set_cursor("agency /in", Some(&cursor))
            .await
            .unwrap();
        assert_eq!(ledger.cursor("agency /in").await.unwrap(), Some(cursor));
    }
    assert_eq!(ledger.cursor("agency /out").await.unwrap(), None);
    ledger.set_cursor("agency /in", None).await.unwrap();
    ledger.set_cursor("agency /in", None).await.unwrap();
    assert_eq!(ledger.cursor("agency /in").await.unwrap(), None);
}

pub async fn any_text_survives(ledger: &dyn Ledger, _clock: &ManualClock) {
    let texts = [
        "",
        "\"quoted\" and 'quoted' and \\ and $1",
        "line\nbreak\tand\r\nmore",
        "Übergröße 🎬 e\u{301} \u{202e}rtl",
        "123",
        "1e5",
        "null",
        "{\"a\": [1]}",
        "nul \u{0} inside",
        "\u{feff}bom \u{fffd} \u{10ffff}",
    ];
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let steps: Vec<NewStep> = texts
        .iter()
        .map(|text| NewStep {
            reason: (*text).to_owned(),
            endpoint: (*text).to_owned(),
            asset: AssetId::new(*text),
            revision: Revision::new(*text),
            path: AssetPath::new(text),
            payload: (*text).to_owned(),
            ..step(1)
        })
        .collect();
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let taken = take(ledger, run, &WorkerId::fresh(), 99).await;
    let payloads: Vec<&str> = taken.iter().map(|step| step.payload.as_str()).collect();
    assert_eq!(payloads, texts);
    let odd = |text: &str| Placement {
        source_asset: AssetId::new(text),
        source_path: AssetPath::new(text),
        sink: text.to_owned(),
        ..placement(1)
    };
    let reports: Vec<StepReport> = taken
        .iter()
        .zip(texts)
        .map(|(step, text)| report(step, done(odd(text))))
        .collect();
    assert!(
        ledger
            .finish(&reports)
            .await
            .unwrap()
            .into_iter()
            .all(|accepted| accepted)
    );
    let ids: Vec<AssetId> = texts.iter().map(|text| AssetId::new(*text)).collect();
    let found = ledger.placements("ingest", "agency", &ids).await.unwrap();
    let recorded = ledger.steps(run, None, 99).await.unwrap();
    for ((text, placement), step) in texts.iter().zip(found).zip(recorded) {
        assert_eq!(placement, Some(odd(text)), "{text:?}");
        assert_eq!(step.reason, *text);
        assert_eq!(step.asset, AssetId::new(*text));
        assert_eq!(step.path, AssetPath::new(text));
        ledger
            .set_cursor(text, Some(&Cursor::new(*text)))
            .await
            .unwrap();
        assert_eq!(ledger.cursor(text).await.unwrap(), Some(Cursor::new(*text)));
    }
}

pub async fn a_closed_ledger_refuses_to_go_on(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 1).await;
    let note = Note {
        step: StepId(1),
        attempt: 1,
        what: Noted::Restart,
    };
    ledger.close().await.unwrap();
    ledger.close().await.unwrap();
    for error in [
        ledger
            .begin_run(RunId::fresh(), "ingest")
            .await
            .unwrap_err(),
        ledger.tally(run).await.unwrap_err(),
        ledger.finish(&[]).await.unwrap_err(),
        ledger.note(std::slice::from_ref(&note)).await.unwrap_err(),
        ledger.jot(&note).unwrap_err(),
        ledger.unfinished(&[note.step]).await.unwrap_err(),
        ledger.count_calls(&[]).await.unwrap_err(),
    ] {
        assert_eq!(error.message(), "the ledger is closed");
    }
}
