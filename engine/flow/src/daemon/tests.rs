//! The scheduler on a clock of its own: what runs when, and what is said of it.

mod passes;
mod turns;
mod zones;

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;

/// A moment so many seconds after the beginning of a test: 2026-11-30 at 12:00, a Monday.
fn at(seconds: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_secs(seconds)
}

/// A flow that brings something in: everything is done on each ring, and every quarter of an hour.
fn inward(flow: &str) -> FlowRules {
    FlowRules {
        flow: flow.to_owned(),
        priority: Priority::Normal,
        schedule: Vec::new(),
        full_every: Some(Duration::from_secs(900)),
        sweep_every: None,
        poll: None,
        on_ring: Some(Pass::Full),
        at_start: Some(Pass::Full),
        on_due: Pass::Full,
        windows: Windows::default(),
    }
}

/// A flow that hands something out: it sweeps on rings and every quarter of an hour, and does all now and then.
fn outward(flow: &str) -> FlowRules {
    FlowRules {
        sweep_every: Some(Duration::from_secs(900)),
        on_ring: Some(Pass::Sweep),
        on_due: Pass::Sweep,
        ..inward(flow)
    }
}

fn windows(texts: &[&str]) -> Windows {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    Windows::parse(&texts, &TimeZone::UTC).unwrap()
}

fn ended(outcome: PassOutcome) -> PassEnded {
    PassEnded {
        outcome,
        due: None,
        jitter: 1.0,
    }
}

fn done() -> PassEnded {
    ended(PassOutcome::Done { failed: 0 })
}

fn failed() -> PassEnded {
    ended(PassOutcome::Failed("the account is locked".to_owned()))
}

/// What began, as `flow pass trigger`, and what is to end, as `stop flow`.
fn orders(scheduler: &mut Scheduler, seconds: i64) -> Vec<String> {
    let orders = scheduler.advance(at(seconds));
    let said = orders.into_iter().map(|order| match order {
        Order::Look { flow } => format!("{flow} looks"),
        Order::Start { flow, pass, why } => format!("{flow} {pass:?} {why:?}"),
        Order::Stop { flow, .. } => format!("stop {flow}"),
    });
    said.collect()
}

/// When it wants to be asked again, in seconds.
fn wakes(scheduler: &Scheduler, seconds: i64) -> Option<i64> {
    let moment = scheduler.wakes_at(at(seconds))?;
    Some(moment.duration_since(at(0)).as_secs())
}

fn nothing() -> Vec<String> {
    Vec::new()
}

fn why(scheduler: &Scheduler, seconds: i64) -> String {
    scheduler.standings(at(seconds))[0].why.clone()
}
