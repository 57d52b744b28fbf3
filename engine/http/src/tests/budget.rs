//! The month's budget of calls: counted, forecast, enforced, recorded by others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use windlass_core::{Clock, Kind};

use super::governor::{assert_at_rest, governed};
use super::{Act, Script, get, ok, status};
use crate::{CallBudget, Client, Governor, GovernorOptions, LaneOptions, MonthlyBudget, Repeat};

const LIMIT: usize = 1 << 10;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Calendar(Mutex<Timestamp>);

impl Calendar {
    fn at(text: &str) -> Arc<Self> {
        Arc::new(Calendar(Mutex::new(text.parse().unwrap())))
    }

    fn set(&self, text: &str) {
        *self.0.lock().unwrap() = text.parse().unwrap();
    }
}

impl Clock for Calendar {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn monthly(calendar: &Arc<Calendar>, quota: u64) -> Arc<MonthlyBudget> {
    let clock: Arc<dyn Clock> = Arc::<Calendar>::clone(calendar);
    Arc::new(MonthlyBudget::new("archive", quota, clock))
}

fn with_budget(budget: &Arc<MonthlyBudget>) -> Governor {
    let budget: Arc<dyn CallBudget> = Arc::<MonthlyBudget>::clone(budget);
    Governor::new(GovernorOptions {
        budget: Some(budget),
        ..GovernorOptions::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_spent_month_refuses_counted_calls_and_says_when_it_renews() {
    let calendar = Calendar::at("2026-11-23T10:00:00Z");
    let budget = monthly(&calendar, 2);
    let script = Script::new((0..5).map(|_| ok("done")));
    let plain = governed(&script, &with_budget(&budget));
    let uploads = plain.lane_with(&LaneOptions {
        counted: true,
        ..LaneOptions::new(4)
    });
    let send = async |client: &Client| client.call_whole(get(Repeat::Idempotent), LIMIT).await;
    send(&uploads).await.unwrap();
    send(&uploads).await.unwrap();
    let error = send(&uploads).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (Kind::Capacity, false)
    );
    assert_eq!(
        error.message(),
        "the month's calls to the service are spent: 2 of 2, renewed on 2026-12-01"
    );
    send(&plain).await.unwrap();
    send(&uploads.counted(false)).await.unwrap();
    assert_eq!(script.sent(), 4, "the refused one was not sent");
    let standing = plain.governor().snapshot().budget.unwrap();
    assert_eq!((standing.used, standing.left()), (2, 0));
    calendar.set("2026-12-01T00:00:00Z");
    send(&uploads).await.unwrap();
    assert_eq!(budget.standing().used, 1);
    assert_at_rest(&uploads);
}

#[tokio::test(start_paused = true)]
async fn every_send_is_counted_and_only_what_never_left_is_not() {
    let calendar = Calendar::at("2026-11-23T10:00:00Z");
    let budget = monthly(&calendar, 100);
    let script = Script::new([Act::Unsent, Act::Lost, status(429), ok("done")]);
    let client = governed(&script, &with_budget(&budget)).counted(true);
    client
        .call_whole(get(Repeat::Idempotent), LIMIT)
        .await
        .unwrap();
    assert_eq!(budget.standing().used, 3);
    // A call that is dropped while it waits costs nothing.
    client.governor().pause(SECOND * 60);
    let waiting = client.call_whole(get(Repeat::Idempotent), LIMIT);
    assert!(tokio::time::timeout(SECOND, waiting).await.is_err());
    assert_eq!(budget.standing().used, 3);
}

#[test]
fn a_budget_forecasts_and_is_recorded_by_its_sum() {
    let calendar = Calendar::at("2026-11-30T23:59:59Z");
    let budget = monthly(&calendar, 10);
    for _ in 0..4 {
        budget.spend().unwrap();
    }
    let counts = budget.take_unrecorded();
    assert_eq!(counts.len(), 1);
    assert_eq!((counts[0].month.as_str(), counts[0].calls), ("2026-11", 4));
    assert_eq!(counts[0].account, "archive");
    assert!(budget.take_unrecorded().is_empty(), "once");
    assert_eq!(budget.standing().used, 4);
    // Another process made two.
    budget.spend().unwrap();
    budget.recorded("2026-11", 6);
    assert_eq!(budget.standing().used, 7);
    let forecast = budget.forecast(5);
    assert_eq!((forecast.fit, forecast.over), (3, 2));
    assert_eq!(forecast.standing.left(), 3);
    assert_eq!(
        forecast.standing.renews,
        "2026-12-01T00:00:00Z".parse::<Timestamp>().unwrap()
    );
    // A record that failed is made again, also after the month.
    let failed = budget.take_unrecorded();
    calendar.set("2026-12-02T00:00:00Z");
    budget.spend().unwrap();
    budget.not_recorded(failed);
    let again = budget.take_unrecorded();
    let months: Vec<_> = again.iter().map(|c| (c.month.as_str(), c.calls)).collect();
    assert_eq!(months, [("2026-11", 1), ("2026-12", 1)]);
    assert_eq!(budget.standing().used, 1);
    budget.recorded("2026-11", 1_000);
    assert_eq!(
        budget.standing().used,
        1,
        "an old month's total is none of this one's"
    );
    assert_eq!(budget.asking().calls, 0);
    assert_eq!(budget.asking().month, "2026-12");
}

#[test]
fn renewal_is_the_first_of_the_next_month_in_utc() {
    for (now, renews) in [
        ("2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z"),
        ("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    ] {
        let calendar = Calendar::at(now);
        let standing = monthly(&calendar, 1).standing();
        assert_eq!(standing.renews, renews.parse::<Timestamp>().unwrap());
    }
}
