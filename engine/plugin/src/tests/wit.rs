//! The interface changes only with its version: what was released stays as it is, word for word, and a
//! newer version of the same major only adds to it.
//!
//! `wit/released/VERSION.wit` is the interface of a released version without its documentation, as the
//! printer writes it. A new version gets a new file: `WINDLASS_RELEASE_WIT=1 cargo test -p windlass-plugin wit`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wit_component::WitPrinter;
use wit_parser::Resolve;

fn wit(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../wit")
        .join(path)
}

/// The interface without its documentation, and its version.
fn printed(path: &Path) -> (String, String) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(path).unwrap();
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer.print(&resolve, package, &[]).unwrap();
    let version = resolve.packages[package].name.version.clone().unwrap();
    (printer.output.to_string(), version.to_string())
}

/// Everything that it declares, each with the interface or world that it is in.
fn declarations(printed: &str) -> BTreeSet<String> {
    let mut declared = BTreeSet::new();
    let (mut within, mut item, mut depth) = (String::new(), String::new(), 0);
    for line in printed
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let opens = line.ends_with('{');
        if depth == 0 {
            within = line.trim_end_matches('{').trim().to_owned();
        } else if line != "}" || depth > 1 {
            item.push_str(line);
            item.push(' ');
        }
        depth += usize::from(opens);
        depth -= usize::from(line == "}");
        if depth <= 1 && !item.is_empty() {
            declared.insert(format!("{within}: {}", item.trim()));
            item.clear();
        }
    }
    declared
}

#[test]
fn the_interface_changes_only_with_its_version() {
    let (now, version) = printed(&wit("v1"));
    let frozen = wit("released").join(format!("{version}.wit"));
    if std::env::var_os("WINDLASS_RELEASE_WIT").is_some() && !frozen.exists() {
        fs::create_dir_all(wit("released")).unwrap();
        fs::write(&frozen, &now).unwrap();
    }
    let released = fs::read_to_string(&frozen).unwrap_or_else(|error| {
        panic!("version {version} is not released: {error}; this module says how")
    });
    assert_eq!(
        released, now,
        "wit/v1 differs from its released version {version}: give it a new version"
    );
    assert_eq!(version, crate::API_VERSION);
}

#[test]
fn a_newer_version_of_a_major_keeps_all_of_the_older_ones() {
    let now = declarations(&printed(&wit("v1")).0);
    assert!(
        now.iter()
            .any(|declared| declared.contains("record asset-view {"))
    );
    for entry in fs::read_dir(wit("released")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("1.") {
            continue;
        }
        let before = declarations(&fs::read_to_string(&path).unwrap());
        let gone: Vec<_> = before.difference(&now).collect();
        assert!(gone.is_empty(), "{name} had what wit/v1 has not: {gone:#?}");
    }
}

#[test]
fn a_change_of_any_declaration_is_noticed() {
    let (now, _) = printed(&wit("v1"));
    let before = declarations(&now);
    for (from, to) in [
        ("size: u64", "size: u32"),
        ("    keywords(list<string>),\n", ""),
        ("lookup: func(table: string,", "lookup: func(name: string,"),
        ("  export rights;\n", ""),
        ("    allow,\n    hold,", "    hold,\n    allow,"),
    ] {
        assert!(now.contains(from), "{from}");
        let changed = declarations(&now.replace(from, to));
        assert!(
            before.difference(&changed).next().is_some(),
            "{from} -> {to}"
        );
    }
    let added = now.replace("interface host {", "interface host {\n  more: func();");
    assert!(before.is_subset(&declarations(&added)));
}
