//! Commits: one queue for each namespace, because writes to a namespace take its lock.
//!
//! Whoever has bytes in a closed session hands over an [`Order`] and waits. One worker for each namespace
//! takes up to a thousand orders into one `finish_batch_v2`, and has one call under way at a time: what
//! arrives meanwhile travels with the next. Copies of what is there take the same lock and the same way, in batches of
//! their own. A lock held by others is waited for, never a failure while
//! patience lasts. After an answer that was lost, each target is looked at before anything is repeated, and
//! the session keeps the bytes for as long as that takes.
//!
//! The worker is a task that ends with its queue. Whoever stops waiting takes his order back, unless it is
//! under way; what became of it then shows when somebody looks.

mod copies;
mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use windlass_core::{Blake3, ContentHash, Error, HeldBack, Kind, Status, fold_key};
use windlass_http::Client;

use crate::client::Api;
use crate::errors::{Failure, FinishError, SessionError, UploadError, WriteError};
use crate::lock;
use crate::shared_error::copy_of;
use crate::target::{file_at, is_file};
use crate::wire::{CommitInfo, Entry, FileMetadata, FinishArg, SessionCursor};
use queue::{Job, Next, Put, Queue};

pub(crate) use queue::Rules;

/// How many targets are looked at at once after a lost answer.
const LOOKS: usize = 8;

/// How often a small file is sent again because it arrived damaged.
const DAMAGED_AGAIN: u32 = 4;

/// How often a copy is tried again whose origin is not found: about ten seconds in all, since what was just made may not
/// be seen at once.
const EARLY_ROUNDS: u32 = 4;

/// The first wait of a growing one, and its ceiling.
const WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What shall become a file.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A session that holds all bytes and is closed.
    Finish { session: String },
    /// Bytes that travel with their commit; the hash is theirs.
    Upload { bytes: Bytes, hash: ContentHash },
    /// A copy of the file with this id.
    Copy { from: String },
}

/// One commit.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) work: Work,
    pub(crate) commit: CommitInfo,
    /// Number of bytes.
    pub(crate) size: u64,
    /// What the file's hash must be, to recognise it after a lost answer.
    pub(crate) content_hash: Option<ContentHash>,
}

/// Why a commit did not succeed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// A file is in the way.
    Conflict(Error),
    Other(Error),
}

impl Refused {
    fn into_error(self) -> Error {
        match self {
            Refused::Conflict(error) | Refused::Other(error) => error,
        }
    }
}

/// How one commit ended.
pub(crate) type Settled = std::result::Result<FileMetadata, Refused>;

/// The commits of one account.
#[derive(Debug)]
pub(crate) struct Commits {
    api: Api,
    rules: Rules,
    /// Bounded by the namespaces of the configuration.
    lanes: Mutex<BTreeMap<Arc<str>, Arc<Lane>>>,
}

/// The commits of one namespace.
#[derive(Debug)]
struct Lane {
    api: Api,
    client: Client,
    rules: Rules,
    queue: Mutex<Queue>,
    /// Rung when the queue changed.
    bell: Notify,
}

/// Announces a commit, so that those which are ready wait for it a little. Dropping it ends that.
#[derive(Debug)]
pub(crate) struct Announced(Arc<Lane>);

impl Drop for Announced {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.announced -= 1;
        if queue.announced == 0 {
            self.0.bell.notify_one();
        }
    }
}

impl Commits {
    pub(crate) fn new(api: Api, rules: Rules) -> Self {
        Commits {
            api,
            rules,
            lanes: Mutex::default(),
        }
    }

    /// Says that a commit to this namespace comes soon.
    pub(crate) fn announce(&self, namespace: &Arc<str>) -> Announced {
        let lane = self.lane(namespace);
        lock(&lane.queue).announced += 1;
        Announced(lane)
    }

    /// Commits. Returns when it is known what became of it. Dropping the future takes the order back
    /// unless it is under way.
    pub(crate) async fn settle(
        &self,
        namespace: &Arc<str>,
        order: Order,
        announced: Option<Announced>,
    ) -> Settled {
        let lane = self.lane(namespace);
        let (reply, answer) = oneshot::channel();
        let key = fold_key(&order.commit.path);
        let (id, put) = lock(&lane.queue).put(Job::new(order, key, reply), &lane.rules);
        let _place = Place {
            lane: Arc::clone(&lane),
            id,
        };
        // Only now: the others must not be sent as the last ones while this one is on its way here.
        drop(announced);
        match put {
            Put::Start => {
                tokio::spawn(work(Arc::clone(&lane)));
            }
            Put::Ring => lane.bell.notify_one(),
            Put::Quiet => {}
        }
        match answer.await {
            Ok(settled) => settled,
            // The worker ended without an answer. The commit may be under way.
            Err(_) => Err(Refused::Other(Error::new(
                Kind::Ambiguous,
                "committing ended abnormally",
            ))),
        }
    }

    /// How many commits are under way. Zero at rest.
    pub(crate) fn in_flight(&self) -> usize {
        let lanes = lock(&self.lanes);
        lanes.values().map(|lane| lane.client.in_flight()).sum()
    }

    /// Why commits wait right now, if they do.
    pub(crate) fn held_back(&self) -> Option<HeldBack> {
        let now = Instant::now();
        let (mut locked, mut unsure) = (Duration::ZERO, None);
        for lane in lock(&self.lanes).values() {
            let queue = lock(&lane.queue);
            locked = locked
                .max(queue.paused_for(now))
                .max(lane.client.paused_for());
            if let (commits, Some(until)) = queue.unsure() {
                unsure = Some((commits, until.saturating_duration_since(now)));
            }
        }
        let seconds = |left: Duration| left.as_secs_f64().ceil();
        let (why, left) = match unsure {
            _ if !locked.is_zero() => {
                let next = seconds(locked);
                let why = format!("others write to the same Dropbox folder, next try in {next} s");
                (why, locked)
            }
            Some((commits, left)) => {
                let next = seconds(left);
                let what = match commits {
                    1 => "a commit".to_owned(),
                    several => format!("{several} commits"),
                };
                let why = format!("Dropbox's answer to {what} was lost, looking again in {next} s");
                (why, left)
            }
            None => return None,
        };
        let left = Some(left);
        Some(HeldBack { why, left })
    }

    fn lane(&self, namespace: &Arc<str>) -> Arc<Lane> {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(Arc::clone(namespace)).or_insert_with(|| {
            Arc::new(Lane {
                api: self.api.clone(),
                client: self.api.write_lane(),
                rules: self.rules,
                queue: Mutex::default(),
                bell: Notify::new(),
            })
        });
        Arc::clone(lane)
    }
}

/// Takes an order back whose owner stopped waiting.
struct Place {
    lane: Arc<Lane>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        if lock(&self.lane.queue).withdraw(self.id) {
            self.lane.bell.notify_one();
        }
    }
}

/// Lets everybody go if the worker ends abnormally: nobody may wait for a worker that is gone.
struct Worker(Arc<Lane>);

impl Drop for Worker {
    fn drop(&mut self) {
        lock(&self.0.queue).worker_ended();
    }
}

/// Works a queue off and ends with it.
async fn work(lane: Arc<Lane>) {
    let worker = Worker(lane);
    let lane = &worker.0;
    loop {
        let next = lock(&lane.queue).next(Instant::now(), &lane.rules);
        match next {
            Next::Rest => return,
            Next::Wait(until) => {
                tokio::select! {
                    biased;
                    () = lane.bell.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            Next::Send(jobs) => Box::pin(lane.send(jobs)).await,
        }
    }
}

/// What one commit came to.
enum Came {
    Done(FileMetadata),
    /// Others are writing.
    Locked(Error),
    /// It may have happened.
    Lost(Error),
    /// It happened, but for the stamp.
    Unstamped(Error),
    /// The session is not there: expired, or finished before.
    Gone(Error),
    /// The closing append is missing.
    Open(Error),
    /// What shall be copied is not there yet, perhaps.
    Early(Error),
    /// It does not go together with others.
    Alone(Error),
    Refused(Refused),
}

/// What there is to do about it.
enum Then {
    Answer(Settled),
    Again { wait: Duration, look: bool },
}

impl Lane {
    async fn send(&self, jobs: Vec<Job>) {
        let (look, mut ready): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.look);
        let mut looked = stream::iter(look)
            .map(|job| async move { (self.landed(&job.order).await, job) })
            .buffer_unordered(LOOKS);
        while let Some((landed, mut job)) = looked.next().await {
            match landed {
                Ok(Some(file)) => job.answer(Ok(file)),
                Ok(None) => {
                    job.look = false;
                    ready.push(job);
                }
                Err(error) => {
                    let then = self.unseen(&mut job, &error);
                    self.settle(job, then);
                }
            }
        }
        let Some(first) = ready.first().map(|first| Arc::<str>::from(&*first.key)) else {
            return;
        };
        for job in &mut ready {
            job.with = Arc::clone(&first);
        }
        let came = match &ready[..] {
            // The queue gives out one kind at a time.
            [first, ..] if matches!(first.order.work, Work::Copy { .. }) => self.copy(&ready).await,
            [job] => vec![self.one(&job.order).await],
            _ => self.many(&ready).await,
        };
        self.note_lock(&came, &ready[0]);
        let mut settled = stream::iter(ready.into_iter().zip(came))
            .map(|(mut job, came)| async move {
                let then = self.after(&mut job, came).await;
                (job, then)
            })
            .buffer_unordered(LOOKS);
        while let Some((job, then)) = settled.next().await {
            self.settle(job, then);
        }
    }

    fn settle(&self, mut job: Job, then: Then) {
        match then {
            Then::Answer(settled) => job.answer(settled),
            Then::Again { wait, look } => {
                job.look = look;
                job.not_before = Instant::now() + wait;
                lock(&self.queue).again(job);
            }
        }
    }

    /// A lock is on the namespace, not on a file: everything in the queue waits.
    fn note_lock(&self, came: &[Came], first: &Job) {
        let locked = came.iter().any(|came| matches!(came, Came::Locked(_)));
        let mut queue = lock(&self.queue);
        match locked {
            true => {
                let times = queue.locked_again();
                // From half a second on, since a lock is mostly held for less.
                let wait = growing(WAIT / 2, times, &first.key);
                tracing::info!(?wait, times, "others write to the same folder");
                queue.pause(Instant::now() + wait);
            }
            false => queue.unlocked(),
        }
    }

    async fn after(&self, job: &mut Job, came: Came) -> Then {
        let expected = job.order.content_hash.is_some();
        match came {
            Came::Done(file) => Then::Answer(Ok(file)),
            Came::Locked(error) => match job.since.elapsed() < self.rules.patience {
                // The queue as a whole pauses.
                true => Then::Again {
                    wait: Duration::ZERO,
                    look: false,
                },
                false => Then::Answer(Err(Refused::Other(error.persistent()))),
            },
            Came::Unstamped(error) if job.order.commit.property_groups.is_empty() => {
                Then::Answer(Err(Refused::Other(error)))
            }
            // The stamp's template was removed meanwhile. The file is there, and is looked for as if its answer were lost.
            Came::Lost(error) | Came::Unstamped(error) => {
                job.lost.get_or_insert(error);
                match expected {
                    true => self.look_for(job, None).await,
                    // There is nothing to compare with.
                    false => self.give_up(job),
                }
            }
            Came::Refused(refused) if job.lost.is_some() && expected => {
                self.look_for(job, Some(refused)).await
            }
            Came::Refused(refused) => Then::Answer(Err(refused)),
            Came::Gone(error) if expected => self.look_for(job, Some(Refused::Other(error))).await,
            Came::Gone(error) => Then::Answer(Err(Refused::Other(error))),
            Came::Open(error) => self.close(job, error).await,
            Came::Early(error) if job.rounds < EARLY_ROUNDS => {
                job.rounds += 1;
                tracing::debug!(path = job.order.commit.path, %error, "it may not be there yet");
                Then::Again {
                    wait: growing(WAIT, job.rounds, &job.with),
                    look: false,
                }
            }
            Came::Alone(error) if !job.alone => {
                job.alone = true;
                tracing::debug!(path = job.order.commit.path, %error, "once more, alone");
                Then::Again {
                    wait: Duration::ZERO,
                    look: false,
                }
            }
            Came::Early(error) | Came::Alone(error) => Then::Answer(Err(Refused::Other(error))),
        }
    }

    /// Looks what a commit left behind. What is there with our bytes is ours; as long as nothing is, the
    /// session still holds them for another try, unless `refused` says why there cannot be one.
    async fn look_for(&self, job: &mut Job, refused: Option<Refused>) -> Then {
        match (self.landed(&job.order).await, refused) {
            (Ok(Some(file)), _) => Then::Answer(Ok(file)),
            (Ok(None), Some(refused)) => Then::Answer(Err(refused)),
            (Ok(None), None) => self.later(job, false),
            (Err(error), refused) => {
                if let Some(refused) = refused {
                    job.lost.get_or_insert(refused.into_error());
                }
                self.unseen(job, &error)
            }
        }
    }

    /// What became of a commit cannot be seen right now.
    fn unseen(&self, job: &mut Job, error: &Error) -> Then {
        tracing::debug!(path = job.order.commit.path, %error, "the commit's target cannot be seen");
        match error.status() {
            Status::Permanent => self.give_up(job),
            Status::Temporary | Status::Persistent => self.later(job, true),
        }
    }

    fn later(&self, job: &mut Job, look: bool) -> Then {
        job.rounds += 1;
        let wait = growing(WAIT, job.rounds, &job.with);
        match job.since.elapsed() + wait < self.rules.patience {
            true => Then::Again { wait, look },
            false => self.give_up(job),
        }
    }

    fn give_up(&self, job: &mut Job) -> Then {
        let lost = job.lost.take().unwrap_or_else(|| {
            Error::new(Kind::Ambiguous, "what became of the commit cannot be seen")
        });
        Then::Answer(Err(Refused::Other(lost)))
    }

    /// The file that a commit made, if it is there with our bytes.
    async fn landed(&self, order: &Order) -> windlass_core::Result<Option<FileMetadata>> {
        let found = file_at(&self.api, &order.commit.path).await?;
        Ok(found.filter(|file| {
            file.size == order.size
                && file.content_hash.is_some()
                && file.content_hash == order.content_hash
        }))
    }

    /// Closes a session whose closing append went missing, once.
    async fn close(&self, job: &mut Job, error: Error) -> Then {
        let Work::Finish { session } = &job.order.work else {
            return Then::Answer(Err(Refused::Other(error)));
        };
        if std::mem::replace(&mut job.closed, true) {
            return Then::Answer(Err(Refused::Other(error)));
        }
        let cursor = cursor(session, &job.order);
        let nothing = ContentHash::of(b"");
        match self.api.append(cursor, true, Bytes::new(), nothing).await {
            Ok(_) | Err(Failure::Route(SessionError::Closed, _)) => Then::Again {
                wait: Duration::ZERO,
                look: false,
            },
            Err(other) => Then::Answer(Err(Refused::Other(other.into()))),
        }
    }

    async fn one(&self, order: &Order) -> Came {
        match &order.work {
            Work::Finish { session } => {
                let cursor = cursor(session, order);
                match self.api.finish(&self.client, cursor, &order.commit).await {
                    Ok(file) => Came::Done(file),
                    Err(Failure::Call(error)) => called(error),
                    Err(Failure::Route(error, circumstances)) => {
                        refused(&error.clone(), Failure::Route(error, circumstances).into())
                    }
                }
            }
            Work::Upload { bytes, hash } => self.upload(order, bytes, *hash).await,
            Work::Copy { .. } => unreachable!("copies go their own way"),
        }
    }

    async fn upload(&self, order: &Order, bytes: &Bytes, hash: ContentHash) -> Came {
        let mut again = 0;
        loop {
            let sent = self
                .api
                .upload(&self.client, &order.commit, bytes.clone(), hash);
            let failure = match sent.await {
                Ok(file) => return Came::Done(file),
                Err(Failure::Call(error)) => return called(error),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Route(UploadError::Path(failed), _) if is_file(&failed.reason) => {
                    return Came::Refused(Refused::Conflict(failure.into()));
                }
                Failure::Route(UploadError::PropertiesError(_), _) => {
                    return Came::Unstamped(failure.into());
                }
                Failure::Route(UploadError::ContentHashMismatch, _) if again < DAMAGED_AGAIN => {
                    again += 1;
                }
                _ => return Came::Refused(Refused::Other(failure.into())),
            }
        }
    }

    /// Several sessions in one call. One malformed entry refuses all of them, so a call that is refused as
    /// such is halved until only that entry is left out.
    async fn many(&self, jobs: &[Job]) -> Vec<Came> {
        let mut came = Vec::with_capacity(jobs.len());
        let mut waiting = vec![jobs];
        while let Some(jobs) = waiting.pop() {
            if let [job] = jobs {
                came.push(self.one(&job.order).await);
                continue;
            }
            let entries = jobs.iter().filter_map(|job| match &job.order.work {
                Work::Finish { session } => Some(FinishArg {
                    cursor: cursor(session, &job.order),
                    commit: &job.order.commit,
                }),
                // The queue hands those over one by one, or among themselves.
                Work::Upload { .. } | Work::Copy { .. } => None,
            });
            let finished = self.api.finish_batch(&self.client, entries.collect());
            match finished.await.map_err(Error::from) {
                Ok(entries) => came.extend(entries.into_iter().map(entry)),
                Err(error) if error.kind() == Kind::InvalidInput => {
                    let (first, second) = jobs.split_at(jobs.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(error) => came.extend(jobs.iter().map(|_| called(copy_of(&error)))),
            }
        }
        came
    }
}

fn cursor<'a>(session: &'a str, order: &Order) -> SessionCursor<'a> {
    SessionCursor {
        session_id: session,
        offset: order.size,
    }
}

/// A call that brought no answer about this commit.
fn called(error: Error) -> Came {
    match error.kind() {
        Kind::Ambiguous => Came::Lost(error),
        _ => Came::Refused(Refused::Other(error)),
    }
}

fn entry(entry: Entry<FileMetadata, FinishError>) -> Came {
    match entry {
        Entry::Success(file) => Came::Done(file),
        Entry::Failure(error) => {
            let shown = Failure::Route(
                error.clone(),
                crate::errors::Circumstances {
                    route: "files/upload_session/finish_batch_v2",
                    ..crate::errors::Circumstances::default()
                },
            );
            refused(&error, shown.into())
        }
    }
}

fn refused(reason: &FinishError, error: Error) -> Came {
    match reason {
        FinishError::Path(WriteError::TooManyWriteOperations)
        | FinishError::TooManyWriteOperations => Came::Locked(error),
        FinishError::PropertiesError(_) => Came::Unstamped(error),
        FinishError::Path(reason) if is_file(reason) => Came::Refused(Refused::Conflict(error)),
        FinishError::LookupFailed(SessionError::NotFound) => Came::Gone(error),
        FinishError::LookupFailed(SessionError::NotClosed)
        | FinishError::ConcurrentSessionNotClosed => Came::Open(error),
        _ => Came::Refused(Refused::Other(error)),
    }
}

/// A wait that doubles with every time, between half of its ceiling and all of it. Where in between
/// follows from the path, so that accounts and processes do not return together while the same run waits
/// the same every time.
fn growing(base: Duration, times: u32, key: &str) -> Duration {
    let doubled = 1u32 << times.saturating_sub(1).min(16);
    let ceiling = base.saturating_mul(doubled).min(WAIT_MAX);
    let seed = Blake3::of(format!("{times} {key}").as_bytes());
    let share = f64::from(seed.as_bytes()[0]) / 255.0;
    ceiling.mul_f64(0.5 + share / 2.0)
}
