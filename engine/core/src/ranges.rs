//! Sets of byte ranges: what of a content was acknowledged.

use std::collections::BTreeMap;
use std::ops::Range;

/// Disjoint ranges of bytes. Ranges that touch are one, so a set that has everything has one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// End by start; never empty, never touching.
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range; what is there already stays. An empty range adds nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &before_end)) = self.ends.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&next, &next_end)) = self.ends.range(start..=end).next() {
            end = end.max(next_end);
            self.ends.remove(&next);
        }
        self.ends.insert(start, end);
    }

    /// Whether every byte of the range is in the set; true of an empty range.
    pub fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .ends
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, end)| *end >= range.end)
    }

    /// Whether any byte of the range is in the set.
    pub fn overlaps(&self, range: &Range<u64>) -> bool {
        let before = self.ends.range(..range.end).next_back();
        !range.is_empty() && before.is_some_and(|(_, end)| *end > range.start)
    }

    /// The end of the gapless prefix, 0 without one.
    pub fn prefix_end(&self) -> u64 {
        self.ends.get(&0).copied().unwrap_or(0)
    }

    /// Number of bytes in the set.
    pub fn bytes(&self) -> u64 {
        self.ends.iter().map(|(start, end)| end - start).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(start, end)| *start..*end)
    }

    /// The ranges, ascending.
    pub fn to_vec(&self) -> Vec<Range<u64>> {
        self.iter().collect()
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        let mut set = Ranges::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}
