use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// Nothing on loopback takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.head))
    }
}

async fn sandbox() -> Sandbox {
    Sandbox::start(SandboxOptions::default()).await.unwrap()
}

/// Opens a connection and sends one request on it.
async fn send(base: &Url, line: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let port = base.port().unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();
    let mut text = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Sends one request and reads the answer to the end of the connection.
async fn exchange(base: &Url, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [headers, &[("connection", "close")]].concat();
    let mut stream = send(base, line, &headers, body).await;
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("the answer ends")
        .unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("the answer has a head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: bytes.split_off(end + 4),
    }
}

/// A call to a JSON route of Dropbox with a fresh token.
async fn rpc(sandbox: &Sandbox, route: &str, arg: Value) -> Answer {
    let bearer = format!("Bearer {}", sandbox.dropbox().access_token().expose());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let line = format!("POST /2/{route}");
    let base = &sandbox.endpoints().dropbox_api;
    exchange(base, &line, &headers, &arg.to_string()).await
}

/// Waits for the other side to close the connection; what it still sent.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    // A reset closes it as well.
    drop(ended.expect("the connection is closed"));
    rest
}

#[tokio::test]
async fn five_origins_on_loopback_answer_each_for_its_service() {
    let sandbox = sandbox().await;
    let endpoints = sandbox.endpoints();
    let transfer = sandbox.celum().transfer_base().unwrap();
    let origins = [
        &endpoints.dropbox_api,
        &endpoints.dropbox_content,
        &endpoints.dropbox_notify,
        &endpoints.celum_api_root,
        &transfer,
    ];
    let ports: std::collections::BTreeSet<_> = origins.iter().map(|url| url.port()).collect();
    assert_eq!(ports.len(), 5);
    assert!(
        origins
            .iter()
            .all(|url| url.host_str() == Some("127.0.0.1"))
    );

    let echoed = rpc(&sandbox, "check/user", json!({ "query": "windlass" })).await;
    assert_eq!(echoed.status, 200);
    assert_eq!(echoed.json()["result"], "windlass");

    sandbox
        .dropbox()
        .put_file("/a.txt", "content".into(), None)
        .unwrap();
    let bearer = format!("Bearer {}", sandbox.dropbox().access_token().expose());
    let headers = [
        ("authorization", bearer.as_str()),
        ("dropbox-api-arg", r#"{"path":"/a.txt"}"#),
    ];
    let line = "POST /2/files/download";
    let read = exchange(&endpoints.dropbox_content, line, &headers, "").await;
    assert_eq!((read.status, read.body.as_slice()), (200, &b"content"[..]));
    // Contents are not to be had at the origin of calls.
    let elsewhere = exchange(&endpoints.dropbox_api, line, &headers, "").await;
    assert_eq!(elsewhere.status, 404);

    let held = json!({ "cursor": "none", "timeout": 30 }).to_string();
    let headers = [("content-type", "application/json")];
    let line = "POST /2/files/list_folder/longpoll";
    let refused = exchange(&endpoints.dropbox_notify, line, &headers, &held).await;
    assert!(
        matches!(refused.status, 400 | 409),
        "{} for a cursor that was never given out",
        refused.status
    );
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_credentials_of_the_endpoints_open_both_services() {
    let sandbox = sandbox().await;
    let endpoints = sandbox.endpoints();
    let form = format!(
        "grant_type=refresh_token&refresh_token={}&client_id={}&client_secret={}",
        endpoints.dropbox_refresh_token, endpoints.dropbox_app_key, endpoints.dropbox_app_secret
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let granted = exchange(
        &endpoints.dropbox_api,
        "POST /oauth2/token",
        &headers,
        &form,
    )
    .await;
    assert_eq!(granted.status, 200);
    assert_eq!(granted.json()["token_type"], "bearer");

    let root = &endpoints.celum_api_root;
    let line = format!("GET {}/users/me", root.path());
    let key = [("x-api-key", endpoints.celum_api_key.as_str())];
    assert_eq!(exchange(root, &line, &key, "").await.status, 200);
    let wrong = [("x-api-key", "not a key")];
    assert_eq!(exchange(root, &line, &wrong, "").await.status, 401);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_emulator_and_not_its_server_decides_how_long_headers_may_be() {
    let sandbox = sandbox().await;
    let asked = async |bytes: usize| {
        let padding = "x".repeat(bytes);
        let headers = [("x-padding", padding.as_str())];
        let base = &sandbox.endpoints().dropbox_api;
        exchange(base, "POST /2/check/user", &headers, "").await
    };
    let long = asked(61 << 10).await;
    assert_eq!(long.status, 431);
    assert!(long.head.contains("x-dropbox-request-id"), "{}", long.head);
    let fitting = asked(58 << 10).await;
    assert!(fitting.head.contains("x-dropbox-request-id"));
    assert_ne!(fitting.status, 431);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_call_that_is_held_outlasts_no_shutdown() {
    let sandbox = sandbox().await;
    let arg = json!({ "path": "", "recursive": true });
    let cursor = rpc(&sandbox, "files/list_folder/get_latest_cursor", arg).await;
    let arg = json!({ "cursor": cursor.json()["cursor"], "timeout": 480 }).to_string();
    let mut held = send(
        &sandbox.endpoints().dropbox_notify,
        "POST /2/files/list_folder/longpoll",
        &[("content-type", "application/json")],
        &arg,
    )
    .await;
    let arrived = async {
        while sandbox.dropbox().calls("files/list_folder/longpoll") == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, arrived).await.expect("the call arrives");
    let account = Arc::downgrade(sandbox.dropbox());
    let before = Instant::now();
    timeout(PATIENCE, sandbox.shutdown())
        .await
        .expect("a shutdown ends");
    assert!(before.elapsed() < GRACE + Duration::from_secs(2));
    assert!(closed(&mut held).await.is_empty(), "no answer was sent");
    assert!(account.upgrade().is_none(), "nobody serves the account");
}

#[tokio::test]
async fn connections_that_are_kept_alive_delay_no_shutdown() {
    let sandbox = sandbox().await;
    let mut idle = idle_connection(&sandbox).await;
    let before = Instant::now();
    sandbox.shutdown().await;
    assert!(before.elapsed() < GRACE, "took {:?}", before.elapsed());
    closed(&mut idle).await;
}

#[tokio::test]
async fn a_dropped_sandbox_serves_nobody() {
    let sandbox = sandbox().await;
    let mut idle = idle_connection(&sandbox).await;
    let account = Arc::downgrade(sandbox.dropbox());
    let base = sandbox.endpoints().dropbox_api.clone();
    drop(sandbox);
    closed(&mut idle).await;
    assert!(account.upgrade().is_none(), "nobody serves the account");
    let port = base.port().unwrap();
    let again = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    assert!(again.is_err(), "the port is free again");
}

/// A connection with one call behind it, open for the next.
async fn idle_connection(sandbox: &Sandbox) -> TcpStream {
    let base = &sandbox.endpoints().dropbox_api;
    let mut stream = send(base, "POST /2/check/user", &[], "").await;
    let mut some = [0; 16];
    timeout(PATIENCE, stream.read_exact(&mut some))
        .await
        .expect("an answer comes")
        .unwrap();
    assert!(some.starts_with(b"HTTP/1.1 "));
    // Whatever is left of the answer is read with the connection's end.
    stream
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let first = taken.local_addr().unwrap().port();
    let options = SandboxOptions {
        first_port: Some(first),
        ..SandboxOptions::default()
    };
    let refused = Sandbox::start(options).await.unwrap_err();
    assert!(matches!(refused, SandboxError::Port { port, .. } if port == first));
    assert!(refused.to_string().contains(&first.to_string()));
}

#[tokio::test]
async fn a_sandbox_in_a_folder_is_the_same_one_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = || SandboxOptions {
        dir: Some(dir.path().to_owned()),
        seed: 5,
        ..SandboxOptions::default()
    };
    let first = Sandbox::start(options()).await.unwrap();
    first
        .dropbox()
        .put_file("/kept.txt", "kept".into(), None)
        .unwrap();
    let made = first.celum().ensure_collection("Clients/Kept").unwrap();
    let key = first.endpoints().dropbox_app_key.clone();
    let token = first.endpoints().dropbox_refresh_token.clone();
    first.shutdown().await;

    let second = Sandbox::start(options()).await.unwrap();
    let tree = second.dropbox().tree();
    assert!(tree.iter().any(|entry| entry.path_display == "/kept.txt"));
    assert_eq!(
        second.celum().ensure_collection("Clients/Kept").unwrap(),
        made
    );
    assert_eq!(second.endpoints().dropbox_app_key, key);
    assert_eq!(second.endpoints().dropbox_refresh_token, token);
    second.shutdown().await;
}

#[tokio::test]
async fn an_in_process_call_is_led_by_its_host_and_others_are_refused() {
    let sandbox = Sandbox::in_process(SandboxOptions::default()).unwrap();
    let call = |uri: String| {
        let request = axum::http::Request::post(uri);
        let request = request.body(axum::body::Body::empty()).unwrap();
        sandbox.service().call(request)
    };
    let api = sandbox
        .endpoints()
        .dropbox_api
        .join("2/check/user")
        .unwrap();
    let answer = call(api.to_string()).await.unwrap();
    assert_eq!(
        answer.status(),
        400,
        "Dropbox refuses a call without a token"
    );
    let stranger = call("https://elsewhere.invalid/".to_owned()).await.unwrap();
    assert_eq!(stranger.status(), 421);
}
