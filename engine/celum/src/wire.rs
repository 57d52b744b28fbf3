//! What the Content API says on the wire. Unknown members and values are tolerated: tenants differ.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// Texts by locale.
pub(crate) type Localised = BTreeMap<String, String>;

/// One page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) has_next: bool,
    #[serde(
        default = "Vec::new",
        deserialize_with = "absent_or_null",
        bound(deserialize = "T: Deserialize<'de>")
    )]
    pub(crate) content: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionInfo {
    pub(crate) version: Option<String>,
    pub(crate) release_version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) username: Option<String>,
}

/// Who did something, and when.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trail {
    /// For people; nothing is decided by it, so a spelling that cannot be read is as good as none.
    #[serde(default, deserialize_with = "readable_instant")]
    pub(crate) date: Option<Timestamp>,
    pub(crate) user_id: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asset {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) creation: Trail,
    /// Absent on what was never edited.
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) modification: Trail,
    pub(crate) type_id: Option<i64>,
    pub(crate) current_version: Version,
    pub(crate) availability: Option<StatedAvailability>,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) release_status: Option<String>,
    /// Its form is nobody's promise; that it is there is.
    pub(crate) lock: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) parent_ids: Vec<i64>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) parent_paths: Vec<Path>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) information_field_value_sets: Vec<ValueSet>,
}

impl Asset {
    /// When it was made, got its current version or was edited last, whichever is the latest that the tenant tells.
    pub(crate) fn changed(&self) -> Option<Timestamp> {
        let trails = [
            &self.creation,
            &self.modification,
            &self.current_version.creation,
        ];
        trails.into_iter().filter_map(|trail| trail.date).max()
    }

    /// The value of a field as it is on the wire.
    pub(crate) fn value(&self, field: i64) -> Option<&serde_json::Value> {
        self.information_field_value_sets
            .iter()
            .flat_map(|set| &set.information_field_values)
            .find(|value| value.field.id == field)
            .and_then(|value| value.value.as_ref())
            .filter(|value| !value.is_null())
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) filesize: u64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) filename: String,
    pub(crate) file_checksum: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) file_category: String,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) preview_state: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) creation: Trail,
}

impl Version {
    /// Whether no file was ever uploaded: there is nothing to read.
    pub(crate) fn is_placeholder(&self) -> bool {
        self.file_category == "PLACEHOLDER"
    }

    /// Whether pictures of it are still being made.
    pub(crate) fn is_being_rendered(&self) -> bool {
        self.preview_state.as_deref() == Some("PROCESSING")
    }
}

/// When an asset may be used, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub(crate) enum Availability {
    Direct {
        available: bool,
    },
    Dated {
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "instant"
        )]
        from: Option<Timestamp>,
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            deserialize_with = "instant"
        )]
        to: Option<Timestamp>,
    },
}

/// When an asset may be used, as it is read: a kind that this version does not know is no reason to
/// lose the asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatedAvailability {
    Known(Availability),
    Other(serde_json::Value),
}

impl<'de> Deserialize<'de> for StatedAvailability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stated = serde_json::Value::deserialize(deserializer)?;
        Ok(match Availability::deserialize(&stated) {
            Ok(known) => StatedAvailability::Known(known),
            Err(_) => StatedAvailability::Other(stated),
        })
    }
}

impl From<&Availability> for windlass_core::Availability {
    fn from(availability: &Availability) -> Self {
        match availability {
            Availability::Direct { available } => windlass_core::Availability::Direct {
                available: *available,
            },
            Availability::Dated { from, to } => windlass_core::Availability::Dated {
                from: *from,
                to: *to,
            },
        }
    }
}

impl From<&windlass_core::Availability> for Availability {
    fn from(availability: &windlass_core::Availability) -> Self {
        match availability {
            windlass_core::Availability::Direct { available } => Availability::Direct {
                available: *available,
            },
            windlass_core::Availability::Dated { from, to } => Availability::Dated {
                from: *from,
                to: *to,
            },
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Path {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) path_segments: Vec<PathSegment>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PathSegment {
    pub(crate) collection_id: i64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) collection_name: Localised,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValueSet {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) information_field_values: Vec<FieldValue>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FieldValue {
    pub(crate) field: ValueField,
    pub(crate) value: Option<serde_json::Value>,
}

/// The definition of a field as it comes with a value, as far as reading the value needs it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ValueField {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) name: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "readable")]
    pub(crate) kind: Option<FieldKind>,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) options: Options,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AssetType {
    pub(crate) id: i64,
    pub(crate) name: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) labels: Localised,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) information_field_sets: Vec<FieldSet>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldSet {
    pub(crate) depends_on_field_id: Option<i64>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) information_fields: Vec<Field>,
}

/// The definition of an information field. Settings that belong to other types are absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Field {
    pub(crate) id: i64,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: FieldKind,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) required: bool,
    pub(crate) default_value: Option<serde_json::Value>,
    #[serde(default, deserialize_with = "bound")]
    pub(crate) min_length: Option<usize>,
    #[serde(default, deserialize_with = "bound")]
    pub(crate) max_length: Option<usize>,
    pub(crate) validation_pattern: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) options: Options,
    pub(crate) root_id: Option<i64>,
    #[serde(default, deserialize_with = "bound")]
    pub(crate) max_selections: Option<usize>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) create_new_on_the_fly: bool,
}

/// The options of a field, by locale.
pub(crate) type Options = BTreeMap<String, Vec<DropdownOption>>;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DropdownOption {
    pub(crate) index: i64,
    pub(crate) label: String,
}

/// The type of an information field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum FieldKind {
    Text,
    TextArea,
    LocalizedText,
    LocalizedTextArea,
    Number,
    Double,
    Boolean,
    Date,
    Dropdown,
    CollectionReference,
    TagReference,
    /// A type that this version does not know.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CollectionType {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) permission_defining: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Collection {
    pub(crate) id: i64,
    pub(crate) type_id: Option<i64>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) name: Localised,
    pub(crate) parent_id: Option<i64>,
    pub(crate) validation_level: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DownloadFormat {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) key: String,
    #[serde(default, deserialize_with = "readable")]
    pub(crate) name: Localised,
    pub(crate) original: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelationType {
    pub(crate) id: i64,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Relation {
    pub(crate) type_id: Option<i64>,
    /// Absent where it is gone or hidden.
    pub(crate) source_asset: Option<RelatedAsset>,
    pub(crate) target_asset: Option<RelatedAsset>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RelatedAsset {
    pub(crate) id: i64,
}

/// What is written down beside an asset of where it is used.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referenced {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) external_references: Vec<ExternalReference>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ExternalReference {
    pub(crate) description: Keyed,
    pub(crate) provider: Keyed,
    pub(crate) instance: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) url: String,
}

/// Something that an administrator set up, by its technical name.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Keyed {
    pub(crate) key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UploadTicket {
    pub(crate) url: url::Url,
    pub(crate) handle: String,
    /// When it was given, by the tenant's own clock where it tells.
    #[serde(skip)]
    pub(crate) given: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Download {
    pub(crate) url: url::Url,
}

/// The body of a refusal.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ErrorBody {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) code: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) message: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) faults: Vec<ErrorFault>,
    /// What is absent or hidden; its form is nobody's promise.
    pub(crate) entity: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorFault {
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) code: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(crate) message: String,
    pub(crate) argument: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) information_field_id: Option<i64>,
}

/// A typed value of a field, for creating (plain) and for changing (with an `op`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FieldEntry {
    pub(crate) id: i64,
    #[serde(rename = "type")]
    pub(crate) kind: FieldKind,
    pub(crate) value: serde_json::Value,
}

/// Absent and null both mean empty.
fn absent_or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What cannot be read is as good as absent.
fn readable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let stated = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(stated).unwrap_or_default())
}

/// A bound of zero or more; what is negative bounds nothing.
fn bound<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let stated = Option::<i64>::deserialize(deserializer)?;
    Ok(stated.and_then(|stated| usize::try_from(stated).ok()))
}

fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<serde_json::Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(stated) => match read_instant(&stated) {
            Some(instant) => Ok(Some(instant)),
            None => Err(serde::de::Error::custom(format!("{stated} is no date"))),
        },
    }
}

fn readable_instant<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let stated = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(stated.as_ref().and_then(read_instant))
}

/// ISO 8601, in UTC where it names no zone, or milliseconds since 1970 as one stale description says.
pub(crate) fn read_instant(stated: &serde_json::Value) -> Option<Timestamp> {
    match stated {
        serde_json::Value::String(text) => text.parse::<Timestamp>().ok().or_else(|| {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        }),
        serde_json::Value::Number(ms) => Timestamp::from_millisecond(ms.as_i64()?).ok(),
        _ => None,
    }
}
