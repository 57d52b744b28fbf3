//! Listing a source completely, page by page, entries applied strictly in order.

use std::collections::BTreeMap;

use windlass_core::{Asset, AssetId, AssetPath, Change, Result, Scope, Source};

use crate::observe::{Event, Observer};

/// Everything below a scope, sorted by path.
///
/// Entries of a listing are states, applied in order: an asset replaces whatever is at its path, and
/// leaves the path where it was before; a removal takes everything below along; a folder replaces a
/// file at its path and keeps its children.
pub(crate) async fn list(
    source: &dyn Source,
    scope: &Scope,
    observer: &dyn Observer,
) -> Result<Vec<Asset>> {
    let mut tree = Tree {
        folds: source.capabilities().folds_names,
        ..Tree::default()
    };
    let mut cursor = None;
    loop {
        let page = source.changes(scope, cursor.as_ref()).await?;
        for change in page.changes {
            tree.apply(change);
        }
        observer.observe(Event::Listed {
            assets: tree.by_key.len() as u64,
        });
        cursor = Some(page.cursor);
        if !page.more {
            break;
        }
    }
    let mut listed: Vec<Asset> = tree.by_key.into_values().collect();
    listed.sort_by(|a, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
    Ok(listed)
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
