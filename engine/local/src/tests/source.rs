//! Listing and reading.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use windlass_core::{AssetId, AssetPath, Change, Cursor, Kind, Readable, Scope, Sink, Source};

use super::{
    Folder, as_an_ordinary_user, everything, folder, folders_of_both_ways, mark, new, noise, open,
    runtime,
};

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
async fn a_walk_goes_on_from_its_cursor_in_another_process() {
    let folder = folder();
    for index in 0..4_500 {
        let below = folder.dir.path().join(format!("f{}", index % 3));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("{index:05}")), b"x").unwrap();
    }
    let scope = everything();
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        // A fresh endpoint knows nothing of the pages before.
        let another = open(folder.dir.path(), false);
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
    for folder in folders_of_both_ways() {
        links_are_not_followed(&folder).await;
    }
}

async fn links_are_not_followed(folder: &Folder) {
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
    for folder in folders_of_both_ways() {
        no_path_leaves(&folder).await;
    }
}

async fn no_path_leaves(folder: &Folder) {
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
async fn a_link_that_took_a_file_s_place_is_no_asset() {
    for folder in folders_of_both_ways() {
        folder.write("real", b"x");
        symlink(folder.at("real"), folder.at("link")).unwrap();
        let stat = folder.endpoint.stat(&AssetId::new("/link")).await.unwrap();
        assert_eq!(stat, None);
        let mut asset = folder.stat("/real").await;
        asset.path = AssetPath::new("/link");
        let error = folder.endpoint.read(&asset, 0..1, &mut Vec::new()).await;
        assert_eq!(error.unwrap_err().kind(), Kind::InvalidInput);
    }
}

#[tokio::test]
async fn both_spellings_of_an_accent_are_files_of_their_own() {
    let folder = folder();
    let (composed, decomposed) = ("/Jalape\u{f1}o.tif", "/Jalapen\u{303}o.tif");
    folder.write(composed, b"one");
    folder.write(decomposed, b"other");
    let mut listed = folder.list().await;
    listed.sort();
    assert_eq!(listed, [decomposed, composed]);
    for (path, bytes) in [(composed, &b"one"[..]), (decomposed, b"other")] {
        let asset = folder.stat(path).await;
        let mut read = Vec::new();
        let range = 0..asset.size;
        folder
            .endpoint
            .read(&asset, range, &mut read)
            .await
            .unwrap();
        assert_eq!(read, bytes);
    }
}

#[test]
fn what_may_not_be_looked_at_is_listed_as_such_and_the_rest_goes_on() {
    let folder = folder();
    for path in ["a/x", "locked/secret", "z/y", "blind/file"] {
        folder.write(path, b"x");
    }
    let mode = |path: &str, mode| {
        fs::set_permissions(folder.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("locked", 0o000);
    mode("blind", 0o600);
    let assets = as_an_ordinary_user(|| runtime().block_on(folder.assets()));
    mode("locked", 0o700);
    mode("blind", 0o700);
    let listed: Vec<_> = assets
        .iter()
        .map(|asset| (asset.path.as_str(), asset.readable))
        .collect();
    assert_eq!(
        listed,
        [
            ("/a/x", Readable::Yes),
            ("/blind/file", Readable::Restricted),
            ("/locked", Readable::Restricted),
            ("/z/y", Readable::Yes),
        ]
    );
}

#[test]
fn a_scope_that_may_not_be_listed_is_an_error() {
    let folder = folder();
    folder.write("locked/secret", b"x");
    let locked = folder.at("locked");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let scope = Scope {
        root: AssetPath::new("/locked"),
    };
    let listed = as_an_ordinary_user(|| runtime().block_on(folder.endpoint.changes(&scope, None)));
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(listed.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test]
async fn a_cursor_cannot_lead_out_of_the_folder() {
    let folder = folder();
    folder.write("a", b"x");
    for (cursor, kind) in [
        ("after:../..", Kind::InvalidInput),
        ("after:a/../../b", Kind::InvalidInput),
        ("7", Kind::CursorReset),
    ] {
        let (scope, cursor) = (everything(), Cursor::new(cursor));
        let page = folder.endpoint.changes(&scope, Some(&cursor)).await;
        assert_eq!(page.unwrap_err().kind(), kind, "{cursor}");
    }
}

/// After the first range the file is open already; what happens to it must be noticed all the same.
#[tokio::test]
async fn a_file_that_changes_between_two_ranges_is_never_read_on() {
    type Change = fn(&Folder);
    let changes: [(&str, Change); 6] = [
        ("grew", |folder| folder.write("a", &noise(3001))),
        ("shrank", |folder| folder.write("a", &noise(1500))),
        ("changed", |folder| folder.write("a", &noise(3000))),
        ("vanished", |folder| {
            fs::remove_file(folder.at("a")).unwrap()
        }),
        ("changed", |folder| {
            folder.write("b", &noise(3000));
            fs::rename(folder.at("b"), folder.at("a")).unwrap();
        }),
        ("shrank", |folder| {
            let file = File::options().write(true).open(folder.at("a")).unwrap();
            file.set_len(2000).unwrap();
        }),
    ];
    for (word, change) in changes {
        let folder = folder();
        folder.write("a", &noise(3000));
        age(&folder, "a");
        let asset = folder.stat("/a").await;
        let mut read = Vec::new();
        folder
            .endpoint
            .read(&asset, 0..1000, &mut read)
            .await
            .unwrap();
        change(&folder);
        let error = folder.endpoint.read(&asset, 1000..2000, &mut read).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged);
        assert!(error.message().contains(word), "{word}: {error}");
        assert_eq!(folder.endpoint.handles.len(), 0, "{word}: it is still open");
    }
}

/// Makes a file an hour old, so that the next write gives it another time whatever the clock's grain.
fn age(folder: &Folder, path: &str) {
    let file = File::options().write(true).open(folder.at(path)).unwrap();
    let then = SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(then).unwrap();
}

#[tokio::test]
async fn files_read_in_ranges_stay_open_but_few_and_not_beyond_their_last_byte() {
    let folder = folder();
    for index in 0..100 {
        folder.write(&format!("{index:03}"), &noise(100));
    }
    let assets = folder.assets().await;
    for asset in &assets {
        let mut read = Vec::new();
        folder.endpoint.read(asset, 0..50, &mut read).await.unwrap();
    }
    assert_eq!(folder.endpoint.handles.len(), 32);
    for asset in &assets {
        let mut read = Vec::new();
        folder
            .endpoint
            .read(asset, 50..100, &mut read)
            .await
            .unwrap();
        assert_eq!(read, noise(100)[50..]);
    }
    assert_eq!(folder.endpoint.handles.len(), 0);
}

#[tokio::test]
async fn a_read_appends_its_range_and_nothing_else_whatever_room_the_buffer_has() {
    let folder = folder();
    let bytes = noise(300_000);
    folder.write("a", &bytes);
    let asset = folder.stat("/a").await;
    for room in [0, 10, 1000, 1003, 1100, 70_000, 200_000, 1 << 20] {
        let mut read = Vec::with_capacity(room);
        read.extend_from_slice(b"abc");
        folder
            .endpoint
            .read(&asset, 5000..6000, &mut read)
            .await
            .unwrap();
        assert_eq!(&read[..3], b"abc");
        assert!(read[3..] == bytes[5000..6000], "with room for {room}");
    }
    let mut exact = Vec::with_capacity(300_000);
    folder
        .endpoint
        .read(&asset, 0..300_000, &mut exact)
        .await
        .unwrap();
    assert!(exact == bytes);
    assert_eq!(
        exact.capacity(),
        300_000,
        "the buffer grew and is not the pool's any more"
    );
    let (from, to) = (20, 10);
    let backwards = folder.endpoint.read(&asset, from..to, &mut exact).await;
    assert_eq!(backwards.unwrap_err().kind(), Kind::InvalidInput);
}

/// A source that grows for ever ends with an error and not with an endless read.
#[tokio::test]
async fn a_file_that_grows_while_it_is_read_ends_in_an_error() {
    let folder = folder();
    folder.write("log", &noise(1 << 20));
    age(&folder, "log");
    let asset = folder.stat("/log").await;
    let mut read = Vec::new();
    let mut outcome = Ok(());
    for start in (0..asset.size).step_by(64 << 10) {
        let mut grown = File::options().append(true).open(folder.at("log")).unwrap();
        std::io::Write::write_all(&mut grown, b"one more line\n").unwrap();
        let range = start..(start + (64 << 10)).min(asset.size);
        outcome = folder.endpoint.read(&asset, range, &mut read).await;
        if outcome.is_err() {
            break;
        }
    }
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::SourceChanged);
    assert!(error.message().contains("grew"), "{error}");
}
