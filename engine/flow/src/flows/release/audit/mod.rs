//! Audits of release flows: what is to be delivered, what was placed, what was taken back and what lies in the flow's
//! folders, each with exactly one name.
//!
//! Deliveries, placements and withdrawals are one case where they are of the same delivery. What lies in the folders and
//! belongs to none of them is a document that Windlass wrote, another flow's, or somebody else's. Cases are counted apart
//! from their names, so what has none shows as unexplained. Memory grows like that of a plan.

mod deliveries;
mod rest;

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{Action, Asset, AssetId, AssetPath, Blake3, Placement, Result, Withdrawal};
use windlass_transfer::Engine;

use super::standing::Standing as There;
use super::{BATCH, ReleaseFlow};
use crate::audit::{Audit, AuditWriter, AuditedFile, ReadBack, Standing, Telling, read_back};
use crate::plan::{Cause, Work};

/// An audit of one release flow.
#[derive(Debug)]
pub struct VerifyRelease<'a> {
    /// The flow.
    pub flow: &'a ReleaseFlow,
    /// Reads everything back that looks right, and hashes it.
    pub deep: Option<&'a Engine>,
    /// How many are read back at the same time.
    pub at_once: usize,
}

/// Both sides and the ledger at one moment.
#[derive(Debug, Default)]
struct Seen {
    /// What a run would do; empty where an archive is sealed.
    steps: BTreeMap<AssetId, Next>,
    /// Steps of assets that have no delivery, because they are held, with the assets.
    held: BTreeMap<AssetId, (Asset, String)>,
    /// Where each delivery is to be.
    places: BTreeMap<AssetId, AssetPath>,
    /// The assets of steps, as the library shows them.
    assets: BTreeMap<AssetId, Asset>,
    placed: BTreeMap<AssetId, Placement>,
    withdrawn: BTreeMap<AssetId, Withdrawal>,
    there: There,
    is_sealed: bool,
    /// Steps beyond one for a delivery: there are none, or the plan is wrong.
    twice: u64,
}

/// What a run would do about a delivery.
#[derive(Debug)]
struct Next {
    action: Action,
    reason: String,
    /// Who wants it to go, where it is to.
    cause: Option<Cause>,
}

impl VerifyRelease<'_> {
    /// Audits. Writes nothing anywhere but to `writer`.
    ///
    /// Errors: what prevents looking; never what is found.
    pub async fn run(&self, writer: &mut dyn AuditWriter) -> Result<Audit> {
        let seen = self.look().await?;
        let mut telling = Telling::new(writer, self.flow.observer.as_ref());
        let listed = seen.there.below(&self.flow.roots());
        let mut claimed: BTreeSet<&AssetId> = BTreeSet::new();
        self.deliveries(&seen, &mut claimed, &mut telling).await?;
        self.held(&seen, &mut telling).await?;
        let papers = self.papers(&seen).await?;
        self.documents(&seen, &papers, &mut claimed, &mut telling)
            .await?;
        let rest: Vec<&Asset> = listed
            .iter()
            .copied()
            .filter(|asset| !claimed.contains(&asset.id))
            .collect();
        self.rest(&seen, rest, &mut telling).await?;
        let at_sink = listed.len() as u64;
        let matched = listed.iter().filter(|one| claimed.contains(&one.id));
        let alone = at_sink - matched.count() as u64;
        let counted = seen.cases() + papers.len() as u64 + alone;
        Ok(telling.finish(counted, seen.to_deliver(), at_sink))
    }

    async fn look(&self) -> Result<Seen> {
        let flow = self.flow;
        let mut seen = Seen {
            withdrawn: self.withdrawn().await?,
            ..Seen::default()
        };
        if flow.options.kind.is_over(flow).await?.is_some() {
            seen.is_sealed = true;
            seen.placed = flow.placed().await?;
            seen.there = There::look(flow, &seen.placed).await?;
        } else {
            let decision = flow.decision().await?;
            seen.places = decision.places;
            seen.placed = decision.scene.placed;
            seen.there = decision.scene.standing;
            for step in decision.steps {
                let id = step.asset.id.clone();
                match seen.places.contains_key(&id) || seen.placed.contains_key(&id) {
                    true => {
                        let next = Next {
                            action: step.action,
                            reason: step.reason,
                            cause: step.work.as_ref().and_then(Work::cause),
                        };
                        let before = seen.steps.insert(id.clone(), next);
                        seen.twice += u64::from(before.is_some());
                        seen.assets.insert(id, step.asset);
                    }
                    false => {
                        let before = seen.held.insert(id, (step.asset, step.reason));
                        seen.twice += u64::from(before.is_some());
                    }
                }
            }
        }
        if seen.placed.is_empty() {
            // A plan does not look where it has placed nothing.
            seen.there = There::listed(flow).await?;
        }
        Ok(seen)
    }

    async fn withdrawn(&self) -> Result<BTreeMap<AssetId, Withdrawal>> {
        let (flow, source) = (&self.flow.options.flow, self.flow.gate.library.name());
        let mut withdrawn = BTreeMap::new();
        let mut after: Option<AssetId> = None;
        loop {
            let page = self
                .flow
                .ledger
                .withdrawals_after(flow, source, after.as_ref(), BATCH as u32)
                .await?;
            let Some(last) = page.last() else {
                return Ok(withdrawn);
            };
            after = Some(last.placement.source_asset.clone());
            withdrawn.extend(
                page.into_iter()
                    .map(|one| (one.placement.source_asset.clone(), one)),
            );
        }
    }

    /// Names assets that have no place, because somebody must settle something first.
    async fn held(&self, seen: &Seen, telling: &mut Telling<'_>) -> Result<()> {
        let held: Vec<&(Asset, String)> = seen.held.values().collect();
        for batch in held.chunks(BATCH) {
            let files = batch.iter().map(|(asset, reason)| AuditedFile {
                standing: Standing::Held,
                path: asset.path.clone(),
                size: asset.size,
                why: Some(reason.clone()),
                source_asset: Some(asset.id.clone()),
                sink_asset: None,
            });
            telling.tell(files.collect()).await?;
        }
        Ok(())
    }

    async fn again(&self, there: &Asset, placed: Blake3) -> Result<Option<ReadBack>> {
        match self.deep {
            None => Ok(None),
            Some(engine) => read_back(engine, self.flow.reader.as_ref(), there, placed)
                .await
                .map(Some),
        }
    }
}

impl Seen {
    /// How many cases there are, counted without looking at how they are named.
    fn cases(&self) -> u64 {
        let deliveries: BTreeSet<&AssetId> = self
            .places
            .keys()
            .chain(self.placed.keys())
            .chain(self.withdrawn.keys())
            .collect();
        (deliveries.len() + self.held.len()) as u64 + self.twice
    }

    /// How many copies there are to be, and assets that wait for somebody.
    fn to_deliver(&self) -> u64 {
        (self.places.len() + self.held.len()) as u64
    }
}

/// What is wrong with what was read back, if anything.
fn wrong(read: &ReadBack) -> Option<(Standing, String)> {
    match read {
        ReadBack::Same(_) => None,
        ReadBack::Differs(_, why) => Some((Standing::Differs, why.clone())),
        ReadBack::Unreadable(why) => Some((Standing::Unreadable, why.clone())),
    }
}

fn count(read: Option<&ReadBack>, telling: &mut Telling<'_>) {
    match read {
        Some(ReadBack::Same(bytes) | ReadBack::Differs(bytes, _)) => telling.read_back(*bytes),
        Some(ReadBack::Unreadable(_)) | None => {}
    }
}
