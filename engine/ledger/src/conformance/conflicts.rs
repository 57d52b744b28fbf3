//! What waits for a choice: until when a choice counts, and what begins anew.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use jiff::Timestamp;
use windlass_core::{Conflict, ConflictSide, NewConflict, Question, Resolution};

use super::*;

/// What a pass found about pair number `n`, whose file is at that revision.
pub fn conflict(n: u64, file_revision: &str) -> NewConflict {
    let side = |endpoint: &str, asset: String, revision: &str| ConflictSide {
        endpoint: endpoint.to_owned(),
        asset: AssetId::new(asset),
        path: AssetPath::new(&format!("/{endpoint}/{n}.psd")),
        revision: Some(Revision::new(revision)),
        size: n,
    };
    NewConflict {
        flow: "together".to_owned(),
        subject: AssetId::new(format!("id:{n:04}")),
        question: Question::BothChanged,
        reason: "both changed since they agreed".to_owned(),
        file: side("agency", format!("id:{n:04}"), file_revision),
        asset: side("dam", n.to_string(), "7"),
    }
}

fn now(clock: &ManualClock) -> Timestamp {
    Timestamp::from_millisecond(clock.now().as_millisecond()).unwrap()
}

async fn all(ledger: &dyn Ledger) -> Vec<Conflict> {
    ledger.conflicts(None, None, 9_999).await.unwrap()
}

async fn only(ledger: &dyn Ledger) -> Conflict {
    let mut all = all(ledger).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

pub async fn what_passes_find_is_kept_with_its_time_and_counted(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let since = now(clock);
    for _ in 0..3 {
        ledger.note_conflicts(&[conflict(1, "a")]).await.unwrap();
        clock.advance(Duration::from_secs(60));
    }
    let kept = only(ledger).await;
    assert_eq!(kept.found, conflict(1, "a"));
    assert_eq!((kept.since, kept.passes), (since, 3));
    assert!(kept.is_undecided());

    // It is the same still, however it is said and wherever the two are by now.
    let mut moved = conflict(1, "a");
    moved.reason = "somebody moved it".to_owned();
    moved.file.path = AssetPath::new("/elsewhere");
    moved.asset.size = 99;
    ledger
        .note_conflicts(std::slice::from_ref(&moved))
        .await
        .unwrap();
    let kept = only(ledger).await;
    assert_eq!((kept.found, kept.since, kept.passes), (moved, since, 4));
}

pub async fn what_is_different_by_now_begins_anew_and_undecided(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let first = conflict(1, "a");
    let mut gone = first.clone();
    gone.file.revision = None;
    let mut newer = gone.clone();
    newer.asset.revision = Some(Revision::new("8"));
    let question = NewConflict {
        question: Question::RemovedAndChanged,
        ..newer.clone()
    };
    for found in [first, gone, newer, question] {
        let found = [found];
        clock.advance(Duration::from_secs(60));
        ledger.note_conflicts(&found).await.unwrap();
        let kept = only(ledger).await;
        assert_eq!((&kept.found, kept.since), (&found[0], now(clock)));
        assert_eq!((kept.passes, kept.resolution), (1, None));
        let chosen = ledger.resolve_conflict(&found[0], Some(Resolution::TakeFile));
        assert!(chosen.await.unwrap());
        clock.advance(Duration::from_secs(60));
        ledger.note_conflicts(&found).await.unwrap();
        let kept = only(ledger).await;
        assert_eq!(
            (kept.passes, kept.resolution),
            (2, Some(Resolution::TakeFile))
        );
    }
}

pub async fn a_choice_counts_for_just_the_revisions_it_was_about(
    ledger: &dyn Ledger,
    _: &ManualClock,
) {
    let found = conflict(1, "a");
    let choose = |conflict: NewConflict, what| async move {
        ledger.resolve_conflict(&conflict, what).await.unwrap()
    };
    assert!(!choose(found.clone(), Some(Resolution::TakeFile)).await);
    ledger
        .note_conflicts(std::slice::from_ref(&found))
        .await
        .unwrap();
    let mut gone = found.clone();
    gone.asset.revision = None;
    let others = [
        conflict(1, "b"),
        conflict(2, "a"),
        gone,
        NewConflict {
            question: Question::Proposed,
            ..found.clone()
        },
        NewConflict {
            flow: "apart".to_owned(),
            ..found.clone()
        },
    ];
    for other in others {
        assert!(!choose(other, Some(Resolution::TakeFile)).await);
    }
    assert_eq!(only(ledger).await.resolution, None);
    for what in [
        Some(Resolution::TakeAsset),
        Some(Resolution::KeepBoth),
        Some(Resolution::TakeFile),
        None,
        None,
    ] {
        assert!(choose(found.clone(), what).await);
        assert_eq!(only(ledger).await.resolution, what);
    }
}

pub async fn what_is_over_is_forgotten_and_begins_anew(ledger: &dyn Ledger, clock: &ManualClock) {
    let elsewhere = NewConflict {
        flow: "apart".to_owned(),
        ..conflict(1, "a")
    };
    let found = [conflict(1, "a"), conflict(2, "a"), elsewhere.clone()];
    ledger.note_conflicts(&found).await.unwrap();
    let chosen = ledger.resolve_conflict(&found[0], Some(Resolution::KeepBoth));
    assert!(chosen.await.unwrap());
    let ended = [found[0].subject.clone(), AssetId::new("id:never")];
    for _ in 0..2 {
        // What is over already stays so.
        ledger.end_conflicts("together", &ended).await.unwrap();
        let left: Vec<_> = all(ledger).await.into_iter().map(|one| one.found).collect();
        assert_eq!(left, [elsewhere.clone(), conflict(2, "a")]);
    }
    clock.advance(Duration::from_secs(60));
    ledger.note_conflicts(&found[..1]).await.unwrap();
    let again = ledger.conflicts(Some("together"), None, 1).await.unwrap();
    assert_eq!((again[0].passes, again[0].resolution), (1, None));
    assert_eq!(again[0].since, now(clock));
    ledger.end_conflicts("together", &[]).await.unwrap();
    assert_eq!(all(ledger).await.len(), 3);
}

pub async fn of_two_conflicts_about_one_subject_in_a_call_the_later_counts(
    ledger: &dyn Ledger,
    _: &ManualClock,
) {
    let found = [conflict(1, "a"), conflict(2, "a"), conflict(1, "b")];
    for passes in 1..=2 {
        ledger.note_conflicts(&found).await.unwrap();
        let kept = all(ledger).await;
        assert_eq!(kept.len(), 2);
        assert_eq!((&kept[0].found, kept[0].passes), (&found[2], passes));
        assert_eq!((&kept[1].found, kept[1].passes), (&found[1], passes));
    }
    ledger.note_conflicts(&[]).await.unwrap();
    assert_eq!(all(ledger).await.len(), 2);
}

pub async fn conflicts_are_read_in_pages_in_the_order_of_flows_and_subjects(
    ledger: &dyn Ledger,
    _: &ManualClock,
) {
    let mut expected = Vec::new();
    for (flow, count) in [("B", 3), ("a", 1_203), ("together", 1)] {
        expected.extend((1..=count).map(|n| NewConflict {
            flow: flow.to_owned(),
            ..conflict(n, "a")
        }));
    }
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|found| Blake3::of(found.subject.as_str().as_bytes()).0);
    ledger.note_conflicts(&shuffled).await.unwrap();
    let mut read: Vec<NewConflict> = Vec::new();
    loop {
        let last = read.last().cloned();
        let after = last.as_ref().map(|one| (one.flow.as_str(), &one.subject));
        let page = ledger.conflicts(None, after, 500).await.unwrap();
        assert!(page.len() <= 500);
        if page.is_empty() {
            break;
        }
        read.extend(page.into_iter().map(|one| one.found));
    }
    assert!(read == expected);

    let last = AssetId::new("id:1200");
    let of = |flow, after| ledger.conflicts(Some(flow), after, 9_999);
    let count = async |flow, after| of(flow, after).await.unwrap().len();
    assert_eq!(count("a", None).await, 1_203);
    assert_eq!(count("a", Some(("a", &last))).await, 3);
    assert_eq!(count("a", Some(("B", &last))).await, 1_203);
    assert_eq!(count("a", Some(("b", &last))).await, 0);
    assert_eq!(count("nothing", None).await, 0);
    assert_eq!(ledger.conflicts(None, None, 0).await.unwrap(), []);
    let subjects: Vec<AssetId> = read.iter().map(|one| one.subject.clone()).collect();
    ledger.end_conflicts("a", &subjects).await.unwrap();
    assert_eq!(all(ledger).await.len(), 4);
}

pub async fn any_text_of_a_conflict_survives(ledger: &dyn Ledger, clock: &ManualClock) {
    let texts = [
        "\"quoted\" and 'quoted' and \\ and $1",
        "line\nbreak\tand\r\nmore",
        "Übergröße 🎬 e\u{301} \u{202e}rtl",
        "null",
        "nul \u{0} inside and \\u0000 and \\\u{0}",
        "\u{10fffe}\u{10fffe}0 \u{10fffe}0",
    ];
    let odd = |text: &str| {
        let mut odd = conflict(1, text);
        odd.flow = text.to_owned();
        odd.subject = AssetId::new(text);
        odd.reason = text.to_owned();
        odd.file.path = AssetPath::new(text);
        odd.asset = ConflictSide {
            endpoint: text.to_owned(),
            asset: AssetId::new(text),
            path: AssetPath::new(text),
            revision: None,
            size: 0,
        };
        odd
    };
    for text in texts {
        let found = [odd(text)];
        ledger.note_conflicts(&found).await.unwrap();
        let chosen = ledger.resolve_conflict(&found[0], Some(Resolution::KeepBoth));
        assert!(chosen.await.unwrap(), "{text:?}");
        ledger.note_conflicts(&found).await.unwrap();
        let kept = ledger.conflicts(Some(text), None, 9).await.unwrap();
        let expected = Conflict {
            found: odd(text),
            since: now(clock),
            passes: 2,
            resolution: Some(Resolution::KeepBoth),
        };
        assert_eq!(kept, [expected], "{text:?}");
        ledger
            .end_conflicts(text, &[AssetId::new(text)])
            .await
            .unwrap();
        assert_eq!(all(ledger).await, [], "{text:?}");
    }
    let mut endless = conflict(1, "a");
    endless.asset.size = u64::MAX;
    let refused = ledger.note_conflicts(&[conflict(2, "a"), endless]).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidInput);
    assert_eq!(all(ledger).await, []);
}
