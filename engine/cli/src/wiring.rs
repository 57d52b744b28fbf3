//! From configuration to running parts: the only place where every crate is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod release;
mod sync;
mod tables;
pub(crate) mod vocabulary;

use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::{
    AssetPath, Blake3, Choices, Error, Evidence, HookKind, Hooks, Informant, Kind, Ledger, Library,
    Origin, Outlet, Result, Sink, Source, SystemClock,
};
use windlass_dropbox::{Credential, DropboxEndpoint, DropboxOptions, PathRoot};
use windlass_flow::{Arrivals, Flow, Ingest, IngestOptions, Observer, RunOptions, Runner};
use windlass_http::{
    CallBudget, Governor, GovernorOptions, MonthlyBudget, Proxy, ReqwestTransport, Transport,
    TransportOptions,
};
use windlass_ledger::{Compacted, LedgerOptions, Place, SqlLedger};
use windlass_local::{LocalEndpoint, LocalOptions};
use windlass_plugin::build::{BuildOptions, build_plugin};
use windlass_plugin::{HostOptions, LoadOptions, Plugin, PluginHost, Tables};
use windlass_statements::{JoinBy, PackageNames, Sheet, SheetOptions, Survey};
use windlass_transfer::{Engine, EngineOptions, Throttle};

use crate::calls::{self, CallRecorder, Counted};
use crate::config::{
    CelumConfig, DropboxConfig, EndpointConfig, FlowConfig, IngestConfig, JoinConfig, Layered,
    LocalConfig, PluginConfig, field_value, not_ingest,
};
use crate::flows::Way;
use crate::out::Out;

/// Everything one flow needs, wired up.
pub(crate) struct Wired {
    /// Decides.
    pub(crate) flow: Flow,
    /// Acts.
    pub(crate) runner: Runner,
    /// Remembers.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Counts.
    pub(crate) calls: CallRecorder,
}

impl Wired {
    /// The flow, if it brings something in. Errors: `Unsupported`.
    pub(crate) fn ingest(&self) -> Result<&Ingest> {
        match &self.flow {
            Flow::Ingest(ingest) => Ok(ingest),
            Flow::Release(_) | Flow::Sync(_) => Err(not_ingest(self.flow.name())),
        }
    }
}

/// What the ledger is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// To look, also while another process runs a flow.
    ReadOnly,
    /// To run a flow.
    ReadWrite,
}

/// Builds parts from one configuration.
#[derive(Debug)]
pub(crate) struct Wiring<'a> {
    layered: &'a Layered,
    out: Out,
    shared: Arc<Shared>,
}

/// What all wirings of one process share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// One for each account, whatever its endpoints are called.
    accounts: Mutex<BTreeMap<Blake3, Governor>>,
    counted: Mutex<Vec<Counted>>,
    /// The ledger, where it is open to write already: no file has two writers.
    ledger: Option<Arc<SqlLedger>>,
    /// How fast the bytes of a flow may move, by its name.
    throttles: Mutex<BTreeMap<String, Arc<Throttle>>>,
}

impl Shared {
    /// For flows that share one ledger.
    pub(crate) fn with_ledger(ledger: Arc<SqlLedger>) -> Self {
        Shared {
            ledger: Some(ledger),
            ..Shared::default()
        }
    }

    /// Says by which throttles flows that are wired from now on are held.
    pub(crate) fn set_throttles(&self, throttles: BTreeMap<String, Arc<Throttle>>) {
        *lock(&self.throttles) = throttles;
    }
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(layered: &'a Layered, out: Out) -> Self {
        Self::beside(layered, out, Arc::default())
    }

    /// The same beside other wirings.
    pub(crate) fn beside(layered: &'a Layered, out: Out, shared: Arc<Shared>) -> Self {
        Wiring {
            layered,
            out,
            shared,
        }
    }

    /// Wires one flow. `retry_held` tries again what an earlier run held.
    pub(crate) async fn flow(
        &self,
        name: &str,
        retry_held: bool,
        observer: Arc<dyn Observer>,
    ) -> Result<Wired> {
        self.flow_beside(name, retry_held, observer, &[]).await
    }

    /// The same beside another plugin, which is granted something as well.
    pub(crate) async fn flow_beside(
        &self,
        name: &str,
        retry_held: bool,
        observer: Arc<dyn Observer>,
        granted: &[Origin],
    ) -> Result<Wired> {
        let config = &self.layered.config;
        let flow = config.flow(name)?;
        let ledger: Arc<dyn Ledger> = self.ledger(Access::ReadWrite).await?;
        let from = self.endpoint(flow.from(), Some(&*ledger)).await?;
        let to = self.endpoint(flow.to(), Some(&*ledger)).await?;
        let counted = lock(&self.shared.counted).clone();
        let paced = lock(&self.shared.accounts).clone();
        let calls = CallRecorder::start(counted, paced, Arc::clone(&ledger)).await?;
        let readers = [Arc::clone(&from.source), Arc::clone(&to.source)];
        let sides = Sides {
            from,
            to,
            ledger: Arc::clone(&ledger),
            observer: Arc::clone(&observer),
        };
        let wired_flow = match flow.way() {
            Way::In(ingest) => {
                let ingest = self
                    .ingest(name, ingest, sides, retry_held, granted)
                    .await?;
                Flow::Ingest(Box::new(ingest))
            }
            Way::Out(config) => {
                let release = self.release(name, config, sides, retry_held).await?;
                Flow::Release(Box::new(release))
            }
            Way::Both(config) => {
                let half = self.sync(name, config, sides, retry_held, granted).await?;
                Flow::Sync(Box::new(half))
            }
        };
        let limits = &config.limits;
        let saves_calls = [flow.from(), flow.to()]
            .into_iter()
            .any(|name| config.endpoint[name].counts_calls());
        let engine = Engine::new(EngineOptions {
            budget: limits.memory,
            chunk: limits.chunk,
            chunk_max: limits.chunk_max,
            window: limits.window,
            stall_after: Duration::from_secs(limits.stall_after),
            saves_calls,
            throttle: lock(&self.shared.throttles)
                .get(config.whole(name))
                .cloned(),
            ..EngineOptions::default()
        })?;
        let runner = Runner {
            flow: name.to_owned(),
            source: wired_flow.source(),
            sink: wired_flow.sink(),
            sink_reader: readers
                .into_iter()
                .find(|reader| reader.name() == wired_flow.sink().name()),
            ledger: Arc::clone(&ledger),
            engine,
            desk: release::desk(&wired_flow),
            library: sync::library(&wired_flow),
            observer,
            options: RunOptions {
                transfers: limits.transfers,
                tries: limits.tries,
                // Later than the engine's own watch, which knows more about a transfer.
                stall_after: Duration::from_secs(limits.stall_after + 30),
                evidence: match flow.read_back() {
                    true => Evidence::E3,
                    false => Evidence::E2,
                },
                ..RunOptions::default()
            },
        };
        Ok(Wired {
            flow: wired_flow,
            runner,
            ledger,
            calls,
        })
    }

    async fn ingest(
        &self,
        name: &str,
        flow: &IngestConfig,
        sides: Sides,
        retry_held: bool,
        granted: &[Origin],
    ) -> Result<Ingest> {
        let hooks = match &flow.plugin {
            None => None,
            Some(plugin) => {
                let loaded = self.plugin(plugin).await?;
                answers(&format!("flow.{name}"), plugin, &loaded, HookKind::Metadata)?;
                Some(Arc::new(loaded) as Arc<dyn Hooks>)
            }
        };
        let mut all = granted.to_vec();
        all.extend(hooks.iter().flat_map(|hooks| hooks.granted()));
        let informant = self.informant(name, flow, &all, sides.from.source.as_ref())?;
        Ok(Ingest {
            options: IngestOptions {
                retry_held,
                ..self.ingest_options(name, flow)?
            },
            source: sides.from.source,
            sink: sides.to.sink,
            hooks,
            informant,
            ledger: sides.ledger,
            arrivals: Arrivals {
                packages: Some(Arc::new(PackageNames)),
                ..Arrivals::default()
            },
            observer: sides.observer,
            partners: None,
        })
    }

    /// Who knows what is stated about the files of a flow, if its plugin is granted any of it.
    fn informant(
        &self,
        name: &str,
        flow: &IngestConfig,
        granted: &[Origin],
        source: &dyn Source,
    ) -> Result<Option<Arc<dyn Informant>>> {
        if granted.is_empty() {
            return Ok(None);
        }
        if granted.contains(&Origin::Source) {
            return Err(Error::new(
                Kind::Config,
                format!("flow.{name}: files that are brought in have no fields yet"),
            )
            .with_hint(
                "leave `source` out of the plugin's grants: it is for flows out of a library",
            ));
        }
        let reads_files = [Origin::Sidecar, Origin::Embedded]
            .iter()
            .any(|origin| granted.contains(origin));
        if reads_files && !source.capabilities().range_reads {
            let from = &flow.from;
            return Err(Error::new(
                Kind::Config,
                format!("flow.{name}: parts of files cannot be read at {from}"),
            )
            .with_hint("leave `sidecar` and `embedded` out of the plugin's grants"));
        }
        let sheet = flow.sheet.as_ref().map(|sheet| {
            let options = SheetOptions {
                key: sheet.key.clone(),
                by: match sheet.by {
                    JoinConfig::Path => JoinBy::Path,
                    JoinConfig::Name => JoinBy::Name,
                    JoinConfig::Stem => JoinBy::Stem,
                },
                worksheet: sheet.worksheet.clone(),
                list_separator: sheet.list_separator.clone(),
            };
            Sheet::read(&self.at(&sheet.file), &options)
                .map_err(|error| error.with_context("configured as", format!("flow.{name}.sheet")))
        });
        Ok(Some(Arc::new(Survey::new(sheet.transpose()?))))
    }

    /// What people decided about values that the other side does not have.
    fn choices(&self, flow: &IngestConfig) -> Result<Choices> {
        match &flow.vocabulary {
            Some(file) => vocabulary::read(&self.at(file)),
            None => Ok(Choices::default()),
        }
    }

    fn ingest_options(&self, name: &str, flow: &IngestConfig) -> Result<IngestOptions> {
        let set = flow
            .set
            .iter()
            .map(|(field, value)| {
                Ok((
                    field.clone(),
                    field_value(&format!("flow.{name}.set.{field}"), value)?,
                ))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        Ok(IngestOptions {
            flow: name.to_owned(),
            root: AssetPath::new(&flow.root),
            selection: flow.select.selection(),
            collection: AssetPath::new(&flow.collection),
            keep_folders: flow.keep_folders,
            asset_type: flow.asset_type.clone(),
            set,
            availability: flow.availability.as_ref().map(Into::into),
            choices: self.choices(flow)?,
            ready: flow.ready.readiness(name)?,
            duplicates: flow.duplicates.map(Into::into),
            retry_held: false,
        })
    }

    /// Where the ledger is.
    pub(crate) fn ledger_place(&self) -> Result<Place> {
        let config = &self.layered.config.ledger;
        let file = self.at(&config.file);
        match &config.url {
            Some(url) => Place::of_server(&url.read("ledger.url", &self.layered.base)?, &file),
            None => Place::of_file(&file),
        }
    }

    /// Opens the ledger; only one process may have it open to write.
    pub(crate) async fn ledger(&self, access: Access) -> Result<Arc<SqlLedger>> {
        let read_only = access == Access::ReadOnly;
        if let Some(open) = &self.shared.ledger {
            return Ok(Arc::clone(open));
        }
        let options = LedgerOptions {
            read_only,
            ..LedgerOptions::default()
        };
        SqlLedger::open_at(self.ledger_place()?, options).await
    }

    /// Gives back the room that the ledger does not need.
    pub(crate) async fn compact(&self) -> Result<Compacted> {
        SqlLedger::compact(self.ledger_place()?, LedgerOptions::default()).await
    }

    /// Connects an endpoint. A ledger knows how fast its account was called last.
    pub(crate) async fn endpoint(
        &self,
        name: &str,
        ledger: Option<&dyn Ledger>,
    ) -> Result<Connected> {
        let config = &self.layered.config.endpoint[name];
        match config {
            EndpointConfig::Dropbox(config) => self.dropbox(name, config, ledger).await,
            EndpointConfig::Celum(config) => self.celum(name, config).await,
            EndpointConfig::Local(config) => self.local(name, config),
        }
    }

    /// Loads a plugin, building it first when the configuration names its source.
    pub(crate) async fn plugin(&self, name: &str) -> Result<Plugin> {
        let config = &self.layered.config.plugin[name];
        let file = self.component(config).await?;
        let options = self.load_options(name, config)?;
        self.load(file, options, name).await
    }

    /// Loads another component in the place of a plugin, with its configuration, grants and tables or with a
    /// configuration of its own. In the place of none it is granted all that it asks for.
    pub(crate) async fn candidate(
        &self,
        name: Option<&str>,
        component: &Path,
        config_file: Option<&Path>,
    ) -> Result<Plugin> {
        let options = match name {
            Some(name) => self.load_options(name, &self.layered.config.plugin[name])?,
            None => LoadOptions::new(jiff::Zoned::now().date()),
        };
        let mut options = LoadOptions {
            pinned_digest: None,
            ..options
        };
        if let Some(file) = config_file {
            options.config = config_of_file(file, "the plugin's configuration")?;
        }
        self.load(component.to_owned(), options, "candidate").await
    }

    fn load_options(&self, name: &str, config: &PluginConfig) -> Result<LoadOptions> {
        let pinned = config
            .digest
            .as_deref()
            .map(str::parse::<Blake3>)
            .transpose();
        let mut tables = Tables::new();
        for (table, path) in &config.tables {
            let key = format!("plugin.{name}.tables.{table}");
            tables.insert(table.clone(), tables::read(&key, &self.at(path))?);
        }
        Ok(LoadOptions {
            pinned_digest: pinned.map_err(|error| {
                Error::new(Kind::Config, format!("plugin.{name}.digest: {error}"))
            })?,
            config: self.plugin_config(name, config)?,
            granted: Some(config.grants.iter().map(|grant| grant.origin()).collect()),
            tables,
            today: jiff::Zoned::now().date(),
        })
    }

    async fn load(&self, file: PathBuf, options: LoadOptions, name: &str) -> Result<Plugin> {
        // Compiled code and failed calls are kept beside the ledger: they belong to the same user and installation.
        let ledger = self.at(&self.layered.config.ledger.file);
        let host = HostOptions {
            cache_dir: Some(ledger.with_extension("plugins")),
            failures_dir: Some(ledger.with_extension("failed-calls")),
            // A command asks about each asset once.
            kept_bytes: 0,
            ..HostOptions::default()
        };
        let named = name.to_owned();
        let loading = move || {
            PluginHost::new(host)?
                .load(&file, options)
                .map_err(|error| error.with_context("plugin", named))
        };
        tokio::task::spawn_blocking(loading)
            .await
            .map_err(|error| {
                Error::new(Kind::Unexpected, "loading the plugin ended abnormally")
                    .with_source(error)
            })?
    }

    /// The component file of a plugin.
    async fn component(&self, config: &PluginConfig) -> Result<PathBuf> {
        match (&config.file, &config.source) {
            (Some(file), _) => Ok(self.at(file)),
            (None, Some(source)) => build(self.at(source), self.out).await,
            (None, None) => Err(Error::new(Kind::Config, "the plugin names no file")),
        }
    }

    fn plugin_config(&self, name: &str, config: &PluginConfig) -> Result<serde_json::Value> {
        let table = match (&config.config, &config.config_file) {
            (Some(table), _) => table.clone(),
            (None, Some(file)) => {
                return config_of_file(&self.at(file), &format!("plugin.{name}.config_file"));
            }
            (None, None) => toml::Table::new(),
        };
        windlass_plugin::config_json(&table).map_err(|error| error.with_context("plugin", name))
    }

    async fn dropbox(
        &self,
        name: &str,
        config: &DropboxConfig,
        ledger: Option<&dyn Ledger>,
    ) -> Result<Connected> {
        let base = &self.layered.base;
        let key = |of: &str| format!("endpoint.{name}.{of}");
        let credential = Credential::Refresh {
            app_key: config.app_key.clone(),
            app_secret: match &config.app_secret {
                None => None,
                Some(secret) => Some(secret.read(&key("app_secret"), base)?),
            },
            refresh_token: config.refresh_token.read(&key("refresh_token"), base)?,
        };
        let mut options = DropboxOptions::new(name, credential);
        if let Some(namespace) = &config.namespace {
            options.path_root = PathRoot::Namespace(namespace.clone());
        }
        options.select_user = config.member.clone();
        options.stamps = config.stamps;
        for (slot, url) in [
            (&mut options.api_url, &config.api_url),
            (&mut options.content_url, &config.content_url),
            (&mut options.notify_url, &config.notify_url),
        ] {
            if let Some(url) = url {
                *slot = url.clone();
            }
        }
        options.governor = Some(self.governor(name, config, &options, ledger).await?);
        let endpoint = DropboxEndpoint::connect(self.transport()?, options).await?;
        Ok(Connected {
            outlet: Some(Arc::<DropboxEndpoint>::clone(&endpoint)),
            ..Connected::of(endpoint)
        })
    }

    /// What holds an account's calls to its rate and its month, shared by all endpoints with its credentials.
    async fn governor(
        &self,
        name: &str,
        config: &DropboxConfig,
        options: &DropboxOptions,
        ledger: Option<&dyn Ledger>,
    ) -> Result<Governor> {
        let Credential::Refresh { refresh_token, .. } = &options.credential else {
            return Ok(Governor::default());
        };
        let whose = [
            &config.app_key,
            refresh_token.expose(),
            config.member.as_deref().unwrap_or_default(),
        ];
        let account = Blake3::of(whose.join("\0").as_bytes());
        let learnt = match ledger {
            Some(ledger) => calls::learnt(ledger, &account).await?,
            None => None,
        };
        let governor = || {
            let budget = config.monthly_calls.map(|quota| {
                let budget = Arc::new(MonthlyBudget::new(name, quota, Arc::new(SystemClock)));
                lock(&self.shared.counted).push(Counted {
                    endpoint: name.to_owned(),
                    budget: Arc::clone(&budget),
                });
                budget as Arc<dyn CallBudget>
            });
            let options = GovernorOptions {
                budget,
                ..GovernorOptions::default()
            };
            match learnt {
                Some(learnt) => Governor::with_state(options, &learnt),
                None => Governor::new(options),
            }
        };
        let mut accounts = lock(&self.shared.accounts);
        Ok(accounts.entry(account).or_insert_with(governor).clone())
    }

    async fn celum(&self, name: &str, config: &CelumConfig) -> Result<Connected> {
        let mut profile = match &config.profile {
            None => CelumProfile::default(),
            Some(file) => CelumProfile::read(&self.at(file))?,
        };
        if let Some(field) = &config.correlation_field {
            profile.correlation_field = Some(field.clone());
        }
        let api_key = config
            .api_key
            .read(&format!("endpoint.{name}.api_key"), &self.layered.base)?;
        let mut options = CelumOptions::new(name, config.api_root.clone(), api_key, profile);
        for flow in self.layered.config.flow.values() {
            if let FlowConfig::Ingest(flow) = flow
                && flow.to == name
            {
                options.accepted.extend(self.choices(flow)?.accepted());
            }
        }
        let endpoint = CelumEndpoint::connect(self.transport()?, options).await?;
        Ok(Connected {
            library: Some(Arc::<CelumEndpoint>::clone(&endpoint)),
            ..Connected::of(endpoint)
        })
    }

    fn local(&self, name: &str, config: &LocalConfig) -> Result<Connected> {
        let endpoint = Arc::new(LocalEndpoint::open(LocalOptions {
            name: name.to_owned(),
            root: self.at(&config.root),
            exclusive: false,
        })?);
        Ok(Connected {
            outlet: Some(Arc::<LocalEndpoint>::clone(&endpoint)),
            ..Connected::of(endpoint)
        })
    }

    fn transport(&self) -> Result<Arc<dyn Transport>> {
        let network = &self.layered.config.network;
        let mut options = TransportOptions::default();
        if let Some(file) = &network.ca_file {
            let pem = std::fs::read(self.at(file)).map_err(|error| {
                Error::new(Kind::Config, "network.ca_file cannot be read")
                    .with_context("file", file.display())
                    .with_source(error)
            })?;
            options.extra_root_ca_pem = Some(pem);
        }
        if let Some(proxy) = &network.proxy {
            options.proxy = Proxy::Through(proxy.clone());
        }
        Ok(Arc::new(ReqwestTransport::new(options)?))
    }

    /// A path of the configuration.
    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        self.layered.base.join(path)
    }
}

/// A connected endpoint in both roles.
#[derive(Clone)]
pub(crate) struct Connected {
    /// To read from.
    pub(crate) source: Arc<dyn Source>,
    /// To write to.
    pub(crate) sink: Arc<dyn Sink>,
    /// What governs its assets, where something does.
    pub(crate) library: Option<Arc<dyn Library>>,
    /// Where people take files from, where they do.
    pub(crate) outlet: Option<Arc<dyn Outlet>>,
}

/// Both ends of a flow, and what it is run with.
struct Sides {
    from: Connected,
    to: Connected,
    ledger: Arc<dyn Ledger>,
    observer: Arc<dyn Observer>,
}

/// Refuses a plugin that does not answer what a flow asks.
fn answers(at: &str, name: &str, plugin: &Plugin, kind: HookKind) -> Result<()> {
    if plugin.kinds().contains(&kind) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Config,
        format!("{at}: the plugin {name} has no {} hook", kind.name()),
    )
    .with_hint("`windlass plugin inspect` tells what a plugin answers"))
}

impl Connected {
    fn of<T: Source + Sink + 'static>(endpoint: Arc<T>) -> Self {
        Connected {
            source: Arc::<T>::clone(&endpoint),
            sink: endpoint,
            library: None,
            outlet: None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds a plugin from its source folder and answers the component file.
pub(crate) async fn build(source: PathBuf, out: Out) -> Result<PathBuf> {
    build_into(source, None, out).await
}

/// The same with a folder for what is made.
pub(crate) async fn build_into(
    source: PathBuf,
    target_dir: Option<PathBuf>,
    out: Out,
) -> Result<PathBuf> {
    let options = BuildOptions {
        target_dir,
        ..BuildOptions::default()
    };
    let building = move || build_plugin(&source, &options, |line: &str| out.say(line));
    let built = tokio::task::spawn_blocking(building)
        .await
        .map_err(|error| {
            Error::new(Kind::Unexpected, "building the plugin ended abnormally").with_source(error)
        })??;
    Ok(built.component)
}

/// A plugin's configuration from a TOML file; `what` names it in errors.
fn config_of_file(file: &Path, what: &str) -> Result<serde_json::Value> {
    let about = |error: Error| error.with_context("file", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| {
        about(Error::new(Kind::Config, format!("{what} cannot be read")).with_source(error))
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error: toml::de::Error| {
        about(Error::new(
            Kind::Config,
            format!("{what} is not TOML: {}", error.message()),
        ))
    })?;
    windlass_plugin::config_json(&table).map_err(about)
}
