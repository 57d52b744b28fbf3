//! What a build read, so that the same is not built again.
//!
//! Cargo leaves a dependency file beside its artefact that names every source of every local crate,
//! files included by macros among them. Their contents, the manifests above them, the lock file and
//! the compiler's version make one digest, kept beside the component. A build is skipped
//! only if that digest and the component's own are what they were.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use windlass_core::{Blake3, Result};

use super::{disk, replace};

/// Raised whenever this module makes another component of the same sources.
const RECIPE: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Stamp {
    inputs: BTreeSet<PathBuf>,
    inputs_digest: Blake3,
    component_digest: Blake3,
}

/// The digest of the component that an earlier build left, if building again would give the same.
pub(super) fn unchanged(stamp: &Path, component: &Path, version: &str) -> Option<Blake3> {
    // Whatever is unreadable here is a reason to build, not to fail.
    let stamp: Stamp = serde_json::from_slice(&fs::read(stamp).ok()?).ok()?;
    let is_same = digest(&stamp.inputs, version) == stamp.inputs_digest
        && Blake3::of(&fs::read(component).ok()?) == stamp.component_digest;
    is_same.then_some(stamp.component_digest)
}

/// What a build depends on besides its files: what makes it, and where it is, because the files are known by their paths.
/// A folder that was copied with what was built in it is built anew.
pub(super) fn version(made_by: &str, project: &Path) -> String {
    format!("{made_by}\n{}", project.display())
}

/// Records what was read for the component that was just made, by a build that began at `started`. What was saved
/// since may or may not be in the component, so then nothing is recorded and the next build is one.
pub(super) fn record(
    stamp: &Path,
    inputs: BTreeSet<PathBuf>,
    version: &str,
    component_digest: Blake3,
    started: SystemTime,
) -> Result<()> {
    // What build scripts wrote lies in the target folder, above the component's.
    let target = stamp.ancestors().nth(2);
    let is_made = |input: &Path| target.is_some_and(|target| input.starts_with(target));
    let is_newer = |input: &PathBuf| {
        let saved = fs::metadata(input).and_then(|metadata| metadata.modified());
        input.is_file() && !is_made(input) && saved.is_ok_and(|saved| saved > started)
    };
    if inputs.iter().any(is_newer) {
        return match fs::remove_file(stamp) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk("remove", stamp, e)),
            _ => Ok(()),
        };
    }
    let inputs_digest = digest(&inputs, version);
    let stamp_value = Stamp {
        inputs,
        inputs_digest,
        component_digest,
    };
    // Paths come from cargo's own JSON or a text file, so they are UTF-8 and serialize.
    let text = serde_json::to_vec_pretty(&stamp_value).unwrap_or_default();
    replace(stamp, &text)
}

/// The files that the build of `module` read.
pub(super) fn read_by(module: &Path, workspace_root: &Path) -> Result<BTreeSet<PathBuf>> {
    let listing = module.with_extension("d");
    let text = fs::read_to_string(&listing).map_err(|e| disk("read", &listing, e))?;
    let sources = prerequisites(&text);
    let mut inputs: BTreeSet<PathBuf> = sources.iter().filter_map(|s| manifest_above(s)).collect();
    inputs.extend(
        sources
            .iter()
            .filter_map(|source| folder_of_interfaces(source)),
    );
    inputs.extend(sources);
    for name in [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "rust-toolchain.toml",
    ] {
        inputs.insert(workspace_root.join(name));
    }
    Ok(inputs)
}

/// The paths after the colon of a one-rule makefile; a blank inside a path is written `\ `.
fn prerequisites(text: &str) -> Vec<PathBuf> {
    let Some((_, list)) = text.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let (mut paths, mut path) = (Vec::new(), String::new());
    let mut characters = list.chars().chain([' ']).peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek() == Some(&' ') => path.extend(characters.next()),
            ' ' if path.is_empty() => {}
            ' ' => paths.push(PathBuf::from(std::mem::take(&mut path))),
            other => path.push(other),
        }
    }
    paths
}

/// The manifest of the crate that a source belongs to. Other files, such as WIT, belong to none.
fn manifest_above(source: &Path) -> Option<PathBuf> {
    source.extension().filter(|extension| *extension == "rs")?;
    let mut folders = source.ancestors().skip(1);
    folders.find_map(|folder| Some(folder.join("Cargo.toml")).filter(|path| path.is_file()))
}

/// The folder of a WIT file: a file added to it changes the build without being named anywhere.
fn folder_of_interfaces(source: &Path) -> Option<PathBuf> {
    let is_wit = source
        .extension()
        .is_some_and(|extension| extension == "wit");
    is_wit.then(|| source.parent().map(Path::to_path_buf))?
}

fn digest(inputs: &BTreeSet<PathBuf>, version: &str) -> Blake3 {
    let mut text = format!("{RECIPE}\n{version}\n");
    for input in inputs {
        // A file that is gone, or a folder's list, counts like any other content.
        let content = match fs::read_dir(input) {
            Ok(entries) => {
                let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
                names.sort();
                format!("{names:?}").into_bytes()
            }
            Err(_) => fs::read(input).unwrap_or_else(|_| b"absent".to_vec()),
        };
        text.push_str(&format!("{} {}\n", input.display(), Blake3::of(&content)));
    }
    Blake3::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_in_a_path_is_not_a_separator() {
        let paths = prerequisites("/t/a.wasm: /p/src/lib.rs /p/my\\ wit/a.wit\n");
        assert_eq!(
            paths,
            [
                PathBuf::from("/p/src/lib.rs"),
                PathBuf::from("/p/my wit/a.wit")
            ]
        );
    }
}
