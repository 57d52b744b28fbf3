//! A pass over a million assets that are all placed and unchanged: how long it takes, what memory it needs.
//!
//! The ledger is a real file with a placement for each asset; the source lists from arithmetic, so that
//! what is measured is listing, asking the ledger and deciding, not somebody's disk or network. Each size runs
//! in a process of its own, because peak memory never goes down.
//!
//! `cargo bench -p windlass-benches --bench noop [-- ASSETS]`

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use windlass_core::memory::MemoryEndpoint;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, Blake3, Capabilities, Change, ChangePage, CheckItem,
    ContentHash, Cursor, Digests, Endpoint, Error, Evidence, HeldBack, Kind, Ledger, NewStep,
    Outcome, Placed, Placement, Readable, Result, Revision, RunId, RunState, Scope, Source,
    StepReport, StepState, SystemClock, WorkerId,
};
use windlass_flow::{Ingest, IngestOptions, Selection, Silent};
use windlass_ledger::{LedgerOptions, SqlLedger};

/// Assets a page, as a service lists them.
const PAGE: u64 = 2_000;

/// Assets a folder.
const FOLDER: u64 = 500;

const FLOW: &str = "archive";

fn asset(index: u64) -> Asset {
    let folder = index / FOLDER;
    Asset {
        id: AssetId::new(format!("id:{index:022}")),
        path: AssetPath::new(&format!(
            "/Archive/client-{:03}/CMP-{folder:06}/shot-{index:08}.tif",
            folder % 250
        )),
        revision: Revision::new(format!("0165{index:020}")),
        size: 100_000 + index % 4_096,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Yes,
    }
}

/// Lists `assets` assets that exist only as numbers.
#[derive(Debug)]
struct Numbers {
    assets: u64,
    capabilities: Capabilities,
}

impl Numbers {
    fn new(assets: u64) -> Self {
        let memory = MemoryEndpoint::new("x");
        Numbers {
            assets,
            capabilities: Endpoint::capabilities(&memory).clone(),
        }
    }
}

#[async_trait]
impl Endpoint for Numbers {
    fn name(&self) -> &str {
        "numbers"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        Ok(Vec::new())
    }

    fn held_back(&self) -> Option<HeldBack> {
        None
    }
}

#[async_trait]
impl Source for Numbers {
    async fn changes(&self, _scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let from = cursor.map_or(Ok(0), |cursor| cursor.as_str().parse::<u64>());
        let from =
            from.map_err(|_| Error::new(Kind::CursorReset, "not a cursor of this listing"))?;
        let to = self.assets.min(from + PAGE);
        Ok(ChangePage {
            changes: (from..to)
                .map(|index| Change::Asset(asset(index)))
                .collect(),
            cursor: Cursor::new(to.to_string()),
            more: to < self.assets,
        })
    }

    async fn stat(&self, _asset: &AssetId) -> Result<Option<Asset>> {
        Ok(None)
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        Ok(vec![Vec::new(); assets.len()])
    }

    async fn read(&self, _asset: &Asset, _range: Range<u64>, _into: &mut Vec<u8>) -> Result<()> {
        Err(Error::new(Kind::Unexpected, "a no-op pass reads nothing"))
    }

    async fn open(&self, _asset: &Asset) -> Result<Box<dyn AssetStream>> {
        Err(Error::new(Kind::Unexpected, "a no-op pass reads nothing"))
    }
}

fn ingest(ledger: &Arc<SqlLedger>, assets: u64) -> Ingest {
    Ingest {
        options: IngestOptions {
            flow: FLOW.into(),
            root: AssetPath::new("/Archive"),
            selection: Selection::default(),
            collection: AssetPath::new("/Library"),
            keep_folders: true,
            asset_type: None,
            set: BTreeMap::new(),
            availability: None,
            retry_held: false,
        },
        source: Arc::new(Numbers::new(assets)),
        sink: Arc::new(MemoryEndpoint::new("dam")),
        hooks: None,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        observer: Arc::new(Silent),
        clock: Arc::new(SystemClock),
    }
}

/// Records a placement for every asset, as runs would have.
async fn fill(ledger: &SqlLedger, assets: u64) -> Result<()> {
    let run = RunId::fresh();
    let worker = WorkerId::fresh();
    ledger.begin_run(run, FLOW).await?;
    ledger.set_run_state(run, RunState::Running).await?;
    let mut from = 0;
    while from < assets {
        let to = assets.min(from + 5_000);
        let batch: Vec<Asset> = (from..to).map(asset).collect();
        let steps: Vec<NewStep> = batch.iter().map(new_step).collect();
        ledger.add_steps(run, &steps).await?;
        let leased = ledger
            .lease(run, &worker, 5_000, Duration::from_secs(600))
            .await?;
        let reports: Vec<StepReport> = leased
            .iter()
            .zip(&batch)
            .map(|(step, asset)| StepReport {
                id: step.id,
                attempt: step.attempt,
                took: Duration::ZERO,
                outcome: Outcome::Done {
                    placement: Some(Box::new(placement(asset))),
                    bytes_moved: asset.size,
                },
            })
            .collect();
        ledger.finish(&reports).await?;
        from = to;
    }
    ledger.set_run_state(run, RunState::Finished).await
}

fn new_step(asset: &Asset) -> NewStep {
    NewStep {
        action: windlass_core::Action::Create,
        reason: "approved, not placed before".into(),
        state: StepState::Open,
        endpoint: "numbers".into(),
        asset: asset.id.clone(),
        revision: asset.revision.clone(),
        path: asset.path.clone(),
        size: asset.size,
        payload: "{}".into(),
    }
}

fn placement(asset: &Asset) -> Placement {
    let bytes = asset.path.as_str().as_bytes();
    Placement {
        flow: FLOW.into(),
        source: "numbers".into(),
        source_asset: asset.id.clone(),
        source_revision: asset.revision.clone(),
        source_path: asset.path.clone(),
        sink: "dam".into(),
        placed: Placed {
            asset: AssetId::new(format!("sink-{}", asset.id)),
            revision: Revision::new("1"),
            size: asset.size,
            content_hash: None,
            evidence: Evidence::E2,
        },
        digests: Digests {
            size: asset.size,
            blake3: Blake3::of(bytes),
            content_hash: Some(ContentHash::of(bytes)),
        },
        draft_digest: Blake3::of(b"draft"),
    }
}

/// The highest resident memory of this process so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn pass(file: &std::path::Path, assets: u64) -> Result<()> {
    let ledger = SqlLedger::open(file, LedgerOptions::default()).await?;
    let ingest = ingest(&ledger, assets);
    let before = peak_kib();
    let began = Instant::now();
    let plan = ingest.plan().await?;
    let took = began.elapsed();
    assert_eq!(
        plan.summary.unchanged.assets, assets,
        "every asset is unchanged"
    );
    assert!(plan.steps.is_empty());
    println!(
        "{assets} {:.3} {:.1} {:.1}",
        took.as_secs_f64(),
        before as f64 / 1024.0,
        peak_kib() as f64 / 1024.0
    );
    ledger.close().await
}

async fn prepare(file: &std::path::Path, assets: u64) -> Result<()> {
    let ledger = SqlLedger::open(file, LedgerOptions::default()).await?;
    fill(&ledger, assets).await?;
    let ingest = ingest(&ledger, 0);
    let plan = ingest.plan().await?;
    ingest.settle(&plan.summary, None).await?;
    ledger.close().await
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let [mode, file, assets] = arguments.as_slice() {
        let assets = assets.parse().expect("a number");
        let file = std::path::Path::new(file);
        let outcome = match mode.as_str() {
            "prepare" => runtime.block_on(prepare(file, assets)),
            _ => runtime.block_on(pass(file, assets)),
        };
        return outcome.expect("the pass");
    }
    let most = arguments
        .first()
        .map_or(1_000_000, |text| text.parse().expect("a number"));
    println!("assets | seconds (median of 5) | µs an asset | peak MiB before | peak MiB after");
    for assets in [most / 10, most] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        let run = |mode: &str| {
            let output = Command::new(std::env::current_exe().expect("this program"))
                .args([mode.as_ref(), file.as_os_str(), assets.to_string().as_ref()])
                .output()
                .expect("a process");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        run("prepare");
        let mut passes: Vec<Vec<f64>> = (0..5)
            .map(|_| {
                run("pass")
                    .split_whitespace()
                    .map(|n| n.parse().expect("a number"))
                    .collect()
            })
            .collect();
        passes.sort_by(|a, b| a[1].total_cmp(&b[1]));
        let median = &passes[2];
        println!(
            "{assets} | {:.2} | {:.2} | {:.0} | {:.0}",
            median[1],
            median[1] * 1e6 / assets as f64,
            median[2],
            median[3]
        );
    }
}
