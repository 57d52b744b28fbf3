//! Webhooks: an address that is asked whether it is there, and then told of every change which account it is in.
//!
//! A notice names the account and nothing else, is signed with the app's secret, and comes of the app's own changes as
//! well as of people's.

use axum::http::{HeaderMap, Request, header};
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::Dropbox;
use super::admin::{AdminError, refused};
use crate::bell::{Bell, DEBOUNCE, Deliver};
use crate::blob::lock;

/// What fault rules call it.
const ROUTE: &str = "webhook";

/// Who rings.
const USER_AGENT: &str = "DropboxWebhooks/1.0";

/// The number that account ids had before they were texts.
const OLD_USER_ID: u64 = 24_370_001;

/// The block of SHA-256, to which the key of an HMAC is filled up.
const HMAC_BLOCK_BYTES: usize = 64;

impl Dropbox {
    /// Registers an address for notices, as people do in the app's console. It is asked to echo a challenge first. Notices
    /// are sent from a task of their own until the service is dropped.
    ///
    /// Errors: `Refused` where it does not echo, or not as it must.
    pub async fn register_webhook(&self, url: Url, deliver: Deliver) -> Result<(), AdminError> {
        let mut bell = Bell::new(deliver, self.faults.clone(), ROUTE);
        let challenge = {
            let state = lock(&self.state);
            state.ids.secret("challenge", state.seq)
        };
        let wrong = |reason: &str| Err(refused(url.as_str(), reason));
        let mut asked = url.clone();
        asked.query_pairs_mut().append_pair("challenge", &challenge);
        let request = Request::get(asked.as_str()).header(header::USER_AGENT, USER_AGENT);
        let request = request.body(Bytes::new());
        let request = request.map_err(|error| refused(url.as_str(), &error.to_string()))?;
        let echo = bell.ask(request).await?;
        if echo.status() != 200 {
            return wrong(&format!("the challenge was answered {}", echo.status()));
        }
        if *echo.body() != challenge {
            return wrong("the challenge was not echoed");
        }
        let says = |name: &str| text(echo.headers(), name);
        if !says("content-type").starts_with("text/plain") {
            return wrong("the challenge was not echoed as text/plain");
        }
        if says("x-content-type-options") != "nosniff" {
            return wrong("the challenge was echoed without X-Content-Type-Options: nosniff");
        }
        let body = self.notice();
        let signature = hex::encode(hmac(self.app_secret().expose().as_bytes(), &body));
        let notice = Request::post(url.as_str())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-dropbox-signature", signature)
            .body(body);
        let notice = notice.map_err(|error| refused(url.as_str(), &error.to_string()))?;
        let mut changed = self.changed.subscribe();
        let mut told = *changed.borrow_and_update();
        let ringing = tokio::spawn(async move {
            while changed.changed().await.is_ok() {
                if *changed.borrow_and_update() == told {
                    continue;
                }
                sleep(DEBOUNCE).await;
                told = *changed.borrow_and_update();
                bell.ring(notice.clone()).await;
            }
        });
        lock(&self.webhooks).push(AbortOnDropHandle::new(ringing));
        Ok(())
    }

    /// What every notice says: the account.
    fn notice(&self) -> Bytes {
        let notice = json!({
            "list_folder": {"accounts": [self.account_id()]},
            "delta": {"users": [OLD_USER_ID]},
        });
        notice.to_string().into()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// HMAC-SHA256.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; HMAC_BLOCK_BYTES];
    match key.len() <= HMAC_BLOCK_BYTES {
        true => block[..key.len()].copy_from_slice(key),
        false => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let keyed = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
    let inner = keyed(0x36).chain_update(message).finalize();
    keyed(0x5c).chain_update(inner).finalize().into()
}
