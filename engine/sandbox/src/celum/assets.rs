//! One asset: reading it, deleting it, its versions, and the way to its content.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::api::{Call, Reply};
use super::error::{ApiError, Result};
use super::links::Link;
use super::model::{Asset, User, Version};
use super::render::{Include, Part, Render, preview_state};
use super::search;
use super::state::{Event, State};
use super::{Celum, later};

/// Parameters of `GET /assets/{id}`.
pub(super) const GET_QUERY: &[&str] = &[
    "locale",
    "permissions",
    "inclusions",
    "informationFields",
    "downloadFormats",
];

impl Celum {
    /// An asset, or what the profile answers for a missing one.
    pub(super) fn asset_of<'a>(&self, state: &'a State, id: u64) -> Result<&'a Arc<Asset>> {
        let found = state.assets.get(&id);
        found.ok_or_else(|| ApiError::missing(&self.profile, "Asset", id))
    }

    /// An asset that this user may change now.
    pub(super) fn unlocked<'a>(
        &self,
        state: &'a State,
        id: u64,
        user: &User,
    ) -> Result<&'a Arc<Asset>> {
        let asset = self.asset_of(state, id)?;
        match &asset.lock {
            Some(lock) if lock.creation.user != user.id => Err(ApiError::locked(&self.profile, id)),
            _ => Ok(asset),
        }
    }

    fn version_of<'a>(&self, asset: &'a Asset, id: Option<u64>) -> Result<&'a Version> {
        let Some(id) = id else {
            return Ok(asset.current());
        };
        let missing = || ApiError::missing(&self.profile, "Version", format!("{}/{id}", asset.id));
        asset.version(id).ok_or_else(missing)
    }

    /// Until when a link made now works.
    pub(super) fn link_expiry(&self, now: Timestamp) -> Timestamp {
        later(
            now,
            std::time::Duration::from_secs(self.profile.download_ttl),
        )
    }
}

/// `GET /assets/{id}`. Without inclusions, field values and file properties come along.
pub(super) fn get(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut include = search::asset_inclusions(&call.query)?;
    let asked = call.query.each("inclusions").next().is_some()
        || call.query.each("informationFields").next().is_some();
    if !asked {
        include.fields = Part::All;
        include.file_properties = true;
    }
    let state = celum.state();
    let asset = celum.asset_of(&state, call.id(0)?)?;
    Reply::ok(render(celum, &state, call).asset(asset, &include))
}

/// An asset as answers to changes show it.
pub(super) fn changed(celum: &Celum, state: &State, call: &Call, id: u64) -> Result<Reply> {
    let asset = celum.asset_of(state, id)?;
    Reply::ok(render(celum, state, call).asset(asset, &whole()))
}

/// What answers to changes include.
pub(super) fn whole() -> Include {
    Include {
        fields: Part::All,
        file_properties: true,
        external_references: true,
        ..Include::default()
    }
}

pub(super) fn render<'a>(celum: &'a Celum, state: &'a State, call: &'a Call) -> Render<'a> {
    Render {
        celum,
        state,
        user: &call.user,
        now: celum.now(),
    }
}

/// `DELETE /assets/{id}`.
pub(super) fn delete(celum: &Celum, call: &Call) -> Result<Reply> {
    let id = call.id(0)?;
    let mut state = celum.state();
    let asset = Arc::clone(celum.unlocked(&state, id, &call.user)?);
    celum.commit(&mut state, Event::AssetRemoved { id })?;
    celum.discard(asset.blobs());
    Ok(Reply::Empty)
}

/// `GET /assets/{id}/versions`, oldest first.
pub(super) fn versions(celum: &Celum, call: &Call) -> Result<Reply> {
    let page = call.query.page()?;
    let state = celum.state();
    let asset = celum.asset_of(&state, call.id(0)?)?;
    let render = render(celum, &state, call);
    Reply::ok(page.envelope(&asset.versions, |version| render.version(asset, version)))
}

/// `DELETE /assets/{id}/versions/{version}`. If it was the active one, the newest that is left becomes it.
pub(super) fn delete_version(celum: &Celum, call: &Call) -> Result<Reply> {
    let mut state = celum.state();
    let found = celum.unlocked(&state, call.id(0)?, &call.user)?;
    let version = celum.version_of(found, Some(call.id(1)?))?;
    let (id, blob) = (version.id, version.blob);
    let mut asset = Asset::clone(found);
    asset.versions.retain(|kept| kept.id != id);
    let Some(newest) = asset.versions.last() else {
        let message = "the only version of an asset cannot be deleted";
        return Err(ApiError::argument("versionId", "LAST_VERSION", message));
    };
    if asset.current == id {
        asset.current = newest.id;
    }
    let event = Event::Asset {
        asset: Box::new(asset),
        used: Vec::new(),
    };
    celum.commit(&mut state, event)?;
    celum.discard(blob);
    Ok(Reply::Empty)
}

/// `GET /assets/{id}/download`.
pub(super) fn download(celum: &Celum, call: &Call) -> Result<Reply> {
    let format = required_format(call)?;
    let version = call.query.id("versionId")?;
    let state = celum.state();
    let asset = celum.asset_of(&state, call.id(0)?)?;
    link(
        celum,
        &state,
        asset,
        celum.version_of(asset, version)?,
        format,
    )
}

/// `GET /assets/download`, for one asset: archives of several are not emulated.
pub(super) fn download_many(celum: &Celum, call: &Call) -> Result<Reply> {
    let format = required_format(call)?;
    let ids = call.query.ids("assetIds")?.unwrap_or_default();
    let mut ids = ids.into_iter();
    let (Some(id), None) = (ids.next(), ids.next()) else {
        let message = "exactly one asset is served; this emulator packs no archives";
        return Err(ApiError::argument("assetIds", "COUNT", message));
    };
    let state = celum.state();
    let asset = celum.asset_of(&state, id)?;
    link(celum, &state, asset, asset.current(), format)
}

fn required_format(call: &Call) -> Result<u64> {
    let missing = || ApiError::argument("downloadFormatId", "MISSING", "it is required");
    call.query.id("downloadFormatId")?.ok_or_else(missing)
}

fn link(
    celum: &Celum,
    state: &State,
    asset: &Asset,
    version: &Version,
    format: u64,
) -> Result<Reply> {
    let formats = state.tenant.iter().flat_map(|tenant| &tenant.formats);
    let found = formats.into_iter().find(|known| known.id == format);
    let found = found.ok_or_else(|| ApiError::missing(&celum.profile, "DownloadFormat", format))?;
    let now = celum.now();
    let available = match found.edge {
        None => version.blob.is_some(),
        Some(_) => preview_state(version, now) == Some("SUCCEEDED"),
    };
    if !available {
        let message = format!("version {} is not available as {}", version.id, found.key);
        return Err(ApiError::argument("downloadFormatId", "RENDITION", message));
    }
    let filename = match found.edge {
        None => version.filename.clone(),
        Some(_) => rendition_name(&version.filename),
    };
    let link = Link {
        asset: asset.id,
        version: version.id,
        edge: found.edge,
        preview: false,
        expires: celum.link_expiry(now),
    };
    Reply::ok(json!({"url": celum.link_url(link)?, "filename": filename}))
}

/// Pictures that the emulator renders are PNG.
pub(super) fn rendition_name(filename: &str) -> String {
    let stem = filename.rsplit_once('.').map_or(filename, |(stem, _)| stem);
    format!("{stem}.png")
}
