//! One transfer: let in, move the bytes, agree on the digests, commit, and look when the answer is lost.
//!
//! Everything runs in the caller's task: dropping the future drops every request, buffer and permit at
//! once (a chunk that a hash thread holds follows within its milliseconds). Nothing is committed
//! unless every byte of the pinned revision was read, handed over and agrees with what the source
//! states.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use windlass_core::{
    Asset, Correlation, Destination, Digests, Error, Expected, Journal, Kind, Placed, Ranges,
    Readable, Result, Sink, Source, Status, Unfinished, UploadOrder, UploadSession,
};

use crate::budget::Account;
use crate::cut::{cut, resumed_layout};
use crate::engine::Shared;
use crate::faults;
use crate::hash::Hashing;
use crate::intake::{Intake, Ready};
use crate::layout::ChunkLayout;
use crate::progress::{Phase, Progress};
use crate::resume::{AlreadyThere, SessionNote};
use crate::watch::{Side, Watch};

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
    /// Who must agree once more right before the content becomes visible.
    pub gate: Option<Arc<dyn Gate>>,
    /// Where it writes down what another attempt can go on with, and finds what an earlier one left. Without
    /// one every attempt begins from nothing.
    pub journal: Option<Arc<dyn Journal>>,
}

/// Somebody who must agree before a content becomes visible: whether rights allow it at that moment.
#[async_trait]
pub trait Gate: Send + Sync + std::fmt::Debug {
    /// Asked when all bytes are there, before the commit is intended. An error ends the transfer: nothing becomes visible.
    async fn pass(&self) -> Result<()>;
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
    /// An append that hangs may be made again.
    repeats: bool,
    pub(crate) watch: Watch<'a>,
    hashing: Hashing,
    moved: AtomicU64,
    resumed: AtomicU64,
    /// Another attempt has the step by now.
    superseded: AtomicBool,
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
        let in_parts = layout.count() > 1;
        let wants_content_hash = request.want_content_hash
            || request.asset.content_hash.is_some()
            || sheet.states_content_hash
            || sheet.wants_chunk_hash;
        let hashing = Hashing::new(layout, wants_content_hash);
        Ok(Job {
            engine,
            source,
            sink,
            request,
            layout,
            reads_ranges: source.capabilities().range_reads || !in_parts,
            // Chunks below a block have no digests of blocks to make a hash of.
            hashes_first: sheet.wants_chunk_hash && !hashing.needs_order(),
            journals: journal.is_some() && sheet.resumes && in_parts && !hashing.needs_order(),
            repeats: sheet.resumes && in_parts,
            watch: Watch::new(
                engine.stall_after,
                source,
                sink,
                Arc::clone(&request.progress),
            ),
            hashing,
            moved: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            superseded: AtomicBool::new(false),
            unfinished: Mutex::new(unfinished),
        })
    }

    pub(crate) fn asset(&self) -> &'a Asset {
        &self.request.asset
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.request.progress.fetched(bytes);
        self.engine
            .bytes_fetched
            .fetch_add(bytes, Ordering::Relaxed);
    }

    fn pushed(&self, bytes: u64) {
        self.request.progress.pushed(bytes);
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.engine.bytes_pushed.fetch_add(bytes, Ordering::Relaxed);
    }

    fn enter(&self, phase: Phase) {
        self.request.progress.enter(phase);
    }

    /// What the journal answered, after a look whether the step is still this attempt's.
    pub(crate) fn written(&self, answer: Result<()>) -> Result<()> {
        if let Err(error) = &answer
            && error.kind() == Kind::Conflict
        {
            self.superseded.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// Runs the transfer, a second time if something did not agree the first time.
    pub(crate) async fn run(&self) -> Result<Transferred> {
        let (budget, progress) = (&self.engine.budget, &self.request.progress);
        let customer = progress.begin(self.layout.size(), budget);
        let _counted = self.engine.transfers.enter();
        let account = budget.admit(customer, self.layout.largest_bytes()).await;
        progress.stir();
        let unfinished = std::mem::take(
            &mut *self
                .unfinished
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let first = match self.attempt(&account, unfinished).await {
            Err(error) if error.kind() == Kind::Integrity => error,
            outcome => return outcome.map(|done| self.report(done, 0)),
        };
        tracing::warn!(path = %self.asset().path, error = %first.chain(), "beginning again");
        self.request.progress.restart();
        self.resumed.store(0, Ordering::Relaxed);
        if let Some(journal) = &self.request.journal {
            self.written(journal.restarted().await)?;
        }
        match self.attempt(&account, Unfinished::default()).await {
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

    async fn attempt(&self, account: &Account, unfinished: Unfinished) -> Result<Done> {
        if let Some(intent) = &unfinished.intent
            && intent.size == self.layout.size()
            && let Some(placed) = self.watch.over(self.placed_before(intent)).await?
        {
            return Ok((placed, *intent, true));
        }
        let (resumed, there) = match self.watch.over(self.resume(&unfinished)).await? {
            Some((session, there)) => (Some(session), there),
            None => (None, AlreadyThere::default()),
        };
        let mut intake = Intake::new(self, account, self.hashing, there);
        let session = match resumed {
            Some(session) => session,
            None => {
                self.enter(Phase::Opening);
                self.watch.over(self.open(&mut intake)).await?
            }
        };
        let moving = self.move_bytes(intake, &*session);
        let digests = match self.watch.over(moving).await {
            Ok(digests) => digests,
            Err(error) => {
                self.leave(session, &error).await;
                return Err(error);
            }
        };
        self.enter(Phase::Committing);
        if let Some(gate) = &self.request.gate
            && let Err(error) = self.watch.over(gate.pass()).await
        {
            self.leave(session, &error).await;
            return Err(error);
        }
        if let Some(journal) = &self.request.journal {
            let intended = self.written(journal.intend(&digests).await);
            if let Err(error) = intended {
                self.leave(session, &error).await;
                return Err(error);
            }
        }
        self.commit(session, digests).await
    }

    /// Makes the content visible. A commit whose answer does not come is one whose answer was lost.
    async fn commit(&self, session: Box<dyn UploadSession>, digests: Digests) -> Result<Done> {
        let answered = async { Ok(session.commit(&digests).await) };
        let answer = self.watch.over(answered).await.unwrap_or_else(|stalled| {
            Err(Error::new(Kind::Ambiguous, stalled.message()).with_source(stalled))
        });
        match answer {
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
        let fits = |note: &SessionNote| note.is_of(self.asset()) && self.layout.cuts_by(note.chunk);
        let Some(note) = note.filter(|note| self.journals && fits(note)) else {
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
                self.sink.capabilities().upload_order == UploadOrder::InOrder,
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

    /// Leaves a session whose attempt failed: to the next attempt, or the one that has the step by now, where that
    /// can go on; else for good.
    async fn leave(&self, session: Box<dyn UploadSession>, error: &Error) {
        let goes_on = error.status() != Status::Permanent && error.kind() != Kind::Integrity;
        if self.superseded.load(Ordering::Relaxed) || (self.journals && goes_on) {
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
                revision: self.asset().revision.clone(),
                size: self.layout.size(),
                chunk: self.layout.chunk_bytes(),
                session: words,
            };
            let noted = self.written(journal.opened(&note.write()).await);
            if let Err(error) = noted {
                // Nobody else knows of this session.
                abort(session).await;
                return Err(error);
            }
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

    /// Hands a chunk over. An append that hangs is dropped and made again once, where that is safe.
    async fn push(&self, session: &dyn UploadSession, ready: Ready) -> Result<u64> {
        let _counted = self.engine.appends.enter();
        let Ready { index, chunk } = ready;
        let range = chunk.range();
        let call = self.watch.call(Side::Sink, range.clone());
        if self.repeats {
            let appending = session.append(chunk.clone());
            match self.watch.unless_hung(&call, appending).await {
                Some(appended) => appended?,
                None => {
                    let path = &self.asset().path;
                    tracing::warn!(%path, ?range, "an append hangs and is made again");
                    session.append(chunk).await?;
                }
            }
        } else {
            session.append(chunk).await?;
        }
        drop(call);
        self.pushed(range.end - range.start);
        Ok(index)
    }

    /// A commit's answer was lost: finds out what became of it. What is not found is for the caller to
    /// try again, so the error stays ambiguous and temporary.
    async fn look(&self, digests: &Digests, lost: Error) -> Result<Placed> {
        self.enter(Phase::Looking);
        let request = self.request;
        let expected = Expected::from(digests);
        let finding = self
            .sink
            .find(&request.destination, &request.correlation, &expected);
        match self.watch.over(finding).await {
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
        match self.watch.over(self.sink.remove(placed)).await {
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
