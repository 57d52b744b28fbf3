//! Who we are, what `doctor` is told, and how refusals read.

use serde_json::{Value, json};
use windlass_core::{CheckItem, Endpoint, Kind, Secret};

use super::{Tenant, asset, bytes, connect, marked, ok, page, profile, refusal};
use crate::{CelumEndpoint, CelumOptions, CelumProfile, ChecksumRule, Credential};

async fn check(tenant: &std::sync::Arc<Tenant>, profile: CelumProfile) -> Vec<CheckItem> {
    connect(tenant, profile).await.check().await.unwrap()
}

fn item<'a>(items: &'a [CheckItem], subject: &str) -> &'a CheckItem {
    items.iter().find(|item| item.subject == subject).unwrap()
}

fn formats(original: Value) -> Value {
    json!([{"id": 7, "key": "orig", "name": {}, "description": {}, "original": original}, {"id": 8}])
}

#[tokio::test]
async fn the_key_goes_bare_or_behind_its_prefix() {
    let tenant = Tenant::new();
    connect(&tenant, profile()).await;
    connect(
        &tenant,
        CelumProfile {
            api_key_prefix: Some("Bearer".to_owned()),
            ..profile()
        },
    )
    .await;
    let asked = tenant.sent("GET users/me");
    assert_eq!(asked[0].headers["x-api-key"], "key-1");
    assert_eq!(asked[1].headers["x-api-key"], "Bearer key-1");
}

#[tokio::test]
async fn basic_credentials_are_sent_as_such() {
    let tenant = Tenant::new();
    let options = CelumOptions {
        credential: Credential::Basic {
            user: "ann".to_owned(),
            password: Secret::new("pw".to_owned()),
        },
        ..CelumOptions::new(
            "dam",
            super::ROOT.parse().unwrap(),
            Secret::new(String::new()),
            profile(),
        )
    };
    let transport = super::network(&tenant);
    CelumEndpoint::connect(transport, options).await.unwrap();
    assert_eq!(tenant.seen()[0].headers["authorization"], "Basic YW5uOnB3");
}

#[tokio::test]
async fn a_wrong_key_is_said_at_once_and_asked_once() {
    let tenant = Tenant::new();
    tenant.on(
        "GET users/me",
        [refusal(
            401,
            json!({"code": "AUTH", "message": "Unknown key"}),
        )],
    );
    let transport = super::network(&tenant);
    let options = CelumOptions::new(
        "dam",
        super::ROOT.parse().unwrap(),
        Secret::new("no".to_owned()),
        profile(),
    );
    let error = CelumEndpoint::connect(transport, options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.hint().unwrap().contains("API key"), "{error:?}");
    assert_eq!(tenant.seen().len(), 1);
}

#[tokio::test]
async fn a_healthy_tenant_passes_every_check() {
    let tenant = Tenant::new();
    tenant
        .on(
            "GET version",
            [ok(json!({"releaseVersion": "6.19.1", "buildNumber": "77"}))],
        )
        .on("GET download-formats", [ok(formats(json!(true)))]);
    let items = check(&tenant, marked()).await;
    assert!(
        items.iter().all(|item| item.ok && item.hint.is_none()),
        "{items:#?}"
    );
    assert!(item(&items, "release").finding.contains("6.19.1"));
    assert!(item(&items, "credential").finding.contains("windlass"));
    assert!(item(&items, "download format").finding.contains('7'));
}

#[tokio::test]
async fn what_a_tenant_lacks_is_an_item_with_a_hint() {
    let tenant = Tenant::new();
    tenant
        .on("GET version", [refusal(404, json!({}))])
        .on(
            "GET collection-types",
            [ok(json!([{"id": 2, "permissionDefining": null}]))],
        )
        .on("GET download-formats", [ok(formats(Value::Null))]);
    let profile = CelumProfile {
        correlation_field: Some("nowhere".to_owned()),
        ..profile()
    };
    let items = check(&tenant, profile).await;
    for subject in [
        "release",
        "collections",
        "correlation field",
        "download format",
    ] {
        let item = item(&items, subject);
        assert!(!item.ok && item.hint.is_some(), "{item:?}");
    }
}

#[tokio::test]
async fn a_correlation_field_must_be_able_to_carry_a_mark() {
    for (field, why) in [
        ("sku", "shorter"),
        ("pages", "not a text"),
        ("mark", "is there"),
    ] {
        let tenant = Tenant::new();
        tenant
            .on("GET version", [ok(json!({}))])
            .on("GET download-formats", [ok(formats(json!(true)))]);
        let profile = CelumProfile {
            correlation_field: Some(field.to_owned()),
            ..profile()
        };
        let items = check(&tenant, profile).await;
        let item = item(&items, "correlation field");
        assert!(item.finding.contains(why), "{item:?}");
        assert_eq!(item.ok, field == "mark");
    }
}

#[tokio::test]
async fn the_checksum_is_found_out_from_the_smallest_asset() {
    let tenant = Tenant::new();
    let mut small = asset(9, 1, "small.txt", b"twelve bytes");
    small["currentVersion"]["fileChecksum"] = json!(
        super::Checksum {
            algorithm: crate::Algorithm::Sha1,
            encoding: crate::Encoding::Base64,
        }
        .of(b"twelve bytes")
    );
    tenant
        .on(
            "POST assets/search",
            [ok(page(vec![asset(8, 1, "large.txt", &[1; 5000]), small]))],
        )
        .on("GET download-formats", [ok(formats(json!(true)))])
        .on(
            "GET assets/9/download",
            [ok(
                json!({"url": "https://down.example/x?t=1", "filename": "small.txt"}),
            )],
        )
        .on("GET https://down.example/x", [bytes(200, b"twelve bytes")]);
    let endpoint = connect(
        &tenant,
        CelumProfile {
            checksum: ChecksumRule::Uncalibrated,
            ..profile()
        },
    )
    .await;
    let found = endpoint.calibrate().await.unwrap().unwrap();
    assert_eq!(
        (found.algorithm, found.encoding),
        (crate::Algorithm::Sha1, crate::Encoding::Base64)
    );
    // It asks for the format that is said to be the original, and shows its key to nobody else.
    assert!(
        tenant.sent("GET assets/9/download")[0]
            .query
            .contains("downloadFormatId=7")
    );
    let download = &tenant.sent("GET https://down.example/x")[0];
    assert!(!download.headers.contains_key("x-api-key"));
    let asked = tenant.seen().len();
    assert_eq!(endpoint.calibrate().await.unwrap(), Some(found));
    assert_eq!(tenant.seen().len(), asked, "it is found out once");
}

#[tokio::test]
async fn a_checksum_that_is_none_of_the_known_stays_unknown() {
    let tenant = Tenant::new();
    let mut odd = asset(9, 1, "small.txt", b"twelve bytes");
    odd["currentVersion"]["fileChecksum"] = json!("deadbeef");
    tenant
        .on("POST assets/search", [ok(page(vec![odd]))])
        .on("GET download-formats", [ok(json!([]))])
        .on(
            "GET assets/9/download",
            [ok(
                json!({"url": "https://down.example/x", "filename": "s"}),
            )],
        )
        .on("GET https://down.example/x", [bytes(200, b"twelve bytes")]);
    let endpoint = connect(
        &tenant,
        CelumProfile {
            checksum: ChecksumRule::Uncalibrated,
            ..profile()
        },
    )
    .await;
    assert_eq!(endpoint.calibrate().await.unwrap(), None);
    assert!(
        tenant.sent("GET assets/9/download")[0]
            .query
            .contains("downloadFormatId=1"),
        "1 is the fallback"
    );
}

#[tokio::test]
async fn a_tenant_that_lets_nobody_search_is_an_item_and_no_failure_of_the_check() {
    let tenant = Tenant::new();
    tenant
        .on("GET version", [ok(json!({"version": "6.20"}))])
        .on("GET download-formats", [ok(formats(json!(true)))])
        .on(
            "POST assets/search",
            [refusal(403, json!({"code": "NO", "message": "no search"}))],
        );
    let unknown = CelumProfile {
        checksum: ChecksumRule::Uncalibrated,
        ..profile()
    };
    let items = check(&tenant, unknown).await;
    let item = item(&items, "checksum");
    assert!(
        !item.ok && item.finding.contains("no search") && item.hint.is_some(),
        "{item:?}"
    );
}
