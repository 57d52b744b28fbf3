use super::*;

async fn up(rig: &Rig, arg: Value, bytes: &'static str) -> Answer {
    rig.send_bytes("files/upload", arg, bytes).await
}

#[tokio::test]
async fn content_hashes_match_the_published_vectors() {
    let rig = Rig::new();
    let pattern: Vec<u8> = (0..8_400_953u32).map(|i| (i % 251) as u8).collect();
    for (name, bytes, hash) in [
        (
            "/empty",
            vec![],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "/1",
            vec![b'A'; 1],
            "1cd6ef71e6e0ff46ad2609d403dc3fee244417089aa4461245a4e4fe23a55e42",
        ),
        (
            "/2",
            vec![b'A'; 4_194_303],
            "647c8627d70f7a7d13ce96b1e7710a771a55d41a62c3da490d92e56044d311fa",
        ),
        (
            "/3",
            vec![b'A'; 4_194_304],
            "d4d63bac5b866c71620185392a8a6218ac1092454a2d16f820363b69852befa3",
        ),
        (
            "/4",
            vec![b'A'; 4_194_305],
            "8f553da8d00d0bf509d8470e242888be33019c20c0544811f5b2b89e98360b92",
        ),
        (
            "/5",
            vec![b'A'; 8_388_608],
            "e08b3ba1f538804075c5f939accdeaa9efc7b5c01865c94a41e78ca6550a88e7",
        ),
        (
            "/6",
            pattern,
            "1e4187d74c09ac5ecba418360e3aff8c86fed9e00ece62a4b8383a72b85f2cee",
        ),
    ] {
        let arg = json!({"path": name, "content_hash": hash});
        let file = rig.send_bytes("files/upload", arg, bytes).await.ok();
        assert_eq!(file["content_hash"], hash, "{name}");
    }
}

#[tokio::test]
async fn the_write_mode_table_holds() {
    let rig = Rig::new();
    let first = rig.upload("/a.txt", "one").await;
    // The same bytes: nothing is written, whatever the mode says.
    for mode in [
        json!("add"),
        json!("overwrite"),
        json!({".tag": "update", "update": "012345678"}),
    ] {
        let same = up(&rig, json!({"path": "/A.TXT", "mode": mode}), "one")
            .await
            .ok();
        assert_eq!(same["rev"], first["rev"], "{mode}");
    }
    let strict = json!({"path": "/a.txt", "strict_conflict": true});
    assert_eq!(
        up(&rig, strict, "one").await.refused(),
        "path/conflict/file/"
    );
    // Other bytes.
    assert_eq!(
        up(&rig, json!({"path": "/a.txt"}), "two").await.refused(),
        "path/conflict/file/"
    );
    let stale = json!({"path": "/a.txt", "mode": {".tag": "update", "update": "012345678"}});
    assert_eq!(
        up(&rig, stale.clone(), "two").await.refused(),
        "path/conflict/file/"
    );
    let update = json!({"path": "/a.txt", "mode": {".tag": "update", "update": first["rev"]}});
    let second = up(&rig, update, "two").await.ok();
    assert_eq!(second["id"], first["id"]);
    assert_ne!(second["rev"], first["rev"]);
    let third = up(
        &rig,
        json!({"path": "/a.txt", "mode": "overwrite"}),
        "three",
    )
    .await
    .ok();
    assert_eq!(third["id"], first["id"]);
    // A new name for what is in the way.
    let renamed = up(&rig, json!({"path": "/a.txt", "autorename": true}), "four")
        .await
        .ok();
    assert_eq!(renamed["name"], "a (1).txt");
    let mut lost = stale;
    lost["autorename"] = true.into();
    assert_eq!(
        up(&rig, lost, "five").await.ok()["name"],
        "a (conflicted copy).txt"
    );
}

#[tokio::test]
async fn folders_and_absent_targets_follow_the_table_too() {
    let rig = Rig::new();
    rig.dropbox.put_folder("/f").unwrap();
    for mode in ["add", "overwrite"] {
        let arg = json!({"path": "/f", "mode": mode});
        assert_eq!(up(&rig, arg, "x").await.refused(), "path/conflict/folder/");
    }
    let arg = json!({"path": "/f", "mode": "overwrite", "autorename": true});
    assert_eq!(up(&rig, arg, "x").await.ok()["name"], "f (1)");
    let below = json!({"path": "/f (1)/deep/x"});
    assert_eq!(
        up(&rig, below, "x").await.refused(),
        "path/conflict/file_ancestor/"
    );
    let update = json!({".tag": "update", "update": "012345678"});
    let absent = json!({"path": "/new", "mode": update, "strict_conflict": true});
    assert_eq!(up(&rig, absent, "x").await.refused(), "path/conflict/file/");
    let absent = json!({"path": "/new", "mode": update});
    assert_eq!(up(&rig, absent, "x").await.status, 200);
}

#[tokio::test]
async fn a_refused_upload_keeps_its_bytes_for_a_later_commit() {
    let rig = Rig::new();
    rig.upload("/a", "old").await;
    let answer = up(&rig, json!({"path": "/a"}), "fresh").await;
    let error = answer.json()["error"].clone();
    assert_eq!(
        error["reason"],
        json!({".tag": "conflict", "conflict": {".tag": "file"}})
    );
    assert_eq!(rig.dropbox.upload_sessions_open(), 1);
    let arg = json!({
        "cursor": {"session_id": error["upload_session_id"], "offset": 5},
        "commit": {"path": "/b"},
    });
    let file = rig
        .send_bytes("files/upload_session/finish", arg, "")
        .await
        .ok();
    assert_eq!((&file["name"], &file["size"]), (&json!("b"), &json!(5)));
    assert_eq!(&rig.download("/b", &[]).await.body[..], b"fresh");
    assert_eq!(rig.dropbox.upload_sessions_open(), 0);
}

#[tokio::test]
async fn arguments_of_a_commit_are_checked() {
    let rig = Rig::new();
    for arg in [
        json!({"path": "/a", "mode": "replace"}),
        json!({"path": "/a", "mode": {".tag": "update"}}),
        json!({"path": "/a", "mode": {".tag": "update", "update": "XYZ"}}),
        json!({"path": "/a", "client_modified": "2026-03-01T08:30:00.5Z"}),
        json!({"path": "/a", "client_modified": "2026-03-01"}),
        json!({"path": "/a", "content_hash": "abc"}),
        json!({"path": ""}),
    ] {
        assert_eq!(up(&rig, arg.clone(), "x").await.status, 400, "{arg}");
    }
    let arg = json!({"path": "/a", "content_hash": "0".repeat(64)});
    assert_eq!(up(&rig, arg, "x").await.refused(), "content_hash_mismatch/");
    let arg = json!({"path": "/a", "client_modified": "2020-01-02T03:04:05Z", "mute": true});
    assert_eq!(
        up(&rig, arg, "x").await.ok()["client_modified"],
        "2020-01-02T03:04:05Z"
    );
}

#[tokio::test]
async fn a_body_beyond_150_mib_is_refused_and_the_quota_holds() {
    let rig = Rig::with(DropboxOptions {
        quota_bytes: 3,
        ..DropboxOptions::default()
    });
    let piece = Bytes::from(vec![0u8; 1 << 20]);
    let body = |mib: usize| {
        let pieces = std::iter::repeat_n(piece.clone(), mib).map(Ok::<_, io::Error>);
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    let big = rig
        .send_bytes("files/upload", json!({"path": "/big"}), body(151))
        .await;
    assert_eq!(big.refused(), "payload_too_large/");
    let full = up(&rig, json!({"path": "/a"}), "1234").await;
    assert_eq!(full.refused(), "path/insufficient_space/");
    assert_eq!(up(&rig, json!({"path": "/a"}), "123").await.status, 200);
}
