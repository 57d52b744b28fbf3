//! What a run did, read back from the ledger: sums for people, a line an asset for programs.
//!
//! Everything that is counted is counted by the ledger, so that a report of a million assets holds a few rows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use windlass_core::{
    Action, AssetPath, Error, Evidence, FactsWanted, Kind, Ledger, Placed, ReasonCount, Result,
    RunId, RunOrigin, RunRecord, RunState, Slice, StepId, StepRecord, StepState, Tally, Withdrawal,
};

use crate::coverage::{CoverageMap, CoverageOfRun};
use crate::plan::UNCHANGED;

/// How many steps are read in one call.
const STEPS_A_CALL: u32 = 1_000;

/// How many files that were taken back are named.
const WITHDRAWN_NAMED: usize = 200;

/// How much a report says at most.
const WANTED: FactsWanted = FactsWanted {
    reasons: 200,
    slowest: 20,
    slices: 60,
};

/// The sums of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which run.
    pub run: RunId,
    /// The flow's name in the configuration.
    pub flow: String,
    /// How the run stands.
    pub state: RunState,
    /// By what it was decided.
    pub origin: Option<RunOrigin>,
    /// When it began.
    pub started: Timestamp,
    /// When its last step ended.
    pub finished: Option<Timestamp>,
    /// Steps and bytes by state, then action.
    pub tallies: Vec<TallyLine>,
    /// Bytes that really moved.
    pub bytes_moved: u64,
    /// What was done without moving its bytes.
    pub saved: Saved,
    /// How many assets this run placed, by how strongly it is proved that the sink holds the right bytes.
    pub proved: BTreeMap<Evidence, u64>,
    /// Why assets were skipped, most frequent first.
    pub skipped: Vec<ReasonLine>,
    /// Why assets are held, most frequent first.
    pub held: Vec<ReasonLine>,
    /// Why steps failed, most frequent first.
    pub failed: Vec<ReasonLine>,
    /// Further reasons that are not among those.
    pub more_reasons: u64,
    /// What was taken back, and who had it.
    #[serde(skip_serializing_if = "Withdrawn::is_empty")]
    pub withdrawn: Withdrawn,
    /// Who gets what, for flows that serve markets; of a flow's last run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageMap>,
    /// The assets that took longest, slowest first.
    pub slowest: Vec<AssetLine>,
    /// What was done in slices of equal length; empty ones are left out.
    pub slices: Vec<Slice>,
    /// How long a slice is, in milliseconds.
    pub slice_ms: u64,
}

/// Assets whose bytes did not have to move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Assets that were placed and unchanged.
    pub unchanged_assets: u64,
    /// Their bytes.
    pub unchanged_bytes: u64,
    /// Assets that got their place by a link or a copy inside the sink.
    pub linked_assets: u64,
    /// Their bytes.
    pub linked_bytes: u64,
}

/// What a run took back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Withdrawn {
    /// How many files.
    pub files: u64,
    /// How many links ended with them.
    pub links: u64,
    /// Who is known to have had access to any of them, sorted.
    pub recipients: BTreeSet<String>,
    /// The first of them, by source asset.
    pub first: Vec<WithdrawnLine>,
}

/// One file that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WithdrawnLine {
    /// Where the source shows its asset.
    pub path: AssetPath,
    /// The folder that it was taken from.
    pub folder: AssetPath,
    /// Why.
    pub reason: String,
    /// Where it is kept; `None` where it was deleted, or was gone already.
    pub kept: Option<AssetPath>,
    /// The links that ended.
    pub links: Vec<String>,
    /// Who is known to have had access to it.
    pub recipients: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl Withdrawn {
    fn is_empty(&self) -> bool {
        self.files == 0
    }

    /// What a flow took back while a run was under way, and did not place again.
    async fn of(ledger: &dyn Ledger, record: &RunRecord) -> Result<Self> {
        let mut withdrawn = Withdrawn::default();
        let Some(origin) = &record.origin else {
            return Ok(withdrawn);
        };
        let mut after = None;
        loop {
            let page = ledger
                .withdrawals_after(&record.flow, &origin.source, after.as_ref(), STEPS_A_CALL)
                .await?;
            let Some(last) = page.last() else {
                return Ok(withdrawn);
            };
            after = Some(last.placement.source_asset.clone());
            for one in page {
                let is_of_run = one.at >= record.started
                    && record.finished.is_none_or(|finished| one.at <= finished);
                if is_of_run {
                    withdrawn.add(one);
                }
            }
        }
    }

    fn add(&mut self, withdrawal: Withdrawal) {
        self.files += 1;
        self.links += withdrawal.links.len() as u64;
        self.recipients
            .extend(withdrawal.recipients.iter().cloned());
        if self.first.len() < WITHDRAWN_NAMED {
            self.first.push(WithdrawnLine {
                path: withdrawal.placement.source_path,
                folder: withdrawal.placement.collection,
                reason: withdrawal.reason,
                kept: withdrawal.kept,
                links: withdrawal.links,
                recipients: withdrawal.recipients,
                at: withdrawal.at,
            });
        }
    }
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
    /// The stable code of what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many assets it concerns.
    pub assets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// One of them.
    pub example: AssetPath,
}

impl From<ReasonCount> for ReasonLine {
    fn from(count: ReasonCount) -> Self {
        ReasonLine {
            reason: count.reason,
            hint: count.hint,
            error: count.error,
            assets: count.steps,
            bytes: count.bytes,
            example: count.example,
        }
    }
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
    /// How long the last attempt took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
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
            took_ms: step.took_ms,
            placed: step.placed,
            error: step.error,
            message: step.message,
            hint: step.hint,
        }
    }
}

/// Hands every asset of a run that has a step to `each`, in the order of the plan. An error of `each` ends it.
pub async fn each_asset(
    ledger: &dyn Ledger,
    run: RunId,
    mut each: impl FnMut(AssetLine) -> Result<()>,
) -> Result<()> {
    let mut after: Option<StepId> = None;
    loop {
        let steps = ledger.steps(run, after, STEPS_A_CALL).await?;
        let Some(last) = steps.last() else {
            return Ok(());
        };
        after = Some(last.id);
        for step in steps {
            each(AssetLine::from(step))?;
        }
    }
}

impl Report {
    /// Sums up a run; `None` means the newest, of one flow or of all. `NotFound` without it.
    pub async fn of(ledger: &dyn Ledger, run: Option<RunId>, flow: Option<&str>) -> Result<Report> {
        let record = find(ledger, run, flow).await?;
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
        let facts = ledger.facts(record.id, WANTED).await?;
        let saved = saved(&tallies, record.unchanged);
        let [mut skipped, held, failed] = [StepState::Skipped, StepState::Held, StepState::Failed]
            .map(|state| {
                let of_state = facts.reasons.iter().filter(|count| count.state == state);
                of_state.cloned().map(ReasonLine::from).collect::<Vec<_>>()
            });
        if record.unchanged.steps > 0 {
            add_unchanged(&mut tallies, record.unchanged);
            skipped.push(ReasonLine {
                reason: UNCHANGED.to_owned(),
                hint: None,
                error: None,
                assets: record.unchanged.steps,
                bytes: record.unchanged.bytes,
                example: AssetPath::new(""),
            });
            skipped.sort_by(|a, b| {
                let by_text = || a.reason.cmp(&b.reason);
                b.assets.cmp(&a.assets).then_with(by_text)
            });
        }
        let withdrawn = Withdrawn::of(ledger, &record).await?;
        let coverage = CoverageOfRun::read(ledger, &record.flow, record.id).await?;
        Ok(Report {
            run: record.id,
            flow: record.flow,
            state: record.state,
            origin: record.origin,
            started: record.started,
            finished: record.finished,
            bytes_moved: tallies.iter().map(|line| line.tally.bytes_moved).sum(),
            tallies,
            saved,
            proved: facts.proved,
            skipped,
            held,
            failed,
            more_reasons: facts.more_reasons,
            withdrawn,
            coverage,
            slowest: facts.slowest.into_iter().map(AssetLine::from).collect(),
            slices: facts.slices,
            slice_ms: facts.slice_ms,
        })
    }

    /// The sums of all steps in one state.
    pub fn total(&self, state: StepState) -> Tally {
        self.sum(|line| line.state == state)
    }

    /// The sums of all steps that placed something.
    pub fn placed(&self) -> Tally {
        self.sum(|line| line.state == StepState::Done && line.action != Action::Withdraw)
    }

    fn sum(&self, counts: impl Fn(&TallyLine) -> bool) -> Tally {
        let mut total = Tally::default();
        for line in self.tallies.iter().filter(|line| counts(line)) {
            total.steps += line.tally.steps;
            total.bytes += line.tally.bytes;
            total.bytes_moved += line.tally.bytes_moved;
        }
        total
    }
}

fn saved(tallies: &[TallyLine], unchanged: Tally) -> Saved {
    let mut saved = Saved {
        unchanged_assets: unchanged.steps,
        unchanged_bytes: unchanged.bytes,
        ..Saved::default()
    };
    for line in tallies {
        let without_bytes = matches!(line.action, Action::Link | Action::Copy);
        if line.state == StepState::Done && without_bytes {
            saved.linked_assets += line.tally.steps;
            saved.linked_bytes += line.tally.bytes.saturating_sub(line.tally.bytes_moved);
        }
    }
    saved
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
    let found = match run {
        Some(run) => ledger.run(run).await?,
        None => ledger.runs(flow, 1).await?.pop(),
    };
    found.ok_or_else(|| match (run, flow) {
        (Some(run), _) => Error::new(Kind::NotFound, format!("the ledger has no run {run}"))
            .with_hint("`windlass status` lists the runs it has"),
        (None, Some(flow)) => Error::new(
            Kind::NotFound,
            format!("the ledger has no run of flow {flow:?} yet"),
        )
        .with_hint(format!("`windlass run {flow}` makes one")),
        (None, None) => Error::new(Kind::NotFound, "the ledger has no run yet")
            .with_hint("`windlass run FLOW` makes one"),
    })
}
