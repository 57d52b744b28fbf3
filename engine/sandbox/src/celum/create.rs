//! `POST /assets` and `POST /assets/{id}/versions`: content that was uploaded becomes something.

use std::time::Duration;

use serde::Deserialize;

use super::api::{Call, Reply};
use super::assets::{render, whole};
use super::error::{ApiError, Fault, Result};
use super::links::lot;
use super::model::{Asset, Category, Handle, Level, Trail, Values, Version, extension};
use super::request::{Id, body};
use super::state::{Event, State};
use super::values::{self, Given, Rules, Style};
use super::{Celum, later, picture};

/// Longest name of an asset or file, in characters.
pub(super) const NAME_CHARS_MAX: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CreateAsset {
    parent_id: Id,
    name: Option<String>,
    type_id: Option<Id>,
    upload_handle: Option<String>,
    alternative_preview_upload_handle: Option<String>,
    #[serde(default)]
    information_field_values: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AddVersion {
    filename: String,
    upload_handle: String,
}

/// `POST /assets`. Without an upload handle it makes a placeholder.
pub(super) fn asset(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: CreateAsset = body(&call.body)?;
    let mut state = celum.state();
    let parent = check_parent(celum, &state, wish.parent_id.0)?;
    let type_id = wish.type_id.map(|id| id.0);
    check_type(celum, &state, type_id)?;
    let content = wish.upload_handle.as_deref();
    let content = content
        .map(|name| celum.arrived(&state, "uploadHandle", name))
        .transpose()?;
    let preview = wish.alternative_preview_upload_handle.as_deref();
    let preview = preview
        .map(|name| celum.arrived(&state, "alternativePreviewUploadHandle", name))
        .transpose()?;
    let values = initial_values(
        celum,
        &state,
        type_id,
        &wish.information_field_values,
        parent,
    )?;

    let name = wish
        .name
        .or_else(|| content.map(|handle| handle.filename.clone()));
    let name = name.unwrap_or_else(|| "Placeholder".to_owned());
    check_name("name", &name)?;
    let trail = celum.trail(call);
    let id = state.next_asset();
    let version = celum.version(id, 1, &name, content, trail);
    let used = [content, preview].into_iter().flatten();
    let used = used.map(|handle| handle.handle.clone()).collect();
    let asset = Asset {
        id,
        name,
        type_id,
        creation: trail,
        modification: None,
        versions: vec![version],
        current: 1,
        next_version: 2,
        availability: None,
        parents: vec![wish.parent_id.0],
        values,
        lock: None,
        references: Vec::new(),
        next_reference: 1,
        alternative_preview: preview.and_then(|handle| Some(handle.received.as_ref()?.blob)),
    };
    let asset = Box::new(asset);
    celum.commit(&mut state, Event::Asset { asset, used })?;
    let asset = celum.asset_of(&state, id)?;
    Reply::created(render(celum, &state, call).asset(asset, &whole()))
}

/// `POST /assets/{id}/versions`.
pub(super) fn version(celum: &Celum, call: &Call) -> Result<Reply> {
    let wish: AddVersion = body(&call.body)?;
    check_filename("filename", &wish.filename)?;
    let mut state = celum.state();
    celum.unlocked(&state, call.id(0)?, &call.user)?;
    let content = celum.arrived(&state, "uploadHandle", &wish.upload_handle)?;
    let content = content.clone();
    let number = celum.add_version_of(&mut state, call, &wish.filename, &content)?;
    let asset = celum.asset_of(&state, call.id(0)?)?;
    let version = asset.version(number).unwrap_or_else(|| asset.current());
    Reply::created(render(celum, &state, call).version(asset, version))
}

/// What a new asset's collection demands, if assets may be put there.
fn check_parent(celum: &Celum, state: &State, parent: u64) -> Result<Level> {
    if !state.collections.contains_key(&parent) {
        return Err(ApiError::missing(&celum.profile, "Collection", parent));
    }
    if !state.permission_defining(parent) {
        let message = format!("collection {parent} is not permission-defining");
        return Err(ApiError::argument("parentId", "PARENT", message));
    }
    Ok(state.level(parent))
}

/// Refuses an asset type that does not exist.
pub(super) fn check_type(celum: &Celum, state: &State, type_id: Option<u64>) -> Result<()> {
    match type_id {
        Some(id) if state.asset_type(id).is_none() => {
            Err(ApiError::missing(&celum.profile, "AssetType", id))
        }
        _ => Ok(()),
    }
}

fn initial_values(
    celum: &Celum,
    state: &State,
    type_id: Option<u64>,
    given: &[Given],
    level: Level,
) -> Result<Values> {
    let rules = Rules {
        state,
        sets: state.asset_sets(type_id),
        locales: &celum.profile.locales,
    };
    let style = Style::Create {
        lenient: celum.profile.lenient_create_values,
    };
    let mut values = Values::new();
    let strict = level == Level::Strict;
    let mut faults = values::apply(&rules, &mut values, given, style, strict);
    if strict && type_id.is_none() {
        faults.push(type_fault());
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(ApiError::invalid(faults))
    }
}

/// What a strict collection says to an asset without a type.
pub(super) fn type_fault() -> Fault {
    Fault::argument(
        "typeId",
        "REQUIRED",
        "a strict collection wants an asset type",
    )
}

/// Refuses a name that no asset can have.
pub(super) fn check_name(argument: &str, name: &str) -> Result<()> {
    let chars = name.chars().count();
    if name.trim().is_empty() || chars > NAME_CHARS_MAX {
        let message = format!("{argument} has 1 to {NAME_CHARS_MAX} characters, not {chars}");
        return Err(ApiError::argument(argument, "LENGTH", message));
    }
    Ok(())
}

/// Refuses a name that no file can have.
pub(super) fn check_filename(argument: &str, name: &str) -> Result<()> {
    check_name(argument, name)?;
    if name.contains(|c: char| c == '/' || c == '\\' || c.is_control()) {
        let message = format!("{name:?} is not a file name");
        return Err(ApiError::argument(argument, "FILENAME", message));
    }
    Ok(())
}

impl Celum {
    /// Who does something now.
    pub(super) fn trail(&self, call: &Call) -> Trail {
        Trail {
            date: self.now(),
            user: call.user.id,
        }
    }

    /// Moves the modification of an asset, where the profile says that this kind of change does.
    pub(super) fn bump(&self, asset: &mut Asset, trail: Trail, edit: bool) {
        if edit || self.profile.mod_bumps == super::ModBumps::All {
            asset.modification = Some(trail);
        }
    }

    /// An upload whose content is here, to be used once.
    pub(super) fn arrived<'a>(
        &self,
        state: &'a State,
        argument: &str,
        name: &str,
    ) -> Result<&'a Handle> {
        let refuse = |message: &str| ApiError::argument(argument, "HANDLE", message);
        let handle = state.handles.get(name);
        let handle = handle.ok_or_else(|| refuse("the upload handle is unknown or was used"))?;
        if handle.expires <= self.now() {
            return Err(refuse("the upload handle has expired"));
        }
        if handle.received.is_none() {
            return Err(refuse("nothing was uploaded for this handle"));
        }
        Ok(handle)
    }

    /// Makes a version of the asset that a call names, and answers its number.
    pub(super) fn add_version_of(
        &self,
        state: &mut State,
        call: &Call,
        filename: &str,
        content: &Handle,
    ) -> Result<u64> {
        let id = call.id(0)?;
        let mut asset = Asset::clone(self.unlocked(state, id, &call.user)?);
        let number = asset.next_version;
        let trail = self.trail(call);
        let version = self.version(id, number, filename, Some(content), trail);
        asset.versions.push(Version {
            filename: filename.to_owned(),
            ..version
        });
        asset.next_version += 1;
        if self.profile.auto_activate {
            asset.current = number;
        }
        self.bump(&mut asset, trail, false);
        let event = Event::Asset {
            asset: Box::new(asset),
            used: vec![content.handle.clone()],
        };
        self.commit(state, event)?;
        Ok(number)
    }

    /// A version from an upload, or the placeholder of an asset without one.
    fn version(
        &self,
        asset: u64,
        id: u64,
        name: &str,
        content: Option<&Handle>,
        creation: Trail,
    ) -> Version {
        let received = content.and_then(|handle| handle.received.as_ref());
        let filename = content.map_or(name, |handle| &handle.filename);
        let category = match received {
            None => Category::Placeholder,
            Some(_) => Category::of(extension(filename).as_deref()),
        };
        let image = received.filter(|_| category == Category::Image);
        let luck = lot(self.seed, "preview", asset.rotate_left(20) ^ id) % 100;
        Version {
            id,
            filename: filename.to_owned(),
            filesize: received.map_or(0, |received| received.size),
            category,
            blob: received.map(|received| received.blob),
            digest: received.map(|received| received.digest.clone()),
            digest_published: received.is_some_and(|received| received.digest_published),
            creation,
            preview_due: later(
                creation.date,
                Duration::from_secs(self.profile.preview_delay),
            ),
            preview_fails: luck < u64::from(self.profile.preview_failure_percent),
            dimensions: image.and_then(|received| picture::dimensions(&self.blobs, received.blob)),
        }
    }
}
