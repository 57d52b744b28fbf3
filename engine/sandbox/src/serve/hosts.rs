//! Which router answers under which host name.
//!
//! Tools whose hosts are fixed reach the emulated Dropbox under its own names, once name resolution leads these to
//! loopback; calls in process name their host the same way.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;

use crate::dropbox::Dropbox;

/// Dropbox's hosts with calls and tokens.
const API: [&str; 3] = ["api.dropboxapi.com", "api.dropbox.com", "www.dropbox.com"];
/// Dropbox's host with contents.
const CONTENT: &str = "content.dropboxapi.com";
/// Dropbox's host with change notifications.
const NOTIFY: &str = "notify.dropboxapi.com";

/// Every name that Dropbox answers under, for certificates.
pub(super) fn dropbox_names() -> impl Iterator<Item = &'static str> {
    API.into_iter().chain([CONTENT, NOTIFY])
}

/// Routers by the authority that a request names: a host, with a port where one is part of the name.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    routers: Arc<Vec<(String, Router)>>,
}

impl Hosts {
    /// The emulated Dropbox under its own names.
    pub(super) fn of_dropbox(dropbox: &Arc<Dropbox>) -> Hosts {
        let api = API.map(|name| (name.to_owned(), dropbox.router_api()));
        let others = [
            (CONTENT.to_owned(), dropbox.router_content()),
            (NOTIFY.to_owned(), dropbox.router_notify()),
        ];
        api.into_iter().chain(others).collect()
    }

    /// All of them behind one router.
    pub(super) fn router(self) -> Router {
        Router::new()
            .fallback(|State(hosts): State<Hosts>, request: Request| hosts.answer(request))
            .with_state(self)
    }

    /// Hands a request to the router of its host: that of an absolute URI, else of the `Host` header.
    pub(super) async fn answer(self, request: Request) -> Response {
        let authority = request
            .uri()
            .authority()
            .map(|authority| authority.as_str());
        let header = request.headers().get(header::HOST);
        let header = header.and_then(|host| host.to_str().ok());
        let asked = authority.or(header).unwrap_or_default();
        let name = asked.split(':').next().unwrap_or_default();
        let mut routers = self.routers.iter();
        let found = routers.find(|(known, _)| known == asked || known == name);
        let Some((_, router)) = found else {
            let message = format!("the sandbox does not answer for the host {asked:?}\n");
            return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
        };
        match router.clone().oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl FromIterator<(String, Router)> for Hosts {
    fn from_iter<T: IntoIterator<Item = (String, Router)>>(routers: T) -> Self {
        Hosts {
            routers: Arc::new(routers.into_iter().collect()),
        }
    }
}
