//! Versions added to what is there, and the care with which anything is taken away.

use serde_json::{Value, json};
use windlass_core::{AssetId, Destination, Evidence, Kind, Placed, Sink, Value as FieldValue};

use super::upload::{CONTENT, refused, upload};
use super::{
    Tenant, asset, assigned, bytes, connect, draft, marked, ok, page, profile, refusal, stamp,
    with_values,
};
use crate::CelumProfile;

fn version_of_55() -> Destination {
    Destination::Version {
        asset: AssetId::new("55"),
        draft: draft(),
        replaces: None,
    }
}

/// An asset as reads have it, with what the draft asks for.
fn current(version: i64, content: &[u8], sku: &str) -> Value {
    let mut value = asset(55, version, "hall-7.tif", content);
    value["name"] = json!("Hall 7");
    with_values(value, &[(643, "TEXT", json!(sku))])
}

#[tokio::test]
async fn a_version_becomes_current_and_only_then_its_metadata_follows() {
    let tenant = Tenant::new();
    tenant
        .on(
            "POST assets/55/versions",
            [refusal(
                201,
                asset(55, 2, "hall-7.tif", CONTENT)["currentVersion"].clone(),
            )],
        )
        .on(
            "GET assets/55",
            [
                current(1, b"old", "SKU-1"),
                current(1, b"old", "SKU-1"),
                current(2, CONTENT, "SKU-0"),
            ]
            .map(ok),
        )
        .on("PATCH assets/55", [ok(current(2, CONTENT, "SKU-1"))]);
    let endpoint = connect(
        &tenant,
        CelumProfile {
            auto_activate: false,
            ..marked()
        },
    )
    .await;
    let placed = upload(&endpoint, &version_of_55()).await.unwrap();
    assert_eq!(
        (placed.revision.as_str(), placed.evidence),
        ("2", Evidence::E2)
    );
    let version = tenant.sent("POST assets/55/versions")[0].json();
    assert_eq!(
        version,
        json!({"filename": "hall-7.tif", "uploadHandle": "h-5c1e"})
    );
    let patches: Vec<Value> = tenant
        .sent("PATCH assets/55")
        .iter()
        .map(|seen| seen.json())
        .collect();
    assert_eq!(
        patches,
        [
            json!({"currentVersion": 2}),
            json!({"informationFieldValues": [
                {"id": 643, "type": "TEXT", "value": {"op": "SET", "value": "SKU-1"}},
            ]}),
            json!({"informationFieldValues": [
                {"id": 644, "type": "TEXT", "value": {"op": "SET", "value": stamp(CONTENT, &draft())}},
            ]}),
        ]
    );
}

#[tokio::test]
async fn a_version_with_other_bytes_goes_and_the_asset_stays() {
    let tenant = Tenant::new();
    let mut wrong = current(2, CONTENT, "SKU-1");
    wrong["currentVersion"]["filesize"] = json!(7);
    tenant
        .on(
            "POST assets/55/versions",
            [refusal(201, wrong["currentVersion"].clone())],
        )
        .on(
            "GET assets/55",
            [ok(current(1, b"old", "SKU-1")), ok(wrong)],
        )
        .on("PATCH assets/55", [ok(current(1, b"old", "SKU-1"))])
        .on("DELETE assets/55/versions/2", [bytes(204, b"")]);
    let error = refused(&tenant, profile(), &version_of_55()).await;
    assert_eq!(error.kind(), Kind::Integrity);
    let writes = tenant.writes();
    assert_eq!(
        writes[writes.len() - 2..],
        ["PATCH assets/55", "DELETE assets/55/versions/2"]
    );
    assert_eq!(
        tenant.sent("PATCH assets/55")[0].json(),
        json!({"currentVersion": 1})
    );
}

#[tokio::test]
async fn a_draft_with_faults_is_refused_before_a_version_is_added() {
    let tenant = Tenant::new();
    tenant.on("GET assets/55", [ok(current(1, b"old", "SKU-1"))]);
    let mut wrong = draft();
    wrong
        .fields
        .push(assigned("channel", FieldValue::Text("Radio".to_owned())));
    let destination = Destination::Version {
        asset: AssetId::new("55"),
        draft: wrong,
        replaces: None,
    };
    let error = refused(&tenant, profile(), &destination).await;
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.message().contains("\"channel\""), "{error:?}");
    assert!(tenant.sent("POST assets/55/versions").is_empty());
}

#[tokio::test]
async fn removal_takes_an_asset_only_where_its_version_is_certainly_the_only_one() {
    let placed = Placed {
        asset: AssetId::new("55"),
        revision: windlass_core::Revision::new("2"),
        size: 3,
        content_hash: None,
        evidence: Evidence::E0,
    };
    let version = |id: i64| current(id, b"new", "SKU-1")["currentVersion"].clone();
    let cases = [
        (ok(page(vec![version(2)])), vec!["DELETE assets/55"], true),
        (
            ok(page(vec![version(1), version(2)])),
            vec!["PATCH assets/55", "DELETE assets/55/versions/2"],
            true,
        ),
        // Hidden, contradictory: whoever does not know does not delete.
        (
            refusal(
                403,
                json!({"code": "E", "message": "no", "entity": "Asset(55)"}),
            ),
            vec![],
            false,
        ),
        (ok(page(vec![])), vec![], false),
    ];
    for (versions, writes, removed) in cases {
        let tenant = Tenant::new();
        tenant
            .on("GET assets/55", [ok(current(2, b"new", "SKU-1"))])
            .on("GET assets/55/versions", [versions])
            .on("PATCH assets/55", [ok(current(1, b"old", "SKU-1"))])
            .on("DELETE assets/55", [bytes(204, b"")])
            .on("DELETE assets/55/versions/2", [bytes(204, b"")]);
        let endpoint = connect(&tenant, profile()).await;
        assert_eq!(endpoint.remove(&placed).await.is_ok(), removed);
        assert_eq!(tenant.writes(), writes);
    }
    // Another version by now, or nothing: left alone.
    for now in [ok(current(3, b"newer", "SKU-1")), refusal(404, json!({}))] {
        let tenant = Tenant::new();
        tenant.on("GET assets/55", [now]);
        connect(&tenant, profile())
            .await
            .remove(&placed)
            .await
            .unwrap();
        assert!(tenant.writes().is_empty());
    }
}
