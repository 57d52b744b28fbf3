//! What an author of plugins does: build, test, bless.

use std::fs;
use std::path::Path;

use crate::program::{Finished, finish, windlass};

/// Runs the binary with a cache of its own, as one user's calls share it.
fn run(dir: &Path, args: &[&str]) -> Finished {
    finish(
        windlass(dir)
            .args(args)
            .env("XDG_CACHE_HOME", dir.join("cache")),
    )
}

fn folder_metadata() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/folder-metadata");
    folder.to_str().unwrap().to_owned()
}

#[test]
fn a_plugin_is_built_and_its_cases_are_run() {
    let dir = tempfile::tempdir().unwrap();
    let tested = run(
        dir.path(),
        &["plugin", "test", &folder_metadata(), "--json"],
    )
    .expect(0);
    let tally = &tested.records("tested")[0];
    assert!(tally["hold"].as_u64() >= Some(15), "{tally}");
    for other in ["differ", "blessed", "problems"] {
        assert_eq!(tally[other], 0, "{tally}");
    }
}

#[test]
fn a_case_that_differs_fails_until_it_is_blessed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mine.toml");
    let config = "[config]\ntemplates = ['/{client}']\n\n\
                  [[config.field]]\nfield = 'client'\nvalue = '{client}'\n\n";
    let case = "[[case]]\nname = 'a client'\npath = '/ACME/a.tif'\nexpect.fields.client = 'Acme'\n";
    fs::write(&file, format!("{config}{case}")).unwrap();
    let plugin = folder_metadata();
    let command = ["plugin", "test", &plugin, "--cases", "."];

    let tested = run(dir.path(), &command).expect(1);
    for line in [
        "mine.toml: 0 of 1 hold",
        "  differs: a client",
        "    - fields.client = \"Acme\"",
        "    + fields.client = \"ACME\"",
        "0 of 1 cases hold",
    ] {
        assert!(tested.stdout.contains(line), "{line}\n{}", tested.stdout);
    }
    assert!(tested.stderr.contains("--bless"), "{}", tested.stderr);

    let blessing = [&command[..], &["--bless"]].concat();
    let blessed = run(dir.path(), &blessing).expect(0);
    assert!(blessed.stdout.contains("blessed: 1"), "{}", blessed.stdout);
    let written = fs::read_to_string(&file).unwrap();
    let wanted = case.replace("'Acme'", "\"ACME\"");
    assert_eq!(written, format!("{config}{wanted}"));
    run(dir.path(), &command).expect(0);

    // A key that the plugin does not know is told with its file, and fails.
    fs::write(&file, format!("config = {{ template = [] }}\n{case}")).unwrap();
    let broken = run(dir.path(), &command).expect(1);
    assert!(
        broken.stdout.contains("unknown field `template`"),
        "{}",
        broken.stdout
    );
    // Cases that cannot be blessed are shown all the same.
    let inline = "case = [{ name = 'a client', path = '/ACME/a.tif' }]";
    fs::write(
        &file,
        format!("config = {{ templates = ['/{{client}}'] }}\n{inline}"),
    )
    .unwrap();
    let left = run(dir.path(), &blessing).expect(1);
    for part in [
        "[[case]] to have them blessed",
        "differs: a client",
        "files with a problem: 1",
    ] {
        assert!(left.stdout.contains(part), "{part}\n{}", left.stdout);
    }
    // Nothing to run is no success.
    fs::remove_file(&file).unwrap();
    let nothing = run(dir.path(), &command).expect(2);
    assert!(
        nothing.stderr.contains("there are no cases"),
        "{}",
        nothing.stderr
    );
}

#[test]
fn a_component_that_is_not_there_is_an_error_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let cases = Path::new(&folder_metadata()).join("cases");
    let cases = cases.to_str().unwrap();
    let command = ["plugin", "test", "missing.wasm", "--cases", cases];
    let missing = run(dir.path(), &command).expect(2);
    assert!(
        missing
            .stderr
            .contains("cannot read the plugin missing.wasm"),
        "{}",
        missing.stderr
    );
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["cache"]);
}

#[test]
fn a_plugin_is_measured_on_its_own_cases() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = folder_metadata();
    let command = ["plugin", "bench", &plugin, "--time", "10ms"];
    let shown = run(dir.path(), &command).expect(0);
    for part in ["compiled in", "once compiled", "agency.toml", "memory"] {
        assert!(shown.stdout.contains(part), "{part}\n{}", shown.stdout);
    }
    let measured = run(dir.path(), &[&command[..], &["--json"]].concat()).expect(0);
    let batches = &measured.records("benched")[0]["batches"];
    assert_eq!(batches.as_array().unwrap().len(), 6, "{batches}");
}

#[test]
fn the_cases_that_the_guide_shows_hold() {
    let dir = tempfile::tempdir().unwrap();
    let guide = Path::new(&folder_metadata()).join("../README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let shown = guide.split("```toml\n[config]").nth(1).unwrap();
    let cases = shown.split("```").next().unwrap();
    let file = dir.path().join("shown.toml");
    fs::write(&file, format!("[config]{cases}")).unwrap();
    let plugin = folder_metadata();
    let tested = run(
        dir.path(),
        &["plugin", "test", &plugin, "--cases", "shown.toml"],
    )
    .expect(0);
    assert!(
        tested.stdout.contains("2 of 2 cases hold"),
        "{}",
        tested.stdout
    );
}
