//! Plugins in JavaScript and Python: the language's own tool makes the component, with the interpreter in it.
//!
//! A JavaScript project is a `package.json` with `"windlass": {"world": "metadata-hook"}` and `componentize-qjs` among
//! its dependencies; its `main` exports the hooks. A Python project is a `pyproject.toml` with
//! `[tool.windlass] world = "metadata-hook"` and a `requirements.txt` with `componentize-py`; its module is `app`
//! unless `module` says otherwise. Both are built against the WIT of this program, or against a folder `wit` of
//! their own. What packages need lies in the project's `node_modules` and `target/venv`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde::Deserialize;
use windlass_core::{Blake3, Error, Kind, Result};

use super::toolchain::{ask, clean};
use super::{BuildOptions, BuiltPlugin, disk, inputs, last_lines, lock, no_project, packages, run};

/// The interface that projects without one of their own are built against.
const WIT: &str = include_str!("../../../../wit/v1/hooks.wit");

/// What tools make, wherever it is; no input of a build.
const MADE: [&str; 2] = ["node_modules", "__pycache__"];

/// What is in a project's own folder and no input of its build.
const BESIDE: [&str; 2] = ["target", "cases"];

/// More files than any plugin has: somebody named a folder that is no plugin.
const INPUTS_MAX: usize = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Python,
}

/// A project, as its manifest describes it.
#[derive(Debug)]
struct Project {
    folder: PathBuf,
    name: String,
    world: String,
    /// The file (JavaScript) or module (Python) that has the hooks.
    main: String,
}

impl Language {
    /// The language of a project, by its manifest; `None` if it is neither.
    pub(super) fn of(project: &Path) -> Option<Self> {
        let has = |name: &str| project.join(name).is_file();
        match (has("package.json"), has("pyproject.toml")) {
            (true, _) => Some(Language::JavaScript),
            (_, true) => Some(Language::Python),
            _ => None,
        }
    }

    /// What Debian calls what a build needs.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Language::JavaScript => &["nodejs", "npm"],
            Language::Python => &["python3", "python3-venv"],
        }
    }

    /// Programs that answer if the machine has what a build needs; the first says its version.
    fn needs(self) -> [(&'static str, &'static [&'static str]); 2] {
        match self {
            Language::JavaScript => [("node", &["--version"]), ("npm", &["--version"])],
            Language::Python => [
                ("python3", &["--version"]),
                ("python3", &["-c", "import ensurepip, venv"]),
            ],
        }
    }

    /// The version of the language, or what is missing.
    fn find(self, folder: &Path) -> Result<String, &'static str> {
        let mut version = String::new();
        for (program, arguments) in self.needs() {
            let answer = ask(Path::new(program), folder, arguments.iter().copied());
            version.push_str(&answer.ok_or(program)?);
        }
        Ok(version)
    }
}

/// Builds a project into a component, unless nothing changed.
pub(super) fn build(
    language: Language,
    folder: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<BuiltPlugin> {
    let project = Project::read(language, folder)?;
    let version = tools(language, folder, options.may_install, progress)?;
    let target = options.target_dir_or(&folder.join("target"))?;
    let _lock = lock(&target, progress)?;
    let component = target
        .join("components")
        .join(format!("{}.wasm", project.name));
    let stamp = component.with_extension("inputs.json");
    // The interface is an input like the project's own files, but lies in this program.
    let made_by = format!("{version}{}", Blake3::of(WIT.as_bytes()));
    let version = inputs::version(&made_by, folder);
    if let Some(digest) = inputs::unchanged(&stamp, &component, &version) {
        return BuiltPlugin::of(project.name, component, digest, false);
    }
    progress(&format!("building the plugin {}", project.name));
    let started = SystemTime::now();
    let wit = project.wit(&target)?;
    let made = target.join(format!("{}.made.wasm", project.name));
    match language {
        Language::JavaScript => project.componentize_javascript(&wit, &made)?,
        Language::Python => project.componentize_python(&wit, &made, &target, &made_by)?,
    }
    let bytes = fs::read(&made).map_err(|e| disk("read", &made, e))?;
    super::replace(&component, &bytes)?;
    fs::remove_file(&made).map_err(|e| disk("remove", &made, e))?;
    let digest = Blake3::of(&bytes);
    let read = inputs_of(folder, &target)?;
    inputs::record(&stamp, read, &version, digest, started)?;
    BuiltPlugin::of(project.name, component, digest, true)
}

/// The version of the language's tools, which are installed first if they may be.
fn tools(
    language: Language,
    folder: &Path,
    may_install: bool,
    progress: &mut dyn FnMut(&str),
) -> Result<String> {
    let installer = packages::installer().filter(|_| may_install);
    let needed = language.packages();
    let found = packages::find_or_install(needed, installer.as_deref(), folder, progress, || {
        language.find(folder)
    })?;
    found.map_err(|program| {
        let message = format!("building this plugin needs {program}, which is not here");
        let hint = format!("on Debian, as root: `{}`", packages::command(needed));
        Error::new(Kind::Unsupported, message).with_hint(hint)
    })
}

impl Project {
    fn read(language: Language, folder: &Path) -> Result<Self> {
        let manifest = match language {
            Language::JavaScript => "package.json",
            Language::Python => "pyproject.toml",
        };
        let path = folder.join(manifest);
        let text = fs::read_to_string(&path).map_err(|e| disk("read", &path, e))?;
        let problem = |why: String| no_project(folder, &format!("{manifest}: {why}"));
        let (name, world, main) = match language {
            Language::JavaScript => {
                let package: PackageJson =
                    serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
                (package.name, package.windlass.world, package.main)
            }
            Language::Python => {
                let project: PyProject =
                    toml::from_str(&text).map_err(|error| problem(error.message().to_owned()))?;
                let windlass = project.tool.windlass;
                (project.project.name, windlass.world, windlass.module)
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
            return Err(problem(format!("the name {name:?} is no name of a file")));
        }
        let main = match main {
            Some(main) => main,
            None if language == Language::Python => "app".to_owned(),
            None => "plugin.js".to_owned(),
        };
        Ok(Project {
            folder: folder.to_owned(),
            name,
            world,
            main,
        })
    }

    /// The folder with the interface.
    fn wit(&self, target: &Path) -> Result<PathBuf> {
        let own = self.folder.join("wit");
        if own.is_dir() {
            return Ok(own);
        }
        let folder = target.join("wit");
        super::replace(&folder.join("hooks.wit"), WIT.as_bytes())?;
        Ok(folder)
    }

    /// By QuickJS in the component: 1 MB, two seconds. `node_modules` is made as the lock file says.
    fn componentize_javascript(&self, wit: &Path, made: &Path) -> Result<()> {
        let mut npm = clean(Path::new("npm"), &self.folder);
        let install = match self.folder.join("package-lock.json").is_file() {
            true => "ci",
            false => "install",
        };
        npm.args([install, "--no-audit", "--no-fund", "--loglevel=error"]);
        self.tool(
            &mut npm,
            Kind::Unavailable,
            "npm cannot install what it needs",
        )?;
        let program = self.folder.join("node_modules/.bin/componentize-qjs");
        if !program.exists() {
            return Err(no_project(
                &self.folder,
                "package.json: componentize-qjs is not installed",
            )
            .with_hint("npm install --save-dev componentize-qjs"));
        }
        let mut componentize = clean(&program, &self.folder);
        componentize
            .arg("--wit")
            .arg(wit)
            .arg("--js")
            .arg(self.folder.join(&self.main))
            .arg("--module-root")
            .arg(&self.folder)
            .args([
                "--world",
                &self.world,
                "--sync",
                "--stub-wasi",
                "--opt-size",
            ])
            .arg("--output")
            .arg(made);
        self.tool(
            &mut componentize,
            Kind::InvalidInput,
            "it does not become a component",
        )
    }

    /// By CPython in the component: 18 MB, ten seconds.
    fn componentize_python(
        &self,
        wit: &Path,
        made: &Path,
        target: &Path,
        python: &str,
    ) -> Result<()> {
        let venv = self.venv(target, python)?;
        let program = venv.join("bin/componentize-py");
        if !program.exists() {
            let why = "requirements.txt does not name componentize-py";
            return Err(no_project(&self.folder, why)
                .with_hint("write componentize-py==0.25.1 into requirements.txt"));
        }
        let mut componentize = clean(&program, &self.folder);
        componentize
            .arg("--wit-path")
            .arg(wit)
            .args([
                "--world",
                &self.world,
                "componentize",
                "--stub-wasi",
                &self.main,
            ])
            .arg("--output")
            .arg(made);
        self.tool(
            &mut componentize,
            Kind::InvalidInput,
            "it does not become a component",
        )
    }

    /// The packages of `requirements.txt` in an environment of their own, which is made anew when they change.
    fn venv(&self, target: &Path, python: &str) -> Result<PathBuf> {
        let venv = target.join("venv");
        let (wanted, noted) = (self.folder.join("requirements.txt"), venv.join("made-of"));
        let requirements = fs::read_to_string(&wanted).map_err(|e| disk("read", &wanted, e))?;
        // An environment knows its interpreter and its own place by path.
        let made_of = format!("{python}{}\n{requirements}", venv.display());
        if fs::read_to_string(&noted).is_ok_and(|noted| noted == made_of) {
            return Ok(venv);
        }
        let mut create = clean(Path::new("python3"), &self.folder);
        create.args(["-m", "venv", "--clear"]).arg(&venv);
        self.tool(&mut create, Kind::Unsupported, "no environment can be made")?;
        let mut pip = clean(&venv.join("bin/python"), &self.folder);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg("--requirement")
        .arg(&wanted);
        self.tool(
            &mut pip,
            Kind::Unavailable,
            "pip cannot install what it needs",
        )?;
        fs::write(&noted, made_of).map_err(|e| disk("write", &noted, e))?;
        Ok(venv)
    }

    fn tool(&self, command: &mut Command, kind: Kind, problem: &str) -> Result<()> {
        let output = run(command)?;
        if output.status.success() {
            return Ok(());
        }
        let said = match output.stderr.is_empty() {
            true => last_lines(&output.stdout),
            false => last_lines(&output.stderr),
        };
        let program = command.get_program().to_string_lossy().into_owned();
        let message = format!("the plugin {} cannot be built: {problem}", self.name);
        let error = Error::new(kind, message).with_context("program", program);
        Err(error.with_context("said", said))
    }
}

/// Every file of a project that its build may read.
fn inputs_of(project: &Path, target: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut inputs = BTreeSet::new();
    let mut folders = vec![project.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| disk("read", &folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| disk("read", &folder, e))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_made = MADE.contains(&&*name)
                || folder == project && BESIDE.contains(&&*name)
                || entry.path() == target;
            if name.starts_with('.') || is_made {
                continue;
            }
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    inputs.insert(path);
                }
            }
        }
        if inputs.len() > INPUTS_MAX {
            return Err(no_project(project, "it has thousands of files"));
        }
    }
    Ok(inputs)
}

#[derive(Deserialize)]
struct PackageJson {
    name: String,
    main: Option<String>,
    windlass: Described,
}

#[derive(Deserialize)]
struct PyProject {
    project: PyName,
    tool: PyTool,
}

#[derive(Deserialize)]
struct PyName {
    name: String,
}

#[derive(Deserialize)]
struct PyTool {
    windlass: Described,
}

/// What a project says of itself for this build.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    world: String,
    module: Option<String>,
}
