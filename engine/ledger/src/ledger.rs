//! The ledger as the rest of the engine sees it: writes go to the writer, reads to the reader.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyPool;
use tokio::sync::{mpsc, oneshot, watch};
use windlass_core::{
    Action, Asset, AssetId, AssetPath, CallCount, CheckItem, Conflict, ContentHash, ContentRecord,
    Cursor, CustodyRecord, Error, FactsWanted, Hold, JOT_AGE_MAX, Kind, LeasedStep, Ledger,
    NewConflict, NewStep, Note, Placement, Resolution, Result, RunFacts, RunId, RunOrigin,
    RunRecord, RunState, Sharing, Spool, StepId, StepRecord, StepReport, StepState, Tally,
    Unfinished, Withdrawal, WorkerId,
};

use crate::backup;
use crate::check;
use crate::compact::{self, Compacted};
use crate::copy::Counts;
use crate::error::closed;
use crate::jots::Jots;
use crate::open::{self, Target};
use crate::options::LedgerOptions;
use crate::place::Place;
use crate::read::Reader;
use crate::spool::FileSpool;
use crate::write::{Answer, Work};
use crate::writer::{JOTS_A_FOLD, Request, Writer};

/// How many calls wait for the writer before callers wait to hand theirs over.
const WAITING_CALLS_MAX: usize = 1_024;

/// Jots are folded this long after the first of them, which leaves [`JOT_AGE_MAX`] some time for the commit.
const FOLD_AFTER: Duration = JOT_AGE_MAX.saturating_sub(Duration::from_millis(500));

/// A [`Ledger`] in one SQLite file, or in a database of a PostgreSQL server.
///
/// Close it with [`Ledger::close`]; when it is merely dropped, the writer still finishes what was
/// handed to it.
#[derive(Debug)]
pub struct SqlLedger {
    pub(crate) reader: Reader,
    /// `None` when opened for reading only.
    writer: Option<WriterHandle>,
}

#[derive(Clone, Debug)]
struct WriterHandle {
    jots: Arc<Jots>,
    requests: mpsc::Sender<Request>,
    /// Turns true when the writer has let go of the file.
    ended: watch::Receiver<bool>,
}

impl SqlLedger {
    /// Opens the ledger in a file, which is made if it is not there; its folder must be. Must be
    /// called within a tokio runtime, on which the writer then lives.
    ///
    /// Errors: `Conflict` while another process uses it; `Corrupt` for a damaged file or one that is
    /// no ledger; `Unsupported` for one of a newer version; `Config` where files
    /// cannot be written; `Capacity` where there is no room; `NotFound` when there is none to read.
    pub async fn open(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
        open::open(Place::of_file(path.as_ref())?, options).await
    }

    /// Opens the ledger at a place; in a file as [`SqlLedger::open`] does. The database of a server must be there; its
    /// tables are made where it is empty.
    ///
    /// Errors: those of [`SqlLedger::open`]; `Unauthenticated` and `Denied` for a user that may not; `Unavailable` while
    /// the server cannot be reached.
    pub async fn open_at(place: Place, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
        open::open(place, options).await
    }

    /// The file, absolute; for a ledger on a server what the names of its scratch files begin with.
    pub fn file(&self) -> &Path {
        self.place().beside()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.reader.target.place
    }

    /// Copies the ledger as it is now into a new SQLite file, compacted, while work goes on.
    ///
    /// Errors: `Conflict` when something is already at `copy`, `Capacity` where there is no room.
    pub async fn backup(&self, copy: &Path) -> Result<()> {
        self.fold_jots().await?;
        backup::backup(self, copy).await
    }

    /// Brings what is jotted into the tables, where this process writes them.
    pub(crate) async fn fold_jots(&self) -> Result<()> {
        match &self.writer {
            Some(writer) => writer.fold().await,
            None => Ok(()),
        }
    }

    /// Looks whether the ledger is whole: an item for each thing that was looked at. It may be in use.
    ///
    /// Errors: what prevents looking; never what is found.
    pub async fn check(&self) -> Result<Vec<CheckItem>> {
        check::check(&self.reader.target).await
    }

    /// Rewrites the ledger without the room that it does not need any more; forgets nothing. Nobody may use it
    /// meanwhile, and it needs as much room again while it works.
    ///
    /// Errors: those of [`SqlLedger::open_at`], and `NotFound` where there is none.
    pub async fn compact(place: Place, options: LedgerOptions) -> Result<Compacted> {
        compact::compact(place, options).await
    }

    /// Copies everything to another place, whichever database it is in there. Nobody may use the ledger meanwhile, so
    /// that nothing is missing from the copy. Interrupted, it is begun again by the same call: until then nobody opens
    /// what is there. The copy keeps the ledger's name, so that reviewed plans and exports go on; go on with one of both.
    ///
    /// Errors: those of [`SqlLedger::open_at`] for both, `NotFound` where there is nothing to copy, `Conflict` where a
    /// ledger is already, `Integrity` when less arrived than was sent.
    pub async fn copy(from: Place, to: Place, options: LedgerOptions) -> Result<Counts> {
        let ledger = open::open_existing(from, options.clone()).await?;
        let copied = ledger.copy_to(to, options).await;
        ledger.close().await?;
        copied
    }

    pub(crate) fn reading(target: Target, pool: AnyPool) -> Self {
        SqlLedger {
            reader: Reader { target, pool },
            writer: None,
        }
    }

    /// Starts the writer's task.
    pub(crate) fn writing(target: Target, pool: AnyPool, writer: Writer, jots: Jots) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_CALLS_MAX);
        let (end, ended) = watch::channel(false);
        drop(tokio::spawn(writer.run(waiting, end)));
        let writer = WriterHandle {
            jots: Arc::new(jots),
            requests,
            ended,
        };
        drop(tokio::spawn(fold_now_and_then(
            writer.requests.downgrade(),
            Arc::clone(&writer.jots),
            writer.ended.clone(),
        )));
        SqlLedger {
            reader: Reader { target, pool },
            writer: Some(writer),
        }
    }

    fn writer(&self) -> Result<&WriterHandle> {
        self.writer.as_ref().ok_or_else(|| {
            Error::new(Kind::Unsupported, "the ledger is opened for reading only")
                .with_context("ledger", self.place())
        })
    }

    /// Hands work to the writer and waits for its commit.
    async fn write(&self, work: Work) -> Result<Answer> {
        write(&self.writer()?.requests, work).await
    }

    async fn write_unit(&self, work: Work) -> Result<()> {
        self.write(work).await.map(drop)
    }

    async fn write_count(&self, work: Work) -> Result<u64> {
        match self.write(work).await? {
            Answer::Count(count) => Ok(count),
            other => Err(mismatched(&other)),
        }
    }
}

/// Hands work to the writer and waits for its commit.
async fn write(requests: &mpsc::Sender<Request>, work: Work) -> Result<Answer> {
    let (reply, answer) = oneshot::channel();
    let request = Request::Write { work, reply };
    requests.send(request).await.map_err(|_| closed())?;
    // The writer answers every request; a missing answer means that its task is gone.
    answer.await.map_err(|_| closed())?
}

/// Makes durable what is jotted by now.
///
/// May be dropped at any moment: what was handed to the writer is folded, and what is still pending is folded
/// again before anything that could contradict it.
async fn fold(requests: &mpsc::Sender<Request>, jots: &Jots) -> Result<()> {
    let last = jots.last();
    let _one_at_a_time = jots.folding.lock().await;
    let mut through = 0;
    while through < last {
        let Some(some) = jots.pending(JOTS_A_FOLD) else {
            break;
        };
        through = some.through;
        write(requests, Work::Fold { jots: some }).await?;
        jots.folded(through);
    }
    if through > 0 {
        jots.shorten();
    }
    Ok(())
}

/// Folds jots when they are old or many, until the ledger is closed or dropped.
async fn fold_now_and_then(
    requests: mpsc::WeakSender<Request>,
    jots: Arc<Jots>,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return,
            () = jots.some.notified() => {}
        }
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return,
            () = jots.many.notified() => {}
            () = tokio::time::sleep(FOLD_AFTER) => {}
        }
        let Some(requests) = requests.upgrade() else {
            return;
        };
        if let Err(error) = fold(&requests, &jots).await {
            tracing::warn!(error = %error.chain(), "notes of transfers in flight are not durable yet");
            drop(requests);
            // Not at once again, however many wait.
            tokio::time::sleep(FOLD_AFTER).await;
        }
        if jots.pending(1).is_some() {
            jots.some.notify_one();
        }
    }
}

impl WriterHandle {
    async fn fold(&self) -> Result<()> {
        fold(&self.requests, &self.jots).await
    }
}

fn mismatched(answer: &Answer) -> Error {
    Error::new(
        Kind::Unexpected,
        format!("a bug: the ledger's writer answered {answer:?}"),
    )
}

#[async_trait]
impl Ledger for SqlLedger {
    async fn id(&self) -> Result<String> {
        self.reader.id().await
    }

    async fn spool(&self) -> Result<Box<dyn Spool>> {
        Ok(Box::new(FileSpool::beside(self.file()).await?))
    }

    async fn begin_run(&self, run: RunId, flow: &str) -> Result<()> {
        let flow = flow.to_owned();
        self.write_unit(Work::BeginRun { run, flow }).await
    }

    async fn add_steps(&self, run: RunId, steps: &[NewStep]) -> Result<()> {
        let steps = steps.to_vec();
        self.write_unit(Work::AddSteps { run, steps }).await
    }

    async fn set_run_state(&self, run: RunId, state: RunState) -> Result<()> {
        self.write_unit(Work::SetRunState { run, state }).await
    }

    async fn set_planned(&self, run: RunId, unchanged: Tally, origin: &RunOrigin) -> Result<()> {
        let origin = Box::new(origin.clone());
        self.write_unit(Work::SetPlanned {
            run,
            unchanged,
            origin,
        })
        .await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>> {
        self.reader.run(run).await
    }

    async fn runs(&self, flow: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        self.reader.runs(flow, limit).await
    }

    async fn lease(
        &self,
        run: RunId,
        worker: &WorkerId,
        limit: u32,
        ttl: Duration,
    ) -> Result<Vec<LeasedStep>> {
        // A jot counts for the attempt that held the step last: taking the step would make it stale.
        self.writer()?.fold().await?;
        let worker = worker.clone();
        let work = Work::Lease {
            run,
            worker,
            limit,
            ttl,
        };
        match self.write(work).await? {
            Answer::Leased(steps) => Ok(steps),
            other => Err(mismatched(&other)),
        }
    }

    async fn renew(&self, worker: &WorkerId, ttl: Duration) -> Result<()> {
        let worker = worker.clone();
        self.write_unit(Work::Renew { worker, ttl }).await
    }

    async fn reap(&self, run: RunId) -> Result<u64> {
        self.write_count(Work::Reap { run }).await
    }

    async fn release(&self, worker: &WorkerId) -> Result<u64> {
        let worker = worker.clone();
        self.write_count(Work::Release { worker }).await
    }

    async fn finish(&self, reports: &[StepReport]) -> Result<Vec<bool>> {
        let reports = reports.to_vec();
        match self.write(Work::Finish { reports }).await? {
            Answer::Accepted(accepted) => Ok(accepted),
            other => Err(mismatched(&other)),
        }
    }

    async fn note(&self, notes: &[Note]) -> Result<Vec<bool>> {
        notes.iter().try_for_each(Note::check)?;
        let writer = self.writer()?;
        if writer.jots.come_before(notes) {
            writer.fold().await?;
        }
        let notes = notes.to_vec();
        match self.write(Work::Note { notes }).await? {
            Answer::Accepted(accepted) => Ok(accepted),
            other => Err(mismatched(&other)),
        }
    }

    fn jot(&self, note: &Note) -> Result<()> {
        let writer = self.writer()?;
        if writer.requests.is_closed() {
            return Err(closed());
        }
        writer.jots.write(note)
    }

    async fn unfinished(&self, steps: &[StepId]) -> Result<Vec<Unfinished>> {
        if let Some(writer) = &self.writer {
            writer.fold().await?;
        }
        self.reader.unfinished(steps).await
    }

    async fn count_calls(&self, counts: &[CallCount]) -> Result<Vec<u64>> {
        let counts = counts.to_vec();
        match self.write(Work::CountCalls { counts }).await? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(mismatched(&other)),
        }
    }

    async fn next_due(&self, run: RunId) -> Result<Option<Duration>> {
        self.reader.next_due(run).await
    }

    async fn steps(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<StepRecord>> {
        self.reader.steps(run, after, limit).await
    }

    async fn tally(&self, run: RunId) -> Result<Vec<(StepState, Action, Tally)>> {
        self.reader.tally(run).await
    }

    async fn steps_at(&self, run: RunId, path: &AssetPath) -> Result<Vec<(StepRecord, String)>> {
        self.reader.steps_at(run, path).await
    }

    async fn unended(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<(StepRecord, String)>> {
        self.reader.unended(run, after, limit).await
    }

    async fn facts(&self, run: RunId, wanted: FactsWanted) -> Result<RunFacts> {
        self.reader.facts(run, wanted).await
    }

    async fn custody(
        &self,
        run: Option<RunId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CustodyRecord>> {
        self.reader.custody(run, after, limit).await
    }

    async fn attempts(&self, step: StepId) -> Result<Vec<CustodyRecord>> {
        self.reader.attempts(step).await
    }

    async fn contents(&self, hashes: &[ContentHash]) -> Result<Vec<Option<ContentRecord>>> {
        self.reader.contents(hashes).await
    }

    async fn placements(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Placement>>> {
        self.reader.placements(flow, source, assets).await
    }

    async fn placements_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Placement>> {
        self.reader
            .placements_after(flow, source, after, limit)
            .await
    }

    async fn withdrawals(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Withdrawal>>> {
        self.reader.withdrawals(flow, source, assets).await
    }

    async fn withdrawals_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Withdrawal>> {
        self.reader
            .withdrawals_after(flow, source, after, limit)
            .await
    }

    async fn placed_as(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Vec<Placement>>> {
        self.reader.placed_as(sink, assets).await
    }

    async fn sharing(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Sharing>> {
        self.reader.sharing(sink, assets).await
    }

    async fn holding(
        &self,
        sink: &str,
        contents: &[(u64, ContentHash)],
    ) -> Result<Vec<Option<Placement>>> {
        self.reader.holding(sink, contents).await
    }

    async fn holds_size(&self, sink: &str, sizes: &[u64]) -> Result<Vec<bool>> {
        self.reader.holds_size(sink, sizes).await
    }

    async fn unchanged(&self, flow: &str, source: &str, assets: &[Asset]) -> Result<Vec<bool>> {
        self.reader.unchanged(flow, source, assets).await
    }

    async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>> {
        self.reader.holds(flow, source, assets).await
    }

    async fn note_conflicts(&self, conflicts: &[NewConflict]) -> Result<()> {
        let conflicts = conflicts.to_vec();
        self.write_unit(Work::NoteConflicts { conflicts }).await
    }

    async fn conflicts(
        &self,
        flow: Option<&str>,
        after: Option<(&str, &AssetId)>,
        limit: u32,
    ) -> Result<Vec<Conflict>> {
        self.reader.conflicts(flow, after, limit).await
    }

    async fn resolve_conflict(
        &self,
        conflict: &NewConflict,
        resolution: Option<Resolution>,
    ) -> Result<bool> {
        let conflict = Box::new(conflict.clone());
        let work = Work::ResolveConflict {
            conflict,
            resolution,
        };
        Ok(self.write_count(work).await? > 0)
    }

    async fn end_conflicts(&self, flow: &str, subjects: &[AssetId]) -> Result<()> {
        let work = Work::EndConflicts {
            flow: flow.to_owned(),
            subjects: subjects.to_vec(),
        };
        self.write_unit(work).await
    }

    async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        self.reader.cursor(name).await
    }

    async fn set_cursor(&self, name: &str, cursor: Option<&Cursor>) -> Result<()> {
        let work = Work::SetCursor {
            name: name.to_owned(),
            cursor: cursor.cloned(),
        };
        self.write_unit(work).await
    }

    async fn close(&self) -> Result<()> {
        if let Some(writer) = &self.writer {
            writer.jots.close();
            // What cannot be folded now is folded when the ledger is opened next.
            match writer.fold().await {
                Ok(()) => writer.jots.remove(),
                Err(error) if writer.requests.is_closed() => {
                    tracing::trace!(%error, "closed twice");
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "jots wait for the next opening")
                }
            }
        }
        self.reader.pool.close().await;
        if let Some(writer) = &self.writer {
            // An error means that somebody else closed it; all that is left is to wait for the end.
            writer.requests.send(Request::Close).await.ok();
            writer.ended.clone().wait_for(|ended| *ended).await.ok();
        }
        Ok(())
    }
}
