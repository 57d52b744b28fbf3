//! The order ring: what arrives out of order leaves in order.
//!
//! It holds items by index between the next one to leave and that plus its capacity. Its caller
//! bounds what is under way, so a full ring is a mistake of the caller, not a state to wait in.

use std::collections::VecDeque;

/// Items by index, at most `capacity` ahead of the next one to leave.
#[derive(Debug)]
pub struct OrderRing<T> {
    next: u64,
    capacity: u64,
    // Grows only as far as the furthest item that is here.
    slots: VecDeque<Option<T>>,
    held: usize,
}

/// Why an item has no place in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// An item of this index is here, or has left.
    #[error("item {index} came twice")]
    Twice {
        /// The item's index.
        index: u64,
    },
    /// The index is further ahead than the ring reaches.
    #[error("item {index} is beyond the ring, which ends before item {end}")]
    Beyond {
        /// The item's index.
        index: u64,
        /// The first index that has no place.
        end: u64,
    },
}

impl<T> OrderRing<T> {
    /// An empty ring whose first item to leave is item 0.
    pub fn new(capacity: u64) -> Self {
        OrderRing::starting_at(0, capacity)
    }

    /// An empty ring whose first item to leave is item `next`.
    pub(crate) fn starting_at(next: u64, capacity: u64) -> Self {
        OrderRing {
            next,
            capacity: capacity.max(1),
            slots: VecDeque::new(),
            held: 0,
        }
    }

    /// The index of the next item to leave.
    pub fn next_index(&self) -> u64 {
        self.next
    }

    /// Number of items here.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether no item is here.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Whether an item of this index would have a place, were it not here yet.
    pub fn reaches(&self, index: u64) -> bool {
        index < self.end()
    }

    /// Whether [`OrderRing::pop`] would give an item.
    pub fn next_is_here(&self) -> bool {
        self.slots.front().is_some_and(Option::is_some)
    }

    /// The item of this index, if it is here.
    pub fn get(&self, index: u64) -> Option<&T> {
        let ahead = usize::try_from(index.checked_sub(self.next)?).ok()?;
        self.slots.get(ahead)?.as_ref()
    }

    /// Takes an item in.
    pub fn insert(&mut self, index: u64, item: T) -> Result<(), RingError> {
        let end = self.end();
        if index >= end {
            return Err(RingError::Beyond { index, end });
        }
        let Some(ahead) = index.checked_sub(self.next) else {
            return Err(RingError::Twice { index });
        };
        let ahead = ahead as usize;
        if self.slots.len() <= ahead {
            self.slots.resize_with(ahead + 1, || None);
        }
        match &mut self.slots[ahead] {
            Some(_) => Err(RingError::Twice { index }),
            free => {
                *free = Some(item);
                self.held += 1;
                Ok(())
            }
        }
    }

    /// The next item, if it is here.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let item = self.slots.front_mut()?.take()?;
        self.slots.pop_front();
        let index = self.next;
        self.next += 1;
        self.held -= 1;
        Some((index, item))
    }

    fn end(&self) -> u64 {
        self.next.saturating_add(self.capacity)
    }
}
