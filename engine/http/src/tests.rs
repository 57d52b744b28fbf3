//! A network that follows a script, for every test of this crate, and the tests by subject.

mod auth;
mod budget;
mod client;
mod governor;
mod governor_sim;
mod wire;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::{
    Anonymous, Body, Call, Client, ClientOptions, Jitter, Judge, Judged, Repeat, Request, Response,
    SendError, Transport,
};

pub(crate) const HOME: &str = "https://api.example/2/things";

/// What the network does with one request.
pub(crate) enum Act {
    Answer(u16, Vec<(&'static str, String)>, &'static str),
    /// An answer whose body breaks off after these bytes.
    Broken(u16, &'static str),
    Unsent,
    Lost,
    /// Acts after a while.
    Late(Duration, Box<Act>),
}

pub(crate) fn ok(body: &'static str) -> Act {
    Act::Answer(200, Vec::new(), body)
}

pub(crate) fn status(status: u16) -> Act {
    Act::Answer(status, Vec::new(), "")
}

/// One request as it was sent.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) at: tokio::time::Instant,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    acts: Mutex<VecDeque<Act>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Act")
    }
}

impl Script {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Script {
            acts: Mutex::new(acts.into_iter().collect()),
            seen: Mutex::default(),
        })
    }

    pub(crate) fn sent(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Time between consecutive sends.
    pub(crate) fn gaps(&self) -> Vec<Duration> {
        let seen = self.seen.lock().unwrap();
        seen.windows(2).map(|two| two[1].at - two[0].at).collect()
    }
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let body = match request.body {
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Empty => Bytes::new(),
            Body::Stream { mut stream, .. } => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(&piece.unwrap());
                }
                all.into()
            }
        };
        self.seen.lock().unwrap().push(Seen {
            at: tokio::time::Instant::now(),
            url: request.url,
            headers: request.headers,
            body,
        });
        let mut act = self
            .acts
            .lock()
            .unwrap()
            .pop_front()
            .expect("a request beyond the script");
        loop {
            match act {
                Act::Late(delay, then) => {
                    tokio::time::sleep(delay).await;
                    act = *then;
                }
                Act::Unsent => return Err(SendError::unsent("connection refused")),
                Act::Lost => return Err(SendError::answered("connection reset")),
                Act::Broken(status, begin) => {
                    return Ok(Response {
                        status: StatusCode::from_u16(status).unwrap(),
                        headers: HeaderMap::new(),
                        body: stream::iter([
                            Ok(Bytes::from_static(begin.as_bytes())),
                            Err(SendError::answered("the body broke off")),
                        ])
                        .boxed(),
                    });
                }
                Act::Answer(status, headers, body) => {
                    let headers = headers
                        .into_iter()
                        .map(|(name, value)| {
                            (
                                HeaderName::from_static(name),
                                HeaderValue::from_str(&value).unwrap(),
                            )
                        })
                        .collect();
                    return Ok(Response {
                        status: StatusCode::from_u16(status).unwrap(),
                        headers,
                        body: stream::iter([Ok(Bytes::from_static(body.as_bytes()))]).boxed(),
                    });
                }
            }
        }
    }
}

/// A service of the usual kind; 423 stands for a lock.
#[derive(Debug)]
pub(crate) struct Usual;

impl Judge for Usual {
    fn judge(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Judged {
        match status.as_u16() {
            401 if body == b"expired" => Judged::RefreshToken,
            423 => Judged::Busy(None),
            429 => Judged::Wait(None),
            500..=599 => Judged::Transient,
            _ => Judged::Final,
        }
    }
}

pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        jitter: Jitter::seeded(7),
        request_id_header: Some(HeaderName::from_static("x-request-id")),
        ..ClientOptions::new("the service", Url::parse("https://api.example/").unwrap())
    }
}

/// The script as the network.
pub(crate) fn shared(script: &Arc<Script>) -> Arc<dyn Transport> {
    Arc::<Script>::clone(script)
}

pub(crate) fn client(script: &Arc<Script>) -> Client {
    client_with(script, options())
}

pub(crate) fn client_with(script: &Arc<Script>, options: ClientOptions) -> Client {
    Client::new(
        shared(script),
        Arc::new(Usual),
        Arc::new(Anonymous),
        options,
    )
}

pub(crate) fn get(repeat: Repeat) -> Call {
    call_to(HOME, repeat)
}

pub(crate) fn call_to(url: &str, repeat: Repeat) -> Call {
    Call {
        route: "things/get",
        request: Request::new(Method::GET, Url::parse(url).unwrap()),
        repeat,
        authorize: true,
    }
}
