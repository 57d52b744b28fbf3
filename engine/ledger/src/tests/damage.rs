//! Files that are not what they should be, and disks that do not take more. Each has one sentence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_core::{ByteSize, Error, Kind, Ledger, RunId, RunState};

use crate::conformance::step;
use crate::tests::{open, options, sql};
use crate::{LedgerOptions, SqlLedger};

/// A folder with a closed ledger of a few thousand steps in it.
async fn filled() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let steps: Vec<_> = (1..=3_000).map(step).collect();
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.close().await.unwrap();
    (folder, file)
}

async fn refusal(file: &Path) -> Error {
    open(file).await.expect_err("it must be refused")
}

/// The hint of a damaged file names the file and the way out.
fn assert_corrupt(error: &Error, file: &Path, message: &str) {
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert_eq!(error.message(), message);
    let hint = error.hint().unwrap();
    assert!(hint.contains(&file.display().to_string()), "{hint}");
    assert!(hint.contains("the ledger's backup command"), "{hint}");
    assert!(error.to_string().contains("ledger: "), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_sqlite_is_not_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    for garbage in [&b"hello"[..], &[0; 8192], &b"SQLite format 3"[..]] {
        std::fs::write(&file, garbage).unwrap();
        assert_corrupt(&refusal(&file).await, &file, "the file is not a ledger");
        // It is left as it was.
        assert_eq!(std::fs::read(&file).unwrap(), garbage);
    }
}

#[tokio::test]
async fn a_file_with_a_good_start_and_garbage_behind_it_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.resize(8192, 0x5a);
    std::fs::write(&file, bytes).unwrap();
    assert_corrupt(&refusal(&file).await, &file, "the file is not a ledger");
}

#[tokio::test]
async fn an_empty_file_becomes_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    std::fs::write(&file, []).unwrap();
    let ledger = open(&file).await.unwrap();
    assert!(ledger.runs(None, 9).await.unwrap().is_empty());
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_truncated_ledger_is_damaged() {
    let (_folder, file) = filled().await;
    let whole = std::fs::metadata(&file).unwrap().len();
    for kept in [whole / 2, 4096, 100] {
        let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        handle.set_len(kept).unwrap();
        let error = refusal(&file).await;
        let message = match kept {
            // Less than the header that SQLite needs to know its own file.
            100 => error.message().to_owned(),
            _ => "the ledger file is damaged".to_owned(),
        };
        assert_corrupt(&error, &file, &message);
    }
}

#[tokio::test]
async fn a_ledger_with_a_page_overwritten_is_damaged() {
    let (_folder, file) = filled().await;
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    assert_corrupt(&refusal(&file).await, &file, "the ledger file is damaged");
}

#[tokio::test]
async fn a_newer_ledger_is_left_to_the_newer_version() {
    let (_folder, file) = filled().await;
    sql(&file, "PRAGMA user_version = 7").await;
    let before = std::fs::read(&file).unwrap();
    let error = refusal(&file).await;
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(
        error.message(),
        "the ledger was written by a newer version of windlass (schema 7; this one knows 6)"
    );
    assert_eq!(
        error.hint(),
        Some("use that version, or name another ledger file")
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    sql(&file, "CREATE TABLE photos (id INTEGER PRIMARY KEY)").await;
    let error = refusal(&file).await;
    assert_corrupt(&error, &file, "the file is a database of another program");
}

#[tokio::test]
async fn a_ledger_in_use_is_refused_until_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let error = refusal(&file).await;
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(
        error.message(),
        format!(
            "another windlass process (process {}) is using the ledger",
            std::process::id()
        )
    );
    assert_eq!(
        error.hint(),
        Some("wait until it has ended, stop it, or name another ledger file")
    );
    ledger.close().await.unwrap();
    open(&file).await.unwrap().close_now().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none").join("windlass.db");
    let error = refusal(&file).await;
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.message(), "the folder of the ledger does not exist");
    assert!(error.hint().unwrap().starts_with("create "), "{error:?}");
    let error = refusal(Path::new("/")).await;
    assert_eq!(error.message(), "the path of the ledger names no file");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let bypassed = std::fs::write(folder.path().join("probe"), []).is_ok();
    // Permissions mean nothing to root; the kernel's own folders refuse even root.
    let folder = if bypassed {
        Path::new("/sys/kernel")
    } else {
        folder.path()
    };
    let error = refusal(&folder.join("windlass.db")).await;
    assert_eq!(error.kind(), Kind::Config, "{error:?}");
    assert_eq!(
        error.message(),
        "the folder of the ledger cannot be written"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains(&folder.display().to_string()), "{hint}");
}

#[tokio::test]
async fn a_ledger_can_be_named_by_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(Path::new(&format!("sqlite://{}", file.display())))
        .await
        .unwrap();
    ledger.close().await.unwrap();
    assert!(file.exists());
}

/// Fills a ledger until it refuses, and checks that it refuses well and goes on afterwards.
async fn fill_up(file: &Path, options: LedgerOptions) {
    let ledger = SqlLedger::open(file, options.clone()).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let mut large = step(1);
    large.payload = "x".repeat(64 << 10);
    let mut added = 0;
    let error = loop {
        match ledger.add_steps(run, &[large.clone()]).await {
            Ok(()) => added += 1,
            Err(error) => break error,
        }
        assert!(added < 1_000, "it never filled up");
    };
    assert_eq!(error.kind(), Kind::Capacity, "{error:?}");
    assert!(
        [
            "the ledger has no room left on its disk",
            "the disk under the ledger fails or is full"
        ]
        .contains(&error.message()),
        "{error:?}"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .contains("everything that was recorded is kept")
    );
    // The failure is whole: nothing of the refused call is there, and reads go on.
    assert_eq!(ledger.steps(run, None, 2_000).await.unwrap().len(), added);
    let sums = ledger.tally(run).await.unwrap();
    assert_eq!(
        sums.iter().map(|(_, _, sum)| sum.steps).sum::<u64>(),
        added as u64
    );
    // Callers that share a commit all get an answer, each its own.
    let (one, two) = tokio::join!(
        ledger.add_steps(run, std::slice::from_ref(&large)),
        ledger.set_run_state(RunId::fresh(), RunState::Running)
    );
    assert_eq!(one.unwrap_err().kind(), Kind::Capacity);
    assert_eq!(two.unwrap_err().kind(), Kind::NotFound);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_at_its_size_limit_says_so_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let mut limited = options(&Arc::default());
    limited.file_bytes_max = Some(ByteSize::mib(1));
    fill_up(&file, limited.clone()).await;
    // With room again it goes on.
    limited.file_bytes_max = None;
    let ledger = SqlLedger::open(&file, limited).await.unwrap();
    let run = ledger.runs(None, 1).await.unwrap()[0].id;
    ledger.add_steps(run, &[step(2)]).await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_recorded_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        std::process::Command::new(program)
            .args(arguments)
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs"]) {
        // Needs a privilege that most machines do not give to tests; the size limit's test covers
        // the same code then.
        return;
    }
    let file = folder.path().join("windlass.db");
    let filling = tokio::spawn(async move { fill_up(&file, options(&Arc::default())).await });
    let filled = filling.await;
    assert!(mount("umount", &[]));
    filled.unwrap();
}
