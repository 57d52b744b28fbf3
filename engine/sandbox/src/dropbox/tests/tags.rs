use super::*;

async fn tag(rig: &Rig, route: &str, text: &str) -> Answer {
    rig.rpc(route, json!({"path": "/a", "tag_text": text}))
        .await
}

#[tokio::test]
async fn tags_are_lower_case_words_at_most_twenty() {
    let rig = Rig::new();
    let file = rig.upload("/a", "x").await;
    tag(&rig, "files/tags/add", "Approved").await.ok();
    let got = rig.rpc("files/tags/get", json!({"paths": ["/A"]})).await;
    assert_eq!(
        got.text(),
        r#"{"paths_to_tags":[{"path":"/A","tags":[{".tag":"user_generated_tag","tag_text":"approved"}]}]}"#
    );
    for bad in ["", "two words", "a-b", &"x".repeat(33)] {
        assert_eq!(
            tag(&rig, "files/tags/add", bad).await.status,
            400,
            "{bad:?}"
        );
    }
    for n in 0..19 {
        tag(&rig, "files/tags/add", &format!("t{n}")).await.ok();
    }
    assert_eq!(
        tag(&rig, "files/tags/add", "more").await.refused(),
        "too_many_tags/"
    );
    tag(&rig, "files/tags/add", "t1").await.ok();
    tag(&rig, "files/tags/remove", "T1").await.ok();
    assert_eq!(
        tag(&rig, "files/tags/remove", "t1").await.refused(),
        "tag_not_present/"
    );
    let now = rig
        .rpc("files/get_metadata", json!({"path": "/a"}))
        .await
        .ok();
    assert_eq!(now["rev"], file["rev"]);
    let missing = rig.rpc("files/tags/get", json!({"paths": ["/no"]})).await;
    assert_eq!(missing.refused(), "path/not_found/");
    let by_id = json!({"path": file["id"], "tag_text": "x"});
    assert_eq!(rig.rpc("files/tags/add", by_id).await.status, 400);
}

#[tokio::test]
async fn whether_a_tag_is_a_change_is_an_option() {
    for listed in [true, false] {
        let rig = Rig::with(DropboxOptions {
            annotations_listed: listed,
            ..DropboxOptions::default()
        });
        rig.upload("/a", "x").await;
        let arg = json!({"path": ""});
        let latest = rig
            .rpc("files/list_folder/get_latest_cursor", arg)
            .await
            .ok();
        rig.dropbox.add_tag("/a", "hero").unwrap();
        let arg = json!({"cursor": latest["cursor"]});
        let page = rig.rpc("files/list_folder/continue", arg).await.ok();
        assert_eq!(
            page["entries"].as_array().unwrap().len(),
            usize::from(listed)
        );
    }
}

async fn template(rig: &Rig) -> Value {
    let arg = json!({
        "name": "dam", "description": "d",
        "fields": [{"name": "sku", "description": "s", "type": "string"}],
    });
    let route = "file_properties/templates/add_for_user";
    rig.rpc(route, arg).await.ok()["template_id"].clone()
}

#[tokio::test]
async fn templates_are_kept_and_removed_with_their_properties() {
    let rig = Rig::new();
    let id = template(&rig).await;
    let list = "file_properties/templates/list_for_user";
    assert_eq!(
        rig.rpc(list, Value::Null).await.ok(),
        json!({"template_ids": [id]})
    );
    let get = "file_properties/templates/get_for_user";
    let got = rig.rpc(get, json!({ "template_id": id })).await.ok();
    assert_eq!(got["fields"][0]["type"], json!({".tag": "string"}));
    let group = json!({"template_id": id, "fields": [{"name": "sku", "value": "1"}]});
    let arg = json!({"path": "/a", "property_groups": [group]});
    let file = rig.send_bytes("files/upload", arg, "x").await.ok();
    assert_eq!(file["property_groups"], json!([]));
    let filter = json!({".tag": "filter_some", "filter_some": [id]});
    let arg = json!({"path": "/a", "include_property_groups": filter});
    let shown = rig.rpc("files/get_metadata", arg.clone()).await.ok();
    assert_eq!(shown["property_groups"], json!([group]));
    let remove = "file_properties/templates/remove_for_user";
    rig.rpc(remove, json!({ "template_id": id })).await.ok();
    let shown = rig.rpc("files/get_metadata", arg).await.ok();
    assert_eq!(shown["property_groups"], json!([]));
    assert_eq!(
        rig.rpc(get, json!({ "template_id": id })).await.json()["error"],
        json!({".tag": "template_not_found", "template_not_found": id})
    );
}

#[tokio::test]
async fn properties_are_added_once_overwritten_at_will_and_checked() {
    let rig = Rig::new();
    let id = template(&rig).await;
    rig.upload("/a", "x").await;
    let put = |route: &'static str, name: &str, value: &str| {
        let group = json!({"template_id": id, "fields": [{"name": name, "value": value}]});
        rig.rpc(route, json!({"path": "/a", "property_groups": [group]}))
    };
    let add = "file_properties/properties/add";
    let overwrite = "file_properties/properties/overwrite";
    put(add, "sku", "1").await.ok();
    assert_eq!(
        put(add, "sku", "2").await.refused(),
        "property_group_already_exists/"
    );
    put(overwrite, "sku", "2").await.ok();
    assert_eq!(
        put(overwrite, "no", "2").await.refused(),
        "does_not_fit_template/"
    );
    let long = "x".repeat(1025);
    assert_eq!(
        put(overwrite, "sku", &long).await.refused(),
        "property_field_too_large/"
    );
    let arg = json!({"path": "/a", "property_template_ids": [id]});
    let remove = "file_properties/properties/remove";
    rig.rpc(remove, arg.clone()).await.ok();
    let again = rig.rpc(remove, arg).await.refused();
    assert_eq!(again, "property_group_lookup/property_group_not_found/");
    // A commit whose properties do not fit still stores the file.
    let group = json!({"template_id": "ptid:1", "fields": []});
    let arg = json!({"path": "/b", "property_groups": [group]});
    let answer = rig.send_bytes("files/upload", arg, "x").await.refused();
    assert!(
        answer.starts_with("properties_error/template_not_found/"),
        "{answer}"
    );
    assert_eq!(rig.paths(), ["/a", "/b"]);
}

#[tokio::test]
async fn properties_are_found_wherever_their_file_is_and_not_in_its_copies() {
    let rig = Rig::new();
    let id = template(&rig).await;
    let group = json!({"template_id": id, "fields": [{"name": "sku", "value": "1"}]});
    let arg = json!({"path": "/a", "property_groups": [group]});
    let file = rig.send_bytes("files/upload", arg, "x").await.ok();
    let arg = json!({"from_path": "/a", "to_path": "/copy"});
    rig.rpc("files/copy_v2", arg).await.ok();
    let arg = json!({"from_path": "/a", "to_path": "/Elsewhere/b"});
    rig.rpc("files/move_v2", arg).await.ok();
    let search = |value: &str, only: Value| {
        let mode = json!({".tag": "field_name", "field_name": "sku"});
        let query = json!({"query": value, "mode": mode, "logical_operator": "or_operator"});
        let arg = json!({"queries": [query], "template_filter": only});
        rig.rpc("file_properties/properties/search", arg)
    };
    let ours = json!({".tag": "filter_some", "filter_some": [id]});
    let found = search("1", ours.clone()).await.ok();
    let one = json!({
        "id": file["id"], "path": "/Elsewhere/b", "is_deleted": false, "property_groups": [group],
    });
    assert_eq!(found, json!({ "matches": [one] }));
    let all = json!("filter_none");
    assert_eq!(
        search("1", all.clone()).await.ok()["matches"],
        found["matches"]
    );
    assert_eq!(search("2", all).await.ok(), json!({ "matches": [] }));
    let other = json!({".tag": "filter_some", "filter_some": ["ptid:1"]});
    assert_eq!(search("1", other).await.refused(), "template_not_found/");
    rig.rpc("files/delete_v2", json!({"path": "/Elsewhere/b"}))
        .await
        .ok();
    assert_eq!(search("1", ours).await.ok(), json!({ "matches": [] }));
}
