//! Audits: every file has one name, whatever happened on either side.

use super::*;
use crate::{Audit, AuditedFile, Standing, Verify};

async fn audit_with(world: &World, deep: bool) -> (Audit, BTreeMap<String, Standing>) {
    let ingest = world.ingest();
    let runner = world.runner();
    let verify = Verify {
        ingest: &ingest,
        sink_reader: Arc::new(world.sink.clone()),
        within: AssetPath::new("/Library"),
        deep: deep.then_some(&runner.engine),
        at_once: 2,
    };
    let mut files: Vec<AuditedFile> = Vec::new();
    let audit = verify.run(&mut files).await.unwrap();
    let named: u64 = audit.standings.values().map(|sum| sum.files).sum();
    assert_eq!(named, files.len() as u64);
    assert_eq!(audit.unexplained, 0, "{audit:?}");
    let mut by_name = BTreeMap::new();
    for file in files {
        let name = file.path.name().to_owned();
        assert!(
            by_name.insert(name, file.standing).is_none(),
            "{file:?} twice"
        );
    }
    (audit, by_name)
}

async fn audit(world: &World) -> (Audit, BTreeMap<String, Standing>) {
    audit_with(world, false).await
}

/// Four files that are placed.
async fn placed() -> World {
    let world = World::new();
    for name in ["a", "b", "c", "d"] {
        world.file(&format!("/In/ACME/Approved/{name}.tif"), name.as_bytes());
    }
    world.run().await;
    world
}

#[tokio::test]
async fn what_nobody_touched_is_the_same() {
    let world = placed().await;
    let (audit, files) = audit(&world).await;
    assert_eq!(files.len(), 4);
    assert!(
        files.values().all(|standing| *standing == Standing::Same),
        "{files:?}"
    );
    assert_eq!((audit.at_source, audit.at_sink), (4, 4));
    assert!(audit.is_well());
}

#[tokio::test]
async fn every_file_of_either_side_has_exactly_one_name() {
    let world = placed().await;
    // At the sink: one gone, one overwritten, one that is not ours.
    assert!(world.sink.delete("/Library/ACME/a.tif"));
    world
        .sink
        .put("/Library/ACME/b.tif", b"edited".to_vec())
        .unwrap();
    world
        .sink
        .put("/Library/ACME/theirs.tif", b"x".to_vec())
        .unwrap();
    // At the source: one gone, and new ones of every kind.
    assert!(world.source.delete("/In/ACME/Approved/c.tif"));
    world.file("/In/ACME/Approved/d.tif", b"newer master");
    world.file("/In/ACME/Approved/new.tif", b"new");
    world.file("/In/ACME/Drafts/draft.tif", b"draft");
    world.file("/In/Nobody/Approved/nobody.tif", b"n");
    world.file("/In/ACME/Approved/font.otf", b"");
    world.file("/In/ACME/Approved/empty.tif", b"");
    for (name, readable) in [
        ("blocked.tif", Readable::Restricted),
        ("doc.paper", Readable::NeedsExport),
    ] {
        let path = format!("/In/ACME/Approved/{name}");
        world.file(&path, b"r");
        world.source.set_readable(&path, readable).unwrap();
    }
    let (audit, files) = audit(&world).await;
    let expected = BTreeMap::from(
        [
            ("a.tif", Standing::Missing),
            ("b.tif", Standing::Differs),
            ("c.tif", Standing::SourceGone),
            ("d.tif", Standing::Changed),
            ("new.tif", Standing::Pending),
            ("draft.tif", Standing::NotSelected),
            ("nobody.tif", Standing::Held),
            ("font.otf", Standing::SuspectedFork),
            ("empty.tif", Standing::Empty),
            ("blocked.tif", Standing::Restricted),
            ("doc.paper", Standing::UnsupportedKind),
            ("theirs.tif", Standing::Extra),
        ]
        .map(|(name, standing)| (name.to_owned(), standing)),
    );
    assert_eq!(files, expected);
    assert!(!audit.is_well());
}

#[tokio::test]
async fn what_is_gone_from_both_sides_is_missing() {
    let world = placed().await;
    assert!(world.sink.delete("/Library/ACME/a.tif"));
    assert!(world.source.delete("/In/ACME/Approved/a.tif"));
    let (_, files) = audit(&world).await;
    assert_eq!(files["a.tif"], Standing::Missing);
}

#[tokio::test]
async fn what_is_not_taken_any_more_is_kept() {
    let world = placed().await;
    world
        .source
        .rename("/In/ACME/Approved/a.tif", "/In/ACME/Drafts/a.tif")
        .unwrap();
    let (audit, files) = audit(&world).await;
    assert_eq!(files["a.tif"], Standing::Kept);
    assert!(audit.is_well());
}

#[tokio::test]
async fn what_was_placed_outside_of_what_is_listed_is_asked_for() {
    let world = placed().await;
    let ingest = world.ingest();
    let verify = Verify {
        ingest: &ingest,
        sink_reader: Arc::new(world.sink.clone()),
        within: AssetPath::new("/Elsewhere"),
        deep: None,
        at_once: 2,
    };
    let mut files: Vec<AuditedFile> = Vec::new();
    let audit = verify.run(&mut files).await.unwrap();
    assert_eq!((audit.at_sink, audit.unexplained), (0, 0));
    assert_eq!(audit.standings[&Standing::Same].files, 4);
}

#[tokio::test]
async fn a_deep_audit_finds_bytes_that_rotted_under_the_same_revision() {
    let world = placed().await;
    let (audit, _) = audit_with(&world, true).await;
    assert_eq!((audit.read_back.files, audit.read_back.bytes), (4, 4));
    assert!(audit.is_well());
    assert!(world.sink.rot("/Library/ACME/b.tif"));
    let (shallow, _) = audit_with(&world, false).await;
    assert!(shallow.is_well(), "no listing tells");
    let (audit, files) = audit_with(&world, true).await;
    assert_eq!(files["b.tif"], Standing::Differs);
    assert!(!audit.is_well());
}
