//! A place that holds assets in memory, and the handles by which a test arranges and disturbs it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::store::{Refusal, Store, gone};
use crate::asset::{Asset, AssetId, AssetPath, Readable};
use crate::error::{Error, Kind, Result};
use crate::metadata::Draft;
use crate::ports::{Capabilities, CheckItem, Endpoint, HeldBack, Reuse, UploadOrder};

/// What a memory endpoint can be told to get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Source::changes`](crate::Source::changes).
    Changes,
    /// [`Source::stat`](crate::Source::stat).
    Stat,
    /// [`Source::tags`](crate::Source::tags).
    Tags,
    /// [`Source::read`](crate::Source::read).
    Read,
    /// [`Sink::check_drafts`](crate::Sink::check_drafts).
    CheckDrafts,
    /// [`Sink::begin`](crate::Sink::begin).
    Begin,
    /// [`Source::open`](crate::Source::open), and each read of its stream.
    Open,
    /// [`Sink::resume`](crate::Sink::resume).
    Resume,
    /// [`UploadSession::append`](crate::UploadSession::append), before the chunk is kept.
    Append,
    /// The answer of an append: the chunk is kept, the caller is not told.
    AppendAnswer,
    /// [`UploadSession::commit`](crate::UploadSession::commit), before anything is placed.
    Commit,
    /// The answer of a commit: the asset is placed, the caller is not told.
    CommitAnswer,
    /// [`Sink::find`](crate::Sink::find).
    Find,
    /// [`Sink::set_metadata`](crate::Sink::set_metadata).
    SetMetadata,
    /// [`Sink::remove`](crate::Sink::remove).
    Remove,
    /// [`Source::digests`](crate::Source::digests).
    Digests,
    /// [`Source::fingerprints`](crate::Source::fingerprints).
    Fingerprints,
    /// [`Sink::reuse`](crate::Sink::reuse), before anything is placed.
    Reuse,
    /// The answer of a reuse: the asset is placed, the caller is not told.
    ReuseAnswer,
    /// [`Sink::unlink`](crate::Sink::unlink).
    Unlink,
    /// [`Outlet::take_back`](crate::Outlet::take_back), before anything is taken.
    TakeBack,
    /// [`Outlet::move_to`](crate::Outlet::move_to), before anything moves.
    MoveTo,
    /// [`Outlet::link`](crate::Outlet::link).
    Link,
    /// [`Outlet::share`](crate::Outlet::share).
    Share,
    /// [`Library::retire`](crate::Library::retire), before anything ends.
    Retire,
    /// The answer of a retirement: it is done, the caller is not told.
    RetireAnswer,
}

/// What happens to an asset behind its reader's back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Other bytes of the same length.
    Change,
    /// Half of its bytes.
    Shrink,
    /// One byte more.
    Grow,
    /// It is removed.
    Vanish,
}

/// A [`Source`](crate::Source) and [`Sink`](crate::Sink) in memory. Clones share the content.
///
/// Ids survive renames, revisions are immutable, cursors track every change, collections are folders.
/// It obeys its own capability sheet strictly: chunks in the wrong order or of a wrong length are
/// refused. Ids and revisions are counted, so that equal histories give equal names.
#[derive(Clone)]
pub struct MemoryEndpoint {
    name: Arc<str>,
    capabilities: Arc<Capabilities>,
    store: Arc<Mutex<Store>>,
}

impl fmt::Debug for MemoryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEndpoint")
            .field("name", &self.name)
            .field("assets", &self.lock().files().count())
            .finish()
    }
}

impl MemoryEndpoint {
    /// An empty endpoint that can do everything and takes chunks of any length up to 64 MiB.
    pub fn new(name: &str) -> Self {
        MemoryEndpoint::with_capabilities(
            name,
            Capabilities {
                range_reads: true,
                lists_content_hash: true,
                tags: true,
                metadata: true,
                upload_order: UploadOrder::Any,
                chunk_multiple: 1,
                chunk_bytes_max: 64 << 20,
                asset_bytes_max: None,
                name_units_max: 255,
                folds_names: true,
                states_content_hash: true,
                wants_chunk_hash: false,
                resumes: true,
                together: None,
                digests_in_place: false,
                reuse: None,
                rings: false,
            },
        )
    }

    /// An empty endpoint that can do exactly what the sheet says. One that links keeps names as a DAM does: a second asset
    /// of a name is shown with a number.
    pub fn with_capabilities(name: &str, capabilities: Capabilities) -> Self {
        let store = Store::new(
            capabilities.folds_names,
            capabilities.lists_content_hash,
            capabilities.reuse == Some(Reuse::Link),
        );
        MemoryEndpoint {
            name: name.into(),
            capabilities: Arc::new(capabilities),
            store: Arc::new(Mutex::new(store)),
        }
    }

    /// Puts bytes at a path: a new asset, or a new revision of the one that is there.
    ///
    /// Errors: `Conflict` when a folder is there, or a file where a folder must be.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<Asset> {
        let path = AssetPath::new(path);
        let mut store = self.lock();
        let there = store.at(&path).map(|file| file.asset.id.clone());
        let file = match there {
            Some(id) => store.new_version(&id, bytes.into())?,
            None => store.add_file(&path, bytes.into())?,
        };
        Ok(file.asset.clone())
    }

    /// Makes a folder and those above it.
    pub fn create_folder(&self, path: &str) -> Result<()> {
        self.lock().add_folder(&AssetPath::new(path))
    }

    /// Moves an asset; its id and revision stay. `NotFound` and `Conflict` as one expects.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut store = self.lock();
        let from = AssetPath::new(from);
        let id = match store.at(&from) {
            Some(file) => file.asset.id.clone(),
            None => return Err(nothing_at(&from)),
        };
        store.move_file(&id, &AssetPath::new(to))
    }

    /// Removes whatever is at a path, a folder with everything below. True when something was.
    pub fn delete(&self, path: &str) -> bool {
        self.lock().remove_path(&AssetPath::new(path))
    }

    /// Brings back something that was removed: under its id, as another revision.
    ///
    /// Errors: `Conflict` when it is there, or something else at the path.
    pub fn restore(&self, asset: &AssetId, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let mut store = self.lock();
        if store.file(asset).is_some() {
            return Err(Error::new(Kind::Conflict, "it is there").with_context("asset", asset));
        }
        let path = AssetPath::new(path);
        store
            .add_file_as(Some(asset), &path, bytes.into())
            .map(|_| ())
    }

    /// Sets an asset's tags; they are kept lower-cased.
    pub fn set_tags(&self, path: &str, tags: &[&str]) -> Result<()> {
        let tags = tags.iter().map(|tag| tag.to_lowercase()).collect();
        self.with_file(path, |file| file.tags = tags)
    }

    /// Says whether an asset's bytes may be read. The listing shows it.
    pub fn set_readable(&self, path: &str, readable: Readable) -> Result<()> {
        self.with_file(path, |file| file.asset.readable = readable)
    }

    /// The asset at a path.
    pub fn asset_at(&self, path: &str) -> Option<Asset> {
        let store = self.lock();
        store
            .at(&AssetPath::new(path))
            .map(|file| file.asset.clone())
    }

    /// All assets, sorted by path.
    pub fn assets(&self) -> Vec<Asset> {
        let store = self.lock();
        let mut assets: Vec<Asset> = store.files().map(|file| file.asset.clone()).collect();
        assets.sort_by(|a, b| a.path.cmp(&b.path));
        assets
    }

    /// All folders, sorted by path, without the root.
    pub fn folders(&self) -> Vec<AssetPath> {
        let store = self.lock();
        let mut folders: Vec<AssetPath> =
            store.folders().map(|folder| folder.path.clone()).collect();
        folders.sort();
        folders
    }

    /// The bytes of an asset as it is now.
    pub fn bytes(&self, asset: &AssetId) -> Option<Bytes> {
        self.lock().file(asset).map(|file| file.bytes.clone())
    }

    /// Flips a bit of every byte of an asset and says so nowhere, as a disk that rots. False when it is not there.
    pub fn rot(&self, path: &str) -> bool {
        let Some(asset) = self.asset_at(path) else {
            return false;
        };
        let mut store = self.lock();
        let Some(file) = store.file_mut(&asset.id) else {
            return false;
        };
        file.bytes = file.bytes.iter().map(|byte| byte ^ 1).collect();
        true
    }

    /// What an asset was made by the drafts that were applied to it.
    pub fn draft(&self, asset: &AssetId) -> Option<Draft> {
        self.lock().file(asset)?.draft.clone()
    }

    /// The further collections that an asset was linked to, sorted.
    pub fn links(&self, asset: &AssetId) -> Vec<AssetPath> {
        let store = self.lock();
        let file = store.file(asset);
        file.map_or_else(Vec::new, |file| file.links.iter().cloned().collect())
    }

    /// Sets how many entries a page of a listing holds at most; at least 1.
    pub fn set_page_entries(&self, entries: usize) {
        self.lock().page_entries = entries.max(1);
    }

    /// How many upload sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.lock().sessions.len()
    }

    /// Forgets every upload session, as a service does after some days.
    pub fn expire_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// Makes every cursor that was given out so far invalid.
    pub fn reset_cursors(&self) {
        self.lock().epoch += 1;
    }

    /// Lets something happen to an asset after `reads` more reads of it were served.
    pub fn disturb(&self, asset: &AssetId, reads: u32, what: Disturbance) {
        self.lock()
            .disturbances
            .insert(asset.clone(), (reads, what));
    }

    /// Lets the next call of an operation fail; several pile up and are used one by one.
    pub fn inject(&self, operation: Operation, kind: Kind) {
        let message = format!("{operation:?} failed on request");
        self.inject_error(operation, Error::new(kind, message));
    }

    /// The same with an error of one's own.
    pub fn inject_error(&self, operation: Operation, error: Error) {
        let mut store = self.lock();
        store
            .injected
            .entry(operation)
            .or_default()
            .push_back(error);
    }

    /// Refuses every draft that assigns a field, and says so before bytes move.
    pub fn refuse_field(&self, field: &str, message: &str) {
        self.refuse(field, message, true);
    }

    /// Refuses every draft that assigns a field, but only when it is committed.
    pub fn refuse_field_late(&self, field: &str, message: &str) {
        self.refuse(field, message, false);
    }

    /// How often an operation was called, failures included.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.lock().calls.get(&operation).copied().unwrap_or(0)
    }

    fn refuse(&self, field: &str, message: &str, told_early: bool) {
        let refusal = Refusal {
            message: message.to_owned(),
            told_early,
        };
        self.lock().refused.insert(field.to_owned(), refusal);
    }

    fn with_file(&self, path: &str, change: impl FnOnce(&mut super::store::File)) -> Result<()> {
        let path = AssetPath::new(path);
        let mut store = self.lock();
        let id = store.at(&path).map(|file| file.asset.id.clone());
        let id = id.ok_or_else(|| nothing_at(&path))?;
        change(store.file_mut(&id).ok_or_else(|| gone(&id))?);
        store.touch(&id);
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and fails it if a test asked for that.
    pub(super) fn enter(&self, operation: Operation) -> Result<MutexGuard<'_, Store>> {
        let mut store = self.lock();
        *store.calls.entry(operation).or_default() += 1;
        let error = store
            .injected
            .get_mut(&operation)
            .and_then(std::collections::VecDeque::pop_front);
        match error {
            None => Ok(store),
            Some(error) => Err(error.with_context("endpoint", &self.name)),
        }
    }
}

#[async_trait]
impl Endpoint for MemoryEndpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        Ok(vec![CheckItem {
            subject: "memory".to_owned(),
            finding: format!("{} assets are held in memory", self.lock().files().count()),
            ok: true,
            hint: None,
        }])
    }

    fn held_back(&self) -> Option<HeldBack> {
        None
    }
}

fn nothing_at(path: &AssetPath) -> Error {
    Error::new(Kind::NotFound, "nothing is there").with_context("path", path)
}
