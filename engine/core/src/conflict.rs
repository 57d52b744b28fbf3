//! The queue of what two sides disagree about: both versions stay where they are until somebody chooses.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::asset::{AssetId, AssetPath, Revision};

/// What people or rules may choose between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Both sides changed since they agreed.
    BothChanged,
    /// The file changed, and only the library may decide what the asset becomes.
    Proposed,
    /// One side changed what the other removed.
    RemovedAndChanged,
    /// Both sides have something in the place that one of them is to get.
    PlaceTaken,
}

impl Question {
    const ALL: [Question; 4] = [
        Question::BothChanged,
        Question::Proposed,
        Question::RemovedAndChanged,
        Question::PlaceTaken,
    ];

    /// The word used in JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Question::BothChanged => "both-changed",
            Question::Proposed => "proposed",
            Question::RemovedAndChanged => "removed-and-changed",
            Question::PlaceTaken => "place-taken",
        }
    }

    /// The question of a word written by [`Question::word`].
    pub fn from_word(word: &str) -> Option<Question> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The file is what the asset becomes: its bytes are a new version, or it is removed where the file was.
    TakeFile,
    /// The asset is what the file becomes. What the file was stays in its history.
    TakeAsset,
    /// Both stay as they are until either of them changes again.
    KeepBoth,
}

impl Resolution {
    const ALL: [Resolution; 3] = [
        Resolution::TakeFile,
        Resolution::TakeAsset,
        Resolution::KeepBoth,
    ];

    /// The word used in the command line, JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Resolution::TakeFile => "take-file",
            Resolution::TakeAsset => "take-asset",
            Resolution::KeepBoth => "keep-both",
        }
    }

    /// The resolution of a word written by [`Resolution::word`].
    pub fn from_word(word: &str) -> Option<Resolution> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One side of a conflict, as it was when it was noted last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// The endpoint, by its name in the configuration.
    pub endpoint: String,
    /// The asset there.
    pub asset: AssetId,
    /// Where it is, or was.
    pub path: AssetPath,
    /// Its revision; `None` where it is gone.
    pub revision: Option<Revision>,
    /// Number of bytes.
    pub size: u64,
}

/// What a pass found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewConflict {
    /// The flow that found it.
    pub flow: String,
    /// What it is about, once in its flow: the file's id, or the asset's where there is no file.
    pub subject: AssetId,
    /// What is to be decided.
    pub question: Question,
    /// Why, in one sentence without a full stop.
    pub reason: String,
    /// The file.
    pub file: ConflictSide,
    /// The governed asset.
    pub asset: ConflictSide,
}

/// What waits for a choice, or for a choice to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What the last pass found.
    #[serde(flatten)]
    pub found: NewConflict,
    /// Since when it is so with just these two revisions.
    pub since: Timestamp,
    /// How many passes have met it since then.
    pub passes: u64,
    /// What was chosen about just these two revisions.
    pub resolution: Option<Resolution>,
}

impl Conflict {
    /// A pair that so many passes met without a choice, or with one that none of them could carry out, does not converge
    /// by itself.
    pub const PASSES_MAX: u64 = 10;

    /// What becomes of a conflict when a pass meets it at `now`: the same goes on, anything else begins anew.
    #[must_use]
    pub fn met(found: NewConflict, before: Option<&Conflict>, now: Timestamp) -> Conflict {
        match before.filter(|before| before.found.is_same(&found)) {
            Some(before) => Conflict {
                found,
                since: before.since,
                passes: before.passes.saturating_add(1),
                resolution: before.resolution,
            },
            None => Conflict {
                found,
                since: now,
                passes: 1,
                resolution: None,
            },
        }
    }

    /// Whether somebody must choose still.
    pub fn is_undecided(&self) -> bool {
        self.resolution.is_none()
    }

    /// Whether somebody must look: more than [`Conflict::PASSES_MAX`] passes met it and left it as it is. Both sides stay
    /// as they are where that was chosen.
    pub fn does_not_converge(&self) -> bool {
        self.passes > Self::PASSES_MAX && self.resolution != Some(Resolution::KeepBoth)
    }
}

impl NewConflict {
    /// Whether it is still about the same: the same question about the same two revisions.
    pub fn is_same(&self, other: &NewConflict) -> bool {
        self.question == other.question
            && self.file.revision == other.file.revision
            && self.asset.revision == other.asset.revision
    }
}
