//! Fixtures as they are in the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::pattern::Bindings;

/// One call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixture {
    /// In its file; outside, the file's name comes before it.
    pub(super) name: String,
    /// Fixtures that are played before, on the same account.
    #[serde(default)]
    pub(super) after: Vec<String>,
    /// What is arranged in the sandbox right before the call.
    #[serde(default)]
    pub(super) given: Vec<Value>,
    /// `client` where the sandbox cannot be brought to say this, `sandbox` where our client never asks so.
    #[serde(default)]
    pub(super) only: Option<Only>,
    /// What reaches the sandbox instead of the request's bytes.
    #[serde(default)]
    pub(super) damaged: Option<Content>,
    /// Absent: that of the file's first fixture.
    #[serde(default)]
    pub(super) request: Option<Call>,
    pub(super) response: Answer,
    /// Whose answers our client gets to its other calls, where several fixtures have one request.
    #[serde(default)]
    pub(super) beside: Vec<String>,
    /// What our client makes of it; an error may name what its message must.
    #[serde(default)]
    pub(super) means: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Only {
    Client,
    Sandbox,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) method: String,
    /// `api`, `content`, `notify`, or `transfer`, whose URLs are whole and come from earlier answers.
    pub(super) host: String,
    pub(super) path: String,
    /// Names may repeat; their order does not matter.
    #[serde(default)]
    pub(super) query: Vec<(String, String)>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// JSON in headers.
    #[serde(default)]
    pub(super) json_headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) body: Content,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) json_headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) body: Content,
}

/// What a body holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(super) enum Content {
    #[default]
    Empty,
    Json(Value),
    Text(String),
    /// The same text so many times.
    Repeat(String, usize),
    /// Pairs; their order does not matter.
    Form(BTreeMap<String, String>),
}

impl Content {
    pub(super) fn bytes(&self, bindings: &Bindings) -> Bytes {
        match self {
            Content::Empty => Bytes::new(),
            Content::Json(value) => bindings.fill(value).to_string().into(),
            Content::Text(text) => bindings.text(text).into(),
            Content::Repeat(text, times) => text.repeat(*times).into(),
            Content::Form(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|(name, value)| (name, bindings.text(value)));
                url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(pairs)
                    .finish()
                    .into()
            }
        }
    }

    /// Compares bytes with this; placeholders are bound.
    pub(super) fn compare(&self, got: &[u8], bindings: &mut Bindings) -> Result<(), String> {
        let shown = || String::from_utf8_lossy(&got[..got.len().min(600)]).into_owned();
        match self {
            Content::Json(wanted) => {
                let got =
                    serde_json::from_slice(got).map_err(|error| format!("{error}: {}", shown()))?;
                bindings.compare(wanted, &got, "body")
            }
            Content::Text(wanted) => {
                let got = std::str::from_utf8(got).map_err(|error| error.to_string())?;
                bindings.compare(&Value::from(wanted.as_str()), &Value::from(got), "body")
            }
            Content::Form(wanted) => {
                let got: BTreeMap<String, String> =
                    url::form_urlencoded::parse(got).into_owned().collect();
                let text = |pairs: &BTreeMap<String, String>| serde_json::to_value(pairs).unwrap();
                bindings.compare(&text(wanted), &text(&got), "body")
            }
            Content::Empty | Content::Repeat(..) => match self.bytes(bindings) == got {
                true => Ok(()),
                false => Err(format!("body: {} bytes: {}", got.len(), shown())),
            },
        }
    }
}

/// Every fixture of a service, by full name.
#[derive(Debug)]
pub(super) struct Fixtures(Vec<Fixture>);

impl Fixtures {
    pub(super) fn read(service: &str) -> Fixtures {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(service);
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let mut all = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let fixtures: Vec<Fixture> = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let first = fixtures[0].request.clone();
            all.extend(fixtures.into_iter().map(|fixture| Fixture {
                name: format!("{stem}/{}", fixture.name),
                request: fixture.request.or_else(|| first.clone()),
                ..fixture
            }));
        }
        Fixtures(all)
    }

    pub(super) fn all(&self) -> &[Fixture] {
        &self.0
    }

    pub(super) fn get(&self, name: &str) -> &Fixture {
        let found = self.0.iter().find(|fixture| fixture.name == name);
        found.unwrap_or_else(|| panic!("there is no fixture {name}"))
    }
}

impl Fixture {
    pub(super) fn request(&self) -> &Call {
        self.request
            .as_ref()
            .expect("the first fixture of a file has one")
    }

    /// The file's name.
    pub(super) fn group(&self) -> &str {
        self.name.split_once('/').expect("names have a group").0
    }
}
