//! Sharing a folder, and where it is mounted.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Dropbox;
use super::super::call::Call;
use super::super::error::ApiError;
use super::super::folders::ItemError;
use super::super::limits::Busy;
use super::super::paths::{self, Alias, Parts, PathArg};
use super::super::state::{Event, Ns, State};
use super::super::wire::{Union, tag, tagged, timestamp, with_tag};
use super::{Share, after_cursor, cursor_after, endpoint};
use crate::blob::lock;

/// The most entries of a page.
const LIMIT_MAX: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareArg {
    path: String,
    #[serde(default)]
    force_async: bool,
    access_inheritance: Option<Union>,
    // Policies are taken and kept as the defaults: nobody but the account writes here.
    #[serde(default, rename = "acl_update_policy")]
    _acl: Option<Union>,
    #[serde(default, rename = "member_policy")]
    _member: Option<Union>,
    #[serde(default, rename = "shared_link_policy")]
    _link: Option<Union>,
    #[serde(default, rename = "viewer_info_policy")]
    _viewer: Option<Union>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArg {
    #[serde(default = "most")]
    limit: usize,
    #[serde(default, rename = "actions")]
    _actions: Option<Vec<Union>>,
}

fn most() -> usize {
    LIMIT_MAX
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorArg {
    cursor: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderArg {
    shared_folder_id: String,
    #[serde(default, rename = "actions")]
    _actions: Option<Vec<Union>>,
}

impl State {
    /// A shared folder by its id. The error is a `SharedFolderAccessError`.
    pub(super) fn share(&self, id: &str) -> Result<(Ns, &Share), Value> {
        let ns: Option<Ns> = id.parse().ok();
        let found = ns.and_then(|ns| Some((ns, self.shares.get(&ns)?)));
        found.ok_or_else(|| tag("invalid_id"))
    }

    pub(super) fn is_mounted(&self, ns: Ns, share: &Share) -> bool {
        self.homes
            .get(&share.folder)
            .is_some_and(|(home, _)| *home != ns)
    }

    /// `SharedFolderMetadata`.
    pub(super) fn shared_folder(&self, root: Ns, ns: Ns, share: &Share) -> Map<String, Value> {
        let place = self.place_of(share);
        let display = place.map_or("", |(_, node)| node.display.as_str());
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("access_inheritance", tag("inherit"));
        put("access_type", tag(&share.level));
        put("is_inside_team_folder", false.into());
        put("is_team_folder", false.into());
        put("name", paths::name(display).into());
        let policy = json!({
            "acl_update_policy": tag("editors"), "member_policy": tag("anyone"),
            "resolved_member_policy": tag("anyone"), "shared_link_policy": tag("anyone"),
        });
        put("policy", policy);
        let url = format!(
            "https://www.dropbox.com/scl/fo/{}",
            self.ids.secret("folder", ns)
        );
        put("preview_url", url.into());
        put("shared_folder_id", ns.to_string().into());
        put("time_invited", timestamp(share.at).into());
        if self.is_mounted(ns, share)
            && let Some((home, node)) = place
            && let Some(shown) = self.shown_path(root, home, &node.display)
        {
            put("path_display", shown.into());
            put("path_lower", paths::fold(shown).into());
        }
        members
    }

    /// Why a place cannot be shared: a `SharePathError`.
    fn unshareable(&self, root: Ns, ns: Ns, key: &str, item: u64) -> Option<Value> {
        if let Some((id, share)) = self.share_at(ns, key) {
            return Some(match share.folder == item {
                true => with_tag("already_shared", self.shared_folder(root, id, share)),
                false => tag("inside_shared_folder"),
            });
        }
        let holds = self.shares.values().any(|share| {
            let home = self.homes.get(&share.folder);
            home.is_some_and(|(home, folder)| *home == ns && paths::within(folder, key))
        });
        holds.then(|| tag("contains_shared_folder"))
    }
}

impl Dropbox {
    /// `sharing/share_folder`
    pub(super) async fn share_folder(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ShareArg = call.arg()?;
        let path = call.path(&arg.path, Alias::WriteOrId)?;
        if arg
            .access_inheritance
            .is_some_and(|how| how.tag != "inherit")
        {
            return Err(call.bad("access_inheritance: this emulator knows inherit only"));
        }
        let ns = self.namespace_of(call.root, &path);
        let _held = match self.hold(call, &[ns], None).await {
            Ok(held) => held,
            Err(Busy::Call(error)) => return Err(error),
            // The route has no error of its own for it.
            Err(Busy::Endpoint) => {
                return Err(ApiError::Locked {
                    seconds: 1,
                    in_body: true,
                });
            }
        };
        let shared = self.share_item(call.root, &path, "owner")?;
        let complete = with_tag("complete", shared);
        match arg.force_async || self.options.share_jobs {
            true => Ok(self.start_job(complete)),
            false => Ok(complete),
        }
    }

    /// Makes a folder a namespace of its own. The error is a `ShareFolderError`.
    pub(super) fn share_item(
        &self,
        root: Ns,
        path: &PathArg,
        level: &str,
    ) -> Result<Map<String, Value>, ItemError> {
        let refuse = |error| endpoint(tagged("bad_path", error));
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let spot = self.locate(state, root, path);
        let spot = spot.map_err(|_| refuse(tag("invalid_path")))?;
        let key = spot.key();
        let node = state.node(spot.ns, &key);
        let node = node.ok_or_else(|| refuse(tag("invalid_path")))?;
        if !node.is_folder() {
            return Err(refuse(tag("is_file")));
        }
        let (folder, name) = (node.body.id(), paths::name(&node.display).to_owned());
        if let Some(error) = state.unshareable(root, spot.ns, &key, folder) {
            return Err(refuse(error));
        }
        let ns = state.namespaces.keys().next_back().map_or(1, |ns| ns + 1);
        let shared = Event::Shared {
            ns,
            folder,
            level: level.to_owned(),
            at: self.options.clock.now(),
        };
        self.commit(state, vec![Event::Namespace { ns, name }, shared])?;
        let share = state.shares.get(&ns);
        Ok(share.map_or_else(Map::new, |share| state.shared_folder(root, ns, share)))
    }

    /// `sharing/list_folders` and `sharing/list_mountable_folders`
    pub(super) fn list_folders(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ListArg = call.arg()?;
        if !(1..=LIMIT_MAX).contains(&arg.limit) {
            return Err(call.bad("limit: must be from 1 to 1000"));
        }
        Ok(self.folders_after(call, 0, arg.limit))
    }

    /// The same, from a cursor on.
    pub(super) fn list_folders_continue(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: CursorArg = call.arg()?;
        let after = after_cursor(&lock(&self.state), &arg.cursor);
        let after = after.and_then(|after| {
            let (limit, ns) = after.split_once(' ')?;
            Some((limit.parse().ok()?, ns.parse().ok()?))
        });
        let (limit, after) = after.ok_or_else(|| ApiError::Endpoint(tag("invalid_cursor")))?;
        Ok(self.folders_after(call, after, limit))
    }

    fn folders_after(&self, call: &Call, after: Ns, limit: usize) -> Value {
        let state = lock(&self.state);
        let mut rest = state.shares.range(after + 1..);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let entries = page.iter();
        let entries = entries.map(|(ns, share)| state.shared_folder(call.root, **ns, share));
        let mut answer = json!({ "entries": entries.collect::<Vec<_>>() });
        if let (Some((last, _)), Some(_)) = (page.last(), rest.next()) {
            answer["cursor"] = cursor_after(&state, &format!("{limit} {last}")).into();
        }
        answer
    }

    /// `sharing/get_folder_metadata`
    pub(super) fn get_folder_metadata(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: FolderArg = call.arg()?;
        let state = lock(&self.state);
        let (ns, share) = state
            .share(&arg.shared_folder_id)
            .map_err(ApiError::Endpoint)?;
        Ok(state.shared_folder(call.root, ns, share).into())
    }

    /// `sharing/mount_folder`
    pub(super) async fn mount_folder(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: FolderArg = call.arg()?;
        if call.wants("no-quota") {
            let error = json!({
                ".tag": "insufficient_quota", "space_left": 0, "space_needed": 1, "space_shortage": 1,
            });
            return Err(ApiError::Endpoint(error));
        }
        let ns = self.mount(call.root, &arg.shared_folder_id)?;
        let state = lock(&self.state);
        let share = state.shares.get(&ns);
        let shown = share.map(|share| state.shared_folder(call.root, ns, share));
        Ok(shown.unwrap_or_default().into())
    }

    /// Brings a folder back to the top of a tree. The error is a `MountFolderError`.
    pub(super) fn mount(&self, root: Ns, id: &str) -> Result<Ns, ItemError> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let share = state.share(id);
        let (ns, share) = share.map_err(|error| endpoint(tagged("access_error", error)))?;
        if state.is_mounted(ns, share) {
            return Err(endpoint(tag("already_mounted")));
        }
        let from = state.place_of(share).map(|(_, node)| node.display.clone());
        let from = from.ok_or_else(|| endpoint(tag("not_mountable")))?;
        let parts = Parts::of(&from, true).map_err(|_| endpoint(tag("not_mountable")))?;
        let parts = match state.node(root, &parts.key()) {
            None => parts,
            Some(_) => state.free_name(root, &parts, paths::numbered),
        };
        let to = parts.display();
        let moved = Event::Moved {
            ns,
            from,
            to_ns: root,
            to,
        };
        self.commit(state, vec![moved])?;
        Ok(ns)
    }

    /// `sharing/unmount_folder`
    pub(super) async fn unmount_folder(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: FolderArg = call.arg()?;
        self.take_down(&arg.shared_folder_id)?;
        Ok(Value::Null)
    }

    /// Takes a folder out of the account's tree. The error is an `UnmountFolderError`.
    pub(super) fn take_down(&self, id: &str) -> Result<(), ItemError> {
        let refuse = |error| endpoint(tagged("access_error", error));
        let mut state = lock(&self.state);
        let (ns, share) = state.share(id).map_err(refuse)?;
        if !state.is_mounted(ns, share) {
            return Err(refuse(tag("unmounted")));
        }
        let place = state.place_of(share);
        let (home, from) = match place {
            Some((home, node)) => (home, node.display.clone()),
            None => return Err(endpoint(tag("not_unmountable"))),
        };
        let to = format!("/{}", paths::name(&from));
        let moved = Event::Moved {
            ns: home,
            from,
            to_ns: ns,
            to,
        };
        self.commit(&mut state, vec![moved])?;
        Ok(())
    }
}
