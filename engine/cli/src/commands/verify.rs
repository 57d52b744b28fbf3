//! `windlass verify`: both sides held beside the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_core::{AssetPath, Error, Kind, Result};
use windlass_flow::{
    Audit, AuditWriter, AuditedFile, Flow, Ingest, ReleaseFlow, Standing, Sync, Verify,
    VerifyRelease, VerifySync,
};

use super::{Ended, run as flow};
use crate::args::VerifyArgs;
use crate::config::Layered;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{progress, text};

/// How many files of one trouble are shown unless all are asked for.
const SHOWN: u64 = 20;

/// Audits a flow.
pub(crate) async fn run(args: &VerifyArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let observer = progress::observer(out);
    // Both ways of a flow are one audit.
    let mut names = layered.config.runs_as(&args.flow);
    let wired = Wiring::new(layered, out)
        .flow(&names.swap_remove(0), false, Arc::clone(&observer))
        .await?;
    let mut shown = Shown {
        all: args.files || out.json,
        out,
        troubles: BTreeMap::new(),
    };
    let audited = match &wired.flow {
        Flow::Ingest(ingest) => Box::pin(of_ingest(args, &wired, ingest, &mut shown)).await,
        Flow::Release(release) => Box::pin(of_release(args, &wired, release, &mut shown)).await,
        Flow::Sync(half) => Box::pin(of_sync(args, &wired, &half.sync, &mut shown)).await,
    };
    let what = match &wired.flow {
        Flow::Ingest(_) => "at the source",
        Flow::Release(_) => "to be delivered",
        Flow::Sync(_) => "in the folder",
    };
    flow::close(wired, observer).await?;
    let audit = audited?;
    match out.json {
        true => out.record("audit", &audit)?,
        false => out.data(&text::audit(&args.flow, what, &audit))?,
    }
    Ok(match audit.is_well() {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

/// Both sides of a flow that brings something in.
async fn of_ingest(
    args: &VerifyArgs,
    wired: &Wired,
    ingest: &Ingest,
    shown: &mut Shown,
) -> Result<Audit> {
    let Some(sink_reader) = wired.runner.sink_reader.clone() else {
        return Err(Error::new(Kind::Unsupported, "the sink cannot be read"));
    };
    let verify = Verify {
        sink_reader,
        within: match &args.within {
            Some(within) => AssetPath::new(within),
            None => ingest.options.collection.clone(),
        },
        deep: args.deep.then_some(&wired.runner.engine),
        at_once: wired.runner.options.transfers,
        ingest,
    };
    verify.run(shown).await
}

/// Everything that a flow out of a library placed, took back or is to place, and whatever else is in its folders.
async fn of_release(
    args: &VerifyArgs,
    wired: &Wired,
    flow: &ReleaseFlow,
    shown: &mut Shown,
) -> Result<Audit> {
    refuse_within(args)?;
    let verify = VerifyRelease {
        flow,
        deep: args.deep.then_some(&wired.runner.engine),
        at_once: wired.runner.options.transfers,
    };
    verify.run(shown).await
}

/// Every pair of a two-way flow, whichever of its ways was named, and what is no pair yet.
async fn of_sync(
    args: &VerifyArgs,
    wired: &Wired,
    flow: &Sync,
    shown: &mut Shown,
) -> Result<Audit> {
    refuse_within(args)?;
    let verify = VerifySync {
        flow,
        deep: args.deep.then_some(&wired.runner.engine),
        at_once: wired.runner.options.transfers,
    };
    verify.run(shown).await
}

fn refuse_within(args: &VerifyArgs) -> Result<()> {
    match args.within {
        None => Ok(()),
        Some(_) => Err(Error::new(
            Kind::InvalidInput,
            "--within is for flows that bring something in; this one is verified in all of its folders",
        )),
    }
}

/// Prints files as they are audited.
struct Shown {
    all: bool,
    out: Out,
    /// How many of each trouble there were.
    troubles: BTreeMap<Standing, u64>,
}

#[async_trait]
impl AuditWriter for Shown {
    async fn files(&mut self, files: Vec<AuditedFile>) -> Result<()> {
        if self.out.json {
            return files
                .iter()
                .try_for_each(|file| self.out.record("file", file));
        }
        let mut wanted = Vec::new();
        for file in &files {
            let is_shown = self.all || {
                let count = self.troubles.entry(file.standing).or_default();
                *count += u64::from(file.standing.is_trouble());
                (1..=SHOWN).contains(count) && file.standing.is_trouble()
            };
            wanted.extend(is_shown.then_some(file));
        }
        match wanted.is_empty() {
            true => Ok(()),
            false => self.out.data(&text::audited(&wanted)),
        }
    }
}
