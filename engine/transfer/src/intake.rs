//! The intake of a transfer: memory, reads, order and digests.
//!
//! It has one owner, the transfer's loop, which calls [`Intake::ask`] to start what can start,
//! [`Intake::step`] to wait for one event and [`Intake::next_ready`] for what may be pushed. Memory is
//! asked for in the order of the chunks and for one chunk at a time; the budget's proof rests on that.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use windlass_core::{Digests, Result, UploadOrder};

use crate::budget::{Account, Grant};
use crate::faults;
use crate::hash::{ContentDigester, Hashing};
use crate::lane::HashLane;
use crate::layout::ChunkLayout;
use crate::pool::ChunkBuffer;
use crate::progress::Phase;
use crate::ring::OrderRing;
use crate::transfer::Job;
use crate::window::Window;

/// How many chunks a digest may wait for an earlier one. Where order does not matter to the sink, one
/// slow read then does not hold the others up; a waiting digest costs about 200 bytes.
const DIGEST_SPAN_MIN: u64 = 1024;

/// A chunk that was read.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Its index.
    pub(crate) index: u64,
    /// Where it starts, in bytes.
    pub(crate) offset: u64,
    /// Its bytes, which carry their grant.
    pub(crate) bytes: Bytes,
}

/// Chunks that were read and not yet pushed.
#[derive(Debug)]
enum Ready {
    /// They leave in order.
    InOrder(OrderRing<Chunk>),
    /// They leave as they came.
    AsRead(VecDeque<Chunk>),
}

/// See the module.
pub(crate) struct Intake<'a> {
    job: &'a Job<'a>,
    account: &'a Account,
    layout: ChunkLayout,
    // The next chunk that has no memory.
    next: u64,
    window: Window,
    memory: Option<BoxFuture<'a, Grant>>,
    reads: FuturesUnordered<BoxFuture<'a, Result<Chunk>>>,
    ready: Ready,
    lane: HashLane,
    digester: ContentDigester,
}

impl<'a> Intake<'a> {
    /// The intake of one try.
    pub(crate) fn new(job: &'a Job<'a>, account: &'a Account) -> Self {
        let hashing = Hashing::new(job.layout, job.wants_content_hash());
        let chunks_max = job.engine.window_bytes / job.layout.largest_bytes().max(1) + 1;
        let in_order =
            job.sink.capabilities().upload_order == UploadOrder::InOrder || hashing.needs_order();
        let span = chunks_max.max(DIGEST_SPAN_MIN);
        Intake {
            job,
            account,
            layout: job.layout,
            next: 0,
            window: Window::new(job.engine.window_bytes),
            memory: None,
            reads: FuturesUnordered::new(),
            ready: if in_order {
                Ready::InOrder(OrderRing::new(chunks_max))
            } else {
                Ready::AsRead(VecDeque::new())
            },
            lane: HashLane::new(Arc::clone(&job.engine.hash_pool), hashing, span),
            digester: ContentDigester::new(hashing),
        }
    }

    /// Asks for the next chunk's memory where the window has room.
    pub(crate) fn ask(&mut self) {
        if self.memory.is_some() || self.next == self.layout.count() {
            return;
        }
        let bytes = range_bytes(&self.layout, self.next);
        if self.window.has_room(bytes) && self.lane.reaches(self.next) {
            self.window.open(self.next, bytes);
            self.memory = Some(Box::pin(self.account.grant(bytes)));
        }
    }

    /// Whether [`Intake::step`] has something to wait for.
    pub(crate) fn is_busy(&self) -> bool {
        self.memory.is_some() || !self.reads.is_empty() || self.lane.is_busy()
    }

    /// Waits for one event and applies it. Cancel safe: each arm waits on something that stays here
    /// when the wait is dropped, and applying has no await.
    pub(crate) async fn step(&mut self) -> Result<()> {
        // Biased, and what gives memory back first: it may be what the last arm waits for.
        select! {
            biased;
            Some(index) = self.lane.finished(), if self.lane.is_busy() => self.hashed(index?),
            Some(chunk) = self.reads.next(), if !self.reads.is_empty() => self.arrived(chunk?)?,
            grant = wait(&mut self.memory), if self.memory.is_some() => self.start_read(grant),
            else => {}
        }
        Ok(())
    }

    /// A chunk that may be pushed now, while `under_way` others are.
    pub(crate) fn next_ready(&mut self, under_way: usize) -> Option<Chunk> {
        match &mut self.ready {
            Ready::AsRead(chunks) => chunks.pop_front(),
            Ready::InOrder(_) if under_way > 0 => None,
            Ready::InOrder(ring) => {
                let (_, chunk) = ring.pop()?;
                self.digester.take_bytes(&chunk.bytes);
                Some(chunk)
            }
        }
    }

    /// The sink took a chunk.
    pub(crate) fn pushed(&mut self, index: u64) {
        self.window.pushed(index);
    }

    /// Whether every chunk was read, hashed and pushed.
    pub(crate) fn is_done(&self) -> bool {
        self.next == self.layout.count() && self.memory.is_none() && self.window.bytes() == 0
    }

    /// The digests of the whole content, once [`Intake::is_done`].
    pub(crate) fn digests(self) -> Result<Digests> {
        let digests = self.digester.finish();
        digests.ok_or_else(|| faults::unexpected("a transfer ended before all digests were there"))
    }

    /// What the transfer waits for, while `under_way` chunks are with the sink.
    pub(crate) fn phase(&self, under_way: usize) -> Phase {
        let sink_is_behind = match &self.ready {
            Ready::InOrder(ring) => ring.next_is_here(),
            Ready::AsRead(_) => false,
        };
        if under_way > 0 && (sink_is_behind || self.reads.is_empty()) {
            Phase::Pushing
        } else if !self.reads.is_empty() {
            Phase::Reading
        } else if self.memory.is_some() {
            Phase::Starved
        } else {
            Phase::Hashing
        }
    }

    fn start_read(&mut self, grant: Grant) {
        self.memory = None;
        let index = self.next;
        self.next += 1;
        let bytes = range_bytes(&self.layout, index) as usize;
        let buffer = self.job.engine.pool.buffer(grant, bytes);
        self.reads.push(Box::pin(read(self.job, index, buffer)));
    }

    fn arrived(&mut self, chunk: Chunk) -> Result<()> {
        self.job.fetched(chunk.bytes.len() as u64);
        let index = chunk.index;
        if self.lane.submit(index, chunk.bytes.clone())? {
            self.hashed(index);
        }
        match &mut self.ready {
            Ready::AsRead(chunks) => chunks.push_back(chunk),
            Ready::InOrder(ring) => ring
                .insert(index, chunk)
                .map_err(|error| faults::unexpected(&error.to_string()))?,
        }
        Ok(())
    }

    fn hashed(&mut self, index: u64) {
        self.window.hashed(index);
        while let Some(digest) = self.lane.pop() {
            self.digester.take(digest);
        }
    }
}

/// Reads one chunk, and proves its length.
async fn read<'a>(job: &'a Job<'a>, index: u64, mut buffer: ChunkBuffer) -> Result<Chunk> {
    let _counted = job.engine.reads.enter();
    let range = job.layout.range(index);
    let (offset, asked) = (range.start, range.end - range.start);
    let outcome = job
        .source
        .read(job.asset(), range, buffer.bytes_mut())
        .await;
    let failure = match outcome {
        Ok(()) if buffer.len() as u64 == asked => {
            return Ok(Chunk {
                index,
                offset,
                bytes: buffer.freeze(),
            });
        }
        Ok(()) => faults::wrong_length(offset, asked, buffer.len() as u64),
        Err(error) => error,
    };
    // Looking takes a request's time; others can use the memory meanwhile.
    drop(buffer);
    if faults::may_be_change(failure.kind()) {
        return Err(faults::explain(job.source, job.asset(), failure).await);
    }
    Err(failure)
}

async fn wait(memory: &mut Option<BoxFuture<'_, Grant>>) -> Grant {
    match memory {
        Some(grant) => grant.await,
        None => std::future::pending().await,
    }
}

fn range_bytes(layout: &ChunkLayout, index: u64) -> u64 {
    let range = layout.range(index);
    range.end - range.start
}
