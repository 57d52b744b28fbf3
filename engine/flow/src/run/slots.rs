//! Slots: how many steps run at once, of which kind, and how many more to take from the ledger.
//!
//! Steps are of two kinds that do not take each other's slots. *Large* ones move by themselves. *Small* ones
//! share requests at the sink, whose sheet says up to which size and how many it pays to have under way; where
//! it says nothing, every step is large.
//!
//! The ledger gives steps in the order in which they are due, whatever their kind, and every call is a
//! transaction. So steps are taken in packets, ahead of need: while either kind has too few waiting, the next
//! packet is taken, up to [`AHEAD_MAX`] steps. A kind starves only when about as many of the other one come first.

use std::collections::VecDeque;

use windlass_core::{Action, Together};

/// How many steps wait for a slot at most. Enough to find a large file behind a folder of small ones; each
/// costs one or two kilobytes, and a crash gives all of them back.
pub(super) const AHEAD_MAX: usize = 2_000;

/// How many steps that wait elsewhere count as one that waits for a slot.
const ELSEWHERE_SHARE: usize = 10;

/// The largest packet: what the ledger gives in one short transaction.
pub(super) const PACKET_MAX: usize = 1_000;

/// Below this much room no packet is taken, so that a full line does not mean a call a step.
const PACKET_MIN: usize = 500;

/// Whose slots a step uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Moves by itself.
    Large,
    /// Shares requests with others.
    Small,
}

#[derive(Debug)]
struct Lane<T> {
    slots: usize,
    running: usize,
    waiting: VecDeque<T>,
}

impl<T> Lane<T> {
    fn new(slots: usize) -> Self {
        Lane {
            slots,
            running: 0,
            waiting: VecDeque::new(),
        }
    }

    fn take(&mut self) -> Option<T> {
        if self.running >= self.slots {
            return None;
        }
        let item = self.waiting.pop_front()?;
        self.running += 1;
        Some(item)
    }

    /// Fewer wait than half of its slots: the next burst of free ones would find nobody.
    fn is_hungry(&self) -> bool {
        self.waiting.len() < self.slots.div_ceil(2)
    }
}

/// The slots of one worker, and who waits for them.
#[derive(Debug)]
pub(super) struct Slots<T> {
    large: Lane<T>,
    small: Lane<T>,
    small_bytes_max: Option<u64>,
}

impl<T> Slots<T> {
    /// `transfers` slots for large steps, at least one, and what the sink's sheet says for small ones.
    pub(super) fn new(transfers: usize, together: Option<Together>) -> Self {
        Slots {
            large: Lane::new(transfers.max(1)),
            small: Lane::new(together.map_or(0, |together| together.at_once.max(1))),
            small_bytes_max: together.map(|together| together.bytes_max),
        }
    }

    /// Whose slots a step uses. What only changes metadata shares no requests; what moves no bytes is small.
    pub(super) fn size_of(&self, action: Action, bytes: u64, moves: bool) -> Size {
        let places = matches!(action, Action::Create | Action::NewVersion) || action.reuses();
        match self.small_bytes_max {
            Some(max) if places && (!moves || bytes <= max) => Size::Small,
            _ => Size::Large,
        }
    }

    /// Adds to those that wait.
    pub(super) fn wait(&mut self, size: Size, item: T) {
        self.lane(size).waiting.push_back(item);
    }

    /// Whether anyone waits for a slot.
    pub(super) fn is_anyone_waiting(&self) -> bool {
        !(self.large.waiting.is_empty() && self.small.waiting.is_empty())
    }

    /// Takes a slot for one that waits. Large ones first, because they take longest.
    pub(super) fn take(&mut self) -> Option<(Size, T)> {
        let large = self.large.take().map(|item| (Size::Large, item));
        large.or_else(|| self.small.take().map(|item| (Size::Small, item)))
    }

    /// Gives a slot back.
    pub(super) fn give_back(&mut self, size: Size) {
        let lane = self.lane(size);
        lane.running = lane.running.saturating_sub(1);
    }

    /// How many steps to take from the ledger now; 0 while enough wait. `elsewhere`: how many more wait without
    /// standing in line for a slot, which must not keep others from theirs until they are very many.
    pub(super) fn wanted(&self, elsewhere: usize) -> usize {
        let waiting = self.large.waiting.len() + self.small.waiting.len();
        let mut room = AHEAD_MAX.saturating_sub(waiting + elsewhere / ELSEWHERE_SHARE);
        if waiting + self.large.running + self.small.running == 0 {
            // However many wait elsewhere: whom they wait for may be among those that are not taken yet.
            room = room.max(PACKET_MIN);
        }
        let is_hungry = self.large.is_hungry() || self.small.is_hungry();
        if is_hungry && room >= PACKET_MIN {
            room.min(PACKET_MAX)
        } else {
            0
        }
    }

    /// Forgets those that wait.
    pub(super) fn clear(&mut self) {
        self.large.waiting.clear();
        self.small.waiting.clear();
    }

    fn lane(&mut self, size: Size) -> &mut Lane<T> {
        match size {
            Size::Large => &mut self.large,
            Size::Small => &mut self.small,
        }
    }
}
