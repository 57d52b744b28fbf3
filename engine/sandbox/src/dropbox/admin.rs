//! Seeding and inspecting the account without going over HTTP: for demos, tests and checkers.
//!
//! Paths are those of the API: `/…` in the home namespace or `ns:<id>/…` in another one. Nothing here is
//! throttled, faulty or counted as a call.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use jiff::Timestamp;
use windlass_core::ContentHash;

use super::error::summary;
use super::folders::ItemError;
use super::paths::{Alias, PathArg};
use super::state::Event;
use super::tree::Body;
use super::wire::whole_seconds;
use super::write::{Commit, CommitError, Mode};
use super::{Dropbox, HOME, paths, tags};
use crate::blob::{BlobId, BlobStore, lock};

/// Why seeding was refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The service itself would refuse this, with this error summary.
    #[error("the emulated Dropbox refuses {path:?}: {reason}")]
    Refused {
        /// The path in question.
        path: String,
        /// Tags joined by slashes, as in `error_summary`.
        reason: String,
    },
    /// The store failed.
    #[error("the sandbox store failed: {0}")]
    Io(#[from] io::Error),
}

/// A file or folder of the whole account, for comparison with what was intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// The namespace it is in.
    pub namespace: u64,
    /// Its path with the casing it was written with.
    pub path_display: String,
    /// `id:…`
    pub id: String,
    /// None for a folder.
    pub file: Option<FileEntry>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
}

/// What is known of a file's current content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Number of bytes.
    pub size: u64,
    /// Their block hash.
    pub content_hash: ContentHash,
    /// The revision.
    pub rev: String,
    /// What the uploader said, in whole seconds.
    pub client_modified: Timestamp,
    /// Where the bytes are in [`Dropbox::blobs`].
    pub blob: BlobId,
}

/// How often a route was called, including calls that faults or checks refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallCount {
    /// The route's name; `unknown` for everything that is no route.
    pub route: &'static str,
    /// How often.
    pub calls: u64,
}

impl Dropbox {
    /// The store that holds this account's content; seeders write large files into it directly.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Puts a file in place, replacing an older one; its revision. The same bytes again change nothing.
    pub fn put_file(
        &self,
        path: &str,
        bytes: Bytes,
        client_modified: Option<Timestamp>,
    ) -> Result<String, AdminError> {
        let blob = self.blobs.put(bytes)?;
        self.put_blob(path, blob, client_modified)
    }

    /// Puts a blob of [`Dropbox::blobs`] in place as a file, like [`Dropbox::put_file`].
    pub fn put_blob(
        &self,
        path: &str,
        blob: BlobId,
        client_modified: Option<Timestamp>,
    ) -> Result<String, AdminError> {
        let content = (self.blobs.content_hash(blob)?, self.blobs.len(blob)?);
        let commit = Commit {
            path: parse(path)?,
            mode: Mode::Overwrite,
            autorename: false,
            strict: false,
            client_modified: client_modified.map(whole_seconds),
            groups: Vec::new(),
        };
        let mut used = false;
        let bytes = || {
            used = true;
            Ok(blob)
        };
        let file = self.commit_file(HOME, &commit, content, bytes, Vec::new());
        if !used {
            self.blobs.remove(blob)?;
        }
        match file {
            Ok(file) => Ok(file["rev"].as_str().unwrap_or_default().to_owned()),
            Err(CommitError::Io(error)) => Err(error.into()),
            Err(CommitError::Write(error) | CommitError::Properties(error)) => {
                Err(refused(path, &summary(&error)))
            }
        }
    }

    /// Makes a folder with its parents; an existing one is fine.
    pub fn put_folder(&self, path: &str) -> Result<(), AdminError> {
        match self.make_folder(HOME, &parse(path)?, false) {
            Err(ItemError::Endpoint(error)) if summary(&error) == "path/conflict/folder/" => Ok(()),
            result => result.map(drop).map_err(|error| item(path, error)),
        }
    }

    /// Removes an item with everything below it.
    pub fn remove(&self, path: &str) -> Result<(), AdminError> {
        let result = self.delete_item(HOME, &parse(path)?, None);
        result.map(drop).map_err(|error| item(path, error))
    }

    /// Moves an item with everything below it.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), AdminError> {
        let result = self.relocate_item(HOME, (&parse(from)?, &parse(to)?), false, false);
        result.map(drop).map_err(|error| item(from, error))
    }

    /// Gives an item's name another casing, as people do on a computer: what API calls cannot do, and what no cursor
    /// tells of. What is below a folder goes on being shown with its old casing.
    pub fn recase(&self, path: &str, name: &str) -> Result<(), AdminError> {
        let arg = parse(path)?;
        let mut state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| refused(path, "not_found/"))?;
        let folder = node
            .display
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let shown = format!("{folder}/{name}");
        if paths::fold(&shown) != spot.key() {
            return Err(refused(path, "this is another name, not another casing"));
        }
        let event = Event::Recased {
            ns: spot.ns,
            path: shown,
        };
        Ok(self.commit(&mut state, vec![event])?)
    }

    /// The revisions that a path has had, the newest first, also where nothing is there any more.
    pub fn revisions(&self, path: &str) -> Result<Vec<String>, AdminError> {
        let arg = parse(path)?;
        let state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let known = state.histories.get(&(spot.ns, spot.key()));
        let known = known.into_iter().flatten().rev();
        Ok(known.map(|rev| state.ids.rev(*rev)).collect())
    }

    /// Makes an earlier revision of a path current again, also where nothing is there any more; its new revision.
    pub fn restore_file(&self, path: &str, rev: &str) -> Result<String, AdminError> {
        let mut state = lock(&self.state);
        let restored = self.restore_revision(&mut state, HOME, &parse(path)?, rev);
        match restored {
            Ok(file) => Ok(file["rev"].as_str().unwrap_or_default().to_owned()),
            Err(error) => Err(item(path, error)),
        }
    }

    /// Adds a tag of 1 to 32 word characters.
    pub fn add_tag(&self, path: &str, text: &str) -> Result<(), AdminError> {
        let text = tags::normal(text).ok_or_else(|| refused(path, "malformed tag"))?;
        self.annotate(path, |tags| {
            tags.insert(text);
        })
    }

    /// Removes a tag if it is there.
    pub fn remove_tag(&self, path: &str, text: &str) -> Result<(), AdminError> {
        self.annotate(path, |tags| {
            tags.remove(&text.to_lowercase());
        })
    }

    fn annotate(
        &self,
        path: &str,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) -> Result<(), AdminError> {
        let arg = parse(path)?;
        let mut state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| refused(path, "not_found/"))?;
        let mut tags = node.tags.clone();
        change(&mut tags);
        let event = Event::Tagged {
            ns: spot.ns,
            path: node.display.clone(),
            tags,
            listed: self.options.annotations_listed,
        };
        Ok(self.commit(&mut state, vec![event])?)
    }

    /// Makes a file's content unreadable (`restricted_content`), or readable again. It follows the file.
    pub fn set_restricted(&self, path: &str, restricted: bool) -> Result<(), AdminError> {
        let arg = parse(path)?;
        let mut state = lock(&self.state);
        let spot = self.locate(&state, HOME, &arg);
        let spot = spot.map_err(|error| refused(path, &summary(&error)))?;
        let node = state.node(spot.ns, &spot.key());
        let id = node.ok_or_else(|| refused(path, "not_found/"))?.body.id();
        Ok(self.commit(&mut state, vec![Event::Restricted { id, restricted }])?)
    }

    /// Makes a namespace such as a shared folder, reachable as `ns:<id>`; its id.
    pub fn add_namespace(&self, name: &str) -> Result<u64, AdminError> {
        let mut state = lock(&self.state);
        let ns = state
            .namespaces
            .keys()
            .next_back()
            .map_or(HOME, |ns| ns + 1);
        let name = name.to_owned();
        self.commit(&mut state, vec![Event::Namespace { ns, name }])?;
        Ok(ns)
    }

    /// Makes every cursor given out so far answer `reset`.
    pub fn reset_cursors(&self) -> Result<(), AdminError> {
        let mut state = lock(&self.state);
        Ok(self.commit(&mut state, vec![Event::CursorsReset])?)
    }

    /// Ends the authorisation, as when the user unlinks the app: every token is dead.
    pub fn unlink(&self) -> Result<(), AdminError> {
        let mut state = lock(&self.state);
        Ok(self.commit(&mut state, vec![Event::Revoked])?)
    }

    /// Every file and folder, by namespace and then by key.
    pub fn tree(&self) -> Vec<TreeEntry> {
        let state = lock(&self.state);
        let mut entries = Vec::new();
        for (namespace, space) in &state.namespaces {
            for (_, node) in space.subtree("") {
                let file = match node.body {
                    Body::Folder { .. } => None,
                    Body::File { rev, .. } => state.revisions.get(&rev).map(|revision| FileEntry {
                        size: revision.size,
                        content_hash: revision.hash,
                        rev: state.ids.rev(rev),
                        client_modified: revision.client_modified,
                        blob: revision.blob,
                    }),
                };
                entries.push(TreeEntry {
                    namespace: *namespace,
                    path_display: node.display.clone(),
                    id: format!("id:{}", state.ids.item(node.body.id())),
                    file,
                    tags: node.tags.iter().cloned().collect(),
                });
            }
        }
        entries
    }

    /// How often each route was called, by name.
    pub fn call_counts(&self) -> Vec<CallCount> {
        let routes = lock(&self.counters.routes);
        let sorted: BTreeMap<_, _> = routes.iter().collect();
        let counts = sorted.into_iter();
        counts
            .map(|(route, calls)| CallCount {
                route,
                calls: *calls,
            })
            .collect()
    }

    /// How often one route was called.
    pub fn calls(&self, route: &str) -> u64 {
        let routes = lock(&self.counters.routes);
        routes.get(route).copied().unwrap_or(0)
    }

    /// Content bytes sent so far.
    pub fn bytes_served(&self) -> u64 {
        self.counters.bytes_served.load(Ordering::Relaxed)
    }

    /// Content bytes received so far, whether or not they became a file.
    pub fn bytes_received(&self) -> u64 {
        self.counters.bytes_received.load(Ordering::Relaxed)
    }

    /// Content bytes that came for a place in an upload session which had them already.
    pub fn bytes_received_again(&self) -> u64 {
        self.counters.bytes_received_again.load(Ordering::Relaxed)
    }

    /// Upload sessions that are neither committed nor expired.
    pub fn upload_sessions_open(&self) -> usize {
        lock(&self.state).sessions.len()
    }

    /// How often each fault rule of the profile has happened.
    pub fn faults_fired(&self) -> Vec<u64> {
        self.faults.fired()
    }

    /// How often each fault has had an effect, by its name in a profile without its figures; `rate` are calls beyond the
    /// rate, `lock` writers that gave up waiting for each other.
    pub fn faults_acted(&self) -> BTreeMap<String, u64> {
        self.faults.acted()
    }

    /// The account's id, `dbid:…`.
    pub fn account_id(&self) -> String {
        lock(&self.state).ids.account()
    }
}

pub(super) fn parse(path: &str) -> Result<PathArg, AdminError> {
    PathArg::parse(path, Alias::WriteOrId).map_err(|detail| refused(path, &detail))
}

pub(super) fn item(path: &str, error: ItemError) -> AdminError {
    match error {
        ItemError::Io(error) => error.into(),
        error @ ItemError::Endpoint(_) => refused(path, &error.to_string()),
    }
}

pub(super) fn refused(path: &str, reason: &str) -> AdminError {
    AdminError::Refused {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
