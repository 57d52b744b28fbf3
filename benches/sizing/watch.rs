//! How long it takes from a change on either side of a two-way flow to the decision about it, and until the other side has
//! it, with everything that a daemon does: both ways, its scheduler, and a listener at either side.
//!
//! Both services are emulated in this process; each call of the flow's clients takes the latency that a network gives, once
//! the pairs are made. The two ways are flows of their own with clients and memory of their own, as `windlass watch` wires
//! them, by the rules that it has where a configuration says nothing. People change files and assets at random moments,
//! which follow from a fixed seed: every other change is one of a file, half of these are new, all others are newer versions.
//! The first pass of each way is a look at everything, which is told apart; people begin once both are over or, with
//! `during`, as soon as they began. The pairs are an hour old, or, with `new`, were made a moment ago. With `film` somebody
//! saves a film first that takes longer than all changes, at a mebibyte per second and part.
//!
//! `cargo bench -p windlass-benches --bench watch [-- PAIRS CHANGES LATENCY_MS [new] [during] [film]]`

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod emulated;
mod two_way;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use windlass_celum::CelumEndpoint;
use windlass_core::{
    AssetId, AssetPath, Endpoint, Error, Kind, Ledger, Library, Query, Result, Revision, Scope,
    Source, StepState, SystemClock,
};
use windlass_dropbox::DropboxEndpoint;
use windlass_flow::daemon::{
    FlowRules, Order, Pass, PassEnded, PassOutcome, Priority, Scheduler, Windows,
};
use windlass_flow::{
    Admission, Bell, Beside, Desk, Event, Flow, Observer, Plan, PlannedStep, Remembered,
    RunOptions, Runner, Silent, Since, Sync, SyncHalf, Way,
};
use windlass_http::{Request, Response, SendError, Transport};
use windlass_ledger::{LedgerOptions, SqlLedger};
use windlass_sandbox::Sandbox;
use windlass_transfer::{Engine, EngineOptions};

use self::emulated::{account, kept_to, network, served, tenant};
use self::two_way::{
    COLLECTION, FOLDERS, Moments, ROOT, ServicesClock, below_root, file_name, median, options,
    took, way_in, way_out,
};

/// The number of a file that is saved once all others are old.
const LAST: usize = 9_999_999;

/// How much time is between two changes on average; it is from nothing to twice as much.
const GAP: Duration = Duration::from_secs(2);

/// How long one wait of the folder's listener takes at most, how often the library is looked at, and after how long
/// everything is looked at: the daemon's.
const LONGEST: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_secs(15);
const SWEEP: Duration = Duration::from_secs(15 * 60);

/// How large the film is, and how fast a body moves that is part of it, in bytes per second. What is not larger than
/// [`PICTURE_MAX`] is no part of it.
const FILM: usize = 96 << 20;
const FILM_RATE: f64 = (1 << 20) as f64;
const PICTURE_MAX: u64 = 64 << 10;

/// How long after the last change everything must be there: far more than it takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// The network with a latency that can be changed, in milliseconds a call.
#[derive(Clone, Debug)]
struct Slow {
    network: Arc<dyn Transport>,
    latency_ms: Arc<AtomicU64>,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, request: Request) -> Result<Response, SendError> {
        let latency = self.latency_ms.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let length = request.body.length();
        if length > PICTURE_MAX {
            tokio::time::sleep(Duration::from_secs_f64(length as f64 / FILM_RATE)).await;
        }
        self.network.send(request).await
    }
}

/// Sees when each file or asset is where it is to be: proved, and noted in the ledger.
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

/// What one look cost, until its pass had decided.
#[derive(Clone, Copy, Debug)]
struct Look {
    took: Duration,
    calls: u64,
}

/// One way with what runs it.
struct Half {
    flow: Flow,
    runner: Runner,
    account: Arc<DropboxEndpoint>,
    dam: Arc<CelumEndpoint>,
    watcher: Arc<Watcher>,
    bell: Bell,
    decided: Mutex<Moments>,
    looks: Mutex<Vec<Look>>,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half").finish_non_exhaustive()
    }
}

/// Takes everything that is found beside a run, and note of when.
#[async_trait]
impl Admission for Half {
    async fn admits(&self, steps: &[PlannedStep]) -> Result<bool> {
        self.note(steps);
        Ok(true)
    }
}

impl Half {
    fn calls(&self) -> u64 {
        self.account.calls_made() + self.dam.calls_made()
    }

    /// One pass, as the daemon makes it.
    async fn pass(&self, planned: CancellationToken) -> Result<()> {
        let (began, calls_before) = (Instant::now(), self.calls());
        let mut steps = Vec::new();
        let summary = self.flow.decide(&mut steps).await?;
        locked(&self.looks).push(Look {
            took: began.elapsed(),
            calls: self.calls() - calls_before,
        });
        self.note(&steps);
        let plan = Plan { summary, steps };
        let mut run = None;
        if !plan.is_empty() {
            let recorded = self.runner.record(&plan).await?;
            planned.cancel();
            let beside = Beside {
                flow: &self.flow,
                bell: &self.bell,
                admission: self,
            };
            self.runner
                .work_and_look(recorded, &CancellationToken::new(), &beside)
                .await?;
            run = Some(recorded);
        }
        self.flow.settle(&plan.summary, run).await?;
        self.flow.close(&plan.summary, run).await?;
        Ok(())
    }

    /// What was decided just now.
    fn note(&self, steps: &[PlannedStep]) {
        let now = Instant::now();
        for step in steps.iter().filter(|step| step.action.acts()) {
            let name = step.asset.path.name().to_owned();
            locked(&self.decided).entry(name).or_insert(now);
        }
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name_of(way: Way) -> String {
    let options = options();
    match way {
        Way::In => options.way_in,
        Way::Out => options.way_out,
    }
}

/// Both services, the ledger, and what was measured.
struct World {
    sandbox: Sandbox,
    time: Arc<ServicesClock>,
    network: Slow,
    ledger: Arc<SqlLedger>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Result<Self> {
        let time = Arc::new(ServicesClock::default());
        let sandbox = served(0, Some(Arc::<ServicesClock>::clone(&time))).await;
        sandbox.celum().ensure_collection(below_root(COLLECTION))?;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        Ok(World {
            sandbox,
            time,
            network: Slow {
                network: network()?,
                latency_ms: Arc::default(),
            },
            ledger: SqlLedger::open(&file, LedgerOptions::default()).await?,
            _folder: folder,
        })
    }

    fn network(&self) -> Arc<dyn Transport> {
        Arc::new(self.network.clone())
    }

    /// One way as a start wires it.
    async fn half(&self, way: Way) -> Result<Arc<Half>> {
        let account = account(&self.sandbox, self.network()).await?;
        let dam = tenant(&self.sandbox, self.network()).await?;
        let options = options();
        let sync = Arc::new(Sync {
            ingest: way_in(&options, &account, &dam, &self.ledger),
            release: way_out(&options, &account, &dam, &self.ledger),
            library: Arc::<CelumEndpoint>::clone(&dam),
            assets: Arc::<CelumEndpoint>::clone(&dam),
            clock: Arc::new(SystemClock),
            remembered: Remembered::default(),
            options,
        });
        let watcher = Arc::new(Watcher::default());
        let desk = (way == Way::Out).then(|| {
            Arc::new(Desk {
                flow: name_of(way),
                gate: Arc::clone(&sync.release.gate),
                outlet: Arc::clone(&sync.release.outlet),
                observer: Arc::new(Silent),
            })
        });
        let flow = Flow::Sync(Box::new(SyncHalf { sync, way }));
        let runner = Runner {
            flow: name_of(way),
            source: flow.source(),
            sink: flow.sink(),
            sink_reader: (way == Way::In)
                .then(|| Arc::<CelumEndpoint>::clone(&dam) as Arc<dyn Source>),
            ledger: Arc::<SqlLedger>::clone(&self.ledger),
            engine: Engine::new(EngineOptions::default())?,
            observer: Arc::<Watcher>::clone(&watcher),
            options: RunOptions::default(),
            desk,
            library: Some(Arc::<CelumEndpoint>::clone(&dam)),
        };
        Ok(Arc::new(Half {
            flow,
            runner,
            account,
            dam,
            watcher,
            bell: Bell::default(),
            decided: Mutex::default(),
            looks: Mutex::default(),
        }))
    }

    /// Somebody saves an approved file.
    fn save(&self, index: usize, edition: u32) {
        let folder = index % FOLDERS;
        let path = format!("{ROOT}/job-{folder:02}/Final/{}", file_name(index));
        let bytes = Bytes::from(format!("the picture {index}, edition {edition}"));
        let saved = self.sandbox.dropbox().put_file(&path, bytes, None);
        saved.expect("a file");
    }

    /// Makes pairs of so many files and their assets, without latency; they are an hour old then, or new.
    async fn pair(&self, pairs: usize, new: bool) -> Result<()> {
        self.time.is_right.store(new, Ordering::Relaxed);
        (0..pairs).for_each(|index| self.save(index, 1));
        let half = self.half(Way::In).await?;
        half.pass(CancellationToken::new()).await?;
        self.time.is_right.store(true, Ordering::Relaxed);
        // Something is always newer than what is an hour old.
        self.save(LAST, 1);
        half.pass(CancellationToken::new()).await?;
        let paired = half.watcher.seen().len();
        match paired == pairs + 1 {
            true => Ok(()),
            false => Err(wrong(format!("{paired} of {pairs} files have an asset"))),
        }
    }

    /// The ids of assets by the name of their file.
    fn assets(&self) -> BTreeMap<String, u64> {
        let assets = self.sandbox.celum().assets().into_iter();
        assets.map(|asset| (asset.filename, asset.id)).collect()
    }

    /// Somebody changes files and assets at random moments; when each was.
    async fn change_all(&self, changes: &[Edit], assets: &BTreeMap<String, u64>) -> [Moments; 2] {
        let mut random = StdRng::seed_from_u64(7);
        let mut changed = [Moments::new(), Moments::new()];
        for (number, edit) in changes.iter().enumerate() {
            tokio::time::sleep(GAP.mul_f64(random.random_range(0.0..2.0))).await;
            let (way, index) = match *edit {
                Edit::File { index, edition } => {
                    self.save(index, edition);
                    (0, index)
                }
                Edit::Asset { index } => {
                    let bytes = Bytes::from(format!("what the library made of it, {number}"));
                    let name = file_name(index);
                    let added = self
                        .sandbox
                        .celum()
                        .add_version(assets[&name], &name, bytes);
                    added.expect("a version");
                    (1, index)
                }
            };
            changed[way].insert(file_name(index), Instant::now());
        }
        changed
    }

    /// Waits at the folder, and rings.
    async fn hear_files(&self, rings: mpsc::Sender<Way>) -> Result<Infallible> {
        let source = account(&self.sandbox, self.network()).await?;
        let scope = Scope {
            root: AssetPath::new(ROOT),
        };
        loop {
            let cursor = source.latest(&scope).await?;
            self.ledger.set_cursor("heard", Some(&cursor)).await?;
            ring(&rings, Way::In).await?;
            while !source.wait(&scope, &cursor, LONGEST).await?.changed {}
        }
    }

    /// Looks at the library every so often, and rings when it is another.
    async fn hear_assets(&self, rings: mpsc::Sender<Way>) -> Result<Infallible> {
        let dam = tenant(&self.sandbox, self.network()).await?;
        let query = options().query;
        let mut since = Since::new(Timestamp::now());
        let mut known = changed(&dam, &query, since.look()).await?;
        loop {
            since.saw(known.values().filter_map(|(changed, _)| *changed).max());
            tokio::time::sleep(POLL).await;
            let from = since.look();
            let now = changed(&dam, &query, from).await?;
            known.retain(|_, (changed, _)| changed.is_none_or(|changed| changed >= from));
            if now != known {
                ring(&rings, Way::Out).await?;
            }
            known = now;
        }
    }
}

async fn ring(rings: &mpsc::Sender<Way>, way: Way) -> Result<()> {
    let rung = rings.send(way).await;
    rung.map_err(|_| wrong("nobody hears of changes".to_owned()))
}

type Changed = BTreeMap<AssetId, (Option<Timestamp>, Revision)>;

async fn changed(library: &CelumEndpoint, query: &Query, since: Timestamp) -> Result<Changed> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = library.changed(query, since, cursor.as_ref()).await?;
        for held in page.holdings {
            all.insert(held.asset.id, (held.changed, held.asset.revision));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// One change that somebody makes.
#[derive(Clone, Copy, Debug)]
enum Edit {
    File { index: usize, edition: u32 },
    Asset { index: usize },
}

/// Every other one is of a file, and every other one of these a new one; no file is changed twice.
fn edits(pairs: usize, changes: usize) -> Vec<Edit> {
    let mut known: Vec<usize> = (0..pairs).collect();
    known.shuffle(&mut StdRng::seed_from_u64(3));
    let edit = |number: usize| match number % 4 {
        0 => Edit::File {
            index: pairs + number / 4,
            edition: 1,
        },
        2 => Edit::File {
            index: known[number],
            edition: 2,
        },
        _ => Edit::Asset {
            index: known[number],
        },
    };
    (0..changes).map(edit).collect()
}

/// What a daemon is without its command line.
struct Daemon {
    scheduler: Scheduler,
    halves: BTreeMap<String, Arc<Half>>,
    passes: JoinSet<(String, Result<()>)>,
    planned: mpsc::Sender<String>,
}

impl Daemon {
    fn new(halves: &[Arc<Half>], planned: mpsc::Sender<String>) -> Self {
        let mut scheduler = Scheduler::new(2);
        for half in halves {
            scheduler.configure(rules(half.flow.name()), Timestamp::now());
            scheduler.is_rung_for(half.flow.name(), true);
        }
        let named = halves
            .iter()
            .map(|half| (half.flow.name().to_owned(), Arc::clone(half)));
        Daemon {
            scheduler,
            halves: named.collect(),
            passes: JoinSet::new(),
            planned,
        }
    }

    fn advance(&mut self) {
        for order in self.scheduler.advance(Timestamp::now()) {
            let flow = match order {
                Order::Start { flow, .. } => flow,
                Order::Look { flow } => {
                    self.halves[&flow].bell.ring();
                    continue;
                }
                Order::Stop { .. } => continue,
            };
            let half = Arc::clone(&self.halves[&flow]);
            let (token, planned) = (CancellationToken::new(), self.planned.clone());
            self.passes.spawn(async move {
                let telling = tell_when(token.clone(), flow.clone(), planned);
                let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
                let passed = half.pass(token).await;
                (flow, passed)
            });
        }
    }

    /// Tells the scheduler of a pass. One that fails as a whole is an error here.
    fn passed(&mut self, flow: &str, passed: Result<()>) -> Result<()> {
        passed?;
        let ended = PassEnded {
            outcome: PassOutcome::Done { failed: 0 },
            due: None,
            jitter: 0.5,
        };
        self.scheduler.ended(flow, Timestamp::now(), ended);
        Ok(())
    }
}

async fn tell_when(token: CancellationToken, flow: String, planned: mpsc::Sender<String>) {
    token.cancelled().await;
    // Nobody listens where all is over.
    drop(planned.send(flow).await);
}

/// The daemon's, where a configuration says nothing.
fn rules(flow: &str) -> FlowRules {
    FlowRules {
        flow: flow.to_owned(),
        priority: Priority::Normal,
        schedule: Vec::new(),
        full_every: Some(SWEEP),
        sweep_every: None,
        poll: Some(POLL),
        on_ring: Some(Pass::Full),
        at_start: Some(Pass::Full),
        on_due: Pass::Full,
        windows: Windows::default(),
    }
}

/// Obeys the scheduler until both ways have so many changes; tells once each has looked at everything.
async fn follow(
    halves: &[Arc<Half>],
    mut rings: mpsc::Receiver<Way>,
    wanted: [usize; 2],
    looked: CancellationToken,
) -> Result<()> {
    let (sender, mut planned) = mpsc::channel(64);
    let mut daemon = Daemon::new(halves, sender);
    let is_there = |(half, wanted): (&Arc<Half>, usize)| half.watcher.seen().len() >= wanted;
    while !halves.iter().zip(wanted).all(is_there) {
        daemon.advance();
        let now = Timestamp::now();
        let wakes = daemon.scheduler.wakes_at(now);
        let left = wakes.and_then(|wakes| Duration::try_from(wakes.duration_since(now)).ok());
        tokio::select! {
            biased;
            Some(passed) = daemon.passes.join_next() => {
                let (flow, passed) = passed.map_err(|error| wrong(error.to_string()))?;
                daemon.passed(&flow, passed)?;
                if halves.iter().all(|half| !locked(&half.looks).is_empty()) {
                    looked.cancel();
                }
            }
            Some(way) = rings.recv() => daemon.scheduler.ring(&name_of(way), Timestamp::now()),
            Some(flow) = planned.recv() => daemon.scheduler.planned(&flow),
            () = tokio::time::sleep(left.unwrap_or(SWEEP)) => {}
        }
    }
    Ok(())
}

fn wrong(message: String) -> Error {
    Error::new(Kind::Integrity, message)
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    pairs: usize,
    changes: usize,
    latency: u64,
    /// The pairs were made a moment ago.
    new: bool,
    /// People begin at once, and not when everything was looked at.
    during: bool,
    /// Somebody saves a film before all others.
    film: bool,
}

/// What was found of one way.
struct Found {
    decided: Vec<Duration>,
    there: Vec<Duration>,
    looks: Vec<Look>,
}

async fn measure(asked: Asked) -> Result<([Found; 2], u64)> {
    let world = World::new().await?;
    world.pair(asked.pairs, asked.new).await?;
    let assets = world.assets();
    let latency = &world.network.latency_ms;
    let halves = [world.half(Way::In).await?, world.half(Way::Out).await?];
    latency.store(asked.latency, Ordering::Relaxed);
    let before_kib = kib("VmRSS");
    forget_peak();
    let edits = edits(asked.pairs, asked.changes);
    let is_of_file = |edit: &&Edit| matches!(edit, Edit::File { .. });
    let of_files = edits.iter().filter(is_of_file).count();
    let (sender, rings) = mpsc::channel(64);
    let looked = CancellationToken::new();
    if asked.during {
        looked.cancel();
    }
    let changing = async {
        looked.cancelled().await;
        if asked.film {
            let path = format!("{ROOT}/job-00/Final/film.mov");
            let film = vec![7_u8; FILM].into();
            let saved = world.sandbox.dropbox().put_file(&path, film, None);
            saved.expect("a film");
        }
        world.change_all(&edits, &assets).await
    };
    let films = usize::from(asked.film);
    let wanted = [of_files + films, edits.len() - of_files];
    let following = follow(&halves, rings, wanted, looked.clone());
    let changed = tokio::select! {
        both = async { tokio::join!(changing, following) } => {
            both.1?;
            both.0
        }
        Err(error) = world.hear_files(sender.clone()) => return Err(error),
        Err(error) = world.hear_assets(sender) => return Err(error),
        () = tokio::time::sleep(PATIENCE + GAP * 2 * asked.changes as u32) => {
            return Err(wrong("not all changes came to the other side".to_owned()));
        }
    };
    let peak_kib = kib("VmHWM").saturating_sub(before_kib);
    let found = [0, 1].map(|way| Found {
        decided: took(&changed[way], &locked(&halves[way].decided)),
        there: took(&changed[way], &halves[way].watcher.seen()),
        looks: locked(&halves[way].looks).clone(),
    });
    world.ledger.close().await?;
    world.sandbox.shutdown().await;
    Ok((found, peak_kib))
}

/// A figure of this process, in KiB. The emulators are in it.
fn kib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.and_then(|figure| figure.parse().ok()).unwrap_or(0)
}

/// From here on the peak counts anew.
fn forget_peak() {
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        println!("the peak is that of the whole program");
    }
}

fn print(asked: Asked, found: &[Found; 2], peak_kib: u64) {
    let times = |sorted: &[Duration]| {
        let shares = [0.5, 0.95, 1.0].map(|share| format!("{:.0}", kept_to(sorted, share)));
        shares.join(" | ")
    };
    for (what, found) in ["Dropbox to CELUM", "CELUM to Dropbox"].iter().zip(found) {
        let (first, later) = found.looks.split_first().expect("a look");
        let later: Vec<&Look> = later.iter().collect();
        println!(
            "| {} ms, {what} | {} | {} | {} | {} | {:.1} | {} | {} |",
            asked.latency,
            times(&found.decided),
            times(&found.there),
            median(later.iter().map(|look| look.took.as_millis() as u64)),
            median(later.iter().map(|look| look.calls)),
            first.took.as_secs_f64(),
            first.calls,
            later.len() + 1,
        );
    }
    println!(
        "\n{} MiB more at the peak than before it began\n",
        peak_kib / 1024
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let said = |word: &str| arguments.iter().any(|argument| argument == word);
    let number = |at: usize| -> Option<usize> {
        let argument = arguments.get(at);
        argument.map(|argument| argument.parse().expect("a number"))
    };
    let (pairs, changes) = (number(0).unwrap_or(500), number(1).unwrap_or(24));
    assert!(changes >= 2, "one way changes nothing");
    assert!(changes <= pairs, "of {pairs} files, {changes} change");
    let latencies = number(2).map_or(vec![0, 80], |latency| vec![latency as u64]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "| {changes} changes to {pairs} pairs | decided p50, ms | p95, ms | max, ms | there p50, ms | p95, ms | max, ms \
         | a look (median), ms | calls | the first look, s | calls | passes |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for latency in latencies {
        let asked = Asked {
            pairs,
            changes,
            latency,
            new: said("new"),
            during: said("during"),
            film: said("film"),
        };
        let (found, peak_kib) = runtime.block_on(measure(asked)).expect("a world");
        print(asked, &found, peak_kib);
    }
}
