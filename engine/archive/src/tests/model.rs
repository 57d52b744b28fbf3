use std::io::Read;

use windlass_core::{AssetId, Kind, Origin, Revision, Statement, Value};

use super::make::{archive, archived, every_value, header, holding};
use crate::*;

fn described(fields: &[(&str, Value)]) -> ArchivedAsset {
    ArchivedAsset::of(&holding("7", "a.jpg", 1, fields), &archived())
}

#[test]
fn metadata_come_back_as_they_were_written() {
    let asset = described(&every_value());
    let bytes = metadata_json(&asset).unwrap();
    assert_eq!(parse_metadata(&bytes).unwrap(), asset);
    assert_eq!(metadata_json(&asset.clone()).unwrap(), bytes);
    assert_eq!(asset.fields.len(), every_value().len());
}

#[test]
fn numbers_that_json_cannot_hold_become_texts_and_a_finding_says_so() {
    let asset = described(&[
        ("large", Value::Number(i64::MIN)),
        ("limit", Value::Decimal(f64::INFINITY)),
        ("fine", Value::Number(-((1 << 53) - 1))),
        ("whole", Value::Decimal(3.0)),
    ]);
    assert_eq!(asset.fields["large"], Value::Text(i64::MIN.to_string()));
    assert_eq!(asset.fields["limit"], Value::Text("inf".to_owned()));
    assert_eq!(asset.findings.len(), 2);
    let bytes = metadata_json(&asset).unwrap();
    assert_eq!(parse_metadata(&bytes).unwrap(), asset);
}

#[test]
fn of_two_values_of_one_field_the_first_is_taken_and_a_finding_says_so() {
    let mut twice = holding("7", "a.jpg", 1, &[("a", Value::Number(1))]);
    twice.statements.push(Statement {
        origin: Origin::Sheet,
        name: "a".to_owned(),
        value: Value::Number(2),
    });
    let asset = ArchivedAsset::of(&twice, &archived());
    assert_eq!(asset.fields["a"], Value::Number(1));
    assert_eq!(asset.findings[0].subject, "a");
}

#[test]
fn members_of_later_programs_are_passed_over_and_later_formats_are_not() {
    let asset = described(&[]);
    let mut value = serde_json::to_value(&asset).unwrap();
    value["mood"] = "good".into();
    assert_eq!(parse_metadata(value.to_string().as_bytes()).unwrap(), asset);
    value["format"] = 2.into();
    let error = parse_metadata(value.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn an_archive_is_read_asset_by_asset_with_its_files() {
    let made = archive();
    let archive = read(made.path(), &[]).unwrap();
    assert_eq!(archive.manifest.header, header());
    let assets: Vec<ArchivedAsset> = archive.assets().unwrap().map(Result::unwrap).collect();
    let ids: Vec<&str> = assets.iter().map(|asset| asset.id.as_str()).collect();
    assert_eq!(ids, ["7", "8", "9"]);
    let hero = &assets[0];
    let versions: Vec<&str> = hero
        .versions
        .iter()
        .map(|one| one.version.as_str())
        .collect();
    assert_eq!(versions, ["1", "2"]);
    let mut text = String::new();
    let original = hero.original().unwrap();
    archive
        .open(original)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "the original!");
    assert_eq!(assets[2].original(), None);
    assert_eq!(hero.relations[0].asset, AssetId::new("9"));
}

#[test]
fn an_asset_that_was_changed_is_an_error_and_the_others_follow() {
    let made = archive();
    made.write("metadata/8.json", b"{}");
    let archive = read(made.path(), &[]).unwrap();
    let assets: Vec<_> = archive.assets().unwrap().collect();
    assert_eq!(assets.len(), 3);
    assert_eq!(assets[1].as_ref().unwrap_err().kind(), Kind::Integrity);
    let file = assets[0].as_ref().unwrap().original().unwrap().clone();
    made.write(&file.path, b"longer than it was before");
    assert_eq!(archive.open(&file).unwrap_err().kind(), Kind::Integrity);
    let outside = ArchivedFile {
        path: "../secret".to_owned(),
        ..file
    };
    assert_eq!(
        archive.open(&outside).unwrap_err().kind(),
        Kind::InvalidInput
    );
}

#[test]
fn paths_keep_ids_apart_that_differ_in_case_alone() {
    let path = |id: &str| metadata_path(&AssetId::new(id));
    assert_eq!(path("4711"), "metadata/4711.json");
    for (one, other) in [
        ("id:aB", "id:ab"),
        ("a/b", "a_b"),
        ("con", "c0n"),
        ("", "x"),
    ] {
        assert_ne!(path(one).to_lowercase(), path(other).to_lowercase());
        check_path(&path(one)).unwrap();
    }
    let own = key_of("A");
    assert_ne!(key_of(&own), own);
    let version = version_path(&AssetId::new("7"), &Revision::new("015F"), "a/b.jpg");
    assert!(version.starts_with("versions/7/id-") && version.ends_with("-a_b.jpg"));
}

#[test]
fn the_readme_says_of_which_campaign_it_is_and_how_to_verify() {
    let mut named = header();
    named.campaign = "{created} & more".to_owned();
    let text = readme(&named);
    assert!(text.contains("Campaign    {created} & more\n"));
    assert!(text.contains("Made        2026-11-29T12:00:00Z, by windlass 0.1.0\n"));
    assert!(text.contains("windlass archive verify FOLDER"));
    assert!(text.contains("sha256sum --check"));
    assert!(!readme(&header()).contains('{'));
}
