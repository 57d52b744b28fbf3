//! Each limit, held against a guest that breaks it.

use serde_json::json;
use windlass_core::{Hooks, Kind, Value};

use super::*;

/// Describes `paths`, of which only the one that contains `word` may be held.
async fn only_the_guilty_is_held(word: &str, rule: &str, message: &str) {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let guilty = format!("/b/{word}.tif");
    let batch = assets(&["/a/1.tif", "/a/2.tif", &guilty, "/c/3.tif", "/c/4.tif"]);
    let verdicts = plugin.describe(&batch).await.unwrap();
    assert_eq!(verdicts.len(), batch.len());
    for (asset, verdict) in batch.iter().zip(&verdicts) {
        if asset.path.as_str() == guilty {
            let (given, by) = held(verdict);
            assert!(
                by.contains(rule) && given.contains(message),
                "{by}: {given}"
            );
        } else {
            let path = Value::Text(asset.path.as_str().to_owned());
            assert_eq!(ready(verdict).fields[0].value, path);
        }
    }
}

#[tokio::test]
async fn a_trap_holds_one_asset_with_the_panic_message() {
    only_the_guilty_is_held("trap", "plugin trapped", "told to trap by /b/trap.tif").await;
}

#[tokio::test]
async fn an_endless_loop_is_ended_by_fuel() {
    only_the_guilty_is_held("spin", "limit: work", "used up the work").await;
}

#[tokio::test]
async fn endless_recursion_is_ended_by_the_stack() {
    only_the_guilty_is_held("recurse", "plugin trapped", "the plugin failed: ").await;
}

#[tokio::test]
async fn an_answer_of_bytes_that_are_no_text_is_not_taken_over() {
    only_the_guilty_is_held("garbage", "contract: readable answers", "unreadable").await;
}

#[tokio::test]
async fn endless_allocation_is_ended_by_the_memory_limit() {
    only_the_guilty_is_held("hoard", "limit: memory", "more than the 8 MiB").await;
}

#[tokio::test]
async fn an_answer_too_large_is_not_taken_over() {
    only_the_guilty_is_held("huge", "limit: ", "the plugin").await;
}

#[tokio::test]
async fn an_answer_within_memory_but_beyond_the_output_limit_is_not_taken_over() {
    only_the_guilty_is_held("large", "limit: output", "more than 256 KiB").await;
}

#[tokio::test]
async fn endless_calls_of_the_host_are_counted() {
    only_the_guilty_is_held("pester", "limit: ", "the plugin").await;
}

#[tokio::test]
async fn too_few_or_too_many_verdicts_are_refused() {
    let rule = "contract: one answer an asset";
    only_the_guilty_is_held("missing", rule, "0 answers for 1 assets").await;
    only_the_guilty_is_held("extra", rule, "2 answers for 1 assets").await;
}

#[tokio::test]
async fn nonsense_values_hold_their_asset() {
    let rule = "contract: values";
    only_the_guilty_is_held(
        "bad-date",
        rule,
        "field \"date\" is 2025-02-30, which is no day",
    )
    .await;
    only_the_guilty_is_held("nan", rule, "field \"ratio\" is NaN").await;
    only_the_guilty_is_held("twice", rule, "field \"client\" assigned twice").await;
}

#[tokio::test]
async fn a_flooded_log_costs_lines_not_verdicts() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let verdicts = plugin
        .describe(&assets(&["/a/flood.tif", "/a/1.tif"]))
        .await
        .unwrap();
    assert!(ready(&verdicts[0]).fields.is_empty());
    assert_eq!(ready(&verdicts[1]).fields.len(), 1);
}

#[tokio::test]
async fn a_plugin_that_fails_on_every_asset_holds_every_asset() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let paths: Vec<String> = (0..300).map(|n| format!("/a/trap-{n}.tif")).collect();
    let batch: Vec<_> = paths.iter().map(|path| asset(path)).collect();
    let verdicts = plugin.describe(&batch).await.unwrap();
    assert_eq!(verdicts.len(), 300);
    for (path, verdict) in paths.iter().zip(&verdicts) {
        assert!(held(verdict).0.contains(path.as_str()));
    }
}

#[tokio::test]
async fn a_search_that_takes_too_long_holds_what_is_unsettled() {
    let options = HostOptions {
        search_wall_clock: std::time::Duration::ZERO,
        ..small()
    };
    let host = PluginHost::new(options).unwrap();
    let plugin = host.load(misbehaving(), load_options()).unwrap();
    let verdicts = plugin
        .describe(&assets(&["/a/trap.tif", "/a/1.tif"]))
        .await
        .unwrap();
    assert!(
        verdicts
            .iter()
            .all(|verdict| held(verdict).1 == "limit: search")
    );
}

#[tokio::test]
async fn the_wall_clock_ends_what_fuel_does_not() {
    let options = HostOptions {
        fuel_per_asset: u64::MAX / 1_000,
        wall_clock: std::time::Duration::from_millis(200),
        ..small()
    };
    let host = PluginHost::new(options).unwrap();
    let plugin = host.load(misbehaving(), load_options()).unwrap();
    let started = std::time::Instant::now();
    let verdicts = plugin.describe(&assets(&["/a/spin.tif"])).await.unwrap();
    assert_eq!(held(&verdicts[0]).1, "limit: wall clock");
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn more_batches_than_places_wait_for_their_turn() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let plugin = plugin.clone();
            tokio::spawn(async move { plugin.describe(&assets(&[&format!("/{n}")])).await })
        })
        .collect();
    for task in tasks {
        ready(&task.await.unwrap().unwrap()[0]);
    }
}

#[tokio::test]
async fn an_empty_list_is_answered_by_an_empty_list() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    assert!(plugin.describe(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn today_is_the_day_that_the_run_was_given_and_part_of_the_identity() {
    let host = PluginHost::new(small()).unwrap();
    let first = host.load(misbehaving(), load_options()).unwrap();
    let verdicts = first.describe(&assets(&["/a/today.tif"])).await.unwrap();
    assert_eq!(
        ready(&verdicts[0]).fields[0].value,
        Value::Date(date(2026, 3, 4))
    );
    let next = host
        .load(misbehaving(), LoadOptions::new(date(2026, 3, 5)))
        .unwrap();
    assert_ne!(
        first.identity().config_digest,
        next.identity().config_digest
    );
}

#[test]
fn a_refused_configuration_is_the_operators_to_correct() {
    let error = load(misbehaving(), json!({"configure": "refuse"})).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error
            .to_string()
            .contains("key \"configure\": told to refuse"),
        "{error}"
    );
}

#[test]
fn a_guest_that_fails_while_configured_is_not_loaded() {
    let error = load(misbehaving(), json!({"configure": "trap"})).unwrap_err();
    assert_eq!(error.kind(), Kind::Plugin);
    assert!(
        error.to_string().contains("told to trap while configured"),
        "{error}"
    );
    let error = load(misbehaving(), json!({"configure": "spin"})).unwrap_err();
    assert!(error.to_string().contains("used up the work"), "{error}");
}

#[test]
fn limits_under_which_nothing_could_run_are_refused() {
    for options in [
        HostOptions {
            memory_bytes: 1,
            ..small()
        },
        HostOptions {
            fuel_per_asset: 1,
            ..small()
        },
        HostOptions {
            output_bytes: 1,
            ..small()
        },
        HostOptions {
            instances: 0,
            ..small()
        },
        HostOptions {
            wall_clock: std::time::Duration::ZERO,
            ..small()
        },
    ] {
        assert_eq!(PluginHost::new(options).unwrap_err().kind(), Kind::Config);
    }
}

#[test]
fn a_configuration_that_is_no_table_or_too_long_is_refused() {
    let error = load(misbehaving(), json!(["a"])).unwrap_err();
    assert!(error.to_string().contains("not a table"), "{error}");
    let error = load(misbehaving(), json!({"a": "x".repeat(1 << 20)})).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
}
