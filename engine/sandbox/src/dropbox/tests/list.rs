use super::*;

async fn drain(rig: &Rig, mut page: Value) -> (Vec<Value>, String) {
    let mut entries = Vec::new();
    loop {
        entries.extend(page["entries"].as_array().unwrap().iter().cloned());
        let cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            return (entries, cursor);
        }
        page = rig
            .rpc("files/list_folder/continue", json!({ "cursor": cursor }))
            .await
            .ok();
    }
}

async fn list(rig: &Rig, arg: Value) -> (Vec<Value>, String) {
    let page = rig.rpc("files/list_folder", arg).await.ok();
    drain(rig, page).await
}

async fn next(rig: &Rig, cursor: &str) -> (Vec<String>, String) {
    let page = rig
        .rpc("files/list_folder/continue", json!({ "cursor": cursor }))
        .await
        .ok();
    let (entries, cursor) = drain(rig, page).await;
    (names(&entries), cursor)
}

fn names(entries: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |e: &Value| format!("{} {}", text(&e[".tag"]), text(&e["path_display"]));
    entries.iter().map(name).collect()
}

fn seed(rig: &Rig) {
    for path in ["/a/1", "/a/b/2", "/a b/x", "/A!/y", "/z"] {
        rig.dropbox
            .put_file(path, Bytes::from(path.to_owned()), None)
            .unwrap();
    }
}

#[tokio::test]
async fn a_listing_shows_children_or_everything_below() {
    let rig = Rig::new();
    seed(&rig);
    let (flat, _) = list(&rig, json!({"path": ""})).await;
    assert_eq!(
        names(&flat),
        ["folder /a", "folder /a b", "folder /A!", "file /z"]
    );
    let (deep, _) = list(&rig, json!({"path": "", "recursive": true})).await;
    assert_eq!(deep.len(), 9);
    let (below, _) = list(&rig, json!({"path": "/A", "recursive": true})).await;
    assert_eq!(names(&below), ["file /a/1", "folder /a/b", "file /a/b/2"]);
    assert_eq!(
        rig.rpc("files/list_folder", json!({"path": "/z"}))
            .await
            .refused(),
        "path/not_folder/"
    );
    assert_eq!(
        rig.rpc("files/list_folder", json!({"path": "/no"}))
            .await
            .refused(),
        "path/not_found/"
    );
}

#[tokio::test]
async fn pages_have_the_asked_size_and_lose_nothing_that_happens_between_them() {
    let rig = Rig::new();
    for n in 0..25 {
        rig.dropbox
            .put_file(&format!("/f/{n:02}"), Bytes::from(vec![n]), None)
            .unwrap();
    }
    let arg = json!({"path": "/f", "limit": 10});
    let page = rig.rpc("files/list_folder", arg).await.ok();
    assert_eq!(page["entries"].as_array().unwrap().len(), 10);
    rig.dropbox.remove("/f/05").unwrap();
    rig.dropbox.put_file("/f/00a", "late".into(), None).unwrap();
    let (entries, cursor) = drain(&rig, page).await;
    assert_eq!(entries.len(), 25);
    let (news, _) = next(&rig, &cursor).await;
    assert_eq!(news, ["deleted /f/05", "file /f/00a"]);
    for limit in [0, 2001] {
        let arg = json!({"path": "", "limit": limit});
        assert_eq!(rig.rpc("files/list_folder", arg).await.status, 400);
    }
}

#[tokio::test]
async fn a_cursor_tracks_create_rename_overwrite_and_delete() {
    let rig = Rig::new();
    seed(&rig);
    let (_, cursor) = list(&rig, json!({"path": "", "recursive": true})).await;
    let (none, cursor) = next(&rig, &cursor).await;
    assert!(none.is_empty());

    rig.upload("/new/deep/file", "x").await;
    let (news, cursor) = next(&rig, &cursor).await;
    assert_eq!(
        news,
        ["folder /new", "folder /new/deep", "file /new/deep/file"]
    );

    let before = rig
        .rpc("files/get_metadata", json!({"path": "/a/b/2"}))
        .await
        .ok();
    let arg = json!({"from_path": "/a", "to_path": "/moved"});
    rig.rpc("files/move_v2", arg).await.ok();
    let (news, cursor) = next(&rig, &cursor).await;
    assert_eq!(
        news,
        [
            "deleted /a",
            "folder /moved",
            "file /moved/1",
            "folder /moved/b",
            "file /moved/b/2"
        ]
    );
    let after = rig
        .rpc("files/get_metadata", json!({"path": "/moved/b/2"}))
        .await
        .ok();
    assert_eq!(
        (&after["id"], &after["rev"]),
        (&before["id"], &before["rev"])
    );

    let arg = json!({"path": "/z", "mode": "overwrite"});
    rig.send_bytes("files/upload", arg, "other").await.ok();
    rig.upload("/gone", "x").await;
    rig.dropbox.remove("/gone").unwrap();
    rig.dropbox.remove("/moved/b").unwrap();
    let (news, cursor) = next(&rig, &cursor).await;
    assert_eq!(news, ["file /z", "deleted /gone", "deleted /moved/b"]);

    // A folder that comes back does not bring its old content back.
    rig.dropbox.remove("/moved").unwrap();
    rig.upload("/moved/other", "x").await;
    let (news, _) = next(&rig, &cursor).await;
    assert_eq!(
        news,
        ["deleted /moved/1", "folder /moved", "file /moved/other"]
    );
}

#[tokio::test]
async fn a_replayed_cursor_delivers_again_and_a_flat_one_sees_only_children() {
    let rig = Rig::new();
    seed(&rig);
    let (_, flat) = list(&rig, json!({"path": "/a"})).await;
    rig.upload("/a/b/3", "x").await;
    rig.upload("/a/4", "x").await;
    rig.upload("/5", "x").await;
    assert_eq!(next(&rig, &flat).await.0, ["file /a/4"]);
    assert_eq!(next(&rig, &flat).await.0, ["file /a/4"]);
    rig.dropbox.remove("/a").unwrap();
    let answer = rig
        .rpc("files/list_folder/continue", json!({ "cursor": flat }))
        .await;
    assert_eq!(answer.refused(), "path/not_found/");
}

#[tokio::test]
async fn deleted_items_are_listed_on_request() {
    let rig = Rig::new();
    seed(&rig);
    rig.dropbox.remove("/z").unwrap();
    rig.dropbox.remove("/a/1").unwrap();
    let (with, _) = list(
        &rig,
        json!({"path": "", "include_deleted": true, "limit": 1}),
    )
    .await;
    assert_eq!(
        names(&with),
        ["folder /a", "folder /a b", "folder /A!", "deleted /z"]
    );
}

#[tokio::test]
async fn a_forged_cursor_is_400_and_a_reset_one_says_so() {
    let rig = Rig::new();
    let (_, cursor) = list(&rig, json!({"path": ""})).await;
    let mut forged = cursor.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    let route = "files/list_folder/continue";
    assert_eq!(
        rig.rpc(route, json!({ "cursor": forged })).await.status,
        400
    );
    rig.dropbox.reset_cursors().unwrap();
    assert_eq!(
        rig.rpc(route, json!({ "cursor": cursor })).await.refused(),
        "reset/"
    );
    let (_, fresh) = list(&rig, json!({"path": ""})).await;
    assert_eq!(rig.rpc(route, json!({ "cursor": fresh })).await.status, 200);
}

#[tokio::test]
async fn listing_faults_are_empty_pages_other_orders_and_resets() {
    let rig = Rig::with(DropboxOptions {
        faults: "route=files/list_folder,nth=1,do=service:empty-page;\
                 route=files/list_folder,nth=2,do=service:reversed-page;\
                 route=files/list_folder/continue,nth=2,do=service:cursor-reset"
            .parse()
            .unwrap(),
        ..DropboxOptions::default()
    });
    seed(&rig);
    let page = rig.rpc("files/list_folder", json!({"path": ""})).await.ok();
    assert_eq!(
        (&page["entries"], &page["has_more"]),
        (&json!([]), &json!(true))
    );
    let (entries, cursor) = drain(&rig, page).await;
    assert_eq!(entries.len(), 4);
    let (reversed, _) = list(&rig, json!({"path": ""})).await;
    assert_eq!(names(&reversed)[0], "file /z");
    let answer = rig
        .rpc("files/list_folder/continue", json!({ "cursor": cursor }))
        .await;
    assert_eq!(answer.refused(), "reset/");
    assert_eq!(rig.dropbox.faults_fired(), [1, 1, 1]);
}

async fn longpoll(rig: &Rig, cursor: &str) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/2/files/list_folder/longpoll")
        .header("content-type", "application/json");
    let arg = json!({"cursor": cursor, "timeout": 30}).to_string();
    rig.send(request.body(Body::from(arg)).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_longpoll_waits_for_a_change_and_takes_no_token() {
    let rig = Rig::new();
    let arg = json!({"path": "/f"});
    rig.dropbox.put_folder("/f").unwrap();
    let latest = rig
        .rpc("files/list_folder/get_latest_cursor", arg)
        .await
        .ok();
    let cursor = latest["cursor"].as_str().unwrap();
    assert_eq!(longpoll(&rig, cursor).await.ok(), json!({"changes": false}));
    let change = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.dropbox
            .put_file("/elsewhere", "x".into(), None)
            .unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.dropbox.put_file("/f/x", "x".into(), None).unwrap();
    };
    let start = tokio::time::Instant::now();
    let (answer, ()) = tokio::join!(longpoll(&rig, cursor), change);
    assert_eq!(answer.ok(), json!({"changes": true}));
    assert_eq!(start.elapsed().as_secs(), 6);
    let arg = json!({"cursor": cursor, "timeout": 30});
    let with_token = rig.rpc("files/list_folder/longpoll", arg).await;
    assert_eq!(with_token.status, 400);
    assert!(
        with_token
            .text()
            .contains("includes an \"Authorization\" header")
    );
    rig.dropbox.reset_cursors().unwrap();
    assert_eq!(longpoll(&rig, cursor).await.refused(), "reset/");
}

#[tokio::test(start_paused = true)]
async fn another_casing_is_shown_by_a_fresh_listing_and_told_by_no_cursor() {
    let rig = Rig::new();
    rig.dropbox
        .put_file("/Shoot/hero.tif", "x".into(), None)
        .unwrap();
    let all = json!({"path": "", "recursive": true});
    let (_, cursor) = list(&rig, all.clone()).await;
    rig.dropbox.recase("/shoot/hero.tif", "HERO.tif").unwrap();
    rig.dropbox.recase("/shoot", "SHOOT").unwrap();
    assert_eq!(
        longpoll(&rig, &cursor).await.ok(),
        json!({"changes": false})
    );
    let (changes, cursor) = next(&rig, &cursor).await;
    assert!(changes.is_empty(), "{changes:?}");
    // Only the last component is sure to be as it is.
    let (fresh, _) = list(&rig, all).await;
    assert_eq!(names(&fresh), ["folder /SHOOT", "file /Shoot/HERO.tif"]);
    // By a call nobody can do it, and other names are no casings.
    let to = json!({"from_path": "/shoot/hero.tif", "to_path": "/shoot/Hero.tif"});
    let answer = rig.rpc("files/move_v2", to).await;
    assert_eq!(answer.refused(), "to/conflict/file/");
    let error = rig.dropbox.recase("/shoot", "shot").unwrap_err();
    assert!(error.to_string().contains("another name"), "{error}");
    // The next change of the file tells its casing along.
    rig.dropbox
        .put_file("/shoot/hero.tif", "xy".into(), None)
        .unwrap();
    let (changes, _) = next(&rig, &cursor).await;
    assert_eq!(changes, ["file /Shoot/HERO.tif"]);
}

#[tokio::test]
async fn people_bring_back_what_was_there() {
    let rig = Rig::new();
    let first = rig.dropbox.put_file("/a", "1".into(), None).unwrap();
    let second = rig.dropbox.put_file("/a", "22".into(), None).unwrap();
    let (_, cursor) = list(&rig, json!({"path": ""})).await;
    assert_eq!(
        rig.dropbox.revisions("/a").unwrap(),
        [second, first.clone()]
    );
    rig.dropbox.remove("/a").unwrap();
    let back = rig.dropbox.restore_file("/a", &first).unwrap();
    assert_ne!(back, first);
    let file = rig.dropbox.tree()[0].file.clone().unwrap();
    assert_eq!((file.size, file.rev), (1, back));
    assert_eq!(next(&rig, &cursor).await.0, ["file /a"]);
    let error = rig.dropbox.restore_file("/a", "0123456789").unwrap_err();
    assert!(error.to_string().contains("invalid_revision"), "{error}");
}
