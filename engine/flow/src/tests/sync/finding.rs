//! Pairs that the ledger does not have: found by what is stamped on both sides, and by place.

use windlass_core::Question;

use super::*;

impl World {
    /// Somebody saves by removing the file and making another one in its place.
    fn replace(&self, path: &str, bytes: &'static str) -> AssetId {
        assert!(self.files.delete(path));
        self.files.put(path, bytes).unwrap().id
    }
}

/// A file that went in, an asset that came out, and a file that went in and got a newer master.
async fn world() -> World {
    let world = World::trusting();
    for name in ["in", "both"] {
        let path = format!("/Work/Final/{name}.jpg");
        world.files.put(&path, "one").unwrap();
    }
    world.library.put("/Brand/Final/out.jpg", "two").unwrap();
    world.pass().await;
    world.library.put("/Brand/Final/both.jpg", "newer").unwrap();
    world.pass().await;
    assert_eq!(world.file("/Work/Final/both.jpg"), b"newer");
    world.assert_at_rest().await;
    world
}

#[tokio::test]
async fn after_the_loss_of_a_ledger_pairs_are_found_by_what_is_stamped_on_either_side() {
    let mut world = world().await;
    let before = (world.files.assets(), world.dam.assets());
    world.lose_ledger();
    let passed = world.pass().await;
    let mut adopted = of(&passed.inward, Action::Adopt);
    adopted.sort();
    let all = ["both", "in", "out"].map(|name| format!("/Work/Final/{name}.jpg"));
    assert_eq!(adopted, all);
    assert_eq!(acting(&passed.inward).len(), 3);
    assert!(acting(&passed.outward).is_empty());
    assert_eq!((world.files.assets(), world.dam.assets()), before);
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn the_way_out_leaves_pairs_alone_that_the_way_in_has_not_recorded() {
    let mut world = world().await;
    world.library.put("/Brand/Final/in.jpg", "newer").unwrap();
    world.lose_ledger();
    let plan = world.plan_of(Way::Out).await;
    assert!(acting(&plan).is_empty(), "{:?}", acting(&plan));
}

#[tokio::test]
async fn what_changed_while_nobody_had_a_ledger_is_told_from_what_did_not() {
    let mut world = world().await;
    world.lose_ledger();
    world.files.put("/Work/Final/in.jpg", "edited").unwrap();
    world.files.put("/Work/Final/both.jpg", "edited").unwrap();
    world
        .library
        .put("/Brand/Final/both.jpg", "newest")
        .unwrap();
    world.library.put("/Brand/Final/out.jpg", "newer").unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/in.jpg"), b"edited");
    assert_eq!(world.file("/Work/Final/out.jpg"), b"newer");
    assert_eq!(world.file("/Work/Final/both.jpg"), b"edited");
    assert_eq!(world.asset("/Brand/Final/both.jpg"), b"newest");
    let asked: Vec<Question> = world
        .conflicts()
        .await
        .iter()
        .map(|one| one.found.question)
        .collect();
    assert_eq!(asked, [Question::BothChanged]);
    assert_eq!(
        (world.file_paths().len(), world.asset_paths().len()),
        (3, 3)
    );
    world.assert_at_rest().await;
}

#[tokio::test]
async fn pairs_that_were_found_move_together_from_then_on() {
    let mut world = world().await;
    world.lose_ledger();
    world.pass().await;
    for name in ["in", "both", "out"] {
        let (from, to) = (
            format!("/Work/Final/{name}.jpg"),
            format!("/Work/Final/Spring/{name}.jpg"),
        );
        world.files.rename(&from, &to).unwrap();
    }
    world.pass().await;
    world.assert_at_rest().await;
    let all = ["both", "in", "out"].map(|name| format!("/Brand/Final/Spring/{name}.jpg"));
    assert_eq!(world.asset_paths(), all);
}

#[tokio::test]
async fn stamps_are_not_believed_once_a_pass_has_seen_all_of_both_sides() {
    let world = world().await;
    let key = world.sync().seen_key();
    let seen = world.ledger.cursor(&key).await.unwrap();
    let mut world = world;
    world.lose_ledger();
    world.ledger.set_cursor(&key, seen.as_ref()).await.unwrap();
    let plan = world.plan_of(Way::In).await;
    assert!(of(&plan, Action::Adopt).is_empty());
}

#[tokio::test]
async fn a_file_that_is_saved_as_another_one_in_its_place_is_a_version_of_the_same_asset() {
    let world = world().await;
    let before = world.dam.assets().len();
    for name in ["in", "both", "out"] {
        let asset = world.asset_id(&format!("/Brand/Final/{name}.jpg"));
        world.replace(&format!("/Work/Final/{name}.jpg"), "saved");
        world.pass().await;
        let path = format!("/Brand/Final/{name}.jpg");
        assert_eq!(
            (world.asset_id(&path), world.asset(&path)),
            (asset, b"saved".to_vec())
        );
        world.assert_at_rest().await;
    }
    assert_eq!(world.dam.assets().len(), before);
    world.library.put("/Brand/Final/in.jpg", "newest").unwrap();
    world.pass().await;
    assert_eq!(world.file("/Work/Final/in.jpg"), b"newest");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn whatever_was_placed_as_an_asset_before_edits_of_its_file_become_versions_of_it() {
    let mut world = World::trusting();
    let sheet = Capabilities {
        reuse: Some(Reuse::Link),
        ..world.dam.capabilities().clone()
    };
    world.dam = MemoryEndpoint::with_capabilities("dam", sheet);
    world.library = MemoryLibrary::new(world.dam.clone());
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    for bytes in ["two", "three"] {
        world.replace("/Work/Final/hero.jpg", bytes);
        world.pass().await;
        let edited = format!("{bytes}, edited");
        world
            .files
            .put("/Work/Final/hero.jpg", edited.clone())
            .unwrap();
        world.pass().await;
        assert_eq!(world.dam.assets().len(), 1);
        let there = (
            world.asset_id("/Brand/Final/hero.jpg"),
            world.asset("/Brand/Final/hero.jpg"),
        );
        assert_eq!(there, (asset.clone(), edited.into_bytes()));
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn who_may_only_propose_does_so_with_another_file_in_the_place_too() {
    for choice in [Resolution::TakeFile, Resolution::TakeAsset] {
        let mut world = world().await;
        world.options.authority.bytes = BytesAuthority::Propose;
        let asset = world.asset_id("/Brand/Final/both.jpg");
        let file = world.replace("/Work/Final/both.jpg", "saved");
        world.pass().await;
        assert_eq!(world.asset("/Brand/Final/both.jpg"), b"newer");
        assert_eq!(world.conflicts().await[0].found.subject, file);
        world.choose(choice).await;
        world.pass().await;
        world.pass().await;
        assert_eq!(world.asset_id("/Brand/Final/both.jpg"), asset);
        assert_eq!(
            world.asset("/Brand/Final/both.jpg"),
            world.file("/Work/Final/both.jpg")
        );
        assert!(world.conflicts().await.is_empty());
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_file_that_is_made_again_with_the_same_bytes_moves_nothing_and_is_known_from_then_on() {
    let world = world().await;
    let version = world.dam.asset_at("/Brand/Final/in.jpg").unwrap().revision;
    world.replace("/Work/Final/in.jpg", "one");
    let passed = world.pass().await;
    assert_eq!(of(&passed.inward, Action::Adopt), ["/Work/Final/in.jpg"]);
    assert_eq!(
        acting(&passed.inward).len() + acting(&passed.outward).len(),
        1
    );
    world.assert_at_rest().await;
    world
        .files
        .rename("/Work/Final/in.jpg", "/Work/Final/moved.jpg")
        .unwrap();
    world.pass().await;
    let moved = world.dam.asset_at("/Brand/Final/moved.jpg").unwrap();
    assert_eq!(moved.revision, version);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_draft_in_the_place_of_a_final_is_known_as_its_file_before_it_is_approved() {
    let world = World::trusting();
    world.files.put("/Work/hero.jpg", "one").unwrap();
    world.files.set_tags("/Work/hero.jpg", &["final"]).unwrap();
    world.pass().await;
    world.replace("/Work/hero.jpg", "saved");
    world.pass().await;
    world
        .files
        .rename("/Work/hero.jpg", "/Work/renamed.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths().len(), 1);
    world
        .files
        .set_tags("/Work/renamed.jpg", &["final"])
        .unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/renamed.jpg"]);
    assert_eq!(world.asset("/Brand/renamed.jpg"), b"saved");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_asset_that_was_put_away_comes_back_for_another_file_in_the_place_of_its_own() {
    let mut world = world().await;
    world.options.removing = removing();
    let asset = world.asset_id("/Brand/Final/in.jpg");
    assert!(world.files.delete("/Work/Final/in.jpg"));
    world.pass().await;
    assert!(world.dam.asset_at("/Brand/Final/in.jpg").is_none());
    world.files.put("/Work/Final/in.jpg", "saved").unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset_id("/Brand/Final/in.jpg"), asset);
    assert_eq!(world.asset("/Brand/Final/in.jpg"), b"saved");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn in_the_place_of_what_is_gone_on_both_sides_something_new_begins() {
    let world = world().await;
    let asset = world.asset_id("/Brand/Final/in.jpg");
    assert!(world.files.delete("/Work/Final/in.jpg"));
    assert!(world.dam.delete("/Brand/Final/in.jpg"));
    world.pass().await;
    world.files.put("/Work/Final/in.jpg", "another").unwrap();
    world.pass().await;
    assert_ne!(world.asset_id("/Brand/Final/in.jpg"), asset);
    assert_eq!(world.asset("/Brand/Final/in.jpg"), b"another");
    world.assert_at_rest().await;
}
