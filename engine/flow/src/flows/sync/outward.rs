//! The way out: what is newer in the library goes to the files, under the same rights gate as everything that leaves it.

use std::sync::Arc;

use windlass_core::{Asset, AssetPath, Holding, Result, RunOrigin};

use super::paired::Paired;
use super::purge::MOMENT;
use super::{Sync, Way};
use crate::flows::release::{ReleaseFlow, ReleaseOptions};
use crate::plan::{PlanSummary, PlanWriter};

impl Sync {
    /// Decides what the way out would do. Writes nothing anywhere.
    pub async fn decide_out(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        let scene = self.look(Way::Out).await?;
        let expired = self.old_files(&scene).await?;
        let paired = Paired::of(self, &scene).and_ends(expired.steps);
        let mut summary = self.way_out(paired).decide(writer).await?;
        summary.find(expired.told.as_slice());
        summary.look = scene.look;
        self.wait_for_list(&mut summary);
        Ok(summary)
    }

    /// By what a plan of the way out would be decided.
    pub fn origin_out(&self) -> Result<RunOrigin> {
        self.way_out(Paired::unknown(self.options.clone())).origin()
    }

    /// The release that the way out is, once it is known how all pairs stand.
    pub(super) fn way_out(&self, kind: Paired) -> ReleaseFlow {
        let release = &self.release;
        ReleaseFlow {
            options: ReleaseOptions {
                kind: Arc::new(kind),
                cap: self.options.cap,
                ..release.options.clone()
            },
            gate: Arc::clone(&release.gate),
            localization: None,
            outlet: Arc::clone(&release.outlet),
            reader: Arc::clone(&release.reader),
            ledger: Arc::clone(&release.ledger),
            observer: Arc::clone(&release.observer),
        }
    }

    /// Where the file of an asset belongs by its asset.
    pub(super) fn target(&self, file: Option<&Asset>, held: &Holding) -> (AssetPath, String) {
        let (folder, name) = self.places(held).target(file, &held.asset);
        match self.options.mirrors {
            true => (folder, name),
            false => (self.options.root.clone(), name),
        }
    }

    /// What the folder is called in which a pass of this moment keeps what was removed.
    pub(crate) fn moment(&self) -> String {
        self.clock.now().strftime(MOMENT).to_string()
    }
}
