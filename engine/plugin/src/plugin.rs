//! A loaded plugin as the `Hooks` port: batches, fresh instances, and the search for who is at fault.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::civil::Date;
use wasmtime::Store;
use windlass_core::{
    AssetView, Blake3, Error, HookIdentity, Hooks, Kind, Mapping, Result, Verdict,
};

use crate::bindings::{MetadataHook, MetadataHookPre};
use crate::convert;
use crate::guest::{Guest, Log, Stop, one_line};
use crate::host::{Linked, Shared};
use crate::options::{BATCH_ASSETS_MAX, CONFIG_BYTES_MAX, EPOCH_TICK, LoadOptions};
use crate::tables::Tables;

/// The longest name or version that a plugin may give itself; `wit/v1` states it.
const NAME_BYTES_MAX: usize = 64;

/// A component with its configuration, ready to answer. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    pre: MetadataHookPre<Guest>,
    config: String,
    tables: Arc<Tables>,
    today: Date,
    name: Arc<str>,
    identity: HookIdentity,
}

/// What one batch took.
pub(crate) struct Cost {
    /// Until its instance was configured.
    pub(crate) start: Duration,
    /// Fuel after that.
    pub(crate) fuel: u64,
    /// Linear memory of its instance at the end; memory never shrinks.
    pub(crate) memory_bytes: usize,
}

/// Why a batch gave no verdicts.
enum Failure {
    /// Some asset of the batch is at fault.
    InBatch(Stop),
    /// The plugin does not even start.
    Whole(Error),
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.inner.identity).finish()
    }
}

#[async_trait]
impl Hooks for Plugin {
    fn identity(&self) -> &HookIdentity {
        &self.inner.identity
    }

    /// Runs on the blocking pool, at most 256 assets at a time and as many batches at once as the
    /// host has places. Dropping the future lets the batch at work finish within its limits.
    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        let mut verdicts = Vec::with_capacity(assets.len());
        for batch in assets.chunks(BATCH_ASSETS_MAX) {
            let place = Arc::clone(&self.inner.shared.places).acquire_owned().await;
            let place = place.map_err(|e| {
                Error::new(Kind::Cancelled, "the plugin host is shutting down").with_source(e)
            })?;
            let (inner, batch) = (Arc::clone(&self.inner), batch.to_vec());
            let task = tokio::task::spawn_blocking(move || {
                let answer = inner.judge(&batch);
                drop(place);
                answer
            });
            let answer = task.await.map_err(|e| {
                Error::new(Kind::Unexpected, "the plugin host failed").with_source(e)
            })?;
            verdicts.extend(answer?);
        }
        Ok(verdicts)
    }
}

impl Plugin {
    /// Asks a linked component who it is and whether it accepts its configuration.
    pub(crate) fn start(
        shared: Arc<Shared>,
        linked: Linked,
        digest: Blake3,
        options: LoadOptions,
    ) -> Result<Self> {
        let mut inner = Inner::unnamed(shared, linked, digest, options)?;
        let (name, version) = inner.identify()?;
        inner.name = Arc::from(name.as_str());
        inner.identity.name = name;
        inner.identity.version = version;
        inner.check_configuration()?;
        Ok(Plugin {
            inner: Arc::new(inner),
        })
    }

    /// Runs one batch of 1 to 256 assets here and now, without its log, and says what it took. A failure is not
    /// searched for the asset at fault, but an error.
    pub(crate) fn run_once(&self, assets: &[AssetView]) -> Result<Cost> {
        match self.inner.run(assets, Log::Dropped) {
            Ok((_, cost)) => Ok(cost),
            Err(Failure::Whole(error)) => Err(error),
            Err(Failure::InBatch(stop)) => Err(Error::new(Kind::Plugin, stop.to_string())),
        }
    }

    /// Asks a linked component who it is, without any configuration.
    pub(crate) fn identify(
        shared: Arc<Shared>,
        linked: Linked,
        digest: Blake3,
    ) -> Result<(String, String)> {
        // A plugin may not ask for the day before it is configured; any day will do.
        let options = LoadOptions::new(Date::constant(1970, 1, 1));
        Inner::unnamed(shared, linked, digest, options)?.identify()
    }
}

impl Inner {
    /// Everything but the name, which only the component itself can say.
    fn unnamed(
        shared: Arc<Shared>,
        linked: Linked,
        digest: Blake3,
        options: LoadOptions,
    ) -> Result<Self> {
        let config = config_text(&options)?;
        let config_digest = config_digest(&shared, &linked, &config, &options);
        let (name, version) = (String::new(), String::new());
        Ok(Inner {
            shared,
            pre: linked.pre,
            config,
            tables: Arc::new(options.tables),
            today: options.today,
            name: Arc::from("plugin"),
            identity: HookIdentity {
                name,
                version,
                digest,
                config_digest,
            },
        })
    }

    /// Name and version as the plugin states them, in an instance of their own.
    fn identify(&self) -> Result<(String, String)> {
        let _alone = self
            .shared
            .loading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store(0)?;
        let stated = self
            .pre
            .instantiate(&mut store)
            .and_then(|hook| hook.windlass_hooks_plugin().call_identify(&mut store));
        let stated = stated.map_err(|e| self.does_not_start(&store, &e))?;
        for (what, text) in [("name", &stated.name), ("version", &stated.version)] {
            if text.trim().is_empty() || text.len() > NAME_BYTES_MAX {
                let message = format!("the plugin's {what} is empty or longer than 64 bytes");
                return Err(Error::new(Kind::Plugin, message));
            }
        }
        let clean = |text: &str| one_line(text, NAME_BYTES_MAX);
        Ok((clean(&stated.name), clean(&stated.version)))
    }

    fn check_configuration(&self) -> Result<()> {
        let _alone = self
            .shared
            .loading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store(0)?;
        self.configured(&mut store).map(drop)
    }

    /// One verdict an asset: by one batch if all goes well, else by halves.
    fn judge(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        let started = Instant::now();
        let mut verdicts: Vec<Verdict<Mapping>> = Vec::with_capacity(assets.len());
        // Ranges still to be judged, the first on top, so that verdicts come in order.
        let mut waiting: Vec<Range<usize>> = Vec::new();
        if !assets.is_empty() {
            waiting.push(0..assets.len());
        }
        while let Some(range) = waiting.pop() {
            if started.elapsed() > self.shared.options.search_wall_clock {
                verdicts.extend(range.map(|_| self.unsettled()));
                continue;
            }
            match self.run(&assets[range.clone()], Log::Kept) {
                Ok((batch, _)) => verdicts.extend(batch),
                Err(Failure::Whole(error)) => return Err(error),
                Err(Failure::InBatch(stop)) if range.len() == 1 => {
                    let (plugin, asset) = (&*self.name, assets[range.start].path.as_str());
                    tracing::warn!(plugin, asset, %stop, "the plugin failed on one asset; it is held");
                    verdicts.push(stop.verdict());
                }
                Err(Failure::InBatch(_)) => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
        }
        Ok(verdicts)
    }

    /// One batch in a fresh instance.
    fn run(
        &self,
        assets: &[AssetView],
        log: Log,
    ) -> Result<(Vec<Verdict<Mapping>>, Cost), Failure> {
        let started = Instant::now();
        let mut store = self.store(assets.len()).map_err(Failure::Whole)?;
        store.data_mut().log = log;
        let hook = self.configured(&mut store).map_err(Failure::Whole)?;
        let start = started.elapsed();
        let fuel = self
            .shared
            .options
            .fuel_per_asset
            .saturating_mul(assets.len() as u64);
        self.refuel(&mut store, fuel).map_err(Failure::Whole)?;
        let views: Vec<_> = assets.iter().map(convert::view).collect();
        let answer = hook
            .windlass_hooks_metadata()
            .call_describe(&mut store, &views);
        store.data().report_dropped_lines();
        let cost = Cost {
            start,
            fuel: store.get_fuel().map_or(0, |left| fuel.saturating_sub(left)),
            memory_bytes: store.data().held_bytes(),
        };
        let (plugin, fuel_used) = (&*self.name, cost.fuel);
        tracing::trace!(plugin, assets = assets.len(), fuel_used, "a batch is done");
        let answer = answer.map_err(|e| {
            tracing::debug!(plugin = &*self.name, error = ?e, "a batch failed");
            Failure::InBatch(store.data().stopped_by(&e, &self.shared.options))
        })?;
        if answer.len() != assets.len() {
            let (asked, answered) = (assets.len(), answer.len());
            return Err(Failure::InBatch(Stop::Count { asked, answered }));
        }
        let verdicts = answer.into_iter().map(convert::verdict).collect();
        Ok((verdicts, cost))
    }

    /// An instance that has accepted its configuration.
    fn configured(&self, store: &mut Store<Guest>) -> Result<MetadataHook> {
        let hook = self
            .pre
            .instantiate(&mut *store)
            .map_err(|e| self.does_not_start(store, &e))?;
        let accepted = hook
            .windlass_hooks_plugin()
            .call_configure(&mut *store, &self.config);
        match accepted.map_err(|e| self.does_not_start(store, &e))? {
            Ok(()) => Ok(hook),
            Err(why) => Err(Error::new(
                Kind::Config,
                format!(
                    "the plugin refuses its configuration: {}",
                    one_line(&why, 1_000)
                ),
            )
            .with_hint("correct the plugin's table in the configuration file")),
        }
    }

    fn store(&self, assets: usize) -> Result<Store<Guest>> {
        let options = &self.shared.options;
        let (tables, name) = (Arc::clone(&self.tables), Arc::clone(&self.name));
        let guest = Guest::new(options, tables, self.today, name, assets);
        let mut store = Store::new(&self.shared.engine, guest);
        store.limiter(Guest::limiter);
        store.set_hostcall_fuel(options.output_bytes);
        store.set_epoch_deadline(ticks(options.wall_clock));
        self.refuel(&mut store, options.fuel_to_start)?;
        Ok(store)
    }

    fn refuel(&self, store: &mut Store<Guest>, fuel: u64) -> Result<()> {
        store.set_fuel(fuel).map_err(|e| {
            Error::new(Kind::Unexpected, "the plugin engine does not count work")
                .with_source(e.into_boxed_dyn_error())
        })
    }

    fn does_not_start(&self, store: &Store<Guest>, error: &wasmtime::Error) -> Error {
        tracing::debug!(plugin = &*self.name, ?error, "a plugin does not start");
        let stop = store.data().stopped_by(error, &self.shared.options);
        Error::new(Kind::Plugin, format!("the plugin does not start: {stop}"))
            .with_hint("it fails before it sees an asset: its author must correct it")
    }

    fn unsettled(&self) -> Verdict<Mapping> {
        let limit = self.shared.options.search_wall_clock;
        Verdict::Held {
            reason: format!("the plugin failed on so many assets that {limit:?} were over first"),
            rule: "limit: search".to_owned(),
        }
    }
}

/// A deadline in epochs; one more, because the current one has partly gone by.
fn ticks(wall_clock: Duration) -> u64 {
    let ticks = wall_clock.as_millis().div_ceil(EPOCH_TICK.as_millis());
    u64::try_from(ticks).unwrap_or(u64::MAX - 1) + 1
}

fn config_text(options: &LoadOptions) -> Result<String> {
    if !options.config.is_object() {
        return Err(Error::new(
            Kind::Config,
            "the plugin's configuration is not a table",
        ));
    }
    let text = options.config.to_string();
    if text.len() > CONFIG_BYTES_MAX {
        return Err(Error::new(
            Kind::Config,
            "the plugin's configuration is larger than 1 MiB",
        )
        .with_hint("put long lists into a table that the plugin looks things up in"));
    }
    Ok(text)
}

/// Digest of all that can change a verdict besides the component and the asset.
fn config_digest(shared: &Shared, linked: &Linked, config: &str, options: &LoadOptions) -> Blake3 {
    let day = linked.asks_for_today.then(|| options.today.to_string());
    // Maps of text keys and values always serialize.
    let tables = serde_json::to_string(&options.tables).unwrap_or_default();
    let limits = shared.options.deciding();
    // As a JSON list, so that no two lists of parts read the same.
    Blake3::of(
        serde_json::json!([config, tables, day, limits])
            .to_string()
            .as_bytes(),
    )
}
