//! Turning upload sessions into files, one by one or in batches.

use std::sync::Arc;

use axum::body::Body;
use http_body::Body as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::limits::Busy;
use super::session::{CursorArg, Upload, incorrect_offset};
use super::state::{Event, Ns, Session};
use super::wire::{tag, tagged, with_tag};
use super::write::{Commit, CommitArg, CommitError};
use crate::blob::lock;

/// The most entries in one batch.
const ENTRIES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishArg {
    cursor: CursorArg,
    commit: CommitArg,
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchArg {
    entries: Vec<FinishArg>,
}

/// Why one session did not become a file.
enum FinishError {
    /// An `UploadSessionFinishError`.
    Endpoint(Value),
    Io(std::io::Error),
}

impl From<std::io::Error> for FinishError {
    fn from(error: std::io::Error) -> Self {
        FinishError::Io(error)
    }
}

fn lookup_failed(error: Value) -> Value {
    tagged("lookup_failed", error)
}

fn path_error(error: Value) -> Value {
    tagged("path", error)
}

impl Dropbox {
    /// `files/upload_session/finish`
    pub(super) async fn session_finish(&self, call: &Call, body: Body) -> Result<Value, ApiError> {
        let arg: FinishArg = call.arg()?;
        let (commit, _) = arg.commit.check(call, false)?;
        let mut cursor = arg.cursor;
        self.lose_session(call, &cursor.session_id)?;
        if !body.is_end_stream() {
            cursor.offset += self
                .last_data(call, &cursor, arg.content_hash, body)
                .await?;
        }
        let ns = self.namespace_of(call.root, &commit.path);
        let _held = match self.hold(call, &[ns], None).await {
            Ok(held) => held,
            Err(Busy::Call(error)) => return Err(error),
            Err(Busy::Endpoint) => {
                let error = path_error(tag("too_many_write_operations"));
                return Err(ApiError::Endpoint(error));
            }
        };
        match self.finish_one(call.root, &cursor, &commit, false).await {
            Ok(file) => Ok(file.into()),
            Err(FinishError::Endpoint(error)) => Err(ApiError::Endpoint(error)),
            Err(FinishError::Io(error)) => Err(error.into()),
        }
    }

    /// Data that comes with a finish is appended first; if the commit is refused, it stays.
    async fn last_data(
        &self,
        call: &Call,
        cursor: &CursorArg,
        stated: Option<String>,
        body: Body,
    ) -> Result<u64, ApiError> {
        let found = self.open_session(&mut lock(&self.state), &cursor.session_id)?;
        let concurrent = found.is_some_and(|(session, _)| session.concurrent);
        if concurrent {
            let received = self.receive(body, |_, _| Ok(())).await?;
            return match received.len {
                0 => Ok(0),
                _ => Err(ApiError::Endpoint(tag(
                    "concurrent_session_data_not_allowed",
                ))),
            };
        }
        // A body of unknown length may still be empty: that is not an append, and no hash is due.
        let mut body = body;
        if body.size_hint().exact().is_none() {
            let bytes = axum::body::to_bytes(body, super::receive::BODY_BYTES_MAX as usize).await;
            let bytes = bytes.map_err(|_| super::receive::payload_too_large())?;
            if bytes.is_empty() {
                return Ok(0);
            }
            body = Body::from(bytes);
        }
        let appended = self
            .append(call, cursor, false, stated.as_deref(), body)
            .await;
        appended.map_err(|error| match error {
            ApiError::Endpoint(error) if error[".tag"] == "content_hash_mismatch" => {
                ApiError::Endpoint(error)
            }
            ApiError::Endpoint(error) if error[".tag"] == "payload_too_large" => {
                ApiError::Endpoint(error)
            }
            ApiError::Endpoint(error) => ApiError::Endpoint(lookup_failed(error)),
            other => other,
        })
    }

    /// `files/upload_session/finish_batch_v2`
    pub(super) async fn session_finish_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: BatchArg = call.arg()?;
        if !(1..=ENTRIES_MAX).contains(&arg.entries.len()) {
            return Err(call.bad("entries: List must have from 1 to 1000 items"));
        }
        let mut entries = Vec::with_capacity(arg.entries.len());
        for entry in arg.entries {
            let (commit, _) = entry.commit.check(call, false)?;
            entries.push((entry.cursor, commit));
        }
        let spaces: Vec<Ns> = entries
            .iter()
            .map(|(_, commit)| self.namespace_of(call.root, &commit.path))
            .collect();
        let held = match self.hold(call, &spaces, Some(entries.len())).await {
            Err(Busy::Call(error)) => return Err(error),
            Err(Busy::Endpoint) => None,
            Ok(held) => Some(held),
        };
        if let Some((cursor, _)) = entries.first() {
            self.lose_session(call, &cursor.session_id)?;
        }
        let mut results = Vec::with_capacity(entries.len());
        for (index, (cursor, commit)) in entries.iter().enumerate() {
            let is_locked = held.is_none() || (index % 2 == 1 && call.wants("entries"));
            let result = if is_locked {
                let locked = path_error(tag("too_many_write_operations"));
                Err(FinishError::Endpoint(locked))
            } else {
                self.finish_one(call.root, cursor, commit, true).await
            };
            results.push(match result {
                Ok(file) => with_tag("success", file),
                Err(FinishError::Endpoint(error)) => tagged("failure", error),
                Err(FinishError::Io(error)) => return Err(error.into()),
            });
        }
        Ok(json!({ "entries": results }))
    }

    async fn finish_one(
        &self,
        root: Ns,
        cursor: &CursorArg,
        commit: &Commit,
        must_be_closed: bool,
    ) -> Result<Map<String, Value>, FinishError> {
        let id = &cursor.session_id;
        let not_found = || FinishError::Endpoint(lookup_failed(tag("not_found")));
        let found = self.open_session(&mut lock(&self.state), id)?;
        let (_, upload) = found.ok_or_else(not_found)?;
        let _turn = upload.order.lock().await;
        let found = self.open_session(&mut lock(&self.state), id)?;
        let (session, _) = found.ok_or_else(not_found)?;
        check_finish(&session, cursor.offset, must_be_closed).map_err(FinishError::Endpoint)?;
        let size = session.end();
        let hash = {
            let upload: Arc<Upload> = Arc::clone(&upload);
            let hash = tokio::task::spawn_blocking(move || upload.hash(size));
            hash.await.map_err(std::io::Error::other)??
        };
        let gone = Event::SessionGone { id: id.clone() };
        let bytes = || match lock(&upload.writer).take() {
            Some(mut writer) => {
                writer.truncate(size)?;
                writer.finish()
            }
            None => Err(std::io::Error::other("the session is finished")),
        };
        let result = self.commit_file(root, commit, (hash, size), bytes, vec![gone]);
        match result {
            Ok(file) => {
                self.drop_upload(id);
                Ok(file)
            }
            Err(CommitError::Properties(error)) => {
                self.drop_upload(id);
                Err(FinishError::Endpoint(tagged("properties_error", error)))
            }
            Err(CommitError::Write(error)) => Err(FinishError::Endpoint(path_error(error))),
            Err(CommitError::Io(error)) => Err(FinishError::Io(error)),
        }
    }
}

fn check_finish(session: &Session, offset: u64, must_be_closed: bool) -> Result<(), Value> {
    if session.concurrent && !session.closed {
        return Err(tag("concurrent_session_not_closed"));
    }
    if must_be_closed && !session.closed {
        return Err(lookup_failed(tag("not_closed")));
    }
    if session.concurrent && !session.whole() {
        return Err(tag("concurrent_session_missing_data"));
    }
    match session.end() {
        end if end == offset => Ok(()),
        end => Err(lookup_failed(incorrect_offset(end))),
    }
}
