//! Outcomes, and what is remembered of them: placements, contents, sums.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use super::*;

pub async fn what_was_placed_is_found_again(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 2).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let mut bare = placement(2);
    bare.digests.content_hash = None;
    bare.placed.content_hash = placement(9).digests.content_hash;
    bare.placed.evidence = Evidence::E3;
    let reports = [
        report(&taken[0], done(placement(1))),
        report(&taken[1], done(bare.clone())),
    ];
    assert_eq!(ledger.finish(&reports).await.unwrap(), [true, true]);
    let ids: Vec<AssetId> = (1..=3).map(|n| placement(n).source_asset).collect();
    let found = ledger.placements("ingest", "agency", &ids).await.unwrap();
    assert_eq!(found, [Some(placement(1)), Some(bare.clone()), None]);
    for (flow, source) in [("publish", "agency"), ("ingest", "dam")] {
        let other = ledger.placements(flow, source, &ids).await.unwrap();
        assert_eq!(other, [None, None, None]);
    }
    let hash = |n| placement(n).digests.content_hash.unwrap();
    let contents = ledger.contents(&[hash(1), hash(2)]).await.unwrap();
    let known = contents[0].clone().unwrap();
    assert_eq!(known.blake3, placement(1).digests.blake3);
    assert_eq!((known.content_hash, known.size), (hash(1), 8));
    assert_eq!(contents[1], None);
    let steps = ledger.steps(run, None, 9).await.unwrap();
    assert_eq!(steps[1].placed, Some(bare.placed));
    assert_eq!(steps[1].bytes_moved, 8);
}

pub async fn a_newer_placement_replaces_the_older_one(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 3).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let mut newer = placement(1);
    newer.source_revision = Revision::new("rev-b");
    newer.placed.revision = Revision::new("2");
    newer.draft_digest = Blake3::of(b"other");
    let mut newest = newer.clone();
    newest.sink = "elsewhere".to_owned();
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    // Two of one asset in one call: the later step wins.
    let two = [
        report(&taken[1], done(newer)),
        report(&taken[2], done(newest.clone())),
    ];
    assert_eq!(ledger.finish(&two).await.unwrap(), [true, true]);
    let ids = [placement(1).source_asset];
    let found = ledger.placements("ingest", "agency", &ids).await.unwrap();
    assert_eq!(found, [Some(newest)]);
}

pub async fn what_a_run_holds_is_found_again_until_it_is_placed(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 7).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let held = |n: u64, reason: &str| Outcome::Held {
        reason: reason.to_owned(),
        hold: Some(Box::new(new_hold(n, reason))),
    };
    let ids = [3, 2, 1].map(|n| placement(n).source_asset);
    let mut stale = report(&taken[0], held(1, "stale"));
    stale.attempt += 1;
    assert_eq!(ledger.finish(&[stale]).await.unwrap(), [false]);
    let none = ledger.holds("ingest", "agency", &ids).await.unwrap();
    assert_eq!(none, [None, None, None]);

    let first = clock.now();
    let three = [
        report(&taken[0], held(1, "taken down")),
        report(&taken[1], held(2, "refused")),
        report(&taken[2], held(2, "refused again")),
    ];
    assert_eq!(ledger.finish(&three).await.unwrap(), [true; 3]);
    let found = ledger.holds("ingest", "agency", &ids).await.unwrap();
    let known =
        |n: u64, reason: &str, since| Some(new_hold(n, reason).into_hold(reason.to_owned(), since));
    let refused = known(2, "refused again", first);
    assert_eq!(found, [None, refused, known(1, "taken down", first)]);
    for (flow, source) in [("publish", "agency"), ("ingest", "dam")] {
        let other = ledger.holds(flow, source, &ids).await.unwrap();
        assert_eq!(other, [None, None, None]);
    }

    // Placed, then held anew in the same call, and the other way round: the later one counts.
    clock.advance(TTL / 2);
    let later = [
        report(&taken[3], done(placement(2))),
        report(&taken[4], held(2, "taken down later")),
        report(&taken[5], held(1, "still taken down")),
        report(&taken[6], done(placement(1))),
    ];
    assert_eq!(ledger.finish(&later).await.unwrap(), [true; 4]);
    let found = ledger.holds("ingest", "agency", &ids).await.unwrap();
    let newer = known(2, "taken down later", clock.now());
    assert_eq!(found, [None, newer, None]);
}

pub async fn the_first_record_of_a_content_stays(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 2).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let mut forged = placement(2);
    forged.digests.content_hash = placement(1).digests.content_hash;
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    ledger
        .finish(&[report(&taken[1], done(forged))])
        .await
        .unwrap();
    let hash = placement(1).digests.content_hash.unwrap();
    let known = ledger.contents(&[hash]).await.unwrap().remove(0).unwrap();
    assert_eq!(known.blake3, placement(1).digests.blake3);
}

pub async fn a_stale_outcome_records_nothing(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 1).await;
    let worker = WorkerId::fresh();
    let old = take(ledger, run, &worker, 1).await.remove(0);
    ledger.release(&worker).await.unwrap();
    let new = take(ledger, run, &worker, 1).await.remove(0);
    let before = ledger.tally(run).await.unwrap();
    assert_eq!(
        ledger
            .finish(&[report(&old, done(placement(1)))])
            .await
            .unwrap(),
        [false]
    );
    let mut future = report(&new, done(placement(1)));
    future.attempt += 1;
    assert_eq!(ledger.finish(&[future]).await.unwrap(), [false]);
    let ids = [placement(1).source_asset];
    assert_eq!(
        ledger.placements("ingest", "agency", &ids).await.unwrap(),
        [None]
    );
    let hash = placement(1).digests.content_hash.unwrap();
    assert_eq!(ledger.contents(&[hash]).await.unwrap(), [None]);
    assert_eq!(ledger.tally(run).await.unwrap(), before);
    assert_eq!(states(ledger, run).await, [StepState::Leased]);
}

pub async fn a_report_that_is_repeated_counts_once(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 1).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 1).await;
    let same = report(&taken[0], done(placement(1)));
    let other = report(&taken[0], held());
    assert_eq!(
        ledger.finish(&[same.clone(), other]).await.unwrap(),
        [true, false]
    );
    assert_eq!(ledger.finish(&[same]).await.unwrap(), [false]);
    assert!(ledger.finish(&[]).await.unwrap().is_empty());
    let tally = ledger.tally(run).await.unwrap();
    let once = Tally {
        steps: 1,
        bytes: 1,
        bytes_moved: 8,
    };
    assert_eq!(tally, [(StepState::Done, Action::Create, once)]);
}

pub async fn outcomes_are_told_in_full_by_the_report(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 3).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let failed = Outcome::Failed {
        kind: Kind::Denied,
        message: "the sink refused it".to_owned(),
        hint: Some("ask for the right".to_owned()),
    };
    let nothing_placed = Outcome::Done {
        placement: None,
        bytes_moved: 0,
    };
    let reports = [
        report(&taken[0], held()),
        report(&taken[1], failed),
        report(&taken[2], nothing_placed),
    ];
    assert_eq!(ledger.finish(&reports).await.unwrap(), [true; 3]);
    let steps = ledger.steps(run, None, 9).await.unwrap();
    assert_eq!(steps[0].state, StepState::Held);
    assert_eq!(steps[0].message.as_deref(), Some("somebody must look"));
    assert_eq!(steps[1].state, StepState::Failed);
    assert_eq!(steps[1].message.as_deref(), Some("the sink refused it"));
    assert_eq!(steps[1].hint.as_deref(), Some("ask for the right"));
    assert_eq!(steps[1].error.as_deref(), Some("denied"));
    assert_eq!((steps[2].state, &steps[2].placed), (StepState::Done, &None));
    assert!(
        steps
            .iter()
            .all(|step| step.ended.is_some() && step.attempt == 1)
    );
    assert_eq!(steps[0].endpoint, "agency");
    assert_eq!(steps[0].path, AssetPath::new("/in/1.tif"));
    assert_eq!(steps[0].revision, Revision::new("rev-1"));
    assert_eq!(steps[0].reason, "new, never placed before");
}

pub async fn look_ups_keep_the_order_of_their_keys(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 30).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 30).await;
    let reports: Vec<StepReport> = taken
        .iter()
        .map(|step| report(step, done(placement(step.size))))
        .collect();
    assert!(
        ledger
            .finish(&reports)
            .await
            .unwrap()
            .into_iter()
            .all(|accepted| accepted)
    );
    // More keys than any one statement takes, most of them unknown, some of them twice.
    let keys: Vec<u64> = (0..2_500).map(|n| (n * 7) % 2_111).collect();
    let ids: Vec<AssetId> = keys.iter().map(|n| placement(*n).source_asset).collect();
    let found = ledger.placements("ingest", "agency", &ids).await.unwrap();
    let known = |n: u64| (1..=30).contains(&n);
    let expected: Vec<_> = keys
        .iter()
        .map(|n| known(*n).then(|| placement(*n)))
        .collect();
    assert!(found == expected);
    let hashes: Vec<ContentHash> = keys
        .iter()
        .filter_map(|n| placement(*n).digests.content_hash)
        .collect();
    let contents = ledger.contents(&hashes).await.unwrap();
    for (n, content) in keys.iter().zip(contents) {
        let digest = content.map(|content| content.blake3);
        assert_eq!(digest, known(*n).then(|| placement(*n).digests.blake3));
    }
    assert!(ledger.contents(&[]).await.unwrap().is_empty());
    assert_eq!(
        ledger.placements("ingest", "agency", &[]).await.unwrap(),
        []
    );
}

pub async fn a_call_with_thousands_of_reports_counts_each(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 2_500).await;
    let taken = take(ledger, run, &WorkerId::fresh(), u32::MAX).await;
    let mut reports: Vec<StepReport> = taken
        .iter()
        .map(|step| report(step, done(placement(step.size))))
        .collect();
    // Far apart, so that no one statement sees both.
    reports.push(reports[0].clone());
    reports[1_500].attempt = 9;
    let accepted = ledger.finish(&reports).await.unwrap();
    let refused: Vec<usize> = (0..reports.len()).filter(|at| !accepted[*at]).collect();
    assert_eq!(refused, [1_500, 2_500]);
    let tally = ledger.tally(run).await.unwrap();
    assert_eq!(tally[0].0, StepState::Leased);
    assert_eq!(tally[0].2.steps, 1);
    assert_eq!((tally[1].0, tally[1].2.steps), (StepState::Done, 2_499));
    assert_eq!(tally[1].2.bytes_moved, 2_499 * 8);
}
