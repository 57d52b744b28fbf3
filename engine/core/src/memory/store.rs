//! What a memory endpoint holds: files with their revisions, folders, and a log of every change.
//!
//! All paths are looked up by key: folded where the endpoint folds names, as shown where it does not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::endpoint::{Disturbance, Operation};
use crate::asset::{Asset, AssetId, AssetPath, Change, Folder, Readable, Revision};
use crate::clock::{Clock, SystemClock};
use crate::digest::ContentHash;
use crate::error::{Error, Kind, Result};
use crate::metadata::{Correlation, Draft};
use crate::outlet::{Member, SharedLink};
use crate::stamp::Stamp;

/// How many changes the log keeps; cursors that are older are reset. Far above any test's tree.
const LOG_MAX: usize = 100_000;

/// How many entries a page has unless a test says otherwise: small, so that paging happens.
const PAGE_ENTRIES: usize = 100;

/// One file.
#[derive(Clone)]
pub(super) struct File {
    pub(super) asset: Asset,
    pub(super) bytes: Bytes,
    pub(super) tags: Vec<String>,
    pub(super) draft: Option<Draft>,
    pub(super) correlation: Option<Correlation>,
    /// What it was made of.
    pub(super) stamp: Option<Stamp>,
    /// Further collections that it was linked to.
    pub(super) links: BTreeSet<AssetPath>,
    /// The link by which people get it.
    pub(super) shared: Option<SharedLink>,
    /// What the last new version replaced, with what that had replaced: to be restored when the version is taken back, and
    /// found by its bytes where versions are kept.
    pub(super) previous: Option<Box<File>>,
}

/// A field that the endpoint refuses, and whether it says so before bytes move.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) told_early: bool,
}

/// Everything behind the lock of a memory endpoint.
pub(super) struct Store {
    folds_names: bool,
    lists_content_hash: bool,
    /// Names tell nothing apart, as in a DAM: a second asset of a name is shown with a number.
    numbers_names: bool,
    pub(super) page_entries: usize,
    /// Raised to make every cursor invalid.
    pub(super) epoch: u64,
    counter: u64,
    files: BTreeMap<AssetId, File>,
    /// Files by the key of their path.
    by_key: BTreeMap<String, AssetId>,
    folders: BTreeMap<String, Folder>,
    log: VecDeque<Change>,
    log_start: u64,
    pub(super) disturbances: BTreeMap<AssetId, (u32, Disturbance)>,
    pub(super) injected: BTreeMap<Operation, VecDeque<Error>>,
    pub(super) refused: BTreeMap<String, Refusal>,
    pub(super) calls: BTreeMap<Operation, u64>,
    /// Open upload sessions: their chunks by offset, never overlapping.
    pub(super) sessions: BTreeMap<u64, BTreeMap<u64, Bytes>>,
    /// Members of shared folders, by the key of the folder.
    pub(super) members: BTreeMap<String, Vec<Member>>,
    /// Addresses that nobody can invite, and why.
    pub(super) uninvitable: BTreeMap<String, String>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Store {
    pub(super) fn new(folds_names: bool, lists_content_hash: bool, numbers_names: bool) -> Self {
        Store {
            folds_names,
            lists_content_hash,
            numbers_names,
            page_entries: PAGE_ENTRIES,
            epoch: 1,
            counter: 0,
            files: BTreeMap::new(),
            by_key: BTreeMap::new(),
            folders: BTreeMap::new(),
            log: VecDeque::new(),
            log_start: 0,
            disturbances: BTreeMap::new(),
            injected: BTreeMap::new(),
            refused: BTreeMap::new(),
            calls: BTreeMap::new(),
            sessions: BTreeMap::new(),
            members: BTreeMap::new(),
            uninvitable: BTreeMap::new(),
            clock: Arc::new(SystemClock),
        }
    }

    /// Opens an upload session and names it.
    pub(super) fn open_session(&mut self) -> u64 {
        let id = self.next();
        self.sessions.insert(id, BTreeMap::new());
        id
    }

    /// The chunks of a session; `NotFound` when it is over.
    pub(super) fn session(&mut self, id: u64) -> Result<&mut BTreeMap<u64, Bytes>> {
        let ended = || Error::new(Kind::NotFound, "the upload session is not there");
        self.sessions.get_mut(&id).ok_or_else(ended)
    }

    pub(super) fn key(&self, path: &AssetPath) -> String {
        if self.folds_names {
            path.key()
        } else {
            path.as_str().to_owned()
        }
    }

    pub(super) fn file(&self, id: &AssetId) -> Option<&File> {
        self.files.get(id)
    }

    pub(super) fn file_mut(&mut self, id: &AssetId) -> Option<&mut File> {
        self.files.get_mut(id)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.values()
    }

    pub(super) fn at(&self, path: &AssetPath) -> Option<&File> {
        self.files.get(self.by_key.get(&self.key(path))?)
    }

    pub(super) fn is_folder(&self, path: &AssetPath) -> bool {
        path.as_str().is_empty() || self.folders.contains_key(&self.key(path))
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.folders.values()
    }

    /// The position after the newest change.
    pub(super) fn log_end(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    /// The changes from a position on, or `None` when the log no longer reaches back that far.
    pub(super) fn log_from(&self, position: u64) -> Option<impl Iterator<Item = &Change>> {
        let skip = position.checked_sub(self.log_start)?;
        let skip = usize::try_from(skip).ok()?;
        (skip <= self.log.len()).then(|| self.log.iter().skip(skip))
    }

    /// Files and folders whose key is below `root` and after `after`, in the order of their keys.
    pub(super) fn listing(&self, root: &str, after: &str) -> Vec<(String, Change)> {
        let below = format!("{root}/");
        let wanted = |key: &&String| key.starts_with(&below) && key.as_str() > after;
        let folders = self.folders.iter().filter(|(key, _)| wanted(key));
        let folders = folders.map(|(key, folder)| (key.clone(), Change::Folder(folder.clone())));
        let files = self.by_key.iter().filter(|(key, _)| wanted(key));
        let files = files.filter_map(|(key, id)| {
            let file = self.files.get(id)?;
            Some((key.clone(), Change::Asset(file.asset.clone())))
        });
        let mut entries: Vec<_> = folders.chain(files).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    }

    /// Makes a folder and those above it; one that is there stays.
    pub(super) fn add_folder(&mut self, path: &AssetPath) -> Result<()> {
        if self.is_folder(path) {
            return Ok(());
        }
        if self.at(path).is_some() {
            return Err(
                Error::new(Kind::Conflict, "a file is where a folder must be")
                    .with_context("path", path),
            );
        }
        self.add_folder(&path.parent())?;
        let id = AssetId::new(format!("folder-{}", self.next()));
        let folder = Folder {
            id,
            path: path.clone(),
        };
        self.folders.insert(self.key(path), folder.clone());
        self.record(Change::Folder(folder));
        Ok(())
    }

    /// Adds a file where none is.
    pub(super) fn add_file(&mut self, path: &AssetPath, bytes: Bytes) -> Result<&mut File> {
        self.add_file_as(None, path, bytes)
    }

    /// Adds a file where none is, under this id if it has one.
    pub(super) fn add_file_as(
        &mut self,
        id: Option<&AssetId>,
        path: &AssetPath,
        bytes: Bytes,
    ) -> Result<&mut File> {
        let path = &match self.numbers_names && self.at(path).is_some() {
            true => path
                .parent()
                .join(&format!("{} ({})", path.name(), self.next())),
            false => path.clone(),
        };
        self.must_be_free(path)?;
        self.add_folder(&path.parent())?;
        let asset = Asset {
            id: match id {
                Some(id) => id.clone(),
                None => AssetId::new(format!("asset-{}", self.next())),
            },
            path: path.clone(),
            revision: self.revision(),
            size: bytes.len() as u64,
            modified: None,
            content_hash: self.stated_hash(&bytes),
            tags: Vec::new(),
            readable: Readable::Yes,
        };
        self.record(Change::Asset(asset.clone()));
        self.by_key.insert(self.key(path), asset.id.clone());
        let file = File {
            asset: asset.clone(),
            bytes,
            tags: Vec::new(),
            draft: None,
            correlation: None,
            stamp: None,
            links: BTreeSet::new(),
            shared: None,
            previous: None,
        };
        Ok(self.files.entry(asset.id).or_insert(file))
    }

    /// Gives a file new bytes under a new revision; what it was before is kept with it.
    pub(super) fn new_version(&mut self, id: &AssetId, bytes: Bytes) -> Result<&mut File> {
        let revision = self.revision();
        let content_hash = self.stated_hash(&bytes);
        let file = self.files.get_mut(id).ok_or_else(|| gone(id))?;
        let before = file.clone();
        file.previous = Some(Box::new(before));
        file.asset.revision = revision;
        file.asset.size = bytes.len() as u64;
        file.asset.content_hash = content_hash;
        file.bytes = bytes;
        let change = Change::Asset(file.asset.clone());
        self.record(change);
        self.files.get_mut(id).ok_or_else(|| gone(id))
    }

    /// Puts back what a file was before its last new version. False when there was nothing.
    pub(super) fn restore_previous(&mut self, id: &AssetId) -> bool {
        let Some(previous) = self.files.get_mut(id).and_then(|file| file.previous.take()) else {
            return false;
        };
        // Only bytes and metadata go back; a move or a link in between stays.
        let mut restored = *previous;
        if let Some(file) = self.files.get(id) {
            restored.asset.path = file.asset.path.clone();
            restored.shared = file.shared.clone();
        }
        self.record(Change::Asset(restored.asset.clone()));
        self.files.insert(id.clone(), restored);
        true
    }

    /// Moves a file to where a draft wants it; one that is there under a number stays.
    pub(super) fn place_file(&mut self, id: &AssetId, to: &AssetPath) -> Result<()> {
        let file = self.files.get(id).ok_or_else(|| gone(id))?;
        let is_taken = self.at(to).is_some_and(|other| other.asset.id != *id);
        let from = file.asset.path.parent();
        if self.numbers_names && is_taken && from == to.parent() {
            return Ok(());
        }
        if self.numbers_names && from != to.parent() {
            // As in a DAM: it is added to a collection, and stays where it was.
            let number = self.next();
            let to = match is_taken {
                true => to.parent().join(&format!("{} ({number})", to.name())),
                false => to.clone(),
            };
            self.move_file(id, &to)?;
            let file = self.files.get_mut(id).ok_or_else(|| gone(id))?;
            file.links.remove(&to.parent());
            file.links.insert(from);
            return Ok(());
        }
        self.move_file(id, to)
    }

    /// Moves a file to a path where nothing else is.
    pub(super) fn move_file(&mut self, id: &AssetId, to: &AssetPath) -> Result<()> {
        let from = self
            .files
            .get(id)
            .ok_or_else(|| gone(id))?
            .asset
            .path
            .clone();
        if from == *to {
            return Ok(());
        }
        let (old_key, new_key) = (self.key(&from), self.key(to));
        if old_key != new_key {
            self.must_be_free(to)?;
            self.add_folder(&to.parent())?;
            self.by_key.remove(&old_key);
            self.by_key.insert(new_key, id.clone());
            self.record(Change::Removed(from));
        }
        if let Some(file) = self.files.get_mut(id) {
            file.asset.path = to.clone();
            let change = Change::Asset(file.asset.clone());
            self.record(change);
        }
        Ok(())
    }

    /// Tells cursors about an asset whose description changed without a new revision.
    pub(super) fn touch(&mut self, id: &AssetId) {
        if let Some(file) = self.files.get(id) {
            self.record(Change::Asset(file.asset.clone()));
        }
    }

    /// Removes a file.
    pub(super) fn remove_file(&mut self, id: &AssetId) -> bool {
        let Some(file) = self.files.remove(id) else {
            return false;
        };
        self.by_key.remove(&self.key(&file.asset.path));
        self.record(Change::Removed(file.asset.path));
        true
    }

    /// Removes whatever is at a path, a folder with everything below. False when nothing was there.
    pub(super) fn remove_path(&mut self, path: &AssetPath) -> bool {
        if let Some(id) = self.by_key.get(&self.key(path)).cloned() {
            return self.remove_file(&id);
        }
        let key = self.key(path);
        if self.folders.remove(&key).is_none() {
            return false;
        }
        let below = format!("{key}/");
        self.folders.retain(|key, _| !key.starts_with(&below));
        let gone: Vec<String> = self
            .by_key
            .range(below.clone()..)
            .take_while(|(key, _)| key.starts_with(&below))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(id) = self.by_key.remove(&key) {
                self.files.remove(&id);
            }
        }
        // One entry for the whole folder, as services do.
        self.record(Change::Removed(path.clone()));
        true
    }

    fn must_be_free(&self, path: &AssetPath) -> Result<()> {
        if path.as_str().is_empty() || self.is_folder(path) || self.at(path).is_some() {
            return Err(
                Error::new(Kind::Conflict, "something else is already there")
                    .with_context("path", path),
            );
        }
        Ok(())
    }

    fn stated_hash(&self, bytes: &[u8]) -> Option<ContentHash> {
        self.lists_content_hash.then(|| ContentHash::of(bytes))
    }

    fn revision(&mut self) -> Revision {
        Revision::new(format!("rev-{}", self.next()))
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn record(&mut self, change: Change) {
        self.log.push_back(change);
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
            self.log_start += 1;
        }
    }
}

/// The error for an id that nothing has.
pub(super) fn gone(id: &AssetId) -> Error {
    Error::new(Kind::NotFound, "the asset is not there").with_context("asset", id)
}
