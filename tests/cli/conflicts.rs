//! Conflicts on the command line: what is listed and shown, and what becomes of a choice.

use std::path::Path;
use std::sync::Arc;

use windlass_core::{AssetPath, Conflict, Ledger, NewConflict, Question};
use windlass_ledger::conformance::conflict;
use windlass_ledger::{LedgerOptions, SqlLedger};

use crate::plans::folders;
use crate::program::run;

/// What a pass of the flow found about pair number `n`.
fn found(n: u64, revision: &str) -> NewConflict {
    let mut found = NewConflict {
        flow: "move".to_owned(),
        ..conflict(n, revision)
    };
    found.file.endpoint = "nas".to_owned();
    found.file.path = AssetPath::new(&format!("/in/{n}.psd"));
    found.asset.endpoint = "out".to_owned();
    found.asset.path = AssetPath::new(&format!("/{n}.psd"));
    found
}

/// Does something with the ledger, as a pass of a flow would.
fn with_ledger<T>(dir: &Path, what: impl AsyncFnOnce(Arc<SqlLedger>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let ledger = SqlLedger::open(dir.join("windlass.db"), LedgerOptions::default());
        let ledger = ledger.await.unwrap();
        let did = what(Arc::clone(&ledger)).await;
        ledger.close().await.unwrap();
        did
    })
}

fn meet(dir: &Path, found: &[NewConflict]) {
    with_ledger(dir, async |ledger| {
        ledger.note_conflicts(found).await.unwrap();
    });
}

/// A folder with a flow of whose pairs two are in conflict.
fn two() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    run(dir.path(), &["run", "move"]).expect(0);
    let mut gone = found(2, "b");
    gone.question = Question::RemovedAndChanged;
    gone.reason = "the file was removed, and the asset changed".to_owned();
    gone.file.revision = None;
    meet(dir.path(), &[found(1, "a"), gone]);
    dir
}

/// A text without what differs between machines and runs.
fn steady(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.canonicalize().unwrap().display().to_string(), "DIR");
    let lines = text.lines().map(|line| match line.split_once("  since") {
        Some((before, after)) => {
            let (_, passes) = after.split_once("; ").unwrap();
            format!("{before}  since TIME; {passes}")
        }
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_waits_is_listed_and_shown_with_both_sides_and_what_each_choice_does() {
    let dir = two();
    let list = run(dir.path(), &["conflicts", "list", "move"]).expect(0);
    insta::assert_snapshot!("list", list.stdout);
    assert_eq!(list.stderr, "2 undecided of 2\n");
    let by_path = run(dir.path(), &["conflicts", "show", "move", "/IN/1.psd"]).expect(0);
    insta::assert_snapshot!("both_changed", steady(&by_path.stdout, dir.path()));
    let by_id = run(dir.path(), &["conflicts", "show", "move", "id:0002"]).expect(0);
    insta::assert_snapshot!("removed", steady(&by_id.stdout, dir.path()));
    let as_json = run(
        dir.path(),
        &["--json", "conflicts", "show", "move", "id:0002"],
    )
    .expect(0);
    let record = &as_json.records("conflict")[0];
    assert_eq!(record["file"]["revision"], serde_json::Value::Null);
    assert_eq!(record["choices"].as_array().unwrap().len(), 3);
    assert_eq!(record["does_not_converge"], false);
    let report = run(dir.path(), &["report"]).expect(0);
    assert!(
        report.stdout.contains("2 conflicts wait"),
        "{}",
        report.stdout
    );
}

#[test]
fn a_choice_is_noted_for_just_these_revisions() {
    let dir = two();
    let choose = |flag: &str| {
        run(
            dir.path(),
            &["conflicts", "resolve", "move", "/in/1.psd", flag],
        )
    };
    let said = choose("--take-file").expect(0).stdout;
    insta::assert_snapshot!("chosen", said);
    let kept = || {
        with_ledger(dir.path(), async |ledger| {
            let all: Vec<Conflict> = ledger.conflicts(None, None, 9).await.unwrap();
            all[0].resolution.map(|one| one.word())
        })
    };
    assert_eq!(kept(), Some("take-file"));
    choose("--keep-both").expect(0);
    assert_eq!(kept(), Some("keep-both"));
    choose("--undecided").expect(0);
    assert_eq!(kept(), None);
    choose("--take-asset").expect(0);
    meet(dir.path(), &[found(1, "changed")]);
    assert_eq!(kept(), None);
    for wrong in [vec!["--take-file", "--keep-both"], vec![]] {
        let mut args = vec!["conflicts", "resolve", "move", "id:0001"];
        args.extend(wrong);
        run(dir.path(), &args).expect(2);
    }
    let unknown = run(dir.path(), &["conflicts", "show", "move", "/in/9.psd"]).expect(2);
    assert!(
        unknown.stderr.contains("conflicts list move"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_check_fails_while_something_is_undecided_or_does_not_converge() {
    let dir = tempfile::tempdir().unwrap();
    folders(dir.path(), "");
    let check = || run(dir.path(), &["conflicts", "list", "--check"]);
    assert_eq!(check().expect(0).stdout, "no conflict waits\n");
    meet(dir.path(), &[found(1, "a")]);
    check().expect(1);
    run(dir.path(), &["conflicts", "list"]).expect(0);
    run(
        dir.path(),
        &["conflicts", "resolve", "move", "id:0001", "--take-file"],
    )
    .expect(0);
    check().expect(0);
    for _ in 0..10 {
        meet(dir.path(), &[found(1, "a")]);
    }
    let stuck = check().expect(1);
    assert!(
        stuck.stdout.contains("does not converge"),
        "{}",
        stuck.stdout
    );
    let stuck = run(dir.path(), &["--json", "conflicts", "list"]).expect(0);
    assert_eq!(stuck.records("conflict")[0]["does_not_converge"], true);
    run(
        dir.path(),
        &["conflicts", "resolve", "move", "id:0001", "--keep-both"],
    )
    .expect(0);
    check().expect(0);
}
