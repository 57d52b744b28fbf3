//! Latency and faults, for both emulators: what a network and a service do on a bad day.
//!
//! A [`FaultProfile`] is a plain value, read from one line of text; [`Faults`] plays it. Decisions depend
//! on the seed, the rule and how many calls the rule has seen, not on time or on other rules, so a run
//! that makes the same calls meets the same faults. An emulator wraps each call in [`Faults::around`] with
//! the route's name and a [`Dialect`] that says how this service words an expired token or a limit.
//!
//! A reset is an answer whose body fails before its first byte: hyper then closes the connection without
//! having sent anything. The answer also carries [`ConnectionReset`], for callers that run a router in
//! process and want to see the same thing.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body::{Body as _, Frame, SizeHint};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep, sleep_until};

use crate::blob::lock;

mod drain;
mod parse;
pub use parse::ParseFaultError;

/// The longest answer that `unknown-member` rewrites; larger ones pass unchanged.
const REWRITE_BYTES_MAX: usize = 16 << 20;

/// Marks a response that stands for a connection that was reset before any answer arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionReset;

/// A fault that only the service itself can act out; put into the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFault(pub Arc<str>);

/// One way for a call to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A 5xx instead of the call; `html` with a proxy's error page, else an empty body.
    Status {
        /// 500 to 599.
        code: u16,
        /// Whether the body is an HTML page.
        html: bool,
    },
    /// 429 instead of the call.
    Limited(Limit),
    /// 401 for an expired token instead of the call.
    Expired,
    /// The connection is reset before the service acted.
    ResetBefore,
    /// The service acts, then the connection is reset: the answer is lost.
    ResetAfter,
    /// The service acts, then a proxy answers this 5xx in its place: the answer is lost, too.
    StatusAfter(u16),
    /// A byte of the content flips on its way: of the request's body where it has one that is no JSON, else of
    /// the answer's.
    Corrupt,
    /// The answer's body ends early, after so many bytes or half of it.
    Truncate(Option<u64>),
    /// Nothing happens for a while, then the call goes on as usual.
    Stall(Duration),
    /// A partial answer names a range one byte further than the one it carries.
    WrongRange,
    /// A JSON answer has members nobody documented.
    UnknownMember,
    /// Left to the service, which must know the name.
    Service(Arc<str>),
    /// A notice to whoever registered for changes never leaves.
    Lost,
    /// It is sent twice.
    Twice,
    /// It is sent so much later, and those after it overtake it.
    Late(Duration),
}

impl FaultKind {
    /// What it is called, without its figures.
    fn name(&self) -> String {
        match self {
            FaultKind::Status { code, html: true } => format!("{code}-html"),
            FaultKind::Status { code, html: false } => code.to_string(),
            FaultKind::StatusAfter(code) => format!("{code}-after"),
            FaultKind::Service(name) => format!("service:{name}"),
            FaultKind::Limited(_) => "429".to_owned(),
            FaultKind::Expired => "401".to_owned(),
            FaultKind::ResetBefore => "reset-before".to_owned(),
            FaultKind::ResetAfter => "reset-after".to_owned(),
            FaultKind::Corrupt => "corrupt".to_owned(),
            FaultKind::Truncate(_) => "truncate".to_owned(),
            FaultKind::Stall(_) => "stall".to_owned(),
            FaultKind::WrongRange => "wrong-range".to_owned(),
            FaultKind::UnknownMember => "unknown-member".to_owned(),
            FaultKind::Lost => "lost".to_owned(),
            FaultKind::Twice => "twice".to_owned(),
            FaultKind::Late(_) => "late".to_owned(),
        }
    }

    /// Whether it happens to notices, and to nothing else.
    fn is_of_notices(&self) -> bool {
        matches!(
            self,
            FaultKind::Lost | FaultKind::Twice | FaultKind::Late(_)
        )
    }
}

/// What rules call the notices that the services send.
const NOTICES: [&str; 2] = ["webhook", "event"];

/// How a 429 looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The value of `Retry-After`.
    pub seconds: u64,
    /// A JSON body, else plain text.
    pub json: bool,
}

/// When a fault happens. All given conditions must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// A route's name, or a beginning of one followed by `*`. None: every route.
    pub route: Option<String>,
    /// Only the n-th call that the route pattern matches, counted from 1.
    pub nth: Option<u64>,
    /// Every n-th call that the route pattern matches.
    pub every: Option<u64>,
    /// With this probability, 0 to 1.
    pub probability: Option<f64>,
    /// At most so often.
    pub times: Option<u64>,
    /// What happens.
    pub kind: FaultKind,
}

/// Latency, speed and fault rules: `latency=80,jitter=20,rate=25MB;route=files/upload,nth=3,do=reset-after`.
///
/// Clauses are separated by `;`. One with `do=` is a rule with optional `route`, `nth`, `every`, `p` and
/// `times`; the others set `latency` and `jitter` in milliseconds, `rate` in bytes a second per
/// connection and `path` in bytes a second of all connections together. Faults: `500` … `599`, the same
/// with `-html` or `-after`, `429:SECONDS`, `429-text:SECONDS`, `401`, `reset-before`, `reset-after`,
/// `truncate`, `truncate:BYTES`, `corrupt`, `stall:MS`, `wrong-range`, `unknown-member`, and `service:NAME`
/// for what only one service knows. What the services send themselves has the routes `webhook` and `event`,
/// and faults of its own: `lost`, `twice` and `late:MS`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultProfile {
    /// Added to every call, in milliseconds.
    pub latency_ms: u64,
    /// Up to so many milliseconds more.
    pub jitter_ms: u64,
    /// Bytes a second in each direction of one call; None: as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// Bytes a second in each direction of all calls together: what the path bears; None: as fast as it goes.
    pub path_bytes_per_second: Option<u64>,
    /// The first rule that applies to a call decides; later ones still count the call.
    pub rules: Vec<FaultRule>,
}

/// How one service words the faults that are not HTTP's own.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The answer to an access token that has expired.
    pub expired: fn() -> Response,
    /// The answer to too many requests, without `Retry-After`, which is added here.
    pub limited: fn(Limit) -> Response,
}

/// A profile being played. Clones share their counters.
#[derive(Clone, Debug)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    profile: FaultProfile,
    seed: u64,
    counts: Mutex<Counts>,
    /// Until when the path is taken, in each direction.
    towards: Arc<Path>,
    back: Arc<Path>,
}

/// Bounded by the number of rules and of the service's route names.
#[derive(Debug, Default)]
struct Counts {
    calls: BTreeMap<String, u64>,
    seen: Vec<u64>,
    fired: Vec<u64>,
    /// By the names of faults.
    acted: BTreeMap<String, u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults::none()
    }
}

impl Faults {
    /// No latency, no faults.
    pub fn none() -> Self {
        Faults::new(FaultProfile::default(), 0)
    }

    /// Plays a profile from a seed.
    pub fn new(profile: FaultProfile, seed: u64) -> Self {
        let counts = Counts {
            calls: BTreeMap::new(),
            seen: vec![0; profile.rules.len()],
            fired: vec![0; profile.rules.len()],
            acted: BTreeMap::new(),
        };
        Faults {
            inner: Arc::new(Inner {
                towards: Arc::new(Path::new(profile.path_bytes_per_second)),
                back: Arc::new(Path::new(profile.path_bytes_per_second)),
                profile,
                seed,
                counts: Mutex::new(counts),
            }),
        }
    }

    /// The profile being played.
    pub fn profile(&self) -> &FaultProfile {
        &self.inner.profile
    }

    /// How often each rule has happened, in the order of the rules.
    pub fn fired(&self) -> Vec<u64> {
        lock(&self.inner.counts).fired.clone()
    }

    /// How often each fault has had an effect, by its name in a profile without its figures: a rule may happen to a call
    /// that has nothing to damage or to lose.
    pub fn acted(&self) -> BTreeMap<String, u64> {
        lock(&self.inner.counts).acted.clone()
    }

    pub(crate) fn note_act(&self, name: String) {
        let mut counts = lock(&self.inner.counts);
        *counts.acted.entry(name).or_default() += 1;
    }

    /// The names of `service:` faults, so that a service can refuse at start what it does not know.
    pub fn service_names(&self) -> impl Iterator<Item = &str> {
        self.inner
            .profile
            .rules
            .iter()
            .filter_map(|rule| match &rule.kind {
                FaultKind::Service(name) => Some(&**name),
                _ => None,
            })
    }

    /// Counts a call and says what goes wrong with it, if anything. [`Faults::around`] does this itself.
    pub fn decide(&self, route: &str) -> Option<FaultKind> {
        let mut guard = lock(&self.inner.counts);
        let counts = &mut *guard;
        let mut chosen = None;
        for (index, rule) in self.inner.profile.rules.iter().enumerate() {
            if !rule.matches(route) {
                continue;
            }
            counts.seen[index] += 1;
            let seen = counts.seen[index];
            let spent = rule.times.is_some_and(|times| counts.fired[index] >= times);
            if chosen.is_none() && !spent && self.applies(rule, index, seen) {
                counts.fired[index] += 1;
                chosen = Some(rule.kind.clone());
            }
        }
        chosen
    }

    fn applies(&self, rule: &FaultRule, index: usize, seen: u64) -> bool {
        let lucky = |probability: f64| {
            self.draw(&[1, index as u64, seen])
                .random_bool(probability.clamp(0.0, 1.0))
        };
        rule.nth.is_none_or(|nth| nth == seen)
            && rule.every.is_none_or(|every| seen.is_multiple_of(every))
            && rule.probability.is_none_or(lucky)
    }

    /// A generator for one decision, the same in every run with this seed.
    fn draw(&self, of: &[u64]) -> ChaCha8Rng {
        let words = std::iter::once(&self.inner.seed).chain(of);
        let key = words.flat_map(|word| word.to_le_bytes());
        ChaCha8Rng::seed_from_u64(fnv(key))
    }

    fn latency(&self, route: &str) -> Duration {
        let profile = &self.inner.profile;
        let jitter = if profile.jitter_ms == 0 {
            0
        } else {
            let mut counts = lock(&self.inner.counts);
            let calls = counts.calls.entry(route.to_owned()).or_default();
            *calls += 1;
            let mut rng = self.draw(&[2, fnv(route.bytes()), *calls]);
            rng.random_range(0..=profile.jitter_ms)
        };
        Duration::from_millis(profile.latency_ms.saturating_add(jitter))
    }

    /// Serves one call with this profile's latency, speed and faults. `route` must come from a fixed set
    /// of names: counts are kept per route.
    pub async fn around<F, R>(
        &self,
        dialect: &Dialect,
        route: &str,
        request: Request,
        serve: F,
    ) -> Response
    where
        F: FnOnce(Request) -> R,
        R: Future<Output = Response>,
    {
        let (request, rest) = drain::share(request);
        let response = self.play(dialect, route, request, serve).await;
        // A reset is meant to hit a client that is still sending; every other answer has to arrive.
        if response.extensions().get::<ConnectionReset>().is_none() {
            rest.drain().await;
        }
        response
    }

    async fn play<F, R>(
        &self,
        dialect: &Dialect,
        route: &str,
        request: Request,
        serve: F,
    ) -> Response
    where
        F: FnOnce(Request) -> R,
        R: Future<Output = Response>,
    {
        let latency = self.latency(route);
        if !latency.is_zero() {
            sleep(latency).await;
        }
        let fault = self.decide(route);
        if let Some(kind) = &fault {
            tracing::debug!(route, ?kind, "a fault is injected");
            // Of these it shows later whether there is anything that they can do.
            if !matches!(kind, FaultKind::Corrupt | FaultKind::Service(_)) {
                self.note_act(kind.name());
            }
        }
        let mut request = self.paced_request(request);
        match &fault {
            Some(FaultKind::Status { code, html }) => return broken_status(*code, *html),
            Some(FaultKind::Limited(limit)) => return limited(dialect, *limit),
            Some(FaultKind::Expired) => return (dialect.expired)(),
            Some(FaultKind::ResetBefore) => return reset(),
            Some(FaultKind::Stall(time)) => sleep(*time).await,
            Some(kind @ FaultKind::Corrupt) if carries_content(&request) => {
                self.note_act(kind.name());
                request = request.map(corrupted);
            }
            Some(FaultKind::Service(name)) => {
                request
                    .extensions_mut()
                    .insert(ServiceFault(Arc::clone(name)));
            }
            _ => {}
        }
        let answers_content = !carries_content(&request);
        let response = serve(request).await;
        let response = match fault {
            Some(FaultKind::ResetAfter) => return reset(),
            Some(FaultKind::StatusAfter(code)) => return broken_status(code, false),
            Some(kind @ FaultKind::Corrupt) if answers_content && !is_json(response.headers()) => {
                self.note_act(kind.name());
                response.map(corrupted)
            }
            Some(FaultKind::Truncate(at)) => truncated(response, at),
            Some(FaultKind::WrongRange) => wrong_range(response),
            Some(FaultKind::UnknownMember) => with_unknown_members(response).await,
            _ => response,
        };
        match self.is_paced() {
            true => with_known_length(response).map(|body| self.paced(body, &self.inner.back)),
            false => response,
        }
    }

    fn paced_request(&self, request: Request) -> Request {
        match self.is_paced() {
            true => request.map(|body| self.paced(body, &self.inner.towards)),
            false => request,
        }
    }

    fn is_paced(&self) -> bool {
        let profile = &self.inner.profile;
        profile.bytes_per_second.is_some() || profile.path_bytes_per_second.is_some()
    }

    /// The body at a bounded speed. Pieces keep their size; each waits until it would have arrived.
    fn paced(&self, body: Body, path: &Arc<Path>) -> Body {
        let start = Instant::now();
        let rate = self.inner.profile.bytes_per_second;
        let path = Arc::clone(path);
        let pieces = body.into_data_stream().scan(0u64, move |sent, piece| {
            let mut due = start;
            if let Ok(bytes) = &piece {
                *sent += bytes.len() as u64;
                due = path.take(bytes.len());
            }
            if let Some(rate) = rate {
                due = due.max(start + Duration::from_secs_f64(*sent as f64 / rate.max(1) as f64));
            }
            futures_util::future::ready(Some((due, piece)))
        });
        Body::from_stream(pieces.then(|(due, piece)| async move {
            sleep_until(due).await;
            piece
        }))
    }
}

impl FaultRule {
    fn matches(&self, route: &str) -> bool {
        if self.kind.is_of_notices() != NOTICES.contains(&route) {
            return false;
        }
        match self.route.as_deref() {
            None => true,
            Some(pattern) => match pattern.strip_suffix('*') {
                Some(beginning) => route.starts_with(beginning),
                None => route == pattern,
            },
        }
    }
}

/// An answer that makes hyper close the connection without sending a byte of it.
pub fn reset() -> Response {
    let failure = io::Error::new(io::ErrorKind::ConnectionReset, "reset by a fault rule");
    let body = futures_util::stream::iter([Err::<Bytes, _>(failure)]);
    let mut response = Body::from_stream(body).into_response();
    response.extensions_mut().insert(ConnectionReset);
    response
}

fn broken_status(code: u16, html: bool) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if html {
        let page = format!("<html><body><h1>{status}</h1></body></html>");
        (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
    } else {
        status.into_response()
    }
}

fn limited(dialect: &Dialect, limit: Limit) -> Response {
    let mut response = (dialect.limited)(limit);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(limit.seconds));
    response
}

/// States the length as a header, because the body is about to lose its own idea of it.
fn with_known_length(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    response
}

/// How far a path may be behind: timers come up to a millisecond late, and what they are late is not lost.
const LATENESS: Duration = Duration::from_millis(5);

/// A path that all calls share in one direction, first come, first served.
#[derive(Debug)]
struct Path {
    bytes_per_second: Option<f64>,
    free_at: Mutex<Option<Instant>>,
}

impl Path {
    fn new(bytes_per_second: Option<u64>) -> Self {
        Path {
            bytes_per_second: bytes_per_second.map(|rate| rate.max(1) as f64),
            free_at: Mutex::default(),
        }
    }

    /// When so many bytes are through.
    fn take(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.bytes_per_second else {
            return now;
        };
        let mut free_at = lock(&self.free_at);
        let least = now.checked_sub(LATENESS).unwrap_or(now);
        let from = free_at.map_or(now, |at| at.max(least));
        let until = from + Duration::from_secs_f64(bytes as f64 / rate);
        *free_at = Some(until);
        until
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

/// Whether the request's body is somebody's content rather than an argument.
fn carries_content(request: &Request) -> bool {
    !request.body().is_end_stream() && !is_json(request.headers())
}

/// The same body with the last bit of its first byte flipped.
fn corrupted(body: Body) -> Body {
    let length = body.size_hint().exact();
    let mut is_first = true;
    let pieces = body.into_data_stream().map(move |piece| {
        piece.map(|bytes| match bytes.first() {
            Some(first) if std::mem::take(&mut is_first) => {
                let mut bytes = BytesMut::from(&bytes[..]);
                bytes[0] = first ^ 1;
                bytes.freeze()
            }
            _ => bytes,
        })
    });
    Body::new(OfLength {
        body: Body::from_stream(pieces),
        length,
    })
}

/// A body that knows its length although it was made of a stream.
struct OfLength {
    body: Body,
    length: Option<u64>,
}

impl http_body::Body for OfLength {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn truncated(response: Response, at: Option<u64>) -> Response {
    let response = with_known_length(response);
    let length = response
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let keep = at.unwrap_or(length.unwrap_or(0) / 2);
    if length.is_some_and(|length| keep >= length) {
        // Nothing would be missing; the fault still has to be seen.
        return reset();
    }
    response.map(|body| Body::from_stream(cut(body, keep)))
}

fn cut(body: Body, keep: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let pieces = body.into_data_stream().scan(keep, |left, piece| {
        let piece = piece.map_err(io::Error::other).map(|bytes| {
            let take = bytes
                .len()
                .min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= take as u64;
            bytes.slice(..take)
        });
        let over = matches!(&piece, Ok(bytes) if bytes.is_empty());
        futures_util::future::ready((!over).then_some(piece))
    });
    // The pause lets hyper flush what it has before it sees the failure.
    let end = futures_util::stream::once(async {
        sleep(Duration::from_millis(20)).await;
        Err(io::Error::new(
            io::ErrorKind::ConnectionReset,
            "cut by a fault rule",
        ))
    });
    pieces.chain(end)
}

/// Moves the first byte that `Content-Range` names by one; other answers are unchanged.
fn wrong_range(mut response: Response) -> Response {
    let moved = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| {
            let (start, rest) = value
                .to_str()
                .ok()?
                .strip_prefix("bytes ")?
                .split_once('-')?;
            let start: u64 = start.parse().ok()?;
            HeaderValue::try_from(format!("bytes {}-{rest}", start + 1)).ok()
        });
    if let Some(moved) = moved {
        response.headers_mut().insert(header::CONTENT_RANGE, moved);
    }
    response
}

/// Adds members to the object of a JSON answer and to the objects in its lists.
async fn with_unknown_members(response: Response) -> Response {
    let length = response.body().size_hint().upper();
    if !is_json(response.headers()) || length.is_none_or(|length| length > REWRITE_BYTES_MAX as u64)
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, REWRITE_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response();
        }
    };
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    add_members(&mut value);
    if let Some(object) = value.as_object_mut() {
        let lists = object
            .values_mut()
            .filter_map(|member| member.as_array_mut());
        lists.flatten().for_each(add_members);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(value.to_string()))
}

/// The names sort last, so an order of members that a service promises is kept.
fn add_members(value: &mut serde_json::Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert(
            "zz_added_later".into(),
            serde_json::json!({"depth": [1, null]}),
        );
        object.insert("zz_flag".into(), true.into());
    }
}

/// FNV-1a: a stable, tiny hash; only to tell decisions apart.
fn fnv(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
