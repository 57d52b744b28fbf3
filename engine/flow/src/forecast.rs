//! What a plan will cost in calls, added up as its steps are decided.

use std::collections::BTreeMap;

use windlass_core::{Action, Calls, Destination, Endpoint, Load, Result, Sink, Source};
use windlass_transfer::Engine;

use crate::plan::{PlannedStep, Work};

/// How many folders are told apart; the steps of a plan come folder by folder, so beyond that each change of folder
/// counts as a further one like those before.
const COLLECTIONS_MAX: usize = 100_000;

/// Adds up what steps ask of both sides.
#[derive(Debug)]
pub struct CallForecast {
    engine: Engine,
    load: Load,
    last: Option<String>,
    more_collections: u64,
}

/// What a plan costs at each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanCalls {
    /// At the source, the listing included.
    pub source: Calls,
    /// At the sink, what planning asked of it included.
    pub sink: Calls,
}

impl CallForecast {
    /// Of no step yet; `engine` cuts the files.
    pub fn new(engine: Engine) -> Self {
        CallForecast {
            engine,
            load: Load::default(),
            last: None,
            more_collections: 0,
        }
    }

    /// Adds a step that is to end at `sink`.
    pub fn add(&mut self, step: &PlannedStep, sink: &dyn Sink) {
        let load = &mut self.load;
        let Some(work) = &step.work else {
            return;
        };
        let size = step.asset.size;
        load.released += u64::from(work.clearance().is_some());
        if let Some(handing) = &work.draft().handing {
            load.links += u64::from(handing.link.is_some());
            load.receipts += u64::from(handing.receipt);
        }
        if work.clearance().is_some() && !work.draft().fields.is_empty() {
            // They are written once the file is in place.
            load.updates += 1;
        }
        match work {
            Work::Adopt { .. } => return,
            Work::TakeBack { .. } | Work::Retire { .. } => load.taken_back += 1,
            Work::Update { .. } | Work::Move { .. } => load.updates += 1,
            Work::Place { .. } if step.action.reuses() => load.reused += 1,
            Work::Place { destination, .. } => {
                add_content(load, &self.engine, sink, size);
                let is_version = matches!(destination, Destination::Version { .. });
                load.versions += u64::from(is_version);
                load.with_availability += u64::from(destination.draft().availability.is_some());
            }
        }
        let collection = &work.draft().collection;
        if self.last.as_deref() == Some(collection.as_str()) || step.action == Action::Skip {
            return;
        }
        self.last = Some(collection.as_str().to_owned());
        if self.load.collections.len() < COLLECTIONS_MAX {
            self.load.collections.insert(collection.clone());
        } else if !self.load.collections.contains(collection) {
            self.more_collections += 1;
        }
    }

    /// What a run of the plan costs by this, once it is decided: what connecting and planning took on these endpoints,
    /// which a run does again, and what the steps take.
    ///
    /// Errors: what prevents the sink from looking which folders have to be made.
    pub async fn finish(&self, source: &dyn Source, sink: &dyn Sink) -> Result<PlanCalls> {
        // First, because looking asks too.
        let planned = (source.calls_made(), sink.calls_made());
        let reads = source.calls_to_read(&self.load);
        let mut writes = sink.calls_to_write(&self.load).await?;
        if self.more_collections > 0 {
            let bare = Load {
                collections: std::collections::BTreeSet::new(),
                ..self.load.clone()
            };
            let without = sink.calls_to_write(&bare).await?;
            let of_collections = writes.all.saturating_sub(without.all);
            let each = of_collections as f64 / COLLECTIONS_MAX as f64;
            writes.all += (each * self.more_collections as f64) as u64;
        }
        Ok(PlanCalls {
            source: Calls {
                all: planned.0 + reads.all,
                ..reads
            },
            sink: Calls {
                all: planned.1 + writes.all,
                ..writes
            },
        })
    }
}

/// Adds a content that moves to `sink`.
pub(crate) fn add_content(load: &mut Load, engine: &Engine, sink: &dyn Sink, size: u64) {
    let together = sink.capabilities().together;
    if together.is_some_and(|together| size <= together.bytes_max) {
        load.small += 1;
        load.small_bytes += size;
        return;
    }
    load.large += 1;
    // What cannot be cut fails when it is tried, and costs nothing.
    let layout = engine.layout(sink, size);
    load.large_chunks += layout.map_or(0, |layout| layout.count());
}

impl PlanCalls {
    /// All calls by the names of the endpoints, without those that are not called.
    pub fn by_endpoint(&self, source: &dyn Endpoint, sink: &dyn Endpoint) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for (endpoint, of) in [(source, self.source), (sink, self.sink)] {
            if of.all > 0 {
                *calls.entry(endpoint.name().to_owned()).or_default() += of.all;
            }
        }
        calls
    }
}
