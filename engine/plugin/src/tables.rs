//! The operator's tables that guests look things up in: client codes, markets, channels.

use std::collections::BTreeMap;

use serde::Serialize;
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
    pub(crate) fn cell(&self, key: &str, column: Option<&str>) -> Result<Option<&str>, NoColumn> {
        let index = match column {
            None if self.columns.is_empty() => return Err(NoColumn),
            None => 0,
            Some(name) => self
                .columns
                .iter()
                .position(|c| c == name)
                .ok_or(NoColumn)?,
        };
        Ok(self.rows.get(key).map(|cells| cells[index].as_str()))
    }
}

/// The table has no column of that name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoColumn;

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
        assert_eq!(table.cell("ACME", Some("city")), Err(NoColumn));
        assert_eq!(Table::default().cell("ACME", None), Err(NoColumn));
    }

    #[test]
    fn a_ragged_or_repeated_row_is_refused() {
        let columns = || vec!["name".to_owned()];
        assert!(Table::of_rows(columns(), [("A".to_owned(), vec![])]).is_err());
        let twice = ["1", "2"].map(|cell| ("A".to_owned(), vec![cell.to_owned()]));
        assert!(Table::of_rows(columns(), twice).is_err());
    }
}
