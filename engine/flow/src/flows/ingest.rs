//! Ingest: approved files from designated folders become governed assets.
//!
//! Folder names, client codes and campaign ids become fields through the metadata hook; what every
//! asset of the flow gets (approval status, rights, availability) comes from the configuration. The
//! sink is asked what it would refuse before any byte moves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use windlass_core::{
    Action, Asset, AssetId, AssetPath, Assigned, Availability, Blake3, Capabilities, Change,
    Choices, Correlation, Cursor, Destination, Draft, DraftPart, Error, Hold, Hooks, Informant,
    Kind, Ledger, Mapping, Placement, Readable, Result, Reuse, RunId, RunOrigin, Scope, Sharing,
    Sink, Source, SpoolOrder, StepState, Value, Verdict, preflight_name,
};

use super::stated::revision_hash;
use crate::discover::{Kept, Listing, Sorted, is_sidecar};
use crate::duplicates::{Duplicates, Hashing, Twin};
use crate::observe::{Event, Observer};
use crate::plan::{Plan, PlanSummary, PlanWriter, PlannedStep, Work};
use crate::ready::{Arrivals, Lookout, Readiness};
use crate::select::{Pick, Selection, Selector};

/// How many assets a hook, a ledger or a sink is asked about at once.
pub(crate) const BATCH: usize = 256;

/// How many assets are decided before their steps are handed over.
pub(super) const DECIDED_AT_ONCE: usize = 2_048;

/// How many assets the ledger is asked about at once whether they are as they were. Larger, because nothing
/// else is asked and a key costs less in a larger set.
const UNCHANGED_BATCH: usize = 4_000;

/// What the configuration says about an ingest flow.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// The flow's name.
    pub flow: String,
    /// The folder that is listed, with everything below.
    pub root: AssetPath,
    /// Which assets are taken.
    pub selection: Selection,
    /// The collection for assets whose hook names none.
    pub collection: AssetPath,
    /// Assets whose hook names no collection keep their folders below `root` as folders below
    /// `collection`.
    pub keep_folders: bool,
    /// The asset type for assets whose hook names none.
    pub asset_type: Option<String>,
    /// Fields that every asset gets. They win over what a hook assigns.
    pub set: BTreeMap<String, Value>,
    /// The availability of assets whose hook names none.
    pub availability: Option<Availability>,
    /// What people decided about values that the sink's vocabularies do not have.
    pub choices: Choices,
    /// When a file may be taken. It decides when and not what, so it is no part of the rules' digest.
    pub ready: Readiness,
    /// What becomes of files whose bytes the sink has already; `None` leaves it to [`Duplicates::of_sink`].
    pub duplicates: Option<Duplicates>,
    /// Tries again what an earlier run held, although nothing about it changed.
    pub retry_held: bool,
}

/// One configured ingest flow with everything it speaks to.
#[derive(Debug)]
pub struct Ingest {
    /// What the configuration says.
    pub options: IngestOptions,
    /// Where assets come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// The customer's rules, where configured.
    pub hooks: Option<Arc<dyn Hooks>>,
    /// Who knows what the rules are granted of what is stated about assets.
    pub informant: Option<Arc<dyn Informant>>,
    /// What was placed before.
    pub ledger: Arc<dyn Ledger>,
    /// By what it is known what is still arriving.
    pub arrivals: Arrivals,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// What a two-way flow knows of its files; `None` for flows that lead one way.
    pub partners: Option<Arc<dyn Partners>>,
}

/// What a two-way flow knows of its files, instead of what the ledger knows of them.
pub trait Partners: fmt::Debug + Send + Sync {
    /// Whether the way in has to look at a file.
    fn concerns(&self, file: &Asset) -> bool;

    /// What a file was placed as, with the version that other bytes would follow. `None` for one that is new.
    fn placement(&self, file: &AssetId) -> Option<Placement>;

    /// Whether other bytes wait until somebody chooses.
    fn proposes(&self, file: &AssetId) -> bool;

    /// Whether assets are where their files are and are called what they are called, whatever the rules say.
    fn mirrors(&self) -> bool;

    /// What of a file's draft counts only while its asset is new.
    fn yields(&self, file: &AssetId, draft: &Draft) -> BTreeSet<DraftPart>;

    /// Where a file was when it was where its asset is, if other bytes of it are brought over before its place is.
    fn agreed(&self, file: &AssetId) -> Option<AssetPath>;

    /// The collections that a file's asset leaves where its place follows the file.
    fn leaves(&self, file: &AssetId) -> Vec<AssetPath>;
}

/// An asset on its way to a step.
struct Candidate {
    asset: Asset,
    approved_by: String,
    placement: Option<Placement>,
    /// Who stands for the asset at the sink, where it is linked to that.
    sharing: Sharing,
    hold: Option<Hold>,
}

/// What a planning knows of the whole, while it decides page by page.
pub(crate) struct Whole {
    pub(crate) summary: PlanSummary,
    /// What is still arriving; `None` where nobody waits for it.
    pub(crate) lookout: Option<Lookout>,
    placed_names: PlacedNames,
    /// Where files are hashed before they move.
    hashing: Option<Hashing>,
}

impl Whole {
    pub(super) fn new(ingest: &Ingest, summary: PlanSummary, hashing: Option<Hashing>) -> Self {
        Whole {
            summary,
            lookout: None,
            placed_names: PlacedNames::new(ingest.source.capabilities()),
            hashing,
        }
    }
}

impl Ingest {
    /// Decides what a run would do, as a value. Writes nothing anywhere.
    ///
    /// Memory grows with what needs a step; where that may be millions, [`Ingest::decide`] hands steps over as they
    /// are decided.
    pub async fn plan(&self) -> Result<Plan> {
        let mut steps = Vec::new();
        let summary = self.decide(&mut steps).await?;
        Ok(Plan { summary, steps })
    }

    /// Decides what a run would do and hands each step to `writer`, in the order of folded paths. Writes nothing
    /// anywhere itself, but that the ledger learns what it saw arriving.
    pub async fn decide(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        self.decide_by(writer, true).await
    }

    /// The same as if everything had arrived, for those who ask what stands where and take nothing.
    pub(crate) async fn decide_arrived(&self, writer: &mut dyn PlanWriter) -> Result<PlanSummary> {
        self.decide_by(writer, false).await
    }

    async fn decide_by(&self, writer: &mut dyn PlanWriter, waits: bool) -> Result<PlanSummary> {
        let selector = Selector::new(&self.options.selection)?;
        let summary = PlanSummary::new(self.options.flow.clone(), self.origin()?);
        let hashing = self.hashes_in_place().then(Hashing::new);
        let mut whole = Whole::new(self, summary, hashing);
        let wants_unchanged = writer.wants_unchanged();
        // Whoever asks about what was held asks about everything.
        let asks_anew = wants_unchanged || self.options.retry_held;
        let is_settled = !asks_anew && self.is_settled(&whole.summary.origin.rules).await?;
        if waits {
            whole.lookout = Some(self.lookout().await?);
        }
        let mut undecided = self.list(is_settled, &mut whole).await?;
        if is_settled && self.wants_sidecars() && !self.knows_sidecars(&whole.summary).await? {
            // Assets that were left out because nothing about them changed may be beside one that did.
            whole = Whole::new(
                self,
                PlanSummary::new(self.options.flow.clone(), whole.summary.origin),
                whole.hashing.map(|_| Hashing::new()),
            );
            if waits {
                whole.lookout = Some(self.lookout().await?);
            }
            undecided = self.list(false, &mut whole).await?;
        }
        self.watch(&mut undecided, &mut whole).await?;
        if let Some(hashing) = &mut whole.hashing {
            self.fingerprint(&mut undecided, hashing).await?;
        }
        self.observer.observe(Event::Deciding {
            assets: undecided.len(),
        });
        loop {
            let page = undecided.next(DECIDED_AT_ONCE).await?;
            if page.is_empty() {
                if let Some(informant) = &self.informant {
                    whole.summary.find(&informant.leftovers());
                }
                if let Some(lookout) = whole.lookout {
                    self.remember(lookout).await?;
                }
                return Ok(whole.summary);
            }
            let (steps, unchanged) = self
                .decide_page(&selector, page, &mut undecided, &mut whole)
                .await?;
            steps.iter().for_each(|step| whole.summary.count(step));
            writer.steps(steps).await?;
            unchanged
                .iter()
                .for_each(|asset| whole.summary.unchanged.count(asset));
            if wants_unchanged {
                writer.unchanged(unchanged).await?;
            }
        }
    }

    /// By what a plan made now would be decided.
    pub fn origin(&self) -> Result<RunOrigin> {
        Ok(RunOrigin {
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
            source: self.source.name().to_owned(),
            sink: self.sink.name().to_owned(),
            hook: self.hooks.as_ref().map(|hooks| hooks.identity().clone()),
            rules: self.rules()?,
            plan: None,
        })
    }

    /// Lists the source; what is placed and unchanged is counted, the rest kept.
    pub(super) async fn list(&self, is_settled: bool, whole: &mut Whole) -> Result<Sorted> {
        let scope = Scope {
            root: self.options.root.clone(),
        };
        let mut listing = Listing::new(self.source.as_ref(), &scope, self.observer.as_ref());
        let folds = self.source.capabilities().folds_names;
        let mut kept = Kept::new(self.ledger.as_ref(), folds);
        let sidecars = self.wants_sidecars();
        // The ledger looks at what was listed before while the source lists on.
        let mut before = Vec::new();
        loop {
            let (changes, same) = tokio::try_join!(
                listing.changes(UNCHANGED_BATCH),
                self.unchanged(&before, is_settled)
            )?;
            let mut same = same.into_iter();
            kept.apply(before, |asset| {
                let is_same = same.next().unwrap_or(false);
                if let Some(lookout) = &mut whole.lookout {
                    lookout.notice(asset);
                }
                let is_same = match &self.partners {
                    None => is_same,
                    Some(partners) => !partners.concerns(asset),
                };
                if let Some(hashing) = &mut whole.hashing {
                    hashing.sizes.add(asset.size);
                }
                if sidecars && is_sidecar(&asset.path) {
                    whole.summary.sidecars ^= revision_hash(asset);
                    // Kept although it may have been placed itself once: what it is beside looks for it.
                    return true;
                }
                if let Some(informant) = &self.informant {
                    informant.pass(asset);
                }
                if is_same {
                    whole.placed_names.insert(&asset.path);
                }
                if is_same && self.partners.is_none() {
                    whole.summary.unchanged.count(asset);
                }
                !is_same
            })
            .await?;
            match changes {
                Some(changes) => before = changes,
                None => return kept.into_sorted().await,
            }
        }
    }

    /// The steps of some assets, in order, and which of them are placed and unchanged.
    async fn decide_page(
        &self,
        selector: &Selector,
        page: Vec<Asset>,
        undecided: &mut Sorted,
        whole: &mut Whole,
    ) -> Result<(Vec<PlannedStep>, Vec<Asset>)> {
        let spelled_alike = alike(&page);
        let mut unchanged = Vec::new();
        let mut steps = Vec::with_capacity(page.len());
        let page = self.without_sidecars(page, self.wants_sidecars(), &mut steps);
        let picked = self.select(selector, page, &mut steps).await?;
        let picked = self.hold_back(picked, whole, &mut steps).await?;
        let picked = self.preflight(picked, &spelled_alike, &whole.placed_names, &mut steps);
        let mut picked = picked.into_iter();
        loop {
            let batch: Vec<(Asset, String)> = picked.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let mut same = self
                .decide_batch(batch, undecided, &mut steps, whole)
                .await?;
            unchanged.append(&mut same);
        }
        steps.sort_by_cached_key(|step| SpoolOrder::of(&step.asset));
        Ok((steps, unchanged))
    }

    /// Notes, once a plan was completely worked off, that everything placed so far is what the rules of
    /// that plan make of it. Later plans by the same rules then ask no hook about assets that did not
    /// change. `run` is the plan's run, `None` when nothing was to be done.
    ///
    /// A run in which metadata could not be updated settles nothing: those assets must be looked at again.
    pub async fn settle(&self, plan: &PlanSummary, run: Option<RunId>) -> Result<()> {
        if let Some(run) = run {
            for (state, action, tally) in self.ledger.tally(run).await? {
                let left_over = match state {
                    StepState::Open | StepState::Leased | StepState::Failed => true,
                    StepState::Held => action == Action::UpdateMetadata,
                    StepState::Done | StepState::Skipped => false,
                };
                if left_over && tally.steps > 0 {
                    return self.ledger.set_cursor(&self.rules_key(), None).await;
                }
            }
        }
        if plan.held_placed > 0 {
            // They are not what the rules make of them, and must be looked at again.
            return self.ledger.set_cursor(&self.rules_key(), None).await;
        }
        let sidecars = Cursor::new(plan.sidecars.to_string());
        self.ledger
            .set_cursor(&self.sidecars_key(), Some(&sidecars))
            .await?;
        let rules = Cursor::new(plan.origin.rules.to_hex());
        self.ledger
            .set_cursor(&self.rules_key(), Some(&rules))
            .await
    }

    /// Forgets what was settled by other rules than these, which are about to be applied: if that is not done to the
    /// end, nobody may take what is placed for what the old rules make of it.
    pub async fn unsettle(&self, rules: &Blake3) -> Result<()> {
        match self.is_settled(rules).await? {
            true => Ok(()),
            false => self.ledger.set_cursor(&self.rules_key(), None).await,
        }
    }

    /// Forgets what was settled by any rules: what is placed is to be looked at anew.
    pub async fn forget_settled(&self) -> Result<()> {
        self.ledger.set_cursor(&self.rules_key(), None).await
    }

    async fn is_settled(&self, rules: &Blake3) -> Result<bool> {
        let noted = self.ledger.cursor(&self.rules_key()).await?;
        Ok(noted.is_some_and(|noted| noted.as_str() == rules.to_hex()))
    }

    fn rules_key(&self) -> String {
        format!("rules of {}", self.options.flow)
    }

    /// The digest of everything but the asset that decides what an asset becomes: the options, the plugin
    /// with its configuration and tables, and the date, which plugins may ask for.
    fn rules(&self) -> Result<Blake3> {
        let options = &self.options;
        // A plugin that asks for the day has it in the digest of its configuration.
        let hook = self.hooks.as_ref().map(|hooks| hooks.identity());
        let text = serde_json::to_vec(&(
            (&options.root, &options.selection, &options.collection),
            (options.keep_folders, &options.asset_type, &options.set),
            (&options.availability, &options.choices, self.duplicates()),
            (self.sink.name(), hook),
            self.informant.as_ref().map(|informant| informant.digest()),
        ));
        let text = text.map_err(|error| {
            Error::new(Kind::Unexpected, "the flow's rules cannot be written").with_source(error)
        })?;
        Ok(Blake3::of(&text))
    }

    /// Whether each asset of a page is placed at this revision and under this path, in order. None is where that
    /// alone settles nothing.
    async fn unchanged(&self, page: &[Change], is_settled: bool) -> Result<Vec<bool>> {
        if !is_settled {
            return Ok(Vec::new());
        }
        let assets: Vec<Asset> = page
            .iter()
            .filter_map(|change| match change {
                Change::Asset(asset) => Some(asset.clone()),
                Change::Folder(_) | Change::Removed(_) => None,
            })
            .collect();
        self.ledger
            .unchanged(&self.options.flow, self.source.name(), &assets)
            .await
    }

    /// Splits the listing into assets that are in, with what approved them, and skips.
    pub(crate) async fn select(
        &self,
        selector: &Selector,
        listed: Vec<Asset>,
        steps: &mut Vec<PlannedStep>,
    ) -> Result<Vec<(Asset, String)>> {
        let mut picked = Vec::new();
        let mut untold = Vec::new();
        for asset in listed {
            match selector.pick(&asset) {
                Pick::In(by) => picked.push((asset, by)),
                Pick::Out(reason) => steps.push(no_work(Action::Skip, reason, asset)),
                Pick::InIfTagged => untold.push(asset),
            }
        }
        // Only these are asked for, because tags cost calls.
        let tags = match untold.is_empty() {
            true => Vec::new(),
            false => self.source.tags(&untold).await?,
        };
        for (mut asset, tags) in untold.into_iter().zip(tags) {
            asset.tags = tags;
            match selector.settle(&asset.tags) {
                Pick::In(by) => picked.push((asset, by)),
                Pick::Out(reason) => steps.push(no_work(Action::Skip, reason, asset)),
                Pick::InIfTagged => {
                    steps.push(no_work(
                        Action::Skip,
                        "its tags are not known".to_owned(),
                        asset,
                    ));
                }
            }
        }
        Ok(picked)
    }

    /// Holds what could only fail later: nothing to read, a name the sink refuses, a spelling twin.
    fn preflight(
        &self,
        picked: Vec<(Asset, String)>,
        spelled_alike: &BTreeMap<String, Vec<AssetPath>>,
        placed_names: &PlacedNames,
        steps: &mut Vec<PlannedStep>,
    ) -> Vec<(Asset, String)> {
        let sink = self.sink.capabilities();
        let mut fit = Vec::with_capacity(picked.len());
        for (asset, by) in picked {
            let twins = spelled_alike
                .get(&asset.path.key())
                .map_or(&[][..], Vec::as_slice);
            let twin_is_placed = || {
                let taken = placed_names.contains(&asset.path);
                taken.then(|| {
                    "its name differs only in case or accents' encoding from an asset that is \
                     placed; rename one"
                        .to_owned()
                })
            };
            match obstacle(&asset, sink, twins).or_else(twin_is_placed) {
                Some(reason) => steps.push(no_work(Action::Hold, reason, asset)),
                None => fit.push((asset, by)),
            }
        }
        fit
    }

    /// One batch through ledger, hook and sink. Answers what of it is placed and unchanged.
    async fn decide_batch(
        &self,
        batch: Vec<(Asset, String)>,
        undecided: &mut Sorted,
        steps: &mut Vec<PlannedStep>,
        whole: &mut Whole,
    ) -> Result<Vec<Asset>> {
        let mut unchanged = Vec::new();
        let mut open = Vec::new();
        let granted = self.hooks.as_ref().map_or(&[][..], |hooks| hooks.granted());
        let stated = self.stated(granted, &batch, undecided).await?;
        let mappings = self
            .describe(self.hooks.as_deref(), &batch, &stated)
            .await?;
        for stated in &stated {
            if let Verdict::Ready(stated) = stated {
                whole.summary.find(&stated.findings);
            }
        }
        let candidates = self.candidates(batch).await?;
        for ((mut candidate, mapping), stated) in candidates.into_iter().zip(mappings).zip(&stated)
        {
            let mapping = match mapping {
                Verdict::Ready(mapping) => mapping,
                Verdict::Held { reason, rule } => {
                    let reason = match stated {
                        Verdict::Ready(_) if !rule.is_empty() => {
                            format!("the plugin holds it ({rule}): {reason}")
                        }
                        Verdict::Ready(_) | Verdict::Held { .. } => reason,
                    };
                    whole.summary.hold(candidate.placement.as_ref());
                    steps.push(no_work(Action::Hold, reason, candidate.asset));
                    continue;
                }
            };
            whole.summary.find(&mapping.findings);
            let draft = self.draft(&candidate.asset, mapping);
            if self.options.choices.has_new(&draft.fields) {
                // What was refused then may be a new entry now, and its draft is the same.
                candidate.hold = None;
            }
            match settled(&candidate, &draft)? {
                Some(Settled::Held(reason)) => {
                    whole.summary.hold(candidate.placement.as_ref());
                    steps.push(no_work(Action::Hold, reason, candidate.asset));
                }
                Some(Settled::Unchanged) => unchanged.push(candidate.asset),
                None => open.push((candidate, draft)),
            }
        }
        if open.is_empty() {
            return Ok(unchanged);
        }
        let drafts: Vec<Draft> = open.iter().map(|(_, draft)| draft.clone()).collect();
        let faults = self.sink.check_drafts(&drafts).await?;
        let mut fit = Vec::with_capacity(open.len());
        for ((candidate, draft), faults) in open.into_iter().zip(faults) {
            match faults.as_slice() {
                [] => fit.push((candidate, draft)),
                faults => {
                    whole.summary.hold(candidate.placement.as_ref());
                    whole.summary.miss(faults);
                    let reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
                    let reason = format!(
                        "{} would refuse it: {}",
                        self.sink.name(),
                        reasons.join("; ")
                    );
                    steps.push(no_work(Action::Hold, reason, candidate.asset));
                }
            }
        }
        let assets = fit.iter_mut().map(|(one, _)| &mut one.asset).collect();
        let twins = self
            .twins(assets, undecided, whole.hashing.as_mut())
            .await?;
        for ((candidate, draft), twin) in fit.into_iter().zip(twins) {
            steps.push(self.step(candidate, draft, twin));
        }
        Ok(unchanged)
    }

    /// What the ledger knows of each asset, in order.
    async fn candidates(&self, batch: Vec<(Asset, String)>) -> Result<Vec<Candidate>> {
        let (flow, source) = (self.options.flow.as_str(), self.source.name());
        let ids: Vec<_> = batch.iter().map(|(asset, _)| asset.id.clone()).collect();
        let placements = match &self.partners {
            None => self.ledger.placements(flow, source, &ids).await?,
            Some(partners) => ids.iter().map(|id| partners.placement(id)).collect(),
        };
        let holds = match self.options.retry_held {
            true => vec![None; ids.len()],
            false => self.ledger.holds(flow, source, &ids).await?,
        };
        let mut candidates: Vec<Candidate> = batch
            .into_iter()
            .zip(placements)
            .zip(holds)
            .map(|(((asset, approved_by), placement), hold)| Candidate {
                asset,
                approved_by,
                placement,
                sharing: Sharing::default(),
                hold,
            })
            .collect();
        let linked = |candidate: &Candidate| {
            let placement = candidate.placement.as_ref();
            placement
                .filter(|placement| placement.linked)
                .map(|placement| placement.placed.asset.clone())
        };
        let assets: BTreeSet<AssetId> = candidates.iter().filter_map(linked).collect();
        if assets.is_empty() {
            return Ok(candidates);
        }
        let assets: Vec<AssetId> = assets.into_iter().collect();
        let sharing = self.ledger.sharing(self.sink.name(), &assets).await?;
        let sharing: BTreeMap<AssetId, Sharing> = assets.into_iter().zip(sharing).collect();
        for candidate in &mut candidates {
            let shared = linked(candidate).and_then(|asset| sharing.get(&asset));
            candidate.sharing = shared.cloned().unwrap_or_default();
        }
        Ok(candidates)
    }

    /// What the asset shall be: the hook's mapping, completed and overruled by the configuration.
    pub(super) fn draft(&self, asset: &Asset, mapping: Mapping) -> Draft {
        let options = &self.options;
        let mapping = match self.partners.as_ref().is_some_and(|one| one.mirrors()) {
            true => Mapping {
                name: None,
                file_name: None,
                collection: None,
                ..mapping
            },
            false => mapping,
        };
        let mut fields: BTreeMap<String, Assigned> = BTreeMap::new();
        for assigned in mapping.fields {
            fields.insert(assigned.field.clone(), assigned);
        }
        for (field, value) in &options.set {
            let rule = format!("flow {}, set", options.flow);
            fields.insert(
                field.clone(),
                Assigned {
                    field: field.clone(),
                    value: value.clone(),
                    rule,
                },
            );
        }
        let own_name = || asset.path.name().to_owned();
        let mut draft = Draft {
            name: mapping.name.unwrap_or_else(own_name),
            file_name: mapping.file_name.unwrap_or_else(own_name),
            collection: mapping.collection.unwrap_or_else(|| self.collection(asset)),
            asset_type: mapping.asset_type.or_else(|| options.asset_type.clone()),
            fields: fields
                .into_values()
                .filter_map(|assigned| options.choices.apply(assigned))
                .collect(),
            availability: mapping
                .availability
                .or_else(|| options.availability.clone()),
            handing: None,
            yields: BTreeSet::new(),
        };
        if let Some(partners) = &self.partners {
            draft.yields = partners.yields(&asset.id, &draft);
        }
        draft
    }

    /// Where an asset goes whose hook does not say.
    fn collection(&self, asset: &Asset) -> AssetPath {
        let options = &self.options;
        let mut collection = options.collection.clone();
        if options.keep_folders {
            let folder = asset.path.parent();
            // By number, not by text: a source that folds names may show the root in another spelling.
            let below = folder.segments().skip(options.root.segments().count());
            collection = below.fold(collection, |at, name| at.join(name));
        }
        collection
    }

    /// The step of an asset that is in, that no one refuses, and that is not what was placed.
    fn step(&self, candidate: Candidate, draft: Draft, twin: Option<Twin>) -> PlannedStep {
        let Candidate {
            asset,
            approved_by,
            placement,
            sharing,
            ..
        } = candidate;
        let Some(placement) = placement else {
            return self.create(asset, draft, twin, &approved_by);
        };
        let id = placement.placed.asset.clone();
        if !same_bytes(&asset, &placement) {
            // Where the asset stands for other files too, which is known for sure only when the step is taken, it becomes
            // an asset of its own instead.
            let reason = format!("its bytes changed since it became {id}");
            let partners = self.partners.as_ref();
            if partners.is_some_and(|partners| partners.proposes(&asset.id)) {
                let reason = format!("{reason}; somebody has to choose");
                return no_work(Action::Conflict, reason, asset);
            }
            let destination = Destination::Version {
                asset: id,
                draft,
                // Of two sides that both write, neither writes over what it has not seen.
                replaces: partners.map(|_| placement.placed.revision.clone()),
            };
            let mut work = self.place(&asset, destination, false, None);
            if let Work::Place { agreed, alone, .. } = &mut work {
                *agreed = partners.and_then(|partners| partners.agreed(&asset.id));
                // An asset of a pair stands for its file alone, though others may have been placed as it before.
                *alone = partners.is_some();
            }
            return self.acting(Action::NewVersion, reason, asset, work);
        }
        if is_anothers(&placement, &sharing) {
            let is_elsewhere = placement.collection.key() != draft.collection.key();
            let reason = match is_elsewhere {
                true => format!("it belongs elsewhere since it was linked to {id}"),
                false => {
                    format!("it was touched since it was linked to {id}, and has the same bytes")
                }
            };
            let relink = is_elsewhere.then_some(id);
            // The step finds what it is linked to by its content.
            let mut asset = asset;
            asset.content_hash = asset.content_hash.or(placement.digests.content_hash);
            let work = self.place(&asset, Destination::New { draft }, true, relink);
            return self.acting(Action::Link, reason, asset, work);
        }
        let partners = self.partners.as_ref();
        let mut leaves = partners.map_or_else(Vec::new, |partners| partners.leaves(&asset.id));
        leaves.retain(|left| left.key() != draft.collection.key());
        let work = Work::Update {
            placement: Box::new(placement),
            asset: asset.clone(),
            draft,
            leaves,
        };
        let reason = format!("its metadata changed since it became {id}");
        self.acting(Action::UpdateMetadata, reason, asset, work)
    }

    /// The step of an asset that is new at the sink.
    fn create(
        &self,
        asset: Asset,
        draft: Draft,
        twin: Option<Twin>,
        approved_by: &str,
    ) -> PlannedStep {
        let sink = self.sink.name();
        let same = match &twin {
            None => None,
            Some(Twin::Placed(placement)) => Some(format!(
                "its bytes are at {sink} already, as {}",
                placement.placed.asset
            )),
            // Only looked for where it is left out.
            Some(Twin::Recognised(asset)) => {
                Some(format!("its bytes are at {sink} already, as {asset}"))
            }
            Some(Twin::Planned) => Some("another file of this plan has the same bytes".to_owned()),
        };
        let reuse = self.sink.capabilities().reuse;
        let (action, reason, reuse) = match (same, self.duplicates(), reuse) {
            (Some(_), Duplicates::Skip, _) => {
                let reason = match twin {
                    Some(Twin::Planned) => "a duplicate of another file of this plan".to_owned(),
                    Some(Twin::Recognised(_)) => {
                        format!("a duplicate of what others brought to {sink}")
                    }
                    _ => format!("a duplicate of what is at {sink} already"),
                };
                return no_work(Action::Skip, reason, asset);
            }
            (Some(same), Duplicates::Reuse, Some(Reuse::Copy)) => {
                (Action::Copy, format!("{approved_by}; {same}"), true)
            }
            (Some(same), Duplicates::Reuse, Some(Reuse::Link)) => {
                (Action::Link, format!("{approved_by}; {same}"), true)
            }
            (_, duplicates, reuse) => {
                // Should another flow have brought it meanwhile, that is as good.
                let may_reuse = duplicates == Duplicates::Reuse && reuse.is_some();
                let reason = format!("{approved_by}, not placed before");
                (
                    Action::Create,
                    reason,
                    may_reuse && asset.content_hash.is_some(),
                )
            }
        };
        let work = self.place(&asset, Destination::New { draft }, reuse, None);
        self.acting(action, reason, asset, work)
    }

    fn acting(&self, action: Action, reason: String, asset: Asset, work: Work) -> PlannedStep {
        PlannedStep {
            action,
            reason,
            asset,
            work: Some(work),
        }
    }

    fn place(
        &self,
        asset: &Asset,
        destination: Destination,
        reuse: bool,
        relink: Option<AssetId>,
    ) -> Work {
        let correlation = Correlation::derive(
            &self.options.flow,
            self.source.name(),
            asset.id.as_str(),
            asset.revision.as_str(),
        );
        Work::Place {
            asset: asset.clone(),
            destination,
            correlation,
            reuse,
            relink,
            release: None,
            agreed: None,
            alone: false,
        }
    }
}

pub(crate) fn no_work(action: Action, reason: String, asset: Asset) -> PlannedStep {
    PlannedStep {
        action,
        reason,
        asset,
        work: None,
    }
}

/// Equal revisions mean equal bytes; a touched file with the same content hash does too.
fn same_bytes(asset: &Asset, placement: &Placement) -> bool {
    asset.revision == placement.source_revision
        || (asset.size == placement.digests.size
            && asset.content_hash.is_some()
            && asset.content_hash == placement.digests.content_hash)
}

/// Why nothing is to be done about an asset.
enum Settled {
    /// An earlier run could not place it and nothing changed since, for this reason.
    Held(String),
    /// It is placed as it would be placed again.
    Unchanged,
}

/// Whether what a file is linked to has another file's metadata. Where nobody is left who brought it, the first of those
/// that are linked to it takes it over.
fn is_anothers(placement: &Placement, sharing: &Sharing) -> bool {
    placement.linked && (sharing.is_owned || sharing.first < placement.sort_key())
}

fn settled(candidate: &Candidate, draft: &Draft) -> Result<Option<Settled>> {
    let asset = &candidate.asset;
    let digest = draft.digest()?;
    if let Some(hold) = &candidate.hold
        && hold.source_revision == asset.revision
        && hold.draft_digest == digest
    {
        return Ok(Some(Settled::Held(hold.reason.clone())));
    }
    let sharing = &candidate.sharing;
    let same = candidate.placement.as_ref().is_some_and(|placement| {
        same_bytes(asset, placement)
            && match (is_anothers(placement, sharing), placement.linked) {
                // Its metadata is the other file's; what is its own is where it appears.
                (true, _) => placement.collection.key() == draft.collection.key(),
                // The other one is gone from it: what it says has to become this one's.
                (false, true) => false,
                (false, false) => placement.draft_digest == digest,
            }
    });
    Ok(same.then_some(Settled::Unchanged))
}

/// The folded names of assets that were forgotten because they are placed, so that a new asset with a
/// name alike is still noticed. Eight bytes a name, and only where the source keeps such names apart.
struct PlacedNames {
    hashes: Option<BTreeSet<u64>>,
}

impl PlacedNames {
    fn new(source: &Capabilities) -> Self {
        PlacedNames {
            hashes: (!source.folds_names).then(BTreeSet::new),
        }
    }

    fn insert(&mut self, path: &AssetPath) {
        if let Some(hashes) = &mut self.hashes {
            hashes.insert(name_hash(path));
        }
    }

    fn contains(&self, path: &AssetPath) -> bool {
        let hashes = self.hashes.as_ref();
        hashes.is_some_and(|hashes| hashes.contains(&name_hash(path)))
    }
}

/// Eight bytes of a digest: two names among 10^8 share one with a chance of one in 3,700, and all that
/// comes of it is a hold with a wrong reason.
fn name_hash(path: &AssetPath) -> u64 {
    eight_bytes(path.key().as_bytes())
}

pub(crate) fn eight_bytes(text: &[u8]) -> u64 {
    let digest = Blake3::of(text);
    let (first, _) = digest.as_bytes().split_at(8);
    first
        .iter()
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Paths that differ only in case or Unicode normal form, by folded path; only where there are several.
fn alike(listed: &[Asset]) -> BTreeMap<String, Vec<AssetPath>> {
    let mut by_key: BTreeMap<String, Vec<AssetPath>> = BTreeMap::new();
    for asset in listed {
        by_key
            .entry(asset.path.key())
            .or_default()
            .push(asset.path.clone());
    }
    by_key.retain(|_, paths| paths.len() > 1);
    by_key
}

/// Whether what an asset had were its resource fork alone, which services do not keep.
pub(crate) fn is_suspected_fork(asset: &Asset) -> bool {
    let forked = ["otf", "ttf", "ttc", "dfont", "suit", "textclipping", ""];
    asset.size == 0 && forked.contains(&asset.path.extension().as_str())
}

/// Why an asset must not be tried, found without asking anybody.
fn obstacle(asset: &Asset, sink: &Capabilities, twins: &[AssetPath]) -> Option<String> {
    match asset.readable {
        Readable::Yes => {}
        Readable::NeedsExport => {
            return Some(
                "it is a cloud document that can only be exported, not read as it is".into(),
            );
        }
        Readable::Restricted => {
            return Some("the source blocks its bytes (restricted content); ask its owner".into());
        }
    }
    if asset.size == 0 {
        return Some(match is_suspected_fork(asset) {
            true => {
                "it has no bytes: suspected lost resource fork; deliver it again in a zip".into()
            }
            false => "it has no bytes; deliver it again".into(),
        });
    }
    if let Err(problem) = preflight_name(asset.path.name(), sink.name_units_max) {
        return Some(problem.to_string());
    }
    if let Some(max) = sink.asset_bytes_max.filter(|max| asset.size > *max) {
        return Some(format!("it has {} bytes; the sink takes {max}", asset.size));
    }
    let other = twins.iter().find(|path| **path != asset.path)?;
    Some(format!(
        "its name differs only in case or accents' encoding from {other}; rename one"
    ))
}
