//! CSV: what spreadsheet programs write as such, whatever they put between the fields.

use std::borrow::Cow;
use std::io::Read;

use csv::{ReaderBuilder, StringRecord};
use windlass_core::{Result, Value};

use super::refused;
use super::table::Table;

/// Read as a record of its own after all others. If it is not, a quoted field swallowed it and what is before it.
const END: &str = "\u{1}";

const SAVE_AS: &str = "save it as \"CSV UTF-8\" or as .xlsx";

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Table> {
    let text = decoded(name, bytes)?;
    let input = text.as_bytes();
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(&text))
        .from_reader(input.chain(b"\n\x01".as_slice()));
    let mut lines = Lines::of(input);
    let mut table: Option<Table> = None;
    let mut record = StringRecord::new();
    let mut line = 1;
    loop {
        let more = reader.read_record(&mut record).map_err(|error| {
            refused(name, &format!("cannot be read from line {line} on")).with_source(error)
        })?;
        if !more {
            let what = format!("has a quotation mark from line {line} on that is never closed");
            return Err(
                refused(name, &what).with_hint("close it, or double it if it is part of the text")
            );
        }
        if record.len() == 1 && &record[0] == END {
            break;
        }
        line = lines.at(record.position().map_or(0, |position| position.byte()));
        match &mut table {
            Some(table) => push(table, name, &record, line)?,
            None if record.iter().all(|field| field.trim().is_empty()) => {}
            None => {
                let headers: Vec<String> = record.iter().map(str::to_owned).collect();
                table = Some(Table::new(name, &headers)?);
            }
        }
    }
    table.ok_or_else(|| refused(name, "is empty").with_hint("its first row must be the header"))
}

fn push(table: &mut Table, name: &str, record: &StringRecord, line: u32) -> Result<()> {
    let values: Vec<Option<Value>> = (record.iter())
        .map(|field| (!field.trim().is_empty()).then(|| Value::Text(field.to_owned())))
        .collect();
    let (fields, width) = (values.len(), table.width());
    let surplus = values.get(width..).unwrap_or_default();
    // A field that is cut by a line break, or in two by a delimiter, would state something else.
    if fields < width || surplus.iter().any(Option::is_some) {
        let what = format!("has {fields} fields in line {line} and {width} in the header");
        return Err(refused(name, &what).with_hint(
            "put quotation marks around fields with line breaks or delimiters, or save it as .xlsx",
        ));
    }
    table.push(line, values)
}

/// Counts lines as editors show them.
struct Lines<'a> {
    bytes: &'a [u8],
    line_break: u8,
    at: usize,
    line: u32,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        // Old programs of the Macintosh write carriage returns alone.
        let line_break = match memchr::memchr(b'\n', bytes) {
            Some(_) => b'\n',
            None => b'\r',
        };
        Lines {
            bytes,
            line_break,
            at: 0,
            line: 1,
        }
    }

    /// The line of the record that begins at an offset or behind the line breaks there. Offsets must rise.
    fn at(&mut self, offset: u64) -> u32 {
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let breaks = rest
            .iter()
            .take_while(|&&byte| matches!(byte, b'\n' | b'\r'));
        let end = offset as usize + breaks.count();
        let passed = self.bytes.get(self.at..end).unwrap_or_default();
        self.line += passed
            .iter()
            .filter(|&&byte| byte == self.line_break)
            .count() as u32;
        self.at = end;
        self.line
    }
}

/// The text of the file. What is neither UTF-8 nor marked as UTF-16 is refused: every guess at it is wrong somewhere.
fn decoded<'a>(name: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(name, rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => wide(name, rest, u16::from_be_bytes).map(Cow::Owned),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            narrow(name, bytes).map(Cow::Borrowed)
        }
    }
}

fn narrow<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let refuse = |at: usize, why: &str| {
        let before = &bytes[..at];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let in_line = before
            .iter()
            .rev()
            .take_while(|&&byte| byte != b'\n')
            .count()
            + 1;
        let what = format!("is not UTF-8 in line {line}: byte {in_line} {why}");
        Err(refused(name, &what).with_hint(SAVE_AS))
    };
    match std::str::from_utf8(bytes) {
        Err(error) => {
            let at = error.valid_up_to();
            refuse(at, &format!("is 0x{:02x}", bytes[at]))
        }
        Ok(text) => match memchr::memchr(0, bytes) {
            Some(at) => refuse(at, "is zero, as in UTF-16 or in a file that is no text"),
            None => Ok(text),
        },
    }
}

fn wide(name: &str, bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text: Result<String, _> =
        char::decode_utf16(units.iter().map(|&pair| unit(pair))).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(refused(name, "is marked as UTF-16 and is not valid").with_hint(SAVE_AS)),
    }
}

/// The delimiter that is most often in the header outside quotation marks; a comma if there is none.
fn delimiter(text: &str) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                for (delimiter, count) in &mut counts {
                    *count += usize::from(byte == *delimiter);
                }
            }
        }
    }
    // Of equals the last is the greatest, so the comma stands last.
    counts.reverse();
    counts
        .iter()
        .max_by_key(|(_, count)| *count)
        .map_or(b',', |&(delimiter, _)| delimiter)
}
