//! Reading: metadata of one item, and its bytes in whole or in part.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::meta::Target;
use super::paths::Alias;
use super::properties;
use super::state::{Ns, State};
use super::tree::{Body as Item, Node};
use super::wire::{Union, compact, header_safe, tag, with_tag};
use crate::blob::{BlobId, lock};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataArg {
    path: String,
    #[serde(default)]
    include_deleted: bool,
    include_property_groups: Option<Union>,
    #[serde(default, rename = "include_media_info")]
    _media_info: bool,
    #[serde(default, rename = "include_has_explicit_shared_members")]
    _shared_members: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DownloadArg {
    path: String,
    rev: Option<String>,
}

/// The bytes a download is about, and what the service says of them.
pub(super) struct Content {
    blob: BlobId,
    size: u64,
    rev: String,
    pub(super) metadata: Map<String, Value>,
}

impl Dropbox {
    /// `files/get_metadata`
    pub(super) fn get_metadata(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: MetadataArg = call.arg()?;
        let path = call.path(&arg.path, Alias::Read)?;
        let filter = properties::filter(call, arg.include_property_groups)?;
        let state = lock(&self.state);
        let target = self
            .locate_read(&state, call.root, &path)
            .map_err(ApiError::path)?;
        let spot = match target {
            Target::Revision(rev) => {
                let (ns, node) = state.home_of(rev, call.root);
                let file = state.file_metadata(call.root, ns, rev, node, &filter);
                return Ok(with_tag("file", file));
            }
            Target::Spot(spot) => spot,
        };
        let key = spot.key();
        if let Some(node) = state.node(spot.ns, &key) {
            return Ok(state.metadata(call.root, spot.ns, node, &filter));
        }
        let space = state.namespaces.get(&spot.ns);
        let gone = space.and_then(|space| space.deleted(&key));
        match gone.filter(|_| arg.include_deleted) {
            Some(change) => Ok(state.deleted(call.root, spot.ns, &change.display)),
            None => Err(ApiError::path(tag("not_found"))),
        }
    }

    /// `files/download`
    pub(super) fn download(&self, call: &Call) -> Result<Response, ApiError> {
        let mut arg: DownloadArg = call.arg()?;
        if let Some(rev) = arg.rev {
            // Deprecated, and still what the path `rev:…` means.
            arg.path = format!("rev:{rev}");
        }
        let path = call.path(&arg.path, Alias::Read)?;
        let content = {
            let state = lock(&self.state);
            let target = self.locate_read(&state, call.root, &path);
            let target = target.map_err(ApiError::path)?;
            readable(&state, call.root, &target).map_err(ApiError::path)?
        };
        self.send(call, content)
    }

    /// The bytes of a content, or the part of them that the call asks for.
    pub(super) fn send(&self, call: &Call, content: Content) -> Result<Response, ApiError> {
        let etag = format!("W/\"{}\"", content.rev);
        let asked = call.headers.get(header::IF_NONE_MATCH);
        if asked.is_some_and(|value| value.as_bytes() == etag.as_bytes()) {
            return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
        }
        let (status, range) = match range(&call.headers, content.size)? {
            Some(range) => (StatusCode::PARTIAL_CONTENT, range),
            None => (StatusCode::OK, 0..content.size),
        };
        let result = header_safe(&compact(&Value::Object(content.metadata)));
        let mut response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, range.end - range.start)
            .header(header::ACCEPT_RANGES, "bytes")
            .header(header::ETAG, etag)
            .header("dropbox-api-result", result);
        if status == StatusCode::PARTIAL_CONTENT {
            let (first, last) = (range.start, range.end - 1);
            let value = format!("bytes {first}-{last}/{}", content.size);
            response = response.header(header::CONTENT_RANGE, value);
        }
        let counters = Arc::clone(&self.counters);
        let bytes = self
            .blobs
            .stream(content.blob, range)
            .inspect(move |piece| {
                if let Ok(piece) = piece {
                    let served = &counters.bytes_served;
                    served.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            });
        response
            .body(Body::from_stream(bytes))
            .map_err(|error| ApiError::Io(std::io::Error::other(error)))
    }
}

impl State {
    /// Where the file of a revision is now, if it still is somewhere.
    pub(super) fn home_of(&self, rev: u64, root: Ns) -> (Ns, Option<&Node>) {
        let file = self.revisions.get(&rev).map(|revision| revision.id);
        match file.and_then(|id| self.homes.get(&id)) {
            Some((ns, key)) => (*ns, self.node(*ns, key)),
            None => (root, None),
        }
    }
}

/// The content behind a target. The error is a `LookupError`.
pub(super) fn readable(state: &State, root: Ns, target: &Target) -> Result<Content, Value> {
    let (rev, ns, node) = match target {
        Target::Revision(rev) => {
            let (ns, node) = state.home_of(*rev, root);
            (*rev, ns, node)
        }
        Target::Spot(spot) => match state.node(spot.ns, &spot.key()) {
            None if spot.parts.is_root() => return Err(tag("not_file")),
            None => return Err(tag("not_found")),
            Some(node) => match node.body {
                Item::Folder { .. } => return Err(tag("not_file")),
                Item::File { rev, .. } => (rev, spot.ns, Some(node)),
            },
        },
    };
    let revision = state.revisions.get(&rev).ok_or_else(|| tag("not_found"))?;
    if state.restricted.contains(&revision.id) {
        return Err(tag("restricted_content"));
    }
    Ok(Content {
        blob: revision.blob,
        size: revision.size,
        rev: state.ids.rev(rev),
        metadata: state.file_metadata(root, ns, rev, node, &None),
    })
}

/// The one range that a request asks for; 416 if it cannot be satisfied or if there are several.
fn range(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let Some(value) = headers.get(header::RANGE) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let malformed = || ApiError::Bad(format!("Bad HTTP \"Range\" header: {text:?}"));
    let unsatisfiable = || {
        let message = format!("range {text:?} cannot be satisfied: the file has {size} bytes");
        ApiError::Text(StatusCode::RANGE_NOT_SATISFIABLE, message)
    };
    let ranges = text.strip_prefix("bytes=").ok_or_else(malformed)?;
    if ranges.contains(',') {
        return Err(unsatisfiable());
    }
    let (first, last) = ranges.split_once('-').ok_or_else(malformed)?;
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| malformed());
    let range = match (first, last) {
        ("", count) => size.saturating_sub(number(count)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return Err(malformed());
            }
            first..size.min(last.saturating_add(1))
        }
    };
    if range.start >= range.end {
        return Err(unsatisfiable());
    }
    Ok(Some(range))
}
