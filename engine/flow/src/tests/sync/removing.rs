//! What becomes of one when the other is removed: nothing by default, and never more than putting it away.

use super::*;
use crate::RemovalCap;

#[tokio::test]
async fn a_removed_file_leaves_its_asset_alone_and_is_not_brought_back() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/hero.jpg");
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    assert!(world.file_paths().is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_deleted_asset_leaves_its_file_alone_and_does_not_come_again() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.dam.delete("/Brand/Final/hero.jpg");
    world.pass().await;
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
    assert!(world.asset_paths().is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn where_removals_count_the_asset_of_a_removed_file_is_put_away() {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world.files.delete("/Work/Final/hero.jpg");
    world.pass().await;
    let kept = world.asset_paths()[0].clone();
    assert!(kept.starts_with("/Removed/2026-"), "{kept}");
    assert!(kept.ends_with("/Final/hero.jpg"), "{kept}");
    assert_eq!(world.asset_paths(), [kept.as_str()]);
    assert_eq!(world.asset_id(&kept), asset);
    assert_eq!(world.asset(&kept), b"one");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn where_removals_count_the_file_of_a_deleted_asset_is_put_away() {
    let mut world = World::new();
    world.options.removing = removing();
    world.library.put("/Brand/hero.jpg", "one").unwrap();
    world.files.put("/Work/Final/a.jpg", "two").unwrap();
    world.pass().await;
    let file = world.file_id("/Work/hero.jpg");
    world.dam.delete("/Brand/hero.jpg");
    world.dam.delete("/Brand/Final/a.jpg");
    world.pass().await;
    let kept = world.file_paths();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|path| path.starts_with("/Removed/2026-")));
    assert!(kept[0].ends_with("/Final/a.jpg") && kept[1].ends_with("/hero.jpg"));
    assert_eq!(world.file_id(&kept[1]), file);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_is_brought_back_by_people_brings_the_other_one_back() {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world
        .files
        .rename("/Work/Final/hero.jpg", "/Work/Final/hero.jpg.away")
        .unwrap();
    world
        .files
        .rename("/Work/Final/hero.jpg.away", "/Elsewhere/hero.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(
        world.asset_paths(),
        ["/Brand/Final/hero.jpg"],
        "it only left the folder"
    );
    world
        .files
        .rename("/Elsewhere/hero.jpg", "/Work/Final/hero.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_id("/Brand/Final/hero.jpg"), asset);
    world.assert_at_rest().await;
}

/// An asset that was put away because its file was removed, and whose file is there again with other bytes.
async fn came_back_edited() -> World {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let kept = "/Removed/2026-01-01 00.00.00/Final/hero.jpg";
    world.dam.rename("/Brand/Final/hero.jpg", kept).unwrap();
    world.files.put("/Work/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    assert_eq!(world.conflicts().await.len(), 1);
    world
}

#[tokio::test]
async fn an_edited_file_that_came_back_becomes_what_its_asset_is_if_somebody_says_so() {
    let world = came_back_edited().await;
    world.choose(Resolution::TakeAsset).await;
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"one");
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"one");
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edited_file_that_came_back_and_its_asset_stay_as_they_are_if_somebody_says_so() {
    let world = came_back_edited().await;
    world.choose(Resolution::KeepBoth).await;
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
    assert!(world.asset_paths()[0].starts_with("/Removed/"));
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edited_file_that_came_back_becomes_a_version_if_somebody_says_so() {
    let world = came_back_edited().await;
    world.choose(Resolution::TakeFile).await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"two");
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_version_that_an_asset_got_where_it_is_kept_is_not_written_over_unasked() {
    let mut world = World::trusting();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let kept = "/Removed/2026-01-01 00.00.00/Final/hero.jpg";
    world.dam.rename("/Brand/Final/hero.jpg", kept).unwrap();
    world.library.put(kept, "theirs").unwrap();
    world.files.put("/Work/Final/hero.jpg", "ours").unwrap();
    world.pass().await;
    assert_eq!(world.asset(kept), b"theirs");
    world.choose(Resolution::TakeFile).await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"ours");
}

#[tokio::test]
async fn the_first_pass_puts_nothing_away() {
    let mut world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    // A ledger that knows the pair, and a flow that has never seen all of both sides.
    world.options.removing = removing();
    world.forget_first_pass().await;
    world.files.delete("/Work/Final/hero.jpg");
    let plan = world.plan_of(Way::In).await;
    assert_eq!(acting(&plan), Vec::<String>::new());
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    world.pass().await;
    assert!(world.asset_paths()[0].starts_with("/Removed/"));
}

#[tokio::test]
async fn a_removal_meets_a_change_as_a_question() {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/hero.jpg");
    world.library.put("/Brand/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"two");
    world.choose(Resolution::TakeAsset).await;
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edited_file_of_a_deleted_asset_becomes_an_asset_again_if_somebody_says_so() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.dam.delete("/Brand/Final/hero.jpg");
    world.files.put("/Work/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    assert!(world.asset_paths().is_empty());
    world.choose(Resolution::TakeFile).await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"two");
    world.pass().await;
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_would_be_put_away_beyond_the_cap_stays_and_the_rest_goes_on() {
    let mut world = World::new();
    world.options.removing = removing();
    world.options.cap = Some(RemovalCap {
        count: Some(2),
        ..RemovalCap::default()
    });
    for number in 0..5 {
        let path = format!("/Work/Final/{number}.jpg");
        world.files.put(&path, format!("file {number}")).unwrap();
    }
    world.pass().await;
    for number in 0..3 {
        world.files.delete(&format!("/Work/Final/{number}.jpg"));
    }
    world.files.put("/Work/Final/new.jpg", "new").unwrap();
    let passed = world.pass().await;
    assert_eq!(of(&passed.inward, Action::Hold).len(), 3);
    assert_eq!(world.asset_paths().len(), 6);
    assert!(
        world
            .asset_paths()
            .iter()
            .all(|path| path.starts_with("/Brand/"))
    );
}

#[tokio::test]
async fn a_folder_that_is_gone_as_a_whole_stops_the_flow_and_removes_nothing() {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world
        .files
        .rename("/Work/Final/hero.jpg", "/Works/Final/hero.jpg")
        .unwrap();
    world.files.delete("/Work");
    let mut steps = Vec::new();
    let refused = world.half(Way::In).decide(&mut steps).await;
    assert!(refused.is_err());
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
}

#[tokio::test]
async fn an_asset_that_left_the_collection_is_apart_and_comes_together_again() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world
        .dam
        .rename("/Brand/Final/hero.jpg", "/Other/hero.jpg")
        .unwrap();
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Other/hero.jpg"), b"one");
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
    world
        .dam
        .rename("/Other/hero.jpg", "/Brand/Final/hero.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.conflicts().await.len(), 1);
}

#[tokio::test]
async fn a_file_that_becomes_an_asset_again_becomes_one_and_not_one_in_each_pass() {
    let world = World::trusting();
    world.library.put("/Brand/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    // It came out, was changed, and its asset is gone.
    world.files.put("/Work/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    world.library.put("/Brand/Final/hero.jpg", "three").unwrap();
    world.pass().await;
    world.dam.delete("/Brand/Final/hero.jpg");
    world.files.put("/Work/Final/hero.jpg", "four").unwrap();
    world.pass().await;
    world.choose(Resolution::TakeFile).await;
    for _ in 0..3 {
        world.pass().await;
    }
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    assert_eq!(world.dam.assets().len(), 1);
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"four");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_file_that_is_brought_back_as_it_was_once_gets_what_its_asset_became() {
    let mut world = World::trusting();
    world.options.removing = removing();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.library.put("/Brand/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    let file = world.file_id("/Work/Final/hero.jpg");
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world
        .files
        .rename("/Work/Final/hero.jpg", "/Else/hero.jpg")
        .unwrap();
    world.pass().await;
    world
        .files
        .rename("/Else/hero.jpg", "/Work/Final/hero.jpg")
        .unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.file_id("/Work/Final/hero.jpg"), file);
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
    world.assert_at_rest().await;
}
