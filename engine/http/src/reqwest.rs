//! The real network: [`Transport`] by reqwest, over pooled HTTP/1.1 connections.
//!
//! HTTP/1.1 on purpose: one HTTP/2 connection has one flow-control window and is one failure, and on
//! loopback plain HTTP/1.1 moved three times as many bytes. Redirects are not followed, bodies are not
//! decompressed, nothing is retried here. Only what failed before a connection was there counts as
//! unsent; everything later may have arrived.

use std::error::Error as StdError;
use std::time::Duration;

use ::reqwest::redirect::Policy;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, Method};
use url::{Host, Url};
use windlass_core::{Error, Kind, Result};

use crate::redact;
use crate::reqwest::upload::Upload;
use crate::transport::{Body, ByteStream, Request, Response, SendError, Sent, Transport};

mod upload;

/// How requests find their way out.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// As the operating system or the environment says. Loopback addresses go direct.
    #[default]
    System,
    /// Always direct.
    Direct,
    /// Through this one, except for loopback addresses. The URL may carry credentials.
    Through(Url),
}

/// How connections are made.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// What we call ourselves.
    pub user_agent: String,
    /// Certificates, PEM, that are trusted beside the system's own.
    pub extra_root_ca_pem: Option<Vec<u8>>,
    /// The way out.
    pub proxy: Proxy,
    /// How many idle connections are kept for each host.
    pub idle_per_host_max: usize,
    /// How long an idle connection is kept. Shorter than servers and load balancers usually keep
    /// theirs (60 s and more), so that a request seldom meets a connection that is being closed.
    pub idle_kept: Duration,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            connect_timeout: Duration::from_secs(10),
            user_agent: concat!("windlass/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_root_ca_pem: None,
            proxy: Proxy::default(),
            idle_per_host_max: 64,
            idle_kept: Duration::from_secs(30),
        }
    }
}

/// Requests over real sockets.
#[derive(Clone, Debug)]
pub struct ReqwestTransport {
    client: ::reqwest::Client,
    /// For loopback addresses, which no proxy can reach.
    direct: ::reqwest::Client,
}

impl ReqwestTransport {
    /// A transport with pools of its own. Needs no runtime yet. `Config` when the certificates or
    /// the proxy cannot be used.
    pub fn new(options: TransportOptions) -> Result<Self> {
        let direct = build(&options, &Proxy::Direct)?;
        let client = match &options.proxy {
            Proxy::Direct => direct.clone(),
            proxy => build(&options, proxy)?,
        };
        Ok(ReqwestTransport { client, direct })
    }
}

/// Sets what encrypts for this process, unless the program has chosen. Of the libraries that rustls works with, this
/// one seals a record twice as fast as the default on processors with AVX2 and vector AES.
fn choose_cryptography() {
    // An error says that there is one already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
}

fn build(options: &TransportOptions, proxy: &Proxy) -> Result<::reqwest::Client> {
    choose_cryptography();
    let mut builder = ::reqwest::Client::builder()
        .http1_only()
        .redirect(Policy::none())
        .referer(false)
        .retry(::reqwest::retry::never())
        .tcp_nodelay(true)
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.idle_per_host_max)
        .pool_idle_timeout(options.idle_kept)
        .user_agent(&options.user_agent);
    if let Some(pem) = &options.extra_root_ca_pem {
        let certificates = ::reqwest::Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|bundle| !bundle.is_empty())
            .ok_or_else(|| {
                Error::new(Kind::Config, "the extra root certificate is not PEM")
                    .with_hint("give a file that begins with -----BEGIN CERTIFICATE-----")
            })?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder = match proxy {
        Proxy::System => builder,
        Proxy::Direct => builder.no_proxy(),
        Proxy::Through(url) => {
            // The library's message would quote the URL, which may hold a password.
            let proxy = ::reqwest::Proxy::all(url.clone()).map_err(|_| {
                Error::new(Kind::Config, "the proxy's URL cannot be used")
                    .with_context("proxy", redact::origin(url))
            })?;
            builder.proxy(proxy)
        }
    };
    builder.build().map_err(|error| {
        Error::new(Kind::Config, "the HTTP client cannot be set up")
            .with_source(error)
            .with_hint("check the root certificates of the system and of the configuration")
    })
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let Request {
            method,
            url,
            mut headers,
            body,
            answer_timeout,
            idle_timeout,
        } = request;
        let place = redact::origin(&url);
        let client = match is_loopback(&url) {
            true => &self.direct,
            false => &self.client,
        };
        set_length(&method, &body, &mut headers);
        let (body, progress) = Upload::new(body);
        let mut builder = client.request(method, url).headers(headers);
        if let Some(body) = body {
            builder = builder.body(::reqwest::Body::wrap(body));
        }
        let answer = tokio::select! {
            biased;
            answer = builder.send() => answer.map_err(|error| classify(error, &place))?,
            silence = progress.silence(idle_timeout, answer_timeout) => {
                return Err(SendError::answered(format!("{silence} from {place}")));
            }
        };
        Ok(Response {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: watched(answer, idle_timeout, place),
        })
    }
}

/// A `POST` without a body still says so: some services answer 411 otherwise.
fn set_length(method: &Method, body: &Body, headers: &mut HeaderMap) {
    let expects = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if expects && matches!(body, Body::Empty) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The answer's body; silence for longer than `idle_timeout` is its end.
fn watched(answer: ::reqwest::Response, idle_timeout: Duration, place: String) -> ByteStream {
    let body = answer.bytes_stream().boxed();
    stream::unfold(Some((body, place)), move |state| async move {
        let (mut body, place) = state?;
        match tokio::time::timeout(idle_timeout, body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some((body, place)))),
            Ok(Some(Err(error))) => {
                let error = SendError::answered(format!("the answer from {place} broke off"))
                    .because(error.without_url());
                Some((Err(error), None))
            }
            Err(_) => {
                let error = SendError::answered(format!(
                    "no byte of the answer from {place} for {} s",
                    idle_timeout.as_secs_f64()
                ));
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

fn classify(error: ::reqwest::Error, place: &str) -> SendError {
    let error = error.without_url();
    let unsent = error.is_connect() || error.is_builder();
    let cause = root_cause(&error);
    let message = match unsent {
        true => format!("no connection to {place}: {cause}"),
        false => format!("the exchange with {place} broke off: {cause}"),
    };
    SendError {
        sent: match unsent {
            true => Sent::No,
            false => Sent::Maybe,
        },
        message,
        source: Some(Box::new(error)),
    }
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn root_cause(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Larger pieces would hide progress from the watchdog on a slow line; smaller ones cost calls.
const PIECE_BYTES: usize = 256 << 10;

/// The next piece of bytes that are all here.
fn next_piece(rest: &mut Bytes) -> Option<Bytes> {
    match rest.len() {
        0 => None,
        n => Some(rest.split_to(n.min(PIECE_BYTES))),
    }
}
