//! Who calls: the token endpoint, access tokens and their scopes, and the namespace a call is rooted in.
//!
//! Access tokens are sealed statements (which authorisation, which scopes, until when), so they outlive a
//! restart, expire by the clock and cannot be forged. The code that a browser would bring back is fixed.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_core::Secret;

use super::call::{Call, query};
use super::error::{ApiError, json_answer};
use super::route::{Auth, Route};
use super::state::{Event, Ns, State};
use super::wire::{tag, tagged};
use super::{Dropbox, HOME};
use crate::blob::lock;

/// Every scope that a user app can have.
pub(super) const USER_SCOPES: [&str; 7] = [
    "account_info.read",
    "files.metadata.read",
    "files.metadata.write",
    "files.content.read",
    "files.content.write",
    "sharing.read",
    "sharing.write",
];

/// Real tokens are longer than 1 kB; so are these, to find buffers that are too short.
const TOKEN_PAYLOAD_BYTES: usize = 800;
const FORM_BYTES_MAX: usize = 64 << 10;

impl Dropbox {
    /// The app key (client id) that the token endpoint knows.
    pub fn app_key(&self) -> String {
        let secret = lock(&self.state).ids.secret("app-key", 0);
        secret.to_ascii_lowercase().replace(['-', '_'], "0")[..15].to_owned()
    }

    /// The app secret that belongs to it.
    pub fn app_secret(&self) -> Secret {
        let secret = lock(&self.state).ids.secret("app-secret", 0);
        Secret::new(secret.to_ascii_lowercase().replace(['-', '_'], "0")[..15].to_owned())
    }

    /// The refresh token of the authorisation that stands now.
    pub fn refresh_token(&self) -> Secret {
        let state = lock(&self.state);
        Secret::new(state.ids.secret("refresh", state.grant))
    }

    /// The code that `authorization_code` takes, as if a browser had brought it back.
    pub fn authorization_code(&self) -> Secret {
        Secret::new(lock(&self.state).ids.secret("code", 0))
    }

    /// A fresh access token with all scopes of the app.
    pub fn access_token(&self) -> Secret {
        let scopes = self.options.app_scopes.join(" ");
        self.issue(&lock(&self.state), &scopes, self.options.token_lifetime)
    }

    /// An access token with these scopes only, living this long; for tests of both.
    pub fn access_token_with(&self, scopes: &[&str], lifetime: Duration) -> Secret {
        self.issue(&lock(&self.state), &scopes.join(" "), lifetime)
    }

    fn issue(&self, state: &State, scopes: &str, lifetime: Duration) -> Secret {
        let expires = self.options.clock.now().as_second() + lifetime.as_secs() as i64;
        let payload = format!("{} {expires} {scopes}", state.grant);
        let payload = format!("{payload:<TOKEN_PAYLOAD_BYTES$}");
        let sealed = state.ids.seal("access", payload.as_bytes());
        Secret::new(format!("sl.{sealed}"))
    }

    /// Checks the token that a call brings against what its route needs.
    pub(super) fn authorise(
        &self,
        route: &Route,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<(), ApiError> {
        let header = headers.get(header::AUTHORIZATION);
        let given = match header {
            Some(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
            None => query(uri, "authorization"),
        };
        let needed = match (route.auth, &given) {
            (Auth::None, Some(_)) => {
                return Err(ApiError::Bad(
                    "Your request includes an \"Authorization\" header; this function takes none."
                        .to_owned(),
                ));
            }
            (Auth::None | Auth::Own, _) => return Ok(()),
            (Auth::AnyUser, _) => None,
            (Auth::User(scope), _) => Some(scope),
        };
        let given = given.ok_or_else(|| {
            ApiError::Bad(
                "Must provide HTTP header \"Authorization\" or URL parameter \"authorization\"."
                    .to_owned(),
            )
        })?;
        for header in ["dropbox-api-select-user", "dropbox-api-select-admin"] {
            if headers.contains_key(header) {
                let tagged = tag(&header.replace("dropbox-api-", "invalid_").replace('-', "_"));
                return Err(ApiError::Auth(tagged));
            }
        }
        let scopes = self.verify(&given)?;
        match needed {
            None => Ok(()),
            Some(scope) => self.permit(&scopes, scope),
        }
    }

    fn verify(&self, given: &str) -> Result<String, ApiError> {
        let invalid = || ApiError::Auth(tag("invalid_access_token"));
        let state = lock(&self.state);
        let sealed = given.strip_prefix("Bearer sl.").ok_or_else(invalid)?;
        let payload = state.ids.open("access", sealed).ok_or_else(invalid)?;
        let payload = String::from_utf8(payload).map_err(|_| invalid())?;
        let mut words = payload.trim_end().splitn(3, ' ');
        let mut number = || words.next()?.parse::<i64>().ok();
        let (grant, expires) = number().zip(number()).ok_or_else(invalid)?;
        if state.revoked || grant != state.grant as i64 {
            return Err(invalid());
        }
        if self.options.clock.now().as_second() >= expires {
            return Err(ApiError::Auth(tag("expired_access_token")));
        }
        Ok(words.next().unwrap_or_default().to_owned())
    }

    /// An app without the scope is a mistake in the console; a token without it needs a new authorisation.
    fn permit(&self, token: &str, scope: &str) -> Result<(), ApiError> {
        if !self.options.app_scopes.iter().any(|have| have == scope) {
            return Err(ApiError::Bad(format!(
                "Your app (ID: 123) is not permitted to access this endpoint because it does not \
                 have the required scope '{scope}'. The owner of the app can enable the scope for \
                 the app using the Permissions tab on the App Console."
            )));
        }
        if !token.split(' ').any(|have| have == scope) {
            return Err(ApiError::Auth(
                json!({".tag": "missing_scope", "required_scope": scope}),
            ));
        }
        Ok(())
    }

    /// The namespace that a call's paths are relative to.
    pub(super) fn path_root(&self, route: &Route, headers: &HeaderMap) -> Result<Ns, ApiError> {
        let Some(value) = headers.get("dropbox-api-path-root") else {
            return Ok(HOME);
        };
        let malformed = || {
            let text = String::from_utf8_lossy(value.as_bytes());
            ApiError::Bad(format!("Invalid \"Dropbox-API-Path-Root\" header: {text}"))
        };
        tracing::trace!(route = route.name, "a path root is given");
        let root: PathRoot = serde_json::from_slice(value.as_bytes()).map_err(|_| malformed())?;
        match root {
            PathRoot::Home => Ok(HOME),
            PathRoot::Root { root } => {
                let ours = self.root_namespace();
                if root == ours.to_string() {
                    Ok(ours)
                } else {
                    Err(ApiError::PathRoot(tagged("invalid_root", self.root_info())))
                }
            }
            PathRoot::NamespaceId { namespace_id } => {
                let id: Ns = namespace_id.parse().map_err(|_| malformed())?;
                if lock(&self.state).namespaces.contains_key(&id) {
                    Ok(id)
                } else {
                    Err(ApiError::PathRoot(tag("no_permission")))
                }
            }
        }
    }

    /// `RootInfo` of the account.
    pub(super) fn root_info(&self) -> Value {
        let root = self.root_namespace().to_string();
        let home = HOME.to_string();
        match &self.options.team_home {
            None => json!({
                ".tag": "user", "home_namespace_id": home, "root_namespace_id": root,
            }),
            Some(path) => json!({
                ".tag": "team", "home_namespace_id": home, "home_path": path,
                "root_namespace_id": root,
            }),
        }
    }

    /// `auth/token/revoke`: ends the authorisation, and with it all its tokens.
    pub(super) fn revoke_token(&self, call: &Call) -> Result<Value, ApiError> {
        call.void()?;
        let mut state = lock(&self.state);
        self.commit(&mut state, vec![Event::Revoked])?;
        Ok(Value::Null)
    }

    /// `/oauth2/token`.
    pub(super) async fn token(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, ApiError> {
        let form = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
            let form = b"application/x-www-form-urlencoded";
            value.as_bytes().starts_with(form)
        });
        if !form {
            return Err(ApiError::OAuth(
                "invalid_request",
                "the body must be a form",
            ));
        }
        let body = axum::body::to_bytes(body, FORM_BYTES_MAX)
            .await
            .map_err(|_| ApiError::OAuth("invalid_request", "the form cannot be read"))?;
        let field = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(&body);
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        let proven = self.check_client(headers, &field)? || field("code_verifier").is_some();
        let answer = match field("grant_type").as_deref() {
            Some("refresh_token") => self.refresh(&field)?,
            Some("authorization_code") => self.authorised(&field, proven)?,
            _ => {
                return Err(ApiError::OAuth(
                    "unsupported_grant_type",
                    "grant_type must be authorization_code or refresh_token",
                ));
            }
        };
        Ok(json_answer(StatusCode::OK, &answer))
    }

    /// Whether the client proved itself with its secret; an error if it gave a wrong one.
    fn check_client(
        &self,
        headers: &HeaderMap,
        field: &dyn Fn(&str) -> Option<String>,
    ) -> Result<bool, ApiError> {
        let refuse = |why| Err(ApiError::OAuth("invalid_client", why));
        let basic = headers.get(header::AUTHORIZATION).and_then(|value| {
            let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
            let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            let (id, secret) = decoded.split_once(':')?;
            Some((id.to_owned(), Some(secret.to_owned())))
        });
        let (id, secret) = match (basic, field("client_id")) {
            (Some(basic), _) => basic,
            (None, Some(id)) => (id, field("client_secret")),
            (None, None) => return refuse("client_id is missing"),
        };
        if id != self.app_key() {
            return refuse("Invalid client_id or client_secret");
        }
        // Without a secret it is the flow for apps that cannot keep one.
        match secret {
            Some(secret) if secret != self.app_secret().expose() => {
                refuse("Invalid client_id or client_secret")
            }
            secret => Ok(secret.is_some()),
        }
    }

    fn refresh(&self, field: &dyn Fn(&str) -> Option<String>) -> Result<Value, ApiError> {
        let state = lock(&self.state);
        let given = field("refresh_token");
        let ours = state.ids.secret("refresh", state.grant);
        if state.revoked || given.as_deref() != Some(&ours) {
            return Err(ApiError::OAuth(
                "invalid_grant",
                "refresh token is invalid or revoked",
            ));
        }
        let mut scopes = self.options.app_scopes.clone();
        if let Some(asked) = field("scope") {
            let asked: Vec<&str> = asked.split_whitespace().collect();
            if asked.iter().any(|scope| !scopes.iter().any(|s| s == scope)) {
                return Err(ApiError::OAuth(
                    "invalid_scope",
                    "a scope was not granted before",
                ));
            }
            scopes.retain(|scope| asked.contains(&scope.as_str()));
        }
        let token = self.issue(&state, &scopes.join(" "), self.options.token_lifetime);
        Ok(json!({
            "access_token": token.expose(),
            "expires_in": self.options.token_lifetime.as_secs(),
            "token_type": "bearer",
        }))
    }

    fn authorised(
        &self,
        field: &dyn Fn(&str) -> Option<String>,
        proven: bool,
    ) -> Result<Value, ApiError> {
        let mut state = lock(&self.state);
        if field("code") != Some(state.ids.secret("code", 0)) {
            return Err(ApiError::OAuth(
                "invalid_grant",
                "code doesn't exist or has expired",
            ));
        }
        if !proven {
            return Err(ApiError::OAuth(
                "invalid_request",
                "client_secret or code_verifier is needed",
            ));
        }
        if state.revoked {
            self.commit(&mut state, vec![Event::Granted])?;
        }
        let scopes = self.options.app_scopes.join(" ");
        let token = self.issue(&state, &scopes, self.options.token_lifetime);
        Ok(json!({
            "access_token": token.expose(),
            "account_id": state.ids.account(),
            "expires_in": self.options.token_lifetime.as_secs(),
            "refresh_token": state.ids.secret("refresh", state.grant),
            "scope": scopes,
            "token_type": "bearer",
            "uid": HOME.to_string(),
        }))
    }
}

#[derive(Deserialize)]
#[serde(tag = ".tag", rename_all = "snake_case", deny_unknown_fields)]
enum PathRoot {
    Home,
    Root { root: String },
    NamespaceId { namespace_id: String },
}
