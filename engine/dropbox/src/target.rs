//! What a finished upload becomes: the file it is committed as, and what Dropbox reports of it.

use std::sync::Arc;

use windlass_core::{
    AssetId, Clock, Correlation, Digests, Draft, Error, Evidence, Kind, Placed, Result, Revision,
    Stamp, Status,
};

use crate::client::{Api, Routed};
use crate::commits::{Announced, Commits, Order, Refused, Work};
use crate::errors::{DeleteError, Failure, LookupError, PathError, WriteConflict, WriteError};
use crate::stamps::property;
use crate::wire::{CommitInfo, FileMetadata, Metadata, PropertyGroup, WriteMode};

/// Where one upload goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) api: Api,
    pub(crate) commits: Arc<Commits>,
    pub(crate) commit: CommitInfo,
    /// What the file is stamped with, where files are.
    pub(crate) stamping: Option<Stamping>,
    /// The namespace whose lock the commit takes.
    pub(crate) namespace: Arc<str>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What a stamp is made of, but for the digests of the bytes, which are known last.
#[derive(Clone, Debug)]
pub(crate) struct Stamping {
    pub(crate) template: Arc<str>,
    pub(crate) correlation: Correlation,
    pub(crate) draft: Draft,
}

impl Stamping {
    fn property(&self, digests: &Digests) -> Result<PropertyGroup> {
        let stamp = Stamp::new(&self.correlation, digests, &self.draft)?;
        Ok(property(&self.template, &stamp))
    }
}

impl Target {
    /// Commits and holds what Dropbox reports against what was sent.
    pub(crate) async fn place(
        &self,
        work: Work,
        announced: Option<Announced>,
        digests: &Digests,
    ) -> Result<Placed> {
        let mut commit = self.commit.clone();
        if let Some(stamping) = &self.stamping {
            commit.property_groups.push(stamping.property(digests)?);
        }
        let order = Order {
            work,
            commit,
            size: digests.size,
            content_hash: digests.content_hash,
        };
        match self.commits.settle(&self.namespace, order, announced).await {
            Ok(file) => self.compare(file, digests).await,
            Err(Refused::Conflict(error)) => self.adopt_version(digests, error).await,
            Err(Refused::Other(error)) => Err(error.with_context("path", &self.commit.path)),
        }
    }

    /// An upload that lacks bytes is not committed.
    pub(crate) fn incomplete(&self, received: u64, expected: u64) -> Error {
        Error::new(Kind::Integrity, "the file is not complete")
            .with_context("path", &self.commit.path)
            .with_context("received", received)
            .with_context("expected", expected)
    }

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
        let Some(ours) = digests.content_hash else {
            return Err(conflict);
        };
        if self.commit.mode == WriteMode::Add {
            return Err(conflict);
        }
        let found = file_at(&self.api, &self.commit.path).await?;
        match found.filter(|file| file.size == digests.size && file.content_hash == Some(ours)) {
            Some(file) => Ok(placed(file, Evidence::E2)),
            None => Err(conflict.with_status(Status::Permanent).with_hint(
                "the file changed in Dropbox since it was planned; the next run sees it",
            )),
        }
    }
}

/// The file at a path or of an id, as it is now.
pub(crate) async fn file_at(api: &Api, path: &str) -> Result<Option<FileMetadata>> {
    only_file(path, api.metadata(path).await)
}

/// The same, with its properties of one template.
pub(crate) async fn file_with(
    api: &Api,
    path: &str,
    template: &Arc<str>,
) -> Result<Option<FileMetadata>> {
    only_file(path, api.metadata_with(path, template).await)
}

fn only_file(path: &str, looked: Routed<Metadata, PathError>) -> Result<Option<FileMetadata>> {
    match looked {
        Ok(Metadata::File(file)) => Ok(Some(file)),
        Ok(_)
        | Err(Failure::Route(PathError::Path(LookupError::NotFound | LookupError::NotFile), _)) => {
            Ok(None)
        }
        Err(other) => Err(Error::from(other).with_context("path", path)),
    }
}

/// Deletes a file if it still has this revision.
pub(crate) async fn delete(api: &Api, id: &str, rev: &str) -> Result<()> {
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

pub(crate) fn placed(file: FileMetadata, evidence: Evidence) -> Placed {
    Placed {
        asset: AssetId::new(file.id),
        revision: Revision::new(file.rev),
        size: file.size,
        content_hash: file.content_hash,
        evidence,
    }
}

/// Whether another file is what is in the way.
pub(crate) fn is_file(reason: &WriteError) -> bool {
    matches!(reason, WriteError::Conflict(WriteConflict::File))
}
