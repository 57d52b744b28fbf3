//! Failed calls are written down, once, and fail again from the file alone.

use std::fs;
use std::path::Path;

use serde_json::json;
use windlass_core::{Hooks, Kind, Origin, Statement, Value};

use super::*;
use crate::{Call, FailedCall, Table};

/// Describes one asset with a table, and answers what was written down.
async fn failed_calls(folder: &Path, path: &str, times: usize) -> Vec<FailedCall> {
    let host = PluginHost::new(HostOptions {
        failures_dir: Some(folder.to_owned()),
        kept_bytes: 0,
        ..small()
    })
    .unwrap();
    let mut options = load_options();
    options.config = json!({"key": "value"});
    options.granted = Some(vec![Origin::Sheet]);
    let many = (0..1_000).map(|n| (format!("code {n}"), "x".repeat(100)));
    let clients = many.chain([("ACME".to_owned(), "Acme".to_owned())]);
    options
        .tables
        .insert("clients".to_owned(), Table::of_pairs(clients));
    let plugin = host.load(misbehaving(), options).unwrap();
    let mut guilty = asset(path);
    guilty.statements = vec![Statement {
        origin: Origin::Sheet,
        name: "Title".to_owned(),
        value: Value::Text("Sommer ☀".to_owned()),
    }];
    let batch = [asset("/a/1.tif"), guilty, asset("/a/2.tif")];
    for _ in 0..times {
        let verdicts = plugin.describe(&batch).await.unwrap();
        held(&verdicts[1]);
    }
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| FailedCall::read(&file.unwrap().path()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_failed_call_fails_again_without_the_tables_of_then() {
    let folder = tempfile::TempDir::new().unwrap();
    let calls = failed_calls(folder.path(), "/a/lookup.tif", 2).await;
    let [call] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert!(
        matches!(&call.call, Call::Describe { asset } if asset.path.as_str() == "/a/lookup.tif")
    );
    let text = serde_json::to_string(call).unwrap();
    assert!(text.contains("Sommer ☀") && text.contains("Acme"));
    assert!(!text.contains("code 7"), "the whole table is in it");

    let replayed = call.replay(None, Some(cache_dir())).unwrap();
    assert!(replayed.same_component);
    let stopped = replayed.stopped.unwrap();
    assert_eq!(stopped, call.stopped);
    assert!(
        stopped.reason.contains("looked up Ok(Some(\"Acme\"))"),
        "{stopped:?}"
    );
}

#[tokio::test]
async fn a_mended_plugin_answers_the_call_that_failed() {
    let folder = tempfile::TempDir::new().unwrap();
    let calls = failed_calls(folder.path(), "/a/trap.tif", 1).await;
    let mut text = serde_json::to_value(&calls[0]).unwrap();
    text["config"] = json!({"templates": ["/{client}/**"]});
    text["granted"] = json!([]);
    let file = folder.path().join("mended.json");
    fs::write(&file, text.to_string()).unwrap();
    let mended = component("folder-metadata");
    let call = FailedCall::read(&file).unwrap();
    let replayed = call.replay(Some(&mended), Some(cache_dir())).unwrap();
    assert!(!replayed.same_component && replayed.stopped.is_none());
    assert_eq!(replayed.answer.unwrap()["verdict"], "ready");
}

#[tokio::test]
async fn every_limit_that_is_broken_is_broken_again() {
    for path in [
        "/spin", "/hoard", "/recurse", "/large", "/garbage", "/extra", "/pester",
    ] {
        let folder = tempfile::TempDir::new().unwrap();
        let calls = failed_calls(folder.path(), path, 1).await;
        let replayed = calls[0].replay(None, Some(cache_dir())).unwrap();
        assert_eq!(replayed.stopped.as_ref(), Some(&calls[0].stopped), "{path}");
    }
}

#[test]
fn a_plugin_that_does_not_start_is_written_down_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let host = PluginHost::new(HostOptions {
        failures_dir: Some(folder.path().to_owned()),
        ..small()
    })
    .unwrap();
    let mut options = load_options();
    options.config = json!({"configure": "trap"});
    host.load(misbehaving(), options).unwrap_err();
    let file = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let call = FailedCall::read(&file.path()).unwrap();
    assert_eq!(call.call, Call::Start);
    let stopped = call
        .replay(None, Some(cache_dir()))
        .unwrap()
        .stopped
        .unwrap();
    assert!(
        stopped.reason.contains("told to trap while configured"),
        "{stopped:?}"
    );
}

#[test]
fn what_is_no_failed_call_is_refused_in_words() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("call.json");
    assert_eq!(FailedCall::read(&file).unwrap_err().kind(), Kind::NotFound);
    for text in [
        "",
        "{}",
        "null",
        "{\"format\": \"windlass plugin failure 2\"}",
    ] {
        fs::write(&file, text).unwrap();
        let error = FailedCall::read(&file).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{text}");
    }
}
