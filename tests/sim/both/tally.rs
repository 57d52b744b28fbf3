//! How often a story meets what the table of [`super`] says can happen, so that many stories show what none reaches.
//!
//! Everything is counted by what came of it, not by what was drawn: a fault that met no call that it could harm did not
//! happen. Most is read from the trace, which tells it in order.

use std::collections::BTreeMap;

use windlass_sandbox::celum::Celum;
use windlass_sandbox::dropbox::Dropbox;

use super::World;

/// Counts by the names of rows.
pub(crate) type Tally = BTreeMap<String, u64>;

/// What some of a few hundred stories has to meet.
pub(crate) const ROWS: [&str; 55] = [
    "service:lock",
    "rate",
    "429",
    "service:entries",
    "service:session-gone",
    "service:partial",
    "service:not-yet-there",
    "reset-before",
    "reset-after",
    "503",
    "503-after",
    "500-html",
    "401",
    "truncate",
    "corrupt",
    "a pass while lists lag",
    "a cursor is refused",
    "a ring is lost",
    "a ring comes twice",
    "a ring comes late",
    "a file is saved amid a pass",
    "an asset is changed amid a pass",
    "a file changes before it is written over",
    "an asset changes before it gets a version",
    "a file waits until it is quiet",
    "a file is spelled otherwise",
    "a name is saved in another spelling",
    "a file is restored",
    "a file is moved",
    "a file is deleted",
    "another file is in the place of one",
    "a file loses or gets its approval",
    "a folder is renamed",
    "an asset is made",
    "an asset is renamed",
    "an asset is moved",
    "an asset is deleted",
    "an older version comes back",
    "an asset is locked",
    "both changed",
    "a change is proposed",
    "one side removed what the other changed",
    "a place is taken",
    "the file is chosen",
    "the asset is chosen",
    "both are kept",
    "a file is put away",
    "an asset is put away",
    "a file is taken back",
    "a cap holds removals",
    "a crash",
    "an interrupted run goes on",
    "a pass fails",
    "a life of an hour",
    "something is found beside a run",
];

/// An hour, in microseconds.
const LONG: u64 = 3_600_000_000;

/// What only stories from a folder to Dropbox meet: nothing is copied in two-way ones.
pub(crate) const ROWS_OF_COPIES: [&str; 2] = ["service:job-lost", "service:repeated-from"];

/// Faults of both services that did something.
pub(crate) fn of_faults(account: &Dropbox, tenant: &Celum) -> Tally {
    let mut tally = account.faults_acted();
    for (name, times) in tenant.faults().acted() {
        *tally.entry(name).or_default() += times;
    }
    tally
}

/// What a story met.
pub(super) fn of(world: &World) -> Tally {
    let mut tally = of_faults(&world.account, &world.tenant);
    for (name, times) in world.bell.met() {
        *tally.entry(name.to_owned()).or_default() += times;
    }
    let trace = world.trace.lock().unwrap();
    let mut reading = Reading::default();
    for line in trace.iter() {
        for row in reading.rows_of(line) {
            *tally.entry(row.to_owned()).or_default() += 1;
        }
    }
    let ends = trace.last().and_then(|line| time_of(line));
    if ends.is_some_and(|at| at > LONG) {
        tally.insert("a life of an hour".to_owned(), 1);
    }
    tally
}

fn time_of(line: &str) -> Option<u64> {
    line.split_whitespace().next()?.parse().ok()
}

/// A trace, read line by line.
#[derive(Default)]
struct Reading {
    is_passing: bool,
}

impl Reading {
    fn rows_of(&mut self, line: &str) -> Vec<&'static str> {
        let text = line.trim_start();
        let text = text.split_once(' ').map_or("", |(_, text)| text);
        match text {
            text if text.starts_with("a pass: ") => self.is_passing = true,
            text if ENDS.iter().any(|end| text.starts_with(end)) => self.is_passing = false,
            _ => {}
        }
        let mut rows: Vec<&'static str> = BEGINNINGS
            .iter()
            .filter(|(beginning, _)| text.starts_with(beginning))
            .map(|(_, row)| *row)
            .collect();
        let parts = PARTS.iter();
        rows.extend(
            parts
                .filter(|(parts, _)| parts.iter().all(|part| text.contains(part)))
                .map(|(_, row)| *row),
        );
        if self.is_passing {
            rows.extend(amid(text));
        }
        rows
    }
}

fn amid(text: &str) -> Option<&'static str> {
    let asset = ["somebody makes ", "somebody calls ", "somebody puts "];
    match text {
        text if text.starts_with("somebody saves ") => Some("a file is saved amid a pass"),
        text if asset.iter().any(|begins| text.starts_with(begins)) => {
            Some("an asset is changed amid a pass")
        }
        _ => None,
    }
}

/// What ends a pass.
const ENDS: [&str; 4] = ["a pass ends", "a pass fails", "a life ends", "crash"];

const BEGINNINGS: [(&str, &str); 24] = [
    ("lists lag", "a pass while lists lag"),
    ("something still arrives", "a file waits until it is quiet"),
    (
        "somebody is quick about File",
        "a file changes before it is written over",
    ),
    (
        "somebody is quick about Asset",
        "an asset changes before it gets a version",
    ),
    ("somebody spells ", "a file is spelled otherwise"),
    ("it is spelled ", "a name is saved in another spelling"),
    ("somebody restores ", "a file is restored"),
    ("somebody moves /", "a file is moved"),
    ("somebody deletes /", "a file is deleted"),
    ("somebody replaces /", "another file is in the place of one"),
    ("somebody tags ", "a file loses or gets its approval"),
    ("somebody renames ", "a folder is renamed"),
    ("somebody makes ", "an asset is made"),
    ("somebody calls ", "an asset is renamed"),
    ("an asset moves ", "an asset is moved"),
    ("somebody deletes asset", "an asset is deleted"),
    ("somebody goes back ", "an older version comes back"),
    ("somebody locks ", "an asset is locked"),
    ("TakeFile about ", "the file is chosen"),
    ("TakeAsset about ", "the asset is chosen"),
    ("KeepBoth about ", "both are kept"),
    ("crash", "a crash"),
    ("an interrupted run ", "an interrupted run goes on"),
    ("a pass fails", "a pass fails"),
];

const PARTS: [(&[&str], &str); 10] = [
    (&["list_folder/continue ", " 409"], "a cursor is refused"),
    (&[" about ", "question: BothChanged"], "both changed"),
    (&[" about ", "question: Proposed"], "a change is proposed"),
    (
        &[" about ", "question: RemovedAndChanged"],
        "one side removed what the other changed",
    ),
    (&[" about ", "question: PlaceTaken"], "a place is taken"),
    (&[" plans: ", "its file is kept as"], "a file is put away"),
    (&[" plans: relocate", "is kept in"], "an asset is put away"),
    (
        &[" plans: withdraw", "rights do not allow"],
        "a file is taken back",
    ),
    (&[" plans: hold", "it stays until"], "a cap holds removals"),
    (
        &[" finds beside a run: "],
        "something is found beside a run",
    ),
];
