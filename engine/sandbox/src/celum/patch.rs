//! `PATCH /assets/{id}`: each member is a change of its own kind; absent members stay untouched.
//!
//! The emulator makes all of a request's changes or none.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::Celum;
use super::api::{Call, Reply};
use super::assets;
use super::create::{check_filename, check_name, check_type, type_fault};
use super::error::{ApiError, Fault, Result};
use super::model::{Asset, Availability, ExternalReference, Level, Lock};
use super::request::{Id, Instant, body, part};
use super::state::{Event, State};
use super::values::{self, Given, Rules, Style};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateAsset {
    name: Option<String>,
    type_id: Option<Id>,
    information_field_values: Option<Vec<Given>>,
    availability: Option<Value>,
    parent_ids: Option<Value>,
    lock: Option<Value>,
    external_references: Option<Value>,
    alternative_preview: Option<AlternativePreview>,
    current_version: Option<Id>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AlternativePreview {
    filename: String,
    upload_handle: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "UPPERCASE", deny_unknown_fields)]
enum AvailabilityWish {
    Direct {
        available: bool,
    },
    Dated {
        from: Option<Instant>,
        to: Option<Instant>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum ParentsChange {
    Set {
        values: Vec<Id>,
    },
    Modify {
        #[serde(default)]
        add: Vec<Id>,
        #[serde(default)]
        remove: Vec<Id>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum LockChange {
    Set { comment: String },
    Clear {},
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "UPPERCASE", deny_unknown_fields)]
enum ReferencesChange {
    Modify {
        #[serde(default)]
        add: Vec<ReferenceWish>,
        #[serde(default)]
        remove: Vec<ReferenceKey>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReferenceWish {
    description_key: String,
    provider_key: String,
    instance_key: Option<String>,
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReferenceKey {
    description_key: String,
    provider_key: String,
    instance_key: Option<String>,
}

/// `PATCH /assets/{id}`.
pub(super) fn asset(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: UpdateAsset = body(&call.body)?;
    let id = call.id(0)?;
    let mut state = celum.state();
    let found = celum.unlocked(&state, id, &call.user)?;
    let old_preview = found.alternative_preview;
    let change = Change {
        celum,
        call,
        state: &state,
        asset: Asset::clone(found),
    };
    let (asset, used) = change.make(wish)?;
    let replaced = old_preview.filter(|_| asset.alternative_preview != old_preview);
    let asset = Box::new(asset);
    celum.commit(&mut state, Event::Asset { asset, used })?;
    celum.discard(replaced);
    assets::changed(celum, &state, call, id)
}

/// A copy of an asset, being changed.
struct Change<'a> {
    celum: &'a Celum,
    call: &'a Call,
    state: &'a State,
    asset: Asset,
}

impl Change<'_> {
    /// The changed asset, and the upload handles it uses up.
    fn make(mut self, wish: UpdateAsset) -> Result<(Asset, Vec<String>)> {
        let edit = wish.name.is_some()
            || wish.type_id.is_some()
            || wish.information_field_values.is_some();
        let validate = wish.type_id.is_some()
            || wish.information_field_values.is_some()
            || wish.parent_ids.is_some();
        if let Some(name) = wish.name {
            check_name("name", &name)?;
            self.asset.name = name;
        }
        if let Some(type_id) = wish.type_id {
            self.retype(type_id.0)?;
        }
        if let Some(change) = wish.parent_ids {
            self.parents(part(change, "parentIds")?)?;
        }
        if validate {
            self.values(&wish.information_field_values.unwrap_or_default())?;
        }
        if let Some(availability) = wish.availability {
            self.availability(availability)?;
        }
        if let Some(change) = wish.lock {
            self.lock(part(change, "lock")?)?;
        }
        if let Some(change) = wish.external_references {
            self.references(part(change, "externalReferences")?)?;
        }
        if let Some(version) = wish.current_version {
            self.activate(version.0)?;
        }
        let used = wish
            .alternative_preview
            .map(|wish| self.preview(wish))
            .transpose()?;
        let trail = self.celum.trail(self.call);
        self.celum.bump(&mut self.asset, trail, edit);
        Ok((self.asset, used.into_iter().collect()))
    }

    /// Values that the new type does not have are lost.
    fn retype(&mut self, type_id: u64) -> Result<()> {
        check_type(self.celum, self.state, Some(type_id))?;
        let sets = self.state.asset_sets(Some(type_id));
        let kept: BTreeSet<u64> = sets.iter().flat_map(|set| set.fields.clone()).collect();
        self.asset.values.retain(|field, _| kept.contains(field));
        self.asset.type_id = Some(type_id);
        Ok(())
    }

    fn values(&mut self, given: &[Given]) -> Result<()> {
        let rules = Rules {
            state: self.state,
            sets: self.state.asset_sets(self.asset.type_id),
            locales: &self.celum.profile.locales,
        };
        let strict = self.state.asset_level(&self.asset.parents) == Level::Strict;
        let values = &mut self.asset.values;
        let mut faults = values::apply(&rules, values, given, Style::Change, strict);
        if strict && self.asset.type_id.is_none() {
            faults.push(type_fault());
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(faults))
        }
    }

    fn availability(&mut self, raw: Value) -> Result<()> {
        let availability = match part(raw, "availability")? {
            AvailabilityWish::Direct { available } => Availability::Direct(available),
            AvailabilityWish::Dated { from, to } => Availability::Dated {
                from: from.map(|from| from.0),
                to: to.map(|to| to.0),
            },
        };
        if let Availability::Dated {
            from: Some(from),
            to: Some(to),
        } = &availability
            && from > to
        {
            let message = "availability ends before it starts";
            return Err(ApiError::argument("availability", "RANGE", message));
        }
        self.asset.availability = Some(availability);
        Ok(())
    }

    fn parents(&mut self, change: ParentsChange) -> Result<()> {
        let placed = |ids: &[u64]| ids.iter().any(|id| self.state.permission_defining(*id));
        let before = placed(&self.asset.parents);
        let mut parents = self.asset.parents.clone();
        let add = match change {
            ParentsChange::Set { values } => {
                parents.clear();
                values
            }
            ParentsChange::Modify { add, remove } => {
                parents.retain(|id| !remove.contains(&Id(*id)));
                add
            }
        };
        for Id(id) in add {
            if !self.state.collections.contains_key(&id) {
                return Err(ApiError::missing(&self.celum.profile, "Collection", id));
            }
            if !parents.contains(&id) {
                parents.push(id);
            }
        }
        if before && !placed(&parents) {
            let message = "the last permission-defining collection of an asset stays";
            return Err(ApiError::argument("parentIds", "LAST_PARENT", message));
        }
        self.asset.parents = parents;
        Ok(())
    }

    fn lock(&mut self, change: LockChange) -> Result<()> {
        self.asset.lock = match change {
            LockChange::Set { comment } if comment.trim().is_empty() => {
                let message = "a lock needs a comment";
                return Err(ApiError::argument("lock.comment", "REQUIRED", message));
            }
            LockChange::Set { comment } => Some(Lock {
                comment,
                creation: self.celum.trail(self.call),
            }),
            LockChange::Clear {} => None,
        };
        Ok(())
    }

    fn references(&mut self, change: ReferencesChange) -> Result<()> {
        let ReferencesChange::Modify { add, remove } = change;
        let references = &mut self.asset.references;
        for key in remove {
            references.retain(|old| {
                let old = (&old.description, &old.provider, &old.instance);
                old != (&key.description_key, &key.provider_key, &key.instance_key)
            });
        }
        for wish in add {
            if let Err(error) = Url::parse(&wish.url) {
                let message = format!("{:?} is not a URL: {error}", wish.url);
                let fault = Fault::argument("externalReferences.add.url", "URL", message);
                return Err(ApiError::invalid(vec![fault]));
            }
            references.retain(|old| {
                let old = (&old.description, &old.provider, &old.instance);
                old != (
                    &wish.description_key,
                    &wish.provider_key,
                    &wish.instance_key,
                )
            });
            references.push(ExternalReference {
                id: self.asset.next_reference,
                description: wish.description_key,
                provider: wish.provider_key,
                instance: wish.instance_key,
                url: wish.url,
                updated: self.celum.now(),
            });
            self.asset.next_reference += 1;
        }
        Ok(())
    }

    fn activate(&mut self, version: u64) -> Result<()> {
        if self.asset.version(version).is_none() {
            let id = format!("{}/{version}", self.asset.id);
            return Err(ApiError::missing(&self.celum.profile, "Version", id));
        }
        self.asset.current = version;
        Ok(())
    }

    fn preview(&mut self, wish: AlternativePreview) -> Result<String> {
        check_filename("alternativePreview.filename", &wish.filename)?;
        let argument = "alternativePreview.uploadHandle";
        let handle = self
            .celum
            .arrived(self.state, argument, &wish.upload_handle)?;
        self.asset.alternative_preview = handle.received.as_ref().map(|received| received.blob);
        Ok(wish.upload_handle)
    }
}
