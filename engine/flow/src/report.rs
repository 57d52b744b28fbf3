//! What a run did, read back from the ledger: sums for people, a line an asset for programs.

use std::collections::BTreeMap;

use crate::plan::UNCHANGED;
use jiff::Timestamp;
use serde::Serialize;
use windlass_core::{
    Action, AssetPath, Error, Evidence, Kind, Ledger, Placed, Result, RunId, RunRecord, RunState,
    StepId, StepRecord, StepState, Tally,
};

/// How many steps are read in one call.
const STEPS_A_CALL: u32 = 1_000;

/// The sums of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which run.
    pub run: RunId,
    /// The flow's name in the configuration.
    pub flow: String,
    /// How the run stands.
    pub state: RunState,
    /// When it began.
    pub started: Timestamp,
    /// When its last step ended.
    pub finished: Option<Timestamp>,
    /// Steps and bytes by state, then action.
    pub tallies: Vec<TallyLine>,
    /// Bytes that really moved.
    pub bytes_moved: u64,
    /// How many assets this run placed, by how strongly it is proved that the sink holds the right bytes.
    pub proved: BTreeMap<Evidence, u64>,
    /// Why assets were skipped, most frequent first.
    pub skipped: Vec<ReasonLine>,
    /// Why assets are held, most frequent first.
    pub held: Vec<ReasonLine>,
    /// Why steps failed, most frequent first.
    pub failed: Vec<ReasonLine>,
}

/// One state and action of a report.
#[derive(Clone, Debug, Serialize)]
pub struct TallyLine {
    /// How the steps stand.
    pub state: StepState,
    /// What they do.
    pub action: Action,
    /// How many, and how large.
    #[serde(flatten)]
    pub tally: Tally,
}

/// One reason of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonLine {
    /// The reason, in one sentence.
    pub reason: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// How many assets it concerns.
    pub assets: u64,
    /// One of them.
    pub example: AssetPath,
}

/// One asset of a run, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct AssetLine {
    /// Always `asset`, to tell the lines of a report apart.
    pub record: &'static str,
    /// Where the source shows it.
    pub path: AssetPath,
    /// What was to happen.
    pub action: Action,
    /// How it ended.
    pub state: StepState,
    /// Why it was to happen, or why it was skipped or held.
    pub reason: String,
    /// Number of bytes.
    pub size: u64,
    /// Bytes that really moved.
    pub bytes_moved: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What the sink holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// The stable code of what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<StepRecord> for AssetLine {
    fn from(step: StepRecord) -> Self {
        AssetLine {
            record: "asset",
            path: step.path,
            action: step.action,
            state: step.state,
            reason: step.reason,
            size: step.size,
            bytes_moved: step.bytes_moved,
            attempts: step.attempt,
            placed: step.placed,
            error: step.error,
            message: step.message,
            hint: step.hint,
        }
    }
}

impl Report {
    /// Sums up a run; `None` means the newest, of one flow or of all. `each` sees every asset in order.
    pub async fn of(
        ledger: &dyn Ledger,
        run: Option<RunId>,
        flow: Option<&str>,
        mut each: impl FnMut(AssetLine),
    ) -> Result<Report> {
        let record = find(ledger, run, flow).await?;
        let mut reasons: BTreeMap<(StepState, String), ReasonLine> = BTreeMap::new();
        let mut proved: BTreeMap<Evidence, u64> = BTreeMap::new();
        let mut after: Option<StepId> = None;
        loop {
            let steps = ledger.steps(record.id, after, STEPS_A_CALL).await?;
            let Some(last) = steps.last() else { break };
            after = Some(last.id);
            for step in steps {
                note_reason(&mut reasons, &step);
                if let (StepState::Done, Some(placed)) = (step.state, &step.placed) {
                    *proved.entry(placed.evidence).or_default() += 1;
                }
                each(AssetLine::from(step));
            }
        }
        let mut tallies: Vec<TallyLine> = ledger
            .tally(record.id)
            .await?
            .into_iter()
            .map(|(state, action, tally)| TallyLine {
                state,
                action,
                tally,
            })
            .collect();
        let unchanged = record.unchanged;
        if unchanged.steps > 0 {
            add_unchanged(&mut tallies, unchanged);
            let reason = ReasonLine {
                reason: UNCHANGED.to_owned(),
                hint: None,
                assets: unchanged.steps,
                example: AssetPath::new(""),
            };
            reasons.insert((StepState::Skipped, UNCHANGED.to_owned()), reason);
        }
        Ok(Report {
            run: record.id,
            flow: record.flow,
            state: record.state,
            started: record.started,
            finished: record.finished,
            bytes_moved: tallies.iter().map(|line| line.tally.bytes_moved).sum(),
            tallies,
            proved,
            skipped: by_frequency(&reasons, StepState::Skipped),
            held: by_frequency(&reasons, StepState::Held),
            failed: by_frequency(&reasons, StepState::Failed),
        })
    }

    /// The sums of all steps in one state.
    pub fn total(&self, state: StepState) -> Tally {
        let mut total = Tally::default();
        for line in self.tallies.iter().filter(|line| line.state == state) {
            total.steps += line.tally.steps;
            total.bytes += line.tally.bytes;
            total.bytes_moved += line.tally.bytes_moved;
        }
        total
    }
}

/// What has no step of its own was skipped like what has one.
fn add_unchanged(tallies: &mut Vec<TallyLine>, unchanged: Tally) {
    let skipped = (StepState::Skipped, Action::Skip);
    let line = tallies
        .iter_mut()
        .find(|line| (line.state, line.action) == skipped);
    match line {
        Some(line) => {
            line.tally.steps += unchanged.steps;
            line.tally.bytes += unchanged.bytes;
        }
        None => tallies.push(TallyLine {
            state: skipped.0,
            action: skipped.1,
            tally: unchanged,
        }),
    }
}

async fn find(ledger: &dyn Ledger, run: Option<RunId>, flow: Option<&str>) -> Result<RunRecord> {
    let runs = ledger
        .runs(flow, if run.is_some() { u32::MAX } else { 1 })
        .await?;
    let wanted = runs
        .into_iter()
        .find(|record| run.is_none_or(|run| record.id == run));
    wanted.ok_or_else(|| match run {
        Some(run) => Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
            .with_hint("`windlass status` lists the runs it has"),
        None => Error::new(Kind::NotFound, "the ledger has no run yet")
            .with_hint("`windlass run FLOW` makes one"),
    })
}

fn note_reason(reasons: &mut BTreeMap<(StepState, String), ReasonLine>, step: &StepRecord) {
    if !matches!(
        step.state,
        StepState::Skipped | StepState::Held | StepState::Failed
    ) {
        return;
    }
    let reason = step.message.clone().unwrap_or_else(|| step.reason.clone());
    reasons
        .entry((step.state, reason.clone()))
        .or_insert_with(|| ReasonLine {
            reason,
            hint: step.hint.clone(),
            assets: 0,
            example: step.path.clone(),
        })
        .assets += 1;
}

fn by_frequency(
    reasons: &BTreeMap<(StepState, String), ReasonLine>,
    state: StepState,
) -> Vec<ReasonLine> {
    let mut lines: Vec<ReasonLine> = reasons
        .iter()
        .filter(|((of, _), _)| *of == state)
        .map(|(_, line)| line.clone())
        .collect();
    lines.sort_by(|a, b| {
        b.assets
            .cmp(&a.assets)
            .then_with(|| a.reason.cmp(&b.reason))
    });
    lines
}
