//! How many requests of one lane are under way at once.
//!
//! A permit is held from before the request is sent until its response body is read to the end or
//! dropped, so the limit counts connections in use and not merely heads awaited.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::{ByteStream, SendError};

/// A bound on requests under way.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    permits: Arc<Semaphore>,
    width: usize,
}

impl Limit {
    /// At most `width` requests; at least one.
    pub(crate) fn new(width: usize) -> Self {
        let width = width.clamp(1, Semaphore::MAX_PERMITS);
        Limit {
            permits: Arc::new(Semaphore::new(width)),
            width,
        }
    }

    /// Waits for a place. Fair: first come, first served. Cancel by dropping the future.
    pub(crate) async fn acquire(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => permit,
            Err(_) => unreachable!("the semaphore is never closed"),
        }
    }

    /// How many places are taken. Zero at rest.
    pub(crate) fn in_use(&self) -> usize {
        self.width - self.permits.available_permits()
    }
}

/// A body that gives its place back when it ends, fails or is dropped.
struct Guarded {
    body: ByteStream,
    permit: Option<OwnedSemaphorePermit>,
}

/// Ties a permit to a body.
pub(crate) fn guard(body: ByteStream, permit: OwnedSemaphorePermit) -> ByteStream {
    Box::pin(Guarded {
        body,
        permit: Some(permit),
    })
}

impl Stream for Guarded {
    type Item = Result<Bytes, SendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.as_mut().poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.permit = None;
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.body.size_hint()
    }
}
