//! What a guest may ask of the host, in the words of this version.

use super::bindings::windlass::hooks::{host, types};
use crate::guest::{Guest, Level};
use crate::tables::Missing;

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.write_log(level, &message)
    }

    fn lookup(
        &mut self,
        table: String,
        key: String,
        column: Option<String>,
    ) -> wasmtime::Result<Result<Option<String>, host::LookupError>> {
        let found = self.look_up(table, key, column)?;
        Ok(found.map_err(|missing| match missing {
            Missing::Table => host::LookupError::UnknownTable,
            Missing::Column => host::LookupError::UnknownColumn,
        }))
    }

    fn today(&mut self) -> wasmtime::Result<types::Date> {
        let today = self.day()?;
        Ok(types::Date {
            year: today.year().into(),
            month: today.month().unsigned_abs(),
            day: today.day().unsigned_abs(),
        })
    }
}
