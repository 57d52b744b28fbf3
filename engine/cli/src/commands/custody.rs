//! `windlass custody`: what was done, as a document that an auditor can check without us.

use std::path::Path;

use jiff::Timestamp;
use windlass_core::sign::SigningKey;
use windlass_core::{ByteSize, Error, Kind, Ledger, Result};
use windlass_flow::{CUSTODY_DOCUMENT, Custody, CustodyHeader, export_custody, verify_custody};

use super::history::run_id;
use super::{Ended, seal};
use crate::args::{CustodyExportArgs, CustodyVerifyArgs};
use crate::config::Layered;
use crate::out::Out;
use crate::text;
use crate::wiring::{Access, Wiring};

/// Writes a custody export.
pub(crate) async fn export(args: &CustodyExportArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let keys: Vec<SigningKey> = args
        .sign
        .iter()
        .map(|file| seal::read_key(file))
        .collect::<Result<_>>()?;
    let run = args.run.as_deref().map(run_id).transpose()?;
    let earlier = args.after.as_deref().map(read).transpose()?;
    let ledger = Wiring::new(layered, out).ledger(Access::ReadOnly).await?;
    let exported = async {
        let header = CustodyHeader {
            ledger: ledger.id().await?,
            made: Timestamp::now(),
            run,
            after: earlier.as_ref().map(Custody::as_after).transpose()?,
        };
        if let Some(earlier) = earlier.filter(|earlier| earlier.header.ledger != header.ledger) {
            return Err(
                Error::new(Kind::Conflict, "the earlier export is of another ledger")
                    .with_context("its ledger", &earlier.header.ledger)
                    .with_context("this ledger", &header.ledger),
            );
        }
        if let Some(run) = run
            && ledger.run(run).await?.is_none()
        {
            return Err(
                Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
                    .with_hint("`windlass status` lists the runs it has"),
            );
        }
        seal::create(&args.file, async |to| {
            export_custody(ledger.as_ref(), header, to, &keys).await
        })
        .await
    };
    let exported = exported.await;
    ledger.close().await?;
    print(&exported?, out)
}

/// Proves an export by itself, and that it is signed by those who were named.
pub(crate) fn verify(args: &CustodyVerifyArgs, out: Out) -> Result<Ended> {
    let custody = read(&args.file)?;
    if let Some(earlier) = args.after.as_deref() {
        custody.follows(&read(earlier)?)?;
    }
    let missing = args
        .key
        .iter()
        .find(|key| !custody.seal.signed_by.contains(key));
    if let Some(key) = missing {
        return Err(
            Error::new(Kind::Denied, "the export is not signed by this key")
                .with_context("key", key)
                .with_hint("its content is whole; who stands for it is not who was expected"),
        );
    }
    if args.key.is_empty() && !custody.seal.signed_by.is_empty() {
        out.say("whose keys these are was not checked: name those you expect with --key");
    }
    print(&custody, out)
}

fn read(file: &Path) -> Result<Custody> {
    verify_custody(seal::open(file)?).map_err(|error| error.with_context("file", file.display()))
}

fn print(custody: &Custody, out: Out) -> Result<Ended> {
    let Custody {
        header,
        sums,
        chain,
        seal: sealed,
        ..
    } = custody;
    if out.json {
        out.line(&serde_json::json!({
            "record": "custody",
            "ledger": header.ledger,
            "run": header.run,
            "after": header.after,
            "made": header.made,
            "sums": sums,
            "chain": chain,
            "digest": sealed.digest,
            "signed_by": sealed.signed_by,
        }))?;
        return Ok(Ended::Done);
    }
    let mut table = text::table(&["", "records"], &[1]);
    for (event, records) in &sums.events {
        table.add_row(vec![event.word().to_owned(), records.to_string()]);
    }
    for (evidence, records) in &sums.evidence {
        table.add_row(vec![
            format!("proved {}", text::word(evidence)),
            records.to_string(),
        ]);
    }
    let span = match sums.first.zip(sums.last) {
        None => "no record".to_owned(),
        Some((first, last)) => {
            let day = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
            format!(
                "{} records from {} to {}, {} moved",
                sums.records,
                day(first),
                day(last),
                ByteSize(sums.bytes_moved)
            )
        }
    };
    let of = match header.run {
        None => format!("ledger {}", header.ledger),
        Some(run) => format!("run {run} of ledger {}", header.ledger),
    };
    out.data(&format!(
        "{of}\n{span}\n\n{}\nchain {chain}\n{}",
        text::lines(&table),
        seal::seal_text(CUSTODY_DOCUMENT, sealed)
    ))?;
    Ok(Ended::Done)
}
