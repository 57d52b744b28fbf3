//! Random interleavings of everything workers do, on the durable ledger and the one in memory at once:
//! they answer alike, every step ends at most once, and none is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use windlass_core::memory::{ManualClock, MemoryLedger};
use windlass_core::{
    Clock, LeasedStep, Ledger, Note, Noted, Outcome, Part, RunId, RunState, StepId, StepReport,
    StepState, WorkerId,
};

use crate::SqlLedger;
use crate::conformance::{done, new_hold, placement, report, step, withdrawal, withdrawn};
use crate::jots::path_of;
use crate::tests::options;

const WORKERS: usize = 3;
const STEPS: u64 = 6;
const TTL: Duration = Duration::from_secs(10);

/// How a process ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It closed the ledger.
    Closed,
    /// It closed the ledger, but an older state of the jots comes back.
    OldJots,
    /// It was killed: the files stay as they were at that moment.
    Killed,
}

#[derive(Clone, Debug)]
enum Move {
    Lease {
        worker: usize,
        limit: u32,
    },
    Wait {
        seconds: u64,
    },
    Renew {
        worker: usize,
    },
    Reap,
    Release {
        worker: usize,
    },
    /// Reports of attempts that were taken at some time, however stale.
    Finish {
        picks: Vec<(usize, u8)>,
    },
    /// Notes of attempts that were taken at some time, however stale.
    Note {
        picks: Vec<(usize, u8)>,
    },
    Jot {
        pick: usize,
        what: u8,
    },
    /// Another process opens the ledger.
    Restart(End),
}

fn moves() -> impl Strategy<Value = Move> {
    let worker = 0..WORKERS;
    prop_oneof![
        4 => (worker.clone(), 0..4_u32).prop_map(|(worker, limit)| Move::Lease { worker, limit }),
        3 => (1..8_u64).prop_map(|seconds| Move::Wait { seconds }),
        1 => worker.clone().prop_map(|worker| Move::Renew { worker }),
        2 => Just(Move::Reap),
        1 => worker.prop_map(|worker| Move::Release { worker }),
        4 => prop::collection::vec((0..64_usize, 0..8_u8), 0..5)
            .prop_map(|picks| Move::Finish { picks }),
        4 => prop::collection::vec((0..64_usize, 0..8_u8), 1..5)
            .prop_map(|picks| Move::Note { picks }),
        8 => (0..64_usize, 0..8_u8).prop_map(|(pick, what)| Move::Jot { pick, what }),
        1 => prop::sample::select(vec![End::Closed, End::OldJots, End::Killed])
            .prop_map(Move::Restart),
    ]
}

struct Pair {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    sql: Arc<SqlLedger>,
    memory: MemoryLedger,
    run: RunId,
    workers: Vec<WorkerId>,
    /// Every attempt that was ever handed out.
    taken: Vec<LeasedStep>,
    /// How often an outcome that ends a step was accepted.
    ended: BTreeMap<StepId, u32>,
}

impl Pair {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let memory = MemoryLedger::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let file = folder.path().join("windlass.db");
        let sql = SqlLedger::open(&file, options(&clock)).await.unwrap();
        let run = RunId::fresh();
        let steps: Vec<_> = (1..=STEPS).map(step).collect();
        let both: [&dyn Ledger; 2] = [&*sql, &memory];
        for ledger in both {
            ledger.begin_run(run, "ingest").await.unwrap();
            ledger.add_steps(run, &steps).await.unwrap();
            ledger.set_run_state(run, RunState::Running).await.unwrap();
        }
        Pair {
            folder,
            clock,
            sql,
            memory,
            run,
            workers: (0..WORKERS).map(|_| WorkerId::fresh()).collect(),
            taken: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    async fn play(&mut self, what: &Move) {
        let (sql, memory, run) = (&*self.sql, &self.memory, self.run);
        match what {
            Move::Lease { worker, limit } => {
                let worker = &self.workers[*worker];
                let leased = sql.lease(run, worker, *limit, TTL).await.unwrap();
                assert_eq!(
                    leased,
                    memory.lease(run, worker, *limit, TTL).await.unwrap()
                );
                self.taken.extend(leased);
            }
            Move::Wait { seconds } => self.clock.advance(Duration::from_secs(*seconds)),
            Move::Renew { worker } => {
                let worker = &self.workers[*worker];
                sql.renew(worker, TTL).await.unwrap();
                memory.renew(worker, TTL).await.unwrap();
            }
            Move::Reap => {
                assert_eq!(
                    sql.reap(run).await.unwrap(),
                    memory.reap(run).await.unwrap()
                );
            }
            Move::Release { worker } => {
                let worker = &self.workers[*worker];
                let released = sql.release(worker).await.unwrap();
                assert_eq!(released, memory.release(worker).await.unwrap());
            }
            Move::Finish { picks } => self.finish(picks).await,
            Move::Note { picks } => self.note(picks).await,
            Move::Jot { pick, what } => self.jot(*pick, *what),
            Move::Restart(end) => self.restart(*end).await,
        }
    }

    /// A note of an attempt that was taken at some time; the later ones are likelier to be current.
    fn noted(&self, pick: usize, what: u8) -> Option<Note> {
        let last = self.taken.len().checked_sub(1)?;
        let step = &self.taken[last - pick % (last + 1).min(8)];
        Some(Note {
            step: step.id,
            attempt: step.attempt,
            what: noted(pick, what),
        })
    }

    async fn note(&self, picks: &[(usize, u8)]) {
        let notes = picks.iter().map(|(pick, what)| self.noted(*pick, *what));
        let notes: Vec<Note> = notes.flatten().collect();
        let accepted = self.sql.note(&notes).await.unwrap();
        assert_eq!(accepted, self.memory.note(&notes).await.unwrap());
    }

    fn jot(&self, pick: usize, what: u8) {
        if let Some(note) = self.noted(pick, what) {
            self.sql.jot(&note).unwrap();
            self.memory.jot(&note).unwrap();
        }
    }

    async fn finish(&mut self, picks: &[(usize, u8)]) {
        if self.taken.is_empty() {
            return;
        }
        let reports: Vec<StepReport> = picks
            .iter()
            .map(|(pick, how)| {
                let step = &self.taken[pick % self.taken.len()];
                report(step, outcome(step.size, *how))
            })
            .collect();
        let accepted = self.sql.finish(&reports).await.unwrap();
        assert_eq!(accepted, self.memory.finish(&reports).await.unwrap());
        for (report, accepted) in reports.iter().zip(accepted) {
            if accepted && !matches!(report.outcome, Outcome::Retry { .. }) {
                *self.ended.entry(report.id).or_default() += 1;
            }
        }
    }

    /// Opening ends all leases, which in memory is the same as all of them expiring and a reap; the
    /// clock must not move for the others, so it moves for both.
    async fn restart(&mut self, end: End) {
        let folder = tempfile::tempdir().unwrap();
        // Nothing is being written: every call has answered, and no time passed for the task that folds.
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        self.sql.close().await.unwrap();
        match end {
            End::Closed => {}
            End::OldJots => {
                let now = path_of(&self.folder.path().join("windlass.db"));
                let old = path_of(&folder.path().join("windlass.db"));
                if old.exists() {
                    std::fs::copy(old, now).unwrap();
                }
            }
            End::Killed => self.folder = folder,
        }
        self.clock.advance(TTL * 2);
        let file = self.folder.path().join("windlass.db");
        self.sql = SqlLedger::open(&file, options(&self.clock)).await.unwrap();
        self.memory.reap(self.run).await.unwrap();
    }

    async fn compare(&self) {
        let run = self.run;
        let both: [&dyn Ledger; 2] = [&*self.sql, &self.memory];
        let [sql, memory] = both;
        let steps = sql.steps(run, None, 100).await.unwrap();
        assert_eq!(steps, memory.steps(run, None, 100).await.unwrap());
        assert_eq!(steps.len() as u64, STEPS, "a step was lost");
        assert_eq!(
            sql.tally(run).await.unwrap(),
            memory.tally(run).await.unwrap()
        );
        assert_eq!(
            sql.next_due(run).await.unwrap(),
            memory.next_due(run).await.unwrap()
        );
        let ids: Vec<StepId> = steps.iter().map(|step| step.id).collect();
        let noted = sql.unfinished(&ids).await.unwrap();
        assert_eq!(noted, memory.unfinished(&ids).await.unwrap());
        for step in &steps {
            let ended = self.ended.get(&step.id).copied().unwrap_or(0);
            assert!(ended <= 1, "{:?} ended {ended} times", step.id);
            assert!(ended == 0 || step.state.is_terminal(), "{step:?} came back");
        }
        let ids: Vec<_> = (1..=STEPS).map(|n| placement(n).source_asset).collect();
        let placed = sql.placements("ingest", "agency", &ids).await.unwrap();
        assert_eq!(
            placed,
            memory.placements("ingest", "agency", &ids).await.unwrap()
        );
        for (placed, step) in placed.iter().zip(&steps) {
            assert!(placed.is_none() || step.state == StepState::Done);
        }
        let withdrawn = sql.withdrawals("ingest", "agency", &ids).await.unwrap();
        let expected = memory.withdrawals("ingest", "agency", &ids).await.unwrap();
        assert_eq!(withdrawn, expected);
        for (placed, withdrawn) in placed.iter().zip(&withdrawn) {
            assert!(placed.is_none() || withdrawn.is_none());
        }
        let holds = sql.holds("ingest", "agency", &ids).await.unwrap();
        assert_eq!(holds, memory.holds("ingest", "agency", &ids).await.unwrap());
        for (hold, step) in holds.iter().zip(&steps) {
            assert!(hold.is_none() || step.state == StepState::Held);
        }
    }

    /// Works off what is left: everything that is open can still be done.
    async fn drain(&mut self) {
        for _ in 0..100 {
            self.clock.advance(TTL);
            self.play(&Move::Reap).await;
            self.play(&Move::Lease {
                worker: 0,
                limit: 4,
            })
            .await;
            let start = self.taken.len().saturating_sub(4);
            let picks: Vec<_> = (start..self.taken.len()).map(|pick| (pick, 0)).collect();
            self.finish(&picks).await;
        }
        self.compare().await;
        let steps = self.sql.steps(self.run, None, 100).await.unwrap();
        assert!(
            steps.iter().all(|step| step.state.is_terminal()),
            "{steps:#?}"
        );
        self.sql.close().await.unwrap();
    }
}

fn noted(pick: usize, what: u8) -> Noted {
    match what {
        0 => Noted::Session(format!("session {pick}")),
        1 => Noted::Restart,
        2 => Noted::Intent(placement(pick as u64).digests),
        _ => Noted::Part(Part {
            offset: u64::from(what) * 3,
            length: 1 + pick as u64 % 5,
            digest: vec![pick as u8; pick % 40].into(),
        }),
    }
}

fn outcome(n: u64, how: u8) -> Outcome {
    match how {
        0 | 1 => done(placement(n)),
        2 => Outcome::Held {
            reason: "look".to_owned(),
            hold: Some(Box::new(new_hold(n, "draft"))),
        },
        3 => Outcome::Failed {
            kind: windlass_core::Kind::Denied,
            message: "no".to_owned(),
            hint: None,
        },
        // What the neighbour placed, or placed as another asset by now.
        4 | 5 => withdrawn(withdrawal(n % STEPS + 1)),
        6 => {
            let mut of_another = withdrawal(n % STEPS + 1);
            of_another.placement.placed.asset = windlass_core::AssetId::new("another");
            withdrawn(of_another)
        }
        _ => Outcome::Retry {
            after: Duration::from_secs(3),
            message: "again".to_owned(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_ends_at_most_once_and_none_is_lost(
        script in prop::collection::vec(moves(), 1..50),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for what in &script {
                pair.play(what).await;
            }
            pair.compare().await;
            pair.drain().await;
        });
    }
}
