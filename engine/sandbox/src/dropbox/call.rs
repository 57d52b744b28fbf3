//! One call from request to answer: the checks that every route shares, in the order the service makes
//! them, then the route itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Dropbox;
use super::error::{ApiError, DIALECT, json_answer};
use super::route::{Host, Route, Style};
use super::state::Ns;
use super::wire;
use crate::blob::lock;
use crate::fault::{Faults, ServiceFault};

/// The largest JSON argument in a body: a full batch of 1000 commits with properties fits many times.
const RPC_BYTES_MAX: usize = 32 << 20;

/// A call whose shared checks are done.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) route: &'static Route,
    /// The namespace that paths are relative to.
    pub(super) root: Ns,
    pub(super) headers: HeaderMap,
    arg: Bytes,
    fault: Option<Arc<str>>,
    faults: Faults,
}

impl Call {
    /// The argument, read strictly.
    pub(super) fn arg<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        wire::parse(&self.arg).map_err(|detail| self.bad(&detail))
    }

    /// 400 for an argument, with where it came from.
    pub(super) fn bad(&self, detail: &str) -> ApiError {
        let place = match self.route.style {
            Style::Rpc | Style::Form => "request body",
            Style::Upload | Style::Download => "HTTP header \"Dropbox-API-Arg\"",
        };
        ApiError::Bad(format!("{place}: {detail}"))
    }

    /// Refuses an argument on a route that takes none.
    pub(super) fn void(&self) -> Result<(), ApiError> {
        match self.arg::<Value>()? {
            Value::Null => Ok(()),
            other => Err(self.bad(&format!("expected null, got {other}"))),
        }
    }

    /// True if a fault rule asks for this service fault. Whoever asks acts it out, or else asks last.
    pub(super) fn wants(&self, fault: &str) -> bool {
        let is_wanted = self.fault.as_deref() == Some(fault);
        if is_wanted {
            self.faults.note_act(format!("service:{fault}"));
        }
        is_wanted
    }
}

impl Dropbox {
    /// Serves what lives on `api.dropboxapi.com`, and the token endpoint.
    pub fn router_api(self: &Arc<Self>) -> Router {
        self.router(Some(Host::Api))
    }

    /// Serves what lives on `content.dropboxapi.com`.
    pub fn router_content(self: &Arc<Self>) -> Router {
        self.router(Some(Host::Content))
    }

    /// Serves what lives on `notify.dropboxapi.com`.
    pub fn router_notify(self: &Arc<Self>) -> Router {
        self.router(Some(Host::Notify))
    }

    /// Serves all three hosts on one address.
    pub fn router_all(self: &Arc<Self>) -> Router {
        self.router(None)
    }

    fn router(self: &Arc<Self>, host: Option<Host>) -> Router {
        let dropbox = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let dropbox = Arc::clone(&dropbox);
            async move { Box::pin(dropbox.serve(host, request)).await }
        })
    }

    async fn serve(&self, host: Option<Host>, request: Request) -> Response {
        let started = Instant::now();
        let number = self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let route = Route::find(request.uri().path());
        let name = route.map_or("unknown", |route| route.name);
        *lock(&self.counters.routes).entry(name).or_default() += 1;
        let answer = |request| Box::pin(self.answer(host, route, request));
        let mut response = self.faults.around(&DIALECT, name, request, answer).await;
        let headers = response.headers_mut();
        let id = format!("{number:032x}");
        let took = started.elapsed().as_millis().to_string();
        for (name, value) in [
            ("x-dropbox-request-id", id),
            ("x-server-response-time", took),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        headers.insert(
            "x-dropbox-response-origin",
            HeaderValue::from_static("local"),
        );
        response
    }

    async fn answer(
        &self,
        host: Option<Host>,
        route: Option<&'static Route>,
        request: Request,
    ) -> Response {
        let known = |route: &&Route| {
            self.options.append_batch || route.name != "files/upload_session/append_batch"
        };
        let Some(route) = route.filter(known) else {
            let message = format!("Unknown API function: {:?}", request.uri().path());
            tracing::warn!("{message}");
            return ApiError::Text(StatusCode::NOT_FOUND, message).respond("");
        };
        let result = match host {
            Some(host) if host != route.host => Err(ApiError::Text(
                StatusCode::NOT_FOUND,
                format!(
                    "Unknown API function: {:?} (it lives on {}, not on {})",
                    route.name,
                    route.host.name(),
                    host.name()
                ),
            )),
            _ => self.checked(route, request).await,
        };
        result.unwrap_or_else(|error| {
            tracing::debug!(route = route.name, ?error, "a call is refused");
            error.respond(route.name)
        })
    }

    async fn checked(&self, route: &'static Route, request: Request) -> Result<Response, ApiError> {
        let (parts, body) = request.into_parts();
        self.check_headers(&parts.headers)?;
        let get = route.style == Style::Download && parts.method == Method::GET;
        if parts.method != Method::POST && !get {
            let message = format!("{} is not supported here; use POST", parts.method);
            return Err(ApiError::Text(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        if route.style == Style::Form {
            return self.token(&parts.headers, body).await;
        }
        self.authorise(route, &parts.headers, &parts.uri)?;
        let root = self.path_root(route, &parts.headers)?;
        let admitted = self.limits.admit(route);
        admitted.inspect_err(|_| self.faults.note_act("rate".to_owned()))?;
        self.limits.count(route, self.options.clock.now())?;
        let (arg, body) = match route.style {
            Style::Rpc | Style::Form => (rpc_argument(&parts.headers, body).await?, Body::empty()),
            Style::Upload => {
                check_type(&parts.headers, &UPLOAD_TYPES, true)?;
                (self.header_argument(&parts.headers, &parts.uri)?, body)
            }
            Style::Download => {
                check_type(&parts.headers, &UPLOAD_TYPES, false)?;
                no_body(body).await?;
                let arg = self.header_argument(&parts.headers, &parts.uri)?;
                (arg, Body::empty())
            }
        };
        let fault = parts.extensions.get::<ServiceFault>();
        let call = Call {
            route,
            root,
            headers: parts.headers,
            arg,
            fault: fault.map(|fault| Arc::clone(&fault.0)),
            faults: self.faults.clone(),
        };
        match route.name {
            "files/download" => return self.download(&call),
            "sharing/get_shared_link_file" => return self.get_shared_link_file(&call),
            _ => {}
        }
        let _running = self.limits.alone(route, &call.arg)?;
        let result = Box::pin(self.dispatch(&call, body)).await?;
        Ok(json_answer(StatusCode::OK, &result))
    }

    async fn dispatch(&self, call: &Call, body: Body) -> Result<Value, ApiError> {
        match call.route.name {
            "auth/token/revoke" => self.revoke_token(call),
            "check/user" => self.check_user(call),
            "users/get_current_account" => self.get_current_account(call),
            "users/get_space_usage" => self.get_space_usage(call),
            "files/list_folder" => self.list_folder(call),
            "files/list_folder/continue" => self.list_folder_continue(call),
            "files/list_folder/get_latest_cursor" => self.get_latest_cursor(call),
            "files/list_folder/longpoll" => self.longpoll(call).await,
            "files/get_metadata" => self.get_metadata(call),
            "files/list_revisions" => self.list_revisions(call),
            "files/restore" => self.restore(call).await,
            "files/upload" => self.upload(call, body).await,
            "files/upload_session/start" => self.session_start(call, body).await,
            "files/upload_session/start_batch" => self.session_start_batch(call),
            "files/upload_session/append_v2" => self.session_append(call, body).await,
            "files/upload_session/append_batch" => self.session_append_batch(call, body).await,
            "files/upload_session/finish" => self.session_finish(call, body).await,
            "files/upload_session/finish_batch_v2" => self.session_finish_batch(call).await,
            "files/create_folder_v2" => self.create_folder(call).await,
            "files/create_folder_batch" => self.create_folder_batch(call).await,
            "files/delete_v2" => self.delete(call).await,
            "files/delete_batch" => self.delete_batch(call).await,
            "files/copy_v2" | "files/move_v2" => self.relocate(call).await,
            "files/copy_batch_v2" | "files/move_batch_v2" => self.relocate_batch(call).await,
            "files/copy_batch/check_v2" | "files/move_batch/check_v2" => self.check_batch(call),
            "files/tags/add" => self.tags_add(call),
            "files/tags/remove" => self.tags_remove(call),
            "files/tags/get" => self.tags_get(call),
            name if name.starts_with("file_properties/") => self.properties(call).await,
            name if name.starts_with("sharing/") => self.sharing(call).await,
            name => Err(ApiError::Text(
                StatusCode::NOT_FOUND,
                format!("Unknown API function: {name:?}"),
            )),
        }
    }

    fn check_headers(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
            .sum();
        if bytes > self.options.header_bytes_max {
            return Err(ApiError::Html(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        Ok(())
    }

    fn header_argument(&self, headers: &HeaderMap, uri: &Uri) -> Result<Bytes, ApiError> {
        let header = headers.get("dropbox-api-arg");
        let url = query(uri, "arg");
        match (header, url) {
            (Some(_), Some(_)) => Err(ApiError::Bad(
                "Both HTTP header \"Dropbox-API-Arg\" and URL parameter \"arg\" are given."
                    .to_owned(),
            )),
            (None, None) => Err(ApiError::Bad(
                "Must provide HTTP header \"Dropbox-API-Arg\" or URL parameter \"arg\".".to_owned(),
            )),
            (None, Some(url)) => Ok(url.into()),
            (Some(value), None) => {
                let raw = !value.as_bytes().iter().all(|b| (0x20..0x7f).contains(b));
                if raw && !self.options.raw_utf8_headers {
                    return Err(ApiError::Bad(
                        "HTTP header \"Dropbox-API-Arg\": could not decode input as JSON"
                            .to_owned(),
                    ));
                }
                Ok(Bytes::copy_from_slice(value.as_bytes()))
            }
        }
    }
}

/// The value of a URL parameter.
pub(super) fn query(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query()?.as_bytes();
    let mut pairs = url::form_urlencoded::parse(query);
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

const RPC_TYPES: [&str; 3] = [
    "application/json",
    "application/json; charset=utf-8",
    "text/plain; charset=dropbox-cors-hack",
];
const UPLOAD_TYPES: [&str; 2] = [
    "application/octet-stream",
    "text/plain; charset=dropbox-cors-hack",
];

fn check_type(headers: &HeaderMap, types: &[&str], required: bool) -> Result<(), ApiError> {
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let fine = match &given {
        None => !required,
        Some(given) => types.contains(&given.to_ascii_lowercase().as_str()),
    };
    if fine {
        return Ok(());
    }
    let list: Vec<String> = types.iter().map(|kind| format!("{kind:?}")).collect();
    Err(ApiError::Bad(format!(
        "Bad HTTP \"Content-Type\" header: {:?}.  Expecting one of {}.",
        given.unwrap_or_default(),
        list.join(", ")
    )))
}

/// The JSON of a call's body. Neither body nor type means `null`.
async fn rpc_argument(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let bytes = axum::body::to_bytes(body, RPC_BYTES_MAX)
        .await
        .map_err(|_| ApiError::Html(StatusCode::PAYLOAD_TOO_LARGE))?;
    if bytes.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        return Ok(Bytes::from_static(b"null"));
    }
    check_type(headers, &RPC_TYPES, true)?;
    Ok(bytes)
}

async fn no_body(body: Body) -> Result<(), ApiError> {
    match axum::body::to_bytes(body, 0).await {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::Bad(
            "HTTP body: expecting an empty body".to_owned(),
        )),
    }
}
