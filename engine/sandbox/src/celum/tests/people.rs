//! What people do in the tenant while a client looks on.

use serde_json::json;
use windlass_core::Kind;

use super::{Bed, shown};
use crate::celum::Availability;

#[tokio::test]
async fn what_people_do_is_what_clients_see() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"1").await;
    let other = bed.asset("b.txt", b"1").await;
    let celum = &bed.celum;
    celum.set_field(id, "approval", &json!(1)).unwrap();
    celum
        .set_field(id, "campaignName", &json!({"de": "Messe"}))
        .unwrap();
    celum
        .set_availability(id, &Availability::Direct(false))
        .unwrap();
    celum.relate(id, "derivedFrom", other).unwrap();
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(shown(&asset, bed.field("approval")), Some(json!(1)));
    assert_eq!(
        asset["availability"],
        json!({"type": "DIRECT", "available": false})
    );
    celum.set_field(id, "approval", &json!(null)).unwrap();
    celum.lock_asset(id, "being retouched").unwrap();
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(shown(&asset, bed.field("approval")), None);
    assert_eq!(asset["lock"]["comment"], "being retouched");
    bed.patch(&format!("/assets/{id}"), json!({"name": "x"}))
        .await
        .refused(403);
    celum.delete_asset(id).unwrap();
    bed.get(&format!("/assets/{id}")).await.refused(403);
    let error = celum.delete_asset(id).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = celum.set_field(other, "nonsense", &json!(1)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
}

#[tokio::test]
async fn what_is_written_down_beside_an_asset_can_be_listed() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"1").await;
    let reference = json!({
        "descriptionKey": "mirror", "providerKey": "windlass", "instanceKey": "shop/1",
        "url": "https://x/1",
    });
    let change = json!({"externalReferences": {"op": "MODIFY", "add": [reference]}});
    bed.patch(&format!("/assets/{id}"), change).await.ok();
    let listed = bed.celum.external_references(id).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].instance.as_deref(), Some("shop/1"));
    assert_eq!(listed[0].url, "https://x/1");
    assert!(bed.celum.external_references(99).is_err());
}

#[tokio::test]
async fn a_file_that_says_so_cannot_be_rendered() {
    let bed = Bed::with("previewFailurePercent = 0\npreviewDelay = 0\nrange = true");
    let id = bed.asset("unrenderable.indd", b"1").await;
    let other = bed.asset("a.txt", b"1").await;
    bed.get(&format!("/assets/{id}/download?downloadFormatId=3"))
        .await
        .refused(400);
    let link = bed
        .get(&format!("/assets/{other}/download?downloadFormatId=3"))
        .await
        .ok();
    let url = link["url"].as_str().unwrap();
    let none = axum::body::Body::empty;
    let whole = bed.outside("GET", url, &[], none()).await;
    let part = bed
        .outside("GET", url, &[("range", "bytes=1-3")], none())
        .await;
    assert_eq!(part.status, 206);
    assert_eq!(part.bytes[..], whole.bytes[1..4]);
    let total = format!("bytes 1-3/{}", whole.bytes.len());
    assert_eq!(part.headers["content-range"], total.as_str());
}

#[tokio::test]
async fn people_add_versions_go_back_to_older_ones_and_move_assets_at_the_tenants_time() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"1").await;
    let celum = &bed.celum;
    bed.clock.advance(60);
    assert_eq!(celum.add_version(id, "b.txt", "22".into()).unwrap(), 2);
    assert_eq!(celum.current_version(id), Some(2));
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    let version = &asset["currentVersion"];
    assert_eq!(version["filename"], "b.txt");
    assert_eq!(version["creation"]["date"], "2026-03-01T10:01:00Z");
    let bytes = celum.read_content(id, 0..2).unwrap();
    assert_eq!(&bytes[..], b"22");
    let later = json!({"type": "ASSET_VERSIONED_DATE_RANGE", "from": "2026-03-01T10:00:30Z"});
    // Searches lag behind.
    bed.clock.advance(60);
    assert_eq!(bed.find(later.clone()).await, [id]);
    // An older version is current again, and no search by dates of versions finds it.
    celum.activate_version(id, 1).unwrap();
    assert_eq!(celum.current_version(id), Some(1));
    bed.clock.advance(60);
    assert!(bed.find(later).await.is_empty());
    let done = "Brand Library/Inbox/Done";
    celum.move_asset(id, "Brand Library/Inbox", done).unwrap();
    assert_eq!(celum.assets()[0].parents, [done]);
    celum.rename_asset(id, "other").unwrap();
    celum.lock_asset(id, "why").unwrap();
    celum.unlock_asset(id).unwrap();
    assert_eq!(celum.lock_comments(id), ["why"]);
    assert!(!celum.assets()[0].locked);
    let error = celum.activate_version(id, 9).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = celum.move_asset(id, "Nowhere", done).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let error = celum.add_version(99, "b.txt", "22".into()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
