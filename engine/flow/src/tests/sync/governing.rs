//! What the library governs stands beside the file: it follows the asset, moves no bytes, and moves nothing.

use windlass_core::memory::Operation;
use windlass_core::{Kind, Value};

use super::*;

/// A world with one pair whose approval the library governs.
async fn paired() -> (World, AssetId, AssetId) {
    let mut world = World::new();
    world.options.governed = vec!["approval".to_owned()];
    world
        .files
        .put("/Work/Spring/Final/hero.jpg", "one")
        .unwrap();
    world.pass().await;
    let file = world.file_id("/Work/Spring/Final/hero.jpg");
    let asset = world.asset_id("/Brand/Spring/Final/hero.jpg");
    (world, file, asset)
}

fn set(world: &World, asset: &AssetId, approval: &str) {
    let value = Value::Text(approval.to_owned());
    world.library.set_field(asset, "approval", value);
}

/// What stands beside a file.
fn beside(world: &World, file: &AssetId) -> Vec<(String, Value)> {
    let draft = world.files.draft(file);
    let fields = draft.into_iter().flat_map(|draft| draft.fields);
    fields.map(|one| (one.field, one.value)).collect()
}

fn approval(said: &str) -> Vec<(String, Value)> {
    vec![("approval".to_owned(), Value::Text(said.to_owned()))]
}

#[tokio::test]
async fn a_field_that_changes_in_the_library_appears_at_the_file_and_nothing_moves() {
    let (world, file, asset) = paired().await;
    let begun = world.files.calls(Operation::Begin);
    let revision = world.files.assets()[0].revision.clone();
    for said in ["approved", "withdrawn"] {
        set(&world, &asset, said);
        let passed = world.pass().await;
        let changed = of(&passed.outward, Action::UpdateMetadata);
        assert_eq!(changed, ["/Brand/Spring/Final/hero.jpg"]);
        assert_eq!(beside(&world, &file), approval(said));
        world.assert_at_rest().await;
    }
    assert_eq!(world.file_paths(), ["/Work/Spring/Final/hero.jpg"]);
    assert_eq!(world.files.calls(Operation::Begin), begun);
    assert_eq!(world.files.assets()[0].revision, revision);
}

#[tokio::test]
async fn a_field_that_is_cleared_in_the_library_goes_from_the_file() {
    let (world, file, asset) = paired().await;
    set(&world, &asset, "approved");
    world.pass().await;
    world.library.clear_field(&asset, "approval");
    world.pass().await;
    assert_eq!(beside(&world, &file), []);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn fields_that_nobody_governs_do_not_appear_at_the_file() {
    let (world, file, asset) = paired().await;
    let secret = Value::Text("internal".to_owned());
    world.library.set_field(&asset, "note", secret);
    world.assert_at_rest().await;
    set(&world, &asset, "approved");
    world.pass().await;
    assert_eq!(beside(&world, &file), approval("approved"));
}

#[tokio::test]
async fn a_file_that_people_moved_stays_where_it_is_when_a_field_changes() {
    let (mut world, file, asset) = paired().await;
    world.options.authority.place = crate::PlaceAuthority::File;
    world
        .files
        .rename("/Work/Spring/Final/hero.jpg", "/Work/Final/agency.jpg")
        .unwrap();
    set(&world, &asset, "approved");
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Final/agency.jpg"]);
    assert_eq!(world.file_id("/Work/Final/agency.jpg"), file);
    assert_eq!(beside(&world, &file), approval("approved"));
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_new_asset_and_a_newer_master_bring_their_fields() {
    let (world, ..) = paired().await;
    let asset = world.library.put("/Brand/Summer/sun.jpg", "sun").unwrap();
    set(&world, &asset, "approved");
    world.pass().await;
    let file = world.file_id("/Work/Summer/sun.jpg");
    assert_eq!(beside(&world, &file), approval("approved"));
    world.dam.edit("/Brand/Summer/sun.jpg", "sun 2").unwrap();
    set(&world, &asset, "withdrawn");
    world.pass().await;
    assert_eq!(world.file("/Work/Summer/sun.jpg"), b"sun 2");
    assert_eq!(beside(&world, &file), approval("withdrawn"));
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_asset_that_is_moved_brings_its_fields_along() {
    let (world, file, asset) = paired().await;
    set(&world, &asset, "approved");
    world
        .dam
        .rename("/Brand/Spring/Final/hero.jpg", "/Brand/x.jpg")
        .unwrap();
    world.pass().await;
    assert_eq!(world.file_id("/Work/x.jpg"), file);
    assert_eq!(beside(&world, &file), approval("approved"));
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_file_whose_fields_could_not_be_written_is_known_and_gets_them_by_the_next_pass() {
    let (world, ..) = paired().await;
    let asset = world.library.put("/Brand/Summer/sun.jpg", "sun").unwrap();
    set(&world, &asset, "approved");
    world
        .files
        .inject(Operation::SetMetadata, Kind::InvalidInput);
    world.pass().await;
    let file = world.file_id("/Work/Summer/sun.jpg");
    assert_eq!(beside(&world, &file), []);
    let begun = world.files.calls(Operation::Begin);
    let passed = world.pass().await;
    let changed = of(&passed.outward, Action::UpdateMetadata);
    assert_eq!(changed, ["/Brand/Summer/sun.jpg"]);
    assert_eq!(world.files.calls(Operation::Begin), begun);
    assert_eq!(beside(&world, &file), approval("approved"));
    world.assert_at_rest().await;
}
