use super::*;

#[tokio::test]
async fn metadata_has_exactly_the_documented_shape() {
    let clock = TestClock::start();
    let rig = Rig::with(DropboxOptions {
        clock: clock as Arc<dyn Clock>,
        ..DropboxOptions::default()
    });
    let file = rig.upload("/Campaign/Hero_01.tif", "A").await;
    assert!(file.get(".tag").is_none());
    let rev = file["rev"].as_str().unwrap().to_owned();
    assert!(
        rev.len() == 31 && rev.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')),
        "{rev}"
    );
    let got = rig
        .rpc(
            "files/get_metadata",
            json!({"path": "/campaign/hero_01.tif"}),
        )
        .await;
    assert!(
        got.text()
            .starts_with(r#"{".tag":"file","client_modified":"2026-03-01T08:30:00Z""#)
    );
    assert_eq!(
        got.json(),
        json!({
            ".tag": "file", "name": "Hero_01.tif", "path_lower": "/campaign/hero_01.tif",
            "path_display": "/Campaign/Hero_01.tif", "id": file["id"], "rev": rev, "size": 1,
            "client_modified": "2026-03-01T08:30:00Z", "server_modified": "2026-03-01T08:30:00Z",
            "is_downloadable": true, "property_groups": [],
            "content_hash": "1cd6ef71e6e0ff46ad2609d403dc3fee244417089aa4461245a4e4fe23a55e42",
        })
    );
    let folder = rig
        .rpc("files/get_metadata", json!({"path": "/campaign"}))
        .await
        .ok();
    assert_eq!(
        folder,
        json!({
            ".tag": "folder", "name": "Campaign", "path_lower": "/campaign",
            "path_display": "/Campaign", "id": folder["id"], "property_groups": [],
        })
    );
    let id = file["id"].as_str().unwrap();
    assert_eq!(id.len(), "id:".len() + 22);
    let by_id = rig
        .rpc("files/get_metadata", json!({ "path": id }))
        .await
        .ok();
    assert_eq!(by_id["rev"], rev);
}

#[tokio::test]
async fn lookups_fail_with_their_reason() {
    let rig = Rig::new();
    rig.upload("/f/a", "x").await;
    rig.rpc("files/delete_v2", json!({"path": "/f/a"}))
        .await
        .ok();
    let gone = rig.rpc("files/get_metadata", json!({"path": "/f/a"})).await;
    assert_eq!(
        gone.text(),
        r#"{"error":{".tag":"path","path":{".tag":"not_found"}},"error_summary":"path/not_found/"}"#
    );
    let deleted = json!({"path": "/F/a", "include_deleted": true});
    assert_eq!(
        rig.rpc("files/get_metadata", deleted).await.ok(),
        json!({".tag": "deleted", "name": "a", "path_lower": "/f/a", "path_display": "/f/a"})
    );
    assert_eq!(rig.download("/f", &[]).await.refused(), "path/not_file/");
    assert_eq!(
        rig.download("id:AAAAAAAAAAAAAAAAAAAAAA", &[])
            .await
            .refused(),
        "path/not_found/"
    );
}

#[tokio::test]
async fn a_download_serves_ranges_of_a_pinned_revision() {
    let rig = Rig::new();
    let old = rig.upload("/a.bin", "0123456789").await;
    let over = json!({"path": "/a.bin", "mode": "overwrite"});
    rig.send_bytes("files/upload", over, "new").await.ok();
    let rev = old["rev"].as_str().unwrap();
    let pinned = rig
        .download(&format!("rev:{rev}"), &[("range", "bytes=2-5")])
        .await;
    assert_eq!((pinned.status, &pinned.body[..]), (206, &b"2345"[..]));
    assert_eq!(pinned.header("content-range"), "bytes 2-5/10");
    assert_eq!(pinned.header("content-length"), "4");
    assert_eq!(pinned.header("etag"), format!("W/\"{rev}\""));
    let result: Value = serde_json::from_str(pinned.header("dropbox-api-result")).unwrap();
    assert_eq!((&result["rev"], &result["size"]), (&json!(rev), &json!(10)));
    assert!(result.get(".tag").is_none());
    let tail = rig
        .download(&format!("rev:{rev}"), &[("range", "bytes=8-100")])
        .await;
    assert_eq!(
        (tail.status, tail.header("content-range")),
        (206, "bytes 8-9/10")
    );
    let whole = rig.download("/A.BIN", &[]).await;
    assert_eq!((whole.status, &whole.body[..]), (200, &b"new"[..]));
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(rig.dropbox.bytes_served(), 4 + 2 + 3);
}

#[tokio::test]
async fn ranges_that_cannot_be_served_are_416_and_a_known_revision_is_304() {
    let rig = Rig::new();
    let file = rig.upload("/a", "01234").await;
    rig.upload("/empty", "").await;
    for (path, range) in [
        ("/a", "bytes=5-9"),
        ("/empty", "bytes=0-0"),
        ("/a", "bytes=0-1,3-4"),
    ] {
        assert_eq!(
            rig.download(path, &[("range", range)]).await.status,
            416,
            "{range}"
        );
    }
    let etag = format!("W/\"{}\"", file["rev"].as_str().unwrap());
    let known = rig.download("/a", &[("if-none-match", &etag)]).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let empty = rig.download("/empty", &[]).await;
    assert_eq!((empty.status, empty.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn a_download_has_no_body_and_may_be_a_get() {
    let rig = Rig::new();
    rig.upload("/a", "x").await;
    let arg = r#"{"path":"/a"}"#;
    let body = rig.request("files/download").header("dropbox-api-arg", arg);
    assert_eq!(
        rig.send(body.body(Body::from("x")).unwrap()).await.status,
        400
    );
    let typed = rig.request("files/download").header("dropbox-api-arg", arg);
    let typed = typed.header("content-type", "application/json");
    assert_eq!(
        rig.send(typed.body(Body::empty()).unwrap()).await.status,
        400
    );
    let get = rig
        .request("files/download")
        .method(Method::GET)
        .header("dropbox-api-arg", arg);
    assert_eq!(
        &rig.send(get.body(Body::empty()).unwrap()).await.body[..],
        b"x"
    );
    let get = rig.request("check/user").method(Method::GET);
    assert_eq!(rig.send(get.body(Body::empty()).unwrap()).await.status, 405);
}

#[tokio::test]
async fn restricted_content_is_listed_but_not_served() {
    let rig = Rig::new();
    rig.upload("/a", "x").await;
    rig.dropbox.set_restricted("/a", true).unwrap();
    assert_eq!(
        rig.download("/a", &[]).await.refused(),
        "path/restricted_content/"
    );
    assert_eq!(
        rig.rpc("files/get_metadata", json!({"path": "/a"}))
            .await
            .status,
        200
    );
    rig.dropbox.set_restricted("/a", false).unwrap();
    assert_eq!(rig.download("/a", &[]).await.status, 200);
}

#[tokio::test]
async fn revisions_are_listed_newest_first_and_can_be_restored() {
    let rig = Rig::new();
    let mut revs = Vec::new();
    for text in ["one", "two", "three"] {
        let arg = json!({"path": "/a", "mode": "overwrite"});
        let file = rig.send_bytes("files/upload", arg, text).await.ok();
        revs.push(file["rev"].clone());
    }
    let listed = rig
        .rpc("files/list_revisions", json!({"path": "/a", "limit": 2}))
        .await
        .ok();
    assert_eq!(
        (&listed["has_more"], &listed["is_deleted"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(listed["entries"][0]["rev"], revs[2]);
    let rest = json!({"path": "/a", "before_rev": revs[1]});
    let rest = rig.rpc("files/list_revisions", rest).await.ok();
    assert_eq!(rest["entries"].as_array().unwrap().len(), 1);
    let back = rig
        .rpc("files/restore", json!({"path": "/a", "rev": revs[0]}))
        .await
        .ok();
    assert!(!revs.contains(&back["rev"]));
    assert_eq!(&rig.download("/a", &[]).await.body[..], b"one");
    let unknown = json!({"path": "/a", "rev": "0123456789"});
    assert_eq!(
        rig.rpc("files/restore", unknown).await.refused(),
        "invalid_revision/"
    );
}
