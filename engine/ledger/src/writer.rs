//! The one task that writes.
//!
//! It drains the channel, runs what it found in one transaction, commits, and only then answers. When
//! the database fails, the transaction is void and each request is tried in one of its own, so that
//! only the guilty one fails; the connection is made anew, so that nothing of the failure stays. No
//! error ends the task, and no request goes without an answer.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Connection, Executor};
use tokio::sync::{mpsc, oneshot, watch};
use windlass_core::{Action, Result, StepState};

use crate::error::{Failure, explain};
use crate::jots;
use crate::lock::Lock;
use crate::notes::fold;
use crate::open::Target;
use crate::rows::{Columns, set};
use crate::settle::{RECLAIM, lose};
use crate::write::{Answer, Work, keep_notes, perform, settle_reports};

/// How many requests share a transaction at most. At this number the commit's `fsync` is a small
/// part of the work, and the first one has not waited long.
const REQUESTS_A_COMMIT: usize = 256;

/// How many jots are folded at once at most: bounds the text that they become on their way.
pub(crate) const JOTS_A_FOLD: usize = 10_000;

/// What is handed to the writer.
#[derive(Debug)]
pub(crate) enum Request {
    /// Something to record, and where the answer goes.
    Write {
        work: Work,
        reply: oneshot::Sender<Result<Answer>>,
    },
    /// The end: what was handed over before is still written.
    Close,
}

/// Owns the writing connection and the lock.
#[derive(Debug)]
pub(crate) struct Writer {
    target: Target,
    connection: Option<AnyConnection>,
    lock: Lock,
}

impl Writer {
    pub(crate) fn new(target: Target, lock: Lock) -> Self {
        Writer {
            target,
            connection: None,
            lock,
        }
    }

    /// Connects, brings the schema up to date, puts back what a dead process had leased and folds what it
    /// had jotted. Answers the epoch of the jots from now on.
    pub(crate) async fn prepare(&mut self) -> Result<String> {
        let target = self.target.clone();
        let told = |error| explain(&target.file, "opened", error);
        let connection = self.connected().await.map_err(told)?;
        let new = target.bring_up_to_date(connection).await?;
        if new {
            tracing::info!(ledger = %target.file.display(), "made a new ledger");
        }
        // The lock is ours, so whoever leased a step is gone.
        let taken_over = self.transact(TakeOver).await;
        let taken_over = taken_over.map_err(|failure| self.told(failure))?;
        if taken_over.steps > 0 || taken_over.jots > 0 {
            tracing::info!(
                steps = taken_over.steps,
                jots = taken_over.jots,
                "put back what an ended process had taken, with what it had noted"
            );
        }
        Ok(taken_over.epoch)
    }

    /// Serves requests until the channel is closed and empty, then lets go of the file.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        ended: watch::Sender<bool>,
    ) {
        let mut taken = Vec::with_capacity(REQUESTS_A_COMMIT);
        while requests.recv_many(&mut taken, REQUESTS_A_COMMIT).await > 0 {
            let mut works = Vec::with_capacity(taken.len());
            let mut replies = Vec::with_capacity(taken.len());
            for request in taken.drain(..) {
                match request {
                    Request::Write { work, reply } => {
                        works.push(work);
                        replies.push(reply);
                    }
                    Request::Close => requests.close(),
                }
            }
            let answers = self.serve(&works).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever no longer waits does not need the answer; the work is done all the same.
                reply.send(answer).ok();
            }
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the ledger was not closed cleanly; nothing of it is lost");
        }
        drop(self.lock);
        ended.send_replace(true);
    }

    /// One answer for each work, in order.
    async fn serve(&mut self, works: &[Work]) -> Vec<Result<Answer>> {
        if works.is_empty() {
            return Vec::new();
        }
        match self.transact(Batch(works)).await {
            Ok(answers) => answers,
            Err(failure) if works.len() == 1 => vec![Err(self.told(failure))],
            Err(failure) => {
                tracing::debug!(?failure, works = works.len(), "tried again one by one");
                let mut answers = Vec::with_capacity(works.len());
                for work in works {
                    let alone = self.transact(Batch(std::slice::from_ref(work))).await;
                    answers.push(match alone {
                        Ok(mut one) => one.pop().unwrap_or_else(|| Err(crate::error::closed())),
                        Err(failure) => Err(self.told(failure)),
                    });
                }
                answers
            }
        }
    }

    fn told(&self, failure: Failure) -> windlass_core::Error {
        match failure {
            Failure::Refused(error) | Failure::Broken(error) => error,
            Failure::Database(error) => explain(&self.target.file, "written", error),
        }
    }

    async fn connected(&mut self) -> Result<&mut AnyConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.target.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Runs something in a transaction of its own and commits it.
    async fn transact<J: Job>(&mut self, job: J) -> Result<J::Output, Failure> {
        let target = self.target.clone();
        let connection = self.connected().await?;
        let result = async {
            connection.execute("BEGIN IMMEDIATE").await?;
            let mut transaction = Transaction {
                connection,
                target: &target,
                now: target.now_ms(),
                changes: BTreeMap::new(),
            };
            let output = job.run(&mut transaction).await?;
            transaction.write_tally().await?;
            transaction.connection.execute("COMMIT").await?;
            Ok(output)
        }
        .await;
        if result.is_err()
            && let Some(connection) = self.connection.take()
        {
            // Closing rolls back, whatever state the failure left the transaction in.
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "closing after a failure failed too");
            }
        }
        result
    }
}

/// What runs inside one transaction.
trait Job {
    type Output;
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Self::Output, Failure>;
}

/// Requests that share a commit.
struct Batch<'a>(&'a [Work]);

impl Job for Batch<'_> {
    type Output = Vec<Result<Answer>>;

    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Self::Output, Failure> {
        let mut answers = Vec::with_capacity(self.0.len());
        let mut rest = self.0;
        while let Some(first) = rest.first() {
            let neighbours = rest
                .iter()
                .take_while(|work| work.reports().is_some())
                .count();
            if neighbours > 1 {
                // Many small reports cost one set of statements.
                let (together, later) = rest.split_at(neighbours);
                answers.extend(settle_reports(transaction, together).await?);
                rest = later;
                continue;
            }
            let notes = rest
                .iter()
                .take_while(|work| work.notes().is_some())
                .count();
            if notes > 1 {
                let (together, later) = rest.split_at(notes);
                answers.extend(keep_notes(transaction, together).await?);
                rest = later;
                continue;
            }
            match perform(transaction, first).await {
                Ok(answer) => answers.push(Ok(answer)),
                Err(Failure::Refused(error)) => answers.push(Err(error)),
                Err(failure) => return Err(failure),
            }
            rest = &rest[1..];
        }
        Ok(answers)
    }
}

/// Takes the ledger over from whoever had it, at opening: ends every lease, folds what was jotted, and begins a new
/// epoch of jots.
struct TakeOver;

struct TakenOver {
    steps: u64,
    jots: usize,
    epoch: String,
}

const LAST_EPOCH: &str = "SELECT epoch, folded FROM jots";

/// Makes jots of before, folded by now, meaningless. In a copy it makes those of the original so.
pub(crate) const NEW_EPOCH: &str =
    "UPDATE jots SET epoch = lower(hex(randomblob(16))), folded = 0 RETURNING epoch";

impl Job for TakeOver {
    type Output = TakenOver;

    async fn run(self, transaction: &mut Transaction<'_>) -> Result<TakenOver, Failure> {
        let limit = transaction.target.options.lost_leases_max;
        let steps = lose(transaction, sqlx::query(RECLAIM), limit).await?;
        let file = &transaction.target.file;
        let row = sqlx::query(LAST_EPOCH)
            .fetch_one(&mut *transaction.connection)
            .await?;
        let last = Columns { file, row: &row };
        let left = jots::left_over(file, &last.text("epoch")?, last.size("folded")?);
        for some in left.chunks(JOTS_A_FOLD) {
            fold(transaction, some, 0).await?;
        }
        let row = sqlx::query(NEW_EPOCH)
            .fetch_one(&mut *transaction.connection)
            .await?;
        let epoch = Columns { file, row: &row }.text("epoch")?;
        let jots = left.len();
        Ok(TakenOver { steps, jots, epoch })
    }
}

/// A transaction in progress.
pub(crate) struct Transaction<'a> {
    pub(crate) connection: &'a mut AnyConnection,
    pub(crate) target: &'a Target,
    /// Epoch milliseconds; one instant for everything in the transaction.
    pub(crate) now: i64,
    /// What the transaction adds to the sums over steps, by run key, state and action.
    changes: BTreeMap<(i64, &'static str, &'static str), [i64; 3]>,
}

impl Transaction<'_> {
    /// Notes that a step of a run left one state for another. `None` stands for not being there.
    pub(crate) fn moved(
        &mut self,
        run: i64,
        action: Action,
        (from, to): (Option<StepState>, StepState),
        size: i64,
        bytes_moved: i64,
    ) {
        if let Some(from) = from {
            let sum = self.sum(run, from, action);
            sum[0] -= 1;
            sum[1] -= size;
        }
        let sum = self.sum(run, to, action);
        sum[0] += 1;
        sum[1] += size;
        sum[2] += bytes_moved;
    }

    fn sum(&mut self, run: i64, state: StepState, action: Action) -> &mut [i64; 3] {
        self.changes
            .entry((run, state.word(), action.word()))
            .or_default()
    }

    async fn write_tally(&mut self) -> Result<(), Failure> {
        let rows: Vec<_> = std::mem::take(&mut self.changes)
            .into_iter()
            .filter(|(_, sums)| *sums != [0; 3])
            .map(|((run, state, action), [steps, bytes, moved])| {
                (run, state, action, steps, bytes, moved)
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let rows = set(&rows)?;
        sqlx::query(TALLY)
            .bind(rows)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}

const TALLY: &str = "INSERT INTO tally (run, state, action, steps, bytes, bytes_moved) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, CAST(value->>3 AS BIGINT), \
     CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (run, state, action) DO UPDATE SET steps = tally.steps + excluded.steps, \
     bytes = tally.bytes + excluded.bytes, bytes_moved = tally.bytes_moved + excluded.bytes_moved";
