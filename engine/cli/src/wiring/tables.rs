//! A customer's lookup tables: CSV with a header, or JSON.

use std::path::Path;

use windlass_core::{Error, Kind, Result};
use windlass_plugin::Table;

/// Reads a table; `key` names it in messages. The first column of a CSV (`,`, `;` or tab) is the key; a JSON file is one
/// object, from key to a text or to an object of texts.
pub(super) fn read(key: &str, file: &Path) -> Result<Table> {
    let bytes = std::fs::read(file).map_err(|error| {
        Error::new(Kind::Config, format!("{key}: the table cannot be read"))
            .with_context("file", file.display())
            .with_source(error)
    })?;
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes)).map_err(
        |_| {
            Error::new(Kind::Config, format!("{key}: the table is not UTF-8"))
                .with_context("file", file.display())
                .with_hint("save it again as UTF-8")
        },
    )?;
    let read = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => json(text),
        _ => csv(text),
    };
    read.map_err(|why| {
        Error::new(Kind::Config, format!("{key}: {why}")).with_context("file", file.display())
    })
}

fn csv(text: &str) -> Result<Table, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    if header.len() < 2 {
        return Err(
            "a table has a column of keys and at least one more, separated by commas, semicolons or tabs"
                .to_owned(),
        );
    }
    let columns = header.iter().skip(1).map(str::to_owned).collect();
    let rows = reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| error.to_string())?;
            let mut cells = record.iter().map(str::to_owned);
            Ok((cells.next().unwrap_or_default(), cells.collect()))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Table::of_rows(columns, rows).map_err(|error| error.to_string())
}

/// What separates the columns of the first line: spreadsheets write what their language has.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last: a comma stands in headers such as `Name, City`.
    b",\t;".iter().copied().max_by_key(count).unwrap_or(b',')
}

fn json(text: &str) -> Result<Table, String> {
    let rows: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let plain: Option<Vec<(String, String)>> = rows
        .iter()
        .map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    if let Some(pairs) = plain {
        return Ok(Table::of_pairs(pairs));
    }
    let columns: std::collections::BTreeSet<String> = rows
        .values()
        .filter_map(serde_json::Value::as_object)
        .flat_map(|row| row.keys().cloned())
        .collect();
    let columns: Vec<String> = columns.into_iter().collect();
    let rows = rows
        .into_iter()
        .map(|(key, row)| {
            let row = row
                .as_object()
                .ok_or_else(|| format!("{key:?} is not an object of texts"))?;
            let cells = columns
                .iter()
                .map(|column| match row.get(column) {
                    None => Ok(String::new()),
                    Some(serde_json::Value::String(text)) => Ok(text.clone()),
                    Some(_) => Err(format!("{key:?}: {column:?} is not a text")),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok((key, cells))
        })
        .collect::<Result<Vec<_>, String>>()?;
    Table::of_rows(columns, rows).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, bytes: &[u8]) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        read("plugin.p.tables.t", &file)
    }

    #[test]
    fn csv_with_a_byte_order_mark_and_json_give_the_same_table() {
        let csv = table("t.csv", "\u{feff}code,name\nNORD, Nordlicht\n".as_bytes()).unwrap();
        let json = table("t.json", br#"{"NORD": {"name": "Nordlicht"}}"#).unwrap();
        assert_eq!(csv, json);
        for text in [
            "code;name\nNORD;Nordlicht\n",
            "code\tname\nNORD\tNordlicht\n",
        ] {
            assert_eq!(table("t.csv", text.as_bytes()).unwrap(), csv, "{text}");
        }
        let commas = table("t.csv", b"code;name, city\nNORD;Nordlicht, Kiel\n").unwrap();
        assert_ne!(commas, csv);
    }

    #[test]
    fn a_table_in_another_encoding_or_with_a_key_twice_is_refused() {
        let error = table("t.csv", b"code,name\nNORD,K\xf6ln\n").unwrap_err();
        assert!(error.to_string().contains("is not UTF-8"), "{error}");
        let error = table("t.csv", b"code,name\nA,x\nA,y\n").unwrap_err();
        assert!(error.to_string().contains("\"A\" twice"), "{error}");
    }
}
