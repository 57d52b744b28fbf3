//! Handing out from a folder: what is taken back, what people changed, and versions that replace one revision.

use std::fs;

use windlass_core::{
    AssetId, AssetPath, Destination, Endpoint, Kind, LinkTerms, Outlet, Placed, Result, Sink, Taken,
};

use super::{Folder, append, digests, folder, mark, new};

/// Places a file, or a version of the one that is there.
async fn place(folder: &Folder, to: &Destination, bytes: &[u8]) -> Result<Placed> {
    let size = bytes.len() as u64;
    let session = folder.endpoint.begin(to, size, &mark()).await?;
    append(&*session, 0, bytes).await;
    session.commit(&digests(bytes)).await
}

fn back(kept: Option<&str>) -> Taken {
    Taken::Back {
        kept: kept.map(AssetPath::new),
        links: Vec::new(),
        recipients: Vec::new(),
    }
}

fn version(of: &Placed) -> Destination {
    Destination::Version {
        asset: of.asset.clone(),
        draft: new(of.asset.as_str()).draft().clone(),
        replaces: Some(of.revision.clone()),
    }
}

#[tokio::test]
async fn a_file_is_kept_where_it_was_said_and_to_say_so_again_changes_nothing() {
    let folder = folder();
    let outlet = &folder.endpoint;
    let placed = place(&folder, &new("/out/a.jpg"), b"ours").await.unwrap();
    let keep = AssetPath::new("/kept/2026/a.jpg");
    let taken = outlet.take_back(&placed, Some(&keep)).await.unwrap();
    assert_eq!(taken, back(Some("/kept/2026/a.jpg")));
    assert_eq!(folder.list().await, ["/kept/2026/a.jpg"]);
    let again = outlet.take_back(&placed, Some(&keep)).await.unwrap();
    assert_eq!(again, taken);
    let elsewhere = AssetPath::new("/other/a.jpg");
    let absent = outlet.take_back(&placed, Some(&elsewhere)).await.unwrap();
    assert_eq!(absent, Taken::Absent);
}

#[tokio::test]
async fn what_is_kept_already_keeps_its_name() {
    let folder = folder();
    folder.write("kept/a.jpg", b"an earlier one");
    let placed = place(&folder, &new("/out/a.jpg"), b"ours").await.unwrap();
    let keep = AssetPath::new("/kept/a.jpg");
    let taken = folder.endpoint.take_back(&placed, Some(&keep)).await;
    assert_eq!(taken.unwrap(), back(Some("/kept/a (2).jpg")));
    assert_eq!(
        fs::read(folder.at("kept/a.jpg")).unwrap(),
        b"an earlier one"
    );
    let again = folder.endpoint.take_back(&placed, Some(&keep)).await;
    assert_eq!(again.unwrap(), back(Some("/kept/a (2).jpg")));
}

#[tokio::test]
async fn without_a_place_to_keep_it_the_file_is_deleted() {
    let folder = folder();
    let placed = place(&folder, &new("/out/a.jpg"), b"ours").await.unwrap();
    let taken = folder.endpoint.take_back(&placed, None).await.unwrap();
    assert_eq!(taken, back(None));
    assert!(folder.list().await.is_empty());
    let again = folder.endpoint.take_back(&placed, None).await.unwrap();
    assert_eq!(again, Taken::Absent);
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_left_where_it_is() {
    let folder = folder();
    let outlet = &folder.endpoint;
    let placed = place(&folder, &new("/out/a.jpg"), b"ours").await.unwrap();
    folder.write("out/a.jpg", b"edited");
    let now = folder.stat("/out/a.jpg").await;
    let changed = Taken::Changed {
        revision: now.revision,
        path: now.path,
    };
    for keep in [None, Some(AssetPath::new("/kept/a.jpg"))] {
        let taken = outlet.take_back(&placed, keep.as_ref()).await.unwrap();
        assert_eq!(taken, changed);
    }
    let moved = outlet.move_to(&placed, &AssetPath::new("/b.jpg")).await;
    assert_eq!(moved.unwrap(), None);
    assert_eq!(folder.list().await, ["/out/a.jpg"]);
}

#[tokio::test]
async fn a_move_gives_another_id_and_never_replaces_a_file() {
    let folder = folder();
    let outlet = &folder.endpoint;
    let placed = place(&folder, &new("/out/a.jpg"), b"ours").await.unwrap();
    folder.write("b.jpg", b"theirs");
    let refused = outlet.move_to(&placed, &AssetPath::new("/b.jpg")).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    let to = AssetPath::new("/fr/a.jpg");
    let moved = outlet.move_to(&placed, &to).await.unwrap().unwrap();
    assert_eq!(moved.asset, AssetId::new("/fr/a.jpg"));
    assert_eq!(moved.revision, folder.stat("/fr/a.jpg").await.revision);
    let again = outlet.move_to(&placed, &to).await.unwrap();
    assert_eq!(again.as_ref(), Some(&moved));
    assert_eq!(outlet.move_to(&moved, &to).await.unwrap(), Some(moved));
}

#[tokio::test]
async fn a_version_replaces_the_revision_that_it_names_and_no_other() {
    let folder = folder();
    let first = place(&folder, &new("/out/a.jpg"), b"first").await.unwrap();
    let second = place(&folder, &version(&first), b"second").await.unwrap();
    assert_eq!(fs::read(folder.at("out/a.jpg")).unwrap(), b"second");
    assert_eq!(folder.names("out"), ["a.jpg"]);

    folder.write("out/a.jpg", b"edited");
    let refused = place(&folder, &version(&second), b"third").await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(fs::read(folder.at("out/a.jpg")).unwrap(), b"edited");
    assert_eq!(folder.names("out"), ["a.jpg"], "nothing of it stays");

    fs::remove_file(folder.at("out/a.jpg")).unwrap();
    let refused = place(&folder, &version(&second), b"third").await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    assert!(folder.list().await.is_empty());
}

#[tokio::test]
async fn a_folder_has_no_links_and_no_members_and_says_where_its_files_are() {
    let folder = folder();
    let outlet = &folder.endpoint;
    let placed = place(&folder, &new("/a.jpg"), b"ours").await.unwrap();
    let link = outlet.link(&placed, &LinkTerms::default()).await;
    assert_eq!(link.unwrap_err().kind(), Kind::Unsupported);
    let shared = outlet.share(&AssetPath::new("/out"), &[]).await;
    assert_eq!(shared.unwrap_err().kind(), Kind::Unsupported);
    let address = outlet.address(&AssetPath::new("/Été 100%/a b.jpg"));
    let root = folder.dir.path().canonicalize().unwrap();
    let name = "%C3%89t%C3%A9%20100%25/a%20b.jpg";
    assert_eq!(address, format!("file://{}/{name}", root.display()));
    assert_eq!(outlet.name(), "nas");
}
