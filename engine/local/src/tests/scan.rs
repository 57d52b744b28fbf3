//! Hashing whole folders.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use windlass_core::{AssetPath, Digests, Error, Kind, Scope, Sink};

use super::{Folder, as_an_ordinary_user, digests, everything, folder, mark, new, noise, open};
use crate::{LocalEndpoint, ScanOptions, ScanTotals, Scanned};

/// Nobody stops.
static GO: AtomicBool = AtomicBool::new(false);

type Found = BTreeMap<String, Result<Digests, Error>>;

fn scan_with(endpoint: &LocalEndpoint, options: &ScanOptions) -> (Found, ScanTotals) {
    let mut found = Found::new();
    let mut each = |scanned| {
        let (path, outcome) = match scanned {
            Scanned::Asset { asset, digests } => {
                assert_eq!(asset.size, digests.size);
                (asset.path, Ok(digests))
            }
            Scanned::Failed { path, error } => (path, Err(error)),
        };
        let before = found.insert(path.to_string(), outcome);
        assert!(before.is_none(), "{path} came twice");
        ControlFlow::Continue(())
    };
    let totals = endpoint.digest_tree(&everything(), options, &GO, &mut each);
    let totals = totals.unwrap();
    let good = found.values().filter(|outcome| outcome.is_ok()).count() as u64;
    assert_eq!(
        (totals.assets, totals.failed),
        (good, found.len() as u64 - good)
    );
    (found, totals)
}

fn scan(folder: &Folder) -> (Found, ScanTotals) {
    scan_with(&folder.endpoint, &ScanOptions::default())
}

#[test]
fn every_file_has_the_digests_of_its_bytes_however_it_is_hashed() {
    let folder = folder();
    let mib = 1 << 20;
    let sizes = [
        0,
        1,
        16 << 10,
        mib - 1,
        mib,
        mib + 1,
        (4 * mib) - 1,
        4 * mib,
        (8 * mib) + 1,
        // The lane of large files, with and without a tail.
        32 * mib,
        (64 * mib) + 12_345,
    ];
    let all = noise(65 * mib);
    let mut expected = BTreeMap::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let path = format!("/d{}/e/f{index}", index % 3);
        folder.write(&path, &all[..size]);
        expected.insert(path, digests(&all[..size]));
    }
    for (exclusive, content_hash, threads) in [
        (false, true, 2),
        (true, true, 2),
        (false, false, 3),
        (false, true, 1),
    ] {
        let endpoint = open(folder.dir.path(), exclusive);
        let options = ScanOptions {
            threads,
            content_hash,
        };
        let (found, totals) = scan_with(&endpoint, &options);
        assert_eq!(found.len(), sizes.len());
        for (path, mut wanted) in expected.clone() {
            if !content_hash {
                wanted.content_hash = None;
            }
            let found = found[&path].as_ref().unwrap();
            assert_eq!(
                *found, wanted,
                "{path} {exclusive} {content_hash} {threads}"
            );
        }
        assert_eq!(
            totals.bytes,
            sizes.iter().map(|size| *size as u64).sum::<u64>()
        );
        assert_eq!((totals.folders, totals.stopped), (7, false));
    }
}

#[test]
fn many_files_in_many_folders_come_once_each() {
    let folder = folder();
    for index in 0..3_000 {
        let path = format!("g{}/h{}/f{index}", index % 7, index % 11);
        folder.write(&path, path.as_bytes());
    }
    let (found, totals) = scan(&folder);
    assert_eq!(found.len(), 3_000);
    assert_eq!(totals.folders, 1 + 7 + 77);
    for (path, outcome) in found {
        let wanted = digests(path.trim_start_matches('/').as_bytes());
        assert_eq!(outcome.unwrap().blake3, wanted.blake3, "{path}");
    }
}

#[tokio::test]
async fn links_pipes_and_unfinished_uploads_are_not_hashed() {
    let folder = folder();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), folder.at("folder")).unwrap();
    symlink(outside.path().join("secret"), folder.at("file")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.at("socket")).unwrap();
    let session = folder.endpoint.begin(&new("/a"), 1, &mark()).await.unwrap();
    folder.write("real", b"x");
    let (found, totals) = scan(&folder);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["/real"]);
    assert_eq!(totals.left_out, 3);
    drop((session, socket));
}

#[test]
fn what_cannot_be_read_is_reported_and_the_rest_is_hashed() {
    let folder = folder();
    for path in ["a/x", "locked/secret", "z/y", "z/mine"] {
        folder.write(path, b"x");
    }
    let latin = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9.tif"));
    fs::write(folder.dir.path().join(latin), b"x").unwrap();
    let mode = |path: &str, mode| {
        fs::set_permissions(folder.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("locked", 0o000);
    mode("z/mine", 0o000);
    let (found, _) = as_an_ordinary_user(|| scan(&folder));
    mode("locked", 0o700);
    let kinds: Vec<_> = found
        .iter()
        .map(|(path, outcome)| (path.as_str(), outcome.as_ref().err().map(Error::kind)))
        .collect();
    assert_eq!(
        kinds,
        [
            ("/a/x", None),
            ("/caf\u{fffd}.tif", Some(Kind::InvalidInput)),
            ("/locked", Some(Kind::Denied)),
            ("/z/mine", Some(Kind::Denied)),
            ("/z/y", None),
        ]
    );
}

#[test]
fn a_folder_that_lies_too_deep_is_reported_and_the_rest_is_hashed() {
    let folder = folder();
    let deep = "d/".repeat(140);
    folder.write(&format!("{deep}x"), b"x");
    folder.write("y", b"y");
    let (found, totals) = scan(&folder);
    let failed: Vec<_> = found
        .iter()
        .filter(|(_, outcome)| outcome.is_err())
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1.as_ref().unwrap_err().kind(), Kind::Unsupported);
    assert!(found["/y"].is_ok());
    assert_eq!(totals.folders, 128);
}

#[test]
fn a_caller_who_has_enough_ends_the_scan() {
    let folder = folder();
    for index in 0..5_000 {
        folder.write(&format!("{}/{index}", index % 50), b"x");
    }
    let mut seen = 0;
    let mut each = |_| {
        seen += 1;
        match seen {
            10 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    let options = ScanOptions::default();
    let totals = folder
        .endpoint
        .digest_tree(&everything(), &options, &GO, &mut each);
    let totals = totals.unwrap();
    assert_eq!((seen, totals.assets, totals.stopped), (10, 10, true));
}

#[test]
fn a_stop_from_outside_ends_the_scan_also_inside_a_large_file() {
    let folder = folder();
    for index in 0..3_000 {
        folder.write(&format!("{index}"), b"x");
    }
    let large = fs::File::create(folder.at("large")).unwrap();
    // A sparse file that would take minutes to hash.
    large.set_len(1 << 40).unwrap();
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    let mut each = |_| {
        seen += 1;
        if seen == 100 {
            stop.store(true, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    let options = ScanOptions::default();
    let totals = folder
        .endpoint
        .digest_tree(&everything(), &options, &stop, &mut each);
    let totals = totals.unwrap();
    assert!(totals.stopped);
    assert!((100..3_001).contains(&seen), "{seen}");
}

#[test]
fn a_scope_that_cannot_be_walked_is_an_error() {
    let folder = folder();
    folder.write("file", b"x");
    symlink("/", folder.at("link")).unwrap();
    let scan = |root: &str| {
        let scope = Scope {
            root: AssetPath::new(root),
        };
        let options = ScanOptions::default();
        let mut each = |_| ControlFlow::Continue(());
        folder
            .endpoint
            .digest_tree(&scope, &options, &GO, &mut each)
    };
    assert_eq!(scan("/gone").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(scan("/link").unwrap_err().kind(), Kind::InvalidInput);
    assert_eq!(scan("/../up").unwrap_err().kind(), Kind::InvalidInput);
    assert!(scan("/file").is_err());
}
