//! What audits say, whatever kind of flow they are of: one name for each file ([`Standing`]), the sums of all, and what
//! reading back says.
//!
//! Whoever audits counts apart from the names ([`Telling::finish`]), so what has none shows as unexplained.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use windlass_core::{Asset, AssetId, AssetPath, Blake3, Kind, Result, Source};
use windlass_transfer::Engine;

use crate::observe::{Event, Observer};

/// How many different reasons are counted one by one.
const REASONS_MAX: usize = 1_000;

/// How a file stands: exactly one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The sink holds what was placed, and a run would change nothing.
    Same,
    /// The sink holds what was placed; the source or the rules have moved on, and the next run follows.
    Changed,
    /// The sink holds what was placed, elsewhere: people moved or renamed it.
    Moved,
    /// It was never placed, or was taken back, and the next run does it.
    Pending,
    /// It was placed, and is not among what the flow takes any more.
    Kept,
    /// It was placed, and is not at the source any more.
    SourceGone,
    /// The sink holds what was placed; the flow does not place it there any more, and the next run takes it back.
    ToWithdraw,
    /// It was taken back, and is not where people look.
    Withdrawn,
    /// Rights do not allow it, and it is not there.
    BlockedByRights,
    /// Windlass wrote it beside what it placed: a manifest, a note, a paper of an archive.
    Document,
    /// The flow does not take it.
    NotSelected,
    /// Somebody must settle something first.
    Held,
    /// Both sides changed.
    Conflict,
    /// The source blocks its bytes.
    Restricted,
    /// A document that can only be exported.
    UnsupportedKind,
    /// It has no bytes, as files whose resource fork was lost.
    SuspectedFork,
    /// It has no bytes.
    Empty,
    /// At the sink, placed by another flow of this ledger.
    OfAnotherFlow,
    /// At the sink, and not placed by this ledger.
    Extra,
    /// It was placed, and the sink has it no more.
    Missing,
    /// The sink holds something else than what was placed.
    Differs,
    /// People changed what was placed, or what Windlass wrote beside it.
    Edited,
    /// The sink does not let it be read back.
    Unreadable,
    /// Rights do not allow it any more, and it is there until the next run or sweep.
    Overdue,
    /// It was taken back, and is there all the same.
    StillThere,
    /// Of a two-way flow: one of a pair is gone or left, and the other one stays.
    Apart,
}

impl Standing {
    /// Something is not as it was left.
    pub fn is_trouble(self) -> bool {
        matches!(
            self,
            Standing::Missing
                | Standing::Differs
                | Standing::Edited
                | Standing::Unreadable
                | Standing::Overdue
                | Standing::StillThere
        )
    }
}

/// One file, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedFile {
    /// How it stands.
    pub standing: Standing,
    /// Where the source shows it, or showed it last; where it is at the sink for what is only there. Of flows out of a
    /// library: where it is at the sink, or is to be; where the library shows what has no place there. Of two-way flows: where the file is, or was; where the library
    /// shows an asset that has none.
    pub path: AssetPath,
    /// Number of bytes.
    pub size: u64,
    /// Why, where there is more to say than the name of its standing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The asset at the source; of flows out of a library the delivery, which begins with it; of two-way flows the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_asset: Option<AssetId>,
    /// The asset at the sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink_asset: Option<AssetId>,
}

/// Takes files as they are audited.
#[async_trait]
pub trait AuditWriter: Send {
    /// Takes some. An error ends the audit.
    async fn files(&mut self, files: Vec<AuditedFile>) -> Result<()>;
}

#[async_trait]
impl AuditWriter for Vec<AuditedFile> {
    async fn files(&mut self, files: Vec<AuditedFile>) -> Result<()> {
        self.extend(files);
        Ok(())
    }
}

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Files by standing.
    pub standings: BTreeMap<Standing, Sum>,
    /// Why, most of what has more to say: standing, reason, files.
    pub reasons: Vec<(Standing, String, u64)>,
    /// Files at the source; of flows out of a library what is to be delivered, each copy by itself.
    pub at_source: u64,
    /// Assets in the part of the sink that was listed; of flows out of a library all files in their folders.
    pub at_sink: u64,
    /// Files that were counted and have no standing, or more than one. Zero, or Windlass is wrong.
    pub unexplained: u64,
    /// What was read back and hashed.
    pub read_back: Sum,
}

impl Audit {
    /// True when everything is as it was left.
    pub fn is_well(&self) -> bool {
        self.unexplained == 0 && !self.standings.keys().any(|standing| standing.is_trouble())
    }
}

/// Counts files as they are named, and hands them on.
pub(crate) struct Telling<'a> {
    writer: &'a mut dyn AuditWriter,
    observer: &'a dyn Observer,
    audit: Audit,
    reasons: BTreeMap<(Standing, String), u64>,
    /// How many files were given a name.
    named: u64,
}

impl fmt::Debug for Telling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling")
            .field("audit", &self.audit)
            .finish_non_exhaustive()
    }
}

impl<'a> Telling<'a> {
    pub(crate) fn new(writer: &'a mut dyn AuditWriter, observer: &'a dyn Observer) -> Self {
        Telling {
            writer,
            observer,
            audit: Audit::default(),
            reasons: BTreeMap::new(),
            named: 0,
        }
    }

    /// Counts files and hands them on.
    pub(crate) async fn tell(&mut self, files: Vec<AuditedFile>) -> Result<()> {
        for file in &files {
            self.named += 1;
            let sum = self.audit.standings.entry(file.standing).or_default();
            sum.add(file.size);
            let Some(why) = &file.why else {
                continue;
            };
            let key = (file.standing, why.clone());
            if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&key) {
                *self.reasons.entry(key).or_default() += 1;
            }
        }
        self.observer.observe(Event::Audited { files: self.named });
        self.writer.files(files).await
    }

    /// A file was read back.
    pub(crate) fn read_back(&mut self, bytes: u64) {
        self.audit.read_back.add(bytes);
    }

    /// The audit, where `counted` files should have a name, of which so many are `at_source` and `at_sink`.
    pub(crate) fn finish(self, counted: u64, at_source: u64, at_sink: u64) -> Audit {
        let reasons = self.reasons.into_iter();
        let mut reasons: Vec<_> = reasons
            .map(|((standing, why), files)| (standing, why, files))
            .collect();
        reasons.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| (a.0, &a.1).cmp(&(b.0, &b.1))));
        Audit {
            reasons,
            at_source,
            at_sink,
            unexplained: counted.abs_diff(self.named),
            ..self.audit
        }
    }
}

/// What reading a file back says.
#[derive(Debug)]
pub(crate) enum ReadBack {
    /// It has the bytes that were placed: so many.
    Same(u64),
    /// It has others; how many were read, and what they are.
    Differs(u64, String),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// Reads a file back from a sink and holds it beside the digest of what was placed.
///
/// Errors: what prevents reading anything.
pub(crate) async fn read_back(
    engine: &Engine,
    reader: &dyn Source,
    there: &Asset,
    placed: Blake3,
) -> Result<ReadBack> {
    let asset = Asset {
        // What the sink states is not what counts here.
        content_hash: None,
        ..there.clone()
    };
    let never = CancellationToken::new();
    match engine.digest(reader, &asset, &never).await {
        Ok(read) if read.blake3 == placed => Ok(ReadBack::Same(read.size)),
        Ok(read) => Ok(ReadBack::Differs(
            read.size,
            format!(
                "its bytes were read back as BLAKE3 {} instead of {placed}",
                read.blake3
            ),
        )),
        Err(error) => match error.kind() {
            Kind::Integrity => Ok(ReadBack::Differs(0, error.chain().to_string())),
            Kind::Unauthenticated | Kind::Cancelled | Kind::Config => Err(error),
            _ => Ok(ReadBack::Unreadable(error.chain().to_string())),
        },
    }
}
