//! What a test, a demo or a checker may ask of the tenant behind the API's back.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use windlass_core::{Error, Kind};

use super::Celum;
use super::model::{Asset, Availability, Collection, FieldKind, FieldValue, Trail, Values};
use super::state::{DEPTH_MAX, Event, State, name_in};
use crate::blob::lock;

/// How often a route was called. Routes are named by method and path, those of the other origin
/// `transfer upload`, `transfer download` and `transfer preview`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteCount {
    /// All calls, faults included.
    pub calls: u64,
    /// Those that were not answered with a success.
    pub refused: u64,
}

/// An asset as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AssetSnapshot {
    /// The asset's id.
    pub id: u64,
    /// Its name, which is not the file's.
    pub name: String,
    /// File name of the current version.
    pub filename: String,
    /// Bytes of the current version.
    pub size: u64,
    /// Checksum of the current version, also where clients do not see it. None for placeholders.
    pub checksum: Option<String>,
    /// How many versions there are.
    pub versions: usize,
    /// Technical name of the asset type.
    pub asset_type: Option<String>,
    /// Paths of the collections it is in, with `/` between names in the system's locale.
    pub parents: Vec<String>,
    /// Field values by technical name. References are lists of names and a dropdown its label, both
    /// in the system's locale; texts in several locales are objects.
    pub fields: BTreeMap<String, Value>,
    /// When it may be used.
    pub availability: Option<Availability>,
    /// Whether somebody holds its lock.
    pub locked: bool,
}

impl Celum {
    /// How often each route was called, by name.
    pub fn counters(&self) -> BTreeMap<&'static str, RouteCount> {
        lock(&self.counters).clone()
    }

    /// Every asset, by id.
    pub fn assets(&self) -> Vec<AssetSnapshot> {
        let state = self.state();
        let assets = state.assets.values();
        assets.map(|asset| self.snapshot(&state, asset)).collect()
    }

    /// How many assets there are.
    pub fn asset_count(&self) -> usize {
        self.state().assets.len()
    }

    /// Groups of assets whose current versions are the same bytes, by checksum and size.
    pub fn duplicates(&self) -> Vec<Vec<u64>> {
        let state = self.state();
        let mut groups: BTreeMap<(String, u64), Vec<u64>> = BTreeMap::new();
        for asset in state.assets.values() {
            let version = asset.current();
            if let Some(digest) = &version.digest {
                let group = groups
                    .entry((digest.clone(), version.filesize))
                    .or_default();
                group.push(asset.id);
            }
        }
        groups
            .into_values()
            .filter(|group| group.len() > 1)
            .collect()
    }

    /// Uploads that were announced and not yet used, the expired ones that still lie around included.
    pub fn open_handles(&self) -> usize {
        self.state().handles.len()
    }

    /// Requests to the transfer origin that carried API credentials although it wants none.
    pub fn leaked_credentials(&self) -> u64 {
        self.leaked_credentials.load(Ordering::Relaxed)
    }

    /// The comments of all locks that were set on an asset since the tenant was opened, in that order.
    pub fn lock_comments(&self, asset: u64) -> Vec<String> {
        lock(&self.locks).get(&asset).cloned().unwrap_or_default()
    }

    /// The version of an asset that is current, and where it is not there none.
    pub fn current_version(&self, asset: u64) -> Option<u64> {
        let state = self.state();
        state.assets.get(&asset).map(|asset| asset.current)
    }

    /// Where the transfer router is served, once that is known.
    pub fn transfer_base(&self) -> Option<Url> {
        lock(&self.transfer_base).clone()
    }

    /// A range of an asset's current content. `NotFound` for placeholders and unknown ids.
    pub fn read_content(&self, asset: u64, range: Range<u64>) -> io::Result<Bytes> {
        let found = self
            .state()
            .assets
            .get(&asset)
            .and_then(|asset| asset.current().blob);
        let blob = found.ok_or(io::ErrorKind::NotFound)?;
        self.blobs.read(blob, range)
    }

    /// The id of an information field, by technical name.
    pub fn field_id(&self, name: &str) -> Option<u64> {
        let state = self.state();
        let mut fields = state.tenant.as_ref()?.fields.values();
        fields
            .find(|field| field.name == name)
            .map(|field| field.id)
    }

    /// The id of an asset type, by technical name.
    pub fn asset_type_id(&self, name: &str) -> Option<u64> {
        let state = self.state();
        let mut types = state.tenant.as_ref()?.asset_types.iter();
        types.find(|kind| kind.name == name).map(|kind| kind.id)
    }

    /// The id of a collection, by names in the system's locale with `/` between them.
    pub fn collection_id(&self, path: &str) -> Option<u64> {
        let state = self.state();
        let mut at = None;
        for name in path.split('/') {
            at = Some(self.child_named(&state, at, name)?);
        }
        at
    }

    /// The id of a collection, which is made below its parents if it is missing. Roots are not made.
    pub fn ensure_collection(&self, path: &str) -> windlass_core::Result<u64> {
        let refuse = |message: &str| {
            Error::new(Kind::InvalidInput, message.to_owned()).with_context("path", path)
        };
        let mut state = self.state();
        let mut names = path.split('/');
        let root = names.next().unwrap_or_default();
        let root = self.child_named(&state, None, root);
        let mut at = root.ok_or_else(|| refuse("the sandbox has no such root collection"))?;
        for (depth, name) in names.enumerate() {
            if name.trim().is_empty() || depth + 2 > DEPTH_MAX {
                return Err(refuse("this cannot be the path of a collection"));
            }
            at = match self.child_named(&state, Some(at), name) {
                Some(id) => id,
                None => self.make_child(&mut state, at, name)?,
            };
        }
        Ok(at)
    }

    fn make_child(&self, state: &mut State, parent: u64, name: &str) -> windlass_core::Result<u64> {
        let id = state.next_collection();
        let above = state.collections.get(&parent);
        let type_id = above.map_or(0, |above| above.type_id);
        let locale = self.profile.locales[0].clone();
        let collection = Box::new(Collection {
            id,
            type_id,
            names: BTreeMap::from([(locale, name.to_owned())]),
            parent: Some(parent),
            level: None,
            creation: Trail {
                date: self.now(),
                user: 1,
            },
            modification: None,
            values: Values::new(),
        });
        self.commit(state, Event::Collection { collection })
            .map_err(|error| {
                let message = "the CELUM sandbox's store cannot be written";
                Error::new(Kind::Capacity, message).with_context("cause", format!("{error:?}"))
            })?;
        Ok(id)
    }

    fn child_named(&self, state: &State, parent: Option<u64>, name: &str) -> Option<u64> {
        let locale = &self.profile.locales[0];
        state.children(parent).find(|id| {
            let found = state.collections.get(id);
            found.is_some_and(|found| name_in(&found.names, locale) == name)
        })
    }

    fn snapshot(&self, state: &State, asset: &Asset) -> AssetSnapshot {
        let locale = &self.profile.locales[0];
        let version = asset.current();
        let fields = asset.values.iter().filter_map(|(id, value)| {
            let field = state.field(*id)?;
            let value = plain_value(state, &field.kind, value, locale);
            Some((field.name.clone(), value))
        });
        let kind = asset.type_id.and_then(|id| state.asset_type(id));
        let parents = asset.parents.iter();
        AssetSnapshot {
            id: asset.id,
            name: asset.name.clone(),
            filename: version.filename.clone(),
            size: version.filesize,
            checksum: version.digest.clone(),
            versions: asset.versions.len(),
            asset_type: kind.map(|kind| kind.name.clone()),
            parents: parents
                .map(|id| state.path_names(*id, locale).join("/"))
                .collect(),
            fields: fields.collect(),
            availability: asset.availability.clone(),
            locked: asset.lock.is_some(),
        }
    }
}

fn plain_value(state: &State, kind: &FieldKind, value: &FieldValue, locale: &str) -> Value {
    match (value, kind) {
        (FieldValue::Text(text), _) => json!(text),
        (FieldValue::Localized(texts), _) => json!(texts),
        (FieldValue::Number(number), _) => json!(number),
        (FieldValue::Double(number), _) => json!(number),
        (FieldValue::Boolean(flag), _) => json!(flag),
        (FieldValue::Date(date), _) => json!(date.to_string()),
        (FieldValue::Dropdown(index), FieldKind::Dropdown { options }) => {
            let found = options.iter().find(|(known, _)| known == index);
            found.map_or(json!(index), |(_, labels)| json!(name_in(labels, locale)))
        }
        (FieldValue::Dropdown(index), _) => json!(index),
        (FieldValue::References(ids), _) => {
            let found = ids.iter().filter_map(|id| state.collections.get(id));
            found
                .map(|found| json!(name_in(&found.names, locale)))
                .collect()
        }
    }
}
