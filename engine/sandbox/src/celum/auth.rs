//! Who is calling: an API key or Basic, and somebody else's name for those who may borrow it.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Celum;
use super::error::{ApiError, Result};
use super::model::User;
use super::seed;
use super::state::State;

const API_KEY: &str = "x-api-key";
const IMPERSONATE: &str = "x-celum-username";

/// Whether a request carries credentials of the API, right or wrong.
pub(super) fn has_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(API_KEY) || headers.contains_key(header::AUTHORIZATION)
}

impl Celum {
    /// The user as whom a call runs, or 401; 403 for a name that may not be borrowed.
    pub(super) fn caller(&self, state: &State, headers: &HeaderMap) -> Result<User> {
        let username = self.signed_in(headers)?;
        let user = state.user_named(username);
        let user = user.ok_or_else(|| ApiError::unauthenticated("the user does not exist"))?;
        let Some(borrowed) = headers.get(IMPERSONATE) else {
            return Ok(user.clone());
        };
        let borrowed = borrowed.to_str().unwrap_or_default();
        if !user.may_impersonate {
            let message = format!("{} may not act as another user", user.username);
            return Err(ApiError::forbidden(message));
        }
        let user = state.user_named(borrowed).cloned();
        user.ok_or_else(|| ApiError::forbidden(format!("no user named {borrowed:?}")))
    }

    fn signed_in(&self, headers: &HeaderMap) -> Result<&'static str> {
        if let Some(key) = headers.get(API_KEY) {
            let key = key.to_str().unwrap_or_default();
            let bare = match &self.profile.api_key_prefix {
                None => Some(key),
                Some(prefix) => key
                    .strip_prefix(prefix.as_str())
                    .and_then(|rest| rest.strip_prefix(' ')),
            };
            let username = bare.and_then(seed::user_of_key);
            return username.ok_or_else(|| ApiError::unauthenticated("the API key is not valid"));
        }
        let Some(authorization) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::unauthenticated("no credentials were sent"));
        };
        let authorization = authorization.to_str().unwrap_or_default();
        let Some(encoded) = authorization.strip_prefix("Basic ") else {
            let message = "only X-API-KEY and Basic are accepted";
            return Err(ApiError::unauthenticated(message));
        };
        let decoded = STANDARD.decode(encoded).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        let username = pair.and_then(|(name, password)| seed::user_of_password(name, password));
        username.ok_or_else(|| ApiError::unauthenticated("user name or password is wrong"))
    }
}
