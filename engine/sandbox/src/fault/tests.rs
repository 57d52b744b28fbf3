use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DIALECT: Dialect = Dialect {
    expired: || (StatusCode::UNAUTHORIZED, "expired").into_response(),
    limited: |limit| {
        let body = if limit.json { "{}" } else { "slow down" };
        (StatusCode::TOO_MANY_REQUESTS, body).into_response()
    },
};

fn faults(text: &str) -> Faults {
    Faults::new(text.parse().unwrap(), 7)
}

async fn call(faults: &Faults, route: &str, answer: Response) -> Response {
    let request = Request::new(Body::empty());
    faults
        .around(&DIALECT, route, request, |_| async { answer })
        .await
}

#[test]
fn a_profile_is_read_from_one_line() {
    let profile: FaultProfile =
        "latency=80,jitter=20,rate=25MB; route=files/upload,nth=3,do=reset-after; p=0.05,do=503-html"
            .parse()
            .unwrap();
    assert_eq!((profile.latency_ms, profile.jitter_ms), (80, 20));
    assert_eq!(profile.bytes_per_second, Some(25_000_000));
    assert_eq!(profile.rules[0].route.as_deref(), Some("files/upload"));
    assert_eq!(profile.rules[0].nth, Some(3));
    assert_eq!(profile.rules[0].kind, FaultKind::ResetAfter);
    let html = FaultKind::Status {
        code: 503,
        html: true,
    };
    assert_eq!(profile.rules[1].kind, html);
    assert_eq!(profile.rules[1].probability, Some(0.05));
    assert_eq!("".parse(), Ok(FaultProfile::default()));
}

#[test]
fn a_wrong_profile_says_what_is_wrong_and_where() {
    for (text, part) in [
        ("latency", "KEY=VALUE"),
        ("latency=fast", "latency needs a whole number"),
        ("delay=3", "unknown key \"delay\""),
        ("do=explode", "unknown fault \"explode\""),
        ("do=404", "unknown fault \"404\""),
        ("nth=0,do=503", "counted from 1"),
        ("p=1.5,do=503", "from 0 to 1"),
        ("rate=0", "at least one byte"),
        ("do=stall", "milliseconds"),
        ("do=reset-after:3", "takes no value"),
    ] {
        let error = text.parse::<FaultProfile>().unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(text), "{error}");
    }
}

#[test]
fn nth_every_and_times_count_only_calls_of_their_route() {
    let faults = faults("route=a/*,nth=2,do=401;route=b,every=3,times=1,do=reset-before");
    let fate: Vec<bool> = ["b", "a/x", "b", "a/y", "b", "a/x", "b", "b", "b"]
        .into_iter()
        .map(|route| faults.decide(route).is_some())
        .collect();
    assert_eq!(
        fate,
        [false, false, false, true, true, false, false, false, false]
    );
    assert_eq!(faults.fired(), [1, 1]);
}

#[test]
fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
    let fates = |seed| -> Vec<bool> {
        let faults = Faults::new("p=0.3,do=503".parse().unwrap(), seed);
        (0..200).map(|_| faults.decide("r").is_some()).collect()
    };
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
    let hits = fates(1).iter().filter(|hit| **hit).count();
    assert!((30..90).contains(&hits), "{hits} of 200 at 30 %");
}

#[tokio::test]
async fn limits_and_statuses_are_worded_by_the_service() {
    let faults = faults("nth=1,do=429-text:7;nth=2,do=401;nth=3,do=502-html;nth=4,do=500");
    let answer = || "fine".into_response();
    let limited = call(&faults, "r", answer()).await;
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(call(&faults, "r", answer()).await.status(), 401);
    let html = call(&faults, "r", answer()).await;
    assert_eq!(
        (
            html.status().as_u16(),
            html.headers()["content-type"].as_bytes()
        ),
        (502, &b"text/html"[..])
    );
    assert_eq!(call(&faults, "r", answer()).await.status(), 500);
    assert_eq!(call(&faults, "r", answer()).await.status(), 200);
}

#[tokio::test]
async fn a_status_after_is_an_answer_that_was_lost() {
    let faults = faults("do=503-after");
    let acted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let serve = |_| async {
        acted.store(true, std::sync::atomic::Ordering::SeqCst);
        "done".into_response()
    };
    let request = Request::new(Body::empty());
    let response = faults.around(&DIALECT, "r", request, serve).await;
    assert_eq!(response.status(), 503);
    assert!(acted.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test]
async fn one_byte_of_a_content_flips_and_arguments_stay_what_they_are() {
    let echo = |request: Request| async {
        let body = axum::body::to_bytes(request.into_body(), 100).await;
        body.unwrap().into_response()
    };
    let through = async |request: Request| {
        let response = faults("do=corrupt")
            .around(&DIALECT, "r", request, echo)
            .await;
        axum::body::to_bytes(response.into_body(), 100)
            .await
            .unwrap()
    };
    // Sent, and flipped once, not again on the way back.
    assert_eq!(through(Request::new(Body::from("abc"))).await, "`bc");
    let json = Request::post("/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .unwrap();
    let answer = call(&faults("do=corrupt"), "r", "abc".into_response()).await;
    assert_eq!(answer.body().size_hint().exact(), Some(3));
    let answer = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
    assert_eq!(answer, "`bc");
    let answer = axum::Json(serde_json::json!({})).into_response();
    let unchanged = faults("do=corrupt")
        .around(&DIALECT, "r", json, |_| async { answer })
        .await;
    let answer = axum::body::to_bytes(unchanged.into_body(), 100)
        .await
        .unwrap();
    assert_eq!(answer, "{}");
}

#[tokio::test]
async fn a_fault_counts_as_acted_only_where_it_had_something_to_damage() {
    let faults = faults("do=corrupt");
    let answer = axum::Json(serde_json::json!({})).into_response();
    call(&faults, "r", answer).await;
    assert_eq!((faults.fired(), faults.acted()), (vec![1], BTreeMap::new()));
    call(&faults, "r", "abc".into_response()).await;
    assert_eq!(faults.acted(), BTreeMap::from([("corrupt".to_owned(), 1)]));
}

#[tokio::test]
async fn a_service_fault_reaches_the_handler() {
    let faults = faults("do=service:cursor-reset");
    let response = faults
        .around(
            &DIALECT,
            "r",
            Request::new(Body::empty()),
            |request| async move {
                let fault = request.extensions().get::<ServiceFault>().cloned();
                fault
                    .map_or_else(String::new, |f| f.0.to_string())
                    .into_response()
            },
        )
        .await;
    let body = axum::body::to_bytes(response.into_body(), 100)
        .await
        .unwrap();
    assert_eq!(body, "cursor-reset");
}

#[tokio::test]
async fn unknown_members_are_added_to_objects_and_to_the_objects_in_lists() {
    let faults = faults("do=unknown-member");
    let json = || axum::Json(serde_json::json!({"entries": [{"a": 1}, 2], "b": null}));
    let response = call(&faults, "r", json().into_response()).await;
    let body = axum::body::to_bytes(response.into_body(), 1000)
        .await
        .unwrap();
    let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["zz_flag"], true);
    assert_eq!(value["entries"][0]["zz_flag"], true);
    assert_eq!(value["entries"][1], 2);
    assert_eq!(value["b"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_wrong_range_is_off_by_one() {
    let faults = faults("do=wrong-range");
    let answer = (
        StatusCode::PARTIAL_CONTENT,
        [(header::CONTENT_RANGE, "bytes 4-7/10")],
        "abcd",
    );
    let response = call(&faults, "r", answer.into_response()).await;
    assert_eq!(response.headers()["content-range"], "bytes 5-7/10");
}

#[tokio::test(start_paused = true)]
async fn latency_and_rate_take_the_time_they_say() {
    let faults = faults("latency=80,rate=1000");
    let start = Instant::now();
    let response = call(&faults, "r", "x".repeat(500).into_response()).await;
    assert_eq!(start.elapsed().as_millis(), 80);
    assert_eq!(response.headers()["content-length"], "500");
    axum::body::to_bytes(response.into_body(), 1000)
        .await
        .unwrap();
    let took = start.elapsed().as_millis();
    assert!((580..=582).contains(&took), "{took} ms");
}

#[tokio::test(start_paused = true)]
async fn calls_share_the_path_and_each_keeps_its_own_rate() {
    let faults = faults("rate=1000,path=1500");
    let start = Instant::now();
    let body = async || {
        let response = call(&faults, "r", "x".repeat(1500).into_response()).await;
        axum::body::to_bytes(response.into_body(), 2000)
            .await
            .unwrap();
        start.elapsed().as_millis()
    };
    let took = tokio::join!(body(), body());
    let (first, last) = (took.0.min(took.1), took.0.max(took.1));
    assert!((1500..=1502).contains(&first), "{first} ms: its own rate");
    assert!(
        (2000..=2002).contains(&last),
        "{last} ms: 3,000 bytes over the path"
    );
}

/// Everything a plain TCP client receives for one request to a server that plays the profile.
async fn over_tcp(profile: &str) -> (Vec<u8>, bool) {
    let faults = faults(profile);
    let acted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let witness = Arc::clone(&acted);
    let app = Router::new().fallback(move |request: Request| async move {
        faults
            .around(&DIALECT, "r", request, |_| async move {
                witness.store(true, std::sync::atomic::Ordering::SeqCst);
                "0123456789".into_response()
            })
            .await
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut received = Vec::new();
    let read = client.read_to_end(&mut received);
    // A reset connection may end the read with an error; what matters is what came before.
    let ended = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert!(ended.is_ok(), "the connection must end");
    server.abort();
    (received, acted.load(std::sync::atomic::Ordering::SeqCst))
}

#[tokio::test]
async fn a_reset_closes_the_connection_without_a_byte_of_an_answer() {
    assert_eq!(over_tcp("do=reset-before").await, (Vec::new(), false));
    assert_eq!(over_tcp("do=reset-after").await, (Vec::new(), true));
}

#[tokio::test]
async fn a_truncated_body_ends_before_its_stated_length() {
    let (received, acted) = over_tcp("do=truncate").await;
    let text = String::from_utf8(received).unwrap();
    assert!(acted && text.contains("content-length: 10"), "{text}");
    assert!(text.ends_with("\r\n\r\n01234"), "{text}");
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let faults = faults("do=429:3");
    let app = Router::new().fallback(move |request: Request| async move {
        let serve = |_| async { "unreached".into_response() };
        faults.around(&DIALECT, "r", request, serve).await
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = TcpStream::connect(address).await.unwrap();
    let length = 16 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![0; length]).await.unwrap();
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 429");
    server.abort();
}
