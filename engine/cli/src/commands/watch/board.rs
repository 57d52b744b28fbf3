//! What the daemon tells of itself: to the console, which asks when it likes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;
use windlass_console::{Backlog, FlowStatus, House, Status};
use windlass_flow::daemon::Standing;

use super::daemon::Event;
use super::gauge::Gauges;

/// How the daemon stood when it last did something, and how far its passes are now.
#[derive(Debug)]
pub(super) struct Board {
    shown: Mutex<Shown>,
    gauges: Arc<Gauges>,
    events: mpsc::Sender<Event>,
}

#[derive(Debug)]
struct Shown {
    since: Timestamp,
    draining: bool,
    /// Until flows are shown the daemon has only begun.
    flows: Option<Vec<Standing>>,
    left: BTreeMap<String, Left>,
}

/// What a pass left for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// What it could not place; `None` of a pass that did not look at everything.
    pub(super) backlog: Option<Backlog>,
    /// How many conflicts wait; `None` where there can be none.
    pub(super) conflicts: Option<u64>,
}

impl Board {
    pub(super) fn new(since: Timestamp, events: mpsc::Sender<Event>) -> Self {
        let shown = Shown {
            since,
            draining: false,
            flows: None,
            left: BTreeMap::new(),
        };
        Board {
            shown: Mutex::new(shown),
            gauges: Arc::default(),
            events,
        }
    }

    /// Where passes tell how far they are.
    pub(super) fn gauges(&self) -> &Arc<Gauges> {
        &self.gauges
    }

    /// Shows how flows stand now.
    pub(super) fn show(&self, flows: Vec<Standing>, draining: bool) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.flows = Some(flows);
        shown.draining = draining;
    }

    /// Keeps what a pass of a flow left; what it says nothing about stays.
    pub(super) fn keep(&self, flow: &str, left: Left) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = shown.left.entry(flow.to_owned()).or_default();
        kept.backlog = left.backlog.or(kept.backlog.take());
        kept.conflicts = left.conflicts.or(kept.conflicts);
    }
}

impl Shown {
    /// Why the daemon is not ready, if it is not.
    fn reasons(&self) -> Vec<String> {
        let Some(flows) = &self.flows else {
            return vec!["it has only begun".to_owned()];
        };
        let unsettled = flows.iter().filter(|flow| !flow.settled);
        let mut reasons: Vec<String> = unsettled
            .map(|flow| format!("{} has not passed yet: {}", flow.flow, flow.why))
            .collect();
        if self.draining {
            reasons.push("the daemon ends".to_owned());
        }
        reasons
    }

    fn flow(&self, standing: &Standing, gauges: &Gauges) -> FlowStatus {
        let left = self.left.get(&standing.flow).cloned().unwrap_or_default();
        FlowStatus {
            progress: gauges.read(&standing.flow),
            standing: standing.clone(),
            backlog: left.backlog,
            conflicts: left.conflicts,
        }
    }
}

impl House for Board {
    fn status(&self) -> Status {
        // Nothing in there panics between two changes that belong together.
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let reasons = shown.reasons();
        let flows = shown.flows.iter().flatten();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: reasons.is_empty(),
            reasons,
            since: shown.since,
            draining: shown.draining,
            flows: flows.map(|flow| shown.flow(flow, &self.gauges)).collect(),
        }
    }

    fn ring(&self, endpoints: &[String]) {
        for endpoint in endpoints {
            // Where the daemon is that busy it looks by itself soon.
            if self.events.try_send(Event::Rung(endpoint.clone())).is_err() {
                tracing::debug!(endpoint, "a ring is not heard");
            }
        }
    }
}
