//! Finds a compiler that can build for wasm, and says precisely what is missing if there is none.
//!
//! Two kinds count. A compiler that has the target's standard library is used as it is. A compiler
//! that carries the library's sources at its own version, next to a wasm linker, can build
//! that library; Debian packages both, so on Debian they can be installed by root.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_core::{Error, Kind, Result};

use super::{TARGET, packages};

/// What Debian calls a compiler, its package manager, its sources and a wasm linker.
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Where to look. Tests describe other machines with it.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) compilers: Vec<Compiler>,
    /// Wasm linkers to try, best first. Bare names are looked up in the path.
    pub(super) linkers: Vec<PathBuf>,
    /// The machine's `apt-get`, if this process may install with it.
    pub(super) installer: Option<PathBuf>,
}

/// A compiler and the cargo that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compiler {
    pub(super) cargo: PathBuf,
    pub(super) rustc: PathBuf,
}

/// A way to build for wasm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The target is installed.
    Installed {
        compiler: Compiler,
        /// All of `rustc -vV`: what a build depends on.
        version: String,
    },
    /// The target's standard library must be built once from its sources.
    FromSource {
        compiler: Compiler,
        version: String,
        linker: PathBuf,
    },
}

impl Toolchain {
    pub(super) fn version(&self) -> &str {
        match self {
            Toolchain::Installed { version, .. } | Toolchain::FromSource { version, .. } => version,
        }
    }

    /// This toolchain's cargo in `folder`, free of whatever a surrounding cargo has set.
    pub(super) fn cargo(&self, folder: &Path) -> Command {
        let (Toolchain::Installed { compiler, .. } | Toolchain::FromSource { compiler, .. }) = self;
        let mut command = clean(&compiler.cargo, folder);
        command.env("RUSTC", &compiler.rustc);
        command
    }
}

impl Search {
    pub(super) fn of_this_machine() -> Self {
        let pair = |folder: &str| Compiler {
            cargo: Path::new(folder).join("cargo"),
            rustc: Path::new(folder).join("rustc"),
        };
        let linkers = [
            "wasm-ld",
            "wasm-ld-19",
            "wasm-ld-22",
            "wasm-ld-21",
            "wasm-ld-20",
        ];
        Search {
            // The user's own choice first; the distribution's beside it.
            compilers: vec![pair(""), pair("/usr/bin")],
            linkers: linkers.map(PathBuf::from).to_vec(),
            installer: packages::installer(),
        }
    }
}

/// Finds a toolchain; if there is none and `may_install`, installs Debian's and looks again.
pub(super) fn find_or_install(
    search: &Search,
    folder: &Path,
    may_install: bool,
    progress: &mut dyn FnMut(&str),
) -> Result<Toolchain> {
    let installer = search.installer.as_deref().filter(|_| may_install);
    let found = packages::find_or_install(&DEBIAN_PACKAGES, installer, folder, progress, || {
        find(search, folder)
    })?;
    found.map_err(|missing| nothing_found(&missing))
}

/// The first compiler that can build for wasm, or why each of them cannot.
pub(super) fn find(search: &Search, folder: &Path) -> Result<Toolchain, Vec<String>> {
    let mut missing = Vec::new();
    let mut working = Vec::new();
    // An installed target beats a built one, whichever compiler has it.
    for compiler in &search.compilers {
        let Some(version) = ask(&compiler.rustc, folder, ["-vV"]) else {
            missing.push(format!("{} cannot be started", compiler.rustc.display()));
            continue;
        };
        let compiler = compiler.clone();
        if has_target(&compiler, folder) {
            return Ok(Toolchain::Installed { compiler, version });
        }
        working.push((compiler, version));
    }
    for (compiler, version) in working {
        match sources_and_linker(search, &compiler, &version, folder) {
            Ok(linker) => {
                return Ok(Toolchain::FromSource {
                    compiler,
                    version,
                    linker,
                });
            }
            Err(why) => missing.push(format!("{}: {why}", compiler.rustc.display())),
        }
    }
    Err(missing)
}

/// True if the target's standard library is really there: rustc names the folder either way.
fn has_target(compiler: &Compiler, folder: &Path) -> bool {
    let print = ["--print", "target-libdir", "--target", TARGET];
    let Some(libdir) = ask(&compiler.rustc, folder, print) else {
        return false;
    };
    let Ok(entries) = fs::read_dir(libdir.trim()) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn sources_and_linker(
    search: &Search,
    compiler: &Compiler,
    version: &str,
    folder: &Path,
) -> Result<PathBuf, String> {
    let no_target = format!("has no {TARGET}");
    let sysroot = ask(&compiler.rustc, folder, ["--print", "sysroot"]).ok_or("names no sysroot")?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    if !sources.join("library/std/Cargo.toml").is_file() {
        return Err(format!(
            "{no_target} and no sources of its standard library"
        ));
    }
    let release = version
        .lines()
        .find_map(|line| line.strip_prefix("release: "))
        .unwrap_or("?");
    if let Some(stated) = stated_version(&sources)
        && stated != release
    {
        return Err(format!(
            "is {release}, but its library's sources are {stated}"
        ));
    }
    if ask(&compiler.cargo, folder, ["--version"]).is_none() {
        return Err(format!("{no_target} and no {}", compiler.cargo.display()));
    }
    let works = |linker: &&PathBuf| ask(linker, folder, ["--version"]).is_some();
    let linker = search.linkers.iter().find(works).cloned();
    linker.ok_or_else(|| format!("{no_target}; its sources are here, but no wasm linker (lld)"))
}

/// The version that unpacked sources state. Rustup's state none and always match.
fn stated_version(sources: &Path) -> Option<String> {
    let text = fs::read_to_string(sources.join("src/version")).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

fn nothing_found(missing: &[String]) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("no compiler here can build for {TARGET}"),
    )
    .with_context("looked at", missing.join("; "))
    .with_hint(format!(
        "with rustup: `rustup target add {TARGET}`; on Debian, as root: `{}`",
        packages::command(&DEBIAN_PACKAGES)
    ))
}

/// A command's standard output, if it could be started and succeeded.
pub(super) fn ask<'a>(
    program: &Path,
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let mut command = clean(program, folder);
    command.args(arguments.into_iter().map(OsStr::new));
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A command that does not inherit what a surrounding cargo, clippy or test runner has set for
/// another compiler: flags, wrappers, target folders, library paths.
pub(super) fn clean(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    for name in [
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command
}
