//! What only a real folder can show: files that change under the reader, links, crashes.

use std::fs;
use std::os::unix::fs::symlink;

use bytes::Bytes;
use windlass_core::{
    AssetId, AssetPath, Change, Chunk, Correlation, Destination, Digests, Draft, Endpoint,
    Expected, Kind, Scope, Sink, Source,
};

use crate::{LocalEndpoint, LocalOptions};

struct Folder {
    dir: tempfile::TempDir,
    endpoint: LocalEndpoint,
}

fn folder() -> Folder {
    let dir = tempfile::tempdir().unwrap();
    let options = LocalOptions {
        name: "nas".into(),
        root: dir.path().to_owned(),
    };
    let endpoint = LocalEndpoint::open(options).unwrap();
    Folder { dir, endpoint }
}

impl Folder {
    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    async fn list(&self) -> Vec<String> {
        let scope = Scope {
            root: AssetPath::new(""),
        };
        let mut cursor = None;
        let mut paths = Vec::new();
        loop {
            let page = self
                .endpoint
                .changes(&scope, cursor.as_ref())
                .await
                .unwrap();
            for change in page.changes {
                if let Change::Asset(asset) = change {
                    paths.push(asset.path.as_str().to_owned());
                }
            }
            if !page.more {
                return paths;
            }
            cursor = Some(page.cursor);
        }
    }
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: windlass_core::Blake3::of(bytes),
        content_hash: Some(windlass_core::ContentHash::of(bytes)),
    }
}

fn new(path: &str) -> Destination {
    let path = AssetPath::new(path);
    let draft = Draft {
        name: path.name().to_owned(),
        file_name: path.name().to_owned(),
        collection: path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
    };
    Destination::New { draft }
}

fn mark() -> Correlation {
    Correlation::derive("flow", "source", "asset", "revision")
}

#[tokio::test]
async fn a_walk_over_many_pages_lists_every_file_once_in_order() {
    let folder = folder();
    let mut expected = Vec::new();
    for group in 0..37 {
        for file in 0..61 {
            let path = format!("g{group:02}/sub.{}/f{file:02}", group % 3);
            folder.write(&path, b"x");
            expected.push(format!("/{path}"));
        }
    }
    // Names that sort differently as whole paths than segment by segment.
    for path in ["a/b", "a.b", "a-b/c", "a"] {
        if path != "a" {
            folder.write(path, b"x");
            expected.push(format!("/{path}"));
        }
    }
    let listed = folder.list().await;
    let mut sorted = listed.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[tokio::test]
async fn a_file_that_shrinks_grows_or_vanishes_while_it_is_read_is_told_apart() {
    let folder = folder();
    folder.write("a", b"0123456789");
    let asset = folder
        .endpoint
        .stat(&AssetId::new("/a"))
        .await
        .unwrap()
        .unwrap();
    let mut bytes = Vec::new();
    folder
        .endpoint
        .read(&asset, 2..5, &mut bytes)
        .await
        .unwrap();
    assert_eq!(bytes, b"234");
    for (now, word) in [(&b"01234"[..], "shrank"), (b"0123456789abc", "grew")] {
        folder.write("a", now);
        let error = folder
            .endpoint
            .read(&asset, 2..5, &mut bytes)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged);
        assert!(error.message().contains(word), "{error}");
    }
    fs::remove_file(folder.dir.path().join("a")).unwrap();
    let error = folder
        .endpoint
        .read(&asset, 2..5, &mut bytes)
        .await
        .unwrap_err();
    assert!(error.message().contains("vanished"), "{error}");
}

#[tokio::test]
async fn links_are_neither_listed_nor_followed() {
    let folder = folder();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), folder.dir.path().join("link")).unwrap();
    symlink(
        outside.path().join("secret"),
        folder.dir.path().join("file"),
    )
    .unwrap();
    folder.write("real", b"x");
    assert_eq!(folder.list().await, ["/real"]);
    let refused = folder
        .endpoint
        .stat(&AssetId::new("/link/secret"))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidInput);
    let refused = folder
        .endpoint
        .begin(&new("/link/new"), 1, &mark())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::InvalidInput);
}

#[tokio::test]
async fn a_path_that_would_leave_the_folder_is_refused() {
    let folder = folder();
    for path in ["/../evil", "/a/../../evil", "/a\\b", "/nul\0"] {
        let error = folder
            .endpoint
            .begin(&new(path), 1, &mark())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput, "{path}");
        let faults = folder
            .endpoint
            .check_drafts(&[new(path).draft().clone()])
            .await
            .unwrap();
        assert!(!faults[0].is_empty(), "{path}");
    }
}

#[tokio::test]
async fn nothing_is_visible_before_commit_and_nothing_stays_after_giving_up() {
    let folder = folder();
    let session = folder
        .endpoint
        .begin(&new("/out/a"), 6, &mark())
        .await
        .unwrap();
    session
        .append(Chunk::new(3, Bytes::from_static(b"def")))
        .await
        .unwrap();
    assert_eq!(session.acknowledged(), [3..6]);
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    assert_eq!(session.acknowledged(), [0..6]);
    assert!(folder.list().await.is_empty());
    session.abort().await.unwrap();
    assert_eq!(
        fs::read_dir(folder.dir.path().join("out")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn an_incomplete_file_is_never_committed() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let error = session.commit(&digests(b"abcdef")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(folder.list().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_there_is_not_overwritten_and_a_lost_commit_is_found() {
    let folder = folder();
    folder.write("a", b"theirs");
    let session = folder.endpoint.begin(&new("/a"), 4, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"ours")))
        .await
        .unwrap();
    let error = session.commit(&digests(b"ours")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(fs::read(folder.dir.path().join("a")).unwrap(), b"theirs");

    let expected = |bytes: &[u8]| Expected::from(&digests(bytes));
    let found = folder
        .endpoint
        .find(&new("/a"), &mark(), &expected(b"theirs"))
        .await
        .unwrap();
    assert_eq!(found.unwrap().size, 6);
    let other = folder
        .endpoint
        .find(&new("/a"), &mark(), &expected(b"thears"))
        .await
        .unwrap();
    assert!(other.is_none());
}

#[tokio::test]
async fn only_an_unchanged_file_is_removed_again() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 4, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"ours")))
        .await
        .unwrap();
    let placed = session.commit(&digests(b"ours")).await.unwrap();
    folder.write("a", b"edited");
    folder.endpoint.remove(&placed).await.unwrap();
    assert_eq!(folder.list().await, ["/a"]);
    assert!(!folder.endpoint.capabilities().folds_names);
}

#[tokio::test]
async fn a_later_process_goes_on_with_what_an_earlier_one_wrote() {
    let folder = folder();
    let destination = new("/out/a");
    let session = folder
        .endpoint
        .begin(&destination, 6, &mark())
        .await
        .unwrap();
    let note = session.checkpoint().expect("the system names its boots");
    session
        .append(Chunk::new(3, Bytes::from_static(b"def")))
        .await
        .unwrap();
    drop(session);
    assert!(folder.list().await.is_empty(), "half a file is visible");

    let resume = async |note: &str, acknowledged: std::ops::Range<u64>| {
        let acknowledged = [acknowledged];
        folder
            .endpoint
            .resume(&destination, 6, &mark(), note, &acknowledged)
            .await
            .unwrap()
    };
    assert!(resume("another boot", 3..6).await.is_none());
    assert!(
        resume(&note, 3..9).await.is_none(),
        "shorter than acknowledged"
    );
    let session = resume(&note, 3..6).await.expect("it is there");
    assert_eq!(session.acknowledged(), [3..6]);
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let placed = session.commit(&digests(b"abcdef")).await.unwrap();
    assert_eq!(placed.size, 6);
    assert_eq!(
        fs::read(folder.dir.path().join("out/a")).unwrap(),
        b"abcdef"
    );
    assert!(resume(&note, 0..6).await.is_none(), "it was committed");
}

#[tokio::test]
async fn a_walk_goes_on_from_its_cursor_in_another_process() {
    let folder = folder();
    for index in 0..4_500 {
        let below = folder.dir.path().join(format!("f{}", index % 3));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("{index:05}")), b"x").unwrap();
    }
    let scope = Scope {
        root: AssetPath::new(""),
    };
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        // A fresh endpoint knows nothing of the pages before.
        let another = LocalEndpoint::open(LocalOptions {
            name: "nas".into(),
            root: folder.dir.path().to_owned(),
        })
        .unwrap();
        let page = another.changes(&scope, cursor.as_ref()).await.unwrap();
        let same = folder
            .endpoint
            .changes(&scope, cursor.as_ref())
            .await
            .unwrap();
        assert_eq!(page.changes, same.changes);
        seen.extend(page.changes.into_iter().filter_map(|change| match change {
            Change::Asset(asset) => Some(asset.path.to_string()),
            _ => None,
        }));
        cursor = Some(page.cursor);
        if !page.more {
            break;
        }
    }
    assert_eq!(seen.len(), 4_500);
    assert!(seen.is_sorted());
}
