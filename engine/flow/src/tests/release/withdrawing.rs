//! What ends is taken back: by rights at once, by other reasons within a cap, never what people changed.

use windlass_core::memory::Operation;
use windlass_core::{Handing, LinkTerms};

use super::*;
use crate::{Cause, RemovalCap, Stale, Work};

#[tokio::test]
async fn what_is_switched_off_goes_with_its_links_and_a_note_stays() {
    let mut world = World::new();
    world.options.taking_back.notes = true;
    world.options.handing = Some(Handing {
        link: Some(LinkTerms::default()),
        receipt: true,
    });
    let id = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    world.switch_off(&id);
    let (plan, closed) = world.pass().await;
    assert_eq!(
        told(&plan),
        ["withdraw /Brand/a.jpg: rights do not allow it any more: it is switched off"]
    );
    assert_eq!(
        world.visible(),
        ["/Press/Brand/a.jpg - withdrawn.txt", "/Press/Brand/b.jpg"]
    );
    assert_eq!(world.kept(), ["/Quarantine/Press/Brand/a.jpg"]);
    assert!(
        world
            .outlet
            .links_of("/Quarantine/Press/Brand/a.jpg")
            .is_empty()
    );
    assert!(world.library.usages(&id).is_empty());
    assert_eq!((closed.proved_absent, closed.still_there), (1, Vec::new()));
    let note = String::from_utf8(world.bytes("/Press/Brand/a.jpg - withdrawn.txt")).unwrap();
    assert!(note.contains("it is switched off"), "{note}");
    let all = world
        .ledger
        .withdrawals_after("out", "dam", None, 10)
        .await
        .unwrap();
    assert_eq!((all.len(), all[0].links.len()), (1, 1));
    assert!(world.plan().await.is_empty());

    // Allowed again, it comes back and the note goes.
    world.switch_on(&id);
    world.pass().await;
    assert_eq!(
        world.visible(),
        ["/Press/Brand/a.jpg", "/Press/Brand/b.jpg"]
    );
    let all = world
        .ledger
        .withdrawals_after("out", "dam", None, 10)
        .await
        .unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn an_end_that_was_said_beforehand_is_noted_and_kept() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    let end = world.now() + jiff::SignedDuration::from_hours(2);
    let dated = Availability::Dated {
        from: None,
        to: Some(end),
    };
    world.library.set_usable(&id, Usable::Stated(dated));
    let sooner = world.now() + jiff::SignedDuration::from_hours(1);
    *world.rules.until.lock().unwrap() = Some(sooner);
    world.pass().await;
    assert_eq!(world.flow().due().await.unwrap(), Some(sooner));
    world.clock.advance(Duration::from_secs(3_600));
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn what_is_deleted_hidden_or_not_selected_any_more_goes_within_the_cap() {
    let mut world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    let hidden = world.asset("/Brand/b.jpg", b"b");
    let rejected = world.asset("/Brand/c.jpg", b"c");
    let off = world.asset("/Brand/d.jpg", b"d");
    world.pass().await;
    world.library.endpoint().delete("/Brand/a.jpg");
    world.library.hide(&hidden, true);
    world
        .library
        .set_field(&rejected, "approval", Value::Text("Rejected".into()));
    world.switch_off(&off);
    world.options.cap = Some(RemovalCap {
        count: Some(2),
        ..RemovalCap::default()
    });
    let (plan, _) = world.pass().await;
    let reasons = told(&plan);
    assert!(
        reasons[0].starts_with("hold /Brand/a.jpg: it would replace or withdraw 3 of 4 placed assets; the cap is 2; it stays until somebody has looked"),
        "{reasons:#?}"
    );
    assert_eq!(
        actions(&plan),
        [Action::Hold, Action::Hold, Action::Hold, Action::Withdraw]
    );
    // Rights ask nobody.
    assert_eq!(
        world.visible(),
        [
            "/Press/Brand/a.jpg",
            "/Press/Brand/b.jpg",
            "/Press/Brand/c.jpg"
        ]
    );
    world.options.cap = None;
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "withdraw /Brand/a.jpg: it is gone from dam, or hidden",
            "withdraw /Brand/b.jpg: it is gone from dam, or hidden",
            "withdraw /Brand/c.jpg: its approval is \"Rejected\", not \"approved\"",
            "skip /Brand/d.jpg: blocked by rights: it is switched off",
        ]
    );
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn what_is_only_not_wanted_any_more_may_stay_while_rights_allow_it() {
    let mut world = World::new();
    world.options.taking_back.stale = Stale::Keep;
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world
        .library
        .set_field(&id, "approval", Value::Text("Rejected".into()));
    assert!(world.pass().await.0.is_empty());
    assert_eq!(world.visible(), ["/Press/Brand/a.jpg"]);
    world.switch_off(&id);
    world.pass().await;
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn an_edited_copy_is_left_to_people_and_told() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world
        .outlet
        .edit("/Press/Brand/a.jpg", &b"theirs"[..])
        .unwrap();
    world.switch_off(&id);
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "conflict /Brand/a.jpg: its copy /Press/Brand/a.jpg was changed by people and is left to them: rights do not allow it any more: it is switched off"
        ]
    );
    assert_eq!(world.visible(), ["/Press/Brand/a.jpg"]);
}

#[tokio::test]
async fn a_copy_that_people_moved_out_of_the_folder_is_taken_back_all_the_same() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world
        .outlet
        .rename("/Press/Brand/a.jpg", "/Private/mine.jpg")
        .unwrap();
    world.switch_off(&id);
    world.pass().await;
    assert!(world.visible().is_empty(), "{:?}", world.visible());
    assert_eq!(world.kept(), ["/Quarantine/Private/mine.jpg"]);
}

#[tokio::test]
async fn without_a_quarantine_it_is_deleted() {
    let mut world = World::new();
    world.options.taking_back.quarantine = None;
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.switch_off(&id);
    world.pass().await;
    assert!(world.outlet.assets().is_empty());
}

#[tokio::test]
async fn a_list_that_lags_behind_keeps_nothing_visible() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.library.let_lists_lag();
    world.switch_off(&id);
    world.pass().await;
    assert!(world.visible().is_empty());
    // Nor does it bring it back.
    world.pass().await;
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn a_sweep_takes_back_and_places_nothing() {
    let mut world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/newer.jpg", b"1");
    world.asset("/Brand/removed.jpg", b"removed");
    world.pass().await;
    world.asset("/Brand/new.jpg", b"new");
    world.asset("/Brand/newer.jpg", b"2");
    world.outlet.delete("/Press/Brand/removed.jpg");
    world.options.handing = Some(Handing {
        link: Some(LinkTerms::default()),
        receipt: false,
    });
    world.switch_off(&id);
    world.options.sweep = true;
    let (plan, closed) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);
    assert_eq!(closed.proved_absent, 1);
    assert_eq!(world.visible(), ["/Press/Brand/newer.jpg"]);
    assert_eq!(world.bytes("/Press/Brand/newer.jpg"), b"1");
}

#[tokio::test]
async fn withdrawing_that_fails_for_a_while_is_done_in_the_end() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.switch_off(&id);
    world.outlet.inject(Operation::TakeBack, Kind::Unavailable);
    world.pass().await;
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn what_a_failing_plugin_cannot_allow_any_more_counts_against_the_cap() {
    let mut world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    *world.rules.broken.lock().unwrap() = true;
    world.options.cap = Some(RemovalCap {
        count: Some(0),
        ..RemovalCap::default()
    });
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Hold]);
    world.options.cap = None;
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn a_cap_looks_at_who_wants_it_to_go_and_not_at_texts() {
    let mut world = World::new();
    let off = world.asset("/Brand/a.jpg", b"a");
    let rejected = world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    world.switch_off(&off);
    world
        .library
        .set_field(&rejected, "approval", Value::Text("Rejected".into()));
    let mut plan = world.plan().await;
    let causes = |plan: &Plan| -> Vec<Cause> {
        let works = plan.steps.iter().filter_map(|step| step.work.as_ref());
        works.filter_map(Work::cause).collect()
    };
    assert_eq!(causes(&plan), [Cause::Denied, Cause::Unwanted]);
    let words = plan.steps[0].reason.clone();
    plan.steps[0].reason = std::mem::replace(&mut plan.steps[1].reason, words);
    world.options.cap = Some(RemovalCap {
        count: Some(0),
        ..RemovalCap::default()
    });
    world.flow().apply_cap(2, &mut plan.steps);
    assert_eq!(actions(&plan), [Action::Withdraw, Action::Hold]);
}

#[tokio::test]
async fn a_withdrawal_that_an_older_version_planned_is_of_what_nobody_wants() {
    let world = World::new();
    let off = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.switch_off(&off);
    let plan = world.plan().await;
    let payload = plan.steps[0].to_new_step("share").unwrap().payload;
    let older = payload.replace(r#""cause":"denied","#, "");
    assert_ne!(older, payload);
    let work = Work::from_payload(&older).unwrap();
    assert_eq!(work.cause(), Some(Cause::Unwanted));
}
