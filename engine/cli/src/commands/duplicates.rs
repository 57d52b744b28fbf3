//! `windlass duplicates`: what a flow would bring twice, before anything moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{Error, Kind, Result};
use windlass_flow::{DuplicateGroup, DuplicateSums, GroupWriter, Pace};

use super::{Ended, history, run as flow};
use crate::args::DuplicatesArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::Wiring;
use crate::{progress, text};

/// How many groups are shown to people: those with most bytes to spare.
const SHOWN: usize = 20;

/// The sums with the time that they are worth.
#[derive(Serialize)]
struct Summary<'a> {
    flow: &'a str,
    #[serde(flatten)]
    sums: &'a DuplicateSums,
    /// How long moving what can be spared would take, in hours, where a pace is known.
    spare_hours: Option<f64>,
}

/// Finds duplicates and shows them.
pub(crate) async fn run(args: &DuplicatesArgs, layered: &Layered, out: Out) -> Result<Ended> {
    if args.rate.is_some_and(|rate| rate.bytes() == 0) {
        return Err(Error::new(
            Kind::InvalidInput,
            "a rate of no bytes a second takes for ever",
        ));
    }
    let observer = progress::observer(out);
    let wired = Wiring::new(layered, out)
        .flow(&args.flow, false, Arc::clone(&observer))
        .await?;
    let mut shown = Shown {
        rows: match args.csv {
            true => Some(history::Rows::new(
                out,
                ["content_hash", "size", "files", "path", "at_sink"],
            )?),
            false => None,
        },
        largest: BTreeMap::new(),
        found: 0,
        out,
    };
    let engine = &wired.runner.engine;
    let found = Box::pin(wired.ingest()?.find_duplicates(engine, &mut shown)).await;
    let pace = Pace::of_last_run(wired.ledger.as_ref(), &args.flow).await;
    flow::close(wired, observer).await?;
    let (sums, pace) = (found?, pace?);
    let rate = args.rate.map(|rate| rate.bytes() as f64);
    let rate = rate.or(pace.map(|pace| pace.bytes_per_second()));
    let spare_hours = rate.map(|rate| sums.spare_bytes as f64 / rate / 3_600.0);
    if out.json {
        let summary = Summary {
            flow: &args.flow,
            sums: &sums,
            spare_hours,
        };
        out.record("duplicates", &summary)?;
    } else if let Some(rows) = shown.rows {
        rows.finish()?;
    } else {
        let largest: Vec<&DuplicateGroup> = shown.largest.values().rev().collect();
        out.data(&text::duplicates(&args.flow, &sums, &largest, spare_hours))?;
    }
    Ok(Ended::Done)
}

/// Prints groups for programs and spreadsheets, and keeps the largest for people.
struct Shown {
    rows: Option<history::Rows<5>>,
    /// By bytes to spare; of equals the one that was found first.
    largest: BTreeMap<(u64, std::cmp::Reverse<u64>), DuplicateGroup>,
    found: u64,
    out: Out,
}

#[async_trait]
impl GroupWriter for Shown {
    async fn group(&mut self, group: DuplicateGroup) -> Result<()> {
        if self.out.json {
            return self.out.record("group", &group);
        }
        if let Some(rows) = &mut self.rows {
            let at_sink = group.at_sink.as_ref().map(|asset| asset.as_str());
            return group.paths.iter().try_for_each(|path| {
                rows.row([
                    group.content_hash.to_hex(),
                    group.size.to_string(),
                    group.files.to_string(),
                    history::cell(path.as_str()),
                    history::cell(at_sink.unwrap_or_default()),
                ])
            });
        }
        self.found += 1;
        let key = (group.spare_bytes(), std::cmp::Reverse(self.found));
        self.largest.insert(key, group);
        if self.largest.len() > SHOWN {
            self.largest.pop_first();
        }
        Ok(())
    }
}
