//! An audit gives every pair, and what is no pair yet, exactly one name, and holds the bytes of what agrees beside the
//! ledger.

use std::ops::Deref;

use super::*;
use crate::{Audit, AuditedFile, Standing, VerifySync};

async fn audit_of(world: &World, deep: bool) -> (Audit, Vec<AuditedFile>) {
    let sync = world.sync();
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let verify = VerifySync {
        flow: sync.deref(),
        deep: deep.then_some(&engine),
        at_once: 2,
    };
    let mut named = Vec::new();
    let audit = verify.run(&mut named).await.unwrap();
    assert_eq!(audit.unexplained, 0, "{named:?}");
    (audit, named)
}

fn standings(named: &[AuditedFile]) -> BTreeMap<&str, Standing> {
    let files = named.iter();
    files.map(|one| (one.path.as_str(), one.standing)).collect()
}

fn why<'a>(named: &'a [AuditedFile], path: &str) -> &'a str {
    let mut files = named.iter();
    let file = files.find(|one| one.path.as_str() == path).expect(path);
    file.why.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn every_pair_and_what_is_no_pair_yet_has_one_name() {
    let world = World::new();
    for name in [
        "same", "edited", "newer", "both", "moved", "gone", "left", "lost",
    ] {
        let path = format!("/Work/Final/{name}.jpg");
        world.files.put(&path, name.to_owned()).unwrap();
    }
    world.pass().await;
    let (audit, named) = audit_of(&world, false).await;
    assert_eq!(audit.standings[&Standing::Same].files, 8);
    assert!(audit.is_well() && named.len() == 8);

    for name in ["edited", "both"] {
        let path = format!("/Work/Final/{name}.jpg");
        world.files.put(&path, "other bytes").unwrap();
    }
    for name in ["newer", "both"] {
        let path = format!("/Brand/Final/{name}.jpg");
        world.library.put(&path, "newer bytes").unwrap();
    }
    let rename = |from: &str, to: &str| world.files.rename(from, to).unwrap();
    rename("/Work/Final/moved.jpg", "/Work/Final/elsewhere.jpg");
    rename("/Work/Final/left.jpg", "/Other/left.jpg");
    world.files.delete("/Work/Final/gone.jpg");
    world.dam.delete("/Brand/Final/lost.jpg");
    world.files.put("/Work/Final/new.jpg", "new").unwrap();
    world.files.put("/Work/draft.jpg", "draft").unwrap();
    world.library.put("/Brand/new asset.jpg", "x").unwrap();
    let (audit, named) = audit_of(&world, true).await;
    assert_eq!(
        standings(&named),
        BTreeMap::from([
            ("/Work/Final/same.jpg", Standing::Same),
            ("/Work/Final/edited.jpg", Standing::Conflict),
            ("/Work/Final/newer.jpg", Standing::Changed),
            ("/Work/Final/both.jpg", Standing::Conflict),
            ("/Work/Final/elsewhere.jpg", Standing::Moved),
            ("/Work/Final/gone.jpg", Standing::Apart),
            ("/Other/left.jpg", Standing::Apart),
            ("/Work/Final/lost.jpg", Standing::Apart),
            ("/Work/Final/new.jpg", Standing::Pending),
            ("/Work/draft.jpg", Standing::NotSelected),
            ("/Brand/new asset.jpg", Standing::Pending),
        ])
    );
    assert!(audit.is_well(), "conflicts and what is due are no trouble");
    assert_eq!((audit.at_source, audit.at_sink), (8, 8));
    assert_eq!(
        audit.read_back.files, 2,
        "the file and the asset that agree"
    );
    assert_eq!(why(&named, "/Work/Final/newer.jpg"), "its asset is newer");
    assert_eq!(why(&named, "/Work/Final/gone.jpg"), "its file was removed");
    assert_eq!(
        why(&named, "/Work/Final/lost.jpg"),
        "its asset was deleted or hidden"
    );
}

#[tokio::test]
async fn an_audit_changes_nothing() {
    let world = World::new();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.library.put("/Brand/other.jpg", "two").unwrap();
    audit_of(&world, true).await;
    assert_eq!(world.file_paths(), ["/Work/Final/hero.jpg"]);
    assert_eq!(world.asset_paths(), ["/Brand/other.jpg"]);
    assert!(world.conflicts().await.is_empty());
}

#[tokio::test]
async fn what_is_not_approved_yet_and_what_rights_bar_say_so() {
    let world = World::trusting();
    world.files.put("/Work/Final/hero.jpg", "one").unwrap();
    world.pass().await;
    // A file that goes back to the drafts and is edited there is newer, and waits.
    world
        .files
        .rename("/Work/Final/hero.jpg", "/Work/hero.jpg")
        .unwrap();
    world.pass().await;
    world.files.put("/Work/hero.jpg", "two").unwrap();
    let barred = world.library.put("/Brand/barred.jpg", "x").unwrap();
    let off = windlass_core::Availability::Direct { available: false };
    let off = windlass_core::Usable::Stated(off);
    world.library.set_usable(&barred, off);
    let (audit, named) = audit_of(&world, false).await;
    assert_eq!(
        standings(&named),
        BTreeMap::from([
            ("/Work/hero.jpg", Standing::Changed),
            ("/Brand/barred.jpg", Standing::BlockedByRights),
        ])
    );
    assert!(why(&named, "/Work/hero.jpg").starts_with("its file is newer: "));
    assert_eq!(why(&named, "/Brand/barred.jpg"), "it is switched off");
    assert!(audit.is_well());
}

#[tokio::test]
async fn what_was_put_away_is_told_with_where_it_is_kept() {
    let mut world = World::new();
    world.options.removing = removing();
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.library.put("/Brand/b.jpg", "two").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/a.jpg");
    world.dam.delete("/Brand/b.jpg");
    let (_, named) = audit_of(&world, false).await;
    assert_eq!(
        standings(&named),
        BTreeMap::from([
            ("/Work/Final/a.jpg", Standing::ToWithdraw),
            ("/Work/b.jpg", Standing::ToWithdraw),
        ])
    );
    world.pass().await;
    let (audit, named) = audit_of(&world, false).await;
    let kept = world.asset_paths()[0].clone();
    let folder = kept.strip_suffix("/a.jpg").unwrap();
    assert_eq!(
        why(&named, "/Work/Final/a.jpg"),
        format!("its asset is kept in {folder}")
    );
    let kept = world.file_paths()[0].clone();
    assert_eq!(why(&named, &kept), format!("its file is kept as {kept}"));
    assert_eq!(audit.standings[&Standing::Withdrawn].files, 2);
    assert!(audit.is_well());
}

#[tokio::test]
async fn bytes_that_are_not_those_on_which_both_agreed_are_not_well() {
    for side in ["file", "asset"] {
        let world = World::new();
        world.files.put("/Work/Final/hero.jpg", "one").unwrap();
        world.pass().await;
        let rotten = match side {
            "file" => world.files.rot("/Work/Final/hero.jpg"),
            _ => world.dam.rot("/Brand/Final/hero.jpg"),
        };
        assert!(rotten);
        let (audit, named) = audit_of(&world, true).await;
        assert_eq!(
            standings(&named),
            BTreeMap::from([("/Work/Final/hero.jpg", Standing::Differs)]),
        );
        let told = why(&named, "/Work/Final/hero.jpg");
        assert!(told.starts_with(&format!("the {side}: ")), "{told}");
        assert!(!audit.is_well());
    }
}
