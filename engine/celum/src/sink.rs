//! Writing: drafts checked before bytes move, an asset or a version made of an upload, lost answers
//! looked for instead of repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use windlass_core::{
    AssetId, AssetPath, Correlation, Destination, Draft, Error, Evidence, Expected, Fault, Kind,
    Placed, Result, Revision, Sink, UploadSession,
};

use crate::client::{CreateAsset, Got};
use crate::endpoint::{CelumEndpoint, Shared};
use crate::errors::Refusal;
use crate::filter::{Filter, SearchType};
use crate::resolve::{Resolved, changes, resolve};
use crate::session::CelumSession;
use crate::tree::{Known, Reached, why_missing};
use crate::wire;

/// How soon a search that found nothing is asked again; doubled each time.
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(500);

#[async_trait]
impl Sink for CelumEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        let shared = &self.shared;
        let mut collections: HashMap<String, (bool, Vec<Fault>)> = HashMap::new();
        let mut all = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let key = draft.collection.key();
            if !collections.contains_key(&key) {
                let looked = shared.look_at_collection(&draft.collection).await?;
                collections.insert(key.clone(), looked);
            }
            let (strict, mut faults) = collections[&key].clone();
            faults.extend(shared.resolve(draft, strict).await?.faults);
            all.push(faults);
        }
        Ok(all)
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        let commit = Commit {
            draft: destination.draft().clone(),
            onto: match destination {
                Destination::New { .. } => None,
                Destination::Version { asset, .. } => Some(id_of(asset)?),
            },
            correlation: correlation.clone(),
        };
        Ok(Box::new(CelumSession::new(
            Arc::clone(&self.shared),
            commit,
            size,
        )))
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        // A list may not know yet what was made a moment ago: "not there" is only an answer once the
        // index had its time.
        let patience = Duration::from_secs(self.shared.profile.index_lag);
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = FIRST_LOOK_AGAIN;
        loop {
            let found = self.shared.look(destination, correlation, expected).await?;
            let now = tokio::time::Instant::now();
            let settled = matches!(destination, Destination::Version { .. }) || now >= deadline;
            if found.is_some() || settled {
                return Ok(found);
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause *= 2;
        }
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        self.shared.set_metadata(id_of(asset)?, draft, None).await
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let id = id_of(&placed.asset)?;
        let Some(asset) = self.shared.api.asset(id).await? else {
            return Ok(());
        };
        if asset.current_version.id.to_string() != placed.revision.as_str() {
            return Ok(());
        }
        self.shared.remove(id, asset.current_version.id).await
    }
}

/// What is to be made of an upload.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) draft: Draft,
    /// The asset that gets a version; a new asset without.
    pub(crate) onto: Option<i64>,
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

impl Commit {
    /// Makes it visible and compares what the tenant reports.
    pub(crate) async fn make(&self, shared: &Shared, sent: Sent, size: u64) -> Result<Placed> {
        let asset = match self.onto {
            None => self.create(shared, &sent).await?,
            Some(asset) => self.add_version(shared, asset, &sent).await?,
        };
        let evidence = self.compare(shared, &asset, &sent, size).await?;
        Ok(placed(&asset, evidence))
    }

    async fn create(&self, shared: &Shared, sent: &Sent) -> Result<wire::Asset> {
        let draft = &self.draft;
        let collection = shared.collection(&draft.collection).await?;
        let resolved = shared.resolve_whole(draft, collection.strict).await?;
        let mut values = resolved.values;
        values.extend(shared.mark(draft, &self.correlation).await?);
        let body = CreateAsset {
            name: &draft.name,
            parent_id: collection.id,
            type_id: resolved.type_id,
            upload_handle: &sent.handle,
            information_field_values: &values,
        };
        let asset = match shared.api.create_asset(&body).await? {
            Got::Value(asset) => asset,
            Got::Refused(refusal) => {
                return Err(shared.refused(refusal, "creating the asset").await);
            }
        };
        if let Some(availability) = &draft.availability {
            let availability = wire::Availability::from(availability);
            shared
                .patch(
                    asset.id,
                    &json!({ "availability": availability }),
                    "setting its availability",
                )
                .await?;
        }
        Ok(asset)
    }

    async fn add_version(&self, shared: &Shared, asset: i64, sent: &Sent) -> Result<wire::Asset> {
        let version = match shared
            .api
            .add_version(asset, &self.draft.file_name, &sent.handle)
            .await?
        {
            Got::Value(version) => version,
            Got::Refused(refusal) => return Err(shared.refused(refusal, "adding a version").await),
        };
        let mut now = shared.reread(asset).await?;
        if now.current_version.id != version.id {
            if shared.profile.auto_activate {
                tracing::debug!(
                    asset,
                    version = version.id,
                    "a new version is not current yet"
                );
            }
            shared
                .patch(
                    asset,
                    &json!({ "currentVersion": version.id }),
                    "activating the version",
                )
                .await?;
            now = shared.reread(asset).await?;
        }
        shared
            .set_metadata(asset, &self.draft, Some(&self.correlation))
            .await?;
        Ok(now)
    }

    /// Holds the tenant's word against what was sent. What does not agree is taken away again.
    async fn compare(
        &self,
        shared: &Shared,
        asset: &wire::Asset,
        sent: &Sent,
        size: u64,
    ) -> Result<Evidence> {
        let version = &asset.current_version;
        let wrong = if version.filesize != size {
            Some(format!(
                "CELUM reports {} bytes; {size} were sent",
                version.filesize
            ))
        } else {
            match (&sent.checksum, &version.file_checksum) {
                (Some(ours), Some(theirs)) if ours != theirs => Some(format!(
                    "CELUM reports the checksum {theirs}; ours is {ours}"
                )),
                _ => None,
            }
        };
        if let Some(message) = wrong {
            let error = Error::new(Kind::Integrity, message).with_context("asset", asset.id);
            return Err(match shared.remove(asset.id, version.id).await {
                Ok(()) => error.with_context("undone", "what was placed was removed again"),
                Err(failure) => error.with_context("removing it failed", failure),
            });
        }
        if let (Some(kept), Some(stated)) = (&sent.kept, &version.file_checksum) {
            shared.learn(kept, stated);
            let agrees = shared
                .checksum()
                .is_some_and(|rule| rule.of(kept) == *stated);
            return Ok(if agrees { Evidence::E2 } else { Evidence::E0 });
        }
        Ok(match (&sent.checksum, &version.file_checksum) {
            (Some(_), Some(_)) => Evidence::E2,
            _ => Evidence::E0,
        })
    }
}

impl Shared {
    /// Whether a path can take uploads: strictness, and what is wrong with it.
    async fn look_at_collection(&self, path: &AssetPath) -> Result<(bool, Vec<Fault>)> {
        let fault = |message: String, hint: Option<String>| Fault {
            field: None,
            message,
            hint,
        };
        let reached = self.tree.find(&self.api, path).await?;
        let at = match &reached {
            Reached::Whole(known) => known,
            Reached::Partly(above, _) if self.profile.create_collections => above,
            other => {
                let (message, hint) = why_missing(path, other);
                return Ok((true, vec![fault(message, hint)]));
            }
        };
        let takes = self.catalogue().await?.takes_uploads(at.type_id);
        let faults = match takes {
            true => Vec::new(),
            false => vec![fault(
                format!("the collection {path} takes no uploads: it is not permission-defining"),
                Some("name a collection below a permission-defining one".to_owned()),
            )],
        };
        Ok((at.strict, faults))
    }

    async fn collection(&self, path: &AssetPath) -> Result<Known> {
        let locale = self.profile.locales.first().map_or("en", String::as_str);
        self.tree
            .find_or_create(&self.api, path, locale, self.profile.create_collections)
            .await
    }

    pub(crate) async fn resolve(&self, draft: &Draft, strict: bool) -> Result<Resolved> {
        resolve(
            &self.api,
            self.catalogue().await?,
            &self.vocabularies,
            draft,
            strict,
        )
        .await
    }

    /// Resolves a draft that must be without faults by now.
    async fn resolve_whole(&self, draft: &Draft, strict: bool) -> Result<Resolved> {
        let resolved = self.resolve(draft, strict).await?;
        match resolved.faults.as_slice() {
            [] => Ok(resolved),
            faults => {
                let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let error = Error::new(Kind::InvalidInput, told.join("; "));
                Err(match faults.iter().find_map(|fault| fault.hint.clone()) {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                })
            }
        }
    }

    /// The id of the field that carries the correlation mark, where one is configured and there.
    async fn correlation_field(&self) -> Result<Option<i64>> {
        let Some(name) = &self.profile.correlation_field else {
            return Ok(None);
        };
        let sheet = self.catalogue().await?.type_with(name);
        Ok(sheet
            .and_then(|sheet| sheet.fields.get(name))
            .map(|entry| entry.field.id))
    }

    /// The correlation mark as a value, where the draft's asset type has the field.
    async fn mark(
        &self,
        draft: &Draft,
        correlation: &Correlation,
    ) -> Result<Option<wire::FieldEntry>> {
        let (Some(name), Some(asset_type)) = (&self.profile.correlation_field, &draft.asset_type)
        else {
            return Ok(None);
        };
        let sheet = self.catalogue().await?.asset_type(asset_type);
        let field = sheet
            .and_then(|sheet| sheet.fields.get(name))
            .map(|entry| &entry.field);
        Ok(field.map(|field| wire::FieldEntry {
            id: field.id,
            kind: field.kind,
            value: json!(correlation.as_str()),
        }))
    }

    /// Looks once whether a commit happened.
    async fn look(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let mark = self.correlation_field().await?;
        let file_name = &destination.draft().file_name;
        let candidates = match destination {
            // By id, so the index does not matter.
            Destination::Version { asset, .. } => {
                Vec::from_iter(self.api.asset(id_of(asset)?).await?)
            }
            Destination::New { draft } => {
                self.candidates(&draft.collection, mark, correlation)
                    .await?
            }
        };
        let me = self.me().await?;
        let found = candidates.into_iter().find(|asset| {
            let version = &asset.current_version;
            let marked = match mark {
                Some(field) => {
                    asset.value(field).and_then(|value| value.as_str())
                        == Some(correlation.as_str())
                }
                // Without a mark, only what we made ourselves under this very file name.
                None => version.creation.user_id.or(asset.creation.user_id) == Some(me),
            };
            marked && version.filesize == expected.size && version.filename == *file_name
        });
        Ok(found.map(|asset| placed(&asset, Evidence::E0)))
    }

    /// Assets that may carry a mark: what the search knows, and, because it may lag, the newest in the
    /// collection.
    async fn candidates(
        &self,
        collection: &AssetPath,
        mark: Option<i64>,
        correlation: &Correlation,
    ) -> Result<Vec<wire::Asset>> {
        let Reached::Whole(known) = self.tree.find(&self.api, collection).await? else {
            return Ok(Vec::new());
        };
        let mut candidates = self.api.newest_in(known.id).await?;
        if let Some(field) = mark {
            let filter = Filter::TextField {
                information_field_id: field,
                text: correlation.as_str().to_owned(),
                search_type: SearchType::Phrase,
            };
            for hit in self.api.search(&filter).await?.content {
                // A search result leaves fields out, and its index may be old.
                candidates.extend(self.api.asset(hit.id).await?);
            }
        }
        Ok(candidates)
    }

    async fn reread(&self, asset: i64) -> Result<wire::Asset> {
        self.api.asset(asset).await?.ok_or_else(|| {
            Error::new(Kind::NotFound, "the asset is not there any more, or hidden")
                .with_context("asset", asset)
        })
    }

    /// Makes an asset what a draft says, one concern a call, and only where it differs.
    async fn set_metadata(
        &self,
        asset: i64,
        draft: &Draft,
        correlation: Option<&Correlation>,
    ) -> Result<()> {
        let collection = self.collection(&draft.collection).await?;
        let resolved = self.resolve_whole(draft, collection.strict).await?;
        let now = self.reread(asset).await?;
        if now.name != draft.name {
            self.patch(asset, &json!({ "name": draft.name }), "renaming the asset")
                .await?;
        }
        if let Some(type_id) = resolved.type_id.filter(|id| now.type_id != Some(*id)) {
            self.patch(
                asset,
                &json!({ "typeId": type_id }),
                "changing the asset's type",
            )
            .await?;
        }
        let mut values = resolved.values;
        if let Some(correlation) = correlation {
            values.extend(self.mark(draft, correlation).await?);
        }
        let changed = changes(&values, |id| now.value(id).cloned());
        if !changed.is_empty() {
            let body = json!({ "informationFieldValues": changed });
            self.patch(asset, &body, "changing the asset's fields")
                .await?;
        }
        if !now.parent_ids.contains(&collection.id) {
            // Only added: where else people put the asset is theirs to say.
            let body = json!({ "parentIds": { "op": "MODIFY", "add": [collection.id] } });
            self.patch(asset, &body, "adding the asset to its collection")
                .await?;
        }
        let wanted = draft.availability.as_ref().map(wire::Availability::from);
        if wanted.is_some() && wanted != now.availability {
            self.patch(
                asset,
                &json!({ "availability": wanted }),
                "setting its availability",
            )
            .await?;
        }
        Ok(())
    }

    async fn patch(&self, asset: i64, body: &serde_json::Value, doing: &str) -> Result<()> {
        match self.api.patch_asset(asset, body).await? {
            Got::Value(_) => Ok(()),
            Got::Refused(refusal) => Err(self
                .refused(refusal, doing)
                .await
                .with_context("asset", asset)),
        }
    }

    /// A refusal with its fields by technical name.
    async fn refused(&self, refusal: Refusal, doing: &str) -> Error {
        let catalogue = self.catalogue().await.ok();
        refusal.into_error(doing, |id| {
            catalogue.and_then(|catalogue| catalogue.field_name(id))
        })
    }

    /// Takes one version away: the asset with it when it is the only one.
    async fn remove(&self, asset: i64, version: i64) -> Result<()> {
        let path = match self.api.has_other_versions(asset).await? {
            true => format!("assets/{asset}/versions/{version}"),
            false => format!("assets/{asset}"),
        };
        self.api.delete(&path).await.map(|_| ())
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

fn placed(asset: &wire::Asset, evidence: Evidence) -> Placed {
    Placed {
        asset: AssetId::new(asset.id.to_string()),
        revision: Revision::new(asset.current_version.id.to_string()),
        size: asset.current_version.filesize,
        content_hash: None,
        evidence,
    }
}
