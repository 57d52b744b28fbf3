//! Assets through their life: create, read, change, version, lock, delete.

use super::super::READER_API_KEY;
use super::*;

#[tokio::test]
async fn upload_create_get_search_patch_and_download_tell_one_story() {
    let bed = Bed::new();
    let content = b"the quick brown fox".repeat(1000);
    let id = bed.asset("hall-7.tif", &content).await;
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(asset["name"], "hall-7.tif");
    assert_eq!(asset["releaseStatus"], "RELEASED");
    assert_eq!(asset["validationLevel"], "STRICT");
    assert!(asset.get("modification").is_none() && asset.get("lock").is_none());
    let version = &asset["currentVersion"];
    assert_eq!(
        (&version["id"], &version["active"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(version["filesize"], content.len());
    assert_eq!(version["fileExtension"], "tif");
    assert_eq!(version["fileCategory"], "IMAGE");
    assert_eq!(version["fileChecksum"].as_str().unwrap().len(), 32);
    let path = &asset["parentPaths"][0]["pathSegments"];
    assert_eq!(path[0]["collectionName"]["en"], "Brand Library");
    assert_eq!(path[1]["collectionName"]["de"], "Eingang");

    let by_checksum = json!({"type": "ASSET_CHECKSUM", "values": [version["fileChecksum"]]});
    assert_eq!(bed.find(by_checksum.clone()).await, Vec::<u64>::new());
    bed.clock.advance(30);
    assert_eq!(bed.find(by_checksum).await, [id]);

    let approve = bed.value("approval", "DROPDOWN", json!({"op": "SET", "value": 1}));
    let wish = json!({"name": "Hall 7", "informationFieldValues": [approve]});
    let patched = bed.patch(&format!("/assets/{id}"), wish).await.ok();
    assert_eq!(patched["name"], "Hall 7");
    assert_eq!(
        patched["modification"],
        json!({"date": "2026-03-01T10:00:30Z", "userId": 2})
    );

    let link = bed
        .get(&format!(
            "/assets/{id}/download?downloadFormatId=1&versionId=1"
        ))
        .await
        .ok();
    assert_eq!(link["filename"], "hall-7.tif");
    let got = bed
        .outside("GET", link["url"].as_str().unwrap(), &[], Body::empty())
        .await;
    assert_eq!(got.bytes, content);
    assert_eq!(
        got.headers["content-length"],
        content.len().to_string().as_str()
    );
}

#[tokio::test]
async fn uploads_go_into_permission_defining_collections_only() {
    let bed = Bed::new();
    let handle = bed.upload("a.txt", b"a").await;
    for (path, status) in [("Clients", 400), ("Keywords/Print", 400)] {
        let mut wish = bed.wish(Some(&handle), Vec::new());
        wish["parentId"] = bed.collection(path).into();
        assert_eq!(
            bed.post("/assets", wish).await.refused(status)["argument"],
            "parentId"
        );
    }
    let mut wish = bed.wish(Some(&handle), Vec::new());
    wish["parentId"] = 4711.into();
    let missing = bed.post("/assets", wish).await;
    missing.refused(403);
    assert_eq!(missing.json()["entity"], "Collection(4711)");
    // None of that used the handle up.
    bed.post("/assets", bed.wish(Some(&handle), Vec::new()))
        .await
        .ok();
}

#[tokio::test]
async fn create_refuses_unknown_types_long_names_and_unknown_members() {
    let bed = Bed::new();
    let mut wish = bed.wish(None, Vec::new());
    wish["typeId"] = 99.into();
    bed.post("/assets", wish).await.refused(403);
    let mut wish = bed.wish(None, Vec::new());
    wish["name"] = "x".repeat(256).into();
    assert_eq!(
        bed.post("/assets", wish).await.refused(400)["argument"],
        "name"
    );
    let mut wish = bed.wish(None, Vec::new());
    wish["availability"] = json!({"type": "DIRECT", "available": true});
    let refused = bed.post("/assets", wish).await.refused(400);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("availability")
    );
}

#[tokio::test]
async fn an_asset_without_content_is_a_placeholder_until_a_version_arrives() {
    let bed = Bed::new();
    let made = bed.post("/assets", bed.wish(None, Vec::new())).await.ok();
    assert_eq!(made["currentVersion"]["fileCategory"], "PLACEHOLDER");
    assert!(made["currentVersion"].get("previewState").is_none());
    let id = made["id"].as_u64().unwrap();
    bed.get(&format!("/assets/{id}/download?downloadFormatId=1"))
        .await
        .refused(400);
    let handle = bed.upload("a.pdf", b"%PDF").await;
    let wish = json!({"filename": "b.pdf", "uploadHandle": handle});
    let version = bed.post(&format!("/assets/{id}/versions"), wish).await;
    assert_eq!(version.status, StatusCode::CREATED);
    let version = version.json();
    assert_eq!(
        (&version["id"], &version["filename"]),
        (&json!(2), &json!("b.pdf"))
    );
    assert_eq!(
        (&version["active"], &version["fileCategory"]),
        (&json!(true), &json!("DOCUMENT"))
    );
}

#[tokio::test]
async fn a_new_version_becomes_current_only_where_the_profile_says_so() {
    let bed = Bed::with("autoActivate = false");
    let id = bed.asset("a.txt", b"one").await;
    let handle = bed.upload("a.txt", b"two!").await;
    let wish = json!({"filename": "a.txt", "uploadHandle": handle});
    let added = bed.post(&format!("/assets/{id}/versions"), wish).await.ok();
    assert_eq!(added["active"], false);
    let asset = format!("/assets/{id}");
    assert_eq!(bed.get(&asset).await.ok()["currentVersion"]["id"], 1);
    let patched = bed.patch(&asset, json!({"currentVersion": 2})).await.ok();
    assert_eq!(patched["currentVersion"]["filesize"], 4);
    bed.patch(&asset, json!({"currentVersion": 3}))
        .await
        .refused(403);
}

#[tokio::test]
async fn versions_are_paged_and_deleted_down_to_the_last() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"one").await;
    let versions = format!("/assets/{id}/versions");
    for content in [&b"two"[..], b"three"] {
        let handle = bed.upload("a.txt", content).await;
        bed.post(
            &versions,
            json!({"filename": "a.txt", "uploadHandle": handle}),
        )
        .await
        .ok();
    }
    let page = bed.get(&format!("{versions}?size=2")).await.ok();
    assert_eq!((ids(&page), &page["hasNext"]), (vec![1, 2], &json!(true)));
    assert_eq!(
        bed.delete(&format!("{versions}/3")).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        bed.get(&format!("/assets/{id}")).await.ok()["currentVersion"]["id"],
        2
    );
    bed.delete(&format!("{versions}/3")).await.refused(403);
    bed.delete(&format!("{versions}/1")).await.ok();
    bed.delete(&format!("{versions}/2")).await.refused(400);
    // Ids of versions are not used again.
    let handle = bed.upload("a.txt", b"four").await;
    let wish = json!({"filename": "a.txt", "uploadHandle": handle});
    assert_eq!(bed.post(&versions, wish).await.ok()["id"], 4);
}

#[tokio::test]
async fn lists_leave_out_what_a_get_by_id_shows_unless_asked() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let link = json!({"descriptionKey": "mirror", "providerKey": "windlass", "url": "https://x.invalid/1"});
    let wish = json!({"externalReferences": {"op": "MODIFY", "add": [link]}});
    bed.patch(&format!("/assets/{id}"), wish).await.ok();
    bed.clock.advance(60);
    let has = |asset: &Value| {
        [
            "informationFieldValueSets",
            "fileProperties",
            "externalReferences",
            "downloadFormats",
        ]
        .map(|name| asset.get(name).is_some())
    };
    let first = |page: Value| page["content"][0].clone();
    assert_eq!(has(&first(bed.get("/assets").await.ok())), [false; 4]);
    let all =
        "inclusions=informationFields&inclusions=fileProperties,externalReferences,downloadFormats";
    assert_eq!(
        has(&first(bed.get(&format!("/assets?{all}")).await.ok())),
        [true; 4]
    );
    let by_id = format!("/assets/{id}");
    assert_eq!(has(&bed.get(&by_id).await.ok()), [true, true, false, false]);
    let only = bed
        .get(&format!("{by_id}?inclusions=externalReferences"))
        .await
        .ok();
    assert_eq!(has(&only), [false, false, true, false]);
    let one = bed.field("campaignId");
    let chosen = bed
        .get(&format!(
            "{by_id}?informationFields={one}&permissions=delete"
        ))
        .await
        .ok();
    assert_eq!(
        chosen["informationFieldValueSets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(chosen["permissions"], json!({"delete": true}));
    let asked = format!("{by_id}?permissions=delete");
    let reader = bed.as_user(READER_API_KEY, "GET", &asked, None).await.ok();
    assert_eq!(reader["permissions"], json!({"delete": false}));
    bed.get(&format!("{by_id}?inclusions=everything"))
        .await
        .refused(400);
    bed.get(&format!("{by_id}?permissions=everything"))
        .await
        .refused(400);
}

#[tokio::test]
async fn availability_is_an_object_of_two_kinds() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let path = format!("/assets/{id}");
    let off = json!({"type": "DIRECT", "available": false});
    let dated =
        json!({"type": "DATED", "from": "2026-01-01T00:00:00Z", "to": "2026-12-31T23:59:59Z"});
    for availability in [off, dated] {
        let shown = bed
            .patch(&path, json!({"availability": availability}))
            .await
            .ok();
        assert_eq!(shown["availability"], availability);
        assert!(shown.get("modification").is_none(), "only edits move it");
    }
    for bad in [
        json!("AVAILABLE"),
        json!({"type": "DIRECT"}),
        json!({"type": "DIRECT", "available": true, "from": "2026-01-01T00:00:00Z"}),
        json!({"type": "DATED", "from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
    ] {
        let refused = bed
            .patch(&path, json!({"availability": bad}))
            .await
            .refused(400);
        assert_eq!(refused["argument"], "availability");
    }
}

#[tokio::test]
async fn parents_are_added_removed_and_never_all_gone() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let path = format!("/assets/{id}");
    let (inbox, client) = (
        bed.collection(crate::celum::INBOX),
        bed.collection("Clients/Alpine Dairy"),
    );
    let campaigns = bed.collection("Brand Library/Campaigns");
    let parents = async |change: Value| bed.patch(&path, json!({"parentIds": change})).await;
    let linked = parents(json!({"op": "MODIFY", "add": [client]})).await.ok();
    assert_eq!(linked["parentIds"], json!([inbox, client]));
    let moved = parents(json!({"op": "MODIFY", "add": [campaigns], "remove": [inbox]}))
        .await
        .ok();
    assert_eq!(moved["parentIds"], json!([client, campaigns]));
    let gone = parents(json!({"op": "MODIFY", "remove": [campaigns]}))
        .await
        .refused(400);
    assert_eq!(gone["code"], "LAST_PARENT");
    let set = parents(json!({"op": "SET", "values": [inbox]})).await.ok();
    assert_eq!(set["parentIds"], json!([inbox]));
    parents(json!({"op": "SET", "values": []}))
        .await
        .refused(400);
    parents(json!({"op": "MODIFY", "add": [4711]}))
        .await
        .refused(403);
    parents(json!({"op": "CLEAR"})).await.refused(400);
    parents(json!([inbox])).await.refused(400);
}

#[tokio::test]
async fn a_lock_needs_a_comment_and_keeps_others_out() {
    let bed = Bed::with("lock = { othersStatus = 423 }");
    let id = bed.asset("a.txt", b"a").await;
    let path = format!("/assets/{id}");
    for bad in [
        json!({"op": "SET"}),
        json!({"op": "SET", "comment": " "}),
        json!({"op": "LOCK"}),
    ] {
        bed.patch(&path, json!({"lock": bad})).await.refused(400);
    }
    let lock = json!({"lock": {"op": "SET", "comment": "sync in progress"}});
    let locked = bed.patch(&path, lock.clone()).await.ok();
    assert_eq!(locked["lock"]["comment"], "sync in progress");
    assert_eq!(locked["lock"]["creation"]["userId"], 2);
    bed.patch(&path, lock).await.ok();
    let editor = async |method: &str, path: &str, body: Option<Value>| {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}{path}"));
        request = request
            .header("x-api-key", API_KEY)
            .header("x-celum-username", "editor");
        request = request.header("content-type", "application/json");
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        answer(&bed.api, request.body(body).unwrap()).await
    };
    editor("PATCH", &path, Some(json!({"name": "mine"})))
        .await
        .refused(423);
    editor("DELETE", &path, None).await.refused(423);
    let handle = bed.upload("b.txt", b"b").await;
    let version = json!({"filename": "b.txt", "uploadHandle": handle});
    editor("POST", &format!("{path}/versions"), Some(version))
        .await
        .refused(423);
    let freed = bed
        .patch(&path, json!({"lock": {"op": "CLEAR"}}))
        .await
        .ok();
    assert!(freed.get("lock").is_none());
    editor("PATCH", &path, Some(json!({"name": "mine"})))
        .await
        .ok();
}

#[tokio::test]
async fn external_references_are_keyed_and_only_modified() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let path = format!("/assets/{id}");
    let reference =
        |url: &str| json!({"descriptionKey": "mirror", "providerKey": "windlass", "url": url});
    let shown = async |change: Value| {
        let answer = bed
            .patch(&path, json!({"externalReferences": change}))
            .await
            .ok();
        answer["externalReferences"].clone()
    };
    shown(json!({"op": "MODIFY", "add": [reference("https://x.invalid/1")]})).await;
    let replaced = shown(json!({"op": "MODIFY", "add": [reference("https://x.invalid/2")]})).await;
    assert_eq!(replaced.as_array().unwrap().len(), 1);
    assert_eq!(replaced[0]["url"], "https://x.invalid/2");
    assert_eq!(replaced[0]["description"]["key"], "mirror");
    let key = json!({"descriptionKey": "mirror", "providerKey": "windlass"});
    assert_eq!(
        shown(json!({"op": "MODIFY", "remove": [key]})).await,
        json!([])
    );
    for bad in [
        json!({"op": "SET", "values": []}),
        json!({"op": "MODIFY", "add": [reference("not a url")]}),
    ] {
        bed.patch(&path, json!({"externalReferences": bad}))
            .await
            .refused(400);
    }
}

#[tokio::test]
async fn a_refused_patch_changes_nothing() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let wish = json!({"name": "other", "lock": {"op": "SET"}});
    bed.patch(&format!("/assets/{id}"), wish).await.refused(400);
    let unknown = json!({"name": "other", "colour": "red"});
    let refused = bed
        .patch(&format!("/assets/{id}"), unknown)
        .await
        .refused(400);
    assert!(refused["message"].as_str().unwrap().contains("colour"));
    assert_eq!(bed.celum.assets()[0].name, "a.txt");
}

#[tokio::test]
async fn another_type_keeps_only_the_values_it_has() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let document = bed.celum.asset_type_id("document").unwrap();
    let retyped = bed
        .patch(&format!("/assets/{id}"), json!({"typeId": document}))
        .await
        .ok();
    assert_eq!(retyped["typeId"], document);
    assert_eq!(bed.celum.assets()[0].fields.len(), 0);
    let back = json!({"typeId": bed.campaign_type()});
    let refused = bed.patch(&format!("/assets/{id}"), back).await.refused(400);
    assert_eq!(refused["code"], "REQUIRED");
}

#[tokio::test]
async fn a_deleted_asset_is_gone_with_its_content() {
    let bed = Bed::with("emptyStatus = 200\nindexLag = 0");
    let id = bed.asset("a.txt", b"a").await;
    let link = bed
        .get(&format!("/assets/{id}/download?downloadFormatId=1"))
        .await
        .ok();
    let deleted = bed.delete(&format!("/assets/{id}")).await;
    assert_eq!((deleted.status, deleted.bytes.len()), (StatusCode::OK, 0));
    bed.get(&format!("/assets/{id}")).await.refused(403);
    bed.delete(&format!("/assets/{id}")).await.refused(403);
    bed.outside("GET", link["url"].as_str().unwrap(), &[], Body::empty())
        .await
        .refused(404);
    assert!(bed.celum.read_content(id, 0..1).is_err());
    assert_ne!(bed.asset("b.txt", b"b").await, id, "ids are not used again");
}

#[tokio::test]
async fn previews_process_then_succeed_or_fail() {
    let bed = Bed::with("previewFailurePercent = 0");
    let id = bed.asset("a.txt", b"a").await;
    let version = async |bed: &Bed, id: u64| {
        bed.get(&format!("/assets/{id}")).await.ok()["currentVersion"].clone()
    };
    assert_eq!(version(&bed, id).await["previewState"], "PROCESSING");
    bed.get(&format!("/assets/{id}/download?downloadFormatId=2"))
        .await
        .refused(400);
    bed.clock.advance(2);
    let done = version(&bed, id).await;
    assert_eq!(done["previewState"], "SUCCEEDED");
    for key in ["THUMB", "PREVIEW", "LARGE"] {
        let url = done["previewUrls"][key].as_str().unwrap();
        let picture = bed.outside("GET", url, &[], Body::empty()).await;
        assert_eq!(picture.headers["content-type"], "image/png");
        assert!(image::load_from_memory(&picture.bytes).is_ok());
    }
    let link = bed
        .get(&format!("/assets/{id}/download?downloadFormatId=2"))
        .await
        .ok();
    assert_eq!(link["filename"], "a.png");

    let failing = Bed::with("previewFailurePercent = 100");
    let id = failing.asset("a.txt", b"a").await;
    failing.clock.advance(2);
    let failed = version(&failing, id).await;
    assert_eq!(failed["previewState"], "FAILED");
    assert!(failed.get("previewUrls").is_none());
}

#[tokio::test]
async fn pictures_have_width_height_and_a_small_copy() {
    let bed = Bed::with("previewFailurePercent = 0");
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(640, 320, image::Rgb([200, 10, 10]));
    picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let id = bed.asset("red.png", png.get_ref()).await;
    bed.clock.advance(2);
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    let property = |n: usize| asset["fileProperties"][n]["value"].clone();
    assert_eq!((property(0), property(1)), (json!(640), json!(320)));
    let thumb = asset["currentVersion"]["previewUrls"]["THUMB"]
        .as_str()
        .unwrap();
    let thumb = bed.outside("GET", thumb, &[], Body::empty()).await;
    let thumb = image::load_from_memory(&thumb.bytes).unwrap();
    assert_eq!((thumb.width(), thumb.height()), (250, 125));
}

#[tokio::test]
async fn the_checker_sees_equal_contents() {
    let bed = Bed::with(r#"checksum = "none""#);
    let (one, two) = (
        bed.asset("a.txt", b"same").await,
        bed.asset("b.txt", b"same").await,
    );
    bed.asset("c.txt", b"other").await;
    assert_eq!(bed.celum.duplicates(), [[one, two]]);
    let shown = bed.get(&format!("/assets/{one}")).await.ok();
    assert!(shown["currentVersion"].get("fileChecksum").is_none());
    let snapshot = &bed.celum.assets()[0];
    assert_eq!(snapshot.parents, ["Brand Library/Inbox"]);
    assert_eq!(snapshot.fields["campaignId"], "CMP-0142");
    assert_eq!(&bed.celum.read_content(one, 1..3).unwrap()[..], b"am");
    assert_eq!(bed.celum.asset_count(), 3);
}
