//! One step, from lease to report. Errors become outcomes here and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_core::{
    Asset, Correlation, Destination, Digests, Draft, Error, Expected, Kind, LeasedStep, NewHold,
    Outcome, Placed, Placement, Result, Sink, Source, StepId, StepReport, StepState,
};
use windlass_transfer::{Engine, TransferRequest};

use super::{RunOptions, Runner, work_of};
use crate::observe::{Event, Observer};
use crate::plan::{Work, draft_digest};

/// How a step failed in this shift so far.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    /// The last one may have left an asset behind that nobody knows of.
    ambiguous: bool,
}

/// Everything a step's task needs; shared by all of them.
pub(super) struct StepRunner {
    flow: String,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    engine: Engine,
    observer: Arc<dyn Observer>,
    options: RunOptions,
    halt: CancellationToken,
    fatal: Mutex<Option<Error>>,
    /// Failed tries of steps in this shift. The attempt number also grows when a run is stopped and
    /// goes on, which must not bring a healthy step nearer to its end.
    failures: Mutex<BTreeMap<StepId, Failures>>,
}

impl StepRunner {
    pub(super) fn new(runner: &Runner, halt: CancellationToken) -> Self {
        StepRunner {
            flow: runner.flow.clone(),
            source: Arc::clone(&runner.source),
            sink: Arc::clone(&runner.sink),
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
    pub(super) async fn run(&self, step: LeasedStep) -> StepReport {
        let work = work_of(&step);
        let outcome = match &work {
            Ok(work) => {
                let asset = work.asset();
                self.observer.observe(Event::StepStarted {
                    path: &asset.path,
                    size: asset.size,
                });
                self.act(&step, work).await
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

    async fn act(&self, step: &LeasedStep, work: &Work) -> Result<Outcome> {
        match work {
            Work::Place {
                asset,
                destination,
                correlation,
            } => {
                self.still_as_planned(asset).await?;
                self.place(step, asset, destination, correlation).await
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
        step: &LeasedStep,
        asset: &Asset,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Outcome> {
        if self.may_be_placed(step)
            && let Some(outcome) = self.adopt(asset, destination, correlation).await?
        {
            return Ok(outcome);
        }
        let request = TransferRequest {
            asset: asset.clone(),
            destination: destination.clone(),
            correlation: correlation.clone(),
            // The ledger recognises a content by it, whichever side states it later.
            want_content_hash: true,
            progress: Arc::default(),
        };
        let (source, sink) = (self.source.as_ref(), self.sink.as_ref());
        let transferred = self
            .engine
            .transfer(source, sink, &request, &self.halt)
            .await?;
        if transferred.adopted && sink.capabilities().metadata {
            // The commit whose answer was lost may have ended between content and metadata.
            sink.set_metadata(&transferred.placed.asset, destination.draft())
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

    /// An earlier attempt may have succeeded without anybody hearing of it: look before repeating.
    async fn adopt(
        &self,
        asset: &Asset,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Option<Outcome>> {
        let expected = Expected {
            size: asset.size,
            content_hash: asset.content_hash,
        };
        let Some(placed) = self.sink.find(destination, correlation, &expected).await? else {
            return Ok(None);
        };
        // The ledger vouches for digests, so the bytes are read once more; none is sent.
        let digests = self
            .engine
            .digest(self.source.as_ref(), asset, &self.halt)
            .await?;
        if self.sink.capabilities().metadata {
            self.sink
                .set_metadata(&placed.asset, destination.draft())
                .await?;
        }
        self.placed(asset, destination.draft(), placed, digests, 0)
            .map(Some)
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
            Kind::Unauthenticated => {
                let message = error.chain();
                let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
                fatal.get_or_insert(error);
                Outcome::Retry {
                    after: Duration::ZERO,
                    message,
                }
            }
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
        let failure = failures.entry(step).or_default();
        failure.count += 1;
        failure.ambiguous = kind == Kind::Ambiguous;
        failure.count
    }

    /// Whether an earlier attempt may have placed the asset: always when it ended without anybody hearing
    /// of it, else only when its answer was lost.
    fn may_be_placed(&self, step: &LeasedStep) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.get(&step.id) {
            Some(failure) => failure.ambiguous,
            None => step.attempt > 1,
        }
    }
}
