//! A Dropbox that follows a script, and the tests by subject.

#![expect(
    clippy::single_range_in_vec_init,
    reason = "a list of one range of bytes is what is meant"
)]

mod account;
mod cloud;
mod commits;
mod copies;
mod express;
mod governing;
mod outlet;
mod reading;
mod sandbox;
mod sessions;
mod stamps;
mod unions;
mod versions;
mod webhook;
mod wire;
mod writing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use windlass_core::Secret;
use windlass_http::{Body, Jitter, Request, Response, SendError, Transport};

use crate::{Credential, DropboxEndpoint, DropboxOptions, PathRoot};

/// What Dropbox does with one request.
pub(crate) enum Act {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        /// Pieces of the body; an empty one stands for the break of the connection.
        body: Vec<Bytes>,
    },
    Lost,
}

pub(crate) fn json_ok(body: Value) -> Act {
    refusal(200, body)
}

pub(crate) fn refusal(status: u16, body: Value) -> Act {
    Act::Answer {
        status,
        headers: vec![("x-dropbox-request-id", "req-1".to_owned())],
        body: vec![body.to_string().into()],
    }
}

/// A 409 with this error.
pub(crate) fn conflict(error: Value) -> Act {
    refusal(409, json!({"error": error, "error_summary": "…/"}))
}

/// One request as it was sent.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The argument of an upload or download route.
    pub(crate) fn header_arg(&self) -> Value {
        serde_json::from_str(self.headers["dropbox-api-arg"].to_str().unwrap()).unwrap()
    }

    /// The argument of an rpc route.
    pub(crate) fn arg(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Acts in order; each names the URL that it expects to be asked.
#[derive(Default)]
pub(crate) struct Script {
    acts: Mutex<VecDeque<(&'static str, Act)>>,
    seen: Mutex<Vec<Arc<Seen>>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub(crate) fn new(acts: impl IntoIterator<Item = (&'static str, Act)>) -> Arc<Self> {
        Arc::new(Script {
            acts: Mutex::new(acts.into_iter().collect()),
            seen: Mutex::default(),
        })
    }

    pub(crate) fn seen(&self, index: usize) -> Arc<Seen> {
        Arc::clone(&self.seen.lock().unwrap()[index])
    }

    /// Asserts that every act was played.
    pub(crate) fn done(&self) {
        let left: Vec<_> = self.acts.lock().unwrap().iter().map(|act| act.0).collect();
        assert!(left.is_empty(), "never asked: {left:?}");
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        assert_eq!(request.method, http::Method::POST);
        let body = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Empty => Bytes::new(),
            Body::Stream { .. } => panic!("bodies are whole, so that they can be sent again"),
        };
        self.seen.lock().unwrap().push(Arc::new(Seen {
            headers: request.headers,
            body,
        }));
        let (expected, act) = self
            .acts
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| panic!("beyond the script: {}", request.url));
        let asked = request.url.as_str();
        assert!(asked.ends_with(expected), "{asked} instead of {expected}");
        match act {
            Act::Lost => Err(SendError::answered("connection reset")),
            Act::Answer {
                status,
                headers,
                body,
            } => Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: headers
                    .into_iter()
                    .map(|(name, value)| {
                        (
                            HeaderName::from_static(name),
                            HeaderValue::from_str(&value).unwrap(),
                        )
                    })
                    .collect(),
                body: stream::iter(body)
                    .map(|piece| match piece.is_empty() {
                        true => Err(SendError::answered("the body broke off")),
                        false => Ok(piece),
                    })
                    .boxed(),
            }),
        }
    }
}

pub(crate) fn options() -> DropboxOptions {
    DropboxOptions {
        path_root: PathRoot::Home,
        jitter: Jitter::seeded(1),
        ..DropboxOptions::new("studio", Credential::AccessToken(Secret::new("sl.test")))
    }
}

/// The script as the network.
pub(crate) fn shared(script: &Arc<Script>) -> Arc<dyn Transport> {
    Arc::<Script>::clone(script)
}

pub(crate) async fn connect(script: &Arc<Script>) -> Arc<DropboxEndpoint> {
    DropboxEndpoint::connect(shared(script), options())
        .await
        .unwrap()
}

pub(crate) const REV: &str = "0164aa10c2e3f5000000012ab34cd56";
pub(crate) const ID: &str = "id:AbCdEfGhIjAAAAAAAAAAAQ";

/// A file as uploads and headers describe it: without `.tag`.
pub(crate) fn file(path: &str, rev: &str, bytes: &[u8]) -> Value {
    json!({
        "client_modified": "2026-03-01T08:30:00Z",
        "content_hash": windlass_core::ContentHash::of(bytes).to_hex(),
        "id": ID,
        "is_downloadable": true,
        "name": path.rsplit('/').next(),
        "path_display": path,
        "path_lower": path.to_lowercase(),
        "property_groups": [],
        "rev": rev,
        "server_modified": "2026-03-01T08:31:12Z",
        "size": bytes.len(),
    })
}

/// A file as listings and lookups describe it.
pub(crate) fn tagged_file(path: &str, rev: &str, bytes: &[u8]) -> Value {
    let mut value = file(path, rev, bytes);
    value[".tag"] = "file".into();
    value
}
