//! Since when things are as they are, by our own clock: what earlier passes saw and this one sees again.
//!
//! The time that a source states is its owner's, and may be years off in either direction. A first sighting is dated
//! by the end of its listing and compared with the beginning of a later one, so the time in between is never
//! overstated. A revision is eight bytes of a digest: two of them are taken for one with a chance that no ledger
//! will see.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use windlass_core::{Asset, Cursor, Error, Kind, Result};

use crate::flows::eight_bytes;

/// How many sightings are kept: about a MiB of text. Only what is not placed has one.
const SIGHTINGS_MAX: usize = 50_000;

/// When each revision was seen first, in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sightings {
    before: BTreeMap<u64, i64>,
    /// What was asked about in this pass; the rest is gone or placed, and is forgotten.
    now: BTreeMap<u64, i64>,
}

impl Sightings {
    /// What an earlier pass kept.
    ///
    /// Errors: `Corrupt`.
    pub(crate) fn read(kept: Option<&Cursor>) -> Result<Self> {
        let Some(kept) = kept else {
            return Ok(Sightings::default());
        };
        let corrupt = || Error::new(Kind::Corrupt, "what was seen arriving cannot be read");
        let by_time: BTreeMap<i64, Vec<String>> =
            serde_json::from_str(kept.as_str()).map_err(|error| corrupt().with_source(error))?;
        let mut before = BTreeMap::new();
        for (at, revisions) in by_time {
            for revision in revisions {
                let revision = u64::from_str_radix(&revision, 16)
                    .map_err(|error| corrupt().with_source(error))?;
                before.insert(revision, at);
            }
        }
        Ok(Sightings {
            before,
            now: BTreeMap::new(),
        })
    }

    /// Since when a revision is known, which is `ended` for one that was never seen. A clock that was set back begins
    /// anew.
    pub(crate) fn first(&mut self, asset: &Asset, ended: Timestamp) -> Timestamp {
        let revision = revision(asset);
        let ended = ended.as_millisecond();
        let first = self.before.get(&revision).copied().unwrap_or(ended);
        let first = *self.now.entry(revision).or_insert(first.min(ended));
        Timestamp::from_millisecond(first).unwrap_or(Timestamp::MAX)
    }

    /// Nothing about it is kept.
    pub(crate) fn forget(&mut self, asset: &Asset) {
        self.now.remove(&revision(asset));
    }

    /// What the next pass is told, if it is not what this one was told. Beyond the bound those go first that have been
    /// `ready` the longest: they were taken. Then the newest, which are simply seen anew.
    pub(crate) fn into_kept(mut self, ready: Timestamp) -> Result<Option<Option<Cursor>>> {
        self.bound(SIGHTINGS_MAX, ready);
        if self.now == self.before {
            return Ok(None);
        }
        if self.now.is_empty() {
            return Ok(Some(None));
        }
        let mut by_time: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (revision, at) in &self.now {
            by_time
                .entry(*at)
                .or_default()
                .push(format!("{revision:x}"));
        }
        let text = serde_json::to_string(&by_time).map_err(|error| {
            Error::new(Kind::Unexpected, "sightings cannot be written").with_source(error)
        })?;
        Ok(Some(Some(Cursor::new(text))))
    }

    fn bound(&mut self, max: usize, ready: Timestamp) {
        if self.now.len() <= max {
            return;
        }
        let ready = ready.as_millisecond();
        let mut by_time: Vec<(i64, u64)> = self.now.iter().map(|(what, at)| (*at, *what)).collect();
        by_time.sort_unstable();
        let taken = by_time.partition_point(|(at, _)| *at <= ready);
        let spare = by_time.len() - max;
        let oldest = by_time.drain(..spare.min(taken)).count();
        by_time.truncate(max);
        tracing::debug!(oldest, spare, "more is arriving than is remembered");
        self.now = by_time.into_iter().map(|(at, what)| (what, at)).collect();
    }
}

fn revision(asset: &Asset) -> u64 {
    let text = format!("{}\u{1}{}\u{1}{}", asset.id, asset.revision, asset.size);
    eight_bytes(text.as_bytes())
}

/// Whether something was left alone from `first` to `began` for at least `quiet`. The error says when it will have been.
pub(crate) fn is_quiet(
    first: Timestamp,
    began: Timestamp,
    quiet: Duration,
) -> Result<(), Timestamp> {
    let over = i64::try_from(quiet.as_millis()).unwrap_or(i64::MAX);
    let over = first.as_millisecond().saturating_add(over);
    let over = Timestamp::from_millisecond(over).unwrap_or(Timestamp::MAX);
    match began >= over {
        true => Ok(()),
        false => Err(over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn asset(name: &str, revision: &str) -> Asset {
        super::super::tests::asset(name, revision, 1)
    }

    fn kept(sightings: Sightings) -> Option<Cursor> {
        sightings.into_kept(at(0)).unwrap().unwrap()
    }

    #[test]
    fn a_revision_is_dated_by_its_first_sighting_and_another_one_anew() {
        let mut first = Sightings::default();
        assert_eq!(first.first(&asset("a", "1"), at(10)), at(10));
        let mut second = Sightings::read(kept(first).as_ref()).unwrap();
        assert_eq!(second.first(&asset("a", "1"), at(50)), at(10));
        assert_eq!(second.first(&asset("a", "2"), at(50)), at(50));
        assert!(second.into_kept(at(0)).unwrap().is_some());
    }

    #[test]
    fn what_is_not_asked_about_again_is_forgotten() {
        let mut first = Sightings::default();
        first.first(&asset("a", "1"), at(10));
        let second = Sightings::read(kept(first).as_ref()).unwrap();
        assert_eq!(second.into_kept(at(0)).unwrap(), Some(None));
        assert_eq!(Sightings::default().into_kept(at(0)).unwrap(), None);
    }

    #[test]
    fn what_is_as_it_was_is_not_written_again() {
        let mut first = Sightings::default();
        first.first(&asset("a", "1"), at(10));
        let mut second = Sightings::read(kept(first).as_ref()).unwrap();
        second.first(&asset("a", "1"), at(90));
        assert_eq!(second.into_kept(at(0)).unwrap(), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_a_file_wait_for_years() {
        let mut first = Sightings::default();
        first.first(&asset("a", "1"), at(1_000_000));
        let mut second = Sightings::read(kept(first).as_ref()).unwrap();
        assert_eq!(second.first(&asset("a", "1"), at(10)), at(10));
    }

    #[test]
    fn beyond_the_bound_those_go_that_were_ready_the_longest_and_then_the_newest() {
        let mut all = Sightings::default();
        for second in 1..=6 {
            all.first(&asset("a", &second.to_string()), at(second));
        }
        let times = |mut all: Sightings, max, ready| {
            all.bound(max, at(ready));
            let mut times: Vec<i64> = all.now.into_values().map(|at| at / 1_000).collect();
            times.sort_unstable();
            times
        };
        assert_eq!(times(all.clone(), 4, 3), [3, 4, 5, 6]);
        assert_eq!(times(all.clone(), 4, 1), [2, 3, 4, 5]);
        assert_eq!(times(all, 4, 0), [1, 2, 3, 4]);
    }

    #[test]
    fn a_time_is_quiet_from_its_end_on_and_not_a_moment_before() {
        let quiet = Duration::from_secs(30);
        assert_eq!(is_quiet(at(100), at(130), quiet), Ok(()));
        assert_eq!(is_quiet(at(100), at(129), quiet), Err(at(130)));
        assert_eq!(is_quiet(at(100), at(90), quiet), Err(at(130)));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        for text in ["x", "{\"1\":[\"zz\"]}", "{\"a\":[]}"] {
            let error = Sightings::read(Some(&Cursor::new(text))).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{text}");
        }
    }
}
