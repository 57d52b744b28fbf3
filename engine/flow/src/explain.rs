//! Why an asset is where it is: the chain from the listing to what the sink holds, read back from the ledger.

use std::collections::BTreeSet;

use serde::Serialize;
use windlass_core::{
    Asset, AssetId, AssetPath, CustodyRecord, Draft, Error, Kind, Ledger, Placement, Result, RunId,
    RunRecord, StepRecord, Withdrawal,
};

use crate::delivery::Clearance;
use crate::plan::Work;

/// Among how many runs the newest one is looked for that has a step for the asset.
const RUNS_LOOKED_AT: u32 = 1_000;

/// One step about the asset, and everything around it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The run that decided it, with what it was decided by.
    pub run: RunRecord,
    /// What was to happen, why, and how it stands.
    pub step: StepRecord,
    /// The asset as the source listed it; absent where nothing was to be done.
    pub listed: Option<Asset>,
    /// What it was to become, each field with the rule that gave it; absent where nothing was to be done.
    pub draft: Option<Draft>,
    /// How each attempt ended.
    pub attempts: Vec<CustodyRecord>,
    /// What had to be so for it to leave its library, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Clearance>,
    /// Where the flow has it now. A later run may have placed it anew.
    pub placement: Option<Placement>,
    /// What the flow took back of it and did not place again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<Withdrawal>,
}

/// Explains the asset at a path of a source, or the asset of this id at a sink, by the newest run that had a step for
/// it, of one flow or of each; or by one run. Several where several flows, or several assets at one path, are meant.
///
/// Errors: `NotFound` where no run has a step for it, with what to do.
pub async fn explain(
    ledger: &dyn Ledger,
    what: &str,
    flow: Option<&str>,
    run: Option<RunId>,
) -> Result<Vec<Explanation>> {
    let runs = match run {
        Some(run) => vec![ledger.run(run).await?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
                .with_hint("`windlass status` lists the runs it has")
        })?],
        None => ledger.runs(flow, RUNS_LOOKED_AT).await?,
    };
    let paths = match what.starts_with('/') {
        true => vec![(None, AssetPath::new(what))],
        false => placed_as(ledger, &runs, what).await?,
    };
    let mut explained = Vec::new();
    let mut settled = BTreeSet::new();
    for run in runs {
        for (of_flow, path) in &paths {
            let other = of_flow.as_ref().is_some_and(|flow| *flow != run.flow);
            if other || settled.contains(&(run.flow.clone(), path.clone())) {
                continue;
            }
            let steps = ledger.steps_at(run.id, path).await?;
            if !steps.is_empty() {
                settled.insert((run.flow.clone(), path.clone()));
            }
            for (step, payload) in steps {
                explained.push(one(ledger, run.clone(), step, &payload).await?);
            }
        }
    }
    match explained.is_empty() {
        true => Err(unknown(what)),
        false => Ok(explained),
    }
}

async fn one(
    ledger: &dyn Ledger,
    run: RunRecord,
    step: StepRecord,
    payload: &str,
) -> Result<Explanation> {
    let work = match step.action.acts() {
        true => Some(Work::from_payload(payload)?),
        false => None,
    };
    let of_asset = std::slice::from_ref(&step.asset);
    let placement = ledger
        .placements(&run.flow, &step.endpoint, of_asset)
        .await?;
    let withdrawal = ledger
        .withdrawals(&run.flow, &step.endpoint, of_asset)
        .await?;
    Ok(Explanation {
        listed: work.as_ref().map(|work| work.asset().clone()),
        draft: work.as_ref().map(|work| work.draft().clone()),
        attempts: ledger.attempts(step.id).await?,
        release: work.as_ref().and_then(Work::clearance).cloned(),
        placement: placement.into_iter().flatten().next(),
        withdrawal: withdrawal.into_iter().flatten().next(),
        run,
        step,
    })
}

/// The flows and source paths of what became the asset of this id at any sink of these runs.
async fn placed_as(
    ledger: &dyn Ledger,
    runs: &[RunRecord],
    asset: &str,
) -> Result<Vec<(Option<String>, AssetPath)>> {
    let origins = runs.iter().filter_map(|run| run.origin.as_ref());
    let sinks: BTreeSet<&str> = origins.map(|origin| origin.sink.as_str()).collect();
    let asset = [AssetId::new(asset)];
    let mut found = Vec::new();
    for sink in sinks {
        let placements = ledger.placed_as(sink, &asset).await?;
        let placements = placements.into_iter().flatten();
        found.extend(placements.map(|placed| (Some(placed.flow), placed.source_path)));
    }
    Ok(found)
}

fn unknown(what: &str) -> Error {
    let hint = match what.starts_with('/') {
        true => {
            "it was never listed below the root of a flow, or is spelled differently: \
             `windlass plan FLOW --steps` lists what would happen to each asset"
        }
        false => {
            "a path begins with a slash; anything else is taken for the id of an asset at a sink"
        }
    };
    Error::new(Kind::NotFound, format!("no run has a step for {what:?}")).with_hint(hint)
}
