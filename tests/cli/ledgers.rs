//! Ledgers that versions and accidents left behind: what the program says of each, and that it leaves alone what it
//! cannot use. `engine/ledger/src/tests/fixtures.rs` makes the files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::plans::folders;
use crate::program::run;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/ledger")
        .join(name)
}

/// A folder with a configuration and that ledger.
fn with_ledger(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    for end in ["", "-wal"] {
        let from = fixture(&format!("{name}{end}"));
        if from.exists() {
            fs::copy(from, dir.path().join(format!("windlass.db{end}"))).unwrap();
        }
    }
    dir
}

/// What a command says, with what differs between machines replaced.
fn said(dir: &Path, args: &[&str]) -> String {
    let finished = run(dir, args);
    let code = finished
        .code
        .map_or("none".to_owned(), |code| code.to_string());
    let text = format!(
        "exit status {code}\n--- stdout\n{}--- stderr\n{}",
        finished.stdout, finished.stderr
    );
    let text = text.replace(&dir.canonicalize().unwrap().display().to_string(), "DIR");
    text.replace(&dir.display().to_string(), "DIR")
}

#[test]
fn ledgers_of_earlier_versions_are_brought_up_to_date_by_the_first_run() {
    let mut refusals = std::collections::BTreeSet::new();
    for version in 1..=6 {
        let dir = with_ledger(&format!("schema-{version}.db"));
        if version < 6 {
            refusals.insert(said(dir.path(), &["status"]));
        }
        run(dir.path(), &["run", "move"]).expect(0);
        run(dir.path(), &["ledger", "check"]).expect(0);
        let status = run(dir.path(), &["--json", "status"]).expect(0);
        let runs = status.records("run");
        assert_eq!(runs.len(), 2, "schema {version}");
        assert_eq!(runs[1]["run"], "01890a5d-ac96-774b-bcce-b302099a8057");
    }
    let refusals: Vec<String> = refusals.into_iter().collect();
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let dir = with_ledger("newer.db");
    insta::assert_snapshot!(said(dir.path(), &["run", "move"]));
    let now = fs::read(dir.path().join("windlass.db")).unwrap();
    assert!(now == fs::read(fixture("newer.db")).unwrap());
}

#[test]
fn a_truncated_ledger_is_refused_and_left_as_it_is() {
    let dir = with_ledger("truncated.db");
    insta::assert_snapshot!(said(dir.path(), &["run", "move"]));
    let now = fs::read(dir.path().join("windlass.db")).unwrap();
    assert!(now == fs::read(fixture("truncated.db")).unwrap());
}

#[test]
fn what_was_half_written_when_the_process_died_is_as_if_it_had_not_begun() {
    let dir = with_ledger("half-written.db");
    insta::assert_snapshot!(said(dir.path(), &["status"]));
    run(dir.path(), &["run", "move"]).expect(0);
    run(dir.path(), &["ledger", "check"]).expect(0);
}

#[test]
fn a_ledger_in_use_is_refused_by_name() {
    let dir = with_ledger("schema-6.db");
    let lock = dir.path().join("windlass.db-lock");
    let held = File::create(&lock).unwrap();
    held.lock().unwrap();
    fs::write(&lock, "4711\n").unwrap();
    insta::assert_snapshot!(said(dir.path(), &["run", "move"]));
    // Who only looks needs no lock.
    run(dir.path(), &["status"]).expect(0);
    drop(held);
    run(dir.path(), &["run", "move"]).expect(0);
}

#[test]
fn a_sheet_in_another_encoding_is_refused_with_the_row_and_nothing_is_moved() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "plugin = \"rules\"");
    let mut text = fs::read_to_string(dir.path().join("windlass.toml")).unwrap();
    text.push_str(
        "[plugin.rules]\nfile = \"rules.wasm\"\ntables = { clients = \"clients.csv\" }\n",
    );
    fs::write(dir.path().join("windlass.toml"), text).unwrap();
    fs::write(dir.path().join("rules.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    // As a spreadsheet saves it where nobody asked for UTF-8.
    fs::write(dir.path().join("clients.csv"), b"code,name\nNORD,K\xf6ln\n").unwrap();
    insta::assert_snapshot!(said(dir.path(), &["run", "move"]));
    assert!(
        fs::read_dir(dir.path().join("out"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn a_ledger_is_exported_row_by_row_sealed_and_signed() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    run(dir.path(), &["key", "new", "lead.pem"]).expect(0);
    let args = ["ledger", "export", "all.ledger", "--sign", "lead.pem"];
    let told = run(dir.path(), &args).expect(0).stdout;
    assert!(told.contains("placement     3"), "{told}");
    let text = fs::read_to_string(dir.path().join("all.ledger")).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["record"], "ledger");
    let of = |table: &str| lines.iter().filter(|line| line["table"] == table).count();
    assert_eq!(
        (of("run"), of("step"), of("placement"), of("custody")),
        (1, 3, 3, 3)
    );
    // The seal is of every line, so another signer sees that none was changed.
    run(dir.path(), &["sign", "all.ledger", "--key", "lead.pem"]).expect(0);
    let changed = text.replace("/a.tif", "/z.tif");
    fs::write(dir.path().join("changed.ledger"), changed).unwrap();
    run(dir.path(), &["sign", "changed.ledger", "--key", "lead.pem"]).expect(2);
    let again = run(dir.path(), &args).expect(2).stderr;
    assert!(again.contains("all.ledger"), "{again}");
}

#[test]
fn a_ledger_that_is_lost_is_made_again_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    for end in ["", "-wal", "-shm", "-lock"] {
        fs::remove_file(dir.path().join(format!("windlass.db{end}"))).ok();
    }
    let planned = run(dir.path(), &["--json", "plan", "move"]).expect(0);
    assert_eq!(planned.records("plan")[0]["unchanged"]["assets"], 0);
    let said = run(dir.path(), &["--quiet", "ledger", "rebuild"]).expect(0);
    insta::assert_snapshot!(said.stdout);
    let planned = run(dir.path(), &["--json", "plan", "move"]).expect(0);
    assert_eq!(planned.records("plan")[0]["empty"], true);
    assert_eq!(planned.records("plan")[0]["unchanged"]["assets"], 3);
    run(dir.path(), &["verify", "move"]).expect(0);
    run(dir.path(), &["ledger", "check"]).expect(0);
    let again = run(dir.path(), &["--json", "ledger", "rebuild", "move"]).expect(0);
    let again = &again.records("rebuilt")[0];
    assert_eq!(
        (&again["known"], &again["by_place"]["files"]),
        (&3.into(), &0.into())
    );
    // The record says how it learnt of them.
    let explained = run(dir.path(), &["explain", "/a.tif"]).expect(0);
    assert!(
        explained.stdout.contains("its bytes are where it belongs"),
        "{}",
        explained.stdout
    );
    let mut missing = run(dir.path(), &["ledger", "rebuild", "moov"]);
    missing = missing.expect(2);
    assert!(missing.stderr.contains("moov"), "{}", missing.stderr);
}
