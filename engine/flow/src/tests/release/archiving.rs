//! A closed campaign as a sealed folder: what is in it, when it is sealed, and what happens to the campaign then.

use windlass_archive::{TroubleKind, verify};
use windlass_core::memory::Operation;
use windlass_core::sign::SigningKey;
use windlass_core::{Library, Retirement};

use super::*;
use crate::{ArchiveOptions, Keys, Relations, RenditionRule};

pub(super) fn world() -> World {
    let mut world = World::new();
    world.options.root = AssetPath::new("/Archive/CMP-1001");
    world.options.query.fields.clear();
    world.options.rights.ignores_availability = true;
    world.options.kind = Arc::new(archive());
    world
}

fn archive() -> ArchiveOptions {
    ArchiveOptions {
        campaign: "Spring".into(),
        relations: Relations {
            kinds: Vec::new(),
            depth: 3,
        },
        versions: false,
        renditions: Vec::new(),
        mhl: true,
        afterwards: None,
        xmp: windlass_archive::XmpMap::default(),
        keys: Keys(Arc::new(vec![SigningKey::from_seed(&[7; 32])])),
    }
}

/// Writes what is at the outlet into a folder, as a person who takes it along.
fn taken_along(world: &World, name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("windlass-archive-{name}-{}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    for asset in world.outlet.assets() {
        let below = asset
            .path
            .as_str()
            .strip_prefix("/Archive/CMP-1001/")
            .unwrap();
        let file = dir.join(below);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, world.outlet.bytes(&asset.id).unwrap()).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_campaign_becomes_a_sealed_folder_that_proves_itself_offline() {
    let mut world = world();
    let hero = world.asset("/Brand/A/hero.tif", b"hero");
    world.asset("/Brand/B/hero.tif", b"other hero");
    let source = world.asset("/Sources/hero.psd", b"layers");
    let contract = world.asset("/Legal/contract.pdf", b"contract");
    world.library.relate(&hero, "derivedFrom", &source);
    world.library.relate(&source, "coveredBy", &contract);
    world.switch_off(&hero);
    world.library.offer("web");
    world.options.kind = Arc::new(ArchiveOptions {
        renditions: vec![RenditionRule {
            extensions: Vec::new(),
            rendition: "web".into(),
            extension: Some("png".into()),
        }],
        ..archive()
    });
    let (plan, closed) = world.pass().await;
    assert_eq!(plan.steps.len(), 6);
    assert!(closed.sealed.is_some(), "{closed:?}");
    let names: Vec<String> = world
        .visible()
        .iter()
        .map(|path| path.replace("/Archive/CMP-1001/", ""))
        .filter(|path| !path.starts_with("metadata/") && !path.starts_with("ascmhl/"))
        .collect();
    assert_eq!(
        names,
        [
            "README.txt",
            "documents/contract.pdf",
            "documents/hero.psd",
            "manifest.jsonl",
            "originals/hero (2).tif",
            "originals/hero.tif",
            "renditions/web/hero (2).png",
            "renditions/web/hero.png",
        ]
    );
    let key = SigningKey::from_seed(&[7; 32]).public();
    let dir = taken_along(&world, "whole");
    let verified = verify(&dir, &[key]).unwrap();
    assert!(verified.is_intact(), "{:?}", verified.sentences());
    std::fs::write(dir.join("originals/hero.tif"), b"hera").unwrap();
    let verified = verify(&dir, &[key]).unwrap();
    assert_eq!(verified.count(TroubleKind::Changed), 1);
    std::fs::remove_dir_all(dir).unwrap();

    // It is sealed: what happens to the campaign later does not change it.
    world.asset("/Brand/A/late.tif", b"late");
    let (again, closed) = world.pass().await;
    assert!(again.is_empty() && closed.written.is_empty());
    assert!(
        again
            .summary
            .findings
            .first()
            .unwrap()
            .message
            .contains("is sealed as")
    );
}

#[tokio::test]
async fn nothing_is_sealed_while_a_file_is_missing_and_an_interrupted_seal_is_the_same_archive() {
    let world = world();
    world.asset("/Brand/a.tif", b"a");
    world.asset("/Brand/b.tif", b"b");
    world.outlet.inject(Operation::Commit, Kind::Denied);
    let (_, closed) = world.pass().await;
    assert_eq!(closed.sealed, None);
    assert!(
        closed.findings[0].message.ends_with("is not there yet"),
        "{closed:?}"
    );
    // The papers are begun and the service goes away.
    world.outlet.inject(Operation::Commit, Kind::Denied);
    let flow = world.flow();
    let plan = flow.plan().await.unwrap();
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    let commits = world.outlet.calls(Operation::Commit);
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.outlet.calls(Operation::Commit), commits + 1);
    world.clock.advance(Duration::from_secs(60));
    let (_, closed) = world.pass().await;
    assert!(closed.sealed.is_some(), "{closed:?}");
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn relations_that_lead_back_are_told_and_end() {
    let world = world();
    let a = world.asset("/Brand/a.tif", b"a");
    let b = world.asset("/Sources/b.psd", b"b");
    let c = world.asset("/Sources/c.psd", b"c");
    for (from, to) in [(&a, &b), (&b, &c), (&c, &b), (&c, &a)] {
        world.library.relate(from, "derivedFrom", to);
    }
    let (plan, closed) = world.pass().await;
    assert!(closed.sealed.is_some());
    let told: Vec<_> = plan
        .summary
        .findings
        .iter()
        .map(|one| one.message.clone())
        .collect();
    assert_eq!(
        told,
        [
            format!("its relations lead back to it: {a} → {b} → {c} → {a}"),
            format!("its relations lead back to it: {b} → {c} → {b}"),
        ]
    );
}

#[tokio::test]
async fn afterwards_the_campaign_is_retired_and_its_documents_are_not() {
    let mut world = world();
    let hero = world.asset("/Brand/hero.tif", b"hero");
    let source = world.asset("/Sources/hero.psd", b"layers");
    world.library.relate(&hero, "derivedFrom", &source);
    world.options.kind = Arc::new(ArchiveOptions {
        afterwards: Some(Retirement::Unavailable),
        ..archive()
    });
    world.pass().await;
    let held = world.library.consult(&[hero, source]).await.unwrap();
    let usable: Vec<_> = held.into_iter().map(|one| one.unwrap().usable).collect();
    let is = |available| Usable::Stated(Availability::Direct { available });
    assert_eq!(usable, [is(false), is(true)]);
}

#[tokio::test]
async fn an_archive_asks_rights_like_every_way_out() {
    let mut world = world();
    world.options.rights.ignores_availability = false;
    let hero = world.asset("/Brand/hero.tif", b"hero");
    world.switch_off(&hero);
    let (plan, closed) = world.pass().await;
    assert_eq!(
        told(&plan),
        ["skip /Brand/hero.tif: blocked by rights: it is switched off"]
    );
    assert_eq!(closed.sealed, None);
    assert!(world.visible().is_empty());
}
