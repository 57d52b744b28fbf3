//! What the daemon tells of itself: to the console, which asks when it likes, and in lines.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;
use windlass_console::{House, Status};
use windlass_flow::daemon::Standing;

use super::daemon::Event;

/// How the daemon stood when it last did something.
#[derive(Debug)]
pub(super) struct Board {
    status: Mutex<Status>,
    events: mpsc::Sender<Event>,
}

impl Board {
    pub(super) fn new(since: Timestamp, events: mpsc::Sender<Event>) -> Self {
        let status = Status {
            ready: false,
            reasons: vec!["it has only begun".to_owned()],
            since,
            draining: false,
            flows: Vec::new(),
        };
        Board {
            status: Mutex::new(status),
            events,
        }
    }

    /// Shows how flows stand now.
    pub(super) fn show(&self, flows: Vec<Standing>, draining: bool) {
        let unsettled = flows.iter().filter(|flow| !flow.settled);
        let mut reasons: Vec<String> = unsettled
            .map(|flow| format!("{} has not passed yet: {}", flow.flow, flow.why))
            .collect();
        if draining {
            reasons.push("the daemon ends".to_owned());
        }
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.ready = reasons.is_empty();
        status.reasons = reasons;
        status.draining = draining;
        status.flows = flows;
    }
}

impl House for Board {
    fn status(&self) -> Status {
        // Nothing in there panics between two changes that belong together.
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
