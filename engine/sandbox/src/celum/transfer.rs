//! Content in and out: announcing an upload at the API, and the other origin that takes and gives bytes.
//!
//! An upload URL takes one body. Whatever goes wrong with it ends the handle: the client announces
//! another one and sends everything again. Download URLs authorise themselves and expire.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;

use super::api::{Call, Reply};
use super::assets::rendition_name;
use super::create::check_filename;
use super::error::{self, ApiError, DIALECT, Result};
use super::links::{Link, lot, secret_name};
use super::model::{Handle, Received, Version};
use super::profile::{Hasher, SizeMismatch, UploadAuth, UploadMode};
use super::request::body;
use super::state::Event;
use super::{Celum, auth, later, picture};
use crate::blob::{BlobWriter, lock};

/// Most uploads that may be announced and unused at once; a client that leaks handles meets a 503.
const HANDLES_MAX: usize = 10_000;

/// Expired handles are looked for once in so many announcements.
const SWEEP_EVERY: u64 = 64;

const UPLOAD: &str = "transfer upload";
const DOWNLOAD: &str = "transfer download";
const PREVIEW: &str = "transfer preview";
const UNKNOWN: &str = "transfer unknown";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    filename: String,
    filesize: u64,
}

/// `POST /upload`.
pub(super) fn announce(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: Announcement = body(&call.body)?;
    check_filename("filename", &wish.filename)?;
    if let Some(most) = celum.profile.max_bytes.filter(|most| wish.filesize > *most) {
        let message = format!("{} bytes are more than {}", wish.filesize, most);
        return Err(ApiError::status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "SIZE",
            message,
        ));
    }
    let base = lock(&celum.transfer_base).clone();
    let base = base.ok_or_else(|| ApiError::unavailable("the transfer origin is not up", 1))?;
    let mut state = celum.state();
    let number = state.next_handle();
    if number.is_multiple_of(SWEEP_EVERY) || state.handles.len() >= HANDLES_MAX {
        celum.sweep_handles(&mut state)?;
    }
    if state.handles.len() >= HANDLES_MAX {
        return Err(ApiError::unavailable("too many uploads are open", 30));
    }
    let handle = Handle {
        number,
        handle: format!("h-{}", secret_name(celum.seed, "handle", number)),
        token: secret_name(celum.seed, "upload", number),
        filename: wish.filename,
        filesize: wish.filesize,
        expires: later(celum.now(), Duration::from_secs(celum.profile.handle_ttl)),
        received: None,
    };
    let url = format!("{}upload/{}", base, handle.token);
    let answer = json!({"url": url, "handle": handle.handle});
    let handle = Box::new(handle);
    celum.commit(&mut state, Event::Handle { handle })?;
    Reply::ok(answer)
}

pub(super) fn router(celum: Arc<Celum>) -> Router {
    // The limit would bind multipart bodies, which are content of any length.
    let unlimited = DefaultBodyLimit::disable();
    Router::new()
        .fallback(serve)
        .layer(unlimited)
        .with_state(celum)
}

async fn serve(Shared(celum): Shared<Arc<Celum>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (name, token) = match path[1..].split_once('/') {
        Some(("upload", token)) => (UPLOAD, token),
        Some(("download", token)) => (DOWNLOAD, token),
        Some(("preview", token)) => (PREVIEW, token),
        _ => (UNKNOWN, ""),
    };
    let answer = celum
        .faults
        .around(&DIALECT, name, request, async |request| {
            let answer = match name {
                UPLOAD => celum.receive(token, request).await,
                DOWNLOAD | PREVIEW => celum.send(token, name == PREVIEW, request).await,
                _ => {
                    let message = format!("no such address: {} {path}", request.method());
                    Err(ApiError::status(StatusCode::NOT_FOUND, "ROUTE", message))
                }
            };
            answer.unwrap_or_else(IntoResponse::into_response)
        });
    let response = answer.await;
    celum.count(name, !response.status().is_success());
    response
}

/// A handle whose content is arriving. Dropped before it is kept, the handle is dead.
struct Arrival<'a> {
    celum: &'a Celum,
    handle: Handle,
    kept: bool,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let name = &self.handle.handle;
        if !self.kept {
            let event = Event::HandleClosed {
                handle: name.clone(),
            };
            if let Err(error) = self.celum.commit(&mut self.celum.state(), event) {
                tracing::error!(?error, "a broken upload could not be written down");
            }
        }
        lock(&self.celum.receiving).remove(name);
    }
}

/// Content on its way into the store.
struct Intake {
    writer: BlobWriter,
    hasher: Hasher,
    /// More than this is refused at once.
    most: u64,
    size: u64,
}

impl Intake {
    fn take(&mut self, piece: Bytes) -> Result<()> {
        let end = self.size + piece.len() as u64;
        if end > self.most {
            let message = format!("more than the {} bytes that were announced", self.most);
            return Err(ApiError::argument("filesize", "SIZE", message));
        }
        self.hasher.update(&piece);
        self.writer.write_at(self.size, piece)?;
        self.size = end;
        Ok(())
    }
}

impl Celum {
    /// Forgets handles that expired, with their content.
    fn sweep_handles(&self, state: &mut super::state::State) -> Result<()> {
        let now = self.now();
        let dead = state
            .handles
            .values()
            .filter(|handle| handle.expires <= now);
        let dead: Vec<Handle> = dead.cloned().collect();
        for handle in dead {
            if lock(&self.receiving).contains(&handle.handle) {
                continue;
            }
            self.commit(
                state,
                Event::HandleClosed {
                    handle: handle.handle,
                },
            )?;
            self.discard(handle.received.map(|received| received.blob));
        }
        Ok(())
    }

    /// The upload that a URL names, reserved for this request.
    fn reserve(&self, token: &str) -> Result<Arrival<'_>> {
        let refuse = |status, message: &str| Err(ApiError::status(status, "HANDLE", message));
        let state = self.state();
        let Some(handle) = state.handle_by_token(token) else {
            return refuse(StatusCode::NOT_FOUND, "no such upload, or it was used");
        };
        if handle.expires <= self.now() {
            return refuse(StatusCode::GONE, "the upload handle has expired");
        }
        let fresh = lock(&self.receiving).insert(handle.handle.clone());
        if !fresh {
            return refuse(
                StatusCode::CONFLICT,
                "content for this upload is arriving already",
            );
        }
        if handle.received.is_some() {
            lock(&self.receiving).remove(&handle.handle);
            return refuse(
                StatusCode::CONFLICT,
                "content for this upload has arrived already",
            );
        }
        Ok(Arrival {
            celum: self,
            handle: handle.clone(),
            kept: false,
        })
    }

    async fn receive(&self, token: &str, request: Request) -> Result<Response> {
        let mode = self.profile.upload_mode;
        let allowed = match *request.method() {
            Method::POST => true,
            Method::PUT => mode == UploadMode::Put,
            _ => false,
        };
        if !allowed {
            let asked = format!("{} of an upload", request.method());
            return Err(ApiError::method(&asked, "POST".to_owned()));
        }
        match self.profile.upload_auth {
            UploadAuth::ApiKey => drop(self.caller(&self.state(), request.headers())?),
            UploadAuth::None if auth::has_credentials(request.headers()) => self.note_leak(),
            UploadAuth::None => {}
        }
        let multipart = is_multipart(request.headers());
        if !multipart && (mode == UploadMode::PostMultipart || !is_raw(request.headers())) {
            let message = "content comes as application/octet-stream or multipart/form-data, \
                           as far as this tenant takes them";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::status(status, "TYPE", message));
        }
        let mut arrival = self.reserve(token)?;
        let mut intake = self.intake(&arrival.handle, &request, multipart)?;
        if multipart {
            take_multipart(&mut intake, request).await?;
        } else {
            take_raw(&mut intake, request).await?;
        }
        self.keep(&mut arrival, intake)?;
        Ok(StatusCode::OK.into_response())
    }

    fn intake(&self, handle: &Handle, request: &Request, multipart: bool) -> Result<Intake> {
        let strict = self.profile.size_mismatch == SizeMismatch::Refuse;
        let stated = request.headers().get(header::CONTENT_LENGTH);
        let stated = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if let Some(stated) =
            stated.filter(|stated| strict && !multipart && *stated != handle.filesize)
        {
            let message = format!(
                "{stated} bytes instead of the {} announced",
                handle.filesize
            );
            return Err(ApiError::argument("filesize", "SIZE", message));
        }
        let capacity = self.profile.max_bytes.unwrap_or(u64::MAX);
        Ok(Intake {
            writer: self.blobs.writer()?,
            hasher: Hasher::new(self.profile.checksum),
            most: if strict { handle.filesize } else { capacity },
            size: 0,
        })
    }

    fn keep(&self, arrival: &mut Arrival<'_>, intake: Intake) -> Result<()> {
        let announced = arrival.handle.filesize;
        let strict = self.profile.size_mismatch == SizeMismatch::Refuse;
        if strict && intake.size != announced {
            let message = format!("{} bytes instead of the {announced} announced", intake.size);
            return Err(ApiError::argument("filesize", "SIZE", message));
        }
        let summed = intake.hasher.finish();
        let blob = intake.writer.finish()?;
        let mut handle = arrival.handle.clone();
        handle.received = Some(Received {
            blob,
            size: intake.size,
            digest: summed.text,
            digest_published: summed.published,
        });
        let handle = Box::new(handle);
        if let Err(error) = self.commit(&mut self.state(), Event::Handle { handle }) {
            self.discard([blob]);
            return Err(error);
        }
        arrival.kept = true;
        Ok(())
    }

    /// The URL of a link. 503 before the transfer origin is up.
    pub(super) fn link_url(&self, link: Link) -> Result<String> {
        let base = lock(&self.transfer_base).clone();
        let base = base.ok_or_else(|| ApiError::unavailable("the transfer origin is not up", 1))?;
        let folder = if link.preview { "preview" } else { "download" };
        Ok(format!("{base}{folder}/{}", link.token(self.seed)))
    }

    async fn send(&self, token: &str, preview: bool, request: Request) -> Result<Response> {
        if request.method() != Method::GET {
            let asked = format!("{} of content", request.method());
            return Err(ApiError::method(&asked, "GET".to_owned()));
        }
        if preview && self.profile.preview_auth {
            drop(self.caller(&self.state(), request.headers())?);
        } else if auth::has_credentials(request.headers()) {
            self.note_leak();
        }
        let gone = || ApiError::status(StatusCode::NOT_FOUND, "LINK", "nothing is here");
        let link = Link::open(token, self.seed).filter(|link| link.preview == preview);
        let link = link.ok_or_else(gone)?;
        if link.expires <= self.now() {
            let status = error::status(self.profile.expired_status);
            return Err(ApiError::status(status, "EXPIRED", "the link has expired"));
        }
        let (version, alternative) = {
            let state = self.state();
            let asset = state.assets.get(&link.asset).ok_or_else(gone)?;
            let version = asset.version(link.version).ok_or_else(gone)?;
            (version.clone(), asset.alternative_preview)
        };
        match link.edge {
            None => self.original(&version, request.headers()),
            Some(edge) => {
                let blobs = self.blobs.clone();
                let picture = alternative.or(version.blob);
                let key = lot(self.seed, "tile", link.asset);
                let job = move || picture::render(&blobs, picture, key, edge);
                let png = tokio::task::spawn_blocking(job).await;
                let png = png.map_err(std::io::Error::other)??;
                let name = rendition_name(&version.filename);
                let mut response = match link.preview {
                    true => png.into_response(),
                    false => self.rendition(png, request.headers()),
                };
                describe(&mut response, "image/png", &name, link.preview);
                Ok(response)
            }
        }
    }

    fn original(&self, version: &Version, headers: &HeaderMap) -> Result<Response> {
        let missing = || ApiError::status(StatusCode::NOT_FOUND, "LINK", "nothing is here");
        let blob = version.blob.ok_or_else(missing)?;
        let size = version.filesize;
        let Some(asked) = self.asked(headers, size) else {
            return Ok(beyond(size));
        };
        let body = Body::from_stream(self.blobs.stream(blob, asked.span.clone()));
        let mut response = self.part(asked, size, body);
        describe(
            &mut response,
            "application/octet-stream",
            &version.filename,
            false,
        );
        Ok(response)
    }
}

/// Which part of a content is sent.
struct Asked {
    status: StatusCode,
    span: Range<u64>,
}

impl Celum {
    /// A picture, or the range of it that is asked for.
    fn rendition(&self, png: Bytes, headers: &HeaderMap) -> Response {
        let size = png.len() as u64;
        match self.asked(headers, size) {
            None => beyond(size),
            Some(asked) => {
                // Within the picture, which is in memory.
                let span = asked.span.start as usize..asked.span.end as usize;
                self.part(asked, size, Body::from(png.slice(span)))
            }
        }
    }

    /// What is asked for of a content of this size; `None` where it begins beyond its end.
    fn asked(&self, headers: &HeaderMap, size: u64) -> Option<Asked> {
        let range = headers.get(header::RANGE).filter(|_| self.profile.range);
        let range = range.and_then(|range| parse_range(range.to_str().ok()?, size));
        let (status, span) = match range {
            None => (StatusCode::OK, 0..size),
            Some(Ok(span)) => (StatusCode::PARTIAL_CONTENT, span),
            Some(Err(Unsatisfiable)) => return None,
        };
        Some(Asked { status, span })
    }

    fn part(&self, asked: Asked, size: u64, body: Body) -> Response {
        let Asked { status, span } = asked;
        let mut response = (status, body).into_response();
        let answer = response.headers_mut();
        let length = HeaderValue::from(span.end - span.start);
        answer.insert(header::CONTENT_LENGTH, length);
        if self.profile.range {
            answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        if status == StatusCode::PARTIAL_CONTENT {
            let last = span.end.saturating_sub(1);
            let stated = header_value(format!("bytes {}-{last}/{size}", span.start));
            answer.insert(header::CONTENT_RANGE, stated);
        }
        response
    }
}

/// The answer to a range that begins beyond the end.
fn beyond(size: u64) -> Response {
    let message = format!("the content has {size} bytes");
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    let mut response = ApiError::status(status, "RANGE", message).into_response();
    let total = header_value(format!("bytes */{size}"));
    response.headers_mut().insert(header::CONTENT_RANGE, total);
    response
}

fn broke_off(error: impl std::fmt::Display) -> ApiError {
    ApiError::malformed(format!("the body broke off: {error}"))
}

async fn take_raw(intake: &mut Intake, request: Request) -> Result<()> {
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        intake.take(piece.map_err(broke_off)?)?;
    }
    Ok(())
}

/// Takes the one part named `file`.
async fn take_multipart(intake: &mut Intake, request: Request) -> Result<()> {
    let parts = Multipart::from_request(request, &()).await;
    let mut parts = parts.map_err(broke_off)?;
    let mut found = false;
    while let Some(mut field) = parts.next_field().await.map_err(broke_off)? {
        if field.name() != Some("file") || found {
            let message = "a multipart upload has one part, named \"file\"";
            return Err(ApiError::malformed(message));
        }
        found = true;
        while let Some(piece) = field.chunk().await.map_err(broke_off)? {
            intake.take(piece)?;
        }
    }
    if !found {
        return Err(ApiError::malformed(
            "a multipart upload has a part named \"file\"",
        ));
    }
    Ok(())
}

fn is_multipart(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind.starts_with(b"multipart/form-data"))
}

fn is_raw(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind.starts_with(b"application/octet-stream"))
}

fn media_type(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes)
}

/// A range that starts beyond the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsatisfiable;

/// Reads a `Range` of one part. None for what a server may ignore: several parts, other units, nonsense.
pub(super) fn parse_range(text: &str, size: u64) -> Option<Result<Range<u64>, Unsatisfiable>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let span = match (from, to) {
        ("", last) => {
            let last: u64 = last.parse().ok()?;
            size.saturating_sub(last)..size
        }
        (from, "") => from.parse().ok()?..size,
        (from, to) => {
            let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
            if from > to {
                return None;
            }
            from..size.min(to.saturating_add(1))
        }
    };
    Some(if span.start < span.end {
        Ok(span)
    } else {
        Err(Unsatisfiable)
    })
}

fn describe(response: &mut Response, media_type: &'static str, filename: &str, inline: bool) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let kind = if inline { "inline" } else { "attachment" };
    let plain: String = filename.chars().map(plain_char).collect();
    let encoded = percent_encoded(filename);
    let disposition = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    headers.insert(header::CONTENT_DISPOSITION, header_value(disposition));
}

fn plain_char(c: char) -> char {
    if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' {
        c
    } else {
        '_'
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Only for text that is ASCII without control characters by construction.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
