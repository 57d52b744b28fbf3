//! The engine: what all transfers of a process share, and its limits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::select;
use tokio_util::sync::CancellationToken;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{
    Asset, ByteSize, Correlation, Destination, Digests, Draft, Error, Kind, Result, Sink, Source,
};

use crate::budget::Budget;
use crate::discard::Discard;
use crate::faults;
use crate::gauge::Gauge;
use crate::lane::HashPool;
use crate::layout::ChunkLayout;
use crate::pool::Pool;
use crate::throttle::Throttle;
use crate::transfer::{Job, TransferRequest, Transferred};

/// The limits of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Memory for bytes in flight, of all transfers together, kept buffers included. At least
    /// `window`. Every transfer that is let in owns one chunk of it, so `budget / chunk` is how many
    /// large files move at once.
    pub budget: ByteSize,
    /// The least that is read and appended at once: a power of two from 4 MiB, the content hash's block,
    /// to `chunk_max`. 8 MiB keeps a call of 80 ms above 100 MB/s on one connection.
    pub chunk: ByteSize,
    /// The most that is read and appended at once: a power of two from `chunk` to 128 MiB, the largest that
    /// services take. Larger chunks mean fewer calls and more memory. A file is cut into the largest ones that
    /// leave `parts_in_flight` of them in its window and [`PARTS`](crate::PARTS) of them in the file.
    pub chunk_max: ByteSize,
    /// How many chunks a transfer's window should hold, 1 to 1024: what saturates a path by many
    /// connections, each of which is bound by its own latency and speed. Chunks of the least size may be more.
    pub parts_in_flight: u64,
    /// Cuts files into the largest chunks that the window holds two of, because an account has a budget of
    /// calls.
    pub saves_calls: bool,
    /// One transfer's bytes in flight, at least `chunk`: `window / chunk` is how many reads it has
    /// under way. More is only worth it while bandwidth × latency is more: 1 GB/s at 80 ms is 80 MB.
    pub window: ByteSize,
    /// How long nothing of a transfer may move before it is given up as stalled, at least 1 s; longer where
    /// more bytes are under way than 1 MiB/s would move in that time. After half of it the calls that hang are made
    /// again, once. A wait that an endpoint explains, and one for memory, is no stall.
    pub stall_after: Duration,
    /// Threads that compute digests, at most 256; one a core is enough, because hashing never waits.
    /// With 0 every transfer hashes in its own task, for simulations that must run in one thread.
    pub hash_threads: usize,
    /// How fast bytes may move, shared with whoever else has it; `None` for as fast as they can.
    pub throttle: Option<Arc<Throttle>>,
}

/// The largest chunk: the largest power of two below the 150 MiB that a service takes at once.
const CHUNK_BYTES_MAX: u64 = 128 << 20;

/// More parts in flight than this is a typing error.
const PARTS_IN_FLIGHT_MAX: u64 = 1024;

impl Default for EngineOptions {
    /// 512 MiB for all, 128 MiB a transfer in 16 chunks of 8 MiB (larger windows make chunks of up to
    /// 64 MiB), a hash thread a core, two minutes.
    fn default() -> Self {
        EngineOptions {
            budget: ByteSize::mib(512),
            chunk: ByteSize::mib(8),
            chunk_max: ByteSize::mib(64),
            parts_in_flight: 16,
            saves_calls: false,
            window: ByteSize::mib(128),
            stall_after: Duration::from_secs(120),
            hash_threads: std::thread::available_parallelism().map_or(1, usize::from),
            throttle: None,
        }
    }
}

impl EngineOptions {
    /// Checks the limits by themselves and against each other.
    ///
    /// Errors: `Config`, with the arithmetic.
    pub fn check(&self) -> Result<()> {
        let chunk = self.chunk.bytes();
        if !chunk.is_power_of_two() || chunk < BLOCK_BYTES as u64 || chunk > CHUNK_BYTES_MAX {
            return Err(config(format!(
                "transfer.chunk is {} ({chunk} bytes), which is not a power of two from {} to {}",
                self.chunk,
                ByteSize(BLOCK_BYTES as u64),
                ByteSize(CHUNK_BYTES_MAX)
            )));
        }
        let chunk_max = self.chunk_max.bytes();
        if !chunk_max.is_power_of_two() || chunk_max < chunk || chunk_max > CHUNK_BYTES_MAX {
            return Err(config(format!(
                "transfer.chunk_max is {} ({chunk_max} bytes), which is not a power of two from {} to {}",
                self.chunk_max,
                self.chunk,
                ByteSize(CHUNK_BYTES_MAX)
            )));
        }
        if !(1..=PARTS_IN_FLIGHT_MAX).contains(&self.parts_in_flight) {
            return Err(config(format!(
                "transfer.parts_in_flight is {}, not from 1 to {PARTS_IN_FLIGHT_MAX}",
                self.parts_in_flight
            )));
        }
        if self.stall_after < Duration::from_secs(1) {
            return Err(config(format!(
                "transfer.stall_after is {:?}, less than a second",
                self.stall_after
            )));
        }
        if self.window < self.chunk {
            return Err(config(format!(
                "transfer.window is {} and transfer.chunk is {}: {} bytes are less than one chunk of {chunk}",
                self.window,
                self.chunk,
                self.window.bytes()
            )));
        }
        if self.budget < self.window {
            return Err(config(format!(
                "transfer.budget is {} and transfer.window is {}: one transfer's {} bytes in flight would not fit in {} for all",
                self.budget,
                self.window,
                self.window.bytes(),
                self.budget.bytes()
            )));
        }
        Ok(())
    }
}

fn config(message: String) -> Error {
    Error::new(Kind::Config, message)
        .with_hint("the limits must be: chunk at most window, window at most budget")
}

/// What is under way in an engine at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Transfers, those that wait to be let in included.
    pub transfers: u64,
    /// Memory that is granted, in bytes.
    pub budget_used_bytes: u64,
    /// Waits for memory, of transfers that want in and of chunks.
    pub budget_waiting: u64,
    /// Chunk buffers that are out, in bytes; never more than is granted.
    pub buffer_bytes: u64,
    /// Range reads under way.
    pub reads: u64,
    /// Appends under way.
    pub appends: u64,
    /// Chunks that hash threads have, or will.
    pub hash_jobs: u64,
    /// Buffers kept for reuse, in bytes. Not zero at rest; with `buffer_bytes` never more than the
    /// budget. [`Engine::trim`] frees them.
    pub idle_bytes: u64,
    /// Bytes read since the engine started.
    pub bytes_fetched: u64,
    /// Bytes that sinks took since the engine started.
    pub bytes_pushed: u64,
}

impl Gauges {
    /// Whether nothing is under way and nothing is held: what must be true once all transfers ended.
    pub fn at_rest(&self) -> bool {
        let under_way = Gauges {
            idle_bytes: 0,
            bytes_fetched: 0,
            bytes_pushed: 0,
            ..*self
        };
        under_way == Gauges::default()
    }
}

/// Moves bytes between endpoints. Clones share memory, threads and limits.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What transfers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) chunk_bytes: u64,
    pub(crate) chunk_bytes_max: u64,
    pub(crate) parts_in_flight: u64,
    pub(crate) saves_calls: bool,
    pub(crate) window_bytes: u64,
    pub(crate) stall_after: Duration,
    pub(crate) budget: Arc<Budget>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) hash_pool: Arc<HashPool>,
    pub(crate) transfers: Gauge,
    pub(crate) reads: Gauge,
    pub(crate) appends: Gauge,
    pub(crate) bytes_fetched: AtomicU64,
    pub(crate) bytes_pushed: AtomicU64,
}

impl Engine {
    /// An engine at rest, with its hash threads started.
    ///
    /// Errors: `Config` for limits that do not fit, `Capacity` when threads cannot be started.
    pub fn new(options: EngineOptions) -> Result<Self> {
        options.check()?;
        let budget = Budget::new(
            options.budget.bytes(),
            options.chunk.bytes(),
            options.window.bytes(),
        );
        // At most 128 MiB, which every `usize` holds.
        let pool = Pool::new(Arc::clone(&budget), options.chunk.bytes() as usize);
        Ok(Engine {
            shared: Arc::new(Shared {
                chunk_bytes: options.chunk.bytes(),
                chunk_bytes_max: options.chunk_max.bytes(),
                parts_in_flight: options.parts_in_flight,
                saves_calls: options.saves_calls,
                window_bytes: options.window.bytes(),
                stall_after: options.stall_after,
                budget,
                pool,
                throttle: options.throttle,
                hash_pool: HashPool::new(options.hash_threads)?,
                transfers: Gauge::default(),
                reads: Gauge::default(),
                appends: Gauge::default(),
                bytes_fetched: AtomicU64::new(0),
                bytes_pushed: AtomicU64::new(0),
            }),
        })
    }

    /// Moves one asset's bytes and proves that they arrived.
    ///
    /// Where the request has a journal, a commit that an earlier attempt was about to send is looked for
    /// first, and an upload session that it left goes on: what the sink acknowledged is neither read nor
    /// sent again. A disagreement of digests or lengths begins the transfer again, once. Cancelling (by `cancel` or
    /// by dropping the future) stops every request at once; cancelled during a commit, the content may
    /// be there all the same, and the next try's caller looks first, as after a crash.
    ///
    /// Errors: `SourceChanged` with the context `change` (`changed`, `grew`, `shrank`, `vanished`) when
    /// the pinned revision is no more; `Integrity` with both digests when they disagreed twice;
    /// `Ambiguous` when a commit's answer was lost and nothing was found; `Unavailable` when nothing moved for
    /// too long; `Conflict` when the journal says that another attempt has the step; `Cancelled`; `Unsupported`,
    /// `InvalidInput` and `Restricted` before anything moved; and whatever source and sink raise.
    pub async fn transfer(
        &self,
        source: &dyn Source,
        sink: &dyn Sink,
        request: &TransferRequest,
        cancel: &CancellationToken,
    ) -> Result<Transferred> {
        let job = Job::new(&self.shared, source, sink, request)?;
        let ended = Ended(request);
        // Boxed: the loop's state is some kilobytes, which callers should not carry in theirs.
        let outcome = select! {
            biased;
            () = cancel.cancelled() => Err(faults::cancelled()),
            outcome = Box::pin(job.run()) => outcome,
        };
        drop(ended);
        outcome.map_err(|error| error.with_context("asset", &request.asset.path))
    }

    /// Reads one asset only to know its digests: the same reads, window and budget, and no bytes sent.
    ///
    /// Errors: those of [`Engine::transfer`] that concern the source.
    pub async fn digest(
        &self,
        source: &dyn Source,
        asset: &Asset,
        cancel: &CancellationToken,
    ) -> Result<Digests> {
        let name = asset.path.name().to_owned();
        let request = TransferRequest {
            gate: None,
            asset: asset.clone(),
            destination: Destination::New {
                draft: Draft {
                    name: name.clone(),
                    file_name: name,
                    collection: asset.path.parent(),
                    asset_type: None,
                    fields: Vec::new(),
                    availability: None,
                    handing: None,
                    yields: BTreeSet::new(),
                },
            },
            correlation: Correlation::derive(
                "digest",
                "",
                asset.id.as_str(),
                asset.revision.as_str(),
            ),
            want_content_hash: true,
            progress: Arc::default(),
            journal: None,
        };
        let nowhere = Discard::new(self.shared.chunk_bytes_max);
        let read = self.transfer(source, &nowhere, &request, cancel).await?;
        Ok(read.digests)
    }

    /// How a content of `size` bytes is cut on its way to a sink, where it begins from nothing.
    ///
    /// Errors: `Unsupported` where the sink takes no chunks of these options.
    pub fn layout(&self, sink: &dyn Sink, size: u64) -> Result<ChunkLayout> {
        crate::cut::cut(&self.shared, sink, size)
    }

    /// What is under way now.
    pub fn gauges(&self) -> Gauges {
        let shared = &self.shared;
        Gauges {
            transfers: shared.transfers.level(),
            budget_used_bytes: shared.budget.used_bytes(),
            budget_waiting: shared.budget.waiting(),
            buffer_bytes: shared.pool.live_bytes(),
            reads: shared.reads.level(),
            appends: shared.appends.level(),
            hash_jobs: shared.hash_pool.jobs(),
            idle_bytes: shared.pool.idle_bytes(),
            bytes_fetched: shared.bytes_fetched.load(Ordering::Relaxed),
            bytes_pushed: shared.bytes_pushed.load(Ordering::Relaxed),
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Frees the buffers that are kept for reuse.
    pub fn trim(&self) {
        self.shared.pool.trim();
    }
}

/// Says that a transfer is over, whichever way it ends.
struct Ended<'a>(&'a TransferRequest);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.progress.end();
    }
}
