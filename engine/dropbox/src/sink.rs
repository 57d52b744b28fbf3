//! Writing: small files in one call, larger ones by an upload session, and commits that are compared.
//!
//! A new file never replaces another, and never adopts one silently: a commit of bytes that are already
//! there is a conflict, because what Windlass did not place it must not take away later. A new version
//! replaces exactly the revision that was there when its upload began.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use windlass_core::{
    AssetId, AssetPath, ContentHash, Correlation, Destination, Digests, Draft, Endpoint, Error,
    Evidence, Expected, Fault, Kind, Placed, Result, Revision, Sink, Status, UploadSession,
    fold_key, preflight_name,
};

use crate::client::Api;
use crate::endpoint::{DropboxEndpoint, NAME_UNITS_MAX, wire_path};
use crate::errors::{
    CorrectOffset, DeleteError, Failure, FinishError, LookupError, PathError, RestoreError,
    RevisionsError, SessionError, UploadError, WriteConflict, WriteError,
};
use crate::wire::{CommitInfo, FileMetadata, Metadata, SessionCursor, WriteMode};

/// Up to this size a file travels in one call with its commit; a session costs two calls more.
const ONE_CALL_BYTES_MAX: u64 = 4 << 20;

/// How often one chunk is sent again because it arrived damaged or in part.
const APPEND_AGAIN: u32 = 4;

/// How often a commit is sent whose answers are lost. Each time the target is looked at first.
const COMMIT_AGAIN: u32 = 5;

/// The wait before a lost commit is sent again; it doubles. Dropbox may still be at work on the first.
const COMMIT_WAIT: Duration = Duration::from_secs(1);

/// From this size on a chunk is hashed away from the runtime's threads: 1 MiB takes about half a
/// millisecond.
const HASH_ASIDE_BYTES: usize = 1 << 20;

/// Names that Dropbox reserves, in any case.
const RESERVED: &[&str] = &[
    "desktop.ini",
    "thumbs.db",
    ".ds_store",
    "icon\r",
    ".dropbox",
    ".dropbox.attr",
    ".dropbox.cache",
];

#[async_trait]
impl Sink for DropboxEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        Ok(drafts.iter().map(faults).collect())
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        _correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        if let Some(max) = self
            .capabilities()
            .asset_bytes_max
            .filter(|max| size > *max)
        {
            return Err(Error::new(
                Kind::InvalidInput,
                format!("the file has {size} bytes; Dropbox stores {max}"),
            ));
        }
        let commit = match destination {
            Destination::New { draft } => CommitInfo {
                path: wire_path(&target(draft)),
                mode: WriteMode::Add,
                mute: true,
                strict_conflict: true,
            },
            Destination::Version { asset, .. } => {
                let current = self.current(asset).await?;
                CommitInfo {
                    path: asset.as_str().to_owned(),
                    mode: WriteMode::Update(current.rev),
                    mute: true,
                    strict_conflict: true,
                }
            }
        };
        let way = match size <= ONE_CALL_BYTES_MAX {
            true => Way::OneCall(Mutex::default()),
            false => {
                let started = self.api.start().await.map_err(Error::from)?;
                Way::Session {
                    id: started.session_id,
                    acknowledged: Mutex::new(0),
                }
            }
        };
        Ok(Box::new(DropboxSession {
            api: self.api.clone(),
            commit,
            size,
            chunk_bytes_max: self.capabilities().chunk_bytes_max,
            way,
        }))
    }

    async fn find(
        &self,
        destination: &Destination,
        _correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        // Dropbox has no place for a correlation: the same bytes in the same place are ours. Without a
        // hash to compare, a file of the same size proves nothing.
        let Some(wanted) = expected.content_hash else {
            return Ok(None);
        };
        let path = match destination {
            Destination::New { draft } => wire_path(&target(draft)),
            Destination::Version { asset, .. } => asset.as_str().to_owned(),
        };
        let found = file_at(&self.api, &path).await?;
        Ok(found
            .filter(|file| file.size == expected.size && file.content_hash == Some(wanted))
            .map(|file| placed(file, Evidence::E2)))
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        if let Some(fault) = faults(draft).into_iter().next() {
            let error = Error::new(Kind::InvalidInput, fault.to_string());
            return Err(match fault.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        let wanted = wire_path(&target(draft));
        let current = self.current(asset).await?;
        let at = current.path_display.or(current.path_lower);
        // Dropbox does not move a file to another spelling of its own name.
        if at.is_some_and(|at| fold_key(&at) == fold_key(&wanted)) {
            return Ok(());
        }
        let moved = self.api.relocate(asset.as_str(), &wanted).await;
        let Err(failure) = moved else {
            return Ok(());
        };
        let error = Error::from(failure).with_context("path", &wanted);
        if error.kind() != Kind::Ambiguous {
            return Err(error);
        }
        // The answer was lost: look whether it happened.
        match file_at(&self.api, &wanted).await? {
            Some(file) if file.id == asset.as_str() => Ok(()),
            _ => Err(error),
        }
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let (id, rev) = (placed.asset.as_str(), placed.revision.as_str());
        let known = match self.api.revisions(id).await {
            Ok(known) => known,
            Err(Failure::Route(RevisionsError::Path(LookupError::NotFound), _)) => return Ok(()),
            Err(other) => return Err(other.into()),
        };
        let mut entries = known.entries.into_iter();
        let (current, previous) = (entries.next(), entries.next());
        let Some(current) = current.filter(|current| !known.is_deleted && current.rev == rev)
        else {
            return Ok(());
        };
        match previous {
            // It became a version of a file that was there before: that one comes back.
            Some(previous) => self.bring_back(&current, &previous.rev).await,
            None => delete(&self.api, id, rev).await,
        }
    }
}

impl DropboxEndpoint {
    /// The file as it is now; gone is an error here.
    async fn current(&self, asset: &AssetId) -> Result<FileMetadata> {
        file_at(&self.api, asset.as_str()).await?.ok_or_else(|| {
            Error::new(Kind::NotFound, "the file is no longer in Dropbox")
                .with_context("asset", asset)
        })
    }

    async fn bring_back(&self, current: &FileMetadata, rev: &str) -> Result<()> {
        let Some(path) = current
            .path_lower
            .as_ref()
            .or(current.path_display.as_ref())
        else {
            return Err(Error::new(
                Kind::Unsupported,
                "the earlier version cannot be restored: the file has no path in this account",
            )
            .with_context("asset", &current.id));
        };
        match self.api.restore(path, rev).await {
            Ok(_) | Err(Failure::Route(RestoreError::PathLookup(LookupError::NotFound), _)) => {
                Ok(())
            }
            Err(other) => Err(Error::from(other).with_context("path", path)),
        }
    }
}

/// Deletes a file if it still has this revision.
async fn delete(api: &Api, id: &str, rev: &str) -> Result<()> {
    match api.delete(id, Some(rev)).await {
        Ok(_)
        | Err(Failure::Route(
            DeleteError::PathLookup(LookupError::NotFound)
            // Another revision is there by now: it is not the one that was placed.
            | DeleteError::PathWrite(WriteError::Conflict(_)),
            _,
        )) => Ok(()),
        Err(other) => Err(Error::from(other).with_context("asset", id)),
    }
}

async fn file_at(api: &Api, path: &str) -> Result<Option<FileMetadata>> {
    match api.metadata(path).await {
        Ok(Metadata::File(file)) => Ok(Some(file)),
        Ok(_)
        | Err(Failure::Route(PathError::Path(LookupError::NotFound | LookupError::NotFile), _)) => {
            Ok(None)
        }
        Err(other) => Err(Error::from(other).with_context("path", path)),
    }
}

fn target(draft: &Draft) -> AssetPath {
    draft.collection.join(&draft.file_name)
}

fn placed(file: FileMetadata, evidence: Evidence) -> Placed {
    Placed {
        asset: AssetId::new(file.id),
        revision: Revision::new(file.rev),
        size: file.size,
        content_hash: file.content_hash,
        evidence,
    }
}

/// What Dropbox would refuse, or would have to drop.
fn faults(draft: &Draft) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut whole = |message: String, hint: Option<&str>| {
        faults.push(Fault {
            field: None,
            message,
            hint: hint.map(str::to_owned),
        });
    };
    if draft.file_name.contains('/') {
        whole(
            "the name contains '/', which is not allowed".to_owned(),
            Some("rename the file"),
        );
    } else {
        let path = target(draft);
        for name in path.segments() {
            if let Some(message) = name_fault(name) {
                whole(
                    format!("{name:?}: {message}"),
                    Some("rename the file or folder"),
                );
            }
        }
        if draft.file_name.is_empty() {
            whole("the file has no name".to_owned(), None);
        }
    }
    if draft.asset_type.is_some() || draft.availability.is_some() {
        whole(
            "Dropbox keeps no asset type and no availability".to_owned(),
            Some("remove it from the flow, or choose another sink"),
        );
    }
    faults.extend(draft.fields.iter().map(|assigned| Fault {
        field: Some(assigned.field.clone()),
        message: "Dropbox keeps no fields".to_owned(),
        hint: Some("remove the field from the flow, or choose another sink".to_owned()),
    }));
    faults
}

fn name_fault(name: &str) -> Option<String> {
    // Reserved first: one of them also holds a control character.
    if RESERVED.contains(&name.to_lowercase().as_str()) {
        return Some("Dropbox reserves that name".to_owned());
    }
    if let Err(problem) = preflight_name(name, NAME_UNITS_MAX) {
        return Some(problem.to_string());
    }
    name.ends_with(' ')
        .then(|| "the name ends with a blank, which Dropbox refuses".to_owned())
}

/// How the bytes travel.
#[derive(Debug)]
enum Way {
    /// With the commit. The chunks wait here, at most [`ONE_CALL_BYTES_MAX`] of them, and keep their
    /// permits.
    OneCall(Mutex<Held>),
    /// By appends.
    Session {
        id: String,
        acknowledged: Mutex<u64>,
    },
}

#[derive(Default)]
struct Held {
    chunks: Vec<Bytes>,
    length: u64,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({})", self.length)
    }
}

/// The upload of one file.
#[derive(Debug)]
struct DropboxSession {
    api: Api,
    commit: CommitInfo,
    size: u64,
    chunk_bytes_max: u64,
    way: Way,
}

#[async_trait]
impl UploadSession for DropboxSession {
    async fn append(&self, offset: u64, chunk: Bytes) -> Result<()> {
        let length = chunk.len() as u64;
        let expected = match &self.way {
            Way::OneCall(held) => lock(held).length,
            Way::Session { acknowledged, .. } => *lock(acknowledged),
        };
        if offset != expected || length > self.size - offset || length > self.chunk_bytes_max {
            return Err(
                Error::new(Kind::InvalidInput, "the chunk is not the next one")
                    .with_context("chunk", format!("{offset}+{length}"))
                    .with_context("expected at", expected)
                    .with_context("size", self.size),
            );
        }
        match &self.way {
            Way::OneCall(held) => {
                let mut held = lock(held);
                held.length += length;
                held.chunks.push(chunk);
                Ok(())
            }
            Way::Session { id, acknowledged } => {
                self.append_chunk(id, offset, chunk).await?;
                *lock(acknowledged) = offset + length;
                Ok(())
            }
        }
    }

    fn acknowledged_end(&self) -> u64 {
        match &self.way {
            // Dropbox has seen nothing before the commit.
            Way::OneCall(_) => 0,
            Way::Session { acknowledged, .. } => *lock(acknowledged),
        }
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        let received = match &self.way {
            Way::OneCall(held) => lock(held).length,
            Way::Session { acknowledged, .. } => *lock(acknowledged),
        };
        if received != self.size || digests.size != self.size {
            return Err(Error::new(Kind::Integrity, "the file is not complete")
                .with_context("path", &self.commit.path)
                .with_context("received", received)
                .with_context("expected", self.size));
        }
        let committed = Box::pin(self.settle(digests)).await;
        match committed {
            Ok(file) => self.compare(file, digests).await,
            Err(End::Conflict(error)) => self.adopt_version(digests, error).await,
            Err(End::Other(error)) => Err(error.with_context("path", &self.commit.path)),
        }
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropbox has no call to end a session early; it expires after seven days.
        Ok(())
    }
}

/// Why a commit did not succeed.
enum End {
    /// A file is in the way.
    Conflict(Error),
    Other(Error),
}

impl DropboxSession {
    /// Appends one chunk, and sorts out what an append that arrived before leaves behind.
    async fn append_chunk(&self, id: &str, offset: u64, mut chunk: Bytes) -> Result<()> {
        let end = offset + chunk.len() as u64;
        let mut at = offset;
        let mut again = 0;
        loop {
            let hash = hash(chunk.clone()).await?;
            let cursor = SessionCursor {
                session_id: id,
                offset: at,
            };
            let failure = match self.api.append(cursor, chunk.clone(), hash).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Route(SessionError::IncorrectOffset(CorrectOffset(Some(correct))), _) => {
                    if *correct == end {
                        // It landed before; only the answer was lost.
                        return Ok(());
                    }
                    if !(at..end).contains(correct) {
                        return Err(self.appending(failure, at));
                    }
                    let landed = usize::try_from(*correct - at).unwrap_or(chunk.len());
                    chunk = chunk.slice(landed..);
                    at = *correct;
                }
                Failure::Route(SessionError::ContentHashMismatch, _) => {}
                _ => return Err(self.appending(failure, at)),
            }
            again += 1;
            if again > APPEND_AGAIN {
                return Err(self.appending(failure, at).persistent());
            }
            tracing::debug!(at, again, "the chunk is sent again");
        }
    }

    fn appending(&self, failure: Failure<SessionError>, at: u64) -> Error {
        Error::from(failure)
            .with_context("path", &self.commit.path)
            .with_context("at", at)
    }

    /// Commits, and finds out what became of a commit whose answer was lost: what is there with our
    /// bytes is ours, and as long as nothing is, the session still holds them for another try.
    async fn settle(&self, digests: &Digests) -> std::result::Result<FileMetadata, End> {
        let bytes = match &self.way {
            Way::OneCall(held) => join(std::mem::take(&mut lock(held).chunks)),
            Way::Session { .. } => Bytes::new(),
        };
        let mut lost: Option<Error> = None;
        for round in 0..COMMIT_AGAIN {
            let committed = match &self.way {
                Way::OneCall(_) => self.upload(bytes.clone()).await,
                Way::Session { id, .. } => self.finish(id).await,
            };
            let refused = match committed {
                Err(End::Other(error)) if error.kind() == Kind::Ambiguous => {
                    lost.get_or_insert(error);
                    None
                }
                Err(end) if lost.is_some() => Some(end),
                done => return done,
            };
            match (self.landed(digests).await, refused) {
                (Ok(Some(file)), _) => return Ok(file),
                // It was not there when we looked, and this answer says why it cannot be.
                (Ok(None), Some(end)) => return Err(end),
                (Err(error), _) => {
                    tracing::debug!(%error, "what became of the commit cannot be seen");
                    break;
                }
                (Ok(None), None) => {}
            }
            if round + 1 < COMMIT_AGAIN {
                tokio::time::sleep(COMMIT_WAIT * (1 << round)).await;
            }
        }
        Err(End::Other(lost.unwrap_or_else(|| {
            Error::new(Kind::Ambiguous, "the commit's answer was lost")
        })))
    }

    /// The file that a commit made, if it is there with our bytes. An error when that cannot be told.
    async fn landed(&self, digests: &Digests) -> Result<Option<FileMetadata>> {
        let Some(ours) = digests.content_hash else {
            return Err(Error::new(Kind::Unsupported, "there is no hash to compare"));
        };
        let found = file_at(&self.api, &self.commit.path).await?;
        Ok(found.filter(|file| file.size == digests.size && file.content_hash == Some(ours)))
    }

    async fn upload(&self, bytes: Bytes) -> std::result::Result<FileMetadata, End> {
        let mut again = 0;
        let hash = hash(bytes.clone()).await.map_err(End::Other)?;
        loop {
            let failure = match self.api.upload(&self.commit, bytes.clone(), hash).await {
                Ok(file) => return Ok(file),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Route(UploadError::Path(failed), _) if is_file(&failed.reason) => {
                    return Err(End::Conflict(failure.into()));
                }
                Failure::Route(UploadError::ContentHashMismatch, _) if again < APPEND_AGAIN => {
                    again += 1;
                }
                _ => return Err(End::Other(failure.into())),
            }
        }
    }

    async fn finish(&self, id: &str) -> std::result::Result<FileMetadata, End> {
        let cursor = SessionCursor {
            session_id: id,
            offset: self.size,
        };
        let failure = match self.api.finish(cursor, &self.commit).await {
            Ok(file) => return Ok(file),
            Err(failure) => failure,
        };
        match &failure {
            Failure::Route(FinishError::Path(reason), _) if is_file(reason) => {
                Err(End::Conflict(failure.into()))
            }
            _ => Err(End::Other(failure.into())),
        }
    }

    /// Holds what Dropbox reports against what was sent.
    async fn compare(&self, file: FileMetadata, digests: &Digests) -> Result<Placed> {
        let same_hash = match (file.content_hash, digests.content_hash) {
            (Some(theirs), Some(ours)) => Some(theirs == ours),
            _ => None,
        };
        if file.size == digests.size && same_hash != Some(false) {
            let evidence = match same_hash {
                Some(_) => Evidence::E2,
                // Every call carried a digest that Dropbox checked.
                None => Evidence::E1,
            };
            return Ok(placed(file, evidence));
        }
        let mut error = Error::new(
            Kind::Integrity,
            "Dropbox reports other bytes than were sent",
        )
        .with_context("path", &self.commit.path)
        .with_context("size sent", digests.size)
        .with_context("size reported", file.size);
        error = match self.commit.mode {
            WriteMode::Add => match delete(&self.api, &file.id, &file.rev).await {
                Ok(()) => error.with_context("removed again", &file.id),
                Err(left) => error
                    .with_context("left behind", &file.id)
                    .with_context("because", left),
            },
            // Deleting it would take the earlier versions along.
            WriteMode::Update(_) => error
                .with_context("left behind", &file.rev)
                .with_hint("restore the earlier version in Dropbox"),
        };
        Err(error)
    }

    /// A version whose bytes are already the current ones conflicts under `strict_conflict`, though
    /// nothing is wrong: the asset holds what it should.
    async fn adopt_version(&self, digests: &Digests, conflict: Error) -> Result<Placed> {
        let conflict = conflict.with_context("path", &self.commit.path);
        if self.commit.mode == WriteMode::Add || digests.content_hash.is_none() {
            return Err(conflict);
        }
        match self.landed(digests).await? {
            Some(file) => Ok(placed(file, Evidence::E2)),
            None => Err(conflict.with_status(Status::Permanent).with_hint(
                "the file changed in Dropbox since it was planned; the next run sees it",
            )),
        }
    }
}

fn is_file(reason: &WriteError) -> bool {
    matches!(reason, WriteError::Conflict(WriteConflict::File))
}

/// The block hash of one call's bytes.
async fn hash(bytes: Bytes) -> Result<ContentHash> {
    if bytes.len() < HASH_ASIDE_BYTES {
        return Ok(ContentHash::of(&bytes));
    }
    tokio::task::spawn_blocking(move || ContentHash::of(&bytes))
        .await
        .map_err(|error| {
            Error::new(Kind::Unexpected, "hashing ended abnormally").with_source(error)
        })
}

/// One buffer from many; a single one is not copied.
fn join(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() < 2 {
        return chunks.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        all.extend_from_slice(&chunk);
    }
    all.freeze()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
