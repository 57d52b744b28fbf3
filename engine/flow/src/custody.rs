//! The custody export: who did what to which asset, and when, as a document that proves itself without its ledger.
//!
//! A sealed document (see [`windlass_core::sealed`]) whose records are chained besides: each carries the digest of itself
//! and of everything before it, from the first record of the first export on. So an export that goes on after another
//! one proves that nothing between them was left out, and a single chain digest, kept elsewhere, vouches for them all.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::sealed::{Seal, SealedReader, SealedWriter, canonical};
use windlass_core::sign::SigningKey;
use windlass_core::{
    Blake3, CustodyEvent, CustodyRecord, Error, Evidence, Kind, Ledger, Result, RunId,
};

/// The kind of sealed document that a custody export is.
pub const CUSTODY_DOCUMENT: &str = "custody 1";

/// How many records are read in one call.
const RECORDS_A_CALL: u32 = 1_000;

/// Where an earlier export ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The digest of its content.
    pub digest: Blake3,
    /// The number of its last record.
    pub record: i64,
    /// The chain up to there.
    pub chain: Blake3,
}

/// Of which ledger an export is, and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyHeader {
    /// The name of the ledger.
    pub ledger: String,
    /// When it was exported.
    pub made: Timestamp,
    /// Only this run's records; all of them where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The export that it goes on after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// What the records of an export add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodySums {
    /// How many records.
    pub records: u64,
    /// How attempts ended.
    pub events: BTreeMap<CustodyEvent, u64>,
    /// How strongly it is proved that the sink holds the right bytes, over those that were done.
    pub evidence: BTreeMap<Evidence, u64>,
    /// Bytes that moved.
    pub bytes_moved: u64,
    /// When the first was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// When the last was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

impl CustodySums {
    fn count(&mut self, record: &CustodyRecord) {
        self.records += 1;
        *self.events.entry(record.event).or_default() += 1;
        if let Some(evidence) = record.evidence {
            *self.evidence.entry(evidence).or_default() += 1;
        }
        self.bytes_moved += record.bytes_moved;
        // By the clock, which may have been set: the order is that of the numbers.
        self.first = Some(self.first.map_or(record.at, |first| first.min(record.at)));
        self.last = Some(self.last.map_or(record.at, |last| last.max(record.at)));
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line {
    Custody(Box<CustodyHeader>),
    Attempt(Box<Chained>),
    Sums(Box<End>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Chained {
    chain: Blake3,
    of: CustodyRecord,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct End {
    sums: CustodySums,
    chain: Blake3,
}

/// A custody export that was read to its end and proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custody {
    /// Of which ledger it is, and what of it.
    pub header: CustodyHeader,
    /// What its records add up to.
    pub sums: CustodySums,
    /// The number of its last record, or of the last one before it.
    pub last_record: Option<i64>,
    /// The chain up to its end.
    pub chain: Blake3,
    /// Its digest, and who signed it.
    pub seal: Seal,
}

impl Custody {
    /// What an export that goes on after this one says of it. Errors: `InvalidInput` for an export of one run, or of
    /// nothing.
    pub fn as_after(&self) -> Result<After> {
        match (self.last_record, self.header.run) {
            (Some(record), None) => Ok(After {
                digest: self.seal.digest,
                record,
                chain: self.chain,
            }),
            (_, Some(_)) => Err(Error::new(
                Kind::InvalidInput,
                "an export of one run has none that goes on after it",
            )),
            (None, None) => Err(Error::new(
                Kind::InvalidInput,
                "the earlier export has no records: begin with a first one",
            )),
        }
    }

    /// Proves that this export begins where `earlier` ended. Errors: `Integrity` when it does not.
    pub fn follows(&self, earlier: &Custody) -> Result<()> {
        match &self.header.after {
            Some(after)
                if *after == earlier.as_after()? && self.header.ledger == earlier.header.ledger =>
            {
                Ok(())
            }
            _ => Err(Error::new(
                Kind::Integrity,
                "the export does not begin where the earlier one ends",
            )),
        }
    }
}

/// Exports what the ledger knows, in the order in which it was recorded. Answers what was written to, and the export.
///
/// Errors: `Integrity` where it is to go on after an export that does not tell what this ledger knows, as after a
/// restored backup.
pub async fn export_custody<W: Write>(
    ledger: &dyn Ledger,
    header: CustodyHeader,
    out: W,
    keys: &[SigningKey],
) -> Result<(W, Custody)> {
    if let Some(after) = &header.after {
        prove_after(ledger, &header, after).await?;
    }
    let mut lines = SealedWriter::new(CUSTODY_DOCUMENT, out);
    lines.line(&Line::Custody(Box::new(header.clone())))?;
    let mut sums = CustodySums::default();
    let mut chain = chain_of(&header)?;
    let mut last = header.after.as_ref().map(|after| after.record);
    loop {
        let page = ledger.custody(header.run, last, RECORDS_A_CALL).await?;
        let is_last = page.len() < RECORDS_A_CALL as usize;
        for record in page {
            chain = next(&chain, &record)?;
            sums.count(&record);
            last = Some(record.id);
            lines.line(&Line::Attempt(Box::new(Chained { chain, of: record })))?;
        }
        if is_last {
            break;
        }
    }
    lines.line(&Line::Sums(Box::new(End {
        sums: sums.clone(),
        chain,
    })))?;
    let (out, seal) = lines.seal(keys)?;
    let custody = Custody {
        header,
        sums,
        last_record: last,
        chain,
        seal,
    };
    Ok((out, custody))
}

/// Proves that the chain of an earlier export is the one of this ledger up to there.
async fn prove_after(ledger: &dyn Ledger, header: &CustodyHeader, after: &After) -> Result<()> {
    let first = CustodyHeader {
        after: None,
        ..header.clone()
    };
    let mut chain = chain_of(&first)?;
    let mut last = None;
    while last < Some(after.record) {
        let page = ledger.custody(None, last, RECORDS_A_CALL).await?;
        if page.is_empty() {
            break;
        }
        for record in page.iter().filter(|record| record.id <= after.record) {
            chain = next(&chain, record)?;
        }
        last = page.last().map(|record| record.id);
    }
    match chain == after.chain {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Integrity,
            "the earlier export tells something else than this ledger",
        )
        .with_hint(
            "was the ledger restored from a backup? export everything anew, without --after",
        )),
    }
}

/// Reads an export and proves it: no ledger, no network, no configuration.
///
/// Errors: `InvalidInput` for what is no export, `Integrity` for one of which anything was changed, left out or moved.
pub fn verify_custody<R: BufRead>(input: R) -> Result<Custody> {
    let mut lines = SealedReader::new(CUSTODY_DOCUMENT, input);
    let header = match lines.value::<Line>()? {
        Some(Line::Custody(header)) => *header,
        _ => return Err(lines.odd("it does not begin with its header")),
    };
    let mut sums = CustodySums::default();
    let mut chain = chain_of(&header)?;
    let mut last_record = header.after.as_ref().map(|after| after.record);
    let end = loop {
        match lines.value::<Line>()? {
            Some(Line::Attempt(attempt)) => {
                let Chained { chain: said, of } = *attempt;
                chain = next(&chain, &of)?;
                let wrong = match () {
                    () if chain != said => Some("a record does not continue the chain"),
                    () if last_record.is_some_and(|last| last >= of.id) => {
                        Some("its records are not in order")
                    }
                    () if header.run.is_some_and(|run| run != of.run) => {
                        Some("a record is of another run")
                    }
                    () => None,
                };
                if let Some(wrong) = wrong {
                    return Err(lines.odd(wrong).with_context("record", of.id));
                }
                last_record = Some(of.id);
                sums.count(&of);
            }
            Some(Line::Sums(end)) => break *end,
            _ => return Err(lines.odd("it does not end with its sums")),
        }
    };
    if lines.value::<Line>()?.is_some() {
        return Err(lines.odd("something follows its sums"));
    }
    let counted = End {
        sums: sums.clone(),
        chain,
    };
    if end != counted {
        return Err(lines.odd("its sums are not those of its records"));
    }
    let (seal, _) = lines.into_seal()?;
    Ok(Custody {
        header,
        sums,
        last_record,
        chain,
        seal,
    })
}

/// What the first record is chained to: the export before, or the ledger that it is about.
fn chain_of(header: &CustodyHeader) -> Result<Blake3> {
    match &header.after {
        Some(after) => Ok(after.chain),
        None => Ok(Blake3::of(&canonical(&(
            CUSTODY_DOCUMENT,
            &header.ledger,
            &header.run,
        ))?)),
    }
}

fn next(chain: &Blake3, record: &CustodyRecord) -> Result<Blake3> {
    let mut bytes = chain.as_bytes().to_vec();
    bytes.extend(canonical(record)?);
    Ok(Blake3::of(&bytes))
}
