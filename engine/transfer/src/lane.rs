//! The hash lane: chunks go to a pool of threads for their digests, and the digests return in order.
//!
//! A chunk is handed over as soon as it is fetched, in whatever order that is. Small chunks are not
//! worth the trip and are hashed where they are. The pool's queue is not bounded by itself: what is
//! in it is bounded by every transfer's window and by the budget, whose permits the chunks carry.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use windlass_core::{Error, Kind, Result};

use crate::gauge::Gauge;
use crate::hash::{ChunkDigest, Hashing};
use crate::ring::OrderRing;

/// Chunks up to this size are hashed in the task that has them. A trip to the pool and back costs 10 to 45 µs
/// (`benches/README.md`) and two thread switches, both digests of 64 KiB some 60 µs and of 256 KiB a quarter of a
/// millisecond, which is about as long as a thread of the runtime may be kept from its other tasks.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// The most threads that make sense to ask for; more is a typing error.
const THREADS_MAX: usize = 256;

/// The threads that compute digests, shared by all transfers.
#[derive(Debug)]
pub struct HashPool {
    // None: everything is hashed where it is.
    threads: Option<rayon::ThreadPool>,
    jobs: Gauge,
}

impl HashPool {
    /// Starts the threads. With 0 threads every chunk is hashed in the task that has it, which keeps
    /// a simulation on a paused clock in one thread.
    ///
    /// Errors: `Config` above 256 threads, `Capacity` when the system refuses to start them.
    pub fn new(threads: usize) -> Result<Arc<Self>> {
        if threads > THREADS_MAX {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "hash threads are {threads}, above the most that make sense, {THREADS_MAX}"
                ),
            ));
        }
        let build = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("hash-{index}"))
                // The job's answer is dropped by the panic, which its transfer reports as an error.
                .panic_handler(|_| tracing::error!("a hash job panicked"))
                .build()
        };
        let pool = (threads > 0).then(build).transpose().map_err(|error| {
            Error::new(Kind::Capacity, "the hash threads could not be started").with_source(error)
        })?;
        Ok(Arc::new(HashPool {
            threads: pool,
            jobs: Gauge::default(),
        }))
    }

    /// Number of chunks that are being hashed or wait for it.
    pub fn jobs(&self) -> u64 {
        self.jobs.level()
    }
}

/// One content's chunks on their way through a [`HashPool`].
#[derive(Debug)]
pub struct HashLane {
    pool: Arc<HashPool>,
    hashing: Hashing,
    running: FuturesUnordered<Running>,
    done: OrderRing<ChunkDigest>,
}

/// A chunk that the pool has.
#[derive(Debug)]
struct Running {
    index: u64,
    answer: oneshot::Receiver<ChunkDigest>,
}

impl Future for Running {
    type Output = Result<(u64, ChunkDigest)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let index = self.index;
        Pin::new(&mut self.answer).poll(context).map(|answer| {
            let digest = answer.map_err(|_| {
                Error::new(Kind::Unexpected, format!("hashing chunk {index} panicked"))
            })?;
            Ok((index, digest))
        })
    }
}

impl HashLane {
    /// A lane for one content. Chunks may be submitted up to `span` ahead of the first one whose
    /// digest is not here.
    pub fn new(pool: Arc<HashPool>, hashing: Hashing, span: u64) -> Self {
        HashLane {
            pool,
            hashing,
            running: FuturesUnordered::new(),
            done: OrderRing::new(span),
        }
    }

    /// Whether chunk `index` may be submitted.
    pub fn reaches(&self, index: u64) -> bool {
        self.done.reaches(index)
    }

    /// Whether [`HashLane::finished`] has something to wait for.
    pub fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Hands chunk `index` over. True if its digest is there already; otherwise
    /// [`HashLane::finished`] will name it. The bytes are let go as soon as they are hashed.
    ///
    /// Errors: `Unexpected` for a chunk that came before or lies beyond the span.
    pub fn submit(&mut self, index: u64, bytes: Bytes) -> Result<bool> {
        let threads = match &self.pool.threads {
            Some(threads) if bytes.len() > INLINE_BYTES_MAX => threads,
            _ => {
                let digest = self.hashing.chunk(index, &bytes);
                self.put(index, digest)?;
                return Ok(true);
            }
        };
        let (sender, answer) = oneshot::channel();
        let counted = self.pool.jobs.enter();
        let hashing = self.hashing;
        threads.spawn_fifo(move || {
            // Closed: the transfer is gone, and the bytes only have to be let go.
            let digest = (!sender.is_closed()).then(|| hashing.chunk_in_pool(index, &bytes));
            drop(bytes);
            drop(counted);
            if let Some(digest) = digest
                && sender.send(digest).is_err()
            {
                tracing::trace!(index, "a transfer ended while its chunk was hashed");
            }
        });
        self.running.push(Running { index, answer });
        Ok(false)
    }

    /// Takes in the digest of chunk `index`, which an earlier attempt computed.
    ///
    /// Errors: as [`HashLane::submit`].
    pub(crate) fn recall(&mut self, index: u64, digest: ChunkDigest) -> Result<()> {
        self.put(index, digest)
    }

    /// The digest of chunk `index`, between its arrival and [`HashLane::pop`].
    pub(crate) fn digest(&self, index: u64) -> Option<&ChunkDigest> {
        self.done.get(index)
    }

    /// Waits until one more chunk is hashed and names it, in no order; `None` if none is under way.
    ///
    /// Cancel safe: what finished stays here until it is asked for.
    pub async fn finished(&mut self) -> Option<Result<u64>> {
        let answer = self.running.next().await?;
        Some(answer.and_then(|(index, digest)| {
            self.put(index, digest)?;
            Ok(index)
        }))
    }

    /// The next digest in order, if it is here.
    pub fn pop(&mut self) -> Option<ChunkDigest> {
        self.done.pop().map(|(_, digest)| digest)
    }

    fn put(&mut self, index: u64, digest: ChunkDigest) -> Result<()> {
        self.done
            .insert(index, digest)
            .map_err(|error| Error::new(Kind::Unexpected, error.to_string()))
    }
}
