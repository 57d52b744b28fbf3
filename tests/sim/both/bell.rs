//! The door bell between people and the daemon: of ten rings three are lost, come twice or come late.

use std::cell::RefCell;
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
}

impl Bell {
    pub(super) fn of(seed: u64) -> Bell {
        Bell {
            dice: RefCell::new(StdRng::seed_from_u64(seed ^ 0xbe11)),
            due: RefCell::default(),
            more: Notify::new(),
        }
    }

    pub(super) fn ring(&self) {
        let now = Instant::now();
        let mut dice = self.dice.borrow_mut();
        let late = Duration::from_secs(dice.random_range(1..600));
        let heard = match dice.random_range(0..10) {
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

    /// Whether it rang since it was asked last.
    pub(super) fn rang(&self) -> bool {
        let now = Instant::now();
        let mut due = self.due.borrow_mut();
        let all = due.len();
        due.retain(|at| *at > now);
        due.len() < all
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
