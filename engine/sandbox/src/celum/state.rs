//! What the emulated tenant remembers, and the events that change it.
//!
//! State changes only by [`State::apply`], so a journal of events brings it back. An event about an asset
//! or a collection carries it whole: replaying is then a matter of the last one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{
    Asset, Collection, CollectionType, Field, FieldSet, Handle, Level, ObjectType, Relation,
    Tenant, User,
};
use crate::blob::BlobId;

/// No path is longer; deeper nesting is refused when a collection is placed.
pub(super) const DEPTH_MAX: usize = 64;

/// One change, in the past tense.
///
/// Tagged from outside: serde reads no numeric map keys, such as field ids, behind an inner tag.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// The administrator set the tenant up.
    Tenant { tenant: Box<Tenant> },
    /// A collection is new or changed.
    Collection { collection: Box<Collection> },
    /// A collection is gone.
    CollectionRemoved { id: u64 },
    /// An asset is new or changed, and these upload handles are used up by it.
    Asset {
        asset: Box<Asset>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        used: Vec<String>,
    },
    /// An asset is gone, and its relations with it.
    AssetRemoved { id: u64 },
    /// A relation is new or changed.
    Relation { relation: Box<Relation> },
    /// A relation is gone.
    RelationRemoved { id: u64 },
    /// An upload handle is new, or its content arrived.
    Handle { handle: Box<Handle> },
    /// An upload handle broke or expired.
    HandleClosed { handle: String },
}

/// Everything that one tenant holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tenant: Option<Tenant>,
    pub(super) collections: BTreeMap<u64, Arc<Collection>>,
    pub(super) assets: BTreeMap<u64, Arc<Asset>>,
    pub(super) handles: BTreeMap<String, Handle>,
    pub(super) relations: BTreeMap<u64, Relation>,
    pub(super) index: Index<Asset>,
    pub(super) collection_index: Index<Collection>,
    /// Upload tokens, by what URL names them.
    tokens: BTreeMap<String, String>,
    children: BTreeMap<Option<u64>, BTreeSet<u64>>,
    last_asset: u64,
    last_collection: u64,
    last_handle: u64,
    last_relation: u64,
}

impl State {
    /// Makes a change. Searches see it at `due`; None means at once.
    pub(super) fn apply(&mut self, event: Event, due: Option<Timestamp>) {
        match event {
            Event::Tenant { tenant } => self.tenant = Some(*tenant),
            Event::Collection { collection } => {
                self.unlink(collection.id);
                let siblings = self.children.entry(collection.parent).or_default();
                siblings.insert(collection.id);
                self.last_collection = self.last_collection.max(collection.id);
                let collection: Arc<Collection> = Arc::from(collection);
                let known = Arc::clone(&collection);
                self.collection_index.note(collection.id, Some(known), due);
                self.collections.insert(collection.id, collection);
            }
            Event::CollectionRemoved { id } => {
                self.unlink(id);
                self.collections.remove(&id);
                self.collection_index.note(id, None, due);
            }
            Event::Asset { asset, used } => {
                used.iter().for_each(|handle| self.close(handle));
                self.last_asset = self.last_asset.max(asset.id);
                let asset: Arc<Asset> = Arc::from(asset);
                self.index.note(asset.id, Some(Arc::clone(&asset)), due);
                self.assets.insert(asset.id, asset);
            }
            Event::AssetRemoved { id } => {
                self.assets.remove(&id);
                self.index.note(id, None, due);
                let leads = |relation: &Relation| {
                    relation.source.asset == id || relation.target.asset == id
                };
                self.relations.retain(|_, relation| !leads(relation));
            }
            Event::Relation { relation } => {
                self.last_relation = self.last_relation.max(relation.id);
                self.relations.insert(relation.id, *relation);
            }
            Event::RelationRemoved { id } => {
                self.relations.remove(&id);
            }
            Event::Handle { handle } => {
                self.last_handle = self.last_handle.max(handle.number);
                self.tokens
                    .insert(handle.token.clone(), handle.handle.clone());
                self.handles.insert(handle.handle.clone(), *handle);
            }
            Event::HandleClosed { handle } => self.close(&handle),
        }
    }

    fn unlink(&mut self, id: u64) {
        let parent = self.collections.get(&id).map(|old| old.parent);
        if let Some(siblings) = parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.remove(&id);
        }
    }

    fn close(&mut self, handle: &str) {
        if let Some(closed) = self.handles.remove(handle) {
            self.tokens.remove(&closed.token);
        }
    }

    pub(super) fn next_asset(&self) -> u64 {
        self.last_asset + 1
    }

    pub(super) fn next_collection(&self) -> u64 {
        self.last_collection + 1
    }

    pub(super) fn next_handle(&self) -> u64 {
        self.last_handle + 1
    }

    pub(super) fn next_relation(&self) -> u64 {
        self.last_relation + 1
    }

    /// The open upload that a URL's token belongs to.
    pub(super) fn handle_by_token(&self, token: &str) -> Option<&Handle> {
        self.handles.get(self.tokens.get(token)?)
    }

    /// Every blob that something refers to.
    pub(super) fn blobs(&self) -> BTreeSet<BlobId> {
        let kept = self.assets.values().flat_map(|asset| asset.blobs());
        let waiting = self.handles.values();
        let waiting = waiting.filter_map(|handle| Some(handle.received.as_ref()?.blob));
        kept.chain(waiting).collect()
    }

    pub(super) fn user(&self, id: u64) -> Option<&User> {
        let users = &self.tenant.as_ref()?.users;
        users.iter().find(|user| user.id == id)
    }

    pub(super) fn user_named(&self, name: &str) -> Option<&User> {
        let users = &self.tenant.as_ref()?.users;
        users.iter().find(|user| user.username == name)
    }

    pub(super) fn field(&self, id: u64) -> Option<&Field> {
        self.tenant.as_ref()?.fields.get(&id)
    }

    pub(super) fn asset_type(&self, id: u64) -> Option<&ObjectType> {
        let types = &self.tenant.as_ref()?.asset_types;
        types.iter().find(|kind| kind.id == id)
    }

    pub(super) fn relation_type(&self, id: u64) -> Option<&ObjectType> {
        let types = &self.tenant.as_ref()?.relation_types;
        types.iter().find(|kind| kind.id == id)
    }

    pub(super) fn collection_type(&self, id: u64) -> Option<&CollectionType> {
        let types = &self.tenant.as_ref()?.collection_types;
        types.iter().find(|kind| kind.base.id == id)
    }

    /// The field sets of an asset, by its type.
    pub(super) fn asset_sets(&self, type_id: Option<u64>) -> &[FieldSet] {
        let kind = type_id.and_then(|id| self.asset_type(id));
        kind.map_or(&[], |kind| &kind.sets)
    }

    /// The field sets of a collection, by its type.
    pub(super) fn collection_sets(&self, type_id: u64) -> &[FieldSet] {
        let kind = self.collection_type(type_id);
        kind.map_or(&[], |kind| &kind.base.sets)
    }

    /// Collections directly below one, or the roots.
    pub(super) fn children(&self, parent: Option<u64>) -> impl Iterator<Item = u64> {
        self.children.get(&parent).into_iter().flatten().copied()
    }

    /// Whether assets may be uploaded here.
    pub(super) fn permission_defining(&self, collection: u64) -> bool {
        let kind = self.collections.get(&collection).map(|found| found.type_id);
        let kind = kind.and_then(|id| self.collection_type(id));
        kind.is_some_and(|kind| kind.permission_defining)
    }

    /// A collection and everything above it, the collection first.
    pub(super) fn lineage(&self, id: u64) -> impl Iterator<Item = &Arc<Collection>> {
        let first = self.collections.get(&id);
        std::iter::successors(first, |below| self.collections.get(&below.parent?)).take(DEPTH_MAX)
    }

    /// Whether `id` is `above` or lies somewhere below it.
    pub(super) fn within(&self, id: u64, above: u64) -> bool {
        self.lineage(id).any(|found| found.id == above)
    }

    /// What a collection demands of its assets, by itself or from above.
    pub(super) fn level(&self, id: u64) -> Level {
        let own = self.lineage(id).find_map(|found| found.level);
        own.unwrap_or(Level::Strict)
    }

    /// The strictest of an asset's collections decides.
    pub(super) fn asset_level(&self, parents: &[u64]) -> Level {
        let strict = parents.iter().any(|id| self.level(*id) == Level::Strict);
        if strict {
            Level::Strict
        } else {
            Level::Tolerant
        }
    }

    /// Names from the root down to a collection, in one locale where there is one.
    pub(super) fn path_names(&self, id: u64, locale: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .lineage(id)
            .map(|found| name_in(&found.names, locale).to_owned())
            .collect();
        names.reverse();
        names
    }
}

/// A name in a locale, else in any.
pub(super) fn name_in<'a>(names: &'a BTreeMap<String, String>, locale: &str) -> &'a str {
    let name = names.get(locale).or_else(|| names.values().next());
    name.map_or("", String::as_str)
}

/// What searches see: the store as it was a while ago.
///
/// Changes wait in the order they were made, so the memory in use is bounded by the writes within one lag.
#[derive(Debug)]
pub(super) struct Index<T> {
    seen: BTreeMap<u64, Arc<T>>,
    waiting: VecDeque<(Timestamp, u64, Option<Arc<T>>)>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Index {
            seen: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Index<T> {
    fn note(&mut self, id: u64, now: Option<Arc<T>>, due: Option<Timestamp>) {
        match due {
            Some(due) => self.waiting.push_back((due, id, now)),
            None => self.set(id, now),
        }
    }

    fn set(&mut self, id: u64, now: Option<Arc<T>>) {
        match now {
            Some(now) => self.seen.insert(id, now),
            None => self.seen.remove(&id),
        };
    }

    /// Takes in what is due by now.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        while self.waiting.front().is_some_and(|(due, ..)| *due <= now) {
            if let Some((_, id, value)) = self.waiting.pop_front() {
                self.set(id, value);
            }
        }
    }

    /// What searches see, by id.
    pub(super) fn seen(&self) -> &BTreeMap<u64, Arc<T>> {
        &self.seen
    }
}
