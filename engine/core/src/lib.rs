//! The words and ports of Windlass. No I/O and no runtime live here.
//!
//! Everything that two crates must agree on is in this one: what an asset is, what a field value is,
//! how an error speaks, and the traits ("ports") through which flows reach services, the ledger and
//! plugins. Crates above exchange these values and `dyn` ports; they never name each other's types.

mod asset;
mod bytesize;
mod choices;
mod clock;
mod conflict;
mod coverage;
pub mod digest;
mod error;
mod hooks;
mod journal;
mod ledger;
mod library;
pub mod memory;
mod metadata;
mod names;
mod outlet;
mod package;
mod plan;
mod ports;
mod proof;
mod ranges;
pub mod sealed;
mod secret;
pub mod sign;
mod spool;
mod stamp;
mod stated;

pub use asset::{
    Asset, AssetId, AssetPath, Change, ChangePage, Cursor, Folder, Readable, Revision,
};
pub use bytesize::{ByteSize, ParseByteSizeError};
pub use choices::{Choice, Choices};
pub use clock::{Clock, SystemClock};
pub use conflict::{Conflict, ConflictSide, NewConflict, Question, Resolution};
pub use coverage::{Clash, Coverage, Covered, Gap};
pub use digest::{Blake3, ContentHash, Digests};
pub use error::{Error, Kind, Result, Status};
pub use hooks::{
    Appearance, AssetView, Decision, Finding, HookIdentity, HookKind, Hooks, Mapping, Market,
    Release, Routing, Ruling, Verdict,
};
pub use journal::{CallCount, Journal, Note, Noted, Part, Unfinished};
pub use ledger::{
    ContentRecord, Hold, JOT_AGE_MAX, LOST_LEASES_MAX, LeasedStep, Ledger, NewHold, NewStep,
    Outcome, Placement, RunId, RunRecord, RunState, Sharing, StepId, StepRecord, StepReport,
    StepState, Tally, Withdrawal, WorkerId,
};
pub use library::{
    ChangedPage, Holding, HoldingsPage, Library, Query, Related, Rendition, Retirement, Usable,
    Usage, said,
};
pub use metadata::{
    Assigned, Availability, Correlation, Destination, Draft, DraftPart, Fault, UnknownEntry, Value,
    ValueKind,
};
pub use names::{NameProblem, Noise, classify_noise, fold_key, preflight_name};
pub use outlet::{Handing, LinkTerms, Member, Outlet, SharedFolder, SharedLink, Taken};
pub use package::{Named, PackageReader};
pub use plan::Action;
pub use ports::{
    AssetStream, Calls, Capabilities, CheckItem, Chunk, Endpoint, Evidence, Expected, HeldBack,
    Load, Placed, Reuse, Scope, Sink, Source, StampedPage, Together, UploadOrder, UploadSession,
    Waited,
};
pub use proof::{
    CustodyEvent, CustodyRecord, FactsWanted, ReasonCount, RunFacts, RunOrigin, Slice,
};
pub use ranges::Ranges;
pub use secret::Secret;
pub use spool::{MemorySpool, Spool, SpoolEntry, SpoolOrder};
pub use stamp::{NoStamp, Stamp};
pub use stated::{Described, Informant, Origin, Stated, Statement};

#[cfg(test)]
mod tests;
