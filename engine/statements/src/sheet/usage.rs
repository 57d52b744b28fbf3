//! Which rows were used by which files, and what was left over.
//!
//! Lists are bounded and sorted by content, so that threads that ask in another order leave the same report.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use windlass_core::{AssetPath, Finding};

/// The most entries of a list in a report. More are not read by anyone; the total is given.
pub const LISTED_MAX: usize = 1000;

/// How many of the files that share a row are named.
const SHARERS_NAMED: usize = 3;

/// The first of a list, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// At most [`LISTED_MAX`], in order.
    pub first: Vec<T>,
    /// All of them.
    pub total: usize,
}

/// A row of a sheet by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrphanRow {
    /// Its number in the file, from 1: the line of a CSV file, the row of a worksheet.
    pub row: u32,
    /// Its key as it is written; empty if it has none.
    pub key: String,
}

/// A row that more than one file used. A row is meant for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRow {
    /// The row.
    pub row: OrphanRow,
    /// The first of the files, by path.
    pub files: Vec<AssetPath>,
    /// Whether there are more.
    pub more: bool,
}

/// What the joins of a sheet left over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReport {
    /// Rows that are about no file.
    pub orphan_rows: Listed<OrphanRow>,
    /// Files that had no row.
    pub orphan_files: Listed<AssetPath>,
    /// Rows that more than one file used.
    pub shared: Listed<SharedRow>,
    /// What is remarkable about the sheet: cells that could not be read, rows that were shared.
    pub findings: Vec<Finding>,
}

#[derive(Debug)]
pub(super) struct Usage(Mutex<Marks>);

#[derive(Debug)]
struct Marks {
    /// The first files of each row by path, one more than are named.
    files: Vec<Vec<AssetPath>>,
    /// Rows about files that are there.
    noticed: Vec<bool>,
    /// The first files without a row by path.
    orphans: BTreeSet<AssetPath>,
    /// Digests of all of them, so that one that is asked for twice is counted once.
    counted: HashSet<u64>,
}

impl Usage {
    pub(super) fn new(rows: usize) -> Self {
        Usage(Mutex::new(Marks {
            files: vec![Vec::new(); rows],
            noticed: vec![false; rows],
            orphans: BTreeSet::new(),
            counted: HashSet::new(),
        }))
    }

    pub(super) fn row_used(&self, row: usize, path: &AssetPath) {
        let files = &mut self.marks().files[row];
        if let Err(at) = files.binary_search(path) {
            files.insert(at, path.clone());
            files.truncate(SHARERS_NAMED + 1);
        }
    }

    pub(super) fn row_noticed(&self, row: usize) {
        self.marks().noticed[row] = true;
    }

    pub(super) fn file_without_row(&self, path: &AssetPath) {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let mut marks = self.marks();
        if marks.counted.insert(hasher.finish()) {
            marks.orphans.insert(path.clone());
            if marks.orphans.len() > LISTED_MAX {
                marks.orphans.pop_last();
            }
        }
    }

    pub(super) fn report(&self, row: impl Fn(usize) -> OrphanRow) -> JoinReport {
        let marks = self.marks();
        let files = || marks.files.iter().enumerate();
        let unused = files().filter(|(at, files)| files.is_empty() && !marks.noticed[*at]);
        let shared = files().filter(|(_, files)| files.len() > 1);
        JoinReport {
            orphan_rows: listed(unused.map(|(at, _)| at), &row),
            orphan_files: Listed {
                first: marks.orphans.iter().cloned().collect(),
                total: marks.counted.len(),
            },
            shared: listed(shared, |(at, files)| SharedRow {
                row: row(at),
                files: files.iter().take(SHARERS_NAMED).cloned().collect(),
                more: files.len() > SHARERS_NAMED,
            }),
            findings: Vec::new(),
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the first of many, and counts all.
fn listed<A, T>(all: impl Iterator<Item = A>, show: impl Fn(A) -> T) -> Listed<T> {
    let mut listed = Listed {
        first: Vec::new(),
        total: 0,
    };
    for one in all {
        listed.total += 1;
        if listed.first.len() < LISTED_MAX {
            listed.first.push(show(one));
        }
    }
    listed
}

impl SharedRow {
    /// One sentence without a full stop.
    pub fn message(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(AssetPath::as_str).collect();
        let OrphanRow { row, key } = &self.row;
        let more = if self.more { " and more" } else { "" };
        let files = files.join(", ");
        format!("row {row} ({key}) is meant for one file and was used by {files}{more}")
    }
}
