//! The host against guests: the shipped plugin, one that misbehaves on request, and files that are no
//! plugins at all. Guests are built by this crate's own build, once; later runs find them built.

mod artefacts;
mod bench;
mod cases;
mod failures;
mod files;
mod hooks;
mod limits;
mod shipped;
mod wit;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::civil::date;
use windlass_core::{AssetId, AssetPath, AssetView, Mapping, Revision, Verdict};

use crate::build::{BuildOptions, build_plugin};
use crate::{HostOptions, LoadOptions, Plugin, PluginHost};

/// The folder of a guest crate of this repository.
pub(crate) fn plugin_crate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../plugins")
        .join(name)
}

/// The built component of a guest crate.
fn component(name: &'static str) -> PathBuf {
    let built = build_plugin(&plugin_crate(name), &BuildOptions::default(), |_| {});
    built.unwrap_or_else(|error| panic!("{error:?}")).component
}

fn misbehaving() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| component("misbehaving"))
}

/// Compiled guests are kept between test runs, beside cargo's own artefacts.
fn cache_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-plugin-code")
}

/// Limits small enough that breaking one takes milliseconds.
fn small() -> HostOptions {
    HostOptions {
        memory_bytes: 8 << 20,
        fuel_to_start: 20_000_000,
        fuel_per_asset: 2_000_000,
        output_bytes: 256 << 10,
        instances: 2,
        cache_dir: Some(cache_dir()),
        ..HostOptions::default()
    }
}

fn load_options() -> LoadOptions {
    LoadOptions::new(date(2026, 3, 4))
}

fn load(path: &Path, config: serde_json::Value) -> windlass_core::Result<Plugin> {
    let host = PluginHost::new(small()).unwrap();
    host.load(
        path,
        LoadOptions {
            config,
            ..load_options()
        },
    )
}

fn asset(path: &str) -> AssetView {
    AssetView {
        id: AssetId::new(format!("id:{path}")),
        path: AssetPath::new(path),
        revision: Revision::new("1"),
        size: 1,
        modified: None,
        tags: Vec::new(),
        content_hash: None,
        asset_type: None,
        statements: Vec::new(),
    }
}

fn assets(paths: &[&str]) -> Vec<AssetView> {
    paths.iter().map(|path| asset(path)).collect()
}

fn held(verdict: &Verdict<Mapping>) -> (&str, &str) {
    match verdict {
        Verdict::Held { reason, rule } => (reason, rule),
        Verdict::Ready(mapping) => panic!("not held: {mapping:?}"),
    }
}

fn ready(verdict: &Verdict<Mapping>) -> &Mapping {
    match verdict {
        Verdict::Ready(mapping) => mapping,
        Verdict::Held { reason, rule } => panic!("held by {rule}: {reason}"),
    }
}
