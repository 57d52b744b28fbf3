//! A way that remembers what it saw asks for what changed, and finds the rest when it looks at everything again.

use async_trait::async_trait;
use windlass_core::memory::Operation;
use windlass_core::{Availability, Kind, Result, RunId, Usable};

use super::*;
use crate::{Admission, Bell, Beside, PlannedStep};

async fn world() -> World {
    let mut world = World::trusting();
    world.remembers = true;
    for number in 0..120 {
        let path = format!("/Work/Final/{number}.jpg");
        world.files.put(&path, format!("file {number}")).unwrap();
    }
    world.pass().await;
    world.pass().await;
    world
}

#[tokio::test]
async fn a_pass_after_another_one_lists_nothing_again() {
    let world = world().await;
    let before = world.files.calls(Operation::Changes);
    world.files.put("/Work/Final/7.jpg", "edited").unwrap();
    world.run_half(Way::In).await;
    assert_eq!(world.asset("/Brand/Final/7.jpg"), b"edited");
    let pages = world.files.calls(Operation::Changes) - before;
    assert_eq!(pages, 1, "one call tells what changed");
}

#[tokio::test]
async fn what_changes_on_either_side_is_seen_by_the_next_pass() {
    let world = world().await;
    world.library.put("/Brand/Final/3.jpg", "newer").unwrap();
    world
        .files
        .rename("/Work/Final/4.jpg", "/Work/Spring/Final/4.jpg")
        .unwrap();
    world.files.delete("/Work/Final/5.jpg");
    world.pass().await;
    assert_eq!(world.file("/Work/Final/3.jpg"), b"newer");
    assert!(
        world
            .asset_paths()
            .contains(&"/Brand/Spring/Final/4.jpg".to_owned())
    );
    assert!(
        world
            .asset_paths()
            .contains(&"/Brand/Final/5.jpg".to_owned())
    );
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_cursor_that_is_not_valid_any_more_costs_a_list_and_nothing_else() {
    let world = world().await;
    world.files.reset_cursors();
    world.files.put("/Work/Final/7.jpg", "edited").unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/7.jpg"), b"edited");
    assert_eq!(world.asset_paths().len(), 120);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_no_list_of_changes_tells_is_found_when_everything_is_looked_at() {
    let mut world = world().await;
    world.options.removing = removing();
    world.kept.lock().unwrap().clear();
    world.pass().await;
    world.dam.delete("/Brand/Final/9.jpg");
    world.pass().await;
    assert!(world.file_paths().contains(&"/Work/Final/9.jpg".to_owned()));
    world.clock.advance(Duration::from_secs(900));
    world.pass().await;
    assert!(!world.file_paths().contains(&"/Work/Final/9.jpg".to_owned()));
}

#[tokio::test]
async fn rights_of_all_that_came_out_are_asked_for_when_everything_is_looked_at() {
    let mut world = World::new();
    world.remembers = true;
    let asset = world.library.put("/Brand/press.jpg", "one").unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/press.jpg"]);
    let off = Availability::Direct { available: false };
    world.library.set_usable(&asset, Usable::Stated(off));
    world.clock.advance(Duration::from_secs(900));
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Withdrawn/Work/press.jpg"]);
}

#[tokio::test]
async fn the_way_out_lists_the_files_no_second_time() {
    let world = world().await;
    let before = world.files.calls(Operation::Changes);
    world.library.put("/Brand/Final/3.jpg", "newer").unwrap();
    world.run_half(Way::Out).await;
    assert_eq!(world.file("/Work/Final/3.jpg"), b"newer");
    let pages = world.files.calls(Operation::Changes) - before;
    assert_eq!(pages, 1, "one call tells what changed");
}

/// Takes everything.
#[derive(Debug)]
struct Anything;

#[async_trait]
impl Admission for Anything {
    async fn admits(&self, _steps: &[PlannedStep]) -> Result<bool> {
        Ok(true)
    }
}

/// A world in which one file came out and another one is about to; the pass that brings it, planned.
async fn about_to_publish(world: &World) -> (Flow, Runner, Plan, RunId) {
    world.library.put("/Brand/press.jpg", "one").unwrap();
    world.files.put("/Work/Final/own.jpg", "three").unwrap();
    world.pass().await;
    world.pass().await;
    world.library.put("/Brand/other.jpg", "two").unwrap();
    let flow = world.half(Way::Out);
    let mut steps = Vec::new();
    let summary = flow.decide(&mut steps).await.unwrap();
    let plan = Plan { summary, steps };
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    (flow, runner, plan, run)
}

/// Works it off while somebody looks beside it, once.
async fn work_and_look(flow: &Flow, runner: &Runner, run: RunId) {
    let bell = Bell::default();
    bell.ring();
    let beside = Beside {
        flow,
        bell: &bell,
        admission: &Anything,
    };
    let never = CancellationToken::new();
    let worked = runner.work_and_look(run, &never, &beside).await;
    assert_eq!(worked.unwrap(), RunOutcome::Finished);
}

#[tokio::test]
async fn what_rights_forbid_by_now_is_taken_back_beside_a_run() {
    let mut world = World::new();
    world.remembers = true;
    let (flow, runner, _, run) = about_to_publish(&world).await;
    let press = world.dam.asset_at("/Brand/press.jpg").unwrap();
    let off = Availability::Direct { available: false };
    world.library.set_usable(&press.id, Usable::Stated(off));
    work_and_look(&flow, &runner, run).await;
    assert_eq!(
        world.file_paths(),
        [
            "/Withdrawn/Work/press.jpg",
            "/Work/Final/own.jpg",
            "/Work/other.jpg"
        ]
    );
}

#[tokio::test]
async fn what_people_removed_is_left_to_the_next_pass_and_not_put_away_beside_a_run() {
    let mut world = World::new();
    world.remembers = true;
    world.options.removing = removing();
    let (flow, runner, plan, run) = about_to_publish(&world).await;
    world.dam.delete("/Brand/Final/own.jpg");
    // Nothing tells of it but a look at everything.
    world.clock.advance(Duration::from_secs(900));
    work_and_look(&flow, &runner, run).await;
    flow.settle(&plan.summary, Some(run)).await.unwrap();
    assert!(
        world
            .file_paths()
            .contains(&"/Work/Final/own.jpg".to_owned())
    );
    world.run_half(Way::Out).await;
    assert!(
        !world
            .file_paths()
            .contains(&"/Work/Final/own.jpg".to_owned())
    );
}

#[tokio::test]
async fn what_was_new_to_a_look_beside_a_run_is_still_new_to_the_next_pass() {
    let mut world = World::new();
    world.remembers = true;
    let (flow, runner, plan, run) = about_to_publish(&world).await;
    let press = world.dam.asset_at("/Brand/press.jpg").unwrap();
    let off = Availability::Direct { available: false };
    world.library.set_usable(&press.id, Usable::Stated(off));
    // Somebody looks, and cannot do it.
    world.files.inject(Operation::TakeBack, Kind::Denied);
    work_and_look(&flow, &runner, run).await;
    flow.settle(&plan.summary, Some(run)).await.unwrap();
    assert!(world.file_paths().contains(&"/Work/press.jpg".to_owned()));
    world.run_half(Way::Out).await;
    assert!(!world.file_paths().contains(&"/Work/press.jpg".to_owned()));
}

#[tokio::test]
async fn what_could_not_be_taken_back_goes_with_the_next_pass() {
    let mut world = World::new();
    world.remembers = true;
    let asset = world.library.put("/Brand/press.jpg", "one").unwrap();
    world.pass().await;
    let off = Availability::Direct { available: false };
    world.library.set_usable(&asset, Usable::Stated(off));
    world.files.inject(Operation::TakeBack, Kind::Denied);
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/press.jpg"]);
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Withdrawn/Work/press.jpg"]);
}

#[tokio::test]
async fn what_the_way_in_saw_first_is_no_less_new_to_the_way_out() {
    let mut world = World::new();
    world.remembers = true;
    world.shares = true;
    let asset = world.library.put("/Brand/press.jpg", "one").unwrap();
    world.pass().await;
    world.pass().await;
    let off = Availability::Direct { available: false };
    world.library.set_usable(&asset, Usable::Stated(off));
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Withdrawn/Work/press.jpg"]);
}

/// A world in which an asset came out, and what lets it or does not.
async fn published() -> (World, impl Fn(&World, bool)) {
    let mut world = World::new();
    world.remembers = true;
    let asset = world.library.put("/Brand/press.jpg", "one").unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/press.jpg"]);
    let allow = move |world: &World, available: bool| {
        let stated = Usable::Stated(Availability::Direct { available });
        world.library.set_usable(&asset, stated);
    };
    (world, allow)
}

#[tokio::test]
async fn what_only_a_list_objects_to_is_asked_for_by_its_id_and_stays() {
    let (world, allow) = published().await;
    allow(&world, false);
    world.library.let_lists_lag();
    allow(&world, true);
    world.clock.advance(Duration::from_secs(900));
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/press.jpg"]);
}

#[tokio::test]
async fn what_was_restricted_while_lists_lagged_goes_with_the_look_after_they_caught_up() {
    let (world, allow) = published().await;
    world.library.let_lists_lag();
    allow(&world, false);
    world.clock.advance(Duration::from_secs(900));
    world.pass().await;
    world.library.catch_up();
    world.clock.advance(Duration::from_secs(900));
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Withdrawn/Work/press.jpg"]);
}
