//! How far the passes are that run: what each tells whoever watches it, kept for the console.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_console::{Progress, Stage};
use windlass_flow::{Event, Observer, RunStatus};

/// How far the pass of each flow is, by the flow's name.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    flows: Mutex<BTreeMap<String, Progress>>,
}

impl Gauges {
    /// A pass of this flow begins.
    pub(super) fn begin(&self, flow: &str) {
        self.lock().insert(flow.to_owned(), Progress::default());
    }

    /// It has ended.
    pub(super) fn end(&self, flow: &str) {
        self.lock().remove(flow);
    }

    /// How far it is; `None` while none runs.
    pub(super) fn read(&self, flow: &str) -> Option<Progress> {
        self.lock().get(flow).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Progress>> {
        // Nothing in there panics between two changes that belong together.
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches the passes of one flow, beside somebody else who does.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) flow: String,
    pub(super) gauges: Arc<Gauges>,
    pub(super) beside: Arc<dyn Observer>,
}

impl Observer for Gauge {
    fn observe(&self, event: Event<'_>) {
        if let Some(progress) = self.gauges.lock().get_mut(&self.flow) {
            note(progress, event);
        }
        self.beside.observe(event);
    }
}

fn note(progress: &mut Progress, event: Event<'_>) {
    let mut is_at = |stage, files| {
        progress.stage = stage;
        progress.files = files;
    };
    match event {
        Event::Listed { assets } => is_at(Stage::Listing, assets),
        Event::Deciding { assets } | Event::Hashed { assets, .. } => {
            is_at(Stage::Deciding, assets);
        }
        Event::Sealing { files, .. } => is_at(Stage::Sealing, files),
        Event::RunStarted {
            run, steps, bytes, ..
        } => {
            *progress = Progress {
                stage: Stage::Working,
                run: Some(run),
                steps,
                bytes,
                ..Progress::default()
            };
        }
        Event::Status(status) => *progress = working(status),
        _ => {}
    }
}

fn working(status: &RunStatus) -> Progress {
    Progress {
        stage: Stage::Working,
        files: 0,
        run: Some(status.run),
        steps: status.steps,
        steps_ended: status.steps_ended,
        bytes: status.bytes,
        bytes_there: status.bytes_there,
        // A pace is no more exact than that, and never negative.
        bytes_per_second: status.bytes_per_second as u64,
        seconds_left: status.time_left.map(|left| left.as_secs()),
        why: status.why.clone(),
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::RunId;
    use windlass_flow::Silent;

    use super::*;

    #[test]
    fn a_pass_is_seen_from_its_listing_to_its_end_and_not_after_it() {
        let gauges: Arc<Gauges> = Arc::default();
        let gauge = Gauge {
            flow: "move".to_owned(),
            gauges: Arc::clone(&gauges),
            beside: Arc::new(Silent),
        };
        gauge.observe(Event::Listed { assets: 7 });
        assert_eq!(gauges.read("move"), None, "no pass has begun");
        gauges.begin("move");
        assert_eq!(gauges.read("move"), Some(Progress::default()));
        gauge.observe(Event::Listed { assets: 7 });
        gauge.observe(Event::Deciding { assets: 9 });
        let deciding = gauges.read("move").unwrap();
        assert_eq!((deciding.stage, deciding.files), (Stage::Deciding, 9));
        let run = RunId::fresh();
        gauge.observe(Event::RunStarted {
            run,
            steps: 3,
            bytes: 30,
            resumed: false,
        });
        let working = gauges.read("move").unwrap();
        assert_eq!((working.run, working.files), (Some(run), 0));
        assert_eq!((working.steps, working.bytes), (3, 30));
        assert_eq!(gauges.read("other"), None);
        gauges.end("move");
        assert_eq!(gauges.read("move"), None);
    }
}
