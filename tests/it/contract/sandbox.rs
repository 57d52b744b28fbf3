//! The sandbox answers every fixture's request as the fixture says.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

use super::fixture::{Fixture, Fixtures, Only};
use super::pattern::Bindings;

/// An emulated service, freshly started for one fixture.
pub(super) trait Emulator: Sized {
    /// Starts it with these fault rules.
    fn start(faults: &str, bindings: &mut Bindings) -> Self;
    /// Arranges one thing.
    fn arrange(&self, given: &Value, bindings: &mut Bindings);
    /// What serves a host.
    fn router(&self, host: &str) -> Router;
    /// The root of a host's URLs.
    fn base(&self, host: &str) -> &'static str;
    /// What must hold of every answer beyond what the fixture says.
    fn check_answer(&self, body: &[u8]);
}

/// Plays every fixture; all that fail are reported at once.
pub(super) async fn hold<E: Emulator>(service: &str) {
    let fixtures = Fixtures::read(service);
    let mut wrong = Vec::new();
    let mut played = 0;
    for fixture in fixtures.all() {
        if fixture.only == Some(Only::Client) {
            continue;
        }
        let faults: Vec<&str> = fixture
            .given
            .iter()
            .filter_map(|given| given["fault"].as_str())
            .collect();
        let mut bindings = Bindings::default();
        let emulator = E::start(&faults.join(";"), &mut bindings);
        let held = Box::pin(play(&emulator, &fixtures, fixture, &mut bindings)).await;
        wrong.extend(held.err().map(|why| format!("{}: {why}", fixture.name)));
        played += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {played} are answered otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(played > 15, "only {played} fixtures");
}

async fn play<E: Emulator>(
    emulator: &E,
    fixtures: &Fixtures,
    fixture: &Fixture,
    bindings: &mut Bindings,
) -> Result<(), String> {
    for before in &fixture.after {
        let before = fixtures.get(before);
        let played = Box::pin(play(emulator, fixtures, before, bindings)).await;
        played.map_err(|why| format!("before it, {}: {why}", before.name))?;
    }
    for given in fixture
        .given
        .iter()
        .filter(|given| given.get("fault").is_none())
    {
        emulator.arrange(given, bindings);
    }
    let response = send(emulator, fixture, bindings).await;
    let (head, body) = response.into_parts();
    let body: Bytes =
        match tokio::time::timeout(Duration::from_secs(10), to_bytes(body, 64 << 20)).await {
            Ok(body) => body.map_err(|error| error.to_string())?,
            Err(_) => return Err("the answer does not end".to_owned()),
        };
    let wanted = &fixture.response;
    if head.status.as_u16() != wanted.status {
        return Err(format!(
            "status {}: {}",
            head.status,
            String::from_utf8_lossy(&body)
        ));
    }
    emulator.check_answer(&body);
    wanted.body.compare(&body, bindings)?;
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("no header")
    };
    for (name, wanted) in &wanted.json_headers {
        let text = header(name);
        if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(format!("{name} is not safe for a header: {text}"));
        }
        let value = serde_json::from_str(text).map_err(|error| format!("{name}: {error}"))?;
        bindings.compare(wanted, &value, name)?;
    }
    for (name, wanted) in &wanted.headers {
        bindings.compare(
            &Value::from(wanted.as_str()),
            &Value::from(header(name)),
            name,
        )?;
    }
    Ok(())
}

async fn send<E: Emulator>(emulator: &E, fixture: &Fixture, bindings: &Bindings) -> Response {
    let call = fixture.request();
    let path = bindings.text(&call.path);
    let mut url = match call.host.as_str() {
        "transfer" => url::Url::parse(&path).unwrap(),
        host => url::Url::parse(&format!("{}{path}", emulator.base(host))).unwrap(),
    };
    if !call.query.is_empty() {
        url.query_pairs_mut().extend_pairs(
            call.query
                .iter()
                .map(|(name, value)| (name, bindings.text(value))),
        );
    }
    let bytes = fixture
        .damaged
        .as_ref()
        .unwrap_or(&call.body)
        .bytes(bindings);
    let mut request = axum::http::Request::builder()
        .method(call.method.as_str())
        .uri(&url[url::Position::BeforePath..])
        .header("content-length", bytes.len());
    for (name, value) in &call.headers {
        request = request.header(name, bindings.text(value));
    }
    for (name, value) in &call.json_headers {
        request = request.header(name, bindings.fill(value).to_string());
    }
    let request = request.body(Body::from(bytes)).unwrap();
    emulator.router(&call.host).oneshot(request).await.unwrap()
}
