use std::fs;
use std::io::BufReader;

use serde_json::json;
use windlass_core::Kind;
use windlass_core::sealed::SealedWriter;

use super::make::{archive, header};
use crate::*;

fn refused(bytes: &[u8]) -> (Kind, String) {
    let made = archive();
    fs::write(made.at(MANIFEST_PATH), bytes).unwrap();
    let error = verify(made.path(), &[]).unwrap_err();
    assert_eq!(
        read(made.path(), &[]).unwrap_err().message(),
        error.message()
    );
    (error.kind(), error.message().to_owned())
}

#[test]
fn what_is_no_manifest_is_one_sentence() {
    let made = archive();
    let good = fs::read(made.at(MANIFEST_PATH)).unwrap();
    fs::remove_file(made.at(MANIFEST_PATH)).unwrap();
    assert_eq!(verify(made.path(), &[]).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        verify(&made.at("nowhere"), &[]).unwrap_err().kind(),
        Kind::NotFound
    );
    let cut = refused(&good[..good.len() / 2]);
    assert_eq!(cut.0, Kind::Integrity);
    assert!(cut.1.contains("cut short"), "{}", cut.1);
    let mut edited = good.clone();
    edited[200] ^= 1;
    assert_eq!(refused(&edited).0, Kind::Integrity);
    assert_eq!(refused(b"").0, Kind::InvalidInput);
    assert_eq!(refused(b"hello\n").0, Kind::InvalidInput);
    let mut plan = SealedWriter::new("plan 1", Vec::new());
    plan.line(&json!({"record": "plan"})).unwrap();
    assert_eq!(
        refused(&plan.seal(&[]).unwrap().0).1,
        "this file is a \"plan 1\", not the manifest of an archive"
    );
}

#[test]
fn a_newer_format_is_one_sentence() {
    let mut newer = SealedWriter::new("archive 2", Vec::new());
    newer
        .line(&json!({"record": "archive", "format": 2}))
        .unwrap();
    newer.line(&json!({"record": "something new"})).unwrap();
    assert_eq!(
        refused(&newer.seal(&[]).unwrap().0),
        (
            Kind::Unsupported,
            "the archive is of format 2, and this version knows formats up to 1".to_owned()
        )
    );
}

/// A manifest as somebody else could seal it.
fn forged(paths: &[&str]) -> Vec<u8> {
    let mut lines = SealedWriter::new(ARCHIVE_DOCUMENT, Vec::new());
    let mut line = serde_json::to_value(header()).unwrap();
    line["record"] = json!("archive");
    lines.line(&line).unwrap();
    for path in paths {
        let mut line = serde_json::to_value(FileDigests::of(b"")).unwrap();
        line["record"] = json!("file");
        line["path"] = json!(path);
        line["role"] = json!("readme");
        lines.line(&line).unwrap();
    }
    let sum = json!({"readme": {"files": paths.len(), "bytes": 0}});
    lines
        .line(&json!({"record": "sums", "roles": sum}))
        .unwrap();
    lines.seal(&[]).unwrap().0
}

#[test]
fn a_manifest_cannot_name_what_is_outside() {
    for path in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:/x",
        "c:x",
        "a\\..\\x",
        "./x",
        "a//b",
        "",
        "a/",
        "x\u{0}",
        "Manifest.jsonl",
    ] {
        let (kind, message) = refused(&forged(&[path]));
        assert_eq!(kind, Kind::InvalidInput, "{path:?}");
        assert!(message.starts_with("the manifest names"), "{message}");
        let mut writer = ManifestWriter::begin(Vec::new(), &header()).unwrap();
        let digests = FileDigests::of(b"");
        let entry = Entry {
            path: path.to_owned(),
            role: Role::Readme,
            asset: None,
            version: None,
            rendition: None,
            digests,
        };
        assert!(writer.file(&entry).is_err(), "{path:?}");
    }
}

#[test]
fn a_path_is_in_a_manifest_once_whatever_its_case() {
    let made = archive();
    let manifest = forged(&["a/Größe", "a/gRÖSSE", "A/GRÖßE"]);
    fs::write(made.at(MANIFEST_PATH), manifest).unwrap();
    let error = verify(made.path(), &[]).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    let said = error.message();
    assert!(said.ends_with("\"A/GRÖßE\" is in it twice"), "{said}");
}

#[test]
fn sums_and_order_of_lines_are_proved() {
    let text = String::from_utf8(forged(&["a", "b"])).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let resealed = |order: &[usize]| {
        let mut writer = SealedWriter::new(ARCHIVE_DOCUMENT, Vec::new());
        for &at in order {
            let line: serde_json::Value = serde_json::from_str(lines[at]).unwrap();
            writer.line(&line).unwrap();
        }
        refused(&writer.seal(&[]).unwrap().0).1
    };
    assert!(resealed(&[0, 1, 3]).ends_with("its sums are not those of its files"));
    assert!(resealed(&[0, 1, 2]).ends_with("it does not end with its sums"));
    assert!(resealed(&[0, 0, 1, 2, 3]).ends_with("it has two headers"));
    assert!(resealed(&[0, 1, 2, 3, 1]).ends_with("something follows its sums"));
}

#[test]
fn a_manifest_of_many_files_is_written_and_read_line_by_line() {
    const FILES: u64 = 20_000;
    let mut writer = ManifestWriter::begin(Vec::new(), &header()).unwrap();
    let mut entry = Entry {
        path: String::new(),
        role: Role::Original,
        asset: None,
        version: None,
        rendition: None,
        digests: FileDigests::of(b"x"),
    };
    for number in 0..FILES {
        entry.path = format!("originals/{number}");
        writer.file(&entry).unwrap();
    }
    let (bytes, sums, seal) = writer.finish(&[]).unwrap();
    let mut reader = ManifestReader::open(BufReader::new(&bytes[..])).unwrap();
    assert_eq!(reader.header(), &header());
    let mut read = 0;
    while let Some(entry) = reader.entry().unwrap() {
        assert_eq!(entry.path, format!("originals/{read}"));
        read += 1;
    }
    let manifest = reader.finish().unwrap();
    assert_eq!(
        (read, sums.total().files, sums.total().bytes),
        (FILES, FILES, FILES)
    );
    assert_eq!((manifest.sums, manifest.seal), (sums, seal));
}
