//! The configuration: one TOML file, overlaid by the environment and by flags.
//!
//! Flag beats environment beats file beats default, and each value remembers where it came from.
//! Unknown keys are refused with a suggestion; secrets are references and are never printed.

mod layers;
mod ready;
mod release;
mod secrets;
mod values;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::sign::PublicKey;
use windlass_core::{ByteSize, Error, Kind, Result};
use windlass_flow::{Approval, Duplicates, RemovalCap, Selection};

pub(crate) use layers::{Layered, Overlay, load, parse};
pub(crate) use ready::ReadyConfig;
pub(crate) use release::{
    Common, CommonKeys, LinkConfig, RenditionConfig, RightsConfig, ShareConfig, WithdrawConfig,
    release_config, rendition_rules,
};
pub(crate) use secrets::SecretRef;
pub(crate) use values::{AvailabilityConfig, field_value};
pub(crate) use watch::{Heard, WatchConfig};

pub(crate) use crate::flows::FlowConfig;
use crate::flows::sync::{way_in, way_out};
use crate::flows::{ReleaseConfig, Way};

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the durable record is kept.
    pub(crate) ledger: LedgerConfig,
    /// How much memory, how many transfers.
    pub(crate) limits: Limits,
    /// How services are reached.
    pub(crate) network: NetworkConfig,
    /// Places that hold assets, by name.
    pub(crate) endpoint: BTreeMap<String, EndpointConfig>,
    /// Components with the customer's rules, by name.
    pub(crate) plugin: BTreeMap<String, PluginConfig>,
    /// What is to be done, by name.
    pub(crate) flow: BTreeMap<String, FlowConfig>,
    /// When flows run that are kept going, and where that is told.
    pub(crate) watch: WatchConfig,
    /// Whose signatures count, by role: public keys as `windlass key` prints them.
    #[schemars(with = "BTreeMap<String, String>")]
    pub(crate) signers: BTreeMap<String, PublicKey>,
}

/// Where the durable record is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerConfig {
    /// The SQLite file; created when it is missing. Relative to the configuration file.
    pub(crate) file: PathBuf,
    /// Where the URL of a PostgreSQL database is kept, such as `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`.
    /// The record is there then, and only scratch files are beside `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<SecretRef>,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        LedgerConfig {
            file: PathBuf::from("windlass.db"),
            url: None,
        }
    }
}

/// How services are reached.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NetworkConfig {
    /// A PEM file of certificates that are trusted beside the system's own, for networks whose proxy
    /// inspects TLS and for sandboxes. Relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The proxy's URL; the environment's when not set. Loopback addresses are always reached directly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<url::Url>,
}

/// How much memory, how many transfers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Bytes of contents in memory, over all transfers.
    #[schemars(with = "SizeText")]
    pub(crate) memory: ByteSize,
    /// Bytes of one transfer in flight.
    #[schemars(with = "SizeText")]
    pub(crate) window: ByteSize,
    /// The least bytes of one range read and one append; a power of two from 4 MiB on.
    #[schemars(with = "SizeText")]
    pub(crate) chunk: ByteSize,
    /// The most: larger files are cut into larger chunks, which cost fewer calls.
    #[schemars(with = "SizeText")]
    pub(crate) chunk_max: ByteSize,
    /// Transfers of large files at the same time; small ones travel together beside them.
    pub(crate) transfers: usize,
    /// How often a step is tried before it fails.
    pub(crate) tries: u32,
    /// Seconds without any movement after which a transfer is given up and tried again from where it was.
    pub(crate) stall_after: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: ByteSize::mib(256),
            window: ByteSize::mib(128),
            chunk: ByteSize::mib(8),
            chunk_max: ByteSize::mib(64),
            transfers: 8,
            tries: 4,
            stall_after: 120,
        }
    }
}

/// A number of bytes, or a text with a unit such as `256MiB`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only describes a type for the JSON schema")]
enum SizeText {
    Bytes(u64),
    Text(String),
}

/// A place that holds assets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum EndpointConfig {
    /// A Dropbox account.
    Dropbox(Box<DropboxConfig>),
    /// A CELUM tenant.
    Celum(CelumConfig),
    /// A folder of this machine.
    Local(LocalConfig),
}

impl EndpointConfig {
    /// Whether somebody counts the calls that move bytes.
    pub(crate) fn counts_calls(&self) -> bool {
        matches!(self, EndpointConfig::Dropbox(config) if config.monthly_calls.is_some())
    }
}

/// A Dropbox account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropboxConfig {
    /// The app's key.
    pub(crate) app_key: String,
    /// The app's secret; not needed for apps that use PKCE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app_secret: Option<SecretRef>,
    /// The refresh token that authorising the app gave.
    pub(crate) refresh_token: SecretRef,
    /// The namespace that paths start in; found out by itself when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// The member (`dbmid:…`) that a team app acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    /// How many data transport calls this account may make in a month, for teams whose plan limits them.
    /// Windlass then cuts files into larger parts, counts, and stops before the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) monthly_calls: Option<u64>,
    /// Whether files that are placed say themselves where they came from, in a property that only this app sees, so that
    /// `windlass ledger rebuild` finds them.
    #[serde(default = "yes")]
    pub(crate) stamps: bool,
    /// Where remote calls go; only for a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_url: Option<url::Url>,
    /// Where contents go; only for a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_url: Option<url::Url>,
    /// Where change notifications come from; only for a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify_url: Option<url::Url>,
}

/// The default of what is on.
pub(crate) fn yes() -> bool {
    true
}

/// A CELUM tenant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CelumConfig {
    /// The root of the Content API, such as `https://tenant.celum.cloud/content-api/v1`.
    pub(crate) api_root: url::Url,
    /// The API key of a dedicated user.
    pub(crate) api_key: SecretRef,
    /// A file that says how this tenant differs from the defaults. Relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<PathBuf>,
    /// The technical name of a text field that Windlass may write its correlation mark to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation_field: Option<String>,
}

/// A folder of this machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalConfig {
    /// The folder. Relative to the configuration file.
    pub(crate) root: PathBuf,
}

/// A component with the customer's rules.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginConfig {
    /// The component file. Relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
    /// The plugin's source folder, built when it is first needed. Relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<PathBuf>,
    /// The BLAKE3 digest that the component must have, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// What the plugin is told, as it documents it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub(crate) config: Option<toml::Table>,
    /// A TOML file with the same, instead of `config`. Relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config_file: Option<PathBuf>,
    /// Tables the plugin may look things up in, by name: CSV or JSON files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tables: BTreeMap<String, PathBuf>,
    /// Whose statements about assets the plugin is given, of those that it asks for: `source` (the system that holds
    /// the asset), `sheet`, `sidecar` (XMP files), `embedded` (XMP, IPTC and EXIF in the files).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) grants: Vec<Grant>,
}

/// Whose statements a plugin is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Grant {
    Source,
    Sheet,
    Sidecar,
    Embedded,
}

impl Grant {
    pub(crate) fn origin(self) -> windlass_core::Origin {
        match self {
            Grant::Source => windlass_core::Origin::Source,
            Grant::Sheet => windlass_core::Origin::Sheet,
            Grant::Sidecar => windlass_core::Origin::Sidecar,
            Grant::Embedded => windlass_core::Origin::Embedded,
        }
    }
}

/// What becomes of files whose bytes are at the other side already.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DuplicatesConfig {
    /// They are copied there, or linked.
    Reuse,
    /// They are left out.
    Skip,
    /// They are sent all the same.
    Place,
}

impl From<DuplicatesConfig> for Duplicates {
    fn from(configured: DuplicatesConfig) -> Self {
        match configured {
            DuplicatesConfig::Reuse => Duplicates::Reuse,
            DuplicatesConfig::Skip => Duplicates::Skip,
            DuplicatesConfig::Place => Duplicates::Place,
        }
    }
}

/// Approved files become governed assets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngestConfig {
    /// The endpoint that files come from.
    pub(crate) from: String,
    /// The endpoint that they go to.
    pub(crate) to: String,
    /// The folder that is listed, with everything below.
    #[serde(default)]
    pub(crate) root: String,
    /// The plugin that maps them to metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<String>,
    /// The collection (or folder) for files whose plugin names none.
    pub(crate) collection: String,
    /// Files whose plugin names no collection keep their folders below `root`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keep_folders: bool,
    /// Reads back and hashes everything that was placed, which proves the most and doubles the bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_back: bool,
    /// How many of the keys in `[signers]` must have signed a plan before it is run. From 1 on nothing runs without a
    /// plan file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) signatures: usize,
    /// The most that a run may replace or withdraw without a reviewed plan.
    #[serde(default)]
    pub(crate) max_removals: RemovalsConfig,
    /// What becomes of files whose bytes are at the other side already: `reuse` copies them there (Dropbox) or links the
    /// asset to a further collection (CELUM), `skip` leaves them out, `place` sends them all the same. Without it what
    /// can be copied is, and nothing is linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duplicates: Option<DuplicatesConfig>,
    /// When a file may be taken: what is still arriving waits for a later run.
    #[serde(default)]
    pub(crate) ready: ReadyConfig,
    /// The asset type for files whose plugin names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asset_type: Option<String>,
    /// When assets may be used whose plugin does not say: `true`, `false`, or `{ from = …, to = … }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) availability: Option<AvailabilityConfig>,
    /// Which files are taken.
    #[serde(default)]
    pub(crate) select: SelectConfig,
    /// Fields that every asset gets: a text, a number, a date, true or false, a list of keywords, or a
    /// table of texts by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) set: BTreeMap<String, toml::Value>,
    /// A file with what people decided about values that the other side's vocabularies do not have; `windlass vocabulary
    /// FLOW` writes it. Relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vocabulary: Option<PathBuf>,
    /// A sheet that states something about the files, row by row; the plugin needs the grant `sheet` to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sheet: Option<SheetConfig>,
}

/// A sheet whose rows are joined to files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SheetConfig {
    /// A CSV or XLSX file. Relative to the configuration file.
    pub(crate) file: PathBuf,
    /// The column that says which file a row is about.
    pub(crate) key: String,
    /// What the key is of a file: its `path`, its `name`, or its name without extension (`stem`).
    #[serde(default)]
    pub(crate) by: JoinConfig,
    /// The worksheet of an XLSX file; the first when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) worksheet: Option<String>,
    /// What separates the entries of cells that are lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) list_separator: Option<String>,
}

/// What the key of a sheet's row is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JoinConfig {
    /// The path.
    #[default]
    Path,
    /// The name.
    Name,
    /// The name without its extension.
    Stem,
}

/// Whether a number need not be shown.
pub(crate) fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The most that a run may replace or withdraw without a reviewed plan. All caps count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RemovalsConfig {
    /// How many assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// Which share of what is placed, from 0 to 1; it says nothing about up to 20 assets.
    pub(crate) share: f64,
    /// How many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SizeText>")]
    pub(crate) bytes: Option<ByteSize>,
}

impl Default for RemovalsConfig {
    fn default() -> Self {
        RemovalsConfig {
            count: None,
            // More is rather a folder that was renamed, or a rule that was changed by mistake.
            share: 0.2,
            bytes: None,
        }
    }
}

impl From<&RemovalsConfig> for RemovalCap {
    fn from(config: &RemovalsConfig) -> Self {
        RemovalCap {
            count: config.count,
            share: Some(config.share),
            bytes: config.bytes,
        }
    }
}

/// Which files are taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SelectConfig {
    /// Designated folders as globs over the whole path, such as `/Agencies/*/*/CMP-*`. Empty: all.
    pub(crate) folders: Vec<String>,
    /// Folders and files to leave out, as globs over the whole path.
    pub(crate) exclude: Vec<String>,
    /// File name extensions without the dot. Empty: all.
    pub(crate) extensions: Vec<String>,
    /// The smallest size that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SizeText>")]
    pub(crate) size_min: Option<ByteSize>,
    /// The largest size that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SizeText>")]
    pub(crate) size_max: Option<ByteSize>,
    /// What makes a file approved. Without it every file is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<ApprovalConfig>,
}

/// What makes a file approved: either of the two is enough.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApprovalConfig {
    /// The name of a folder; everything below a folder of that name is approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) folder: Option<String>,
    /// A tag on the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
}

impl SelectConfig {
    /// As the flow wants it.
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            folders: self.folders.clone(),
            exclude: self.exclude.clone(),
            extensions: self.extensions.clone(),
            size_min: self.size_min,
            size_max: self.size_max,
            approval: self.approval.clone().map(|approval| Approval {
                folder: approval.folder,
                tag: approval.tag,
            }),
        }
    }
}

impl Config {
    /// Checks what no single value can tell: that names refer to something, that limits fit each
    /// other. The first problem is the error.
    pub(crate) fn check(&self) -> Result<()> {
        self.limits.check()?;
        if self
            .network
            .proxy
            .as_ref()
            .is_some_and(|proxy| proxy.password().is_some())
        {
            // It would be shown by `config show`.
            return Err(
                Error::new(Kind::Config, "network.proxy holds a password").with_hint(
                    "put the proxy with its password into the environment variable HTTPS_PROXY",
                ),
            );
        }
        for (name, flow) in &self.flow {
            self.check_flow(name, flow)?;
        }
        for (name, plugin) in &self.plugin {
            plugin.check(name)?;
        }
        self.watch.check(self)
    }

    fn check_flow(&self, name: &str, flow: &FlowConfig) -> Result<()> {
        for (key, endpoint) in [("from", flow.from()), ("to", flow.to())] {
            let at = format!("flow.{name}.{key}");
            known("endpoint", endpoint, self.endpoint.keys(), &at)?;
        }
        if flow.from() == flow.to() {
            return Err(Error::new(
                Kind::Config,
                format!("flow.{name} goes from {:?} to itself", flow.from()),
            ));
        }
        self.check_caution(name, flow)?;
        match flow.way() {
            Way::In(ingest) => self.check_ingest(name, ingest),
            Way::Out(release) => self.check_release(name, release),
            Way::Both(sync) => {
                self.check_ingest(name, &sync.ingest())?;
                self.check_release(name, sync)
            }
        }
    }

    fn check_release(&self, name: &str, release: &dyn ReleaseConfig) -> Result<()> {
        release.check(name, self)?;
        let common = release.common();
        if let Some(plugin) = &common.rights.plugin {
            let at = format!("flow.{name}.rights.plugin");
            known("plugin", plugin, self.plugin.keys(), &at)?;
        }
        common.check(name, &release.folders())
    }

    fn check_ingest(&self, name: &str, ingest: &IngestConfig) -> Result<()> {
        let granted = ingest
            .plugin
            .as_ref()
            .and_then(|name| self.plugin.get(name));
        let sees_sheets = granted.is_some_and(|plugin| plugin.grants.contains(&Grant::Sheet));
        if ingest.sheet.is_some() && !sees_sheets {
            let message = format!("flow.{name} has a sheet that its plugin is not granted");
            let hint = match &ingest.plugin {
                Some(plugin) => format!("add \"sheet\" to plugin.{plugin}.grants"),
                None => format!("name a plugin: flow.{name}.plugin"),
            };
            return Err(Error::new(Kind::Config, message).with_hint(hint));
        }
        if let Some(plugin) = &ingest.plugin {
            let at = format!("flow.{name}.plugin");
            known("plugin", plugin, self.plugin.keys(), &at)?;
        }
        for (field, value) in &ingest.set {
            field_value(&format!("flow.{name}.set.{field}"), value)?;
        }
        ingest.ready.readiness(name)?.check()?;
        windlass_flow::Selector::new(&ingest.select.selection()).map(drop)
    }

    /// What keeps a flow from running unseen.
    fn check_caution(&self, name: &str, flow: &FlowConfig) -> Result<()> {
        let keys: std::collections::BTreeSet<String> =
            self.signers.values().map(ToString::to_string).collect();
        if flow.signatures() > keys.len() {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "flow.{name}.signatures is {}; [signers] names {} keys, so no plan could ever run",
                    flow.signatures(),
                    keys.len()
                ),
            )
            .with_hint("`windlass key new FILE` makes a key; its public half goes into [signers]"));
        }
        let share = flow.max_removals().share;
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::new(
                Kind::Config,
                format!("flow.{name}.max_removals.share is {share}; it must be from 0 to 1"),
            ));
        }
        Ok(())
    }

    /// The flow of a name, or which flows there are.
    pub(crate) fn flow(&self, name: &str) -> Result<&FlowConfig> {
        if let Some((flow, _)) = self.way_of(name) {
            return Ok(flow);
        }
        known("flow", name, self.flow.keys(), "the command line")?;
        Ok(&self.flow[name])
    }

    /// The flow that a name is one way of, and its own name.
    fn way_of<'a>(&self, name: &'a str) -> Option<(&FlowConfig, &'a str)> {
        let (flow, _) = name
            .rsplit_once('.')
            .filter(|(_, way)| ["in", "out"].contains(way))?;
        let config = self.flow.get(flow)?;
        matches!(config, FlowConfig::Sync(_)).then_some((config, flow))
    }

    /// The name of a flow in the configuration, given its own or that of one of its ways.
    pub(crate) fn whole<'a>(&self, name: &'a str) -> &'a str {
        self.way_of(name).map_or(name, |(_, flow)| flow)
    }

    /// The names under which a flow runs: its own, or those of both its ways.
    pub(crate) fn runs_as(&self, name: &str) -> Vec<String> {
        match self.flow.get(name) {
            Some(FlowConfig::Sync(_)) => vec![way_in(name), way_out(name)],
            _ => vec![name.to_owned()],
        }
    }

    /// The ingest flow of a name; other flows are refused.
    pub(crate) fn ingest(&self, name: &str) -> Result<&IngestConfig> {
        match self.flow(name)? {
            FlowConfig::Ingest(ingest) => Ok(ingest),
            _ => Err(not_ingest(name)),
        }
    }
}

/// The error of who asks of a flow what only ingest flows have.
pub(crate) fn not_ingest(name: &str) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("flow {name:?} brings nothing in, and this is about flows that do"),
    )
    .with_hint("name a flow with kind = \"ingest\"")
}

impl Limits {
    fn check(&self) -> Result<()> {
        let refuse = |message: String, hint: &str| {
            Err(Error::new(Kind::Config, message).with_hint(hint.to_owned()))
        };
        let chunk = self.chunk.bytes();
        if !chunk.is_power_of_two() || !(4 << 20..=128 << 20).contains(&chunk) {
            return refuse(
                format!(
                    "limits.chunk is {}; it must be a power of two from 4 MiB to 128 MiB",
                    self.chunk
                ),
                "8MiB suits most networks",
            );
        }
        let chunk_max = self.chunk_max.bytes();
        if !chunk_max.is_power_of_two() || chunk_max < chunk || chunk_max > 128 << 20 {
            return refuse(
                format!(
                    "limits.chunk_max is {}; it must be a power of two from limits.chunk of {} to 128 MiB",
                    self.chunk_max, self.chunk
                ),
                "64MiB suits most networks",
            );
        }
        if self.window < self.chunk {
            return refuse(
                format!(
                    "limits.window of {} is below limits.chunk of {}",
                    self.window, self.chunk
                ),
                "a window holds at least one chunk",
            );
        }
        if !(1..=1024).contains(&self.transfers) {
            return refuse(
                format!(
                    "limits.transfers is {}; it must be from 1 to 1024",
                    self.transfers
                ),
                "8 suits most accounts",
            );
        }
        if self.stall_after < 10 {
            return refuse(
                format!(
                    "limits.stall_after is {} s; services take up to 10 s for an ordinary answer",
                    self.stall_after
                ),
                "120 suits most networks",
            );
        }
        if self.tries == 0 {
            return refuse("limits.tries is 0".to_owned(), "1 tries each step once");
        }
        let needed = self.transfers as u64 * chunk;
        if self.memory.bytes() < needed {
            return refuse(
                format!(
                    "limits.memory of {} is too little: {} transfers × {} a chunk = {}",
                    self.memory,
                    self.transfers,
                    self.chunk,
                    ByteSize(needed)
                ),
                "raise limits.memory, or lower limits.transfers or limits.chunk",
            );
        }
        Ok(())
    }
}

impl PluginConfig {
    fn check(&self, name: &str) -> Result<()> {
        let refuse = |message: String| Err(Error::new(Kind::Config, message));
        match (&self.file, &self.source) {
            (None, None) => {
                return Err(Error::new(
                    Kind::Config,
                    format!("plugin.{name} names neither a file nor a source folder"),
                )
                .with_hint(format!(
                    "`windlass plugin install FOLDER --name {name}` names one"
                )));
            }
            (Some(_), Some(_)) => {
                return refuse(format!(
                    "plugin.{name} names both a file and a source folder"
                ));
            }
            _ => {}
        }
        if self.config.is_some() && self.config_file.is_some() {
            return refuse(format!("plugin.{name} has both config and config_file"));
        }
        if let Some(digest) = &self.digest
            && digest.parse::<windlass_core::Blake3>().is_err()
        {
            return Err(Error::new(
                Kind::Config,
                format!("plugin.{name}.digest is not a digest of 64 hex digits"),
            )
            .with_hint("`windlass plugin inspect FILE` prints it"));
        }
        Ok(())
    }
}

/// Refuses a name that refers to nothing, with the nearest one that does.
pub(crate) fn known<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a String> + Clone,
    at: &str,
) -> Result<()> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let error = Error::new(
        Kind::Config,
        format!("{at}: there is no {what} named {name:?}"),
    );
    Err(
        match layers::nearest(name, names.clone().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => {
                let all: Vec<&str> = names.map(String::as_str).collect();
                match all.as_slice() {
                    [] => error.with_hint(format!("add a table [{what}.{name}]")),
                    all => error.with_hint(format!("there is {}", all.join(", "))),
                }
            }
        },
    )
}

#[cfg(test)]
mod tests;
