//! The ports through which flows and transfers reach a service, a folder or an emulator.
//!
//! An endpoint says on its capability sheet what it can do; callers read the sheet and never try and
//! catch. All ports are used as `dyn`: a call here is per chunk or per page, never per byte.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, AssetId, AssetPath, ChangePage, Cursor, Revision};
use crate::digest::{ContentHash, Digests};
use crate::error::Result;
use crate::metadata::{Correlation, Destination, Draft, Fault};

/// In which order an upload session takes its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadOrder {
    /// Each chunk starts where the last one ended; one append at a time.
    InOrder,
    /// Any order, several at once.
    Any,
}

/// What an endpoint can do. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Any byte range of a pinned revision can be read, several at once.
    pub range_reads: bool,
    /// Listings state the content hash.
    pub lists_content_hash: bool,
    /// People can put tags on assets, and they can be read.
    pub tags: bool,
    /// Drafts may carry an asset type, fields and availability.
    pub metadata: bool,
    /// The order in which an upload session takes chunks.
    pub upload_order: UploadOrder,
    /// Every chunk but the last is a multiple of this; at least 1.
    pub chunk_multiple: u64,
    /// The largest chunk that one append takes.
    pub chunk_bytes_max: u64,
    /// The largest asset it stores, where known.
    pub asset_bytes_max: Option<u64>,
    /// The longest file name in UTF-16 units.
    pub name_units_max: usize,
    /// Names that differ only in case or Unicode normal form are the same name.
    pub folds_names: bool,
    /// Committed assets come back with their content hash.
    pub states_content_hash: bool,
}

/// One thing that `doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckItem {
    /// What was looked at, in a few words.
    pub subject: String,
    /// What was found, in one sentence without a full stop.
    pub finding: String,
    /// Whether it is as it must be.
    pub ok: bool,
    /// What to do where it is not.
    pub hint: Option<String>,
}

/// A place that holds assets.
#[async_trait]
pub trait Endpoint: Send + Sync + Debug {
    /// The name it has in the configuration.
    fn name(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Looks whether it is reachable and this credential may do what flows need. Finding a problem is
    /// an item that is not ok; an error means that looking itself was not possible.
    async fn check(&self) -> Result<Vec<CheckItem>>;
}

/// What part of an endpoint a listing covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The folder or collection, with everything below it.
    pub root: AssetPath,
}

/// An endpoint that assets are read from.
#[async_trait]
pub trait Source: Endpoint {
    /// One page of the listing below the scope, or of what changed since the cursor.
    ///
    /// `None` starts from nothing. Errors: `NotFound` when the scope's root is not there,
    /// `CursorReset` when the cursor is no longer valid.
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage>;

    /// The asset as it is now, or `None` when it is gone.
    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>>;

    /// The tags of each asset, in the same order, lower-cased. Empty lists where tags are not a
    /// capability.
    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>>;

    /// Appends to `into` exactly the bytes of `range` of the revision that `asset` names.
    ///
    /// On an error `into` may hold some of them. Errors: `SourceChanged` when the revision is gone,
    /// shrank or grew, `Restricted` when its bytes may not be read. Cancel by dropping the future.
    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()>;
}

/// How strongly it is proved that a sink holds the right bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Evidence {
    /// The sizes agree.
    E0,
    /// The service accepted a digest with every request.
    E1,
    /// The whole-file digest that the sink states equals ours.
    E2,
    /// The bytes were read back and hashed again.
    E3,
}

/// What a sink holds after a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The asset at the sink.
    pub asset: AssetId,
    /// The revision that these bytes became.
    pub revision: Revision,
    /// Number of bytes the sink reports.
    pub size: u64,
    /// The content hash the sink reports.
    pub content_hash: Option<ContentHash>,
    /// How strongly it is proved that they are the right ones.
    pub evidence: Evidence,
}

/// What is known of a content's bytes, perhaps before anybody here has read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Number of bytes.
    pub size: u64,
    /// Their block hash, where a listing states it or we computed it.
    pub content_hash: Option<ContentHash>,
}

impl From<&Digests> for Expected {
    fn from(digests: &Digests) -> Self {
        Expected {
            size: digests.size,
            content_hash: digests.content_hash,
        }
    }
}

/// An endpoint that assets are written to.
#[async_trait]
pub trait Sink: Endpoint {
    /// Says what the sink would refuse, one list a draft in the same order; an empty list means that
    /// nothing is known to be wrong. Writes nothing.
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>>;

    /// Opens an upload session for exactly `size` bytes. Nothing is visible before its commit.
    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>>;

    /// Looks whether a commit whose answer was lost did happen: the asset that carries this
    /// correlation and what is expected of its bytes, or `None`. Also asked before a step is taken
    /// again after a crash, when nobody has read the bytes yet. Reads the truth, not a search index that may lag,
    /// wherever the service allows it.
    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>>;

    /// Makes the asset's name, type, fields, place and availability what the draft says. Fields that
    /// the draft does not name stay as they are.
    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()>;

    /// Takes away what a failed commit left behind. Callers pass only what they placed themselves.
    /// `placed` that is already gone, or has another revision by now, is left alone and not an error.
    async fn remove(&self, placed: &Placed) -> Result<()>;
}

/// The upload of one content. Dropping it stops its requests; what the service keeps of it expires.
#[async_trait]
pub trait UploadSession: Send + Sync + Debug {
    /// Hands over the bytes that start at `offset`. Returns when they are acknowledged, or, where the
    /// service acknowledges only whole files, when there is room for more.
    ///
    /// Chunks obey the capability sheet's order and multiple. Their memory is somebody's budget: an
    /// implementation lets go of a chunk without waiting to be given another one.
    async fn append(&self, offset: u64, chunk: Bytes) -> Result<()>;

    /// The end of the gapless prefix that the service acknowledged, in bytes.
    fn acknowledged_end(&self) -> u64;

    /// Makes the content visible and compares what the service reports with `digests`.
    ///
    /// Errors: `Ambiguous` when the answer was lost (ask [`Sink::find`]), `Integrity` when the
    /// service reports other bytes (what it placed was removed again or is named in the message),
    /// `InvalidInput` with the fault's field by name when values were refused.
    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed>;

    /// Gives the session up. Best effort: what cannot be told to the service expires there.
    async fn abort(self: Box<Self>) -> Result<()>;
}
