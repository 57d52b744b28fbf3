//! What a status and a body from Dropbox mean before anybody knows the route.
//!
//! Two conditions look alike and are not: `too_many_requests` is a rate, and the whole account waits;
//! `too_many_write_operations` is a lock on a folder, and only calls that write wait. Both come as 429, in
//! JSON or plain text, and the second also as 409 inside a route's own error.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use windlass_core::{Error, Kind};
use windlass_http::{Judge, Judged, Reply};

use crate::client::is_counted;
use crate::errors::Circumstances;
use crate::union::{Carried, Tagged, Union, union};
use crate::wire::{Envelope, RateLimit};

/// The tag of the lock.
const LOCKED: &str = "too_many_write_operations";

/// How much of a plain-text refusal is shown.
const SHOWN_CHARS: usize = 300;

/// Dropbox's own statuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropboxJudge;

impl Judge for DropboxJudge {
    fn judge(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Judged {
        match status.as_u16() {
            401 if error_of(body)
                .is_some_and(|error| Tagged::of(&error).tag == "expired_access_token") =>
            {
                Judged::RefreshToken
            }
            429 => limited(body),
            409 => match error_of(body) {
                Some(error) if holds_tag(&error, LOCKED) => Judged::Busy(None),
                Some(error) if Tagged::of(&error).tag == "internal_error" => Judged::Transient,
                _ => Judged::Final,
            },
            408 => Judged::Transient,
            500..=599 => Judged::Transient,
            _ => Judged::Final,
        }
    }
}

fn limited(body: &[u8]) -> Judged {
    let Some(error) = error_of(body) else {
        // Plain text: the reason is a word in it.
        return match String::from_utf8_lossy(body).contains(LOCKED) {
            true => Judged::Busy(None),
            false => Judged::Wait(None),
        };
    };
    let limit: RateLimit = serde_json::from_value(error).unwrap_or_default();
    // Missing or zero means that the header says more, or nobody does.
    let wait = (limit.retry_after > 0).then(|| Duration::from_secs(limit.retry_after));
    match Tagged::of(&limit.reason).tag == LOCKED {
        true => Judged::Busy(wait),
        false => Judged::Wait(wait),
    }
}

fn error_of(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Envelope>(body)
        .ok()
        .map(|envelope| envelope.error)
}

/// Looks for a tag along the path of nested unions.
fn holds_tag(error: &Value, wanted: &str) -> bool {
    let mut at = Some(error);
    while let Some(value) = at {
        let tagged = Tagged::of(value);
        if tagged.tag == wanted {
            return true;
        }
        // `files/upload` nests its write error as `reason`.
        at = tagged.nested().or_else(|| tagged.field("reason"));
    }
    false
}

/// The scope that a token lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequiredScope(Option<String>);

impl Carried for RequiredScope {
    fn read(tagged: Tagged<'_>) -> Self {
        let scope = tagged.field("required_scope").and_then(Value::as_str);
        RequiredScope(scope.map(str::to_owned))
    }

    fn suffix(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |scope| format!(" ({scope})"))
    }
}

union! {
    /// 401.
    AuthError {
        "invalid_access_token" => InvalidAccessToken,
        "expired_access_token" => ExpiredAccessToken,
        "invalid_select_user" => InvalidSelectUser,
        "invalid_select_admin" => InvalidSelectAdmin,
        "user_suspended" => UserSuspended,
        "missing_scope" => MissingScope(RequiredScope),
        "route_access_denied" => RouteAccessDenied,
    }
}

union! {
    /// What an account lacks.
    InvalidAccountType {
        "endpoint" => Endpoint,
        "feature" => Feature,
    }
}

union! {
    /// 403.
    AccessError {
        "invalid_account_type" => InvalidAccountType(InvalidAccountType),
        "paper_access_denied" => PaperAccessDenied,
        "team_access_denied" => TeamAccessDenied,
        "no_permission" => NoPermission,
    }
}

union! {
    /// 422.
    PathRootError {
        "invalid_root" => InvalidRoot,
        "no_permission" => NoPermission,
    }
}

/// The error of a refusal that does not depend on the route. `None` for 409, which does.
pub(crate) fn call_error(name: &str, route: &'static str, reply: &Reply) -> Option<Error> {
    let envelope: Option<Envelope> = serde_json::from_slice(&reply.body).ok();
    let error = envelope
        .as_ref()
        .map_or(&Value::Null, |envelope| &envelope.error);
    let (refused, answer) = match reply.status.as_u16() {
        409 if envelope.is_some() => return None,
        400 => (malformed(&reply.body), None),
        401 => {
            let auth = AuthError::decode(error);
            (unauthenticated(name, &auth), Some(auth.to_string()))
        }
        403 => {
            let access = AccessError::decode(error);
            (denied(route, &access), Some(access.to_string()))
        }
        404 => (
            Error::new(
                Kind::Unsupported,
                "the service does not know this Dropbox route",
            )
            .with_hint("check the endpoint's URLs"),
            None,
        ),
        413 | 431 => (
            Error::new(Kind::InvalidInput, "one call to Dropbox was too large"),
            None,
        ),
        422 => (wrong_root(), Some(PathRootError::decode(error).to_string())),
        // Seen for content that was taken down.
        460 => (
            Error::new(Kind::Restricted, "Dropbox blocks the content"),
            None,
        ),
        _ => (
            Error::new(
                Kind::Unexpected,
                "Dropbox gave an answer that nobody documented",
            ),
            None,
        ),
    };
    let mut refused = refused
        .with_context("route", route)
        .with_context("status", reply.status.as_u16());
    if let Some(answer) = answer.filter(|answer| !answer.is_empty()) {
        refused = refused.with_context("answer", answer);
    }
    if let Some(message) = envelope.and_then(|envelope| envelope.user_message) {
        refused = refused.with_context("Dropbox says", message.text);
    }
    if let Some(id) = &reply.request_id {
        refused = refused.with_context("request id", id);
    }
    Some(refused)
}

/// The route's own error, with what else is known.
pub(crate) fn route_error<E: Union>(route: &'static str, reply: Reply) -> (E, Circumstances) {
    let envelope: Option<Envelope> = serde_json::from_slice(&reply.body).ok();
    let (error, user_message) = match envelope {
        Some(envelope) => {
            tracing::debug!(route, summary = envelope.error_summary, "refused");
            (envelope.error, envelope.user_message)
        }
        None => (Value::Null, None),
    };
    let circumstances = Circumstances {
        route,
        request_id: reply.request_id,
        user_message: user_message.map(|message| message.text),
    };
    (E::decode(&error), circumstances)
}

/// 400 is plain text, for people. A missing scope of the app is told this way, too.
fn malformed(body: &[u8]) -> Error {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let scope = text
        .split_once("required scope '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(scope, _)| scope);
    match scope {
        Some(scope) => Error::new(Kind::Denied, "the Dropbox app lacks a permission")
            .with_context("scope", scope)
            .with_hint(format!(
                "enable {scope} for the app in the Dropbox app console, then authorise it again"
            )),
        None => Error::new(Kind::InvalidInput, "Dropbox does not understand the call")
            .with_context("answer", shown),
    }
}

fn unauthenticated(name: &str, error: &AuthError) -> Error {
    match error {
        AuthError::MissingScope(RequiredScope(scope)) => {
            let scope = scope.as_deref().unwrap_or("a further scope");
            Error::new(Kind::Denied, "the Dropbox token lacks a permission")
                .with_context("scope", scope)
                .with_hint(format!(
                    "authorise the app again with {scope}: a token keeps the scopes it was issued with"
                ))
        }
        AuthError::ExpiredAccessToken => Error::new(
            Kind::Unauthenticated,
            "the Dropbox access token has expired",
        )
        .with_hint(format!(
            "give endpoint {name} a refresh token: access tokens last four hours"
        )),
        AuthError::InvalidSelectUser | AuthError::InvalidSelectAdmin => Error::new(
            Kind::Config,
            "Dropbox does not know the selected team member",
        )
        .with_hint("correct `select_user` of the endpoint"),
        AuthError::UserSuspended => Error::new(Kind::Denied, "the Dropbox account is suspended"),
        AuthError::RouteAccessDenied => {
            Error::new(Kind::Denied, "the Dropbox app may not call this route")
        }
        AuthError::InvalidAccessToken | AuthError::Other(_) => Error::new(
            Kind::Unauthenticated,
            "Dropbox does not accept the access token",
        )
        .with_hint(format!("authorise endpoint {name} again")),
    }
}

fn denied(route: &str, error: &AccessError) -> Error {
    match error {
        // Everybody's trouble: no upload works any more, and every one that is tried would fail alike.
        AccessError::InvalidAccountType(InvalidAccountType::Feature) if is_counted(route) => {
            Error::new(
                Kind::Capacity,
                "the team's plan has no upload calls left for this month",
            )
            .with_hint("run again when the month is over, and set `monthly_calls` of the endpoint to the plan's data transport limit, so that runs are forecast and stop in time")
        }
        AccessError::InvalidAccountType(_) => {
            Error::new(Kind::Denied, "the Dropbox plan does not include this")
        }
        _ => Error::new(Kind::Denied, "Dropbox denies access to this account"),
    }
}

fn wrong_root() -> Error {
    Error::new(Kind::Config, "Dropbox does not accept the path root")
        .with_hint("correct `path_root` of the endpoint; if the account moved into or out of a team, start again to detect it")
}
