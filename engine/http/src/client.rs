//! A service's client: authorization, the retry table, limits and waits around a [`Transport`].
//!
//! A call goes through [`Client::call`] when its answer is to be streamed, and through
//! [`Client::call_whole`] when it is small: then a body that breaks off counts as a lost answer and is
//! repeated by the same table. What a status means is the service's to say, through its [`Judge`];
//! what follows from that is decided in `retry.rs`. Redirects are never followed, and credentials go
//! only to the origins they belong to.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use url::Url;
use windlass_core::Result;

use crate::auth::Authorizer;
use crate::governor::{Admitted, Governor, Lane, LaneOptions, Place, Priority, whole_seconds};
use crate::limit::guard;
use crate::options::ClientOptions;
use crate::redact;
use crate::retry::{Backoff, Happened, Repeat, retry_after};
use crate::transport::{ByteStream, Request, Response, SendError, Sent, Transport};
use crate::tries::Tries;

/// One thing asked of a service.
#[derive(Debug)]
pub struct Call {
    /// The route's name, for messages and logs; holds no ids and no secrets.
    pub route: &'static str,
    /// The request without credentials. One with a streamed body is sent at most once.
    pub request: Request,
    /// Whether it can be sent again after it may have arrived.
    pub repeat: Repeat,
    /// Whether credentials are attached, if the request goes to an origin they belong to.
    pub authorize: bool,
}

/// What a service says an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is the service's last word: the caller gets it as [`Answer::Refused`].
    Final,
    /// Nothing was done; come back later. The whole client pauses, for the longer of this and
    /// `Retry-After`, or for a growing time of our own when neither says how long.
    Wait(Option<Duration>),
    /// As `Wait`, but only calls of the same [lane](Client::lane) pause: a lock, not a rate.
    Busy(Option<Duration>),
    /// The credential expired: it is renewed once and the call is sent once more.
    RefreshToken,
    /// The far side failed and may have done some of it.
    Transient,
}

/// Knows what a service's answers mean.
pub trait Judge: Send + Sync + Debug {
    /// Judges an answer that is neither 2xx nor a redirect. `body` is its beginning, as far as the
    /// client keeps it.
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Judged;
}

/// An answer whose body is all here.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The request's name for the vendor's support, where the service gives one.
    pub request_id: Option<String>,
}

/// How a call ended whose answer is streamed.
#[derive(Debug)]
pub enum Answer {
    /// A 2xx. Its body still arrives, and holds one of the client's places until it ends or is dropped.
    Success(Response),
    /// The service's last word, for the caller to decode.
    Refused {
        /// The status.
        status: StatusCode,
        /// The headers.
        headers: HeaderMap,
        /// The body, cut at [`ClientOptions::refusal_bytes_max`].
        body: Bytes,
        /// The request's name for the vendor's support.
        request_id: Option<String>,
    },
}

/// How a call ended whose answer was collected.
#[derive(Clone, Debug)]
pub enum Whole {
    /// A 2xx.
    Success(Reply),
    /// The service's last word, for the caller to decode; its body cut as in [`Answer::Refused`].
    Refused(Reply),
}

/// A service's client. Clones are the same client.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    priority: Priority,
    counted: bool,
}

#[derive(Debug)]
struct Shared {
    transport: Arc<dyn Transport>,
    judge: Arc<dyn Judge>,
    authorizer: Arc<dyn Authorizer>,
    options: ClientOptions,
    backoff: Backoff,
    governor: Governor,
}

/// What one send came to.
enum Outcome {
    Streaming(Response),
    Whole(Reply),
    Refused(Reply),
    Failed(Failure),
    Wait {
        asked: Option<Duration>,
        lane_only: bool,
        reply: Reply,
        /// Given back only after the pause began, so that nobody slips through.
        place: Place,
    },
    Expired(Reply),
}

/// A send without a usable answer.
pub(crate) struct Failure {
    pub(crate) happened: Happened,
    pub(crate) message: String,
    pub(crate) status: Option<StatusCode>,
    pub(crate) request_id: Option<String>,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Failure {
            happened: match error.sent {
                Sent::No => Happened::NeverLeft,
                Sent::Maybe => Happened::MayHaveArrived,
            },
            message: error.message,
            status: None,
            request_id: None,
            source: error.source,
        }
    }
}

/// The end of a call, before it is an [`Answer`] or a [`Whole`].
enum End {
    Streaming(Response),
    Whole(Reply),
    Refused(Reply),
}

impl Client {
    /// A client with a lane of its own.
    pub fn new(
        transport: Arc<dyn Transport>,
        judge: Arc<dyn Judge>,
        authorizer: Arc<dyn Authorizer>,
        options: ClientOptions,
    ) -> Self {
        let backoff = Backoff {
            base: options.backoff_base,
            max: options.backoff_max,
            jitter: options.jitter.clone(),
        };
        let governor = options.governor.clone().unwrap_or_default();
        let own = LaneOptions::new(options.concurrency);
        let shared = Arc::new(Shared {
            transport,
            judge,
            authorizer,
            options,
            backoff,
            governor,
        });
        Client::on_lane(shared, &own)
    }

    fn on_lane(shared: Arc<Shared>, options: &LaneOptions) -> Self {
        Client {
            lane: Lane::open(&shared.governor, options),
            priority: options.priority,
            counted: options.counted,
            shared,
        }
    }

    /// The same client with a lane of its own, of ordinary priority: calls of one lane do not take the
    /// places of another. Credentials, rate, pauses and budget of the account stay shared.
    #[must_use]
    pub fn lane(&self, concurrency: usize) -> Client {
        self.lane_with(&LaneOptions::new(concurrency))
    }

    /// As [`Client::lane`], with options.
    #[must_use]
    pub fn lane_with(&self, options: &LaneOptions) -> Client {
        Client::on_lane(Arc::clone(&self.shared), options)
    }

    /// The same lane for calls of another priority.
    #[must_use]
    pub fn at(&self, priority: Priority) -> Client {
        Client {
            priority,
            ..self.clone()
        }
    }

    /// The same lane for calls that do, or do not, count against the account's month.
    #[must_use]
    pub fn counted(&self, counted: bool) -> Client {
        Client {
            counted,
            ..self.clone()
        }
    }

    /// The account's governor.
    pub fn governor(&self) -> &Governor {
        &self.shared.governor
    }

    /// How many requests of this lane are under way, bodies included. Zero at rest.
    pub fn in_flight(&self) -> usize {
        self.lane.in_use()
    }

    /// How many requests of this lane may be under way at once, at the moment.
    pub fn width(&self) -> usize {
        self.lane.width()
    }

    /// How long this lane still waits because the far side asked it to.
    pub fn paused_for(&self) -> Duration {
        (self.shared.governor.paused_for()).max(self.lane.paused_for())
    }

    /// One sentence without a full stop for why calls of this lane wait, such as
    /// `the archive asked for 42 s more`; `None` when only its own width holds them back.
    pub fn why_waiting(&self) -> Option<String> {
        let account = self.shared.governor.paused_for();
        let lane = self.lane.paused_for();
        match lane > account {
            true => Some(format!(
                "{} is busy with other writes, {} s more",
                self.name(),
                whole_seconds(lane)
            )),
            false => self.shared.governor.why_waiting(self.name()),
        }
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// Sends a call and hands its answer over as soon as its head is here.
    ///
    /// Errors: `Unavailable` when tries ran out, `Ambiguous` when a call that is not idempotent may
    /// have had its effect, `Limited` when patience with the far side's waits ran out, `Capacity` when the
    /// account's calls of the month are spent, `Config` for a redirect, and what the authorizer says. Cancel by
    /// dropping the future: what was not sent yet never is, and its place and its turn go to the next.
    pub async fn call(&self, call: Call) -> Result<Answer> {
        match Box::pin(self.run(call, None)).await? {
            End::Streaming(response) => Ok(Answer::Success(response)),
            End::Whole(reply) | End::Refused(reply) => Ok(Answer::Refused {
                status: reply.status,
                headers: reply.headers,
                body: reply.body,
                request_id: reply.request_id,
            }),
        }
    }

    /// Sends a call and collects its answer. A body that breaks off is a lost answer: an idempotent
    /// call is repeated, any other ends as `Ambiguous`.
    ///
    /// Errors: those of [`Client::call`], and `Unexpected` for a body of more than `bytes_max` bytes.
    pub async fn call_whole(&self, call: Call, bytes_max: usize) -> Result<Whole> {
        match Box::pin(self.run(call, Some(bytes_max))).await? {
            End::Whole(reply) => Ok(Whole::Success(reply)),
            End::Refused(reply) => Ok(Whole::Refused(reply)),
            End::Streaming(_) => unreachable!("a limit was given, so the body was collected"),
        }
    }

    async fn run(&self, call: Call, collect: Option<usize>) -> Result<End> {
        let ours = call.authorize && self.is_ours(&call.request.url);
        let mut tries = Tries::new(&self.shared.options, call.route);
        let mut refreshed = false;
        let mut request = Some(call.request);
        loop {
            let mut credentials = HeaderMap::new();
            let place = self.admit(ours, &mut credentials, &mut tries).await?;
            let Some(now) = take_copy(&mut request, &credentials) else {
                unreachable!("a request that cannot be copied is not sent again");
            };
            let again = request.is_some();
            match self.send(now, place, collect, &tries).await? {
                Outcome::Streaming(response) => return Ok(End::Streaming(response)),
                Outcome::Whole(reply) => return Ok(End::Whole(reply)),
                Outcome::Refused(reply) => return Ok(End::Refused(reply)),
                Outcome::Failed(failure) => {
                    tries.failed(failure, call.repeat, again)?;
                    let wait = self.shared.backoff.after(tries.made());
                    tracing::debug!(
                        route = call.route,
                        ?wait,
                        tries = tries.made(),
                        "sending again"
                    );
                    tokio::time::sleep(wait).await;
                }
                Outcome::Wait {
                    asked,
                    lane_only,
                    reply,
                    place,
                } => {
                    let wait = self.told_to_wait(asked, lane_only, &reply, place, &mut tries);
                    if !again {
                        return Err(tries.limited(wait));
                    }
                }
                Outcome::Expired(reply) => {
                    let renew = ours
                        && !std::mem::replace(&mut refreshed, true)
                        && self.shared.authorizer.refresh(&credentials).await?;
                    if !renew {
                        return Ok(End::Refused(reply));
                    }
                    if !again {
                        return Err(tries.must_be_rebuilt());
                    }
                }
            }
        }
    }

    /// Waits until nothing stands in the way of sending: pauses, the rate, a free place, credentials.
    async fn admit(
        &self,
        ours: bool,
        credentials: &mut HeaderMap,
        tries: &mut Tries<'_>,
    ) -> Result<Place> {
        loop {
            let mut ticket = self.lane.join(self.priority, self.counted, self.name())?;
            let place = loop {
                match ticket.turn().await {
                    Admitted::Go(place) => break place,
                    Admitted::Paused(left) => tries.waited(left)?,
                }
            };
            if ours {
                // Last, so that it is fresh after a long wait; usually it is here already.
                credentials.clear();
                self.shared.authorizer.authorize(credentials).await?;
            }
            // Somebody else may have been told to wait meanwhile. The place goes back unused.
            if self.paused_for().is_zero() {
                return Ok(place);
            }
        }
    }

    async fn send(
        &self,
        request: Request,
        mut place: Place,
        collect: Option<usize>,
        tries: &Tries<'_>,
    ) -> Result<Outcome> {
        let uploaded = request.body.length();
        tracing::debug!(
            service = self.name(),
            route = tries.route(),
            uploaded,
            "sent"
        );
        place.send();
        let response = match self.shared.transport.send(request).await {
            Ok(response) => response,
            Err(error) => {
                if error.sent == Sent::No {
                    place.never_left();
                }
                return Ok(Outcome::Failed(error.into()));
            }
        };
        let Response {
            status,
            headers,
            body,
        } = response;
        let request_id = self.request_id(&headers);
        tracing::debug!(
            service = self.name(),
            route = tries.route(),
            status = status.as_u16(),
            request_id,
            "answered"
        );
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(tries.redirected(status, &headers, request_id));
        }
        if status.is_success() {
            place.answered();
            place.moved(uploaded);
        }
        if status.is_success() && collect.is_none() {
            return Ok(Outcome::Streaming(Response {
                status,
                headers,
                body: guard(body, place),
            }));
        }
        let bytes_max = match collect {
            Some(bytes_max) if status.is_success() => bytes_max,
            _ => self.shared.options.refusal_bytes_max,
        };
        let (body, cut) = match collect_up_to(body, bytes_max).await {
            Ok(collected) => collected,
            Err(error) => {
                // Its head was here, so it had left.
                return Ok(Outcome::Failed(Failure {
                    happened: Happened::MayHaveArrived,
                    status: Some(status),
                    request_id,
                    ..Failure::from(error)
                }));
            }
        };
        if status.is_success() {
            place.moved(body.len() as u64);
        }
        if status.is_success() && cut {
            return Err(tries.too_long(bytes_max, request_id));
        }
        let reply = Reply {
            status,
            headers,
            body,
            request_id,
        };
        Ok(self.judged(reply, place))
    }

    fn judged(&self, reply: Reply, place: Place) -> Outcome {
        if reply.status.is_success() {
            return Outcome::Whole(reply);
        }
        let asked = retry_after(&reply.headers, self.shared.options.clock.now());
        let judged = self
            .shared
            .judge
            .judge(reply.status, &reply.headers, &reply.body);
        if !matches!(judged, Judged::Wait(_)) {
            place.answered();
        }
        match judged {
            Judged::Final => Outcome::Refused(reply),
            Judged::RefreshToken => Outcome::Expired(reply),
            Judged::Wait(wait) => Outcome::Wait {
                asked: wait.max(asked),
                lane_only: false,
                reply,
                place,
            },
            Judged::Busy(wait) => Outcome::Wait {
                asked: wait.max(asked),
                lane_only: true,
                reply,
                place,
            },
            Judged::Transient => {
                if reply.status == StatusCode::SERVICE_UNAVAILABLE {
                    place.overloaded();
                }
                // A failing service that says when to come back is not asked earlier, by anybody.
                if let Some(asked) = asked {
                    self.shared.governor.pause(asked);
                }
                Outcome::Failed(Failure {
                    happened: Happened::MayHaveArrived,
                    message: format!("the service answered {}", reply.status),
                    status: Some(reply.status),
                    request_id: reply.request_id,
                    source: None,
                })
            }
        }
    }

    /// Lets the account or the lane pause, and learns from it. The wait itself happens before the next send.
    fn told_to_wait(
        &self,
        asked: Option<Duration>,
        lane_only: bool,
        reply: &Reply,
        place: Place,
        tries: &mut Tries<'_>,
    ) -> Duration {
        let times = tries.told_to_wait(reply);
        // "Come back at once" is no wait; it would make a tight loop of a misconfigured service.
        let wait = asked
            .filter(|wait| !wait.is_zero())
            .unwrap_or_else(|| self.shared.backoff.after_busy(times));
        tracing::info!(
            service = self.name(),
            route = tries.route(),
            status = reply.status.as_u16(),
            request_id = reply.request_id,
            ?wait,
            lane_only,
            "the service asked to wait"
        );
        match lane_only {
            true => place.busy(wait),
            false => place.limited(wait),
        }
        wait
    }

    fn is_ours(&self, url: &Url) -> bool {
        let origin = url.origin();
        let ours = self
            .shared
            .options
            .origins
            .iter()
            .any(|known| origin.is_tuple() && known.origin() == origin);
        if !ours {
            tracing::debug!(
                origin = redact::origin(url),
                "no credentials: they belong to another origin"
            );
        }
        ours
    }

    fn request_id(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.shared.options.request_id_header.as_ref()?;
        Some(headers.get(name)?.to_str().ok()?.to_owned())
    }
}

/// A copy of the request with credentials, or the request itself when it cannot be copied: then
/// nothing is left for another try.
fn take_copy(request: &mut Option<Request>, credentials: &HeaderMap) -> Option<Request> {
    let mut now = match request.as_ref()?.try_clone() {
        Some(copy) => copy,
        None => request.take()?,
    };
    for (name, value) in credentials {
        now.headers.insert(name.clone(), value.clone());
    }
    Some(now)
}

/// Reads a body up to a limit, and says whether it went on.
async fn collect_up_to(mut body: ByteStream, bytes_max: usize) -> Result<(Bytes, bool), SendError> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        let room = bytes_max - all.len();
        if piece.len() > room {
            all.extend_from_slice(&piece[..room]);
            return Ok((all.freeze(), true));
        }
        all.extend_from_slice(&piece);
    }
    Ok((all.freeze(), false))
}
