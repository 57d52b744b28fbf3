//! Reading: a walk by ascending id, and contents through download URLs that are used at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use http::StatusCode;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, Calls, Change, ChangePage, Cursor, Error, Kind, Load,
    Readable, Result, Revision, Scope, Source, StampedPage, Status,
};
use windlass_http::{ByteStream, Response, SendError};

use crate::client::is_stale_link;
use crate::edit::stamp_of;
use crate::endpoint::{CelumEndpoint, Shared};
use crate::errors::Refusal;
use crate::filter::{Filter, Operator, Order, combined};
use crate::renditions::Pinned;
use crate::sink::id_of;
use crate::wire;

/// Up to this size a range is also taken out of an answer that is the whole content: at most so much is
/// received for nothing, a few times.
const SKIPPED_BYTES_MAX: u64 = 16 << 20;

/// The cursor of a walk that is over.
const WALKED: &str = "walked";

#[async_trait]
impl Source for CelumEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let walked = self.walk(scope, cursor, &BTreeSet::new()).await?;
        Ok(walked.page)
    }

    /// Only what carries anything in the correlation field, where the tenant has one: a tenant may hold millions that
    /// nobody here placed, and nothing but a stamp tells one from the other.
    async fn stamped(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<StampedPage> {
        if cursor.is_none() {
            // Lists know by then what was placed before; one that is missing would be placed again.
            tokio::time::sleep(self.shared.index_lag()).await;
        }
        let fields = match &self.shared.profile.correlation_field {
            Some(name) => self.shared.catalogue().await?.text_fields(name),
            None => BTreeSet::new(),
        };
        self.walk(scope, cursor, &fields).await
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        let asset = self.shared.api.asset(id_of(asset)?).await?;
        Ok(asset.map(|asset| self.shared.shown(&asset, &AssetPath::new(""))))
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        Ok(vec![Vec::new(); assets.len()])
    }

    fn calls_to_read(&self, load: &Load) -> Calls {
        crate::forecast::calls_to_read(load)
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let whole = range == (0..asset.size);
        if !whole && !self.shared.profile.range && asset.size > SKIPPED_BYTES_MAX {
            return Err(Error::new(Kind::Unsupported, "the tenant serves no ranges")
                .with_context("path", &asset.path));
        }
        let start = into.len();
        let mut broken = None;
        // A link may expire between asking and using, and a body may break off; twice is bad luck,
        // more is an answer.
        for _ in 0..3 {
            into.truncate(start);
            let asked = self.shared.profile.range.then(|| range.clone());
            let response = self.shared.download(asset, asked).await?;
            match take(response, asset, &range, into).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_temporary() => broken = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(broken.unwrap_or_else(|| Error::new(Kind::Unavailable, "a download broke off")))
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        if self.shared.profile.range {
            return Err(Error::new(Kind::Unsupported, "the tenant serves ranges"));
        }
        let response = self.shared.download(asset, None).await?;
        check_length(&response, asset)?;
        Ok(Box::new(Download {
            asset: asset.clone(),
            body: response.body,
            rest: Bytes::new(),
            received: 0,
        }))
    }
}

/// A content on its way from front to back.
struct Download {
    asset: Asset,
    body: ByteStream,
    /// What arrived and was not asked for yet.
    rest: Bytes,
    /// How many bytes were handed out.
    received: u64,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("asset", &self.asset.id)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl AssetStream for Download {
    async fn next(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        let mut left = bytes;
        while left > 0 {
            if self.rest.is_empty() && !self.arrived().await? {
                // Bodies that end early are errors of the body; this one has another length than listed.
                return Err(self.disagrees(self.received, "ended after"));
            }
            let taken = self
                .rest
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            into.extend_from_slice(&self.rest.split_to(taken));
            self.received += taken as u64;
            left -= taken as u64;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        match !self.rest.is_empty() || self.arrived().await? {
            true => Err(self.disagrees(self.received + self.rest.len() as u64, "went on to")),
            false => Ok(()),
        }
    }
}

impl Download {
    /// Waits for the next piece; false at the end.
    async fn arrived(&mut self) -> Result<bool> {
        while self.rest.is_empty() {
            match self.body.next().await {
                None => return Ok(false),
                Some(piece) => {
                    self.rest = piece.map_err(|error| broke_off(&self.asset, error))?;
                }
            }
        }
        Ok(true)
    }

    fn disagrees(&self, bytes: u64, how: &str) -> Error {
        let listed = self.asset.size;
        let message = format!("the download {how} {bytes} bytes, but the version has {listed}");
        other_bytes(&self.asset, message)
    }
}

fn broke_off(asset: &Asset, error: SendError) -> Error {
    Error::new(Kind::Unavailable, "the download broke off")
        .with_context("path", &asset.path)
        .with_source(error)
}

impl CelumEndpoint {
    /// One page of a walk. With fields only what has a value in one of them, and those values.
    async fn walk(
        &self,
        scope: &Scope,
        cursor: Option<&Cursor>,
        fields: &BTreeSet<i64>,
    ) -> Result<StampedPage> {
        let last = walked_to(cursor)?;
        let mut filters = Vec::new();
        filters.extend(self.shared.below(&scope.root).await?);
        filters.push(Filter::IdRange { from: last });
        if !fields.is_empty() {
            let filled = fields.iter().map(|field| Filter::FieldEmpty {
                information_field_id: *field,
                empty: false,
            });
            filters.push(combined(Operator::Or, filled.collect()));
        }
        let filter = combined(Operator::And, filters);
        let page = self
            .shared
            .api
            .search_with(&filter, Order::Asc, fields)
            .await?;
        let mut listed = last;
        let mut changes = Vec::new();
        let (mut stamps, mut collections) = (BTreeMap::new(), BTreeMap::new());
        let mut touched = BTreeSet::new();
        let me = match fields.is_empty() {
            true => None,
            false => Some(self.shared.me().await?),
        };
        for asset in unlisted(&page, last)? {
            listed = asset.id;
            // Nobody has uploaded a file yet: there is nothing to read.
            if asset.current_version.is_placeholder() {
                continue;
            }
            let shown = self.shared.shown(asset, &scope.root);
            if let Some(stamp) = fields.iter().find_map(|field| stamp_of(asset, *field)) {
                stamps.insert(shown.id.clone(), stamp);
            }
            // Tenants may hide who made what.
            let made_by = asset.current_version.creation.user_id;
            if me.is_some() && made_by.is_some() && made_by != me {
                touched.insert(shown.id.clone());
            }
            if asset.parent_paths.len() > 1 {
                let paths = asset.parent_paths.iter();
                let paths = paths.map(|path| self.shared.path(path)).collect();
                collections.insert(shown.id.clone(), paths);
            }
            changes.push(Change::Asset(shown));
        }
        // Ids only grow, so going on after the last one neither repeats nor leaves out. A page that
        // brought nothing new is the end, whatever it says of further ones.
        let more = page.has_next && listed > last;
        Ok(StampedPage {
            page: ChangePage {
                changes,
                cursor: Cursor::new(match more {
                    true => listed.to_string(),
                    false => WALKED.to_owned(),
                }),
                more,
            },
            stamps,
            collections,
            touched,
        })
    }
}

impl Shared {
    /// Opens a content, or the range that is asked for, at the pinned version. A link that expired before it
    /// was used is asked for again.
    pub(crate) async fn download(
        &self,
        asset: &Asset,
        range: Option<Range<u64>>,
    ) -> Result<Response> {
        let id = id_of(&asset.id)?;
        let pinned = Pinned::of(&asset.revision);
        let format = match pinned.rendition {
            None => self.original().await?,
            Some(key) => self.rendition(key).await?.ok_or_else(|| gone(asset))?,
        };
        let mut stale = None;
        for _ in 0..2 {
            let version = Some(pinned.version);
            let Some(url) = self.api.download_url(id, format, version).await? else {
                return Err(gone(asset));
            };
            match self.api.download(url, range.clone()).await? {
                Ok(response) => return Ok(response),
                Err(reply) if is_stale_link(reply.status) => stale = Some(reply),
                Err(reply) => {
                    return Err(Refusal::of(&reply).into_error("the download", |_| None));
                }
            }
        }
        let status = stale.map_or(0, |reply| reply.status.as_u16());
        Err(
            Error::new(Kind::Unavailable, "fresh download URLs are refused")
                .with_context("status", status),
        )
    }

    /// An asset as listings show it: its path below the scope, in the tenant's first locale.
    pub(crate) fn shown(&self, asset: &wire::Asset, scope: &AssetPath) -> Asset {
        let below = format!("{}/", scope.key());
        let folders: Vec<AssetPath> = asset
            .parent_paths
            .iter()
            .map(|path| self.path(path))
            .collect();
        let folder = folders
            .iter()
            .find(|folder| format!("{}/", folder.key()).starts_with(&below))
            .or(folders.first())
            .cloned()
            .unwrap_or_else(|| AssetPath::new(""));
        let version = &asset.current_version;
        Asset {
            id: AssetId::new(asset.id.to_string()),
            path: folder.join(&version.filename),
            revision: Revision::new(version.id.to_string()),
            size: version.filesize,
            modified: version.creation.date,
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
        }
    }

    pub(crate) fn path(&self, path: &wire::Path) -> AssetPath {
        let names = path.path_segments.iter().map(|segment| {
            let name = self.profile.name_in(&segment.collection_name);
            name.map_or_else(|| segment.collection_id.to_string(), str::to_owned)
        });
        AssetPath::new(&names.collect::<Vec<_>>().join("/"))
    }
}

/// The assets of a page that were not listed yet. Ids only grow, so going on after the last one neither repeats nor
/// leaves out, as long as they ascend.
pub(crate) fn unlisted(page: &wire::Page<wire::Asset>, last: i64) -> Result<Vec<&wire::Asset>> {
    let assets: Vec<_> = page.content.iter().filter(|one| one.id > last).collect();
    match assets.is_sorted_by_key(|asset| asset.id) {
        true => Ok(assets),
        false => Err(Error::new(
            Kind::Unexpected,
            "the tenant does not list by ascending id, so nothing can be listed in full",
        )),
    }
}

/// The last id that was listed. The next page begins with it again, because whether a range's bounds belong
/// to it is nobody's promise.
pub(crate) fn walked_to(cursor: Option<&Cursor>) -> Result<i64> {
    let Some(text) = cursor.map(Cursor::as_str) else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        Error::new(
            Kind::CursorReset,
            match text {
                WALKED => "the walk is over; what changed since is found by another walk",
                _ => "the cursor is not one of a walk",
            },
        )
    })
}

pub(crate) fn gone(asset: &Asset) -> Error {
    Error::new(
        Kind::SourceChanged,
        "the version is not there any more, or hidden",
    )
    .with_context("path", &asset.path)
    .with_status(Status::Permanent)
}

/// Appends exactly the range, whether the answer is that range or the whole content. More than that is
/// noticed where nothing may follow.
async fn take(
    mut response: Response,
    asset: &Asset,
    range: &Range<u64>,
    into: &mut Vec<u8>,
) -> Result<()> {
    let mut skip = match response.status {
        StatusCode::PARTIAL_CONTENT => {
            check_content_range(&response, asset, range)?;
            0
        }
        _ => {
            check_skipping(asset, range)?;
            check_length(&response, asset)?;
            range.start
        }
    };
    let ends = response.status == StatusCode::PARTIAL_CONTENT || range.end == asset.size;
    let wanted = range.end - range.start;
    let mut left = wanted;
    while left > 0 || ends {
        let Some(piece) = response.body.next().await else {
            break;
        };
        let mut piece = piece.map_err(|error| broke_off(asset, error))?;
        let skipped = skip.min(piece.len() as u64);
        skip -= skipped;
        // At most the piece's length, which is a usize.
        piece.advance(skipped as usize);
        let taken = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        into.extend_from_slice(&piece[..taken]);
        left -= taken as u64;
        if ends && taken < piece.len() {
            let error = other_bytes(asset, "the download goes on after its end");
            return Err(error.with_context("expected", wanted));
        }
    }
    match left {
        0 => Ok(()),
        _ => Err(Error::new(Kind::Unavailable, "the download ended early")
            .with_context("path", &asset.path)
            .with_context("received", wanted - left)
            .with_context("expected", wanted)),
    }
}

/// A tenant that answers a range with the whole is read to the range and dropped behind it. For a large
/// content that would be most of it for each of its ranges, so there it is a mistake in the profile.
fn check_skipping(asset: &Asset, range: &Range<u64>) -> Result<()> {
    match asset.size <= SKIPPED_BYTES_MAX || *range == (0..asset.size) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Config,
            "the tenant answers ranges with the whole content, though its profile says that it serves them",
        )
        .with_context("path", &asset.path)
        .with_hint("set range = false in the tenant's profile: contents are then read from front to back")),
    }
}

/// An answer of another length than its asset. A version never changes, so something is broken; a rendition may have
/// been made anew meanwhile.
fn other_bytes(asset: &Asset, message: impl Into<String>) -> Error {
    let kind = match Pinned::of(&asset.revision).rendition {
        None => Kind::Integrity,
        Some(_) => Kind::SourceChanged,
    };
    Error::new(kind, message).with_context("path", &asset.path)
}

/// The length that an answer announces, if it does.
pub(crate) fn announced_length(response: &Response) -> Option<u64> {
    let header = response.headers.get(http::header::CONTENT_LENGTH)?;
    header.to_str().ok()?.trim().parse().ok()
}

/// Holds the length that an answer announces, if it does, against the version's: before a byte of it moves.
fn check_length(response: &Response, asset: &Asset) -> Result<()> {
    match announced_length(response) {
        Some(bytes) if bytes != asset.size => {
            let size = asset.size;
            let message = format!("the download has {bytes} bytes, but the version has {size}");
            Err(other_bytes(asset, message))
        }
        _ => Ok(()),
    }
}

fn check_content_range(response: &Response, asset: &Asset, range: &Range<u64>) -> Result<()> {
    let stated = response
        .headers
        .get(http::header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let expected = format!("bytes {}-{}/{}", range.start, range.end - 1, asset.size);
    match stated == expected {
        true => Ok(()),
        false => Err(other_bytes(asset, "another range came than was asked for")
            .with_context("asked", expected)
            .with_context("came", stated)),
    }
}
