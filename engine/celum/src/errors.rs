//! What CELUM's statuses and error bodies mean.
//!
//! Declared are 400, 401, 403 and 503; everything else is handled generically. A 403 or 400 that names
//! an entity is "absent or hidden" and never proof of a deletion.

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use windlass_core::{Error, Kind, Status};
use windlass_http::{Judge, Judged, Reply};

use crate::wire::ErrorBody;

/// CELUM's own statuses, as they read for calls that may be repeated, or for those that make something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CelumJudge {
    /// Asking again is harmless. "Unavailable" that names a time to come back means everybody; without one it is
    /// this call's bad luck, and says nothing about the rate of calls.
    Repeatable,
    /// Calls that make something new each time. A proxy may answer "unavailable" after the tenant had acted,
    /// so only what is certainly the application's own refusal means that nothing was done.
    Creating,
}

impl Judge for CelumJudge {
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Judged {
        match (status.as_u16(), self) {
            (429, _) => Judged::Wait(None),
            (503, CelumJudge::Repeatable) if headers.contains_key(RETRY_AFTER) => {
                Judged::Wait(None)
            }
            (503, CelumJudge::Creating) if is_own_refusal(headers, body) => Judged::Wait(None),
            (501 | 505, _) => Judged::Final,
            (408 | 500..=599, _) => Judged::Transient,
            _ => Judged::Final,
        }
    }
}

/// Whether the application itself says that it has not begun: it names a time to come back, in the body
/// that the API describes. Proxies do one or the other, not both.
fn is_own_refusal(headers: &HeaderMap, body: &[u8]) -> bool {
    let described = serde_json::from_slice::<ErrorBody>(body);
    headers.contains_key(RETRY_AFTER)
        && described.is_ok_and(|error| !error.code.is_empty() && !error.message.is_empty())
}

/// A refusal, decoded.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
    request_id: Option<String>,
}

impl Refusal {
    pub(crate) fn of(reply: &Reply) -> Self {
        Refusal {
            status: reply.status,
            body: serde_json::from_slice(&reply.body).unwrap_or_else(|_| ErrorBody {
                message: String::from_utf8_lossy(&reply.body)
                    .chars()
                    .take(200)
                    .collect(),
                ..ErrorBody::default()
            }),
            request_id: reply.request_id.clone(),
        }
    }

    /// Whether the thing asked for is absent, or hidden from this credential.
    pub(crate) fn is_absent(&self) -> bool {
        match self.status.as_u16() {
            404 | 410 => true,
            400 | 403 => self.body.entity.is_some(),
            _ => false,
        }
    }

    /// Whether the upload handle is used up, unknown or expired: a fresh one may do.
    pub(crate) fn is_stale_handle(&self) -> bool {
        let blames_handle = |argument: &str| argument.rsplit('.').next() == Some("uploadHandle");
        let mut faults = self.body.faults.iter();
        self.status == StatusCode::BAD_REQUEST
            && faults.any(|fault| fault.argument.as_deref().is_some_and(blames_handle))
    }

    /// The shared error. `field_name` knows the technical name of a field id.
    pub(crate) fn into_error(
        self,
        doing: &str,
        field_name: impl Fn(i64) -> Option<String>,
    ) -> Error {
        let kind = self.kind();
        let mut told: Vec<String> = self
            .body
            .faults
            .iter()
            .map(|fault| {
                let about = match (fault.information_field_id, &fault.argument) {
                    (Some(id), _) => match field_name(id) {
                        Some(name) => format!("field {name:?}: "),
                        None => format!("field {id}: "),
                    },
                    (None, Some(argument)) => match &fault.locale {
                        Some(locale) => format!("{argument} in {locale}: "),
                        None => format!("{argument}: "),
                    },
                    (None, None) => String::new(),
                };
                let said = if fault.message.is_empty() {
                    &fault.code
                } else {
                    &fault.message
                };
                format!("{about}{said}")
            })
            .collect();
        if told.is_empty() {
            let said = if self.body.message.is_empty() {
                &self.body.code
            } else {
                &self.body.message
            };
            told.push(if said.is_empty() {
                "it gave no reason".to_owned()
            } else {
                said.clone()
            });
        }
        let message = format!("{doing} was refused: {}", told.join("; "));
        let mut error = Error::new(kind, message).with_context("status", self.status.as_u16());
        if let Some(entity) = &self.body.entity {
            let named = entity.as_str().map(str::to_owned);
            error = error.with_context("entity", named.unwrap_or_else(|| entity.to_string()));
        }
        if let Some(id) = &self.request_id {
            error = error.with_context("request", id);
        }
        match kind {
            Kind::Unauthenticated => error.with_hint(
                "check the API key of the endpoint, and that its user is not deactivated",
            ),
            Kind::Denied => error.with_hint("give the API user's role the missing permission"),
            Kind::NotFound => error.with_hint(
                "it was removed, or the API user's role may not see it: CELUM does not tell which",
            ),
            Kind::Conflict => {
                error.with_hint("somebody may have locked the asset: try again later")
            }
            Kind::Capacity => {
                error.with_hint("ask the tenant's operator for the largest file it takes")
            }
            _ => error,
        }
    }

    fn kind(&self) -> Kind {
        match self.status.as_u16() {
            401 => Kind::Unauthenticated,
            // A fresh handle comes with the next try of the whole file.
            400 if self.is_stale_handle() => Kind::Unavailable,
            416 => Kind::SourceChanged,
            _ if self.is_absent() => Kind::NotFound,
            403 => Kind::Denied,
            409 | 423 => Kind::Conflict,
            413 => Kind::Capacity,
            400 | 415 | 422 => Kind::InvalidInput,
            405 | 501 => Kind::Unsupported,
            _ => Kind::Unexpected,
        }
    }
}

/// An answer that is not what the API describes.
pub(crate) fn undecodable(route: &'static str, error: serde_json::Error) -> Error {
    Error::new(
        Kind::Unexpected,
        "CELUM's answer is not what its API describes",
    )
    .with_context("route", route)
    .with_source(error)
    .with_status(Status::Permanent)
    .with_hint("the tenant may run a release that this version does not know")
}

/// A call that makes something and whose answer cannot be used: what it made may be there all the same.
pub(crate) fn perhaps_made(error: Error) -> Error {
    match error.kind() {
        Kind::Unexpected => Error::new(
            Kind::Ambiguous,
            "the answer cannot be read, so nobody knows what was made",
        )
        .with_source(error),
        _ => error,
    }
}
