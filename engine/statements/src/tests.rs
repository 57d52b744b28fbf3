mod containers;
mod exif;
mod iim;
mod mutations;
mod sheet;
mod twice;
mod workbook;
mod write;
mod xmp;

use windlass_core::{Stated, Statement, Value};

use crate::{END_BYTES, Ends, embedded};

/// Reads a file as its caller does: whole if it is small, else both ends.
fn stated(file: &[u8]) -> Stated {
    let (end, size) = (END_BYTES as usize, file.len());
    let ends = match size > 2 * end {
        true => Ends {
            head: &file[..end],
            tail: &file[size - end..],
            size: size as u64,
        },
        false => Ends::whole(file),
    };
    embedded("a file", &ends)
}

fn value<'a>(stated: &'a Stated, name: &str) -> Option<&'a Value> {
    let mut found = stated.statements.iter().filter(|one| one.name == name);
    let first: Option<&Statement> = found.next();
    assert!(found.next().is_none(), "{name} is stated twice");
    first.map(|one| &one.value)
}

fn messages(stated: &Stated) -> Vec<&str> {
    let findings = stated.findings.iter();
    findings.map(|finding| finding.message.as_str()).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn list(items: &[&str]) -> Value {
    Value::Keywords(items.iter().map(|&item| item.to_owned()).collect())
}
