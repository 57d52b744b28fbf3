//! A request body that notes its progress, and the watchdog that reads the notes.
//!
//! A slow line is not a dead one: an upload may take hours as long as bytes keep leaving. So silence is
//! measured from the last piece the connection took, and the wait for the answer starts when the last
//! one left.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::next_piece;
use crate::transport::{Body, Pieces};

/// What is known of a body on its way.
#[derive(Clone, Copy, Debug)]
struct Notes {
    last: Instant,
    done: bool,
}

/// The notes, shared by body and watchdog.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Notes>>);

impl Progress {
    fn new(done: bool) -> Self {
        let last = Instant::now();
        Progress(Arc::new(Mutex::new(Notes { last, done })))
    }

    fn note(&self, done: bool) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.last = Instant::now();
        notes.done |= done;
    }

    fn read(&self) -> Notes {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the body stalled for `idle`, or the answer did not come within `answer` after
    /// the body's end; says which.
    pub(super) async fn silence(&self, idle: Duration, answer: Duration) -> String {
        loop {
            let seen = self.read();
            let limit = if seen.done { answer } else { idle };
            tokio::time::sleep_until(seen.last + limit).await;
            let now = self.read();
            if now.last == seen.last && now.done == seen.done {
                let what = if seen.done {
                    "no answer"
                } else {
                    "no progress"
                };
                return format!("{what} for {} s", limit.as_secs_f64());
            }
        }
    }
}

enum Rest {
    Bytes(Bytes),
    Pieces {
        /// What is left of the current piece.
        now: Bytes,
        /// The index of the piece after it.
        next: usize,
        pieces: Pieces,
    },
    // The lock is never taken; it makes a stream that is only `Send` shareable, as the client asks.
    Stream(Mutex<BoxStream<'static, io::Result<Bytes>>>),
}

/// A body of known length.
pub(super) struct Upload {
    rest: Rest,
    left: u64,
    progress: Progress,
}

impl Upload {
    /// The body to send, if there is one, and its notes.
    pub(super) fn new(body: Body) -> (Option<Upload>, Progress) {
        let (rest, left) = match body {
            Body::Empty => return (None, Progress::new(true)),
            Body::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (Rest::Bytes(bytes), length)
            }
            Body::Pieces(pieces) => {
                let length = pieces.length();
                let (now, next) = (Bytes::new(), 0);
                (Rest::Pieces { now, next, pieces }, length)
            }
            Body::Stream { length, stream } => (Rest::Stream(Mutex::new(stream)), length),
        };
        let progress = Progress::new(left == 0);
        let upload = Upload {
            rest,
            left,
            progress: progress.clone(),
        };
        (Some(upload), progress)
    }

    /// Holds the body to its announced length: one byte more or less would be read as part of the
    /// next request, or never end.
    fn count(&mut self, piece: Option<io::Result<Bytes>>) -> Option<io::Result<Bytes>> {
        match piece {
            Some(Ok(piece)) => match self.left.checked_sub(piece.len() as u64) {
                Some(left) => {
                    self.left = left;
                    self.progress.note(left == 0);
                    Some(Ok(piece))
                }
                None => Some(Err(io::Error::other("the body is longer than announced"))),
            },
            None if self.left > 0 => Some(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the body is {} bytes shorter than announced", self.left),
            ))),
            other => other,
        }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut self.rest {
            Rest::Bytes(rest) => next_piece(rest).map(Ok),
            Rest::Pieces { now, next, pieces } => {
                if let Some(piece) = pieces.get(*next).filter(|_| now.is_empty()) {
                    *now = piece.clone();
                    *next += 1;
                }
                next_piece(now).map(Ok)
            }
            Rest::Stream(stream) => {
                let stream = stream.get_mut().unwrap_or_else(PoisonError::into_inner);
                match stream.as_mut().poll_next(cx) {
                    Poll::Ready(piece) => piece,
                    Poll::Pending => return Poll::Pending,
                }
            }
        };
        Poll::Ready(self.count(piece).map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        !matches!(&self.rest, Rest::Stream(_)) && self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
