//! What a plugin may ask of the host, as a trait: the component's imports in production, maps in
//! tests that run natively.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::plugin::windlass::hooks::host;
use crate::{Date, Level, LookupError};

/// What a plugin may ask. See `wit/v1/hooks.wit` for the bounds.
pub trait Host {
    /// Writes a line to the host's log, for the author's eyes.
    fn log(&self, level: Level, message: &str);

    /// Reads one cell of an operator's table; `None` for the column is the first after the key.
    fn lookup(
        &self,
        table: &str,
        key: &str,
        column: Option<&str>,
    ) -> Result<Option<String>, LookupError>;

    /// The day on which the run started.
    fn today(&self) -> Date;
}

/// The real host, through the component's imports.
#[doc(hidden)]
#[derive(Debug)]
pub struct ComponentHost;

impl Host for ComponentHost {
    fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    fn lookup(
        &self,
        table: &str,
        key: &str,
        column: Option<&str>,
    ) -> Result<Option<String>, LookupError> {
        host::lookup(table, key, column)
    }

    fn today(&self) -> Date {
        host::today()
    }
}

/// Sends a panic's message to the host's log, from where it reaches the operator with the trap.
///
/// Without it a panic on this target is a bare `unreachable`. Called by [`plugin!`](crate::plugin).
#[doc(hidden)]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        host::log(Level::Error, &panic.to_string());
    }));
}

/// A host for native tests: tables of two columns in memory, a fixed day, a log that is kept.
#[derive(Debug)]
pub struct TestHost {
    /// Tables by name, each from key to value.
    pub tables: BTreeMap<String, BTreeMap<String, String>>,
    /// The day that [`Host::today`] gives.
    pub today: Date,
    /// What was logged, in order.
    pub logged: RefCell<Vec<String>>,
}

impl Default for TestHost {
    fn default() -> Self {
        let today = Date {
            year: 2026,
            month: 1,
            day: 1,
        };
        TestHost {
            tables: BTreeMap::new(),
            today,
            logged: RefCell::default(),
        }
    }
}

impl Host for TestHost {
    fn log(&self, _level: Level, message: &str) {
        self.logged.borrow_mut().push(message.to_owned());
    }

    fn lookup(
        &self,
        table: &str,
        key: &str,
        column: Option<&str>,
    ) -> Result<Option<String>, LookupError> {
        let table = self.tables.get(table).ok_or(LookupError::UnknownTable)?;
        match column {
            None | Some("value") => Ok(table.get(key).cloned()),
            Some(_) => Err(LookupError::UnknownColumn),
        }
    }

    fn today(&self) -> Date {
        self.today
    }
}
