//! What people in the tenant do, for tests and demos: the calls of the API without a network, made by somebody else
//! than the client.
//!
//! The rules are the API's own. Errors: `NotFound` for what is not there, `InvalidInput` for what the API would refuse.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use windlass_core::{Error, Kind, Result};

use super::Celum;
use super::api::{Call, Reply};
use super::error;
use super::model::{Availability, Handle, Received, User};
use super::profile::Hasher;
use super::state::State;
use super::{assets, patch, relations};

/// Who they are.
const EDITOR: &str = "editor";

/// What is written down beside an asset about a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceSnapshot {
    /// The key of what kind of use it is.
    pub description: String,
    /// The key of who says so.
    pub provider: String,
    /// Which copy it is about.
    pub instance: Option<String>,
    /// Where that is.
    pub url: String,
}

impl Celum {
    /// Changes an asset as `PATCH /assets/{id}` with this body does.
    pub fn edit(&self, asset: u64, changes: &Value) -> Result<()> {
        self.as_editor(asset, changes, patch::asset).map(|_| ())
    }

    /// Gives a field of an asset a value, plain as creating takes it; null takes it away.
    pub fn set_field(&self, asset: u64, field: &str, value: &Value) -> Result<()> {
        let found = self.state().tenant.as_ref().and_then(|tenant| {
            let mut fields = tenant.fields.values();
            let found = fields.find(|known| known.name == field);
            found.map(|field| (field.id, field.kind.wire()))
        });
        let Some((id, kind)) = found else {
            let message = format!("the sandbox has no field {field:?}");
            return Err(Error::new(Kind::InvalidInput, message));
        };
        let change = match value {
            Value::Null => json!({"op": "CLEAR"}),
            texts if kind.starts_with("LOCALIZED") => json!({"op": "MODIFY", "set": texts}),
            value => json!({"op": "SET", "value": value}),
        };
        let change = json!({"id": id, "type": kind, "value": change});
        self.edit(asset, &json!({ "informationFieldValues": [change] }))
    }

    /// Says when an asset may be used.
    pub fn set_availability(&self, asset: u64, availability: &Availability) -> Result<()> {
        let wish = match availability {
            Availability::Direct(available) => json!({"type": "DIRECT", "available": available}),
            Availability::Dated { from, to } => json!({
                "type": "DATED",
                "from": from.map(|from| from.to_string()),
                "to": to.map(|to| to.to_string()),
            }),
        };
        self.edit(asset, &json!({ "availability": wish }))
    }

    /// Locks an asset; others are refused then.
    pub fn lock_asset(&self, asset: u64, comment: &str) -> Result<()> {
        self.edit(asset, &json!({"lock": {"op": "SET", "comment": comment}}))
    }

    /// Lifts the lock that [`Celum::lock_asset`] set.
    pub fn unlock_asset(&self, asset: u64) -> Result<()> {
        self.edit(asset, &json!({"lock": {"op": "CLEAR"}}))
    }

    /// Gives an asset another name; its file keeps its own.
    pub fn rename_asset(&self, asset: u64, name: &str) -> Result<()> {
        self.edit(asset, &json!({ "name": name }))
    }

    /// Takes an asset out of one collection and puts it into another one, which is made below its parents if it is missing.
    /// Both are paths of names in the system's locale.
    pub fn move_asset(&self, asset: u64, from: &str, to: &str) -> Result<()> {
        let Some(from) = self.collection_id(from) else {
            let message = format!("the sandbox has no collection {from:?}");
            return Err(Error::new(Kind::NotFound, message));
        };
        let to = self.ensure_collection(to)?;
        let parents = json!({"op": "MODIFY", "add": [to], "remove": [from]});
        self.edit(asset, &json!({ "parentIds": parents }))
    }

    /// Adds a version to an asset, which becomes current where the profile says that versions do. Answers its number.
    pub fn add_version(&self, asset: u64, filename: &str, bytes: Bytes) -> Result<u64> {
        let mut state = self.state();
        let call = Call::inside(editor(&state)?, asset, &Value::Null);
        let content = self.brought(filename, bytes)?;
        let added = self.add_version_of(&mut state, &call, filename, &content);
        drop(state);
        if added.is_err() {
            self.discard(content.received.map(|received| received.blob));
        }
        added.map_err(|error| error.told())
    }

    /// Makes another version of an asset current, an older one for example.
    pub fn activate_version(&self, asset: u64, version: u64) -> Result<()> {
        self.edit(asset, &json!({ "currentVersion": version }))
    }

    /// Content as it is after an upload that nobody announced.
    fn brought(&self, filename: &str, bytes: Bytes) -> Result<Handle> {
        let size = bytes.len() as u64;
        let mut hasher = Hasher::new(self.profile.checksum);
        hasher.update(&bytes);
        let summed = hasher.finish();
        let blob = self.blobs.put(bytes).map_err(|error| {
            let message = "the CELUM sandbox's store cannot be written";
            Error::new(Kind::Capacity, message).with_source(error)
        })?;
        Ok(Handle {
            number: 0,
            handle: String::new(),
            token: String::new(),
            filename: filename.to_owned(),
            filesize: size,
            expires: self.now(),
            received: Some(Received {
                blob,
                size,
                digest: summed.text,
                digest_published: summed.published,
            }),
        })
    }

    /// Deletes an asset.
    pub fn delete_asset(&self, asset: u64) -> Result<()> {
        self.as_editor(asset, &Value::Null, assets::delete)
            .map(|_| ())
    }

    /// Relates one asset to another one, and answers the relation's id. `kind` is the technical name of its type.
    pub fn relate(&self, source: u64, kind: &str, target: u64) -> Result<u64> {
        let found = self.state().tenant.as_ref().and_then(|tenant| {
            let mut types = tenant.relation_types.iter();
            types.find(|known| known.name == kind).map(|known| known.id)
        });
        let Some(type_id) = found else {
            let message = format!("the sandbox has no relation type {kind:?}");
            return Err(Error::new(Kind::InvalidInput, message));
        };
        let wish = json!({
            "relationTypeId": type_id, "sourceAssetId": source, "targetAssetId": target,
        });
        let made = self.as_editor(source, &wish, relations::create)?;
        Ok(made["id"].as_u64().unwrap_or_default())
    }

    /// What is written down beside an asset about copies of it, in the order in which it was.
    pub fn external_references(&self, asset: u64) -> Result<Vec<ReferenceSnapshot>> {
        let state = self.state();
        let asset = self.asset_of(&state, asset).map_err(|error| error.told())?;
        let references = asset.references.iter();
        let shown = references.map(|reference| ReferenceSnapshot {
            description: reference.description.clone(),
            provider: reference.provider.clone(),
            instance: reference.instance.clone(),
            url: reference.url.clone(),
        });
        Ok(shown.collect())
    }

    fn as_editor(
        &self,
        id: u64,
        body: &Value,
        serve: fn(&Celum, &Call) -> error::Result<Reply>,
    ) -> Result<Value> {
        let call = Call::inside(editor(&self.state())?, id, body);
        match serve(self, &call).map_err(|error| error.told())? {
            Reply::Json(_, value) => Ok(value),
            Reply::Empty => Ok(Value::Null),
        }
    }
}

fn editor(state: &State) -> Result<User> {
    let user = state.user_named(EDITOR).cloned();
    user.ok_or_else(|| Error::new(Kind::Unavailable, "the sandbox's tenant is not set up"))
}
