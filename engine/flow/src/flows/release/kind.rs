//! What flows out of a library differ in: which deliveries an asset has, and the little that follows from it.
//!
//! A kind is a value with its own options. It needs a name, its options for the digest of the rules, and its deliveries;
//! all else has a default that suits who hands out what is selected and takes back what is not wanted any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use windlass_core::{AssetId, AssetPath, Error, Finding, Holding, Kind, Placement, Result};

use super::standing::Standing;
use super::{Closed, ReleaseFlow, RenditionRule, Routed, Scene, any_use};
use crate::plan::{PlanSummary, PlannedStep};
use crate::rights::Use;

/// A kind of flow out of a library.
#[async_trait]
pub trait ReleaseKind: fmt::Debug + Send + Sync {
    /// What it is called in a configuration.
    fn name(&self) -> &'static str;

    /// Everything of its options that decides what becomes of an asset; see [`rules_of`].
    fn rules(&self) -> Result<serde_json::Value>;

    /// What the library must have, or every asset would be held; `None` asks it nothing.
    fn needs(&self) -> Option<Needs<'_>> {
        None
    }

    /// Which deliveries the selected assets have. Assets that belong to them may be selected as well.
    async fn deliveries(&self, flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed>;

    /// The folders at the sink in which deliveries may be, of a flow with this root.
    fn folders(&self, root: &AssetPath) -> BTreeSet<AssetPath> {
        BTreeSet::from([root.clone()])
    }

    /// What the kind saw of both sides a moment ago, and knows of what was placed, so that nobody lists them once more;
    /// `None` of a kind that did not look.
    fn sight(&self) -> Option<&Sight> {
        None
    }

    /// What counts as placed, of what the ledger says is: for a kind that knows better.
    fn placed(&self, noted: BTreeMap<AssetId, Placement>) -> BTreeMap<AssetId, Placement> {
        noted
    }

    /// Whether what an earlier run held is tried again although nothing about it changed.
    fn retries_held(&self) -> bool {
        false
    }

    /// Leaves out, or changes, what is not due although a release would do it.
    fn amend(&self, steps: &mut Vec<PlannedStep>) {
        let _: &mut Vec<PlannedStep> = steps;
    }

    /// What something was placed for, as far as its folder tells.
    fn uses_of(&self, placement: &Placement) -> Vec<Use> {
        let _: &Placement = placement;
        any_use()
    }

    /// Whether only what the flow's query selects may leave by it. Else others belong to it as well.
    fn is_bound_by_query(&self) -> bool {
        true
    }

    /// Whether what was placed and is not delivered any more is taken back.
    fn takes_back(&self) -> bool {
        true
    }

    /// Whether people may move what was placed. Else it is missing where it was.
    fn may_be_moved(&self) -> bool {
        true
    }

    /// That nothing is to be done any more, if so: later plans are empty and say this.
    async fn is_over(&self, flow: &ReleaseFlow) -> Result<Option<Finding>> {
        let _: &ReleaseFlow = flow;
        Ok(None)
    }

    /// Does what follows a run whose plan was this, and that took something back or did not. Doing it again changes
    /// nothing.
    async fn close(
        &self,
        flow: &ReleaseFlow,
        plan: &PlanSummary,
        has_withdrawn: bool,
        closed: &mut Closed,
    ) -> Result<()> {
        let (_, _, _, _) = (flow, plan, has_withdrawn, closed);
        Ok(())
    }

    /// Where the documents are, or will be, that Windlass writes beside what was placed.
    async fn papers(
        &self,
        flow: &ReleaseFlow,
        placed: &BTreeMap<AssetId, Placement>,
    ) -> Result<Vec<AssetPath>> {
        let (_, _) = (flow, placed);
        Ok(Vec::new())
    }
}

/// Both sides as a kind saw them.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// The selected assets about which something may be due.
    pub(crate) selected: BTreeMap<AssetId, Holding>,
    /// Those are all of them, as a list has them now.
    pub(crate) is_whole: bool,
    /// What is in the flow's folders.
    pub(crate) standing: Standing,
}

/// What a library must have.
#[derive(Clone, Debug, Default)]
pub struct Needs<'a> {
    /// Fields, by technical name.
    pub fields: Vec<String>,
    /// Renditions.
    pub renditions: &'a [RenditionRule],
}

/// All options of a kind as its rules. Errors: `Unexpected`, where they cannot be written.
pub(crate) fn rules_of(options: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(options).map_err(|error| {
        Error::new(Kind::Unexpected, "the flow's rules cannot be written").with_source(error)
    })
}

/// A kind is digested as its rules under its name.
pub(super) fn as_rules<S: Serializer>(
    kind: &Arc<dyn ReleaseKind>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let rules = kind.rules().map_err(S::Error::custom)?;
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(kind.name(), &rules)?;
    map.end()
}
