//! Jots survive the end of the process, and nothing that lies in their place does harm.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use windlass_core::{
    Kind, LeasedStep, Ledger, Note, Noted, Part, RunId, RunState, StepId, WorkerId,
};

use crate::conformance::step;
use crate::jots::path_of;
use crate::tests::open;
use crate::{LedgerOptions, SqlLedger};

const CHILD: &str = "WINDLASS_TEST_JOTS_CHILD";

fn part(index: u64) -> Noted {
    Noted::Part(Part {
        offset: index << 22,
        length: 4 << 20,
        digest: vec![index as u8; 65].into(),
    })
}

fn note(step: &LeasedStep, what: Noted) -> Note {
    Note {
        step: step.id,
        attempt: step.attempt,
        what,
    }
}

async fn one_step(ledger: &SqlLedger) -> LeasedStep {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    ledger.add_steps(run, &[step(1)]).await.unwrap();
    let ttl = Duration::from_secs(3600);
    let worker = WorkerId::fresh();
    ledger.lease(run, &worker, 1, ttl).await.unwrap().remove(0)
}

async fn parts(ledger: &Arc<SqlLedger>, step: StepId) -> BTreeSet<u64> {
    let unfinished = ledger.unfinished(&[step]).await.unwrap().remove(0);
    unfinished
        .parts
        .iter()
        .map(|part| part.offset >> 22)
        .collect()
}

/// Runs as a test of its own in the child process and does nothing in the parent's.
#[tokio::test]
async fn child_that_jots_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let file = Path::new(&folder).join("windlass.db");
    let ledger = SqlLedger::open(&file, LedgerOptions::default())
        .await
        .unwrap();
    let step = one_step(&ledger).await;
    let mut out = std::io::stderr().lock();
    // Bounded, should nobody kill it. Long enough to be killed before, while and after folding.
    for index in 0..5_000_000 {
        ledger.jot(&note(&step, part(index))).unwrap();
        writeln!(out, "jotted {} {index}", step.id.0).unwrap();
        if index % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn no_jot_that_returned_is_lost_when_the_process_is_killed() {
    for until in [7, 900, 12_000] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::jots::child_that_jots_until_it_is_killed",
                "--nocapture",
            ])
            .env(CHILD, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut jotted = BTreeSet::new();
        let mut of = StepId(0);
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            let mut words = line.split(' ').skip(1).map(|word| word.parse().unwrap());
            of = StepId(words.next().unwrap());
            jotted.insert(words.next().unwrap() as u64);
            if jotted.len() >= until {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(jotted.len(), until, "the child ended by itself");
        let ledger = open(&folder.path().join("windlass.db")).await.unwrap();
        let kept = parts(&ledger, of).await;
        assert!(
            jotted.is_subset(&kept),
            "{} of {}",
            kept.len(),
            jotted.len()
        );
        ledger.close_now().await;
    }
}

/// The files of a ledger as they are at this moment, in a folder of their own: what a killed process leaves.
fn killed_now(file: &Path) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let copy = folder.path().join(file.file_name().unwrap());
    (folder, copy)
}

async fn kept_of(file: &Path, step: &LeasedStep) -> BTreeSet<u64> {
    let ledger = open(file).await.unwrap();
    let kept = parts(&ledger, step.id).await;
    ledger.close_now().await;
    kept
}

/// An open ledger with a step in flight.
async fn begun(folder: &tempfile::TempDir) -> (PathBuf, Arc<SqlLedger>, LeasedStep) {
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let step = one_step(&ledger).await;
    (file, ledger, step)
}

fn jot(ledger: &SqlLedger, step: &LeasedStep, parts: std::ops::Range<u64>) {
    for index in parts {
        ledger.jot(&note(step, part(index))).unwrap();
    }
}

/// What is kept of a ledger that a killed process left, if the jots beside it are these bytes.
async fn kept_with(left: &Path, jots: &[u8], step: &LeasedStep) -> BTreeSet<u64> {
    let (_folder, copy) = killed_now(left);
    std::fs::write(path_of(&copy), jots).unwrap();
    kept_of(&copy, step).await
}

#[tokio::test]
async fn a_torn_end_is_cut_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..9);
    let before = std::fs::metadata(path_of(&file)).unwrap().len();
    jot(&ledger, &step, 9..10);
    let (_folder, left) = killed_now(&file);
    ledger.close_now().await;
    let bytes = std::fs::read(path_of(&left)).unwrap();
    let last = bytes.len() - usize::try_from(before).unwrap();
    // Wherever the last record is torn, the nine before it are there.
    for cut in [1, 2, last / 2, last - 21, last - 4, last - 1, last] {
        let kept = kept_with(&left, &bytes[..bytes.len() - cut], &step).await;
        assert_eq!(kept, (0..9).collect(), "{cut} cut");
    }
    assert_eq!(kept_of(&left, &step).await, (0..10).collect());
}

#[tokio::test]
async fn records_after_a_damaged_one_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..10);
    let (_folder, left) = killed_now(&file);
    ledger.close_now().await;
    let whole = std::fs::read(path_of(&left)).unwrap();
    let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for flipped in (head..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[flipped] ^= 1;
        let kept = kept_with(&left, &bytes, &step).await;
        assert!(kept.len() < 10, "byte {flipped}");
        assert_eq!(kept, (0..kept.len() as u64).collect(), "byte {flipped}");
    }
}

#[tokio::test]
async fn what_lies_in_the_place_of_jots_does_no_harm_and_an_orderly_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let huge = vec![b'x'; 2 << 20];
    for odd in [&b""[..], b"\0\0\0\0", b"windlass jots of 0\nrubbish", &huge] {
        std::fs::write(path_of(&file), odd).unwrap();
        let ledger = open(&file).await.unwrap();
        let step = one_step(&ledger).await;
        jot(&ledger, &step, 3..4);
        let (_folder, left) = killed_now(&file);
        assert_eq!(kept_of(&left, &step).await, BTreeSet::from([3]));
        ledger.close_now().await;
        assert!(!path_of(&file).exists());
        assert_eq!(kept_of(&file, &step).await, BTreeSet::from([3]));
    }
    // Even a folder: nothing can be jotted then, and everything else goes on.
    std::fs::create_dir(path_of(&file)).unwrap();
    let ledger = open(&file).await.unwrap();
    let step = one_step(&ledger).await;
    let error = ledger.jot(&note(&step, part(1))).unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error:?}");
    let session = note(&step, Noted::Session("s".to_owned()));
    assert_eq!(ledger.note(&[session]).await.unwrap(), [true]);
    assert!(parts(&ledger, step.id).await.is_empty());
    ledger.close_now().await;
}

#[tokio::test]
async fn an_older_state_of_the_jots_brings_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..5);
    let old = std::fs::read(path_of(&file)).unwrap();
    // Folds, and makes what was folded untrue.
    ledger.note(&[note(&step, Noted::Restart)]).await.unwrap();
    let (_folder, left) = killed_now(&file);
    std::fs::write(path_of(&left), &old).unwrap();
    assert!(
        kept_of(&left, &step).await.is_empty(),
        "at the next opening"
    );
    ledger.close_now().await;
    std::fs::write(path_of(&file), &old).unwrap();
    assert!(
        kept_of(&file, &step).await.is_empty(),
        "after an orderly end"
    );
    std::fs::write(path_of(&file), &old).unwrap();
    assert!(kept_of(&file, &step).await.is_empty(), "an opening later");
}

#[tokio::test]
async fn jots_of_the_original_do_not_reach_a_copy_that_takes_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    let session = |name: &str| note(&step, Noted::Session(name.to_owned()));
    ledger.note(&[session("first")]).await.unwrap();
    jot(&ledger, &step, 0..2);
    let copy = folder.path().join("copy.db");
    ledger.backup(&copy).await.unwrap();
    ledger.note(&[session("second")]).await.unwrap();
    jot(&ledger, &step, 7..9);
    let (_folder, left) = killed_now(&file);
    ledger.close_now().await;
    // The copy has what was jotted before it was made, and a session that the later jots are not of.
    for ending in ["-wal", "-shm"] {
        let mut name = left.clone().into_os_string();
        name.push(ending);
        std::fs::remove_file(name).ok();
    }
    std::fs::copy(&copy, &left).unwrap();
    assert!(path_of(&left).exists());
    assert_eq!(kept_of(&left, &step).await, BTreeSet::from([0, 1]));
}

#[tokio::test]
async fn a_power_cut_that_takes_the_jots_costs_parts_and_never_an_intent() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    let digests = crate::conformance::placement(1).digests;
    jot(&ledger, &step, 0..3);
    assert_eq!(parts(&ledger, step.id).await.len(), 3);
    let intent = note(&step, Noted::Intent(digests));
    ledger.note(&[intent]).await.unwrap();
    jot(&ledger, &step, 3..6);
    // What was synced is there, and the file that never is, is not.
    let (_folder, left) = killed_now(&file);
    std::fs::remove_file(path_of(&left)).unwrap();
    let after = open(&left).await.unwrap();
    let kept = after.unfinished(&[step.id]).await.unwrap().remove(0);
    assert_eq!(kept.intent, Some(digests));
    assert_eq!(parts(&after, step.id).await, BTreeSet::from([0, 1, 2]));
    after.close_now().await;
    ledger.close_now().await;
}

#[tokio::test]
async fn jots_become_durable_by_themselves_before_long() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..4);
    tokio::time::sleep(windlass_core::JOT_AGE_MAX).await;
    let (_folder, left) = killed_now(&file);
    std::fs::remove_file(path_of(&left)).unwrap();
    assert_eq!(kept_of(&left, &step).await, (0..4).collect());
    // And many of them without waiting, so that the file stays small.
    let mut index = 4;
    while std::fs::metadata(path_of(&file)).unwrap().len() < 1 << 20 {
        jot(&ledger, &step, index..index + 100);
        index += 100;
    }
    let began = std::time::Instant::now();
    while std::fs::metadata(path_of(&file)).unwrap().len() > 1 << 10 {
        assert!(began.elapsed() < Duration::from_secs(60), "they stay");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(parts(&ledger, step.id).await.len() as u64, index);
    ledger.close_now().await;
}

#[tokio::test]
async fn readers_leave_the_jots_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..2);
    let before = std::fs::read(path_of(&file)).unwrap();
    let reading = LedgerOptions {
        read_only: true,
        ..LedgerOptions::default()
    };
    let reader = SqlLedger::open(&file, reading).await.unwrap();
    assert!(parts(&reader, step.id).await.is_empty());
    let error = reader.jot(&note(&step, part(2))).unwrap_err();
    assert_eq!(error.message(), "the ledger is opened for reading only");
    reader.close_now().await;
    assert_eq!(std::fs::read(path_of(&file)).unwrap(), before);
    ledger.close_now().await;
}

#[tokio::test]
async fn a_ledger_that_is_dropped_leaves_its_jots_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..3);
    drop(ledger);
    let patient = LedgerOptions {
        lock_wait: Duration::from_secs(10),
        ..LedgerOptions::default()
    };
    let next = SqlLedger::open(&file, patient).await.unwrap();
    assert_eq!(parts(&next, step.id).await, (0..3).collect());
    next.close_now().await;
}

#[tokio::test]
async fn nothing_is_jotted_into_a_closed_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    jot(&ledger, &step, 0..1);
    ledger.close_now().await;
    let error = ledger.jot(&note(&step, part(1))).unwrap_err();
    assert_eq!(error.message(), "the ledger is closed");
    assert!(!path_of(&file).exists());
}

#[tokio::test]
async fn jots_that_nobody_folds_end_in_an_error_and_a_bounded_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let bytes_max = 64 << 10;
    let bounded = LedgerOptions {
        jots_bytes_max: "64kib".parse().unwrap(),
        ..LedgerOptions::default()
    };
    let ledger = SqlLedger::open(&file, bounded).await.unwrap();
    let step = one_step(&ledger).await;
    // One thread, and no chance for the task that folds.
    let mut jotted = 0;
    let error = loop {
        match ledger.jot(&note(&step, part(jotted))) {
            Ok(()) => jotted += 1,
            Err(error) => break error,
        }
        assert!(jotted < 10_000, "the file grows without end");
    };
    assert_eq!(error.kind(), Kind::Capacity);
    let bytes = std::fs::metadata(path_of(&file)).unwrap().len();
    assert!(bytes <= bytes_max && bytes > bytes_max / 2, "{bytes}");
    assert_eq!(parts(&ledger, step.id).await, (0..jotted).collect());
    // Folded, there is room again.
    jot(&ledger, &step, jotted..jotted + 1);
    let too_long = Noted::Session("x".repeat(2 << 20));
    let error = ledger.jot(&note(&step, too_long)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    ledger.close_now().await;
}

/// A folder on a disk of its own, where the machine lets tests have one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a test that failed may still have files open there.
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[tokio::test]
async fn a_full_disk_costs_the_jot_that_did_not_fit_and_none_before_or_after() {
    // Needs a privilege that most machines do not give to tests.
    let Some(disk) = SmallDisk::mounted("size=4m") else {
        return;
    };
    let (file, ledger, step) = begun(&disk.0).await;
    jot(&ledger, &step, 0..3);
    // Leaves room for some records and then for half of one.
    let filler = disk.0.path().join("filler");
    let mut fill = std::fs::File::create(&filler).unwrap();
    while fill.write_all(&[0; 4096]).is_ok() {}
    drop(fill);
    let mut jotted: BTreeSet<u64> = (0..3).collect();
    let mut index = 3;
    let error = loop {
        match ledger.jot(&note(&step, part(index))) {
            Ok(()) => jotted.insert(index),
            Err(error) => break error,
        };
        index += 1;
        assert!(index < 10_000, "the disk never filled up");
    };
    assert_eq!(error.kind(), Kind::Capacity, "{error:?}");
    // The disk gives whole pages, so that the last record began to be written and was cut off again.
    let bytes = std::fs::metadata(path_of(&file)).unwrap().len();
    assert_ne!(bytes % 4096, 0, "no record was torn");
    std::fs::remove_file(&filler).unwrap();
    jot(&ledger, &step, 20_000..20_003);
    jotted.extend(20_000..20_003);
    let (_folder, left) = killed_now(&file);
    assert_eq!(kept_of(&left, &step).await, jotted);
    ledger.close_now().await;
}

#[tokio::test]
async fn a_hundred_thousand_parts_are_folded_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ledger, step) = begun(&folder).await;
    for from in (0..100_000).step_by(1_000) {
        jot(&ledger, &step, from..from + 1_000);
        tokio::task::yield_now().await;
    }
    let kept = ledger.unfinished(&[step.id]).await.unwrap().remove(0);
    assert_eq!(kept.parts.len(), 100_000);
    let ascends = |parts: &[Part]| parts[0].offset + parts[0].length == parts[1].offset;
    assert!(kept.parts.windows(2).all(ascends));
    let bytes = std::fs::metadata(path_of(&file)).unwrap().len();
    assert!(bytes < 1 << 20, "{bytes} bytes stay in the file");
    // The same from the file alone, at the next opening.
    let (_folder, left) = killed_now(&file);
    jot(&ledger, &step, 100_000..120_000);
    let unfolded = std::fs::read(path_of(&file)).unwrap();
    std::fs::write(path_of(&left), unfolded).unwrap();
    assert_eq!(kept_of(&left, &step).await.len(), 120_000);
    ledger.close_now().await;
}
