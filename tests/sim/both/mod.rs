//! Two-way sync in a simulation: people work on both sides, Windlass watches, and nothing may be lost.
//!
//! A life is what `windlass watch` is: both halves of one flow, and the scheduler that says when a pass is made. People
//! ring when they change something, but of ten rings three are lost, come twice or come late. When people rest, passes
//! come to have nothing to do; then both sides are compared, somebody chooses about each conflict, and the world comes to
//! rest once more.
//!
//! Nothing is said to happen that does not: from three hundred stories on, whatever the table names is counted by what came
//! of it, printed, and has to have happened (`tally`).
//!
//! What of the troubles that are reported of other tools (`LESSONS.md` has those that have a test of their own) can happen
//! here, by a fault of a service or by something that people do:
//!
//! | trouble | by |
//! |---|---|
//! | writers wait for each other and are turned away (#1539, f45cee831) | `service:lock` |
//! | told to wait, limits that nobody states (#1788, #1807, #5156) | `429:SECONDS`, a story's `ceiling` |
//! | entries of a batch refused or lost, jobs lost (#5008, 75c417ad9, #7025) | `service:entries`; `service:job-lost` in one-way stories only, which copy |
//! | errors amid a large file, answers that are lost, parts that arrived (#1806, #2158, d975196cf) | `reset-before`, `reset-after`, `503`, `503-after`, `service:partial`, `service:session-gone` |
//! | downloads that end early or have other bytes (#9704, dbxfs#25) | `truncate`, `corrupt` |
//! | what is there does not show yet (#8881) | `service:not-yet-there`, a story's `index_lag` |
//! | tokens that end, proxies that answer in HTML (#4792) | `401`, `500-html` |
//! | cursors that are reset, rings that are lost, doubled or late (#6205, #5089) | people, the bell |
//! | files that change or grow while they are read (3a8e52de7, D8) | people edit amid a call; the quiet period |
//! | names that differ in case or normal form (#53, #77, #691, rclonesync#70, maestral#120) | people's names, recasing |
//! | the same bytes under another time or revision (#2218, #345) | people restore |
//! | a renamed folder looks like many removals (rclone#8685, #5690) | people rename a folder |
//! | both sides change, move or remove the same (rclonesync#54, #71, #75, maestral#746) | people on both sides |
//! | one side removes what the other one changes (rclone#325, #7042, maestral#452) | people on both sides, `removing` on or off |
//! | a file that nobody saw is in the place of another (syncthing#3742) | people save and make in few places, and save by making another file |
//! | a pair that cannot converge, conflicts for ever (maestral#319, #570, #71) | conflicts, choices, bounded passes |
//! | a process that ends amid anything, states that lock a pair out (exit 7 of bisync) | crashes, interrupted runs |
//! | hours without progress, a change that waits for something large (#5491, maestral#1116) | the longest life, looks beside a run |
//!
//! Not reachable here: what only a configuration, a plan of memory or calls, or a listing of another kind can show
//! (#1900, #9685, #9686, #9663, #2427, #9688, #1483, rclone#5685, the memory of bisync), other roots and members (#2003,
//! #3366, #9705, #9514, #9497, #6139), files without a download (#9691, #8371, #2301, restricted content), names that a
//! service refuses (#4805, #3569), full accounts (#7334), batches of removals (#7151), and files without bytes
//! (maestral#1080). All but those that `LESSONS.md` calls open have tests of their own.

mod bell;
mod book;
mod check;
mod people;
mod plot;
mod tally;
mod wiring;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use windlass_core::memory::MemoryLedger;
use windlass_core::{Clock, Conflict, Ledger, Result};
use windlass_flow::daemon::{
    FlowRules, Order, Pass, PassEnded, PassOutcome, Priority, Scheduler, Windows,
};
use windlass_sandbox::celum::Celum;
use windlass_sandbox::dropbox::Dropbox;

use self::bell::Bell;
use self::book::Book;
use self::people::People;
use self::plot::{Crash, Plot};
pub(crate) use self::tally::{ROWS, ROWS_OF_COPIES, Tally, of_faults};
use self::wiring::Halves;
use crate::services;
use crate::story::Story;
use crate::wire::{ToldWhenItFails, Trace, settle};
use crate::world::{LIVES_MAX, Lived, WorldClock};

/// The flow, its halves, and the folder and the collection that are a pair.
const FLOW: &str = "brand";
const WAY_IN: &str = "brand.in";
const WAY_OUT: &str = "brand.out";
const ROOT: &str = "/Work";
const COLLECTION: &str = "Brand Library/Work";
/// Where removed files and assets are kept, and files that may not be seen any more.
const REMOVED: &str = "/Removed";
const REMOVED_ASSETS: &str = "/Brand Library/Removed";
const WITHDRAWN: &str = "/Withdrawn";

/// How often everything is looked at, whether anybody rang or not.
const SWEEP: Duration = Duration::from_secs(15 * 60);

/// The longest life without a crash, in simulated time. What is not done by then hangs.
const LIFE_MAX: Duration = Duration::from_secs(48 * 3600);

/// How many passes may find something to do after the last change that people made. Faults end, so this ends, too.
const PASSES_MAX: u32 = 24;

/// What survives a crash.
struct World {
    story: Story,
    plot: Plot,
    account: Arc<Dropbox>,
    tenant: Arc<Celum>,
    ledger: MemoryLedger,
    clock: WorldClock,
    bell: Bell,
    book: RefCell<Book>,
    trace: Trace,
    since: Instant,
    lives: Cell<u32>,
    /// What windlass is about to write, for people who are quicker.
    about: RefCell<Option<About>>,
    writes: Notify,
    /// When people did something last.
    changed: Cell<Option<Instant>>,
    /// Since when people rest.
    rested: Cell<Option<Instant>>,
    /// How many passes have found something to do since then.
    busy: Cell<u32>,
}

/// A write that is planned and not made yet.
#[derive(Clone, Debug)]
enum About {
    /// Of a newer version over the file at this path.
    File(String),
    /// Of a newer version of this asset.
    Asset(u64),
}

impl About {
    /// What a step of a plan writes over, by its reason.
    fn of(reason: &str) -> Option<About> {
        if let Some((_, path)) = reason.split_once("a newer version than ") {
            return Some(About::File(path.to_owned()));
        }
        let (_, asset) = reason.split_once("its bytes changed since it became ")?;
        asset.parse().ok().map(About::Asset)
    }
}

/// What a pass came to.
struct Passed {
    is_quiet: bool,
    failed: u64,
    due: Option<jiff::Timestamp>,
}

/// Lives a story to its end, checks the world at rest, chooses about what is in the queue and checks again.
pub(crate) async fn live(story: &Story) -> Lived {
    let world = World::make(story);
    let _told = ToldWhenItFails(Arc::clone(&world.trace));
    world.note(format!("{:?}", world.plot));
    let crashes = world.plot.crashes.clone();
    tokio::join!(People::of(&world).live(), world.live(&crashes));
    check::at_rest(&world).await;
    for _ in 0..2 {
        if !world.choose().await {
            break;
        }
        world.live(&[]).await;
        check::at_rest(&world).await;
    }
    let trace = world.trace.lock().unwrap().clone();
    Lived {
        trace,
        lives: world.lives.get(),
        met: tally::of(&world),
    }
}

impl World {
    fn make(story: &Story) -> World {
        let since = Instant::now();
        let clock = WorldClock { since };
        let (account, tenant) = services::open(story, clock);
        account.put_folder(ROOT).expect("a folder");
        // Two who make a collection at once make two of one name, which is for people to settle.
        for folder in people::FOLDERS {
            let path = format!("{COLLECTION}/{folder}");
            tenant.ensure_collection(&path).expect("a collection");
        }
        let plot = Plot::draw(story.seed);
        World {
            story: story.clone(),
            bell: Bell::of(story.seed),
            plot,
            account,
            tenant,
            ledger: MemoryLedger::new(Arc::new(clock)),
            clock,
            book: RefCell::default(),
            trace: Trace::default(),
            since,
            lives: Cell::new(0),
            about: RefCell::default(),
            writes: Notify::new(),
            changed: Cell::new(None),
            rested: Cell::new(None),
            busy: Cell::new(0),
        }
    }

    fn note(&self, line: impl AsRef<str>) {
        let at = self.since.elapsed().as_micros();
        let line = format!("{at:>12} {}", line.as_ref());
        self.trace.lock().unwrap().push(line);
    }

    /// From now on nobody changes anything.
    fn rest(&self) {
        self.rested.set(Some(Instant::now()));
        self.busy.set(0);
        self.bell.ring();
    }

    /// Tells people that something is about to be written.
    fn is_about_to(&self, write: About) {
        *self.about.borrow_mut() = Some(write);
        self.writes.notify_one();
    }

    /// Whether the tenant's lists do not know yet what people did last.
    fn lists_lag(&self) -> bool {
        let lag = Duration::from_secs(self.story.index_lag);
        self.changed.get().is_some_and(|at| at.elapsed() < lag)
    }

    /// Whether everything that people did had been looked at when a pass began then: not all of it is told by cursors and
    /// times, so it takes a look at all of both sides.
    fn saw_all(&self, began: Instant) -> bool {
        let lag = Duration::from_secs(self.story.index_lag + 1);
        // One list may have begun before, and the next one begins within two such times after it.
        let whole = lag + 2 * SWEEP;
        self.rested.get().is_some_and(|since| began > since + whole)
    }

    /// Lives until people rest and there is nothing left to do.
    async fn live(&self, crashes: &[Crash]) {
        let mut crashes = crashes.iter();
        loop {
            self.lives.set(self.lives.get() + 1);
            assert!(self.lives.get() < LIVES_MAX, "it never comes to rest");
            let crash = crashes.next();
            let after = crash.map_or(LIFE_MAX, |crash| crash.after);
            // The life's future holds everything that windlass is; dropping it is the crash.
            let ended = tokio::time::timeout(after, Box::pin(self.one_life())).await;
            match (ended, crash) {
                (Ok(Ok(())), _) => return,
                (Ok(Err(error)), _) => {
                    self.note(format!("a life ends: {}", error.chain()));
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                (Err(_), Some(crash)) => {
                    self.note("crash");
                    settle().await;
                    check::nothing_is_lost(self).await;
                    tokio::time::sleep(crash.away).await;
                }
                (Err(_), None) => panic!("nothing ends after {LIFE_MAX:?}"),
            }
        }
    }

    /// One life, as `windlass watch` lives it. It ends when people rest and a pass had nothing to do.
    async fn one_life(&self) -> Result<()> {
        let halves = Halves::wire(self).await?;
        let mut scheduler = Scheduler::new(1);
        scheduler.configure(rules(), self.clock.now());
        loop {
            let now = self.clock.now();
            if self.bell.rang() {
                scheduler.ring(FLOW, now);
            }
            let orders = scheduler.advance(now);
            for order in &orders {
                let Order::Start { why, .. } = order else {
                    panic!("nobody stops a pass: {order:?}")
                };
                self.note(format!("a pass: {why:?}"));
                let began = Instant::now();
                if self.lists_lag() {
                    self.note("lists lag");
                }
                let passed = halves.pass(self).await;
                self.note("a pass ends");
                check::nothing_is_lost(self).await;
                let (ended, is_quiet) = self.told(passed);
                scheduler.ended(FLOW, self.clock.now(), ended);
                if !self.saw_all(began) {
                    continue;
                }
                if is_quiet {
                    return Ok(());
                }
                self.busy.set(self.busy.get() + 1);
                assert!(
                    self.busy.get() < PASSES_MAX,
                    "there is always something to do with\n{}",
                    self.told_of()
                );
            }
            if orders.is_empty() {
                self.bell
                    .wait(self.left_until(scheduler.wakes_at(now)))
                    .await;
            }
        }
    }

    fn told(&self, passed: Result<Passed>) -> (PassEnded, bool) {
        let (outcome, due, is_quiet) = match passed {
            Ok(passed) => {
                let failed = passed.failed;
                (PassOutcome::Done { failed }, passed.due, passed.is_quiet)
            }
            Err(error) => {
                self.note(format!("a pass fails: {}", error.chain()));
                (PassOutcome::Failed(error.to_string()), None, false)
            }
        };
        let ended = PassEnded {
            outcome,
            due,
            jitter: 0.5,
        };
        (ended, is_quiet)
    }

    fn left_until(&self, wakes: Option<jiff::Timestamp>) -> Duration {
        let left = wakes.map(|wakes| wakes.duration_since(self.clock.now()));
        let left = left.and_then(|left| Duration::try_from(left).ok());
        left.unwrap_or(SWEEP).max(Duration::from_millis(1))
    }

    /// What is where, for people.
    fn told_of(&self) -> String {
        let files = self.account.tree().into_iter();
        let files = files.filter(|entry| entry.file.is_some());
        let files = files.map(|entry| format!("{} {}", entry.path_display, entry.id));
        let assets = self.tenant.assets().into_iter();
        let assets = assets.map(|asset| format!("{} {} {:?}", asset.id, asset.name, asset.parents));
        files.chain(assets).collect::<Vec<_>>().join("\n")
    }

    async fn conflicts(&self) -> Vec<Conflict> {
        let conflicts = self.ledger.conflicts(Some(FLOW), None, 10_000).await;
        conflicts.expect("the queue")
    }

    /// Somebody chooses about everything that waits for it. False where nothing did.
    async fn choose(&self) -> bool {
        let mut conflicts = self.conflicts().await;
        conflicts.retain(Conflict::is_undecided);
        for conflict in &conflicts {
            let chosen = self.plot.choice(&conflict.found.subject);
            self.note(format!("{chosen:?} about {:?}", conflict.found));
            self.book.borrow_mut().choose(self, &conflict.found, chosen);
            let noted = self.ledger.resolve_conflict(&conflict.found, Some(chosen));
            assert!(noted.await.expect("a choice"), "{conflict:?}");
        }
        self.rest();
        !conflicts.is_empty()
    }
}

/// When passes are made.
fn rules() -> FlowRules {
    FlowRules {
        flow: FLOW.to_owned(),
        priority: Priority::Normal,
        schedule: Vec::new(),
        full_every: Some(SWEEP),
        sweep_every: None,
        poll: None,
        on_ring: Some(Pass::Full),
        at_start: Some(Pass::Full),
        on_due: Pass::Full,
        windows: Windows::default(),
    }
}
