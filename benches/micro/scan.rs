//! What a local folder costs: hashing a tree, listing it, reading small files, placing small files.
//!
//! Each group has the plain way beside ours, over the same files in the same run. All files are in the page cache,
//! so what is compared is work, not somebody's disk; only placing waits for the disk, on both sides.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use windlass_core::{
    Asset, AssetPath, Blake3, Change, Chunk, Correlation, Destination, Digests, Draft, Scope, Sink,
    Source,
};
use windlass_local::{LocalEndpoint, LocalOptions, ScanOptions, Scanned};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const THREADS: usize = 2;

/// Transfers at once of small files, as the folder's capability sheet says.
const AT_ONCE: usize = 64;

struct Tree {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

/// `count` files of `bytes` each, 1,000 a folder, no two alike.
fn tree(count: usize, bytes: usize) -> Tree {
    // Beside the build, which is on a disk also where the system's own folder is in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
    let mut content = noise(bytes);
    let mut paths = Vec::with_capacity(count);
    for index in 0..count {
        let below = folder.path().join(format!("client/{:04}", index / 1_000));
        if index % 1_000 == 0 {
            fs::create_dir_all(&below).expect("a folder");
        }
        let stamp = (index as u64).to_le_bytes();
        content[..stamp.len()].copy_from_slice(&stamp);
        let path = below.join(format!("shot-{index:07}.tif"));
        fs::write(&path, &content).expect("a file");
        paths.push(path);
    }
    Tree { folder, paths }
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn endpoint(root: &Path, exclusive: bool) -> LocalEndpoint {
    let options = LocalOptions {
        name: "disk".into(),
        root: root.to_owned(),
        exclusive,
    };
    LocalEndpoint::open(options).expect("it is there")
}

fn everything() -> Scope {
    Scope {
        root: AssetPath::new(""),
    }
}

/// The floor: paths are known already, nobody looks whether a file changed, results are thrown away.
fn plain_loop(paths: &[PathBuf]) {
    std::thread::scope(|scope| {
        for part in paths.chunks(paths.len().div_ceil(THREADS)) {
            scope.spawn(move || {
                let mut buffer = vec![0; MIB];
                for path in part {
                    let mut file = File::open(path).expect("it is there");
                    let mut filled = 0;
                    loop {
                        match file.read(&mut buffer[filled..]).expect("it can be read") {
                            0 => break,
                            n => filled += n,
                        }
                    }
                    black_box(blake3::hash(&buffer[..filled]));
                }
            });
        }
    });
}

fn scan(endpoint: &LocalEndpoint, threads: usize, content_hash: bool) -> u64 {
    let options = ScanOptions {
        threads,
        content_hash,
    };
    let stop = AtomicBool::new(false);
    let mut each = |scanned| {
        match scanned {
            Scanned::Asset { digests, .. } => black_box(digests),
            Scanned::Failed { path, error } => panic!("{path}: {error}"),
        };
        ControlFlow::Continue(())
    };
    let totals = endpoint.digest_tree(&everything(), &options, &stop, &mut each);
    totals.expect("it can be listed").bytes
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    group
}

fn many_small_files(criterion: &mut Criterion) {
    const FILES: usize = 100_000;
    let tree = tree(FILES, 16 * KIB);
    let endpoint = endpoint(tree.folder.path(), false);
    side_by_side(&tree, &endpoint);
    let mut group = group(criterion, "100,000 x 16 KiB");
    group.throughput(Throughput::Elements(FILES as u64));
    group.bench_function("open, read, hash, 2 threads", |bench| {
        bench.iter(|| plain_loop(&tree.paths));
    });
    group.bench_function("scan and BLAKE3, 2 threads", |bench| {
        bench.iter(|| {
            assert_eq!(scan(&endpoint, THREADS, false), (FILES * 16 * KIB) as u64);
        });
    });
    // The same again in CPU time, which says how much work each is also where others use the machine.
    group.bench_function("open, read, hash, CPU time", |bench| {
        bench.iter_custom(|times| cpu_time(times, || plain_loop(&tree.paths)));
    });
    group.bench_function("scan and BLAKE3, CPU time", |bench| {
        bench.iter_custom(|times| cpu_time(times, || scan(&endpoint, THREADS, false)));
    });
    let runtime = Runtime::new().expect("a runtime starts");
    group.bench_function("listing in pages, CPU time", |bench| {
        bench.iter_custom(|times| cpu_time(times, || runtime.block_on(list(&endpoint))));
    });
    group.bench_function("listing in pages", |bench| {
        bench.iter(|| assert_eq!(runtime.block_on(list(&endpoint)).len(), FILES));
    });
    group.finish();
}

/// Scan and floor in turns, so that both see the same machine: the ratio that is to be at least 0.85, as the medians of
/// nine turns. CPU time says how much work each is also where others use the machine.
fn side_by_side(tree: &Tree, endpoint: &LocalEndpoint) {
    // `cargo test` only asks whether it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let mut turns: [Vec<f64>; 2] = Default::default();
    for turn in 0..if measured { 10 } else { 1 } {
        let timed = |work: &dyn Fn()| {
            let (wall, cpu) = (Instant::now(), cpu_used());
            work();
            (wall.elapsed(), cpu_used() - cpu)
        };
        let (floor, floor_cpu) = timed(&|| plain_loop(&tree.paths));
        let (ours, ours_cpu) = timed(&|| {
            scan(endpoint, THREADS, false);
        });
        // The first turn brings the files into the cache.
        if turn > 0 {
            turns[0].push(floor.as_secs_f64() / ours.as_secs_f64());
            turns[1].push(floor_cpu.as_secs_f64() / ours_cpu.as_secs_f64());
        }
    }
    for (name, ratios) in ["wall", "CPU"].into_iter().zip(&mut turns) {
        ratios.sort_by(f64::total_cmp);
        if let (Some(low), Some(high)) = (ratios.first(), ratios.last()) {
            let median = ratios[ratios.len() / 2];
            let line = format!("floor / scan, {name}: {median:.3} [{low:.3} - {high:.3}]");
            writeln!(std::io::stdout(), "{line}").expect("somebody reads this");
        }
    }
}

/// What all threads of this process used together while `work` ran `times` times.
fn cpu_time<T>(times: u64, work: impl Fn() -> T) -> Duration {
    let before = cpu_used();
    for _ in 0..times {
        black_box(work());
    }
    cpu_used() - before
}

/// User and system time of this process, to a hundredth of a second.
fn cpu_used() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which is in brackets: state is the 3rd field, the two times are the 14th and 15th.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

async fn list(endpoint: &LocalEndpoint) -> Vec<Asset> {
    let (scope, mut cursor, mut assets) = (everything(), None, Vec::new());
    loop {
        let page = endpoint.changes(&scope, cursor.as_ref()).await;
        let page = page.expect("it can be listed");
        assets.extend(page.changes.into_iter().filter_map(|change| match change {
            Change::Asset(asset) => Some(asset),
            _ => None,
        }));
        if !page.more {
            return assets;
        }
        cursor = Some(page.cursor);
    }
}

/// Where mapping begins to pay, and what the lane of large files gains.
fn mapped_or_read(criterion: &mut Criterion) {
    let mut group = group(criterion, "one file, one thread");
    for bytes in [16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB] {
        let tree = tree(1, bytes);
        let path = &tree.paths[0];
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut buffer = vec![0; MIB];
        group.bench_function(format!("{} KiB, read", bytes / KIB), |bench| {
            bench.iter(|| {
                let mut file = File::open(path).expect("it is there");
                let mut hasher = blake3::Hasher::new();
                loop {
                    match file.read(&mut buffer).expect("it can be read") {
                        0 => break hasher.finalize(),
                        n => hasher.update(&buffer[..n]),
                    };
                }
            });
        });
        group.bench_function(format!("{} KiB, mapped", bytes / KIB), |bench| {
            bench.iter(|| {
                let file = File::open(path).expect("it is there");
                // SAFETY: the file was made by this process, and nothing writes to it.
                let map = unsafe { memmap2::Mmap::map(&file) }.expect("it can be mapped");
                blake3::hash(&map)
            });
        });
    }
    group.finish();
}

fn large_file(criterion: &mut Criterion) {
    let tree = tree(1, 512 * MIB);
    let mut group = group(criterion, "512 MiB");
    group.throughput(Throughput::Bytes((512 * MIB) as u64));
    for (name, threads, exclusive, content_hash) in [
        ("1 thread", 1, false, false),
        ("2 threads, read", 2, false, false),
        ("2 threads, mapped", 2, true, false),
        ("both digests, 1 thread", 1, false, true),
        ("both digests, 2 threads, read", 2, false, true),
        ("both digests, 2 threads, mapped", 2, true, true),
    ] {
        let endpoint = endpoint(tree.folder.path(), exclusive);
        group.bench_function(name, |bench| {
            bench.iter(|| scan(&endpoint, threads, content_hash));
        });
    }
    group.finish();
}

/// What the trip to a blocking thread costs a small file.
fn small_reads(criterion: &mut Criterion) {
    const FILES: usize = 5_000;
    let tree = tree(FILES, 100 * KIB);
    let source = Arc::new(endpoint(tree.folder.path(), false));
    let runtime = Runtime::new().expect("a runtime starts");
    let assets = Arc::new(runtime.block_on(list(&source)));
    let mut group = group(criterion, "5,000 x 100 KiB, 64 at once");
    group.throughput(Throughput::Elements(FILES as u64));
    group.bench_function("read on blocking threads", |bench| {
        bench.iter(|| {
            let (source, assets) = (Arc::clone(&source), Arc::clone(&assets));
            runtime.block_on(at_once(FILES, move |index, mut buffer| {
                let (source, assets) = (Arc::clone(&source), Arc::clone(&assets));
                async move {
                    let asset = &assets[index];
                    let read = source.read(asset, 0..asset.size, &mut buffer).await;
                    read.expect("it is as it was");
                    buffer
                }
            }));
        });
    });
    let root = tree.folder.path().to_owned();
    group.bench_function("read where the task runs", |bench| {
        bench.iter(|| {
            let (root, assets) = (root.clone(), Arc::clone(&assets));
            runtime.block_on(at_once(FILES, move |index, mut buffer| {
                let path = root.join(assets[index].path.as_str().trim_start_matches('/'));
                let size = assets[index].size as usize;
                async move {
                    let file = File::open(path).expect("it is there");
                    black_box(file.metadata().expect("it is there"));
                    buffer.resize(size, 0);
                    file.read_exact_at(&mut buffer, 0).expect("it is as it was");
                    black_box(file.metadata().expect("it is there"));
                    buffer
                }
            }));
        });
    });
    group.finish();
}

/// Runs `work` for each index, [`AT_ONCE`] tasks at a time that each keep a buffer.
async fn at_once<F, W>(count: usize, work: W)
where
    W: Fn(usize, Vec<u8>) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<u8>> + Send,
{
    let (work, next) = (Arc::new(work), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (work, next) = (Arc::clone(&work), Arc::clone(&next));
        tasks.spawn(async move {
            let mut buffer = Vec::with_capacity(100 * KIB);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                if index >= count {
                    return;
                }
                buffer.clear();
                buffer = work(index, buffer).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics");
    }
}

/// What it costs to place a small file, durably, beside the same calls without any of our care.
fn small_files_placed(criterion: &mut Criterion) {
    const FILES: usize = 1_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room");
    let sink = Arc::new(endpoint(folder.path(), false));
    let content = Bytes::from(noise(16 * KIB));
    let digests = Digests {
        size: content.len() as u64,
        blake3: Blake3::of(&content),
        content_hash: None,
    };
    let runtime = Runtime::new().expect("a runtime starts");
    let mut group = group(criterion, "1,000 x 16 KiB placed, 64 at once");
    group.throughput(Throughput::Elements(FILES as u64));
    let mut round = 0;
    group.bench_function("through the sink", |bench| {
        bench.iter(|| {
            round += 1;
            let (sink, content) = (Arc::clone(&sink), content.clone());
            runtime.block_on(at_once(FILES, move |index, buffer| {
                let (sink, content) = (Arc::clone(&sink), content.clone());
                let destination = new(&format!("/ours/{round}"), index);
                async move {
                    let mark = Correlation::derive("bench", "", &index.to_string(), "");
                    let session = sink.begin(&destination, digests.size, &mark).await;
                    let session = session.expect("there is room");
                    let append = session.append(Chunk::new(0, content)).await;
                    append.expect("there is room");
                    session.commit(&digests).await.expect("the name is free");
                    buffer
                }
            }));
        });
    });
    let root = folder.path().to_owned();
    group.bench_function(
        "create, write, fsync, rename, fsync of the folder",
        |bench| {
            bench.iter(|| {
                round += 1;
                let below = root.join(format!("plain/{round}"));
                fs::create_dir_all(&below).expect("a folder");
                let content = content.clone();
                runtime.block_on(at_once(FILES, move |index, buffer| {
                    let (below, content) = (below.clone(), content.clone());
                    async move {
                        let placed = tokio::task::spawn_blocking(move || {
                            plain_place(&below, index, &content)
                        });
                        placed.await.expect("it does not panic");
                        buffer
                    }
                }));
            });
        },
    );
    group.finish();
}

fn new(collection: &str, index: usize) -> Destination {
    let name = format!("shot-{index:07}.tif");
    Destination::New {
        draft: Draft {
            name: name.clone(),
            file_name: name,
            collection: AssetPath::new(collection),
            asset_type: None,
            fields: Vec::new(),
            availability: None,
            handing: None,
            yields: std::collections::BTreeSet::new(),
        },
    }
}

fn plain_place(folder: &Path, index: usize, content: &[u8]) {
    let (hidden, place) = (
        folder.join(format!(".{index}")),
        folder.join(format!("{index}")),
    );
    let file = File::create(&hidden).expect("a file");
    file.write_all_at(content, 0).expect("there is room");
    file.sync_all().expect("the disk takes it");
    fs::rename(hidden, place).expect("the name is free");
    let folder = File::open(folder).expect("it is there");
    folder.sync_all().expect("the disk takes it");
}

criterion_group!(
    benches,
    many_small_files,
    mapped_or_read,
    large_file,
    small_reads,
    small_files_placed
);
criterion_main!(benches);
