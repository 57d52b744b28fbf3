//! The shipped `folder-metadata` component, as an operator would use it.

use std::fs;
use std::sync::OnceLock;

use serde_json::json;
use windlass_core::{Hooks, Kind, Value};

use super::*;
use crate::{Table, Tables};

fn folder_metadata() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| component("folder-metadata"))
}

fn default_host() -> PluginHost {
    PluginHost::new(HostOptions {
        cache_dir: Some(cache_dir()),
        ..HostOptions::default()
    })
    .unwrap()
}

fn with(config: serde_json::Value) -> LoadOptions {
    LoadOptions {
        config,
        ..load_options()
    }
}

/// The configuration that stands beside the plugin.
fn example() -> LoadOptions {
    let text = fs::read_to_string(plugin_crate("folder-metadata").join("example.toml")).unwrap();
    with(crate::config_json(&toml::from_str(&text).unwrap()).unwrap())
}

#[tokio::test]
async fn folder_names_become_fields_with_the_rule_that_gave_them() {
    let plugin = default_host().load(folder_metadata(), example()).unwrap();
    assert_eq!(plugin.identity().name, "folder-metadata");
    assert_eq!(plugin.identity().version, "1.0.0");
    let batch = assets(&[
        "/Agency/acme/CMP-104-summer-sun/2026/final/Key Visual.tif",
        "/Agency/GLOBEX/CMP-1-x/a.tif",
        "/Elsewhere/a.mp4",
    ]);
    let verdicts = plugin.describe(&batch).await.unwrap();

    let mapping = ready(&verdicts[0]);
    let fields: Vec<_> = mapping
        .fields
        .iter()
        .map(|f| (f.field.as_str(), f.value.clone(), f.rule.as_str()))
        .collect();
    let text = |text: &str| Value::Text(text.to_owned());
    let title = Value::LocalizedText([("en".to_owned(), "Summer Sun".to_owned())].into());
    let keywords = ["Summer Sun", "Acme Corporation", "campaign"]
        .map(str::to_owned)
        .to_vec();
    let by_table = "template 1, {client} by table clients";
    let wanted = [
        ("client", text("Acme Corporation"), by_table),
        ("campaignId", text("CMP-104"), "template 1, {campaign}"),
        ("campaignTitle", title, "template 1, {title}"),
        ("year", Value::Number(2026), "template 1, {year}"),
        (
            "keywords",
            Value::Keywords(keywords),
            "template 1, {title}, {client} by table clients",
        ),
    ];
    assert_eq!(fields, wanted);
    assert_eq!(mapping.asset_type.as_deref(), Some("Image"));
    assert_eq!(mapping.name.as_deref(), Some("Acme Corporation Key Visual"));
    let collection = mapping.collection.as_ref().unwrap().as_str();
    assert_eq!(
        collection,
        "/Brand Library/Campaigns/Acme Corporation/CMP-104"
    );

    assert!(
        held(&verdicts[1])
            .0
            .contains("\"GLOBEX\" is not in the table clients")
    );
    let (reason, rule) = held(&verdicts[2]);
    assert!(
        reason.contains("the folder \"/Elsewhere\" fits no template"),
        "{reason}"
    );
    assert_eq!(rule, "unmatched folders");
}

#[tokio::test]
async fn a_table_that_is_not_in_the_configuration_is_looked_up_at_the_host() {
    let config = json!({
        "templates": ["/{client}"],
        "capture": { "client": { "table": "clients", "column": "market", "unknown": "leave-out" } },
        "field": [{ "field": "market", "value": "{client}" }],
    });
    let columns = vec!["name".to_owned(), "market".to_owned()];
    let rows = [(
        "ACME".to_owned(),
        vec!["Acme".to_owned(), "DACH".to_owned()],
    )];
    let tables = Tables::from([("clients".to_owned(), Table::of_rows(columns, rows).unwrap())]);
    let host = default_host();
    let plugin = host.load(
        folder_metadata(),
        LoadOptions {
            tables,
            ..with(config.clone())
        },
    );
    let verdicts = plugin
        .unwrap()
        .describe(&assets(&["/ACME/a.tif", "/X/a.tif"]))
        .await
        .unwrap();
    assert_eq!(
        ready(&verdicts[0]).fields[0].value,
        Value::Text("DACH".to_owned())
    );
    let without = ready(&verdicts[1]);
    assert!(without.fields.is_empty());
    assert_eq!(without.findings[0].subject, "{client}");

    let error = host.load(folder_metadata(), with(config)).unwrap_err();
    assert!(
        error.to_string().contains("there is no table \"clients\""),
        "{error}"
    );
}

#[test]
fn a_misspelt_key_is_refused_before_the_run() {
    let config = json!({ "templates": ["/{client}"], "colection": "/a" });
    let error = default_host()
        .load(folder_metadata(), with(config))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error.to_string().contains("unknown field `colection`"),
        "{error}"
    );
    assert!(!error.to_string().contains("at line"), "{error}");
}

#[tokio::test]
async fn equal_input_gives_equal_answers_and_equal_identity() {
    let batch: Vec<_> = (0..300)
        .map(|n| {
            asset(&format!(
                "/Agency/ACME/CMP-{n}-title/20{:02}/a.tif",
                n % 100
            ))
        })
        .collect();
    let first = default_host().load(folder_metadata(), example()).unwrap();
    let second = default_host().load(folder_metadata(), example()).unwrap();
    assert_eq!(first.identity(), second.identity());
    let answers = first.describe(&batch).await.unwrap();
    assert_eq!(answers, second.describe(&batch).await.unwrap());
    assert_eq!(answers.len(), 300);
    assert_eq!(
        ready(&answers[299]).fields[1].value,
        Value::Text("CMP-299".to_owned())
    );

    let mut other = example();
    other.config["unmatched"] = json!("pass");
    let other = default_host().load(folder_metadata(), other).unwrap();
    assert_ne!(
        first.identity().config_digest,
        other.identity().config_digest
    );
    assert_eq!(first.identity().digest, other.identity().digest);
}

#[test]
fn the_shipped_component_imports_nothing_but_what_it_calls() {
    let found = default_host().inspect(folder_metadata()).unwrap();
    let wanted = ["windlass:hooks/types@1.0.0", "windlass:hooks/host@1.0.0"];
    assert_eq!(found.shape.imports, wanted);
    assert_eq!(found.problem, None);
    assert!(found.size_bytes < 1 << 20, "{} bytes", found.size_bytes);
}
