//! One upload: a handle asked for when the first bytes are there, one streamed request, then an asset or
//! a version made of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use windlass_core::digest::ChecksumHasher;
use windlass_core::{Chunk, Digests, Error, Kind, Placed, Ranges, Result, UploadSession};

use crate::body::{Feed, body};
use crate::calibration::LEARN_BYTES_MAX;
use crate::client::Got;
use crate::endpoint::Shared;
use crate::profile::Checksum;
use crate::sink::{Commit, Sent};

/// Chunks below this are hashed on the spot: the way to another thread would take longer.
const HASH_INLINE_BYTES: usize = 128 << 10;

/// The upload of one content.
#[derive(Debug)]
pub(crate) struct CelumSession {
    commit: Commit,
    shared: Arc<Shared>,
    size: u64,
    acknowledged: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// No byte came yet.
    Idle,
    Sending(Box<Sending>),
    /// It failed, or was committed.
    Over,
}

#[derive(Debug)]
struct Sending {
    handle: String,
    feed: Feed,
    request: AbortOnDropHandle<Result<Got<()>>>,
    sent: u64,
    checksum: Option<(Checksum, ChecksumHasher)>,
    kept: Option<Vec<u8>>,
}

impl CelumSession {
    pub(crate) fn new(shared: Arc<Shared>, commit: Commit, size: u64) -> Self {
        CelumSession {
            commit,
            shared,
            size,
            acknowledged: AtomicU64::new(0),
            state: Mutex::new(State::Idle),
        }
    }

    /// Asks for a handle and starts the request that will carry the bytes.
    async fn open(&self) -> Result<Box<Sending>> {
        let checksum = self.shared.calibrate_once().await;
        let filename = &self.commit.draft.file_name;
        let ticket = self
            .shared
            .api
            .upload_ticket(filename, self.size)
            .await?
            .or_refused("asking for an upload")?;
        let attempts = &self.shared.attempts;
        attempts.asked(&self.commit.correlation, ticket.given);
        let (feed, parts) = body(self.shared.profile.upload_mode, filename, self.size);
        let shared = Arc::clone(&self.shared);
        let request = tokio::spawn(async move { shared.api.upload(ticket.url, parts).await });
        Ok(Box::new(Sending {
            handle: ticket.handle,
            feed,
            request: AbortOnDropHandle::new(request),
            sent: 0,
            kept: (checksum.is_none() && self.size <= LEARN_BYTES_MAX).then(Vec::new),
            checksum: checksum.map(|rule| (rule, ChecksumHasher::new(rule.algorithm))),
        }))
    }

    async fn send(&self, sending: &mut Sending, offset: u64, chunk: Bytes) -> Result<()> {
        if offset != sending.sent || offset + chunk.len() as u64 > self.size {
            return Err(
                Error::new(Kind::Unexpected, "a chunk does not continue the upload")
                    .with_context("offset", offset)
                    .with_context("expected", sending.sent),
            );
        }
        sending.sent += chunk.len() as u64;
        if let Some(kept) = &mut sending.kept {
            kept.extend_from_slice(&chunk);
        }
        // Hashed while the connection takes it.
        let hashed = hash(sending.checksum.take(), chunk.clone());
        let (hashed, taken) = tokio::join!(hashed, sending.feed.hand_over(chunk));
        sending.checksum = hashed?;
        if !taken {
            // The request ended before its body did: it knows why.
            return Err(match outcome(&mut sending.request).await {
                Ok(()) => Error::new(Kind::Unavailable, "the upload was answered before its end"),
                Err(error) => error,
            });
        }
        Ok(())
    }

    /// Waits until every byte was answered for.
    async fn finish(&self) -> Result<Sent> {
        let mut state = self.state.lock().await;
        let sending = match std::mem::replace(&mut *state, State::Over) {
            State::Idle if self.size == 0 => self.open().await?,
            State::Sending(sending) => sending,
            State::Idle => return Err(incomplete(0, self.size)),
            State::Over => return Err(over()),
        };
        if sending.sent != self.size {
            return Err(incomplete(sending.sent, self.size));
        }
        let Sending {
            handle,
            feed,
            mut request,
            checksum,
            kept,
            ..
        } = *sending;
        drop(feed);
        outcome(&mut request).await?;
        self.acknowledged.store(self.size, Ordering::Release);
        let checksum = checksum.map(|(rule, running)| rule.encoding.write(&running.finalize()));
        Ok(Sent {
            handle,
            checksum,
            kept,
        })
    }
}

#[async_trait]
impl UploadSession for CelumSession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        let mut state = self.state.lock().await;
        // Whoever drops this future has sent nobody knows how much: the session is over then, and so is its
        // request.
        let mut sending = match std::mem::replace(&mut *state, State::Over) {
            State::Idle => self.open().await?,
            State::Sending(sending) => sending,
            State::Over => return Err(over()),
        };
        self.send(&mut sending, chunk.offset, chunk.bytes).await?;
        *state = State::Sending(sending);
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        // All or nothing: the request is answered once.
        let end = self.acknowledged.load(Ordering::Acquire);
        let mut ranges = Ranges::new();
        ranges.insert(0..end);
        ranges.to_vec()
    }

    fn checkpoint(&self) -> Option<String> {
        None
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        if digests.size != self.size {
            return Err(
                Error::new(Kind::Integrity, "the digests are of another length")
                    .with_context("digests", digests.size)
                    .with_context("announced", self.size),
            );
        }
        let sent = self.finish().await?;
        self.commit.make(&self.shared, sent, digests).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropping the request ends it; the handle was never used and expires.
        Ok(())
    }
}

/// Takes a chunk into the running checksum, away from the network's thread where it is worth the trip.
async fn hash(
    checksum: Option<(Checksum, ChecksumHasher)>,
    chunk: Bytes,
) -> Result<Option<(Checksum, ChecksumHasher)>> {
    let Some((rule, mut running)) = checksum else {
        return Ok(None);
    };
    if chunk.len() < HASH_INLINE_BYTES {
        running.update(&chunk);
        return Ok(Some((rule, running)));
    }
    let hashing = tokio::task::spawn_blocking(move || {
        running.update(&chunk);
        running
    });
    let running = hashing.await.map_err(|error| {
        Error::new(Kind::Unexpected, "the checksum's task ended abnormally").with_source(error)
    })?;
    Ok(Some((rule, running)))
}

fn over() -> Error {
    Error::new(Kind::Unexpected, "the upload session is over")
}

fn incomplete(sent: u64, size: u64) -> Error {
    Error::new(Kind::Integrity, "the content is not complete")
        .with_context("sent", sent)
        .with_context("expected", size)
}

/// How the request that carries the bytes ended.
async fn outcome(request: &mut AbortOnDropHandle<Result<Got<()>>>) -> Result<()> {
    let ended = request.await.map_err(|error| {
        Error::new(Kind::Unexpected, "the upload's task ended abnormally").with_source(error)
    })?;
    match ended? {
        Got::Value(()) => Ok(()),
        // A handle that is refused is used up or expired: the next try gets a fresh one.
        Got::Refused(refusal) if matches!(refusal.status.as_u16(), 401 | 403 | 404 | 409 | 410) => {
            let error = refusal.into_error("the upload", |_| None);
            Err(Error::new(Kind::Unavailable, error.message().to_owned()).with_source(error))
        }
        Got::Refused(refusal) => Err(refusal.into_error("the upload", |_| None)),
    }
}
