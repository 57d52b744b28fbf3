use super::*;

async fn refused(rig: &Rig, route: &str, arg: Value) -> String {
    rig.rpc(route, arg).await.refused()
}

#[tokio::test]
async fn creating_a_folder_makes_its_parents_and_refuses_what_exists() {
    let rig = Rig::new();
    let made = rig
        .rpc("files/create_folder_v2", json!({"path": "/A/b/C"}))
        .await
        .ok();
    assert_eq!(made["metadata"]["path_display"], "/A/b/C");
    assert!(made["metadata"].get(".tag").is_none());
    assert_eq!(rig.paths(), ["/A/", "/A/b/", "/A/b/C/"]);
    let route = "files/create_folder_v2";
    assert_eq!(
        refused(&rig, route, json!({"path": "/a/B"})).await,
        "path/conflict/folder/"
    );
    rig.upload("/f", "x").await;
    assert_eq!(
        refused(&rig, route, json!({"path": "/f"})).await,
        "path/conflict/file/"
    );
    assert_eq!(
        refused(&rig, route, json!({"path": "/f/g"})).await,
        "path/conflict/file_ancestor/"
    );
    let renamed = json!({"path": "/a", "autorename": true});
    assert_eq!(
        rig.rpc(route, renamed).await.ok()["metadata"]["name"],
        "a (1)"
    );
    assert_eq!(rig.rpc(route, json!({"path": ""})).await.status, 400);
}

#[tokio::test]
async fn batches_answer_each_in_their_own_shape() {
    let rig = Rig::new();
    let made = rig
        .rpc("files/create_folder_batch", json!({"paths": ["/a", "/A"]}))
        .await
        .ok();
    assert_eq!(made[".tag"], "complete");
    assert_eq!(made["entries"][0]["metadata"]["name"], "a");
    let conflict = json!({".tag": "conflict", "conflict": {".tag": "folder"}});
    let failure = json!({".tag": "failure", "failure": {".tag": "path", "path": conflict}});
    assert_eq!(made["entries"][1], failure);
    rig.upload("/a/x", "1").await;
    let entries =
        json!([{"from_path": "/a/x", "to_path": "/a/y"}, {"from_path": "/no", "to_path": "/n"}]);
    let copied = rig
        .rpc("files/copy_batch_v2", json!({ "entries": entries }))
        .await
        .ok();
    assert_eq!(copied["entries"][0]["success"][".tag"], "file");
    let lookup = json!({".tag": "from_lookup", "from_lookup": {".tag": "not_found"}});
    let failure = json!({".tag": "relocation_error", "relocation_error": lookup});
    assert_eq!(
        copied["entries"][1],
        json!({".tag": "failure", "failure": failure})
    );
    let entries = json!([{"path": "/a/y"}, {"path": "/no"}]);
    let deleted = rig
        .rpc("files/delete_batch", json!({ "entries": entries }))
        .await
        .ok();
    assert_eq!(deleted["entries"][0]["metadata"]["name"], "y");
    let lookup = json!({".tag": "path_lookup", "path_lookup": {".tag": "not_found"}});
    assert_eq!(deleted["entries"][1]["failure"], lookup);
}

#[tokio::test]
async fn deleting_takes_everything_below_and_a_new_file_there_is_another_file() {
    let rig = Rig::new();
    let old = rig.upload("/a/b/c", "x").await;
    let stale = json!({"path": "/a/b/c", "parent_rev": "012345678"});
    assert_eq!(
        refused(&rig, "files/delete_v2", stale).await,
        "path_write/conflict/file/"
    );
    let gone = rig.rpc("files/delete_v2", json!({"path": "/A"})).await.ok();
    assert_eq!(gone["metadata"][".tag"], "folder");
    assert!(rig.paths().is_empty());
    assert_eq!(
        refused(&rig, "files/delete_v2", json!({"path": "/a"})).await,
        "path_lookup/not_found/"
    );
    let new = rig.upload("/a/b/c", "x").await;
    assert_ne!(new["id"], old["id"]);
    let space = rig.rpc("users/get_space_usage", Value::Null).await.ok();
    assert_eq!(space["used"], 1);
}

#[tokio::test]
async fn a_copy_has_new_ids_and_a_move_keeps_them() {
    let rig = Rig::new();
    let file = rig.upload("/a/x", "12").await;
    rig.dropbox.add_tag("/a/x", "hero").unwrap();
    let copied = rig
        .rpc("files/copy_v2", json!({"from_path": "/a", "to_path": "/c"}))
        .await
        .ok();
    assert_eq!(copied["metadata"][".tag"], "folder");
    let copy = rig
        .rpc("files/get_metadata", json!({"path": "/c/x"}))
        .await
        .ok();
    assert_ne!(copy["id"], file["id"]);
    assert_eq!(copy["content_hash"], file["content_hash"]);
    let arg = json!({"from_path": file["id"], "to_path": "/Deep/er/y"});
    let moved = rig.rpc("files/move_v2", arg).await.ok();
    assert_eq!(moved["metadata"]["id"], file["id"]);
    let tags: Vec<_> = rig
        .dropbox
        .tree()
        .into_iter()
        .map(|e| e.tags.concat())
        .collect();
    assert_eq!(tags, ["", "", "", "", "", "hero"]);
    assert_eq!(
        rig.paths(),
        ["/a/", "/c/", "/c/x", "/Deep/", "/Deep/er/", "/Deep/er/y"]
    );
}

#[tokio::test]
async fn moves_never_overwrite_and_never_nest() {
    let rig = Rig::new();
    rig.upload("/a/x", "1").await;
    rig.upload("/b", "2").await;
    let route = "files/move_v2";
    let to = |from: &str, to: &str| json!({"from_path": from, "to_path": to});
    assert_eq!(
        refused(&rig, route, to("/b", "/A/X")).await,
        "to/conflict/file/"
    );
    assert_eq!(
        refused(&rig, route, to("/b", "/B")).await,
        "to/conflict/file/"
    );
    assert_eq!(
        refused(&rig, route, to("/no", "/n")).await,
        "from_lookup/not_found/"
    );
    assert_eq!(
        refused(&rig, route, to("/a", "/a/b")).await,
        "cant_move_folder_into_itself/"
    );
    assert_eq!(
        refused(&rig, route, to("/a", "/b/c")).await,
        "to/conflict/file_ancestor/"
    );
    assert_eq!(
        refused(&rig, route, to("/b", "/.DS_Store")).await,
        "to/disallowed_name/"
    );
    let mut renamed = to("/b", "/a/x");
    renamed["autorename"] = true.into();
    assert_eq!(
        rig.rpc(route, renamed).await.ok()["metadata"]["name"],
        "x (1)"
    );
}
