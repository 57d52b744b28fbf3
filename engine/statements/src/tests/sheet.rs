use std::time::{Duration, Instant};

use proptest::prelude::*;
use windlass_core::{AssetPath, Error, Kind, Origin, Result, Value};

use super::write::SCRIPTS;
use super::{list, text};
use crate::{JoinBy, LISTED_MAX, Sheet, SheetOptions};

pub(super) fn options(by: JoinBy) -> SheetOptions {
    SheetOptions {
        key: "File".to_owned(),
        by,
        ..SheetOptions::default()
    }
}

fn read(csv: impl AsRef<[u8]>, by: JoinBy) -> Result<Sheet> {
    Sheet::of_bytes("list.csv", csv.as_ref(), &options(by))
}

fn error(csv: impl AsRef<[u8]>) -> Error {
    let error = read(csv, JoinBy::Path).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.hint().is_some(), "{error}");
    error
}

pub(super) fn joined(sheet: &Sheet, path: &str) -> Option<Vec<(String, Value)>> {
    let statements = sheet.join(&AssetPath::new(path))?;
    assert!(statements.iter().all(|one| one.origin == Origin::Sheet));
    Some(
        statements
            .into_iter()
            .map(|one| (one.name, one.value))
            .collect(),
    )
}

/// The value of the column `Title`.
fn title(sheet: &Sheet, path: &str) -> Option<Value> {
    let all = joined(sheet, path)?;
    all.into_iter()
        .find(|(name, _)| name == "Title")
        .map(|(_, value)| value)
}

#[test]
fn text_of_every_script_joins_and_comes_out_in_every_encoding_and_with_every_delimiter() {
    for script in SCRIPTS {
        for delimiter in [",", ";", "\t"] {
            let csv = format!(
                "File{delimiter}Title\r\n{script}.jpg{delimiter}\"{script}, {script}; \"\"x\"\"\"\r\n"
            );
            let marked = |csv: &str| format!("\u{feff}{csv}");
            let little: Vec<u8> = marked(&csv)
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect();
            let big: Vec<u8> = marked(&csv)
                .encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect();
            for bytes in [
                csv.clone().into_bytes(),
                marked(&csv).into_bytes(),
                little,
                big,
            ] {
                let sheet = read(&bytes, JoinBy::Path).unwrap();
                let expected = text(&format!("{script}, {script}; \"x\""));
                assert_eq!(title(&sheet, &format!("{script}.jpg")), Some(expected));
            }
        }
    }
}

#[test]
fn paths_join_whatever_their_case_normal_form_and_slashes() {
    let csv = "File,Title\nPhotos\\Jalapeño.JPG,composed\n/photos/Mu\u{308}nchen.jpg,decomposed\n  c.jpg ,blanks\n";
    let sheet = read(csv, JoinBy::Path).unwrap();
    assert_eq!(
        title(&sheet, "/photos/jalapen\u{303}o.jpg"),
        Some(text("composed"))
    );
    assert_eq!(
        title(&sheet, "/Photos/MÜNCHEN.jpg"),
        Some(text("decomposed"))
    );
    assert_eq!(title(&sheet, "/c.jpg"), Some(text("blanks")));
    assert_eq!(joined(&sheet, "/Jalapeño.jpg"), None);
}

#[test]
fn names_and_stems_join_in_any_folder() {
    let sheet = read("File,Title\nold/A.tif,one\n", JoinBy::Name).unwrap();
    assert_eq!(title(&sheet, "/new/a.TIF"), Some(text("one")));
    assert_eq!(joined(&sheet, "/new/a.jpg"), None);
    let sheet = read("File,Title\nA.1,one\n.profile,two\n", JoinBy::Stem).unwrap();
    assert_eq!(title(&sheet, "/x/a.1.jpg"), Some(text("one")));
    assert_eq!(title(&sheet, "/x/.profile"), Some(text("two")));
    assert_eq!(joined(&sheet, "/x/a.jpg"), None);
}

#[test]
fn blank_cells_state_nothing_and_blank_rows_are_none() {
    let sheet = read(
        "File,Title,Note,\n\na.jpg,, ,\n,,,\nb.jpg,x,\" y \",\n",
        JoinBy::Path,
    )
    .unwrap();
    assert_eq!(sheet.len(), 2);
    assert_eq!(
        joined(&sheet, "a.jpg").unwrap(),
        [("File".to_owned(), text("a.jpg"))]
    );
    let names = ["File", "Title", "Note"].map(str::to_owned);
    let values = ["b.jpg", "x", " y "].map(text);
    assert_eq!(
        joined(&sheet, "b.jpg").unwrap(),
        Vec::from_iter(names.into_iter().zip(values))
    );
}

#[test]
fn a_column_with_the_separator_in_it_is_a_column_of_lists() {
    let options = SheetOptions {
        list_separator: Some("|".to_owned()),
        ..options(JoinBy::Path)
    };
    let csv = "File,Tags,Title\na.jpg,red | green|,plain\nb.jpg,blue,\n";
    let sheet = Sheet::of_bytes("list.csv", csv.as_bytes(), &options).unwrap();
    let of = |path: &str, name: &str| {
        joined(&sheet, path)
            .unwrap()
            .into_iter()
            .find(|one| one.0 == name)
            .map(|one| one.1)
    };
    assert_eq!(of("a.jpg", "Tags"), Some(list(&["red", "green"])));
    assert_eq!(of("b.jpg", "Tags"), Some(list(&["blue"])));
    assert_eq!(of("a.jpg", "Title"), Some(text("plain")));
}

#[test]
fn what_is_ambiguous_is_refused_with_its_place() {
    let cases: [(&[u8], &str); 11] = [
        (b"", "the sheet list.csv is empty"),
        (
            b"Name,Title\na,b\n",
            "the sheet list.csv has no column \"File\"",
        ),
        (
            b"File,Title, Title\n",
            "the sheet list.csv has the header \"Title\" in columns 2 and 3",
        ),
        (
            b"File,\na.jpg,x\n",
            "the sheet list.csv has a value in row 2, column 2, which has no header",
        ),
        (
            b"File\r\nA.jpg\r\n\r\nb.jpg\r\n/a.JPG\r\n",
            "the sheet list.csv has the key \"/a.JPG\" in row 2 and in row 5",
        ),
        (
            b"File\na\na\na\nb\nb\n",
            "the sheet list.csv has the key \"a\" in row 2 and in row 3, and 2 more rows repeat a key",
        ),
        (
            b"File,Title\na,b\nK\xf6ln,c\n",
            "the sheet list.csv is not UTF-8 in line 3: byte 2 is 0xf6",
        ),
        (
            b"F\0i\0l\0e\0",
            "the sheet list.csv is not UTF-8 in line 1: byte 2 is zero, as in UTF-16 or in a file that is no text",
        ),
        (
            b"\xff\xfeF",
            "the sheet list.csv is marked as UTF-16 and is not valid",
        ),
        (
            b"File,Title\na,\"two\nlines\"\nb,\"never closed\nc,d\n",
            "the sheet list.csv has a quotation mark from line 4 on that is never closed",
        ),
        (
            b"File,Title\na,b\nc\n",
            "the sheet list.csv has 1 fields in line 3 and 2 in the header",
        ),
    ];
    for (csv, message) in cases {
        assert_eq!(error(csv).message(), message);
    }
    assert!(
        error("File,Title\na,b,c\n")
            .message()
            .contains("3 fields in line 2")
    );
    assert!(
        error("Name,Title\n")
            .hint()
            .unwrap()
            .ends_with("Name, Title")
    );
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    for line_break in ["\n", "\r\n", "\r"] {
        let csv = ["", "File,Title", "a,\"x", "y\"", "", "b,z", "a,again", ""].join(line_break);
        assert!(error(csv).message().contains("in row 3 and in row 7"));
    }
}

#[test]
fn rows_without_a_file_and_files_without_a_row_are_listed() {
    let sheet = read("File,Title\na.jpg,x\nB.jpg,y\n,no key\n", JoinBy::Path).unwrap();
    for path in ["/a.jpg", "/z.jpg", "/c.jpg", "/z.jpg", "/a.jpg"] {
        joined(&sheet, path);
    }
    let report = sheet.report();
    let rows: Vec<(u32, &str)> = report
        .orphan_rows
        .first
        .iter()
        .map(|row| (row.row, &*row.key))
        .collect();
    assert_eq!(
        (rows, report.orphan_rows.total),
        (vec![(3, "B.jpg"), (4, "")], 2)
    );
    let files = ["/c.jpg", "/z.jpg"].map(AssetPath::new);
    assert_eq!(
        (&report.orphan_files.first[..], report.orphan_files.total),
        (&files[..], 2)
    );
    assert_eq!((report.shared.total, report.findings.len()), (0, 0));
}

#[test]
fn a_row_that_several_files_use_is_reported() {
    let sheet = read("File\na.jpg\nb.jpg\n", JoinBy::Name).unwrap();
    for path in [
        "/5/a.jpg", "/2/a.jpg", "/1/a.jpg", "/3/a.jpg", "/1/b.jpg", "/1/b.jpg",
    ] {
        assert!(joined(&sheet, path).is_some());
    }
    let report = sheet.report();
    assert_eq!(report.shared.total, 1);
    let message =
        "row 2 (a.jpg) is meant for one file and was used by /1/a.jpg, /2/a.jpg, /3/a.jpg and more";
    assert_eq!(report.findings[0].message, message);
}

#[test]
fn lists_of_what_was_left_over_are_bounded_and_their_totals_are_not() {
    let many = 3 * LISTED_MAX;
    let rows: String = (0..many).map(|n| format!("{n:05}\n")).collect();
    let sheet = read(format!("File\n{rows}"), JoinBy::Path).unwrap();
    for n in (0..many).rev() {
        joined(&sheet, &format!("/other/{n:05}"));
    }
    let report = sheet.report();
    assert_eq!(
        (report.orphan_rows.first.len(), report.orphan_rows.total),
        (LISTED_MAX, many)
    );
    assert_eq!(
        (report.orphan_files.first.len(), report.orphan_files.total),
        (LISTED_MAX, many)
    );
    assert_eq!(report.orphan_files.first[0], AssetPath::new("/other/00000"));
}

#[test]
fn many_threads_leave_the_same_report_as_one() {
    let rows: String = (0..200).map(|n| format!("{n}\n")).collect();
    let report = |threads: usize| {
        let sheet = read(format!("File\n{rows}"), JoinBy::Name).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let sheet = &sheet;
                scope.spawn(move || {
                    for n in (thread..1200).step_by(threads) {
                        joined(sheet, &format!("/{}/{}", n % 5, n / 4));
                    }
                });
            }
        });
        sheet.report()
    };
    assert_eq!(report(1), report(4));
}

#[test]
fn a_cell_that_is_encoded_twice_is_repaired_and_reported() {
    let sheet = read("File,Title\nMÃ¼nchen.jpg,schÃ¶n\n", JoinBy::Path).unwrap();
    assert_eq!(title(&sheet, "/München.jpg"), Some(text("schön")));
    let message = "row 2, column Title: encoded twice; read \"schÃ¶n\" as \"schön\"";
    assert_eq!(sheet.report().findings[1].message, message);
}

#[test]
fn a_sheet_is_read_from_a_file_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    std::fs::write(&path, "File,Title\na.jpg,x\n").unwrap();
    let sheet = Sheet::read(&path, &options(JoinBy::Path)).unwrap();
    assert_eq!(title(&sheet, "a.jpg"), Some(text("x")));
    let missing = Sheet::read(&folder.path().join("none.csv"), &options(JoinBy::Path)).unwrap_err();
    assert_eq!(missing.kind(), Kind::Config);
    assert!(missing.message().contains("none.csv"));
}

#[test]
fn old_excel_files_are_refused_in_words() {
    assert!(
        error(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
            .message()
            .contains("before 2007")
    );
}

/// With `--release`: 50,000 rows of 30 columns in well under a second.
#[test]
fn large_sheets_are_read_in_seconds() {
    let rows = if cfg!(debug_assertions) {
        5_000
    } else {
        50_000
    };
    let header: String = (0..29).map(|n| format!(",Column {n}")).collect();
    let row = ",Some text, größer".repeat(14) + ",x";
    let body: String = (0..rows)
        .map(|n| format!("folder/{n}.jpg{row}\n"))
        .collect();
    let csv = format!("File{header}\n{body}");
    let started = Instant::now();
    let sheet = read(csv, JoinBy::Path).unwrap();
    assert_eq!(joined(&sheet, "/folder/4999.jpg").unwrap().len(), 30);
    assert_eq!(sheet.len(), rows);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for start in [&b""[..], b"File,Title\n", b"\xff\xfe", b"PK\x03\x04"] {
            if let Err(error) = read([start, &bytes].concat(), JoinBy::Stem) {
                prop_assert_eq!(error.kind(), Kind::Config);
            }
        }
    }

    #[test]
    fn what_was_written_as_csv_is_read_back(cells in proptest::collection::vec("[a-zö\"\n,; ]{0,6}", 1..20)) {
        let mut csv = "File;\"Ti;tle\"\n".to_owned();
        for (row, cell) in cells.iter().enumerate() {
            let cell = cell.replace('"', "\"\"");
            csv.push_str(&format!("{row};\"{cell}\"\n"));
        }
        let sheet = read(csv, JoinBy::Path).unwrap();
        for (row, cell) in cells.iter().enumerate() {
            let stated = joined(&sheet, &row.to_string()).unwrap();
            let expected = (!cell.trim().is_empty()).then(|| text(cell));
            prop_assert_eq!(stated.get(1).map(|one| &one.1), expected.as_ref());
        }
    }
}

#[test]
fn the_digest_covers_the_bytes_and_how_they_are_joined() {
    let bytes = b"File,Other,Title\na.jpg,b.jpg,x\n";
    let options = |key: &str, by, separator: Option<&str>| SheetOptions {
        key: key.to_owned(),
        by,
        worksheet: None,
        list_separator: separator.map(str::to_owned),
    };
    let digest = |bytes: &[u8], options: &SheetOptions| {
        Sheet::of_bytes("sheet.csv", bytes, options)
            .unwrap()
            .digest()
    };
    let first = digest(bytes, &options("File", JoinBy::Name, None));
    assert_eq!(digest(bytes, &options("File", JoinBy::Name, None)), first);
    for other in [
        options("Other", JoinBy::Name, None),
        options("File", JoinBy::Path, None),
        options("File", JoinBy::Name, Some(";")),
    ] {
        assert_ne!(digest(bytes, &other), first, "{other:?}");
    }
    let changed = b"File,Other,Title\na.jpg,b.jpg,y\n";
    assert_ne!(digest(changed, &options("File", JoinBy::Name, None)), first);
}

#[test]
fn a_row_about_a_file_that_nobody_asks_about_is_no_orphan() {
    let bytes = b"File,Title\na.jpg,x\nb.jpg,y\n";
    let sheet = read(bytes, JoinBy::Name).unwrap();
    sheet.notice(&AssetPath::new("/drafts/a.jpg"));
    sheet.notice(&AssetPath::new("/drafts/c.jpg"));
    let report = sheet.report();
    assert_eq!(
        (report.orphan_rows.total, report.orphan_files.total),
        (1, 0)
    );
    assert_eq!(report.orphan_rows.first[0].key, "b.jpg");
}
