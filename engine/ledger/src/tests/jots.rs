//! Jots survive the end of the process, and nothing that lies in their place does harm.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use windlass_core::{LeasedStep, Ledger, Note, Noted, Part, RunId, RunState, StepId, WorkerId};

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

#[tokio::test]
async fn a_torn_end_is_cut_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let step = one_step(&ledger).await;
    for index in 0..10 {
        ledger.jot(&note(&step, part(index))).unwrap();
    }
    let bytes = std::fs::read(path_of(&file)).unwrap();
    let identity = ledger_identity(&bytes);
    for cut in [1, 9, 100, 300] {
        std::fs::write(path_of(&file), &bytes[..bytes.len() - cut]).unwrap();
        let kept = crate::jots::left_over(&file, &identity);
        assert!((7..10).contains(&kept.len()), "{} of 10", kept.len());
    }
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(path_of(&file), flipped).unwrap();
    assert!(crate::jots::left_over(&file, &identity).len() < 10);
    assert_eq!(crate::jots::left_over(&file, "another ledger").len(), 0);
    ledger.close_now().await;
}

fn ledger_identity(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap();
    let text = std::str::from_utf8(line).unwrap();
    text.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_lies_in_the_place_of_jots_does_no_harm_and_an_orderly_end_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    for odd in [&b""[..], b"\0\0\0\0", b"windlass jots of ledger 0\nrubbish"] {
        std::fs::write(path_of(&file), odd).unwrap();
        let ledger = open(&file).await.unwrap();
        let step = one_step(&ledger).await;
        ledger.jot(&note(&step, part(3))).unwrap();
        assert_eq!(parts(&ledger, step.id).await, BTreeSet::from([3]));
        ledger.close_now().await;
        assert!(!path_of(&file).exists());
        let again = open(&file).await.unwrap();
        assert_eq!(parts(&again, step.id).await, BTreeSet::from([3]));
        again.close_now().await;
    }
}

#[tokio::test]
async fn a_power_cut_that_takes_the_jots_costs_parts_and_never_an_intent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let step = one_step(&ledger).await;
    let digests = crate::conformance::placement(1).digests;
    let notes = [note(&step, Noted::Intent(digests))];
    ledger.note(&notes).await.unwrap();
    ledger.jot(&note(&step, part(1))).unwrap();
    // Copied as the disk has it, without the file that was never synced.
    let copy = folder.path().join("after.db");
    ledger.reader_copy(&copy).await;
    let after = open(&copy).await.unwrap();
    let kept = after.unfinished(&[step.id]).await.unwrap().remove(0);
    assert_eq!(kept.intent, Some(digests));
    after.close_now().await;
    ledger.close_now().await;
}

#[tokio::test]
async fn a_hundred_thousand_parts_are_folded_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("windlass.db");
    let ledger = open(&file).await.unwrap();
    let step = one_step(&ledger).await;
    for index in 0..100_000 {
        ledger.jot(&note(&step, part(index))).unwrap();
    }
    assert_eq!(parts(&ledger, step.id).await.len(), 100_000);
    let bytes = std::fs::metadata(path_of(&file)).unwrap().len();
    assert!(bytes < 1 << 20, "{bytes} bytes stay in the file");
    ledger.close_now().await;
}
