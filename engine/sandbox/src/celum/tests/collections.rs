//! The tree of collections.

use super::*;

#[tokio::test]
async fn a_collection_has_either_a_type_or_a_parent() {
    let bed = Bed::new();
    let library = bed.collection("Brand Library");
    let name = json!({"en": "Fair 2026", "de": "Messe 2026"});
    let child = bed
        .post("/collections", json!({"name": name, "parentId": library}))
        .await;
    assert_eq!(child.status, StatusCode::CREATED);
    let child = child.json();
    assert_eq!(
        (&child["parentId"], &child["typeId"]),
        (&json!(library), &json!(1))
    );
    assert_eq!(child["validationLevelInherited"], true);
    assert_eq!(child["validationLevel"], "STRICT");
    assert_eq!(child["path"]["pathSegments"].as_array().unwrap().len(), 2);
    let root = bed
        .post("/collections", json!({"name": name, "typeId": 1}))
        .await
        .ok();
    assert!(root.get("parentId").is_none());
    assert_eq!(root["validationLevelInherited"], false);
    for bad in [
        json!({"name": name}),
        json!({"name": name, "typeId": 1, "parentId": library}),
        json!({"name": {}, "typeId": 1}),
        json!({"name": "Fair", "typeId": 1}),
        json!({"name": {"xx": "Fair"}, "typeId": 1}),
        json!({"name": {"en": ""}, "typeId": 1}),
        json!({"name": name, "typeId": 1, "validationLevelInherited": true}),
        json!({"name": name, "parentId": library, "validationLevel": "TOLERANT"}),
        json!({"name": name, "typeId": 1, "colour": "red"}),
    ] {
        bed.post("/collections", bad).await.refused(400);
    }
    bed.post("/collections", json!({"name": name, "typeId": 99}))
        .await
        .refused(403);
    bed.post("/collections", json!({"name": name, "parentId": 99}))
        .await
        .refused(403);
}

#[tokio::test]
async fn a_child_may_be_tolerant_by_its_own_word() {
    let bed = Bed::new();
    let loose = json!({
        "name": {"en": "Loose"},
        "parentId": bed.collection("Brand Library"),
        "validationLevelInherited": false,
        "validationLevel": "TOLERANT",
    });
    let loose = bed.post("/collections", loose).await.ok()["id"].clone();
    bed.post("/assets", json!({"parentId": loose})).await.ok();
    let path = format!("/collections/{loose}");
    let strict = bed
        .patch(&path, json!({"validationLevelInherited": true}))
        .await
        .ok();
    assert_eq!(strict["validationLevel"], "STRICT");
    bed.post("/assets", json!({"parentId": loose}))
        .await
        .refused(400);
}

#[tokio::test]
async fn lists_narrow_by_parent_type_ids_and_text() {
    let bed = Bed::new();
    let deep = bed
        .celum
        .ensure_collection("Clients/Alpine Dairy/Cheese")
        .unwrap();
    let clients = bed.collection("Clients");
    let list =
        async |query: &str| ids(&bed.get(&format!("/collections?size=200{query}")).await.ok());
    assert_eq!(list("").await, [1, 2, 3, 4]);
    assert_eq!(list(&format!("&parentId={clients}")).await, [31, 32]);
    assert_eq!(
        list(&format!("&parentId={clients}&recursive=true")).await,
        [31, 32, deep]
    );
    assert_eq!(list("&ids=31,2&ids=12").await, [2, 12, 31]);
    assert_eq!(
        list("&permissionDefiningOnly=true&recursive=true").await,
        [1, 4, 11, 12]
    );
    assert_eq!(list("&typeId=3").await, [2]);
    assert_eq!(list("&sort=name,DESC").await, [2, 4, 3, 1]);
    let cheese = "&searchText=cheese&searchType=termsStartingWith";
    assert_eq!(
        list(cheese).await,
        Vec::<u64>::new(),
        "texts are found after the lag"
    );
    bed.clock.advance(30);
    assert_eq!(list(cheese).await, [deep]);
    bed.get("/collections?sort=informationField.1")
        .await
        .refused(400);
    bed.get("/collections?parentId=99").await.refused(403);
}

#[tokio::test]
async fn a_collection_shows_children_permissions_and_values() {
    let bed = Bed::new();
    let code = json!([{"id": bed.field("code"), "type": "TEXT", "value": "ALP"}]);
    let wish = json!({
        "name": {"en": "Cheese"},
        "parentId": bed.collection("Clients"),
        "informationFieldValues": code,
    });
    let made = bed.post("/collections", wish).await.ok();
    assert_eq!(shown(&made, bed.field("code")), Some(json!("ALP")));
    let path = format!("/collections/{}", made["id"]);
    assert_eq!(bed.get(&path).await.ok()["hasChildren"], false);
    let asked = bed
        .get(&format!("{path}?permissions=upload,delete"))
        .await
        .ok();
    assert_eq!(
        asked["permissions"],
        json!({"upload": true, "delete": true})
    );
    assert_eq!(bed.get("/collections/3").await.ok()["hasChildren"], true);
    let plain = json!({"informationFieldValues": code});
    assert_eq!(
        bed.patch(&path, plain).await.refused(400)["code"],
        "OP_MISSING"
    );
    let clear = json!([{"id": bed.field("code"), "type": "TEXT", "value": {"op": "CLEAR"}}]);
    let cleared = bed
        .patch(&path, json!({"informationFieldValues": clear}))
        .await
        .ok();
    assert_eq!(shown(&cleared, bed.field("code")), None);
}

#[tokio::test]
async fn collections_are_renamed_and_moved_but_not_below_themselves() {
    let bed = Bed::new();
    let cheese = bed
        .celum
        .ensure_collection("Clients/Alpine Dairy/Cheese")
        .unwrap();
    let alpine = bed.collection("Clients/Alpine Dairy");
    let path = format!("/collections/{alpine}");
    let name = json!({"op": "MODIFY", "set": {"fr": "Laiterie"}, "clear": ["de"]});
    let renamed = bed.patch(&path, json!({"name": name})).await.ok();
    assert_eq!(
        renamed["name"],
        json!({"en": "Alpine Dairy", "fr": "Laiterie"})
    );
    let parent = async |change: Value| bed.patch(&path, json!({"parentId": change})).await;
    let cycle = parent(json!({"op": "SET", "value": cheese}))
        .await
        .refused(400);
    assert_eq!(cycle["code"], "CYCLE");
    parent(json!({"op": "SET", "value": bed.collection("Keywords")}))
        .await
        .refused(400);
    parent(json!({"op": "SET", "value": 99})).await.refused(403);
    let harbour = bed.collection("Clients/Harbour Optics");
    parent(json!({"op": "SET", "value": harbour})).await.ok();
    assert_eq!(
        bed.collection("Clients/Harbour Optics/Alpine Dairy/Cheese"),
        cheese
    );
    let root = parent(json!({"op": "CLEAR"})).await.ok();
    assert!(root.get("parentId").is_none());
    assert_eq!(root["validationLevelInherited"], false);
}

#[tokio::test]
async fn only_an_empty_collection_is_deleted() {
    let bed = Bed::new();
    let full = bed.collection("Clients");
    assert_eq!(
        bed.delete(&format!("/collections/{full}"))
            .await
            .refused(400)["code"],
        "NOT_EMPTY"
    );
    bed.asset("a.txt", b"a").await;
    let inbox = bed.collection(crate::celum::INBOX);
    bed.delete(&format!("/collections/{inbox}"))
        .await
        .refused(400);
    let print = bed.collection("Keywords/Print");
    assert_eq!(
        bed.delete(&format!("/collections/{print}")).await.status,
        StatusCode::NO_CONTENT
    );
    bed.get(&format!("/collections/{print}")).await.refused(403);
    assert_eq!(bed.celum.collection_id("Keywords/Print"), None);
}

#[tokio::test]
async fn collections_are_searched_with_their_own_filters() {
    let bed = Bed::new();
    bed.clock.advance(60);
    let find = async |filter: Value| {
        let body = json!({"filter": filter, "sorting": [{"field": "name"}], "inclusions": [
            {"type": "ALL_COLLECTION_INFORMATION_FIELDS"}]});
        bed.post("/collections/search", body).await
    };
    let below = json!({"type": "COLLECTION_PARENT_ID", "value": 1, "recursive": true});
    let named =
        json!({"type": "COLLECTION_NAME", "text": "inb", "searchType": "termsStartingWith"});
    let both = json!({"type": "COLLECTION_LOGICAL", "filters": [below, named]});
    assert_eq!(ids(&find(both).await.ok()), [11]);
    let tags = json!({"type": "COLLECTION_TYPE_ID", "values": [3]});
    assert_eq!(ids(&find(tags).await.ok()), [2, 23, 21, 22, 24]);
    for bad in [
        json!({"type": "COLLECTION_CHECKSUM", "values": ["x"]}),
        json!({"type": "COLLECTION_PARENT_ID", "values": [1]}),
        json!({"type": "ASSET_ID", "values": [1]}),
    ] {
        find(bad).await.refused(400);
    }
}

#[tokio::test]
async fn nesting_has_an_end() {
    let bed = Bed::new();
    let deep = format!("Clients{}", "/x".repeat(62));
    let mut at = bed.celum.ensure_collection(&deep).unwrap();
    let mut made = 0;
    loop {
        let answer = bed
            .post("/collections", json!({"name": {"en": "y"}, "parentId": at}))
            .await;
        if answer.status != StatusCode::CREATED {
            assert_eq!(answer.refused(400)["code"], "DEPTH");
            break;
        }
        at = answer.json()["id"].as_u64().unwrap();
        made += 1;
        assert!(made < 3);
    }
    assert_eq!(made, 1, "63 levels and one more");
    let tall = bed
        .celum
        .ensure_collection("Clients/Alpine Dairy/Cheese")
        .unwrap();
    let under = bed
        .celum
        .ensure_collection(&format!("Clients{}", "/x".repeat(61)))
        .unwrap();
    let alpine = bed.collection("Clients/Alpine Dairy");
    let below = json!({"parentId": {"op": "SET", "value": under}});
    bed.patch(&format!("/collections/{tall}"), below.clone())
        .await
        .ok();
    bed.celum
        .ensure_collection("Clients/Alpine Dairy/Milk/Oat")
        .unwrap();
    let refused = bed
        .patch(&format!("/collections/{alpine}"), below)
        .await
        .refused(400);
    assert_eq!(refused["code"], "DEPTH");
    assert!(
        bed.celum
            .ensure_collection(&format!("{deep}/x/x/x"))
            .is_err()
    );
    assert!(bed.celum.ensure_collection("Nowhere/x").is_err());
}
