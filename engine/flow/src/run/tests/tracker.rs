//! Figures: rates that forget, and bytes that are counted once.

use std::time::Duration;

use crate::run::rate::Rate;
use crate::run::tracker::Counted;

#[test]
fn a_rate_is_right_from_the_first_second_and_follows_a_change() {
    let mut rate = Rate::default();
    assert_eq!(rate.time_for(1), None);
    assert_eq!(rate.time_for(0), Some(Duration::ZERO));
    let second = Duration::from_secs(1);
    rate.add(100, second);
    assert!((rate.per_second() - 100.0).abs() < 1e-6);
    assert_eq!(rate.time_for(1_000).unwrap().as_secs(), 10);
    for _ in 0..10 {
        rate.add(0, second);
    }
    assert!(rate.per_second() < 100.0 / 2.0, "{}", rate.per_second());
    for _ in 0..60 {
        rate.add(1_000, second);
    }
    assert!(
        (rate.per_second() - 1_000.0).abs() < 10.0,
        "{}",
        rate.per_second()
    );
    rate.add(5, Duration::ZERO);
    assert!((rate.per_second() - 1_000.0).abs() < 10.0);
}

#[test]
fn what_an_earlier_attempt_brought_is_there_and_was_not_moved() {
    let mut counted = Counted::new(30);
    assert_eq!(counted.update(0), 0);
    assert_eq!(counted.update(30), 0);
    assert_eq!(counted.there(), 30);
    assert_eq!(counted.update(40), 10);
    // It begins again.
    assert_eq!(counted.update(5), 5);
    assert_eq!(counted.end(70), 55);
}

#[test]
fn a_session_that_could_not_go_on_moves_everything() {
    let mut counted = Counted::new(30);
    assert_eq!(counted.update(10), 10);
    assert_eq!(counted.update(50), 40);
    assert_eq!(counted.end(50), 0);
}
