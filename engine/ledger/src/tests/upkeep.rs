//! Looking after a ledger: whether it is whole, and the room that it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use windlass_core::{CheckItem, Kind, Ledger, RunId, RunState, WorkerId};

use crate::conformance::{conflict, done, placement, report, step, withdrawal, withdrawn};
use crate::tests::{open, options, sql};
use crate::{LedgerOptions, Place, SqlLedger};

/// A closed ledger with a finished run of `steps` placed assets, and one that was taken back.
async fn worked(steps: u64) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let (run, worker) = (RunId::fresh(), WorkerId::fresh());
    ledger.begin_run(run, "ingest").await.unwrap();
    let planned: Vec<_> = (1..=steps).map(step).collect();
    ledger.add_steps(run, &planned).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let ttl = Duration::from_secs(60);
    let leased = ledger.lease(run, &worker, steps as u32, ttl).await.unwrap();
    let reports: Vec<_> = leased
        .iter()
        .zip(1..)
        .map(|(step, n)| report(step, done(placement(n))))
        .collect();
    ledger.finish(&reports).await.unwrap();
    ledger.add_steps(run, &[step(1)]).await.unwrap();
    let leased = ledger.lease(run, &worker, 1, ttl).await.unwrap();
    let taken_back = report(&leased[0], withdrawn(withdrawal(1_000_000)));
    assert_eq!(ledger.finish(&[taken_back]).await.unwrap(), [true]);
    ledger.note_conflicts(&[conflict(1, "a")]).await.unwrap();
    ledger.set_run_state(run, RunState::Finished).await.unwrap();
    ledger.close().await.unwrap();
    (folder, file)
}

async fn checked(file: &Path) -> Vec<CheckItem> {
    let ledger = SqlLedger::open(
        file,
        LedgerOptions {
            read_only: true,
            ..options(&Arc::default())
        },
    );
    let ledger = ledger.await.unwrap();
    let items = ledger.check().await.unwrap();
    ledger.close().await.unwrap();
    items
}

fn bad(items: &[CheckItem]) -> Vec<&str> {
    let bad = items.iter().filter(|item| !item.ok);
    bad.map(|item| item.subject.as_str()).collect()
}

#[tokio::test]
async fn a_ledger_that_was_worked_with_is_whole() {
    let (_folder, file) = worked(200).await;
    let items = checked(&file).await;
    assert_eq!(bad(&items), Vec::<&str>::new(), "{items:?}");
    let contains = items.last().unwrap();
    assert!(
        contains
            .finding
            .contains("201 steps, 200 placements, 1 withdrawals"),
        "{contains:?}"
    );
}

#[tokio::test]
async fn a_ledger_in_use_can_be_looked_at() {
    let (_folder, file) = worked(3).await;
    let ledger = open(&file).await.unwrap();
    ledger.begin_run(RunId::fresh(), "ingest").await.unwrap();
    assert_eq!(bad(&checked(&file).await), Vec::<&str>::new());
    assert_eq!(bad(&ledger.check().await.unwrap()), Vec::<&str>::new());
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_was_changed_behind_the_ledgers_back_is_named() {
    for (statement, subject) in [
        ("UPDATE tally SET bytes = bytes + 1", "sums"),
        ("DELETE FROM tally", "sums"),
        ("DELETE FROM custody WHERE id = 2", "custody"),
        ("UPDATE step SET state = 'open' WHERE id = 1", "ended runs"),
        ("UPDATE placement SET step = 100000", "placements"),
        ("UPDATE withdrawal SET step = 100000", "withdrawals"),
        ("UPDATE withdrawal SET source_asset = 'id:1'", "withdrawals"),
        ("UPDATE content SET blake3 = zeroblob(32)", "contents"),
        (
            "PRAGMA foreign_keys = OFF; UPDATE step SET run = 77 WHERE id = 1",
            "references",
        ),
    ] {
        let (_folder, file) = worked(5).await;
        sql(&file, statement).await;
        let items = checked(&file).await;
        assert!(bad(&items).contains(&subject), "{statement}: {items:?}");
        let item = items.iter().find(|item| item.subject == subject).unwrap();
        assert!(item.hint.as_ref().unwrap().contains("backup"), "{item:?}");
    }
}

#[tokio::test]
async fn a_page_that_rotted_is_found_and_told() {
    let (_folder, file) = worked(3_000).await;
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    std::fs::write(&file, bytes).unwrap();
    let items = checked(&file).await;
    assert!(!bad(&items).is_empty(), "{items:?}");
}

#[tokio::test]
async fn compacting_gives_back_room_and_forgets_nothing() {
    let (_folder, file) = worked(2_000).await;
    sql(
        &file,
        "CREATE TABLE ballast (bytes BLOB); INSERT INTO ballast VALUES (zeroblob(4000000)); DROP TABLE ballast",
    )
    .await;
    let options = options(&Arc::default());
    let compacted = SqlLedger::compact(Place::of_file(&file).unwrap(), options.clone())
        .await
        .unwrap();
    assert!(
        compacted.after + 3_000_000 < compacted.before,
        "{compacted:?}"
    );
    assert_eq!(std::fs::metadata(&file).unwrap().len(), compacted.after);
    let items = checked(&file).await;
    assert_eq!(bad(&items), Vec::<&str>::new(), "{items:?}");
    assert!(items.last().unwrap().finding.contains("2000 placements"));

    // Not while somebody works with it, and not where there is none.
    let ledger = open(&file).await.unwrap();
    let error = SqlLedger::compact(Place::of_file(&file).unwrap(), options.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    ledger.close().await.unwrap();
    let nowhere = file.with_file_name("none.db");
    let error = SqlLedger::compact(Place::of_file(&nowhere).unwrap(), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!nowhere.exists());
}
