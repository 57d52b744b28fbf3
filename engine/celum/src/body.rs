//! The body of an upload: one stream of exactly the announced length, wrapped in a form where asked.
//!
//! Chunks are somebody's budget, so as few of them as possible are held: one at a time, handed over from the
//! session that waits for it, and passed on in pieces without a copy. Nothing is queued ahead; while the connection
//! takes the last piece, the session's next chunk is already waiting to be taken.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::Method;
use tokio::sync::{mpsc, oneshot};
use windlass_http::Body;

use crate::profile::UploadMode;

/// How much a connection is given at a time. Connections may copy what they are given before they write it,
/// so a chunk given as a whole would be in memory twice; smaller pieces cost calls.
const PIECE_BYTES: usize = 256 << 10;

/// Between the parts of a form; long and fixed, because contents are not searched for it: the form has
/// one part, whose length is known.
const BOUNDARY: &str = "----windlass-7b1f0c5e9d2a4386-form";

/// The session's end: where chunks are handed over.
#[derive(Debug)]
pub(crate) struct Feed(mpsc::Sender<Parcel>);

/// A chunk on its way into the body. Not empty.
#[derive(Debug)]
struct Parcel {
    chunk: Bytes,
    taken: oneshot::Sender<()>,
}

impl Feed {
    /// Hands a chunk over and waits until all of it was given to the connection. False when the request
    /// ended before that.
    pub(crate) async fn hand_over(&self, chunk: Bytes) -> bool {
        // Nobody is told of a chunk without bytes: there is nothing to take.
        if chunk.is_empty() {
            return true;
        }
        let (taken, done) = oneshot::channel();
        // When it is not sent, `taken` is gone with it.
        self.0.send(Parcel { chunk, taken }).await.ok();
        done.await.is_ok()
    }
}

/// A request's method, content type and body.
pub(crate) struct Parts {
    pub(crate) method: Method,
    pub(crate) content_type: String,
    pub(crate) body: Body,
}

/// A body of `size` bytes of content, and where they are handed over.
pub(crate) fn body(mode: UploadMode, filename: &str, size: u64) -> (Feed, Parts) {
    let (feed, queue) = mpsc::channel(1);
    let content = Content {
        queue,
        now: None,
        left: size,
    };
    let content = stream::unfold(content, |mut content| async move {
        let piece = content.next().await?;
        Some((piece, content))
    });
    let raw = |method: Method, content: BoxStream<'static, _>| Parts {
        method,
        content_type: "application/octet-stream".to_owned(),
        body: Body::Stream {
            length: size,
            stream: content,
        },
    };
    let parts = match mode {
        UploadMode::PostRaw => raw(Method::POST, content.boxed()),
        UploadMode::Put => raw(Method::PUT, content.boxed()),
        UploadMode::PostMultipart => form(filename, size, content.boxed()),
    };
    (Feed(feed), parts)
}

fn form(filename: &str, size: u64, content: BoxStream<'static, std::io::Result<Bytes>>) -> Parts {
    let quoted = quoted(filename);
    let head = Bytes::from(format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    ));
    let tail = Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"));
    let length = head.len() as u64 + size + tail.len() as u64;
    let form = stream::iter([Ok(head)])
        .chain(content)
        .chain(stream::iter([Ok(tail)]));
    Parts {
        method: Method::POST,
        content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        body: Body::Stream {
            length,
            stream: form.boxed(),
        },
    }
}

/// The connection's end: the content, piece by piece.
struct Content {
    queue: mpsc::Receiver<Parcel>,
    now: Option<Parcel>,
    /// Bytes still to come; the body ends when there are none.
    left: u64,
}

impl Content {
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if self.now.is_none() {
            self.now = self.queue.recv().await;
        }
        let Some(parcel) = &mut self.now else {
            if self.left == 0 {
                return None;
            }
            // The session was given up: the request must not look complete. Said once.
            self.left = 0;
            return Some(Err(std::io::Error::other("the upload was given up")));
        };
        let bytes = parcel.chunk.len().min(PIECE_BYTES);
        let piece = parcel.chunk.split_to(bytes);
        self.left = self.left.saturating_sub(bytes as u64);
        if parcel.chunk.is_empty()
            && let Some(Parcel { taken, .. }) = self.now.take()
        {
            // Whoever does not wait any more has given the session up.
            taken.send(()).ok();
        }
        Some(Ok(piece))
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
