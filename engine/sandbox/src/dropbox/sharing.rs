//! Sharing: folders that are namespaces of their own, who is a member of them, and links.
//!
//! A shared folder stays where it is in the tree of whoever mounts it; its namespace is a second way to the same items,
//! so `ns:<id>/…` and the path below the mount are the same place. A folder that is not mounted lies in the tree of its own
//! namespace, where no path of the account leads. Links belong to an item: they follow it and end with it.

mod admin;
mod folders;
mod links;
mod members;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::folders::ItemError;
use super::paths;
use super::state::{Ns, State};
use super::tree::Node;
use super::wire::tag;
use crate::blob::lock;

pub use admin::{LinkEntry, MemberEntry};

/// What belongs to sharing and ends with the process.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    /// Jobs by name: their answer, and whether somebody has asked.
    jobs: Mutex<HashMap<String, (Value, bool)>>,
    /// Addresses that cannot be invited, with the error that says so.
    refused: Mutex<BTreeMap<String, Value>>,
    /// Addresses that invitations were mailed to.
    mails: Mutex<Vec<String>>,
}

/// A shared folder.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// The folder's number.
    folder: u64,
    /// What this account may do in it: `owner`, `editor`, `viewer`.
    level: String,
    at: Timestamp,
    /// Other people, by address.
    members: BTreeMap<String, Member>,
}

/// Somebody's membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    level: String,
    /// Whether the invitation was accepted.
    joined: bool,
}

/// A link to a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    item: u64,
    url: String,
    expires: Option<Timestamp>,
    /// `public`, `team` or `no_one`.
    audience: String,
    password: Option<String>,
    allow_download: bool,
    can_revoke: bool,
}

impl Share {
    pub(super) fn new(folder: u64, level: String, at: Timestamp) -> Self {
        Share {
            folder,
            level,
            at,
            members: BTreeMap::new(),
        }
    }

    pub(super) fn set_member(&mut self, email: String, member: Option<Member>) {
        match member {
            Some(member) => self.members.insert(email, member),
            None => self.members.remove(&email),
        };
    }

    fn is_read_only(&self) -> bool {
        self.level != "owner" && self.level != "editor"
    }
}

impl State {
    /// Where a path of a namespace really is: that of a shared folder is a place in its mount's tree.
    pub(super) fn resolve(&self, ns: Ns, path: &str) -> (Ns, String) {
        let place = self.shares.get(&ns).and_then(|share| self.place_of(share));
        match place {
            Some((home, node)) => (home, format!("{}{path}", node.display)),
            None => (ns, path.to_owned()),
        }
    }

    /// An item's path relative to the root in force; None where the root does not lead to it.
    pub(super) fn shown_path<'a>(&self, root: Ns, ns: Ns, display: &'a str) -> Option<&'a str> {
        let Some(share) = self.shares.get(&root) else {
            return (root == ns).then_some(display);
        };
        let (home, node) = self.place_of(share)?;
        let key = paths::fold(display);
        let is_below = home == ns && paths::within(&key, &paths::fold(&node.display));
        is_below.then(|| super::state::below(display, node.display.matches('/').count()))
    }

    fn place_of(&self, share: &Share) -> Option<(Ns, &Node)> {
        let (home, key) = self.homes.get(&share.folder)?;
        Some((*home, self.node(*home, key)?))
    }

    /// The innermost shared folder that a place is in, itself included.
    fn share_at(&self, ns: Ns, key: &str) -> Option<(Ns, &Share)> {
        let holding = self.shares.iter().filter_map(|(id, share)| {
            let (home, folder) = self.homes.get(&share.folder)?;
            (*home == ns && paths::within(key, folder)).then_some((folder.len(), *id, share))
        });
        let inner = holding.max_by_key(|(depth, ..)| *depth);
        inner.map(|(_, id, share)| (id, share))
    }

    /// The namespace whose lock a write to a place takes.
    pub(super) fn space_of(&self, ns: Ns, key: &str) -> Ns {
        self.share_at(ns, key).map_or(ns, |(id, _)| id)
    }

    /// Whether this account may only look at a place.
    pub(super) fn is_read_only(&self, ns: Ns, key: &str) -> bool {
        self.share_at(ns, key)
            .is_some_and(|(_, share)| share.is_read_only())
    }

    /// Whether shared folders may go along with a move or a copy. The error is a `RelocationError`.
    pub(super) fn may_relocate(
        &self,
        (ns, from, to_ns, to): (Ns, &str, Ns, &str),
        copy: bool,
    ) -> Result<(), Value> {
        let goes_along = self.shares.values().any(|share| {
            let home = self.homes.get(&share.folder);
            home.is_some_and(|(home, key)| *home == ns && paths::within(key, from))
        });
        if goes_along && copy {
            return Err(tag("cant_copy_shared_folder"));
        }
        let parent = paths::parent(to).unwrap_or_default();
        if goes_along && self.share_at(to_ns, parent).is_some() {
            return Err(tag("cant_nest_shared_folder"));
        }
        if !copy && self.is_read_only(ns, from) {
            return Err(super::wire::tagged(
                "from_write",
                tag("no_write_permission"),
            ));
        }
        Ok(())
    }

    /// What a folder's metadata says of sharing.
    pub(super) fn folder_sharing(&self, ns: Ns, node: &Node) -> Map<String, Value> {
        let mut members = Map::new();
        let Some((id, share)) = self.share_at(ns, &paths::fold(&node.display)) else {
            return members;
        };
        let is_root = share.folder == node.body.id();
        let name = match is_root {
            true => "shared_folder_id",
            false => "parent_shared_folder_id",
        };
        if is_root {
            members.insert(name.into(), id.to_string().into());
        }
        let info = json!({
            name: id.to_string(), "no_access": false, "read_only": share.is_read_only(),
            "traverse_only": false,
        });
        members.insert("sharing_info".into(), info);
        members
    }

    /// What a file's metadata says of sharing.
    pub(super) fn file_sharing(&self, ns: Ns, display: &str) -> Map<String, Value> {
        let mut members = Map::new();
        if let Some((id, share)) = self.share_at(ns, &paths::fold(display)) {
            let info = json!({
                "modified_by": self.ids.account(), "parent_shared_folder_id": id.to_string(),
                "read_only": share.is_read_only(),
            });
            members.insert("sharing_info".into(), info);
        }
        members
    }

    /// A folder that becomes shared shows up in listings again.
    pub(super) fn touch(&mut self, item: u64) {
        let Some((ns, key)) = self.homes.get(&item).cloned() else {
            return;
        };
        let Some(display) = self.node(ns, &key).map(|node| node.display.clone()) else {
            return;
        };
        self.seq += 1;
        if let Some(space) = self.namespaces.get_mut(&ns) {
            space.touch(self.seq, key, display);
        }
    }

    pub(super) fn unshared(&mut self, ns: Ns) {
        let folder = self.shares.remove(&ns).map(|share| share.folder);
        self.namespaces.remove(&ns);
        if let Some(folder) = folder {
            self.touch(folder);
        }
    }

    /// Ends what belonged to items that are gone.
    pub(super) fn forget_sharing(&mut self) {
        let homes = &self.homes;
        self.links.retain(|_, link| homes.contains_key(&link.item));
        let gone = self.shares.iter();
        let gone = gone.filter(|(_, share)| !homes.contains_key(&share.folder));
        let gone: Vec<Ns> = gone.map(|(ns, _)| *ns).collect();
        for ns in gone {
            self.unshared(ns);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobArg {
    async_job_id: String,
}

impl Dropbox {
    /// Everything below `sharing/` whose answer is JSON.
    pub(super) async fn sharing(&self, call: &Call) -> Result<Value, ApiError> {
        match call.route.name.trim_start_matches("sharing/") {
            "share_folder" => self.share_folder(call).await,
            "check_share_job_status" | "check_remove_member_job_status" => self.check_job(call),
            "add_folder_member" => self.add_folder_member(call),
            "update_folder_member" => self.update_folder_member(call),
            "remove_folder_member" => self.remove_folder_member(call),
            "list_folders" | "list_mountable_folders" => self.list_folders(call),
            "list_folders/continue" | "list_mountable_folders/continue" => {
                self.list_folders_continue(call)
            }
            "mount_folder" => self.mount_folder(call).await,
            "unmount_folder" => self.unmount_folder(call).await,
            "get_folder_metadata" => self.get_folder_metadata(call),
            "list_folder_members" => self.list_folder_members(call),
            "list_folder_members/continue" => self.list_folder_members_continue(call),
            "create_shared_link_with_settings" => self.create_shared_link(call),
            "list_shared_links" => self.list_shared_links(call),
            "get_shared_link_metadata" => self.get_shared_link_metadata(call),
            "modify_shared_link_settings" => self.modify_shared_link(call),
            "revoke_shared_link" => self.revoke_shared_link(call),
            name => Err(ApiError::Text(
                axum::http::StatusCode::NOT_FOUND,
                format!("Unknown API function: {name:?}"),
            )),
        }
    }

    /// Keeps an answer for those who ask after it by name.
    fn start_job(&self, answer: Value) -> Value {
        let mut jobs = lock(&self.sharing.jobs);
        let name = format!("dbjid:sharing-{:020x}", jobs.len() + 1);
        jobs.insert(name.clone(), (answer, false));
        json!({".tag": "async_job_id", "async_job_id": name})
    }

    /// `sharing/check_share_job_status` and `sharing/check_remove_member_job_status`: done the second time.
    fn check_job(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: JobArg = call.arg()?;
        let mut jobs = lock(&self.sharing.jobs);
        let Some((answer, asked)) = jobs.get_mut(&arg.async_job_id) else {
            return Err(ApiError::Endpoint(tag("invalid_async_job_id")));
        };
        match std::mem::replace(asked, true) {
            false => Ok(tag("in_progress")),
            true => Ok(answer.clone()),
        }
    }
}

/// What a listing's cursor says: after which entry it goes on.
fn cursor_after(state: &State, after: &str) -> String {
    state.ids.seal("sharing", after.as_bytes())
}

fn after_cursor(state: &State, cursor: &str) -> Option<String> {
    String::from_utf8(state.ids.open("sharing", cursor)?).ok()
}

fn endpoint(error: Value) -> ItemError {
    ItemError::Endpoint(error)
}
