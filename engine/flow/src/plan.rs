//! The plan: one step an asset, each with its reason. A plain value that can be printed and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_core::{
    Action, Asset, AssetId, Blake3, Correlation, Destination, Draft, Error, Finding, HookIdentity,
    Kind, NewStep, Placement, Result, StepState,
};

/// Why an asset is skipped that is [`Unchanged`].
pub(crate) const UNCHANGED: &str = "already placed and unchanged";

/// What a flow would do, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The flow's name in the configuration.
    pub flow: String,
    /// The endpoint that assets come from.
    pub source: String,
    /// The endpoint that assets go to.
    pub sink: String,
    /// Which hook spoke, where one is configured.
    pub hook: Option<HookIdentity>,
    /// The digest of what decided, apart from the assets: options, plugin, configuration, date.
    pub rules: Blake3,
    /// One step an asset that is not unchanged, in the order of paths.
    pub steps: Vec<PlannedStep>,
    /// What is placed as it would be placed again.
    pub unchanged: Unchanged,
    /// Remarks that do not stop an asset; each is named once.
    pub findings: Vec<Finding>,
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

    pub(crate) fn add(&mut self, more: Unchanged) {
        self.assets += more.assets;
        self.bytes += more.bytes;
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
    },
    /// Change metadata only.
    Update {
        /// What was placed.
        placement: Box<Placement>,
        /// The asset at its source, with the revision that was planned.
        asset: Asset,
        /// What it shall be.
        draft: Draft,
    },
}

impl Work {
    /// The asset at its source.
    pub fn asset(&self) -> &Asset {
        match self {
            Work::Place { asset, .. } | Work::Update { asset, .. } => asset,
        }
    }

    /// What it shall be.
    pub fn draft(&self) -> &Draft {
        match self {
            Work::Place { destination, .. } => destination.draft(),
            Work::Update { draft, .. } => draft,
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
            Work::Update { placement, .. } => Some(&placement.placed.asset),
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

impl Plan {
    /// True when running it would change nothing.
    pub fn is_empty(&self) -> bool {
        !self.steps.iter().any(|step| step.action.acts())
    }

    /// Assets and bytes by action, in the order of actions; what is unchanged counts as skipped.
    pub fn totals(&self) -> BTreeMap<Action, (u64, u64)> {
        let mut totals = BTreeMap::new();
        if self.unchanged.assets > 0 {
            totals.insert(Action::Skip, (self.unchanged.assets, self.unchanged.bytes));
        }
        for step in &self.steps {
            let (steps, bytes) = totals.entry(step.action).or_insert((0, 0));
            *steps += 1;
            *bytes += step.asset.size;
        }
        totals
    }

    /// Skips and holds by reason, most frequent first, then by text.
    pub fn reasons(&self) -> Vec<(Action, String, u64)> {
        let mut counted: BTreeMap<(Action, &str), u64> = BTreeMap::new();
        for step in self.steps.iter().filter(|step| !step.action.acts()) {
            *counted.entry((step.action, &step.reason)).or_default() += 1;
        }
        if self.unchanged.assets > 0 {
            counted.insert((Action::Skip, UNCHANGED), self.unchanged.assets);
        }
        let mut reasons: Vec<_> = counted
            .into_iter()
            .map(|((action, reason), count)| (action, reason.to_owned(), count))
            .collect();
        reasons.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (a.0, &a.1).cmp(&(b.0, &b.1))));
        reasons
    }
}

/// The digest of what a draft asks for, without the rules that asked: a changed rule that gives the
/// same values is no change.
pub(crate) fn draft_digest(draft: &Draft) -> Result<Blake3> {
    let mut bare = draft.clone();
    for assigned in &mut bare.fields {
        assigned.rule.clear();
    }
    bare.fields.sort_by(|a, b| a.field.cmp(&b.field));
    let canonical = serde_json::to_vec(&bare).map_err(|error| {
        Error::new(Kind::Unexpected, "a draft cannot be written as JSON").with_source(error)
    })?;
    Ok(Blake3::of(&canonical))
}
