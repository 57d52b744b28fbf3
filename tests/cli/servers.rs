//! A ledger in a PostgreSQL database: everything works as with a file, and it moves from one to the other.

use std::fs;
use std::io::Write;
use std::path::Path;

use windlass_ledger::conformance::TestServer;

use crate::plans::folders;
use crate::program::{Finished, finish, run, windlass};

/// Adds to a configuration that its ledger is at a URL, which a file holds.
pub(crate) fn put_ledger_on(url: &str, dir: &Path) {
    fs::write(dir.join("ledger-url"), url).unwrap();
    let config = fs::OpenOptions::new()
        .append(true)
        .open(dir.join("windlass.toml"));
    let more = "\n[ledger]\nurl = { file = \"ledger-url\" }\n";
    config.unwrap().write_all(more.as_bytes()).unwrap();
}

/// The URL of an empty schema, with a password that must be seen nowhere.
fn schema() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = runtime.block_on(TestServer::shared().schema());
    url.replace("windlass@", "windlass:geheim@")
}

/// Runs a command whose output holds no password.
fn discreet(dir: &Path, args: &[&str], code: i32) -> Finished {
    let finished = run(dir, args).expect(code);
    for text in [&finished.stdout, &finished.stderr] {
        assert!(!text.contains("geheim"), "{args:?}: {text}");
    }
    finished
}

#[test]
fn a_ledger_on_a_server_serves_every_command() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    put_ledger_on(&schema(), dir.path());
    let none = discreet(dir.path(), &["status"], 0);
    assert_eq!(none.stdout, "no run yet\n");
    discreet(dir.path(), &["run", "move"], 0);
    let again = discreet(dir.path(), &["--json", "plan", "move"], 0);
    assert_eq!(again.records("plan")[0]["unchanged"]["assets"], 3);
    assert_eq!(
        discreet(dir.path(), &["--json", "status"], 0)
            .records("run")
            .len(),
        1
    );
    for args in [
        &["report"][..],
        &["explain", "/a.tif"],
        &["verify", "move"],
        &["doctor"],
        &["config", "show"],
        &["ledger", "check"],
        &["ledger", "compact"],
        &["ledger", "export", "all.ledger"],
        &["custody", "export", "all.custody"],
        &["ledger", "backup", "backup.db"],
    ] {
        discreet(dir.path(), args, 0);
    }
    // Nothing of the record itself is on this machine, but the copy that was asked for.
    assert!(!dir.path().join("windlass.db").exists());
    let mut names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".db"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0], "backup.db");
    assert!(
        names[1].starts_with("windlass.db.") && names[1].ends_with("-lock"),
        "{names:?}"
    );
}

#[test]
fn a_ledger_that_moves_between_a_file_and_a_server_has_nothing_to_do_there() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    let config = fs::read_to_string(dir.path().join("windlass.toml")).unwrap();
    let url = schema();
    let copy = |from: &str, to: &str| {
        let mut command = windlass(dir.path());
        command
            .args(["--json", "ledger", "copy", from, to])
            .env("LEDGER_URL", &url);
        let finished = finish(&mut command).expect(0);
        assert!(!finished.stdout.contains("geheim") && !finished.stderr.contains("geheim"));
        finished.records("ledger-copy")[0].clone()
    };
    let copied = copy("windlass.db", "env:LEDGER_URL");
    assert_eq!(
        (&copied["rows"]["step"], &copied["rows"]["placement"]),
        (&3.into(), &3.into())
    );
    put_ledger_on(&url, dir.path());
    let unchanged = |expected: u64| {
        let planned = run(dir.path(), &["--json", "plan", "move"]).expect(0);
        assert_eq!(planned.records("plan")[0]["unchanged"]["assets"], expected);
    };
    unchanged(3);
    // It goes on there, and back again.
    fs::write(dir.path().join("nas/d.tif"), "four").unwrap();
    run(dir.path(), &["run", "move"]).expect(0);
    let copied = copy("env:LEDGER_URL", "back.db");
    assert_eq!(copied["rows"]["placement"], 4);
    fs::write(
        dir.path().join("windlass.toml"),
        config + "\n[ledger]\nfile = \"back.db\"\n",
    )
    .unwrap();
    unchanged(4);
    run(dir.path(), &["ledger", "check"]).expect(0);
}

#[test]
fn copying_a_ledger_refuses_what_would_lose_or_show_something() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    let url = schema();
    let with_variable = |from: &str, to: &str| {
        let mut command = windlass(dir.path());
        command
            .args(["ledger", "copy", from, to])
            .env("LEDGER_URL", &url);
        finish(&mut command)
    };
    with_variable("windlass.db", "env:LEDGER_URL").expect(0);
    let mut said = String::new();
    for (from, to) in [
        ("windlass.db", "env:LEDGER_URL"),
        ("windlass.db", "windlass.db"),
        ("missing.db", "new.db"),
        ("windlass.db", "env:MISSING"),
        ("windlass.db", "postgres://otto:geheim@127.0.0.1:1/windlass"),
        ("windlass.db", "missing/new.db"),
        ("nas/a.tif", "new.db"),
    ] {
        let refused = with_variable(from, to).expect(2);
        said.push_str(&format!(
            "$ windlass ledger copy {from} {to}\n{}\n",
            refused.stderr
        ));
    }
    assert!(!dir.path().join("new.db").exists());
    let said = said.replace(
        &dir.path().canonicalize().unwrap().display().to_string(),
        "DIR",
    );
    let port = format!(":{}/", TestServer::shared().port());
    let said = said
        .replace(&port, ":PORT/")
        .replace("postgres://otto:geheim@", "postgres://otto:***@");
    assert!(!said.contains("geheim"));
    let said = without_process_numbers(&said);
    insta::assert_snapshot!(said);
}

/// Process numbers differ.
fn without_process_numbers(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("(process ") {
        let (before, after) = rest.split_at(at + "(process ".len());
        kept.push_str(before);
        kept.push('N');
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    kept + rest
}
