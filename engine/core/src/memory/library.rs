//! A system of record in memory: a [`MemoryEndpoint`] with what is governed about its assets.
//!
//! Its lists can be told to lag behind, as a search index does; asking for an asset by id is always true.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::endpoint::{MemoryEndpoint, Operation};
use crate::asset::{Asset, AssetId, AssetPath, ChangePage, Cursor, Revision};
use crate::error::{Error, Kind, Result, Status};
use crate::library::{
    ChangedPage, Holding, HoldingsPage, Library, Query, Related, Rendition, Retirement, Usable,
    Usage,
};
use crate::metadata::{Availability, Value};
use crate::ports::{AssetStream, Capabilities, CheckItem, Endpoint, HeldBack, Scope, Source};
use crate::stated::{Origin, Statement};

/// How many holdings a page has: few, so that paging happens.
const PAGE: usize = 50;

/// When the library's clock starts, in seconds since 1970. It goes on by a second with every change.
const START_S: i64 = 1_790_000_000;

/// What is governed about one asset.
#[derive(Clone, Debug)]
struct Card {
    asset_type: Option<String>,
    usable: Usable,
    fields: BTreeMap<String, Value>,
    locked: Option<String>,
    is_hidden: bool,
    unlinked: BTreeSet<AssetPath>,
    /// Further collections that people put it into.
    more: BTreeSet<AssetPath>,
    older: Vec<Asset>,
    /// What the file was when somebody looked last: another one has changed since.
    seen: Option<(Revision, AssetPath)>,
    changed: Option<Timestamp>,
}

impl Default for Card {
    fn default() -> Self {
        Card {
            asset_type: None,
            usable: Usable::Stated(Availability::Direct { available: true }),
            fields: BTreeMap::new(),
            locked: None,
            is_hidden: false,
            unlinked: BTreeSet::new(),
            more: BTreeSet::new(),
            older: Vec::new(),
            seen: None,
            changed: None,
        }
    }
}

#[derive(Debug, Default)]
struct Shelf {
    cards: BTreeMap<AssetId, Card>,
    relations: BTreeSet<(AssetId, String, AssetId)>,
    usages: BTreeMap<(AssetId, String), String>,
    renditions: BTreeSet<String>,
    unrenderable: BTreeSet<AssetId>,
    unknown_fields: BTreeSet<String>,
    /// What lists say while they lag behind.
    stale: Option<Vec<Holding>>,
    /// Who waits for a page of a list; `None` where pages come at once.
    waiting: Option<Vec<Waker>>,
    /// How the next page of a list fails.
    failing: Option<Kind>,
    /// How many changes there were.
    ticks: i64,
}

impl Shelf {
    /// The moment of the latest change.
    fn now(&self) -> Timestamp {
        Timestamp::from_second(START_S + self.ticks).unwrap_or(Timestamp::MAX)
    }

    /// The moment of a change: a second after the one before.
    fn tick(&mut self) -> Timestamp {
        self.ticks += 1;
        self.now()
    }
}

/// A [`Library`] in memory. Clones share it. An asset may be used unless a test says otherwise.
#[derive(Clone, Debug)]
pub struct MemoryLibrary {
    endpoint: MemoryEndpoint,
    shelf: Arc<Mutex<Shelf>>,
}

impl MemoryLibrary {
    /// Governs what an endpoint holds.
    pub fn new(endpoint: MemoryEndpoint) -> Self {
        MemoryLibrary {
            endpoint,
            shelf: Arc::default(),
        }
    }

    /// Where its files are.
    pub fn endpoint(&self) -> &MemoryEndpoint {
        &self.endpoint
    }

    /// Puts bytes at a path: a new asset, or a new version of the one that is there.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<AssetId> {
        let before = self.endpoint.asset_at(path);
        let asset = self.endpoint.put(path, bytes)?;
        if let Some(before) = before {
            self.with(&asset.id, |card| card.older.insert(0, before));
        }
        Ok(asset.id)
    }

    /// Sets a field.
    pub fn set_field(&self, asset: &AssetId, field: &str, value: Value) {
        self.with(asset, |card| card.fields.insert(field.to_owned(), value));
    }

    /// Empties a field.
    pub fn clear_field(&self, asset: &AssetId, field: &str) {
        self.with(asset, |card| card.fields.remove(field));
    }

    /// Says whether it may be used.
    pub fn set_usable(&self, asset: &AssetId, usable: Usable) {
        self.with(asset, |card| card.usable = usable);
    }

    /// Sets its type.
    pub fn set_type(&self, asset: &AssetId, name: &str) {
        self.with(asset, |card| card.asset_type = Some(name.to_owned()));
    }

    /// Locks it with a comment, or unlocks it.
    pub fn lock_asset(&self, asset: &AssetId, comment: Option<&str>) {
        self.with(asset, |card| card.locked = comment.map(str::to_owned));
    }

    /// Hides it from this credential, or shows it again.
    pub fn hide(&self, asset: &AssetId, is_hidden: bool) {
        self.with(asset, |card| card.is_hidden = is_hidden);
    }

    /// Puts it into a further collection.
    pub fn put_into(&self, asset: &AssetId, collection: &str) {
        let collection = AssetPath::new(collection);
        self.with(asset, |card| card.more.insert(collection));
    }

    /// Relates two assets.
    pub fn relate(&self, from: &AssetId, kind: &str, to: &AssetId) {
        let relation = (from.clone(), kind.to_owned(), to.clone());
        self.lock().relations.insert(relation);
    }

    /// Can make a rendition of this name: the asset's bytes behind its name.
    pub fn offer(&self, rendition: &str) {
        self.lock().renditions.insert(rendition.to_owned());
    }

    /// Cannot make renditions of an asset.
    pub fn break_renditions(&self, asset: &AssetId) {
        self.lock().unrenderable.insert(asset.clone());
    }

    /// Has no field of this name.
    pub fn lack_field(&self, field: &str) {
        self.lock().unknown_fields.insert(field.to_owned());
    }

    /// The moment of the latest change that this library knows of.
    pub fn now(&self) -> Timestamp {
        self.lock().now()
    }

    /// Where copies of an asset are, by instance.
    pub fn usages(&self, asset: &AssetId) -> BTreeMap<String, String> {
        let shelf = self.lock();
        let of = shelf.usages.iter().filter(|((of, _), _)| of == asset);
        of.map(|((_, instance), url)| (instance.clone(), url.clone()))
            .collect()
    }

    /// From now on lists say what is so at this moment, until they are told to catch up.
    pub fn let_lists_lag(&self) {
        let now = self.all();
        self.lock().stale = Some(now);
    }

    /// No further page of a list of everything comes until [`MemoryLibrary::resume_lists`]. What changed is told.
    pub fn stop_lists(&self) {
        self.lock().waiting.get_or_insert_default();
    }

    /// The next page of a list of everything fails.
    pub fn fail_list(&self, kind: Kind) {
        self.lock().failing = Some(kind);
    }

    /// Pages come again.
    pub fn resume_lists(&self) {
        let waiting = self.lock().waiting.take();
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// Lists are true again.
    pub fn catch_up(&self) {
        self.lock().stale = None;
    }

    fn page(&self, query: &Query, cursor: Option<&Cursor>) -> HoldingsPage {
        let stale = self.lock().stale.clone();
        let all = stale.unwrap_or_else(|| self.all());
        let inside = Query {
            collection: query.collection.clone(),
            ..Query::default()
        };
        let held = all.into_iter().filter(|held| {
            let is_after = cursor.is_none_or(|after| held.asset.id.as_str() > after.as_str());
            is_after && inside.objection(held).is_none()
        });
        let mut holdings: Vec<Holding> = held.take(PAGE + 1).collect();
        let is_more = holdings.len() > PAGE;
        holdings.truncate(PAGE);
        let last = holdings.last().filter(|_| is_more);
        HoldingsPage {
            next: last.map(|last| Cursor::new(last.asset.id.as_str())),
            holdings,
        }
    }

    fn with<T>(&self, asset: &AssetId, change: impl FnOnce(&mut Card) -> T) -> T {
        let mut shelf = self.lock();
        let now = shelf.tick();
        let card = shelf.cards.entry(asset.clone()).or_default();
        card.changed = Some(now);
        change(card)
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn card(&self, asset: &AssetId) -> Card {
        self.lock().cards.get(asset).cloned().unwrap_or_default()
    }

    /// The card of an asset as it is now. Another revision or another place than the last time is a change.
    fn dated(&self, asset: &Asset) -> Card {
        let is = (asset.revision.clone(), asset.path.clone());
        let known = self.card(&asset.id).seen;
        if known.as_ref() != Some(&is) {
            self.with(&asset.id, |card| card.seen = Some(is));
        }
        self.card(&asset.id)
    }

    fn holding(&self, asset: Asset) -> Option<Holding> {
        let card = self.dated(&asset);
        if card.is_hidden {
            return None;
        }
        let mut collections = vec![asset.path.parent()];
        collections.extend(self.endpoint.links(&asset.id));
        collections.extend(card.more);
        collections.retain(|collection| !card.unlinked.contains(collection));
        let stem = asset.path.name().rsplit_once('.');
        let statements = card.fields.into_iter().map(|(name, value)| Statement {
            origin: Origin::Source,
            name,
            value,
        });
        Some(Holding {
            title: stem.map_or(asset.path.name(), |(stem, _)| stem).to_owned(),
            asset_type: card.asset_type,
            usable: card.usable,
            collections,
            statements: statements.collect(),
            findings: Vec::new(),
            locked: card.locked,
            is_released: true,
            has_file: true,
            asset,
            changed: card.changed,
        })
    }

    fn all(&self) -> Vec<Holding> {
        let mut assets = self.endpoint.assets();
        assets.sort_by(|a, b| a.id.cmp(&b.id));
        let held = assets.into_iter().filter_map(|asset| self.holding(asset));
        held.collect()
    }
}

#[async_trait]
impl Endpoint for MemoryLibrary {
    fn name(&self) -> &str {
        self.endpoint.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.endpoint.capabilities()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.endpoint.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        None
    }
}

/// The rendition that a revision names, behind the revision that it was made of.
fn split(revision: &Revision) -> Option<(Revision, &str)> {
    let (of, rendition) = revision.as_str().split_once('+')?;
    Some((Revision::new(of), rendition))
}

#[async_trait]
impl Source for MemoryLibrary {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        self.endpoint.changes(scope, cursor).await
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        match self.card(asset).is_hidden {
            true => Ok(None),
            false => self.endpoint.stat(asset).await,
        }
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        self.endpoint.tags(assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let older = self.card(&asset.id).older;
        if older.iter().any(|old| old.revision == asset.revision) {
            return Err(Error::new(
                Kind::Unsupported,
                "memory keeps no bytes of older versions",
            ));
        }
        let Some((revision, rendition)) = split(&asset.revision) else {
            return self.endpoint.read(asset, range, into).await;
        };
        let original = Asset {
            revision,
            size: asset.size - rendition.len() as u64,
            ..asset.clone()
        };
        let mut bytes = rendition.as_bytes().to_vec();
        let whole = 0..original.size;
        self.endpoint.read(&original, whole, &mut bytes).await?;
        let wanted = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok());
        let wanted = wanted.and_then(|(start, end)| bytes.get(start..end));
        into.extend_from_slice(wanted.ok_or_else(|| {
            Error::new(Kind::InvalidInput, "the range is outside of the rendition")
        })?);
        Ok(())
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.endpoint.open(asset).await
    }
}

#[async_trait]
impl Library for MemoryLibrary {
    async fn holdings(&self, query: &Query, cursor: Option<&Cursor>) -> Result<HoldingsPage> {
        poll_fn(|context| match &mut self.lock().waiting {
            Some(waiting) => {
                waiting.push(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
        let failing = self.lock().failing.take();
        match failing {
            Some(kind) => Err(Error::new(kind, "a list failed on request")),
            None => Ok(self.page(query, cursor)),
        }
    }

    async fn changed(
        &self,
        query: &Query,
        since: Timestamp,
        cursor: Option<&Cursor>,
    ) -> Result<ChangedPage> {
        let page = self.page(query, cursor);
        let is_new = |held: &Holding| held.changed.is_none_or(|changed| changed >= since);
        Ok(ChangedPage {
            holdings: page.holdings.into_iter().filter(is_new).collect(),
            next: page.next,
        })
    }

    async fn check_fields(&self, _asset_types: &[String], fields: &[String]) -> Result<()> {
        let shelf = self.lock();
        match fields
            .iter()
            .find(|field| shelf.unknown_fields.contains(*field))
        {
            None => Ok(()),
            Some(field) => Err(Error::new(
                Kind::InvalidInput,
                format!("there is no field {field:?}"),
            )),
        }
    }

    async fn consult(&self, assets: &[AssetId]) -> Result<Vec<Option<Holding>>> {
        let mut held = Vec::with_capacity(assets.len());
        for asset in assets {
            let asset = self.endpoint.stat(asset).await?;
            held.push(asset.and_then(|asset| self.holding(asset)));
        }
        Ok(held)
    }

    async fn renditions(&self) -> Result<Vec<Rendition>> {
        let shelf = self.lock();
        let named = shelf.renditions.iter().map(|name| Rendition {
            name: name.clone(),
            label: name.clone(),
        });
        Ok(named.collect())
    }

    async fn render(&self, asset: &Asset, rendition: &str) -> Result<Asset> {
        {
            let shelf = self.lock();
            if !shelf.renditions.contains(rendition) {
                let message = format!("there is no rendition {rendition:?}");
                return Err(Error::new(Kind::NotFound, message));
            }
            if shelf.unrenderable.contains(&asset.id) {
                let message = format!("no {rendition} can be made of it");
                return Err(Error::new(Kind::InvalidInput, message));
            }
        }
        let of = split(&asset.revision).map_or(asset.revision.clone(), |(of, _)| of);
        let now = self.endpoint.stat(&asset.id).await?;
        let Some(now) = now.filter(|now| now.revision == of) else {
            return Err(Error::new(Kind::SourceChanged, "the version is gone")
                .with_status(Status::Permanent));
        };
        Ok(Asset {
            revision: Revision::new(format!("{of}+{rendition}")),
            size: now.size + rendition.len() as u64,
            content_hash: None,
            ..now
        })
    }

    async fn related(&self, asset: &AssetId) -> Result<Vec<Related>> {
        let shelf = self.lock();
        let relations = shelf.relations.iter().filter_map(|(from, kind, to)| {
            let (other, is_outgoing) = match (from == asset, to == asset) {
                (true, _) => (to, true),
                (_, true) => (from, false),
                _ => return None,
            };
            Some(Related {
                asset: other.clone(),
                kind: kind.clone(),
                is_outgoing,
            })
        });
        Ok(relations.collect())
    }

    async fn versions(&self, asset: &AssetId) -> Result<Vec<Asset>> {
        let Some(now) = self.endpoint.stat(asset).await? else {
            return Err(Error::new(Kind::NotFound, "the asset is not there"));
        };
        let mut versions = vec![now];
        versions.extend(self.card(asset).older);
        Ok(versions)
    }

    async fn note_usage(&self, asset: &AssetId, usage: &Usage) -> Result<()> {
        let key = (asset.clone(), usage.instance.clone());
        self.lock().usages.insert(key, usage.url.clone());
        Ok(())
    }

    async fn forget_usage(&self, asset: &AssetId, instance: &str) -> Result<()> {
        self.lock()
            .usages
            .remove(&(asset.clone(), instance.to_owned()));
        Ok(())
    }

    async fn retire(&self, asset: &AssetId, how: &Retirement) -> Result<bool> {
        drop(self.endpoint.enter(Operation::Retire)?);
        let Some(held) = self.consult(std::slice::from_ref(asset)).await?.remove(0) else {
            return Ok(true);
        };
        match how {
            Retirement::Unavailable => {
                let off = Availability::Direct { available: false };
                self.set_usable(asset, Usable::Stated(off));
            }
            Retirement::Unlink(collection) => {
                let is_elsewhere = held.collections.iter().any(|other| other != collection);
                if !is_elsewhere {
                    return Ok(false);
                }
                self.with(asset, |card| card.unlinked.insert(collection.clone()));
            }
            Retirement::Delete => {
                self.endpoint.delete(held.asset.path.as_str());
            }
        }
        drop(self.endpoint.enter(Operation::RetireAnswer)?);
        Ok(true)
    }
}
