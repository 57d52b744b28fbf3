//! One namespace: its items by key, and which of them changed when.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::paths;
use super::properties::Group;

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The path as it was written, with the casing of the folders that were there first.
    pub(super) display: String,
    pub(super) body: Body,
    pub(super) tags: BTreeSet<String>,
    pub(super) groups: Vec<Group>,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Folder { id: u64 },
    File { id: u64, rev: u64 },
}

impl Body {
    pub(super) fn id(&self) -> u64 {
        match self {
            Body::Folder { id } | Body::File { id, .. } => *id,
        }
    }
}

impl Node {
    pub(super) fn new(display: String, body: Body) -> Self {
        Node {
            display,
            body,
            tags: BTreeSet::new(),
            groups: Vec::new(),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        matches!(self.body, Body::Folder { .. })
    }
}

/// The latest change of one key.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) display: String,
}

/// The items of a namespace. The root itself is not an item.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    pub(super) name: String,
    nodes: BTreeMap<String, Node>,
    /// By change number; each key appears once, at its latest change.
    changes: BTreeMap<u64, Change>,
    latest: HashMap<String, u64>,
}

impl Namespace {
    pub(super) fn node(&self, key: &str) -> Option<&Node> {
        self.nodes.get(key)
    }

    pub(super) fn node_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.nodes.get_mut(key)
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.values_mut()
    }

    pub(super) fn put(&mut self, key: String, node: Node) {
        self.nodes.insert(key, node);
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        self.nodes.remove(key)
    }

    /// Removes an item and everything below it, in key order.
    pub(super) fn take_subtree(&mut self, key: &str) -> Vec<(String, Node)> {
        let keys: Vec<String> = self.subtree(key).map(|(key, _)| key.clone()).collect();
        let take = |key: String| self.nodes.remove(&key).map(|node| (key, node));
        keys.into_iter().filter_map(take).collect()
    }

    /// An item and everything below it, in key order; for the root, everything.
    pub(super) fn subtree(&self, key: &str) -> impl Iterator<Item = (&String, &Node)> {
        let own = self.nodes.get_key_value(key);
        own.into_iter().chain(self.below(key, None))
    }

    /// Everything below a folder after a key, in key order.
    pub(super) fn below<'a>(
        &'a self,
        folder: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Node)> + use<'a> {
        let first = format!("{folder}/");
        let last = past(folder);
        let start = match after {
            Some(key) => Bound::Excluded(key.to_owned()),
            None => Bound::Included(first),
        };
        self.nodes.range((start, Bound::Excluded(last)))
    }

    /// The direct children of a folder after a key, in key order, skipping over their subtrees.
    pub(super) fn children<'a>(
        &'a self,
        folder: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a Node)> + 'a {
        let last = past(folder);
        let mut start = match after {
            Some(key) => Bound::Excluded(key.to_owned()),
            None => Bound::Included(format!("{folder}/")),
        };
        std::iter::from_fn(move || {
            loop {
                let range = (start.clone(), Bound::Excluded(last.clone()));
                let (key, node) = self.nodes.range(range).next()?;
                if paths::parent(key) == Some(folder) {
                    start = Bound::Excluded(key.clone());
                    return Some((key, node));
                }
                // The key is below a child that sorts before it: jump past that child's subtree.
                let rest = &key[folder.len() + 1..];
                let cut = rest.find('/').unwrap_or(rest.len());
                start = Bound::Included(past(&key[..folder.len() + 1 + cut]));
            }
        })
    }

    /// Records that a key changed.
    pub(super) fn touch(&mut self, seq: u64, key: String, display: String) {
        if let Some(old) = self.latest.insert(key.clone(), seq) {
            self.changes.remove(&old);
        }
        self.changes.insert(seq, Change { key, display });
    }

    /// Changes after a number, oldest first.
    pub(super) fn changes_after(&self, seq: u64) -> impl Iterator<Item = (u64, &Change)> {
        let range = (Bound::Excluded(seq), Bound::Unbounded);
        self.changes
            .range(range)
            .map(|(seq, change)| (*seq, change))
    }

    /// When a key last changed; 0 if never.
    pub(super) fn changed_at(&self, key: &str) -> u64 {
        self.latest.get(key).copied().unwrap_or(0)
    }

    /// What an item was called that is no longer there.
    pub(super) fn deleted(&self, key: &str) -> Option<&Change> {
        if self.nodes.contains_key(key) {
            return None;
        }
        self.changes.get(self.latest.get(key)?)
    }

    /// Everything that is no longer there.
    pub(super) fn all_deleted(&self) -> impl Iterator<Item = &Change> {
        let changes = self.changes.values();
        changes.filter(|change| !self.nodes.contains_key(&change.key))
    }
}

/// The first key that sorts after everything below a folder: `0` follows `/`.
fn past(folder: &str) -> String {
    format!("{folder}0")
}
