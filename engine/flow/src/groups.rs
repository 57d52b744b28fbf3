//! What a source has twice: asked before a migration, so that people know what need not move.
//!
//! Files of one content come together because scratch space is ordered by paths, and they are put there under their
//! hash. So a million files are grouped in the memory of one page.

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{
    Asset, AssetId, AssetPath, Calls, ContentHash, Load, Placement, Readable, Result, Scope, Spool,
    SpoolEntry, SpoolOrder,
};
use windlass_transfer::Engine;

use crate::discover::{Kept, Listing};
use crate::duplicates::Hashing;
use crate::flows::ingest::Ingest;
use crate::forecast::add_content;
use crate::observe::Event;
use crate::select::Selector;

/// How many files of one content are named; the rest is counted.
const PATHS_MAX: usize = 1_000;

/// How many files are looked at at once.
const PAGE: usize = 2_048;

/// Files that have the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DuplicateGroup {
    /// The hash of the bytes.
    pub content_hash: ContentHash,
    /// How many bytes each has.
    pub size: u64,
    /// How many there are, at least 2, or 1 where the sink has the content.
    pub files: u64,
    /// The first of them, by path.
    pub paths: Vec<AssetPath>,
    /// What the sink has of the content already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_sink: Option<AssetId>,
}

impl DuplicateGroup {
    /// How many files need not move.
    pub fn spare(&self) -> u64 {
        match self.at_sink {
            Some(_) => self.files,
            None => self.files - 1,
        }
    }

    /// Their bytes.
    pub fn spare_bytes(&self) -> u64 {
        self.spare() * self.size
    }
}

/// What all groups come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DuplicateSums {
    /// Files that the flow takes and has not placed as they are; without empty ones.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files among them that could not be compared: changed or unreadable while they were hashed, or their bytes may
    /// not be read.
    pub not_compared: u64,
    /// How many contents there are more than once, or at the sink already.
    pub groups: u64,
    /// Files whose bytes need not move.
    pub spare_files: u64,
    /// Their bytes.
    pub spare_bytes: u64,
    /// Calls that are saved at both sides where they are copied or linked instead.
    pub spare_calls: u64,
}

/// Takes groups as they are found.
#[async_trait]
pub trait GroupWriter: Send {
    /// Takes one more, in no particular order.
    async fn group(&mut self, group: DuplicateGroup) -> Result<()>;
}

impl Ingest {
    /// Finds files of the flow that have the same bytes as others, or as what the sink has of any flow. Writes nothing
    /// anywhere. `engine` tells how files would be cut, for the calls that are saved.
    pub async fn find_duplicates(
        &self,
        engine: &Engine,
        writer: &mut dyn GroupWriter,
    ) -> Result<DuplicateSums> {
        let mut sums = DuplicateSums::default();
        let mut by_content = self.by_content(&mut sums).await?;
        let (mut moved, mut reused) = (Load::default(), Load::default());
        let mut after: Option<SpoolOrder> = None;
        let mut group: Option<DuplicateGroup> = None;
        loop {
            let page = by_content.page(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(SpoolOrder::of(last));
            let contents: Vec<(u64, ContentHash)> = page
                .iter()
                .filter_map(|asset| Some((asset.size, asset.content_hash?)))
                .collect();
            let held = self.ledger.holding(self.sink.name(), &contents).await?;
            for ((asset, (size, content_hash)), held) in page.iter().zip(contents).zip(held) {
                let path = asset.path.segments().skip(1);
                let path = path.fold(AssetPath::new(""), |at, name| at.join(name));
                match &mut group {
                    Some(group) if group.content_hash == content_hash => {
                        group.files += 1;
                        if group.paths.len() < PATHS_MAX {
                            group.paths.push(path);
                        }
                        continue;
                    }
                    _ => {}
                }
                let next = DuplicateGroup {
                    content_hash,
                    size,
                    files: 1,
                    paths: vec![path],
                    at_sink: held
                        .filter(|held| !self.is_own(held, asset))
                        .map(|held| held.placed.asset),
                };
                if let Some(done) = group.replace(next) {
                    self.count(done, engine, &mut sums, (&mut moved, &mut reused), writer)
                        .await?;
                }
            }
        }
        if let Some(done) = group {
            self.count(done, engine, &mut sums, (&mut moved, &mut reused), writer)
                .await?;
        }
        let sink_moved = self.sink.calls_to_write(&moved).await?;
        let sink_reused = self.sink.calls_to_write(&reused).await?;
        let Calls { all: reads, .. } = self.source.calls_to_read(&moved);
        sums.spare_calls = (reads + sink_moved.all).saturating_sub(sink_reused.all);
        Ok(sums)
    }

    /// Whether what the sink has is what became of this very file.
    fn is_own(&self, held: &Placement, asset: &Asset) -> bool {
        held.of() == (&self.options.flow, self.source.name(), &asset.id)
    }

    async fn count(
        &self,
        group: DuplicateGroup,
        engine: &Engine,
        sums: &mut DuplicateSums,
        (moved, reused): (&mut Load, &mut Load),
        writer: &mut dyn GroupWriter,
    ) -> Result<()> {
        if group.spare() == 0 {
            return Ok(());
        }
        sums.groups += 1;
        sums.spare_files += group.spare();
        sums.spare_bytes += group.spare_bytes();
        for _ in 0..group.spare() {
            add_content(moved, engine, self.sink.as_ref(), group.size);
        }
        reused.reused += group.spare();
        writer.group(group).await
    }

    /// Everything that the flow takes, hashed, in the order of hashes.
    async fn by_content(&self, sums: &mut DuplicateSums) -> Result<Box<dyn Spool>> {
        let selector = Selector::new(&self.options.selection)?;
        let in_place = self.source.capabilities().digests_in_place;
        let mut hashing = in_place.then(Hashing::new);
        let mut undecided = {
            let scope = Scope {
                root: self.options.root.clone(),
            };
            let mut listing = Listing::new(self.source.as_ref(), &scope, self.observer.as_ref());
            let folds = self.source.capabilities().folds_names;
            let mut kept = Kept::new(self.ledger.as_ref(), folds);
            while let Some(changes) = listing.changes(PAGE).await? {
                kept.apply(changes, |asset| {
                    if let Some(hashing) = &mut hashing {
                        hashing.sizes.add(asset.size);
                    }
                    true
                })
                .await?;
            }
            kept.into_sorted().await?
        };
        if let Some(hashing) = &mut hashing {
            self.fingerprint(&mut undecided, hashing).await?;
        }
        let mut by_content = self.ledger.spool().await?;
        self.observer.observe(Event::Deciding {
            assets: undecided.len(),
        });
        loop {
            let page = undecided.next(PAGE).await?;
            if page.is_empty() {
                return Ok(by_content);
            }
            let mut left_out = Vec::new();
            let taken = self.select(&selector, page, &mut left_out).await?;
            let taken: Vec<Asset> = taken.into_iter().map(|(asset, _)| asset).collect();
            let (flow, source) = (&self.options.flow, self.source.name());
            let unchanged = self.ledger.unchanged(flow, source, &taken).await?;
            let mut taken: Vec<Asset> = taken
                .into_iter()
                .zip(unchanged)
                .filter_map(|(asset, unchanged)| (!unchanged && asset.size > 0).then_some(asset))
                .collect();
            sums.files += taken.len() as u64;
            sums.bytes += taken.iter().map(|asset| asset.size).sum::<u64>();
            let unreadable = |asset: &Asset| asset.readable != Readable::Yes;
            sums.not_compared += taken.iter().filter(|asset| unreadable(asset)).count() as u64;
            taken.retain(|asset| !unreadable(asset));
            if let Some(hashing) = &mut hashing {
                let mut assets: Vec<&mut Asset> = taken.iter_mut().collect();
                self.hash(&mut assets, hashing).await?;
                sums.not_compared += hashing.take_failed();
            }
            let entries = taken.into_iter().filter_map(|mut asset| {
                let hash = asset.content_hash?;
                let folder = AssetPath::new(&hash.to_hex());
                asset.path = asset.path.segments().fold(folder, |at, name| at.join(name));
                Some(SpoolEntry::Put {
                    key: asset.id.as_str().to_owned(),
                    asset,
                })
            });
            by_content.apply(entries.collect()).await?;
        }
    }
}
