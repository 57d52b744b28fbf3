mod conformance;
mod copy;
mod damage;
mod durability;
mod fixtures;
mod interleavings;
mod jots;
mod migrations;
mod plans;
mod plans_of_server;
mod server;
mod upkeep;

use std::path::Path;
use std::sync::Arc;

use sqlx::Connection;
use windlass_core::memory::ManualClock;
use windlass_core::{Clock, Error};

use crate::open::Target;
use crate::place::Place;
use crate::{LedgerOptions, SqlLedger};

/// Options that read the time from a clock of the test and do not wait for locks.
fn options(clock: &Arc<ManualClock>) -> LedgerOptions {
    LedgerOptions {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        // A child that another test starts holds a copy of every lock until it runs its program.
        lock_wait: std::time::Duration::from_millis(300),
        ..LedgerOptions::default()
    }
}

/// Changes a ledger behind its back.
async fn sql(file: &Path, statement: &'static str) {
    let target = Target {
        place: Place::File(file.to_owned()),
        options: options(&Arc::default()),
    };
    let mut connection = target.connect().await.unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

pub(crate) async fn open(file: &Path) -> Result<Arc<SqlLedger>, Error> {
    SqlLedger::open(file, options(&Arc::default())).await
}

impl SqlLedger {
    /// Closes a ledger that a test needs only to exist.
    async fn close_now(&self) {
        windlass_core::Ledger::close(self).await.unwrap();
    }
}
