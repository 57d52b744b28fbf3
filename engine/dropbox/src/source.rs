//! Reading: listings by cursor, lookups by id, and ranges of a pinned revision.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use http::HeaderMap;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, Calls, Change, ChangePage, Cursor, Error, Folder, Kind,
    Load, Result, Scope, Source, StampedPage, Status, Waited,
};
use windlass_http::{Response, SendError};

use crate::endpoint::{DropboxEndpoint, asset, wire_path};
use crate::errors::{Failure, LookupError, PathError};
use crate::stamps::stamp_of;
use crate::wire::{FileMetadata, ListFolderResult, Metadata};

/// How many paths one call asks the tags of. The service names no limit; this keeps arguments small.
const TAG_PATHS: usize = 100;

/// The shortest and the longest wait for changes that Dropbox takes.
const WAIT_MIN: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(480);

/// How often a range is asked for again without any of it arriving.
const FRUITLESS_READS: u32 = 5;

/// How often a range is asked for again in all: a line that breaks this often is no line.
const BROKEN_READS: u32 = 100;

/// The wait before a range is asked for again; it doubles with every fruitless time.
const READ_AGAIN: Duration = Duration::from_millis(250);

#[async_trait]
impl Source for DropboxEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let page = match cursor {
            None => {
                let listed = self.api.list_folder(&wire_path(&scope.root)).await;
                listed.map_err(Error::from)
            }
            Some(cursor) => {
                let listed = self.api.list_folder_continue(cursor.as_str()).await;
                listed.map_err(Error::from)
            }
        };
        page.map(|page| change_page(page, scope))
            .map_err(|error| error.with_context("scope", &scope.root))
    }

    async fn stamped(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<StampedPage> {
        let page = match cursor {
            None => {
                let (path, templates) = (wire_path(&scope.root), self.stamps.templates().await?);
                let listed = match templates.is_empty() {
                    true => self.api.list_folder(&path).await,
                    false => self.api.list_folder_with(&path, &templates).await,
                };
                listed.map_err(Error::from)
            }
            // The first page said what is shown.
            Some(cursor) => {
                let listed = self.api.list_folder_continue(cursor.as_str()).await;
                listed.map_err(Error::from)
            }
        };
        let page = page.map_err(|error| error.with_context("scope", &scope.root))?;
        let stamp = |entry: &Metadata| match entry {
            Metadata::File(file) => {
                let stamp = stamp_of(&file.property_groups)?;
                Some((AssetId::new(file.id.as_str()), stamp))
            }
            _ => None,
        };
        Ok(StampedPage {
            stamps: page.entries.iter().filter_map(stamp).collect(),
            page: change_page(page, scope),
            collections: BTreeMap::new(),
            touched: BTreeSet::new(),
        })
    }

    async fn latest(&self, scope: &Scope) -> Result<Cursor> {
        let path = wire_path(&scope.root);
        let latest = self.api.latest_cursor(&path).await.map_err(Error::from);
        latest
            .map(|latest| Cursor::new(latest.cursor))
            .map_err(|error| error.with_context("scope", &scope.root))
    }

    /// Dropbox waits from 30 s to 480 s, and up to 90 s more so that not all ask again at once.
    async fn wait(&self, scope: &Scope, cursor: &Cursor, longest: Duration) -> Result<Waited> {
        let longest = longest.clamp(WAIT_MIN, WAIT_MAX);
        let waited = self.api.longpoll(cursor.as_str(), longest).await;
        waited
            .map(|answer| Waited {
                changed: answer.changes,
                stay_away: answer.backoff.map(Duration::from_secs),
            })
            .map_err(|failure| Error::from(failure).with_context("scope", &scope.root))
    }

    async fn stat(&self, id: &AssetId) -> Result<Option<Asset>> {
        match self.api.metadata(id.as_str()).await {
            Ok(Metadata::File(file)) => Ok(asset(file)),
            Ok(_) | Err(Failure::Route(PathError::Path(LookupError::NotFound), _)) => Ok(None),
            Err(other) => Err(Error::from(other).with_context("asset", id)),
        }
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        let mut known = HashMap::new();
        for batch in assets.chunks(TAG_PATHS) {
            self.tags_of(batch, &mut known).await?;
        }
        let of = |asset: &Asset| known.get(&asset.path.key()).cloned().unwrap_or_default();
        Ok(assets.iter().map(of).collect())
    }

    fn calls_to_read(&self, load: &Load) -> Calls {
        self.calls_to_read_load(load)
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        if range.start > range.end || range.end > asset.size {
            return Err(
                Error::new(Kind::InvalidInput, "the range lies outside the file")
                    .with_context("path", &asset.path)
                    .with_context("range", format!("{}..{}", range.start, range.end))
                    .with_context("size", asset.size),
            );
        }
        // One allocation for all of it; pieces are copied from the network's buffers into place.
        into.reserve(usize::try_from(range.end - range.start).unwrap_or(0));
        let mut left = range;
        let (mut fruitless, mut broken_reads) = (0, 0);
        let mut first_cause = None;
        // An empty range is never asked for: the service has no answer to it.
        while !left.is_empty() {
            let before = left.start;
            let broken = match self.read_once(asset, &mut left, into).await {
                Ok(()) => continue,
                Err(Stop::Now(error)) => return Err(error.with_context("path", &asset.path)),
                Err(Stop::Broken(cause)) => cause,
            };
            fruitless = if left.start > before {
                1
            } else {
                fruitless + 1
            };
            broken_reads += 1;
            tracing::debug!(path = %asset.path, at = left.start, %broken, "reading on");
            let first = first_cause.get_or_insert(broken);
            if fruitless >= FRUITLESS_READS || broken_reads >= BROKEN_READS {
                return Err(
                    Error::new(Kind::Unavailable, format!("reading broke off: {first}"))
                        .with_context("path", &asset.path)
                        .with_context("at", left.start)
                        .with_context("tries", broken_reads)
                        .persistent(),
                );
            }
            tokio::time::sleep(READ_AGAIN * (1 << (fruitless - 1))).await;
        }
        Ok(())
    }

    async fn open(&self, _asset: &Asset) -> Result<Box<dyn AssetStream>> {
        Err(Error::new(
            Kind::Unsupported,
            "files in Dropbox are read by ranges",
        ))
    }
}

/// Why a read did not reach its end.
enum Stop {
    /// Asking again would not help.
    Now(Error),
    /// The rest can be asked for again.
    Broken(String),
}

impl From<SendError> for Stop {
    fn from(error: SendError) -> Self {
        Stop::Broken(error.to_string())
    }
}

impl DropboxEndpoint {
    /// Asks for what is left and takes what comes, moving the start of `left` along.
    async fn read_once(
        &self,
        asset: &Asset,
        left: &mut Range<u64>,
        into: &mut Vec<u8>,
    ) -> std::result::Result<(), Stop> {
        // The revision, not the path: bytes of two revisions never mix.
        let pinned = format!("rev:{}", asset.revision);
        let downloaded = self.api.download(&pinned, Some(left)).await;
        let mut response = downloaded.map_err(|failure| Stop::Now(failure.into()))?;
        verify(&response, asset, left)?;
        while let Some(piece) = response.body.next().await {
            let piece = piece?;
            if piece.len() as u64 > left.end - left.start {
                return Err(Stop::Now(Error::new(
                    Kind::Integrity,
                    "Dropbox sent more bytes than were asked for",
                )));
            }
            into.extend_from_slice(&piece);
            left.start += piece.len() as u64;
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(Stop::Broken(format!(
                "the answer ended {} bytes early",
                left.end - left.start
            ))),
        }
    }

    /// Collects the tags of a batch under the keys of their paths. One path that is gone fails the whole
    /// call, so a refused batch is halved until only that path is left out.
    async fn tags_of(
        &self,
        assets: &[Asset],
        known: &mut HashMap<String, Vec<String>>,
    ) -> Result<()> {
        let mut waiting = vec![assets];
        while let Some(batch) = waiting.pop() {
            let paths = batch.iter().map(|asset| asset.path.as_str()).collect();
            match self.api.tags(paths).await {
                Ok(result) => {
                    for entry in result.paths_to_tags {
                        let tags = entry.tags.into_iter().filter_map(crate::wire::Tag::text);
                        known.insert(
                            AssetPath::new(&entry.path).key(),
                            tags.map(|text| text.to_lowercase()).collect(),
                        );
                    }
                }
                Err(Failure::Route(PathError::Path(reason), _)) if batch.len() == 1 => {
                    tracing::debug!(path = %batch[0].path, %reason, "no tags: it cannot be looked up");
                }
                Err(Failure::Route(PathError::Path(_), _)) => {
                    let (one, other) = batch.split_at(batch.len() / 2);
                    waiting.extend([one, other]);
                }
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }
}

/// Compares an answer with what was asked for: the very range, of the very revision.
fn verify(response: &Response, asset: &Asset, asked: &Range<u64>) -> std::result::Result<(), Stop> {
    let expected = format!("bytes {}-{}/{}", asked.start, asked.end - 1, asset.size);
    let given = response
        .headers
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("none");
    let Some(file) = described(&response.headers) else {
        return Err(Stop::Broken(
            "the answer does not say which file it is".to_owned(),
        ));
    };
    if file.rev != asset.revision.as_str() || file.size != asset.size {
        return Err(Stop::Now(
            Error::new(
                Kind::SourceChanged,
                "Dropbox sent another revision than was asked for",
            )
            .with_context("asked", &asset.revision)
            .with_context("got", file.rev)
            .with_status(Status::Permanent)
            .with_hint("the next run plans the file again"),
        ));
    }
    match response.status == StatusCode::PARTIAL_CONTENT && given == expected {
        true => Ok(()),
        false => Err(Stop::Broken(format!(
            "asked for {expected}, got status {} with {given}",
            response.status.as_u16()
        ))),
    }
}

/// The file that the answer's bytes belong to, as its header says.
fn described(headers: &HeaderMap) -> Option<FileMetadata> {
    let text = headers.get("dropbox-api-result")?;
    serde_json::from_slice(text.as_bytes()).ok()
}

fn change_page(page: ListFolderResult, scope: &Scope) -> ChangePage {
    let top = scope.root.key();
    let changes = page.entries.into_iter().filter_map(change);
    ChangePage {
        // A listing of a folder names the folder itself, which nobody asked about.
        changes: changes
            .filter(|change| !matches!(change, Change::Folder(folder) if folder.path.key() == top))
            .collect(),
        cursor: Cursor::new(page.cursor),
        more: page.has_more,
    }
}

/// One entry. Those without a path are mounted nowhere and cannot be placed.
fn change(entry: Metadata) -> Option<Change> {
    match entry {
        Metadata::File(file) => {
            let id = file.id.clone();
            let found = asset(file);
            if found.is_none() {
                tracing::warn!(id, "left out: the file has no path in this account");
            }
            found.map(Change::Asset)
        }
        Metadata::Folder(folder) => Some(Change::Folder(Folder {
            id: AssetId::new(folder.id),
            path: AssetPath::new(&folder.path_display.or(folder.path_lower)?),
        })),
        Metadata::Deleted(gone) => {
            let path = gone.path_display.or(gone.path_lower)?;
            Some(Change::Removed(AssetPath::new(&path)))
        }
        Metadata::Other => {
            tracing::warn!("left out: a kind of entry that this version does not know");
            None
        }
    }
}
