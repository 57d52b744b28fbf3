//! The configuration, checked: all that can be found wrong without an asset is found here, with its key.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use windlass_sdk::{Host, LookupError, Origin};

use crate::asset::Expression;
use crate::codes::{Origins, Table, split};
use crate::config::{
    Config, LanguageConfig, Normalise, OneOrMany, PatternConfig, PieceConfig, PlaceConfig,
    RenditionConfig, Unknown,
};
use crate::fallback::Fallback;
use crate::names::{fold, is_forbidden};
use crate::pattern::{Names, Pattern, Reference};
use crate::trust::trust;

/// Expressions, and fields or values of one section: bounds on what one asset can cost.
const EXPRESSIONS_MAX: usize = 16;
const SOURCES_MAX: usize = 8;

/// What stands for no language in names if nothing is configured: ISO 639 for no linguistic content.
const NO_LANGUAGE: &str = "zxx";

/// What the router works with.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) trust: Vec<Origin>,
    pub(crate) separators: String,
    pub(crate) expressions: Vec<Expression>,
    pub(crate) language: Option<Origins>,
    /// Whether an asset of which no language is given has none.
    pub(crate) none_is_neutral: bool,
    /// How an asset without language is called in names.
    pub(crate) neutral: String,
    pub(crate) neutral_fallback: u32,
    pub(crate) market: Option<Origins>,
    pub(crate) channel: Option<Origins>,
    /// What an asset for all markets, and one for all channels, adds to its fallback number.
    pub(crate) general_fallback: (u32, u32),
    pub(crate) piece: Option<Origins>,
    /// A pattern for each part of the folder.
    pub(crate) folder: Vec<Pattern>,
    pub(crate) file_name: Pattern,
    pub(crate) normalise: Vec<(Reference, Vec<Normalise>)>,
    /// Rendition and extension by folded channel.
    pub(crate) rendition: BTreeMap<String, (String, Option<String>)>,
    pub(crate) fallback: Fallback,
}

/// What the sections of codes have in common.
struct Section {
    key: &'static str,
    field: Option<OneOrMany>,
    value: Option<OneOrMany>,
    default: Option<String>,
    normalise: Vec<Normalise>,
    table: Option<String>,
    unknown: Unknown,
    special: Vec<String>,
}

/// What a section is checked against.
struct Given<'a> {
    trust: &'a [Origin],
    groups: &'a BTreeSet<String>,
    tables: &'a BTreeMap<String, BTreeMap<String, String>>,
    separators: &'a str,
    host: &'a dyn Host,
}

impl Config {
    /// Checks and compiles. The error is one sentence that names the key at fault.
    pub(crate) fn check(self, granted: &[Origin], host: &dyn Host) -> Result<Checked, String> {
        let trust = trust(self.trust.as_deref(), granted)?;
        let expressions = expressions(&self.pattern)?;
        let groups: BTreeSet<String> = expressions
            .iter()
            .flat_map(|expression| expression.regex.capture_names().flatten())
            .map(str::to_owned)
            .collect();
        let given = Given {
            trust: &trust,
            groups: &groups,
            tables: &self.table,
            separators: &self.separators,
            host,
        };
        let check = |section: Section| section.check(&given);
        let fallback = Fallback::new(&self.fallback);
        let fallback = fallback.map_err(|why| format!("key \"fallback\": {why}"))?;
        let neutral = self.language.as_ref();
        let (neutral, neutral_fallback) = neutral.map_or((Vec::new(), 0), |language| {
            (language.neutral.clone(), language.neutral_fallback)
        });
        let number_max = fallback.number_max();
        if neutral_fallback > 0 && neutral_fallback as usize <= number_max {
            return Err(format!(
                "key \"language.neutral_fallback\": {neutral_fallback} would stand among the stand-ins of other \
                 languages, which go up to {number_max}: write 0 or more"
            ));
        }
        let names = Names {
            placement: true,
            piece: self.piece.is_some(),
            groups: &groups,
        };
        let file_name = file_name(&self.file_name, names);
        let general =
            |place: &Option<PlaceConfig>| place.as_ref().map_or(0, |p| p.general_fallback);
        Ok(Checked {
            general_fallback: (general(&self.market), general(&self.channel)),
            none_is_neutral: self.language.is_none() || neutral.iter().any(|n| n.trim().is_empty()),
            neutral: neutral
                .iter()
                .find(|code| !code.trim().is_empty())
                .map_or_else(|| NO_LANGUAGE.to_owned(), Clone::clone),
            neutral_fallback,
            language: self
                .language
                .map(Section::of_language)
                .map(check)
                .transpose()?,
            market: self
                .market
                .map(|c| check(Section::of_place("market", c)))
                .transpose()?,
            channel: self
                .channel
                .map(|c| check(Section::of_place("channel", c)))
                .transpose()?,
            piece: self.piece.map(Section::of_piece).map(check).transpose()?,
            folder: folder(&self.folder, names).map_err(|why| format!("key \"folder\": {why}"))?,
            file_name: file_name.map_err(|why| format!("key \"file_name\": {why}"))?,
            normalise: normalise(self.normalise, names)?,
            rendition: renditions(self.rendition)?,
            trust,
            separators: self.separators,
            expressions,
            fallback,
        })
    }
}

impl Section {
    fn of_language(config: LanguageConfig) -> Self {
        Section {
            key: "language",
            field: config.field,
            value: config.value,
            default: config.default,
            normalise: config.normalise,
            table: config.table,
            unknown: config.unknown,
            special: config.neutral,
        }
    }

    fn of_place(key: &'static str, config: PlaceConfig) -> Self {
        Section {
            key,
            field: config.field,
            value: config.value,
            default: config.default,
            normalise: config.normalise,
            table: config.table,
            unknown: config.unknown,
            special: config.all,
        }
    }

    fn of_piece(config: PieceConfig) -> Self {
        Section {
            key: "piece",
            field: config.field,
            value: config.value,
            default: None,
            normalise: config.normalise,
            table: None,
            unknown: config.unknown,
            special: Vec::new(),
        }
    }

    fn check(self, given: &Given<'_>) -> Result<Origins, String> {
        let key = self.key;
        let fields = texts(&format!("{key}.field"), self.field)?;
        if !fields.is_empty() && given.trust.is_empty() {
            return Err(format!(
                "key \"{key}.field\": what the source or the sheet states is not granted: set grants = [\"source\"], \
                 grants = [\"sheet\"] or both for this plugin, or use \"{key}.value\""
            ));
        }
        let names = Names {
            placement: false,
            piece: false,
            groups: given.groups,
        };
        let values = texts(&format!("{key}.value"), self.value)?;
        let values = values.iter().map(|text| Pattern::parse(text, names));
        let values: Result<Vec<_>, _> = values.collect();
        let values = values.map_err(|why| format!("key \"{key}.value\": {why}"))?;
        if fields.is_empty() && values.is_empty() && self.default.is_none() {
            return Err(format!(
                "key {key:?}: it needs \"field\" or \"value\" to read anything"
            ));
        }
        let table = self.table.map(|name| given.table(key, name));
        Ok(Origins {
            key,
            fields,
            values,
            default: self.default,
            normalise: self.normalise,
            table: table.transpose()?,
            unknown: self.unknown,
            special: self.special.iter().map(|code| fold(code)).collect(),
        })
    }
}

impl Given<'_> {
    fn table(&self, key: &str, name: String) -> Result<Table, String> {
        let rows = self.tables.get(&name).cloned();
        let is_there = || self.host.lookup(&name, "", None) != Err(LookupError::UnknownTable);
        if rows.is_none() && !is_there() {
            return Err(format!(
                "key \"{key}.table\": there is no table {name:?}, here or at the host"
            ));
        }
        let meanings = rows.iter().flat_map(BTreeMap::values);
        let meanings = meanings.flat_map(|meaning| split(meaning, self.separators));
        Ok(Table {
            meanings: meanings.map(fold).collect(),
            name,
            rows,
        })
    }
}

fn expressions(written: &[PatternConfig]) -> Result<Vec<Expression>, String> {
    if written.len() > EXPRESSIONS_MAX {
        return Err(format!(
            "key \"pattern\": at most {EXPRESSIONS_MAX} are taken"
        ));
    }
    let compile = |(index, config): (usize, &PatternConfig)| {
        let key = format!("key \"pattern\", no. {}", index + 1);
        let regex = Regex::new(&config.regex).map_err(|why| format!("{key}: {why}"))?;
        match regex.capture_names().flatten().next() {
            None => Err(format!(
                "{key}: no group has a name, such as (?<language>[a-z]+)"
            )),
            Some(_) => Ok(Expression {
                on: config.on,
                regex,
            }),
        }
    };
    written.iter().enumerate().map(compile).collect()
}

fn texts(key: &str, written: Option<OneOrMany>) -> Result<Vec<String>, String> {
    let texts = match written {
        None => return Ok(Vec::new()),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    };
    let is_wrong = texts.is_empty()
        || texts.len() > SOURCES_MAX
        || texts.iter().any(|text| text.trim().is_empty());
    match is_wrong {
        true => Err(format!("key {key:?}: write 1 to {SOURCES_MAX} texts")),
        false => Ok(texts),
    }
}

fn folder(text: &str, names: Names<'_>) -> Result<Vec<Pattern>, String> {
    if text == "/" {
        return Ok(Vec::new());
    }
    let Some(below) = text.strip_prefix('/') else {
        return Err("a folder starts with \"/\"".to_owned());
    };
    let part = |part: &str| {
        let pattern = Pattern::parse(part, names)?;
        check_literals(part, &pattern)?;
        Ok(pattern)
    };
    below.split('/').map(part).collect()
}

fn file_name(text: &str, names: Names<'_>) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text, names)?;
    check_literals(text, &pattern)?;
    Ok(pattern)
}

/// Plain text of a name is taken as it is written, so it must be able to stand there.
fn check_literals(text: &str, pattern: &Pattern) -> Result<(), String> {
    if let Some(bad) = pattern
        .literals()
        .flat_map(str::chars)
        .find(|c| is_forbidden(*c))
    {
        return Err(format!("{bad:?} cannot be in a name"));
    }
    let is_literal = pattern.references().next().is_none();
    match is_literal && text.trim_end_matches(['.', ' ']).is_empty() {
        true => Err(format!("the name {text:?} is empty")),
        false => Ok(()),
    }
}

fn normalise(
    written: BTreeMap<String, Vec<Normalise>>,
    names: Names<'_>,
) -> Result<Vec<(Reference, Vec<Normalise>)>, String> {
    let parse = |(name, steps): (String, Vec<Normalise>)| match Reference::parse(&name, names) {
        Ok(reference) => Ok((reference, steps)),
        Err(why) => Err(format!("key \"normalise\": {why}")),
    };
    written.into_iter().map(parse).collect()
}

fn renditions(
    written: BTreeMap<String, RenditionConfig>,
) -> Result<BTreeMap<String, (String, Option<String>)>, String> {
    let mut renditions = BTreeMap::new();
    for (channel, config) in written {
        let key = format!("rendition.{channel}");
        let (name, extension) = match config {
            RenditionConfig::Name(name) => (name, None),
            RenditionConfig::Named(named) => (named.name, Some(named.extension)),
        };
        let extension = extension.map(|text| text.trim_start_matches('.').to_owned());
        let is_wrong = |text: &str| text.trim().is_empty() || text.chars().any(is_forbidden);
        if name.trim().is_empty() || extension.as_deref().is_some_and(is_wrong) {
            return Err(format!("key {key:?}: the name or the extension is none"));
        }
        if renditions
            .insert(fold(&channel), (name, extension))
            .is_some()
        {
            return Err(format!("key {key:?}: it is there twice"));
        }
    }
    Ok(renditions)
}
