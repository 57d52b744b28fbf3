use std::time::{Duration, Instant};

use jiff::civil::date;
use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};
use windlass_core::{Kind, Value};

use super::sheet::{joined, options};
use super::text;
use super::write::SCRIPTS;
use crate::{JoinBy, Sheet, SheetOptions};

/// A workbook with worksheets of these names, filled in order.
fn workbook(names: &[&str], fill: impl Fn(usize, &mut Worksheet)) -> Vec<u8> {
    let mut book = Workbook::new();
    for (at, name) in names.iter().enumerate() {
        let sheet = book.add_worksheet().set_name(*name).unwrap();
        fill(at, sheet);
    }
    book.save_to_buffer().unwrap()
}

fn row(sheet: &mut Worksheet, row: u32, cells: &[&str]) {
    for (column, cell) in cells.iter().enumerate() {
        sheet.write_string(row, column as u16, *cell).unwrap();
    }
}

fn read(bytes: &[u8]) -> Sheet {
    Sheet::of_bytes("list.xlsx", bytes, &options(JoinBy::Stem)).unwrap()
}

#[test]
fn cells_have_the_types_that_the_worksheet_gives_them() {
    let bytes = workbook(&["One"], |_, sheet| {
        row(
            sheet,
            2,
            &[
                "File", "Day", "Moment", "Time", "Whole", "Part", "Yes", "Text", "007",
            ],
        );
        let day = Format::new().set_num_format("dd.mm.yyyy");
        let moment = Format::new().set_num_format("dd.mm.yyyy hh:mm");
        sheet.write_number(4, 0, 4711).unwrap();
        let at = ExcelDateTime::from_ymd(2026, 2, 28).unwrap();
        sheet.write_datetime_with_format(4, 1, &at, &day).unwrap();
        let at = at.and_hms(13, 30, 0).unwrap();
        sheet
            .write_datetime_with_format(4, 2, &at, &moment)
            .unwrap();
        let time = Format::new().set_num_format("hh:mm");
        sheet.write_number_with_format(4, 3, 0.25, &time).unwrap();
        sheet.write_number(4, 4, -12).unwrap();
        sheet.write_number(4, 5, 0.5).unwrap();
        sheet.write_boolean(4, 6, true).unwrap();
        sheet.write_string(4, 7, " as stored ").unwrap();
        sheet.write_string(4, 8, "007").unwrap();
    });
    let sheet = read(&bytes);
    let expected = [
        ("File", Value::Number(4711)),
        ("Day", Value::Date(date(2026, 2, 28))),
        ("Moment", text("2026-02-28T13:30:00")),
        ("Time", text("06:00:00")),
        ("Whole", Value::Number(-12)),
        ("Part", Value::Decimal(0.5)),
        ("Yes", Value::Boolean(true)),
        ("Text", text(" as stored ")),
        ("007", text("007")),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(joined(&sheet, "/x/4711.jpg").unwrap(), expected);
    joined(&sheet, "/none.jpg");
    assert_eq!(sheet.report().orphan_files.total, 1);
}

#[test]
fn text_of_every_script_joins_and_comes_out_as_it_went_in() {
    let bytes = workbook(&["One"], |_, sheet| {
        row(sheet, 0, &["File", "Title"]);
        for (at, script) in SCRIPTS.iter().enumerate() {
            row(sheet, at as u32 + 1, &[script, script]);
        }
    });
    for script in SCRIPTS {
        let stated = joined(&read(&bytes), &format!("/folder/{script}.tif")).unwrap();
        assert_eq!(stated[1].1, text(script));
    }
}

#[test]
fn the_first_worksheet_that_is_shown_is_read_or_the_one_that_is_named() {
    let names = ["Hidden", "First", "Second"];
    let bytes = workbook(&names, |at, sheet| {
        // The writer hides no worksheet that is the active one.
        sheet.set_hidden(at == 0).set_active(at == 1);
        row(sheet, 0, &["File"]);
        row(sheet, 1, &[names[at]]);
    });
    assert!(joined(&read(&bytes), "First.jpg").is_some());
    let named = |name: &str| {
        let options = SheetOptions {
            worksheet: Some(name.to_owned()),
            ..options(JoinBy::Stem)
        };
        Sheet::of_bytes("list.xlsx", &bytes, &options)
    };
    assert!(joined(&named("Second").unwrap(), "Second.jpg").is_some());
    let error = named("Third").unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(
        error.hint(),
        Some("its worksheets are: Hidden, First, Second")
    );
}

#[test]
fn a_cell_that_could_not_be_computed_is_left_out_and_said() {
    let bytes = workbook(&["One"], |_, sheet| {
        row(sheet, 0, &["File", "Title"]);
        row(sheet, 1, &["a"]);
        sheet
            .write_formula(1, 1, Formula::new("NA()").set_result("#N/A"))
            .unwrap();
    });
    let sheet = read(&bytes);
    assert_eq!(joined(&sheet, "a.jpg").unwrap().len(), 1);
    let message = "row 2, column 2 is left out: it is the error #N/A";
    assert_eq!(sheet.report().findings[0].message, message);
}

#[test]
fn keys_that_are_twice_the_same_are_refused_with_their_rows() {
    let bytes = workbook(&["One"], |_, sheet| {
        row(sheet, 0, &["File"]);
        row(sheet, 3, &["Jalapeño"]);
        row(sheet, 8, &["jalapen\u{303}o"]);
    });
    let error = Sheet::of_bytes("list.xlsx", &bytes, &options(JoinBy::Stem)).unwrap_err();
    assert!(
        error.message().ends_with("in row 4 and in row 9"),
        "{error}"
    );
}

/// A reader that makes up the cells between would want 17 thousand million of them.
#[test]
fn a_lone_cell_in_the_last_corner_costs_nothing() {
    let bytes = workbook(&["One"], |_, sheet| {
        row(sheet, 0, &["File"]);
        row(sheet, 1, &["a"]);
        sheet.write_string(1_048_575, 16_383, "x").unwrap();
    });
    let error = Sheet::of_bytes("list.xlsx", &bytes, &options(JoinBy::Stem)).unwrap_err();
    assert!(
        error
            .message()
            .ends_with("in row 1048576, column 16384, which has no header")
    );
}

/// With `--release`: 50,000 rows of 30 columns in a second or two.
#[test]
fn large_workbooks_are_read_in_seconds() {
    let rows: u32 = if cfg!(debug_assertions) { 500 } else { 50_000 };
    let bytes = workbook(&["One"], |_, sheet| {
        let headers: Vec<String> = (0..29).map(|n| format!("Column {n}")).collect();
        let headers: Vec<&str> = ["File"]
            .into_iter()
            .chain(headers.iter().map(String::as_str))
            .collect();
        row(sheet, 0, &headers);
        for at in 1..=rows {
            let key = at.to_string();
            let cells: Vec<&str> = [&*key]
                .into_iter()
                .chain(["some text, größer"; 29])
                .collect();
            row(sheet, at, &cells);
        }
    });
    let started = Instant::now();
    assert_eq!(read(&bytes).len(), rows as usize);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_damaged_workbook_is_read_or_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = workbook(&["One"], |_, sheet| row(sheet, 0, &["File", "Title"]));
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = Sheet::of_bytes("list.xlsx", &bytes, &options(JoinBy::Stem)) {
            prop_assert_eq!(error.kind(), Kind::Config);
        }
    }
}
