//! What Dropbox says when it rings: the question whether somebody is there, and the notice that an account has changes.
//!
//! A notice says which accounts, and neither what nor by whom; our own changes ring as well. It may be lost, doubled or
//! late, so it only shortens the wait for the next look. Nothing here listens: whoever does hands over what
//! arrived, and answers within 10 s.
//!
//! The challenge is echoed as `text/plain` with `X-Content-Type-Options: nosniff`, so that nobody's browser takes it for a
//! page of ours.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use windlass_core::{Error, Kind, Result, Secret};

/// The header that carries the signature of a notice.
pub const SIGNATURE_HEADER: &str = "x-dropbox-signature";

/// The longest body that is read: Dropbox names a handful of accounts, and strangers may send anything.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// The longest challenge that is echoed; those of Dropbox have some dozen characters.
const CHALLENGE_CHARS_MAX: usize = 1_000;

/// The block of SHA-256, to which the key of an HMAC is filled up.
const HMAC_BLOCK_BYTES: usize = 64;

/// That something changed in these accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The accounts' ids (`dbid:…`), those of team members (`dbmid:…`) among them; each once, sorted.
    pub accounts: Vec<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    list_folder: Option<ListFolder>,
}

#[derive(Default, Deserialize)]
struct ListFolder {
    #[serde(default)]
    accounts: Option<Vec<String>>,
    #[serde(default)]
    teams: Option<BTreeMap<String, Vec<String>>>,
}

/// The text that a request with this query is to be answered with; `None` where it is no challenge.
pub fn challenge(query: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut challenges = pairs.filter(|(key, _)| key == "challenge");
    let (_, text) = challenges.next()?;
    let fits = !text.is_empty() && text.chars().count() <= CHALLENGE_CHARS_MAX;
    let is_plain = !text.chars().any(char::is_control);
    (fits && is_plain).then(|| text.into_owned())
}

/// What a notice says, once its signature is that of the app: lower-case hexadecimal HMAC-SHA256 of the body as it came,
/// under the app's secret.
///
/// Errors: `Denied` for another signature, `InvalidInput` for a body that is too long or no notice.
pub fn verify(secret: &Secret, body: &[u8], signature: &str) -> Result<Notice> {
    if body.len() > BODY_BYTES_MAX {
        let message = format!("a notice has at most {BODY_BYTES_MAX} bytes");
        return Err(Error::new(Kind::InvalidInput, message));
    }
    let ours = hex::encode(hmac(secret.expose().as_bytes(), body));
    if !equal(ours.as_bytes(), signature.as_bytes()) {
        return Err(Error::new(
            Kind::Denied,
            "the notice is not signed with the app's secret",
        ));
    }
    // An object first: a list would pass for one without members.
    let body: Result<Body, _> = serde_json::from_slice::<serde_json::Map<_, _>>(body)
        .and_then(|members| serde_json::from_value(members.into()));
    let body = body.map_err(|error| {
        Error::new(Kind::InvalidInput, "the notice cannot be read").with_source(error)
    })?;
    let listed = body.list_folder.unwrap_or_default();
    let members = listed.teams.into_iter().flatten().flat_map(|(_, of)| of);
    let mut accounts: Vec<String> = listed.accounts.unwrap_or_default();
    accounts.extend(members);
    accounts.sort();
    accounts.dedup();
    Ok(Notice { accounts })
}

/// HMAC-SHA256, as RFC 2104 has it.
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

/// Compares in a time that does not depend on where the texts differ, so that nobody guesses a signature digit by digit.
fn equal(ours: &[u8], theirs: &[u8]) -> bool {
    let mut difference = u8::from(ours.len() != theirs.len());
    for (at, our) in ours.iter().enumerate() {
        let their = theirs.get(at).copied().unwrap_or(0);
        difference = std::hint::black_box(difference | (our ^ their));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOTICE: &[u8] =
        br#"{"delta":{"users":[24370001]},"list_folder":{"accounts":["dbid:b","dbid:a"]}}"#;

    fn secret() -> Secret {
        Secret::new("app-secret")
    }

    fn signed(body: &[u8]) -> String {
        hex::encode(hmac(secret().expose().as_bytes(), body))
    }

    #[test]
    fn the_code_is_that_of_the_published_vectors() {
        // RFC 4231, cases 2 and 6: a short key, and one that is longer than a block.
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(short),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = hmac(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
        );
        assert_eq!(
            hex::encode(long),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_challenge_is_echoed_decoded_and_anything_else_is_none() {
        assert_eq!(challenge("challenge=a%2Bb%26c").as_deref(), Some("a+b&c"));
        assert_eq!(challenge("x=1&challenge=abc").as_deref(), Some("abc"));
        let long = format!("challenge={}", "a".repeat(CHALLENGE_CHARS_MAX + 1));
        for query in [
            "",
            "challenge=",
            "challenge",
            "Challenge=a",
            "challenge=a%0d%0ab",
            &long,
        ] {
            assert_eq!(challenge(query), None, "{query}");
        }
    }

    #[test]
    fn a_notice_names_its_accounts_once_each_in_order() {
        let notice = verify(&secret(), NOTICE, &signed(NOTICE)).unwrap();
        assert_eq!(notice.accounts, ["dbid:a", "dbid:b"]);
        let team = br#"{"list_folder":{"teams":{"dbtid:1":["dbmid:2","dbmid:2"]}}}"#;
        let notice = verify(&secret(), team, &signed(team)).unwrap();
        assert_eq!(notice.accounts, ["dbmid:2"]);
    }

    #[test]
    fn another_signature_is_refused_before_the_body_is_looked_at() {
        let right = signed(NOTICE);
        let upper = right.to_uppercase();
        let longer = format!("{right}0");
        for wrong in ["", "0", &right[1..], &upper, &longer, &signed(b"{}")] {
            let error = verify(&secret(), NOTICE, wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{wrong}");
        }
        let error = verify(&secret(), b"no json", "").unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(!format!("{error:?}").contains("app-secret"));
    }

    #[test]
    fn a_signed_body_that_is_no_notice_is_refused_and_one_without_accounts_is_empty() {
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        for body in [&b"no json"[..], b"[]", br#"{"list_folder":7}"#, &long] {
            let error = verify(&secret(), body, &signed(body)).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidInput);
        }
        for body in [
            &b"{}"[..],
            br#"{"list_folder":null}"#,
            br#"{"list_folder":{"accounts":null}}"#,
        ] {
            let notice = verify(&secret(), body, &signed(body)).unwrap();
            assert!(notice.accounts.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_body_and_no_signature_stops_it(body: Vec<u8>, signature: String, query: String) {
            prop_assert!(verify(&secret(), &body, &signature).is_err());
            let kind = verify(&secret(), &body, &signed(&body)).map_err(|error| error.kind());
            prop_assert!(matches!(kind, Ok(_) | Err(Kind::InvalidInput)));
            let echoed = challenge(&query).unwrap_or_default();
            prop_assert!(!echoed.chars().any(char::is_control));
        }

        #[test]
        fn a_notice_that_lost_or_changed_a_byte_is_refused(at in 0..NOTICE.len(), byte: u8) {
            let mut body = NOTICE.to_vec();
            prop_assume!(body[at] != byte);
            body[at] = byte;
            prop_assert!(verify(&secret(), &body, &signed(NOTICE)).is_err());
            prop_assert!(verify(&secret(), &NOTICE[..at], &signed(NOTICE)).is_err());
        }
    }
}
