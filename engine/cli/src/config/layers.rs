//! Layers of configuration, laid over each other value by value, each value remembering its layer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use windlass_core::{Error, Kind, Result};

use super::Config;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(file) => write!(f, "{}", file.display()),
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::Flag => f.write_str("--set"),
        }
    }
}

/// What lies over the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// `KEY=VALUE` pairs from `--set`, in order.
    pub(crate) flags: Vec<String>,
    /// Environment variables, name and value.
    pub(crate) environment: Vec<(String, String)>,
}

/// A configuration and where each of its values came from.
#[derive(Clone, Debug)]
pub(crate) struct Layered {
    /// The values.
    pub(crate) config: Config,
    /// The layer of each value that was set, by dotted key.
    origins: BTreeMap<String, Origin>,
    /// The folder that relative paths start from.
    pub(crate) base: PathBuf,
}

/// The start of environment variables that set values: `WINDLASS__LIMITS__MEMORY=1GiB`.
const PREFIX: &str = "WINDLASS__";

/// Reads the file, lays the environment and the flags over it, and checks the result.
pub(crate) fn load(file: &Path, overlay: &Overlay) -> Result<Layered> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let shared = Error::new(Kind::Config, "the configuration file cannot be read")
            .with_context("file", file.display())
            .with_source(error);
        match missing {
            true => shared.with_hint(
                "name another with --config FILE, or try `windlass demo`, which needs none",
            ),
            false => shared,
        }
    })?;
    let base = file.parent().unwrap_or(Path::new("")).to_owned();
    parse(&text, file, base, overlay)
}

/// The same from text that was read already.
pub(crate) fn parse(text: &str, file: &Path, base: PathBuf, overlay: &Overlay) -> Result<Layered> {
    let mut table: toml::Table = toml::from_str(text).map_err(|error| {
        Error::new(
            Kind::Config,
            format!("the configuration is not TOML: {}", error.message()),
        )
        .with_context("file", file.display())
        .with_context(
            "line",
            error.span().map_or(0, |span| line_of(text, span.start)),
        )
    })?;
    let mut origins = BTreeMap::new();
    note(&table, "", &Origin::File(file.to_owned()), &mut origins);
    for (name, value) in &overlay.environment {
        if let Some(path) = name.strip_prefix(PREFIX) {
            let key = path.to_lowercase().replace("__", ".");
            set(&mut table, &key, value)?;
            claim(&mut origins, &key, Origin::Environment(name.clone()));
        }
    }
    for pair in &overlay.flags {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::new(Kind::Config, format!("--set {pair:?} is not KEY=VALUE"))
                .with_hint("such as --set limits.memory=1GiB")
        })?;
        set(&mut table, key.trim(), value)?;
        claim(&mut origins, key.trim(), Origin::Flag);
    }
    let mut config: Config = serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let at = error.path().to_string();
        let origin = origin_of(&origins, &at);
        refusal(&at, &error.into_inner().to_string(), &origin)
    })?;
    keep_dates(&mut config, &table);
    config.check()?;
    Ok(Layered {
        config,
        origins,
        base,
    })
}

impl Layered {
    /// Every value with its key and origin, in the order of keys; defaults included.
    pub(crate) fn lines(&self) -> Result<Vec<(String, String, Origin)>> {
        let table = toml::Table::try_from(&self.config).map_err(|error| {
            Error::new(Kind::Unexpected, "the configuration cannot be shown").with_source(error)
        })?;
        let mut leaves = Vec::new();
        flatten(&table, "", &mut leaves);
        leaves.sort();
        Ok(leaves
            .into_iter()
            .map(|(key, value)| {
                let origin = origin_of(&self.origins, &key);
                (key, value, origin)
            })
            .collect())
    }
}

/// Takes the fields that flows set from the TOML as it is: on the way through serde, a date in a tagged
/// table becomes a text.
fn keep_dates(config: &mut Config, table: &toml::Table) {
    for (name, flow) in &mut config.flow {
        for (key, fields) in flow.fields_mut() {
            let set = table
                .get("flow")
                .and_then(|flows| flows.get(name)?.get(key)?.as_table());
            for (field, value) in set.into_iter().flatten() {
                fields.insert(field.clone(), value.clone());
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The origin of a key, or of the nearest value above or below it that was set.
fn origin_of(origins: &BTreeMap<String, Origin>, key: &str) -> Origin {
    let mut at = key;
    loop {
        if let Some(origin) = origins.get(at) {
            return origin.clone();
        }
        match at.rsplit_once('.') {
            Some((above, _)) => at = above,
            None => break,
        }
    }
    let below = format!("{key}.");
    origins
        .range(below.clone()..)
        .next()
        .filter(|(name, _)| name.starts_with(&below))
        .map_or(Origin::Default, |(_, origin)| origin.clone())
}

fn claim(origins: &mut BTreeMap<String, Origin>, key: &str, origin: Origin) {
    let below = format!("{key}.");
    origins.retain(|name, _| !name.starts_with(&below));
    origins.insert(key.to_owned(), origin);
}

fn note(table: &toml::Table, at: &str, origin: &Origin, origins: &mut BTreeMap<String, Origin>) {
    let mut leaves = Vec::new();
    flatten(table, at, &mut leaves);
    for (key, _) in leaves {
        origins.insert(key, origin.clone());
    }
}

fn flatten(table: &toml::Table, at: &str, leaves: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let key = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => flatten(inner, &key, leaves),
            other => leaves.push((key, other.to_string())),
        }
    }
}

/// Sets a dotted key. The text is taken as TOML where it is TOML, else as a text.
fn set(table: &mut toml::Table, key: &str, text: &str) -> Result<()> {
    let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()));
    let mut at = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(Error::new(
                Kind::Config,
                format!("{key:?} is not a key of the configuration"),
            ));
        }
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        let next = at
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()));
        at = next.as_table_mut().ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("{key:?}: {part:?} is a value, not a table"),
            )
        })?;
    }
    Ok(())
}

/// A sentence for what serde refused, with a suggestion where a name was close.
fn refusal(at: &str, message: &str, origin: &Origin) -> Error {
    // serde lists what it would take: "unknown field `x`, expected one of `a`, `b`".
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message
        .starts_with("unknown ")
        .then(|| quoted.next())
        .flatten();
    let error = match unknown {
        Some(name) => {
            let above = at.strip_suffix(name).unwrap_or(at).trim_end_matches('.');
            let place = match above {
                "" | "." => "at the top level".to_owned(),
                above => format!("in [{above}]"),
            };
            let what = if message.starts_with("unknown variant") {
                "value"
            } else {
                "key"
            };
            Error::new(
                Kind::Config,
                format!("unknown {what} {name:?} {place} of the configuration"),
            )
        }
        None => {
            let message = message.lines().next().unwrap_or(message);
            Error::new(Kind::Config, format!("{at}: {message}"))
        }
    };
    let error = error.with_context("from", origin);
    match unknown {
        Some(name) => match nearest(name, quoted.clone()) {
            Some(near) => error.with_hint(format!("did you mean {near:?}?")),
            None => {
                let known: Vec<&str> = quoted.collect();
                match known.as_slice() {
                    [] => error,
                    known => error.with_hint(format!("known here: {}", known.join(", "))),
                }
            }
        },
        None => error,
    }
}

/// The known name that a mistyped one is closest to, if any is close.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
