//! One flow: what makes it pass, and what keeps it.

use super::*;

fn with(rules: FlowRules) -> Scheduler {
    let mut scheduler = Scheduler::new(2);
    scheduler.configure(rules, at(0));
    scheduler
}

/// The same after its first pass, which took ten seconds.
fn settled(rules: FlowRules) -> Scheduler {
    let mut scheduler = with(rules);
    assert_eq!(orders(&mut scheduler, 0), ["a Full Start"]);
    scheduler.ended("a", at(10), done());
    scheduler
}

#[test]
fn a_flow_passes_at_once_when_the_daemon_begins_and_then_waits() {
    let mut scheduler = settled(inward("a"));
    assert_eq!(orders(&mut scheduler, 10), nothing());
    let standing = &scheduler.standings(at(10))[0];
    assert_eq!(standing.doing, Doing::Idle);
    assert_eq!(standing.why, "waits for changes");
    assert_eq!(standing.complete_as_of, Some(at(0)));
    assert!(standing.settled);
    assert_eq!(standing.next, Some(at(910)));
    assert_eq!(standing.next_is, Some(Upcoming::Full));
}

#[test]
fn rings_during_a_pass_make_one_more_however_many_they_are() {
    let mut scheduler = settled(inward("a"));
    scheduler.ring("a", at(20));
    assert_eq!(orders(&mut scheduler, 20), ["a Full Ring"]);
    for second in 21..25 {
        scheduler.ring("a", at(second));
        assert_eq!(orders(&mut scheduler, second), nothing(), "one at a time");
    }
    scheduler.ended("a", at(30), done());
    assert_eq!(orders(&mut scheduler, 30), ["a Full Ring"]);
    scheduler.ended("a", at(31), done());
    assert_eq!(orders(&mut scheduler, 31), nothing());
}

#[test]
fn who_works_is_asked_once_a_ring_to_look_beside_that_and_passes_again_all_the_same() {
    let mut scheduler = settled(inward("a"));
    scheduler.ring("a", at(20));
    assert_eq!(orders(&mut scheduler, 20), ["a Full Ring"]);
    scheduler.ring("a", at(21));
    assert_eq!(orders(&mut scheduler, 21), nothing(), "it still plans");
    scheduler.planned("a");
    assert_eq!(orders(&mut scheduler, 22), ["a looks"]);
    assert_eq!(orders(&mut scheduler, 23), nothing(), "once a ring");
    scheduler.ring("a", at(24));
    scheduler.ring("a", at(24));
    assert_eq!(orders(&mut scheduler, 24), ["a looks"]);
    scheduler.ended("a", at(30), done());
    assert_eq!(orders(&mut scheduler, 30), ["a Full Ring"]);
    scheduler.planned("a");
    assert_eq!(orders(&mut scheduler, 31), nothing(), "it answers the ring");
}

#[test]
fn who_sweeps_or_is_about_to_end_looks_at_nothing_beside_that() {
    let mut scheduler = settled(outward("a"));
    scheduler.ring("a", at(20));
    assert_eq!(orders(&mut scheduler, 20), ["a Sweep Ring"]);
    scheduler.planned("a");
    scheduler.ring("a", at(21));
    assert_eq!(orders(&mut scheduler, 21), nothing());
    scheduler.ended("a", at(22), done());

    let mut scheduler = settled(inward("a"));
    scheduler.ring("a", at(20));
    assert_eq!(orders(&mut scheduler, 20), ["a Full Ring"]);
    scheduler.planned("a");
    scheduler.drain();
    scheduler.ring("a", at(21));
    assert_eq!(orders(&mut scheduler, 21), ["stop a"]);
}

#[test]
fn a_flow_passes_after_its_interval_whoever_rings() {
    let mut scheduler = settled(inward("a"));
    assert_eq!(wakes(&scheduler, 10), Some(910));
    assert_eq!(orders(&mut scheduler, 909), nothing());
    assert_eq!(orders(&mut scheduler, 910), ["a Full Interval"]);
    assert_eq!(
        orders(&mut scheduler, 1_900),
        nothing(),
        "long ones do not follow each other"
    );
    scheduler.ended("a", at(2_000), done());
    assert_eq!(wakes(&scheduler, 2_000), Some(2_900));
}

#[test]
fn where_nobody_rings_somebody_looks() {
    let mut scheduler = settled(FlowRules {
        poll: Some(Duration::from_secs(15)),
        ..inward("a")
    });
    assert_eq!(wakes(&scheduler, 10), Some(25));
    assert_eq!(orders(&mut scheduler, 25), ["a Full Poll"]);
    assert_eq!(orders(&mut scheduler, 100), nothing());
    scheduler.ended("a", at(100), done());
    assert_eq!(orders(&mut scheduler, 114), nothing());
    assert_eq!(orders(&mut scheduler, 115), ["a Full Poll"]);
}

#[test]
fn where_nobody_rings_somebody_looks_beside_what_works_too() {
    let mut scheduler = settled(FlowRules {
        poll: Some(Duration::from_secs(15)),
        ..inward("a")
    });
    assert_eq!(orders(&mut scheduler, 25), ["a Full Poll"]);
    scheduler.planned("a");
    assert_eq!(wakes(&scheduler, 30), Some(40));
    assert_eq!(orders(&mut scheduler, 40), ["a looks"]);
    assert_eq!(orders(&mut scheduler, 54), nothing());
    assert_eq!(orders(&mut scheduler, 55), ["a looks"]);
    scheduler.ended("a", at(60), done());
    assert_eq!(orders(&mut scheduler, 60), nothing(), "nobody rang");
    assert_eq!(orders(&mut scheduler, 75), ["a Full Poll"]);
}

#[test]
fn where_somebody_rings_nobody_looks_until_they_are_gone() {
    let mut scheduler = settled(FlowRules {
        poll: Some(Duration::from_secs(15)),
        ..inward("a")
    });
    scheduler.is_rung_for("a", true);
    assert_eq!(orders(&mut scheduler, 500), nothing());
    scheduler.is_rung_for("a", false);
    assert_eq!(orders(&mut scheduler, 501), ["a Full Poll"]);
}

#[test]
fn a_flow_is_settled_once_it_has_passed_or_waits_for_nothing_but_its_time() {
    let settled_at = |scheduler: &Scheduler, seconds| scheduler.standings(at(seconds))[0].settled;
    let mut scheduler = with(inward("a"));
    assert!(!settled_at(&scheduler, 0));
    scheduler.advance(at(0));
    scheduler.ended("a", at(1), failed());
    assert!(!settled_at(&scheduler, 1));
    scheduler.advance(at(6));
    scheduler.ended("a", at(7), done());
    scheduler.ring("a", at(8));
    scheduler.advance(at(8));
    scheduler.ended("a", at(9), failed());
    assert!(settled_at(&scheduler, 9), "it has passed once");
    let closed = windows(&["12:00-13:00 off"]);
    let mut scheduler = with(FlowRules {
        windows: closed.clone(),
        ..outward("a")
    });
    assert!(!settled_at(&scheduler, 0), "it has not swept yet");
    assert_eq!(orders(&mut scheduler, 0), ["a Sweep Start"]);
    let scheduler = with(FlowRules {
        windows: closed,
        ..inward("a")
    });
    assert!(settled_at(&scheduler, 0));
}

#[test]
fn a_pass_that_failed_is_made_again_later_and_later_and_no_ring_hastens_it() {
    let mut scheduler = with(inward("a"));
    let mut now = 0;
    for wait in [5, 10, 20, 40, 80, 160, 320, 640, 900, 900] {
        assert_eq!(orders(&mut scheduler, now).len(), 1, "at {now}");
        scheduler.ended("a", at(now), failed());
        scheduler.ring("a", at(now));
        assert_eq!(orders(&mut scheduler, now + wait - 1), nothing());
        now += wait;
        let standing = &scheduler.standings(at(now - 1))[0];
        assert_eq!(standing.next, Some(at(now)));
        assert_eq!(standing.next_is, Some(Upcoming::Again));
        assert!(
            standing.why.contains("the account is locked"),
            "{}",
            standing.why
        );
    }
    assert_eq!(orders(&mut scheduler, now).len(), 1);
    scheduler.ended("a", at(now), done());
    scheduler.ring("a", at(now));
    assert_eq!(
        orders(&mut scheduler, now),
        ["a Full Ring"],
        "it is forgotten"
    );
}

#[test]
fn waits_after_failures_differ_by_the_jitter() {
    let wait = |jitter: f64| {
        let mut scheduler = with(inward("a"));
        scheduler.advance(at(0));
        scheduler.ended("a", at(0), PassEnded { jitter, ..failed() });
        scheduler
            .wakes_at(at(0))
            .unwrap()
            .duration_since(at(0))
            .as_millis()
    };
    assert_eq!((wait(0.0), wait(0.5), wait(1.0)), (2_500, 3_750, 5_000));
    assert_eq!(wait(7.0), 5_000, "nobody waits longer than the bound");
}

#[test]
fn a_right_that_ends_is_a_sweep_at_that_moment() {
    let mut scheduler = with(outward("a"));
    scheduler.advance(at(0));
    let due = Some(at(60));
    scheduler.ended("a", at(10), PassEnded { due, ..done() });
    assert_eq!(wakes(&scheduler, 10), Some(60));
    assert_eq!(orders(&mut scheduler, 59), nothing());
    assert_eq!(orders(&mut scheduler, 60), ["a Sweep Due"]);
    // It cannot be taken back yet.
    scheduler.ended("a", at(61), PassEnded { due, ..done() });
    assert_eq!(orders(&mut scheduler, 61), nothing());
    assert_eq!(orders(&mut scheduler, 71), ["a Sweep Due"]);
}

#[test]
fn a_full_pass_makes_way_for_a_sweep_that_is_due_once_it_has_planned_and_goes_on_behind_it() {
    let mut scheduler = with(outward("a"));
    scheduler.advance(at(0));
    assert_eq!(orders(&mut scheduler, 900), nothing(), "it still plans");
    scheduler.planned("a");
    assert_eq!(orders(&mut scheduler, 910), ["stop a"]);
    assert_eq!(orders(&mut scheduler, 911), nothing(), "it is told once");
    scheduler.ended("a", at(920), ended(PassOutcome::Stopped));
    assert_eq!(orders(&mut scheduler, 920), ["a Sweep Interval"]);
    scheduler.ended("a", at(925), done());
    assert_eq!(orders(&mut scheduler, 925), ["a Full Again"]);
}

#[test]
fn rings_do_not_stop_a_full_pass() {
    let mut scheduler = with(outward("a"));
    scheduler.advance(at(0));
    scheduler.planned("a");
    scheduler.ring("a", at(5));
    assert_eq!(orders(&mut scheduler, 5), nothing());
    scheduler.ended("a", at(10), done());
    assert_eq!(orders(&mut scheduler, 10), ["a Sweep Ring"]);
}

#[test]
fn bulk_keeps_to_its_window_and_sweeps_do_not_care() {
    let mut scheduler = with(FlowRules {
        windows: windows(&["12:30-13:00 off"]),
        ..outward("a")
    });
    assert_eq!(orders(&mut scheduler, 0), ["a Full Start"]);
    assert_eq!(wakes(&scheduler, 0), Some(900));
    assert_eq!(orders(&mut scheduler, 1_800), ["stop a"]);
    scheduler.ended("a", at(1_801), ended(PassOutcome::Stopped));
    assert_eq!(orders(&mut scheduler, 1_801), ["a Sweep Interval"]);
    scheduler.ended("a", at(1_810), done());
    assert_eq!(
        why(&scheduler, 1_810),
        "its window is closed until 2026-11-30 13:00:00Z"
    );
    scheduler.ring("a", at(1_820));
    assert_eq!(orders(&mut scheduler, 1_820), ["a Sweep Ring"]);
    scheduler.ended("a", at(1_830), done());
    assert_eq!(orders(&mut scheduler, 3_599), ["a Sweep Interval"]);
    scheduler.ended("a", at(3_599), done());
    assert_eq!(wakes(&scheduler, 3_599), Some(3_600));
    assert_eq!(orders(&mut scheduler, 3_600), ["a Full Again"]);
    assert_eq!(scheduler.standings(at(3_600))[0].doing, Doing::Running);
}

#[test]
fn a_schedule_makes_full_passes_and_nothing_else_does() {
    let scheduled = FlowRules {
        schedule: vec![Schedule::parse("0 14 * * *", &TimeZone::UTC).unwrap()],
        full_every: None,
        at_start: None,
        on_ring: None,
        ..inward("a")
    };
    let mut scheduler = with(scheduled);
    scheduler.ring("a", at(5));
    assert_eq!(orders(&mut scheduler, 5), nothing());
    assert_eq!(why(&scheduler, 5), "waits for its time");
    assert_eq!(wakes(&scheduler, 5), Some(7_200));
    assert_eq!(orders(&mut scheduler, 7_200), ["a Full Schedule"]);
    scheduler.ended("a", at(7_300), done());
    assert_eq!(wakes(&scheduler, 7_300), Some(7_200 + 86_400));
}

#[test]
fn other_rules_hold_from_the_next_pass_on() {
    let mut scheduler = with(inward("a"));
    scheduler.advance(at(0));
    let quiet = FlowRules {
        on_ring: None,
        at_start: None,
        ..inward("a")
    };
    scheduler.configure(quiet, at(1));
    scheduler.ring("a", at(2));
    scheduler.ended("a", at(3), done());
    assert_eq!(orders(&mut scheduler, 3), ["a Full Ring"], "it rang before");
    scheduler.ring("a", at(4));
    scheduler.ended("a", at(5), done());
    assert_eq!(orders(&mut scheduler, 5), nothing());
    scheduler.configure(inward("a"), at(6));
    assert_eq!(orders(&mut scheduler, 6), ["a Full Start"]);
    scheduler.remove("a");
    assert_eq!(
        scheduler.standings(at(7)).len(),
        1,
        "it is let come to its end"
    );
    scheduler.ended("a", at(8), done());
    assert!(scheduler.standings(at(8)).is_empty());
    assert_eq!(scheduler.wakes_at(at(8)), None);
}

#[test]
fn draining_ends_what_runs_and_begins_nothing() {
    let mut scheduler = with(inward("a"));
    scheduler.advance(at(0));
    scheduler.ring("a", at(1));
    scheduler.drain();
    assert_eq!(orders(&mut scheduler, 2), ["stop a"]);
    assert!(!scheduler.is_at_rest());
    scheduler.ended("a", at(3), ended(PassOutcome::Stopped));
    assert_eq!(orders(&mut scheduler, 5_000), nothing());
    assert!(scheduler.is_at_rest() && scheduler.is_draining());
    assert_eq!(why(&scheduler, 5_000), "the daemon ends");
}

#[test]
fn what_a_ledger_remembers_is_recalled() {
    let mut scheduler = with(outward("a"));
    let complete = |scheduler: &Scheduler| scheduler.standings(at(0))[0].complete_as_of;
    scheduler.recall("a", Some(at(-500)));
    assert_eq!(complete(&scheduler), Some(at(-500)));
    scheduler.advance(at(0));
    scheduler.ended("a", at(5), done());
    scheduler.recall("a", Some(at(-500)));
    assert_eq!(complete(&scheduler), Some(at(0)), "what is newer stays");
}
