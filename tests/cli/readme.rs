//! The README's first real flow, as it is written there: nothing that a newcomer types is unproved.

use std::fs;
use std::path::Path;

use crate::bad_input::run_on;
use crate::program::{Served, finish, run, windlass};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap()
}

/// All blocks of configuration in the README, in order.
fn blocks(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```toml\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    blocks.collect()
}

/// The README's first configuration, with the ports of a served sandbox and paths of this clone.
fn configuration(served: &Served) -> String {
    let readme = readme();
    let first = blocks(&readme)[0].to_owned();
    let at = |name: &str| served.endpoints[name].as_str().unwrap().to_owned();
    let clone = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    first
        .replace("http://127.0.0.1:7700/", &at("dropbox_api"))
        .replace("http://127.0.0.1:7701/", &at("dropbox_content"))
        .replace("http://127.0.0.1:7702/", &at("dropbox_notify"))
        .replace(
            "http://127.0.0.1:7703/content-api/v1",
            &at("celum_api_root"),
        )
        .replace("\"plugins/", &format!("\"{}/plugins/", clone.display()))
}

#[test]
fn the_readmes_first_flow_works_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--fill", "small"]);
    fs::write(dir.path().join("windlass.toml"), configuration(&served)).unwrap();
    assert!(readme().contains(served.endpoints["dropbox_app_key"].as_str().unwrap()));

    let doctor = run_on(&served, dir.path(), &["doctor"]).expect(0);
    assert!(!doctor.stdout.contains("BAD"), "{}", doctor.stdout);
    let plan = run_on(&served, dir.path(), &["plan", "approved-masters", "--json"]).expect(0);
    let creates = plan
        .records("step")
        .iter()
        .filter(|step| step["action"] == "create")
        .count();
    assert!(creates >= 10, "{creates}");
    let run = run_on(&served, dir.path(), &["run", "approved-masters", "--json"]).expect(0);
    let done = run
        .records("asset")
        .iter()
        .filter(|asset| asset["state"] == "done")
        .count();
    // The file that Dropbox blocks is found out only when it is read.
    assert!(
        done + 1 >= creates && done <= creates,
        "{done} of {creates}"
    );
    let report = run_on(&served, dir.path(), &["report"]).expect(0);
    assert!(report.stdout.contains("done (create)"), "{}", report.stdout);
    // Both sides as they were left: each placed file is found at the tenant, wherever its plugin put it.
    let verify = [
        "verify",
        "approved-masters",
        "--within",
        "/Brand Library",
        "--json",
    ];
    let audit = run_on(&served, dir.path(), &verify).expect(0);
    let audit = audit.records("audit").remove(0);
    assert_eq!(audit["standings"]["same"]["files"], done, "{audit}");
    assert_eq!(audit["unexplained"], 0, "{audit}");
    let empty = run_on(&served, dir.path(), &["plan", "approved-masters"]).expect(0);
    let left = creates - done;
    assert!(
        left > 0 || empty.stdout.contains("nothing to do"),
        "{}",
        empty.stdout
    );
}

#[test]
fn every_block_of_configuration_that_the_readme_shows_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let readme = readme();
    let blocks = blocks(&readme);
    let about = |key: &str| {
        let mut found = blocks.iter().filter(|block| block.contains(key));
        found
            .next()
            .unwrap_or_else(|| panic!("a block about {key}"))
    };
    let first = configuration(&served);
    let rights = "[plugin.rights]\nfile = \"rights.wasm\"\n";
    // Blocks that go with the first one, each by itself.
    for block in [
        about("kind = \"sync\""),
        about("[flow.approved-masters.ready]"),
        about("[watch]"),
    ] {
        let press = "[flow.press]\nkind = \"publish\"\nfrom = \"dam\"\nto = \"agencies\"\nroot = \"/Press\"\n\
                     rights = { audience = \"press\" }\n";
        let text = format!("{first}\n{rights}\n{press}\n{block}");
        fs::write(dir.path().join("windlass.toml"), text).unwrap();
        let checked = run_on(&served, dir.path(), &["config", "check"]);
        checked.expect(0);
    }
}

#[test]
fn every_command_that_the_readme_names_exists() {
    let readme = readme();
    for command in [
        "windlass doctor",
        "windlass plan ",
        "windlass run ",
        "windlass report",
        "windlass explain ",
        "windlass sandbox ",
    ] {
        assert!(readme.contains(command), "{command}");
    }
}

/// What a file for deployment says, which the README names.
fn deployed(name: &str) -> String {
    let path = format!("engine/cli/deploy/{name}");
    assert!(readme().contains(&path), "{path}");
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(path),
    )
    .unwrap()
}

/// The number behind a word; there may be an equals sign, a colon or blanks between.
fn number(text: &str, word: &str) -> u64 {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("{word}"));
    let digits = rest.trim_start_matches([' ', '=', ':']);
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn whoever_stops_the_daemon_waits_longer_than_it_drains() {
    // `watch.drain` is 60 s at most, and up to 7 s may follow it: passes are dropped, and the console ends.
    let dir = tempfile::tempdir().unwrap();
    crate::plans::folders(dir.path(), "");
    let refused = run(dir.path(), &["--set", "watch.drain=61", "config", "check"]).expect(2);
    assert!(
        refused.stderr.contains("from 1 to 60"),
        "{}",
        refused.stderr
    );
    let waits = [
        number(&deployed("windlass.service"), "TimeoutStopSec"),
        number(&readme(), "--stop-timeout"),
        number(&readme(), "terminationGracePeriodSeconds"),
    ];
    assert!(waits.iter().all(|seconds| *seconds >= 67), "{waits:?}");
}

#[test]
fn the_files_for_deployment_start_what_the_program_understands() {
    let dir = tempfile::tempdir().unwrap();
    let unit = deployed("windlass.service");
    let started = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let (_, args) = started.unwrap().split_once("/windlass ").unwrap();
    let args: Vec<&str> = args.split(' ').chain(["--help"]).collect();
    run(dir.path(), &args).expect(0);

    let image = deployed("Containerfile");
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"));
    let manifest = manifest.unwrap();
    let (_, version) = manifest.split_once("rust-version = \"").unwrap();
    let version = version.split('"').next().unwrap();
    assert!(
        image.contains(&format!("library/rust:{version}-")),
        "{version}"
    );
    assert!(image.contains("CMD [\"watch\"]"));
    // Both say where the ledger is by the same name, and the program takes it.
    let ledger = "WINDLASS__LEDGER__FILE";
    assert!(image.contains(ledger) && unit.contains(ledger));
    crate::plans::folders(dir.path(), "");
    let shown = finish(
        windlass(dir.path())
            .env(ledger, "/data/other.db")
            .args(["config", "show"]),
    );
    assert!(shown.expect(0).stdout.contains("/data/other.db"));
}
