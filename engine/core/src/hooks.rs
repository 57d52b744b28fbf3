//! The port through which a customer's own rules speak: what an asset becomes, whether it may leave, where it is
//! to appear.
//!
//! Hooks see descriptions of assets, never bytes, sockets or the ledger. They take lists and answer
//! lists of the same length and order. A hook that fails on one asset holds that asset; only a hook
//! that cannot run at all is an error. `wit/v1` has the same words for plugins.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, AssetPath, Revision};
use crate::digest::{Blake3, ContentHash};
use crate::error::{Error, Kind, Result};
use crate::metadata::{Assigned, Availability};
use crate::stated::{Origin, Statement};

/// What a hook is told about an asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// The technical name of its type at the source, where the source has types.
    pub asset_type: Option<String>,
    /// What is stated about it, by origin and name.
    pub statements: Vec<Statement>,
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
    /// The name of the file that carries its bytes; `None` keeps the source's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// From when until when it may be used; `None` leaves the flow's default.
    pub availability: Option<Availability>,
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
        /// Which rule, or which limit was hit; empty where the reason says it all.
        rule: String,
    },
}

/// An asset that is to be handed out to somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// What is to leave.
    pub asset: AssetView,
    /// Who gets it, in the operator's words.
    pub audience: String,
    /// The market for which it is meant; `None` is all of them.
    pub market: Option<String>,
    /// The channel in which it is to be used; `None` is all of them.
    pub channel: Option<String>,
    /// The moment in question.
    pub at: Timestamp,
}

/// Whether an asset may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Yes.
    Allow,
    /// A person must settle something first. It does not leave.
    Hold,
    /// No.
    Deny,
}

/// A rights hook's answer about one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Whether it may leave.
    pub decision: Decision,
    /// When that ceases to stand with all else equal; later than the release's moment.
    pub until: Option<Timestamp>,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// Which rule, or which limit was hit.
    pub rule: String,
    /// Remarks for the plan and the report.
    pub findings: Vec<Finding>,
}

impl Ruling {
    /// What is said where no plugin said it: the asset stays.
    pub fn held(reason: impl Into<String>, rule: impl Into<String>) -> Self {
        Ruling {
            decision: Decision::Hold,
            until: None,
            reason: reason.into(),
            rule: rule.into(),
            findings: Vec::new(),
        }
    }
}

/// A market that the operator serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Market {
    /// A short code.
    pub code: String,
    /// The languages that it needs, the most important first.
    pub languages: Vec<String>,
    /// The channels that it serves.
    pub channels: Vec<String>,
}

/// One place where a localization hook wants an asset to appear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Appearance {
    /// The market's code.
    pub market: String,
    /// The market's language that is served.
    pub language: String,
    /// The market's channel.
    pub channel: String,
    /// A folder below the flow's target.
    pub folder: AssetPath,
    /// The file's name there.
    pub file_name: String,
    /// The technical name of a rendition; `None` is the original.
    pub rendition: Option<String>,
    /// What the asset is a version of.
    pub piece: String,
    /// 0 for an asset made for this language and market, more for one that stands in.
    pub fallback: u32,
    /// Which rule said so.
    pub rule: String,
}

/// Where one asset is to appear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// The places; none is nowhere.
    pub appearances: Vec<Appearance>,
    /// Remarks for the plan and the report.
    pub findings: Vec<Finding>,
}

/// What a hook can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookKind {
    /// What an asset becomes.
    Metadata,
    /// Whether an asset may leave.
    Rights,
    /// Where an asset is to appear.
    Localization,
}

impl HookKind {
    /// All of them.
    pub const ALL: [HookKind; 3] = [HookKind::Metadata, HookKind::Rights, HookKind::Localization];

    /// The name of the interface in `wit/`.
    pub fn name(self) -> &'static str {
        match self {
            HookKind::Metadata => "metadata",
            HookKind::Rights => "rights",
            HookKind::Localization => "localization",
        }
    }
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

/// A customer's rules. Each kind of question may be left out; asking it all the same is an error.
#[async_trait]
pub trait Hooks: Send + Sync + std::fmt::Debug {
    /// Which code and configuration answers.
    fn identity(&self) -> &HookIdentity;

    /// What may be asked.
    fn kinds(&self) -> &[HookKind];

    /// Whose statements about assets it is to be given.
    fn granted(&self) -> &[Origin] {
        &[]
    }

    /// Maps assets to metadata: one verdict an asset, in the same order.
    ///
    /// A batch that fails is narrowed down to the assets at fault, which are held with the plugin's
    /// message. An error means that the hook as a whole cannot run.
    async fn describe(&self, _assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        Err(self.cannot(HookKind::Metadata))
    }

    /// Decides whether assets may leave: one ruling a release, in the same order. Whatever fails is a
    /// hold; an error means that nothing may leave.
    async fn decide(&self, _releases: &[Release]) -> Result<Vec<Ruling>> {
        Err(self.cannot(HookKind::Rights))
    }

    /// Says where assets are to appear: one answer an asset, in the same order. Failure is as for
    /// [`Hooks::describe`].
    async fn route(
        &self,
        _assets: &[AssetView],
        _markets: &[Market],
    ) -> Result<Vec<Verdict<Routing>>> {
        Err(self.cannot(HookKind::Localization))
    }

    /// The error of who is asked what it does not answer.
    fn cannot(&self, kind: HookKind) -> Error {
        let (name, hook) = (&self.identity().name, kind.name());
        Error::new(
            Kind::Unsupported,
            format!("the plugin {name} has no {hook} hook"),
        )
    }
}
