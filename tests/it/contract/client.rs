//! The client sends every fixture's request, and makes of its answer what the fixture says.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use windlass_core::{Error, Status};
use windlass_http::{Body, Request, Response, SendError, Transport};

use super::fixture::{Call, Fixture, Fixtures, Only};
use super::pattern::Bindings;

/// A service that knows nothing but the fixtures: it answers a request that equals one of theirs, and takes
/// note of any other. The fixture under test goes before the others.
pub(super) struct Scripted {
    tested: Fixture,
    others: Vec<Fixture>,
    base: fn(&str) -> &'static str,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    hits: u32,
    strange: Vec<String>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scripted({})", self.tested.name)
    }
}

/// Headers that a call has only where its fixture has them: they change the answer, or must not leak.
const SENSITIVE: [&str; 5] = [
    "range",
    "dropbox-api-arg",
    "dropbox-api-path-root",
    "authorization",
    "x-api-key",
];

/// What came, with its body complete.
struct Came {
    request: Request,
    body: Bytes,
}

impl Scripted {
    pub(super) fn new(
        fixtures: &Fixtures,
        name: &str,
        base: fn(&str) -> &'static str,
    ) -> Arc<Self> {
        let tested = fixtures.get(name).clone();
        let beside = tested.beside.iter().map(|name| fixtures.get(name));
        let usual = fixtures.all().iter();
        let usual = usual
            .filter(|f| (200..300).contains(&f.response.status) && f.only != Some(Only::Sandbox));
        Arc::new(Scripted {
            others: beside.chain(usual).cloned().collect(),
            tested,
            base,
            asked: Mutex::default(),
        })
    }

    /// Asserts that the fixture's request was sent, and nothing that is in no fixture.
    pub(super) fn check(&self) -> Result<(), String> {
        let asked = self.asked.lock().unwrap();
        if let Some(strange) = asked.strange.first() {
            return Err(format!("the client sent what is in no fixture: {strange}"));
        }
        match asked.hits {
            0 => Err("the client never sent its request".to_owned()),
            _ => Ok(()),
        }
    }

    fn same(&self, call: &Call, came: &Came) -> Result<(), String> {
        let mut bindings = Bindings::default();
        let request = &came.request;
        let mut url = request.url.clone();
        url.set_query(None);
        let path = bindings.text(&call.path);
        let wanted = match call.host.as_str() {
            "transfer" => path,
            host => format!("{}{path}", (self.base)(host)),
        };
        if call.method != request.method.as_str() || url.as_str() != wanted {
            return Err(String::new());
        }
        let mut query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        let mut wanted: Vec<_> = call
            .query
            .iter()
            .map(|(name, value)| (name.clone(), bindings.text(value)))
            .collect();
        query.sort();
        wanted.sort();
        if query != wanted {
            return Err(format!("query {query:?}"));
        }
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        for (name, wanted) in &call.headers {
            let wanted = bindings.text(wanted);
            if header(name) != Some(&wanted) {
                return Err(format!("{name}: {:?} instead of {wanted:?}", header(name)));
            }
        }
        for (name, wanted) in &call.json_headers {
            let text = header(name).ok_or_else(|| format!("no {name}"))?;
            let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let wanted = bindings.fill(wanted);
            bindings.compare(&wanted, &value, name)?;
        }
        for name in SENSITIVE {
            let expected = call.headers.contains_key(name) || call.json_headers.contains_key(name);
            if !expected && header(name).is_some() {
                return Err(format!("{name} was not asked for: {:?}", header(name)));
            }
        }
        call.body.compare(&came.body, &mut sample_bindings(call))
    }

    fn find(&self, came: &Came) -> Option<&Fixture> {
        let mut near = Vec::new();
        let mut candidates = std::iter::once(&self.tested).chain(&self.others);
        let found = candidates.find(|fixture| match self.same(fixture.request(), came) {
            Ok(()) => true,
            Err(why) => {
                near.extend((!why.is_empty()).then(|| format!("{}: {why}", fixture.name)));
                false
            }
        });
        let mut asked = self.asked.lock().unwrap();
        match found {
            Some(fixture) if fixture.name == self.tested.name => asked.hits += 1,
            Some(_) => {}
            None => {
                let body = String::from_utf8_lossy(&came.body[..came.body.len().min(300)]);
                let request = &came.request;
                asked.strange.push(format!(
                    "{} {} {body}\n    not {}",
                    request.method,
                    request.url,
                    near.join("\n    not ")
                ));
            }
        }
        found
    }
}

/// A request's placeholders are the samples, so that another value is a difference.
fn sample_bindings(call: &Call) -> Bindings {
    let mut bindings = Bindings::default();
    let mut text = format!("{:?}", call.body);
    while let Some(start) = text.find('<') {
        text.drain(..start);
        let end = text.find('>').map_or(text.len(), |end| end + 1);
        let marker: String = text.drain(..end).collect();
        let sample = bindings.fill(&Value::from(marker.as_str()));
        if sample != marker.as_str() {
            bindings.bind(&marker, sample);
        }
    }
    bindings
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, mut request: Request) -> Result<Response, SendError> {
        let body = match std::mem::replace(&mut request.body, Body::Empty) {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => bytes,
            Body::Pieces(pieces) => pieces.join(),
            Body::Stream { length, mut stream } => {
                let mut all = BytesMut::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(
                        &piece.map_err(|error| SendError::answered(error.to_string()))?,
                    );
                }
                assert_eq!(all.len() as u64, length, "the length that was announced");
                all.freeze()
            }
        };
        let came = Came { request, body };
        let Some(fixture) = self.find(&came) else {
            return Err(SendError::unsent("this is in no fixture"));
        };
        let bindings = Bindings::default();
        let answer = &fixture.response;
        let texts = answer
            .headers
            .iter()
            .map(|(name, value)| (name, bindings.text(value)));
        let values = answer
            .json_headers
            .iter()
            .map(|(name, value)| (name, bindings.fill(value).to_string()));
        Ok(Response {
            status: StatusCode::from_u16(answer.status).unwrap(),
            headers: texts
                .chain(values)
                .map(|(name, value)| {
                    (
                        name.parse::<HeaderName>().unwrap(),
                        HeaderValue::try_from(value).unwrap(),
                    )
                })
                .collect(),
            body: stream::iter([Ok(answer.body.bytes(&bindings))]).boxed(),
        })
    }
}

/// What came of an operation, as fixtures state it: a value, or the kind and the status of an error.
pub(super) fn outcome(result: Result<Value, Error>) -> Value {
    match result {
        Ok(value) => value,
        Err(error) => {
            let status = match error.status() {
                Status::Permanent => "permanent",
                Status::Temporary => "temporary",
                Status::Persistent => "persistent",
            };
            json!({ "error": format!("{} {status}", error.kind()) })
        }
    }
}

/// Holds an outcome and the requests that led to it against the fixture.
pub(super) fn judge(
    fixture: &Fixture,
    script: &Scripted,
    result: Result<Value, Error>,
) -> Result<(), String> {
    let told = format!("{result:?}");
    let mut meant = Bindings::default().fill(&fixture.means);
    if let Some(name) = meant
        .as_object_mut()
        .and_then(|meant| meant.remove("naming"))
        && !name.as_str().is_some_and(|name| told.contains(name))
    {
        return Err(format!(
            "{}: the error does not name {name}: {told}",
            fixture.name
        ));
    }
    script
        .check()
        .and_then(|()| Bindings::default().compare(&meant, &outcome(result), "means"))
        .map_err(|why| format!("{}: {why}\n    outcome: {told}", fixture.name))
}
