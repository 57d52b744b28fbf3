//! Listings and the cursors that follow changes.
//!
//! A cursor is a sealed statement of what is listed and how far: no state is kept for it, so it survives
//! restarts and can be replayed. A listing remembers the change number at which it began; when its pages
//! are through, the cursor goes on from that number, so nothing that happened meanwhile is lost. A delta
//! states what each changed path is *now*, in the order of the latest changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::meta::GroupFilter;
use super::paths::{self, Alias};
use super::properties;
use super::state::{Ns, State};
use super::tree::{Change, Namespace};
use super::wire::{Union, tag};
use crate::blob::lock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArg {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    include_deleted: bool,
    limit: Option<u32>,
    include_property_groups: Option<Union>,
    shared_link: Option<Value>,
    // What follows is accepted and changes nothing here: nothing is mounted, restorable or a cloud document.
    #[serde(default, rename = "include_media_info")]
    _media_info: bool,
    #[serde(default, rename = "include_has_explicit_shared_members")]
    _shared_members: bool,
    #[serde(default, rename = "include_mounted_folders")]
    _mounted: Option<bool>,
    #[serde(default, rename = "include_non_downloadable_files")]
    _non_downloadable: Option<bool>,
    #[serde(default, rename = "include_restorable_info")]
    _restorable: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorArg {
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongpollArg {
    cursor: String,
    #[serde(default = "thirty")]
    timeout: u64,
}

fn thirty() -> u64 {
    30
}

/// What a cursor says. The names are short because clients carry it around.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cursor {
    epoch: u64,
    root: Ns,
    ns: Ns,
    folder: String,
    recursive: bool,
    deleted: bool,
    limit: Option<u32>,
    groups: GroupFilter,
    at: Position,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Position {
    /// In the middle of a listing that began at a change number, after a key.
    Listing { began: u64, after: Option<String> },
    /// In the middle of the deleted items of a listing, after a change number.
    Deleted { began: u64, after: u64 },
    /// Everything up to a change number is known.
    Since(u64),
}

struct Page {
    entries: Vec<Value>,
    at: Position,
    has_more: bool,
}

impl Dropbox {
    /// `files/list_folder`
    pub(super) fn list_folder(&self, call: &Call) -> Result<Value, ApiError> {
        let state = lock(&self.state);
        let cursor = self.new_cursor(&state, call)?;
        self.page(&state, call, cursor)
    }

    /// `files/list_folder/get_latest_cursor`
    pub(super) fn get_latest_cursor(&self, call: &Call) -> Result<Value, ApiError> {
        let state = lock(&self.state);
        let mut cursor = self.new_cursor(&state, call)?;
        cursor.at = Position::Since(state.seq);
        Ok(json!({ "cursor": seal(&state, &cursor) }))
    }

    /// `files/list_folder/continue`
    pub(super) fn list_folder_continue(&self, call: &Call) -> Result<Value, ApiError> {
        let CursorArg { cursor } = call.arg()?;
        let state = lock(&self.state);
        let cursor = open(&state, call, &cursor)?;
        if cursor.root != call.root {
            return Err(call.bad("cursor: it was made under another path root"));
        }
        self.page(&state, call, cursor)
    }

    /// `files/list_folder/longpoll`: answers when the cursor has news, or after the timeout.
    pub(super) async fn longpoll(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: LongpollArg = call.arg()?;
        if !(30..=480).contains(&arg.timeout) {
            return Err(call.bad("timeout: must be from 30 to 480"));
        }
        let deadline = Instant::now() + Duration::from_secs(arg.timeout);
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let news = {
                let state = lock(&self.state);
                let cursor = open(&state, call, &arg.cursor)?;
                has_news(&state, &cursor)
            };
            if news {
                return Ok(json!({ "changes": true }));
            }
            // Both a timeout and the end of the service mean: nothing new.
            if !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return Ok(json!({ "changes": false }));
            }
        }
    }

    fn new_cursor(&self, state: &State, call: &Call) -> Result<Cursor, ApiError> {
        let arg: ListArg = call.arg()?;
        let path = call.path(&arg.path, Alias::RootOrId)?;
        if arg.limit.is_some_and(|limit| !(1..=2000).contains(&limit)) {
            return Err(call.bad("limit: must be from 1 to 2000"));
        }
        if arg.shared_link.is_some() {
            return Err(call.bad("shared_link: this emulator has no shared links"));
        }
        let groups = properties::filter(call, arg.include_property_groups)?;
        let spot = self
            .locate(state, call.root, &path)
            .map_err(ApiError::path)?;
        let folder = spot.key();
        check_folder(state, spot.ns, &folder)?;
        Ok(Cursor {
            epoch: state.epoch,
            root: call.root,
            ns: spot.ns,
            folder,
            recursive: arg.recursive,
            deleted: arg.include_deleted,
            limit: arg.limit,
            groups,
            at: Position::Listing {
                began: state.seq,
                after: None,
            },
        })
    }

    fn page(&self, state: &State, call: &Call, mut cursor: Cursor) -> Result<Value, ApiError> {
        check_folder(state, cursor.ns, &cursor.folder)?;
        let limit = cursor
            .limit
            .map_or(self.options.page_entries, |n| n as usize);
        let mut page = if call.wants("empty-page") {
            Page {
                entries: Vec::new(),
                at: cursor.at.clone(),
                has_more: true,
            }
        } else {
            next_page(state, &cursor, limit.max(1))
        };
        let listing = matches!(cursor.at, Position::Listing { .. });
        if listing && call.wants("reversed-page") {
            page.entries.reverse();
        }
        cursor.at = page.at;
        Ok(json!({
            "cursor": seal(state, &cursor),
            "entries": page.entries,
            "has_more": page.has_more,
        }))
    }
}

fn check_folder(state: &State, ns: Ns, key: &str) -> Result<(), ApiError> {
    if key.is_empty() {
        return Ok(());
    }
    match state.node(ns, key) {
        Some(node) if node.is_folder() => Ok(()),
        Some(_) => Err(ApiError::path(tag("not_folder"))),
        None => Err(ApiError::path(tag("not_found"))),
    }
}

fn seal(state: &State, cursor: &Cursor) -> String {
    // A struct of plain values always serialises.
    let payload = serde_json::to_vec(cursor).unwrap_or_default();
    state.ids.seal("cursor", &payload)
}

fn open(state: &State, call: &Call, text: &str) -> Result<Cursor, ApiError> {
    let payload = state.ids.open("cursor", text);
    let cursor: Option<Cursor> = payload.and_then(|p| serde_json::from_slice(&p).ok());
    let cursor = cursor.ok_or_else(|| call.bad("cursor: Invalid \"cursor\" parameter"))?;
    if cursor.epoch != state.epoch || call.wants("cursor-reset") {
        return Err(ApiError::Endpoint(tag("reset")));
    }
    Ok(cursor)
}

fn next_page(state: &State, cursor: &Cursor, limit: usize) -> Page {
    let Some(space) = state.namespaces.get(&cursor.ns) else {
        return Page {
            entries: Vec::new(),
            at: cursor.at.clone(),
            has_more: false,
        };
    };
    match &cursor.at {
        Position::Listing { began, after } => {
            listing_page(state, space, cursor, limit, *began, after.as_deref())
        }
        Position::Deleted { began, after } => {
            deleted_page(state, space, cursor, limit, *began, *after)
        }
        Position::Since(seq) => delta_page(state, space, cursor, limit, *seq),
    }
}

fn listing_page(
    state: &State,
    space: &Namespace,
    cursor: &Cursor,
    limit: usize,
    began: u64,
    after: Option<&str>,
) -> Page {
    let mut items: Box<dyn Iterator<Item = _>> = if cursor.recursive {
        Box::new(space.below(&cursor.folder, after))
    } else {
        Box::new(space.children(&cursor.folder, after))
    };
    let page: Vec<_> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let entries = page
        .iter()
        .map(|(_, node)| state.metadata(cursor.root, cursor.ns, node, &cursor.groups));
    let entries = entries.collect();
    let last = page.last().map(|(key, _)| (*key).clone());
    let (at, has_more) = match (more, cursor.deleted) {
        (true, _) => (Position::Listing { began, after: last }, true),
        (false, true) => {
            let gone = space.all_deleted().any(|change| in_scope(cursor, change));
            (Position::Deleted { began, after: 0 }, gone)
        }
        (false, false) => (Position::Since(began), false),
    };
    let at = if has_more { at } else { Position::Since(began) };
    Page {
        entries,
        at,
        has_more,
    }
}

fn deleted_page(
    state: &State,
    space: &Namespace,
    cursor: &Cursor,
    limit: usize,
    began: u64,
    after: u64,
) -> Page {
    let mut gone = space
        .changes_after(after)
        .filter(|(_, change)| in_scope(cursor, change) && space.node(&change.key).is_none());
    let page: Vec<_> = gone.by_ref().take(limit).collect();
    let has_more = gone.next().is_some();
    let after = page.last().map_or(after, |(seq, _)| *seq);
    let entries = page
        .iter()
        .map(|(_, change)| state.deleted(cursor.root, cursor.ns, &change.display));
    Page {
        entries: entries.collect(),
        at: match has_more {
            true => Position::Deleted { began, after },
            false => Position::Since(began),
        },
        has_more,
    }
}

fn delta_page(state: &State, space: &Namespace, cursor: &Cursor, limit: usize, since: u64) -> Page {
    let mut news = space
        .changes_after(since)
        .filter(|(_, change)| in_scope(cursor, change) && !covered(space, cursor, change, since));
    let page: Vec<_> = news.by_ref().take(limit).collect();
    let has_more = news.next().is_some();
    let entries = page
        .iter()
        .map(|(_, change)| match space.node(&change.key) {
            Some(node) => state.metadata(cursor.root, cursor.ns, node, &cursor.groups),
            None => state.deleted(cursor.root, cursor.ns, &change.display),
        });
    let entries = entries.collect();
    let last = page.last().map_or(since, |(seq, _)| *seq);
    Page {
        entries,
        at: Position::Since(if has_more { last } else { state.seq }),
        has_more,
    }
}

fn in_scope(cursor: &Cursor, change: &Change) -> bool {
    if cursor.recursive {
        paths::within(&change.key, &cursor.folder) && change.key != cursor.folder
    } else {
        paths::parent(&change.key) == Some(&cursor.folder)
    }
}

/// True for an item that went with its folder: the folder's own entry says so already.
fn covered(space: &Namespace, cursor: &Cursor, change: &Change, since: u64) -> bool {
    let Some(parent) = paths::parent(&change.key) else {
        return false;
    };
    parent != cursor.folder
        && cursor.recursive
        && space.node(&change.key).is_none()
        && space.node(parent).is_none()
        && space.changed_at(parent) > since
}

fn has_news(state: &State, cursor: &Cursor) -> bool {
    match cursor.at {
        Position::Since(_) => !next_page(state, cursor, 1).entries.is_empty(),
        _ => true,
    }
}
