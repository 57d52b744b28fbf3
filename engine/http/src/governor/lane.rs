//! A lane's handle, a waiter's future and a call's place: what gives everything back when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use windlass_core::Result;

use super::budget::CallBudget;
use super::options::{LaneOptions, Priority};
use super::queue::{LaneId, Turn, WaiterId};
use super::{Governor, wake};

/// A lane of a governor. Ends with its last handle, waiter and place.
#[derive(Debug)]
pub(crate) struct Lane {
    governor: Governor,
    id: LaneId,
}

impl Lane {
    pub(crate) fn open(governor: &Governor, options: &LaneOptions) -> Arc<Self> {
        Arc::new(Lane {
            governor: governor.clone(),
            id: governor.lock().open_lane(options),
        })
    }

    /// How many calls are under way.
    pub(crate) fn in_use(&self) -> usize {
        self.governor.lock().in_use(self.id)
    }

    /// How many may be at once, at the moment.
    pub(crate) fn width(&self) -> usize {
        self.governor.lock().width(self.id)
    }

    /// How long this lane alone pauses.
    pub(crate) fn paused_for(&self) -> Duration {
        self.governor
            .lock()
            .lane_paused_for(self.id, Instant::now())
    }

    /// Nothing of this lane goes for so long.
    pub(crate) fn pause(&self, wait: Duration) {
        let wakers = (self.governor.lock()).pause(Some(self.id), Instant::now(), wait);
        wake(wakers);
    }

    /// Stands in line. `counted` calls take one from the budget at once and give it back if they are not
    /// sent.
    ///
    /// Errors: `Capacity` when the month's calls are spent; `name` is the account's in that message.
    pub(crate) fn join(
        self: &Arc<Self>,
        priority: Priority,
        counted: bool,
        name: &str,
    ) -> Result<Ticket> {
        let spent = match self.governor.budget().filter(|_| counted) {
            None => None,
            Some(budget) => Some(Spent::one(budget, name)?),
        };
        Ok(Ticket {
            id: self.governor.lock().join(self.id, priority),
            lane: Arc::clone(self),
            spent,
            told: None,
            timer: None,
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.governor.lock().close_lane(self.id);
    }
}

/// One call of the month. Given back when dropped, unless the call was sent.
#[derive(Debug)]
struct Spent(Option<Arc<dyn CallBudget>>);

impl Spent {
    fn one(budget: &Arc<dyn CallBudget>, name: &str) -> Result<Self> {
        budget
            .spend()
            .map_err(|standing| standing.spent_error(name))?;
        Ok(Spent(Some(Arc::clone(budget))))
    }
}

impl Drop for Spent {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            budget.give_back();
        }
    }
}

/// What waiting came to.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// The call may go.
    Go(Place),
    /// A pause of so much more began or was extended. The call keeps its place in line: ask again, or
    /// drop the ticket if that is too long.
    Paused(Duration),
}

/// A call that waits. Dropping it gives up its place in line.
#[derive(Debug)]
pub(crate) struct Ticket {
    lane: Arc<Lane>,
    id: WaiterId,
    spent: Option<Spent>,
    /// The end of the pause that the caller was told of.
    told: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Ticket {
    /// Waits for the turn, or for news of a pause. Cancel safe: ask again at any time.
    pub(crate) async fn turn(&mut self) -> Admitted {
        std::future::poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Admitted> {
        loop {
            let now = Instant::now();
            let (turn, timer, wakers) = {
                let mut state = self.lane.governor.lock();
                let (turn, wakers) = state.turn(self.id, now, cx.waker());
                let timer = match turn {
                    Turn::Go(_) => None,
                    _ => state.timer(self.id, now),
                };
                (turn, timer, wakers)
            };
            wake(wakers);
            match turn {
                Turn::Go(granted) => return Poll::Ready(Admitted::Go(self.place(granted))),
                Turn::Paused(until) if self.told.is_none_or(|told| told < until) => {
                    let known = self.told.map_or(now, |told| told.max(now));
                    self.told = Some(until);
                    return Poll::Ready(Admitted::Paused(until - known));
                }
                Turn::Paused(_) | Turn::Wait => {}
            }
            let Some(at) = timer else {
                self.timer = None;
                return Poll::Pending;
            };
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline() != at {
                        timer.as_mut().reset(at);
                    }
                    timer
                }
                none => none.insert(Box::pin(tokio::time::sleep_until(at))),
            };
            match timer.as_mut().poll(cx) {
                // The clock's tick is coarser than the instant: look again.
                Poll::Ready(()) => self.timer = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn place(&mut self, granted: Instant) -> Place {
        Place {
            lane: Arc::clone(&self.lane),
            granted,
            spent: self.spent.take(),
            sent: false,
            bytes: None,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let wakers = self.lane.governor.lock().leave(self.id, Instant::now());
        wake(wakers);
    }
}

/// A call's place among those under way, from before it is sent until its answer's body ends. Dropping it
/// lets the next one go.
#[derive(Debug)]
pub(crate) struct Place {
    lane: Arc<Lane>,
    granted: Instant,
    spent: Option<Spent>,
    sent: bool,
    /// Content moved by a call that succeeded.
    bytes: Option<u64>,
}

impl Place {
    /// The call is handed to the network now: from here on it counts.
    pub(crate) fn send(&mut self) {
        self.sent = true;
    }

    /// Nothing of it left after all.
    pub(crate) fn never_left(&mut self) {
        self.sent = false;
    }

    /// It was answered in a way that the rate has nothing to do with.
    pub(crate) fn answered(&self) {
        self.lane.governor.lock().answered(Instant::now());
    }

    /// It succeeded and moved `bytes` more of content.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.bytes = Some(self.bytes.unwrap_or(0).saturating_add(bytes));
    }

    /// It was refused for the account's rate: nothing of the account goes for `wait`.
    pub(crate) fn limited(&self, wait: Duration) {
        let now = Instant::now();
        let wakers = {
            let mut state = self.lane.governor.lock();
            state.limited(now, self.granted);
            state.overloaded(self.lane.id, now, self.granted);
            state.pause(None, now, wait)
        };
        wake(wakers);
    }

    /// It was refused for a lock: nothing of its lane goes for `wait`.
    pub(crate) fn busy(&self, wait: Duration) {
        self.overloaded();
        self.lane.pause(wait);
    }

    /// The far side is overloaded: fewer calls of this lane at once.
    pub(crate) fn overloaded(&self) {
        let now = Instant::now();
        (self.lane.governor.lock()).overloaded(self.lane.id, now, self.granted);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        let wakers = match self.sent {
            true => {
                if let Some(mut spent) = self.spent.take() {
                    spent.0 = None;
                }
                (self.lane.governor.lock()).ended(self.lane.id, now, self.bytes)
            }
            false => (self.lane.governor.lock()).unsent(self.lane.id, self.granted, now),
        };
        wake(wakers);
    }
}
