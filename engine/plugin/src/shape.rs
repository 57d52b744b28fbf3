//! What a file says it is, read before anything is compiled or run: a component or not, which version of
//! the plugin API it was built for, what it imports and exports.
//!
//! All that is wrong is said at once, each with what to do, so that an author needs one round.

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};
use windlass_core::{Error, HookKind, Kind, Result};

/// The newest version of `windlass:hooks` that this host speaks.
pub const API_VERSION: &str = "1.0.0";

/// The majors that this host speaks, the newest first. At most two: `wit/README.md` says why.
const MAJORS: [(u64, Api); 1] = [(1, Api::V1)];

const PACKAGE: &str = "windlass:hooks/";

/// Interfaces of the package that a guest may import.
const OFFERED: [&str; 2] = ["host", "types"];

/// A major version of the plugin API, which decides how a component is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    V1,
}

/// A component's outer face.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// The plugin API version it was built for; `None` if it speaks no version of it.
    pub api_version: Option<String>,
    /// What it wants from its host, in file order.
    pub imports: Vec<String>,
    /// What it offers, in file order.
    pub exports: Vec<String>,
}

impl Shape {
    /// Reads the outer face of a component; its code is not looked at. Fails with `InvalidInput`.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(not_a_component("the file is empty"));
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(not_a_component("it does not start like WebAssembly"));
        }
        let mut shape = Shape::default();
        // Payloads of nested modules and components come in the same stream; only depth 0 counts.
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|e| not_a_component(&e.to_string()))?;
            match payload {
                Payload::Version {
                    encoding: Encoding::Module,
                    ..
                } if depth == 0 => {
                    return Err(not_a_component("it is a core module").with_hint(
                        "wrap it: `windlass plugin build` or `wasm-tools component new`",
                    ));
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        let import = import.map_err(|e| not_a_component(&e.to_string()))?;
                        shape.imports.push(import.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(|e| not_a_component(&e.to_string()))?;
                        shape.exports.push(export.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        let versions = shape
            .exports
            .iter()
            .chain(&shape.imports)
            .filter_map(|name| api(name));
        shape.api_version = versions.map(|(_, version)| version.to_owned()).next();
        Ok(shape)
    }

    /// Refuses what this host cannot run: another API, foreign imports, missing exports.
    pub(crate) fn check(&self) -> Result<Api> {
        let version = self.api_version.as_deref().ok_or_else(|| {
            refused("it exports nothing of windlass:hooks".to_owned())
                .with_hint("a plugin exports windlass:hooks/plugin and one of its hooks")
        })?;
        let api = api_of(version)?;
        let problems: Vec<_> = self
            .foreign_imports()
            .chain(self.missing_exports())
            .collect();
        if problems.is_empty() {
            return Ok(api);
        }
        let error = refused(problems.join("; "));
        if self.imports.iter().any(|name| name.starts_with("wasi:")) {
            return Err(error.with_hint(
                "build it without WASI: for wasm32-unknown-unknown in Rust, with --stub-wasi in \
                 JavaScript and Python",
            ));
        }
        Err(error.with_hint("wit/v1 says what a plugin may import and must export"))
    }

    /// Why linking may have failed although the names are right, if the guest's API is newer.
    pub(crate) fn newer_minor(&self) -> Option<String> {
        let version = self.api_version.as_deref()?;
        let newer = parse(version)? > parse(API_VERSION)?;
        newer
            .then(|| format!("it was built for windlass:hooks {version}, newer than {API_VERSION}"))
    }

    fn foreign_imports(&self) -> impl Iterator<Item = String> + '_ {
        self.imports.iter().filter_map(|name| match api(name) {
            Some((interface, _)) if OFFERED.contains(&interface) => None,
            Some((interface, _)) => Some(format!(
                "it imports windlass:hooks/{interface}, which version {API_VERSION} does not have"
            )),
            None => Some(format!("it imports {name}, which no plugin is given")),
        })
    }

    fn missing_exports(&self) -> impl Iterator<Item = String> + '_ {
        let plugin = (!self.exports_interface("plugin"))
            .then(|| "it does not export windlass:hooks/plugin".to_owned());
        let hook = self.hooks().is_empty().then(|| {
            let names = HookKind::ALL.map(HookKind::name).join(", ");
            format!("it exports no hook: none of {names} of windlass:hooks")
        });
        plugin.into_iter().chain(hook)
    }

    /// The hooks that it exports.
    pub fn hooks(&self) -> Vec<HookKind> {
        let kinds = HookKind::ALL.into_iter();
        kinds
            .filter(|kind| self.exports_interface(kind.name()))
            .collect()
    }

    fn exports_interface(&self, wanted: &str) -> bool {
        let names = self.exports.iter().filter_map(|name| api(name));
        names.into_iter().any(|(name, _)| name == wanted)
    }
}

/// Interface and version of a name of our package: `windlass:hooks/host@1.0.0`.
fn api(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)
        .map(|rest| rest.split_once('@').unwrap_or((rest, "0.0.0")))
}

fn api_of(version: &str) -> Result<Api> {
    let stated = || refused(format!("it was built for windlass:hooks {version}"));
    let Some((major, ..)) = parse(version) else {
        return Err(stated().with_hint("the version cannot be read: build it against wit/v1"));
    };
    if let Some((_, api)) = MAJORS.iter().find(|(known, _)| *known == major) {
        return Ok(*api);
    }
    let is_newer = MAJORS.iter().all(|(known, _)| *known < major);
    Err(stated().with_hint(match is_newer {
        true => format!(
            "this Windlass speaks {API_VERSION}: update Windlass, or build the plugin against wit/v1"
        ),
        false => {
            format!("this Windlass speaks {API_VERSION}: build the plugin again, against wit/v1")
        }
    }))
}

fn parse(version: &str) -> Option<(u64, u64, u64)> {
    let plain = version.split(['-', '+']).next()?;
    let mut numbers = plain.split('.').map(|number| number.parse().ok());
    let triple = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(triple)
}

fn not_a_component(why: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        format!("the file is not a WebAssembly component: {why}"),
    )
    .with_hint("build one with `windlass plugin build FOLDER`")
}

fn refused(why: String) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("the plugin cannot be used: {why}"),
    )
}
