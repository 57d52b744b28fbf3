//! Steps that wait for another one which is about the same: two of one content in flight move it once, and of several
//! files that leave one asset the last one keeps it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::StepId;

/// What is on its way, and who waits for it.
#[derive(Debug)]
pub(super) struct Twins<K, T> {
    moving: BTreeMap<K, Moving<T>>,
    waiting: usize,
}

#[derive(Debug)]
struct Moving<T> {
    /// Who is about it: several where each goes on whatever others do. One that is tried again still is.
    movers: BTreeSet<StepId>,
    waiting: Vec<T>,
}

impl<K, T> Default for Twins<K, T> {
    fn default() -> Self {
        Twins {
            moving: BTreeMap::new(),
            waiting: 0,
        }
    }
}

impl<K: Ord, T> Twins<K, T> {
    /// A step is about to begin. Gives it back if it is to do so, and keeps it where it may wait and another one is on
    /// its way.
    pub(super) fn begin(&mut self, about: K, id: StepId, step: T, may_wait: bool) -> Option<T> {
        let moving = self.moving.entry(about).or_insert_with(|| Moving {
            movers: BTreeSet::new(),
            waiting: Vec::new(),
        });
        let is_anothers = !moving.movers.is_empty() && !moving.movers.contains(&id);
        if may_wait && is_anothers {
            moving.waiting.push(step);
            self.waiting += 1;
            return None;
        }
        moving.movers.insert(id);
        Some(step)
    }

    /// A step that began has ended for good, whichever way. Answers who waited, once it was the last one.
    pub(super) fn end(&mut self, about: &K, id: StepId) -> Vec<T> {
        let Some(moving) = self.moving.get_mut(about) else {
            return Vec::new();
        };
        moving.movers.remove(&id);
        if !moving.movers.is_empty() {
            return Vec::new();
        }
        let ended = self.moving.remove(about);
        let waited = ended.map_or_else(Vec::new, |moving| moving.waiting);
        self.waiting -= waited.len();
        waited
    }

    /// Lets everybody go: those whom they wait for are not here any more.
    pub(super) fn let_go(&mut self) -> Vec<T> {
        self.waiting = 0;
        let moving = std::mem::take(&mut self.moving).into_values();
        moving.flat_map(|moving| moving.waiting).collect()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_wait_waits_until_the_last_mover_has_ended() {
        let (a, b) = ("a", "b");
        let mut twins = Twins::default();
        let mut begin = |about, id, may_wait| twins.begin(about, StepId(id), id, may_wait);
        assert_eq!(begin(a, 1, true), Some(1));
        assert_eq!(begin(a, 2, true), None);
        // One that goes on whatever others do, and one that comes back.
        assert_eq!(begin(a, 3, false), Some(3));
        assert_eq!(begin(a, 1, true), Some(1));
        assert_eq!(begin(b, 4, true), Some(4));
        assert_eq!(twins.waiting(), 1);
        assert!(twins.end(&a, StepId(1)).is_empty());
        assert_eq!(twins.end(&a, StepId(3)), [2]);
        assert_eq!(twins.waiting(), 0);
        assert!(twins.end(&a, StepId(3)).is_empty());
        assert_eq!(twins.begin(b, StepId(5), 5, true), None);
        assert_eq!(twins.let_go(), [5]);
        assert_eq!(twins.waiting(), 0);
        assert_eq!(twins.begin(b, StepId(5), 5, true), Some(5));
    }
}
