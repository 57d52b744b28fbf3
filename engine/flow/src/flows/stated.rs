//! What is stated about assets reaches the plugin: the informant is asked for what the plugin is granted, XMP files go with
//! the assets that they are beside, and the plugin is asked.

use std::sync::Arc;

use windlass_core::{
    Action, Asset, AssetView, Described, Error, Hooks, Informant, Kind, Mapping, Origin, Result,
    Stated, Verdict,
};

use super::ingest::{Ingest, eight_bytes, no_work};
use crate::discover::{Sorted, is_sidecar};
use crate::plan::{PlanSummary, PlannedStep};

impl Ingest {
    /// Whether XMP files beside assets say something about them.
    pub(super) fn wants_sidecars(&self) -> bool {
        let granted = self.hooks.as_ref().map_or(&[][..], |hooks| hooks.granted());
        self.has_sidecars_for(granted)
    }

    /// Whether XMP files beside assets say something to somebody with these grants.
    pub(super) fn has_sidecars_for(&self, granted: &[Origin]) -> bool {
        let gives = |informant: &Arc<dyn Informant>| informant.origins().contains(&Origin::Sidecar);
        granted.contains(&Origin::Sidecar) && self.informant.as_ref().is_some_and(gives)
    }

    /// Whether the XMP files are those by which everything was settled.
    pub(super) async fn knows_sidecars(&self, plan: &PlanSummary) -> Result<bool> {
        let noted = self.ledger.cursor(&self.sidecars_key()).await?;
        Ok(noted.is_some_and(|noted| noted.as_str() == plan.sidecars.to_string()))
    }

    pub(super) fn sidecars_key(&self) -> String {
        format!("sidecars of {}", self.options.flow)
    }

    /// Leaves out XMP files, if what they state goes with the assets that they are beside.
    pub(super) fn without_sidecars(
        &self,
        page: Vec<Asset>,
        wanted: bool,
        steps: &mut Vec<PlannedStep>,
    ) -> Vec<Asset> {
        if !wanted {
            return page;
        }
        let (sidecars, assets) = page
            .into_iter()
            .partition::<Vec<_>, _>(|asset| is_sidecar(&asset.path));
        let reason = "what it states goes with the file that it is beside";
        let skips = sidecars.into_iter();
        steps.extend(skips.map(|asset| no_work(Action::Skip, reason.to_owned(), asset)));
        assets
    }

    /// What is stated about each asset by the origins that somebody is granted.
    pub(super) async fn stated(
        &self,
        granted: &[Origin],
        batch: &[(Asset, String)],
        listed: &mut Sorted,
    ) -> Result<Vec<Verdict<Stated>>> {
        let nothing = || {
            batch
                .iter()
                .map(|_| Verdict::Ready(Stated::default()))
                .collect()
        };
        let Some(informant) = &self.informant else {
            return Ok(nothing());
        };
        let has = |origin: &&Origin| informant.origins().contains(*origin);
        let wanted: Vec<Origin> = granted.iter().filter(has).copied().collect();
        if wanted.is_empty() {
            return Ok(nothing());
        }
        let sidecars = match wanted.contains(&Origin::Sidecar) {
            true => {
                listed
                    .sidecars(batch.iter().map(|(asset, _)| asset))
                    .await?
            }
            false => vec![None; batch.len()],
        };
        let assets = batch.iter().zip(sidecars);
        let assets: Vec<Described> = assets
            .map(|((asset, _), sidecar)| Described {
                asset: asset.clone(),
                sidecar,
            })
            .collect();
        informant
            .state(self.source.as_ref(), &assets, &wanted)
            .await
    }

    /// What a plugin says of each asset; without one, each is to become what the configuration says.
    pub(super) async fn describe(
        &self,
        hooks: Option<&dyn Hooks>,
        batch: &[(Asset, String)],
        stated: &[Verdict<Stated>],
    ) -> Result<Vec<Verdict<Mapping>>> {
        let Some(hooks) = hooks else {
            return Ok(batch
                .iter()
                .map(|_| Verdict::Ready(Mapping::default()))
                .collect());
        };
        let mut views = Vec::with_capacity(batch.len());
        for ((asset, _), stated) in batch.iter().zip(stated) {
            if let Verdict::Ready(stated) = stated {
                views.push(view(asset, stated));
            }
        }
        let mut verdicts = hooks.describe(&views).await?.into_iter();
        let each = stated.iter().map(|stated| match stated {
            Verdict::Ready(_) => verdicts.next(),
            Verdict::Held { reason, rule } => Some(Verdict::Held {
                reason: reason.clone(),
                rule: rule.clone(),
            }),
        });
        let all: Option<Vec<_>> = each.collect();
        all.ok_or_else(|| Error::new(Kind::Unexpected, "the plugin host lost a verdict"))
    }
}

fn view(asset: &Asset, stated: &Stated) -> AssetView {
    AssetView {
        id: asset.id.clone(),
        path: asset.path.clone(),
        revision: asset.revision.clone(),
        size: asset.size,
        modified: asset.modified,
        tags: asset.tags.clone(),
        content_hash: asset.content_hash,
        asset_type: None,
        statements: stated.statements.clone(),
    }
}

/// A number of a file's path and revision; of many files they are combined by exclusive or, which has no order.
pub(super) fn revision_hash(asset: &Asset) -> u64 {
    let text = format!("{}\u{1}{}", asset.path, asset.revision);
    eight_bytes(text.as_bytes())
}
