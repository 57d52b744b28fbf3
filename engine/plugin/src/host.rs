//! The engine that all plugins share: its settings, its clock thread, its places, and loading.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};
use windlass_core::{Blake3, Error, HookKind, Kind, Result};

use crate::artefacts::Artefacts;
use crate::failures::Failures;
use crate::guest::Guest;
use crate::options::{COMPONENT_BYTES_MAX, EPOCH_TICK, HostOptions, LoadOptions};
use crate::plugin::Plugin;
use crate::shape::{Api, Shape};
use crate::v1;

/// Core instances and tables of one component. A Python guest has 50 of each, a Rust guest 4.
const PARTS_PER_COMPONENT: u32 = 50;

/// Memories of one component. A Rust or Python guest has one, a JavaScript guest three.
const MEMORIES_PER_COMPONENT: u32 = 4;

/// Loads plugins and runs them under one set of limits. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct PluginHost {
    pub(crate) shared: Arc<Shared>,
}

/// What a host's plugins hold on to.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) options: HostOptions,
    pub(crate) linker: Linker<Guest>,
    artefacts: Option<Artefacts>,
    pub(crate) failures: Option<Failures>,
    /// Places in the instance pool for batches.
    pub(crate) places: Arc<Semaphore>,
    /// The one further place, for plugins that are being loaded or inspected.
    pub(crate) loading: Mutex<()>,
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl PluginHost {
    /// Sets up the engine and its clock thread, which ends with the host and its plugins.
    ///
    /// Fails with `Config` if the limits cannot work or one of its folders cannot be private, with
    /// `Capacity` if the address space for the instances cannot be had.
    pub fn new(options: HostOptions) -> Result<Self> {
        options.check()?;
        let engine = Engine::new(&engine_config(&options)).map_err(|e| {
            Error::new(Kind::Capacity, "the plugin engine cannot be set up")
                .with_source(e.into_boxed_dyn_error())
                .with_hint("allow fewer plugin instances, or more address space (`ulimit -v`)")
        })?;
        start_clock(engine.weak())?;
        let mut linker = Linker::new(&engine);
        // A second major offers its own names beside these.
        v1::add_to_linker(&mut linker).map_err(|e| {
            Error::new(Kind::Unexpected, "the plugin interface cannot be linked")
                .with_source(e.into_boxed_dyn_error())
        })?;
        let artefacts = options
            .cache_dir
            .as_deref()
            .map(Artefacts::open)
            .transpose()?;
        let failures = options
            .failures_dir
            .as_deref()
            .map(Failures::open)
            .transpose()?;
        let places = Arc::new(Semaphore::new(options.instances as usize));
        let loading = Mutex::new(());
        let shared = Shared {
            engine,
            options,
            linker,
            artefacts,
            failures,
            places,
            loading,
        };
        Ok(PluginHost {
            shared: Arc::new(shared),
        })
    }

    /// Loads a component, checks it, and asks it once whether it accepts its configuration.
    ///
    /// Blocks: 0.1 s for a small Rust plugin the first time, far below a millisecond from the cache.
    /// Fails with `Integrity` if the digest is not the pinned one, with `InvalidInput` if the
    /// file is no component, with `Unsupported` if it wants another API or forbidden imports, with
    /// `Config` if the plugin refuses its configuration or is granted what it does not ask for, with `Plugin` if
    /// it fails while it starts.
    pub fn load(&self, path: &Path, options: LoadOptions) -> Result<Plugin> {
        let about = |error: Error| error.with_context("plugin", path.display());
        let bytes = read_component(path)?;
        let digest = Blake3::of(&bytes);
        if let Some(pinned) = options.pinned_digest.filter(|pinned| *pinned != digest) {
            return Err(about(
                Error::new(
                    Kind::Integrity,
                    "the plugin file is not the one that was pinned",
                )
                .with_context("pinned", pinned)
                .with_context("found", digest)
                .with_hint("review the file; if it is right, pin its digest in the configuration"),
            ));
        }
        let linked = self.link(&bytes, &digest).map_err(about)?;
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Plugin::start(Arc::clone(&self.shared), linked, digest, file, options).map_err(about)
    }

    fn link(&self, bytes: &[u8], digest: &Blake3) -> Result<Linked> {
        let shape = Shape::read(bytes)?;
        let api = shape.check()?;
        let component = match self.cached(digest) {
            Some(component) => component,
            None => {
                let component = self.compile(bytes)?;
                self.keep(digest, &component);
                component
            }
        };
        self.link_component(&component, &shape, api)
    }

    /// The compiled component, if it is kept.
    pub(crate) fn cached(&self, digest: &Blake3) -> Option<Component> {
        let artefacts = self.shared.artefacts.as_ref()?;
        artefacts.load(&self.shared.engine, digest)
    }

    /// Keeps a compiled component for the next load.
    pub(crate) fn keep(&self, digest: &Blake3, component: &Component) {
        if let Some(artefacts) = &self.shared.artefacts {
            artefacts.keep(&self.shared.engine, digest, component);
        }
    }

    pub(crate) fn compile(&self, bytes: &[u8]) -> Result<Component> {
        Component::from_binary(&self.shared.engine, bytes).map_err(|e| {
            Error::new(
                Kind::InvalidInput,
                format!("the component is not valid: {}", e.root_cause()),
            )
            .with_hint("it was damaged, or built for features that plugins do not have")
        })
    }

    pub(crate) fn link_component(
        &self,
        component: &Component,
        shape: &Shape,
        api: Api,
    ) -> Result<Linked> {
        let hooks = shape.hooks();
        let linked = self.shared.linker.instantiate_pre(component);
        let linked = linked.and_then(|pre| {
            let exports = match api {
                Api::V1 => v1::Exports::find(&pre, |kind| hooks.contains(&kind))?,
            };
            Ok((pre, exports))
        });
        let (pre, exports) = linked.map_err(|e| {
            let newer = shape.newer_minor().map(|newer| format!("{newer}, and "));
            let message = format!(
                "the plugin cannot be used: {}it does not fit windlass:hooks {}: {e:#}",
                newer.unwrap_or_default(),
                crate::API_VERSION
            );
            Error::new(Kind::Unsupported, message)
                .with_hint("build it against wit/v1 of this Windlass")
        })?;
        Ok(Linked {
            pre,
            exports,
            hooks,
            asks_for_today: asks_for_today(&self.shared.engine, component),
        })
    }
}

/// A component whose imports are settled.
pub(crate) struct Linked {
    pub(crate) pre: InstancePre<Guest>,
    /// How it is spoken to. A second major makes this an enum of both.
    pub(crate) exports: v1::Exports,
    pub(crate) hooks: Vec<HookKind>,
    /// Whether its answers may depend on the day.
    pub(crate) asks_for_today: bool,
}

/// Reads a component file, whole, up to the largest that is accepted.
pub(crate) fn read_component(path: &Path) -> Result<Vec<u8>> {
    let problem = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Unexpected,
        };
        Error::new(kind, format!("cannot read the plugin {}", path.display()))
            .with_source(e)
            .with_hint("`windlass plugin build FOLDER` builds one and prints its path")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(problem)?;
    file.take(COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(problem)?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        let mib = COMPONENT_BYTES_MAX >> 20;
        return Err(Error::new(
            Kind::InvalidInput,
            format!("the plugin {} is larger than {mib} MiB", path.display()),
        ));
    }
    Ok(bytes)
}

fn engine_config(options: &HostOptions) -> Config {
    let batches = options.instances + 1;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(batches)
        .max_core_instances_per_component(PARTS_PER_COMPONENT)
        .total_core_instances(batches * PARTS_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .total_memories(batches * MEMORIES_PER_COMPONENT)
        .max_tables_per_component(PARTS_PER_COMPONENT)
        .total_tables(batches * PARTS_PER_COMPONENT)
        .max_memory_size(options.memory_bytes)
        .table_elements(options.table_elements)
        // Calls are synchronous, so no guest runs on a stack of its own.
        .total_stacks(1);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .consume_fuel(true)
        .epoch_interruption(true)
        // Equal input must give equal output on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false);
    config
}

/// Advances the engine's epoch until nobody holds the engine any more.
fn start_clock(engine: EngineWeak) -> Result<()> {
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH_TICK);
        }
    };
    let thread = std::thread::Builder::new()
        .name("plugin-clock".to_owned())
        .spawn(tick);
    thread.map(drop).map_err(|e| {
        Error::new(
            Kind::Capacity,
            "the plugin engine's clock thread cannot be started",
        )
        .with_source(e)
    })
}

/// Whether a component imports the day. Encoders leave out functions that a guest does not call.
fn asks_for_today(engine: &Engine, component: &Component) -> bool {
    use wasmtime::component::types::ComponentItem;
    component
        .component_type()
        .imports(engine)
        .any(|(_, item)| match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                instance.get_export(engine, "today").is_some()
            }
            _ => false,
        })
}
