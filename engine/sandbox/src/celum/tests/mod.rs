//! The emulator held to the contract, rule family by rule family, through its routers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;
use windlass_core::Clock;

use super::{API_KEY, Celum, CelumOptions, Profile};
use crate::blob::lock;

mod assets;
mod calls;
mod collections;
mod disk;
mod events;
mod people;
mod profile;
mod relations;
mod search;
mod transfer;
mod values;

const ROOT: &str = "/content-api/v1";
const TRANSFER: &str = "http://transfer.invalid/";

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Hand {
    fn at(text: &str) -> Arc<Self> {
        Arc::new(Hand(Mutex::new(text.parse().unwrap())))
    }

    fn advance(&self, seconds: u64) {
        let mut now = lock(&self.0);
        *now = super::later(*now, Duration::from_secs(seconds));
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.json());
        self.json()
    }

    /// The refusal's first fault, after checking the status and that there is an Error body.
    #[track_caller]
    fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.json());
        let body = self.json();
        assert!(
            body["code"].is_string() && body["message"].is_string(),
            "{body}"
        );
        body["faults"][0].clone()
    }
}

/// A tenant with a clock in the test's hand.
struct Bed {
    celum: Arc<Celum>,
    api: Router,
    transfer: Router,
    clock: Arc<Hand>,
}

impl Bed {
    fn new() -> Self {
        Bed::with("")
    }

    /// A tenant whose profile is this TOML.
    fn with(profile: &str) -> Self {
        Bed::open(CelumOptions {
            profile: Profile::from_toml(profile).unwrap(),
            ..CelumOptions::default()
        })
    }

    fn open(options: CelumOptions) -> Self {
        let clock = Hand::at("2026-03-01T10:00:00Z");
        let celum = Celum::open(CelumOptions {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            seed: 7,
            ..options
        });
        let celum = celum.unwrap();
        celum.seed_default_tenant().unwrap();
        celum.set_transfer_base(TRANSFER.parse().unwrap());
        Bed {
            api: celum.router_api(),
            transfer: celum.router_transfer(),
            celum,
            clock,
        }
    }

    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.as_user(API_KEY, method, path, body).await
    }

    async fn as_user(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{ROOT}{path}"))
            .header("X-API-KEY", key);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        answer(&self.api, request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.api("GET", path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.api("POST", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.api("PATCH", path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.api("DELETE", path, None).await
    }

    /// A request to the other origin; `url` is one that the API answered.
    async fn outside(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let path = url.strip_prefix(TRANSFER).unwrap();
        let mut request = Request::builder().method(method).uri(format!("/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&self.transfer, request.body(body).unwrap()).await
    }

    async fn announce(&self, filename: &str, filesize: usize) -> (String, String) {
        let wish = json!({"filename": filename, "filesize": filesize});
        let answer = self.post("/upload", wish).await.ok();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (text("url"), text("handle"))
    }

    async fn send(&self, url: &str, content: &[u8]) -> Answer {
        let raw = [("content-type", "application/octet-stream")];
        self.outside("POST", url, &raw, Body::from(content.to_vec()))
            .await
    }

    async fn upload(&self, filename: &str, content: &[u8]) -> String {
        let (url, handle) = self.announce(filename, content.len()).await;
        self.send(&url, content).await.ok();
        handle
    }

    fn collection(&self, path: &str) -> u64 {
        self.celum.collection_id(path).unwrap()
    }

    fn field(&self, name: &str) -> u64 {
        self.celum.field_id(name).unwrap()
    }

    fn campaign_type(&self) -> u64 {
        self.celum.asset_type_id(super::ASSET_TYPE).unwrap()
    }

    /// One entry of `informationFieldValues`.
    fn value(&self, field: &str, kind: &str, value: Value) -> Value {
        json!({"id": self.field(field), "type": kind, "value": value})
    }

    /// The body of a create of a campaign asset in the inbox.
    fn wish(&self, handle: Option<&str>, values: Vec<Value>) -> Value {
        let mut values = values;
        values.push(self.value("campaignId", "TEXT", json!("CMP-0142")));
        let mut wish = json!({
            "parentId": self.collection(super::INBOX),
            "typeId": self.campaign_type(),
            "informationFieldValues": values,
        });
        if let Some(handle) = handle {
            wish["uploadHandle"] = handle.into();
        }
        wish
    }

    /// A campaign asset with content.
    async fn asset(&self, filename: &str, content: &[u8]) -> u64 {
        let handle = self.upload(filename, content).await;
        let made = self
            .post("/assets", self.wish(Some(&handle), Vec::new()))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
        made.json()["id"].as_u64().unwrap()
    }

    /// The ids that a filter finds, in order.
    async fn find(&self, filter: Value) -> Vec<u64> {
        let body = json!({"filter": filter, "pagination": {"page": 1, "size": 200}});
        ids(&self.post("/assets/search", body).await.ok())
    }
}

fn ids(page: &Value) -> Vec<u64> {
    let content = page["content"].as_array().unwrap();
    content
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect()
}

/// The value of a field in an asset's answer.
fn shown(asset: &Value, field: u64) -> Option<Value> {
    let sets = asset["informationFieldValueSets"].as_array()?;
    let values = sets
        .iter()
        .flat_map(|set| set["informationFieldValues"].as_array().unwrap());
    let mut found = values.filter(|value| value["field"]["id"] == field);
    found.next()?.get("value").cloned()
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        bytes: to_bytes(body, 1 << 30).await.unwrap(),
    }
}
