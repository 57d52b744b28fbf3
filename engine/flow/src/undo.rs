//! Undoing a run: what it took away goes back to where it was, as far as that can be and rights allow it.
//!
//! What a run took away is read from the ledger: its steps, with what each was to do, and the withdrawals that they left.
//! [`GivesBack`] then makes the step of each that brings it back, or says why there is none; release flows do it by moving
//! what they keep. Those steps are an ordinary run of the flow, worked off by a [`Runner`](crate::Runner), so that every
//! file passes the rights gate once more in the moment in which it becomes visible again.
//!
//! What is brought back belongs to the flow as before: rights take it away whenever they end. The reason for which it was
//! taken away is part of its placement, so that only this reason does not count again.
//!
//! | crash after | what is left | what helps |
//! |---|---|---|
//! | the run was recorded | everything where it is kept | undoing again: what is left of that run is given up |
//! | a file is back, nothing recorded | the file, in its place | undoing again: it is found there, and recorded |

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{
    Action, AssetId, AssetPath, Destination, Draft, Error, Handing, Kind, Ledger, Placement,
    Result, RunId, RunRecord, RunState, StepId, StepRecord, StepState, Withdrawal,
};

use crate::plan::{PlannedStep, Work};

/// How many steps or withdrawals are read in one call.
const STEPS_A_CALL: u32 = 1_000;

/// What the reasons of steps begin with that bring something back.
const UNDOES: &str = "undoes run ";

/// Something that a run took away or replaced.
#[derive(Clone, Debug)]
pub struct TakenAway {
    /// The step that did it.
    pub step: StepRecord,
    /// What it was to do.
    pub work: Work,
    /// What the ledger still says of it. `None` where it was brought back or placed again since.
    pub withdrawal: Option<Withdrawal>,
}

/// What becomes of something that a run took away or replaced.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// A step brings it back.
    Back(Box<PlannedStep>),
    /// It stays as it is.
    Left {
        /// Why, in one sentence without a full stop.
        why: String,
        /// What may help.
        hint: Option<String>,
    },
}

impl Verdict {
    pub(crate) fn left(why: impl Into<String>) -> Self {
        Verdict::Left {
            why: why.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        match self {
            Verdict::Back(step) => Verdict::Back(step),
            Verdict::Left { why, .. } => Verdict::Left {
                why,
                hint: Some(hint.into()),
            },
        }
    }
}

/// A way to give back what one kind of flow takes away.
#[async_trait]
pub trait GivesBack: Send + Sync {
    /// The step that brings it back, or why none does. Looks at services and writes nothing.
    ///
    /// Errors: what prevents looking.
    async fn give_back(&self, taken: &TakenAway) -> Result<Verdict>;

    /// Whether steps of this action take something away or replace it.
    fn takes(&self, action: Action) -> bool {
        matches!(action, Action::Withdraw | Action::NewVersion)
    }
}

/// How one thing stands that a run took away or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoState {
    /// It can be undone, as far as looking told.
    Undoable,
    /// It is where it was.
    Undone,
    /// It stays as the run left it.
    Left,
}

/// One thing that a run took away or replaced, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UndoItem {
    /// Which step did it.
    pub step: StepId,
    /// What that step did.
    pub action: Action,
    /// The asset at its source.
    pub asset: AssetId,
    /// Where people found it.
    pub path: AssetPath,
    /// Where it is kept, where it is.
    pub kept: Option<AssetPath>,
    /// Number of bytes.
    pub size: u64,
    /// How it stands.
    pub state: UndoState,
    /// Why it was taken away while it can be undone, or why it stays as it is.
    pub why: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The links that ended with it. They do not come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
}

/// What can be undone of a run.
#[derive(Clone, Debug)]
pub struct Undo {
    /// The run.
    pub run: RunRecord,
    /// What it took away or replaced, in the order of its steps.
    pub items: Vec<UndoItem>,
    /// What brings back what can be.
    pub steps: Vec<PlannedStep>,
}

impl Undo {
    /// Looks what can be undone of a run. Writes nothing.
    ///
    /// Errors: `NotFound` without the run, and what prevents looking.
    pub async fn plan(ledger: &dyn Ledger, run: RunId, giver: &dyn GivesBack) -> Result<Undo> {
        let record = ledger.run(run).await?.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
                .with_hint("`windlass status` lists the runs it has")
        })?;
        let mut undo = Undo {
            run: record,
            items: Vec::new(),
            steps: Vec::new(),
        };
        let mut after = None;
        loop {
            let steps = ledger.steps(run, after, STEPS_A_CALL).await?;
            let Some(last) = steps.last() else {
                return Ok(undo);
            };
            after = Some(last.id);
            for taken in taken_away(ledger, &undo.run, giver, steps).await? {
                let verdict = giver.give_back(&taken).await?;
                undo.add(&taken, verdict);
            }
        }
    }

    fn add(&mut self, taken: &TakenAway, verdict: Verdict) {
        let mut item = UndoItem::of(taken);
        match verdict {
            Verdict::Back(mut step) => {
                step.reason = format!("{UNDOES}{}: {}", self.run.id, step.reason);
                item.state = UndoState::Undoable;
                self.steps.push(*step);
            }
            Verdict::Left { why, hint } => (item.why, item.hint) = (why, hint),
        }
        self.items.push(item);
    }

    /// Notes how the steps ended that were to bring things back.
    pub async fn settle(&mut self, ledger: &dyn Ledger, by: RunId) -> Result<()> {
        let mut ended = BTreeMap::new();
        let mut after = None;
        loop {
            let steps = ledger.steps(by, after, STEPS_A_CALL).await?;
            let Some(last) = steps.last() else {
                break;
            };
            after = Some(last.id);
            ended.extend(steps.into_iter().map(|step| (step.asset.clone(), step)));
        }
        let undoable = self.items.iter_mut();
        for item in undoable.filter(|item| item.state == UndoState::Undoable) {
            match ended.remove(&item.asset) {
                Some(step) if step.state == StepState::Done => item.state = UndoState::Undone,
                Some(step) => {
                    item.state = UndoState::Left;
                    item.why = step.message.unwrap_or(step.reason);
                    item.hint = step.hint;
                }
                None => item.state = UndoState::Left,
            }
        }
        Ok(())
    }

    /// How many things stand so.
    pub fn count(&self, state: UndoState) -> usize {
        let items = self.items.iter();
        items.filter(|item| item.state == state).count()
    }
}

impl UndoItem {
    fn of(taken: &TakenAway) -> Self {
        let TakenAway {
            step,
            work,
            withdrawal,
        } = taken;
        let draft = work.draft();
        let path = draft.collection.join(&draft.file_name);
        let kept = withdrawal.as_ref().and_then(|one| one.kept.clone());
        let (path, kept) = match work {
            // What was only moved says where to.
            Work::Update { placement, .. } => {
                (placement.collection.join(&draft.file_name), Some(path))
            }
            _ => (path, kept),
        };
        UndoItem {
            step: step.id,
            action: step.action,
            asset: step.asset.clone(),
            path,
            kept,
            size: step.size,
            state: UndoState::Left,
            why: step.reason.clone(),
            hint: None,
            links: withdrawal
                .as_ref()
                .map_or_else(Vec::new, |one| one.links.clone()),
        }
    }
}

/// Gives up what an interrupted undoing left: what is still to be done is decided anew, and what is done is found.
///
/// Errors: `Conflict` where another run of the flow was interrupted, which comes first.
pub async fn give_up_undoing(ledger: &dyn Ledger, flow: &str) -> Result<()> {
    let Some(run) = crate::next_run_to_resume(ledger, flow).await? else {
        return Ok(());
    };
    let first = ledger.steps(run, None, 1).await?;
    if first.iter().all(|step| step.reason.starts_with(UNDOES)) {
        return ledger.set_run_state(run, RunState::Abandoned).await;
    }
    Err(Error::new(
        Kind::Conflict,
        format!("run {run} of the flow was interrupted"),
    )
    .with_hint(format!("`windlass run {flow}` finishes it; undo then")))
}

/// Those of some steps that took something away or replaced it, with all that is known of it.
async fn taken_away(
    ledger: &dyn Ledger,
    run: &RunRecord,
    giver: &dyn GivesBack,
    steps: Vec<StepRecord>,
) -> Result<Vec<TakenAway>> {
    let takes = |step: &StepRecord| {
        let undoes = step.reason.starts_with(UNDOES);
        step.state == StepState::Done && giver.takes(step.action) && !undoes
    };
    let steps: Vec<StepRecord> = steps.into_iter().filter(takes).collect();
    let mut withdrawn = withdrawn(ledger, run, &steps).await?;
    let mut taken = Vec::with_capacity(steps.len());
    for step in steps {
        let at_path = ledger.steps_at(run.id, &step.path).await?;
        let own = at_path.into_iter().find(|(other, _)| other.id == step.id);
        let Some((_, payload)) = own else {
            continue;
        };
        taken.push(TakenAway {
            work: Work::from_payload(&payload)?,
            withdrawal: withdrawn.remove(&step.id),
            step,
        });
    }
    Ok(taken)
}

/// The withdrawals that these steps left. One that another run left since has another time: both are recorded at once.
async fn withdrawn(
    ledger: &dyn Ledger,
    run: &RunRecord,
    steps: &[StepRecord],
) -> Result<BTreeMap<StepId, Withdrawal>> {
    let mut by_endpoint: BTreeMap<&str, Vec<&StepRecord>> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.action == Action::Withdraw) {
        by_endpoint.entry(&step.endpoint).or_default().push(step);
    }
    let mut found = BTreeMap::new();
    for (endpoint, steps) in by_endpoint {
        let assets: Vec<AssetId> = steps.iter().map(|step| step.asset.clone()).collect();
        let known = ledger.withdrawals(&run.flow, endpoint, &assets).await?;
        for (step, withdrawal) in steps.into_iter().zip(known) {
            let own = withdrawal.filter(|one| Some(one.at) == step.ended);
            found.extend(own.map(|withdrawal| (step.id, withdrawal)));
        }
    }
    Ok(found)
}

/// What nobody gives back: replaced bytes, which the place that has them keeps as an older version, and what is back.
pub(crate) fn left_in_any_case(taken: &TakenAway) -> Option<Verdict> {
    if let Work::Place {
        destination: Destination::Version {
            asset, replaces, ..
        },
        ..
    } = &taken.work
    {
        let left = Verdict::left("a newer version took its place");
        let revision = replaces.as_ref().map_or_else(
            || "the version before".to_owned(),
            |revision| format!("revision {revision}"),
        );
        return Some(left.with_hint(format!(
            "{revision} of {asset} is in the version history there: restore it there by hand"
        )));
    }
    match (&taken.work, &taken.withdrawal) {
        (Work::TakeBack { .. } | Work::Retire { .. }, Some(_)) => None,
        (Work::TakeBack { .. } | Work::Retire { .. }, None) => Some(Verdict::left(
            "it was brought back, placed again or taken away anew since",
        )),
        _ => Some(Verdict::left("nothing was taken away")),
    }
}

/// Gives nothing back: for flows that take nothing away but what they replace.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivesNothing;

#[async_trait]
impl GivesBack for GivesNothing {
    async fn give_back(&self, taken: &TakenAway) -> Result<Verdict> {
        let left = || Verdict::left("flows of this kind bring nothing back");
        Ok(left_in_any_case(taken).unwrap_or_else(left))
    }
}

/// What something is that was brought back although there is a reason not to place it: the reason is part of its name, so
/// that its placement tells it.
pub(crate) fn brought_back(at: &AssetPath, reason: &str, receipt: bool) -> Draft {
    Draft {
        name: format!("{} although {reason}", at.name()),
        file_name: at.name().to_owned(),
        collection: at.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: receipt.then_some(Handing {
            link: None,
            receipt: true,
        }),
        yields: BTreeSet::new(),
    }
}

/// Whether somebody brought it back although there is just this reason.
pub(crate) fn stays_although(placement: &Placement, at: &AssetPath, reason: &str) -> Result<bool> {
    let place = placement.collection.join(at.name());
    for receipt in [false, true] {
        if brought_back(&place, reason, receipt).digest()? == placement.draft_digest {
            return Ok(true);
        }
    }
    Ok(false)
}
