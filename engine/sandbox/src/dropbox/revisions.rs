//! Earlier contents of a file: listing them, and making one current again.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::folders::ItemError;
use super::meta::{Spot, Target};
use super::paths::{Alias, PathArg};
use super::state::{Event, Ns, State};
use super::tree::Body;
use super::wire::{Union, tag, tagged, whole_seconds};
use crate::blob::lock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListArg {
    path: String,
    mode: Option<Union>,
    #[serde(default = "ten")]
    limit: usize,
    before_rev: Option<String>,
    #[serde(default, rename = "include_restorable_info")]
    _restorable: bool,
}

fn ten() -> usize {
    10
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreArg {
    path: String,
    rev: String,
}

impl Dropbox {
    /// `files/list_revisions`
    pub(super) fn list_revisions(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: ListArg = call.arg()?;
        let path = call.path(&arg.path, Alias::Read)?;
        if !(1..=100).contains(&arg.limit) {
            return Err(call.bad("limit: must be from 1 to 100"));
        }
        let by_id = match arg.mode.as_ref().map(|mode| mode.tag.as_str()) {
            None | Some("path") => false,
            Some("id") => true,
            Some(other) => return Err(call.bad(&format!("mode: unknown tag '{other}'"))),
        };
        let state = lock(&self.state);
        let target = self.locate_read(&state, call.root, &path);
        let Target::Spot(spot) = target.map_err(ApiError::path)? else {
            return Err(ApiError::path(tag("not_found")));
        };
        let mut revs = history(&state, &spot, by_id).map_err(ApiError::path)?;
        revs.reverse();
        if let Some(before) = arg.before_rev {
            let number = state.ids.rev_number(&before);
            let at = revs.iter().position(|rev| Some(*rev) == number);
            let at = at.ok_or_else(|| ApiError::Endpoint(tag("invalid_before_rev")))?;
            revs.drain(..=at);
        }
        let has_more = revs.len() > arg.limit;
        revs.truncate(arg.limit);
        let entries: Vec<Value> = revs
            .into_iter()
            .map(|rev| {
                state
                    .file_metadata(call.root, spot.ns, rev, None, &None)
                    .into()
            })
            .collect();
        let is_deleted = state.node(spot.ns, &spot.key()).is_none();
        Ok(json!({"entries": entries, "has_more": has_more, "is_deleted": is_deleted}))
    }

    /// `files/restore`
    pub(super) async fn restore(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: RestoreArg = call.arg()?;
        let path = call.path(&arg.path, Alias::Write)?;
        let busy = tagged("path_write", tag("too_many_write_operations"));
        let _held = self.hold_for(call, &path, &busy).await?;
        let mut state = lock(&self.state);
        let restored = self.restore_revision(&mut state, call.root, &path, &arg.rev);
        Ok(restored?)
    }

    /// Makes an earlier revision current again. The error is a `RestoreError`.
    pub(super) fn restore_revision(
        &self,
        state: &mut State,
        root: Ns,
        path: &PathArg,
        rev: &str,
    ) -> Result<Value, ItemError> {
        let refuse = |error| ItemError::Endpoint(tagged("path_write", error));
        let spot = self.locate_write(state, root, path).map_err(refuse)?;
        let key = spot.key();
        let known = state.histories.get(&(spot.ns, key.clone()));
        let number = state.ids.rev_number(rev);
        let old = number.filter(|rev| known.is_some_and(|known| known.contains(rev)));
        let old = old.and_then(|rev| state.revisions.get(&rev)).cloned();
        let mut revision = old.ok_or_else(|| ItemError::Endpoint(tag("invalid_revision")))?;
        let (mut events, display) = state.place(spot.ns, &spot.parts).map_err(refuse)?;
        match state.node(spot.ns, &key).map(|node| &node.body) {
            Some(Body::Folder { .. }) => {
                return Err(refuse(tagged("conflict", tag("folder"))));
            }
            Some(Body::File { id, .. }) => revision.id = *id,
            // The old file may have moved on; what comes back is another one then.
            None if state.homes.contains_key(&revision.id) => revision.id = state.number(),
            None => {}
        }
        let rev = state.number();
        revision.path.clone_from(&display);
        revision.server_modified = whole_seconds(self.options.clock.now());
        events.push(Event::File {
            ns: spot.ns,
            path: display,
            rev,
            revision,
            groups: Vec::new(),
        });
        self.commit(state, events)?;
        let node = state.node(spot.ns, &key);
        Ok(state.file_metadata(root, spot.ns, rev, node, &None).into())
    }
}

/// Revisions of a path or of a file, oldest first. The error is a `LookupError`.
fn history(state: &State, spot: &Spot, by_id: bool) -> Result<Vec<u64>, Value> {
    let key = spot.key();
    let node = state.node(spot.ns, &key);
    if node.is_some_and(super::tree::Node::is_folder) {
        return Err(tag("not_file"));
    }
    if by_id {
        let id = node.ok_or_else(|| tag("not_found"))?.body.id();
        let all = state.revisions.iter();
        let own = all.filter(|(_, revision)| revision.id == id);
        return Ok(own.map(|(rev, _)| *rev).collect());
    }
    let known = state.histories.get(&(spot.ns, key));
    known.cloned().ok_or_else(|| tag("not_found"))
}
