//! The network as one function, behind a small trait.
//!
//! The real client, an emulator called in process, a fault injector and a recorder are all
//! implementations of [`Transport`], so the code under test is the code that ships.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::redact::{self, SafeHeaders};

/// Bytes that arrive in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes, SendError>>;

/// What a request carries.
pub enum Body {
    /// Nothing.
    Empty,
    /// Bytes that are all here; cloning them is free, so the request can be repeated.
    Bytes(Bytes),
    /// Several pieces that are all here, sent one after the other without being joined in memory;
    /// cloning them is free, so the request can be repeated.
    Pieces(Pieces),
    /// Exactly `length` bytes that arrive in pieces; such a request is sent once.
    Stream {
        /// How many bytes the stream yields in all.
        length: u64,
        /// The bytes, in order. An error aborts the request.
        stream: BoxStream<'static, std::io::Result<Bytes>>,
    },
}

impl Body {
    /// How many bytes it is.
    pub fn length(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Pieces(pieces) => pieces.length(),
            Body::Stream { length, .. } => *length,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Body::Pieces(pieces) => pieces.fmt(f),
            Body::Stream { length, .. } => write!(f, "Stream({length})"),
        }
    }
}

/// Pieces of one body, in order. Clones share them.
#[derive(Clone)]
pub struct Pieces {
    pieces: Arc<[Bytes]>,
    length: u64,
}

impl Pieces {
    /// These pieces, one after the other. Empty ones are left out.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().filter(|p| !p.is_empty()).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Pieces { pieces, length }
    }

    /// How many bytes they are together.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The pieces, none of them empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// All of them in one buffer: a copy, for those who cannot send pieces.
    pub fn join(&self) -> Bytes {
        let mut all = BytesMut::new();
        for piece in self.iter() {
            all.extend_from_slice(piece);
        }
        all.freeze()
    }

    /// The piece at `index`, if there are so many.
    pub(crate) fn get(&self, index: usize) -> Option<&Bytes> {
        self.pieces.get(index)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} of {})", self.pieces.len(), self.length)
    }
}

/// One HTTP request. Redirects are never followed: a redirect is an answer like any other.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers without `Host` and `Content-Length`, which follow from the rest.
    pub headers: HeaderMap,
    /// What it carries.
    pub body: Body,
    /// The longest wait from the end of the body to the head of the answer.
    pub answer_timeout: Duration,
    /// The longest silence while a body moves in either direction.
    pub idle_timeout: Duration,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &redact::url(&self.url))
            .field("headers", &SafeHeaders(&self.headers))
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without headers or body, with timeouts that fit ordinary calls.
    pub fn new(method: Method, url: Url) -> Self {
        Request {
            method,
            url,
            headers: HeaderMap::new(),
            body: Body::Empty,
            answer_timeout: Duration::from_secs(100),
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// A question, with timeouts that fit ordinary calls.
    pub fn get(url: Url) -> Self {
        Request::new(Method::GET, url)
    }

    /// A copy to send again, or `None` for a streamed body.
    pub fn try_clone(&self) -> Option<Request> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Pieces(pieces) => Body::Pieces(pieces.clone()),
            Body::Stream { .. } => return None,
        };
        Some(Request {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body,
            answer_timeout: self.answer_timeout,
            idle_timeout: self.idle_timeout,
        })
    }
}

/// The answer to a request, its body still arriving.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. An error means that it broke off.
    pub body: ByteStream,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Response {
    /// Reads the whole body, refusing more than `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, SendError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece?;
            if all.len() + piece.len() > limit {
                return Err(SendError::answered(format!(
                    "the answer is longer than {limit} bytes"
                )));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

/// Whether a failed request can have had an effect at the far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It never left: no connection was made, or not a byte of it was written.
    No,
    /// Some of it left, and no complete answer came back.
    Maybe,
}

/// Why there is no complete response.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// Whether it can have had an effect.
    pub sent: Sent,
    /// What happened, without the URL's query or any credential.
    pub message: String,
    /// The cause in the library's words.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SendError {
    /// A request of which nothing left.
    pub fn unsent(message: impl Into<String>) -> Self {
        SendError {
            sent: Sent::No,
            message: message.into(),
            source: None,
        }
    }

    /// A request that may have had its effect.
    pub fn answered(message: impl Into<String>) -> Self {
        SendError {
            sent: Sent::Maybe,
            message: message.into(),
            source: None,
        }
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Sends one request, once.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends it and waits for the head of the answer. Dropping the future stops the request.
    async fn send(&self, request: Request) -> Result<Response, SendError>;
}

/// A [`Transport`] that counts what goes through it. Clones count together.
#[derive(Clone, Debug)]
pub struct CountedTransport {
    inner: Arc<dyn Transport>,
    sent: Arc<AtomicU64>,
}

impl CountedTransport {
    /// None counted yet.
    pub fn new(inner: Arc<dyn Transport>) -> Self {
        CountedTransport {
            inner,
            sent: Arc::default(),
        }
    }

    /// How many requests were handed over.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Transport for CountedTransport {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.inner.send(request).await
    }
}
