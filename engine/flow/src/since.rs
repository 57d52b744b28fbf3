//! From when on a library is asked for what changed.
//!
//! A library is asked by times of its own clock, and again for the last minutes: several clocks may write there, what is
//! written first may be committed last, and lists lag. All of this is to take less than [`OVERLAP`]: what a look does not
//! show although it is there has a time less than that before the newest that is known. While people work, new times come
//! and carry the window along. While nobody does, time goes on all the same: a change that nobody made could have come with
//! a time as much later as time went by here. So the window is carried along by that, too, measured and not taken from a clock
//! that somebody may set, or else the last minutes of a large import would be listed again by every look until something newer
//! came. It never begins behind the newest time that is known.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How much later than its time something may show.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// See the module. Of one series of looks, each of which shows everything from [`Since::look`] on.
#[derive(Clone, Debug)]
pub struct Since {
    /// The newest time that the library has said of anything.
    newest: Option<Timestamp>,
    /// When that time was seen here first.
    seen_at: Instant,
    /// When the last look began.
    looked_at: Instant,
    /// From when on is asked while no time is known.
    first: Timestamp,
    /// From when on the last look asked. Never earlier again: what was before is known by then.
    asked: Option<Timestamp>,
}

impl Since {
    /// Before the first look. `now` counts as the newest time while the library has said none.
    pub fn new(now: Timestamp) -> Self {
        Since {
            newest: None,
            seen_at: Instant::now(),
            looked_at: Instant::now(),
            first: now,
            asked: None,
        }
    }

    /// A look begins: the time from which on it has to ask. Only what looks showed that began before counts.
    pub fn look(&mut self) -> Timestamp {
        let since = self.from();
        self.looked_at = Instant::now();
        since
    }

    fn from(&mut self) -> Timestamp {
        let Some(newest) = self.newest else {
            return back(self.first, OVERLAP);
        };
        let went_by = self.looked_at.saturating_duration_since(self.seen_at);
        let from = back(newest, left_of(OVERLAP, went_by));
        *self
            .asked
            .insert(self.asked.map_or(from, |asked| asked.max(from)))
    }

    /// The look that began last showed something of this time.
    pub fn saw(&mut self, time: Option<Timestamp>) {
        if time > self.newest {
            self.newest = time;
            self.seen_at = Instant::now();
        }
    }
}

fn back(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn left_of(overlap: SignedDuration, went_by: Duration) -> SignedDuration {
    let went_by = SignedDuration::try_from(went_by).unwrap_or(SignedDuration::MAX);
    overlap.saturating_sub(went_by).max(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    async fn minutes(minutes: u64) {
        tokio::time::advance(Duration::from_secs(60 * minutes)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_a_moment_ago_is_asked_for_with_five_minutes_before_it() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        since.saw(Some(at(90)));
        assert_eq!(since.look(), at(95));
        since.saw(Some(at(102)));
        assert_eq!(since.look(), at(97));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_came_counts_once_a_look_covered_it() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        minutes(2).await;
        // Nobody has looked since, so what came late in these two minutes was not seen.
        assert_eq!(since.look(), at(95));
        assert_eq!(since.look(), at(97));
        minutes(60).await;
        assert_eq!(since.look(), at(97));
        assert_eq!(since.look(), at(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_time_is_followed_by_five_minutes_again() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        minutes(30).await;
        since.look();
        since.saw(Some(at(130)));
        assert_eq!(since.look(), at(125));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_is_not_asked_for_again_because_something_came() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        minutes(10).await;
        since.look();
        assert_eq!(since.look(), at(100));
        since.saw(Some(at(102)));
        assert_eq!(since.look(), at(100));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_library_is_asked_from_when_it_was_found_empty() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(None);
        minutes(60).await;
        since.look();
        assert_eq!(since.look(), at(495));
    }
}
