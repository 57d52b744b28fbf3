//! What an archive says of an asset: all that its system of record knew when it was archived, who allowed it, and where
//! its files are.
//!
//! In JSON absent members are empty or unknown. Members may be added within a format; readers pass over what they do
//! not know.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::{
    AssetId, AssetPath, Blake3, Decision, Evidence, Finding, Holding, Revision, RunId, Usable,
    Value,
};

use crate::manifest::FORMAT;

/// The largest whole number that JSON holds for every reader.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// What all assets of an archive have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The id of the archive, see [`archive_id`](crate::archive_id).
    pub archive: String,
    /// The endpoint that held the assets, by its name in the configuration.
    pub source: String,
    /// When the asset was read.
    pub at: Timestamp,
    /// The version of the program.
    pub windlass: String,
}

/// Everything that is known of an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchivedAsset {
    /// The format of the archive.
    pub format: u32,
    /// The archive that it is in.
    pub archive: String,
    /// Identity at its source.
    pub id: AssetId,
    /// The name that people gave it.
    pub title: String,
    /// The technical name of its type, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_type: Option<String>,
    /// What its file is called at its source. In the archive it may be called otherwise.
    pub file_name: String,
    /// Where its source showed it, within what was archived.
    pub path: AssetPath,
    /// Its current version.
    pub version: Revision,
    /// Number of bytes of the current original.
    pub size: u64,
    /// When its content last changed, as its owner says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// All collections that held it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<AssetPath>,
    /// Labels that people put on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether and until when it might be used, as its source said.
    pub usable: Usable,
    /// Why somebody had locked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    /// Whether it was validly filed.
    pub is_released: bool,
    /// The values of its fields with their types, by technical name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Value>,
    /// What could not be read of it or kept as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What it was related to, both ways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<ArchivedRelation>,
    /// Whether it might leave, as the rules said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rulings: Vec<ArchivedRuling>,
    /// The state of its approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// Its versions, the oldest first, the current one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<ArchivedVersion>,
    /// What was made of the current version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renditions: Vec<ArchivedRendition>,
    /// What proves that the archive's files were placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// The endpoint that held it, by its name in the configuration.
    pub source: String,
    /// When it was read.
    pub archived_at: Timestamp,
    /// The version of the program that archived it.
    pub windlass: String,
}

/// A file of the archive, so that metadata and manifest can be held against each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Its path in the archive.
    pub path: String,
    /// Number of bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub blake3: Blake3,
}

/// One version of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedVersion {
    /// Which one.
    pub version: Revision,
    /// What its file is called at the source.
    pub file_name: String,
    /// Number of bytes.
    pub size: u64,
    /// When its content last changed, as its owner says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// Its file, if it was archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ArchivedFile>,
}

/// A rendition that was archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedRendition {
    /// Its technical name.
    pub rendition: String,
    /// Its file.
    pub file: ArchivedFile,
}

/// An asset that another one is related to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedRelation {
    /// The technical name of the relation's type.
    pub kind: String,
    /// The relation leads from this asset to the other one.
    pub is_outgoing: bool,
    /// The other asset.
    pub asset: AssetId,
    /// The other asset's current original, if it was archived because of a relation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ArchivedFile>,
}

/// What the rules said about handing the asset out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedRuling {
    /// The moment in question.
    pub at: Timestamp,
    /// Who was to get it, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The market for which it was asked; `None` is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// The channel for which it was asked; `None` is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Whether it might leave.
    pub decision: Decision,
    /// When that ceased to stand with all else equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// Which rule, or which limit was hit.
    pub rule: String,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// What a field said of the asset's approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// The field that states it, by technical name.
    pub field: String,
    /// What it said; `None` where it was empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whether that counted as approved.
    pub approved: bool,
    /// When it was looked at.
    pub at: Timestamp,
}

/// What proves that a file of the archive was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The file.
    pub file: ArchivedFile,
    /// How strongly it is proved that the sink held these bytes: from E0, the sizes agreed, to E3, they were read back.
    pub evidence: Evidence,
    /// When it was placed.
    pub at: Timestamp,
    /// The run that placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl ArchivedAsset {
    /// What its system of record says of an asset. Relations, rulings, approvals, versions, renditions and receipts are
    /// for the caller to add.
    ///
    /// Numbers that JSON cannot hold become texts, and of two values of one field the first is taken; a finding says so.
    pub fn of(holding: &Holding, archived: &Archived) -> Self {
        let asset = &holding.asset;
        let mut findings = holding.findings.clone();
        ArchivedAsset {
            format: FORMAT,
            archive: archived.archive.clone(),
            id: asset.id.clone(),
            title: holding.title.clone(),
            asset_type: holding.asset_type.clone(),
            file_name: asset.path.name().to_owned(),
            path: asset.path.clone(),
            version: asset.revision.clone(),
            size: asset.size,
            modified: asset.modified,
            collections: holding.collections.clone(),
            tags: asset.tags.clone(),
            usable: holding.usable.clone(),
            locked: holding.locked.clone(),
            is_released: holding.is_released,
            fields: fields(holding, &mut findings),
            findings,
            relations: Vec::new(),
            rulings: Vec::new(),
            approvals: Vec::new(),
            versions: Vec::new(),
            renditions: Vec::new(),
            receipts: Vec::new(),
            source: archived.source.clone(),
            archived_at: archived.at,
            windlass: archived.windlass.clone(),
        }
    }

    /// The file of the current version, if it was archived.
    pub fn original(&self) -> Option<&ArchivedFile> {
        let mut versions = self.versions.iter();
        let current = versions.find(|version| version.version == self.version)?;
        current.file.as_ref()
    }

    /// All files that it names, its own and related ones, with the asset that each is of.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&AssetId, &ArchivedFile)> {
        let versions = self.versions.iter();
        let versions = versions.filter_map(|version| version.file.as_ref());
        let renditions = self.renditions.iter().map(|rendition| &rendition.file);
        let related = self.relations.iter();
        let related = related.filter_map(|one| Some((&one.asset, one.file.as_ref()?)));
        let own = versions.chain(renditions).map(|file| (&self.id, file));
        own.chain(related)
    }
}

fn fields(holding: &Holding, findings: &mut Vec<Finding>) -> BTreeMap<String, Value> {
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    for statement in &holding.statements {
        let mut remark = |message: &str| {
            findings.push(Finding {
                subject: statement.name.clone(),
                message: message.to_owned(),
            });
        };
        let (value, is_kept) = kept(&statement.value);
        if fields.contains_key(&statement.name) {
            remark("the field has two values, of which the first is archived");
            continue;
        }
        if !is_kept {
            remark("its number is archived as a text because JSON does not hold it exactly");
        }
        fields.insert(statement.name.clone(), value);
    }
    fields
}

/// A value as JSON keeps it, and whether that is the value itself.
fn kept(value: &Value) -> (Value, bool) {
    match value {
        Value::Number(number) if number.unsigned_abs() > WHOLE_MAX => {
            (Value::Text(number.to_string()), false)
        }
        Value::Decimal(number) if !number.is_finite() => (Value::Text(number.to_string()), false),
        value => (value.clone(), true),
    }
}
