//! Walking and reading.

use serde_json::{Value, json};
use windlass_core::{Asset, AssetPath, Change, Cursor, Endpoint, Kind, Scope, Source};

use super::{
    Act, Tenant, asset, bytes, connect, draft, marked, ok, page, profile, refusal, stamp,
    with_values,
};
use crate::CelumProfile;

const CONTENT: &[u8] = b"all the bytes of a picture";

fn scope(root: &str) -> Scope {
    Scope {
        root: AssetPath::new(root),
    }
}

fn paths(changes: &[Change]) -> Vec<String> {
    let path = |change: &Change| match change {
        Change::Asset(asset) => asset.path.to_string(),
        other => panic!("{other:?}"),
    };
    changes.iter().map(path).collect()
}

fn more(mut page: Value) -> Value {
    page["hasNext"] = json!(true);
    page
}

#[tokio::test]
async fn a_walk_shows_stamps_and_every_collection_where_they_are_asked_for() {
    let tenant = Tenant::new();
    let ours = stamp(b"a", &draft());
    let stamped = with_values(asset(3, 1, "a.tif", b"a"), &[(644, "TEXT", json!(ours))]);
    let of_people = with_values(
        asset(4, 1, "b.tif", b"b"),
        &[(644, "TEXT", json!("see folder 12"))],
    );
    let mut linked = asset(5, 1, "c.tif", b"c");
    let mut elsewhere = linked["parentPaths"][0].clone();
    elsewhere["pathSegments"][0]["collectionName"]["en"] = json!("Archive");
    linked["parentPaths"]
        .as_array_mut()
        .unwrap()
        .push(elsewhere);
    tenant.on(
        "POST assets/search",
        [ok(page(vec![stamped, of_people, linked]))],
    );
    let endpoint = connect(&tenant, marked()).await;
    let found = endpoint.stamped(&scope("/Brand"), None).await.unwrap();
    assert_eq!(found.page.changes.len(), 3);
    let stamps: Vec<_> = found
        .stamps
        .iter()
        .map(|(id, stamp)| (id.as_str(), stamp.to_string()))
        .collect();
    assert_eq!(stamps, [("3", ours)]);
    let collections: Vec<_> = found.collections.iter().collect();
    let both = ["/Brand", "/Archive"].map(AssetPath::new).to_vec();
    assert_eq!(collections, [(&windlass_core::AssetId::new("5"), &both)]);
    let asked = tenant.sent("POST assets/search")[0].json();
    assert_eq!(
        asked["inclusions"],
        json!([{"type": "ASSET_INFORMATION_FIELDS", "ids": [644]}])
    );
    assert_eq!(
        asked["filter"]["filters"][2],
        json!({"type": "ASSET_INFORMATION_FIELD_EMPTY", "informationFieldId": 644, "empty": false})
    );
}

#[tokio::test]
async fn a_walk_goes_on_after_the_last_id_whatever_a_bound_means() {
    let tenant = Tenant::new();
    // The second page begins with the last one again: the bound is part of the range here.
    tenant.on(
        "POST assets/search",
        [
            ok(more(page(vec![
                asset(3, 1, "a.tif", b"a"),
                asset(7, 1, "b.tif", b"b"),
            ]))),
            ok(page(vec![
                asset(7, 1, "b.tif", b"b"),
                asset(9, 1, "c.tif", b"c"),
            ])),
        ],
    );
    let endpoint = connect(&tenant, profile()).await;
    let first = endpoint.changes(&scope("/Brand"), None).await.unwrap();
    assert_eq!(paths(&first.changes), ["/Brand/a.tif", "/Brand/b.tif"]);
    assert!(first.more);
    let second = endpoint
        .changes(&scope("/Brand"), Some(&first.cursor))
        .await
        .unwrap();
    assert_eq!(paths(&second.changes), ["/Brand/c.tif"]);
    assert!(!second.more);
    let asked: Vec<Value> = tenant
        .sent("POST assets/search")
        .iter()
        .map(super::Seen::json)
        .collect();
    assert_eq!(
        asked[0]["filter"]["filters"][0],
        json!({"type": "ASSET_PARENT_ID", "values": [4711], "recursive": true, "matcher": "ANY"})
    );
    assert_eq!(
        asked[0]["filter"]["filters"][1],
        json!({"type": "ASSET_ID_RANGE", "from": 0})
    );
    assert_eq!(asked[1]["filter"]["filters"][1]["from"], 7);
    assert_eq!(
        asked[0]["sorting"],
        json!([{"field": "id", "order": "ASC"}])
    );
    assert_eq!(asked[0]["pagination"], json!({"page": 1, "size": 200}));
    let over = endpoint
        .changes(&scope("/Brand"), Some(&second.cursor))
        .await
        .unwrap_err();
    assert_eq!(over.kind(), Kind::CursorReset);
    let foreign = endpoint
        .changes(&scope("/Brand"), Some(&Cursor::new("AAAB")))
        .await
        .unwrap_err();
    assert_eq!(foreign.kind(), Kind::CursorReset);
}

#[tokio::test]
async fn placeholders_have_nothing_to_read_and_are_left_out() {
    let tenant = Tenant::new();
    let mut placeholder = asset(4, 1, "Placeholder", b"");
    placeholder["currentVersion"]["fileCategory"] = json!("PLACEHOLDER");
    tenant.on(
        "POST assets/search",
        [ok(page(vec![placeholder, asset(5, 1, "a.tif", b"a")]))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let listed = endpoint.changes(&scope(""), None).await.unwrap();
    assert_eq!(paths(&listed.changes), ["/Brand/a.tif"]);
}

#[tokio::test]
async fn a_tenant_that_does_not_sort_or_does_not_end_is_noticed() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets/search",
        [ok(more(page(vec![
            asset(7, 1, "b.tif", b"b"),
            asset(3, 1, "a.tif", b"a"),
        ])))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let error = endpoint.changes(&scope(""), None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    tenant.on(
        "POST assets/search",
        [ok(more(page(vec![asset(7, 1, "b.tif", b"b")])))],
    );
    let page = endpoint
        .changes(&scope(""), Some(&Cursor::new("7")))
        .await
        .unwrap();
    assert!(page.changes.is_empty() && !page.more);
}

#[tokio::test]
async fn a_scope_that_is_not_there_is_not_found() {
    let endpoint = connect(&Tenant::new(), profile()).await;
    let error = endpoint
        .changes(&scope("/Elsewhere"), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

/// A tenant that gives this answer to a download, and the asset that is read.
async fn reading(
    acts: Vec<Act>,
    profile: CelumProfile,
) -> (
    std::sync::Arc<Tenant>,
    std::sync::Arc<crate::CelumEndpoint>,
    Asset,
) {
    let tenant = Tenant::new();
    tenant
        .on("GET assets/55", [ok(asset(55, 3, "hall-7.tif", CONTENT))])
        .on(
            "GET download-formats",
            [ok(json!([{"id": 1, "original": true}]))],
        )
        .on(
            "GET assets/55/download",
            [ok(
                json!({"url": "https://down.example/55?t=1", "filename": "x"}),
            )],
        )
        .on("GET https://down.example/55", acts);
    let endpoint = connect(&tenant, profile).await;
    let asset = endpoint
        .stat(&windlass_core::AssetId::new("55"))
        .await
        .unwrap()
        .unwrap();
    (tenant, endpoint, asset)
}

fn partial(range: &str, body: &'static [u8]) -> Act {
    Act::Answer {
        status: 206,
        headers: vec![("content-range", range.to_owned())],
        body: body.into(),
    }
}

#[tokio::test]
async fn without_ranges_a_small_content_is_read_whole_and_never_in_parts() {
    let (tenant, endpoint, asset) = reading(vec![bytes(200, CONTENT)], profile()).await;
    assert!(!endpoint.capabilities().range_reads);
    let mut into = b"before ".to_vec();
    endpoint.read(&asset, 0..26, &mut into).await.unwrap();
    assert_eq!(into, b"before all the bytes of a picture");
    let asked = &tenant.sent("GET https://down.example/55")[0];
    assert!(!asked.headers.contains_key("range") && !asked.headers.contains_key("x-api-key"));
    let link = &tenant.sent("GET assets/55/download")[0].query;
    assert!(
        link.contains("versionId=3") && link.contains("downloadFormatId=1"),
        "{link}"
    );
}

#[tokio::test]
async fn without_ranges_a_part_is_taken_out_of_a_small_content_and_refused_of_a_large_one() {
    let answers = vec![bytes(200, CONTENT)];
    let (tenant, endpoint, asset) = reading(answers, profile()).await;
    let mut into = Vec::new();
    endpoint.read(&asset, 4..13, &mut into).await.unwrap();
    assert_eq!(into, &CONTENT[4..13]);
    assert_eq!(tenant.sent("GET https://down.example/55").len(), 1);
    let large = Asset {
        size: (16 << 20) + 1,
        ..asset
    };
    let error = endpoint.read(&large, 4..13, &mut into).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(tenant.sent("GET https://down.example/55").len(), 1);
}

#[tokio::test]
async fn without_ranges_one_request_carries_a_content_from_front_to_back() {
    let (tenant, endpoint, asset) = reading(vec![bytes(200, CONTENT)], profile()).await;
    let mut stream = endpoint.open(&asset).await.unwrap();
    let mut into = Vec::new();
    for bytes in [4, 9, 0, 13] {
        stream.next(bytes, &mut into).await.unwrap();
    }
    stream.end().await.unwrap();
    assert_eq!(into, CONTENT);
    assert_eq!(tenant.sent("GET https://down.example/55").len(), 1);
    let ranged = CelumProfile {
        range: true,
        ..profile()
    };
    let (_, endpoint, asset) = reading(vec![bytes(200, CONTENT)], ranged).await;
    assert!(endpoint.capabilities().range_reads);
    assert_eq!(
        endpoint.open(&asset).await.unwrap_err().kind(),
        Kind::Unsupported
    );
}

#[tokio::test]
async fn a_content_that_shrank_or_grew_is_noticed() {
    let (_, endpoint, asset) = reading(vec![bytes(200, &CONTENT[..9])], profile()).await;
    let mut stream = endpoint.open(&asset).await.unwrap();
    let error = stream.next(26, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.message().contains("ended after 9 bytes"), "{error:?}");
    let longer = [CONTENT, b"!"].concat();
    let (_, endpoint, asset) = reading(vec![bytes(200, &longer)], profile()).await;
    let mut stream = endpoint.open(&asset).await.unwrap();
    stream.next(26, &mut Vec::new()).await.unwrap();
    let error = stream.end().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    let error = endpoint
        .read(&asset, 0..26, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error:?}");
    // What announces another length is refused before a byte of it moves.
    let announced = Act::Answer {
        status: 200,
        headers: vec![("content-length", "27".to_owned())],
        body: longer.into(),
    };
    let (_, endpoint, asset) = reading(vec![announced], profile()).await;
    assert_eq!(
        endpoint.open(&asset).await.unwrap_err().kind(),
        Kind::Integrity
    );
}

#[tokio::test]
async fn an_expired_link_is_asked_for_again_before_bytes_flow_and_a_broken_body_is_the_callers() {
    let (tenant, endpoint, asset) = reading(vec![bytes(403, b""), Act::Broken(9)], profile()).await;
    let mut stream = endpoint.open(&asset).await.unwrap();
    assert_eq!(tenant.sent("GET assets/55/download").len(), 2);
    let mut into = Vec::new();
    let error = stream.next(26, &mut into).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.is_temporary(), "whoever reads may begin again");
    // Nobody else did: what was handed out stays a prefix of one request.
    assert_eq!(tenant.sent("GET https://down.example/55").len(), 2);
}

#[tokio::test]
async fn a_whole_answer_to_a_range_of_a_large_content_is_a_mistake_in_the_profile() {
    let ranged = CelumProfile {
        range: true,
        ..profile()
    };
    let (_, endpoint, mut asset) = reading(vec![bytes(200, CONTENT)], ranged).await;
    asset.size = 17 << 20;
    let error = endpoint
        .read(&asset, 4..13, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.hint().unwrap().contains("range = false"), "{error:?}");
}

#[tokio::test]
async fn a_range_is_asked_for_where_the_profile_says_so_and_checked() {
    let ranged = CelumProfile {
        range: true,
        ..profile()
    };
    let (tenant, endpoint, asset) =
        reading(vec![partial("bytes 4-12/26", b"the bytes")], ranged.clone()).await;
    let mut into = Vec::new();
    endpoint.read(&asset, 4..13, &mut into).await.unwrap();
    assert_eq!(into, b"the bytes");
    assert_eq!(
        tenant.sent("GET https://down.example/55")[0].headers["range"],
        "bytes=4-12"
    );
    // The whole instead of the part is fine; another part is not.
    let (_, endpoint, asset) = reading(vec![bytes(200, CONTENT)], ranged.clone()).await;
    into.clear();
    endpoint.read(&asset, 4..13, &mut into).await.unwrap();
    assert_eq!(into, b"the bytes");
    let (_, endpoint, asset) =
        reading(vec![partial("bytes 0-8/26", b"all the b")], ranged.clone()).await;
    let error = endpoint
        .read(&asset, 4..13, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    let (_, endpoint, asset) = reading(vec![bytes(416, b"")], ranged).await;
    let error = endpoint
        .read(&asset, 4..13, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::SourceChanged);
}

#[tokio::test]
async fn a_link_that_expired_is_asked_for_again() {
    let (tenant, endpoint, asset) =
        reading(vec![bytes(410, b""), bytes(200, CONTENT)], profile()).await;
    let mut into = Vec::new();
    endpoint.read(&asset, 0..26, &mut into).await.unwrap();
    assert_eq!(into, CONTENT);
    assert_eq!(tenant.sent("GET assets/55/download").len(), 2);
}

#[tokio::test]
async fn a_short_body_is_not_taken_for_the_content() {
    let (_, endpoint, asset) = reading(vec![bytes(200, &CONTENT[..9])], profile()).await;
    let error = endpoint
        .read(&asset, 0..26, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let (tenant, endpoint, asset) = reading(
        vec![bytes(200, &CONTENT[..9]), bytes(200, CONTENT)],
        profile(),
    )
    .await;
    let mut into = Vec::new();
    endpoint.read(&asset, 0..26, &mut into).await.unwrap();
    assert_eq!(into, CONTENT, "nothing of the broken one is left");
    assert_eq!(tenant.sent("GET https://down.example/55").len(), 2);
}

#[tokio::test]
async fn a_version_that_is_gone_is_a_changed_source() {
    let (tenant, endpoint, asset) = reading(vec![bytes(200, CONTENT)], profile()).await;
    tenant.on(
        "GET assets/55/download",
        [refusal(
            403,
            json!({"code": "E", "message": "no", "entity": "Version(55/3)"}),
        )],
    );
    let error = endpoint
        .read(&asset, 0..26, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::SourceChanged);
}

#[tokio::test]
async fn an_asset_in_two_places_is_shown_below_the_scope() {
    let tenant = Tenant::new();
    let mut linked = asset(5, 1, "a.tif", b"a");
    linked["parentPaths"] = json!([
        {"pathSegments": [{"collectionId": 1, "collectionName": {"en": "Archive"}}]},
        {"pathSegments": [{"collectionId": 4711, "collectionName": {"fr": "Marque", "de": "Marke"}},
                          {"collectionId": 2, "collectionName": null}]},
    ]);
    tenant.on("POST assets/search", [ok(page(vec![linked]))]);
    let endpoint = connect(&tenant, profile()).await;
    let listed = endpoint.changes(&scope(""), None).await.unwrap();
    assert_eq!(paths(&listed.changes), ["/Archive/a.tif"]);
    let shown = endpoint
        .stat(&windlass_core::AssetId::new("nonsense"))
        .await
        .unwrap_err();
    assert_eq!(shown.kind(), Kind::InvalidInput);
}
