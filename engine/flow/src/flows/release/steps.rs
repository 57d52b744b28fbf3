//! From a delivery, what the gate says of it and what stands at the sink to the one step that is due.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Correlation, Destination, Draft, Handing, Hold, Placement,
    Result, Reuse, Withdrawal,
};

use super::standing::Stands;
use super::{ReleaseFlow, Scene, Stale, localize, lost_folder, original};
use crate::delivery::{Clearance, Delivery, asset_of, delivered_revision};
use crate::flows::ingest::no_work;
use crate::plan::{Cause, PlanSummary, PlannedStep, Work};
use crate::rights::{Asked, Passage, earlier};
use crate::undo;

/// What the reasons begin with of what may not leave.
pub(crate) const BLOCKED: &str = "blocked by rights: ";

/// Why something goes that was placed.
struct Leaving {
    why: String,
    cause: Cause,
}

impl Leaving {
    /// Nobody allows it any more.
    fn by_rights(reason: &str, is_denied: bool) -> Self {
        match is_denied {
            true => Leaving {
                why: format!("rights do not allow it any more: {reason}"),
                cause: Cause::Denied,
            },
            // Nobody said no, so a mistake is as likely: the cap counts it.
            false => Leaving {
                why: format!("nobody can say that rights still allow it: {reason}"),
                cause: Cause::Doubt,
            },
        }
    }

    /// The flow does not place it any more.
    fn unwanted(why: String) -> Self {
        Leaving {
            why,
            cause: Cause::Unwanted,
        }
    }
}

/// What the ledger knows of a delivery besides its placement.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) hold: Option<Hold>,
    pub(super) withdrawal: Option<Withdrawal>,
}

/// What was decided by deliveries, so that what is left of the placements is known.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Deliveries that the gate was asked about.
    pub(super) deliveries: BTreeSet<AssetId>,
    /// Assets and deliveries that a person has to settle first: what of them is placed stays while rights allow it.
    pub(super) held: BTreeSet<AssetId>,
}

/// A delivery that may be there.
struct Due<'a> {
    delivery: Delivery,
    /// What is handed out, under the delivery's id.
    asset: Asset,
    draft: Draft,
    clearance: Clearance,
    placement: Option<&'a Placement>,
    known: Known,
    /// Others bring the same bytes.
    shares: bool,
}

pub(super) fn hold(asset: Asset, reason: String) -> PlannedStep {
    no_work(Action::Hold, reason, asset)
}

/// What a delivery hands out, under the delivery's id.
pub(super) fn asset_for(scene: &Scene, delivery: &Delivery) -> Option<Asset> {
    let original = original(scene, delivery)?;
    let rendition = delivery.rendition.as_deref();
    Some(Asset {
        id: delivery.id(),
        revision: delivered_revision(&original.revision, rendition),
        // How large a rendition is is known once it is made.
        size: match rendition {
            Some(_) => 0,
            None => original.size,
        },
        content_hash: match rendition {
            Some(_) => None,
            None => original.content_hash,
        },
        ..original.clone()
    })
}

impl ReleaseFlow {
    /// A step for each delivery that is not as it shall be.
    #[expect(
        clippy::too_many_arguments,
        reason = "everything that a step is decided by meets here, once"
    )]
    pub(super) fn plan_deliveries(
        &self,
        scene: &Scene,
        deliveries: Vec<Delivery>,
        passages: Vec<Passage>,
        mut known: BTreeMap<AssetId, Known>,
        summary: &mut PlanSummary,
        steps: &mut Vec<PlannedStep>,
        mut coverage: Option<&mut localize::Filling>,
    ) -> Result<()> {
        let mut contents = Contents::of(self, scene, &deliveries, &passages);
        for (delivery, passage) in deliveries.into_iter().zip(passages) {
            let Some(asset) = asset_for(scene, &delivery) else {
                continue;
            };
            let placement = scene.placed.get(&asset.id);
            if let Some(coverage) = coverage.as_deref_mut() {
                coverage.fill(scene, &delivery, &passage);
            }
            let until = match passage {
                Passage::Open { until, .. } => until,
                Passage::Shut {
                    reason, is_denied, ..
                } => {
                    let step = match placement {
                        Some(placement) => {
                            let leaving = Leaving::by_rights(&reason, is_denied);
                            self.withdraw(scene, placement, asset, leaving)
                        }
                        None if scene.standing.is_taken(&delivery.path()) => {
                            not_ours(asset, &delivery.path(), &reason)
                        }
                        None => shut_out(asset, &reason, is_denied),
                    };
                    steps.push(step);
                    continue;
                }
            };
            let due = Due {
                draft: self.draft(&delivery, until),
                clearance: self.clearance(scene, &delivery, until, known.get(&asset.id)),
                known: known.remove(&asset.id).unwrap_or_default(),
                shares: contents.is_shared(&asset),
                placement,
                asset,
                delivery,
            };
            match self.step(scene, due, &mut contents)? {
                Some(step) => steps.push(step),
                None => {
                    if let Some(placement) = placement {
                        summary.unchanged.assets += 1;
                        summary.unchanged.bytes += placement.digests.size;
                    }
                }
            }
        }
        Ok(())
    }

    /// The step of a delivery that may be there; `None` where all is as it shall be.
    fn step(
        &self,
        scene: &Scene,
        due: Due<'_>,
        contents: &mut Contents,
    ) -> Result<Option<PlannedStep>> {
        let digest = due.draft.digest()?;
        let held = scene.selected.get(&due.delivery.asset);
        if let Some(hold_before) = &due.known.hold
            && hold_before.source_revision == due.asset.revision
            && hold_before.draft_digest == digest
        {
            let reason = hold_before.reason.clone();
            return Ok(Some(hold(due.asset, reason)));
        }
        let Some(placement) = due.placement else {
            let path = due.delivery.path();
            let taken = scene.standing.is_taken(&path).then(|| {
                format!("something that the flow did not place is at {path}; remove or rename it")
            });
            let is_lost = scene.is_lost(&due.delivery.folder) && !self.options.retry_held;
            let lost = is_lost.then(|| lost_folder(due.delivery.folder.as_str()));
            if let Some(reason) = lost.or(taken).or_else(|| self.obstacle(held, &due)) {
                return Ok(Some(hold(due.asset, reason)));
            }
            return Ok(Some(self.create(due, contents, "not placed before")));
        };
        let (path, revision) = match scene.standing.of(placement) {
            Stands::Edited { path } => {
                let reason = format!("its copy {path} was changed by people; both are kept");
                return Ok(Some(no_work(Action::Conflict, reason, due.asset)));
            }
            Stands::GoneWithFolder if !self.options.retry_held => {
                let reason = lost_folder(placement.collection.as_str());
                return Ok(Some(hold(due.asset, reason)));
            }
            Stands::Gone | Stands::GoneWithFolder => {
                return Ok(Some(self.create(
                    due,
                    contents,
                    "somebody removed its copy",
                )));
            }
            Stands::AsPlaced { path, revision } => (path, revision),
        };
        let same_bytes = placement.source_revision == due.asset.revision;
        if same_bytes && placement.draft_digest == digest {
            return Ok(None);
        }
        if let Some(reason) = self.obstacle(held, &due) {
            return Ok(Some(hold(due.asset, reason)));
        }
        let mut placement = placement.clone();
        placement.placed.revision = revision;
        if !same_bytes {
            return Ok(Some(self.replace(due, placement, &path)));
        }
        let step = self.change(due, placement, &path);
        let to = step.work.as_ref().map(Work::draft);
        let to = to.map(|draft| draft.collection.join(&draft.file_name));
        let moves = step.action == Action::Relocate;
        if let Some(to) = to.filter(|to| moves && scene.standing.is_taken(to)) {
            let reason = format!("something else is at {to}; remove or rename it");
            return Ok(Some(hold(step.asset, reason)));
        }
        Ok(Some(step))
    }

    /// What would only fail later.
    fn obstacle(&self, held: Option<&windlass_core::Holding>, due: &Due<'_>) -> Option<String> {
        let held = held?;
        if !held.has_file {
            return Some("nobody has uploaded a file yet".to_owned());
        }
        if let Some(comment) = &held.locked {
            return Some(format!("somebody works on it: {comment}"));
        }
        if due.delivery.rendition.is_some() {
            return None;
        }
        if due.asset.size == 0 {
            return Some("it has no bytes; upload it again".to_owned());
        }
        let max = self.outlet.capabilities().asset_bytes_max?;
        (due.asset.size > max)
            .then(|| format!("it has {} bytes; the sink takes {max}", due.asset.size))
    }

    /// A new copy: by its bytes, or from one that is there or on its way.
    fn create(&self, due: Due<'_>, contents: &mut Contents, why: &str) -> PlannedStep {
        let copies = self.outlet.capabilities().reuse == Some(Reuse::Copy);
        let reuse = due.shares && copies;
        let is_first = contents.bring(&due.asset);
        let reason = format!("{}; {why}", due.delivery.why);
        let (action, reason) = match reuse && !is_first {
            true => (
                Action::Copy,
                format!("{reason}; another copy has its bytes"),
            ),
            false => (Action::Create, reason),
        };
        let work = Work::Place {
            correlation: self.mark(&due.asset, &due.known),
            asset: due.asset.clone(),
            destination: Destination::New { draft: due.draft },
            reuse,
            relink: None,
            release: Some(Box::new(due.clearance)),
            agreed: None,
            alone: false,
        };
        acting(action, reason, due.asset, work)
    }

    /// A newer version in the place of the one that is there, and of no other.
    fn replace(&self, mut due: Due<'_>, placement: Placement, path: &AssetPath) -> PlannedStep {
        // What people moved is followed where it is.
        let is_where_placed = path.parent().key() == placement.collection.key();
        due.clearance.moves = is_where_placed && path.key() != due.delivery.path().key();
        let reason = format!("{}; a newer version than {path}", due.delivery.why);
        let work = Work::Place {
            correlation: self.mark(&due.asset, &due.known),
            asset: due.asset.clone(),
            destination: Destination::Version {
                asset: placement.placed.asset,
                draft: due.draft,
                replaces: Some(placement.placed.revision),
            },
            reuse: false,
            relink: None,
            release: Some(Box::new(due.clearance)),
            agreed: None,
            alone: false,
        };
        acting(Action::NewVersion, reason, due.asset, work)
    }

    /// The same bytes under another name, in another folder or on other terms. What people moved stays where they put it
    /// until it is to be somewhere else.
    fn change(&self, due: Due<'_>, placement: Placement, path: &AssetPath) -> PlannedStep {
        let to = due.draft.collection.join(&due.draft.file_name);
        let was_moved = path.parent().key() != placement.collection.key();
        let is_there = path.key() == to.key();
        let asset = due.asset.clone();
        if is_there || (was_moved && placement.collection.key() == due.draft.collection.key()) {
            let reason = format!("{}; what goes with {path} changed", due.delivery.why);
            let work = Work::Update {
                placement: Box::new(placement),
                asset: asset.clone(),
                draft: due.draft,
                leaves: Vec::new(),
            };
            return acting(Action::UpdateMetadata, reason, asset, work);
        }
        let work = Work::Move {
            placement: Box::new(placement),
            asset: asset.clone(),
            draft: due.draft,
            release: Box::new(due.clearance),
        };
        let reason = format!("{}; from {path} to {to}", due.delivery.why);
        acting(Action::Relocate, reason, asset, work)
    }

    /// What was placed goes.
    fn withdraw(
        &self,
        scene: &Scene,
        placement: &Placement,
        asset: Asset,
        leaving: Leaving,
    ) -> PlannedStep {
        let Leaving { why, cause } = leaving;
        let stands = scene.standing.of(placement);
        let path = match stands {
            Stands::Edited { path } => {
                let reason =
                    format!("its copy {path} was changed by people and is left to them: {why}");
                return no_work(Action::Conflict, reason, asset);
            }
            Stands::AsPlaced { path, .. } => path,
            Stands::Gone | Stands::GoneWithFolder => {
                placement.collection.join(placement.source_path.name())
            }
        };
        let taking_back = &self.options.taking_back;
        let keep = taking_back.quarantine.as_ref();
        let keep = keep.map(|root| path.segments().fold(root.clone(), |at, name| at.join(name)));
        let note = taking_back.notes.then(|| note(&path, &why, scene.now));
        let work = Work::TakeBack {
            placement: Box::new(placement.clone()),
            asset: asset.clone(),
            draft: Draft {
                name: path.name().to_owned(),
                file_name: path.name().to_owned(),
                collection: path.parent(),
                asset_type: None,
                fields: Vec::new(),
                availability: None,
                handing: None,
                yields: BTreeSet::new(),
            },
            why: why.clone(),
            cause,
            keep,
            note,
        };
        acting(Action::Withdraw, why, asset, work)
    }

    /// What was placed and is not among the deliveries that were decided.
    pub(super) async fn plan_leftovers(
        &self,
        scene: &Scene,
        decided: &Decided,
        summary: &mut PlanSummary,
        steps: &mut Vec<PlannedStep>,
    ) -> Result<()> {
        if !self.options.kind.takes_back() {
            return Ok(());
        }
        let left = scene.placed.iter();
        let left: Vec<_> = left
            .filter(|(id, _)| !decided.deliveries.contains(*id))
            .collect();
        let uses = left.iter().map(|(_, one)| self.options.kind.uses_of(one));
        let uses: Vec<_> = uses.collect();
        let mut asked = Vec::new();
        for ((id, _), uses) in left.iter().zip(&uses) {
            if let Some(holding) = scene.placed_of.get(&asset_of(id)) {
                asked.push(((*id).clone(), Asked { holding, uses }));
            }
        }
        let (ids, questions): (Vec<AssetId>, Vec<Asked<'_>>) = asked.into_iter().unzip();
        let passages = self.gate.judge(&questions).await.0;
        let passages: BTreeMap<AssetId, Passage> = ids.into_iter().zip(passages).collect();
        let mut going = BTreeMap::new();
        for (id, placement) in left {
            let passage = passages.get(id);
            if let Some(passage) = passage {
                let until = passage.until().filter(|until| *until > scene.now);
                summary.due = earlier(summary.due, until);
            }
            let leaving = self.leftover(scene, decided, id, passage);
            let leaving = match leaving {
                Some(leaving) if self.stays_although(scene, placement, &leaving)? => None,
                leaving => leaving,
            };
            match leaving {
                Some(leaving) => {
                    let asset = last_known(placement);
                    going.insert(id.clone(), self.withdraw(scene, placement, asset, leaving));
                }
                None => {
                    summary.unchanged.assets += 1;
                    summary.unchanged.bytes += placement.digests.size;
                }
            }
        }
        // What was held for its name goes all the same if it may not be there.
        steps.retain(|step| !going.contains_key(&step.asset.id));
        steps.extend(going.into_values());
        Ok(())
    }

    /// Why something that is not delivered any more has to go; `None` where it stays.
    fn leftover(
        &self,
        scene: &Scene,
        decided: &Decided,
        id: &AssetId,
        passage: Option<&Passage>,
    ) -> Option<Leaving> {
        let asset = asset_of(id);
        let Some(passage) = passage else {
            return Some(Leaving::unwanted(self.gate.gone()));
        };
        if let Passage::Shut {
            reason, is_denied, ..
        } = passage
        {
            return Some(Leaving::by_rights(reason, *is_denied));
        }
        let is_held = decided.held.contains(id) || decided.held.contains(&asset);
        if is_held || self.options.taking_back.stale == Stale::Keep {
            return None;
        }
        if let Some(objection) = scene.unselected.get(&asset) {
            return Some(Leaving::unwanted(objection.clone()));
        }
        // Who looks only at what is there does not know who else would be better for a place.
        let why = "the flow does not place it there any more";
        (!self.options.sweep).then(|| Leaving::unwanted(why.to_owned()))
    }

    /// Whether somebody brought it back although there is just this reason; rights are no reason that anybody overrules.
    fn stays_although(
        &self,
        scene: &Scene,
        placement: &Placement,
        leaving: &Leaving,
    ) -> Result<bool> {
        if self.options.retry_held || leaving.cause != Cause::Unwanted {
            return Ok(false);
        }
        match scene.standing.path_of(&placement.placed.asset) {
            Some(at) => undo::stays_although(placement, at, &leaving.why),
            None => Ok(false),
        }
    }

    /// Holds what would be taken back of so many placed assets beyond the cap. What rights forbid goes in any case.
    pub(crate) fn apply_cap(&self, placed: u64, steps: &mut [PlannedStep]) {
        if let Some(cap) = &self.options.cap {
            cap.hold_beyond(placed, steps, |step| {
                let cause = step.work.as_ref().and_then(Work::cause);
                // What is kept for long enough has a cap of its own.
                let counts = !matches!(cause, Some(Cause::Denied | Cause::Expired));
                step.action == Action::Withdraw && counts
            });
        }
    }

    fn draft(&self, delivery: &Delivery, until: Option<Timestamp>) -> Draft {
        let handing = self.options.handing.clone().map(|mut handing| {
            if let Some(link) = &mut handing.link {
                link.until = earlier(link.until, until);
            }
            handing
        });
        Draft {
            handing: handing.filter(|handing| *handing != Handing::default()),
            ..delivery.draft()
        }
    }

    fn clearance(
        &self,
        scene: &Scene,
        delivery: &Delivery,
        until: Option<Timestamp>,
        known: Option<&Known>,
    ) -> Clearance {
        let withdrawal = known.and_then(|known| known.withdrawal.as_ref());
        // Also an older version leaves only while the asset is as it was when this was decided.
        let current = scene.selected.get(&delivery.asset);
        let revision = current.map(|held| held.asset.revision.clone());
        Clearance {
            revision: revision.unwrap_or_else(|| windlass_core::Revision::new("")),
            rendition: delivery.rendition.clone(),
            uses: delivery.uses.clone(),
            until,
            moves: false,
            note: withdrawal.and_then(|withdrawal| withdrawal.note.clone()),
            gone: false,
        }
    }

    /// What was taken back may be kept at the sink with its mark: what is placed after that has another one.
    fn mark(&self, asset: &Asset, known: &Known) -> Correlation {
        let revision = match &known.withdrawal {
            None => asset.revision.to_string(),
            Some(withdrawal) => format!("{} after {}", asset.revision, withdrawal.at),
        };
        Correlation::derive(
            &self.options.flow,
            self.gate.library.name(),
            asset.id.as_str(),
            &revision,
        )
    }
}

/// Which contents deliveries share, so that each is brought once.
struct Contents {
    /// How many deliveries there are of each revision of an asset.
    wanted: BTreeMap<(AssetId, windlass_core::Revision), u64>,
    /// Those that are at the sink, or on their way there.
    brought: BTreeSet<(AssetId, windlass_core::Revision)>,
}

impl Contents {
    fn of(
        flow: &ReleaseFlow,
        scene: &Scene,
        deliveries: &[Delivery],
        passages: &[Passage],
    ) -> Self {
        let mut wanted = BTreeMap::new();
        if flow.outlet.capabilities().reuse == Some(Reuse::Copy) {
            for (delivery, passage) in deliveries.iter().zip(passages) {
                if matches!(passage, Passage::Open { .. })
                    && let Some(asset) = asset_for(scene, delivery)
                {
                    *wanted
                        .entry((delivery.asset.clone(), asset.revision))
                        .or_default() += 1;
                }
            }
        }
        let standing = scene.placed.iter().filter(|(_, placement)| {
            matches!(scene.standing.of(placement), Stands::AsPlaced { .. })
        });
        let brought =
            standing.map(|(id, placement)| (asset_of(id), placement.source_revision.clone()));
        Contents {
            wanted,
            brought: brought.collect(),
        }
    }

    fn is_shared(&self, asset: &Asset) -> bool {
        let key = (asset_of(&asset.id), asset.revision.clone());
        self.wanted.get(&key).is_some_and(|wanted| *wanted > 1)
    }

    /// Whether nobody has brought it before; from now on somebody has.
    fn bring(&mut self, asset: &Asset) -> bool {
        self.brought
            .insert((asset_of(&asset.id), asset.revision.clone()))
    }
}

fn acting(action: Action, reason: String, asset: Asset, work: Work) -> PlannedStep {
    PlannedStep {
        action,
        reason,
        asset,
        work: Some(work),
    }
}

/// What may not leave and is not there: a no is settled, a doubt is for a person.
fn shut_out(asset: Asset, reason: &str, is_denied: bool) -> PlannedStep {
    let action = match is_denied {
        true => Action::Skip,
        false => Action::Hold,
    };
    no_work(action, format!("{BLOCKED}{reason}"), asset)
}

/// What may not be seen, and something is where it would be: perhaps a copy that somebody made, or one whose placing was never
/// recorded.
fn not_ours(asset: Asset, path: &AssetPath, reason: &str) -> PlannedStep {
    let reason = format!(
        "blocked by rights, and something that the flow did not place is at {path}; look what it is: {reason}"
    );
    no_work(Action::Conflict, reason, asset)
}

/// An asset that may be gone, as it was when it was placed.
pub(super) fn last_known(placement: &Placement) -> Asset {
    Asset {
        id: placement.source_asset.clone(),
        path: placement.source_path.clone(),
        revision: placement.source_revision.clone(),
        size: placement.digests.size,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: windlass_core::Readable::Yes,
    }
}

fn note(path: &AssetPath, why: &str, at: Timestamp) -> String {
    format!(
        "{} was here and was withdrawn on {}.\n\nReason: {why}.\n\nPlease do not use copies of it any more.\n",
        path.name(),
        at.strftime("%Y-%m-%d %H:%M UTC"),
    )
}
