//! Renames and moves are events of what keeps its identity: nobody's file is deleted and made again for a new name.

use windlass_core::{Assigned, Value};

use super::*;
use crate::PlaceAuthority;

/// A world with one pair, and the ids of the two.
async fn paired() -> (World, AssetId, AssetId) {
    let world = World::new();
    world
        .files
        .put("/Work/Spring/Final/hero.jpg", "one")
        .unwrap();
    world.pass().await;
    let file = world.file_id("/Work/Spring/Final/hero.jpg");
    let asset = world.asset_id("/Brand/Spring/Final/hero.jpg");
    (world, file, asset)
}

#[tokio::test]
async fn a_file_that_is_renamed_or_moved_takes_its_asset_along() {
    let (world, file, asset) = paired().await;
    for path in [
        "Spring/Final/hero v2.jpg",
        "Summer/Final/hero v2.jpg",
        "Final/x.jpg",
    ] {
        let now = world.files.assets()[0].path.to_string();
        world.files.rename(&now, &format!("/Work/{path}")).unwrap();
        world.pass().await;
        assert_eq!(world.asset_paths(), [format!("/Brand/{path}")]);
        assert_eq!(world.asset_id(&format!("/Brand/{path}")), asset);
        assert_eq!(world.file_id(&format!("/Work/{path}")), file);
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_folder_that_is_renamed_is_no_removal_of_what_is_in_it() {
    let mut world = World::new();
    world.options.removing = removing();
    for name in ["a", "b", "c"] {
        let path = format!("/Work/Spring/Final/{name}.jpg");
        world.files.put(&path, name.to_owned()).unwrap();
    }
    world.pass().await;
    let before: BTreeSet<AssetId> = world.dam.assets().into_iter().map(|one| one.id).collect();
    for name in ["a", "b", "c"] {
        let from = format!("/Work/Spring/Final/{name}.jpg");
        let to = format!("/Work/Summer/Final/{name}.jpg");
        world.files.rename(&from, &to).unwrap();
    }
    let passed = world.pass().await;
    assert_eq!(of(&passed.inward, Action::Relocate), Vec::<String>::new());
    let after: BTreeSet<AssetId> = world.dam.assets().into_iter().map(|one| one.id).collect();
    assert_eq!(before, after);
    assert!(
        world
            .asset_paths()
            .iter()
            .all(|path| path.starts_with("/Brand/Summer/Final/"))
    );
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_asset_that_is_renamed_or_moved_takes_its_file_along() {
    let (world, file, asset) = paired().await;
    for path in ["Spring/Final/hero v2.jpg", "Summer/hero v2.jpg", "x.jpg"] {
        let now = world.dam.assets()[0].path.to_string();
        world.dam.rename(&now, &format!("/Brand/{path}")).unwrap();
        world.pass().await;
        assert_eq!(world.file_paths(), [format!("/Work/{path}")]);
        assert_eq!(world.asset_id(&format!("/Brand/{path}")), asset);
        assert_eq!(world.file_id(&format!("/Work/{path}")), file);
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn where_both_were_moved_the_library_knows_better() {
    let (world, file, _) = paired().await;
    world
        .files
        .rename("/Work/Spring/Final/hero.jpg", "/Work/Final/agency.jpg")
        .unwrap();
    world
        .dam
        .rename("/Brand/Spring/Final/hero.jpg", "/Brand/brand.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/brand.jpg"]);
    assert_eq!(world.file_id("/Work/brand.jpg"), file);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn who_may_not_decide_about_places_gets_them_back() {
    let (mut world, ..) = paired().await;
    world.options.authority.place = PlaceAuthority::Asset;
    world
        .files
        .rename("/Work/Spring/Final/hero.jpg", "/Work/Final/agency.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Spring/Final/hero.jpg"]);
    world.options.authority.place = PlaceAuthority::File;
    world
        .dam
        .rename("/Brand/Spring/Final/hero.jpg", "/Brand/brand.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/Spring/Final/hero.jpg"]);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_newer_master_of_a_file_that_was_moved_goes_where_the_file_is() {
    let (world, file, _) = paired().await;
    world
        .files
        .rename("/Work/Spring/Final/hero.jpg", "/Work/Final/hero.jpg")
        .unwrap();
    world
        .library
        .put("/Brand/Spring/Final/hero.jpg", "two")
        .unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
    assert_eq!(world.file_id("/Work/Final/hero.jpg"), file);
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edit_does_not_move_an_asset_back_that_somebody_moved() {
    let world = World::trusting();
    world
        .files
        .put("/Work/Spring/Final/hero.jpg", "one")
        .unwrap();
    world.pass().await;
    world
        .files
        .put("/Work/Spring/Final/hero.jpg", "two")
        .unwrap();
    world
        .dam
        .rename("/Brand/Spring/Final/hero.jpg", "/Brand/Final/hero.jpg")
        .unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"two");
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_file_that_is_edited_and_moved_at_once_takes_its_asset_along() {
    for to in ["/Work/Final/renamed.jpg", "/Work/Final/Spring/hero.jpg"] {
        let world = World::trusting();
        world.files.put("/Work/Final/hero.jpg", "one").unwrap();
        world.pass().await;
        let asset = world.asset_id("/Brand/Final/hero.jpg");
        world.files.put("/Work/Final/hero.jpg", "two").unwrap();
        world.files.rename("/Work/Final/hero.jpg", to).unwrap();
        world.pass().await;
        world.pass().await;
        let there = to.replace("/Work", "/Brand");
        assert_eq!(world.file_paths(), [to]);
        assert_eq!(
            (world.asset_id(&there), world.asset(&there)),
            (asset, b"two".to_vec())
        );
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_case_only_rename_is_one_of_the_same_file() {
    let (world, file, asset) = paired().await;
    world
        .files
        .rename("/Work/Spring/Final/hero.jpg", "/Work/Spring/Final/HERO.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.file_id("/Work/Spring/Final/HERO.jpg"), file);
    assert_eq!(world.dam.assets().len(), 1);
    assert_eq!(world.dam.assets()[0].id, asset);
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn fields_are_the_librarys_once_the_asset_is_there_unless_the_file_decides_about_them() {
    let mut world = World::trusting();
    world.options.authority.fields = BTreeSet::from(["campaign".to_owned()]);
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    for (name, value) in [("campaign", "CMP-1"), ("rating", "new")] {
        let value = Value::Text(value.to_owned());
        world.set.insert(name.to_owned(), value);
    }
    world.pass().await;
    let field = |world: &World, name: &str| {
        let asset = world.dam.assets()[0].id.clone();
        let draft = world.dam.draft(&asset).unwrap();
        let found = draft
            .fields
            .into_iter()
            .find(|one: &Assigned| one.field == name);
        found.map(|one| one.value)
    };
    assert_eq!(field(&world, "rating"), Some(Value::Text("new".into())));
    // Somebody at the agency saves again, after the configuration has other values.
    for (name, value) in [("campaign", "CMP-2"), ("rating", "changed")] {
        let value = Value::Text(value.to_owned());
        world.set.insert(name.to_owned(), value);
    }
    world.files.put("/Work/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"two");
    assert_eq!(field(&world, "campaign"), Some(Value::Text("CMP-2".into())));
    assert_eq!(field(&world, "rating"), Some(Value::Text("new".into())));
}
