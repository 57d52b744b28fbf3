//! The port of a place where people take files from: what is shown there can be shared, moved and taken back.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::asset::{AssetPath, Revision};
use crate::error::Result;
use crate::ports::{Placed, Sink};

/// What people get beside a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handing {
    /// A link to it, on these terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkTerms>,
    /// The system of record learns where the copy is.
    #[serde(default)]
    pub receipt: bool,
}

/// The terms of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkTerms {
    /// It ends so many days after it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// It ends then at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Only members of the team may follow it.
    #[serde(default)]
    pub team_only: bool,
}

impl LinkTerms {
    /// When a link that is made now ends. `None` for one that does not, and where the days reach beyond the calendar.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let hours = |days: u32| SignedDuration::from_hours(24 * i64::from(days));
        let after = self.days.and_then(|days| now.checked_add(hours(days)).ok());
        [after, self.until].into_iter().flatten().min()
    }
}

/// A link that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedLink {
    /// Where it leads from.
    pub url: String,
    /// When it ends. `None` where it does not, even if it was to: not every plan of a service has links that end.
    pub expires: Option<Timestamp>,
}

/// Somebody who is to be a member of a shared folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The address of the invitation.
    pub email: String,
    /// May change what is there; else only look and take.
    #[serde(default)]
    pub may_edit: bool,
}

/// What was done to share a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedFolder {
    /// It was made, or was not shared before.
    pub is_new: bool,
    /// Who was invited now.
    pub invited: Vec<String>,
    /// Who could not be, and why.
    pub refused: Vec<(String, String)>,
}

/// What became of a file that was to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is not there any more: nobody has to take it back.
    Absent,
    /// Somebody changed it since it was placed, so it was left alone.
    Changed {
        /// What it is now.
        revision: Revision,
        /// Where it is now.
        path: AssetPath,
    },
    /// Nobody finds it any more where it was.
    Back {
        /// Where it is kept; `None` where it was deleted.
        kept: Option<AssetPath>,
        /// The links to it that were revoked.
        links: Vec<String>,
        /// Who is known to have had access to it.
        recipients: Vec<String>,
    },
}

/// A sink where people take files from.
#[async_trait]
pub trait Outlet: Sink {
    /// Takes a file back, only while it is the revision that was placed: its links end first, then it moves to `keep`, or
    /// is deleted. Also one that people moved elsewhere is found, by its identity.
    ///
    /// Safe to repeat: what is at `keep` already is taken back. Absence is proved by asking for it afterwards.
    async fn take_back(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken>;

    /// Moves a file, only while it is the revision that was placed. `None` where it is not any more, or is gone.
    ///
    /// Errors: `Conflict` where something else has the place.
    async fn move_to(&self, placed: &Placed, to: &AssetPath) -> Result<Option<Placed>>;

    /// A link to a file: the one that is there, changed to these terms, or a new one.
    ///
    /// Errors: `Unsupported` where there are no links, `Denied` where nobody may make one.
    async fn link(&self, placed: &Placed, terms: &LinkTerms) -> Result<SharedLink>;

    /// Makes a folder that is shared with these members; those who are members stay as they are.
    ///
    /// Errors: `Unsupported` where folders are not shared, `Conflict` where this one cannot be, `NotFound` for one that
    /// the account has lost.
    async fn share(&self, folder: &AssetPath, members: &[Member]) -> Result<SharedFolder>;

    /// Where people find what is at a path, without a link.
    fn address(&self, path: &AssetPath) -> String;
}
