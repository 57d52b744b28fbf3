//! Table-driven cases of a plugin, run against the built component under the real limits: TOML files
//! that say which asset gets which verdict under which configuration. Any language's component will do.
//!
//! ```toml
//! today = 2026-03-04            # what `today` answers; 2026-01-01 when left out
//! [config]                      # what the operator would write for this plugin
//! [tables.clients]              # what `lookup` finds
//! ACME = "Acme Corporation"
//!
//! [[case]]
//! name = "a campaign folder names its client"
//! path = "/ACME/CMP-1/key-visual.tif"
//! expect.fields = { client = "Acme Corporation", keywords = { keywords = ["a", "b"] } }
//! ```
//!
//! A case has a `name` and a `path`, and may have `size` in bytes, `modified`, `tags`, `asset_type`, and what is stated
//! about the asset, by origin and property: `sheet.Title = "Summer"`. A file may have `hook` where the plugin has
//! several (else it is the first of metadata, rights and localization), and `grants` where not all is granted that it asks for.
//!
//! Cases of a rights plugin have the release, too: `audience`, `market`, `channel`, `at` (midnight of
//! `today` when left out). Those of a localization plugin share a market table, `[[markets]]` with `code`, `languages` and
//! `channels`, and `gaps` may list the places that all of them together leave open, such as `"key-visual: CH it web"`.
//!
//! [`expect`] has what a case may expect. A case that expects nothing yet differs from whatever comes, and
//! blessing writes that down.

mod answer;
mod expect;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;
use windlass_core::{
    AssetId, AssetPath, AssetView, Coverage, Error, Gap, HookKind, Hooks, Kind, Market, Origin,
    Release, Result, Revision, Statement, Verdict,
};

pub(crate) use self::answer::Questions;
use self::answer::{Answer, ask};
use self::expect::Expect;
use crate::{LoadOptions, Plugin, PluginHost, Table};

/// The day of cases that name none.
const DAY: Date = Date::constant(2026, 1, 1);

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A file of cases, and how each went.
#[derive(Clone, Debug, Serialize)]
pub struct TestedFile {
    /// The file.
    pub file: PathBuf,
    /// Its cases in file order; none if they could not run.
    pub cases: Vec<TestedCase>,
    /// Why no case of it could run, or none could be blessed: it is not as cases are written, the plugin
    /// refuses its configuration, the file cannot be written.
    pub problem: Option<String>,
}

/// One case, and how it went.
#[derive(Clone, Debug, Serialize)]
pub struct TestedCase {
    /// The case's own name.
    pub name: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: CaseOutcome,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum CaseOutcome {
    /// What came is what was expected.
    Holds,
    /// Something else came.
    Differs {
        /// Lines of TOML: `-` what was expected, `+` what came, a blank what is the same.
        difference: String,
    },
    /// Something else came, and is expected from now on.
    Blessed {
        /// As for `Differs`.
        difference: String,
    },
}

/// The files of cases in a folder, by name, or the one file. Fails with `NotFound` if there is none: a
/// test that tests nothing must not pass.
pub fn case_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let none = |why: String| {
        Error::new(
            Kind::NotFound,
            format!("there are no cases in {}: {why}", path.display()),
        )
        .with_hint("write one: `[[case]]` with a name and a path, then `--bless` what comes")
    };
    let entries = fs::read_dir(path)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| none(error.to_string()))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    // What begins with a dot is an editor's.
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".toml") && !name.starts_with('.') && path.is_file()
    });
    files.sort();
    match files.is_empty() {
        true => Err(none("no file ends in .toml".to_owned())),
        false => Ok(files),
    }
}

impl PluginHost {
    /// Runs the cases of files against a component. With `bless`, what came is written into the cases
    /// that differ, except where the plugin failed; the rest of each file stays as its author wrote it.
    ///
    /// Fails as [`PluginHost::load`] does if the component cannot be used whatever its configuration is.
    pub async fn test(
        &self,
        component: &Path,
        files: &[PathBuf],
        bless: bool,
    ) -> Result<Vec<TestedFile>> {
        let mut tested = Vec::with_capacity(files.len());
        for file in files {
            tested.push(self.test_file(component, file, bless).await?);
        }
        Ok(tested)
    }

    async fn test_file(&self, component: &Path, file: &Path, bless: bool) -> Result<TestedFile> {
        let mut tested = TestedFile {
            file: file.to_owned(),
            cases: Vec::new(),
            problem: None,
        };
        let (text, written) = match CaseFile::read(file) {
            Ok(read) => read,
            Err(problem) => {
                tested.problem = Some(problem);
                return Ok(tested);
            }
        };
        let answered = match self.load_for(component, &written).await {
            Ok(plugin) => match written.questions(&plugin) {
                Ok(questions) => ask(&plugin, &questions).await,
                Err(problem) => {
                    tested.problem = Some(problem);
                    return Ok(tested);
                }
            },
            Err(error) => Err(error),
        };
        let answers = match answered {
            Ok(answers) => answers,
            // What a plugin says of its configuration is about this file only.
            Err(error) if matches!(error.kind(), Kind::Config | Kind::Plugin) => {
                tested.problem = Some(error.chain());
                return Ok(tested);
            }
            Err(error) => return Err(error),
        };
        tested.problem = written.gaps_differ(&answers);
        let cases = written.cases.iter().zip(&answers);
        let differences: Vec<_> = cases
            .map(|(case, answer)| expect::difference(case.expect.as_ref(), answer))
            .collect();
        let mut blessed: Vec<bool> = differences
            .iter()
            .zip(&answers)
            .map(|(difference, answer)| bless && difference.is_some() && !answer.is_failure())
            .collect();
        if blessed.contains(&true) {
            let fresh = written.blessed(&text, &answers, &blessed);
            if let Err(problem) = fresh.and_then(|fresh| replace(file, &text, &fresh)) {
                tested.problem = Some(problem);
                blessed.fill(false);
            }
        }
        let cases = written.cases.into_iter().zip(differences).zip(blessed);
        tested.cases = cases
            .map(|((case, difference), blessed)| TestedCase {
                name: case.name,
                outcome: match (difference, blessed) {
                    (None, _) => CaseOutcome::Holds,
                    (Some(difference), true) => CaseOutcome::Blessed { difference },
                    (Some(difference), false) => CaseOutcome::Differs { difference },
                },
            })
            .collect();
        Ok(tested)
    }

    async fn load_for(&self, component: &Path, file: &CaseFile) -> Result<Plugin> {
        let (host, component) = (self.clone(), component.to_owned());
        let options = file.load_options();
        tokio::task::spawn_blocking(move || host.load(&component, options))
            .await
            .map_err(|error| {
                Error::new(Kind::Unexpected, "loading the plugin ended abnormally")
                    .with_source(error)
            })?
    }
}

/// A file of cases, read and found right.
pub(crate) struct CaseFile {
    config: serde_json::Value,
    tables: BTreeMap<String, BTreeMap<String, String>>,
    today: Date,
    hook: Option<HookKind>,
    grants: Option<Vec<Origin>>,
    markets: Vec<Market>,
    gaps: Option<Vec<String>>,
    cases: Vec<Case>,
    /// What each case asks about.
    assets: Vec<AssetView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    today: Option<toml::Value>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    tables: BTreeMap<String, BTreeMap<String, String>>,
    hook: Option<HookKind>,
    grants: Option<Vec<Origin>>,
    #[serde(default)]
    markets: Vec<Market>,
    gaps: Option<Vec<String>>,
    #[serde(rename = "case", default)]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    path: String,
    #[serde(default)]
    size: u64,
    modified: Option<toml::Value>,
    #[serde(default)]
    tags: Vec<String>,
    asset_type: Option<String>,
    #[serde(default)]
    source: toml::Table,
    #[serde(default)]
    sheet: toml::Table,
    #[serde(default)]
    sidecar: toml::Table,
    #[serde(default)]
    embedded: toml::Table,
    audience: Option<String>,
    market: Option<String>,
    channel: Option<String>,
    at: Option<toml::Value>,
    expect: Option<Expect>,
}

impl CaseFile {
    /// The file's text and what it says, or what is wrong with it.
    pub(crate) fn read(file: &Path) -> Result<(String, CaseFile), String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let mut written: Written = toml::from_str(&text).map_err(|error| error.to_string())?;
        if written.cases.is_empty() {
            return Err("it has no [[case]]".to_owned());
        }
        let mut names = BTreeSet::new();
        let twice = written.cases.iter().find(|case| !names.insert(&case.name));
        if let Some(Case { name, .. }) = twice {
            return Err(format!("two cases are called {name:?}"));
        }
        for case in &mut written.cases {
            case.expect = case.expect.take().map(Expect::with_days_as_text);
        }
        let assets = written.cases.iter().enumerate().map(|(number, case)| {
            case.asset(number)
                .map_err(|why| format!("case {:?}: {why}", case.name))
        });
        let today = written.today.map(|today| {
            let text = moment(&today);
            // A time of day would be ignored.
            let day = text.filter(|text| text.len() == DAY.to_string().len());
            day.and_then(|day| day.parse().ok())
                .ok_or_else(|| format!("today = {today} is no day, such as 2026-03-04"))
        });
        let file = CaseFile {
            assets: assets.collect::<Result<_, _>>()?,
            config: crate::config_json(&written.config).map_err(|error| error.chain())?,
            tables: written.tables,
            today: today.transpose()?.unwrap_or(DAY),
            hook: written.hook,
            grants: written.grants,
            markets: written.markets,
            gaps: written.gaps,
            cases: written.cases,
        };
        Ok((text, file))
    }

    /// What a plugin is given for these cases.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let tables = self.tables.iter();
        LoadOptions {
            config: self.config.clone(),
            granted: self.grants.clone(),
            tables: tables
                .map(|(name, pairs)| (name.clone(), Table::of_pairs(pairs.clone())))
                .collect(),
            ..LoadOptions::new(self.today)
        }
    }

    /// What its cases ask a plugin, or why they cannot.
    pub(crate) fn questions(&self, plugin: &Plugin) -> Result<Questions, String> {
        // A loaded plugin has one at least.
        let hook = match (self.hook, plugin.kinds()) {
            (Some(hook), kinds) if !kinds.contains(&hook) => {
                return Err(format!("the plugin has no {} hook", hook.name()));
            }
            (Some(hook), _) => hook,
            (None, kinds) => kinds.first().copied().unwrap_or(HookKind::Metadata),
        };
        if hook != HookKind::Localization && !self.markets.is_empty() {
            return Err("only a localization plugin has [[markets]]".to_owned());
        }
        let released = self.cases.iter().find(|case| case.is_of_release());
        if let (Some(case), false) = (released, hook == HookKind::Rights) {
            let name = &case.name;
            return Err(format!(
                "case {name:?} has what only a rights plugin is told"
            ));
        }
        Ok(match hook {
            HookKind::Metadata => Questions::Describe(self.assets.clone()),
            HookKind::Localization => Questions::Route(self.assets.clone(), self.markets.clone()),
            HookKind::Rights => {
                let releases = self.cases.iter().zip(&self.assets);
                let releases = releases.map(|(case, asset)| case.release(asset, self.today));
                Questions::Decide(releases.collect::<Result<_, _>>()?)
            }
        })
    }

    /// How the places of the market table that no case's asset fills differ from those that the file names, if it names
    /// any.
    fn gaps_differ(&self, answers: &[Answer]) -> Option<String> {
        let wanted = self.gaps.as_ref()?;
        let mut coverage = Coverage::of(&self.markets);
        for (asset, answer) in self.assets.iter().zip(answers) {
            if let Answer::Routing(Verdict::Ready(routing)) = answer {
                coverage.add(&asset.id, routing);
            }
        }
        let gaps: Vec<String> = coverage.settle().gaps.iter().map(Gap::to_string).collect();
        (gaps != *wanted).then(|| format!("its gaps are {gaps:?}, not {wanted:?}"))
    }

    /// The file's text with the answers to chosen cases as what they expect.
    fn blessed(&self, text: &str, answers: &[Answer], chosen: &[bool]) -> Result<String, String> {
        // The editor knows one line end and no byte order mark; both are put back.
        let plain = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let crlf = plain.matches("\r\n").count();
        if crlf > 0 && crlf != plain.matches('\n').count() {
            return Err("its lines end in two ways: blessing needs one".to_owned());
        }
        let mut document: DocumentMut = plain.parse().map_err(|error| format!("{error}"))?;
        let tables = document["case"]
            .as_array_of_tables_mut()
            .ok_or("write the cases as [[case]] to have them blessed")?;
        for (index, table) in tables.iter_mut().enumerate() {
            if chosen[index] {
                let given = Expect::of(&answers[index], self.cases[index].expect.as_ref());
                given.write_to(table);
            }
        }
        let mut fresh = document.to_string();
        if crlf > 0 {
            fresh = fresh.replace("\r\n", "\n").replace('\n', "\r\n");
        }
        if text.starts_with(BYTE_ORDER_MARK) {
            fresh.insert(0, BYTE_ORDER_MARK);
        }
        Ok(fresh)
    }
}

impl Case {
    fn asset(&self, number: usize) -> Result<AssetView, String> {
        if self.name.chars().any(char::is_control) {
            return Err("its name is not one line of plain text".to_owned());
        }
        if !self.path.starts_with('/') || self.path.ends_with('/') {
            let path = &self.path;
            return Err(format!(
                "{path:?} is no path of a file, such as \"/A/b.tif\""
            ));
        }
        self.expect.as_ref().map_or(Ok(()), Expect::check)?;
        let modified = self.modified.as_ref().map(|modified| {
            let time = moment(modified).and_then(|text| text.parse::<Timestamp>().ok());
            time.ok_or_else(|| {
                format!("modified = {modified} is no time, such as 2026-03-04T10:46:13Z")
            })
        });
        Ok(AssetView {
            id: AssetId::new(format!("id:{number}")),
            path: AssetPath::new(&self.path),
            revision: Revision::new("1"),
            size: self.size,
            modified: modified.transpose()?,
            tags: self.tags.clone(),
            content_hash: None,
            asset_type: self.asset_type.clone(),
            statements: self.statements()?,
        })
    }

    fn statements(&self) -> Result<Vec<Statement>, String> {
        let mut statements = Vec::new();
        for (origin, table) in [
            (Origin::Source, &self.source),
            (Origin::Sheet, &self.sheet),
            (Origin::Sidecar, &self.sidecar),
            (Origin::Embedded, &self.embedded),
        ] {
            for (name, value) in table {
                let value = answer::read_value(value);
                statements.push(Statement {
                    origin,
                    name: name.clone(),
                    value: value.map_err(|why| format!("{}.{name} {why}", origin.name()))?,
                });
            }
        }
        Ok(statements)
    }

    /// Whether it has what only a release has.
    fn is_of_release(&self) -> bool {
        let named = [&self.audience, &self.market, &self.channel];
        self.at.is_some() || named.into_iter().any(Option::is_some)
    }

    fn release(&self, asset: &AssetView, today: Date) -> Result<Release, String> {
        let at = self.at.as_ref().map(|at| {
            let time = moment(at).and_then(|text| text.parse::<Timestamp>().ok());
            time.ok_or_else(|| {
                let name = &self.name;
                format!("case {name:?}: at = {at} is no time, such as 2026-03-04T10:46:13Z")
            })
        });
        let midnight = today.to_zoned(TimeZone::UTC).map(|day| day.timestamp());
        Ok(Release {
            asset: asset.clone(),
            audience: self.audience.clone().unwrap_or_default(),
            market: self.market.clone(),
            channel: self.channel.clone(),
            at: match at {
                Some(at) => at?,
                None => midnight.map_err(|error| error.to_string())?,
            },
        })
    }
}

/// A day or a time, as TOML's own or as text.
fn moment(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::Datetime(moment) => Some(moment.to_string()),
        toml::Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// Replaces a file's text as a whole, or says why not: who is interrupted keeps the old one. A link stays a link,
/// the file's permissions stay, and what somebody saved meanwhile is not written over.
fn replace(file: &Path, before: &str, after: &str) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("it cannot be written: {error}");
    let file = file.canonicalize().map_err(problem)?;
    let permissions = fs::metadata(&file).map_err(problem)?.permissions();
    if permissions.readonly() {
        return Err("it cannot be written: it is read-only".to_owned());
    }
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut fresh = tempfile::NamedTempFile::new_in(folder).map_err(problem)?;
    fresh.write_all(after.as_bytes()).map_err(problem)?;
    fresh
        .as_file()
        .set_permissions(permissions)
        .map_err(problem)?;
    if fs::read_to_string(&file).map_err(problem)? != before {
        return Err("it changed while its cases ran: bless again".to_owned());
    }
    fresh
        .persist(&file)
        .map(drop)
        .map_err(|error| problem(error.error))
}
