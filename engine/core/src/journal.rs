//! What is written down about a step while its bytes move, so that another attempt can go on.
//!
//! Three things are worth a note: the upload session that was opened, the parts of the content that the
//! sink acknowledged with their digests, and the intent to commit. Parts are many and small: they are
//! *jotted*, which survives the end of the process at once and a power cut a moment later. Losing one costs
//! bytes, never correctness. An intent is *noted*: it is durable before the commit is sent, because after
//! a crash it is what says whether the sink must be asked.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::ledger::StepId;

/// No content ends beyond this byte: databases count in signed numbers.
const CONTENT_END_MAX: u64 = i64::MAX.unsigned_abs();

/// A part of a content that the sink acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it starts in the content, in bytes.
    pub offset: u64,
    /// Number of bytes, at least 1.
    pub length: u64,
    /// What the data plane needs to know of its bytes instead of reading them again. Only the data plane
    /// can read it; about 32 bytes a 4 MiB.
    pub digest: Bytes,
}

/// What is known of a step that an earlier attempt began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The upload session, in the sink's own words.
    pub session: Option<String>,
    /// What the sink acknowledged of it, ascending by offset, without overlaps.
    pub parts: Vec<Part>,
    /// A commit of bytes with these digests was about to be sent, or was sent.
    pub intent: Option<Digests>,
}

impl Unfinished {
    /// Leaves out parts that overlap one that starts before them; the parts must ascend. Every part was
    /// acknowledged, so that whichever stays is true, and what is left out is sent again.
    pub fn drop_overlaps(&mut self) {
        let mut end = 0;
        self.parts.retain(|part| {
            let stays = part.offset >= end;
            if stays {
                end = part.offset.saturating_add(part.length);
            }
            stays
        });
    }
}

/// Something to be written down about one attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which step.
    pub step: StepId,
    /// The attempt that holds the lease. Notes of any other are refused.
    pub attempt: u32,
    /// What.
    pub what: Noted,
}

impl Note {
    /// Whether any ledger can keep it. Errors: `InvalidInput` for a part without bytes, and for bytes at
    /// or beyond 2^63.
    pub fn check(&self) -> Result<()> {
        let (offset, length, length_min) = match &self.what {
            Noted::Part(part) => (part.offset, part.length, 1),
            Noted::Intent(digests) => (0, digests.size, 0),
            Noted::Session(_) | Noted::Restart => return Ok(()),
        };
        let end = offset.checked_add(length);
        if length >= length_min && end.is_some_and(|end| end <= CONTENT_END_MAX) {
            return Ok(());
        }
        Err(Error::new(
            Kind::InvalidInput,
            "a note tells of bytes that no content has",
        )
        .with_context("step", self.step.0)
        .with_context("bytes", format!("{length} at {offset}")))
    }
}

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// An upload session was opened; parts of an earlier one are forgotten.
    Session(String),
    /// The sink acknowledged a part.
    Part(Part),
    /// A commit of bytes with these digests is about to be sent.
    Intent(Digests),
    /// The transfer begins again from nothing: session, parts and intent are forgotten.
    Restart,
}

/// How many calls an account made in one month, for services that count them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// The account, by its endpoint's name in the configuration.
    pub account: String,
    /// The month in UTC, such as `2026-11`.
    pub month: String,
    /// Calls to add.
    pub calls: u64,
}

/// Where one transfer writes down how far it is. The control plane hands one in that knows the step.
#[async_trait]
pub trait Journal: Send + Sync + Debug {
    /// What an earlier attempt left, once; later calls answer the default.
    fn take_unfinished(&self) -> Unfinished;

    /// An upload session was opened that can be resumed. Returns when that is durable.
    ///
    /// Errors of this and the next: `Conflict` when another attempt has the step by now; the transfer
    /// stops. Others: the record cannot be written.
    async fn opened(&self, session: &str) -> Result<()>;

    /// The sink acknowledged a part. Returns when that survives the end of this process.
    fn acknowledged(&self, part: Part) -> Result<()>;

    /// A commit is about to be sent. Returns when that is durable.
    async fn intend(&self, digests: &Digests) -> Result<()>;

    /// The transfer begins again from nothing. Returns when that is durable.
    async fn restarted(&self) -> Result<()>;
}
