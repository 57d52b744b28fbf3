//! The tables of a ledger, row by row: read as they are at one moment, and written elsewhere.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use windlass_core::{Error, Kind, Result};

use crate::error::explain;
use crate::place::{Database, Place};
use crate::rows::set;
use crate::statement::{json_without_nul, with_nul};

/// The tables that make up a ledger, those first that others refer to. What only tells the jots beside a ledger apart is
/// none of them.
pub(crate) const TABLES: [&str; 15] = [
    "identity",
    "run",
    "step",
    "tally",
    "content",
    "placement",
    "withdrawal",
    "hold",
    "conflict",
    "cursor",
    "call_count",
    "custody",
    "upload_session",
    "part",
    "intent",
];

/// A column as both databases know it.
#[derive(Debug)]
struct Column {
    name: String,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Number,
    Text,
    Blob,
}

// What a table of the one database has and the other has not is no part of a ledger.
const COLUMNS_OF_SQLITE: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";

const COLUMNS_OF_POSTGRES: &str = "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) \
     FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 \
     AND column_name <> 'rowid' ORDER BY ordinal_position";

async fn columns(
    place: &Place,
    connection: &mut AnyConnection,
    table: &'static str,
) -> Result<Vec<Column>> {
    let told = |error| explain(place, "read", error);
    let sql = match place.database() {
        Database::Sqlite => COLUMNS_OF_SQLITE,
        Database::Postgres => COLUMNS_OF_POSTGRES,
    };
    let rows = sqlx::query(sql)
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(told)?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in &rows {
        let kind: String = row.try_get(1).map_err(told)?;
        let holds = match kind.as_str() {
            "INTEGER" | "bigint" => Holds::Number,
            "TEXT" | "text" => Holds::Text,
            "BLOB" | "bytea" => Holds::Blob,
            other => {
                return Err(Error::new(
                    Kind::Unexpected,
                    format!("a bug: table {table} has a column of type {other}"),
                ));
            }
        };
        let name = row.try_get(0).map_err(told)?;
        columns.push(Column { name, holds });
    }
    Ok(columns)
}

/// The rows of a table as JSON objects: digests as hexadecimal digits.
pub(crate) async fn rows_of<'c>(
    place: &'c Place,
    connection: &'c mut AnyConnection,
    table: &'static str,
) -> Result<BoxStream<'c, Result<Value>>> {
    let columns = columns(place, connection, table).await?;
    let database = place.database();
    // Names come from the schema that this version made, not from anybody's input.
    let member = |Column { name, holds }: &Column| match (database, holds) {
        (Database::Sqlite, Holds::Blob) => {
            format!("'{name}', iif(\"{name}\" IS NULL, NULL, lower(hex(\"{name}\")))")
        }
        (Database::Postgres, Holds::Blob) => format!("'{name}', encode(\"{name}\", 'hex')"),
        (_, Holds::Number | Holds::Text) => format!("'{name}', \"{name}\""),
    };
    let members: Vec<String> = columns.iter().map(member).collect();
    let members = members.join(", ");
    let sql = match database {
        Database::Sqlite => format!("SELECT json_object({members}) FROM {table}"),
        Database::Postgres => {
            format!("SELECT CAST(json_build_object({members}) AS TEXT) FROM {table}")
        }
    };
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch(connection);
    let read = move |row: Result<AnyRow, sqlx::Error>| {
        let text = row.and_then(|row| row.try_get::<String, _>(0));
        let text = text.map_err(|error| explain(place, "read", error))?;
        let mut row: Value = serde_json::from_str(&text).map_err(|error| {
            Error::new(Kind::Corrupt, "a row of the ledger is not text")
                .with_context("table", table)
                .with_source(error)
        })?;
        if database == Database::Postgres {
            for value in row.as_object_mut().into_iter().flat_map(Map::values_mut) {
                if let Value::String(text) = value {
                    *text = with_nul(text).into_owned();
                }
            }
        }
        Ok(row)
    };
    Ok(rows.map(read).boxed())
}

/// Writes rows as [`rows_of`] gives them, in their order.
pub(crate) struct Inserter {
    place: Place,
    sql: String,
}

impl Inserter {
    pub(crate) async fn new(
        place: &Place,
        connection: &mut AnyConnection,
        table: &'static str,
    ) -> Result<Inserter> {
        let columns = columns(place, connection, table).await?;
        let names: Vec<String> = columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let values: Vec<String> = columns
            .iter()
            .map(|Column { name, holds }| match holds {
                Holds::Number => format!("CAST(value->>'{name}' AS BIGINT)"),
                Holds::Text => format!("value->>'{name}'"),
                Holds::Blob => format!("unhex(value->>'{name}')"),
            })
            .collect();
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT {} FROM jsonb_each($1) ORDER BY key",
            names.join(", "),
            values.join(", ")
        );
        Ok(Inserter {
            place: place.clone(),
            sql,
        })
    }

    pub(crate) async fn insert(
        &self,
        connection: &mut AnyConnection,
        rows: &[Value],
    ) -> Result<()> {
        let rows = set(rows)?.into_json();
        let rows = match self.place.database() {
            Database::Sqlite => rows,
            Database::Postgres => json_without_nul(rows),
        };
        sqlx::query(sqlx::AssertSqlSafe(self.sql.clone()))
            .bind(rows)
            .execute(connection)
            .await
            .map(drop)
            .map_err(|error| explain(&self.place, "written", error))
    }
}

/// How many rows a table has.
pub(crate) async fn count(
    place: &Place,
    connection: &mut AnyConnection,
    table: &'static str,
) -> Result<u64> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    let counted = sqlx::query(sql).fetch_one(connection).await;
    let count = counted.and_then(|row| row.try_get::<i64, _>(0));
    let count = count.map_err(|error| explain(place, "read", error))?;
    Ok(count.unsigned_abs())
}
