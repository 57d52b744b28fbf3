//! Audits: every delivery, every placement, everything that was taken back and every file in the folders has one name.

use std::collections::BTreeMap;

use windlass_core::memory::Operation;

use super::*;
use crate::{Audit, AuditedFile, Stale, Standing, VerifyRelease};

type Named = BTreeMap<String, (Standing, String)>;

async fn audit_with(world: &World, deep: bool) -> (Audit, Named) {
    let flow = world.flow();
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let verify = VerifyRelease {
        flow: &flow,
        deep: deep.then_some(&engine),
        at_once: 2,
    };
    let mut files: Vec<AuditedFile> = Vec::new();
    let audit = verify.run(&mut files).await.unwrap();
    let named: u64 = audit.standings.values().map(|sum| sum.files).sum();
    assert_eq!(named, files.len() as u64);
    assert_eq!(audit.unexplained, 0, "{audit:?}");
    let mut by_path = BTreeMap::new();
    for file in files {
        let told = (file.standing, file.why.clone().unwrap_or_default());
        let before = by_path.insert(file.path.to_string(), told);
        assert!(before.is_none(), "{file:?} twice: {before:?}");
    }
    (audit, by_path)
}

async fn audit(world: &World) -> (Audit, Named) {
    audit_with(world, false).await
}

fn standings(named: &Named) -> Vec<(&str, Standing)> {
    let named = named.iter();
    named
        .map(|(path, (standing, _))| (path.as_str(), *standing))
        .collect()
}

fn why<'a>(named: &'a Named, path: &str) -> &'a str {
    &named[path].1
}

#[tokio::test]
async fn what_nobody_touched_is_the_same_and_nothing_is_written() {
    let world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"bb");
    let (before, named) = audit(&world).await;
    assert_eq!((before.at_source, before.at_sink), (2, 0));
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/a.jpg", Standing::Pending),
            ("/Press/Brand/b.jpg", Standing::Pending)
        ]
    );
    assert!(before.is_well());
    world.pass().await;
    let commits = world.outlet.calls(Operation::Commit);
    let (audit, named) = audit(&world).await;
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/a.jpg", Standing::Same),
            ("/Press/Brand/b.jpg", Standing::Same)
        ]
    );
    assert_eq!((audit.at_source, audit.at_sink), (2, 2));
    assert_eq!(audit.standings[&Standing::Same].bytes, 3);
    assert!(audit.is_well());
    assert_eq!(world.outlet.calls(Operation::Commit), commits);
}

#[tokio::test]
async fn whatever_people_and_rights_did_has_one_name_and_a_sentence() {
    let world = World::new();
    for name in [
        "same", "newer", "edited", "moved", "renamed", "gone", "off", "rejected",
    ] {
        world.asset(&format!("/Brand/{name}.jpg"), name.as_bytes());
    }
    world.pass().await;
    let at = |name: &str| {
        world
            .library
            .endpoint()
            .asset_at(&format!("/Brand/{name}.jpg"))
            .unwrap()
    };
    // At the library.
    world.asset("/Brand/newer.jpg", b"newer version");
    world.switch_off(&at("off").id);
    let rejected = Value::Text("Rejected".into());
    world
        .library
        .set_field(&at("rejected").id, "approval", rejected);
    world.asset("/Brand/new.jpg", b"new");
    world
        .rules
        .deny(&world.asset("/Brand/denied.jpg", b"d"), None);
    let locked = world.asset("/Brand/locked.jpg", b"l");
    world.library.lock_asset(&locked, Some("retouching"));
    // Where people look.
    let outlet = &world.outlet;
    outlet
        .edit("/Press/Brand/edited.jpg", &b"theirs"[..])
        .unwrap();
    outlet
        .rename("/Press/Brand/moved.jpg", "/Press/Mine/moved.jpg")
        .unwrap();
    outlet
        .rename("/Press/Brand/renamed.jpg", "/Press/Brand/other.jpg")
        .unwrap();
    assert!(outlet.delete("/Press/Brand/gone.jpg"));
    outlet
        .put("/Press/Brand/theirs.txt", b"x".to_vec())
        .unwrap();
    let (audit, named) = audit(&world).await;
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/denied.jpg", Standing::BlockedByRights),
            ("/Press/Brand/edited.jpg", Standing::Edited),
            ("/Press/Brand/gone.jpg", Standing::Missing),
            ("/Press/Brand/locked.jpg", Standing::Held),
            ("/Press/Brand/new.jpg", Standing::Pending),
            ("/Press/Brand/newer.jpg", Standing::Changed),
            ("/Press/Brand/off.jpg", Standing::Overdue),
            ("/Press/Brand/other.jpg", Standing::Moved),
            ("/Press/Brand/rejected.jpg", Standing::ToWithdraw),
            ("/Press/Brand/same.jpg", Standing::Same),
            ("/Press/Brand/theirs.txt", Standing::Extra),
            ("/Press/Mine/moved.jpg", Standing::Moved),
        ]
    );
    assert_eq!((audit.at_source, audit.at_sink), (10, 8));
    assert!(!audit.is_well());
    for (path, expected) in [
        (
            "/Press/Brand/denied.jpg",
            "the licence excludes it (licence)",
        ),
        (
            "/Press/Brand/edited.jpg",
            "its copy /Press/Brand/edited.jpg was changed by people; both are kept",
        ),
        (
            "/Press/Brand/gone.jpg",
            "somebody removed it; the next run places it again",
        ),
        (
            "/Press/Brand/locked.jpg",
            "somebody works on it: retouching",
        ),
        (
            "/Press/Brand/newer.jpg",
            "a newer version waits for the next run",
        ),
        (
            "/Press/Brand/off.jpg",
            "rights do not allow it any more: it is switched off",
        ),
        ("/Press/Brand/other.jpg", "people renamed it"),
        (
            "/Press/Brand/rejected.jpg",
            "its approval is \"Rejected\", not \"approved\"",
        ),
        ("/Press/Mine/moved.jpg", "people moved it to another folder"),
    ] {
        assert_eq!(why(&named, path), expected, "{path}");
    }
}

#[tokio::test]
async fn what_was_withdrawn_is_absent_until_somebody_brings_it_back() {
    let mut world = World::new();
    world.options.taking_back.notes = true;
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.switch_off(&id);
    world.pass().await;
    let (audit_of, named) = audit(&world).await;
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/a.jpg", Standing::Withdrawn),
            ("/Press/Brand/a.jpg - withdrawn.txt", Standing::Document),
        ]
    );
    assert_eq!(
        why(&named, "/Press/Brand/a.jpg"),
        "rights do not allow it any more: it is switched off"
    );
    assert!(audit_of.is_well());
    // Inside the folders or anywhere else: it is not where it is kept.
    for place in ["/Press/Elsewhere/a.jpg", "/Private/a.jpg"] {
        let kept = world.kept().pop();
        let from = kept.unwrap_or_else(|| "/Press/Elsewhere/a.jpg".to_owned());
        world.outlet.rename(&from, place).unwrap();
        let (audit_of, named) = audit(&world).await;
        assert_eq!(named[place].0, Standing::StillThere);
        assert_eq!(
            why(&named, place),
            "it was withdrawn: rights do not allow it any more: it is switched off"
        );
        assert!(!audit_of.is_well());
    }
    // Allowed again, it comes back, and the old copy is no matter any more.
    world.switch_on(&id);
    let (_, named) = audit(&world).await;
    assert_eq!(named["/Press/Brand/a.jpg"].0, Standing::Pending);
}

#[tokio::test]
async fn what_stays_although_nobody_places_it_is_kept() {
    let mut world = World::new();
    world.options.taking_back.stale = Stale::Keep;
    let id = world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    let rejected = Value::Text("Rejected".into());
    world.library.set_field(&id, "approval", rejected);
    let (audit, named) = audit(&world).await;
    assert_eq!(standings(&named), [("/Press/Brand/a.jpg", Standing::Kept)]);
    assert_eq!((audit.at_source, audit.at_sink), (0, 1));
    assert!(audit.is_well());
}

#[tokio::test]
async fn a_file_that_people_took_out_of_the_folders_is_found_and_their_edit_of_what_ended_is_told()
{
    let world = World::new();
    let id = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    world
        .outlet
        .rename("/Press/Brand/b.jpg", "/Private/b.jpg")
        .unwrap();
    world
        .outlet
        .edit("/Press/Brand/a.jpg", &b"theirs"[..])
        .unwrap();
    world.switch_off(&id);
    let (audit, named) = audit(&world).await;
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/a.jpg", Standing::Edited),
            ("/Private/b.jpg", Standing::Moved)
        ]
    );
    assert!(
        why(&named, "/Press/Brand/a.jpg")
            .ends_with("is left to them: rights do not allow it any more: it is switched off")
    );
    assert_eq!(
        why(&named, "/Private/b.jpg"),
        "people moved it out of the flow's folders"
    );
    assert_eq!(audit.at_sink, 1);
}

#[tokio::test]
async fn files_of_other_flows_are_told_apart_from_those_of_nobody() {
    let mut world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    world.options.flow = "second".into();
    world.options.query.collection = AssetPath::new("/Elsewhere");
    let (audit, named) = audit(&world).await;
    assert_eq!(
        named["/Press/Brand/a.jpg"],
        (Standing::OfAnotherFlow, "placed by flow \"out\"".to_owned())
    );
    assert!(audit.is_well());
}

#[tokio::test]
async fn packages_are_documents_and_their_loss_and_their_edits_are_told() {
    let world = super::localizing::world(vec![
        super::localizing::market("DE", &["de"]),
        super::localizing::market("FR", &["fr"]),
        super::localizing::market("IT", &["it"]),
    ]);
    world.asset("/Brand/poster_en.jpg", b"en");
    world.asset("/Brand/untold.jpg", b"untold");
    world.pass().await;
    let (audit_of, named) = audit(&world).await;
    let of = |standing: Standing| named.values().filter(|one| one.0 == standing).count();
    assert_eq!((of(Standing::Same), of(Standing::Document)), (3, 3));
    assert_eq!(
        named["/Brand/untold.jpg"],
        (
            Standing::Held,
            "the plugin holds it (name): its name has no language".to_owned()
        )
    );
    assert_eq!((audit_of.at_source, audit_of.at_sink), (4, 6));
    assert!(audit_of.is_well());
    let outlet = &world.outlet;
    outlet
        .edit("/Regions/DE/web/package-DE.json", &b"{}"[..])
        .unwrap();
    assert!(outlet.delete("/Regions/FR/web/package-FR.json"));
    outlet
        .rename("/Regions/IT/web/package-IT.json", "/Regions/IT/mine.json")
        .unwrap();
    let (audit_of, named) = audit(&world).await;
    assert_eq!(named["/Regions/DE/web/package-DE.json"].0, Standing::Edited);
    assert_eq!(
        named["/Regions/FR/web/package-FR.json"],
        (
            Standing::Missing,
            "somebody removed what Windlass wrote; the next run writes it again".to_owned()
        )
    );
    assert_eq!(named["/Regions/IT/mine.json"].0, Standing::Document);
    assert!(!audit_of.is_well());
}

#[tokio::test]
async fn a_sealed_archive_is_as_it_was_sealed_or_it_is_told_what_is_not() {
    let world = super::archiving::world();
    let hero = world.asset("/Brand/hero.tif", b"hero");
    world.asset("/Brand/other.tif", b"other");
    let source = world.asset("/Sources/hero.psd", b"layers");
    world.library.relate(&hero, "derivedFrom", &source);
    let (_, closed) = world.pass().await;
    assert!(closed.sealed.is_some());
    let papers = closed.written.len();
    let (audit_of, named) = audit_with(&world, true).await;
    let of = |standing: Standing| named.values().filter(|one| one.0 == standing).count();
    assert_eq!((of(Standing::Same), of(Standing::Document)), (3, papers));
    assert_eq!(audit_of.read_back.files as usize, 3 + papers);
    assert!(audit_of.is_well());
    // What the campaign becomes does not count any more; what people do to the folder does.
    world.asset("/Brand/late.tif", b"late");
    let at = "/Archive/CMP-1001";
    let outlet = &world.outlet;
    assert!(outlet.delete(&format!("{at}/manifest.jsonl")));
    outlet
        .rename(
            &format!("{at}/originals/other.tif"),
            &format!("{at}/other.tif"),
        )
        .unwrap();
    assert!(outlet.rot(&format!("{at}/originals/hero.tif")));
    assert!(outlet.rot(&format!("{at}/README.txt")));
    outlet
        .put(&format!("{at}/notes.txt"), b"x".to_vec())
        .unwrap();
    let (_, named) = audit_with(&world, true).await;
    let told = |below: &str| named[&format!("{at}/{below}")].clone();
    assert_eq!(
        told("manifest.jsonl"),
        (
            Standing::Missing,
            "somebody removed a paper of the archive, so it cannot prove itself".to_owned()
        )
    );
    assert_eq!(told("other.tif").0, Standing::Missing);
    assert_eq!(told("originals/hero.tif").0, Standing::Differs);
    assert_eq!(told("README.txt").0, Standing::Differs);
    assert_eq!(told("notes.txt").0, Standing::Extra);
    assert!(!named.keys().any(|path| path.contains("late")));
}

#[tokio::test]
async fn a_deep_audit_finds_bytes_that_rotted_under_the_same_revision() {
    let world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world.pass().await;
    assert!(world.outlet.rot("/Press/Brand/b.jpg"));
    let (shallow, _) = audit(&world).await;
    assert!(shallow.is_well(), "no listing tells");
    let (deep, named) = audit_with(&world, true).await;
    assert_eq!((deep.read_back.files, deep.read_back.bytes), (2, 2));
    assert_eq!(named["/Press/Brand/b.jpg"].0, Standing::Differs);
    assert!(why(&named, "/Press/Brand/b.jpg").starts_with("its bytes were read back as BLAKE3"));
    world.outlet.inject(Operation::Read, Kind::Denied);
    let (_, named) = audit_with(&world, true).await;
    assert_eq!(named["/Press/Brand/a.jpg"].0, Standing::Unreadable);
}

#[tokio::test]
async fn a_folder_that_is_gone_waits_for_somebody_and_its_files_are_missing() {
    let world = World::new();
    world.asset("/Brand/Spring/a.jpg", b"a");
    world.asset("/Brand/Summer/b.jpg", b"b");
    world.pass().await;
    world.outlet.delete("/Press/Spring");
    let (audit, named) = audit(&world).await;
    assert_eq!(named["/Press/Spring/a.jpg"].0, Standing::Missing);
    assert!(why(&named, "/Press/Spring/a.jpg").contains("--retry-held makes it anew"));
    assert_eq!(audit.standings[&Standing::Same].files, 1);
}

#[tokio::test]
async fn what_only_doubt_keeps_back_is_held_and_what_doubt_leaves_visible_is_overdue() {
    let world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.pass().await;
    *world.rules.broken.lock().unwrap() = true;
    world.asset("/Brand/b.jpg", b"b");
    let (_, named) = audit(&world).await;
    assert_eq!(
        standings(&named),
        [
            ("/Press/Brand/a.jpg", Standing::Overdue),
            ("/Press/Brand/b.jpg", Standing::Held)
        ]
    );
}
