//! Committing a file: write modes, autorename, missing parents, and `files/upload`.
//!
//! The rules are those of the contract's write-mode table. Everything is decided under the state lock and
//! the bytes are put in place only once the decision is to write, so a refused commit leaves them where
//! they were.

use std::io;

use axum::body::Body;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use windlass_core::ContentHash;

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::limits::Busy;
use super::paths::{self, Alias, Parts, PathArg};
use super::properties::Group;
use super::receive::check_hash;
use super::state::{Event, Ns, Revision, State};
use super::tree::Body as Item;
use super::wire::{Union, tag, tagged, timestamp, whole_seconds};
use crate::blob::{BlobId, lock};

/// `CommitInfo`, and `UploadArg`, which has `content_hash` besides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitArg {
    path: String,
    mode: Option<Union>,
    #[serde(default)]
    autorename: bool,
    client_modified: Option<String>,
    #[serde(default, rename = "mute")]
    _mute: bool,
    property_groups: Option<Vec<Group>>,
    #[serde(default)]
    strict_conflict: bool,
    content_hash: Option<String>,
}

/// What to do when something is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Add,
    Overwrite,
    Update(String),
}

/// A commit whose argument is well-formed.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) path: PathArg,
    pub(super) mode: Mode,
    pub(super) autorename: bool,
    pub(super) strict: bool,
    pub(super) client_modified: Option<Timestamp>,
    pub(super) groups: Vec<Group>,
}

/// Why a commit did not do all it should.
#[derive(Debug)]
pub(super) enum CommitError {
    /// A `WriteError`: nothing was written.
    Write(Value),
    /// An `InvalidPropertyGroupError`: the file was written, without properties.
    Properties(Value),
    /// The emulator's disk failed.
    Io(io::Error),
}

impl From<io::Error> for CommitError {
    fn from(error: io::Error) -> Self {
        CommitError::Io(error)
    }
}

/// What the write-mode table says.
enum Decision {
    /// The same bytes are there already.
    Same { rev: u64 },
    Write {
        folders: Vec<Event>,
        display: String,
        id: Option<u64>,
    },
}

impl CommitArg {
    /// Checks what JSON alone does not. `hashed` says whether the argument may have `content_hash`.
    pub(super) fn check(
        self,
        call: &Call,
        hashed: bool,
    ) -> Result<(Commit, Option<String>), ApiError> {
        if self.content_hash.is_some() && !hashed {
            return Err(call.bad("commit: unknown field 'content_hash'"));
        }
        let mode = match self.mode {
            None => Mode::Add,
            Some(union) => mode(&union).map_err(|detail| call.bad(&detail))?,
        };
        let time = self.client_modified.as_deref().map(parse_time).transpose();
        let commit = Commit {
            path: call.path(&self.path, Alias::WriteOrId)?,
            mode,
            autorename: self.autorename,
            strict: self.strict_conflict,
            client_modified: time.map_err(|detail| call.bad(&detail))?,
            groups: self.property_groups.unwrap_or_default(),
        };
        Ok((commit, self.content_hash))
    }
}

fn mode(union: &Union) -> Result<Mode, String> {
    match (union.tag.as_str(), &union.value) {
        ("add", None) => Ok(Mode::Add),
        ("overwrite", None) => Ok(Mode::Overwrite),
        ("update", Some(Value::String(rev))) => {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if rev.len() < 9 || !rev.bytes().all(hex) {
                return Err("mode: update: did not match pattern '[0-9a-f]{9,}'".to_owned());
            }
            Ok(Mode::Update(rev.clone()))
        }
        ("update", _) => Err("mode: missing required field 'update'".to_owned()),
        (other, _) => Err(format!("mode: unknown tag '{other}'")),
    }
}

/// A timestamp argument: UTC and whole seconds, nothing else.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time: Option<Timestamp> = text.parse().ok();
    time.filter(|time| timestamp(*time) == text).ok_or_else(|| {
        format!("client_modified: time data '{text}' does not match format '%Y-%m-%dT%H:%M:%SZ'")
    })
}

/// `WriteError` for something in the way.
pub(super) fn conflict(what: &str) -> Value {
    tagged("conflict", tag(what))
}

impl State {
    /// Prepares a place: the folders to make first, and the display path with the casing of those that
    /// exist. The error is a `WriteError`.
    pub(super) fn place(&mut self, ns: Ns, parts: &Parts) -> Result<(Vec<Event>, String), Value> {
        let mut made = Vec::new();
        let mut path = String::new();
        let folders = parts.iter().len().saturating_sub(1);
        for part in parts.iter().take(folders) {
            let next = format!("{path}/{part}");
            path = match self.node(ns, &paths::fold(&next)) {
                Some(node) if node.is_folder() => node.display.clone(),
                Some(_) => return Err(conflict("file_ancestor")),
                None => {
                    made.push(Event::Folder {
                        ns,
                        path: next.clone(),
                        id: self.number(),
                    });
                    next
                }
            };
        }
        path.push('/');
        path.push_str(parts.name());
        Ok((made, path))
    }

    /// The first free name that a pattern gives.
    pub(super) fn free_name(
        &self,
        ns: Ns,
        parts: &Parts,
        pattern: fn(&str, u32) -> String,
    ) -> Parts {
        let mut n = 1;
        loop {
            let parts = parts.renamed(pattern(parts.name(), n));
            if self.node(ns, &parts.key()).is_none() {
                return parts;
            }
            n += 1;
        }
    }

    fn decide(
        &mut self,
        ns: Ns,
        parts: &Parts,
        commit: &Commit,
        content: (ContentHash, u64),
    ) -> Result<Decision, Value> {
        let there = self.node(ns, &parts.key()).map(|node| node.body.clone());
        let update = matches!(commit.mode, Mode::Update(_));
        let (blocker, id) = match there {
            None if update && commit.strict => (Some("file"), None),
            None => (None, None),
            Some(Item::Folder { .. }) => (Some("folder"), None),
            Some(Item::File { id, rev }) => {
                let old = self.revisions.get(&rev);
                let same = old.is_some_and(|old| (old.hash, old.size) == content);
                let overwrite = commit.mode == Mode::Overwrite;
                if same && (overwrite || !commit.strict) {
                    return Ok(Decision::Same { rev });
                }
                let current = match &commit.mode {
                    Mode::Update(wanted) => !same && *wanted == self.ids.rev(rev),
                    _ => false,
                };
                let allowed = overwrite || current;
                ((!allowed).then_some("file"), Some(id))
            }
        };
        let parts = match blocker {
            None => parts.clone(),
            Some(what) if !commit.autorename => return Err(conflict(what)),
            Some(_) if update => self.free_name(ns, parts, paths::conflicted),
            Some(_) => self.free_name(ns, parts, paths::numbered),
        };
        let (folders, display) = self.place(ns, &parts)?;
        Ok(Decision::Write {
            folders,
            display,
            id: id.filter(|_| blocker.is_none()),
        })
    }
}

impl Dropbox {
    /// Commits a content to a path. `bytes` puts the bytes in place; it is called only if they are needed.
    /// The result is `FileMetadata` without a tag.
    pub(super) fn commit_file(
        &self,
        root: Ns,
        commit: &Commit,
        content: (ContentHash, u64),
        bytes: impl FnOnce() -> io::Result<BlobId>,
        also: Vec<Event>,
    ) -> Result<Map<String, Value>, CommitError> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let spot = self.locate_write(state, root, &commit.path);
        let spot = spot.map_err(CommitError::Write)?;
        let decision = state.decide(spot.ns, &spot.parts, commit, content);
        let (folders, display, id) = match decision.map_err(CommitError::Write)? {
            Decision::Same { rev } => {
                self.commit(state, also)?;
                let node = state.node(spot.ns, &spot.key());
                return Ok(state.file_metadata(root, spot.ns, rev, node, &None));
            }
            Decision::Write {
                folders,
                display,
                id,
            } => (folders, display, id),
        };
        if state.used.saturating_add(content.1) > self.options.quota_bytes {
            return Err(CommitError::Write(tag("insufficient_space")));
        }
        let fits = state.check_groups(&commit.groups);
        let now = whole_seconds(self.options.clock.now());
        let key = paths::fold(&display);
        let revision = Revision {
            id: id.unwrap_or_else(|| state.number()),
            blob: bytes()?,
            size: content.1,
            hash: content.0,
            client_modified: commit.client_modified.unwrap_or(now),
            server_modified: now,
            path: display.clone(),
        };
        let rev = state.number();
        let mut events = folders;
        events.push(Event::File {
            ns: spot.ns,
            path: display,
            rev,
            revision,
            groups: match fits {
                Ok(()) => commit.groups.clone(),
                Err(_) => Vec::new(),
            },
        });
        events.extend(also);
        self.commit(state, events)?;
        fits.map_err(CommitError::Properties)?;
        let node = state.node(spot.ns, &key);
        Ok(state.file_metadata(root, spot.ns, rev, node, &None))
    }

    /// `files/upload`
    pub(super) async fn upload(&self, call: &Call, body: Body) -> Result<Value, ApiError> {
        let (commit, stated) = call.arg::<CommitArg>()?.check(call, true)?;
        let mut writer = self.blobs.writer()?;
        let received = self
            .receive(body, |offset, piece| writer.write_at(offset, piece))
            .await?;
        check_hash(call, stated.as_deref(), &received)?;
        let ns = self.namespace_of(call.root, &commit.path);
        let mut kept = Some(writer);
        let result = match self.hold(call, &[ns], None).await {
            Err(Busy::Call(error)) => return Err(error),
            Err(Busy::Endpoint) => Err(CommitError::Write(tag("too_many_write_operations"))),
            Ok(_held) => {
                let content = (received.hash(), received.len);
                let bytes = || match kept.take() {
                    Some(writer) => writer.finish(),
                    None => Err(io::Error::other("the bytes are used already")),
                };
                self.commit_file(call.root, &commit, content, bytes, Vec::new())
            }
        };
        match (result, kept) {
            (Err(CommitError::Write(error)), Some(writer)) => {
                Err(self.keep_bytes(error, writer, &received)?)
            }
            (result, _) => result.map(Value::Object).map_err(refused),
        }
    }

    /// The bytes of a refused upload become a session, so that only the commit has to be repeated.
    fn keep_bytes(
        &self,
        error: Value,
        writer: crate::blob::BlobWriter,
        received: &super::receive::Received,
    ) -> io::Result<ApiError> {
        let id = self.adopt_session(writer, received)?;
        Ok(ApiError::Endpoint(json!({
            ".tag": "path", "reason": error, "upload_session_id": id,
        })))
    }
}

fn refused(error: CommitError) -> ApiError {
    match error {
        CommitError::Write(error) => ApiError::Endpoint(json!({
            ".tag": "path", "reason": error,
        })),
        CommitError::Properties(error) => ApiError::Endpoint(tagged("properties_error", error)),
        CommitError::Io(error) => ApiError::Io(error),
    }
}
