//! What a step of a plan can do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a plan's step does with one asset. Each step carries its reason, skips included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A new asset with new bytes.
    Create,
    /// New bytes for an asset that Windlass placed before.
    NewVersion,
    /// The bytes are already there; the asset is linked to a further place.
    Link,
    /// The bytes are copied inside the endpoint.
    Copy,
    /// Only metadata changes.
    UpdateMetadata,
    /// The asset moves inside its endpoint.
    Relocate,
    /// What Windlass placed is taken back.
    Withdraw,
    /// What Windlass placed is there, and the ledger learns of it again.
    Adopt,
    /// Nothing to do, and why.
    Skip,
    /// Something a person must settle first, and what.
    Hold,
    /// Both sides changed; both are kept.
    Conflict,
}

impl Action {
    /// The word used in the command line, JSON and the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::NewVersion => "new-version",
            Action::Link => "link",
            Action::Copy => "copy",
            Action::UpdateMetadata => "update-metadata",
            Action::Relocate => "relocate",
            Action::Withdraw => "withdraw",
            Action::Adopt => "adopt",
            Action::Skip => "skip",
            Action::Hold => "hold",
            Action::Conflict => "conflict",
        }
    }

    /// The action of a word written by [`Action::word`].
    pub fn from_word(word: &str) -> Option<Action> {
        [
            Action::Create,
            Action::NewVersion,
            Action::Link,
            Action::Copy,
            Action::UpdateMetadata,
            Action::Relocate,
            Action::Withdraw,
            Action::Adopt,
            Action::Skip,
            Action::Hold,
            Action::Conflict,
        ]
        .into_iter()
        .find(|action| action.word() == word)
    }

    /// True for actions whose bytes the sink has already.
    pub fn reuses(self) -> bool {
        matches!(self, Action::Link | Action::Copy)
    }

    /// True for actions that change something when the step runs, at an endpoint or in the ledger.
    pub fn acts(self) -> bool {
        !matches!(self, Action::Skip | Action::Hold | Action::Conflict)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
