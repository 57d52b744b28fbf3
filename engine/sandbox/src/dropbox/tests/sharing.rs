//! Shared folders and links as the contract has them.

use super::*;

async fn refused(rig: &Rig, route: &str, arg: Value) -> String {
    rig.rpc(route, arg).await.refused()
}

async fn shared(rig: &Rig, path: &str) -> Value {
    rig.dropbox.put_folder(path).unwrap();
    let answer = rig.rpc("sharing/share_folder", json!({ "path": path }));
    answer.await.ok()
}

async fn link(rig: &Rig, path: &str, settings: Value) -> Answer {
    let arg = json!({"path": path, "settings": settings});
    rig.rpc("sharing/create_shared_link_with_settings", arg)
        .await
}

#[tokio::test]
async fn a_shared_folder_is_a_namespace_and_stays_where_it_is() {
    let rig = Rig::new();
    rig.upload("/Out/DE/a.jpg", "1").await;
    let folder = shared(&rig, "/Out/DE").await;
    assert_eq!(folder[".tag"], "complete");
    assert_eq!(folder["access_type"], json!({".tag": "owner"}));
    assert_eq!(folder["path_lower"], "/out/de");
    let id = folder["shared_folder_id"].as_str().unwrap();
    let metadata = |path: String| rig.rpc("files/get_metadata", json!({ "path": path }));
    let there = metadata("/Out/DE".to_owned()).await.ok();
    assert_eq!(there["shared_folder_id"], id);
    assert_eq!(there["sharing_info"]["shared_folder_id"], id);
    let by_path = metadata("/Out/DE/a.jpg".to_owned()).await.ok();
    let by_namespace = metadata(format!("ns:{id}/a.jpg")).await.ok();
    assert_eq!(by_path, by_namespace);
    assert_eq!(by_path["sharing_info"]["parent_shared_folder_id"], id);
    rig.upload(&format!("ns:{id}/b.jpg"), "2").await;
    rig.dropbox.rename("/Out/DE", "/Germany").unwrap();
    let moved = metadata(format!("ns:{id}/b.jpg")).await.ok();
    assert_eq!(moved["path_display"], "/Germany/b.jpg");
    let rooted = rig
        .request("files/get_metadata")
        .header("content-type", "application/json")
        .header(
            "dropbox-api-path-root",
            json!({".tag": "namespace_id", "namespace_id": id}).to_string(),
        );
    let body = Body::from(json!({"path": "/a.jpg"}).to_string());
    let rooted = rig.send(rooted.body(body).unwrap()).await.ok();
    assert_eq!(rooted["path_display"], "/a.jpg");
}

#[tokio::test]
async fn sharing_is_refused_in_the_words_of_the_path_error() {
    let rig = Rig::new();
    let first = shared(&rig, "/Out/DE").await;
    let route = "sharing/share_folder";
    let answer = rig.rpc(route, json!({"path": "/out/de"})).await;
    let error = answer.json()["error"].clone();
    assert_eq!(answer.refused(), "bad_path/already_shared/");
    let there = &error["bad_path"];
    assert_eq!(there[".tag"], "already_shared");
    assert_eq!(there["shared_folder_id"], first["shared_folder_id"]);
    rig.upload("/Out/DE/a.jpg", "1").await;
    rig.dropbox.put_folder("/Out/DE/Spring").unwrap();
    for (path, error) in [
        ("/Out/DE/Spring", "bad_path/inside_shared_folder/"),
        ("/Out/DE/a.jpg", "bad_path/is_file/"),
        ("/Out", "bad_path/contains_shared_folder/"),
        ("/nothing", "bad_path/invalid_path/"),
    ] {
        assert_eq!(refused(&rig, route, json!({ "path": path })).await, error);
    }
    let unknown = json!({"path": "/Out", "everybody": true});
    assert_eq!(rig.rpc(route, unknown).await.status, 400);
}

#[tokio::test]
async fn a_share_that_takes_its_time_is_asked_after() {
    let rig = Rig::with(DropboxOptions {
        share_jobs: true,
        ..DropboxOptions::default()
    });
    let job = shared(&rig, "/Out").await;
    assert_eq!(job[".tag"], "async_job_id");
    let arg = json!({"async_job_id": job["async_job_id"]});
    let route = "sharing/check_share_job_status";
    let first = rig.rpc(route, arg.clone()).await.ok();
    assert_eq!(first, json!({".tag": "in_progress"}));
    let second = rig.rpc(route, arg).await.ok();
    assert_eq!(second[".tag"], "complete");
    assert_eq!(second["path_lower"], "/out");
    let unknown = refused(&rig, route, json!({"async_job_id": "dbjid:x"})).await;
    assert_eq!(unknown, "invalid_async_job_id/");
}

#[tokio::test]
async fn members_are_invited_join_change_and_leave() {
    let rig = Rig::new();
    let folder = shared(&rig, "/Out").await;
    let id = &folder["shared_folder_id"];
    let email = |email: &str| json!({".tag": "email", "email": email});
    let add = json!({
        "shared_folder_id": id,
        "members": [{"member": email("anna@example.com"), "access_level": "editor"}, {"member": email("Bert@example.com")}],
    });
    let answer = rig.rpc("sharing/add_folder_member", add).await;
    assert_eq!(answer.ok(), Value::Null);
    rig.dropbox
        .put_member("/Out", "anna@example.com", "editor")
        .unwrap();
    let route = "sharing/list_folder_members";
    let all = rig.rpc(route, json!({"shared_folder_id": id})).await.ok();
    assert_eq!(all["invitees"][0]["invitee"], email("bert@example.com"));
    assert_eq!(all["invitees"][0]["access_type"][".tag"], "viewer");
    assert_eq!(all["users"][0]["user"]["email"], "anna@example.com");
    assert_eq!(all["users"][1]["access_type"][".tag"], "owner");
    assert!(all.get("cursor").is_none());
    let page = rig.rpc(route, json!({"shared_folder_id": id, "limit": 2}));
    let cursor = page.await.ok()["cursor"].clone();
    let route = "sharing/list_folder_members/continue";
    let rest = rig.rpc(route, json!({ "cursor": cursor })).await.ok();
    assert_eq!(rest["users"].as_array().unwrap().len(), 1);
    assert!(rest.get("cursor").is_none());

    let update = json!({"shared_folder_id": id, "member": email("bert@example.com"), "access_level": "editor"});
    let level = rig.rpc("sharing/update_folder_member", update).await.ok();
    assert_eq!(level["access_level"][".tag"], "editor");
    let remove =
        |who: &str| json!({"shared_folder_id": id, "member": email(who), "leave_a_copy": false});
    let route = "sharing/remove_folder_member";
    let job = rig.rpc(route, remove("bert@example.com")).await.ok();
    assert_eq!(job[".tag"], "async_job_id");
    let again = refused(&rig, route, remove("bert@example.com")).await;
    assert_eq!(again, "member_error/not_a_member/");
    let owner = refused(&rig, route, remove("sandbox@example.com")).await;
    assert_eq!(owner, "folder_owner/");
    assert_eq!(rig.dropbox.members_of("/Out").unwrap().len(), 1);
}

#[tokio::test]
async fn invitations_are_refused_as_a_test_says_and_all_or_none_are_sent() {
    let rig = Rig::new();
    let folder = shared(&rig, "/Out").await;
    rig.dropbox.refuse_member("Bert@example.com", "bad_member");
    let member = |email: &str| json!({"member": {".tag": "email", "email": email}});
    let add = json!({
        "shared_folder_id": folder["shared_folder_id"],
        "members": [member("anna@example.com"), member("bert@example.com")],
    });
    let route = "sharing/add_folder_member";
    assert_eq!(refused(&rig, route, add).await, "bad_member/invalid_email/");
    assert_eq!(rig.dropbox.members_of("/Out").unwrap(), []);
    let nobody = json!({"shared_folder_id": "7", "members": [member("anna@example.com")]});
    let nobody = refused(&rig, route, nobody).await;
    assert_eq!(nobody, "access_error/invalid_id/");
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_has_no_path_and_comes_back() {
    let rig = Rig::new();
    let file = rig.upload("/Out/DE/a.jpg", "1").await;
    let folder = shared(&rig, "/Out/DE").await;
    let id = &folder["shared_folder_id"];
    let this = json!({ "shared_folder_id": id });
    let gone = rig.rpc("sharing/unmount_folder", this.clone()).await.ok();
    assert_eq!(gone, Value::Null);
    let route = "files/get_metadata";
    let missing = refused(&rig, route, json!({"path": "/Out/DE/a.jpg"})).await;
    assert_eq!(missing, "path/not_found/");
    let there = rig.rpc(route, json!({"path": file["id"]})).await.ok();
    assert!(there.get("path_lower").is_none());
    let listed = rig.rpc("sharing/list_folders", json!({})).await.ok();
    assert_eq!(listed["entries"][0]["name"], "DE");
    assert!(listed["entries"][0].get("path_lower").is_none());
    assert!(listed.get("cursor").is_none());
    let members = refused(&rig, "sharing/list_folder_members", this.clone()).await;
    assert_eq!(members, "unmounted/");
    let back = rig.rpc("sharing/mount_folder", this.clone()).await.ok();
    assert_eq!(back["path_lower"], "/de");
    let twice = refused(&rig, "sharing/mount_folder", this.clone()).await;
    assert_eq!(twice, "already_mounted/");
    rig.dropbox.expel("/DE").unwrap();
    let lost = refused(&rig, "sharing/get_folder_metadata", this).await;
    assert_eq!(lost, "invalid_id/");
}

#[tokio::test]
async fn shared_folders_are_listed_page_by_page_until_there_is_no_cursor() {
    let rig = Rig::new();
    for path in ["/a", "/b", "/c"] {
        shared(&rig, path).await;
    }
    let first = rig.rpc("sharing/list_folders", json!({"limit": 2})).await;
    let first = first.ok();
    assert_eq!(first["entries"].as_array().unwrap().len(), 2);
    let route = "sharing/list_folders/continue";
    let rest = rig.rpc(route, json!({"cursor": first["cursor"]})).await;
    let rest = rest.ok();
    assert_eq!(rest["entries"][0]["path_lower"], "/c");
    assert!(rest.get("cursor").is_none());
    let wrong = refused(&rig, route, json!({"cursor": "x"})).await;
    assert_eq!(wrong, "invalid_cursor/");
}

#[tokio::test]
async fn shared_folders_are_neither_copied_nor_nested_and_may_be_read_only() {
    let rig = Rig::new();
    shared(&rig, "/Out").await;
    shared(&rig, "/Team").await;
    let to = |from: &str, to: &str| json!({"from_path": from, "to_path": to});
    let copied = refused(&rig, "files/copy_v2", to("/Out", "/Copy")).await;
    assert_eq!(copied, "cant_copy_shared_folder/");
    let nested = refused(&rig, "files/move_v2", to("/Out", "/Team/Out")).await;
    assert_eq!(nested, "cant_nest_shared_folder/");
    rig.upload("/Partner/a.jpg", "1").await;
    rig.dropbox.share_as("/Partner", "viewer").unwrap();
    let away = refused(&rig, "files/move_v2", to("/Partner/a.jpg", "/a.jpg")).await;
    assert_eq!(away, "from_write/no_write_permission/");
    let into = refused(&rig, "files/move_v2", to("/Team", "/Partner/Team")).await;
    assert_eq!(into, "to/no_write_permission/");
    let deleted = refused(&rig, "files/delete_v2", json!({"path": "/Partner/a.jpg"})).await;
    assert_eq!(deleted, "path_write/no_write_permission/");
}

#[tokio::test]
async fn a_link_follows_its_file_and_ends_with_it() {
    let rig = Rig::new();
    let file = rig.upload("/Out/a.jpg", "1").await;
    let made = link(&rig, "/Out/a.jpg", Value::Null).await.ok();
    assert_eq!(made[".tag"], "file");
    assert_eq!((&made["id"], &made["rev"]), (&file["id"], &file["rev"]));
    assert_eq!(made["link_permissions"]["can_revoke"], true);
    let audience = json!({".tag": "public"});
    assert_eq!(made["link_permissions"]["effective_audience"], audience);
    rig.dropbox.rename("/Out/a.jpg", "/Kept/b.jpg").unwrap();
    let follow = json!({"url": made["url"]});
    let route = "sharing/get_shared_link_metadata";
    let moved = rig.rpc(route, follow.clone()).await.ok();
    assert_eq!(moved["path_lower"], "/kept/b.jpg");
    let arg = super::super::wire::header_safe(&follow.to_string());
    let request = rig
        .request("sharing/get_shared_link_file")
        .header("dropbox-api-arg", arg);
    let read = rig.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((read.status, &read.body[..]), (200, &b"1"[..]));
    assert!(
        read.header("dropbox-api-result")
            .contains("link_permissions")
    );
    rig.dropbox.remove("/Kept/b.jpg").unwrap();
    let gone = refused(&rig, route, follow).await;
    assert_eq!(gone, "shared_link_not_found/");
    assert_eq!(rig.dropbox.links(), []);
}

#[tokio::test]
async fn a_second_link_is_refused_with_the_first_one_in_the_error() {
    let rig = Rig::new();
    rig.upload("/a.jpg", "1").await;
    let made = link(&rig, "/a.jpg", Value::Null).await.ok();
    let again = link(&rig, "/A.jpg", Value::Null).await;
    let error = again.json()["error"].clone();
    let inner = &error["shared_link_already_exists"];
    assert_eq!(inner[".tag"], "metadata");
    assert_eq!(inner["metadata"]["url"], made["url"]);
    assert_eq!(inner["metadata"][".tag"], "file");
    assert_eq!(again.refused(), "shared_link_already_exists/metadata/file/");
    let missing = link(&rig, "/no.jpg", Value::Null).await.refused();
    assert_eq!(missing, "path/not_found/");
}

#[tokio::test]
async fn links_are_listed_for_one_item_for_those_above_it_and_for_all() {
    let rig = Rig::with(DropboxOptions {
        page_entries: 1,
        ..DropboxOptions::default()
    });
    rig.upload("/Out/a.jpg", "1").await;
    for path in ["/Out", "/Out/a.jpg"] {
        link(&rig, path, Value::Null).await.ok();
    }
    let route = "sharing/list_shared_links";
    let direct = rig.rpc(route, json!({"path": "/Out/a.jpg", "direct_only": true}));
    let direct = direct.await.ok();
    assert_eq!(direct["links"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&direct["has_more"], direct.get("cursor")),
        (&json!(false), None)
    );
    for arg in [json!({"path": "/Out/a.jpg"}), json!({})] {
        let first = rig.rpc(route, arg.clone()).await.ok();
        assert_eq!(first["links"][0][".tag"], "folder");
        assert_eq!(first["has_more"], true);
        let mut next = arg;
        next["cursor"] = first["cursor"].clone();
        let second = rig.rpc(route, next).await.ok();
        assert_eq!(second["links"][0][".tag"], "file");
        assert_eq!(second["has_more"], false);
    }
    let reset = refused(&rig, route, json!({"cursor": "x"})).await;
    assert_eq!(reset, "reset/");
}

#[tokio::test]
async fn a_link_is_changed_revoked_and_over_when_its_time_has_come() {
    let clock = TestClock::start();
    let rig = Rig::with(DropboxOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..DropboxOptions::default()
    });
    rig.upload("/a.jpg", "1").await;
    let settings = json!({"expires": "2026-03-01T09:30:00Z"});
    let made = link(&rig, "/a.jpg", settings).await.ok();
    assert_eq!(made["expires"], "2026-03-01T09:30:00Z");
    let this = json!({"url": made["url"]});
    let get = "sharing/get_shared_link_metadata";
    rig.rpc(get, this.clone()).await.ok();
    clock.advance(3600);
    let over = refused(&rig, get, this.clone()).await;
    assert_eq!(over, "shared_link_access_denied/");
    let route = "sharing/modify_shared_link_settings";
    let modify = |settings: Value, remove: bool| json!({"url": made["url"], "settings": settings, "remove_expiration": remove});
    let past = modify(json!({"expires": "2026-03-01T09:00:00Z"}), false);
    let past = refused(&rig, route, past).await;
    assert_eq!(past, "settings_error/invalid_settings/");
    let open = rig.rpc(route, modify(json!({}), true)).await.ok();
    assert!(open.get("expires").is_none());
    rig.rpc(get, this.clone()).await.ok();
    let revoke = "sharing/revoke_shared_link";
    assert_eq!(rig.rpc(revoke, this.clone()).await.ok(), Value::Null);
    let twice = refused(&rig, revoke, this).await;
    assert_eq!(twice, "shared_link_not_found/");
    let malformed = refused(&rig, revoke, json!({"url": "ftp://x"})).await;
    assert_eq!(malformed, "shared_link_malformed/");
    let foreign = rig.dropbox.add_foreign_link("/a.jpg").unwrap();
    let denied = refused(&rig, revoke, json!({ "url": foreign })).await;
    assert_eq!(denied, "shared_link_access_denied/");
}

#[tokio::test]
async fn what_a_plan_lacks_is_not_authorized_and_what_makes_no_sense_is_invalid() {
    let basic = Rig::with(DropboxOptions {
        basic_plan: true,
        ..DropboxOptions::default()
    });
    let rig = Rig::new();
    let expires = json!({"expires": "2099-01-01T00:00:00Z"});
    let password = json!({"require_password": true, "link_password": "x"});
    for rig in [&basic, &rig] {
        rig.upload("/a.jpg", "1").await;
    }
    for settings in [expires, password, json!({"audience": "team"})] {
        let answer = link(&basic, "/a.jpg", settings).await.refused();
        assert_eq!(answer, "settings_error/not_authorized/");
    }
    let team = link(&rig, "/a.jpg", json!({"audience": {".tag": "team"}})).await;
    assert_eq!(team.refused(), "settings_error/not_authorized/");
    let bare = link(&rig, "/a.jpg", json!({"require_password": true})).await;
    assert_eq!(bare.refused(), "settings_error/invalid_settings/");
    for unknown in [
        json!({"audience": "friends"}),
        json!({"expires": "2099-01-01T00:00:00.5Z"}),
        json!({"requested_visibility": "public"}),
    ] {
        assert_eq!(link(&rig, "/a.jpg", unknown).await.status, 400);
    }
    let password = json!({"require_password": true, "link_password": "x"});
    let made = link(&rig, "/a.jpg", password).await.ok();
    let get = "sharing/get_shared_link_metadata";
    let closed = refused(&rig, get, json!({"url": made["url"]})).await;
    assert_eq!(closed, "shared_link_access_denied/");
    let opened = json!({"url": made["url"], "link_password": "x"});
    assert_eq!(rig.rpc(get, opened).await.ok()["name"], "a.jpg");
}

#[tokio::test]
async fn sharing_needs_its_own_scopes() {
    let mut rig = Rig::new();
    rig.upload("/a.jpg", "1").await;
    let reading = ["sharing.read"];
    let lifetime = Duration::from_secs(600);
    let token = rig.dropbox.access_token_with(&reading, lifetime);
    rig.token = token.expose().to_owned();
    rig.rpc("sharing/list_shared_links", json!({})).await.ok();
    for route in [
        "sharing/create_shared_link_with_settings",
        "sharing/share_folder",
    ] {
        let answer = rig.rpc(route, json!({"path": "/a.jpg"})).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"]["required_scope"], "sharing.write");
    }
}

#[tokio::test]
async fn shares_and_links_come_back_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = DropboxOptions {
        dir: Some(dir.path().to_owned()),
        ..DropboxOptions::default()
    };
    let url = {
        let rig = Rig::with(options.clone());
        shared(&rig, "/Out").await;
        rig.dropbox
            .put_member("/Out", "anna@example.com", "viewer")
            .unwrap();
        rig.upload("/Out/a.jpg", "1").await;
        link(&rig, "/Out/a.jpg", Value::Null).await.ok()["url"].clone()
    };
    let rig = Rig::with(options);
    assert_eq!(rig.dropbox.links()[0].url, url);
    assert_eq!(rig.dropbox.members_of("/Out").unwrap().len(), 1);
}

#[tokio::test]
async fn a_move_between_namespaces_can_give_another_id() {
    let rig = Rig::with(DropboxOptions {
        moves_change_ids: true,
        ..DropboxOptions::default()
    });
    let file = rig.upload("/Out/a.jpg", "1").await;
    shared(&rig, "/Out").await;
    let arg = |from: &str, to: &str| json!({"from_path": from, "to_path": to});
    let inside = rig.rpc("files/move_v2", arg("/Out/a.jpg", "/Out/b.jpg"));
    assert_eq!(inside.await.ok()["metadata"]["id"], file["id"]);
    let outside = rig.rpc("files/move_v2", arg("/Out/b.jpg", "/b.jpg"));
    let outside = outside.await.ok()["metadata"].clone();
    assert_ne!(outside["id"], file["id"]);
    assert_eq!(outside["content_hash"], file["content_hash"]);
    assert_eq!(rig.paths(), ["/b.jpg", "/Out/"]);
}
