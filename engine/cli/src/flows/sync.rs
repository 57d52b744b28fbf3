//! `kind = "sync"`: a folder of files and a collection of assets, both ways.
//!
//! Two flows with one table of keys: the way in is an ingest, the way out a release. What either needs is made from the
//! keys here, so that both are wired like any other flow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{AssetPath, Error, Kind, Result};
use windlass_flow::{
    Authority, BytesAuthority, PlaceAuthority, RemovalCap, Removing, Sync, SyncOptions,
};

use super::{ReleaseConfig, WiredKind};
use crate::config::{
    AvailabilityConfig, Common, CommonKeys, Config, DuplicatesConfig, IngestConfig, ReadyConfig,
    RemovalsConfig, RightsConfig, SelectConfig, SheetConfig, WithdrawConfig, is_zero, yes,
};
use crate::wiring::Wiring;

/// A folder of files and a collection of assets follow each other.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncConfig {
    /// The endpoint of the files.
    pub(crate) from: String,
    /// The library that governs the assets.
    pub(crate) to: String,
    /// The folder of the files, with everything below.
    pub(crate) root: String,
    /// The library's collection, with everything below it.
    pub(crate) collection: String,
    /// Folders below `root` are collections below `collection`, and files are called what assets are. On where no plugin
    /// maps files; else the plugin says where assets go and what they are called, until this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mirrors: Option<bool>,
    /// Assets without a file get one.
    #[serde(default = "yes")]
    pub(crate) publishes: bool,
    /// Fields, by technical name, that are written beside the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) governed: Vec<String>,
    /// Who decides.
    #[serde(default)]
    pub(crate) authority: AuthorityConfig,
    /// Removals at one side count at the other. Without this table they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removing: Option<RemovingConfig>,
    /// The plugin that maps files to metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// The asset type for files whose plugin names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asset_type: Option<String>,
    /// When assets may be used whose plugin does not say: `true`, `false`, or `{ from = …, to = … }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    availability: Option<AvailabilityConfig>,
    /// Which files are final.
    #[serde(default)]
    pub(crate) select: SelectConfig,
    /// When files have arrived.
    #[serde(default)]
    ready: ReadyConfig,
    /// Fields that every new asset gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) set: BTreeMap<String, toml::Value>,
    /// A file with what people decided about values that the library's vocabularies do not have. Relative to the
    /// configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vocabulary: Option<PathBuf>,
    /// A sheet that states something about the files; the plugin needs the grant `sheet` to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sheet: Option<SheetConfig>,
    /// Only assets of these types come out, by technical name. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    asset_types: Vec<String>,
    /// Only assets with these fields come out, such as `{ approval = "Approved" }`.
    #[serde(default, rename = "where", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) conditions: BTreeMap<String, toml::Value>,
    /// Who gets what comes out, and what counts as a yes.
    rights: RightsConfig,
    /// How files are taken back that rights forbid.
    #[serde(default)]
    withdraw: WithdrawConfig,
    /// The library learns where copies are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    receipts: bool,
    /// Reads back and hashes everything that was placed, which proves the most and doubles the bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_back: bool,
    /// How many of the keys in `[signers]` must have signed a plan before it is run.
    #[serde(default, skip_serializing_if = "is_zero")]
    signatures: usize,
    /// The most that is put away, replaced or withdrawn without a reviewed plan.
    #[serde(default)]
    max_removals: RemovalsConfig,
}

/// Who decides.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuthorityConfig {
    /// What becomes of a changed file of an asset: `propose` waits until somebody chooses, `file` makes it a version.
    #[schemars(with = "BytesWord")]
    bytes: BytesAuthority,
    /// Who decides about folders and names: `whoever` moved, `file`, or `asset`.
    #[schemars(with = "PlaceWord")]
    place: PlaceAuthority,
    /// Fields that follow the file for as long as it has its asset, by technical name. All others are the library's as soon
    /// as the asset is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
    /// When an asset may be used follows the file, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    availability: bool,
}

/// For the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum BytesWord {
    Propose,
    File,
}

/// For the schema.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum PlaceWord {
    Whoever,
    File,
    Asset,
}

/// Where what was removed at one side is kept at the other.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RemovingConfig {
    /// The folder, outside of `root`, for files whose asset was deleted.
    files: String,
    /// The collection, outside of the flow's, for assets whose file was removed.
    assets: String,
    /// After so many days plans name what could be deleted by hand. Nothing is deleted by itself without `purge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
    /// What was put away longer than `days` ago is deleted for good, as long as nobody touched it and the other one of the
    /// pair is gone still. Counts against `max_removals` by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    purge: bool,
}

impl SyncConfig {
    /// Whether places are carried over.
    fn mirrors(&self) -> bool {
        self.mirrors.unwrap_or(self.plugin.is_none())
    }

    /// The way in.
    pub(crate) fn ingest(&self) -> IngestConfig {
        IngestConfig {
            from: self.from.clone(),
            to: self.to.clone(),
            root: self.root.clone(),
            plugin: self.plugin.clone(),
            collection: self.collection.clone(),
            keep_folders: self.mirrors(),
            read_back: self.read_back,
            signatures: self.signatures,
            max_removals: self.max_removals.clone(),
            // A pair is one file: two that have the same bytes are two assets.
            duplicates: Some(DuplicatesConfig::Place),
            ready: self.ready.clone(),
            asset_type: self.asset_type.clone(),
            availability: self.availability.clone(),
            select: self.select.clone(),
            set: self.set.clone(),
            vocabulary: self.vocabulary.clone(),
            sheet: self.sheet.clone(),
        }
    }

    /// What both ways are told.
    pub(crate) fn options(&self, name: &str) -> Result<SyncOptions> {
        let authority = &self.authority;
        Ok(SyncOptions {
            name: name.to_owned(),
            way_in: way_in(name),
            way_out: way_out(name),
            root: AssetPath::new(&self.root),
            query: self.common().query(name)?,
            authority: Authority {
                bytes: authority.bytes,
                place: authority.place,
                fields: authority.fields.iter().cloned().collect(),
                availability: authority.availability,
            },
            mirrors: self.mirrors(),
            governed: self.governed.clone(),
            publishes: self.publishes,
            removing: self.removing.as_ref().map(|removing| Removing {
                files: AssetPath::new(&removing.files),
                assets: AssetPath::new(&removing.assets),
                days: removing.days,
                purge: removing.purge,
            }),
            cap: Some(RemovalCap::from(&self.max_removals)),
        })
    }

    /// Places that would swallow each other.
    fn check_removing(&self, name: &str) -> Result<()> {
        let Some(removing) = &self.removing else {
            return Ok(());
        };
        if removing.purge && removing.days.is_none() {
            let message = format!(
                "flow.{name}.removing.purge deletes what was put away long ago, and nothing says how long"
            );
            return Err(Error::new(Kind::Config, message).with_hint(format!(
                "flow.{name}.removing.days says it; or leave out purge"
            )));
        }
        let is_inside = |path: &str, of: &str| {
            let of = AssetPath::new(of).key();
            format!("{}/", AssetPath::new(path).key()).starts_with(&format!("{of}/"))
        };
        for (key, path, of, what) in [
            ("files", &removing.files, &self.root, "root"),
            ("assets", &removing.assets, &self.collection, "collection"),
        ] {
            if is_inside(path, of) {
                let message = format!(
                    "flow.{name}.removing.{key} {path} is inside the flow's {what} {of}, where it would come back"
                );
                return Err(Error::new(Kind::Config, message)
                    .with_hint("name a place outside of what the flow is about"));
            }
        }
        Ok(())
    }
}

/// The name of the way in of a flow.
pub(crate) fn way_in(name: &str) -> String {
    format!("{name}.in")
}

/// The name of the way out of a flow.
pub(crate) fn way_out(name: &str) -> String {
    format!("{name}.out")
}

/// The name under which conflicts of a flow are kept, given its own or that of one of its ways.
pub(crate) fn kept_under(flow: &str) -> &str {
    let mut ways = [".in", ".out"].into_iter();
    ways.find_map(|way| flow.strip_suffix(way)).unwrap_or(flow)
}

impl CommonKeys for SyncConfig {
    fn common(&self) -> Common<'_> {
        Common {
            // The way out leads from the library to the files.
            from: &self.to,
            to: &self.from,
            root: &self.root,
            collection: &self.collection,
            asset_types: &self.asset_types,
            conditions: &self.conditions,
            rights: &self.rights,
            withdraw: &self.withdraw,
            share: &[],
            link: None,
            receipts: self.receipts,
            read_back: self.read_back,
            signatures: self.signatures,
            max_removals: &self.max_removals,
        }
    }

    fn conditions_mut(&mut self) -> &mut BTreeMap<String, toml::Value> {
        &mut self.conditions
    }
}

#[async_trait]
impl ReleaseConfig for SyncConfig {
    fn check(&self, name: &str, _: &Config) -> Result<()> {
        let mut seen = BTreeSet::new();
        if let Some(field) = self.governed.iter().find(|field| !seen.insert(*field)) {
            let message = format!("flow.{name}.governed names {field:?} twice");
            return Err(Error::new(Kind::Config, message));
        }
        self.check_removing(name)
    }

    async fn wire(&self, name: &str, _: &Wiring<'_>) -> Result<WiredKind> {
        Ok(WiredKind {
            kind: Sync::kind(&self.options(name)?),
            localization: None,
        })
    }
}
