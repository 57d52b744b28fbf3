//! Relations between assets: directed, of a type, and pinned to versions where somebody wishes.
//!
//! A relation goes with either of its assets. Relation types have no information fields here.

use serde::Deserialize;
use serde_json::Value;

use super::Celum;
use super::api::{Call, Reply};
use super::assets::render;
use super::error::{ApiError, Result};
use super::model::{Related, Relation};
use super::request::{Id, body};
use super::state::{Event, State};

/// Parameters of `GET /relations`.
pub(super) const LIST_QUERY: &[&str] = &[
    "assetId",
    "locale",
    "typeId",
    "versionId",
    "direction",
    "page",
    "size",
    "inclusions",
    "informationFields",
];

/// Parameters of `GET /relations/{id}`.
pub(super) const GET_QUERY: &[&str] = &["locale", "inclusions", "informationFields"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateRelation {
    relation_type_id: Id,
    source_asset_id: Id,
    target_asset_id: Id,
    source_asset_version_id: Option<Id>,
    target_asset_version_id: Option<Id>,
    #[serde(default)]
    information_field_values: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct UpdateRelation {
    relation_type_id: Option<Id>,
    source_asset_id: Option<Id>,
    target_asset_id: Option<Id>,
    source_asset_version_id: Option<Id>,
    target_asset_version_id: Option<Id>,
    #[serde(default)]
    information_field_values: Vec<Value>,
}

impl Celum {
    fn relation_of<'a>(&self, state: &'a State, id: u64) -> Result<&'a Relation> {
        let found = state.relations.get(&id);
        found.ok_or_else(|| ApiError::missing(&self.profile, "Relation", id))
    }

    fn check_relation(&self, state: &State, relation: &Relation, values: &[Value]) -> Result<()> {
        if state.relation_type(relation.type_id).is_none() {
            let id = relation.type_id;
            return Err(ApiError::missing(&self.profile, "RelationType", id));
        }
        for end in [relation.source, relation.target] {
            let asset = self.asset_of(state, end.asset)?;
            if let Some(version) = end.version.filter(|id| asset.version(*id).is_none()) {
                let id = format!("{}/{version}", asset.id);
                return Err(ApiError::missing(&self.profile, "Version", id));
            }
        }
        if relation.source.asset == relation.target.asset {
            let message = "an asset has no relation to itself";
            return Err(ApiError::argument("targetAssetId", "SAME", message));
        }
        match values.is_empty() {
            true => Ok(()),
            false => {
                let message = "relations of this type have no information fields";
                Err(ApiError::argument(
                    "informationFieldValues",
                    "FIELD",
                    message,
                ))
            }
        }
    }

    fn relation_changed(
        &self,
        state: &mut State,
        call: &Call,
        relation: Relation,
    ) -> Result<Value> {
        let shown = relation.clone();
        let relation = Box::new(relation);
        self.commit(state, Event::Relation { relation })?;
        Ok(render(self, state, call).relation(&shown))
    }
}

/// `GET /relations`, by id.
pub(super) fn list(celum: &Celum, call: &Call) -> Result<Reply> {
    let query = &call.query;
    let page = query.page()?;
    let missing = || ApiError::argument("assetId", "MISSING", "it is required");
    let asset = query.id("assetId")?.ok_or_else(missing)?;
    let (type_id, version) = (query.id("typeId")?, query.id("versionId")?);
    let (outgoing, incoming) = match query.one("direction")? {
        None => (true, true),
        Some("SOURCE_TO_TARGET") => (true, false),
        Some("TARGET_TO_SOURCE") => (false, true),
        Some(other) => {
            let message = format!("{other:?} is not SOURCE_TO_TARGET or TARGET_TO_SOURCE");
            return Err(ApiError::argument("direction", "VALUE", message));
        }
    };
    let state = celum.state();
    celum.asset_of(&state, asset)?;
    let meant = |end: Related| {
        end.asset == asset && version.is_none_or(|version| end.version == Some(version))
    };
    let relations = state.relations.values();
    let found: Vec<&Relation> = relations
        .filter(|one| outgoing && meant(one.source) || incoming && meant(one.target))
        .filter(|one| type_id.is_none_or(|id| one.type_id == id))
        .collect();
    let render = render(celum, &state, call);
    Reply::ok(page.envelope(&found, |relation| render.relation(relation)))
}

/// `GET /relations/{id}`.
pub(super) fn get(celum: &Celum, call: &Call) -> Result<Reply> {
    let state = celum.state();
    let relation = celum.relation_of(&state, call.id(0)?)?;
    Reply::ok(render(celum, &state, call).relation(relation))
}

/// `POST /relations`.
pub(super) fn create(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: CreateRelation = body(&call.body)?;
    let mut state = celum.state();
    let relation = Relation {
        id: state.next_relation(),
        type_id: wish.relation_type_id.0,
        creation: celum.trail(call),
        source: Related {
            asset: wish.source_asset_id.0,
            version: wish.source_asset_version_id.map(|id| id.0),
        },
        target: Related {
            asset: wish.target_asset_id.0,
            version: wish.target_asset_version_id.map(|id| id.0),
        },
    };
    celum.check_relation(&state, &relation, &wish.information_field_values)?;
    Reply::created(celum.relation_changed(&mut state, call, relation)?)
}

/// `PATCH /relations/{id}`. An end that leads elsewhere is pinned only where that is said too.
pub(super) fn patch(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: UpdateRelation = body(&call.body)?;
    let mut state = celum.state();
    let mut relation = celum.relation_of(&state, call.id(0)?)?.clone();
    let end = |was: Related, asset: Option<Id>, version: Option<Id>| Related {
        asset: asset.map_or(was.asset, |id| id.0),
        version: match (asset, version) {
            (_, Some(version)) => Some(version.0),
            (Some(_), None) => None,
            (None, None) => was.version,
        },
    };
    let (source, target) = (wish.source_asset_id, wish.target_asset_id);
    relation.source = end(relation.source, source, wish.source_asset_version_id);
    relation.target = end(relation.target, target, wish.target_asset_version_id);
    relation.type_id = wish.relation_type_id.map_or(relation.type_id, |id| id.0);
    celum.check_relation(&state, &relation, &wish.information_field_values)?;
    Reply::ok(celum.relation_changed(&mut state, call, relation)?)
}

/// `DELETE /relations/{id}`.
pub(super) fn delete(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut state = celum.state();
    let id = celum.relation_of(&state, call.id(0)?)?.id;
    celum.commit(&mut state, Event::RelationRemoved { id })?;
    Ok(Reply::Empty)
}
