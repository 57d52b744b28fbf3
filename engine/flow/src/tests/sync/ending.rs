//! Runs that delete what was put away: caps, what a crash leaves of them, and what is said of it afterwards.

use windlass_core::memory::Operation;
use windlass_core::{ByteSize, Kind, RunId, StepState};

use super::purging::{DAY, is_gone, kept_asset, kept_file, late, purging, put_away};
use super::*;
use crate::{RemovalCap, Standing, Undo, UndoState, VerifySync, Work, explain};

async fn last_run(world: &World, way: Way) -> RunId {
    let half = world.half(way);
    let runs = world.ledger.runs(Some(half.name()), 1).await.unwrap();
    runs[0].id
}

async fn undo_of(world: &World, way: Way, run: RunId) -> Undo {
    let Flow::Sync(half) = world.half(way) else {
        unreachable!("both halves are of a sync")
    };
    let undo = Undo::plan(world.ledger.as_ref(), run, half.as_ref());
    undo.await.unwrap()
}

#[tokio::test]
async fn what_would_be_deleted_counts_against_the_cap_by_itself() {
    let caps = [
        RemovalCap {
            count: Some(1),
            ..RemovalCap::default()
        },
        RemovalCap {
            bytes: Some(ByteSize(4)),
            ..RemovalCap::default()
        },
    ];
    for cap in caps {
        let mut world = purging();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let path = format!("/Work/Final/{name}.jpg");
            world.files.put(&path, format!("by {name}")).unwrap();
        }
        world.pass().await;
        let remove = |world: &World, files: &[&str], assets: &[&str]| {
            for name in files {
                assert!(world.files.delete(&format!("/Work/Final/{name}.jpg")));
            }
            for name in assets {
                assert!(world.dam.delete(&format!("/Brand/Final/{name}.jpg")));
            }
        };
        remove(&world, &["a", "b"], &["c", "d"]);
        world.pass().await;
        world.clock.advance(31 * DAY);
        world.options.cap = Some(cap);
        remove(&world, &["e"], &["f"]);
        let passed = world.pass().await;
        for (plan, way) in [(&passed.inward, "in"), (&passed.outward, "out")] {
            let held = plan.steps.iter().filter(|one| one.action == Action::Hold);
            let held: Vec<&str> = held.map(|one| one.reason.as_str()).collect();
            assert_eq!(held.len(), 2, "{way}: {held:?}");
            assert!(held[0].contains("it stays until somebody has looked"));
            assert!(held[0].contains("kept for more than 30 days"));
            assert_eq!(acting(plan).len(), 1, "what is put away has its own count");
        }
        assert_eq!(world.file_paths().len(), 3);
        assert_eq!(world.asset_paths().len(), 3);
        world.options.cap = None;
        world.pass().await;
        assert_eq!(world.file_paths().len(), 1);
        assert_eq!(world.asset_paths().len(), 1);
    }
}

#[tokio::test]
async fn what_is_deleted_leaves_room_in_the_cap_for_what_is_put_away() {
    let mut world = purging();
    world.options.cap = Some(RemovalCap {
        count: Some(1),
        ..RemovalCap::default()
    });
    for name in ["a", "b", "c", "d"] {
        let path = format!("/Work/Final/{name}.jpg");
        world.files.put(&path, format!("by {name}")).unwrap();
    }
    world.pass().await;
    for (file, asset) in [("a", "b"), ("c", "d")] {
        world.files.delete(&format!("/Work/Final/{file}.jpg"));
        world.dam.delete(&format!("/Brand/Final/{asset}.jpg"));
        let passed = world.pass().await;
        assert_eq!(of(&passed.inward, Action::Hold), Vec::<String>::new());
        assert_eq!(of(&passed.outward, Action::Hold), Vec::<String>::new());
        world.clock.advance(31 * DAY);
    }
    assert!(kept_file(&world).ends_with("/d.jpg"));
    assert!(kept_asset(&world).ends_with("/c.jpg"));
    assert_eq!(
        (world.file_paths().len(), world.asset_paths().len()),
        (1, 1)
    );
}

#[tokio::test]
async fn what_was_deleted_before_it_was_recorded_is_recorded_as_deleted() {
    let world = put_away().await;
    world.clock.advance(31 * DAY);
    let asset = kept_asset(&world);
    let ended = late(&world, Way::In, |world| assert!(world.dam.delete(&asset))).await;
    assert_eq!(ended[0].0, StepState::Done);
    let file = kept_file(&world);
    let ended = late(&world, Way::Out, |world| assert!(world.files.delete(&file))).await;
    assert_eq!(ended[0].0, StepState::Done);
    let (inward, outward) = (
        last_run(&world, Way::In).await,
        last_run(&world, Way::Out).await,
    );
    for (way, run) in [(Way::In, inward), (Way::Out, outward)] {
        let undo = undo_of(&world, way, run).await;
        assert!(undo.items[0].why.starts_with("it was deleted for good: "));
    }
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_lost_answer_is_looked_after_and_a_refusal_is_told() {
    let faults = [
        (Operation::Retire, Kind::Unavailable, true),
        (Operation::RetireAnswer, Kind::Ambiguous, true),
        (Operation::Retire, Kind::Denied, false),
    ];
    for (operation, kind, is_done) in faults {
        let world = put_away().await;
        world.clock.advance(31 * DAY);
        let lose = |world: &World| world.dam.inject(operation, kind);
        let ended = late(&world, Way::In, lose).await;
        let expected = match is_done {
            true => StepState::Done,
            false => StepState::Failed,
        };
        assert_eq!(ended[0].0, expected, "{operation:?}: {ended:?}");
        assert_eq!(world.asset_paths().is_empty(), is_done);
        let lose = |world: &World| world.files.inject(Operation::TakeBack, Kind::Unavailable);
        assert_eq!(late(&world, Way::Out, lose).await[0].0, StepState::Done);
        world.pass().await;
        assert!(is_gone(&world));
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn wherever_a_run_ends_the_next_one_finishes_it() {
    for polls in 0..24 {
        for way in [Way::In, Way::Out] {
            let world = put_away().await;
            world.clock.advance(31 * DAY);
            let flow = world.half(way);
            let runner = world.runner(&flow);
            let plan = world.plan_of(way).await;
            let run = runner.record(&plan).await.unwrap();
            let never = CancellationToken::new();
            let mut work = Box::pin(runner.work(run, &never));
            for _ in 0..polls {
                if futures_util::FutureExt::now_or_never(&mut work).is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(work);
            world.running.advance(120);
            world.ledger.reap(run).await.unwrap();
            world.pass().await;
            assert!(is_gone(&world), "{way:?} after {polls}");
            world.assert_at_rest().await;
            let record = world.ledger.run(run).await.unwrap().unwrap();
            assert_eq!(record.state, windlass_core::RunState::Finished);
        }
    }
}

#[tokio::test]
async fn the_other_way_leaves_alone_what_an_interrupted_run_is_about_to_delete() {
    let world = put_away().await;
    world.clock.advance(31 * DAY);
    let flow = world.half(Way::Out);
    let plan = world.plan_of(Way::Out).await;
    world.runner(&flow).record(&plan).await.unwrap();
    // Somebody brings the asset back under its id; the way in waits for what becomes of the file.
    let inward = world.plan_of(Way::In).await;
    assert_eq!(acting(&inward).len(), 1, "only its own asset");
    world.resume().await;
    world.pass().await;
    assert!(is_gone(&world));
}

#[tokio::test]
async fn undoing_says_what_it_cannot_bring_back_and_where_it_may_be() {
    let world = put_away().await;
    let before = (
        last_run(&world, Way::In).await,
        last_run(&world, Way::Out).await,
    );
    let (file, asset) = (kept_file(&world), kept_asset(&world));
    let id = world.asset_id(&asset);
    let version = world.dam.asset_at(&asset).unwrap().revision;
    let revision = world.files.asset_at(&file).unwrap().revision;
    world.clock.advance(31 * DAY);
    world.pass().await;
    let after = (
        last_run(&world, Way::In).await,
        last_run(&world, Way::Out).await,
    );
    for run in [before.0, after.0] {
        let undo = undo_of(&world, Way::In, run).await;
        let [item] = &undo.items[..] else {
            panic!("{:?}", undo.items);
        };
        assert_eq!(item.state, UndoState::Left);
        assert!(
            item.why
                .starts_with("it was deleted for good: it was put away on ")
        );
        let folder = asset.strip_suffix("/a.jpg").unwrap();
        assert_eq!(
            item.hint.as_deref().unwrap(),
            format!(
                "dam may keep deleted assets in a trash for some time: whoever administers it may restore asset {id}, \
                 version {version}, which was in {folder}"
            )
        );
        assert!(undo.steps.is_empty());
    }
    for run in [before.1, after.1] {
        let undo = undo_of(&world, Way::Out, run).await;
        let [item] = &undo.items[..] else {
            panic!("{:?}", undo.items);
        };
        assert_eq!(item.state, UndoState::Left);
        assert!(
            item.why
                .starts_with("it was deleted for good: it was put away on ")
        );
        assert_eq!(
            item.hint.as_deref().unwrap(),
            format!(
                "work may keep deleted files for some weeks: restore {file} there, revision {revision}"
            )
        );
        assert!(undo.steps.is_empty());
    }
    // By name.
    let undo = undo_of(&world, Way::In, after.0).await;
    assert_eq!(undo.items[0].path.as_str(), asset);
    let undo = undo_of(&world, Way::Out, after.1).await;
    assert_eq!(undo.items[0].path.as_str(), file);
}

#[tokio::test]
async fn audits_and_explanations_know_it_as_a_decision_and_not_as_a_loss() {
    let world = put_away().await;
    let told = async |world: &World| {
        let sync = world.sync();
        let verify = VerifySync {
            flow: &sync,
            deep: None,
            at_once: 1,
        };
        let mut named = Vec::new();
        let audit = verify.run(&mut named).await.unwrap();
        assert!(audit.is_well() && audit.unexplained == 0, "{named:?}");
        let named = named.into_iter();
        let named = named.map(|one| (one.standing, one.why.unwrap_or_default()));
        named.collect::<Vec<(Standing, String)>>()
    };
    world.clock.advance(31 * DAY);
    for (standing, why) in told(&world).await {
        assert_eq!(standing, Standing::Withdrawn);
        assert!(why.ends_with("; the next run deletes it"), "{why}");
    }
    world.pass().await;
    let after = told(&world).await;
    assert_eq!(after.len(), 2, "{after:?}");
    for (standing, why) in after {
        assert_eq!(standing, Standing::Withdrawn);
        assert!(why.contains(" was deleted for good: it was put away on "));
    }
    for path in ["/Work/Final/a.jpg", "/Work/Final/b.jpg"] {
        let explained = explain(world.ledger.as_ref(), path, None, None).await;
        let explained = explained.unwrap();
        let withdrawal = explained[0].withdrawal.as_ref().expect(path);
        assert_eq!(withdrawal.kept, None);
        assert!(withdrawal.reason.starts_with("it was put away on "));
        assert!(explained[0].step.reason.ends_with(" is deleted"));
        assert!(explained[0].placement.is_none());
    }
}

#[tokio::test]
async fn what_a_run_of_the_other_way_is_about_waits() {
    for (way, other) in [(Way::In, Way::Out), (Way::Out, Way::In)] {
        let world = put_away().await;
        world.clock.advance(31 * DAY);
        let mut plan = world.plan_of(other).await;
        let mine = world.plan_of(way).await;
        assert_eq!(acting(&mine).len(), 1);
        // An interrupted run that is about the file or the asset that this way would delete.
        let about = match mine.steps[0].work.as_ref().unwrap() {
            Work::Retire { placement, .. } => placement.placed.asset.clone(),
            Work::TakeBack { placement, .. } => placement.placed.asset.clone(),
            work => panic!("{work:?}"),
        };
        plan.steps[0].asset.id = about;
        let runner = world.runner(&world.half(other));
        runner.record(&plan).await.unwrap();
        let waits = world.plan_of(way).await;
        assert_eq!(acting(&waits), Vec::<String>::new(), "{way:?}");
        assert_eq!(waits.summary.findings.len(), 0);
    }
}

#[tokio::test]
async fn a_sweep_deletes_nothing() {
    let world = put_away().await;
    world.clock.advance(31 * DAY);
    let mut sync = world.sync();
    let flow = Arc::get_mut(&mut sync).unwrap();
    flow.release.options.sweep = true;
    let mut steps = Vec::new();
    flow.decide_out(&mut steps).await.unwrap();
    assert!(steps.is_empty(), "{steps:?}");
}

#[tokio::test]
async fn a_file_that_came_back_is_not_taken_for_one_that_was_withdrawn_in_vain() {
    let world = put_away().await;
    let file = world.file_id(&kept_file(&world));
    world.clock.advance(31 * DAY);
    world.pass().await;
    let restored = world.files.restore(&file, "/Work/Final/b.jpg", "two");
    restored.unwrap();
    world.files.put("/Work/Final/c.jpg", "three").unwrap();
    world.pass().await;
    world.dam.delete("/Brand/Final/c.jpg");
    let passed = world.pass().await;
    assert!(kept_file(&world).ends_with("/c.jpg"));
    let run = last_run(&world, Way::Out).await;
    let flow = world.half(Way::Out);
    let closed = flow.close(&passed.outward.summary, Some(run)).await;
    let closed = closed.unwrap();
    assert_eq!((closed.proved_absent, closed.still_there), (1, Vec::new()));
}
