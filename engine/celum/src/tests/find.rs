//! After a lost answer: what is taken for ours, and what is not.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_core::{
    AssetId, Chunk, ContentHash, Correlation, Destination, Evidence, Expected, Kind, Placed, Sink,
};

use super::{
    Act, Tenant, asset, bytes, connect, draft, mark, marked, new_asset, ok, page, profile, refusal,
    with_values,
};
use crate::CelumProfile;

const CONTENT: &[u8] = b"all the bytes of a picture";
const OTHER: &[u8] = b"other bytes, equally long!";

fn expected() -> Expected {
    assert_eq!(CONTENT.len(), OTHER.len());
    Expected {
        size: CONTENT.len() as u64,
        content_hash: Some(ContentHash::of(CONTENT)),
        blake3: None,
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
    let marking = "PATCH assets/55";
    let others = tenant
        .writes()
        .into_iter()
        .filter(|write| *write != marking);
    assert_eq!(others.count(), 0, "{:?}", tenant.writes());
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
async fn another_mark_is_not_ours_and_ours_is_whatever_people_call_it() {
    for other in [candidate(1, Some("0123")), candidate(1, None)] {
        let tenant = holding(vec![other], CONTENT);
        assert_eq!(
            find(&tenant, marked(), &new_asset(), expected()).await,
            None
        );
    }
    let mut renamed = candidate(1, Some(mark().as_str()));
    renamed["currentVersion"]["filename"] = json!("hall-8.tif");
    let tenant = holding(vec![renamed], CONTENT);
    let found = find(&tenant, marked(), &new_asset(), expected()).await;
    assert_eq!(found.unwrap().asset.as_str(), "55");
}

#[tokio::test]
async fn a_record_with_our_mark_and_without_our_bytes_is_no_placement() {
    let mut damaged = candidate(1, Some(mark().as_str()));
    damaged["currentVersion"]["filesize"] = json!(7);
    let mut empty = candidate(1, Some(mark().as_str()));
    empty["currentVersion"]["fileCategory"] = json!("PLACEHOLDER");
    for record in [damaged, empty] {
        let version = record["currentVersion"].clone();
        let tenant = holding(vec![record], CONTENT);
        tenant
            .on("GET assets/55/versions", [ok(page(vec![version]))])
            .on("DELETE assets/55", [bytes(204, b"")]);
        let endpoint = connect(&tenant, marked()).await;
        let found = endpoint.find(&new_asset(), &mark(), &expected()).await;
        assert_eq!(found.unwrap(), None);
        assert_eq!(
            tenant.writes(),
            ["DELETE assets/55"],
            "it is ours to remove"
        );
    }
    // Not where it has another version, or another maker: then a person has to look.
    let newer = |id: i64| {
        let mut version = candidate(id, None)["currentVersion"].clone();
        version["filesize"] = json!(7);
        version
    };
    let mut others = candidate(2, Some(mark().as_str()));
    others["currentVersion"] = newer(2);
    let mut foreign = others.clone();
    foreign["creation"]["userId"] = json!(99);
    for (record, versions) in [
        (others, vec![newer(1), newer(2)]),
        (foreign, vec![newer(2)]),
    ] {
        let tenant = holding(vec![record], CONTENT);
        tenant.on("GET assets/55/versions", [ok(page(versions))]);
        let endpoint = connect(&tenant, marked()).await;
        let error = endpoint
            .find(&new_asset(), &mark(), &expected())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(tenant.writes().is_empty());
    }
}

#[tokio::test]
async fn an_asset_with_our_mark_is_ours_although_somebody_added_a_version() {
    let mut now = candidate(2, Some(mark().as_str()));
    now["currentVersion"]["filesize"] = json!(7);
    let versions = vec![
        candidate(1, None)["currentVersion"].clone(),
        now["currentVersion"].clone(),
    ];
    let tenant = holding(vec![now], CONTENT);
    tenant.on("GET assets/55/versions", [ok(page(versions))]);
    let found = find(&tenant, marked(), &new_asset(), expected()).await;
    assert_eq!(found.unwrap().revision.as_str(), "1");
}

#[tokio::test]
async fn a_likeness_is_searched_for_where_many_assets_are_newer() {
    let tenant = holding(vec![], CONTENT);
    tenant.on("POST assets/search", [ok(page(vec![candidate(1, None)]))]);
    let found = find(&tenant, profile(), &new_asset(), expected()).await;
    assert_eq!(found.unwrap().evidence, Evidence::E3);
    let asked = tenant.sent("POST assets/search")[0].json();
    let filters = &asked["filter"]["filters"];
    assert_eq!(filters[0]["values"], json!([4711]));
    assert_eq!(
        filters[1],
        json!({"type": "ASSET_FILE_NAME", "text": "hall-7.tif", "searchType": "phrase"})
    );
    assert_eq!(
        asked["sorting"],
        json!([{"field": "id", "order": "DESC"}]),
        "the newest first"
    );
}

/// Sends a commit whose answer is lost, so that the endpoint remembers it.
async fn lose(endpoint: &crate::CelumEndpoint) {
    let lost = super::upload::upload(endpoint, &new_asset()).await;
    assert_eq!(lost.unwrap_err().kind(), Kind::Ambiguous);
}

#[tokio::test]
async fn what_was_sent_by_this_process_is_recognised_by_its_checksum_without_reading_it() {
    let tenant = holding(vec![candidate(1, None)], OTHER);
    tenant.on("POST assets", [Act::Lost]);
    let endpoint = connect(&tenant, profile()).await;
    lose(&endpoint).await;
    let found = endpoint.find(&new_asset(), &mark(), &expected()).await;
    assert_eq!(found.unwrap().unwrap().evidence, Evidence::E2);
    let asked = tenant.sent("POST assets/search")[0].json();
    assert_eq!(
        asked["filter"]["filters"][1],
        json!({"type": "ASSET_CHECKSUM", "values": [super::MD5.of(CONTENT)]})
    );
    // The same name and size with other bytes: told apart without a download.
    let mut other = candidate(1, None);
    other["currentVersion"]["fileChecksum"] = json!(super::MD5.of(OTHER));
    tenant.on("GET assets", [ok(page(vec![other]))]);
    let found = endpoint.find(&new_asset(), &mark(), &expected()).await;
    assert_eq!(found.unwrap(), None);
    assert!(tenant.sent("GET https://down.example/55").is_empty());
}

#[tokio::test]
async fn a_twin_is_not_ours_if_it_is_older_than_our_upload_or_of_another_commit() {
    // The upload was asked for a day after the twin was made.
    let ticket = Act::Answer {
        status: 200,
        headers: vec![("date", "Mon, 02 Mar 2026 08:30:00 GMT".to_owned())],
        body: json!({"url": "https://up.example/9f", "handle": "h-1"})
            .to_string()
            .into(),
    };
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    tenant
        .on("POST upload", [ticket])
        .on("POST assets", [Act::Lost]);
    let endpoint = connect(&tenant, profile()).await;
    lose(&endpoint).await;
    let found = endpoint.find(&new_asset(), &mark(), &expected()).await;
    assert_eq!(found.unwrap(), None);
    // Nobody knows when, but another commit was answered with it.
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    tenant.on("POST assets", [refusal(201, candidate(1, None)), Act::Lost]);
    let endpoint = connect(&tenant, profile()).await;
    let twin = Correlation::derive("ingest", "studio", "id:2", "rev-1");
    let session = endpoint
        .begin(&new_asset(), CONTENT.len() as u64, &twin)
        .await
        .unwrap();
    let chunk = Chunk::new(0, CONTENT.into());
    session.append(chunk).await.unwrap();
    session.commit(&super::digests(CONTENT)).await.unwrap();
    lose(&endpoint).await;
    let found = endpoint.find(&new_asset(), &mark(), &expected()).await;
    assert_eq!(found.unwrap(), None);
    let found = endpoint.find(&new_asset(), &twin, &expected()).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn a_record_whose_file_is_missing_is_not_adopted() {
    let tenant = holding(vec![candidate(1, None)], CONTENT);
    let missing = json!({"code": "E", "message": "no", "entity": "Binary(55/1)"});
    tenant.on("GET assets/55/download", [refusal(403, missing)]);
    assert_eq!(
        find(&tenant, profile(), &new_asset(), expected()).await,
        None
    );
}

#[tokio::test]
async fn a_version_that_was_added_and_is_not_current_is_activated() {
    let destination = Destination::Version {
        asset: AssetId::new("55"),
        draft: draft(),
        replaces: None,
    };
    let versions = [1, 2, 3].map(|id| candidate(id, None)["currentVersion"].clone());
    let tenant = holding(vec![], CONTENT);
    let mut old = candidate(2, None);
    old["currentVersion"]["filesize"] = json!(7);
    tenant
        .on("GET assets/55", [ok(old)])
        .on("GET assets/55/versions", [ok(page(versions.to_vec()))])
        .on("PATCH assets/55", [ok(json!({}))]);
    let endpoint = connect(&tenant, profile()).await;
    let found = endpoint.find(&destination, &mark(), &expected()).await;
    assert_eq!(found.unwrap().unwrap().revision.as_str(), "3");
    assert_eq!(
        tenant.sent("PATCH assets/55")[0].json(),
        json!({"currentVersion": 3})
    );
    assert_eq!(
        tenant.sent("GET https://down.example/55").len(),
        1,
        "an older version of the same bytes is none of ours"
    );
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
        replaces: None,
    };
    for profile in [profile(), marked()] {
        let tenant = holding(vec![], OTHER);
        tenant.on(
            "GET assets/55",
            [ok(candidate(1, Some("the mark of the version before")))],
        );
        let only = candidate(1, None)["currentVersion"].clone();
        tenant.on("GET assets/55/versions", [ok(page(vec![only]))]);
        assert_eq!(
            find(&tenant, profile.clone(), &destination, expected()).await,
            None
        );
        // The new version is, although its mark was never written.
        let tenant = holding(vec![], CONTENT);
        let now = candidate(2, Some("the mark of the version before"));
        tenant
            .on("GET assets/55", [ok(now.clone())])
            .on("PATCH assets/55", [ok(now)]);
        let is_marked = profile.correlation_field.is_some();
        let placed = find(&tenant, profile, &destination, expected())
            .await
            .unwrap();
        assert_eq!(
            (placed.revision.as_str(), placed.evidence),
            ("2", Evidence::E3)
        );
        // From now on it does not say any more that it has the bytes of before.
        let patches = tenant.sent("PATCH assets/55");
        assert_eq!(patches.len(), usize::from(is_marked));
        for patch in patches {
            let values = &patch.json()["informationFieldValues"];
            assert_eq!(values[0]["value"]["value"], mark().as_str());
        }
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
    // This process sent no commit: one that crashed did, and what it sent may take as long again to take effect.
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
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
        blake3: None,
    };
    assert!(
        find(&tenant, profile(), &new_asset(), nothing)
            .await
            .is_some()
    );
    assert!(tenant.sent("GET https://down.example/55").is_empty());
}
