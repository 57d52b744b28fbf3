//! Giving back the room that a ledger does not need any more.

use std::path::Path;

use sqlx::Connection;
use windlass_core::{Error, Kind, Ledger, Result};

use crate::error::explain;
use crate::lock::Lock;
use crate::open::{self, Target};
use crate::options::LedgerOptions;

/// Bytes of a ledger's file before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Before, the write-ahead log included.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Rewrites the file without its free pages. Nothing is forgotten, and nobody may use the ledger meanwhile. It needs the
/// room of the file once more while it works; a crash leaves the ledger as it was.
pub(crate) async fn compact(path: &Path, options: LedgerOptions) -> Result<Compacted> {
    // What a dead process left is folded, and an older schema brought up to date, as for any use.
    let ledger = open::open_existing(path, options.clone()).await?;
    let file = ledger.file().to_owned();
    let before = size(&file)?;
    ledger.close().await?;
    let target = Target { file, options };
    let (file, wait) = (target.file.clone(), target.options.lock_wait);
    let taking = tokio::task::spawn_blocking(move || Lock::take(&file, wait));
    let _lock = taking.await.map_err(|error| {
        Error::new(
            Kind::Unexpected,
            "taking the ledger's lock ended abnormally",
        )
        .with_source(error)
    })??;
    let told = |error| explain(&target.file, "compacted", error);
    let mut connection = target.connect().await.map_err(told)?;
    let done = async {
        sqlx::query("VACUUM").execute(&mut connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await
    };
    let done = done.await;
    let closed = connection.close().await;
    done.map_err(told)?;
    closed.map_err(told)?;
    Ok(Compacted {
        before,
        after: size(&target.file)?,
    })
}

fn size(file: &Path) -> Result<u64> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let of = |path: &Path| match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::new(Kind::Config, "the ledger file cannot be read")
            .with_context("ledger", file.display())
            .with_source(error)),
    };
    Ok(of(file)? + of(Path::new(&log))?)
}
