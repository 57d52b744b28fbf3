//! What comes back when a folder is opened again.

use super::*;

fn options(folder: &tempfile::TempDir) -> CelumOptions {
    CelumOptions {
        dir: Some(folder.path().to_owned()),
        ..CelumOptions::default()
    }
}

#[tokio::test]
async fn a_reopened_folder_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::open(options(&folder));
    let id = bed.asset("a.txt", b"abc").await;
    let gone = bed.asset("b.txt", b"gone").await;
    bed.delete(&format!("/assets/{gone}")).await.ok();
    let handle = bed.upload("c.txt", b"waiting").await;
    let (url, empty) = bed.announce("d.txt", 1).await;
    let lock = json!({"lock": {"op": "SET", "comment": "mine"}});
    bed.patch(&format!("/assets/{id}"), lock).await.ok();
    let deep = bed
        .celum
        .ensure_collection("Clients/Alpine Dairy/Cheese")
        .unwrap();
    let before = bed.celum.assets();
    drop(bed);

    let bed = Bed::open(options(&folder));
    assert_eq!(bed.celum.assets(), before);
    assert_eq!(&bed.celum.read_content(id, 0..3).unwrap()[..], b"abc");
    assert_eq!(bed.collection("Clients/Alpine Dairy/Cheese"), deep);
    assert_eq!(
        bed.find(json!({"type": "ASSET_ID_RANGE", "from": 0})).await,
        [id]
    );
    let made = bed
        .post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await
        .ok();
    assert_eq!(made["id"], gone + 1);
    assert_eq!(
        &bed.celum.read_content(gone + 1, 0..7).unwrap()[..],
        b"waiting"
    );
    bed.send(&url, b"d").await.ok();
    bed.post("/assets", bed.wish(Some(&empty), Vec::new()))
        .await
        .ok();
    let fresh = bed.announce("e.txt", 1).await;
    assert_ne!(fresh.0, url, "names of uploads are not used again");
}

#[tokio::test]
async fn content_without_an_owner_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::open(options(&folder));
    bed.asset("a.txt", b"abc").await;
    bed.celum.blobs.put(Bytes::from("orphan")).unwrap();
    drop(bed);
    let blobs = || {
        let shelves = std::fs::read_dir(folder.path().join("blobs")).unwrap();
        let files = shelves.flat_map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap());
        files.count()
    };
    assert_eq!(blobs(), 2);
    drop(Bed::open(options(&folder)));
    assert_eq!(blobs(), 1);
}

#[test]
fn a_journal_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("journal.jsonl"),
        "{\"journal\":\"other-1\"}\n",
    )
    .unwrap();
    let error = Celum::open(options(&folder)).unwrap_err();
    assert!(error.message().contains("other-1"), "{error}");
    assert!(error.hint().is_some());
}
