//! Release: what a library holds appears where people take it from, and goes again when it may not be there any more.
//!
//! All flows out of a library are this one with another answer to one question: which deliveries does an asset have
//! (`publish.rs`: one; `localize.rs`: one a region; `archive.rs`: every version and what belongs to it). `kind.rs` says what
//! an answer is. Around it everything is shared: what is selected, the rights gate, what stands at the sink and who touched
//! it, what is new, moved, replaced, left alone or taken back.
//!
//! A plan knows all of it at once, because who stands in for whom, which names clash and what nobody wants any more can
//! only be said of the whole: memory grows with what is selected and what is placed.

mod archive;
mod audit;
mod close;
mod kind;
mod localize;
mod packages;
mod publish;
mod seal;
pub(crate) mod standing;
mod steps;
pub(crate) mod template;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Blake3, Draft, Error, Finding, Handing, Hold, Holding,
    HookIdentity, Hooks, Kind, Ledger, Member, Outlet, Placement, Query, Result, RunId, RunOrigin,
    Sink, Source, SpoolOrder, Withdrawal, preflight_name,
};

pub use self::archive::{ArchiveOptions, Keys, Relations};
pub use self::audit::VerifyRelease;
pub use self::close::Closed;
use self::kind::as_rules;
pub(crate) use self::kind::rules_of;
pub use self::kind::{Needs, ReleaseKind, Sight};
pub use self::localize::LocalizeOptions;
pub use self::publish::{PublishOptions, RenditionRule};
use self::standing::Standing;
pub(crate) use self::steps::BLOCKED;
use self::steps::{Decided, Known};
pub(crate) use self::undo::is_as_placed;
use crate::caps::RemovalCap;
use crate::coverage::{CoverageMap, CoverageOfRun};
use crate::delivery::{Deliveries, Delivery, asset_of};
use crate::observe::{Event, Observer};
use crate::plan::{Plan, PlanSummary, PlanWriter, PlannedStep};
use crate::rights::{Asked, Passage, RightsGate, RightsOptions, Use, earlier};

/// How many assets a ledger or a library is asked about at once.
const BATCH: usize = 256;

/// What becomes of files that a flow placed and would not place any more, although rights allow them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stale {
    /// They are taken back.
    #[default]
    Withdraw,
    /// They stay while rights allow them.
    Keep,
}

/// How files are taken back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TakingBack {
    /// The folder under which they are kept; `None` deletes them.
    pub quarantine: Option<AssetPath>,
    /// A note stands in their place.
    pub notes: bool,
    /// What becomes of those that are only not wanted any more.
    pub stale: Stale,
}

/// A folder that is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// The folder at the sink.
    pub folder: AssetPath,
    /// Who is invited.
    pub members: Vec<Member>,
}

/// What the configuration says about a release flow.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseOptions {
    /// The flow's name.
    pub flow: String,
    /// Which assets it is about.
    pub query: Query,
    /// The folder at the sink under which everything appears.
    pub root: AssetPath,
    /// Which deliveries assets have.
    #[serde(serialize_with = "as_rules")]
    pub kind: Arc<dyn ReleaseKind>,
    /// What counts as a yes.
    pub rights: RightsOptions,
    /// How files are taken back.
    pub taking_back: TakingBack,
    /// What people get beside files.
    pub handing: Option<Handing>,
    /// Folders that are shared before anything appears in them.
    pub shared: Vec<Shared>,
    /// The most that is taken back unseen for other reasons than rights.
    #[serde(skip)]
    pub cap: Option<RemovalCap>,
    /// Tries again what an earlier run held, although nothing about it changed; makes folders anew that are gone.
    #[serde(skip)]
    pub retry_held: bool,
    /// Only looks whether what is there may be there: nothing new is placed.
    #[serde(skip)]
    pub sweep: bool,
}

/// One configured release flow with everything it speaks to.
#[derive(Debug)]
pub struct ReleaseFlow {
    /// What the configuration says.
    pub options: ReleaseOptions,
    /// Whether something may leave.
    pub gate: Arc<RightsGate>,
    /// The customer's routing, where the kind needs it.
    pub localization: Option<Arc<dyn Hooks>>,
    /// Where it appears.
    pub outlet: Arc<dyn Outlet>,
    /// The same place to look at.
    pub reader: Arc<dyn Source>,
    /// What was placed before.
    pub ledger: Arc<dyn Ledger>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

/// What the kind of a flow makes of the selected assets.
#[derive(Debug, Default)]
pub struct Routed {
    pub(crate) deliveries: Vec<Delivery>,
    /// Assets that are held, each with the reason.
    pub(crate) held: Vec<(AssetId, String)>,
    pub(crate) findings: Vec<Finding>,
    /// Needed to fill the coverage map in, where there is one.
    pub(crate) places: Option<localize::Places>,
}

/// Everything that a plan is decided by.
#[derive(Debug)]
pub struct Scene {
    pub(crate) now: Timestamp,
    /// The selected assets, as they are at this moment where something of them is placed.
    pub(crate) selected: BTreeMap<AssetId, Holding>,
    /// Why assets of which something is placed are not selected.
    unselected: BTreeMap<AssetId, String>,
    /// Assets of which something is placed, whether or not they are selected.
    pub(crate) placed_of: BTreeMap<AssetId, Holding>,
    /// What the flow has placed, by delivery.
    pub(crate) placed: BTreeMap<AssetId, Placement>,
    pub(crate) standing: Standing,
    /// Folded folders of the flow that are gone although something was placed in them, each with a slash behind.
    lost: Vec<String>,
}

impl Scene {
    /// Whether a folder is inside one that is gone.
    fn is_lost(&self, folder: &AssetPath) -> bool {
        let folder = format!("{}/", folder.key());
        self.lost.iter().any(|lost| folder.starts_with(lost))
    }
}

/// A plan with what it was decided by.
#[derive(Debug)]
struct Decision {
    summary: PlanSummary,
    /// In the order of folded paths.
    steps: Vec<PlannedStep>,
    /// Where each delivery is to be.
    places: BTreeMap<AssetId, AssetPath>,
    scene: Scene,
}

impl ReleaseFlow {
    /// Decides what a run would do, as a value. Writes nothing anywhere.
    pub async fn plan(&self) -> Result<Plan> {
        let mut steps = Vec::new();
        let summary = self.decide(&mut steps).await?;
        Ok(Plan { summary, steps })
    }

    /// Decides what a run would do and hands all steps to `writer`, in the order of folded paths. Writes nothing anywhere
    /// itself.
    pub async fn decide(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        if let Some(over) = self.options.kind.is_over(self).await? {
            let mut summary = PlanSummary::new(self.options.flow.clone(), self.origin()?);
            summary.find(&[over]);
            return Ok(summary);
        }
        let decision = self.decision().await?;
        writer.steps(decision.steps).await?;
        Ok(decision.summary)
    }

    /// Decides, and keeps what it was decided by.
    async fn decision(&self) -> Result<Decision> {
        let mut summary = PlanSummary::new(self.options.flow.clone(), self.origin()?);
        if !self.options.sweep {
            self.check_names().await?;
        }
        let mut scene = self.look(&mut summary).await?;
        self.observer.observe(Event::Deciding {
            assets: scene.selected.len() as u64,
        });
        let mut routed = self.options.kind.deliveries(self, &mut scene).await?;
        summary.find(&routed.findings);
        let deliveries = routed.deliveries.iter();
        let places = deliveries.map(|one| (one.id(), one.path())).collect();
        let mut steps = Vec::new();
        let mut decided = Decided::default();
        self.hold_assets(&scene, &mut routed, &mut decided, &mut steps);
        self.keep_names_apart(&scene, &mut routed, &mut decided, &mut steps)
            .await?;
        decided.deliveries = routed.deliveries.iter().map(Delivery::id).collect();
        let passages = self.judge(&scene, &routed.deliveries, &mut summary).await;
        let known = self.known(&routed.deliveries).await?;
        let mut coverage = routed.places.take().map(|places| places.begin());
        self.plan_deliveries(
            &scene,
            routed.deliveries,
            passages,
            known,
            &mut summary,
            &mut steps,
            coverage.as_mut(),
        )?;
        self.plan_leftovers(&scene, &decided, &mut summary, &mut steps)
            .await?;
        if self.options.sweep {
            // What is newer, elsewhere or missing waits for a run.
            steps.retain(|step| matches!(step.action, Action::Withdraw | Action::Conflict));
        }
        self.options.kind.amend(&mut steps);
        self.apply_cap(scene.placed.len() as u64, &mut steps);
        // Who looks only at what is there cannot say what is missing.
        let coverage = coverage.filter(|_| !self.options.sweep);
        summary.coverage = coverage.map(localize::Filling::end);
        if let Some(coverage) = &summary.coverage {
            summary.find(&CoverageMap::findings(coverage));
        }
        steps.sort_by_cached_key(|step| SpoolOrder::of(&step.asset));
        steps.iter().for_each(|step| summary.count(step));
        Ok(Decision {
            summary,
            steps,
            places,
            scene,
        })
    }

    /// Refuses fields and renditions that the configuration names and that the library does not have, before anything else:
    /// every asset would be held for them. What is there is swept all the same.
    async fn check_names(&self) -> Result<()> {
        let Some(needs) = self.options.kind.needs() else {
            return Ok(());
        };
        let library = &self.gate.library;
        let types = &self.options.query.asset_types;
        let of_flow = |error: Error| error.with_context("flow", &self.options.flow);
        library
            .check_fields(types, &needs.fields)
            .await
            .map_err(of_flow)?;
        if needs.renditions.is_empty() {
            return Ok(());
        }
        let known = library.renditions().await?;
        let is_known = |rule: &&RenditionRule| known.iter().any(|one| one.name == rule.rendition);
        match needs.renditions.iter().find(|rule| !is_known(rule)) {
            None => Ok(()),
            Some(rule) => {
                let names: Vec<&str> = known.iter().map(|one| one.name.as_str()).collect();
                let message = format!("{} has no rendition {:?}", library.name(), rule.rendition);
                Err(of_flow(Error::new(Kind::InvalidInput, message))
                    .with_hint(format!("there is {}", names.join(", "))))
            }
        }
    }

    /// By what a plan made now would be decided.
    pub fn origin(&self) -> Result<RunOrigin> {
        Ok(RunOrigin {
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
            source: self.gate.library.name().to_owned(),
            sink: self.outlet.name().to_owned(),
            hook: self.hook().cloned(),
            rules: self.rules()?,
            plan: None,
        })
    }

    /// The source that its steps read from.
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(Deliveries(Arc::clone(&self.gate.library)))
    }

    /// The sink that its steps write to.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::<dyn Outlet>::clone(&self.outlet)
    }

    /// The plugin that decides most: rights before routing.
    fn hook(&self) -> Option<&HookIdentity> {
        let hooks = self.gate.hooks.as_ref().or(self.localization.as_ref());
        hooks.map(|hooks| hooks.identity())
    }

    /// The digest of everything but assets and time that decides what becomes of an asset.
    fn rules(&self) -> Result<Blake3> {
        let identities = [&self.gate.hooks, &self.localization]
            .map(|hooks| hooks.as_ref().map(|hooks| hooks.identity()));
        let text = serde_json::to_vec(&(&self.options, self.outlet.name(), identities));
        let text = text.map_err(|error| {
            Error::new(Kind::Unexpected, "the flow's rules cannot be written").with_source(error)
        })?;
        Ok(Blake3::of(&text))
    }

    /// Looks at both sides and at the ledger.
    async fn look(&self, summary: &mut PlanSummary) -> Result<Scene> {
        let placed = self.placed().await?;
        let mut selected = match self.options.sweep {
            // A sweep is about what is there.
            true => BTreeMap::new(),
            false => match self.options.kind.sight() {
                Some(sight) => sight.selected.clone(),
                None => self.list().await?,
            },
        };
        let mut placed_of = self.vouched_for().await;
        let ids: BTreeSet<AssetId> = placed.keys().map(asset_of).collect();
        let ids = ids.into_iter().filter(|id| !placed_of.contains_key(id));
        let ids: Vec<AssetId> = ids.collect();
        let mut unselected = BTreeMap::new();
        for batch in ids.chunks(BATCH) {
            let held = self.gate.library.consult(batch).await?;
            for (id, held) in batch.iter().zip(held) {
                let objection = match &held {
                    None => Some(self.gate.gone()),
                    Some(held) => self.options.query.objection(held),
                };
                if let Some(held) = held {
                    placed_of.insert(id.clone(), held.clone());
                    if objection.is_none() {
                        selected.insert(id.clone(), held);
                    }
                }
                if let Some(objection) = objection {
                    selected.remove(id);
                    unselected.insert(id.clone(), objection);
                }
            }
        }
        for held in selected.values() {
            summary.find(&held.findings);
        }
        let standing = Standing::look(self, &placed).await?;
        let lost = self.lost_roots(&placed, &standing);
        Ok(Scene {
            lost: lost.iter().map(|root| format!("{}/", root.key())).collect(),
            now: self.gate.clock.now(),
            selected,
            unselected,
            placed_of,
            placed,
            standing,
        })
    }

    /// Of a kind that listed everything a moment ago: what the list lets be where it is. Of thousands of pairs hardly any is
    /// to go, and a call for each of them would take longer than until the next look. What the list objects to is asked for
    /// by its id before anything goes.
    async fn vouched_for(&self) -> BTreeMap<AssetId, Holding> {
        let sight = self.options.kind.sight().filter(|sight| sight.is_whole);
        let Some(sight) = sight else {
            return BTreeMap::new();
        };
        let uses = any_use();
        let holdings = sight.selected.values();
        let asked: Vec<Asked<'_>> = holdings
            .map(|holding| Asked {
                holding,
                uses: &uses,
            })
            .collect();
        // What there is to tell of it is told where all are judged.
        let (passages, _) = self.gate.judge(&asked).await;
        let judged = sight.selected.iter().zip(passages);
        let open = judged.filter(|(_, passage)| matches!(passage, Passage::Open { .. }));
        open.map(|((id, held), _)| (id.clone(), held.clone()))
            .collect()
    }

    /// Everything that the flow has placed.
    async fn placed(&self) -> Result<BTreeMap<AssetId, Placement>> {
        let (flow, source) = (&self.options.flow, self.gate.library.name());
        let mut placed = BTreeMap::new();
        if self.options.kind.sight().is_some() {
            return Ok(self.options.kind.placed(placed));
        }
        let mut after = None;
        loop {
            let page = self
                .ledger
                .placements_after(flow, source, after.as_ref(), BATCH as u32)
                .await?;
            let Some(last) = page.last() else {
                return Ok(self.options.kind.placed(placed));
            };
            after = Some(last.source_asset.clone());
            placed.extend(page.into_iter().map(|one| (one.source_asset.clone(), one)));
        }
    }

    /// The selected assets, as lists have them.
    async fn list(&self) -> Result<BTreeMap<AssetId, Holding>> {
        let mut selected = BTreeMap::new();
        let mut cursor = None;
        let mut listed = 0;
        loop {
            let page = self
                .gate
                .library
                .holdings(&self.options.query, cursor.as_ref())
                .await?;
            listed += page.holdings.len() as u64;
            self.observer.observe(Event::Listed { assets: listed });
            for held in page.holdings {
                if self.options.query.objection(&held).is_none() {
                    selected.insert(held.asset.id.clone(), held);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(selected),
            }
        }
    }

    /// Steps of assets that cannot be routed. What of them is placed stays while rights allow it.
    fn hold_assets(
        &self,
        scene: &Scene,
        routed: &mut Routed,
        decided: &mut Decided,
        steps: &mut Vec<PlannedStep>,
    ) {
        for (id, reason) in std::mem::take(&mut routed.held) {
            if let Some(held) = scene.selected.get(&id) {
                steps.push(steps::hold(held.asset.clone(), reason));
            }
            decided.held.insert(id);
        }
    }

    /// Holds deliveries that want the name of another one: the one that is placed keeps it, and of two that are not neither
    /// gets it. Names that the sink would refuse are held, too.
    async fn keep_names_apart(
        &self,
        scene: &Scene,
        routed: &mut Routed,
        decided: &mut Decided,
        steps: &mut Vec<PlannedStep>,
    ) -> Result<()> {
        let mut wanting: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, delivery) in routed.deliveries.iter().enumerate() {
            let path = delivery.path().key();
            wanting.entry(path).or_default().push(index);
        }
        let mut reasons = self.refused(&routed.deliveries).await?;
        for indices in wanting.into_values().filter(|indices| indices.len() > 1) {
            let is_placed =
                |index: &&usize| scene.placed.contains_key(&routed.deliveries[**index].id());
            let owner = indices.iter().find(is_placed).copied();
            for index in indices.iter().filter(|index| Some(**index) != owner) {
                let other = owner.unwrap_or_else(|| match indices[0] == *index {
                    true => indices[1],
                    false => indices[0],
                });
                let (one, other) = (&routed.deliveries[*index], &routed.deliveries[other]);
                let named = scene
                    .selected
                    .get(&other.asset)
                    .map(|held| held.asset.path.clone());
                let named = named.map_or_else(|| other.asset.to_string(), |path| path.to_string());
                reasons.insert(
                    *index,
                    format!("{} is the name of {named} as well; rename one", one.path()),
                );
            }
        }
        let deliveries = std::mem::take(&mut routed.deliveries);
        for (index, delivery) in deliveries.into_iter().enumerate() {
            let Some(reason) = reasons.remove(&index) else {
                routed.deliveries.push(delivery);
                continue;
            };
            if let Some(places) = &mut routed.places {
                places.hold(&delivery, &reason);
            }
            decided.held.insert(delivery.id());
            if let Some(asset) = steps::asset_for(scene, &delivery) {
                steps.push(steps::hold(asset, reason));
            }
        }
        Ok(())
    }

    /// Why the sink would refuse deliveries, by their number.
    async fn refused(&self, deliveries: &[Delivery]) -> Result<BTreeMap<usize, String>> {
        let units = self.outlet.capabilities().name_units_max;
        let mut reasons = BTreeMap::new();
        for (batch, first) in deliveries.chunks(BATCH).zip((0..).step_by(BATCH)) {
            let drafts: Vec<Draft> = batch.iter().map(Delivery::draft).collect();
            let faults = self.outlet.check_drafts(&drafts).await?;
            for ((delivery, faults), index) in batch.iter().zip(faults).zip(first..) {
                let name = &delivery.file_name;
                let problem = preflight_name(name, units).err();
                let problem = problem.map(|problem| format!("{name:?}: {problem}"));
                let refused = faults
                    .first()
                    .map(|fault| format!("{} would refuse {name:?}: {fault}", self.outlet.name()));
                reasons.extend(problem.or(refused).map(|reason| (index, reason)));
            }
        }
        Ok(reasons)
    }

    /// Asks the gate about each delivery.
    async fn judge(
        &self,
        scene: &Scene,
        deliveries: &[Delivery],
        summary: &mut PlanSummary,
    ) -> Vec<Passage> {
        let mut asked = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            if let Some(holding) = scene.selected.get(&delivery.asset) {
                asked.push(Asked {
                    holding,
                    uses: &delivery.uses,
                });
            }
        }
        let (passages, findings) = self.gate.judge(&asked).await;
        summary.find(&findings);
        for passage in &passages {
            let until = passage.until().filter(|until| *until > scene.now);
            summary.due = earlier(summary.due, until);
        }
        passages
    }

    /// What the ledger knows of deliveries besides their placements.
    async fn known(&self, deliveries: &[Delivery]) -> Result<BTreeMap<AssetId, Known>> {
        let (flow, source) = (&self.options.flow, self.gate.library.name());
        let ids: Vec<AssetId> = deliveries.iter().map(Delivery::id).collect();
        let mut known = BTreeMap::new();
        for batch in ids.chunks(BATCH) {
            let retries = self.options.retry_held || self.options.kind.retries_held();
            let holds: Vec<Option<Hold>> = match retries {
                true => vec![None; batch.len()],
                false => self.ledger.holds(flow, source, batch).await?,
            };
            let withdrawals: Vec<Option<Withdrawal>> =
                self.ledger.withdrawals(flow, source, batch).await?;
            for ((id, hold), withdrawal) in batch.iter().zip(holds).zip(withdrawals) {
                known.insert(id.clone(), Known { hold, withdrawal });
            }
        }
        Ok(known)
    }

    /// Notes when the flow has to be looked at again at the latest, and who gets what by the run that followed the plan.
    pub async fn settle(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<()> {
        if let Some(map) = &plan.coverage {
            CoverageOfRun::note(self.ledger.as_ref(), &plan.flow, run, map).await?;
        }
        let due = plan
            .due
            .map(|due| windlass_core::Cursor::new(due.to_string()));
        self.ledger
            .set_cursor(&due_key(&self.options.flow), due.as_ref())
            .await
    }

    /// When it has to be looked at again at the latest, as the last complete plan knew.
    pub async fn due(&self) -> Result<Option<Timestamp>> {
        let noted = self.ledger.cursor(&due_key(&self.options.flow)).await?;
        Ok(noted.and_then(|noted| noted.as_str().parse().ok()))
    }

    /// Shares the folders that are to be shared. What cannot be is told, and nothing waits for it. One that is gone although
    /// something was placed in it is not made anew by itself: people may have a reason.
    pub async fn open_folders(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let lost = match self.options.shared.is_empty() || self.options.retry_held {
            true => BTreeSet::new(),
            false => {
                let placed = self.placed().await?;
                let there = Standing::of_roots(self).await?;
                self.lost_roots(&placed, &there)
            }
        };
        for Shared { folder, members } in &self.options.shared {
            let subject = folder.to_string();
            if lost.iter().any(|root| root.key() == folder.key()) {
                findings.push(Finding {
                    subject,
                    message: lost_folder("it"),
                });
                continue;
            }
            match self.outlet.share(folder, members).await {
                Ok(shared) => {
                    let refused = shared.refused.into_iter();
                    findings.extend(refused.map(|(member, why)| Finding {
                        subject: subject.clone(),
                        message: format!("{member} could not be invited: {why}"),
                    }));
                }
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => findings.push(Finding {
                    subject,
                    message: match error.hint() {
                        Some(hint) => format!("it is not shared: {}; {hint}", error.chain()),
                        None => format!("it is not shared: {}", error.chain()),
                    },
                }),
            }
        }
        Ok(findings)
    }

    /// Folders of the flow that are not there although something was placed in them.
    fn lost_roots(
        &self,
        placed: &BTreeMap<AssetId, Placement>,
        there: &Standing,
    ) -> BTreeSet<AssetPath> {
        let mut roots = self.roots();
        roots.retain(|root| {
            let below = format!("{}/", root.key());
            let is_inside =
                |one: &Placement| format!("{}/", one.collection.key()).starts_with(&below);
            !there.has_folder(root) && placed.values().any(is_inside)
        });
        roots
    }

    /// The folders at the sink in which deliveries may be.
    fn roots(&self) -> BTreeSet<AssetPath> {
        self.options.kind.folders(&self.options.root)
    }
}

/// What is said of a folder that people took away.
fn lost_folder(what: &str) -> String {
    format!(
        "{what} is gone: somebody removed, renamed or left it, or shares it no more; --retry-held makes it anew"
    )
}

fn due_key(flow: &str) -> String {
    format!("due of {flow}")
}

/// What a copy is for where nothing more is known.
pub(crate) fn any_use() -> Vec<Use> {
    vec![Use::default()]
}

/// The original that a delivery hands out.
pub(crate) fn original<'a>(scene: &'a Scene, delivery: &'a Delivery) -> Option<&'a Asset> {
    match &delivery.version {
        Some(version) => Some(version),
        None => scene.selected.get(&delivery.asset).map(|held| &held.asset),
    }
}
