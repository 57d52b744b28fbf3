//! The server: three questions and the bells.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use windlass_core::{Error, Kind, Result};

use crate::bell::{Answer, Bell, Knock};
use crate::pace::Pace;
use crate::status::Status;

/// The longest body of a ring: 1 MiB. Rings are some hundred bytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// How long connections get to end when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// Whom the console speaks for.
pub trait House: Send + Sync + Debug {
    /// How it stands now.
    fn status(&self) -> Status;

    /// Something may have changed at these endpoints. Quick; what cannot be taken is dropped.
    fn ring(&self, endpoints: &[String]);
}

/// A server that is bound and not asked yet.
#[derive(Debug)]
pub struct Console {
    listener: TcpListener,
    address: SocketAddr,
}

/// One route with what it needs.
#[derive(Clone, Debug)]
struct Route<T> {
    pace: Arc<Pace>,
    house: Arc<dyn House>,
    more: T,
}

impl Console {
    /// Binds an address; port 0 takes a free one.
    ///
    /// Errors: `Config` where it cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let refused = |error| {
            let message = format!("nobody can be answered at {address}");
            Error::new(Kind::Config, message).with_source(error)
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Console { listener, address })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is told to stop, and a moment longer for who is being answered.
    pub async fn serve(
        self,
        house: Arc<dyn House>,
        bells: Vec<Arc<dyn Bell>>,
        stop: CancellationToken,
    ) {
        let router = router(house, bells);
        let stopping = stop.clone();
        let serving = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { stopping.cancelled().await });
        let late = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            ended = async { serving.await } => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "nobody is answered any more");
                }
            }
            () = late => {}
        }
    }
}

fn router(house: Arc<dyn House>, bells: Vec<Arc<dyn Bell>>) -> Router {
    let route = || Route {
        pace: Arc::default(),
        house: Arc::clone(&house),
        more: (),
    };
    let mut router = Router::new()
        .route("/healthz", get(healthz).with_state(route()))
        .route("/readyz", get(readyz).with_state(route()))
        .route("/status", get(status).with_state(route()));
    let taken = MethodFilter::GET.or(MethodFilter::POST);
    for bell in bells {
        let path = bell.path().to_owned();
        let route = Route {
            pace: Arc::default(),
            house: Arc::clone(&house),
            more: bell,
        };
        router = router.route(&path, on(taken, rung).with_state(route));
    }
    router
}

async fn healthz(State(route): State<Route<()>>) -> Response {
    match route.pace.passes() {
        true => plain(StatusCode::OK, "alive"),
        false => too_many(),
    }
}

async fn readyz(State(route): State<Route<()>>) -> Response {
    if !route.pace.passes() {
        return too_many();
    }
    let Status { ready, reasons, .. } = route.house.status();
    let code = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(
        code,
        &serde_json::json!({ "ready": ready, "reasons": reasons }),
    )
}

async fn status(State(route): State<Route<()>>) -> Response {
    match route.pace.passes() {
        true => json(StatusCode::OK, &route.house.status()),
        false => too_many(),
    }
}

async fn rung(
    State(route): State<Route<Arc<dyn Bell>>>,
    params: RawPathParams,
    request: Request,
) -> Response {
    if !route.pace.passes() {
        return too_many();
    }
    let token = params.iter().next().map(|(_, value)| value.to_owned());
    let knock = match knock(token.unwrap_or_default(), request).await {
        Ok(knock) => knock,
        Err(refused) => return refused,
    };
    let Answer {
        status,
        text,
        rings,
    } = route.more.answer(&knock);
    if !rings.is_empty() {
        route.house.ring(&rings);
    }
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    plain(code, text)
}

/// The request with its body, or what it is refused with.
async fn knock(token: String, request: Request) -> std::result::Result<Knock, Response> {
    let (parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_PATIENCE, to_bytes(body, BODY_BYTES_MAX)).await;
    let body = match read {
        Err(_) => return Err(plain(StatusCode::REQUEST_TIMEOUT, "")),
        Ok(Err(_)) => return Err(plain(StatusCode::PAYLOAD_TOO_LARGE, "")),
        Ok(Ok(body)) => body,
    };
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    Ok(Knock {
        is_post: parts.method == Method::POST,
        token,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body,
    })
}

fn too_many() -> Response {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn plain(code: StatusCode, text: impl Into<Body>) -> Response {
    answer(code, "text/plain; charset=utf-8", text.into())
}

fn json<T: Serialize>(code: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => answer(code, "application/json", text.into()),
        Err(error) => {
            tracing::warn!(%error, "an answer cannot be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

/// An answer that no browser takes for anything else, and nobody keeps.
fn answer(code: StatusCode, kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (code, headers, body).into_response()
}
