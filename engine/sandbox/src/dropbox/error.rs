//! Every way a call can be refused, and how each looks on the wire.
//!
//! Malformed calls are plain text, everything else is the JSON envelope with `error` and
//! `error_summary`, the summary being the path of tags through the error.

use std::io;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::wire::{compact, tag, tagged};
use crate::fault::{Dialect, Limit};

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 400: the detail of `Error in call to API function …`.
    Bad(String),
    /// A plain-text answer.
    Text(StatusCode, String),
    /// 413 and 431 come from a proxy in front, as HTML.
    Html(StatusCode),
    /// 401 with an `AuthError`.
    Auth(Value),
    /// 403: the account's plan does not include it.
    Plan,
    /// 409 with the route's error.
    Endpoint(Value),
    /// 422 with a `PathRootError`.
    PathRoot(Value),
    /// 429 because of the call rate.
    Rate(Limit),
    /// 429 because somebody else writes to the namespace; whether the body repeats the wait.
    Locked {
        /// `Retry-After`.
        seconds: u64,
        /// Whether the body has `retry_after` too.
        in_body: bool,
    },
    /// No answer: the connection breaks.
    Broken,
    /// OAuth's own JSON form.
    OAuth(&'static str, &'static str),
    /// The emulator's disk failed.
    Io(io::Error),
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        ApiError::Io(error)
    }
}

/// How Dropbox words the faults that a fault profile can ask for.
pub(super) const DIALECT: Dialect = Dialect {
    expired: || ApiError::Auth(tag("expired_access_token")).respond(""),
    limited: |limit| ApiError::Rate(limit).respond(""),
};

impl ApiError {
    /// 409 with `path` and a `LookupError`.
    pub(super) fn path(lookup: Value) -> Self {
        ApiError::Endpoint(tagged("path", lookup))
    }

    /// The answer to a call of `route`.
    pub(super) fn respond(self, route: &str) -> Response {
        match self {
            ApiError::Bad(detail) => {
                let message = format!("Error in call to API function \"{route}\": {detail}");
                text(StatusCode::BAD_REQUEST, message)
            }
            ApiError::Text(status, message) => text(status, message),
            ApiError::Html(status) => {
                let page = format!("<html><head><title>{status}</title></head></html>");
                (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
            }
            ApiError::Auth(error) => envelope(StatusCode::UNAUTHORIZED, error),
            ApiError::Plan => beyond_the_plan(),
            ApiError::Endpoint(error) => envelope(StatusCode::CONFLICT, error),
            ApiError::PathRoot(error) => envelope(StatusCode::UNPROCESSABLE_ENTITY, error),
            ApiError::Rate(limit) => too_many_requests(limit),
            ApiError::Locked { seconds, in_body } => too_many_writes(seconds, in_body),
            ApiError::Broken => crate::fault::reset(),
            ApiError::OAuth(error, description) => json_answer(
                StatusCode::BAD_REQUEST,
                &json!({"error": error, "error_description": description}),
            ),
            ApiError::Io(error) => {
                tracing::error!(route, %error, "the sandbox cannot read or write its store");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A JSON answer with exactly the content type that official clients insist on.
pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (status, json, compact(value)).into_response()
}

fn text(status: StatusCode, message: String) -> Response {
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, plain, message).into_response()
}

fn envelope(status: StatusCode, error: Value) -> Response {
    let summary = summary(&error);
    json_answer(status, &json!({"error": error, "error_summary": summary}))
}

/// Tags joined by slashes, with a slash at the end. A member of a flattened struct continues in `reason`.
pub(super) fn summary(error: &Value) -> String {
    let mut summary = String::new();
    let mut here = Some(error);
    while let Some(tag) = here.and_then(|error| error[".tag"].as_str()) {
        summary.push_str(tag);
        summary.push('/');
        // Where a path root is wrong, the inner tag is data about the account, not a reason.
        here = here.filter(|_| tag != "invalid_root").and_then(|error| {
            let inner = error.get(tag).filter(|inner| inner.is_object());
            inner.or_else(|| error.get("reason"))
        });
    }
    summary
}

/// A month's upload calls are spent.
fn beyond_the_plan() -> Response {
    let error = tagged("invalid_account_type", tag("feature"));
    let text = "Your team has used up its API upload calls for this month.";
    let body = json!({
        "error_summary": summary(&error),
        "error": error,
        "user_message": {"locale": "en", "text": text},
    });
    json_answer(StatusCode::FORBIDDEN, &body)
}

fn too_many_requests(limit: Limit) -> Response {
    let mut response = if limit.json {
        json_answer(
            StatusCode::TOO_MANY_REQUESTS,
            &json!({
                "error": {"reason": tag("too_many_requests"), "retry_after": limit.seconds},
                "error_summary": "too_many_requests/..",
            }),
        )
    } else {
        let plain = [(header::CONTENT_TYPE, "text/plain")];
        (StatusCode::TOO_MANY_REQUESTS, plain, "too_many_requests/.").into_response()
    };
    retry_after(&mut response, limit.seconds);
    response
}

fn too_many_writes(seconds: u64, in_body: bool) -> Response {
    let mut error = json!({"reason": tag("too_many_write_operations")});
    if in_body {
        error["retry_after"] = seconds.into();
    }
    let body = json!({"error": error, "error_summary": "too_many_write_operations/.."});
    let mut response = json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
    retry_after(&mut response, seconds);
    response
}

fn retry_after(response: &mut Response, seconds: u64) {
    let name: HeaderName = header::RETRY_AFTER;
    response
        .headers_mut()
        .insert(name, HeaderValue::from(seconds));
}
