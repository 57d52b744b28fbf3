//! What the ledger tells about the past: by what a run was decided, how attempts ended, sums of a run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, AssetPath, Revision};
use crate::digest::{Blake3, ContentHash};
use crate::hooks::HookIdentity;
use crate::ledger::{RunId, StepId, StepRecord, StepState};
use crate::plan::Action;
use crate::ports::Evidence;

/// By what a run was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOrigin {
    /// The version of Windlass.
    pub windlass: String,
    /// The endpoint that assets come from, by its name in the configuration.
    pub source: String,
    /// The endpoint that assets go to, by its name in the configuration.
    pub sink: String,
    /// Which hook spoke, where one is configured.
    pub hook: Option<HookIdentity>,
    /// The digest of what decided, apart from the assets: options, plugin, configuration, date.
    pub rules: Blake3,
    /// The digest of the reviewed plan file that it carries out, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Blake3>,
}

/// How one attempt at a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CustodyEvent {
    /// It did what it was to do.
    Done,
    /// A person must settle something first.
    Held,
    /// It gave up.
    Failed,
    /// It is tried again.
    Retry,
    /// Its worker vanished.
    Lost,
}

impl CustodyEvent {
    const ALL: [CustodyEvent; 5] = [
        CustodyEvent::Done,
        CustodyEvent::Held,
        CustodyEvent::Failed,
        CustodyEvent::Retry,
        CustodyEvent::Lost,
    ];

    /// The word used in JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            CustodyEvent::Done => "done",
            CustodyEvent::Held => "held",
            CustodyEvent::Failed => "failed",
            CustodyEvent::Retry => "retry",
            CustodyEvent::Lost => "lost",
        }
    }

    /// The event of a word written by [`CustodyEvent::word`].
    pub fn from_word(word: &str) -> Option<CustodyEvent> {
        Self::ALL.into_iter().find(|event| event.word() == word)
    }
}

/// Who did what to which asset, and when: one record an attempt, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyRecord {
    /// Its number in its ledger, ascending in the order of recording.
    pub id: i64,
    /// When the ledger recorded it.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// Which attempt at it.
    pub attempt: u32,
    /// The process that made it.
    pub worker: Option<String>,
    /// How it ended.
    pub event: CustodyEvent,
    /// What the step does.
    pub action: Action,
    /// Why the plan had it.
    pub reason: String,
    /// The endpoint the asset came from.
    pub endpoint: String,
    /// The asset there.
    pub asset: AssetId,
    /// At which revision.
    pub revision: Revision,
    /// Where it was shown.
    pub path: AssetPath,
    /// Number of bytes.
    pub size: u64,
    /// Bytes that really moved.
    pub bytes_moved: u64,
    /// How long the attempt took, in milliseconds, where that was recorded.
    pub took_ms: Option<u64>,
    /// The digest of the bytes.
    pub blake3: Option<Blake3>,
    /// Their block hash.
    pub content_hash: Option<ContentHash>,
    /// How strongly it is proved that the sink holds them; nothing proves that of what was taken back.
    pub evidence: Option<Evidence>,
    /// The endpoint they went to.
    pub sink: Option<String>,
    /// The asset there.
    pub sink_asset: Option<AssetId>,
    /// Its revision there.
    pub sink_revision: Option<Revision>,
    /// Digest of the metadata that was applied.
    pub draft_digest: Option<Blake3>,
    /// Why it did not succeed, or was taken back.
    pub message: Option<String>,
}

/// One reason why steps of a run were skipped, are held or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// How those steps stand.
    pub state: StepState,
    /// The reason, in one sentence.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The stable code of a failure's kind.
    pub error: Option<String>,
    /// How many.
    pub steps: u64,
    /// Their bytes.
    pub bytes: u64,
    /// One of them: the first by path.
    pub example: AssetPath,
}

/// What ended well in a slice of a run's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// When it begins, milliseconds after the run began.
    pub from_ms: u64,
    /// Steps that were done in it.
    pub steps: u64,
    /// Bytes that they moved.
    pub bytes_moved: u64,
}

/// What a report is made of, besides the sums by state: everything counted where the steps are, so that a report
/// of a million steps reads a few rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// How many assets were placed, by how strongly it is proved that the sink holds the right bytes.
    pub proved: BTreeMap<Evidence, u64>,
    /// Why steps were skipped, held or failed: most frequent first, at most as many as were asked for.
    pub reasons: Vec<ReasonCount>,
    /// Further reasons that are not among them.
    pub more_reasons: u64,
    /// The steps that took longest, slowest first.
    pub slowest: Vec<StepRecord>,
    /// Slices of equal length in which something was done, ascending.
    pub slices: Vec<Slice>,
    /// How long a slice is, in milliseconds; at least 1.
    pub slice_ms: u64,
}

/// How much [`RunFacts`] shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactsWanted {
    /// At most so many reasons.
    pub reasons: u32,
    /// At most so many of the slowest steps.
    pub slowest: u32,
    /// Into how many slices the time from the run's begin to its last step is cut, at least 1.
    pub slices: u32,
}
