//! The express lane: small contents share requests.
//!
//! Each content is an ordinary upload session to its owner. Behind them a clerk collects what they hand over
//! and sends it as `append_batch`, into sessions that were started ahead of need. A batch goes when it is
//! full (entries, bytes, or the header that carries its argument), at once when nothing more is coming, which
//! it knows by counting the contents that were begun and not yet handed over, or when nothing arrived for a
//! moment. It never waits for more than that: what it holds is somebody's memory.
//!
//! A content that turns out to be alone is handed back, to travel in one call with its commit; so is one
//! whose entry was refused. A service without the route is noticed once. Owners that leave take their
//! content with them; the clerk is a task that ends when nothing is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use windlass_core::{Error, Kind, Result};
use windlass_http::Pieces;

use crate::client::{Api, BatchFailure};
use crate::errors::{AppendBatchError, CorrectOffset, Failure, SessionError};
use crate::hashing::hash_pieces;
use crate::lock;
use crate::pool::{Fresh, MANY, Pool, START_BATCH_MAX};
use crate::shared_error::copy_of;
use crate::wire::{AppendEntry, Entry, SessionCursor};

/// The most entries in one call, as documented.
const ENTRIES_MAX: usize = 1_000;

/// What an entry of the argument takes beside its session's id: names, punctuation, seven digits of length.
const ENTRY_HEADER_BYTES: usize = 72;

/// What the argument takes beside its entries: names, punctuation, the hash.
const ARG_HEADER_BYTES: usize = 128;

/// The length of a session's id until one was seen.
const SESSION_ID_BYTES: usize = 69;

/// Below this the header is not what a request was refused for.
const HEADER_BYTES_MIN: usize = 4 << 10;

/// How often a batch is sent again because it arrived damaged.
const DAMAGED_AGAIN: u32 = 4;

/// How contents are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A batch of so many bytes is full.
    pub(crate) batch_bytes: u64,
    /// The longest argument of a batch, which travels in a header.
    pub(crate) header_bytes: usize,
    /// How long a batch that is not full waits, from the last arrival on, while more is coming.
    pub(crate) idle: Duration,
    /// The same once nothing more is known to come: what begins at the same moment still joins.
    pub(crate) quiet: Duration,
    /// How long its first content waits at most.
    pub(crate) age: Duration,
    /// How many batches are under way at once.
    pub(crate) flights: usize,
}

/// What became of a content.
#[derive(Debug)]
pub(crate) enum Handed {
    /// It is in this session, which is closed.
    Appended(Kept),
    /// It has to travel alone, in one call with its commit.
    Alone(Bytes),
    /// It has to start a session of its own, with its bytes: the service knows no batches.
    Start(Bytes),
}

/// A session that holds a content.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) session: String,
    pub(crate) born: Timestamp,
}

/// The express lane of one account. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Express(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    pool: Pool,
    rules: Rules,
    state: Mutex<State>,
    /// Rung when the clerk may have something to do.
    bell: Notify,
    flights: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    /// What was handed over, in order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    bytes: u64,
    next_id: u64,
    /// Contents that were begun and not handed over yet.
    coming: usize,
    arrived: Instant,
    working: bool,
    /// The longest argument that this account's way to the service bears.
    header_bytes: usize,
    /// The longest session id that was seen.
    id_bytes: usize,
    /// The service knows `append_batch`, as far as we know.
    batches: bool,
}

#[derive(Debug)]
struct Waiting {
    bytes: Bytes,
    since: Instant,
    reply: oneshot::Sender<Result<Handed>>,
}

/// A content that was begun. Handing it over or dropping this ends the wait for it.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Shared>);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.coming -= 1;
        if state.coming == 0 {
            self.0.bell.notify_one();
        }
    }
}

/// Takes a content back whose owner left.
struct Place<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.shared.state).remove(self.id);
    }
}

impl Express {
    pub(crate) fn new(api: Api, pool: Pool, rules: Rules) -> Self {
        Express(Arc::new(Shared {
            api,
            pool,
            flights: Arc::new(Semaphore::new(rules.flights.max(1))),
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                bytes: 0,
                next_id: 0,
                coming: 0,
                arrived: Instant::now(),
                working: false,
                header_bytes: rules.header_bytes.max(HEADER_BYTES_MIN),
                id_bytes: SESSION_ID_BYTES,
                batches: true,
            }),
            rules,
            bell: Notify::new(),
        }))
    }

    /// Says that a content comes.
    pub(crate) fn begin(&self) -> Ticket {
        lock(&self.0.state).coming += 1;
        Ticket(Arc::clone(&self.0))
    }

    /// Hands a content over and waits until it is known how it travels. Dropping the future takes it back
    /// unless it is under way; what a session holds of it then expires.
    pub(crate) async fn hand_over(&self, ticket: Option<Ticket>, bytes: Bytes) -> Result<Handed> {
        let shared = &*self.0;
        let (reply, answer) = oneshot::channel();
        let (id, start) = {
            let mut state = lock(&shared.state);
            let id = state.put(bytes, reply);
            (id, !std::mem::replace(&mut state.working, true))
        };
        let _place = Place { shared, id };
        // Only now: the clerk must not take it for the last one and leave this behind.
        drop(ticket);
        if start {
            tokio::spawn(work(Arc::clone(&self.0)));
        } else if lock(&shared.state).full(&shared.rules) {
            shared.bell.notify_one();
        }
        answer.await.unwrap_or_else(|_| {
            // Nothing was committed, so sending it again does no harm.
            Err(Error::new(
                Kind::Unavailable,
                "packing small files ended abnormally",
            ))
        })
    }

    /// The most contents that one call carries now.
    pub(crate) fn entries_max(&self) -> usize {
        lock(&self.0.state).entries_max()
    }

    /// How many contents wait to be packed. Zero at rest.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.0.state).waiting.len()
    }
}

/// What the clerk does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Rest,
    Wait(Instant),
    Send,
}

impl State {
    fn put(&mut self, bytes: Bytes, reply: oneshot::Sender<Result<Handed>>) -> u64 {
        self.next_id += 1;
        self.arrived = Instant::now();
        self.bytes += bytes.len() as u64;
        let since = self.arrived;
        let waiting = Waiting {
            bytes,
            since,
            reply,
        };
        self.waiting.insert(self.next_id, waiting);
        self.next_id
    }

    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let gone = self.waiting.remove(&id)?;
        self.bytes -= gone.bytes.len() as u64;
        Some(gone)
    }

    /// The most entries whose argument fits into its header.
    fn entries_max(&self) -> usize {
        let room = self.header_bytes.saturating_sub(ARG_HEADER_BYTES);
        (room / (self.id_bytes + ENTRY_HEADER_BYTES)).clamp(1, ENTRIES_MAX)
    }

    fn full(&self, rules: &Rules) -> bool {
        self.bytes >= rules.batch_bytes || self.waiting.len() >= self.entries_max()
    }

    fn next(&mut self, now: Instant, rules: &Rules) -> Next {
        let Some(oldest) = self.waiting.values().next().map(|first| first.since) else {
            self.working = false;
            return Next::Rest;
        };
        let idle = match self.coming {
            0 => rules.quiet,
            _ => rules.idle,
        };
        let ripe = (self.arrived + idle).min(oldest + rules.age);
        match !self.batches || self.full(rules) || now >= ripe {
            true => Next::Send,
            false => Next::Wait(ripe),
        }
    }

    /// Takes the next batch: as much as fits.
    fn take(&mut self, rules: &Rules) -> Vec<Waiting> {
        let most = self.entries_max();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some((&id, first)) = self.waiting.first_key_value() {
            bytes += first.bytes.len() as u64;
            if batch.len() >= most || (bytes > rules.batch_bytes && !batch.is_empty()) {
                break;
            }
            batch.extend(self.remove(id));
        }
        batch
    }
}

/// Lets everybody go if the clerk ends abnormally.
struct Clerk(Arc<Shared>);

impl Drop for Clerk {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        if std::mem::take(&mut state.working) {
            state.waiting.clear();
            state.bytes = 0;
        }
    }
}

/// Packs until nothing is left.
async fn work(shared: Arc<Shared>) {
    let clerk = Clerk(shared);
    let shared = &clerk.0;
    loop {
        let (next, ahead) = {
            let mut state = lock(&shared.state);
            let next = state.next(Instant::now(), &shared.rules);
            let soon = state.waiting.len() + state.coming;
            (next, (soon >= MANY).then_some(soon))
        };
        match next {
            Next::Rest => return,
            Next::Wait(until) => {
                // While many contents are still being read, their sessions can be started; a few soon are a batch.
                if let Some(soon) = ahead {
                    let shared = Arc::clone(shared);
                    tokio::spawn(async move { shared.pool.prepare(soon).await });
                }
                tokio::select! {
                    biased;
                    () = shared.bell.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            Next::Send => {
                let Ok(permit) = Arc::clone(&shared.flights).acquire_owned().await else {
                    unreachable!("the semaphore is never closed");
                };
                // Meanwhile more may have come, or everybody left.
                let batch = lock(&shared.state).take(&shared.rules);
                if !batch.is_empty() {
                    tokio::spawn(send(Arc::clone(shared), batch, permit));
                }
            }
        }
    }
}

/// Sends one batch and tells everybody. When everybody left, it is given up.
async fn send(shared: Arc<Shared>, batch: Vec<Waiting>, permit: OwnedSemaphorePermit) {
    let (contents, mut replies): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|waiting| (waiting.bytes, waiting.reply))
        .unzip();
    let handed = tokio::select! {
        biased;
        handed = Box::pin(shared.deliver(contents)) => handed,
        _ = join_all(replies.iter_mut().map(oneshot::Sender::closed)) => return,
    };
    drop(permit);
    for (reply, handed) in replies.into_iter().zip(handed) {
        // Whoever left does not want to know.
        drop(reply.send(handed));
    }
}

/// Entries of a batch that is still to be sent.
struct Part<'a> {
    contents: &'a [Bytes],
    sessions: &'a [Fresh],
    /// It is half of a batch whose connection broke every time.
    halved: bool,
}

impl Shared {
    /// One result for each content, in their order.
    async fn deliver(&self, contents: Vec<Bytes>) -> Vec<Result<Handed>> {
        if !lock(&self.state).batches {
            return contents.into_iter().map(|c| Ok(Handed::Start(c))).collect();
        }
        // Alone it is cheaper without a session: one call instead of two.
        if let [_] = contents[..] {
            return contents.into_iter().map(|c| Ok(Handed::Alone(c))).collect();
        }
        let soon = {
            let state = lock(&self.state);
            (contents.len() + state.waiting.len() + state.coming).min(START_BATCH_MAX)
        };
        let sessions = match self.pool.take(contents.len(), soon).await {
            Ok(sessions) => sessions,
            Err(error) => return contents.iter().map(|_| Err(copy_of(&error))).collect(),
        };
        self.note_id(&sessions);
        let mut results = Vec::with_capacity(contents.len());
        let mut parts = vec![Part {
            contents: &contents,
            sessions: &sessions,
            halved: false,
        }];
        while let Some(part) = parts.pop() {
            if !lock(&self.state).batches {
                results.extend(part.contents.iter().map(|c| Ok(Handed::Start(c.clone()))));
                continue;
            }
            match self.append(&part).await {
                Ok(handed) => {
                    if part.halved {
                        self.lower_header(part.sessions);
                    }
                    results.extend(handed);
                }
                Err(failure) => self.failed(part, failure, &mut parts, &mut results),
            }
        }
        results
    }

    /// Halves what was refused as a whole, or gives up on it.
    fn failed<'a>(
        &self,
        part: Part<'a>,
        failure: BatchFailure,
        parts: &mut Vec<Part<'a>>,
        results: &mut Vec<Result<Handed>>,
    ) {
        let several = part.contents.len() > 1;
        let (error, halved) = match failure {
            BatchFailure::UnknownRoute => {
                tracing::info!("the service knows no append_batch: small files travel one by one");
                lock(&self.state).batches = false;
                parts.push(part);
                return;
            }
            // So little can be refused for another reason only. It is not asked for again.
            BatchFailure::TooMuch(error) if header_bytes(part.sessions) <= HEADER_BYTES_MIN => {
                tracing::warn!(%error, "append_batch is refused: small files travel one by one");
                lock(&self.state).batches = false;
                parts.push(part);
                return;
            }
            BatchFailure::TooMuch(error) => {
                self.lower_header(&part.sessions[part.sessions.len() / 2..]);
                (error, several.then_some(part.halved))
            }
            BatchFailure::Failed(failure) => {
                let large = matches!(
                    failure,
                    Failure::Route(AppendBatchError::PayloadTooLarge, _)
                );
                let error = Error::from(failure);
                // Something on the way may cut connections whose headers it does not like.
                let cut = error.kind() == Kind::Unavailable
                    && !part.halved
                    && header_bytes(part.sessions) > HEADER_BYTES_MIN;
                (error, (several && (large || cut)).then_some(cut))
            }
        };
        let Some(halved) = halved else {
            results.extend(part.contents.iter().map(|_| Err(copy_of(&error))));
            return;
        };
        tracing::info!(entries = part.contents.len(), %error, "a batch is sent in two halves");
        let middle = part.contents.len() / 2;
        let (first, second) = part.contents.split_at(middle);
        let (of_first, of_second) = part.sessions.split_at(middle);
        // The last one is taken next.
        for (contents, sessions) in [(second, of_second), (first, of_first)] {
            parts.push(Part {
                contents,
                sessions,
                halved,
            });
        }
    }

    /// From now on no argument is longer than that of these entries.
    fn lower_header(&self, sessions: &[Fresh]) {
        let mut state = lock(&self.state);
        let bytes = header_bytes(sessions).max(HEADER_BYTES_MIN);
        state.header_bytes = state.header_bytes.min(bytes);
    }

    fn note_id(&self, sessions: &[Fresh]) {
        let longest = sessions.iter().map(|session| session.id.len()).max();
        let mut state = lock(&self.state);
        state.id_bytes = state.id_bytes.max(longest.unwrap_or(0));
    }

    async fn append(
        &self,
        part: &Part<'_>,
    ) -> std::result::Result<Vec<Result<Handed>>, BatchFailure> {
        let body = Pieces::new(part.contents.iter().cloned());
        let hash = hash_pieces(&body)
            .await
            .map_err(|error| BatchFailure::Failed(Failure::Call(error)))?;
        let pairs = part.contents.iter().zip(part.sessions);
        let entries: Vec<_> = pairs
            .map(|(content, session)| AppendEntry {
                cursor: SessionCursor {
                    session_id: &session.id,
                    offset: 0,
                },
                length: content.len() as u64,
                close: true,
            })
            .collect();
        let mut again = 0;
        let results = loop {
            match self.api.append_batch(&entries, body.clone(), hash).await {
                Err(BatchFailure::Failed(Failure::Route(
                    AppendBatchError::ContentHashMismatch | AppendBatchError::LengthMismatch,
                    _,
                ))) if again < DAMAGED_AGAIN => again += 1,
                ended => break ended?,
            }
        };
        let entries = results
            .into_iter()
            .zip(part.contents.iter().zip(part.sessions));
        Ok(entries
            .map(|(entry, (content, session))| Ok(handed(&entry, content, session)))
            .collect())
    }
}

/// How long the argument for these sessions is.
fn header_bytes(sessions: &[Fresh]) -> usize {
    let entries = sessions
        .iter()
        .map(|session| session.id.len() + ENTRY_HEADER_BYTES);
    ARG_HEADER_BYTES + entries.sum::<usize>()
}

/// What one entry's result means. The sessions are ours alone, so one that is closed, or stands at the
/// content's end, has it from an earlier try whose answer was lost.
fn handed<T>(entry: &Entry<T, SessionError>, content: &Bytes, session: &Fresh) -> Handed {
    let length = content.len() as u64;
    let landed = match entry {
        Entry::Success(_) | Entry::Failure(SessionError::Closed) => true,
        Entry::Failure(SessionError::IncorrectOffset(CorrectOffset(correct))) => {
            length > 0 && *correct == Some(length)
        }
        Entry::Failure(reason) => {
            tracing::debug!(%reason, "an entry was refused: it travels alone");
            false
        }
    };
    match landed {
        true => Handed::Appended(Kept {
            session: session.id.clone(),
            born: session.born,
        }),
        false => Handed::Alone(content.clone()),
    }
}

#[cfg(test)]
impl Express {
    /// The longest argument in use.
    pub(crate) fn header_bytes(&self) -> usize {
        lock(&self.0.state).header_bytes
    }
}
