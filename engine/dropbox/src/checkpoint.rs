//! What finds an upload session again after the process that opened it ended.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::SessionType;

/// A session lives seven days. One that could end while its last bytes are sent is not gone on with.
const RESUMED_UNTIL: SignedDuration = SignedDuration::from_hours(156);

/// A session, in our own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) session: String,
    #[serde(rename = "type")]
    pub(crate) session_type: SessionType,
    /// No later than the service started it.
    pub(crate) born: Timestamp,
    /// For a new version: the revision that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
}

impl Checkpoint {
    pub(crate) fn to_text(&self) -> String {
        match serde_json::to_string(self) {
            Ok(text) => text,
            Err(_) => unreachable!("texts and a time are always JSON"),
        }
    }

    /// Reads what [`Checkpoint::to_text`] wrote. `None` when it is something else, or too old.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Self> {
        let checkpoint: Checkpoint = serde_json::from_str(text).ok()?;
        let age = now.duration_since(checkpoint.born);
        (age < RESUMED_UNTIL).then_some(checkpoint)
    }
}
