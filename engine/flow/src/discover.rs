//! Listing a source completely, page by page, entries applied strictly in order.
//!
//! What needs no decision is not kept, and what does is kept outside of memory once there is much of it: a pass
//! over a million assets holds a page of them, changed or not.

use windlass_core::{
    Asset, AssetPath, Change, ContentHash, Cursor, Ledger, MemorySpool, Result, Scope, Source,
    Spool, SpoolEntry, SpoolOrder,
};

use crate::observe::{Event, Observer};

/// How many assets are kept in memory before they go to the ledger's scratch space: some tens of MiB.
const IN_MEMORY_MAX: usize = 50_000;

/// A listing under way.
///
/// Entries of a listing are states, applied in order: an asset replaces whatever is at its path, and
/// leaves the path where it was before; a removal takes everything below along; a folder replaces a
/// file at its path and keeps its children.
pub(crate) struct Listing<'a> {
    source: &'a dyn Source,
    scope: &'a Scope,
    observer: &'a dyn Observer,
    cursor: Option<Cursor>,
    complete: bool,
    listed: u64,
}

impl<'a> Listing<'a> {
    /// The listing of everything below a scope, before its first page.
    pub(crate) fn new(
        source: &'a dyn Source,
        scope: &'a Scope,
        observer: &'a dyn Observer,
    ) -> Self {
        Listing {
            source,
            scope,
            observer,
            cursor: None,
            complete: false,
            listed: 0,
        }
    }

    /// Reads pages until they hold `assets` assets or the listing is complete; what they say, in order. `None` once
    /// everything was read.
    pub(crate) async fn changes(&mut self, assets: usize) -> Result<Option<Vec<Change>>> {
        if self.complete {
            return Ok(None);
        }
        let mut changes = Vec::new();
        let mut fresh = 0;
        while !self.complete && fresh < assets {
            let page = self
                .source
                .changes(self.scope, self.cursor.as_ref())
                .await?;
            let is_asset = |change: &&Change| matches!(change, Change::Asset(_));
            fresh += page.changes.iter().filter(is_asset).count();
            self.listed += page.changes.iter().filter(is_asset).count() as u64;
            changes.extend(page.changes);
            self.observer.observe(Event::Listed {
                assets: self.listed,
            });
            self.cursor = Some(page.cursor);
            self.complete = !page.more;
        }
        Ok(Some(changes))
    }
}

/// What a listing showed and somebody must decide about.
pub(crate) struct Kept<'a> {
    ledger: &'a dyn Ledger,
    /// Whether the source takes spellings that differ in case or normal form for one name.
    folds: bool,
    store: Store,
    in_memory_max: usize,
}

enum Store {
    Memory(MemorySpool),
    Spool(Box<dyn Spool>),
}

impl<'a> Kept<'a> {
    /// Nothing yet. `folds` says whether the source takes spellings that differ in case or normal form for one name.
    pub(crate) fn new(ledger: &'a dyn Ledger, folds: bool) -> Self {
        Kept {
            ledger,
            folds,
            store: Store::Memory(MemorySpool::default()),
            in_memory_max: IN_MEMORY_MAX,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_in_memory_max(mut self, max: usize) -> Self {
        self.in_memory_max = max;
        self
    }

    /// Applies what a page says. `keep` is asked about each asset in order; what it does not want is not kept, and
    /// neither is an older state of it.
    pub(crate) async fn apply(
        &mut self,
        changes: Vec<Change>,
        mut keep: impl FnMut(&Asset) -> bool + Send,
    ) -> Result<()> {
        let mut entries = Vec::with_capacity(changes.len());
        for change in changes {
            entries.push(match change {
                Change::Asset(asset) => {
                    let key = self.key(&asset.path);
                    match keep(&asset) {
                        true => SpoolEntry::Put { key, asset },
                        false => SpoolEntry::Drop { key, id: asset.id },
                    }
                }
                Change::Folder(folder) => SpoolEntry::Clear(self.key(&folder.path)),
                Change::Removed(path) => SpoolEntry::ClearTree(self.key(&path)),
            });
        }
        match &mut self.store {
            Store::Spool(spool) => return spool.apply(entries).await,
            Store::Memory(memory) => {
                entries
                    .into_iter()
                    .for_each(|entry| memory.apply_one(entry));
                if memory.count() <= self.in_memory_max {
                    return Ok(());
                }
            }
        }
        self.spill().await
    }

    /// Moves what is in memory to the scratch space.
    async fn spill(&mut self) -> Result<()> {
        let mut spool = self.ledger.spool().await?;
        if let Store::Memory(memory) = &mut self.store {
            spool
                .apply(std::mem::take(memory).into_entries().collect())
                .await?;
        }
        self.store = Store::Spool(spool);
        Ok(())
    }

    fn key(&self, path: &AssetPath) -> String {
        key(path, self.folds)
    }

    /// What is kept, in order, once the listing is complete.
    pub(crate) async fn into_sorted(self) -> Result<Sorted> {
        let mut spool: Box<dyn Spool> = match self.store {
            Store::Memory(memory) => Box::new(memory),
            Store::Spool(spool) => spool,
        };
        Ok(Sorted {
            len: spool.kept().await?,
            spool,
            after: None,
            folds: self.folds,
        })
    }
}

fn key(path: &AssetPath, folds: bool) -> String {
    match folds {
        true => path.key(),
        false => path.as_str().to_owned(),
    }
}

/// Whether a file is an XMP file, which states something about the file that it is called like.
pub(crate) fn is_sidecar(path: &AssetPath) -> bool {
    path.extension() == "xmp"
}

/// What XMP files beside an asset may be called, the most certain first.
fn sidecars_of(path: &AssetPath) -> Vec<AssetPath> {
    let text = path.as_str();
    let name_at = text.len() - path.name().len();
    let stem = text[name_at..]
        .rfind('.')
        .filter(|at| *at > 0)
        .map(|at| &text[..name_at + at]);
    let named = std::iter::once(text).chain(stem);
    named
        .flat_map(|text| [format!("{text}.xmp"), format!("{text}.XMP")])
        .map(|text| AssetPath::new(&text))
        .collect()
}

/// Assets in the order of folded paths.
pub(crate) struct Sorted {
    spool: Box<dyn Spool>,
    after: Option<SpoolOrder>,
    len: u64,
    folds: bool,
}

impl Sorted {
    /// The XMP file beside each asset, in the same order: `a.jpg.xmp` before `a.xmp`, which may be about `a.mov` as well.
    pub(crate) async fn sidecars(
        &mut self,
        assets: impl Iterator<Item = &Asset>,
    ) -> Result<Vec<Option<Asset>>> {
        let names: Vec<Vec<String>> = assets
            .map(|asset| sidecars_of(&asset.path))
            .map(|names| names.iter().map(|name| key(name, self.folds)).collect())
            .collect();
        let all: Vec<String> = names.iter().flatten().cloned().collect();
        let mut found = self.spool.get(&all).await?.into_iter();
        let each = names.iter().map(|names| {
            let of_one: Vec<_> = found.by_ref().take(names.len()).collect();
            of_one.into_iter().flatten().next()
        });
        Ok(each.collect())
    }

    /// How many there are in all.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Begins again with the first.
    pub(crate) fn rewind(&mut self) {
        self.after = None;
    }

    /// Whether each content was named before; all are remembered.
    pub(crate) async fn seen(&mut self, contents: &[ContentHash]) -> Result<Vec<bool>> {
        self.spool.seen(contents).await
    }

    /// About `assets` of the next ones; none at the end. Assets whose paths differ only in case or normal form
    /// always come together.
    pub(crate) async fn next(&mut self, assets: usize) -> Result<Vec<Asset>> {
        let mut want = assets.max(2);
        loop {
            let mut page = self.spool.page(self.after.as_ref(), want).await?;
            let is_last = page.len() < want;
            if !is_last {
                // The last group may go on behind this page.
                let last = page.last().map(|asset| asset.path.key());
                let whole = page
                    .iter()
                    .rposition(|asset| Some(asset.path.key()) != last)
                    .map_or(0, |at| at + 1);
                page.truncate(whole);
            }
            if let Some(asset) = page.last() {
                self.after = Some(SpoolOrder::of(asset));
            }
            if is_last || !page.is_empty() {
                return Ok(page);
            }
            // One group fills it all.
            want *= 2;
        }
    }
}
