//! Handing out against the emulated service: files that are taken back and moved.

mod links;
mod share;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use windlass_core::{AssetPath, Kind, LinkTerms, Outlet, Placed, Secret, Taken};
use windlass_sandbox::dropbox::{Dropbox, DropboxOptions as Account};

use super::sandbox::{connect, listen, place, serve};
use super::{ID, REV, Script, conflict, file, json_ok, tagged_file};
use crate::{Credential, DropboxEndpoint, DropboxOptions};

type Served = (Arc<Dropbox>, Arc<DropboxEndpoint>);

/// A service with faults.
async fn faulty(faults: &str) -> Served {
    serve(Account {
        faults: faults.parse().unwrap(),
        ..Account::default()
    })
    .await
}

async fn placed(dropbox: &DropboxEndpoint, path: &str) -> Placed {
    let bytes = Bytes::from(format!("the bytes of {path}"));
    place(dropbox, path, &bytes).await.unwrap()
}

/// The paths of all files.
fn files(service: &Dropbox) -> Vec<String> {
    let files = service
        .tree()
        .into_iter()
        .filter(|entry| entry.file.is_some());
    files.map(|entry| entry.path_display).collect()
}

async fn take_back(dropbox: &DropboxEndpoint, placed: &Placed, keep: &str) -> Taken {
    let keep = AssetPath::new(keep);
    dropbox.take_back(placed, Some(&keep)).await.unwrap()
}

fn back(kept: Option<&str>, links: Vec<String>) -> Taken {
    Taken::Back {
        kept: kept.map(AssetPath::new),
        links,
        recipients: Vec::new(),
    }
}

#[tokio::test]
async fn a_file_is_kept_where_it_was_said_and_its_links_are_revoked() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/DE/a.jpg").await;
    let terms = LinkTerms::default();
    let url = dropbox.link(&placed, &terms).await.unwrap().url;
    let taken = take_back(&dropbox, &placed, "/Kept/2026/a.jpg").await;
    assert_eq!(taken, back(Some("/Kept/2026/a.jpg"), vec![url]));
    assert_eq!(files(&service), ["/Kept/2026/a.jpg"]);
    assert_eq!(service.links(), []);
    let again = take_back(&dropbox, &placed, "/kept/2026/A.jpg").await;
    assert_eq!(again, back(Some("/Kept/2026/a.jpg"), Vec::new()));
    assert_eq!(service.calls("files/move_v2"), 1);
}

#[tokio::test]
async fn links_end_before_the_file_moves_and_one_that_is_made_meanwhile_ends_too() {
    let (service, dropbox) = faulty("route=files/move_v2,nth=1,do=service:no-quota").await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let terms = LinkTerms::default();
    dropbox.link(&placed, &terms).await.unwrap();
    let keep = AssetPath::new("/Kept/a.jpg");
    let full = dropbox.take_back(&placed, Some(&keep)).await.unwrap_err();
    assert_eq!(full.kind(), Kind::Capacity);
    assert_eq!(files(&service), ["/Out/a.jpg"]);
    assert_eq!(service.links(), [], "nobody follows a link any more");
    // A file that lies where it is kept already has no links either.
    service.rename("/Out/a.jpg", "/Kept/a.jpg").unwrap();
    dropbox.link(&placed, &terms).await.unwrap();
    let Taken::Back { links, .. } = take_back(&dropbox, &placed, "/Kept/a.jpg").await else {
        panic!("it is back");
    };
    assert_eq!(links.len(), 1);
    assert_eq!(service.links(), []);
}

#[tokio::test]
async fn a_file_that_people_moved_or_whose_folder_they_renamed_is_found() {
    let (service, dropbox) = serve(Account::default()).await;
    let moved = placed(&dropbox, "/Out/DE/a.jpg").await;
    let inside = placed(&dropbox, "/Out/DE/b.jpg").await;
    service
        .rename("/Out/DE/a.jpg", "/Somewhere/renamed.jpg")
        .unwrap();
    service.rename("/Out/DE", "/Out/Germany").unwrap();
    let taken = take_back(&dropbox, &moved, "/Kept/a.jpg").await;
    assert_eq!(taken, back(Some("/Kept/a.jpg"), Vec::new()));
    let taken = take_back(&dropbox, &inside, "/Kept/b.jpg").await;
    assert_eq!(taken, back(Some("/Kept/b.jpg"), Vec::new()));
    assert_eq!(files(&service), ["/Kept/a.jpg", "/Kept/b.jpg"]);
}

#[tokio::test]
async fn a_file_that_somebody_edited_is_left_alone_wherever_it_is() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let edited = Bytes::from_static(b"edited");
    let rev = service.put_file("/Out/a.jpg", edited, None).unwrap();
    service.rename("/Out/a.jpg", "/Out/mine.jpg").unwrap();
    let keep = AssetPath::new("/Kept/a.jpg");
    for keep in [Some(&keep), None] {
        let taken = dropbox.take_back(&placed, keep).await.unwrap();
        let Taken::Changed { revision, path } = taken else {
            panic!("{taken:?}");
        };
        assert_eq!(revision.as_str(), rev);
        assert_eq!(path, AssetPath::new("/Out/mine.jpg"));
    }
    let moved = dropbox.move_to(&placed, &keep).await.unwrap();
    assert_eq!(moved, None);
    assert_eq!(files(&service), ["/Out/mine.jpg"]);
}

#[tokio::test]
async fn what_is_kept_already_keeps_its_name() {
    let (service, dropbox) = serve(Account::default()).await;
    let theirs = Bytes::from_static(b"an earlier one");
    service.put_file("/Kept/a.jpg", theirs, None).unwrap();
    service.put_folder("/Kept/a (2).jpg").unwrap();
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let taken = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
    assert_eq!(taken, back(Some("/Kept/a (3).jpg"), Vec::new()));
    let again = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
    assert_eq!(again, taken);
    assert_eq!(files(&service), ["/Kept/a (3).jpg", "/Kept/a.jpg"]);
}

#[tokio::test]
async fn without_a_place_to_keep_it_the_file_and_its_links_are_gone() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let foreign = service.add_foreign_link("/Out/a.jpg").unwrap();
    let taken = dropbox.take_back(&placed, None).await.unwrap();
    assert_eq!(taken, back(None, vec![foreign]));
    assert_eq!(files(&service), [""; 0]);
    assert_eq!(service.links(), []);
    let again = dropbox.take_back(&placed, None).await.unwrap();
    assert_eq!(again, Taken::Absent);
    assert_eq!(
        take_back(&dropbox, &placed, "/Kept/a.jpg").await,
        Taken::Absent
    );
}

#[tokio::test]
async fn a_file_with_a_link_that_cannot_be_revoked_is_not_kept() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    service.add_foreign_link("/Out/a.jpg").unwrap();
    let keep = AssetPath::new("/Kept/a.jpg");
    let refused = dropbox.take_back(&placed, Some(&keep)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.hint().is_some());
    assert_eq!(files(&service), ["/Out/a.jpg"]);
}

#[tokio::test]
async fn lost_answers_of_a_move_and_of_a_deletion_are_looked_up() {
    for lost in ["reset-after", "reset-before", "500-after"] {
        let (service, dropbox) = faulty(&format!("route=files/move_v2,nth=1,do={lost}")).await;
        let placed = placed(&dropbox, "/Out/a.jpg").await;
        let taken = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
        assert_eq!(taken, back(Some("/Kept/a.jpg"), Vec::new()), "{lost}");
        assert_eq!(files(&service), ["/Kept/a.jpg"], "{lost}");

        let (service, dropbox) = faulty(&format!("route=files/delete_v2,nth=1,do={lost}")).await;
        let placed = self::placed(&dropbox, "/Out/a.jpg").await;
        let taken = dropbox.take_back(&placed, None).await.unwrap();
        assert_eq!(taken, back(None, Vec::new()), "{lost}");
        assert_eq!(files(&service), [""; 0], "{lost}");
    }
}

#[tokio::test]
async fn a_move_between_namespaces_that_gives_another_id_is_known_by_its_bytes() {
    for faults in ["", "route=files/move_v2,nth=1,do=reset-after"] {
        let (service, dropbox) = serve(Account {
            faults: faults.parse().unwrap(),
            moves_change_ids: true,
            ..Account::default()
        })
        .await;
        let placed = placed(&dropbox, "/Out/a.jpg").await;
        service.share_as("/Out", "owner").unwrap();
        service
            .put_member("/Out", "anna@example.com", "viewer")
            .unwrap();
        let taken = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
        let recipients = ["anna@example.com"];
        let expected = |recipients: &[&str]| Taken::Back {
            kept: Some(AssetPath::new("/Kept/a.jpg")),
            links: Vec::new(),
            recipients: recipients.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(taken, expected(&recipients));
        // The id is gone, and with it who had it.
        let again = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
        assert_eq!(again, expected(&[]));
        assert_eq!(files(&service), ["/Kept/a.jpg"]);
    }
}

#[tokio::test]
async fn a_file_is_moved_with_its_id_and_never_onto_another() {
    let (service, dropbox) = serve(Account::default()).await;
    let placed = placed(&dropbox, "/Out/DE/a.jpg").await;
    let theirs = Bytes::from_static(b"theirs");
    service.put_file("/Out/FR/a.jpg", theirs, None).unwrap();
    let taken = AssetPath::new("/Out/FR/a.jpg");
    let refused = dropbox.move_to(&placed, &taken).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    let to = AssetPath::new("/Out/ES/b.jpg");
    let moved = dropbox.move_to(&placed, &to).await.unwrap().unwrap();
    assert_eq!(
        (moved.asset.clone(), moved.content_hash),
        (placed.asset.clone(), placed.content_hash)
    );
    let again = dropbox.move_to(&placed, &to).await.unwrap();
    assert_eq!(again, Some(moved));
    assert_eq!(files(&service), ["/Out/ES/b.jpg", "/Out/FR/a.jpg"]);
    service.remove("/Out/ES/b.jpg").unwrap();
    assert_eq!(dropbox.move_to(&placed, &to).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_made_a_moment_ago_is_waited_for() {
    let (service, dropbox) = faulty("route=files/move_v2,nth=1,do=service:not-yet-there").await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let to = AssetPath::new("/Out/b.jpg");
    assert!(dropbox.move_to(&placed, &to).await.unwrap().is_some());
    assert_eq!(service.calls("files/move_v2"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_somebody_edits_while_it_moves_is_put_back() {
    let other = "0164aa10c2e3f5000000099ab34cd56";
    let moved = |path: &str| json_ok(json!({ "metadata": tagged_file(path, other, b"edited") }));
    let script = Script::new([
        (
            "/2/files/get_metadata",
            json_ok(tagged_file("/Out/a.jpg", REV, b"ours")),
        ),
        (
            "/2/sharing/list_shared_links",
            json_ok(json!({"links": [], "has_more": false})),
        ),
        ("/2/files/move_v2", moved("/Kept/a.jpg")),
        ("/2/files/move_v2", moved("/Out/a.jpg")),
    ]);
    let dropbox = super::connect(&script).await;
    let placed: crate::wire::FileMetadata =
        serde_json::from_value(file("/Out/a.jpg", REV, b"ours")).unwrap();
    let placed = crate::target::placed(placed, windlass_core::Evidence::E2);
    let taken = take_back(&dropbox, &placed, "/Kept/a.jpg").await;
    let Taken::Changed { revision, path } = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(
        (revision.as_str(), path),
        (other, AssetPath::new("/Out/a.jpg"))
    );
    let arg = script.seen(2).arg();
    assert_eq!(arg, json!({"from_path": ID, "to_path": "/Kept/a.jpg"}));
    assert_eq!(script.seen(3).arg()["to_path"], "/Out/a.jpg");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_deletion_compares_the_revision_and_looks_where_that_is_another() {
    let stale = json!({".tag": "path_write", "path_write": {".tag": "conflict", "conflict": {".tag": "file"}}});
    let script = Script::new([
        (
            "/2/files/get_metadata",
            json_ok(tagged_file("/Out/a.jpg", REV, b"ours")),
        ),
        (
            "/2/sharing/list_shared_links",
            json_ok(json!({"links": [], "has_more": false})),
        ),
        ("/2/files/delete_v2", conflict(stale)),
        (
            "/2/files/get_metadata",
            json_ok(tagged_file("/Out/a.jpg", "0164aa10c", b"edited")),
        ),
    ]);
    let dropbox = super::connect(&script).await;
    let ours = serde_json::from_value(file("/Out/a.jpg", REV, b"ours")).unwrap();
    let placed = crate::target::placed(ours, windlass_core::Evidence::E2);
    let taken = dropbox.take_back(&placed, None).await.unwrap();
    assert!(matches!(taken, Taken::Changed { .. }), "{taken:?}");
    assert_eq!(script.seen(2).arg(), json!({"path": ID, "parent_rev": REV}));
    script.done();
}

#[tokio::test]
async fn without_the_scope_a_file_can_be_deleted_and_not_kept() {
    let (service, options) = listen(Account::default()).await;
    let scopes = [
        "account_info.read",
        "files.metadata.read",
        "files.content.read",
        "files.content.write",
    ];
    let token = service.access_token_with(&scopes, Duration::from_secs(600));
    let dropbox = connect(DropboxOptions {
        credential: Credential::AccessToken(Secret::new(token.expose())),
        ..options
    })
    .await;
    let placed = placed(&dropbox, "/Out/a.jpg").await;
    let keep = AssetPath::new("/Kept/a.jpg");
    let refused = dropbox.take_back(&placed, Some(&keep)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.hint().unwrap().contains("sharing.read"));
    let taken = dropbox.take_back(&placed, None).await.unwrap();
    assert_eq!(taken, back(None, Vec::new()));
    assert_eq!(files(&service), [""; 0]);
}

#[tokio::test]
async fn people_find_files_on_the_web_by_their_path() {
    let (_service, dropbox) = serve(Account::default()).await;
    let address = dropbox.address(&AssetPath::new("/Été 100%/a#b?.jpg"));
    assert_eq!(
        address,
        "https://www.dropbox.com/home/%C3%89t%C3%A9%20100%25/a%23b%3F.jpg"
    );
    assert_eq!(
        dropbox.address(&AssetPath::new("")),
        "https://www.dropbox.com/home"
    );
}
