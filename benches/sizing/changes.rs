//! How long it takes from a change in Dropbox to the decision of a two-way flow about it, and until the library has it.
//!
//! Both services are emulated in this process, with the latency of each call that a network gives; the ledger is a real file.
//! A listener waits at the flow's folder and rings, as the daemon's does, and a ring makes one pass of the way in: it
//! decides, and what it decided is worked off before the next pass. What changes meanwhile waits for that. People save
//! approved files at random moments, which follow from a fixed seed, every other one new and every other one a newer
//! version of a file that has its asset.
//!
//! `cargo bench -p windlass-benches --bench changes [-- PAIRS CHANGES LATENCY_MS]`

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod emulated;
mod two_way;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use windlass_celum::CelumEndpoint;
use windlass_core::{
    AssetPath, Endpoint, Error, Kind, Ledger, Result, Scope, Source, StepState, SystemClock,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::{Event, Observer, Plan, Remembered, RunOptions, Runner, Sync};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_sandbox::Sandbox;
use windlass_transfer::{Engine, EngineOptions};

use self::emulated::{account, kept_to, network, served, tenant};
use self::two_way::{
    COLLECTION, FOLDERS, Moments, ROOT, ServicesClock, below_root, file_name, median, options,
    took, way_in, way_out,
};

/// How much time is between two changes on average; it is from nothing to twice as much.
const GAP: Duration = Duration::from_secs(2);

/// How long one wait of the listener takes at most: the daemon's.
const LONGEST: Duration = Duration::from_secs(240);

/// How long after the last change everything must be there: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Sees when each file is in the library: proved, and noted in the ledger.
#[derive(Debug, Default)]
struct Watcher(Mutex<Moments>);

impl Watcher {
    fn seen(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn observe(&self, event: Event<'_>) {
        if let Event::StepEnded {
            path,
            state: StepState::Done,
            ..
        } = event
        {
            let name = path.name().to_owned();
            self.seen().entry(name).or_insert_with(Instant::now);
        }
    }
}

/// A listener of the daemon, with a client of its own.
struct Ear {
    source: Arc<DropboxEndpoint>,
    ledger: Arc<dyn Ledger>,
    scope: Scope,
    rings: mpsc::Sender<()>,
}

impl Ear {
    /// Takes note of where the listing stands, rings, and waits for what follows.
    async fn listen(self) -> Result<Infallible> {
        loop {
            let cursor = self.source.latest(&self.scope).await?;
            self.ledger.set_cursor("heard", Some(&cursor)).await?;
            let rung = self.rings.send(()).await;
            rung.map_err(|_| wrong("nobody hears of changes".to_owned()))?;
            let waiting = || self.source.wait(&self.scope, &cursor, LONGEST);
            while !waiting().await?.changed {}
        }
    }
}

/// What one pass asked of both services.
struct Pass {
    /// Calls until it had decided.
    to_decide: u64,
    /// All of its calls, where there was something to do.
    all: Option<u64>,
}

/// Both services and the flow between them: one value for all passes.
struct Scene {
    sandbox: Sandbox,
    time: Arc<ServicesClock>,
    account: Arc<DropboxEndpoint>,
    dam: Arc<CelumEndpoint>,
    sync: Sync,
    runner: Runner,
    watcher: Arc<Watcher>,
    ledger: Arc<SqlLedger>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(latency: u64) -> Result<Self> {
        let time = Arc::new(ServicesClock::default());
        let sandbox = served(latency, Some(Arc::<ServicesClock>::clone(&time))).await;
        sandbox.celum().ensure_collection(below_root(COLLECTION))?;
        let dam = tenant(&sandbox, network()?).await?;
        let account = account(&sandbox, network()?).await?;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        let ledger = SqlLedger::open(&file, LedgerOptions::default()).await?;
        let watcher = Arc::new(Watcher::default());
        let options = options();
        let sync = Sync {
            ingest: way_in(&options, &account, &dam, &ledger),
            release: way_out(&options, &account, &dam, &ledger),
            library: Arc::<CelumEndpoint>::clone(&dam),
            assets: Arc::<CelumEndpoint>::clone(&dam),
            clock: Arc::new(SystemClock),
            remembered: Remembered::default(),
            options,
        };
        let runner = Runner {
            flow: sync.options.way_in.clone(),
            source: Arc::<DropboxEndpoint>::clone(&account),
            sink: Arc::<CelumEndpoint>::clone(&dam),
            sink_reader: Some(Arc::<CelumEndpoint>::clone(&dam)),
            ledger: Arc::<SqlLedger>::clone(&ledger),
            engine: Engine::new(EngineOptions::default())?,
            observer: Arc::<Watcher>::clone(&watcher),
            options: RunOptions::default(),
            desk: None,
            library: None,
        };
        Ok(Scene {
            sandbox,
            time,
            account,
            dam,
            sync,
            runner,
            watcher,
            ledger,
            _folder: folder,
        })
    }

    /// Somebody saves an approved file.
    fn save(&self, index: usize, edition: u32) {
        let folder = index % FOLDERS;
        let path = format!("{ROOT}/job-{folder:02}/Final/{}", file_name(index));
        let bytes = Bytes::from(format!("the picture {index}, edition {edition}"));
        let saved = self.sandbox.dropbox().put_file(&path, bytes, None);
        saved.expect("a file");
    }

    /// Makes pairs of so many files and their assets, which are old then.
    async fn pair(&self, pairs: usize) -> Result<()> {
        (0..pairs).for_each(|index| self.save(index, 1));
        self.pass(&mut Moments::new()).await?;
        self.time.is_right.store(true, Ordering::Relaxed);
        let is_at_rest = self.pass(&mut Moments::new()).await?.all.is_none();
        let paired = std::mem::take(&mut *self.watcher.seen()).len();
        match is_at_rest && paired == pairs {
            true => Ok(()),
            false => Err(wrong(format!("{paired} of {pairs} files have an asset"))),
        }
    }

    /// One pass of the way in; notes when it had decided about which files.
    async fn pass(&self, decided: &mut Moments) -> Result<Pass> {
        let calls_before = self.calls();
        let mut steps = Vec::new();
        let summary = self.sync.decide_in(&mut steps).await?;
        let now = Instant::now();
        let to_decide = self.calls() - calls_before;
        for step in steps.iter().filter(|step| step.action.acts()) {
            let name = step.asset.path.name().to_owned();
            decided.entry(name).or_insert(now);
        }
        let plan = Plan { summary, steps };
        let run = match plan.is_empty() {
            true => None,
            false => Some(self.runner.record(&plan).await?),
        };
        if let Some(run) = run {
            self.runner.work(run, &CancellationToken::new()).await?;
        }
        self.sync.settle_in(&plan.summary, run).await?;
        Ok(Pass {
            to_decide,
            all: run.map(|_| self.calls() - calls_before),
        })
    }

    /// The calls of the flow's clients so far. Those of the listener are not among them.
    fn calls(&self) -> u64 {
        self.account.calls_made() + self.dam.calls_made()
    }

    /// Saves files at random moments; when each was.
    async fn save_all(&self, changes: &[(usize, u32)]) -> Moments {
        let mut random = StdRng::seed_from_u64(7);
        let mut saved = Moments::new();
        for (index, edition) in changes {
            tokio::time::sleep(GAP.mul_f64(random.random_range(0.0..2.0))).await;
            saved.insert(file_name(*index), Instant::now());
            self.save(*index, *edition);
        }
        saved
    }

    /// Makes a pass for each ring, and one for all that rang during a pass, until so many changes are in the library.
    async fn follow(
        &self,
        mut rings: mpsc::Receiver<()>,
        changes: usize,
    ) -> Result<(Moments, Vec<Pass>)> {
        let (mut decided, mut passes) = (Moments::new(), Vec::new());
        while self.watcher.seen().len() < changes && rings.recv().await.is_some() {
            while rings.try_recv().is_ok() {}
            passes.push(self.pass(&mut decided).await?);
        }
        Ok((decided, passes))
    }

    /// The listener, and where it rings.
    async fn ear(&self) -> Result<(Ear, mpsc::Receiver<()>)> {
        // As many as may ring during one pass; a ring that waits for room says the same as those before it.
        let (rings, heard) = mpsc::channel(64);
        let ear = Ear {
            source: account(&self.sandbox, network()?).await?,
            ledger: Arc::<SqlLedger>::clone(&self.ledger),
            scope: Scope {
                root: AssetPath::new(ROOT),
            },
            rings,
        };
        Ok((ear, heard))
    }

    /// Whether the library has all of it as it was saved last.
    fn check(&self, changes: &[(usize, u32)], pairs: usize) -> Result<()> {
        let collection = below_root(COLLECTION);
        let assets = self.sandbox.celum().assets().into_iter();
        let ours: BTreeMap<String, usize> = assets
            .filter(|asset| asset.parents.iter().any(|at| at.starts_with(collection)))
            .map(|asset| (asset.filename, asset.versions))
            .collect();
        let new = changes.iter().filter(|(index, _)| *index >= pairs);
        if ours.len() != pairs + new.count() {
            return Err(wrong(format!("there are {} assets", ours.len())));
        }
        let is_wrong = |(index, edition): &&(usize, u32)| {
            ours.get(&file_name(*index)) != Some(&(*edition as usize))
        };
        match changes.iter().find(is_wrong) {
            None => Ok(()),
            Some((index, _)) => Err(wrong(format!("{} is another", file_name(*index)))),
        }
    }
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Integrity, message)
}

/// Which files are saved, each with the number of its edition: every other one is new.
fn changes_to(pairs: usize, changes: usize) -> Vec<(usize, u32)> {
    let mut known: Vec<usize> = (0..pairs).collect();
    known.shuffle(&mut StdRng::seed_from_u64(3));
    let change = |number: usize| match number % 2 {
        0 => (pairs + number / 2, 1),
        _ => (known[number / 2], 2),
    };
    (0..changes).map(change).collect()
}

/// What was found.
struct Measured {
    /// How long each change took to its decision, sorted.
    decided: Vec<Duration>,
    /// How long each change took until the library had it, sorted.
    placed: Vec<Duration>,
    passes: Vec<Pass>,
}

async fn measure(pairs: usize, changes: usize, latency: u64) -> Result<Measured> {
    let scene = Scene::new(latency).await?;
    scene.pair(pairs).await?;
    let chosen = changes_to(pairs, changes);
    let (ear, rings) = scene.ear().await?;
    let listening = AbortOnDropHandle::new(tokio::spawn(ear.listen()));
    let following = async { tokio::join!(scene.save_all(&chosen), scene.follow(rings, changes)) };
    let longest = PATIENCE + GAP * 2 * changes as u32;
    let (saved, followed) = tokio::select! {
        followed = tokio::time::timeout(longest, following) => {
            followed.map_err(|_| wrong("not all changes came to the library".to_owned()))?
        }
        deaf = listening => match deaf {
            Ok(Err(error)) => return Err(error),
            _ => return Err(wrong("the listener broke".to_owned())),
        },
    };
    let (decided, passes) = followed?;
    scene.check(&chosen, pairs)?;
    let measured = Measured {
        decided: took(&saved, &decided),
        placed: took(&saved, &scene.watcher.seen()),
        passes,
    };
    scene.ledger.close().await?;
    scene.sandbox.shutdown().await;
    Ok(measured)
}

fn print(latency: u64, measured: &Measured) {
    let times = |sorted: &[Duration]| {
        let shares = [0.5, 0.95, 1.0].map(|share| format!("{:.0}", kept_to(sorted, share)));
        shares.join(" | ")
    };
    let passes = &measured.passes;
    println!(
        "| {latency} ms a call | {} | {} | {} | {} | {} |",
        times(&measured.decided),
        times(&measured.placed),
        median(passes.iter().map(|pass| pass.to_decide)),
        median(passes.iter().filter_map(|pass| pass.all)),
        passes.len(),
    );
}

fn main() {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(|argument| argument.parse().expect("a number"))
        .collect();
    let pairs = arguments.first().copied().unwrap_or(500);
    let changes = arguments.get(1).copied().unwrap_or(30);
    assert!(changes >= 1, "nothing changes");
    assert!(changes / 2 <= pairs, "of {pairs} files, {changes} change");
    let latencies = match arguments.get(2) {
        Some(latency) => vec![*latency as u64],
        None => vec![0, 80],
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "| {changes} changes to {pairs} pairs | decided p50, ms | p95, ms | max, ms | in CELUM p50, ms | p95, ms | max, ms \
         | calls to decide | calls of a pass with work | passes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for latency in latencies {
        let measured = runtime.block_on(measure(pairs, changes, latency));
        print(latency, &measured.expect("a scene"));
    }
}
