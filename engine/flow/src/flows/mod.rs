//! The flows. Each discovers, decides and plans in its own way; all are run by the same runner.

use std::sync::Arc;

use windlass_core::{Result, RunId, RunOrigin, Sink, Source};

use self::ingest::Ingest;
use self::release::{Closed, ReleaseFlow};
use self::sync::{SyncHalf, Way};
use crate::plan::{PlanSummary, PlanWriter};

pub(crate) mod ingest;
pub(crate) mod release;
pub(crate) mod restore;
pub(crate) mod shadow;
mod stated;
pub(crate) mod sync;

pub(crate) use ingest::{eight_bytes, no_work};

/// A configured flow with everything it speaks to.
#[derive(Debug)]
pub enum Flow {
    /// Files become governed assets.
    Ingest(Box<Ingest>),
    /// Governed assets appear where people take them from.
    Release(Box<ReleaseFlow>),
    /// One way of a pair of a folder and a collection.
    Sync(Box<SyncHalf>),
}

impl Flow {
    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        match self {
            Flow::Ingest(ingest) => &ingest.options.flow,
            Flow::Release(release) => &release.options.flow,
            Flow::Sync(half) => half.name(),
        }
    }

    /// Decides what a run would do and hands each step to `writer`. Writes nothing anywhere itself.
    pub async fn decide(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        match self {
            Flow::Ingest(ingest) => ingest.decide(writer).await,
            Flow::Release(release) => release.decide(writer).await,
            Flow::Sync(half) => match half.way {
                Way::In => half.sync.decide_in(writer).await,
                Way::Out => half.sync.decide_out(writer).await,
            },
        }
    }

    /// By what a plan made now would be decided.
    pub fn origin(&self) -> Result<RunOrigin> {
        match self {
            Flow::Ingest(ingest) => ingest.origin(),
            Flow::Release(release) => release.origin(),
            Flow::Sync(half) => match half.way {
                Way::In => half.sync.origin_in(),
                Way::Out => half.sync.origin_out(),
            },
        }
    }

    /// The source that its steps read from.
    pub fn source(&self) -> Arc<dyn Source> {
        match self {
            Flow::Ingest(ingest) => Arc::clone(&ingest.source),
            Flow::Release(release) => release.source(),
            Flow::Sync(half) => match half.way {
                Way::In => Arc::clone(&half.sync.ingest.source),
                Way::Out => half.sync.release.source(),
            },
        }
    }

    /// The sink that its steps write to.
    pub fn sink(&self) -> Arc<dyn Sink> {
        match self {
            Flow::Ingest(ingest) => Arc::clone(&ingest.sink),
            Flow::Release(release) => release.sink(),
            Flow::Sync(half) => match half.way {
                Way::In => Arc::clone(&half.sync.ingest.sink),
                Way::Out => half.sync.release.sink(),
            },
        }
    }

    /// Whether what an earlier run held is tried again.
    pub fn retries_held(&self) -> bool {
        match self {
            Flow::Ingest(ingest) => ingest.options.retry_held,
            Flow::Release(release) => release.options.retry_held,
            Flow::Sync(half) => half.sync.ingest.options.retry_held,
        }
    }

    /// Does what follows a run whose plan was this; `run` is the plan's run, `None` when nothing was to be done.
    pub async fn close(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<Closed> {
        match self {
            Flow::Ingest(_) => Ok(Closed::default()),
            Flow::Sync(half) => match half.way {
                Way::In => Ok(Closed::default()),
                Way::Out => half.sync.release.close(plan, run).await,
            },
            Flow::Release(release) => release.close(plan, run).await,
        }
    }

    /// Notes what later plans need to know, once a plan was completely worked off.
    pub async fn settle(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<()> {
        match self {
            Flow::Ingest(ingest) => ingest.settle(plan, run).await,
            Flow::Release(release) => release.settle(plan, run).await,
            Flow::Sync(half) => match half.way {
                Way::In => half.sync.settle_in(plan, run).await,
                Way::Out => half.sync.settle_out(plan, run).await,
            },
        }
    }
}
