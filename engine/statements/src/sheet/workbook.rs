//! XLSX: one worksheet, read cell by cell. What lies between the cells is not made up, so a lone cell in the last
//! corner of a worksheet costs no memory.

use std::io::Cursor;

use calamine::{DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx, XlsxError};
use jiff::civil::Date;
use windlass_core::{Error, Result, Value};

use super::refused;
use super::table::{FINDINGS_MAX, Table};

/// The most columns that XLSX has.
const COLUMNS_MAX: usize = 1 << 14;

/// Up to here every whole number is exactly a float.
const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

/// The cells of one row.
#[derive(Default)]
struct Row {
    /// From 1.
    number: u32,
    values: Vec<Option<Value>>,
}

/// What is built from the rows, of which the first is the header.
struct Rows<'a> {
    name: &'a str,
    table: Option<Table>,
    remarks: Vec<String>,
}

pub(super) fn read(name: &str, bytes: &[u8], worksheet: Option<&str>) -> Result<Table> {
    let damaged = |error| damaged(name, error);
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(damaged)?;
    let worksheet = chosen(name, &book, worksheet)?;
    let mut cells = book.worksheet_cells_reader(&worksheet).map_err(damaged)?;
    let mut rows = Rows {
        name,
        table: None,
        remarks: Vec::new(),
    };
    let mut row = Row::default();
    while let Some(cell) = cells.next_cell().map_err(damaged)? {
        let (at, column) = cell.get_position();
        let number = at.saturating_add(1);
        if number != row.number {
            rows.push(std::mem::take(&mut row))?;
            row.number = number;
        }
        let column = column as usize;
        let value = rows.value(cell.get_value(), number, column);
        if value.is_some() && column < COLUMNS_MAX {
            row.values.resize(row.values.len().max(column + 1), None);
            row.values[column] = value;
        }
    }
    rows.push(row)?;
    rows.finish(&worksheet)
}

/// The worksheet of that name, or the first that is shown.
fn chosen(name: &str, book: &Xlsx<Cursor<&[u8]>>, wanted: Option<&str>) -> Result<String> {
    let mut all = book.sheets_metadata().iter();
    let found = match wanted {
        Some(wanted) => all.find(|sheet| sheet.name == wanted),
        None => all.find(|sheet| {
            sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible
        }),
    };
    found.map(|sheet| sheet.name.clone()).ok_or_else(|| {
        let what = match wanted {
            Some(wanted) => format!("has no worksheet {wanted:?}"),
            None => "has no worksheet that is shown".to_owned(),
        };
        let names = book.sheet_names().join(", ");
        refused(name, &what).with_hint(format!("its worksheets are: {names}"))
    })
}

impl Rows<'_> {
    fn push(&mut self, row: Row) -> Result<()> {
        if row.values.iter().all(Option::is_none) {
            return Ok(());
        }
        match &mut self.table {
            Some(table) => table.push(row.number, row.values),
            None => {
                let headers: Vec<String> = row.values.into_iter().map(shown).collect();
                self.table = Some(Table::new(self.name, &headers)?);
                Ok(())
            }
        }
    }

    fn finish(self, worksheet: &str) -> Result<Table> {
        let Some(mut table) = self.table else {
            return Err(
                refused(self.name, &format!("is empty in worksheet {worksheet:?}"))
                    .with_hint("its first row must be the header"),
            );
        };
        self.remarks
            .into_iter()
            .for_each(|remark| table.remark(remark));
        Ok(table)
    }

    /// A cell's value; `None` for one that is blank or could not be computed.
    fn value(&mut self, data: &DataRef<'_>, row: u32, column: usize) -> Option<Value> {
        match data {
            DataRef::Empty => None,
            DataRef::Int(number) => Some(Value::Number(*number)),
            DataRef::Float(number) => Some(number_of(*number)),
            DataRef::String(text) => written(text),
            DataRef::SharedString(text) => written(text),
            DataRef::Bool(boolean) => Some(Value::Boolean(*boolean)),
            DataRef::DateTime(moment) => Some(moment_of(moment)),
            DataRef::DateTimeIso(text) => match text.parse::<Date>() {
                Ok(date) if text.len() == 10 => Some(Value::Date(date)),
                _ => written(text),
            },
            DataRef::DurationIso(text) => written(text),
            DataRef::Error(error) => {
                if self.remarks.len() < FINDINGS_MAX {
                    let column = column + 1;
                    self.remarks.push(format!(
                        "row {row}, column {column} is left out: it is the error {error}"
                    ));
                }
                None
            }
        }
    }
}

fn number_of(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        true => Value::Number(number as i64),
        false => Value::Decimal(number),
    }
}

fn written(text: &str) -> Option<Value> {
    (!text.trim().is_empty()).then(|| Value::Text(text.to_owned()))
}

/// A day, or as text a moment, a time of day or a span of time, which metadata have no type for.
fn moment_of(moment: &ExcelDateTime) -> Value {
    let days = moment.as_f64();
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    let time = format!("{hour:02}:{minute:02}:{second:02}");
    if moment.is_duration() || days < 0.0 {
        return Value::Text(format!("{days} days"));
    }
    if days < 1.0 {
        return Value::Text(time);
    }
    let date = Date::new(year as i16, month as i8, day as i8);
    match date {
        Ok(date) if days.fract() == 0.0 => Value::Date(date),
        _ => Value::Text(format!("{year:04}-{month:02}-{day:02}T{time}")),
    }
}

/// A header's text.
fn shown(value: Option<Value>) -> String {
    match value {
        Some(Value::Text(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Decimal(decimal)) => decimal.to_string(),
        Some(Value::Date(date)) => date.to_string(),
        Some(Value::Boolean(boolean)) => boolean.to_string(),
        _ => String::new(),
    }
}

fn damaged(name: &str, error: XlsxError) -> Error {
    refused(name, "cannot be read as XLSX")
        .with_hint("open it in a spreadsheet program and save it as .xlsx without a password")
        .with_source(error)
}
