//! One attempt at one step: what it does, and in which order it says so.
//!
//! What a crash leaves of it, and what the next attempt does:
//!
//! | crash after | in the ledger | at the sink | next attempt |
//! |---|---|---|---|
//! | lease | lease | nothing | begins |
//! | parts were acknowledged | session and parts, jotted | the parts | goes on behind them: neither reads nor sends them |
//! | the intent was noted | session, parts, digests | all bytes, perhaps the asset | looks: found → adopted unread, else commits what is there |
//! | commit answered, metadata or reading back missing | the same | the asset | looks, finds and adopts it; then does what is missing |
//! | reading back disagreed | the same | the wrong asset, or nothing | adopts and reads back again, or begins anew |
//! | outcome not recorded | the same | the asset | adopted with the digests of the intent: no byte is read |
//!
//! Looking is the transfer's: it has the intent in its journal. Where there is none, no commit was ever sent,
//! so flows do not look by themselves any more. Updates of metadata need no look: to do them twice is to do them
//! once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Asset, Correlation, Destination, Digests, Draft, Error, Evidence, Journal, Kind, Outcome,
    Placed, Placement, Result, Sink, Source, Status, StepId,
};
use windlass_transfer::{Engine, TransferRequest, Transferred};

use super::Runner;
use super::activity::{Activity, Doing};
use super::evidence::ReadBack;
use super::journal::StepJournal;
use crate::observe::Observer;
use crate::plan::{Work, draft_digest};

/// From this size on one call more is nothing against the calls that its bytes cost.
const LOOKED_AT_BYTES: u64 = 4 << 20;

/// One attempt, shared by its task and the loop that watches it.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) step: StepId,
    pub(super) number: u32,
    pub(super) began: Instant,
    pub(super) work: Work,
    /// A commit may have been sent by an earlier attempt.
    pub(super) may_be_placed: bool,
    pub(super) journal: Arc<StepJournal>,
    pub(super) activity: Activity,
}

/// Everything a step's task needs; shared by all of them.
#[derive(Debug)]
pub(super) struct StepRunner {
    flow: String,
    source: Arc<dyn Source>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) sink_reader: Option<Arc<dyn Source>>,
    pub(super) engine: Engine,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) evidence: Evidence,
    /// Until when the plan is taken at its word.
    fresh_until: Option<Instant>,
    /// Attempts end by being dropped.
    pub(super) never: CancellationToken,
    /// The run's finding about evidence was told.
    pub(super) told: AtomicBool,
}

impl StepRunner {
    pub(super) fn new(runner: &Runner, fresh_until: Option<Instant>) -> Self {
        StepRunner {
            flow: runner.flow.clone(),
            source: Arc::clone(&runner.source),
            sink: Arc::clone(&runner.sink),
            sink_reader: runner.sink_reader.clone(),
            engine: runner.engine.clone(),
            observer: Arc::clone(&runner.observer),
            evidence: runner.options.evidence,
            fresh_until,
            never: CancellationToken::new(),
            told: AtomicBool::new(false),
        }
    }

    /// Makes the attempt. Cancel by dropping: what was acknowledged and intended is noted by then.
    pub(super) async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        match &attempt.work {
            Work::Place {
                asset,
                destination,
                correlation,
            } => {
                if self.must_look(attempt, asset) {
                    attempt.activity.begin(Doing::Looking);
                    self.still_as_planned(asset).await?;
                }
                self.place(attempt, asset, destination, correlation).await
            }
            Work::Update {
                placement,
                asset,
                draft,
            } => {
                self.describe(attempt, &placement.placed, draft).await?;
                self.placed(asset, draft, placement.placed.clone(), placement.digests, 0)
            }
        }
    }

    /// Whether the source is asked, before bytes move, how the asset is now.
    ///
    /// Not while the plan is fresh, nor where a commit may have happened, which comes first. Later it depends on
    /// the sheet: a source that reads ranges reads them of the planned revision and of no other, so a look proves
    /// nothing, it only saves moving what was replaced meanwhile. That is worth a call for a large content. A
    /// thousand small ones would cost a thousand calls; where the source still has the planned revision it is
    /// placed, and the next plan replaces it.
    fn must_look(&self, attempt: &Attempt, asset: &Asset) -> bool {
        let is_fresh = self.fresh_until.is_some_and(|until| Instant::now() < until);
        if is_fresh || attempt.may_be_placed {
            return false;
        }
        let pins = self.source.capabilities().range_reads;
        // Of an empty content nothing is read that could notice.
        !pins || asset.size == 0 || asset.size > LOOKED_AT_BYTES
    }

    async fn still_as_planned(&self, asset: &Asset) -> Result<()> {
        let changed = |what: &str| {
            Error::new(
                Kind::SourceChanged,
                format!("the source {what} since the plan was made"),
            )
            .with_context("path", &asset.path)
            .with_hint("the next run plans it again")
            .with_status(Status::Permanent)
        };
        match self.source.stat(&asset.id).await? {
            None => Err(changed("file vanished")),
            Some(now) if now.revision != asset.revision => Err(changed("file changed")),
            Some(_) => Ok(()),
        }
    }

    /// Moves the bytes and proves that they arrived; begins again once when reading back says that they
    /// did not.
    async fn place(
        &self,
        attempt: &Attempt,
        asset: &Asset,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Outcome> {
        let journal: Arc<dyn Journal> = Arc::<StepJournal>::clone(&attempt.journal);
        let request = TransferRequest {
            asset: asset.clone(),
            destination: destination.clone(),
            correlation: correlation.clone(),
            // The ledger recognises a content by it, whichever side states it later.
            want_content_hash: true,
            progress: Arc::clone(&attempt.activity.progress),
            journal: Some(journal),
        };
        let mut bytes_moved = 0;
        let mut disagreed: Option<Error> = None;
        loop {
            let mut done = self.transfer(attempt, &request).await?;
            bytes_moved += done.bytes_moved;
            let wrong = match self.read_back(attempt, destination, &done).await? {
                ReadBack::Reached(evidence) => {
                    done.placed.evidence = evidence;
                    let draft = destination.draft();
                    return self.placed(asset, draft, done.placed, done.digests, bytes_moved);
                }
                ReadBack::Differs(error) => self.undo(attempt, &done.placed, error).await?,
            };
            if let Some(first) = disagreed {
                return Err(wrong.with_context("the first time", first));
            }
            tracing::warn!(path = %asset.path, error = %wrong.chain(), "beginning again");
            disagreed = Some(wrong);
            attempt.journal.restarted().await?;
        }
    }

    async fn transfer(&self, attempt: &Attempt, request: &TransferRequest) -> Result<Transferred> {
        attempt.activity.begin(Doing::Moving);
        let (source, sink) = (self.source.as_ref(), self.sink.as_ref());
        let done = self
            .engine
            .transfer(source, sink, request, &self.never)
            .await?;
        if done.adopted && sink.capabilities().metadata {
            // The commit whose answer was lost may have ended between content and metadata.
            let draft = request.destination.draft();
            self.describe(attempt, &done.placed, draft).await?;
        }
        Ok(done)
    }

    async fn describe(&self, attempt: &Attempt, placed: &Placed, draft: &Draft) -> Result<()> {
        attempt.activity.begin(Doing::Describing);
        self.sink.set_metadata(&placed.asset, draft).await
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
}
