//! Several flows: whose turn it is.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn of(at_once: usize, rules: impl IntoIterator<Item = FlowRules>) -> Scheduler {
    let mut scheduler = Scheduler::new(at_once);
    for rules in rules {
        scheduler.configure(rules, at(0));
    }
    scheduler
}

fn with_priority(priority: Priority, rules: FlowRules) -> FlowRules {
    FlowRules { priority, ..rules }
}

#[test]
fn no_more_full_passes_run_at_once_than_may() {
    let mut scheduler = of(2, ["a", "b", "c"].map(inward));
    assert_eq!(orders(&mut scheduler, 0), ["a Full Start", "b Full Start"]);
    let waiting = &scheduler.standings(at(1))[2];
    assert_eq!(waiting.doing, Doing::Waiting);
    assert_eq!(waiting.why, "waits for its turn: 2 passes are under way");
    scheduler.ended("b", at(5), done());
    assert_eq!(orders(&mut scheduler, 5), ["c Full Start"]);
    scheduler.ended("a", at(6), done());
    scheduler.set_at_once(1);
    scheduler.ring("b", at(7));
    assert_eq!(orders(&mut scheduler, 7), nothing());
}

#[test]
fn changes_go_before_bulk_and_higher_priorities_before_lower() {
    let mut scheduler = of(
        1,
        [
            inward("a"),
            with_priority(Priority::Low, inward("low")),
            with_priority(Priority::High, inward("top")),
            inward("x"),
        ],
    );
    assert_eq!(orders(&mut scheduler, 0), ["top Full Start"]);
    scheduler.ring("x", at(1));
    scheduler.ended("top", at(2), done());
    assert_eq!(orders(&mut scheduler, 2), ["x Full Ring"]);
    scheduler.ended("x", at(3), done());
    assert_eq!(orders(&mut scheduler, 3), ["a Full Start"]);
    scheduler.ended("a", at(4), done());
    assert_eq!(orders(&mut scheduler, 4), ["low Full Start"]);
}

#[test]
fn a_sweep_has_a_place_beside_bulk() {
    let mut scheduler = of(1, [inward("a"), outward("b"), outward("c")]);
    assert_eq!(orders(&mut scheduler, 0), ["a Full Start"]);
    scheduler.ring("b", at(1));
    scheduler.ring("c", at(1));
    assert_eq!(orders(&mut scheduler, 1), ["b Sweep Ring"]);
    scheduler.ended("b", at(2), done());
    assert_eq!(orders(&mut scheduler, 2), ["c Sweep Ring"]);
}

#[test]
fn sweeps_do_not_keep_bulk_out_for_ever() {
    let mut scheduler = of(
        1,
        ["a", "b", "c"].map(|flow| FlowRules {
            at_start: Some(Pass::Sweep),
            full_every: None,
            ..outward(flow)
        }),
    );
    scheduler.configure(inward("bulk"), at(0));
    let mut running: Vec<String> = orders(&mut scheduler, 0);
    for now in 1..4_000 {
        // One sweep ends each second, and everybody rings again.
        if let Some(first) = running.iter().position(|order| order.contains("Sweep")) {
            let name = running.remove(first).split(' ').next().unwrap().to_owned();
            scheduler.ended(&name, at(now), done());
        }
        for flow in ["a", "b", "c"] {
            scheduler.ring(flow, at(now));
        }
        running.extend(orders(&mut scheduler, now));
        if running.iter().any(|order| order.starts_with("bulk")) {
            return;
        }
    }
    panic!("bulk had no turn in an hour");
}

/// How long a flow of any kind may have to wait in the world below.
const PATIENCE: i64 = 3 * 3_600;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: one pass a flow, no more at once than may, and nobody waits for ever.
    #[test]
    fn every_flow_has_its_turn(
        at_once in 1_usize..4,
        kinds in prop::collection::vec((any::<bool>(), 0_u8..3), 1..9),
        events in prop::collection::vec((0_usize..9, 1_i64..240, 0_u8..12), 200..400),
    ) {
        let mut scheduler = Scheduler::new(at_once);
        let names: Vec<String> = (0..kinds.len()).map(|n| format!("flow{n}")).collect();
        for (name, (out, priority)) in names.iter().zip(&kinds) {
            let priority = [Priority::High, Priority::Normal, Priority::Low][usize::from(*priority)];
            let rules = if *out { outward(name) } else { inward(name) };
            scheduler.configure(with_priority(priority, rules), at(0));
        }
        // What runs, and until when.
        let mut running: BTreeMap<String, (Pass, i64)> = BTreeMap::new();
        let mut waiting: BTreeMap<String, i64> = BTreeMap::new();
        let mut now = 0;
        for (who, seconds, what) in events {
            now += seconds;
            let over: Vec<String> = running
                .iter()
                .filter(|(_, (_, until))| *until <= now)
                .map(|(name, _)| name.clone())
                .collect();
            for name in over {
                running.remove(&name);
                let how = match what {
                    0 => failed(),
                    1 => ended(PassOutcome::Stopped),
                    _ => done(),
                };
                scheduler.ended(&name, at(now), how);
            }
            let ringing = &names[who % names.len()];
            scheduler.ring(ringing, at(now));
            for order in scheduler.advance(at(now)) {
                match order {
                    Order::Start { flow, pass, .. } => {
                        let length = 1 + (now * 7 + seconds) % 300;
                        if length % 2 == 0 {
                            scheduler.planned(&flow);
                        }
                        let before = running.insert(flow, (pass, now + length));
                        prop_assert!(before.is_none(), "one pass a flow");
                    }
                    Order::Look { flow } => {
                        let looks = running.get(&flow).map(|(pass, _)| *pass);
                        prop_assert_eq!(looks, Some(Pass::Full), "whoever works");
                    }
                    Order::Stop { flow, .. } => {
                        let (_, until) = running.get_mut(&flow).unwrap();
                        *until = now + 1;
                    }
                }
            }
            let full = running.values().filter(|(pass, _)| *pass == Pass::Full).count();
            prop_assert!(full <= at_once && running.len() <= at_once + 1);
            for standing in scheduler.standings(at(now)) {
                prop_assert_eq!(running.contains_key(&standing.flow), standing.pass.is_some());
                if standing.doing == Doing::Waiting && standing.failures == 0 {
                    let since = *waiting.entry(standing.flow.clone()).or_insert(now);
                    prop_assert!(now - since < PATIENCE, "{} waits since {since}", standing.flow);
                } else {
                    waiting.remove(&standing.flow);
                }
            }
            if let Some(next) = scheduler.wakes_at(at(now)) {
                prop_assert!(next > at(now));
            }
        }
    }
}
