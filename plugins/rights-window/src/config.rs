//! What the operator writes. `check` turns it into what the gate works with.

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration as written. A section that is left out is not checked; all left out is refused.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose statements count, the most trusted first; the next is asked where one has no value. Left out: the
    /// sheet, then the source, as far as they are granted.
    pub trust: Option<Vec<Trusted>>,
    /// The IANA name of the zone in which days without one begin and end, such as `Europe/Berlin`. Needed
    /// as soon as days are read.
    pub time_zone: Option<String>,
    /// How days are written in texts: `YYYY`, `MM`, `DD` and anything between them; the first that fits counts.
    #[serde(default = "date_formats")]
    pub date_formats: Vec<String>,
    /// The characters that separate entries in a text that is a list. Line ends separate always.
    #[serde(default = "separators")]
    pub separators: String,
    /// How many days before an allowed release ends a finding says so; 0 never does.
    #[serde(default)]
    pub warn_days: u16,
    /// From when until when.
    pub valid: Option<ValidConfig>,
    /// In which markets.
    pub territories: Option<TerritoriesConfig>,
    /// In which channels.
    pub channels: Option<ChannelsConfig>,
    /// For whom.
    pub audiences: Option<AudiencesConfig>,
    /// Releases that others must have signed: models, owners of property, authors.
    #[serde(default)]
    pub consent: Vec<ConsentConfig>,
    /// The approval status.
    pub status: Option<StatusConfig>,
}

/// An origin of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Trusted {
    /// The system that holds the asset.
    Source,
    /// The operator's sheet.
    Sheet,
}

/// A field of the source or a column of the sheet, or several of which the first that has a value counts.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// From when until when. A day begins at 00:00 and its end is the end of that day; a moment is that moment.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ValidConfig {
    /// Holds the first day.
    pub from: Option<Names>,
    /// Holds the last day.
    pub until: Option<Names>,
    /// Holds the day before which nothing leaves, whatever `from` says.
    pub embargo: Option<Names>,
    /// Which of them must have a value. Left out: `until`, if it is configured.
    pub required: Option<Vec<Bound>>,
}

/// One of the days of [`ValidConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The first day.
    From,
    /// The last day.
    Until,
    /// The embargo.
    Embargo,
}

/// What becomes of a release that is for no certain market or channel where the asset is not free for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// A person settles it.
    #[default]
    Hold,
    /// It may not leave.
    Deny,
}

/// In which markets. Words are compared without regard to case and surrounding blanks.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TerritoriesConfig {
    /// Holds the list of markets.
    pub field: Names,
    /// Holds the list of markets that are excluded; no value excludes none.
    pub except: Option<Names>,
    /// Words that mean every market.
    #[serde(default)]
    pub worldwide: Vec<String>,
    /// A release for no certain market needs one of the `worldwide` words and no exclusion; otherwise this.
    #[serde(default)]
    pub all_markets: Otherwise,
    /// Every code that may stand in the fields; others are held. Needed, or groups, if there is `except`:
    /// an exclusion with a typing error would exclude nothing.
    #[serde(default)]
    pub known: Vec<String>,
    /// Words that stand for several codes.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

/// In which channels; as [`TerritoriesConfig`].
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelsConfig {
    /// Holds the list of channels.
    pub field: Names,
    /// Holds the list of channels that are excluded; no value excludes none.
    pub except: Option<Names>,
    /// Words that mean every channel.
    #[serde(default)]
    pub any: Vec<String>,
    /// A release for no certain channel needs one of the `any` words and no exclusion; otherwise this.
    #[serde(default)]
    pub all_channels: Otherwise,
    /// Every channel that may stand in the fields; others are held. Needed, or groups, if there is `except`.
    #[serde(default)]
    pub known: Vec<String>,
    /// Words that stand for several channels.
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

/// For whom.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AudiencesConfig {
    /// Holds the asset's class, such as `internal`, or the list of its audiences if there is no `allowed`.
    pub field: Names,
    /// The classes that each audience may get; every class of an asset must be among them.
    #[serde(default)]
    pub allowed: BTreeMap<String, Vec<String>>,
}

/// A release that somebody must have signed.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConsentConfig {
    /// What it is called in reasons: `model release`.
    pub name: String,
    /// Holds whether it is needed at all; left out: always.
    pub required_when: Option<Names>,
    /// Values of `required_when` that mean yes.
    #[serde(default = "yes")]
    pub yes: Vec<String>,
    /// Values of `required_when` that mean no. Any other is held.
    #[serde(default = "no")]
    pub no: Vec<String>,
    /// Holds how far it is.
    pub state: Names,
    /// States that allow.
    pub granted: Vec<String>,
    /// States that deny. Any other is held.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Holds the last day for which it was given; no value sets no end.
    pub expires: Option<Names>,
}

/// The approval status.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StatusConfig {
    /// Holds it.
    pub field: Names,
    /// Values that allow.
    pub allowed: Vec<String>,
    /// Values that deny. Any other is held.
    #[serde(default)]
    pub restricted: Vec<String>,
}

fn date_formats() -> Vec<String> {
    vec!["YYYY-MM-DD".to_owned()]
}

fn separators() -> String {
    ",;".to_owned()
}

fn yes() -> Vec<String> {
    ["yes", "true", "1"].map(str::to_owned).into()
}

fn no() -> Vec<String> {
    ["no", "false", "0"].map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `WINDLASS_WRITE_SCHEMA=1 cargo test schema` writes it anew.
    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Config)).unwrap() + "\n";
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
        if std::env::var_os("WINDLASS_WRITE_SCHEMA").is_some() {
            std::fs::write(file, &schema).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(committed, schema, "run it with WINDLASS_WRITE_SCHEMA=1");
    }
}
