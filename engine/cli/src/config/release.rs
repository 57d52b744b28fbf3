//! What flows out of a library have in common: one set of keys. What each kind has besides is in its file in `flows/`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{AssetPath, Error, Handing, Kind, LinkTerms, Member, Query, Result};
use windlass_flow::{RenditionRule, RightsOptions, Shared, Stale, TakingBack};

use super::{RemovalsConfig, field_value};

/// Declares a flow's keys behind those that all release flows have.
macro_rules! release_config {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
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
            #[serde(default, rename = "where", skip_serializing_if = "std::collections::BTreeMap::is_empty")]
            #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
            pub(crate) conditions: std::collections::BTreeMap<String, toml::Value>,
            /// Who gets it, and what counts as a yes.
            pub(crate) rights: $crate::config::RightsConfig,
            /// How files are taken back.
            #[serde(default)]
            pub(crate) withdraw: $crate::config::WithdrawConfig,
            /// Folders that are shared before anything appears in them.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub(crate) share: Vec<$crate::config::ShareConfig>,
            /// Every file gets a link, on these terms.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) link: Option<$crate::config::LinkConfig>,
            /// The library learns where copies are.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub(crate) receipts: bool,
            /// Reads back and hashes everything that was placed, which proves the most and doubles the bytes.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub(crate) read_back: bool,
            /// How many of the keys in `[signers]` must have signed a plan before it is run. From 1 on nothing runs
            /// without a plan file.
            #[serde(default, skip_serializing_if = "crate::config::is_zero")]
            pub(crate) signatures: usize,
            /// The most that is withdrawn without a reviewed plan, for other reasons than rights.
            #[serde(default)]
            pub(crate) max_removals: $crate::config::RemovalsConfig,
            $($(#[$field_doc])* pub(crate) $field: $type,)*
        }

        impl $crate::config::CommonKeys for $name {
            fn common(&self) -> $crate::config::Common<'_> {
                $crate::config::Common {
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
                    max_removals: &self.max_removals,
                }
            }

            fn conditions_mut(&mut self) -> &mut std::collections::BTreeMap<String, toml::Value> {
                &mut self.conditions
            }
        }
    };
}

pub(crate) use release_config;

/// Keys that all release flows have.
pub(crate) trait CommonKeys {
    /// All of them, to read.
    fn common(&self) -> Common<'_>;

    /// What fields must be.
    fn conditions_mut(&mut self) -> &mut BTreeMap<String, toml::Value>;
}

/// What all release flows have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) root: &'a str,
    pub(crate) collection: &'a str,
    pub(crate) asset_types: &'a [String],
    pub(crate) conditions: &'a BTreeMap<String, toml::Value>,
    pub(crate) rights: &'a RightsConfig,
    pub(crate) withdraw: &'a WithdrawConfig,
    pub(crate) share: &'a [ShareConfig],
    pub(crate) link: Option<&'a LinkConfig>,
    pub(crate) receipts: bool,
    pub(crate) read_back: bool,
    pub(crate) signatures: usize,
    pub(crate) max_removals: &'a RemovalsConfig,
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

/// Rules for renditions as a flow takes them.
pub(crate) fn rendition_rules(configured: &[RenditionConfig]) -> Vec<RenditionRule> {
    configured.iter().map(RenditionRule::from).collect()
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
