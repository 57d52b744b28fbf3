//! Contents that need not move, because the sink has them or will have them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use windlass_core::{Asset, AssetId, Capabilities, ContentHash, Placement, Result, Reuse};

use crate::discover::Sorted;
use crate::flows::ingest::Ingest;
use crate::observe::Event;

/// What becomes of a file whose bytes the sink has already under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// Its bytes are sent all the same, and it becomes an asset of its own.
    Place,
    /// The sink copies the content or links the asset, whichever it can.
    Reuse,
    /// It is left out.
    Skip,
}

impl Duplicates {
    /// What a sink does that was not told: a copy is as good as an upload, while a link is for people to want, because
    /// an asset that stands for several files has the metadata of one.
    pub fn of_sink(sheet: &Capabilities) -> Self {
        match sheet.reuse {
            Some(Reuse::Copy) => Duplicates::Reuse,
            Some(Reuse::Link) | None => Duplicates::Place,
        }
    }
}

/// Where the bytes of a file are that need not move.
#[derive(Clone, Debug)]
pub(crate) enum Twin {
    /// At the sink.
    Placed(Box<Placement>),
    /// At the sink, in an asset that nobody here placed.
    Recognised(AssetId),
    /// In a file of the same plan.
    Planned,
}

/// Numbers that were seen once, and those that were seen more often: a file whose size, or whose size and ends, nothing
/// else has is no duplicate, and need not be read to know it.
///
/// A bit a number, of as many as fit into fixed room: two numbers that share one cost a file that is read in vain.
#[derive(Debug)]
pub(crate) struct Numbers {
    once: Vec<u64>,
    again: Vec<u64>,
}

/// 32 Mbit: with a million numbers three of a hundred share their bit.
const WORDS: usize = 1 << 19;

impl Numbers {
    pub(crate) fn new() -> Self {
        Numbers {
            once: vec![0; WORDS],
            again: vec![0; WORDS],
        }
    }

    pub(crate) fn add(&mut self, number: u64) {
        let (word, bit) = place(number);
        self.again[word] |= self.once[word] & bit;
        self.once[word] |= bit;
    }

    /// Whether the number was seen more than once.
    pub(crate) fn is_shared(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.again[word] & bit != 0
    }
}

fn place(number: u64) -> (usize, u64) {
    // Multiplied by the golden ratio, because sizes are often multiples of a block.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 39;
    // The upper 25 bits, so they fit.
    ((spread >> 6) as usize, 1 << (spread & 63))
}

/// From this size on the ends of a file are looked at before all of it is; below, reading all of it costs hardly more.
/// 5,000 files of 100 KiB took half a second longer to move when each was hashed before.
const FINGERPRINT_BYTES_MIN: u64 = 32 << 10;

/// How many files' ends are looked at at once.
const FINGERPRINTED_AT_ONCE: usize = 2_048;

/// Hashing files where they are, to find those whose bytes need not move.
#[derive(Debug)]
pub(crate) struct Hashing {
    /// Of everything that was listed: they tell what is worth hashing.
    pub(crate) sizes: Numbers,
    /// Size and ends, of large files whose size others have.
    prints: Numbers,
    /// How many files were hashed.
    assets: u64,
    /// Their bytes.
    bytes: u64,
    /// How many were not as they were listed, or could not be read.
    failed: u64,
}

impl Hashing {
    /// How many files could not be hashed since this was asked last.
    pub(crate) fn take_failed(&mut self) -> u64 {
        std::mem::take(&mut self.failed)
    }

    pub(crate) fn new() -> Self {
        Hashing {
            sizes: Numbers::new(),
            prints: Numbers::new(),
            assets: 0,
            bytes: 0,
            failed: 0,
        }
    }
}

impl Ingest {
    /// What becomes of duplicates.
    pub(crate) fn duplicates(&self) -> Duplicates {
        let sheet = self.sink.capabilities();
        self.options
            .duplicates
            .unwrap_or_else(|| Duplicates::of_sink(sheet))
    }

    /// Whether a plan looks for duplicates at all.
    fn looks_for_duplicates(&self) -> bool {
        match self.duplicates() {
            Duplicates::Place => false,
            Duplicates::Reuse => self.sink.capabilities().reuse.is_some(),
            Duplicates::Skip => true,
        }
    }

    /// Whether files are hashed where they are to find duplicates: not where listings state hashes.
    pub(crate) fn hashes_in_place(&self) -> bool {
        let source = self.source.capabilities();
        self.looks_for_duplicates() && source.digests_in_place && !source.lists_content_hash
    }

    /// Where the bytes of each asset are that need not move, in order.
    pub(crate) async fn twins(
        &self,
        mut assets: Vec<&mut Asset>,
        undecided: &mut Sorted,
        hashing: Option<&mut Hashing>,
    ) -> Result<Vec<Option<Twin>>> {
        let mut twins: Vec<Option<Twin>> = assets.iter().map(|_| None).collect();
        if !self.looks_for_duplicates() {
            return Ok(twins);
        }
        if let Some(hashing) = hashing {
            self.hash(&mut assets, hashing).await?;
        }
        let hashed = assets.iter().enumerate().filter_map(|(at, asset)| {
            // Of nothing everything is a duplicate.
            let hash = asset.content_hash.filter(|_| asset.size > 0)?;
            Some((at, (asset.size, hash)))
        });
        let (places, contents): (Vec<usize>, Vec<(u64, ContentHash)>) = hashed.unzip();
        let held = self.ledger.holding(self.sink.name(), &contents).await?;
        let hashes: Vec<ContentHash> = contents.iter().map(|(_, hash)| *hash).collect();
        let seen = undecided.seen(&hashes).await?;
        for ((at, held), seen) in places.into_iter().zip(held).zip(seen) {
            twins[at] = match held {
                Some(placement) => Some(Twin::Placed(Box::new(placement))),
                None => seen.then_some(Twin::Planned),
            };
        }
        self.recognise(&assets, &mut twins).await?;
        Ok(twins)
    }

    /// Finds contents that people brought to the sink by other ways, by the checksum that the sink knows them by. Only where
    /// duplicates are left out: what nobody here placed is not linked anywhere either, and its metadata is not ours.
    async fn recognise(&self, assets: &[&mut Asset], twins: &mut [Option<Twin>]) -> Result<()> {
        let in_place = self.source.capabilities().digests_in_place;
        if self.duplicates() != Duplicates::Skip || !in_place {
            return Ok(());
        }
        let alone = |at: &usize| twins[*at].is_none() && assets[*at].size > 0;
        let places: Vec<usize> = (0..assets.len()).filter(alone).collect();
        if places.is_empty() {
            return Ok(());
        }
        let Some(algorithm) = self.sink.recognises().await? else {
            return Ok(());
        };
        let unknown: Vec<Asset> = places.iter().map(|at| (*assets[*at]).clone()).collect();
        let sums = self.source.checksums(&unknown, algorithm).await?;
        let summed = places.iter().zip(&unknown).zip(sums);
        let (places, contents): (Vec<usize>, Vec<(u64, Vec<u8>)>) = summed
            .filter_map(|((at, asset), sum)| Some((*at, (asset.size, sum?))))
            .unzip();
        for (at, asset) in places
            .into_iter()
            .zip(self.sink.recognise(&contents).await?)
        {
            twins[at] = asset.map(Twin::Recognised);
        }
        Ok(())
    }

    /// Looks at the ends of large files whose size others have, before any of them is hashed: uncompressed pictures of one
    /// camera all have the same size, and reading them twice would take as long as moving them.
    pub(crate) async fn fingerprint(
        &self,
        undecided: &mut Sorted,
        hashing: &mut Hashing,
    ) -> Result<()> {
        loop {
            let mut page = undecided.next(FINGERPRINTED_AT_ONCE).await?;
            if page.is_empty() {
                undecided.rewind();
                return Ok(());
            }
            page.retain(|asset| {
                asset.size >= FINGERPRINT_BYTES_MIN && hashing.sizes.is_shared(asset.size)
            });
            for print in self.prints(&page).await?.into_iter().flatten() {
                hashing.prints.add(print);
            }
        }
    }

    /// Size and ends of each asset as one number.
    async fn prints(&self, assets: &[Asset]) -> Result<Vec<Option<u64>>> {
        if assets.is_empty() {
            return Ok(Vec::new());
        }
        let prints = self.source.fingerprints(assets).await?;
        let with_size = |(asset, print): (&Asset, Option<u64>)| {
            print.map(|print| print ^ asset.size.rotate_left(32))
        };
        Ok(assets.iter().zip(prints).map(with_size).collect())
    }

    /// Hashes those assets, where they are, that something else may be the same as: in this listing, or at the sink.
    pub(crate) async fn hash(
        &self,
        assets: &mut [&mut Asset],
        hashing: &mut Hashing,
    ) -> Result<()> {
        let unhashed: Vec<&mut &mut Asset> = assets
            .iter_mut()
            .filter(|asset| asset.content_hash.is_none())
            .collect();
        let sizes: BTreeSet<u64> = unhashed.iter().map(|asset| asset.size).collect();
        let sizes: Vec<u64> = sizes.into_iter().collect();
        let held = self.ledger.holds_size(self.sink.name(), &sizes).await?;
        let held: BTreeSet<u64> = sizes
            .into_iter()
            .zip(held)
            .filter_map(|(size, is_held)| is_held.then_some(size))
            .collect();
        let (mut wanted, mut unsure) = (Vec::new(), Vec::new());
        for asset in unhashed {
            let is_shared = hashing.sizes.is_shared(asset.size);
            match (held.contains(&asset.size), is_shared) {
                (true, _) => wanted.push(asset),
                (false, false) => {}
                (false, true) if asset.size >= FINGERPRINT_BYTES_MIN => unsure.push(asset),
                (false, true) => wanted.push(asset),
            }
        }
        let looked: Vec<Asset> = unsure.iter().map(|asset| (***asset).clone()).collect();
        for (asset, print) in unsure.into_iter().zip(self.prints(&looked).await?) {
            hashing.failed += u64::from(print.is_none());
            if print.is_some_and(|print| hashing.prints.is_shared(print)) {
                wanted.push(asset);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let asked: Vec<Asset> = wanted.iter().map(|asset| (***asset).clone()).collect();
        let digests = self.source.digests(&asked).await?;
        for (asset, digests) in wanted.iter_mut().zip(digests) {
            asset.content_hash = digests.and_then(|digests| digests.content_hash);
            hashing.failed += u64::from(asset.content_hash.is_none());
        }
        hashing.assets += asked.len() as u64;
        hashing.bytes += asked.iter().map(|asset| asset.size).sum::<u64>();
        self.observer.observe(Event::Hashed {
            assets: hashing.assets,
            bytes: hashing.bytes,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shared_once_it_was_seen_twice() {
        let mut sizes = Numbers::new();
        for size in 0..1_000 {
            sizes.add(size * 4096);
        }
        sizes.add(7 * 4096);
        let shared: Vec<u64> = (0..2_000)
            .map(|n| n * 4096)
            .filter(|size| sizes.is_shared(*size))
            .collect();
        assert_eq!(shared, [7 * 4096]);
    }
}
