//! An asset as the tenant governs it: its fields as statements with types, when it may be used, who has locked it.
//!
//! What cannot be read is a finding and no statement: half of a list of territories would be another list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use windlass_core::{AssetPath, Finding, Holding, Origin, Result, Statement, Usable, Value};

use crate::catalogue::Catalogue;
use crate::changes::day;
use crate::endpoint::Shared;
use crate::profile::CelumProfile;
use crate::sink::FAULTS_AGE_MAX;
use crate::wire::{self, FieldKind, FieldValue, Localised, Options, StatedAvailability};

/// How much of a value that cannot be read is told, in characters.
const TOLD_CHARS_MAX: usize = 80;

impl Shared {
    /// These assets with all that is governed about them, in the same order; with paths below the scope where they
    /// are in it.
    pub(crate) async fn holdings_of(
        &self,
        assets: &[&wire::Asset],
        scope: &AssetPath,
    ) -> Result<Vec<Holding>> {
        let catalogue = self.catalogue_of(assets).await?;
        let nameless = assets
            .iter()
            .flat_map(|asset| filled(asset))
            .filter(|(field, _)| is_reference(kind_of(field, &catalogue)))
            .flat_map(|(_, value)| nameless(value));
        let nameless: BTreeSet<i64> = nameless.collect();
        let names = match nameless.is_empty() {
            true => BTreeMap::new(),
            false => self.names.of(&self.api, &nameless).await?,
        };
        let reader = Reader {
            catalogue: &catalogue,
            profile: &self.profile,
            names: &names,
        };
        let assets = assets.iter();
        Ok(assets
            .map(|asset| self.holding(asset, scope, &reader))
            .collect())
    }

    /// What is known of the tenant's types; read again where an asset has one that was not there a while ago.
    async fn catalogue_of(&self, assets: &[&wire::Asset]) -> Result<Arc<Catalogue>> {
        let catalogue = self.catalogue().await?;
        let mut types = assets.iter().filter_map(|asset| asset.type_id);
        if types.all(|id| catalogue.type_by_id(id).is_some())
            || !self.is_older_than(FAULTS_AGE_MAX).await
        {
            return Ok(catalogue);
        }
        self.refresh().await;
        self.catalogue().await
    }

    fn holding(&self, asset: &wire::Asset, scope: &AssetPath, reader: &Reader<'_>) -> Holding {
        let (statements, mut findings) = reader.statements(asset);
        let sheet = asset
            .type_id
            .map(|id| (id, reader.catalogue.type_by_id(id)));
        if let Some((id, None)) = sheet {
            findings.push(Finding {
                subject: format!("asset type {id}"),
                message: "this user does not see it, so its name is not known".to_owned(),
            });
        }
        Holding {
            asset: self.shown(asset, scope),
            title: asset.name.clone(),
            asset_type: sheet.and_then(|(_, sheet)| Some(sheet?.name.clone())),
            usable: usable(asset.availability.as_ref()),
            collections: self.collections(asset),
            statements,
            findings,
            locked: asset.lock.as_ref().and_then(locked),
            is_released: asset.release_status.as_deref() == Some("RELEASED"),
            has_file: !asset.current_version.is_placeholder(),
            changed: asset.changed(),
        }
    }

    /// The collections that hold an asset. One that this user does not see is among them under its id: nobody should take
    /// the asset for being nowhere else.
    fn collections(&self, asset: &wire::Asset) -> Vec<AssetPath> {
        let paths = asset.parent_paths.iter();
        let seen: BTreeSet<i64> = paths
            .clone()
            .filter_map(|path| path.path_segments.last())
            .map(|last| last.collection_id)
            .collect();
        let hidden = asset.parent_ids.iter().filter(|id| !seen.contains(id));
        let hidden = hidden.map(|id| AssetPath::new(&format!("/collection {id}")));
        paths.map(|path| self.path(path)).chain(hidden).collect()
    }
}

/// When an asset may be used, in the words of all.
fn usable(stated: Option<&StatedAvailability>) -> Usable {
    match stated {
        None => Usable::Unstated,
        Some(StatedAvailability::Known(availability)) => Usable::Stated(availability.into()),
        Some(StatedAvailability::Other(other)) => Usable::Unreadable(told(other)),
    }
}

/// Why somebody has locked an asset; `None` where nobody has.
pub(crate) fn locked(lock: &Json) -> Option<String> {
    if *lock == Json::Bool(false) {
        return None;
    }
    let comment = lock["comment"].as_str().map(str::trim);
    let comment = comment.filter(|comment| !comment.is_empty());
    Some(comment.unwrap_or("nobody said why").to_owned())
}

/// The fields of an asset that have a value.
fn filled(asset: &wire::Asset) -> impl Iterator<Item = (&wire::ValueField, &Json)> {
    let sets = asset.information_field_value_sets.iter();
    let values = sets.flat_map(|set| &set.information_field_values);
    values.filter_map(|FieldValue { field, value }| {
        let value = value.as_ref().filter(|value| !is_empty(value))?;
        Some((field, value))
    })
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(entries) => entries.is_empty(),
        Json::Object(texts) => texts.values().all(is_empty),
        _ => false,
    }
}

/// The type of a field as it came with the value, else as it was when the types were read.
fn kind_of(field: &wire::ValueField, catalogue: &Catalogue) -> FieldKind {
    let known = || catalogue.field(field.id).map(|field| field.kind);
    field.kind.or_else(known).unwrap_or(FieldKind::Other)
}

fn is_reference(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::CollectionReference | FieldKind::TagReference
    )
}

/// The ids of references that came without their names.
fn nameless(value: &Json) -> impl Iterator<Item = i64> {
    let entries = value.as_array().into_iter().flatten();
    let entries = entries.filter(|entry| is_empty(&entry["name"]));
    entries.filter_map(|entry| entry["id"].as_i64())
}

/// The beginning of something that cannot be read.
fn told(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(TOLD_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Why a value cannot be read, in one sentence without a full stop.
type Unread = String;

/// Reads the values of fields.
struct Reader<'a> {
    catalogue: &'a Catalogue,
    profile: &'a CelumProfile,
    /// Names of collections that came without.
    names: &'a BTreeMap<i64, Localised>,
}

impl Reader<'_> {
    /// What the fields of an asset state, each once, and which of them cannot be read.
    fn statements(&self, asset: &wire::Asset) -> (Vec<Statement>, Vec<Finding>) {
        let (mut statements, mut findings) = (Vec::<Statement>::new(), Vec::new());
        for (field, value) in filled(asset) {
            let known = self.catalogue.field(field.id);
            let name = field.name.as_deref();
            let name = name.or_else(|| known.map(|known| known.name.as_str()));
            let name = name.map_or_else(|| format!("field {}", field.id), str::to_owned);
            if statements.iter().any(|statement| statement.name == name) {
                continue;
            }
            match self.value(field, value) {
                Ok(value) => statements.push(Statement {
                    origin: Origin::Source,
                    name,
                    value,
                }),
                Err(message) => findings.push(Finding {
                    subject: name,
                    message,
                }),
            }
        }
        (statements, findings)
    }

    fn value(&self, field: &wire::ValueField, value: &Json) -> Result<Value, Unread> {
        let kind = kind_of(field, self.catalogue);
        let read = match kind {
            FieldKind::Text | FieldKind::TextArea => {
                value.as_str().map(|text| Value::Text(text.to_owned()))
            }
            FieldKind::LocalizedText | FieldKind::LocalizedTextArea => texts(value),
            FieldKind::Number => whole(value).map(Value::Number),
            FieldKind::Double => value.as_f64().map(Value::Decimal),
            FieldKind::Boolean => value.as_bool().map(Value::Boolean),
            FieldKind::Date => day(value).and_then(|day| Some(Value::Date(day.parse().ok()?))),
            FieldKind::Dropdown => self
                .label(field, value)
                .map(|label| Value::References(vec![label])),
            FieldKind::CollectionReference => return self.names(value).map(Value::References),
            FieldKind::TagReference => return self.names(value).map(Value::Keywords),
            FieldKind::Other => None,
        };
        let wanted = wanted(kind);
        read.ok_or_else(|| format!("its value {} cannot be read as {wanted}", told(value)))
    }

    /// The label of an option, in the first of the profile's locales that has one, else in any.
    fn label(&self, field: &wire::ValueField, value: &Json) -> Option<String> {
        let index = whole(value)?;
        let known = || self.catalogue.field(field.id).map(|known| &known.options);
        let options = Some(&field.options).filter(|options| !options.is_empty());
        let labels = labels(options.or_else(known)?, index);
        self.profile.name_in(&labels).map(str::to_owned)
    }

    /// The names of references. One that nobody can name makes the whole of it unreadable.
    fn names(&self, value: &Json) -> Result<Vec<String>, Unread> {
        let entries = value.as_array();
        let entries = entries.ok_or_else(|| format!("its value {} is no list", told(value)))?;
        let names = entries.iter().map(|entry| {
            self.name(entry)
                .ok_or_else(|| format!("the entry {} has no name that this user sees", told(entry)))
        });
        names.collect()
    }

    fn name(&self, entry: &Json) -> Option<String> {
        match &entry["name"] {
            Json::String(name) if !name.is_empty() => return Some(name.clone()),
            Json::Object(_) if !is_empty(&entry["name"]) => {
                let names = named(&entry["name"])?;
                return self.profile.name_in(&names).map(str::to_owned);
            }
            _ => {}
        }
        let names = self.names.get(&entry["id"].as_i64()?)?;
        self.profile.name_in(names).map(str::to_owned)
    }
}

/// What a field's value is to be, for messages.
fn wanted(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text | FieldKind::TextArea => "a text",
        FieldKind::LocalizedText | FieldKind::LocalizedTextArea => "a text per language",
        FieldKind::Number => "a whole number",
        FieldKind::Double => "a number",
        FieldKind::Boolean => "yes or no",
        FieldKind::Date => "a date",
        FieldKind::Dropdown => "one of its options",
        FieldKind::CollectionReference | FieldKind::TagReference => "references",
        FieldKind::Other => "any type that this version of windlass knows",
    }
}

/// A text a locale; null is none.
fn named(value: &Json) -> Option<Localised> {
    let texts = value.as_object()?.iter();
    let texts = texts.filter(|(_, text)| !is_empty(text));
    texts
        .map(|(locale, text)| Some((locale.clone(), text.as_str()?.to_owned())))
        .collect()
}

fn texts(value: &Json) -> Option<Value> {
    named(value).map(Value::LocalizedText)
}

/// A whole number, also where it is written with a fraction of nothing.
fn whole(value: &Json) -> Option<i64> {
    let exact = value.as_i64();
    exact.or_else(|| {
        let number = value.as_f64()?;
        // Beyond this neighbours are not told apart.
        let is_exact = number.fract() == 0.0 && number.abs() < 9.0e15;
        is_exact.then_some(number as i64)
    })
}

/// The labels of an option, by locale.
pub(crate) fn labels(options: &Options, index: i64) -> Localised {
    let by_locale = options.iter().filter_map(|(locale, options)| {
        let mut options = options.iter();
        let option = options.find(|option| option.index == index)?;
        Some((locale.clone(), option.label.clone()))
    });
    by_locale.collect()
}
