//! What people in the tenant do, for tests and demos: the calls of the API without a network, made by somebody else
//! than the client.
//!
//! The rules are the API's own. Errors: `NotFound` for what is not there, `InvalidInput` for what the API would refuse.

use serde::Serialize;
use serde_json::{Value, json};
use windlass_core::{Error, Kind, Result};

use super::Celum;
use super::api::{Call, Reply};
use super::error;
use super::model::{Availability, User};
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
