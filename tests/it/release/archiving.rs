//! A closed campaign becomes a folder that proves itself without the tenant, and its assets rest afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use windlass_archive::{XmpMap, read, verify};
use windlass_core::Retirement;
use windlass_core::sign::SigningKey;
use windlass_flow::{ArchiveOptions, Keys, Relations, RenditionRule};

use super::*;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn archived() -> ReleaseOptions {
    ReleaseOptions {
        root: AssetPath::new("/Archive/Spring"),
        query: Query {
            collection: AssetPath::new("/Brand Library/Campaigns/Spring"),
            ..Query::default()
        },
        kind: Arc::new(ArchiveOptions {
            campaign: "Spring 2026".to_owned(),
            relations: Relations {
                kinds: Vec::new(),
                depth: 3,
            },
            versions: true,
            renditions: vec![RenditionRule {
                extensions: vec!["tif".to_owned()],
                rendition: "web".to_owned(),
                extension: Some("png".to_owned()),
            }],
            mhl: true,
            afterwards: Some(Retirement::Unavailable),
            xmp: XmpMap::default(),
            keys: Keys(Arc::new(vec![key()])),
        }),
        rights: RightsOptions {
            ignores_availability: true,
            ..published().rights
        },
        handing: None,
        shared: Vec::new(),
        ..published()
    }
}

fn availability(world: &World, id: u64) -> Option<Availability> {
    let assets = world.celum().assets();
    let asset = assets.into_iter().find(|asset| asset.id == id).unwrap();
    asset.availability
}

/// How often an asset was changed.
fn patches(world: &World) -> u64 {
    let counters = world.celum().counters();
    let patches = counters.get("PATCH /assets/{id}");
    patches.map_or(0, |count| count.calls)
}

fn sentences(closed: &Closed) -> Vec<String> {
    let findings = closed.findings.iter();
    findings
        .map(|finding| format!("{}: {}", finding.subject, finding.message))
        .collect()
}

/// Downloads a folder of the account.
fn downloaded(world: &World, folder: &str, to: &Path) {
    for path in world.below(folder) {
        let at = to.join(path[folder.len()..].trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, world.bytes(&path)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_becomes_a_sealed_folder_that_proves_itself_and_its_assets_rest() {
    let mut world = World::new().await;
    world.options = archived();
    let hero = world.asset("hero.tif", b"first").await;
    world.version(hero, "hero.tif", b"second").await;
    let logo = world.asset("logo.jpg", b"logo").await;
    let elsewhere = |name: &str| Draft {
        collection: AssetPath::new("/Brand Library/Inbox"),
        ..draft(name)
    };
    let scan = world.put(elsewhere("scan.tif"), b"scan").await;
    let contract = world.put(elsewhere("contract.pdf"), b"contract").await;
    let unrelated = world.put(elsewhere("unrelated.pdf"), b"unrelated").await;
    let celum = Arc::clone(world.celum());
    celum.relate(hero, "source", scan).unwrap();
    celum.relate(scan, "supportingDocument", contract).unwrap();
    // And round in a circle.
    celum.relate(contract, "derivedFrom", hero).unwrap();

    let passed = world.pass().await;
    let findings: Vec<String> = passed
        .plan
        .summary
        .findings
        .iter()
        .map(|finding| finding.message.clone())
        .collect();
    let circle = format!("{hero} → {scan} → {contract} → {hero}");
    assert!(
        findings.iter().any(|finding| finding.contains(&circle)),
        "{findings:?}"
    );
    let sealed = passed.closed.sealed.expect("it is sealed");

    let folder = world.folder.path().join("archive");
    downloaded(&world, "/Archive/Spring", &folder);
    let proved = verify(&folder, &[key().public()]).unwrap();
    assert!(proved.is_intact(), "{:?}", proved.sentences());
    assert_eq!(proved.seal.digest, sealed);
    let archive = read(&folder, &[]).unwrap();
    let assets: Vec<_> = archive.assets().unwrap().map(Result::unwrap).collect();
    let ids: BTreeSet<String> = assets.iter().map(|asset| asset.id.to_string()).collect();
    let wanted = [hero, logo, scan, contract].map(|id| id.to_string());
    assert_eq!(ids, BTreeSet::from(wanted));
    let names = world.below("/Archive/Spring").join("\n");
    for part in [
        "hero.tif",
        "logo.jpg",
        "scan.tif",
        "contract.pdf",
        "hero.png",
        ".mhl",
    ] {
        assert!(names.contains(part), "{part} in\n{names}");
    }
    let files: Vec<Vec<u8>> = world
        .below("/Archive/Spring")
        .iter()
        .map(|path| world.bytes(path))
        .collect();
    for bytes in [&b"first"[..], b"second", b"scan", b"contract"] {
        assert!(files.iter().any(|file| file == bytes), "{bytes:?}");
    }

    let off = Some(Availability::Direct(false));
    assert_eq!(availability(&world, hero), off);
    assert_eq!(availability(&world, logo), off);
    assert_ne!(
        availability(&world, scan),
        off,
        "it is of other campaigns as well"
    );
    assert_ne!(availability(&world, unrelated), off);

    // A second run has nothing to do, and changes nothing on either side.
    let (before, changed) = (world.files(), patches(&world));
    let again = world.pass().await;
    assert!(again.plan.is_empty(), "{:?}", again.told());
    assert_eq!(again.closed.sealed, None);
    assert_eq!(world.files(), before);
    assert_eq!(patches(&world), changed);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_misses_a_file_is_not_sealed_until_it_is_there() {
    let mut world = World::new().await;
    world.options = archived();
    let odd = world.asset("unrenderable.tif", b"odd").await;
    let hero = world.asset("hero.jpg", b"hero").await;
    world.celum().lock_asset(hero, "being retouched").unwrap();
    let passed = world.pass().await;
    assert_eq!(passed.closed.sealed, None);
    let told = sentences(&passed.closed);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("the rendition is not in the archive"));
    let sentence = "the archive is not sealed: /Archive/Spring/originals/hero.jpg is not there yet";
    assert!(told[1].contains(sentence), "{told:?}");
    assert_eq!(availability(&world, odd), Some(Availability::Direct(true)));

    let unlock = json!({"lock": {"op": "CLEAR"}});
    world.celum().edit(hero, &unlock).unwrap();
    let passed = world.pass().await;
    assert!(passed.closed.sealed.is_some(), "{:?}", passed.closed);
    // What could not be made is no loss: the original is there.
    let told = sentences(&passed.closed);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(availability(&world, odd), Some(Availability::Direct(false)));
    world.end().await;
}
