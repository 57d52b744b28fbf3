//! What a run took away comes back where rights allow it, belongs to the flow as before, and stays until there is another
//! reason.

use windlass_core::memory::Operation;

use super::*;
use crate::plan::PlanWriter;
use crate::{Recorder, Undo, UndoState, give_up_undoing};

impl World {
    /// The newest run that took something away.
    async fn last_run(&self) -> RunId {
        self.ledger.runs(None, 1).await.unwrap()[0].id
    }

    async fn undoable(&self, run: RunId) -> Undo {
        Undo::plan(self.ledger.as_ref(), run, &self.flow())
            .await
            .unwrap()
    }

    /// Records what undoes a run.
    async fn record_undoing(&self, undo: &Undo) -> RunId {
        let flow = self.flow();
        give_up_undoing(self.ledger.as_ref(), "out").await.unwrap();
        let summary = crate::PlanSummary::new("out".to_owned(), flow.origin().unwrap());
        let mut recorder = Recorder::begin(self.ledger.as_ref(), "out", "dam")
            .await
            .unwrap();
        recorder.steps(undo.steps.clone()).await.unwrap();
        recorder.complete(&summary).await.unwrap()
    }

    async fn undo(&self, run: RunId) -> Undo {
        let flow = self.flow();
        let mut undo = self.undoable(run).await;
        let by = self.record_undoing(&undo).await;
        let mut runner = self.runner(&flow);
        runner.desk = Some(Arc::new(flow.undo_desk()));
        let never = CancellationToken::new();
        runner.work(by, &never).await.unwrap();
        undo.settle(self.ledger.as_ref(), by).await.unwrap();
        undo
    }

    fn disapprove(&self, id: &AssetId) {
        let rejected = Value::References(vec!["Rejected".to_owned()]);
        self.library.set_field(id, "approval", rejected);
    }

    async fn withdrawn(&self) -> usize {
        let all = self.ledger.withdrawals_after("out", "dam", None, 99);
        all.await.unwrap().len()
    }
}

fn states(undo: &Undo) -> Vec<(&str, UndoState)> {
    let items = undo.items.iter();
    items.map(|item| (item.path.as_str(), item.state)).collect()
}

/// Two assets of which one was taken away because nobody approves it any more.
async fn taken_away() -> (World, AssetId) {
    let mut world = World::new();
    world.options.taking_back.notes = true;
    let id = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    world.disapprove(&id);
    world.pass().await;
    assert_eq!(world.kept(), ["/Quarantine/Press/Brand/a.jpg"]);
    (world, id)
}

const BOTH: [&str; 2] = ["/Press/Brand/a.jpg", "/Press/Brand/b.jpg"];

#[tokio::test]
async fn what_was_taken_away_comes_back_and_stays_although_the_reason_lasts() {
    let (world, _) = taken_away().await;
    let run = world.last_run().await;
    let looked = world.undoable(run).await;
    assert_eq!(states(&looked), [(BOTH[0], UndoState::Undoable)]);
    assert_eq!(world.visible().len(), 2, "looking changes nothing");
    let undo = world.undo(run).await;
    assert_eq!(states(&undo), [(BOTH[0], UndoState::Undone)]);
    assert_eq!(world.visible(), BOTH);
    assert_eq!((world.kept().len(), world.withdrawn().await), (0, 0));
    for _ in 0..2 {
        let (plan, closed) = world.pass().await;
        assert!(plan.is_empty(), "{:?}", told(&plan));
        assert_eq!(closed.still_there, []);
    }
    assert_eq!(world.visible(), BOTH);
    // It is undone already.
    let again = world.undo(run).await;
    assert_eq!(states(&again), [(BOTH[0], UndoState::Left)]);
    assert_eq!(world.visible(), BOTH);
}

#[tokio::test]
async fn what_came_back_is_taken_away_for_any_other_reason_and_by_rights() {
    let (mut world, id) = taken_away().await;
    world.undo(world.last_run().await).await;
    world.switch_off(&id);
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        ["withdraw /Brand/a.jpg: rights do not allow it any more: it is switched off"]
    );
    world.switch_on(&id);

    let (other, id) = taken_away().await;
    other.undo(other.last_run().await).await;
    other
        .library
        .set_field(&id, "approval", Value::References(Vec::new()));
    let (plan, _) = other.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);

    // Whoever wants it gone after all says so.
    let (again, _) = taken_away().await;
    again.undo(again.last_run().await).await;
    world = again;
    world.options.retry_held = true;
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);
}

#[tokio::test]
async fn what_came_back_and_is_wanted_again_is_as_any_other() {
    let (world, id) = taken_away().await;
    world.undo(world.last_run().await).await;
    world.library.set_field(&id, "approval", approved());
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::UpdateMetadata]);
    assert!(world.plan().await.is_empty());
    world.disapprove(&id);
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Withdraw]);
}

#[tokio::test]
async fn what_rights_took_away_stays_away() {
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.switch_off(&id);
    world.pass().await;
    let run = world.last_run().await;
    let undo = world.undo(run).await;
    assert_eq!(states(&undo), [(BOTH[0], UndoState::Left)]);
    assert_eq!(undo.items[0].why, "rights forbid it: it is switched off");
    // They allow it again: placing it is the flow's part.
    world.switch_on(&id);
    let undo = world.undoable(run).await;
    assert!(undo.steps.is_empty());
    assert!(undo.items[0].why.starts_with("rights forbade it"));
    assert!(
        undo.items[0]
            .hint
            .as_ref()
            .unwrap()
            .contains("windlass run out")
    );
    assert_eq!(world.visible(), Vec::<String>::new());
}

#[tokio::test]
async fn rights_that_end_meanwhile_are_asked_in_the_last_moment() {
    let (world, id) = taken_away().await;
    let run = world.last_run().await;
    let mut undo = world.undoable(run).await;
    let by = world.record_undoing(&undo).await;
    world.switch_off(&id);
    let flow = world.flow();
    let mut runner = world.runner(&flow);
    runner.desk = Some(Arc::new(flow.undo_desk()));
    runner.work(by, &CancellationToken::new()).await.unwrap();
    undo.settle(world.ledger.as_ref(), by).await.unwrap();
    assert_eq!(states(&undo), [(BOTH[0], UndoState::Left)]);
    assert!(
        undo.items[0].why.contains("switched off"),
        "{:?}",
        undo.items
    );
    assert_eq!(world.kept(), ["/Quarantine/Press/Brand/a.jpg"]);
}

#[tokio::test]
async fn what_was_touched_or_whose_place_is_taken_stays_where_it_is() {
    let (world, _) = taken_away().await;
    let run = world.last_run().await;
    world
        .outlet
        .put("/Press/Brand/a.jpg", &b"other"[..])
        .unwrap();
    let undo = world.undo(run).await;
    assert_eq!(states(&undo), [(BOTH[0], UndoState::Left)]);
    assert_eq!(world.bytes("/Press/Brand/a.jpg"), b"other");
    assert_eq!(world.withdrawn().await, 1);

    let (world, _) = taken_away().await;
    let kept = "/Quarantine/Press/Brand/a.jpg";
    world.outlet.edit(kept, &b"edited"[..]).unwrap();
    let undo = world.undo(world.last_run().await).await;
    assert!(undo.items[0].why.contains(kept), "{:?}", undo.items);
    assert_eq!(world.bytes(kept), b"edited");
}

#[tokio::test]
async fn what_was_deleted_or_replaced_is_told_with_what_may_help() {
    let mut world = World::new();
    world.options.taking_back.quarantine = None;
    let deleted = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    let before = world.outlet.asset_at(BOTH[1]).unwrap().revision;
    world.disapprove(&deleted);
    world
        .library
        .endpoint()
        .edit("/Brand/b.jpg", &b"bb"[..])
        .unwrap();
    world.pass().await;
    let undo = world.undo(world.last_run().await).await;
    let left = [(BOTH[0], UndoState::Left), (BOTH[1], UndoState::Left)];
    assert_eq!(states(&undo), left);
    assert!(undo.items[0].why.contains("deleted"));
    assert!(undo.items[0].hint.as_ref().unwrap().contains("revision"));
    let hint = undo.items[1].hint.as_ref().unwrap();
    assert!(hint.contains(before.as_str()), "{hint}");
    assert_eq!(world.bytes(BOTH[1]), b"bb");
}

#[tokio::test]
async fn an_older_version_does_not_come_back_in_the_place_of_a_newer_one() {
    let (world, _) = taken_away().await;
    world
        .library
        .endpoint()
        .edit("/Brand/a.jpg", &b"aa"[..])
        .unwrap();
    let undo = world.undo(world.last_run().await).await;
    assert_eq!(undo.items[0].why, "dam has another version by now");
}

#[tokio::test]
async fn an_undoing_that_was_interrupted_goes_on_wherever_it_was() {
    // Recorded, and nothing done: a run of the flow leaves it alone.
    let (world, _) = taken_away().await;
    let run = world.last_run().await;
    let undo = world.undoable(run).await;
    world.record_undoing(&undo).await;
    world.pass().await;
    assert_eq!(world.kept(), ["/Quarantine/Press/Brand/a.jpg"]);
    assert_eq!(
        states(&world.undo(run).await),
        [(BOTH[0], UndoState::Undone)]
    );

    // Done, and not recorded.
    let (world, _) = taken_away().await;
    let run = world.last_run().await;
    let undo = world.undoable(run).await;
    let interrupted = world.record_undoing(&undo).await;
    let kept = "/Quarantine/Press/Brand/a.jpg";
    world.outlet.rename(kept, BOTH[0]).unwrap();
    let again = world.undo(run).await;
    assert_eq!(states(&again), [(BOTH[0], UndoState::Undone)]);
    assert_eq!(
        (world.visible(), world.withdrawn().await),
        (BOTH.map(String::from).to_vec(), 0)
    );
    let given_up = world.ledger.run(interrupted).await.unwrap().unwrap();
    assert_eq!(given_up.state, windlass_core::RunState::Abandoned);
    assert!(world.plan().await.is_empty());
    assert_eq!(world.outlet.calls(Operation::MoveTo), 1);
}
