//! The real transport against real sockets on the loopback address.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::Request as AxumRequest;
use axum::http::header;
use axum::response::Response as AxumResponse;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;
use windlass_core::{Kind, Secret};

use super::{Usual, options};
use crate::{
    Answer, Body, Call, Client, ClientOptions, Pieces, Proxy, Repeat, Request, ReqwestTransport,
    SendError, Sent, StaticHeader, Transport, TransportOptions,
};

fn transport() -> ReqwestTransport {
    ReqwestTransport::new(TransportOptions {
        connect_timeout: Duration::from_secs(5),
        proxy: Proxy::Direct,
        ..TransportOptions::default()
    })
    .unwrap()
}

fn request(url: &Url) -> Request {
    let mut request = Request::new(Method::POST, url.clone());
    request.idle_timeout = Duration::from_millis(300);
    request.answer_timeout = Duration::from_secs(5);
    request
}

/// Serves what the handler answers, until the test's runtime ends.
async fn serve<F>(handler: fn(AxumRequest) -> F) -> Url
where
    F: Future<Output = AxumResponse> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(any(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Url::parse(&format!("http://{address}/route?token=secret")).unwrap()
}

/// Accepts one connection, reads some of what it says, writes `answer` and closes.
async fn raw(read_first: bool, answer: &'static [u8]) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        if read_first {
            let mut buffer = [0; 4096];
            assert_ne!(socket.read(&mut buffer).await.unwrap(), 0);
        }
        socket.write_all(answer).await.unwrap();
        socket.shutdown().await.unwrap();
    });
    Url::parse(&format!("http://{address}/route?token=secret")).unwrap()
}

fn no_secret(error: &SendError) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!text.contains("secret"), "{text}");
}

async fn echo(request: AxumRequest) -> AxumResponse {
    let seen: Vec<String> = ["content-length", "accept-encoding", "transfer-encoding"]
        .iter()
        .map(|name| match request.headers().get(*name) {
            Some(value) => format!("{name}={}", value.to_str().unwrap()),
            None => format!("{name}-"),
        })
        .collect();
    let body = axum::body::to_bytes(request.into_body(), 64 << 20)
        .await
        .unwrap();
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    AxumResponse::new(AxumBody::from(format!(
        "{} {} {sum}",
        seen.join(" "),
        body.len()
    )))
}

async fn told(request: Request) -> String {
    let answer = transport().send(request).await.unwrap();
    String::from_utf8(answer.collect(1 << 20).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn bodies_arrive_whole_with_their_length() {
    let url = serve(echo).await;
    let plain = "accept-encoding- transfer-encoding-";
    assert_eq!(
        told(request(&url)).await,
        format!("content-length=0 {plain} 0 0"),
        "a POST without a body says so"
    );
    let mut large = request(&url);
    large.body = Body::Bytes(Bytes::from(vec![1; 1_000_001]));
    assert_eq!(
        told(large).await,
        format!("content-length=1000001 {plain} 1000001 1000001")
    );
    let mut pieces = request(&url);
    let parts = [1_000_000, 0, 1, 70_000].map(|length| Bytes::from(vec![1; length]));
    pieces.body = Body::Pieces(Pieces::new(parts));
    let copy = pieces.try_clone().expect("clones are free");
    for pieces in [pieces, copy] {
        assert_eq!(
            told(pieces).await,
            format!("content-length=1070001 {plain} 1070001 1070001")
        );
    }
    let mut streamed = request(&url);
    let pieces = (0..10).map(|_| Ok(Bytes::from_static(&[2; 1000])));
    streamed.body = Body::Stream {
        length: 10_000,
        stream: stream::iter(pieces).boxed(),
    };
    assert_eq!(
        told(streamed).await,
        format!("content-length=10000 {plain} 10000 20000")
    );
}

#[tokio::test]
async fn a_stream_of_another_length_than_announced_is_an_error() {
    let url = serve(echo).await;
    for announced in [5, 15] {
        let mut streamed = request(&url);
        streamed.body = Body::Stream {
            length: announced,
            stream: stream::iter([Ok(Bytes::from_static(&[0; 10]))]).boxed(),
        };
        let error = transport().send(streamed).await.unwrap_err();
        assert_eq!(error.sent, Sent::Maybe);
        assert!(error.to_string().contains("than announced"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_connection_never_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = Url::parse(&format!("http://{address}/?token=secret")).unwrap();
    let error = transport().send(request(&url)).await.unwrap_err();
    assert_eq!(error.sent, Sent::No);
    assert!(error.to_string().contains("no connection"), "{error}");
    no_secret(&error);
}

#[tokio::test]
async fn a_handshake_that_fails_never_left() {
    let mut url = raw(true, b"not TLS at all\r\n\r\n").await;
    url.set_scheme("https").unwrap();
    let error = transport().send(request(&url)).await.unwrap_err();
    assert_eq!(error.sent, Sent::No);
    no_secret(&error);
}

#[tokio::test]
async fn a_connection_closed_after_the_request_may_have_arrived() {
    let url = raw(true, b"").await;
    let error = transport().send(request(&url)).await.unwrap_err();
    assert_eq!(error.sent, Sent::Maybe);
    no_secret(&error);
}

#[tokio::test]
async fn a_truncated_body_is_an_error_after_its_bytes() {
    let url = raw(true, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let mut answer = transport().send(request(&url)).await.unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "half");
    let error = answer.body.next().await.unwrap().unwrap_err();
    assert_eq!(error.sent, Sent::Maybe);
    no_secret(&error);
    assert!(answer.body.next().await.is_none());
}

async fn trickle(_request: AxumRequest) -> AxumResponse {
    let pieces = stream::iter(["a", "b"]).chain(stream::pending());
    AxumResponse::new(AxumBody::from_stream(pieces.map(Ok::<_, std::io::Error>)))
}

#[tokio::test]
async fn silence_in_a_body_ends_it() {
    let url = serve(trickle).await;
    let mut answer = transport().send(request(&url)).await.unwrap();
    let mut all = Vec::new();
    let error = loop {
        match answer.body.next().await.unwrap() {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!(all, b"ab");
    assert!(error.to_string().contains("no byte"), "{error}");
}

async fn mute(_request: AxumRequest) -> AxumResponse {
    std::future::pending().await
}

#[tokio::test]
async fn an_answer_that_does_not_come_may_have_arrived() {
    let url = serve(mute).await;
    let mut asked = request(&url);
    asked.answer_timeout = Duration::from_millis(200);
    let error = transport().send(asked).await.unwrap_err();
    assert_eq!(error.sent, Sent::Maybe);
    assert!(error.to_string().contains("no answer"), "{error}");
}

#[tokio::test]
async fn an_upload_whose_source_stalls_is_given_up() {
    let url = serve(echo).await;
    let mut stalled = request(&url);
    stalled.body = Body::Stream {
        length: 10,
        stream: stream::iter([Ok(Bytes::from_static(b"abc"))])
            .chain(stream::pending())
            .boxed(),
    };
    let error = transport().send(stalled).await.unwrap_err();
    assert_eq!(error.sent, Sent::Maybe);
    assert!(error.to_string().contains("no progress"), "{error}");
}

async fn away(request: AxumRequest) -> AxumResponse {
    match request.uri().path() {
        "/route" => AxumResponse::builder()
            .status(307)
            .header(header::LOCATION, "/stolen")
            .body(AxumBody::empty())
            .unwrap(),
        // Following the redirect would end here, with the credential.
        _ => AxumResponse::new(AxumBody::from("followed")),
    }
}

fn client(origin: &Url) -> Client {
    Client::new(
        Arc::new(transport()),
        Arc::new(Usual),
        Arc::new(StaticHeader::bearer(&Secret::new("t-1")).unwrap()),
        ClientOptions {
            origins: vec![origin.clone()],
            ..options()
        },
    )
}

fn call(url: &Url) -> Call {
    Call {
        route: "route",
        request: request(url),
        repeat: Repeat::OnlyIfUnsent,
        authorize: true,
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let url = serve(away).await;
    let error = client(&url).call(call(&url)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
}

async fn whoami(request: AxumRequest) -> AxumResponse {
    let seen = request.headers().get(header::AUTHORIZATION);
    let text = seen.map_or("nobody", |value| value.to_str().unwrap());
    AxumResponse::new(AxumBody::from(text.to_owned()))
}

#[tokio::test]
async fn another_port_gets_no_credentials() {
    let home = serve(whoami).await;
    let other = serve(whoami).await;
    let client = client(&home);
    for (url, expected) in [(&home, "Bearer t-1"), (&other, "nobody")] {
        let Answer::Success(response) = client.call(call(url)).await.unwrap() else {
            panic!("refused");
        };
        assert_eq!(response.collect(100).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_lost_answer_of_a_call_that_is_not_idempotent_is_ambiguous() {
    let url = raw(true, b"").await;
    let error = client(&url).call(call(&url)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    assert!(!format!("{error:?}").contains("secret"));
}

#[test]
fn certificates_that_are_none_are_a_configuration_error() {
    let error = ReqwestTransport::new(TransportOptions {
        extra_root_ca_pem: Some(b"not a certificate".to_vec()),
        ..TransportOptions::default()
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
}
