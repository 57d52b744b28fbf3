//! Files that are no plugins, or plugins for somebody else: each answered in words.

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use windlass_core::{Blake3, Hooks, Kind};

use super::*;

/// What loading these bytes says: kind, message with context, hint.
fn refused(bytes: &[u8]) -> (Kind, String, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("plugin.wasm");
    fs::write(&path, bytes).unwrap();
    let error = load(&path, json!({})).unwrap_err();
    (
        error.kind(),
        error.to_string(),
        error.hint().unwrap_or_default().to_owned(),
    )
}

/// The well-built guest with every version of the API replaced by one of equal length.
fn at_version(version: &str) -> Vec<u8> {
    let (old, new) = (b"@1.0.0", format!("@{version}"));
    assert_eq!(old.len(), new.len());
    let mut bytes = fs::read(misbehaving()).unwrap();
    let mut replaced = 0;
    for start in 0..bytes.len() - old.len() {
        if bytes[start..].starts_with(old) {
            bytes[start..start + old.len()].copy_from_slice(new.as_bytes());
            replaced += 1;
        }
    }
    assert!(replaced > 3, "the guest names its API nowhere");
    bytes
}

#[test]
fn what_is_no_component_is_said_to_be_none() {
    let module = wat::parse_str("(module)").unwrap();
    let whole = fs::read(misbehaving()).unwrap();
    for (bytes, why) in [
        (&b""[..], "the file is empty"),
        (
            b"PK\x03\x04 a zip archive",
            "does not start like WebAssembly",
        ),
        (&module, "it is a core module"),
        (&whole[..whole.len() / 2], "unexpected end-of-file"),
        (
            b"\0asm\x0d\0\x01\0\xff\xff\xff\xff",
            "not a WebAssembly component",
        ),
    ] {
        let (kind, message, hint) = refused(bytes);
        assert_eq!(kind, Kind::InvalidInput, "{message}");
        assert!(message.contains(why), "{message}");
        assert!(!hint.is_empty());
    }
}

#[test]
fn a_component_cut_between_sections_is_refused() {
    let whole = fs::read(misbehaving()).unwrap();
    // Wherever it is cut, it is refused and nothing panics.
    for length in (8..whole.len()).step_by(997) {
        let (kind, message, _) = refused(&whole[..length]);
        assert!(
            matches!(kind, Kind::InvalidInput | Kind::Unsupported),
            "{kind} {message}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Path::new("/no/such/plugin.wasm"), json!({})).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("/no/such/plugin.wasm"));
}

#[test]
fn a_component_without_our_interfaces_is_refused() {
    let bytes = wat::parse_str("(component)").unwrap();
    let (kind, message, hint) = refused(&bytes);
    assert_eq!(kind, Kind::Unsupported);
    assert!(
        message.contains("exports nothing of windlass:hooks"),
        "{message}"
    );
    assert!(hint.contains("windlass:hooks/plugin and one of its hooks"));
}

#[test]
fn every_foreign_import_and_missing_export_is_named_at_once() {
    let bytes = wat::parse_str(
        r#"(component
            (import "windlass:hooks/clock@1.0.0" (instance))
            (import "wasi:filesystem/preopens@0.2.0" (instance))
            (import "acme:magic/wand" (instance))
            (instance $plugin)
            (export "windlass:hooks/plugin@1.0.0" (instance $plugin)))"#,
    )
    .unwrap();
    let (kind, message, hint) = refused(&bytes);
    assert_eq!(kind, Kind::Unsupported);
    for part in [
        "windlass:hooks/clock, which version 1.0.0 does not have",
        "wasi:filesystem/preopens@0.2.0, which no plugin is given",
        "acme:magic/wand",
        "it exports no hook: none of metadata, rights, localization",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(hint.contains("without WASI"), "{hint}");
}

#[test]
fn exports_of_the_wrong_type_are_refused_before_anything_runs() {
    let bytes = wat::parse_str(
        r#"(component
            (instance $empty)
            (export "windlass:hooks/plugin@1.0.0" (instance $empty))
            (export "windlass:hooks/metadata@1.0.0" (instance $empty)))"#,
    )
    .unwrap();
    let (kind, message, _) = refused(&bytes);
    assert_eq!(kind, Kind::Unsupported);
    assert!(
        message.contains("does not fit windlass:hooks 1.0.0"),
        "{message}"
    );
}

#[test]
fn another_major_of_the_api_is_refused_with_the_way_out() {
    let (kind, message, hint) = refused(&at_version("2.0.0"));
    assert_eq!(kind, Kind::Unsupported);
    assert!(
        message.contains("built for windlass:hooks 2.0.0"),
        "{message}"
    );
    assert!(hint.contains("update Windlass"), "{hint}");
    let (_, message, hint) = refused(&at_version("0.9.0"));
    assert!(
        message.contains("built for windlass:hooks 0.9.0"),
        "{message}"
    );
    assert!(hint.contains("build the plugin again"), "{hint}");
}

#[tokio::test]
async fn a_newer_minor_that_asks_for_nothing_new_runs() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("plugin.wasm");
    fs::write(&path, at_version("1.1.0")).unwrap();
    let plugin = load(&path, json!({})).unwrap();
    ready(&plugin.describe(&assets(&["/a/1.tif"])).await.unwrap()[0]);
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused() {
    let host = PluginHost::new(small()).unwrap();
    let right = Blake3::of(&fs::read(misbehaving()).unwrap());
    let pinned = |digest| LoadOptions {
        pinned_digest: Some(digest),
        ..load_options()
    };
    host.load(misbehaving(), pinned(right)).unwrap();
    let error = host
        .load(misbehaving(), pinned(Blake3::of(b"another")))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains(&right.to_hex()), "{error}");
}

#[test]
fn an_inspection_says_all_that_can_be_said() {
    let host = PluginHost::new(small()).unwrap();
    let found = host.inspect(misbehaving()).unwrap();
    assert_eq!(found.shape.api_version.as_deref(), Some("1.0.0"));
    assert_eq!(
        found.identity,
        Some(("misbehaving".to_owned(), "0.0.1".to_owned()))
    );
    assert!(found.problem.is_none() && found.compile_time.is_some());
    assert!(
        found
            .shape
            .imports
            .iter()
            .all(|name| name.starts_with("windlass:hooks/"))
    );
    assert!(
        found
            .shape
            .exports
            .iter()
            .any(|name| name == "windlass:hooks/metadata@1.0.0")
    );
    assert_eq!(found.size_bytes, fs::metadata(misbehaving()).unwrap().len());

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("newer.wasm");
    fs::write(&path, at_version("2.0.0")).unwrap();
    let found = host.inspect(&path).unwrap();
    assert!(found.problem.unwrap().contains("2.0.0") && found.identity.is_none());
    fs::write(&path, "text").unwrap();
    assert_eq!(host.inspect(&path).unwrap_err().kind(), Kind::InvalidInput);
}
