//! Making folders, deleting, moving and copying: one at a time or in batches that succeed entry by entry.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::limits::Busy;
use super::paths::{self, Alias, PathArg};
use super::state::{Event, Ns, Revision, State};
use super::tree::Body;
use super::wire::{tag, tagged};
use super::write::conflict;
use crate::blob::lock;

/// The most files and folders that one move or copy touches.
const ITEMS_MAX: usize = 10_000;
/// The most entries of a delete, move or copy batch.
const ENTRIES_MAX: usize = 1000;
/// The most paths of a folder batch.
const FOLDERS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateArg {
    path: String,
    #[serde(default)]
    autorename: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBatchArg {
    paths: Vec<String>,
    #[serde(default)]
    autorename: bool,
    #[serde(default)]
    force_async: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteArg {
    path: String,
    parent_rev: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteBatchArg {
    entries: Vec<DeleteArg>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelocateArg {
    from_path: String,
    to_path: String,
    #[serde(default)]
    autorename: bool,
    #[serde(default, rename = "allow_ownership_transfer")]
    _ownership: bool,
    #[serde(default, rename = "allow_shared_folder")]
    _shared: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelocateEntry {
    from_path: String,
    to_path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RelocateBatchArg {
    entries: Vec<RelocateEntry>,
    #[serde(default)]
    autorename: bool,
    #[serde(default, rename = "allow_ownership_transfer")]
    _ownership: bool,
}

/// A refusal of one item: the route's error, or the emulator's own trouble.
#[derive(Debug)]
pub(super) enum ItemError {
    Endpoint(Value),
    Io(std::io::Error),
}

impl From<std::io::Error> for ItemError {
    fn from(error: std::io::Error) -> Self {
        ItemError::Io(error)
    }
}

impl From<ItemError> for ApiError {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Endpoint(error) => ApiError::Endpoint(error),
            ItemError::Io(error) => ApiError::Io(error),
        }
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemError::Endpoint(error) => f.write_str(&super::error::summary(error)),
            ItemError::Io(error) => error.fmt(f),
        }
    }
}

/// The answer to a batch that is done when its call is.
/// A batch whose answer is fetched by its name. It is done by then; asked once, it says that it is not.
#[derive(Debug)]
pub(super) struct BatchJob {
    /// `None` for one that nobody finds again.
    entries: Option<Vec<Value>>,
    asked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobArg {
    async_job_id: String,
}

fn complete(entries: Vec<Value>) -> Value {
    json!({".tag": "complete", "entries": entries})
}

impl Dropbox {
    /// `files/create_folder_v2`
    pub(super) async fn create_folder(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: CreateArg = call.arg()?;
        let path = call.path(&arg.path, Alias::Write)?;
        let busy = tagged("path", tag("too_many_write_operations"));
        let _held = self.hold_for(call, &path, &busy).await?;
        let made = self.make_folder(call.root, &path, arg.autorename)?;
        Ok(json!({ "metadata": made }))
    }

    /// `files/create_folder_batch`
    pub(super) async fn create_folder_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: CreateBatchArg = call.arg()?;
        if arg.paths.len() > FOLDERS_MAX {
            return Err(call.bad("paths: List must have at most 10000 items"));
        }
        if arg.force_async {
            return Err(call.bad("force_async: this emulator has no asynchronous jobs"));
        }
        let paths = arg.paths.iter().map(|path| call.path(path, Alias::Write));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let busy = tagged("path", tag("too_many_write_operations"));
        let result = self
            .batch(
                call,
                &paths,
                &paths,
                |path| {
                    let made = self.make_folder(call.root, path, arg.autorename)?;
                    Ok(json!({".tag": "success", "metadata": made}))
                },
                &busy,
            )
            .await?;
        Ok(complete(result))
    }

    /// Runs a batch under the locks of the namespaces of `paths`, entry by entry.
    async fn batch<T>(
        &self,
        call: &Call,
        paths: &[PathArg],
        entries: &[T],
        mut each: impl FnMut(&T) -> Result<Value, ItemError>,
        busy: &Value,
    ) -> Result<Vec<Value>, ApiError> {
        let spaces: Vec<Ns> = paths
            .iter()
            .map(|path| self.namespace_of(call.root, path))
            .collect();
        let held = match self.hold(call, &spaces, Some(entries.len())).await {
            Err(Busy::Call(error)) => return Err(error),
            Err(Busy::Endpoint) => None,
            Ok(held) => Some(held),
        };
        let mut results = Vec::with_capacity(entries.len());
        for entry in entries {
            let result = match held {
                Some(_) => each(entry),
                None => Err(ItemError::Endpoint(busy.clone())),
            };
            results.push(match result {
                Ok(success) => success,
                Err(ItemError::Endpoint(error)) => tagged("failure", error),
                Err(ItemError::Io(error)) => return Err(error.into()),
            });
        }
        Ok(results)
    }

    /// Makes a folder and its missing parents; `FolderMetadata` without a tag.
    pub(super) fn make_folder(
        &self,
        root: Ns,
        path: &PathArg,
        autorename: bool,
    ) -> Result<Value, ItemError> {
        let refuse = |error| ItemError::Endpoint(tagged("path", error));
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let spot = self.locate_write(state, root, path).map_err(refuse)?;
        let there = state.node(spot.ns, &spot.key()).map(what);
        let parts = match there {
            None => spot.parts,
            Some(_) if autorename => state.free_name(spot.ns, &spot.parts, paths::numbered),
            Some(what) => return Err(refuse(conflict(what))),
        };
        let (mut events, display) = state.place(spot.ns, &parts).map_err(refuse)?;
        events.push(Event::Folder {
            ns: spot.ns,
            path: display,
            id: state.number(),
        });
        self.commit(state, events)?;
        let node = state.node(spot.ns, &parts.key());
        let made = node.map(|node| state.folder(root, spot.ns, node, &None));
        Ok(made.unwrap_or_default().into())
    }

    /// `files/delete_v2`
    pub(super) async fn delete(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: DeleteArg = call.arg()?;
        let path = call.path(&arg.path, Alias::WriteOrId)?;
        let busy = tag("too_many_write_operations");
        let _held = self.hold_for(call, &path, &busy).await?;
        let gone = self.delete_item(call.root, &path, arg.parent_rev.as_deref())?;
        Ok(json!({ "metadata": gone }))
    }

    /// `files/delete_batch`
    pub(super) async fn delete_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: DeleteBatchArg = call.arg()?;
        if arg.entries.len() > ENTRIES_MAX {
            return Err(call.bad("entries: List must have at most 1000 items"));
        }
        let paths = arg.entries.iter();
        let paths = paths.map(|entry| call.path(&entry.path, Alias::WriteOrId));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let entries: Vec<_> = paths.iter().zip(&arg.entries).collect();
        let busy = tag("too_many_write_operations");
        let each = |(path, entry): &(&PathArg, &DeleteArg)| {
            let gone = self.delete_item(call.root, path, entry.parent_rev.as_deref())?;
            Ok(json!({".tag": "success", "metadata": gone}))
        };
        let result = self.batch(call, &paths, &entries, each, &busy).await?;
        Ok(complete(result))
    }

    /// Deletes an item and everything below it; its metadata until now.
    pub(super) fn delete_item(
        &self,
        root: Ns,
        path: &PathArg,
        parent_rev: Option<&str>,
    ) -> Result<Value, ItemError> {
        let missing = |error| ItemError::Endpoint(tagged("path_lookup", error));
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let spot = self.locate(state, root, path).map_err(missing)?;
        let node = state.node(spot.ns, &spot.key());
        let node = node.ok_or_else(|| missing(tag("not_found")))?;
        if let Some(wanted) = parent_rev {
            let current = match &node.body {
                Body::File { rev, .. } => state.ids.rev(*rev) == wanted,
                Body::Folder { .. } => false,
            };
            if !current {
                let error = tagged("path_write", conflict(what(node)));
                return Err(ItemError::Endpoint(error));
            }
        }
        if state.is_read_only(spot.ns, &spot.key()) {
            let error = tagged("path_write", tag("no_write_permission"));
            return Err(ItemError::Endpoint(error));
        }
        let metadata = state.metadata(root, spot.ns, node, &None);
        let event = Event::Removed {
            ns: spot.ns,
            path: node.display.clone(),
        };
        self.commit(state, vec![event])?;
        Ok(metadata)
    }

    /// `files/copy_v2` and `files/move_v2`
    pub(super) async fn relocate(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: RelocateArg = call.arg()?;
        let from = call.path(&arg.from_path, Alias::WriteOrId)?;
        let to = call.path(&arg.to_path, Alias::WriteOrId)?;
        let busy = tagged("to", tag("too_many_write_operations"));
        let _held = self.hold_for(call, &to, &busy).await?;
        if call.wants("not-yet-there") {
            let error = tagged("from_lookup", tag("not_found"));
            return Err(ApiError::Endpoint(error));
        }
        if call.wants("no-quota") {
            return Err(ApiError::Endpoint(tag("insufficient_quota")));
        }
        let copy = call.route.name.starts_with("files/copy");
        let item = self.relocate_item(call.root, (&from, &to), copy, arg.autorename)?;
        Ok(json!({ "metadata": item }))
    }

    /// `files/copy_batch_v2` and `files/move_batch_v2`
    pub(super) async fn relocate_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: RelocateBatchArg = call.arg()?;
        if !(1..=ENTRIES_MAX).contains(&arg.entries.len()) {
            return Err(call.bad("entries: List must have from 1 to 1000 items"));
        }
        let mut pairs = Vec::with_capacity(arg.entries.len());
        for entry in &arg.entries {
            let from = call.path(&entry.from_path, Alias::WriteOrId)?;
            pairs.push((from, call.path(&entry.to_path, Alias::WriteOrId)?));
        }
        let targets: Vec<PathArg> = pairs.iter().map(|(_, to)| to.clone()).collect();
        let copy = call.route.name.starts_with("files/copy");
        let (mut froms, mut tos) = (HashSet::new(), HashSet::new());
        let each = |(from, to): &(PathArg, PathArg)| {
            let is_repeated = !froms.insert(format!("{from:?}")) && call.wants("repeated-from");
            if !tos.insert(format!("{to:?}")) || is_repeated {
                let error = tag("duplicated_or_nested_paths");
                return Err(ItemError::Endpoint(tagged("relocation_error", error)));
            }
            let item = self.relocate_item(call.root, (from, to), copy, arg.autorename);
            match item {
                Ok(item) => Ok(tagged("success", item)),
                Err(ItemError::Endpoint(error)) => {
                    Err(ItemError::Endpoint(tagged("relocation_error", error)))
                }
                Err(error) => Err(error),
            }
        };
        let busy = tag("too_many_write_operations");
        let result = self.batch(call, &targets, &pairs, each, &busy).await?;
        if arg.entries.len() < self.options.job_entries_min {
            return Ok(complete(result));
        }
        let is_lost = call.wants("job-lost");
        let mut jobs = lock(&self.jobs);
        let name = format!("dbjid:{:024x}", jobs.len() + 1);
        let job = BatchJob {
            entries: (!is_lost).then_some(result),
            asked: false,
        };
        jobs.insert(name.clone(), job);
        Ok(json!({".tag": "async_job_id", "async_job_id": name}))
    }

    /// `files/copy_batch/check_v2` and `files/move_batch/check_v2`
    pub(super) fn check_batch(&self, call: &Call) -> Result<Value, ApiError> {
        let arg: JobArg = call.arg()?;
        let mut jobs = lock(&self.jobs);
        let job = jobs.get_mut(&arg.async_job_id);
        let known = job.and_then(|job| Some((&mut job.asked, job.entries.as_ref()?)));
        let Some((asked, entries)) = known else {
            return Err(ApiError::Endpoint(tag("invalid_async_job_id")));
        };
        match std::mem::replace(asked, true) {
            false => Ok(tag("in_progress")),
            true => Ok(complete(entries.clone())),
        }
    }

    /// Moves or copies an item with everything below it; its metadata at the new place. The error is a
    /// `RelocationError`.
    pub(super) fn relocate_item(
        &self,
        root: Ns,
        (from, to): (&PathArg, &PathArg),
        copy: bool,
        autorename: bool,
    ) -> Result<Value, ItemError> {
        let missing = |error| ItemError::Endpoint(tagged("from_lookup", error));
        let refuse = |error| ItemError::Endpoint(tagged("to", error));
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let from = self.locate(state, root, from).map_err(missing)?;
        let from_key = from.key();
        let node = state.node(from.ns, &from_key);
        let source = node
            .ok_or_else(|| missing(tag("not_found")))?
            .display
            .clone();
        let to = self.locate_write(state, root, to).map_err(refuse)?;
        let to_key = to.key();
        if from.ns == to.ns && to_key != from_key && paths::within(&to_key, &from_key) {
            let error = tag("cant_move_folder_into_itself");
            return Err(ItemError::Endpoint(error));
        }
        let key = (from.ns, from_key.as_str(), to.ns, to_key.as_str());
        state.may_relocate(key, copy).map_err(ItemError::Endpoint)?;
        let count = state.namespaces.get(&from.ns).map_or(0, |space| {
            space.subtree(&from_key).take(ITEMS_MAX + 1).count()
        });
        if count > ITEMS_MAX {
            return Err(ItemError::Endpoint(tag("too_many_files")));
        }
        let parts = match state.node(to.ns, &to_key).map(what) {
            None => to.parts,
            Some(_) if autorename => state.free_name(to.ns, &to.parts, paths::numbered),
            Some(what) => return Err(refuse(conflict(what))),
        };
        let (mut events, display) = state.place(to.ns, &parts).map_err(refuse)?;
        if copy {
            let copies = state.copies((from.ns, &from_key), (to.ns, &display));
            let bytes: u64 = copies.iter().map(size).sum();
            if state.used.saturating_add(bytes) > self.options.quota_bytes {
                return Err(ItemError::Endpoint(tag("insufficient_quota")));
            }
            events.extend(copies);
        } else if self.options.moves_change_ids
            && state.space_of(from.ns, &from_key) != state.space_of(to.ns, &to_key)
        {
            events.extend(state.copies((from.ns, &from_key), (to.ns, &display)));
            events.push(Event::Removed {
                ns: from.ns,
                path: source,
            });
        } else {
            events.push(Event::Moved {
                ns: from.ns,
                from: source,
                to_ns: to.ns,
                to: display,
            });
        }
        self.commit(state, events)?;
        let node = state.node(to.ns, &parts.key());
        Ok(node.map_or(Value::Null, |node| state.metadata(root, to.ns, node, &None)))
    }
}

fn what(node: &super::tree::Node) -> &'static str {
    match node.is_folder() {
        true => "folder",
        false => "file",
    }
}

fn size(event: &Event) -> u64 {
    match event {
        Event::File { revision, .. } => revision.size,
        _ => 0,
    }
}

impl State {
    /// The events that copy a subtree: new ids, new revisions, the same bytes, no tags and no properties.
    fn copies(&mut self, (ns, from): (Ns, &str), (to_ns, to): (Ns, &str)) -> Vec<Event> {
        let depth = from.matches('/').count();
        let Some(space) = self.namespaces.get(&ns) else {
            return Vec::new();
        };
        let items: Vec<(String, Body)> = space
            .subtree(from)
            .map(|(_, node)| (node.display.clone(), node.body.clone()))
            .collect();
        let mut events = Vec::with_capacity(items.len());
        for (display, body) in items {
            let path = format!("{to}{}", super::state::below(&display, depth));
            let id = self.number();
            match body {
                Body::Folder { .. } => events.push(Event::Folder {
                    ns: to_ns,
                    path,
                    id,
                }),
                Body::File { rev, .. } => {
                    let Some(old) = self.revisions.get(&rev).cloned() else {
                        continue;
                    };
                    let revision = Revision {
                        id,
                        path: path.clone(),
                        ..old
                    };
                    events.push(Event::File {
                        ns: to_ns,
                        path,
                        rev: self.number(),
                        revision,
                        groups: Vec::new(),
                    });
                }
            }
        }
        events
    }
}
