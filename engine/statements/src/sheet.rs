//! A sheet whose rows state something about assets, joined to them by path or by name.
//!
//! A sheet is refused as a whole where it is ambiguous: twice the same key or the same column, text of unknown
//! encoding. What it says about one asset in one row is then taken as it is. Rows that no file used and files that
//! had no row are both listed, because a sheet that joins to nothing looks the same as one that says nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;
use windlass_core::{AssetPath, Blake3, Error, Finding, Kind, Result, Statement, fold_key};

mod csv;
mod table;
mod usage;
mod workbook;

pub use usage::{JoinReport, LISTED_MAX, Listed, OrphanRow, SharedRow};

use table::Table;
use usage::Usage;

/// The largest sheet: 256 MiB. All of it is held in memory while it is read; 50,000 rows of 30 columns have some 40.
pub const SHEET_BYTES_MAX: u64 = 256 << 20;

/// How a sheet is read and joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SheetOptions {
    /// The header of the column that says which file a row is about.
    pub key: String,
    /// What stands in that column.
    pub by: JoinBy,
    /// The name of the worksheet of an XLSX file; `None` is the first one that is shown.
    pub worksheet: Option<String>,
    /// What separates the entries of a list, such as `|`. A column of which any cell has it is a column of lists.
    /// `None` leaves every text as it is.
    pub list_separator: Option<String>,
}

/// What a file is known by in a sheet. Case and Unicode normal form never matter, `\` is as good as `/`, and blanks
/// around a key are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JoinBy {
    /// The path from the root of the source, with or without its first slash.
    #[default]
    Path,
    /// The file name. Folders before it are ignored.
    Name,
    /// The file name without its extension.
    Stem,
}

/// A sheet that was read. It may be asked by many threads.
pub struct Sheet {
    by: JoinBy,
    table: Table,
    /// Index into the table's rows by folded key.
    rows: HashMap<String, u32>,
    /// The keys as they are written, by row.
    keys: Vec<Box<str>>,
    digest: Blake3,
    usage: Usage,
}

impl Sheet {
    /// Reads a sheet from a file. Errors say where in the file what is wrong, and what to do about it.
    pub fn read(path: &Path, options: &SheetOptions) -> Result<Self> {
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            refused(&name, "cannot be read")
                .with_hint("check the path of the sheet and who may read it")
                .with_source(error)
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > SHEET_BYTES_MAX {
            return Err(too_large(&name));
        }
        Self::of_bytes(&name, &std::fs::read(path).map_err(unreadable)?, options)
    }

    /// Reads a sheet from its bytes: XLSX, or CSV in UTF-8 or, with a byte order mark, UTF-16. `name` is for errors
    /// and findings.
    pub fn of_bytes(name: &str, bytes: &[u8], options: &SheetOptions) -> Result<Self> {
        if bytes.len() as u64 > SHEET_BYTES_MAX {
            return Err(too_large(name));
        }
        let mut table = match bytes {
            [b'P', b'K', 3, 4, ..] => workbook::read(name, bytes, options.worksheet.as_deref())?,
            [0xd0, 0xcf, 0x11, 0xe0, ..] => {
                return Err(refused(
                    name,
                    "is an Excel file of before 2007, or is protected by a password",
                )
                .with_hint("save it as .xlsx without a password"));
            }
            _ => csv::read(name, bytes)?,
        };
        if let Some(separator) = options.list_separator.as_deref() {
            table.split_lists(separator);
        }
        let column = table.column(&options.key)?;
        let keys: Vec<Box<str>> = (0..table.len())
            .map(|row| table.text(row, column).trim().into())
            .collect();
        Ok(Sheet {
            by: options.by,
            rows: index(&table, &keys, options.by)?,
            usage: Usage::new(table.len()),
            table,
            keys,
            digest: digest(bytes, options),
        })
    }

    /// The digest of all that decides what it states: the file's bytes, and how it is read and joined.
    pub fn digest(&self) -> Blake3 {
        self.digest
    }

    /// How many rows it has below the header, blank ones left out.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        self.table.name()
    }

    /// What the sheet states about a file: a statement a cell, by column; cells that are blank state nothing. `None`
    /// if it has no row about it. Remembers that the row was used, or that the file had none.
    pub fn join(&self, path: &AssetPath) -> Option<Vec<Statement>> {
        let row = self.rows.get(&key_of_file(path, self.by));
        match row {
            Some(&row) => {
                self.usage.row_used(row as usize, path);
                Some(self.table.statements(row as usize))
            }
            None => {
                self.usage.file_without_row(path);
                None
            }
        }
    }

    /// Remembers that a file is there, so that its row is about something, whether or not anybody asks what it states.
    pub fn notice(&self, path: &AssetPath) {
        if let Some(&row) = self.rows.get(&key_of_file(path, self.by)) {
            self.usage.row_noticed(row as usize);
        }
    }

    /// What the joins so far left over.
    pub fn report(&self) -> JoinReport {
        let mut report = self.usage.report(|row| OrphanRow {
            row: self.table.number(row),
            key: self.keys[row].to_string(),
        });
        let shared = report.shared.first.iter().map(|shared| Finding {
            subject: self.table.name().to_owned(),
            message: shared.message(),
        });
        report.findings = self
            .table
            .findings()
            .iter()
            .cloned()
            .chain(shared)
            .collect();
        report
    }
}

/// Without its cells, which nobody wants in a log.
impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sheet")
            .field("name", &self.table.name())
            .field("rows", &self.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Which row each key is about. A row without a key is about no file, and will be listed as such.
fn index(table: &Table, keys: &[Box<str>], by: JoinBy) -> Result<HashMap<String, u32>> {
    let mut rows: HashMap<String, u32> = HashMap::with_capacity(keys.len());
    let mut first: Option<(u32, usize)> = None;
    let mut repeated = 0_usize;
    for (row, key) in keys.iter().enumerate().filter(|(_, key)| !key.is_empty()) {
        match rows.entry(key_of_cell(key, by)) {
            Entry::Vacant(free) => {
                free.insert(row as u32);
            }
            Entry::Occupied(earlier) => {
                first.get_or_insert((*earlier.get(), row));
                repeated += 1;
            }
        }
    }
    let Some((earlier, later)) = first else {
        return Ok(rows);
    };
    let (a, b) = (table.number(earlier as usize), table.number(later));
    let more = match repeated {
        1 => String::new(),
        _ => format!(", and {} more rows repeat a key", repeated - 1),
    };
    let what = format!(
        "has the key {:?} in row {a} and in row {b}{more}",
        keys[later]
    );
    Err(refused(table.name(), &what)
        .with_hint("leave one row for each file; keys that differ only in case are the same"))
}

fn key_of_cell(text: &str, by: JoinBy) -> String {
    let path = AssetPath::new(text.trim().replace('\\', "/").trim());
    match by {
        JoinBy::Path => path.key(),
        JoinBy::Name | JoinBy::Stem => fold_key(path.name()),
    }
}

fn key_of_file(path: &AssetPath, by: JoinBy) -> String {
    match by {
        JoinBy::Path | JoinBy::Name => key_of_cell(path.as_str(), by),
        JoinBy::Stem => {
            let name = path.name();
            let stem = name.rsplit_once('.').map(|(stem, _)| stem);
            // A name such as `.profile` has no extension.
            key_of_cell(stem.filter(|stem| !stem.is_empty()).unwrap_or(name), by)
        }
    }
}

/// A name of a column, in the form in which names are compared.
fn composed(text: &str) -> String {
    text.trim().nfc().collect()
}

fn digest(bytes: &[u8], options: &SheetOptions) -> Blake3 {
    let SheetOptions {
        key,
        by,
        worksheet,
        list_separator,
    } = options;
    // Written so that no two sets of options read the same.
    let read_by = format!(
        "{:?} {key:?} {by:?} {worksheet:?} {list_separator:?}",
        Blake3::of(bytes)
    );
    Blake3::of(read_by.as_bytes())
}

/// The error of a sheet that is not taken.
fn refused(name: &str, what: &str) -> Error {
    Error::new(Kind::Config, format!("the sheet {name} {what}"))
}

fn too_large(name: &str) -> Error {
    let limit = SHEET_BYTES_MAX >> 20;
    refused(name, &format!("is larger than {limit} MiB")).with_hint("split it")
}
