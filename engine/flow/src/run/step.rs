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
//! | a copy was asked for, its answer lost | the digests | perhaps the copy | looks: found → adopted, else copies |
//! | outcome not recorded | the same | the asset | adopted with the digests of the intent: no byte is read |
//!
//! Looking is the transfer's: it has the intent in its journal. Where there is none, no commit was ever sent. Only what
//! the transfer does not know is looked for here: a copy, and what an attempt made that decided otherwise whether a
//! version or a new asset is due. Updates of metadata and links need no look: to do them twice is to do them once.
//! What is deleted for good is asked about each time (`ending.rs`).

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Correlation, Destination, Digests, Draft, DraftPart, Error,
    Evidence, Expected, Finding, Journal, Kind, Library, Outcome, Placed, Placement, Result, Reuse,
    Revision, Sink, Source, Status, StepId,
};
use windlass_transfer::{Engine, Gate, TransferRequest, Transferred};

use super::Runner;
use super::activity::{Activity, Doing};
use super::desk::{Back, Desk, touched};
use super::ending::End;
use super::evidence::ReadBack;
use super::journal::StepJournal;
use super::outcome::may_pass;
use crate::delivery::Clearance;
use crate::observe::{Event, Observer};
use crate::plan::{Cause, Work};

/// How often it is tried to take an asset out of a collection, and how long is waited in between.
const UNLINK_TRIES: u32 = 4;
const UNLINK_WAIT: Duration = Duration::from_secs(2);

/// From this size on one call more is nothing against the calls that its bytes cost.
const LOOKED_AT_BYTES: u64 = 4 << 20;

/// One attempt, shared by its task and the loop that watches it.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) step: StepId,
    pub(super) number: u32,
    pub(super) began: Instant,
    pub(super) work: Work,
    /// What an earlier attempt was about to commit, if one was.
    pub(super) intent: Option<Digests>,
    /// What has its bytes at the sink, where they need not move.
    pub(super) held: Option<Box<Placement>>,
    /// The asset at the sink that it links to, or that it was to change.
    pub(super) touches: Option<AssetId>,
    /// The asset and the collection that it is taken out of once something else stands there for the file.
    pub(super) unlink: Option<(AssetId, AssetPath)>,
    pub(super) journal: Arc<StepJournal>,
    pub(super) activity: Activity,
}

/// Everything a step's task needs; shared by all of them.
#[derive(Debug)]
pub(super) struct StepRunner {
    flow: String,
    pub(super) source: Arc<dyn Source>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) sink_reader: Option<Arc<dyn Source>>,
    pub(super) engine: Engine,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) evidence: Evidence,
    desk: Option<Arc<Desk>>,
    pub(super) library: Option<Arc<dyn Library>>,
    /// Until when the plan is taken at its word.
    fresh_until: Option<Instant>,
    /// Attempts end by being dropped.
    pub(super) never: CancellationToken,
    /// The run's finding about evidence was told.
    pub(super) told: AtomicBool,
    /// Assets, each with its revision, that the ledger has and the sink has not any more: nothing is taken from them.
    gone: Mutex<BTreeSet<(AssetId, Revision)>>,
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
            desk: runner.desk.clone(),
            library: runner.library.clone(),
            fresh_until,
            never: CancellationToken::new(),
            told: AtomicBool::new(false),
            gone: Mutex::default(),
        }
    }

    /// Whether what the ledger says the sink has may be there, as far as this run has seen.
    pub(super) fn may_hold(&self, held: &Placement) -> bool {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.is_empty()
            || !gone.contains(&(held.placed.asset.clone(), held.placed.revision.clone()))
    }

    /// Makes the attempt. Cancel by dropping: what was acknowledged and intended is noted by then.
    pub(super) async fn run(&self, attempt: &Attempt) -> Result<Outcome> {
        match &attempt.work {
            Work::Place {
                asset,
                destination,
                correlation,
                release,
                agreed,
                ..
            } => {
                if self.must_look(attempt, asset) {
                    attempt.activity.begin(Doing::Looking);
                    self.still_as_planned(asset).await?;
                }
                let outcome = self.place(attempt, asset, destination, correlation).await?;
                let outcome = still_at(agreed.as_ref(), outcome);
                if let Some(release) = release {
                    let draft = destination.draft();
                    let outcome = self.moved(asset, draft, release, outcome).await?;
                    let is_new = matches!(destination, Destination::New { .. });
                    let outcome = self.with_fields(asset, draft, is_new, outcome).await?;
                    return self
                        .with_handing(asset, draft, Some(release), outcome)
                        .await;
                }
                if let (Some((asset, collection)), Outcome::Done { placement, .. }) =
                    (&attempt.unlink, &outcome)
                    && placement
                        .as_ref()
                        .is_some_and(|now| now.linked || now.placed.asset != *asset)
                {
                    let why = "its file is another asset now";
                    self.unlink(attempt, asset, collection, why).await;
                }
                Ok(outcome)
            }
            Work::Update {
                placement,
                asset,
                draft,
                leaves,
            } => {
                let there = (placement.placed.clone(), placement.digests);
                if self.desk.is_none() {
                    self.describe(attempt, &there.0, draft).await?;
                    for left in leaves {
                        let why = "its place is another one now";
                        self.unlink(attempt, &there.0.asset, left, why).await;
                    }
                    return self.placed(asset, draft, there, 0, false);
                }
                // Where people put it, it stays; only what goes with it is made anew.
                attempt.activity.begin(Doing::Describing);
                if has_fields(draft, false) {
                    self.sink.set_metadata(&there.0.asset, draft).await?;
                }
                let outcome = self.placed(asset, draft, there, 0, false)?;
                self.with_handing(asset, draft, None, outcome).await
            }
            Work::Move {
                placement,
                asset,
                draft,
                release,
            } => {
                self.move_to(attempt, placement, asset, draft, release)
                    .await
            }
            Work::TakeBack {
                placement,
                asset,
                draft,
                why,
                cause,
                keep,
                note,
            } => {
                let back = Back {
                    placement,
                    asset,
                    draft,
                    why,
                    keep: keep.as_ref(),
                    note: note.as_deref(),
                };
                if *cause == Cause::Expired {
                    return self.erase(attempt, back).await;
                }
                attempt.activity.begin(Doing::Undoing);
                self.desk()?.take_back(back).await
            }
            Work::Retire {
                placement,
                asset,
                draft,
                why,
            } => {
                let end = End {
                    placement,
                    asset,
                    draft,
                    why,
                };
                self.retire(attempt, end).await
            }
            Work::Adopt { placement, .. } => Ok(Outcome::Done {
                placement: Some(placement.clone()),
                bytes_moved: 0,
            }),
        }
    }

    pub(super) fn desk(&self) -> Result<&Arc<Desk>> {
        self.desk.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Unsupported,
                "the step hands something out, and this flow does not",
            )
            .with_hint("it was planned when the flow was of another kind; abandon that run")
        })
    }

    /// Moves what is in place, if it may be where it is to go.
    async fn move_to(
        &self,
        attempt: &Attempt,
        placement: &Placement,
        asset: &Asset,
        draft: &Draft,
        release: &Clearance,
    ) -> Result<Outcome> {
        let desk = self.desk()?;
        attempt.activity.begin(Doing::Looking);
        if !release.gone || desk.is_there(asset).await? {
            desk.passing(asset, release).pass().await?;
        }
        attempt.activity.begin(Doing::Describing);
        let to = draft.collection.join(&draft.file_name);
        let moved = desk.outlet.move_to(&placement.placed, &to).await?;
        let placed = moved.ok_or_else(|| touched(asset))?;
        let outcome = self.placed(asset, draft, (placed, placement.digests), 0, false)?;
        let outcome = self.with_fields(asset, draft, false, outcome).await?;
        self.with_handing(asset, draft, Some(release), outcome)
            .await
    }

    /// Moves a newer version to the name that it has now. An attempt that begins again finds the version in place.
    async fn moved(
        &self,
        asset: &Asset,
        draft: &Draft,
        release: &Clearance,
        mut outcome: Outcome,
    ) -> Result<Outcome> {
        if let Outcome::Done {
            placement: Some(placement),
            ..
        } = &mut outcome
            && release.moves
        {
            let to = draft.collection.join(&draft.file_name);
            let desk = self.desk()?;
            let moved = desk.outlet.move_to(&placement.placed, &to).await;
            match moved.and_then(|moved| moved.ok_or_else(|| touched(asset))) {
                Ok(moved) => placement.placed.revision = moved.revision,
                // The version is there and must be known; where it is to be is seen by the next plan.
                Err(error) => {
                    desk.tell(asset, "it keeps its old name", &error);
                    placement.draft_digest = Blake3::of(b"under its old name");
                }
            }
        }
        Ok(outcome)
    }

    /// Writes the fields that go with what is in place.
    async fn with_fields(
        &self,
        asset: &Asset,
        draft: &Draft,
        is_new: bool,
        mut outcome: Outcome,
    ) -> Result<Outcome> {
        if let Outcome::Done {
            placement: Some(placement),
            ..
        } = &mut outcome
            && has_fields(draft, is_new)
            && let Err(error) = self.sink.set_metadata(&placement.placed.asset, draft).await
        {
            // The file is there and must be known; what it does not say is seen by the next plan.
            self.desk()?
                .tell(asset, "its fields are not written", &error);
            placement.draft_digest = Blake3::of(b"without its fields");
        }
        Ok(outcome)
    }

    /// Hands out what goes with what was placed.
    async fn with_handing(
        &self,
        asset: &Asset,
        draft: &Draft,
        release: Option<&Clearance>,
        mut outcome: Outcome,
    ) -> Result<Outcome> {
        if let Outcome::Done {
            placement: Some(placement),
            ..
        } = &mut outcome
            && !self
                .desk()?
                .hand_over(asset, &placement.placed, draft, release)
                .await
        {
            // The file is there and must be known; what is missing is seen by the next plan.
            let bare = Draft {
                handing: None,
                ..draft.clone()
            };
            placement.draft_digest = bare.digest()?;
        }
        Ok(outcome)
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
        if is_fresh || attempt.intent.is_some() || attempt.work.clearance().is_some() {
            // What leaves a library is asked about right before it becomes visible.
            return false;
        }
        if attempt.held.is_some() {
            // Nothing is read that could notice.
            return true;
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

    /// Brings the content there, by its bytes only where it has to, and proves that it arrived; begins again once when
    /// reading back says that it did not.
    async fn place(
        &self,
        attempt: &Attempt,
        asset: &Asset,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Outcome> {
        let journal: Arc<dyn Journal> = Arc::<StepJournal>::clone(&attempt.journal);
        let release = attempt.work.clearance();
        let (readable, gate) = match release {
            None => (asset.clone(), None),
            Some(release) => {
                let gate: Arc<dyn Gate> = Arc::new(self.desk()?.passing(asset, release));
                // What has its bytes at the sink is not read.
                let readable = match attempt.held {
                    Some(_) => asset.clone(),
                    None => self.desk()?.readable(asset, release).await?,
                };
                (readable, Some(gate))
            }
        };
        let request = TransferRequest {
            asset: readable,
            destination: destination.clone(),
            correlation: correlation.clone(),
            gate,
            // The ledger recognises a content by it, whichever side states it later.
            want_content_hash: true,
            progress: Arc::clone(&attempt.activity.progress),
            journal: Some(journal),
        };
        let mut bytes_moved = 0;
        let mut disagreed: Option<Error> = None;
        loop {
            // What reading back refuted is not taken again: then the bytes move.
            let (found, held) = match disagreed {
                None => (
                    self.otherwise(attempt, &request).await?,
                    attempt.held.as_deref(),
                ),
                Some(_) => (None, None),
            };
            let (mut done, linked) = match (found, held) {
                (Some(done), _) => (done, false),
                (None, Some(held)) => {
                    let Some(reused) = self.reuse(attempt, held, &request).await? else {
                        return Ok(self.without(held));
                    };
                    reused
                }
                (None, None) => (self.transfer(attempt, &request).await?, false),
            };
            bytes_moved += done.bytes_moved;
            let read = match (
                self.read_back(attempt, destination, &done).await,
                &self.desk,
            ) {
                // People see it already, so it must be known, however little is proved.
                (Err(error), Some(desk)) if release.is_some() => {
                    desk.tell(asset, "it could not be read back", &error);
                    ReadBack::Reached(done.placed.evidence)
                }
                (read, _) => read?,
            };
            let wrong = match read {
                ReadBack::Reached(evidence) => {
                    done.placed.evidence = evidence;
                    let draft = destination.draft();
                    let there = (done.placed, done.digests);
                    return self.placed(asset, draft, there, bytes_moved, linked);
                }
                // What is linked was somebody's before, and is not taken away.
                ReadBack::Differs(error) if linked => error,
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

    /// The next attempt does without what the sink does not have any more: the step lines up anew, so that of several of
    /// one content only one moves it.
    fn without(&self, held: &Placement) -> Outcome {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.insert((held.placed.asset.clone(), held.placed.revision.clone()));
        Outcome::Retry {
            after: Duration::ZERO,
            message: format!(
                "{} is not as it was placed any more, so nothing is taken from it",
                held.placed.asset
            ),
        }
    }

    /// What an earlier attempt made of the step that decided otherwise: a new asset where this one makes a version of
    /// one that stands for no other file any more, or the version.
    async fn otherwise(
        &self,
        attempt: &Attempt,
        request: &TransferRequest,
    ) -> Result<Option<Transferred>> {
        let links = self.sink.capabilities().reuse == Some(Reuse::Link);
        let (Some(digests), true) = (&attempt.intent, links) else {
            return Ok(None);
        };
        let other = match (&request.destination, &attempt.touches) {
            (Destination::Version { draft, .. }, _) => Destination::New {
                draft: draft.clone(),
            },
            (Destination::New { draft }, Some(asset)) if attempt.held.is_none() => {
                Destination::Version {
                    asset: asset.clone(),
                    draft: draft.clone(),
                    replaces: None,
                }
            }
            (Destination::New { .. }, _) => return Ok(None),
        };
        attempt.activity.begin(Doing::Looking);
        let mark = &request.correlation;
        let found = self
            .sink
            .find(&other, mark, &Expected::from(digests))
            .await?;
        let Some(placed) = found else {
            return Ok(None);
        };
        self.describe(attempt, &placed, other.draft()).await?;
        Ok(Some(whole(placed, *digests)))
    }

    /// Takes an asset out of a collection where it has no business any more, and why. What is in place stays so if that
    /// cannot be done: people are told.
    async fn unlink(
        &self,
        attempt: &Attempt,
        asset: &AssetId,
        collection: &AssetPath,
        although: &str,
    ) {
        attempt.activity.begin(Doing::Describing);
        let mut tries = UNLINK_TRIES;
        let why = loop {
            tries -= 1;
            match self.sink.unlink(asset, collection).await {
                Ok(true) => return,
                Ok(false) => break "it would be nowhere else".to_owned(),
                Err(error) if may_pass(&error) && tries > 0 => {
                    tokio::time::sleep(UNLINK_WAIT).await;
                }
                Err(error) => break error.chain(),
            }
        };
        let finding = Finding {
            subject: self.sink.name().to_owned(),
            message: format!("{asset} stays in {collection}, though {although}: {why}"),
        };
        self.observer.observe(Event::Found { finding: &finding });
    }

    /// Brings a content there that the sink has already; whether it is linked to what is there. `None` where its bytes
    /// have to move after all.
    async fn reuse(
        &self,
        attempt: &Attempt,
        held: &Placement,
        request: &TransferRequest,
    ) -> Result<Option<(Transferred, bool)>> {
        if let Some(gate) = &request.gate {
            attempt.activity.begin(Doing::Looking);
            gate.pass().await?;
        }
        attempt.activity.begin(Doing::Reusing);
        let (destination, digests) = (&request.destination, held.digests);
        let links = self.sink.capabilities().reuse == Some(Reuse::Link);
        if attempt.intent.is_some()
            && let Some(placed) = self.look(request, &digests).await?
        {
            return self
                .found(attempt, request, placed, digests)
                .await
                .map(Some);
        }
        // To link twice is to link once, so only copies are announced.
        if !links {
            attempt.journal.intend(&digests).await?;
        }
        let asked = self
            .sink
            .reuse(&held.placed, destination, &request.correlation, &digests);
        let placed = match asked.await {
            Ok(Some(placed)) => placed,
            Ok(None) if links => return Ok(None),
            Ok(None) => {
                // Nothing was placed, so nobody has to look for it.
                attempt.journal.restarted().await?;
                return Ok(None);
            }
            Err(error) if !links && error.kind() == Kind::Ambiguous => {
                self.look(request, &digests).await?.ok_or(error)?
            }
            // What is in the way may be what an earlier attempt asked for, and was not there yet when it was looked for.
            Err(error) if !links && error.kind() == Kind::Conflict && attempt.intent.is_some() => {
                self.look(request, &digests).await?.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        match links {
            true => Ok(Some((whole(placed, digests), true))),
            false => self
                .found(attempt, request, placed, digests)
                .await
                .map(Some),
        }
    }

    async fn look(&self, request: &TransferRequest, digests: &Digests) -> Result<Option<Placed>> {
        let (destination, mark) = (&request.destination, &request.correlation);
        self.sink
            .find(destination, mark, &Expected::from(digests))
            .await
    }

    /// What is at the sink as an asset of its own gets its metadata.
    async fn found(
        &self,
        attempt: &Attempt,
        request: &TransferRequest,
        placed: Placed,
        digests: Digests,
    ) -> Result<(Transferred, bool)> {
        if self.sink.capabilities().metadata {
            let draft = request.destination.draft();
            self.describe(attempt, &placed, draft).await?;
        }
        Ok((whole(placed, digests), false))
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
        (placed, digests): (Placed, Digests),
        bytes_moved: u64,
        linked: bool,
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
            draft_digest: draft.digest()?,
            collection: draft.collection.clone(),
            linked,
        };
        Ok(Outcome::Done {
            placement: Some(Box::new(placement)),
            bytes_moved,
        })
    }
}

/// What was placed, at the source's place that counts until the other one is brought over, too.
fn still_at(agreed: Option<&AssetPath>, mut outcome: Outcome) -> Outcome {
    if let (
        Some(agreed),
        Outcome::Done {
            placement: Some(placement),
            ..
        },
    ) = (agreed, &mut outcome)
    {
        placement.source_path = agreed.clone();
    }
    outcome
}

/// Whether a file that is handed out says something beside its bytes, or has to stop saying it: where its place is people's
/// to decide, all that a draft says of a file that was there before are its fields.
fn has_fields(draft: &Draft, is_new: bool) -> bool {
    let place = [DraftPart::Name, DraftPart::Collection];
    let stays = place.iter().all(|part| draft.yields.contains(part));
    !draft.fields.is_empty() || (stays && !is_new)
}

/// A content that is at the sink without any of its bytes having moved.
fn whole(placed: Placed, digests: Digests) -> Transferred {
    Transferred {
        placed,
        digests,
        bytes_moved: 0,
        restarts: 0,
        adopted: true,
        bytes_resumed: 0,
    }
}
