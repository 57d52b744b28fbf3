//! Renditions where a tenant behaves as no emulator does by itself.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_core::{
    Asset, AssetId, AssetPath, Endpoint, Kind, Library, Readable, Rendition, Revision, Source,
};

use super::{Act, Tenant, asset, bytes, connect, ok, page, profile, refusal};
use crate::{CelumEndpoint, CelumProfile};

const URL: &str = "GET https://down.example/web";

/// The version that is asked about.
fn version_3() -> Asset {
    Asset {
        id: AssetId::new("55"),
        path: AssetPath::new("/Brand/hall-7.tif"),
        revision: Revision::new("3"),
        size: 9,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

fn tenant() -> Arc<Tenant> {
    let tenant = Tenant::new();
    let formats = json!([
        {"id": 1, "key": "orig", "original": true},
        {"id": 7, "key": "web", "name": {"de": "Netz", "en": "Web"}},
        {"id": 8, "key": "tv", "name": "no map"},
    ]);
    tenant.on("GET download-formats", [ok(formats)]).on(
        "GET assets/55/download",
        [ok(
            json!({"url": "https://down.example/web", "filename": "hall-7.jpg"}),
        )],
    );
    tenant
}

fn answered(status: u16, headers: &[(&'static str, &str)], body: &'static [u8]) -> Act {
    Act::Answer {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: body.into(),
    }
}

/// The asset with its current version in a state.
fn in_state(version: i64, state: &str) -> Value {
    let mut asset = asset(55, version, "hall-7.tif", b"abc");
    asset["currentVersion"]["previewState"] = json!(state);
    asset
}

async fn endpoint(tenant: &Arc<Tenant>, range: bool) -> Arc<CelumEndpoint> {
    let profile = CelumProfile { range, ..profile() };
    connect(tenant, profile).await
}

#[tokio::test]
async fn renditions_are_told_with_their_labels() {
    let endpoint = endpoint(&tenant(), false).await;
    let one = |name: &str, label: &str| Rendition {
        name: name.to_owned(),
        label: label.to_owned(),
    };
    let listed = endpoint.renditions().await.unwrap();
    assert_eq!(listed, [one("web", "Web"), one("tv", "tv")]);
    let error = endpoint.render(&version_3(), "orig").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_size_is_what_a_range_says_of_the_whole() {
    let tenant = tenant();
    let part = answered(206, &[("content-range", "bytes 0-0/4711")], b"x");
    tenant.on(URL, [part]);
    let endpoint = endpoint(&tenant, true).await;
    assert!(endpoint.capabilities().range_reads);
    let web = endpoint.render(&version_3(), "web").await.unwrap();
    assert_eq!((web.revision.as_str(), web.size), ("3+web", 4711));
    assert_eq!(web.path, version_3().path);
    assert_eq!(tenant.sent(URL)[0].headers["range"], "bytes=0-0");
    let link = &tenant.sent("GET assets/55/download")[0].query;
    assert_eq!(link, "downloadFormatId=7&versionId=3");
}

#[tokio::test]
async fn the_size_is_announced_or_counted_where_there_are_no_ranges() {
    for (headers, size) in [(&[("content-length", "12")][..], 12), (&[], 7)] {
        let tenant = tenant();
        tenant.on(URL, [answered(200, headers, b"counted")]);
        let endpoint = endpoint(&tenant, false).await;
        let web = endpoint.render(&version_3(), "web").await.unwrap();
        assert_eq!(web.size, size);
        assert!(tenant.sent(URL)[0].headers.get("range").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rendition_of_an_older_version_is_waited_for_while_its_own_pictures_are_made() {
    let tenant = tenant();
    let early = || refusal(400, json!({"code": "X", "message": "not available"}));
    let url = ok(json!({"url": "https://down.example/web", "filename": "hall-7.jpg"}));
    let versions = |state: &str| {
        let version = in_state(3, state)["currentVersion"].clone();
        ok(page(vec![version]))
    };
    tenant
        .on("GET assets/55/download", [early(), early(), url])
        .on("GET assets/55", [ok(in_state(4, "SUCCEEDED"))])
        .on("GET assets/55/versions", [versions("PROCESSING")])
        .on(
            URL,
            [answered(202, &[], b""), bytes(404, b""), bytes(200, b"web")],
        );
    let endpoint = endpoint(&tenant, false).await;
    let web = endpoint.render(&version_3(), "web").await.unwrap();
    assert_eq!(web.size, 3);
    tenant
        .on("GET assets/55/download", [early()])
        .on("GET assets/55/versions", [versions("FAILED")]);
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.message().contains("not available"), "{error}");
    tenant.on("GET assets/55/versions", [ok(page(Vec::new()))]);
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.kind(), Kind::SourceChanged);
}

#[tokio::test(start_paused = true)]
async fn a_rendition_that_never_comes_is_not_waited_for_forever() {
    let tenant = tenant();
    tenant.on(URL, [answered(202, &[], b"")]);
    let endpoint = endpoint(&tenant, false).await;
    let since = tokio::time::Instant::now();
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(since.elapsed().as_secs(), 600);
    tenant.on(URL, [bytes(403, b"")]);
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.message(), "fresh download URLs are refused");
}

#[tokio::test]
async fn a_rendition_that_was_made_anew_with_another_length_is_a_changed_source() {
    let web = Asset {
        revision: Revision::new("3+web"),
        size: 3,
        ..version_3()
    };
    for range in [true, false] {
        let tenant = tenant();
        tenant.on(
            URL,
            [match range {
                true => answered(206, &[("content-range", "bytes 0-1/4")], b"we"),
                false => answered(200, &[("content-length", "4")], b"webp"),
            }],
        );
        let endpoint = endpoint(&tenant, range).await;
        let error = match range {
            true => endpoint
                .read(&web, 0..2, &mut Vec::new())
                .await
                .unwrap_err(),
            false => endpoint.open(&web).await.unwrap_err(),
        };
        assert_eq!(error.kind(), Kind::SourceChanged);
        let link = &tenant.sent("GET assets/55/download")[0].query;
        assert_eq!(link, "downloadFormatId=7&versionId=3");
    }
}

#[tokio::test]
async fn who_may_not_download_is_told_so_and_not_made_to_wait() {
    let tenant = tenant();
    let denied = refusal(403, json!({"code": "FORBIDDEN", "message": "no"}));
    tenant.on("GET assets/55/download", [denied]);
    let endpoint = endpoint(&tenant, false).await;
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let no_format = refusal(403, json!({"code": "X", "entity": "DownloadFormat(7)"}));
    tenant
        .on("GET assets/55/download", [no_format])
        .on("GET assets/55", [ok(in_state(3, "SUCCEEDED"))]);
    let error = endpoint.render(&version_3(), "web").await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
