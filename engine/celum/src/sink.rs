//! Writing: drafts checked before bytes move, and an asset or a version made of an upload.
//!
//! What a commit placed and cannot vouch for is taken away again. Where its answer is lost, or what
//! follows it cannot be finished now, it ends as `Ambiguous`, and the caller asks [`Sink::find`].
//!
//! What is left behind: a handle whose upload never came, broke off or was never made an asset of expires at
//! the tenant with its bytes, and nobody sees it. Nothing can list or delete handles, so nothing here tries.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use windlass_core::digest::ChecksumAlgorithm;
use windlass_core::{
    AssetId, AssetPath, Calls, Correlation, Destination, Digests, Draft, Error, Evidence, Expected,
    Fault, Kind, Load, Placed, Result, Revision, Sink, Status, UploadSession,
};

use crate::client::{CreateAsset, Got};
use crate::edit::Checked;
use crate::endpoint::{CelumEndpoint, Shared};
use crate::session::CelumSession;
use crate::wire::{self, StatedAvailability};

/// Faults are believed only when they come of knowledge that is younger than this: somebody may have
/// added the type, the field or the keyword since.
pub(crate) const FAULTS_AGE_MAX: Duration = Duration::from_secs(60);

#[async_trait]
impl Sink for CelumEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        let shared = &self.shared;
        let faults = shared.check_drafts(drafts).await?;
        let clean = faults.iter().all(Vec::is_empty);
        if clean || !shared.is_older_than(FAULTS_AGE_MAX).await {
            return Ok(faults);
        }
        shared.refresh().await;
        shared.check_drafts(drafts).await
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        let (onto, replaces) = match destination {
            Destination::New { .. } => (None, None),
            Destination::Version {
                asset, replaces, ..
            } => (Some(id_of(asset)?), replaces.clone()),
        };
        if let (Some(asset), Some(replaces)) = (onto, &replaces) {
            let now = self.shared.unchanged(asset, replaces).await?;
            self.shared.must_be_free(&now).await?;
        }
        let commit = Commit {
            draft: destination.draft().clone(),
            onto,
            replaces,
            correlation: correlation.clone(),
        };
        Ok(Box::new(CelumSession::new(
            Arc::clone(&self.shared),
            commit,
            size,
        )))
    }

    async fn resume(
        &self,
        _destination: &Destination,
        _size: u64,
        _correlation: &Correlation,
        _session: &str,
        _acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        // CELUM has no upload that outlives its request.
        Ok(None)
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        self.shared.find(destination, correlation, expected).await
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        let now = self.shared.reread(id_of(asset)?).await?;
        let is_left = self.shared.must_be_free(&now).await?;
        let asset = now.id;
        self.shared.set_metadata(now, draft, None).await?;
        match is_left {
            true => self.shared.unlock(asset).await,
            false => Ok(()),
        }
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let id = id_of(&placed.asset)?;
        let Some(asset) = self.shared.api.asset(id).await? else {
            return Ok(());
        };
        if asset.current_version.id.to_string() != placed.revision.as_str() {
            return Ok(());
        }
        self.shared.remove_current(&asset).await
    }

    async fn reuse(
        &self,
        held: &Placed,
        destination: &Destination,
        _correlation: &Correlation,
        digests: &Digests,
    ) -> Result<Option<Placed>> {
        let Destination::New { draft } = destination else {
            return Ok(None);
        };
        self.shared.link(held, &draft.collection, digests).await
    }

    async fn recognises(&self) -> Result<Option<ChecksumAlgorithm>> {
        let rule = self.shared.calibrate_once().await;
        Ok(rule.map(|rule| rule.algorithm))
    }

    async fn recognise(&self, contents: &[(u64, Vec<u8>)]) -> Result<Vec<Option<AssetId>>> {
        self.shared.recognise(contents).await
    }

    async fn unlink(&self, asset: &AssetId, collection: &AssetPath) -> Result<bool> {
        self.shared.unlink(id_of(asset)?, collection).await
    }

    async fn calls_to_write(&self, load: &Load) -> Result<Calls> {
        self.shared.calls_to_write(load).await
    }
}

impl Shared {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        let mut collections: HashMap<String, (bool, Vec<Fault>)> = HashMap::new();
        let mut all = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let key = draft.collection.key();
            if !collections.contains_key(&key) {
                let looked = self.look_at_collection(&draft.collection).await?;
                collections.insert(key.clone(), looked);
            }
            let (strict, mut faults) = collections[&key].clone();
            faults.extend(self.faults(draft, strict).await?);
            all.push(faults);
        }
        Ok(all)
    }
}

/// What is to be made of an upload.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) draft: Draft,
    /// The asset that gets a version; a new asset without.
    pub(crate) onto: Option<i64>,
    /// The version that it replaces, and no other.
    pub(crate) replaces: Option<Revision>,
    pub(crate) correlation: Correlation,
}

/// A content that arrived and is not visible.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) handle: String,
    /// The tenant's own checksum of what was sent, where its kind is known.
    pub(crate) checksum: Option<String>,
    /// The content itself, where it is small and the kind is not known.
    pub(crate) kept: Option<Vec<u8>>,
}

/// What a commit made, and how it is taken back.
struct Made {
    asset: wire::Asset,
    undo: Undo,
}

/// How a commit is taken back. An asset that was there before is never deleted.
#[derive(Clone, Copy)]
enum Undo {
    /// The asset is new: all of it goes.
    Asset,
    /// Only this version goes, and the one before is current again.
    Version { version: i64, before: i64 },
}

impl Commit {
    /// Makes it visible, and nothing but it where it replaces one version and no other.
    pub(crate) async fn make(
        &self,
        shared: &Shared,
        sent: Sent,
        digests: &Digests,
    ) -> Result<Placed> {
        let (Some(asset), Some(replaces)) = (self.onto, &self.replaces) else {
            return self.place(shared, sent, digests).await;
        };
        shared.lock(asset, replaces, &self.correlation).await?;
        let outcome = self.place(shared, sent, digests).await;
        shared.unlock_after(asset, outcome).await
    }

    /// Makes it visible, compares what the tenant reports, and only then completes it.
    async fn place(&self, shared: &Shared, sent: Sent, digests: &Digests) -> Result<Placed> {
        let made = match self.onto {
            None => self.create(shared, &sent, digests).await?,
            Some(asset) => self.add_version(shared, asset, &sent).await?,
        };
        let evidence = match agree(shared, &made.asset.current_version, &sent, digests.size) {
            Ok(evidence) => evidence,
            Err(error) => return Err(made.undo.because(error, shared, made.asset.id).await),
        };
        match self.complete(shared, &made.asset, digests).await {
            Ok(()) => Ok(placed(&made.asset, &made.asset.current_version, evidence)),
            // The content is right and in place. Whoever finds it completes it.
            Err(error) if error.status() != Status::Permanent => Err(Error::new(
                Kind::Ambiguous,
                "the content is in place, and its metadata could not be completed",
            )
            .with_context("asset", made.asset.id)
            .with_source(error)),
            Err(error) => Err(made.undo.because(error, shared, made.asset.id).await),
        }
    }

    async fn create(&self, shared: &Shared, sent: &Sent, digests: &Digests) -> Result<Made> {
        let draft = &self.draft;
        let collection = shared.collection(&draft.collection).await?;
        let Checked { type_id, values } =
            shared.resolve_whole(draft, collection.strict, None).await?;
        let asset_type = draft.asset_type.as_deref();
        let stamp = shared
            .stamp(draft, asset_type, &self.correlation, digests)
            .await?;
        let values: Vec<_> = values.into_iter().chain(stamp).collect();
        let body = CreateAsset {
            name: &draft.name,
            parent_id: collection.id,
            type_id,
            upload_handle: &sent.handle,
            information_field_values: &values,
        };
        // First, because whoever drops this future loses the answer as well.
        let checksum = sent.checksum.as_ref();
        shared.attempts.sent(&self.correlation, checksum);
        match shared.api.create_asset(&body).await? {
            Got::Value(asset) => {
                shared.attempts.made(&self.correlation, asset.id);
                Ok(Made {
                    asset,
                    undo: Undo::Asset,
                })
            }
            Got::Refused(refusal) => {
                let absent = refusal.is_absent();
                let error = shared.refused(refusal, "creating the asset").await;
                if !absent {
                    return Err(error);
                }
                // Something that was known is gone: the next try looks again.
                shared.refresh().await;
                Err(error.with_status(Status::Temporary))
            }
        }
    }

    async fn add_version(&self, shared: &Shared, asset: i64, sent: &Sent) -> Result<Made> {
        let old = shared.reread(asset).await?;
        let asked = shared.asked_of(&old, &self.draft).await?;
        // What would be refused afterwards is found before anything is visible.
        shared
            .resolve_whole(&asked.draft, asked.strict, Some(&old))
            .await?;
        // The upload took its time, and so may what was looked up just now. From here on the lock holds others off.
        let old = match &self.replaces {
            Some(replaces) => shared.unchanged(asset, replaces).await?,
            None => old,
        };
        let checksum = sent.checksum.as_ref();
        shared.attempts.sent(&self.correlation, checksum);
        let (filename, handle) = (&self.draft.file_name, &sent.handle);
        let version = match shared.api.add_version(asset, filename, handle).await? {
            Got::Value(version) => version,
            Got::Refused(refusal) => return Err(shared.refused(refusal, "adding a version").await),
        };
        let undo = Undo::Version {
            version: version.id,
            before: old.current_version.id,
        };
        match self.activate(shared, asset, version.id).await {
            Ok(asset) => Ok(Made { asset, undo }),
            Err(error) if error.status() == Status::Permanent => {
                Err(undo.because(error, shared, asset).await)
            }
            Err(error) => Err(Error::new(
                Kind::Ambiguous,
                "a version was added and cannot be seen",
            )
            .with_context("asset", asset)
            .with_source(error)),
        }
    }

    /// Makes sure that the new version is the current one, and reads the asset back.
    async fn activate(&self, shared: &Shared, asset: i64, version: i64) -> Result<wire::Asset> {
        let now = shared.reread(asset).await?;
        if now.current_version.id == version {
            return Ok(now);
        }
        if shared.profile.auto_activate {
            tracing::debug!(asset, version, "a new version is not current yet");
        }
        let body = json!({ "currentVersion": version });
        shared.patch(asset, &body, "activating the version").await?;
        let now = shared.reread(asset).await?;
        match now.current_version.id == version {
            true => Ok(now),
            false => Err(
                Error::new(Kind::Conflict, "another version was activated meanwhile")
                    .with_context("asset", asset)
                    .with_context("version", version),
            ),
        }
    }

    /// What cannot be said in the call that makes content visible. `made`: as it is now.
    async fn complete(&self, shared: &Shared, made: &wire::Asset, digests: &Digests) -> Result<()> {
        if self.onto.is_some() {
            let made_of = Some((&self.correlation, digests));
            return shared
                .set_metadata(made.clone(), &self.draft, made_of)
                .await;
        }
        let Some(availability) = &self.draft.availability else {
            return Ok(());
        };
        let wanted = wire::Availability::from(availability);
        if made.availability == Some(StatedAvailability::Known(wanted.clone())) {
            return Ok(());
        }
        let body = json!({ "availability": wanted });
        let doing = "setting its availability";
        shared.patch(made.id, &body, doing).await
    }
}

impl Undo {
    /// Takes back what was made, and says so with the error that made it necessary.
    async fn because(self, error: Error, shared: &Shared, asset: i64) -> Error {
        let undone = match self {
            Undo::Asset => shared.remove_asset(asset).await,
            Undo::Version { version, before } if version != before => {
                shared.remove_version(asset, version, before).await
            }
            Undo::Version { .. } => {
                return error
                    .with_context("asset", asset)
                    .with_context("left", "no other version could be told from it");
            }
        };
        let error = error.with_context("asset", asset);
        match undone {
            Ok(()) => error.with_context("undone", "what was placed was removed again"),
            Err(failure) => error.with_context("removing it failed", failure),
        }
    }
}

/// Holds the tenant's word against what was sent.
fn agree(shared: &Shared, version: &wire::Version, sent: &Sent, size: u64) -> Result<Evidence> {
    if version.filesize != size {
        let message = format!("CELUM reports {} bytes; {size} were sent", version.filesize);
        return Err(Error::new(Kind::Integrity, message));
    }
    let Some(theirs) = &version.file_checksum else {
        return Ok(Evidence::E0);
    };
    if let Some(ours) = &sent.checksum {
        return match ours == theirs {
            true => Ok(Evidence::E2),
            false => Err(Error::new(
                Kind::Integrity,
                format!("CELUM reports the checksum {theirs}; ours is {ours}"),
            )),
        };
    }
    let Some(kept) = &sent.kept else {
        return Ok(Evidence::E0);
    };
    shared.calibration.learn(kept, theirs);
    let rule = shared.calibration.known();
    match rule.is_some_and(|rule| rule.of(kept) == *theirs) {
        true => Ok(Evidence::E2),
        false => Ok(Evidence::E0),
    }
}

/// The id of an asset as it is in the ledger.
pub(crate) fn id_of(asset: &AssetId) -> Result<i64> {
    asset.as_str().parse().map_err(|_| {
        Error::new(
            Kind::InvalidInput,
            format!("{asset:?} is not the id of an asset in CELUM"),
        )
    })
}

pub(crate) fn placed(asset: &wire::Asset, version: &wire::Version, evidence: Evidence) -> Placed {
    Placed {
        asset: AssetId::new(asset.id.to_string()),
        revision: Revision::new(version.id.to_string()),
        size: version.filesize,
        content_hash: None,
        evidence,
    }
}
