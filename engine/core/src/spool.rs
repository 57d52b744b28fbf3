//! The port of scratch space: assets of a listing that memory should not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

use crate::asset::{Asset, AssetId};
use crate::digest::ContentHash;
use crate::error::Result;

/// What happens to a spool. Entries are applied strictly in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolEntry {
    /// The asset is there: it replaces whatever has its key, and leaves the key that it had before.
    Put {
        /// Where it is, in the form under which one place is one place.
        key: String,
        /// The asset.
        asset: Asset,
    },
    /// Nothing of this id and nothing at this key is kept any more.
    Drop {
        /// The key.
        key: String,
        /// The id.
        id: AssetId,
    },
    /// Nothing is at this key.
    Clear(String),
    /// Nothing is at this key nor below it.
    ClearTree(String),
}

/// Assets by key and by id, kept until the value is dropped, wherever there is room. Nothing of it is
/// durable.
#[async_trait]
pub trait Spool: Send + fmt::Debug {
    /// Applies entries in order.
    async fn apply(&mut self, entries: Vec<SpoolEntry>) -> Result<()>;

    /// How many assets it holds.
    async fn kept(&mut self) -> Result<u64>;

    /// The asset at each key, in the same order.
    async fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Asset>>>;

    /// The assets whose place in the order comes after `after`, in order, at most `limit`.
    async fn page(&mut self, after: Option<&SpoolOrder>, limit: usize) -> Result<Vec<Asset>>;

    /// Whether each content was named before, by an earlier call or earlier in this one; all are remembered.
    async fn seen(&mut self, contents: &[ContentHash]) -> Result<Vec<bool>>;
}

/// An asset's place in the order of a spool and of a plan: by folded path, so that names alike are neighbours, then by
/// path, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpoolOrder(String);

impl SpoolOrder {
    /// The place of an asset.
    pub fn of(asset: &Asset) -> Self {
        let (path, id) = (&asset.path, &asset.id);
        // The separator sorts before whatever names hold, so the order is that of the three.
        SpoolOrder(format!("{}\u{1}{}\u{1}{id}", path.key(), path.as_str()))
    }

    /// The text that sorts, byte by byte, as the order does.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A [`Spool`] in memory.
#[derive(Debug, Default)]
pub struct MemorySpool {
    by_key: BTreeMap<String, Asset>,
    key_of: BTreeMap<AssetId, String>,
    order: BTreeMap<SpoolOrder, String>,
    seen: BTreeSet<ContentHash>,
}

impl MemorySpool {
    /// How many assets it holds.
    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    /// Applies one entry.
    pub fn apply_one(&mut self, entry: SpoolEntry) {
        match entry {
            SpoolEntry::Put { key, asset } => {
                self.drop_id(&asset.id);
                self.clear(&key);
                self.key_of.insert(asset.id.clone(), key.clone());
                self.order.insert(SpoolOrder::of(&asset), key.clone());
                self.by_key.insert(key, asset);
            }
            SpoolEntry::Drop { key, id } => {
                self.drop_id(&id);
                self.clear(&key);
            }
            SpoolEntry::Clear(key) => self.clear(&key),
            SpoolEntry::ClearTree(key) => {
                self.clear(&key);
                let below = format!("{key}/");
                let gone: Vec<String> = self
                    .by_key
                    .range(below.clone()..)
                    .take_while(|(key, _)| key.starts_with(&below))
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in gone {
                    self.clear(&key);
                }
            }
        }
    }

    /// Everything it holds, as entries for another spool.
    pub fn into_entries(self) -> impl Iterator<Item = SpoolEntry> {
        self.by_key
            .into_iter()
            .map(|(key, asset)| SpoolEntry::Put { key, asset })
    }

    fn drop_id(&mut self, id: &AssetId) {
        if let Some(key) = self.key_of.get(id).cloned() {
            self.clear(&key);
        }
    }

    fn clear(&mut self, key: &str) {
        if let Some(asset) = self.by_key.remove(key) {
            self.key_of.remove(&asset.id);
            self.order.remove(&SpoolOrder::of(&asset));
        }
    }
}

#[async_trait]
impl Spool for MemorySpool {
    async fn apply(&mut self, entries: Vec<SpoolEntry>) -> Result<()> {
        entries.into_iter().for_each(|entry| self.apply_one(entry));
        Ok(())
    }

    async fn kept(&mut self) -> Result<u64> {
        Ok(self.by_key.len() as u64)
    }

    async fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Asset>>> {
        Ok(keys
            .iter()
            .map(|key| self.by_key.get(key).cloned())
            .collect())
    }

    async fn page(&mut self, after: Option<&SpoolOrder>, limit: usize) -> Result<Vec<Asset>> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .order
            .range::<SpoolOrder, _>((from, Bound::Unbounded))
            .filter_map(|(_, key)| self.by_key.get(key))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn seen(&mut self, contents: &[ContentHash]) -> Result<Vec<bool>> {
        Ok(contents
            .iter()
            .map(|content| !self.seen.insert(*content))
            .collect())
    }
}
