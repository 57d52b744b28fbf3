//! Ledgers that move from one place to another, and what looks after one on a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor};
use windlass_core::{
    AssetId, AssetPath, CallCount, Cursor, Digests, Error, Evidence, Kind, Ledger, NewConflict,
    NewStep, Note, Noted, Part, Resolution, RunId, RunState, StepState, Withdrawal, WorkerId,
};

use crate::conformance::{
    TestServer, conflict, done, new_hold, placement, report, step, withdrawal, withdrawn,
};
use crate::place::Place;
use crate::tests::options;
use crate::{ExportedRow, LedgerOptions, SqlLedger};

const TTL: Duration = Duration::from_secs(60);

fn file(folder: &Path, name: &str) -> Place {
    Place::of_file(&folder.join(name)).unwrap()
}

async fn open(place: &Place) -> Result<Arc<SqlLedger>, Error> {
    SqlLedger::open_at(place.clone(), options(&Arc::default())).await
}

/// A closed ledger with something in every table, texts that databases like to trip over, and open steps.
async fn worked(place: &Place) {
    let ledger = open(place).await.unwrap();
    let (run, worker) = (RunId::fresh(), WorkerId::fresh());
    ledger.begin_run(run, "ingest").await.unwrap();
    let odd = NewStep {
        path: AssetPath::new("/nul \u{0} and \u{10fffe}0 and \\u0000 and Übergröße 🎬"),
        reason: String::new(),
        asset: AssetId::new("\u{10fffe}\u{0}"),
        ..step(7)
    };
    let mut steps: Vec<_> = (1..=2_500).map(step).collect();
    steps.insert(0, odd);
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let taken = ledger.lease(run, &worker, 1_200, TTL).await.unwrap();
    let reports: Vec<_> = taken[..1_100]
        .iter()
        .zip(1..)
        .map(|(step, n)| {
            let mut placement = placement(n);
            placement.placed.evidence = Evidence::E2;
            placement.linked = n % 7 == 0;
            report(step, done(placement))
        })
        .collect();
    ledger.finish(&reports).await.unwrap();
    let held = windlass_core::Outcome::Held {
        reason: "nul \u{0} inside".to_owned(),
        hold: Some(Box::new(new_hold(5_000, "draft"))),
    };
    ledger.finish(&[report(&taken[1_100], held)]).await.unwrap();
    let reports: Vec<_> = taken[1_101..1_104]
        .iter()
        .zip([6_000, 6_001, 6_002])
        .map(|(step, n)| report(step, withdrawn(odd_withdrawal(n))))
        .collect();
    assert_eq!(ledger.finish(&reports).await.unwrap(), [true; 3]);
    let digests: Digests = placement(1).digests;
    let part = Part {
        offset: 0,
        length: 4 << 20,
        digest: vec![0, 1, 255].into(),
    };
    let note = |what| Note {
        step: taken[1_150].id,
        attempt: 1,
        what,
    };
    let notes = [
        note(Noted::Session("pid:\u{0}".to_owned())),
        note(Noted::Part(part)),
        note(Noted::Intent(digests)),
    ];
    assert_eq!(ledger.note(&notes).await.unwrap(), [true; 3]);
    let odd = odd_conflict();
    ledger
        .note_conflicts(&[conflict(1, "a"), odd.clone()])
        .await
        .unwrap();
    let chosen = ledger.resolve_conflict(&odd, Some(Resolution::TakeAsset));
    assert!(chosen.await.unwrap());
    ledger
        .set_cursor("agency", Some(&Cursor::new("AAF")))
        .await
        .unwrap();
    let count = CallCount {
        account: "team".to_owned(),
        month: "2026-11".to_owned(),
        calls: 7,
    };
    ledger.count_calls(&[count]).await.unwrap();
    ledger.close().await.unwrap();
    // What was still leased is put back by whoever opens it next: from now on opening changes nothing.
    open(place).await.unwrap().close().await.unwrap();
}

/// One with everything in it, or with nothing but what must be.
fn odd_withdrawal(n: u64) -> Withdrawal {
    let mut odd = withdrawal(n);
    odd.reason = "nul \u{0} and \u{10fffe} and Übergröße".to_owned();
    odd.recipients
        .push("nul \u{0}, \\u0000, \u{10fffe}0".to_owned());
    if n % 2 == 1 {
        (odd.kept, odd.note) = (None, None);
        odd.placement.placed.content_hash = odd.placement.digests.content_hash.take();
    }
    odd
}

/// A side that is gone, and texts that databases like to trip over.
fn odd_conflict() -> NewConflict {
    let mut odd = conflict(2, "nul \u{0} and \u{10fffe}0");
    odd.reason = "Übergröße and \\u0000".to_owned();
    odd.asset.revision = None;
    odd
}

/// Everything that a ledger says, in an order of its own.
async fn rows(place: &Place) -> Vec<String> {
    let reading = LedgerOptions {
        read_only: true,
        ..options(&Arc::default())
    };
    let ledger = SqlLedger::open_at(place.clone(), reading).await.unwrap();
    let mut rows = Vec::new();
    let mut keep = |row: ExportedRow| {
        rows.push(serde_json::to_string(&row).unwrap());
        Ok(())
    };
    let counts = ledger.export(&mut keep).await.unwrap();
    assert!(counts.values().all(|count| *count > 0), "{counts:?}");
    ledger.close().await.unwrap();
    rows.sort();
    rows
}

async fn copy(from: &Place, to: &Place) -> Result<crate::Counts, Error> {
    SqlLedger::copy(from.clone(), to.clone(), options(&Arc::default())).await
}

#[tokio::test]
async fn a_ledger_that_moved_to_a_server_and_back_says_the_same() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (here, back) = (
        file(folder.path(), "here.db"),
        file(folder.path(), "back.db"),
    );
    let there = server.place(folder.path()).await;
    worked(&here).await;
    let counts = copy(&here, &there).await.unwrap();
    assert_eq!((counts["step"], counts["placement"]), (2_501, 1_100));
    assert_eq!((counts["withdrawal"], counts["conflict"]), (3, 2));
    let original = rows(&here).await;
    assert_eq!(rows(&there).await, original);
    copy(&there, &back).await.unwrap();
    assert_eq!(rows(&back).await, original);
    // What is read from a copy is what was written to the original.
    for place in [&here, &there, &back] {
        let ledger = open(place).await.unwrap();
        let read = ledger.withdrawals_after("ingest", "agency", None, 9).await;
        let read: Vec<_> = read
            .unwrap()
            .into_iter()
            .map(|read| Withdrawal {
                at: withdrawal(1).at,
                ..read
            })
            .collect();
        assert_eq!(read, [6_000, 6_001, 6_002].map(odd_withdrawal));
        let waits = ledger.conflicts(None, None, 9).await.unwrap();
        let found: Vec<_> = waits.iter().map(|one| one.found.clone()).collect();
        assert_eq!(found, [conflict(1, "a"), odd_conflict()]);
        assert_eq!(waits[1].resolution, Some(Resolution::TakeAsset));
        ledger.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_goes_on_with_numbers_and_steps_of_its_own() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (
        file(folder.path(), "here.db"),
        server.place(folder.path()).await,
    );
    worked(&here).await;
    copy(&here, &there).await.unwrap();
    let ledger = open(&there).await.unwrap();
    let run = ledger.runs(None, 9).await.unwrap()[0].id;
    let open_steps = ledger
        .lease(run, &WorkerId::fresh(), 9_999, TTL)
        .await
        .unwrap();
    assert_eq!(open_steps.len(), 1_397);
    let unfinished: Vec<_> = open_steps.iter().map(|step| step.id).collect();
    let unfinished = ledger.unfinished(&unfinished).await.unwrap();
    assert_eq!(
        unfinished
            .iter()
            .filter(|step| step.session.is_some())
            .count(),
        1
    );
    let reports: Vec<_> = open_steps
        .iter()
        .zip(9_000..)
        .map(|(step, n)| report(step, done(placement(n))))
        .collect();
    let accepted = ledger.finish(&reports).await.unwrap();
    assert!(accepted.iter().all(|accepted| *accepted));
    let second = RunId::fresh();
    ledger.begin_run(second, "ingest").await.unwrap();
    ledger.add_steps(second, &[step(1)]).await.unwrap();
    let ids: Vec<_> = ledger.steps(second, None, 9).await.unwrap();
    assert_eq!(ids[0].id.0, 2_502);
    assert_eq!(ids[0].state, StepState::Open);
    let items = ledger.check().await.unwrap();
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_copy_never_replaces_a_ledger() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (
        file(folder.path(), "here.db"),
        server.place(folder.path()).await,
    );
    let other = file(folder.path(), "other.db");
    worked(&here).await;
    copy(&here, &there).await.unwrap();
    copy(&here, &other).await.unwrap();
    for (from, to) in [(&here, &there), (&here, &other), (&there, &other)] {
        let before = rows(to).await;
        let error = copy(from, to).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(
            error.message(),
            "a ledger is already where the copy is to be"
        );
        assert_eq!(rows(to).await, before);
    }
    // Nor is a ledger copied onto itself, or one made where there is nothing to copy.
    for place in [&here, &there] {
        let error = copy(place, place).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
        assert!(error.message().starts_with("another windlass"), "{error:?}");
    }
    let missing = file(folder.path(), "missing.db");
    let error = copy(&missing, &other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let empty = tempfile::tempdir().unwrap();
    let error = copy(&server.place(empty.path()).await, &missing)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!folder.path().join("missing.db").exists());
}

#[tokio::test]
async fn a_copy_that_was_interrupted_is_no_ledger_until_it_is_made_again() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let here = file(folder.path(), "here.db");
    worked(&here).await;
    for place in [
        file(folder.path(), "copy.db"),
        server.place(folder.path()).await,
    ] {
        copy(&here, &place).await.unwrap();
        // As it is before its last transaction.
        let target = crate::open::Target {
            place: place.clone(),
            options: options(&Arc::default()),
        };
        let mut connection = target.connect().await.unwrap();
        connection.execute("DELETE FROM identity").await.unwrap();
        connection
            .execute("DELETE FROM placement WHERE source_asset > 'id:3'")
            .await
            .unwrap();
        connection.close().await.unwrap();
        let reading = LedgerOptions {
            read_only: true,
            ..options(&Arc::default())
        };
        let refusals = [
            open(&place).await.unwrap_err(),
            SqlLedger::open_at(place.clone(), reading)
                .await
                .unwrap_err(),
            copy(&place, &file(folder.path(), "copy-of-copy.db"))
                .await
                .unwrap_err(),
        ];
        for error in refusals {
            assert_eq!(error.kind(), Kind::Corrupt);
            assert_eq!(
                error.message(),
                "the ledger is not complete: copying it was interrupted"
            );
            assert!(error.hint().unwrap().contains("ledger copy"), "{error:?}");
        }
        copy(&here, &place).await.unwrap();
        assert_eq!(rows(&place).await, rows(&here).await);
    }
}

#[tokio::test]
async fn a_server_is_backed_up_to_a_file_while_it_is_in_use() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let there = server.place(folder.path()).await;
    worked(&there).await;
    let ledger = open(&there).await.unwrap();
    let run = RunId::fresh();
    let copy = folder.path().join("backup.db");
    // Whatever an interrupted one left is in nobody's way.
    std::fs::write(folder.path().join("backup.db.part"), "half").unwrap();
    ledger.backup(&copy).await.unwrap();
    ledger.begin_run(run, "later").await.unwrap();
    let error = ledger.backup(&copy).await.unwrap_err();
    assert_eq!(
        error.message(),
        "something is already where the copy is to be"
    );
    ledger.close().await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("backup"))
        .collect();
    assert_eq!(names, ["backup.db"]);
    let backed_up = open(&file(folder.path(), "backup.db")).await.unwrap();
    assert_eq!(backed_up.runs(None, 9).await.unwrap().len(), 1);
    let items = backed_up.check().await.unwrap();
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    backed_up.close().await.unwrap();
}

#[tokio::test]
async fn check_finds_on_a_server_what_does_not_fit_together() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let url = server.schema().await;
    let place = Place::of_server(
        &windlass_core::Secret::new(url.clone()),
        &folder.path().join("windlass.db"),
    )
    .unwrap();
    worked(&place).await;
    let faults = [
        (
            "sums",
            "UPDATE tally SET bytes = bytes + 1 WHERE state = 'done'",
        ),
        ("ended runs", "UPDATE run SET state = 'finished'"),
        (
            "custody",
            "DELETE FROM custody WHERE id = (SELECT MIN(id) FROM custody)",
        ),
        ("contents", "UPDATE content SET size = size + 1"),
        (
            "withdrawals",
            "UPDATE withdrawal SET step = 0 WHERE source_asset = 'id:6000'",
        ),
    ];
    let mut found = Vec::new();
    for (subject, sql) in faults {
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.close().await.unwrap();
        found.push(subject);
        let ledger = open(&place).await.unwrap();
        let items = ledger.check().await.unwrap();
        let bad: Vec<_> = items
            .iter()
            .filter(|item| !item.ok)
            .map(|item| item.subject.as_str())
            .collect();
        assert!(
            found.iter().all(|subject| bad.contains(subject)),
            "{subject}: {items:?}"
        );
        ledger.close().await.unwrap();
    }
}

#[tokio::test]
async fn compacting_a_server_gives_room_back_and_forgets_nothing() {
    let server = TestServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let place = server.place(folder.path()).await;
    worked(&place).await;
    let before = rows(&place).await;
    let compacted = SqlLedger::compact(place.clone(), options(&Arc::default()))
        .await
        .unwrap();
    assert!(compacted.after < compacted.before, "{compacted:?}");
    assert_eq!(rows(&place).await, before);
}
