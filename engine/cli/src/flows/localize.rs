//! `kind = "localize"`: a campaign's assets appear in regional folders.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{AssetPath, Error, HookKind, Kind, Market, Result};
use windlass_flow::LocalizeOptions;

use super::{ReleaseConfig, WiredKind};
use crate::config::{Config, known, release_config, yes};
use crate::wiring::Wiring;

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

impl LocalizeConfig {
    fn markets(&self) -> Vec<Market> {
        let markets = self.market.iter().map(|market| Market {
            code: market.code.clone(),
            languages: market.languages.clone(),
            channels: market.channels.clone(),
        });
        markets.collect()
    }

    /// Markets of which there is one twice, or that need nothing.
    fn check_markets(&self, name: &str) -> Result<()> {
        let refuse = |why: String| {
            Err(Error::new(
                Kind::Config,
                format!("flow.{name}.market: {why}"),
            ))
        };
        if self.market.is_empty() {
            return refuse("there is none".to_owned());
        }
        let mut codes = BTreeSet::new();
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

#[async_trait]
impl ReleaseConfig for LocalizeConfig {
    fn check(&self, name: &str, config: &Config) -> Result<()> {
        let at = format!("flow.{name}.localization");
        known("plugin", &self.localization, config.plugin.keys(), &at)?;
        self.check_markets(name)
    }

    fn folders(&self) -> Vec<AssetPath> {
        let folders = self.folders.values();
        folders.map(|folder| AssetPath::new(folder)).collect()
    }

    async fn wire(&self, name: &str, wiring: &Wiring<'_>) -> Result<WiredKind> {
        let plugin = &self.localization;
        let hooks = wiring
            .hook(name, "localization", plugin, HookKind::Localization)
            .await?;
        let folders = self.folders.iter();
        let kind = WiredKind::of(LocalizeOptions {
            markets: self.markets(),
            folders: folders
                .map(|(market, folder)| (market.clone(), AssetPath::new(folder)))
                .collect(),
            manifests: self.manifests,
        });
        Ok(WiredKind {
            localization: Some(hooks),
            ..kind
        })
    }
}
