//! Schedules and windows in time zones, also on the days on which clocks are put forward and back.

use super::*;

fn vienna() -> TimeZone {
    TimeZone::get("Europe/Vienna").unwrap()
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, &TimeZone::UTC).unwrap()
}

fn local(texts: &[&str]) -> Windows {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    Windows::parse(&texts, &vienna()).unwrap()
}

/// The next times of a schedule, as its own zone's clocks say them.
fn times(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let mut now = moment(from);
    let mut times = Vec::new();
    for _ in 0..count {
        now = schedule.after(now).unwrap();
        let zoned = now.to_zoned(vienna());
        times.push(zoned.strftime("%a %m-%d %H:%M %Z").to_string());
    }
    times
}

#[test]
fn a_schedule_is_meant_in_its_zone() {
    let evenings = schedule("0 20 * * 1-5 Europe/Vienna");
    assert_eq!(
        times(&evenings, "2026-10-22T19:00:00Z", 4),
        [
            "Fri 10-23 20:00 CEST",
            "Mon 10-26 20:00 CET",
            "Tue 10-27 20:00 CET",
            "Wed 10-28 20:00 CET",
        ]
    );
    assert_eq!(evenings.to_string(), "0 20 * * 1-5 Europe/Vienna");
    let zoneless = Schedule::parse("30 6 * * *", &vienna()).unwrap();
    assert_eq!(
        times(&zoneless, "2026-07-01T00:00:00Z", 1),
        ["Wed 07-01 06:30 CEST"]
    );
}

#[test]
fn a_time_that_a_day_does_not_have_comes_behind_the_gap_and_one_that_it_has_twice_comes_once() {
    let nights = schedule("30 2 * * * Europe/Vienna");
    assert_eq!(
        times(&nights, "2026-03-28T00:00:00Z", 3),
        [
            "Sat 03-28 02:30 CET",
            "Sun 03-29 03:00 CEST",
            "Mon 03-30 02:30 CEST",
        ]
    );
    assert_eq!(
        times(&nights, "2026-10-24T12:00:00Z", 2),
        ["Sun 10-25 02:30 CEST", "Mon 10-26 02:30 CET"]
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_its_text() {
    for (text, why) in [
        ("0 20 * *", "it has 4 words"),
        ("0 20 * * 1-5 Europe/Vienna now", "it has 7 words"),
        ("0 20 * * 1-5 Europe/Wien", "there is no time zone"),
        ("0 25 * * *", "is no schedule"),
        ("0 20 31 2 *", "is no schedule"),
        ("often", "it has 1 words"),
    ] {
        let error = Schedule::parse(text, &TimeZone::UTC).unwrap_err();
        assert!(error.message().contains(why), "{}", error.message());
        assert!(error.message().contains(text), "{}", error.message());
        assert!(error.hint().is_some());
    }
}

const NIGHTS: [&str; 2] = ["20:00-06:00 at most 200 Mbit/s", "06:00-20:00 off"];

/// What holds, and until when, as `rate until`.
fn holds(windows: &Windows, at: &str) -> String {
    let allowance = windows.at(moment(at));
    let until = allowance
        .until
        .map_or("for ever".to_owned(), |until| until.to_string());
    format!("{:?} until {until}", allowance.rate)
}

#[test]
fn a_window_may_lead_over_midnight() {
    let windows = local(&NIGHTS);
    assert_eq!(
        holds(&windows, "2026-07-01T18:00:00Z"),
        "AtMost(25000000) until 2026-07-02T04:00:00Z"
    );
    assert_eq!(
        holds(&windows, "2026-07-02T03:59:59Z"),
        "AtMost(25000000) until 2026-07-02T04:00:00Z"
    );
    assert_eq!(
        holds(&windows, "2026-07-02T04:00:00Z"),
        "Off until 2026-07-02T18:00:00Z"
    );
}

#[test]
fn a_night_is_an_hour_shorter_or_longer_when_clocks_change() {
    let windows = local(&NIGHTS);
    // Until six in the morning of the 29th, when it is four o'clock in Greenwich and no longer five.
    assert_eq!(
        holds(&windows, "2026-03-28T19:00:00Z"),
        "AtMost(25000000) until 2026-03-29T04:00:00Z"
    );
    assert_eq!(
        holds(&windows, "2026-10-24T18:00:00Z"),
        "AtMost(25000000) until 2026-10-25T05:00:00Z"
    );
}

#[test]
fn an_hour_that_comes_twice_is_in_its_window_twice() {
    let windows = local(&["02:30-02:45 off"]);
    for (now, expected) in [
        (
            "2026-10-25T00:00:00Z",
            "Unlimited until 2026-10-25T00:30:00Z",
        ),
        ("2026-10-25T00:30:00Z", "Off until 2026-10-25T00:45:00Z"),
        (
            "2026-10-25T00:45:00Z",
            "Unlimited until 2026-10-25T01:30:00Z",
        ),
        ("2026-10-25T01:40:00Z", "Off until 2026-10-25T01:45:00Z"),
        (
            "2026-10-25T01:45:00Z",
            "Unlimited until 2026-10-26T01:30:00Z",
        ),
    ] {
        assert_eq!(holds(&windows, now), expected, "at {now}");
    }
    // Until the clocks are put back it is half past two, and then it is two again.
    let windows = local(&["02:30-03:00 off"]);
    assert_eq!(
        holds(&windows, "2026-10-25T00:40:00Z"),
        "Off until 2026-10-25T01:00:00Z"
    );
    assert_eq!(
        holds(&windows, "2026-10-25T01:00:00Z"),
        "Unlimited until 2026-10-25T01:30:00Z"
    );
}

#[test]
fn a_window_that_would_begin_in_the_gap_begins_behind_it() {
    let windows = local(&["02:30-05:00 off"]);
    assert_eq!(
        holds(&windows, "2026-03-29T00:50:00Z"),
        "Unlimited until 2026-03-29T01:00:00Z"
    );
    assert_eq!(
        holds(&windows, "2026-03-29T01:00:00Z"),
        "Off until 2026-03-29T03:00:00Z"
    );
    let gone = local(&["02:15-02:45 off"]);
    assert_eq!(
        holds(&gone, "2026-03-29T00:50:00Z"),
        "Unlimited until 2026-03-30T00:15:00Z"
    );
}

#[test]
fn days_are_those_on_which_a_window_begins_and_the_first_that_holds_counts() {
    let windows = local(&[
        "Fri-Sun 22:00-08:00 unlimited",
        "00:00-24:00 at most 1 MB/s",
    ]);
    // Friday, and Saturday before eight.
    for now in ["2026-07-03T20:00:00Z", "2026-07-04T05:59:00Z"] {
        assert_eq!(windows.at(moment(now)).rate, Rate::Unlimited, "{now}");
    }
    // Thursday night, and Saturday at noon.
    for now in ["2026-07-02T22:00:00Z", "2026-07-04T10:00:00Z"] {
        assert_eq!(
            windows.at(moment(now)).rate,
            Rate::AtMost(1_000_000),
            "{now}"
        );
    }
    assert_eq!(
        holds(&windows, "2026-07-06T06:00:00Z"),
        "AtMost(1000000) until 2026-07-10T20:00:00Z"
    );
    let always = local(&["00:00-24:00 off"]);
    assert_eq!(holds(&always, "2026-07-06T06:00:00Z"), "Off until for ever");
    assert_eq!(
        holds(&Windows::default(), "2026-07-06T06:00:00Z"),
        "Unlimited until for ever"
    );
}

#[test]
fn what_is_no_window_is_refused_with_its_text() {
    for (text, why) in [
        ("20:00-06:00", "does not say what holds"),
        ("20-6 off", "\"20\" is not a time"),
        ("20:00 off", "not two times"),
        ("Mon-Fry 20:00-06:00 off", "\"Fry\" is not one of"),
        ("20:00-06:00 at most 200", "is not a rate"),
        ("20:00-06:00 at most 0 MB/s", "is not a rate"),
        ("20:00-06:00 at most 200 Mb/s", "may mean bits or bytes"),
        ("25:00-06:00 off", "\"25:00\" is not a time"),
        ("", "\"\" is not one of"),
    ] {
        let error = Windows::parse(&[text.to_owned()], &TimeZone::UTC).unwrap_err();
        assert!(error.message().contains(why), "{}", error.message());
        assert!(error.hint().is_some());
    }
}
