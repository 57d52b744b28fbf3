//! Everything is listed anew beside looks at what changed, however long that takes.

use jiff::SignedDuration;
use windlass_core::memory::Operation;
use windlass_core::{Availability, Clock, Kind, Usable};

use super::*;

/// A world that has seen everything, a quarter of an hour ago, and in which a list comes to no end.
async fn world() -> World {
    let mut world = World::trusting();
    world.remembers = true;
    world.options.removing = removing();
    for number in 0..60 {
        let path = format!("/Work/Final/{number}.jpg");
        world.files.put(&path, format!("file {number}")).unwrap();
    }
    world.pass().await;
    world.pass().await;
    world.clock.advance(Duration::from_secs(900));
    world.library.stop_lists();
    world
}

#[tokio::test(start_paused = true)]
async fn people_are_not_kept_waiting_by_a_list_and_what_only_it_tells_is_found_at_its_end() {
    let world = world().await;
    // Of this only a list tells.
    world.dam.delete("/Brand/Final/9.jpg");
    world.files.put("/Work/Final/7.jpg", "edited").unwrap();
    world.library.put("/Brand/Final/8.jpg", "newer").unwrap();
    let began = tokio::time::Instant::now();
    let passed = world.pass().await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(world.asset("/Brand/Final/7.jpg"), b"edited");
    assert_eq!(world.file("/Work/Final/8.jpg"), b"newer");
    assert!(world.file_paths().contains(&"/Work/Final/9.jpg".to_owned()));
    // Nobody has to ring for the next look.
    let now = world.clock.now();
    for plan in [passed.inward, passed.outward] {
        let due = plan.summary.due.expect("a look");
        assert!(due <= now + SignedDuration::from_secs(15));
    }

    world.library.resume_lists();
    tokio::task::yield_now().await;
    let passed = world.pass().await;
    assert_eq!(passed.outward.summary.due, None);
    assert!(!world.file_paths().contains(&"/Work/Final/9.jpg".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_changes_behind_a_list_is_seen_by_the_look_that_takes_it() {
    let world = world().await;
    world.pass().await;
    // The folder was listed by now, and a look has seen this that the list has not.
    world.files.put("/Work/Final/7.jpg", "edited").unwrap();
    world.library.put("/Brand/Final/8.jpg", "newer").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/6.jpg");
    world.files.put("/Work/Final/new.jpg", "new").unwrap();
    world.library.resume_lists();
    tokio::task::yield_now().await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/7.jpg"), b"edited");
    assert_eq!(world.file("/Work/Final/8.jpg"), b"newer");
    assert_eq!(world.asset("/Brand/Final/new.jpg"), b"new");
    assert!(
        !world
            .asset_paths()
            .contains(&"/Brand/Final/6.jpg".to_owned())
    );
    world.assert_at_rest().await;
}

#[tokio::test(start_paused = true)]
async fn rights_of_all_that_came_out_are_judged_once_a_list_has_ended() {
    let world = world().await;
    world.library.put("/Brand/press.jpg", "one").unwrap();
    world.pass().await;
    assert!(world.file_paths().contains(&"/Work/press.jpg".to_owned()));
    let press = world.dam.asset_at("/Brand/press.jpg").unwrap();
    let off = Availability::Direct { available: false };
    world.library.set_usable(&press.id, Usable::Stated(off));
    world.library.resume_lists();
    tokio::task::yield_now().await;
    world.pass().await;
    assert!(!world.file_paths().contains(&"/Work/press.jpg".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_fails_the_pass_that_waits_for_it_and_is_begun_anew() {
    let world = world().await;
    world.dam.delete("/Brand/Final/9.jpg");
    world.pass().await;
    world.library.fail_list(Kind::Unavailable);
    world.library.resume_lists();
    tokio::task::yield_now().await;
    let failed = world.half(Way::In).decide(&mut Vec::new()).await;
    assert_eq!(failed.unwrap_err().kind(), Kind::Unavailable);
    world.pass().await;
    assert!(!world.file_paths().contains(&"/Work/Final/9.jpg".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_forgot_what_it_saw_waits_for_the_list_that_is_under_way() {
    let world = world().await;
    world.pass().await;
    // Of a look that fails nothing is left.
    world.files.inject(Operation::Changes, Kind::Unavailable);
    world
        .half(Way::In)
        .decide(&mut Vec::new())
        .await
        .unwrap_err();
    let before = world.files.calls(Operation::Changes);
    world.library.resume_lists();
    world.run_half(Way::In).await;
    assert_eq!(
        world.files.calls(Operation::Changes),
        before,
        "the folder was listed"
    );
}
