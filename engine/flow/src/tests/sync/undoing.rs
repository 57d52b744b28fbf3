//! What was put away comes back by an undo, stays although its partner is still gone, and is put away again only when it
//! is removed again.

use windlass_core::RunId;

use super::*;
use crate::plan::PlanWriter;
use crate::{PlanSummary, Recorder, Undo, UndoState, give_up_undoing};

impl World {
    async fn last_run(&self, way: Way) -> RunId {
        let half = self.half(way);
        let runs = self.ledger.runs(Some(half.name()), 1).await.unwrap();
        runs[0].id
    }

    async fn plan_undoing(&self, way: Way, run: RunId) -> Undo {
        let Flow::Sync(half) = self.half(way) else {
            unreachable!("both halves are of a sync")
        };
        Undo::plan(self.ledger.as_ref(), run, half.as_ref())
            .await
            .unwrap()
    }

    async fn undo(&self, way: Way, run: RunId) -> Undo {
        let flow = self.half(way);
        let ledger = self.ledger.as_ref();
        give_up_undoing(ledger, flow.name()).await.unwrap();
        let mut undo = self.plan_undoing(way, run).await;
        if undo.steps.is_empty() {
            return undo;
        }
        let mut runner = self.runner(&flow);
        if let (Flow::Sync(half), Some(_)) = (&flow, &runner.desk) {
            runner.desk = Some(Arc::new(half.sync.release.undo_desk()));
        }
        let summary = PlanSummary::new(flow.name().to_owned(), flow.origin().unwrap());
        let mut recorder = Recorder::begin(ledger, flow.name(), runner.source.name())
            .await
            .unwrap();
        recorder.steps(undo.steps.clone()).await.unwrap();
        let by = recorder.complete(&summary).await.unwrap();
        runner.work(by, &CancellationToken::new()).await.unwrap();
        undo.settle(ledger, by).await.unwrap();
        undo
    }
}

fn states(undo: &Undo) -> Vec<(&str, UndoState)> {
    let items = undo.items.iter();
    items.map(|item| (item.path.as_str(), item.state)).collect()
}

const FILE: &str = "/Work/Final/hero.jpg";
const ASSET: &str = "/Brand/Final/hero.jpg";

/// A pair that agrees, in a world where removals count.
async fn paired() -> World {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put(FILE, "one").unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths(), [ASSET]);
    world
}

/// The asset was put away, because its file was removed; and the run that did it.
async fn without_file() -> (World, RunId) {
    let world = paired().await;
    world.files.delete(FILE);
    world.pass().await;
    assert!(world.asset_paths()[0].starts_with("/Removed/"));
    let run = world.last_run(Way::In).await;
    (world, run)
}

/// The file was put away, because its asset was deleted; and the run that did it.
async fn without_asset() -> (World, RunId) {
    let world = paired().await;
    world.dam.delete(ASSET);
    world.pass().await;
    assert!(world.file_paths()[0].starts_with("/Removed/"));
    let run = world.last_run(Way::Out).await;
    (world, run)
}

#[tokio::test]
async fn an_asset_that_was_put_away_comes_back_and_gets_its_file_again() {
    let (world, run) = without_file().await;
    let kept = world.asset_paths()[0].clone();
    let asset = world.asset_id(&kept);
    let looked = world.plan_undoing(Way::In, run).await;
    assert_eq!(states(&looked), [(ASSET, UndoState::Undoable)]);
    assert_eq!(
        looked.items[0].kept,
        Some(AssetPath::new(&kept)),
        "it says where it is"
    );
    assert_eq!(
        world.asset_paths(),
        [kept.as_str()],
        "looking changes nothing"
    );
    let undo = world.undo(Way::In, run).await;
    assert_eq!(states(&undo), [(ASSET, UndoState::Undone)]);
    assert_eq!(world.asset_id(ASSET), asset);
    let again = world.undo(Way::In, run).await;
    assert_eq!(states(&again), [(ASSET, UndoState::Left)]);
    world.pass().await;
    assert_eq!(world.asset_paths(), [ASSET]);
    assert_eq!(world.file(FILE), b"one");
    world.assert_at_rest().await;
    // Both are there: whoever undoes once more changes nothing.
    let again = world.undo(Way::In, run).await;
    assert_eq!(states(&again), [(ASSET, UndoState::Left)]);
    assert_eq!(world.asset_paths(), [ASSET]);
}

#[tokio::test]
async fn an_undo_of_an_undo_is_none() {
    let (world, run) = without_file().await;
    world.undo(Way::In, run).await;
    let undone = world.last_run(Way::In).await;
    assert_ne!(undone, run);
    let undo = world.undo(Way::In, undone).await;
    assert_eq!(states(&undo), []);
    assert_eq!(world.asset_paths(), [ASSET]);
}

#[tokio::test]
async fn an_asset_that_came_back_is_put_away_when_its_file_is_removed_again() {
    let (world, run) = without_file().await;
    world.undo(Way::In, run).await;
    world.pass().await;
    world.files.delete(FILE);
    world.pass().await;
    assert!(world.asset_paths()[0].starts_with("/Removed/"));
    assert!(world.file_paths().is_empty());
    world.assert_at_rest().await;
    // And that one can be undone as well, and no other.
    let undo = world.undo(Way::In, run).await;
    assert_eq!(states(&undo), [(ASSET, UndoState::Left)]);
    let run = world.last_run(Way::In).await;
    let undo = world.undo(Way::In, run).await;
    assert_eq!(states(&undo), [(ASSET, UndoState::Undone)]);
}

#[tokio::test]
async fn an_asset_that_somebody_took_from_where_it_was_kept_stays_there() {
    let (world, run) = without_file().await;
    let kept = world.asset_paths()[0].clone();
    world.dam.rename(&kept, "/Other/hero.jpg").unwrap();
    let undo = world.undo(Way::In, run).await;
    assert_eq!(states(&undo), [(ASSET, UndoState::Left)]);
    assert_eq!(
        undo.items[0].why,
        "somebody moved what was kept; it is in /Other"
    );
    world.dam.delete("/Other/hero.jpg");
    let undo = world.undo(Way::In, run).await;
    assert_eq!(undo.items[0].why, "it is gone from dam, or hidden");
}

#[tokio::test]
async fn a_file_that_was_put_away_comes_back_although_its_asset_is_gone_and_stays() {
    let (world, run) = without_asset().await;
    let file = world.file_id(&world.file_paths()[0]);
    let undo = world.undo(Way::Out, run).await;
    assert_eq!(states(&undo), [(FILE, UndoState::Undone)]);
    assert_eq!(world.file_id(FILE), file);
    for _ in 0..2 {
        world.pass().await;
        assert_eq!(world.file_paths(), [FILE]);
        assert!(
            world.asset_paths().is_empty(),
            "it does not become a new asset"
        );
        world.assert_at_rest().await;
    }
    let again = world.undo(Way::Out, run).await;
    assert_eq!(states(&again), [(FILE, UndoState::Left)]);
    // Its name and its folder are people's.
    world.files.rename(FILE, "/Work/Old/hero 1.jpg").unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Old/hero 1.jpg"]);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_published_file_under_another_name_than_its_asset_comes_back_under_its_own() {
    let mut world = World::new();
    world.options.removing = removing();
    world.options.mirrors = false;
    world.library.put("/Brand/hero.jpg", "one").unwrap();
    world.pass().await;
    world
        .files
        .rename("/Work/hero.jpg", "/Work/Spring/agency.jpg")
        .unwrap();
    world.pass().await;
    world.dam.delete("/Brand/hero.jpg");
    world.pass().await;
    assert!(world.file_paths()[0].starts_with("/Removed/"));
    let undo = world.undo(Way::Out, world.last_run(Way::Out).await).await;
    assert_eq!(
        states(&undo),
        [("/Work/Spring/agency.jpg", UndoState::Undone)]
    );
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Spring/agency.jpg"]);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_file_that_came_back_is_put_away_when_its_asset_is_removed_again() {
    let world = paired().await;
    let asset = world.asset_id(ASSET);
    world.library.hide(&asset, true);
    world.pass().await;
    assert!(world.file_paths()[0].starts_with("/Removed/"));
    let run = world.last_run(Way::Out).await;
    world.undo(Way::Out, run).await;
    world.pass().await;
    assert_eq!(world.file_paths(), [FILE]);
    world.library.hide(&asset, false);
    world.pass().await;
    assert_eq!(
        (world.file_paths(), world.asset_paths()),
        (vec![FILE.to_owned()], vec![ASSET.to_owned()])
    );
    world.assert_at_rest().await;
    world.library.hide(&asset, true);
    world.pass().await;
    assert!(world.file_paths()[0].starts_with("/Removed/"));
}

#[tokio::test]
async fn where_the_asset_is_there_again_rights_decide_about_its_file() {
    let world = paired().await;
    let asset = world.asset_id(ASSET);
    world.library.hide(&asset, true);
    world.pass().await;
    let run = world.last_run(Way::Out).await;
    world.library.hide(&asset, false);
    let off = windlass_core::Availability::Direct { available: false };
    let off = windlass_core::Usable::Stated(off);
    world.library.set_usable(&asset, off.clone());
    let undo = world.undo(Way::Out, run).await;
    assert_eq!(undo.items[0].why, "rights forbid it: it is switched off");
    // They decide in the moment in which it would be seen again, too.
    world.library.hide(&asset, true);
    let looked = world.plan_undoing(Way::Out, run).await;
    assert_eq!(states(&looked), [(FILE, UndoState::Undoable)]);
    let before = world.file_paths();
    let flow = world.half(Way::Out);
    let summary = PlanSummary::new(flow.name().to_owned(), flow.origin().unwrap());
    let runner = world.runner(&flow);
    let plan = Plan {
        summary,
        steps: looked.steps,
    };
    world.library.hide(&asset, false);
    let by = runner.record(&plan).await.unwrap();
    runner.work(by, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.file_paths(), before);
}

#[tokio::test]
async fn an_edited_file_that_came_back_waits_for_somebody_to_choose() {
    let (world, run) = without_asset().await;
    world.undo(Way::Out, run).await;
    world.files.put(FILE, "two").unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), [FILE]);
    assert_eq!(world.conflicts().await.len(), 1);
}

#[tokio::test]
async fn what_an_undoing_moved_before_it_was_interrupted_is_found_there_and_recorded() {
    let (world, run) = without_file().await;
    let kept = world.asset_paths()[0].clone();
    world.dam.rename(&kept, ASSET).unwrap();
    let undo = world.undo(Way::In, run).await;
    assert_eq!(states(&undo), [(ASSET, UndoState::Undone)]);
    world.pass().await;
    assert_eq!(world.file_paths(), [FILE]);

    let (world, run) = without_asset().await;
    let kept = world.file_paths()[0].clone();
    world.files.rename(&kept, FILE).unwrap();
    let undo = world.undo(Way::Out, run).await;
    assert_eq!(states(&undo), [(FILE, UndoState::Undone)]);
    world.pass().await;
    assert_eq!(world.file_paths(), [FILE]);
    world.assert_at_rest().await;
}
