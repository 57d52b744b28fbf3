//! Signing in, finding routes, paging, and what only an administrator changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{PASSWORD, READER_API_KEY, USERNAME};
use super::*;
use crate::fault::Faults;

async fn me(bed: &Bed, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().uri(format!("{ROOT}/users/me"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(&bed.api, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_key_or_basic_signs_in_and_nothing_else_does() {
    let bed = Bed::new();
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("{USERNAME}:{PASSWORD}"))
    );
    let wrong = format!("Basic {}", STANDARD.encode(format!("{USERNAME}:no")));
    assert_eq!(
        me(&bed, &[("x-api-key", API_KEY)]).await.ok()["username"],
        USERNAME
    );
    assert_eq!(
        me(&bed, &[("authorization", &basic)]).await.ok()["username"],
        USERNAME
    );
    for headers in [
        &[][..],
        &[("x-api-key", "nope")],
        &[("x-api-key", "Bearer windlass-sandbox-celum-key")],
        &[("authorization", &wrong)],
        &[("authorization", "Bearer windlass-sandbox-celum-key")],
        &[("authorization", "celumApiKey windlass-sandbox-celum-key")],
    ] {
        me(&bed, headers).await.refused(401);
    }
}

#[tokio::test]
async fn a_key_prefix_of_the_profile_is_demanded() {
    let bed = Bed::with(r#"apiKeyPrefix = "Bearer""#);
    let prefixed = format!("Bearer {API_KEY}");
    me(&bed, &[("x-api-key", &prefixed)]).await.ok();
    me(&bed, &[("x-api-key", API_KEY)]).await.refused(401);
}

#[tokio::test]
async fn only_who_may_borrows_another_name() {
    let bed = Bed::new();
    let as_editor = [("x-api-key", API_KEY), ("x-celum-username", "editor")];
    assert_eq!(me(&bed, &as_editor).await.ok()["username"], "editor");
    me(
        &bed,
        &[("x-api-key", API_KEY), ("x-celum-username", "nobody")],
    )
    .await
    .refused(403);
    me(
        &bed,
        &[
            ("x-api-key", READER_API_KEY),
            ("x-celum-username", "editor"),
        ],
    )
    .await
    .refused(403);
}

#[tokio::test]
async fn a_reader_may_look_but_not_change() {
    let bed = Bed::new();
    let look = bed.as_user(READER_API_KEY, "GET", "/assets", None).await;
    assert_eq!(look.ok()["totalElements"], 0);
    let search = json!({"filter": {"type": "ASSET_ID_RANGE", "from": 0}});
    bed.as_user(READER_API_KEY, "POST", "/assets/search", Some(search))
        .await
        .ok();
    let wish = json!({"filename": "a.txt", "filesize": 1});
    bed.as_user(READER_API_KEY, "POST", "/upload", Some(wish))
        .await
        .refused(403);
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name() {
    let bed = Bed::new();
    let message = |answer: Answer, status| {
        answer.refused(status);
        answer.json()["message"].as_str().unwrap().to_owned()
    };
    assert!(message(bed.get("/assetz/7").await, 404).contains("/content-api/v1/assetz/7"));
    assert!(message(bed.get("/roles").await, 501).contains("/roles"));
    assert!(message(bed.patch("/version", json!({})).await, 405).contains("GET"));
    assert!(message(bed.get("/assets?pages=1").await, 400).contains("pages"));
    let unknown = json!({"filename": "a", "filesize": 1, "sha": "x"});
    assert!(message(bed.post("/upload", unknown).await, 400).contains("sha"));
    let missing = json!({"filename": "a"});
    assert!(message(bed.post("/upload", missing).await, 400).contains("filesize"));
    let elsewhere = Request::builder()
        .uri("/cora/Assets")
        .body(Body::empty())
        .unwrap();
    answer(&bed.api, elsewhere).await.refused(404);
}

#[tokio::test]
async fn a_body_must_be_json_and_a_get_has_none() {
    let bed = Bed::new();
    let request = |method: &str, kind: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}/upload"));
        let request = request
            .header("x-api-key", API_KEY)
            .header("content-type", kind);
        request.body(Body::from(body.to_owned())).unwrap()
    };
    answer(&bed.api, request("POST", "text/plain", "{}"))
        .await
        .refused(400);
    answer(&bed.api, request("POST", "application/json", "{"))
        .await
        .refused(400);
}

#[tokio::test]
async fn pages_start_at_one_and_hold_twenty_of_at_most_two_hundred() {
    let bed = Bed::new();
    for number in 0..21 {
        bed.celum
            .ensure_collection(&format!("Clients/C{number:02}"))
            .unwrap();
    }
    let clients = bed.collection("Clients");
    let list = format!("/collections?parentId={clients}");
    let first = bed.get(&list).await.ok();
    assert_eq!(first["content"].as_array().unwrap().len(), 20);
    assert_eq!(
        (&first["totalElements"], &first["hasNext"]),
        (&json!(23), &json!(true))
    );
    let second = bed.get(&format!("{list}&page=2")).await.ok();
    assert_eq!(second["content"].as_array().unwrap().len(), 3);
    assert_eq!(second["hasNext"], false);
    let all = bed.get(&format!("{list}&size=200")).await.ok();
    assert_eq!(ids(&all).len(), 23);
    let beyond = bed
        .get(&format!("{list}&page=9223372036854775807&size=200"))
        .await
        .ok();
    assert_eq!(ids(&beyond), Vec::<u64>::new());
    for bad in [
        "size=201",
        "size=0",
        "page=0",
        "page=-1",
        "size=x",
        "page=1&page=2",
    ] {
        let fault = bed.get(&format!("{list}&{bad}")).await.refused(400);
        assert_eq!(fault["argument"], bad.split('=').next().unwrap(), "{bad}");
    }
    for bad in [
        json!({"page": 0}),
        json!({"size": 201}),
        json!({"pages": 1}),
    ] {
        let body = json!({"filter": {"type": "ASSET_ID_RANGE", "from": 0}, "pagination": bad});
        bed.post("/assets/search", body).await.refused(400);
    }
}

#[tokio::test]
async fn ids_start_at_one() {
    let bed = Bed::new();
    for path in [
        "/assets/0",
        "/assets/-1",
        "/assets/x",
        "/collections/0",
        "/users/0",
    ] {
        bed.get(path).await.refused(400);
    }
    bed.get("/collections?parentId=0").await.refused(400);
    bed.post("/assets", json!({"parentId": 0}))
        .await
        .refused(400);
}

#[tokio::test]
async fn what_is_missing_answers_as_the_profile_says_and_names_the_entity() {
    for (profile, status) in [
        ("", 403),
        ("missingStatus = 404", 404),
        ("missingStatus = 400", 400),
    ] {
        let bed = Bed::with(profile);
        for path in [
            "/assets/99",
            "/collections/99",
            "/users/99",
            "/asset-types/99",
            "/clients/x",
        ] {
            let answer = bed.get(path).await;
            answer.refused(status);
            assert!(answer.json()["entity"].is_string(), "{path}");
        }
    }
}

#[tokio::test]
async fn types_list_without_field_sets_and_answer_with_them() {
    let bed = Bed::new();
    let listed = bed.get("/asset-types").await.ok();
    assert!(listed[0].get("informationFieldSets").is_none());
    let id = listed[0]["id"].as_u64().unwrap();
    let one = bed.get(&format!("/asset-types/{id}?locale=en")).await.ok();
    let sets = one["informationFieldSets"].as_array().unwrap();
    let fields: Vec<&Value> = sets
        .iter()
        .flat_map(|set| set["informationFields"].as_array().unwrap())
        .collect();
    let field = |name: &str| *fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(field("campaignId")["validationPattern"], r"CMP-\d{4,}");
    assert_eq!(field("campaignId")["required"], true);
    assert_eq!(field("keywords")["createNewOnTheFly"], true);
    assert_eq!(field("client")["maxSelections"], 1);
    assert_eq!(
        field("approval")["options"]["de"][1],
        json!({"index": 1, "label": "Freigegeben"})
    );
    let details = sets
        .iter()
        .find(|set| set["name"] == "rightsDetails")
        .unwrap();
    assert_eq!(details["dependsOnFieldId"], bed.field("rightsCleared"));

    let kinds = bed
        .get("/collection-types?permissionDefiningOnly=true")
        .await
        .ok();
    assert_eq!(kinds.as_array().unwrap().len(), 1);
    assert_eq!(kinds[0]["permissionDefining"], true);
    let all = bed.get("/collection-types").await.ok();
    assert!(
        all.as_array()
            .unwrap()
            .iter()
            .any(|kind| kind["tagCloud"] == true)
    );
    assert!(bed.get("/collection-types/2").await.ok()["informationFieldSets"].is_array());
}

#[tokio::test]
async fn fields_formats_clients_and_the_version_answer_in_their_shapes() {
    let bed = Bed::new();
    let of = async |entity: &str| bed.get(&format!("/information-fields{entity}")).await.ok();
    let count = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(count(&of("?entityType=ASSET").await), 30);
    assert_eq!(count(&of("?entityType=COLLECTION").await), 1);
    assert_eq!(count(&of("?entityType=RELATION").await), 0);
    assert_eq!(count(&of("").await), 31);
    bed.get("/information-fields?entityType=USER")
        .await
        .refused(400);
    let formats = bed.get("/download-formats").await.ok();
    assert_eq!(
        (&formats[0]["id"], &formats[0]["original"]),
        (&json!(1), &json!(true))
    );
    assert!(formats[1].get("original").is_none());
    let client = bed.get("/clients/windlass").await.ok();
    assert_eq!(
        client["languages"]["informationFields"],
        json!(["en", "de", "fr"])
    );
    assert!(bed.get("/version").await.ok()["version"].is_string());
    assert_eq!(bed.get("/users/3").await.ok()["username"], "reader");
}

#[tokio::test]
async fn faults_speak_celums_dialect_and_calls_are_counted() {
    let rules = "route=GET /version,nth=1,do=401;route=GET /version,nth=2,do=429:7;\
                 route=GET /version,nth=3,do=503";
    let bed = Bed::open(CelumOptions {
        faults: Faults::new(rules.parse().unwrap(), 1),
        ..CelumOptions::default()
    });
    bed.get("/version").await.refused(401);
    let limited = bed.get("/version").await;
    limited.refused(429);
    assert_eq!(limited.headers["retry-after"], "7");
    assert_eq!(bed.get("/version").await.status, 503);
    bed.get("/version").await.ok();
    let counted = bed.celum.counters()["GET /version"];
    assert_eq!((counted.calls, counted.refused), (4, 3));
}

#[tokio::test]
async fn a_fault_that_celum_does_not_know_is_refused_at_start() {
    let options = CelumOptions {
        faults: Faults::new("route=GET /version,do=service:nonsense".parse().unwrap(), 1),
        ..CelumOptions::default()
    };
    let error = Celum::open(options).unwrap_err();
    assert!(error.message().contains("nonsense"));
}

#[tokio::test]
async fn nobody_signs_in_before_the_tenant_is_set_up() {
    let celum = Celum::open(CelumOptions::default()).unwrap();
    let request = Request::builder()
        .uri(format!("{ROOT}/version"))
        .header("x-api-key", API_KEY);
    let response = answer(&celum.router_api(), request.body(Body::empty()).unwrap()).await;
    response.refused(401);
    assert!(celum.seed_default_tenant().unwrap());
    assert!(!celum.seed_default_tenant().unwrap());
}
