//! Ledgers of earlier versions are brought up to date with everything in them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::Migrator;
use windlass_core::{
    AssetId, AssetPath, Kind, Ledger, Note, Noted, Resolution, RunId, StepState, Tally, Withdrawal,
    WorkerId,
};

use crate::conformance::{TestServer, conflict, report, withdrawal, withdrawn};
use crate::open::Target;
use crate::place::{Database, Place};
use crate::sqlite::migrator;
use crate::tests::{open, options};
use crate::{LedgerOptions, SqlLedger};

const RUN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A ledger as version 1 left it, with a run that was being worked on.
const OF_VERSION_1: &str = "
    INSERT INTO run (key, id, flow, state, started)
        VALUES (1, '01890a5d-ac96-774b-bcce-b302099a8057', 'ingest', 'running', 1700000000000);
    INSERT INTO step (run, action, reason, state, endpoint, asset, revision, path, size, payload, due, owner,
            attempt, lease_until)
        VALUES (1, 'create', 'new', 'leased', 'agency', 'id:1', 'r', '/a', 5, '{}', 0, 'somebody', 1, 9),
               (1, 'create', 'new', 'open', 'agency', 'id:2', 'r', '/b', 6, '{}', 0, NULL, 0, NULL);
    INSERT INTO tally VALUES (1, 'leased', 'create', 1, 5, 0), (1, 'open', 'create', 1, 6, 0);
    INSERT INTO placement VALUES ('ingest', 'agency', 'id:7', 'r7', '/seven', 'dam', 's7', '1', 7, NULL, 'E1', 7,
        zeroblob(32), zeroblob(32), zeroblob(32), 1, 1700000000000);
    INSERT INTO cursor VALUES ('agency', 'c1', 1700000000000);
";

async fn of_version_1(folder: &Path) -> PathBuf {
    let file = folder.join("windlass.db");
    let target = Target {
        place: Place::File(file.clone()),
        options: options(&std::sync::Arc::default()),
    };
    let mut connection = target.connect().await.unwrap();
    let first = migrator().iter().take(1).cloned().collect::<Vec<_>>();
    Migrator::with_migrations(first)
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    sqlx::raw_sql(OF_VERSION_1)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    file
}

#[tokio::test]
async fn a_ledger_of_version_1_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = of_version_1(folder.path()).await;
    for _ in 0..2 {
        // The second opening finds it up to date.
        let ledger = open(&file).await.unwrap();
        let runs = ledger.runs(None, 9).await.unwrap();
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].unchanged, Tally::default());
        assert_eq!(
            ledger.cursor("agency").await.unwrap().unwrap().as_str(),
            "c1"
        );
        ledger.close_now().await;
    }
    let ledger = open(&file).await.unwrap();
    let ids = [AssetId::new("id:7"), AssetId::new("id:8")];
    let placed = ledger.placements("ingest", "agency", &ids).await.unwrap();
    let seven = placed[0].as_ref().unwrap();
    assert_eq!(seven.source_path, AssetPath::new("/seven"));
    assert_eq!((seven.placed.size, seven.digests.size), (7, 7));
    assert_eq!(placed[1], None);
    let run = RunId(RUN.parse().unwrap());
    let steps = ledger.steps(run, None, 9).await.unwrap();
    let states: Vec<_> = steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [StepState::Open; 2]);
    let ttl = Duration::from_secs(60);
    let taken = ledger.lease(run, &WorkerId::fresh(), 9, ttl).await.unwrap();
    let session = Note {
        step: taken[0].id,
        attempt: taken[0].attempt,
        what: Noted::Session("s".to_owned()),
    };
    assert_eq!(ledger.note(&[session]).await.unwrap(), [true]);
    ledger.close_now().await;
}

#[tokio::test]
async fn a_reader_does_not_change_a_ledger_of_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = of_version_1(folder.path()).await;
    let before = std::fs::read(&file).unwrap();
    let reading = LedgerOptions {
        read_only: true,
        ..LedgerOptions::default()
    };
    let error = SqlLedger::open(&file, reading).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(
        error.message(),
        "the ledger was written by an older version and must be brought up to date first"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// What a ledger of version 4 says of one asset that was placed, in either database.
const OF_VERSION_4: &str = "
    INSERT INTO run (key, id, flow, state, started)
        VALUES (1, '01890a5d-ac96-774b-bcce-b302099a8057', 'ingest', 'running', 1700000000000);
    INSERT INTO step (id, run, action, reason, state, endpoint, asset, revision, path, size, payload, due)
        VALUES (1, 1, 'withdraw', 'not approved any more', 'open', 'agency', 'id:7', 'r7', '/seven', 7, '{}', 0);
    INSERT INTO tally VALUES (1, 'open', 'withdraw', 1, 7, 0);
    INSERT INTO placement (flow, source, source_asset, source_revision, source_path, sink, sink_asset, sink_revision,
            sink_size, evidence, size, blake3, draft_digest, step, at, collection, linked)
        SELECT 'ingest', 'agency', 'id:7', 'r7', '/seven', 'dam', 's7', '1', 7, 'E1', 7, digest, digest, 1,
            1700000000000, '/library', 0
        FROM (SELECT unhex('0000000000000000000000000000000000000000000000000000000000000000') AS digest) AS one;
";

/// A ledger as a version from 4 on left it.
async fn of_version(version: i64, place: &Place) {
    let target = Target {
        place: place.clone(),
        options: options(&std::sync::Arc::default()),
    };
    let mut connection = target.connect().await.unwrap();
    let all = match place.database() {
        Database::Sqlite => migrator(),
        Database::Postgres => crate::postgres::migrator(),
    };
    let older = all.iter().filter(|migration| migration.version <= version);
    Migrator::with_migrations(older.cloned().collect())
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    sqlx::raw_sql(OF_VERSION_4)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_of_version_4_can_take_back_what_it_placed() {
    let folder = tempfile::tempdir().unwrap();
    let places = [
        Place::of_file(&folder.path().join("windlass.db")).unwrap(),
        TestServer::shared().place(folder.path()).await,
    ];
    for place in places {
        of_version(4, &place).await;
        let reading = LedgerOptions {
            read_only: true,
            ..LedgerOptions::default()
        };
        let error = SqlLedger::open_at(place.clone(), reading)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        // The second opening finds it up to date.
        for _ in 0..2 {
            let options = options(&std::sync::Arc::default());
            let ledger = SqlLedger::open_at(place.clone(), options).await.unwrap();
            ledger.close_now().await;
        }
        let options = options(&std::sync::Arc::default());
        let ledger = SqlLedger::open_at(place.clone(), options).await.unwrap();
        let ids = [AssetId::new("id:7")];
        let placed = ledger.placements("ingest", "agency", &ids).await.unwrap();
        let seven = placed[0].clone().unwrap();
        assert_eq!(seven.collection, AssetPath::new("/library"));
        let none = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
        assert_eq!(none, [None]);
        let run = RunId(RUN.parse().unwrap());
        let ttl = Duration::from_secs(60);
        let taken = ledger.lease(run, &WorkerId::fresh(), 9, ttl).await.unwrap();
        let back = withdrawn(Withdrawal {
            placement: seven.clone(),
            ..withdrawal(7)
        });
        let accepted = ledger.finish(&[report(&taken[0], back)]).await.unwrap();
        assert_eq!(accepted, [true]);
        let placed = ledger.placements("ingest", "agency", &ids).await.unwrap();
        assert_eq!(placed, [None]);
        let found = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().placement, seven);
        ledger.close_now().await;
    }
}

#[tokio::test]
async fn a_ledger_of_version_5_can_keep_what_two_sides_disagree_about() {
    let folder = tempfile::tempdir().unwrap();
    let places = [
        Place::of_file(&folder.path().join("windlass.db")).unwrap(),
        TestServer::shared().place(folder.path()).await,
    ];
    for place in places {
        of_version(5, &place).await;
        let open = || SqlLedger::open_at(place.clone(), options(&std::sync::Arc::default()));
        let found = [conflict(1, "a")];
        for pass in 1..=2 {
            // The second opening finds it up to date, with what was noted and chosen.
            let ledger = open().await.unwrap();
            ledger.note_conflicts(&found).await.unwrap();
            let waits = ledger.conflicts(None, None, 9).await.unwrap();
            assert_eq!((&waits[0].found, waits[0].passes), (&found[0], pass));
            assert_eq!(waits[0].is_undecided(), pass == 1);
            let chosen = ledger.resolve_conflict(&found[0], Some(Resolution::TakeFile));
            assert!(chosen.await.unwrap());
            ledger.close_now().await;
        }
        let ledger = open().await.unwrap();
        let ids = [AssetId::new("id:7")];
        let placed = ledger.placements("ingest", "agency", &ids).await.unwrap();
        assert_eq!(
            placed[0].as_ref().unwrap().collection,
            AssetPath::new("/library")
        );
        ledger.close_now().await;
    }
}
