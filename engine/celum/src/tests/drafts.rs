//! What is found wrong with a draft before a byte moves.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use windlass_core::{AssetPath, Draft, Fault, Sink, Value};

use super::{Tenant, assigned, collection, connect, connect_with, draft, ok, page, profile};
use crate::CelumProfile;

async fn faults_with(
    tenant: &std::sync::Arc<Tenant>,
    profile: CelumProfile,
    draft: Draft,
) -> Vec<Fault> {
    let endpoint = connect(tenant, profile).await;
    let faults = endpoint.check_drafts(&[draft]).await.unwrap().remove(0);
    assert!(tenant.writes().is_empty(), "checking writes nothing");
    faults
}

async fn faults(draft: Draft) -> Vec<Fault> {
    faults_with(&Tenant::new(), profile(), draft).await
}

fn with(field: &str, value: Value) -> Draft {
    let mut draft = draft();
    draft.fields.retain(|assigned| assigned.field != field);
    draft.fields.push(assigned(field, value));
    draft
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_draft_that_fits_has_no_fault() {
    let mut draft = draft();
    let localised = BTreeMap::from([("de".to_owned(), "Halle".to_owned())]);
    draft.fields.extend([
        assigned("title", Value::LocalizedText(localised)),
        assigned("pages", Value::Number(3)),
        assigned("channel", text("Druck")),
        assigned(
            "themes",
            Value::References(names(&["spring", "Summer/Beach"])),
        ),
        assigned("shot", Value::Date("2026-02-28".parse().unwrap())),
        assigned("licensed", Value::Boolean(true)),
        assigned("licence", text("L-1")),
    ]);
    assert_eq!(faults(draft).await, []);
}

#[tokio::test]
async fn each_fault_names_its_field_and_what_to_do() {
    let nothing = "";
    let cases = [
        ("skuu", text("x"), "no such field", "\"sku\""),
        ("sku", text("SKU-12345"), "at most 8", nothing),
        ("sku", text("ABC"), "pattern", nothing),
        ("sku", Value::Number(3), "takes a text", nothing),
        ("title", text("plain"), "per language", nothing),
        ("pages", text("three"), "whole number", nothing),
        ("channel", text("Prnt"), "no option", "\"Print\""),
        (
            "channel",
            text("Television"),
            "no option",
            "Druck, Online, Print",
        ),
        (
            "themes",
            Value::References(names(&["Sprng"])),
            "no entry",
            "\"Spring\"",
        ),
        (
            "themes",
            Value::References(names(&["Beach"])),
            "several",
            "Parent/Name",
        ),
        (
            "themes",
            Value::References(names(&["Spring", "Summer", "Summer/Beach"])),
            "at most 2",
            nothing,
        ),
        (
            "keywords",
            Value::Keywords(names(&["Nightlife"])),
            "no entry",
            "tagCreate",
        ),
        (
            "licence",
            text("L-1"),
            "while \"licensed\" is true",
            "\"licensed\"",
        ),
        ("hologram", text("x"), "not known to this version", nothing),
    ];
    for (field, value, message, hint) in cases {
        let found = faults(with(field, value)).await;
        let [fault] = found.as_slice() else {
            panic!("{field}: {found:?}");
        };
        assert_eq!(fault.field.as_deref(), Some(field));
        assert!(fault.message.contains(message), "{fault:?}");
        assert!(
            fault.hint.as_deref().unwrap_or_default().contains(hint),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn the_same_entry_twice_is_one_selection() {
    let twice = Value::References(names(&["Spring", "SPRING", "Summer"]));
    assert_eq!(faults(with("themes", twice)).await, []);
}

#[tokio::test]
async fn required_fields_are_missed_by_name() {
    let mut bare = draft();
    bare.fields.clear();
    let found = faults(bare).await;
    assert_eq!(
        found.len(),
        1,
        "what a switched-off set requires is not: {found:?}"
    );
    assert_eq!(found[0].field.as_deref(), Some("sku"));
    // Switched on, its fields are asked for.
    let found = faults(with("licensed", Value::Boolean(true))).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].field.as_deref(), Some("licence"));
}

#[tokio::test]
async fn the_asset_as_a_whole_can_be_wrong() {
    let mut long = draft();
    long.name = "x".repeat(256);
    let mut typeless = draft();
    typeless.asset_type = None;
    let mut mistyped = draft();
    mistyped.asset_type = Some("packshoot".to_owned());
    let mut nowhere = draft();
    nowhere.collection = AssetPath::new("/Elsewhere");
    for (draft, message, hint) in [
        (long, "256", ""),
        (typeless, "no asset type", "asset_type"),
        (mistyped, "no asset type \"packshoot\"", "packshot"),
        (nowhere, "does not exist", "/brand"),
    ] {
        let found = faults(draft).await;
        let fault = found.iter().find(|fault| fault.field.is_none());
        let fault = fault.unwrap_or_else(|| panic!("{message}: {found:?}"));
        assert!(fault.message.contains(message), "{fault:?}");
        assert!(
            fault.hint.as_deref().unwrap_or_default().contains(hint),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_label_stands_for_its_asset_type() {
    let mut labelled = draft();
    labelled.asset_type = Some("Pack shot".to_owned());
    assert_eq!(faults(labelled).await, []);
}

#[tokio::test]
async fn a_collection_that_takes_no_uploads_is_said() {
    let tenant = Tenant::new();
    let mut tags = collection(4711, None, "Brand");
    tags["typeId"] = json!(2);
    tenant.on("GET collections", [ok(page(vec![tags]))]);
    let found = faults_with(&tenant, profile(), draft()).await;
    assert!(
        found[0].message.contains("permission-defining"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_tolerant_collection_asks_for_nothing() {
    let tenant = Tenant::new();
    let mut tolerant = collection(4711, None, "Brand");
    tolerant["validationLevel"] = json!("TOLERANT");
    tenant.on("GET collections", [ok(page(vec![tolerant]))]);
    let mut bare = draft();
    (bare.asset_type, bare.fields) = (None, Vec::new());
    assert_eq!(faults_with(&tenant, profile(), bare).await, []);
}

#[tokio::test]
async fn new_keywords_are_no_fault_where_field_and_profile_allow_them() {
    let growing = CelumProfile {
        tag_create: true,
        ..profile()
    };
    let keyword = with("keywords", Value::Keywords(names(&["Nightlife"])));
    assert_eq!(
        faults_with(&Tenant::new(), growing.clone(), keyword).await,
        []
    );
    // The other field has the same entries and does not allow new ones.
    let theme = with("themes", Value::References(names(&["Nightlife"])));
    assert_eq!(faults_with(&Tenant::new(), growing, theme).await.len(), 1);
}

#[tokio::test]
async fn a_keyword_that_is_all_but_an_entry_becomes_a_new_one_only_if_somebody_says_so() {
    let growing = CelumProfile {
        tag_create: true,
        ..profile()
    };
    let keywords = |list: &[&str]| with("keywords", Value::Keywords(names(list)));
    // Entries are Spring and Summer, among others: an accent, a blank, one letter of a longer word.
    for twin in ["Spríng", "SUM MER", "Sommer"] {
        let faults = faults_with(&Tenant::new(), growing.clone(), keywords(&[twin])).await;
        let unknown = faults[0].unknown.clone().unwrap();
        assert_eq!(unknown.name, twin);
        assert!(
            unknown.nearest.is_some() && unknown.creatable,
            "{unknown:?}"
        );
    }
    // Each unknown value is named, not only the first.
    let several = keywords(&["Spríng", "Nightlife", "Sommer"]);
    assert_eq!(faults_with(&Tenant::new(), growing, several).await.len(), 2);

    let accepted = [("keywords".to_owned(), "sommer".to_owned())];
    let tenant = Tenant::new();
    let endpoint = connect_with(&tenant, profile(), accepted.into()).await;
    let drafts = [keywords(&["Sommer"]), keywords(&["Nightlife"])];
    let faults = endpoint.check_drafts(&drafts).await.unwrap();
    // Nothing else becomes new: the profile does not say so.
    assert_eq!([faults[0].len(), faults[1].len()], [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_was_added_since_is_known_when_it_is_asked_for_later() {
    let tenant = Tenant::new();
    let endpoint = connect(&tenant, profile()).await;
    let theme = with("themes", Value::References(names(&["Autumn"])));
    assert_eq!(
        endpoint
            .check_drafts(std::slice::from_ref(&theme))
            .await
            .unwrap()[0]
            .len(),
        1
    );
    tenant.on(
        "GET collections?parentId=9000",
        [ok(page(vec![collection(9009, Some(9000), "Autumn")]))],
    );
    // At once the answer is the same without asking again; later it is looked at anew.
    assert_eq!(
        endpoint
            .check_drafts(std::slice::from_ref(&theme))
            .await
            .unwrap()[0]
            .len(),
        1
    );
    assert_eq!(tenant.sent("GET asset-types").len(), 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(endpoint.check_drafts(&[theme]).await.unwrap()[0], []);
    assert_eq!(tenant.sent("GET asset-types").len(), 2);
}
