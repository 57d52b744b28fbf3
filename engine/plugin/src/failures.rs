//! Calls on which a plugin failed, written down so that its author can see them fail again, without the
//! customer's tables, services or ledger: `windlass plugin replay FILE`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use windlass_core::{
    AssetView, Blake3, Error, HookIdentity, Kind, Market, Origin, Release, Result,
};

use crate::PluginHost;
use crate::guest::Stop;
use crate::options::{HostOptions, LoadOptions};
use crate::plugin::Plugin;
use crate::question::{Decide, Describe, Question, Route};
use crate::tables::{Lookup, of_lookups};

/// Files that are kept, the newest. A plugin that fails on everything needs no more of them to be understood.
const FILES_MAX: usize = 100;

const FORMAT: &str = "windlass plugin failure 1";

/// A call on which a plugin failed, with all that decided it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedCall {
    format: String,
    /// When it failed.
    pub at: Timestamp,
    /// Which plugin.
    pub plugin: HookIdentity,
    /// Where its component was.
    pub file: PathBuf,
    /// Which rule or limit was broken, and the sentence about it.
    pub stopped: Stopped,
    /// What it was asked.
    pub call: Call,
    config: serde_json::Value,
    granted: Vec<Origin>,
    today: Date,
    lookups: Vec<Lookup>,
    limits: Limits,
}

/// Why a plugin gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    /// The limit or rule that was broken.
    pub rule: String,
    /// A sentence.
    pub reason: String,
}

/// A question to a plugin about one asset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// Who it is, and whether it accepts its configuration.
    Start,
    /// What an asset becomes.
    Describe {
        /// The asset.
        asset: AssetView,
    },
    /// Whether an asset may leave.
    Decide {
        /// To whom and when.
        release: Release,
    },
    /// Where an asset is to appear.
    Route {
        /// The asset.
        asset: AssetView,
        /// The market table.
        markets: Vec<Market>,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    memory_bytes: usize,
    table_elements: usize,
    fuel_to_start: u64,
    fuel_per_asset: u64,
    wall_clock_ms: u64,
    output_bytes: usize,
}

/// What became of a call that was made again.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Digest of the component that was asked.
    pub digest: Blake3,
    /// Whether that is the one that failed.
    pub same_component: bool,
    /// Why it failed; `None` if it answered.
    pub stopped: Option<Stopped>,
    /// Its answer, if it gave one.
    pub answer: Option<serde_json::Value>,
}

impl Stopped {
    pub(crate) fn of(stop: &Stop) -> Self {
        Stopped {
            rule: stop.rule().to_owned(),
            reason: stop.to_string(),
        }
    }
}

/// What else than the call decided.
pub(crate) struct Circumstances<'a> {
    pub(crate) plugin: &'a HookIdentity,
    pub(crate) file: &'a Path,
    pub(crate) config: &'a str,
    pub(crate) granted: &'a [Origin],
    pub(crate) today: Date,
    pub(crate) options: &'a HostOptions,
}

impl FailedCall {
    pub(crate) fn new(
        circumstances: &Circumstances<'_>,
        call: Call,
        lookups: Vec<Lookup>,
        stop: &Stop,
    ) -> Result<Self> {
        let options = circumstances.options;
        let config = serde_json::from_str(circumstances.config).map_err(unwritable)?;
        Ok(FailedCall {
            format: FORMAT.to_owned(),
            at: Timestamp::now(),
            plugin: circumstances.plugin.clone(),
            file: circumstances.file.to_owned(),
            stopped: Stopped::of(stop),
            call,
            config,
            granted: circumstances.granted.to_owned(),
            today: circumstances.today,
            lookups,
            limits: Limits {
                memory_bytes: options.memory_bytes,
                table_elements: options.table_elements,
                fuel_to_start: options.fuel_to_start,
                fuel_per_asset: options.fuel_per_asset,
                wall_clock_ms: u64::try_from(options.wall_clock.as_millis()).unwrap_or(u64::MAX),
                output_bytes: options.output_bytes,
            },
        })
    }

    /// Reads a call that was written down. Fails with `NotFound` or `InvalidInput`.
    pub fn read(path: &Path) -> Result<Self> {
        let about = |error: Error| error.with_context("file", path.display());
        let text = fs::read(path).map_err(|error| {
            about(Error::new(Kind::NotFound, "the failed call cannot be read").with_source(error))
        })?;
        let read: Result<FailedCall, _> = serde_json::from_slice(&text);
        match read {
            Ok(call) if call.format == FORMAT => Ok(call),
            Ok(call) => Err(about(Error::new(
                Kind::InvalidInput,
                format!("the file has the format {:?}, not {FORMAT:?}", call.format),
            ))),
            Err(error) => Err(about(
                Error::new(Kind::InvalidInput, "the file is no failed call of a plugin")
                    .with_source(error),
            )),
        }
    }

    /// Makes the call again, under the limits of then, with what was looked up then. Another component may be
    /// named, such as a mended one. Needs nothing but the component. Blocks.
    ///
    /// Fails as [`PluginHost::load`] does, except that a plugin which fails is no error.
    pub fn replay(&self, component: Option<&Path>, cache_dir: Option<PathBuf>) -> Result<Replayed> {
        let component = component.unwrap_or(&self.file);
        let host = PluginHost::new(self.host_options(cache_dir))?;
        let options = LoadOptions {
            pinned_digest: None,
            config: self.config.clone(),
            granted: Some(self.granted.clone()),
            tables: of_lookups(&self.lookups),
            today: self.today,
        };
        let plugin = match host.load(component, options) {
            Ok(plugin) => plugin,
            Err(error) if error.kind() == Kind::Plugin => {
                let digest = Blake3::of(&crate::host::read_component(component)?);
                let stopped = Stopped {
                    rule: "the plugin does not start".to_owned(),
                    reason: error.message().to_owned(),
                };
                return Ok(self.replayed(digest, Err(stopped)));
            }
            Err(error) => return Err(error),
        };
        let answer = match &self.call {
            Call::Start => Ok(serde_json::Value::Null),
            Call::Describe { asset } => answer(&plugin, &Describe, asset)?,
            Call::Decide { release } => answer(&plugin, &Decide, release)?,
            Call::Route { asset, markets } => answer(&plugin, &Route::new(markets), asset)?,
        };
        Ok(self.replayed(plugin.digest(), answer))
    }

    fn replayed(&self, digest: Blake3, answer: Result<serde_json::Value, Stopped>) -> Replayed {
        let (stopped, answer) = match answer {
            Ok(answer) => (None, Some(answer)),
            Err(stopped) => (Some(stopped), None),
        };
        Replayed {
            same_component: digest == self.plugin.digest,
            digest,
            stopped,
            answer,
        }
    }

    fn host_options(&self, cache_dir: Option<PathBuf>) -> HostOptions {
        let limits = &self.limits;
        HostOptions {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            fuel_to_start: limits.fuel_to_start,
            fuel_per_asset: limits.fuel_per_asset,
            wall_clock: Duration::from_millis(limits.wall_clock_ms),
            output_bytes: limits.output_bytes,
            instances: 1,
            cache_dir,
            kept_bytes: 0,
            ..HostOptions::default()
        }
    }

    /// What tells it from others: everything but when and where.
    fn digest(&self) -> Result<Blake3> {
        let mut same = FailedCall {
            at: Timestamp::UNIX_EPOCH,
            file: PathBuf::new(),
            today: Date::constant(1970, 1, 1),
            ..self.clone()
        };
        if let Call::Decide { release } = &mut same.call {
            release.at = Timestamp::UNIX_EPOCH;
        }
        Ok(Blake3::of(&serde_json::to_vec(&same).map_err(unwritable)?))
    }
}

/// The plugin's answer as a value, or why it gave none.
fn answer<Q: Question>(
    plugin: &Plugin,
    question: &Q,
    input: &Q::Input,
) -> Result<Result<serde_json::Value, Stopped>> {
    match plugin.ask_once(question, input)? {
        Err(stop) => Ok(Err(Stopped::of(&stop))),
        Ok(answer) => Ok(Ok(serde_json::to_value(answer).map_err(unwritable)?)),
    }
}

/// The folder of failed calls.
#[derive(Debug)]
pub(crate) struct Failures {
    folder: PathBuf,
}

impl Failures {
    /// Makes the folder, private to this user, since calls hold a customer's metadata.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let problem = |error: std::io::Error| {
            Error::new(
                Kind::Config,
                format!(
                    "cannot write failed calls of plugins to {}",
                    folder.display()
                ),
            )
            .with_source(error)
        };
        fs::create_dir_all(folder).map_err(problem)?;
        crate::artefacts::make_private(folder, 0o700).map_err(problem)?;
        Ok(Failures {
            folder: folder.to_owned(),
        })
    }

    /// Writes a call down, once. Failing to costs nothing but the record, so it is told and not returned.
    pub(crate) fn record(&self, call: Result<FailedCall>) {
        match call.and_then(|call| self.write(&call)) {
            Ok(Some(file)) => tracing::warn!(
                file = %file.display(),
                "the plugin's failed call is written down: `windlass plugin replay FILE` makes it again"
            ),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a plugin's failed call is not written down")
            }
        }
    }

    fn write(&self, call: &FailedCall) -> Result<Option<PathBuf>> {
        let digest = call.digest()?.to_hex();
        // Names of plugins are their authors' to choose, and need not be names of files.
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = call.plugin.name.chars().map(plain).collect();
        let path = self.folder.join(format!("{name}-{}.json", &digest[..16]));
        if path.exists() {
            return Ok(None);
        }
        self.make_room()?;
        let text = serde_json::to_vec_pretty(call).map_err(unwritable)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(unwritable)?;
        file.write_all(&text).map_err(unwritable)?;
        file.persist(&path).map_err(unwritable)?;
        Ok(Some(path))
    }
}

impl Failures {
    /// Removes the oldest calls where there are as many as may be.
    fn make_room(&self) -> Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unwritable)? {
            let entry = entry.map_err(unwritable)?;
            let saved = entry.metadata().and_then(|metadata| metadata.modified());
            files.push((saved.map_err(unwritable)?, entry.path()));
        }
        files.sort();
        let surplus = (files.len() + 1).saturating_sub(FILES_MAX);
        for (_, file) in &files[..surplus] {
            fs::remove_file(file).map_err(unwritable)?;
        }
        Ok(())
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Unexpected, "the failed call cannot be written").with_source(error)
}
