//! Plan files: a plan as a value that can be reviewed, signed, kept, and carried out as it was reviewed.
//!
//! A sealed document (see [`windlass_core::sealed`]): a header that says of which ledger and flow, a line for each step in
//! the order of folded paths, and an end with sums, reasons, samples, removals and what it will take. All that is
//! written of the steps at the end is counted anew when the file is read.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::sealed::{Seal, SealedReader, SealedWriter};
use windlass_core::sign::SigningKey;
use windlass_core::{Action, Blake3, Finding, Result, RunOrigin, SpoolOrder};

use crate::caps::Removals;
use crate::plan::{PlanSummary, PlanWriter, PlannedStep, Sample, Unchanged};

/// The kind of sealed document that a plan file is.
pub const PLAN_DOCUMENT: &str = "plan 1";

/// Of which ledger and flow a plan is, and by what it was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanHeader {
    /// The name of the ledger that knew what was placed before.
    pub ledger: String,
    /// The flow's name in the configuration.
    pub flow: String,
    /// When it was decided.
    pub made: Timestamp,
    /// By what.
    pub origin: RunOrigin,
    /// The digest of how both endpoints are configured, so that the same names lead to the same places.
    pub endpoints: Blake3,
    /// Whether it tries again what an earlier run held, although nothing about it changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry_held: bool,
}

/// What carrying a plan out is expected to take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Calls by endpoint, where they can be predicted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<String, u64>,
    /// Seconds, at the pace of earlier runs of the flow; `None` where there was none to go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Steps of one action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Total {
    action: Action,
    steps: u64,
    bytes: u64,
}

/// Steps of one action with the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reason {
    action: Action,
    reason: String,
    assets: u64,
}

/// The last line of the content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct End {
    totals: Vec<Total>,
    unchanged: Unchanged,
    reasons: Vec<Reason>,
    removals: Removals,
    samples: BTreeMap<Action, Vec<Sample>>,
    findings: Vec<Finding>,
    more_findings: u64,
    forecast: Forecast,
}

impl End {
    fn of(summary: &PlanSummary, forecast: &Forecast) -> Self {
        let totals = summary.totals().into_iter();
        let reasons = summary.reasons().into_iter();
        End {
            totals: totals
                .map(|(action, (steps, bytes))| Total {
                    action,
                    steps,
                    bytes,
                })
                .collect(),
            unchanged: summary.unchanged,
            reasons: reasons
                .map(|(action, reason, assets)| Reason {
                    action,
                    reason,
                    assets,
                })
                .collect(),
            removals: Removals::of(summary),
            samples: summary.samples.clone(),
            findings: summary.findings.iter().cloned().collect(),
            more_findings: summary.more_findings,
            forecast: forecast.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line {
    Plan(Box<PlanHeader>),
    Step(Box<PlannedStep>),
    Summary(Box<End>),
}

/// Writes a plan file as the plan is decided.
#[derive(Debug)]
pub struct PlanFileWriter<W> {
    lines: SealedWriter<W>,
}

impl<W: Write> PlanFileWriter<W> {
    /// A file without steps.
    pub fn begin(out: W, header: &PlanHeader) -> Result<Self> {
        let mut lines = SealedWriter::new(PLAN_DOCUMENT, out);
        lines.line(&Line::Plan(Box::new(header.clone())))?;
        Ok(PlanFileWriter { lines })
    }

    /// Completes, seals and signs it. Answers what was written to, and the seal.
    pub fn end(
        mut self,
        summary: &PlanSummary,
        forecast: &Forecast,
        keys: &[SigningKey],
    ) -> Result<(W, Seal)> {
        self.lines
            .line(&Line::Summary(Box::new(End::of(summary, forecast))))?;
        self.lines.seal(keys)
    }
}

#[async_trait]
impl<W: Write + Send> PlanWriter for PlanFileWriter<W> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        steps
            .into_iter()
            .try_for_each(|step| self.lines.line(&Line::Step(Box::new(step))))
    }
}

/// A plan file that was read to its end and found as it was sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadPlan {
    /// Of which ledger and flow it is.
    pub header: PlanHeader,
    /// What it says, counted from its steps.
    pub summary: PlanSummary,
    /// What it is expected to take.
    pub forecast: Forecast,
    /// Its digest, and who signed it.
    pub seal: Seal,
}

/// Reads a plan file, step by step.
#[derive(Debug)]
pub struct PlanFileReader<R> {
    lines: SealedReader<R>,
    header: PlanHeader,
    summary: PlanSummary,
    last: Option<SpoolOrder>,
    end: Option<Box<End>>,
}

impl<R: BufRead> PlanFileReader<R> {
    /// Reads the header. Errors: `InvalidInput` for what is no plan file, `Integrity` for one that was changed.
    pub fn open(input: R) -> Result<Self> {
        let mut lines = SealedReader::new(PLAN_DOCUMENT, input);
        let header = match lines.value::<Line>()? {
            Some(Line::Plan(header)) => *header,
            _ => return Err(lines.odd("it does not begin with its header")),
        };
        Ok(PlanFileReader {
            summary: PlanSummary::new(header.flow.clone(), header.origin.clone()),
            lines,
            header,
            last: None,
            end: None,
        })
    }

    /// Of which ledger and flow it says it is. To be believed once [`PlanFileReader::finish`] says so.
    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    /// The next step; `None` behind the last. To be believed once [`PlanFileReader::finish`] says so.
    pub fn step(&mut self) -> Result<Option<PlannedStep>> {
        if self.end.is_some() {
            return Ok(None);
        }
        match self.lines.value::<Line>()? {
            Some(Line::Step(step)) => {
                let place = SpoolOrder::of(&step.asset);
                if self.last.as_ref().is_some_and(|last| *last >= place) {
                    return Err(self.lines.odd("its steps are not in order"));
                }
                self.last = Some(place);
                self.summary.count(&step);
                Ok(Some(*step))
            }
            Some(Line::Summary(end)) => {
                self.end = Some(end);
                Ok(None)
            }
            Some(Line::Plan(_)) => Err(self.lines.odd("it has two headers")),
            None => Err(self.lines.odd("it does not end with its sums")),
        }
    }

    /// Reads what is left and proves it all. Errors: `Integrity` when anything was changed or does not add up.
    pub fn finish(mut self) -> Result<ReadPlan> {
        while self.step()?.is_some() {}
        if self.lines.value::<Line>()?.is_some() {
            return Err(self.lines.odd("something follows its sums"));
        }
        let Some(end) = self.end else {
            return Err(self.lines.odd("it does not end with its sums"));
        };
        let mut summary = self.summary;
        summary.unchanged = end.unchanged;
        summary.findings = end.findings.iter().cloned().collect();
        summary.more_findings = end.more_findings;
        if End::of(&summary, &end.forecast) != *end {
            return Err(self.lines.odd("its sums are not those of its steps"));
        }
        let (seal, _) = self.lines.into_seal()?;
        Ok(ReadPlan {
            header: self.header,
            summary,
            forecast: end.forecast,
            seal,
        })
    }
}
