//! Every way a CELUM call is refused, as the Error body that the API declares.
//!
//! The values of `code` are nobody's promise; clients branch on status, fault type and ids.

use std::io;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use windlass_core::{Error, Kind};

use super::profile::Profile;
use crate::fault::{Dialect, Limit};

/// The result of a call.
pub(super) type Result<T, E = ApiError> = std::result::Result<T, E>;

/// Why a call is refused. One pointer wide, so results stay small.
#[derive(Debug)]
pub(super) struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    retry_after: Option<u64>,
    allow: Option<String>,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Fault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<String>,
}

/// One reason among several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "SCREAMING_SNAKE_CASE",
    rename_all_fields = "camelCase"
)]
pub(super) enum Fault {
    /// Nothing in particular is to blame.
    Generic { code: &'static str, message: String },
    /// A member or parameter.
    Argument {
        code: &'static str,
        message: String,
        argument: String,
    },
    /// One locale of a localised member.
    LocalizedArgument {
        code: &'static str,
        message: String,
        argument: String,
        locale: String,
    },
    /// The value of an information field.
    InformationField {
        code: &'static str,
        message: String,
        information_field_id: u64,
    },
}

impl Fault {
    pub(super) fn argument(
        argument: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Fault::Argument {
            code,
            message: message.into(),
            argument: argument.into(),
        }
    }

    pub(super) fn field(id: u64, code: &'static str, message: impl Into<String>) -> Self {
        Fault::InformationField {
            code,
            message: message.into(),
            information_field_id: id,
        }
    }

    fn message(&self) -> &str {
        match self {
            Fault::Generic { message, .. }
            | Fault::Argument { message, .. }
            | Fault::LocalizedArgument { message, .. }
            | Fault::InformationField { message, .. } => message,
        }
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        ApiError(Box::new(Inner {
            status,
            retry_after: None,
            allow: None,
            body: Body {
                code,
                message: message.into(),
                faults: Vec::new(),
                entity: None,
            },
        }))
    }

    /// 400 with what is wrong; `faults` must not be empty.
    pub(super) fn invalid(faults: Vec<Fault>) -> Self {
        let first = faults.first().map_or("", Fault::message);
        let message = format!("Validation failed: {first}");
        let mut error = ApiError::new(StatusCode::BAD_REQUEST, "VALIDATION", message);
        error.0.body.faults = faults;
        error
    }

    /// 400 because of one member or parameter.
    pub(super) fn argument(
        argument: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        ApiError::invalid(vec![Fault::argument(argument, code, message)])
    }

    /// 400 for a body that is not what the call takes.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        ApiError::invalid(vec![Fault::Generic {
            code: "MALFORMED",
            message: message.into(),
        }])
    }

    /// 401.
    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    /// 403 for somebody known.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// What the profile answers for something that does not exist or is hidden.
    pub(super) fn missing(profile: &Profile, kind: &str, id: impl std::fmt::Display) -> Self {
        let entity = format!("{kind}({id})");
        let message = format!("{entity} does not exist or is not accessible");
        let mut error = ApiError::new(status(profile.missing_status), "ENTITY", message);
        error.0.body.entity = Some(entity);
        error
    }

    /// What the profile answers to an edit of something that somebody else has locked.
    pub(super) fn locked(profile: &Profile, asset: u64) -> Self {
        let message = format!("asset {asset} is locked by another user");
        ApiError::new(status(profile.lock.others_status), "LOCKED", message)
    }

    /// Any other status.
    pub(super) fn status(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        ApiError::new(status, code, message)
    }

    /// 503 with a wait.
    pub(super) fn unavailable(message: impl Into<String>, seconds: u64) -> Self {
        let mut error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message);
        error.0.retry_after = Some(seconds);
        error
    }

    /// 405 with the methods that would do.
    pub(super) fn method(asked: &str, allow: String) -> Self {
        let message = format!("{asked} is not served here; {allow} is");
        let mut error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD", message);
        error.0.allow = Some(allow);
        error
    }
}

impl ApiError {
    /// The same for who calls without a network.
    pub(super) fn told(self) -> windlass_core::Error {
        let kind = match (self.0.status.as_u16(), &self.0.body.entity) {
            (_, Some(_)) => Kind::NotFound,
            (400..=499, None) => Kind::InvalidInput,
            _ => Kind::Capacity,
        };
        Error::new(kind, self.0.body.message)
    }
}

impl From<io::Error> for ApiError {
    fn from(error: io::Error) -> Self {
        tracing::error!(%error, "the sandbox cannot read or write its store");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(
            status,
            "STORE",
            format!("the sandbox's store failed: {error}"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.0.status, Json(self.0.body)).into_response();
        if let Some(seconds) = self.0.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.0.allow.and_then(|allow| allow.try_into().ok()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response
    }
}

/// How CELUM words the faults that a fault profile can ask for.
pub(super) const DIALECT: Dialect = Dialect {
    expired: || ApiError::unauthenticated("the credentials have expired").into_response(),
    limited,
};

fn limited(limit: Limit) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    if limit.json {
        ApiError::new(status, "LIMIT", "too many requests").into_response()
    } else {
        (status, "too many requests").into_response()
    }
}

/// Statuses in a profile are checked when it is opened, so the fallback is never used.
pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
