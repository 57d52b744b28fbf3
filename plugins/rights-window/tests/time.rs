//! A ruling stands until it says it ceases to, whatever days, zone and moment.

use jiff::Timestamp;
use proptest::prelude::*;
use rights_window::RightsWindow;
use windlass_sdk::{
    AssetView, Date, Decision, Origin, Plugin, Release, RightsHook, Ruling, Statement, TestHost,
    Value,
};

fn gate(zone: &str) -> RightsWindow {
    let config = serde_json::json!({
        "time_zone": zone,
        "valid": { "from": "from", "until": "until", "embargo": "embargo", "required": [] },
        "status": { "field": "status", "allowed": ["approved"] },
        "consent": [{ "name": "release", "state": "status", "granted": ["approved"], "expires": "expires" }],
    });
    let config = config.to_string();
    RightsWindow::configure(&config, &[Origin::Source], &TestHost::default()).unwrap()
}

fn release(days: &[(&str, Option<Date>)], approved: bool) -> Release {
    let status = if approved { "approved" } else { "draft" };
    let mut stated = vec![("status", Value::Text(status.to_owned()))];
    let days = days
        .iter()
        .filter_map(|(name, day)| Some((*name, Value::Date((*day)?))));
    stated.extend(days);
    let statements = stated.into_iter().map(|(name, value)| Statement {
        origin: Origin::Source,
        name: name.to_owned(),
        value,
    });
    Release {
        asset: AssetView {
            id: "1".to_owned(),
            path: "/a.tif".to_owned(),
            revision: "1".to_owned(),
            size: 0,
            modified: None,
            tags: Vec::new(),
            content_hash: None,
            asset_type: None,
            statements: statements.collect(),
        },
        audience: "press".to_owned(),
        market: None,
        channel: None,
        at: String::new(),
    }
}

fn decide(gate: &RightsWindow, release: &Release, at: Timestamp) -> Ruling {
    let release = Release {
        at: at.to_string(),
        ..release.clone()
    };
    gate.decide(&release, &TestHost::default())
}

/// Days around both changes of the clocks, and the ends of time.
fn days() -> impl Strategy<Value = Option<Date>> {
    let day = |year, month, day| Some(Date { year, month, day });
    prop_oneof![
        2 => Just(None),
        6 => (1..=12u8, 1..=28u8).prop_map(move |(month, d)| day(2024, month, d)),
        1 => (24..=31u8).prop_map(move |d| day(2024, 3, d)),
        1 => Just(day(1, 1, 1)),
        1 => (27..=31u8).prop_map(move |d| day(9999, 12, d)),
    ]
}

fn moments() -> impl Strategy<Value = Timestamp> {
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    let (first, last) = (
        second("2023-12-20T00:00:00Z"),
        second("2025-01-10T00:00:00Z"),
    );
    prop_oneof![
        8 => (first..last).prop_map(|second| Timestamp::from_second(second).unwrap()),
        // Hours are where days begin and end.
        4 => (first / 3600..last / 3600).prop_map(|h| Timestamp::from_second(h * 3600).unwrap()),
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn a_ruling_stands_until_then_and_no_longer(
        zone in prop_oneof![
            Just("UTC"), Just("Europe/Berlin"), Just("America/Havana"), Just("Africa/Cairo"), Just("Pacific/Apia"),
        ],
        (from, until, embargo, expires) in (days(), days(), days(), days()),
        approved in proptest::bool::weighted(0.8),
        at in moments(),
    ) {
        let gate = gate(zone);
        let release = release(
            &[("from", from), ("until", until), ("embargo", embargo), ("expires", expires)],
            approved,
        );
        let ruling = decide(&gate, &release, at);
        if ruling.decision == Decision::Allow {
            prop_assert!(approved);
        }
        let later = |moment: Timestamp| decide(&gate, &release, moment).decision;
        match &ruling.until {
            None => prop_assert_eq!(later(Timestamp::MAX), ruling.decision),
            Some(until) => {
                let until: Timestamp = until.parse().unwrap();
                prop_assert!(until > at);
                let last = until - jiff::SignedDuration::from_nanos(1);
                prop_assert_eq!(later(last), ruling.decision);
                prop_assert_ne!(later(until), ruling.decision);
                let middle = Timestamp::from_second((at.as_second() + until.as_second()) / 2);
                prop_assert_eq!(later(middle.unwrap().max(at)), ruling.decision);
            }
        }
    }
}

#[test]
fn a_moment_that_cannot_be_read_is_held() {
    let release = release(&[], true);
    let ruling = gate("UTC").decide(&release, &TestHost::default());
    assert_eq!(ruling.decision, Decision::Hold);
    assert!(
        ruling.reason.contains("cannot be read"),
        "{}",
        ruling.reason
    );
}
