//! What was seen of both sides, and how little has to be asked to see them again.
//!
//! A first look lists all of both sides. Later ones by the same value ask the folder for what changed since its cursor, and
//! the library for what has changed by its own clock, some minutes further back than the newest that was seen. Neither finds
//! everything: a list of changes does not tell renames that only change case, and times do not tell what was deleted or
//! went elsewhere. So everything is listed anew after a while, and when a cursor is not valid any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use windlass_core::{Asset, AssetId, AssetPath, Change, Cursor, Holding, Kind, Result, Scope};

use super::Sync;
use crate::observe::Event;

/// How far back changes of a library are asked for: its lists may lag, and its times are not ours.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// How long a look at everything counts. Less than the quarter of an hour after which a daemon looks by itself.
const WHOLE: SignedDuration = SignedDuration::from_mins(12);

/// What a flow remembers between two passes. Nothing is lost with it but time.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<Option<Seen>>);

impl Remembered {
    /// Takes it: whoever is interrupted leaves nothing behind, and the next look is a whole one.
    fn take(&self) -> Option<Seen> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.take()
    }

    /// Nothing is new any more: what the way out had seen came to its end. Whoever fails before still knows what was new, so
    /// that the next pass finds it, and not only the next look at everything.
    pub(super) fn settle(&self) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = place.as_mut() {
            seen.touched = Some(BTreeSet::new());
        }
    }

    /// Remembers it for the next pass.
    pub(super) fn keep(&self, seen: Seen) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(seen);
    }
}

/// Both sides as lists have them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) files: Files,
    /// Where the folder's list of changes stands.
    cursor: Cursor,
    /// What is asked for.
    pub(super) held: BTreeMap<AssetId, Holding>,
    /// The newest time that the library has said of anything.
    newest: Option<Timestamp>,
    /// When all of it was listed.
    whole_at: Timestamp,
    /// Assets that are new or another since the way out was done with what it had seen; `None` where that was not all.
    pub(super) touched: Option<BTreeSet<AssetId>>,
    /// What was asked about files and assets that lists do not have.
    pub(super) asked: Asked,
}

/// What was asked by id, because no list had it.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) files: BTreeMap<AssetId, Option<Asset>>,
    pub(super) assets: BTreeMap<AssetId, Option<Holding>>,
}

/// The files of a folder, by id and by place.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) by_id: BTreeMap<AssetId, Asset>,
    by_path: BTreeMap<String, AssetId>,
    /// Whether spellings that differ in case or normal form are one name there: else they are two files, and both are seen.
    folds: bool,
}

impl Files {
    fn new(folds: bool) -> Self {
        Files {
            by_id: BTreeMap::new(),
            by_path: BTreeMap::new(),
            folds,
        }
    }

    fn key(&self, path: &AssetPath) -> String {
        match self.folds {
            true => path.key(),
            false => path.as_str().to_owned(),
        }
    }

    /// Applies one entry of a list: the next one may say otherwise.
    fn apply(&mut self, change: Change) {
        match change {
            Change::Asset(asset) => {
                let key = self.key(&asset.path);
                let before = self.by_id.get(&asset.id);
                let moved = before.map(|before| self.key(&before.path));
                if let Some(from) = moved.filter(|from| *from != key) {
                    self.by_path.remove(&from);
                }
                let there = self.by_path.insert(key, asset.id.clone());
                if let Some(other) = there.filter(|other| *other != asset.id) {
                    self.by_id.remove(&other);
                }
                self.by_id.insert(asset.id.clone(), asset);
            }
            Change::Folder(_) => {}
            Change::Removed(path) => self.remove(&path),
        }
    }

    fn remove(&mut self, path: &AssetPath) {
        let key = self.key(path);
        let below = format!("{key}/");
        let mut gone: Vec<String> = self
            .by_path
            .range(below.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&below))
            .cloned()
            .collect();
        gone.push(key);
        for key in gone {
            if let Some(id) = self.by_path.remove(&key) {
                self.by_id.remove(&id);
            }
        }
    }
}

impl Sync {
    /// Both sides: what changed since the last look, or all of it.
    pub(super) async fn see(&self) -> Result<Seen> {
        let now = self.clock.now();
        let before = self.remembered.take();
        let before = before.filter(|seen| now.duration_since(seen.whole_at) < WHOLE);
        let Some(before) = before else {
            return self.see_all(now).await;
        };
        match self.see_again(before).await {
            Err(error) if error.kind() == Kind::CursorReset => self.see_all(now).await,
            seen => seen,
        }
    }

    async fn see_all(&self, now: Timestamp) -> Result<Seen> {
        let mut files = Files::new(self.files().capabilities().folds_names);
        let cursor = self
            .read_changes(&self.options.root, &mut files, None)
            .await?;
        let mut held = BTreeMap::new();
        let (query, mut after) = (&self.options.query, None);
        loop {
            let page = self.library.holdings(query, after.as_ref()).await?;
            for one in page.holdings {
                if query.objection(&one).is_none() {
                    held.insert(one.asset.id.clone(), one);
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(Seen {
            files,
            cursor,
            newest: newest(held.values()),
            held,
            whole_at: now,
            touched: None,
            asked: Asked::default(),
        })
    }

    async fn see_again(&self, before: Seen) -> Result<Seen> {
        let mut seen = before;
        seen.cursor = self
            .read_changes(&self.options.root, &mut seen.files, Some(seen.cursor))
            .await?;
        let newest_seen = seen.newest.unwrap_or(seen.whole_at);
        let since = newest_seen.checked_sub(OVERLAP).unwrap_or(Timestamp::MIN);
        let (query, mut after) = (&self.options.query, None);
        let mut touched = BTreeSet::new();
        loop {
            let page = self.library.changed(query, since, after.as_ref()).await?;
            seen.newest = seen.newest.max(newest(&page.holdings));
            for one in page.holdings {
                let id = one.asset.id.clone();
                if seen.held.get(&id) == Some(&one) {
                    continue;
                }
                touched.insert(id.clone());
                seen.asked.assets.remove(&id);
                match query.objection(&one) {
                    None => drop(seen.held.insert(id, one)),
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
        self.read_changes(root, &mut files, None).await?;
        Ok(files.by_id)
    }

    /// Reads what a folder's list says, and answers where it stands then. A folder that is not there is no empty one: all
    /// its files would look removed.
    async fn read_changes(
        &self,
        root: &AssetPath,
        files: &mut Files,
        from: Option<Cursor>,
    ) -> Result<Cursor> {
        let scope = Scope { root: root.clone() };
        let mut cursor = from;
        loop {
            let page = self.files().changes(&scope, cursor.as_ref()).await?;
            page.changes.into_iter().for_each(|one| files.apply(one));
            self.ingest.observer.observe(Event::Listed {
                assets: files.by_id.len() as u64,
            });
            match page.more {
                true => cursor = Some(page.cursor),
                false => return Ok(page.cursor),
            }
        }
    }
}

fn newest<'a>(held: impl IntoIterator<Item = &'a Holding>) -> Option<Timestamp> {
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
