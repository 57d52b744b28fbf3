//! Relations between assets, and their types.

use serde_json::{Value, json};

use super::{Bed, ids};

fn wish(source: u64, target: u64) -> Value {
    json!({"relationTypeId": 1, "sourceAssetId": source, "targetAssetId": target})
}

#[tokio::test]
async fn relation_types_are_listed_by_name() {
    let bed = Bed::new();
    let types = bed.get("/relation-types").await.ok();
    let names: Vec<&str> = types
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["derivedFrom", "source", "supportingDocument"]);
    assert!(types[0].get("informationFieldSets").is_none());
    let one = bed.get("/relation-types/3").await.ok();
    assert_eq!(one["informationFieldSets"], json!([]));
    bed.get("/relation-types/9").await.refused(403);
}

#[tokio::test]
async fn a_relation_is_found_from_both_ends_and_goes_with_either() {
    let bed = Bed::new();
    let [cut, master, other] = [
        bed.asset("cut.mp4", b"1").await,
        bed.asset("master.mov", b"2").await,
        bed.asset("other.mov", b"3").await,
    ];
    let made = bed.post("/relations", wish(cut, master)).await;
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_u64().unwrap();
    assert_eq!(made.json()["sourceAsset"]["id"], cut);
    assert_eq!(made.json()["targetAsset"]["id"], master);
    bed.post("/relations", wish(other, cut)).await.ok();
    let listed = async |query: &str| {
        let found = bed.get(&format!("/relations?assetId={cut}{query}")).await;
        ids(&found.ok()).len()
    };
    assert_eq!(listed("").await, 2);
    assert_eq!(listed("&direction=SOURCE_TO_TARGET").await, 1);
    assert_eq!(listed("&typeId=2").await, 0);
    let first = bed
        .get(&format!("/relations?assetId={cut}&size=1"))
        .await
        .ok();
    assert_eq!(first["hasNext"], true);
    bed.get("/relations").await.refused(400);
    bed.delete(&format!("/assets/{master}")).await.ok();
    assert_eq!(listed("").await, 1);
    bed.get(&format!("/relations/{id}")).await.refused(403);
}

#[tokio::test]
async fn a_relation_that_leads_nowhere_is_refused() {
    let bed = Bed::new();
    let asset = bed.asset("a.txt", b"1").await;
    let other = bed.asset("b.txt", b"1").await;
    bed.post("/relations", wish(asset, 99)).await.refused(403);
    bed.post("/relations", wish(asset, asset))
        .await
        .refused(400);
    let mut untyped = wish(asset, other);
    untyped["relationTypeId"] = json!(9);
    bed.post("/relations", untyped).await.refused(403);
    let mut pinned = wish(asset, other);
    pinned["sourceAssetVersionId"] = json!(2);
    bed.post("/relations", pinned).await.refused(403);
}

#[tokio::test]
async fn a_pinned_relation_is_outdated_once_there_is_a_newer_version() {
    let bed = Bed::new();
    let asset = bed.asset("a.txt", b"1").await;
    let other = bed.asset("b.txt", b"1").await;
    let mut pinned = wish(asset, other);
    pinned["sourceAssetVersionId"] = json!(1);
    let made = bed.post("/relations", pinned).await.ok();
    assert_eq!(made["status"], "SYNCED");
    let handle = bed.upload("a.txt", b"2").await;
    let version = json!({"filename": "a.txt", "uploadHandle": handle});
    bed.post(&format!("/assets/{asset}/versions"), version)
        .await
        .ok();
    let path = format!("/relations/{}", made["id"]);
    assert_eq!(bed.get(&path).await.ok()["status"], "OUTDATED");
    let moved = json!({"sourceAssetVersionId": 2});
    assert_eq!(bed.patch(&path, moved).await.ok()["status"], "SYNCED");
    bed.delete(&path).await.ok();
    bed.get(&path).await.refused(403);
}
