//! Listings, lookups, tags and ranged reads.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use windlass_core::{
    Asset, AssetId, AssetPath, Change, ContentHash, Cursor, Endpoint, Kind, Readable, Revision,
    Scope, Source, Status,
};

use super::{Act, ID, REV, Script, conflict, connect, file, json_ok, tagged_file};

const BYTES: &[u8] = b"0123456789";
const DOWNLOAD: &str = "content.dropboxapi.com/2/files/download";

fn asset() -> Asset {
    Asset {
        id: AssetId::new(ID),
        path: AssetPath::new("/Campaign/Hero.tif"),
        revision: Revision::new(REV),
        size: BYTES.len() as u64,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

fn scope(root: &str) -> Scope {
    Scope {
        root: AssetPath::new(root),
    }
}

/// A partial answer of `range`, whose body comes in these pieces.
fn part(range: &str, rev: &str, pieces: &[&'static str]) -> Act {
    Act::Answer {
        status: 206,
        headers: vec![
            ("content-range", format!("bytes {range}/{}", BYTES.len())),
            (
                "dropbox-api-result",
                file("/Campaign/Hero.tif", rev, BYTES).to_string(),
            ),
        ],
        body: pieces
            .iter()
            .map(|piece| Bytes::from_static(piece.as_bytes()))
            .collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_recursive_and_its_entries_keep_their_order() {
    let mut cloud = tagged_file("/Campaign/Notes.paper", "0165aa10c", b"");
    cloud["is_downloadable"] = false.into();
    let mut homeless = tagged_file("/x", "0165aa10d", b"");
    homeless.as_object_mut().unwrap().remove("path_display");
    homeless.as_object_mut().unwrap().remove("path_lower");
    let script = Script::new([
        (
            "api.dropboxapi.com/2/files/list_folder",
            json_ok(json!({"cursor":"c1","has_more":true,"entries":[
                {".tag":"folder","name":"Campaign","id":"id:top","path_lower":"/campaign","path_display":"/Campaign"},
                {".tag":"folder","name":"Old","id":"id:old","path_lower":"/campaign/old","path_display":"/Campaign/Old"},
                tagged_file("/Campaign/Hero.tif", REV, BYTES),
                cloud, homeless, {".tag":"hologram"},
            ]})),
        ),
        (
            "/2/files/list_folder/continue",
            json_ok(json!({"cursor":"c2","has_more":false,"entries":[
                {".tag":"deleted","name":"old.tif","path_lower":"/campaign/old.tif","path_display":"/Campaign/old.tif"},
            ]})),
        ),
    ]);
    let dropbox = connect(&script).await;
    let first = dropbox.changes(&scope("/campaign"), None).await.unwrap();
    assert!(first.more);
    assert_eq!(first.changes.len(), 3, "{:?}", first.changes);
    assert!(matches!(&first.changes[0], Change::Folder(folder) if folder.id.as_str() == "id:old"));
    let Change::Asset(hero) = &first.changes[1] else {
        panic!("not the file");
    };
    assert_eq!(hero.id.as_str(), ID);
    assert_eq!(hero.path.as_str(), "/Campaign/Hero.tif");
    assert_eq!(hero.revision.as_str(), REV);
    assert_eq!(hero.content_hash, Some(ContentHash::of(BYTES)));
    assert_eq!(hero.modified, Some("2026-03-01T08:30:00Z".parse().unwrap()));
    assert_eq!(hero.readable, Readable::Yes);
    assert!(
        matches!(&first.changes[2], Change::Asset(asset) if asset.readable == Readable::NeedsExport)
    );
    assert_eq!(
        script.seen(0).arg(),
        json!({"path":"/campaign","recursive":true,"limit":2000})
    );

    let second = dropbox
        .changes(&scope("/campaign"), Some(&first.cursor))
        .await
        .unwrap();
    assert_eq!(
        second.changes,
        [Change::Removed(AssetPath::new("/Campaign/old.tif"))]
    );
    assert!(!second.more);
    assert_eq!(second.cursor, Cursor::new("c2"));
    assert_eq!(script.seen(1).arg(), json!({"cursor":"c1"}));
    script.done();
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_may_have_more_behind_it() {
    let script = Script::new([(
        "/2/files/list_folder",
        json_ok(json!({"cursor":"c1","entries":[],"has_more":true})),
    )]);
    let page = connect(&script)
        .await
        .changes(&scope(""), None)
        .await
        .unwrap();
    assert!(page.changes.is_empty() && page.more);
    assert_eq!(script.seen(0).arg()["path"], "");
}

#[tokio::test(start_paused = true)]
async fn a_reset_cursor_and_a_missing_scope_are_told_apart() {
    let missing = || conflict(json!({".tag":"path","path":{".tag":"not_found"}}));
    let script = Script::new([
        ("/2/files/list_folder", missing()),
        ("/2/files/list_folder/continue", missing()),
        (
            "/2/files/list_folder/continue",
            conflict(json!({".tag":"reset"})),
        ),
    ]);
    let dropbox = connect(&script).await;
    let cursor = Cursor::new("c1");
    let kinds = [
        dropbox.changes(&scope("/gone"), None).await,
        dropbox.changes(&scope("/gone"), Some(&cursor)).await,
        dropbox.changes(&scope("/gone"), Some(&cursor)).await,
    ]
    .map(|page| page.unwrap_err().kind());
    assert_eq!(kinds, [Kind::NotFound, Kind::NotFound, Kind::CursorReset]);
}

#[tokio::test(start_paused = true)]
async fn the_latest_cursor_needs_no_listing() {
    let script = Script::new([(
        "/2/files/list_folder/get_latest_cursor",
        json_ok(json!({"cursor":"now"})),
    )]);
    let cursor = connect(&script).await.latest(&scope("/a")).await.unwrap();
    assert_eq!(cursor, Cursor::new("now"));
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_carries_no_credentials() {
    const POLL: &str = "notify.dropboxapi.com/2/files/list_folder/longpoll";
    let script = Script::new([
        (POLL, json_ok(json!({"changes":false,"backoff":60}))),
        (POLL, json_ok(json!({"changes":true}))),
        (POLL, conflict(json!({".tag":"reset"}))),
    ]);
    let dropbox = connect(&script).await;
    assert!(dropbox.capabilities().rings);
    let (all, cursor) = (scope(""), Cursor::new("c1"));
    let minute = Duration::from_secs(60);
    let waited = dropbox.wait(&all, &cursor, minute).await.unwrap();
    assert_eq!((waited.changed, waited.stay_away), (false, Some(minute)));
    let waited = dropbox.wait(&all, &cursor, Duration::ZERO).await.unwrap();
    assert_eq!((waited.changed, waited.stay_away), (true, None));
    let error = dropbox.wait(&all, &cursor, minute).await.unwrap_err();
    assert_eq!(error.kind(), Kind::CursorReset);
    let seen = script.seen(0);
    assert!(!seen.headers.contains_key("authorization"));
    assert!(!seen.headers.contains_key("dropbox-api-path-root"));
    assert_eq!(seen.arg(), json!({"cursor":"c1","timeout":60}));
    assert_eq!(script.seen(1).arg()["timeout"], 30);
}

#[tokio::test(start_paused = true)]
async fn stat_knows_gone_from_forbidden() {
    let lookup = |reason: &str| conflict(json!({".tag":"path","path":{".tag":reason}}));
    let script = Script::new([
        (
            "/2/files/get_metadata",
            json_ok(tagged_file("/a.tif", REV, BYTES)),
        ),
        ("/2/files/get_metadata", lookup("not_found")),
        ("/2/files/get_metadata", lookup("restricted_content")),
    ]);
    let dropbox = connect(&script).await;
    let id = AssetId::new(ID);
    assert_eq!(dropbox.stat(&id).await.unwrap().unwrap().size, 10);
    assert_eq!(dropbox.stat(&id).await.unwrap(), None);
    let error = dropbox.stat(&id).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Restricted, Status::Permanent)
    );
    assert_eq!(script.seen(0).arg(), json!({ "path": ID }));
}

fn named(path: &str) -> Asset {
    Asset {
        path: AssetPath::new(path),
        ..asset()
    }
}

fn tags(of: &[(&str, &[&str])]) -> Value {
    let entries = of.iter().map(|(path, tags)| {
        let tags: Vec<_> = tags
            .iter()
            .map(|tag| json!({".tag":"user_generated_tag","tag_text":tag}))
            .collect();
        json!({ "path": path, "tags": tags })
    });
    json!({ "paths_to_tags": entries.collect::<Vec<_>>() })
}

#[tokio::test(start_paused = true)]
async fn one_vanished_path_does_not_hide_the_tags_of_the_others() {
    let gone = || conflict(json!({".tag":"path","path":{".tag":"not_found"}}));
    let script = Script::new([
        ("/2/files/tags/get", gone()),
        (
            "/2/files/tags/get",
            json_ok(tags(&[("/c", &["Approved", "hero"])])),
        ),
        ("/2/files/tags/get", gone()),
    ]);
    let dropbox = connect(&script).await;
    let found = dropbox.tags(&[named("/b"), named("/C")]).await.unwrap();
    assert_eq!(
        found,
        [vec![], vec!["approved".to_owned(), "hero".to_owned()]]
    );
    assert_eq!(script.seen(0).arg(), json!({"paths":["/b","/C"]}));
    script.done();
}

#[tokio::test(start_paused = true)]
async fn tags_are_asked_for_in_batches() {
    let script = Script::new([
        ("/2/files/tags/get", json_ok(tags(&[("/99", &["x"])]))),
        ("/2/files/tags/get", json_ok(tags(&[]))),
    ]);
    let assets: Vec<_> = (0..101).map(|n| named(&format!("/{n}"))).collect();
    let found = connect(&script).await.tags(&assets).await.unwrap();
    assert_eq!(found.len(), 101);
    assert_eq!(found[99], ["x"]);
    assert_eq!(script.seen(0).arg()["paths"].as_array().unwrap().len(), 100);
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_range_of_a_pinned_revision_is_appended() {
    let script = Script::new([(DOWNLOAD, part("2-6", REV, &["23", "456"]))]);
    let dropbox = connect(&script).await;
    let mut into = b"ab".to_vec();
    dropbox.read(&asset(), 2..7, &mut into).await.unwrap();
    assert_eq!(into, b"ab23456");
    let seen = script.seen(0);
    assert_eq!(seen.header_arg(), json!({"path": format!("rev:{REV}")}));
    assert_eq!(seen.headers["range"], "bytes=2-6");
    assert_eq!(seen.headers["accept-encoding"], "identity");
    assert!(!seen.headers.contains_key("content-type"));
    assert!(seen.body.is_empty());
    assert_eq!(dropbox.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_body_is_resumed_where_it_ended() {
    let script = Script::new([
        (DOWNLOAD, part("0-9", REV, &["012", ""])),
        (DOWNLOAD, Act::Lost),
        (DOWNLOAD, part("3-9", REV, &["3456"])),
        (DOWNLOAD, part("7-9", REV, &["789"])),
    ]);
    let mut into = Vec::new();
    connect(&script)
        .await
        .read(&asset(), 0..10, &mut into)
        .await
        .unwrap();
    assert_eq!(into, BYTES);
    assert_eq!(script.seen(3).headers["range"], "bytes=7-9");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn bytes_of_another_revision_are_never_mixed_in() {
    let script = Script::new([
        (DOWNLOAD, part("0-9", REV, &["012", ""])),
        (DOWNLOAD, part("3-9", "0165ffffffff", &["XXXXXXX"])),
    ]);
    let mut into = Vec::new();
    let read = connect(&script)
        .await
        .read(&asset(), 0..10, &mut into)
        .await;
    let error = read.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::SourceChanged, Status::Permanent)
    );
    assert_eq!(into, b"012");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_range_is_asked_for_again_and_then_given_up() {
    let whole = || {
        let Act::Answer { headers, body, .. } = part("0-9", REV, &["0123456789"]) else {
            panic!("it answers");
        };
        Act::Answer {
            status: 200,
            headers,
            body,
        }
    };
    let script = Script::new([
        (DOWNLOAD, part("0-4", REV, &["01234"])),
        (DOWNLOAD, whole()),
        (DOWNLOAD, part("2-4", REV, &["234"])),
    ]);
    let mut into = Vec::new();
    connect(&script)
        .await
        .read(&asset(), 2..5, &mut into)
        .await
        .unwrap();
    assert_eq!(into, b"234", "nothing of the wrong answers was taken");

    let script = Script::new((0..5).map(|_| (DOWNLOAD, part("0-4", REV, &["01234"]))));
    let error = connect(&script)
        .await
        .read(&asset(), 2..5, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Unavailable, Status::Persistent)
    );
    assert!(error.message().contains("bytes 2-4/10"), "{error}");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn more_bytes_than_asked_for_are_refused() {
    let script = Script::new([(DOWNLOAD, part("0-3", REV, &["0123", "4"]))]);
    let mut into = Vec::new();
    let read = connect(&script).await.read(&asset(), 0..4, &mut into).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Integrity);
    assert_eq!(into, b"0123");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_says_why() {
    let refused = |error| Script::new([(DOWNLOAD, conflict(error))]);
    for (error, kind) in [
        (
            json!({".tag":"path","path":{".tag":"not_found"}}),
            Kind::SourceChanged,
        ),
        (
            json!({".tag":"path","path":{".tag":"restricted_content"}}),
            Kind::Restricted,
        ),
        (json!({".tag":"unsupported_file"}), Kind::Unsupported),
    ] {
        let script = refused(error);
        let error = connect(&script)
            .await
            .read(&asset(), 0..1, &mut Vec::new())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Status::Permanent));
        assert!(error.to_string().contains("/Campaign/Hero.tif"), "{error}");
        assert!(error.to_string().contains("req-1"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_range_is_not_asked_for_and_one_outside_is_refused() {
    let script = Script::new([]);
    let dropbox = connect(&script).await;
    let mut into = Vec::new();
    dropbox.read(&asset(), 4..4, &mut into).await.unwrap();
    let empty = Asset { size: 0, ..asset() };
    dropbox.read(&empty, 0..0, &mut into).await.unwrap();
    assert!(into.is_empty());
    let error = dropbox.read(&asset(), 4..11, &mut into).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
}
