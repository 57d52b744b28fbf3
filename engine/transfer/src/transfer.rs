//! One transfer: let in, move the bytes, agree on the digests, commit, and look when the answer is lost.
//!
//! Everything runs in the caller's task: dropping the future drops every request, buffer and permit at
//! once (a chunk that a hash thread holds follows within its milliseconds). Nothing is committed
//! unless every byte of the pinned revision was read, handed over and agrees with what the source
//! states.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use tokio::time::{Instant, sleep};
use windlass_core::{
    Asset, Capabilities, Correlation, Destination, Digests, Error, Expected, Journal, Kind, Placed,
    Ranges, Readable, Result, Sink, Source, Unfinished, UploadOrder, UploadSession,
};

use crate::budget::Account;
use crate::engine::{PARTS, PARTS_IN_FLIGHT, Shared};
use crate::faults;
use crate::hash::Hashing;
use crate::intake::{Intake, Ready};
use crate::layout::{ChunkLayout, LEAF_BYTES};
use crate::progress::{Phase, Progress};
use crate::resume::{AlreadyThere, SessionNote};

/// How long telling a sink that a session is given up may take. It is best effort: sessions that are
/// not given up expire at the service.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// What is to be moved, and where.
#[derive(Clone, Debug)]
pub struct TransferRequest {
    /// The asset, at the revision that is to be read.
    pub asset: Asset,
    /// Where its bytes go.
    pub destination: Destination,
    /// The mark by which a lost commit is found again. Equal in every try of the same step.
    pub correlation: Correlation,
    /// Computes the content hash even where neither side states one.
    pub want_content_hash: bool,
    /// Where the transfer says how far it is.
    pub progress: Arc<Progress>,
    /// Where it writes down what another attempt can go on with, and finds what an earlier one left. Without
    /// one every attempt begins from nothing.
    pub journal: Option<Arc<dyn Journal>>,
}

/// What a transfer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// What the sink holds now.
    pub placed: Placed,
    /// The digests of the bytes that passed through.
    pub digests: Digests,
    /// Bytes that the sink took, those of a try that was given up included.
    pub bytes_moved: u64,
    /// How often the transfer began again because something did not agree; at most 1.
    pub restarts: u32,
    /// True when what a commit whose answer was lost had done was found: this one's or an earlier attempt's.
    pub adopted: bool,
    /// Bytes that an earlier attempt had brought to the sink: they were not sent again.
    pub bytes_resumed: u64,
}

/// A transfer under way.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Shared,
    pub(crate) source: &'a dyn Source,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) request: &'a TransferRequest,
    pub(crate) layout: ChunkLayout,
    /// The source reads ranges, so several reads may be under way.
    pub(crate) reads_ranges: bool,
    /// A chunk leaves only with its content hash.
    pub(crate) hashes_first: bool,
    /// Parts are journaled, because a session of this sink survives.
    pub(crate) journals: bool,
    hashing: Hashing,
    moved: AtomicU64,
    resumed: AtomicU64,
    stirred: Mutex<Instant>,
    unfinished: Mutex<Unfinished>,
}

impl<'a> Job<'a> {
    /// Checks what can be checked before anything moves.
    ///
    /// Errors: `Restricted` and `Unsupported` by the asset's readability, `InvalidInput` when it is
    /// too large for the sink, `Unsupported` when the two sheets and the chunk size do not fit.
    pub(crate) fn new(
        engine: &'a Shared,
        source: &'a dyn Source,
        sink: &'a dyn Sink,
        request: &'a TransferRequest,
    ) -> Result<Self> {
        check_asset(sink, &request.asset)?;
        let journal = request.journal.as_ref();
        let unfinished =
            journal.map_or_else(Unfinished::default, |journal| journal.take_unfinished());
        let size = request.asset.size;
        let sheet = sink.capabilities();
        let layout = match resumed_layout(engine, sheet, size, &unfinished) {
            Some(layout) => layout,
            None => cut(engine, sink, size)?,
        };
        let wants_content_hash = request.want_content_hash
            || request.asset.content_hash.is_some()
            || sheet.states_content_hash
            || sheet.wants_chunk_hash;
        let hashing = Hashing::new(layout, wants_content_hash);
        let survives = sheet.resumes && sheet.upload_order == UploadOrder::Any;
        Ok(Job {
            engine,
            source,
            sink,
            request,
            layout,
            reads_ranges: source.capabilities().range_reads || layout.count() <= 1,
            // Chunks below a block have no digests of blocks to make a hash of.
            hashes_first: sheet.wants_chunk_hash && !hashing.needs_order(),
            journals: journal.is_some() && survives && layout.count() > 1 && !hashing.needs_order(),
            hashing,
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            stirred: Mutex::new(Instant::now()),
            unfinished: Mutex::new(unfinished),
        })
    }

    pub(crate) fn asset(&self) -> &'a Asset {
        &self.request.asset
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.stir();
        self.request.progress.fetched(bytes);
        self.engine
            .bytes_fetched
            .fetch_add(bytes, Ordering::Relaxed);
    }

    fn pushed(&self, bytes: u64) {
        self.stir();
        self.request.progress.pushed(bytes);
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.engine.bytes_pushed.fetch_add(bytes, Ordering::Relaxed);
    }

    fn enter(&self, phase: Phase) {
        if self.request.progress.enter(phase) {
            self.stir();
        }
    }

    /// Something moved.
    fn stir(&self) {
        *self.stirred.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Runs the transfer, a second time if something did not agree the first time.
    pub(crate) async fn run(&self) -> Result<Transferred> {
        self.request.progress.begin(self.layout.size());
        let _counted = self.engine.transfers.enter();
        let account = self.engine.budget.admit(self.layout.largest_bytes()).await;
        self.stir();
        let unfinished = std::mem::take(
            &mut *self
                .unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let first = match self.watched(&account, unfinished).await {
            Err(error) if error.kind() == Kind::Integrity => error,
            outcome => return outcome.map(|done| self.report(done, 0)),
        };
        tracing::warn!(path = %self.asset().path, error = %first.chain(), "beginning again");
        self.request.progress.restart();
        self.resumed.store(0, Ordering::Relaxed);
        if let Some(journal) = &self.request.journal {
            journal.restarted().await?;
        }
        match self.watched(&account, Unfinished::default()).await {
            Ok(done) => Ok(self.report(done, 1)),
            // Twice the same kind of trouble: the first one is the cause.
            Err(second) if second.kind() == Kind::Integrity => {
                Err(first.with_context("second try", second))
            }
            Err(second) => Err(second.with_context("first try", first)),
        }
    }

    fn report(&self, (placed, digests, adopted): Done, restarts: u32) -> Transferred {
        Transferred {
            placed,
            digests,
            bytes_moved: self.moved.load(Ordering::Relaxed),
            restarts,
            adopted,
            bytes_resumed: self.resumed.load(Ordering::Relaxed),
        }
    }

    /// An attempt that ends when nothing moves for too long.
    async fn watched(&self, account: &Account, unfinished: Unfinished) -> Result<Done> {
        select! {
            biased;
            outcome = self.attempt(account, unfinished) => outcome,
            stalled = self.stalled() => Err(stalled),
        }
    }

    /// Waits until nothing moved for too long and nobody says why.
    async fn stalled(&self) -> Error {
        let patience = self.engine.stall_after;
        loop {
            let stirred = *self.stirred.lock().unwrap_or_else(PoisonError::into_inner);
            let silent = stirred.elapsed();
            if silent < patience {
                sleep(patience - silent).await;
                continue;
            }
            let seen = self.request.progress.snapshot();
            let explained = matches!(seen.phase, Phase::Queued | Phase::Starved)
                || self.source.held_back().is_some()
                || self.sink.held_back().is_some();
            if !explained {
                let message = format!(
                    "nothing moved for {} s; it {}",
                    silent.as_secs(),
                    seen.phase.reason()
                );
                return Error::new(Kind::Unavailable, message)
                    .with_context("read", seen.bytes_fetched)
                    .with_context("taken by the sink", seen.bytes_pushed)
                    .with_context("of", seen.bytes_total);
            }
            self.stir();
        }
    }

    async fn attempt(&self, account: &Account, unfinished: Unfinished) -> Result<Done> {
        if let Some(intent) = &unfinished.intent
            && let Some(placed) = self.placed_before(intent).await?
        {
            return Ok((placed, *intent, true));
        }
        let (resumed, there) = match self.resume(&unfinished).await? {
            Some((session, there)) => (Some(session), there),
            None => (None, AlreadyThere::default()),
        };
        let mut intake = Intake::new(self, account, self.hashing, there);
        let session = match resumed {
            Some(session) => session,
            None => {
                self.enter(Phase::Opening);
                self.open(&mut intake).await?
            }
        };
        let digests = match self.move_bytes(intake, &*session).await {
            Ok(digests) => digests,
            Err(error) => {
                self.leave(session, &error).await;
                return Err(error);
            }
        };
        self.enter(Phase::Committing);
        if let Some(journal) = &self.request.journal {
            journal.intend(&digests).await?;
        }
        match session.commit(&digests).await {
            Ok(placed) => match faults::sink_disagrees(&placed, &digests) {
                None => Ok((placed, digests, false)),
                Some(error) => Err(self.undo(&placed, error).await),
            },
            Err(error) if error.kind() == Kind::Ambiguous => {
                let placed = self.look(&digests, error).await?;
                Ok((placed, digests, true))
            }
            Err(error) => Err(error),
        }
    }

    /// What an earlier attempt placed that had noted its intent and never learned the outcome.
    async fn placed_before(&self, intent: &Digests) -> Result<Option<Placed>> {
        self.enter(Phase::Looking);
        let (expected, request) = (Expected::from(intent), self.request);
        let found = self
            .sink
            .find(&request.destination, &request.correlation, &expected)
            .await?;
        // What carries our mark and has other bytes is not what was intended: the commit will say so.
        Ok(found.filter(|placed| faults::sink_disagrees(placed, intent).is_none()))
    }

    /// Goes on with the session that an earlier attempt noted, if the sink still has it.
    async fn resume(
        &self,
        unfinished: &Unfinished,
    ) -> Result<Option<(Box<dyn UploadSession>, AlreadyThere)>> {
        let note = unfinished.session.as_deref().and_then(SessionNote::read);
        let Some(note) = note.filter(|note| self.journals && self.layout.cuts_by(note.chunk))
        else {
            return Ok(None);
        };
        self.enter(Phase::Opening);
        let parts = &unfinished.parts;
        let ranges = parts
            .iter()
            .map(|part| part.offset..part.offset + part.length);
        let acknowledged: Ranges = ranges.collect();
        let request = self.request;
        let resumed = self
            .sink
            .resume(
                &request.destination,
                self.layout.size(),
                &request.correlation,
                &note.session,
                &acknowledged.to_vec(),
            )
            .await?;
        Ok(resumed.map(|session| {
            let acknowledged: Ranges = session.acknowledged().into_iter().collect();
            let there = AlreadyThere::new(
                &self.layout,
                &self.hashing,
                &acknowledged,
                parts,
                self.reads_ranges,
            );
            let known = there.known.keys().map(|index| self.layout.range(*index));
            let known: u64 = known.map(|range| range.end - range.start).sum();
            let unread = there.unread.iter().map(|index| self.layout.range(*index));
            let unread: u64 = unread.map(|range| range.end - range.start).sum();
            self.request.progress.recalled(known);
            self.resumed.store(known + unread, Ordering::Relaxed);
            (session, there)
        }))
    }

    /// Leaves a session whose attempt failed: to the next attempt where that can go on, else for good.
    async fn leave(&self, session: Box<dyn UploadSession>, error: &Error) {
        if self.journals && error.is_temporary() && error.kind() != Kind::Integrity {
            drop(session);
        } else {
            abort(session).await;
        }
    }

    /// Opens the upload session while the first reads are already under way.
    async fn open(&self, intake: &mut Intake<'_>) -> Result<Box<dyn UploadSession>> {
        let request = self.request;
        let mut begin = pin!(self.sink.begin(
            &request.destination,
            self.layout.size(),
            &request.correlation
        ));
        loop {
            intake.ask()?;
            select! {
                biased;
                session = &mut begin => return self.opened(session?).await,
                stepped = intake.step(), if intake.is_busy() => stepped?,
            }
        }
    }

    /// Notes a session that survives this process.
    async fn opened(&self, session: Box<dyn UploadSession>) -> Result<Box<dyn UploadSession>> {
        let words = session.checkpoint().filter(|_| self.journals);
        if let (Some(words), Some(journal)) = (words, &self.request.journal) {
            let note = SessionNote {
                chunk: self.layout.chunk_bytes(),
                session: words,
            };
            journal.opened(&note.write()).await?;
        }
        Ok(session)
    }

    /// Reads, hashes and pushes every chunk, and holds our digests against the source's.
    async fn move_bytes(
        &self,
        mut intake: Intake<'_>,
        session: &dyn UploadSession,
    ) -> Result<Digests> {
        let mut pushes = FuturesUnordered::new();
        loop {
            intake.ask()?;
            while let Some(ready) = intake.next_ready(pushes.len()) {
                pushes.push(self.push(session, ready));
            }
            if intake.is_done() {
                break;
            }
            self.enter(intake.phase(pushes.len()));
            // Biased, and acknowledgements first: they give window and memory back. Cancel safe: both
            // arms wait on what stays here.
            select! {
                biased;
                Some(index) = pushes.next(), if !pushes.is_empty() => intake.pushed(index?)?,
                stepped = intake.step(), if intake.is_busy() => stepped?,
                else => return Err(faults::unexpected("a transfer has nothing left to wait for")),
            }
        }
        drop(pushes);
        let digests = intake.digests()?;
        match faults::source_disagrees(self.asset(), &digests) {
            None => Ok(digests),
            Some(error) => Err(faults::explain(self.source, self.asset(), error).await),
        }
    }

    async fn push(&self, session: &dyn UploadSession, ready: Ready) -> Result<u64> {
        let _counted = self.engine.appends.enter();
        let bytes = ready.chunk.bytes.len() as u64;
        session.append(ready.chunk).await?;
        self.pushed(bytes);
        Ok(ready.index)
    }

    /// A commit's answer was lost: finds out what became of it. What is not found is for the caller to
    /// try again, so the error stays ambiguous and temporary.
    async fn look(&self, digests: &Digests, lost: Error) -> Result<Placed> {
        self.enter(Phase::Looking);
        let request = self.request;
        let expected = Expected::from(digests);
        let found = self
            .sink
            .find(&request.destination, &request.correlation, &expected)
            .await;
        match found {
            Ok(Some(placed)) => match faults::sink_disagrees(&placed, digests) {
                None => Ok(placed),
                // It carries our mark, but perhaps another try's bytes: not ours to remove.
                Some(error) => Err(Error::new(Kind::Conflict, error.message().to_owned())
                    .with_context("after a lost answer", lost)),
            },
            Ok(None) => Err(lost.with_context("looked", "nothing was placed")),
            Err(failure) => Err(lost.with_context("looking failed", failure)),
        }
    }

    /// Takes away what does not agree with what was handed over.
    async fn undo(&self, placed: &Placed, error: Error) -> Error {
        self.enter(Phase::Undoing);
        match self.sink.remove(placed).await {
            Ok(()) => error.with_context("undone", "what was placed was removed again"),
            Err(failure) => error
                .with_context("left behind", &placed.asset)
                .with_context("removing it failed", failure),
        }
    }
}

type Done = (Placed, Digests, bool);

async fn abort(session: Box<dyn UploadSession>) {
    match tokio::time::timeout(ABORT_PATIENCE, session.abort()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = %error.chain(), "a session was not given up"),
        Err(_) => tracing::debug!("giving up a session took too long"),
    }
}

fn check_asset(sink: &dyn Sink, asset: &Asset) -> Result<()> {
    match asset.readable {
        Readable::Yes => {}
        Readable::NeedsExport => {
            return Err(Error::new(
                Kind::Unsupported,
                "the asset has no bytes of its own, only an export",
            ));
        }
        Readable::Restricted => {
            return Err(Error::new(
                Kind::Restricted,
                "the asset's bytes may not be read",
            ));
        }
    }
    match sink.capabilities().asset_bytes_max {
        Some(max) if asset.size > max => Err(Error::new(
            Kind::InvalidInput,
            format!(
                "the asset has {} bytes, and {} takes at most {max}",
                asset.size,
                sink.name()
            ),
        )),
        _ => Ok(()),
    }
}

/// The chunks that both sides and the digests can work with.
fn cut(engine: &Shared, sink: &dyn Sink, size: u64) -> Result<ChunkLayout> {
    let sheet = sink.capabilities();
    let max = engine.chunk_bytes_max.min(sheet.chunk_bytes_max);
    let whole = engine.chunk_bytes.min(max);
    if size <= whole {
        return ChunkLayout::new(size, whole).map_err(|error| unfit(error.to_string()));
    }
    if max < LEAF_BYTES {
        return Err(unfit(format!(
            "{} takes at most {max} bytes at once, below the least that can be hashed apart, {LEAF_BYTES}",
            sink.name()
        )));
    }
    let most = power_of_two_below(max);
    let wanted = match engine.saves_calls {
        true => engine.window_bytes / 2,
        false => (engine.window_bytes / PARTS_IN_FLIGHT).min(size / PARTS),
    };
    let chunk = power_of_two_below(wanted.max(1)).clamp(engine.chunk_bytes.min(most), most);
    let multiple = sheet.chunk_multiple.max(1);
    if !u64::is_multiple_of(chunk, multiple) {
        return Err(unfit(format!(
            "{} takes multiples of {multiple} bytes, and a chunk of {chunk} is {} times that and {} over",
            sink.name(),
            chunk / multiple,
            chunk % multiple
        )));
    }
    ChunkLayout::new(size, chunk).map_err(|error| unfit(error.to_string()))
}

/// The cut of a session that an earlier attempt opened, where it still is within all limits.
fn resumed_layout(
    engine: &Shared,
    sheet: &Capabilities,
    size: u64,
    unfinished: &Unfinished,
) -> Option<ChunkLayout> {
    let chunk = SessionNote::read(unfinished.session.as_deref()?)?.chunk;
    let fits = chunk >= LEAF_BYTES
        && chunk <= engine.window_bytes.min(sheet.chunk_bytes_max)
        && chunk.is_multiple_of(sheet.chunk_multiple.max(1))
        && size > chunk;
    // A chunk that is no power of two is refused here.
    ChunkLayout::new(size, chunk).ok().filter(|_| fits)
}

fn power_of_two_below(number: u64) -> u64 {
    1 << number.ilog2()
}

fn unfit(message: String) -> Error {
    Error::new(Kind::Unsupported, message)
        .with_hint("transfer.chunk sets the size of a chunk, within what both endpoints allow")
}
