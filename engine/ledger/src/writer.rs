//! The one task that writes.
//!
//! It drains the channel, runs what it found in one transaction, commits, and only then answers. When
//! the database fails, the transaction is void and each request is tried in one of its own, so that
//! only the guilty one fails; the connection is made anew, so that nothing of the failure stays. A server that goes
//! away is waited for, and asked what became of a commit that it did not answer. No error ends the task, and no request
//! goes without an answer.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, Executor};
use tokio::sync::{mpsc, oneshot, watch};
use windlass_core::{Action, Error, Kind, Result, Status, StepState};

use crate::error::{Failure, explain, is_lost};
use crate::jots;
use crate::lock::Lock;
use crate::notes::fold;
use crate::open::{Patience, Target};
use crate::postgres;
use crate::rows::{Columns, set};
use crate::settle::{RECLAIM, lose};
use crate::statement::{Bound, query, values};
use crate::write::{Answer, Work, keep_notes, perform, settle_reports};

/// How many requests share a transaction at most. At this number the commit's `fsync` is a small
/// part of the work, and the first one has not waited long.
const REQUESTS_A_COMMIT: usize = 256;

/// How long closing a connection that failed may take.
const CLOSING_MAX: std::time::Duration = std::time::Duration::from_secs(1);

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
        let connection = self.connection.insert(target.connect().await?);
        let new = target.bring_up_to_date(connection).await?;
        if new {
            tracing::info!(ledger = %target.place, "made a new ledger");
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
        let failure = match self.transact_again(Batch(works)).await {
            Ok(answers) => return answers,
            Err(failure) => failure,
        };
        if works.len() == 1 {
            return vec![Err(self.told(failure))];
        }
        if failure.concerns_all() {
            // The first gets the error as it is; what it says holds for each.
            let error = self.told(failure);
            let same = |_| Err(Error::new(error.kind(), error.message().to_owned()));
            let mut answers: Vec<Result<Answer>> = works.iter().skip(1).map(same).collect();
            answers.insert(0, Err(error));
            return answers;
        }
        tracing::debug!(?failure, works = works.len(), "tried again one by one");
        let mut answers = Vec::with_capacity(works.len());
        for work in works {
            let alone = Batch(std::slice::from_ref(work));
            answers.push(match self.transact_again(alone).await {
                Ok(mut one) => one.pop().unwrap_or_else(|| Err(crate::error::closed())),
                Err(failure) => Err(self.told(failure)),
            });
        }
        answers
    }

    /// Runs something in a transaction, again where the server went away before anything was kept.
    async fn transact_again<J: Job + Clone>(&mut self, job: J) -> Result<J::Output, Failure> {
        let mut patience = Patience::new(&self.target);
        loop {
            match self.transact(job.clone()).await {
                Err(Failure::Database(error)) if patience.waits_after(&error).await => {
                    tracing::warn!(%error, ledger = %self.target.place, "the ledger's database server went away");
                }
                done => return done,
            }
        }
    }

    fn told(&self, failure: Failure) -> Error {
        match failure {
            Failure::Refused(error)
            | Failure::Broken(error)
            | Failure::Unreachable(error)
            | Failure::Undecided(error) => error,
            Failure::Database(error) => explain(&self.target.place, "written", error),
        }
    }

    /// The connection, made anew after a failure. A server may take its time for it, and so may the end of the session
    /// before, which holds the lock.
    async fn connected(&mut self) -> Result<&mut AnyConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut patience = Patience::new(&self.target);
                loop {
                    match self.target.connect().await {
                        Err(error)
                            if error.status() == Status::Temporary && patience.waits().await => {}
                        connected => break connected?,
                    }
                }
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Runs something in a transaction of its own and commits it.
    async fn transact<J: Job>(&mut self, job: J) -> Result<J::Output, Failure> {
        let target = self.target.clone();
        let connection = self.connected().await.map_err(Failure::Unreachable)?;
        let run = async {
            let number = target.in_time(target.begin(connection)).await?;
            let mut transaction = Transaction {
                connection,
                target: &target,
                now: target.now_ms(),
                changes: BTreeMap::new(),
            };
            let output = job.run(&mut transaction).await?;
            transaction.write_tally().await?;
            Ok((output, number))
        };
        let (output, number) = match run.await {
            Ok(ran) => ran,
            Err(failure) => {
                self.disconnect().await;
                return Err(failure);
            }
        };
        let committed = match &mut self.connection {
            Some(connection) => target.in_time(connection.execute("COMMIT")).await,
            None => return Err(Failure::Broken(crate::error::closed())),
        };
        let Err(error) = committed else {
            return Ok(output);
        };
        self.disconnect().await;
        match number {
            // The answer was lost, and perhaps nothing else.
            Some(number) if is_lost(&error) => match self.was_committed(&number).await {
                Ok(true) => Ok(output),
                Ok(false) => Err(Failure::Database(error)),
                Err(reason) => Err(Failure::Undecided(
                    Error::new(
                        Kind::Unavailable,
                        "the ledger's database server went away, and whether it kept the last records is not known",
                    )
                    .with_context("ledger", &target.place)
                    .with_source(reason)
                    .with_hint("run again: what was kept is not done twice"),
                )),
            },
            _ => Err(Failure::Database(error)),
        }
    }

    /// Asks what became of a transaction. Holding the lock means that its session is over.
    async fn was_committed(&mut self, number: &str) -> Result<bool> {
        let target = self.target.clone();
        let connection = self.connected().await?;
        let asked = target.in_time(postgres::was_committed(connection, number));
        asked
            .await
            .map_err(|error| explain(&target.place, "read", error))
    }

    /// Lets go of a connection after a failure. Closing rolls back, whatever state the failure left the transaction in.
    async fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            match tokio::time::timeout(CLOSING_MAX, connection.close()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "closing after a failure failed too"),
                Err(_) => tracing::debug!("closing after a failure took too long"),
            }
        }
    }
}

/// What runs inside one transaction.
trait Job {
    type Output;
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Self::Output, Failure>;
}

/// Requests that share a commit.
#[derive(Clone, Copy)]
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
pub(crate) const NEW_EPOCH: &str = "UPDATE jots SET epoch = $1, folded = 0";

/// The name of an epoch that no other has.
pub(crate) fn new_epoch() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

impl Job for TakeOver {
    type Output = TakenOver;

    async fn run(self, transaction: &mut Transaction<'_>) -> Result<TakenOver, Failure> {
        let limit = transaction.target.options.lost_leases_max;
        let steps = lose(transaction, RECLAIM, values![], limit).await?;
        let row = transaction.one(LAST_EPOCH, values![]).await?;
        let last = transaction.columns(&row);
        let beside = transaction.target.place.beside();
        let left = jots::left_over(beside, &last.text("epoch")?, last.size("folded")?);
        for some in left.chunks(JOTS_A_FOLD) {
            fold(transaction, some, 0).await?;
        }
        let epoch = new_epoch();
        transaction.run(NEW_EPOCH, values![epoch.as_str()]).await?;
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

impl<'a> Transaction<'a> {
    /// Runs a statement that answers nothing. Answers how many rows it changed.
    pub(crate) async fn run(
        &mut self,
        sql: &'static str,
        values: Vec<Bound>,
    ) -> Result<u64, Failure> {
        let query = query(self.target.place.database(), sql, values);
        let done = self.target.in_time(query.execute(&mut *self.connection));
        Ok(done.await?.rows_affected())
    }

    /// The rows that a statement answers.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        values: Vec<Bound>,
    ) -> Result<Vec<AnyRow>, Failure> {
        let query = query(self.target.place.database(), sql, values);
        let rows = self.target.in_time(query.fetch_all(&mut *self.connection));
        Ok(rows.await?)
    }

    /// The one row that a statement answers, if any.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        values: Vec<Bound>,
    ) -> Result<Option<AnyRow>, Failure> {
        let query = query(self.target.place.database(), sql, values);
        let row = self
            .target
            .in_time(query.fetch_optional(&mut *self.connection));
        Ok(row.await?)
    }

    /// The one row that a statement always answers.
    pub(crate) async fn one(
        &mut self,
        sql: &'static str,
        values: Vec<Bound>,
    ) -> Result<AnyRow, Failure> {
        let row = self.row(sql, values).await?;
        Ok(row.ok_or(sqlx::Error::RowNotFound)?)
    }

    pub(crate) fn columns<'r>(&self, row: &'r AnyRow) -> Columns<'r>
    where
        'a: 'r,
    {
        Columns {
            ledger: &self.target.place,
            row,
        }
    }

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
        self.run(TALLY, values![rows]).await?;
        Ok(())
    }
}

const TALLY: &str = "INSERT INTO tally (run, state, action, steps, bytes, bytes_moved) \
     SELECT CAST(value->>0 AS BIGINT), value->>1, value->>2, CAST(value->>3 AS BIGINT), \
     CAST(value->>4 AS BIGINT), CAST(value->>5 AS BIGINT) FROM jsonb_each($1) WHERE true \
     ON CONFLICT (run, state, action) DO UPDATE SET steps = tally.steps + excluded.steps, \
     bytes = tally.bytes + excluded.bytes, bytes_moved = tally.bytes_moved + excluded.bytes_moved";
