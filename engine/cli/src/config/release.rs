//! Flows out of a library: publish, localize, archive. What they have in common is one set of keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{AssetPath, Error, Handing, Kind, LinkTerms, Market, Member, Query, Result};
use windlass_flow::{RenditionRule, RightsOptions, Shared, Stale, TakingBack, Template};

use super::{RemovalsConfig, field_value, is_zero, yes};

/// Declares a flow's keys behind those that all release flows have.
macro_rules! release_config {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            /// The library that governs the assets.
            pub(crate) from: String,
            /// The endpoint where they appear.
            pub(crate) to: String,
            /// The folder there under which everything appears.
            pub(crate) root: String,
            /// The library's collection, with everything below it. Empty: all of them.
            #[serde(default)]
            pub(crate) collection: String,
            /// The technical names of asset types. Empty: all.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub(crate) asset_types: Vec<String>,
            /// Fields, by technical name, and what they must be, such as `{ approval = "Approved" }`.
            #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
            #[schemars(with = "BTreeMap<String, serde_json::Value>")]
            pub(crate) conditions: BTreeMap<String, toml::Value>,
            /// Who gets it, and what counts as a yes.
            pub(crate) rights: RightsConfig,
            /// How files are taken back.
            #[serde(default)]
            pub(crate) withdraw: WithdrawConfig,
            /// Folders that are shared before anything appears in them.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub(crate) share: Vec<ShareConfig>,
            /// Every file gets a link, on these terms.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) link: Option<LinkConfig>,
            /// The library learns where copies are.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub(crate) receipts: bool,
            /// Reads back and hashes everything that was placed, which proves the most and doubles the bytes.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub(crate) read_back: bool,
            /// How many of the keys in `[signers]` must have signed a plan before it is run. From 1 on nothing runs
            /// without a plan file.
            #[serde(default, skip_serializing_if = "is_zero")]
            pub(crate) signatures: usize,
            /// The most that is withdrawn without a reviewed plan, for other reasons than rights.
            #[serde(default)]
            pub(crate) max_removals: RemovalsConfig,
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }

        impl $name {
            /// What all release flows have.
            pub(crate) fn common(&self) -> Common<'_> {
                Common {
                    from: &self.from,
                    to: &self.to,
                    root: &self.root,
                    collection: &self.collection,
                    asset_types: &self.asset_types,
                    conditions: &self.conditions,
                    rights: &self.rights,
                    withdraw: &self.withdraw,
                    share: &self.share,
                    link: self.link.as_ref(),
                    receipts: self.receipts,
                    read_back: self.read_back,
                    signatures: self.signatures,
                }
            }
        }
    };
}

release_config! {
    /// Assets appear in a folder, each once.
    PublishConfig {
        /// The folder below `root`, with variables such as `{field:client}`.
        #[serde(default)]
        folder: String,
        /// The file's name.
        #[serde(default = "file_name")]
        name: String,
        /// Which assets leave as a rendition; the first rule that fits counts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        renditions: Vec<RenditionConfig>,
    }
}

release_config! {
    /// A campaign's assets appear in regional folders.
    LocalizeConfig {
        /// The plugin that says where assets are to appear.
        localization: String,
        /// The markets that are served.
        market: Vec<MarketConfig>,
        /// The folder of each market; none has all of them below `root`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        folders: BTreeMap<String, String>,
        /// A manifest is written into each market's folder.
        #[serde(default = "yes")]
        manifests: bool,
    }
}

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

fn file_name() -> String {
    "{title}.{ext}".to_owned()
}

/// What all release flows have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) root: &'a str,
    collection: &'a str,
    asset_types: &'a [String],
    conditions: &'a BTreeMap<String, toml::Value>,
    pub(crate) rights: &'a RightsConfig,
    withdraw: &'a WithdrawConfig,
    share: &'a [ShareConfig],
    link: Option<&'a LinkConfig>,
    receipts: bool,
    pub(crate) read_back: bool,
    pub(crate) signatures: usize,
}

/// A market that is served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarketConfig {
    /// A short code.
    pub(crate) code: String,
    /// The languages that it needs, the most important first.
    pub(crate) languages: Vec<String>,
    /// The channels that it serves.
    pub(crate) channels: Vec<String>,
}

/// Who gets it, and what counts as a yes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RightsConfig {
    /// Who gets it, in words that the plugin knows.
    pub(crate) audience: String,
    /// The plugin that says whether assets may leave; without one the library's availability alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<String>,
    /// The market that everything of the flow is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) market: Option<String>,
    /// The channel that everything of the flow is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<String>,
    /// What the library's availability decides: `required` (an asset of which nothing is said stays), `optional` (it
    /// leaves), or `ignored` (for archives, which keep what has ended).
    #[serde(default)]
    pub(crate) availability: AvailabilityRule,
}

/// What a library's availability decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AvailabilityRule {
    /// It must say yes.
    #[default]
    Required,
    /// It must not say no.
    Optional,
    /// Nothing.
    Ignored,
}

/// How files are taken back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WithdrawConfig {
    /// A folder that nobody is a member of, where they are kept. Without one they are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantine: Option<String>,
    /// A note stands in their place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) notes: bool,
    /// What becomes of files that the flow would not place any more, although rights allow them.
    pub(crate) stale: StaleConfig,
}

/// What becomes of files that a flow would not place any more.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StaleConfig {
    /// They are taken back.
    #[default]
    Withdraw,
    /// They stay while rights allow them.
    Keep,
}

/// A folder that is shared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareConfig {
    /// The folder; `root` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<String>,
    /// Addresses of people who may look and take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) viewers: Vec<String>,
    /// Addresses of people who may change what is there, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) editors: Vec<String>,
}

/// The terms of links.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkConfig {
    /// They end so many days after they were made, and in any case when rights do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) days: Option<u32>,
    /// Only members of the team may follow them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) team_only: bool,
}

/// Assets that leave as a rendition.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenditionConfig {
    /// For files with these extensions, without the dot. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extensions: Vec<String>,
    /// The rendition's technical name.
    pub(crate) rendition: String,
    /// The extension of its files; the original's when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extension: Option<String>,
}

impl From<&RenditionConfig> for RenditionRule {
    fn from(config: &RenditionConfig) -> Self {
        RenditionRule {
            extensions: config.extensions.clone(),
            rendition: config.rendition.clone(),
            extension: config.extension.clone(),
        }
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

impl Common<'_> {
    /// Which assets the flow is about.
    pub(crate) fn query(&self, name: &str) -> Result<Query> {
        let fields = self.conditions.iter().map(|(field, value)| {
            let key = format!("flow.{name}.where.{field}");
            Ok((field.clone(), field_value(&key, value)?))
        });
        Ok(Query {
            collection: AssetPath::new(self.collection),
            asset_types: self.asset_types.to_vec(),
            fields: fields.collect::<Result<_>>()?,
        })
    }

    pub(crate) fn rights(&self) -> RightsOptions {
        let rights = self.rights;
        RightsOptions {
            audience: rights.audience.clone(),
            market: rights.market.clone(),
            channel: rights.channel.clone(),
            unstated_is_open: rights.availability != AvailabilityRule::Required,
            ignores_availability: rights.availability == AvailabilityRule::Ignored,
        }
    }

    pub(crate) fn taking_back(&self) -> TakingBack {
        TakingBack {
            quarantine: self.withdraw.quarantine.as_deref().map(AssetPath::new),
            notes: self.withdraw.notes,
            stale: match self.withdraw.stale {
                StaleConfig::Withdraw => Stale::Withdraw,
                StaleConfig::Keep => Stale::Keep,
            },
        }
    }

    pub(crate) fn handing(&self) -> Option<Handing> {
        let link = self.link.map(|link| LinkTerms {
            days: link.days,
            until: None,
            team_only: link.team_only,
        });
        (link.is_some() || self.receipts).then_some(Handing {
            link,
            receipt: self.receipts,
        })
    }

    pub(crate) fn shared(&self) -> Vec<Shared> {
        let member = |may_edit: bool| {
            move |email: &String| Member {
                email: email.clone(),
                may_edit,
            }
        };
        let shared = self.share.iter().map(|share| Shared {
            folder: AssetPath::new(share.folder.as_deref().unwrap_or(self.root)),
            members: {
                let editors = share.editors.iter().map(member(true));
                editors
                    .chain(share.viewers.iter().map(member(false)))
                    .collect()
            },
        });
        shared.collect()
    }

    /// Checks what no single value can tell; `folders` are further ones that people see.
    pub(crate) fn check(&self, name: &str, folders: &[AssetPath]) -> Result<()> {
        self.query(name)?;
        if self.rights.audience.trim().is_empty() {
            return Err(Error::new(
                Kind::Config,
                format!("flow.{name}.rights.audience is empty"),
            )
            .with_hint(
                "name who gets the files, such as \"press\": the rights plugin is asked about them",
            ));
        }
        let Some(quarantine) = &self.withdraw.quarantine else {
            return Ok(());
        };
        let shared: Vec<AssetPath> = self.shared().into_iter().map(|one| one.folder).collect();
        let root = [AssetPath::new(self.root)];
        let mut seen = shared.iter().chain(&root).chain(folders);
        let kept = format!("{}/", AssetPath::new(quarantine).key());
        let is_seen = |folder: &AssetPath| kept.starts_with(&format!("{}/", folder.key()));
        match seen.find(|folder| is_seen(folder)) {
            None => Ok(()),
            Some(folder) => Err(Error::new(
                Kind::Config,
                format!("flow.{name}.withdraw.quarantine {quarantine} is inside {folder}, where people would still see it"),
            )
            .with_hint("name a folder outside of what the flow shares")),
        }
    }
}

impl PublishConfig {
    /// Its templates, read.
    pub(crate) fn templates(&self, name: &str) -> Result<(Template, Template)> {
        let read = |key: &str, text: &str| {
            text.parse::<Template>()
                .map_err(|why| Error::new(Kind::Config, format!("flow.{name}.{key}: {why}")))
        };
        Ok((read("folder", &self.folder)?, read("name", &self.name)?))
    }
}

impl LocalizeConfig {
    pub(crate) fn markets(&self) -> Vec<Market> {
        let markets = self.market.iter().map(|market| Market {
            code: market.code.clone(),
            languages: market.languages.clone(),
            channels: market.channels.clone(),
        });
        markets.collect()
    }

    /// Markets of which there is one twice, or that need nothing.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let refuse = |why: String| {
            Err(Error::new(
                Kind::Config,
                format!("flow.{name}.market: {why}"),
            ))
        };
        if self.market.is_empty() {
            return refuse("there is none".to_owned());
        }
        let mut codes = std::collections::BTreeSet::new();
        for market in &self.market {
            if !codes.insert(&market.code) {
                return refuse(format!("{:?} is there twice", market.code));
            }
            if market.languages.is_empty() || market.channels.is_empty() {
                return refuse(format!("{:?} needs a language and a channel", market.code));
            }
        }
        Ok(())
    }
}

impl ArchiveConfig {
    pub(crate) fn check(&self, name: &str) -> Result<()> {
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
}
