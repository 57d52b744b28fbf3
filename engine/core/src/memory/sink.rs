//! Writing into memory: sessions whose chunks the endpoint keeps until a commit makes them appear all at
//! once, also for a process that comes later.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::endpoint::{MemoryEndpoint, Operation};
use super::store::{File, Store, gone};
use crate::asset::{AssetId, AssetPath, Readable};
use crate::digest::{Blake3, ContentHash, Digests};
use crate::error::{Error, Kind, Result};
use crate::metadata::{Correlation, Destination, Draft, DraftPart, Fault};
use crate::names::preflight_name;
use crate::ports::{
    Capabilities, Chunk, Endpoint, Evidence, Expected, Placed, Reuse, Sink, UploadOrder,
    UploadSession,
};
use crate::ranges::Ranges;
use crate::stamp::Stamp;

#[async_trait]
impl Sink for MemoryEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        let store = self.enter(Operation::CheckDrafts)?;
        let limit = self.capabilities().name_units_max;
        let faults = |draft: &Draft| faults(&store, draft, limit, false);
        Ok(drafts.iter().map(faults).collect())
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        let mut store = self.enter(Operation::Begin)?;
        if let Some(max) = self
            .capabilities()
            .asset_bytes_max
            .filter(|max| size > *max)
        {
            let message = format!("the asset has {size} bytes; {max} are allowed");
            return Err(Error::new(Kind::InvalidInput, message));
        }
        if let Destination::Version { asset, .. } = destination
            && store.file(asset).is_none()
        {
            return Err(gone(asset));
        }
        let id = store.open_session();
        drop(store);
        Ok(Box::new(self.session(id, destination, size, correlation)))
    }

    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        _acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        let store = self.enter(Operation::Resume)?;
        // What was acknowledged is asked of the store, which cannot be wrong about it.
        let id = session.parse::<u64>().ok();
        let known = id.filter(|id| self.capabilities().resumes && store.sessions.contains_key(id));
        drop(store);
        Ok(known.map(|id| {
            let session = self.session(id, destination, size, correlation);
            Box::new(session) as Box<dyn UploadSession>
        }))
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let store = self.enter(Operation::Find)?;
        let same_place = |file: &&File| match destination {
            Destination::New { .. } => true,
            Destination::Version { asset, .. } => file.asset.id == *asset,
        };
        let same_bytes = |file: &&File| {
            file.asset.size == expected.size
                && expected
                    .content_hash
                    .is_none_or(|hash| ContentHash::of(&file.bytes) == hash)
        };
        // A DAM keeps versions: people may have added others since.
        let keeps_versions = !self.capabilities().lists_content_hash;
        let depth = if keeps_versions { usize::MAX } else { 1 };
        let mine = store
            .files()
            .filter(|file| file.correlation.as_ref() == Some(correlation))
            .filter(same_place)
            .find_map(|file| {
                let versions = std::iter::successors(Some(file), |one| one.previous.as_deref());
                versions.take(depth).find(same_bytes)
            });
        Ok(mine.map(|file| placed(file, self.capabilities())))
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        let mut store = self.enter(Operation::SetMetadata)?;
        refuse(faults(
            &store,
            draft,
            self.capabilities().name_units_max,
            true,
        ))?;
        let draft = kept(&store, asset, draft)?;
        if !self.capabilities().metadata {
            // What is kept beside a file is one thing, and replaced as a whole.
            forget_fields(&mut store, asset);
        }
        apply(&mut store, asset, &draft)
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let mut store = self.enter(Operation::Remove)?;
        let current = store
            .file(&placed.asset)
            .is_some_and(|file| file.asset.revision == placed.revision);
        if current && !store.restore_previous(&placed.asset) {
            store.remove_file(&placed.asset);
        }
        Ok(())
    }

    async fn reuse(
        &self,
        held: &Placed,
        destination: &Destination,
        correlation: &Correlation,
        digests: &Digests,
    ) -> Result<Option<Placed>> {
        let mut store = self.enter(Operation::Reuse)?;
        let sheet = self.capabilities();
        let draft = destination.draft();
        let same = store.file(&held.asset).filter(|file| {
            file.asset.readable == Readable::Yes
                && file.asset.revision == held.revision
                && Blake3::of(&file.bytes) == digests.blake3
        });
        let Some(bytes) = same.map(|file| file.bytes.clone()) else {
            return Ok(None);
        };
        let id = match sheet.reuse {
            None => return Ok(None),
            Some(Reuse::Link) => held.asset.clone(),
            Some(Reuse::Copy) => {
                refuse(faults(&store, draft, sheet.name_units_max, true))?;
                let id = store.add_file(&target(draft), bytes)?.asset.id.clone();
                apply(&mut store, &id, &carried(draft, sheet))?;
                id
            }
        };
        let file = store.file_mut(&id).ok_or_else(|| gone(&id))?;
        match sheet.reuse {
            Some(Reuse::Link) => {
                file.links.insert(draft.collection.clone());
            }
            _ => {
                file.correlation = Some(correlation.clone());
                file.stamp = Some(Stamp::new(correlation, digests, draft)?);
            }
        }
        let placed = placed(file, sheet);
        drop(store);
        drop(self.enter(Operation::ReuseAnswer)?);
        Ok(Some(placed))
    }

    async fn unlink(&self, asset: &AssetId, collection: &AssetPath) -> Result<bool> {
        let mut store = self.enter(Operation::Unlink)?;
        let Some(file) = store.file_mut(asset) else {
            return Ok(true);
        };
        file.links.remove(collection);
        if file.asset.path.parent() != *collection {
            return Ok(true);
        }
        // It moves to where it was linked to, and stays where it is nowhere else.
        let Some(other) = file.links.pop_first() else {
            return Ok(false);
        };
        let to = other.join(file.asset.path.name());
        store.move_file(asset, &to)?;
        Ok(true)
    }
}

/// An upload whose chunks wait in the endpoint for the commit.
struct MemorySession {
    endpoint: MemoryEndpoint,
    id: u64,
    destination: Destination,
    correlation: Correlation,
    size: u64,
}

impl MemoryEndpoint {
    fn session(
        &self,
        id: u64,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> MemorySession {
        MemorySession {
            endpoint: self.clone(),
            id,
            destination: destination.clone(),
            correlation: correlation.clone(),
            size,
        }
    }
}

impl std::fmt::Debug for MemorySession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemorySession")
            .field("id", &self.id)
            .field("correlation", &self.correlation)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl UploadSession for MemorySession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        let mut store = self.endpoint.enter(Operation::Append)?;
        let chunks = store.session(self.id)?;
        self.check(chunks, &chunk)?;
        // A copy: the chunk itself is paid from its sender's budget.
        chunks.insert(chunk.offset, Bytes::copy_from_slice(&chunk.bytes));
        drop(store);
        // The chunk is there; only the answer may be lost.
        drop(self.endpoint.enter(Operation::AppendAnswer)?);
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        let mut store = self.endpoint.lock();
        let chunks = store.session(self.id).map(|chunks| ranges(chunks));
        chunks.unwrap_or_default().to_vec()
    }

    fn checkpoint(&self) -> Option<String> {
        let resumes = self.endpoint.capabilities().resumes;
        resumes.then(|| self.id.to_string())
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        let mut store = self.endpoint.enter(Operation::Commit)?;
        let sheet = self.endpoint.capabilities();
        let draft = self.destination.draft();
        refuse(faults(&store, draft, sheet.name_units_max, true))?;
        let bytes = self.content(store.session(self.id)?, digests)?;
        let id = match &self.destination {
            Destination::New { draft } => {
                let path = target(draft);
                store.add_file(&path, bytes)?.asset.id.clone()
            }
            Destination::Version {
                asset,
                draft,
                replaces,
            } => {
                if let Some(replaces) = replaces {
                    let now = store.file(asset).ok_or_else(|| gone(asset))?;
                    if now.asset.revision != *replaces {
                        return Err(Error::new(
                            Kind::Conflict,
                            "somebody changed it since it was placed",
                        )
                        .with_context("asset", asset));
                    }
                }
                // First what can be refused, so that a refusal leaves the old version alone.
                let draft = kept(&store, asset, draft)?;
                store.move_file(asset, &target(&draft))?;
                store.new_version(asset, bytes)?;
                asset.clone()
            }
        };
        let draft = match &self.destination {
            Destination::New { draft } => draft.clone(),
            Destination::Version { draft, .. } => kept(&store, &id, draft)?,
        };
        apply(&mut store, &id, &carried(&draft, sheet))?;
        let file = store.file_mut(&id).ok_or_else(|| gone(&id))?;
        file.correlation = Some(self.correlation.clone());
        file.stamp = Some(Stamp::new(&self.correlation, digests, &draft)?);
        let placed = placed(file, sheet);
        store.sessions.remove(&self.id);
        drop(store);
        drop(self.endpoint.enter(Operation::CommitAnswer)?);
        Ok(placed)
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.endpoint.lock().sessions.remove(&self.id);
        Ok(())
    }
}

impl MemorySession {
    /// Refuses what the sheet does not allow.
    fn check(&self, chunks: &BTreeMap<u64, Bytes>, chunk: &Chunk) -> Result<()> {
        let sheet = self.endpoint.capabilities();
        let Range { start, end } = chunk.range();
        let length = end - start;
        let refuse = |what: &str| {
            let message = format!("the chunk {start}..{end} of {} bytes {what}", self.size);
            Err(Error::new(Kind::InvalidInput, message))
        };
        if length == 0 || end > self.size {
            return refuse("is empty or ends behind the asset");
        }
        if length > sheet.chunk_bytes_max {
            return refuse("is larger than the sheet allows");
        }
        let multiple = sheet.chunk_multiple.max(1);
        let whole =
            start.is_multiple_of(multiple) && (end == self.size || length.is_multiple_of(multiple));
        if !whole {
            return refuse("is not a multiple of the sheet's");
        }
        match chunk.content_hash {
            None if sheet.wants_chunk_hash => return refuse("has no content hash"),
            Some(hash) if hash != ContentHash::of(&chunk.bytes) => {
                return refuse("has another content hash");
            }
            _ => {}
        }
        // A chunk that is sent again replaces itself; any other overlap is a caller's mistake.
        let again = chunks
            .get(&start)
            .is_some_and(|there| there.len() == chunk.bytes.len());
        if !again && ranges(chunks).overlaps(&(start..end)) {
            return refuse("overlaps another one");
        }
        if sheet.upload_order == UploadOrder::InOrder && start > ranges(chunks).prefix_end() {
            return refuse("is out of order");
        }
        Ok(())
    }

    /// The whole content, if it is complete and is what the digests say.
    fn content(&self, chunks: &BTreeMap<u64, Bytes>, digests: &Digests) -> Result<Bytes> {
        let end = ranges(chunks).prefix_end();
        if end != self.size {
            let message = format!("{end} of {} bytes were appended", self.size);
            return Err(Error::new(Kind::InvalidInput, message));
        }
        let mut content = BytesMut::new();
        for chunk in chunks.values() {
            content.extend_from_slice(chunk);
        }
        let content = content.freeze();
        let same = digests.size == self.size
            && digests.blake3 == Blake3::of(&content)
            && digests
                .content_hash
                .is_none_or(|hash| hash == ContentHash::of(&content));
        if !same {
            return Err(Error::new(
                Kind::Integrity,
                "the bytes that arrived are not the ones that were sent; nothing was placed",
            ));
        }
        Ok(content)
    }
}

/// What the chunks cover.
fn ranges(chunks: &BTreeMap<u64, Bytes>) -> Ranges {
    let ranges = chunks.iter();
    ranges
        .map(|(offset, chunk)| *offset..*offset + chunk.len() as u64)
        .collect()
}

fn target(draft: &Draft) -> AssetPath {
    draft.collection.join(&draft.file_name)
}

/// What a draft makes of an asset that is there: what yields is as it is.
fn kept(store: &Store, asset: &AssetId, draft: &Draft) -> Result<Draft> {
    let there = &store.file(asset).ok_or_else(|| gone(asset))?.asset.path;
    let mut draft = draft.clone();
    let (name, collection) = (draft.file_name.clone(), draft.collection.clone());
    draft = draft.standing();
    draft.file_name = match draft.yields.contains(&DraftPart::Name) {
        true => there.name().to_owned(),
        false => name,
    };
    draft.collection = match draft.yields.contains(&DraftPart::Collection) {
        true => there.parent(),
        false => collection,
    };
    Ok(draft)
}

/// What of a draft comes with the bytes: without metadata of its own, an endpoint is told fields afterwards.
fn carried(draft: &Draft, sheet: &Capabilities) -> Draft {
    let mut draft = draft.clone();
    if !sheet.metadata {
        draft.fields.clear();
    }
    draft
}

fn forget_fields(store: &mut Store, asset: &AssetId) {
    if let Some(draft) = store.file_mut(asset).and_then(|file| file.draft.as_mut()) {
        draft.fields.clear();
    }
}

/// What the endpoint refuses of a draft; `late` adds what it would not have told beforehand.
fn faults(store: &Store, draft: &Draft, name_units_max: usize, late: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Err(problem) = preflight_name(&draft.file_name, name_units_max) {
        faults.push(Fault {
            field: None,
            message: problem.to_string(),
            hint: Some("rename the file".to_owned()),
            unknown: None,
        });
    }
    for assigned in &draft.fields {
        let refusal = store.refused.get(&assigned.field);
        if let Some(refusal) = refusal.filter(|refusal| refusal.told_early || late) {
            faults.push(Fault {
                field: Some(assigned.field.clone()),
                message: refusal.message.clone(),
                hint: None,
                unknown: None,
            });
        }
    }
    faults
}

fn refuse(faults: Vec<Fault>) -> Result<()> {
    match faults.first() {
        None => Ok(()),
        Some(fault) => Err(Error::new(Kind::InvalidInput, fault.to_string())),
    }
}

/// Makes an asset what a draft says; fields that the draft does not name stay.
fn apply(store: &mut Store, id: &AssetId, draft: &Draft) -> Result<()> {
    store.place_file(id, &target(draft))?;
    let file = store.file_mut(id).ok_or_else(|| gone(id))?;
    let mut now = draft.clone();
    if let Some(before) = file.draft.take() {
        for assigned in before.fields {
            if !now.fields.iter().any(|field| field.field == assigned.field) {
                now.fields.push(assigned);
            }
        }
        now.asset_type = now.asset_type.or(before.asset_type);
        now.availability = now.availability.or(before.availability);
    }
    now.fields.sort_by(|a, b| a.field.cmp(&b.field));
    file.draft = Some(now);
    Ok(())
}

pub(super) fn placed(file: &File, sheet: &Capabilities) -> Placed {
    let states = sheet.states_content_hash;
    Placed {
        asset: file.asset.id.clone(),
        revision: file.asset.revision.clone(),
        size: file.asset.size,
        content_hash: states.then(|| ContentHash::of(&file.bytes)),
        evidence: if states { Evidence::E2 } else { Evidence::E0 },
    }
}
