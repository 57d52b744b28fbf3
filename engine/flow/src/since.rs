//! From when on a library is asked for what changed.
//!
//! A library is asked by times of its own clock, and again for the last minutes: several clocks may write there, what is
//! written first may be committed last, and lists lag. All of this is to take less than [`OVERLAP`]: what a look does not
//! show although it is there has a time less than that before the newest that is known. While people work, new times come
//! and carry the window along. While nobody does, time goes on all the same: a change that nobody made could have come with
//! a time as much later as time went by here. So the window is carried along by that, too, measured and not taken from a clock
//! that somebody may set, or else the last minutes of a large import would be listed again by every look until something newer
//! came. It never begins behind the newest time that is known.
//!
//! Minutes of an import are many pages, and nearly everything shows within seconds. So whoever looks because of something
//! else, and asks anew about what it acts on, need not go back that far each time: its looks go back by a [`GLANCE`], and as
//! far as all others after each [`FAR_EVERY`]. Each of the two windows is carried along by its own looks alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How much later than its time something may show.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// How much later than its time nearly everything shows.
const GLANCE: SignedDuration = SignedDuration::from_secs(10);

/// How much time is between two looks that go back as far as [`OVERLAP`].
const FAR_EVERY: Duration = Duration::from_secs(2 * 60);

/// See the module. Of one series of looks, each of which shows everything from [`Since::look`] on.
#[derive(Clone, Debug)]
pub struct Since {
    far: Window,
    near: Window,
    /// When the last look began that went back far; `None` before the first.
    far_at: Option<Instant>,
    /// Whether the last look did.
    is_far: bool,
}

/// What looks that go back as far as each other know.
#[derive(Clone, Debug)]
struct Window {
    overlap: SignedDuration,
    /// The newest time that they have said of anything.
    newest: Option<Timestamp>,
    /// When that time was seen here first.
    seen_at: Instant,
    /// When the last of them began.
    looked_at: Instant,
    /// From when on is asked while no time is known.
    first: Timestamp,
    /// From when on the last of them asked. Never earlier again: what was before is known by then.
    asked: Option<Timestamp>,
    /// How much further back the next of them goes.
    further: SignedDuration,
}

impl Since {
    /// Before the first look. `now` counts as the newest time while the library has said none.
    pub fn new(now: Timestamp) -> Self {
        Since {
            far: Window::new(OVERLAP, now),
            near: Window::new(GLANCE, now),
            far_at: None,
            is_far: true,
        }
    }

    /// A look begins that need not find at once what shows late: the time from which on it has to ask.
    pub fn glance(&mut self) -> Timestamp {
        let is_due = |at: Instant| at.elapsed() >= FAR_EVERY;
        match self.far_at.is_none_or(is_due) {
            true => self.look(),
            false => {
                self.is_far = false;
                self.near.look()
            }
        }
    }

    /// A look begins: the time from which on it has to ask. Only what looks showed that began before counts.
    pub fn look(&mut self) -> Timestamp {
        self.is_far = true;
        self.far_at = Some(Instant::now());
        self.far.look().min(self.near.look())
    }

    /// The look that began last was at everything, took so long and showed something of this time. What changed meanwhile may
    /// be missing, so the next look goes back to when it began.
    pub fn listed(&mut self, newest: Option<Timestamp>, took: Duration) {
        self.saw(newest);
        self.far.took(took);
        self.near.took(took);
    }

    /// The look that began last showed something of this time.
    pub fn saw(&mut self, time: Option<Timestamp>) {
        self.near.saw(time);
        if self.is_far {
            self.far.saw(time);
        }
    }
}

impl Window {
    fn new(overlap: SignedDuration, now: Timestamp) -> Self {
        Window {
            overlap,
            newest: None,
            seen_at: Instant::now(),
            looked_at: Instant::now(),
            first: now,
            asked: None,
            further: SignedDuration::ZERO,
        }
    }

    fn look(&mut self) -> Timestamp {
        let since = self.from();
        self.looked_at = Instant::now();
        self.further = SignedDuration::ZERO;
        since
    }

    fn took(&mut self, time: Duration) {
        self.further = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    }

    fn from(&mut self) -> Timestamp {
        let overlap = self.overlap.saturating_add(self.further);
        let Some(newest) = self.newest else {
            return back(self.first, overlap);
        };
        let went_by = self.looked_at.saturating_duration_since(self.seen_at);
        let from = back(newest, left_of(overlap, went_by));
        *self
            .asked
            .insert(self.asked.map_or(from, |asked| asked.max(from)))
    }

    fn saw(&mut self, time: Option<Timestamp>) {
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
    async fn a_glance_goes_back_some_seconds_and_far_every_two_minutes() {
        let mut since = Since::new(at(500));
        assert_eq!(since.glance(), at(495), "the first one");
        since.saw(Some(at(100)));
        assert_eq!(since.glance(), at(100) - GLANCE);
        since.saw(Some(at(102)));
        assert_eq!(since.glance(), at(102) - GLANCE);
        minutes(2).await;
        // Not five minutes before what only glances saw: they may have missed something before that.
        assert_eq!(since.glance(), at(95));
        since.saw(Some(at(102)));
        assert_eq!(since.look(), at(97));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_only_glances_were_made_counts_for_them_alone() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(11)).await;
            since.glance();
        }
        assert_eq!(since.glance(), at(100), "nothing newer came for long");
        assert_eq!(since.look(), at(95));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_list_is_followed_by_one_look_back_to_when_it_began() {
        let mut since = Since::new(at(500));
        since.look();
        since.saw(Some(at(100)));
        since.look();
        minutes(20).await;
        // A page that was read at first did not have what changed at 101.
        since.listed(Some(at(120)), Duration::from_secs(20 * 60));
        assert_eq!(since.glance(), at(95));
        since.saw(Some(at(120)));
        assert_eq!(since.look(), at(115));

        let mut since = Since::new(at(500));
        since.look();
        since.listed(Some(at(100)), Duration::from_secs(30));
        let began = at(100) - SignedDuration::from_secs(30);
        assert_eq!(since.glance(), began - GLANCE);
        assert_eq!(since.glance(), at(100) - GLANCE);
        assert_eq!(since.look(), began - OVERLAP);
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
