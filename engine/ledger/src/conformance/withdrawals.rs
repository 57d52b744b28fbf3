//! What was placed and taken back: until when it is remembered, and what forgets what.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use jiff::Timestamp;
use windlass_core::{Sharing, Withdrawal};

use super::*;

/// What is known when the placement of asset number `n` was taken back. Its time is nobody's.
pub fn withdrawal(n: u64) -> Withdrawal {
    Withdrawal {
        placement: placement(n),
        reason: "the contract ended".to_owned(),
        kept: Some(AssetPath::new(&format!("/kept/{n}.tif"))),
        links: vec![format!("https://dam.example/{n}")],
        recipients: vec!["print@example.com".to_owned(), "press".to_owned()],
        note: Some(Placed {
            asset: AssetId::new(format!("note-{n}")),
            ..placement(n).placed
        }),
        at: Timestamp::UNIX_EPOCH,
    }
}

/// The outcome of a step that took it back.
pub fn withdrawn(withdrawal: Withdrawal) -> Outcome {
    Outcome::Withdrawn(Box::new(withdrawal))
}

/// A withdrawal as a ledger keeps it whose clock says so.
fn kept(withdrawal: Withdrawal, clock: &ManualClock) -> Withdrawal {
    let at = Timestamp::from_millisecond(clock.now().as_millisecond()).unwrap();
    Withdrawal { at, ..withdrawal }
}

/// A placement of asset number `n` as another asset of the sink.
fn elsewhere(n: u64) -> Placement {
    let mut placement = placement(n);
    placement.placed.asset = AssetId::new(format!("another {n}"));
    placement
}

fn of_another(n: u64) -> Withdrawal {
    Withdrawal {
        placement: elsewhere(n),
        ..withdrawal(n)
    }
}

/// Ends leased steps, in one call.
async fn end(ledger: &dyn Ledger, taken: &[LeasedStep], outcomes: Vec<Outcome>) {
    let reports: Vec<_> = taken
        .iter()
        .zip(outcomes)
        .map(|(step, outcome)| report(step, outcome))
        .collect();
    let accepted = ledger.finish(&reports).await.unwrap();
    assert!(accepted.into_iter().all(|accepted| accepted));
}

/// What is placed and what is taken back of one asset.
async fn about(ledger: &dyn Ledger, n: u64) -> (Option<Placement>, Option<Withdrawal>) {
    let ids = [placement(n).source_asset];
    let mut placed = ledger.placements("ingest", "agency", &ids).await.unwrap();
    let mut withdrawn = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    (placed.remove(0), withdrawn.remove(0))
}

pub async fn what_is_taken_back_is_remembered_until_it_is_placed_again(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 5).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    end(
        ledger,
        &taken,
        vec![done(placement(1)), done(placement(2)), done(placement(3))],
    )
    .await;
    clock.advance(Duration::from_secs(5));
    let little = Withdrawal {
        kept: None,
        links: Vec::new(),
        recipients: Vec::new(),
        note: None,
        ..withdrawal(2)
    };
    let outcomes = vec![withdrawn(withdrawal(1)), withdrawn(little.clone())];
    end(ledger, &taken[3..], outcomes).await;

    let ids = [9, 3, 2, 1].map(|n| placement(n).source_asset);
    let found = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    let (one, two) = (kept(withdrawal(1), clock), kept(little, clock));
    assert_eq!(found, [None, None, Some(two), Some(one.clone())]);
    let found = ledger.placements("ingest", "agency", &ids).await.unwrap();
    assert_eq!(found, [None, Some(placement(3)), None, None]);
    for (flow, source) in [("publish", "agency"), ("ingest", "dam")] {
        let other = ledger.withdrawals(flow, source, &ids).await.unwrap();
        assert_eq!(other, [const { None }; 4]);
    }

    clock.advance(Duration::from_secs(5));
    assert_eq!(about(ledger, 1).await, (None, Some(one)));
    let run = running(ledger, 1).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    end(ledger, &taken, vec![done(elsewhere(1))]).await;
    assert_eq!(about(ledger, 1).await, (Some(elsewhere(1)), None));
    assert!(about(ledger, 2).await.1.is_some());
}

pub async fn a_step_that_took_something_back_is_done_and_placed_nothing(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let takes_back = NewStep {
        action: Action::Withdraw,
        reason: "not approved any more".to_owned(),
        ..step(2)
    };
    ledger.add_steps(run, &[step(1), takes_back]).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    end(
        ledger,
        &taken,
        vec![done(placement(1)), withdrawn(withdrawal(1))],
    )
    .await;

    let steps = ledger.steps(run, None, 9).await.unwrap();
    let step = &steps[1];
    assert_eq!((step.state, &step.placed), (StepState::Done, &None));
    assert_eq!((step.bytes_moved, &step.message), (0, &None));
    assert_eq!(step.took_ms, Some(20));
    let sum = |steps, bytes, bytes_moved| Tally {
        steps,
        bytes,
        bytes_moved,
    };
    let tally = ledger.tally(run).await.unwrap();
    let expected = [
        (StepState::Done, Action::Create, sum(1, 1, 8)),
        (StepState::Done, Action::Withdraw, sum(1, 2, 0)),
    ];
    assert_eq!(tally, expected);

    let custody = ledger.attempts(taken[1].id).await.unwrap();
    assert_eq!(custody.len(), 1);
    let record = &custody[0];
    let placed = placement(1);
    assert_eq!(record.event, CustodyEvent::Done);
    assert_eq!(record.action, Action::Withdraw);
    assert_eq!(record.message.as_deref(), Some("the contract ended"));
    assert_eq!(record.bytes_moved, 0);
    assert_eq!(record.blake3, Some(placed.digests.blake3));
    assert_eq!(record.content_hash, placed.digests.content_hash);
    assert_eq!(record.sink.as_deref(), Some("dam"));
    assert_eq!(record.sink_asset, Some(placed.placed.asset));
    assert_eq!(record.sink_revision, Some(placed.placed.revision));
    assert_eq!(record.draft_digest, Some(placed.draft_digest));
    assert_eq!(record.at, kept(withdrawal(1), clock).at);

    // It counts as work of the run, and proves of no asset that it is there.
    assert_eq!(record.evidence, None);
    let wanted = FactsWanted {
        reasons: 9,
        slowest: 9,
        slices: 1,
    };
    let facts = ledger.facts(run, wanted).await.unwrap();
    assert_eq!(facts.proved, [(Evidence::E1, 1)].into());
    assert_eq!((facts.slices[0].steps, facts.slowest.len()), (2, 2));
    assert_eq!(facts.reasons, []);
}

pub async fn what_is_taken_back_twice_is_remembered_as_it_was_last(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 3).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    end(
        ledger,
        &taken,
        vec![done(placement(1)), withdrawn(withdrawal(1))],
    )
    .await;
    clock.advance(Duration::from_secs(60));
    let again = Withdrawal {
        reason: "gone already".to_owned(),
        kept: None,
        links: Vec::new(),
        note: None,
        ..withdrawal(1)
    };
    end(ledger, &taken[2..], vec![withdrawn(again.clone())]).await;
    assert_eq!(about(ledger, 1).await, (None, Some(kept(again, clock))));
}

pub async fn a_stale_withdrawal_takes_nothing_back(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 2).await;
    let worker = WorkerId::fresh();
    let taken = take(ledger, run, &worker, 9).await;
    end(ledger, &taken, vec![done(placement(1))]).await;
    let stale = report(&taken[1], withdrawn(withdrawal(1)));
    ledger.release(&worker).await.unwrap();
    take(ledger, run, &worker, 9).await;
    assert_eq!(
        ledger.finish(&[stale.clone(), stale]).await.unwrap(),
        [false, false]
    );
    assert_eq!(about(ledger, 1).await, (Some(placement(1)), None));
    assert_eq!(
        states(ledger, run).await,
        [StepState::Done, StepState::Leased]
    );
    assert_eq!(ledger.custody(Some(run), None, 9).await.unwrap().len(), 1);
}

pub async fn what_is_placed_as_another_by_now_is_not_taken_back(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 5).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let mut at_another_sink = placement(2);
    at_another_sink.sink = "studio".to_owned();
    end(
        ledger,
        &taken,
        vec![done(elsewhere(1)), done(at_another_sink.clone())],
    )
    .await;
    let outcomes = vec![withdrawn(withdrawal(1)), withdrawn(withdrawal(2))];
    end(ledger, &taken[2..], outcomes).await;
    assert_eq!(about(ledger, 1).await, (Some(elsewhere(1)), None));
    assert_eq!(about(ledger, 2).await, (Some(at_another_sink), None));
    let record = ledger.attempts(taken[2].id).await.unwrap().remove(0);
    assert_eq!(record.event, CustodyEvent::Done);
    assert_eq!(record.message.as_deref(), Some("the contract ended"));

    // Another revision of the same asset is the same placement.
    let mut newer = elsewhere(1);
    newer.placed.revision = Revision::new("7");
    let of_newer = Withdrawal {
        placement: newer,
        ..withdrawal(1)
    };
    end(ledger, &taken[4..], vec![withdrawn(of_newer)]).await;
    let (placed, withdrawn) = about(ledger, 1).await;
    assert_eq!(placed, None);
    let revision = withdrawn.unwrap().placement.placed.revision;
    assert_eq!(revision, Revision::new("7"));
}

pub async fn of_a_placement_and_a_withdrawal_in_one_call_the_later_counts(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let placed = |n| done(placement(n));
    let back = |n| withdrawn(withdrawal(n));
    let of_other = |n| withdrawn(of_another(n));
    let cases: [(Vec<Outcome>, bool, bool); 9] = [
        (vec![placed(1), back(1)], false, true),
        (vec![back(2), placed(2)], true, false),
        (vec![placed(3), back(3), placed(3)], true, false),
        (vec![back(4), placed(4), back(4)], false, true),
        // Of two withdrawals each may be of what is placed.
        (vec![placed(5), back(5), of_other(5)], false, true),
        (vec![placed(6), of_other(6), back(6)], false, true),
        (vec![placed(7), of_other(7)], true, false),
        (vec![placed(8), back(8), done(elsewhere(8))], true, false),
        (vec![back(9), done(elsewhere(9)), back(9)], true, false),
    ];
    // Where nothing was before, where it was placed, and where it was taken back.
    let befores = [
        None,
        Some(placed as fn(u64) -> Outcome),
        Some(back as fn(u64) -> Outcome),
    ];
    for before in befores {
        for (n, (outcomes, is_placed, is_back)) in (1..).zip(&cases) {
            let run = running(ledger, 4).await;
            let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
            if let Some(before) = before {
                end(ledger, &taken[3..], vec![before(n)]).await;
            }
            clock.advance(Duration::from_secs(1));
            end(ledger, &taken, outcomes.clone()).await;
            let (placement, withdrawal) = about(ledger, n).await;
            assert_eq!(placement.is_some(), *is_placed, "{outcomes:?}");
            assert_eq!(withdrawal.is_some(), *is_back, "{outcomes:?}");
            // The last one that takes back is what is known.
            if let (Some(known), Some(Outcome::Withdrawn(last))) = (withdrawal, outcomes.last()) {
                assert_eq!(known, kept(last.as_ref().clone(), clock));
            }
        }
    }
    // What was placed in between was there, and its content is known.
    let hash = placement(1).digests.content_hash.unwrap();
    assert!(ledger.contents(&[hash]).await.unwrap()[0].is_some());
}

pub async fn what_is_taken_back_is_not_held_any_more(ledger: &dyn Ledger, _clock: &ManualClock) {
    let held = |n: u64| Outcome::Held {
        reason: "refused".to_owned(),
        hold: Some(Box::new(new_hold(n, "draft"))),
    };
    let run = running(ledger, 9).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let outcomes = vec![done(placement(1)), held(1), held(4)];
    end(ledger, &taken, outcomes).await;
    let outcomes = vec![
        withdrawn(withdrawal(1)),
        // In one call the later of both counts.
        held(2),
        withdrawn(withdrawal(2)),
        withdrawn(withdrawal(3)),
        held(3),
    ];
    end(ledger, &taken[3..], outcomes).await;
    let ids = [1, 2, 3, 4].map(|n| placement(n).source_asset);
    let holds = ledger.holds("ingest", "agency", &ids).await.unwrap();
    let is_held: Vec<bool> = holds.iter().map(Option::is_some).collect();
    assert_eq!(is_held, [false, false, true, true]);
    // A hold forgets no withdrawal: the asset is not placed.
    let found = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    let is_back: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(is_back, [true, true, true, false]);
}

pub async fn what_is_taken_back_counts_for_nothing(ledger: &dyn Ledger, _clock: &ManualClock) {
    let run = running(ledger, 5).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    // The first brought an asset that the second is linked to and the third has the bytes of.
    let mut placements: Vec<Placement> = (1..=3).map(placement).collect();
    placements[1].placed.asset = placements[0].placed.asset.clone();
    placements[1].linked = true;
    placements[1].digests = placements[0].digests;
    placements[2].digests = placements[0].digests;
    placements[2].digests.size = 77;
    end(
        ledger,
        &taken,
        placements.iter().cloned().map(done).collect(),
    )
    .await;
    let outcomes = [0, 2].map(|index: usize| {
        withdrawn(Withdrawal {
            placement: placements[index].clone(),
            ..withdrawal(1)
        })
    });
    end(ledger, &taken[3..], outcomes.into()).await;

    let asset = [placements[0].placed.asset.clone()];
    let sharing = ledger.sharing("dam", &asset).await.unwrap();
    let one = Sharing {
        files: 1,
        is_owned: false,
        first: placements[1].sort_key(),
        collections: [("/library".to_owned(), 1)].into(),
    };
    assert_eq!(sharing, [one]);
    let found = ledger.placed_as("dam", &asset).await.unwrap();
    assert_eq!(found, [[placements[1].clone()]]);
    let hash = placements[0].digests.content_hash.unwrap();
    let found = ledger.holding("dam", &[(8, hash), (77, hash)]).await;
    assert_eq!(found.unwrap(), [Some(placements[1].clone()), None]);
    let sizes = ledger.holds_size("dam", &[8, 77]).await.unwrap();
    assert_eq!(sizes, [true, false]);
    let assets: Vec<Asset> = placements.iter().map(asset_of).collect();
    let unchanged = ledger.unchanged("ingest", "agency", &assets).await.unwrap();
    // The link stands for no other file any more.
    assert_eq!(unchanged, [false, false, false]);
    let left = ledger.placements_after("ingest", "agency", None, 9).await;
    assert_eq!(left.unwrap(), [placements[1].clone()]);
}

pub async fn withdrawals_are_read_in_pages_in_the_order_of_assets(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 1_205).await;
    let taken = take(ledger, run, &WorkerId::fresh(), u32::MAX).await;
    let mut all: Vec<Withdrawal> = (1..=1_203).map(withdrawal).collect();
    let mut others = [withdrawal(5), withdrawal(6)];
    others[0].placement.flow = "archive".to_owned();
    others[1].placement.source = "nas".to_owned();
    all.extend(others);
    end(ledger, &taken, all.iter().cloned().map(withdrawn).collect()).await;

    all.truncate(1_203);
    all.sort_by(|a, b| a.placement.of().cmp(&b.placement.of()));
    let all: Vec<_> = all.into_iter().map(|one| kept(one, clock)).collect();
    let mut read = Vec::new();
    let mut after: Option<AssetId> = None;
    loop {
        let page = ledger
            .withdrawals_after("ingest", "agency", after.as_ref(), 500)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 500);
        after = Some(last.placement.source_asset.clone());
        read.extend(page);
    }
    assert!(read == all);
    let of = |flow, source| ledger.withdrawals_after(flow, source, None, 9);
    assert_eq!(of("archive", "agency").await.unwrap().len(), 1);
    assert_eq!(of("ingest", "nas").await.unwrap().len(), 1);
    assert_eq!(of("archive", "nas").await.unwrap(), []);
    let none = ledger.withdrawals_after("ingest", "agency", None, 0);
    assert_eq!(none.await.unwrap(), []);
    // More keys than any one statement takes, each answered in its place.
    let ids: Vec<AssetId> = (1..=2_500).map(|n| placement(n).source_asset).collect();
    let found = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    let is_back = |(n, found): (u64, &Option<Withdrawal>)| match found {
        Some(found) => n <= 1_203 && found.placement == placement(n),
        None => n > 1_203,
    };
    assert_eq!(found.len(), 2_500);
    assert!((1..).zip(&found).all(is_back));
}

pub async fn any_text_of_a_withdrawal_survives(ledger: &dyn Ledger, clock: &ManualClock) {
    let texts = [
        "\"quoted\" and 'quoted' and \\ and $1",
        "line\nbreak\tand\r\nmore",
        "Übergröße 🎬 e\u{301} \u{202e}rtl",
        "null",
        "[\"a\", {\"b\": 1}]",
        "nul \u{0} inside and \\u0000 and \\\u{0}",
        "\u{10fffe}\u{10fffe}0 \u{10fffe}0",
    ];
    let run = running(ledger, texts.len() as u64).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 99).await;
    let odd = |text: &str| {
        let mut odd = withdrawal(1);
        odd.placement.source_asset = AssetId::new(text);
        odd.placement.source_path = AssetPath::new(text);
        odd.placement.sink = text.to_owned();
        odd.placement.placed.asset = AssetId::new(text);
        odd.reason = text.to_owned();
        odd.kept = Some(AssetPath::new(text));
        odd.links = vec![String::new(), text.to_owned()];
        odd.recipients = vec![text.to_owned(), text.to_owned()];
        odd.note = odd.note.map(|note| Placed {
            asset: AssetId::new(text),
            revision: Revision::new(text),
            size: u64::MAX,
            ..note
        });
        odd
    };
    let outcomes: Vec<Outcome> = texts.iter().map(|text| withdrawn(odd(text))).collect();
    end(ledger, &taken, outcomes).await;
    let ids: Vec<AssetId> = texts.iter().map(|text| AssetId::new(*text)).collect();
    let found = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    let paged = ledger.withdrawals_after("ingest", "agency", None, 99);
    let paged = paged.await.unwrap();
    assert_eq!(paged.len(), texts.len());
    for (text, found) in texts.iter().zip(found) {
        let expected = kept(odd(text), clock);
        assert!(paged.contains(&expected), "{text:?}");
        assert_eq!(found, Some(expected), "{text:?}");
    }
    let custody = ledger.custody(Some(run), None, 99).await.unwrap();
    let reasons = custody.iter().filter_map(|one| one.message.as_deref());
    assert_eq!(reasons.collect::<Vec<_>>(), texts);
}

pub async fn what_the_ledger_does_not_know_as_placed_is_taken_back_all_the_same(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = running(ledger, 2).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 9).await;
    let mut of_other_flow = withdrawal(1);
    of_other_flow.placement.flow = "archive".to_owned();
    let outcomes = vec![done(placement(1)), withdrawn(of_other_flow.clone())];
    end(ledger, &taken, outcomes).await;
    assert_eq!(about(ledger, 1).await, (Some(placement(1)), None));
    let ids = [placement(1).source_asset];
    let found = ledger.withdrawals("archive", "agency", &ids).await.unwrap();
    assert_eq!(found, [Some(kept(of_other_flow, clock))]);
}
