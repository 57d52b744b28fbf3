//! Reading from memory: pages of a listing that turn into deltas, and reads of a pinned revision.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::MutexGuard;

use async_trait::async_trait;
use bytes::Bytes;

use super::endpoint::{Disturbance, MemoryEndpoint, Operation};
use super::store::Store;
use crate::asset::{Asset, AssetId, AssetPath, Change, ChangePage, Cursor, Readable};
use crate::digest::{Blake3, ChecksumAlgorithm, ChecksumHasher, ContentHash, Digests};
use crate::error::{Error, Kind, Result, Status};
use crate::ports::{AssetStream, Endpoint, Scope, Source, StampedPage};
use crate::stamp::Stamp;

/// What a cursor says. Its text is `epoch|scope|since|after`, the last part only within a listing.
struct Position {
    /// Where in the log the listing began, or the delta goes on.
    since: u64,
    /// The last key of the listing so far; `None` once the listing is complete.
    after: Option<String>,
}

#[async_trait]
impl Source for MemoryEndpoint {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        let store = self.enter(Operation::Changes)?;
        if !store.is_folder(&scope.root) {
            return Err(Error::new(Kind::NotFound, "the folder is not there")
                .with_context("endpoint", self.name())
                .with_context("path", &scope.root));
        }
        let root = store.key(&scope.root);
        let position = match cursor {
            Some(cursor) => read_cursor(cursor, store.epoch, &root)?,
            None => Position {
                since: store.log_end(),
                after: Some(String::new()),
            },
        };
        match position.after {
            Some(after) => Ok(list(&store, &root, position.since, &after)),
            None => delta(&store, &root, position.since),
        }
    }

    async fn stamped(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<StampedPage> {
        let page = self.changes(scope, cursor).await?;
        let store = self.lock();
        let listed = page.changes.iter();
        let files = listed.filter_map(|change| match change {
            Change::Asset(asset) => store.file(&asset.id),
            Change::Folder(_) | Change::Removed(_) => None,
        });
        let stamped: Vec<_> = files
            .filter_map(|file| Some((file.asset.id.clone(), file.stamp.clone()?, &file.bytes)))
            .collect();
        // Where the listing has hashes, whoever reads it sees for himself.
        let is_touched = |stamp: &Stamp, bytes: &Bytes| {
            !self.capabilities().lists_content_hash && stamp.blake3() != Some(Blake3::of(bytes))
        };
        let touched = stamped.iter();
        let touched = touched.filter(|(_, stamp, bytes)| is_touched(stamp, bytes));
        let touched = touched.map(|(id, _, _)| id.clone()).collect();
        let stamps = stamped.into_iter().map(|(id, stamp, _)| (id, stamp));
        let stamps = stamps.collect();
        drop(store);
        Ok(StampedPage {
            page,
            stamps,
            collections: BTreeMap::new(),
            touched,
        })
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        let store = self.enter(Operation::Stat)?;
        Ok(store.file(asset).map(|file| file.asset.clone()))
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        let store = self.enter(Operation::Tags)?;
        let tags = |asset: &Asset| match store.file(&asset.id) {
            Some(file) if self.capabilities().tags => file.tags.clone(),
            _ => Vec::new(),
        };
        Ok(assets.iter().map(tags).collect())
    }

    async fn digests(&self, assets: &[Asset]) -> Result<Vec<Option<Digests>>> {
        let store = self.enter(Operation::Digests)?;
        let digests = |asset: &Asset| {
            let file = store.file(&asset.id)?;
            let is_same =
                file.asset.revision == asset.revision && file.asset.readable == Readable::Yes;
            is_same.then(|| Digests {
                size: file.asset.size,
                blake3: Blake3::of(&file.bytes),
                content_hash: Some(ContentHash::of(&file.bytes)),
            })
        };
        Ok(assets.iter().map(digests).collect())
    }

    async fn checksums(
        &self,
        assets: &[Asset],
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let store = self.enter(Operation::Digests)?;
        let checksum = |asset: &Asset| {
            let file = store.file(&asset.id)?;
            let is_same = file.asset.revision == asset.revision;
            is_same.then(|| {
                let mut hasher = ChecksumHasher::new(algorithm);
                hasher.update(&file.bytes);
                hasher.finalize()
            })
        };
        Ok(assets.iter().map(checksum).collect())
    }

    /// Of the first byte and the last one, so that tests can make it agree where contents do not.
    async fn fingerprints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        let store = self.enter(Operation::Fingerprints)?;
        let print = |asset: &Asset| {
            let bytes = &store.file(&asset.id)?.bytes;
            let ends = [*bytes.first()?, *bytes.last()?];
            Some(u64::from(u16::from_le_bytes(ends)))
        };
        Ok(assets.iter().map(print).collect())
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let store = self.enter(Operation::Read)?;
        let whole = range.start == 0 && range.end == asset.size;
        if !whole && !self.capabilities().range_reads {
            return Err(Error::new(
                Kind::Unsupported,
                "only whole assets can be read",
            ));
        }
        copy(store, asset, range, into)
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        let store = self.enter(Operation::Open)?;
        if self.capabilities().range_reads {
            return Err(Error::new(Kind::Unsupported, "ranges can be read"));
        }
        drop(store);
        Ok(Box::new(MemoryStream {
            endpoint: self.clone(),
            asset: asset.clone(),
            at: 0,
        }))
    }
}

/// An asset being read from front to back.
#[derive(Debug)]
struct MemoryStream {
    endpoint: MemoryEndpoint,
    asset: Asset,
    at: u64,
}

#[async_trait]
impl AssetStream for MemoryStream {
    async fn next(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        let store = self.endpoint.enter(Operation::Read)?;
        let range = self.at..self.at + bytes;
        copy(store, &self.asset, range, into)?;
        self.at += bytes;
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        if self.at == self.asset.size {
            return Ok(());
        }
        let message = format!("{} of {} bytes were read", self.at, self.asset.size);
        Err(Error::new(Kind::Integrity, message))
    }
}

/// Appends bytes of the revision that `asset` names, after letting happen what a test has planned.
fn copy(
    mut store: MutexGuard<'_, Store>,
    asset: &Asset,
    range: Range<u64>,
    into: &mut Vec<u8>,
) -> Result<()> {
    disturb(&mut store, &asset.id);
    {
        let Some(file) = store.file(&asset.id) else {
            return Err(changed(asset, "vanished"));
        };
        if file.asset.revision != asset.revision {
            return Err(changed(
                asset,
                match file.asset.size.cmp(&asset.size) {
                    std::cmp::Ordering::Less => "shrank",
                    std::cmp::Ordering::Greater => "grew",
                    std::cmp::Ordering::Equal => "changed",
                },
            ));
        }
        if file.asset.readable != Readable::Yes {
            return Err(Error::new(Kind::Restricted, "its bytes may not be read")
                .with_context("path", &asset.path));
        }
        let wanted = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| file.bytes.get(start..end));
        let Some(bytes) = wanted else {
            let message = format!("the range {range:?} is outside of the asset");
            return Err(Error::new(Kind::InvalidInput, message).with_context("path", &asset.path));
        };
        into.extend_from_slice(bytes);
        Ok(())
    }
}

fn list(store: &Store, root: &str, since: u64, after: &str) -> ChangePage {
    let mut entries = store.listing(root, after);
    let complete = entries.len() <= store.page_entries;
    entries.truncate(store.page_entries);
    let after = match entries.last() {
        Some((key, _)) if !complete => Some(key.clone()),
        _ => None,
    };
    ChangePage {
        cursor: write_cursor(store.epoch, root, since, after.as_deref()),
        // What happened while it was listed is told by the log, from where the listing began.
        more: !complete || since < store.log_end(),
        changes: entries.into_iter().map(|(_, change)| change).collect(),
    }
}

fn delta(store: &Store, root: &str, since: u64) -> Result<ChangePage> {
    let Some(log) = store.log_from(since) else {
        return Err(reset("it is older than the log of changes"));
    };
    let mut next = since;
    let mut changes = Vec::new();
    // A page looks at a bounded part of the log, so it may be empty while more waits: callers must
    // loop on `more`.
    for change in log.take(store.page_entries) {
        next += 1;
        if in_scope(store, root, change) {
            changes.push(change.clone());
        }
    }
    Ok(ChangePage {
        changes,
        cursor: write_cursor(store.epoch, root, next, None),
        more: next < store.log_end(),
    })
}

fn in_scope(store: &Store, root: &str, change: &Change) -> bool {
    let path: &AssetPath = match change {
        Change::Asset(asset) => &asset.path,
        Change::Folder(folder) => &folder.path,
        Change::Removed(path) => path,
    };
    let key = store.key(path);
    let below = key
        .strip_prefix(root)
        .is_some_and(|rest| rest.starts_with('/'));
    // When the root or a folder above it was removed, and made again since, all below is gone.
    let above = key == root
        || root
            .strip_prefix(key.as_str())
            .is_some_and(|rest| rest.starts_with('/'));
    below || (above && matches!(change, Change::Removed(_)))
}

fn write_cursor(epoch: u64, root: &str, since: u64, after: Option<&str>) -> Cursor {
    let scope = crate::digest::Blake3::of(root.as_bytes()).to_hex();
    let mut text = format!("{epoch}|{}|{since}", &scope[..16]);
    if let Some(after) = after {
        text.push('|');
        text.push_str(after);
    }
    Cursor::new(text)
}

fn read_cursor(cursor: &Cursor, epoch: u64, root: &str) -> Result<Position> {
    let mut parts = cursor.as_str().splitn(4, '|');
    let stated_epoch = parts.next().and_then(|text| text.parse::<u64>().ok());
    let scope = parts.next();
    let since = parts.next().and_then(|text| text.parse::<u64>().ok());
    let after = parts.next().map(str::to_owned);
    let expected = crate::digest::Blake3::of(root.as_bytes()).to_hex();
    match (stated_epoch, scope, since) {
        (Some(stated), _, Some(_)) if stated != epoch => {
            Err(reset("the endpoint asks to list again"))
        }
        (Some(_), Some(scope), Some(since)) if expected.starts_with(scope) && scope.len() == 16 => {
            Ok(Position { since, after })
        }
        _ => Err(reset("it is not one of this endpoint and scope")),
    }
}

fn reset(why: &str) -> Error {
    Error::new(
        Kind::CursorReset,
        format!("the cursor is no longer valid: {why}"),
    )
}

/// Lets happen what a test has planned for this read.
fn disturb(store: &mut Store, id: &AssetId) {
    let what = match store.disturbances.get_mut(id) {
        None => return,
        Some((0, what)) => *what,
        Some((reads, _)) => {
            *reads -= 1;
            return;
        }
    };
    store.disturbances.remove(id);
    let Some(bytes) = store.file(id).map(|file| file.bytes.clone()) else {
        return;
    };
    let bytes: Bytes = match what {
        Disturbance::Vanish => {
            store.remove_file(id);
            return;
        }
        Disturbance::Change => bytes.iter().map(|byte| !byte).collect(),
        Disturbance::Shrink => bytes.slice(..bytes.len() / 2),
        Disturbance::Grow => bytes.iter().copied().chain([0]).collect(),
    };
    // The file was there a moment ago and the lock is held, so this finds it.
    store.new_version(id, bytes).map(drop).ok();
}

fn changed(asset: &Asset, how: &str) -> Error {
    Error::new(
        Kind::SourceChanged,
        format!("the asset {how} while it was read"),
    )
    .with_context("path", &asset.path)
    .with_status(Status::Permanent)
    .with_hint("the next run plans it again")
}
