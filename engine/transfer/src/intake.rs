//! The intake of a transfer: memory, reads, order and digests.
//!
//! It has one owner, the transfer's loop, which calls [`Intake::ask`] to start what can start,
//! [`Intake::step`] to wait for one event and [`Intake::next_ready`] for what may be pushed. Memory is
//! asked for in the order of the chunks and for one chunk at a time; the budget's proof rests on that.
//! Chunks that the sink has from an earlier attempt are passed over, or read for their digest alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use windlass_core::{AssetStream, Chunk, Digests, Part, Result, UploadOrder};

use crate::budget::{Account, Grant};
use crate::faults;
use crate::hash::{ChunkDigest, ContentDigester, Hashing};
use crate::lane::HashLane;
use crate::layout::ChunkLayout;
use crate::pool::ChunkBuffer;
use crate::progress::Phase;
use crate::resume::AlreadyThere;
use crate::ring::OrderRing;
use crate::transfer::Job;
use crate::watch::Side;
use crate::window::Window;

/// How many chunks a digest may wait for an earlier one. Where order does not matter to the sink, one
/// slow read then does not hold the others up; a waiting digest costs about 200 bytes.
const DIGEST_SPAN_MIN: u64 = 1024;

/// A chunk that may be pushed.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Its index.
    pub(crate) index: u64,
    /// Its bytes, which carry their grant.
    pub(crate) chunk: Chunk,
}

/// What a read brought, and the stream to go on with where the source is read from front to back.
type Read = (Ready, Option<Box<dyn AssetStream>>);

/// Chunks that were read and not yet pushed.
#[derive(Debug)]
enum Queue {
    /// They leave in order.
    InOrder(OrderRing<Ready>),
    /// They leave as they came.
    AsRead(VecDeque<Ready>),
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
    reads: FuturesUnordered<BoxFuture<'a, Result<Read>>>,
    /// The stream between two reads; `None` for sources that read ranges, and before the first read.
    stream: Option<Box<dyn AssetStream>>,
    queue: Queue,
    /// Chunks that were read and leave only with their hash.
    unhashed: BTreeMap<u64, Ready>,
    there: AlreadyThere,
    lane: HashLane,
    digester: ContentDigester,
    /// Digests of chunks in flight, as they are journaled once the chunk is acknowledged.
    encoded: BTreeMap<u64, bytes::Bytes>,
}

impl<'a> Intake<'a> {
    /// The intake of one try, which passes over what is there already.
    pub(crate) fn new(
        job: &'a Job<'a>,
        account: &'a Account,
        hashing: Hashing,
        there: AlreadyThere,
    ) -> Self {
        let chunks_max = job.engine.window_bytes / job.layout.largest_bytes().max(1) + 1;
        let sent_in_order = job.sink.capabilities().upload_order == UploadOrder::InOrder;
        let in_order = sent_in_order || hashing.needs_order();
        let window = Window::new(job.engine.window_bytes);
        let span = chunks_max.max(DIGEST_SPAN_MIN);
        Intake {
            job,
            account,
            layout: job.layout,
            next: 0,
            window: match sent_in_order {
                // One is sent, one is at hand.
                true => window.beginning_with(2 * job.layout.largest_bytes()),
                false => window,
            },
            memory: None,
            reads: FuturesUnordered::new(),
            stream: None,
            queue: if in_order {
                Queue::InOrder(OrderRing::starting_at(there.first_missing(), chunks_max))
            } else {
                Queue::AsRead(VecDeque::new())
            },
            unhashed: BTreeMap::new(),
            there,
            encoded: BTreeMap::new(),
            lane: HashLane::new(Arc::clone(&job.engine.hash_pool), hashing, span),
            digester: ContentDigester::new(hashing),
        }
    }

    /// Asks for the next chunk's memory where the window has room.
    pub(crate) fn ask(&mut self) -> Result<()> {
        if self.memory.is_some() {
            return Ok(());
        }
        while self.lane.reaches(self.next)
            && let Some(digest) = self.there.known.remove(&self.next)
        {
            self.lane.recall(self.next, digest)?;
            self.next += 1;
            self.take_digests();
        }
        // A stream gives one piece after the other.
        let stream_is_out = !self.job.reads_ranges && !self.reads.is_empty();
        if self.next == self.layout.count() || stream_is_out {
            return Ok(());
        }
        let bytes = range_bytes(&self.layout, self.next);
        if self.window.has_room(bytes) && self.lane.reaches(self.next) {
            self.window.open(self.next, bytes);
            self.memory = Some(Box::pin(admit(self.job, self.account, bytes)));
        }
        Ok(())
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
            Some(index) = self.lane.finished(), if self.lane.is_busy() => self.hashed(index?)?,
            Some(read) = self.reads.next(), if !self.reads.is_empty() => self.arrived(read?)?,
            grant = wait(&mut self.memory), if self.memory.is_some() => self.start_read(grant),
            else => {}
        }
        Ok(())
    }

    /// A chunk that may be pushed now, while `under_way` others are.
    pub(crate) fn next_ready(&mut self, under_way: usize) -> Option<Ready> {
        match &mut self.queue {
            Queue::AsRead(chunks) => chunks.pop_front(),
            Queue::InOrder(_) if under_way > 0 => None,
            Queue::InOrder(ring) => {
                let (_, ready) = ring.pop()?;
                self.digester.take_bytes(&ready.chunk.bytes);
                Some(ready)
            }
        }
    }

    /// The sink took a chunk.
    pub(crate) fn pushed(&mut self, index: u64) -> Result<()> {
        if self.window.pushed(index) {
            self.settled(index)?;
        }
        Ok(())
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
        let sink_is_behind = match &self.queue {
            Queue::InOrder(ring) => ring.next_is_here(),
            Queue::AsRead(_) => false,
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
        self.reads.push(match self.job.reads_ranges {
            true => Box::pin(read(self.job, index, buffer)),
            false => Box::pin(read_on(self.job, self.stream.take(), index, buffer)),
        });
    }

    fn arrived(&mut self, (ready, stream): Read) -> Result<()> {
        self.stream = stream;
        let index = ready.index;
        let bytes = ready.chunk.bytes.clone();
        self.job.fetched(bytes.len() as u64);
        if self.there.unread.contains(&index) {
            // Read for its digest alone.
            drop(ready);
            self.job.request.progress.pushed(bytes.len() as u64);
            self.pushed(index)?;
        } else if self.job.hashes_first {
            self.unhashed.insert(index, ready);
        } else {
            self.enqueue(ready)?;
        }
        if self.lane.submit(index, bytes)? {
            self.hashed(index)?;
        }
        Ok(())
    }

    fn enqueue(&mut self, ready: Ready) -> Result<()> {
        match &mut self.queue {
            Queue::AsRead(chunks) => {
                chunks.push_back(ready);
                Ok(())
            }
            Queue::InOrder(ring) => ring
                .insert(ready.index, ready)
                .map_err(|error| faults::unexpected(&error.to_string())),
        }
    }

    /// The digest of a chunk is here.
    fn hashed(&mut self, index: u64) -> Result<()> {
        let digest = self.lane.digest(index);
        if self.job.journals {
            let encoded = digest.and_then(ChunkDigest::encode);
            self.encoded.extend(encoded.map(|encoded| (index, encoded)));
        }
        if let Some(mut ready) = self.unhashed.remove(&index) {
            ready.chunk.content_hash = digest.and_then(ChunkDigest::content_hash);
            self.enqueue(ready)?;
        }
        let settled = self.window.hashed(index);
        self.take_digests();
        match settled {
            true => self.settled(index),
            false => Ok(()),
        }
    }

    fn take_digests(&mut self) {
        while let Some(digest) = self.lane.pop() {
            self.digester.take(digest);
        }
    }

    /// A chunk is acknowledged and hashed: another process need not read it again.
    fn settled(&mut self, index: u64) -> Result<()> {
        let (Some(digest), Some(journal)) = (
            self.encoded.remove(&index),
            self.job.request.journal.as_ref(),
        ) else {
            return Ok(());
        };
        let range = self.layout.range(index);
        let part = Part {
            offset: range.start,
            length: range.end - range.start,
            digest,
        };
        self.job.written(journal.acknowledged(part))
    }
}

/// Reads one chunk, and proves its length. A read that hangs is dropped and made again, once.
async fn read<'a>(job: &'a Job<'a>, index: u64, mut buffer: ChunkBuffer) -> Result<Read> {
    let _counted = job.engine.reads.enter();
    let (source, range) = (job.source, job.layout.range(index));
    let call = job.watch.call(Side::Source, range.clone());
    let reading = source.read(job.asset(), range.clone(), buffer.bytes_mut());
    let outcome = match job.watch.unless_hung(&call, reading).await {
        Some(outcome) => outcome,
        None => {
            tracing::warn!(path = %job.asset().path, ?range, "a read hangs and is made again");
            buffer.restart();
            source.read(job.asset(), range, buffer.bytes_mut()).await
        }
    };
    drop(call);
    complete(job, index, buffer, outcome)
        .await
        .map(|ready| (ready, None))
}

/// Reads the next chunk of a source that is read from front to back. The last one proves that nothing
/// follows.
async fn read_on<'a>(
    job: &'a Job<'a>,
    stream: Option<Box<dyn AssetStream>>,
    index: u64,
    mut buffer: ChunkBuffer,
) -> Result<Read> {
    let _counted = job.engine.reads.enter();
    let range = job.layout.range(index);
    let call = job.watch.call(Side::Source, range.clone());
    let mut stream = match stream {
        Some(stream) => stream,
        None => job.source.open(job.asset()).await?,
    };
    let mut outcome = stream
        .next(range.end - range.start, buffer.bytes_mut())
        .await;
    if outcome.is_ok() && index + 1 == job.layout.count() {
        outcome = stream.end().await;
    }
    drop(call);
    let ready = complete(job, index, buffer, outcome).await?;
    Ok((ready, Some(stream)))
}

/// A read chunk, if it has the length that was asked for.
async fn complete<'a>(
    job: &'a Job<'a>,
    index: u64,
    buffer: ChunkBuffer,
    outcome: Result<()>,
) -> Result<Ready> {
    let range = job.layout.range(index);
    let (offset, asked) = (range.start, range.end - range.start);
    let failure = match outcome {
        Ok(()) if buffer.len() as u64 == asked => {
            return Ok(Ready {
                index,
                chunk: Chunk::new(offset, buffer.freeze()),
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

/// Lets a chunk in: by the rate first, so that nobody holds memory while it waits for that. What is read is sent, so
/// this bounds both directions.
async fn admit<'a>(job: &'a Job<'a>, account: &'a Account, bytes: u64) -> Grant {
    if let Some(throttle) = &job.engine.throttle {
        throttle.pass(bytes).await;
    }
    account.grant(bytes).await
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
