//! Upload sessions: starting them and appending to them.
//!
//! A sequential session takes its bytes strictly in order, one append at a time. A concurrent one takes
//! aligned pieces in any order until its closing piece. What a session has received is recorded only once
//! a whole body is in and its hash agrees, so a broken append changes nothing.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_core::ContentHash;
use windlass_core::digest::BLOCK_BYTES;

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::receive::{Blocks, Received, check_hash};
use super::state::{Event, Session, State};
use super::wire::{Union, tag};
use crate::blob::{BlobWriter, lock};

/// The largest file that a session makes: 2^41 - 2^22.
pub(super) const FILE_BYTES_MAX: u64 = (1 << 41) - (1 << 22);
/// The most sessions that one `start_batch` gives.
const BATCH_MAX: u64 = 1000;

/// The bytes of an open session.
#[derive(Debug)]
pub(super) struct Upload {
    /// Appends to a sequential session go one at a time; so does its finish.
    pub(super) order: tokio::sync::Mutex<()>,
    pub(super) writer: Mutex<Option<BlobWriter>>,
    pub(super) blocks: Mutex<Blocks>,
}

impl Upload {
    fn new(mut writer: BlobWriter, blocks: Blocks) -> Self {
        writer.keep();
        Upload {
            order: tokio::sync::Mutex::default(),
            writer: Mutex::new(Some(writer)),
            blocks: Mutex::new(blocks),
        }
    }

    /// The part of a session that was open when the emulator stopped.
    pub(super) fn resumed(writer: BlobWriter) -> Self {
        Upload::new(writer, Blocks::unknown())
    }

    /// The content hash of the first `size` bytes; reads them again if their blocks are not known.
    pub(super) fn hash(&self, size: u64) -> std::io::Result<ContentHash> {
        if let Some(hash) = lock(&self.blocks).hash(size) {
            return Ok(hash);
        }
        match lock(&self.writer).as_mut() {
            Some(writer) => {
                writer.truncate(size)?;
                writer.content_hash()
            }
            None => Err(std::io::Error::other("the session is finished")),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CursorArg {
    pub(super) session_id: String,
    pub(super) offset: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartArg {
    #[serde(default)]
    close: bool,
    session_type: Option<Union>,
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBatchArg {
    session_type: Option<Union>,
    num_sessions: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendArg {
    cursor: CursorArg,
    #[serde(default)]
    close: bool,
    content_hash: Option<String>,
}

/// Whether a session is concurrent.
fn concurrent(call: &Call, kind: Option<&Union>) -> Result<bool, ApiError> {
    match kind.map(|kind| kind.tag.as_str()) {
        None | Some("sequential") => Ok(false),
        Some("concurrent") => Ok(true),
        Some(other) => Err(call.bad(&format!("session_type: unknown tag '{other}'"))),
    }
}

/// `incorrect_offset`, with the right one.
pub(super) fn incorrect_offset(correct: u64) -> Value {
    json!({".tag": "incorrect_offset", "correct_offset": correct})
}

/// Checks an append before its bytes are looked at. The error is an `UploadSessionAppendError`.
pub(super) fn check_append(session: &Session, offset: u64, late: bool) -> Result<(), Value> {
    if session.closed && !(late && session.concurrent) {
        return Err(tag("closed"));
    }
    if session.concurrent {
        let aligned = offset.is_multiple_of(BLOCK_BYTES as u64);
        return match aligned {
            true => Ok(()),
            false => Err(tag("concurrent_session_invalid_offset")),
        };
    }
    match session.end() {
        end if end == offset => Ok(()),
        end => Err(incorrect_offset(end)),
    }
}

/// Checks an append once its length is known.
pub(super) fn check_length(
    session: &Session,
    offset: u64,
    len: u64,
    close: bool,
) -> Result<(), Value> {
    if offset.saturating_add(len) > FILE_BYTES_MAX {
        return Err(tag("too_large"));
    }
    if session.concurrent && !close && !len.is_multiple_of(BLOCK_BYTES as u64) {
        return Err(tag("concurrent_session_invalid_data_size"));
    }
    Ok(())
}

impl Dropbox {
    /// `files/upload_session/start`
    pub(super) async fn session_start(&self, call: &Call, body: Body) -> Result<Value, ApiError> {
        let arg: StartArg = call.arg()?;
        let concurrent = concurrent(call, arg.session_type.as_ref())?;
        let mut writer = self.blobs.writer()?;
        let received = self
            .receive(body, |offset, piece| writer.write_at(offset, piece))
            .await?;
        check_hash(call, arg.content_hash.as_deref(), &received)?;
        if concurrent && received.len > 0 {
            let error = tag("concurrent_session_data_not_allowed");
            return Err(ApiError::Endpoint(error));
        }
        if concurrent && arg.close {
            let error = tag("concurrent_session_close_not_allowed");
            return Err(ApiError::Endpoint(error));
        }
        let id = self.new_session(concurrent, arg.close, writer, &received)?;
        Ok(json!({ "session_id": id }))
    }

    /// `files/upload_session/start_batch`
    pub(super) fn session_start_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: StartBatchArg = call.arg()?;
        let concurrent = concurrent(call, arg.session_type.as_ref())?;
        if !(1..=BATCH_MAX).contains(&arg.num_sessions) {
            return Err(call.bad("num_sessions: must be from 1 to 1000"));
        }
        let mut ids = Vec::new();
        for _ in 0..arg.num_sessions {
            let writer = self.blobs.lasting_writer()?;
            ids.push(self.new_session(concurrent, false, writer, &Received::default())?);
        }
        Ok(json!({ "session_ids": ids }))
    }

    /// Bytes that a refused commit leaves behind, as an unclosed session.
    pub(super) fn adopt_session(
        &self,
        writer: BlobWriter,
        received: &Received,
    ) -> std::io::Result<String> {
        self.new_session(false, false, writer, received)
    }

    fn new_session(
        &self,
        concurrent: bool,
        close: bool,
        writer: BlobWriter,
        received: &Received,
    ) -> std::io::Result<String> {
        let mut blocks = Blocks::default();
        blocks.add(0, received);
        let blob = writer.id();
        let upload = Arc::new(Upload::new(writer, blocks));
        let mut state = lock(&self.state);
        let n = state.number();
        let id = state.ids.session(n);
        let mut events = vec![Event::SessionStarted {
            n,
            concurrent,
            blob,
            created: self.options.clock.now(),
        }];
        if close || received.len > 0 {
            events.push(Event::SessionAppended {
                id: id.clone(),
                offset: 0,
                len: received.len,
                close,
            });
        }
        self.commit(&mut state, events)?;
        lock(&self.uploads).insert(id.clone(), upload);
        Ok(id)
    }

    /// An open session with its bytes. Sessions past their life are dropped here.
    pub(super) fn open_session(
        &self,
        state: &mut State,
        id: &str,
    ) -> std::io::Result<Option<(Session, Arc<Upload>)>> {
        let Some(session) = state.sessions.get(id).cloned() else {
            return Ok(None);
        };
        let age = self.options.clock.now().duration_since(session.created);
        // A clock that was set back makes nothing older.
        let age = std::time::Duration::try_from(age).unwrap_or_default();
        if age > self.options.session_lifetime {
            self.end_session(state, id)?;
            return Ok(None);
        }
        let upload = lock(&self.uploads).get(id).map(Arc::clone);
        Ok(upload.map(|upload| (session, upload)))
    }

    /// Ends a session that has expired.
    fn end_session(&self, state: &mut State, id: &str) -> std::io::Result<()> {
        self.commit(state, vec![Event::SessionGone { id: id.to_owned() }])?;
        self.drop_upload(id);
        Ok(())
    }

    /// Ends a session before its time, where a fault rule asks for that.
    pub(super) fn lose_session(&self, call: &Call, id: &str) -> std::io::Result<()> {
        match call.wants("session-gone") {
            true => self.end_session(&mut lock(&self.state), id),
            false => Ok(()),
        }
    }

    /// Forgets the bytes of a session that is gone.
    pub(super) fn drop_upload(&self, id: &str) {
        let upload = lock(&self.uploads).remove(id);
        let writer = upload.and_then(|upload| lock(&upload.writer).take());
        if let Some(writer) = writer {
            writer.discard();
        }
    }

    fn session_now(&self, id: &str) -> Result<(Session, Arc<Upload>), ApiError> {
        let found = self.open_session(&mut lock(&self.state), id)?;
        found.ok_or_else(|| ApiError::Endpoint(tag("not_found")))
    }

    /// `files/upload_session/append_v2`
    pub(super) async fn session_append(&self, call: &Call, body: Body) -> Result<Value, ApiError> {
        let arg: AppendArg = call.arg()?;
        let stated = arg.content_hash.as_deref();
        self.append(call, &arg.cursor, arg.close, stated, body)
            .await?;
        Ok(Value::Null)
    }

    /// Appends a body to a session; the number of bytes that came.
    pub(super) async fn append(
        &self,
        call: &Call,
        cursor: &CursorArg,
        close: bool,
        stated: Option<&str>,
        body: Body,
    ) -> Result<u64, ApiError> {
        self.lose_session(call, &cursor.session_id)?;
        let (first, upload) = self.session_now(&cursor.session_id)?;
        let _turn = match first.concurrent {
            true => None,
            false => Some(upload.order.lock().await),
        };
        // Another append may have gone first while this one waited for its turn.
        let (session, _) = self.session_now(&cursor.session_id)?;
        let late = self.options.late_appends;
        let offset = cursor.offset;
        check_append(&session, offset, late).map_err(ApiError::Endpoint)?;
        let received = self
            .receive(body, |at, piece| {
                let at = offset.saturating_add(at);
                let len = piece.len() as u64;
                // A range that is here already, or beyond every file, is read and not kept.
                if session.has(at, len) {
                    self.received_again(len);
                    return Ok(());
                }
                if at.saturating_add(len) > FILE_BYTES_MAX {
                    return Ok(());
                }
                match lock(&upload.writer).as_mut() {
                    Some(writer) => writer.write_at(at, piece),
                    None => Ok(()),
                }
            })
            .await?;
        if call.wants("partial") {
            let part = received.half(session.concurrent);
            self.record(&cursor.session_id, &upload, offset, false, &part)?;
            return Err(ApiError::Broken);
        }
        check_hash(call, stated, &received)?;
        check_length(&session, offset, received.len, close).map_err(ApiError::Endpoint)?;
        self.record(&cursor.session_id, &upload, offset, close, &received)?;
        Ok(received.len)
    }

    /// Makes an append part of its session, unless the session was closed or finished meanwhile.
    fn record(
        &self,
        id: &str,
        upload: &Upload,
        offset: u64,
        close: bool,
        received: &Received,
    ) -> Result<(), ApiError> {
        let mut state = lock(&self.state);
        let found = self.open_session(&mut state, id)?;
        let (session, _) = found.ok_or_else(|| ApiError::Endpoint(tag("not_found")))?;
        let late = self.options.late_appends;
        check_append(&session, offset, late).map_err(ApiError::Endpoint)?;
        if !session.has(offset, received.len) {
            lock(&upload.blocks).add(offset, received);
        }
        let event = Event::SessionAppended {
            id: id.to_owned(),
            offset,
            len: received.len,
            close,
        };
        self.commit(&mut state, vec![event])?;
        Ok(())
    }
}
