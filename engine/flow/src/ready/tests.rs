//! The rules on what a listing showed, without a flow around them.

use std::time::Duration;

use jiff::Timestamp;
use windlass_core::{Asset, AssetId, AssetPath, Readable, Revision};

use super::lookout::Lookout;
use super::quiet::Sightings;
use super::{Readiness, Wait};

pub(super) fn asset(path: &str, revision: &str, size: u64) -> Asset {
    Asset {
        id: AssetId::new(path),
        path: AssetPath::new(path),
        revision: Revision::new(revision),
        size,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What one pass knows that began at a second, ended one later and listed some files.
fn pass(rules: &Readiness, seen: Sightings, began: i64, paths: &[&str]) -> Lookout {
    let mut lookout = Lookout::new(rules, true, seen, at(began)).unwrap();
    paths
        .iter()
        .for_each(|path| lookout.notice(&asset(path, "1", 1)));
    lookout.complete(at(began + 1));
    lookout
}

fn reason(wait: Option<Wait>) -> String {
    wait.expect("it waits").reason
}

fn quiet(seconds: u64) -> Readiness {
    Readiness {
        quiet: Duration::from_secs(seconds),
        ..Readiness::default()
    }
}

fn next(lookout: Lookout) -> Sightings {
    let (seen, ready) = lookout.into_sightings();
    let kept = seen.into_kept(ready).unwrap().unwrap();
    Sightings::read(kept.as_ref()).unwrap()
}

#[test]
fn a_file_waits_until_it_was_seen_unchanged_for_the_quiet_period() {
    let (rules, file) = (quiet(30), asset("/In/a.tif", "1", 1));
    let mut first = pass(&rules, Sightings::default(), 100, &["/In/a.tif"]);
    let wait = first.own_wait(&file).unwrap();
    assert_eq!(
        wait.reason,
        "still arriving: it is as it is since 1970-01-01T00:01:41Z, and has to be left alone for 30s"
    );
    assert_eq!(wait.until, Some(at(131)));
    let mut second = pass(&rules, next(first), 130, &["/In/a.tif"]);
    assert_eq!(second.own_wait(&file).unwrap().until, Some(at(131)));
    // Another revision begins anew.
    let changed = asset("/In/a.tif", "2", 1);
    assert_eq!(second.own_wait(&changed).unwrap().until, Some(at(161)));
    second.own_wait(&file);
    let mut third = Lookout::new(&rules, true, next(second), at(131)).unwrap();
    assert_eq!(third.own_wait(&file), None);
}

#[test]
fn without_a_quiet_period_nothing_waits_for_it_and_nothing_is_remembered() {
    let mut lookout = pass(&quiet(0), Sightings::default(), 100, &["/In/a.tif"]);
    assert_eq!(lookout.own_wait(&asset("/In/a.tif", "1", 1)), None);
    let (seen, ready) = lookout.into_sightings();
    assert_eq!(seen.into_kept(ready).unwrap(), None);
}

#[test]
fn a_document_waits_for_its_lock_and_its_neighbours_do_not() {
    let paths = [
        "/In/Deck.pptx",
        "/In/~$Deck.pptx",
        "/In/b.pptx",
        "/Other/Deck.pptx",
    ];
    let mut lookout = pass(&quiet(0), Sightings::default(), 100, &paths);
    let mut wait = |path: &str| lookout.own_wait(&asset(path, "1", 1));
    assert_eq!(
        reason(wait("/In/Deck.pptx")),
        "still arriving: a program has it open since 1970-01-01T00:01:41Z (~$Deck.pptx)"
    );
    assert_eq!(wait("/In/b.pptx"), None);
    assert_eq!(wait("/Other/Deck.pptx"), None);
}

#[test]
fn names_that_the_configuration_calls_temporary_wait() {
    let rules = Readiness {
        temporary: vec!["*.wip".into(), "render_*".into()],
        ..Readiness::default()
    };
    let mut lookout = pass(&rules, Sightings::default(), 100, &[]);
    let mut wait = |path: &str| lookout.own_wait(&asset(path, "1", 1));
    assert!(reason(wait("/In/a/hero.WIP")).contains("that of a temporary file"));
    assert!(wait("/In/render_0001.exr").is_some());
    assert_eq!(wait("/In/a/hero.tif"), None);
    let error = Lookout::new(
        &Readiness {
            temporary: vec!["[".into()],
            ..Readiness::default()
        },
        true,
        Sightings::default(),
        at(0),
    );
    assert!(error.unwrap_err().message().contains("ready.temporary"));
}

#[test]
fn a_unit_waits_as_long_as_the_last_of_its_files() {
    let paths = ["/In/P/a.indd", "/In/P/Links/x.tif", "/In/y.tif"];
    let mut lookout = pass(&quiet(30), Sightings::default(), 100, &paths);
    assert!(lookout.has_units());
    let link = asset("/In/P/Links/x.tif", "1", 1);
    let wait = lookout.own_wait(&link).unwrap();
    lookout.watch(&link, &wait);
    let document = asset("/In/P/a.indd", "1", 1);
    let of_unit = lookout.unit_wait(&document).unwrap();
    assert_eq!(of_unit.until, Some(at(131)));
    assert!(
        of_unit
            .reason
            .starts_with("still arriving: it goes with all of /In/P, where x.tif waits: it is"),
        "{}",
        of_unit.reason
    );
    // Nobody knows the end of a lock, so it is later than any time.
    let locked = Wait::new("locked");
    lookout.watch(&document, &locked);
    lookout.watch(&link, &wait);
    assert_eq!(lookout.unit_wait(&document).unwrap().until, None);
    assert_eq!(lookout.unit_wait(&asset("/In/y.tif", "1", 1)), None);
}

#[test]
fn with_a_manifest_configured_nothing_goes_without_one() {
    let rules = Readiness {
        manifest: Some("manifest.csv".into()),
        ..Readiness::default()
    };
    let paths = ["/In/d/Manifest.csv", "/In/d/sub/a.tif", "/In/b.tif"];
    let mut lookout = pass(&rules, Sightings::default(), 100, &paths);
    assert_eq!(lookout.unit_wait(&asset("/In/d/sub/a.tif", "1", 1)), None);
    let wait = lookout.unit_wait(&asset("/In/b.tif", "1", 1));
    assert!(reason(wait).contains("no manifest.csv beside it or above it since"));
}

#[test]
fn a_document_alone_is_no_package_and_instructions_beside_one_make_it_one() {
    let units = |paths: &[&str]| {
        let lookout = pass(&quiet(0), Sightings::default(), 100, paths);
        lookout.units_of(&AssetPath::new("/In/P/a.indd")).len()
    };
    assert_eq!(units(&["/In/P/a.indd", "/In/P/b.tif"]), 0);
    assert_eq!(units(&["/In/P/a.indd", "/In/P/Instructions.txt"]), 1);
    assert_eq!(units(&["/In/P/Instructions.txt"]), 0);
    assert_eq!(units(&["/In/P/Links/b.tif"]), 1);
    let off = Readiness {
        packages: false,
        ..Readiness::default()
    };
    let lookout = pass(
        &off,
        Sightings::default(),
        100,
        &["/In/P/a.indd", "/In/P/Links/b.tif"],
    );
    assert!(!lookout.has_units());
}
