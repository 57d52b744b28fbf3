//! What files say of where they came from, and that they are placed also where they cannot say it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{AssetPath, Change, Endpoint, Expected, Scope, Secret, Sink, Source, Stamp};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use super::express::{at, digests, mark};
use super::sandbox::{connect, listen, place};
use crate::{Credential, DropboxEndpoint, DropboxOptions};

/// Serves an account whose files are stamped.
async fn stamping() -> (Arc<Dropbox>, DropboxOptions) {
    let (service, options) = listen(Account::default()).await;
    let options = DropboxOptions {
        stamps: true,
        ..options
    };
    (service, options)
}

/// Small ones, which travel together, and a large one.
fn files() -> Vec<(String, Bytes)> {
    let small = (0..40).map(|n| (format!("/Out/{n}.txt"), Bytes::from(format!("file {n}"))));
    let large = Bytes::from(vec![7; 2 * BLOCK_BYTES + 5]);
    small
        .chain([("/Out/large.mov".to_owned(), large)])
        .collect()
}

async fn place_all(dropbox: &DropboxEndpoint, files: &[(String, Bytes)]) {
    let placed = files
        .iter()
        .map(|(path, bytes)| place(dropbox, path, bytes));
    for placed in join_all(placed).await {
        placed.unwrap();
    }
}

/// The stamp of each file, by its path.
async fn stamps(dropbox: &DropboxEndpoint) -> BTreeMap<String, Option<Stamp>> {
    let scope = Scope {
        root: AssetPath::new("/Out"),
    };
    let mut all = BTreeMap::new();
    let mut cursor = None;
    loop {
        let listed = dropbox.stamped(&scope, cursor.as_ref()).await.unwrap();
        for change in listed.page.changes {
            if let Change::Asset(asset) = change {
                let stamp = listed.stamps.get(&asset.id).cloned();
                all.insert(asset.path.to_string(), stamp);
            }
        }
        if !listed.page.more {
            return all;
        }
        cursor = Some(listed.page.cursor);
    }
}

fn calls_of_templates(service: &Dropbox) -> u64 {
    let calls = service.call_counts().into_iter();
    let calls = calls.filter(|count| count.route.starts_with("file_properties/"));
    calls.map(|count| count.calls).sum()
}

#[tokio::test]
async fn every_file_carries_its_stamp_and_no_call_is_made_for_it() {
    let (service, options) = stamping().await;
    let dropbox = connect(options.clone()).await;
    let files = files();
    place_all(&dropbox, &files).await;
    assert_eq!(calls_of_templates(&service), 2, "looked for, and made");
    let there = stamps(&dropbox).await;
    assert_eq!(there.len(), files.len());
    for (path, bytes) in &files {
        let wanted = Stamp::new(&mark(), &digests(bytes), at(path).draft()).unwrap();
        assert_eq!(there[path], Some(wanted), "{path}");
    }
    // Another process finds the template, and stamps by it too.
    let again = connect(options).await;
    place(
        &again,
        "/Out/one more.txt",
        &Bytes::from_static(b"one more"),
    )
    .await
    .unwrap();
    assert_eq!(calls_of_templates(&service), 4, "looked for, and looked at");
    assert!(stamps(&again).await["/Out/one more.txt"].is_some());
}

#[tokio::test]
async fn an_app_that_may_not_stamp_places_all_the_same_and_doctor_says_so() {
    let (service, options) = stamping().await;
    let scopes = [
        "account_info.read",
        "files.content.read",
        "files.content.write",
    ];
    let token = service.access_token_with(&scopes, Duration::from_secs(600));
    let dropbox = connect(DropboxOptions {
        credential: Credential::AccessToken(Secret::new(token.expose())),
        ..options.clone()
    })
    .await;
    for n in 0..3 {
        let path = format!("/Out/{n}.txt");
        place(&dropbox, &path, &Bytes::from(format!("file {n}")))
            .await
            .unwrap();
    }
    assert_eq!(calls_of_templates(&service), 1, "asked once");
    let full = connect(options).await;
    assert!(stamps(&full).await.values().all(Option::is_none));
    let items = dropbox.check().await.unwrap();
    let stamps = items.iter().find(|item| item.subject == "stamps").unwrap();
    assert!(stamps.ok);
    assert!(
        stamps.finding.starts_with("files go without: "),
        "{}",
        stamps.finding
    );
}

#[tokio::test]
async fn a_template_that_somebody_removes_costs_the_stamp_and_not_the_file() {
    let (service, options) = stamping().await;
    let dropbox = connect(options.clone()).await;
    place(&dropbox, "/Out/first.txt", &Bytes::from_static(b"first"))
        .await
        .unwrap();
    let templates = dropbox.stamps.templates().await.unwrap();
    dropbox.api.remove_template(&templates[0]).await.unwrap();
    let files = files();
    place_all(&dropbox, &files).await;
    let full = connect(options).await;
    let there = stamps(&full).await;
    assert_eq!(there.len(), files.len() + 1);
    assert!(there.values().all(Option::is_none));
    let stored = service
        .tree()
        .into_iter()
        .filter(|entry| entry.file.is_some());
    assert_eq!(stored.count(), files.len() + 1);
}

/// What a resumed upload looks for: the file of these bytes that was to be at this path.
async fn look_for(dropbox: &DropboxEndpoint, path: &str, bytes: &[u8]) -> Option<String> {
    let expected = Expected::from(&digests(bytes));
    let found = dropbox.find(&at(path), &mark(), &expected).await;
    found.unwrap().map(|placed| placed.asset.to_string())
}

#[tokio::test]
async fn a_file_that_was_placed_and_moved_before_anybody_heard_of_it_is_found_by_its_stamp() {
    let (service, options) = stamping().await;
    let dropbox = connect(options).await;
    let bytes = Bytes::from_static(b"whose answer was lost");
    let placed = place(&dropbox, "/Out/a.tif", &bytes).await.unwrap();
    let id = Some(placed.asset.to_string());
    assert_eq!(look_for(&dropbox, "/Out/a.tif", &bytes).await, id);
    let searches = || service.calls("file_properties/properties/search");
    assert_eq!(searches(), 0, "it is where it was put");

    service.rename("/Out/a.tif", "/Elsewhere/b.tif").unwrap();
    assert_eq!(look_for(&dropbox, "/Out/a.tif", &bytes).await, id);
    assert_eq!(searches(), 1);
    // Other bytes, another place or another asset are another file.
    assert_eq!(look_for(&dropbox, "/Out/a.tif", b"of others").await, None);
    assert_eq!(look_for(&dropbox, "/Out/c.tif", &bytes).await, None);
    // What people did to its bytes since is not what was placed.
    service
        .put_file("/Elsewhere/b.tif", Bytes::from_static(b"edited"), None)
        .unwrap();
    assert_eq!(look_for(&dropbox, "/Out/a.tif", &bytes).await, None);
    service.remove("/Elsewhere/b.tif").unwrap();
    assert_eq!(look_for(&dropbox, "/Out/a.tif", &bytes).await, None);
}

#[tokio::test]
async fn where_files_carry_no_stamps_nobody_looks_for_them() {
    let (service, options) = listen(Account::default()).await;
    let dropbox = connect(options).await;
    let bytes = Bytes::from_static(b"whose answer was lost");
    place(&dropbox, "/Out/a.tif", &bytes).await.unwrap();
    service.rename("/Out/a.tif", "/b.tif").unwrap();
    assert_eq!(look_for(&dropbox, "/Out/a.tif", &bytes).await, None);
    assert_eq!(calls_of_templates(&service), 0);
}
