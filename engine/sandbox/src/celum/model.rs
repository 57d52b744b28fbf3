//! The things a CELUM tenant holds, as the emulator remembers them. Not what goes over the wire.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::blob::BlobId;

/// One text a locale.
pub(super) type Labels = BTreeMap<String, String>;

/// Values by field id.
pub(super) type Values = BTreeMap<u64, FieldValue>;

/// What an administrator has set up; clients only read it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tenant {
    pub(super) client_id: String,
    pub(super) users: Vec<User>,
    pub(super) fields: BTreeMap<u64, Field>,
    pub(super) asset_types: Vec<ObjectType>,
    pub(super) collection_types: Vec<CollectionType>,
    pub(super) formats: Vec<DownloadFormat>,
    #[serde(default)]
    pub(super) relation_types: Vec<ObjectType>,
}

/// Somebody who can sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    pub(super) firstname: String,
    pub(super) lastname: String,
    pub(super) email: String,
    pub(super) created: Timestamp,
    /// Without it, everything that changes something is refused.
    pub(super) may_write: bool,
    /// Whether `X-CELUM-Username` is obeyed.
    pub(super) may_impersonate: bool,
}

/// An asset type or a relation type, and what a collection type shares with them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectType {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) sets: Vec<FieldSet>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CollectionType {
    pub(super) base: ObjectType,
    pub(super) permission_defining: bool,
    pub(super) tag_cloud: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FieldSet {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    /// The set counts only while this boolean field is true.
    pub(super) depends_on: Option<u64>,
    pub(super) fields: Vec<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) required: bool,
    pub(super) kind: FieldKind,
}

/// An information field's type and its settings. Lengths are characters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum FieldKind {
    Text {
        area: bool,
        min: Option<usize>,
        max: Option<usize>,
        pattern: Option<String>,
    },
    Localized {
        area: bool,
    },
    Number,
    Double,
    Boolean,
    Date,
    Dropdown {
        options: Vec<(i64, Labels)>,
    },
    Collections {
        root: u64,
        max: Option<usize>,
        root_selectable: bool,
    },
    Tags {
        root: u64,
        max: Option<usize>,
        create_new: bool,
    },
}

impl FieldKind {
    /// The type's name on the wire.
    pub(super) fn wire(&self) -> &'static str {
        match self {
            FieldKind::Text { area: false, .. } => "TEXT",
            FieldKind::Text { area: true, .. } => "TEXT_AREA",
            FieldKind::Localized { area: false } => "LOCALIZED_TEXT",
            FieldKind::Localized { area: true } => "LOCALIZED_TEXT_AREA",
            FieldKind::Number => "NUMBER",
            FieldKind::Double => "DOUBLE",
            FieldKind::Boolean => "BOOLEAN",
            FieldKind::Date => "DATE",
            FieldKind::Dropdown { .. } => "DROPDOWN",
            FieldKind::Collections { .. } => "COLLECTION_REFERENCE",
            FieldKind::Tags { .. } => "TAG_REFERENCE",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum FieldValue {
    Text(String),
    Localized(Labels),
    Number(i64),
    Double(f64),
    Boolean(bool),
    Date(Timestamp),
    Dropdown(i64),
    References(Vec<u64>),
}

impl FieldValue {
    /// True for values that a required field does not accept.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            FieldValue::Text(text) => text.is_empty(),
            FieldValue::Localized(texts) => texts.values().all(String::is_empty),
            FieldValue::References(ids) => ids.is_empty(),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DownloadFormat {
    pub(super) id: u64,
    pub(super) key: String,
    pub(super) names: Labels,
    /// None: the original. Else the edge in pixels of the picture it renders.
    pub(super) edge: Option<u32>,
}

/// Who did something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trail {
    pub(super) date: Timestamp,
    pub(super) user: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Level {
    Strict,
    Tolerant,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Collection {
    pub(super) id: u64,
    pub(super) type_id: u64,
    pub(super) names: Labels,
    pub(super) parent: Option<u64>,
    /// None: as the parent.
    pub(super) level: Option<Level>,
    pub(super) creation: Trail,
    pub(super) modification: Option<Trail>,
    pub(super) values: Values,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) type_id: Option<u64>,
    pub(super) creation: Trail,
    pub(super) modification: Option<Trail>,
    /// Never empty, ascending by id.
    pub(super) versions: Vec<Version>,
    pub(super) current: u64,
    /// Ids of versions are not used twice.
    pub(super) next_version: u64,
    pub(super) availability: Option<Availability>,
    pub(super) parents: Vec<u64>,
    pub(super) values: Values,
    pub(super) lock: Option<Lock>,
    pub(super) references: Vec<ExternalReference>,
    pub(super) next_reference: u64,
    /// A picture that is shown instead of the current version's own.
    pub(super) alternative_preview: Option<BlobId>,
}

impl Asset {
    /// The active version.
    pub(super) fn current(&self) -> &Version {
        // `current` always names one of `versions`, which is never empty.
        self.version(self.current).unwrap_or(&self.versions[0])
    }

    pub(super) fn version(&self, id: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// Every blob that this asset keeps alive.
    pub(super) fn blobs(&self) -> impl Iterator<Item = BlobId> {
        let contents = self.versions.iter().filter_map(|version| version.blob);
        contents.chain(self.alternative_preview)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    /// Counted within the asset, from 1.
    pub(super) id: u64,
    pub(super) filename: String,
    pub(super) filesize: u64,
    pub(super) category: Category,
    /// None for placeholders.
    pub(super) blob: Option<BlobId>,
    /// Tells equal contents, whether or not clients see it.
    pub(super) digest: Option<String>,
    pub(super) digest_published: bool,
    pub(super) creation: Trail,
    pub(super) preview_due: Timestamp,
    pub(super) preview_fails: bool,
    /// Width and height in pixels.
    pub(super) dimensions: Option<(u32, u32)>,
}

impl Version {
    /// What follows the last dot, in lower case.
    pub(super) fn extension(&self) -> Option<String> {
        extension(&self.filename)
    }
}

/// What follows the last dot of a file name, in lower case.
pub(super) fn extension(filename: &str) -> Option<String> {
    let (stem, extension) = filename.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_lowercase())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Category {
    Unknown,
    Image,
    Document,
    Video,
    Audio,
    Text,
    Model3d,
    Placeholder,
}

impl Category {
    pub(super) const ALL: [Category; 8] = [
        Category::Unknown,
        Category::Image,
        Category::Document,
        Category::Video,
        Category::Audio,
        Category::Text,
        Category::Model3d,
        Category::Placeholder,
    ];

    pub(super) fn wire(self) -> &'static str {
        match self {
            Category::Unknown => "UNKNOWN",
            Category::Image => "IMAGE",
            Category::Document => "DOCUMENT",
            Category::Video => "VIDEO",
            Category::Audio => "AUDIO",
            Category::Text => "TEXT",
            Category::Model3d => "MODEL3D",
            Category::Placeholder => "PLACEHOLDER",
        }
    }

    /// What an extension in lower case stands for.
    pub(super) fn of(extension: Option<&str>) -> Self {
        match extension.unwrap_or_default() {
            "jpg" | "jpeg" | "png" | "tif" | "tiff" | "gif" | "bmp" | "webp" | "heic" | "psd"
            | "psb" | "ai" | "eps" | "svg" | "dng" | "cr2" | "cr3" | "nef" | "arw" | "raf" => {
                Category::Image
            }
            "pdf" | "doc" | "docx" | "xls" | "xlsx" | "ppt" | "pptx" | "key" | "pages"
            | "numbers" | "odt" | "indd" | "idml" | "rtf" => Category::Document,
            "mp4" | "mov" | "m4v" | "avi" | "mkv" | "mxf" | "webm" | "mpg" | "mpeg" | "wmv" => {
                Category::Video
            }
            "mp3" | "wav" | "aif" | "aiff" | "flac" | "m4a" | "aac" | "ogg" => Category::Audio,
            "txt" | "md" | "csv" | "xml" | "json" | "html" | "htm" | "srt" | "vtt" => {
                Category::Text
            }
            "obj" | "fbx" | "gltf" | "glb" | "stl" | "3ds" | "usdz" | "c4d" => Category::Model3d,
            _ => Category::Unknown,
        }
    }
}

/// When an asset may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Switched by hand.
    Direct(bool),
    /// Between two instants, both inclusive; an open side has no bound.
    Dated {
        /// First instant.
        from: Option<Timestamp>,
        /// Last instant.
        to: Option<Timestamp>,
    },
}

impl Availability {
    /// Whether an asset with this availability may be used at some instant of a span.
    pub(super) fn active_within(this: Option<&Self>, from: Timestamp, to: Timestamp) -> bool {
        match this {
            None => true,
            Some(Availability::Direct(available)) => *available,
            Some(Availability::Dated {
                from: start,
                to: end,
            }) => start.is_none_or(|start| start <= to) && end.is_none_or(|end| end >= from),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Lock {
    pub(super) comment: String,
    pub(super) creation: Trail,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExternalReference {
    pub(super) id: u64,
    pub(super) description: String,
    pub(super) provider: String,
    pub(super) instance: Option<String>,
    pub(super) url: String,
    pub(super) updated: Timestamp,
}

/// One asset's relation to another one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Relation {
    pub(super) id: u64,
    pub(super) type_id: u64,
    pub(super) creation: Trail,
    pub(super) source: Related,
    pub(super) target: Related,
}

/// One end of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Related {
    pub(super) asset: u64,
    /// None: whichever is current.
    pub(super) version: Option<u64>,
}

/// An upload that was announced. It is gone once it is used, broken or expired.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Handle {
    /// Counts the handles of this tenant; the two names below derive from it.
    pub(super) number: u64,
    pub(super) handle: String,
    pub(super) token: String,
    pub(super) filename: String,
    pub(super) filesize: u64,
    pub(super) expires: Timestamp,
    pub(super) received: Option<Received>,
}

/// Content that arrived and waits to be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) digest: String,
    pub(super) digest_published: bool,
}
