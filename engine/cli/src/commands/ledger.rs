//! `windlass ledger`: copies, exports, checks and compacts it.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use url::Url;
use windlass_core::sealed::SealedWriter;
use windlass_core::sign::SigningKey;
use windlass_core::{ByteSize, Error, Kind, Ledger, Result, Secret};
use windlass_ledger::{ExportedRow, LedgerOptions, Place, SqlLedger, is_server};

use super::{Ended, doctor, seal};
use crate::args::{LedgerCopyArgs, LedgerExportArgs};
use crate::config::{Layered, SecretRef};
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

/// Copies a ledger from one place to another; the configuration's own may be either, or none.
pub(crate) async fn copy(args: &LedgerCopyArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let scratch = layered.base.join(&layered.config.ledger.file);
    let from = place(&args.from, &scratch)?;
    let to = place(&args.to, &scratch)?;
    let said = (from.to_string(), to.to_string());
    let counts = SqlLedger::copy(from, to, LedgerOptions::default()).await?;
    let (from, to) = said;
    if out.json {
        out.line(&serde_json::json!({
            "record": "ledger-copy", "from": from, "to": to, "rows": counts,
        }))?;
        return Ok(Ended::Done);
    }
    out.data(&format!(
        "{}\n{from} is copied to {to}; [ledger] in the configuration says which of them goes on",
        rows_of_tables(counts)
    ))?;
    Ok(Ended::Done)
}

/// The place that a word on the command line names. Scratch files of a server are beside `scratch`.
fn place(word: &str, scratch: &Path) -> Result<Place> {
    if let Some(name) = word.strip_prefix("env:") {
        let url = SecretRef::Env(name.to_owned()).read(word, Path::new("."))?;
        return Place::of_server(&url, scratch);
    }
    if !is_server(word) {
        return Place::of_file(Path::new(word));
    }
    if Url::parse(word).is_ok_and(|url| url.password().is_some()) {
        return Err(Error::new(
            Kind::InvalidInput,
            "the URL on the command line holds a password, which others on this machine can see",
        )
        .with_hint("put the URL into a variable and name it, such as env:WINDLASS_LEDGER_URL, or use PGPASSWORD or ~/.pgpass"));
    }
    Place::of_server(&Secret::new(word), scratch)
}

fn rows_of_tables(counts: BTreeMap<&str, u64>) -> String {
    let mut table = text::table(&["table", "rows"], &[1]);
    for (name, rows) in counts.into_iter().filter(|(_, rows)| *rows > 0) {
        table.add_row(vec![name.to_owned(), rows.to_string()]);
    }
    text::lines(&table)
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
    out.data(&format!(
        "{}\n{}",
        rows_of_tables(counts),
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
