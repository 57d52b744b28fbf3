//! What the emulated service remembers, and the events that change it.
//!
//! State changes only by [`State::apply`]; the same events in the same order give the same state, which is
//! how an emulator on disk comes back. Events carry results (ids, revisions, times), never decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::ContentHash;

use super::ids::Ids;
use super::paths;
use super::properties::{Group, Template};
use super::sharing::{Link, Member, Share};
use super::tree::{Body, Namespace, Node};
use crate::blob::BlobId;

/// A namespace's id: a decimal number on the wire.
pub(super) type Ns = u64;

/// One change, in the past tense.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Event {
    /// The first event of a journal: ids, tokens and cursors depend on the seed.
    Born { seed: u64 },
    /// A namespace exists.
    Namespace { ns: Ns, name: String },
    /// A folder was made.
    Folder { ns: Ns, path: String, id: u64 },
    /// A file has a new revision, or is new.
    File {
        ns: Ns,
        path: String,
        rev: u64,
        revision: Revision,
        groups: Vec<Group>,
    },
    /// An item and everything below it is gone.
    Removed { ns: Ns, path: String },
    /// An item and everything below it has another path; ids and revisions stay.
    Moved {
        ns: Ns,
        from: String,
        to_ns: Ns,
        to: String,
    },
    /// An item's name has another casing. No cursor is told.
    Recased { ns: Ns, path: String },
    /// An item's tags are now these.
    Tagged {
        ns: Ns,
        path: String,
        tags: BTreeSet<String>,
        listed: bool,
    },
    /// An item's property groups are now these.
    Described {
        ns: Ns,
        path: String,
        groups: Vec<Group>,
        listed: bool,
    },
    /// A property template is new or changed.
    Template { id: String, template: Template },
    /// A template and all its properties are gone.
    TemplateRemoved { id: String },
    /// A file's content may no longer be read, or may again.
    Restricted { id: u64, restricted: bool },
    /// Every cursor handed out so far answers `reset`.
    CursorsReset,
    /// All tokens of the current authorisation are dead.
    Revoked,
    /// The app was authorised again.
    Granted,
    /// An upload session exists.
    SessionStarted {
        n: u64,
        concurrent: bool,
        blob: BlobId,
        created: Timestamp,
    },
    /// An upload session received bytes, was closed, or both.
    SessionAppended {
        id: String,
        offset: u64,
        len: u64,
        close: bool,
    },
    /// An upload session was committed or has expired.
    SessionGone { id: String },
    /// A folder is a namespace of its own, and this account has this level in it.
    Shared {
        ns: Ns,
        folder: u64,
        level: String,
        at: Timestamp,
    },
    /// It is not any more, or not for this account.
    Unshared { ns: Ns },
    /// Somebody's membership of a shared folder; None: it ended.
    Member {
        ns: Ns,
        email: String,
        member: Option<Member>,
    },
    /// A link is there, with these settings.
    Linked { n: u64, link: Link },
    /// A link was revoked.
    LinkGone { n: u64 },
}

/// One content of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Revision {
    /// The file it belongs to.
    pub(super) id: u64,
    /// Where the bytes are.
    pub(super) blob: BlobId,
    /// How many.
    pub(super) size: u64,
    /// Their block hash.
    pub(super) hash: ContentHash,
    /// What the client said, or the same as `server_modified`.
    pub(super) client_modified: Timestamp,
    /// When it was committed.
    pub(super) server_modified: Timestamp,
    /// The display path at that time.
    pub(super) path: String,
}

/// An upload session's bookkeeping; its bytes are in a blob part.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) concurrent: bool,
    pub(super) closed: bool,
    pub(super) blob: BlobId,
    pub(super) created: Timestamp,
    /// Received ranges, start to end, merged.
    ranges: BTreeMap<u64, u64>,
}

impl Session {
    /// End of the furthest byte received.
    pub(super) fn end(&self) -> u64 {
        self.ranges.values().next_back().copied().unwrap_or(0)
    }

    /// True if every byte before the end was received.
    pub(super) fn whole(&self) -> bool {
        match self.ranges.len() {
            0 => true,
            1 => self.ranges.contains_key(&0),
            _ => false,
        }
    }

    /// True if all of a range was received before.
    pub(super) fn has(&self, offset: u64, len: u64) -> bool {
        let before = self.ranges.range(..=offset).next_back();
        before.is_some_and(|(_, end)| *end >= offset + len)
    }

    fn add(&mut self, offset: u64, len: u64) {
        let (mut start, mut end) = (offset, offset + len);
        if len == 0 {
            return;
        }
        let touching: Vec<u64> = self
            .ranges
            .range(..=end)
            .rev()
            .take_while(|(_, other_end)| **other_end >= start)
            .map(|(other, _)| *other)
            .collect();
        for other in touching {
            if let Some(other_end) = self.ranges.remove(&other) {
                start = start.min(other);
                end = end.max(other_end);
            }
        }
        self.ranges.insert(start, end);
    }
}

/// Everything the service remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ids: Ids,
    /// The next number for an item, a revision, a session or a template.
    pub(super) next: u64,
    /// The number of the latest change in any namespace.
    pub(super) seq: u64,
    /// Cursors of earlier epochs answer `reset`.
    pub(super) epoch: u64,
    /// Which authorisation tokens belong to, and whether it still stands.
    pub(super) grant: u64,
    pub(super) revoked: bool,
    pub(super) namespaces: BTreeMap<Ns, Namespace>,
    pub(super) revisions: BTreeMap<u64, Revision>,
    /// Revisions by path, oldest first, also of paths that are gone.
    pub(super) histories: HashMap<(Ns, String), Vec<u64>>,
    /// Where an item is now.
    pub(super) homes: HashMap<u64, (Ns, String)>,
    pub(super) restricted: HashSet<u64>,
    pub(super) templates: BTreeMap<String, Template>,
    pub(super) sessions: HashMap<String, Session>,
    pub(super) shares: BTreeMap<Ns, Share>,
    pub(super) links: BTreeMap<u64, Link>,
    /// Bytes in current revisions.
    pub(super) used: u64,
}

impl State {
    /// Takes the next free number.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The item at a key.
    pub(super) fn node(&self, ns: Ns, key: &str) -> Option<&Node> {
        self.namespaces.get(&ns)?.node(key)
    }

    /// Whether a blob belongs to a revision or an open session.
    pub(super) fn live_blobs(&self) -> HashSet<BlobId> {
        let revisions = self.revisions.values().map(|revision| revision.blob);
        let sessions = self.sessions.values().map(|session| session.blob);
        revisions.chain(sessions).collect()
    }

    /// Makes an event true.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Born { seed } => self.ids = Ids::new(seed),
            Event::Namespace { ns, name } => {
                self.next = self.next.max(ns);
                self.namespaces.entry(ns).or_default().name = name;
            }
            Event::Folder { ns, path, id } => {
                self.next = self.next.max(id);
                self.put(ns, path, Body::Folder { id }, Vec::new());
            }
            Event::File {
                ns,
                path,
                rev,
                revision,
                groups,
            } => self.file(ns, path, rev, revision, groups),
            Event::Removed { ns, path } => self.removed(ns, &paths::fold(&path)),
            Event::Moved {
                ns,
                from,
                to_ns,
                to,
            } => self.moved(ns, &paths::fold(&from), to_ns, &to),
            Event::Recased { ns, path } => {
                let shown = path.clone();
                self.annotate(ns, &path, false, |node| node.display = shown);
            }
            Event::Tagged {
                ns,
                path,
                tags,
                listed,
            } => self.annotate(ns, &path, listed, |node| node.tags = tags),
            Event::Described {
                ns,
                path,
                groups,
                listed,
            } => self.annotate(ns, &path, listed, |node| node.groups = groups),
            Event::Template { id, template } => {
                // Template ids take numbers too; skipping one per event keeps them apart on replay.
                self.next += 1;
                self.templates.insert(id, template);
            }
            Event::TemplateRemoved { id } => {
                self.templates.remove(&id);
                let spaces = self.namespaces.values_mut();
                for node in spaces.flat_map(Namespace::nodes_mut) {
                    node.groups.retain(|group| group.template_id != id);
                }
            }
            Event::Restricted { id, restricted } => {
                if restricted {
                    self.restricted.insert(id);
                } else {
                    self.restricted.remove(&id);
                }
            }
            Event::CursorsReset => self.epoch += 1,
            Event::Revoked => self.revoked = true,
            Event::Granted => {
                self.grant += 1;
                self.revoked = false;
            }
            Event::SessionStarted {
                n,
                concurrent,
                blob,
                created,
            } => self.session_started(n, concurrent, blob, created),
            Event::SessionAppended {
                id,
                offset,
                len,
                close,
            } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.add(offset, len);
                    session.closed |= close;
                }
            }
            Event::SessionGone { id } => {
                self.sessions.remove(&id);
            }
            Event::Shared {
                ns,
                folder,
                level,
                at,
            } => {
                let share = Share::new(folder, level, at);
                self.shares.insert(ns, share);
                self.touch(folder);
            }
            Event::Unshared { ns } => self.unshared(ns),
            Event::Member { ns, email, member } => {
                if let Some(share) = self.shares.get_mut(&ns) {
                    share.set_member(email, member);
                }
            }
            Event::Linked { n, link } => {
                self.next = self.next.max(n);
                self.links.insert(n, link);
            }
            Event::LinkGone { n } => {
                self.links.remove(&n);
            }
        }
    }

    fn session_started(&mut self, n: u64, concurrent: bool, blob: BlobId, created: Timestamp) {
        self.next = self.next.max(n);
        let session = Session {
            concurrent,
            closed: false,
            blob,
            created,
            ranges: BTreeMap::new(),
        };
        self.sessions.insert(self.ids.session(n), session);
    }

    fn file(&mut self, ns: Ns, path: String, rev: u64, revision: Revision, groups: Vec<Group>) {
        let key = paths::fold(&path);
        let id = revision.id;
        self.next = self.next.max(rev).max(id);
        if let Some(Body::File { rev: old, .. }) = self.node(ns, &key).map(|node| &node.body) {
            self.used -= self.revisions.get(old).map_or(0, |old| old.size);
        }
        self.used += revision.size;
        self.revisions.insert(rev, revision);
        self.histories.entry((ns, key)).or_default().push(rev);
        self.put(ns, path, Body::File { id, rev }, groups);
    }

    /// Puts an item in place. What the same item already had (tags, properties) stays.
    fn put(&mut self, ns: Ns, display: String, body: Body, groups: Vec<Group>) {
        let key = paths::fold(&display);
        let space = self.namespaces.entry(ns).or_default();
        let mut node = match space.take(&key) {
            Some(old) if old.body.id() == body.id() => old,
            _ => Node::new(display.clone(), body.clone()),
        };
        for group in groups {
            node.groups
                .retain(|old| old.template_id != group.template_id);
            node.groups.push(group);
        }
        node.body = body;
        self.homes.insert(node.body.id(), (ns, key.clone()));
        space.put(key.clone(), node);
        self.seq += 1;
        space.touch(self.seq, key, display);
    }

    fn removed(&mut self, ns: Ns, key: &str) {
        let Some(space) = self.namespaces.get_mut(&ns) else {
            return;
        };
        for (key, node) in space.take_subtree(key) {
            self.homes.remove(&node.body.id());
            if let Body::File { rev, .. } = node.body {
                self.used -= self.revisions.get(&rev).map_or(0, |old| old.size);
            }
            self.seq += 1;
            space.touch(self.seq, key, node.display);
        }
        self.forget_sharing();
    }

    fn moved(&mut self, ns: Ns, from: &str, to_ns: Ns, to: &str) {
        let depth = from.matches('/').count();
        let Some(space) = self.namespaces.get_mut(&ns) else {
            return;
        };
        let items = space.take_subtree(from);
        for (key, node) in &items {
            self.seq += 1;
            space.touch(self.seq, key.clone(), node.display.clone());
        }
        let space = self.namespaces.entry(to_ns).or_default();
        for (_, mut node) in items {
            let display = format!("{to}{}", below(&node.display, depth));
            let key = paths::fold(&display);
            node.display.clone_from(&display);
            self.homes.insert(node.body.id(), (to_ns, key.clone()));
            if let Body::File { rev, .. } = node.body {
                let history = self.histories.entry((to_ns, key.clone())).or_default();
                history.push(rev);
            }
            space.put(key.clone(), node);
            self.seq += 1;
            space.touch(self.seq, key, display);
        }
    }

    fn annotate(&mut self, ns: Ns, path: &str, listed: bool, change: impl FnOnce(&mut Node)) {
        let key = paths::fold(path);
        let Some(space) = self.namespaces.get_mut(&ns) else {
            return;
        };
        let Some(node) = space.node_mut(&key) else {
            return;
        };
        change(node);
        let display = node.display.clone();
        if listed {
            self.seq += 1;
            space.touch(self.seq, key, display);
        }
    }
}

/// What remains of a path without its first `depth` components.
pub(super) fn below(path: &str, depth: usize) -> &str {
    let mut slashes = path.match_indices('/').skip(depth);
    slashes.next().map_or("", |(at, _)| &path[at..])
}
