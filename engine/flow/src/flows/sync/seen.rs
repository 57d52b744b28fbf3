//! What was seen of both sides, and how little has to be asked to see them again.
//!
//! A first look lists all of both sides. Later ones by the same value ask the folder for what changed since its cursor, and
//! the library for what has changed by its own clock, some minutes further back than the newest that was seen. Neither finds
//! everything: a list of changes does not tell renames that only change case, and times do not tell what was deleted or
//! went elsewhere. So everything is listed anew after a while, beside the looks (see [`super::list`]), and when a cursor is not
//! valid any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use windlass_core::{Asset, AssetId, AssetPath, Change, Cursor, Holding, Kind, Result};

use super::list::Listing;
use super::{Sync, Way};
use crate::flows::release::standing::{Standing, take_folders};
use crate::since::Since;

/// How long a look at everything counts. Less than the quarter of an hour after which a daemon looks by itself.
const WHOLE: SignedDuration = SignedDuration::from_mins(12);

/// What a flow remembers between two looks. Nothing is lost with it but time.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    seen: Option<Seen>,
    /// Everything, which is being listed anew.
    listing: Option<Listing>,
    /// How often somebody looked.
    looks: u64,
}

impl Remembered {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes it: whoever is interrupted leaves nothing behind, and the next look is a whole one.
    fn take(&self) -> (Option<Seen>, Option<Listing>) {
        let mut memory = self.memory();
        (memory.seen.take(), memory.listing.take())
    }

    /// Remembers a list that is under way, of which nothing is there yet.
    fn lists(&self, listing: Listing) -> Option<Result<Seen>> {
        self.memory().listing = Some(listing);
        None
    }

    /// Whether everything is being listed anew.
    pub(super) fn is_listing(&self) -> bool {
        self.memory().listing.is_some()
    }

    /// Remembers what another value of the same flow did, which is not used any more.
    pub fn take_over(&self, other: &Remembered) {
        let (seen, listing) = other.take();
        if let Some(seen) = seen {
            self.keep(seen);
        }
        self.memory().listing = listing;
    }

    /// Nothing is new any more: what the way out had seen by this look came to its end. Whoever fails before still knows what
    /// was new, so that the next pass finds it, and not only the next look at everything. So does whoever looked once more
    /// meanwhile: what was new then may not be done.
    pub(super) fn settle(&self, look: u64) {
        let mut memory = self.memory();
        let is_last = memory.looks == look;
        if let Some(seen) = memory.seen.as_mut().filter(|_| is_last) {
            seen.touched = Some(BTreeSet::new());
        }
    }

    /// Remembers it for the next look; which look it was.
    pub(super) fn keep(&self, seen: Seen) -> u64 {
        let mut memory = self.memory();
        memory.seen = Some(seen);
        memory.looks += 1;
        memory.looks
    }
}

/// Both sides as lists have them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) files: Files,
    /// Where the folder's list of changes stands.
    pub(super) cursor: Cursor,
    /// What is asked for.
    pub(super) held: BTreeMap<AssetId, Arc<Holding>>,
    /// From when on changes of the library are asked for.
    pub(super) since: Since,
    /// When it was begun to list all of it.
    pub(super) whole_at: Timestamp,
    /// Assets that are new or another since the way out was done with what it had seen; `None` where that was not all.
    pub(super) touched: Option<BTreeSet<AssetId>>,
    /// What was asked about files and assets that lists do not have.
    pub(super) asked: Asked,
}

/// What was asked by id, because no list had it.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) files: BTreeMap<AssetId, Option<Asset>>,
    pub(super) assets: BTreeMap<AssetId, Option<Arc<Holding>>>,
}

/// The files of a folder, by id and by place. Scenes share them: they are changed once nobody looks at the last one any
/// more.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) by_id: Arc<BTreeMap<AssetId, Asset>>,
    by_path: Arc<BTreeMap<String, AssetId>>,
    /// Folders that are there, folded.
    folders: Arc<BTreeSet<String>>,
    /// Whether spellings that differ in case or normal form are one name there: else they are two files, and both are seen.
    folds: bool,
}

impl Files {
    pub(super) fn new(folds: bool) -> Self {
        Files {
            by_id: Arc::default(),
            by_path: Arc::default(),
            folders: Arc::default(),
            folds,
        }
    }

    fn key(&self, path: &AssetPath) -> String {
        match self.folds {
            true => path.key(),
            false => path.as_str().to_owned(),
        }
    }

    /// The same as a release sees it, for which spellings that differ in case or normal form are one place anywhere.
    pub(super) fn standing(&self) -> Standing {
        let by_path = match self.folds {
            true => Arc::clone(&self.by_path),
            false => {
                let files = self.by_id.values();
                Arc::new(files.map(|one| (one.path.key(), one.id.clone())).collect())
            }
        };
        let (by_id, folders) = (Arc::clone(&self.by_id), Arc::clone(&self.folders));
        Standing::listed_by(by_id, by_path, folders)
    }

    /// Takes a page of a folder's list.
    pub(super) fn take(&mut self, root: &AssetPath, changes: Vec<Change>) {
        // What can be listed is there, though it may be empty.
        Arc::make_mut(&mut self.folders).insert(root.key());
        changes.into_iter().for_each(|one| self.apply(one));
    }

    /// Applies one entry of a list: the next one may say otherwise.
    fn apply(&mut self, change: Change) {
        match change {
            Change::Asset(asset) => self.put(asset),
            Change::Folder(folder) => {
                Arc::make_mut(&mut self.folders).insert(folder.path.key());
            }
            Change::Removed(path) => self.remove(&path),
        }
    }

    fn put(&mut self, asset: Asset) {
        let key = self.key(&asset.path);
        let before = self.by_id.get(&asset.id);
        let moved = before.map(|before| self.key(&before.path));
        let by_path = Arc::make_mut(&mut self.by_path);
        let by_id = Arc::make_mut(&mut self.by_id);
        if let Some(from) = moved.filter(|from| *from != key) {
            by_path.remove(&from);
        }
        let there = by_path.insert(key, asset.id.clone());
        if let Some(other) = there.filter(|other| *other != asset.id) {
            by_id.remove(&other);
        }
        take_folders(Arc::make_mut(&mut self.folders), &asset.path);
        by_id.insert(asset.id.clone(), asset);
    }

    fn remove(&mut self, path: &AssetPath) {
        let key = self.key(path);
        let below = format!("{key}/");
        let is_below = |key: &&String| key.starts_with(&below);
        let keys = self.by_path.range(below.clone()..).map(|(key, _)| key);
        let mut gone: Vec<String> = keys.take_while(is_below).cloned().collect();
        gone.push(key);
        let folder = path.key();
        let folders = Arc::make_mut(&mut self.folders);
        folders.remove(&folder);
        let below = format!("{folder}/");
        folders.retain(|key| !key.starts_with(&below));
        let by_path = Arc::make_mut(&mut self.by_path);
        let by_id = Arc::make_mut(&mut self.by_id);
        for key in gone {
            if let Some(id) = by_path.remove(&key) {
                by_id.remove(&id);
            }
        }
    }
}

impl Sync {
    /// Both sides: what changed since the last look, or all of it. The way in may see what shows late in the library two
    /// minutes later: it asks anew about whatever it acts on.
    pub(super) async fn see(&self, way: Way) -> Result<Seen> {
        let (now, lister) = (self.clock.now(), self.lister());
        let (before, listing) = self.remembered.take();
        let Some(before) = before else {
            return match listing {
                Some(listing) => listing.wait().await,
                None => lister.all(now, Since::new(now)).await,
            };
        };
        // Up to which time the library is known is not forgotten with the rest.
        let since = before.since.clone();
        let listed = match listing {
            Some(mut listing) => match listing.ended().await {
                None => self.remembered.lists(listing),
                ended => ended,
            },
            None if now.duration_since(before.whole_at) < WHOLE => None,
            None => {
                let mut listing = Listing::begin(lister.clone(), now, since.clone());
                match listing.at_once().await {
                    None => self.remembered.lists(listing),
                    ended => ended,
                }
            }
        };
        let before = listed.unwrap_or(Ok(before))?;
        match self.see_again(before, way).await {
            Err(error) if error.kind() == Kind::CursorReset => lister.all(now, since).await,
            seen => seen,
        }
    }

    async fn see_again(&self, before: Seen, way: Way) -> Result<Seen> {
        let mut seen = before;
        let cursor = Some(seen.cursor);
        seen.cursor = self
            .lister()
            .changes(&self.options.root, &mut seen.files, cursor)
            .await?;
        let since = match way {
            Way::In => seen.since.glance(),
            Way::Out => seen.since.look(),
        };
        let (query, mut after) = (&self.options.query, None);
        let mut touched = BTreeSet::new();
        loop {
            let page = self.library.changed(query, since, after.as_ref()).await?;
            seen.since.saw(newest(&page.holdings));
            for one in page.holdings {
                let id = one.asset.id.clone();
                if seen.held.get(&id).is_some_and(|known| **known == one) {
                    continue;
                }
                touched.insert(id.clone());
                seen.asked.assets.remove(&id);
                match query.objection(&one) {
                    None => drop(seen.held.insert(id, Arc::new(one))),
                    Some(_) => drop(seen.held.remove(&id)),
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if let Some(known) = &mut seen.touched {
            known.extend(touched);
        }
        Ok(seen)
    }

    /// Everything in a folder.
    pub(super) async fn list_files(&self, root: &AssetPath) -> Result<BTreeMap<AssetId, Asset>> {
        let mut files = Files::new(self.files().capabilities().folds_names);
        self.lister().changes(root, &mut files, None).await?;
        Ok(Arc::unwrap_or_clone(files.by_id))
    }
}

pub(super) fn newest<'a>(held: impl IntoIterator<Item = &'a Holding>) -> Option<Timestamp> {
    held.into_iter().filter_map(|one| one.changed).max()
}

#[cfg(test)]
mod tests {
    use windlass_core::{Readable, Revision};

    use super::*;

    fn file(id: &str, path: &str) -> Change {
        Change::Asset(Asset {
            id: AssetId::new(id),
            path: AssetPath::new(path),
            revision: Revision::new("1"),
            size: 1,
            modified: None,
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
        })
    }

    fn seen(folds: bool, changes: Vec<Change>) -> Vec<String> {
        let mut files = Files::new(folds);
        changes.into_iter().for_each(|change| files.apply(change));
        files.by_id.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_differ_only_in_case_are_two_files_where_the_folder_keeps_them_apart() {
        let both = || vec![file("1", "/A.jpg"), file("2", "/a.jpg")];
        assert_eq!(seen(false, both()), ["1", "2"]);
        assert_eq!(seen(true, both()), ["2"]);
    }

    #[test]
    fn a_removal_takes_what_is_below_and_not_what_was_moved_away_before() {
        let changes = vec![
            file("1", "/x/a.jpg"),
            file("2", "/x/b.jpg"),
            file("3", "/xy.jpg"),
            file("1", "/y/a.jpg"),
            Change::Removed(AssetPath::new("/x")),
        ];
        assert_eq!(seen(true, changes), ["1", "3"]);
    }
}
