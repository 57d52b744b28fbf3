//! The digests of everything below a folder, as fast as its disk and these threads can.
//!
//! ```text
//! walker ── batches of names ──► N workers: open, look, read, hash, look again ── batches ──► the caller
//!                                    └─ large files ──► one lane that hashes each on N threads ──┘
//! ```
//!
//! All queues are bounded, so memory does not depend on how many files there are, and a caller who takes his time
//! slows the disk down. A file that cannot be read, or that changed while it was hashed, is reported under its path
//! and the rest goes on: there is never a digest of bytes that a file did not have at one moment.
//!
//! Per small file that is `openat` relative to its folder, `fstat`, `pread`, `fstat`, `close`; folders are listed
//! without looking at each file.

use std::ffi::CStr;
use std::fs::File;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::fs::Mode;
use rustix::io::Errno;
use windlass_core::{Asset, AssetPath, Digests, Error, Kind, Result, Scope};

use crate::content::{PIECE_BYTES, Unhashed, hash_parallel, hash_sized};
use crate::endpoint::{LocalEndpoint, io_error};
use crate::paths::is_part;
use crate::root::{FILE, Root};
use crate::source::changed;
use crate::stamp::{Differs, Stamp};
use crate::tree::{TreeFolder, Visit, not_utf8, shown, walk};

/// From this size on a file is worth all threads at once. Below, the threads have other files; hashing this much takes
/// one thread about 15 ms, so little is lost where they have not.
pub(crate) const LARGE_BYTES_MIN: u64 = 32 << 20;

/// Large files that wait for the lane. What does not fit is hashed by the worker that found it.
const LARGE_WAITING: usize = 2;

/// Names that travel together: a queue's lock costs about as much as a tenth of a small file, and a thread that has to
/// be woken some of them.
const BATCH: usize = 256;

/// Batches that wait for a worker. Each keeps its folder open.
const BATCHES_WAITING: usize = 32;

/// Batches of results that wait for the caller, at most [`BATCH`] results each.
const RESULTS_WAITING: usize = 16;

/// How old the last change of a file must be before it is looked at: two changes within one tick of the kernel's clock
/// (at most 10 ms) have the same time, and the second one would not be seen.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// How to scan.
#[derive(Clone, Debug, Default)]
pub struct ScanOptions {
    /// Threads that hash; 0 for as many as the machine has.
    pub threads: usize,
    /// Whether to compute the content hash as well. It costs more than twice what BLAKE3 does.
    pub content_hash: bool,
}

/// One thing that a scan found.
#[derive(Debug)]
pub enum Scanned {
    /// A file that stayed as it was while it was hashed.
    Asset {
        /// The file at the revision that was hashed.
        asset: Asset,
        /// Its digests.
        digests: Digests,
    },
    /// A file that has no digests, or a folder that cannot be listed.
    Failed {
        /// Which. What is not UTF-8 in it is replaced by a sign.
        path: AssetPath,
        /// Why: `SourceChanged` when it changed, grew, shrank or vanished while it was hashed, `Denied` when this user
        /// may not read it, `InvalidInput` when its name is not UTF-8.
        error: Error,
    },
}

/// What a scan saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanTotals {
    /// Files that were hashed.
    pub assets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and folders that were reported as failed.
    pub failed: u64,
    /// Folders that were listed, the top one included.
    pub folders: u64,
    /// Links, pipes, devices: neither followed nor hashed.
    pub left_out: u64,
    /// Whether it ended before everything was seen.
    pub stopped: bool,
}

impl LocalEndpoint {
    /// Hashes everything below a scope and hands each result to `each`, in no particular order, on the thread that
    /// calls. Blocks until all is done, `each` breaks, or `stop` becomes true, which is looked at between files and
    /// inside large ones. Hidden files of uploads are passed over.
    ///
    /// Errors: `NotFound` or `Denied` for the scope itself; everything below it is reported by `each`.
    pub fn digest_tree(
        &self,
        scope: &Scope,
        options: &ScanOptions,
        stop: &AtomicBool,
        each: &mut dyn FnMut(Scanned) -> ControlFlow<()>,
    ) -> Result<ScanTotals> {
        crate::paths::check(&scope.root)?;
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let scan = Scan {
            root: &self.root,
            content_hash: options.content_hash,
            mapped: self.exclusive,
            threads,
            stop,
            halted: AtomicBool::new(false),
            folders: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        scan.run(&scope.root, each)
    }
}

/// What all threads of a scan share.
struct Scan<'a> {
    root: &'a Root,
    content_hash: bool,
    mapped: bool,
    threads: usize,
    stop: &'a AtomicBool,
    /// Nobody takes results any more.
    halted: AtomicBool,
    folders: AtomicU64,
    left_out: AtomicU64,
}

/// Names in one folder, each ended by a zero byte.
struct Batch {
    folder: Arc<TreeFolder>,
    names: Vec<u8>,
    count: usize,
}

/// A file that is about to be hashed.
struct Opened {
    path: AssetPath,
    file: File,
    before: Stamp,
}

/// What cannot be hashed, and why.
type Failed = (AssetPath, Error);

type Results = Sender<Vec<Scanned>>;

impl Scan<'_> {
    fn run(
        &self,
        top: &AssetPath,
        each: &mut dyn FnMut(Scanned) -> ControlFlow<()>,
    ) -> Result<ScanTotals> {
        let (work, batches) = bounded(BATCHES_WAITING);
        let (large, larges) = bounded(LARGE_WAITING);
        let (results, scanned) = bounded(RESULTS_WAITING);
        let (mut totals, walked) = std::thread::scope(|scope| {
            // Threads that were started end by themselves when the queues they wait for are dropped.
            let started = || -> std::io::Result<_> {
                for _ in 0..self.threads {
                    let (batches, large, results) =
                        (batches.clone(), large.clone(), results.clone());
                    let work = move || self.work(&batches, &large, &results);
                    thread("scan").spawn_scoped(scope, work)?;
                }
                let to = results.clone();
                thread("scan-large").spawn_scoped(scope, move || self.lane(&larges, &to))?;
                let mut walker = Walker::new(self, work, results);
                let walked = move || {
                    let walked = walk(self.root, top, &mut walker);
                    // Breaking here changes nothing: it was the last batch.
                    let _ended = walker.pause();
                    walked
                };
                thread("scan-walk").spawn_scoped(scope, walked)
            };
            let walker = started();
            drop((batches, large));
            let totals = self.take(scanned, each);
            (totals, walker.map(|walker| walker.join()))
        });
        match walked {
            Ok(Ok(walked)) => walked?,
            Ok(Err(_)) => {
                return Err(Error::new(Kind::Unexpected, "listing ended abnormally"));
            }
            Err(error) => {
                return Err(
                    Error::new(Kind::Unavailable, "no threads can be started").with_source(error)
                );
            }
        }
        totals.folders = self.folders.load(Ordering::Relaxed);
        totals.left_out = self.left_out.load(Ordering::Relaxed);
        totals.stopped = !self.goes_on();
        Ok(totals)
    }

    /// Hands results to the caller until there are no more or he has enough.
    fn take(
        &self,
        scanned: Receiver<Vec<Scanned>>,
        each: &mut dyn FnMut(Scanned) -> ControlFlow<()>,
    ) -> ScanTotals {
        let mut totals = ScanTotals::default();
        for result in scanned.iter().flatten() {
            match &result {
                Scanned::Asset { digests, .. } => {
                    totals.assets += 1;
                    totals.bytes += digests.size;
                }
                Scanned::Failed { .. } => totals.failed += 1,
            }
            if each(result).is_break() {
                self.halted.store(true, Ordering::Relaxed);
                break;
            }
        }
        totals
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.halted.load(Ordering::Relaxed)
    }

    /// One worker.
    fn work(&self, batches: &Receiver<Batch>, large: &Sender<Opened>, results: &Results) {
        let mut buffer = vec![0; PIECE_BYTES];
        for batch in batches {
            let mut scanned = Vec::with_capacity(batch.count);
            for name in batch.names.split_inclusive(|byte| *byte == 0) {
                if !self.goes_on() {
                    return;
                }
                // Each was put there with its end.
                let Ok(name) = CStr::from_bytes_with_nul(name) else {
                    continue;
                };
                let opened = match self.open(&batch.folder, name) {
                    Ok(Some(opened)) => opened,
                    Ok(None) => continue,
                    Err((path, error)) => {
                        scanned.push(Scanned::Failed { path, error });
                        continue;
                    }
                };
                let opened = match self.worth_all(&opened) {
                    false => opened,
                    true => match large.try_send(opened) {
                        Ok(()) => continue,
                        Err(TrySendError::Full(opened) | TrySendError::Disconnected(opened)) => {
                            opened
                        }
                    },
                };
                let size = opened.before.size;
                let digests =
                    hash_sized(&opened.file, size, self.content_hash, &mut buffer, &|| {
                        self.goes_on()
                    });
                scanned.extend(self.judge(opened, digests));
            }
            if !scanned.is_empty() && results.send(scanned).is_err() {
                return;
            }
        }
    }

    fn worth_all(&self, opened: &Opened) -> bool {
        self.threads > 1 && opened.before.size >= LARGE_BYTES_MIN
    }

    /// The lane of large files: one after the other, each on all threads.
    fn lane(&self, larges: &Receiver<Opened>, results: &Results) {
        let mut pool: Option<ThreadPool> = None;
        for opened in larges {
            let pool = match &mut pool {
                Some(pool) => pool,
                empty => match ThreadPoolBuilder::new().num_threads(self.threads).build() {
                    Ok(pool) => empty.insert(pool),
                    Err(error) => {
                        let error = Error::new(Kind::Unavailable, "no threads can be started")
                            .with_source(error);
                        let path = opened.path;
                        if results.send(vec![Scanned::Failed { path, error }]).is_err() {
                            return;
                        }
                        continue;
                    }
                },
            };
            let go_on = || self.goes_on();
            let (file, size) = (&opened.file, opened.before.size);
            let digests = hash_parallel(file, size, self.content_hash, pool, self.mapped, &go_on);
            if let Some(scanned) = self.judge(opened, digests)
                && results.send(vec![scanned]).is_err()
            {
                return;
            }
        }
    }

    /// Opens a file and looks at it. `None` when something else has taken its place.
    fn open(&self, folder: &TreeFolder, name: &CStr) -> Result<Option<Opened>, Failed> {
        let path = match name.to_str() {
            Ok(name) => folder.path.join(name),
            Err(_) => {
                let path = shown(folder, name);
                let error = not_utf8(&path);
                return Err((path, error));
            }
        };
        let looked = rustix::fs::openat(folder, name, FILE, Mode::empty()).and_then(|file| {
            let mut before = Stamp::of(&file)?;
            let fresh = before.age_ns(SystemTime::now());
            if let Some(age) = fresh.filter(|age| *age < TICK.as_nanos()) {
                std::thread::sleep(TICK - Duration::from_nanos(age as u64));
                before = Stamp::of(&file)?;
            }
            Ok((file, before))
        });
        match looked {
            Ok((file, before)) if before.is_file() => Ok(Some(Opened {
                path,
                file: file.into(),
                before,
            })),
            Ok(_) | Err(Errno::LOOP | Errno::NXIO) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            Err(Errno::NOENT) => {
                let error = changed(&path, Differs::Vanished);
                Err((path, error))
            }
            Err(error) => {
                let error = self.root.error("read a file", &path, error);
                Err((path, error))
            }
        }
    }

    /// Looks at a file again after its bytes were hashed. `None` when hashing was stopped.
    fn judge(&self, opened: Opened, digests: Result<Digests, Unhashed>) -> Option<Scanned> {
        let Opened { path, file, before } = opened;
        let fail = |path: AssetPath, error: std::io::Error| {
            let error = io_error("read a file", &self.root.shown(&path), error);
            Scanned::Failed { path, error }
        };
        let after = match Stamp::of(&file) {
            Ok(after) => after,
            Err(error) => return Some(fail(path, error.into())),
        };
        if let Some(how) = after.since(&before) {
            let error = changed(&path, how);
            return Some(Scanned::Failed { path, error });
        }
        match digests {
            Ok(digests) => Some(Scanned::Asset {
                asset: before.asset(path),
                digests,
            }),
            Err(Unhashed::Stopped) => None,
            // It does not look changed, and yet it ended elsewhere: some shares answer so.
            Err(Unhashed::OtherSize) => {
                let error = changed(&path, Differs::Changed);
                Some(Scanned::Failed { path, error })
            }
            Err(Unhashed::Io(error)) => Some(fail(path, error)),
        }
    }
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(format!("windlass-{name}"))
}

/// Gathers names into batches.
struct Walker<'a> {
    scan: &'a Scan<'a>,
    work: Sender<Batch>,
    results: Results,
    batch: Option<Batch>,
}

impl<'a> Walker<'a> {
    fn new(scan: &'a Scan<'a>, work: Sender<Batch>, results: Results) -> Self {
        Walker {
            scan,
            work,
            results,
            batch: None,
        }
    }

    fn go_on(&self, sent: bool) -> ControlFlow<()> {
        match sent && self.scan.goes_on() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

impl Visit for Walker<'_> {
    fn file(&mut self, folder: &Arc<TreeFolder>, name: &CStr) -> ControlFlow<()> {
        if is_part(name.to_bytes()) {
            return ControlFlow::Continue(());
        }
        if let Some(batch) = &self.batch
            && (batch.count >= BATCH || !Arc::ptr_eq(&batch.folder, folder))
        {
            self.pause()?;
        }
        let batch = self.batch.get_or_insert_with(|| Batch {
            folder: Arc::clone(folder),
            names: Vec::with_capacity(BATCH * 32),
            count: 0,
        });
        batch.names.extend_from_slice(name.to_bytes_with_nul());
        batch.count += 1;
        ControlFlow::Continue(())
    }

    fn left_out(&mut self) {
        self.scan.left_out.fetch_add(1, Ordering::Relaxed);
    }

    fn folder(&mut self) {
        self.scan.folders.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&mut self, path: AssetPath, error: Error) -> ControlFlow<()> {
        let sent = self.results.send(vec![Scanned::Failed { path, error }]);
        self.go_on(sent.is_ok())
    }

    fn pause(&mut self) -> ControlFlow<()> {
        let sent = match self.batch.take() {
            Some(batch) => self.work.send(batch).is_ok(),
            None => true,
        };
        self.go_on(sent)
    }
}

#[cfg(test)]
mod tests;
