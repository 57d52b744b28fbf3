//! Steps that wait for another one which is about the same: two of one content in flight move it once, and nobody links
//! to an asset while another step changes it.

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
    /// Who is about it. One that is tried again may still be.
    movers: BTreeSet<StepId>,
    /// None of them minds others that do not mind either.
    is_shared: bool,
    /// How many failed for good.
    failures: u32,
    waiting: Vec<T>,
}

impl<T> Moving<T> {
    /// How many may be about it at once: one, and after some failures twice as many for each, so that thousands of which
    /// each fails do not fail one after the other.
    fn at_once(&self) -> usize {
        1 << self.failures.saturating_sub(FAILURES_ALONE).min(30)
    }
}

/// After so many failures it is likely that others fail too.
const FAILURES_ALONE: u32 = 2;

/// How a step is about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on whatever others do.
    Never,
    /// It waits until nobody else is about it.
    Alone,
    /// It waits for those only that want to be alone.
    Shared,
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
    /// A step is about to begin. Gives it back if it is to do so, and keeps it where it has to wait.
    pub(super) fn begin(&mut self, about: K, id: StepId, step: T, turn: Turn) -> Option<T> {
        let moving = self.moving.entry(about).or_insert_with(|| Moving {
            movers: BTreeSet::new(),
            is_shared: true,
            failures: 0,
            waiting: Vec::new(),
        });
        let others = moving.movers.iter().filter(|mover| **mover != id).count();
        let waits = match turn {
            Turn::Never => false,
            Turn::Alone => others >= moving.at_once(),
            Turn::Shared => others > 0 && !moving.is_shared,
        };
        if waits {
            moving.waiting.push(step);
            self.waiting += 1;
            return None;
        }
        moving.is_shared &= turn == Turn::Shared;
        moving.movers.insert(id);
        Some(step)
    }

    /// A step that began has ended. Answers who waited, once it was the last one or brought about what it was to.
    pub(super) fn end(&mut self, about: &K, id: StepId, well: bool) -> Vec<T> {
        let Some(moving) = self.moving.get_mut(about) else {
            return Vec::new();
        };
        if !moving.movers.remove(&id) {
            return Vec::new();
        }
        if !well {
            moving.failures = moving.failures.saturating_add(1);
        }
        let is_last = moving.movers.is_empty();
        let may_go = is_last || (well && moving.at_once() > 1);
        if !may_go {
            return Vec::new();
        }
        let waited = std::mem::take(&mut moving.waiting);
        self.waiting -= waited.len();
        if is_last && (well || waited.is_empty()) {
            self.moving.remove(about);
        }
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
        let mut begin = |about, id, turn| twins.begin(about, StepId(id), id, turn);
        assert_eq!(begin(a, 1, Turn::Alone), Some(1));
        assert_eq!(begin(a, 2, Turn::Alone), None);
        // One that goes on whatever others do, and one that comes back.
        assert_eq!(begin(a, 3, Turn::Never), Some(3));
        assert_eq!(begin(a, 1, Turn::Never), Some(1));
        assert_eq!(begin(b, 4, Turn::Alone), Some(4));
        assert_eq!(twins.waiting(), 1);
        assert!(twins.end(&a, StepId(1), true).is_empty());
        assert_eq!(twins.end(&a, StepId(3), true), [2]);
        assert_eq!(twins.waiting(), 0);
        assert!(twins.end(&a, StepId(3), true).is_empty());
        assert_eq!(twins.begin(b, StepId(5), 5, Turn::Alone), None);
        assert_eq!(twins.let_go(), [5]);
        assert_eq!(twins.waiting(), 0);
        assert_eq!(twins.begin(b, StepId(5), 5, Turn::Alone), Some(5));
    }

    #[test]
    fn who_shares_waits_only_for_who_wants_to_be_alone() {
        let mut twins = Twins::default();
        let mut begin = |id, turn| twins.begin("x", StepId(id), id, turn);
        assert_eq!(begin(1, Turn::Shared), Some(1));
        assert_eq!(begin(2, Turn::Shared), Some(2));
        assert_eq!(begin(3, Turn::Alone), None);
        assert!(twins.end(&"x", StepId(1), true).is_empty());
        assert_eq!(twins.end(&"x", StepId(2), true), [3]);
        let mut begin = |id, turn| twins.begin("x", StepId(id), id, turn);
        assert_eq!(begin(3, Turn::Alone), Some(3));
        assert_eq!(begin(4, Turn::Shared), None);
        assert_eq!(begin(5, Turn::Alone), None);
        assert_eq!(twins.end(&"x", StepId(3), true), [4, 5]);
    }

    #[test]
    fn failures_let_more_and_more_go_at_once_and_the_first_success_all_of_them() {
        let mut twins = Twins::default();
        let mut ready: Vec<i64> = (0..20).collect();
        let mut rounds = Vec::new();
        loop {
            let begun: Vec<i64> = ready
                .drain(..)
                .filter_map(|id| twins.begin("x", StepId(id), id, Turn::Alone))
                .collect();
            if begun.is_empty() {
                break;
            }
            rounds.push(begun.len());
            for id in begun {
                ready.append(&mut twins.end(&"x", StepId(id), false));
            }
        }
        assert_eq!(rounds, [1, 1, 1, 2, 8, 7]);
        assert_eq!(twins.waiting(), 0);

        for id in 1..=3 {
            assert_eq!(twins.begin("y", StepId(id), id, Turn::Alone), Some(id));
            assert_eq!(twins.begin("y", StepId(9), 9, Turn::Alone), None);
            assert_eq!(twins.end(&"y", StepId(id), false), [9]);
        }
        let mut begin = |id| twins.begin("y", StepId(id), id, Turn::Alone);
        assert_eq!((begin(4), begin(5), begin(6)), (Some(4), Some(5), None));
        // What it brought is there for the others.
        assert_eq!(twins.end(&"y", StepId(4), true), [6]);
    }
}
