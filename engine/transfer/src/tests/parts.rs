//! Models of the ring, the window, the progress and the single flight.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::ring::{OrderRing, RingError};
use crate::window::Window;
use crate::{Phase, Progress};

proptest! {
    #[test]
    fn the_ring_behaves_like_a_sorted_map_with_bounds(
        capacity in 1u64..9,
        steps in prop::collection::vec((any::<bool>(), 0u64..24), 0..80),
    ) {
        let mut ring = OrderRing::new(capacity);
        let mut model = BTreeMap::new();
        let mut next = 0;
        for (insert, index) in steps {
            if insert {
                let expected = if index >= next + capacity {
                    Err(RingError::Beyond { index, end: next + capacity })
                } else if index < next || model.contains_key(&index) {
                    Err(RingError::Twice { index })
                } else {
                    model.insert(index, index * 10);
                    Ok(())
                };
                prop_assert_eq!(ring.reaches(index), index < next + capacity);
                prop_assert_eq!(ring.insert(index, index * 10), expected);
            } else {
                let expected = model.remove_entry(&next);
                next += u64::from(expected.is_some());
                prop_assert_eq!(ring.next_is_here(), expected.is_some());
                prop_assert_eq!(ring.pop(), expected);
            }
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.is_empty(), model.is_empty());
            prop_assert_eq!(ring.next_index(), next);
        }
    }
}

#[test]
fn a_chunk_leaves_the_window_when_it_is_both_hashed_and_pushed() {
    let mut window = Window::new(20);
    assert!(window.has_room(100), "an empty window lets any chunk in");
    window.open(0, 8);
    window.open(1, 8);
    assert!(!window.has_room(8) && window.has_room(4));
    window.pushed(1);
    window.pushed(1);
    assert_eq!(window.bytes(), 16);
    window.hashed(1);
    assert_eq!(window.bytes(), 8);
    window.hashed(0);
    window.hashed(7);
    window.pushed(0);
    assert_eq!(window.bytes(), 0);
}

#[test]
fn a_window_that_begins_narrow_widens_with_the_first_acknowledgement() {
    let mut window = Window::new(100).beginning_with(20);
    assert!(window.has_room(50), "an empty window lets any chunk in");
    window.open(0, 10);
    assert!(window.has_room(10) && !window.has_room(11));
    window.hashed(0);
    assert!(!window.has_room(11), "a digest tells nothing of the sink");
    window.open(1, 10);
    window.pushed(0);
    assert!(window.has_room(90) && !window.has_room(91));
}

#[test]
fn every_phase_is_read_as_it_was_written_and_has_its_own_reason() {
    let phases = [
        Phase::Queued,
        Phase::Opening,
        Phase::Reading,
        Phase::Pushing,
        Phase::Hashing,
        Phase::Starved,
        Phase::Committing,
        Phase::Looking,
        Phase::Undoing,
        Phase::Ended,
    ];
    let progress = Progress::new();
    let mut reasons = std::collections::BTreeSet::new();
    for phase in phases {
        progress.enter(phase);
        assert_eq!(progress.snapshot().phase, phase);
        assert!(reasons.insert(phase.reason()));
    }
}
