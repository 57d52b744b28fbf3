//! The port through which a customer's own rules speak: metadata in, verdicts out.
//!
//! Hooks see descriptions of assets, never bytes, sockets or the ledger. They take lists and answer
//! lists of the same length and order. A hook that fails on one asset holds that asset; only a hook
//! that cannot run at all is an error.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, AssetPath, Revision};
use crate::digest::{Blake3, ContentHash};
use crate::error::Result;
use crate::metadata::Assigned;

/// What a hook is told about an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetView {
    /// Identity at the source.
    pub id: AssetId,
    /// Where the source shows it.
    pub path: AssetPath,
    /// Which revision is spoken of.
    pub revision: Revision,
    /// Number of bytes.
    pub size: u64,
    /// When its content last changed, as its owner says.
    pub modified: Option<Timestamp>,
    /// Labels that people put on it, lower-cased.
    pub tags: Vec<String>,
    /// The block hash, where the source states one.
    pub content_hash: Option<ContentHash>,
}

/// What a metadata hook wants an asset to become.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Field values with the rule that gave each.
    pub fields: Vec<Assigned>,
    /// The asset type's technical name; `None` leaves the flow's default.
    pub asset_type: Option<String>,
    /// The target collection as a path of names; `None` leaves the flow's default.
    pub collection: Option<AssetPath>,
    /// The asset's name; `None` keeps the source's.
    pub name: Option<String>,
    /// Remarks for the plan and the report.
    pub findings: Vec<Finding>,
}

/// A remark that does not stop the asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about: a folder, a token, a field. Equal findings are reported once.
    pub subject: String,
    /// One sentence without a full stop.
    pub message: String,
}

/// A hook's answer about one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict<T> {
    /// Go on, with this.
    Ready(T),
    /// A person must settle something first.
    Held {
        /// What, in one sentence without a full stop.
        reason: String,
        /// Which rule, or which limit was hit.
        rule: String,
    },
}

/// Which code and configuration gave a verdict. Verdicts may be reused while all of it is equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookIdentity {
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Digest of the component file.
    pub digest: Blake3,
    /// Digest of the configuration and tables it was given.
    pub config_digest: Blake3,
}

/// A customer's rules.
#[async_trait]
pub trait Hooks: Send + Sync + std::fmt::Debug {
    /// Which code and configuration answers.
    fn identity(&self) -> &HookIdentity;

    /// Maps assets to metadata: one verdict an asset, in the same order.
    ///
    /// A batch that fails is narrowed down to the assets at fault, which are held with the plugin's
    /// message. An error means that the hook as a whole cannot run.
    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>>;
}
