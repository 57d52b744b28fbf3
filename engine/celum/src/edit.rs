//! Changing what is there: metadata by difference, one concern a call, and careful removal.

use regex::Regex;
use serde_json::json;
use windlass_core::{
    AssetPath, Correlation, Digests, Draft, DraftPart, Error, Fault, Kind, Placed, Result,
    Revision, Stamp,
};

use crate::changes::changes;
use crate::client::Got;
use crate::endpoint::Shared;
use crate::errors::Refusal;
use crate::resolve::{NewKeywords, Resolved, Resolver, check_text};
use crate::sink::{id_of, placed};
use crate::tree::{Known, Reached, why_missing};
use crate::wire::{self, FieldKind, StatedAvailability};

/// A draft in the tenant's own terms, without faults.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) type_id: Option<i64>,
    pub(crate) values: Vec<wire::FieldEntry>,
}

/// What a draft asks of an asset that is there.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The draft without the fields and the availability that yield. Its type is the asset's own where that yields.
    pub(crate) draft: Draft,
    /// Whether the asset has to be complete.
    pub(crate) strict: bool,
    /// The collection that it has to be in.
    collection: Option<i64>,
    /// The name that it has to have.
    name: Option<String>,
}

impl Shared {
    /// Whether a path can take uploads: strictness, and what is wrong with it.
    pub(crate) async fn look_at_collection(&self, path: &AssetPath) -> Result<(bool, Vec<Fault>)> {
        let fault = |message: String, hint: Option<String>| Fault {
            field: None,
            message,
            hint,
            unknown: None,
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

    pub(crate) async fn collection(&self, path: &AssetPath) -> Result<Known> {
        self.tree
            .find_or_create(
                &self.api,
                path,
                self.locale(),
                self.profile.create_collections,
                self.index_lag(),
            )
            .await
    }

    /// What the tenant would refuse of a draft. Writes nothing.
    pub(crate) async fn faults(&self, draft: &Draft, strict: bool) -> Result<Vec<Fault>> {
        let resolved = self
            .resolve(draft, strict, None, self.foreseen(), true)
            .await?;
        Ok(resolved.faults)
    }

    /// Resolves a draft that must be without faults by now; new keywords are created, where that is
    /// allowed, once nothing else is wrong.
    pub(crate) async fn resolve_whole(
        &self,
        draft: &Draft,
        strict: bool,
        existing: Option<&wire::Asset>,
    ) -> Result<Checked> {
        let foreseen = self.foreseen();
        let mut resolved = self
            .resolve(draft, strict, existing, foreseen, false)
            .await?;
        if resolved.faults.is_empty() && foreseen != NewKeywords::Refused {
            let created = NewKeywords::Created(self.locale());
            resolved = self
                .resolve(draft, strict, existing, created, false)
                .await?;
        }
        let Resolved {
            type_id,
            values,
            faults,
        } = resolved;
        if faults.is_empty() {
            return Ok(Checked { type_id, values });
        }
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let error = Error::new(Kind::InvalidInput, told.join("; "));
        Err(match faults.into_iter().find_map(|fault| fault.hint) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    async fn resolve(
        &self,
        draft: &Draft,
        strict: bool,
        existing: Option<&wire::Asset>,
        keywords: NewKeywords<'_>,
        planning: bool,
    ) -> Result<Resolved> {
        let catalogue = self.catalogue().await?;
        let resolver = Resolver {
            api: &self.api,
            catalogue: &catalogue,
            vocabularies: &self.vocabularies,
            strict,
            keywords,
            accepted: &self.accepted,
            any_keyword: self.profile.tag_create,
            minds_twins: planning,
            existing,
        };
        resolver.resolve(draft).await
    }

    fn foreseen(&self) -> NewKeywords<'static> {
        match self.profile.tag_create || !self.accepted.is_empty() {
            true => NewKeywords::Foreseen,
            false => NewKeywords::Refused,
        }
    }

    /// The locale that new collections and keywords are named in.
    fn locale(&self) -> &str {
        self.profile.locales.first().map_or("en", String::as_str)
    }

    /// What of a draft counts for an asset that is there.
    pub(crate) async fn asked_of(&self, now: &wire::Asset, draft: &Draft) -> Result<Asked> {
        let yields = |part: DraftPart| draft.yields.contains(&part);
        let mut counts = draft.clone();
        counts
            .fields
            .retain(|assigned| !yields(DraftPart::Field(assigned.field.clone())));
        counts.availability = draft
            .availability
            .clone()
            .filter(|_| !yields(DraftPart::Availability));
        if yields(DraftPart::AssetType) {
            counts.asset_type = self.type_of(now).await?;
        }
        let collection = match yields(DraftPart::Collection) {
            true => None,
            false => Some(self.collection(&draft.collection).await?),
        };
        Ok(Asked {
            strict: match &collection {
                Some(collection) => collection.strict,
                None => self.is_strict(now).await?,
            },
            collection: collection.map(|collection| collection.id),
            name: (!yields(DraftPart::Name)).then(|| draft.name.clone()),
            draft: counts,
        })
    }

    /// The technical name of the type that an asset has.
    pub(crate) async fn type_of(&self, asset: &wire::Asset) -> Result<Option<String>> {
        let catalogue = self.catalogue().await?;
        let sheet = asset.type_id.and_then(|id| catalogue.type_by_id(id));
        Ok(sheet.map(|sheet| sheet.name.clone()))
    }

    /// Whether one of an asset's collections asks for a type and for required fields.
    async fn is_strict(&self, asset: &wire::Asset) -> Result<bool> {
        for path in &asset.parent_paths {
            let reached = self.tree.find(&self.api, &self.path(path)).await?;
            if matches!(reached, Reached::Whole(known) if known.strict) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The text field that carries marks and stamps, where the asset type has it.
    async fn mark_field(
        &self,
        draft: &Draft,
        asset_type: Option<&str>,
    ) -> Result<Option<wire::Field>> {
        let (Some(name), Some(asset_type)) = (&self.profile.correlation_field, asset_type) else {
            return Ok(None);
        };
        let catalogue = self.catalogue().await?;
        let sheet = catalogue.asset_type(asset_type);
        let field = sheet
            .and_then(|sheet| sheet.fields.get(name))
            .map(|entry| &entry.field)
            // A draft that assigns the field itself has the last word.
            .filter(|field| field.kind == FieldKind::Text)
            .filter(|_| !draft.fields.iter().any(|assigned| assigned.field == *name));
        Ok(field.cloned())
    }

    /// What an asset of ours carries first in its correlation field, to look for it.
    pub(crate) async fn mark(
        &self,
        draft: &Draft,
        asset_type: Option<&str>,
        correlation: &Correlation,
    ) -> Result<Option<wire::FieldEntry>> {
        let field = self.mark_field(draft, asset_type).await?;
        Ok(field.map(|field| text_of(&field, correlation.as_str())))
    }

    /// What an asset of ours gets in its correlation field: as much of a stamp as the field takes, at least the mark.
    pub(crate) async fn stamp(
        &self,
        draft: &Draft,
        asset_type: Option<&str>,
        correlation: &Correlation,
        digests: &Digests,
    ) -> Result<Option<wire::FieldEntry>> {
        let Some(field) = self.mark_field(draft, asset_type).await? else {
            return Ok(None);
        };
        let texts = Stamp::new(correlation, digests, draft)?.texts();
        let text = texts.iter().find(|text| takes(&field, text));
        // A tenant that does not even take the mark says so.
        let text = text.map_or(correlation.as_str(), String::as_str);
        Ok(Some(text_of(&field, text)))
    }

    /// Writes into the correlation field of an asset, where it says something else.
    pub(crate) async fn mark_as(&self, asset: &wire::Asset, mark: &wire::FieldEntry) -> Result<()> {
        let changed = changes(std::slice::from_ref(mark), |id| asset.value(id).cloned());
        if changed.is_empty() {
            return Ok(());
        }
        let body = json!({ "informationFieldValues": changed });
        self.patch(asset.id, &body, "marking the asset").await
    }

    /// What an asset gets that becomes something else: the same stamp with that, if it has one.
    async fn restamp(
        &self,
        now: &wire::Asset,
        draft: &Draft,
        asset_type: Option<&str>,
    ) -> Result<Option<wire::FieldEntry>> {
        let Some(field) = self.mark_field(draft, asset_type).await? else {
            return Ok(None);
        };
        let Some(stamp) = stamp_of(now, field.id) else {
            return Ok(None);
        };
        Ok(Some(text_of(&field, &stamp.with_draft(draft)?.to_string())))
    }

    pub(crate) async fn reread(&self, asset: i64) -> Result<wire::Asset> {
        self.api.asset(asset).await?.ok_or_else(|| {
            Error::new(Kind::NotFound, "the asset is not there any more, or hidden")
                .with_context("asset", asset)
        })
    }

    /// The asset, whose current version must be this one. Errors: `Conflict` for another one.
    pub(crate) async fn unchanged(&self, asset: i64, version: &Revision) -> Result<wire::Asset> {
        let now = self.reread(asset).await?;
        let current = now.current_version.id;
        match current.to_string() == version.as_str() {
            true => Ok(now),
            false => {
                let message = "somebody changed it since it was placed";
                Err(Error::new(Kind::Conflict, message)
                    .with_context("asset", asset)
                    .with_context("placed", version)
                    .with_context("current", current))
            }
        }
    }

    /// Makes an asset, which is `now` so, what a draft says, but for what yields to it: one concern a call, and only where
    /// it differs. `made_of` says whose bytes it has now, where they are new.
    pub(crate) async fn set_metadata(
        &self,
        now: wire::Asset,
        draft: &Draft,
        made_of: Option<(&Correlation, &Digests)>,
    ) -> Result<()> {
        let asset = now.id;
        let asked = self.asked_of(&now, draft).await?;
        let Checked { type_id, values } = self
            .resolve_whole(&asked.draft, asked.strict, Some(&now))
            .await?;
        let asset_type = asked.draft.asset_type.as_deref();
        if let Some(name) = asked.name.filter(|name| now.name != *name) {
            let body = json!({ "name": name });
            self.patch(asset, &body, "renaming the asset").await?;
        }
        if let Some(type_id) = type_id.filter(|id| now.type_id != Some(*id)) {
            let body = json!({ "typeId": type_id });
            self.patch(asset, &body, "changing the asset's type")
                .await?;
        }
        let stamp = match made_of {
            Some(_) => None,
            None => self.restamp(&now, draft, asset_type).await?,
        };
        let values: Vec<_> = values.into_iter().chain(stamp).collect();
        let changed = changes(&values, |id| now.value(id).cloned());
        if !changed.is_empty() {
            let body = json!({ "informationFieldValues": changed });
            self.patch(asset, &body, "changing the asset's fields")
                .await?;
        }
        if let Some(collection) = asked.collection.filter(|id| !now.parent_ids.contains(id)) {
            // Only added: where else people put the asset is theirs to say.
            let body = json!({ "parentIds": { "op": "MODIFY", "add": [collection] } });
            self.patch(asset, &body, "adding the asset to its collection")
                .await?;
        }
        let availability = asked.draft.availability.as_ref();
        if let Some(wanted) = availability.map(wire::Availability::from) {
            let body = json!({ "availability": wanted });
            if now.availability != Some(StatedAvailability::Known(wanted)) {
                self.patch(asset, &body, "setting its availability").await?;
            }
        }
        // Last: a stamp must not say of bytes that they are here which are taken back because something else was refused.
        if let Some((correlation, digests)) = made_of
            && let Some(stamp) = self.stamp(draft, asset_type, correlation, digests).await?
        {
            self.mark_as(&now, &stamp).await?;
        }
        Ok(())
    }

    /// Lets an asset appear in a further collection, if its current version is the one that `held` names: CELUM's
    /// versions never change, so the same version is the same content.
    pub(crate) async fn link(
        &self,
        held: &Placed,
        to: &AssetPath,
        digests: &Digests,
    ) -> Result<Option<Placed>> {
        let Some(asset) = self.api.asset(id_of(&held.asset)?).await? else {
            return Ok(None);
        };
        let version = &asset.current_version;
        let is_held = version.id.to_string() == held.revision.as_str();
        if !is_held || version.is_placeholder() || version.filesize != digests.size {
            return Ok(None);
        }
        let collection = self.collection(to).await?;
        if !asset.parent_ids.contains(&collection.id) {
            let body = json!({ "parentIds": { "op": "MODIFY", "add": [collection.id] } });
            self.patch(asset.id, &body, "linking the asset to a further collection")
                .await?;
        }
        Ok(Some(placed(&asset, version, held.evidence)))
    }

    /// Takes an asset out of a collection, but never out of its last one. Answers whether it is out of it.
    pub(crate) async fn unlink(&self, asset: i64, from: &AssetPath) -> Result<bool> {
        let Some(asset) = self.api.asset(asset).await? else {
            return Ok(true);
        };
        // By what the asset itself says: several collections may have one path.
        let paths = asset.parent_paths.iter();
        let there = paths.filter(|path| self.path(path).key() == from.key());
        let there = there.filter_map(|path| path.path_segments.last());
        let there: Vec<i64> = there.map(|segment| segment.collection_id).collect();
        if there.is_empty() {
            return Ok(true);
        }
        if asset.parent_ids.iter().all(|id| there.contains(id)) {
            return Ok(false);
        }
        let body = json!({ "parentIds": { "op": "MODIFY", "remove": there } });
        self.patch(asset.id, &body, "taking the asset out of a collection")
            .await?;
        Ok(true)
    }

    pub(crate) async fn patch(
        &self,
        asset: i64,
        body: &serde_json::Value,
        doing: &str,
    ) -> Result<()> {
        match self.api.patch_asset(asset, body).await? {
            Got::Value(()) => Ok(()),
            Got::Refused(refusal) => Err(self
                .refused(refusal, doing)
                .await
                .with_context("asset", asset)),
        }
    }

    /// A refusal with its fields by technical name.
    pub(crate) async fn refused(&self, refusal: Refusal, doing: &str) -> Error {
        let catalogue = self.catalogue().await.ok();
        refusal.into_error(doing, |id| {
            catalogue
                .as_ref()
                .and_then(|catalogue| catalogue.field_name(id))
        })
    }

    /// Takes the current version of an asset away: the asset with it only where it is certainly the
    /// only one.
    pub(crate) async fn remove_current(&self, asset: &wire::Asset) -> Result<()> {
        let current = asset.current_version.id;
        let Some(page) = self.api.versions(asset.id).await? else {
            return Err(Error::new(
                Kind::Denied,
                "the asset's versions cannot be seen, so nothing was removed",
            )
            .with_context("asset", asset.id)
            .with_hint("give the API user's role the permission to manage versions"));
        };
        let listed = page.content.iter().any(|version| version.id == current);
        let others = page.content.iter().map(|version| version.id);
        match others.filter(|id| *id != current).max() {
            Some(before) => self.remove_version(asset.id, current, before).await,
            None if listed && !page.has_next => self.remove_asset(asset.id).await,
            None => Err(Error::new(
                Kind::Unexpected,
                "the asset's versions do not list its current one, so nothing was removed",
            )
            .with_context("asset", asset.id)),
        }
    }

    /// Takes one version away after another was made current: what deleting the active version does
    /// is nobody's promise.
    pub(crate) async fn remove_version(&self, asset: i64, version: i64, before: i64) -> Result<()> {
        let body = json!({ "currentVersion": before });
        self.patch(asset, &body, "going back to the version before")
            .await?;
        let path = format!("assets/{asset}/versions/{version}");
        self.api.delete(&path).await.map(|_| ())
    }

    /// Takes an asset away that was placed by us and has no other version.
    pub(crate) async fn remove_asset(&self, asset: i64) -> Result<()> {
        self.api
            .delete(&format!("assets/{asset}"))
            .await
            .map(|_| ())
    }
}

fn text_of(field: &wire::Field, text: &str) -> wire::FieldEntry {
    wire::FieldEntry {
        id: field.id,
        kind: field.kind,
        value: json!(text),
    }
}

/// The stamp that an asset carries in a field.
pub(crate) fn stamp_of(asset: &wire::Asset, field: i64) -> Option<Stamp> {
    asset.value(field)?.as_str()?.parse().ok()
}

/// Whether a field takes a text. A pattern that cannot be read here may refuse anything but what it always took.
fn takes(field: &wire::Field, text: &str) -> bool {
    let readable = field
        .validation_pattern
        .as_ref()
        .is_none_or(|pattern| Regex::new(pattern).is_ok());
    readable && check_text(field, text).is_ok()
}
