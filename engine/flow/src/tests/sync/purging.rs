//! What was put away long ago is deleted where the flow says so, and nothing that somebody touched; with that the pair ends.

use windlass_core::StepState;

use super::*;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What somebody does to what is kept.
type Touch = fn(&World);

/// A world in which what was put away is deleted after thirty days.
pub(super) fn purging() -> World {
    let mut world = World::new();
    world.options.removing = removing();
    if let Some(removing) = &mut world.options.removing {
        (removing.days, removing.purge) = (Some(30), true);
    }
    world
}

/// A world in which one asset and one file were put away, and are deleted after thirty days.
pub(super) async fn put_away() -> World {
    let world = purging();
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.files.put("/Work/Final/b.jpg", "two").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/a.jpg");
    world.dam.delete("/Brand/Final/b.jpg");
    world.pass().await;
    assert!(kept_file(&world).ends_with("/Final/b.jpg"));
    assert!(kept_asset(&world).ends_with("/Final/a.jpg"));
    world
}

pub(super) fn kept_file(world: &World) -> String {
    let paths = world.file_paths().into_iter();
    let mut paths = paths.filter(|path| path.starts_with("/Removed/"));
    paths.next().expect("a file is kept")
}

pub(super) fn kept_asset(world: &World) -> String {
    let paths = world.asset_paths().into_iter();
    let mut paths = paths.filter(|path| path.starts_with("/Removed/"));
    paths.next().expect("an asset is kept")
}

/// The file whose asset is kept.
fn removed_file(world: &World) -> AssetId {
    let placed = world.ledger.placements_after("brand.in", "work", None, 10);
    let placed = futures_util::FutureExt::now_or_never(placed);
    let mut placed = placed.unwrap().unwrap().into_iter();
    let placed = placed.find(|one| one.source_path.name() == "a.jpg");
    placed.expect("the ledger knows it").source_asset
}

fn found(plan: &Plan) -> Vec<String> {
    let findings = plan.summary.findings.iter();
    findings.map(|one| one.message.clone()).collect()
}

pub(super) fn is_gone(world: &World) -> bool {
    world.file_paths().is_empty() && world.asset_paths().is_empty()
}

fn deletes(plan: &Plan) -> bool {
    acting(plan)
        .iter()
        .any(|step| step.ends_with(" is deleted"))
}

/// Works off a plan that was made before somebody did something. Answers how its steps ended, and why.
pub(super) async fn late(
    world: &World,
    way: Way,
    touch: impl FnOnce(&World),
) -> Vec<(StepState, String)> {
    let flow = world.half(way);
    let runner = world.runner(&flow);
    let plan = world.plan_of(way).await;
    assert_eq!(acting(&plan).len(), 1, "{:?}", plan.steps);
    let run = runner.record(&plan).await.unwrap();
    touch(world);
    runner.work(run, &CancellationToken::new()).await.unwrap();
    let steps = world.ledger.steps(run, None, 10).await.unwrap();
    let ended = steps.into_iter();
    ended
        .map(|step| (step.state, step.message.unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn what_was_put_away_long_ago_is_deleted_and_nothing_is_left_to_do() {
    let world = put_away().await;
    world.clock.advance(29 * DAY);
    let passed = world.pass().await;
    assert_eq!(acting(&passed.inward), Vec::<String>::new());
    assert_eq!(acting(&passed.outward), Vec::<String>::new());
    world.clock.advance(2 * DAY);
    let (file, asset) = (kept_file(&world), kept_asset(&world));
    let id = world.asset_id(&asset);
    let day = &file["/Removed/".len()..][..10];
    let why = format!("it was put away on {day} and kept for more than 30 days");
    let passed = world.pass().await;
    assert_eq!(
        acting(&passed.inward),
        [format!(
            "withdraw /Work/Final/a.jpg: {why}; its asset {id} is deleted"
        )]
    );
    assert_eq!(
        acting(&passed.outward),
        [format!(
            "withdraw /Work/Final/b.jpg: {why}; its file {file} is deleted"
        )]
    );
    assert!(is_gone(&world));
    for _ in 0..2 {
        let passed = world.pass().await;
        assert!(passed.inward.steps.is_empty() && passed.outward.steps.is_empty());
        assert_eq!(found(&passed.inward), Vec::<String>::new());
        assert_eq!(found(&passed.outward), Vec::<String>::new());
    }
    assert!(world.conflicts().await.is_empty());
}

#[tokio::test]
async fn what_went_both_ways_ends_as_a_whole() {
    let world = purging();
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.files.put("/Work/Final/b.jpg", "two").unwrap();
    world.pass().await;
    world.library.put("/Brand/Final/a.jpg", "newer").unwrap();
    world.library.put("/Brand/Final/b.jpg", "newer").unwrap();
    world.pass().await;
    let (file, asset) = (
        world.file_id("/Work/Final/a.jpg"),
        world.asset_id("/Brand/Final/b.jpg"),
    );
    world.files.delete("/Work/Final/a.jpg");
    world.dam.delete("/Brand/Final/b.jpg");
    world.pass().await;
    world.clock.advance(31 * DAY);
    world.pass().await;
    assert!(is_gone(&world));
    world.assert_at_rest().await;
    // Both are new when somebody brings them back.
    let restored = world.files.restore(&file, "/Work/Final/a.jpg", "newer");
    restored.unwrap();
    let restored = world.dam.restore(&asset, "/Brand/Final/b.jpg", "newer");
    restored.unwrap();
    world.pass().await;
    assert_eq!(
        world.asset_paths(),
        ["/Brand/Final/a.jpg", "/Brand/Final/b.jpg"]
    );
    assert_eq!(
        world.file_paths(),
        ["/Work/Final/a.jpg", "/Work/Final/b.jpg"]
    );
    assert_eq!(world.file_id("/Work/Final/a.jpg"), file);
    world.assert_at_rest().await;
    // And are pairs like any other.
    world.files.delete("/Work/Final/a.jpg");
    world.dam.delete("/Brand/Final/b.jpg");
    world.pass().await;
    assert!(kept_file(&world).ends_with("/Final/b.jpg"));
    assert!(kept_asset(&world).ends_with("/Final/a.jpg"));
}

#[tokio::test]
async fn what_comes_back_after_it_was_deleted_is_new() {
    let world = put_away().await;
    let (file, asset) = (
        world.file_id(&kept_file(&world)),
        world.asset_id(&kept_asset(&world)),
    );
    world.clock.advance(31 * DAY);
    world.pass().await;
    assert!(is_gone(&world));
    let restored = world.files.restore(&file, "/Work/Final/b.jpg", "two");
    restored.unwrap();
    let restored = world.dam.restore(&asset, "/Brand/Final/a.jpg", "one");
    restored.unwrap();
    world.pass().await;
    assert_eq!(
        world.asset_paths(),
        ["/Brand/Final/a.jpg", "/Brand/Final/b.jpg"]
    );
    assert_eq!(
        world.file_paths(),
        ["/Work/Final/a.jpg", "/Work/Final/b.jpg"]
    );
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_file_that_somebody_touched_stays() {
    let touches: [Touch; 5] = [
        |world| drop(world.files.put(&kept_file(world), "edited").unwrap()),
        |world| {
            let kept = kept_file(world);
            world.files.rename(&kept, "/Elsewhere/b.jpg").unwrap();
        },
        |world| {
            let kept = kept_file(world);
            let renamed = kept.replace("b.jpg", "mine.jpg");
            world.files.rename(&kept, &renamed).unwrap();
        },
        |world| {
            let kept = kept_file(world);
            world.files.rename(&kept, "/Work/Final/b.jpg").unwrap();
        },
        |world| {
            let restored = AssetId::new("asset-again");
            let path = "/Brand/Final/b.jpg";
            world.dam.restore(&restored, path, "two").unwrap();
            world.files.put(&kept_file(world), "edited").unwrap();
        },
    ];
    for touch in touches {
        for is_late in [false, true] {
            let world = put_away().await;
            let file = world.file_id(&kept_file(&world));
            world.clock.advance(31 * DAY);
            match is_late {
                true => {
                    let ended = late(&world, Way::Out, touch).await;
                    let [(StepState::Held, why)] = &ended[..] else {
                        panic!("{ended:?}");
                    };
                    assert!(why.ends_with("so it is not deleted"), "{why}");
                }
                false => {
                    touch(&world);
                    assert!(!deletes(&world.plan_of(Way::Out).await));
                }
            }
            let held = |world: &World| world.files.assets().iter().any(|one| one.id == file);
            assert!(held(&world));
            world.pass().await;
            world.pass().await;
            assert!(held(&world), "late: {is_late}");
        }
    }
}

#[tokio::test]
async fn a_file_whose_asset_is_there_again_comes_back() {
    for is_late in [false, true] {
        let world = purging();
        world.files.put("/Work/Final/b.jpg", "two").unwrap();
        world.pass().await;
        let asset = world.asset_id("/Brand/Final/b.jpg");
        let file = world.file_id("/Work/Final/b.jpg");
        world.library.hide(&asset, true);
        world.pass().await;
        world.clock.advance(31 * DAY);
        match is_late {
            true => {
                let show = |world: &World| world.library.hide(&asset, false);
                let ended = late(&world, Way::Out, show).await;
                let why = "its asset is there again, so it is not deleted".to_owned();
                assert_eq!(ended, [(StepState::Held, why)]);
            }
            false => world.library.hide(&asset, false),
        }
        world.pass().await;
        assert_eq!(world.file_paths(), ["/Work/Final/b.jpg"]);
        assert_eq!(world.file_id("/Work/Final/b.jpg"), file);
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_published_file_whose_asset_is_elsewhere_in_the_library_is_not_deleted() {
    let world = purging();
    let asset = world.library.put("/Brand/Final/b.jpg", "two").unwrap();
    world.pass().await;
    world.library.hide(&asset, true);
    world.pass().await;
    world.clock.advance(31 * DAY);
    // Nothing of the pair is left that the flow would look at: only the library knows.
    world.library.hide(&asset, false);
    let elsewhere = world.dam.rename("/Brand/Final/b.jpg", "/Other/b.jpg");
    elsewhere.unwrap();
    let plan = world.plan_of(Way::Out).await;
    assert_eq!(acting(&plan), Vec::<String>::new());
    world.library.hide(&asset, true);
    assert_eq!(acting(&world.plan_of(Way::Out).await).len(), 1);
}

#[tokio::test]
async fn an_asset_that_somebody_touched_stays() {
    let touches: [Touch; 6] = [
        |world| {
            let kept = kept_asset(world);
            world.library.put(&kept, "newer").unwrap();
        },
        |world| {
            let kept = kept_asset(world);
            world.dam.rename(&kept, "/Other/a.jpg").unwrap();
        },
        |world| {
            let id = world.asset_id(&kept_asset(world));
            world.library.put_into(&id, "/Campaign");
        },
        |world| {
            let id = world.asset_id(&kept_asset(world));
            world.library.lock_asset(&id, Some("retouching"));
        },
        |world| {
            // Back in the flow's collection: it is put away anew, and kept for as long again.
            let kept = kept_asset(world);
            world.dam.rename(&kept, "/Brand/Final/a.jpg").unwrap();
        },
        |world| {
            // The file is there again, and its asset follows it.
            let restored = world
                .files
                .restore(&removed_file(world), "/Work/Final/a.jpg", "one");
            restored.unwrap();
        },
    ];
    for (number, touch) in touches.into_iter().enumerate() {
        for is_late in [false, true] {
            let world = put_away().await;
            let asset = world.asset_id(&kept_asset(&world));
            world.clock.advance(31 * DAY);
            match is_late {
                true => {
                    let ended = late(&world, Way::In, touch).await;
                    let [(StepState::Held, why)] = &ended[..] else {
                        panic!("{number}: {ended:?}");
                    };
                    assert!(why.ends_with("so it is not deleted"), "{why}");
                }
                false => {
                    touch(&world);
                    assert!(!deletes(&world.plan_of(Way::In).await), "{number}");
                }
            }
            let held = |world: &World| world.dam.assets().iter().any(|one| one.id == asset);
            assert!(held(&world), "{number}");
            world.pass().await;
            world.pass().await;
            assert!(held(&world), "{number}, late: {is_late}");
        }
    }
}

#[tokio::test]
async fn a_version_that_was_the_current_one_before_it_was_put_away_is_another_version() {
    let world = put_away().await;
    let asset = world.asset_id(&kept_asset(&world));
    let first = world.dam.asset_at(&kept_asset(&world)).unwrap().revision;
    world.library.put(&kept_asset(&world), "newer").unwrap();
    world.clock.advance(31 * DAY);
    let passed = world.pass().await;
    assert_eq!(acting(&passed.inward), Vec::<String>::new());
    let told = found(&passed.inward);
    assert!(told[0].contains("somebody touched it since"), "{told:?}");
    let now = world.dam.asset_at(&kept_asset(&world)).unwrap();
    assert!(now.id == asset && now.revision != first);
}

#[tokio::test]
async fn a_file_elsewhere_is_not_gone() {
    let world = put_away().await;
    let file = removed_file(&world);
    let restored = world.files.restore(&file, "/Elsewhere/a.jpg", "one");
    restored.unwrap();
    world.clock.advance(31 * DAY);
    world.pass().await;
    assert!(kept_asset(&world).ends_with("/a.jpg"));
}

#[tokio::test]
async fn a_first_pass_deletes_nothing() {
    let world = put_away().await;
    world.clock.advance(31 * DAY);
    world.forget_first_pass().await;
    for way in [Way::In, Way::Out] {
        let plan = world.plan_of(way).await;
        assert_eq!(acting(&plan), Vec::<String>::new());
        assert_eq!(found(&plan), Vec::<String>::new());
    }
    // The way in notes that it has seen all, so the way out of the same pass may go on.
    world.run_half(Way::In).await;
    assert!(kept_asset(&world).ends_with("/a.jpg"));
    world.pass().await;
    assert!(is_gone(&world));
}

#[tokio::test]
async fn what_is_published_again_after_its_file_was_deleted_is_a_new_file() {
    let world = purging();
    world.files.put("/Work/Final/b.jpg", "two").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/b.jpg");
    world.library.hide(&asset, true);
    world.pass().await;
    world.clock.advance(31 * DAY);
    world.pass().await;
    assert!(world.file_paths().is_empty());
    world.library.hide(&asset, false);
    world.pass().await;
    assert_eq!(world.file("/Work/Final/b.jpg"), b"two");
    assert_eq!(world.asset_id("/Brand/Final/b.jpg"), asset);
    world.assert_at_rest().await;
}
