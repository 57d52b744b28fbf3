//! One upload: a handle asked for when the first bytes are there, one streamed request, then an asset or
//! a version made of it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::Method;
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;
use windlass_core::{Chunk, Digests, Error, Kind, Placed, Ranges, Result, UploadSession};
use windlass_http::Body;

use crate::calibration::LEARN_BYTES_MAX;
use crate::client::Got;
use crate::endpoint::Shared;
use crate::profile::{Checksum, Running, UploadMode};
use crate::sink::{Commit, Sent};

/// Chunks below this are hashed on the spot: the way to another thread would take longer.
const HASH_INLINE_BYTES: usize = 128 << 10;

/// Between the parts of a form; long and fixed, because contents are not searched for it: the form has
/// one part, whose length is known.
const BOUNDARY: &str = "----windlass-7b1f0c5e9d2a4386-form";

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
    chunks: mpsc::Sender<Bytes>,
    request: AbortOnDropHandle<Result<Got<()>>>,
    sent: u64,
    checksum: Option<(Checksum, Running)>,
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
        // One chunk waits while one is written: its memory is let go of when the next is asked for.
        let (chunks, queue) = mpsc::channel(1);
        let (method, content_type, body) =
            body(&self.shared.profile.upload_mode, filename, self.size, queue);
        let shared = Arc::clone(&self.shared);
        let request = tokio::spawn(async move {
            shared
                .api
                .upload(method, ticket.url, &content_type, body)
                .await
        });
        Ok(Box::new(Sending {
            handle: ticket.handle,
            chunks,
            request: AbortOnDropHandle::new(request),
            sent: 0,
            kept: (checksum.is_none() && self.size <= LEARN_BYTES_MAX).then(Vec::new),
            checksum: checksum.map(|rule| (rule, Running::new(rule.algorithm))),
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
        // A chunk without bytes would look like the end to some bodies.
        if chunk.is_empty() {
            return Ok(());
        }
        if let Some(kept) = &mut sending.kept {
            kept.extend_from_slice(&chunk);
        }
        // Hashed while it waits for its turn on the line. Dropping this future in between loses the
        // hash and perhaps the chunk: the body then is too short, and nothing can be committed.
        let hashed = hash(sending.checksum.take(), chunk.clone());
        let (hashed, sent) = tokio::join!(hashed, sending.chunks.send(chunk));
        sending.checksum = hashed?;
        if sent.is_err() {
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
        // Closing the queue is how the body learns that it is complete.
        let Sending {
            handle,
            chunks,
            mut request,
            checksum,
            kept,
            ..
        } = *sending;
        drop(chunks);
        outcome(&mut request).await?;
        self.acknowledged.store(self.size, Ordering::Release);
        let checksum = checksum.map(|(rule, running)| running.finish(rule.encoding));
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
        if matches!(*state, State::Idle) {
            *state = State::Sending(self.open().await?);
        }
        let State::Sending(sending) = &mut *state else {
            return Err(over());
        };
        let sent = self.send(sending, chunk.offset, chunk.bytes).await;
        if sent.is_err() {
            *state = State::Over;
        }
        sent
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
        self.commit.make(&self.shared, sent, self.size).await
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropping the request ends it; the handle was never used and expires.
        Ok(())
    }
}

/// Takes a chunk into the running checksum, away from the network's thread where it is worth the trip.
async fn hash(
    checksum: Option<(Checksum, Running)>,
    chunk: Bytes,
) -> Result<Option<(Checksum, Running)>> {
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

/// The request's parts: one stream of exactly the announced length, wrapped in a form where asked.
fn body(
    mode: &UploadMode,
    filename: &str,
    size: u64,
    queue: mpsc::Receiver<Bytes>,
) -> (Method, String, Body) {
    let chunks = stream::unfold((queue, 0_u64), move |(mut queue, sent)| async move {
        match queue.recv().await {
            Some(chunk) => {
                let sent = sent + chunk.len() as u64;
                Some((Ok(chunk), (queue, sent)))
            }
            None if sent == size => None,
            // The session was given up: the request must not look complete.
            None => {
                let error = std::io::Error::other("the upload was given up");
                Some((Err(error), (queue, size)))
            }
        }
    });
    let raw = "application/octet-stream".to_owned();
    match mode {
        UploadMode::PostRaw => (
            Method::POST,
            raw,
            Body::Stream {
                length: size,
                stream: chunks.boxed(),
            },
        ),
        UploadMode::Put => (
            Method::PUT,
            raw,
            Body::Stream {
                length: size,
                stream: chunks.boxed(),
            },
        ),
        UploadMode::PostMultipart => {
            let quoted = quoted(filename);
            let head = Bytes::from(format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            ));
            let tail = Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"));
            let length = head.len() as u64 + size + tail.len() as u64;
            let form = stream::iter([Ok(head)])
                .chain(chunks)
                .chain(stream::iter([Ok(tail)]));
            let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
            (
                Method::POST,
                content_type,
                Body::Stream {
                    length,
                    stream: form.boxed(),
                },
            )
        }
    }
}

/// A file name inside the quotes of a form's header: nothing in it ends the quotes or the line.
fn quoted(filename: &str) -> String {
    let mut quoted = String::with_capacity(filename.len());
    for c in filename.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            '\r' | '\n' => quoted.push('_'),
            c => quoted.push(c),
        }
    }
    quoted
}
