//! Writing: where an upload goes, how it travels, and what is made or taken back beside it.
//!
//! A new file never replaces another, and never adopts one silently: a commit of bytes that are already
//! there is a conflict, because what Windlass did not place it must not take away later. A new version
//! replaces exactly the revision that was there when its upload began.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::{
    AssetId, AssetPath, Calls, Correlation, Destination, Digests, Draft, DraftPart, Endpoint,
    Error, Evidence, Expected, Fault, Kind, Load, Placed, Result, Revision, Sink, Stamp, Status,
    UploadSession, fold_key, preflight_name,
};

use crate::checkpoint::Checkpoint;
use crate::commits::{Order, Refused, Work};
use crate::endpoint::{DropboxEndpoint, NAME_UNITS_MAX, SMALL_BYTES_MAX, wire_path};
use crate::errors::{Failure, LookupError, RestoreError, RevisionsError};
use crate::governing::goes_beside;
use crate::session::{self, LargeSession, Progress};
use crate::small::SmallSession;
use crate::target::{Stamping, Target, delete, file_at, file_with, placed};
use crate::wire::{CommitInfo, FileMetadata, WriteMode};

/// How often it is tried to take a copy of other bytes back, and how long is waited in between.
const TAKE_BACK_TRIES: u32 = 5;
const TAKE_BACK_WAIT: Duration = Duration::from_secs(2);

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
        correlation: &Correlation,
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
        if size > SMALL_BYTES_MAX {
            let target = self.target(destination, correlation, None).await?;
            let mut started = self.sessions.take(1, 1).await?;
            let Some(fresh) = started.pop() else {
                unreachable!("one was asked for");
            };
            let at = Checkpoint {
                session: fresh.id,
                session_type: self.session_type,
                born: fresh.born,
                revision: None,
            };
            let session = LargeSession::new(target, size, &at, Progress::default());
            return Ok(Box::new(session));
        }
        // First of all: the express lane waits for it while its target is looked up.
        let lane = self.express.clone().map(|express| {
            let ticket = express.begin();
            (express, ticket)
        });
        let target = self.target(destination, correlation, None).await?;
        Ok(Box::new(SmallSession::new(target, size, lane)))
    }

    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        let Some(at) = Checkpoint::parse(session, self.clock.now()) else {
            return Ok(None);
        };
        // A version goes on to replace what it was begun to replace, and nothing newer.
        let version = matches!(destination, Destination::Version { .. });
        if version != at.revision.is_some() {
            return Ok(None);
        }
        if let Some(replaces) = replaces(destination)
            && at.revision.as_deref() != Some(replaces.as_str())
        {
            return Ok(None);
        }
        let Some(progress) = session::look_at(&self.api, &at, size, acknowledged).await? else {
            return Ok(None);
        };
        let target = self
            .target(destination, correlation, at.revision.clone())
            .await?;
        Ok(Some(Box::new(LargeSession::new(
            target, size, &at, progress,
        ))))
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        // The same bytes in the same place are ours, and those that carry our stamp wherever people moved them by now.
        // Without a hash to compare, a file of the same size proves nothing.
        let Some(wanted) = expected.content_hash else {
            return Ok(None);
        };
        let path = match destination {
            Destination::New { draft } => wire_path(&target(draft)),
            Destination::Version { asset, .. } => asset.as_str().to_owned(),
        };
        let is_wanted =
            |file: &FileMetadata| file.size == expected.size && file.content_hash == Some(wanted);
        let found = file_at(&self.api, &path).await?.filter(is_wanted);
        if let Some(file) = found {
            return Ok(Some(placed(file, Evidence::E2)));
        }
        let (Destination::New { draft }, Some(blake3)) = (destination, expected.blake3) else {
            return Ok(None);
        };
        let digests = Digests {
            blake3,
            content_hash: Some(wanted),
            size: expected.size,
        };
        let stamp = Stamp::new(correlation, &digests, draft)?;
        for id in self.stamps.find(&stamp).await? {
            if let Some(file) = file_at(&self.api, &id).await?.filter(is_wanted) {
                return Ok(Some(placed(file, Evidence::E2)));
            }
        }
        Ok(None)
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        if let Some(fault) = faults(&standing(draft, None)).into_iter().next() {
            let error = Error::new(Kind::InvalidInput, fault.to_string());
            return Err(match fault.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        let template = self.governing.template(draft).await?;
        let looked = match &template {
            Some(template) => file_with(&self.api, asset.as_str(), template).await?,
            None => file_at(&self.api, asset.as_str()).await?,
        };
        let current = looked.ok_or_else(|| gone(asset))?;
        self.put_where(&current, draft).await?;
        match template {
            Some(template) => self.governing.write(template, &current, draft).await,
            None => Ok(()),
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

    async fn calls_to_write(&self, load: &Load) -> Result<Calls> {
        Ok(self.calls_to_write_load(load))
    }

    /// What was copied says itself whether it is the right content, so nobody asks before.
    async fn reuse(
        &self,
        held: &Placed,
        destination: &Destination,
        _correlation: &Correlation,
        digests: &Digests,
    ) -> Result<Option<Placed>> {
        let (Destination::New { draft }, Some(wanted)) = (destination, digests.content_hash) else {
            // A copy replaces nothing, and one that cannot be recognised proves nothing.
            return Ok(None);
        };
        let place = target(draft);
        let path = wire_path(&place);
        let order = Order {
            work: Work::Copy {
                from: held.asset.as_str().to_owned(),
            },
            commit: CommitInfo {
                path: path.clone(),
                mode: WriteMode::Add,
                mute: true,
                strict_conflict: true,
                // A copy takes none.
                property_groups: Vec::new(),
            },
            size: digests.size,
            content_hash: Some(wanted),
        };
        let namespace = self.namespace_of(&place);
        let file = match self.commits.settle(&namespace, order, None).await {
            Ok(file) => file,
            Err(Refused::Conflict(error)) => return Err(error.with_context("path", &path)),
            Err(Refused::Other(error)) => {
                return match error.kind() {
                    // It is gone or may not be used: the bytes are sent instead.
                    Kind::NotFound | Kind::Restricted => {
                        tracing::info!(asset = %held.asset, error = %error.chain(), "it cannot be copied");
                        Ok(None)
                    }
                    _ => Err(error.with_context("path", &path)),
                };
            }
        };
        if file.size == digests.size && file.content_hash == Some(wanted) {
            return Ok(Some(placed(file, Evidence::E2)));
        }
        // People changed what we placed, and the copy is of that.
        tracing::info!(asset = %held.asset, "it has other bytes by now; its copy is taken back");
        let mut tries = TAKE_BACK_TRIES;
        loop {
            tries -= 1;
            match delete(&self.api, &file.id, &file.rev).await {
                Ok(()) => return Ok(None),
                // Our own batches hold the folder's lock, too.
                Err(error) if error.status() != Status::Permanent && tries > 0 => {
                    tokio::time::sleep(TAKE_BACK_WAIT).await;
                }
                Err(error) => {
                    return Err(error.with_context("left behind", &file.id).with_hint(
                        "it has other bytes than the file that it is named after: remove it",
                    ));
                }
            }
        }
    }
}

impl DropboxEndpoint {
    /// What an upload to this destination is committed as. A version replaces `revision`, or the one that
    /// is there now.
    async fn target(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        revision: Option<String>,
    ) -> Result<Target> {
        let place = target(destination.draft());
        let (path, mode) = match (destination, revision) {
            (Destination::New { .. }, _) => (wire_path(&place), WriteMode::Add),
            (Destination::Version { asset, .. }, revision) => {
                let replaced = match revision {
                    Some(revision) => revision,
                    None => {
                        let current = self.current(asset).await?;
                        must_be(&current, replaces(destination))?;
                        current.rev
                    }
                };
                (asset.as_str().to_owned(), WriteMode::Update(replaced))
            }
        };
        Ok(Target {
            api: self.api.clone(),
            commits: Arc::clone(&self.commits),
            commit: CommitInfo {
                path,
                mode,
                mute: true,
                strict_conflict: true,
                property_groups: Vec::new(),
            },
            stamping: self.stamps.template().await?.map(|template| Stamping {
                template,
                correlation: correlation.clone(),
                draft: destination.draft().clone(),
            }),
            namespace: self.namespace_of(&place),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The file as it is now; gone is an error here.
    async fn current(&self, asset: &AssetId) -> Result<FileMetadata> {
        let found = file_at(&self.api, asset.as_str()).await?;
        found.ok_or_else(|| gone(asset))
    }

    /// Moves a file to where a draft wants it, if it is elsewhere.
    async fn put_where(&self, current: &FileMetadata, draft: &Draft) -> Result<()> {
        let at = current.path_display.as_deref();
        let at = at.or(current.path_lower.as_deref());
        let wanted = wire_path(&target(&standing(draft, at)));
        // Dropbox does not move a file to another spelling of its own name.
        if at.is_some_and(|at| fold_key(at) == fold_key(&wanted)) {
            return Ok(());
        }
        let moved = self.api.relocate(&current.id, &wanted).await;
        let Err(failure) = moved else {
            return Ok(());
        };
        let error = Error::from(failure).with_context("path", &wanted);
        if error.kind() != Kind::Ambiguous {
            return Err(error);
        }
        // The answer was lost: look whether it happened.
        match file_at(&self.api, &wanted).await? {
            Some(file) if file.id == current.id => Ok(()),
            _ => Err(error),
        }
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

fn gone(asset: &AssetId) -> Error {
    Error::new(Kind::NotFound, "the file is no longer in Dropbox").with_context("asset", asset)
}

/// The revision that a version replaces, and no other.
fn replaces(destination: &Destination) -> Option<&Revision> {
    match destination {
        Destination::New { .. } => None,
        Destination::Version { replaces, .. } => replaces.as_ref(),
    }
}

/// Refuses to replace another revision before any byte is sent.
fn must_be(current: &FileMetadata, wanted: Option<&Revision>) -> Result<()> {
    if wanted.is_none_or(|wanted| wanted.as_str() == current.rev) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        "somebody changed the file in Dropbox since it was placed",
    )
    .with_context("asset", &current.id)
    .with_context("revision", &current.rev)
    .with_hint("keep or move that file; Windlass does not overwrite what people changed"))
}

/// What of a draft counts for a file that is at this place: a name or a folder that yields stays what it is.
fn standing(draft: &Draft, at: Option<&str>) -> Draft {
    let mut counts = draft.standing();
    counts.collection = draft.collection.clone();
    let Some(at) = at.map(AssetPath::new) else {
        return counts;
    };
    if draft.yields.contains(&DraftPart::Collection) {
        counts.collection = at.parent();
    }
    if draft.yields.contains(&DraftPart::Name) {
        counts.file_name = at.name().to_owned();
    }
    counts
}

fn target(draft: &Draft) -> AssetPath {
    draft.collection.join(&draft.file_name)
}

/// What Dropbox would refuse, or would have to drop.
fn faults(draft: &Draft) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut whole = |message: String, hint: Option<&str>| {
        faults.push(Fault {
            field: None,
            message,
            hint: hint.map(str::to_owned),
            unknown: None,
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
    let lost = draft.fields.iter().filter(|_| !goes_beside(draft));
    faults.extend(lost.map(|assigned| Fault {
        field: Some(assigned.field.clone()),
        message: "Dropbox keeps no fields".to_owned(),
        hint: Some("remove the field from the flow, or choose another sink".to_owned()),
        unknown: None,
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
