//! Metadata as flows, plugins and sinks exchange it: by technical names, with types, with reasons.
//!
//! A draft says what an asset shall become at a sink. Names are resolved to the sink's own ids by the
//! sink; nothing above it knows those ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, AssetPath, Revision};
use crate::digest::Blake3;
use crate::error::{Error, Kind, Result};
use crate::outlet::Handing;

/// The value of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", content = "value")]
pub enum Value {
    /// One text.
    Text(String),
    /// One text a locale, keyed by short locale codes such as `de`.
    LocalizedText(BTreeMap<String, String>),
    /// A whole number.
    Number(i64),
    /// A number with a fraction.
    Decimal(f64),
    /// A calendar day.
    Date(jiff::civil::Date),
    /// Yes or no.
    Boolean(bool),
    /// Free keywords, by name.
    Keywords(Vec<String>),
    /// Entries of a controlled vocabulary or a taxonomy, by name or `/`-separated path.
    References(Vec<String>),
}

/// The type of a [`Value`], to say what a field wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each is the type of the value of the same name"
)]
pub enum ValueKind {
    Text,
    LocalizedText,
    Number,
    Decimal,
    Date,
    Boolean,
    Keywords,
    References,
}

impl Value {
    /// The type of this value.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Text(_) => ValueKind::Text,
            Value::LocalizedText(_) => ValueKind::LocalizedText,
            Value::Number(_) => ValueKind::Number,
            Value::Decimal(_) => ValueKind::Decimal,
            Value::Date(_) => ValueKind::Date,
            Value::Boolean(_) => ValueKind::Boolean,
            Value::Keywords(_) => ValueKind::Keywords,
            Value::References(_) => ValueKind::References,
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ValueKind::Text => "a text",
            ValueKind::LocalizedText => "a text per language",
            ValueKind::Number => "a whole number",
            ValueKind::Decimal => "a number",
            ValueKind::Date => "a date",
            ValueKind::Boolean => "yes or no",
            ValueKind::Keywords => "keywords",
            ValueKind::References => "references",
        })
    }
}

/// A field, its value, and the rule that gave it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assigned {
    /// The field's technical name at the sink.
    pub field: String,
    /// What it becomes.
    pub value: Value,
    /// Which rule said so, in the words of who assigned it: `template 1, {campaign}`.
    pub rule: String,
}

/// From when to when an asset may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Availability {
    /// Switched on or off by hand.
    Direct {
        /// Whether it may be used.
        available: bool,
    },
    /// Within a span of time; an open side has no bound.
    Dated {
        /// First instant.
        from: Option<Timestamp>,
        /// Last instant, inclusive.
        to: Option<Timestamp>,
    },
}

/// A mark that lets a lost answer be told from a failure: "was that mine?".
///
/// Derived from what is to be placed and by which flow, so that a second try derives the same one. It also knows the
/// asset whatever its revision, for what is stamped with it ([`Stamp`](crate::Stamp)).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Correlation(String);

/// How many hexadecimal digits name a revision, and how many an asset.
const NAME_DIGITS: usize = 32;

impl Correlation {
    /// Derives the mark of one asset revision in one flow.
    pub fn derive(flow: &str, source: &str, asset: &str, revision: &str) -> Self {
        let mark = name_of(&[flow, source, asset, revision]);
        let origin = name_of(&[flow, source, asset]);
        Correlation(format!("{mark}.{origin}"))
    }

    /// The mark as text: 32 hex digits.
    pub fn as_str(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// What names the asset in the flow, whatever its revision: 32 hex digits. `None` for a mark that an older version
    /// derived.
    pub fn origin(&self) -> Option<&str> {
        self.0.split('.').nth(1)
    }
}

/// A digest of some texts. Each is preceded by its length, so that no two lists of texts read the same.
fn name_of(parts: &[&str]) -> String {
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_le_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    Blake3::of(&text).to_hex()[..NAME_DIGITS].to_owned()
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an asset shall become at a sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// The asset's display name at the sink.
    pub name: String,
    /// The name of the file that carries its bytes.
    pub file_name: String,
    /// The folder or collection that holds it, as a path of names from a root.
    pub collection: AssetPath,
    /// The asset type's technical name, where the sink has types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_type: Option<String>,
    /// Field values, each field at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Assigned>,
    /// When it may be used, where the sink can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<Availability>,
    /// What people get beside the file, where the sink hands out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handing: Option<Handing>,
    /// What counts only while the asset is new: of one that is there, its sink keeps what it says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub yields: BTreeSet<DraftPart>,
}

/// A part of a draft.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DraftPart {
    /// Its display name.
    Name,
    /// The folder or collection that holds it.
    Collection,
    /// Its type.
    AssetType,
    /// When it may be used.
    Availability,
    /// The field of this technical name.
    Field(String),
}

impl Draft {
    /// What of it counts for an asset that is there: everything that does not yield.
    pub fn standing(&self) -> Draft {
        let mut draft = self.clone();
        for part in &self.yields {
            match part {
                DraftPart::Name => draft.name.clear(),
                DraftPart::Collection => draft.collection = AssetPath::new(""),
                DraftPart::AssetType => draft.asset_type = None,
                DraftPart::Availability => draft.availability = None,
                DraftPart::Field(name) => draft.fields.retain(|assigned| assigned.field != *name),
            }
        }
        draft
    }

    /// The digest of what it asks of an asset that is there, without the rules that asked: a changed rule that gives the
    /// same values is no change. Placements keep it.
    ///
    /// Errors: `Unexpected` for a number that JSON cannot hold.
    pub fn digest(&self) -> Result<Blake3> {
        let mut bare = self.standing();
        for assigned in &mut bare.fields {
            assigned.rule.clear();
        }
        bare.fields.sort_by(|a, b| a.field.cmp(&b.field));
        let canonical = serde_json::to_vec(&bare).map_err(|error| {
            Error::new(Kind::Unexpected, "a draft cannot be written as JSON").with_source(error)
        })?;
        Ok(Blake3::of(&canonical))
    }
}

/// Where the bytes of a transfer go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "as")]
pub enum Destination {
    /// A new asset.
    New {
        /// What it shall be.
        draft: Draft,
    },
    /// A new version of an asset that is there.
    Version {
        /// The asset that gets it.
        asset: AssetId,
        /// What the asset shall be afterwards.
        draft: Draft,
        /// The revision that it replaces, and no other; without it whichever is there when the upload begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaces: Option<Revision>,
    },
}

impl Destination {
    /// What the asset shall be.
    pub fn draft(&self) -> &Draft {
        match self {
            Destination::New { draft } | Destination::Version { draft, .. } => draft,
        }
    }
}

/// Why a sink would refuse a draft. Found before bytes move wherever the sink can know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field it is about, by technical name; `None` for the asset as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The value, if it is one that the sink's vocabulary does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<UnknownEntry>,
}

/// A value that a sink's vocabulary does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownEntry {
    /// As it was given.
    pub name: String,
    /// The entry that it is closest to, if any is close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Whether it may be made a new entry.
    pub creatable: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field {field:?}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
