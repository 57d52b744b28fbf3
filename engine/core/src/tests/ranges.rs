use proptest::prelude::*;

use crate::Ranges;

#[test]
fn touching_ranges_become_one() {
    let mut set = Ranges::new();
    set.insert(8..12);
    set.insert(0..4);
    assert_eq!(set.to_vec(), [0..4, 8..12]);
    assert_eq!(set.prefix_end(), 4);
    set.insert(4..8);
    assert_eq!(set.to_vec(), vec![0..12]);
    assert_eq!((set.prefix_end(), set.bytes()), (12, 12));
}

proptest! {
    #[test]
    fn a_set_of_ranges_is_a_set_of_bytes(ranges in prop::collection::vec((0_u64..60, 0_u64..12), 0..20)) {
        let mut set = Ranges::new();
        let mut bytes = [false; 80];
        for (start, length) in ranges {
            set.insert(start..start + length);
            bytes[start as usize..(start + length) as usize].fill(true);
        }
        prop_assert_eq!(set.bytes(), bytes.iter().filter(|byte| **byte).count() as u64);
        let mut last_end = None;
        for range in set.iter() {
            prop_assert!(last_end.is_none_or(|end| end < range.start), "disjoint and not touching");
            last_end = Some(range.end);
        }
        for start in 0..70_u64 {
            for end in start..(start + 6) {
                let slice = &bytes[start as usize..end as usize];
                prop_assert_eq!(set.contains(&(start..end)), slice.iter().all(|byte| *byte));
                prop_assert_eq!(set.overlaps(&(start..end)), slice.iter().any(|byte| *byte));
            }
        }
    }
}
