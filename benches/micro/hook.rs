//! What does a hook call cost an asset, in batches of 1, 16 and 256, and what does loading cost?
//!
//! Runs the shipped `folder-metadata` through the host as flows do: a fresh instance a batch,
//! configuration included, and the same mapping as a native function beside it. The component is built on first use.

use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use folder_metadata::FolderMetadata;
use windlass_core::{AssetId, AssetPath, AssetView, Hooks, Revision, Verdict};
use windlass_plugin::build::{BuildOptions, build_plugin};
use windlass_plugin::{HostOptions, LoadOptions, PluginHost};
use windlass_sdk::{MetadataHook, Plugin, TestHost};

const CONFIG: &str = r#"{
  "templates": ["/Agencies/{agency}/{client}/{campaign:CMP-\\d{4}}-{title}/{year:\\d{4}}/**"],
  "collection": "/Brand Library/Campaigns/{client}/{campaign}",
  "capture": {"client": {"normalise": ["trim", "upper"], "table": "clients", "unknown": "hold"}},
  "table": {"clients": {"NORD": "Northern Outdoor", "HELV": "Alpine Dairy"}},
  "field": [
    {"field": "client", "value": ["{client}"], "type": "references"},
    {"field": "campaignId", "value": "{campaign}"},
    {"field": "campaignName", "value": "{title}", "type": "localized-text", "locale": "en"},
    {"field": "year", "value": "{year}", "type": "number"}
  ]
}"#;

/// Assets in folders of `per_folder` files each.
fn assets(count: usize, per_folder: usize) -> Vec<AssetView> {
    (0..count)
        .map(|index| AssetView {
            id: AssetId::new(format!("id:{index}")),
            path: AssetPath::new(&format!(
                "/Agencies/Studio North/NORD/CMP-{:04}-Spring Launch/2026/Approved/hero_{index}.tif",
                1000 + index / per_folder % 9000
            )),
            revision: Revision::new("1"),
            size: 1 << 20,
            modified: None,
            tags: vec!["approved".to_owned()],
            content_hash: None,
            asset_type: None,
            statements: Vec::new(),
        })
        .collect()
}

/// An asset in the words of the guest's own side.
fn native(asset: &AssetView) -> windlass_sdk::AssetView {
    windlass_sdk::AssetView {
        id: asset.id.as_str().to_owned(),
        path: asset.path.as_str().to_owned(),
        revision: asset.revision.as_str().to_owned(),
        size: asset.size,
        modified: None,
        tags: asset.tags.clone(),
        content_hash: None,
        asset_type: None,
        statements: Vec::new(),
    }
}

fn hook(criterion: &mut Criterion) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/folder-metadata");
    let built = build_plugin(&source, &BuildOptions::default(), |_| {}).expect("the plugin builds");
    let cache = tempfile::tempdir().expect("a folder for compiled code");
    let options = |cache_dir: Option<&Path>| HostOptions {
        cache_dir: cache_dir.map(Path::to_owned),
        // What is measured is the plugin, and not how fast an answer is found again.
        kept_bytes: 0,
        ..HostOptions::default()
    };
    let load = || {
        let mut load = LoadOptions::new(jiff::civil::date(2026, 3, 1));
        load.config = serde_json::from_str(CONFIG).expect("the configuration is JSON");
        load
    };
    let host = PluginHost::new(options(Some(cache.path()))).expect("a host");
    let plugin = host
        .load(&built.component, load())
        .expect("the plugin loads");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");

    let mut group = criterion.benchmark_group("hook");
    for (name, per_folder) in [("one folder", usize::MAX), ("8 files a folder", 8)] {
        for count in [1, 16, 256] {
            let batch = assets(count, per_folder);
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::new(name, count), &batch, |bencher, batch| {
                bencher.iter(|| {
                    let verdicts = runtime.block_on(plugin.describe(batch)).expect("verdicts");
                    assert!(
                        verdicts
                            .iter()
                            .all(|verdict| matches!(verdict, Verdict::Ready(_)))
                    );
                    verdicts
                });
            });
        }
    }
    group.finish();

    // The same mapping as a function of this program: what a customer's rules would cost without the host.
    let config = CONFIG;
    let native_host = TestHost::default();
    let mut group = criterion.benchmark_group("native");
    for (name, per_folder) in [("one folder", usize::MAX), ("8 files a folder", 8)] {
        for count in [1, 16, 256] {
            let batch: Vec<_> = assets(count, per_folder).iter().map(native).collect();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_with_input(BenchmarkId::new(name, count), &batch, |bencher, batch| {
                bencher.iter(|| {
                    // Configured for each batch, as a fresh instance is.
                    let plugin = FolderMetadata::configure(config, &[], &native_host);
                    let plugin = plugin.expect("the configuration is right");
                    let verdicts: Vec<_> = batch
                        .iter()
                        .map(|asset| plugin.describe(asset, &native_host))
                        .collect();
                    assert!(
                        verdicts
                            .iter()
                            .all(|v| matches!(v, windlass_sdk::Verdict::Ready(_)))
                    );
                    verdicts
                });
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("kept");
    let keeping = PluginHost::new(HostOptions {
        cache_dir: Some(cache.path().to_owned()),
        ..HostOptions::default()
    });
    let keeping = keeping.expect("a host").load(&built.component, load());
    let keeping = keeping.expect("the plugin loads");
    let batch = assets(256, 8);
    group.throughput(Throughput::Elements(256));
    group.bench_function("asked again", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(keeping.describe(&batch))
                .expect("verdicts")
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.bench_function("compiled before", |bencher| {
        bencher.iter(|| {
            host.load(&built.component, load())
                .expect("the plugin loads")
        });
    });
    let without = PluginHost::new(options(None)).expect("a host");
    group.bench_function("compiled now", |bencher| {
        bencher.iter(|| {
            without
                .load(&built.component, load())
                .expect("the plugin loads")
        });
    });
    group.finish();
}

criterion_group!(benches, hook);
criterion_main!(benches);
