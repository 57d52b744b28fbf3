//! Links: made on terms, changed to them, and what plans and teams do not allow.

use jiff::{SignedDuration, Timestamp};
use windlass_core::{Kind, LinkTerms, Outlet};
use windlass_sandbox::dropbox::DropboxOptions as Account;

use super::super::sandbox::serve;
use super::{faulty, files, placed};

fn days(days: u32) -> LinkTerms {
    LinkTerms {
        days: Some(days),
        ..LinkTerms::default()
    }
}

fn until(until: Timestamp) -> LinkTerms {
    LinkTerms {
        until: Some(until),
        ..LinkTerms::default()
    }
}

/// So many days from now, in whole seconds.
fn in_days(days: i64) -> Timestamp {
    let at = Timestamp::now() + SignedDuration::from_hours(24 * days);
    Timestamp::from_second(at.as_second()).unwrap()
}

#[tokio::test]
async fn a_link_ends_at_the_earlier_of_its_terms() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let end = in_days(3);
    let terms = LinkTerms {
        days: Some(7),
        ..until(end)
    };
    let link = dropbox.link(&placed, &terms).await.unwrap();
    assert_eq!(link.expires, Some(end));
    let there = service.links();
    assert_eq!(
        (there[0].url.as_str(), there[0].expires),
        (link.url.as_str(), Some(end))
    );
    assert_eq!(there[0].path, "/Out/a.jpg");
}

#[tokio::test]
async fn a_link_that_is_there_is_changed_and_not_made_again() {
    for faults in [
        "",
        "route=sharing/create_shared_link_with_settings,nth=2,do=service:bare-error",
        "route=sharing/create_shared_link_with_settings,nth=2,do=reset-after",
    ] {
        let (service, dropbox) = faulty(faults).await;
        let placed = placed(&dropbox, "/Out/a.jpg").await;
        let first = dropbox.link(&placed, &LinkTerms::default()).await.unwrap();
        assert_eq!(first.expires, None);
        let end = in_days(5);
        let second = dropbox.link(&placed, &until(end)).await.unwrap();
        assert_eq!((&second.url, second.expires), (&first.url, Some(end)));
        let later = in_days(9);
        let third = dropbox.link(&placed, &until(later)).await.unwrap();
        assert_eq!(third.expires, Some(later), "a date moves on");
        let kept = dropbox.link(&placed, &days(30)).await.unwrap();
        assert_eq!(kept.expires, Some(later), "days do not");
        let sooner = dropbox.link(&placed, &days(2)).await.unwrap();
        assert!(sooner.expires.unwrap() < end);
        let open = dropbox.link(&placed, &LinkTerms::default()).await.unwrap();
        assert_eq!((&open.url, open.expires), (&first.url, None));
        assert_eq!(service.links().len(), 1, "{faults}");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_one_link() {
    let lost = "route=sharing/create_shared_link_with_settings,nth=1,do=reset-after";
    let (service, dropbox) = faulty(lost).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let link = dropbox.link(&placed, &days(3)).await.unwrap();
    assert!(link.expires.is_some());
    assert_eq!(service.links().len(), 1);
}

#[tokio::test]
async fn a_plan_without_links_that_end_gives_one_that_does_not_and_says_so() {
    let (service, dropbox) = serve(Account {
        basic_plan: true,
        ..Account::default()
    })
    .await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let link = dropbox.link(&placed, &days(3)).await.unwrap();
    assert_eq!(link.expires, None);
    let again = dropbox.link(&placed, &days(3)).await.unwrap();
    assert_eq!(again, link);
    assert_eq!(service.links().len(), 1);
    let team = LinkTerms {
        team_only: true,
        ..days(3)
    };
    let refused = dropbox.link(&placed, &team).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.hint().is_some());
}

#[tokio::test]
async fn a_link_for_the_team_is_never_open_to_all() {
    let (service, dropbox) = serve(Account {
        team_home: Some("/Ada".to_owned()),
        ..Account::default()
    })
    .await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let open = dropbox.link(&placed, &LinkTerms::default()).await.unwrap();
    assert_eq!(service.links()[0].audience, "public");
    let team = LinkTerms {
        team_only: true,
        ..LinkTerms::default()
    };
    let closed = dropbox.link(&placed, &team).await.unwrap();
    assert_eq!(closed.url, open.url);
    assert_eq!(service.links()[0].audience, "team");

    let (service, alone) = serve(Account::default()).await;
    let placed = super::placed(&alone, "/Out/a.jpg").await;
    let refused = alone.link(&placed, &team).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert_eq!(service.links(), []);
}

#[tokio::test]
async fn no_link_is_made_that_would_have_ended_or_leads_nowhere() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let refused = dropbox.link(&placed, &until(in_days(-1))).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidInput);
    service.remove("/Out/a.jpg").unwrap();
    let refused = dropbox.link(&placed, &LinkTerms::default()).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(service.links(), []);
    assert_eq!(files(&service), [""; 0]);
}
