//! The plan: one step an asset, each with its reason. Steps are handed on as they are decided, because there may
//! be millions; what remains of them is a summary.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::{
    Action, Asset, AssetId, AssetPath, ContentHash, Correlation, Destination, Draft, Error, Fault,
    Finding, Kind, NewStep, Placement, Result, Revision, RunOrigin, StepState, fold_key,
};

use crate::coverage::CoverageMap;
use crate::delivery::{Clearance, asset_of};
use crate::flows::sync::Queue;
use crate::ready::Waiting;

/// Why an asset is skipped that is [`Unchanged`].
pub(crate) const UNCHANGED: &str = "already placed and unchanged";

/// Values that a sink does not have that are kept. Whoever has more of them has no vocabulary.
const MISSING_MAX: usize = 10_000;

/// How many different reasons and remarks a summary tells apart; what comes after is counted together.
const REASONS_MAX: usize = 1_000;

/// How many steps of each action a summary names.
const SAMPLES: usize = 3;

/// Takes the steps of a plan as they are decided.
#[async_trait]
pub trait PlanWriter: Send {
    /// Takes further steps, in the order of folded paths. An error ends the planning.
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()>;

    /// Whether it is to be told of each asset that is unchanged. The rules are asked about all of them then.
    fn wants_unchanged(&self) -> bool {
        false
    }

    /// Takes assets that are placed as they would be placed again, each once, where it wants them.
    async fn unchanged(&mut self, assets: Vec<Asset>) -> Result<()> {
        drop(assets);
        Ok(())
    }
}

#[async_trait]
impl PlanWriter for Vec<PlannedStep> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        self.extend(steps);
        Ok(())
    }
}

/// What a flow would do, and why: everything about it but the steps. Its size is bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanSummary {
    /// The flow's name in the configuration.
    pub flow: String,
    /// By what it was decided.
    pub origin: RunOrigin,
    /// What is placed as it would be placed again.
    pub unchanged: Unchanged,
    /// The first steps of each action.
    pub samples: BTreeMap<Action, Vec<Sample>>,
    /// Remarks that do not stop an asset; each is named once.
    pub findings: BTreeSet<Finding>,
    /// Further remarks that are not among them, repeated ones too.
    pub more_findings: u64,
    /// Values that the sink's vocabularies do not have, by field and folded value: spellings that differ only in case are
    /// one.
    pub missing: BTreeMap<(String, String), MissingValue>,
    /// Further ones that are not among them, repeated ones too.
    pub more_missing: u64,
    /// Who gets what, for flows that serve markets.
    pub coverage: Option<CoverageMap>,
    /// When it has to be looked at again at the latest, because what somebody allowed or forbade ends then.
    pub due: Option<Timestamp>,
    /// Assets that are still arriving.
    pub waiting: Waiting,
    /// The earliest moment at which one of them could be ready if nothing more happens to it.
    pub ready_at: Option<Timestamp>,
    /// What a two-way flow found for the queue of conflicts.
    pub(crate) queue: Queue,
    /// By which look at both sides a two-way flow decided it.
    pub(crate) look: u64,
    /// Assets that are placed and held: not what the rules make of them.
    pub(crate) held_placed: u64,
    /// A digest of the XMP files that the listing showed, in any order.
    pub(crate) sidecars: u64,
    steps: BTreeMap<Action, (u64, u64)>,
    reasons: BTreeMap<(Action, String), u64>,
    more_reasons: BTreeMap<Action, u64>,
}

/// A value that a sink's vocabulary does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingValue {
    /// In the spelling that came first.
    pub name: String,
    /// How many assets have it.
    pub assets: u64,
    /// The entry that it is closest to, if any is close.
    pub nearest: Option<String>,
    /// Whether it may be made a new entry.
    pub creatable: bool,
}

/// One step of a plan, as its summary names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The asset.
    pub path: AssetPath,
    /// Number of bytes.
    pub size: u64,
    /// Why.
    pub reason: String,
}

/// What a flow would do, and why, as one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Everything but the steps.
    pub summary: PlanSummary,
    /// One step an asset that is not unchanged, in the order of folded paths.
    pub steps: Vec<PlannedStep>,
}

/// Assets that are placed as they would be placed again: counted, because there may be millions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// How many.
    pub assets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Unchanged {
    pub(crate) fn count(&mut self, asset: &Asset) {
        self.assets += 1;
        self.bytes += asset.size;
    }
}

/// One asset, what happens to it, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What happens.
    pub action: Action,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// The asset at its source.
    pub asset: Asset,
    /// What has to be done, for actions that act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// Everything that running a step needs, kept in the ledger as its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "work")]
pub enum Work {
    /// Move the bytes and place them.
    Place {
        /// The asset at its source, with the revision that was planned.
        asset: Asset,
        /// Where it goes.
        destination: Destination,
        /// The mark that tells a lost answer from a failure.
        correlation: Correlation,
        /// Its bytes are at the sink already, or will be once another step is done: they need not move.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reuse: bool,
        /// It is linked to this asset, which is to appear in another collection for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relink: Option<AssetId>,
        /// What has to be so for it to leave its library.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<Box<Clearance>>,
        /// Where its source and its sink agreed last that it is, if it is another one at the source by now and only the bytes
        /// are brought over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agreed: Option<AssetPath>,
        /// No other file stands for the asset that becomes a version, whatever was placed as it before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
    },
    /// Change metadata only.
    Update {
        /// What was placed.
        placement: Box<Placement>,
        /// The asset at its source, with the revision that was planned.
        asset: Asset,
        /// What it shall be.
        draft: Draft,
        /// The collections that it leaves once it is in the draft's; it stays in all others that people put it into.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leaves: Vec<AssetPath>,
    },
    /// Move what was placed, if nobody changed it.
    Move {
        /// What was placed.
        placement: Box<Placement>,
        /// The asset at its source.
        asset: Asset,
        /// What it shall be.
        draft: Draft,
        /// What has to be so for it to be there.
        release: Box<Clearance>,
    },
    /// Take back what was placed, if nobody changed it.
    TakeBack {
        /// What was placed.
        placement: Box<Placement>,
        /// The asset at its source, as it was last known.
        asset: Asset,
        /// What it was.
        draft: Draft,
        /// Why it may not be there any more.
        why: String,
        /// Who wants it to go. Runs that older versions planned do not say so.
        #[serde(default)]
        cause: Cause,
        /// Where it is kept; `None` deletes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<AssetPath>,
        /// What a note in its place says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Delete an asset that was put away because its file is gone, if nobody touched it since.
    Retire {
        /// What was placed, as the version that was put away.
        placement: Box<Placement>,
        /// The file, as it was last known.
        asset: Asset,
        /// What it was when it was put away, and where.
        draft: Draft,
        /// Why nobody has to keep it any more.
        why: String,
    },
    /// Record what is placed already.
    Adopt {
        /// What the ledger is to know of it.
        placement: Box<Placement>,
        /// The asset at its source.
        asset: Asset,
        /// What it is.
        draft: Draft,
    },
}

/// Who wants something to go that was placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The library or the rules say no: no cap keeps it.
    Denied,
    /// Nobody says no, and nobody can say yes any more.
    Doubt,
    /// The flow does not place it any more, whatever rights allow.
    #[default]
    Unwanted,
    /// It was put away, and was kept for as long as it has to be.
    Expired,
}

/// Which content a step is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// The one with this hash.
    Known(ContentHash),
    /// That of a revision of an asset, whatever its hash is.
    Of(AssetId, Revision),
}

impl Work {
    /// The asset at its source.
    pub fn asset(&self) -> &Asset {
        match self {
            Work::Place { asset, .. }
            | Work::Update { asset, .. }
            | Work::Move { asset, .. }
            | Work::TakeBack { asset, .. }
            | Work::Retire { asset, .. }
            | Work::Adopt { asset, .. } => asset,
        }
    }

    /// Who wants it to go, if it takes something back.
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Work::TakeBack { cause, .. } => Some(*cause),
            Work::Retire { .. } => Some(Cause::Expired),
            Work::Place { .. } | Work::Update { .. } | Work::Move { .. } | Work::Adopt { .. } => {
                None
            }
        }
    }

    /// The content that it brings to the sink, where the plan knows which.
    pub(crate) fn content(&self) -> Option<Content> {
        let Work::Place { asset, release, .. } = self else {
            return None;
        };
        match (asset.content_hash, release) {
            (Some(hash), _) => (asset.size > 0).then_some(Content::Known(hash)),
            // Nobody has read it yet; one revision of one asset is one content all the same.
            (None, Some(_)) => Some(Content::Of(asset_of(&asset.id), asset.revision.clone())),
            (None, None) => None,
        }
    }

    /// What has to be so for it to leave its library.
    pub(crate) fn clearance(&self) -> Option<&Clearance> {
        match self {
            Work::Place { release, .. } => release.as_deref(),
            Work::Move { release, .. } => Some(release),
            Work::Update { .. }
            | Work::Adopt { .. }
            | Work::TakeBack { .. }
            | Work::Retire { .. } => None,
        }
    }

    /// The asset at the sink that it changes, and that may stand for other files too.
    pub(crate) fn changes(&self) -> Option<&AssetId> {
        match self {
            Work::Place {
                destination: Destination::Version { asset, .. },
                ..
            } => Some(asset),
            Work::Place { relink, .. } => relink.as_ref(),
            Work::Update { .. }
            | Work::Adopt { .. }
            | Work::Move { .. }
            | Work::TakeBack { .. }
            | Work::Retire { .. } => None,
        }
    }

    /// Whether no other file stands for the asset that it changes, whatever was placed as it before.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Work::Place { alone: true, .. })
    }

    /// Makes a new asset of what was to be a version.
    pub(crate) fn become_new(&mut self) {
        if let Work::Place { destination, .. } = self {
            let draft = destination.draft().clone();
            *destination = Destination::New { draft };
        }
    }

    /// The content that need not move: its size, where that is known, and which it is.
    pub(crate) fn reuses(&self) -> Option<(u64, Content)> {
        match self {
            Work::Place {
                asset, reuse: true, ..
            } => self.content().map(|content| (asset.size, content)),
            _ => None,
        }
    }

    /// What it shall be.
    pub fn draft(&self) -> &Draft {
        match self {
            Work::Place { destination, .. } => destination.draft(),
            Work::Update { draft, .. }
            | Work::Adopt { draft, .. }
            | Work::Move { draft, .. }
            | Work::TakeBack { draft, .. }
            | Work::Retire { draft, .. } => draft,
        }
    }

    /// The asset at the sink, where it is there already.
    pub fn placed_asset(&self) -> Option<&AssetId> {
        match self {
            Work::Place {
                destination: Destination::Version { asset, .. },
                ..
            } => Some(asset),
            Work::Place { .. } => None,
            Work::Update { placement, .. }
            | Work::Adopt { placement, .. }
            | Work::Move { placement, .. }
            | Work::TakeBack { placement, .. }
            | Work::Retire { placement, .. } => Some(&placement.placed.asset),
        }
    }

    /// Reads a payload back from the ledger.
    pub fn from_payload(payload: &str) -> Result<Work> {
        serde_json::from_str(payload).map_err(|error| {
            Error::new(
                Kind::Corrupt,
                "a step in the ledger has a payload that cannot be read",
            )
            .with_source(error)
            .with_hint("it was written by another version of windlass: finish the run with that")
        })
    }
}

impl PlannedStep {
    /// The step as the ledger records it.
    pub fn to_new_step(&self, endpoint: &str) -> Result<NewStep> {
        let payload = match &self.work {
            None => "{}".to_owned(),
            Some(work) => serde_json::to_string(work).map_err(|error| {
                Error::new(Kind::Unexpected, "a step cannot be written as JSON").with_source(error)
            })?,
        };
        Ok(NewStep {
            action: self.action,
            reason: self.reason.clone(),
            state: match self.action {
                Action::Skip => StepState::Skipped,
                Action::Hold | Action::Conflict => StepState::Held,
                _ => StepState::Open,
            },
            endpoint: endpoint.to_owned(),
            asset: self.asset.id.clone(),
            revision: self.asset.revision.clone(),
            path: self.asset.path.clone(),
            size: self.asset.size,
            payload,
        })
    }
}

impl PlanSummary {
    /// Nothing decided yet.
    pub fn new(flow: String, origin: RunOrigin) -> Self {
        PlanSummary {
            flow,
            origin,
            unchanged: Unchanged::default(),
            samples: BTreeMap::new(),
            findings: BTreeSet::new(),
            more_findings: 0,
            missing: BTreeMap::new(),
            more_missing: 0,
            coverage: None,
            due: None,
            waiting: Waiting::default(),
            ready_at: None,
            queue: Queue::default(),
            look: 0,
            held_placed: 0,
            sidecars: 0,
            steps: BTreeMap::new(),
            reasons: BTreeMap::new(),
            more_reasons: BTreeMap::new(),
        }
    }

    /// Counts a step.
    pub fn count(&mut self, step: &PlannedStep) {
        let (steps, bytes) = self.steps.entry(step.action).or_default();
        *steps += 1;
        *bytes += step.asset.size;
        let samples = self.samples.entry(step.action).or_default();
        if samples.len() < SAMPLES {
            samples.push(Sample {
                path: step.asset.path.clone(),
                size: step.asset.size,
                reason: step.reason.clone(),
            });
        }
        if step.action.acts() {
            return;
        }
        let key = (step.action, step.reason.clone());
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&key) {
            *self.reasons.entry(key).or_default() += 1;
        } else {
            *self.more_reasons.entry(step.action).or_default() += 1;
        }
    }

    /// Remembers remarks.
    pub fn find(&mut self, findings: &[Finding]) {
        for finding in findings {
            if self.findings.contains(finding) {
                continue;
            }
            match self.findings.len() < REASONS_MAX {
                true => drop(self.findings.insert(finding.clone())),
                false => self.more_findings += 1,
            }
        }
    }

    /// Counts an asset that is held, if it is placed.
    pub(crate) fn hold(&mut self, placement: Option<&Placement>) {
        self.held_placed += u64::from(placement.is_some());
    }

    /// Counts an asset that is still arriving, and when that could be over.
    pub(crate) fn wait(&mut self, asset: &Asset, until: Option<Timestamp>) {
        self.waiting.count(asset);
        self.ready_at = match (self.ready_at, until) {
            (Some(known), Some(until)) => Some(known.min(until)),
            (known, until) => known.or(until),
        };
    }

    /// Counts the values that a sink's vocabulary does not have.
    pub(crate) fn miss(&mut self, faults: &[Fault]) {
        for fault in faults {
            let (Some(field), Some(unknown)) = (&fault.field, &fault.unknown) else {
                continue;
            };
            let key = (field.clone(), fold_key(unknown.name.trim()));
            if self.missing.len() >= MISSING_MAX && !self.missing.contains_key(&key) {
                self.more_missing += 1;
                continue;
            }
            let missing = self.missing.entry(key).or_insert_with(|| MissingValue {
                name: unknown.name.clone(),
                assets: 0,
                nearest: unknown.nearest.clone(),
                creatable: unknown.creatable,
            });
            missing.assets += 1;
        }
    }

    /// True when running it would change nothing.
    pub fn is_empty(&self) -> bool {
        !self.steps.keys().any(|action| action.acts())
    }

    /// How many steps take their bytes from what the sink has, and how many bytes need not move for them.
    pub fn reused(&self) -> (u64, u64) {
        let reused = self.planned().filter(|(action, _)| action.reuses());
        reused.fold(
            (0, 0),
            |(steps, bytes), (_, (of_action, bytes_of_action))| {
                (steps + of_action, bytes + bytes_of_action)
            },
        )
    }

    /// Steps and bytes by action, without what is unchanged.
    pub(crate) fn planned(&self) -> impl Iterator<Item = (Action, (u64, u64))> {
        self.steps.iter().map(|(action, sums)| (*action, *sums))
    }

    /// Assets and bytes by action, in the order of actions; what is unchanged counts as skipped.
    pub fn totals(&self) -> BTreeMap<Action, (u64, u64)> {
        let mut totals = self.steps.clone();
        if self.unchanged.assets > 0 {
            let (steps, bytes) = totals.entry(Action::Skip).or_default();
            *steps += self.unchanged.assets;
            *bytes += self.unchanged.bytes;
        }
        totals
    }

    /// Skips and holds by reason, most frequent first, then by text.
    pub fn reasons(&self) -> Vec<(Action, String, u64)> {
        let counted = self.reasons.iter();
        let mut reasons: Vec<_> = counted
            .map(|((action, reason), count)| (*action, reason.clone(), *count))
            .collect();
        if self.unchanged.assets > 0 {
            reasons.push((Action::Skip, UNCHANGED.to_owned(), self.unchanged.assets));
        }
        reasons.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (a.0, &a.1).cmp(&(b.0, &b.1))));
        let more = self.more_reasons.iter();
        reasons.extend(more.map(|(action, count)| (*action, "other reasons".to_owned(), *count)));
        reasons
    }
}

impl Plan {
    /// True when running it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.summary.is_empty()
    }

    /// See [`PlanSummary::totals`].
    pub fn totals(&self) -> BTreeMap<Action, (u64, u64)> {
        self.summary.totals()
    }

    /// See [`PlanSummary::reasons`].
    pub fn reasons(&self) -> Vec<(Action, String, u64)> {
        self.summary.reasons()
    }
}
