//! Reads what a handler left of a request body, so that its answer arrives.
//!
//! A server that answers and closes while the client is still sending makes the kernel reset the
//! connection, and the client loses an answer such as 429 that it should have seen. Real services stand
//! behind proxies that take the body first; this does the same.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::blob::lock;

/// A client that stalls for so long gets its answer anyway.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that still sends after so many bytes gets its answer anyway; above every body limit served.
const BYTES_MAX: u64 = 512 << 20;

/// A body that two can hold: the handler reads it, and what remains is read after the handler.
struct Shared(Arc<Mutex<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *lock(&self.0)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).size_hint()
    }
}

/// What a handler may leave behind.
pub(super) struct Rest(Shared);

/// Puts a handle to the body aside.
pub(super) fn share(request: Request) -> (Request, Rest) {
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let rest = Rest(Shared(Arc::clone(&body)));
    (Request::from_parts(parts, Body::new(Shared(body))), rest)
}

impl Rest {
    /// Reads to the end, within bounds. A body that fails ends here too: nobody needs it any more.
    pub(super) async fn drain(mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let reading = async {
            let mut left = BYTES_MAX;
            while let Some(Ok(frame)) = self.0.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                left = left.saturating_sub(bytes);
                if left == 0 {
                    break;
                }
            }
        };
        if timeout(PATIENCE, reading).await.is_err() {
            tracing::debug!("a client stalls in a body that nobody reads");
        }
    }
}
