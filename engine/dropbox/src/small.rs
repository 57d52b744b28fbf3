//! The upload of a content so small that it is handed over whole.
//!
//! It travels with others on the express lane, and its commit with theirs; alone it travels in one call with
//! its commit. Either way its owner sees an ordinary session that takes one chunk.

use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use windlass_core::{Chunk, ContentHash, Digests, Error, Kind, Placed, Result, UploadSession};

use crate::checkpoint::Checkpoint;
use crate::commits::{Announced, Work};
use crate::express::{Express, Handed, Kept, Ticket};
use crate::hashing::hash;
use crate::lock;
use crate::target::Target;
use crate::wire::SessionType;

/// One small content.
#[derive(Debug)]
pub(crate) struct SmallSession {
    target: Target,
    size: u64,
    /// What it travels on; none where it always travels alone.
    express: Option<Express>,
    state: Mutex<State>,
    announced: Announced,
}

/// Where the content is.
#[derive(Debug)]
enum State {
    /// Not here yet. The ticket makes the express lane wait for it.
    Awaited(Option<Ticket>),
    /// In a session that is closed.
    Kept(Kept),
    /// Here, until its commit takes it along.
    Held(Held),
}

#[derive(Clone)]
struct Held {
    bytes: Bytes,
    hash: ContentHash,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({})", self.bytes.len())
    }
}

impl SmallSession {
    pub(crate) fn new(target: Target, size: u64, lane: Option<(Express, Ticket)>) -> Self {
        let (express, ticket) = lane.unzip();
        SmallSession {
            announced: target.commits.announce(&target.namespace),
            target,
            size,
            express,
            state: Mutex::new(State::Awaited(ticket)),
        }
    }

    async fn take(&self, bytes: Bytes, content_hash: Option<ContentHash>) -> Result<()> {
        let ticket = match &mut *lock(&self.state) {
            State::Awaited(ticket) => ticket.take(),
            _ => return Err(misplaced("the content is here already", 0, self.size)),
        };
        let handed = match &self.express {
            Some(express) => express.hand_over(ticket, bytes).await?,
            None => Handed::Alone(bytes),
        };
        let state = match handed {
            Handed::Appended(kept) => State::Kept(kept),
            Handed::Alone(bytes) => State::Held(Held {
                hash: known(content_hash, &bytes).await?,
                bytes,
            }),
            Handed::Start(bytes) => {
                let hash = known(content_hash, &bytes).await?;
                let born = self.target.clock.now();
                let started = self.target.api.start_closed(bytes, hash).await;
                let session = started
                    .map_err(|failure| {
                        Error::from(failure).with_context("path", &self.target.commit.path)
                    })?
                    .session_id;
                State::Kept(Kept { session, born })
            }
        };
        *lock(&self.state) = state;
        Ok(())
    }
}

/// The hash that came with the bytes, or theirs.
async fn known(content_hash: Option<ContentHash>, bytes: &Bytes) -> Result<ContentHash> {
    match content_hash {
        Some(hash) => Ok(hash),
        None => hash(bytes).await,
    }
}

fn misplaced(message: &'static str, offset: u64, size: u64) -> Error {
    Error::new(Kind::InvalidInput, message)
        .with_context("at", offset)
        .with_context("size", size)
}

#[async_trait]
impl UploadSession for SmallSession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        if chunk.range() != (0..self.size) {
            return Err(misplaced(
                "so small a file is one chunk",
                chunk.offset,
                self.size,
            ));
        }
        Box::pin(self.take(chunk.bytes, chunk.content_hash)).await
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        let kept = matches!(*lock(&self.state), State::Kept(_)) && self.size > 0;
        Vec::from_iter(kept.then_some(0..self.size))
    }

    fn checkpoint(&self) -> Option<String> {
        match &*lock(&self.state) {
            State::Kept(kept) => Some(
                Checkpoint {
                    session: kept.session.clone(),
                    session_type: SessionType::Sequential,
                    born: kept.born,
                    revision: self.target.commit.mode.revision(),
                }
                .to_text(),
            ),
            State::Awaited(_) | State::Held(_) => None,
        }
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        // Nobody hands over nothing, so nothing is handed over here.
        let awaited = matches!(*lock(&self.state), State::Awaited(_));
        if awaited && self.size == 0 {
            Box::pin(self.take(Bytes::new(), None)).await?;
        }
        let work = match &*lock(&self.state) {
            State::Kept(kept) => Work::Finish {
                session: kept.session.clone(),
            },
            State::Held(held) => Work::Upload {
                bytes: held.bytes.clone(),
                hash: held.hash,
            },
            State::Awaited(_) => return Err(self.target.incomplete(0, self.size)),
        };
        if digests.size != self.size {
            return Err(self.target.incomplete(self.size, digests.size));
        }
        let SmallSession {
            target, announced, ..
        } = *self;
        Box::pin(target.place(work, Some(announced), digests)).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropbox has no call to end a session early; it expires after seven days.
        Ok(())
    }
}
