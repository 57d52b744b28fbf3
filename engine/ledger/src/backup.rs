//! A copy of a ledger that is in use.

use std::path::Path;

use sqlx::Connection;
use windlass_core::{Error, Kind, Result};

use crate::error::explain;
use crate::ledger::SqlLedger;
use crate::open::Target;
use crate::options::LedgerOptions;
use crate::place::Place;
use crate::writer::{NEW_EPOCH, new_epoch};

/// Copies the ledger as it is now to a new SQLite file. The copy appears under its name only when it is
/// complete and on the disk.
pub(crate) async fn backup(ledger: &SqlLedger, copy: &Path) -> Result<()> {
    let told = |error: std::io::Error| {
        Error::new(Kind::Config, "the copy of the ledger cannot be written")
            .with_context("copy", copy.display())
            .with_source(error)
    };
    if copy.try_exists().map_err(told)? {
        return Err(Error::new(
            Kind::Conflict,
            "something is already where the copy is to be",
        )
        .with_context("copy", copy.display())
        .with_hint("name a new file"));
    }
    let mut part = copy.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    remove(part).map_err(told)?;
    match &ledger.place() {
        Place::File(_) => {
            vacuum_into(&ledger.reader.target, part).await?;
            part_from_jots(part).await?;
        }
        Place::Server(_) => {
            let place = Place::of_file(part)?;
            let made = ledger.copy_to(place, LedgerOptions::default()).await;
            // Only the process that made it needed it.
            remove(&with_ending(part, "-lock")).map_err(told)?;
            made?;
            let log = std::fs::metadata(with_ending(part, "-wal"));
            if log.is_ok_and(|log| log.len() > 0) {
                return Err(Error::new(
                    Kind::Conflict,
                    "another program reads the copy, so it is not complete yet",
                )
                .with_context("copy", part.display()));
            }
        }
    }
    let (part, copy_to) = (part.to_owned(), copy.to_owned());
    let keep = move || -> std::io::Result<()> {
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(&part, &copy_to)?;
        // The new name must survive a power cut too.
        let folder = copy_to
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    let kept = tokio::task::spawn_blocking(keep).await.map_err(|error| {
        Error::new(Kind::Unexpected, "copying the ledger ended abnormally").with_source(error)
    })?;
    kept.map_err(told)
}

/// Removes what an interrupted copy left, if it did.
fn remove(part: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        match std::fs::remove_file(with_ending(part, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Makes the copy a ledger of its own: jots that lie beside the place it is put to are not the copy's.
async fn part_from_jots(copy: &Path) -> Result<()> {
    let place = Place::File(copy.to_owned());
    let told = |error| explain(&place, "copied", error);
    let mut connection = Target::connect_to_change(copy).await.map_err(told)?;
    let changed = sqlx::query(NEW_EPOCH)
        .bind(new_epoch())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    changed.map_err(told)?;
    closed.map_err(told)
}

async fn vacuum_into(target: &Target, part: &Path) -> Result<()> {
    let Some(name) = part.to_str() else {
        return Err(Error::new(
            Kind::Config,
            "the path of the copy is not UTF-8",
        ));
    };
    let told = |error| explain(&target.place, "copied", error);
    let mut connection = target.connect_to_copy().await.map_err(told)?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(name.to_owned())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    copied.map_err(told)?;
    closed.map_err(told)
}
