//! Metadata by difference: one concern a call, and nothing where nothing differs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use windlass_core::{AssetId, AssetPath, Availability, Draft, Kind, Sink, Value as FieldValue};

use super::{
    Tenant, asset, assigned, collection, connect, draft, marked, ok, page, profile, refusal, stamp,
    with_values,
};

fn as_drafted() -> Value {
    let mut value = asset(55, 1, "hall-7.tif", b"abc");
    value["name"] = json!("Hall 7");
    with_values(value, &[(643, "TEXT", json!("SKU-1"))])
}

async fn patches(now: Value, draft: &Draft) -> Vec<Value> {
    let tenant = Tenant::new();
    tenant
        .on(
            "GET collections?parentId=4711",
            [ok(page(vec![collection(4800, Some(4711), "Fair")]))],
        )
        .on("GET assets/55", [ok(now.clone())])
        .on("PATCH assets/55", [ok(now)]);
    connect(&tenant, profile())
        .await
        .set_metadata(&AssetId::new("55"), draft)
        .await
        .unwrap();
    let sent = tenant.sent("PATCH assets/55");
    assert_eq!(sent.len(), tenant.writes().len(), "nothing else is written");
    sent.iter().map(super::Seen::json).collect()
}

#[tokio::test]
async fn an_asset_that_is_as_drafted_is_left_alone() {
    assert_eq!(patches(as_drafted(), &draft()).await, [Value::Null; 0]);
}

#[tokio::test]
async fn an_asset_that_becomes_something_else_keeps_its_stamp_and_says_so_in_it() {
    let old = stamp(b"abc", &draft());
    let mut now = asset(55, 1, "hall-7.tif", b"abc");
    now["name"] = json!("Hall 7");
    let now = with_values(
        now,
        &[(643, "TEXT", json!("SKU-0")), (644, "TEXT", json!(old))],
    );
    let mut draft = draft();
    draft.fields[0].value = FieldValue::Text("SKU-9".to_owned());
    let tenant = Tenant::new();
    tenant
        .on("GET assets/55", [ok(now.clone())])
        .on("PATCH assets/55", [ok(now)]);
    let endpoint = connect(&tenant, marked()).await;
    endpoint
        .set_metadata(&AssetId::new("55"), &draft)
        .await
        .unwrap();
    assert_ne!(stamp(b"abc", &draft), old);
    assert_eq!(
        tenant.sent("PATCH assets/55")[0].json(),
        json!({"informationFieldValues": [
            {"id": 643, "type": "TEXT", "value": {"op": "SET", "value": "SKU-9"}},
            {"id": 644, "type": "TEXT", "value": {"op": "SET", "value": stamp(b"abc", &draft)}},
        ]})
    );
}

#[tokio::test]
async fn each_concern_is_a_call_of_its_own() {
    let mut now = as_drafted();
    now["name"] = json!("Hall");
    now["typeId"] = json!(3);
    now["availability"] = json!({"type": "LUNAR"});
    let mut draft = draft();
    draft.collection = AssetPath::new("/Brand/Fair");
    draft.availability = Some(Availability::Direct { available: false });
    let title = BTreeMap::from([("de".to_owned(), "Halle 7".to_owned())]);
    draft
        .fields
        .push(assigned("title", FieldValue::LocalizedText(title)));
    assert_eq!(
        patches(now, &draft).await,
        [
            json!({"name": "Hall 7"}),
            json!({"typeId": 12}),
            json!({"informationFieldValues": [
                {"id": 650, "type": "LOCALIZED_TEXT", "value": {"op": "MODIFY", "set": {"de": "Halle 7"}}},
            ]}),
            json!({"parentIds": {"op": "MODIFY", "add": [4800]}}),
            json!({"availability": {"type": "DIRECT", "available": false}}),
        ]
    );
}

#[tokio::test]
async fn a_required_field_that_the_asset_has_need_not_be_drafted() {
    let mut renamed = draft();
    renamed.name = "Hall 7, final".to_owned();
    renamed.fields.clear();
    assert_eq!(
        patches(as_drafted(), &renamed).await,
        [json!({"name": "Hall 7, final"})]
    );
    // Nor the switch of a set, nor the asset's type.
    let mut licensed = draft();
    licensed.asset_type = None;
    licensed.fields = vec![assigned("licence", FieldValue::Text("L-2".to_owned()))];
    let now = with_values(
        as_drafted(),
        &[(643, "TEXT", json!("SKU-1")), (670, "BOOLEAN", json!(true))],
    );
    let change = json!({"id": 671, "type": "TEXT", "value": {"op": "SET", "value": "L-2"}});
    assert_eq!(
        patches(now, &licensed).await,
        [json!({"informationFieldValues": [change]})]
    );
}

#[tokio::test]
async fn a_refused_change_names_the_field_and_the_asset() {
    let tenant = Tenant::new();
    let mut now = as_drafted();
    now["informationFieldValueSets"] = json!([]);
    tenant
        .on("GET assets/55", [ok(now)])
        .on("PATCH assets/55", [refusal(400, json!({"code": "VALIDATION", "message": "no", "faults":
            [{"type": "INFORMATION_FIELD", "code": "PATTERN", "message": "No match", "informationFieldId": 643}]}))]);
    let endpoint = connect(&tenant, profile()).await;
    let error = endpoint
        .set_metadata(&AssetId::new("55"), &draft())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error.chain().contains("field \"sku\": No match") && error.chain().contains("55"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_asset_that_is_hidden_or_gone_is_not_found() {
    for absent in [
        refusal(
            403,
            json!({"code": "E", "message": "no", "entity": "Asset(55)"}),
        ),
        refusal(
            400,
            json!({"code": "E", "message": "no", "entity": "Asset(55)"}),
        ),
        refusal(404, json!({})),
    ] {
        let tenant = Tenant::new();
        tenant.on("GET assets/55", [absent]);
        let endpoint = connect(&tenant, profile()).await;
        let error = endpoint
            .set_metadata(&AssetId::new("55"), &draft())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    }
    // Without an entity it is a missing right, not a missing asset.
    let tenant = Tenant::new();
    tenant.on(
        "GET assets/55",
        [refusal(403, json!({"code": "NO", "message": "no"}))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let error = endpoint
        .set_metadata(&AssetId::new("55"), &draft())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
}
