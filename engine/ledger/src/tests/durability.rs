//! What was acknowledged is there, whatever happens to the process; and many callers share a commit.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Row};
use windlass_core::{Action, Ledger, NewStep, RunId, RunState, StepState, WorkerId};

use crate::conformance::{done, placement, report, step, withdrawal, withdrawn};
use crate::open::Target;
use crate::place::Place;
use crate::tests::{open, options};
use crate::{LedgerOptions, SqlLedger};

/// Names the folder in which the child of the kill test works; unset in every other process.
const CHILD: &str = "WINDLASS_TEST_LEDGER_CHILD";

/// How many acknowledgements the parent reads before it kills.
const ACKNOWLEDGED: usize = 150;

/// What sizes of steps begin at that take back what steps of smaller sizes placed.
const TAKES_BACK: u64 = 2_000_000;

/// Runs as a test of its own in the child process and does nothing in the parent's.
///
/// Adds one step, takes it, places it, and says so, again and again until it is killed. Every third is taken back by a
/// step of its own.
#[tokio::test]
async fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let file = Path::new(&folder).join("windlass.db");
    let ledger = SqlLedger::open(&file, LedgerOptions::default())
        .await
        .unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let worker = WorkerId::fresh();
    // One step stays taken, as it would in a real crash. It is due later where the clock is set back just now.
    ledger.add_steps(run, &[step(1_000_000)]).await.unwrap();
    let hour = Duration::from_secs(3600);
    while ledger
        .lease(run, &worker, 1, hour)
        .await
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Bounded, should nobody kill it.
    for n in 1..=100_000 {
        ledger.add_steps(run, &[step(n)]).await.unwrap();
        say(&format!("added {n}"));
        let taken = ledger
            .lease(run, &worker, 1, Duration::from_secs(3600))
            .await
            .unwrap();
        let accepted = ledger
            .finish(&[report(&taken[0], done(placement(n)))])
            .await
            .unwrap();
        assert_eq!(accepted, [true]);
        say(&format!("placed {n}"));
        if n % 3 == 0 {
            let taken_back = NewStep {
                action: Action::Withdraw,
                ..step(n + TAKES_BACK)
            };
            ledger.add_steps(run, &[taken_back]).await.unwrap();
            let taken = ledger.lease(run, &worker, 1, hour).await.unwrap();
            let accepted = ledger
                .finish(&[report(&taken[0], withdrawn(withdrawal(n)))])
                .await
                .unwrap();
            assert_eq!(accepted, [true]);
            say(&format!("withdrawn {n}"));
        }
    }
}

/// Tells the parent, past the test harness, which captures what is printed.
fn say(line: &str) {
    let mut out = std::io::stderr().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tests::durability::child_that_is_killed",
            "--nocapture",
        ])
        .env(CHILD, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (mut added, mut placed) = (BTreeSet::new(), BTreeSet::new());
    let mut withdrawn = BTreeSet::new();
    for line in lines {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("added", n)) => added.insert(n.parse::<u64>().unwrap()),
            Some(("placed", n)) => placed.insert(n.parse::<u64>().unwrap()),
            Some(("withdrawn", n)) => withdrawn.insert(n.parse::<u64>().unwrap()),
            _ => panic!("the child failed: {line}"),
        };
        if added.len() + placed.len() >= ACKNOWLEDGED {
            break;
        }
    }
    // SIGKILL: no destructor runs, nothing is flushed.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(placed.len() > 10);

    let ledger = open(&folder.path().join("windlass.db")).await.unwrap();
    let run = ledger.runs(None, 1).await.unwrap()[0].id;
    let steps = ledger.steps(run, None, 1_000_000).await.unwrap();
    let recorded: BTreeSet<u64> = steps.iter().map(|step| step.size).collect();
    assert_eq!(recorded.len(), steps.len(), "a step was doubled");
    assert!(added.is_subset(&recorded));
    let finished: BTreeSet<u64> = steps
        .iter()
        .filter(|step| step.state == StepState::Done)
        .map(|step| step.size)
        .collect();
    assert!(placed.is_subset(&finished));
    // Whoever's end was recorded took its placement with it: each asset is either there or taken back.
    let taken_back: BTreeSet<u64> = finished
        .iter()
        .filter_map(|n| n.checked_sub(TAKES_BACK))
        .collect();
    assert!(withdrawn.is_subset(&taken_back) && withdrawn.len() > 5);
    let done: Vec<_> = finished.iter().filter(|n| **n < TAKES_BACK).collect();
    let ids: Vec<_> = done.iter().map(|n| placement(**n).source_asset).collect();
    let placements = ledger.placements("ingest", "agency", &ids).await.unwrap();
    let withdrawals = ledger.withdrawals("ingest", "agency", &ids).await.unwrap();
    for ((n, placement), withdrawal) in done.iter().zip(placements).zip(withdrawals) {
        assert_eq!(placement.is_some(), !taken_back.contains(n), "{n}");
        assert_eq!(withdrawal.is_some(), taken_back.contains(n), "{n}");
    }
    // Nothing stays taken by a process that is gone, and nothing else is open.
    assert!(steps.iter().all(|step| step.state != StepState::Leased));
    let taken = ledger
        .lease(run, &WorkerId::fresh(), 99, Duration::from_secs(9))
        .await
        .unwrap();
    assert_eq!(taken.len(), steps.len() - finished.len());
    let orphan = taken.iter().find(|step| step.size == 1_000_000).unwrap();
    assert_eq!(orphan.attempt, 2);
    ledger.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_are_served_together_and_each_gets_its_own_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let steps: Vec<_> = (1..=200).map(step).collect();
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let worker = WorkerId::fresh();
    let taken = ledger
        .lease(run, &worker, 200, Duration::from_secs(60))
        .await
        .unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for step in taken {
        let ledger = Arc::clone(&ledger);
        calls.spawn(async move {
            let mut stale = report(&step, done(placement(step.size)));
            stale.attempt = 7;
            let good = report(&step, done(placement(step.size)));
            if step.size % 3 == 0 {
                // A refused neighbour fails alone.
                ledger
                    .set_run_state(RunId::fresh(), RunState::Running)
                    .await
                    .unwrap_err();
            }
            ledger.finish(&[stale, good]).await.unwrap()
        });
    }
    while let Some(accepted) = calls.join_next().await {
        assert_eq!(accepted.unwrap(), [false, true]);
    }
    let tally = ledger.tally(run).await.unwrap();
    assert_eq!(tally.len(), 1);
    assert_eq!((tally[0].0, tally[0].2.steps), (StepState::Done, 200));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn every_outcome_leaves_an_audit_row_that_says_who() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let clock = Arc::default();
    let ledger = SqlLedger::open(&file, options(&clock)).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    ledger.add_steps(run, &[step(1)]).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let (first, second) = (WorkerId::fresh(), WorkerId::fresh());
    let ttl = Duration::from_secs(1);
    ledger.lease(run, &first, 1, ttl).await.unwrap();
    clock.advance(ttl);
    ledger.reap(run).await.unwrap();
    let taken = ledger.lease(run, &second, 1, ttl).await.unwrap();
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    ledger
        .finish(&[report(&taken[0], done(placement(1)))])
        .await
        .unwrap();
    ledger.close().await.unwrap();

    let mut connection = raw(&file).await;
    let rows =
        sqlx::query("SELECT event, attempt, worker, evidence, blake3 FROM custody ORDER BY id")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let text = |row: &sqlx::any::AnyRow, column: &str| row.get::<Option<String>, _>(column);
    assert_eq!(rows.len(), 2);
    assert_eq!(text(&rows[0], "event").as_deref(), Some("lost"));
    assert_eq!(text(&rows[0], "worker").as_deref(), Some(&*first.0));
    assert_eq!(text(&rows[1], "event").as_deref(), Some("done"));
    assert_eq!(text(&rows[1], "worker").as_deref(), Some(&*second.0));
    assert_eq!(text(&rows[1], "evidence").as_deref(), Some("E1"));
    assert_eq!(rows[1].get::<i64, _>("attempt"), 2);
    assert_eq!(
        rows[1].get::<Vec<u8>, _>("blake3"),
        placement(1).digests.blake3.0
    );
    connection.close().await.unwrap();
}

#[tokio::test]
async fn acknowledged_commits_reach_the_disk() {
    // A power cut cannot be had here; the settings that decide about it can be read.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    open(&file).await.unwrap().close_now().await;
    let mut connection = raw(&file).await;
    let synchronous = sqlx::query("PRAGMA synchronous")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(synchronous.get::<i64, _>(0), 2, "FULL");
    let journal = sqlx::query("PRAGMA journal_mode")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(journal.get::<String, _>(0), "wal");
    let keys = sqlx::query("PRAGMA foreign_keys")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(keys.get::<i64, _>(0), 1);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_is_a_whole_ledger_taken_while_work_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder.path().join("windlass.db")).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    ledger.add_steps(run, &[step(1)]).await.unwrap();
    let copy = folder.path().join("copy of ledger.db");
    ledger.backup(&copy).await.unwrap();
    ledger.add_steps(run, &[step(2)]).await.unwrap();
    let error = ledger.backup(&copy).await.unwrap_err();
    assert_eq!(
        error.message(),
        "something is already where the copy is to be"
    );

    let restored = open(&copy).await.unwrap();
    assert_eq!(restored.steps(run, None, 9).await.unwrap().len(), 1);
    restored.add_steps(run, &[step(3)]).await.unwrap();
    restored.close().await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_sees_a_ledger_that_another_process_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let clock = Arc::default();
    let ledger = SqlLedger::open(&file, options(&clock)).await.unwrap();
    let mut reading = options(&clock);
    reading.read_only = true;
    let reader = SqlLedger::open(&file, reading.clone()).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    assert_eq!(reader.runs(None, 9).await.unwrap().len(), 1);
    let error = reader
        .begin_run(RunId::fresh(), "ingest")
        .await
        .unwrap_err();
    assert_eq!(error.message(), "the ledger is opened for reading only");
    reader.close().await.unwrap();
    ledger.close().await.unwrap();

    // Also when nobody writes, and when there is nothing to read.
    let reader = SqlLedger::open(&file, reading.clone()).await.unwrap();
    assert_eq!(reader.runs(None, 9).await.unwrap()[0].id, run);
    reader.close().await.unwrap();
    let none = SqlLedger::open(&folder.path().join("none.db"), reading)
        .await
        .unwrap_err();
    assert_eq!(none.message(), "there is no ledger yet");
    assert!(!folder.path().join("none.db").exists());
}

#[tokio::test]
async fn a_ledger_that_is_dropped_without_close_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd # name? 100%.db");
    let ledger = open(&file).await.unwrap();
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    drop(ledger);
    let mut patient = options(&Arc::default());
    patient.lock_wait = Duration::from_secs(10);
    let ledger = SqlLedger::open(&file, patient).await.unwrap();
    assert_eq!(ledger.runs(None, 9).await.unwrap()[0].id, run);
    assert_eq!(ledger.file(), file.canonicalize().unwrap());
    ledger.close().await.unwrap();
}

async fn raw(file: &Path) -> sqlx::AnyConnection {
    let target = Target {
        place: Place::File(file.to_owned()),
        options: options(&Arc::default()),
    };
    target.connect().await.unwrap()
}
