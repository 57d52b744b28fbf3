//! `windlass ledger`: copies, exports, checks and compacts it.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use windlass_core::sealed::SealedWriter;
use windlass_core::sign::SigningKey;
use windlass_core::{ByteSize, Ledger, Result};
use windlass_ledger::ExportedRow;

use super::{Ended, doctor, seal};
use crate::args::LedgerExportArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::text;
use crate::wiring::{Access, Wiring};

/// Copies the ledger; it may be in use.
pub(crate) async fn backup(copy: &Path, layered: &Layered, out: Out) -> Result<Ended> {
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    ledger.backup(copy).await?;
    ledger.close().await?;
    out.data(&format!("the ledger is copied to {}", copy.display()))?;
    Ok(Ended::Done)
}

/// What the first line of a ledger's export says.
#[derive(Serialize)]
struct LedgerHeader {
    record: &'static str,
    ledger: String,
    made: Timestamp,
    windlass: &'static str,
}

/// A row of it.
#[derive(Serialize)]
struct LedgerRow {
    record: &'static str,
    #[serde(flatten)]
    row: ExportedRow,
}

/// The kind of document that a ledger's export is.
const LEDGER_DOCUMENT: &str = "windlass-ledger";

/// Writes every row of the ledger as a line of a sealed document.
pub(crate) async fn export(args: &LedgerExportArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let keys: Vec<SigningKey> = args
        .sign
        .iter()
        .map(|file| seal::read_key(file))
        .collect::<Result<_>>()?;
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let exported = seal::create(&args.file, async |to| {
        let mut document = SealedWriter::new(LEDGER_DOCUMENT, to);
        document.line(&LedgerHeader {
            record: "ledger",
            ledger: ledger.id().await?,
            made: Timestamp::now(),
            windlass: env!("CARGO_PKG_VERSION"),
        })?;
        let counts = ledger
            .export(&mut |row| document.line(&LedgerRow { record: "row", row }))
            .await?;
        let (to, sealed) = document.seal(&keys)?;
        Ok((to, (counts, sealed)))
    });
    let exported = exported.await;
    ledger.close().await?;
    let (counts, sealed) = exported?;
    if out.json {
        out.line(&serde_json::json!({
            "record": "ledger-export", "rows": counts, "digest": sealed.digest, "signed_by": sealed.signed_by,
        }))?;
        return Ok(Ended::Done);
    }
    let mut table = text::table(&["table", "rows"], &[1]);
    for (name, rows) in counts.into_iter().filter(|(_, rows)| *rows > 0) {
        table.add_row(vec![name.to_owned(), rows.to_string()]);
    }
    out.data(&format!(
        "{}\n{}",
        text::lines(&table),
        seal::seal_text(LEDGER_DOCUMENT, &sealed)
    ))?;
    Ok(Ended::Done)
}

/// Looks whether the ledger is whole.
pub(crate) async fn check(layered: &Layered, out: Out) -> Result<Ended> {
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let items = ledger.check().await;
    ledger.close().await?;
    let items = items?;
    doctor::show("ledger", &items, out)?;
    Ok(match items.iter().all(|item| item.ok) {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

/// Gives back room.
pub(crate) async fn compact(layered: &Layered, out: Out) -> Result<Ended> {
    let compacted = Wiring::new(layered, out).compact().await?;
    let (before, after) = (compacted.before, compacted.after);
    match out.json {
        true => out.line(&serde_json::json!({
            "record": "compacted", "before": before, "after": after,
        }))?,
        false => out.data(&format!(
            "the ledger has {} now instead of {}",
            ByteSize(after),
            ByteSize(before)
        ))?,
    }
    Ok(Ended::Done)
}
