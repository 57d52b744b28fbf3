//! Who decides what becomes of bytes: what is final goes in, what is newer comes back, and what neither may decide waits.

use windlass_core::{Availability, Question, Usable};

use super::*;

#[tokio::test]
async fn drafts_stay_where_they_are_and_finals_become_assets() {
    let world = World::new();
    world.files.put("/Work/Spring/draft.psd", "draft").unwrap();
    world
        .files
        .put("/Work/Spring/Final/hero.jpg", "hero")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/Spring/Final/hero.jpg"]);
    assert_eq!(world.asset("/Brand/Spring/Final/hero.jpg"), b"hero");
    // Approval by a tag, where the file is.
    world
        .files
        .set_tags("/Work/Spring/draft.psd", &["final"])
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths().len(), 2);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_one_side_wrote_does_not_come_back_as_a_change_of_the_other() {
    let world = World::trusting();
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.library.put("/Brand/b.jpg", "two").unwrap();
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Final/a.jpg", "/Work/b.jpg"]);
    for _ in 0..2 {
        let passed = world.pass().await;
        assert_eq!(acting(&passed.inward), Vec::<String>::new());
        assert_eq!(acting(&passed.outward), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_newer_master_replaces_exactly_the_file_that_both_agreed_on() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let (file, asset) = (
        world.file_id("/Work/Final/hero.jpg"),
        world.asset_id("/Brand/Final/hero.jpg"),
    );
    world
        .library
        .put("/Brand/Final/hero.jpg", "two, retouched")
        .unwrap();
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two, retouched");
    assert_eq!(world.file_id("/Work/Final/hero.jpg"), file);
    assert_eq!(world.asset_id("/Brand/Final/hero.jpg"), asset);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edit_of_a_governed_asset_is_proposed_and_overwrites_nothing() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"one");
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"edited");
    let conflicts = world.conflicts().await;
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].found.question, Question::Proposed);
    assert_eq!(conflicts[0].passes, 2);
    // Neither side has a file that says so.
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
}

#[tokio::test]
async fn a_proposal_that_is_taken_becomes_a_version_of_the_same_asset() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    world.choose(Resolution::TakeFile).await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"edited");
    assert_eq!(world.asset_id("/Brand/Final/hero.jpg"), asset);
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn a_proposal_that_is_refused_makes_the_file_the_master_again() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    world.choose(Resolution::TakeAsset).await;
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"one");
    world.pass().await;
    assert!(world.conflicts().await.is_empty());
    world.assert_at_rest().await;
}

#[tokio::test]
async fn both_stay_where_somebody_says_so_until_either_changes_again() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    world.choose(Resolution::KeepBoth).await;
    world.pass().await;
    world.pass().await;
    world.assert_at_rest().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"one");
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"edited");
    world
        .files
        .put("/Work/Final/hero.jpg", "edited again")
        .unwrap();
    world.pass().await;
    let conflicts = world.conflicts().await;
    assert_eq!((conflicts.len(), conflicts[0].resolution), (1, None));
}

#[tokio::test]
async fn an_approved_edit_becomes_a_version_where_files_decide() {
    let world = World::trusting();
    world.files.put("/Work/hero.jpg", "one").unwrap();
    world.files.set_tags("/Work/hero.jpg", &["final"]).unwrap();
    world.pass().await;
    world.files.put("/Work/hero.jpg", "edited").unwrap();
    world.files.set_tags("/Work/hero.jpg", &[]).unwrap();
    world.pass().await;
    assert_eq!(
        world.asset("/Brand/hero.jpg"),
        b"one",
        "it is a draft again"
    );
    world.files.set_tags("/Work/hero.jpg", &["final"]).unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Brand/hero.jpg"), b"edited");
    assert_eq!(world.asset_paths().len(), 1);
    world.assert_at_rest().await;
}

#[tokio::test]
async fn an_edit_of_a_file_that_came_back_as_another_one_becomes_a_version_too() {
    let world = World::trusting();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world.files.delete("/Work/Final/hero.jpg");
    world.library.put("/Brand/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    world.choose(Resolution::TakeAsset).await;
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
    // The file that was removed was placed as the same asset, and does not stand for it any more.
    world.files.put("/Work/Final/hero.jpg", "three").unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths(), ["/Brand/Final/hero.jpg"]);
    assert_eq!(world.asset_id("/Brand/Final/hero.jpg"), asset);
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"three");
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_changed_on_both_sides_waits_and_either_choice_ends_it() {
    for (resolution, expected) in [
        (Resolution::TakeFile, &b"by the agency"[..]),
        (Resolution::TakeAsset, b"by the brand"),
    ] {
        let world = World::trusting();
        world.files.put("/Work/Final/hero.jpg", "one").unwrap();
        world.pass().await;
        world
            .files
            .put("/Work/Final/hero.jpg", "by the agency")
            .unwrap();
        world
            .library
            .put("/Brand/Final/hero.jpg", "by the brand")
            .unwrap();
        world.pass().await;
        assert_eq!(world.file("/Work/Final/hero.jpg"), b"by the agency");
        assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"by the brand");
        assert_eq!(
            world.conflicts().await[0].found.question,
            Question::BothChanged
        );
        world.choose(resolution).await;
        world.pass().await;
        world.pass().await;
        assert_eq!(world.file("/Work/Final/hero.jpg"), expected);
        assert_eq!(world.asset("/Brand/Final/hero.jpg"), expected);
        assert!(world.conflicts().await.is_empty());
        world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn a_choice_counts_only_for_what_it_was_made_about() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    world.files.put("/Work/Final/hero.jpg", "edited").unwrap();
    world.pass().await;
    world.choose(Resolution::TakeFile).await;
    // Somebody saved once more before the choice was carried out.
    world
        .files
        .put("/Work/Final/hero.jpg", "edited by mistake")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"one");
    assert_eq!(world.conflicts().await[0].resolution, None);
}

#[tokio::test]
async fn a_file_and_an_asset_in_one_place_that_nobody_brought_together_wait_for_somebody() {
    let world = World::new();
    world
        .files
        .put("/Work/Final/hero.jpg", "of the agency")
        .unwrap();
    world
        .library
        .put("/Brand/Final/hero.jpg", "of the brand")
        .unwrap();
    world.pass().await;
    assert_eq!(world.asset_paths().len(), 1);
    assert_eq!(
        world.conflicts().await[0].found.question,
        Question::PlaceTaken
    );
    world.choose(Resolution::TakeFile).await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/hero.jpg"), b"of the agency");
    assert_eq!(
        (world.asset_paths().len(), world.file_paths().len()),
        (1, 1)
    );
    world.pass().await;
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_rights_forbid_does_not_come_out_and_what_came_out_goes() {
    let world = World::new();
    let asset = world.library.put("/Brand/secret.jpg", "one").unwrap();
    let open = Usable::Stated(Availability::Direct { available: true });
    let shut = Usable::Stated(Availability::Direct { available: false });
    world.library.set_usable(&asset, shut.clone());
    world.pass().await;
    assert!(world.file_paths().is_empty());
    world.library.set_usable(&asset, open.clone());
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/secret.jpg"]);
    world.library.set_usable(&asset, shut);
    world.pass().await;
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Withdrawn/Work/secret.jpg"]);
    world.assert_at_rest().await;
    world.library.set_usable(&asset, open);
    world.pass().await;
    assert!(world.file_paths().contains(&"/Work/secret.jpg".to_owned()));
    assert_eq!(world.asset_id("/Brand/secret.jpg"), asset);
    world.pass().await;
    world.assert_at_rest().await;
}

#[tokio::test]
async fn files_that_people_brought_are_not_taken_from_them_when_rights_end() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world.library.set_usable(
        &asset,
        Usable::Stated(Availability::Direct { available: false }),
    );
    world.pass().await;
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
    // But a newer master does not come out either.
    world.library.put("/Brand/Final/hero.jpg", "two").unwrap();
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"one");
}

#[tokio::test]
async fn an_asset_that_somebody_works_on_is_waited_for() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    let asset = world.asset_id("/Brand/Final/hero.jpg");
    world.library.put("/Brand/Final/hero.jpg", "two").unwrap();
    world.library.lock_asset(&asset, Some("retouching"));
    let passed = world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"one");
    assert_eq!(of(&passed.outward, Action::Hold).len(), 1);
    world.library.lock_asset(&asset, None);
    world.pass().await;
    assert_eq!(world.file("/Work/Final/hero.jpg"), b"two");
}

#[tokio::test]
async fn lists_that_lag_make_nobody_believe_that_something_changed_or_is_gone() {
    let mut world = World::trusting();
    world.options.removing = removing();
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.pass().await;
    world.library.let_lists_lag();
    // The list still has the first version, and does not have the second asset at all.
    world.files.put("/Work/Final/a.jpg", "two").unwrap();
    world.files.put("/Work/Final/b.jpg", "three").unwrap();
    world.pass().await;
    world.pass().await;
    assert_eq!(world.asset("/Brand/Final/a.jpg"), b"two");
    assert_eq!(world.asset_paths().len(), 2);
    assert_eq!(world.file("/Work/Final/a.jpg"), b"two");
    assert!(world.conflicts().await.is_empty());
    world.library.catch_up();
    world.pass().await;
    world.assert_at_rest().await;
}
