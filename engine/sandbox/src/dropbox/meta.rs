//! From a path argument to an item, and from an item to the metadata that results carry.

use serde_json::{Map, Value, json};

use super::Dropbox;
use super::paths::{self, Alias, NameError, Parts, PathArg};
use super::properties::{Group, groups_value};
use super::state::{Ns, Revision, State};
use super::tree::{Body, Node};
use super::wire::{tag, tagged, timestamp, with_tag};
use crate::dropbox::call::Call;
use crate::dropbox::error::ApiError;

/// A place in a namespace, whether or not something is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) ns: Ns,
    pub(super) parts: Parts,
}

/// Where a read path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Spot(Spot),
    Revision(u64),
}

impl Spot {
    pub(super) fn key(&self) -> String {
        self.parts.key()
    }
}

/// Which property groups a call wants to see: none, or those of some templates.
pub(super) type GroupFilter = Option<Vec<String>>;

impl Dropbox {
    /// Finds the place of a path that is looked up. The error is a `LookupError`.
    pub(super) fn locate(&self, state: &State, root: Ns, arg: &PathArg) -> Result<Spot, Value> {
        let parts = |path: &str| {
            Parts::of(path, self.options.emoji_names)
                .map_err(|_| tagged("malformed_path", Value::Null))
        };
        match arg {
            PathArg::Relative(path) => {
                let (ns, path) = state.resolve(root, path);
                let parts = parts(&path)?;
                Ok(Spot { ns, parts })
            }
            PathArg::Namespace(ns, path) if state.namespaces.contains_key(ns) => {
                let (ns, path) = state.resolve(*ns, path);
                let parts = parts(&path)?;
                Ok(Spot { ns, parts })
            }
            PathArg::Id(id, below) => {
                let number = state.ids.item_number(id);
                let home = number.and_then(|number| state.homes.get(&number));
                let (ns, key) = home.ok_or_else(|| tag("not_found"))?;
                let display = state.node(*ns, key).map_or(key, |node| &node.display);
                Ok(Spot {
                    ns: *ns,
                    parts: parts(&format!("{display}{below}"))?,
                })
            }
            PathArg::Namespace(..) | PathArg::Revision(_) => Err(tag("not_found")),
        }
    }

    /// Finds the place of a path that is written to. The error is a `WriteError`.
    pub(super) fn locate_write(
        &self,
        state: &State,
        root: Ns,
        arg: &PathArg,
    ) -> Result<Spot, Value> {
        let spot = self
            .locate(state, root, arg)
            .map_err(|_| NameError::Malformed.write_error())?;
        if spot.parts.is_root() {
            return Err(NameError::Malformed.write_error());
        }
        let parts = spot.parts.storable().map_err(NameError::write_error)?;
        if state.is_read_only(spot.ns, &parts.key()) {
            return Err(tag("no_write_permission"));
        }
        Ok(Spot { parts, ..spot })
    }

    /// Finds what a read path names: a place or one revision. The error is a `LookupError`.
    pub(super) fn locate_read(
        &self,
        state: &State,
        root: Ns,
        arg: &PathArg,
    ) -> Result<Target, Value> {
        match arg {
            PathArg::Revision(rev) => {
                let number = state.ids.rev_number(rev);
                let known = number.filter(|number| state.revisions.contains_key(number));
                known.map(Target::Revision).ok_or_else(|| tag("not_found"))
            }
            other => self.locate(state, root, other).map(Target::Spot),
        }
    }
}

impl Call {
    /// Matches a path argument against its pattern.
    pub(super) fn path(&self, text: &str, alias: Alias) -> Result<PathArg, ApiError> {
        PathArg::parse(text, alias).map_err(|detail| self.bad(&detail))
    }
}

impl State {
    /// `Metadata` of an item.
    pub(super) fn metadata(&self, root: Ns, ns: Ns, node: &Node, filter: &GroupFilter) -> Value {
        match node.body {
            Body::Folder { .. } => with_tag("folder", self.folder(root, ns, node, filter)),
            Body::File { rev, .. } => {
                let file = self.file_metadata(root, ns, rev, Some(node), filter);
                with_tag("file", file)
            }
        }
    }

    /// `FolderMetadata` without a tag.
    pub(super) fn folder(
        &self,
        root: Ns,
        ns: Ns,
        node: &Node,
        filter: &GroupFilter,
    ) -> Map<String, Value> {
        let mut members = self.located(root, ns, &node.display);
        members.extend(self.folder_sharing(ns, node));
        let id = self.ids.item(node.body.id());
        members.insert("id".into(), format!("id:{id}").into());
        members.insert("property_groups".into(), shown(&node.groups, filter));
        members
    }

    /// `FileMetadata` without a tag, of a revision. The node tells where the file is now; without it the
    /// revision's own path is shown.
    pub(super) fn file_metadata(
        &self,
        root: Ns,
        ns: Ns,
        rev: u64,
        node: Option<&Node>,
        filter: &GroupFilter,
    ) -> Map<String, Value> {
        let Some(revision) = self.revisions.get(&rev) else {
            return Map::new();
        };
        let display = node.map_or(&revision.path, |node| &node.display);
        let mut members = self.located(root, ns, display);
        members.extend(self.file_sharing(ns, display));
        let groups = node.map_or(&[][..], |node| &node.groups);
        for (name, value) in file_fields(self, rev, revision) {
            members.insert(name.to_owned(), value);
        }
        members.insert("property_groups".into(), shown(groups, filter));
        members
    }

    /// `DeletedMetadata`, which knows no more than a path.
    pub(super) fn deleted(&self, root: Ns, ns: Ns, display: &str) -> Value {
        with_tag("deleted", self.located(root, ns, display))
    }

    /// Name and paths. Items of a namespace that is not mounted under the root in force have no path.
    fn located(&self, root: Ns, ns: Ns, display: &str) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("name".into(), paths::name(display).into());
        if let Some(shown) = self.shown_path(root, ns, display) {
            members.insert("path_display".into(), shown.into());
            members.insert("path_lower".into(), paths::fold(shown).into());
        }
        members
    }
}

fn file_fields(state: &State, rev: u64, revision: &Revision) -> [(&'static str, Value); 7] {
    let id = state.ids.item(revision.id);
    [
        ("id", format!("id:{id}").into()),
        ("rev", state.ids.rev(rev).into()),
        ("size", revision.size.into()),
        ("content_hash", revision.hash.to_hex().into()),
        (
            "client_modified",
            timestamp(revision.client_modified).into(),
        ),
        (
            "server_modified",
            timestamp(revision.server_modified).into(),
        ),
        ("is_downloadable", true.into()),
    ]
}

fn shown(groups: &[Group], filter: &GroupFilter) -> Value {
    match filter {
        None => json!([]),
        Some(wanted) => groups_value(
            groups
                .iter()
                .filter(|group| wanted.contains(&group.template_id)),
        ),
    }
}
