//! What `windlass watch` is told: when flows run, how fast, and where it answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{Error, Kind, Result};
use windlass_flow::daemon::{Priority, Schedule, Windows};

use super::{Config, FlowConfig, SecretRef, SelectConfig, known};
use crate::flows::{ReleaseConfig, Way};

/// The longest drain: service managers end by force what takes much longer.
const DRAIN_MAX: u64 = 60;

/// More full passes at once than this are a typing error.
const AT_ONCE_MAX: usize = 64;

/// The daemon.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WatchConfig {
    /// The address and port on which health, status and web hooks are answered, such as `127.0.0.1:8787`; nowhere
    /// when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// How many flows may make a full pass at once. One sweep runs beside them.
    pub(crate) at_once: usize,
    /// Seconds after which a source is looked at again that does not ring by itself, or whose files are approved by a tag:
    /// nobody rings for tags.
    pub(crate) poll: u64,
    /// Minutes after which every flow makes a pass, whoever rings.
    pub(crate) sweep: u64,
    /// Seconds that what is under way gets to end in order when the daemon is stopped; at most 60.
    pub(crate) drain: u64,
    /// The time zone of schedules that name none, and of windows, such as `Europe/Vienna`.
    pub(crate) time_zone: String,
    /// When bulk may run and how fast, for all flows together that have no windows of their own, such as
    /// `20:00-06:00 at most 200 Mbit/s` and `Mon-Fri 06:00-20:00 off`. The first that holds counts; outside of all
    /// nothing is limited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) windows: Vec<String>,
    /// Where the secret of a Dropbox app is kept, by the name of its endpoint: its web hook at `/hooks/dropbox` rings for
    /// the flows from there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) dropbox_hooks: BTreeMap<String, SecretRef>,
    /// Where the token is kept that stands in the path of a CELUM tenant's web hook, `/hooks/celum/TOKEN`, by the name of
    /// its endpoint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) celum_hooks: BTreeMap<String, SecretRef>,
    /// What is different for single flows, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) flow: BTreeMap<String, FlowWatchConfig>,
}

impl Default for WatchConfig {
    fn default() -> Self {
        WatchConfig {
            listen: None,
            at_once: 2,
            poll: 15,
            sweep: 15,
            drain: 55,
            time_zone: "UTC".to_owned(),
            windows: Vec::new(),
            dropbox_hooks: BTreeMap::new(),
            celum_hooks: BTreeMap::new(),
            flow: BTreeMap::new(),
        }
    }
}

/// When one flow runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FlowWatchConfig {
    /// At which times everything is done: cron's five fields and, where it is another one, a time zone, such as
    /// `0 20 * * 1-5 Europe/Vienna`. Flows out of a library only take back between them what may not be seen any more;
    /// what brings something in follows changes all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) schedule: Vec<String>,
    /// As `watch.windows`, for this flow alone, which then has a rate and memory of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) windows: Vec<String>,
    /// Before which others it goes, where not all can go at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<PriorityConfig>,
    /// As `watch.sweep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<u64>,
    /// As `watch.poll`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) poll: Option<u64>,
}

/// Before which others a flow goes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PriorityConfig {
    /// Before others.
    High,
    /// As most.
    Normal,
    /// After others.
    Low,
}

impl From<PriorityConfig> for Priority {
    fn from(configured: PriorityConfig) -> Self {
        match configured {
            PriorityConfig::High => Priority::High,
            PriorityConfig::Normal => Priority::Normal,
            PriorityConfig::Low => Priority::Low,
        }
    }
}

impl WatchConfig {
    /// Checks it against the rest of the configuration.
    pub(super) fn check(&self, config: &Config) -> Result<()> {
        within("watch.at_once", self.at_once as u64, 1, AT_ONCE_MAX as u64)?;
        within("watch.poll", self.poll, 1, 86_400)?;
        within("watch.sweep", self.sweep, 1, 10_080)?;
        within("watch.drain", self.drain, 1, DRAIN_MAX)?;
        let zone = self.zone()?;
        at("watch.windows", Windows::parse(&self.windows, &zone))?;
        for (key, hooks) in [
            ("watch.dropbox_hooks", &self.dropbox_hooks),
            ("watch.celum_hooks", &self.celum_hooks),
        ] {
            for name in hooks.keys() {
                known(
                    "endpoint",
                    name,
                    config.endpoint.keys(),
                    &format!("{key}.{name}"),
                )?;
            }
        }
        for (name, flow) in &self.flow {
            let key = format!("watch.flow.{name}");
            known("flow", name, config.flow.keys(), &key)?;
            within(
                &format!("{key}.poll"),
                flow.poll.unwrap_or(self.poll),
                1,
                86_400,
            )?;
            within(
                &format!("{key}.sweep"),
                flow.sweep.unwrap_or(self.sweep),
                1,
                10_080,
            )?;
            self.windows_of(name)?;
            self.schedule_of(name)?;
        }
        Ok(())
    }

    /// The time zone.
    pub(crate) fn zone(&self) -> Result<TimeZone> {
        TimeZone::get(&self.time_zone).map_err(|_| {
            let message = format!(
                "watch.time_zone: there is no time zone {:?}",
                self.time_zone
            );
            Error::new(Kind::Config, message).with_hint("such as \"Europe/Vienna\" or \"UTC\"")
        })
    }

    /// The times at which a flow does everything.
    pub(crate) fn schedule_of(&self, flow: &str) -> Result<Vec<Schedule>> {
        let zone = self.zone()?;
        let texts = self.flow.get(flow).map_or(&[][..], |flow| &flow.schedule);
        let schedules = texts.iter().map(|text| Schedule::parse(text, &zone));
        at(&format!("watch.flow.{flow}.schedule"), schedules.collect())
    }

    /// The windows of a flow: its own, or those of all.
    pub(crate) fn windows_of(&self, flow: &str) -> Result<Windows> {
        let zone = self.zone()?;
        match self.own_windows(flow) {
            Some(own) => at(
                &format!("watch.flow.{flow}.windows"),
                Windows::parse(own, &zone),
            ),
            None => at("watch.windows", Windows::parse(&self.windows, &zone)),
        }
    }

    /// The windows of a flow where it has some of its own.
    pub(crate) fn own_windows(&self, flow: &str) -> Option<&[String]> {
        let own = self.flow.get(flow).map(|flow| flow.windows.as_slice());
        own.filter(|windows| !windows.is_empty())
    }

    /// How often a flow is looked at where nobody rings.
    pub(crate) fn poll_of(&self, flow: &str) -> Duration {
        let own = self.flow.get(flow).and_then(|flow| flow.poll);
        Duration::from_secs(own.unwrap_or(self.poll))
    }

    /// After how long without one a flow makes a pass.
    pub(crate) fn sweep_of(&self, flow: &str) -> Duration {
        let own = self.flow.get(flow).and_then(|flow| flow.sweep);
        Duration::from_secs(60 * own.unwrap_or(self.sweep))
    }

    /// Before which others a flow goes.
    pub(crate) fn priority_of(&self, flow: &str) -> Priority {
        let own = self.flow.get(flow).and_then(|flow| flow.priority);
        own.map_or(Priority::Normal, Into::into)
    }
}

/// What a flow hears of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard<'a> {
    /// What changes in a folder. `by_all`: everything that it waits for changes what a listing says of a file.
    Folder {
        endpoint: &'a str,
        root: &'a str,
        by_all: bool,
    },
    /// What changes in a library.
    Library(&'a dyn ReleaseConfig),
}

impl FlowConfig {
    /// What a flow hears of that runs under this name.
    pub(crate) fn heard<'a>(&'a self, name: &str) -> Heard<'a> {
        let folder = |endpoint, root, select: &SelectConfig| {
            let approval = select.approval.as_ref();
            Heard::Folder {
                endpoint,
                root,
                by_all: approval.is_none_or(|approval| approval.tag.is_none()),
            }
        };
        match self.way() {
            Way::In(config) => folder(&config.from, &config.root, &config.select),
            Way::Both(config) if name.ends_with(".in") => {
                folder(&config.from, &config.root, &config.select)
            }
            Way::Both(config) => Heard::Library(config),
            Way::Out(config) => Heard::Library(config),
        }
    }

    /// The endpoint that a flow hears of that runs under this name.
    pub(crate) fn hears_of(&self, name: &str) -> &str {
        match self.heard(name) {
            Heard::Folder { endpoint, .. } => endpoint,
            Heard::Library(config) => config.common().from,
        }
    }
}

fn at<T>(key: &str, read: Result<T>) -> Result<T> {
    read.map_err(|error| {
        let hint = error.hint().map(str::to_owned);
        let error = Error::new(Kind::Config, format!("{key}: {}", error.message()));
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

fn within(key: &str, is: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&is) {
        return Ok(());
    }
    let message = format!("{key} is {is}; it must be from {least} to {most}");
    Err(Error::new(Kind::Config, message))
}
