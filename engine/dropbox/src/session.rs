//! The upload of one large file by an upload session of its own.
//!
//! Chunks of a concurrent session travel in any order, several at once; the one that ends the file closes the
//! session, so it is held back until Dropbox acknowledged all others. A sequential session takes them one
//! after the other. What an append that arrived before leaves behind is sorted out here, without sending an
//! acknowledged byte again.

use std::ops::Range;
use std::pin::pin;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{
    Chunk, ContentHash, Digests, Error, Kind, Placed, Ranges, Result, UploadSession,
};

use crate::checkpoint::Checkpoint;
use crate::client::Api;
use crate::commits::Work;
use crate::errors::{CorrectOffset, Failure, SessionError};
use crate::hashing::hash;
use crate::lock;
use crate::target::Target;
use crate::wire::{SessionCursor, SessionType};

/// The largest chunk: the last multiple of a block below the documented 150 MiB a call.
pub(crate) const CHUNK_BYTES_MAX: u64 = 148 << 20;

/// How often one chunk is sent again because it arrived damaged or in part.
const APPEND_AGAIN: u32 = 4;

/// One large file on its way.
#[derive(Debug)]
pub(crate) struct LargeSession {
    target: Target,
    size: u64,
    id: String,
    session_type: SessionType,
    born: Timestamp,
    progress: Mutex<Progress>,
    /// Rung when an append ended.
    bell: Notify,
}

/// What Dropbox has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// What it acknowledged, in whole chunks.
    pub(crate) acknowledged: Ranges,
    /// Where a sequential session stands, which may be within a chunk.
    pub(crate) landed: u64,
    /// How many appends failed for good.
    failed: u64,
}

impl LargeSession {
    pub(crate) fn new(target: Target, size: u64, at: &Checkpoint, progress: Progress) -> Self {
        LargeSession {
            target,
            size,
            id: at.session.clone(),
            session_type: at.session_type,
            born: at.born,
            progress: Mutex::new(progress),
            bell: Notify::new(),
        }
    }

    fn check(&self, chunk: &Chunk) -> Result<()> {
        let block = BLOCK_BYTES as u64;
        let Range { start, end } = chunk.range();
        let progress = lock(&self.progress);
        let fits = end <= self.size
            && (1..=CHUNK_BYTES_MAX).contains(&(end - start))
            && start.is_multiple_of(block)
            && (end.is_multiple_of(block) || end == self.size);
        let wanted = match self.session_type {
            SessionType::Sequential => {
                let at = progress.acknowledged.prefix_end();
                // One that landed in part is completed.
                start <= at && at < end
            }
            SessionType::Concurrent => !progress.acknowledged.overlaps(&chunk.range()),
        };
        match fits && wanted {
            true => Ok(()),
            false => Err(
                Error::new(Kind::InvalidInput, "the chunk does not fit the upload")
                    .with_context("path", &self.target.commit.path)
                    .with_context("chunk", format!("{start}..{end}"))
                    .with_context(
                        "acknowledged",
                        format!("{:?}", progress.acknowledged.to_vec()),
                    )
                    .with_context("size", self.size),
            ),
        }
    }

    /// Waits until everything before `offset` is acknowledged: the closing append goes last. Chunks are
    /// handed over in their order, so what is waited for is under way.
    async fn others(&self, offset: u64) -> Result<()> {
        let failed = lock(&self.progress).failed;
        loop {
            let mut ended = pin!(self.bell.notified());
            ended.as_mut().enable();
            {
                let progress = lock(&self.progress);
                if progress.acknowledged.contains(&(0..offset)) {
                    return Ok(());
                }
                if progress.failed != failed {
                    return Err(Error::new(
                        Kind::Unavailable,
                        "another part of the file could not be sent",
                    )
                    .with_context("path", &self.target.commit.path));
                }
            }
            ended.await;
        }
    }

    /// Appends one chunk.
    async fn send(&self, chunk: Chunk) -> Result<()> {
        let Range { start, end } = chunk.range();
        let close = end == self.size;
        let landed = match self.session_type {
            SessionType::Sequential => lock(&self.progress).landed.clamp(start, end),
            SessionType::Concurrent => start,
        };
        let mut rest = chunk;
        skip_to(&mut rest, landed);
        let mut again = 0;
        while !rest.bytes.is_empty() {
            let hash = match rest.content_hash {
                Some(hash) => hash,
                None => hash(&rest.bytes).await?,
            };
            let cursor = SessionCursor {
                session_id: &self.id,
                offset: rest.offset,
            };
            let sent = self
                .target
                .api
                .append(cursor, close, rest.bytes.clone(), hash);
            let failure = match sent.await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            match &failure {
                // Nobody but us closes it, and only with its last bytes.
                Failure::Route(SessionError::Closed, _) if close => return Ok(()),
                Failure::Route(SessionError::IncorrectOffset(CorrectOffset(Some(correct))), _)
                    if (rest.offset..=end).contains(correct) =>
                {
                    // It landed before, in whole or in part; only the answer was lost. Parts of a
                    // concurrent session's chunks would not be aligned.
                    if *correct == end || self.session_type == SessionType::Sequential {
                        skip_to(&mut rest, *correct);
                    }
                }
                Failure::Route(SessionError::ContentHashMismatch, _) => {}
                _ => return Err(self.appending(failure, rest.offset)),
            }
            again += 1;
            if again > APPEND_AGAIN {
                return Err(self.appending(failure, rest.offset).persistent());
            }
            tracing::debug!(at = rest.offset, again, "the chunk is sent again");
        }
        Ok(())
    }

    fn appending(&self, failure: Failure<SessionError>, at: u64) -> Error {
        Error::from(failure)
            .with_context("path", &self.target.commit.path)
            .with_context("at", at)
    }
}

/// Drops what lies before `offset`. The hash was that of the whole.
fn skip_to(chunk: &mut Chunk, offset: u64) {
    let skipped = usize::try_from(offset.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
    if skipped > 0 {
        chunk.bytes = chunk.bytes.slice(skipped.min(chunk.bytes.len())..);
        chunk.offset = offset;
        chunk.content_hash = None;
    }
}

#[async_trait]
impl UploadSession for LargeSession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        self.check(&chunk)?;
        let range = chunk.range();
        if self.session_type == SessionType::Concurrent && range.end == self.size {
            self.others(range.start).await?;
        }
        let sent = Box::pin(self.send(chunk)).await;
        {
            let mut progress = lock(&self.progress);
            match &sent {
                Ok(()) => {
                    progress.landed = progress.landed.max(range.end);
                    progress.acknowledged.insert(range);
                }
                Err(_) => progress.failed += 1,
            }
        }
        self.bell.notify_waiters();
        sent
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        lock(&self.progress).acknowledged.to_vec()
    }

    fn checkpoint(&self) -> Option<String> {
        let checkpoint = Checkpoint {
            session: self.id.clone(),
            session_type: self.session_type,
            born: self.born,
            revision: self.target.commit.mode.revision(),
        };
        Some(checkpoint.to_text())
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        let received = lock(&self.progress).acknowledged.bytes();
        if received != self.size || digests.size != self.size {
            return Err(self.target.incomplete(received, self.size));
        }
        let work = Work::Finish {
            session: self.id.clone(),
        };
        Box::pin(self.target.place(work, None, digests)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropbox has no call to end a session early; it expires after seven days.
        Ok(())
    }
}

/// Asks what a session of an earlier process has: an empty append says so without adding anything. `None`
/// when the session is gone, or has what does not belong to this file.
pub(crate) async fn look_at(
    api: &Api,
    at: &Checkpoint,
    size: u64,
    acknowledged: &[Range<u64>],
) -> Result<Option<Progress>> {
    let acknowledged: Ranges = acknowledged.iter().cloned().collect();
    let end = acknowledged.iter().last().map_or(0, |last| last.end);
    if end > size {
        return Ok(None);
    }
    let offset = match at.session_type {
        SessionType::Sequential => acknowledged.prefix_end(),
        SessionType::Concurrent => 0,
    };
    let cursor = SessionCursor {
        session_id: &at.session,
        offset,
    };
    let nothing = ContentHash::of(b"");
    let failure = match api
        .append(cursor, false, bytes::Bytes::new(), nothing)
        .await
    {
        Ok(_) => return Ok(Some(known(at.session_type, acknowledged, offset))),
        Err(failure) => failure,
    };
    let reason = match &failure {
        Failure::Route(reason, _) => reason,
        Failure::Call(_) => return Err(failure.into()),
    };
    match (reason, at.session_type) {
        (SessionError::NotFound, _) => Ok(None),
        // It was closed with its last bytes, after all others were acknowledged.
        (SessionError::Closed, _) => Ok(Some(Progress {
            acknowledged: up_to(size),
            landed: size,
            failed: 0,
        })),
        (SessionError::IncorrectOffset(CorrectOffset(Some(correct))), SessionType::Sequential) => {
            let has = |correct| known(SessionType::Sequential, Ranges::new(), correct);
            Ok((*correct <= size).then(|| match *correct == size {
                true => Progress {
                    acknowledged: up_to(size),
                    landed: size,
                    failed: 0,
                },
                false => has(*correct),
            }))
        }
        // It is there; that it takes no empty append says nothing about what it has.
        (_, SessionType::Concurrent) => Ok(Some(known(at.session_type, acknowledged, 0))),
        (_, SessionType::Sequential) => Err(failure.into()),
    }
}

/// What is known of a session: a sequential one has what lies before `landed`, in whole blocks and a rest
/// that is not sent again.
fn known(session_type: SessionType, acknowledged: Ranges, landed: u64) -> Progress {
    let acknowledged = match session_type {
        SessionType::Concurrent => acknowledged,
        SessionType::Sequential => {
            let whole = landed - landed % BLOCK_BYTES as u64;
            up_to(whole)
        }
    };
    Progress {
        acknowledged,
        landed,
        failed: 0,
    }
}

/// Everything before `end`.
fn up_to(end: u64) -> Ranges {
    let mut ranges = Ranges::new();
    ranges.insert(0..end);
    ranges
}
