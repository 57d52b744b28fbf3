//! `kind = "archive"`: a closed campaign becomes a sealed folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_archive::XmpMap;
use windlass_core::{AssetPath, Error, Kind, Result, Retirement};
use windlass_flow::{ArchiveOptions, Keys, Relations};

use super::{ReleaseConfig, WiredKind};
use crate::commands::read_key;
use crate::config::{Config, RenditionConfig, release_config, rendition_rules};
use crate::wiring::Wiring;

release_config! {
    /// A closed campaign becomes a sealed folder.
    ArchiveConfig {
        /// What people call the campaign.
        campaign: String,
        /// What is followed to sources and supporting documents.
        #[serde(default)]
        relations: RelationsConfig,
        /// Older versions are archived as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        versions: bool,
        /// Renditions that are archived beside originals; every rule that fits counts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        renditions: Vec<RenditionConfig>,
        /// A list of ASC MHL is written for the tools of film post production.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        mhl: bool,
        /// Files with the keys that sign the archive. Relative to the configuration file.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sign: Vec<PathBuf>,
        /// The XMP properties that fields stand for, such as `{ photographer = "dc:creator" }`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        xmp: BTreeMap<String, String>,
        /// What becomes of the campaign's assets once the archive is sealed.
        #[serde(default)]
        afterwards: AfterwardsConfig,
        /// Lets `afterwards = "delete"` delete.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delete_enabled: bool,
    }
}

/// Which relations lead to what belongs to an asset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelationsConfig {
    /// The technical names of their types. Empty: all.
    pub(crate) kinds: Vec<String>,
    /// How many of them in a row are followed; 0 follows none.
    pub(crate) depth: u32,
}

impl Default for RelationsConfig {
    fn default() -> Self {
        RelationsConfig {
            kinds: Vec::new(),
            depth: 3,
        }
    }
}

/// What becomes of a campaign's assets once they are archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AfterwardsConfig {
    /// They stay as they are.
    #[default]
    Leave,
    /// They may not be used any more.
    Unavailable,
    /// They leave the flow's collection, where they are in another one as well.
    Unlink,
    /// They are deleted.
    Delete,
}

impl ArchiveConfig {
    fn retirement(&self) -> Option<Retirement> {
        match self.afterwards {
            AfterwardsConfig::Leave => None,
            AfterwardsConfig::Unavailable => Some(Retirement::Unavailable),
            AfterwardsConfig::Unlink => Some(Retirement::Unlink(AssetPath::new(&self.collection))),
            AfterwardsConfig::Delete => Some(Retirement::Delete),
        }
    }
}

#[async_trait]
impl ReleaseConfig for ArchiveConfig {
    fn check(&self, name: &str, _: &Config) -> Result<()> {
        match (self.afterwards, self.delete_enabled) {
            (AfterwardsConfig::Delete, false) => Err(Error::new(
                Kind::Config,
                format!("flow.{name}.afterwards is \"delete\", and deleting is not enabled"),
            )
            .with_hint(format!(
                "`unavailable` and `unlink` can be taken back; flow.{name}.delete_enabled = true lets it delete"
            ))),
            _ => Ok(()),
        }
    }

    async fn wire(&self, _: &str, wiring: &Wiring<'_>) -> Result<WiredKind> {
        let keys = self.sign.iter().map(|file| read_key(&wiring.at(file)));
        let xmp = self.xmp.iter();
        Ok(WiredKind::of(ArchiveOptions {
            campaign: self.campaign.clone(),
            relations: Relations {
                kinds: self.relations.kinds.clone(),
                depth: self.relations.depth,
            },
            versions: self.versions,
            renditions: rendition_rules(&self.renditions),
            mhl: self.mhl,
            afterwards: self.retirement(),
            xmp: XmpMap::new(xmp.map(|(field, property)| (field.as_str(), property.as_str())))?,
            keys: Keys(Arc::new(keys.collect::<Result<_>>()?)),
        }))
    }
}
