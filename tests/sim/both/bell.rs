//! The door bell between people and the daemon: of ten rings three are lost, come twice or come late.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Bell {
    dice: RefCell<StdRng>,
    /// When rings will be heard.
    due: RefCell<Vec<Instant>>,
    more: Notify,
    /// How many rings were lost, came twice and came late.
    lost: Cell<u64>,
    doubled: Cell<u64>,
    late: Cell<u64>,
}

impl Bell {
    pub(super) fn of(seed: u64) -> Bell {
        Bell {
            dice: RefCell::new(StdRng::seed_from_u64(seed ^ 0xbe11)),
            due: RefCell::default(),
            more: Notify::new(),
            lost: Cell::new(0),
            doubled: Cell::new(0),
            late: Cell::new(0),
        }
    }

    pub(super) fn ring(&self) {
        let now = Instant::now();
        let mut dice = self.dice.borrow_mut();
        let late = Duration::from_secs(dice.random_range(1..600));
        let lot = dice.random_range(0..10);
        for (counter, of) in [(&self.lost, 0), (&self.doubled, 1), (&self.late, 2)] {
            counter.set(counter.get() + u64::from(lot == of));
        }
        let heard = match lot {
            0 => vec![],
            1 => vec![
                now,
                now + Duration::from_millis(dice.random_range(0..5_000)),
            ],
            2 => vec![now + late],
            _ => vec![now],
        };
        self.due.borrow_mut().extend(heard);
        self.more.notify_one();
    }

    /// What became of rings that did not come as they should.
    pub(super) fn met(&self) -> [(&'static str, u64); 3] {
        [
            ("a ring is lost", self.lost.get()),
            ("a ring comes twice", self.doubled.get()),
            ("a ring comes late", self.late.get()),
        ]
    }

    /// Whether it rang since it was asked last.
    pub(super) fn rang(&self) -> bool {
        let now = Instant::now();
        let mut due = self.due.borrow_mut();
        let all = due.len();
        due.retain(|at| *at > now);
        due.len() < all
    }

    /// Whether it rang after that moment; who asks this takes no ring from others.
    pub(super) fn rang_since(&self, then: Instant) -> bool {
        let now = Instant::now();
        let due = self.due.borrow();
        due.iter().any(|at| *at > then && *at <= now)
    }

    /// Until it rings, somebody may ring later, or so much time went by.
    pub(super) async fn wait(&self, at_most: Duration) {
        let next = self.due.borrow().iter().min().copied();
        let until = Instant::now() + at_most;
        let until = next.map_or(until, |next| next.min(until));
        tokio::select! {
            biased;
            () = self.more.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}
