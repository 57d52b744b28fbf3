//! The operator's tables that guests look things up in: client codes, markets, channels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_core::{Error, Kind, Result};

/// Tables by name.
pub type Tables = BTreeMap<String, Table>;

/// One table: rows by key, each with a cell per column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    columns: Vec<String>,
    rows: BTreeMap<String, Vec<String>>,
}

impl Table {
    /// A table of keys and one value each; the column is called `value`.
    pub fn of_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let row = |(key, value): (K, V)| (key.into(), vec![value.into()]);
        Table {
            columns: vec!["value".to_owned()],
            rows: pairs.into_iter().map(row).collect(),
        }
    }

    /// A table with named columns. Fails if a row is longer or shorter than the header, or a key
    /// comes twice.
    pub fn of_rows(
        columns: Vec<String>,
        rows: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> Result<Self> {
        let mut table = Table {
            columns,
            rows: BTreeMap::new(),
        };
        for (key, cells) in rows {
            if cells.len() != table.columns.len() {
                let (given, wanted) = (cells.len(), table.columns.len());
                return Err(Error::new(
                    Kind::Config,
                    format!("the table's row {key:?} has {given} cells for {wanted} columns"),
                ));
            }
            if table.rows.insert(key.clone(), cells).is_some() {
                return Err(Error::new(
                    Kind::Config,
                    format!("the table has {key:?} twice"),
                ));
            }
        }
        Ok(table)
    }

    /// The cell under `key`; without a column, the first. `Err` if there is no such column.
    pub(crate) fn cell(&self, key: &str, column: Option<&str>) -> Result<Option<&str>, Missing> {
        let index = match column {
            None if self.columns.is_empty() => return Err(Missing::Column),
            None => 0,
            Some(name) => self
                .columns
                .iter()
                .position(|c| c == name)
                .ok_or(Missing::Column)?,
        };
        Ok(self.rows.get(key).map(|cells| cells[index].as_str()))
    }
}

/// What there is not of what was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Missing {
    /// A table of that name.
    Table,
    /// A column of that name.
    Column,
}

/// What a guest looked up, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lookup {
    pub(crate) table: String,
    pub(crate) key: String,
    pub(crate) column: Option<String>,
    pub(crate) found: Result<Option<String>, Missing>,
}

/// Tables that answer these lookups as they were answered, whatever else the tables had.
pub(crate) fn of_lookups(lookups: &[Lookup]) -> Tables {
    let mut tables = Tables::new();
    // The column that is found without a name is the first.
    let (unnamed, named): (Vec<_>, Vec<_>) = lookups
        .iter()
        .filter(|lookup| lookup.found != Err(Missing::Table))
        .partition(|lookup| lookup.column.is_none());
    for lookup in unnamed.into_iter().chain(named) {
        let table = tables.entry(lookup.table.clone()).or_default();
        let Ok(found) = &lookup.found else {
            continue;
        };
        let name = lookup.column.clone().unwrap_or_default();
        let place = table.columns.iter().position(|column| *column == name);
        let place = place.unwrap_or_else(|| {
            table.columns.push(name);
            table
                .rows
                .values_mut()
                .for_each(|cells| cells.push(String::new()));
            table.columns.len() - 1
        });
        if let Some(cell) = found {
            let width = table.columns.len();
            let row = table.rows.entry(lookup.key.clone());
            row.or_insert_with(|| vec![String::new(); width])[place].clone_from(cell);
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_found_by_key_and_column() {
        let columns = vec!["name".to_owned(), "market".to_owned()];
        let rows = [(
            "ACME".to_owned(),
            vec!["Acme".to_owned(), "DACH".to_owned()],
        )];
        let table = Table::of_rows(columns, rows).unwrap();
        assert_eq!(table.cell("ACME", None), Ok(Some("Acme")));
        assert_eq!(table.cell("ACME", Some("market")), Ok(Some("DACH")));
        assert_eq!(table.cell("OTHER", None), Ok(None));
        assert_eq!(table.cell("ACME", Some("city")), Err(Missing::Column));
        assert_eq!(Table::default().cell("ACME", None), Err(Missing::Column));
    }

    #[test]
    fn tables_made_of_lookups_answer_them_again() {
        let lookup = |table: &str, key: &str, column: Option<&str>, found| Lookup {
            table: table.to_owned(),
            key: key.to_owned(),
            column: column.map(str::to_owned),
            found,
        };
        let found = |text: &str| Ok(Some(text.to_owned()));
        let lookups = [
            lookup("clients", "ACME", Some("market"), found("DACH")),
            lookup("clients", "ACME", None, found("Acme")),
            lookup("clients", "ACME", Some("city"), Err(Missing::Column)),
            lookup("clients", "OTHER", None, Ok(None)),
            lookup("clients", "NORD", Some("market"), found("EMEA")),
            lookup("empty", "A", None, Err(Missing::Column)),
            lookup("none", "A", None, Err(Missing::Table)),
        ];
        let tables = of_lookups(&lookups);
        for Lookup {
            table,
            key,
            column,
            found,
        } in &lookups
        {
            let again = tables.get(table).ok_or(Missing::Table);
            let again = again.and_then(|table| table.cell(key, column.as_deref()));
            assert_eq!(
                again.map(|cell| cell.map(str::to_owned)),
                *found,
                "{table} {key} {column:?}"
            );
        }
    }

    #[test]
    fn a_ragged_or_repeated_row_is_refused() {
        let columns = || vec!["name".to_owned()];
        assert!(Table::of_rows(columns(), [("A".to_owned(), vec![])]).is_err());
        let twice = ["1", "2"].map(|cell| ("A".to_owned(), vec![cell.to_owned()]));
        assert!(Table::of_rows(columns(), twice).is_err());
    }
}
