//! What the operator writes. `check` turns it into what the router works with.

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose statements count, the most trusted first; the next is asked where one has no value. Left out: the
    /// sheet, then the source, as far as they are granted. All that are named must be granted.
    pub trust: Option<Vec<Trusted>>,
    /// The characters that separate entries in a text that is a list. Line ends separate always.
    #[serde(default = "separators")]
    pub separators: String,
    /// Expressions with named groups, read against every path; the first that has a group gives it.
    #[serde(default)]
    pub pattern: Vec<PatternConfig>,
    /// The asset's languages. Left out: no asset has one, and each serves all languages.
    pub language: Option<LanguageConfig>,
    /// The markets for which it may be used. Left out: all.
    pub market: Option<PlaceConfig>,
    /// The channels for which it may be used. Left out: all.
    pub channel: Option<PlaceConfig>,
    /// What it is a version of. Left out: every asset is a piece of its own.
    pub piece: Option<PieceConfig>,
    /// The folder, a pattern such as `/{market}/{language}/{channel}`.
    #[serde(default = "folder")]
    pub folder: String,
    /// The file's name, a pattern such as `{piece}_{language}.{file.extension}`.
    #[serde(default = "file_name")]
    pub file_name: String,
    /// What is done to the text of a placeholder in folders and file names, by its name without braces.
    #[serde(default)]
    pub normalise: BTreeMap<String, Vec<Normalise>>,
    /// The rendition of a channel; a channel that is not here gets the original.
    #[serde(default)]
    pub rendition: BTreeMap<String, RenditionConfig>,
    /// Which languages stand in for others.
    #[serde(default)]
    pub fallback: FallbackConfig,
    /// Code tables, by name; those not here are looked up at the host. What a code means may be a list.
    #[serde(default)]
    pub table: BTreeMap<String, BTreeMap<String, String>>,
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

/// One text, or several of which the first that has a value counts.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// An expression with named groups.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PatternConfig {
    /// What it is read against.
    #[serde(default)]
    pub on: On,
    /// The expression; `(?<name>…)` names a group, `(?i)` ignores case.
    pub regex: String,
}

/// What an expression is read against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// The absolute path, the file's name included.
    #[default]
    Path,
    /// The file's name.
    FileName,
}

/// The asset's languages.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LanguageConfig {
    /// A field of the source or a column of the sheet.
    pub field: Option<OneOrMany>,
    /// Where no field has a value: a pattern of groups, such as `{language}`.
    pub value: Option<OneOrMany>,
    /// Where there is nothing else.
    pub default: Option<String>,
    /// What is done to each entry, in order, before the table.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
    /// The table that turns an entry into a language's code. An entry that is such a code already stays.
    pub table: Option<String>,
    /// What becomes of an entry that the table does not have, and of an asset without any.
    #[serde(default)]
    pub unknown: Unknown,
    /// Codes that mean no language at all; `""` is that none is given.
    #[serde(default = "neutral")]
    pub neutral: Vec<String>,
    /// The fallback number of an asset without language: 0 is as good as one made for the language; more is
    /// after those that are, and must be after their stand-ins.
    #[serde(default)]
    pub neutral_fallback: u32,
}

/// The markets or channels for which an asset may be used.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlaceConfig {
    /// A field of the source or a column of the sheet.
    pub field: Option<OneOrMany>,
    /// Where no field has a value: a pattern of groups, such as `{market}`.
    pub value: Option<OneOrMany>,
    /// Where there is nothing else. Without it an asset of which nothing is known may be used for all.
    pub default: Option<String>,
    /// What is done to each entry, in order, before the table.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
    /// The table that turns an entry into codes of the market table. An entry that is such a code stays.
    pub table: Option<String>,
    /// What becomes of an entry that the table does not have.
    #[serde(default)]
    pub unknown: Unknown,
    /// Entries that mean all.
    #[serde(default)]
    pub all: Vec<String>,
    /// What an asset that may be used for all adds to its fallback number: 0 is as good as one made for the
    /// market or channel; more is after those that are.
    #[serde(default)]
    pub general_fallback: u32,
}

/// What an asset is a version of.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PieceConfig {
    /// A field of the source or a column of the sheet.
    pub field: Option<OneOrMany>,
    /// Where no field has a value: a pattern of groups, such as `{campaign} {motif}`.
    pub value: Option<OneOrMany>,
    /// What is done to the text, in order.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
    /// What becomes of an asset whose piece is not known.
    #[serde(default)]
    pub unknown: Unknown,
}

/// What becomes of what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The asset is held.
    #[default]
    Hold,
    /// It is left out, with a finding; the asset appears nowhere if nothing is left.
    LeaveOut,
}

/// One step of cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// No white space at either end.
    Trim,
    /// Lower case.
    Lower,
    /// Upper case.
    Upper,
    /// `_`, `-` and runs of white space become one blank.
    Spaces,
    /// `_`, `-` and runs of white space become one `-`.
    Dashes,
    /// `_`, `-` and runs of white space become one `_`.
    Underscores,
}

/// The rendition of a channel.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged)]
pub enum RenditionConfig {
    /// Its technical name; its files have the extension of the original.
    Name(String),
    /// Its technical name and its files' extension.
    Named(NamedRendition),
}

/// A rendition with an extension of its own.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedRendition {
    /// Its technical name.
    pub name: String,
    /// Its files' extension, such as `jpg`.
    pub extension: String,
}

/// Which languages stand in for others.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub struct FallbackConfig {
    /// Whether a language stands in for its regions where nothing is written: `de` for `de-AT`.
    #[serde(default = "yes")]
    pub implicit: bool,
    /// By the language wanted, which stand in for it, the best first, and no others. `*` is for all
    /// languages that are not written here, after the implicit ones.
    #[serde(flatten)]
    pub chains: BTreeMap<String, Vec<String>>,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        FallbackConfig {
            implicit: true,
            chains: BTreeMap::new(),
        }
    }
}

fn yes() -> bool {
    true
}

fn separators() -> String {
    ",;".to_owned()
}

fn neutral() -> Vec<String> {
    vec!["zxx".to_owned()]
}

fn folder() -> String {
    "/{market}/{language}/{channel}".to_owned()
}

fn file_name() -> String {
    "{file.stem}.{file.extension}".to_owned()
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
