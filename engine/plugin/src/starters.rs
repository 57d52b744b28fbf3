//! Projects to start a plugin from: each builds at once, and its cases hold.
//!
//! They are the worked examples in `plugins/starters` with another name: the same mapping, the same rights and the
//! same routing in each language, held to the same cases. A Rust project carries the SDK, so that it
//! needs nothing of this repository.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use windlass_core::{Error, HookKind, Kind, Result};

/// The name in the starters that is replaced.
const NAME: &str = "my-plugin";

/// The world in the starters' manifests that is replaced by the hook's.
const WORLD: &str = "metadata-hook";

/// The longest name; as long as what a plugin may call itself.
const NAME_BYTES_MAX: usize = 64;

/// A language that plugins can be started in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StarterLanguage {
    /// Small and fast: 60 KB, 40 µs a batch.
    Rust,
    /// With the interpreter in it: 18 MB, some milliseconds a batch.
    Python,
    /// With the interpreter in it: 1 MB, some tenths of a millisecond a batch.
    JavaScript,
}

macro_rules! starter {
    ($file:literal) => {
        include_str!(concat!("../../../plugins/starters/", $file))
    };
}

macro_rules! sdk {
    ($file:literal) => {
        (
            concat!("vendor/windlass-sdk/", $file),
            include_str!(concat!("../../../plugins/sdk/", $file)),
        )
    };
}

const WIT: &str = include_str!("../../../wit/v1/hooks.wit");

/// What the repository's own project of the SDK is, file by file.
const SDK: [(&str, &str); 5] = [
    sdk!("Cargo.toml"),
    sdk!("src/lib.rs"),
    sdk!("src/bindings.rs"),
    sdk!("src/host.rs"),
    sdk!("src/macros.rs"),
];

/// Writes a project for a plugin into a folder that is not there yet or empty, and answers what was written, in
/// order.
///
/// Fails with `InvalidInput` if the name is no name of a plugin (lower-case words with hyphens between them), with
/// `Conflict` if the folder has something in it. A file that cannot be written leaves those before it.
pub fn new_plugin(
    folder: &Path,
    name: &str,
    language: StarterLanguage,
    hook: HookKind,
) -> Result<Vec<PathBuf>> {
    check_name(name)?;
    let problem = |path: &Path, error: std::io::Error| {
        let message = format!("cannot write {}", path.display());
        Error::new(Kind::Denied, message).with_source(error)
    };
    fs::create_dir_all(folder).map_err(|error| problem(folder, error))?;
    let mut entries = fs::read_dir(folder).map_err(|error| problem(folder, error))?;
    if entries.next().is_some() {
        let message = format!("the folder {} is not empty", folder.display());
        return Err(
            Error::new(Kind::Conflict, message).with_hint("name a folder that is not there yet")
        );
    }
    let mut written = Vec::new();
    for (file, text) in files(language, hook) {
        let path = folder.join(file);
        // These two are copies of what they are copies of, word for word.
        let text = match file.starts_with("vendor/") || file.starts_with("wit/") {
            true => text.to_owned(),
            false => text
                // The name last: it may read like a world.
                .replace(WORLD, &format!("{}-hook", hook.name()))
                .replace(NAME, name),
        };
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| problem(parent, error))?;
        File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| problem(&path, error))?;
        written.push(path);
    }
    Ok(written)
}

fn check_name(name: &str) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.len() <= NAME_BYTES_MAX && name.split('-').all(is_word) {
        return Ok(());
    }
    Err(Error::new(
        Kind::InvalidInput,
        format!("{name:?} is no name of a plugin"),
    )
    .with_hint(
        "up to 64 letters: lower-case words with hyphens between them, such as acme-campaigns",
    ))
}

/// The files of a project, by path.
fn files(language: StarterLanguage, hook: HookKind) -> Vec<(&'static str, &'static str)> {
    let by_hook = |metadata, rights, localization| match hook {
        HookKind::Metadata => metadata,
        HookKind::Rights => rights,
        HookKind::Localization => localization,
    };
    let cases = by_hook(
        starter!("cases/metadata.toml"),
        starter!("cases/rights.toml"),
        starter!("cases/localization.toml"),
    );
    let mut files = match language {
        StarterLanguage::Rust => {
            let code = by_hook(
                starter!("rust/metadata.rs"),
                starter!("rust/rights.rs"),
                starter!("rust/localization.rs"),
            );
            let mut files = vec![
                ("Cargo.toml", starter!("rust/Cargo.toml")),
                ("src/lib.rs", code),
                (".gitignore", "/target\n"),
                ("wit/v1/hooks.wit", WIT),
            ];
            files.extend(SDK);
            files
        }
        StarterLanguage::Python => vec![
            ("pyproject.toml", starter!("python/pyproject.toml")),
            ("requirements.txt", starter!("python/requirements.txt")),
            (
                "app.py",
                by_hook(
                    starter!("python/metadata.py"),
                    starter!("python/rights.py"),
                    starter!("python/localization.py"),
                ),
            ),
            (".gitignore", "/target\n__pycache__\n"),
        ],
        StarterLanguage::JavaScript => vec![
            ("package.json", starter!("javascript/package.json")),
            (
                "package-lock.json",
                starter!("javascript/package-lock.json"),
            ),
            (
                "plugin.js",
                by_hook(
                    starter!("javascript/metadata.js"),
                    starter!("javascript/rights.js"),
                    starter!("javascript/localization.js"),
                ),
            ),
            (".gitignore", "/target\n/node_modules\n"),
        ],
    };
    files.push(("cases/first.toml", cases));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_lower_case_words() {
        for name in ["acme", "acme-campaigns", "a1-b2"] {
            check_name(name).unwrap();
        }
        let long = "a".repeat(65);
        for name in [
            "", "Acme", "acme_x", "-a", "a-", "a--b", "1a", "a/b", "ä", "../a", &long,
        ] {
            assert_eq!(
                check_name(name).unwrap_err().kind(),
                Kind::InvalidInput,
                "{name}"
            );
        }
    }

    #[test]
    fn nothing_is_written_into_a_folder_that_has_something() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "mine").unwrap();
        let (python, metadata) = (StarterLanguage::Python, HookKind::Metadata);
        let error = new_plugin(folder.path(), "acme", python, metadata).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_project_has_its_own_name_and_its_hook() {
        let languages = [
            StarterLanguage::Rust,
            StarterLanguage::Python,
            StarterLanguage::JavaScript,
        ];
        for (language, hook) in languages
            .into_iter()
            .flat_map(|language| HookKind::ALL.into_iter().map(move |hook| (language, hook)))
        {
            let folder = tempfile::tempdir().unwrap();
            let written = new_plugin(folder.path(), "acme-one", language, hook).unwrap();
            let texts = written.iter().map(|path| fs::read_to_string(path).unwrap());
            let all: String = texts.collect();
            assert!(!all.contains(NAME), "{language:?} {hook:?}");
            let named = match language {
                StarterLanguage::Rust => format!("plugin!(MyPlugin: {})", hook.name()),
                _ => format!("{}-hook", hook.name()),
            };
            assert!(all.contains(&named), "{language:?} {named}");
        }
    }
}
