//! Collections by path of names: found in any language, created once.

use std::time::Duration;

use serde_json::json;
use windlass_core::{AssetPath, Kind};

use super::{Act, Tenant, collection, connect, ok, page, profile};
use crate::CelumProfile;

fn path(text: &str) -> AssetPath {
    AssetPath::new(text)
}

#[tokio::test]
async fn a_path_is_followed_by_any_name_whatever_its_case() {
    let tenant = Tenant::new();
    let mut root = collection(4711, None, "Brand");
    root["name"] = json!({"de": "Marke", "en": "Brand"});
    tenant.on("GET collections", [ok(page(vec![root]))]).on(
        "GET collections?parentId=4711",
        [ok(page(vec![collection(4800, Some(4711), "Größe")]))],
    );
    let endpoint = connect(&tenant, profile()).await;
    for spelled in ["/Brand/Größe", "/MARKE/gro\u{308}ße"] {
        assert_eq!(
            endpoint.shared.collection(&path(spelled)).await.unwrap().id,
            4800
        );
    }
    assert!(tenant.writes().is_empty());
}

#[tokio::test]
async fn uploads_at_the_same_time_create_a_collection_once() {
    let tenant = Tenant::new();
    tenant
        .on("GET collections?parentId=4711", [ok(page(vec![]))])
        .on("GET collections?parentId=5000", [ok(page(vec![]))])
        .on(
            "POST collections",
            [
                ok(collection(5000, Some(4711), "Fair 2026")),
                ok(collection(5001, Some(5000), "Hall 7")),
            ],
        );
    let endpoint = connect(&tenant, profile()).await;
    let target = path("/Brand/Fair 2026/Hall 7");
    let all =
        futures_util::future::join_all((0..16).map(|_| endpoint.shared.collection(&target))).await;
    assert!(all.iter().all(|known| known.as_ref().unwrap().id == 5001));
    let created = tenant.sent("POST collections");
    assert_eq!(created.len(), 2);
    assert_eq!(
        created[0].json(),
        json!({"name": {"en": "Fair 2026"}, "parentId": 4711})
    );
    assert_eq!(
        created[1].json(),
        json!({"name": {"en": "Hall 7"}, "parentId": 5000})
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_creation_is_looked_for_while_lists_may_lag() {
    let tenant = Tenant::new();
    let here = ok(page(vec![collection(5000, Some(4711), "Fair 2026")]));
    let none = ok(page(vec![]));
    tenant
        .on(
            "GET collections?parentId=4711",
            [none.clone(), none.clone(), none, here],
        )
        .on("POST collections", [Act::Lost]);
    let profile = CelumProfile {
        index_lag: 30,
        ..profile()
    };
    let endpoint = connect(&tenant, profile).await;
    let found = endpoint
        .shared
        .collection(&path("/Brand/Fair 2026"))
        .await
        .unwrap();
    assert_eq!(found.id, 5000);
    assert_eq!(tenant.sent("POST collections").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_list_is_read_again_before_anything_is_created() {
    let tenant = Tenant::new();
    tenant.on(
        "GET collections?parentId=4711",
        [
            ok(page(vec![])),
            ok(page(vec![collection(5000, Some(4711), "Fair 2026")])),
        ],
    );
    let endpoint = connect(&tenant, profile()).await;
    let looked = endpoint
        .shared
        .look_at_collection(&path("/Brand/Fair 2026"))
        .await
        .unwrap();
    assert!(looked.1.is_empty(), "it may be created");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(
        endpoint
            .shared
            .collection(&path("/Brand/Fair 2026"))
            .await
            .unwrap()
            .id,
        5000
    );
    assert!(
        tenant.writes().is_empty(),
        "somebody else created it meanwhile"
    );
}

#[tokio::test]
async fn nothing_is_created_where_the_profile_forbids_it() {
    let tenant = Tenant::new();
    tenant.on("GET collections?parentId=4711", [ok(page(vec![]))]);
    let endpoint = connect(
        &tenant,
        CelumProfile {
            create_collections: false,
            ..profile()
        },
    )
    .await;
    let error = endpoint
        .shared
        .collection(&path("/Brand/Fair 2026"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.message().contains("Fair 2026") && error.hint().is_some());
    let error = endpoint
        .shared
        .collection(&path("/Elsewhere/X"))
        .await
        .unwrap_err();
    assert!(
        error.hint().unwrap().contains("brand"),
        "it names what there is: {error:?}"
    );
    assert!(tenant.writes().is_empty());
}

#[tokio::test]
async fn a_list_that_never_ends_is_ended() {
    let tenant = Tenant::new();
    let mut odd = page(vec![]);
    odd["hasNext"] = json!(true);
    tenant.on("GET collections?parentId=4711", [ok(odd)]);
    let endpoint = connect(
        &tenant,
        CelumProfile {
            create_collections: false,
            ..profile()
        },
    )
    .await;
    let target = path("/Brand/X");
    let looking = endpoint.shared.collection(&target);
    let error = tokio::time::timeout(Duration::from_secs(5), looking)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn two_collections_of_one_name_are_not_guessed_between() {
    let tenant = Tenant::new();
    tenant.on(
        "GET collections?parentId=4711",
        [ok(page(vec![
            collection(1, Some(4711), "Fair"),
            collection(2, Some(4711), "FAIR"),
        ]))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let error = endpoint
        .shared
        .collection(&path("/Brand/fair"))
        .await
        .unwrap_err();
    assert!(error.message().contains("several"), "{error:?}");
    assert!(tenant.writes().is_empty());
}
