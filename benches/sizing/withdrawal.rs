//! How long a file stays where people look after its right ended: from the moment at which an asset is switched off in CELUM
//! to the moment at which Dropbox does not have it there any more, while `sweep` runs back to back.
//!
//! Both services are emulated in this process, with the latency of each call that a network gives; the ledger is a real file.
//! Files are published once; then assets are switched off at random moments, which follow from a fixed seed, and a watcher
//! looks every few milliseconds at what is there.
//!
//! `cargo bench -p windlass-benches --bench withdrawal [-- FILES OFF LATENCY_MS]`

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod emulated;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;
use windlass_celum::CelumEndpoint;
use windlass_core::{
    AssetPath, Assigned, Availability, Blake3, Chunk, ContentHash, Correlation, Destination,
    Digests, Draft, Handing, Kind, LinkTerms, Query, Result, Sink, SystemClock, Value,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{
    Desk, PublishOptions, ReleaseFlow, ReleaseOptions, RightsGate, RightsOptions, RunOptions,
    Runner, Silent, TakingBack,
};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_sandbox::Sandbox;
use windlass_sandbox::celum::Availability as Switched;
use windlass_transfer::{Engine, EngineOptions};

use self::emulated::{account, kept_to, network, served, tenant};

const FLOW: &str = "press";

/// Over how long the switches are spread: some sweeps, so that they meet every moment of one.
const SPREAD: Duration = Duration::from_secs(20);

/// How often the watcher looks: what the figures are exact to.
const LOOK: Duration = Duration::from_millis(5);

/// How many assets are put at the same time.
const PUTS: usize = 8;

/// Both services and the flow between them.
struct Scene {
    sandbox: Sandbox,
    dam: Arc<CelumEndpoint>,
    flow: ReleaseFlow,
    runner: Runner,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(latency: u64) -> Result<Self> {
        let sandbox = served(latency, None).await;
        let dam = tenant(&sandbox, network()?).await?;
        let outlet = account(&sandbox, network()?).await?;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        let ledger = SqlLedger::open(&file, LedgerOptions::default()).await?;
        let options = options();
        let gate = Arc::new(RightsGate {
            library: Arc::<CelumEndpoint>::clone(&dam),
            hooks: None,
            query: Some(options.query.clone()),
            options: options.rights.clone(),
            clock: Arc::new(SystemClock),
        });
        let flow = ReleaseFlow {
            options,
            gate: Arc::clone(&gate),
            localization: None,
            outlet: Arc::<DropboxEndpoint>::clone(&outlet),
            reader: Arc::<DropboxEndpoint>::clone(&outlet),
            ledger,
            observer: Arc::new(Silent),
        };
        let desk = Desk {
            flow: FLOW.to_owned(),
            gate,
            outlet,
            observer: Arc::new(Silent),
        };
        let runner = Runner {
            flow: FLOW.to_owned(),
            source: flow.source(),
            sink: flow.sink(),
            sink_reader: None,
            ledger: Arc::clone(&flow.ledger),
            engine: Engine::new(EngineOptions::default())?,
            observer: Arc::new(Silent),
            options: RunOptions::default(),
            desk: Some(Arc::new(desk)),
            library: None,
        };
        Ok(Scene {
            sandbox,
            dam,
            flow,
            runner,
            _folder: folder,
        })
    }

    /// Puts assets that may leave into the tenant; their ids, by index.
    async fn fill(&self, files: usize) -> Result<Vec<u64>> {
        let puts = futures_util::stream::iter((0..files).map(|index| self.put(index)));
        let ids: Vec<Result<u64>> = puts.buffered(PUTS).collect().await;
        ids.into_iter().collect()
    }

    async fn put(&self, index: usize) -> Result<u64> {
        let bytes = Bytes::from(format!("the picture {index}"));
        let digests = Digests {
            size: bytes.len() as u64,
            blake3: Blake3::of(&bytes),
            content_hash: Some(ContentHash::of(&bytes)),
        };
        let draft = draft(&file_name(index));
        let mark = Correlation::derive("fill", "bench", &draft.file_name, "1");
        let destination = Destination::New { draft };
        let session = self.dam.begin(&destination, digests.size, &mark).await?;
        session.append(Chunk::new(0, bytes)).await?;
        let placed = session.commit(&digests).await?;
        let id = placed.asset.as_str().parse();
        Ok(id.expect("the tenant's ids are numbers"))
    }

    /// One whole pass; how long it took.
    async fn pass(&self) -> Result<Duration> {
        let began = Instant::now();
        let plan = self.flow.plan().await?;
        let run = self.runner.record(&plan).await?;
        self.runner.work(run, &CancellationToken::new()).await?;
        self.flow.close(&plan.summary, Some(run)).await?;
        self.flow.settle(&plan.summary, Some(run)).await?;
        Ok(began.elapsed())
    }

    /// Switches assets off at random moments of the spread; when each was, by file name.
    async fn switch_off(&self, chosen: &[(usize, u64)]) -> BTreeMap<String, Instant> {
        let mut random = StdRng::seed_from_u64(7);
        let mut moments: Vec<Duration> = chosen
            .iter()
            .map(|_| SPREAD.mul_f64(random.random_range(0.0..1.0)))
            .collect();
        moments.sort();
        let began = Instant::now();
        let mut switched = BTreeMap::new();
        for ((index, id), moment) in chosen.iter().zip(moments) {
            tokio::time::sleep(moment.saturating_sub(began.elapsed())).await;
            let off = Switched::Direct(false);
            let done = self.sandbox.celum().set_availability(*id, &off);
            done.expect("an asset of the tenant");
            switched.insert(file_name(*index), Instant::now());
        }
        switched
    }

    /// Notes when each of some files is not seen any more.
    async fn watch(&self, mut seen: Vec<String>) -> BTreeMap<String, Instant> {
        let mut gone = BTreeMap::new();
        while !seen.is_empty() {
            tokio::time::sleep(LOOK).await;
            let tree = self.sandbox.dropbox().tree();
            let there = tree.iter().filter_map(|entry| {
                let below = entry.path_display.strip_prefix("/Press/")?;
                Some(below.rsplit('/').next().unwrap_or_default())
            });
            let there: std::collections::BTreeSet<&str> = there.collect();
            let now = Instant::now();
            seen.retain(|name| {
                let is_there = there.contains(name.as_str());
                if !is_there {
                    gone.insert(name.clone(), now);
                }
                is_there
            });
        }
        gone
    }
}

fn file_name(index: usize) -> String {
    format!("picture-{index:05}.jpg")
}

fn assigned(field: &str, value: &str) -> Assigned {
    Assigned {
        field: field.to_owned(),
        value: Value::Text(value.to_owned()),
        rule: "bench".to_owned(),
    }
}

fn draft(file_name: &str) -> Draft {
    Draft {
        name: file_name.to_owned(),
        file_name: file_name.to_owned(),
        collection: AssetPath::new("/Brand Library/Campaigns/Spring"),
        asset_type: Some("campaignAsset".to_owned()),
        fields: vec![
            assigned("campaignId", "CMP-2041"),
            assigned("approval", "Approved"),
        ],
        availability: Some(Availability::Direct { available: true }),
        handing: None,
        yields: std::collections::BTreeSet::new(),
    }
}

fn options() -> ReleaseOptions {
    ReleaseOptions {
        flow: FLOW.to_owned(),
        query: Query {
            collection: AssetPath::new("/Brand Library"),
            asset_types: Vec::new(),
            fields: vec![("approval".to_owned(), Value::Text("Approved".to_owned()))],
        },
        root: AssetPath::new("/Press"),
        kind: Arc::new(PublishOptions {
            folder: "{field:campaignId}".parse().expect("a template"),
            name: "{file}".parse().expect("a template"),
            renditions: Vec::new(),
        }),
        rights: RightsOptions {
            audience: "press".to_owned(),
            market: None,
            channel: None,
            unstated_is_open: false,
            ignores_availability: false,
        },
        taking_back: TakingBack {
            quarantine: Some(AssetPath::new("/Quarantine")),
            ..TakingBack::default()
        },
        handing: Some(Handing {
            link: Some(LinkTerms::default()),
            receipt: true,
        }),
        shared: Vec::new(),
        cap: None,
        retry_held: false,
        sweep: false,
    }
}

/// Publishes, withdraws, and answers how long each file stayed, and how long each sweep took.
async fn measure(files: usize, off: usize, latency: u64) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut scene = Scene::new(latency).await?;
    let ids = scene.fill(files).await?;
    scene.pass().await?;
    let mut chosen: Vec<(usize, u64)> = ids.into_iter().enumerate().collect();
    chosen.shuffle(&mut StdRng::seed_from_u64(3));
    chosen.truncate(off);
    let names: Vec<String> = chosen.iter().map(|(index, _)| file_name(*index)).collect();
    scene.flow.options.sweep = true;
    let (switched, gone, sweeps) = {
        let watched = CancellationToken::new();
        let sweeps = async {
            let mut took = Vec::new();
            while !watched.is_cancelled() {
                took.push(scene.pass().await?);
            }
            Ok::<_, windlass_core::Error>(took)
        };
        let watch = async {
            let gone = scene.watch(names).await;
            watched.cancel();
            gone
        };
        tokio::join!(scene.switch_off(&chosen), watch, sweeps)
    };
    let sweeps = sweeps?;
    let stayed = switched.iter().map(|(name, at)| gone[name] - *at);
    let mut stayed: Vec<Duration> = stayed.collect();
    stayed.sort();
    if scene.sandbox.dropbox().links().len() != files - off {
        return Err(windlass_core::Error::new(
            Kind::Integrity,
            "links stand for files that were withdrawn",
        ));
    }
    scene.flow.ledger.close().await?;
    scene.sandbox.shutdown().await;
    Ok((stayed, sweeps))
}

fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(|argument| argument.parse().expect("a number"))
        .collect();
    let files = arguments.first().copied().unwrap_or(500);
    let off = arguments.get(1).copied().unwrap_or(files / 10);
    assert!((1..=files).contains(&off), "of {files} files, {off} go");
    let latencies = match arguments.get(2) {
        Some(latency) => vec![*latency as u64],
        None => vec![0, 80],
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "| {off} of {files} files | p50, ms | p99, ms | max, ms | a sweep (median), ms | sweeps |"
    );
    println!("|---|---|---|---|---|---|");
    for latency in latencies {
        let measured = runtime.block_on(measure(files, off, latency));
        let (stayed, mut sweeps) = measured.expect("a scene");
        sweeps.sort();
        println!(
            "| {latency} ms a call | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            kept_to(&stayed, 0.5),
            kept_to(&stayed, 0.99),
            kept_to(&stayed, 1.0),
            kept_to(&sweeps, 0.5),
            sweeps.len(),
        );
    }
}
