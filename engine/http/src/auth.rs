//! Who we are: headers that never change, and bearer tokens that are renewed.
//!
//! [`OAuth2Refresh`] renews single-flight: however many calls find the token expired, one request goes
//! to the token URL and all of them get its result. No lock is held while it runs; the renewal is a
//! shared future that any waiter drives, so a cancelled caller does not strand the others.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use windlass_core::{Error, Kind, Result, Secret, Status};

use crate::client::{Call, Client, Judge, Judged, Reply, Whole};
use crate::options::ClientOptions;
use crate::retry::Repeat;
use crate::transport::{Body, Request, Transport};

/// How long before its end a token is renewed.
const AHEAD: Duration = Duration::from_secs(300);

/// How long a failed renewal ahead of time is not tried again while the old token still works.
const AHEAD_AGAIN: Duration = Duration::from_secs(30);

/// What a token lives when its issuer does not say: the shortest life in common use.
const LIFE_UNSAID: Duration = Duration::from_secs(3600);

/// A token answer is about 2 kB; tokens above 1 kB are common.
const TOKEN_ANSWER_BYTES_MAX: usize = 64 << 10;

/// Puts credentials on requests.
#[async_trait]
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// Adds the credential's headers. May renew a token that is about to end.
    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()>;

    /// Renews the credential that the service refused as expired, unless another caller did so
    /// since. Returns whether there is a new one. Many callers at once cause one renewal.
    async fn refresh(&self, rejected: &HeaderMap) -> Result<bool>;
}

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Authorizer for Anonymous {
    async fn authorize(&self, _headers: &mut HeaderMap) -> Result<()> {
        Ok(())
    }

    async fn refresh(&self, _rejected: &HeaderMap) -> Result<bool> {
        Ok(false)
    }
}

/// One header with one value: an API key, HTTP Basic, or a token that nobody can renew.
#[derive(Clone)]
pub struct StaticHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl StaticHeader {
    /// The header `name` with the secret as it is. `Config` when it cannot be a header's value.
    pub fn new(name: HeaderName, secret: &Secret) -> Result<Self> {
        Ok(StaticHeader {
            name,
            value: sensitive(secret.expose())?,
        })
    }

    /// `Authorization: Bearer …`.
    pub fn bearer(token: &Secret) -> Result<Self> {
        Ok(StaticHeader {
            name: AUTHORIZATION,
            value: sensitive(&format!("Bearer {}", token.expose()))?,
        })
    }

    /// `Authorization: Basic …`.
    pub fn basic(user: &str, password: &Secret) -> Result<Self> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
        Ok(StaticHeader {
            name: AUTHORIZATION,
            value: sensitive(&format!("Basic {pair}"))?,
        })
    }
}

impl fmt::Debug for StaticHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticHeader({}: ***)", self.name)
    }
}

#[async_trait]
impl Authorizer for StaticHeader {
    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        headers.insert(self.name.clone(), self.value.clone());
        Ok(())
    }

    async fn refresh(&self, _rejected: &HeaderMap) -> Result<bool> {
        Ok(false)
    }
}

/// What the refresh-token grant needs.
#[derive(Clone, Debug)]
pub struct OAuth2Options {
    /// What messages call the far side: the endpoint's name.
    pub name: String,
    /// Where tokens are issued.
    pub token_url: Url,
    /// The application's public id.
    pub client_id: String,
    /// The application's secret; absent where the grant was made with PKCE.
    pub client_secret: Option<Secret>,
    /// The grant.
    pub refresh_token: Secret,
    /// What a person does when the grant is gone.
    pub relogin_hint: String,
}

/// Bearer tokens from a refresh token.
pub struct OAuth2Refresh {
    options: OAuth2Options,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    flight: Option<Flight>,
    /// Set once the grant was refused: asking again would not help and may lock the account.
    refused: Option<Arc<Error>>,
    ahead_not_before: Option<Instant>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    renew_at: Instant,
    ends_at: Instant,
}

type Flight = Shared<BoxFuture<'static, Result<Token, Arc<Error>>>>;

impl fmt::Debug for OAuth2Refresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Refresh")
            .field("name", &self.options.name)
            .finish_non_exhaustive()
    }
}

impl OAuth2Refresh {
    /// An authorizer that fetches its first token when it is first needed. `defaults` gives it the
    /// tries, backoffs and jitter of the client that it works for.
    pub fn new(
        options: OAuth2Options,
        transport: Arc<dyn Transport>,
        defaults: &ClientOptions,
    ) -> Self {
        let client = Client::new(
            transport,
            Arc::new(TokenJudge),
            Arc::new(Anonymous),
            ClientOptions {
                name: format!("{} (token)", options.name),
                origins: Vec::new(),
                concurrency: 1,
                // A renewal must never wait behind the calls that wait for it.
                governor: None,
                ..defaults.clone()
            },
        );
        OAuth2Refresh {
            options,
            client,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The renewal under way, or a new one.
    fn join(&self, state: &mut State) -> Flight {
        let flight = state.flight.get_or_insert_with(|| {
            let client = self.client.clone();
            let options = self.options.clone();
            async move { renew(&client, &options).await.map_err(Arc::new) }
                .boxed()
                .shared()
        });
        flight.clone()
    }

    /// Waits for a renewal and records its result, once.
    async fn land(&self, flight: Flight) -> Result<Token> {
        let result = flight.clone().await;
        let mut state = self.lock();
        if state
            .flight
            .as_ref()
            .is_some_and(|mine| mine.ptr_eq(&flight))
        {
            state.flight = None;
            match &result {
                Ok(token) => state.token = Some(token.clone()),
                Err(error) if error.kind() == Kind::Unauthenticated => {
                    state.refused = Some(Arc::clone(error));
                }
                Err(_) => state.ahead_not_before = Some(Instant::now() + AHEAD_AGAIN),
            }
        }
        result.map_err(|error| repeat_error(&error))
    }

    /// A token that works now, and the renewal to wait for, if one is due.
    fn current(&self) -> Result<(Option<Token>, Option<Flight>)> {
        let mut state = self.lock();
        if let Some(refused) = &state.refused {
            return Err(repeat_error(refused));
        }
        let now = Instant::now();
        let usable = state.token.clone().filter(|token| now < token.ends_at);
        let due = match &usable {
            None => true,
            Some(token) => {
                now >= token.renew_at && state.ahead_not_before.is_none_or(|at| now >= at)
            }
        };
        let flight = due.then(|| self.join(&mut state));
        Ok((usable, flight))
    }
}

#[async_trait]
impl Authorizer for OAuth2Refresh {
    async fn authorize(&self, headers: &mut HeaderMap) -> Result<()> {
        let token = match self.current()? {
            (Some(token), None) => token,
            (None, None) => unreachable!("a renewal is due when no token is usable"),
            (usable, Some(flight)) => match (self.land(flight).await, usable) {
                (Ok(token), _) => token,
                // Renewing ahead of time may fail; the old token still works for a while.
                (Err(error), Some(old)) if error.status() != Status::Permanent => {
                    tracing::warn!(%error, "the access token could not be renewed ahead of time");
                    old
                }
                (Err(error), _) => return Err(error),
            },
        };
        headers.insert(AUTHORIZATION, token.header);
        Ok(())
    }

    async fn refresh(&self, rejected: &HeaderMap) -> Result<bool> {
        let flight = {
            let mut state = self.lock();
            if let Some(refused) = &state.refused {
                return Err(repeat_error(refused));
            }
            let newer = match (&state.token, rejected.get(AUTHORIZATION)) {
                (Some(token), Some(rejected)) => token.header != *rejected,
                _ => false,
            };
            if newer {
                return Ok(true);
            }
            self.join(&mut state)
        };
        self.land(flight).await.map(|_| true)
    }
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

/// Asks for a token, with the retries of an ordinary call.
async fn renew(client: &Client, options: &OAuth2Options) -> Result<Token> {
    let call = Call {
        route: "oauth2/token",
        request: token_request(options),
        // Asking again yields another token; neither one is lost.
        repeat: Repeat::Idempotent,
        authorize: false,
    };
    let asked_at = Instant::now();
    match client.call_whole(call, TOKEN_ANSWER_BYTES_MAX).await? {
        Whole::Success(reply) => issued(&reply, asked_at, options),
        Whole::Refused(reply) => Err(refused(&reply, options)),
    }
}

fn token_request(options: &OAuth2Options) -> Request {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", options.refresh_token.expose())
        .append_pair("client_id", &options.client_id);
    if let Some(secret) = &options.client_secret {
        form.append_pair("client_secret", secret.expose());
    }
    let mut request = Request::new(Method::POST, options.token_url.clone());
    request.headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    request.body = Body::Bytes(Bytes::from(form.finish()));
    request
}

fn issued(reply: &Reply, asked_at: Instant, options: &OAuth2Options) -> Result<Token> {
    // The parser's message could quote the token, so it is not kept.
    let issued: Issued = serde_json::from_slice(&reply.body).map_err(|_| {
        Error::new(
            Kind::Unexpected,
            format!("{} did not answer with an access token", options.name),
        )
        .with_context("route", "oauth2/token")
    })?;
    let life = issued.expires_in.map_or(LIFE_UNSAID, |seconds| {
        Duration::from_secs(seconds.min(10 * 365 * 86_400))
    });
    // A token that lives shorter than the margin would be renewed on every call.
    let ahead = AHEAD.min(life / 5);
    Ok(Token {
        header: sensitive(&format!("Bearer {}", issued.access_token))?,
        renew_at: asked_at + (life - ahead),
        ends_at: asked_at + life,
    })
}

fn refused(reply: &Reply, options: &OAuth2Options) -> Error {
    let refusal: Option<Refusal> = serde_json::from_slice(&reply.body).ok();
    let code = refusal
        .as_ref()
        .map_or("", |refusal| refusal.error.as_str());
    let (kind, message, hint) = match code {
        "invalid_grant" => (
            Kind::Unauthenticated,
            format!("{} no longer accepts the refresh token", options.name),
            options.relogin_hint.clone(),
        ),
        "invalid_client" | "unauthorized_client" => (
            Kind::Unauthenticated,
            format!(
                "{} does not accept the application's id or secret",
                options.name
            ),
            "check the application's id and secret in the configuration".to_owned(),
        ),
        _ => (
            Kind::Unexpected,
            format!("{} refused to issue an access token", options.name),
            "check the token URL and the application's settings".to_owned(),
        ),
    };
    let mut error = Error::new(kind, message)
        .with_context("route", "oauth2/token")
        .with_context("status", reply.status.as_u16())
        .with_hint(hint);
    if kind == Kind::Unexpected {
        // It says nothing of the credential, so what waits for a token is not given up at once.
        error = error.with_status(Status::Temporary);
    }
    if let Some(refusal) = refusal {
        error = error.with_context("answer", &refusal.error);
        if let Some(description) = refusal.error_description {
            error = error.with_context("description", description);
        }
    }
    error
}

/// Token servers speak plain OAuth 2: a JSON error with 400 or 401, and the usual transient answers.
#[derive(Debug)]
struct TokenJudge;

impl Judge for TokenJudge {
    fn judge(&self, status: StatusCode, _headers: &HeaderMap, _body: &[u8]) -> Judged {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Judged::Wait(None),
            StatusCode::REQUEST_TIMEOUT => Judged::Transient,
            status if status.is_server_error() => Judged::Transient,
            _ => Judged::Final,
        }
    }
}

/// A header value that no log shows.
fn sensitive(text: &str) -> Result<HeaderValue> {
    // The invalid value itself must not be in the error.
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            Kind::Config,
            "the credential contains characters that cannot be sent",
        )
        .with_hint("look for a line break or a blank at the end of the secret")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The same error for one more waiter.
fn repeat_error(error: &Arc<Error>) -> Error {
    let mut copy = Error::new(error.kind(), error.message())
        .with_status(error.status())
        .with_source(Arc::clone(error));
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    if let Some(wait) = error.retry_after() {
        copy = copy.with_retry_after(wait);
    }
    copy
}
