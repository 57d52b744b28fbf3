//! A place that is held as long as a body arrives.
//!
//! So the number of calls under way counts connections in use and not merely heads awaited, and a lane's
//! throughput counts what really arrived.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use crate::governor::Place;
use crate::transport::{ByteStream, SendError};

/// A body that gives its place back when it ends, fails or is dropped.
struct Guarded {
    body: ByteStream,
    place: Option<Place>,
}

/// Ties a place to a body.
pub(crate) fn guard(body: ByteStream, place: Place) -> ByteStream {
    Box::pin(Guarded {
        body,
        place: Some(place),
    })
}

impl Stream for Guarded {
    type Item = Result<Bytes, SendError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.body.as_mut().poll_next(cx);
        match &polled {
            Poll::Ready(None | Some(Err(_))) => self.place = None,
            Poll::Ready(Some(Ok(piece))) => {
                if let Some(place) = &mut self.place {
                    place.moved(piece.len() as u64);
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.body.size_hint()
    }
}
