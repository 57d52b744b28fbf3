//! A copy of a ledger that is in use.

use std::path::Path;

use sqlx::Connection;
use windlass_core::{Error, Kind, Result};

use crate::error::explain;
use crate::open::Target;
use crate::writer::NEW_EPOCH;

/// Copies the ledger as it is now to a new file. The copy appears under its name only when it is
/// complete and on the disk.
pub(crate) async fn backup(target: &Target, copy: &Path) -> Result<()> {
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
    // What an interrupted copy left is of no use.
    match std::fs::remove_file(part) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
    }
    let Some(name) = part.to_str() else {
        return Err(Error::new(
            Kind::Config,
            "the path of the copy is not UTF-8",
        ));
    };
    vacuum_into(target, name).await?;
    part_from_jots(part).await?;
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

/// Makes the copy a ledger of its own: jots that lie beside the place it is put to are not the copy's.
async fn part_from_jots(copy: &Path) -> Result<()> {
    let told = |error| explain(copy, "copied", error);
    let mut connection = Target::connect_to_change(copy).await.map_err(told)?;
    let changed = sqlx::query(NEW_EPOCH).execute(&mut connection).await;
    let closed = connection.close().await;
    changed.map_err(told)?;
    closed.map_err(told)
}

async fn vacuum_into(target: &Target, name: &str) -> Result<()> {
    let told = |error| explain(&target.file, "copied", error);
    let mut connection = target.connect_to_copy().await.map_err(told)?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(name.to_owned())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    copied.map_err(told)?;
    closed.map_err(told)
}
