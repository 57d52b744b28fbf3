//! The digests of single files, as fast as the disk and all threads can: what a plan asks for before anything moves.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rayon::{ThreadPool, ThreadPoolBuilder};
use windlass_core::digest::{ChecksumAlgorithm, ChecksumHasher};
use windlass_core::{Asset, Blake3, Digests, Error, Kind, Result};

use crate::content::{PIECE_BYTES, Unhashed, hash_parallel, hash_sized, read};
use crate::endpoint::{LocalEndpoint, blocking};
use crate::paths::check;
use crate::root::Root;
use crate::scan::{LARGE_BYTES_MIN, TICK};
use crate::stamp::Stamp;

/// How much of each end of a file its fingerprint is made of.
const END_BYTES: usize = 4 << 10;

/// Ends the work when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl LocalEndpoint {
    /// The digests of each file that is as it was listed, in the same order. Cancel by dropping.
    pub(crate) async fn digests_of(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        let (work, _stop) = self.work_on(assets);
        blocking(move || work.run()).await
    }

    /// A few bytes of each file that is as it was listed, digested. Cancel by dropping.
    pub(crate) async fn fingerprints_of(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        let (work, _stop) = self.work_on(assets);
        blocking(move || Ok(work.each(|asset, _| work.fingerprint(asset)))).await
    }

    /// A checksum of each file that is as it was listed, in the same order. Cancel by dropping.
    pub(crate) async fn checksums_of(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let (work, _stop) = self.work_on(assets);
        blocking(move || Ok(work.checksums(algorithm))).await
    }

    fn work_on(&self, assets: &[Asset]) -> (Work, StopOnDrop) {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            root: self.root.clone(),
            mapped: self.exclusive,
            assets: assets.to_vec(),
            stop: Arc::clone(&stop),
        };
        (work, StopOnDrop(stop))
    }
}

struct Work {
    root: Root,
    mapped: bool,
    assets: Vec<Asset>,
    stop: Arc<AtomicBool>,
}

impl Work {
    /// Small files each by one thread, then large ones each by all of them.
    fn run(&self) -> Result<Vec<Option<Digests>>> {
        let is_large = |asset: &Asset| asset.size >= LARGE_BYTES_MIN;
        let mut digests = self.each(|asset, buffer| {
            if is_large(asset) {
                return None;
            }
            buffer.resize(PIECE_BYTES, 0);
            let hash = |file: &_, size| hash_sized(file, size, true, buffer, &|| self.goes_on());
            self.digest(asset, hash)
        });
        if !self.assets.iter().any(is_large) {
            return Ok(digests);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let pool = pool(threads)?;
        for (asset, slot) in self.assets.iter().zip(&mut digests) {
            if is_large(asset) && self.goes_on() {
                let hash = |file: &_, size| {
                    hash_parallel(file, size, true, &pool, self.mapped, &|| self.goes_on())
                };
                *slot = self.digest(asset, hash);
            }
        }
        Ok(digests)
    }

    /// Each by one thread: these digests are chains.
    fn checksums(&self, algorithm: ChecksumAlgorithm) -> Vec<Option<Vec<u8>>> {
        self.each(|asset, buffer| {
            buffer.resize(PIECE_BYTES, 0);
            self.digest(asset, |file, size| {
                let mut hasher = ChecksumHasher::new(algorithm);
                let mut at = 0;
                while at < size {
                    if !self.goes_on() {
                        return Err(Unhashed::Stopped);
                    }
                    let room = buffer
                        .len()
                        .min(usize::try_from(size - at).unwrap_or(usize::MAX));
                    match read(file, at, &mut buffer[..room])? {
                        // It shrank: it is not as it was listed.
                        0 => return Err(Unhashed::Stopped),
                        n => {
                            hasher.update(&buffer[..n]);
                            at += n as u64;
                        }
                    }
                }
                Ok(hasher.finalize())
            })
        })
    }

    /// Does something with each file, on as many threads as the machine has; each has a buffer of its own.
    fn each<T: Send>(
        &self,
        look: impl Fn(&Asset, &mut Vec<u8>) -> Option<T> + Sync,
    ) -> Vec<Option<T>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = Vec::new();
            let mut done = Vec::new();
            while let Some(at) = self.next(&next) {
                done.push((at, look(&self.assets[at], &mut buffer)));
            }
            done
        };
        let mut all: Vec<Option<T>> = self.assets.iter().map(|_| None).collect();
        let few = self.assets.len().div_ceil(16);
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads.min(few)).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for helper in helpers {
                // A panic is a bug, and goes on where it can be seen.
                done.extend(
                    helper
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                );
            }
            for (at, one) in done {
                all[at] = one;
            }
        });
        all
    }

    fn fingerprint(&self, asset: &Asset) -> Option<u64> {
        check(&asset.path).ok()?;
        let file = self.root.open_file(&asset.path).ok()?;
        let stamp = Stamp::of(&file).ok()?;
        if !stamp.is_file() || stamp.revision() != asset.revision {
            return None;
        }
        let mut ends = [0; 2 * END_BYTES];
        let (first, last) = ends.split_at_mut(END_BYTES);
        let length = first.len().min(usize::try_from(asset.size).ok()?);
        file.read_exact_at(&mut first[..length], 0).ok()?;
        file.read_exact_at(&mut last[..length], asset.size - length as u64)
            .ok()?;
        let digest = Blake3::of(&ends);
        let (number, _) = digest.as_bytes().split_first_chunk()?;
        Some(u64::from_le_bytes(*number))
    }

    fn next(&self, next: &AtomicUsize) -> Option<usize> {
        let at = next.fetch_add(1, Ordering::Relaxed);
        (at < self.assets.len() && self.goes_on()).then_some(at)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// `None` for whatever reason: who moves the file finds it again and says it.
    fn digest<T>(
        &self,
        asset: &Asset,
        hash: impl FnOnce(&std::fs::File, u64) -> std::result::Result<T, Unhashed>,
    ) -> Option<T> {
        check(&asset.path).ok()?;
        let file = self.root.open_file(&asset.path).ok()?;
        let mut before = Stamp::of(&file).ok()?;
        if let Some(age) = before
            .age_ns(SystemTime::now())
            .filter(|age| *age < TICK.as_nanos())
        {
            // Another change within the same tick of the clock could not be told from this one.
            std::thread::sleep(TICK - Duration::from_nanos(age as u64));
            before = Stamp::of(&file).ok()?;
        }
        if !before.is_file() || before.revision() != asset.revision {
            return None;
        }
        let digests = hash(&file, asset.size).ok()?;
        let after = Stamp::of(&file).ok()?;
        after.since(&before).is_none().then_some(digests)
    }
}

fn pool(threads: usize) -> Result<ThreadPool> {
    let named = |at| format!("windlass-digest-{at}");
    let built = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(named)
        .build();
    built.map_err(|error| {
        Error::new(Kind::Unavailable, "no threads can be started").with_source(error)
    })
}
