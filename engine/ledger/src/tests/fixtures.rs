//! Makes the ledgers in `tests/fixtures/ledger`, as versions and accidents left them.
//!
//! ```text
//! cargo test -p windlass-ledger write_the_fixtures -- --ignored
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AnyConnection, ConnectOptions, Connection};

use crate::open::SCHEMA_VERSION;
use crate::sqlite::migrator;

/// A finished run of a flow that placed one file, as every version of the schema can say it.
const A_RUN: &str = "
    INSERT INTO run (key, id, flow, state, started, finished)
        VALUES (1, '01890a5d-ac96-774b-bcce-b302099a8057', 'move', 'finished', 1700000000000, 1700000060000);
    INSERT INTO step (run, action, reason, state, endpoint, asset, revision, path, size, payload, due, attempt,
            bytes_moved, ended)
        VALUES (1, 'create', 'in a selected folder, not placed before', 'done', 'nas', '/a.tif', 'r1', '/a.tif', 3, '{}',
            0, 1, 3, 1700000050000);
    INSERT INTO tally VALUES (1, 'done', 'create', 1, 3, 3);
    INSERT INTO custody (at, run, step, attempt, event, bytes_moved) VALUES (1700000050000, 1, 1, 1, 'done', 3);
";

/// The run that a crash interrupted the writing of.
const ANOTHER: &str = "
    INSERT INTO run (key, id, flow, state, started)
        VALUES (2, '01890a5d-ac96-774b-bcce-b302099a8058', 'move', 'planning', 1700000070000);
";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/ledger")
}

/// A small file with the first migrations and one run in it.
async fn make(file: &Path, migrations: usize, more: &str) {
    fs::remove_file(file).ok();
    sqlx::any::install_default_drivers();
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    // Small pages make small files: every table and index takes one at least.
    sqlx::raw_sql("PRAGMA page_size = 512; PRAGMA journal_mode = WAL")
        .execute(&mut connection)
        .await
        .unwrap();
    let some: Vec<_> = migrator().iter().take(migrations).cloned().collect();
    Migrator::with_migrations(some)
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    for sql in [A_RUN, more] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
#[ignore = "writes the files that tests/cli reads"]
async fn write_the_fixtures() {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let newest = usize::try_from(SCHEMA_VERSION).unwrap();
    for version in 1..=newest {
        make(&folder.join(format!("schema-{version}.db")), version, "").await;
    }
    make(
        &folder.join("newer.db"),
        newest,
        "PRAGMA user_version = 99;",
    )
    .await;

    let whole = fs::read(folder.join(format!("schema-{newest}.db"))).unwrap();
    fs::write(folder.join("truncated.db"), &whole[..whole.len() / 2]).unwrap();

    // A process that was killed while it wrote: the file, and a log whose last transaction is not all there.
    let file = folder.join("half-written.db");
    let log = folder.join("half-written.db-wal");
    let scratch = tempfile::tempdir().unwrap();
    let work = scratch.path().join("work.db");
    make(&work, newest, "").await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&work)
        .journal_mode(SqliteJournalMode::Wal)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(ANOTHER)
        .execute(&mut connection)
        .await
        .unwrap();
    fs::copy(&work, &file).unwrap();
    let written = fs::read(scratch.path().join("work.db-wal")).unwrap();
    fs::write(&log, &written[..written.len() - 100]).unwrap();
    connection.close().await.unwrap();
}
