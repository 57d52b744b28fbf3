//! After a lost answer: what is taken for ours, and what is not.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_core::{AssetId, ContentHash, Destination, Evidence, Expected, Placed, Sink};

use super::{
    Tenant, asset, bytes, connect, draft, mark, marked, new_asset, ok, page, profile, with_values,
};
use crate::CelumProfile;

const CONTENT: &[u8] = b"all the bytes of a picture";
const OTHER: &[u8] = b"other bytes, equally long!";

fn expected() -> Expected {
    assert_eq!(CONTENT.len(), OTHER.len());
    Expected {
        size: CONTENT.len() as u64,
        content_hash: Some(ContentHash::of(CONTENT)),
    }
}

/// A tenant whose newest assets are these and that gives this content to downloads.
fn holding(assets: Vec<Value>, content: &[u8]) -> std::sync::Arc<Tenant> {
    let tenant = Tenant::new();
    tenant
        .on("GET assets", [ok(page(assets))])
        .on("POST assets/search", [ok(page(vec![]))])
        .on(
            "GET download-formats",
            [ok(json!([{"id": 1, "original": true}]))],
        )
        .on(
            "GET assets/55/download",
            [ok(
                json!({"url": "https://down.example/55", "filename": "x"}),
            )],
        )
        .on("GET https://down.example/55", [bytes(200, content)]);
    tenant
}

async fn find(
    tenant: &std::sync::Arc<Tenant>,
    profile: CelumProfile,
    destination: &Destination,
    expected: Expected,
) -> Option<Placed> {
    let found = connect(tenant, profile)
        .await
        .find(destination, &mark(), &expected)
        .await
        .unwrap();
    assert!(tenant.writes().is_empty());
    found
}

fn candidate(version: i64, marked_as: Option<&str>) -> Value {
    let value = asset(55, version, "hall-7.tif", CONTENT);
    match marked_as {
        Some(text) => with_values(value, &[(644, "TEXT", json!(text))]),
        None => value,
    }
}

#[tokio::test]
async fn an_asset_with_our_mark_is_adopted_without_reading_it() {
    let tenant = holding(vec![candidate(1, Some(mark().as_str()))], OTHER);
    let placed = find(&tenant, marked(), &new_asset(), expected())
        .await
        .unwrap();
    assert_eq!(
        (placed.asset.as_str(), placed.evidence),
        ("55", Evidence::E0)
    );
    assert!(tenant.sent("GET https://down.example/55").is_empty());
    let listed = &tenant.sent("GET assets")[0].query;
    assert!(
        listed.contains("parentId=4711") && listed.contains("sort=id%2CDESC"),
        "{listed}"
    );
}

#[tokio::test]
async fn a_mark_that_the_list_does_not_show_is_searched_and_read_by_id() {
    let tenant = holding(vec![], CONTENT);
    tenant
        .on("POST assets/search", [ok(page(vec![candidate(1, None)]))])
        .on("GET assets/55", [ok(candidate(1, Some(mark().as_str())))]);
    let placed = find(&tenant, marked(), &new_asset(), expected())
        .await
        .unwrap();
    assert_eq!(placed.asset.as_str(), "55");
    let filter = &tenant.sent("POST assets/search")[0].json()["filter"];
    assert_eq!(filter["informationFieldId"], 644);
    assert_eq!(filter["text"], mark().as_str());
}

#[tokio::test]
async fn another_mark_or_another_size_or_name_is_not_ours() {
    let mut longer = candidate(1, Some(mark().as_str()));
    longer["currentVersion"]["filesize"] = json!(CONTENT.len() + 1);
    let mut renamed = candidate(1, Some(mark().as_str()));
    renamed["currentVersion"]["filename"] = json!("hall-8.tif");
    for other in [
        candidate(1, Some("0123")),
        candidate(1, None),
        longer,
        renamed,
    ] {
        let tenant = holding(vec![other], CONTENT);
        assert_eq!(
            find(&tenant, marked(), &new_asset(), expected()).await,
            None
        );
    }
}

#[tokio::test]
async fn without_a_mark_only_the_same_bytes_are_ours() {
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    let placed = find(&tenant, profile(), &new_asset(), expected())
        .await
        .unwrap();
    assert_eq!(placed.evidence, Evidence::E3, "they were read back");
    let tenant = holding(vec![candidate(1, None)], OTHER);
    assert_eq!(
        find(&tenant, profile(), &new_asset(), expected()).await,
        None
    );
    // Somebody else's is not read at all, and nobody guesses where no hash is known.
    let mut others = candidate(1, None);
    others["currentVersion"]["creation"]["userId"] = json!(99);
    let tenant = holding(vec![others], CONTENT);
    assert_eq!(
        find(&tenant, profile(), &new_asset(), expected()).await,
        None
    );
    assert!(tenant.sent("GET https://down.example/55").is_empty());
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    let unhashed = Expected {
        content_hash: None,
        ..expected()
    };
    assert_eq!(find(&tenant, profile(), &new_asset(), unhashed).await, None);
}

#[tokio::test]
async fn an_asset_type_without_the_mark_field_is_settled_by_its_bytes() {
    let mut untyped = draft();
    untyped.asset_type = None;
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    let placed = find(
        &tenant,
        marked(),
        &Destination::New { draft: untyped },
        expected(),
    )
    .await;
    assert_eq!(placed.unwrap().evidence, Evidence::E3);
}

#[tokio::test]
async fn the_version_before_of_the_same_size_is_not_taken_for_the_new_one() {
    let destination = Destination::Version {
        asset: AssetId::new("55"),
        draft: draft(),
    };
    for profile in [profile(), marked()] {
        let tenant = holding(vec![], OTHER);
        tenant.on(
            "GET assets/55",
            [ok(candidate(1, Some("the mark of the version before")))],
        );
        assert_eq!(
            find(&tenant, profile.clone(), &destination, expected()).await,
            None
        );
        // The new version is, although its mark was never written.
        let tenant = holding(vec![], CONTENT);
        tenant.on(
            "GET assets/55",
            [ok(candidate(2, Some("the mark of the version before")))],
        );
        let placed = find(&tenant, profile, &destination, expected())
            .await
            .unwrap();
        assert_eq!(
            (placed.revision.as_str(), placed.evidence),
            ("2", Evidence::E3)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_there_is_an_answer_only_once_lists_had_their_time() {
    let tenant = holding(vec![], CONTENT);
    tenant.on(
        "GET assets",
        [
            ok(page(vec![])),
            ok(page(vec![])),
            ok(page(vec![candidate(1, Some(mark().as_str()))])),
        ],
    );
    let patient = CelumProfile {
        index_lag: 30,
        ..marked()
    };
    assert!(
        find(&tenant, patient.clone(), &new_asset(), expected())
            .await
            .is_some()
    );
    let tenant = holding(vec![candidate(1, None)], OTHER);
    let begun = tokio::time::Instant::now();
    let unmarked = CelumProfile {
        correlation_field: None,
        ..patient
    };
    assert_eq!(
        find(&tenant, unmarked, &new_asset(), expected()).await,
        None
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert_eq!(
        tenant.sent("GET https://down.example/55").len(),
        1,
        "other bytes are read once"
    );
}

#[tokio::test]
async fn an_empty_content_is_compared_without_a_download() {
    let tenant = holding(vec![asset(55, 1, "hall-7.tif", b"")], b"");
    let nothing = Expected {
        size: 0,
        content_hash: Some(ContentHash::of(b"")),
    };
    assert!(
        find(&tenant, profile(), &new_asset(), nothing)
            .await
            .is_some()
    );
    assert!(tenant.sent("GET https://down.example/55").is_empty());
}
