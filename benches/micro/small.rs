//! What the engine costs a small file: the same files through the engine, and by the same calls to the same memory
//! endpoints without it. The difference is admission, buffer, order, watch and bookkeeping.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use windlass_core::memory::MemoryEndpoint;
use windlass_core::{
    Asset, AssetPath, Blake3, Chunk, ContentHash, Correlation, Destination, Digests, Draft, Sink,
    Source,
};
use windlass_transfer::{Engine, EngineOptions, TransferRequest};

/// Files a run.
const FILES: usize = 500;

/// Files under way at once, as many as a service lets travel together.
const AT_ONCE: usize = 250;

fn files(bytes: usize) -> (MemoryEndpoint, Vec<Asset>) {
    let source = MemoryEndpoint::new("source");
    let put = |number: usize| {
        let content: Vec<u8> = (0..bytes).map(|at| (at ^ number) as u8).collect();
        source
            .put(&format!("/in/{number}"), content)
            .expect("a new file")
    };
    let assets = (0..FILES).map(put).collect();
    (source, assets)
}

fn destination(asset: &Asset) -> Destination {
    Destination::New {
        draft: Draft {
            name: asset.path.name().to_owned(),
            file_name: asset.path.name().to_owned(),
            collection: AssetPath::new("/out"),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: std::collections::BTreeSet::new(),
        },
    }
}

fn mark(asset: &Asset) -> Correlation {
    Correlation::derive(
        "bench",
        "source",
        asset.id.as_str(),
        asset.revision.as_str(),
    )
}

/// Both digests, and the four calls that a file costs anyway.
async fn bare(source: &MemoryEndpoint, sink: &MemoryEndpoint, asset: &Asset) {
    let (to, mark) = (destination(asset), mark(asset));
    let mut bytes = Vec::with_capacity(asset.size as usize);
    source
        .read(asset, 0..asset.size, &mut bytes)
        .await
        .expect("its bytes");
    let digests = Digests {
        size: asset.size,
        blake3: Blake3::of(&bytes),
        content_hash: Some(ContentHash::of(&bytes)),
    };
    let session = sink.begin(&to, asset.size, &mark).await.expect("a session");
    let chunk = Chunk::new(0, bytes.into());
    session.append(chunk).await.expect("room");
    black_box(session.commit(&digests).await.expect("a commit"));
}

async fn through(engine: &Engine, source: &MemoryEndpoint, sink: &MemoryEndpoint, asset: &Asset) {
    let request = TransferRequest {
        asset: asset.clone(),
        destination: destination(asset),
        correlation: mark(asset),
        want_content_hash: true,
        progress: Arc::default(),
        journal: None,
        gate: None,
    };
    let never = CancellationToken::new();
    let moved = engine.transfer(source, sink, &request, &never).await;
    black_box(moved.expect("a transfer"));
}

fn small(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let engine = Engine::new(EngineOptions::default()).expect("an engine");
    let mut group = criterion.benchmark_group("small files");
    group.sample_size(10);
    group.throughput(Throughput::Elements(FILES as u64));
    for kib in [1, 16, 100] {
        let (source, assets) = files(kib << 10);
        group.bench_function(format!("bare, {kib} KiB"), |bench| {
            bench.iter(|| {
                let sink = MemoryEndpoint::new("sink");
                let moves = assets.iter().map(|asset| bare(&source, &sink, asset));
                let moves = futures_util::stream::iter(moves).buffer_unordered(AT_ONCE);
                runtime.block_on(moves.collect::<Vec<()>>());
            });
        });
        group.bench_function(format!("engine, {kib} KiB"), |bench| {
            bench.iter(|| {
                let sink = MemoryEndpoint::new("sink");
                let moves = assets
                    .iter()
                    .map(|asset| through(&engine, &source, &sink, asset));
                let moves = futures_util::stream::iter(moves).buffer_unordered(AT_ONCE);
                runtime.block_on(moves.collect::<Vec<()>>());
            });
        });
    }
    group.finish();
    assert!(engine.gauges().at_rest(), "{:?}", engine.gauges());
}

criterion_group!(benches, small);
criterion_main!(benches);
