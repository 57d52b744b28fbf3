//! Listing a source completely, page by page, entries applied strictly in order.
//!
//! Whoever follows a listing may forget what needs no decision as soon as a page has it, so that a pass over
//! a million unchanged assets holds a page of them and not a million.

use std::collections::BTreeMap;

use windlass_core::{Asset, AssetId, AssetPath, Change, Cursor, Result, Scope, Source};

use crate::observe::{Event, Observer};

/// A listing under way.
///
/// Entries of a listing are states, applied in order: an asset replaces whatever is at its path, and
/// leaves the path where it was before; a removal takes everything below along; a folder replaces a
/// file at its path and keeps its children.
pub(crate) struct Listing<'a> {
    source: &'a dyn Source,
    scope: &'a Scope,
    observer: &'a dyn Observer,
    tree: Tree,
    cursor: Option<Cursor>,
    complete: bool,
    /// Assets that were listed and not looked at yet.
    fresh: Vec<AssetId>,
    listed: u64,
}

impl<'a> Listing<'a> {
    /// The listing of everything below a scope, before its first page.
    pub(crate) fn new(
        source: &'a dyn Source,
        scope: &'a Scope,
        observer: &'a dyn Observer,
    ) -> Self {
        Listing {
            source,
            scope,
            observer,
            tree: Tree {
                folds: source.capabilities().folds_names,
                ..Tree::default()
            },
            cursor: None,
            complete: false,
            fresh: Vec::new(),
            listed: 0,
        }
    }

    /// Reads pages until `assets` are fresh or the listing is complete; the assets that are fresh now.
    /// None of them means that the listing is complete.
    pub(crate) async fn fresh(&mut self, assets: usize) -> Result<Vec<Asset>> {
        while !self.complete && self.fresh.len() < assets {
            let page = self
                .source
                .changes(self.scope, self.cursor.as_ref())
                .await?;
            for change in page.changes {
                if let Change::Asset(asset) = &change {
                    self.fresh.push(asset.id.clone());
                    self.listed += 1;
                }
                self.tree.apply(change);
            }
            self.observer.observe(Event::Listed {
                assets: self.listed,
            });
            self.cursor = Some(page.cursor);
            self.complete = !page.more;
        }
        let fresh = std::mem::take(&mut self.fresh);
        // What was replaced or removed since is not there any more.
        Ok(fresh
            .iter()
            .filter_map(|id| self.tree.get(id))
            .cloned()
            .collect())
    }

    /// Drops an asset that needs no decision, unless the listing has replaced, moved or removed it since. If it
    /// changes while the listing goes on, it comes again.
    pub(crate) fn forget(&mut self, asset: &Asset) -> bool {
        let is_there = self
            .tree
            .get(&asset.id)
            .is_some_and(|there| there.revision == asset.revision && there.path == asset.path);
        if is_there {
            let key = self.tree.key(&asset.path);
            self.tree.forget(&key);
        }
        is_there
    }

    /// What was not forgotten, sorted by path.
    pub(crate) fn into_assets(self) -> Vec<Asset> {
        let mut assets: Vec<Asset> = self.tree.by_key.into_values().collect();
        assets.sort_by(|a, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
        assets
    }
}

/// A listing in the making.
#[derive(Default)]
struct Tree {
    /// Whether the source takes spellings that differ in case or normal form for one name.
    folds: bool,
    by_key: BTreeMap<String, Asset>,
    key_of: BTreeMap<AssetId, String>,
}

impl Tree {
    fn key(&self, path: &AssetPath) -> String {
        if self.folds {
            path.key()
        } else {
            path.as_str().to_owned()
        }
    }

    fn get(&self, id: &AssetId) -> Option<&Asset> {
        self.by_key.get(self.key_of.get(id)?)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Asset(asset) => {
                let key = self.key(&asset.path);
                if let Some(before) = self.key_of.insert(asset.id.clone(), key.clone())
                    && before != key
                {
                    self.by_key.remove(&before);
                }
                if let Some(replaced) = self.by_key.insert(key, asset.clone())
                    && replaced.id != asset.id
                {
                    self.key_of.remove(&replaced.id);
                }
            }
            Change::Folder(folder) => {
                let key = self.key(&folder.path);
                self.forget(&key);
            }
            Change::Removed(path) => {
                let key = self.key(&path);
                self.forget(&key);
                let below = format!("{key}/");
                let gone: Vec<String> = self
                    .by_key
                    .range(below.clone()..)
                    .take_while(|(key, _)| key.starts_with(&below))
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in gone {
                    self.forget(&key);
                }
            }
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some(asset) = self.by_key.remove(key) {
            self.key_of.remove(&asset.id);
        }
    }
}
