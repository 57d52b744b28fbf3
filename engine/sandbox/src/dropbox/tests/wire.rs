use super::*;
use crate::dropbox::wire::{compact, header_safe};

#[test]
fn json_is_compact_with_members_in_byte_order() {
    let value = json!({"name": "é\"", "Zed": 1, ".tag": "file", "a": [{"b": null, ".tag": "x"}]});
    assert_eq!(
        compact(&value),
        r#"{".tag":"file","Zed":1,"a":[{".tag":"x","b":null}],"name":"é\""}"#
    );
}

#[test]
fn header_json_is_ascii_with_surrogate_pairs() {
    assert_eq!(
        header_safe(r#"{"path":"/Été😀.jpg"}"#),
        r#"{"path":"/\u00c9t\u00e9\ud83d\ude00.jpg"}"#
    );
    assert_eq!(header_safe("\u{7f}"), "\\u007f");
}

#[tokio::test]
async fn a_header_argument_is_read_with_its_surrogate_pairs_and_answered_the_same_way() {
    let rig = Rig::new();
    let file = rig.upload("/Été😀.jpg", "x").await;
    assert_eq!(file["name"], "Été😀.jpg");
    let answer = rig.download("/Été😀.jpg", &[]).await;
    let result = answer.header("dropbox-api-result");
    assert!(
        result.is_ascii() && result.contains(r"\ud83d\ude00"),
        "{result}"
    );
    let result: Value = serde_json::from_str(result).unwrap();
    assert_eq!(result["path_display"], "/Été😀.jpg");
}

#[tokio::test]
async fn a_lone_surrogate_in_the_header_is_refused() {
    let rig = Rig::new();
    let request = rig
        .request("files/upload")
        .header("content-type", "application/octet-stream")
        .header("dropbox-api-arg", r#"{"path":"/\ud83d.jpg"}"#);
    let answer = rig.send(request.body(Body::from("x")).unwrap()).await;
    assert_eq!(answer.status, 400);
    let text = answer.text();
    assert!(
        text.contains("HTTP header \"Dropbox-API-Arg\": could not decode"),
        "{text}"
    );
}

#[tokio::test]
async fn raw_utf8_in_the_header_is_an_option() {
    for (raw_utf8_headers, status) in [(true, 200), (false, 400)] {
        let rig = Rig::with(DropboxOptions {
            raw_utf8_headers,
            ..DropboxOptions::default()
        });
        let request = rig
            .request("files/upload")
            .header("content-type", "application/octet-stream")
            .header("dropbox-api-arg", r#"{"path":"/é"}"#.as_bytes());
        let answer = rig.send(request.body(Body::from("x")).unwrap()).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn content_types_are_taken_literally() {
    let rig = Rig::new();
    for (given, status) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("text/plain; charset=dropbox-cors-hack"), 200),
        (Some("application/octet-stream"), 400),
        (Some("text/json"), 400),
        (None, 400),
    ] {
        let mut request = rig.request("check/user");
        if let Some(given) = given {
            request = request.header("content-type", given);
        }
        let answer = rig.send(request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(answer.status, status, "{given:?}: {:?}", answer.body);
    }
    let request = rig
        .request("files/upload")
        .header("dropbox-api-arg", r#"{"path":"/a"}"#);
    let answer = rig.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    let expected = "Error in call to API function \"files/upload\": \
                    Bad HTTP \"Content-Type\" header: \"\".  Expecting one of \
                    \"application/octet-stream\", \"text/plain; charset=dropbox-cors-hack\".";
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn a_route_without_argument_takes_null_or_nothing_and_answers_json() {
    let rig = Rig::new();
    let bare = rig
        .request("users/get_space_usage")
        .body(Body::empty())
        .unwrap();
    assert_eq!(rig.send(bare).await.status, 200);
    assert_eq!(
        rig.rpc("users/get_space_usage", Value::Null).await.status,
        200
    );
    assert_eq!(
        rig.rpc("users/get_space_usage", json!({})).await.status,
        400
    );
    rig.upload("/a", "x").await;
    let added = rig
        .rpc("files/tags/add", json!({"path": "/a", "tag_text": "t"}))
        .await;
    assert_eq!(added.header("content-type"), "application/json");
    assert_eq!(&added.body[..], b"null");
}

#[tokio::test]
async fn an_argument_is_given_once() {
    let rig = Rig::new();
    let both = Request::builder()
        .method(Method::POST)
        .uri("/2/files/upload?arg=%7B%22path%22%3A%22%2Fa%22%7D")
        .header("authorization", format!("Bearer {}", rig.token))
        .header("content-type", "application/octet-stream");
    let neither = rig
        .request("files/upload")
        .header("content-type", "application/octet-stream");
    let one = Request::builder()
        .method(Method::POST)
        .uri("/2/files/upload?arg=%7B%22path%22%3A%22%2Fa%22%7D")
        .header("authorization", format!("Bearer {}", rig.token))
        .header("content-type", "application/octet-stream");
    let both = both.header("dropbox-api-arg", r#"{"path":"/a"}"#);
    assert_eq!(
        rig.send(both.body(Body::empty()).unwrap()).await.status,
        400
    );
    let answer = rig.send(neither.body(Body::empty()).unwrap()).await;
    assert!(
        answer
            .text()
            .contains("Must provide HTTP header \"Dropbox-API-Arg\"")
    );
    assert_eq!(rig.send(one.body(Body::empty()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn what_is_not_known_is_refused_by_name() {
    let rig = Rig::new();
    let answer = rig.rpc("files/teleport", json!({})).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.text().contains("files/teleport"),
        "{}",
        answer.text()
    );
    let answer = rig
        .rpc("files/get_metadata", json!({"path": "/a", "pth": 1}))
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text(),
        "Error in call to API function \"files/get_metadata\": request body: unknown field 'pth'"
    );
    let answer = rig.rpc("files/get_metadata", json!({})).await;
    assert!(
        answer.text().contains("missing required field 'path'"),
        "{}",
        answer.text()
    );
    assert_eq!(rig.dropbox.calls("unknown"), 1);
}

#[tokio::test]
async fn each_host_serves_its_own_routes_only() {
    let rig = Rig::new();
    let dropbox = &rig.dropbox;
    for (router, route, status) in [
        (dropbox.router_api(), "check/user", 200),
        (dropbox.router_content(), "check/user", 404),
        (dropbox.router_notify(), "check/user", 404),
        (
            dropbox.router_content(),
            "files/upload_session/start_batch",
            404,
        ),
    ] {
        let request = rig
            .request(route)
            .header("content-type", "application/json");
        let response = router
            .oneshot(request.body(Body::from("{}")).unwrap())
            .await;
        assert_eq!(response.unwrap().status(), status, "{route}");
    }
}

#[tokio::test]
async fn too_many_header_bytes_are_431_and_every_answer_has_a_request_id() {
    let rig = Rig::new();
    let long = json!({"path": format!("/{}", "x".repeat(61 << 10))});
    let answer = rig.send_bytes("files/upload", long, "x").await;
    assert_eq!(answer.status, 431);
    let first = answer.header("x-dropbox-request-id").to_owned();
    let second = rig.rpc("check/user", json!({})).await;
    assert_eq!(first.len(), 32);
    assert_ne!(first, second.header("x-dropbox-request-id"));
}

#[tokio::test]
async fn faults_speak_dropbox() {
    let rig = Rig::with(DropboxOptions {
        faults: "route=check/user,nth=1,do=429:5;route=check/user,nth=2,do=429-text:7;\
                 route=check/user,nth=3,do=401"
            .parse()
            .unwrap(),
        ..DropboxOptions::default()
    });
    let limited = rig.rpc("check/user", json!({})).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "5"));
    let body = limited.json();
    assert_eq!(body["error"]["reason"][".tag"], "too_many_requests");
    assert_eq!(body["error"]["retry_after"], 5);
    let text = rig.rpc("check/user", json!({})).await;
    assert_eq!(
        (text.header("content-type"), text.header("retry-after")),
        ("text/plain", "7")
    );
    let expired = rig.rpc("check/user", json!({})).await;
    assert_eq!(expired.status, 401);
    assert_eq!(
        expired.text(),
        r#"{"error":{".tag":"expired_access_token"},"error_summary":"expired_access_token/"}"#
    );
    let unknown = Dropbox::open(DropboxOptions {
        faults: "do=service:gremlin".parse().unwrap(),
        ..DropboxOptions::default()
    });
    assert!(unknown.unwrap_err().to_string().contains("gremlin"));
}
