//! One step, from lease to report. Errors become outcomes here and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_core::{
    Asset, Correlation, Destination, Digests, Draft, Error, Evidence, Kind, LeasedStep, Ledger,
    NewHold, Outcome, Placed, Placement, Readable, Result, Sink, Source, StepId, StepReport,
    StepState, Unfinished,
};
use windlass_transfer::{Engine, Progress, TransferRequest, Transferred};

use super::journal::StepJournal;
use super::{RunOptions, Runner, work_of};
use crate::observe::{Event, Observer};
use crate::plan::{Work, draft_digest};

/// The wait before a step is tried again that a service turned away without saying for how long.
const LIMITED_WAIT: Duration = Duration::from_secs(30);

/// How often an asset is placed again because what the sink gives back is not what it was given.
const READ_BACK_AGAIN: u32 = 1;

/// A step on its way into a task.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) step: LeasedStep,
    /// What earlier attempts left.
    pub(super) unfinished: Unfinished,
    /// Where the task says how far it is.
    pub(super) progress: Arc<Progress>,
    /// The plan is so recent that the source need not be asked whether it still holds.
    pub(super) is_fresh: bool,
}

/// Everything a step's task needs; shared by all of them.
pub(super) struct StepRunner {
    flow: String,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    sink_reader: Option<Arc<dyn Source>>,
    ledger: Arc<dyn Ledger>,
    engine: Engine,
    observer: Arc<dyn Observer>,
    options: RunOptions,
    halt: CancellationToken,
    fatal: Mutex<Option<Error>>,
    /// Failed tries of steps in this shift. The attempt number also grows when a run is stopped and
    /// goes on, which must not bring a healthy step nearer to its end.
    failures: Mutex<BTreeMap<StepId, u32>>,
}

impl StepRunner {
    pub(super) fn new(runner: &Runner, halt: CancellationToken) -> Self {
        StepRunner {
            flow: runner.flow.clone(),
            source: Arc::clone(&runner.source),
            sink: Arc::clone(&runner.sink),
            sink_reader: runner.sink_reader.clone(),
            ledger: Arc::clone(&runner.ledger),
            engine: runner.engine.clone(),
            observer: Arc::clone(&runner.observer),
            options: runner.options.clone(),
            halt,
            fatal: Mutex::new(None),
            failures: Mutex::default(),
        }
    }

    /// The first error that makes going on pointless, once.
    pub(super) fn take_fatal(&self) -> Option<Error> {
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Runs a step and reports how it ended.
    pub(super) async fn run(&self, taken: Taken) -> StepReport {
        let step = &taken.step;
        let work = work_of(step);
        let outcome = match &work {
            Ok(work) => {
                let asset = work.asset();
                self.observer.observe(Event::StepStarted {
                    path: &asset.path,
                    size: asset.size,
                });
                self.act(&taken, work).await
            }
            Err(_) => Err(Error::new(
                Kind::Corrupt,
                "the step's payload cannot be read",
            )),
        };
        let outcome =
            outcome.unwrap_or_else(|error| self.outcome_of(error, step.id, work.as_ref().ok()));
        if let Ok(work) = &work {
            let asset = work.asset();
            let (state, message) = match &outcome {
                Outcome::Done { .. } => (StepState::Done, None),
                Outcome::Held { reason, .. } => (StepState::Held, Some(reason.as_str())),
                Outcome::Failed { message, .. } => (StepState::Failed, Some(message.as_str())),
                Outcome::Retry { message, .. } => (StepState::Open, Some(message.as_str())),
            };
            self.observer.observe(Event::StepEnded {
                path: &asset.path,
                size: asset.size,
                state,
                message,
            });
        }
        StepReport {
            id: step.id,
            attempt: step.attempt,
            outcome,
        }
    }

    async fn act(&self, taken: &Taken, work: &Work) -> Result<Outcome> {
        match work {
            Work::Place {
                asset,
                destination,
                correlation,
            } => {
                // A commit that may have happened is looked for whatever the source says now.
                if !taken.is_fresh && taken.unfinished.intent.is_none() {
                    self.still_as_planned(asset).await?;
                }
                self.place(taken, asset, destination, correlation).await
            }
            Work::Update {
                placement,
                asset,
                draft,
            } => self.update(placement, asset, draft).await,
        }
    }

    /// A plan may be hours old: bytes move only for the revision that was planned.
    async fn still_as_planned(&self, asset: &Asset) -> Result<()> {
        let changed = |what: &str| {
            Error::new(
                Kind::SourceChanged,
                format!("the source {what} since the plan was made"),
            )
            .with_context("path", &asset.path)
            .with_hint("the next run plans it again")
            .with_status(windlass_core::Status::Permanent)
        };
        match self.source.stat(&asset.id).await? {
            None => Err(changed("file vanished")),
            Some(now) if now.revision != asset.revision => Err(changed("file changed")),
            Some(_) => Ok(()),
        }
    }

    async fn place(
        &self,
        taken: &Taken,
        asset: &Asset,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Outcome> {
        let journal = StepJournal::new(
            Arc::clone(&self.ledger),
            &taken.step,
            taken.unfinished.clone(),
        );
        let request = TransferRequest {
            asset: asset.clone(),
            destination: destination.clone(),
            correlation: correlation.clone(),
            // The ledger recognises a content by it, whichever side states it later.
            want_content_hash: true,
            progress: Arc::clone(&taken.progress),
            journal: Some(Arc::new(journal)),
        };
        let mut again = 0;
        let transferred = loop {
            let (source, sink) = (self.source.as_ref(), self.sink.as_ref());
            let mut transferred = self
                .engine
                .transfer(source, sink, &request, &self.halt)
                .await?;
            match self.read_back(asset, destination, &mut transferred).await {
                Ok(()) => break transferred,
                Err(error) if error.kind() == Kind::Integrity && again < READ_BACK_AGAIN => {
                    tracing::warn!(error = %error.chain(), "placing it again");
                    again += 1;
                }
                Err(error) => return Err(error),
            }
        };
        if transferred.adopted && self.sink.capabilities().metadata {
            // The commit whose answer was lost may have ended between content and metadata.
            self.sink
                .set_metadata(&transferred.placed.asset, destination.draft())
                .await?;
        }
        self.placed(
            asset,
            destination.draft(),
            transferred.placed,
            transferred.digests,
            transferred.bytes_moved,
        )
    }

    /// Reads back and hashes what was placed, where that much is wanted. What is not what it should be is
    /// taken away again.
    async fn read_back(
        &self,
        asset: &Asset,
        destination: &Destination,
        transferred: &mut Transferred,
    ) -> Result<()> {
        let wanted = self.options.evidence == Evidence::E3;
        let Some(reader) = self.sink_reader.as_ref().filter(|_| wanted) else {
            return Ok(());
        };
        let draft = destination.draft();
        let (placed, digests) = (&mut transferred.placed, &transferred.digests);
        let there = Asset {
            id: placed.asset.clone(),
            path: draft.collection.join(&draft.file_name),
            revision: placed.revision.clone(),
            size: placed.size,
            modified: None,
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
        };
        let back = self
            .engine
            .digest(reader.as_ref(), &there, &self.halt)
            .await;
        let back =
            back.map_err(|error| error.with_context("while", "reading back what was placed"))?;
        if back.blake3 == digests.blake3 {
            placed.evidence = Evidence::E3;
            return Ok(());
        }
        let error = Error::new(
            Kind::Integrity,
            format!(
                "the sink gives back other bytes than it was given: BLAKE3 {} instead of {}",
                back.blake3, digests.blake3
            ),
        )
        .with_context("asset", &asset.path);
        match self.sink.remove(placed).await {
            Ok(()) => Err(error.with_context("undone", "what was placed was removed again")),
            Err(failure) => Err(error
                .with_context("left behind", &placed.asset)
                .with_context("removing it failed", failure)),
        }
    }

    async fn update(&self, placement: &Placement, asset: &Asset, draft: &Draft) -> Result<Outcome> {
        self.sink
            .set_metadata(&placement.placed.asset, draft)
            .await?;
        self.placed(asset, draft, placement.placed.clone(), placement.digests, 0)
    }

    fn placed(
        &self,
        asset: &Asset,
        draft: &Draft,
        placed: Placed,
        digests: Digests,
        bytes_moved: u64,
    ) -> Result<Outcome> {
        let placement = Placement {
            flow: self.flow.clone(),
            source: self.source.name().to_owned(),
            source_asset: asset.id.clone(),
            source_revision: asset.revision.clone(),
            source_path: asset.path.clone(),
            sink: self.sink.name().to_owned(),
            placed,
            digests,
            draft_digest: draft_digest(draft)?,
        };
        Ok(Outcome::Done {
            placement: Some(Box::new(placement)),
            bytes_moved,
        })
    }

    fn outcome_of(&self, error: Error, step: StepId, work: Option<&Work>) -> Outcome {
        let failures = self.count_failure(step, error.kind());
        let hint = error.hint().map(str::to_owned);
        let kind = error.kind();
        tracing::debug!(%kind, failures, "{}", error.chain());
        match kind {
            Kind::Cancelled => Outcome::Retry {
                after: Duration::ZERO,
                message: error.chain(),
            },
            // Nothing can be placed any more, or nobody may: going on would only fail file by file.
            Kind::Unauthenticated | Kind::Capacity => {
                let message = error.chain();
                let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
                fatal.get_or_insert(error);
                Outcome::Retry {
                    after: Duration::ZERO,
                    message,
                }
            }
            // Being turned away is no failure of the step, however often it happens.
            Kind::Limited => Outcome::Retry {
                after: error.retry_after().unwrap_or(LIMITED_WAIT),
                message: error.chain(),
            },
            _ if error.is_temporary() && failures < self.options.tries => {
                let doubled = self.options.retry_after * 2_u32.saturating_pow(failures.min(8) - 1);
                let after = error.retry_after().unwrap_or(doubled);
                Outcome::Retry {
                    after,
                    message: error.chain(),
                }
            }
            Kind::Restricted | Kind::InvalidInput | Kind::SourceChanged | Kind::Conflict => {
                // For a person, and grouped in reports: without request ids and paths.
                let message = error.message();
                let reason = match &hint {
                    Some(hint) => format!("{message}; {hint}"),
                    None => message.to_owned(),
                };
                // What was only temporary is decided afresh by the next plan.
                let lasting = work.filter(|_| !error.is_temporary());
                let hold = lasting.and_then(|work| self.hold(work)).map(Box::new);
                Outcome::Held { reason, hold }
            }
            _ => Outcome::Failed {
                kind,
                message: error.chain(),
                hint,
            },
        }
    }

    /// What later plans are told: not again, unless the asset or what it shall become changes.
    fn hold(&self, work: &Work) -> Option<NewHold> {
        let asset = work.asset();
        let draft_digest = draft_digest(work.draft())
            .inspect_err(|error| tracing::warn!("the next run tries it again: {}", error.chain()))
            .ok()?;
        Some(NewHold {
            flow: self.flow.clone(),
            source: self.source.name().to_owned(),
            source_asset: asset.id.clone(),
            source_revision: asset.revision.clone(),
            draft_digest,
        })
    }

    fn count_failure(&self, step: StepId, kind: Kind) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(step).or_default();
        *count += u32::from(kind != Kind::Limited);
        *count
    }
}
