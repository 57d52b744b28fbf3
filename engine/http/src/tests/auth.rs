//! Tokens: single-flight renewal, renewal ahead of time, and grants that are gone.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::Url;
use windlass_core::{Kind, Result, Secret, Status};

use super::{Act, Script, Usual, get, ok, options, status};
use crate::{
    Authorizer, Client, ClientOptions, Governor, GovernorOptions, LaneOptions, OAuth2Options,
    OAuth2Refresh, Repeat, StaticHeader, Whole,
};

const LIMIT: usize = 1 << 10;

fn token(text: &'static str) -> Act {
    Act::Answer(200, Vec::new(), text)
}

fn first() -> Act {
    token(r#"{"access_token":"sl.one","token_type":"bearer","expires_in":14400}"#)
}

fn second() -> Act {
    token(r#"{"access_token":"sl.two","token_type":"bearer","expires_in":14400}"#)
}

fn issuer(script: &Arc<Script>) -> Arc<OAuth2Refresh> {
    Arc::new(OAuth2Refresh::new(
        OAuth2Options {
            name: "the service".to_owned(),
            token_url: Url::parse("https://api.example/oauth2/token").unwrap(),
            client_id: "app+id".to_owned(),
            client_secret: Some(Secret::new("app secret")),
            refresh_token: Secret::new("r/1"),
            relogin_hint: "log in again".to_owned(),
        },
        super::shared(script),
        &options(),
    ))
}

async fn current(issuer: &OAuth2Refresh) -> Result<String> {
    let mut headers = HeaderMap::new();
    issuer.authorize(&mut headers).await?;
    Ok(headers[AUTHORIZATION].to_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_grant_is_sent_as_a_form_and_the_token_is_kept() {
    let script = Script::new([first()]);
    let issuer = issuer(&script);
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
    let seen = script.seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].body,
        "grant_type=refresh_token&refresh_token=r%2F1&client_id=app%2Bid&client_secret=app+secret"
    );
    assert_eq!(
        seen[0].headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert!(!seen[0].headers.contains_key(AUTHORIZATION));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_expired_calls_cause_one_renewal() {
    let slow = |act| Act::Late(Duration::from_secs(1), Box::new(act));
    let expired = (0..100).map(|_| slow(Act::Answer(401, Vec::new(), "expired")));
    let done = (0..100).map(|_| ok("done"));
    let script = Script::new(
        [first()]
            .into_iter()
            .chain(expired)
            .chain([slow(second())])
            .chain(done),
    );
    let issuer = issuer(&script);
    current(&issuer).await.unwrap();
    let client = Client::new(
        super::shared(&script),
        Arc::new(Usual),
        issuer,
        ClientOptions {
            // All of them at once, which a governor would work up to.
            governor: Some(Governor::new(GovernorOptions {
                first_burst: 200.0,
                ..GovernorOptions::default()
            })),
            ..options()
        },
    )
    .lane_with(&LaneOptions {
        start: 100,
        ..LaneOptions::new(100)
    });
    let calls = (0..100).map(|_| client.call_whole(get(Repeat::OnlyIfUnsent), LIMIT));
    for whole in futures_util::future::join_all(calls).await {
        assert!(matches!(whole.unwrap(), Whole::Success(_)));
    }
    let seen = script.seen.lock().unwrap();
    let renewals = seen
        .iter()
        .filter(|seen| seen.url.path() == "/oauth2/token")
        .count();
    assert_eq!(renewals, 2, "the first token and one renewal");
    let replayed = &seen[seen.len() - 100..];
    assert!(
        replayed
            .iter()
            .all(|seen| seen.headers[AUTHORIZATION] == "Bearer sl.two")
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_is_replayed_once_and_then_refused() {
    let expired = || Act::Answer(401, Vec::new(), "expired");
    let script = Script::new([first(), expired(), second(), expired()]);
    let client = Client::new(
        super::shared(&script),
        Arc::new(Usual),
        issuer(&script),
        options(),
    );
    let whole = client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert!(matches!(whole, Whole::Refused(reply) if reply.status == 401));
    assert_eq!(script.sent(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_cannot_be_renewed_is_refused_at_once() {
    let script = Script::new([Act::Answer(401, Vec::new(), "expired")]);
    let client = Client::new(
        super::shared(&script),
        Arc::new(Usual),
        Arc::new(StaticHeader::bearer(&Secret::new("t")).unwrap()),
        options(),
    );
    let whole = client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert!(matches!(whole, Whole::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_300_seconds_before_its_end() {
    let script = Script::new([first(), second()]);
    let issuer = issuer(&script);
    current(&issuer).await.unwrap();
    tokio::time::sleep(Duration::from_secs(14_400 - 301)).await;
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.two");
}

#[tokio::test(start_paused = true)]
async fn the_old_token_serves_while_renewing_ahead_fails() {
    let failures = (0..5).map(|_| status(500));
    let script = Script::new([first()].into_iter().chain(failures).chain([second()]));
    let issuer = issuer(&script);
    current(&issuer).await.unwrap();
    tokio::time::sleep(Duration::from_secs(14_400 - 299)).await;
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
    assert_eq!(script.sent(), 6);
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
    assert_eq!(script.sent(), 6, "it is not asked again at once");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.two");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_grant_is_permanent_and_not_asked_about_again() {
    let script = Script::new([Act::Answer(
        400,
        Vec::new(),
        r#"{"error":"invalid_grant","error_description":"refresh token is invalid or revoked"}"#,
    )]);
    let issuer = issuer(&script);
    for _ in 0..3 {
        let error = current(&issuer).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated);
        assert_eq!(error.status(), Status::Permanent);
        assert_eq!(error.hint(), Some("log in again"));
    }
    assert_eq!(script.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_nothing_of_the_credential_is_no_last_word() {
    let script = Script::new([Act::Answer(401, Vec::new(), "<html>proxy</html>"), first()]);
    let issuer = issuer(&script);
    let error = current(&issuer).await.unwrap_err();
    assert_eq!(error.status(), Status::Temporary);
    assert_eq!(current(&issuer).await.unwrap(), "Bearer sl.one");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_does_not_strand_the_others() {
    let script = Script::new([Act::Late(Duration::from_secs(10), Box::new(first()))]);
    let issuer = issuer(&script);
    let impatient = tokio::time::timeout(Duration::from_secs(1), current(&issuer));
    let (gone, there) = tokio::join!(impatient, current(&issuer));
    assert!(gone.is_err());
    assert_eq!(there.unwrap(), "Bearer sl.one");
    assert_eq!(script.sent(), 1);
}

#[test]
fn credentials_do_not_print_themselves() {
    let script = Script::new([]);
    let text = format!(
        "{:?} {:?} {:?}",
        issuer(&script),
        StaticHeader::basic("ann", &Secret::new("pw")).unwrap(),
        StaticHeader::new(
            http::HeaderName::from_static("x-api-key"),
            &Secret::new("key")
        )
        .unwrap(),
    );
    assert!(!text.contains("r/1") && !text.contains("app secret") && !text.contains("pw"));
    let error = StaticHeader::bearer(&Secret::new("line\nbreak")).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(!format!("{error:?}").contains("line\nbreak"));
}

#[tokio::test]
async fn basic_credentials_are_encoded() {
    let mut headers = HeaderMap::new();
    let basic = StaticHeader::basic("Aladdin", &Secret::new("open sesame")).unwrap();
    basic.authorize(&mut headers).await.unwrap();
    assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}
