//! Reading requests strictly: what a call does not know is refused by name, never ignored.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{ApiError, Result};

/// Largest page that may be asked for.
pub(super) const PAGE_SIZE_MAX: u64 = 200;

/// Page size when none is asked for.
const PAGE_SIZE_DEFAULT: u64 = 20;

/// An id on the wire: a positive whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(pub(super) u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match i64::deserialize(deserializer)? {
            id @ 1.. => Ok(Id(id.unsigned_abs())),
            id => Err(D::Error::custom(format!(
                "{id} is not an id: ids start at 1"
            ))),
        }
    }
}

/// An instant on the wire: ISO-8601 with an offset, or milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        instant(&value).map(Instant).map_err(D::Error::custom)
    }
}

/// Reads an instant from JSON.
pub(super) fn instant(value: &Value) -> Result<Timestamp, String> {
    let refuse = || format!("{value} is not a date-time such as \"2026-03-01T00:00:00Z\"");
    match value {
        Value::String(text) => text.parse().map_err(|_| refuse()),
        Value::Number(number) => {
            let millis = number.as_i64().ok_or_else(refuse)?;
            Timestamp::from_millisecond(millis).map_err(|_| refuse())
        }
        _ => Err(refuse()),
    }
}

/// Reads a body. Unknown members, wrong types and missing members are 400 with their names.
pub(super) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::malformed(format!("the request body: {error}")))
}

/// Reads a part of a body that was already taken apart.
pub(super) fn part<T: DeserializeOwned>(value: Value, what: &str) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|error| ApiError::argument(what, "MALFORMED", format!("{what}: {error}")))
}

/// Reads an id from a path.
pub(super) fn path_id(text: &str, name: &'static str) -> Result<u64> {
    match text.parse::<i64>() {
        Ok(id @ 1..) => Ok(id.unsigned_abs()),
        _ => {
            let message = format!("{text:?} is not an id: ids are whole numbers from 1");
            Err(ApiError::argument(name, "ID", message))
        }
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    page: u64,
    size: u64,
}

impl Page {
    pub(super) fn new(page: Option<i64>, size: Option<i64>) -> Result<Self> {
        let page = page
            .map_or(Ok(1), u64::try_from)
            .ok()
            .filter(|page| *page >= 1);
        let page = page.ok_or_else(|| ApiError::argument("page", "RANGE", "page starts at 1"))?;
        let size = size.map_or(Ok(PAGE_SIZE_DEFAULT), u64::try_from);
        let size = size.ok().filter(|size| (1..=PAGE_SIZE_MAX).contains(size));
        let size = size.ok_or_else(|| {
            ApiError::argument("size", "RANGE", format!("size is 1 to {PAGE_SIZE_MAX}"))
        })?;
        Ok(Page { page, size })
    }

    /// The envelope around this page of a list; `render` is called for what is on the page only.
    pub(super) fn envelope<T>(self, all: &[T], render: impl FnMut(&T) -> Value) -> Value {
        let skip = (self.page - 1).saturating_mul(self.size);
        let start = usize::try_from(skip).unwrap_or(usize::MAX).min(all.len());
        let end = start.saturating_add(self.size as usize).min(all.len());
        let content: Vec<Value> = all[start..end].iter().map(render).collect();
        serde_json::json!({
            "totalElements": all.len(),
            "hasNext": end < all.len(),
            "content": content,
        })
    }
}

/// A query string whose names are all known to the call.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// One without parameters.
    pub(super) fn none() -> Self {
        Query(Vec::new())
    }

    /// Refuses names that are not in `allowed`.
    pub(super) fn parse(raw: &str, allowed: &[&str]) -> Result<Self> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(raw.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        match pairs
            .iter()
            .find(|(name, _)| !allowed.contains(&name.as_str()))
        {
            Some((name, _)) => {
                let message = format!("unknown query parameter {name:?}, expected {allowed:?}");
                Err(ApiError::argument(name.as_str(), "UNKNOWN", message))
            }
            None => Ok(Query(pairs)),
        }
    }

    /// A parameter that may be given once.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>> {
        let mut found = self.0.iter().filter(|(given, _)| given == name);
        let first = found.next().map(|(_, value)| value.as_str());
        if found.next().is_some() {
            let message = format!("{name} is given more than once");
            return Err(ApiError::argument(name, "REPEATED", message));
        }
        Ok(first)
    }

    /// A parameter that may be repeated or hold a list with commas.
    pub(super) fn many(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(given, _)| given == name)
            .flat_map(|(_, value)| value.split(','))
    }

    /// Each occurrence of a parameter as it is, commas included.
    pub(super) fn each(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let given = self.0.iter().filter(move |(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    pub(super) fn id(&self, name: &'static str) -> Result<Option<u64>> {
        self.one(name)?.map(|text| path_id(text, name)).transpose()
    }

    pub(super) fn ids(&self, name: &'static str) -> Result<Option<BTreeSet<u64>>> {
        let ids = self.many(name).map(|text| path_id(text, name));
        let ids = ids.collect::<Result<BTreeSet<u64>>>()?;
        Ok((!ids.is_empty()).then_some(ids))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool> {
        Ok(self.parsed(name, "true or false")?.unwrap_or(false))
    }

    pub(super) fn page(&self) -> Result<Page> {
        let number = "a whole number";
        Page::new(self.parsed("page", number)?, self.parsed("size", number)?)
    }

    fn parsed<T: FromStr>(&self, name: &'static str, what: &str) -> Result<Option<T>> {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        let refuse = |_| ApiError::argument(name, "TYPE", format!("{name}={text:?} is not {what}"));
        text.parse().map(Some).map_err(refuse)
    }
}
