//! The retry table, waits, limits, redirects and credentials, on a paused clock.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use windlass_core::{Kind, Secret, Status};

use super::{Act, HOME, Script, Usual, call_to, client, client_with, get, ok, options, status};
use crate::retry::{Happened, Next, next};
use crate::{
    Answer, Body, Client, ClientOptions, Repeat, StaticHeader, Whole, redact, retry_after,
};

const LIMIT: usize = 1 << 20;

fn wait_header(seconds: &str) -> Vec<(&'static str, String)> {
    vec![("retry-after", seconds.to_owned())]
}

async fn body_of(whole: Whole) -> Bytes {
    match whole {
        Whole::Success(reply) => reply.body,
        Whole::Refused(reply) => panic!("refused: {reply:?}"),
    }
}

#[test]
fn only_what_may_have_arrived_and_is_not_idempotent_is_looked_at() {
    use Happened::*;
    use Repeat::*;
    let table = [
        (NeverLeft, Idempotent, Next::Repeat),
        (NeverLeft, OnlyIfUnsent, Next::Repeat),
        (MayHaveArrived, Idempotent, Next::Repeat),
        (MayHaveArrived, OnlyIfUnsent, Next::Look),
    ];
    for (happened, repeat, expected) in table {
        assert_eq!(next(happened, repeat), expected, "{happened:?} {repeat:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_left_is_repeated_even_if_not_idempotent() {
    let script = Script::new([Act::Unsent, Act::Unsent, ok("done")]);
    let whole = client(&script)
        .call_whole(get(Repeat::OnlyIfUnsent), LIMIT)
        .await
        .unwrap();
    assert_eq!(body_of(whole).await, "done");
    assert_eq!(script.sent(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_only_if_idempotent() {
    let script = Script::new([Act::Lost, ok("done")]);
    let whole = client(&script)
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert_eq!(body_of(whole).await, "done");

    for act in [Act::Lost, status(502), Act::Broken(200, "{")] {
        let script = Script::new([act]);
        let error = client(&script)
            .call_whole(get(Repeat::OnlyIfUnsent), LIMIT)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Ambiguous);
        assert_eq!(script.sent(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collected_body_that_breaks_off_is_a_lost_answer() {
    let script = Script::new([Act::Broken(200, "{\"half"), ok("{}")]);
    let whole = client(&script)
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert_eq!(body_of(whole).await, "{}");
}

#[tokio::test(start_paused = true)]
async fn tries_end_without_a_last_sleep_and_the_first_cause_is_named() {
    let script = Script::new([Act::Unsent, Act::Lost, status(503)]);
    let client = client_with(
        &script,
        ClientOptions {
            tries: 3,
            ..options()
        },
    );
    let error = client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.status(), Status::Persistent);
    assert!(error.message().contains("connection refused"), "{error}");
    let text = error.to_string();
    assert!(text.contains("failed tries: 3 of 3"), "{text}");
    assert!(text.contains("route: things/get"), "{text}");
    assert!(text.contains("at last: the service answered 503"), "{text}");
    let last_sent = script.seen.lock().unwrap().last().unwrap().at;
    assert_eq!(
        last_sent,
        tokio::time::Instant::now(),
        "it slept after the last try"
    );
}

#[tokio::test(start_paused = true)]
async fn backoff_stays_under_a_doubling_ceiling_and_follows_the_seed() {
    let run = async || {
        let script = Script::new((0..6).map(|_| Act::Lost));
        let client = client_with(
            &script,
            ClientOptions {
                tries: 6,
                backoff_max: Duration::from_secs(4),
                jitter: crate::Jitter::seeded(42),
                ..options()
            },
        );
        client
            .call_whole(get(Repeat::Idempotent), LIMIT)
            .await
            .unwrap_err();
        script.gaps()
    };
    let gaps = run().await;
    for (gap, ceiling) in gaps.iter().zip([1, 2, 4, 4, 4]) {
        // The paused clock moves in whole milliseconds.
        assert!(
            *gap <= Duration::from_millis(ceiling * 1000 + 1),
            "{gaps:?}"
        );
    }
    assert!(gaps.iter().any(|gap| *gap > Duration::from_millis(100)));
    assert_eq!(gaps, run().await);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_to_the_second_and_spends_no_tries() {
    let acts = (0..20).map(|_| Act::Answer(429, wait_header("7"), ""));
    let script = Script::new(acts.chain([ok("done")]));
    let client = client_with(
        &script,
        ClientOptions {
            tries: 1,
            ..options()
        },
    );
    let whole = client
        .call_whole(get(Repeat::OnlyIfUnsent), LIMIT)
        .await
        .unwrap();
    assert_eq!(body_of(whole).await, "done");
    for gap in script.gaps() {
        assert!(gap >= Duration::from_secs(7) && gap < Duration::from_millis(7_100));
    }
}

#[tokio::test(start_paused = true)]
async fn one_told_to_wait_makes_every_caller_wait() {
    let script = Script::new([
        Act::Answer(429, wait_header("30"), ""),
        ok("a"),
        ok("b"),
        ok("c"),
    ]);
    let client = client(&script);
    let lane = client.lane(4);
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.call_whole(get(Repeat::Idempotent), LIMIT).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lane.paused_for() > Duration::from_secs(28));
    let (a, b) = tokio::join!(
        client.call_whole(get(Repeat::Idempotent), LIMIT),
        lane.call_whole(get(Repeat::Idempotent), LIMIT),
    );
    a.unwrap();
    b.unwrap();
    first.await.unwrap().unwrap();
    let seen = script.seen.lock().unwrap();
    let limited_at = seen[0].at;
    assert!(
        seen[1..]
            .iter()
            .all(|seen| seen.at - limited_at >= Duration::from_secs(30))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lock_pauses_its_lane_and_no_other() {
    let script = Script::new([
        Act::Answer(423, wait_header("10"), ""),
        ok("other"),
        ok("done"),
    ]);
    let client = client(&script);
    let commits = client.lane(1);
    let (locked, other) = tokio::join!(
        commits.call_whole(get(Repeat::OnlyIfUnsent), LIMIT),
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let whole = client.call_whole(get(Repeat::Idempotent), LIMIT).await;
            (tokio::time::Instant::now(), whole)
        }
    );
    assert_eq!(body_of(locked.unwrap()).await, "done");
    let (at, whole) = other;
    assert_eq!(body_of(whole.unwrap()).await, "other");
    let seen = script.seen.lock().unwrap();
    assert!(at - seen[0].at < Duration::from_secs(2));
    assert!(seen[2].at - seen[0].at >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_bare_429_waits_longer_each_time() {
    let script = Script::new((0..4).map(|_| status(429)).chain([ok("done")]));
    client(&script)
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    for gap in script.gaps() {
        assert!(gap >= Duration::from_secs(1), "{gap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn patience_with_waits_ends() {
    let script = Script::new((0..3).map(|_| Act::Answer(429, wait_header("400"), "")));
    let client = client_with(
        &script,
        ClientOptions {
            patience: Duration::from_secs(1000),
            ..options()
        },
    );
    let error = client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Limited);
    assert_eq!(error.status(), Status::Persistent);
    assert!(error.retry_after().unwrap() > Duration::from_secs(399));
    assert_eq!(script.sent(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_that_names_a_time_is_not_asked_earlier() {
    let script = Script::new([Act::Answer(503, wait_header("60"), ""), ok("done")]);
    client(&script)
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert!(script.gaps()[0] >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_handed_over_at_once() {
    let script = Script::new([Act::Answer(
        409,
        vec![("x-request-id", "r-1".to_owned())],
        "why",
    )]);
    match client(&script).call(get(Repeat::Idempotent)).await.unwrap() {
        Answer::Refused {
            status,
            body,
            request_id,
            ..
        } => {
            assert_eq!(status, 409);
            assert_eq!(body, "why");
            assert_eq!(request_id.as_deref(), Some("r-1"));
        }
        Answer::Success(_) => panic!("it was refused"),
    }
    assert_eq!(script.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_longer_than_asked_for_is_an_error() {
    let script = Script::new([ok("12345"), ok("1234")]);
    let client = client(&script);
    let error = client
        .call_whole(get(Repeat::Idempotent), 4)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
    let whole = client.call_whole(get(Repeat::Idempotent), 4).await.unwrap();
    assert_eq!(body_of(whole).await, "1234");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_until_the_body_ends_or_is_dropped() {
    let script = Script::new([ok("one"), ok("two"), ok("three")]);
    let client = client_with(
        &script,
        ClientOptions {
            concurrency: 1,
            ..options()
        },
    );
    let Answer::Success(mut first) = client.call(get(Repeat::Idempotent)).await.unwrap() else {
        panic!("refused");
    };
    assert_eq!(client.in_flight(), 1);
    let second = client.call(get(Repeat::Idempotent));
    assert!(
        tokio::time::timeout(Duration::from_secs(5), second)
            .await
            .is_err()
    );
    while first.body.next().await.is_some() {}
    assert_eq!(client.in_flight(), 0, "read to its end, though not dropped");
    let Answer::Success(second) = client.call(get(Repeat::Idempotent)).await.unwrap() else {
        panic!("refused");
    };
    assert_eq!(client.in_flight(), 1);
    drop(second);
    assert_eq!(client.in_flight(), 0);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn no_place_is_held_while_waiting() {
    let script = Script::new([Act::Lost, ok("done")]);
    let client = client_with(
        &script,
        ClientOptions {
            concurrency: 1,
            ..options()
        },
    );
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.call_whole(get(Repeat::Idempotent), LIMIT).await }
    });
    while script.sent() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(client.in_flight(), 0);
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn redirects_are_errors_and_name_only_the_origin() {
    let to = "https://elsewhere.example/login?token=secret".to_owned();
    let script = Script::new([Act::Answer(302, vec![("location", to)], "")]);
    let error = client(&script)
        .call(get(Repeat::Idempotent))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let text = format!("{error:?}");
    assert!(text.contains("https://elsewhere.example"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(script.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn credentials_go_only_to_their_own_scheme_host_and_port() {
    let elsewhere = [
        "http://api.example/2/things",
        "https://api.example:8443/2/things",
        "https://api.example.evil.test/2/things",
        "https://upload.example/2/things",
    ];
    let script = Script::new((0..6).map(|_| ok("")));
    let client = Client::new(
        super::shared(&script),
        std::sync::Arc::new(Usual),
        std::sync::Arc::new(StaticHeader::bearer(&Secret::new("t-1")).unwrap()),
        options(),
    );
    for url in elsewhere.into_iter().chain([HOME]) {
        client.call(call_to(url, Repeat::Idempotent)).await.unwrap();
    }
    let mut open = get(Repeat::Idempotent);
    open.authorize = false;
    client.call(open).await.unwrap();
    let seen = script.seen.lock().unwrap();
    let with: Vec<bool> = seen
        .iter()
        .map(|seen| seen.headers.contains_key(AUTHORIZATION))
        .collect();
    assert_eq!(with, [false, false, false, false, true, false]);
    assert_eq!(seen[4].headers[AUTHORIZATION], "Bearer t-1");
    assert!(seen.iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_is_sent_once() {
    for (act, kind) in [
        (Act::Unsent, Kind::Unavailable),
        (Act::Lost, Kind::Unavailable),
        (status(429), Kind::Limited),
    ] {
        let script = Script::new([act]);
        let mut call = get(Repeat::Idempotent);
        call.request.body = Body::Stream {
            length: 3,
            stream: stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed(),
        };
        let error = client(&script).call(call).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.is_temporary(), "whoever has the bytes may try again");
        assert_eq!(script.sent(), 1);
    }
}

#[test]
fn retry_after_takes_seconds_and_dates() {
    let now: jiff::Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
    let read = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_str(text).unwrap());
        retry_after(&headers, now)
    };
    assert_eq!(read("300"), Some(Duration::from_secs(300)));
    assert_eq!(read(" 0 "), Some(Duration::ZERO));
    assert_eq!(
        read("Sun, 06 Nov 1994 08:49:37 GMT"),
        Some(Duration::from_secs(30))
    );
    assert_eq!(
        read("Sun, 06 Nov 1994 08:40:00 GMT"),
        Some(Duration::ZERO),
        "a date in the past"
    );
    assert_eq!(read("soon"), None);
    assert_eq!(read("-5"), None);
    assert_eq!(retry_after(&HeaderMap::new(), now), None);
}

#[test]
fn what_is_logged_holds_no_secret() {
    let mut call = call_to(
        "https://ann:pw1@api.example/2/things?token=tok1#frag1",
        Repeat::Idempotent,
    );
    call.request
        .headers
        .insert("x-api-key", HeaderValue::from_static("key1"));
    call.request
        .headers
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer b1"));
    call.request
        .headers
        .insert("range", HeaderValue::from_static("bytes=0-3"));
    let text = format!("{call:?}");
    for secret in ["ann", "pw1", "tok1", "frag1", "key1", "b1"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("bytes=0-3") && text.contains("https://api.example/2/things?…"));
    assert_eq!(redact::origin(&call.request.url), "https://api.example");
}

proptest::proptest! {
    #[test]
    fn jitter_never_exceeds_its_bound(seed: u64, most in 0u64..100_000) {
        let most = Duration::from_millis(most);
        proptest::prop_assert!(crate::Jitter::seeded(seed).up_to(most) <= most);
    }
}
