//! A million assets: how long planning, saving, comparing, recording, a pass in which nothing changed, an audit, a report and a
//! custody export take, and what memory they need.
//!
//! The ledger is a real file; both sides list from arithmetic, so that what is measured is listing, asking the ledger
//! and deciding, not somebody's disk or network. Each job runs in a process of its own, because peak memory never goes
//! down.
//!
//! `cargo bench -p windlass-benches --bench scale [-- ASSETS]`
//!
//! One job alone, with its ledger on a PostgreSQL server whose schemas `empty` and `full` are there: the program that cargo
//! built with `JOB FOLDER ASSETS URL`, `fill` first.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use windlass_core::memory::MemoryEndpoint;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, AssetStream, Blake3, Capabilities, Change, ChangePage,
    CheckItem, ContentHash, Cursor, Digests, Draft, Endpoint, Error, Evidence, HeldBack, Kind,
    Ledger, NewStep, Outcome, Placed, Placement, Readable, Result, Revision, RunId, RunState,
    Scope, Secret, Source, StepReport, StepState, WorkerId,
};
use windlass_flow::{
    AuditWriter, AuditedFile, Comparison, CustodyHeader, Forecast, Ingest, IngestOptions,
    PlanFileReader, PlanFileWriter, PlanHeader, PlanWriter, PlannedStep, Recorder, Report,
    Selection, Silent, Standing, Verify, export_custody, verify_custody,
};
use windlass_ledger::{LedgerOptions, Place, SqlLedger};

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
    name: &'static str,
    assets: u64,
    /// What each asset is here.
    as_shown: fn(u64) -> Asset,
    capabilities: Capabilities,
}

impl Numbers {
    fn new(name: &'static str, assets: u64, as_shown: fn(u64) -> Asset) -> Self {
        let memory = MemoryEndpoint::new("x");
        Numbers {
            name,
            assets,
            as_shown,
            capabilities: Endpoint::capabilities(&memory).clone(),
        }
    }
}

/// The asset as the sink has it once it is placed.
fn placed_asset(index: u64) -> Asset {
    let asset = asset(index);
    Asset {
        id: AssetId::new(format!("sink-{}", asset.id)),
        path: AssetPath::new(&format!("/Library{}", asset.path)),
        revision: Revision::new("1"),
        ..asset
    }
}

#[async_trait]
impl Endpoint for Numbers {
    fn name(&self) -> &str {
        self.name
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
                .map(|index| Change::Asset((self.as_shown)(index)))
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
        Err(Error::new(Kind::Unexpected, "nothing is read here"))
    }

    async fn open(&self, _asset: &Asset) -> Result<Box<dyn AssetStream>> {
        Err(Error::new(Kind::Unexpected, "nothing is read here"))
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
            choices: windlass_core::Choices::default(),
            ready: windlass_flow::Readiness::default(),
            duplicates: None,
            retry_held: false,
        },
        source: Arc::new(Numbers::new("numbers", assets, asset)),
        sink: Arc::new(MemoryEndpoint::new("dam")),
        hooks: None,
        informant: None,
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        arrivals: windlass_flow::Arrivals::default(),
        observer: Arc::new(Silent),
        partners: None,
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
        action: Action::Create,
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

/// What the flow makes of an asset.
fn draft(asset: &Asset) -> Draft {
    let folders = asset.path.parent();
    let below = folders.segments().skip(1);
    Draft {
        name: asset.path.name().to_owned(),
        file_name: asset.path.name().to_owned(),
        collection: below.fold(AssetPath::new("/Library"), |at, name| at.join(name)),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: std::collections::BTreeSet::new(),
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
        draft_digest: draft(asset).digest().expect("a digest"),
        collection: draft(asset).collection,
        linked: false,
    }
}

/// The highest resident memory of this process so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The jobs, in an order in which each finds what it needs. `fill` is not one of them: it makes the ledger in which everything
/// is placed.
const JOBS: &[(&str, &str)] = &[
    ("plan", "plan a first run, and save it to a file"),
    ("show", "read that file and prove it"),
    ("against", "plan again and compare with the file"),
    ("record", "plan it into the ledger"),
    ("pass", "a pass in which nothing changed"),
    ("verify", "verify both sides"),
    ("report", "report of a run"),
    ("custody", "export custody, chained and sealed"),
    ("check", "prove that export"),
];

/// Does one job on the ledgers and files of a folder, or on those of a server.
async fn work(job: &str, folder: &Path, assets: u64, server: Option<&str>) -> Result<()> {
    let (plan, export) = (folder.join("all.plan"), folder.join("all.custody"));
    let name = match job {
        "plan" | "show" | "against" | "record" => "empty",
        _ => "full",
    };
    let file = folder.join(format!("{name}.db"));
    let place = match server {
        None => Place::of_file(&file)?,
        Some(url) => {
            let url = format!("{url}?options[search_path]={name}");
            Place::of_server(&Secret::new(url), &file)?
        }
    };
    let ledger = SqlLedger::open_at(place, LedgerOptions::default()).await?;
    let ingest = ingest(&ledger, assets);
    match job {
        "fill" => {
            fill(&ledger, assets).await?;
            let nothing = self::ingest(&ledger, 0).plan().await?;
            ingest.settle(&nothing.summary, None).await?;
        }
        "plan" => {
            let header = PlanHeader {
                ledger: ledger.id().await?,
                flow: FLOW.into(),
                made: jiff::Timestamp::now(),
                origin: ingest.origin()?,
                endpoints: Blake3::of(b"numbers"),
                retry_held: false,
            };
            let mut writer = PlanFileWriter::begin(writer(&plan), &header)?;
            let summary = ingest.decide(&mut writer).await?;
            writer.end(&summary, &Forecast::default(), &[])?;
        }
        "show" => {
            let read = PlanFileReader::open(reader(&plan))?.finish()?;
            assert_eq!(read.summary.totals()[&Action::Create].0, assets);
        }
        "against" => {
            let mut agreed = Counted(0);
            let saved = PlanFileReader::open(reader(&plan))?;
            let mut comparison = Comparison::begin(saved, ledger.as_ref(), &mut agreed)?;
            ingest.decide(&mut comparison).await?;
            assert_eq!(comparison.finish().await?.0.count(), 0);
            assert_eq!(agreed.0, assets);
        }
        "record" => {
            let mut recorder = Recorder::begin(ledger.as_ref(), FLOW, "numbers").await?;
            ingest.decide(&mut recorder).await?;
            recorder.abandon().await?;
        }
        "pass" => {
            let plan = ingest.plan().await?;
            assert_eq!(plan.summary.unchanged.assets, assets, "all are unchanged");
            assert!(plan.steps.is_empty());
        }
        "verify" => {
            let mut named = Counted(0);
            let verify = Verify {
                ingest: &ingest,
                sink_reader: Arc::new(Numbers::new("dam", assets, placed_asset)),
                within: AssetPath::new("/Library"),
                deep: None,
                at_once: 8,
            };
            let audit = verify.run(&mut named).await?;
            assert_eq!(audit.standings[&Standing::Same].files, assets);
            assert_eq!((audit.unexplained, named.0), (0, assets));
        }
        "report" => {
            let report = Report::of(ledger.as_ref(), None, Some(FLOW)).await?;
            assert_eq!(report.total(StepState::Done).steps, assets);
        }
        "custody" => {
            let header = CustodyHeader {
                ledger: ledger.id().await?,
                made: jiff::Timestamp::now(),
                run: None,
                after: None,
            };
            let exported = export_custody(ledger.as_ref(), header, writer(&export), &[]).await?;
            assert_eq!(exported.1.sums.records, assets);
        }
        "check" => assert_eq!(verify_custody(reader(&export))?.sums.records, assets),
        other => panic!("there is no job {other:?}"),
    }
    ledger.close().await
}

/// Counts what it is given.
struct Counted(u64);

#[async_trait]
impl PlanWriter for Counted {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        self.0 += steps.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl AuditWriter for Counted {
    async fn files(&mut self, files: Vec<AuditedFile>) -> Result<()> {
        self.0 += files.len() as u64;
        Ok(())
    }
}

fn writer(file: &Path) -> BufWriter<File> {
    BufWriter::with_capacity(1 << 20, File::create(file).expect("a file"))
}

fn reader(file: &Path) -> BufReader<File> {
    BufReader::with_capacity(1 << 20, File::open(file).expect("a file"))
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if let [job, folder, assets, server @ ..] = arguments.as_slice() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let assets = assets.parse().expect("a number");
        let server = server.first().map(String::as_str);
        let began = Instant::now();
        let outcome = runtime.block_on(work(job, Path::new(folder), assets, server));
        outcome.expect("the job");
        let seconds = began.elapsed().as_secs_f64();
        return println!("{seconds:.3} {:.1}", peak_kib() as f64 / 1024.0);
    }
    let most = arguments
        .first()
        .map_or(1_000_000, |text| text.parse().expect("a number"));
    println!("| {most} assets | s (median of 3) | assets/s | peak MiB | peak MiB of a tenth |");
    println!("|---|---|---|---|---|");
    let folders = [most / 10, most].map(|assets| (assets, tempfile::tempdir().expect("a folder")));
    let run = |job: &str, (assets, folder): &(u64, tempfile::TempDir)| -> (f64, f64) {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args([
                job.as_ref(),
                folder.path().as_os_str(),
                assets.to_string().as_ref(),
            ])
            .output()
            .expect("a process");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{job}: {said}");
        let said = String::from_utf8_lossy(&output.stdout);
        let mut numbers = said
            .split_whitespace()
            .map(|n| n.parse().expect("a number"));
        let mut number = || numbers.next().expect("two numbers");
        (number(), number())
    };
    for folder in &folders {
        run("fill", folder);
    }
    for (job, what) in JOBS {
        let (_, tenth) = run(job, &folders[0]);
        let mut turns: Vec<(f64, f64)> = (0..3).map(|_| run(job, &folders[1])).collect();
        turns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, peak) = turns[1];
        println!(
            "| {what} | {seconds:.2} | {:.0} | {peak:.0} | {tenth:.0} |",
            most as f64 / seconds
        );
    }
}
