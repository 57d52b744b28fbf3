use super::*;

fn options(dir: &std::path::Path, seed: u64) -> DropboxOptions {
    DropboxOptions {
        dir: Some(dir.to_owned()),
        seed,
        ..DropboxOptions::default()
    }
}

#[tokio::test]
async fn reopening_from_disk_restores_everything() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::with(options(dir.path(), 7));
    let file = rig.upload("/Campaign/a.txt", "one").await;
    let arg = json!({"path": "/Campaign/a.txt", "mode": "overwrite"});
    rig.send_bytes("files/upload", arg, "two").await.ok();
    rig.upload("/gone", "x").await;
    rig.upload("/moving/x", "x").await;
    rig.dropbox.add_tag("/Campaign/a.txt", "hero").unwrap();
    rig.dropbox.set_restricted("/moving/x", true).unwrap();
    let page = rig
        .rpc("files/list_folder", json!({"path": "", "recursive": true}))
        .await
        .ok();
    rig.dropbox.remove("/gone").unwrap();
    rig.dropbox.rename("/moving", "/moved").unwrap();
    rig.rpc(
        "files/copy_v2",
        json!({"from_path": "/Campaign", "to_path": "/Copy"}),
    )
    .await
    .ok();
    let started = rig
        .send_bytes("files/upload_session/start", json!({}), "part one, ")
        .await
        .ok();
    let tree = rig.dropbox.tree();
    let (token, refresh) = (rig.token.clone(), rig.dropbox.refresh_token());
    drop(rig);

    let mut rig = Rig::with(options(dir.path(), 99));
    assert_eq!(rig.dropbox.tree(), tree);
    assert_eq!(rig.dropbox.refresh_token(), refresh);
    rig.token = token;
    assert_eq!(&rig.download("/campaign/a.txt", &[]).await.body[..], b"two");
    let rev = format!("rev:{}", file["rev"].as_str().unwrap());
    assert_eq!(&rig.download(&rev, &[]).await.body[..], b"one");
    assert_eq!(
        rig.download("/moved/x", &[]).await.refused(),
        "path/restricted_content/"
    );
    let arg = json!({"cursor": page["cursor"]});
    let news = rig.rpc("files/list_folder/continue", arg).await.ok();
    let names: Vec<_> = news["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["path_display"])
        .collect();
    assert_eq!(
        names,
        [
            "/gone",
            "/moving",
            "/moved",
            "/moved/x",
            "/Copy",
            "/Copy/a.txt"
        ]
    );
    let arg = json!({
        "cursor": {"session_id": started["session_id"], "offset": 10},
        "commit": {"path": "/resumed"},
    });
    let resumed = rig
        .send_bytes("files/upload_session/finish", arg, "part two")
        .await
        .ok();
    assert_eq!(
        resumed["content_hash"],
        windlass_core::ContentHash::of(b"part one, part two").to_hex()
    );
    let new = rig.upload("/new", "x").await;
    assert!(tree.iter().all(|entry| new["id"] != entry.id));
}

#[tokio::test]
async fn what_a_crash_left_behind_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::with(options(dir.path(), 7));
    rig.upload("/a", "kept").await;
    let lost = rig.dropbox.blobs().put("never committed".into()).unwrap();
    drop(rig);
    let rig = Rig::with(options(dir.path(), 7));
    assert!(rig.dropbox.blobs().len(lost).is_err());
    assert_eq!(&rig.download("/a", &[]).await.body[..], b"kept");
}

#[test]
fn a_damaged_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Rig::with(options(dir.path(), 7)));
    let path = dir.path().join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("born", "bron", 1)).unwrap();
    let error = Dropbox::open(options(dir.path(), 7)).unwrap_err();
    assert!(error.to_string().contains("damaged at line 2"), "{error}");
}

#[tokio::test]
async fn the_same_seed_and_calls_give_the_same_ids() {
    let mut seen = Vec::new();
    for seed in [1, 1, 2] {
        let clock = TestClock::start();
        let rig = Rig::with(DropboxOptions {
            seed,
            clock: clock as Arc<dyn Clock>,
            ..DropboxOptions::default()
        });
        seen.push(rig.upload("/a", "x").await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0]["id"], seen[2]["id"]);
}

#[test]
fn seeding_follows_the_rules_of_the_service() {
    let rig = Rig::new();
    let rev = rig.dropbox.put_file("/a/b", "x".into(), None).unwrap();
    assert_eq!(rig.dropbox.put_file("/a/b", "x".into(), None).unwrap(), rev);
    assert_ne!(rig.dropbox.put_file("/a/b", "y".into(), None).unwrap(), rev);
    rig.dropbox.put_folder("/a").unwrap();
    let error = rig.dropbox.put_file("/a", "x".into(), None).unwrap_err();
    assert!(error.to_string().contains("conflict/folder/"), "{error}");
    assert!(rig.dropbox.remove("/no").is_err());
    let tree = rig.dropbox.tree();
    let file = tree[1].file.as_ref().unwrap();
    assert_eq!(file.content_hash, windlass_core::ContentHash::of(b"y"));
    assert_eq!(rig.dropbox.call_counts(), []);
}
