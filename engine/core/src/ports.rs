//! The ports through which flows and transfers reach a service, a folder or an emulator.
//!
//! An endpoint says on its capability sheet what it can do; callers read the sheet and never try and
//! catch. All ports are used as `dyn`: a call here is per chunk or per page, never per byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::asset::{Asset, AssetId, AssetPath, ChangePage, Cursor, Revision};
use crate::digest::{Blake3, ChecksumAlgorithm, ContentHash, Digests};
use crate::error::{Error, Kind, Result};
use crate::metadata::{Correlation, Destination, Draft, Fault};
use crate::stamp::Stamp;

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
    /// Any byte range of a pinned revision can be read, several at once. Without it an asset is read
    /// from front to back ([`Source::open`]).
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
    /// Every append wants the content hash of its own chunk, so that damage is refused at once.
    pub wants_chunk_hash: bool,
    /// An upload session survives the process that opened it ([`Sink::resume`]).
    pub resumes: bool,
    /// Small contents travel together; `None` where each one travels alone.
    pub together: Option<Together>,
    /// Digests are computed where the bytes are ([`Source::digests`]), at a small part of what moving them costs.
    pub digests_in_place: bool,
    /// How a content that is there already gets to a further place without its bytes ([`Sink::reuse`]); `None` where
    /// it cannot.
    pub reuse: Option<Reuse>,
    /// It can be asked to answer as soon as something changes ([`Source::wait`]).
    pub rings: bool,
}

/// What came of waiting for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Something may have changed: ask for it. It is a doorbell, so there may be nothing.
    pub changed: bool,
    /// How long the service wants to be left alone before anybody waits again.
    pub stay_away: Option<Duration>,
}

/// What becomes of a content that a sink holds already and that shall be in a further place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// The sink copies it: an asset of its own, with metadata of its own.
    Copy,
    /// The asset that is there appears in a further collection. What people change of it, they change everywhere.
    Link,
}

/// Small contents that share requests: the more of them are under way, the fewer calls each costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// The largest content that shares requests.
    pub bytes_max: u64,
    /// How many such uploads it pays to have under way at once.
    pub at_once: usize,
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

    /// Why requests to it are being held back right now, if they are: a pause that the service asked
    /// for, a rate that it bears, a call budget that is spent. A transfer that waits for this has not
    /// stalled.
    fn held_back(&self) -> Option<HeldBack>;

    /// How many requests this value has sent so far, those that were repeated included. 0 where nothing is requested.
    fn calls_made(&self) -> u64 {
        0
    }
}

/// A number of calls to a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// All of them.
    pub all: u64,
    /// Those among them that a monthly allowance of the account counts.
    pub metered: u64,
}

/// What a plan asks of an endpoint, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Contents that share requests at the sink ([`Capabilities::together`]).
    pub small: u64,
    /// Their bytes.
    pub small_bytes: u64,
    /// Contents that move by themselves.
    pub large: u64,
    /// Into how many chunks those are cut.
    pub large_chunks: u64,
    /// How many of both become versions of what is there.
    pub versions: u64,
    /// How many of both come with an availability.
    pub with_availability: u64,
    /// Contents that are copied or linked at the sink.
    pub reused: u64,
    /// Assets of which only metadata changes.
    pub updates: u64,
    /// Contents that a library is asked about once more before they become visible.
    pub released: u64,
    /// Copies that a library is told of.
    pub receipts: u64,
    /// Links that are made.
    pub links: u64,
    /// Files that are taken back.
    pub taken_back: u64,
    /// The folders or collections that any of this is for.
    pub collections: BTreeSet<AssetPath>,
}

/// Why an endpoint's requests are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// One sentence without a full stop, such as `Dropbox asked for 42 s more`.
    pub why: String,
    /// How long it lasts from now on, where that is known.
    pub left: Option<Duration>,
}

/// What part of an endpoint a listing covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The folder or collection, with everything below it.
    pub root: AssetPath,
}

/// One page of a listing with what its assets say of where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampedPage {
    /// The listing.
    pub page: ChangePage,
    /// The stamps of those that carry one.
    pub stamps: BTreeMap<AssetId, Stamp>,
    /// Every collection of those that are in several.
    pub collections: BTreeMap<AssetId, Vec<AssetPath>>,
    /// Those whose bytes are known to be somebody else's by now.
    pub touched: BTreeSet<AssetId>,
}

/// An endpoint that assets are read from.
#[async_trait]
pub trait Source: Endpoint {
    /// One page of the listing below the scope, or of what changed since the cursor.
    ///
    /// `None` starts from nothing. Errors: `NotFound` when the scope's root is not there,
    /// `CursorReset` when the cursor is no longer valid.
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage>;

    /// The same, with what sinks stamp on what is placed there. Without stamps where this is not a sink that stamps; and where
    /// it is, assets may be left out that carry nothing and could not be told from what others placed.
    async fn stamped(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<StampedPage> {
        Ok(StampedPage {
            page: self.changes(scope, cursor).await?,
            stamps: BTreeMap::new(),
            collections: BTreeMap::new(),
            touched: BTreeSet::new(),
        })
    }

    /// Where a listing of the scope stands at this moment, without what is in it: for those who only want to know what
    /// changes from here on. Errors: those of [`Source::changes`].
    async fn latest(&self, scope: &Scope) -> Result<Cursor> {
        let mut page = self.changes(scope, None).await?;
        while page.more {
            page = self.changes(scope, Some(&page.cursor)).await?;
        }
        Ok(page.cursor)
    }

    /// Waits until something below the scope may have changed since the cursor, for about `longest`: for sources whose
    /// sheet says `rings`. Says neither what nor by whom. Cancel by dropping the future.
    ///
    /// Errors: `CursorReset` when the cursor is no longer valid.
    async fn wait(&self, scope: &Scope, cursor: &Cursor, longest: Duration) -> Result<Waited> {
        let (_, _, _) = (scope, cursor, longest);
        Err(Error::new(
            Kind::Unsupported,
            format!("{} cannot be waited for", self.name()),
        ))
    }

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

    /// Opens the revision that `asset` names to be read once, from front to back: for sources whose
    /// sheet has no `range_reads`. Errors: those of [`Source::read`]; `Unsupported` where ranges are
    /// the way.
    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>>;

    /// The digests of each asset's revision, in the same order, computed where the bytes are: for sources whose sheet
    /// says `digests_in_place`. `None` for one that is not there as it was listed, or cannot be read; whoever
    /// moves it learns why.
    async fn digests(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        Ok(vec![None; assets.len()])
    }

    /// For each asset's revision, in the same order, a number that contents which differ share with a small chance, at a
    /// small part of what reading all of it costs; for sources whose sheet says `digests_in_place`. `None` as in
    /// [`Source::digests`].
    async fn fingerprints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        Ok(vec![None; assets.len()])
    }

    /// A checksum of each asset's revision, in the same order, by which a sink recognises contents ([`Sink::recognises`]);
    /// for sources whose sheet says `digests_in_place`. `None` as in [`Source::digests`].
    async fn checksums(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let _ = algorithm;
        Ok(vec![None; assets.len()])
    }

    /// About how many calls it takes to read this, where nothing has to be repeated.
    fn calls_to_read(&self, load: &Load) -> Calls {
        let _ = load;
        Calls::default()
    }
}

/// An asset's bytes from front to back. Dropping it stops the request.
#[async_trait]
pub trait AssetStream: Send + Debug {
    /// Appends the next `bytes` bytes to `into`: exactly as many, since callers know the size.
    ///
    /// Errors: `SourceChanged` or `Integrity` when it ends before, `Unavailable` when it breaks off.
    async fn next(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<()>;

    /// Proves that nothing follows, once all bytes were read. Errors: `SourceChanged` or `Integrity`
    /// when something does.
    async fn end(&mut self) -> Result<()>;
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
    /// Their BLAKE3, where we computed it.
    pub blake3: Option<Blake3>,
}

impl From<&Digests> for Expected {
    fn from(digests: &Digests) -> Self {
        Expected {
            size: digests.size,
            content_hash: digests.content_hash,
            blake3: Some(digests.blake3),
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

    /// Goes on with a session that an earlier process opened, where the sheet says that it `resumes`.
    ///
    /// `session` is what [`UploadSession::checkpoint`] said, `acknowledged` the disjoint ranges that were
    /// acknowledged, ascending. The service may know of more; where it can be asked, it is asked, and
    /// [`UploadSession::acknowledged`] says the outcome. `None` when the service no longer has the
    /// session, or what it has cannot be used: begin anew.
    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>>;

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

    /// Brings a content that `held` has to a further place without its bytes, as the sheet's `reuse` says.
    ///
    /// Proves before or after that it is what `digests` says, and takes back what it is not. `None` where `held` is
    /// gone, was changed or may not be used: the bytes have to be sent then. A link answers with `held`'s own asset.
    ///
    /// Errors: `Ambiguous` when the answer was lost (ask [`Sink::find`]; to link twice is to link once), `Conflict`
    /// where something else has the place.
    async fn reuse(
        &self,
        held: &Placed,
        destination: &Destination,
        correlation: &Correlation,
        digests: &Digests,
    ) -> Result<Option<Placed>> {
        let (_, _, _, _) = (held, destination, correlation, digests);
        Ok(None)
    }

    /// The checksum by which it knows contents that nobody here placed; `None` where it knows none, or nobody knows which.
    async fn recognises(&self) -> Result<Option<ChecksumAlgorithm>> {
        Ok(None)
    }

    /// An asset that has each content now, by size and that checksum, in the same order. Lists may lag behind.
    async fn recognise(&self, contents: &[(u64, Vec<u8>)]) -> Result<Vec<Option<AssetId>>> {
        Ok(vec![None; contents.len()])
    }

    /// Takes a linked asset out of a collection, if it is in another one as well. Answers whether it is out of it.
    async fn unlink(&self, asset: &AssetId, collection: &AssetPath) -> Result<bool> {
        let (_, _) = (asset, collection);
        Ok(false)
    }

    /// About how many calls it takes to write this, where nothing has to be repeated.
    ///
    /// Errors: what prevents looking which collections have to be made.
    async fn calls_to_write(&self, load: &Load) -> Result<Calls> {
        let _ = load;
        Ok(Calls::default())
    }
}

/// A chunk on its way to a sink.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where it starts in the content, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// The content hash of these bytes alone; there when the sink's sheet `wants_chunk_hash`.
    pub content_hash: Option<ContentHash>,
}

impl Chunk {
    /// A chunk for a sink that wants no hash with it.
    pub fn new(offset: u64, bytes: Bytes) -> Self {
        Chunk {
            offset,
            bytes,
            content_hash: None,
        }
    }

    /// The bytes of the content that it holds.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }
}

/// The upload of one content. Dropping it stops its requests; what the service keeps of it expires.
#[async_trait]
pub trait UploadSession: Send + Sync + Debug {
    /// Hands over the bytes that start at `offset`. Returns when they are acknowledged, or, where the
    /// service acknowledges only whole files, when there is room for more.
    ///
    /// Chunks obey the capability sheet's order and multiple. Their memory is somebody's budget: an
    /// implementation lets go of a chunk without waiting to be given another one.
    async fn append(&self, chunk: Chunk) -> Result<()>;

    /// The ranges that the service acknowledged: disjoint, not adjacent, ascending. Empty where it
    /// acknowledges only whole files.
    fn acknowledged(&self) -> Vec<Range<u64>>;

    /// What [`Sink::resume`] needs to find this session again, in the sink's own words; holds no
    /// secret. `None` where sessions end with the process, or there is nothing to find yet.
    fn checkpoint(&self) -> Option<String>;

    /// Makes the content visible and compares what the service reports with `digests`.
    ///
    /// Errors: `Ambiguous` when the answer was lost (ask [`Sink::find`]), `Integrity` when the
    /// service reports other bytes (what it placed was removed again or is named in the message),
    /// `InvalidInput` with the fault's field by name when values were refused.
    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed>;

    /// Gives the session up. Best effort: what cannot be told to the service expires there.
    async fn abort(self: Box<Self>) -> Result<()>;
}
