//! What only an administrator can change and clients read: version, users, types, fields, formats.

use serde_json::{Value, json};

use super::Celum;
use super::api::{Call, Reply};
use super::error::{ApiError, Result};
use super::model::{Tenant, User};
use super::render::{Part, Render};
use super::state::State;

/// `GET /version`.
pub(super) fn version(_: &Celum, _: &Call) -> Result<Reply> {
    Reply::ok(json!({
        "version": "6.20.0",
        "buildNumber": "1",
        "versionDate": "2026-01-01T00:00:00Z",
        "releaseVersion": "windlass-sandbox",
    }))
}

/// `GET /users/me`.
pub(super) fn me(_: &Celum, call: &Call) -> Result<Reply> {
    Reply::ok(user_object(&call.user))
}

/// `GET /users/{id}`.
pub(super) fn user(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    let state = celum.state();
    let user = state
        .user(id)
        .ok_or_else(|| ApiError::missing(&celum.profile, "User", id))?;
    Reply::ok(user_object(user))
}

fn user_object(user: &User) -> Value {
    json!({
        "id": user.id,
        "externalId": user.username,
        "username": user.username,
        "firstname": user.firstname,
        "lastname": user.lastname,
        "email": user.email,
        "kind": "INTERNAL",
        "creationDate": user.created.to_string(),
        "deactivated": false,
        "locale": "en",
    })
}

/// `GET /clients/{id}`.
pub(super) fn client(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.text(0);
    let state = celum.state();
    let known = state
        .tenant
        .as_ref()
        .is_some_and(|tenant| tenant.client_id == id);
    if !known {
        return Err(ApiError::missing(&celum.profile, "Client", id));
    }
    let locales = &celum.profile.locales;
    Reply::ok(json!({
        "clientId": id,
        "enabled": true,
        "licensed": true,
        "properties": {},
        "languages": {"system": locales[0], "informationFields": locales},
    }))
}

/// `GET /asset-types`.
pub(super) fn asset_types(celum: &Celum, call: &Call) -> Result<Reply> {
    with_tenant(celum, call, |render, tenant| {
        let types = tenant.asset_types.iter();
        Ok(types
            .map(|kind| Value::from(render.object_type(kind, false)))
            .collect())
    })
}

/// `GET /asset-types/{id}`.
pub(super) fn asset_type(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    with_tenant(celum, call, |render, _| {
        let kind = render.state.asset_type(id);
        let kind = kind.ok_or_else(|| ApiError::missing(&celum.profile, "AssetType", id))?;
        Ok(render.object_type(kind, true).into())
    })
}

/// `GET /collection-types`.
pub(super) fn collection_types(celum: &Celum, call: &Call) -> Result<Reply> {
    let only = call.query.flag("permissionDefiningOnly")?;
    with_tenant(celum, call, |render, tenant| {
        let types = tenant.collection_types.iter();
        let types = types.filter(|kind| kind.permission_defining || !only);
        Ok(types
            .map(|kind| render.collection_type(kind, false))
            .collect())
    })
}

/// `GET /collection-types/{id}`.
pub(super) fn collection_type(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    with_tenant(celum, call, |render, _| {
        let kind = render.state.collection_type(id);
        let kind = kind.ok_or_else(|| ApiError::missing(&celum.profile, "CollectionType", id))?;
        Ok(render.collection_type(kind, true))
    })
}

/// `GET /relation-types`.
pub(super) fn relation_types(celum: &Celum, call: &Call) -> Result<Reply> {
    with_tenant(celum, call, |render, tenant| {
        let types = tenant.relation_types.iter();
        Ok(types
            .map(|kind| render.relation_type(kind, false))
            .collect())
    })
}

/// `GET /relation-types/{id}`.
pub(super) fn relation_type(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    with_tenant(celum, call, |render, _| {
        let kind = render.state.relation_type(id);
        let kind = kind.ok_or_else(|| ApiError::missing(&celum.profile, "RelationType", id))?;
        Ok(render.relation_type(kind, true))
    })
}

/// `GET /information-fields`.
pub(super) fn information_fields(celum: &Celum, call: &Call) -> Result<Reply> {
    let entity = call.query.one("entityType")?;
    with_tenant(celum, call, |render, tenant| {
        let assets = tenant.asset_types.iter();
        let of_assets = assets.flat_map(|kind| &kind.sets);
        let collections = tenant.collection_types.iter();
        let of_collections = collections.flat_map(|kind| &kind.base.sets);
        let sets: Vec<_> = match entity {
            None => of_assets.chain(of_collections).collect(),
            Some("ASSET") => of_assets.collect(),
            Some("COLLECTION") => of_collections.collect(),
            Some("RELATION") => Vec::new(),
            Some(other) => {
                let message = format!("{other:?} is not ASSET, COLLECTION or RELATION");
                return Err(ApiError::argument("entityType", "VALUE", message));
            }
        };
        let fields = tenant.fields.values();
        let fields = fields.filter(|field| sets.iter().any(|set| set.fields.contains(&field.id)));
        Ok(fields.map(|field| render.field(field)).collect())
    })
}

/// `GET /download-formats`.
pub(super) fn download_formats(celum: &Celum, call: &Call) -> Result<Reply> {
    with_tenant(celum, call, |render, _| Ok(render.formats(&Part::All)))
}

fn with_tenant(
    celum: &Celum,
    call: &Call,
    answer: impl FnOnce(&Render<'_>, &Tenant) -> Result<Value>,
) -> Result<Reply> {
    let state = celum.state();
    let state: &State = &state;
    let tenant = state.tenant.as_ref();
    // Nobody can sign in before the tenant is set up.
    let tenant = tenant.ok_or_else(|| ApiError::unavailable("the tenant is not set up", 1))?;
    let render = Render {
        celum,
        state,
        user: &call.user,
        now: celum.now(),
    };
    Reply::ok(answer(&render, tenant)?)
}
