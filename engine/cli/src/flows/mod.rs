//! The kinds of flows, as the configuration names them.
//!
//! A kind of flow out of a library is one file here, with its keys, what they must be and how it is wired, and one line in
//! the table below.

mod archive;
mod localize;
mod publish;
pub(crate) mod sync;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{AssetPath, Hooks, Result};
use windlass_flow::ReleaseKind;

use crate::config::{CommonKeys, Config, IngestConfig, RemovalsConfig};
use crate::wiring::Wiring;

/// Declares the kinds: what each is called, in camel case, and its keys.
macro_rules! kinds {
    ($($kind:ident: $config:ty,)*) => {
        /// Something to be done.
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        pub(crate) enum FlowConfig {
            /// Approved files become governed assets.
            Ingest(Box<IngestConfig>),
            /// A folder of files and a collection of assets follow each other.
            Sync(Box<sync::SyncConfig>),
            $($kind(Box<$config>),)*
        }

        impl FlowConfig {
            /// Which way it leads.
            pub(crate) fn way(&self) -> Way<'_> {
                match self {
                    FlowConfig::Ingest(config) => Way::In(config),
                    FlowConfig::Sync(config) => Way::Both(config),
                    $(FlowConfig::$kind(config) => Way::Out(config.as_ref()),)*
                }
            }

            /// The tables of fields that it has, by their keys, as TOML has them.
            pub(crate) fn fields_mut(
                &mut self,
            ) -> Vec<(&'static str, &mut BTreeMap<String, toml::Value>)> {
                match self {
                    FlowConfig::Ingest(config) => vec![("set", &mut config.set)],
                    FlowConfig::Sync(config) => {
                        let sync::SyncConfig { set, conditions, .. } = config.as_mut();
                        vec![("set", set), ("where", conditions)]
                    }
                    $(FlowConfig::$kind(config) => vec![("where", config.conditions_mut())],)*
                }
            }
        }
    };
}

kinds! {
    Publish: publish::PublishConfig,
    Localize: localize::LocalizeConfig,
    Archive: archive::ArchiveConfig,
}

/// Which way a flow leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'a> {
    /// Into a library.
    In(&'a IngestConfig),
    /// Out of one.
    Out(&'a dyn ReleaseConfig),
    /// Both ways: `from` are the files, `to` is the library.
    Both(&'a sync::SyncConfig),
}

/// A flow out of a library: what its kind has beside the keys that all have.
#[async_trait]
pub(crate) trait ReleaseConfig: CommonKeys + Debug + Send + Sync {
    /// Checks what no single value can tell.
    fn check(&self, name: &str, config: &Config) -> Result<()>;

    /// Folders beside `root` in which people see files.
    fn folders(&self) -> Vec<AssetPath> {
        Vec::new()
    }

    /// What the flow is told, with the plugin that it needs beside that for rights.
    async fn wire(&self, name: &str, wiring: &Wiring<'_>) -> Result<WiredKind>;
}

/// A kind of flow with what it needs.
#[derive(Debug)]
pub(crate) struct WiredKind {
    /// Which deliveries assets have.
    pub(crate) kind: Arc<dyn ReleaseKind>,
    /// The customer's routing, where the kind needs it.
    pub(crate) localization: Option<Arc<dyn Hooks>>,
}

impl WiredKind {
    /// One that needs no plugin.
    pub(crate) fn of(kind: impl ReleaseKind + 'static) -> Self {
        WiredKind {
            kind: Arc::new(kind),
            localization: None,
        }
    }
}

impl FlowConfig {
    /// The endpoint that it reads from.
    pub(crate) fn from(&self) -> &str {
        match self.way() {
            Way::In(config) => &config.from,
            Way::Out(config) => config.common().from,
            Way::Both(config) => &config.from,
        }
    }

    /// The endpoint that it writes to.
    pub(crate) fn to(&self) -> &str {
        match self.way() {
            Way::In(config) => &config.to,
            Way::Out(config) => config.common().to,
            Way::Both(config) => &config.to,
        }
    }

    /// How many signatures a plan of it needs.
    pub(crate) fn signatures(&self) -> usize {
        match self.way() {
            Way::In(config) => config.signatures,
            Way::Out(config) => config.common().signatures,
            Way::Both(config) => config.common().signatures,
        }
    }

    /// The most that it may take away unseen.
    pub(crate) fn max_removals(&self) -> &RemovalsConfig {
        match self.way() {
            Way::In(config) => &config.max_removals,
            Way::Out(config) => config.common().max_removals,
            Way::Both(config) => config.common().max_removals,
        }
    }

    /// Whether what was placed is read back.
    pub(crate) fn read_back(&self) -> bool {
        match self.way() {
            Way::In(config) => config.read_back,
            Way::Out(config) => config.common().read_back,
            Way::Both(config) => config.common().read_back,
        }
    }
}
