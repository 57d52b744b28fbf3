//! A loaded plugin as the `Hooks` port: batches, fresh instances, and the search for who is at fault.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::civil::Date;
use wasmtime::Store;
use wasmtime::component::Instance;
use windlass_core::{
    AssetView, Blake3, Error, HookIdentity, HookKind, Hooks, Kind, Mapping, Market, Origin,
    Release, Result, Routing, Ruling, Verdict,
};

use crate::failures::{Call, Circumstances, FailedCall};
use crate::guest::{Granted, Guest, Log, Stop, one_line};
use crate::host::{Linked, Shared};
use crate::kept::Kept;
use crate::options::{BATCH_ASSETS_MAX, CONFIG_BYTES_MAX, EPOCH_TICK, LoadOptions};
use crate::question::{Decide, Describe, Question, Route};
use crate::tables::Tables;

/// The longest name or version that a plugin may give itself; `wit/v1` states it.
const NAME_BYTES_MAX: usize = 64;

/// A component with its configuration, ready to answer. Cheap to clone; what it is never changes, so a run that
/// holds one has the same plugin from its beginning to its end, whatever becomes of the file.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
    kept: Arc<KeptAnswers>,
}

/// Answers by hook.
struct KeptAnswers {
    mappings: Kept<Verdict<Mapping>>,
    rulings: Kept<Ruling>,
    routings: Kept<Verdict<Routing>>,
}

struct Inner {
    shared: Arc<Shared>,
    linked: Linked,
    file: PathBuf,
    config: String,
    granted: Vec<Origin>,
    tables: Arc<Tables>,
    today: Date,
    name: Arc<str>,
    identity: HookIdentity,
    asks: Vec<Origin>,
}

/// What one batch took.
pub(crate) struct Cost {
    /// Until there was an instance.
    pub(crate) instance: Duration,
    /// Until its instance was configured.
    pub(crate) start: Duration,
    /// Fuel after that.
    pub(crate) fuel: u64,
    /// Linear memory of its instance at the end; memory never shrinks.
    pub(crate) memory_bytes: usize,
}

/// Why a batch gave no answers.
enum Failure {
    /// Some asset of the batch is at fault.
    InBatch(Stop),
    /// The plugin does not even start.
    Whole(Error),
}

/// An answer, and whether the same question would always be answered so.
struct Judged<T> {
    answer: T,
    is_certain: bool,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plugin").field(&self.inner.identity).finish()
    }
}

/// Batches run on the blocking pool, at most 256 assets at a time and as many batches at once as the
/// host has places. Dropping the future lets the batch at work finish within its limits.
#[async_trait]
impl Hooks for Plugin {
    fn identity(&self) -> &HookIdentity {
        &self.inner.identity
    }

    fn kinds(&self) -> &[HookKind] {
        &self.inner.linked.hooks
    }

    fn granted(&self) -> &[Origin] {
        &self.inner.granted
    }

    async fn describe(&self, assets: &[AssetView]) -> Result<Vec<Verdict<Mapping>>> {
        self.ask(Describe, assets, |kept| &kept.mappings).await
    }

    async fn decide(&self, releases: &[Release]) -> Result<Vec<Ruling>> {
        self.ask(Decide, releases, |kept| &kept.rulings).await
    }

    async fn route(
        &self,
        assets: &[AssetView],
        markets: &[Market],
    ) -> Result<Vec<Verdict<Routing>>> {
        let route = Route::new(markets);
        self.ask(route, assets, |kept| &kept.routings).await
    }
}

impl Plugin {
    /// Asks a linked component who it is and whether it accepts its configuration.
    pub(crate) fn start(
        shared: Arc<Shared>,
        linked: Linked,
        digest: Blake3,
        file: PathBuf,
        options: LoadOptions,
    ) -> Result<Self> {
        let kept = shared.options.kept_bytes;
        let granted = options.granted.clone();
        let mut inner = Inner::unnamed(shared, linked, digest, options)?;
        inner.file = file;
        let (name, version, asks) = inner.identify()?;
        inner.name = Arc::from(name.as_str());
        inner.identity.name = name;
        inner.identity.version = version;
        inner.granted = granted.unwrap_or_else(|| asks.clone());
        inner.granted.sort();
        inner.granted.dedup();
        inner.asks = asks;
        inner.identity.config_digest = inner.config_digest();
        inner.check_grants()?;
        inner.check_configuration()?;
        Ok(Plugin {
            inner: Arc::new(inner),
            kept: Arc::new(KeptAnswers {
                mappings: Kept::new(kept),
                rulings: Kept::new(kept),
                routings: Kept::new(kept),
            }),
        })
    }

    /// Digest of the component file.
    pub fn digest(&self) -> Blake3 {
        self.inner.identity.digest
    }

    /// Whose statements about assets it asks for.
    pub fn asks(&self) -> &[Origin] {
        &self.inner.asks
    }

    /// Runs one batch of 1 to 256 inputs here and now, without its log, and says what it took. A failure is not
    /// searched for the asset at fault, but an error.
    pub(crate) fn run_once<Q: Question>(&self, question: &Q, inputs: &[Q::Input]) -> Result<Cost> {
        match self.inner.run(question, inputs, Log::Dropped) {
            Ok((_, cost)) => Ok(cost),
            Err(Failure::Whole(error)) => Err(error),
            Err(Failure::InBatch(stop)) => Err(Error::new(Kind::Plugin, stop.to_string())),
        }
    }

    /// Asks about one input here and now, and keeps nothing of it.
    pub(crate) fn ask_once<Q: Question>(
        &self,
        question: &Q,
        input: &Q::Input,
    ) -> Result<Result<Q::Answer, Stop>> {
        let inputs = std::slice::from_ref(input);
        match self.inner.run(question, inputs, Log::Kept) {
            Ok((mut answers, _)) => Ok(answers.pop().ok_or(Stop::Count {
                asked: 1,
                answered: 0,
            })),
            Err(Failure::Whole(error)) => Err(error),
            Err(Failure::InBatch(stop)) => Ok(Err(stop)),
        }
    }

    /// Asks a linked component who it is and what it asks for, without any configuration.
    pub(crate) fn identify(
        shared: Arc<Shared>,
        linked: Linked,
        digest: Blake3,
    ) -> Result<(String, String, Vec<Origin>)> {
        // A plugin may not ask for the day before it is configured; any day will do.
        let options = LoadOptions::new(Date::constant(1970, 1, 1));
        Inner::unnamed(shared, linked, digest, options)?.identify()
    }

    async fn ask<Q: Question>(
        &self,
        question: Q,
        inputs: &[Q::Input],
        kept: fn(&KeptAnswers) -> &Kept<Q::Answer>,
    ) -> Result<Vec<Q::Answer>> {
        if !self.kinds().contains(&Q::HOOK) {
            return Err(self.cannot(Q::HOOK));
        }
        let question = Arc::new(question);
        let mut answers = Vec::with_capacity(inputs.len());
        for batch in inputs.chunks(BATCH_ASSETS_MAX) {
            let place = Arc::clone(&self.inner.shared.places).acquire_owned().await;
            let place = place.map_err(|e| {
                Error::new(Kind::Cancelled, "the plugin host is shutting down").with_source(e)
            })?;
            let (plugin, question) = (self.clone(), Arc::clone(&question));
            let batch = batch.to_vec();
            let task = tokio::task::spawn_blocking(move || {
                let answer = plugin.inner.answer(&*question, batch, kept(&plugin.kept));
                drop(place);
                answer
            });
            let answer = task.await.map_err(|e| {
                Error::new(Kind::Unexpected, "the plugin host failed").with_source(e)
            })?;
            answers.extend(answer?);
        }
        Ok(answers)
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
        let (name, version) = (String::new(), String::new());
        Ok(Inner {
            shared,
            linked,
            file: PathBuf::new(),
            config,
            granted: Vec::new(),
            tables: Arc::new(options.tables),
            today: options.today,
            name: Arc::from("plugin"),
            identity: HookIdentity {
                name,
                version,
                digest,
                config_digest: Blake3::of(b""),
            },
            asks: Vec::new(),
        })
    }

    /// Name, version and what it asks for, as the plugin states them, in an instance of their own.
    fn identify(&self) -> Result<(String, String, Vec<Origin>)> {
        let _alone = self
            .shared
            .loading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store(0)?;
        let exports = &self.linked.exports;
        let stated = self.linked.pre.instantiate(&mut store);
        let stated = stated.and_then(|instance| exports.identify(&mut store, &instance));
        let (name, version, mut asks) = stated.map_err(|e| self.does_not_start(&mut store, &e))?;
        for (what, text) in [("name", &name), ("version", &version)] {
            if text.trim().is_empty() || text.len() > NAME_BYTES_MAX {
                let message = format!("the plugin's {what} is empty or longer than 64 bytes");
                return Err(Error::new(Kind::Plugin, message));
            }
        }
        asks.sort();
        asks.dedup();
        let clean = |text: &str| one_line(text, NAME_BYTES_MAX);
        Ok((clean(&name), clean(&version), asks))
    }

    /// Digest of all that can change a verdict besides the component and the asset.
    fn config_digest(&self) -> Blake3 {
        let day = self.linked.asks_for_today.then(|| self.today.to_string());
        // Maps of text keys and values always serialize.
        let tables = serde_json::to_string(&*self.tables).unwrap_or_default();
        let limits = self.shared.options.deciding();
        // As a JSON list, so that no two lists of parts read the same.
        let parts = serde_json::json!([self.config, self.granted, tables, day, limits]);
        Blake3::of(parts.to_string().as_bytes())
    }

    /// A grant that nobody asks for is a mistake, or another plugin than was meant.
    fn check_grants(&self) -> Result<()> {
        let surplus = self
            .granted
            .iter()
            .find(|origin| !self.asks.contains(origin));
        let Some(surplus) = surplus else {
            return Ok(());
        };
        let asks: Vec<_> = self.asks.iter().map(|origin| origin.name()).collect();
        let hint = match asks.is_empty() {
            true => "it asks for nothing: leave `grants` out".to_owned(),
            false => format!("it asks for {}", asks.join(", ")),
        };
        let (name, surplus) = (&self.name, surplus.name());
        Err(Error::new(
            Kind::Config,
            format!("the plugin {name} is granted {surplus:?}, which it does not ask for"),
        )
        .with_hint(hint))
    }

    fn check_configuration(&self) -> Result<()> {
        let _alone = self
            .shared
            .loading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut store = self.store(0)?;
        let instance = self.instantiated(&mut store)?;
        self.configure(&mut store, &instance)
    }

    /// One answer an input: what is kept, and the rest asked for.
    fn answer<Q: Question>(
        &self,
        question: &Q,
        inputs: Vec<Q::Input>,
        kept: &Kept<Q::Answer>,
    ) -> Result<Vec<Q::Answer>> {
        if !kept.is_on() {
            let judged = self.judge(question, &inputs)?;
            return Ok(judged.into_iter().map(|judged| judged.answer).collect());
        }
        let mut answers = Vec::with_capacity(inputs.len());
        let (mut unknown, mut keys) = (Vec::new(), Vec::new());
        for input in inputs {
            let key = question.key(&input);
            let known = key.and_then(|key| kept.get(&key, Q::moment(&input)));
            if known.is_none() {
                unknown.push(input);
                keys.push(key);
            }
            answers.push(known);
        }
        let mut judged = self.judge(question, &unknown)?.into_iter();
        let mut asked = unknown.iter().zip(keys);
        let answers = answers.into_iter().map(|known| {
            if let Some(known) = known {
                return Some(known);
            }
            let (Judged { answer, is_certain }, (input, key)) = (judged.next()?, asked.next()?);
            if let Some(key) = key.filter(|_| is_certain) {
                kept.put(key, &answer, Q::moment(input), Q::until(&answer));
            }
            Some(answer)
        });
        let answers: Option<Vec<_>> = answers.collect();
        answers.ok_or_else(|| Error::new(Kind::Unexpected, "the plugin host lost an answer"))
    }

    /// One answer an input: by one batch if all goes well, else by halves.
    fn judge<Q: Question>(
        &self,
        question: &Q,
        inputs: &[Q::Input],
    ) -> Result<Vec<Judged<Q::Answer>>> {
        let started = Instant::now();
        let mut answers = Vec::with_capacity(inputs.len());
        let judged = |answer, is_certain| Judged { answer, is_certain };
        // Ranges still to be judged, the first on top, so that answers come in order.
        let mut waiting: Vec<Range<usize>> = Vec::new();
        if !inputs.is_empty() {
            waiting.push(0..inputs.len());
        }
        while let Some(range) = waiting.pop() {
            if started.elapsed() > self.shared.options.search_wall_clock {
                let stop = Stop::Search {
                    limit: self.shared.options.search_wall_clock,
                };
                answers.extend(range.map(|_| judged(Q::stopped(&stop), false)));
                continue;
            }
            // What halves say was said by the whole.
            let log = match range.len() == inputs.len() {
                true => Log::Kept,
                false => Log::Dropped,
            };
            match self.run(question, &inputs[range.clone()], log) {
                Ok((batch, _)) => {
                    answers.extend(batch.into_iter().map(|answer| judged(answer, true)));
                }
                Err(Failure::Whole(error)) => return Err(error),
                Err(Failure::InBatch(stop)) if range.len() == 1 => {
                    let asset = Q::asset(&inputs[range.start]).path.as_str();
                    let plugin = &*self.name;
                    tracing::warn!(plugin, asset, %stop, "the plugin failed on one asset; it is held");
                    answers.push(judged(Q::stopped(&stop), stop.is_deterministic()));
                }
                Err(Failure::InBatch(_)) => {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
        }
        Ok(answers)
    }

    /// One batch in a fresh instance.
    fn run<Q: Question>(
        &self,
        question: &Q,
        inputs: &[Q::Input],
        log: Log,
    ) -> Result<(Vec<Q::Answer>, Cost), Failure> {
        let started = Instant::now();
        let mut store = self.store(inputs.len()).map_err(Failure::Whole)?;
        store.data_mut().log = log;
        let instance = self.instantiated(&mut store).map_err(Failure::Whole)?;
        let instantiated = started.elapsed();
        self.configure(&mut store, &instance)
            .map_err(Failure::Whole)?;
        let start = started.elapsed();
        let fuel = self
            .shared
            .options
            .fuel_per_asset
            .saturating_mul(question.work())
            .saturating_mul(inputs.len() as u64);
        self.refuel(&mut store, fuel).map_err(Failure::Whole)?;
        let answers = question.ask(&self.linked.exports, &mut store, &instance, inputs);
        store.data().report_dropped_lines();
        let cost = Cost {
            instance: instantiated,
            start,
            fuel: store.get_fuel().map_or(0, |left| fuel.saturating_sub(left)),
            memory_bytes: store.data().held_bytes(),
        };
        let (plugin, fuel_used) = (&*self.name, cost.fuel);
        tracing::trace!(plugin, assets = inputs.len(), fuel_used, "a batch is done");
        let stop = match answers {
            Ok(answers) if answers.len() == inputs.len() => return Ok((answers, cost)),
            Ok(answers) => Stop::Count {
                asked: inputs.len(),
                answered: answers.len(),
            },
            Err(error) => {
                tracing::debug!(plugin, ?error, "a batch failed");
                store.data().stopped_by(&error, &self.shared.options)
            }
        };
        if let [input] = inputs {
            self.record(&mut store, question.call(input), &stop);
        }
        Err(Failure::InBatch(stop))
    }

    fn instantiated(&self, store: &mut Store<Guest>) -> Result<Instance> {
        let instance = self.linked.pre.instantiate(&mut *store);
        instance.map_err(|e| self.does_not_start(store, &e))
    }

    /// Gives an instance its configuration, which it must accept.
    fn configure(&self, store: &mut Store<Guest>, instance: &Instance) -> Result<()> {
        let exports = &self.linked.exports;
        let accepted = exports.configure(store, instance, &self.config, &self.granted);
        match accepted.map_err(|e| self.does_not_start(store, &e))? {
            Ok(()) => Ok(()),
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
        let granted = Granted::of(&self.granted);
        let mut guest = Guest::new(options, tables, self.today, name, granted, assets);
        // Only a call about one asset is written down when it fails, or none at all.
        if self.shared.failures.is_some() && assets <= 1 {
            guest.lookups = Some(Vec::new());
        }
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

    fn does_not_start(&self, store: &mut Store<Guest>, error: &wasmtime::Error) -> Error {
        tracing::debug!(plugin = &*self.name, ?error, "a plugin does not start");
        let stop = store.data().stopped_by(error, &self.shared.options);
        self.record(store, Call::Start, &stop);
        Error::new(Kind::Plugin, format!("the plugin does not start: {stop}"))
            .with_hint("it fails before it sees an asset: its author must correct it")
    }

    /// Writes a failed call down, where that is wanted.
    fn record(&self, store: &mut Store<Guest>, call: Call, stop: &Stop) {
        let Some(failures) = &self.shared.failures else {
            return;
        };
        let circumstances = Circumstances {
            plugin: &self.identity,
            file: &self.file,
            config: &self.config,
            granted: &self.granted,
            today: self.today,
            options: &self.shared.options,
        };
        let lookups = store.data_mut().lookups.take().unwrap_or_default();
        failures.record(FailedCall::new(&circumstances, call, lookups, stop));
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
