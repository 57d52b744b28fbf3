//! Carrying out a reviewed plan: what would be done now is held beside what was reviewed, and only what is in both is done.
//!
//! Both come in the order of folded paths, so they are merged as they come. What differs is counted and named: a few
//! steps may have changed between review and run without making the review worthless, and how many is for a person to say.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::str::FromStr;

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{Action, AssetId, AssetPath, Ledger, Placement, Result, SpoolOrder};

use crate::plan::{PlanWriter, PlannedStep};
use crate::planfile::{PlanFileReader, PlanHeader, ReadPlan};

/// How many differences are named one by one; the rest is counted.
const NAMED_MAX: usize = 1_000;

/// How many steps the ledger is asked about at once.
const ASKED_AT_ONCE: usize = 256;

/// How a step differs from the reviewed plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Differs {
    /// Something would be done that was not reviewed.
    Added,
    /// Something else would be done, or with another revision.
    Changed,
    /// It would not be done any more, for a reason.
    Stopped,
    /// There is nothing to do any more: the asset is gone, or is again as it was.
    Gone,
}

impl Differs {
    /// The word in text and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Differs::Added => "added",
            Differs::Changed => "changed",
            Differs::Stopped => "stopped",
            Differs::Gone => "gone",
        }
    }
}

/// One step that is not as it was reviewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferentStep {
    /// How.
    pub differs: Differs,
    /// The asset.
    pub path: AssetPath,
    /// What was reviewed, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Action>,
    /// What would be done now, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Action>,
    /// What is different, in one sentence without a full stop.
    pub why: String,
}

/// How the world moved since a plan was reviewed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How many steps differ in each way.
    pub counts: BTreeMap<Differs, u64>,
    /// The first of them.
    pub steps: Vec<DifferentStep>,
    /// Reviewed steps that were carried out already, or tried and held, which is no difference.
    pub already_done: u64,
    /// Reviewed steps that act.
    pub reviewed: u64,
}

impl Difference {
    /// How many steps differ.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    fn note(&mut self, step: DifferentStep) {
        *self.counts.entry(step.differs).or_default() += 1;
        if self.steps.len() < NAMED_MAX {
            self.steps.push(step);
        }
    }
}

/// How much may differ before a reviewed plan is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// So many steps.
    Steps(u64),
    /// Such a share of the reviewed steps that act, from 0 to 1.
    Share(f64),
}

impl Tolerance {
    /// Whether this difference is within it.
    pub fn bears(&self, difference: &Difference) -> bool {
        match *self {
            Tolerance::Steps(steps) => difference.count() <= steps,
            Tolerance::Share(share) => {
                difference.count() as f64 <= share * difference.reviewed as f64
            }
        }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance::Steps(0)
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Steps(1) => f.write_str("1 step"),
            Tolerance::Steps(steps) => write!(f, "{steps} steps"),
            Tolerance::Share(share) => write!(f, "{} %", share * 100.0),
        }
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is neither a number of steps nor a share such as 0.5%");
        match text.trim().strip_suffix('%') {
            None => text
                .trim()
                .parse()
                .map(Tolerance::Steps)
                .map_err(|_| wrong()),
            Some(percent) => {
                let percent: f64 = percent.trim_end().parse().map_err(|_| wrong())?;
                match (0.0..=100.0).contains(&percent) {
                    true => Ok(Tolerance::Share(percent / 100.0)),
                    false => Err(wrong()),
                }
            }
        }
    }
}

/// Holds what would be done now beside what was reviewed. What is in both goes on to another writer; what would be
/// done and was not reviewed goes on as a skip that says so.
pub struct Comparison<'a, R> {
    reviewed: PlanFileReader<R>,
    /// The next reviewed step.
    head: Option<PlannedStep>,
    /// Reviewed steps about which nothing is planned now, and nobody asked the ledger yet.
    absent: Vec<PlannedStep>,
    ledger: &'a dyn Ledger,
    then: &'a mut dyn PlanWriter,
    difference: Difference,
}

impl<R> fmt::Debug for Comparison<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison")
            .field("difference", &self.difference)
            .finish_non_exhaustive()
    }
}

impl<'a, R: BufRead + Send> Comparison<'a, R> {
    /// Begins with the first step of a plan file. `then` gets what is to be done.
    pub fn begin(
        mut reviewed: PlanFileReader<R>,
        ledger: &'a dyn Ledger,
        then: &'a mut dyn PlanWriter,
    ) -> Result<Self> {
        Ok(Comparison {
            head: reviewed.step()?,
            reviewed,
            absent: Vec::new(),
            ledger,
            then,
            difference: Difference::default(),
        })
    }

    /// Once everything was planned: the difference, and the plan as it was read. Nothing may be done before this says
    /// that the file is as it was sealed.
    pub async fn finish(mut self) -> Result<(Difference, ReadPlan)> {
        while let Some(step) = self.take()? {
            self.absent(step).await?;
        }
        self.ask().await?;
        Ok((self.difference, self.reviewed.finish()?))
    }

    /// The next reviewed step, which is counted.
    fn take(&mut self) -> Result<Option<PlannedStep>> {
        let Some(step) = self.head.take() else {
            return Ok(None);
        };
        self.head = self.reviewed.step()?;
        self.difference.reviewed += u64::from(step.action.acts());
        Ok(Some(step))
    }

    /// Nothing is planned now about a reviewed step.
    async fn absent(&mut self, step: PlannedStep) -> Result<()> {
        if step.action.acts() {
            self.absent.push(step);
        }
        match self.absent.len() >= ASKED_AT_ONCE {
            true => self.ask().await,
            false => Ok(()),
        }
    }

    /// Tells what was carried out already from what is gone.
    async fn ask(&mut self) -> Result<()> {
        let absent = std::mem::take(&mut self.absent);
        let header = self.reviewed.header();
        let ids: Vec<AssetId> = absent.iter().map(|step| step.asset.id.clone()).collect();
        let placements = self
            .ledger
            .placements(&header.flow, &header.origin.source, &ids)
            .await?;
        for (step, placement) in absent.into_iter().zip(placements) {
            let is_done = match placement {
                Some(placement) => is_carried_out(&step, &placement)?,
                // What was to be taken back is not there any more.
                None => step.action == Action::Withdraw,
            };
            if is_done {
                self.difference.already_done += 1;
                continue;
            }
            self.difference.note(DifferentStep {
                differs: Differs::Gone,
                path: step.asset.path,
                reviewed: Some(step.action),
                now: None,
                why: "nothing is to be done about it any more".to_owned(),
            });
        }
        Ok(())
    }

    /// What becomes of a step that is planned now, beside the reviewed one about the same asset.
    async fn agree(
        &mut self,
        reviewed: Option<PlannedStep>,
        now: PlannedStep,
    ) -> Result<PlannedStep> {
        let acted = reviewed.as_ref().filter(|step| step.action.acts());
        let (differs, why) = match (acted, now.action.acts()) {
            // What is not done needs no review.
            (None, false) => return Ok(now),
            (None, true) => (Differs::Added, now.reason.clone()),
            (Some(step), false) => {
                if now.action == Action::Hold
                    && was_held(self.ledger, self.reviewed.header().clone(), step).await?
                {
                    self.difference.already_done += 1;
                    return Ok(now);
                }
                (Differs::Stopped, now.reason.clone())
            }
            (Some(step), true) => match what_differs(step, &now)? {
                None => return Ok(now),
                Some(why) => (Differs::Changed, why),
            },
        };
        self.difference.note(DifferentStep {
            differs,
            path: now.asset.path.clone(),
            reviewed: reviewed.map(|step| step.action),
            now: Some(now.action),
            why: why.clone(),
        });
        Ok(match now.action.acts() {
            false => now,
            true => PlannedStep {
                action: Action::Skip,
                reason: match differs {
                    Differs::Added => "not in the reviewed plan".to_owned(),
                    _ => format!("not as in the reviewed plan: {why}"),
                },
                asset: now.asset,
                work: None,
            },
        })
    }
}

#[async_trait]
impl<R: BufRead + Send> PlanWriter for Comparison<'_, R> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        let mut agreed = Vec::with_capacity(steps.len());
        for step in steps {
            let now = SpoolOrder::of(&step.asset);
            while let Some(head) = &self.head
                && SpoolOrder::of(&head.asset) < now
                && let Some(head) = self.take()?
            {
                self.absent(head).await?;
            }
            let same = self
                .head
                .as_ref()
                .is_some_and(|head| SpoolOrder::of(&head.asset) == now);
            let reviewed = match same {
                true => self.take()?,
                false => None,
            };
            agreed.push(self.agree(reviewed, step).await?);
        }
        self.then.steps(agreed).await
    }
}

/// Whether a run tried just this step and found something that a person must settle.
async fn was_held(ledger: &dyn Ledger, of: PlanHeader, step: &PlannedStep) -> Result<bool> {
    let Some(work) = &step.work else {
        return Ok(false);
    };
    let digest = work.draft().digest()?;
    let ids = [step.asset.id.clone()];
    let holds = ledger.holds(&of.flow, &of.origin.source, &ids).await?;
    Ok(holds
        .into_iter()
        .flatten()
        .any(|hold| hold.source_revision == step.asset.revision && hold.draft_digest == digest))
}

/// Whether what a step was to bring about is so.
fn is_carried_out(step: &PlannedStep, placement: &Placement) -> Result<bool> {
    let Some(work) = &step.work else {
        return Ok(false);
    };
    // A version of an asset that other files stood for as well became an asset of its own.
    Ok(placement.source_revision == step.asset.revision
        && placement.draft_digest == work.draft().digest()?)
}

/// What differs between two steps that act on the same asset, in a few words.
fn what_differs(reviewed: &PlannedStep, now: &PlannedStep) -> Result<Option<String>> {
    if reviewed.asset.revision != now.asset.revision || reviewed.asset.size != now.asset.size {
        return Ok(Some("its bytes changed since".to_owned()));
    }
    if reviewed.action != now.action {
        return Ok(Some(format!(
            "it was to {}, and would {} now",
            reviewed.action, now.action
        )));
    }
    let (Some(before), Some(work)) = (&reviewed.work, &now.work) else {
        return Ok((reviewed.work != now.work).then(|| "what is to be done changed since".into()));
    };
    if before.placed_asset() != work.placed_asset() {
        return Ok(Some("it is another asset at the sink".to_owned()));
    }
    let same = before.draft().digest()? == work.draft().digest()?;
    Ok((!same).then(|| "its metadata would be others".to_owned()))
}
