//! Contents that need not move, because the sink has them or will have them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use windlass_core::{Asset, Capabilities, Placement, Reuse};

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
    /// In a file of the same plan.
    Planned,
}

/// Sizes that were seen once, and those that were seen more often: a file whose size nothing else has is no duplicate,
/// and need not be read to know it.
///
/// A bit a size, of as many as fit into fixed room: two sizes that share one cost a file that is read in vain.
#[derive(Debug)]
pub(crate) struct Sizes {
    once: Vec<u64>,
    again: Vec<u64>,
}

/// 32 Mbit: with a million sizes three of a hundred share their bit.
const WORDS: usize = 1 << 19;

impl Sizes {
    pub(crate) fn new() -> Self {
        Sizes {
            once: vec![0; WORDS],
            again: vec![0; WORDS],
        }
    }

    pub(crate) fn add(&mut self, size: u64) {
        let (word, bit) = place(size);
        self.again[word] |= self.once[word] & bit;
        self.once[word] |= bit;
    }

    /// Whether the size was seen more than once.
    pub(crate) fn is_shared(&self, size: u64) -> bool {
        let (word, bit) = place(size);
        self.again[word] & bit != 0
    }
}

fn place(size: u64) -> (usize, u64) {
    // Multiplied by the golden ratio, because sizes are often multiples of a block.
    let spread = size.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 39;
    // The upper 25 bits, so they fit.
    ((spread >> 6) as usize, 1 << (spread & 63))
}

/// The sizes of assets whose hash is not stated, each once.
pub(crate) fn unhashed_sizes(assets: &[&Asset]) -> Vec<u64> {
    let sizes: BTreeSet<u64> = assets
        .iter()
        .filter(|asset| asset.content_hash.is_none())
        .map(|asset| asset.size)
        .collect();
    sizes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shared_once_it_was_seen_twice() {
        let mut sizes = Sizes::new();
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
