//! How fast digests are: the lane that transfers use against the libraries by themselves.
//!
//! Everything runs over the same 128 MiB in memory, on as many threads as the machine has cores.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use windlass_core::digest::ContentHasher;
use windlass_core::{ContentHash, Digests};
use windlass_transfer::ChunkLayout;
use windlass_transfer::hash::{ContentDigester, Hashing, content_hash_bytes, digest_bytes};
use windlass_transfer::lane::{HashLane, HashPool};

const CONTENT_BYTES: usize = 128 << 20;
const CHUNK_BYTES: usize = 8 << 20;

/// Chunks in flight: the default window holds as many.
const IN_FLIGHT: u64 = 8;

fn content() -> Bytes {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(CONTENT_BYTES);
    while bytes.len() < CONTENT_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.into()
}

/// What a transfer does with its chunks, without reading or pushing them.
async fn through_lane(pool: &Arc<HashPool>, bytes: &Bytes, content_hash: bool) -> Digests {
    let layout = ChunkLayout::new(bytes.len() as u64, CHUNK_BYTES as u64).expect("a power of two");
    let hashing = Hashing::new(layout, content_hash);
    let mut lane = HashLane::new(Arc::clone(pool), hashing, IN_FLIGHT);
    let mut digester = ContentDigester::new(hashing);
    let mut next = 0;
    while digester.taken() < layout.count() {
        while next < layout.count() && lane.reaches(next) {
            let range = layout.range(next);
            let chunk = bytes.slice(range.start as usize..range.end as usize);
            lane.submit(next, chunk).expect("chunks come once");
            next += 1;
        }
        if let Some(finished) = lane.finished().await {
            finished.expect("hashing does not fail");
        }
        while let Some(digest) = lane.pop() {
            digester.take(digest);
        }
    }
    digester.finish().expect("every chunk was taken")
}

fn digests(criterion: &mut Criterion) {
    let bytes = content();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = HashPool::new(threads).expect("threads start");
    let runtime = Runtime::new().expect("a runtime starts");
    let mut group = criterion.benchmark_group("digest");
    group
        .throughput(Throughput::Bytes(CONTENT_BYTES as u64))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));

    group.bench_function("blake3, one thread", |bench| {
        bench.iter(|| blake3::hash(black_box(&bytes)));
    });
    group.bench_function("blake3, update_rayon", |bench| {
        bench.iter(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_rayon(black_box(&bytes));
            hasher.finalize()
        });
    });
    group.bench_function("blake3, lane", |bench| {
        bench.iter(|| runtime.block_on(through_lane(&pool, black_box(&bytes), false)));
    });
    group.bench_function("content hash, block by block", |bench| {
        bench.iter(|| {
            let mut hasher = ContentHasher::new();
            hasher.update(black_box(&bytes));
            hasher.finalize()
        });
    });
    group.bench_function("content hash, one thread", |bench| {
        bench.iter(|| ContentHash::of(black_box(&bytes)));
    });
    group.bench_function("content hash, blocks in a pool", |bench| {
        bench.iter(|| content_hash_bytes(black_box(&bytes)));
    });
    group.bench_function("both, lane", |bench| {
        bench.iter(|| runtime.block_on(through_lane(&pool, black_box(&bytes), true)));
    });
    group.bench_function("both, bytes that are all here", |bench| {
        bench.iter(|| digest_bytes(black_box(&bytes), true));
    });
    group.finish();
}

/// What decides up to which size a chunk is hashed where it is: both digests of a small chunk, and what
/// the trip to the pool and back adds. 65 KiB is the first size that takes it.
fn small_chunks(criterion: &mut Criterion) {
    let all = content();
    let pool = HashPool::new(1).expect("a thread starts");
    let runtime = Runtime::new().expect("a runtime starts");
    let mut group = criterion.benchmark_group("small chunk");
    for kib in [65usize, 128, 256] {
        let bytes = all.slice(..kib << 10);
        let layout = ChunkLayout::new(bytes.len() as u64, bytes.len() as u64).expect("one chunk");
        let hashing = Hashing::new(layout, true);
        group.bench_function(format!("{kib} KiB, where it is"), |bench| {
            bench.iter(|| hashing.chunk(0, black_box(&bytes)));
        });
        group.bench_function(format!("{kib} KiB, lane"), |bench| {
            bench.iter(|| {
                runtime.block_on(async {
                    let mut lane = HashLane::new(Arc::clone(&pool), hashing, 1);
                    lane.submit(0, bytes.clone()).expect("it comes once");
                    if let Some(finished) = lane.finished().await {
                        finished.expect("hashing does not fail");
                    }
                    lane.pop()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, digests, small_chunks);
criterion_main!(benches);
