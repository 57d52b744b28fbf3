//! What can be asked afterwards: a report in every form, and why an asset is where it is.

use std::fs;

use crate::plans::folders;
use crate::program::run;

#[test]
fn a_report_is_a_page_a_sheet_or_lines_and_an_asset_is_explained_by_path_and_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let demo = ["demo", "--size", "small", "--json", "--dir", "."];
    let demo = run(dir.path(), &demo).expect(0);
    let assets = demo.chapter("approved-masters").records("asset");
    let done = assets
        .iter()
        .find(|asset| asset["state"] == "done")
        .unwrap();
    let path = done["path"].as_str().unwrap();
    let id = done["placed"]["asset"].as_str().unwrap();

    let page = run(
        dir.path(),
        &["report", "--flow", "approved-masters", "--format", "html"],
    )
    .expect(0)
    .stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("<svg") && page.contains("What became of each file"));

    let sheet = run(
        dir.path(),
        &["report", "--flow", "approved-masters", "--format", "csv"],
    )
    .expect(0)
    .stdout;
    let sheet = sheet.strip_prefix('\u{feff}').unwrap();
    let rows: Vec<&str> = sheet.lines().collect();
    assert!(rows[0].starts_with("path,action,state,reason,size,bytes_moved"));
    assert_eq!(rows.len(), assets.len() + 1, "a row for each asset");
    let lines = run(
        dir.path(),
        &["report", "--flow", "approved-masters", "--format", "json"],
    )
    .expect(0);
    assert_eq!(lines.records("asset"), assets);

    let by_path = run(dir.path(), &["explain", path, "--json"]).expect(0);
    let explained = by_path.records("explanation").remove(0);
    assert_eq!(explained["step"]["path"], path);
    assert_eq!(explained["placement"]["placed"]["asset"], id);
    assert_eq!(explained["attempts"][0]["event"], "done");
    assert_eq!(
        explained["run"]["origin"]["hook"]["name"],
        "folder-metadata"
    );
    let fields = explained["draft"]["fields"].as_array().unwrap();
    assert!(fields.iter().all(|field| field["rule"] != ""), "{fields:?}");
    let by_id = run(dir.path(), &["explain", id, "--json"]).expect(0);
    assert_eq!(by_id.records("explanation")[0], explained);

    let text = run(dir.path(), &["explain", path]).expect(0).stdout;
    for part in [
        "listed",
        "decided",
        "becomes",
        "attempt",
        "placed",
        "plugin folder-metadata",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn an_asset_that_no_run_knows_is_answered_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    run(
        dir.path(),
        &["demo", "--size", "small", "--json", "--dir", "."],
    )
    .expect(0);
    let unknown = run(dir.path(), &["explain", "/nowhere.png"]).expect(2);
    assert!(
        unknown
            .stderr
            .contains("no run has a step for \"/nowhere.png\"")
    );
    assert!(unknown.stderr.contains("windlass plan FLOW --steps"));
    let no_run = run(dir.path(), &["explain", "/x", "--run", "7"]).expect(2);
    assert!(no_run.stderr.contains("\"7\" is not the id of a run"));
}

#[test]
fn verify_names_every_file_and_fails_where_something_is_not_as_it_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    run(dir, &["run", "move"]).expect(0);
    let well = run(dir, &["verify", "move", "--deep"]).expect(0).stdout;
    for part in [
        "same",
        "read back and hashed: 3 files",
        "every file has one name",
    ] {
        assert!(well.contains(part), "{part} in {well}");
    }
    fs::remove_file(dir.join("out/a.tif")).unwrap();
    fs::write(dir.join("out/b.tif"), "edited").unwrap();
    fs::write(dir.join("out/theirs.tif"), "x").unwrap();
    fs::write(dir.join("nas/new.tif"), "new").unwrap();
    let ill = run(dir, &["verify", "move"]).expect(1).stdout;
    for part in ["missing  /a.tif", "differs  /b.tif", "extra", "pending"] {
        assert!(ill.contains(part), "{part} in {ill}");
    }
    let lines = run(dir, &["verify", "move", "--json"]).expect(1);
    let standings: Vec<(String, String)> = lines
        .records("file")
        .iter()
        .map(|file| {
            let text = |key: &str| file[key].as_str().unwrap().to_owned();
            (text("path"), text("standing"))
        })
        .collect();
    let expected = [
        ("/a.tif", "missing"),
        ("/b.tif", "differs"),
        ("/c.tif", "same"),
        ("/new.tif", "pending"),
        ("/theirs.tif", "extra"),
    ]
    .map(|(path, standing)| (path.to_owned(), standing.to_owned()));
    let mut sorted = standings;
    sorted.sort();
    assert_eq!(sorted, expected);
}

#[test]
fn a_ledger_is_checked_and_compacted_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    let none = run(dir, &["ledger", "check"]).expect(2);
    assert!(
        none.stderr.contains("there is no ledger yet"),
        "{}",
        none.stderr
    );
    run(dir, &["run", "move"]).expect(0);
    let check = run(dir, &["ledger", "check"]).expect(0).stdout;
    for part in ["every page is whole", "3 placements"] {
        assert!(check.contains(part), "{part} in {check}");
    }
    let compacted = run(dir, &["ledger", "compact", "--json"]).expect(0);
    let compacted = compacted.records("compacted").remove(0);
    assert!(compacted["after"].as_u64() <= compacted["before"].as_u64());
    run(dir, &["verify", "move"]).expect(0);
}
