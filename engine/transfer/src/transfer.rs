//! One transfer: let in, move the bytes, agree on the digests, commit, and look when the answer is lost.
//!
//! Everything runs in the caller's task: dropping the future drops every request, buffer and permit at
//! once (a chunk that a hash thread holds follows within its milliseconds). Nothing is committed
//! unless every byte of the pinned revision was read, handed over and agrees with what the source
//! states.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::select;
use windlass_core::{
    Asset, Correlation, Destination, Digests, Error, Expected, Kind, Placed, Readable, Result,
    Sink, Source, UploadSession,
};

use crate::budget::Account;
use crate::engine::Shared;
use crate::faults;
use crate::intake::{Chunk, Intake};
use crate::layout::{ChunkLayout, LEAF_BYTES};
use crate::progress::{Phase, Progress};

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
    /// True when the commit's answer was lost and what it did was found.
    pub adopted: bool,
}

/// A transfer under way.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Shared,
    pub(crate) source: &'a dyn Source,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) request: &'a TransferRequest,
    pub(crate) layout: ChunkLayout,
    moved: AtomicU64,
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
        Ok(Job {
            engine,
            source,
            sink,
            request,
            layout: cut(engine.chunk_bytes, source, sink, request.asset.size)?,
            moved: AtomicU64::new(0),
        })
    }

    pub(crate) fn asset(&self) -> &'a Asset {
        &self.request.asset
    }

    /// Whether a side of the transfer, or the caller, speaks the content hash.
    pub(crate) fn wants_content_hash(&self) -> bool {
        self.request.want_content_hash
            || self.request.asset.content_hash.is_some()
            || self.sink.capabilities().states_content_hash
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

    /// Runs the transfer, a second time if something did not agree the first time.
    pub(crate) async fn run(&self) -> Result<Transferred> {
        self.request.progress.begin(self.layout.size());
        let _counted = self.engine.transfers.enter();
        let account = self.engine.budget.admit(self.layout.largest_bytes()).await;
        let first = match self.attempt(&account).await {
            Err(error) if error.kind() == Kind::Integrity => error,
            outcome => return outcome.map(|done| self.report(done, 0)),
        };
        tracing::warn!(path = %self.asset().path, error = %first.chain(), "beginning again");
        self.request.progress.restart();
        match self.attempt(&account).await {
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
        }
    }

    async fn attempt(&self, account: &Account) -> Result<Done> {
        let mut intake = Intake::new(self, account);
        self.enter(Phase::Opening);
        let session = self.open(&mut intake).await?;
        let digests = match self.move_bytes(intake, &*session).await {
            Ok(digests) => digests,
            Err(error) => {
                abort(session).await;
                return Err(error);
            }
        };
        self.enter(Phase::Committing);
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

    /// Opens the upload session while the first reads are already under way.
    async fn open(&self, intake: &mut Intake<'_>) -> Result<Box<dyn UploadSession>> {
        let request = self.request;
        let mut begin = pin!(self.sink.begin(
            &request.destination,
            self.layout.size(),
            &request.correlation
        ));
        loop {
            intake.ask();
            select! {
                biased;
                session = &mut begin => return session,
                stepped = intake.step(), if intake.is_busy() => stepped?,
            }
        }
    }

    /// Reads, hashes and pushes every chunk, and holds our digests against the source's.
    async fn move_bytes(
        &self,
        mut intake: Intake<'_>,
        session: &dyn UploadSession,
    ) -> Result<Digests> {
        let mut pushes = FuturesUnordered::new();
        loop {
            intake.ask();
            while let Some(chunk) = intake.next_ready(pushes.len()) {
                pushes.push(self.push(session, chunk));
            }
            if intake.is_done() {
                break;
            }
            self.enter(intake.phase(pushes.len()));
            // Biased, and acknowledgements first: they give window and memory back. Cancel safe: both
            // arms wait on what stays here.
            select! {
                biased;
                Some(index) = pushes.next(), if !pushes.is_empty() => intake.pushed(index?),
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

    async fn push(&self, session: &dyn UploadSession, chunk: Chunk) -> Result<u64> {
        let _counted = self.engine.appends.enter();
        let bytes = chunk.bytes.len() as u64;
        session.append(chunk.offset, chunk.bytes).await?;
        self.pushed(bytes);
        Ok(chunk.index)
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

/// The chunks that both sides and the digests can work with, at most `chunk_bytes` each.
fn cut(chunk_bytes: u64, source: &dyn Source, sink: &dyn Sink, size: u64) -> Result<ChunkLayout> {
    let sheet = sink.capabilities();
    let max = chunk_bytes.min(sheet.chunk_bytes_max);
    if size <= max {
        return ChunkLayout::new(size, max).map_err(|error| unfit(error.to_string()));
    }
    if !source.capabilities().range_reads {
        return Err(unfit(format!(
            "{} reads only whole assets, and {size} bytes do not fit in one chunk of {max}",
            source.name()
        )));
    }
    if max < LEAF_BYTES {
        return Err(unfit(format!(
            "{} takes at most {max} bytes at once, below the least that can be hashed apart, {LEAF_BYTES}",
            sink.name()
        )));
    }
    // The largest power of two that is not above it.
    let chunk = 1 << max.ilog2();
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

fn unfit(message: String) -> Error {
    Error::new(Kind::Unsupported, message)
        .with_hint("transfer.chunk sets the size of a chunk, within what both endpoints allow")
}
