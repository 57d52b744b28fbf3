//! The ledger as the rest of the engine sees it: writes go to the writer, reads to the reader.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::AnyPool;
use tokio::sync::{mpsc, oneshot, watch};
use windlass_core::{
    Action, AssetId, ContentHash, ContentRecord, Cursor, Error, Hold, Kind, LeasedStep, Ledger,
    NewStep, Placement, Result, RunId, RunRecord, RunState, StepId, StepRecord, StepReport,
    StepState, Tally, WorkerId,
};

use crate::backup;
use crate::error::closed;
use crate::open::{self, Target};
use crate::options::LedgerOptions;
use crate::read::Reader;
use crate::write::{Answer, Work};
use crate::writer::{Request, Writer};

/// How many calls wait for the writer before callers wait to hand theirs over.
const WAITING_CALLS_MAX: usize = 1_024;

/// A [`Ledger`] in one SQLite file.
///
/// Close it with [`Ledger::close`]; when it is merely dropped, the writer still finishes what was
/// handed to it.
#[derive(Debug)]
pub struct SqlLedger {
    reader: Reader,
    /// `None` when opened for reading only.
    writer: Option<WriterHandle>,
}

#[derive(Debug)]
struct WriterHandle {
    requests: mpsc::Sender<Request>,
    /// Turns true when the writer has let go of the file.
    ended: watch::Receiver<bool>,
}

impl SqlLedger {
    /// Opens the ledger in a file, which is made if it is not there; its folder must be. Must be
    /// called within a tokio runtime, on which the writer then lives.
    ///
    /// Errors: `Conflict` while another process uses it; `Corrupt` for a damaged file or one that is
    /// no ledger; `Unsupported` for one of a newer version or a `postgres:` URL; `Config` where files
    /// cannot be written; `Capacity` where there is no room; `NotFound` when there is none to read.
    pub async fn open(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Arc<SqlLedger>> {
        open::open(path.as_ref(), options).await
    }

    /// The file, absolute.
    pub fn file(&self) -> &Path {
        &self.reader.target.file
    }

    /// Copies the ledger as it is now into a new file, compacted, while work goes on.
    ///
    /// Errors: `Conflict` when something is already at `copy`, `Capacity` where there is no room.
    pub async fn backup(&self, copy: &Path) -> Result<()> {
        backup::backup(&self.reader.target, copy).await
    }

    pub(crate) fn reading(target: Target, pool: AnyPool) -> Self {
        SqlLedger {
            reader: Reader { target, pool },
            writer: None,
        }
    }

    /// Starts the writer's task.
    pub(crate) fn writing(target: Target, pool: AnyPool, writer: Writer) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_CALLS_MAX);
        let (end, ended) = watch::channel(false);
        drop(tokio::spawn(writer.run(waiting, end)));
        SqlLedger {
            reader: Reader { target, pool },
            writer: Some(WriterHandle { requests, ended }),
        }
    }

    /// Hands work to the writer and waits for its commit.
    async fn write(&self, work: Work) -> Result<Answer> {
        let Some(writer) = &self.writer else {
            return Err(
                Error::new(Kind::Unsupported, "the ledger is opened for reading only")
                    .with_context("ledger", self.file().display()),
            );
        };
        let (reply, answer) = oneshot::channel();
        let request = Request::Write { work, reply };
        writer.requests.send(request).await.map_err(|_| closed())?;
        // The writer answers every request; a missing answer means that its task is gone.
        answer.await.map_err(|_| closed())?
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

fn mismatched(answer: &Answer) -> Error {
    Error::new(
        Kind::Unexpected,
        format!("a bug: the ledger's writer answered {answer:?}"),
    )
}

#[async_trait]
impl Ledger for SqlLedger {
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

    async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>> {
        self.reader.holds(flow, source, assets).await
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
        self.reader.pool.close().await;
        if let Some(writer) = &self.writer {
            // An error means that somebody else closed it; all that is left is to wait for the end.
            writer.requests.send(Request::Close).await.ok();
            writer.ended.clone().wait_for(|ended| *ended).await.ok();
        }
        Ok(())
    }
}
