//! The cells of a sheet, packed: all text in one string, sixteen bytes a cell. A million cells of values of their own
//! would take several times as much.

use jiff::civil::Date;
use windlass_core::{Finding, Origin, Result, Statement, Value};

use super::{composed, refused};
use crate::stated::start_of;
use crate::twice;

/// The most columns. Plugins are given a statement for each, and no more than this from a file either.
const COLUMNS_MAX: usize = crate::STATEMENTS_MAX;

/// The most findings about cells.
pub(super) const FINDINGS_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Table {
    name: String,
    columns: Vec<Column>,
    /// The number of each row in the file, from 1.
    numbers: Vec<u32>,
    /// Row by row, as many a row as there are columns.
    cells: Vec<Cell>,
    text: String,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Column {
    /// Composed and without blanks around it. Empty where nothing may stand below.
    header: String,
    /// What separates the entries of its cells, if it is a column of lists.
    separator: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Cell {
    Blank,
    Text { start: u32, len: u32 },
    Number(i64),
    Decimal(f64),
    Date(Date),
    Boolean(bool),
}

impl Table {
    /// A table without rows. Headers that are twice the same are refused; blank ones may have nothing below them.
    pub(super) fn new(name: &str, headers: &[String]) -> Result<Self> {
        let columns: Vec<Column> = (headers.iter())
            .map(|header| Column {
                header: composed(header),
                separator: None,
            })
            .collect();
        if columns.len() > COLUMNS_MAX {
            let what = format!("has {} columns; {COLUMNS_MAX} are allowed", columns.len());
            return Err(refused(name, &what).with_hint("remove columns that nothing is read from"));
        }
        for (at, column) in columns.iter().enumerate() {
            let header = &column.header;
            let earlier = columns[..at].iter().position(|one| one.header == *header);
            if let Some(earlier) = earlier.filter(|_| !header.is_empty()) {
                let what = format!(
                    "has the header {header:?} in columns {} and {}",
                    earlier + 1,
                    at + 1
                );
                return Err(refused(name, &what).with_hint("rename or remove one of them"));
            }
        }
        Ok(Table {
            name: name.to_owned(),
            columns,
            numbers: Vec::new(),
            cells: Vec::new(),
            text: String::new(),
            findings: Vec::new(),
        })
    }

    /// Adds a row; a blank one is none. `values` may be shorter or longer than the header as long as what is over is
    /// blank.
    pub(super) fn push(&mut self, number: u32, values: Vec<Option<Value>>) -> Result<()> {
        if values.iter().all(Option::is_none) {
            return Ok(());
        }
        let width = self.columns.len();
        for (at, _) in values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_some())
        {
            if self
                .columns
                .get(at)
                .is_none_or(|column| column.header.is_empty())
            {
                let what = format!(
                    "has a value in row {number}, column {}, which has no header",
                    at + 1
                );
                return Err(refused(&self.name, &what)
                    .with_hint("give the column a header in the first row, or clear it"));
            }
        }
        let blank = std::iter::repeat_with(|| None);
        for (at, value) in values.into_iter().chain(blank).take(width).enumerate() {
            let cell = self.packed(number, at, value)?;
            self.cells.push(cell);
        }
        self.numbers.push(number);
        Ok(())
    }

    /// Says something about the sheet; what is beyond the bound is wrong in the same way.
    pub(super) fn remark(&mut self, message: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding {
                subject: self.name.clone(),
                message,
            });
        }
    }

    /// Makes columns of lists of those in which the separator is.
    pub(super) fn split_lists(&mut self, separator: &str) {
        if separator.is_empty() {
            return;
        }
        for at in 0..self.columns.len() {
            let mut cells = self.cells.iter().skip(at).step_by(self.columns.len());
            let is_list = cells.any(|cell| self.text_of(cell).contains(separator));
            self.columns[at].separator = is_list.then(|| separator.to_owned());
        }
    }

    /// Where a column is.
    pub(super) fn column(&self, header: &str) -> Result<usize> {
        let wanted = composed(header);
        let found = self
            .columns
            .iter()
            .position(|column| column.header == wanted);
        found.filter(|_| !wanted.is_empty()).ok_or_else(|| {
            let headers = self.columns.iter().map(|column| column.header.as_str());
            let headers: Vec<&str> = headers
                .filter(|header| !header.is_empty())
                .take(30)
                .collect();
            refused(&self.name, &format!("has no column {wanted:?}"))
                .with_hint(format!("its columns are: {}", headers.join(", ")))
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// The number of a row in the file, from 1.
    pub(super) fn number(&self, row: usize) -> u32 {
        self.numbers[row]
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What a cell shows.
    pub(super) fn text(&self, row: usize, column: usize) -> String {
        let cell = &self.cells[row * self.columns.len() + column];
        match cell {
            Cell::Blank | Cell::Text { .. } => self.text_of(cell).to_owned(),
            Cell::Number(number) => number.to_string(),
            Cell::Decimal(decimal) => decimal.to_string(),
            Cell::Date(date) => date.to_string(),
            Cell::Boolean(boolean) => boolean.to_string(),
        }
    }

    pub(super) fn statements(&self, row: usize) -> Vec<Statement> {
        let width = self.columns.len();
        let cells = &self.cells[row * width..(row + 1) * width];
        let stated = self.columns.iter().zip(cells).filter_map(|(column, cell)| {
            Some(Statement {
                origin: Origin::Sheet,
                name: column.header.clone(),
                value: self.value(column, cell)?,
            })
        });
        stated.collect()
    }

    fn value(&self, column: &Column, cell: &Cell) -> Option<Value> {
        Some(match (cell, &column.separator) {
            (Cell::Blank, _) => return None,
            (Cell::Text { .. }, None) => Value::Text(self.text_of(cell).to_owned()),
            (Cell::Text { .. }, Some(separator)) => {
                let items = self.text_of(cell).split(separator.as_str()).map(str::trim);
                let items: Vec<String> = items
                    .filter(|item| !item.is_empty())
                    .map(str::to_owned)
                    .collect();
                return (!items.is_empty()).then_some(Value::Keywords(items));
            }
            (Cell::Number(number), _) => Value::Number(*number),
            (Cell::Decimal(decimal), _) => Value::Decimal(*decimal),
            (Cell::Date(date), _) => Value::Date(*date),
            (Cell::Boolean(boolean), _) => Value::Boolean(*boolean),
        })
    }

    fn text_of(&self, cell: &Cell) -> &str {
        match cell {
            Cell::Text { start, len } => {
                let start = *start as usize;
                &self.text[start..start + *len as usize]
            }
            _ => "",
        }
    }

    fn packed(&mut self, row: u32, column: usize, value: Option<Value>) -> Result<Cell> {
        Ok(match value {
            Some(Value::Text(text)) => {
                let text = match twice::undone(&text) {
                    Some(meant) => {
                        self.remark(format!(
                            "row {row}, column {}: encoded twice; read {:?} as {:?}",
                            self.columns[column].header,
                            start_of(&text),
                            start_of(&meant)
                        ));
                        meant
                    }
                    None => text,
                };
                let span = (u32::try_from(self.text.len()), u32::try_from(text.len()));
                let (Ok(start), Ok(len)) = span else {
                    return Err(
                        refused(&self.name, "has more than 4 GiB of text").with_hint("split it")
                    );
                };
                self.text.push_str(&text);
                Cell::Text { start, len }
            }
            Some(Value::Number(number)) => Cell::Number(number),
            Some(Value::Decimal(decimal)) => Cell::Decimal(decimal),
            Some(Value::Date(date)) => Cell::Date(date),
            Some(Value::Boolean(boolean)) => Cell::Boolean(boolean),
            // Lists are made of texts, once all of them are here.
            _ => Cell::Blank,
        })
    }
}
