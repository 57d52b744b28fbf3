//! Receipts and retirements where a tenant refuses.

use serde_json::{Value, json};
use windlass_core::{AssetId, Kind, Library, Related, Retirement, Usage};

use super::{ROOT, Tenant, asset, connect, network, ok, page, profile, refusal};
use crate::{CelumEndpoint, CelumOptions};

fn usage() -> Usage {
    Usage {
        instance: "shop/1".to_owned(),
        url: "https://x/1".to_owned(),
    }
}

fn referenced(references: Value) -> Value {
    let mut asset = asset(55, 1, "hall-7.tif", b"abc");
    asset["externalReferences"] = references;
    asset
}

#[tokio::test]
async fn a_receipt_has_the_keys_of_the_options_and_leaves_others_alone() {
    let tenant = Tenant::new();
    let of = |description: &str, provider: &str, instance: Value| {
        json!({"id": 1, "description": {"key": description, "labels": {}},
            "provider": {"key": provider}, "instance": instance, "url": "https://old/1"})
    };
    let theirs = json!([
        of("webUse", "cms", json!("shop/1")),
        of("webUse", "windlass", json!("shop/2")),
        of("webUse", "windlass", Value::Null),
    ]);
    tenant
        .on("GET assets/55", [ok(referenced(theirs))])
        .on("PATCH assets/55", [ok(json!({}))]);
    let key = windlass_core::Secret::new("key-1".to_owned());
    let options = CelumOptions {
        usage_description: "webUse".to_owned(),
        ..CelumOptions::new("dam", ROOT.parse().unwrap(), key, profile())
    };
    let endpoint = CelumEndpoint::connect(network(&tenant), options)
        .await
        .unwrap();
    let id = AssetId::new("55");
    endpoint.note_usage(&id, &usage()).await.unwrap();
    let query = &tenant.sent("GET assets/55")[0].query;
    assert_eq!(query, "inclusions=externalReferences");
    let sent = tenant.sent("PATCH assets/55");
    assert_eq!(sent.len(), 1);
    let added = json!({"externalReferences": {"op": "MODIFY", "add": [{"descriptionKey": "webUse",
        "providerKey": "windlass", "instanceKey": "shop/1", "url": "https://x/1"}]}});
    assert_eq!(sent[0].json(), added);
    endpoint.forget_usage(&id, "shop/3").await.unwrap();
    assert_eq!(tenant.sent("PATCH assets/55").len(), 1);
}

#[tokio::test]
async fn a_key_that_the_tenant_does_not_have_is_not_taken_for_a_missing_asset() {
    let tenant = Tenant::new();
    let no_key = json!({"code": "X", "message": "absent", "entity": "Description(mirror)"});
    tenant
        .on("GET assets/55", [ok(referenced(json!([])))])
        .on("PATCH assets/55", [refusal(403, no_key)]);
    let endpoint = connect(&tenant, profile()).await;
    let id = AssetId::new("55");
    let error = endpoint.note_usage(&id, &usage()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("\"mirror\""), "{error:?}");
    // Now it is the asset itself that went between the read and the change.
    let gone = refusal(403, json!({"code": "X", "entity": "Asset(55)"}));
    tenant.on("GET assets/55", [ok(referenced(json!([]))), gone]);
    endpoint.note_usage(&id, &usage()).await.unwrap();
}

#[tokio::test]
async fn a_retirement_that_is_refused_or_has_no_effect_is_not_called_done() {
    let tenant = Tenant::new();
    tenant
        .on("GET assets/55", [ok(asset(55, 1, "hall-7.tif", b"abc"))])
        .on(
            "PATCH assets/55",
            [ok(json!({})), refusal(423, json!({"code": "LOCKED"}))],
        );
    let endpoint = connect(&tenant, profile()).await;
    let id = AssetId::new("55");
    let done = endpoint
        .retire(&id, &Retirement::Unavailable)
        .await
        .unwrap();
    assert!(!done);
    let error = endpoint.retire(&id, &Retirement::Unavailable).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Conflict);
    let off = json!({"availability": {"type": "DIRECT", "available": false}});
    assert_eq!(tenant.sent("PATCH assets/55")[0].json(), off);
}

#[tokio::test]
async fn relations_come_over_pages_and_their_types_are_read_again_for_a_new_one() {
    let tenant = Tenant::new();
    let relation = |id: i64, kind: i64, source: Value, target: Value| {
        json!({"id": id, "typeId": kind, "sourceAsset": source, "targetAsset": target,
            "creation": {}, "status": "BROKEN"})
    };
    let of = |id: i64| json!({"id": id, "name": "x"});
    let mut first = page(vec![
        relation(1, 5, of(55), of(60)),
        // Its target is gone or hidden.
        relation(2, 5, of(55), Value::Null),
    ]);
    first["hasNext"] = json!(true);
    let second = page(vec![relation(3, 6, of(61), of(55))]);
    tenant
        .on("GET relations?page=1", [ok(first)])
        .on("GET relations?page=2", [ok(second)])
        .on(
            "GET relation-types",
            [
                ok(json!([{"id": 5, "name": "source"}])),
                ok(json!([{"id": 5, "name": "source"}, {"id": 6, "name": "cutOf"}])),
            ],
        );
    let endpoint = connect(&tenant, profile()).await;
    let id = AssetId::new("55");
    let kinds = |related: Vec<Related>| -> Vec<(String, bool)> {
        let related = related.into_iter();
        related.map(|one| (one.kind, one.is_outgoing)).collect()
    };
    // A type that nobody sees has its id.
    let seen = kinds(endpoint.related(&id).await.unwrap());
    assert_eq!(seen, [("source".to_owned(), true), ("6".to_owned(), false)]);
    let seen = kinds(endpoint.related(&id).await.unwrap());
    assert_eq!(seen[1], ("cutOf".to_owned(), false));
    endpoint.related(&id).await.unwrap();
    assert_eq!(tenant.sent("GET relation-types").len(), 2);
}
