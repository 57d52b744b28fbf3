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
//! A case has a `name` and a `path`, and may have `size` in bytes, `modified` (RFC 3339) and `tags`.
//! [`expect`] has what it may expect. A case that expects nothing yet differs from whatever comes, and
//! blessing writes that down.

mod expect;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;
use windlass_core::{
    AssetId, AssetPath, AssetView, Error, Hooks, Kind, Mapping, Result, Revision, Verdict,
};

use self::expect::Expect;
use crate::{LoadOptions, Plugin, PluginHost, Table};

/// The day of cases that name none.
const DAY: Date = Date::constant(2026, 1, 1);

/// A file of cases, and how each went.
#[derive(Clone, Debug, Serialize)]
pub struct TestedFile {
    /// The file.
    pub file: PathBuf,
    /// Its cases in file order; none if there is a problem.
    pub cases: Vec<TestedCase>,
    /// Why no case of it could run: it is not as cases are written, or the plugin refuses its
    /// configuration.
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

/// The files of cases in a folder, by name. Fails with `NotFound` if it has none: a test that tests
/// nothing must not pass.
pub fn case_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let none = |why: String| {
        Error::new(
            Kind::NotFound,
            format!("there are no cases in {}: {why}", folder.display()),
        )
        .with_hint("write one: `[[case]]` with a name and a path, then `--bless` what comes")
    };
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| none(error.to_string()))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
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
    /// Fails as [`PluginHost::load`] does if the component cannot be used whatever its configuration is,
    /// and with `Capacity` if a file cannot be written.
    pub async fn test(
        &self,
        component: &Path,
        files: &[PathBuf],
        bless: bool,
    ) -> Result<Vec<TestedFile>> {
        let mut tested = Vec::with_capacity(files.len());
        for file in files {
            let (cases, problem) = match self.test_file(component, file, bless).await? {
                Ok(cases) => (cases, None),
                Err(problem) => (Vec::new(), Some(problem)),
            };
            tested.push(TestedFile {
                file: file.clone(),
                cases,
                problem,
            });
        }
        Ok(tested)
    }

    async fn test_file(
        &self,
        component: &Path,
        file: &Path,
        bless: bool,
    ) -> Result<Result<Vec<TestedCase>, String>> {
        let (text, written) = match CaseFile::read(file) {
            Ok(read) => read,
            Err(problem) => return Ok(Err(problem)),
        };
        let plugin = match self.load_for(component, &written).await {
            Ok(plugin) => plugin,
            // What a plugin says of its configuration is about this file only.
            Err(error) if matches!(error.kind(), Kind::Config | Kind::Plugin) => {
                return Ok(Err(error.chain()));
            }
            Err(error) => return Err(error),
        };
        let verdicts = plugin.describe(&written.assets).await?;
        let cases = written.cases.iter().zip(&verdicts);
        let differences: Vec<_> = cases
            .map(|(case, verdict)| expect::difference(case.expect.as_ref(), verdict))
            .collect();
        let blessed: Vec<bool> = differences
            .iter()
            .zip(&verdicts)
            .map(|(difference, verdict)| bless && difference.is_some() && may_bless(verdict))
            .collect();
        if blessed.contains(&true) {
            match written.blessed(&text, &verdicts, &blessed) {
                Ok(text) => replace(file, &text)?,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        let names = written.cases.into_iter().map(|case| case.name);
        let outcome = |(difference, blessed)| match (difference, blessed) {
            (None, _) => CaseOutcome::Holds,
            (Some(difference), true) => CaseOutcome::Blessed { difference },
            (Some(difference), false) => CaseOutcome::Differs { difference },
        };
        let outcomes = differences.into_iter().zip(blessed).map(outcome);
        let tested = names.zip(outcomes);
        Ok(Ok(tested
            .map(|(name, outcome)| TestedCase { name, outcome })
            .collect()))
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
    cases: Vec<Case>,
    /// What each case asks about.
    pub(crate) assets: Vec<AssetView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    today: Option<toml::value::Datetime>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    tables: BTreeMap<String, BTreeMap<String, String>>,
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
    modified: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    expect: Option<Expect>,
}

impl CaseFile {
    /// The file's text and what it says, or what is wrong with it.
    pub(crate) fn read(file: &Path) -> Result<(String, CaseFile), String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let written: Written = toml::from_str(&text).map_err(|error| error.to_string())?;
        if written.cases.is_empty() {
            return Err("it has no [[case]]".to_owned());
        }
        let mut names = BTreeSet::new();
        let twice = written.cases.iter().find(|case| !names.insert(&case.name));
        if let Some(Case { name, .. }) = twice {
            return Err(format!("two cases are called {name:?}"));
        }
        let assets = written.cases.iter().map(|case| {
            case.asset()
                .map_err(|why| format!("case {:?}: {why}", case.name))
        });
        let today = written.today.map(|day| {
            let text = day.to_string();
            text.parse()
                .map_err(|_| format!("today = {text} is no day, such as 2026-03-04"))
        });
        let file = CaseFile {
            assets: assets.collect::<Result<_, _>>()?,
            config: serde_json::to_value(&written.config).map_err(|error| error.to_string())?,
            tables: written.tables,
            today: today.transpose()?.unwrap_or(DAY),
            cases: written.cases,
        };
        Ok((text, file))
    }

    /// What a plugin is given for these cases.
    pub(crate) fn load_options(&self) -> LoadOptions {
        let tables = self.tables.iter();
        LoadOptions {
            config: self.config.clone(),
            tables: tables
                .map(|(name, pairs)| (name.clone(), Table::of_pairs(pairs.clone())))
                .collect(),
            ..LoadOptions::new(self.today)
        }
    }

    /// The file's text with the verdicts of chosen cases as what they expect.
    fn blessed(
        &self,
        text: &str,
        verdicts: &[Verdict<Mapping>],
        chosen: &[bool],
    ) -> Result<String, String> {
        let mut document: DocumentMut = text.parse().map_err(|error| format!("{error}"))?;
        let tables = document["case"]
            .as_array_of_tables_mut()
            .ok_or("write the cases as [[case]] to have them blessed")?;
        for (index, table) in tables.iter_mut().enumerate() {
            if chosen[index] {
                let given = Expect::of(&verdicts[index], self.cases[index].expect.as_ref());
                given.write_to(table);
            }
        }
        Ok(document.to_string())
    }
}

impl Case {
    fn asset(&self) -> Result<AssetView, String> {
        if !self.path.starts_with('/') || self.path.ends_with('/') {
            let path = &self.path;
            return Err(format!(
                "{path:?} is no path of a file, such as \"/A/b.tif\""
            ));
        }
        self.expect.as_ref().map_or(Ok(()), Expect::check)?;
        let modified = self.modified.as_ref().map(|text| {
            text.parse::<Timestamp>().map_err(|_| {
                format!("modified = {text:?} is no time, such as 2026-03-04T10:46:13Z")
            })
        });
        Ok(AssetView {
            id: AssetId::new("id:case"),
            path: AssetPath::new(&self.path),
            revision: Revision::new("1"),
            size: self.size,
            modified: modified.transpose()?,
            tags: self.tags.clone(),
            content_hash: None,
        })
    }
}

/// Whether a verdict is the plugin's opinion, and not its failure.
fn may_bless(verdict: &Verdict<Mapping>) -> bool {
    match verdict {
        Verdict::Ready(_) => true,
        Verdict::Held { rule, .. } => !crate::guest::is_failure(rule),
    }
}

/// Replaces a file as a whole: who is interrupted keeps the old one.
fn replace(file: &Path, text: &str) -> Result<()> {
    let fresh = file.with_extension(format!("{}-blessed", std::process::id()));
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, file));
    written.map_err(|error| {
        // The first failure is the one to tell; what is left over is only a copy.
        drop(fs::remove_file(&fresh));
        Error::new(
            Kind::Capacity,
            format!("{} cannot be written", file.display()),
        )
        .with_source(error)
    })
}
