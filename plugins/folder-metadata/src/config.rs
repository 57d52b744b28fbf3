//! What the operator writes, and what it means once checked.
//!
//! Everything that can be found wrong without an asset is found here, with the key at fault: a
//! template that does not parse, a reference to a name that no template keeps, an unknown table.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
use schemars::JsonSchema;
use serde::Deserialize;
use windlass_sdk::{Host, LookupError, Origin};

use crate::pattern::Pattern;
use crate::stated::{TRUST, Trusted};
use crate::template::Template;

/// Templates of one configuration: a bound on what one asset can cost.
const TEMPLATES_MAX: usize = 64;

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Path templates, tried in order; see [`crate::template`].
    pub templates: Vec<String>,
    /// Whether text and expressions of templates ignore ASCII case.
    #[serde(default = "yes")]
    pub ignore_case: bool,
    /// What happens to a file in a folder that fits no template.
    #[serde(default)]
    pub unmatched: Unmatched,
    /// How captures are cleaned and translated, by name.
    #[serde(default)]
    pub capture: BTreeMap<String, CaptureConfig>,
    /// Code tables, by name; those not here are looked up at the host.
    #[serde(default)]
    pub table: BTreeMap<String, BTreeMap<String, String>>,
    /// Fields, in the order in which they are assigned.
    #[serde(default)]
    pub field: Vec<FieldConfig>,
    /// The asset type.
    #[serde(default)]
    pub asset_type: AssetTypeConfig,
    /// The target collection, a pattern such as `/Campaigns/{client}/{campaign}`.
    pub collection: Option<String>,
    /// The asset's name, a pattern such as `{client} {file.stem}`.
    pub name: Option<String>,
    /// Who is believed first where several state a field; who is not named is not believed.
    #[serde(default = "trust")]
    pub trust: Vec<Trusted>,
}

/// What happens to a file in a folder that fits no template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unmatched {
    /// It is held.
    #[default]
    Hold,
    /// It goes on with what needs no capture, and a finding.
    Pass,
}

/// How one capture is cleaned and translated.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CaptureConfig {
    /// Texts that are replaced by others, longest first, before anything else.
    #[serde(default)]
    pub replace: BTreeMap<String, String>,
    /// What is done to the text, in order.
    #[serde(default)]
    pub normalise: Vec<Normalise>,
    /// The table that turns the code into what is meant.
    pub table: Option<String>,
    /// The table's column, for tables of the host that have several.
    pub column: Option<String>,
    /// What happens to a code that the table does not have.
    #[serde(default)]
    pub unknown: Unknown,
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
    /// The first letter of each word in upper case, the others in lower case.
    Title,
    /// `_` and runs of white space become one blank.
    Spaces,
    /// Unicode normal form C. Paths are brought to it before matching anyway; this is for tables.
    Nfc,
}

/// What happens to a code that its table does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// The asset is held.
    #[default]
    Hold,
    /// The code itself is used, with a finding.
    Keep,
    /// What needs it is left out, with a finding.
    LeaveOut,
}

/// One field, as written.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FieldConfig {
    /// The field's technical name in the target system.
    pub field: String,
    /// A pattern, or several for keywords and references: what the path gives.
    pub value: Option<OneOrMany>,
    /// The sheet's column that states it.
    pub sheet: Option<String>,
    /// The property of the XMP file beside the asset that states it, such as `dc:title`.
    pub sidecar: Option<String>,
    /// The property of the file that states it.
    pub embedded: Option<String>,
    /// Who is believed first, for this field; else as [`Config::trust`] says.
    pub trust: Option<Vec<Trusted>>,
    /// How the text becomes a value.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// The language, for a localized text.
    pub locale: Option<String>,
    /// What separates entries of keywords and references.
    pub separator: Option<String>,
    /// How a date is written: `YYYY`, `MM`, `DD` and anything between them.
    pub format: Option<String>,
    /// Whether the asset is held if the value cannot be had.
    #[serde(default)]
    pub required: bool,
}

/// One text or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// The types that a field can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One text.
    #[default]
    Text,
    /// One text a language; several entries of one field make one value.
    LocalizedText,
    /// A whole number.
    Number,
    /// A number with a fraction, `.` before it.
    Decimal,
    /// A calendar day.
    Date,
    /// `true`, `yes`, `1` or `false`, `no`, `0`.
    Boolean,
    /// Free keywords.
    Keywords,
    /// Entries of a vocabulary.
    References,
}

/// How an asset gets its type.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AssetTypeConfig {
    /// The type of files that no list names.
    pub default: Option<String>,
    /// Extensions by type: `{ Image = ["jpg", "png"] }`. Without dots, any case.
    #[serde(default)]
    pub by_extension: BTreeMap<String, Vec<String>>,
}

/// A checked configuration.
#[derive(Debug)]
pub struct Checked {
    /// Compiled templates.
    pub templates: Vec<Template>,
    /// See [`Config::unmatched`].
    pub unmatched: Unmatched,
    /// See [`Config::capture`].
    pub capture: BTreeMap<String, CaptureConfig>,
    /// See [`Config::table`].
    pub table: BTreeMap<String, BTreeMap<String, String>>,
    /// Fields with their patterns.
    pub fields: Vec<Field>,
    /// The type of files that no list names.
    pub default_type: Option<String>,
    /// Types by lower-case extension.
    pub type_of: BTreeMap<String, String>,
    /// The collection's pattern.
    pub collection: Option<Pattern>,
    /// The name's pattern.
    pub name: Option<Pattern>,
}

/// One field, checked.
#[derive(Debug)]
pub struct Field {
    /// As written.
    pub config: FieldConfig,
    /// Its patterns; exactly one unless it is a list of keywords or references.
    pub patterns: Vec<Pattern>,
    /// Who is asked for it, in order.
    pub trust: Vec<Trusted>,
}

impl Field {
    /// Whether it may be stated otherwise than by the path.
    pub fn is_stated(&self) -> bool {
        self.trust.iter().any(|trusted| *trusted != Trusted::Path)
    }
}

fn yes() -> bool {
    true
}

fn trust() -> Vec<Trusted> {
    TRUST.to_vec()
}

impl Config {
    /// Checks and compiles. The error is one sentence that names the key at fault.
    pub fn check(self, granted: &[Origin], host: &dyn Host) -> Result<Checked, String> {
        if self.templates.is_empty() || self.templates.len() > TEMPLATES_MAX {
            return Err(format!(
                "key \"templates\": 1 to {TEMPLATES_MAX} templates are needed"
            ));
        }
        let mut templates = Vec::new();
        for (index, text) in self.templates.iter().enumerate() {
            let template = Template::parse(text, self.ignore_case);
            templates
                .push(template.map_err(|e| format!("key \"templates\", no. {}: {e}", index + 1))?);
        }
        let names: BTreeSet<&str> = templates
            .iter()
            .flat_map(|t| t.names())
            .map(String::as_str)
            .collect();
        check_captures(&self.capture, &self.table, &names, host)?;
        let mut fields = Vec::new();
        for field in self.field {
            let key = format!("key \"field\", {:?}", field.field);
            let field = Field::check(field, &names, &self.trust, granted);
            let field = field.map_err(|e| format!("{key}: {e}"))?;
            check_repeated(&fields, &field).map_err(|e| format!("{key}: {e}"))?;
            fields.push(field);
        }
        let pattern = |key: &str, text: Option<String>| {
            let parsed = text.map(|text| Pattern::parse(&text, &names)).transpose();
            parsed.map_err(|e| format!("key {key:?}: {e}"))
        };
        if self
            .collection
            .as_ref()
            .is_some_and(|text| !text.starts_with('/'))
        {
            return Err("key \"collection\": a collection starts with \"/\"".to_owned());
        }
        Ok(Checked {
            unmatched: self.unmatched,
            fields,
            type_of: types_by_extension(&self.asset_type)?,
            default_type: self.asset_type.default,
            collection: pattern("collection", self.collection)?,
            name: pattern("name", self.name)?,
            capture: self.capture,
            table: self.table,
            templates,
        })
    }
}

impl Field {
    fn check(
        config: FieldConfig,
        names: &BTreeSet<&str>,
        trust: &[Trusted],
        granted: &[Origin],
    ) -> Result<Self, String> {
        let is_list = matches!(config.kind, Kind::Keywords | Kind::References);
        let texts = match &config.value {
            None => &[],
            Some(OneOrMany::One(text)) => std::slice::from_ref(text),
            Some(OneOrMany::Many(texts)) if is_list => texts.as_slice(),
            Some(OneOrMany::Many(_)) => {
                return Err("only keywords and references take a list".to_owned());
            }
        };
        let trust = trusted(&config, trust, granted)?;
        let patterns: Result<Vec<_>, _> = texts.iter().map(|t| Pattern::parse(t, names)).collect();
        let has_locale = config
            .locale
            .as_ref()
            .is_some_and(|locale| !locale.is_empty());
        if (config.kind == Kind::LocalizedText) != has_locale {
            return Err("\"locale\" belongs to type \"localized-text\", which needs it".to_owned());
        }
        if config
            .separator
            .as_ref()
            .is_some_and(|s| !is_list || s.is_empty())
        {
            return Err("\"separator\" belongs to keywords and references".to_owned());
        }
        if let Some(format) = &config.format {
            if config.kind != Kind::Date {
                return Err("\"format\" belongs to type \"date\"".to_owned());
            }
            if !format.contains("YYYY") {
                return Err(format!("the format {format:?} has no YYYY"));
            }
        }
        Ok(Field {
            patterns: patterns?,
            trust,
            config,
        })
    }
}

/// Who is asked for a field, in order: those of the trust order who can say something about it.
fn trusted(
    config: &FieldConfig,
    trust: &[Trusted],
    granted: &[Origin],
) -> Result<Vec<Trusted>, String> {
    let order = config.trust.as_deref().unwrap_or(trust);
    let says = |trusted: Trusted| match trusted {
        Trusted::Path => config.value.is_some(),
        other => other.property(config).is_some(),
    };
    if let Some(unheard) = TRUST.into_iter().find(|t| says(*t) && !order.contains(t)) {
        let name = format!("{unheard:?}").to_lowercase();
        let key = if unheard == Trusted::Path {
            "value"
        } else {
            &*name
        };
        return Err(format!(
            "its trust lacks {name:?}: add it, or leave {key:?} out"
        ));
    }
    let asked: Vec<Trusted> = order.iter().copied().filter(|t| says(*t)).collect();
    if asked.is_empty() {
        return Err(
            "it needs one of \"value\", \"sheet\", \"sidecar\" and \"embedded\"".to_owned(),
        );
    }
    for trusted in &asked {
        if trusted
            .origin()
            .is_some_and(|origin| !granted.contains(&origin))
        {
            let name = format!("{trusted:?}").to_lowercase();
            return Err(format!(
                "\"{name}\" is not granted: add \"{name}\" to the plugin's `grants`"
            ));
        }
    }
    match order
        .iter()
        .enumerate()
        .find(|(at, t)| order[..*at].contains(t))
    {
        Some((_, twice)) => Err(format!("{twice:?} is twice in its order of trust").to_lowercase()),
        None => Ok(asked),
    }
}

/// A field comes once, except for the languages of one text.
fn check_repeated(earlier: &[Field], field: &Field) -> Result<(), String> {
    for other in earlier
        .iter()
        .filter(|other| other.config.field == field.config.field)
    {
        let both_localized = [&other.config, &field.config]
            .iter()
            .all(|config| config.kind == Kind::LocalizedText);
        if !both_localized || other.config.locale == field.config.locale {
            return Err("it is assigned twice".to_owned());
        }
    }
    Ok(())
}

fn check_captures(
    captures: &BTreeMap<String, CaptureConfig>,
    tables: &BTreeMap<String, BTreeMap<String, String>>,
    names: &BTreeSet<&str>,
    host: &dyn Host,
) -> Result<(), String> {
    for (name, capture) in captures {
        let key = format!("key \"capture.{name}\"");
        if !names.contains(name.as_str()) {
            return Err(format!("{key}: no template keeps {{{name}}}"));
        }
        let Some(table) = &capture.table else {
            continue;
        };
        if tables.contains_key(table) {
            if capture.column.is_some() {
                return Err(format!(
                    "{key}: the table {table:?} is written here and has no columns"
                ));
            }
            continue;
        }
        match host.lookup(table, "", capture.column.as_deref()) {
            Ok(_) => {}
            Err(LookupError::UnknownTable) => {
                return Err(format!(
                    "{key}: there is no table {table:?}, here or at the host"
                ));
            }
            Err(LookupError::UnknownColumn) => {
                return Err(format!("{key}: the table {table:?} has no such column"));
            }
        }
    }
    Ok(())
}

fn types_by_extension(config: &AssetTypeConfig) -> Result<BTreeMap<String, String>, String> {
    let mut types = BTreeMap::new();
    for (name, extensions) in &config.by_extension {
        for extension in extensions {
            let extension = extension.trim_start_matches('.').to_lowercase();
            if let Some(other) = types.insert(extension.clone(), name.clone()) {
                return Err(format!(
                    "key \"asset_type.by_extension\": {extension:?} is both {other} and {name}"
                ));
            }
        }
    }
    Ok(types)
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
