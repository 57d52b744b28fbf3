//! What follows once a run has worked off its plan: what was taken back is proved to be absent, and the kind of the flow
//! writes its documents.
//!
//! All of it is what it is by what the ledger and the sink say, so that doing it again changes nothing.

use std::sync::Arc;

use serde::Serialize;
use windlass_core::{Action, AssetId, AssetPath, Blake3, Finding, Kind, Result, RunId, StepState};

use super::standing::Standing;
use super::{BATCH, ReleaseFlow, ReleaseOptions};
use crate::documents::Documents;
use crate::observe::Silent;
use crate::plan::PlanSummary;
use crate::run::is_over;

/// What closing a run found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Closed {
    /// How many withdrawn files were looked for and are not where people look.
    pub proved_absent: u64,
    /// Withdrawn files that are there all the same, each with its place: nobody should see them.
    pub still_there: Vec<AssetPath>,
    /// Documents that were written anew.
    pub written: Vec<AssetPath>,
    /// The digest under which an archive was sealed now.
    pub sealed: Option<Blake3>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

impl ReleaseFlow {
    /// Closes a run whose plan was this.
    pub async fn close(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<Closed> {
        let mut closed = Closed::default();
        let has_withdrawn = match run {
            Some(run) => self.has_withdrawn(run).await?,
            None => false,
        };
        if has_withdrawn {
            self.prove_absence(&mut closed).await?;
        }
        let kind = &self.options.kind;
        kind.close(self, plan, has_withdrawn, &mut closed).await?;
        Ok(closed)
    }

    /// The same flow, looking at everything.
    pub(super) fn as_whole(&self) -> ReleaseFlow {
        ReleaseFlow {
            options: ReleaseOptions {
                sweep: false,
                ..self.options.clone()
            },
            gate: Arc::clone(&self.gate),
            localization: self.localization.clone(),
            outlet: Arc::clone(&self.outlet),
            reader: Arc::clone(&self.reader),
            ledger: Arc::clone(&self.ledger),
            observer: Arc::new(Silent),
        }
    }

    async fn has_withdrawn(&self, run: RunId) -> Result<bool> {
        let tally = self.ledger.tally(run).await?;
        let mut steps = tally.iter();
        Ok(steps.any(|(state, action, tally)| {
            *state == StepState::Done && *action == Action::Withdraw && tally.steps > 0
        }))
    }

    /// Lists where people look and holds everything that was ever withdrawn beside it.
    async fn prove_absence(&self, closed: &mut Closed) -> Result<()> {
        let there = Standing::listed(self).await?;
        let (flow, source) = (&self.options.flow, self.gate.library.name());
        let mut after: Option<AssetId> = None;
        loop {
            let page = self
                .ledger
                .withdrawals_after(flow, source, after.as_ref(), BATCH as u32)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.placement.source_asset.clone());
            // What was deleted for good was not where people look, and is new if it comes back.
            for withdrawal in page.iter().filter(|one| !is_over(one)) {
                match there.path_of(&withdrawal.placement.placed.asset) {
                    None => closed.proved_absent += 1,
                    Some(path) => closed.still_there.push(path.clone()),
                }
            }
        }
    }

    pub(super) fn documents(&self) -> Documents<'_> {
        Documents {
            flow: &self.options.flow,
            ledger: self.ledger.as_ref(),
            sink: self.outlet.as_ref(),
            reader: self.reader.as_ref(),
        }
    }

    /// Writes a document; what keeps it from being written is told.
    pub(super) async fn write(
        &self,
        path: &AssetPath,
        bytes: &[u8],
        closed: &mut Closed,
    ) -> Result<bool> {
        match self.documents().put(path, bytes).await {
            Ok(is_new) => {
                if is_new {
                    closed.written.push(path.clone());
                }
                Ok(true)
            }
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::InvalidInput) => {
                closed.findings.push(Finding {
                    subject: path.to_string(),
                    message: error.chain(),
                });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
