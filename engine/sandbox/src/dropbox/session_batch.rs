//! `upload_session/append_batch`: one body with the bytes of many sessions, one after the other.

use std::collections::VecDeque;

use axum::body::Body;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::receive::{Received, check_hash};
use super::session::{CursorArg, check_append, check_length};
use super::state::Event;
use super::wire::{tag, tagged};
use crate::blob::lock;

/// The most entries in one call.
const ENTRIES_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchArg {
    entries: Vec<EntryArg>,
    content_hash: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryArg {
    cursor: CursorArg,
    length: u64,
    #[serde(default)]
    close: bool,
}

impl Dropbox {
    /// `files/upload_session/append_batch`. The whole body comes in (at most 150 MiB, in pieces) before any
    /// session is touched, because length and hash are judged for the whole call.
    pub(super) async fn session_append_batch(
        &self,
        call: &Call,
        body: Body,
    ) -> Result<Value, ApiError> {
        let arg: BatchArg = call.arg()?;
        if !(1..=ENTRIES_MAX).contains(&arg.entries.len()) {
            return Err(call.bad("entries: List must have from 1 to 1000 items"));
        }
        let mut pieces = VecDeque::new();
        let received = self
            .receive(body, |_, piece| {
                pieces.push_back(piece);
                Ok(())
            })
            .await?;
        let total = arg
            .entries
            .iter()
            .fold(0u64, |sum, entry| sum.saturating_add(entry.length));
        if total != received.len {
            return Err(ApiError::Endpoint(tag("length_mismatch")));
        }
        check_hash(call, arg.content_hash.as_deref(), &received)?;
        if let Some(first) = arg.entries.first() {
            self.lose_session(call, &first.cursor.session_id)?;
        }
        let lengths = arg.entries.iter().map(|entry| entry.length);
        let contents: Vec<_> = lengths.map(|length| take(&mut pieces, length)).collect();
        let bodies = Received::of_each(&contents);
        let mut results = Vec::with_capacity(arg.entries.len());
        let entries = arg.entries.iter().zip(contents.into_iter().zip(bodies));
        for (index, (entry, (bytes, body))) in entries.enumerate() {
            if index % 2 == 1 && call.wants("entries") {
                results.push(tagged("failure", tag("not_found")));
                continue;
            }
            if index >= arg.entries.len() / 2 && call.wants("partial") {
                return Err(ApiError::Broken);
            }
            results.push(match self.append_entry(entry, bytes, &body).await? {
                Ok(()) => tag("success"),
                Err(error) => tagged("failure", error),
            });
        }
        Ok(json!({ "entries": results }))
    }

    /// The outer error fails the call, the inner one is this entry's.
    async fn append_entry(
        &self,
        entry: &EntryArg,
        pieces: Vec<Bytes>,
        body: &Received,
    ) -> Result<Result<(), Value>, ApiError> {
        let id = &entry.cursor.session_id;
        let offset = entry.cursor.offset;
        let found = self.open_session(&mut lock(&self.state), id)?;
        let Some((_, upload)) = found else {
            return Ok(Err(tag("not_found")));
        };
        let _turn = upload.order.lock().await;
        let mut state = lock(&self.state);
        let Some((session, _)) = self.open_session(&mut state, id)? else {
            return Ok(Err(tag("not_found")));
        };
        let checked = check_append(&session, offset, self.options.late_appends)
            .and_then(|()| check_length(&session, offset, entry.length, entry.close));
        if let Err(error) = checked {
            return Ok(Err(error));
        }
        if session.has(offset, entry.length) {
            self.received_again(entry.length);
        } else {
            if let Some(writer) = lock(&upload.writer).as_mut() {
                let mut at = offset;
                for piece in pieces {
                    let next = at + piece.len() as u64;
                    writer.write_at(at, piece)?;
                    at = next;
                }
            }
            lock(&upload.blocks).add(offset, body);
        }
        let event = Event::SessionAppended {
            id: id.clone(),
            offset,
            len: entry.length,
            close: entry.close,
        };
        self.commit(&mut state, vec![event])?;
        Ok(Ok(()))
    }
}

/// The next `length` bytes of the body.
fn take(pieces: &mut VecDeque<Bytes>, length: u64) -> Vec<Bytes> {
    let mut taken = Vec::new();
    // The body is at most 150 MiB, and as long as all entries together.
    let mut left = length as usize;
    while left > 0 {
        let Some(mut piece) = pieces.pop_front() else {
            break;
        };
        if piece.len() > left {
            pieces.push_front(piece.split_off(left));
        }
        left -= piece.len();
        taken.push(piece);
    }
    taken
}
