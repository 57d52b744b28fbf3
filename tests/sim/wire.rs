//! The network between the clients and both emulators: a call, without sockets and without threads.
//!
//! The emulator's side of a request runs in a task of its own, as a server does: when the client goes away it
//! finishes what it was asked if all of it had arrived, and sees a broken body if not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body as ServerBody;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;
use windlass_http::{Body, Request, Response, SendError, Transport};
use windlass_sandbox::fault::ConnectionReset;

/// One call and what came of it, without what differs between equal runs.
pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

/// Tells what happened when the story of one seed fails, where it was asked for.
pub(crate) struct ToldWhenItFails(pub(crate) Trace);

impl Drop for ToldWhenItFails {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("WINDLASS_SIM_SEED").is_some() {
            let trace = self.0.lock();
            let lines = trace.iter().flat_map(|trace| trace.iter());
            lines.for_each(|line| println!("{line}"));
        }
    }
}

/// Routers by the host in a URL.
pub(crate) struct Wire {
    pub(crate) routers: Vec<(&'static str, Router)>,
    pub(crate) trace: Trace,
    pub(crate) since: Instant,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    fn note(&self, line: String) {
        let at = self.since.elapsed().as_micros();
        let mut trace = self.trace.lock().unwrap();
        trace.push(format!("{at:>12} {line}"));
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let host = request.url.host_str().unwrap_or_default().to_owned();
        let name = format!("{host}{}", route(request.url.path()));
        let router = self.routers.iter().find(|(known, _)| *known == host);
        let Some((_, router)) = router else {
            return Err(SendError::unsent(format!("no host is named {host}")));
        };
        let timeout = request.answer_timeout;
        let (asked, sending) = asked(request);
        let length = sending.length;
        let answering = tokio::spawn(router.clone().oneshot(asked));
        // Pumps a streamed body until it is all there or the server answers.
        let answer = async {
            let mut answering = answering;
            let mut pump = Box::pin(sending.run());
            let mut pumped = None;
            loop {
                tokio::select! {
                    biased;
                    sent = &mut pump, if pumped.is_none() => pumped = Some(sent),
                    answer = &mut answering => return (answer, pumped),
                }
            }
        };
        let Ok((answer, pumped)) = tokio::time::timeout(timeout, answer).await else {
            self.note(format!("{name} {length} timeout"));
            return Err(SendError::answered("no answer in time"));
        };
        if let Some(Err(error)) = pumped {
            self.note(format!("{name} {length} broken off"));
            return Err(SendError::answered("the body broke off").because(error));
        }
        let response = answer
            .map_err(|error| SendError::answered(format!("the server went away: {error}")))?
            .unwrap_or_else(|never| match never {});
        if response.extensions().get::<ConnectionReset>().is_some() {
            self.note(format!("{name} {length} reset"));
            return Err(SendError::answered("the connection was reset"));
        }
        self.note(format!("{name} {length} {}", response.status().as_u16()));
        let (parts, body) = response.into_parts();
        let body = body.into_data_stream().map(|piece| {
            piece.map_err(|error| SendError::answered(format!("the answer broke off: {error}")))
        });
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: body.boxed(),
        })
    }
}

/// A path without ids.
fn route(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let is_id = segment.len() > 24
            || segment
                .bytes()
                .any(|byte| byte.is_ascii_digit() && segment.len() > 2);
        if is_id { "…" } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

type Piece = std::io::Result<Bytes>;

/// The client's half of a streamed body.
struct Sending {
    length: u64,
    pieces: Option<(stream::BoxStream<'static, Piece>, mpsc::Sender<Piece>)>,
}

impl Sending {
    async fn run(self) -> std::io::Result<()> {
        let Some((mut pieces, to)) = self.pieces else {
            return Ok(());
        };
        let mut left = self.length;
        while let Some(piece) = pieces.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    let seen = std::io::Error::other(error.to_string());
                    to.send(Err(seen)).await.ok();
                    return Err(error);
                }
            };
            left = left.saturating_sub(piece.len() as u64);
            // A server that answered early no longer reads.
            if to.send(Ok(copied(&piece))).await.is_err() {
                return Ok(());
            }
        }
        match left {
            0 => Ok(()),
            _ => {
                let short = || std::io::Error::other("the body ended early");
                to.send(Err(short())).await.ok();
                Err(short())
            }
        }
    }
}

/// The server's view of a request.
fn asked(request: Request) -> (axum::extract::Request, Sending) {
    let length = match &request.body {
        Body::Empty => 0,
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::Pieces(pieces) => pieces.length(),
        Body::Stream { length, .. } => *length,
    };
    let mut sending = Sending {
        length,
        pieces: None,
    };
    let body = match request.body {
        Body::Empty => ServerBody::empty(),
        Body::Bytes(bytes) => ServerBody::from(copied(&bytes)),
        Body::Pieces(pieces) => {
            let all: Vec<_> = pieces
                .iter()
                .map(|piece| Ok::<_, std::io::Error>(copied(piece)))
                .collect();
            ServerBody::from_stream(stream::iter(all))
        }
        Body::Stream { stream: pieces, .. } => {
            let (to, from) = mpsc::channel(1);
            sending.pieces = Some((pieces, to));
            let received = Received { from, left: length };
            ServerBody::from_stream(stream::unfold(received, Received::next).fuse())
        }
    };
    let mut asked = http::Request::builder()
        .method(request.method)
        .uri(request.url.as_str())
        .body(body)
        .expect("a request");
    *asked.headers_mut() = request.headers;
    let host = request.url.host_str().unwrap_or_default();
    asked
        .headers_mut()
        .insert(http::header::HOST, host.parse().expect("a host"));
    asked
        .headers_mut()
        .insert(http::header::CONTENT_LENGTH, length.into());
    (asked, sending)
}

/// Bytes as the far side gets them: in memory of its own, which no budget of ours pays for.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The server's half of a streamed body: a client that vanishes leaves it broken, not ended.
struct Received {
    from: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
}

impl Received {
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Received)> {
        match self.from.recv().await {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some((Ok(piece), self))
            }
            Some(Err(error)) => Some((Err(error), self)),
            None if self.left > 0 => {
                self.left = 0;
                Some((Err(std::io::Error::other("the client went away")), self))
            }
            None => None,
        }
    }
}

/// A moment in which tasks that are ready get their turn.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
