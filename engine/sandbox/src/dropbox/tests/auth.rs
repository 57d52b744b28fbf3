use super::*;

async fn token(rig: &Rig, form: &str) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/oauth2/token")
        .header("content-type", "application/x-www-form-urlencoded");
    rig.send(request.body(Body::from(form.to_owned())).unwrap())
        .await
}

fn client(rig: &Rig) -> String {
    let secret = rig.dropbox.app_secret();
    format!(
        "client_id={}&client_secret={}",
        rig.dropbox.app_key(),
        secret.expose()
    )
}

#[tokio::test]
async fn a_refresh_token_gives_access_that_expires_and_does_not_rotate() {
    let clock = TestClock::start();
    let mut rig = Rig::with(DropboxOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..DropboxOptions::default()
    });
    let refresh = rig.dropbox.refresh_token();
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&{}",
        refresh.expose(),
        client(&rig)
    );
    let answer = token(&rig, &form).await.ok();
    assert_eq!(
        (&answer["token_type"], &answer["expires_in"]),
        (&json!("bearer"), &json!(14400))
    );
    assert!(answer.get("refresh_token").is_none());
    rig.token = answer["access_token"].as_str().unwrap().to_owned();
    assert!(rig.token.starts_with("sl.") && rig.token.len() > 1024);
    assert_eq!(
        rig.rpc("check/user", json!({"query": "x"})).await.ok(),
        json!({"result": "x"})
    );
    clock.advance(14_400);
    let expired = rig.rpc("check/user", json!({})).await;
    assert_eq!(expired.status, 401);
    assert_eq!(expired.json()["error"][".tag"], "expired_access_token");
    assert_eq!(token(&rig, &form).await.status, 200);
}

#[tokio::test]
async fn the_token_endpoint_refuses_in_its_own_json() {
    let rig = Rig::new();
    let client = client(&rig);
    for (form, error) in [
        (
            format!("grant_type=refresh_token&refresh_token=no&{client}"),
            "invalid_grant",
        ),
        (
            format!("grant_type=password&{client}"),
            "unsupported_grant_type",
        ),
        (
            "grant_type=refresh_token&client_id=no".to_owned(),
            "invalid_client",
        ),
        (
            format!("grant_type=authorization_code&code=no&{client}"),
            "invalid_grant",
        ),
    ] {
        let answer = token(&rig, &form).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["error"], error, "{form}");
    }
}

#[tokio::test]
async fn revoking_kills_every_token_and_a_new_authorisation_gives_others() {
    let mut rig = Rig::new();
    let old = rig.dropbox.refresh_token();
    assert_eq!(
        rig.rpc("auth/token/revoke", Value::Null).await.ok(),
        Value::Null
    );
    let dead = rig.rpc("check/user", json!({})).await;
    assert_eq!(dead.json()["error"][".tag"], "invalid_access_token");
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&{}",
        old.expose(),
        client(&rig)
    );
    assert_eq!(token(&rig, &form).await.json()["error"], "invalid_grant");
    let code = rig.dropbox.authorization_code();
    let form = format!(
        "grant_type=authorization_code&code={}&{}",
        code.expose(),
        client(&rig)
    );
    let answer = token(&rig, &form).await.ok();
    assert_ne!(answer["refresh_token"], old.expose());
    assert_eq!(answer["account_id"], rig.dropbox.account_id());
    rig.token = answer["access_token"].as_str().unwrap().to_owned();
    assert_eq!(rig.rpc("check/user", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_scope_missing_from_the_token_or_from_the_app_reads_differently() {
    let mut rig = Rig::new();
    let narrow = rig
        .dropbox
        .access_token_with(&["account_info.read"], Duration::from_secs(60));
    rig.token = narrow.expose().to_owned();
    let answer = rig.rpc("files/list_folder", json!({"path": ""})).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.text(),
        r#"{"error":{".tag":"missing_scope","required_scope":"files.metadata.read"},"error_summary":"missing_scope/"}"#
    );
    let rig = Rig::with(DropboxOptions {
        app_scopes: vec!["account_info.read".into()],
        ..DropboxOptions::default()
    });
    let answer = rig.rpc("files/list_folder", json!({"path": ""})).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .contains("required scope 'files.metadata.read'"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn calls_without_a_token_or_with_a_forged_one_are_refused() {
    let mut rig = Rig::new();
    let bare = Request::builder().method(Method::POST).uri("/2/check/user");
    let answer = rig.send(bare.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 400);
    let last = rig.token.pop().unwrap();
    rig.token.push(if last == 'A' { 'Q' } else { 'A' });
    let forged = rig.rpc("check/user", json!({})).await;
    assert_eq!(
        (forged.status, forged.json()["error"][".tag"].as_str()),
        (401, Some("invalid_access_token"))
    );
}

#[tokio::test]
async fn path_roots_are_checked_and_followed() {
    let rig = Rig::with(DropboxOptions {
        team_home: Some("/Ada".into()),
        ..DropboxOptions::default()
    });
    let shared = rig.dropbox.add_namespace("Region").unwrap();
    rig.dropbox
        .put_file(&format!("ns:{shared}/a.txt"), "x".into(), None)
        .unwrap();
    rig.dropbox.put_file("/home.txt", "x".into(), None).unwrap();
    let list = async |root: String, path: &str| {
        let request = rig
            .request("files/list_folder")
            .header("content-type", "application/json")
            .header("dropbox-api-path-root", root);
        let arg = json!({ "path": path }).to_string();
        rig.send(request.body(Body::from(arg)).unwrap()).await
    };
    let inside = list(
        format!(r#"{{".tag":"namespace_id","namespace_id":"{shared}"}}"#),
        "",
    )
    .await;
    assert_eq!(inside.ok()["entries"][0]["path_display"], "/a.txt");
    let home = list(r#"{".tag":"home"}"#.into(), "").await;
    assert_eq!(home.ok()["entries"][0]["path_display"], "/home.txt");
    let team = list(format!(r#"{{".tag":"root","root":"{TEAM_ROOT}"}}"#), "").await;
    assert_eq!(team.ok()["entries"], json!([]));
    let wrong = list(r#"{".tag":"root","root":"41"}"#.into(), "").await;
    assert_eq!(wrong.status, 422);
    let body = wrong.json();
    assert_eq!(body["error_summary"], "invalid_root/");
    assert_eq!(body["error"]["invalid_root"]["home_path"], "/Ada");
    let alien = list(r#"{".tag":"namespace_id","namespace_id":"7"}"#.into(), "").await;
    assert_eq!(
        (alien.status, alien.json()["error"][".tag"].as_str()),
        (422, Some("no_permission"))
    );
    let outside = list(r#"{".tag":"home"}"#.into(), &format!("ns:{shared}"))
        .await
        .ok();
    assert_eq!(outside["entries"][0]["name"], "a.txt");
    assert!(outside["entries"][0].get("path_lower").is_none());
}

#[tokio::test]
async fn the_account_says_who_it_is() {
    let rig = Rig::new();
    rig.upload("/a", "12345").await;
    let account = rig.rpc("users/get_current_account", Value::Null).await.ok();
    assert_eq!(account["account_id"].as_str().unwrap().len(), 40);
    assert_eq!(account["root_info"][".tag"], "user");
    let space = rig.rpc("users/get_space_usage", Value::Null).await.ok();
    assert_eq!(
        (&space["used"], &space["allocation"][".tag"]),
        (&json!(5), &json!("individual"))
    );
}
