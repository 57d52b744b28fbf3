//! The web hooks of the services, as bells of the console.

use std::sync::Arc;

use windlass_console::{Answer, Bell, Knock, same};
use windlass_core::{Result, Secret};

use crate::config::Layered;

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

/// The bells that the configuration names.
///
/// Errors: `Unauthenticated` where a secret cannot be read.
pub(super) fn bells(layered: &Layered) -> Result<Vec<Arc<dyn Bell>>> {
    let watch = &layered.config.watch;
    let mut bells: Vec<Arc<dyn Bell>> = Vec::new();
    let mut tokens = Vec::new();
    for (endpoint, secret) in &watch.celum_hooks {
        let key = format!("watch.celum_hooks.{endpoint}");
        tokens.push((endpoint.clone(), secret.read(&key, &layered.base)?));
    }
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
