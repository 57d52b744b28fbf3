//! The API origin: one table of routes, and what happens around every call.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::Value;

use super::error::{self, ApiError, DIALECT, Result};
use super::model::User;
use super::request::{Query, path_id};
use super::{Celum, assets, collections, create, patch, relations, search, transfer, types};

const ROOT: &str = "/content-api/v1";

/// Largest request body; content never comes this way.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The name under which calls to no route are counted.
const UNKNOWN: &str = "unknown";

/// What an answered call sends back.
pub(super) enum Reply {
    Json(StatusCode, Value),
    /// The status for this is the profile's.
    Empty,
}

impl Reply {
    pub(super) fn ok(value: Value) -> Result<Self> {
        Ok(Reply::Json(StatusCode::OK, value))
    }

    pub(super) fn created(value: Value) -> Result<Self> {
        Ok(Reply::Json(StatusCode::CREATED, value))
    }
}

/// A call that was let in.
pub(super) struct Call {
    pub(super) user: User,
    pub(super) query: Query,
    pub(super) body: Bytes,
    captured: Vec<String>,
}

impl Call {
    /// A call that does not come over the network.
    pub(super) fn inside(user: User, id: u64, body: &Value) -> Self {
        Call {
            user,
            query: Query::none(),
            body: body.to_string().into(),
            captured: vec![id.to_string()],
        }
    }

    /// The `n`th variable part of the path, as an id.
    pub(super) fn id(&self, n: usize) -> Result<u64> {
        path_id(self.text(n), "id")
    }

    /// The `n`th variable part of the path.
    pub(super) fn text(&self, n: usize) -> &str {
        self.captured.get(n).map_or("", String::as_str)
    }
}

struct Route {
    /// Method, a space, and the path with `{…}` for variable parts: also the route's public name.
    name: &'static str,
    query: &'static [&'static str],
    serve: fn(&Celum, &Call) -> Result<Reply>,
    /// Whether the caller needs the right to change things.
    writes: bool,
}

const NONE: &[&str] = &[];
const LOCALE: &[&str] = &["locale"];

const fn read(
    name: &'static str,
    query: &'static [&'static str],
    serve: fn(&Celum, &Call) -> Result<Reply>,
) -> Route {
    Route {
        name,
        query,
        serve,
        writes: false,
    }
}

const fn write(name: &'static str, serve: fn(&Celum, &Call) -> Result<Reply>) -> Route {
    Route {
        name,
        query: NONE,
        serve,
        writes: true,
    }
}

/// Literal parts come before variable ones, because the first match wins.
const ROUTES: &[Route] = &[
    read("GET /version", NONE, types::version),
    read("GET /users/me", NONE, types::me),
    read("GET /users/{id}", NONE, types::user),
    read("GET /clients/{id}", NONE, types::client),
    read("GET /asset-types", LOCALE, types::asset_types),
    read("GET /asset-types/{id}", LOCALE, types::asset_type),
    read(
        "GET /collection-types",
        &["locale", "permissionDefiningOnly"],
        types::collection_types,
    ),
    read("GET /collection-types/{id}", LOCALE, types::collection_type),
    read(
        "GET /information-fields",
        &["locale", "entityType"],
        types::information_fields,
    ),
    read("GET /download-formats", LOCALE, types::download_formats),
    read("GET /assets", search::LIST_QUERY, search::list),
    read("POST /assets/search", NONE, search::search),
    write("POST /assets", create::asset),
    read(
        "GET /assets/download",
        &["assetIds", "downloadFormatId"],
        assets::download_many,
    ),
    read("GET /assets/{id}", assets::GET_QUERY, assets::get),
    write("PATCH /assets/{id}", patch::asset),
    write("DELETE /assets/{id}", assets::delete),
    read(
        "GET /assets/{id}/versions",
        &["page", "size"],
        assets::versions,
    ),
    write("POST /assets/{id}/versions", create::version),
    write(
        "DELETE /assets/{id}/versions/{version}",
        assets::delete_version,
    ),
    read(
        "GET /assets/{id}/download",
        &["downloadFormatId", "versionId"],
        assets::download,
    ),
    write("POST /upload", transfer::announce),
    read(
        "GET /collections",
        collections::LIST_QUERY,
        collections::list,
    ),
    read("POST /collections/search", NONE, search::search_collections),
    write("POST /collections", collections::create),
    read(
        "GET /collections/{id}",
        collections::GET_QUERY,
        collections::get,
    ),
    write("PATCH /collections/{id}", collections::patch),
    write("DELETE /collections/{id}", collections::delete),
    read("GET /relation-types", LOCALE, types::relation_types),
    read("GET /relation-types/{id}", LOCALE, types::relation_type),
    read("GET /relations", relations::LIST_QUERY, relations::list),
    write("POST /relations", relations::create),
    read("GET /relations/{id}", relations::GET_QUERY, relations::get),
    write("PATCH /relations/{id}", relations::patch),
    write("DELETE /relations/{id}", relations::delete),
];

/// Documented routes that this emulator does not have, to tell them from misspelt ones.
const NOT_EMULATED: &[&str] = &["users", "user-groups", "roles", "compound-types", "jobs"];

pub(super) fn router(celum: Arc<Celum>) -> Router {
    Router::new().fallback(serve).with_state(celum)
}

async fn serve(Shared(celum): Shared<Arc<Celum>>, request: Request) -> Response {
    let found = find(request.method().as_str(), request.uri().path());
    let name = found.as_ref().map_or(UNKNOWN, |(route, _)| route.name);
    let answer = celum
        .faults
        .around(&DIALECT, name, request, async |request| {
            let answered = match found {
                Ok((route, captured)) => answer(&celum, route, captured, request).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(Reply::Json(status, value)) => (status, Json(value)).into_response(),
                Ok(Reply::Empty) => error::status(celum.profile.empty_status).into_response(),
                Err(error) => error.into_response(),
            }
        });
    let response = answer.await;
    celum.count(name, !response.status().is_success());
    response
}

async fn answer(
    celum: &Celum,
    route: &Route,
    captured: Vec<String>,
    request: Request,
) -> Result<Reply> {
    let (parts, body) = request.into_parts();
    let user = celum.caller(&celum.state(), &parts.headers)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default(), route.query)?;
    if route.writes && !user.may_write {
        let message = format!("{} may not change anything", user.username);
        return Err(ApiError::forbidden(message));
    }
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        let message =
            format!("the body cannot be read or is above {BODY_BYTES_MAX} bytes: {error}");
        ApiError::malformed(message)
    })?;
    let takes_body = route.name.starts_with("POST") || route.name.starts_with("PATCH");
    let json = parts.headers.get(axum::http::header::CONTENT_TYPE);
    let json = json.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if takes_body && !json {
        let message = "the body must be application/json";
        return Err(ApiError::argument("Content-Type", "TYPE", message));
    }
    if !takes_body && !body.is_empty() {
        return Err(ApiError::malformed("this call takes no body"));
    }
    let call = Call {
        user,
        query,
        body,
        captured,
    };
    (route.serve)(celum, &call)
}

/// The route of a method and path with the variable parts, or 404 or 405 that names what was asked.
fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>)> {
    let below = path.strip_prefix(ROOT).filter(|rest| rest.starts_with('/'));
    let Some(below) = below else {
        let message = format!("{method} {path}: the API is served under {ROOT}");
        return Err(ApiError::status(StatusCode::NOT_FOUND, "ROUTE", message));
    };
    let mut allow = Vec::new();
    for route in ROUTES {
        let Some((verb, pattern)) = route.name.split_once(' ') else {
            continue;
        };
        match captures(pattern, below) {
            Some(captured) if verb == method => return Ok((route, captured)),
            Some(_) => allow.push(verb),
            None => {}
        }
    }
    let first = below[1..].split('/').next().unwrap_or_default();
    if !allow.is_empty() {
        Err(ApiError::method(
            &format!("{method} {path}"),
            allow.join(", "),
        ))
    } else if NOT_EMULATED.contains(&first) {
        let message = format!("{method} {path} is documented, but this emulator does not have it");
        Err(ApiError::status(
            StatusCode::NOT_IMPLEMENTED,
            "ROUTE",
            message,
        ))
    } else {
        let message = format!("no such route: {method} {path}");
        Err(ApiError::status(StatusCode::NOT_FOUND, "ROUTE", message))
    }
}

fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut captured = Vec::new();
    let mut given = path.split('/');
    for part in pattern.split('/') {
        let here = given.next()?;
        if part.starts_with('{') {
            captured.push(here.to_owned());
        } else if part != here {
            return None;
        }
    }
    given.next().is_none().then_some(captured)
}
