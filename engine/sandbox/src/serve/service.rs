//! Both services as one function, without sockets: for simulations that must repeat exactly.
//!
//! Latency, stalls and bandwidth take the runtime's time; a reset is an error here, and a body that breaks off is an
//! error of the answer's body. Nothing is spawned: dropping a call drops what it was doing at the service, as a
//! server does that notices at once. Who wants a server that finishes what it was asked, spawns the call.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use jiff::Timestamp;
use url::Url;

use super::hosts::Hosts;
use super::{Addresses, routers};
use crate::celum::{Celum, RuntimeClock};
use crate::dropbox::Dropbox;
use crate::fault::ConnectionReset;

/// The connection was reset before any answer arrived. Whether the service acted is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection was reset before an answer")]
pub struct Lost;

/// Both services behind one call. Clones call the same services.
#[derive(Clone, Debug)]
pub struct Service {
    hosts: Hosts,
}

impl Service {
    pub(super) fn new(dropbox: &Arc<Dropbox>, celum: &Arc<Celum>, at: &Addresses) -> Self {
        let [api, content, notify] = &at.dropbox;
        let urls = [api, content, notify, &at.celum, &at.transfer];
        let routers = routers(dropbox, celum).into_iter().zip(urls);
        let hosts = routers.map(|((_, router), url)| (url.authority().to_owned(), router));
        Service {
            hosts: hosts.collect(),
        }
    }

    /// Makes one call. The host of the request's URI (or its `Host` header) decides who answers; it is one of those
    /// in [`Sandbox::endpoints`](super::Sandbox::endpoints), and any other answers 421.
    ///
    /// Faults show as they do to a client: a reset is [`Lost`], what breaks off is an error of the body.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<Body>, Lost>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let response = self.hosts.clone().answer(request.map(Body::new)).await;
        match response.extensions().get::<ConnectionReset>() {
            Some(_) => Err(Lost),
            None => Ok(response),
        }
    }
}

/// Where the services are when they are nowhere: Dropbox's own names, and made-up ones for the tenant.
pub(super) fn addresses() -> Addresses {
    let at = |host: &str| {
        // A host name without characters that a URL would refuse.
        Url::parse(&format!("https://{host}/")).unwrap_or_else(|error| unreachable!("{error}"))
    };
    Addresses {
        dropbox: [
            at("api.dropboxapi.com"),
            at("content.dropboxapi.com"),
            at("notify.dropboxapi.com"),
        ],
        celum: at("api.celum.invalid"),
        transfer: at("transfer.celum.invalid"),
        by_host: None,
        ca_pem: None,
    }
}

/// The time of day that services in process agree on: the same start in every run, moved on by the runtime.
pub(super) fn clock() -> RuntimeClock {
    // 2026-09-21 at noon: within what every timestamp can say.
    let start = Timestamp::from_second(1_790_000_000).unwrap_or_default();
    RuntimeClock::starting(start)
}
