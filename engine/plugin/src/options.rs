//! What a host and a plugin are given: limits with their reasons, configuration, tables, the day.

use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use windlass_core::{Blake3, Error, Kind, Origin, Result};

use crate::tables::Tables;

/// The most assets that a guest is given at once, as `wit/v1` promises.
pub(crate) const BATCH_ASSETS_MAX: usize = 256;

/// Lines of a guest's log that are kept per batch; `wit/v1` states it.
pub(crate) const LOG_LINES_MAX: u32 = 64;

/// Bytes of a log line that are kept; `wit/v1` states it.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 1024;

/// Calls of the host per batch, and further ones per asset; `wit/v1` states both. Fuel does not
/// count the work that a call costs the host, so calls are counted.
pub(crate) const HOST_CALLS_BASE: u64 = 10_000;
pub(crate) const HOST_CALLS_PER_ASSET: u64 = 64;

/// The longest configuration text; `wit/v1` states it.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The largest component file that is read. Python guests, the largest, have 18 MB.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// How often the wall-clock backstop looks: the precision of `wall_clock`.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(100);

/// Limits for guests, the same for every plugin of a host.
///
/// Fuel is about one unit a WebAssembly instruction and counts the same on every run, so it decides; the
/// wall clock is only there for what fuel does not see, such as a machine that stalls.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Linear memory of one instance, in bytes. 64 MiB: a Python guest starts with 25.
    pub memory_bytes: usize,
    /// Elements of one table. 40,000: Python guests need 30,000.
    pub table_elements: usize,
    /// Fuel to instantiate, identify and configure. 200 million, about 0.1 s.
    pub fuel_to_start: u64,
    /// Fuel per asset of a batch. 4 million, about 2 ms: `folder-metadata` uses 26,000, or 120,000 where
    /// every asset has a folder of its own. Routing has as much again for every 50 places of the market table.
    pub fuel_per_asset: u64,
    /// How long one batch may take by the clock, starting included. 2 s: tighter deadlines kill honest
    /// guests on a loaded machine.
    pub wall_clock: Duration,
    /// Bytes that a guest may hand over in one call, its answer included. 8 MiB.
    pub output_bytes: usize,
    /// How long the search for assets at fault in one batch may go on. Afterwards what is
    /// unsettled is held. 30 s.
    pub search_wall_clock: Duration,
    /// Batches that may run at once. Each reserves address space, not memory. 16.
    pub instances: u32,
    /// Where compiled code is kept; private to this user. `None` compiles on every load.
    pub cache_dir: Option<PathBuf>,
    /// Where calls on which a plugin failed are written down, a file each; `None` writes none.
    pub failures_dir: Option<PathBuf>,
    /// Memory for answers that may be asked for again, in bytes for each loaded plugin; 0 keeps none. 16 MiB, which
    /// is some ten thousand assets.
    pub kept_bytes: usize,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            memory_bytes: 64 << 20,
            table_elements: 40_000,
            fuel_to_start: 200_000_000,
            fuel_per_asset: 4_000_000,
            wall_clock: Duration::from_secs(2),
            output_bytes: 8 << 20,
            search_wall_clock: Duration::from_secs(30),
            instances: 16,
            cache_dir: None,
            failures_dir: None,
            kept_bytes: 16 << 20,
        }
    }
}

impl HostOptions {
    /// Refuses limits under which no guest could run.
    pub(crate) fn check(&self) -> Result<()> {
        let problem = if self.memory_bytes < 1 << 20 {
            "memory_bytes is below 1 MiB, less than a guest needs to start"
        } else if self.fuel_to_start < 1_000_000 || self.fuel_per_asset < 10_000 {
            "fuel_to_start is below 1,000,000 or fuel_per_asset below 10,000: no guest could answer"
        } else if self.wall_clock < EPOCH_TICK {
            "wall_clock is below 100 ms, the precision with which it is watched"
        } else if self.output_bytes < 64 << 10 {
            "output_bytes is below 64 KiB, less than a full batch of plain answers"
        } else if !(1..=1_000).contains(&self.instances) {
            "instances is not between 1 and 1,000"
        } else {
            return Ok(());
        };
        Err(Error::new(
            Kind::Config,
            format!("plugin limits cannot work: {problem}"),
        ))
    }

    /// The limits that can change a verdict, for the digest that verdicts are kept under.
    pub(crate) fn deciding(&self) -> String {
        format!(
            "memory {} table {} start {} asset {} output {}",
            self.memory_bytes,
            self.table_elements,
            self.fuel_to_start,
            self.fuel_per_asset,
            self.output_bytes
        )
    }
}

/// What one plugin is given.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The digest that the operator pinned; a file with another one is refused.
    pub pinned_digest: Option<Blake3>,
    /// The operator's table for this plugin, as a JSON object. At most 1 MiB as text.
    pub config: serde_json::Value,
    /// Whose statements about assets the plugin is given, of those that it asks for; `None` is all of them.
    pub granted: Option<Vec<Origin>>,
    /// What `lookup` finds.
    pub tables: Tables,
    /// What `today` gives: the day on which the run started, in the operator's time zone.
    pub today: Date,
}

impl LoadOptions {
    /// No pin, an empty configuration, all that it asks for, no tables.
    pub fn new(today: Date) -> Self {
        LoadOptions {
            pinned_digest: None,
            config: serde_json::Value::Object(serde_json::Map::new()),
            granted: None,
            tables: Tables::new(),
            today,
        }
    }
}

/// An operator's table as the JSON object that a plugin is given. Dates and times become texts, because JSON
/// has none. Fails with `Config`, naming the key, on what JSON cannot say: infinities and NaN.
pub fn config_json(table: &toml::Table) -> Result<serde_json::Value> {
    fn json(key: &str, value: &toml::Value) -> Result<serde_json::Value> {
        Ok(match value {
            toml::Value::Table(table) => {
                let below = table.iter().map(|(name, value)| {
                    let key = match key {
                        "" => name.clone(),
                        above => format!("{above}.{name}"),
                    };
                    Ok((name.clone(), json(&key, value)?))
                });
                serde_json::Value::Object(below.collect::<Result<_>>()?)
            }
            toml::Value::Array(list) => list
                .iter()
                .map(|value| json(key, value))
                .collect::<Result<_>>()?,
            toml::Value::Datetime(moment) => moment.to_string().into(),
            toml::Value::Float(number) if !number.is_finite() => {
                let message = format!("key {key:?} is {number}, which no plugin can be told");
                return Err(Error::new(Kind::Config, message));
            }
            toml::Value::Float(number) => (*number).into(),
            toml::Value::Integer(number) => (*number).into(),
            toml::Value::Boolean(yes) => (*yes).into(),
            toml::Value::String(text) => text.as_str().into(),
        })
    }
    json("", &toml::Value::Table(table.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_json_with_its_dates_as_text() {
        let json = |text: &str| config_json(&toml::from_str(text).unwrap());
        assert_eq!(
            json("a = 2026-03-04\nb.c = [1, 1.5, true, 'x', 10:00:00, {}]").unwrap(),
            serde_json::json!({"a": "2026-03-04", "b": {"c": [1, 1.5, true, "x", "10:00:00", {}]}})
        );
        assert_eq!(json("").unwrap(), serde_json::json!({}));
        for number in ["nan", "inf", "-inf"] {
            let error = json(&format!("[a]\nb = [1.5, {number}]")).unwrap_err();
            assert!(error.message().starts_with("key \"a.b\" is "), "{error:?}");
        }
    }
}
