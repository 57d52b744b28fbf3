//! The house is in order: crates depend as drawn, and what a layer must not know it does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our own crates each crate may use, as ARCHITECTURE.md draws it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("archive", &["core"]),
    ("http", &["core"]),
    ("local", &["core"]),
    ("ledger", &["core"]),
    ("plugin", &["core"]),
    ("sandbox", &["core"]),
    ("statements", &["core"]),
    ("dropbox", &["core", "http"]),
    ("celum", &["core", "http"]),
    ("transfer", &["core"]),
    ("flow", &["archive", "core", "transfer"]),
    ("console", &["core", "flow"]),
];

/// Crates at the top, which may use all others.
const TOP: &[&str] = &["cli", "tests", "benches"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Dependencies of each of our crates that end up in a release build, by short name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let short = |name: &str| name.strip_prefix("windlass-").map(str::to_owned);
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let name = short(package["name"].as_str().unwrap()).expect("every crate is windlass-*");
            let uses = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"] != "dev" || TOP.contains(&name.as_str()))
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (name, uses)
        })
        .collect()
}

/// All Rust files below a folder, target folders left out.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn crates_use_each_other_only_as_drawn() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    for (name, uses) in dependencies() {
        if TOP.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not drawn"));
        for used in uses
            .iter()
            .filter_map(|used| used.strip_prefix("windlass-"))
        {
            assert!(allowed.contains(&used), "{name} must not use {used}");
        }
    }
}

#[test]
fn each_heavy_library_has_one_owner() {
    let owners: &[(&str, &[&str])] = &[
        ("reqwest", &["http"]),
        ("wasmtime", &["plugin"]),
        ("wit-component", &["plugin"]),
        ("sqlx", &["ledger"]),
        ("rusqlite", &[]),
        ("axum", &["console", "sandbox", "tests"]),
        ("dropbox-sdk", &["tests"]),
        ("clap", &["cli"]),
        ("anyhow", &[]),
        ("quick-xml", &["archive", "statements"]),
        ("calamine", &["statements"]),
        (
            "tokio-util",
            &[
                "celum", "transfer", "flow", "console", "sandbox", "cli", "tests", "http",
                "benches",
            ],
        ),
    ];
    for (name, uses) in dependencies() {
        for (library, owners) in owners {
            assert!(
                !uses.contains(*library) || owners.contains(&name.as_str()),
                "{name} must not name {library}"
            );
        }
    }
}

#[test]
fn core_knows_no_runtime_and_does_no_io() {
    let core = &dependencies()["core"];
    for library in ["tokio", "futures-util", "reqwest", "http"] {
        assert!(!core.contains(library), "core must not use {library}");
    }
    for file in sources(&root().join("engine/core/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in [
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
        ] {
            assert!(!text.contains(word), "{}: names {word}", file.display());
        }
    }
}

#[test]
fn the_data_and_control_plane_know_no_service() {
    for layer in [
        "archive",
        "core",
        "http",
        "local",
        "ledger",
        "plugin",
        "statements",
        "transfer",
        "flow",
        "console",
    ] {
        // The content hash is Dropbox's own; where core and transfer define it they say whose it is.
        let may_name_its_owner = ["core", "transfer"].contains(&layer);
        for file in sources(&root().join("engine").join(layer).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                let comment = line.trim_start().starts_with("//");
                let lower = line.to_lowercase();
                let named = lower.contains("celum") || lower.contains("dropbox");
                // File managers' litter has this name everywhere.
                let litter = lower.contains("\".dropbox");
                assert!(
                    !named || litter || (comment && may_name_its_owner),
                    "{}:{}: names a service: {line}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn only_the_command_line_reads_the_environment() {
    // Build tooling hands variables to the compilers it runs; that is its work.
    for layer in [
        "archive",
        "core",
        "http",
        "dropbox",
        "celum",
        "local",
        "ledger",
        "statements",
        "transfer",
        "flow",
        "console",
        "sandbox",
    ] {
        for file in sources(&root().join("engine").join(layer).join("src")) {
            if file.ends_with("tests.rs")
                || file.components().any(|part| part.as_os_str() == "tests")
            {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            assert!(
                !text.contains("env::var"),
                "{}: reads the environment",
                file.display()
            );
        }
    }
}

#[test]
fn the_top_level_is_as_prescribed() {
    let output = Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let allowed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "benches",
        "engine",
        "plugins",
        "tests",
        "wit",
    ];
    for name in listed.lines().filter(|name| !name.starts_with('.')) {
        assert!(allowed.contains(&name), "{name} is at the top level");
    }
}

/// A name that no test has is a lesson that nobody holds.
#[test]
fn every_lesson_names_tests_that_exist() {
    let files = [root().join("engine"), root().join("tests")];
    let files = files.iter().flat_map(|folder| sources(folder));
    let code: String = files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let lessons = fs::read_to_string(root().join("tests/LESSONS.md")).unwrap();
    let rows = lessons.lines().filter(|line| line.starts_with("| "));
    // The head of the table, and the line below it is no row.
    for row in rows.skip(1) {
        let held_by = row.rsplit(" | ").next().unwrap();
        let tests: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing holds {row}");
        for test in tests {
            assert!(code.contains(&format!("fn {test}(")), "no test is {test}");
        }
    }
}
