//! The emulator's rules, family by family, over its routers in process.

mod auth;
mod faults;
mod folders;
mod limits;
mod list;
mod paths;
mod read;
mod session;
mod sharing;
mod store;
mod tags;
mod webhook;
mod wire;
mod write;

use std::sync::Mutex;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

/// A clock that a test moves.
#[derive(Debug)]
struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

impl TestClock {
    fn start() -> Arc<Self> {
        let start = "2026-03-01T08:30:00.75Z".parse().unwrap();
        Arc::new(TestClock(Mutex::new(start)))
    }

    fn advance(&self, seconds: i64) {
        *self.0.lock().unwrap() += jiff::SignedDuration::from_secs(seconds);
    }
}

/// An emulated account with a token.
struct Rig {
    dropbox: Arc<Dropbox>,
    token: String,
}

struct Answer {
    /// 0: the connection broke.
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.body))
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.json()
    }

    /// The summary of a 409.
    fn refused(self) -> String {
        assert_eq!(self.status, 409, "{:?}", self.body);
        self.json()["error_summary"].as_str().unwrap().to_owned()
    }
}

impl Rig {
    fn new() -> Self {
        Rig::with(DropboxOptions::default())
    }

    fn with(options: DropboxOptions) -> Self {
        let dropbox = Dropbox::open(options).unwrap();
        let token = dropbox.access_token().expose().to_owned();
        Rig { dropbox, token }
    }

    fn request(&self, route: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(Method::POST)
            .uri(format!("/2/{route}"))
            .header("authorization", format!("Bearer {}", self.token))
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.dropbox.router_all().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        if parts
            .extensions
            .get::<crate::fault::ConnectionReset>()
            .is_some()
        {
            return Answer {
                status: 0,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            };
        }
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: axum::body::to_bytes(body, 1 << 30).await.unwrap(),
        }
    }

    async fn rpc(&self, route: &str, arg: Value) -> Answer {
        let request = self
            .request(route)
            .header("content-type", "application/json");
        self.send(request.body(Body::from(arg.to_string())).unwrap())
            .await
    }

    async fn send_bytes(&self, route: &str, arg: Value, body: impl Into<Body>) -> Answer {
        let request = self
            .request(route)
            .header("content-type", "application/octet-stream")
            .header(
                "dropbox-api-arg",
                super::wire::header_safe(&arg.to_string()),
            );
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn upload(&self, path: &str, bytes: &'static str) -> Value {
        let answer = self.send_bytes("files/upload", json!({ "path": path }), bytes);
        answer.await.ok()
    }

    async fn download(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let arg = super::wire::header_safe(&json!({ "path": path }).to_string());
        let mut request = self
            .request("files/download")
            .header("dropbox-api-arg", arg);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Display paths of everything, folders with a slash at the end.
    fn paths(&self) -> Vec<String> {
        let tree = self.dropbox.tree().into_iter();
        tree.map(|entry| match entry.file {
            Some(_) => entry.path_display,
            None => format!("{}/", entry.path_display),
        })
        .collect()
    }
}
