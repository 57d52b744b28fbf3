//! The record of one call: how often it was sent, how long it waited, and what went wrong first.
//!
//! Every error of a call is made here, so all of them say the same things in the same words.

use std::time::Duration;

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use url::Url;
use windlass_core::{Error, Kind, Result, Status};

use crate::client::{Failure, Reply};
use crate::options::ClientOptions;
use crate::redact;
use crate::retry::{Happened, Next, Repeat, next};

pub(crate) struct Tries<'a> {
    options: &'a ClientOptions,
    route: &'static str,
    started: Instant,
    failures: u32,
    waits: u32,
    waited: Duration,
    first: Option<Failure>,
    last_wait: Option<Told>,
}

/// What the far side said when it asked to wait.
struct Told {
    status: StatusCode,
    request_id: Option<String>,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(options: &'a ClientOptions, route: &'static str) -> Self {
        Tries {
            options,
            route,
            started: Instant::now(),
            failures: 0,
            waits: 0,
            waited: Duration::ZERO,
            first: None,
            last_wait: None,
        }
    }

    /// The route's name.
    pub(crate) fn route(&self) -> &'static str {
        self.route
    }

    /// How many sends failed.
    pub(crate) fn made(&self) -> u32 {
        self.failures
    }

    /// Counts a failed send. An error when it must not or cannot be sent again.
    pub(crate) fn failed(&mut self, failure: Failure, repeat: Repeat, again: bool) -> Result<()> {
        self.failures += 1;
        let decided = next(failure.happened, repeat);
        if decided == Next::Look {
            return Err(self.ambiguous(failure));
        }
        if !again || self.failures >= self.options.tries {
            return Err(self.gave_up(failure, again));
        }
        // The first cause is the one that explains; later ones are often its consequences.
        self.first.get_or_insert(failure);
        Ok(())
    }

    /// Notes that the far side asked to wait. Returns how often it did so during this call.
    pub(crate) fn told_to_wait(&mut self, reply: &Reply) -> u32 {
        self.waits += 1;
        self.last_wait = Some(Told {
            status: reply.status,
            request_id: reply.request_id.clone(),
        });
        self.waits
    }

    /// Counts a wait that is about to begin. An error when it would use up the call's patience.
    pub(crate) fn waited(&mut self, wait: Duration) -> Result<()> {
        self.waited = self.waited.saturating_add(wait);
        match self.waited > self.options.patience {
            true => Err(self.limited(wait).persistent()),
            false => Ok(()),
        }
    }

    /// The far side asked to wait and the call cannot or will not.
    pub(crate) fn limited(&self, wait: Duration) -> Error {
        let mut error = self
            .error(
                Kind::Limited,
                format!("{} asks to slow down", self.options.name),
            )
            .with_context("asked to wait", seconds(wait))
            .with_retry_after(wait)
            .with_hint("wait and run again, or lower the endpoint's concurrency");
        if let Some(told) = &self.last_wait {
            error = with_request_id(
                error.with_context("status", told.status.as_u16()),
                told.request_id.as_deref(),
            );
        }
        error
    }

    /// A streamed request met an expired credential: the credential is new now, the stream is gone.
    pub(crate) fn must_be_rebuilt(&self) -> Error {
        self.error(
            Kind::Unauthenticated,
            "the credential expired while a stream was sent; it is renewed".to_owned(),
        )
        .with_status(Status::Temporary)
    }

    pub(crate) fn redirected(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        request_id: Option<String>,
    ) -> Error {
        let target = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| Url::parse(text).ok())
            .map_or_else(|| "another path".to_owned(), |url| redact::origin(&url));
        let error = self
            .error(
                Kind::Config,
                format!("{} redirects to {target}", self.options.name),
            )
            .with_context("status", status.as_u16())
            .with_hint(
                "correct the endpoint's URL: redirects are not followed, so that credentials stay home",
            );
        with_request_id(error, request_id.as_deref())
    }

    pub(crate) fn too_long(&self, bytes_max: usize, request_id: Option<String>) -> Error {
        let error = self.error(
            Kind::Unexpected,
            format!(
                "the answer of {} is longer than {bytes_max} bytes",
                self.options.name
            ),
        );
        with_request_id(error, request_id.as_deref())
    }

    fn ambiguous(&self, failure: Failure) -> Error {
        let error = self.error(
            Kind::Ambiguous,
            format!("the answer was lost: {}", failure.message),
        );
        blame(error, failure)
    }

    fn gave_up(&mut self, failure: Failure, again: bool) -> Error {
        let unsent = failure.happened == Happened::NeverLeft;
        let last = failure.message.clone();
        let cause = self.first.take().unwrap_or(failure);
        let changed = cause.message != last;
        let message = format!("{} is not available: {}", self.options.name, cause.message);
        let mut error = blame(self.error(Kind::Unavailable, message), cause);
        if changed {
            error = error.with_context("at last", last);
        }
        if unsent {
            error = error.with_hint("check the endpoint's URL, the network and the proxy");
        }
        // A streamed body can be sent again by whoever can produce it again.
        match again || self.options.tries <= 1 {
            true => error.persistent(),
            false => error,
        }
    }

    /// An error with the circumstances that every error of a call names.
    fn error(&self, kind: Kind, message: String) -> Error {
        let error = Error::new(kind, message).with_context("route", self.route);
        if self.failures == 0 && self.waits == 0 {
            return error;
        }
        error
            .with_context(
                "failed tries",
                format!("{} of {}", self.failures, self.options.tries),
            )
            .with_context("spent", seconds(self.started.elapsed()))
    }
}

/// Adds what is known of a failed send.
fn blame(error: Error, failure: Failure) -> Error {
    let error = match failure.status {
        Some(status) => error.with_context("status", status.as_u16()),
        None => error,
    };
    let error = with_request_id(error, failure.request_id.as_deref());
    match failure.source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn with_request_id(error: Error, request_id: Option<&str>) -> Error {
    match request_id {
        Some(id) => error.with_context("request id", id),
        None => error,
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
