//! What people saved and what became of it: the memory of whoever checks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use windlass_core::{Blake3, ContentHash, NewConflict, Resolution, fold_key};

use super::{ROOT, World};
use crate::world::noise;

/// A content that somebody saved. No two are the same.
#[derive(Debug)]
pub(super) struct Save {
    pub(super) blake3: Blake3,
    /// Somebody saved it as a file, and not as an asset.
    pub(super) is_of_file: bool,
    /// Somebody chose it where a file and its asset were at odds.
    pub(super) is_chosen: bool,
    /// People themselves replaced or removed it.
    pub(super) is_ended: bool,
    /// How many assets it may be the current version of.
    pub(super) assets_max: usize,
    /// How many files it may be.
    pub(super) files_max: usize,
    /// People brought it back where something else had become of it, so that it may be overtaken.
    pub(super) is_again: bool,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) saves: Vec<Save>,
    by_hash: BTreeMap<ContentHash, usize>,
    /// What the ledger has told of: it was brought over.
    pub(super) known: BTreeSet<Blake3>,
    /// The content of each version of each asset that was current at some time.
    versions: BTreeMap<(u64, u64), usize>,
    /// How many things people made that may be an asset each.
    pub(super) made: usize,
    /// How many assets people deleted.
    pub(super) deleted: usize,
    /// What each file and each asset was when somebody looked last: its revision or version, and the content.
    looked_at: BTreeMap<String, (String, Option<usize>)>,
}

impl Book {
    /// A content that nobody has saved before.
    pub(super) fn new_content(&mut self, size: usize) -> (usize, Bytes) {
        let index = self.saves.len();
        let bytes = noise(size.max(16), 1_000 + index as u64);
        self.saves.push(Save {
            blake3: Blake3::of(&bytes),
            is_of_file: false,
            is_chosen: false,
            is_ended: false,
            assets_max: 1,
            files_max: 1,
            is_again: false,
        });
        self.by_hash.insert(ContentHash::of(&bytes), index);
        (index, bytes.into())
    }

    /// All that anybody ever saved.
    pub(super) fn contents(&self) -> Vec<ContentHash> {
        self.by_hash.keys().copied().collect()
    }

    /// The content of a block hash; `None` where nobody ever saved it.
    pub(super) fn content_of(&self, hash: &ContentHash) -> Option<usize> {
        self.by_hash.get(hash).copied()
    }

    /// People replaced or removed this.
    pub(super) fn end(&mut self, content: Option<usize>) {
        if let Some(content) = content {
            self.saves[content].is_ended = true;
        }
    }

    /// People brought this back.
    pub(super) fn begin(&mut self, content: Option<usize>) {
        if let Some(content) = content {
            self.saves[content].is_ended = false;
            self.saves[content].is_again = true;
        }
    }

    /// The content of the current version of an asset.
    pub(super) fn content_of_asset(&mut self, world: &World, asset: u64) -> Option<usize> {
        let version = world.tenant.current_version(asset)?;
        if let Some(known) = self.versions.get(&(asset, version)) {
            return Some(*known);
        }
        let assets = world.tenant.assets();
        let size = assets.iter().find(|one| one.id == asset)?.size;
        let bytes = world.tenant.read_content(asset, 0..size).ok()?;
        let content = self.content_of(&ContentHash::of(&bytes))?;
        self.versions.insert((asset, version), content);
        Some(content)
    }

    /// The content of a file at a path, however that is spelled.
    pub(super) fn content_of_file(&self, world: &World, path: &str) -> Option<usize> {
        let tree = world.account.tree();
        let key = fold_key(path);
        let mut files = tree
            .iter()
            .filter(|entry| fold_key(&entry.path_display) == key);
        let file = files.next()?.file.as_ref()?;
        self.content_of(&file.content_hash)
    }

    /// How often each content is current in Dropbox and in CELUM.
    pub(super) fn current(&mut self, world: &World) -> BTreeMap<usize, (usize, usize)> {
        let mut current: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for entry in world.account.tree() {
            let file = entry.file.as_ref();
            if let Some(content) = file.and_then(|file| self.content_of(&file.content_hash)) {
                current.entry(content).or_default().0 += 1;
            }
        }
        for asset in world.tenant.assets() {
            if let Some(content) = self.content_of_asset(world, asset.id) {
                current.entry(content).or_default().1 += 1;
            }
        }
        current
    }

    /// How often each content is a file that people see in the flow's folder.
    pub(super) fn visible(&self, world: &World) -> BTreeMap<usize, usize> {
        let mut visible: BTreeMap<usize, usize> = BTreeMap::new();
        for entry in world.account.tree() {
            let file = entry.file.as_ref();
            let content = file.and_then(|file| self.content_of(&file.content_hash));
            let is_seen = entry.path_display.starts_with(&format!("{ROOT}/"));
            if let Some(content) = content.filter(|_| is_seen) {
                *visible.entry(content).or_default() += 1;
            }
        }
        visible
    }

    /// Assets that a file's change became a version of although nobody chose it.
    pub(super) fn unasked(&mut self, world: &World) -> Vec<u64> {
        let mut unasked = Vec::new();
        for asset in world.tenant.assets() {
            let version = world.tenant.current_version(asset.id);
            let content = self.content_of_asset(world, asset.id);
            let save = content.and_then(|content| self.saves.get(content));
            let is_new = version.is_some_and(|version| version > 1);
            if is_new && save.is_some_and(|save| save.is_of_file && !save.is_chosen) {
                unasked.push(asset.id);
            }
        }
        unasked
    }

    /// Somebody made an older revision the current one: what was there before may be written once more.
    pub(super) fn forget_revisions(&mut self) {
        self.looked_at.clear();
    }

    /// Notes how everything stands, and answers with what was written again although it was there already.
    pub(super) fn written_again(&mut self, world: &World) -> Vec<String> {
        let mut now = BTreeMap::new();
        for entry in world.account.tree() {
            if let Some(file) = &entry.file {
                let content = self.content_of(&file.content_hash);
                now.insert(entry.id, (file.rev.clone(), content));
            }
        }
        for asset in world.tenant.assets() {
            let version = asset.versions.to_string();
            let content = self.content_of_asset(world, asset.id);
            now.insert(asset.id.to_string(), (version, content));
        }
        let before = std::mem::replace(&mut self.looked_at, now);
        let again = self.looked_at.iter().filter(|(id, (revision, content))| {
            let was = before.get(*id);
            let is_free = content.is_none_or(|content| self.saves[content].is_again);
            !is_free && was.is_some_and(|was| was.0 != *revision && was.1 == *content)
        });
        again
            .map(|(id, now)| format!("{id} is {now:?}, and was {:?}", before.get(id)))
            .collect()
    }

    /// A choice may end what either side is, which is what it is for.
    pub(super) fn choose(&mut self, world: &World, about: &NewConflict, chosen: Resolution) {
        let tree = world.account.tree();
        let id = about.file.asset.as_str();
        let file = tree.iter().find(|entry| entry.id == id);
        let file = file.and_then(|entry| entry.file.as_ref());
        let file = file.and_then(|file| self.content_of(&file.content_hash));
        let asset = about.asset.asset.as_str().parse().ok();
        let asset = asset.and_then(|asset| self.content_of_asset(world, asset));
        self.end(file);
        self.end(asset);
        if let Some(file) = file {
            self.saves[file].is_chosen = chosen == Resolution::TakeFile;
        }
        if chosen == Resolution::TakeFile && about.asset.revision.is_none() {
            // The file becomes an asset again.
            self.made += 1;
        }
    }
}
