//! When a file may be taken, as the configuration says it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_core::{Error, Kind, Result};
use windlass_flow::Readiness;

/// When a file may be taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReadyConfig {
    /// For how long a file must have been seen unchanged, such as `30 s` or `2 min`. Without it files are taken as they
    /// are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quiet: Option<String>,
    /// Names of files that are still being written, as globs over the name, beside those that everybody knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) temporary: Vec<String>,
    /// Whether an InDesign package is taken only when every link and font that its documents name is there.
    pub(crate) packages: bool,
    /// The name of manifests, such as `manifest.csv` or `*.sha256`. With it a folder is taken only when everything that its
    /// manifest names is there, and nothing without a manifest beside or above it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<String>,
}

impl Default for ReadyConfig {
    fn default() -> Self {
        ReadyConfig {
            quiet: None,
            temporary: Vec::new(),
            packages: true,
            manifest: None,
        }
    }
}

impl ReadyConfig {
    /// As the flow of this name wants it. Errors: `quiet` is no duration.
    pub(crate) fn readiness(&self, flow: &str) -> Result<Readiness> {
        let quiet = match &self.quiet {
            None => Duration::ZERO,
            Some(text) => duration(text).ok_or_else(|| {
                let message = format!("flow.{flow}.ready.quiet is {text:?}, which is no duration");
                Error::new(Kind::Config, message).with_hint("write it like \"30 s\" or \"2 min\"")
            })?,
        };
        Ok(Readiness {
            quiet,
            temporary: self.temporary.clone(),
            packages: self.packages,
            manifest: self.manifest.clone(),
        })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.trim().parse().ok()?;
    Duration::try_from(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_period_is_written_as_people_write_it() {
        let of = |quiet: &str| ReadyConfig {
            quiet: Some(quiet.to_owned()),
            ..ReadyConfig::default()
        };
        for (text, seconds) in [("30 s", 30), ("30s", 30), ("2 min", 120), ("1m 30s", 90)] {
            let ready = of(text).readiness("in").unwrap();
            assert_eq!(ready.quiet, Duration::from_secs(seconds), "{text}");
        }
        for text in ["", "soon", "-5 s", "30"] {
            let error = of(text).readiness("in").unwrap_err();
            assert!(error.message().contains("flow.in.ready.quiet"), "{text}");
        }
        let default = ReadyConfig::default().readiness("in").unwrap();
        assert_eq!(default, Readiness::default());
    }
}
