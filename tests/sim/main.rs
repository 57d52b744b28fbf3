//! Deterministic simulation: the whole engine in one thread on a paused clock, against both emulators in
//! process, with faults, edits and crashes drawn from a seed.
//!
//! A crash drops everything that windlass is and keeps what would be kept: the services and the ledger. The
//! world then starts again and goes on, until a run has nothing left to do; at rest a checker compares both
//! sides, the ledger and the gauges. The same seed gives the same trace, and a test holds that. Two-way sync has a
//! world of its own with people on both sides, and a table of what can happen in it (`both`).
//!
//! ```text
//! cargo test -p windlass-tests --test sim                                    # some hundred seeds, as CI does
//! WINDLASS_SIM_SEEDS=5000 cargo test --release -p windlass-tests --test sim  # thousands
//! WINDLASS_SIM_FIRST=5000 WINDLASS_SIM_SEEDS=300 cargo test --release …            # those from 5000 on
//! WINDLASS_SIM_SEED=17 cargo test -p windlass-tests --test sim one_seed -- --nocapture   # one, with its trace
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failing seed is told to whoever runs the tests"
)]

mod both;
mod check;
mod services;
mod story;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use both::{ROWS, ROWS_OF_COPIES, Tally};
use story::{Story, Way};
use world::Lived;

/// How many seeds each way gets where nothing else is asked for: some seconds in an unoptimised build.
const SEEDS: u64 = 60;

/// The same of two-way stories, which are long: half a minute.
const SEEDS_TWO_WAY: u64 = 40;

/// From so many stories of a way on, each thing that can happen in them has to happen in one.
const SEEDS_THAT_REACH_ALL: u64 = 300;

/// Lives one story in a runtime of its own.
fn live(story: &Story) -> Lived {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    match story.way {
        Way::Both => runtime.block_on(both::live(story)),
        _ => runtime.block_on(world::live(story)),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Lives many stories and says how to repeat those that fail.
fn seeds(way: Way) {
    let few = match way {
        Way::Both => SEEDS_TWO_WAY,
        _ => SEEDS,
    };
    let first = number("WINDLASS_SIM_FIRST").unwrap_or_default();
    let count = number("WINDLASS_SIM_SEEDS").unwrap_or(few);
    let (mut met, mut failed) = (Tally::new(), Vec::new());
    for seed in first..first + count {
        match lived(way, seed) {
            Some(lived) => lived.met.into_iter().for_each(|(row, times)| {
                *met.entry(row).or_default() += times;
            }),
            None => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "of {count} seeds failed {failed:?}");
    if count >= SEEDS_THAT_REACH_ALL {
        reaches_all(way, &met);
    }
}

/// Prints what so many stories met, and does not accept that something which can happen in them did not.
fn reaches_all(way: Way, met: &Tally) {
    let rows: &[&str] = match way {
        Way::Both => &ROWS,
        Way::NasToDropbox => &ROWS_OF_COPIES,
        Way::NasToCelum | Way::DropboxToCelum => &[],
    };
    println!("{way}:");
    for (row, times) in met {
        println!("{times:>9} {row}");
    }
    let never = rows.iter().filter(|row| !met.contains_key(**row));
    let never: Vec<&&str> = never.collect();
    assert!(never.is_empty(), "no story reaches {never:?}");
}

/// Lives the story of one seed; `None` where it fails, once it is told how to repeat it.
fn lived(way: Way, seed: u64) -> Option<Lived> {
    let story = Story::draw(way, seed);
    let lived = catch_unwind(AssertUnwindSafe(|| live(&story))).ok();
    if lived.is_none() {
        eprintln!("{story:#?}");
        eprintln!(
            "repeat it: WINDLASS_SIM_WAY={way} WINDLASS_SIM_SEED={seed} \
             cargo test -p windlass-tests --test sim one_seed -- --nocapture"
        );
    }
    lived
}

#[test]
fn a_folder_reaches_dropbox_whatever_fails() {
    seeds(Way::NasToDropbox);
}

#[test]
fn a_folder_reaches_celum_whatever_fails() {
    seeds(Way::NasToCelum);
}

#[test]
fn dropbox_reaches_celum_whatever_fails() {
    seeds(Way::DropboxToCelum);
}

#[test]
fn dropbox_and_celum_agree_whatever_people_do_and_whatever_fails() {
    seeds(Way::Both);
}

#[test]
fn one_seed_as_asked_for() {
    let Some(seed) = number("WINDLASS_SIM_SEED") else {
        return;
    };
    let way = std::env::var("WINDLASS_SIM_WAY").unwrap_or_default();
    let story = Story::draw(Way::named(&way), seed);
    println!("{story:#?}");
    let lived = live(&story);
    for line in &lived.trace {
        println!("{line}");
    }
    println!("{} lives", lived.lives);
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    for way in Way::ALL {
        let mut eventful = 0;
        for seed in 0..6 {
            let story = Story::draw(way, seed);
            let (once, again) = (live(&story), live(&story));
            assert_eq!(once.trace, again.trace, "{way}, seed {seed}");
            eventful += usize::from(once.lives > 1);
        }
        assert!(eventful > 1, "stories of {way} hardly crash");
    }
}

#[test]
fn other_seeds_tell_other_stories() {
    let traces: Vec<_> = (0..6)
        .map(|seed| live(&Story::draw(Way::NasToDropbox, seed)).trace)
        .collect();
    let distinct: std::collections::BTreeSet<_> = traces.iter().collect();
    assert_eq!(distinct.len(), traces.len());
}
