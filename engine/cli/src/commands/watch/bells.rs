//! The web hooks of the services, as bells of the console.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_console::{Answer, Bell, Knock, same};
use windlass_core::{Result, Secret};
use windlass_dropbox::webhook;

use crate::config::{Layered, SecretRef};

/// The web hook of CELUM tenants: a POST whose path ends in the token of one of them. What it says is a hint at most, so
/// it is not even read.
#[derive(Debug)]
struct CelumBell {
    /// Endpoints with their tokens.
    tokens: Vec<(String, Secret)>,
}

impl Bell for CelumBell {
    fn path(&self) -> &str {
        "/hooks/celum/{token}"
    }

    fn answer(&self, knock: &Knock) -> Answer {
        let all = self.tokens.iter();
        // All are compared, whichever it is.
        let known = all.filter(|(_, token)| same(token.expose(), &knock.token));
        let known: Vec<String> = known.map(|(endpoint, _)| endpoint.clone()).collect();
        match (known.is_empty(), knock.is_post) {
            (true, _) => Answer::text(404, ""),
            (false, false) => Answer::text(200, ""),
            (false, true) => Answer::rings(known),
        }
    }
}

/// The web hook of Dropbox apps: the question whether somebody is there is answered with itself, and a notice that is
/// signed with an app's secret rings for its endpoints. Which accounts it names is not looked at: an endpoint is looked at
/// once too often at most.
#[derive(Debug)]
struct DropboxBell {
    /// Endpoints with the secrets of their apps.
    secrets: Vec<(String, Secret)>,
}

impl Bell for DropboxBell {
    fn path(&self) -> &str {
        "/hooks/dropbox"
    }

    fn answer(&self, knock: &Knock) -> Answer {
        if !knock.is_post {
            return match webhook::challenge(&knock.query) {
                Some(challenge) => Answer::text(200, challenge),
                None => Answer::text(400, ""),
            };
        }
        let signature = knock.header(webhook::SIGNATURE_HEADER).unwrap_or_default();
        let is_signed = |secret: &Secret| webhook::verify(secret, &knock.body, signature).is_ok();
        // All are tried, whichever it is.
        let all = self.secrets.iter();
        let known = all.filter(|(_, secret)| is_signed(secret));
        let known: Vec<String> = known.map(|(endpoint, _)| endpoint.clone()).collect();
        match known.is_empty() {
            true => Answer::text(403, ""),
            false => Answer::rings(known),
        }
    }
}

/// The bells that the configuration names.
///
/// Errors: `Unauthenticated` where a secret cannot be read.
pub(super) fn bells(layered: &Layered) -> Result<Vec<Arc<dyn Bell>>> {
    let watch = &layered.config.watch;
    let read = |key: &str, hooks: &BTreeMap<String, SecretRef>| {
        let secrets = hooks.iter().map(|(endpoint, secret)| {
            let key = format!("watch.{key}.{endpoint}");
            Ok((endpoint.clone(), secret.read(&key, &layered.base)?))
        });
        secrets.collect::<Result<Vec<_>>>()
    };
    let mut bells: Vec<Arc<dyn Bell>> = Vec::new();
    let secrets = read("dropbox_hooks", &watch.dropbox_hooks)?;
    if !secrets.is_empty() {
        bells.push(Arc::new(DropboxBell { secrets }));
    }
    let tokens = read("celum_hooks", &watch.celum_hooks)?;
    if !tokens.is_empty() {
        bells.push(Arc::new(CelumBell { tokens }));
    }
    Ok(bells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(is_post: bool, token: &str) -> Knock {
        Knock {
            is_post,
            token: token.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_challenge_is_echoed_and_a_notice_rings_for_whom_it_is_signed() {
        let bell = DropboxBell {
            secrets: vec![
                ("studio".to_owned(), Secret::new("one".to_owned())),
                ("other".to_owned(), Secret::new("two".to_owned())),
            ],
        };
        let asked = Knock {
            query: "challenge=abc%2B1".to_owned(),
            ..knock(false, "")
        };
        assert_eq!(bell.answer(&asked), Answer::text(200, "abc+1"));
        assert_eq!(bell.answer(&knock(false, "")).status, 400);
        // HMAC-SHA256 of `{}` under `one`.
        let signature = "32abb24f170dc0c6fb1a5b1d51e1c4ae4edb46e4e9dc8351091a6184d6ef4798";
        let signed = |signature: &str| Knock {
            headers: vec![(webhook::SIGNATURE_HEADER.to_owned(), signature.to_owned())],
            body: bytes::Bytes::from_static(b"{}"),
            ..knock(true, "")
        };
        assert_eq!(bell.answer(&signed(signature)).rings, ["studio"]);
        for refused in [signed(&signature[1..]), signed(""), knock(true, "")] {
            let answer = bell.answer(&refused);
            assert_eq!((answer.status, answer.rings.len()), (403, 0));
        }
    }

    #[test]
    fn a_token_rings_for_its_tenant_and_no_other() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let bell = CelumBell {
            tokens: vec![
                ("dam".to_owned(), secret("one")),
                ("other".to_owned(), secret("two")),
            ],
        };
        assert_eq!(bell.answer(&knock(true, "one")).rings, ["dam"]);
        assert_eq!(bell.answer(&knock(true, "two")).rings, ["other"]);
        for refused in ["", "on", "three"] {
            let answer = bell.answer(&knock(true, refused));
            assert_eq!((answer.status, answer.rings.len()), (404, 0));
        }
        let looked = bell.answer(&knock(false, "one"));
        assert_eq!((looked.status, looked.rings.len()), (200, 0));
    }
}
