//! Two-way sync: drafts stay where they are, finals go to the library, and what is newer there comes back.
//!
//! A sync is two halves, each a flow of its own with its own runs: the way in is an ingest, the way out a release of
//! another kind (`paired.rs`). What makes them one is the *pair*: a file and the asset that it is, by their ids, whatever
//! their names and places are. Both halves look at the same pairs, judge them by the same rules (`verdict.rs`), and each
//! does its part of what is due. What neither may decide waits in the queue of conflicts, and nothing else waits for it.
//!
//! ```text
//! look      both sides and the ledger: every pair with its file, its asset and where they agreed last   seen.rs, scene.rs, pair.rs
//! find      pairs that the ledger does not have, by what is stamped on both sides and by place            found.rs
//! judge     who changed what, who may decide, what somebody chose                                       verdict.rs, place.rs
//! way in    new and changed files through the ingest; assets whose file was removed are put away         inward.rs
//! way out   newer versions, moved and renamed assets, files whose asset was deleted                      outward.rs, paired.rs
//! audit     how every pair stands, and whether the bytes of those that agree are what the ledger knows          audit.rs
//! keep      what was put away longer ago than it has to be kept                                         purge.rs
//! undo      what was put away goes back, and stays                                                       undo.rs
//! ```
//!
//! Nobody's write comes back as a change: each half's placement is a point at which both agree, so what one half wrote is
//! what the other half finds agreed. A crash between the two halves, or in either, leaves placements that say how far it
//! came; the next pass judges anew.
//!
//! Memory grows with what is in the folder and the collection, as it does for release flows.

mod audit;
mod book;
mod found;
mod inward;
mod known;
mod list;
mod outward;
mod pair;
mod paired;
mod place;
mod purge;
mod scene;
mod seen;
mod undo;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_core::{
    AssetId, AssetPath, Blake3, Clock, Cursor, Error, Kind, Library, NewConflict, Query, Result,
    RunId, RunOrigin, Source, StepState,
};

pub use self::audit::VerifySync;
use self::pair::Seen;
use self::paired::Paired;
pub use self::seen::Remembered;
use super::ingest::Ingest;
use super::release::{ReleaseFlow, ReleaseKind};
use crate::caps::RemovalCap;
use crate::plan::{PlanSummary, PlanWriter};

/// Who decides what becomes of the bytes of an asset whose file people changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BytesAuthority {
    /// A changed file is proposed: somebody chooses whether it becomes a version.
    #[default]
    Propose,
    /// A changed file that is approved becomes a version.
    File,
}

/// Who decides where the two of a pair are and what they are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceAuthority {
    /// Whoever moved last; the asset where both were moved.
    #[default]
    Whoever,
    /// The file; an asset that is moved goes back.
    File,
    /// The asset; a file that is moved goes back.
    Asset,
}

/// Who wins, and who may propose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Authority {
    /// Over bytes.
    pub bytes: BytesAuthority,
    /// Over folders and names.
    pub place: PlaceAuthority,
    /// The technical names of fields that follow the file for as long as the pair lasts. All others are the library's as
    /// soon as the asset is there.
    pub fields: BTreeSet<String>,
    /// When an asset may be used follows the file, too.
    pub availability: bool,
}

/// How removals at one side are carried out at the other one: by putting away, and by deleting only what was put away long
/// ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removing {
    /// The folder where files are kept whose asset is gone: one folder in it for each pass that puts something away.
    pub files: AssetPath,
    /// The collection where assets are kept whose file is gone, in the same way.
    pub assets: AssetPath,
    /// For how many days it is kept at least: what was put away longer ago is named, so that people may delete it.
    /// `None` keeps it without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// What was put away longer ago than that is deleted, as long as nobody touched it. Says nothing without `days`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
}

/// What the configuration says about a two-way flow.
#[derive(Clone, Debug, Serialize)]
pub struct SyncOptions {
    /// The flow's name: conflicts are kept under it.
    pub name: String,
    /// The name of its way in.
    pub way_in: String,
    /// The name of its way out.
    pub way_out: String,
    /// The folder of the files.
    pub root: AssetPath,
    /// Which assets it is about.
    pub query: Query,
    /// Who wins.
    pub authority: Authority,
    /// Folders below the root are collections below the flow's, and names are names. Without it each side keeps its own
    /// order, and only bytes and metadata are carried over.
    pub mirrors: bool,
    /// The technical names of fields that are written beside the file, where its place can keep them.
    pub governed: Vec<String>,
    /// Assets without a file get one.
    pub publishes: bool,
    /// Removals are carried out; `None` leaves the other side alone.
    pub removing: Option<Removing>,
    /// The most that is put away unseen.
    #[serde(skip)]
    pub cap: Option<RemovalCap>,
}

/// One configured two-way flow with everything that both halves speak to.
#[derive(Debug)]
pub struct Sync {
    /// What the configuration says.
    pub options: SyncOptions,
    /// The way in.
    pub ingest: Ingest,
    /// The way out, whatever its kind: it becomes the one of this flow.
    pub release: ReleaseFlow,
    /// Who governs the assets.
    pub library: Arc<dyn Library>,
    /// The same place to list, with what is stamped on the assets.
    pub assets: Arc<dyn Source>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What was seen by the last pass of this value.
    pub remembered: Remembered,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From files to assets.
    In,
    /// From assets to files.
    Out,
}

/// One way of a two-way flow, with a name and runs of its own.
#[derive(Clone, Debug)]
pub struct SyncHalf {
    /// Both ways.
    pub sync: Arc<Sync>,
    /// Which of them.
    pub way: Way,
}

impl SyncHalf {
    /// Says how much it may put away or take back unseen.
    pub fn set_cap(&mut self, cap: Option<RemovalCap>) {
        match Arc::get_mut(&mut self.sync) {
            Some(sync) => sync.options.cap = cap,
            // Whoever shares it has its own idea of a cap.
            None => tracing::warn!("the cap of a flow that is shared stays as it is"),
        }
    }

    /// Its name in the ledger.
    pub fn name(&self) -> &str {
        match self.way {
            Way::In => &self.sync.options.way_in,
            Way::Out => &self.sync.options.way_out,
        }
    }
}

/// What a plan found for the queue of conflicts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// What waits for a choice.
    pub found: Vec<NewConflict>,
    /// What does not any more.
    pub ended: Vec<AssetId>,
}

impl Sync {
    /// What makes a release the way out of a flow, before anybody knows how its pairs stand.
    pub fn kind(options: &SyncOptions) -> Arc<dyn ReleaseKind> {
        Arc::new(Paired::unknown(options.clone()))
    }

    fn files(&self) -> &Arc<dyn Source> {
        &self.ingest.source
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            way_in: &self.options.way_in,
            way_out: &self.options.way_out,
            files: self.files().name(),
            library: self.library.name(),
        }
    }

    /// Decides what the way in would do. Writes nothing anywhere.
    pub async fn decide_in(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        self.plan_inward(writer).await
    }

    /// By what a plan of the way in would be decided.
    pub fn origin_in(&self) -> Result<RunOrigin> {
        let origin = self.ingest.origin()?;
        let text = serde_json::to_vec(&(&self.options, origin.rules.to_hex()));
        let text = text.map_err(|error| {
            Error::new(Kind::Unexpected, "the flow's rules cannot be written").with_source(error)
        })?;
        Ok(RunOrigin {
            rules: Blake3::of(&text),
            ..origin
        })
    }

    /// Notes what a pass found once its plan was worked off: what waits for a choice, and that the flow has seen all of
    /// both sides once.
    pub async fn settle_in(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<()> {
        let ledger = &self.ingest.ledger;
        ledger.note_conflicts(&plan.queue.found).await?;
        ledger
            .end_conflicts(&self.options.name, &plan.queue.ended)
            .await?;
        if let Some(run) = run {
            for (state, _, tally) in ledger.tally(run).await? {
                let is_left = matches!(state, StepState::Open | StepState::Leased);
                if is_left && tally.steps > 0 {
                    return Ok(());
                }
            }
        }
        let now = Cursor::new(self.clock.now().to_string());
        ledger.set_cursor(&self.seen_key(), Some(&now)).await
    }

    /// Notes what a pass of the way out found once its plan was worked off. What failed counts as new in the next pass.
    pub async fn settle_out(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<()> {
        self.release.settle(plan, run).await?;
        let tallies = match run {
            Some(run) => self.release.ledger.tally(run).await?,
            None => Vec::new(),
        };
        let mut left = tallies.iter().filter(|(state, _, tally)| {
            let is_done = matches!(
                state,
                StepState::Done | StepState::Skipped | StepState::Held
            );
            !is_done && tally.steps > 0
        });
        if left.next().is_none() {
            self.remembered.settle(plan.look);
        }
        Ok(())
    }

    /// Whether a pass has seen all of both sides before. Until then nothing is put away: what looks removed may never have
    /// been there.
    async fn has_seen_all(&self) -> Result<bool> {
        let noted = self.ingest.ledger.cursor(&self.seen_key()).await?;
        Ok(noted.is_some())
    }

    pub(crate) fn seen_key(&self) -> String {
        format!("first pass of {}", self.options.name)
    }
}
