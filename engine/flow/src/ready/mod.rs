//! Ready to ingest: a file that is perhaps still being written, and a package that has not arrived whole, wait.
//!
//! What waits is a skip with a reason that says for what and since when; a later pass takes it without any person. It is
//! no hold, so nothing that is recorded stops that pass. An asset whose bytes are placed at this very revision never waits:
//! at most its metadata changes, and that reads nothing of it.
//!
//! - [`quiet`]: a revision is left alone until it was seen unchanged for a while, by our clock;
//! - [`locks`]: a document waits while a program has it open;
//! - [`package`]: an InDesign package goes when every link and font that its documents name is there;
//! - [`manifest`]: a drop folder goes when everything that its manifest names is there with the stated size.
//!
//! All of them are functions of what a listing showed, of what earlier passes saw and of the time; [`lookout`] is what
//! one pass knows, and [`gate`] asks it for a flow.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::{Asset, Clock, PackageReader, Result, SystemClock};

mod gate;
mod locks;
mod lookout;
mod manifest;
mod package;
mod quiet;
#[cfg(test)]
mod tests;

pub(crate) use lookout::Lookout;

/// How every reason of what waits begins.
pub(crate) const ARRIVING: &str = "still arriving: ";

/// What the configuration says about when a file may be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Readiness {
    /// For how long a file must have been seen unchanged. Nothing waits for that where it is zero.
    pub quiet: Duration,
    /// Names of files that are still being written, as globs over the name, beside those that everybody knows.
    pub temporary: Vec<String>,
    /// Whether InDesign packages go as a whole.
    pub packages: bool,
    /// The name of manifests, as a glob over the name. With it nothing goes without one beside or above it.
    pub manifest: Option<String>,
}

impl Default for Readiness {
    fn default() -> Self {
        Readiness {
            quiet: Duration::ZERO,
            temporary: Vec::new(),
            packages: true,
            manifest: None,
        }
    }
}

impl Readiness {
    /// Errors: `Config` for a pattern that is none.
    pub fn check(&self) -> Result<()> {
        Lookout::new(self, false, quiet::Sightings::default(), Timestamp::MIN).map(drop)
    }
}

/// By what a flow knows what is still arriving.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// What sightings are dated by.
    pub clock: Arc<dyn Clock>,
    /// Who reads documents for the names in them. Without it a package is whole when it is quiet.
    pub packages: Option<Arc<dyn PackageReader>>,
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals {
            clock: Arc::new(SystemClock),
            packages: None,
        }
    }
}

/// Assets that are not ready, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// How many.
    pub assets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Waiting {
    pub(crate) fn count(&mut self, asset: &Asset) {
        self.assets += 1;
        self.bytes += asset.size;
    }
}

/// Why an asset waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// What for and since when, in one sentence without a full stop.
    pub(crate) reason: String,
    /// When it is over if nothing more happens; `None` where that depends on something else arriving.
    pub(crate) until: Option<Timestamp>,
}

impl Wait {
    fn new(reason: impl AsRef<str>) -> Self {
        Wait {
            reason: format!("{ARRIVING}{}", reason.as_ref()),
            until: None,
        }
    }
}

/// A duration as people write it.
fn spelled(duration: Duration) -> String {
    match jiff::SignedDuration::try_from(duration) {
        Ok(signed) => format!("{signed:#}"),
        Err(_) => format!("{} s", duration.as_secs()),
    }
}
