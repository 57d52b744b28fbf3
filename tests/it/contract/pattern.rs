//! Values that no two runs share: placeholders in fixtures, matched by pattern and then remembered.
//!
//! `"<rev>"` matches whatever looks like a revision; where it stands again, it must be the same one. A client
//! is given the sample. `{"<some>": […]}` is a list that holds at least these, `{"<with>": {…}}` an object that
//! has at least these members.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

/// Name, pattern and sample of every placeholder; numbers match by their digits.
const PLACEHOLDERS: &[(&str, &str, &str)] = &[
    (
        "account",
        r"dbid:[\w-]{35}",
        r#""dbid:AAZq1wExampleAccountIdentifier00000""#,
    ),
    ("id", r"id:[\w-]{20,}", r#""id:AbCdEfGhIjAAAAAAAAAAAQ""#),
    ("id2", r"id:[\w-]{20,}", r#""id:AbCdEfGhIjAAAAAAAAAAAw""#),
    ("id3", r"id:[\w-]{20,}", r#""id:AbCdEfGhIjAAAAAAAAAAA3""#),
    ("folder", r"id:[\w-]{20,}", r#""id:AbCdEfGhIjAAAAAAAAAAAg""#),
    (
        "rev",
        r"[0-9a-f]{9,}",
        r#""0164aa10c2e3f5000000012ab34cd56""#,
    ),
    (
        "rev2",
        r"[0-9a-f]{9,}",
        r#""0164aa10c2e3f5000000012ab34cd57""#,
    ),
    (
        "rev3",
        r"[0-9a-f]{9,}",
        r#""0164aa10c2e3f5000000012ab34cd58""#,
    ),
    ("cursor", r"\S{20,}", r#""AAHxExampleCursorOfAListing-1""#),
    ("cursor2", r"\S{20,}", r#""AAHxExampleCursorOfAListing-2""#),
    (
        "session",
        r"\S{10,}",
        r#""pid_upload_session:AAB1ExampleExampleExampleExampleExampleExampleEx""#,
    ),
    (
        "session2",
        r"\S{10,}",
        r#""pid_upload_session:AAB2ExampleExampleExampleExampleExampleExampleEx""#,
    ),
    (
        "time",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        r#""2026-03-01T08:31:12Z""#,
    ),
    (
        "template",
        r"ptid:\S{10,}",
        r#""ptid:1a5n2i6d3OYEAAAAAAAAAYa""#,
    ),
    ("home", r"\d+", r#""41""#),
    ("root", r"\d+", r#""77""#),
    ("token", r"sl\.\S{100,}", r#""sl.uExampleAccessToken""#),
    (
        "bearer",
        r"Bearer \S+",
        r#""Bearer sl.uExampleAccessToken""#,
    ),
    ("key", r"\S+", r#""k3yOfAnExampleApp""#),
    ("secret", r"\S+", r#""s3cretOfAnExample""#),
    ("refresh", r"\S+", r#""ExampleRefreshToken""#),
    ("text", r"(?s).+", r#""Said for people""#),
    ("name", r".+", r#""Sandbox""#),
    ("email", r"\S+@\S+", r#""sandbox@example.com""#),
    (
        "link",
        r"https?://\S+",
        r#""https://www.dropbox.com/referrals/example""#,
    ),
    ("asset", r"[1-9]\d*", "55"),
    ("asset2", r"[1-9]\d*", "56"),
    ("version", r"[1-9]\d*", "1"),
    ("version2", r"[1-9]\d*", "2"),
    ("user", r"[1-9]\d*", "2"),
    ("collection", r"[1-9]\d*", "4711"),
    ("collectionType", r"[1-9]\d*", "1"),
    (
        "instant",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
        r#""2026-03-01T08:31:12.125Z""#,
    ),
    (
        "instant2",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
        r#""2026-03-01T08:31:13.250Z""#,
    ),
    (
        "uploadUrl",
        r"https?://\S+",
        r#""https://up.example.com/9f1c""#,
    ),
    (
        "downloadUrl",
        r"https?://\S+",
        r#""https://up.example.com/d/77ab""#,
    ),
    ("handle", r"\S+", r#""h-5c1e""#),
    (
        "uploadUrl2",
        r"https?://\S+",
        r#""https://up.example.com/9f1d""#,
    ),
    ("handle2", r"\S+", r#""h-5c1f""#),
    ("count", r"\d+", "1"),
    ("asset_text", r"\d+", r#""55""#),
    ("version_text", r"\d+", r#""1""#),
    ("version2_text", r"\d+", r#""2""#),
    ("key2", r"\S+", r#""example-key""#),
];

/// What placeholders stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings(BTreeMap<String, Value>);

fn known(text: &str) -> Option<(&'static str, &'static str, Value)> {
    let name = text.strip_prefix('<')?.strip_suffix('>')?;
    let (name, pattern, sample) = PLACEHOLDERS.iter().find(|known| known.0 == name)?;
    Some((name, pattern, serde_json::from_str(sample).unwrap()))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn wrapped<'a>(value: &'a Value, operator: &str) -> Option<&'a Value> {
    value
        .as_object()
        .filter(|map| map.len() == 1)?
        .get(operator)
}

impl Bindings {
    pub(super) fn bind(&mut self, placeholder: &str, value: impl Into<Value>) {
        let (name, ..) = known(placeholder).unwrap_or_else(|| panic!("{placeholder} is unknown"));
        self.0.insert(name.to_owned(), value.into());
    }

    fn get(&self, name: &str, sample: &Value) -> Value {
        self.0.get(name).unwrap_or(sample).clone()
    }

    /// A text with every placeholder in it replaced.
    pub(super) fn text(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, _, sample) in PLACEHOLDERS {
            let marker = format!("<{name}>");
            if filled.contains(&marker) {
                let sample = serde_json::from_str(sample).unwrap();
                filled = filled.replace(&marker, &plain(&self.get(name, &sample)));
            }
        }
        filled
    }

    /// A value as it is on the wire: what is bound, else the sample.
    pub(super) fn fill(&self, value: &Value) -> Value {
        if let Some(list) = wrapped(value, "<some>").or(wrapped(value, "<with>")) {
            return self.fill(list);
        }
        match value {
            Value::String(text) => match known(text) {
                Some((name, _, sample)) => self.get(name, &sample),
                None => self.text(text).into(),
            },
            Value::Array(list) => list.iter().map(|item| self.fill(item)).collect(),
            Value::Object(map) => {
                let filled = map
                    .iter()
                    .map(|(name, item)| (name.clone(), self.fill(item)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }

    /// Compares, and binds placeholders that stand here for the first time. The error says where.
    pub(super) fn compare(&mut self, wanted: &Value, got: &Value, at: &str) -> Result<(), String> {
        if let Some(some) = wrapped(wanted, "<some>").and_then(Value::as_array) {
            return some.iter().try_for_each(|item| self.find(item, got, at));
        }
        if let Some(with) = wrapped(wanted, "<with>").and_then(Value::as_object) {
            let part = with
                .keys()
                .filter_map(|name| Some((name.clone(), got.get(name)?.clone())));
            let part = Value::Object(part.collect());
            return self.compare(&Value::Object(with.clone()), &part, at);
        }
        match (wanted, got) {
            (Value::String(text), got) if known(text).is_some() => self.take(text, got, at),
            (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
                let mut pairs = wanted.iter().zip(got).enumerate();
                pairs.try_for_each(|(n, (wanted, got))| {
                    self.compare(wanted, got, &format!("{at}[{n}]"))
                })
            }
            (Value::Object(wanted), Value::Object(got)) => self.members(wanted, got, at),
            (Value::String(text), Value::String(got)) if self.text(text) == *got => Ok(()),
            (wanted, got) if wanted == got => Ok(()),
            (wanted, got) => Err(format!("{at}: {got} instead of {wanted}")),
        }
    }

    fn members(
        &mut self,
        wanted: &Map<String, Value>,
        got: &Map<String, Value>,
        at: &str,
    ) -> Result<(), String> {
        let names = |map: &Map<String, Value>| {
            map.keys()
                .cloned()
                .collect::<std::collections::BTreeSet<_>>()
        };
        let (want, have) = (names(wanted), names(got));
        if want != have {
            let missing: Vec<_> = want.difference(&have).collect();
            let excess: Vec<_> = have.difference(&want).collect();
            return Err(format!("{at}: without {missing:?}, but with {excess:?}"));
        }
        let mut each = wanted.iter();
        each.try_for_each(|(name, value)| self.compare(value, &got[name], &format!("{at}.{name}")))
    }

    fn find(&mut self, item: &Value, got: &Value, at: &str) -> Result<(), String> {
        let list = got
            .as_array()
            .ok_or_else(|| format!("{at}: {got} is no list"))?;
        let mut nearest = format!("{at}: the list is empty");
        for candidate in list {
            let mut bindings = self.clone();
            match bindings.compare(item, candidate, &format!("{at}[…]")) {
                Ok(()) => {
                    *self = bindings;
                    return Ok(());
                }
                Err(why) => nearest = why,
            }
        }
        Err(format!("{at} has no {item}; the last one: {nearest}"))
    }

    fn take(&mut self, placeholder: &str, got: &Value, at: &str) -> Result<(), String> {
        let Some((name, pattern, sample)) = known(placeholder) else {
            return Err(format!("{at}: {placeholder} is unknown"));
        };
        if let Some(bound) = self.0.get(name) {
            return match bound == got {
                true => Ok(()),
                false => Err(format!(
                    "{at}: {got} instead of {placeholder}, which is {bound}"
                )),
            };
        }
        let fits = Regex::new(&format!("^(?:{pattern})$"))
            .unwrap()
            .is_match(&plain(got));
        if !fits || got.is_string() != sample.is_string() {
            return Err(format!("{at}: {got} is no {placeholder}"));
        }
        // What is said for people has no identity, and times may or may not be equal.
        if !matches!(name, "text" | "name" | "time" | "instant") {
            self.0.insert(name.to_owned(), got.clone());
        }
        Ok(())
    }
}

#[test]
fn a_placeholder_binds_once_and_members_are_exact() {
    let mut bindings = Bindings::default();
    let wanted = json!({"a": "<rev>", "b": ["<rev>"], "c": null});
    let compare = |bindings: &mut Bindings, got| bindings.compare(&wanted, &got, "$");
    assert!(
        compare(
            &mut bindings,
            json!({"a": "0123456789", "b": ["0123456789"], "c": null})
        )
        .is_ok()
    );
    assert!(
        compare(
            &mut bindings,
            json!({"a": "0123456789", "b": ["0123456780"], "c": null})
        )
        .is_err()
    );
    for other in [
        json!({"a": "xyz", "b": ["xyz"], "c": null}),
        json!({"a": "0123456789", "b": ["0123456789"]}),
        json!({"a": "0123456789", "b": ["0123456789"], "c": null, "d": 1}),
        json!({"a": "0123456789", "b": [], "c": null}),
        json!({"a": 123_456_789, "b": [123_456_789], "c": null}),
    ] {
        assert!(
            compare(&mut Bindings::default(), other.clone()).is_err(),
            "{other}"
        );
    }
}
