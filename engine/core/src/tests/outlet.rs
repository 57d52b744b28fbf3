//! Handing out from memory: what is taken back, what is left alone, who gets what.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::memory::{ManualClock, MemoryEndpoint, Operation};
use crate::*;

/// Runs a future that never waits: nothing in memory does.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a memory implementation waited"),
    }
}

/// A file that was placed.
fn placed(outlet: &MemoryEndpoint, path: &str) -> Placed {
    let asset = outlet.put(path, "bytes").unwrap();
    Placed {
        asset: asset.id,
        revision: asset.revision,
        size: asset.size,
        content_hash: asset.content_hash,
        evidence: Evidence::E2,
    }
}

fn member(email: &str) -> Member {
    Member {
        email: email.to_owned(),
        may_edit: false,
    }
}

#[test]
fn what_is_taken_back_is_kept_without_its_links_and_says_who_had_it() {
    let outlet = MemoryEndpoint::new("memory");
    let folder = AssetPath::new("/Out/DE");
    now(outlet.share(&folder, &[member("anna@example.com")])).unwrap();
    let placed = placed(&outlet, "/Out/DE/a.jpg");
    let link = now(outlet.link(&placed, &LinkTerms::default())).unwrap();
    outlet
        .rename("/Out/DE/a.jpg", "/Out/DE/Best/b.jpg")
        .unwrap();
    outlet.put("/Kept/a.jpg", "something else").unwrap();
    let keep = AssetPath::new("/Kept/a.jpg");
    let taken = now(outlet.take_back(&placed, Some(&keep))).unwrap();
    let kept = AssetPath::new("/Kept/a (2).jpg");
    let back = |links| Taken::Back {
        kept: Some(kept.clone()),
        links,
        recipients: vec!["anna@example.com".to_owned()],
    };
    assert_eq!(taken, back(vec![link.url]));
    assert_eq!(outlet.links_of("/Kept/a (2).jpg"), []);
    assert!(outlet.asset_at("/Out/DE/Best/b.jpg").is_none());

    let again = now(outlet.take_back(&placed, Some(&keep))).unwrap();
    let Taken::Back {
        kept: again, links, ..
    } = again
    else {
        panic!("{again:?}");
    };
    assert_eq!((again, links), (Some(kept), Vec::new()));
    let deleted = now(outlet.take_back(&placed, None)).unwrap();
    assert!(matches!(deleted, Taken::Back { kept: None, .. }));
    assert_eq!(now(outlet.take_back(&placed, None)).unwrap(), Taken::Absent);
}

#[test]
fn what_somebody_changed_is_neither_taken_back_nor_moved() {
    let outlet = MemoryEndpoint::new("memory");
    let placed = placed(&outlet, "/Out/a.jpg");
    let edited = outlet.edit("/Out/a.jpg", "other bytes").unwrap();
    let taken = now(outlet.take_back(&placed, Some(&AssetPath::new("/Kept/a.jpg")))).unwrap();
    assert_eq!(
        taken,
        Taken::Changed {
            revision: edited.revision,
            path: AssetPath::new("/Out/a.jpg"),
        }
    );
    let to = AssetPath::new("/Out/b.jpg");
    assert_eq!(now(outlet.move_to(&placed, &to)).unwrap(), None);
    assert!(outlet.asset_at("/Out/a.jpg").is_some());
    assert_eq!(
        outlet.edit("/nothing", "x").unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn a_move_keeps_the_asset_and_never_replaces_another() {
    let outlet = MemoryEndpoint::new("memory");
    let placed = placed(&outlet, "/Out/a.jpg");
    outlet.put("/Out/b.jpg", "other").unwrap();
    let taken = now(outlet.move_to(&placed, &AssetPath::new("/Out/b.jpg")));
    assert_eq!(taken.unwrap_err().kind(), Kind::Conflict);
    let moved = now(outlet.move_to(&placed, &AssetPath::new("/Out/FR/a.jpg"))).unwrap();
    assert_eq!(moved.unwrap().asset, placed.asset);
    assert!(outlet.asset_at("/Out/FR/a.jpg").is_some());
}

#[test]
fn a_link_that_is_there_ends_no_later_than_the_terms_say() {
    let outlet = MemoryEndpoint::new("memory");
    let clock = Arc::new(ManualClock::default());
    let start = clock.now();
    outlet.set_clock(Arc::<ManualClock>::clone(&clock));
    let placed = placed(&outlet, "/Out/a.jpg");
    let days = |days| LinkTerms {
        days: Some(days),
        ..LinkTerms::default()
    };
    let day = |n: i64| Some(start + SignedDuration::from_hours(24 * n));
    let link = now(outlet.link(&placed, &days(30))).unwrap();
    assert_eq!(link.expires, day(30));
    clock.advance(Duration::from_secs(24 * 3600));
    let same = now(outlet.link(&placed, &days(30))).unwrap();
    assert_eq!(same, link, "days are counted from when it was made");
    assert_eq!(now(outlet.link(&placed, &days(7))).unwrap().expires, day(8));
    let until = LinkTerms {
        until: day(20),
        ..LinkTerms::default()
    };
    assert_eq!(now(outlet.link(&placed, &until)).unwrap().expires, day(20));
    assert_eq!(outlet.links_of("/Out/a.jpg").len(), 1);
}

#[test]
fn terms_end_a_link_at_the_earlier_of_both() {
    let at: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    let until: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
    let terms = |days, until| LinkTerms {
        days,
        until,
        team_only: false,
    };
    assert_eq!(terms(None, None).ends(at), None);
    assert_eq!(terms(Some(7), Some(until)).ends(at), Some(until));
    let three = "2026-03-04T00:00:00Z".parse().unwrap();
    assert_eq!(terms(Some(3), Some(until)).ends(at), Some(three));
    assert_eq!(terms(Some(u32::MAX), None).ends(at), None);
}

#[test]
fn members_are_invited_once_and_one_that_is_refused_holds_up_nobody() {
    let outlet = MemoryEndpoint::new("memory");
    let folder = AssetPath::new("/Out/DE");
    outlet.refuse_member("Bert@example.com", "it is blocked");
    let members = [member("anna@example.com"), member("bert@example.com")];
    let shared = now(outlet.share(&folder, &members)).unwrap();
    assert!(shared.is_new);
    assert_eq!(shared.invited, ["anna@example.com"]);
    let refused = ("bert@example.com".to_owned(), "it is blocked".to_owned());
    assert_eq!(shared.refused, [refused]);
    let again = now(outlet.share(&folder, &[member("ANNA@example.com")])).unwrap();
    assert_eq!(again, SharedFolder::default());
    assert_eq!(outlet.members_of("/out/de"), [member("anna@example.com")]);
}

#[test]
fn handing_out_fails_when_a_test_asks_for_it() {
    let outlet = MemoryEndpoint::new("memory");
    let placed = placed(&outlet, "/a.jpg");
    for operation in [
        Operation::TakeBack,
        Operation::MoveTo,
        Operation::Link,
        Operation::Share,
    ] {
        outlet.inject(operation, Kind::Unavailable);
    }
    let root = AssetPath::new("/b.jpg");
    let failed = [
        now(outlet.take_back(&placed, None)).unwrap_err().kind(),
        now(outlet.move_to(&placed, &root)).unwrap_err().kind(),
        now(outlet.link(&placed, &LinkTerms::default()))
            .unwrap_err()
            .kind(),
        now(outlet.share(&root, &[])).unwrap_err().kind(),
    ];
    assert_eq!(failed, [Kind::Unavailable; 4]);
    assert_eq!(outlet.calls(Operation::Link), 1);
    assert!(outlet.asset_at("/a.jpg").is_some());
}
