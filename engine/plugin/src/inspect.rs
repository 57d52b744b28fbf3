//! What a component file is, for the person who got it: all that can be said without its configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use windlass_core::{Blake3, Error, HookKind, Origin, Result};

use crate::host::{Linked, PluginHost, read_component};
use crate::plugin::Plugin;
use crate::shape::Shape;

/// What was found out about a component file.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Digest of the file: what an operator pins.
    pub digest: Blake3,
    /// Length of the file in bytes.
    pub size_bytes: u64,
    /// API version, imports and exports.
    #[serde(flatten)]
    pub shape: Shape,
    /// How long compiling took, without any cache; `None` if it did not come to that.
    pub compile_time: Option<Duration>,
    /// The plugin's own name and version; `None` if it could not be asked.
    pub identity: Option<(String, String)>,
    /// The hooks that it has.
    pub hooks: Vec<HookKind>,
    /// Whose statements about assets it asks for.
    pub asks: Vec<Origin>,
    /// Why this host cannot use it; `None` if it can, given a configuration that it accepts.
    pub problem: Option<String>,
    /// What to do about the problem.
    pub hint: Option<String>,
}

impl PluginHost {
    /// Describes a component file. Compiles it afresh, so it blocks for 0.1 s or, for a Python guest,
    /// half a minute. Fails only if the file cannot be read or is no component.
    pub fn inspect(&self, path: &Path) -> Result<Inspection> {
        let bytes = read_component(path)?;
        let shape =
            Shape::read(&bytes).map_err(|error| error.with_context("plugin", path.display()))?;
        let mut inspection = Inspection {
            path: path.to_path_buf(),
            digest: Blake3::of(&bytes),
            size_bytes: bytes.len() as u64,
            hooks: shape.hooks(),
            asks: Vec::new(),
            shape,
            compile_time: None,
            identity: None,
            problem: None,
            hint: None,
        };
        if let Err(error) = self.examine(&bytes, &mut inspection) {
            inspection.problem = Some(error.chain());
            inspection.hint = error.hint().map(str::to_owned);
        }
        Ok(inspection)
    }

    fn examine(&self, bytes: &[u8], inspection: &mut Inspection) -> Result<(), Error> {
        let api = inspection.shape.check()?;
        let started = Instant::now();
        let component = self.compile(bytes)?;
        inspection.compile_time = Some(started.elapsed());
        let linked: Linked = self.link_component(&component, &inspection.shape, api)?;
        let shared = Arc::clone(&self.shared);
        let (name, version, asks) = Plugin::identify(shared, linked, inspection.digest)?;
        inspection.identity = Some((name, version));
        inspection.asks = asks;
        Ok(())
    }
}
