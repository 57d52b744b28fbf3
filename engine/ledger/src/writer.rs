//! The one task that writes.
//!
//! It drains the channel, runs what it found in one transaction, commits, and only then answers. When
//! the database fails, the transaction is void and each request is tried in one of its own, so that
//! only the guilty one fails; the connection is made anew, so that nothing of the failure stays. No
//! error ends the task, and no request goes without an answer.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Connection, Executor, Row};
use tokio::sync::{mpsc, oneshot, watch};
use windlass_core::{Action, Note, Result, StepState};

use crate::error::{Failure, explain};
use crate::jots::{self, Jots};
use crate::lock::Lock;
use crate::notes::{Fence, note};
use crate::open::Target;
use crate::rows::set;
use crate::settle::{RECLAIM, lose};
use crate::write::{Answer, Work, keep_notes, perform, settle_reports};

/// How many requests share a transaction at most. At this number the commit's `fsync` is a small
/// part of the work, and the first one has not waited long.
const REQUESTS_A_COMMIT: usize = 256;

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

    /// Connects, brings the schema up to date and puts back what a dead process had leased.
    pub(crate) async fn prepare(&mut self) -> Result<()> {
        let target = self.target.clone();
        let told = |error| explain(&target.file, "opened", error);
        let connection = self.connected().await.map_err(told)?;
        let new = target.bring_up_to_date(connection).await?;
        if new {
            tracing::info!(ledger = %target.file.display(), "made a new ledger");
        }
        // The lock is ours, so whoever leased a step is gone.
        let reclaimed = self
            .transact(Reclaim)
            .await
            .map_err(|failure| self.told(failure))?;
        if reclaimed > 0 {
            tracing::info!(
                steps = reclaimed,
                "put back what an ended process had taken"
            );
        }
        self.fold_left_over(&target).await
    }

    /// Who this ledger is.
    pub(crate) async fn identity(&mut self) -> Result<String> {
        let file = self.target.file.clone();
        let told = |error| explain(&file, "opened", error);
        let connection = self.connected().await.map_err(told)?;
        let row = sqlx::query("SELECT id FROM identity").fetch_one(connection);
        row.await.and_then(|row| row.try_get("id")).map_err(told)
    }

    /// Folds what an ended process jotted, before anybody takes a step.
    async fn fold_left_over(&mut self, target: &Target) -> Result<()> {
        let identity = self.identity().await?;
        let notes = jots::left_over(&target.file, &identity);
        if notes.is_empty() {
            return Ok(());
        }
        let folded = self.transact(Fold(&notes)).await;
        folded.map_err(|failure| self.told(failure))?;
        tracing::debug!(
            notes = notes.len(),
            "folded what an ended process had jotted"
        );
        Jots::new(&target.file, &identity).remove();
        Ok(())
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
                .take_while(|work| work.held_notes().is_some())
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

/// Ends every lease, at opening.
struct Reclaim;

impl Job for Reclaim {
    type Output = u64;

    async fn run(self, transaction: &mut Transaction<'_>) -> Result<u64, Failure> {
        let limit = transaction.target.options.lost_leases_max;
        lose(transaction, sqlx::query(RECLAIM), limit).await
    }
}

/// What an ended process jotted, at opening.
struct Fold<'a>(&'a [Note]);

impl Job for Fold<'_> {
    type Output = ();

    async fn run(self, transaction: &mut Transaction<'_>) -> Result<(), Failure> {
        note(transaction, self.0, Fence::HeldLast).await.map(drop)
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
     CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM json_each($1) WHERE true \
     ON CONFLICT (run, state, action) DO UPDATE SET steps = tally.steps + excluded.steps, \
     bytes = tally.bytes + excluded.bytes, bytes_moved = tally.bytes_moved + excluded.bytes_moved";
