//! Connecting, headers of every call, tokens, and `doctor`.

use serde_json::{Value, json};
use windlass_core::{AssetPath, Endpoint, Kind, Scope, Secret, Source};

use super::{Act, Script, conflict, connect, json_ok, options, refusal};
use crate::{Credential, DropboxEndpoint, DropboxOptions, PathRoot};

fn account(root: &str, home: &str) -> Act {
    json_ok(json!({"account_id":"dbid:1","email":"ada@example.com",
        "root_info":{".tag":"team","root_namespace_id":root,"home_namespace_id":home,"home_path":"/Ada"}}))
}

fn empty_page() -> Act {
    json_ok(json!({"cursor":"c1","entries":[],"has_more":false}))
}

fn everything() -> Scope {
    Scope {
        root: AssetPath::new(""),
    }
}

#[tokio::test(start_paused = true)]
async fn a_team_space_is_detected_and_named_on_every_call() {
    for (home, expected) in [("41", Some(r#"{".tag":"root","root":"77"}"#)), ("77", None)] {
        let script = Script::new([
            (
                "api.dropboxapi.com/2/users/get_current_account",
                account("77", home),
            ),
            ("api.dropboxapi.com/2/files/list_folder", empty_page()),
        ]);
        let options = DropboxOptions {
            path_root: PathRoot::Detect,
            select_user: Some("dbmid:AAB".into()),
            ..options()
        };
        let endpoint = DropboxEndpoint::connect(super::shared(&script), options)
            .await
            .unwrap();
        endpoint.changes(&everything(), None).await.unwrap();
        let first = script.seen(0);
        assert_eq!(first.body, "null");
        assert!(!first.headers.contains_key("dropbox-api-path-root"));
        let second = script.seen(1);
        let root = second.headers.get("dropbox-api-path-root");
        assert_eq!(root.map(|value| value.to_str().unwrap()), expected);
        assert_eq!(second.headers["dropbox-api-select-user"], "dbmid:AAB");
        assert_eq!(second.headers["authorization"], "Bearer sl.test");
        script.done();
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_can_be_the_root_without_asking() {
    let script = Script::new([("/2/files/list_folder", empty_page())]);
    let options = DropboxOptions {
        path_root: PathRoot::Namespace("84528192421".into()),
        ..options()
    };
    let endpoint = DropboxEndpoint::connect(super::shared(&script), options)
        .await
        .unwrap();
    endpoint.changes(&everything(), None).await.unwrap();
    assert_eq!(
        script.seen(0).headers["dropbox-api-path-root"],
        r#"{".tag":"namespace_id","namespace_id":"84528192421"}"#
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_renewed_and_the_call_replayed() {
    let token =
        |text: &str| json_ok(json!({"access_token":text,"token_type":"bearer","expires_in":14400}));
    let expired = refusal(
        401,
        json!({"error":{".tag":"expired_access_token"},"error_summary":"expired_access_token/"}),
    );
    let script = Script::new([
        ("api.dropboxapi.com/oauth2/token", token("sl.one")),
        ("/2/files/list_folder", expired),
        ("api.dropboxapi.com/oauth2/token", token("sl.two")),
        ("/2/files/list_folder", empty_page()),
    ]);
    let options = DropboxOptions {
        credential: Credential::Refresh {
            app_key: "key".into(),
            app_secret: None,
            refresh_token: Secret::new("refresh"),
        },
        ..options()
    };
    let endpoint = DropboxEndpoint::connect(super::shared(&script), options)
        .await
        .unwrap();
    endpoint.changes(&everything(), None).await.unwrap();
    assert_eq!(
        script.seen(0).body,
        "grant_type=refresh_token&refresh_token=refresh&client_id=key",
        "a PKCE grant has no secret"
    );
    assert_eq!(script.seen(1).headers["authorization"], "Bearer sl.one");
    assert_eq!(script.seen(3).headers["authorization"], "Bearer sl.two");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_asked_fails_to_connect_with_a_hint() {
    let script = Script::new([(
        "get_current_account",
        refusal(
            401,
            json!({"error":{".tag":"missing_scope","required_scope":"account_info.read"}}),
        ),
    )]);
    let options = DropboxOptions {
        path_root: PathRoot::Detect,
        ..options()
    };
    let error = DropboxEndpoint::connect(script, options).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().unwrap().contains("account_info.read"));

    let nothing = DropboxOptions {
        credential: Credential::AccessToken(Secret::new("")),
        ..super::options()
    };
    let error = DropboxEndpoint::connect(Script::new([]), nothing)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn bases_with_a_path_are_kept() {
    let script = Script::new([(
        "http://127.0.0.1:9/dropbox/2/files/list_folder",
        empty_page(),
    )]);
    let options = DropboxOptions {
        api_url: "http://127.0.0.1:9/dropbox/".parse().unwrap(),
        ..options()
    };
    let endpoint = DropboxEndpoint::connect(script, options).await.unwrap();
    endpoint.changes(&everything(), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn doctor_finds_what_is_missing_and_says_how_to_get_it() {
    let lacks = |scope: &str| {
        let error = json!({".tag":"missing_scope","required_scope":scope});
        refusal(401, json!({ "error": error }))
    };
    let no_write = lacks("files.content.write");
    let no_sharing = lacks("sharing.read");
    let script = Script::new([
        ("/2/check/user", json_ok(json!({"result":"windlass"}))),
        (
            "/2/files/list_folder/get_latest_cursor",
            json_ok(json!({"cursor":"c"})),
        ),
        (
            "content.dropboxapi.com/2/files/upload_session/start",
            no_write,
        ),
        ("/2/users/get_current_account", account("77", "41")),
        (
            "content.dropboxapi.com/2/files/download",
            conflict(json!({".tag":"path","path":{".tag":"not_found"}})),
        ),
        ("/2/sharing/list_folders", no_sharing),
        (
            "/2/sharing/check_share_job_status",
            conflict(json!({".tag":"invalid_async_job_id"})),
        ),
    ]);
    let items = connect(&script).await.check().await.unwrap();
    let ok: Vec<_> = items
        .iter()
        .map(|item| (item.subject.as_str(), item.ok))
        .collect();
    assert_eq!(
        ok,
        [
            ("credential", true),
            ("account", true),
            ("listing", true),
            ("reading", true),
            ("writing", false),
            ("sharing", true)
        ]
    );
    assert!(items[1].finding.contains("ada@example.com"));
    let hint = items[4].hint.as_deref().unwrap();
    assert!(hint.contains("files.content.write"), "{hint}");
    let (finding, hint) = (&items[5].finding, items[5].hint.as_deref().unwrap());
    assert!(
        finding.starts_with("no links and no shared folders"),
        "{finding}"
    );
    assert!(hint.contains("sharing.read"), "{hint}");
    assert_eq!(script.seen(0).arg(), json!({"query":"windlass"}));
    script.done();
}

#[tokio::test(start_paused = true)]
async fn doctor_stops_at_a_credential_that_is_not_accepted() {
    let script = Script::new([(
        "/2/check/user",
        refusal(401, json!({"error":{".tag":"invalid_access_token"}})),
    )]);
    let items = connect(&script).await.check().await.unwrap();
    assert_eq!(items.len(), 1);
    assert!(!items[0].ok);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_there_is_an_error_and_no_finding() {
    let script = Script::new((0..6).map(|_| ("/2/check/user", Act::Lost)));
    let error = connect(&script).await.check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_there_is_as_good_as_created() {
    let there = json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"folder"}}});
    let file = json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"file"}}});
    let script = Script::new([
        (
            "/2/files/create_folder_v2",
            json_ok(json!({"metadata":{"name":"x","id":"id:1"}})),
        ),
        ("/2/files/create_folder_v2", conflict(there)),
        ("/2/files/create_folder_v2", conflict(file)),
    ]);
    let endpoint = connect(&script).await;
    // Decomposed here, composed on the wire.
    let path = AssetPath::new("/E\u{301}te\u{301}");
    endpoint.create_folder(&path).await.unwrap();
    endpoint.create_folder(&path).await.unwrap();
    let error = endpoint.create_folder(&path).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(script.seen(0).arg(), json!({"path":"/Été"}));
    assert_eq!(endpoint.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_names_its_route() {
    let script = Script::new([("/2/files/list_folder", json_ok(Value::Null))]);
    let error = connect(&script)
        .await
        .changes(&everything(), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    assert!(
        error.to_string().contains("route: files/list_folder"),
        "{error}"
    );
}
