//! Builds a plugin's project into a component, with whatever the machine has.
//!
//! [`script`] does it for JavaScript and Python; the rest is for crates. An ordinary machine has the `wasm32-unknown-unknown` target (`rustup target add …`) and cargo does
//! the work. Where rustup cannot fetch it, [`toolchain`] finds a compiler that carries the standard
//! library's sources (Debian's `rust-web-src`, rustup's `rust-src`) and [`sysroot`] builds the target
//! once per compiler version. The core module that cargo leaves is wrapped into a component in
//! process. [`inputs`] remembers what a build read, so that nothing is built twice.
//!
//! One build runs at a time per target folder, whoever asks: tests and a demo may ask at once.

mod inputs;
mod packages;
mod script;
mod sysroot;
mod toolchain;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use serde::Deserialize;
use windlass_core::{Blake3, Error, Kind, Result};

use self::script::Language;
use self::toolchain::{Search, Toolchain};

/// The compiler's name of the only target that plugins are built for: no WASI, no imports of its own.
const TARGET: &str = "wasm32-unknown-unknown";

/// How much of a failed tool's talk an error repeats. Rust's own errors rarely need more.
const SHOWN_LINES: usize = 40;

/// How to build. The defaults suit both a user's command and a test.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Where what is made is put; `None` is the target folder of the plugin's workspace, or `target` in a project of
    /// another language.
    pub target_dir: Option<PathBuf>,
    /// Whether missing Debian packages may be installed. Needs root; announced in a progress line.
    pub may_install: bool,
}

impl Default for BuildOptions {
    fn default() -> Self {
        BuildOptions {
            target_dir: None,
            may_install: true,
        }
    }
}

impl BuildOptions {
    /// The folder for what is made, absolute, because the tools run in the plugin's folder.
    fn target_dir_or(&self, default: &Path) -> Result<PathBuf> {
        let folder = self.target_dir.as_deref().unwrap_or(default);
        std::path::absolute(folder).map_err(|e| disk("find", folder, e))
    }
}

/// A component that is ready to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltPlugin {
    /// The plugin's name, as its manifest has it.
    pub name: String,
    /// The component file. The next build of the same crate replaces it.
    pub component: PathBuf,
    /// Digest of the component file: what an operator pins.
    pub digest: Blake3,
    /// Length of the component file in bytes.
    pub size_bytes: u64,
    /// False if nothing had changed and the component of an earlier build was kept.
    pub rebuilt: bool,
}

/// Builds the plugin in `project_dir`, a crate or a project in JavaScript or Python; blocks until done, which may take minutes the first time.
///
/// `progress` gets one line for whatever takes long or changes the machine; nothing if all is fresh.
/// Fails with `Config` if the folder is no plugin, with `Unsupported` and the exact
/// commands if what builds it is missing, with `InvalidInput` if it does not compile, with `Unavailable` if
/// a package that it needs cannot be fetched.
pub fn build_plugin(
    project_dir: &Path,
    options: &BuildOptions,
    mut progress: impl FnMut(&str),
) -> Result<BuiltPlugin> {
    build_with(
        &Search::of_this_machine(),
        project_dir,
        options,
        &mut progress,
    )
}

fn build_with(
    search: &Search,
    project_dir: &Path,
    options: &BuildOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<BuiltPlugin> {
    let project = project_dir
        .canonicalize()
        .map_err(|e| no_project(project_dir, &e.to_string()))?;
    if !project.join("Cargo.toml").is_file() {
        return match Language::of(&project) {
            Some(language) => script::build(language, &project, options, progress),
            None => Err(no_project(
                project_dir,
                "it has no Cargo.toml, package.json or pyproject.toml",
            )),
        };
    }
    let toolchain = toolchain::find_or_install(search, &project, options.may_install, progress)?;
    let package = Package::read(&toolchain, &project)?;
    let target_dir = options.target_dir_or(&package.target_dir)?;
    let _lock = lock(&target_dir, progress)?;

    let component = target_dir
        .join("components")
        .join(format!("{}.wasm", package.name));
    let stamp = component.with_extension("inputs.json");
    let version = inputs::version(toolchain.version(), &project);
    if let Some(digest) = inputs::unchanged(&stamp, &component, &version) {
        return BuiltPlugin::of(package.name, component, digest, false);
    }
    progress(&format!(
        "building the plugin {} for {TARGET}",
        package.name
    ));
    let started = SystemTime::now();
    let module = compile(&toolchain, &package, &target_dir, progress)?;
    let digest = componentize(&module, &component)?;
    let read = inputs::read_by(&module, &package.workspace_root)?;
    inputs::record(&stamp, read, &version, digest, started)?;
    BuiltPlugin::of(package.name, component, digest, true)
}

impl BuiltPlugin {
    fn of(name: String, component: PathBuf, digest: Blake3, rebuilt: bool) -> Result<Self> {
        let size_bytes = fs::metadata(&component)
            .map_err(|e| disk("read", &component, e))?
            .len();
        Ok(BuiltPlugin {
            name,
            component,
            digest,
            size_bytes,
            rebuilt,
        })
    }
}

/// What cargo says about the crate to build.
struct Package {
    name: String,
    manifest: PathBuf,
    workspace_root: PathBuf,
    target_dir: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<MetadataTarget>,
}

#[derive(Deserialize)]
struct MetadataTarget {
    crate_types: Vec<String>,
}

impl Package {
    fn read(toolchain: &Toolchain, project: &Path) -> Result<Self> {
        let manifest = project.join("Cargo.toml");
        let mut cargo = toolchain.cargo(project);
        cargo.args(["metadata", "--no-deps", "--format-version=1"]);
        let output = run(&mut cargo)?;
        if !output.status.success() {
            return Err(no_project(project, &last_lines(&output.stderr)));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|e| {
            Error::new(
                Kind::Unexpected,
                "cargo metadata answered something unreadable",
            )
            .with_source(e)
        })?;
        let package = metadata
            .packages
            .into_iter()
            .find(|package| package.manifest_path == manifest)
            .ok_or_else(|| no_project(project, "its Cargo.toml declares no package"))?;
        let is_cdylib = |target: &MetadataTarget| target.crate_types.iter().any(|t| t == "cdylib");
        if !package.targets.iter().any(is_cdylib) {
            return Err(no_project(project, "its library is no cdylib")
                .with_hint("add `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml"));
        }
        Ok(Package {
            name: package.name,
            manifest,
            workspace_root: metadata.workspace_root,
            target_dir: metadata.target_directory,
        })
    }
}

/// One line of cargo's `--message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Runs cargo and gives the path of the core module that it left.
fn compile(
    toolchain: &Toolchain,
    package: &Package,
    target_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo(&package.workspace_root);
    if let Toolchain::FromSource { linker, .. } = toolchain {
        let sysroot = sysroot::ensure(toolchain, target_dir, progress)?;
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        // The encoded form takes a path with blanks; it also overrides every configured flag.
        let flags = format!("--sysroot\u{1f}{}", sysroot.display());
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags);
    }
    cargo.args(["build", "--release", "--lib", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    cargo
        .arg("--manifest-path")
        .arg(&package.manifest)
        .arg("--target-dir")
        .arg(target_dir);
    if package.workspace_root.join("Cargo.lock").is_file() {
        cargo.arg("--locked");
    }
    let output = run(&mut cargo)?;
    if !output.status.success() {
        let message = format!("the plugin {} does not compile", package.name);
        return Err(Error::new(Kind::InvalidInput, message)
            .with_context("cargo", last_lines(&output.stderr)));
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter(|message| message.manifest_path.as_deref() == Some(&package.manifest))
        .flat_map(|message| message.filenames)
        .find(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .ok_or_else(|| {
            Error::new(
                Kind::Unexpected,
                "cargo built the plugin but names no wasm file",
            )
        })
}

/// Wraps a core module, which carries its WIT in a custom section, into a component.
fn componentize(module: &Path, component: &Path) -> Result<Blake3> {
    let bytes = fs::read(module).map_err(|e| disk("read", module, e))?;
    let encoded = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| {
            // The whole chain on one line: the last link names the interface that does not fit.
            Error::new(
                Kind::InvalidInput,
                format!("the module is no Windlass plugin: {e:#}"),
            )
            .with_hint("plugins are built on windlass-sdk, or on wit-bindgen 0.63 and wit/v1")
        })?;
    replace(component, &encoded)?;
    Ok(Blake3::of(&encoded))
}

/// Writes a file so that a reader sees the old one or the new one, never half of it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| disk("create", folder, e))?;
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes).map_err(|e| disk("write", &fresh, e))?;
    fs::rename(&fresh, path).map_err(|e| disk("write", path, e))
}

/// Waits until no other build uses the target folder. Dropping the file ends the claim.
fn lock(target_dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    fs::create_dir_all(target_dir).map_err(|e| disk("create", target_dir, e))?;
    let path = target_dir.join("windlass-build.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| disk("open", &path, e))?;
    claim(file, &path, "another plugin build to finish", progress)
}

/// Locks an open file against every other process, and says what it waits for.
fn claim(file: File, path: &Path, waits_for: &str, progress: &mut dyn FnMut(&str)) -> Result<File> {
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => progress(&format!("waiting for {waits_for}")),
        Err(TryLockError::Error(e)) => return Err(disk("lock", path, e)),
    }
    file.lock().map_err(|e| disk("lock", path, e))?;
    Ok(file)
}

fn run(command: &mut Command) -> Result<Output> {
    command.output().map_err(|e| {
        let program = command.get_program().to_string_lossy().into_owned();
        Error::new(Kind::Unsupported, format!("{program} cannot be started")).with_source(e)
    })
}

fn last_lines(talk: &[u8]) -> String {
    let talk = String::from_utf8_lossy(talk);
    let lines: Vec<&str> = talk.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

fn no_project(folder: &Path, why: &str) -> Error {
    Error::new(
        Kind::Config,
        format!("{} is no plugin: {why}", folder.display()),
    )
}

fn disk(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => Kind::Capacity,
        std::io::ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Unexpected,
    };
    Error::new(kind, format!("cannot {verb} {}", path.display())).with_source(error)
}

#[cfg(test)]
mod tests;
