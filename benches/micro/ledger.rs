//! What the ledger costs beside the least that SQLite can do on the same file: look-ups of a pass over a million
//! placements, outcomes, notes alone and together, jots.
//!
//! Figures of one run are ratios: *ledger* against *bare*. The goal is 0.8 of its speed. Assets have names in no
//! order, as at services that give them at random; they are asked for in the order in which they were placed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Blake3, ContentHash, Digests, LeasedStep, Ledger, NewStep,
    Note, Noted, Outcome, Part, Readable, Revision, RunId, RunState, StepId, StepReport, StepState,
    WorkerId,
};
use windlass_ledger::bare::Bare;
use windlass_ledger::{LedgerOptions, SqlLedger};

const FLOW: &str = "archive";
const SOURCE: &str = "agency";

/// As many as the goal for a pass that finds nothing to do.
const PLACEMENTS: u32 = 1_000_000;

/// As many contents as the dedup index is measured with.
const CONTENTS: u32 = 10_000_000;

/// Keys a look-up: what a plan asks at once.
const KEYS: u32 = 1_000;

/// Tasks that each write a note and wait for it.
const PRODUCERS: usize = 64;

/// Jots between two times at which they are folded, which is not measured: a second's worth of a fast upload.
const JOTS: u64 = 1_000;

async fn open(file: &Path) -> Arc<SqlLedger> {
    SqlLedger::open(file, LedgerOptions::default())
        .await
        .expect("a ledger")
}

/// A new ledger, and the same file without it.
async fn both(file: &Path) -> (Arc<SqlLedger>, Bare) {
    let ledger = open(file).await;
    let bare = Bare::open(file).await.expect("the file");
    (ledger, bare)
}

fn step(index: u64) -> NewStep {
    NewStep {
        action: Action::Create,
        reason: "approved, not placed before".into(),
        state: StepState::Open,
        endpoint: SOURCE.into(),
        asset: AssetId::new(Bare::asset(index as u32)),
        revision: Revision::new("1"),
        path: AssetPath::new(&format!("/Archive/{index}.tif")),
        size: 100_000,
        payload: "{}".into(),
    }
}

/// The asset that was placed as number `index`, as its source lists it.
fn placed_asset(index: u32) -> Asset {
    let (revision, path) = Bare::placed_from(index);
    Asset {
        id: AssetId::new(Bare::asset(index)),
        path: AssetPath::new(&path),
        revision: Revision::new(revision),
        size: 100_000,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

/// A run with `count` open steps.
async fn run_of(ledger: &SqlLedger, count: u64) -> RunId {
    let run = RunId::fresh();
    ledger.begin_run(run, FLOW).await.expect("a run");
    ledger
        .set_run_state(run, RunState::Running)
        .await
        .expect("it runs");
    let steps: Vec<NewStep> = (0..count).map(step).collect();
    ledger.add_steps(run, &steps).await.expect("steps");
    run
}

async fn take(ledger: &SqlLedger, run: RunId, count: u64) -> Vec<LeasedStep> {
    let ttl = Duration::from_secs(3_600);
    let worker = WorkerId::fresh();
    let taken = ledger
        .lease(run, &worker, count as u32, ttl)
        .await
        .expect("leases");
    assert_eq!(taken.len() as u64, count);
    taken
}

fn look_ups(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let (ledger, mut bare) = runtime.block_on(both(&file));
    runtime
        .block_on(bare.fill(FLOW, SOURCE, PLACEMENTS))
        .expect("placements");
    // Both walk through all of them again and again, as passes do.
    let next = AtomicU32::new(0);
    let names = || -> Vec<String> {
        let from = next.fetch_add(KEYS, Ordering::Relaxed) % PLACEMENTS;
        (from..from + KEYS).map(Bare::asset).collect()
    };
    let ids = || -> Vec<AssetId> { names().into_iter().map(AssetId::new).collect() };
    let mut group = criterion.benchmark_group("look-ups among 1,000,000");
    group.throughput(Throughput::Elements(u64::from(KEYS)));
    group.bench_function("placements, ledger", |bench| {
        bench.iter(|| {
            let found = runtime
                .block_on(ledger.placements(FLOW, SOURCE, &ids()))
                .expect("rows");
            assert!(found.iter().all(Option::is_some));
        });
    });
    group.bench_function("placements, bare", |bench| {
        bench.iter(|| {
            let names = names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let bytes = runtime
                .block_on(bare.placements(FLOW, SOURCE, &names))
                .expect("rows");
            assert!(bytes > KEYS as usize * 100);
        });
    });
    let unchanged = || -> Vec<Asset> {
        let from = next.fetch_add(KEYS, Ordering::Relaxed) % PLACEMENTS;
        (from..from + KEYS).map(placed_asset).collect()
    };
    group.bench_function("unchanged, ledger", |bench| {
        bench.iter(|| {
            let found = runtime
                .block_on(ledger.unchanged(FLOW, SOURCE, &unchanged()))
                .expect("rows");
            assert!(found.iter().all(|unchanged| *unchanged));
        });
    });
    group.bench_function("unchanged, bare", |bench| {
        bench.iter(|| {
            let assets = unchanged();
            let wanted: Vec<_> = assets
                .iter()
                .map(|asset| {
                    (
                        asset.id.as_str(),
                        asset.revision.as_str(),
                        asset.path.as_str(),
                    )
                })
                .collect();
            let changed = runtime
                .block_on(bare.changed(FLOW, SOURCE, &wanted))
                .expect("rows");
            assert_eq!(changed, 0);
        });
    });
    let held = || -> Vec<(u64, ContentHash)> {
        let from = next.fetch_add(KEYS, Ordering::Relaxed) % PLACEMENTS;
        (from..from + KEYS)
            .map(|index| (100_000, hash(index)))
            .collect()
    };
    group.bench_function("what the sink holds of contents, ledger", |bench| {
        bench.iter(|| {
            let found = runtime
                .block_on(ledger.holding("dam", &held()))
                .expect("rows");
            assert!(found.iter().all(Option::is_some));
        });
    });
    group.bench_function("holds, none there, ledger", |bench| {
        bench.iter(|| {
            let found = runtime
                .block_on(ledger.holds(FLOW, SOURCE, &ids()))
                .expect("rows");
            assert!(found.iter().all(Option::is_none));
        });
    });
    group.finish();
    runtime.block_on(ledger.close()).expect("an orderly end");
}

/// The hash of content number `index`.
fn hash(index: u32) -> ContentHash {
    Bare::content(index).parse().expect("hexadecimal digits")
}

/// Among as many contents as an archive of some hundred TB has; each set of keys is spread over all of them.
fn contents(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let (ledger, mut bare) = runtime.block_on(both(&file));
    runtime
        .block_on(bare.fill_contents(CONTENTS))
        .expect("contents");
    let next = AtomicU32::new(0);
    let wanted = || -> Vec<u32> {
        let from = next.fetch_add(KEYS, Ordering::Relaxed) % CONTENTS;
        (from..from + KEYS).collect()
    };
    let mut group = criterion.benchmark_group("look-ups among 10,000,000 contents");
    group.throughput(Throughput::Elements(u64::from(KEYS)));
    group.bench_function("there, ledger", |bench| {
        bench.iter(|| {
            let hashes: Vec<ContentHash> = wanted().into_iter().map(hash).collect();
            let found = runtime.block_on(ledger.contents(&hashes)).expect("rows");
            assert!(found.iter().all(Option::is_some));
        });
    });
    group.bench_function("there, bare", |bench| {
        bench.iter(|| {
            let hashes: Vec<String> = wanted().into_iter().map(Bare::content).collect();
            let bytes = runtime.block_on(bare.contents(&hashes)).expect("rows");
            assert!(bytes >= KEYS as usize * 64);
        });
    });
    group.bench_function("not there, ledger", |bench| {
        bench.iter(|| {
            let hashes: Vec<ContentHash> = wanted()
                .into_iter()
                .map(|index| hash(index + CONTENTS))
                .collect();
            let found = runtime.block_on(ledger.contents(&hashes)).expect("rows");
            assert!(found.iter().all(Option::is_none));
        });
    });
    group.finish();
    runtime.block_on(ledger.close()).expect("an orderly end");
}

fn outcomes(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("outcomes a commit");
    for count in [1, 100, 1_000] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        let (ledger, mut bare, run) = runtime.block_on(async {
            let ledger = open(&file).await;
            let run = run_of(&ledger, count).await;
            let bare = Bare::open(&file).await.expect("the file");
            (ledger, bare, run)
        });
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("ledger", count), |bench| {
            bench.iter_custom(|rounds| runtime.block_on(settle(&ledger, run, count, rounds)));
        });
        group.bench_function(BenchmarkId::new("bare", count), |bench| {
            bench.iter_custom(|rounds| {
                runtime.block_on(settle_bare(&ledger, &mut bare, run, count, rounds))
            });
        });
        runtime.block_on(ledger.close()).expect("an orderly end");
    }
    group.finish();
}

/// Measures the outcomes only; taking the steps again is not part of it.
async fn settle(ledger: &SqlLedger, run: RunId, count: u64, rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let taken = take(ledger, run, count).await;
        let reports: Vec<StepReport> = taken.iter().map(retry).collect();
        let began = Instant::now();
        let accepted = ledger.finish(&reports).await.expect("outcomes");
        took += began.elapsed();
        assert!(accepted.into_iter().all(|accepted| accepted));
    }
    took
}

async fn settle_bare(
    ledger: &SqlLedger,
    bare: &mut Bare,
    run: RunId,
    count: u64,
    rounds: u64,
) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let taken = take(ledger, run, count).await;
        let ended: Vec<(StepId, u32, &str)> = taken
            .iter()
            .map(|step| (step.id, step.attempt, "again"))
            .collect();
        let began = Instant::now();
        bare.settle(&ended).await.expect("outcomes");
        took += began.elapsed();
    }
    took
}

fn retry(step: &LeasedStep) -> StepReport {
    StepReport {
        id: step.id,
        attempt: step.attempt,
        took: Duration::ZERO,
        outcome: Outcome::Retry {
            after: Duration::ZERO,
            message: "again".into(),
        },
    }
}

fn digests(round: u64) -> Digests {
    let bytes = round.to_le_bytes();
    Digests {
        size: round,
        blake3: Blake3::of(&bytes),
        content_hash: Some(ContentHash::of(&bytes)),
    }
}

fn intent(step: &LeasedStep, round: u64) -> Note {
    Note {
        step: step.id,
        attempt: step.attempt,
        what: Noted::Intent(digests(round)),
    }
}

fn notes(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let most = 1_000;
    let (ledger, mut bare, taken) = runtime.block_on(async {
        let ledger = open(&file).await;
        let run = run_of(&ledger, most).await;
        let taken = take(&ledger, run, most).await;
        let bare = Bare::open(&file).await.expect("the file");
        (ledger, bare, taken)
    });
    let mut group = criterion.benchmark_group("intents");
    group.throughput(Throughput::Elements(PRODUCERS as u64));
    group.bench_function("64 producers, one each, ledger", |bench| {
        bench.iter_custom(|rounds| runtime.block_on(produce(&ledger, &taken, rounds)));
    });
    for count in [1, PRODUCERS, 1_000] {
        let some = &taken[..count];
        let intents: Vec<(StepId, Digests)> =
            some.iter().map(|step| (step.id, digests(1))).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("one call, ledger", count), |bench| {
            let notes: Vec<Note> = some.iter().map(|step| intent(step, 1)).collect();
            bench.iter(|| {
                let accepted = runtime.block_on(ledger.note(&notes)).expect("notes");
                assert!(accepted.into_iter().all(|accepted| accepted));
            });
        });
        group.bench_function(BenchmarkId::new("one commit, bare", count), |bench| {
            bench.iter(|| runtime.block_on(bare.intend(&intents)).expect("notes"));
        });
    }
    group.finish();
    runtime.block_on(ledger.close()).expect("an orderly end");
}

/// Every producer writes one note and waits for it, `rounds` times; the time for all of them.
async fn produce(ledger: &Arc<SqlLedger>, taken: &[LeasedStep], rounds: u64) -> Duration {
    let began = Instant::now();
    let mut producers = tokio::task::JoinSet::new();
    for step in &taken[..PRODUCERS] {
        let (ledger, step) = (Arc::clone(ledger), step.clone());
        producers.spawn(async move {
            for round in 0..rounds {
                let accepted = ledger.note(&[intent(&step, round)]).await.expect("a note");
                assert_eq!(accepted, [true]);
            }
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended.expect("a producer");
    }
    began.elapsed()
}

fn jots(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.db");
    let (ledger, step) = runtime.block_on(async {
        let ledger = open(&file).await;
        let run = run_of(&ledger, 1).await;
        let step = take(&ledger, run, 1).await.remove(0);
        (ledger, step)
    });
    // A part of 4 MiB: one digest of each kind.
    let part = |index: u64| Note {
        step: step.id,
        attempt: step.attempt,
        what: Noted::Part(Part {
            offset: index << 22,
            length: 4 << 20,
            digest: vec![index as u8; 64].into(),
        }),
    };
    let mut group = criterion.benchmark_group("jots");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one part", |bench| {
        bench.iter_custom(|rounds| {
            let mut took = Duration::ZERO;
            for from in (0..rounds).step_by(JOTS as usize) {
                let parts: Vec<Note> = (from..rounds.min(from + JOTS)).map(part).collect();
                let began = Instant::now();
                for part in &parts {
                    ledger.jot(part).expect("a jot");
                }
                took += began.elapsed();
                let restart = Note {
                    what: Noted::Restart,
                    ..part(0)
                };
                // Folds, and forgets, so that the table does not grow.
                runtime.block_on(ledger.note(&[restart])).expect("a note");
            }
            took
        });
    });
    group.finish();
    runtime.block_on(ledger.close()).expect("an orderly end");
}

criterion_group!(benches, look_ups, contents, outcomes, notes, jots);
criterion_main!(benches);
